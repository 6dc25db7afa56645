# One effect of many levels without a kernel: by penalised least squares, whose answers are those of the eigenvalues.

levels_data <- function(levels, rows) {
  set.seed(191)
  d <- data.frame(a = factor(sample(levels, rows, TRUE)), x = rnorm(rows), t = runif(rows), w = runif(rows, 0.5, 2))
  d$y <- 3 + d$x + rnorm(levels)[d$a] + d$t * rnorm(levels)[d$a] + rnorm(rows)
  d
}

# Fewer levels than users need for it
by_least_squares <- function(code) {
  utils::assignInNamespace("MANY_COORDINATES", 500, "fastlmm")
  on.exit(utils::assignInNamespace("MANY_COORDINATES", 2000, "fastlmm"))
  force(code)
}

by_eigenvalues <- function(fit) suppressMessages(estimate(stored_model(fit), spectrum = TRUE))

test_that("the levels that count are those whose sums of weights differ, and columns of X", {
  d <- levels_data(1300, 5200)
  model <- function(formula, weights = NULL) {
    fit <- by_least_squares(suppressMessages(do.call(fastlmm_fit, list(formula, d, weights = weights))))
    list(fit = fit, count = eigen_coordinates(fit$random[[1]], stored_model(fit)))
  }
  plain <- model(y ~ x + (1 | a))
  expect_lt(plain$count, 80)
  expect_false(is_sparse_fit(plain$fit))
  for (large in list(model(y ~ x + (1 | a), d$w), model(y ~ x + (0 + t | a)))) {
    expect_gt(large$count, 500)
    expect_true(is_sparse_fit(large$fit))
  }
})

test_that("what is said of it is what the eigenvalues say", {
  d <- levels_data(700, 2800)
  for (method in c("REML", "ML")) for (formula in c(y ~ x + (1 | a), y ~ x + (0 + t | a))) {
    fit <- by_least_squares(suppressMessages(fastlmm_fit(formula, d, weights = w, method = method)))
    other <- by_eigenvalues(fit)
    expect_true(is_sparse_fit(fit) && !is_sparse_fit(other))
    expect_equal(logLik(fit), logLik(other), tolerance = 1e-10)
    expect_null(names(c(fit$h2, fit$sigma2, fit$delta, fit$se$h2)))
    numbers <- list(function(f) f$h2, function(f) f$se[c("sigma2", "sigma2_e", "h2", "log_delta")], function(f) predict(f, d[1:9, ], se.fit = TRUE))
    for (verb in c(list(fixef, vcov, ranef, fitted, hatvalues, cooks.distance), numbers)) {
      expect_equal(verb(fit), verb(other), tolerance = 1e-5, ignore_attr = TRUE)
    }
    expect_equal(confint(fit), confint(other), tolerance = 1e-5, ignore_attr = TRUE)
    expect_equal(simulate(fit, 1, seed = 1), simulate(other, 1, seed = 1), tolerance = 1e-5, ignore_attr = TRUE)
    expect_equal(confint(fit, "delta"), confint(other, "delta"), tolerance = 1e-5)
    if (method == "ML") next
    expect_equal(confint(fit, "h2", method = "exact", seed = 1, nsim = 200), confint(other, "h2", method = "exact", seed = 1, nsim = 200), tolerance = 1e-3)
    expect_equal(power(fit, "x", n = 30, R = 5, seed = 1)$power, power(other, "x", n = 30, R = 5, seed = 1)$power)
    expect_equal(summary(fit, df = "kenward-roger")$coefficients, summary(other, df = "kenward-roger")$coefficients, tolerance = 1e-5)
    tested <- lapply(list(fit, other), test_variance, nsim = 200, seed = 1)
    expect_equal(tested[[1]][c("statistic", "p.value")], tested[[2]][c("statistic", "p.value")], tolerance = 1e-5)
  }
})

test_that("candidates are scanned, and new responses fitted, as by the eigenvalues", {
  d <- levels_data(700, 2100)
  fit <- by_least_squares(suppressMessages(fastlmm_fit(y ~ x + (1 | a), d, weights = w)))
  expect_true(is_sparse_fit(fit))
  set.seed(1)
  G <- matrix(rnorm(nlevels(droplevels(d$a)) * 3), ncol = 3, dimnames = list(levels(droplevels(d$a)), NULL))
  expect_equal(as.data.frame(fastlmm_scan(fit, G, progress = FALSE)), as.data.frame(fastlmm_scan(by_eigenvalues(fit), G, progress = FALSE)), tolerance = 1e-5)
  expect_equal(logLik(refit(fit, d$y + d$t)), logLik(by_eigenvalues(refit(fit, d$y + d$t))), tolerance = 1e-10)
})

test_that("limits are the same: no variance between levels, and none within", {
  d <- levels_data(700, 1400)
  d$flat <- ave(d$x, d$a, FUN = function(x) x - mean(x)) + 1e-3 * d$w
  none <- by_least_squares(suppressMessages(fastlmm_fit(flat ~ t + (1 | a), d, weights = w)))
  other <- by_eigenvalues(none)
  expect_identical(none$optimum$boundary, "h2 = 0")
  expect_equal(logLik(none), logLik(other), tolerance = 1e-10)
  expect_identical(is.na(unlist(none$se)), is.na(unlist(other$se))[names(unlist(none$se))])
  d$same <- rnorm(700)[d$a]
  exact <- by_least_squares(suppressWarnings(suppressMessages(fastlmm_fit(same ~ 1 + (1 | a), d, weights = w))))
  expect_identical(exact$status, "explained_by_kernel")
})

test_that("with one contrast left the fit is that of lm()", {
  d <- levels_data(30, 40)
  d$X <- matrix(rnorm(40 * 38), 40)
  fit <- NULL
  expect_warning(fit <- fastlmm_fit(y ~ X + (1 | a), d, weights = w), class = "fastlmm_warning_one_contrast")
  expect_identical(fit$status, "one_contrast")
})

test_that("no verb lacks what those of one effect have", {
  d <- levels_data(700, 2800)
  fit <- by_least_squares(suppressMessages(fastlmm_fit(y ~ x + (1 | a), d, weights = w)))
  other <- by_eigenvalues(fit)
  expect_true(is_sparse_fit(fit))
  expect_equal(summary(fit)$h2, summary(other)$h2, tolerance = 1e-5)
  expect_output(print(summary(fit)), "95% profile interval")
  expect_named(fit$profile, names(other$profile))
  expect_equal(fit$optimum$local, other$optimum$local, tolerance = 1e-6)
  inside <- fit$profile$h2 > 0 & fit$profile$h2 < 1
  curve <- stats::spline(other$profile$h2, other$profile$logLik, xout = fit$profile$h2[inside])$y
  expect_equal(fit$profile$logLik[inside], curve, tolerance = 1e-2)
  grDevices::pdf(NULL)
  on.exit(grDevices::dev.off())
  expect_no_error(plot(fit, which = "profile"))
  # more ids than levels of the fit, beyond the number from which on least squares are taken
  by_least_squares(expect_equal(power(fit, "x", n = 900, R = 4, seed = 1)$power, power(other, "x", n = 900, R = 4, seed = 1)$power))
  ids <- levels(d$a)
  kernels <- list(a = diag(length(ids)), b = diag(length(ids)))
  kernels <- lapply(kernels, `dimnames<-`, list(ids, ids))
  G <- matrix(rbinom(nrow(d) * 4, 2, 0.3), nrow(d), dimnames = list(NULL, paste0("s", 1:4)))
  scans <- lapply(list(fit, other), fastlmm_scan, candidates = G, groups = c("a", "a", "b", "b"), kernels = kernels)
  expect_equal(scans[[1]]$p, scans[[2]]$p, tolerance = 1e-5)
  expect_error(fastlmm_scan(fit, G, exclude = as.list(1:4)), "kernel_lowrank", class = "fastlmm_error")
  expect_error(fastlmm_exclude(fit, "x"), "kernel_lowrank", class = "fastlmm_error_exclude")
})

test_that("hardly more rows than levels are for the eigenvalues", {
  d <- levels_data(700, 4000)
  d <- d[!duplicated(d$a), ]
  extra <- d[1:2, ]
  extra$y <- extra$y + c(0.3, -0.2)
  for (data in list(d, rbind(d, extra))) {
    fit <- by_least_squares(suppressWarnings(suppressMessages(fastlmm_fit(y ~ x + t + (1 | a), data, weights = w, method = "ML"))))
    expect_false(is_sparse_fit(fit))
  }
})
