# Thousands of combined faults over every entry point and verb: make check-long. FASTLMM_FAULT_SEEDS="5001:6000" runs others.

test_that("combined faults end in the right class, in time, and never without numbers", {
  skip_if_not(is_long(), "slow; make check-long runs it")
  range <- as.integer(strsplit(Sys.getenv("FASTLMM_FAULT_SEEDS", "1:3000"), ":")[[1]])
  expect_identical(fault_cases(seq(range[1], range[2])), NULL)
})
