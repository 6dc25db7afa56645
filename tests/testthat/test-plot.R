# What a plot call hands to the device: its display list, without the picture
drawn <- function(code) {
  path <- tempfile(fileext = ".pdf")
  grDevices::pdf(path)
  on.exit({
    grDevices::dev.off()
    unlink(path)
  })
  grDevices::dev.control("enable")
  force(code)
  length(grDevices::recordPlot()[[1]])
}

test_that("every plot of a fit draws and returns the fit", {
  fit <- kernel_fit()
  for (which in c("residuals", "observed", "qq", "effects", "profile")) {
    expect_gt(drawn(value <- withVisible(plot(fit, which))), 3)
    expect_identical(value, list(value = fit, visible = FALSE))
  }
  expect_error(plot(fit, "nothing"))
})

test_that("graphical parameters reach the plot", {
  expect_gt(drawn(plot(kernel_fit(), main = "A title", xlab = "fit", pch = 3)), 3)
  expect_gt(drawn(plot(kernel_fit(), "profile", ylim = c(-200, -100), col = 2)), 3)
})

test_that("fits at the boundary and with missing rows draw", {
  skip_if_not_installed("lme4")
  for (which in c("residuals", "observed", "qq", "profile")) expect_gt(drawn(plot(lme4_pair("Dyestuff2")$ours, which)), 3)
  data <- kernel_data()$data
  data$y[4] <- NA
  fit <- fastlmm_fit(y ~ x + (1 | id), data, K = kernel_data()$K, na.action = na.exclude)
  for (which in c("residuals", "observed", "qq")) expect_gt(drawn(plot(fit, which)), 3)
})

test_that("profiles draw on both scales and put par back", {
  curves <- profile(kernel_fit("ML"), points = 11)
  for (type in c("zeta", "logLik")) {
    expect_gt(drawn({
      before <- par("mfrow")
      value <- withVisible(plot(curves, type = type))
      after <- par("mfrow")
    }), 10)
    expect_identical(after, before)
    expect_identical(value, list(value = curves, visible = FALSE))
  }
  expect_gt(drawn(plot(profile(kernel_fit(), "h2", points = 11))), 3)
  expect_error(drawn(plot(curves, level = 2)), class = "fastlmm_error_level")
})

test_that("degenerate fits draw what they can and refuse the profile", {
  for (which in c("perfect_fit", "explained_by_kernel", "confounded")) {
    fit <- degenerate_fit(which)
    for (panel in c("residuals", "observed", "qq")) expect_gt(drawn(plot(fit, panel)), 3)
    expect_error(drawn(plot(fit, "profile")), class = "fastlmm_error_no_profile")
  }
})

test_that("plot(fit) is a panel of what the fit has, and puts par back", {
  given <- kernel_data()
  several <- suppressMessages(fastlmm_fit(y ~ x + (1 | id) + (1 | g), transform(given$data, g = rep(1:15, each = 5)), K = list(id = given$K)))
  fits <- list(kernel_fit(), several, lme4_pair("Dyestuff2")$ours, degenerate_fit("perfect_fit"), degenerate_fit("explained_by_kernel"))
  expect_identical(
    lapply(fits, panel_pictures)[1:3],
    list(c("residuals", "qq", "effects", "profile"), c("residuals", "qq", "effects", "observed"), c("residuals", "qq", "profile"))
  )
  for (fit in fits) {
    expect_gt(drawn({
      before <- par("mfrow")
      value <- withVisible(plot(fit))
      after <- par("mfrow")
    }), 10)
    expect_identical(after, before)
    expect_false(value$visible)
  }
  expect_error(drawn(plot(lme4_pair("Dyestuff2")$ours, "effects")), class = "fastlmm_error_no_effects")
})

test_that("standardised effects are over their standard deviations, of the definition", {
  m <- kernel_dense()
  P <- m$inverse - m$inverse %*% m$X %*% m$vcov %*% t(m$X) %*% m$inverse
  S <- m$sigma2 * m$K %*% t(m$Z)
  fit <- kernel_fit()
  at <- fit$random$id$index
  expect_equal(standardised_effects("id", fit), (dense_blup(m) / sqrt(diag(S %*% P %*% t(S))))[at], tolerance = 1e-8)
})
