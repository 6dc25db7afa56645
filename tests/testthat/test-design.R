# mold_design() and forge_design(): the same columns at fit time and at prediction.

mold <- function(formula, data, ...) mold_design(split_formula(formula, data), data, list(...))

test_that("X is lm's design, y a plain vector with row names, the id a factor", {
  d <- small_data()$d
  design <- mold(y ~ x * f + (1 | id), d)
  expect_equal(design$X, model.matrix(y ~ x * f, d))
  expect_identical(design$y, structure(d$y, names = rownames(d)))
  expect_identical(as.character(design$random[[1]]$id), d$id)
  expect_identical(design$random[[1]]$z, rep(1, 24))
  expect_identical(design$offset, rep(0, 24))
  expect_null(design$na.action)
})

test_that("terms are of the fixed part, with predvars and classes", {
  d <- small_data()$d
  terms <- mold(y ~ poly(x, 2) + f + (0 + scale(o) | id), d)$terms
  expect_identical(attr(terms, "term.labels"), c("poly(x, 2)", "f"))
  expect_match(deparse1(attr(terms, "predvars")), "coefs = list")
  expect_identical(attr(terms, "dataClasses"), c(y = "numeric", `poly(x, 2)` = "nmatrix.2", f = "factor"))
  expect_setequal(attr(terms, "columns"), c("y", "x", "f", "o", "id"))
})

test_that("the frame has the variables, ids, weights and offset of the rows that stay", {
  d <- small_data()$d
  d$x[2] <- NA
  fit <- fastlmm_fit(exp(y) ~ x + (1 | id:f), d, weights = w, offset = o, na.action = na.exclude)
  expect_named(model.frame(fit), c("exp(y)", "x", "id", "f", "(offset)", "(weights)"), ignore.order = TRUE)
  expect_identical(rownames(model.frame(fit)), as.character(c(1, 3:24)))
  expect_identical(fit$na.action, structure(c(`2` = 2L), class = "exclude"))
})

test_that("a forged design has the columns and the order of the fit, aliased ones too", {
  d <- small_data()$d
  d$twice <- 2 * d$x
  fit <- suppressMessages(fastlmm_fit(y ~ x + twice + f + offset(o) + (0 + o | id), d, K = small_data()$K))
  forged <- forge_design(fit, d[c(7, 2), setdiff(names(d), "y")])
  expect_equal(forged$X, model.matrix(fit)[c(7, 2), ], ignore_attr = c("assign", "contrasts"))
  expect_identical(forged$offset, d$o[c(7, 2)])
  expect_identical(forged$random, list(id = list(id = d$id[c(7, 2)], z = d$o[c(7, 2)])))
  expect_length(forge_design(fit, d[c("x", "twice", "f", "o")], random = list())$random, 0)
})

test_that("a forged design keeps rows with missing values, and none makes none", {
  fit <- fastlmm_fit(y ~ x + f + (1 | id), small_data()$d)
  forged <- forge_design(fit, data.frame(x = NA, f = c("a", NA), id = c(NA, "i1")))
  expect_identical(unname(is.na(forged$X)), cbind(c(FALSE, FALSE), TRUE, c(FALSE, TRUE), c(FALSE, TRUE)))
  expect_identical(forged$random$id$id, c(NA, "i1"))
  expect_identical(dim(forge_design(fit, small_data()$d[0, ])$X), c(0L, 4L))
  expect_identical(forge_design(fit, list(x = 1, f = "a", id = "i1"))$random$id$id, "i1")
  expect_refused(predict(fit, 3), "data")
})

test_that("contrasts of the fit hold at prediction, whatever the options are then", {
  d <- small_data()$d
  fit <- fastlmm_fit(y ~ f + (1 | id), d)
  old <- options(contrasts = c("contr.sum", "contr.poly"))
  on.exit(options(old))
  expect_equal(predict(fit, d), fitted(fit))
})

test_that("constants of the formula need not be columns of new data", {
  d <- small_data()$d
  knots <- c(-0.5, 0, 0.5)
  degree <- 2
  fit <- fastlmm_fit(y ~ splines::ns(x, knots = knots) + I(o^degree) + sin(pi * x) + (1 | id), d)
  expect_equal(predict(fit, d[1:3, ]), fitted(fit)[1:3])
})

test_that("an offset argument is evaluated in new data, or refused", {
  d <- small_data()$d
  outside <- d$o
  fit <- fastlmm_fit(y ~ x + (1 | id), d, offset = outside)
  expect_equal(predict(fit, cbind(d, outside)), fitted(fit))
  expect_refused(predict(fit, d[1:3, ]), "missing_variable")
  two <- 1:2
  halves <- fastlmm_fit(y ~ x + (1 | id), d, offset = rep(two, 12))
  expect_refused(predict(halves, d[1:3, ]), "new_offset")
})

test_that("arguments of a wrapper's dots are found", {
  wrapper <- function(...) fastlmm_fit(y ~ x + (1 | id), ...)
  fit <- wrapper(small_data()$d, weights = w, offset = o, subset = f != "a")
  expect_same_fit(fit, fastlmm_fit(y ~ x + (1 | id), small_data()$d, weights = w, offset = o, subset = f != "a"))
  expect_equal(predict(fit, model.frame(fit)[1:2, ] |> transform(o = c(1, 0))), c(fitted(fit)[1:2]) - model.frame(fit)[1:2, "(offset)"] + c(1, 0))
})

test_that("a column of the wrong shape is told by R's words in our class", {
  d <- small_data()$d
  short <- 1:3
  expect_refused(fastlmm_fit(y ~ x + short + (1 | id), d), "model_frame")
  expect_refused(fastlmm_fit(y ~ log(f) + (1 | id), transform(d, f = as.character(f))), "model_frame")
})

test_that("a matrix is no grouping variable", {
  d <- small_data()$d
  d$m <- cbind(d$o, d$w)
  expect_refused(fastlmm_fit(y ~ x + (1 | m), d), "group")
})
