#' Gaussian processes of many responses
#'
#' With a matrix as response, or `cbind(a, b) ~ x + gp(lon, lat)`, [fastlmm_fit()] fits every column on its own, with the same fixed effects, places and kernel, and asks of each
#' whether there is a process at all: which of thousands of genes vary over a tissue, say. All responses share the passes over the data and, at each length scale, one decomposition.
#'
#' @section Length scales:
#' They are looked for on a grid that all responses share, refined until none would gain more than about 0.01 of log-likelihood, from the longest side of the box, or of `range`,
#' downwards: with the kernel matrix to half the mean distance of neighbours, in Fourier space as far as 2000 basis functions, or half as many as rows, serve, unless `range` asks for more. `basis = "auto"` takes
#' the kernel matrix up to 3000 rows, for `exp_quad`, which takes by far the fewest functions, up to 1000. At each length scale variances and fixed effects are as exact as in a single fit. With `gp(..., shared = TRUE)` all responses have the one length scale for which the sum of their log-likelihoods is largest; with
#' `lengthscale` it is given. [extract_fit()] gives one response as an ordinary fit, whose length scale is free and which has standard errors, profile and predictions.
#'
#' @section Test:
#' `statistic` is twice the difference of the log-likelihoods with and without the process. Without one, and at a given length scale, it is 0 or, with probability one half,
#' chi-squared with one degree of freedom: the boundary mixture. A length scale that is estimated makes large values more frequent; the p-value is then the bound of Davies (1977) for the maximum
#' over length scales, `P(Z > c) + arc / (2 pi) exp(-c^2 / 2)` with `c` the root of the statistic and the arc that its null process describes over the length scales that
#' were looked at. It is close for small p-values, and errs to the side of no process. With a shared length scale it is used as well. `q.value` is [p.adjust()]'s `"BH"`.
#'
#' @section Rows and status:
#' As in [fastlmm_mlm]: a missing cell leaves its row out for that response only (each pattern of missing cells takes a pass and a decomposition of its own), and a response that
#' cannot be fitted is told by its `status`. Where a response has `h2 = 0` its length scale is `NA`.
#'
#' @param object,x a fit of many responses with a [gp()] term.
#' @param row.names,optional as in [as.data.frame()], not used.
#' @param newdata,re.form,se.fit,allow.new.levels,random.only,na.action see [predict.fastlmm_gp()].
#' @param type,scaled see [residuals.fastlmm()]; of `predict()` see [predict.fastlmm()].
#' @param nsim,seed see [simulate.fastlmm()].
#' @param newresp not offered: fit again.
#' @param ... not used; an unknown argument is an error.
#' @return `fastlmm_fit()`: a list of class `fastlmm_gp_mlm`, which is a `fastlmm_mlm` with `lengthscale`, `logLik0` (without the process), `statistic`, `p.value`, `log.p`
#'   (natural logarithm, which does not underflow) and `q.value`, a number for each response. Standard errors of variances are given where the length scale is.
#'
#'   `as.data.frame()`: a row a response. `predict()`, `fitted()`, `residuals()` and `simulate()`: rows x responses, each response fitted again at its length scale.
#' @references
#' Davies, R. B. (1977) Hypothesis testing when a nuisance parameter is present only under the alternative. Biometrika 64, 247-254.
#'
#' Svensson, V., Teichmann, S. A. and Stegle, O. (2018) SpatialDE: identification of spatially variable genes. Nature Methods 15, 343-346.
#' @seealso [gp()], [fastlmm_mlm]
#' @examples
#' set.seed(1)
#' data <- data.frame(lon = runif(200), lat = runif(200))
#' data$Y <- cbind(smooth = sin(5 * data$lon) + cos(4 * data$lat), noise = 0, slope = 2 * data$lat) + rnorm(600)
#' fit <- fastlmm_fit(Y ~ lat + gp(lon, lat), data)
#' as.data.frame(fit)[c("response", "lengthscale", "h2", "statistic", "p.value", "q.value")]
#' extract_fit(fit, "smooth")
#' @name fastlmm_gp_mlm
NULL

fit_gp_many <- function(model, na.action) {
  gp <- model$gp
  check_gp_many(model)
  model$na_class <- if (identical(na.action, stats::na.exclude)) "exclude" else "omit"
  # rough kernels need more functions than rows before they are short
  few <- nrow(model$y) <= if (gp$cov == "exp_quad") gp_few_rich else gp_exact_limit
  exact <- gp$basis == "exact" || gp$basis == "auto" && few
  if (exact) check_kernel_memory(nrow(model$y))
  fit <- report_many(new_gp_mlm(model, gp_together(model, exact)))
  inform_gp_ends(fit)
  fit
}

check_gp_many <- function(model) {
  gp <- model$gp
  if (length(model$others) > 0) abort_gp_term(gp$term, "with many responses cannot be combined with other random effects; fit one response at a time")
  if (gp$ard && is.null(gp$lengthscale)) abort_gp_term(gp$term, "with many responses has one length scale for all coordinates; leave out ard, or give lengthscale")
}

gp_together <- function(model, exact) {
  request <- gp_request(model$gp, model$gp$box, model$method, model$control)
  Y <- unname(minus_offset(model$y, model$offset))
  rows <- gp_rows(model_coordinates(model), model$X, Y, model$weights)
  found <- call_rust(ffi_gp_many, rows, request, exact, isTRUE(model$gp$shared))
  found$route <- if (exact) "exact" else "fourier"
  found
}

new_gp_mlm <- function(model, found) {
  gp <- model$gp
  name <- gp$name
  model$random <- structure(list(list(name = name, ids = character(), kernel = NULL)), names = name)
  found$fits["alpha"] <- list(list(NULL))
  fit <- new_fastlmm_mlm(model, found$fits)
  named <- function(x) structure(x, names = names(fit$logLik))
  given <- !is.null(gp$lengthscale)
  fit$lengthscale <- named(replace(found$lengthscale, fit$boundary == "h2 = 0", NA))
  fit$logLik0 <- named(found$logLik0)
  fit$statistic <- pmax(2 * (fit$logLik - fit$logLik0), 0)
  fit$log.p <- log_p_process(fit$statistic, found$arc)
  fit$p.value <- exp(fit$log.p)
  fit$q.value <- named(stats::p.adjust(fit$p.value, "BH"))
  if (!given) fit$df <- fit$df + 1L
  if (!given) fit$se <- lapply(fit$se, function(se) replace(se, TRUE, NA_real_))
  gp$largest <- gp$size
  fit$gp <- c(gp[setdiff(names(gp), c("calls", "size"))], list(route = found$route, looked_at = found$range, size = found$size, captured = found$captured, arc = found$arc))
  class(fit) <- c("fastlmm_gp_mlm", "fastlmm_mlm")
  fit
}

# log of P(Z > c) + arc / (2 pi) exp(-c^2 / 2), at most 0; 1 at c = 0
log_p_process <- function(statistic, arc) {
  tail <- pnorm(sqrt(statistic), lower.tail = FALSE, log.p = TRUE)
  maximum <- log(arc / (2 * pi)) - statistic / 2
  larger <- pmax(tail, maximum)
  value <- larger + log(exp(tail - larger) + exp(maximum - larger))
  replace(pmin(value, 0), statistic == 0, 0)
}

# Responses whose length scale may lie beyond what was looked at; a process that hardly shows has no length scale to speak of.
inform_gp_ends <- function(fit) {
  gp <- fit$gp
  if (!is.null(gp$lengthscale)) return(invisible())
  for (i in 1:2) {
    at <- which(abs(fit$lengthscale / gp$looked_at[i] - 1) < 1e-6 & fit$statistic > qchisq(0.95, 1))
    if (length(at) > 0) inform_fastlmm("gp_range", sprintf(
      "the length scale of %s lies at the %s end of what was looked at, %s: %s. Look farther by gp(range =, size =), or with basis = \"exact\"",
      counted(length(at), "response"), c("short", "long")[i], format(gp$looked_at[i], digits = 4), first_names(names(at))
    ))
  }
}

# ---- what there is --------------------------------------------------------------------------------------

#' @rdname fastlmm_gp_mlm
#' @export
as.data.frame.fastlmm_gp_mlm <- function(x, row.names = NULL, optional = FALSE, ...) {
  check_dots_empty(...)
  columns <- unclass(x)[c("lengthscale", "h2", "sigma2", "sigma2_e", "delta", "logLik", "logLik0", "statistic", "p.value", "q.value", "status", "boundary")]
  table <- c(list(response = names(x$logLik), n = unname(x$nobs)), lapply(columns, unname))
  structure(do.call(data.frame, c(table, list(stringsAsFactors = FALSE))), row.names = seq_along(x$logLik))
}

gp_many_label <- function(fit) {
  gp <- fit$gp
  how <- if (!is.null(gp$lengthscale)) "given" else if (isTRUE(gp$shared)) "shared by all responses" else "of each response"
  where <- if (gp$route == "exact") "kernel matrix of all rows" else paste("up to", gp$size, "Fourier basis functions")
  sprintf("%s %s, length scale %s; %s", gp$name, gp$cov, how, where)
}

# One response as a model with its own gp() term
gp_column_model <- function(fit, j) {
  whole <- unclass(fit)
  whole$random <- list()
  model <- check_column_model(column_model(whole, j))
  model$gp <- fit$gp[setdiff(names(fit$gp), c("route", "looked_at", "captured", "arc"))]
  model$gp$calls <- lapply(model$gp$coordinates, predict_call, frame = fit$frame)
  model
}

# With the length scale that the fit of many has
gp_column_fit <- function(fit, j) {
  model <- gp_column_model(fit, j)
  length <- fit$lengthscale[[j]]
  model$gp$lengthscale <- if (is.null(fit$gp$lengthscale)) rep(if (is.na(length)) fit$gp$looked_at[2] else length, ncol(fit$gp$box)) else fit$gp$lengthscale
  estimate_gp(model)
}

# f of each response that could be fitted, rows x responses; NA for the others
gp_each <- function(fit, f, rows) {
  one <- function(j) if (is.na(fit$logLik[j])) rep(NA_real_, rows) else f(gp_column_fit(fit, j))
  value <- vapply(seq_len(ncol(fit$y)), one, numeric(rows))
  matrix(value, rows, dimnames = list(NULL, colnames(fit$y)))
}

#' @rdname fastlmm_gp_mlm
#' @export
predict.fastlmm_gp_mlm <- function(object, newdata = NULL, re.form = NULL, se.fit = FALSE, allow.new.levels = FALSE, random.only = FALSE,
                                   type = c("response", "link"), na.action = na.pass, ...) {
  check_dots_empty(...)
  one_of(type, c("response", "link"))
  new <- if (is.null(newdata)) object$frame else as_data_frame(newdata, "newdata")
  rows <- nrow(new)
  if (!random.only) warn_not_estimable(gp_targets(object, newdata, FALSE), colnames(object$y))
  one <- function(fit) unlist(quietly_not_estimable(predict(fit, new, re.form, TRUE, allow.new.levels, random.only))[c("fit", "se.fit")])
  both <- gp_each(object, one, 2 * rows)
  part <- function(first) {
    value <- structure(both[first + seq_len(rows), , drop = FALSE], dimnames = list(rownames(new), colnames(both)))
    if (is.null(newdata)) napredict(object$na.action, value) else value[answered_rows(complete_rows(value, object), na.action, rownames(new)), , drop = FALSE]
  }
  if (!se.fit) return(part(0))
  list(fit = part(0), se.fit = part(rows), residual.scale = sigma(object))
}

# Rows that some response is predicted in, of those that were fitted
complete_rows <- function(value, fit) if (all(is.na(fit$logLik))) rep(TRUE, nrow(value)) else rowSums(!is.na(value)) > 0

gp_fitted_cells <- function(fit) {
  value <- gp_each(fit, function(one) unname(quietly_not_estimable(predict(one, fit$frame))), nrow(fit$frame))
  value[is.na(fit$y)] <- NA
  dimnames(value) <- dimnames(fit$y)
  value
}

#' @rdname fastlmm_gp_mlm
#' @export
fitted.fastlmm_gp_mlm <- function(object, ...) {
  check_dots_empty(...)
  napredict(object$na.action, gp_fitted_cells(object))
}

#' @rdname fastlmm_gp_mlm
#' @export
residuals.fastlmm_gp_mlm <- function(object, type = c("response", "pearson", "working", "deviance"), scaled = FALSE, ...) {
  check_dots_empty(...)
  residual <- object$y - gp_fitted_cells(object)
  if (one_of(type) %in% c("pearson", "deviance") && !is.null(object$weights)) residual <- residual * sqrt(object$weights)
  if (scaled) residual <- sweep(residual, 2, positive_sigma(object), `/`)
  naresid(object$na.action, residual)
}

#' @rdname fastlmm_gp_mlm
#' @export
ranef.fastlmm_gp_mlm <- function(object, ...) {
  abort_fastlmm("no_effects", "a gp() term of many responses keeps no effects; use extract_fit() for one response, or predict()")
}

#' @rdname fastlmm_gp_mlm
#' @export
simulate.fastlmm_gp_mlm <- function(object, nsim = 1, seed = NULL, re.form = NA, ...) {
  check_dots_empty(...)
  nsim <- check_nsim(nsim)
  state <- seed_generator(seed)
  on.exit(state$restore())
  draws <- rep(list(matrix(NA_real_, nrow(object$y), ncol(object$y), dimnames = dimnames(object$y))), nsim)
  for (j in which(!is.na(object$logLik))) {
    one <- gp_column_fit(object, j)
    one$na.action <- NULL
    column <- simulate(one, nsim, re.form = re.form)
    for (s in seq_len(nsim)) draws[[s]][!is.na(object$y[, j]), j] <- column[[s]]
  }
  structure(lapply(draws, function(draw) napredict(object$na.action, draw)), names = paste0("sim_", seq_len(nsim)), seed = state$seed)
}

#' @rdname fastlmm_gp_mlm
#' @export
#' @exportS3Method lme4::refit fastlmm_gp_mlm
refit.fastlmm_gp_mlm <- function(object, newresp = NULL, ...) {
  abort_fastlmm("refit", "refit() is not offered for many responses with a gp() term; call fastlmm_fit() with the new responses")
}
