# n_factors = "adaptive": as many as the data ask for.

adaptive_data <- function(factors, p = 30, n = 120) {
  set.seed(5)
  line <- rep(sprintf("l%02d", 1:(n / 4)), each = 4)
  loadings <- matrix(rnorm(p * factors) * rbinom(p * factors, 1, 0.4), p)
  F <- matrix(rnorm(n / 4 * factors), n / 4)[rep(seq_len(n / 4), each = 4), , drop = FALSE] + matrix(rnorm(n * factors), n)
  Y <- F %*% t(loadings) + matrix(rnorm(n * p), n)
  colnames(Y) <- sprintf("t%02d", seq_len(p))
  data.frame(line = line, Y = I(Y))
}

adapt <- function(data, ...) slamglmm_fit(Y ~ 1 + (1 | line), data, n_factors = "adaptive", chains = 1, iter = 40, progress = FALSE, ...)

test_that("as many factors as are needed, and two more", {
  few <- adaptive_data(3)
  expect_message(fit <- adapt(few, seed = 1), "[345] are needed", class = "fastlmm_message_n_factors")
  expect_gte(fit$n_factors, 5)
  expect_lte(fit$n_factors, 7)
  # the seed decides about the chains alone
  other <- suppressMessages(adapt(few, seed = 2))
  expect_equal(other$n_factors, fit$n_factors)
  expect_identical(
    suppressMessages(slamglmm_fit(Y ~ 1 + (1 | line), few, n_factors = fit$n_factors, chains = 1, iter = 40, seed = 1, progress = FALSE))$draws, fit$draws
  )
})

test_that("more factors are tried as long as all are used", {
  many <- adaptive_data(24, p = 60, n = 400)
  fit <- suppressMessages(adapt(many, seed = 1))
  expect_gt(fit$n_factors, 22)
  expect_lt(fit$n_factors, 32)
  one <- adaptive_data(1, p = 1)
  expect_equal(suppressMessages(adapt(one, seed = 1))$n_factors, 1)
  expect_error(slamglmm_fit(Y ~ 1 + (1 | line), one, n_factors = "many"), class = "fastlmm_error_n_factors")
})
