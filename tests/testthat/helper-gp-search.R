# Random data for a process and the best likelihood there is for them by the definition, whatever it costs: eigenvalues of the contrasts' covariance on a grid
# of length scales, each with a grid of delta, then Nelder and Mead from the lowest points of it, on Cholesky decompositions.

gp_layouts <- c("uniform", "clustered", "grid", "bursts", "ties")

# Places of d coordinates in the unit cube, about n of them
gp_layout <- function(layout, n, d) {
  uniform <- function(n) matrix(runif(n * d), n)
  at <- switch(layout,
    uniform = uniform(n),
    clustered = uniform(3)[sample(3, n, TRUE), , drop = FALSE] + rnorm(n * d, sd = 0.03),
    grid = as.matrix(expand.grid(rep(list(seq_len(ceiling(n^(1 / d)))), d))) / ceiling(n^(1 / d)),
    bursts = rep(seq_len(ceiling(n / 8)), length.out = n) / ceiling(n / 8) + 0.002 * uniform(n),
    ties = uniform(ceiling(n / 2))[sample(ceiling(n / 2), n, TRUE), , drop = FALSE]
  )
  matrix(at, ncol = d, dimnames = list(NULL, c("u", "v")[seq_len(d)]))
}

# One data set: layout, kernels of the truth and of the fit, length scale, noise, trend and method by chance
gp_case <- function(seed, largest, responses = 1, smallest = 8) {
  set.seed(seed)
  pick <- function(x) x[[sample(length(x), 1)]]
  d <- pick(1:2)
  at <- gp_layout(pick(gp_layouts), round(exp(runif(1, log(smallest), log(largest)))), d)
  n <- nrow(at)
  truth <- list(
    cov = pick(gp_families), lengthscale = pick(c(0.02, 0.1, 0.3, 1)), noise = pick(c(1e-5, 0.03, 0.3, 0.7, 1.5)), process = pick(c(0, 1, 1, 1)),
    trend = pick(c(0, 0, 2))
  )
  data <- data.frame(at, x = rnorm(n))
  data$w <- if (pick(1:4) == 1) exp(runif(n, -1, 1)) else 1
  draw <- function(j) truth$process * draw_gp(at, truth$cov, truth$lengthscale) + truth$trend * at[, 1] + data$x / 2 + truth$noise / sqrt(data$w) * rnorm(n)
  data$y <- if (responses == 1) draw(1) else vapply(seq_len(responses), draw, numeric(n))
  list(
    at = at, data = data, cov = if (pick(1:3) == 1) pick(gp_families) else truth$cov, method = pick(c("REML", "REML", "ML")), truth = truth,
    X = cbind(1, data$x)
  )
}

# From half the distance of nearest neighbours, of the closest twentieth of the rows, to three times the longest side
gp_search_ends <- function(at) {
  distance <- gp_distance(at, at, 1)
  distance[distance == 0] <- Inf
  nearest <- sort(apply(distance, 1, min))
  nearest <- nearest[is.finite(nearest)]
  longest <- 3 * max(apply(at, 2, function(x) diff(range(x))))
  c(min(0.5 * nearest[length(nearest) %/% 20 + 1], 0.5 * longest), longest)
}

# Smallest delta that is told beside a kernel without noise
gp_floor <- function(weights) 16 * .Machine$double.eps * length(weights) * sum(weights)

# -2 log L, but for a constant, along log delta at one length scale
dense_gp_curve <- function(lengthscale, log_delta, y, X, at, cov, method, weights) {
  root <- sqrt(weights)
  K <- root * gp_matrix(at, cov, lengthscale) * rep(root, each = length(root))
  Q <- qr.Q(qr(X * root), complete = TRUE)[, -seq_len(ncol(X)), drop = FALSE]
  part <- eigen(crossprod(Q, K %*% Q), symmetric = TRUE)
  square <- drop(crossprod(part$vectors, crossprod(Q, y * root)))^2
  df <- if (method == "REML") ncol(Q) else length(y)
  values <- if (method == "REML") part$values else eigen(K, symmetric = TRUE, only.values = TRUE)$values
  one <- function(t) df * log(sum(square / (pmax(part$values, 0) + exp(t)))) + sum(log(pmax(values, 0) + exp(t)))
  vapply(log_delta, one, 0)
}

# Points of a matrix that no neighbour undercuts, the lowest first
lowest_points <- function(f, most) {
  m <- dim(f)
  wide <- matrix(Inf, m[1] + 2, m[2] + 2)
  wide[1 + seq_len(m[1]), 1 + seq_len(m[2])] <- f
  low <- f < Inf
  for (i in -1:1) for (j in -1:1) low <- low & f <= wide[1 + i + seq_len(m[1]), 1 + j + seq_len(m[2])]
  found <- which(low, arr.ind = TRUE)
  found[utils::head(order(f[found]), most), , drop = FALSE]
}

# The largest log-likelihood with a length scale within `ends`, with the model without a process
dense_gp_best <- function(y, X, at, cov, method, weights, ends = gp_search_ends(at), lengths = 40) {
  ell <- seq(log(ends[1]), log(ends[2]), length.out = lengths)
  delta <- seq(log(gp_floor(weights)), log(1e5), length.out = 80)
  grid <- t(vapply(exp(ell), dense_gp_curve, numeric(length(delta)), delta, y, X, at, cov, method, weights))
  f <- function(t) {
    if (t[1] < ell[1] || t[1] > ell[lengths] || t[2] < delta[1]) return(1e10)
    tryCatch(-dense_gp_at(exp(t[1]), exp(t[2]), y, X, at, cov, method, weights)$logLik, error = function(e) 1e10)
  }
  starts <- lowest_points(grid, 4)
  polished <- function(i) {
    run <- optim(c(ell[starts[i, 1]], delta[starts[i, 2]]), f, control = list(reltol = 1e-10, maxit = 300))
    c(-run$value, exp(run$par))
  }
  found <- vapply(seq_len(nrow(starts)), polished, numeric(3))
  best <- found[, which.max(found[1, ])]
  c(logLik = max(best[1], as.numeric(logLik(lm(y ~ X - 1, weights = weights), REML = method == "REML"))), lengthscale = best[2], delta = best[3])
}

# The formula of a case
gp_case_formula <- function(case, ...) gp_formula(ncol(case$at), case$cov, ...)

# By how much the fit of a case falls short of the best by the definition, and by how much its log-likelihood differs from that of the definition at its
# estimates
gp_shortfall <- function(seed, largest, smallest = 8, lengths = 40, ...) {
  case <- gp_case(seed, largest, smallest = smallest)
  d <- case$data
  fit <- suppressMessages(fastlmm_fit(gp_case_formula(case, ...), d, weights = w, method = case$method))
  best <- dense_gp_best(d$y, case$X, case$at, case$cov, case$method, d$w, lengths = lengths)
  own <- if (fit$h2 == 0) fit$logLik else tryCatch(
    dense_gp_at(fit$lengthscale[[1]], fit$delta, d$y, case$X, case$at, case$cov, case$method, d$w)$logLik, error = function(e) NA
  )
  list(short = best[["logLik"]] - fit$logLik, differs = fit$logLik - own, best = best, fit = fit, case = case)
}

expect_best <- function(seeds, largest) for (seed in seeds) {
  found <- gp_shortfall(seed, largest)
  expect_lt(found$short, 0.01, label = paste("seed", seed, "log-likelihood missing"))
  expect_lt(abs(found$differs), 0.01, label = paste("seed", seed, "difference from the definition"))
}

# The same for each of two responses, over the range of a single fit
expect_best_of_many <- function(seed, largest) {
  case <- gp_case(seed, largest, responses = 2)
  fit <- suppressWarnings(suppressMessages(fastlmm_fit(gp_case_formula(case), case$data, weights = w, method = case$method)))
  expect_equal(fit$gp$looked_at, gp_search_ends(case$at), tolerance = 1e-8)
  best <- function(j) dense_gp_best(case$data$y[, j], case$X, case$at, case$cov, case$method, case$data$w)[["logLik"]]
  for (j in which(fit$status == "ok")) expect_gt(fit$logLik[[j]], best(j) - 0.02, label = paste("seed", seed, "response", j))
}
