# Loadings with intervals, shares of factors, and names that say what they are.

loadings_fit <- function(...) {
  set.seed(4)
  data <- data.frame(line = rep(sprintf("l%02d", 1:25), each = 3))
  factors <- matrix(rnorm(50), 25)[rep(1:25, each = 3), ] + 0.5 * matrix(rnorm(150), 75)
  data$Y <- factors %*% rbind(c(2, -1.5, 1, 0, 0.5), c(0, 1, 1, 2, -2)) + 0.5 * matrix(rnorm(375), 75)
  colnames(data$Y) <- letters[1:5]
  quiet_slam(Y ~ 1 + (1 | line), data, n_factors = 2, chains = 3, iter = 260, warmup = 100, seed = 1, ...)
}

test_that("loadings have means and intervals of aligned draws, over chains", {
  fit <- loadings_fit()
  all <- factor_loadings(fit, draws = TRUE)
  table <- factor_loadings(fit, level = 0.8)
  expect_equal(dim(all), c(5, 2, 480))
  expect_equal(factor_loadings(fit), apply(all, 1:2, mean))
  expect_equal(table$mean, c(factor_loadings(fit)))
  expect_equal(table$low, c(apply(all, 1:2, quantile, 0.1)))
  expect_equal(unique(table$factor), c("factor1", "factor2"))
  # whatever a chain calls its first factor, and whatever its sign, aligned chains agree; as they come they do not
  flipped <- fit
  flipped$draws[[2]]$theta[2:3, , ] <- -flipped$draws[[2]]$theta[3:2, , ]
  flipped$draws[[2]]$factors <- -flipped$draws[[2]]$factors[, 2:1, ]
  flipped$draws[[2]]$factors_h <- flipped$draws[[2]]$factors_h[2:1, ]
  expect_equal(abs(factor_loadings(flipped)), abs(factor_loadings(fit)), tolerance = 1e-10)
  expect_lt(max(factor_loadings(flipped, level = 0.9)$rhat), 1.3)
  expect_gt(sd(factor_loadings(flipped, align = FALSE, draws = TRUE)["a", 1, ]), 1.5 * sd(all["a", 1, ]))
  expect_equal(factor_loadings(fit, traits = c("e", "b")), factor_loadings(fit)[c("e", "b"), ])
  expect_error(factor_loadings(fit, level = 3), class = "fastlmm_error_level")
  expect_error(factor_loadings(lm(dist ~ speed, cars)), class = "fastlmm_error_class")
  none <- quiet_slam(cbind(a = uptake, b = conc) ~ 1 + (1 | Plant), as.data.frame(CO2), n_factors = 0, chains = 1, iter = 40, seed = 1)
  expect_equal(nrow(factor_loadings(none, level = 0.9)), 0)
})

# The largest cosines first, each factor once
match_factors <- function(Lambda, reference) {
  unit <- function(M) M / rep(pmax(sqrt(colSums(M^2)), 1e-300), each = nrow(M))
  cosine <- crossprod(unit(reference), unit(Lambda))
  left <- abs(cosine)
  order <- sign <- numeric(ncol(Lambda))
  for (i in seq_len(ncol(Lambda))) {
    at <- arrayInd(which.max(left), dim(left))
    order[at[1]] <- at[2]
    sign[at[1]] <- if (cosine[at] < 0) -1 else 1
    left[at[1], ] <- -1
    left[, at[2]] <- -1
  }
  list(order = order, sign = sign)
}

# Three passes over the draws, each compared with the mean of the pass before
slow_alignment <- function(all) {
  k <- dim(all)[2]
  count <- dim(all)[3]
  reference <- matrix(all[, , count], dim(all)[1])
  order <- sign <- matrix(0, k, count)
  for (pass in 1:3) {
    moved <- all
    for (t in seq_len(count)) {
      match <- match_factors(matrix(all[, , t], dim(all)[1]), reference)
      order[, t] <- match$order
      sign[, t] <- match$sign
      moved[, , t] <- all[, match$order, t] * rep(match$sign, each = dim(all)[1])
    }
    reference <- rowMeans(moved, dims = 2)
  }
  by_size <- order(-colSums(reference^2))
  list(order = order[by_size, , drop = FALSE], sign = sign[by_size, , drop = FALSE])
}

test_that("draws are aligned by their cosines with the mean, largest first, as written out", {
  fit <- loadings_fit()
  all <- factor_loadings(fit, align = FALSE, draws = TRUE) / fit$scale$sd
  expect_equal(fastlmm:::alignment(fit), slow_alignment(unname(all)), ignore_attr = TRUE)
  set.seed(3)
  random <- array(rnorm(7 * 5 * 40), c(7, 5, 40))
  found <- fastlmm:::call_rust(fastlmm:::ffi_slam_align, c(random), 7L, 5L, 2L)
  slow <- slow_alignment(random)
  expect_equal(found$order, c(slow$order))
  expect_equal(found$sign, c(slow$sign))
})

test_that("stats::loadings() is not masked, and knows a fit", {
  expect_false("loadings" %in% getNamespaceExports("fastlmm"))
  fit <- loadings_fit()
  expect_identical(stats::loadings(fit), factor_loadings(fit))
  expect_error(stats::loadings(fit, draws = TRUE), "factor_loadings", class = "fastlmm_error_unused_argument")
  expect_null(fit$nothing)
  expect_identical(fit$n_factors, unclass(fit)$n_factors)
  expect_s3_class(stats::loadings(factanal(mtcars[, 1:6], 2)), "loadings")
})

test_that("shares of factors are parts of each response's variance", {
  fit <- loadings_fit()
  found <- factor_summary(fit, by = "response")
  expect_equal(names(found), c("response", "factor1", "factor2", "own"))
  expect_equal(rowSums(found[, -1]), rep(1, 5))
  all <- factor_loadings(fit, draws = TRUE)
  total <- apply(P(fit, draws = TRUE), 3, diag)
  expect_equal(found$factor2[3], mean(all["c", 2, ]^2 / total["c", ]))
  expect_equal(found$own, unname(1 - rowMeans(apply(all^2, c(1, 3), sum) / total)))
  expect_equal(factor_summary(fit, by = "response", traits = "d"), found[4, ], ignore_attr = TRUE)
})

test_that("short names have long ones", {
  fit <- loadings_fit()
  pairs <- list(
    genetic_covariance = G, residual_covariance = R, phenotypic_covariance = P, genetic_correlation = rg, residual_correlation = re, heritability = h2
  )
  for (name in names(pairs)) {
    long <- getExportedValue("fastlmm", name)
    expect_identical(long(fit), pairs[[name]](fit))
    expect_identical(long(fit, traits = c("a", "b"), level = 0.8), pairs[[name]](fit, traits = c("a", "b"), level = 0.8))
    expect_error(long(cars), class = "fastlmm_error_class")
  }
})
