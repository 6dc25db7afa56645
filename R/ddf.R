# Degrees of freedom of tests of fixed effects, from the small rotated object: nothing of the size of the data is formed.
#
# In the basis of the rotated object, X's directions E first, V = su2 K + se2 I is an arrow: V^-1 = D + F S^-1 F', with D = diag(0, V22^-1), F = (I; -V22^-1 V21)
# and S = V11 - V12 V22^-1 V21 = (E'V^-1 E)^-1, the covariance of the coefficients along E. Since K = (V - se2 I) / su2, all that the formulas need are
# E'V^-k E for k = 1, 2, 3 and the traces of V^-1 and V^-2.

# Estimate, Std. Error, df, t value, Pr(>|t|): a row for each kept coefficient
test_table <- function(fit, df) {
  check_ddf(fit)
  found <- if (fit$status != "ok" || length(fit$kept) == 0) {
    list(vcov = fit$vcov, df = rep(NA_real_, length(fit$kept)))
  } else if (fit$optimum$boundary != "none") {
    # one variance is left: the test of lm()
    list(vcov = fit$vcov, df = fit$nobs - fit$rank)
  } else {
    switch(df, satterthwaite = satterthwaite(fit), `kenward-roger` = kenward_roger(fit))
  }
  estimate <- fit$coefficients[fit$kept]
  se <- sqrt(pmax(diag(found$vcov), 0))
  t <- estimate / se
  cbind(Estimate = estimate, `Std. Error` = se, df = found$df, `t value` = t, `Pr(>|t|)` = 2 * pt(-abs(t), found$df))
}

check_ddf <- function(fit) {
  reason <- if (is_gp_fit(fit)) {
    "are not known for fits with gp(), whose length scale is estimated too"
  } else if (length(fit$random) > 1) {
    "are offered for one random effect"
  } else if (!is_reml(fit)) {
    "need a REML fit"
  }
  if (!is.null(reason)) abort_fastlmm("ddf", paste0("degrees of freedom ", reason, "; summary(fit) gives t values without them"))
}

arrow <- function(fit) {
  rotated <- fit$rotated
  su2 <- fit$sigma2 * rotated$k_scale / rotated$y_scale^2
  se2 <- fit$sigma2_e / rotated$y_scale^2
  v22 <- su2 * rotated$values + se2
  rank <- length(rotated$y1)
  below <- -su2 * t(rotated$b) / v22
  S <- su2 * rotated$k11 + se2 * diag(rank) + su2 * rotated$b %*% below
  list(
    su2 = su2, se2 = se2, v22 = v22, S = S, FF = diag(rank) + crossprod(below), FDF = crossprod(below, below / v22),
    basis = rotated$basis * rotated$y_scale, n_rest = rotated$n_rest
  )
}

# Fai and Cornelius (1996): the variance of c'vcov c by the delta method, from the observed second derivatives of the REML criterion in (log sigma2, log delta)
satterthwaite <- function(fit) {
  v <- arrow(fit)
  rotated <- fit$rotated
  delta <- v$se2 / v$su2
  over <- c(1 / (rotated$values + delta), rep(1 / delta, rotated$n_rest > 0))
  times <- c(rep(1, length(rotated$values)), rep(rotated$n_rest, rotated$n_rest > 0))
  y2 <- c(rotated$y^2, rep(rotated$rho, rotated$n_rest > 0))
  n <- sum(times)
  # derivatives of Q relative to Q, and of the log-determinant
  q <- sum(y2 * over)
  q1 <- -delta * sum(y2 * over^2) / q
  q2 <- q1 + 2 * delta^2 * sum(y2 * over^3) / q
  l1 <- delta * sum(times * over)
  l2 <- l1 - delta^2 * sum(times * over^2)
  hessian <- matrix(c(n, -n * q1, -n * q1, n * q2 + l2), 2)
  along <- v$basis
  u <- v$se2 * rowSums((along %*% v$FF) * along) / rowSums((along %*% v$S) * along)
  slopes <- rbind(1, u)
  list(vcov = fit$vcov, df = unname(1 / colSums(slopes * solve(hessian, slopes))))
}

# Kenward and Roger (1997), their formulas for a covariance that is linear in the variances; the scaled F statistic of one coefficient is t^2 on 2 / A2 degrees of freedom
kenward_roger <- function(fit) {
  v <- arrow(fit)
  phi <- v$S
  g0 <- solve(v$S)
  g1 <- g0 %*% v$FF %*% g0
  g2 <- g0 %*% v$FDF %*% g0 + g0 %*% v$FF %*% g1
  trace1 <- sum(1 / v$v22) + v$n_rest / v$se2 + sum(g0 * v$FF)
  trace2 <- sum(1 / v$v22^2) + v$n_rest / v$se2^2 + 2 * sum(g0 * v$FDF) + sum(g1 * v$FF)
  # of K and I: what V^-1 V_i V^-1 and V^-1 V_i V^-1 V_j V^-1 are in powers of V^-1
  by_kernel <- function(a, b, c) (a - 2 * v$se2 * b + v$se2^2 * c) / v$su2^2
  mixed <- function(b, c) (b - v$se2 * c) / v$su2
  P <- list(-mixed(g0, g1), -g1)
  Q <- list(list(by_kernel(g0, g1, g2), mixed(g1, g2)), list(mixed(g1, g2), g2))
  n <- length(v$v22) + v$n_rest + nrow(phi)
  traces <- matrix(c(by_kernel(n, trace1, trace2), mixed(trace1, trace2), mixed(trace1, trace2), trace2), 2)
  pairs <- expand.grid(i = 1:2, j = 1:2)
  each <- function(f) mapply(f, pairs$i, pairs$j)
  product <- function(i, j) sum((phi %*% P[[i]]) * t(phi %*% P[[j]]))
  information <- matrix(each(function(i, j) traces[i, j] - 2 * sum(phi * Q[[i]][[j]]) + product(i, j)), 2) / 2
  W <- solve(information)
  bias <- Reduce(`+`, Map(function(i, j) W[i, j] * (Q[[i]][[j]] - P[[i]] %*% phi %*% P[[j]]), pairs$i, pairs$j))
  vcov <- v$basis %*% (phi + 2 * phi %*% bias %*% phi) %*% t(v$basis)
  spread <- v$basis %*% phi
  moved <- vapply(P, function(p) rowSums((spread %*% p) * spread), numeric(nrow(phi)))
  moved <- matrix(moved, ncol = 2) / rowSums(spread * v$basis)
  dimnames(vcov) <- dimnames(fit$vcov)
  list(vcov = vcov, df = 2 / rowSums((moved %*% W) * moved))
}
