# What is asked of a fit: a thousand refits of a bootstrap, power, the exact test of the variance, influence, profile intervals, Kenward and Roger's tests; each
# against the fit. Degrees of freedom of several effects: two dense kernels, and crossed effects with slopes.
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

# CPU seconds as well: the machine may be busy
print_cpu <- function(runs) for (name in names(runs)) cat(sprintf("%-24s %8.3f CPU s\n", name, sum(system.time(runs[[name]]())[c("user.self", "sys.self")])))

both <- function(fit, again) {
  list(
    fit = again, Satterthwaite = function() summary(fit, df = "satterthwaite"), `Kenward-Roger` = function() summary(fit, df = "kenward-roger"),
    `anova(), Kenward-Roger` = function() anova(fit, type = 3, ddf = "kenward-roger"), `contest()` = function() contest(fit, diag(fit$rank)[-1, , drop = FALSE])
  )
}

L <- matrix(rnorm(n * 2 * n), n, dimnames = list(ids, NULL))
dense <- fastlmm_fit(
  y ~ x1 + x2 + (1 | id) + (1 | line), transform(data, line = id, y = y + drop(L %*% rnorm(2 * n)) / sqrt(2 * n)), list(id = K, line = tcrossprod(L) / (2 * n))
)
runs <- both(dense, function() update(dense))
cat(sprintf("\nn = %d, p = 3, two dense kernels\n", n))
print_times(paired(runs, repeats), "fit")
print_cpu(runs)

rows <- 20 * n
crossed <- data.frame(s = sample(2 * n, rows, TRUE), d = sample(n %/% 5, rows, TRUE), x1 = rnorm(rows), x2 = rnorm(rows))
crossed$y <- crossed$x1 + rnorm(2 * n)[crossed$s] + rnorm(n %/% 5)[crossed$d] + crossed$x1 * rnorm(2 * n, 0, 0.5)[crossed$s] + rnorm(rows)
sparse <- fastlmm_fit(y ~ x1 + x2 + (x1 | s) + (1 | d), crossed)
runs <- both(sparse, function() update(sparse))
cat(sprintf("\n%d rows, p = 3, crossed effects of %d and %d levels, one with slopes (%s)\n", rows, 2 * n, n %/% 5, sparse$optimum$route))
print_times(paired(runs, repeats), "fit")
print_cpu(runs)
