#' Gaussian processes for many responses
#'
#' With a matrix as response, or `cbind(a, b) ~ x + gp(lon, lat)`, [fastlmm_fit()] fits every column separately, with the same fixed effects,
#' places and kernel, and tests for each whether there is a process at all: for example, which of thousands of genes vary over a tissue. All
#' responses share the passes over the data and, at each length scale, one decomposition.
#'
#' @section Length scales:
#' Length scales are searched on a grid that all responses share, which is refined until none would gain more than about 0.01 in
#' log-likelihood. Its range is that of a single fit: from three times the longest side of the bounding box, or the upper end of `range`,
#' downwards. With the kernel matrix it extends to half the nearest-neighbour distance (its 5 percent quantile over the rows); in Fourier
#' space, as far as 2000 basis functions, or half the number of rows, suffice, unless `range` asks for more. A process over shorter scales is
#' not detected, and a message gives the shortest length that the basis can resolve. `basis = "auto"` uses the kernel matrix up to 3000 rows,
#' but for `exp_quad`, which needs by far the fewest functions, up to 1000. At each length scale, variances and fixed effects are as accurate
#' as in a single fit.
#'
#' With `gp(..., shared = TRUE)` all responses have one length scale, which maximises the sum of their log-likelihoods; with `lengthscale` it
#' is fixed. `at_end` says for each response whether its length scale lies at the `"short"` or the `"long"` end of the search range.
#' [extract_fit()] gives one response as an ordinary fit, with a freely estimated length scale and with standard errors, profile and
#' predictions.
#'
#' @section Test:
#' `statistic` is twice the difference of the log-likelihoods with and without the process. Under the null hypothesis of no process, and at a
#' fixed length scale, it follows the boundary mixture: 0 with probability one half, otherwise chi-squared with one degree of freedom.
#' Estimating the length scale makes large values more frequent; the p-value is then the upper bound of Davies (1977) for the maximum over
#' length scales, `P(Z > c) + arc / (2 pi) exp(-c^2 / 2)`, with `c` the square root of the statistic and `arc` the length of the arc that the
#' standardised null process describes over the length scales searched. It is close for small p-values and conservative otherwise. It is used
#' with a shared length scale as well. `q.value` is `"BH"` of [p.adjust()].
#'
#' All this assumes normal residuals. The warning `fastlmm_warning_few_values` names responses with fewer than ten distinct values of which one
#' fills more than nine tenths of the rows, such as sparse counts. For those, `anova(fit, test = "permutation")` has p-values
#' ([anova.fastlmm_gp_mlm()], which also explains `fsv`, the fraction of spatial variance).
#'
#' @section Rows and status:
#' As in [fastlmm_mlm], a missing cell leaves out its row for that response only (each pattern of missing cells takes a pass and a
#' decomposition of its own), and a response that cannot be fitted is marked by its `status`. Where `h2 = 0`, the length scale of the response
#' is `NA`. As in a single fit, the condition number of the covariance limits how small `delta` can be: a response with less noise has the
#' `boundary` `"delta at its floor"`, and its residual variance is an upper bound.
#'
#' @param object,x a fit of many responses with a [gp()] term.
#' @param row.names,optional as in [as.data.frame()], not used.
#' @param newdata,re.form,se.fit,allow.new.levels,random.only,na.action see [predict.fastlmm_gp()].
#' @param interval,level see [predict.fastlmm()].
#' @param type,scaled see [residuals.fastlmm()]; for `predict()` see [predict.fastlmm()].
#' @param nsim,seed see [simulate.fastlmm()].
#' @param newresp not available: fit again.
#' @param ... not used; an unknown argument is an error.
#' @param condVar not available; see the standard errors of `predict()`.
#' @param drop,whichel see [ranef.fastlmm()].
#' @return `fastlmm_fit()`: a list of class `fastlmm_gp_mlm`, which is a `fastlmm_mlm` that also has, for each response, `lengthscale`,
#'   `at_end`, `fsv`, `logLik0` (without the process), `statistic`, `p.value`, `log.p` (its natural logarithm, which does not underflow),
#'   `q.value` and `rank` (by p-value). Standard errors of variances are available where the length scale is fixed; that of `fsv` takes it as
#'   known.
#'
#'   `as.data.frame()`: a row for each response. `predict()`, `fitted()`, `residuals()` and `simulate()`: rows x responses. `ranef()`: a list
#'   with the process at the rows, rows x responses. These use coefficients that the fit keeps (8 bytes for each response and row, or basis
#'   function; `fastlmm_control(effects = FALSE)` keeps none); only standard errors and draws refit each response at its length scale.
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
  inform_gp_unseen(fit)
  inform_gp_ends(fit)
  warn_few_values(fit)
  fit
}

check_gp_many <- function(model) {
  gp <- model$gp
  if (length(model$others) > 0) abort_gp_term(gp$term, "with many responses cannot be combined with other random effects; fit one response at a time")
  if (gp$ard && is.null(gp$lengthscale)) abort_gp_term(
    gp$term, "with many responses has one length scale for all coordinates; leave out ard, or give lengthscale"
  )
}

gp_together <- function(model, exact) {
  found <- call_gp_many(model, minus_offset(model$y, model$offset), exact, model$control$effects)
  found$route <- if (exact) "exact" else "fourier"
  found
}

call_gp_many <- function(model, Y, exact, effects) {
  call_rust(ffi_gp_many, model_rows(model, random = list(), Y = unname(Y)), exact, isTRUE(model$gp$shared), effects)
}

new_gp_mlm <- function(model, found) {
  gp <- model$gp
  model$random <- structure(list(new_process_term(gp, NULL)), names = gp$name)
  found$fits["alpha"] <- list(list(if (model$control$effects) found$fits$alpha))
  fit <- new_fastlmm_mlm(model, found$fits)
  gp$largest <- gp$size
  fit$gp <- c(gp[setdiff(names(gp), c("calls", "size"))], list(
    route = found$route, looked_at = found$range, size = found$size, captured = found$captured, arc = found$arc, bases = found$bases, window = found$window
  ))
  fit <- with_gp_test(with_gp_lengths(fit, found), found)
  class(fit) <- c("fastlmm_gp_mlm", "fastlmm_mlm")
  fit
}

# Length scales, and what is told at them: the share of the variance over the places, whose error takes the length scale as known.
with_gp_lengths <- function(fit, found) {
  named <- function(x) structure(x, names = names(fit$logLik))
  given <- !is.null(fit$gp$lengthscale)
  fit$lengthscale <- named(replace(found$lengthscale, fit$boundary == "h2 = 0", NA))
  part <- found$spread * fit$sigma2
  fit$fsv <- named(ifelse(fit$boundary == "h2 = 0", 0, part / (part + fit$sigma2_e)))
  fit$at_end <- named(gp_many_ends(fit))
  fit$se$fsv <- fit$fsv * (1 - fit$fsv) * fit$se$log_delta
  if (given) return(fit)
  fit$df <- fit$df + 1L
  others <- setdiff(names(fit$se), "fsv")
  fit$se[others] <- lapply(fit$se[others], function(se) replace(se, TRUE, NA_real_))
  fit
}

with_gp_test <- function(fit, found) {
  named <- function(x) structure(x, names = names(fit$logLik))
  fit$logLik0 <- named(found$logLik0)
  fit$statistic <- pmax(2 * (fit$logLik - fit$logLik0), 0)
  fit$log.p <- log_p_process(fit$statistic, found$arc)
  fit$p.value <- exp(fit$log.p)
  fit$q.value <- named(stats::p.adjust(fit$p.value, "BH"))
  fit$rank <- named(ranked(fit$log.p, fit$fsv))
  fit
}

# 1 for the smallest, ties by the largest share; NA for what has none
ranked <- function(value, share) replace(integer(length(value)), order(value, -share), seq_along(value)) + ifelse(is.na(value), NA_integer_, 0L)

# At which end of the range each length scale lies: "none", "short", "long"; NA without one
gp_many_ends <- function(fit) {
  near <- function(end) abs(log(fit$lengthscale / end)) < 0.02
  looked <- fit$gp$looked_at
  if (!is.null(fit$gp$lengthscale)) return(rep(NA_character_, length(fit$lengthscale)))
  ifelse(near(looked[1]), "short", ifelse(near(looked[2]), "long", "none"))
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
  for (end in c("short", "long")) {
    at <- which(fit$at_end == end & fit$statistic > qchisq(0.95, 1))
    if (length(at) > 0) inform_fastlmm("gp_range", sprintf(
      "the length scale of %s lies at the %s end of the range searched, %s: %s. %s", counted(length(at), "response"), end,
      format(gp$looked_at[if (end == "short") 1 else 2], digits = 4), first_names(names(at)), gp_end_advice(fit, end)
    ))
  }
}

# A basis of some thousand functions may not see what varies from one place to the next.
inform_gp_unseen <- function(fit) {
  gp <- fit$gp
  if (gp$route == "exact" || !is.null(gp$lengthscale) || !is.null(gp$range)) return(invisible())
  apart <- prod((gp$box[2, ] - gp$box[1, ]) / nrow(fit$y)^(1 / ncol(gp$box)))^(1 / ncol(gp$box))
  if (gp$looked_at[1] <= apart) return(invisible())
  inform_fastlmm("gp_unseen", sprintf(
    paste0(
      "length scales from %s upwards were searched: a shorter one needs more than %d basis functions, and a process on that scale is not detected. Places ",
      "are about %s apart; basis = \"exact\" searches down to that, in time proportional to the cube of the number of rows, %d"
    ),
    format(gp$looked_at[1], digits = 4), max(gp$size, min(2000, nrow(fit$y) %/% 2)), format(apart, digits = 3), nrow(fit$y)
  ), from = gp$looked_at[1])
}

gp_end_advice <- function(fit, end) {
  if (end == "long") return("Over such a long scale a process is a trend: include the trend in the formula, or widen the search by gp(range =)")
  if (fit$gp$route == "exact") "Widen the search by gp(range =)" else "Look farther by gp(range =, size =), or with basis = \"exact\""
}

# ---- what there is --------------------------------------------------------------------------------------

#' @rdname fastlmm_gp_mlm
#' @export
as.data.frame.fastlmm_gp_mlm <- function(x, row.names = NULL, optional = FALSE, ...) {
  check_arguments(...)
  columns <- unclass(x)[c(
    "lengthscale", "at_end", "h2", "fsv", "sigma2", "sigma2_e", "delta", "logLik", "logLik0", "statistic", "p.value", "q.value", "rank", "status", "boundary"
  )]
  columns <- append(columns, list(se_fsv = x$se$fsv), match("fsv", names(columns)))
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
  model$gp <- fit$gp[setdiff(names(fit$gp), c("route", "looked_at", "captured", "arc", "bases", "window"))]
  model$gp$calls <- lapply(model$gp$coordinates, predict_call, frame = fit$frame)
  model
}
