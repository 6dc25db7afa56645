# Edges of the search of both routes: next to no noise, trends, large covariates, bursts; profiles that are open.

quiet <- function(expr) suppressMessages(expr)

# Deviance by the definition at the estimates, where its Cholesky decomposition exists
expect_defined <- function(fit, d, at) {
  m <- dense_gp_at(fit$lengthscale[[1]], fit$delta, d$y, unname(model.matrix(fit)), as.matrix(d[at]), fit$gp$cov)
  expect_equal(fit$logLik, m$logLik, tolerance = 1e-4)
}

test_that("responses without noise are interpolated, and the floor of delta is told as a boundary", {
  set.seed(1)
  plane <- data.frame(u = runif(40), v = runif(40))
  plane$y <- sin(3 * plane$u) + plane$v^2
  set.seed(11)
  line <- data.frame(x = runif(10))
  line$y <- sin(5 * line$x)
  fits <- list(quiet(fastlmm_fit(y ~ gp(u, v, cov = "exp_quad"), plane)), quiet(fastlmm_fit(y ~ gp(x, cov = "exp_quad"), line)))
  for (fit in fits) {
    expect_identical(fit$optimum$boundary, "delta at its floor")
    expect_lt(max(abs(residuals(fit))), 10 * sigma(fit))
    expect_lt(max(abs(residuals(fit))), 1e-3)
  }
  expect_message(fastlmm_fit(y ~ gp(x, cov = "exp_quad"), line), "cannot be determined", class = "fastlmm_message_boundary")
  expect_defined(fits[[2]], line, "x")
})

test_that("a trend that is not in X ends at three sides on both routes, says so, and the advice is the formula", {
  set.seed(1)
  d <- data.frame(x = sort(runif(1500)))
  d$y <- d$x + 0.5 * rnorm(1500)
  for (cov in c("exp_quad", "matern52")) {
    formula <- as.formula(sprintf("y ~ gp(x, cov = \"%s\", basis = \"fourier\")", cov))
    expect_message(fit <- fastlmm_fit(formula, d), "include the trend in the formula", class = "fastlmm_message_gp_range")
    expect_true(fit$optimum$at_end)
    expect_lt(abs(fit$lengthscale / (3 * diff(range(d$x))) - 1), 0.05)
  }
  few <- d[seq(1, 1500, by = 25), , drop = FALSE]
  exact <- quiet(fastlmm_fit(y ~ gp(x, cov = "exp_quad"), few))
  if (exact$h2 > 0) expect_lte(exact$lengthscale, 3.001 * diff(range(few$x)))
})

test_that("a trend over a plane stays within the length scales that its Fourier basis serves", {
  set.seed(1)
  d <- data.frame(u = runif(1050), v = runif(1050))
  d$y <- d$u + 0.5 * rnorm(1050)
  expect_message(fit <- fastlmm_fit(y ~ gp(u, v, cov = "matern52", basis = "fourier"), d), class = "fastlmm_message_gp_range")
  expect_lte(fit$lengthscale[[1]], 3.001 * max(diff(range(d$u)), diff(range(d$v))))
  expect_lt(abs(fit$gp$captured - 1), fit$gp$tol)
  # the same point by the kernel matrix
  at <- fit$lengthscale[[1]]
  exact <- fastlmm_fit(y ~ gp(u, v, cov = "matern52", basis = "exact", lengthscale = at), d)
  expect_lt(abs(fit$logLik - exact$logLik), 0.1)
})

test_that("a profile that is open above ends at Inf, in confint, profile and tidy", {
  set.seed(2)
  d <- data.frame(x = runif(40))
  d$y <- 2 * d$x + 0.3 * rnorm(40)
  fit <- quiet(fastlmm_fit(y ~ gp(x), d))
  limits <- quiet(confint(fit))
  expect_identical(limits["lengthscale", 2], Inf)
  expect_true(all(is.finite(limits[c("(Intercept)", ".sigma2"), ])))
  expect_s3_class(quiet(profile(fit, points = 9)), "fastlmm_profile")
  for (seed in 1:6) {
    set.seed(seed)
    d <- data.frame(x = runif(20))
    d$y <- 2 * d$x + 0.3 * rnorm(20)
    expect_false(anyNA(quiet(confint(fastlmm_fit(y ~ gp(x, cov = "exp_quad"), d), "lengthscale"))))
  }
})

test_that("the size of a covariate changes nothing on the exact route", {
  set.seed(5)
  d <- data.frame(u = runif(60), v = runif(60), x = rnorm(60))
  d$y <- d$x / 2 + sin(6 * d$u) * d$v + 0.3 * rnorm(60)
  fit <- fastlmm_fit(y ~ x + gp(u, v), d)
  for (method in c("REML", "ML")) {
    fit <- quiet(fastlmm_fit(y ~ x + gp(u, v), d, method = method))
    far <- quiet(fastlmm_fit(y ~ x + gp(u, v), transform(d, x = x + 3e6), method = method))
    expect_equal(c(far$lengthscale, far$delta, far$logLik), c(fit$lengthscale, fit$delta, fit$logLik), tolerance = 1e-4)
  }
})

test_that("the shortest length scale that is looked at follows the distances of neighbours: bursts", {
  set.seed(21)
  t <- unlist(lapply(168 * (0:4), function(s) s + sort(runif(20))))
  d <- data.frame(t, y = 10 + drop(crossprod(chol(exp(-abs(outer(t, t, "-")) / 0.15)), rnorm(100))) + 0.2 * rnorm(100))
  fit <- quiet(fastlmm_fit(y ~ gp(t, cov = "matern12"), d))
  starts <- lapply(
    c(0.05, 0.2, 1, 50), function(l) optim(log(c(0.1, l)), function(p) -dense_gp_at(exp(p[2]), exp(p[1]), d$y, matrix(1, 100), cbind(t), "matern12")$logLik)
  )
  best <- starts[[which.min(vapply(starts, `[[`, 0, "value"))]]
  expect_equal(fit$logLik, -best$value, tolerance = 1e-5)
})

test_that("beyond 500 rows a Fourier basis is taken where one is accurate enough, and it finds what the kernel matrix finds", {
  smooth <- gp_world(520, 2, "exp_quad", 0.3, seed = 3)
  fit <- fastlmm_fit(gp_formula(2, "exp_quad"), smooth)
  expect_identical(fit$gp$route, "fourier")
  m <- dense_gp_of(fit, gp_places(smooth))
  expect_equal(fit$logLik, m$logLik, tolerance = 1e-4)
  for (lengthscale in c(0.9, 1.1) * m$lengthscale) expect_lt(dense_gp_at(lengthscale, fit$delta, smooth$y, m$X, m$at, "exp_quad")$logLik, m$logLik + 0.01)
  rough <- gp_world(520, 2, "matern12", 0.3, seed = 3)
  settings <- function(...) suppressMessages(fastlmm_fit(gp_formula(2, "matern12", lengthscale = 0.3, ...), rough))
  expect_identical(settings()$gp$route, "exact")
  expect_identical(suppressMessages(fastlmm_fit(gp_formula(2, "exp_quad", lengthscale = 0.3), smooth[1:500, ]))$gp$route, "exact")
})
