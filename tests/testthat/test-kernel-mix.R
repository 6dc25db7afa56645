test_that("a mix needs two kernels or more, each with a name of its own", {
  A <- mix_data()$A
  expect_refused(kernel_mix(A = A), "kernel_mix")
  expect_refused(kernel_mix(), "kernel_mix")
  expect_refused(kernel_mix(A, B = A), "kernel_mix")
  expect_refused(kernel_mix(A, A), "kernel_mix")
  expect_refused(kernel_mix(A = A, A = A), "kernel_mix")
})

test_that("a mix holds kernels, and no mix", {
  A <- mix_data()$A
  expect_refused(kernel_mix(A = A, B = kernel_mix(A = A, B = NULL)), "kernel_mix")
  expect_refused(kernel_mix(A = A, B = "A"), "kernel_mix")
  expect_refused(kernel_mix(A = A, B = 1:25), "kernel_mix")
  expect_refused(kernel_mix(A = A, B = list(id = A)), "kernel_mix")
})

test_that("the kernels of a mix are of the same ids", {
  A <- mix_data()$A
  F <- mix_data()$F
  other <- `dimnames<-`(A, list(paste0("j", 1:25), paste0("j", 1:25)))
  expect_refused(kernel_mix(A = A, B = A[-(1:2), -(1:2)]), "mix_ids")
  expect_refused(kernel_mix(A = A, own = NULL, B = other), "mix_ids")
  expect_refused(kernel_mix(A = A, F = kernel_lowrank(F[-1, ])), "mix_ids")
  expect_s3_class(kernel_mix(A = A, B = A[25:1, 25:1], F = kernel_lowrank(F[25:1, ])), "fastlmm_mix")
})

test_that("a mix prints its kernels", {
  expect_snapshot(mix_of())
  expect_refused(print(mix_of(), digits = 3), "unused_argument")
})

test_that("a mix may be over the rows of the data", {
  given <- mix_data()
  data <- data.frame(y = given$data$y[1:25], x = given$data$x[1:25], row.names = given$ids)
  K <- kernel_mix(A = given$A, F = kernel_lowrank(given$F))
  fit <- suppressMessages(fastlmm_fit(y ~ x, data, K = K))
  same <- suppressMessages(fastlmm_fit(y ~ x + (1 | id), transform(data, id = given$ids), K = list(id = K)))
  expect_equal(unname(fit$sigma2), unname(same$sigma2), tolerance = 1e-10)
  expect_equal(fit$logLik, same$logLik, tolerance = 1e-12)
  expect_equal(predict(fit, data), fitted(fit), tolerance = 1e-10)
})

test_that("an id of the mix without data is predicted, its own effect 0", {
  fit <- mix_fit()
  new <- data.frame(id = "i25", x = 0, f = "a", o = 0, b = "1")
  effects <- ranef(fit, which = "all", condVar = FALSE)
  expect_identical(effects$id["i25", "own"], 0)
  expected <- fixef(fit)[["(Intercept)"]] + sum(effects$id["i25", ]) + effects$b["1", 1]
  expect_equal(unname(predict(fit, new)), expected, tolerance = 1e-10)
})
