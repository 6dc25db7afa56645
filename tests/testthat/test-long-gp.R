# Recovery of Gaussian processes over simulated fields: make check-long.

skip_unless_long_gp <- function() skip_if_not(is_long(), "slow; make check-long runs it")

# Are the true values inside the 95 % intervals? One row a field.
covered <- function(fields, truth, draw_one) {
  one <- function(i) {
    fit <- suppressMessages(draw_one(i))
    limits <- confint(fit, names(truth))
    limits[, 1] <= truth & truth <= limits[, 2]
  }
  vapply(seq_len(fields), one, logical(length(truth)))
}

expect_coverage <- function(inside) {
  share <- rowMeans(inside)
  for (name in names(share)) {
    expect_gte(share[[name]], 0.92)
    expect_lte(share[[name]], 0.98)
  }
}

# A stationary process at 1/n, 2/n, ..., 1, exactly, by circulant embedding twice as long
draw_on_line <- function(n, correlation) {
  lag <- c(0:n, (n - 1):1) / n
  values <- pmax(Re(fft(correlation(lag))), 0)
  noise <- complex(real = rnorm(2 * n), imaginary = rnorm(2 * n))
  Re(fft(sqrt(values / (2 * n)) * noise))[seq_len(n)]
}

# A field of many length scales, so that intervals of asymptotic theory can hold
field_truth <- c(lengthscale = 0.05, sigma2 = 1, delta = 0.5, .sigma2 = 0.5, x = 0.5, h2 = 2 / 3)

test_that("95 % intervals of the exact route cover the truth in 92 to 98 of 100 fields", {
  skip_unless_long_gp()
  set.seed(50)
  at <- matrix(runif(400 * 1), 400, dimnames = list(NULL, "u"))
  root <- chol(gp_matrix(at, "matern52", 0.05) + diag(1e-9, 400))
  x <- rnorm(400)
  inside <- covered(200, field_truth, function(i) {
    y <- 1 + x / 2 + drop(crossprod(root, rnorm(400))) + sqrt(0.5) * rnorm(400)
    fastlmm_fit(y ~ x + gp(u, basis = "exact"), data.frame(at, x, y))
  })
  expect_coverage(inside)
})

test_that("95 % intervals in Fourier space cover the truth in 92 to 98 of 100 fields", {
  skip_unless_long_gp()
  set.seed(51)
  n <- 1500
  at <- matrix(runif(2 * n), n, dimnames = list(NULL, c("u", "v")))
  root <- chol(gp_matrix(at, "exp_quad", 0.1) + diag(1e-9, n))
  x <- rnorm(n)
  inside <- covered(200, replace(field_truth, "lengthscale", 0.1), function(i) {
    y <- 1 + x / 2 + drop(crossprod(root, rnorm(n))) + sqrt(0.5) * rnorm(n)
    fastlmm_fit(y ~ x + gp(u, v, cov = "exp_quad", basis = "fourier"), data.frame(at, x, y))
  })
  expect_coverage(inside)
})

test_that("with a hundred thousand rows what the basis leaves out does not bias the residual variance", {
  skip_unless_long_gp()
  set.seed(52)
  n <- 1e5
  truth <- replace(field_truth, "lengthscale", 0.02)
  inside <- covered(200, truth, function(i) {
    data <- data.frame(u = seq_len(n) / n, x = rnorm(n))
    data$y <- 1 + data$x / 2 + draw_on_line(n, function(r) gp_cor(r / 0.02, "matern52")) + sqrt(0.5) * rnorm(n)
    fastlmm_fit(y ~ x + gp(u, basis = "fourier"), data)
  })
  expect_coverage(inside)
})

test_that("kriging errors are as large as their standard errors say", {
  skip_unless_long_gp()
  set.seed(53)
  n <- 600
  for (cov in c("exp_quad", "matern52")) {
    at <- matrix(runif(2 * (n + 50)), ncol = 2, dimnames = list(NULL, c("u", "v")))
    root <- chol(gp_matrix(at, cov, 0.3) + diag(1e-9, n + 50))
    new <- n + 1:50
    z2 <- vapply(1:200, function(i) {
      f <- drop(crossprod(root, rnorm(n + 50)))
      y <- 1 + f[-new] + sqrt(0.5) * rnorm(n)
      formula <- as.formula(sprintf("y ~ gp(u, v, cov = \"%s\", lengthscale = 0.3)", cov))
      fit <- suppressMessages(fastlmm_fit(formula, data.frame(at[-new, ], y)))
      found <- predict(fit, data.frame(at[new, ]), se.fit = TRUE)
      mean(((found$fit - 1 - f[new]) / found$se.fit)^2)
    }, 0)
    expect_equal(mean(z2), 1, tolerance = 0.08)
  }
})

test_that("without a process half of the fits end at the boundary, or nearly so many", {
  skip_unless_long_gp()
  set.seed(54)
  data <- data.frame(u = runif(200), v = runif(200))
  none <- vapply(1:300, function(i) {
    data$y <- rnorm(200)
    suppressMessages(fastlmm_fit(y ~ gp(u, v, lengthscale = 0.2), data))$h2 == 0
  }, NA)
  expect_gt(mean(none), 0.4)
  expect_lt(mean(none), 0.65)
})

test_that("a process beside groups is never worse than a model without one of the effects (100 small data sets)", {
  skip_unless_long_gp()
  for (seed in 101:200) expect_no_submodel_better(seed)
})

test_that("single fits reach the best likelihood of a dense search (500 random data sets of 8 to 400 rows)", {
  skip_unless_long_gp()
  expect_best(1001:1500, 400)
})

test_that("fits of 400 to 900 rows, which begin with some of the rows, reach the best likelihood of a dense search", {
  skip_unless_long_gp()
  for (seed in 3001:3012) {
    found <- gp_shortfall(seed, 900, smallest = 400, lengths = 25, basis = "exact")
    expect_lt(found$short, 0.01, label = paste("seed", seed, "log-likelihood missing"))
  }
})

test_that("each of two responses reaches the best of a dense search (60 random data sets)", {
  skip_unless_long_gp()
  for (seed in 2101:2160) expect_best_of_many(seed, 120)
})
