test_that("variance components equal lme4's", {
  each_lme4_pair(function(pair, label) {
    ours <- as.data.frame(VarCorr(pair$ours))
    theirs <- as.data.frame(lme4::VarCorr(pair$theirs))
    expect_identical(ours[1:3], theirs[1:3], info = label)
    expect_equal(ours[4:5], theirs[4:5], tolerance = 1e-5, info = label)
  })
})

test_that("VarCorr has lme4's shape", {
  skip_if_not_installed("lme4")
  ours <- VarCorr(lme4_pair("sleepstudy")$ours)
  theirs <- lme4::VarCorr(lme4_pair("sleepstudy")$theirs)
  expect_equal(ours$Subject[1, 1], theirs$Subject[1, 1], tolerance = 1e-6)
  expect_named(ours, names(theirs))
  expect_equal(attr(ours$Subject, "stddev"), attr(theirs$Subject, "stddev"), tolerance = 1e-6)
  expect_equal(attr(ours, "sc"), attr(theirs, "sc"), tolerance = 1e-6)
  expect_snapshot(ours)
  expect_snapshot(print(ours, comp = c("Variance", "Std.Dev.")))
})

test_that("the components are sigma2 and sigma2_e", {
  fit <- kernel_fit()
  expect_equal(as.data.frame(VarCorr(fit))$vcov, c(fit$sigma2, fit$sigma2_e))
  expect_equal(as.data.frame(VarCorr(fit, sigma = 2))$vcov, 4 * c(fit$sigma2, fit$sigma2_e))
})
