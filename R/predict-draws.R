# Draws of predictions, with all covariances between them: those that an interval for each of them does not tell.

# Of what predict() answers with nsim =: rows x draws
predicted_draws <- function(fit, targets, mean, covariance, noise, nsim, seed) {
  nsim <- check_nsim(nsim, length(mean))
  state <- seed_generator(seed)
  on.exit(state$restore())
  draws <- matrix(NA_real_, length(targets$complete), nsim, dimnames = list(targets$names, paste0("sim_", seq_len(nsim))))
  normal <- function() matrix(stats::rnorm(length(mean) * nsim), length(mean), nsim)
  value <- mean + covariance_root_times(covariance, normal()) + sqrt(noise) * normal()
  if (!is.null(targets$estimable)) value[!targets$estimable, ] <- NA
  draws[targets$complete, ] <- value
  structure(napredict(targets$na.action, draws[targets$answered, , drop = FALSE]), seed = state$seed)
}

check_draws <- function(nsim, se.fit) {
  if (!is.null(nsim) && se.fit) abort_fastlmm("argument", "draws have no standard errors: leave out se.fit, or nsim")
}

# L u with a covariance L L' that may be singular, and may miss being one by rounding
covariance_root_times <- function(covariance, u) {
  if (nrow(u) == 0) return(u)
  found <- eigen((covariance + t(covariance)) / 2, symmetric = TRUE)
  found$vectors %*% (sqrt(pmax(found$values, 0)) * u)
}

# ---- covariance of the errors of predictions ------------------------------------------------------------

target_covariance <- function(fit, targets, sources, k_diag = NULL) {
  m <- nrow(targets$X)
  check_matrix_memory(5 * m, m, sprintf("covariances between %d predictions", m))
  if (m == 0) return(matrix(0, 0, 0))
  if (length(sources) == 0 || all(fit$sigma2 == 0)) return(targets$X %*% fit$vcov %*% t(targets$X))
  if (is_sparse_fit(fit)) return(sparse_covariance(fit, targets, sources, k_diag))
  sigma2 <- structure(unname(fit$sigma2), names = names(fit$random))[names(sources)]
  prior <- Reduce(`+`, Map(function(target, source, sigma2) sigma2 * joint_prior(target, source, k_diag), targets$random, sources, sigma2))
  if (length(fit$random) > 1) {
    cross <- Reduce(`+`, Map(effect_cross, targets$random, sources, sigma2, MoreArgs = list(rows = seq_len(m))))
    return(kriging_covariance(fit, targets$X, prior, cross, all_row_covariance(fit), fit$sigma2_e / prior_weights(fit), own_columns(fit)))
  }
  one_covariance(fit, targets$X, targets$random[[1]], sources[[1]], prior)
}

own_columns <- function(fit) unname(fixed_design(fit)[, fit$kept, drop = FALSE])

# Universal kriging of what has the covariance `prior`, and `cross` (data x targets) with data of covariance `own` + diag(noise) and mean H beta
kriging_covariance <- function(fit, X, prior, cross, own, noise, H) {
  diag(own) <- diag(own) + noise
  root <- tryCatch(
    chol(own),
    error = function(e) abort_fastlmm(
      "draws",
      "without a residual variance the covariance of the data is singular, and draws of predictions are not defined; predict(se.fit = TRUE) has standard errors"
    )
  )
  A <- backsolve(root, cross, transpose = TRUE)
  D <- X - crossprod(A, backsolve(root, H, transpose = TRUE))
  prior - crossprod(A) + D %*% fit$vcov %*% t(D)
}

# Data by ids: sums over their rows are all that there is to know.
one_covariance <- function(fit, X, target, source, prior) {
  random <- source$random
  given <- sufficient(fit, TRUE)
  at <- match(target$id, source$id)
  seen <- which(given$gram > 0)
  noise <- fit$sigma2_e / given$gram[seen]
  H <- given$cross[seen, , drop = FALSE] / given$gram[seen]
  sigma2 <- fit$sigma2[[1]]
  if (is_lowrank(random$kernel) && fit$sigma2_e > 0) return(factor_covariance(fit, X, target$z, source, prior, given))
  cross <- sigma2 * target$z * cross_kernel(random, source, at)[, seen, drop = FALSE]
  if (is.null(random$kernel)) return(identity_covariance(fit, X, prior, cross, sigma2 + noise, H))
  kriging_covariance(fit, X, prior, t(cross), sigma2 * as.matrix(kernel_block(random, random$index[seen], random$index[seen])), noise, H)
}

identity_covariance <- function(fit, X, prior, cross, total, H) {
  D <- X - cross %*% (H / total)
  prior - cross %*% (t(cross) / total) + D %*% fit$vcov %*% t(D)
}

# u = W b: the posterior covariance of b, of the size of the columns of W
factor_covariance <- function(fit, X, z, source, prior, given) {
  random <- source$random
  W <- as.matrix(random$kernel$W)
  row <- source$known[match(rownames(prior), source$id)]
  w <- z * W[ifelse(is.na(row), 1, row), , drop = FALSE]
  w[is.na(row), ] <- 0
  seen <- W[random$index, , drop = FALSE]
  S <- chol2inv(chol(crossprod(seen * sqrt(given$gram / fit$sigma2_e)) + diag(1 / fit$sigma2[[1]], ncol(W))))
  D <- X - w %*% S %*% crossprod(seen, given$cross / fit$sigma2_e)
  unknown <- prior
  unknown[!is.na(row), ] <- 0
  unknown[, !is.na(row)] <- 0
  unknown + w %*% S %*% t(w) + D %*% fit$vcov %*% t(D)
}

# ---- between the targets ---------------------------------------------------------------------------------

# z K z' between targets, by their ids
joint_prior <- function(target, source, k_diag) {
  K <- kernel_between(source, k_diag)
  at <- match(target$id, source$id)
  structure(outer(target$z, target$z) * K[at, at, drop = FALSE], dimnames = list(target$id, target$id))
}

# The kernel between the ids of a source: the fit's own, the user's, and of those that no kernel knows each by itself
kernel_between <- function(source, k_diag) {
  random <- source$random
  m <- length(source$id)
  K <- diag(random$mean_diag, m)
  known <- which(!is.na(source$known))
  K[known, known] <- as.matrix(kernel_block(random, source$known[known], source$known[known]))
  given <- which(!is.na(source$given))
  if (length(given) == 0) return(K)
  diag(K)[given] <- given_prior(source, given, k_diag)
  others <- setdiff(seq_len(m)[!is.na(source$given) | !is.na(source$known)], if (m == 1) 1)
  missing <- setdiff(source$id[others], colnames(source$K))
  if (length(missing) > 0) abort_fastlmm(
    "k_diag", paste0("draws of several ids need the kernel between them: give a K whose columns contain ", first_names(missing), " as well"), levels = missing
  )
  between <- source$K[source$given[given], source$id[others], drop = FALSE]
  K[given, others] <- between
  K[others, given] <- t(between)
  K
}

# ---- fits by penalised least squares ----------------------------------------------------------------------

sparse_covariance <- function(fit, targets, sources, k_diag) {
  rows <- seq_len(nrow(targets$X))
  inner <- lapply(sources, inner_inverse)
  known <- lapply(structure(names(fit$random), names = names(fit$random)), function(label) {
    if (label %in% names(sources)) known_levels(targets$random[[label]], sources[[label]], inner[[label]], rows, k_diag) else no_levels(length(rows))
  })
  z <- vapply(known, `[[`, numeric(length(rows)), "z")
  dim(z) <- c(length(rows), length(known))
  found <- terms_variance(fit, lapply(known, `[[`, "levels"), z, targets$X, list(rows))
  unknown <- lapply(
    structure(names(sources), names = names(sources)), function(label) unknown_kernel(targets$random[[label]], sources[[label]], known[[label]], k_diag)
  )
  found$sets[[1]] + unknown_covariance(fit, targets, unknown)
}

# What the levels of the fit leave of the kernel between targets, over the multipliers
unknown_kernel <- function(target, source, known, k_diag) {
  K <- kernel_between(source, k_diag)
  at <- match(target$id, source$id)
  K <- K[at, at, drop = FALSE]
  if (is.matrix(known$levels)) {
    cross <- as.matrix(cross_kernel(source$random, source, at))
    return(K - known$levels %*% t(cross))
  }
  new <- is.na(known$levels)
  K[!new, ] <- 0
  K[, !new] <- 0
  K
}

# Terms of a block have the same ids, and so the same kernel.
unknown_covariance <- function(fit, targets, unknown) {
  Sigma <- effect_covariance(fit)
  total <- 0
  for (k in names(unknown)) for (l in names(unknown)) {
    if (Sigma[k, l] != 0) total <- total + Sigma[k, l] * outer(targets$random[[k]]$z, targets$random[[l]]$z) * unknown[[k]]
  }
  total
}

# ---- processes -------------------------------------------------------------------------------------------

gp_covariance <- function(fit, targets) {
  m <- nrow(targets$X)
  check_matrix_memory(5 * m, m, sprintf("covariances between %d predictions", m))
  if (m == 0) return(matrix(0, 0, 0))
  if (targets$population || all(fit$sigma2 == 0)) return(targets$X %*% fit$vcov %*% t(targets$X))
  if (fit$random[[1]]$kernel$route == "fourier") return(fourier_covariance(fit, targets))
  own <- all_row_covariance(fit)
  prior <- if (targets$process) fit$sigma2[[1]] * gp_between(fit, targets$coordinates) else matrix(0, m, m)
  cross <- if (targets$process) fit$sigma2[[1]] * t(gp_cross(fit, targets$coordinates)) else matrix(0, fit$nobs, m)
  for (label in names(targets$others)) {
    prior <- prior + fit$sigma2[[label]] * joint_prior(targets$others[[label]], targets$sources[[label]], NULL)
    cross <- cross + effect_cross(targets$others[[label]], targets$sources[[label]], fit$sigma2[[label]], seq_len(m))
  }
  kriging_covariance(fit, targets$X, prior, cross, own, fit$sigma2_e / prior_weights(fit), own_columns(fit))
}

gp_between <- function(fit, coordinates) {
  call_rust(ffi_gp_correlations, unname(coordinates), unname(coordinates), fit$gp$cov, fit$random[[1]]$kernel$lengthscale)
}

# The functions of the basis are columns of a factor, and those of groups too.
fourier_factor <- function(fit, coordinates = model_coordinates(fit), group = if (length(fit$random) > 1) fit$random[[2]]$group, with_process = TRUE) {
  process <- fit$random[[1]]$kernel
  weight <- sqrt(fit$sigma2[[1]]) * process_weights(process)
  groups <- if (length(fit$random) > 1) length(fit$random[[2]]$index) else 0
  rows <- nrow(coordinates)
  check_matrix_memory(4 * rows, length(weight) + groups, sprintf("%d rows by %d functions of the basis", rows, length(weight)))
  values <- if (with_process) process_values(process, coordinates, diag(weight), fit$control) else matrix(0, rows, length(weight))
  if (groups == 0) return(values)
  indicator <- matrix(0, rows, groups)
  known <- which(!is.na(group))
  indicator[cbind(known, group[known])] <- sqrt(fit$sigma2[[2]])
  cbind(values, indicator)
}

fourier_covariance <- function(fit, targets) {
  check_has_rows(fit, "draws of predictions")
  m <- nrow(targets$X)
  coordinates <- if (targets$process) targets$coordinates else matrix(0, m, 0)
  grouped <- !is.null(targets$group)
  w <- fourier_factor(fit, coordinates, if (grouped) targets$group else rep(NA_integer_, m), targets$process)
  own <- fourier_factor(fit)
  noise <- (if (is.finite(fit$gp$raw_delta)) fit$sigma2[[1]] * fit$gp$raw_delta else fit$sigma2_e) / prior_weights(fit)
  S <- chol2inv(chol(crossprod(own / sqrt(noise)) + diag(ncol(own))))
  D <- targets$X - w %*% S %*% crossprod(own, own_columns(fit) / noise)
  new <- if (grouped) diag(ifelse(is.na(targets$group), fit$sigma2[[2]], 0), m) else 0
  new + w %*% S %*% t(w) + D %*% fit$vcov %*% t(D)
}
