test_that("profile intervals equal lme4's", {
  each_lme4_pair(function(pair, label) {
    theirs <- suppressWarnings(confint(pair$theirs, quiet = TRUE))
    ours <- confint(pair$ours)
    expect_identical(colnames(ours), colnames(theirs), info = label)
    expect_identical(rownames(ours), append(rownames(theirs), "h2", 2), info = label)
    scale <- theirs[, 2] - theirs[, 1]
    expect_lt(max(abs(ours[rownames(theirs), ] - theirs) / scale), 2e-3)
  }, methods = "ML", models = c("sleepstudy", "Penicillin", "Dyestuff", "cake"))
})

test_that("at a boundary the interval starts on it", {
  skip_if_not_installed("lme4")
  ours <- confint(lme4_pair("Dyestuff2", "ML")$ours)
  expect_identical(unname(ours[c(".sig01", "h2"), 1]), c(0, 0))
  expect_true(all(is.finite(ours)))
})

test_that("Wald intervals equal lme4's where it has any", {
  each_lme4_pair(function(pair, label) {
    theirs <- confint(pair$theirs, method = "Wald")
    ours <- confint(pair$ours, method = "Wald")
    expect_equal(ours[rownames(theirs), , drop = FALSE], theirs, tolerance = 1e-5, info = label)
    expect_true(all(is.na(ours["h2", ])))
  })
})

test_that("at both ends of an interval the likelihood has fallen by the quantile", {
  given <- kernel_data()
  for (method in c("REML", "ML")) {
    fit <- kernel_fit(method)
    log_lik <- log_lik_of_variances(fit, given)
    limits <- confint(fit, c(".sig01", ".sigma", "h2", "delta"), level = 0.9)
    for (name in rownames(limits)) {
      inside <- limits[name, ][limits[name, ] > 0 & limits[name, ] < 1 / 1e-8]
      for (value in inside) {
        expect_equal(fit$logLik - best_with(log_lik, name, value), qchisq(0.9, 1) / 2, tolerance = 1e-5, info = name)
      }
    }
  }
})

test_that("h2 and delta have the same interval on two scales", {
  fit <- kernel_fit()
  limits <- confint(fit, c("h2", "delta"))
  expect_equal(unname(limits["h2", ]), rev(unname(1 / (1 + limits["delta", ]))), tolerance = 1e-6)
})

test_that("parameters are chosen by name, number or group", {
  fit <- kernel_fit()
  all <- confint(fit)
  expect_identical(confint(fit, c("x", "h2")), all[c("x", "h2"), ])
  expect_identical(confint(fit, 3:4), all[3:4, ])
  expect_identical(confint(fit, "theta_"), all[1:3, ])
  expect_identical(confint(fit, "beta_"), all[-(1:3), ])
  expect_identical(rownames(confint(fit, "delta")), "delta")
  expect_identical(colnames(confint(fit, "x", level = 0.9)), c("5 %", "95 %"))
  for (parm in list("sigma", 99, 0)) expect_error(confint(fit, parm), class = "fastlmm_error_parm")
  expect_error(confint(fit, level = 95), class = "fastlmm_error_level")
  expect_snapshot(error = TRUE, confint(fit, 99))
  expect_snapshot(error = TRUE, confint(fit, level = 95))
})

test_that("a profile gives the same intervals", {
  fit <- kernel_fit("ML")
  curves <- profile(fit)
  exact <- confint(fit)
  expect_lt(max(abs(confint(curves) - exact) / (exact[, 2] - exact[, 1])), 2e-3)
  expect_identical(rownames(confint(curves, "beta_")), names(fixef(fit)))
  expect_equal(confint(curves, "x", level = 0.9), confint(fit, "x", level = 0.9), tolerance = 1e-3)
  skip_if_not_installed("lme4")
  flat <- lme4_pair("Dyestuff2", "ML")$ours
  expect_identical(confint(profile(flat), ".sig01")[1, 1], 0)
})

test_that("aliased coefficients have no interval", {
  given <- kernel_data()
  fit <- suppressMessages(fastlmm_fit(y ~ x + I(2 * x) + f + (1 | id), given$data, K = given$K))
  for (method in c("profile", "Wald")) {
    limits <- confint(fit, method = method)
    expect_true(all(is.na(limits["I(2 * x)", ])))
    expect_false(anyNA(limits[c("x", "fb", "fc"), ]))
  }
  expect_false("I(2 * x)" %in% profile(fit, points = 5)$.par)
})

test_that("a degenerate fit says which profiles it cannot have", {
  for (which in c("perfect_fit", "explained_by_kernel", "confounded")) {
    fit <- degenerate_fit(which)
    expect_identical(fit$status, which)
    expect_warning(limits <- confint(fit), class = "fastlmm_warning_no_profile")
    expect_true(all(is.na(limits[c(".sig01", "h2"), ])))
    expect_error(profile(fit, "h2"), class = "fastlmm_error_no_profile")
    expect_snapshot(invisible(confint(fit)))
  }
  expect_silent(limits <- confint(degenerate_fit("confounded"), "beta_"))
  expect_false(anyNA(limits))
  expect_snapshot(error = TRUE, profile(degenerate_fit("perfect_fit"), "x"))
})

test_that("intervals and curves of a coefficient follow the unit of its variable", {
  set.seed(3)
  d <- data.frame(x = rnorm(60), g = factor(rep(1:20, 3)))
  d$y <- 3 + 0.5 * d$x + rnorm(20)[d$g] + rnorm(60)
  K <- crossprod(matrix(rnorm(800), 40)) / 40
  dimnames(K) <- list(1:20, 1:20)
  for (kernel in list(NULL, list(g = K))) {
    fit <- fastlmm_fit(y ~ x + (1 | g), d, K = kernel)
    for (unit in c(1e-12, 1e-6, 1e4, 1e8, 1e12)) {
      scaled <- fastlmm_fit(y ~ x + (1 | g), transform(d, x = x * unit), K = kernel)
      expect_equal(confint(scaled, "x") * unit, confint(fit, "x"), tolerance = 1e-10)
      curves <- list(profile(scaled, "x"), profile(fit, "x"))
      expect_equal(curves[[1]]$value * unit, curves[[2]]$value, tolerance = 1e-10)
      expect_equal(curves[[1]]$.zeta, curves[[2]]$.zeta, tolerance = 1e-8)
    }
  }
})
