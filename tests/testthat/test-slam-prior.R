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
  expect_message(one <- slamglmm_fit(Y ~ 1 + (1 | line), data, n_factors = 1, chains = 1, iter = 200, seed = 1, progress = FALSE), "sign", class = "fastlmm_message_n_factors")
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
