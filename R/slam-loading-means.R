# Loadings whose prior means depend on covariates of the responses.

#' Loadings that depend on covariates of the responses
#'
#' Where responses are one trait in many environments, or genes of known pathways, covariates of the responses may predict on which factors
#' they load. With `loading_regression()` a loading is normal with mean `c_j'w_m` instead of 0, and the variance that [mgp()] or [horseshoe()]
#' gives it. Here `c_j` are the covariates of response j, and the effects `w_m` on the loadings of factor m are normal with variance
#' `v / tau_m`, where `v`, for each term and factor, has the prior `variance`, and `tau_m` is the common precision of the loadings of the
#' factor. Effects that the data do not support are shrunk to 0 with the factor.
#'
#' Columns are centred, and those of a term are orthogonalised and scaled to variance one over the responses of the fit, so that neither the
#' units of a covariate nor the contrasts of a factor change the model. The means of the loadings are in the units of [slam_prior()] (responses
#' whose residual variance, given the fixed effects, is 1), also with `loading_scale = "residual"`, which scales the deviations of loadings
#' from them. An intercept of the formula is ignored: it would be the mean of the loadings of a factor over all responses, which
#' `intercept = TRUE` includes with the same prior.
#'
#' @section Prediction for a new response:
#' For a response that has never been measured, these means are all that is known: `scores(fit, draws = TRUE)` times the means of its loadings,
#' draw by draw, predicts the contribution of the factors in the rows of the fit, in standard deviations of the response and without its fixed
#' effects (see Examples). Such predictions are shrunk towards 0, the more so the less of the loadings the covariates explain: they rank rows
#' better than they predict sizes. A response that was measured in some rows belongs in the fit, where [posterior_cells()] predicts its other
#' cells; one that was measured in none is refused (`missing_response`).
#'
#' @param formula covariates of the responses, such as `~ temperature + soil`.
#' @param data data frame whose row names are names of responses; all responses of the fit must be there, other rows are ignored.
#' @param variance prior of the variances of effects, by [inverse_gamma()] or [inverse_wishart()].
#' @param intercept include a mean of the loadings of each factor?
#' @return `loading_regression()`: a list of class `slam_loading_regression`, for `loading_means` of [slam_prior()].
#'
#'   `loading_effects()`: effects on the loadings of each factor, columns of the design x factors, per unit of a covariate, with the signs and
#'   the order of the factors of [factor_loadings()]. They are in units of the loadings of scaled responses; multiply by `fit$scale$sd` for a
#'   response in its own units. With `draws` an array whose last dimension is the draw; with `level` a data frame with the columns `covariate`,
#'   `factor` and those of the table of [summary.slamglmm()]. With `newdata`, the means of the loadings of its rows, rows x factors, instead of
#'   effects (in the table a column `response` instead of `covariate`). Where factors cannot be distinguished from each other, effects on them
#'   are averages over them.
#' @section Errors:
#' `row_names` for data without row names; `loading_regression` for responses that are not in it and for fits without covariates of responses;
#' `new_fixed_level` for a level in `newdata` that no response of the fit has; `missing_values`, `nonfinite`, `constant_covariate` and
#' `single_level` for covariates.
#' @seealso [slam_prior()], [factor_loadings()]
#' @references
#' Runcie, D. E. and others (2021) MegaLMM: mega-scale linear mixed models for genomic predictions with thousands of traits. Genome Biology 22, 213.
#' @examples
#' set.seed(1)
#' sites <- data.frame(rain = rnorm(12), row.names = paste0("site", 1:12))
#' lines <- rnorm(40)
#' data <- data.frame(line = rep(paste0("l", 1:20), 2))
#' data$Y <- outer(lines, sites$rain + 0.3 * rnorm(12)) + matrix(rnorm(480), 40)
#' colnames(data$Y) <- rownames(sites)
#' prior <- slam_prior(loading_means = loading_regression(~rain, sites))
#' fit <- slamglmm_fit(Y ~ 1 + (1 | line), data, prior = prior, n_factors = 2, chains = 2, iter = 400, seed = 1)
#' loading_effects(fit, level = 0.9)
#'
#' # two new sites: their loadings, and what is expected there of the lines, row by row of the data
#' new <- data.frame(rain = c(-1, 2), row.names = c("dry", "wet"))
#' loading_effects(fit, newdata = new)
#' loadings <- loading_effects(fit, newdata = new, draws = TRUE)
#' factors <- scores(fit, draws = TRUE)
#' one <- function(i) factors[, , i] %*% t(loadings[, , i])
#' head(rowMeans(vapply(seq_len(dim(factors)[3]), one, matrix(0, 40, 2)), dims = 2))
#' @export
loading_regression <- function(formula, data, variance = inverse_gamma(3, 1), intercept = FALSE) {
  check_arguments()
  if (!inherits(formula, "formula") || length(formula) != 2) abort_fastlmm(
    "formula", "formula of loading_regression() must have one side, as ~ temperature + soil"
  )
  if (length(find_bars(formula[[2]])) > 0) abort_fastlmm(
    "formula", "formula of loading_regression() has random terms; the effects of covariates of responses are random as they are"
  )
  data <- needed_frame(data, "data")
  check_variance_prior(variance, "variance")
  if (length(variance$shape) != 1 || length(variance$scale) != 1 || !is.finite(variance$shape)) abort_prior(
    "variance of loading_regression() must be one inverse_gamma() or inverse_wishart() for all terms"
  )
  if (nrow(data) > 0 && !has_row_names(data)) abort_row_names("data of loading_regression() has no row names; they must be names of responses")
  structure(list(formula = formula, data = data, variance = variance, intercept = intercept), class = "slam_loading_regression")
}

#' @rdname loading_regression
#' @param x a fit by [slamglmm_fit()]; for `print()` the value of `loading_regression()`.
#' @param ... not used.
#' @export
print.slam_loading_regression <- function(x, ...) {
  check_arguments(...)
  cat(prior_text(x), "\n", sep = "")
  invisible(x)
}

#' @rdname loading_regression
#' @param align,draws,level as in [factor_loadings()].
#' @param newdata covariates of responses, in the fit or not, for which the means `c_j'w_m` of the loadings are returned instead of effects.
#' @export
loading_effects <- function(x, align = TRUE, draws = FALSE, level = NULL, newdata = NULL) {
  check_arguments()
  check_slam(x, "loading_effects", "summary(fit)")
  if (count_trait_covariates(x) == 0) abort_loadings(
    "the loadings of this fit do not depend on covariates; see slam_prior(loading_means = loading_regression(...))"
  )
  check_loadings_memory(x)
  transform <- x$numbers$trait_transform
  if (!is.null(newdata)) transform <- new_trait_columns(x, newdata) %*% transform
  all <- each_draw(x, function(d) structure(transform %*% d$effects, dimnames = list(rownames(transform), factor_names(x))))
  if (align) all <- aligned(all, alignment(x))
  of_loadings(x, all, draws, level, if (is.null(newdata)) "covariate" else "response")
}

abort_loadings <- function(message, ...) abort_fastlmm("loading_regression", message, ...)

# ---- as the sampler takes them ----------------------------------------------------------------------------

# Columns q, 0 for fits without and of earlier versions
count_trait_covariates <- function(fit) if (is.null(fit$numbers$trait_covariates)) 0L else ncol(fit$numbers$trait_covariates)

# Covariates C (p x q), the group of each column, the prior of variances; effects of the design's columns are trait_transform times those of C. Nothing if there
# are none.
trait_numbers <- function(means, responses) {
  if (is.null(means)) return(NULL)
  design <- trait_design(means, responses)
  units <- column_units(design$X)
  X <- in_units(design$X, units)
  size <- column_sd(X)
  X <- sweep(sweep(X, 2, colMeans(X)), 2, size, "/")
  parts <- lapply(split(seq_len(ncol(X)), design$term), function(at) orthonormal(X[, at, drop = FALSE]))
  groups <- rep(seq_along(parts), vapply(parts, function(part) ncol(part$Q), 0L))
  transform <- block_diagonal(lapply(parts, `[[`, "transform")) / size / units
  C <- do.call(cbind, lapply(parts, `[[`, "Q"))
  names <- colnames(X)
  if (means$intercept) {
    C <- cbind(1, C)
    groups <- c(1L, groups + 1L)
    transform <- block_diagonal(list(matrix(1), transform))
    names <- c("(Intercept)", names)
  }
  list(
    trait_covariates = unname(C), trait_groups = groups, trait_variance = c(means$variance$shape, means$variance$scale),
    trait_transform = structure(transform, dimnames = list(names, NULL))
  )
}

# What the glue takes of a fit without them
with_trait_numbers <- function(numbers) {
  if (!is.null(numbers$trait_covariates)) return(numbers)
  c(numbers, list(trait_covariates = matrix(0, 0, 0), trait_groups = integer(), trait_variance = c(3, 1)))
}

# Columns of the design, and the number of the term of each
trait_design <- function(means, responses) {
  lost <- setdiff(responses, rownames(means$data))
  if (length(lost) > 0) abort_loadings(
    paste0("data of loading_regression() has no rows of the responses ", first_names(lost), did_you_mean(lost[1], setdiff(rownames(means$data), responses))),
    responses = lost
  )
  data <- means$data[responses, , drop = FALSE]
  terms <- trait_terms(means$formula, data)
  frame <- data_frame_of(stats::formula(terms), data)
  if (nrow(frame) != length(responses)) abort_loadings(
    sprintf("variables of loading_regression() have %d rows for %d responses", nrow(frame), length(responses))
  )
  gone <- rownames(data)[!stats::complete.cases(frame)]
  if (length(gone) > 0) abort_fastlmm(
    "missing_values", paste0("covariates of the responses ", first_names(gone), " are missing; leave those responses or covariates out, or fill them in"),
    responses = gone
  )
  frame[] <- Map(drop_levels, frame, names(frame))
  check_levels(terms, frame)
  whole <- tryCatch(design_matrix(terms, frame, NULL), error = abort_contrasts)
  term <- attr(whole, "assign")
  X <- whole[, term > 0, drop = FALSE]
  check_trait_columns(X)
  # what new responses are read by
  new <- structure(attr(frame, "terms"), intercept = 1L, columns = column_names(terms, data, NULL, nrow(data)))
  list(X = X, term = term[term > 0], new = new, xlevels = stats::.getXlevels(terms, frame), contrasts = attr(whole, "contrasts"))
}

# Columns of the design of any responses, about the means of those of the fit
new_trait_columns <- function(fit, newdata) {
  means <- fit$prior$loading_means
  old <- trait_design(means, colnames(fit$Y))
  newdata <- needed_frame(newdata, "newdata")
  frame <- forge_frame(list(formula = means$formula, terms = old$new), old$new, newdata)
  frame <- as_fitted(frame, list(terms = old$new, xlevels = old$xlevels))
  X <- design_matrix(old$new, frame, old$contrasts)[, colnames(old$X), drop = FALSE]
  infinite <- colnames(X)[colSums(is.infinite(X)) > 0]
  if (length(infinite) > 0) abort_fastlmm("nonfinite", paste0("covariates of responses have infinite values in newdata: ", first_names(infinite)))
  X <- sweep(X, 2, colMeans(old$X))
  rownames(X) <- rownames(newdata)
  if (means$intercept) cbind(rep(1, nrow(X)), X) else X
}

# Contrasts are of factors beside an intercept, whatever the formula says of one
trait_terms <- function(formula, data) {
  terms <- tryCatch(
    stats::terms(formula, data = data), error = function(error) abort_fastlmm("formula", paste("formula of loading_regression():", conditionMessage(error)))
  )
  attr(terms, "intercept") <- 1L
  if (length(attr(terms, "term.labels")) == 0) abort_fastlmm("formula", "formula of loading_regression() has no covariates; intercept = TRUE needs some")
  if (!is.null(attr(terms, "offset"))) abort_fastlmm(
    "formula", "formula of loading_regression() has an offset; give known loadings as known_loadings of slamglmm_fit()"
  )
  terms
}

check_trait_columns <- function(X) {
  infinite <- colnames(X)[!is.finite(colSums(X))]
  if (length(infinite) > 0) abort_fastlmm("nonfinite", paste0("covariates of responses have infinite values: ", first_names(infinite)))
  # of one response nothing varies
  constant <- colnames(X)[nrow(X) < 2 | !(column_sd(X) > 0)]
  if (length(constant) > 0) abort_fastlmm("constant_covariate", paste0("covariates of responses do not vary over the responses: ", first_names(constant)))
}

# Standardised columns made orthogonal, without BLAS, so that draws do not depend on it: `Q = X transform`. Columns that depend on those before are left out.
orthonormal <- function(X) {
  p <- nrow(X)
  Q <- matrix(0, p, 0)
  transform <- matrix(0, ncol(X), 0)
  for (l in seq_len(ncol(X))) {
    left <- X[, l]
    by <- as.numeric(seq_len(ncol(X)) == l)
    for (o in seq_len(ncol(Q))) {
      share <- sum(Q[, o] * left) / (p - 1)
      left <- left - share * Q[, o]
      by <- by - share * transform[, o]
    }
    size <- sqrt(sum(left^2) / (p - 1))
    if (size <= 1e-7) next
    Q <- cbind(Q, left / size)
    transform <- cbind(transform, by / size)
  }
  list(Q = Q, transform = transform)
}

block_diagonal <- function(blocks) {
  rows <- vapply(blocks, nrow, 0L)
  columns <- vapply(blocks, ncol, 0L)
  out <- matrix(0, sum(rows), sum(columns))
  for (i in seq_along(blocks)) out[sum(rows[seq_len(i - 1)]) + seq_len(rows[i]), sum(columns[seq_len(i - 1)]) + seq_len(columns[i])] <- blocks[[i]]
  out
}
