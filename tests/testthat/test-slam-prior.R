# What the defaults let G and R be. (Coverage over many data sets: test-long-slam-prior.R.)

lines_world <- function(G, R, lines, each = 5, seed = 1) {
  set.seed(seed)
  p <- ncol(G)
  line <- rep(sprintf("l%03d", seq_len(lines)), each = each)
  Y <- (matrix(rnorm(lines * p), lines) %*% chol(G))[rep(seq_len(lines), each = each), ] + matrix(rnorm(lines * each * p), lines * each) %*% chol(R)
  colnames(Y) <- paste0("t", seq_len(p))
  data.frame(line = line, Y = I(Y))
}

test_that("genetic and residual correlations of opposite signs are found by the defaults", {
  G <- matrix(c(1, 0.7, 0.7, 1), 2)
  R <- matrix(c(1, -0.7, -0.7, 1), 2)
  data <- lines_world(G, R, 160)
  expect_equal(nrow(data), 800)
  expect_no_message(fit <- slamglmm_fit(Y ~ 1 + (1 | line), data, chains = 2, iter = 2000, seed = 1, progress = FALSE), class = "fastlmm_message_n_factors")
  expect_equal(fit$n_factors, 2)
  within <- function(draws, truth) {
    limits <- quantile(draws, c(0.025, 0.975))
    expect_lt(limits[[1]], truth)
    expect_gt(limits[[2]], truth)
    # and tell the sign
    expect_gt(limits[[1]] * limits[[2]], 0)
  }
  within(rg(fit, draws = TRUE)[1, 2, ], 0.7)
  within(re(fit, draws = TRUE)[1, 2, ], -0.7)
  # one factor cannot, and says so
  expect_message(
    one <- slamglmm_fit(Y ~ 1 + (1 | line), data, n_factors = 1, chains = 1, iter = 200, seed = 1, progress = FALSE), "sign",
    class = "fastlmm_message_n_factors"
  )
  expect_true(all(rg(one, draws = TRUE)[1, 2, ] * re(one, draws = TRUE)[1, 2, ] >= 0))
})

test_that("the default is a factor for each response, at most 20, and fewer are told of", {
  count <- function(p, k = NULL) fastlmm:::check_factors(k, p)
  expect_equal(vapply(c(1, 2, 19, 20, 21, 1000), count, 0), c(1, 2, 19, 20, 20, 20))
  expect_message(count(5, 4), "4 factors for 5 responses", class = "fastlmm_message_n_factors")
  expect_silent(count(30, 20))
  expect_silent(count(5, 0))
})

test_that("weights of a beta prior are its probabilities about the points of the grid", {
  h <- (0:9) / 10
  expect_equal(beta_prior(1, 1)(h), c(0.05, rep(0.1, 8), 0.15))
  expect_equal(sum(beta_prior(0.3, 2)(h)), 1)
  expect_equal(beta_prior(2, 3)(h)[4], pbeta(0.35, 2, 3) - pbeta(0.25, 2, 3))
  expect_equal(beta_prior(2, 3)(0), 1)
  expect_error(beta_prior(0, 1), class = "fastlmm_error_prior")
  # what is asked for traits holds for factors too, unless that is said
  prior <- slam_prior(h2 = beta_prior(2, 3))
  expect_equal(prior$h2_factors(h), prior$h2(h))
})

prior_data <- function() {
  set.seed(2)
  line <- rep(sprintf("l%02d", 1:20), each = 3)
  data.frame(line = line, Y = I(matrix(rnorm(120), 60, dimnames = list(NULL, c("a", "b")))))
}

fit_prior <- function(prior, ...) suppressMessages(
  slamglmm_fit(Y ~ 1 + (1 | line), prior_data(), chains = 1, iter = 60, seed = 1, progress = FALSE, prior = prior, ...)
)

test_that("a prior may be of each response, in any order of the names", {
  one <- fit_prior(slam_prior(residual = inverse_wishart(V = c(a = 0.1, b = 0.4), nu = 3)))
  expect_equal(one$numbers$residual, c(1.5, 0.15, 1.5, 0.6))
  other <- fit_prior(slam_prior(residual = inverse_wishart(V = c(b = 0.4, a = 0.1), nu = 3)))
  expect_identical(one$draws, other$draws)
  expect_error(
    fit_prior(slam_prior(residual = inverse_wishart(V = c(a = 0.1, c = 0.4), nu = 3))), "there is no \"c\", and it lacks \"b\"", class = "fastlmm_error_prior"
  )
  expect_error(inverse_wishart(V = c(0.1, 0.4), nu = 3), class = "fastlmm_error_prior")
})

test_that("variances that are known stay, and the proportions know them", {
  known <- fit_prior(slam_prior(residual = fixed_variance(c(a = 0.7, b = 2))), n_factors = 0)
  expect_equal(unique(as.vector(known$draws[[1]]$sigma2)), c(0.7, 2))
  # without factors the posterior of a proportion is known: its weights, integrated over a flat mean
  long <- suppressMessages(
    slamglmm_fit(
      Y ~ 1 + (1 | line), prior_data(), n_factors = 0, chains = 2, iter = 6000, warmup = 100, grid = 5, seed = 1, progress = FALSE,
      prior = slam_prior(residual = fixed_variance(0.7))
    )
  )
  y <- long$data$y[, 1]
  one <- long$data$x[, 1]
  log <- vapply((0:4) / 5, function(h) {
    v <- 0.7 * (h * long$basis$s + 1 - h)
    b <- sum(one * y / v) / sum(one^2 / v)
    -0.5 * (sum(log(v)) + log(sum(one^2 / v)) + sum((y - b * one)^2 / v))
  }, 0)
  expected <- exp(log - max(log)) / sum(exp(log - max(log)))
  found <- table(factor(unlist(lapply(long$draws, function(d) d$h[1, ])), (0:4) / 5))
  expect_lt(max(abs(as.numeric(found) / sum(found) - expected)), 0.03)
})

test_that("proportions may have a point at zero", {
  h <- (0:9) / 10
  expect_equal(point_zero(0.4)(h), c(0.4, rep(0.6 / 9, 9)))
  expect_equal(dirichlet_prior(2)(h), beta_prior(2, 2)(h), ignore_attr = TRUE)
  expect_error(point_zero(1), class = "fastlmm_error_prior")
  expect_output(print(slam_prior(h2 = point_zero(0.4))), "0.4 of the weight on 0")
})

test_that("draws of the prior have its moments", {
  prior <- slam_prior(residual = fixed_variance(1), loadings = mgp(nu = 10, first = c(4, 3), others = c(6, 2), truncated = FALSE), h2 = beta_prior(2, 3))
  draws <- slam_prior_draws(prior, p = 3, n_factors = 2, n = 20000, seed = 1)
  # E 1 / phi = nu / (nu - 2), E 1 / tau = b1 / (a1 - 1), times b2 / (a2 - 1) for the second factor
  expect_equal(mean(apply(draws$P, 3, diag)), 1 + 1.25 * (1 + 0.4), tolerance = 0.02)
  expect_equal(draws$G + draws$R, draws$P)
  # the proportion is symmetric in factors and traits where both have one prior
  expect_equal(mean(draws$h2), sum(beta_prior(2, 3)((0:19) / 20) * (0:19) / 20), tolerance = 0.02)
  expect_equal(draws$rg[1, 2, ], draws$G[1, 2, ] / sqrt(draws$G[1, 1, ] * draws$G[2, 2, ]))
  none <- slam_prior_draws(slam_prior(residual = inverse_gamma(3, 2)), p = 1, n_factors = 0, n = 4000, seed = 1)
  expect_gt(ks.test(1 / none$P[1, 1, ], pgamma, 3, 2)$p.value, 0.001)
  expect_output(print(none), "4,000 draws")
  horseshoe <- slam_prior_draws(slam_prior(residual = fixed_variance(1), loadings = horseshoe(p0 = 0.5)), p = 1, n_factors = 1, n = 20000, rows = 1, seed = 1)
  # normal times half Cauchy times half Cauchy: its median, by a draw of another kind
  square <- horseshoe$P[1, 1, ] - 1
  set.seed(2)
  expect_equal(median(log(square)), median(log((rnorm(1e5) * tan(pi * runif(1e5) / 2) * tan(pi * runif(1e5) / 2))^2)), tolerance = 0.1)
  expect_identical(slam_prior_draws(n = 5, seed = 1), slam_prior_draws(n = 5, seed = 1))
})

test_that("a prior of MCMCglmm is taken over, in units of the responses", {
  data <- prior_data()
  list <- list(R = list(V = diag(c(2, 1)), nu = 4), G = list(G1 = list(V = diag(c(2, 1)), nu = 5)))
  expect_no_message(found <- fastlmm:::as_slam_prior(list, c(a = 1, b = 2), 1), class = "fastlmm_message_prior")
  expect_equal(found$residual, inverse_gamma(1.5, c(a = 6, b = 0.75)))
  expect_equal(attr(found$h2, "beta"), c(1, 1))
  fit <- fit_prior(list)
  expect_equal(fit$numbers$residual[c(2, 4)], 1.5 * c(4, 2) / fit$scale$sd^2, ignore_attr = TRUE)
  # the same model in other units: the same draws
  data$Y <- data$Y * 10
  scaled <- list(R = list(V = diag(c(200, 100)), nu = 4), G = list(G1 = list(V = diag(c(200, 100)), nu = 5)))
  again <- slamglmm_fit(Y ~ 1 + (1 | line), data, chains = 1, iter = 60, seed = 1, progress = FALSE, prior = scaled)
  expect_equal(again$draws[[1]]$h, fit$draws[[1]]$h)
  tied <- list(R = list(V = matrix(c(1, 0.5, 0.5, 1), 2), nu = 0.002), G = list(G1 = list(V = 3, nu = 3, alpha.mu = 0)), B = list(mu = 0))
  expect_message(odd <- fastlmm:::as_slam_prior(tied, c(a = 1, b = 1), 1), "covariances in V.*alpha.mu of G.*B.*improper", class = "fastlmm_message_prior")
  expect_equal(attr(odd$h2, "beta"), c(1.5, 0.5))
  for (bad in list(
    list(R = 1, G = 1), list(R = list(V = 1, nu = 1), G = list(1, 2)), list(R = list(V = diag(3), nu = 1), G = list(V = 1, nu = 1)),
    list(R = list(V = 1, nu = 1))
  )) {
    expect_error(fit_prior(bad), class = "fastlmm_error_prior")
  }
})

test_that("points of the grid may be given, weighted by their width", {
  points <- c((0:9) / 10, 0.95, 0.99)
  fit <- fit_prior(slam_prior(), grid = points)
  expect_true(all(fit$draws[[1]]$h %in% points))
  expect_equal(fit$numbers$h, points)
  expect_equal(fit$numbers$traits, diff(c(0, (points[-1] + points[-12]) / 2, 1)))
  expect_equal(fit_prior(slam_prior(), grid = (0:9) / 10)$draws, fit_prior(slam_prior(), grid = 10)$draws)
  for (bad in list(c(0, 0.5, 1), c(0.5, 0.2), c(0, NA), c("a", "b"), c(-0.1, 0.2))) expect_error(
    fit_prior(slam_prior(), grid = bad), class = "fastlmm_error_plan"
  )
  # a response that is nearly all random effect: the coarse grid ends at .95
  set.seed(3)
  ids <- paste0("i", 1:60)
  K <- tcrossprod(matrix(rnorm(600), 60)) / 10 + diag(0.01, 60)
  dimnames(K) <- list(ids, ids)
  data <- data.frame(id = ids, Y = I(cbind(a = drop(t(chol(K)) %*% rnorm(60)))))
  fine <- suppressMessages(
    slamglmm_fit(Y ~ 1 + (1 | id), data, K, n_factors = 0, chains = 2, iter = 400, seed = 1, progress = FALSE, grid = c((0:19) / 20, 0.97, 0.98, 0.99, 0.995))
  )
  expect_gt(mean(h2(fine, draws = TRUE)), 0.96)
})

test_that("weights of proportions may be of any size, and priors name what they lack", {
  large <- fit_prior(slam_prior(h2 = function(h) rep(1e308, length(h))))
  expect_identical(large$draws, fit_prior(slam_prior(h2 = function(h) rep(1, length(h))))$draws)
  for (bare in list(function() inverse_wishart(V = 1), function() inverse_gamma(1), function() fixed_variance(), function() beta_prior(1))) {
    expect_error(bare(), "is needed and has no default", class = "fastlmm_error_argument")
  }
})

test_that("draws of the prior take what the fit takes", {
  expect_identical(slam_prior_draws(n_factors = 0L, n = 3, seed = 1), slam_prior_draws(n_factors = 0, n = 3, seed = 1))
  # names may be those of the shape, and priors of covariates say nothing here
  shaped <- slam_prior_draws(slam_prior(residual = inverse_gamma(c(a = 3, b = 9), 2)), n = 4000, n_factors = 0, seed = 1)
  expect_equal(rownames(shaped$P), c("a", "b"))
  expect_gt(ks.test(1 / shaped$P["b", "b", ], pgamma, 9, 2)$p.value, 0.001)
  expect_identical(slam_prior_draws(slam_prior(covariates = fixed_variance(c(x = 2))), n = 3, seed = 1), slam_prior_draws(n = 3, seed = 1))
  expect_error(slam_prior_draws(list(R = list(V = 1, nu = 1), G = list(V = 1, nu = 1))), "units of responses", class = "fastlmm_error_prior")
  expect_error(slam_prior_draws(grid = 1e13), class = "fastlmm_error_memory")
  expect_error(slam_prior_draws(n_factors = 1e13), class = "fastlmm_error_memory")
})

test_that("factors change between genetic and residual, also where missing cells are integrated out", {
  data <- lines_world(matrix(c(1, 0.7, 0.7, 1), 2), matrix(c(1, -0.7, -0.7, 1), 2), 60)
  data$Y[c(1:20, 100:110), 1] <- NA
  data$Y[200:230, 2] <- NA
  # no way through the middle: given F a factor stays at its end
  ends <- slam_prior(h2_factors = function(h) 0 + (h == 0 | h == max(h)))
  changes <- function(missing) {
    fit <- suppressMessages(
      slamglmm_fit(Y ~ 1 + (1 | line), data, n_factors = 3, prior = ends, missing = missing, chains = 2, iter = 1000, seed = 1, progress = FALSE)
    )
    vapply(fit$draws, function(d) sum(abs(diff(t(d$factors_h))) > 0), 0)
  }
  for (missing in c("impute", "integrate")) expect_true(all(changes(missing) > 10), info = missing)
})

test_that("without coefficients and factors the posterior is that of the closed form", {
  fit <- suppressMessages(
    slamglmm_fit(
      Y ~ 0 + (1 | line), prior_data(), n_factors = 0, chains = 2, iter = 6000, warmup = 100, grid = 5, seed = 1, progress = FALSE,
      prior = slam_prior(residual = inverse_gamma(3, 2))
    )
  )
  y <- fit$data$y[, 2]
  square <- function(h) sum(y^2 / (h * fit$basis$s + 1 - h))
  h <- (0:4) / 5
  log <- vapply(h, function(h) -0.5 * sum(log(h * fit$basis$s + 1 - h)) - (3 + 30) * log(2 + 0.5 * square(h)), 0)
  weight <- exp(log - max(log)) / sum(exp(log - max(log)))
  found <- table(factor(unlist(lapply(fit$draws, function(d) d$h[2, ])), h))
  expect_lt(max(abs(as.numeric(found) / sum(found) - weight)), 0.03)
  sigma2 <- unlist(lapply(fit$draws, function(d) d$sigma2[2, ]))
  expect_equal(mean(sigma2), sum(weight * (2 + 0.5 * vapply(h, square, 0)) / (3 + 30 - 1)), tolerance = 0.01)
})
