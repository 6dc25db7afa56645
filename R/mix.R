# Fits with several random effects: the call to Rust, and what is peculiar to them.

# `start`: variances near an optimum that is known, the residual's last
estimate_mix <- function(model, start = numeric(0)) {
  found <- call_rust(
    ffi_fit_mix, unname(model$y - model$offset), model$X, model_weights(model), rust_effects(model$random), model$method,
    start, control_threads(model$control)
  )
  mix_found(found, names(model$random))
}

# What Rust found, named by the effects
mix_found <- function(found, labels) {
  named <- function(x) structure(x, names = labels)
  total <- sum(found$sigma2) + found$sigma2_e
  found$se <- lapply(found$se, function(se) if (length(se) == length(labels)) named(se) else se)
  found$optimum <- mix_optimum(found, labels)
  found$profile <- mix_points(found$grid, labels)
  found$delta <- named(found$sigma2_e / found$sigma2)
  found$h2 <- named(found$sigma2 / total)
  found$sigma2 <- named(found$sigma2)
  found
}

model_weights <- function(model) if (is.null(model$weights)) rep(1, nrow(model$X)) else model$weights

rust_effects <- function(random) unname(Map(rust_effect, random, names(random)))

rust_effect <- function(random, label) {
  # the identity has no rows to point to
  if (is.null(random$kernel)) random$index <- seq_along(random$index)
  list(
    label = label, z = as.numeric(random$z), group = as.integer(random$group), K = kernel_values(random), factor = is_lowrank(random$kernel),
    index = as.integer(random$index)
  )
}

mix_optimum <- function(found, labels) {
  zero <- c(labels, "residual")[c(found$sigma2, found$sigma2_e) == 0]
  list(
    log_delta = log(found$sigma2_e / structure(found$sigma2, names = labels)), slope = found$slope, curvature = NA_real_, reason = "slope vanishes",
    boundary = if (length(zero) == 0) "none" else paste0("variance 0: ", toString(zero)), zero = zero, local = mix_points(found$local, labels),
    dropped = found$dropped, status = "ok"
  )
}

# Shares of the variances and the log-likelihood, a row a point
mix_points <- function(points, labels) {
  share <- points$sigma2 / rowSums(points$sigma2)
  colnames(share) <- paste0("h2.", c(labels, "residual"))
  data.frame(share[, seq_along(labels), drop = FALSE], sigma2 = rowSums(points$sigma2), logLik = points$logLik, check.names = FALSE)
}

# ---- prediction ---------------------------------------------------------------------------------------

# An entry point on the model of a fit
mix_call <- function(entry, fit, ...) {
  model <- stored_model(fit)
  call_rust(
    entry, unname(model$y - model$offset), model$X, model_weights(model), rust_effects(fit$random), ..., control_threads(fit$control)
  )
}

mix_variance <- function(fit, targets, sources, k_diag) {
  given_beta <- ncol(targets$X) == 0
  prior <- Reduce(`+`, Map(function(target, source, sigma2) {
    sigma2 * target$z^2 * prior_variance(source$random, source, k_diag)[match(target$id, source$id)]
  }, targets$random, sources, fit$sigma2[names(sources)]))
  in_blocks(nrow(targets$X), max(1, 4e7 %/% fit$nobs), function(rows) {
    cross <- Reduce(`+`, Map(effect_cross, targets$random, sources, fit$sigma2[names(sources)], MoreArgs = list(rows = rows)))
    mix_call(ffi_variance_mix, fit, c(unname(fit$sigma2), fit$sigma2_e), cross, prior[rows], targets$X[rows, , drop = FALSE], given_beta)
  })
}

# Covariance of the effects in some targets (columns) with those in the rows of the fit
effect_cross <- function(target, source, sigma2, rows) {
  random <- source$random
  cross <- cross_kernel(random, source, match(target$id[rows], source$id))
  sigma2 * random$z * t(target$z[rows] * cross)[random$group, , drop = FALSE]
}

# ---- printing -----------------------------------------------------------------------------------------

# Shares of the total variance, as fitted and, where it makes a difference, with each K scaled to mean diagonal 1
share_table <- function(fit) {
  row <- function(estimate, std.error, label) {
    data.frame(estimate = unname(estimate), std.error = unname(std.error), lower = NA_real_, upper = NA_real_, row.names = label)
  }
  labels <- names(fit$random)
  fitted <- row(fit$h2, fit$se$h2, paste0("h2 (", labels, ")"))
  part <- fit$sigma2 * vapply(fit$random, `[[`, 0, "mean_diag")
  scaled <- part / (sum(part) + fit$sigma2_e)
  if (isTRUE(all.equal(scaled, fit$h2, check.attributes = FALSE))) return(fitted)
  rbind(fitted, row(scaled, NA_real_, paste0("h2 (", labels, "), each K scaled to mean diagonal 1")))
}
