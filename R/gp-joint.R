# A gp() term beside other random effects, by the kernel matrix of all rows: any number of groups, slopes, and kernels of their own.

is_joint_gp <- function(fit) length(fit$random) > 1 && fit$random[[1]]$kernel$route == "exact"

gp_joint <- function(model) {
  gp <- model$gp
  check_kernel_memory(length(model$y), 6 + length(model$others))
  if (length(model$y) > gp_exact_limit) inform_gp_joint_size(length(model$y))
  answer <- call_rust(ffi_gp_joint, model_rows(model, random = model$others))
  lengths <- answer$parameters
  process <- structure(c(list(cov = gp$cov, lengthscale = lengths), exact_process(length(model$y))), class = "fastlmm_process")
  model$random <- c(structure(list(new_process_term(gp, process)), names = gp$name), model$others)
  fit <- new_fastlmm(model, mix_found(answer$mix, names(model$random)))
  joint_gp_fit(fit, gp, answer)
}

inform_gp_joint_size <- function(n) {
  inform_fastlmm("gp_size", sprintf(
    "gp() with these random effects needs the kernel matrix of all %s rows: this takes minutes, and time grows with the cube of the rows",
    format(n, big.mark = ",")
  ), n = n)
}

joint_gp_fit <- function(fit, gp, answer) {
  lengths <- answer$parameters
  fit$gp <- c(gp[setdiff(names(gp), c("calls", "size"))], exact_process(fit$nobs), list(parameters = lengths, largest = gp$size, raw_delta = fit$delta[[1]]))
  fit <- with_lengths(fit, lengths, answer$log_errors)
  optimum <- fit$optimum
  optimum$at_end <- answer$at_end
  if (answer$at_floor && optimum$boundary == "none") optimum$boundary <- "delta at its floor"
  optimum$local_lengthscale <- data.frame(lengthscale = answer$local_lengths, optimum$local, check.names = FALSE)
  fit$optimum <- optimum
  fit$profile <- data.frame(lengthscale = answer$grid_lengths, fit$profile, check.names = FALSE)
  class(fit) <- c("fastlmm_gp", "fastlmm")
  fit
}

exact_process <- function(n) list(route = "exact", size = n, guard = 0, captured = 1, aliasing = 0)

# The settings that the entry points take of a fit
joint_model <- function(fit) {
  model <- stored_gp_model(fit)
  model$others <- fit$random[-1]
  model
}

# As a model of several kernels, that of the process over the rows
joint_rust_model <- function(fit) {
  n <- fit$nobs
  K <- gp_cross(fit, model_coordinates(fit))
  process <- list(label = fit$gp$name, z = rep(1, n), group = seq_len(n), K = K, form = "matrix", index = seq_len(n))
  model <- rust_model(stored_gp_model(fit), NULL)
  model$effects <- c(list(process), rust_effects(fit$random[-1]))
  model
}

# ---- prediction ---------------------------------------------------------------------------------------

# What the other effects need of the targets, by their labels
joint_sources <- function(fit, targets, allow_new) {
  random <- fit$random[-1]
  Map(function(one, target) new_source(one, unique(target$id), NULL, allow_new), random, targets)
}

joint_effect <- function(target, source) target$z * source$effect[match(target$id, source$id)]

# Variance of the sum of the wanted effects and of the fixed ones
joint_variance <- function(fit, targets) {
  given <- targets$others
  prior <- if (targets$process) rep(fit$sigma2[[1]], nrow(targets$X)) else numeric(nrow(targets$X))
  for (label in names(given)) {
    source <- targets$sources[[label]]
    prior <- prior + fit$sigma2[[label]] * given[[label]]$z^2 * prior_variance(source$random, source, NULL)[match(given[[label]]$id, source$id)]
  }
  prepared <- prepare_mix(fit, joint_rust_model(fit))
  in_blocks(nrow(targets$X), cross_block(fit$nobs), function(rows) {
    cross <- matrix(0, fit$nobs, length(rows))
    if (targets$process) cross <- cross + fit$sigma2[[1]] * t(gp_cross(fit, targets$coordinates[rows, , drop = FALSE]))
    for (label in names(given)) cross <- cross + effect_cross(given[[label]], targets$sources[[label]], fit$sigma2[[label]], rows)
    call_rust(ffi_variance_mix, prepared, list(cross = cross, prior = prior[rows], X = targets$X[rows, , drop = FALSE]))
  })
}

# ---- intervals ----------------------------------------------------------------------------------------

# Limits of one parameter, or with `points` its curve, in its own units
joint_ask <- function(fit, parameter, rise, points) {
  wanted <- joint_wanted(fit, parameter)
  if (is.null(wanted)) return(NULL)
  model <- joint_model(fit)
  about <- list(sigma2 = all_variances(fit), parameters = fit$gp$parameters)
  answer <- call_rust(ffi_gp_joint_profile, model_rows(model, random = model$others), about, c(wanted, list(rise = rise, points = as.numeric(points))))
  square <- wanted$what == "sigma"
  if (points == 0) return(if (square) answer$limits^2 else answer$limits)
  if (square) answer$value <- answer$value^2
  answer
}

joint_wanted <- function(fit, parameter) {
  at <- parameter$column
  number <- function(x) if (is.finite(x)) x else -1
  sigma <- function(k, variance, error) list(what = "sigma", column = k, estimate = sqrt(variance), error = number(error / (2 * sqrt(variance))))
  wanted <- switch(parameter$what,
    beta = list(what = "beta", column = at, estimate = unname(fit$coefficients[fit$kept[at]]), error = sqrt(max(fit$vcov[at, at], 0))),
    lengthscale = list(what = "lengthscale", column = at, estimate = 0, error = number(fit$se$lengthscale[[at]] / fit$lengthscale[[at]])),
    sigma_u = sigma(max(at, 1), fit$sigma2[[max(at, 1)]], fit$se$sigma2[[max(at, 1)]]),
    sigma_e = sigma(length(fit$sigma2) + 1, fit$sigma2_e, fit$se$sigma2_e)
  )
  wanted$column <- as.numeric(wanted$column)
  wanted
}
