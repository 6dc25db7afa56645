# The picture of a gp fit: its curve is the prediction and meets the data.

drawn_points <- function(fit) fastlmm:::gp_partial(fit, fastlmm:::gp_plot_grid(fit, 5), seq_len(fit$nobs))

test_that("a trend in the coordinate moves with it, and the curve meets the data", {
  d <- data.frame(t = as.numeric(time(co2)), y = as.numeric(co2))[1:160, ]
  fit <- suppressMessages(fastlmm_fit(y ~ t + I(t^2) + gp(t, cov = "matern32"), d))
  grid <- fastlmm:::gp_plot_grid(fit, 50)
  expect_equal(grid$fit, unname(predict(fit, grid["t"])), tolerance = 1e-8)
  expect_length(attr(grid, "held"), 0)
  expect_equal(drawn_points(fit), d$y)
  expect_lt(max(abs(approx(grid$t, grid$fit, d$t)$y - d$y)), diff(range(d$y)) / 2)
})

test_that("what is held is said, and the points are the curve at their places plus the residuals", {
  set.seed(2)
  d <- data.frame(t = runif(50), x = rnorm(50, 3), f = gl(2, 25, labels = c("a", "b")), g = rep(1:5, 10))
  d <- d[-1, ]
  d$y <- 2 * d$t + d$x + (d$f == "b") + sin(6 * d$t) + rnorm(49) / 5 + rnorm(5)[d$g]
  fit <- suppressMessages(fastlmm_fit(y ~ poly(t, 2) + x * f + gp(t) + (1 | g), d))
  grid <- fastlmm:::gp_plot_grid(fit, 20)
  expect_identical(attr(grid, "held"), c(paste("x =", format(mean(d$x), digits = 3)), "f = b", "no effect of g"))
  held <- data.frame(t = grid$t, x = mean(d$x), f = "b")
  expect_equal(grid$fit, unname(predict(fit, held, re.form = ~ gp(t))), tolerance = 1e-8)
  expect_equal(drawn_points(fit), unname(predict(fit, transform(d, x = mean(x), f = "b"), re.form = ~ gp(t)) + residuals(fit)), tolerance = 1e-8)
})

test_that("coef() adds each effect to its coefficient", {
  set.seed(3)
  d <- data.frame(t = runif(40), x = rnorm(40))
  d$y <- sin(5 * d$t) + d$x + rnorm(40) / 4
  fit <- suppressMessages(fastlmm_fit(y ~ x + gp(t), d))
  rows <- coef(fit)[["gp(t)"]]
  expect_equal(rows$x, rep(fixef(fit)[["x"]], 40))
  expect_equal(rows[["(Intercept)"]] + rows$x * d$x, unname(fitted(fit)))
  for (basis in c("exact", "fourier")) expect_s3_class(coef(suppressMessages(fastlmm_fit(y ~ gp(t, cov = "exp_quad", basis = basis), d))), "coef.fastlmm")
})
