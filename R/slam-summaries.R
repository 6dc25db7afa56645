# What the draws say, in one pass of Rust over them: means of covariances, and tables of mean, sd, interval, rhat and effective sizes.

# ---- covariances ---------------------------------------------------------------------------------------------

# Entries of G, R, P (and correlations of them) in units of the responses, over units of K for G
covariance_model <- function(fit, what, correlation) {
  unit <- if (what == "G" && !correlation) 1 / sqrt(fit$basis$mean_diag) else 1
  list(
    sd = unname(fit$scale$sd) * unit, b = as.numeric(ncol(fit$X)), k = as.numeric(fit$n_factors), covariance = what, correlation = correlation,
    threads = as.numeric(control_threads(fit$control))
  )
}

# Mean over the draws; of correlations over those in which both variances are above zero
covariance_mean <- function(fit, what, correlation, at) {
  check_has_draws(fit)
  mean <- call_rust(ffi_slam_means, unname(fit$draws), covariance_model(fit, what, correlation), as.integer(at))
  names <- colnames(fit$Y)[at]
  dimnames(mean) <- list(names, names)
  mean
}

# A row for each pair of responses
covariance_table <- function(fit, what, correlation, first, second, level) {
  check_has_draws(fit)
  found <- call_rust(
    ffi_slam_pairs, unname(fit$draws), covariance_model(fit, what, correlation), as.integer(first), as.integer(second), rank_scores(fit), level
  )
  names <- colnames(fit$Y)
  data.frame(response1 = names[first], response2 = names[second], known_numbers(found))
}

# Pairs of responses, first at most second, off the diagonal alone or with it
trait_pairs <- function(at, diagonal = TRUE) {
  m <- length(at)
  pairs <- which(upper.tri(matrix(NA, m, m), diag = diagonal), arr.ind = TRUE)
  list(first = at[pairs[, 1]], second = at[pairs[, 2]])
}

# ---- any draws -----------------------------------------------------------------------------------------------

# A row for each column of draws, chains one after the other
judged <- function(fit, draws, level) {
  storage.mode(draws) <- "double"
  as.data.frame(known_numbers(call_rust(ffi_slam_judge, unname(draws), as.integer(length(fit$draws)), rank_scores(fit), level, control_threads(fit$control))))
}

# What is not defined is missing
known_numbers <- function(columns) lapply(columns, function(x) replace(x, is.nan(x), NA))

# Normal scores of the ranks 1, 1.5, ... of all draws, each chain in halves
rank_scores <- function(fit) {
  chains <- length(fit$draws)
  ranked <- (count_draws(fit) / chains) %/% 2 * 2 * chains
  stats::qnorm((seq_len(max(0, 2 * ranked - 1)) / 2 + 0.5 - 3 / 8) / (ranked + 1 / 4))
}
