test_that("at zero the ratios are those of the test of zero", {
  skip_if_not_installed("lme4")
  fit <- lme4_pair("sleepstudy")$ours
  s <- spectrum_of(fit)
  set.seed(1)
  draws <- spectrum_draws(s, 50)
  df <- length(s$mu) + s$n_rest
  mu <- s$mu[s$mu > 0]
  one <- function(i) {
    value <- function(log_lambda) df * log(
      (sum(draws$w2[i, ]) + draws$left[i]) / (sum(draws$w2[i, ] / (1 + exp(log_lambda) * mu)) + draws$left[i])
    ) - sum(log1p(exp(log_lambda) * mu))
    max(0, optimize(value, c(-12, 2), maximum = TRUE, tol = 1e-8)$objective)
  }
  expect_equal(ratios_at(s, draws, 0), vapply(1:50, one, 0), tolerance = 1e-3)
  expect_equal(observed_at(s, fit, 0), test_variance(fit, 10)$statistic[[1]])
})

test_that("intervals hold h2 as often as they say, on the borders and inside", {
  set.seed(5)
  m <- 40
  ids <- paste0("i", seq_len(m))
  K <- structure(exp(-abs(outer(seq_len(m), seq_len(m), "-")) / 5), dimnames = list(ids, ids))
  root <- t(chol(K))
  data <- data.frame(id = ids, x = rnorm(m))
  R <- 400
  for (h2 in c(0, 0.02, 0.5, 0.98)) {
    Y <- sqrt(h2) * root %*% matrix(rnorm(m * R), m) + sqrt(1 - h2) * matrix(rnorm(m * R), m)
    first <- quiet_fit(fastlmm_fit(Y[, 1] ~ x + (1 | id), data, K = K))
    s <- spectrum_of(first)
    null <- ratios_at(s, spectrum_draws(s, 2000), h2 / (1 - h2))
    # the test of the true value in each data set: intervals hold it where that does not reject
    held <- vapply(seq_len(120), function(j) {
      fit <- quiet_fit(refit(first, Y[, j]))
      mean(null >= observed_at(spectrum_of(fit), fit, h2 / (1 - h2))) >= 0.1
    }, NA)
    expect_gt(mean(held), 0.9 - 3 * sqrt(0.09 / 120), label = paste("coverage at", h2))
    # zero has a mass at the border of its range: those data sets are held
    if (h2 > 0.1) expect_lt(mean(held), 0.9 + 3 * sqrt(0.09 / 120))
  }
})

test_that("bounds are where the test has the p-value of the level; borders are borders", {
  skip_if_not_installed("lme4")
  fit <- kernel_fit()
  limits <- confint(fit, "h2", level = 0.9, method = "exact", nsim = 2000, seed = 1)
  set.seed(1)
  s <- spectrum_of(fit)
  draws <- spectrum_draws(s, 2000)
  for (bound in limits[limits > 0 & limits < 1]) {
    expect_equal(mean(ratios_at(s, draws, bound / (1 - bound)) >= observed_at(s, fit, bound / (1 - bound))), 0.1, tolerance = 0.05)
  }
  expect_true(limits[1] <= fit$h2 && fit$h2 <= limits[2])
  boundary <- confint(lme4_pair("Dyestuff2")$ours, method = "exact", nsim = 500, seed = 1)
  expect_identical(boundary["h2", 1], 0)
  expect_true(all(is.na(boundary[rownames(boundary) != "h2", ])))
  expect_error(confint(lme4_pair("sleepstudy", "ML")$ours, method = "exact"), class = "fastlmm_error_variance_test")
  expect_error(confint(fit, "h2", method = "exact", nsim = 5), class = "fastlmm_error_nsim")
})
