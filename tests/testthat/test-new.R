# The shape of a fit: what is written by hand for speed is what R's own functions make.

test_that("tables of a fit are those of as.data.frame()", {
  columns <- list(log_delta = c(-1, 0.5), logLik = c(-3, NA))
  expect_identical(plain_table(columns), as.data.frame(columns))
  none <- lapply(columns, `[`, 0)
  expect_identical(plain_table(none), as.data.frame(none))
  expect_identical(plain_table(list()), as.data.frame(list()))
  expect_identical(plain_table(as.data.frame(columns)), as.data.frame(columns))
})

test_that("a grouping factor is named by its text", {
  of <- function(expr) term_name(list(group = expr))
  expect_identical(of(quote(id)), "id")
  expect_identical(of(as.name("a b")), deparse1(as.name("a b")))
  expect_identical(of(quote(a:b)), "a:b")
  expect_identical(of(NULL), ".row")
})

test_that("rows without missing values are those that na.omit() and na.exclude() keep, and other functions are asked", {
  whole <- model.frame(y ~ x + m, list(y = c(1, 2, 3), x = c("a", "b", "a"), m = cbind(1:3, 4:6)))
  for (action in list(na.omit, na.exclude)) expect_identical(answered_frame(whole, action), action(whole))
  expect_identical(nrow(answered_frame(whole, function(frame) frame[-1, ])), 2L)
  whole$m[2, 1] <- NA
  for (action in list(na.omit, na.exclude)) expect_identical(answered_frame(whole, action), action(whole))
})
