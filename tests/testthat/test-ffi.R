# What crosses the border to Rust: interrupts, forks, threads.

test_that("Ctrl-C between the phases of a fit is an ordinary interrupt, and R goes on", {
  skip_on_os("windows")
  script <- tempfile_with(".R")
  out <- tempfile_with(".txt")
  writeLines(deparse(bquote({
    .libPaths(.(.libPaths()))
    library(fastlmm)
    n <- 900
    K <- exp(-abs(outer(1:n, 1:n, "-")) / 50)
    dimnames(K) <- list(1:n, 1:n)
    data <- data.frame(id = 1:n, y = sin(1:n))
    cat(Sys.getpid(), "\n", file = .(out))
    caught <- tryCatch(repeat fastlmm_fit(y ~ 1 + (1 | id), data, K), interrupt = function(e) "interrupted")
    cat(caught, is.finite(fastlmm_fit(y ~ 1 + (1 | id), data, K)$delta), "\n", file = .(out), append = TRUE)
  })), script)
  system2(file.path(R.home("bin"), "Rscript"), c("--vanilla", script), wait = FALSE, stdout = FALSE, stderr = FALSE)
  lines <- function() if (file.exists(out)) readLines(out) else character(0)
  wait_for <- function(n, seconds) {
    end <- Sys.time() + seconds
    while (length(lines()) < n && Sys.time() < end) Sys.sleep(0.05)
    length(lines()) >= n
  }
  expect_true(wait_for(1, 30))
  Sys.sleep(1)
  tools::pskill(as.integer(lines()[1]), tools::SIGINT)
  expect_true(wait_for(2, 30))
  expect_match(lines()[2], "interrupted TRUE")
})

test_that("a forked R does not hang", {
  skip_on_os("windows")
  d <- kernel_data()
  one <- function(i) fastlmm_fit(y ~ x + (1 | id), d$data, d$K)$delta
  here <- one(0)
  there <- parallel::mclapply(1:2, one, mc.cores = 2)
  expect_equal(unlist(there), rep(here, 2))
})

test_that("the number of threads comes from the option and must be a number", {
  old <- options(fastlmm.threads = "many")
  on.exit(options(old))
  expect_error(fastlmm_fit(distance ~ age + (1 | Subject), nlme::Orthodont), class = "fastlmm_error_threads")
})

test_that("an error of the core carries its class, its numbers and the user's call", {
  data <- data.frame(id = letters, y = rnorm(26))
  error <- tryCatch(fastlmm_fit(y ~ 1 + (1 | id), data), fastlmm_error = identity)
  expect_s3_class(error, "fastlmm_error_not_identifiable")
  expect_equal(error$scale, 1)
  expect_identical(conditionCall(error)[[1]], quote(fastlmm_fit))
})
