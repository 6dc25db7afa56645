test_that("power is that of the definition: refits of simulated responses and their tests", {
  fit <- fastlmm_fit(distance ~ age + Sex + (1 | Subject), nlme::Orthodont)
  set.seed(8)
  n <- nobs(fit)
  noise <- matrix(rnorm(n * 60), n)
  u <- matrix(rnorm(27 * 60), 27)
  Y <- predict(fit, re.form = NA) + sqrt(fit$sigma2_e) * noise + sqrt(fit$sigma2) * u[fit$random$Subject$group, ]
  rejects <- vapply(1:60, function(i) {
    again <- suppressMessages(refit(fit, Y[, i]))
    # a balanced design: 25 degrees of freedom between subjects, whatever the variances
    2 * pt(-abs(fixef(again)[["SexFemale"]] / sqrt(vcov(again)["SexFemale", "SexFemale"])), 25) <= 0.05
  }, NA)
  found <- power(fit, "Sex", R = 60, seed = 8)
  expect_equal(found$power, mean(rejects))
  expect_equal(found$df, 25, tolerance = 1e-6)
  expect_equal(found$rows, 108)
})

test_that("power of a t-test is known where subjects are independent and balanced", {
  # two groups of subjects, four measurements: a t-test of subject means
  subjects <- 24
  data <- data.frame(id = rep(seq_len(subjects), each = 4), group = rep(c("a", "b"), each = 4, length.out = 4 * subjects))
  set.seed(2)
  data$y <- rnorm(subjects)[data$id] + rnorm(4 * subjects)
  fit <- fastlmm_fit(y ~ group + (1 | id), data)
  sd <- sqrt(fit$sigma2 + fit$sigma2_e / 4)
  for (size in c(24, 48)) {
    known <- power.t.test(n = size / 2, delta = 1.2, sd = sd)$power
    found <- power(fit, "group", n = size, effect = 1.2, R = 600, seed = 3)
    expect_lt(abs(found$power - known), 4 * sqrt(known * (1 - known) / 600) + 0.02)
  }
  expect_identical(found, power(fit, "groupb", n = 48, effect = 1.2, R = 600, seed = 3))
})

test_that("without an effect the power is the level, with a kernel and terms of several columns", {
  given <- kernel_data()
  fit <- fastlmm_fit(y ~ x + f + (1 | id), given$data, K = given$K)
  for (term in c("f", "x")) {
    found <- power(fit, term, effect = 0, R = 800, seed = 4)
    expect_lt(abs(found$power - 0.05), 4 * sqrt(0.05 * 0.95 / 800) + 0.005)
    expect_true(found$conf.low < found$power && found$power < found$conf.high)
  }
  fewer <- power(fit, "x", n = c(15, 30), R = 100, seed = 1)
  expect_identical(fewer$n, c(15, 30))
  expect_lt(fewer$rows[1], 75)
  expect_lt(fewer$power[1], fewer$power[2] + 0.15)
})

test_that("what has no power is refused", {
  fit <- kernel_fit()
  expect_error(power(fit, "nothing"), "label of a term", class = "fastlmm_error_term")
  expect_error(power(fit, "x", n = 31, R = 5), "at most the 30 ids", class = "fastlmm_error_n")
  expect_error(power(fit, "x", n = 2.5), class = "fastlmm_error_n")
  expect_error(power(fit, "x", effect = c(1, 2), R = 5), class = "fastlmm_error_argument")
  expect_error(power(fit, "x", alpha = 5, R = 5), class = "fastlmm_error_level")
  expect_error(power(route_fits()$levels, "x"), class = "fastlmm_error_power")
  expect_error(power(lm(dist ~ speed, cars), "speed"), class = "fastlmm_error_not_a_fit")
  # links of stats
  expect_identical(quasi(link = power(0.5))$link, quasi(link = stats::power(0.5))$link)
  expect_identical(power(lambda = 0.5)$name, stats::power(0.5)$name)
  expect_identical(power()$name, stats::power()$name)
})

test_that("with several random effects draws are refits and their tests by contest()", {
  fit <- route_fits()$mix
  found <- power(fit, "f", R = 12, seed = 3)
  set.seed(3)
  n <- nobs(fit)
  Y <- predict(fit, re.form = NA) + residual_draws(fit, 12) + random_draws(fit, 12, c(TRUE, TRUE))
  p <- vapply(1:12, function(i) contest(quiet_fit(refit(fit, Y[, i])), c(0, 0, 1), ddf = "kenward-roger")[["Pr(>F)"]], 0)
  expect_identical(found$power, mean(p <= 0.05))
  expect_equal(found$df, contest(fit, c(0, 0, 1), ddf = "kenward-roger")$DenDF)
  expect_error(power(fit, "f", n = 10), "several", class = "fastlmm_error_n")
  # crossed and correlated effects, without an effect of the term: the level
  for (route in c("crossed", if (is_long()) "correlated")) {
    level <- power(route_fits()[[route]], "x", R = some_draws(400), effect = 0, seed = 5)
    expect_true(level$conf.low < 0.06 && level$conf.high > 0.04, info = paste(route, level$power))
  }
})
