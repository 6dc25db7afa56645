# Fits with several kernels: two dense ones against a fit with one of them, a dense one with a block effect, and lme4's crossed effects.
#
#   Rscript bench/mix.R [n] [repeats]

suppressPackageStartupMessages(library(fastlmm))
source(file.path(dirname(sub("--file=", "", grep("--file=", commandArgs(), value = TRUE))), "common.R"))
arguments <- as.numeric(commandArgs(TRUE))
n <- if (length(arguments) > 0) arguments[1] else 1000
repeats <- if (length(arguments) > 1) arguments[2] else 5
options(fastlmm.threads = 2)

set.seed(1)
ids <- paste0("i", seq_len(n))
relate <- function(k) {
  W <- matrix(rnorm(n * k), n)
  K <- tcrossprod(W) / k
  dimnames(K) <- list(ids, ids)
  list(K = K, u = drop(W %*% rnorm(k)) / sqrt(k))
}
A <- relate(2 * n)
D <- relate(n)
data <- data.frame(id = ids, block = factor(sample(n %/% 20, n, TRUE)), x1 = rnorm(n), x2 = rnorm(n))
data$y <- data$x1 + A$u + 0.7 * D$u + 0.5 * rnorm(nlevels(data$block))[data$block] + rnorm(n)

cat(sprintf("n = %d, p = 3, 2 threads\n", n))
fit <- function(formula, K) function() suppressMessages(fastlmm_fit(formula, data, K))
print_times(paired(list(
  `one kernel` = fit(y ~ x1 + x2 + (1 | id), list(id = A$K)),
  `two dense kernels` = fit(y ~ x1 + x2 + (1 | id), list(id = kernel_mix(A = A$K, D = D$K))),
  `kernel and block` = fit(y ~ x1 + x2 + (1 | id) + (1 | block), list(id = A$K))
), repeats), "one kernel")

if (requireNamespace("lme4", quietly = TRUE)) {
  crossed <- droplevels(head(lme4::InstEval, 5000))
  cat("InstEval, first 5000 rows: y ~ service + (1 | s) + (1 | d)\n")
  print_times(paired(list(
    fastlmm = function() fastlmm_fit(y ~ service + (1 | s) + (1 | d), crossed),
    lmer = function() lme4::lmer(y ~ service + (1 | s) + (1 | d), crossed)
  ), repeats), "lmer")
}
