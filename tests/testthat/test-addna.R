# NA as a level, as addNA() makes it: the same model as with a level of that name.

addna_data <- function() {
  set.seed(2)
  d <- data.frame(
    id = factor(rep(1:12, each = 6)), f = factor(sample(c("a", "b", "c", NA), 72, TRUE)), g = factor(sample(c(letters[1:8], NA), 72, TRUE)),
    n = sample(c(1:5, NA), 72, TRUE), x = rnorm(72)
  )
  named <- function(x) factor(ifelse(is.na(x), "NA", as.character(x)))
  d[c("named_f", "named_g", "named_n")] <- lapply(d[c("f", "g", "n")], named)
  d$y <- rnorm(12)[d$id] + rnorm(9)[d$named_g] + rnorm(4)[d$named_f] + rnorm(72)
  d
}

test_that("fixed and random effects of addNA() are those of a named level, in the fit and in new data", {
  d <- addna_data()
  new <- d[sample(nrow(d), 30), ]
  pairs <- list(
    list(y ~ addNA(f) * x + (1 | id), y ~ named_f * x + (1 | id)),
    list(y ~ x + (1 | addNA(g)), y ~ x + (1 | named_g)),
    list(y ~ x + (1 | addNA(n)) + (1 | id), y ~ x + (1 | named_n) + (1 | id)),
    list(y ~ 1 + (1 | addNA(g):id), y ~ 1 + (1 | named_g:id))
  )
  for (pair in pairs) {
    fits <- suppressMessages(lapply(pair, fastlmm_fit, data = d))
    expect_equal(nobs(fits[[1]]), 72)
    expect_equal(logLik(fits[[1]]), logLik(fits[[2]]))
    expect_equal(predict(fits[[1]], new, se.fit = TRUE), predict(fits[[2]], new, se.fit = TRUE))
    expect_equal(unname(predict(fits[[1]], d)), unname(fitted(fits[[1]])))
    expect_equal(lapply(ranef(fits[[1]]), function(x) sort(rownames(x))), lapply(ranef(fits[[2]]), function(x) sort(rownames(x))), ignore_attr = TRUE)
  }
})

test_that("a column that has the level, kernels of its ids and many responses do likewise", {
  d <- addna_data()
  d$f <- addNA(d$f)
  d$Y <- cbind(d$y, rnorm(72))
  K <- random_kernel(9, ids = levels(d$named_g))
  fit <- function(formula) suppressMessages(fastlmm_fit(formula, d, K = K))
  one <- fit(Y ~ f + (1 | addNA(g)))
  two <- fit(Y ~ named_f + (1 | named_g))
  expect_equal(predict(one, d[1:9, ], se.fit = TRUE), predict(two, d[1:9, ], se.fit = TRUE))
  without <- suppressMessages(fastlmm_fit(y ~ named_f + (1 | id), droplevels(d[d$named_f != "NA", ])))
  expect_error(predict(without, d), class = "fastlmm_error_new_fixed_level")
  d$g <- factor(replace(as.character(d$g), 1:5, "NA"))
  expect_error(fastlmm_fit(y ~ 1 + (1 | addNA(g)), d), class = "fastlmm_error_group")
})
