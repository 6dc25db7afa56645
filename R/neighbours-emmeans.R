# emmeans: the reference grid of a fit. https://CRAN.R-project.org/package=emmeans, vignette xtending

#' @exportS3Method emmeans::recover_data fastlmm
#' @noRd
recover_data.fastlmm <- function(object, data = NULL, ...) {
  if (is.null(object$frame)) return("emmeans() needs the rows of the data, and a fit of a table has none")
  emmeans::recover_data(object$call, stats::delete.response(terms(object)), object$na.action, data = data, frame = model.frame(object), ...)
}

# A text is the message of the error that emmeans raises.
#' @exportS3Method emmeans::recover_data fastlmm_mlm
#' @noRd
recover_data.fastlmm_mlm <- function(object, ...) "emmeans() is of one response; use extract_fit() for one of many"

#' @exportS3Method emmeans::emm_basis fastlmm
#' @noRd
emm_basis.fastlmm <- function(object, trms, xlev, grid, ddf = "kenward-roger", vcov. = NULL, ...) {
  df <- known_ddf(object, one_of(ddf, c("kenward-roger", "satterthwaite", "asymptotic"), c(KR = "write ddf = \"kenward-roger\"", none = "write ddf = \"asymptotic\"")))
  frame <- stats::model.frame(trms, grid, na.action = stats::na.pass, xlev = xlev)
  uncertainty <- if (df != "asymptotic") fit_uncertainty(object, df)
  V <- basis_covariance(object, uncertainty)
  if (!is.null(vcov.)) V <- if (is.function(vcov.)) vcov.(object) else vcov.
  basis <- list(
    X = stats::model.matrix(trms, frame, contrasts.arg = object$contrasts), bhat = object$coefficients,
    nbasis = if (is.null(object$null_space)) matrix(NA) else object$null_space, V = V, misc = list(initMesg = basis_note(df))
  )
  c(basis, basis_degrees(uncertainty))
}

basis_covariance <- function(fit, uncertainty) {
  if (is.null(uncertainty)) return(fit$vcov)
  structure(contrast_tests(uncertainty, diag(fit$rank))$vcov, dimnames = dimnames(fit$vcov))
}

basis_note <- function(df) {
  if (df == "asymptotic") return(NULL)
  paste("Degrees-of-freedom method:", df)
}

# A function of a contrast and of what it is computed from, which stays with the grid. emmeans takes the function out of this namespace, not those that it is given.
basis_degrees <- function(uncertainty) {
  if (is.null(uncertainty)) return(list(dffun = function(k, dfargs) Inf, dfargs = list()))
  list(dffun = function(k, dfargs) dfargs$of(k, dfargs), dfargs = list(of = contrast_df, uncertainty = uncertainty))
}

contrast_df <- function(k, dfargs) {
  if (all(k == 0)) return(NA_real_)
  contrast_tests(dfargs$uncertainty, matrix(k, 1))$df
}
