library(testthat)
library(fastlmm)

test_check("fastlmm")
