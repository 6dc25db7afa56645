# Fits with several random effects: the call to Rust, and what is peculiar to them.

# `start`: variances near an optimum that is known, the residual's last
estimate_mix <- function(model, start = numeric(0)) {
  whole <- vapply(model$random, function(one) is_precision(one$kernel), NA)
  if (any(whole) || anyDuplicated(block_numbers(model$random)) > 0 || !is.null(model$given)) return(estimate_terms(model))
  answer <- call_rust(ffi_fit_mix, rust_model(model), start)
  found <- mix_found(answer$fit, names(model$random))
  found$optimum$route <- answer$route
  found
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

# The variances of a fit, the residual's last
all_variances <- function(fit) c(unname(fit$sigma2), fit$sigma2_e)

# The model at its variances, for any number of predictions of one call: it lives in Rust's memory, and is no part of the fit
prepare_mix <- function(fit, model = rust_model(stored_model(fit))) call_rust(ffi_prepare_mix, model, all_variances(fit))

# `fit$prepared`: made before by who calls this more than once
mix_variance <- function(fit, targets, sources, k_diag) {
  prepared <- if (is.null(fit$prepared)) prepare_mix(fit) else fit$prepared
  prior <- Reduce(`+`, Map(function(target, source, sigma2) {
    sigma2 * target$z^2 * prior_variance(source$random, source, k_diag)[match(target$id, source$id)]
  }, targets$random, sources, fit$sigma2[names(sources)]))
  in_blocks(nrow(targets$X), max(1, 4e7 %/% fit$nobs), function(rows) {
    cross <- Reduce(`+`, Map(effect_cross, targets$random, sources, fit$sigma2[names(sources)], MoreArgs = list(rows = rows)))
    call_rust(ffi_variance_mix, prepared, list(cross = cross, prior = prior[rows], X = targets$X[rows, , drop = FALSE]))
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
  if (has_levels(fit) && !has_blocks(fit)) return(level_share_table(fit, row))
  if (!has_shares(fit)) return(fitted[0, ])
  part <- fit$sigma2 * vapply(fit$random, `[[`, 0, "mean_diag")
  scaled <- part / (sum(part) + fit$sigma2_e)
  if (isTRUE(all.equal(scaled, fit$h2, check.attributes = FALSE))) return(fitted)
  rbind(fitted, row(scaled, NA_real_, paste0("h2 (", labels, "), each K scaled to mean diagonal 1")))
}

# In each level of the residual; the first level's have the standard errors of the fit
level_share_table <- function(fit, row) {
  share <- as.matrix(fit$residual$h2)
  labels <- if (ncol(share) > 1) paste0(rep(names(fit$random), each = nrow(share)), ", ")
  error <- replace(matrix(NA_real_, nrow(share), ncol(share)), cbind(1, seq_len(ncol(share))), fit$se$h2)
  row(c(share), c(error), paste0("h2 (", labels, rownames(share), ")"))
}
