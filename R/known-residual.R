# A residual variance that is known, so that weights are the inverses of known sampling variances, and what is left to ask then: do the rows differ by more than
# these?

known_residual <- function(sigma2_e) {
  if (is.null(sigma2_e) || is.numeric(sigma2_e) && length(sigma2_e) == 1 && is.finite(sigma2_e) && sigma2_e > 0) return(sigma2_e)
  abort_known(paste("must be one positive number, or NULL to be estimated, not", code_text(sigma2_e)))
}

given_variance <- function(sigma2_e) if (is.null(sigma2_e)) numeric() else as.numeric(sigma2_e)

abort_known <- function(message) abort_fastlmm("sigma2_e", paste("sigma2_e", message))

# Of new rows by their own weights, which the known variance is over
given_new_variance <- function(fit, newdata) {
  weights <- tryCatch(evaluate_new(fit$call$weights, fit, newdata), fastlmm_error = function(error) NULL)
  if (!is.numeric(weights) || length(weights) != nrow(newdata)) {
    abort_known(paste0(
      "is over weights = ", code_text(fit$call$weights), ", which newdata does not give: add its variables, the sampling variances of the new rows. ",
      "interval = \"confidence\" with allow.new.levels = TRUE is that of a new effect without its sampling error"
    ))
  }
  fit$given / weights
}

# With V given the criteria differ by the determinant of X'V^-1 X alone.
known_other_log_lik <- function(fit) {
  difference <- (log_det(fit$vcov) + fit$rank * log(2 * pi)) / 2
  fit$logLik + if (is_reml(fit)) -difference else difference
}

#' Test of heterogeneity with known sampling variances
#'
#' For fits with a known residual variance, `fastlmm_fit(weights = 1 / vi, sigma2_e = 1)`: a meta-analysis of estimates with sampling variances
#' `vi`. The null hypothesis is that all random effects have variance zero, so that the rows differ only by their fixed effects and sampling
#' errors.
#'
#' `"Q"` is Cochran's test: the weighted residual sum of squares about the fixed effects, which for normal errors is exactly chi-squared with n -
#' p degrees of freedom under the null hypothesis. Its estimates are `H2 = Q / (n - p)` and `I2 = 1 - 1 / H2` (Higgins and Thompson 2002).
#' `"LRT"` is the (restricted, for REML) likelihood-ratio test of the fit against the one without random effects. The null hypothesis is on the
#' boundary of the parameter space: for one variance the asymptotic null distribution is an equal mixture of a point mass at zero and
#' chi-squared with one degree of freedom; for q variances and covariances the p-value is an upper bound, the mean of the tail probabilities
#' with q - 1 and q degrees of freedom (Perlman 1969), and so is conservative.
#'
#' @param fit a fit by [fastlmm_fit()] with `sigma2_e`; others are refused (error `fastlmm_error_heterogeneity`).
#' @param test `"Q"` or `"LRT"`.
#' @return A list of class `htest`: `statistic`, `parameter` (degrees of freedom for `"Q"`, number of variances and covariances for `"LRT"`),
#'   `p.value`, `estimate`.
#' @references
#' Cochran, W. G. (1954) The combination of estimates from different experiments. Biometrics 10, 101-129.
#'
#' Higgins, J. P. T. and Thompson, S. G. (2002) Quantifying heterogeneity in a meta-analysis. Statistics in Medicine 21, 1539-1558.
#'
#' Perlman, M. D. (1969) One-sided testing problems in multivariate analysis. Annals of Mathematical Statistics 40, 549-567.
#' @examples
#' set.seed(1)
#' studies <- data.frame(study = factor(1:20), vi = runif(20, 0.05, 0.4))
#' studies$yi <- 0.3 + 0.4 * rnorm(20) + sqrt(studies$vi) * rnorm(20)
#' fit <- fastlmm_fit(yi ~ 1 + (1 | study), studies, weights = 1 / vi, sigma2_e = 1)
#' test_heterogeneity(fit)
#' test_heterogeneity(fit, "LRT")
#' @export
test_heterogeneity <- function(fit, test = c("Q", "LRT")) {
  check_arguments()
  check_heterogeneity(fit)
  test <- one_of(test, c("Q", "LRT"))
  without <- without_effects(fit)
  found <- if (test == "Q") q_test(without) else effects_test(fit, without)
  structure(c(found, list(data.name = deparse1(formula(fit)))), class = "htest")
}

check_heterogeneity <- function(fit) {
  if (inherits(fit, "fastlmm_mlm")) abort_one_by_one("test_heterogeneity")
  if (!inherits(fit, "fastlmm")) abort_fastlmm("not_a_fit", paste("test_heterogeneity() needs a fit by fastlmm_fit(), not an object of class", class(fit)[1]))
  if (is.null(fit$given)) abort_fastlmm(
    "heterogeneity",
    paste0(
      "the test needs known sampling variances: give them to fastlmm_fit() as weights = 1 / vi, sigma2_e = 1; test_variance() tests a variance beside an ",
      "estimated one"
    )
  )
}

# The sum of squares and the log-likelihood of the model without random effects
without_effects <- function(fit) {
  root <- sqrt(prior_weights(fit) / fit$given)
  y <- root * (response(fit) - fit$offset)
  found <- qr(root * unname(fixed_design(fit)[, fit$kept, drop = FALSE]), tol = 0)
  Q <- sum(qr.resid(found, y)^2)
  df <- fit$nobs - fit$rank
  of_x <- if (is_reml(fit)) 2 * sum(log(abs(diag(qr.R(found))))) else 0
  counted <- if (is_reml(fit)) df else fit$nobs
  list(Q = Q, df = df, logLik = sum(log(root)) - (counted * log(2 * pi) + of_x + Q) / 2)
}

q_test <- function(without) {
  H2 <- without$Q / without$df
  list(
    statistic = c(Q = without$Q), parameter = c(df = without$df), p.value = pchisq(without$Q, without$df, lower.tail = FALSE),
    estimate = c(I2 = max(0, 1 - 1 / H2), H2 = H2), method = "Q test of heterogeneity (Cochran)"
  )
}

effects_test <- function(fit, without) {
  statistic <- if (all(fit$sigma2 == 0)) 0 else max(0, 2 * (fit$logLik - without$logLik))
  q <- parameter_count(fit$random)
  tail <- function(df) if (df == 0) as.numeric(statistic <= 0) else pchisq(statistic, df, lower.tail = FALSE)
  list(
    statistic = c(LRT = statistic), parameter = c(variances = q), p.value = if (statistic <= 0) 1 else (tail(q - 1) + tail(q)) / 2,
    estimate = fit$sigma2, method = paste(if (is_reml(fit)) "Restricted likelihood-ratio" else "Likelihood-ratio", "test of heterogeneity")
  )
}
