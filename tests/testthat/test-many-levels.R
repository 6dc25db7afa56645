# One effect of many levels without a kernel: by penalised least squares, whose answers are those of the eigenvalues.

levels_data <- function(levels, rows) {
  set.seed(191)
  d <- data.frame(a = factor(sample(levels, rows, TRUE)), x = rnorm(rows), t = runif(rows), w = runif(rows, 0.5, 2))
  d$y <- 3 + d$x + rnorm(levels)[d$a] + d$t * rnorm(levels)[d$a] + rnorm(rows)
  d
}

by_eigenvalues <- function(fit) suppressMessages(estimate(stored_model(fit), spectrum = TRUE))

test_that("the levels that count are those whose sums of weights differ, and columns of X", {
  d <- levels_data(1300, 5200)
  model <- function(formula, weights = NULL) {
    fit <- suppressMessages(do.call(fastlmm_fit, list(formula, d, weights = weights)))
    list(fit = fit, count = eigen_coordinates(fit$random[[1]], stored_model(fit)))
  }
  plain <- model(y ~ x + (1 | a))
  expect_lt(plain$count, 80)
  expect_false(is_sparse_fit(plain$fit))
  for (large in list(model(y ~ x + (1 | a), d$w), model(y ~ x + (0 + t | a)))) {
    expect_gt(large$count, 1000)
    expect_true(is_sparse_fit(large$fit))
  }
})

test_that("what is said of it is what the eigenvalues say", {
  d <- levels_data(1300, 5200)
  for (method in c("REML", "ML")) for (formula in c(y ~ x + (1 | a), y ~ x + (0 + t | a))) {
    fit <- suppressMessages(fastlmm_fit(formula, d, weights = w, method = method))
    other <- by_eigenvalues(fit)
    expect_true(is_sparse_fit(fit) && !is_sparse_fit(other))
    expect_equal(logLik(fit), logLik(other), tolerance = 1e-10)
    numbers <- list(function(f) f$h2, function(f) f$se$sigma2, function(f) predict(f, d[1:9, ], se.fit = TRUE))
    for (verb in c(list(fixef, vcov, ranef, fitted, hatvalues, cooks.distance), numbers)) {
      expect_equal(verb(fit), verb(other), tolerance = 1e-5, ignore_attr = TRUE)
    }
    expect_equal(confint(fit), confint(other), tolerance = 1e-5, ignore_attr = TRUE)
    expect_equal(simulate(fit, 1, seed = 1), simulate(other, 1, seed = 1), tolerance = 1e-5, ignore_attr = TRUE)
    if (method == "ML") next
    expect_equal(summary(fit, df = "kenward-roger")$coefficients, summary(other, df = "kenward-roger")$coefficients, tolerance = 1e-5)
    tested <- lapply(list(fit, other), test_variance, nsim = 200, seed = 1)
    expect_equal(tested[[1]][c("statistic", "p.value")], tested[[2]][c("statistic", "p.value")], tolerance = 1e-5)
  }
})

test_that("candidates are scanned, and new responses fitted, as by the eigenvalues", {
  d <- levels_data(1100, 3300)
  fit <- suppressMessages(fastlmm_fit(y ~ x + (1 | a), d, weights = w))
  expect_true(is_sparse_fit(fit))
  set.seed(1)
  G <- matrix(rnorm(nlevels(droplevels(d$a)) * 3), ncol = 3, dimnames = list(levels(droplevels(d$a)), NULL))
  expect_equal(as.data.frame(fastlmm_scan(fit, G, progress = FALSE)), as.data.frame(fastlmm_scan(by_eigenvalues(fit), G, progress = FALSE)), tolerance = 1e-5)
  expect_equal(logLik(refit(fit, d$y + d$t)), logLik(by_eigenvalues(refit(fit, d$y + d$t))), tolerance = 1e-10)
})

test_that("limits are the same: no variance between levels, and none within", {
  d <- levels_data(1300, 2600)
  d$flat <- d$x + rep_len(c(-1, 1, 0.5, -0.5), 2600) + 0.01 * d$w
  none <- suppressMessages(fastlmm_fit(flat ~ x + (1 | a), d, weights = w))
  expect_equal(logLik(none), logLik(by_eigenvalues(none)), tolerance = 1e-10)
  d$same <- rnorm(1300)[d$a]
  exact <- suppressWarnings(suppressMessages(fastlmm_fit(same ~ 1 + (1 | a), d, weights = w)))
  expect_identical(exact$status, "explained_by_kernel")
})
