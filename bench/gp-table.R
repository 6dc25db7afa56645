# Gaussian processes of some hundred to some thousand points, where the route changes from the kernel matrix to Fourier space: seconds of one fit, and which
# route it took.
#
#   Rscript bench/gp-table.R [sizes] [lengths] [kernels]
#
# Uniform points in the unit square, variance 1 and noise .5; lists with commas, as 1000,2000 .05,.5 matern52. CPU seconds and those that pass, on two threads.

suppressPackageStartupMessages(library(fastlmm))
arguments <- commandArgs(TRUE)
given <- function(i, default) if (length(arguments) >= i) strsplit(arguments[i], ",")[[1]] else default
sizes <- as.numeric(given(1, c(100, 200, 500, 1000, 1500, 2000, 3000, 5000)))
lengths <- as.numeric(given(2, c(0.05, 0.1, 0.25, 0.5)))
kernels <- given(3, c("exp_quad", "matern52"))
options(fastlmm.threads = 2)

correlation <- list(exp_quad = function(r) exp(-r^2 / 2), matern52 = function(r) (1 + sqrt(5) * r + 5 * r^2 / 3) * exp(-sqrt(5) * r))

draw <- function(n, kernel, length) {
  set.seed(n)
  data <- data.frame(u = runif(n), v = runif(n))
  root <- chol(correlation[[kernel]](as.matrix(dist(data)) / length) + diag(1e-8, n))
  data$y <- drop(crossprod(root, rnorm(n))) + sqrt(0.5) * rnorm(n)
  data
}

one <- function(n, kernel, length) {
  data <- draw(n, kernel, length)
  formula <- stats::as.formula(sprintf("y ~ gp(u, v, cov = \"%s\")", kernel))
  time <- system.time(fit <- tryCatch(suppressMessages(fastlmm_fit(formula, data)), error = function(e) e))
  route <- if (inherits(fit, "error")) class(fit)[1] else if (is.null(fit$gp$size)) fit$gp$route else paste(fit$gp$route, fit$gp$size)
  found <- if (inherits(fit, "error")) NA else fit$lengthscale[[1]]
  cat(sprintf("| %d | %s | %g | %.2f | %.2f | %s | %.3f |\n", n, kernel, length, sum(time[1:2]), time[["elapsed"]], route, found))
}

cat("| n | kernel | length | CPU s | elapsed s | route | found |\n|---|---|---|---|---|---|---|\n")
for (n in sizes) for (kernel in kernels) for (length in lengths) one(n, kernel, length)
