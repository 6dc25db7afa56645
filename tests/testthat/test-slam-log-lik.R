# The pointwise log likelihood: each family's density with eta integrated out, and what a fit makes of it.

slow_density <- function(own, mean, variance, parameters) {
  one <- function(i) {
    f <- function(eta) {
      at <- switch(
        own$family, poisson = dpois(own$y[i], exp(eta + own$known[i])), negative_binomial = dnbinom(own$y[i], size = parameters, mu = exp(eta + own$known[i])),
        binomial = dbinom(own$y[i], own$known[i], plogis(eta))
      )
      at * dnorm(eta, mean[i], sqrt(variance))
    }
    log(integrate(f, mean[i] - 12 * sqrt(variance), mean[i] + 12 * sqrt(variance), rel.tol = 1e-10, subdivisions = 2000)$value)
  }
  vapply(seq_along(own$y), one, 0)
}

test_that("densities of counts and proportions are those of integrate()", {
  y <- c(0, 1, 3, 12, 0, 5)
  mean <- c(-1, 0.5, 2, 2.2, 1, -2)
  for (variance in c(0.01, 0.5, 4)) {
    for (family in c("poisson", "negative_binomial", "binomial")) {
      own <- list(family = family, y = y, known = if (family == "binomial") c(1, 1, 5, 20, 3, 6) else c(0, 0.5, -1, 0, 0.2, 1))
      found <- fastlmm:::marginal_density(y, mean, variance, own, 1.7)
      expect_equal(found, slow_density(own, mean, variance, 1.7), tolerance = 1e-5, info = paste(family, variance))
    }
  }
  # far out, where exponentials overflow
  own <- list(family = "poisson", y = c(0, 1e6, NaN), known = c(0, 0, 0))
  far <- fastlmm:::marginal_density(own$y, c(800, 0, 0), 2, own, numeric())
  expect_true(all(is.finite(far[1:2])) && is.na(far[3]))
})

test_that("levels are probabilities of normal intervals, in the tails too", {
  own <- list(family = "ordinal", y = c(0, 1, 2, NaN), levels = 3)
  found <- fastlmm:::marginal_density(own$y, c(0.3, -0.4, 1, 0), 2, own, 1.5)
  slow <- log(c(pnorm(-0.3 / sqrt(2)), diff(pnorm((c(0, 1.5) + 0.4) / sqrt(2))), pnorm((1 - 1.5) / sqrt(2))))
  expect_equal(found[1:3], slow)
  expect_true(is.na(found[4]))
  tails <- fastlmm:::level_density(c(0, 1, 1), c(40, -40, 40), 1, 2)
  expect_equal(tails[1:2], pnorm(c(-40, -40), log.p = TRUE), tolerance = 1e-6)
  expect_equal(tails[3], pnorm(-38, log.p = TRUE), tolerance = 1e-6)
})

log_lik_world <- function() {
  set.seed(3)
  id <- sprintf("i%02d", rep(1:15, 4))
  u <- rnorm(15)[match(id, unique(id))]
  data <- data.frame(id, block = rep(letters[1:6], 10), u)
  data$Y <- cbind(count = rpois(60, exp(1 + u)), size = 10 * u + 5 * rnorm(60), sick = rbinom(60, 1, plogis(u)))
  data$Y[c(2, 65)] <- NA
  data
}

test_that("draws x observed cells, in units of the data", {
  data <- log_lik_world()
  fit <- quiet_slam(Y ~ 1 + (1 | id), data, family = list(count = poisson(), sick = binomial()), chains = 2, iter = 100, seed = 1)
  all <- log_lik(fit)
  expect_equal(dim(all), c(100L, 178L))
  expect_equal(colnames(all)[1:2], c("1,count", "3,count"))
  expect_identical(log_lik(fit), all)
  expect_true(all(is.finite(all)) && all(all[, grepl("count|sick", colnames(all))] <= 0))
  # without factors, of one draw: the mean over draws of effects is that of the closed form
  none <- quiet_slam(cbind(Y[, 2]) ~ 1 + (1 | id), data[-5, ], n_factors = 0, chains = 1, iter = 40, seed = 1)
  many <- slam_repeated(none, 20, some_draws(4000))
  one <- none$draws[[1]]
  h <- one$h[1, 20]
  unit <- none$scale$sd * sqrt(one$sigma2[1, 20])
  Z <- outer(data$id[-5], unique(data$id), "==") + 0
  S <- tcrossprod(Z)
  V <- h * S / fit$basis$mean_diag + (1 - h) * diag(59)
  y <- data$Y[-5, 2]
  centre <- fastlmm:::as_responses(none, fastlmm:::to_rows(none, none$data$x %*% matrix(one$theta[, , 20], 1)))
  e <- drop(y - centre) / unit
  gain <- h * S / fit$basis$mean_diag
  mean <- drop(gain %*% solve(V, e))
  covariance <- gain - gain %*% solve(V, gain)
  expected <- dnorm(e, mean, sqrt(diag(covariance) + 1 - h)) / unit
  draws <- exp(log_lik(many))
  error <- apply(draws, 2, sd) / sqrt(nrow(draws))
  expect_lt(max(abs(colMeans(draws) - expected) / error), 4.5)
})

test_that("weights and several effects have log likelihoods, and loo takes them", {
  data <- log_lik_world()
  fit <- quiet_slam(Y[, 2:3] ~ 1 + (1 | id) + (1 | block), data, family = list(sick = ordinal()), weights = matrix(2, 60, 2), chains = 2, iter = 120, seed = 1)
  all <- log_lik(fit)
  expect_equal(dim(all), c(120L, 119L))
  skip_if_not_installed("loo")
  found <- suppressWarnings(loo::loo(fit))
  expect_s3_class(found, "psis_loo")
  expect_equal(dim(found$pointwise)[1], 119)
  expect_equal(suppressWarnings(loo::loo(all, r_eff = loo::relative_eff(exp(all), chain_id = rep(1:2, each = 60))))$estimates, found$estimates)
  expect_s3_class(suppressWarnings(loo::waic(fit)), "waic")
})

test_that("a model that explains the data better has a higher estimate", {
  skip_if_not_installed("loo")
  data <- log_lik_world()
  with <- quiet_slam(Y[, 1:2] ~ u + (1 | id), data, family = list(count = poisson()), chains = 2, iter = 200, seed = 1)
  other <- data
  other$id <- sprintf("i%02d", rep(1:15, each = 4))
  without <- quiet_slam(Y[, 1:2] ~ 1 + (1 | id), other, family = list(count = poisson()), n_factors = 0, chains = 2, iter = 200, seed = 1)
  elpd <- function(fit) suppressWarnings(loo::loo(fit))$estimates["elpd_loo", "Estimate"]
  expect_gt(elpd(with), elpd(without) + 20)
})

test_that("other fits are told what there is", {
  expect_error(log_lik(1), class = "fastlmm_error")
})
