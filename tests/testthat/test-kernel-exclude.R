marked <- function(n, k, times = 1) {
  set.seed(43)
  ids <- paste0("i", seq_len(n))
  W <- matrix(rnorm(n * k), n, dimnames = list(ids, paste0("m", seq_len(k))))
  # one column of large effect, and its double but for a hundredth
  W[, 1] <- 5 * W[, 1]
  W[, 2] <- W[, 1] + 0.01 * W[, 2]
  d <- data.frame(id = rep(ids, times), x = rnorm(n * times), w = if (times > 1) runif(n * times, 0.5, 2) else 1)
  d$y <- 1 + d$x + drop(W %*% rnorm(k, sd = 0.3))[d$id] + rnorm(n * times)
  list(d = d, W = W)
}

expect_excluded <- function(fit, W, set, data, method = "REML") {
  other <- suppressMessages(fastlmm_fit(y ~ x + (1 | id), data, kernel_lowrank(W[, -set, drop = FALSE]), method, weights = w))
  expect_equal(as.numeric(logLik(fit)), as.numeric(logLik(other)), tolerance = 1e-10)
  for (what in c("coefficients", "vcov", "sigma2", "sigma2_e", "h2", "se", "status")) expect_equal(fit[[what]], other[[what]], tolerance = 1e-7)
  expect_equal(fit$random$id$alpha, other$random$id$alpha, tolerance = 1e-7)
  expect_equal(ranef(fit), ranef(other), tolerance = 1e-7)
  expect_equal(confint(fit), confint(other), tolerance = 1e-6)
}

test_that("a fit without columns is the fit with the kernel without them", {
  sets <- function(k) list(1, 2:4, sort(sample(k, k %/% 2)), seq_len(k - 1), c(1, k))
  for (size in list(c(120, 20, 1), c(60, 50, 1), c(80, 30, 3), c(40, 60, 1), c(30, 45, 2))) {
    given <- do.call(marked, as.list(size))
    for (method in c("REML", "ML")) {
      fit <- suppressMessages(fastlmm_fit(y ~ x + (1 | id), given$d, kernel_lowrank(given$W), method, weights = w))
      some <- sets(ncol(given$W))
      fits <- suppressMessages(fastlmm_exclude(fit, some))
      for (i in seq_along(some)) expect_excluded(fits[[i]], given$W, some[[i]], given$d, method)
    }
  }
})

test_that("columns go by name or number; a list gives a list with its names", {
  given <- marked(80, 12)
  fit <- fastlmm_fit(y ~ x + (1 | id), given$d, kernel_lowrank(given$W))
  expect_s3_class(fastlmm_exclude(fit, "m3"), "fastlmm")
  both <- fastlmm_exclude(fit, list(a = c("m3", "m5"), b = c(5, 3)))
  expect_named(both, c("a", "b"))
  expect_equal(both$a$h2, both$b$h2)
  expect_equal(update(both$a, . ~ . + x:x)$h2, both$a$h2)
  expect_identical(colnames(both$a$random$id$kernel$W), colnames(given$W)[-c(3, 5)])
})

test_that("next to nothing left of a kernel is fitted anew, to the same accuracy", {
  given <- marked(80, 12)
  given$W[, 7:12] <- 1e-5 * given$W[, 7:12]
  fit <- suppressMessages(fastlmm_fit(y ~ x + (1 | id), given$d, kernel_lowrank(given$W)))
  expect_excluded(suppressMessages(fastlmm_exclude(fit, 1:6)), given$W, 1:6, given$d)
})

test_that("sets and fits that have no such columns are refused", {
  given <- marked(40, 6)
  fit <- fastlmm_fit(y ~ x + (1 | id), given$d, kernel_lowrank(given$W))
  expect_refused(fastlmm_exclude(fit, "m9"), "exclude")
  expect_refused(fastlmm_exclude(fit, 7), "exclude")
  expect_refused(fastlmm_exclude(fit, 0), "exclude")
  expect_refused(fastlmm_exclude(fit, 1:6), "exclude")
  expect_refused(fastlmm_exclude(fit, list(1, character())), "exclude")
  expect_refused(fastlmm_exclude(fastlmm_fit(y ~ x + (1 | id), given$d, tcrossprod(given$W)), 1), "exclude")
  expect_refused(fastlmm_exclude(lm(y ~ x, given$d), 1), "exclude")
})
