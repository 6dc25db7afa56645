# A fit with a factor W (n x k, p = 3) against crossprod(W) of the same R, and its peak memory in a fresh process.
#
#   Rscript bench/lowrank.R [n] [k] [repeats]

suppressPackageStartupMessages(library(fastlmm))
source(file.path(dirname(sub("--file=", "", grep("--file=", commandArgs(), value = TRUE))), "common.R"))
arguments <- as.numeric(commandArgs(TRUE))
n <- if (length(arguments) > 0) arguments[1] else 1e5
k <- if (length(arguments) > 1) arguments[2] else 500
repeats <- if (length(arguments) > 2) arguments[3] else 3
options(fastlmm.threads = 2)

set.seed(1)
W <- matrix(rnorm(n * k), n, dimnames = list(paste0("i", seq_len(n)), NULL)) / sqrt(k)
data <- data.frame(id = rownames(W), x1 = rnorm(n), x2 = rnorm(n))
data$y <- 1 + data$x1 + drop(W %*% rnorm(k)) + rnorm(n)
kernel <- kernel_lowrank(W)

cat(sprintf("n = %d, k = %d, p = 3, 2 threads, BLAS %s\n", n, k, basename(extSoftVersion()[["BLAS"]])))
time <- paired(list(fit = function() fastlmm_fit(y ~ x1 + x2 + (1 | id), data, kernel), crossprod = function() crossprod(W)), repeats)
print_times(time, "crossprod")
rm(W)
beyond <- memory_beyond(list(kernel = kernel, data = data), quote(fastlmm_fit(y ~ x1 + x2 + (1 | id), data, kernel)))
cat(sprintf("peak memory of the fit beyond a process that holds W: %.2f copies of W\n", beyond / (8 * n * k)))
