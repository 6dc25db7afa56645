# An allocation that fails in Rust would end R: under any limit of memory a call ends in the right result or in an error that says the size.

test_that("engines end in a result or in a classed error, whatever a limit leaves them", {
  skip_unless_limits()
  engines <- limited_engines(170)
  # all of them: test-long-memory.R
  for (name in c("dense", "svd", "many", "mix", "scan", "exact", "slam")) {
    ends <- ends_under_limits(engines[[name]], c(0.3, 0.8))
    expect_true(all(ends %in% c("right", "refused")), info = paste(name, paste(ends, collapse = ", ")))
    expect_true("refused" %in% ends, info = name)
  }
})

test_that("the error names what is needed, what there is, and what to do", {
  skip_unless_limits()
  engines <- limited_engines(170)
  error <- run_limited(engines$dense, 5e7)$error
  expect_s3_class(error, "fastlmm_error_memory")
  expect_match(conditionMessage(error), "needs about [0-9.]+ [MG]iB of memory but only [0-9.]+ [MG]iB are available; fit fewer ids, use fewer threads")
  expect_gt(error$needed, error$available)
  expect_identical(deparse(error$call[[1]]), "fastlmm_fit")
})
