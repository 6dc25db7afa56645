# What the benchmarks share: paired timings, medians and ratios, peak memory.

# Times of the functions in turn, A B A B ..., after one uncounted round; seconds.
paired <- function(runs, repeats) {
  for (run in runs) run()
  one <- function(i) vapply(runs, function(run) system.time(run())[["elapsed"]], 0)
  seconds <- matrix(vapply(seq_len(repeats), one, numeric(length(runs))), ncol = length(runs), byrow = TRUE, dimnames = list(NULL, names(runs)))
  as.data.frame(seconds)
}

# Median seconds of each, and the median of the ratios to `base`, pair by pair.
print_times <- function(time, base) {
  for (name in names(time)) {
    ratio <- time[[name]] / time[[base]]
    cat(sprintf(
      "%-24s %8.3f s (%.3f .. %.3f)   ratio to %s: %.2f (%.2f .. %.2f)\n", name,
      stats::median(time[[name]]), min(time[[name]]), max(time[[name]]), base, stats::median(ratio), min(ratio), max(ratio)
    ))
  }
}

# Highest resident memory of this process so far, bytes (Linux).
peak_memory <- function() {
  status <- readLines("/proc/self/status")
  as.numeric(gsub("\\D", "", grep("VmHWM", status, value = TRUE))) * 1024
}

# From here on the peak is counted anew, where the system offers it; bytes that are held now.
reset_peak <- function() {
  try(suppressWarnings(cat("5", file = "/proc/self/clear_refs")), silent = TRUE)
  peak_memory()
}

# The power of the size that the last points follow
exponent <- function(size, value, last = 3) {
  at <- utils::tail(seq_along(size), last)
  if (length(at) < 2 || any(!is.finite(value[at]) | value[at] <= 0)) return(NA_real_)
  stats::coef(stats::lm(log(value[at]) ~ log(size[at])))[[2]]
}

machine_text <- function() {
  info <- readLines("/proc/cpuinfo")
  model <- sub(".*: *", "", grep("^model name", info, value = TRUE)[1])
  sprintf("%s, %d cores; R %s, BLAS %s", model, sum(grepl("^processor", info)), getRversion(), basename(dirname(extSoftVersion()[["BLAS"]])))
}

# Bytes that `expression` takes at its peak beyond a fresh process that holds `values` and has loaded the package.
memory_beyond <- function(values, expression, package = "fastlmm") {
  file <- tempfile(fileext = ".rds")
  script <- tempfile(fileext = ".R")
  on.exit(unlink(c(file, script)))
  saveRDS(values, file, compress = FALSE)
  lines <- c(
    sprintf("suppressPackageStartupMessages(library(%s))", package), "options(fastlmm.threads = 2)", "peak_memory <-", deparse(peak_memory),
    sprintf("list2env(readRDS(\"%s\"), globalenv())", file), "invisible(gc())", "before <- peak_memory()",
    paste0("invisible(", deparse1(expression), ")"), "cat(peak_memory() - before)"
  )
  writeLines(lines, script)
  as.numeric(utils::tail(system2(file.path(R.home("bin"), "Rscript"), script, stdout = TRUE, stderr = FALSE), 1))
}

# ---- made-up data -----------------------------------------------------------------------------------------------------

# Fields in the unit square, their length scale a tenth
length_scale <- 0.1

correlation <- list(
  exp_quad = function(r) exp(-(r / length_scale)^2 / 2),
  matern52 = function(r) {
    a <- sqrt(5) * r / length_scale
    (1 + a + a^2 / 3) * exp(-a)
  }
)

# A draw of the process at the nodes of a grid over the unit square, exact: circulant embedding on a grid twice as wide
draw_field <- function(cov, side = 1024) {
  lag <- c(0:side, (side - 1):1) / side
  values <- pmax(Re(stats::fft(correlation[[cov]](sqrt(outer(lag^2, lag^2, "+"))))), 0)
  noise <- matrix(complex(real = rnorm(length(values)), imaginary = rnorm(length(values))), nrow(values))
  Re(stats::fft(sqrt(values / length(values)) * noise))[seq_len(side), seq_len(side)]
}

# Points at nodes drawn at random: y = 1 + x / 2 + field + noise of variance 1/4
draw_points <- function(field, n) {
  side <- nrow(field)
  i <- sample.int(length(field), n, replace = TRUE)
  data <- data.frame(x1 = ((i - 1) %% side) / side, x2 = ((i - 1) %/% side) / side, x = rnorm(n))
  data$y <- 1 + data$x / 2 + field[i] + rnorm(n) / 2
  data
}

# mgcv's kernels by number: 2 is exp(-(d/r)^power), 4 is Matern 5/2 of d/r; a negative number leaves out the linear trend
mgcv_kernel <- list(exp_quad = c(-2, sqrt(2) * length_scale, 2), matern52 = c(-4, length_scale / sqrt(5)))

# Five factors, half-sib families of ten
simulated <- function(n, p) {
  set.seed(1)
  sire <- rep(seq_len(n / 10), each = 10)
  ids <- sprintf("i%05d", seq_len(n))
  K <- 0.25 * outer(sire, sire, "==") + diag(0.75, n)
  dimnames(K) <- list(ids, ids)
  factors <- crossprod(chol(K), matrix(rnorm(n * 5), n)) + matrix(rnorm(n * 5), n)
  Y <- factors %*% (matrix(rnorm(5 * p), 5) * rbinom(5 * p, 1, 0.3)) + crossprod(chol(K), matrix(rnorm(n * p), n)) + matrix(rnorm(n * p), n)
  colnames(Y) <- paste0("t", seq_len(p))
  list(data = data.frame(id = ids, Y = I(Y)), K = K)
}

# A sampler past its first steps; milliseconds an iteration of `run(iterations, kept)`
sampler_of <- function(world, k, threads, formula = Y ~ 1 + (1 | id), ...) {
  control <- fastlmm_control(threads = threads)
  fit <- suppressMessages(
    slamglmm_fit(formula, world$data, world$K, n_factors = k, chains = 1, iter = 12, warmup = 10, thin = 1, seed = 1, control = control, ...)
  )
  sampler <- fastlmm:::new_sampler(fit, 1)
  function(iterations, thin = 1e9) {
    1000 / iterations * system.time(fastlmm:::ffi_slam_run(sampler, as.integer(iterations), 0, as.integer(thin), as.integer(threads)))[["elapsed"]]
  }
}

# A dense kernel between n ids, and data with three columns of X: list(K, data).
dense_world <- function(n) {
  set.seed(1)
  ids <- paste0("i", seq_len(n))
  W <- matrix(rnorm(n * 1.5 * n), n)
  K <- tcrossprod(W) / ncol(W)
  dimnames(K) <- list(ids, ids)
  data <- data.frame(id = ids, x1 = rnorm(n), x2 = rnorm(n))
  data$y <- 1 + data$x1 + drop(crossprod(chol(K), rnorm(n))) + rnorm(n)
  list(K = K, data = data)
}
