# Gaussian processes by their definition, dense: y ~ N(X beta, V), V = sigma2 (k(distance / lengthscale) + delta W^-1).
# k is one of four correlations; REML and ML with all constants, kriging with beta estimated, the optimum by optim() from several starts.

gp_families <- c("exp_quad", "matern12", "matern32", "matern52")

# Correlation at distance r, in length scales
gp_cor <- function(r, cov) {
  a <- r * sqrt(switch(cov, exp_quad = NA, matern12 = 1, matern32 = 3, matern52 = 5))
  switch(cov,
    exp_quad = exp(-r^2 / 2),
    matern12 = exp(-a),
    matern32 = (1 + a) * exp(-a),
    matern52 = (1 + a + a^2 / 3) * exp(-a)
  )
}

# Squared differences of the rows of two matrices in each column, and distances: kept, as a search asks for those of the same places at each step
gp_apart <- local({
  last <- NULL
  function(a, b) {
    if (!identical(last$a, a) || !identical(last$b, b)) {
      squares <- lapply(seq_len(ncol(a)), function(k) outer(a[, k], b[, k], "-")^2)
      last <<- list(a = a, b = b, squares = squares, distance = sqrt(Reduce(`+`, squares)))
    }
    last
  }
})

# Distances of the rows of two matrices of coordinates, in length scales: one for all, or one a column
gp_distance <- function(a, b, lengthscale) {
  apart <- gp_apart(a, b)
  if (length(unique(lengthscale)) == 1) return(apart$distance / lengthscale[1])
  sqrt(Reduce(`+`, Map(`/`, apart$squares, rep_len(lengthscale, ncol(a))^2)))
}

gp_matrix <- function(a, cov, lengthscale, b = a) gp_cor(gp_distance(a, b, lengthscale), cov)

# The model at a length scale and a delta, beta and sigma2 at their best
dense_gp_at <- function(lengthscale, delta, y, X, at, cov, method = "REML", weights = rep(1, length(y))) {
  H <- gp_matrix(at, cov, lengthscale)
  own <- seq(1, length(H), nrow(H) + 1)
  H[own] <- H[own] + delta / weights
  R <- chol(H)
  A <- backsolve(R, X, transpose = TRUE)
  b <- backsolve(R, y, transpose = TRUE)
  XHX <- crossprod(A)
  beta <- drop(solve(XHX, crossprod(A, b)))
  df <- length(y) - if (method == "REML") ncol(X) else 0
  sigma2 <- sum((b - A %*% beta)^2) / df
  log_det <- 2 * sum(log(diag(R))) + if (method == "REML") as.numeric(determinant(XHX)$modulus) else 0
  list(
    lengthscale = lengthscale, delta = delta, beta = beta, vcov = sigma2 * solve(XHX), sigma2 = sigma2, sigma2_e = delta * sigma2,
    logLik = -(df * log(2 * pi * sigma2) + df + log_det) / 2, root = R, residual = drop(y - X %*% beta), X = X, at = at, cov = cov
  )
}

# The best of several starts: length scales are parts of the longest side. `lengthscale`: held there.
dense_gp_fit <- function(y, X, at, cov, method = "REML", weights = rep(1, length(y)), ard = FALSE, lengthscale = NULL) {
  side <- if (ard) apply(at, 2, function(x) diff(range(x))) else max(apply(at, 2, function(x) diff(range(x))))
  own <- function(t) if (is.null(lengthscale)) exp(t[-1]) * side else lengthscale
  f <- function(t) -dense_gp_at(own(t), exp(t[1]), y, X, at, cov, method, weights)$logLik
  starts <- expand.grid(log_delta = log(c(0.1, 1)), log_length = if (is.null(lengthscale)) log(c(0.05, 0.2, 0.6)) else NA)
  one <- function(i) {
    start <- unlist(starts[i, ])[c(1, if (is.null(lengthscale)) rep(2, length(side)))]
    optim(unname(start), f, method = "BFGS", control = list(reltol = 1e-13, maxit = 200))
  }
  found <- lapply(seq_len(nrow(starts)), function(i) tryCatch(one(i), error = function(e) list(value = Inf)))
  best <- found[[which.min(vapply(found, `[[`, 0, "value"))]]
  dense_gp_at(own(best$par), exp(best$par[1]), y, X, at, cov, method, weights)
}

# Universal kriging: mean surface x'beta + f at new places, and its standard error without the residual
dense_gp_predict <- function(m, X, at) {
  C <- m$sigma2 * gp_matrix(at, m$cov, m$lengthscale, m$at)
  solved <- function(B) backsolve(m$root, backsolve(m$root, B, transpose = TRUE)) / m$sigma2
  D <- X - C %*% solved(m$X)
  variance <- m$sigma2 - rowSums(t(solved(t(C))) * C) + rowSums((D %*% m$vcov) * D)
  list(fit = drop(X %*% m$beta + C %*% solved(m$residual)), se.fit = sqrt(pmax(variance, 0)))
}

# One draw of the process at the rows of `at`: the Cholesky root of its covariance times normal numbers
draw_gp <- function(at, cov, lengthscale, sigma2 = 1) {
  R <- chol(gp_matrix(at, cov, lengthscale) + diag(1e-10, nrow(at)))
  sqrt(sigma2) * drop(crossprod(R, rnorm(nrow(at))))
}

# Places in the unit cube, a covariate x, and y = 1 + x / 2 + process + noise
gp_world <- function(n, d, cov, lengthscale, sigma2 = 1, sigma2_e = 0.25, seed = 1) {
  set.seed(seed)
  at <- matrix(runif(n * d), n, dimnames = list(NULL, c("u", "v", "w")[seq_len(d)]))
  data <- data.frame(at, x = rnorm(n))
  data$y <- 1 + data$x / 2 + draw_gp(at, cov, lengthscale, sigma2) + sqrt(sigma2_e) * rnorm(n)
  data
}

gp_places <- function(data) as.matrix(data[intersect(c("u", "v", "w"), names(data))])

# The definition's model at the estimates of a fit
dense_gp_of <- function(fit, at, weights = rep(1, fit$nobs)) {
  dense_gp_at(unname(fit$lengthscale), fit$delta, unname(fit$y - fit$offset), unname(model.matrix(fit)), at, fit$gp$cov, fit$method, weights)
}

gp_formula <- function(d, cov, ..., response = "y", fixed = "x") {
  settings <- paste0(", ", names(list(...)), " = ", vapply(list(...), deparse1, ""), recycle0 = TRUE)
  places <- toString(c("u", "v", "w")[seq_len(d)])
  as.formula(sprintf("%s ~ %s + gp(%s, cov = \"%s\"%s)", response, fixed, places, cov, paste(settings, collapse = "")), globalenv())
}

# A process beside other effects by its definition: `parts` are their matrices Z K Z'
dense_joint_at <- function(lengthscale, sigma2, sigma2_e, y, X, at, cov, parts, method = "REML", weights = rep(1, length(y))) {
  V <- sigma2[1] * gp_matrix(at, cov, lengthscale) + Reduce(`+`, Map(`*`, sigma2[-1], parts)) + diag(sigma2_e / weights)
  R <- chol(V)
  A <- backsolve(R, X, transpose = TRUE)
  b <- backsolve(R, y, transpose = TRUE)
  XVX <- crossprod(A)
  beta <- drop(solve(XVX, crossprod(A, b)))
  df <- length(y) - if (method == "REML") ncol(X) else 0
  log_det <- 2 * sum(log(diag(R))) + if (method == "REML") as.numeric(determinant(XVX)$modulus) else 0
  list(logLik = -(df * log(2 * pi) + log_det + sum((b - A %*% beta)^2)) / 2, beta = beta, vcov = solve(XVX), V = V, residual = drop(y - X %*% beta))
}

# The best of several starts over logarithms of the length scale, the variances and the residual's
dense_joint_fit <- function(y, X, at, cov, parts, method = "REML", weights = rep(1, length(y)), range = c(1e-3, 3)) {
  side <- max(apply(at, 2, function(x) diff(range(x))))
  k <- length(parts) + 1
  f <- function(t) {
    if (t[1] < log(range[1] * side) || t[1] > log(range[2] * side)) return(1e10)
    tryCatch(-dense_joint_at(exp(t[1]), exp(t[1 + seq_len(k)]), exp(t[k + 2]), y, X, at, cov, parts, method, weights)$logLik, error = function(e) 1e10)
  }
  scale <- log(var(y) / (k + 1))
  one <- function(length, others) optim(c(log(length * side), scale, rep(scale + others, k - 1), scale), f, control = list(reltol = 1e-12, maxit = 2000))
  found <- c(lapply(c(0.02, 0.1, 0.3, 1), one, others = 0), lapply(c(0.05, 0.3), one, others = -6))
  best <- found[[which.min(vapply(found, `[[`, 0, "value"))]]
  list(logLik = -best$value, lengthscale = exp(best$par[1]), sigma2 = exp(best$par[1 + seq_len(k)]), sigma2_e = exp(best$par[k + 2]), f = f, par = best$par)
}

# Small data of some layout, kernel and effects, and the fits of the models without one of them: none is better.
expect_no_submodel_better <- function(seed) {
  set.seed(seed)
  n <- sample(12:60, 1)
  d <- data.frame(u = runif(n), v = runif(n), g = sample(letters[1:sample(2:8, 1)], n, TRUE), h = sample(LETTERS[1:4], n, TRUE))
  d$y <- sample(0:1, 1) * sin(sample(2:9, 1) * d$u) + sample(0:1, 1) * rnorm(26)[match(d$g, letters)] + sample(c(0.01, 0.3, 1), 1) * rnorm(n)
  gp <- sprintf("gp(u%s, cov = \"%s\")", sample(c("", ", v"), 1), sample(gp_families, 1))
  effects <- c(gp, "(1 | g)", if (seed %% 3 == 0) "(1 | h)")
  method <- if (seed %% 2 == 0) "ML" else "REML"
  fit <- function(keep) suppressMessages(fastlmm_fit(stats::reformulate(effects[keep], "y"), d, method = method))$logLik
  whole <- fit(seq_along(effects))
  for (out in seq_along(effects)) expect_gt(whole, fit(-out) - 1e-4, label = paste("seed", seed, "with", effects[out]))
  expect_gt(whole, fit(1) - 1e-4, label = paste("seed", seed, "with the groups"))
}
