#' Exact test of a zero variance
#'
#' The restricted likelihood-ratio test of `sigma2 = 0` against `sigma2 > 0`, for a random effect, alone or beside others. The null hypothesis
#' is on the boundary of the parameter space, so the statistic is not chi-squared with one degree of freedom, and the usual equal mixture of a
#' point mass at zero and that distribution is right only for many independent ids. Its finite-sample distribution depends only on the
#' eigenvalues of the projected kernel (Crainiceanu and Ruppert 2004), which the fit keeps, and is simulated; the `nsim` draws need no
#' refitting. The p-value is exact, up to simulation error, for any design and kernel if the residuals are normal.
#'
#' A statistic of zero has p-value 1; under the null hypothesis this happens with probability `mass`. Smaller p-values are uniform.
#'
#' Beside other random effects the statistic compares the fit with the model without the effect, refitted. Its null distribution depends on the
#' ratios of the other variances to the residual variance, which are fixed at their estimates in the model without the effect (Greven and
#' others 2008 instead treat the other effects as known). Given these ratios the distribution is again that for one effect, and exact if they
#' are right. This takes a decomposition of size number of rows.
#'
#' @param fit a REML fit by [fastlmm_fit()] without [gp()]; others are refused (error `fastlmm_error_variance_test`).
#' @param nsim number of draws from the null distribution. The standard error of a p-value `p` is `sqrt(p (1 - p) / nsim)`.
#' @param seed a number that makes the result reproducible; the state of R's generator is restored.
#' @param term with several random effects, the one to be tested: its grouping factor as named by `VarCorr()`, its term as `"1 | g"`, or its
#'   number. Effects of a correlated term, `(1 + x | id)`, are refused: none can be removed without its covariances. Fit
#'   `(1 | id) + (0 + x | id)` and test that, or compare the statistic of `anova(fit, smaller)` with those of fits to draws by [simulate()] of
#'   the smaller fit.
#' @return A list of class `htest`: `statistic` (RLRT), `p.value` (the proportion of statistics at least as large as the observed one, which is
#'   counted among them), `mass` (proportion of draws that are zero), `mixture.p.value` (from the equal mixture of a point mass at zero and
#'   chi-squared with one degree of freedom, for comparison), `estimate` (`h2`; beside other effects the variance), `null` (the draws).
#' @references
#' Crainiceanu, C. M. and Ruppert, D. (2004) Likelihood ratio tests in linear mixed models with one variance component. JRSS B 66, 165-185.
#'
#' Greven, S., Crainiceanu, C. M., Kuechenhoff, H. and Peters, A. (2008) Restricted likelihood ratio testing for zero variance components in linear mixed models. Journal of Computational and Graphical Statistics 17, 870-891.
#' @seealso [anova.fastlmm()] for fixed effects, [confint.fastlmm()] for an interval of `h2`.
#' @examples
#' fit <- fastlmm_fit(distance ~ age + (1 | Subject), nlme::Orthodont)
#' test_variance(fit, seed = 1)
#' # beside another: do slopes differ between subjects?
#' both <- fastlmm_fit(distance ~ age + (1 | Subject) + (0 + age | Subject), nlme::Orthodont)
#' test_variance(both, term = "0 + age | Subject", seed = 1)
#' @export
test_variance <- function(fit, nsim = 10000, seed = NULL, term = NULL) {
  check_arguments()
  check_variance_test(fit)
  label <- tested_effect(fit, term)
  fit <- with_spectrum(fit)
  if (!is_count(nsim)) abort_fastlmm("nsim", paste("nsim must be a whole number of at least 1, not", code_text(nsim)))
  alone <- length(fit$random) == 1
  found <- if (alone) list(spectrum = spectrum_of(fit), statistic = observed_ratio(spectrum_of(fit), fit)) else variance_test_beside(fit, label)
  check_matrix_memory(3 * 200, nsim, sprintf("%.0f draws", nsim))
  state <- seed_generator(seed)
  on.exit(state$restore())
  statistic <- found$statistic
  spectrum <- found$spectrum
  null <- null_ratios(spectrum, nsim)
  p <- (1 + sum(null >= statistic)) / (nsim + 1)
  if (statistic <= 0) p <- 1
  structure(
    list(
      statistic = c(RLRT = statistic), p.value = p,
      estimate = if (alone) c(h2 = unname(fit$h2)) else structure(unname(fit$sigma2[label]), names = paste0("sigma2.", label)), null.value = c(sigma2 = 0),
      alternative = "greater",
      method = sprintf(
        if (alone) "Exact restricted likelihood-ratio test of a variance of zero (%.0f draws)"
          else "Restricted likelihood-ratio test of a variance of zero, given the ratios of the others (%.0f draws)",
        nsim
      ),
      data.name = deparse1(formula(fit)), mass = mean(null == 0),
      mixture.p.value = if (statistic > 0) pchisq(statistic, 1, lower.tail = FALSE) / 2 else 1, null = null
    ),
    class = "htest"
  )
}

check_variance_test <- function(fit) {
  if (inherits(fit, "fastlmm_mlm")) abort_one_by_one("test_variance")
  if (!inherits(fit, "fastlmm")) abort_fastlmm("not_a_fit", paste("test_variance() needs a fit by fastlmm_fit(), not an object of class", class(fit)[1]))
  reason <- if (is_gp_fit(fit)) {
    "a length scale has no meaning if the variance is zero; anova() and confint() are approximate"
  } else if (has_levels(fit)) {
    "the null distribution is known for one residual variance only; anova() is approximate"
  } else if (!is.null(fit$given)) {
    "the residual variance is given; anova() and confint() are approximate"
  } else if (is_sparse_fit(fit) && length(fit$random) == 1 && !is_of_levels(fit)) {
    "it needs the spectrum of the kernel between the ids with data: give that, K = as.matrix(K, ids = ...)"
  } else if (!is_reml(fit)) {
    "needs a REML fit; update(fit, method = \"REML\")"
  } else if (fit$status != "ok") {
    paste0("the fit is ", quoted(fit$status))
  }
  if (!is.null(reason)) abort_fastlmm("variance_test", paste("no exact test of the variance:", reason))
}

# At the ratio lambda = sigma2 / sigma2_e, twice the restricted log-likelihood less that of lambda = 0, with y2 the squared projected and rotated response:
# (n - p) log(sum y2 / sum(y2 / (1 + lambda mu))) - sum log(1 + lambda mu)
observed_ratio <- function(s, fit) {
  df <- length(s$mu) + s$n_rest
  total <- sum(s$y2) + s$rest
  if (fit$sigma2 == 0) return(0)
  # in the limit of no residual variance both sums grow like lambda
  at <- if (fit$sigma2_e > 0) df * log(
    total / (sum(s$y2 / (1 + fit$sigma2 / fit$sigma2_e * s$mu)) + s$rest)
  ) - sum(log1p(fit$sigma2 / fit$sigma2_e * s$mu)) else df * log(total / sum(s$y2 / s$mu)) - sum(log(s$mu))
  max(0, at)
}

# The largest over a grid of ratios, refined by a parabola through the three best points
null_ratios <- function(s, nsim) {
  df <- length(s$mu) + s$n_rest
  rest <- df - sum(s$mu > 0)
  if (rest == df) return(numeric(nsim))
  tied <- tied_values(s$mu[s$mu > 0])
  mu <- tied$value
  lambda <- exp(seq(log(1e-4), log(1e7), length.out = 180)) / max(mu)
  shrunk <- 1 / (1 + outer(mu, lambda))
  log_det <- colSums(tied$count * log1p(outer(mu, lambda)))
  block <- max(1, 2e6 %/% length(mu))
  unlist(lapply(split(seq_len(nsim), (seq_len(nsim) - 1) %/% block), function(rows) {
    hear_stop()
    w2 <- matrix(stats::rchisq(length(rows) * length(mu), rep(tied$count, each = length(rows))), length(rows))
    left <- if (rest > 0) stats::rchisq(length(rows), rest) else 0
    refined_maximum(df * log((rowSums(w2) + left) / (w2 %*% shrunk + left)) - rep(log_det, each = length(rows)))
  }), use.names = FALSE)
}

# Values that rounding alone sets apart, as of levels with equally many rows, and how many they are: sums of squares over them are one number
tied_values <- function(value) {
  value <- sort(value, decreasing = TRUE)
  group <- cumsum(c(TRUE, diff(value) < -1e-10 * value[-1]))
  count <- tabulate(group)
  list(value = as.numeric(rowsum(value, group)) / count, count = count)
}

# Of the rows of values on an even grid, whose first point is next to zero
refined_maximum <- function(value) {
  n <- ncol(value)
  at <- max.col(value, "first")
  top <- value[cbind(seq_along(at), at)]
  inner <- at > 1 & at < n
  before <- value[cbind(seq_along(at), pmax(at - 1, 1))]
  after <- value[cbind(seq_along(at), pmin(at + 1, n))]
  bend <- before - 2 * top + after
  gain <- ifelse(inner & bend < 0, -(after - before)^2 / (8 * bend), 0)
  # largest at the first point: falling from zero on
  ifelse(at == 1, 0, pmax(0, top + gain))
}
