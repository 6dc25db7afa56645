# Profiles beside a border: where a variance of the fit is zero or a correlation 1, slopes do not lead away from there, by symmetry, and another optimum may lie
# off it once something else is held.

# By lme4's deviance at standard deviations and a residual variance, the least from several starts
deviance_of <- function(formula, data) {
  parsed <- lme4::lFormula(formula, data, REML = FALSE)
  at <- do.call(lme4::mkLmerDevfun, parsed)
  inner <- environment(at)
  n <- nrow(data)
  function(theta, s2) {
    at(theta)
    inner$pp$ldL2() + n * log(2 * pi * s2) + (inner$resp$wrss() + inner$pp$sqrL(1)) / s2
  }
}

least <- function(value, starts) min(vapply(starts, function(start) nlminb(start, value, control = list(rel.tol = 1e-13))$objective, 0))

test_that("with the residual held, an effect whose variance was zero may have one", {
  skip_if_not_installed("lme4")
  set.seed(35)
  n <- sample(c(600, 1000), 1)
  a <- factor(sample(n %/% 4, n, TRUE))
  b <- factor(sample(n %/% 5, n, TRUE))
  d <- data.frame(y = rnorm(n) + rnorm(nlevels(a))[a] * sample(c(0.3, 1), 1), a, b)
  fit <- suppressMessages(fastlmm_fit(y ~ 1 + (1 | a) + (1 | b), d, method = "ML"))
  expect_equal(unname(fit$sigma2[["b"]]), 0)
  value <- deviance_of(y ~ 1 + (1 | a) + (1 | b), d)
  for (sigma in suppressMessages(confint(fit, ".sigma"))) {
    rise <- least(function(q) value(abs(q), sigma^2), list(c(1, 0.1), c(1, 0.3), c(0.5, 0.5))) + 2 * as.numeric(logLik(fit))
    expect_equal(rise, qchisq(0.95, 1), tolerance = 1e-4)
  }
})

test_that("limits beside a correlation of 1 are those of the lowest valley", {
  skip_if_not_installed("lme4")
  for (seed in c(12, 21)) {
    set.seed(seed)
    a <- factor(sample(30, 120, TRUE))
    x <- rnorm(120)
    d <- data.frame(y = rnorm(120) + 0.3 * rnorm(30)[a] + 0.3 * rnorm(30)[a] * x, a, x)
    fit <- suppressMessages(fastlmm_fit(y ~ 1 + (x | a), d, method = "ML"))
    value <- deviance_of(y ~ 1 + (x | a), d)
    starts <- list(c(0.3, 0, 0.3), c(0.1, 0.2, 0.1), c(0.1, -0.2, 0.1), c(0, 0.3, 0.3))
    rise <- function(of, starts) least(of, starts) + 2 * as.numeric(logLik(fit))
    for (sigma in suppressMessages(confint(fit, ".sigma"))) {
      expect_equal(rise(function(q) value(q, sigma^2), starts), qchisq(0.95, 1), tolerance = 1e-4)
    }
    sd_x <- max(suppressMessages(confint(fit, ".sig03")))
    held <- function(q) value(c(q[1], sd_x / exp(q[3]) * c(sin(q[2]), cos(q[2]))), exp(2 * q[3]))
    expect_equal(rise(held, list(c(0.3, 0, 0), c(0.1, 1, 0), c(0.1, -1, 0))), qchisq(0.95, 1), tolerance = 1e-4)
  }
})

test_that("a fit whose intercepts hardly vary is found, where turning T changes next to nothing", {
  skip_if_not_installed("lme4")
  for (seed in c(105, 128)) for (method in c("REML", "ML")) {
    set.seed(seed)
    a <- factor(sample(30, 120, TRUE))
    x <- rnorm(120)
    d <- data.frame(y = rnorm(120) + 0.3 * rnorm(30)[a] + 0.3 * rnorm(30)[a] * x, a, x)
    ours <- suppressMessages(fastlmm_fit(y ~ 1 + (x | a), d, method = method))
    theirs <- suppressWarnings(suppressMessages(lme4::lmer(y ~ 1 + (x | a), d, REML = method == "REML")))
    expect_gt(as.numeric(logLik(ours)), as.numeric(logLik(theirs)) - 1e-6)
  }
})

test_that("a correlation of 1 has no standard error, and limits that depend on the level", {
  set.seed(1001)
  a <- factor(sample(9, 50, TRUE))
  x <- rnorm(50)
  u <- rnorm(9)
  d <- data.frame(y = 1 + u[a] + sample(c(0.2, 0.4, 0.6), 1) * u[a] * x + rnorm(50), a, x)
  fit <- suppressMessages(fastlmm_fit(y ~ x + (x | a), d))
  expect_true(all(is.na(fit$se$correlation)))
  half <- suppressMessages(confint(fit, ".sig02", level = 0.5))
  expect_equal(half, suppressMessages(confint(profile(fit, ".sig02", points = 161), level = 0.5)), tolerance = 1e-2, ignore_attr = TRUE)
  expect_gt(half[1], suppressMessages(confint(fit, ".sig02"))[1])
})
