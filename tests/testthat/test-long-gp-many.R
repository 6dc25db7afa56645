# The permutation test of many responses: its level for sparse counts, counts and normal responses without a process, and its power against the likelihood
# ratio's where both hold. About four minutes on a quiet core.

skip_if_not(is_long(), "long tests")

many_p <- function(draw, seed, q = 2000, n = 60) {
  set.seed(seed)
  data <- data.frame(u = runif(n), v = runif(n))
  data$Y <- draw(n, q, as.matrix(data))
  fit <- suppressWarnings(suppressMessages(fastlmm_fit(Y ~ gp(u, v, cov = "exp_quad"), data)))
  data.frame(lrt = unname(fit$p.value), permutation = anova(fit, test = "permutation", nsim = 5, seed = seed)$p.value)
}

test_that("without a process p-values by permutation are as frequent as they say", {
  draws <- list(
    "Poisson(0.02)" = function(n, q, at) log1p(matrix(rpois(n * q, 0.02), n)), "Poisson(1)" = function(n, q, at) log1p(matrix(rpois(n * q, 1), n)),
    normal = function(n, q, at) matrix(rnorm(n * q), n)
  )
  for (name in names(draws)) {
    p <- do.call(rbind, lapply(1:4, many_p, draw = draws[[name]]))
    tested <- sum(!is.na(p$permutation))
    for (level in c(0.05, 0.01, 0.001)) {
      rate <- colMeans(p <= level, na.rm = TRUE)
      cat(sprintf("%s, p <= %g: likelihood ratio %.5f, permutation %.5f of %d\n", name, level, rate[1], rate[2], tested))
      # the pool's own tail has an error as large as that of the counts
      expect_lt(rate[["permutation"]], level + 4 * sqrt(2 * level / tested))
      if (name != "Poisson(0.02)") expect_gt(rate[["permutation"]], level - 4 * sqrt(2 * level / tested))
    }
    if (name == "Poisson(0.02)") expect_gt(mean(p$lrt <= 0.001, na.rm = TRUE), 0.02)
  }
})

test_that("where the likelihood ratio keeps its level the permutation test has its power", {
  signal <- function(n, q, at) {
    f <- replicate(q %/% 10, draw_gp(at, "exp_quad", 0.2))
    matrix(rnorm(n * q), n) + cbind(0.8 * f, matrix(0, n, q - ncol(f)))
  }
  p <- many_p(signal, 1)
  found <- vapply(p, function(p) mean(p.adjust(p, "BH")[1:200] < 0.05), 0)
  cat(sprintf("found at a false discovery rate of 0.05: likelihood ratio %.3f, permutation %.3f\n", found[1], found[2]))
  expect_gt(found[["permutation"]], found[["lrt"]] - 0.05)
})
