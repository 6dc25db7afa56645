# The gp() term: what it may say, and what is refused.

gp_data <- function(n = 80) {
  set.seed(7)
  d <- data.frame(lon = runif(n), lat = runif(n), h = runif(n), x = rnorm(n), f = gl(2, n / 2, labels = c("a", "b")), g = factor(rep(1:8, length.out = n)))
  d$y <- 1 + d$x + sin(5 * d$lon) + cos(4 * d$lat) + rnorm(n, sd = 0.3)
  d
}

split <- function(formula) fastlmm:::split_formula(formula, gp_data(), environment(formula))

test_that("a gp() term says which columns, and settings are evaluated where the formula was written", {
  kernel <- "matern32"
  parts <- split(y ~ x + gp(lon, log(h), cov = kernel, ard = TRUE))
  expect_identical(deparse1(parts$fixed), "y ~ x")
  expect_identical(parts$gp$coordinates, list(quote(lon), quote(log(h))))
  expect_identical(parts$gp$cov, "matern32")
  expect_length(parts$random, 0)
  expect_identical(deparse1(split(y ~ gp(lon))$fixed), "y ~ 1")
  expect_identical(deparse1(split(y ~ x + fastlmm::gp(lon) - 1)$fixed), "y ~ x - 1")
  expect_false("lon" %in% all.vars(split(y ~ . + gp(lon, lat))$fixed))
})

test_that("a gp() term that cannot be meant is refused", {
  fit <- function(formula, ...) fastlmm_fit(formula, gp_data(), ...)
  expect_refused(gp(1), "gp")
  expect_refused(fit(y ~ x * gp(lon, lat)), "gp")
  expect_refused(fit(y ~ gp(lon) + gp(lat)), "gp")
  expect_refused(fit(y ~ gp()), "gp")
  expect_refused(fit(y ~ gp(lon, lat, h, x)), "gp")
  expect_refused(fit(y ~ gp(lon, cov = "cubic")), "gp")
  expect_refused(fit(y ~ gp(lon, lengthscale = -1)), "gp")
  expect_refused(fit(y ~ gp(lon, lengthscale = c(1, 2))), "gp")
  expect_refused(fit(y ~ gp(lon, range = c(2, 1))), "gp")
  expect_refused(fit(y ~ gp(lon, tol = 0)), "gp")
  expect_refused(fit(y ~ gp(lon, basis = "wavelet")), "gp")
  expect_refused(fit(y ~ gp(lon, lat, lower = 0)), "gp")
  expect_refused(fit(y ~ gp(lon), K = diag(80)), "gp")
  expect_refused(fit(y ~ gp(lon, basis = "fourier") + (0 + x | g)), "gp")
  expect_refused(fit(y ~ gp(f)), "gp_coordinate")
  expect_refused(fit(y ~ gp(nowhere)), "missing_variable")
  expect_refused(fit(y ~ gp(lon, 0 * lat)), "constant_coordinate")
})

test_that("arguments that gp() has not, and settings without their names, are refused with what to do", {
  refused <- function(formula, says) expect_error(fastlmm_fit(formula, gp_data()), says, class = "fastlmm_error_gp")
  refused(y ~ gp(lon, lat, by = x), "by.*each level or slope")
  refused(y ~ gp(lon, lat, weights = x), "give weights = to the fitting function")
  refused(y ~ gp(lon, lenghtscale = 0.3), "did you mean \"lengthscale\"")
  refused(y ~ gp(lon, colour = 1), "does not have; it has cov, lengthscale")
  refused(y ~ gp(lon, lat, "exp_quad"), "cov = \"exp_quad\"")
  refused(y ~ gp(lon, 0.3), "0.3 among its coordinates")
  refused(y ~ gp(lon, TRUE), "among its coordinates")
  refused(y ~ gp(lon, cov = "exp_quad", cov = "matern32"), "cannot be read")
  expect_error(gp_accumulate(y ~ gp(lon, by = x), gp_data(), gp_basis(0, 1, c(0.1, 1))), "by", class = "fastlmm_error_gp")
})

test_that("a length scale at an end of its range is in the print and in the summary, with the advice", {
  d <- gp_data(40)
  d$y <- 3 * d$lon + rnorm(40) / 10
  long <- suppressMessages(fastlmm_fit(y ~ gp(lon, cov = "exp_quad", range = c(0.01, 0.2)), d))
  short <- suppressMessages(fastlmm_fit(sin(20 * lon) ~ gp(lon, cov = "exp_quad", range = c(0.15, 3)), d))
  inside <- suppressMessages(fastlmm_fit(sin(5 * lon) + x ~ gp(lon, cov = "exp_quad"), d))
  for (shown in list(long, summary(long))) expect_output(print(shown), "at the long end of the range that was searched: put the trend into the formula")
  expect_output(print(short), "at the short end")
  expect_false(any(grepl("range that was searched", capture.output(print(inside)))))
})

test_that("printing, summary and plots say what was fitted", {
  d <- gp_data()
  exact <- fastlmm_fit(y ~ x + gp(lon, lat), d)
  fourier <- fastlmm_fit(y ~ x + gp(lon, basis = "fourier", cov = "exp_quad"), d)
  expect_output(print(exact), "kernel matrix 80 x 80")
  expect_output(print(fourier), "Fourier functions")
  expect_output(print(summary(fourier)), "Length scale and variances")
  expect_named(summary(exact)$varcomp, c("estimate", "std.error"))
  grDevices::pdf(NULL)
  on.exit(grDevices::dev.off())
  drawn <- plot(exact, n = 12)
  expect_identical(dim(drawn), c(144L, 4L))
  newdata <- data.frame(lon = drawn$lon, lat = drawn$lat, x = mean(d$x))
  at <- predict(exact, newdata, se.fit = TRUE)
  expect_equal(drawn$fit, unname(at$fit), tolerance = 1e-10)
  expect_equal(drawn$se, unname(at$se.fit), tolerance = 1e-6)
  expect_silent(plot(fourier, n = 50))
  expect_silent(plot(profile(exact, "lengthscale", points = 9)))
})

test_that("a fit can be saved, updated, and predicts at its own rows what it fitted", {
  d <- gp_data()
  d$lon[3] <- NA
  for (basis in c("exact", "fourier")) {
    fit <- fastlmm_fit(y ~ x + gp(lon, basis = basis, cov = "exp_quad"), d, na.action = na.exclude)
    expect_equal(predict(fit, d), fitted(fit), tolerance = 1e-9)
    expect_true(is.na(fitted(fit)[3]))
    file <- tempfile(fileext = ".rds")
    saveRDS(fit, file)
    expect_identical(predict(readRDS(file), d[1:5, ]), predict(fit, d[1:5, ]))
    expect_equal(refit(fit, d$y)$logLik, fit$logLik, tolerance = 1e-8)
    expect_equal(update(fit, . ~ . - x)$lengthscale, fastlmm_fit(y ~ gp(lon, basis = basis, cov = "exp_quad"), d[-3, ])$lengthscale, tolerance = 1e-3)
    expect_equal(unname(fitted(fit) + residuals(fit)), d$y + 0 * d$lon)
  }
})
