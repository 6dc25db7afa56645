# Draws whitened by the definition's V are independent standard normals.
whitened <- function(draws, mean, V) backsolve(chol(V), as.matrix(draws) - mean, transpose = TRUE)

expect_standard_normal <- function(z) {
  n <- length(z)
  expect_lt(abs(sum(z^2) - n), 5 * sqrt(2 * n))
  cross <- tcrossprod(z) / ncol(z)
  expect_lt(max(abs(cross[upper.tri(cross)])), 5.5 / sqrt(ncol(z)))
  expect_lt(max(abs(rowMeans(z))), 5 / sqrt(ncol(z)))
}

test_that("draws have mean X beta + offset and covariance V, weights and repeats included", {
  fit <- kernel_fit()
  draws <- simulate(fit, 2000, seed = 1)
  expect_standard_normal(whitened(draws, predict(fit, re.form = NA), kernel_dense()$V))
})

test_that("draws given the effects have mean fitted and independent residuals", {
  fit <- kernel_fit()
  draws <- simulate(fit, 2000, seed = 2, re.form = NULL)
  expect_standard_normal(whitened(draws, fitted(fit), diag(fit$sigma2_e / kernel_data()$data$w)))
})

test_that("a singular kernel is drawn from exactly", {
  given <- kernel_data()
  W <- svd(given$K)$u[, 1:3] %*% diag(c(3, 2, 1))
  K <- tcrossprod(W)
  dimnames(K) <- dimnames(given$K)
  fit <- fastlmm_fit(y ~ x + (1 | id), given$data, K = K)
  skip_if(fit$sigma2 == 0)
  m <- dense_model(fit, given$data, K)
  expect_standard_normal(whitened(simulate(fit, 2000, seed = 3), predict(fit, re.form = NA), m$V))
  set.seed(4)
  u <- kernel_root(K, diag(40))
  expect_equal(tcrossprod(u), K, tolerance = 1e-10, ignore_attr = TRUE)
})

test_that("the identity kernel gives exchangeable groups", {
  skip_if_not_installed("lme4")
  fit <- lme4_pair("Dyestuff")$ours
  batch <- lme4::Dyestuff$Batch
  V <- fit$sigma2 * outer(batch, batch, "==") + diag(fit$sigma2_e, 30)
  expect_standard_normal(whitened(simulate(fit, 2000, seed = 5), fixef(fit), V))
})

test_that("seeds work as in stats::simulate", {
  fit <- kernel_fit()
  set.seed(11)
  before <- .Random.seed
  one <- simulate(fit, 2, seed = 7)
  expect_identical(.Random.seed, before)
  expect_identical(simulate(fit, 2, seed = 7), one)
  expect_identical(attr(one, "seed"), structure(7, kind = as.list(RNGkind())))
  free <- simulate(fit, 2)
  expect_identical(attr(free, "seed"), before)
  assign(".Random.seed", before, envir = globalenv())
  expect_identical(simulate(fit, 2), free)
})

test_that("draws are a data frame with the data's rows", {
  draws <- simulate(kernel_fit(), 3, seed = 1)
  expect_s3_class(draws, "data.frame")
  expect_named(draws, c("sim_1", "sim_2", "sim_3"))
  expect_identical(rownames(draws), rownames(model.frame(kernel_fit())))
  expect_error(simulate(kernel_fit(), 0), class = "fastlmm_error_nsim")
  expect_snapshot(error = TRUE, simulate(kernel_fit(), 0))
})

test_that("a fit to draws finds the parameters again", {
  set.seed(8)
  given <- kernel_data()
  ids <- rownames(given$K)
  data <- data.frame(id = rep(ids, 10), x = rnorm(400))
  data$y <- data$x + rnorm(400)
  fit <- fastlmm_fit(y ~ x + (1 | id), data, K = given$K)
  fit$sigma2 <- 2
  fit$sigma2_e <- 0.5
  draws <- simulate(fit, 30, seed = 9)
  again <- vapply(draws, function(y) {
    data$y <- y
    refitted <- fastlmm_fit(y ~ x + (1 | id), data, K = given$K)
    c(refitted$sigma2, refitted$sigma2_e)
  }, c(0, 0))
  expect_equal(rowMeans(again), c(2, 0.5), tolerance = 0.1)
})
