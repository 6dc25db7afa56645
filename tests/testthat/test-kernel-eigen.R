related <- function(n = 60, k = 90) {
  set.seed(41)
  ids <- paste0("i", seq_len(n))
  W <- matrix(rnorm(n * k), n, dimnames = list(ids, NULL)) / sqrt(k)
  d <- data.frame(id = sample(ids), x = rnorm(n), z = rnorm(n))
  d$y <- d$x + drop(W %*% rnorm(k))[d$id] + rnorm(n)
  list(d = d, K = tcrossprod(W), W = W)
}

expect_equal_fit <- function(fit, other, tolerance = 1e-8) {
  expect_equal(as.numeric(logLik(fit)), as.numeric(logLik(other)), tolerance = 1e-10)
  for (what in c("coefficients", "vcov", "sigma2", "sigma2_e", "h2", "se")) expect_equal(fit[[what]], other[[what]], tolerance = tolerance)
  expect_equal(fitted(fit), fitted(other), tolerance = tolerance)
  expect_equal(ranef(fit), ranef(other), tolerance = tolerance)
}

test_that("many formulas are fitted on one decomposition as on the matrix", {
  given <- related()
  K <- list(id = kernel_eigen(fastlmm_decompose(given$K)))
  formulas <- list(y ~ 1 + (1 | id), y ~ x + (1 | id), y ~ 0 + x + z + (1 | id), log(y + 9) ~ poly(x, 3) * z + (1 | id), y ~ x + I(2 * x) + (1 | id))
  for (formula in formulas) {
    for (method in c("REML", "ML")) {
      fit <- suppressMessages(fastlmm_fit(formula, given$d, K, method))
      other <- suppressMessages(fastlmm_fit(formula, given$d, given$K, method))
      expect_equal_fit(fit, other)
      expect_equal(confint(fit), confint(other), tolerance = 1e-6)
    }
  }
  expect_no_message(fastlmm_fit(y ~ x + (1 | id), given$d, K))
})

test_that("a decomposition comes from a factor, from eigen() or from parts", {
  given <- related(k = 20)
  fit <- fastlmm_fit(y ~ x + (1 | id), given$d, given$K)
  E <- eigen(given$K, symmetric = TRUE)
  rownames(E$vectors) <- rownames(given$K)
  expect_equal_fit(fastlmm_fit(y ~ x + (1 | id), given$d, kernel_eigen(E)), fit)
  thin <- fastlmm_decompose(kernel_lowrank(given$W))
  expect_identical(dim(thin$vectors), c(60L, 20L))
  expect_equal_fit(fastlmm_fit(y ~ x + (1 | id), given$d, kernel_eigen(thin)), fit)
  parts <- kernel_eigen(list(values = thin$values, vectors = thin$vectors))
  expect_equal_fit(fastlmm_fit(y ~ x + (1 | id), given$d[60:1, ], parts), fastlmm_fit(y ~ x + (1 | id), given$d[60:1, ], given$K))
})

test_that("predictions, simulations and stored fits work as with the factor", {
  given <- related()
  fit <- fastlmm_fit(y ~ x + (1 | id), given$d, kernel_eigen(fastlmm_decompose(given$K)))
  other <- fastlmm_fit(y ~ x + (1 | id), given$d, given$K)
  expect_equal(predict(fit, given$d, se.fit = TRUE), predict(other, given$d, se.fit = TRUE), tolerance = 1e-7)
  expect_equal(refit(fit, fit$y)$h2, fit$h2)
  expect_equal(update(fit, . ~ . + z)$h2, update(other, . ~ . + z)$h2, tolerance = 1e-7)
  draws <- as.matrix(simulate(fit, 4000, seed = 2))
  V <- fit$sigma2 * given$K[given$d$id, given$d$id] + fit$sigma2_e * diag(60)
  expect_lt(max(abs(stats::cov(t(draws)) - V)) / max(V), 0.12)
})

test_that("data that the decomposition does not fit are decomposed anew, and it is said", {
  given <- related()
  K <- kernel_eigen(fastlmm_decompose(given$K))
  again <- transform(given$d[1:30, ], y = y + cos(1:30))
  cases <- list(
    list(data = given$d[-1, ]), list(data = rbind(given$d, again)), list(data = given$d, weights = given$d$x^2 + 1)
  )
  for (case in cases) {
    expect_message(fit <- do.call(fastlmm_fit, c(list(y ~ x + (1 | id), K = K), case)), class = "fastlmm_message_decomposed_anew")
    expect_equal_fit(fit, do.call(fastlmm_fit, c(list(y ~ x + (1 | id), K = given$K), case)))
  }
  expect_message(fit <- fastlmm_fit(y ~ x + (0 + x | id), given$d, K), class = "fastlmm_message_decomposed_anew")
  expect_equal(fit$h2, fastlmm_fit(y ~ x + (0 + x | id), given$d, given$K)$h2, tolerance = 1e-8)
})

test_that("what is no decomposition is refused", {
  given <- related(12)
  E <- unclass(fastlmm_decompose(given$K))
  expect_refused(kernel_eigen(given$K), "eigen")
  expect_refused(kernel_eigen(list(values = E$values)), "eigen")
  expect_refused(kernel_eigen(replace(E, "values", list(E$values[-1]))), "eigen")
  expect_refused(kernel_eigen(replace(E, "values", list(-E$values))), "eigen")
  expect_refused(kernel_eigen(replace(E, "values", list(E$values - 1))), "eigen")
  expect_refused(kernel_eigen(replace(E, "values", list(replace(E$values, 2, NA)))), "eigen")
  expect_refused(kernel_eigen(replace(E, "vectors", list(unname(E$vectors)))), "eigen")
  expect_refused(kernel_eigen(replace(E, "vectors", list(2 * E$vectors))), "eigen")
  skewed <- E$vectors
  skewed[, 3] <- skewed[, 4]
  expect_refused(kernel_eigen(replace(E, "vectors", list(skewed))), "eigen")
  expect_refused(fastlmm_decompose(unname(given$K)), "kernel_names")
  expect_refused(fastlmm_decompose(-given$K), "kernel_not_positive")
  expect_refused(fastlmm_decompose(given$K[, -1]), "kernel_shape")
})
