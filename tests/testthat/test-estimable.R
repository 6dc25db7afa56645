# Predictions where X is rank deficient: NA where another choice of the aliased columns would give another number.

# A 3 x 3 layout without the cells (3, 3) and (1, 2), a covariate and its double, ids of two factors
layout <- function() {
  set.seed(31)
  d <- data.frame(a = gl(3, 24), b = factor(rep(1:3, 24)), id = factor(rep(1:12, 6)), g = factor(rep(1:8, each = 9)), x = rnorm(72))
  d <- d[!(d$a == "3" & d$b == "3" | d$a == "1" & d$b == "2"), ]
  d$double <- 2 * d$x
  d$y <- rnorm(12)[d$id] + rnorm(8, 0, 0.5)[d$g] + d$x + rnorm(nrow(d))
  d
}

cells <- function() cbind(expand.grid(a = factor(1:3), b = factor(1:3)), x = 0.3, double = c(0.6, 0.6, 0.6, 0.6, 0.7, 0.6, 0.6, 0.6, 0.6), id = "1", g = "2")

# By projection on the row space: the definition
in_rows_of <- function(fit, new) {
  X <- model.matrix(delete.response(terms(fit)), model.frame(fit))
  x <- model.matrix(delete.response(terms(fit)), new, xlev = fit$xlevels)
  basis <- svd(X, nu = 0)
  basis <- basis$v[, basis$d > 1e-8 * basis$d[1]]
  unname(rowSums((x - x %*% basis %*% t(basis))^2) < 1e-12 * rowSums(x^2))
}

expect_not_estimable <- function(value) expect_warning(force(value), class = "fastlmm_warning_not_estimable")

test_that("rows outside the row space of X are NA, the others do not depend on the levels' order", {
  d <- layout()
  new <- cells()
  formulas <- list(one = y ~ a * b + x + double + (1 | id), several = y ~ a * b + x + double + (1 | id) + (1 | g))
  for (formula in formulas) for (weights in list(rep(1, nrow(d)), runif(nrow(d), 0.5, 2))) {
    fit <- function(d) suppressMessages(fastlmm_fit(formula, d, weights = weights))
    turned <- transform(d, a = relevel(a, "3"), b = relevel(b, "2"), x = 1e9 * x)
    one <- fit(d)
    expect_not_estimable(found <- predict(one, new, se.fit = TRUE))
    expect_not_estimable(other <- predict(fit(turned), transform(new, x = 1e9 * x), se.fit = TRUE))
    expect_identical(unname(!is.na(found$fit)), in_rows_of(one, new))
    expect_identical(which(is.na(found$fit)), c(`4` = 4L, `5` = 5L, `9` = 9L))
    expect_identical(is.na(found$fit), is.na(found$se.fit))
    expect_equal(found, other, tolerance = 1e-6)
    expect_equal(unname(predict(one, d)), unname(fitted(one)))
    expect_not_estimable(population <- predict(one, new, re.form = NA))
    expect_identical(is.na(population), is.na(found$fit))
  }
})

test_that("without variance of the effects the values are those of lm()", {
  d <- layout()
  d$y <- d$x + lm(y ~ id, d)$residuals
  new <- cells()
  fit <- suppressMessages(fastlmm_fit(y ~ a * b + double + x + (1 | id), d))
  expect_equal(fit$h2, 0)
  expect_warning(theirs <- predict(lm(y ~ a * b + double + x, d), new, se.fit = TRUE))
  expect_warning(ours <- predict(fit, new, se.fit = TRUE), 'rows "4", "5", "9" \\(3 of 9\\)')
  inside <- in_rows_of(fit, new)
  expect_equal(ours$fit[inside], theirs$fit[inside])
  expect_equal(unname(ours$se.fit[inside]), unname(theirs$se.fit[inside]))
  expect_true(all(is.na(ours$fit[!inside])))
  expect_warning(rows <- augment(fit, newdata = new, se_fit = TRUE), class = "fastlmm_warning_not_estimable")
  expect_identical(is.na(rows$.fixed), !inside)
})

test_that("columns that depend on others to the tolerance of the rank only leave the rows of the data estimable", {
  d <- layout()
  d$near <- d$x * 1e8 + rnorm(nrow(d)) * 0.1
  d$x[1] <- 0
  d$near[1] <- 0.3
  fit <- suppressMessages(fastlmm_fit(y ~ x + near + (1 | id), d))
  expect_true(is.na(fixef(fit)[["near"]]))
  expect_no_warning(expect_equal(predict(fit, d), fitted(fit)))
  expect_not_estimable(predict(fit, transform(d[1, ], near = 1e7)))
})

test_that("each of many responses has its own cells", {
  d <- layout()
  d$Y <- cbind(u = d$y, v = rnorm(nrow(d)), w = rnorm(nrow(d)))
  d$Y[d$a == "2" & d$b == "1", "v"] <- NA
  d$Y[3:5, "w"] <- NA
  new <- cells()
  for (formula in list(Y ~ a * b + double + x + (1 | id), Y ~ a * b + double + x + (1 | id) + (1 | g))) {
    fit <- suppressMessages(fastlmm_fit(formula, d))
    expect_not_estimable(found <- predict(fit, new, se.fit = TRUE))
    single <- suppressWarnings(sapply(colnames(d$Y), function(name) predict(suppressMessages(extract_fit(fit, name)), new)))
    expect_equal(unname(found$fit), unname(single), tolerance = 1e-5)
    expect_identical(is.na(found$fit), is.na(found$se.fit))
    expect_identical(unname(which(is.na(found$fit[, "v"]))), c(2L, 4L, 5L, 9L))
    expect_not_estimable(rows <- predict(fit))
    expect_identical(unname(is.na(rows)), unname(cbind(FALSE, is.na(d$Y[, "v"]), rep(FALSE, nrow(d)))))
  }
})

test_that("processes, tables of sums and the sparse-factor model do likewise", {
  d <- layout()
  d$t <- runif(nrow(d))
  d$Y <- cbind(d$y, rnorm(nrow(d)))
  new <- cbind(cells(), t = 0.5)
  out <- c(4L, 5L, 9L)
  for (formula in list(y ~ a * b + double + x + gp(t), Y ~ a * b + double + x + gp(t))) {
    fit <- suppressMessages(fastlmm_fit(formula, d))
    expect_not_estimable(found <- predict(fit, new, se.fit = TRUE))
    expect_identical(unname(which(is.na(as.matrix(found$fit)[, 1]))), out)
    expect_identical(is.na(found$fit), is.na(found$se.fit))
  }
  table <- gp_accumulate(y ~ a * b + I(x + 50) + I(2 * x) + gp(t), d, gp_basis(0, 1, c(0.2, 1)))
  fit <- suppressMessages(fastlmm_fit(table))
  expect_not_estimable(found <- predict(fit, new))
  expect_identical(unname(which(is.na(found))), out[-2])
  expect_equal(fit$null_space[c(1, 6), 1] / fit$null_space[7, 1], c(100, -2), tolerance = 1e-6)
  slam <- suppressMessages(slamglmm_fit(Y ~ a * b + double + x + (1 | id), d, n_factors = 1, chains = 1, iter = 20, seed = 1))
  expect_not_estimable(found <- predict(slam, new))
  expect_identical(unname(which(is.na(found[, 1]))), out)
  expect_identical(unname(is.na(found[, 2])), unname(is.na(found[, 1])))
})
