# The sparse-factor sampler: milliseconds an iteration, beside the cross product of an n x p matrix; what families and a second random effect add; what keeping
# the draws costs; threads; effective draws a second.
#
#   Rscript bench/slam.R [iterations]
#
# One thread but where it says two. One chain.

script <- sub("--file=", "", grep("--file=", commandArgs(), value = TRUE))
if (Sys.getenv("OPENBLAS_NUM_THREADS") != "1") {
  quit(status = system2("env", c("OPENBLAS_NUM_THREADS=1", "OMP_NUM_THREADS=1", file.path(R.home("bin"), "Rscript"), script, commandArgs(TRUE))))
}
suppressPackageStartupMessages(library(fastlmm))
source(file.path(dirname(script), "common.R"))
arguments <- as.numeric(commandArgs(TRUE))
repeats <- if (length(arguments) >= 1) arguments[1] else 5

# Families and weights: what they add to an iteration, in products n x n x p of the same run
world <- simulated(500, 1000)
scaled <- scale(unclass(world$data$Y))
size <- length(scaled)
turn <- crossprod(matrix(rnorm(500^2), 500))
product <- function() 1000 / 5 * system.time(for (i in 1:5) turn %*% scaled)[["elapsed"]]
count <- function(y) matrix(y, 500, dimnames = dimnames(scaled))
families <- list(
  weights = list(Y = scaled, weights = matrix(runif(size, 0.5, 2), 500)),
  poisson = list(Y = count(rpois(size, exp(1 + 0.7 * scaled))), family = poisson()),
  negative_binomial = list(Y = count(rnbinom(size, size = 2, mu = exp(1 + 0.7 * scaled))), family = negative_binomial()),
  binomial = list(Y = count(rbinom(size, 1, plogis(scaled))), family = binomial()),
  ordinal = list(Y = count(findInterval(scaled + rnorm(size), c(-0.7, 0, 0.7))), family = ordinal())
)
plain <- sampler_of(world, 20, 1)
cat(sprintf("%-20s %18s %30s\n", "n = 500, p = 1000", "ms an iteration", "added, in products n x n x p"))
for (name in names(families)) {
  own <- families[[name]]
  world$data$Y <- I(own$Y)
  run <- sampler_of(world, 20, 1, family = own$family, weights = own$weights)
  times <- t(vapply(seq_len(repeats), function(i) c(run(8), plain(8), product()), numeric(3)))
  ratio <- (times[, 1] - times[, 2]) / times[, 3]
  cat(
    sprintf(
      "%-20s %8.1f (%.1f..%.1f) %18.1f (%.1f .. %.1f), limit 3\n", name, stats::median(times[, 1]), min(times[, 1]), max(times[, 1]), stats::median(ratio),
      min(ratio), max(ratio)
    )
  )
}
rm(world, scaled, families, run, plain)

# Two random effects, 11 rays of 20 points
for (case in list(c(300, 100, 10, 40), c(500, 1000, 20, 150))) {
  world <- simulated(case[1], case[2])
  world$data$block <- rep(sprintf("b%02d", seq_len(case[1] / 15)), length.out = case[1])
  world$K <- list(id = world$K)
  run <- sampler_of(world, case[3], 1, Y ~ 1 + (1 | id) + (1 | block))
  turn <- crossprod(matrix(rnorm(case[1]^2), case[1]))
  plain <- unclass(world$data$Y)
  product <- function() 1000 / 20 * system.time(for (i in 1:20) turn %*% plain)[["elapsed"]]
  times <- t(vapply(seq_len(repeats), function(i) c(run(8), product()), numeric(2)))
  ratio <- times[, 1] / times[, 2]
  cat(
    sprintf(
      "two effects, n = %d, p = %d, k = %d: %.1f ms an iteration (%.1f..%.1f), limit %d; in products n x n x p %.1f (%.1f .. %.1f)\n", case[1], case[2],
      case[3], stats::median(times[, 1]), min(times[, 1]), max(times[, 1]), case[4], stats::median(ratio), min(ratio), max(ratio)
    )
  )
}
rm(world, run, plain)

cases <- list(c(300, 100, 10, 2), c(500, 1000, 20, 15), c(500, 5000, 20, 80), c(500, 20000, 20, 300))
cat(sprintf("%6s %6s %4s %18s %8s %24s %22s\n", "n", "p", "k", "ms an iteration", "limit", "ratio to crossprod(Y)", "keeping all, a draw in 10"))
for (case in cases) {
  world <- simulated(case[1], case[2])
  iterations <- max(10, round(2000 / case[4]))
  run <- sampler_of(world, case[3], 1)
  plain <- unclass(world$data$Y)
  # p x p is too much for the widest: the product of its first columns, in proportion
  width <- min(case[2], 2000)
  part <- plain[, seq_len(width)]
  times_over <- max(1, round(1e5 / width^2 * 100))
  product <- function() 1000 * system.time(for (i in seq_len(times_over)) crossprod(plain, part))[["elapsed"]] * case[2] / width / times_over
  times <- t(vapply(seq_len(repeats), function(i) c(run(iterations), product(), run(iterations, 10)), numeric(3)))
  middle <- apply(times, 2, stats::median)
  cat(sprintf(
    "%6d %6d %4d %8.2f (%.2f..%.2f) %6d %20.2f %20.1f %%\n", case[1], case[2], case[3], middle[1], min(times[, 1]), max(times[, 1]), case[4],
    stats::median(times[, 1] / times[, 2]), 100 * stats::median(times[, 3] / times[, 1] - 1)
  ))
  if (case[2] == 5000) {
    two <- sampler_of(world, case[3], 2)
    pairs <- t(vapply(seq_len(repeats), function(i) c(run(iterations), two(iterations)), numeric(2)))
    cat(
      sprintf(
        "%24s two threads: %.2f times faster (%.2f .. %.2f)\n", "", stats::median(pairs[, 1] / pairs[, 2]), min(pairs[, 1] / pairs[, 2]),
        max(pairs[, 1] / pairs[, 2])
      )
    )
  }
  rm(world, plain, run)
}

world <- simulated(300, 100)
seconds <- system.time(
  fit <- slamglmm_fit(Y ~ 1 + (1 | id), world$data, world$K, n_factors = 10, chains = 2, iter = 3000, seed = 1, control = fastlmm_control(threads = 1))
)[["elapsed"]]
found <- G(fit, level = 0.9)
ess <- found$ess_bulk[found$response1 == found$response2]
off <- found$ess_bulk[found$response1 != found$response2]
cat(
  sprintf(
    "\nn = 300, p = 100, k = 10: effective draws of G off the diagonal a second: median %.0f (10 %% of pairs below %.0f)\n", stats::median(off) / seconds,
    stats::quantile(off, 0.1) / seconds
  )
)
cat(
  sprintf(
    "\nn = 300, p = 100, k = 10: effective draws of the diagonal of G a second: median %.0f (10 %% of responses below %.0f)\n", stats::median(ess) / seconds,
    stats::quantile(ess, 0.1) / seconds
  )
)

# Twenty responses that share everything: dense loadings, as many factors
set.seed(1)
line <- rep(sprintf("l%02d", 1:50), each = 4)
loadings <- matrix(rnorm(400), 20) / sqrt(20)
genes <- matrix(rnorm(50 * 20), 50)[rep(1:50, each = 4), ] %*% loadings
dense <- data.frame(line = line, Y = I(genes + matrix(rnorm(4000), 200) %*% (matrix(rnorm(400), 20) / sqrt(20)) + 0.3 * matrix(rnorm(4000), 200)))
colnames(dense$Y) <- paste0("t", 1:20)
seconds <- system.time(
  fit <- suppressMessages(
    slamglmm_fit(Y ~ 1 + (1 | line), dense, n_factors = 20, chains = 2, iter = 3000, warmup = 1000, seed = 1, control = fastlmm_control(threads = 1))
  )
)[["elapsed"]]
found <- G(fit, level = 0.9)
off <- found$ess_bulk[found$response1 != found$response2]
cat(sprintf(
  "n = 200, p = 20 dense, k = 20: effective draws of G off the diagonal: median %.0f of %d, %.1f a second (10 %% of pairs below %.1f); worst rhat %.3f\n",
            stats::median(off), 2 * 2000L, stats::median(off) / seconds, stats::quantile(off, 0.1) / seconds, max(found$rhat)))
