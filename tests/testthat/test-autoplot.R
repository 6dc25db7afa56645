# ggplot2 draws what base graphics draw.

into_device <- function(picture) {
  grDevices::pdf(NULL)
  on.exit(grDevices::dev.off())
  print(picture)
}
into_device_value <- function(expr) {
  grDevices::pdf(NULL)
  on.exit(grDevices::dev.off())
  expr
}
# The data of the layer of a geom
layer_data_of <- function(picture, geom) {
  at <- which(vapply(picture$layers, function(layer) inherits(layer$geom, geom), NA))
  lapply(at, function(i) ggplot2::layer_data(picture, i))
}

test_that("each picture of a fit shows the numbers of its plot", {
  skip_if_not_installed("ggplot2")
  fit <- kernel_fit()
  points <- function(which) layer_data_of(ggplot2::autoplot(fit, which), "GeomPoint")[[1]]
  expect_equal(points("residuals")[c("x", "y")], data.frame(x = unname(fitted(fit)), y = unname(residuals(fit, "pearson", scaled = TRUE))))
  expect_equal(points("observed")$y, unname(kernel_data()$data$y))
  expect_equal(points("qq")$y, unname(sort(rstandard(fit))))
  expect_equal(points("qq")$x, qnorm(ppoints(nobs(fit))))
  expect_equal(points("effects")$y, unname(sort(fastlmm:::standardised_effects("id", fit))))
  expect_equal(points("profile")$x, unname(fit$h2), tolerance = 1e-6)
  band <- layer_data_of(ggplot2::autoplot(fit, "qq", level = 0.8), "GeomRibbon")[[1]]
  expect_equal(band$ymax[nobs(fit)], qnorm(qbeta(0.9, nobs(fit), 1)))
  cut <- layer_data_of(ggplot2::autoplot(fit, "profile", level = 0.9), "GeomHline")[[1]]
  expect_equal(cut$yintercept, as.numeric(logLik(fit)) - qchisq(0.9, 1) / 2)
  expect_error(ggplot2::autoplot(fit, "nothing"), class = "fastlmm_error_argument")
})

test_that("several pictures are panels, of every kind of fit", {
  skip_if_not_installed("ggplot2")
  given <- kernel_data()
  several <- suppressMessages(fastlmm_fit(y ~ x + (1 | id) + (1 | g), transform(given$data, g = rep(1:15, each = 5)), K = list(id = given$K)))
  for (fit in list(kernel_fit(), several, degenerate_fit("perfect_fit"), degenerate_fit("explained_by_kernel"))) {
    picture <- ggplot2::autoplot(fit)
    into_device(picture)
    expect_identical(length(unique(ggplot2::ggplot_build(picture)$layout$layout$PANEL)), length(fastlmm:::panel_pictures(fit)))
  }
  key <- ggplot2::autoplot(several, "effects")
  expect_identical(levels(layer_data_of(key, "GeomPoint")[[1]]$colour |> factor()), sort(fastlmm:::effect_colours(2)))
  expect_error(ggplot2::autoplot(degenerate_fit("perfect_fit"), "profile"), class = "fastlmm_error_no_profile")
})

test_that("profiles have a panel each, on both scales", {
  skip_if_not_installed("ggplot2")
  curves <- profile(kernel_fit("ML"), points = 11)
  for (type in c("zeta", "logLik")) {
    picture <- ggplot2::autoplot(curves, type = type)
    into_device(picture)
    line <- layer_data_of(picture, "GeomLine")[[1]]
    expect_equal(sort(line$y), sort(curves[[c(zeta = ".zeta", logLik = "logLik")[type]]][is.finite(curves$value)]))
    expect_identical(length(unique(line$PANEL)), nlevels(curves$.par))
  }
  expect_error(ggplot2::autoplot(curves, level = 2), class = "fastlmm_error_level")
})

test_that("random effects stand in the order of their size with their intervals", {
  skip_if_not_installed("ggplot2")
  effects <- ranef(kernel_fit())
  table <- as.data.frame(effects)
  picture <- ggplot2::autoplot(effects, level = 0.9)
  into_device(picture)
  segments <- layer_data_of(picture, "GeomSegment")[[1]]
  o <- order(table$condval)
  s <- order(segments$y)
  expect_equal(segments$x[s], table$condval[o] - qnorm(0.95) * table$condsd[o])
  expect_equal(segments$xend[s], table$condval[o] + qnorm(0.95) * table$condsd[o])
  slopes <- suppressMessages(fastlmm_fit(distance ~ age + (1 + age || Subject), nlme::Orthodont))
  for (effects in list(ranef(slopes), ranef(slopes, condVar = FALSE), ranef(kernel_fit(), drop = TRUE))) into_device(ggplot2::autoplot(effects))
})

test_that("a process is a band, or a map", {
  skip_if_not_installed("ggplot2")
  data <- data.frame(t = seq(0, 10, length.out = 60), u = rep(1:6, 10), x = rep(0:1, 30))
  set.seed(1)
  data$y <- sin(data$t) + data$x + rnorm(60, sd = 0.2)
  fit <- suppressMessages(fastlmm_fit(y ~ x + gp(t), data))
  picture <- ggplot2::autoplot(fit, n = 30)
  into_device(picture)
  grid <- into_device_value(plot(fit, n = 30))
  band <- layer_data_of(picture, "GeomRibbon")[[1]]
  expect_equal(band$ymax, grid$fit + 2 * grid$se)
  expect_match(picture$labels$subtitle, "held: x")
  two <- suppressMessages(fastlmm_fit(y ~ gp(t, u, lengthscale = 2), data))
  for (which in c("mean", "se")) {
    picture <- ggplot2::autoplot(two, which, n = 12)
    into_device(picture)
    expect_identical(nrow(layer_data_of(picture, "GeomRaster")[[1]]), 144L)
  }
  expect_error(ggplot2::autoplot(two, n = 0), class = "fastlmm_error_n")
})

test_that("of many responses the largest h2 with their intervals", {
  skip_if_not_installed("ggplot2")
  given <- kernel_data()
  set.seed(2)
  data <- given$data
  data$Y <- cbind(a = data$y, b = data$y + rnorm(nrow(data)), c = rnorm(nrow(data)))
  many <- suppressMessages(fastlmm_fit(Y ~ x + (1 | id), data, given$K))
  picture <- ggplot2::autoplot(many, n = 2)
  into_device(picture)
  table <- confint(many, "h2")
  points <- layer_data_of(picture, "GeomPoint")[[1]]
  expect_equal(sort(points$x), sort(table$estimate, decreasing = TRUE)[2:1])
})
