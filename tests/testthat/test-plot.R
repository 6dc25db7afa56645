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
  skip_if_not_installed("lme4")
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

# What a picture draws, on a device that is thrown away
drawn <- function(expr) {
  file <- withr::local_tempfile(fileext = ".pdf")
  grDevices::pdf(file)
  on.exit(grDevices::dev.off())
  force(expr)
}

test_that("effects of one grouping factor are told apart in the legend", {
  fit <- fastlmm_fit(distance ~ age + (1 | Subject) + (0 + age | Subject), nlme::Orthodont)
  expect_named(titled_effects(fit), c("Subject: (Intercept)", "Subject: age"))
  one <- fastlmm_fit(distance ~ age + (1 | Subject), nlme::Orthodont)
  expect_named(titled_effects(one), "Subject")
})

test_that("plot() of a fit refuses rows that it would not draw", {
  fit <- fastlmm_fit(distance ~ age + (1 | Subject), nlme::Orthodont)
  smooth <- fastlmm_fit(mag ~ depth + gp(long, lat, lengthscale = 5), quakes[1:60, ])
  expect_error(plot(fit, newdata = nlme::Orthodont[1:3, ]), "predict\\(fit, newdata", class = "fastlmm_error_unused_argument")
  expect_error(plot(smooth, newdata = quakes[1:3, ]), "newdata", class = "fastlmm_error_unused_argument")
  expect_silent(drawn(plot(fit, "residuals", pch = 3)))
})

test_that("random effects are drawn with their ids and intervals", {
  fit <- fastlmm_fit(distance ~ age + (1 | Subject) + (0 + age | Subject), nlme::Orthodont)
  effects <- ranef(fit)
  expect_identical(drawn(plot(effects)), effects)
  expect_silent(drawn(plot(ranef(fit, condVar = FALSE))))
  expect_silent(drawn(plot(ranef(fit, drop = TRUE), level = 0.5)))
  expect_error(plot(effects, level = 2), class = "fastlmm_error_level")
  expect_error(plot(effects, colour = 2), class = "fastlmm_error_unused_argument")
  expect_error(plot(coef(fit)), "ranef", class = "fastlmm_error_coef")
  skip_if_not_installed("lattice")
  table <- as.data.frame(effects)
  for (draw in list(lattice::dotplot, lattice::qqmath)) {
    found <- draw(effects, level = 0.9)
    expect_named(found, "Subject")
    expect_s3_class(found$Subject, "trellis")
    expect_equal(unname(dim(found$Subject)), 2)
    expect_equal(found$Subject$panel.args[[2]]$x, table$condval[table$term == "age"])
    # room for the intervals
    expect_equal(range(found$Subject$x.limits[[1]]), range(table$condval[1:27] - qnorm(0.95) * table$condsd[1:27], table$condval[1:27] + qnorm(0.95) *
      table$condsd[1:27]), tolerance = 0.2)
    expect_silent(drawn(print(found$Subject)))
  }
  expect_equal(sort(lattice::qqmath(effects)$Subject$panel.args[[1]]$y), qnorm(ppoints(27)))
})

test_that("power, bootstrap draws and replicated data have pictures of their own", {
  fit <- fastlmm_fit(distance ~ age + Sex + (1 | Subject), nlme::Orthodont)
  found <- power(fit, "Sex", n = c(27, 15), R = 20, seed = 1)
  expect_s3_class(found, "fastlmm_power")
  expect_identical(drawn_power(found)$n, c(15, 27))
  expect_silent(drawn(plot(found)))
  expect_silent(drawn(plot(found[1, ], main = "one", ylim = c(0.2, 1))))
  expect_error(plot(found["n"]), "conf.low", class = "fastlmm_error_power")
  draws <- bootstrap(fit, R = 20, seed = 1)
  expect_silent(drawn(plot(draws)))
  expect_silent(drawn(plot(draws, c("h2", "age"), level = 0.8, type = "basic")))
  expect_error(plot(draws, "nothing"), class = "fastlmm_error_parm")
  expect_error(plot(draws, nowhere = 1), class = "fastlmm_error_unused_argument")
  ids <- paste0("i", rep(1:10, 2))
  Y <- cbind(a = 1:20, b = (1:20 %% 7)^2)
  slam <- suppressWarnings(suppressMessages(slamglmm_fit(Y ~ 1 + (1 | id), data.frame(id = ids), n_factors = 1, chains = 1, iter = 30, seed = 1)))
  checked <- pp_check(slam, 10, seed = 1)
  expect_equal(pp_table(checked)$h2, c(checked$p.sd, checked$p.skewness, checked$p.largest))
  expect_silent(drawn(plot(checked)))
  expect_error(plot(checked["p.sd"]), class = "fastlmm_error_pp_check")
  # effects of a sparse-factor model, by response
  effects <- ranef(slam, condVar = TRUE)
  expect_silent(drawn(plot(effects, terms = "b")))
  expect_identical(levels(effects_picture(effects, 0.9)$panel), c("id: a", "id: b"))
  expect_error(plot(effects, terms = "z"), "there are \"a\", \"b\"", class = "fastlmm_error_terms")
  many <- structure(list(id = matrix(1, 3, 26, dimnames = list(letters[1:3], LETTERS))), class = "ranef.slamglmm")
  expect_error(plot(many), "terms = 1:9", class = "fastlmm_error_terms")
  expect_silent(drawn(plot(many, terms = 1:9)))
  if (requireNamespace("lattice", quietly = TRUE)) expect_equal(unname(dim(lattice::dotplot(effects)$id)), 2)
  skip_if_not_installed("ggplot2")
  for (one in list(found, found[1, ], draws, checked, ranef(fit), ranef(slam, condVar = TRUE))) {
    picture <- ggplot2::autoplot(one)
    expect_s3_class(picture, "ggplot")
    expect_silent(drawn(print(picture)))
  }
})

test_that("facets of random effects have the ids on their axes", {
  skip_if_not_installed("ggplot2")
  fit <- fastlmm_fit(distance ~ age + (1 | Subject) + (0 + age | Subject), nlme::Orthodont)
  built <- drawn(ggplot2::ggplot_build(ggplot2::autoplot(ranef(fit))))
  table <- as.data.frame(ranef(fit))
  for (k in 1:2) {
    own <- table[table$term == levels(table$term)[k], ]
    expect_identical(as.character(built$layout$panel_params[[k]]$y$get_labels()), as.character(own$grp)[order(own$condval)])
  }
})
