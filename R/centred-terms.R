# Correlated terms far from zero, (1 + year | id): beside an intercept each variable is worth a constant of its own, and from its mean the search sees what near
# 2000 is lost in the rounding. The model is the same one.

# A variable is far from zero if its mean is more standard deviations than this: standard errors by differences lose digits there before the search fails to
# converge.
far_from_zero <- 10

# A fit, from the means where these are far from zero, or where as given it does not converge
estimate_near_zero <- function(model, fit_terms) {
  A <- mean_shift(model)
  from_means <- function() in_given_terms(fit_terms(turned_model(model, A), A), A)
  if (is.null(A)) return(fit_terms(model))
  if (is_far_from_zero(model, A)) return(from_means())
  tryCatch(fit_terms(model), fastlmm_error_no_convergence = function(e) from_means())
}

is_far_from_zero <- function(model, A) {
  weights <- model_weights(model)
  sizes <- vapply(model$random[moving_effects(A)], function(one) {
    mean <- stats::weighted.mean(one$z, weights)
    abs(mean) / sqrt(stats::weighted.mean((one$z - mean)^2, weights))
  }, 0)
  any(sizes > far_from_zero)
}

mean_shift <- function(model) {
  shift <- Filter(Negate(is.null), lapply(blocks_of(model$random), term_means, model))
  if (length(shift) > 0) whole_shift(shift, names(model$random))
}

# Its effects c make those of the model, b = A c.
turned_model <- function(model, A) {
  z <- lapply(model$random, `[[`, "z")
  for (k in moving_effects(A)) model$random[[k]]$z <- Reduce(`+`, Map(`*`, z, A[, k])[A[, k] != 0])
  model
}

turned_variances <- function(fit, A) replace(fit_variances(fit), "relative", list(triangular_root(solve(A, unname(relative_root(fit)), tol = 0))))

# What keeps the intercepts: of their variable what the others leave
intercept_rest <- function(model, A) {
  B <- diag(nrow(A))
  for (i in which(moved_effects(A))) {
    others <- setdiff(which(A[i, ] != 0), i)
    Z <- vapply(model$random[others], `[[`, numeric(length(model$random[[i]]$z)), "z")
    B[others, i] <- -stats::lm.wfit(Z, model$random[[i]]$z, model_weights(model))$coefficients
  }
  structure(B, dimnames = dimnames(A))
}

# Effects whose variables have the means that are taken off
moving_effects <- function(A) which(colSums(A != 0) > 1)

# Effects that are others from the means: the intercepts
moved_effects <- function(A) rowSums(A != 0) > 1

# With b the effects of the variables as given and c those from the means, b = A c: the intercept takes the means off.
term_means <- function(labels, model) {
  z <- lapply(model$random[labels], `[[`, "z")
  intercept <- which(vapply(z, function(z) all(z == 1), NA))
  if (length(labels) < 2 || length(intercept) != 1) return(NULL)
  mean <- vapply(z, stats::weighted.mean, 0, model_weights(model))
  A <- diag(length(labels))
  A[intercept, -intercept] <- -mean[-intercept]
  structure(A, dimnames = list(labels, labels))
}

whole_shift <- function(shift, labels) {
  A <- structure(diag(length(labels)), dimnames = list(labels, labels))
  for (one in shift) A[rownames(one), colnames(one)] <- one
  A
}

# The answer in terms of the variables as given, of which it has the variances
in_given_terms <- function(answer, A) {
  answer$relative <- triangular_root(answer$relative)
  alpha <- answer$fit$alpha
  answer$fit$alpha <- lapply(seq_len(nrow(A)), function(k) Reduce(`+`, Map(`*`, alpha, A[k, ])[A[k, ] != 0]))
  # conditional variances are found when they are asked for
  answer$fit$rotated$conditional <- NULL
  answer
}

# Lower triangular T with T T' = R R', and zeros on its diagonal where that is singular
triangular_root <- function(R) {
  root <- t(qr.R(qr(t(R), LAPACK = FALSE, tol = 0)))
  root <- root %*% diag(ifelse(diag(root) < 0, -1, 1), nrow(root))
  flat <- abs(diag(root)) < 1e-10 * sqrt(rowSums(root^2))
  diag(root)[flat] <- 0
  root
}
