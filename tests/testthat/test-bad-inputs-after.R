# The rows of the table of bad inputs that come after the fit: prediction, storage, other processes, update and refit, settings.

after_fit <- function(...) fastlmm_fit(y ~ x + f + (1 | id), small_data()$d, K = small_data()$K, ...)

test_that("row 59: an id of K without data gets its BLUP, one outside K is refused or 0", {
  fit <- after_fit()
  new <- data.frame(x = 0, f = "a", id = c("i14", "i99"))
  expect_refused(predict(fit, new), "new_levels")
  found <- predict(fit, new, allow.new.levels = TRUE)
  expect_equal(found[[1]] - found[[2]], ranef(fit, which = "all")$id["i14", 1])
  expect_equal(found[[2]], predict(fit, new, re.form = NA)[[2]])
})

test_that("row 60: NA in new data is NA in its row", {
  new <- data.frame(x = c(0, NA, 0, 0), f = c("a", "b", NA, "c"), id = c("i1", "i1", "i1", NA))
  expect_identical(unname(is.na(predict(after_fit(), new))), c(FALSE, TRUE, TRUE, TRUE))
})

test_that("row 61: a new level or another type of a fixed variable is named", {
  fit <- after_fit()
  expect_refused(predict(fit, data.frame(x = 0, f = c("a", "d", "e"), id = "i1")), "new_fixed_level")
  expect_refused(predict(fit, data.frame(x = "0", f = "a", id = "i1")), "variable_type")
  expect_refused(predict(fit, data.frame(x = 0, f = 1, id = "i1")), "variable_type")
  dated <- fastlmm_fit(y ~ t + (1 | id), transform(small_data()$d, t = as.Date("2020-01-01") + 1:24))
  expect_refused(predict(dated, data.frame(t = 3, id = "i1")), "variable_type")
  as_character <- predict(fit, data.frame(x = 0, f = "b", id = "i1"))
  expect_equal(predict(fit, data.frame(x = 0, f = factor("b", levels = c("z", "b")), id = "i1")), as_character)
})

test_that("row 62: a column that new data lack is named, even where the caller has such a variable", {
  fit <- after_fit()
  x <- c(1, 2)
  expect_refused(predict(fit, data.frame(f = c("a", "b"), id = "i1")), "missing_variable")
  expect_refused(predict(fit, data.frame(x = x, f = c("a", "b"))), "missing_variable")
})

test_that("row 63: no new rows give no numbers", {
  expect_length(predict(after_fit(), small_data()$d[0, ]), 0)
  expect_length(predict(after_fit(), data.frame()), 0)
})

test_that("row 64: without the random effect new data need no id", {
  fit <- after_fit()
  expect_equal(predict(fit, small_data()$d[c("x", "f")], re.form = NA), predict(fit, re.form = NA))
})

test_that("row 65: a fit that was saved predicts, refits and updates in another process", {
  path <- tempfile_with(".rds")
  out <- tempfile_with(".rds")
  fit <- after_fit(weights = w)
  saveRDS(fit, path)
  script <- tempfile_with(".R")
  writeLines(deparse(bquote({
    .libPaths(.(.libPaths()))
    library(fastlmm)
    fit <- readRDS(.(path))
    new <- data.frame(x = 1, f = "b", id = c("i2", "i15"))
    saveRDS(list(predict(fit, new), refit(fit, rev(fit$y))$h2, suppressMessages(update(fit, . ~ . - f))$logLik), .(out))
  })), script)
  expect_equal(system2(file.path(R.home("bin"), "Rscript"), c("--vanilla", script), stdout = FALSE, stderr = FALSE), 0)
  expected <- list(
    predict(fit, data.frame(x = 1, f = "b", id = c("i2", "i15"))), refit(fit, rev(fit$y))$h2,
    fastlmm_fit(y ~ x + (1 | id), small_data()$d, small_data()$K, weights = w)$logLik
  )
  expect_equal(readRDS(out), expected)
})

test_that("row 67: a comma as decimal mark changes nothing but what is printed", {
  fit <- after_fit()
  old <- options(OutDec = ",")
  on.exit(options(old))
  d <- transform(small_data()$d, id = as.numeric(sub("i", "", id)) + 0.5)
  K <- small_data()$K
  dimnames(K) <- rep(list(paste0(1:15, ".5")), 2)
  expect_same_fit(fastlmm_fit(y ~ x + f + (1 | id), d, K = K), fit)
  expect_match(capture.output(print(fit)), "h2: 0,", all = FALSE)
})

test_that("row 68: update takes the stored frame and kernel when data and K are gone, and says so", {
  local({
    gone <- transform(small_data()$d, z = x^2, ll = log(w))
    gone_K <- small_data()$K
    fit <- fastlmm_fit(y ~ x + z + (1 | id), gone, K = gone_K, weights = w, offset = o, subset = x < 1.5)
    transformed <- fastlmm_fit(y ~ log(w) + (1 | id), gone, K = gone_K)
    smaller <- fastlmm_fit(y ~ x + (1 | id), gone, K = gone_K, weights = w, offset = o, subset = x < 1.5)
    expect_same_fit(update(fit, . ~ . - z), smaller)
    expect_silent(update(fit, method = "ML"))
    rm(gone, gone_K)
    expect_message(updated <- update(fit, . ~ . - z), class = "fastlmm_message_stored_frame")
    expect_same_fit(updated, smaller)
    expect_same_fit(suppressMessages(update(fit, K = NULL, offset = NULL)), suppressMessages(
      fastlmm_fit(y ~ x + z + (1 | id), subset(small_data()$d, x < 1.5) |> transform(z = x^2), weights = w)
    ))
    expect_equal(predict(updated, small_data()$d[1:3, ]), predict(smaller, small_data()$d[1:3, ]))
    expect_snapshot(invisible(update(fit, . ~ . - z)))
    expect_identical(updated$call[c("data", "K", "offset")], fit$call[c("data", "K", "offset")])
    expect_refused(update(transformed, method = "ML"), "data_gone")
    expect_equal(update(fit, evaluate = FALSE)$data, as.name("gone"))
  })
})

test_that("row 68: update finds data where the formula was written", {
  inside <- function() {
    mine <- small_data()$d
    fastlmm_fit(log(w) + y ~ x + f + (1 | id), subset(mine, x < 1.5), K = small_data()$K)
  }
  fit <- inside()
  expect_silent(updated <- update(fit, . ~ . - f))
  expect_same_fit(updated, fastlmm_fit(log(w) + y ~ x + (1 | id), subset(small_data()$d, x < 1.5), K = small_data()$K))
})

test_that("row 69: refit says what is wrong with a new response", {
  fit <- after_fit()
  expect_refused(refit(fit, replace(fit$y, 3, NA)), "new_response")
  expect_refused(refit(fit, 1:3), "new_response")
  expect_refused(refit(fit, letters[1:24]), "new_response")
  expect_refused(refit(fit, cbind(fit$y, 1)), "many_responses")
  expect_refused(refit(fit, rep(1, 24)), "constant_response")
})

test_that("refit is the fit of the new response, and of the same one the same", {
  d <- small_data()$d
  d$y[4] <- NA
  d$new <- rev(small_data()$d$y)
  fit <- fastlmm_fit(y ~ x + (1 | id), d, K = small_data()$K)
  expect_equal(refit(fit), fit)
  expect_equal(refit(fit, fit$y), fit)
  expected <- fastlmm_fit(new ~ x + (1 | id), d[-4, ], K = small_data()$K)
  for (response in list(d$new, d$new[-4], data.frame(sim_1 = d$new[-4]))) expect_same_fit(refit(fit, response), expected)
  expect_equal(unname(model.frame(refit(fit, d$new))[[1]]), d$new[-4])
})

test_that("row 72: settings are checked", {
  expect_error(after_fit(control = fastlmm_control(optimizer = "bobyqa")), "unused argument")
  expect_refused(after_fit(control = list(optimizer = "bobyqa")), "control")
  expect_refused(after_fit(control = "fast"), "control")
  expect_refused(fastlmm_control(tolerance = -1), "control")
  expect_refused(fastlmm_control(tolerance = c(1e-8, 1e-9)), "control")
  expect_refused(fastlmm_control(verbose = "yes"), "control")
  expect_refused(fastlmm_control(threads = 0), "threads")
  expect_error(after_fit(method = "reml"), "should be one of")
})

test_that("row 74: a long decomposition is announced", {
  expect_silent(announce_decomposition(5000))
  expect_message(announce_decomposition(5001), class = "fastlmm_message_decomposition")
  expect_snapshot(announce_decomposition(5001))
})
