# Whether the chains agree is said by print() and at the end of a run, with what extend() would need.

convergence_world <- function(p = 4) {
  set.seed(2)
  data <- data.frame(line = rep(sprintf("l%02d", 1:20), each = 3))
  data$Y <- matrix(rnorm(60 * p), 60, dimnames = list(NULL, paste0("t", seq_len(p)))) + matrix(rnorm(20 * p), 20)[rep(1:20, each = 3), ]
  data
}

test_that("a summary has each of h2, G, R, rg and B, as posterior judges them", {
  skip_if_not_installed("posterior")
  fit <- suppressMessages(slamglmm_fit(Y ~ 1 + (1 | line), convergence_world(), chains = 3, iter = 201, warmup = 100, seed = 1, progress = FALSE))
  # an odd number of draws: of two about the median rounding would say which is nearer
  expect_equal(fastlmm:::count_draws(fit), 303)
  table <- summary(fit, level = 0.9)$table
  expect_named(table, c("variable", "mean", "sd", "low", "high", "rhat", "ess_bulk", "ess_tail"))
  expect_equal(c(table(sub("\\[.*", "", table$variable)))[c("h2", "G", "R", "rg", "B")], c(h2 = 4, G = 10, R = 10, rg = 6, B = 4))
  draws <- list(
    `h2[t2]` = h2(fit, draws = TRUE)[2, ], `G[t1,t3]` = G(fit, draws = TRUE)[1, 3, ], `R[t4]` = R(fit, draws = TRUE)[4, 4, ],
    `rg[t2,t3]` = rg(fit, draws = TRUE)[2, 3, ], `B[(Intercept),t1]` = fixef(fit, draws = TRUE)[1, 1, ]
  )
  for (name in names(draws)) {
    x <- matrix(draws[[name]], ncol = 3)
    expected <- c(mean(x), sd(x), quantile(x, c(0.05, 0.95)), posterior::rhat(x), posterior::ess_bulk(x), posterior::ess_tail(x))
    expect_equal(unlist(table[table$variable == name, -1]), expected, ignore_attr = TRUE, tolerance = 1e-8)
  }
  found <- fit$convergence
  expect_equal(c(found$rhat, found$bulk, found$tail), c(max(table$rhat), min(table$ess_bulk), min(table$ess_tail)))
  expect_equal(found$worst, table$variable[which.max(table$rhat)])
  expect_output(print(fit), paste("worst rhat", format(found$rhat, digits = 3, nsmall = 2), "of", found$worst), fixed = TRUE)
  expect_output(print(summary(fit)), "rg[t1,t2]", fixed = TRUE)
})

test_that("the end of a run says what is not well, and what extend() needs", {
  run <- function(iter, ...) slamglmm_fit(Y ~ 1 + (1 | line), convergence_world(), chains = 2, iter = iter, seed = 1, progress = FALSE, ...)
  said <- tryCatch(run(60), fastlmm_message_convergence = identity)
  expect_s3_class(said, "fastlmm_message_convergence")
  expect_match(conditionMessage(said), "worst rhat .* smallest effective sample size .*extend\\(fit, iter = [0-9]+\\)")
  expect_gt(said$rhat, 1)
  # a long run is silent, but for those who ask
  expect_silent(fit <- run(3000))
  expect_gt(min(fit$convergence$bulk, fit$convergence$tail), 200)
  expect_message(run(3000, control = fastlmm_control(verbose = TRUE)), "worst rhat", class = "fastlmm_message_convergence")
})

test_that("what is asked of extend() is enough at the rate so far", {
  fit <- list(done = 1000, plan = list(warmup = 500), draws = list(1, 2))
  # 200 effective draws wanted, 50 there: three times as many again
  expect_equal(iterations_needed(fit, list(rhat = 1.01, bulk = 80, tail = 50)), 1500)
  expect_equal(iterations_needed(fit, list(rhat = 1.2, bulk = 500, tail = 400)), 500)
  expect_equal(iterations_needed(fit, list(rhat = 1.01, bulk = 80, tail = 47)), 1700)
  expect_null(convergence_advice(fit, list(rhat = 1.01, bulk = 500, tail = 400)))
})

test_that("of many responses some hundreds of numbers are looked at, diagonal or not", {
  data <- convergence_world(40)
  fit <- suppressMessages(slamglmm_fit(Y ~ 1 + (1 | line), data, n_factors = 2, chains = 2, iter = 60, seed = 1, progress = FALSE))
  found <- fit$convergence
  expect_lt(found$shown, 330)
  expect_equal(found$all, 40 + 2 * 820 + 780 + 40)
  table <- summary(fit)$table
  expect_equal(nrow(table), found$all)
  expect_equal(nrow(summary(fit, traits = c("t1", "t40"))$table), 2 + 3 + 3 + 1 + 2)
  expect_output(print(fit), sprintf("(%d of 2,500)", found$shown), fixed = TRUE)
})

test_that("an rhat above the limit is not written as the limit", {
  expect_identical(vapply(c(1, 1.012, 1.05, 1.0501, 1.0523, 1.056, 2.3456), shown_rhat, ""), c("1.00", "1.01", "1.05", "1.051", "1.053", "1.06", "2.35"))
})
