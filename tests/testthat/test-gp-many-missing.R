# Missing cells: responses that lack a few cells share the decompositions of all rows, and are the fits of the rows that they have.

test_that("responses with a few missing cells each are their single fits", {
  set.seed(21)
  n <- 80
  data <- data.frame(u = runif(n), v = runif(n), x = rnorm(n), w = runif(n, 0.5, 2))
  f <- draw_gp(as.matrix(data[c("u", "v")]), "exp_quad", 0.3)
  data$Y <- f %o% c(1, 1, 0.4, 0, 1) + 0.5 * matrix(rnorm(5 * n), n) / sqrt(data$w) + data$x
  for (j in 2:5) data$Y[sample(n, j - 1), j] <- NA
  data$Y[1:30, 5] <- NA
  for (method in c("REML", "ML")) {
    many <- suppressMessages(fastlmm_fit(Y ~ x + gp(u, v, cov = "exp_quad", range = c(0.1, 0.9)), data, method = method, weights = w))
    # a border at delta = 0, which ML would have to leave out, is none above a floor of delta
    expect_identical(unname(many$status), rep("ok", 5))
    for (j in 1:5) {
      data$y <- data$Y[, j]
      one <- suppressMessages(fastlmm_fit(y ~ x + gp(u, v, cov = "exp_quad", range = c(0.1, 0.9)), data, method = method, weights = w))
      expect_lt(abs(many$logLik[[j]] - one$logLik), 0.02)
      if (is.na(many$lengthscale[[j]])) next
      formula <- as.formula(bquote(y ~ x + gp(u, v, cov = "exp_quad", lengthscale = .(many$lengthscale[[j]]))))
      same <- suppressMessages(fastlmm_fit(formula, data, method = method, weights = w))
      expect_equal(many$logLik[[j]], same$logLik, tolerance = 1e-9)
      expect_equal(many$coefficients[, j], same$coefficients, tolerance = 1e-6)
      expect_equal(many$sigma2_e[[j]], same$sigma2_e, tolerance = 1e-5)
      expect_equal(unname(residuals(many)[!is.na(data$y), j]), unname(residuals(same)), tolerance = 1e-5)
    }
  }
})
