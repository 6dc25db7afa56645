# A formula is evaluated as lm() evaluates it; what cannot be found is named.

orthodont <- function() as.data.frame(nlme::Orthodont)

test_that("functions as arguments, local variables and other tables are no missing columns", {
  d <- orthodont()
  d$id <- as.character(d$Subject)
  d$within <- d$age - ave(d$age, d$Subject, FUN = mean)
  ours <- fastlmm_fit(distance ~ I(age - ave(age, Subject, FUN = mean)) + (1 | Subject), d)
  expect_equal(unname(fixef(ours)), unname(fixef(fastlmm_fit(distance ~ within + (1 | Subject), d))))

  twice <- function(x) 2 * x
  meta <- data.frame(id = rev(unique(d$id)), w = seq_len(27) / 10, keep = rep(c(TRUE, TRUE, FALSE), 9))
  double <- fastlmm_fit(distance ~ I(sapply(age, twice)) + (1 | Subject), d)
  expect_equal(unname(fixef(double))[2] * 2, unname(fixef(fastlmm_fit(distance ~ age + (1 | Subject), d)))[2])
  expect_equal(predict(double, d), fitted(double))
  d$w <- meta$w[match(d$id, meta$id)]
  expect_equal(
    logLik(fastlmm_fit(distance ~ age + (1 | Subject), d, weights = with(meta, w[match(d$id, id)]))),
    logLik(fastlmm_fit(distance ~ age + (1 | Subject), d, weights = w))
  )
  keep <- list(rows = rep(c(TRUE, FALSE, TRUE, TRUE), 27))
  expect_equal(nobs(fastlmm_fit(distance ~ age + (1 | Subject), d, subset = with(keep, rows))), 81)
  centred <- fastlmm_fit(distance ~ local({
    middle <- 11
    I(age - middle)
  }) + (1 | Subject), d)
  expect_equal(logLik(centred), logLik(fastlmm_fit(distance ~ age + (1 | Subject), d)))
  expect_equal(
    fixef(fastlmm_fit(cbind(distance, age) ~ I(ave(age, Sex, FUN = mean)) + (1 | Subject), d))[, "distance"],
    fixef(fastlmm_fit(distance ~ I(ave(age, Sex, FUN = mean)) + (1 | Subject), d))
  )
})

test_that("a table as long as the data that is looked up by a column is not asked of new data", {
  d <- orthodont()
  d$id <- as.character(d$Subject)
  long <- data.frame(id = c(unique(d$id), paste0("x", 1:100)), z = seq_len(127))
  fit <- fastlmm_fit(distance ~ age + I(long$z[match(id, long$id)]) + (1 | Subject), d)
  expect_equal(predict(fit, d[3:9, ]), fitted(fit)[3:9])
})

test_that("what is nowhere, or a function where a variable should be, is named", {
  d <- orthodont()
  said <- function(expr) tryCatch(expr, fastlmm_error_missing_variable = conditionMessage)
  expect_match(said(fastlmm_fit(distance ~ Sxe + distanse + (1 | Subject), d)), "\"Sxe\" is not in data", fixed = TRUE)
  expect_match(said(fastlmm_fit(distanse ~ age + (1 | Subject), d)), "\"distanse\" is not in data; did you mean \"distance\"", fixed = TRUE)
  expect_match(said(fastlmm_fit(distance ~ log(aeg) + (1 | Subject), d)), "\"aeg\"", fixed = TRUE)
  expect_match(said(fastlmm_fit(distance ~ age + (1 | subject), d)), "\"subject\"", fixed = TRUE)
  expect_match(said(fastlmm_fit(distance ~ age + (0 + aeg | Subject), d)), "\"aeg\"", fixed = TRUE)
  expect_match(said(fastlmm_fit(distance ~ age + gp(aeg), d)), "\"aeg\"", fixed = TRUE)
  expect_match(said(fastlmm_fit(distance ~ t + (1 | Subject), d)), "\"t\"", fixed = TRUE)
  expect_match(said(fastlmm_fit(distance ~ age + (1 | Subject), d, weights = df)), "\"df\"", fixed = TRUE)
  expect_match(said(fastlmm_fit(distance ~ age + (1 | Subject), d, subset = aeg > 8)), "\"aeg\"", fixed = TRUE)
  expect_match(said(slamglmm_fit(distance ~ aeg + (1 | Subject), d)), "\"aeg\"", fixed = TRUE)
  expect_error(fastlmm_fit(distance ~ log(t) + (1 | Subject), d), "is \"t\"", class = "fastlmm_error_model_frame")
})

test_that("a column of the data that new data lack is not looked up elsewhere, be it in a call, a slope, a group, a process or an offset", {
  d <- orthodont()
  d$o <- sin(seq_len(108))
  age <- o <- rep(1000, 4)
  Subject <- d$Subject[1:4]
  new <- function(...) d[1:4, setdiff(names(d), c(...))]
  fits <- list(
    fastlmm_fit(distance ~ I(age - ave(age, Sex, FUN = mean)) + (1 | Subject), d), fastlmm_fit(distance ~ 1 + (0 + age | Subject), d),
    fastlmm_fit(distance ~ Sex + gp(age, basis = "exact"), d), fastlmm_fit(cbind(distance, o) ~ age + (1 | Subject), d)
  )
  for (fit in fits) {
    said <- tryCatch(predict(fit, new("age")), fastlmm_error_missing_variable = conditionMessage)
    expect_equal(said, "variable \"age\" is not in newdata")
  }
  expect_error(predict(fits[[1]], new("Subject")), "Subject", class = "fastlmm_error_missing_variable")
  expect_length(predict(fits[[1]], new("Subject"), re.form = NA), 4)
  with_offset <- fastlmm_fit(distance ~ Sex + (1 | Subject), d, offset = o)
  expect_error(predict(with_offset, new("o")), "\"o\"", class = "fastlmm_error_missing_variable")
})

test_that("an update without data finds functions to be functions", {
  d <- orthodont()
  made <- local({
    distance <- d$distance
    age <- d$age
    Subject <- d$Subject
    fastlmm_fit(distance ~ I(ave(age, Subject, FUN = mean)) + I(sapply(age, sqrt)) + (1 | Subject))
  })
  expect_message(again <- update(made, . ~ . - I(ave(age, Subject, FUN = mean))), NA)
  expect_equal(logLik(again), logLik(fastlmm_fit(distance ~ sqrt(age) + (1 | Subject), d)))
})

test_that("a dot without its grouping variable raises no warning of terms(), and a list may hold a matrix", {
  set.seed(1)
  d <- data.frame(g = rep(1:10, 5), x = rnorm(50), z = rnorm(50), y = rnorm(50))
  expect_warning(fit <- fastlmm_fit(y ~ . - g + (1 | g), d), NA)
  expect_equal(formula(fit, fixed.only = TRUE), y ~ x + z, ignore_formula_env = TRUE)
  expect_equal(names(fixef(fastlmm_fit(y ~ .^2 - x:z + (1 | g), d))), c("(Intercept)", "x", "z"))
  expect_equal(names(fixef(fastlmm_fit(y ~ . - x + (1 | g), d))), c("(Intercept)", "z"))
  expect_equal(rownames(fixef(fastlmm_fit(cbind(y, x) ~ . + (1 | g), d))), c("(Intercept)", "z"))

  l <- list(Y = cbind(a = d$y, b = d$z), x = d$x, id = d$g)
  expect_equal(fixef(fastlmm_fit(Y ~ x + (1 | id), l)), fixef(fastlmm_fit(cbind(a = y, b = z) ~ x + (1 | g), d)))
})

test_that("formulas of a scan name what they lack", {
  d <- orthodont()
  fit <- fastlmm_fit(distance ~ 1 + (1 | Subject), d)
  expect_error(fastlmm_scan(fit, ~ distanse), "did you mean \"distance\"", class = "fastlmm_error_missing_variable")
  expect_error(fastlmm_scan(fit, ~ age, interaction = ~ sxe), "\"sxe\"", class = "fastlmm_error_missing_variable")
})
