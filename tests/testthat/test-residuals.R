test_that("fitted values and residuals equal lme4's", {
  each_lme4_pair(function(pair, label) {
    expect_equal(fitted(pair$ours), fitted(pair$theirs), tolerance = 1e-6, info = label)
    for (type in c("response", "pearson")) {
      scale <- sigma(pair$theirs)
      expect_equal(
        residuals(pair$ours, type) / scale, residuals(pair$theirs, type) / scale,
        tolerance = 1e-5, info = label, ignore_attr = TRUE
      )
    }
    expect_equal(residuals(pair$ours, scaled = TRUE), residuals(pair$theirs, scaled = TRUE), tolerance = 1e-5, info = label)
  })
})

test_that("weights enter Pearson residuals as in lme4", {
  skip_if_not_installed("lme4")
  data <- transform(lme4::sleepstudy, w = rep(c(1, 2, 0.5), 60))
  ours <- fastlmm_fit(Reaction ~ Days + (1 | Subject), data, weights = w)
  theirs <- lme4::lmer(Reaction ~ Days + (1 | Subject), data, weights = w)
  for (type in c("response", "pearson", "working", "deviance")) {
    expect_equal(residuals(ours, type), residuals(theirs, type), tolerance = 1e-5, info = type)
  }
})

test_that("fitted values of a dense kernel are those of the definition", {
  m <- kernel_dense()
  expected <- drop(m$X %*% m$beta + m$Z %*% dense_blup(m)) + kernel_data()$data$o
  expect_equal(fitted(kernel_fit()), expected, tolerance = 1e-8, ignore_attr = TRUE)
  expect_equal(residuals(kernel_fit()), kernel_data()$data$y - expected, tolerance = 1e-8, ignore_attr = TRUE)
  expect_equal(residuals(kernel_fit()) + fitted(kernel_fit()), kernel_data()$data$y, ignore_attr = TRUE)
})

test_that("na.exclude pads fitted values, residuals, predictions and draws", {
  given <- kernel_data()
  data <- given$data
  data$y[3] <- NA
  data$x[10] <- NA
  fit <- fastlmm_fit(y ~ x + (1 | id), data, K = given$K, na.action = na.exclude)
  short <- fastlmm_fit(y ~ x + (1 | id), data, K = given$K)
  expect_length(fitted(short), 73)
  for (value in list(fitted(fit), residuals(fit), predict(fit), simulate(fit, seed = 1)$sim_1, weights(fit))) {
    expect_length(value, 75)
    expect_identical(which(is.na(value)), c(3L, 10L), ignore_attr = TRUE)
  }
  expect_equal(fitted(fit)[-c(3, 10)], fitted(short))
  expect_equal(nrow(model.frame(fit)), 73)
  expect_equal(unname(predict(fit, data))[-10], unname(replace(fitted(fit), 3, predict(fit, data[3, ])))[-10])
})
