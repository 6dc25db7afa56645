# Fields smoother than the default kernel, on the Fourier route: its coordinates of what the functions reach against the kernel matrix, and searches that end.

test_that("on a field smoother than its kernel the Fourier route agrees with the kernel matrix", {
  set.seed(31)
  n <- 1200
  d <- data.frame(u = runif(n), v = runif(n))
  d$y <- sin(6 * d$u) * cos(5 * d$v) + 0.3 * rnorm(n)
  for (cov in c("exp_quad", "matern52")) {
    formula <- as.formula(sprintf("y ~ u + gp(u, v, cov = \"%s\", basis = \"fourier\")", cov))
    for (method in c("REML", "ML")) {
      fit <- suppressMessages(fastlmm_fit(formula, d, method = method))
      if (fit$optimum$at_end) next
      dense <- dense_gp_at(fit$lengthscale[[1]], fit$delta, d$y, cbind(1, d$u), as.matrix(d[c("u", "v")]), cov, method)
      expect_equal(fit$logLik, dense$logLik, tolerance = 2e-3)
      expect_lt(max(abs(fixef(fit) - dense$beta) / sqrt(diag(dense$vcov))), 0.05)
    }
  }
})

test_that("length scale against variance of a field much smoother than the kernel ends", {
  set.seed(32)
  n <- 20000
  d <- data.frame(u = runif(n), v = runif(n))
  d$y <- sin(10 * d$u) * cos(8 * d$v) + 0.3 * rnorm(n)
  fit <- suppressMessages(fastlmm_fit(y ~ gp(u, v), d))
  expect_lt(abs(sigma(fit) - 0.3), 0.006)
  expect_lt(sqrt(mean((fitted(fit) - sin(10 * d$u) * cos(8 * d$v))^2)), 0.03)
})

test_that("a field smoother than its kernel ends at a stated limit where the basis may not be larger", {
  set.seed(33)
  n <- 3200
  d <- data.frame(u = runif(n), v = runif(n))
  truth <- sin(6 * d$u) * cos(5 * d$v)
  d$y <- truth + 0.05 * rnorm(n)
  expect_message(fit <- fastlmm_fit(y ~ gp(u, v, size = 1200), d), class = "fastlmm_message_gp_range")
  expect_true(fit$optimum$limited)
  expect_lt(abs(sigma(fit) / 0.05 - 1), 0.06)
  expect_lt(sqrt(mean((fitted(fit) - truth)^2)), 0.01)
  expect_output(print(summary(fit)), "still depends on the number of Fourier functions")
})

test_that("the log-likelihood of a basis is that of the kernel within what the fit says", {
  set.seed(34)
  n <- 700
  d <- data.frame(u = runif(n))
  for (cov in c("matern12", "matern32", "matern52")) {
    for (noise in c(0.1, 0.7)) {
      d$y <- drop(crossprod(chol(gp_matrix(as.matrix(d$u), cov, 0.3) + diag(1e-8, n)), rnorm(n))) + noise * rnorm(n)
      formula <- as.formula(sprintf("y ~ gp(u, cov = \"%s\", basis = \"fourier\")", cov))
      # a basis of fewer functions than rows cannot hold this
      rough <- cov == "matern12" && noise < 0.5
      if (rough) expect_error(fastlmm_fit(formula, d), class = "fastlmm_error_rough")
      if (rough) next
      fit <- suppressMessages(fastlmm_fit(formula, d))
      dense <- dense_gp_at(fit$lengthscale[[1]], fit$delta, d$y, cbind(rep(1, n)), as.matrix(d$u), cov, "REML")
      expect_lt(abs(fit$logLik - dense$logLik), max(0.01, fit$gp$log_lik_error))
      if (fit$gp$log_lik_error > 0.01) expect_output(print(summary(fit)), "log-likelihood is that of the basis")
    }
  }
})

test_that("intervals beyond the basis of a fit are made on a wider one and agree with the kernel matrix", {
  set.seed(35)
  n <- 300
  d <- data.frame(u = runif(n))
  d$y <- sin(4 * d$u) + 0.5 * rnorm(n)
  fourier <- fastlmm_fit(y ~ gp(u, basis = "fourier"), d)
  exact <- fastlmm_fit(y ~ gp(u, basis = "exact"), d)
  narrow <- fourier$random[[1]]$kernel$basis
  limits <- confint(fourier, c("lengthscale", "sigma2"))
  expect_true(limits[1, 1] < narrow$shortest || limits[1, 2] > narrow$longest)
  expect_equal(limits, confint(exact, c("lengthscale", "sigma2")), tolerance = 0.02)
})

test_that("what a fit says of its log-likelihood's error bounds it for the roughest kernel, also where the basis holds nearly all frequencies", {
  n <- 700
  for (seed in c(4, 6)) {
    set.seed(seed)
    d <- data.frame(u = runif(n))
    d$y <- drop(crossprod(chol(gp_matrix(as.matrix(d$u), "matern12", 0.3) + diag(1e-8, n)), rnorm(n))) + 0.7 * rnorm(n)
    fit <- suppressMessages(fastlmm_fit(y ~ gp(u, cov = "matern12", basis = "fourier"), d))
    dense <- dense_gp_at(fit$lengthscale[[1]], fit$delta, d$y, cbind(rep(1, n)), as.matrix(d$u), "matern12", "REML")
    expect_lt(abs(fit$logLik - dense$logLik), fit$gp$log_lik_error, label = paste("seed", seed))
  }
})

test_that("trends and data with next to no noise are the same in Fourier space and by the kernel matrix, and by the definition", {
  set.seed(3)
  n <- 600
  d <- data.frame(u = runif(n), v = runif(n))
  d$trend <- d$u + 0.5 * rnorm(n)
  d$smooth <- sin(3 * d$u) + d$v^2 + 1e-3 * rnorm(n)
  both <- function(response, cov, at) lapply(c(fourier = "fourier", exact = "exact"), function(basis) {
    suppressMessages(fastlmm_fit(as.formula(sprintf("%s ~ gp(%s, cov = \"%s\", basis = \"%s\")", response, toString(at), cov, basis)), d))
  })
  for (case in list(list("trend", "exp_quad", "u"), list("trend", "matern52", "u"), list("smooth", "exp_quad", c("u", "v")))) {
    fits <- both(case[[1]], case[[2]], case[[3]])
    dense <- dense_gp_of(fits$fourier, as.matrix(d[case[[3]]]))
    expect_equal(fits$fourier$logLik, dense$logLik, tolerance = 1e-5)
    expect_equal(fits$fourier$logLik, fits$exact$logLik, tolerance = 1e-5)
    expect_equal(c(fits$fourier$lengthscale, sigma(fits$fourier)), c(fits$exact$lengthscale, sigma(fits$exact)), tolerance = 1e-3)
    expect_identical(fits$fourier$optimum$at_end, fits$exact$optimum$at_end)
    expect_lt(max(abs(fitted(fits$fourier) - fitted(fits$exact))), 1e-2 * sigma(fits$exact))
  }
  d$smooth <- sin(3 * d$u) + d$v^2
  fits <- both("smooth", "exp_quad", c("u", "v"))
  for (fit in fits) expect_identical(fit$optimum$boundary, "delta at its floor")
  # rounding says at which delta as small the search ends: with other seeds up to 4e-4
  for (fit in fits) expect_lt(max(abs(fitted(fit) - d$smooth)), 1e-3)
})

test_that("two windows that send the search to one another end it", {
  skip_on_cran()
  set.seed(1)
  n <- 1e6
  d <- data.frame(u = runif(n), v = runif(n))
  d$y <- sin(6 * d$u) * cos(5 * d$v) + 0.3 * rnorm(n)
  before <- fastlmm:::ffi_work()$search
  fit <- suppressMessages(fastlmm_fit(y ~ gp(u, v), d))
  # it was 44, with as many passes over the rows
  expect_lt(fastlmm:::ffi_work()$search - before, 25)
  # what the basis leaves out, up to 1.5 tol of the residual variance, is taken for a part of the process that so smooth a field has not
  expect_lt(abs(sigma(fit) / 0.3 - 1), 0.0075)
})
