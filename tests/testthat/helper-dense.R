# The slow, obvious definition of the model: everything fast is compared with this.
#
# y ~ N(X beta, sigma2 (Z K Z' + delta W^-1)), beta and sigma2 at their optima given delta, X of full column rank.
# `G = Z K Z'`. logLik follows lme4: REML does not subtract log|X'X|.

dense_at <- function(delta, y, X, G, method = "REML", weights = rep(1, length(y))) {
  n <- length(y)
  p <- ncol(X)
  H <- if (is.infinite(delta)) diag(1 / weights, n) else G + delta * diag(1 / weights, n)
  Hi <- solve(H)
  XHX <- crossprod(X, Hi %*% X)
  beta <- if (p > 0) solve(XHX, crossprod(X, Hi %*% y)) else numeric(0)
  r <- drop(y - X %*% beta)
  Q <- drop(crossprod(r, Hi %*% r))
  df <- if (method == "REML") n - p else n
  s2 <- Q / df
  logdet <- function(A) if (nrow(A) == 0) 0 else as.numeric(determinant(A)$modulus)
  deviance <- df * log(2 * pi * s2) + df + logdet(H) + if (method == "REML") logdet(XHX) else 0
  list(
    delta = delta, beta = drop(beta), vcov = if (p > 0) s2 * solve(XHX) else matrix(0, 0, 0),
    sigma2 = if (is.infinite(delta)) 0 else s2, sigma2_e = if (is.infinite(delta)) s2 else delta * s2,
    logLik = -deviance / 2, residual = r, Hi = Hi, tau2 = s2
  )
}

dense_loglik <- function(delta, ...) vapply(delta, function(d) dense_at(d, ...)$logLik, 0)

# Best delta by brute force: a fine grid over the range, every local optimum polished, delta = Inf and the left end compared.
dense_fit <- function(y, X, G, method = "REML", weights = rep(1, length(y)), lower = -18, upper = 18, points = 145) {
  scale <- mean(diag(G))
  t <- log(scale) + seq(lower, upper, length.out = points)
  f <- function(t) -dense_at(exp(t), y, X, G, method, weights)$logLik
  value <- vapply(t, f, 0)
  inner <- which(diff(sign(diff(value))) > 0) + 1
  polish <- function(i) stats::optimize(f, t[i + c(-1, 1)], tol = 1e-10)$minimum
  delta <- c(exp(c(vapply(inner, polish, 0), t[1])), Inf)
  found <- dense_loglik(delta, y, X, G, method, weights)
  best <- dense_at(delta[which.max(found)], y, X, G, method, weights)
  best$local <- delta[order(-found)]
  best
}

# u_hat = sigma2 K Z' V^-1 (y - X beta) for all ids of K.
dense_ranef <- function(at, K, Z) {
  if (is.infinite(at$delta)) numeric(nrow(K)) else drop(K %*% crossprod(Z, at$Hi %*% at$residual))
}

incidence <- function(id, ids, z = rep(1, length(id))) {
  Z <- matrix(0, length(id), length(ids), dimnames = list(NULL, ids))
  Z[cbind(seq_along(id), match(id, ids))] <- z
  Z
}

random_kernel <- function(n, rank = n, ids = sprintf("i%d", seq_len(n))) {
  W <- matrix(stats::rnorm(n * rank), n, rank)
  K <- tcrossprod(W) / rank
  dimnames(K) <- list(ids, ids)
  K
}
