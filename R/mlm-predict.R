#' Predictions, random effects and simulations for many responses
#'
#' The counterparts of [predict.fastlmm()], [ranef.fastlmm()], [residuals.fastlmm()], [VarCorr.fastlmm()] and [simulate.fastlmm()] for fits of
#' many responses. Results are matrices with a column for each response.
#'
#' `fitted()` and `residuals()` are `NA` where the response is missing; `predict()` without new data predicts these cells too.
#'
#' @param object,x a fit of many responses ([fastlmm_mlm]).
#' @param newdata,re.form,se.fit,K,k_diag,allow.new.levels,random.only,na.action see [predict.fastlmm()].
#' @param type,scaled see [residuals.fastlmm()]; for `predict()` see [predict.fastlmm()].
#' @param condVar add the conditional variances, ids x responses, as attribute `postVar`? It costs a factorisation of K for each response.
#' @param which `"observed"`: ids with a row in the data; `"all"`: all ids of K.
#' @param drop not used: the effects are matrices already.
#' @param whichel see [ranef.fastlmm()].
#' @param sigma factor by which the standard deviations are multiplied.
#' @param interval,level see [predict.fastlmm()].
#' @param nsim,seed see [simulate.fastlmm()].
#' @param ... not used; an unknown argument is an error.
#' @return
#' * `fitted()`, `residuals()`, `predict()`: rows x responses; with `se.fit` a list of two such matrices, `fit` and `se.fit`, and the vector
#'   `residual.scale`; with `interval` a list of `fit`, `lwr` and `upr`. Standard errors take a factorisation for each response.
#' * `ranef()`: a list with a matrix, ids x responses, for each random effect.
#' * `VarCorr()`: a data frame `response`, `grp`, `var1`, `var2`, `vcov`, `sdcor` with a row for each variance component.
#' * `simulate()`: a list of `nsim` matrices, rows x responses, `NA` where the response is; responses are independent, as in the model. With
#'   `newdata`, the rows are those of `newdata`.
#' @section Errors:
#' Those of the methods for single fits, and `fastlmm_error_no_effects` for a fit with `fastlmm_control(effects = FALSE)`.
#' @examples
#' fit <- fastlmm_fit(cbind(sepal = Sepal.Length, petal = Petal.Length) ~ Sepal.Width + (1 | Species), iris)
#' head(fitted(fit))
#' predict(fit, data.frame(Sepal.Width = 3, Species = "setosa"), se.fit = TRUE)
#' ranef(fit)$Species
#' @name predict.fastlmm_mlm
NULL

#' @rdname predict.fastlmm_mlm
#' @export
predict.fastlmm_mlm <- function(object, newdata = NULL, re.form = NULL, se.fit = FALSE, K = NULL, k_diag = NULL, allow.new.levels = FALSE,
                                random.only = FALSE, type = c("response", "link"), na.action = na.pass, interval = c("none", "confidence", "prediction"),
                                level = 0.95, ...) {
  check_arguments(...)
  one_of(type, c("response", "link"))
  interval <- wanted_interval(interval, level, re.form, random.only)
  random <- wanted_random(object, re.form)
  if (length(random) > 0) check_effects(object)
  targets <- prediction_targets(object, newdata, random, allow.new.levels, random.only, na.action)
  sources <- Map(
    function(one, target, K) new_source(first_alpha(one), unique(target$id), K, allow.new.levels),
    random, targets$random, if (length(random) > 0) new_kernels(K, random)
  )
  effects <- Map(function(one, target, source) {
    target$z * source_effects(one$alpha, source)[match(target$id, source$id), , drop = FALSE]
  }, random, targets$random, sources)
  warn_not_estimable(targets, colnames(object$y))
  fit <- pad_rows(targets, Reduce(`+`, effects, fixed_part(object, targets$X, targets$offset)))
  if (!se.fit && interval == "none") return(fit)
  one <- function(j) {
    if (is.na(object$logLik[j])) return(rep(NA_real_, nrow(fit)))
    quietly_not_estimable(predict(column_fit(object, j), newdata, re.form, TRUE, K, k_diag, allow.new.levels, random.only, na.action = na.action)$se.fit)
  }
  se <- if (is.null(newdata)) cell_errors(object, re.form, k_diag, fit, random.only) else vapply(seq_len(ncol(fit)), one, numeric(nrow(fit)))
  many_answers(object, fit, matrix(as.numeric(se), nrow(fit), ncol(fit), dimnames = dimnames(fit)), newdata, interval, level, se.fit)
}

# Rows x responses; of `interval` a list of matrices
many_answers <- function(object, fit, se, newdata, interval, level, se.fit) {
  errors <- list(se.fit = se, residual.scale = sigma(object))
  if (interval == "none") return(c(list(fit = fit), errors))
  noise <- outer(rep(interval == "prediction", nrow(fit)), unname(object$sigma2_e))
  if (is.null(newdata) && !is.null(object$weights)) noise <- noise / as.numeric(napredict(object$na.action, object$weights))
  df <- object$nobs - colSums(!is.na(matrix(object$coefficients, ncol = ncol(fit))))
  half <- rep(stats::qt((1 + level) / 2, df), each = nrow(fit)) * sqrt(se^2 + noise)
  c(list(fit = fit, lwr = fit - half, upr = fit + half), if (se.fit) errors)
}

# Standard errors in the rows of the fit, those with missing cells too: the rows come back as new data.
cell_errors <- function(object, re.form, k_diag, fit, random.only) {
  random <- wanted_random(object, re.form)
  targets <- prediction_targets(object, NULL, random, random.only = random.only)
  one <- function(j) {
    if (is.na(object$logLik[j])) return(rep(NA_real_, nrow(targets$X)))
    column <- column_fit(object, j)
    own <- column$random[names(random)]
    sources <- Map(function(one, target) kernel_source(one, unique(target$id), NULL, TRUE), own, targets$random)
    at <- targets
    at$X <- targets$X[, column$kept, drop = FALSE]
    sqrt(pmax(target_variance(column, at, sources, k_diag), 0))
  }
  pad_rows(targets, vapply(seq_len(ncol(fit)), one, numeric(nrow(targets$X))))
}

# Coefficients of 0 where a column is aliased; all missing where there is no fit.
fixed_part <- function(fit, X, offset) {
  beta <- fit$coefficients[fit$kept, , drop = FALSE]
  beta[is.na(beta)] <- 0
  mean <- X[, fit$kept, drop = FALSE] %*% beta + offset
  mean[, is.na(fit$logLik)] <- NA
  mean
}

pad_rows <- function(targets, value) {
  out <- matrix(NA_real_, length(targets$complete), ncol(value), dimnames = list(targets$names, colnames(value)))
  if (!is.null(targets$estimable)) value[!targets$estimable] <- NA
  out[targets$complete, ] <- value
  napredict(targets$na.action, out[targets$answered, , drop = FALSE])
}

# The checks and the places of a source need one set of coefficients.
first_alpha <- function(random) {
  random$alpha <- random$alpha[, 1]
  random
}

# ids of the source x responses
source_effects <- function(alpha, source) {
  effect <- effects_at(source$random, alpha, source$known)
  given <- which(!is.na(source$given))
  observed <- source$random$ids[source$random$index]
  if (length(given) > 0) effect[given, ] <- source$K[source$given[given], observed, drop = FALSE] %*% alpha
  effect
}

# K[rows, observed] alpha, or W[rows, ] alpha; 0 where the row is missing
effects_at <- function(random, alpha, rows) {
  known <- !is.na(rows)
  effect <- matrix(0, length(rows), ncol(alpha), dimnames = list(NULL, colnames(alpha)))
  at <- rows[known]
  effect[known, ] <- as.matrix(if (is_lowrank(random$kernel)) {
    random$kernel$W[at, , drop = FALSE] %*% alpha
  } else if (is.null(random$kernel)) {
    alpha[match(at, random$index), , drop = FALSE]
  } else {
    random$kernel[at, random$index, drop = FALSE] %*% alpha
  })
  effect
}

check_effects <- function(fit) {
  if (!is.null(fit$random[[1]]$alpha)) return(invisible())
  abort_fastlmm(
    "no_effects", "the fit was made without random effects, fastlmm_control(effects = FALSE); fit with effects = TRUE, or use extract_fit() for one response"
  )
}

# ---- the rows of the fit ------------------------------------------------------------------------------

#' @rdname predict.fastlmm_mlm
#' @export
fitted.fastlmm_mlm <- function(object, ...) {
  check_arguments(...)
  napredict(object$na.action, fitted_cells(object))
}

#' @rdname predict.fastlmm_mlm
#' @export
residuals.fastlmm_mlm <- function(object, type = c("response", "pearson", "working", "deviance"), scaled = FALSE, ...) {
  check_arguments(...)
  residual <- object$y - fitted_cells(object)
  if (one_of(type) %in% c("pearson", "deviance") && !is.null(object$weights)) residual <- residual * sqrt(object$weights)
  if (scaled) residual <- sweep(residual, 2, positive_sigma(object), `/`)
  naresid(object$na.action, residual)
}

fitted_cells <- function(fit) {
  check_effects(fit)
  value <- fixed_part(fit, fixed_design(fit), fit$offset)
  for (one in fit$random) value <- value + one$z * effects_at(one, one$alpha, one$index)[one$group, , drop = FALSE]
  value[is.na(fit$y)] <- NA
  dimnames(value) <- dimnames(fit$y)
  value
}

#' @rdname predict.fastlmm_mlm
#' @export
ranef.fastlmm_mlm <- function(object, condVar = FALSE, which = c("observed", "all"), drop = FALSE, whichel = NULL, ...) {
  check_arguments(...)
  check_effects(object)
  which <- one_of(which, c("observed", "all"))
  effects <- function(label) {
    random <- object$random[[label]]
    rows <- if (which == "all") seq_along(random$ids) else random$index
    value <- effects_at(random, random$alpha, rows)
    if (is.null(random$kernel)) value[, is.na(object$logLik)] <- NA
    dimnames(value) <- list(random$ids[rows], names(object$logLik))
    if (condVar) attr(value, "postVar") <- conditional_variances(object, label, rows, value)
    value
  }
  sapply(unlist(wanted_groups(by_group(object), whichel), use.names = FALSE), effects, simplify = FALSE)
}

# An id without rows in one response has its prior variance there.
conditional_variances <- function(fit, label, rows, like) {
  id <- fit$random[[label]]$ids[rows]
  one <- function(j) {
    if (is.na(fit$logLik[j])) return(rep(NA_real_, length(id)))
    column <- column_fit(fit, j)
    at <- match(id, column$random[[label]]$ids)
    variance <- rep(unname(column$sigma2[if (length(column$sigma2) > 1) label else 1]), length(id))
    variance[!is.na(at)] <- conditional_variance(column, label, at[!is.na(at)])
    variance
  }
  matrix(vapply(seq_len(ncol(like)), one, numeric(length(id))), length(id), dimnames = dimnames(like))
}

#' @rdname predict.fastlmm_mlm
#' @export
VarCorr.fastlmm_mlm <- function(x, sigma = 1, ...) {
  check_arguments(...)
  q <- length(x$logLik)
  variance <- sigma^2 * rbind(matrix(x$sigma2, ncol = q), x$sigma2_e)
  component <- c(names(x$random), "Residual")
  data.frame(
    response = rep(names(x$logLik), each = length(component)), grp = rep(component, q),
    var1 = rep(c(vapply(x$random, effect_name, "", USE.NAMES = FALSE), NA), q), var2 = NA_character_, vcov = c(variance), sdcor = sqrt(c(variance))
  )
}

# ---- draws --------------------------------------------------------------------------------------------

#' @rdname predict.fastlmm_mlm
#' @export
simulate.fastlmm_mlm <- function(object, nsim = 1, seed = NULL, re.form = NA, newdata = NULL, ...) {
  check_arguments(...)
  if (!is.null(newdata)) return(many_new_draws(object, nsim, seed, re.form, newdata))
  nsim <- check_nsim(nsim, length(object$y))
  conditional <- length(wanted_random(object, re.form)) > 0
  state <- seed_generator(seed)
  on.exit(state$restore())
  centre <- if (conditional) fitted_cells(object) else fixed_part(object, fixed_design(object), object$offset)
  draws <- replicate(nsim, draw_responses(object, centre, conditional), simplify = FALSE)
  structure(draws, names = paste0("sim_", seq_len(nsim)), seed = state$seed)
}

# Those of each response by itself, as they are in the model
many_new_draws <- function(fit, nsim, seed, re.form, newdata) {
  rows <- nrow(as_data_frame(newdata))
  nsim <- check_nsim(nsim, rows * length(fit$logLik))
  state <- seed_generator(seed)
  on.exit(state$restore())
  one <- function(j) {
    if (is.na(fit$logLik[j])) return(matrix(NA_real_, rows, nsim))
    as.matrix(simulate(if (inherits(fit, "fastlmm_gp_mlm")) gp_column_fit(fit, j) else column_fit(fit, j), nsim, re.form = re.form, newdata = newdata))
  }
  columns <- lapply(seq_along(fit$logLik), one)
  of_draw <- function(s) matrix(vapply(columns, function(column) column[, s], numeric(rows)), rows, dimnames = list(rownames(newdata), names(fit$logLik)))
  structure(lapply(seq_len(nsim), of_draw), names = paste0("sim_", seq_len(nsim)), seed = state$seed)
}

draw_responses <- function(fit, centre, conditional) {
  n <- nrow(fit$y)
  weights <- if (is.null(fit$weights)) 1 else fit$weights
  columns <- function(x) rep(sqrt(x), each = n)
  value <- centre + matrix(rnorm(length(fit$y)), n) / sqrt(weights) * columns(fit$sigma2_e)
  sigma2 <- matrix(fit$sigma2, ncol = ncol(fit$y))
  if (!conditional) for (i in seq_along(fit$random)) value <- value + effect_draws(fit$random[[i]], 1, ncol(fit$y)) * columns(sigma2[i, ])
  value[is.na(fit$y)] <- NA
  dimnames(value) <- dimnames(fit$y)
  napredict(fit$na.action, value)
}
