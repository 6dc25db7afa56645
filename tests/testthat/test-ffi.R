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

test_that("more threads than cores are the cores, with a message; what is no number of threads is refused", {
  expect_message(held <- fastlmm_control(threads = 3000), "threads = 3000, but this machine has", class = "fastlmm_message_threads")
  expect_identical(held$threads, cores())
  expect_silent(expect_identical(fastlmm_control(threads = 1)$threads, 1L))
  for (bad in list(NA, NA_integer_, 1e9, Inf, -1, 1.5, "2", 1:2, list(2))) {
    expect_error(fastlmm_control(threads = bad), class = "fastlmm_error_threads")
    expect_error(fastlmm_fit(distance ~ 1 + (1 | Subject), nlme::Orthodont, control = list(threads = bad)), class = "fastlmm_error_threads")
  }
  # a control of a larger machine
  expect_identical(control_threads(structure(list(threads = 64000L), class = "fastlmm_control")), cores())
  old <- options(fastlmm.threads = NULL)
  on.exit(options(old))
  expect_lte(fastlmm_threads(), 2)
  options(fastlmm.threads = 2999)
  expect_message(one <- fastlmm_threads(), class = "fastlmm_message_threads")
  expect_silent(expect_identical(fastlmm_threads(), one)) # once a session
})

test_that("a time limit of R is an error in the user's call, again and again, and an interrupt none", {
  set.seed(1)
  data <- data.frame(u = runif(2e4), v = runif(2e4))
  data$y <- sin(9 * data$u) * data$v + rnorm(2e4)
  on.exit(setTimeLimit())
  within <- function(seconds, expr) {
    setTimeLimit(elapsed = seconds)
    on.exit(setTimeLimit())
    tryCatch(expr, error = identity, interrupt = function(condition) "interrupt")
  }
  for (i in 1:2) {
    error <- within(0.4, for (k in 1:100) suppressMessages(fastlmm_fit(y ~ gp(u, v), data)))
    expect_s3_class(error, "simpleError")
    expect_match(conditionMessage(error), "time limit")
  }
  Y <- matrix(rnorm(400), 100)
  ids <- data.frame(id = seq_len(100))
  error <- within(0.4, slamglmm_fit(Y ~ 1 + (1 | id), ids, n_factors = 1, chains = 1, iter = 1e6, thin = 1000, seed = 1))
  expect_match(conditionMessage(error), "time limit")
  fit <- suppressMessages(fastlmm_fit(distance ~ age + (1 | Subject), nlme::Orthodont))
  expect_equal(logLik(fit)[1], -223.5013, tolerance = 1e-6)
})

test_that("an error of the core carries its class, its numbers and the user's call", {
  data <- data.frame(id = letters, y = rnorm(26))
  error <- tryCatch(fastlmm_fit(y ~ 1 + (1 | id), data), fastlmm_error = identity)
  expect_s3_class(error, "fastlmm_error_not_identifiable")
  expect_equal(error$scale, 1)
  expect_identical(conditionCall(error)[[1]], quote(fastlmm_fit))
})

test_that("errors of the core have the class of R's check of the same thing, and numbers that can be read", {
  set.seed(1)
  ids <- paste0("i", 1:20)
  U <- matrix(rnorm(40), 20)
  K <- `dimnames<-`(tcrossprod(U), list(ids, ids))
  data <- data.frame(id = ids, y = rnorm(20))
  strict <- function() fastlmm_fit(y ~ 1 + (1 | id), data, K = K, control = fastlmm_control(tolerance = 0))
  expect_error(strict(), "this is rounding", class = "fastlmm_error_kernel_not_positive")
  expect_match(not_positive_advice(-1e-3, 1), "ids with data")
  for (size in c(1e150, 1e-150, 3)) {
    error <- tryCatch(fastlmm_fit(y ~ 1 + (1 | id), data, K = `dimnames<-`(diag(20) * size, list(ids, ids))), fastlmm_error_not_identifiable = identity)
    expect_match(conditionMessage(error), paste(" it is", format(size), "times the identity"), fixed = TRUE)
  }
})
