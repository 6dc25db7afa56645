# Correlated slopes over a variable far from zero: the fit is that over the same variable near zero, in the user's units.

years <- function(seed, year, sd, groups = 30) {
  set.seed(seed)
  data <- data.frame(g = factor(rep(seq_len(groups), each = length(year))), yr = rep(year, groups), h = factor(rep(seq_along(year), groups)))
  b <- cbind(rnorm(groups, 0, 2), rnorm(groups, 0, sd))
  centre <- mean(year)
  data$y <- 3 + 0.5 * (data$yr - centre) + b[data$g, 1] + b[data$g, 2] * (data$yr - centre) + rnorm(nrow(data))
  data$since <- data$yr - 2000
  data$w <- runif(nrow(data), 0.5, 2)
  data
}

test_that("slopes over calendar years are those over years since 2000", {
  back <- matrix(c(1, 0, -2000, 1), 2)
  for (case in list(list(1, 2000:2011, 0.3, "REML"), list(1, 2000:2003, 0.3, "ML"), list(3, seq(2000, 2001, 0.1), 0.05, "REML"), list(3, 2000:2011, 1, "ML"))) {
    data <- years(case[[1]], case[[2]], case[[3]])
    far <- suppressMessages(fastlmm_fit(y ~ yr + (1 + yr | g), data, method = case[[4]]))
    near <- suppressMessages(fastlmm_fit(y ~ since + (1 + since | g), data, method = case[[4]]))
    expect_equal(far$logLik, near$logLik, tolerance = 1e-8)
    expect_identical(far$optimum$boundary, near$optimum$boundary)
    expect_equal(VarCorr(far)$g[, ], back %*% VarCorr(near)$g[, ] %*% t(back), tolerance = 1e-5, ignore_attr = TRUE)
    expect_identical(far$relative[1, 2], 0)
    expect_equal(far$sigma2, diag(VarCorr(far)$g), ignore_attr = TRUE)
    expect_equal(ranef(far)$g$yr, ranef(near)$g$since, tolerance = 1e-5)
    expect_equal(ranef(far)$g[[1]], ranef(near)$g[[1]] - 2000 * ranef(near)$g$since, tolerance = 1e-5)
    expect_equal(attr(ranef(far)$g, "postVar")[2, 2, ], attr(ranef(near)$g, "postVar")[2, 2, ], tolerance = 1e-4)
    expect_equal(fitted(far), fitted(near), tolerance = 1e-7)
    new <- data.frame(g = c("1", "7"), yr = c(2005, 1999), since = c(5, -1))
    expect_equal(predict(far, new, se.fit = TRUE), predict(near, new, se.fit = TRUE), tolerance = 1e-5)
    expect_equal(fixef(far)[["yr"]], fixef(near)[["since"]], tolerance = 1e-6)
    expect_equal(far$se$sigma2[[2]], near$se$sigma2[[2]], tolerance = 1e-4)
    # at year 0 the intercept's variance is 2000^2 times that of slopes, and hardly more; its correlation with them is all but -1
    expect_equal(far$se$sigma2[[1]] / far$sigma2[[1]], far$se$sigma2[[2]] / far$sigma2[[2]], tolerance = 0.02)
    if (grepl("singular", far$optimum$boundary)) expect_true(is.na(far$se$correlation[1, 2])) else expect_lt(far$se$correlation[1, 2], 1e-4)
    expect_equal(summary(far, df = "satterthwaite")$coefficients["yr", ], summary(near, df = "satterthwaite")$coefficients["since", ], tolerance = 1e-4)
    expect_equal(refit(far)$logLik, far$logLik)
    expect_equal(hatvalues(far), hatvalues(near), tolerance = 1e-5)
  }
})

test_that("so are they with kernels, weights, variances of the residual by level and other effects", {
  back <- matrix(c(1, 0, -2000, 1), 2)
  data <- years(2, 2000:2003, 0.5)
  K <- 0.7^abs(outer(1:30, 1:30, "-"))
  dimnames(K) <- list(1:30, 1:30)
  data$site <- rep(c("a", "b"), 60)
  models <- list(
    function(x, ...) fastlmm_fit(reformulate(c(x, sprintf("(1 + %s | g)", x), "(1 | h)"), "y"), data, weights = w),
    function(x) fastlmm_fit(reformulate(c(x, sprintf("(1 + %s | g)", x)), "y"), data, K = list(g = K)),
    function(x) fastlmm_fit(reformulate(c(x, sprintf("(%s | g)", x)), "y"), data, K = list(g = kernel_precision(solve(K)))),
    function(x) fastlmm_fit(reformulate(c(x, sprintf("(1 + %s | g)", x)), "y"), data, sigma2_e = 1),
    function(x) fastlmm_fit(reformulate(c(x, sprintf("(1 + %s | g)", x)), "y"), data, residual = ~site)
  )
  for (model in models) {
    far <- suppressMessages(model("yr"))
    near <- suppressMessages(model("since"))
    expect_equal(far$logLik, near$logLik, tolerance = 1e-7)
    expect_equal(VarCorr(far)$g[, ], back %*% VarCorr(near)$g[, ] %*% t(back), tolerance = 1e-3, ignore_attr = TRUE)
    expect_equal(predict(far, data[1:9, ]), predict(near, data[1:9, ]), tolerance = 1e-5)
    expect_equal(far$random$g$alpha, near$random$g$alpha - 2000 * near$random$g.1$alpha, tolerance = 1e-3)
  }
})

test_that("profiles over calendar years are those over years since 2000", {
  # the first two fits converge as they are given, the others from the means
  for (case in list(list(1, 1990:2019, 0.3), list(2, 2000:2011, 0.3), list(1, 2000:2003, 0.3), list(1, seq(2000, 2001, 0.1), 0.3))) {
    data <- years(case[[1]], case[[2]], case[[3]])
    far <- suppressMessages(fastlmm_fit(y ~ yr + (1 + yr | g), data))
    near <- suppressMessages(fastlmm_fit(y ~ I(yr - mean(yr)) + (1 + I(yr - mean(yr)) | g), data))
    slope <- c(".sig03", ".sigma")
    expect_equal(confint(far, slope), confint(near, slope), tolerance = 1e-5)
    expect_equal(confint(far, "yr"), confint(near, "I(yr - mean(yr))"), tolerance = 1e-4, ignore_attr = TRUE)
    # the same intercepts beside another variable of the slopes, what the years leave of 1
    a <- sum(data$yr) / sum(data$yr^2)
    beside <- suppressMessages(fastlmm_fit(y ~ yr + (0 + I(1 - a * yr) + yr | g), data))
    expect_equal(confint(far, ".sig01"), confint(beside, ".sig01"), tolerance = 1e-4)
    curves <- lapply(list(far, near), function(fit) as.data.frame(profile(fit, ".sig03", points = 7)))
    expect_equal(curves[[1]]$value, curves[[2]]$value, tolerance = 1e-4)
  }
})

test_that("crossed terms over a variable away from zero converge", {
  set.seed(7)
  data <- expand.grid(g1 = factor(1:6), g2 = factor(1:6), r = 1:2)
  data$x <- abs(rnorm(72)) * 5 + 3
  b1 <- matrix(rnorm(12), ncol = 2) %*% matrix(c(1, 0.9, 0, 0.4), 2)
  b2 <- matrix(rnorm(12), ncol = 2) %*% matrix(c(1, -0.9, 0, 0.4), 2)
  data$y <- 0.3 * (b1[data$g1, 1] + b1[data$g1, 2] * data$x + b2[data$g2, 1] + b2[data$g2, 2] * data$x) + rnorm(72)
  fit <- suppressMessages(fastlmm_fit(y ~ x + (1 + x | g1) + (1 + x | g2), data))
  skip_if_not_installed("lme4")
  theirs <- suppressMessages(suppressWarnings(lme4::lmer(y ~ x + (1 + x | g1) + (1 + x | g2), data)))
  expect_equal(fit$logLik, as.numeric(logLik(theirs)), tolerance = 1e-5)
})

test_that("a triangular root has its matrix, and zeros where that is singular", {
  set.seed(1)
  R <- matrix(rnorm(9), 3)
  expect_equal(tcrossprod(triangular_root(R)), tcrossprod(R))
  expect_true(all(triangular_root(R)[upper.tri(R)] == 0))
  R[, 3] <- 0
  expect_identical(diag(triangular_root(R)) == 0, c(FALSE, FALSE, TRUE))
  expect_equal(tcrossprod(triangular_root(R)), tcrossprod(R))
  expect_equal(triangular_root(0 * R), 0 * R)
})

test_that("degrees of freedom of slopes over seconds since 1970 are found", {
  data <- years(1, 2000:2011, 0.3)
  data$second <- data$yr * 3.15e7
  far <- suppressMessages(fastlmm_fit(y ~ second + (1 + second | g), data))
  near <- suppressMessages(fastlmm_fit(y ~ since + (1 + since | g), data))
  expect_equal(
    summary(far, df = "satterthwaite")$coefficients["second", "df"], summary(near, df = "satterthwaite")$coefficients["since", "df"], tolerance = 1e-3
  )
})
