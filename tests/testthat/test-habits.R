# Arguments and values of other packages get an answer that says what to write here.

small <- data.frame(y = c(1, 3, 2, 5, 4, 6, 8, 7), x = 1:8, id = rep(letters[1:4], 2))
small_fit <- suppressMessages(fastlmm_fit(y ~ x + (1 | id), small))
said <- function(expr, class = "fastlmm_error") tryCatch(expr, error = function(e) {
  expect_s3_class(e, class)
  conditionMessage(e)
})

test_that("arguments of other packages are answered by what is offered", {
  unused <- function(expr) said(expr, "fastlmm_error_unused_argument")
  fit <- function(...) fastlmm_fit(y ~ x + (1 | id), small, ...)
  expect_match(unused(fit(REML = FALSE)), "method = \"ML\"", fixed = TRUE)
  expect_match(unused(update(small_fit, REML = FALSE)), "method = \"ML\"", fixed = TRUE)
  expect_match(unused(fit(family = binomial)), "glmer")
  expect_match(unused(fit(kinship = diag(4))), "K = list(id = matrix)", fixed = TRUE)
  expect_match(unused(fit(random = ~ 1 | id)), "(1 | id)", fixed = TRUE)
  expect_match(unused(fit(start = nowhere)), "whole range")
  for (verb in list(summary, anova, tidy)) expect_match(said(verb(small_fit, ddf = "KR")), "df =|not a fit")
  expect_match(unused(predict(small_fit, newparams = 1)), "not available")
  expect_match(unused(confint(small_fit, FUN = fixef)), "bootstrap")
  expect_match(unused(simulate(small_fit, use.u = TRUE)), "re.form = NULL", fixed = TRUE)
})

test_that("other arguments are compared with those that there are", {
  expect_match(said(residuals(small_fit, scalled = TRUE)), "did you mean \"scaled\"", fixed = TRUE)
  expect_match(said(fastlmm_fit(y ~ x, small, wights = x)), "did you mean \"weights\"", fixed = TRUE)
  expect_match(said(sigma(small_fit, speed = 1)), "it takes object", fixed = TRUE)
  for (expr in list(quote(fixef(small_fit, speed = 1)), quote(fastlmm_fit(y ~ x, small, speed = 1)))) expect_false(grepl("spelling", said(eval(expr))))
})

test_that("values of other packages are answered by their names here", {
  argument <- function(expr) said(expr, "fastlmm_error_argument")
  expect_match(argument(summary(small_fit, df = "KR")), "df = \"kenward-roger\"", fixed = TRUE)
  expect_match(argument(summary(small_fit, df = "satterthwait_")), "did you mean \"satterthwaite\"", fixed = TRUE)
  expect_match(argument(fastlmm_fit(y ~ x + (1 | id), small, method = "ml")), "did you mean \"ML\"", fixed = TRUE)
  expect_match(argument(confint(small_fit, method = "bootstrap")), "method = \"boot\"", fixed = TRUE)
  expect_match(argument(confint(small_fit, method = "wald")), "did you mean \"Wald\"", fixed = TRUE)
  gp_said <- function(cov) said(fastlmm_fit(y ~ gp(x, cov = cov), small), "fastlmm_error_gp")
  expect_match(gp_said("gaussian"), "here it is called \"exp_quad\"", fixed = TRUE)
  expect_match(gp_said("exponential"), "here it is called \"matern12\"", fixed = TRUE)
  expect_false(grepl("called", gp_said("cubic")))
  expect_equal(summary(small_fit, df = "sat")$ddf, "satterthwaite")
})

test_that("degrees of freedom are df of tables and ddf of tests, and each says how it spells them", {
  fit <- fastlmm_fit(distance ~ age + Sex + (1 | Subject), nlme::Orthodont)
  L <- c(0, 1, 0)
  tables <- list(function(...) summary(fit, ...), function(...) confint(fit, method = "Wald", ...), function(...) tidy(fit, ...))
  tests <- list(function(...) anova(fit, ...), function(...) contest(fit, L, ...))
  for (verb in tables) {
    expect_error(verb(df = "KR"), "write df = \"kenward-roger\"", class = "fastlmm_error_argument")
    expect_error(verb(ddf = "satterthwaite"), "here it is df", class = "fastlmm_error_unused_argument")
  }
  for (verb in tests) expect_error(verb(ddf = "KR"), "write ddf = \"kenward-roger\"", class = "fastlmm_error_argument")
  expect_error(contest(fit, L, df = "satterthwaite"), "here it is ddf", class = "fastlmm_error_unused_argument")
  expect_error(anova(fit, df = "satterthwaite"), "ddf =", class = "fastlmm_error_anova")
  # no advice that this function does not take
  expect_error(contest(fit, L, ddf = "asymptotic"), "^((?!write ddf).)*$", perl = TRUE, class = "fastlmm_error_argument")
})

test_that("scans and permutations know the arguments of rrBLUP, statgenGWAS and qtl2", {
  set.seed(2)
  data <- data.frame(id = paste0("i", 1:20), y = rnorm(20), x = rnorm(20))
  M <- matrix(rbinom(60, 2, 0.4), 20, dimnames = list(data$id, NULL))
  fit <- suppressMessages(fastlmm_fit(y ~ x + (1 | id), data, K = kernel_markers(M)))
  scan <- function(name) said(do.call(fastlmm_scan, c(list(fit, M), structure(list(1), names = name))), "fastlmm_error_unused_argument")
  permute <- function(name) said(do.call(fastlmm_permute, c(list(fit, M), structure(list(1), names = name))), "fastlmm_error_unused_argument")
  for (name in c("min.MAF", "MAF", "useMAF")) expect_match(scan(name), "maf =", fixed = TRUE)
  expect_match(scan("P3D"), "refit = \"delta\"", fixed = TRUE)
  for (name in c("n.core", "nCores", "cores")) expect_match(scan(name), "fastlmm.threads", fixed = TRUE)
  for (name in c("n.PC", "addcovar", "covar")) expect_match(scan(name), "those of the fit")
  for (name in c("kinship", "kin", "GLSMethod")) expect_match(scan(name), "kernels =", fixed = TRUE)
  expect_match(scan("intcovar"), "interaction =", fixed = TRUE)
  expect_match(scan("thrType"), "threshold =", fixed = TRUE)
  for (name in c("nperm", "n_perm", "n.perm", "permutations")) expect_match(permute(name), "permutations is n =", fixed = TRUE)
  expect_match(permute("perm_strata"), "terms of its formula")
  # every answer names arguments that there are
  written <- unlist(regmatches(scan_habits, gregexpr("\\b[a-z]+(?= =)", scan_habits, perl = TRUE)))
  expect_length(setdiff(written, c(names(formals(fastlmm_scan)), names(formals(fastlmm_permute)), "fastlmm.threads", "threads")), 0)
})
