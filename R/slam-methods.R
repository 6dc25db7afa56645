# Estimates, predictions and diagnostics of a sparse-factor model.

# ---- fixed effects ------------------------------------------------------------------------------------------------

# All fixed effects of a draw on the responses themselves, what goes through the factors included: columns of X, then those of X_F that X lacks
total_fixed <- function(fit, d) {
  b <- ncol(fit$X)
  sd <- fit$scale$sd
  own <- d$theta[seq_len(b), , drop = FALSE] / fit$fixed$size
  through <- d$bF %*% t(d$Lambda / sd) / fit$covariates$size
  names <- union(colnames(fit$X), colnames(fit$covariates$XF))
  B <- matrix(0, length(names), length(sd), dimnames = list(names, names(sd)))
  B[colnames(fit$X), ] <- own
  extra <- colnames(fit$covariates$XF)
  if (length(extra) > 0) B[extra, ] <- B[extra, ] + through
  B <- B * rep(sd, each = nrow(B))
  if (has_intercept(fit$X)) {
    shift <- crossprod(fit$fixed$centre, own * rep(sd, each = b))
    if (length(extra) > 0) shift <- shift + crossprod(fit$covariates$centre, through * rep(sd, each = length(extra)))
    B["(Intercept)", ] <- B["(Intercept)", ] - shift
  }
  B[colnames(fit$X), ] <- B[colnames(fit$X), , drop = FALSE] + slam_shift(fit)
  B
}

#' Estimates and predictions of a sparse-factor model
#'
#' @param object,x,formula,fit a fit by [slamglmm_fit()].
#' @param newdata data frame with the variables of the model; `NULL`: the rows of the fit.
#' @param K for ids that the fit's kernel does not know, as in [predict.fastlmm()].
#' @param re.form `NULL`: random effects included; `NA` or `~ 0`: fixed effects only.
#' @param allow.new.levels an effect of 0 for ids that no kernel knows?
#' @param type,na.action see [predict.fastlmm()]; `type` of a model matrix `"fixed"` or `"random"`.
#' @param fixed.only,random.only,env,data see [fastlmm-accessors].
#' @param add.dropped give columns that depend on others, which are left out of the model, as `NA`?
#' @param whichel see [ranef.fastlmm()].
#' @param draws all draws instead of their mean?
#' @param level probability of the intervals of the summary.
#' @param n number of replicated data sets.
#' @param seed a whole number that makes them repeatable.
#' @param which `"covariance"`: heat map of genetic correlations; `"loadings"`: of the loadings; `"h2"`: heritabilities with their intervals; `"trace"`: heritabilities along the chains.
#' @param traits responses that are wanted; `NULL`: all (of a trace the first nine).
#' @param ... not used; an unknown argument is an error.
#' @return `fixef()`: coefficients by responses, total effects, factors included. `ranef()`: a list with a matrix of predicted effects, all ids of the kernel by responses: posterior means.
#'   `fitted()`, `residuals()`, `predict()`: rows by responses; a missing cell has a fitted value, and no residual; of a random effect that
#'   cannot be told from the residual nothing is in them. `pp_check()`: a data frame of the standard deviation, skewness and largest absolute value
#'   of each response and the part of replicated data sets that have a larger one. `summary()`: a list of class `summary.slamglmm`.
#'
#'   `logLik()`, `extractAIC()`, `anova()`, `refit()`: the error `fastlmm_error_sampler` with what there is instead.
#' @name slamglmm_methods
NULL

#' @rdname slamglmm_methods
#' @export
fixef.slamglmm <- function(object, draws = FALSE, ..., add.dropped = FALSE) {
  check_arguments(...)
  all <- each_draw(object, function(d) total_fixed(object, d))
  if (draws) return(all)
  mean <- rowMeans(all, dims = 2)
  if (!add.dropped) return(mean)
  names <- union(object$all_columns, rownames(mean))
  structure(mean[match(names, rownames(mean)), , drop = FALSE], dimnames = list(names, colnames(mean)))
}

#' @rdname slamglmm_methods
#' @export
coef.slamglmm <- function(object, ...) fixef.slamglmm(object, ...)

#' @rdname slamglmm_methods
#' @export
ranef.slamglmm <- function(object, ..., whichel = NULL) {
  check_arguments(...)
  check_identified(object, "ranef()")
  random <- object$random[[1]]
  effects <- kernel_block(random, seq_along(random$ids), random$index) %*% slam_alpha(object)
  dimnames(effects) <- list(random$ids, colnames(object$Y))
  wanted_groups(structure(list(effects), names = random$name), whichel)
}

# Numbers by which the predicted effects of any ids are K[ids, observed] alpha, observed ids x responses: posterior means of `Z' V^-1 r h`, of factors and of what is left of each response
slam_alpha <- function(fit) {
  check_has_draws(fit)
  sum <- matrix(0, nrow(fit$Y), ncol(fit$Y))
  for (chain in fit$draws) for (t in seq_len(ncol(chain$sigma2))) sum <- sum + rotated_alpha(fit, chain, t)
  cells <- turn_back(fit$basis, sum) * rep(fit$scale$sd, each = nrow(sum)) / (count_draws(fit) * fit$basis$mean_diag)
  random <- fit$random[[1]]
  rowsum(cells * random$z, factor(random$group, levels = seq_along(random$index)), reorder = TRUE)
}

# Of one draw, in the rotated basis and in units of scaled responses
rotated_alpha <- function(fit, chain, t) {
  F <- array(chain$factors[, , t], dim(chain$factors)[1:2])
  theta <- array(chain$theta[, , t], dim(chain$theta)[1:2])
  bF <- array(chain$factors_b[, , t], dim(chain$factors_b)[1:2])
  b <- ncol(fit$X)
  share <- function(h) outer(fit$basis$s, h, function(s, h) h / (h * s + 1 - h))
  fitted <- cbind(fit$data$x, F) %*% theta
  alpha <- if (length(fit$data$sets) > 0) alpha_of_sets(fit, chain$h[, t], fitted) else share(chain$h[, t]) * (completed_y(fit, chain, t) - fitted)
  if (fit$n_factors > 0) alpha <- alpha + (share(chain$factors_h[, t]) * (F - fit$data$xf %*% bF)) %*% theta[b + seq_len(fit$n_factors), , drop = FALSE]
  alpha
}

# The part of each response, in the bases of the sets: rows that were not observed say nothing
alpha_of_sets <- function(fit, h, fitted) {
  fitted <- turn_back(fit$basis, fitted)
  alpha <- matrix(0, nrow(fitted), ncol(fitted))
  for (set in fit$data$sets) {
    share <- outer(set$s, h[set$traits], function(s, h) h / (h * s + 1 - h))
    left <- turn_to(set$basis, set$y - fitted[set$rows, set$traits, drop = FALSE])
    alpha[set$rows, set$traits] <- turn_back(set$basis, share * left)
  }
  turn_to(fit$basis, alpha)
}

# Q'Y with the missing cells of a draw
completed_y <- function(fit, chain, t) {
  if (nrow(chain$cells) == 0) return(fit$data$y)
  cells <- matrix(0, nrow(fit$Y), ncol(fit$Y))
  cells[missing_cells(fit)] <- chain$cells[, t]
  fit$data$y + turn_to(fit$basis, cells)
}

missing_cells <- function(fit) cbind(unlist(fit$missing), rep(seq_along(fit$missing), lengths(fit$missing)))

#' @rdname slamglmm_methods
#' @export
predict.slamglmm <- function(object, newdata = NULL, K = NULL, re.form = NULL, allow.new.levels = FALSE, type = c("response", "link"), na.action = na.pass, ...) {
  check_arguments(...)
  one_of(type, c("response", "link"))
  random <- wanted_random(object, re.form)
  if (is.null(newdata)) return(if (length(random) > 0) fitted.slamglmm(object) else slam_fixed(object, cbind(object$X, slam_extra(object))) + object$offset)
  shape <- structure(object, class = "fastlmm")
  shape$coefficients <- stats::setNames(numeric(length(object$all_columns)), object$all_columns)
  design <- forge_design(shape, newdata, random)
  value <- slam_fixed(object, cbind(design$X, new_covariates(object, as_data_frame(newdata)))) + design$offset
  estimable <- estimable_rows(shape, design$X)
  if (!is.null(estimable)) value[!estimable, ] <- NA
  warn_not_estimable(list(estimable = estimable, complete = rep(TRUE, nrow(design$X)), names = rownames(design$X)))
  if (length(random) > 0 && is.null(object$unidentified)) value <- value + new_effects(object, design$random[[1]], K, allow.new.levels)
  value[answered_rows(stats::complete.cases(value), na.action, rownames(design$X)), , drop = FALSE]
}

# Columns of X and those of X_F that X lacks, times all fixed effects
slam_fixed <- function(fit, X) {
  B <- fixef.slamglmm(fit)
  X[, rownames(B), drop = FALSE] %*% B
}

new_covariates <- function(fit, data) {
  terms <- fit$covariates$terms
  if (is.null(terms)) return(NULL)
  attr(terms, "columns") <- fit$covariates$columns
  frame <- forge_frame(list(formula = fit$formula, terms = terms), terms, data)
  levels <- fit$covariates$xlevels
  frame[names(levels)] <- Map(as_fitted_factor, frame[names(levels)], levels, names(levels))
  X <- stats::model.matrix(terms, frame)
  X[, setdiff(colnames(fit$covariates$XF), colnames(fit$X)), drop = FALSE]
}

new_effects <- function(fit, new, K, allow.new.levels) {
  random <- fit$random[[1]]
  alpha <- slam_alpha(fit)
  # only where the ids are is asked for: no effects of one response
  random$alpha <- numeric(if (is_lowrank(random$kernel)) ncol(random$kernel$W) else nrow(alpha))
  source <- new_source(random, unique(new$id), new_kernels(K, list(random))[[1]], allow.new.levels)
  cross <- cross_kernel(source$random, source, seq_along(source$id))
  new$z * (cross %*% alpha)[match(new$id, source$id), , drop = FALSE]
}

#' @rdname slamglmm_methods
#' @export
fitted.slamglmm <- function(object, ...) {
  check_arguments(...)
  random <- object$random[[1]]
  fixed <- slam_fixed(object, cbind(object$X, slam_extra(object)))
  if (!is.null(object$unidentified)) return(structure(fixed + object$offset, dimnames = dimnames(object$Y)))
  effects <- kernel_block(random, random$index, random$index) %*% slam_alpha(object)
  value <- fixed + random$z * effects[random$group, , drop = FALSE] + object$offset
  dimnames(value) <- dimnames(object$Y)
  value
}

# Columns of X_F that X lacks, as they were before they were scaled
slam_extra <- function(fit) {
  covariates <- fit$covariates
  if (ncol(covariates$XF) == 0) return(NULL)
  X <- sweep(sweep(covariates$XF, 2, covariates$size, "*"), 2, covariates$centre, "+")
  X[, setdiff(colnames(X), colnames(fit$X)), drop = FALSE]
}

#' @rdname slamglmm_methods
#' @export
residuals.slamglmm <- function(object, ...) {
  check_arguments(...)
  object$Y + object$offset - fitted.slamglmm(object)
}

#' @export
nobs.slamglmm <- function(object, ...) nrow(object$Y)

# ---- missing cells ------------------------------------------------------------------------------------------

# Posterior means of X B + F Lambda' + Z U of each response, in units of the responses: the factors whole, with what is not random effect
expected_y <- function(fit) {
  sum <- 0
  for (chain in fit$draws) for (t in seq_len(ncol(chain$sigma2))) {
    F <- array(chain$factors[, , t], dim(chain$factors)[1:2])
    fitted <- cbind(fit$data$x, F) %*% array(chain$theta[, , t], dim(chain$theta)[1:2])
    sum <- sum + fitted + fit$basis$s * alpha_of_sets(fit, chain$h[, t], fitted)
  }
  as_responses(fit, turn_back(fit$basis, sum) / count_draws(fit))
}

#' Responses with their missing cells at their posterior means
#'
#' @param object a fit by [slamglmm_fit()].
#' @param draws all draws of the missing cells instead of their means?
#' @return The responses, rows by responses, cells that were missing at the mean of their draws; with `draws`, a matrix with a row for each missing cell (response by response) and a column for each draw.
#' @export
posterior_cells <- function(object, draws = FALSE) {
  check_arguments()
  check_slam(object, "posterior_cells", "fitted(fit)")
  check_has_draws(object)
  cells <- missing_cells(object)
  Y <- object$Y
  if (length(object$data$sets) > 0) {
    if (draws) abort_fastlmm("no_draws", "missing cells were integrated out, not drawn; fit with missing = \"impute\"")
    Y[cells] <- expected_y(object)[cells]
    return(Y + object$offset)
  }
  all <- do.call(cbind, lapply(object$draws, `[[`, "cells"))
  value <- all * object$scale$sd[cells[, 2]] + rowSums(object$X[cells[, 1], , drop = FALSE] * t(slam_shift(object))[cells[, 2], , drop = FALSE])
  if (draws) return(unname(value + object$offset[cells[, 1]]))
  Y[cells] <- rowMeans(value)
  Y + object$offset
}
