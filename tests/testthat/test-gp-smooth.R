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
