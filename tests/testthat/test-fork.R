# Where a process has used threads, its forked children (mclapply) have none of them: work outside a pool of its own would wait for ever.
engines <- function() {
  set.seed(1)
  n <- 60
  ids <- paste0("i", 1:n)
  K <- structure(tcrossprod(matrix(rnorm(n * 80), n)) / 80, dimnames = list(ids, ids))
  W <- structure(matrix(rnorm(n * 5), n), dimnames = list(ids, NULL))
  d <- data.frame(id = ids, g = gl(6, 10), u = runif(n), v = runif(n), y = rnorm(n))
  d$Y <- matrix(rnorm(n * 4), n) + sin(5 * d$u)
  G <- structure(matrix(rbinom(n * 10, 2, 0.4), n), dimnames = list(ids, paste0("m", 1:10)))
  fit <- fastlmm_fit(y ~ 1 + (1 | id), d, K)
  # as many rows as matrix products share among threads
  many <- paste0("i", 1:600)
  wide <- structure(exp(-abs(outer(1:600, 1:600, "-")) / 50), dimnames = list(many, many))
  large <- data.frame(id = many, x = rnorm(600), y = rnorm(600), z = rnorm(600))
  list(
    large = function() fastlmm_fit(y ~ x + (1 | id), large, wide)$logLik, large_many = function() fastlmm_fit(cbind(y, z) ~ x + (1 | id), large, wide)$logLik,
    large_scan = function() fastlmm_scan(fastlmm_fit(y ~ x + (1 | id), large, wide), matrix(large$z, dimnames = list(many, "z")))$estimate,
    dense = function() fastlmm_fit(y ~ 1 + (1 | id), d, K)$logLik, lowrank = function() fastlmm_fit(y ~ 1 + (1 | id), d, kernel_lowrank(W))$logLik,
    many = function() fastlmm_fit(Y ~ 1 + (1 | id), d, K)$logLik, mix = function() fastlmm_fit(y ~ 1 + (1 | id) + (1 | g), d, list(id = K))$logLik,
    scan = function() fastlmm_scan(fit, G)$estimate, permute = function() fastlmm_permute(fit, G, 5, seed = 1)$maximum,
    predict = function() predict(fit, d[1:3, ], se.fit = TRUE)$se.fit, exact = function() fastlmm_fit(y ~ gp(u, v, basis = "exact"), d)$logLik,
    fourier = function() fastlmm_fit(y ~ gp(u, cov = "exp_quad", basis = "fourier", range = c(0.2, 1)), d)$logLik,
    joint = function() fastlmm_fit(y ~ gp(u) + (1 | g), d)$logLik,
    gp_many = function() fastlmm_fit(Y ~ gp(u, v, basis = "exact"), d)$logLik,
    gp_many_fourier = function() fastlmm_fit(Y ~ gp(u, cov = "exp_quad", basis = "fourier", range = c(0.2, 1)), d)$logLik,
    slam = function() quiet_slam(Y ~ 1 + (1 | id), d, K, n_factors = 1, chains = 1, iter = 5, warmup = 1, seed = 1)$draws[[1]][[1]]
  )
}

test_that("every engine works in a forked child of a process that has used it", {
  skip_on_os("windows")
  quietly <- function(f) suppressWarnings(suppressMessages(f()))
  all <- quietly(engines)
  here <- lapply(all, quietly)
  there <- parallel::mcparallel(lapply(all, quietly))
  found <- NULL
  for (wait in 1:60) {
    found <- parallel::mccollect(there, wait = FALSE, timeout = 2)
    if (!is.null(found)) break
  }
  if (is.null(found)) tools::pskill(there$pid, tools::SIGKILL)
  expect_equal(found[[1]], here)
})
