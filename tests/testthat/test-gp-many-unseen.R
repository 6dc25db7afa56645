# Length scales that a Fourier basis of the rows cannot tell, of many responses: refused, or told.

test_that("in Fourier space a kernel that no basis of these rows serves is refused with the length scales that it could tell, and what is not seen is told", {
  set.seed(3)
  data <- data.frame(u = runif(300), v = runif(300))
  data$Y <- matrix(rnorm(600), 300)
  said <- tryCatch(fastlmm_fit(Y ~ gp(u, v, cov = "matern12", basis = "fourier"), data), error = identity)
  expect_s3_class(said, "fastlmm_error_rough")
  expect_match(conditionMessage(said), "the 300 rows allow.*150 functions.*exact")
  expect_message(
    suppressMessages(fastlmm_fit(Y ~ gp(u, v, cov = "exp_quad", basis = "fourier"), data), classes = c("fastlmm_message_boundary", "fastlmm_message_gp_range")),
    "length scales from .* upwards were searched", class = "fastlmm_message_gp_unseen"
  )
})
