# Gaussian processes in Fourier space: Rscript bench/fourier.R [N] [repeats]
# Full REML with the length scale estimated, against mgcv::bam() that is given it, and GPBoost (PyPI; GPBOOST_PYTHON names a Python that has it) that
# estimates it by Vecchia's approximation. Then tables of chunks, to see what grows with the number of rows. The transforms alone: fourier-nufft.py.
source("bench/common.R")
suppressPackageStartupMessages({
  library(fastlmm)
  library(mgcv)
})
options(fastlmm.threads = 2)
arguments <- as.numeric(commandArgs(TRUE))
given <- function(i, default) if (length(arguments) >= i) arguments[i] else default
n <- given(1, 1e6)
repeats <- given(2, 3)
ell <- 0.1

# A draw of the process, by thousands of frequencies and the package's own transforms
draw_field <- function(points, cov, m = 150, h = 1 / 2.2) {
  half <- as.matrix(expand.grid(-m:m, 0:m))
  half <- half[half[, 2] > 0 | half[, 1] > 0, ]
  frequencies <- unname(rbind(0, half[order(rowSums(half^2))[seq_len(30000)], ])) + 0
  basis <- list(
    low = c(0, 0), high = c(1, 1), centre = c(0.5, 0.5), h = c(h, h), m = c(m, m), shortest = c(ell, ell), longest = c(ell, ell), eps = 1e-9, cov = cov,
    frequencies = frequencies
  )
  weight <- fastlmm:::ffi_gp_weights(basis, c(ell, ell))
  fastlmm:::ffi_gp_values(points, basis, matrix(weight * rnorm(length(weight))), 2L)[, 1]
}

draw_data <- function(n, cov) {
  points <- cbind(runif(n), runif(n))
  data.frame(y = 1 + draw_field(points, cov) + rnorm(n, sd = 0.5), lon = points[, 1], lat = points[, 2], x = rnorm(n))
}

estimates <- function(fit) sprintf("length scale %.4f, sigma2 %.3f, residual variance %.4f", fit$lengthscale, fit$sigma2, fit$sigma2_e)

# ---- against bam --------------------------------------------------------------------------------------

for (cov in c("exp_quad", "matern52")) {
  set.seed(1)
  data <- draw_data(n, cov)
  formula <- if (cov == "exp_quad") y ~ x + gp(lon, lat, cov = "exp_quad") else y ~ x + gp(lon, lat, cov = "matern52")
  # the range of bam's kernels: exp(-(d / r)^2) and Matern 5/2 in d / r
  kind <- if (cov == "exp_quad") c(2, sqrt(2) * ell, 2) else c(4, ell / sqrt(5))
  cat(sprintf("\n%s, N = %g, 2-D, length scale %g, residual variance 0.25, 2 threads\n", cov, n, ell))
  fit <- NULL
  time <- paired(list(
    fastlmm = function() fit <<- fastlmm_fit(formula, data),
    bam = function() bam(y ~ x + s(lon, lat, bs = "gp", k = 200, m = kind), data = data, discrete = TRUE, nthreads = 2)
  ), repeats)
  print_times(time, "bam")
  cat(estimates(fit), sprintf("; %d functions\n", fit$gp$size))
  cat(sprintf("peak memory of the fit beyond a process that holds the data: %.0f bytes a row\n", memory_beyond(list(data = data, formula = formula), quote(fastlmm_fit(formula, data))) / n))
  targets <- data.frame(lon = runif(1e6), lat = runif(1e6), x = 0)
  cat(sprintf("mean at a million places: %.2f s, with standard errors %.2f s\n", system.time(predict(fit, targets))[[3]], system.time(predict(fit, targets, se.fit = TRUE))[[3]]))
}

# ---- chunks -------------------------------------------------------------------------------------------

cat("\nTables of chunks of 10^6 rows or less, exp_quad; seconds for all tables, without making the data, and for the fit\n")
basis <- gp_basis(lower = c(0, 0), upper = c(1, 1), lengthscale = c(0.07, 0.15), cov = "exp_quad", tol = 1e-6)
for (rows in c(n / 10, n, 10 * n)) {
  chunk <- min(rows, 1e6)
  set.seed(2)
  # one field for all chunks: the state of the generator before its weights are drawn
  total <- NULL
  seconds <- 0
  for (i in seq_len(rows / chunk)) {
    set.seed(1000 + i)
    points <- cbind(runif(chunk), runif(chunk))
    noise <- rnorm(chunk, sd = 0.5)
    set.seed(3)
    part <- data.frame(y = 1 + draw_field(points, "exp_quad") + noise, lon = points[, 1], lat = points[, 2])
    seconds <- seconds + system.time(table <- gp_accumulate(y ~ gp(lon, lat), part, basis))[[3]]
    total <- if (is.null(total)) table else total + table
  }
  last <- system.time(fit <- fastlmm_fit(total))[[3]]
  cat(sprintf("N = %8g: tables %6.2f s (%.2f s a million rows), fit %.2f s; %s\n", rows, seconds, seconds / rows * 1e6, last, estimates(fit)))
}

# ---- against GPBoost ----------------------------------------------------------------------------------

python <- Sys.getenv("GPBOOST_PYTHON")
if (nzchar(python)) {
  set.seed(4)
  data <- draw_data(2e4, "matern52")
  file <- tempfile(fileext = ".csv")
  write.csv(data, file, row.names = FALSE)
  cat("\nN = 2e4, Matern 5/2, length scale 0.1: GPBoost with 20 neighbours\n")
  time <- median(vapply(seq_len(repeats), function(i) system.time(fit <<- fastlmm_fit(y ~ x + gp(lon, lat), data))[[3]], 0))
  out <- system2(python, c("bench/gpboost.py", file), stdout = TRUE)
  peer <- as.numeric(strsplit(tail(out, 1), " ")[[1]])
  cat(sprintf("fastlmm %8.2f s  %s, x %.4f\n", time, estimates(fit), fit$coefficients[["x"]]))
  cat(sprintf("gpboost %8.2f s  length scale %.4f, sigma2 %.3f, residual variance %.4f, x %.4f: %.0f times slower\n", peer[1], peer[2], peer[3], peer[4], peer[5], peer[1] / time))
}
