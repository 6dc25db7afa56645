# What is asked of a fit: a thousand refits of a bootstrap, power, the exact test of the variance, influence, profile intervals, Kenward and Roger's tests; each against the fit.
#
#   Rscript bench/inference.R [n] [repeats]

suppressPackageStartupMessages(library(fastlmm))
source(file.path(dirname(sub("--file=", "", grep("--file=", commandArgs(), value = TRUE))), "common.R"))
arguments <- as.numeric(commandArgs(TRUE))
n <- if (length(arguments) > 0) arguments[1] else 1000
repeats <- if (length(arguments) > 1) arguments[2] else 5
options(fastlmm.threads = 2)

set.seed(1)
ids <- paste0("i", seq_len(n))
W <- matrix(rnorm(n * 2 * n), n, dimnames = list(ids, NULL))
K <- tcrossprod(W) / (2 * n)
data <- data.frame(id = ids, x1 = rnorm(n), x2 = rnorm(n))
data$y <- data$x1 + drop(W %*% rnorm(2 * n)) / sqrt(2 * n) + rnorm(n)
fit <- fastlmm_fit(y ~ x1 + x2 + (1 | id), data, K)

cat(sprintf("n = %d, p = 3, a dense kernel, 2 threads\n", n))
print_times(paired(list(
  fit = function() fastlmm_fit(y ~ x1 + x2 + (1 | id), data, K),
  `bootstrap, R = 1000` = function() bootstrap(fit, R = 1000, seed = 77, progress = FALSE),
  `power, R = 1000` = function() power(fit, "x1", R = 1000, effect = 0.1, seed = 77, progress = FALSE),
  `test_variance()` = function() test_variance(fit, seed = 77),
  `influence, each id` = function() influence(fit, "id"),
  `hatvalues()` = function() hatvalues(fit),
  `profile intervals` = function() confint(fit),
  `Kenward-Roger` = function() summary(fit, df = "kenward-roger")
), repeats), "fit")
