# Candidates that explain the response nearly or exactly, and candidates that fill what the kernel does not reach.

exact_world <- function(n = 60, seed = 1, repeats = 1) {
  set.seed(seed)
  ids <- paste0("i", seq_len(n))
  M <- matrix(rbinom(4 * n, 2, 0.5) + 0, n, dimnames = list(ids, paste0("m", 1:4)))
  W <- matrix(rnorm(n * 20), n, dimnames = list(ids, NULL)) / sqrt(20)
  K <- tcrossprod(W) + diag(0.3, n)
  data <- data.frame(id = rep(ids, repeats), x = rnorm(n * repeats), w = runif(n * repeats, 0.5, 2))
  # of the order of the candidate, free of nothing
  data$noise <- drop(W[data$id, ] %*% rnorm(20)) + rnorm(n * repeats)
  list(data = data, M = M, W = W, K = K)
}

hush <- function(expr) suppressMessages(suppressWarnings(expr))

# Generalised least squares by QR of whitened columns at the fit's own variances; the response's mean is taken off first, which is exact.
gls_by_qr <- function(fit, y, X, C, K, weights = rep(1, length(y)), adjust = 0) {
  total <- fit$sigma2 * mean(diag(K)) + fit$sigma2_e
  V <- (fit$sigma2 * K + diag(fit$sigma2_e / weights)) / total
  white <- function(x) backsolve(chol(V), x, transpose = TRUE)
  y <- white(y - mean(y))
  whole <- qr(white(cbind(X, C)))
  reduced <- qr(white(cbind(X, C[, seq_len(adjust), drop = FALSE])))
  resid <- function(q) qr.resid(q, qr.resid(q, y))
  q <- sum(resid(whole)^2)
  df <- ncol(C) - adjust
  df2 <- length(y) - ncol(X) - ncol(C)
  taken <- sum(resid(reduced)^2) - q
  R <- qr.R(whole)
  last <- ncol(R)
  list(
    f = taken / df / (q / df2), df = df, df2 = df2, ratio = length(y) * log1p(taken / q), score = (df + df2) * taken / (taken + q),
    estimate = qr.coef(whole, y)[[last]], se = sqrt(q / df2) / abs(R[last, last]),
    log10p = -pf(taken / df / (q / df2), df, df2, lower.tail = FALSE, log.p = TRUE) / log(10)
  )
}

same_test <- function(scan, gls, label) {
  expect_identical(scan$status, "ok", info = label)
  expect_equal(scan$statistic, gls$f, tolerance = 1e-6, info = label)
  expect_equal(scan$log10p, gls$log10p, tolerance = 1e-6, info = label)
  if (gls$df == 1) {
    expect_equal(scan$std.error, gls$se, tolerance = 1e-6, info = label)
    expect_equal(scan$estimate, gls$estimate, tolerance = 1e-6, info = label)
  }
}

exact_kernels <- list(dense = list("K", 1, FALSE), factor = list("W", 1, FALSE), repeats = list("K", 2, FALSE), repeated_factor = list("W", 2, TRUE))

exact_fit <- function(world, case, formula = y ~ x + (1 | id)) {
  K <- if (case[[1]] == "K") world$K else kernel_lowrank(world$W)
  weights <- if (case[[3]]) world$data$w
  hush(do.call(fastlmm_fit, list(formula, world$data, K = K, weights = weights)))
}

test_that("a candidate that leaves 1e-2 to 1e-12 of the response: six digits, by any kernel, at any shift and scale", {
  for (name in names(exact_kernels)) {
    case <- exact_kernels[[name]]
    world <- exact_world(seed = match(name, names(exact_kernels)), repeats = case[[2]])
    id <- world$data$id
    X <- cbind(1, world$data$x)
    K <- (if (case[[1]] == "K") world$K else tcrossprod(world$W))[id, id]
    weights <- if (case[[3]]) world$data$w else rep(1, length(id))
    # with repeats the rows of an id differ by what is left alone: V is as ill-conditioned as the share is small, and the definition loses those digits
    most <- if (case[[2]] == 1) 12 else 8
    for (digits in seq(2, most, if (is_long()) 2 else most / 2 - 1)) {
      for (move in list(c(0, 1), c(1e6, 1), c(0, 1e8), c(0, 1e-8))) {
        world$data$y <- move[1] + move[2] * (world$M[id, 1] + 10^(-digits / 2) * world$data$noise)
        fit <- exact_fit(world, case)
        if (fit$status != "ok") next
        scan <- fastlmm_scan(fit, world$M)
        gls <- gls_by_qr(fit, world$data$y, X, world$M[id, 1, drop = FALSE], K, weights)
        same_test(scan[1, ], gls, paste(name, digits, toString(move)))
        if (move[1] != 0) next
        expect_equal(fastlmm_scan(fit, world$M, test = "lrt")$statistic[1], gls$ratio, tolerance = 1e-6)
        expect_equal(fastlmm_scan(fit, world$M, test = "score")$statistic[1], gls$score, tolerance = 1e-6)
      }
    }
  }
})

test_that("delta estimated anew: the fit with the candidate in the formula and its part taken off the response", {
  for (name in c("dense", "factor")) {
    case <- exact_kernels[[name]]
    world <- exact_world(seed = 7)
    world$data$g <- world$M[world$data$id, 1]
    for (digits in c(4, 8, 12)) {
      world$data$y <- world$data$g + 10^(-digits / 2) * world$data$noise
      fit <- exact_fit(world, case)
      scan <- fastlmm_scan(fit, world$M, refit = "delta")
      hybrid <- fastlmm_scan(fit, world$M, refit = "hybrid")
      ratio <- fastlmm_scan(fit, world$M, refit = "delta", test = "lrt")
      world$data$y <- world$data$y - world$data$g
      one <- exact_fit(world, case, y ~ x + g + (1 | id))
      expect_equal(scan$std.error[1], sqrt(one$vcov["g", "g"]), tolerance = 1e-6)
      expect_equal(scan$statistic[1], ((1 + fixef(one)[["g"]])^2 / one$vcov["g", "g"]), tolerance = 1e-6)
      expect_equal(scan$logLik[1], one$logLik, tolerance = 1e-8)
      expect_equal(hybrid[1, ], scan[1, ], ignore_attr = TRUE)
      ml <- hush(update(one, method = "ML"))
      expect_equal(ratio$logLik[1], ml$logLik, tolerance = 1e-8)
    }
  }
})

test_that("sets, interactions, many responses and candidates that lie in memory or in a file", {
  world <- exact_world(seed = 3)
  data <- world$data
  id <- data$id
  X <- cbind(1, data$x)
  K <- world$K[id, id]
  part <- 10^(-5) * data$noise
  data$y <- world$M[id, 1] - 2 * world$M[id, 2] + part
  fit <- hush(fastlmm_fit(y ~ x + (1 | id), data, world$K))
  for (refit in c("none", "delta")) {
    sets <- fastlmm_scan(fit, world$M, sets = list(a = 1:2, b = c(4, 3)), refit = refit)
    if (refit == "none") same_test(sets[1, ], gls_by_qr(fit, data$y, X, world$M[id, 1:2], K), "set")
    expect_identical(sets$status, c("ok", "ok"))
    expect_gt(sets$log10p[1], 200)
  }
  data$y <- world$M[id, 3] * data$x + part
  fit <- hush(fastlmm_fit(y ~ 1 + (1 | id), data, world$K))
  product <- fastlmm_scan(fit, world$M, interaction = ~x, data = data)
  C <- cbind(data$x, world$M[id, 3], world$M[id, 3] * data$x)
  same_test(product[3, ], gls_by_qr(fit, data$y, cbind(rep(1, 60)), C, K, adjust = 2), "interaction")
  data$Y <- vapply(seq(2, 12, 2), function(k) 1e3 + world$M[id, 1] + 10^(-k / 2) * data$noise, numeric(60))
  colnames(data$Y) <- paste0("k", 1:6)
  for (kernel in list(world$K, kernel_lowrank(world$W))) {
    many <- hush(fastlmm_fit(Y ~ x + (1 | id), data, kernel))
    found <- fastlmm_scan(many, world$M)
    Kd <- if (is.matrix(kernel)) K else tcrossprod(world$W)[id, id]
    for (k in 1:6) {
      same_test(
        found[found$response == paste0("k", k), ][1, ], gls_by_qr(hush(extract_fit(many, paste0("k", k))), data$Y[, k], X, world$M[id, 1, drop = FALSE], Kd), k
      )
    }
  }
  one <- hush(extract_fit(many, "k6"))
  M <- world$M[one$random[[1]]$ids[one$random[[1]]$index], ]
  expect_equal(fastlmm_scan(one, M)$log10p, fastlmm_scan(one, M[60:1, ])$log10p, tolerance = 1e-6)
})

test_that("a candidate that explains the response exactly is a perfect fit", {
  n <- 200
  id <- paste0("L", 1:n)
  set.seed(4)
  M <- matrix(2 * rbinom(3 * n, 1, .5), n, dimnames = list(id, paste0("m", 1:3)))
  K <- diag(n) * .5 + tcrossprod(matrix(rnorm(60 * n), n)) / 60
  dimnames(K) <- list(id, id)
  D <- data.frame(id, colour = M[, 1] / 2, z = rnorm(n))
  D$far <- 1e6 + D$colour / 3
  D$both <- M[, 1] - M[, 2] / 3
  D$product <- M[, 2] * D$z
  perfect <- function(scan, estimate) {
    expect_identical(scan$status, "perfect_fit")
    expect_identical(c(scan$p.value, scan$log10p, scan$statistic, scan$logLik), c(0, Inf, Inf, Inf))
    if (!is.na(estimate)) expect_identical(scan$std.error, 0)
    if (!is.na(estimate)) expect_equal(scan$estimate, estimate, tolerance = 1e-8)
  }
  many <- fastlmm_scan(hush(fastlmm_fit(cbind(colour, z, far) ~ 1 + (1 | id), D, K)), M)
  perfect(many[1, ], 0.5)
  perfect(many[7, ], 1 / 6)
  expect_identical(many$status[-c(1, 7)], rep("ok", 7))
  for (y in c("colour", "far")) {
    fit <- hush(fastlmm_fit(stats::as.formula(paste(y, "~ 1 + (1 | id)")), D, K))
    for (refit in c("none", "delta", "hybrid")) {
      perfect(fastlmm_scan(fit, M, refit = refit)[1, ], c(colour = 1 / 2, far = 1 / 6)[[y]])
      perfect(fastlmm_scan(fit, M, refit = refit, test = "lrt")[1, ], c(colour = 1 / 2, far = 1 / 6)[[y]])
    }
    score <- fastlmm_scan(fit, M, test = "score")[1, ]
    expect_identical(score$status, "perfect_fit")
    expect_equal(c(score$statistic, score$log10p), c(n - 1, -pchisq(n - 1, 1, lower.tail = FALSE, log.p = TRUE) / log(10)))
  }
  fit <- hush(fastlmm_fit(both ~ 1 + (1 | id), D, K))
  for (refit in c("none", "delta")) perfect(fastlmm_scan(fit, M, sets = list(1:2, 2:3), refit = refit)[1, ], NA)
  fit <- hush(fastlmm_fit(product ~ 1 + (1 | id), D, K))
  for (refit in c("none", "delta")) perfect(fastlmm_scan(fit, M, interaction = ~z, data = D, refit = refit)[2, ], 1)
})

# ---- directions that the kernel does not reach ------------------------------------------------------------------------

# An id measured twice and candidates that tell its rows apart; clones; both
free_worlds <- list(
  twice = function() list(ids = paste0("i", 1:60), rows = c(1:60, 1)),
  clones = function() list(ids = paste0("i", 1:60), rows = 1:60, clones = c(2, 1)),
  pairs = function() list(ids = paste0("i", 1:60), rows = c(1:60, 1, 2))
)

free_world <- function(name, seed) {
  set.seed(seed)
  part <- free_worlds[[name]]()
  W <- matrix(rnorm(60 * 90), 60)
  if (!is.null(part$clones)) W[part$clones[2], ] <- W[part$clones[1], ]
  K <- tcrossprod(W) / 90
  dimnames(K) <- list(part$ids, part$ids)
  data <- data.frame(id = part$ids[part$rows])
  data$y <- drop(W[part$rows, ] %*% rnorm(90)) / sqrt(90) + rnorm(nrow(data))
  list(data = data, K = K)
}

test_that("likelihood ratios where a candidate fills what the kernel does not reach: each is the fit with it in the formula", {
  for (name in names(free_worlds)) {
    world <- free_world(name, 4)
    n <- nrow(world$data)
    G <- matrix(rnorm(n * 6), n)
    rownames(G) <- rownames(world$data)
    fit <- hush(fastlmm_fit(y ~ 1 + (1 | id), world$data, world$K))
    null <- hush(update(fit, method = "ML"))
    sets <- if (name == "pairs") list(1:2, 3:4, 5:6) else as.list(1:6)
    found <- hush(fastlmm_scan(fit, G, sets = sets, test = "lrt", refit = "delta"))
    wald <- hush(fastlmm_scan(fit, G, sets = sets, refit = "delta"))
    for (j in seq_along(sets)) {
      world$data$G <- G[, sets[[j]]]
      ml <- tryCatch(hush(fastlmm_fit(y ~ G + (1 | id), world$data, world$K, method = "ML")), fastlmm_error_ml_unbounded = identity)
      if (inherits(ml, "condition")) {
        expect_identical(found$status[j], "ml_unbounded")
      } else {
        expect_equal(found$logLik[j], ml$logLik, tolerance = 1e-7, info = paste(name, j))
        expect_equal(found$statistic[j], 2 * (ml$logLik - null$logLik), tolerance = 1e-4, info = paste(name, j))
        expect_equal(found$h2[j], ml$h2, tolerance = 1e-4, info = paste(name, j))
      }
      reml <- hush(fastlmm_fit(y ~ G + (1 | id), world$data, world$K))
      expect_equal(wald$logLik[j], reml$logLik, tolerance = 1e-7, info = paste(name, j))
      expect_equal(wald$h2[j], reml$h2, tolerance = 1e-4, info = paste(name, j))
    }
  }
})

test_that("likelihood ratios of null data have uniform p-values", {
  p <- unlist(lapply(1:4, function(seed) {
    world <- free_world(c("twice", "clones", "twice", "clones")[seed], seed)
    n <- nrow(world$data)
    G <- matrix(rnorm(n * 160), n, dimnames = list(rownames(world$data), NULL))
    fit <- hush(fastlmm_fit(y ~ 1 + (1 | id), world$data, world$K))
    hush(fastlmm_scan(fit, G, test = "lrt", refit = "delta"))$p.value
  }))
  tested <- p[!is.na(p)]
  expect_gt(length(tested), 610)
  expect_lt(abs(mean(tested < 0.05) - 0.05), 3 * sqrt(0.05 * 0.95 / length(tested)))
  expect_gt(min(tested), 1e-6)
})

test_that("likelihood ratios with a centred kernel compare densities at their best optima inside", {
  set.seed(3)
  n <- 80
  ids <- paste0("i", seq_len(n))
  W <- scale(matrix(rbinom(n * 240, 2, 0.4), n), scale = FALSE)
  K <- tcrossprod(W) / 240
  dimnames(K) <- list(ids, ids)
  data <- data.frame(id = ids, y = drop(W %*% rnorm(240)) / sqrt(240) + rnorm(n))
  G <- matrix(rnorm(n * 8), n, dimnames = list(ids, NULL))
  fit <- hush(fastlmm_fit(y ~ 1 + (1 | id), data, K))
  null <- hush(fastlmm_fit(y ~ 1 + (1 | id), data, K, method = "ML"))
  expect_identical(null$optimum$dropped, 0L)
  found <- fastlmm_scan(fit, G, test = "lrt", refit = "delta")
  kept <- fastlmm_scan(null, G, test = "lrt")
  for (j in 1:8) {
    data$g <- G[, j]
    one <- hush(fastlmm_fit(y ~ g + (1 | id), data, K, method = "ML"))
    if (one$optimum$dropped == 0) expect_equal(found$statistic[j], 2 * (one$logLik - null$logLik), tolerance = 1e-5)
    at <- dense_loglik(null$delta, data$y, cbind(1, data$g), K, "ML")
    expect_equal(kept$statistic[j], 2 * (at - null$logLik), tolerance = 1e-6)
    expect_equal(kept$logLik[j], at, tolerance = 1e-8)
  }
})

# Restricted likelihood of y with V = K + delta I, by QR of whitened columns, and the F test of the last columns at its best delta
reml_by_qr <- function(y, X, tested, K) {
  scale <- mean(diag(K))
  at <- function(t) {
    root <- chol((K + diag(exp(t) * scale, length(y))) / (1 + exp(t)))
    white <- function(x) backsolve(root, x, transpose = TRUE)
    q <- qr(white(X))
    df2 <- length(y) - ncol(X)
    left <- function(q) sum(qr.resid(q, qr.resid(q, white(y)))^2)
    square <- left(q)
    log_lik <- -(df2 * (log(2 * pi * square / df2) + 1) + 2 * sum(log(diag(root))) + 2 * sum(log(abs(diag(qr.R(q)))))) / 2
    taken <- left(qr(white(X[, seq_len(ncol(X) - tested)]))) - square
    c(log_lik = log_lik, f = taken / tested / (square / df2))
  }
  grid <- seq(-18, 16, 0.5)
  value <- vapply(grid, function(t) at(t)[["log_lik"]], 0)
  best <- which.max(value)
  t <- if (best %in% c(1, length(grid))) grid[best] else optimize(function(t) at(t)[["log_lik"]], grid[best + c(-1, 1)], maximum = TRUE, tol = 1e-9)$maximum
  c(at(t), t = t)
}

twin_world <- function(seed, twins) {
  set.seed(seed)
  ids <- paste0("i", 1:12)
  K <- tcrossprod(matrix(rnorm(12 * 30), 12)) / 30
  dimnames(K) <- list(ids, ids)
  data <- data.frame(id = c(ids, ids[seq_len(twins)]), x = rnorm(12 + twins), z = rnorm(12 + twins))
  data$y <- drop(t(chol(K)) %*% rnorm(12))[match(data$id, ids)] + 0.3 * rnorm(nrow(data))
  list(data = data, K = K, G = matrix(rnorm(3 * nrow(data)), ncol = 3), row = K[data$id, data$id])
}

test_that("X holds what tells the rows of an id apart: delta anew is that of the restricted likelihood, delta = 0 included", {
  zeros <- 0
  for (seed in 1:8) {
    world <- twin_world(seed, 1)
    fit <- hush(fastlmm_fit(y ~ x + (1 | id), world$data, world$K))
    zeros <- zeros + (fit$sigma2_e == 0)
    both <- hush(fastlmm_fit(cbind(a = y, b = 2 * y) ~ x + (1 | id), world$data, world$K))
    expect_equal(both$h2, c(a = fit$h2, b = fit$h2), tolerance = 1e-6)
    scan <- hush(fastlmm_scan(fit, world$G, refit = "delta"))
    expect_identical(scan$status, rep("ok", 3))
    for (j in 1:3) {
      slow <- reml_by_qr(world$data$y, cbind(1, world$data$x, world$G[, j]), 1, world$row)
      expect_equal(scan$statistic[j], slow[["f"]], tolerance = 1e-4)
      expect_equal(scan$logLik[j], slow[["log_lik"]], tolerance = 1e-6)
    }
  }
  expect_gt(zeros, 0) # exactly, not a number of the order of rounding
})

test_that("candidates that tell the rows of an id apart: a finite F test with delta anew, or a status that says why there is none", {
  pinned <- 0
  for (seed in 1:12) {
    world <- twin_world(seed, 1 + seed %% 2)
    data <- world$data
    fit <- hush(fastlmm_fit(y ~ 1 + (1 | id), data, world$K))
    scan <- hush(fastlmm_scan(fit, world$G, sets = list(one = 1, two = 1:2, three = 1:3), refit = "delta"))
    for (k in 1:3) {
      slow <- reml_by_qr(data$y, cbind(1, world$G[, seq_len(k)]), k, world$row)
      if (slow[["t"]] < -12) {
        expect_identical(scan$status[k], "explained_by_kernel")
        pinned <- pinned + 1
      } else {
        expect_equal(scan$statistic[k], slow[["f"]], tolerance = 1e-4)
        expect_lt(scan$log10p[k], 6)
      }
    }
    # what is adjusted for tells them apart: the test has a limit
    product <- hush(fastlmm_scan(fit, world$G, interaction = ~z, refit = "delta", data = data))
    for (j in 1:3) {
      g <- world$G[, j]
      slow <- reml_by_qr(data$y, cbind(1, data$z, g, g * data$z), 1, world$row)
      expect_equal(product$statistic[j], slow[["f"]], tolerance = 1e-4)
    }
  }
  expect_gt(pinned, 0)
})

test_that("likelihood ratios where a singular kernel misses a part of X: the optimum inside, or the status of the fit that has none", {
  none <- 0
  for (seed in c(10, 15, 19, 29)) {
    set.seed(seed)
    ids <- paste0("i", 1:12)
    W <- matrix(rnorm(12 * 8), 12, dimnames = list(ids, NULL))
    data <- data.frame(id = ids, x = rnorm(12), f = factor(rep(c("a", "b", "c"), 4)), y = rnorm(12))
    fit <- hush(fastlmm_fit(y ~ x + f + (1 | id), data, kernel_lowrank(W)))
    G <- matrix(rnorm(36), 12, dimnames = list(ids, NULL))
    scan <- hush(fastlmm_scan(fit, G, test = "lrt", refit = "delta"))
    for (j in 1:3) {
      data$g <- G[, j]
      one <- tryCatch(hush(fastlmm_fit(y ~ x + f + g + (1 | id), data, kernel_lowrank(W), method = "ML")), fastlmm_error_ml_unbounded = identity)
      refused <- inherits(one, "condition")
      none <- none + refused
      if (refused) expect_identical(scan$status[j], "ml_unbounded")
      if (!refused && scan$status[j] == "ok") expect_equal(scan$logLik[j], one$logLik, tolerance = 1e-7)
    }
  }
  expect_gt(none, 0)
})
