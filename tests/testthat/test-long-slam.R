# Recovery of covariances by the sparse-factor sampler: make check-long. (Calibration is tested in Rust.)

skip_unless_long_slam <- function() skip_if_not(is_long(), "slow; make check-long runs it")

# Half-sib families as in Runcie and Mukherjee (2013): ten sparse factors, half of them nearly genetic
half_sibs <- function(seed, sires = 100, each = 5, p = 100) {
  set.seed(seed)
  n <- sires * each
  sire <- rep(seq_len(sires), each = each)
  ids <- sprintf("i%04d", seq_len(n))
  K <- structure(0.25 * outer(sire, sire, "==") + diag(0.75, n), dimnames = list(ids, ids))
  share <- rep(c(0.3, 0.9), 5)
  Lambda <- matrix(rnorm(p * 10) * rbinom(p * 10, 1, 0.1), p)
  root <- t(chol(K))
  draw <- function(columns) root %*% matrix(rnorm(n * columns), n)
  plain <- function(columns) matrix(rnorm(n * columns), n)
  F <- t(sqrt(share) * t(draw(10)) + sqrt(1 - share) * t(plain(10)))
  Y <- F %*% t(Lambda) + sqrt(0.4) * draw(p) + sqrt(0.6) * plain(p)
  colnames(Y) <- sprintf("t%03d", seq_len(p))
  G <- Lambda %*% (share * t(Lambda)) + diag(0.4, p)
  R <- Lambda %*% ((1 - share) * t(Lambda)) + diag(0.6, p)
  list(data = data.frame(id = ids, Y = I(Y)), K = K, G = G, R = R)
}

test_that("G and R of half-sib families are recovered, with intervals that hold the truth", {
  skip_unless_long_slam()
  off <- function(M) M[upper.tri(M)]
  covered <- c()
  for (seed in 1:4) {
    world <- half_sibs(seed)
    fit <- quiet_slam(Y ~ 1 + (1 | id), world$data, world$K, n_factors = 15, chains = 2, iter = 3000, seed = seed, progress = FALSE)
    expect_gt(cor(off(G(fit)), off(world$G)), 0.75)
    expect_gt(cor(off(R(fit)), off(world$R)), 0.75)
    expect_gt(cor(off(P(fit)), off(world$G + world$R)), 0.95)
    # the ten factors are found, the other five have nothing to do
    variance <- factor_summary(fit)$variance
    expect_lt(sum(variance[11:15]), 0.1 * sum(variance[1:10]))
    limits <- apply(apply(G(fit, draws = TRUE), 3, diag), 1, quantile, c(0.05, 0.95))
    covered <- c(covered, limits[1, ] <= diag(world$G) & diag(world$G) <= limits[2, ])
  }
  expect_gt(mean(covered), 0.83)
  expect_lt(mean(covered), 0.97)
})

# Of new ids with relatives among the old ones: responses and expected values, with and without what was observed of the new rows
predictive_coverage <- function(seed, n = 150, new = 20) {
  set.seed(seed)
  ids <- sprintf("i%03d", seq_len(n + new))
  W <- matrix(rnorm((n + new) * 60), n + new, dimnames = list(ids, NULL))
  K <- tcrossprod(W) / 60
  Lambda <- matrix(rnorm(12), 6, 2)
  root <- t(chol(K + diag(1e-8, n + new)))
  effect <- root %*% matrix(rnorm(2 * (n + new)), n + new) %*% (sqrt(0.5) * t(Lambda)) + root %*% matrix(rnorm(6 * (n + new)), n + new) * sqrt(0.4)
  data <- data.frame(id = ids, x = rnorm(n + new))
  expected <- 10 + data$x + effect
  data$Y <- expected + matrix(rnorm(2 * (n + new)), n + new) %*% (sqrt(0.5) * t(Lambda)) + matrix(rnorm(6 * (n + new)), n + new) * sqrt(0.6)
  colnames(data$Y) <- letters[1:6]
  some <- data[seq_len(n), ]
  # a third of one response is missing
  some$Y[sample(n, n / 3), "c"] <- NA
  fit <- quiet_slam(Y ~ x + (1 | id), some, K, chains = 2, iter = 1500, seed = seed)
  after <- data[n + seq_len(new), ]
  inside <- function(limits, truth, columns = letters[1:6]) limits[, columns, "lwr"] <= truth[, columns] & truth[, columns] <= limits[, columns, "upr"]
  gone <- is.na(some$Y)
  cells <- apply(posterior_cells(fit, draws = TRUE), 1, quantile, c(0.05, 0.95))
  others <- letters[3:6]
  dimnames(expected) <- dimnames(data$Y)
  later <- expected[n + seq_len(new), ]
  list(
    response = inside(predict(fit, after, interval = "prediction", level = 0.9), after$Y),
    expected = inside(predict(fit, after, interval = "confidence", level = 0.9), later),
    response_given = inside(predict(fit, after, given = c("a", "b"), interval = "prediction", level = 0.9), after$Y, others),
    expected_given = inside(predict(fit, after, given = c("a", "b"), interval = "confidence", level = 0.9), later),
    fitted = inside(predict(fit, interval = "confidence", level = 0.9), expected[seq_len(n), ]),
    cells = cells[1, ] <= data$Y[seq_len(n), ][gone] & data$Y[seq_len(n), ][gone] <= cells[2, ],
    gain = mean((predict(fit, after, given = c("a", "b"))[, others] - after$Y[, others])^2) / mean((predict(fit, after)[, others] - after$Y[, others])^2)
  )
}

test_that("predictive intervals of 90 percent hold 90 percent", {
  skip_unless_long_slam()
  found <- lapply(1:20, predictive_coverage)
  for (what in c("response", "expected", "response_given", "expected_given", "fitted", "cells")) {
    covered <- mean(vapply(found, function(one) mean(one[[what]]), 0))
    cat(sprintf("%s %.3f\n", what, covered))
    expect_gt(covered, 0.87)
    expect_lt(covered, 0.93)
  }
  # what was observed of a row says much about the rest of it
  expect_lt(mean(vapply(found, `[[`, 0, "gain")), 0.85)
})
