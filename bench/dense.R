# One dense fit against eigen() of the same R; other programs on the same input are in peers.R.
#
#   Rscript bench/dense.R [n] [repeats]

suppressPackageStartupMessages(library(fastlmm))
arguments <- as.numeric(commandArgs(TRUE))
n <- if (length(arguments) > 0) arguments[1] else 2000
repeats <- if (length(arguments) > 1) arguments[2] else 7
threads <- 2
options(fastlmm.threads = threads)
source(file.path(dirname(sub("--file=", "", grep("--file=", commandArgs(), value = TRUE))), "common.R"))

world <- dense_world(n)
K <- world$K
data <- world$data
rm(world)
invisible(gc())

fit_once <- function() fastlmm_fit(y ~ x1 + x2 + (1 | id), data, K)
eigen_once <- function() eigen(K, symmetric = TRUE)

cat(sprintf("n = %d, p = 3, %d threads, BLAS %s\n", n, threads, basename(extSoftVersion()[["BLAS"]])))
beyond <- memory_beyond(list(K = K, data = data), quote(fastlmm_fit(y ~ x1 + x2 + (1 | id), data, K)))
cat(sprintf("peak memory of the fit beyond a process that holds K: %.2f n^2 doubles\n", beyond / (8 * n^2)))

time <- paired(list(fit = fit_once, eigen = eigen_once), repeats)
print_times(time, "eigen")
