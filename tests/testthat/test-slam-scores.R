# Scores of factors and parts of variances, beside the draws that they are made of.

scores_fit <- function(...) {
  set.seed(4)
  data <- data.frame(line = rep(sprintf("l%02d", 1:25), each = 3), x = rnorm(75))
  factor <- rnorm(25)[rep(1:25, each = 3)] + 0.5 * rnorm(75)
  data$Y <- outer(factor, c(2, -1.5, 1, 0)) + 0.5 * matrix(rnorm(300), 75) + data$x
  colnames(data$Y) <- c("a", "b", "c", "d")
  list(
    fit = suppressMessages(slamglmm_fit(Y ~ x + (1 | line), data, n_factors = 2, chains = 2, iter = 220, warmup = 100, seed = 1, progress = FALSE, ...)),
    factor = factor
  )
}

test_that("scores are the factors of the rows, with the signs and order of the loadings", {
  made <- scores_fit()
  fit <- made$fit
  found <- scores(fit)
  all <- scores(fit, draws = TRUE)
  expect_equal(found, apply(all, 1:2, mean), ignore_attr = TRUE)
  expect_equal(attr(found, "sd"), apply(all, 1:2, sd), ignore_attr = TRUE)
  expect_gt(abs(cor(found[, 1], made$factor)), 0.95)
  expect_gt(cor(found[, 1], made$factor) * loadings(fit)["a", 1], 0)
  # whatever the signs and order, scores times loadings are F Lambda' of the draw
  i <- 130
  chain <- fit$draws[[2]]
  F <- fastlmm:::turn_back(fit$basis, chain$factors[, , 10])
  Lambda <- t(chain$theta[3:4, , 10]) * fit$scale$sd
  expect_equal(all[, , i] %*% t(factor_loadings(fit, draws = TRUE)[, , i]), F %*% t(Lambda), ignore_attr = TRUE)
  # the genetic part is the mean of Z u given the factor, V written out
  genetic <- scores(fit, "genetic", draws = TRUE)[, , i]
  S <- outer(fit$frame$line, fit$frame$line, "==") / fit$basis$mean_diag
  h <- chain$factors_h[fastlmm:::alignment(fit)$order[, i], 10]
  for (m in 1:2) expect_equal(genetic[, m], drop(h[m] * S %*% solve(h[m] * S + (1 - h[m]) * diag(75), all[, m, i])), ignore_attr = TRUE)
  expect_equal(genetic + scores(fit, "residual", draws = TRUE)[, , i], all[, , i])
})

test_that("parts of the variance add up to G and R", {
  fit <- scores_fit(factors = ~ x)$fit
  parts <- variance_parts(fit)
  expect_equal(parts$factors_genetic + parts$own_genetic, unname(diag(G(fit)) * fit$basis$mean_diag))
  expect_equal(parts$factors_residual + parts$own_residual, unname(diag(R(fit))))
  expect_equal(parts$factors + parts$own, unname(diag(P(fit))))
  B <- fixef(fit, draws = TRUE)
  expect_equal(parts$fixed, unname(rowMeans(B["x", , ]^2) * var(fit$X[, "x"])))
  expect_equal(unlist(variance_parts(fit, "c")[-1]), unlist(parts[3, -1]))
  expect_error(variance_parts(lm(dist ~ speed, cars)), class = "fastlmm_error_class")
})
