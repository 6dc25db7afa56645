# Input that no model is meant for: every entry point and verb answers, or refuses by class.

quiet <- function(e) suppressWarnings(suppressMessages(e))

odd_world <- function() {
  once("odd inputs", {
    set.seed(71)
    ids <- paste0("i", 1:20)
    W <- matrix(rnorm(600), 20, dimnames = list(ids, NULL))
    d <- data.frame(id = ids, x = rnorm(20), z = rnorm(20), f = gl(4, 5))
    d$y <- drop(W %*% rnorm(30)) / 5 + rnorm(20)
    K <- tcrossprod(W) / 30
    list(d = d, K = K, fit = quiet(fastlmm_fit(y ~ x + (1 | id), d, K)), many = quiet(fastlmm_fit(cbind(y, z) ~ x + (1 | id), d, K)))
  })
}

test_that("new data without rows", {
  w <- odd_world()
  expect_identical(dim(predict(w$many, w$d[0, ])), c(0L, 2L))
  se <- predict(w$many, w$d[0, ], se.fit = TRUE)
  expect_identical(lapply(se[1:2], dim), list(fit = c(0L, 2L), se.fit = c(0L, 2L)))
  expect_length(predict(w$fit, w$d[0, ]), 0)
  mixed <- quiet(fastlmm_fit(cbind(y, z) ~ x + (1 | id) + (1 | f), w$d, list(id = w$K)))
  expect_identical(dim(predict(mixed, w$d[0, ])), c(0L, 2L))
})

test_that("update() of a formula with `.` changes what `.` stands for, as for lm()", {
  w <- odd_world()
  d <- w$d[c("id", "x", "z", "y")]
  whole <- quiet(fastlmm_fit(y ~ . + (1 | id), d, w$K))
  less <- quiet(update(whole, . ~ . - x))
  expect_equal(coef(summary(less)), coef(summary(quiet(fastlmm_fit(y ~ z + (1 | id), d, w$K)))), tolerance = 1e-10)
  expect_identical(rownames(coef(summary(less))), names(coef(update(lm(y ~ . - id, d), . ~ . - x))))
  more <- quiet(update(whole, . ~ . + I(x^2)))
  expect_identical(names(fixef(more)), c("(Intercept)", "x", "z", "I(x^2)"))
  expect_identical(names(fixef(quiet(update(whole, log(y + 100) ~ .)))), names(fixef(whole)))
  # products of `.` stay products
  squared <- quiet(fastlmm_fit(y ~ .^2 + (1 | id), d, w$K))
  expect_identical(names(fixef(quiet(update(squared, . ~ . - x:z)))), c("(Intercept)", "x", "z"))
  many <- quiet(fastlmm_fit(cbind(y, z) ~ . + (1 | id), d, w$K))
  expect_identical(rownames(coef(quiet(update(many, . ~ . - x)))), "(Intercept)")
  expect_true("." %in% all.vars(quiet(update(whole, method = "ML"))$formula))
})

test_that("factors of candidates and interactions: one level, no such variable", {
  w <- odd_world()
  d <- transform(w$d, one = factor("a"), each = factor(id), word = "b", flag = TRUE)
  for (formula in list(~one, ~word, ~flag, ~ x:one)) {
    expect_error(fastlmm_scan(w$fit, formula, data = d), class = "fastlmm_error_single_level")
    expect_error(fastlmm_scan(w$fit, as.matrix(w$d["z"]), interaction = formula, data = d), class = "fastlmm_error_single_level")
  }
  expect_error(fastlmm_scan(w$fit, ~nothing, data = d), class = "fastlmm_error_missing_variable")
  expect_error(fastlmm_scan(w$fit, ~each:one, data = d), class = "fastlmm_error_single_level")
  expect_s3_class(quiet(fastlmm_scan(w$fit, ~each, data = d)), "fastlmm_scan")
})

test_that("raw, complex and list columns in each place", {
  w <- odd_world()
  odd <- list(raw = as.raw(1:20), complex = complex(real = 1:20, imaginary = 1), list = as.list(1:20), function_ = function(x) x)
  for (kind in c("raw", "complex", "list")) {
    d <- w$d
    d$o <- odd[[kind]]
    refused <- function(e) expect_error(quiet(e), class = "fastlmm_error")
    refused(fastlmm_fit(o ~ x + (1 | id), d, w$K))
    refused(fastlmm_fit(cbind(y, o) ~ x + (1 | id), d, if (kind == "complex") w$K else "K"))
    refused(fastlmm_fit(y ~ o + (1 | id), d, w$K))
    refused(fastlmm_fit(y ~ x + (0 + o | id), d, w$K))
    refused(fastlmm_fit(y ~ gp(o), d))
    refused(fastlmm_fit(y ~ x + (1 | id), d, w$K, weights = o))
    refused(fastlmm_fit(y ~ x + (1 | id), d, w$K, offset = o))
    if (kind == "list") refused(fastlmm_fit(y ~ x + (1 | o), d))
    refused(fastlmm_scan(w$fit, ~o, data = d))
    refused(fastlmm_scan(w$fit, d["o"]))
    refused(fastlmm_scan(w$fit, odd[[kind]]))
    refused(fastlmm_scan(w$fit, w$d["z"], interaction = ~o, data = d))
    refused(fastlmm_permute(w$fit, matrix(odd[[kind]], 20, dimnames = list(w$d$id, "o")), 2))
    refused(refit(w$fit, odd[[kind]]))
    refused(predict(w$fit, data.frame(id = w$d$id, x = I(odd[[kind]]))))
  }
})

test_that("a list as data: a matrix counts by its rows, as for lm()", {
  w <- odd_world()
  as_list <- list(y = w$d$y, id = w$d$id, P = cbind(a = w$d$x, b = w$d$z))
  fit <- quiet(fastlmm_fit(y ~ P + (1 | id), as_list, w$K))
  expect_identical(names(fixef(fit)), names(coef(lm(y ~ P, as_list))))
  expect_equal(unname(predict(fit, as_list)), unname(fitted(fit)), tolerance = 1e-8)
  expect_error(fastlmm_fit(y ~ P + (1 | id), c(as_list, list(q = 1:3)), w$K), class = "fastlmm_error_data")
})

test_that("accessors of many responses of which none could be fitted", {
  w <- odd_world()
  d <- transform(w$d, y = 1, z = 2)
  given <- list(
    dense = quote(fastlmm_fit(cbind(y, z) ~ x + (1 | id), d, w$K)), identity = quote(fastlmm_fit(cbind(y, z) ~ x + (1 | f), d)),
    lowrank = quote(fastlmm_fit(cbind(y, z) ~ x + (1 | id), d, kernel_lowrank(chol(w$K + diag(20) / 10) |> t()))),
    mix = quote(fastlmm_fit(cbind(y, z) ~ x + (1 | id) + (1 | f), d, list(id = w$K))), gp = quote(fastlmm_fit(cbind(y, z) ~ gp(x), d))
  )
  for (kind in names(given)) {
    fit <- quiet(eval(given[[kind]]))
    expect_true(all(fit$status == "constant_response"), info = kind)
    missing <- list(
      fixef = fixef(fit), logLik = logLik(fit), sigma = sigma(fit), AIC = AIC(fit), BIC = BIC(fit), VarCorr = VarCorr(fit)$vcov, fitted = fitted(fit),
      residuals = residuals(fit), predict = predict(fit, d[1:3, ])
    )
    if (kind != "gp") missing$ranef <- unlist(ranef(fit))
    for (verb in names(missing)) expect_true(length(missing[[verb]]) > 0 && all(is.na(missing[[verb]])), info = paste(kind, verb))
    expect_true(all(is.na(unlist(predict(fit, d[1:3, ], se.fit = TRUE)))), info = kind)
    expect_output(print(fit), "constant_response")
    expect_output(print(summary(fit)), "constant_response")
    expect_true(all(is.na(confint(fit)$lower)))
    expect_identical(nrow(as.data.frame(fit)), 2L)
    expect_true(all(is.na(unlist(simulate(fit, 1, seed = 1)))))
    # a table of tests says NA; a test of one model against another needs a likelihood
    if (kind == "gp") expect_true(all(is.na(anova(fit)$p.value))) else expect_error(anova(fit), class = "fastlmm_error")
    for (refused in list(
      quote(plot(fit)), quote(drop1(fit)), quote(extract_fit(fit, 1)), quote(fastlmm_permute(fit, matrix(1:20, dimnames = list(d$id, "g")), 2))
    )) {
      expect_error(quiet(eval(refused)), class = "fastlmm_error", info = paste(kind, deparse1(refused)))
    }
  }
})

test_that("the border takes counts only: whole, not negative, not missing", {
  w <- odd_world()
  call <- function(threads) {
    model <- fastlmm:::rust_model(fastlmm:::stored_model(w$fit))
    fastlmm:::call_rust(fastlmm:::ffi_fit, utils::modifyList(model, list(threads = threads)))
  }
  expect_error(call(-1), class = "fastlmm_error_argument")
  bed <- tempfile(fileext = ".bed")
  writeBin(as.raw(c(0x6c, 0x1b, 1, 0, 0)), bed)
  for (bad in c(-1, 0.5, NaN, Inf, 2^60)) {
    expect_error(fastlmm:::call_rust(fastlmm:::ffi_bed_read, bed, bad, 0), class = "fastlmm_error_argument")
    expect_error(fastlmm:::call_rust(fastlmm:::ffi_bed_read, bed, 4, bad), class = "fastlmm_error_argument")
  }
})

test_that("combined faults, some of those that make check-long runs", {
  expect_identical(fault_cases(c(27, 113, 183, 1:25)), NULL)
})

test_that("a summary without any coefficient, and a process that nothing is left for, are printed", {
  d <- data.frame(id = paste0("i", 1:8), x = 0, u = 1:8 / 8, y = c(1, 3, 2, 5, 4, 4, 1, 2))
  K <- structure(0.3^abs(outer(1:8, 1:8, "-")), dimnames = list(d$id, d$id))
  none <- suppressMessages(fastlmm_fit(y ~ 0 + x + (1 | id), d, K))
  for (df in c("satterthwaite", "kenward-roger")) expect_output(print(summary(none, df = df)), "not defined because of singularities")
  full <- suppressMessages(fastlmm_fit(y ~ poly(u, 6) + gp(u), d, method = "ML"))
  expect_identical(full$status, "one_contrast")
  expect_output(print(full), "not defined")
})

test_that("columns that R itself stumbles over are told by name", {
  w <- odd_world()
  malformed <- structure(rep(c(1L, 9L), length.out = nrow(w$d)), levels = c("a", "b"), class = "factor")
  bytes <- rep("\xff", nrow(w$d))
  odd <- list(malformed, bytes, `Encoding<-`(bytes, "bytes"), `Encoding<-`(bytes, "UTF-8"))
  for (i in seq_along(odd)) {
    class <- if (i == 1) "fastlmm_error_factor" else "fastlmm_error_encoding"
    data <- transform(w$d, odd = odd[[i]])
    expect_error(fastlmm_fit(y ~ odd + (1 | id), data, w$K), "\"odd\"", class = class)
    expect_error(fastlmm_fit(y ~ 1 + (1 | odd), data), "\"odd\"", class = class)
    good <- transform(w$d, odd = rep(c("a", "b"), length.out = nrow(w$d)))
    fit <- suppressMessages(fastlmm_fit(y ~ odd + (1 | id), good, w$K))
    expect_error(predict(fit, data), "\"odd\"", class = class)
  }
  unnamed <- w$d
  names(unnamed)[2] <- ""
  expect_error(fastlmm_fit(y ~ . - id + (1 | id), unnamed, w$K), "have no name", class = "fastlmm_error_data")
  expect_error(fastlmm_fit(y ~ matrix(0, nrow(w$d), 0) + (1 | id), w$d, w$K), "has no columns", class = "fastlmm_error_data")
  expect_error(fastlmm_fit(y ~ 1 + (1 | id), w$d, w$K, offset = as.roman(seq_len(nrow(w$d)))), class = "fastlmm_error_offset")
})

test_that("a labelled column, as haven reads it, is its numbers", {
  w <- odd_world()
  labelled <- w$d
  labelled$y <- structure(labelled$y, labels = c(low = 1), class = c("haven_labelled", "vctrs_vctr", "double"))
  expect_equal(logLik(suppressMessages(fastlmm_fit(y ~ 1 + (1 | id), labelled, w$K))), logLik(suppressMessages(fastlmm_fit(y ~ 1 + (1 | id), w$d, w$K))))
})

test_that("a kernel below the smallest normal number is refused, wherever it stands", {
  w <- odd_world()
  data <- transform(w$d, g = rep(letters[1:4], length.out = nrow(w$d)), u = seq_len(nrow(w$d)))
  for (size in c(5e-324, 1e-320, 1e-310)) {
    K <- w$K
    K[] <- diag(size, nrow(K))
    for (formula in list(y ~ 1 + (1 | id), y ~ 1 + (1 | id) + (1 | g), y ~ gp(u) + (1 | id))) {
      expect_error(suppressMessages(fastlmm_fit(formula, data, list(id = K))), class = "fastlmm_error_scale")
    }
  }
})

test_that("names of any length are shown by their beginning, at once", {
  w <- odd_world()
  long <- paste0(strrep("\u00e9", 1e5), seq_len(nrow(w$K)))
  K <- structure(w$K, dimnames = rep(list(paste0(long, "z")), 2))
  data <- transform(w$d, id = long[match(id, rownames(w$K))])
  took <- system.time(error <- tryCatch(fastlmm_fit(y ~ 1 + (1 | id), data, K), error = identity))[["elapsed"]]
  expect_s3_class(error, "fastlmm_error_ids_missing")
  expect_lt(nchar(conditionMessage(error)), 1000)
  expect_lt(took, 20)
})

test_that("a control that was changed in a fit, and a part of another type, are told as such", {
  w <- odd_world()
  fit <- w$fit
  fit$control$threads <- "2"
  expect_error(fastlmm_permute(fit, matrix(rnorm(20), 20), n = 3), class = "fastlmm_error_threads")
})

test_that("a subset by number keeps to the rows of data", {
  for (rows in list(1e13, Inf, c(1, 200), -200)) {
    expect_error(fastlmm_fit(distance ~ age + (1 | Subject), nlme::Orthodont, subset = rows), "does not have", class = "fastlmm_error_subset")
    expect_error(fastlmm_fit(cbind(distance, age) ~ 1 + (1 | Subject), nlme::Orthodont, subset = rows), class = "fastlmm_error_subset")
    expect_error(slamglmm_fit(cbind(distance, age) ~ 1 + (1 | Subject), nlme::Orthodont, subset = rows), class = "fastlmm_error_subset")
  }
  expect_identical(nobs(fastlmm_fit(distance ~ age + (1 | Subject), nlme::Orthodont, subset = -(1:8))), 100L)
})
