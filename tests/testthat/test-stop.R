# Interrupts and time limits are heard while a pool is at work, and end a call as R itself would end it.

stop_data <- function(n) {
  set.seed(1504)
  ids <- paste0("i", seq_len(n))
  d <- data.frame(id = ids, jd = ids, u = runif(n), v = runif(n))
  kernel <- function(x) structure(exp(-3 * as.matrix(dist(x))), dimnames = list(ids, ids))
  d$y <- sin(5 * d$u) + d$v + rnorm(n)
  list(d = d, K = kernel(d$u), K2 = kernel(d$v))
}

# The condition that a limit of `seconds` raises in `run()`, NULL if it ended before.
under_time_limit <- function(run, seconds) {
  on.exit(setTimeLimit())
  setTimeLimit(elapsed = seconds, transient = TRUE)
  tryCatch(
    {
      suppressMessages(run())
      NULL
    },
    error = identity
  )
}

# The same for a share of the time that the call takes, measured just before: anew where the machine was faster the second time.
within_its_time <- function(run, share) {
  for (attempt in 1:5) {
    seconds <- system.time(suppressMessages(run()))[["elapsed"]]
    condition <- under_time_limit(run, share * seconds)
    if (!is.null(condition)) return(condition)
  }
}

# Steps that the core took in `run()`
steps_of <- function(run) {
  before <- unlist(fastlmm:::ffi_work())
  run()
  sum(unlist(fastlmm:::ffi_work()) - before)
}

test_that("a search is left at its next step, with R's own error, and the next call knows nothing of it", {
  skip_on_cran()
  data <- stop_data(600)
  fit <- function() fastlmm_fit(y ~ 1 + (1 | id) + (1 | jd), data$d, K = list(id = data$K, jd = data$K2))
  seconds <- system.time(all <- steps_of(function() whole <<- fit()))[["elapsed"]]
  steps <- steps_of(function() condition <<- under_time_limit(fit, seconds / 4))
  expect_match(conditionMessage(condition), "reached elapsed time limit")
  expect_false(inherits(condition, "fastlmm_error"))
  expect_lt(steps, all)
  expect_identical(logLik(fit()), logLik(whole))
})

test_that("a limit within the only stage of a call ends it with the error, not with a result or another error", {
  skip_on_cran()
  data <- stop_data(1200)
  for (run in list(
    function() fastlmm_fit(y ~ 1 + (1 | id), data$d, data$K),
    function() fastlmm_fit(cbind(y, u, v) ~ 1 + (1 | id), data$d, data$K),
    function() fastlmm_decompose(data$K)
  )) {
    expect_match(conditionMessage(within_its_time(run, 0.4)), "reached elapsed time limit")
  }
})
