test_that("fits print on lme4's skeleton", {
  skip_if_not_installed("lme4")
  sleepstudy <- lme4::sleepstudy
  expect_snapshot({
    fit <- fastlmm_fit(Reaction ~ Days + (1 | Subject), sleepstudy)
    fit
    summary(fit)
  })
  expect_snapshot(summary(fastlmm_fit(Reaction ~ Days + (1 | Subject), sleepstudy, method = "ML")))
})

test_that("a kernel, weights and an offset show", {
  given <- kernel_data()
  lines <- given$data
  K <- given$K
  expect_snapshot({
    fit <- fastlmm_fit(y ~ x + f + offset(o) + (1 | id), lines, K = K, weights = w)
    print(fit)
    summary(fit)
  })
})

test_that("boundary, aliased columns and an empty X show", {
  skip_if_not_installed("lme4")
  Dyestuff2 <- lme4::Dyestuff2
  lines <- transform(kernel_data()$data, twice = 2 * x)
  K <- kernel_data()$K
  expect_snapshot({
    print(fastlmm_fit(Yield ~ 1 + (1 | Batch), Dyestuff2))
    summary(fastlmm_fit(Yield ~ 1 + (1 | Batch), Dyestuff2))
    summary(fastlmm_fit(y ~ x + twice + (1 | id), lines, K = K))
    summary(fastlmm_fit(y ~ 0 + (1 | id), lines, K = K))
  })
})

test_that("the summary holds what it prints", {
  fit <- kernel_fit()
  s <- summary(fit)
  expect_s3_class(s, "summary.fastlmm")
  expect_identical(colnames(coef(s)), c("Estimate", "Std. Error", "t value"))
  expect_equal(coef(s)[, "Std. Error"], sqrt(diag(vcov(fit))))
  expect_equal(s$h2["h2", "estimate"], fit$h2)
  expect_equal(s$h2["h2", "std.error"], fit$se$h2)
  expect_equal(unlist(s$h2["h2", c("lower", "upper")], use.names = FALSE), unname(confint(fit, "h2")[1, ]))
})

test_that("h2 with K scaled to mean diagonal 1 does not depend on the scale of K", {
  given <- kernel_data()
  scaled <- given$K / mean(diag(given$K))
  small <- summary(fastlmm_fit(y ~ x + (1 | id), given$data, K = scaled))$h2
  large <- summary(fastlmm_fit(y ~ x + (1 | id), given$data, K = 50 * scaled))$h2
  expect_equal(small[1, ], small[2, ], ignore_attr = TRUE)
  expect_equal(large[2, ], small[2, ], tolerance = 1e-5)
  expect_lt(large$estimate[1], small$estimate[1])
})

test_that("printing returns its argument", {
  fit <- kernel_fit()
  capture.output(printed <- withVisible(print(fit)))
  expect_identical(printed, list(value = fit, visible = FALSE))
  capture.output(printed <- withVisible(print(summary(fit))))
  expect_false(printed$visible)
})

test_that("a decimal comma does no harm", {
  old <- options(OutDec = ",")
  on.exit(options(old))
  expect_output(print(summary(kernel_fit())), "h2: 0,")
})

test_that("degenerate fits print what they are", {
  for (which in c("perfect_fit", "explained_by_kernel", "confounded")) {
    fit <- degenerate_fit(which)
    expect_output(print(fit), if (which == "explained_by_kernel") "h2: 1" else "h2: not defined")
    expect_output(print(summary(fit)), switch(which,
      perfect_fit = "Perfect fit", explained_by_kernel = "unbounded", confounded = "confounded with X"
    ))
    expect_false(anyNA(coef(summary(fit))[, "Std. Error"]))
  }
})

test_that("several optima are reported", {
  local <- data.frame(delta = c(1, 9), h2 = c(0.5, 0.1), sigma2 = 1, logLik = c(-20, -21))
  expect_null(optima_note(local[1, ]))
  expect_match(optima_note(local), "2 local optima, best first: h2 = 0.5000 (logLik -20.000), h2 = 0.1000", fixed = TRUE)
})

test_that("every one of several shares is printed, however many are equal", {
  set.seed(8)
  d <- expand.grid(a = factor(1:4), b = factor(1:4), c = factor(1:5))
  d$y <- residuals(lm(rnorm(80) ~ a + b, d)) + 2 * rnorm(5)[d$c]
  fit <- suppressMessages(fastlmm_fit(y ~ 1 + (1 | a) + (1 | b) + (1 | c), d))
  expect_identical(fit$h2[["a"]], fit$h2[["b"]])
  shown <- grep("^h2", capture.output(print(summary(fit))), value = TRUE)
  expect_identical(sub(":.*", "", shown), sprintf("h2 (%s)", c("a", "b", "c")))
  expect_match(shown[3], format(fit$h2[["c"]], digits = 4), fixed = TRUE)
  one <- suppressMessages(fastlmm_fit(y ~ 1 + (1 | c), d))
  expect_length(grep("^h2", capture.output(print(summary(one)))), 1)
})
