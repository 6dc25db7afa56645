#' Fitted values and residuals
#'
#' Fitted values include the random effects. Both are padded with `NA` where `na.action = na.exclude` left rows out.
#'
#' @param object a fit by [fastlmm_fit()].
#' @param type `"response"` (or `"working"`): the response minus the fitted value; `"pearson"` (or `"deviance"`): the
#'   same times the square root of the prior weight.
#' @param scaled divide by the residual standard deviation? Where that is zero, at `h2 = 1`, scaled residuals are `NA`.
#' @param ... not used; an unknown argument is an error.
#' @return A numeric vector named by the rows of the data.
#' @examples
#' fit <- fastlmm_fit(distance ~ age + (1 | Subject), nlme::Orthodont)
#' head(fitted(fit))
#' head(residuals(fit, "pearson", scaled = TRUE))
#' @export
residuals.fastlmm <- function(object, type = c("response", "pearson", "working", "deviance"), scaled = FALSE, ...) {
  check_arguments(...)
  residual <- response(object) - conditional_fit(object)
  if (one_of(type) %in% c("pearson", "deviance")) residual <- residual * sqrt(prior_weights(object))
  if (scaled) residual <- residual / positive_sigma(object)
  naresid(object$na.action, residual)
}

# Without residual variance the residuals are rounding, and so is their ratio to it.
positive_sigma <- function(fit) {
  value <- sigma(fit)
  value[!is.na(value) & value <= 0] <- NA
  value
}

#' @rdname residuals.fastlmm
#' @export
fitted.fastlmm <- function(object, ...) {
  check_arguments(...)
  napredict(object$na.action, conditional_fit(object))
}

conditional_fit <- function(fit) {
  check_has_rows(fit, "fitted() or residuals()")
  structure(population_fit(fit) + random_fit(fit), names = rownames(fit$frame))
}
