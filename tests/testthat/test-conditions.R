test_that("a condition has its class under the parent's, its fields, and a call or none", {
  error <- tryCatch(abort_fastlmm("what", "message", call = quote(f(x)), number = 3), error = identity)
  expect_s3_class(error, c("fastlmm_error_what", "fastlmm_error", "error", "condition"), exact = TRUE)
  expect_identical(error[c("message", "number")], list(message = "message", number = 3))
  expect_identical(conditionCall(error), quote(f(x)))
  warning <- tryCatch(warn_fastlmm("what", "message", call = NULL), warning = identity)
  expect_s3_class(warning, c("fastlmm_warning_what", "fastlmm_warning", "warning", "condition"), exact = TRUE)
  message <- tryCatch(inform_fastlmm("what", "message", n = 2), message = identity)
  expect_s3_class(message, c("fastlmm_message_what", "fastlmm_message", "message", "condition"), exact = TRUE)
  expect_identical(conditionMessage(message), "message\n")
})

test_that("the call is the one that the user wrote, however deep the check", {
  d <- small_data()$d
  error <- tryCatch(fastlmm_fit(y ~ q + (1 | id), d), error = identity)
  expect_identical(conditionCall(error), quote(fastlmm_fit(y ~ q + (1 | id), d)))
  error <- tryCatch(fastlmm_fit(y ~ x + (1 | id), d, K = diag(3)), error = identity)
  expect_identical(conditionCall(error), quote(fastlmm_fit(y ~ x + (1 | id), d, K = diag(3))))
  fit <- fastlmm_fit(y ~ x + (1 | id), d)
  error <- tryCatch(predict(fit, d[1]), error = identity)
  expect_identical(conditionCall(error)[[1]], quote(predict.fastlmm))
  d$copy <- d$x
  warning <- tryCatch(fastlmm_fit(copy ~ x + (1 | id), d), warning = identity)
  expect_identical(conditionCall(warning), quote(fastlmm_fit(copy ~ x + (1 | id), d)))
})

test_that("messages name the first five and count all", {
  expect_identical(first_names(letters[1:3]), '"a", "b", "c"')
  expect_identical(first_names(letters), '"a", "b", "c", "d", "e", ...')
  expect_identical(first_names(c(1, 20)), "1, 20")
  expect_identical(counted(1, "row"), "1 row")
  expect_identical(counted(12000, "entry", "entries"), "12,000 entries")
  expect_identical(rows_at(c(FALSE, TRUE, TRUE), c("a", "b", "c")), 'rows "b", "c" (2 of 3)')
})

test_that("a likely spelling is offered, a far one is not", {
  expect_identical(did_you_mean("temprature", c("temperature", "time")), '; did you mean "temperature"?')
  expect_identical(did_you_mean("X", c("x", "y")), '; did you mean "x"?')
  expect_identical(did_you_mean("q", c("x", "y")), "")
  expect_identical(did_you_mean("q", character()), "")
})

test_that("arguments that a method does not know are named", {
  fit <- fastlmm_fit(y ~ x + (1 | id), small_data()$d)
  expect_refused(nobs(fit, 3, digits = 2, speed = 1), "unused_argument")
})

test_that("a boundary at h2 = 1 is a message too", {
  set.seed(4)
  K <- exp(-abs(outer(1:30, 1:30, "-")) / 20)
  dimnames(K) <- list(1:30, 1:30)
  data <- data.frame(id = 1:30, y = drop(crossprod(chol(K), rnorm(30))))
  expect_message(fit <- fastlmm_fit(y ~ 1 + (1 | id), data, K), class = "fastlmm_message_boundary")
  expect_identical(c(fit$h2, fit$sigma2_e), c(1, 0))
  expect_snapshot(invisible(fastlmm_fit(y ~ 1 + (1 | id), data, K)))
})

test_that("ML says which directions it leaves out", {
  K <- small_data()$K
  centred <- K - outer(rowMeans(K), rep(1, 15)) - outer(rep(1, 15), colMeans(K)) + mean(K)
  once_each <- small_data()$d[rep(1:12, length.out = 12), ]
  some <- data.frame(y = c(once_each$y, 1, 2, 0.5), id = c(once_each$id, "i13", "i14", "i15"))
  said <- capture_messages(fastlmm_fit(y ~ 1 + (1 | id), some, centred, method = "ML"))
  expect_match(said[1], "1 direction of X")
  expect_snapshot(invisible(fastlmm_fit(y ~ 1 + (1 | id), some, centred, method = "ML")))
})
