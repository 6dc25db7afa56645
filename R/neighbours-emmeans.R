# emmeans: the reference grid of a fit. https://CRAN.R-project.org/package=emmeans, vignette xtending

#' @exportS3Method emmeans::recover_data fastlmm
#' @noRd
recover_data.fastlmm <- function(object, data = NULL, ...) {
  if (is.null(object$frame)) return("emmeans() needs the rows of the data, which a fit of a table does not have")
  # the response tells of its transformation, also where the formula was given by a name
  call <- replace(object$call, "formula", list(formula(object)))
  emmeans::recover_data(call, stats::delete.response(terms(object)), object$na.action, data = data, frame = model.frame(object), ...)
}

# A text is the message of the error that emmeans raises.
#' @exportS3Method emmeans::recover_data fastlmm_mlm
#' @noRd
recover_data.fastlmm_mlm <- function(object, ...) "emmeans() is for one response; use extract_fit() for one of many"

#' @exportS3Method emmeans::emm_basis fastlmm
#' @noRd
emm_basis.fastlmm <- function(object, trms, xlev, grid, ddf = NULL, vcov. = NULL, lmer.df = NULL, mode = NULL, ...) {
  df <- known_ddf(object, emmeans_ddf(list(ddf = ddf, lmer.df = lmer.df, mode = mode)))
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

# By the names that fits of lme4 (lmer.df) and nlme (mode) have there, too; nothing asked for: emm_options(lmer.df = ). Of models with a link the mode is a
# scale, which ggemmeans() asks for whatever the model is.
emmeans_ddf <- function(asked) {
  if (is.character(asked$mode) && all(asked$mode %in% c("auto", "link", "response", "linear.predictor", "prob"))) asked$mode <- NULL
  asked <- Filter(Negate(is.null), asked)
  if (length(asked) == 0) asked <- list(ddf = emmeans::get_emm_option("lmer.df"))
  read <- function(value, name) {
    if (is.character(value)) value <- tolower(value)
    habits <- lapply(c(kr = "kenward-roger", none = "asymptotic"), function(value) paste0("write ", name, " = ", quoted(value)))
    one_of(value, c("kenward-roger", "satterthwaite", "asymptotic"), unlist(habits), name)
  }
  df <- unique(unlist(Map(read, asked, names(asked))))
  if (length(df) > 1) abort_ddf(paste0("emmeans() is asked for several kinds of degrees of freedom, by ", toString(paste(names(asked), "="))))
  df
}

basis_covariance <- function(fit, uncertainty) {
  if (is.null(uncertainty)) return(fit$vcov)
  structure(contrast_tests(uncertainty, diag(fit$rank))$vcov, dimnames = dimnames(fit$vcov))
}

basis_note <- function(df) {
  if (df == "asymptotic") return(NULL)
  paste("Degrees-of-freedom method:", df)
}

# A function of a contrast and of what it is computed from, which stays with the grid. emmeans takes the function out of this namespace, not those that it is
# given.
basis_degrees <- function(uncertainty) {
  if (is.null(uncertainty)) return(list(dffun = function(k, dfargs) Inf, dfargs = list()))
  list(dffun = function(k, dfargs) dfargs$of(k, dfargs), dfargs = list(of = contrast_df, uncertainty = uncertainty))
}

contrast_df <- function(k, dfargs) {
  if (all(k == 0)) return(NA_real_)
  contrast_tests(dfargs$uncertainty, matrix(k, 1))$df
}
