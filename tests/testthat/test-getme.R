test_that("components equal lme4's", {
  each_lme4_pair(function(pair, label) {
    for (name in c("n", "p", "q", "REML", "is_REML")) {
      expect_equal(getME(pair$ours, name), lme4::getME(pair$theirs, name), info = paste(label, name), ignore_attr = TRUE)
    }
    for (name in c("X", "y", "offset", "fixef", "beta", "theta", "lower", "sigma", "mu")) {
      expect_equal(
        getME(pair$ours, name), lme4::getME(pair$theirs, name),
        tolerance = 1e-5, info = paste(label, name), ignore_attr = TRUE
      )
    }
    Z <- lme4::getME(pair$theirs, "Z")
    expect_equal(as.matrix(getME(pair$ours, "Z"))[, colnames(Z)], as.matrix(Z), info = label)
  })
})

test_that("the components make V", {
  fit <- kernel_fit()
  part <- getME(fit, c("Z", "K", "sigma2", "sigma2_e", "weights"))
  V <- part$sigma2 * part$Z %*% part$K %*% Matrix::t(part$Z) + part$sigma2_e * diag(1 / part$weights)
  expect_equal(as.matrix(V), kernel_dense()$V, tolerance = 1e-10, ignore_attr = TRUE)
})

test_that("lme4's own getME and isSingular work", {
  skip_if_not_installed("lme4")
  fit <- lme4_pair("sleepstudy")$ours
  expect_equal(lme4::getME(fit, "theta"), getME(fit, "theta"))
  expect_false(lme4::isSingular(fit))
  expect_equal(getME(lme4_pair("sleepstudy")$theirs, "p"), 2)
  expect_false(isSingular(lme4_pair("sleepstudy")$theirs))
})

test_that("ALL gives everything and an unknown name is an error", {
  all <- getME(kernel_fit(), "ALL")
  expect_true(all(c("X", "Z", "K", "theta", "flist") %in% names(all)))
  expect_error(getME(kernel_fit(), "thetta"), class = "fastlmm_error_component")
  expect_error(getME(1, "theta"), class = "fastlmm_error_not_a_fit")
  expect_snapshot(error = TRUE, getME(kernel_fit(), c("X", "thetta")))
  expect_snapshot(error = TRUE, isSingular(1))
})

test_that("isSingular says whether sigma2 is zero", {
  each_lme4_pair(function(pair, label) {
    expect_identical(isSingular(pair$ours), lme4::isSingular(pair$theirs), info = label)
  })
  given <- kernel_data()
  tiny <- fastlmm_fit(y ~ x + (1 | id), given$data, K = given$K * 1e20)
  expect_false(isSingular(tiny))
})
