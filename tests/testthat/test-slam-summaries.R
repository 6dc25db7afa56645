# Means and tables that Rust makes of the draws, against the same written out in R and by posterior.

summaries_world <- function(p = 6, n = 60) {
  set.seed(3)
  line <- rep(sprintf("l%02d", seq_len(n / 3)), each = 3)
  Y <- matrix(rnorm(n * p), n) + matrix(rnorm(n / 3 * p), n / 3)[rep(seq_len(n / 3), each = 3), ] + outer(rnorm(n), seq(1, -1, length.out = p))
  colnames(Y) <- paste0("t", seq_len(p))
  Y[, 2] <- 1000 * Y[, 2]
  data.frame(line = line, x = rnorm(n), Y = I(Y))
}

summaries_fit <- function(..., chains = 3, iter = 90) quiet_slam(
  Y ~ x + (1 | line), summaries_world(), chains = chains, iter = iter, warmup = 20, seed = 2, progress = FALSE, ...
)

test_that("means of covariances and correlations are those of all draws", {
  fit <- summaries_fit()
  for (verb in list(G, R, P, rg, re, rp)) {
    expect_equal(verb(fit), apply(verb(fit, draws = TRUE), 1:2, mean), tolerance = 1e-10)
    expect_equal(verb(fit, traits = c("t5", "t2")), verb(fit)[c("t5", "t2"), c("t5", "t2")], tolerance = 1e-12)
  }
  none <- suppressMessages(summaries_fit(n_factors = 0))
  expect_equal(G(none), diag(rowMeans(apply(G(none, draws = TRUE), 3, diag))), ignore_attr = TRUE)
})

test_that("a correlation counts in the draws in which it is defined", {
  fit <- summaries_fit()
  zero <- seq(1, 70, by = 3)
  fit$draws[[2]]$h[4, zero] <- 0
  fit$draws[[2]]$factors_h[, zero] <- 0
  all <- rg(fit, draws = TRUE)
  expect_equal(sum(is.na(all[1, 4, ])), length(zero))
  expect_equal(rg(fit), apply(all, 1:2, mean, na.rm = TRUE), tolerance = 1e-10)
  table <- rg(fit, traits = c(1, 4), level = 0.8)
  expect_equal(table$mean, mean(all[1, 4, ], na.rm = TRUE))
  expect_true(is.na(table$rhat))
})

test_that("tables have the mean, sd, quantiles, rhat and effective sizes of posterior", {
  skip_if_not_installed("posterior")
  for (chains in c(1, 3)) {
    # an odd number of draws leaves one out in the middle
    fit <- summaries_fit(chains = chains, iter = 91)
    all <- G(fit, draws = TRUE)
    table <- G(fit, level = 0.8)
    expect_equal(nrow(table), 21)
    for (row in c(1, 2, 9, 21)) {
      draws <- matrix(all[table$response1[row], table$response2[row], ], ncol = chains)
      expected <- c(mean(draws), sd(draws), quantile(draws, c(0.1, 0.9)), posterior::rhat(draws), posterior::ess_bulk(draws), posterior::ess_tail(draws))
      expect_equal(unlist(table[row, -(1:2)]), expected, ignore_attr = TRUE, tolerance = 1e-9)
    }
  }
  # draws with ties, and one that does not vary
  set.seed(1)
  draws <- cbind(round(rnorm(213), 1), rpois(213, 1), 3, cumsum(rnorm(213)))
  own <- suppressWarnings(fastlmm:::judged(summaries_fit(iter = 91), draws, 0.9))
  for (column in c(1, 2, 4)) {
    one <- matrix(draws[, column], ncol = 3)
    expect_equal(unlist(own[column, 5:7]), c(posterior::rhat(one), posterior::ess_bulk(one), posterior::ess_tail(one)), ignore_attr = TRUE, tolerance = 1e-9)
  }
  expect_true(all(is.na(own[3, 5:7])))
})

test_that("matrices for which there is no memory are refused before they are made", {
  fit <- summaries_fit()
  expect_silent(fastlmm:::check_matrices_memory(fit, 6, 1e9))
  refused <- tryCatch(fastlmm:::check_matrices_memory(fit, 60, 1000), error = identity)
  expect_s3_class(refused, "fastlmm_error_memory")
  expect_equal(refused$needed, 16 * 60^2 * 210)
  expect_error(G(fit, level = 2), class = "fastlmm_error_level")
  expect_error(h2(fit, level = "a"), class = "fastlmm_error_level")
  wide <- h2(fit, level = 0.99)
  expect_true(all(wide$low < h2(fit)$low & wide$high > h2(fit)$high))
})
