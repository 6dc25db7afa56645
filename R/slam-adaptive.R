# How many factors the data ask for, from a short chain before the others.

# Iterations of the short chain at least
least_pilot <- 200

# A factor counts if so much of the variance of two responses at least is its (of the only one, where there is one): with few rows twice the standard error of a
# loading, squared
least_share <- function(n) max(0.01, 4 / n)

# The fit with as many factors as have something to do and two more; as long as all have, twice as many are tried.
adapt_factors <- function(fit, with_factors) {
  p <- ncol(fit$Y)
  repeat {
    used <- used_factors(pilot(fit))
    if (used < fit$n_factors - 1 || fit$n_factors >= p) break
    fit <- with_factors(min(p, 2 * fit$n_factors))
  }
  k <- min(fit$n_factors, used + 2)
  inform_fastlmm("n_factors", sprintf("%s: %d are needed", counted(k, "factor"), used), n_factors = k)
  with_factors(k)
}

# Under the default prior factors that nobody needs take what is a response's own; under this one they have no loadings.
pilot_prior <- function() slam_prior(residual = inverse_wishart(V = 0.5, nu = 5), loadings = mgp(first = c(2, 1), others = c(3, 1)))

# One chain, always the same whatever the seed of the fit: a directory belongs to a number of factors
pilot <- function(fit) {
  iter <- max(least_pilot, fit$plan$warmup)
  fit$plan[c("chains", "iter", "warmup", "thin", "keep")] <- list(1, iter, iter %/% 2, 1, character())
  fit$seed <- 1
  fit$numbers <- fit_prior_numbers(fit, pilot_prior())
  run_here(fit, iter, FALSE)
}

used_factors <- function(fit) {
  k <- fit$n_factors
  loadings <- fit$draws[[1]]$theta[ncol(fit$X) + seq_len(k), , , drop = FALSE]
  # responses have unit variance in the sampler's units
  share <- rowMeans(loadings^2, dims = 2)
  sum(rowSums(share > least_share(nrow(fit$Y))) >= min(2, ncol(fit$Y)))
}
