# Units and origins: every engine gives the same for y 2^k, y + c, X 2^k, K 2^k and G 2^k, in the units that were given, from 1e-150 to 1e150, or says by class
# that a double holds no such number.

quiet <- function(e) suppressWarnings(suppressMessages(e))

units_world <- function() {
  once("units", {
    set.seed(61)
    ids <- paste0("i", 1:30)
    W <- matrix(rnorm(30 * 12), 30, dimnames = list(ids, paste0("w", 1:12)))
    d <- data.frame(id = rep(ids, 2), x = rnorm(60), g = rep(letters[1:6], 10), u = runif(60), v = runif(60))
    # numbers of few bits, so that a shift by 2^43 loses none of them
    few <- function(x) round(x * 64) / 64
    d$y <- few(drop(W %*% rnorm(12))[d$id] / 3 + d$x + rnorm(60))
    d$y2 <- few(rnorm(60) + sin(5 * d$u))
    list(d = d, W = W, K = tcrossprod(W) / 12, G = matrix(rbinom(120, 2, 0.4) + 0, 30, dimnames = list(ids, paste0("m", 1:4))))
  })
}

estimates <- function(fit) list(
  beta = coef(summary(fit))[, 1:2], sigma2 = unname(fit$sigma2), sigma2_e = unname(fit$sigma2_e), h2 = unname(fit$h2), logLik = as.numeric(fit$logLik),
  status = fit$status
)

many_estimates <- function(fit) list(
  beta = fit$coefficients, sigma2 = fit$sigma2, sigma2_e = fit$sigma2_e, h2 = fit$h2, logLik = fit$logLik, status = fit$status
)

# 20 rows: processes cost the most
few_rows <- function(d) d[1:20, ]

# Each engine as a function of data, K (or W) and the process
units_engines <- list(
  dense = function(d, w) estimates(fastlmm_fit(y ~ x + (1 | id), d, w$K)),
  ml = function(d, w) estimates(fastlmm_fit(y ~ x + (1 | id), d, w$K, method = "ML")),
  lowrank = function(d, w) estimates(fastlmm_fit(y ~ x + (1 | id), d, kernel_lowrank(w$W))),
  identity = function(d, w) estimates(fastlmm_fit(y ~ x + (1 | id), d)),
  many = function(d, w) many_estimates(fastlmm_fit(cbind(y, y2) ~ x + (1 | id), d, w$K)),
  mix = function(d, w) estimates(fastlmm_fit(y ~ x + (1 | id) + (1 | g), d, list(id = w$K))),
  gp = function(d, w) estimates(fastlmm_fit(y2 ~ x + gp(u, basis = "exact"), few_rows(d))),
  fourier = function(d, w) estimates(fastlmm_fit(y2 ~ x + gp(u, basis = "fourier", cov = "exp_quad", lengthscale = 0.4), few_rows(d)))
)

test_that("y + c changes the intercept only: 2^43 is 8.8e12", {
  w <- units_world()
  for (name in names(units_engines)) {
    engine <- units_engines[[name]]
    base <- quiet(engine(w$d, w))
    for (c in c(2^20, -2^43)) {
      found <- quiet(engine(transform(w$d, y = y + c, y2 = y2 + c), w))
      tolerance <- if (name == "fourier" && abs(c) > 1e9) 1e-2 else 1e-6
      for (part in setdiff(names(base), "beta")) expect_equal(found[[part]], base[[part]], tolerance = tolerance, info = paste(name, part, c))
      expect_equal(found$beta["x", ], base$beta["x", ], tolerance = max(1e-3, tolerance), info = paste(name, c))
    }
  }
})

test_that("y along any direction of X, with the constant in the span of X and not an intercept", {
  w <- units_world()
  base <- quiet(fastlmm_fit(y ~ 0 + a + b + (1 | id), transform(w$d, a = g == "a", b = g != "a"), w$K))
  far <- quiet(fastlmm_fit(y ~ 0 + a + b + (1 | id), transform(w$d, y = y + 2^43, a = g == "a", b = g != "a"), w$K))
  expect_equal(far[c("h2", "sigma2", "sigma2_e", "logLik", "status")], base[c("h2", "sigma2", "sigma2_e", "logLik", "status")], tolerance = 1e-6)
  d <- transform(w$d, x = round(x * 8) / 8)
  base <- quiet(fastlmm_fit(y ~ x + (1 | id), d, w$K))
  far <- quiet(fastlmm_fit(y ~ x + (1 | id), transform(d, y = y + 2^40 * x), w$K))
  expect_equal(far[c("h2", "sigma2", "sigma2_e", "logLik", "status")], base[c("h2", "sigma2", "sigma2_e", "logLik", "status")], tolerance = 1e-6)
})

test_that("verbs after a shift: scans, permutations, new responses, prediction errors", {
  w <- units_world()
  near <- quiet(fastlmm_fit(y ~ x + (1 | id), w$d, w$K))
  far <- quiet(fastlmm_fit(y ~ x + (1 | id), transform(w$d, y = y + 2^43), w$K))
  for (refit in c("none", "delta")) {
    a <- as.data.frame(fastlmm_scan(near, w$G, refit = refit))
    b <- as.data.frame(fastlmm_scan(far, w$G, refit = refit))
    expect_equal(b[c("estimate", "std.error", "log10p", "logLik", "status")], a[c("estimate", "std.error", "log10p", "logLik", "status")], tolerance = 1e-4)
  }
  expect_equal(fastlmm_permute(far, w$G, 5, seed = 1)$maximum, fastlmm_permute(near, w$G, 5, seed = 1)$maximum, tolerance = 1e-4)
  expect_equal(refit(far, w$d$y)[c("h2", "logLik")], near[c("h2", "logLik")], tolerance = 1e-8)
  expect_lt(max(abs(residuals(far) - residuals(near))), 3 * 2^-9) # a few units in the last place of 2^43
  expect_equal(predict(far, w$d[1:3, ], se.fit = TRUE)$se.fit, predict(near, w$d[1:3, ], se.fit = TRUE)$se.fit, tolerance = 1e-6)
})

test_that("what X explains exactly stays a perfect fit, far from zero too", {
  w <- units_world()
  for (c in c(0, 1, 1e13)) expect_identical(quiet(fastlmm_fit(y ~ x + (1 | id), transform(w$d, y = 2 * x + c), w$K))$status, "perfect_fit")
  expect_identical(quiet(fastlmm_fit(y ~ poly(x, 2) + (1 | id), transform(w$d, y = x^2), w$K))$status, "perfect_fit")
  expect_error(quiet(fastlmm_fit(y ~ x + (1 | id) + (1 | g), transform(w$d, y = 2 * x + 1), list(id = w$K))), class = "fastlmm_error_explained")
  # in the range of a singular kernel, 1e6 from zero
  d <- transform(w$d[1:30, ], y = drop(w$W[, 1:3] %*% c(1, 2, 3)))
  for (c in c(0, 1e6)) expect_identical(quiet(fastlmm_fit(y ~ 1 + (1 | id), transform(d, y = y + c), kernel_lowrank(w$W[, 1:3])))$status, "explained_by_kernel")
})

test_that("powers of two of y, X and K", {
  w <- units_world()
  for (name in names(units_engines)) {
    engine <- units_engines[[name]]
    base <- quiet(engine(w$d, w))
    for (k in c(-498, 498)) {
      unit <- 2^k
      y <- quiet(engine(transform(w$d, y = y * unit, y2 = y2 * unit), w))
      expect_equal(y$h2, base$h2, tolerance = 1e-8, info = paste(name, "y", k))
      expect_equal(y$sigma2 / unit / unit, base$sigma2, tolerance = 1e-8, info = paste(name, "y", k))
      expect_equal(y$beta / unit, base$beta, tolerance = 1e-8, info = paste(name, "y", k))
      x <- quiet(engine(transform(w$d, x = x * unit), w))
      expect_equal(x$sigma2_e, base$sigma2_e, tolerance = 1e-8, info = paste(name, "x", k))
      expect_equal(x$beta["x", ] * unit, base$beta["x", ], tolerance = 1e-8, info = paste(name, "x", k))
      if (name %in% c("gp", "fourier", "identity")) next
      half <- 2^(k / 2)
      K <- quiet(engine(w$d, list(K = w$K * unit, W = w$W * half)))
      first <- function(x) if (name == "mix") x[1] else x
      expect_equal(first(K$sigma2) * unit, first(base$sigma2), tolerance = 1e-8, info = paste(name, "K", k))
      expect_equal(K$sigma2_e, base$sigma2_e, tolerance = 1e-8, info = paste(name, "K", k))
      expect_equal(K$logLik, base$logLik, tolerance = 1e-8, info = paste(name, "K", k))
    }
  }
})

test_that("standard errors of variances and degrees of freedom go with the unit of y", {
  w <- units_world()
  formulas <- list(y ~ x + (1 | id), y ~ x + (1 | id) + (1 | g), y ~ x + (x | g))
  for (formula in formulas) {
    K <- if (length(formula[[3]]) == 3 && grepl("id", deparse1(formula))) list(id = w$K)
    found <- function(unit) {
      fit <- quiet(fastlmm_fit(formula, transform(w$d, y = y * unit), K))
      tables <- lapply(c("satterthwaite", "kenward-roger"), function(df) coef(summary(fit, df = df))[, 3:5])
      list(unlist(fit$se[c("h2", "log_delta")]), unname(fit$se$sigma2 / fit$sigma2), fit$se$sigma2_e / fit$sigma2_e, tables)
    }
    base <- found(1)
    for (k in c(-498, -265, 265, 498)) expect_equal(found(2^k), base, tolerance = 1e-5, info = paste(deparse1(formula), k))
  }
  far <- quiet(fastlmm_fit(y ~ x + (1 | id), transform(w$d, y = y * 2^300), w$K))
  near <- quiet(fastlmm_fit(y ~ x + (1 | id), w$d, w$K))
  expect_equal(power(far, "x", R = 20, seed = 1)$power, power(near, "x", R = 20, seed = 1)$power)
})

test_that("an h2 that the unit of K leaves nothing of is told", {
  w <- units_world()
  for (unit in c(1e-150, 1e150)) {
    expect_message(fit <- suppressWarnings(fastlmm_fit(y ~ x + (1 | id), w$d, w$K * unit)), class = "fastlmm_message_kernel_unit")
    expect_identical(fit$optimum$boundary, "none")
    expect_message(fastlmm_fit(cbind(y, y2) ~ x + (1 | id), w$d, w$K * unit), class = "fastlmm_message_kernel_unit")
  }
  expect_no_message(fastlmm_fit(y ~ x + (1 | id), w$d, w$K * 100), class = "fastlmm_message_kernel_unit")
})

test_that("candidates in any unit, and their products", {
  w <- units_world()
  fit <- quiet(fastlmm_fit(y ~ x + (1 | id), w$d, w$K))
  scan <- function(G, z = 1, ...) as.data.frame(fastlmm_scan(fit, G, ...))
  base <- scan(w$G)
  product <- as.data.frame(fastlmm_scan(fit, w$G, interaction = ~ u, data = w$d))
  for (unit in 2^c(-900, 900)) {
    found <- scan(w$G * unit)
    expect_equal(found$estimate * unit, base$estimate, tolerance = 1e-10)
    expect_equal(found$log10p, base$log10p, tolerance = 1e-10)
    expect_equal(as.data.frame(fastlmm_scan(fit, w$G * unit, interaction = ~ I(u / unit), data = w$d))$estimate, product$estimate, tolerance = 1e-8)
  }
  expect_identical(unique(scan(w$G * 1e-310)$status), "scale")
  none <- fastlmm_scan(fit, w$G * 1e-310, interaction = ~ I(u * 1e-300), data = w$d)
  expect_identical(unique(none$status), "scale")
  expect_output(print(summary(none)), "scale")
})

test_that("what a double cannot hold is an error of its class, in many responses a status", {
  w <- units_world()
  for (unit in c(1e-310, 1e-320, 1e-200, 1e300)) {
    expect_error(quiet(fastlmm_fit(y ~ x + (1 | id), transform(w$d, x = x * unit), w$K)), class = "fastlmm_error_scale")
    expect_error(quiet(fastlmm_fit(y ~ x + (1 | id) + (1 | g), transform(w$d, x = x * unit), list(id = w$K))), class = "fastlmm_error_scale")
    expect_error(quiet(fastlmm_fit(y2 ~ x + gp(u), transform(w$d, x = x * unit))), class = "fastlmm_error_scale")
    many <- quiet(fastlmm_fit(cbind(y, y2) ~ x + (1 | id), transform(w$d, x = x * unit), w$K))
    expect_identical(unname(many$status), c("scale", "scale"))
    expect_true(all(is.na(many$coefficients)) && all(is.na(many$h2)))
  }
  for (unit in c(1e-310, 1e200)) {
    expect_error(quiet(fastlmm_fit(y ~ x + (1 | id), transform(w$d, y = y * unit), w$K)), class = "fastlmm_error_scale")
    expect_identical(unname(quiet(fastlmm_fit(cbind(y, y2) ~ x + (1 | id), transform(w$d, y = y * unit), w$K))$status), c("scale", "ok"))
  }
  expect_error(quiet(fastlmm_fit(y2 ~ gp(u), transform(w$d, u = u * 1e-310))), class = "fastlmm_error_scale")
})

test_that("draws of factor models do not depend on units or origins", {
  w <- units_world()
  chain <- function(d) quiet(slamglmm_fit(cbind(y, y2) ~ x + (1 | id), d, w$K, n_factors = 1, chains = 1, iter = 8, warmup = 4, seed = 1, progress = FALSE))
  base <- h2(chain(w$d))
  for (unit in 2^c(-498, 498)) expect_equal(h2(chain(transform(w$d, y = y * unit, y2 = y2 * unit, x = x * unit))), base, tolerance = 1e-8)
  expect_equal(h2(chain(transform(w$d, y = y + 2^40))), base, tolerance = 1e-4)
})

test_that("a variance that rounding has taken below zero is not called too small for a double", {
  set.seed(1)
  n <- 60
  u <- structure(rnorm(n), names = paste0("i", seq_len(n)))
  data <- data.frame(id = names(u), w = 10^runif(n, -4, 4), x = rnorm(n))
  data$y <- u * 3 + rnorm(n) * 1e-6 / sqrt(data$w)
  W <- matrix(u, dimnames = list(names(u), NULL))
  # of the factor the variance is known
  expect_gt(suppressMessages(fastlmm_fit(y ~ 0 + x + (1 | id), data, K = kernel_lowrank(W), weights = w))$vcov, 0)
  found <- tryCatch(suppressMessages(fastlmm_fit(y ~ 0 + x + (1 | id), data, K = tcrossprod(W), weights = w)), fastlmm_error = identity)
  if (inherits(found, "error")) expect_match(conditionMessage(found), "lost in rounding.*kernel_lowrank") else expect_gt(found$vcov, 0)
  expect_match(beyond_message("x", -1e-9), "lost in rounding: \"x\"")
  expect_match(beyond_message("x", 0), "rescale this column")
  expect_match(beyond_message(c("x", "z"), c(-1, Inf)), "too large or too small.*these columns")
})
