# Tests of fixed effects by their definitions: V = sum_k theta_k G_k with explicit n x n matrices. `given`: a part of V that is known.

dense_variance <- function(theta, parts, given = 0) Reduce(`+`, Map(`*`, theta, parts), given)

dense_phi <- function(theta, X, parts, given = 0) solve(crossprod(X, solve(dense_variance(theta, parts, given), X)))

dense_reml_deviance <- function(theta, y, X, parts, given = 0) {
  R <- chol(dense_variance(theta, parts, given))
  Xs <- backsolve(R, X, transpose = TRUE)
  r <- qr.resid(qr(Xs), backsolve(R, y, transpose = TRUE))
  2 * sum(log(diag(R))) + as.numeric(determinant(crossprod(Xs))$modulus) + sum(r^2)
}

# Numerical derivatives in theta, each in a unit of its own
dense_satterthwaite_parts <- function(theta, y, X, parts, given = 0, unit = abs(theta)) {
  k <- seq_along(theta)
  at <- function(step) dense_reml_deviance(theta + unit * step, y, X, parts, given)
  H <- second_differences(at, numeric(length(theta)), 2e-3)
  sharper <- second_differences(at, numeric(length(theta)), 1e-3)
  slope <- function(i) (dense_phi(theta + unit * 1e-4 * (k == i), X, parts, given) - dense_phi(theta - unit * 1e-4 * (k == i), X, parts, given)) / 2e-4
  phi <- dense_phi(theta, X, parts, given)
  list(phi = phi, adjusted = phi, slopes = lapply(k, slope), W = 2 * solve((4 * sharper - H) / 3))
}

dense_kenward_roger_parts <- function(theta, X, parts, given = 0) {
  trace <- function(a) sum(diag(a))
  k <- seq_along(theta)
  inverse <- solve(dense_variance(theta, parts, given))
  phi <- solve(t(X) %*% inverse %*% X)
  P <- lapply(parts, function(a) -t(X) %*% inverse %*% a %*% inverse %*% X)
  Q <- function(i, j) t(X) %*% inverse %*% parts[[i]] %*% inverse %*% parts[[j]] %*% inverse %*% X
  information <- outer(k, k, Vectorize(function(i, j) {
    0.5 * (trace(inverse %*% parts[[i]] %*% inverse %*% parts[[j]]) - 2 * trace(phi %*% Q(i, j)) + trace(phi %*% P[[i]] %*% phi %*% P[[j]]))
  }))
  W <- solve(information)
  bias <- 0
  for (i in k) for (j in k) bias <- bias + W[i, j] * (Q(i, j) - P[[i]] %*% phi %*% P[[j]])
  list(phi = phi, adjusted = phi + 2 * phi %*% bias %*% phi, slopes = lapply(P, function(P) -phi %*% P %*% phi), W = W)
}

# Standard errors and degrees of freedom of each coefficient
dense_table <- function(found) {
  slopes <- vapply(found$slopes, diag, numeric(nrow(found$phi)))
  cbind(se = sqrt(diag(found$adjusted)), df = 2 * diag(found$phi)^2 / rowSums((slopes %*% found$W) * slopes))
}

# F and degrees of freedom of L beta = 0, Satterthwaite's along an orthonormal basis of X
dense_joint_satterthwaite <- function(found, beta, L, X) {
  R <- qr.R(qr(X))
  rows <- t(qr.Q(qr(t(L %*% solve(R))))) %*% R
  e <- eigen(rows %*% found$phi %*% t(rows))
  M <- t(e$vectors) %*% rows
  q <- nrow(M)
  nu <- vapply(seq_len(q), function(m) {
    g <- vapply(found$slopes, function(S) drop(M[m, ] %*% S %*% M[m, ]), 0)
    2 * e$values[m]^2 / drop(g %*% found$W %*% g)
  }, 0)
  E <- sum(nu / (nu - 2))
  c(F = sum(drop(M %*% beta)^2 / e$values) / q, df = 2 * E / (E - q))
}

second_differences <- function(f, at, h = 1e-3) {
  unit <- diag(length(at)) * h
  one <- function(i, j) {
    s <- function(a, b) f(at + a * unit[, i] + b * unit[, j])
    (s(1, 1) - s(1, -1) - s(-1, 1) + s(-1, -1)) / (4 * h^2)
  }
  outer(seq_along(at), seq_along(at), Vectorize(one))
}

# lmer at its optimum to more digits than it asks for itself
sharp_lmer <- function(formula, data, ...) {
  control <- lme4::lmerControl(optCtrl = list(xtol_abs = 1e-15, ftol_abs = 1e-16, xtol_rel = 1e-15, ftol_rel = 1e-16, maxeval = 1e5))
  suppressMessages(lmerTest::lmer(formula, data, control = control, ...))
}

# nlme's data with factors that have no order and no class of groups
plain_factors <- function(data) {
  data <- as.data.frame(data)
  data[] <- lapply(data, function(x) if (is.ordered(x)) factor(x, ordered = FALSE) else x)
  data
}
