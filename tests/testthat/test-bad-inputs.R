# The table of bad inputs and edge cases, row by row: formula and data. The kernel's rows are in test-kernel.R, those of prediction and of
# everything after the fit in test-bad-inputs-after.R.

small_fit <- function(formula = y ~ x + (1 | id), data = small_data()$d, K = small_data()$K, ...) {
  fastlmm_fit(formula, data, K, ...)
}

with_cells <- function(column, rows, value) {
  d <- small_data()$d
  d[[column]][rows] <- value
  d
}

expect_drops_row <- function(data, row = 3) {
  expect_same_fit(small_fit(data = data), small_fit(data = small_data()$d[-row, ]))
}

# ---- missing and infinite values ----------------------------------------------------------------------

test_that("rows 1, 2, 4, 6: NA and NaN in y, x or id drop the row, and the count is said when asked", {
  for (column in c("y", "x", "id")) expect_drops_row(with_cells(column, 3, NA))
  expect_drops_row(with_cells("y", 3, NaN))
  expect_snapshot(invisible(small_fit(data = with_cells("y", c(3, 7), NA), control = fastlmm_control(verbose = TRUE))))
  said <- capture_messages(small_fit(data = with_cells("y", c(3, 7), NA), control = list(verbose = TRUE)))
  expect_match(said[1], "2 rows of 24 left out")
  expect_silent(small_fit(data = with_cells("y", 3, NA)))
})

test_that("row 3: Inf in y names the rows", {
  expect_refused(small_fit(data = with_cells("y", 3:9, Inf)), "nonfinite")
})

test_that("row 5: Inf in x names the column and the rows", {
  expect_refused(small_fit(y ~ f + poly(x, 1, raw = TRUE) + (1 | id), with_cells("x", c(3, 5), -Inf)), "nonfinite")
})

test_that("row 7: na.exclude pads fitted values and residuals", {
  fit <- small_fit(data = with_cells("y", 3, NA), na.action = na.exclude)
  for (f in list(fitted, residuals)) {
    expect_length(f(fit), 24)
    expect_identical(which(is.na(f(fit))), c(`3` = 3L))
  }
  expect_equal(nobs(fit), 23)
})

test_that("row 8: na.fail refuses missing values, na.pass hands them on and they are named", {
  data <- with_cells("y", 3, NA)
  expect_refused(small_fit(data = data, na.action = na.fail), "missing_values")
  expect_refused(small_fit(data = data, na.action = na.pass), "nonfinite")
  expect_refused(small_fit(data = with_cells("x", 3, NA), na.action = na.pass), "nonfinite")
  expect_refused(small_fit(data = with_cells("id", 3, NA), na.action = na.pass), "missing_id")
  expect_same_fit(small_fit(na.action = na.fail), small_fit())
  expect_same_fit(small_fit(data = data, na.action = "na.omit"), small_fit(data = data))
})

test_that("row 9: a response that is all NA leaves no rows", {
  expect_refused(small_fit(data = with_cells("y", 1:24, NA)), "no_rows")
})

# ---- kinds of response --------------------------------------------------------------------------------

test_that("row 10: integer and logical responses are numbers", {
  d <- small_data()$d
  for (as in list(as.integer, function(y) y > 1)) {
    expect_same_fit(small_fit(data = transform(d, y = as(y))), small_fit(data = transform(d, y = as.numeric(as(y)))))
  }
})

test_that("row 11: factor, character, complex and Date responses are refused", {
  d <- small_data()$d
  expect_refused(small_fit(factor(y) ~ x + (1 | id)), "response_type")
  expect_refused(small_fit(as.character(y) ~ x + (1 | id)), "response_type")
  expect_refused(small_fit(data = transform(d, y = y + 0i)), "response_type")
  expect_refused(small_fit(data = transform(d, y = as.Date("2020-01-01") + 1:24)), "response_type")
})

test_that("row 12: a matrix response of one column is a vector", {
  d <- small_data()$d
  d$s <- scale(d$y)
  expect_same_fit(small_fit(s ~ x + (1 | id), d), small_fit(as.numeric(s) ~ x + (1 | id), d))
  expect_null(attributes(unname(small_fit(s ~ x + (1 | id), d)$y)))
})

test_that("row 13: several responses are fitted, each on its own", {
  expect_s3_class(suppressMessages(small_fit(cbind(y, 2 * y + x^2) ~ x + (1 | id))), "fastlmm_mlm")
})

test_that("row 14: a list is no response", {
  d <- small_data()$d
  d$y <- as.list(d$y)
  expect_refused(small_fit(data = d), "list_column")
})

test_that("row 15: a constant response has no variation, with an offset too", {
  expect_refused(small_fit(data = with_cells("y", 1:24, 3)), "constant_response")
  expect_error(small_fit(o ~ x + (1 | id), offset = o), class = "fastlmm_error_constant_response")
  expect_s3_class(suppressMessages(small_fit(data = with_cells("y", 1:24, 3), offset = o + x^2)), "fastlmm")
})

test_that("row 16: a perfect fit is a warning, with h2 NA", {
  expect_warning(fit <- small_fit(data = with_cells("y", 1:24, small_data()$d$x * 2 - 1)), class = "fastlmm_warning_perfect_fit")
  expect_equal(unname(fit$coefficients), c(-1, 2))
  expect_identical(fit$h2, NA_real_)
  expect_snapshot(invisible(small_fit(data = with_cells("y", 1:24, small_data()$d$x * 2 - 1))))
})

test_that("row 17: a response that ids explain is delta = 0, flagged", {
  data <- with_cells("y", 1:24, rep(c(3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8), 2))
  expect_warning(fit <- small_fit(data = data), class = "fastlmm_warning_explained_by_kernel")
  expect_identical(c(fit$delta, fit$h2, fit$sigma2_e), c(0, 1, 0))
  expect_snapshot(invisible(small_fit(data = data)))
})

test_that("row 18: no variance between groups is a message, the fit is that of lm and its df counts", {
  skip_if_not_installed("lme4")
  expect_message(fit <- fastlmm_fit(Yield ~ 1 + (1 | Batch), lme4::Dyestuff2), class = "fastlmm_message_boundary")
  reference <- lm(Yield ~ 1, lme4::Dyestuff2)
  expect_equal(fit$coefficients, coef(reference))
  expect_equal(vcov(fit), vcov(reference))
  expect_equal(fit$sigma2_e, sigma(reference)^2)
  expect_equal(as.numeric(logLik(fit)), as.numeric(logLik(reference, REML = TRUE)))
  expect_equal(attr(logLik(fit), "df"), 3)
  expect_snapshot(invisible(fastlmm_fit(Yield ~ 1 + (1 | Batch), lme4::Dyestuff2)))
})

# ---- scale --------------------------------------------------------------------------------------------

test_that("row 19: the scale of y carries over exactly", {
  d <- small_data()$d
  fit <- small_fit()
  for (power in c(-500, -20, 20, 500)) {
    scaled <- small_fit(data = transform(d, y = y * 2^power))
    expect_identical(scaled$delta, fit$delta)
    expect_identical(scaled$sigma2_e, fit$sigma2_e * 4^power)
    expect_identical(scaled$coefficients, fit$coefficients * 2^power)
    expect_equal(scaled$logLik, fit$logLik - 22 * power * log(2), tolerance = 1e-12)
  }
  for (power in c(-150, -8, 8, 150)) {
    scaled <- small_fit(data = transform(d, y = y * 10^power))
    expect_equal(scaled$delta, fit$delta, tolerance = 1e-6)
    expect_equal(sqrt(scaled$sigma2_e) / 10^power, sqrt(fit$sigma2_e), tolerance = 1e-8)
  }
})

test_that("row 20: variances beyond the range of numbers are an error, not a wrong fit", {
  d <- small_data()$d
  expect_refused(small_fit(data = transform(d, y = y * 1e-310)), "scale")
  expect_refused(small_fit(data = transform(d, y = y * 1e200)), "scale")
})

test_that("row 21: a large mean costs only the digits that it takes", {
  d <- small_data()$d
  fit <- small_fit()
  for (mean in c(1e8, 1e12)) {
    moved <- small_fit(data = transform(d, y = y + mean))
    expect_equal(moved$h2, fit$h2, tolerance = 1e-14 * mean)
    expect_equal(moved$sigma2_e, fit$sigma2_e, tolerance = 1e-14 * mean)
  }
})

test_that("row 22: the scale of x does not matter and needs no warning", {
  d <- small_data()$d
  fit <- small_fit()
  for (scale in c(1e-150, 1e-12, 1e12, 1e150)) {
    expect_silent(scaled <- small_fit(data = transform(d, x = x * scale)))
    expect_equal(scaled$coefficients[["x"]] * scale, fit$coefficients[["x"]], tolerance = 1e-8)
    expect_equal(scaled$h2, fit$h2, tolerance = 1e-6)
  }
})

# ---- rank ---------------------------------------------------------------------------------------------

test_that("rows 23, 24: constant and collinear columns have coefficient NA, with a message", {
  d <- small_data()$d
  d$one <- 1
  d$twice <- 3 - 2 * d$x
  expect_message(fit <- small_fit(y ~ one + x + twice + (1 | id), d), class = "fastlmm_message_aliased")
  expect_identical(names(which(is.na(fit$coefficients))), c("one", "twice"))
  expect_identical(is.na(fit$coefficients), is.na(coef(lm(y ~ one + x + twice, d))))
  expect_equal(fit$logLik, small_fit()$logLik)
  expect_snapshot(invisible(small_fit(y ~ one + x + twice + (1 | id), d)))
})

test_that("row 25: the tolerance for collinear columns is that of lm, 1e-7", {
  d <- small_data()$d
  set.seed(1)
  noise <- rnorm(24)
  for (size in c(1e-8, 1e-6)) {
    d$near <- d$x + size * noise
    expect_identical(is.na(suppressMessages(small_fit(y ~ x + near + (1 | id), d))$coefficients), is.na(coef(lm(y ~ x + near, d))))
  }
})

test_that("row 26: no more columns than rows", {
  expect_refused(small_fit(y ~ factor(x) + (1 | id), small_data()$d[1:8, ]), "too_few_rows")
})

test_that("row 27: one degree of freedom left is a fit with a warning", {
  d <- small_data()$d[1:8, ]
  d$g <- factor(c(1, 1:7))
  expect_warning(fit <- small_fit(y ~ g + (1 | id), d), class = "fastlmm_warning_one_contrast")
  expect_equal(fit$coefficients, coef(lm(y ~ g, d)))
  expect_snapshot(invisible(small_fit(y ~ g + (1 | id), d)))
})

# ---- too little ---------------------------------------------------------------------------------------

test_that("row 28: empty data", {
  expect_refused(small_fit(data = small_data()$d[0, ]), "no_rows")
})

test_that("row 29: one row", {
  expect_refused(small_fit(data = small_data()$d[1, ]), "too_few_rows")
  expect_refused(small_fit(data = small_data()$d[1, ], K = NULL), "one_group")
})

test_that("row 30: one group is refused unless K has more ids; then its effect is confounded", {
  one <- small_data()$d[c(1, 13), ]
  expect_refused(small_fit(y ~ 1 + (1 | id), one, K = NULL), "one_group")
  expect_refused(small_fit(y ~ 1 + (1 | id), one, K = small_data()$K["i1", "i1", drop = FALSE]), "one_group")
  expect_warning(small_fit(y ~ 1 + (1 | id), one), class = "fastlmm_warning_confounded")
})

test_that("row 31: as many groups as rows are fitted with K, and refused where K is the identity", {
  once_each <- small_data()$d[1:12, ]
  K <- small_data()$K
  expect_equal(small_fit(data = once_each)$logLik, dense_fit(once_each$y, cbind(1, once_each$x), K[1:12, 1:12])$logLik, tolerance = 1e-8)
  expect_refused(small_fit(data = once_each, K = NULL), "not_identifiable")
  expect_error(small_fit(data = once_each, K = list(id = 3 * diag(15) + 0 * K)), class = "fastlmm_error_not_identifiable")
})

test_that("row 32: a model without a random effect is lm's", {
  expect_refused(small_fit(y ~ x, K = NULL), "no_random")
})

test_that("row 33: only an intercept, and no fixed effect at all", {
  d <- small_data()$d
  G <- small_data()$K[d$id, d$id]
  for (method in c("REML", "ML")) {
    expect_equal(small_fit(y ~ (1 | id), method = method)$logLik, dense_fit(d$y, matrix(1, 24), G, method)$logLik, tolerance = 1e-8)
    none <- small_fit(y ~ 0 + (1 | id), method = method)
    expect_equal(none$logLik, dense_fit(d$y, matrix(0, 24, 0), G, method)$logLik, tolerance = 1e-8)
    expect_identical(c(none$rank, length(none$coefficients), dim(none$vcov)), c(0L, 0L, 0L, 0L))
  }
})

# ---- formulas -----------------------------------------------------------------------------------------

test_that("row 34: the dot leaves the grouping variables out", {
  d <- small_data()$d[c("y", "x", "f", "id")]
  expect_named(small_fit(y ~ . + (1 | id), d)$coefficients, c("(Intercept)", "x", "fb", "fc"))
  expect_named(small_fit(log(y + 9) ~ . + (1 | id:f), d, K = NULL)$coefficients, c("(Intercept)", "x"))
  expect_same_fit(small_fit(y ~ . - f + (1 | id), d), small_fit())
})

test_that("row 35: poly(), ns(), scale(), log() and I() predict as they fit", {
  d <- small_data()$d
  d$p <- exp(d$x)
  fit <- small_fit(y ~ poly(x, 2) + splines::ns(p, 2) + scale(o) + log(p + 9) + I(x * o) + (1 | id), d)
  some <- d[c(2, 9, 17), ]
  expect_equal(predict(fit, some), fitted(fit)[c(2, 9, 17)], tolerance = 1e-10)
  slope <- small_fit(y ~ f + (0 + scale(x) | id), d)
  expect_gt(slope$h2, 0)
  expect_equal(predict(slope, some), fitted(slope)[c(2, 9, 17)], tolerance = 1e-10)
})

test_that("row 36: rows where a function gives NaN are dropped, with R's warning", {
  expect_warning(fit <- small_fit(log(y) ~ x + (1 | id)), "NaNs produced")
  expect_equal(nobs(fit), sum(small_data()$d$y > 0))
})

test_that("row 37: interactions, ordered factors and contrasts give lm's columns", {
  d <- small_data()$d
  d$g <- factor(d$f, ordered = TRUE)
  columns <- function(...) names(suppressMessages(small_fit(...))$coefficients)
  expect_identical(columns(y ~ x * g + (1 | id), d), names(coef(lm(y ~ x * g, d))))
  expect_identical(columns(y ~ f + (1 | id), contrasts = list(f = "contr.sum")), names(coef(lm(y ~ f, d, contrasts = list(f = "contr.sum")))))
  fit <- small_fit(y ~ f + (1 | id), contrasts = list(f = "contr.sum"))
  expect_equal(predict(fit, d), fitted(fit))
  expect_refused(small_fit(y ~ f + (1 | id), contrasts = list(f = "contr.none")), "contrasts")
})

test_that("rows 38, 39: offset() and offset = are the same, drop a row if NA, and must fit", {
  d <- small_data()$d
  fit <- small_fit(y ~ x + offset(o) + (1 | id))
  expect_same_fit(small_fit(offset = o), fit)
  expect_same_fit(small_fit(data = transform(d, y = y - o)), fit)
  expect_same_fit(small_fit(y ~ x + offset(o / 2) + (1 | id), offset = o / 2), fit)
  for (each in list(fit, small_fit(offset = o))) expect_equal(predict(each, d), fitted(each))
  expect_equal(nobs(small_fit(data = with_cells("o", 3, NA), offset = o)), 23)
  expect_refused(small_fit(offset = o[1:4]), "model_frame")
  expect_refused(small_fit(offset = as.character(o)), "offset")
  expect_refused(small_fit(offset = 1 / o), "offset")
})

# ---- weights and subsets ------------------------------------------------------------------------------

test_that("row 40: weights divide the residual variance", {
  d <- small_data()$d
  expected <- dense_fit(d$y, cbind(1, d$x), small_data()$K[d$id, d$id], weights = d$w)
  fit <- small_fit(weights = w)
  expect_equal(fit$logLik, expected$logLik, tolerance = 1e-8)
  expect_equal(unname(fit$coefficients), expected$beta, tolerance = 1e-5)
  expect_same_fit(fastlmm_fit(y ~ x + (1 | id), d, small_data()$K, weights = d$w), fit)
})

test_that("row 41: rows of weight 0 are left out, said, and padded", {
  d <- small_data()$d
  expect_message(fit <- small_fit(weights = ifelse(1:24 == 3, 0, w)), class = "fastlmm_message_zero_weights")
  expect_same_fit(fit, small_fit(data = d[-3, ], weights = w))
  expect_true(is.finite(fit$logLik))
  padded <- suppressMessages(small_fit(data = with_cells("y", 5, NA), weights = ifelse(1:24 == 3, 0, w), na.action = na.exclude))
  expect_identical(unname(which(is.na(residuals(padded)))), c(3L, 5L))
  expect_snapshot(invisible(small_fit(weights = ifelse(1:24 == 3, 0, w))))
})

test_that("rows 42, 43: bad weights", {
  expect_refused(small_fit(weights = w - 2), "weights")
  expect_refused(small_fit(weights = ifelse(1:24 == 3, Inf, w)), "weights")
  expect_refused(small_fit(weights = as.character(w)), "weights")
  expect_refused(small_fit(weights = 1:3), "model_frame")
  expect_refused(small_fit(weights = 0 * w), "weights")
  missing_too <- with_cells("y", 3, NA)
  expect_equal(nobs(small_fit(data = missing_too, weights = ifelse(is.na(y), NA, w))), 23)
  # a row without a weight is left out, as lm() does
  holes <- with_cells("w", 3, NA)
  fit <- small_fit(data = holes, weights = w)
  expect_same_fit(fit, small_fit(data = small_data()$d[-3, ], weights = w))
  expect_identical(as.integer(fit$na.action), as.integer(lm(y ~ x, holes, weights = w)$na.action))
  expect_identical(which(is.na(fitted(small_fit(data = holes, weights = w, na.action = na.exclude)))), c(`3` = 3L))
  expect_refused(small_fit(data = holes, weights = w, na.action = na.fail), "missing_values")
  expect_refused(small_fit(data = holes, weights = w, na.action = na.pass), "weights")
})

test_that("row 44: subsets", {
  expect_same_fit(small_fit(subset = x < 1), small_fit(data = subset(small_data()$d, x < 1)))
  expect_refused(small_fit(subset = x > 100), "no_rows")
})

# ---- kinds of variable --------------------------------------------------------------------------------

test_that("row 45: unused levels of groups and of fixed factors are dropped", {
  d <- small_data()$d
  d$id <- factor(d$id, levels = paste0("i", 15:1))
  fit <- small_fit(y ~ f + (1 | id), d[d$f != "b", ], K = NULL)
  expect_named(fit$coefficients, c("(Intercept)", "fc"))
  expect_length(fit$random[[1]]$ids, 8)
  contrasts(d$f) <- contr.sum(3)
  expect_warning(small_fit(y ~ f + (1 | id), d[d$f != "b", ]), class = "fastlmm_warning_contrasts_dropped")
})

test_that("row 46: a factor of a single level is named", {
  expect_refused(small_fit(y ~ x * f + (1 | id), subset(small_data()$d, f == "b")), "single_level")
})

test_that("row 47: groups may be character, factor or numbers", {
  d <- small_data()$d
  K <- small_data()$K
  fit <- small_fit()
  expect_same_fit(small_fit(data = transform(d, id = factor(id, levels = sample(unique(id))))), fit)
  number <- as.integer(sub("i", "", d$id))
  dimnames(K) <- rep(list(sub("i", "", rownames(K))), 2)
  for (as in list(as.integer, as.numeric, as.character, factor)) expect_same_fit(small_fit(data = transform(d, id = as(number)), K = K), fit)
})

test_that("row 48: a variable that is missing is named, even where a function has its name", {
  expect_refused(small_fit(y ~ x + q + (1 | id)), "missing_variable")
  expect_refused(small_fit(weights = weight), "missing_variable")
  long <- small_data()$d
  names(long)[names(long) == "x"] <- "temperature"
  expect_refused(small_fit(y ~ temprature + (1 | id), long), "missing_variable")
})

test_that("row 49: without data the formula's environment is looked up", {
  local({
    d <- small_data()$d
    y <- d$y
    x <- d$x
    id <- d$id
    expect_same_fit(fastlmm_fit(y ~ x + (1 | id), K = small_data()$K), small_fit())
    expect_same_fit(fastlmm_fit(d$y ~ d$x + (1 | d$id), K = small_data()$K), small_fit())
    expect_same_fit(fastlmm_fit(y ~ x + (1 | id), list2env(d), K = small_data()$K), small_fit())
    expect_refused(fastlmm_fit(y ~ x + zz + (1 | id)), "missing_variable")
  })
})

test_that("row 50: data may be a list, a tibble or a matrix with column names", {
  d <- small_data()$d
  expect_same_fit(small_fit(data = as.list(d)), small_fit())
  expect_same_fit(small_fit(data = structure(d, class = c("tbl_df", "tbl", "data.frame"))), small_fit())
  d$id <- as.integer(sub("i", "", d$id))
  expect_same_fit(small_fit(data = as.matrix(d[c("y", "x", "id")]), K = NULL), small_fit(data = d, K = NULL))
  expect_refused(small_fit(data = matrix(1:4, 2)), "data")
  expect_refused(small_fit(data = list(y = 1:3, x = 1:4)), "data")
  expect_refused(small_fit(data = "d"), "data")
})

test_that("row 51: a misspelt argument is an error", {
  expect_error(fastlmm_fit(y ~ x + (1 | id), small_data()$d, Kernel = small_data()$K), "unused argument")
  expect_refused(update(small_fit(), Method = "ML"), "unused_argument")
  expect_refused(fixef(small_fit(), digits = 3), "unused_argument")
})

test_that("row 52: a formula may be a string or stand in a variable, and is kept", {
  stored <- y ~ x + (1 | id)
  fit <- small_fit(stored)
  expect_identical(formula(fit), stored)
  expect_same_fit(small_fit("y ~ x + (1 | id)"), fit)
  expect_refused(small_fit("y ~ x +"), "formula")
  expect_refused(small_fit(~ x + (1 | id)), "formula")
  expect_refused(small_fit(3), "formula")
})

test_that("rows 53, 54, 55: odd names are kept as lm keeps them: not syntactic, UTF-8, very long", {
  d <- small_data()$d
  long <- strrep("n", 5000)
  for (name in c("my x", if (l10n_info()[["UTF-8"]]) "\u0394\u03b8", long, "if")) {
    names(d)[2] <- name
    formula <- reformulate(c(paste0("`", name, "`"), "(1 | id)"), "y")
    fit <- small_fit(formula, d)
    expect_identical(names(fit$coefficients)[2], if (make.names(name) == name) name else paste0("`", name, "`"))
    expect_equal(predict(fit, d), fitted(fit))
    expect_same_fit(fit, small_fit())
  }
  names(d)[1:2] <- c("the id", "x")
  d[["the id"]] <- sub("i", "\u00ef", d[["the id"]])
  K <- small_data()$K
  dimnames(K) <- rep(list(sub("i", "\u00ef", rownames(K))), 2)
  fit <- small_fit(y ~ x + (1 | `the id`), d, K = list(`the id` = K))
  expect_same_fit(fit, small_fit())
  expect_identical(rownames(ranef(fit)[["the id"]])[1], "\u00ef1")
})

test_that("row 56: duplicated column names are a warning where they are used", {
  d <- small_data()$d
  names(d)[5] <- "x"
  expect_warning(fit <- small_fit(data = d), class = "fastlmm_warning_duplicated_column")
  expect_same_fit(fit, small_fit())
  expect_snapshot(invisible(small_fit(data = d)))
  expect_silent(small_fit(y ~ f + (1 | id), d))
})

test_that("row 57: a matrix column gives a coefficient a column", {
  d <- small_data()$d
  d$P <- cbind(a = d$x, b = d$o)
  fit <- small_fit(y ~ P + (1 | id), d)
  expect_named(fit$coefficients, c("(Intercept)", "Pa", "Pb"))
  expect_equal(predict(fit, d), fitted(fit))
})

test_that("row 58: an S4 column is refused, with what to do", {
  data <- c(as.list(small_data()$d), list(G = Matrix::Matrix(diag(24), sparse = TRUE)))
  expect_refused(small_fit(y ~ G + (1 | id), list2env(data)), "s4_column")
})

test_that("row 75: a fixed factor of very many levels is refused before it is built", {
  huge <- data.frame(y = seq_len(2e5) / 7, g = factor(seq_len(2e5) %% 1e5), id = rep(c("a", "b"), 1e5))
  hide_memory <- function(lines) sub("and [0-9.]+ GiB are available", "and ... GiB are available", lines)
  expect_error(fastlmm_fit(y ~ g + (1 | id), huge), class = "fastlmm_error_memory")
  expect_snapshot(fastlmm_fit(y ~ g + (1 | id), huge), error = TRUE, transform = hide_memory)
})

test_that("row 93: the size of a design is counted in 64 bits, before it is allocated", {
  frame <- data.frame(y = 1, g = factor(seq_len(5e4)), h = factor(seq_len(5e4)))
  expect_equal(term_columns(terms(y ~ g * h), frame), c(g = 5e4, h = 5e4, `g:h` = 2.5e9))
  expect_error(check_design_size(terms(y ~ g:h), frame, available = 1e15), class = "fastlmm_error_memory")
  expect_silent(check_design_size(terms(y ~ g:h), frame, available = NA))
  expect_silent(check_design_size(terms(y ~ 1), frame, available = 2e6))
})
