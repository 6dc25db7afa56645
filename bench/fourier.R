# Gaussian processes of many points: full REML with the length scale beside mgcv, growth with the number of points. Fewer points beside GPBoost, and transforms
# beside FINUFFT, are in peers.R.
#
#   Rscript bench/fourier.R [n] [repeats] [largest]
#
# n: points of the fits (1e6); largest: points of the last table (1e7).

suppressPackageStartupMessages(library(fastlmm))
folder <- dirname(sub("--file=", "", grep("--file=", commandArgs(), value = TRUE)))
source(file.path(folder, "common.R"))
arguments <- as.numeric(commandArgs(TRUE))
given <- function(i, default) if (length(arguments) >= i) arguments[i] else default
n <- given(1, 1e6)
repeats <- given(2, 3)
largest <- given(3, 1e7)
threads <- 2
options(fastlmm.threads = threads)

# ---- fields ---------------------------------------------------------------------------------------------------------

set.seed(1)
fields <- list(exp_quad = draw_field("exp_quad"), matern52 = draw_field("matern52"))
invisible(gc())

# ---- full REML beside mgcv, which is given the length scale ----------------------------------------------------------

estimates <- function(name, fit, seconds) {
  cat(sprintf(
    "%-10s length scale %.4f  sigma2 %.4f  residual variance %.4f  x %.5f (%.5f)   %.2f s\n",
    name, fit[["lengthscale"]], fit[["sigma2"]], fit[["sigma2_e"]], fit[["x"]], fit[["se"]], seconds
  ))
}

of_fit <- function(fit) {
  c(lengthscale = fit$lengthscale[[1]], sigma2 = fit$sigma2[[1]], sigma2_e = fit$sigma2_e, x = fixef(fit)[["x"]], se = sqrt(fit$vcov[2, 2]))
}

for (cov in names(fields)) {
  data <- draw_points(fields[[cov]], n)
  formula <- as.formula(sprintf("y ~ x + gp(x1, x2, cov = \"%s\")", cov))
  ours <- function() fastlmm_fit(formula, data)
  m <- mgcv_kernel[[cov]]
  theirs <- function() mgcv::bam(y ~ x + s(x1, x2, bs = "gp", k = 200, m = m), data = data, discrete = TRUE, nthreads = threads)
  fit <- ours()
  cat(sprintf(
    "\n%s, %.0e points, %d threads: %d functions, all but %.2g of the variance\n", cov, n, threads, fit$gp$size, 1 - fit$gp$captured
  ))
  print_times(paired(list(fastlmm = ours, `bam, k = 200` = theirs), repeats), "bam, k = 200")
  beyond <- memory_beyond(list(data = data, formula = deparse1(formula)), quote(fastlmm_fit(as.formula(formula), data)))
  cat(sprintf("peak memory beyond a process that holds the data: %.0f bytes a point\n", beyond / n))
  targets <- data.frame(x1 = runif(1e6), x2 = runif(1e6), x = 0)
  mean_only <- system.time(predict(fit, targets))[["elapsed"]]
  both <- system.time(predict(fit, targets, se.fit = TRUE))[["elapsed"]]
  cat(sprintf("mean at a million places %.2f s, with standard errors %.2f s\n", mean_only, both))
  gam <- theirs()
  estimates("fastlmm", of_fit(fit), system.time(ours())[["elapsed"]])
  cat(sprintf("%-10s %-39s residual variance %.4f  x %.5f (%.5f)\n", "bam", "length scale given", gam$sig2, coef(gam)[["x"]], sqrt(vcov(gam)["x", "x"])))
  rm(gam, fit)
}

# ---- growth with the number of points: chunks of a million, one table -------------------------------------------------

basis <- gp_basis(lower = c(0, 0), upper = c(1, 1), lengthscale = c(0.08, 0.125), cov = "matern52")
cat(sprintf("\nmatern52 by chunks of at most %.0e points\n", min(n, 1e6)))
for (size in largest / c(100, 10, 1)) {
  seconds <- 0
  table <- NULL
  for (chunk in seq_len(ceiling(size / 1e6))) {
    data <- draw_points(fields$matern52, min(size, 1e6))
    seconds <- seconds + system.time({
      part <- gp_accumulate(y ~ x + gp(x1, x2), data, basis)
      table <- if (is.null(table)) part else table + part
    })[["elapsed"]]
  }
  last <- system.time(fit <- fastlmm_fit(table))[["elapsed"]]
  cat(
    sprintf(
      "%8.0e points  tables %7.2f s (%.2f microseconds a point)  fit of the table %.2f s  length scale %.4f (%.4f)\n", size, seconds, 1e6 * seconds / size,
      last, fit$lengthscale, fit$se$lengthscale
    )
  )
}

# ---- fields smoother than the default kernel: CPU seconds, and where the length scale ends -----------------------------

smooth_field <- function(scale, side = 512) {
  lag <- c(0:(2 * side), (2 * side - 1):1) / side
  values <- pmax(Re(stats::fft(exp(-outer(lag^2, lag^2, "+") / scale^2 / 2))), 0)
  noise <- matrix(complex(real = rnorm(length(values)), imaginary = rnorm(length(values))), nrow(values))
  Re(stats::fft(sqrt(values / length(values)) * noise))[seq_len(side), seq_len(side)]
}

cat("\nmatern52 on squared-exponential fields, variance 1, noise 1/2\n")
for (scale in c(0.07, 0.1, 0.13, 0.2, 0.25)) {
  set.seed(1)
  field <- smooth_field(scale)
  for (size in unique(pmin(n, c(5e3, 2e4, 1e5, 1e6)))) {
    data <- draw_points(field, size)
    time <- system.time(fit <- suppressMessages(fastlmm_fit(y ~ x + gp(x1, x2), data)))
    optimum <- fit$optimum
    cat(sprintf(
      "length %.2f  %8.0f points  %6.2f CPU s  length scale %.4f  %d functions%s%s\n", scale, size, sum(time[1:2]), fit$lengthscale[[1]], fit$gp$size,
      if (optimum$at_end) "  at an end" else "", if (optimum$limited) "  limited by size" else ""
    ))
  }
}
