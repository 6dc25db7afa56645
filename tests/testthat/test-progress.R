test_world <- function() {
  set.seed(4)
  ids <- paste0("i", 1:30)
  G <- matrix(rbinom(30 * 20, 2, 0.4), 30, dimnames = list(ids, paste0("m", 1:20)))
  K <- structure(tcrossprod(matrix(rnorm(900), 30)) / 30, dimnames = list(ids, ids))
  data <- data.frame(id = ids, y = rnorm(30), z = rnorm(30))
  list(G = G, fit = suppressMessages(fastlmm_fit(y ~ 1 + (1 | id), data, K)), data = data, K = K)
}

# The amounts that progressr's conditions tell
signalled <- function(work) {
  done <- 0
  old <- options(progressr.enable = TRUE)
  on.exit(options(old))
  withCallingHandlers(work(), progression = function(p) if (p$type == "update") done <<- done + p$amount)
  done
}

test_that("a bar is shown where asked for, and is silent otherwise", {
  skip_if("progressr" %in% loadedNamespaces(), "progressr takes the place of the bar")
  world <- test_world()
  old <- options(cli.progress_show_after = 0, cli.dynamic = FALSE, cli.ansi = FALSE)
  on.exit(options(old))
  expect_silent(fastlmm_scan(world$fit, world$G, block_size = 6, progress = FALSE))
  shown <- cli::cli_fmt(fastlmm_scan(world$fit, world$G, block_size = 6, progress = TRUE))
  expect_match(shown, "of 20 tests", all = FALSE)
})

test_that("progressr hears each part of the work once, from here and from other processes", {
  skip_if_not_installed("progressr")
  skip_if_not_installed("future.apply")
  world <- test_world()
  loadNamespace("progressr")
  scan <- function() fastlmm_scan(world$fit, world$G, block_size = 6, progress = FALSE)
  chains <- function() quiet_chains(slamglmm_fit(cbind(y, z) ~ 1 + (1 | id), world$data, world$K, n_factors = 1, chains = 2, iter = 30, warmup = 10, seed = 1))
  expect_equal(signalled(scan), 20)
  expect_equal(signalled(chains), 30)
  old <- future::plan(future::multisession, workers = 2)
  on.exit(future::plan(old))
  skip_on_cran()
  expect_equal(signalled(scan), 20)
  expect_equal(signalled(chains), 60)
})
