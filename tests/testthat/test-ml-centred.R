# Maximum likelihood where the kernel is zero along a direction of X: the density of y at its best optimum inside, as GEMMA, FaST-LMM, pylmm and rrBLUP take it.

centred_world <- function(n = 40, seed = 1, share = 1) {
  set.seed(seed)
  ids <- paste0("i", seq_len(n))
  W <- scale(matrix(rbinom(n * 3 * n, 2, 0.4), n), scale = FALSE)
  rownames(W) <- ids
  data <- data.frame(id = ids, x = rnorm(n), w = runif(n, 0.5, 2))
  data$y <- 2 + data$x + drop(W %*% rnorm(3 * n)) * sqrt(share / (3 * n)) + rnorm(n)
  list(data = data, W = W / sqrt(3 * n), K = tcrossprod(W) / (3 * n), X = cbind(1, data$x))
}

# The log density of y at its best optimum over delta, ends left out unless the likelihood falls from delta = Inf on; NULL if there is none.
best_inside <- function(y, X, K) {
  t <- log(mean(diag(K))) + seq(-24, 20, by = 0.2)
  value <- dense_loglik(exp(t), y, X, K, "ML")
  inner <- which(diff(sign(diff(value))) < 0) + 1
  f <- function(t) dense_loglik(exp(t), y, X, K, "ML")
  delta <- exp(vapply(inner, function(i) stats::optimize(f, t[i + c(-1, 1)], maximum = TRUE, tol = 1e-10)$maximum, 0))
  far <- dense_loglik(c(1e6, Inf) * mean(diag(K)), y, X, K, "ML")
  if (far[2] > far[1]) delta <- c(delta, Inf)
  if (length(delta) == 0) return(NULL)
  dense_at(delta[which.max(dense_loglik(delta, y, X, K, "ML"))], y, X, K, "ML")
}

silent_fit <- function(...) {
  expect_message(fit <- suppress_boundary(fastlmm_fit(...)), NA)
  fit
}

suppress_boundary <- function(expr) withCallingHandlers(expr, fastlmm_message_boundary = function(m) invokeRestart("muffleMessage"))

expect_dense <- function(fit, best, info = NULL) {
  expect_equal(fit$logLik, best$logLik, tolerance = 1e-8, info = info)
  expect_equal(fit$delta, best$delta, tolerance = 1e-4, info = info)
  expect_equal(unname(fit$coefficients), unname(best$beta), tolerance = 1e-5, info = info)
  expect_equal(unname(fit$vcov), unname(best$vcov), tolerance = 1e-4, info = info)
}

test_that("ML with a centred kernel is the density of y at its best optimum inside, without a word", {
  inside <- 0
  for (seed in 1:8) {
    world <- centred_world(seed = seed, n = if (seed %% 2 == 1) 60 else 80)
    best <- best_inside(world$data$y, world$X, world$K)
    if (is.null(best)) next
    inside <- inside + is.finite(best$delta)
    forms <- list(world$K, kernel_lowrank(world$W), kernel_eigen(fastlmm_decompose(world$K)))
    for (K in forms) {
      fit <- silent_fit(y ~ x + (1 | id), world$data, K, method = "ML")
      expect_identical(c(fit$status, fit$optimum$dropped), c("ok", "0"))
      expect_dense(fit, best, paste("seed", seed, class(K)[1]))
    }
    silent_fit(y ~ x + (1 | id), world$data, world$K)
  }
  expect_gt(inside, 4)
})

test_that("weights, slopes and several centred directions of X", {
  world <- centred_world(seed = 3)
  data <- world$data
  R <- sqrt(data$w)
  # centred in the weighted sense, so that W^1/2 K W^1/2 misses the weighted intercept
  P <- diag(40) - outer(rep(1, 40), data$w) / sum(data$w)
  K <- P %*% world$K %*% t(P)
  B <- qr.resid(qr(world$X), diag(40))
  both <- B %*% world$K %*% B
  dimnames(K) <- dimnames(both) <- dimnames(world$K)
  fit <- silent_fit(y ~ x + (1 | id), data, both, method = "ML")
  expect_dense(fit, best_inside(data$y, world$X, both))
  fit <- silent_fit(y ~ x + (1 | id), data, K, method = "ML", weights = w)
  best <- best_inside(data$y * R, world$X * R, K * outer(R, R))
  expect_equal(fit$logLik, best$logLik + sum(log(R)), tolerance = 1e-8)
  expect_equal(fit$delta, best$delta, tolerance = 1e-4)
})

test_that("several responses: each is its single fit", {
  world <- centred_world(seed = 2)
  data <- world$data
  set.seed(5)
  data$Y <- cbind(a = data$y, b = rnorm(40), c = drop(10 * world$W %*% rnorm(120)) + rnorm(40, 0, 0.01), d = 5 * data$y + rnorm(40))
  many <- suppressMessages(fastlmm_fit(Y ~ x + (1 | id), data, world$K, method = "ML"))
  for (name in colnames(data$Y)) {
    data$one <- data$Y[, name]
    one <- suppressMessages(fastlmm_fit(one ~ x + (1 | id), data, world$K, method = "ML"))
    expect_equal(many$logLik[[name]], one$logLik, tolerance = 1e-9)
    expect_equal(many$h2[[name]], one$h2, tolerance = 1e-6)
    expect_identical(many$dropped[[name]], one$optimum$dropped)
  }
  expect_identical(many$dropped[["c"]], 1L)
  expect_identical(many$dropped[["a"]], 0L)
})

test_that("where there is no optimum inside the direction is left out, and the fit says so", {
  world <- centred_world(seed = 2)
  set.seed(5)
  world$data$y <- drop(10 * world$W %*% rnorm(120)) + rnorm(40, 0, 0.01)
  expect_null(best_inside(world$data$y, world$X, world$K))
  expect_message(fit <- suppress_boundary(fastlmm_fit(y ~ x + (1 | id), world$data, world$K, method = "ML")), class = "fastlmm_message_ml_null")
  expect_identical(fit$optimum$dropped, 1L)
  U <- qr.Q(qr(cbind(1, diag(40)[, -1])))[, -1]
  best <- dense_fit(drop(t(U) %*% world$data$y), t(U) %*% world$X[, 2, drop = FALSE], t(U) %*% world$K %*% U, "ML")
  expect_equal(fit$logLik, best$logLik, tolerance = 1e-7)
  expect_equal(unname(fit$coefficients[2]), unname(best$beta), tolerance = 1e-5)
  silent_fit(y ~ x + (1 | id), world$data, world$K)
})

test_that("profiles and intervals by ML stay in the valley of the optimum", {
  world <- centred_world(seed = 1, n = 60, share = 2)
  data <- world$data
  fit <- silent_fit(y ~ x + (1 | id), data, world$K, method = "ML")
  at <- function(t) dense_loglik(exp(t), data$y, world$X, world$K, "ML") - fit$logLik + qchisq(0.8, 1) / 2
  best <- log(fit$delta)
  ends <- c(uniroot(at, c(best - 3, best), tol = 1e-10)$root, uniroot(at, c(best, best + 5), tol = 1e-10)$root)
  expect_equal(unname(drop(confint(fit, "delta", level = 0.8, method = "profile"))), exp(ends), tolerance = 1e-6)
  expect_true(all(fit$profile$logLik <= fit$logLik + 1e-8))
  # a fixed effect is profiled in ML, whatever the fit
  held <- function(b) -2 * best_inside(data$y - b * data$x, world$X[, 1, drop = FALSE], world$K)$logLik
  for (method in c("ML", "REML")) {
    one <- suppressMessages(fastlmm_fit(y ~ x + (1 | id), data, world$K, method = method))
    interval <- drop(confint(one, "x", level = 0.9, method = "profile"))
    expect_equal(vapply(interval, held, 0) + 2 * fit$logLik, rep(qchisq(0.9, 1), 2), tolerance = 1e-4, ignore_attr = TRUE)
  }
})

test_that("densities that leave different directions out are not compared", {
  world <- centred_world(seed = 3, n = 60)
  expect_null(best_inside(world$data$y, world$X, world$K))
  fits <- lapply(list(y ~ x + (1 | id), y ~ 1 + (1 | id)), function(f) suppressMessages(fastlmm_fit(f, world$data, world$K, method = "ML")))
  expect_identical(vapply(fits, function(fit) fit$optimum$dropped, 0L), c(1L, 0L))
  expect_error(anova(fits[[1]], fits[[2]]), class = "fastlmm_error_anova")
})

test_that("likelihood ratios compare densities of y at their own optima", {
  world <- centred_world(seed = 3, n = 80)
  big <- fastlmm_fit(y ~ x + (1 | id), world$data, world$K)
  small <- fastlmm_fit(y ~ 1 + (1 | id), world$data, world$K)
  table <- suppressMessages(anova(big, small))
  ratio <- 2 * (best_inside(world$data$y, world$X, world$K)$logLik - best_inside(world$data$y, world$X[, 1, drop = FALSE], world$K)$logLik)
  expect_equal(table$Chisq[2], ratio, tolerance = 1e-6)
  W <- world$W
  colnames(W) <- paste0("c", seq_len(ncol(W)))
  factor <- fastlmm_fit(y ~ x + (1 | id), world$data, kernel_lowrank(W), method = "ML")
  without <- suppressMessages(fastlmm_exclude(factor, 1:3))
  expect_equal(without$logLik, best_inside(world$data$y, world$X, tcrossprod(W[, -(1:3)]))$logLik, tolerance = 1e-7)
})

test_that("several centred kernels: an optimum inside is the density's, and without one the direction is left out as with one kernel", {
  world <- function(seed, n = 60) {
    set.seed(seed)
    ids <- paste0("i", seq_len(n))
    centred <- function() {
      W <- scale(matrix(rbinom(n * 3 * n, 2, 0.4), n), scale = FALSE)
      K <- tcrossprod(W) / (3 * n)
      dimnames(K) <- list(ids, ids)
      K
    }
    draw <- function(K) drop(crossprod(chol(K + diag(1e-8, n)), rnorm(n)))
    A <- centred()
    B <- centred()
    list(data = data.frame(id = ids, y = draw(A) + 0.7 * draw(B) + 0.5 * rnorm(n)), A = A, B = B)
  }
  fitted <- function(w, method) suppressMessages(fastlmm_fit(y ~ 1 + (1 | id), w$data, list(id = kernel_mix(a = w$A, b = w$B)), method = method))
  inside <- world(3)
  fit <- fitted(inside, "ML")
  density <- function(theta) {
    V <- theta[1] * inside$A + theta[2] * inside$B + theta[3] * diag(60)
    at <- dense_at(1e-300, inside$data$y, matrix(1, 60), V, "ML")
    at$logLik
  }
  at <- c(fit$sigma2, fit$sigma2_e)
  expect_equal(density(at), fit$logLik, tolerance = 1e-8)
  for (k in 1:3) for (factor in c(0.9, 1.1)) expect_lt(density(replace(at, k, at[k] * factor)), fit$logLik)
  outside <- world(1)
  expect_message(
    suppress_boundary(fastlmm_fit(y ~ 1 + (1 | id), outside$data, list(id = kernel_mix(a = outside$A, b = outside$B)), method = "ML")),
    class = "fastlmm_message_ml_null"
  )
  fit <- fitted(outside, "ML")
  expect_identical(c(fit$optimum$dropped, fitted(inside, "ML")$optimum$dropped), c(1L, 0L))
  U <- qr.Q(qr(cbind(1, diag(60)[, -1])))[, -1]
  left <- function(theta) {
    root <- chol(t(U) %*% (theta[1] * outside$A + theta[2] * outside$B) %*% U + theta[3] * diag(59))
    -(59 * log(2 * pi) + 2 * sum(log(diag(root))) + sum(backsolve(root, drop(t(U) %*% outside$data$y), transpose = TRUE)^2)) / 2
  }
  at <- c(fit$sigma2, fit$sigma2_e)
  expect_equal(left(at), fit$logLik, tolerance = 1e-8)
  for (k in which(at > 0)) for (factor in c(0.9, 1.1)) expect_lt(left(replace(at, k, at[k] * factor)), fit$logLik)
  # the fit without one of the effects leaves the same direction out, and is compared
  one <- suppressMessages(fastlmm_fit(y ~ 1 + (1 | id), outside$data, outside$A, method = "ML"))
  expect_equal(suppressMessages(anova(one, fit))$Chisq[2], 2 * max(fit$logLik - one$logLik, 0), tolerance = 1e-6)
  expect_true(all(is.finite(suppressMessages(confint(fit, ".sigma")))))
  expect_gt(fitted(outside, "REML")$sigma2_e, -1e-8)
})
