# Small random models with two effects, and their best likelihood by brute force.

small_mix <- function(seed) {
  set.seed(seed)
  m <- sample(8:16, 1)
  n <- m + sample(5:20, 1)
  ids <- paste0("i", seq_len(m))
  K <- crossprod(matrix(rnorm(2 * m * m), 2 * m)) / (2 * m)
  dimnames(K) <- list(ids, ids)
  d <- data.frame(id = c(ids, sample(ids, n - m, TRUE)), b = sample(letters[1:5], n, TRUE), x = rnorm(n), w = runif(n, 0.2, 3))
  h <- runif(2) * rbinom(2, 1, 0.7)
  d$y <- rnorm(n) / sqrt(d$w) * runif(1, 0, 1.2) + h[1] * drop(t(chol(K)) %*% rnorm(m))[match(d$id, ids)] + h[2] * rnorm(5)[match(d$b, letters)]
  list(data = d, K = K, method = sample(c("ML", "REML"), 1))
}

small_mix_fit <- function(s) {
  suppressMessages(fastlmm_fit(y ~ x + (1 | id) + (1 | b), s$data, K = list(id = s$K), weights = w, method = s$method))
}

# -2 log L at shares of the variances, the scale at its best
dense_deviance <- function(s) {
  d <- s$data
  X <- cbind(1, d$x)
  Z <- outer(d$id, rownames(s$K), "==") + 0
  B <- outer(d$b, unique(d$b), "==") + 0
  parts <- list(Z %*% s$K %*% t(Z), tcrossprod(B), diag(1 / d$w))
  df <- nrow(d) - if (s$method == "REML") 2 else 0
  function(shares) {
    R <- tryCatch(chol(Reduce(`+`, Map(`*`, parts, shares))), error = function(e) NULL)
    if (is.null(R)) return(1e10)
    Q <- qr(backsolve(R, X, transpose = TRUE))
    square <- sum(qr.resid(Q, backsolve(R, d$y, transpose = TRUE))^2)
    reml <- if (s$method == "REML") 2 * sum(log(abs(diag(qr.R(Q))))) else 0
    df * log(2 * pi * square / df) + df + 2 * sum(log(diag(R))) + reml
  }
}

# Is V singular without a residual variance? Then the density of y may have no bound there, and ML is its best optimum inside.
is_singular_inside <- function(s) {
  d <- s$data
  Z <- outer(d$id, rownames(s$K), "==") + 0
  B <- outer(d$b, unique(d$b), "==") + 0
  s$method == "ML" && qr(Z %*% s$K %*% t(Z) + tcrossprod(B))$rank < nrow(d)
}

# The best of a fine grid and of the simplex method from its six lowest points; of ML without a bound the best that is inside
dense_optimum <- function(s, step = 0.05) {
  deviance <- dense_deviance(s)
  grid <- expand.grid(a = seq(0, 1, step), b = seq(0, 1, step))
  grid <- as.matrix(grid[grid$a + grid$b <= 1 + 1e-9, ])
  shares <- cbind(grid, pmax(1 - rowSums(grid), 0))
  value <- apply(shares, 1, deviance)
  polish <- function(i) {
    f <- function(root) deviance(root^2 / sum(root^2))
    found <- stats::optim(sqrt(pmax(shares[i, ], 0.01)), f, control = list(reltol = 1e-12, maxit = 400))
    if (inside && found$par[3]^2 < 1e-5 * sum(found$par^2)) Inf else found$value
  }
  inside <- is_singular_inside(s)
  min(if (!inside) value, vapply(order(value)[1:6], polish, 0))
}

expect_mix_optimum <- function(seed) {
  s <- small_mix(seed)
  fit <- small_mix_fit(s)
  testthat::expect_lte(-2 * logLik(fit)[1], dense_optimum(s) + 1e-5, label = paste("deviance of seed", seed))
  curve <- suppressWarnings(profile(fit, ".sig01", points = 9))
  testthat::expect_lte(max(curve$logLik), logLik(fit)[1] + 1e-6, label = paste("profile of seed", seed))
}
