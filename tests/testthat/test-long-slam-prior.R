# Coverage of G, R and rg by the defaults of slamglmm_fit(), over data sets with full-rank covariances: make check-long.

random_correlations <- function(p) cov2cor(crossprod(matrix(rnorm((p + 3) * p), p + 3)))

# Which 90 percent intervals of one data set hold the truth: parts of those of rg, of G and of R
covered <- function(p, seed) {
  set.seed(100 * seed + p)
  h2 <- runif(p, 0.2, 0.8)
  G <- random_correlations(p) * sqrt(outer(h2, h2))
  R <- random_correlations(p) * sqrt(outer(1 - h2, 1 - h2))
  line <- rep(sprintf("l%03d", 1:80), each = 5)
  Y <- (matrix(rnorm(80 * p), 80) %*% chol(G))[rep(1:80, each = 5), ] + matrix(rnorm(400 * p), 400) %*% chol(R)
  colnames(Y) <- paste0("t", seq_len(p))
  fit <- quiet_slam(Y ~ 1 + (1 | line), data.frame(line = line, Y = I(Y)), chains = 2, iter = 1500, warmup = 500, seed = seed, progress = FALSE)
  held <- function(table, truth) {
    at <- cbind(match(table$response1, colnames(Y)), match(table$response2, colnames(Y)))
    mean(table$low <= truth[at] & truth[at] <= table$high)
  }
  c(rg = held(fastlmm::rg(fit, level = 0.9), cov2cor(G)), G = held(fastlmm::G(fit, level = 0.9), G), R = held(fastlmm::R(fit, level = 0.9), R))
}

test_that("intervals of the defaults hold the truth, whatever the number of responses", {
  skip_if_not(is_long(), "slow; make check-long runs it")
  for (p in c(2, 4, 6, 12)) {
    parts <- rowMeans(vapply(1:80, function(seed) covered(p, seed), numeric(3)))
    if (nzchar(Sys.getenv("SHOW_COVERAGE"))) message(p, ": ", paste(names(parts), round(parts, 3), collapse = ", "))
    expect_true(all(parts > 0.84 & parts < 0.96), info = paste(p, toString(round(parts, 3))))
  }
})
