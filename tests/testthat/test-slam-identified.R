# A random effect that the data cannot tell from the residual: the fit is a factor analysis, and no answer shows the prior as if it were an estimate.

identified_world <- function(n = 40) {
  set.seed(5)
  data <- data.frame(id = paste0("i", seq_len(n)), x = rnorm(n), herd = rep(letters[1:4], length.out = n))
  data$Y <- outer(rnorm(n), c(1, -0.7, 0.4)) + matrix(rnorm(3 * n), n)
  colnames(data$Y) <- c("a", "b", "c")
  list(data = data, K = function(M) structure(M, dimnames = list(data$id, data$id)))
}

identified_fit <- function(world, formula, K = NULL) {
  quiet_slam(formula, world$data, K, n_factors = 1, chains = 2, iter = 60, warmup = 20, seed = 1, progress = FALSE)
}

test_that("models that fastlmm_fit() refuses or warns of are told by the same class", {
  world <- identified_world()
  n <- nrow(world$data)
  A <- world$K(diag(n) + 0.5 * tcrossprod(world$data$x))
  cases <- list(
    not_identifiable = list(Y ~ x + (1 | id), NULL), not_identifiable = list(Y ~ x + (1 | id), world$K(3 * diag(n))),
    # 2 I and the directions of X
    not_identifiable = list(Y ~ x + (1 | id), A), confounded = list(Y ~ x + (1 | id), world$K(matrix(1, n, n))), confounded = list(Y ~ herd + (1 | herd), NULL)
  )
  for (i in seq_along(cases)) {
    single <- world
    single$data$Y <- world$data$Y[, 1]
    expect_condition(
      fastlmm_fit(cases[[i]][[1]], single$data, cases[[i]][[2]]),
      class = paste0("fastlmm_", if (names(cases)[i] == "confounded") "warning_" else "error_", names(cases)[i])
    )
    expect_warning(identified_fit(world, cases[[i]][[1]], cases[[i]][[2]]), class = paste0("fastlmm_warning_", names(cases)[i]))
  }
})

test_that("those that it fits are fitted in silence, however close they come", {
  world <- identified_world()
  n <- nrow(world$data)
  world$data$Y <- world$data$Y[rep(seq_len(n), 1), ]
  near <- world$K(diag(n) + 1e-4 * tcrossprod(rnorm(n)))
  expect_no_warning(identified_fit(world, Y ~ x + (1 | id), near))
  expect_no_warning(identified_fit(world, Y ~ x + (1 | herd)))
  # an intercept takes most of this kernel, not all
  expect_no_warning(identified_fit(world, Y ~ x + (1 | id), world$K(matrix(1, n, n) + 1e-5 * diag(runif(n)))))
})

test_that("no answer shows the prior", {
  world <- identified_world()
  fit <- suppressWarnings(identified_fit(world, Y ~ x + (1 | id)))
  expect_true(all(is.na(h2(fit)[-1])))
  for (verb in list(G, R, rg, ranef, function(f) plot(f, which = "h2"))) expect_error(verb(fit), class = "fastlmm_error_not_identifiable")
  expect_equal(diag(P(fit)), apply(world$data$Y, 2, var), tolerance = 0.5)
  expect_equal(fitted(fit), predict(fit, world$data), ignore_attr = TRUE)
  expect_equal(unname(fitted(fit)), unname(cbind(1, world$data$x) %*% fixef(fit)))
  expect_output(print(fit), "not estimated")
  expect_setequal(
    summary(fit)$table$variable,
    c(paste0("P[", c("a", "b", "c", "a,b", "a,c", "b,c"), "]"), paste0("B[", rep(c("(Intercept)", "x"), 3), ",", rep(c("a", "b", "c"), each = 2), "]"))
  )
  expect_true(is.na(factor_summary(fit)$h2))
  for (which in c("covariance", "loadings", "trace")) expect_silent({
    grDevices::pdf(NULL)
    plot(fit, which = which)
    grDevices::dev.off()
  })
})

test_that("verbs of the sampler say what they take", {
  single <- fastlmm_fit(distance ~ age + (1 | Subject), nlme::Orthodont)
  for (verb in list(G, R, P, rg, h2)) {
    expect_error(verb(single), "one by fastlmm_fit", class = "fastlmm_error_class")
    expect_error(verb(1:3), "integer", class = "fastlmm_error_class")
  }
})

test_that("rows that share an id beside a kernel are told of permanent environments", {
  set.seed(1)
  ids <- paste0("i", 1:10)
  W <- matrix(rnorm(100), 10, dimnames = list(ids, NULL))
  data <- data.frame(id = rep(ids, 3))
  data$Y <- matrix(rnorm(60), 30)
  K <- tcrossprod(W) / 10
  run <- function(K, rows = 1:30) suppressMessages(
    slamglmm_fit(Y ~ 1 + (1 | id), data[rows, , drop = FALSE], K = K, chains = 1, iter = 20, seed = 1, progress = FALSE), "fastlmm_message_convergence"
  )
  expect_message(run(K), "permanent environment, use K = list(id = kernel_mix(A = K, own = NULL))", fixed = TRUE, class = "fastlmm_message_repeated")
  expect_no_message(run(list(id = kernel_mix(A = K, own = NULL))), class = "fastlmm_message_repeated")
  expect_no_message(run(NULL), class = "fastlmm_message_repeated")
  expect_no_message(run(K, 1:10), class = "fastlmm_message_repeated")
})
