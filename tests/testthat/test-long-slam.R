# Recovery of covariances by the sparse-factor sampler: make check-long. (Calibration is tested in Rust.)

skip_unless_long_slam <- function() skip_if_not(identical(Sys.getenv("FASTLMM_TEST_LONG"), "true"), "slow; make check-long runs it")

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
    fit <- slamglmm_fit(Y ~ 1 + (1 | id), world$data, world$K, n_factors = 15, chains = 2, iter = 3000, seed = seed, progress = FALSE)
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
