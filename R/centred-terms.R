# Correlated terms far from zero, (1 + year | id): beside an intercept each variable is worth a constant of its own, and from its mean the search sees what near 2000 is lost in the rounding. The model is the same one.

# A fit from the means, where as given it does not converge; NULL if no term has a mean to be taken off
estimate_centred <- function(model, fit_terms) {
  A <- mean_shift(model)
  if (!is.null(A)) in_given_terms(fit_terms(turned_model(model, A)), A)
}

mean_shift <- function(model) {
  shift <- Filter(Negate(is.null), lapply(blocks_of(model$random), term_means, model))
  if (length(shift) > 0) whole_shift(shift, names(model$random))
}

# Its effects c make those of the model, b = A c.
turned_model <- function(model, A) {
  z <- lapply(model$random, `[[`, "z")
  for (k in which(colSums(A != 0) > 1)) model$random[[k]]$z <- Reduce(`+`, Map(`*`, z, A[, k])[A[, k] != 0])
  model
}

turned_variances <- function(fit, A) replace(fit_variances(fit), "relative", list(triangular_root(solve(A, unname(relative_root(fit))))))

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

# The answer in terms of the variables as given. Standard errors of an intercept's variance and correlations would need the covariances between all parameters, and are not known.
in_given_terms <- function(answer, A) {
  answer$relative <- triangular_root(A %*% answer$relative)
  moved <- moved_effects(A)
  fit <- answer$fit
  fit$alpha <- lapply(seq_len(nrow(A)), function(k) Reduce(`+`, Map(`*`, fit$alpha, A[k, ])[A[k, ] != 0]))
  fit$sigma2 <- fit$sigma2_e * unname(rowSums(answer$relative^2))
  fit$se[c("sigma2", "delta", "h2")] <- lapply(fit$se[c("sigma2", "delta", "h2")], replace, moved, NA_real_)
  answer$correlation[moved, ] <- answer$correlation[, moved] <- NA_real_
  fit$local$sigma2[, which(moved)] <- fit$grid$sigma2[, which(moved)] <- NA_real_
  # conditional variances are found when they are asked for
  fit$rotated$conditional <- NULL
  answer$fit <- fit
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
