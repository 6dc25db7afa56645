# The interval of h2 by inversion of restricted likelihood-ratio tests whose distributions are simulated from the spectrum: those values that a test does not
# reject.

exact_intervals <- function(fit, table, level, nsim, seed, tails, oldNames) {
  check_variance_test(fit)
  if (length(fit$random) > 1) abort_variance_test("exact intervals are available for one random effect; otherwise use confint() or confint(method = \"boot\")")
  if (!(is_count(nsim) && nsim >= 100)) abort_fastlmm("nsim", paste("nsim must be a whole number of at least 100, not", code_text(nsim)))
  check_matrix_memory(fit$nobs + 3 * 200, nsim, sprintf("%.0f draws", nsim))
  state <- seed_generator(seed)
  on.exit(state$restore())
  limits <- matrix(NA_real_, nrow(table), 2)
  if (any(table$what == "h2")) limits[table$what == "h2", ] <- exact_h2(fit, 1 - level, nsim)
  interval_matrix(c(t(limits)), if (oldNames) table$name else telling_names(fit, table$name), tails)
}

spectrum_of <- function(fit) list(mu = fit$rotated$values * fit$rotated$k_scale, y2 = fit$rotated$y^2, rest = fit$rotated$rho, n_rest = fit$rotated$n_rest)

# A bound is where the p-value is alpha, found to 1e-4; the same draws serve all values.
exact_h2 <- function(fit, alpha, nsim) {
  fit <- with_spectrum(fit)
  s <- spectrum_of(fit)
  draws <- spectrum_draws(s, nsim)
  excess <- function(h2) {
    hear_stop()
    mean(ratios_at(s, draws, h2 / (1 - h2)) >= observed_at(s, fit, h2 / (1 - h2))) - alpha
  }
  ends <- c(0, 1 - 1e-6)
  at <- min(max(fit$h2, 1e-6), 1 - 1e-5)
  bound <- function(end, border) {
    if (abs(end - at) < 1e-5 || excess(end) >= 0) return(border)
    stats::uniroot(excess, sort(c(end, at)), tol = 1e-4)$root
  }
  c(bound(ends[1], 0), bound(ends[2], 1))
}

# Squares of standard normal values along the kernel's directions, and their sum along the others
spectrum_draws <- function(s, nsim) {
  inside <- s$mu > 0
  rest <- s$n_rest + sum(!inside)
  list(w2 = matrix(stats::rchisq(nsim * sum(inside), 1), nsim), left = if (rest > 0) stats::rchisq(nsim, rest) else 0)
}

# Twice the log-likelihood ratio of the best value to lambda0, of draws from lambda0
ratios_at <- function(s, draws, lambda0) {
  mu <- s$mu[s$mu > 0]
  df <- length(s$mu) + s$n_rest
  lambda <- c(0, exp(seq(log(1e-4), log(1e9), length.out = 180)) / max(mu))
  log_lik <- function(lambda) -df * log(
    draws$w2 %*% ((1 + lambda0 * mu) / (1 + outer(mu, lambda))) + draws$left
  ) - rep(colSums(log1p(outer(mu, lambda))), each = nrow(draws$w2))
  pmax(0, peak(log_lik(lambda)) - log_lik(lambda0)[, 1])
}

# Of each row: zero itself, or the refined largest of the others, which lie on an even grid
peak <- function(value) {
  others <- value[, -1, drop = FALSE]
  pmax(value[, 1], refined_maximum(others - value[, 1]) + value[, 1])
}

observed_at <- function(s, fit, lambda0) {
  df <- length(s$mu) + s$n_rest
  log_lik <- function(lambda) -df * log(sum(s$y2 / (1 + lambda * s$mu)) + s$rest) - sum(log1p(lambda * s$mu))
  best <- if (fit$sigma2_e > 0) fit$sigma2 / fit$sigma2_e else 1e12 / max(s$mu)
  max(0, log_lik(best) - log_lik(lambda0))
}
