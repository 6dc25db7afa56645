# Slow statistical tests: make check-long.

skip_unless_long <- function() skip_if_not(is_long(), "slow; make check-long runs it")

# One data set with known truth: 120 ids with data, 30 without, kernel of rank 60 plus a little identity.
long_world <- local({
  set.seed(40)
  ids <- paste0("i", 1:150)
  K <- tcrossprod(matrix(rnorm(150 * 60), 150)) / 60 + 0.1 * diag(150)
  dimnames(K) <- list(ids, ids)
  list(ids = ids, K = K, root = t(chol(K)), x = rnorm(120))
})

draw <- function(sigma2, sigma2_e) {
  w <- long_world
  u <- sqrt(sigma2) * drop(w$root %*% rnorm(150))
  data <- data.frame(id = w$ids[1:120], x = w$x, y = 1 + 0.5 * w$x + u[1:120] + sqrt(sigma2_e) * rnorm(120))
  list(data = data, u = structure(u, names = w$ids))
}

test_that("95 % intervals cover the truth in 92 to 98 of 100 cases, and standard errors of predictions are right", {
  skip_unless_long()
  set.seed(41)
  one <- function(i) {
    truth <- draw(1, 0.8)
    fit <- suppressMessages(fastlmm_fit(y ~ x + (1 | id), truth$data, long_world$K))
    interval <- confint(fit)
    new <- data.frame(id = long_world$ids[121:150], x = 0)
    found <- predict(fit, new, se.fit = TRUE)
    wald <- confint(fit, "x", method = "Wald")
    inside <- function(row, value) interval[row, 1] <= value && value <= interval[row, 2]
    c(
      h2 = inside("h2", 1 / 1.8), sigma = inside(".sigma", sqrt(0.8)), u = inside(".sig01", 1), x = inside("x", 0.5),
      wald = wald[1] <= 0.5 && 0.5 <= wald[2], z2 = mean(((found$fit - 1 - truth$u[121:150]) / found$se.fit)^2)
    )
  }
  result <- rowMeans(vapply(1:800, one, numeric(6)))
  for (name in c("h2", "sigma", "u", "x", "wald")) {
    expect_gt(result[[name]], 0.92)
    expect_lt(result[[name]], 0.98)
  }
  expect_equal(result[["z2"]], 1, tolerance = 0.1)
})

test_that("without a kernel effect half of the fits end at the boundary", {
  skip_unless_long()
  set.seed(42)
  one <- function(i) suppressMessages(fastlmm_fit(y ~ x + (1 | id), draw(0, 1)$data, long_world$K))$h2 == 0
  share <- mean(vapply(1:400, one, NA))
  expect_gt(share, 0.4)
  expect_lt(share, 0.65)
})

test_that("a parametric bootstrap is centred at the fit", {
  skip_unless_long()
  set.seed(43)
  fit <- fastlmm_fit(y ~ x + (1 | id), draw(1, 0.8)$data, long_world$K)
  boot <- vapply(simulate(fit, 400), function(y) suppressMessages(fixef(refit(fit, y))), c(0, 0))
  se <- sqrt(diag(vcov(fit)))
  expect_lt(max(abs(rowMeans(boot) - fixef(fit)) / se), 4 / sqrt(400))
  expect_equal(apply(boot, 1, sd), se, tolerance = 0.15)
})

test_that("no dense search and no profile finds a better optimum than 500 small fits of two effects", {
  skip_unless_long()
  for (seed in 1001:1500) expect_mix_optimum(seed)
})
