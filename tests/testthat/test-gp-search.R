# The exact route over random layouts, kernels, noise and trends: never below the best that the definition finds on a grid of length scales and delta.

test_that("single fits reach the best likelihood of a dense search (60 random data sets)", {
  expect_best(1:60, 60)
})

test_that("noise just above what the condition of the kernel can tell is estimated (seed 1212: twice the floor of delta)", {
  expect_best(1212, 400)
})

test_that("a first look at some of the rows leads to the optimum of all of them", {
  for (cov in c("exp_quad", "matern12")) for (noise in c(1e-4, 0.5)) {
    d <- gp_world(310, 2, cov, 0.15, sigma2_e = noise, seed = 4)
    fit <- suppressMessages(fastlmm_fit(gp_formula(2, cov, basis = "exact"), d))
    best <- dense_gp_best(d$y, cbind(1, d$x), gp_places(d), cov, "REML", rep(1, 310), lengths = 12)
    expect_gt(fit$logLik, best[["logLik"]] - 0.01)
    expect_equal(dense_gp_of(fit, gp_places(d))$logLik, fit$logLik, tolerance = 1e-6)
  }
})

test_that("each of two responses reaches the best of a dense search over the range of a single fit", {
  for (seed in 2001:2008) expect_best_of_many(seed, 40)
})

test_that("many responses without noise end at the floor of delta, and the end of a range is in the table", {
  set.seed(1)
  d <- data.frame(u = runif(40), v = runif(40))
  d$Y <- cbind(smooth = sin(3 * d$u) + d$v^2, noise = rnorm(40), trend = 5 * d$u + 0.1 * rnorm(40))
  fit <- suppressMessages(fastlmm_fit(Y ~ gp(u, v, cov = "exp_quad"), d))
  alone <- suppressMessages(fastlmm_fit(smooth ~ gp(u, v, cov = "exp_quad"), cbind(d[1:2], smooth = d$Y[, 1])))
  expect_identical(fit$boundary[["smooth"]], "delta at its floor")
  expect_equal(fit$logLik[["smooth"]], alone$logLik, tolerance = 1e-3)
  held <- suppressMessages(fastlmm_fit(Y ~ gp(u, v, cov = "exp_quad", range = c(0.1, 0.2)), d))
  expect_identical(as.data.frame(held)$at_end, unname(held$at_end))
  expect_identical(held$at_end[["trend"]], "long")
})

test_that("length scales of their own are looked for from several starts on both routes", {
  for (seed in 1:3) {
    set.seed(seed)
    at <- matrix(runif(300), 150, dimnames = list(NULL, c("u", "v")))
    d <- data.frame(at, x = rnorm(150))
    d$y <- 2 * sin(4 * d$v) + 0.7 * sin(9 * d$u) + 0.5 * rnorm(150)
    f <- function(t) {
      if (any(t[-1] < log(0.08)) || any(t[-1] > log(3))) return(1e10)
      tryCatch(-dense_gp_at(exp(t[-1]), exp(t[1]), d$y, cbind(1, d$x), at, "exp_quad")$logLik, error = function(e) 1e10)
    }
    starts <- expand.grid(-1, log(c(0.1, 0.4, 2)), log(c(0.1, 0.4, 2)))
    best <- max(vapply(seq_len(9), function(i) -optim(unlist(starts[i, ]), f, control = list(maxit = 1000, reltol = 1e-9))$value, 0))
    for (basis in c("exact", "fourier")) {
      fit <- suppressMessages(fastlmm_fit(gp_formula(2, "exp_quad", ard = TRUE, basis = basis, range = c(0.08, 3)), d))
      expect_gt(fit$logLik, best - 0.03, label = paste(basis, seed))
    }
  }
})

test_that("the route is the one with the shorter predicted time, without a cliff", {
  gp <- function(cov, ...) modifyList(list(basis = "auto", ard = FALSE, cov = cov, axes = c("u", "v")), list(...))
  expect_true(gp_exact_first(gp("matern52"), 1001))
  expect_false(gp_exact_first(gp("matern52"), 2000))
  expect_false(gp_exact_first(gp("matern52", axes = "u"), 600))
  expect_false(gp_exact_first(gp("exp_quad"), 501))
  expect_true(gp_exact_first(gp("exp_quad", ard = TRUE), 1000))
  expect_true(gp_exact_first(gp("exp_quad", basis = "exact"), 5000))
  expect_false(gp_exact_first(gp("matern52", basis = "fourier"), 10))
})

test_that("above 1000 rows the kernel matrix is searched by the average information and ends at the optimum, with the errors of the observed information", {
  d <- gp_world(1050, 2, "matern52", 0.08, sigma2_e = 0.5, seed = 6)
  fit <- fastlmm_fit(gp_formula(2, "matern52", basis = "exact"), d)
  at <- gp_places(d)
  X <- cbind(1, d$x)
  # all on the logarithmic scale, in steps of a third of the standard errors
  error <- c(fit$se$lengthscale / fit$lengthscale, fit$se$log_delta)
  f <- function(a, b) dense_gp_at(exp(log(fit$lengthscale) + a * error[1] / 3), exp(log(fit$delta) + b * error[2] / 3), d$y, X, at, "matern52")$logLik
  centre <- f(0, 0)
  expect_equal(fit$logLik, centre, tolerance = 1e-9)
  curvature <- -9 * c(f(1, 0) + f(-1, 0) - 2 * centre, f(0, 1) + f(0, -1) - 2 * centre, (f(1, 1) + f(-1, -1) - f(1, -1) - f(-1, 1)) / 4)
  information <- matrix(curvature[c(1, 3, 3, 2)], 2)
  slope <- 1.5 * c(f(1, 0) - f(-1, 0), f(0, 1) - f(0, -1))
  # the deviance is within 1e-4 of its lowest
  expect_lt(sum(slope * solve(information, slope)), 1e-4)
  expect_equal(sqrt(diag(solve(information))), c(1, 1), tolerance = 0.01)
})

test_that("a basis that is too coarse is refused before it is fitted where the kernel matrix can be had", {
  d <- gp_world(1100, 2, "matern52", 0.05, sigma2_e = 0.5, seed = 7)
  fit <- suppressMessages(fastlmm_fit(y ~ x + gp(u, v, basis = "fourier"), d))
  expect_true(fit$optimum$limited)
  expect_error(fastlmm:::gp_fourier(fastlmm:::stored_gp_model(fit), strict = TRUE), class = "fastlmm_error_rough")
})

test_that("a basis is limited by what it leaves out at the optimum, not at the guess that it was made for", {
  d <- gp_world(1500, 2, "matern52", 0.1, sigma2_e = 0.5, seed = 1500)
  fit <- fastlmm_fit(y ~ x + gp(u, v), d)
  expect_identical(fit$gp$route, "fourier")
  expect_false(fit$optimum$limited)
  expect_lt(1 - fit$gp$captured, 1.5 * 0.01 * fit$delta)
  dense <- dense_gp_of(fit, gp_places(d))
  expect_lt(abs(fit$logLik - dense$logLik), fit$gp$log_lik_error)
})
