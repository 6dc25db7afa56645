test_that("curves have the documented shape", {
  curves <- profile(kernel_fit("ML"))
  expect_s3_class(curves, "fastlmm_profile")
  expect_named(as.data.frame(curves), c(".par", "value", ".zeta", "logLik"))
  expect_identical(levels(curves$.par), c(".sig01", ".sigma", "h2", "(Intercept)", "x", "fb", "fc"))
  expect_false(inherits(as.data.frame(curves), "fastlmm_profile"))
  expect_null(attr(as.data.frame(curves), "parameters"))
  expect_equal(nrow(profile(kernel_fit("ML"), "h2", points = 9)), 9)
})

test_that("zeta is the signed root of the loss of deviance and rises with the parameter", {
  for (method in c("REML", "ML")) {
    fit <- kernel_fit(method)
    curves <- as.data.frame(profile(fit, c(".sig01", ".sigma", "h2", "delta")))
    expect_equal(curves$.zeta^2, 2 * (fit$logLik - curves$logLik), tolerance = 1e-6)
    for (curve in split(curves, curves$.par)) expect_false(is.unsorted(curve$.zeta[order(curve$value)]))
  }
})

test_that("the curve of a variance is the definition's, maximised over the rest", {
  given <- kernel_data()
  for (method in c("REML", "ML")) {
    fit <- kernel_fit(method)
    log_lik <- log_lik_of_variances(fit, given)
    curves <- as.data.frame(profile(fit, "theta_", points = 5))
    for (i in seq_len(nrow(curves))) {
      expect_equal(curves$logLik[i], best_with(log_lik, curves$.par[i], curves$value[i]), tolerance = 1e-7, info = curves$.par[i])
    }
  }
})

test_that("the curve of a fixed effect is the fit with that effect as offset", {
  given <- kernel_data()
  data <- given$data
  curves <- as.data.frame(profile(kernel_fit("ML"), "x", points = 5))
  for (i in seq_len(nrow(curves))) {
    data$held <- data$o + curves$value[i] * data$x
    held <- fastlmm_fit(y ~ f + offset(held) + (1 | id), data, K = given$K, weights = w, method = "ML")
    expect_equal(curves$logLik[i], held$logLik, tolerance = 1e-9)
  }
  expect_equal(profile(kernel_fit(), "x", points = 5)$logLik, curves$logLik, tolerance = 1e-6)
})

test_that("curves equal lme4's", {
  each_lme4_pair(function(pair, label) {
    theirs <- as.data.frame(suppressWarnings(profile(pair$theirs)))
    ours <- as.data.frame(profile(pair$ours, points = 201))
    for (name in c(".sig01", ".sigma", names(fixef(pair$ours)))) {
      curve <- ours[ours$.par == name & is.finite(ours$value), ]
      other <- theirs[theirs$.par == name, ]
      inside <- other$.focal >= min(curve$value) & other$.focal <= max(curve$value)
      zeta <- approx(curve$value, curve$.zeta, other$.focal[inside])$y
      expect_lt(max(abs(zeta - other$.zeta[inside])), 0.02)
    }
  }, methods = "ML", models = c("sleepstudy", "Penicillin", "Dyestuff"))
})

test_that("wrong arguments are refused", {
  fit <- kernel_fit()
  expect_error(profile(fit, "sigma"), class = "fastlmm_error_parm")
  expect_snapshot(error = TRUE, profile(fit, "sigma"))
  expect_snapshot(error = TRUE, profile(fit, alphamax = 2))
  expect_snapshot(error = TRUE, profile(fit, points = 1))
})
