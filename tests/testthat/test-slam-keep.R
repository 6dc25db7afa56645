# What is kept of draws, and what sampling would take.

keep_data <- function(cells = 0) {
  set.seed(4)
  line <- rep(sprintf("l%02d", 1:12), each = 3)
  Y <- matrix(rnorm(36 * 4), 36, dimnames = list(NULL, paste0("t", 1:4)))
  Y[sample(length(Y), cells)] <- NA
  data.frame(line = line, Y = I(Y))
}

keep_fit <- function(..., cells = 0) {
  suppressMessages(slamglmm_fit(Y ~ 1 + (1 | line), keep_data(cells), chains = 2, iter = 60, seed = 1, missing = "impute", progress = FALSE, ...))
}

test_that("without factors the other draws are the same, and what needs factors says so", {
  whole <- keep_fit()
  bare <- keep_fit(keep = character())
  expect_equal(dim(bare$draws[[1]]$factors), c(0, 4, 30))
  same <- setdiff(names(whole$draws[[1]]), "factors")
  expect_identical(lapply(bare$draws, `[`, same), lapply(whole$draws, `[`, same))
  for (verb in list(G, R, h2, rg, factor_summary, loadings, fixef, function(fit) summary(fit)$table)) expect_identical(verb(bare), verb(whole))
  for (verb in list(ranef, fitted, predict, scores)) expect_error(verb(bare), "keep = .*factors", class = "fastlmm_error_not_kept")
  expect_lt(object.size(bare$draws), 0.6 * object.size(whole$draws))
  # and it goes on as the other does
  expect_identical(extend(bare, 20)$draws[[2]]$theta, extend(whole, 20)$draws[[2]]$theta)
})

test_that("missing cells may be left out", {
  bare <- keep_fit(keep = "factors", cells = 9)
  whole <- keep_fit(cells = 9)
  expect_identical(bare$draws[[1]]$theta, whole$draws[[1]]$theta)
  expect_equal(dim(bare$draws[[1]]$cells), c(0, 30))
  expect_error(posterior_cells(bare), class = "fastlmm_error_not_kept")
  expect_error(predict(bare), class = "fastlmm_error_not_kept")
})

test_that("without factors there are none to keep, and advice is all that is needed", {
  whole <- keep_fit(n_factors = 0, cells = 9)
  bare <- keep_fit(n_factors = 0, cells = 9, keep = "cells")
  for (verb in list(ranef, fitted, predict, posterior_cells, log_lik, function(fit) simulate(fit, seed = 1))) expect_identical(verb(bare), verb(whole))
  expect_identical(predict(keep_fit(n_factors = 0, keep = character())), predict(keep_fit(n_factors = 0)))
  # the advice is followed once
  for (keep in list(character(), "cells", "factors")) expect_error(
    predict(keep_fit(cells = 9, keep = keep)), 'keep = c("factors", "cells")', fixed = TRUE, class = "fastlmm_error_not_kept"
  )
  expect_error(predict(keep_fit(keep = character())), 'keep = "factors"', fixed = TRUE)
  expect_error(predict(keep_fit(n_factors = 0, cells = 9, keep = "factors")), 'keep = "cells"', fixed = TRUE)
})

test_that("large draws of factors are not kept by default, which is told", {
  plan <- list(chains = 4, iter = 2e4, warmup = 1e4, thin = 1)
  expect_message(expect_equal(fastlmm:::check_keep(NULL, plan, 1000, 20), "cells"), "5.96 GiB", class = "fastlmm_message_keep")
  expect_silent(expect_equal(fastlmm:::check_keep(NULL, plan, 100, 2), c("factors", "cells")))
  expect_equal(fastlmm:::check_keep(c("factors", "cells"), plan, 1000, 20), c("factors", "cells"))
  for (bad in list("F", NA_character_, 1, TRUE)) expect_error(keep_fit(keep = bad), class = "fastlmm_error_keep")
})

test_that("a preview tells memory and time, and samples nothing", {
  told <- keep_fit(preview = TRUE)
  expect_s3_class(told, "slam_preview")
  whole <- keep_fit()
  # theta, sigma2, h, factors, their proportions and precisions
  expect_equal(told$draws, 8 * sum(lengths(unlist(whole$draws, recursive = FALSE))))
  expect_gt(told$iteration, 0)
  expect_equal(told$seconds, told$iteration * 120 / told$threads)
  expect_output(print(told), "memory: .* for draws")
})

test_that("warmup may grow after the run, and shrink while it lasts", {
  whole <- keep_fit(warmup = 40)
  later <- suppressMessages(extend(keep_fit(warmup = 30), 0, warmup = 40))
  expect_equal(later$draws, whole$draws)
  expect_equal(later$convergence, whole$convergence)
  expect_equal(later$plan, whole$plan)
  # draws after it are those of a run with that warmup
  expect_equal(suppressMessages(extend(later, 15))$draws, suppressMessages(extend(whole, 15))$draws)
  thinned <- suppressMessages(extend(keep_fit(thin = 4, warmup = 20), 0, warmup = 30))
  expect_equal(thinned$plan$warmup, 32)
  expect_equal(thinned$draws, keep_fit(thin = 4, warmup = 32)$draws)
  early <- keep_fit()
  early[c("done", "draws", "convergence")] <- list(10, NULL, NULL)
  expect_equal(fastlmm:::with_warmup(early, 12)$plan$warmup, 12)
  expect_error(fastlmm:::with_warmup(early, 9), "first 10 iterations", class = "fastlmm_error_plan")
  expect_error(extend(whole, 0, warmup = 39), "first 40 iterations", class = "fastlmm_error_plan")
  for (bad in list(60, -1, 2.5, "a", NA, c(40, 41))) expect_error(extend(whole, 0, warmup = bad), class = "fastlmm_error_plan")
})

test_that("a fit that is read from its directory has its convergence", {
  dir <- tempfile()
  fit <- keep_fit(dir = dir)
  expect_false(is.null(fit$convergence))
  expect_equal(restore(dir)$convergence, fit$convergence)
  expect_equal(keep_fit(dir = dir)$convergence, fit$convergence)
  expect_equal(summary(restore(dir))$convergence, summary(fit)$convergence)
  # in whatever order it is said what is kept
  expect_identical(keep_fit(dir = dir, keep = c("cells", "factors", "cells"))$draws, fit$draws)
  expect_error(keep_fit(dir = dir, keep = "cells"), "keep", class = "fastlmm_error_checkpoint")
})

test_that("draws in single precision take half the place, and are read as they were", {
  size <- function(dir) sum(file.size(list.files(dir, "^chunk", full.names = TRUE)))
  dirs <- c(double = tempfile(), single = tempfile())
  on.exit(unlink(dirs, recursive = TRUE))
  whole <- keep_fit(dir = dirs[["double"]])
  fit <- keep_fit(dir = dirs[["single"]], storage = "single")
  expect_lt(size(dirs[["single"]]), 0.6 * size(dirs[["double"]]))
  expect_equal(fit$draws, whole$draws, tolerance = 1e-6)
  expect_false(identical(fit$draws, whole$draws))
  expect_identical(restore(dirs[["single"]])$draws, fit$draws)
  # the chains themselves are not rounded
  more <- suppressMessages(extend(restore(dirs[["single"]]), 20))
  expect_equal(more$draws, suppressMessages(extend(keep_fit(), 20))$draws, tolerance = 1e-6)
  expect_error(keep_fit(dir = dirs[["single"]]), class = "fastlmm_error_checkpoint")
  expect_error(keep_fit(storage = "half"), class = "fastlmm_error")
})
