# Null models that are not of one effect with a spectrum: of several effects, correlated terms, precisions, processes, residual variances by levels. Their
# random effects are taken together, in the shares of the fit.

# The same model as one effect of the rows, whose kernel is the sum of their covariances
as_one_effect <- function(fit) {
  if (inherits(fit, "fastlmm_mlm") || has_one_spectrum(fit)) return(fit)
  if (is_of_levels(fit)) return(with_spectrum(fit))
  model <- stored_model(fit)
  ids <- as.character(seq_len(fit$nobs))
  K <- scan_kernel(fit, ids)
  model$random <- list(
    .row = list(name = ".row", ids = ids, index = seq_along(ids), group = seq_along(ids), z = rep(1, length(ids)), kernel = K$kernel, mean_diag = K$mean_diag)
  )
  model["residual"] <- list(NULL)
  quiet_fit(estimate(model))
}

# One effect without a kernel, which any route can fit
is_of_levels <- function(fit) length(fit$random) == 1 && is.null(fit$random[[1]]$kernel) && !has_levels(fit) && is.null(fit$given)

has_one_spectrum <- function(fit) length(fit$random) == 1 && !is_gp_fit(fit) && !is_sparse_fit(fit) && !has_levels(fit)

# Z K Z' of each effect in its share, of mean diagonal 1; those of a process in Fourier space by the factor that its basis is
scan_kernel <- function(fit, ids) {
  if (is_gp_fit(fit) && fit$random[[1]]$kernel$route == "fourier") {
    W <- `rownames<-`(in_parts(fit, fourier_factor(fit)), ids)
    return(list(kernel = new_lowrank(W), mean_diag = factor_mean_diag(W)))
  }
  K <- in_parts(fit, all_row_covariance(fit))
  dimnames(K) <- list(ids, ids)
  list(kernel = K, mean_diag = mean(diag(K)))
}

# Over the sum of the variances; any unit will do where all are zero
in_parts <- function(fit, x) if (is_square(x)) x / mean(diag(x)) else x / sqrt(sum(x^2) / nrow(x))

is_square <- function(x) nrow(x) == ncol(x) && isSymmetric(unname(x))

# Covariance that the random effects give the rows of the fit
all_row_covariance <- function(fit) {
  n <- fit$nobs
  check_matrix_memory(8 * n, n, sprintf("the covariance of %d rows by several random effects", n))
  Sigma <- effect_covariance(fit)
  if (all(diag(Sigma) == 0)) diag(Sigma) <- 1
  total <- matrix(0, n, n)
  for (labels in blocks_of(fit$random)) {
    first <- fit$random[[labels[1]]]
    K <- if (is_process(first$kernel)) gp_cross(fit, model_coordinates(fit)) else as.matrix(
      kernel_block(first, first$index, first$index)
    )[first$group, first$group]
    z <- vapply(fit$random[labels], function(one) rep_len(one$z, n), numeric(n))
    total <- total + K * (z %*% Sigma[labels, labels, drop = FALSE] %*% t(z))
  }
  total
}

# The effect whose ids are the names of the candidates' rows stands first, since that one is asked for them. A process knows no ids.
with_candidates_first <- function(fit, candidates) {
  if (inherits(fit, "fastlmm_mlm") || has_one_spectrum(fit)) return(fit)
  process <- vapply(fit$random, function(one) is_process(one$kernel), NA)
  fit$random[process] <- list(list(name = ".row", ids = paste("row", seq_len(fit$nobs)), index = seq_len(fit$nobs), group = seq_len(fit$nobs)))
  names <- tryCatch(full_numbers(rownames(candidates)), error = function(e) NULL)
  known <- vapply(fit$random, function(one) !is.null(names) && all(one$ids[one$index] %in% names), NA)
  fit$random <- fit$random[order(!known, process)]
  fit
}

check_one_at_a_time <- function(fit, ...) {
  if (has_one_spectrum(fit) || is_of_levels(fit) || all(vapply(list(...), is.null, NA))) return(invisible())
  abort_scan("can leave out columns or kernels only in null models with one random effect; this one has others")
}
