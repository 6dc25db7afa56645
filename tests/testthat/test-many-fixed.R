# Many fixed effects: their columns are reflected some at a time, and what is known of them comes from products of matrices.

many_columns <- function(n, seed) {
  set.seed(seed)
  d <- data.frame(id = factor(sample(paste0("i", 1:60), n, TRUE), levels = paste0("i", 1:60)), herd = factor(rep_len(1:40, n)))
  d$Z <- matrix(rnorm(n * 12), n) %*% diag(10^seq(-6, 6, length.out = 12))
  d$again <- cbind(d$Z[, 3] - 2 * d$Z[, 7], rnorm(n), as.numeric(d$herd == 5))
  d$w <- runif(n, 0.5, 2)
  d$y <- rnorm(60)[d$id] + rnorm(40)[d$herd] + rnorm(n)
  d
}

relation <- function(rank) {
  ids <- paste0("i", 1:60)
  tcrossprod(matrix(sin(seq_len(60 * rank)^1.3), 60, dimnames = list(ids, NULL))) / rank
}

# By the definition, from V
explicit_fit <- function(fit, X, K, d) {
  V <- unname(fit$sigma2) * K[as.character(d$id), as.character(d$id)] + diag(fit$sigma2_e / d$w)
  root <- chol(V)
  decomposed <- qr(backsolve(root, X, transpose = TRUE), tol = 0)
  y <- backsolve(root, d$y, transpose = TRUE)
  of_x <- 2 * sum(log(abs(diag(qr.R(decomposed)))))
  square <- sum(qr.resid(decomposed, y)^2)
  log_det <- 2 * sum(log(diag(root)))
  p <- ncol(X)
  list(
    beta = qr.coef(decomposed, y), vcov = chol2inv(qr.R(decomposed)),
    ml = -(length(y) * log(2 * pi) + log_det + square) / 2, reml = -((length(y) - p) * log(2 * pi) + log_det + of_x + square) / 2
  )
}

test_that("estimates, covariances and likelihoods are those of the definition, and columns that are dropped those of lm()", {
  d <- many_columns(240, 181)
  formula <- y ~ Z + herd + again
  kept <- !is.na(coef(lm(formula, d, weights = w)))
  expect_equal(sum(!kept), 2)
  for (rank in c(80, 20)) for (method in c("REML", "ML")) {
    K <- relation(rank)
    fit <- suppressMessages(fastlmm_fit(update(formula, . ~ . + (1 | id)), d, K = K, weights = w, method = method))
    expect_identical(!is.na(fixef(fit)), kept)
    exact <- explicit_fit(fit, unname(model.matrix(formula, d))[, kept], K, d)
    scale <- sqrt(diag(exact$vcov))
    expect_lt(max(abs(fixef(fit)[kept] - exact$beta) / scale), 1e-7)
    expect_lt(max(abs(unname(vcov(fit, complete = FALSE)) - exact$vcov) / outer(scale, scale)), 1e-7)
    expect_equal(as.numeric(logLik(fit)), if (method == "ML") exact$ml else exact$reml, tolerance = 1e-9)
  }
})

test_that("as many rows of a factor as the kernel has columns, by any route, give one fit", {
  d <- many_columns(240, 182)
  W <- matrix(sin(seq_len(60 * 9)^1.3), 60, dimnames = list(paste0("i", 1:60), NULL))
  formula <- y ~ Z + herd + (1 | id)
  fits <- lapply(list(tcrossprod(W), kernel_lowrank(W)), function(K) suppressMessages(fastlmm_fit(formula, d, K = K)))
  expect_equal(logLik(fits[[1]]), logLik(fits[[2]]), tolerance = 1e-9)
  scale <- sqrt(diag(vcov(fits[[1]])))
  expect_lt(max(abs(fixef(fits[[1]]) - fixef(fits[[2]])) / scale), 1e-6)
  expect_lt(max(abs(ranef(fits[[1]])$id - ranef(fits[[2]])$id)), 1e-6)
})

test_that("crossed effects beside many columns are those of lme4", {
  skip_if_not_installed("lme4")
  d <- many_columns(600, 183)
  d$b <- factor(sample(15, 600, TRUE))
  d$y <- d$y + rnorm(15)[d$b]
  d$x <- d$Z[, 6]
  for (formula in c(y ~ Z + herd + (1 | id) + (1 | b), y ~ Z + herd + (x | id))) for (REML in c(TRUE, FALSE)) {
    ours <- suppressMessages(fastlmm_fit(formula, d, method = if (REML) "REML" else "ML"))
    theirs <- suppressMessages(suppressWarnings(lme4::lmer(formula, d, REML = REML)))
    expect_gt(as.numeric(logLik(ours)), as.numeric(logLik(theirs)) - 1e-6)
    expect_lt(as.numeric(logLik(ours)), as.numeric(logLik(theirs)) + 1e-2)
    scale <- sqrt(Matrix::diag(vcov(theirs)))
    expect_lt(max(abs(fixef(ours) - lme4::fixef(theirs)) / scale), 1e-2)
    expect_lt(max(abs(as.matrix(vcov(ours)) - as.matrix(vcov(theirs))) / outer(scale, scale)), 1e-2)
  }
})

test_that("X may hold all directions within ids: nothing of them is left, and the fit is an ordinary one", {
  skip_if_not_installed("lme4")
  for (seed in c(2, 3, 6)) {
    set.seed(seed)
    d <- list(g = paste0("i", c(1:100, sample(100, 100))))
    d$X <- cbind(1, matrix(rnorm(200 * c(149, 196)[1 + seed %% 2]), 200))
    d$y <- rnorm(200)
    fit <- suppressMessages(fastlmm_fit(y ~ 0 + X + (1 | g), d))
    expect_identical(fit$status, "ok")
    theirs <- suppressMessages(lme4::lmer(y ~ 0 + X + (1 | g), d))
    expect_gt(as.numeric(logLik(fit)), as.numeric(logLik(theirs)) - 1e-6)
  }
  # few rows: the rounding of a decomposition is not that of its size
  set.seed(163)
  ids <- paste0("i", 1:10)
  d <- list(g = ids[c(1:10, 1:2)], X = cbind(1, matrix(rnorm(12 * 4), 12)), y = rnorm(12))
  expect_identical(suppressMessages(fastlmm_fit(y ~ 0 + X + (1 | g), d))$status, "ok")
  A <- matrix(rnorm(50), 10)
  K <- structure(tcrossprod(A), dimnames = list(ids, ids))
  expect_identical(suppressMessages(fastlmm_fit(y ~ 0 + X + (1 | g), d, K = K))$status, "ok")
})
