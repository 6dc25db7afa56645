# Many responses on one decomposition: Rscript bench/many.R [n] [responses] [repeats]
# Against a fit of each column on its own, timed on 20 of them.
source("bench/common.R")
suppressPackageStartupMessages(library(fastlmm))
options(fastlmm.threads = 2)
arguments <- as.numeric(commandArgs(TRUE))
given <- function(i, default) if (length(arguments) >= i) arguments[i] else default
n <- given(1, 500)
q <- given(2, 20000)
repeats <- given(3, 3)

set.seed(1)
ids <- sprintf("i%d", seq_len(n))
W <- matrix(rnorm(n * 2 * n), n, dimnames = list(ids, NULL))
K <- tcrossprod(W) / (2 * n)
h2 <- runif(q)
U <- t(chol(K)) %*% matrix(rnorm(n * q), n)
data <- data.frame(id = ids, x = rnorm(n))
data$Y <- sweep(U, 2, sqrt(h2), `*`) + sweep(matrix(rnorm(n * q), n), 2, sqrt(1 - h2), `*`)
colnames(data$Y) <- sprintf("y%d", seq_len(q))
quiet <- function(expr) suppressWarnings(suppressMessages(expr))

some <- data.frame(id = data$id, x = data$x, data$Y[, 1:20])
single <- function() for (j in 1:20) quiet(fastlmm_fit(stats::as.formula(sprintf("y%d ~ x + (1 | id)", j)), some, K = K))
together <- function() quiet(fastlmm_fit(Y ~ x + (1 | id), data, K = K))
without <- function() quiet(fastlmm_fit(Y ~ x + (1 | id), data, K = K, control = fastlmm_control(effects = FALSE)))
time <- paired(list(together = together, `without effects` = without, `20 single fits` = single), repeats)
cat(sprintf("n = %d, %d responses, 2 threads\n", n, q))
print_times(time, "together")
each <- stats::median(time[["20 single fits"]]) / 20
cat(sprintf("single fits: %.1f ms each, %.0f s for all; together %.2f ms each, %.0f times faster\n",
  1000 * each, q * each, 1000 * stats::median(time$together) / q, q * each / stats::median(time$together)))
