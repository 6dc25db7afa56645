split <- function(formula, data = NULL) split_formula(formula, data)

test_that("bars leave the fixed part as it is written otherwise", {
  cases <- list(
    list(y ~ x + (1 | id), y ~ x), list(y ~ (1 | id), y ~ 1), list(y ~ 0 + (1 | id), y ~ 0), list(y ~ (1 | id) - 1, y ~ -1),
    list(y ~ (1 | id) + x * z, y ~ x * z), list(y ~ x - 1 + (1 | id), y ~ x - 1), list(y ~ x + ((1 | id)) - z, y ~ x - z),
    list(y ~ (x + (1 | id)), y ~ (x)), list(log(y) ~ I(a | b) + f(a || b) + (1 | id), log(y) ~ I(a | b) + f(a || b)),
    list(y ~ x + offset(o) + (1 | id), y ~ x + offset(o)), list(y ~ x, y ~ x)
  )
  for (case in cases) expect_equal(split(case[[1]])$fixed, case[[2]], ignore_formula_env = TRUE)
})

test_that("the random term is found in any spelling", {
  only <- function(formula) {
    terms <- split(formula)$random
    expect_length(terms, 1)
    terms[[1]]
  }
  expect_identical(only(y ~ x + (1 | id)), list(group = quote(id), slope = NULL))
  expect_identical(only(y ~ x + (1 | (id)))$group, quote(id))
  expect_identical(only(y ~ (1 | a:b))$group, quote(a:b))
  expect_identical(only(y ~ (1 | factor(id)))$group, quote(factor(id)))
  expect_identical(only(y ~ x), list(group = NULL, slope = NULL))
  spellings <- list(y ~ (0 + x | id), y ~ (x + 0 | id), y ~ (-1 + x | id), y ~ (x - 1 | id), y ~ ((x) - 1 | id))
  for (formula in spellings) expect_identical(only(formula)$slope, quote(x))
  expect_identical(only(y ~ (0 + log(x) | id))$slope, quote(log(x)))
})

test_that("several terms, double bars and nesting are written out", {
  written <- function(formula) {
    vapply(split(formula)$random, function(term) paste(deparse1(term$slope), deparse1(term$group)), "")
  }
  expect_identical(written(y ~ x + (1 | id) + (1 | block)), c("NULL id", "NULL block"))
  expect_identical(written(y ~ (1 | id) + (0 + x | id)), c("NULL id", "x id"))
  expect_identical(written(y ~ (1 + x + log(z) || id)), c("NULL id", "x id", "log(z) id"))
  expect_identical(written(y ~ (0 + x + z || id)), c("x id", "z id"))
  expect_identical(written(y ~ (1 || id)), "NULL id")
  expect_identical(written(y ~ (1 | a / b)), c("NULL b:a", "NULL a"))
  expect_identical(written(y ~ (1 | a / b / c)), c("NULL c:(b:a)", "NULL b:a", "NULL a"))
  expect_identical(written(y ~ (1 + x || a / b)), c("NULL b:a", "x b:a", "NULL a", "x a"))
  expect_refused(split(y ~ (1 | id) + (1 | id)), "same_term")
  expect_refused(split(y ~ (1 | a / b) + (1 | a)), "same_term")
})

test_that("the dot is the columns of data but the response and the groups", {
  data <- data.frame(y = 1, x = 1, a = 1, b = 1)
  labels <- function(formula) attr(terms(split(formula, data)$fixed), "term.labels")
  expect_identical(labels(y ~ . + (1 | a:b)), "x")
  expect_identical(labels(log(y) ~ . - x + (1 | a)), "b")
  expect_identical(labels(y ~ .^2 + (0 + x | a)), c("x", "b", "x:b"))
  expect_refused(split(y ~ . + (1 | id)), "formula")
})

test_that("variables are names that are looked up", {
  expect_identical(expression_variables(quote(f(x, g(y)) + d$z + pkg::h(w)[, 1] + 2)), c("x", "y", "d", "w"))
  expect_null(expression_variables(quote(function(a) a)))
  expect_null(expression_variables(NULL))
})

test_that("random terms that are not offered are refused, with what to use", {
  expect_refused(split(y ~ x + (1 | a * b)), "nested")
  expect_refused(split(y ~ x + (1 | a %in% b)), "nested")
  expect_refused(split(y ~ x + (1 | a / (b + c))), "group")
  expect_refused(split(y ~ x + (1 + x:z || id)), "one_slope")
})

test_that("several effects behind a single bar are correlated terms", {
  left <- function(formula) lapply(split(formula)$random, function(term) term$left)
  expect_identical(left(y ~ x + (1 + x | id)), list(quote(1 + x)))
  expect_identical(left(y ~ x + (x | id)), list(quote(x)))
  expect_identical(left(y ~ x + (0 + x + z | a / b)), list(quote(0 + x + z), quote(0 + x + z)))
  expect_identical(left(y ~ x + (0 + x:z | id)), list(quote(0 + x:z)))
  expect_identical(left(y ~ x + (0 + x | id) + (1 | id)), list(NULL, NULL))
  expect_refused(split(y ~ (x | id) + (x | id)), "same_term")
})

test_that("bars that are no terms are refused", {
  expect_refused(split(y ~ x + 1 | id), "bar_parentheses")
  expect_refused(split(y ~ x * (1 | id)), "bar_place")
  expect_refused(split(y ~ x - (1 | id)), "bar_place")
  expect_refused(split(y ~ x:(z + (1 | id))), "bar_place")
  expect_refused(split(y ~ (0 | id)), "group")
  expect_refused(split(y ~ (2 | id)), "group")
  expect_refused(split(y ~ (1 | 2)), "group")
  expect_refused(split(y ~ (1 | a + b)), "group")
})

test_that("slopes need one numeric variable that is finite", {
  d <- small_data()$d
  expect_refused(fastlmm_fit(y ~ f + (0 + I(1 / o) | id), d), "slope")
})

test_that("a slope is the model of the definition", {
  d <- small_data()$d
  K <- small_data()$K
  Z <- incidence(d$id, rownames(K), d$x)
  fit <- fastlmm_fit(y ~ x + (0 + x | id), d, K)
  expect_equal(fit$logLik, dense_fit(d$y, cbind(1, d$x), Z %*% K %*% t(Z))$logLik, tolerance = 1e-8)
  expect_equal(predict(fit, d), fitted(fit))
})

test_that("groups may be crossed, or an expression", {
  d <- small_data()$d
  d$both <- paste(d$id, d$f, sep = ":")
  crossed <- fastlmm_fit(y ~ x + (1 | id:f), d)
  expect_same_fit(crossed, fastlmm_fit(y ~ x + (1 | both), d))
  expect_same_fit(crossed, fastlmm_fit(y ~ x + (1 | paste(id, f)), d))
  expect_identical(names(ranef(crossed)), "id:f")
  expect_equal(predict(crossed, d[1:4, c("x", "id", "f")]), fitted(crossed)[1:4])
})
