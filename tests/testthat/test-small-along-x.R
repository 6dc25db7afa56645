# What a kernel has along X may be small beside its largest eigenvalue, and is a variance of the coefficients all the same.
test_that("one id of a huge variance does not take that of the others from the covariance of the coefficients", {
  n <- 40
  ids <- paste0("i", 1:n)
  x <- as.numeric(1:n == 20)
  for (big in c(1e6, 6e7, 1e8, 1e10)) for (noise in c(0, 0.3)) {
    K <- diag(n)
    K[1:6, 1:6] <- 0.5
    diag(K) <- 1
    K[7, 7] <- big
    dimnames(K) <- list(ids, ids)
    set.seed(4)
    d <- data.frame(id = ids, x = x, y = 3 * drop(crossprod(chol(K), rnorm(n))) + noise * rnorm(n))
    fit <- suppressMessages(fastlmm_fit(y ~ 0 + x + (1 | id), d, K = K))
    V <- unname(fit$sigma2) * K + diag(fit$sigma2_e, n)
    expect_equal(fit$vcov[[1]], 1 / sum(x * solve(V, x, tol = 0)), tolerance = 1e-5)
  }
  # without any kernel along X it is the residual variance, to the last digit
  K[20, 20] <- 0
  fit <- suppressMessages(fastlmm_fit(y ~ 0 + x + (1 | id), d, K = K))
  expect_equal(fit$vcov[[1]], fit$sigma2_e, tolerance = 1e-12)
})

test_that("many responses without fixed effects are fitted as one by one", {
  set.seed(1)
  ids <- paste0("i", 1:12)
  K <- tcrossprod(matrix(rnorm(12 * 40), 12)) / 40
  dimnames(K) <- list(ids, ids)
  d <- data.frame(id = ids)
  d$Y <- matrix(rnorm(36), 12, dimnames = list(NULL, c("a", "b", "c")))
  many <- suppressMessages(fastlmm_fit(Y ~ 0 + (1 | id), d, K = K))
  expect_identical(dim(many$coefficients), c(0L, 3L))
  for (j in 1:3) {
    one <- suppressMessages(fastlmm_fit(y ~ 0 + (1 | id), transform(d["id"], y = d$Y[, j]), K = K))
    expect_equal(many$logLik[[j]], one$logLik, tolerance = 1e-8)
    expect_equal(unname(predict(many)[, j]), unname(predict(one)), tolerance = 1e-6)
  }
  expect_output(print(many))
  expect_output(print(summary(many)))
})
