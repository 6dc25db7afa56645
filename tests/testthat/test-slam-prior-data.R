# Data from the prior: against the families written out, given the covariance of each draw.

prior_of <- function(..., n = 40, rows = 4000, seed = 1) slam_prior_draws(..., n = n, rows = rows, seed = seed, n_factors = 1)

test_that("normal data have the covariance and mean of their draw, and other draws are as without a family", {
  found <- prior_of(family = gaussian(), p = 2, mean = c(3, -1), rows = 20000, n = 5)
  for (i in 1:5) {
    expect_equal(cov(found$y[, , i]), found$P[, , i], tolerance = 0.06)
    expect_lt(max(abs(colMeans(found$y[, , i]) - c(3, -1)) / sqrt(diag(found$P[, , i]))), 5 / sqrt(20000))
  }
  expect_identical(prior_of(p = 2, rows = 20000, n = 5)$G, found$G)
  expect_null(prior_of(p = 2)$y)
})

test_that("counts, yes or no, and levels are those of their values", {
  family <- list(a = poisson(), b = negative_binomial(), c = binomial(), d = ordinal(), e = binomial("probit"))
  prior <- slam_prior(residual = fixed_variance(0.5))
  found <- slam_prior_draws(prior, family = family, n_factors = 0, n = 300, rows = 500, seed = 1, levels = 4, mean = 0.3)
  expect_identical(dim(found$y), c(500L, 5L, 300L))
  expect_identical(colnames(found$y), names(family))
  y <- function(name) found$y[, name, ]
  part <- function(of) integrate(function(e) of(e) * dnorm(e, 0.3, sqrt(0.5)), -8, 8)$value
  expect_equal(mean(y("a")), exp(0.3 + 0.25), tolerance = 0.02)
  expect_equal(mean(y("a") == 0), part(function(e) exp(-exp(e))), tolerance = 0.02)
  # 1 / r is exponential: P(0) = E (1 + mu / r)^-r
  zero <- integrate(function(w) vapply(w, function(w) part(function(e) (1 + w * exp(e))^(-1 / w)), 0) * dexp(w), 1e-8, 30)$value
  expect_equal(mean(y("b") == 0), zero, tolerance = 0.03)
  expect_equal(mean(y("c")), part(plogis), tolerance = 0.02)
  # the variance behind levels and yes or no is 1, as in fits
  expect_equal(found$P["d", "d", ], rep(1, 300))
  expect_equal(mean(y("e")), pnorm(0.3), tolerance = 0.02)
  expect_equal(mean(y("d") == 1), pnorm(-0.3), tolerance = 0.02)
  top <- integrate(function(g) pnorm(0.3 - g) * dgamma(g, 2, 1), 0, 40)$value
  expect_equal(mean(y("d") == 4), top, tolerance = 0.15)
  expect_setequal(unique(c(y("d"))), 1:4)
})

test_that("priors of values are those that a fit takes", {
  set.seed(1)
  data <- data.frame(id = rep(letters[1:10], 3))
  data$Y <- cbind(a = rpois(30, 3), b = rnorm(30), c = rep(0:1, 15))
  family <- list(a = poisson(), b = gaussian(), c = binomial())
  fit <- quiet_slam(Y ~ 1 + (1 | id), data, family = family, n_factors = 2, chains = 1, iter = 10, seed = 1)
  links <- fastlmm:::prior_links(family, c("a", "b", "c"), 3)
  expect_identical(vapply(links, function(own) if (is.null(own)) "gaussian" else own$family, ""), c(a = "poisson", b = "gaussian", c = "binomial"))
  prior <- fastlmm:::link_prior(slam_prior(), fastlmm:::behind_link(links), 2)
  numbers <- fastlmm:::fix_variances(fastlmm:::prior_numbers(prior, 20, 30, c("a", "b", "c"), character()), links)
  expect_equal(numbers[c("residual", "loadings")], fit$numbers[c("residual", "loadings")])
})

test_that("data of priors print, and what they cannot be is refused", {
  expect_output(print(prior_of(family = "poisson", n = 5, rows = 3)), "proportion that is 0 of t2")
  refuse <- function(class, ...) expect_error(slam_prior_draws(..., n = 2), class = paste0("fastlmm_error_", class))
  refuse("argument", p = 2, family = poisson(), mean = 1:3)
  refuse("argument", p = 2, family = ordinal(), levels = 1)
  refuse("family", p = 2, family = Gamma())
  refuse("prior", p = 3, family = list(a = poisson()))
  refuse("prior", slam_prior(residual = inverse_gamma(2, c(u = 1, v = 2))), p = 3)
})
