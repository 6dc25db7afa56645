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
  expect_identical(split(y ~ x + (1 | id))[c("group", "slope")], list(group = quote(id), slope = NULL))
  expect_identical(split(y ~ x + (1 | (id)))$group, quote(id))
  expect_identical(split(y ~ (1 | a:b))$group, quote(a:b))
  expect_identical(split(y ~ (1 | factor(id)))$group, quote(factor(id)))
  expect_identical(split(y ~ x)["group"], list(group = NULL))
  spellings <- list(y ~ (0 + x | id), y ~ (x + 0 | id), y ~ (-1 + x | id), y ~ (x - 1 | id), y ~ ((x) - 1 | id))
  for (formula in spellings) expect_identical(split(formula)$slope, quote(x))
  expect_identical(split(y ~ (0 + log(x) | id))$slope, quote(log(x)))
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
  expect_refused(split(y ~ x + (1 + x | id)), "correlated_slopes")
  expect_refused(split(y ~ x + (x | id)), "correlated_slopes")
  expect_refused(split(y ~ x + (x + z | id)), "correlated_slopes")
  expect_refused(split(y ~ x + (1 + x || id)), "double_bar")
  expect_refused(split(y ~ x + (1 | a / b)), "nested")
  expect_refused(split(y ~ x + (1 | a * b)), "nested")
  expect_refused(split(y ~ x + (1 | id) + (1 | block)), "several_bars")
  expect_refused(split(y ~ x + (1 | id) + (0 + x | id)), "several_bars")
  expect_refused(split(y ~ x + gp(lon, lat, cov = "matern32")), "gp")
  expect_refused(split(y ~ x + (0 + x + z | id)), "one_slope")
  expect_refused(split(y ~ x + (0 + x:z | id)), "one_slope")
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
  expect_refused(fastlmm_fit(y ~ x + (0 + f | id), d), "slope")
  expect_refused(fastlmm_fit(y ~ x + (0 + poly(x, 2) | id), d), "slope")
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
