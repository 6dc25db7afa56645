# What crosses the border to Rust and does not fit is told as it is; no word stands for another.

refused <- function(value) {
  expect_s3_class(value, "extendr_error")
  value$value
}

# The model of a fit at the border, some of it changed
border_model <- function(fit, ..., effect = list()) {
  model <- utils::modifyList(rust_model(stored_model(fit)), list(...))
  model$effects[[1]] <- utils::modifyList(model$effects[[1]], effect)
  model
}

test_that("the words that R uses are those that Rust reads", {
  words <- ffi_words()
  choices <- function(f, argument) eval(formals(f)[[argument]])
  expect_identical(words$method, choices(fastlmm_fit, "method"))
  expect_identical(words$cov, choices(gp, "cov"))
  expect_identical(words$cov, gp_kernels)
  expect_setequal(words$test, choices(fastlmm_scan, "test"))
  expect_setequal(words$refit, setdiff(choices(fastlmm_scan, "refit"), "hybrid"))
  expect_setequal(words$what, c("lengthscale", "beta", "sigma_u", "sigma_e", "h2", "delta", "correlation"))
  expect_setequal(words$kind, c(mgp()$kind, horseshoe()$kind))
})

test_that("an unknown word is an error that names those there are", {
  fit <- kernel_fit()
  random <- fit$random[[1]]
  call_fit <- function(form, method) ffi_fit(border_model(fit, method = method, effect = list(form = form)))
  expect_type(call_fit("matrix", "ML"), "list")
  for (method in c("ml", "", "REML ")) {
    error <- refused(call_fit("matrix", method))
    expect_identical(error$class, "argument")
    expect_identical(error$message, sprintf("method is \"%s\", but must be one of \"REML\", \"ML\"", method))
  }
  expect_match(refused(call_fit("dense", "ML"))$message, "form is \"dense\", but must be one of \"matrix\", \"factor\"")
  rank <- length(fit$kept)
  expect_match(refused(ffi_interval(fit$rotated, "REML", "H2", 1L, 4))$message, "what is \"H2\", but must be one of \"sigma_u\"")
  expect_match(refused(ffi_interval(fit$rotated, "REML", "lengthscale", 1L, 4))$message, "this model has not")
  expect_match(refused(ffi_profile(fit$rotated, "REML", "beta", 9L, 2, 5L))$message, sprintf("column is 9, but must be a whole number from 1 to %d", rank))
  expect_match(refused(ffi_gp_correlations(matrix(0), matrix(1), "gaussian", 1))$message, "cov is \"gaussian\"")
  mix <- function(what, number) ffi_interval_mix(border_model(fit), list(what = what, number = number, known = numeric()), 4)
  for (case in list(list("delta", 1L, "several effects"), list("H2", 1L, "must be one of"), list("h2", 2L, "number is 2"), list("beta", 50L, "column is 50"))) {
    expect_match(refused(mix(case[[1]], case[[2]]))$message, case[[3]])
  }
  scan <- scan_basis(stored_model(fit), list(cell = seq_along(fit$y), cells = length(fit$y)))
  ask <- list(test = "wald", refit = "none", method = "REML", delta = 1, threads = 1)
  block <- function(...) ffi_scan_block(scan, matrix(rnorm(length(fit$y))), list(1L), 0L, utils::modifyList(ask, list(...)))
  expect_type(block(), "list")
  expect_match(refused(block(test = "LRT"))$message, "test is \"LRT\"")
  expect_match(refused(block(refit = "hybrid"))$message, "refit is \"hybrid\"")
  for (odd in list(NULL, NA)) {
    scan["constant"] <- list(odd)
    expect_match(refused(block())$message, "constant is missing")
  }
})

test_that("an index that is out of range, and a file that is gone, are told as such", {
  fit <- kernel_fit()
  random <- fit$random[[1]]
  m <- length(random$index)
  call_fit <- function(group, index) ffi_fit(border_model(fit, effect = list(group = group, index = index)))
  error <- refused(call_fit(random$group, replace(random$index, 3, 41L)))
  expect_identical(error$message, "index is 41, but must be a whole number from 1 to 40")
  expect_match(refused(call_fit(replace(random$group, 5, 0L), random$index))$message, sprintf("group is 0, but must be a whole number from 1 to %d", m))
  expect_match(refused(call_fit(replace(random$group, 5, NA), random$index))$message, "group is NA")
  expect_match(refused(call_fit(random$group[-1], random$index))$message, "group has length 74, expected 75")
  path <- file.path(tempfile(), "gone.bed")
  error <- tryCatch(call_rust(ffi_bed_read, path, 4, 0), fastlmm_error_file = identity)
  expect_match(conditionMessage(error), paste0("cannot read \"", path, "\": No such file"), fixed = TRUE)
  short <- tempfile_with(".bed")
  writeBin(as.raw(c(0x6c, 0x1b, 0x01, 0xff)), short)
  expect_match(refused(ffi_bed_read(short, 4, 1))$message, "cannot read")
})

test_that("a file that cannot be written is told as such, and what is read is what was written", {
  path <- file.path(tempfile(), "job")
  expect_match(refused(ffi_keep(path, as.raw(1:3), FALSE))$message, paste0("cannot write \"", path, "\": No such file"), fixed = TRUE)
  path <- tempfile()
  expect_null(ffi_kept(path))
  expect_true(ffi_keep(path, as.raw(1:3), TRUE))
  expect_false(ffi_keep(path, as.raw(4:6), TRUE))
  expect_identical(ffi_kept(path), as.raw(1:3))
  whole <- readBin(path, "raw", 100)
  for (i in seq_along(whole)) {
    writeBin(replace(whole, i, xor(whole[i], as.raw(8))), path)
    expect_null(ffi_kept(path))
  }
})

test_that("a process crosses as the model of any other engine", {
  set.seed(3)
  data <- data.frame(x = sort(runif(40)), g = rep(1:4, 10))
  data$y <- sin(6 * data$x) + rnorm(40, sd = 0.2)
  fit <- suppressMessages(fastlmm_fit(y ~ gp(x, basis = "fourier") + (1 | g), data, control = fastlmm_control(verbose = FALSE)))
  rows <- model_rows(stored_gp_model(fit))
  expect_identical(rows$weights, numeric())
  # without weights all are 1
  expect_identical(ffi_gp_fit(utils::modifyList(rows, list(weights = rep(1, 40))))$fit, ffi_gp_fit(rows)$fit)
  told <- function(...) refused(ffi_gp_fit(utils::modifyList(rows, list(...))))
  expect_match(told(weights = rep(1, 39))$message, "weights has length 39, expected 40")
  expect_match(told(coordinates = matrix(0, 39, 1))$message, "coordinates has length 39, expected 40")
  expect_match(told(method = "reml")$message, "method is \"reml\"")
  slope <- rows
  slope$effects[[1]]$z[1] <- 2
  expect_match(refused(ffi_gp_fit(slope))$message, "effects have a kernel or a slope")
  two <- rows
  two$effects <- rep(rows$effects, 2)
  expect_match(refused(ffi_gp_fit(two))$message, "effects are 2, and this kind of model has one")
  expect_match(refused(ffi_gp_variances(list(coordinates = matrix(0)), fit$random[[1]]$kernel, 0.3, 1, 1L))$message, "X is missing")
})

test_that("a coefficient without error at h2 = 1, of a centred kernel, has a variance of zero, tests without it, and a profile", {
  n <- 12
  found <- 0
  for (seed in 1:6) {
    set.seed(seed)
    W <- scale(matrix(rnorm(n * 20), n), scale = FALSE)
    K <- tcrossprod(W) / 20
    dimnames(K) <- list(letters[1:n], letters[1:n])
    d <- data.frame(id = letters[1:n], y = 3 + drop(W %*% rnorm(20)))
    fit <- suppressMessages(fastlmm_fit(y ~ 1 + (1 | id), d, K))
    if (fit$h2 < 1) next
    found <- found + 1
    expect_identical(unname(diag(fit$vcov)), 0)
    expect_identical(suppressMessages(contest(fit, 1))[["F value"]], Inf)
    limits <- suppressMessages(confint(fit, "(Intercept)"))
    expect_true(all(is.finite(limits)) && diff(limits[1, ]) > 0)
  }
  expect_gt(found, 2)
})
