# Messages speak of what was called and of what was given.

test_that("genotypes as letters are not taken for paths", {
  fit <- fastlmm_fit(distance ~ age + (1 | Subject), nlme::Orthodont)
  ids <- levels(nlme::Orthodont$Subject)
  letters <- matrix("AB", length(ids), 2, dimnames = list(ids, NULL))
  expect_error(fastlmm_scan(fit, letters), "numbers, not of type character", class = "fastlmm_error_candidates")
  expect_error(fastlmm_scan(fit, c("AA", "AB")), "must be numbers, or the path", class = "fastlmm_error_candidates")
  expect_error(fastlmm_permute(fit, letters), "numbers, not of type character", class = "fastlmm_error_candidates")
})

test_that("fastlmm_permute() speaks of itself", {
  ids <- levels(nlme::Orthodont$Subject)
  G <- matrix(rnorm(length(ids)), dimnames = list(ids, "a"))
  known <- suppressMessages(fastlmm_fit(distance ~ age + (1 | Subject), nlme::Orthodont, sigma2_e = 2))
  fit <- fastlmm_fit(distance ~ age + (1 | Subject), nlme::Orthodont)
  said <- function(value) conditionMessage(tryCatch(value, fastlmm_error_scan = identity))
  expect_match(said(fastlmm_permute(known, G)), "^fastlmm_permute\\(\\) needs a null model whose residual variance is estimated")
  expect_match(said(fastlmm_permute(fit, G, n = 0)), "^fastlmm_permute\\(\\) needs n, a whole number of at least 1, not 0")
  expect_match(said(fastlmm_permute(lm(distance ~ age, nlme::Orthodont), G)), "^fastlmm_permute\\(\\) needs a fit")
  expect_match(said(fastlmm_scan(known, G)), "^fastlmm_scan\\(\\) needs a null model whose residual variance is estimated")
})

test_that("functions of two names say both", {
  fit <- fastlmm_fit(distance ~ age + (1 | Subject), nlme::Orthodont)
  expect_error(heritability(fit), "h2() or heritability() takes a fit by slamglmm_fit(), not one by fastlmm_fit(), for which use fit$h2", fixed = TRUE)
  expect_error(genetic_covariance(1), "G() or genetic_covariance()", fixed = TRUE, class = "fastlmm_error_class")
  expect_error(heritability(), "needs a fit", class = "fastlmm_error_argument")
  for (short in names(long_names)) expect_identical(body(long_names[[short]] |> getExportedValue(ns = "fastlmm"))[[2]], short)
})
