# No verb repeats a decomposition or a search that the fit has made: the core counts them.

work_of <- function(value) {
  before <- unlist(ffi_work())
  force(value)
  unlist(ffi_work()) - before
}

work_data <- function() {
  set.seed(161)
  ids <- paste0("i", 1:30)
  W <- matrix(rnorm(30 * 45), 30, dimnames = list(ids, NULL)) / sqrt(45)
  d <- data.frame(id = rep(ids, 2), b = factor(sample(letters[1:6], 60, TRUE)), x = rnorm(60), z = rnorm(60), u = runif(60))
  d$y <- d$x + 2 * drop(W %*% rnorm(45))[d$id] + rnorm(6)[d$b] + rnorm(60)
  d$y2 <- d$y + rnorm(60)
  list(d = d, K = list(id = tcrossprod(W)), W = list(id = kernel_lowrank(W)))
}

work_fits <- function(given = work_data()) {
  d <- given$d
  list(
    kernel = fastlmm_fit(y ~ x + z + (1 | id), d, K = given$K),
    factor = fastlmm_fit(y ~ x + z + (1 | id), d, K = given$W),
    identity = fastlmm_fit(y ~ x + z + (1 | b), d),
    mix = fastlmm_fit(y ~ x + z + (1 | id) + (1 | b), d, K = given$K),
    many = fastlmm_fit(cbind(y, y2) ~ x + z + (1 | id), d, K = given$K),
    gp = fastlmm_fit(y ~ x + gp(u), d)
  )
}

# Decompositions and searches that a verb may make, by class of fit (NA: the class has no such verb). Several effects are put into their coordinates once a
# call; their fixed effects, profiled by ML, take one search more in all, whatever their number.
allowed <- function() {
  none <- c(kernel = 0, factor = 0, identity = 0, mix = 0, many = 0, gp = 0)
  list(
    fitted = list(call = fitted, decomposition = none, search = none),
    residuals = list(call = residuals, decomposition = none, search = none),
    coef = list(call = coef, decomposition = none, search = none),
    vcov = list(call = vcov, decomposition = none, search = none),
    logLik = list(call = logLik, decomposition = none, search = none),
    summary = list(call = summary, decomposition = none, search = none),
    predict = list(call = function(fit) predict(fit, newdata = work_data()$d), decomposition = none, search = none),
    ranef = list(call = function(fit) ranef(fit, condVar = FALSE), decomposition = replace(none, "gp", NA), search = none),
    standard_errors = list(
      call = function(fit) predict(fit, newdata = work_data()$d[1:7, ], se.fit = TRUE), decomposition = replace(none, "mix", 1), search = none
    ),
    conditional_variances = list(
      call = function(fit) ranef(fit, condVar = TRUE), decomposition = replace(none, c("mix", "gp"), c(1, NA)), search = none
    ),
    confint = list(call = function(fit) confint(fit), decomposition = replace(none, c("mix", "many", "gp"), c(1, NA, NA)), search = replace(none, "mix", 1)),
    profile = list(
      call = function(fit) profile(fit, "theta_", points = 5), decomposition = replace(none, c("mix", "many", "gp"), c(1, NA, NA)), search = none
    )
  )
}

test_that("verbs do no more of the work of a fit than this table says", {
  fits <- suppressMessages(work_fits())
  for (verb in names(allowed())) {
    rule <- allowed()[[verb]]
    for (class in names(fits)[!is.na(rule$decomposition)]) {
      found <- work_of(suppressWarnings(suppressMessages(rule$call(fits[[class]]))))
      expect_lte(found[["decomposition"]], rule$decomposition[[class]], label = paste("decompositions of", verb, "of", class))
      expect_lte(found[["search"]], rule$search[[class]], label = paste("searches of", verb, "of", class))
    }
  }
})

test_that("the counters count", {
  given <- work_data()
  one <- work_of(fastlmm_fit(y ~ x + (1 | id), given$d, K = given$K))
  expect_equal(one[c("decomposition", "search")], c(decomposition = 1, search = 1))
  several <- work_of(suppressMessages(fastlmm_fit(y ~ x + (1 | id) + (1 | b), given$d, K = given$K)))
  expect_equal(several[c("decomposition", "search")], c(decomposition = 1, search = 1))
  expect_gt(several[["factorisation"]], 20)
})

test_that("an end of an interval of several effects takes few factorisations, and points of a curve fewer", {
  given <- work_data()
  fit <- NULL
  searched <- work_of(fit <- suppressMessages(fastlmm_fit(y ~ x + z + (1 | id) + (1 | b), given$d, K = given$K)))[["factorisation"]]
  ends <- 2 * nrow(confint(fit))
  expect_lt(work_of(confint(fit))[["factorisation"]], searched + 25 * ends)
  points <- work_of(profile(fit, "x", points = 40))[["factorisation"]] - work_of(confint(fit, "x"))[["factorisation"]]
  expect_lt(points, 5 * 40)
})

test_that("an end of an interval of three kernels takes some Newton steps", {
  set.seed(162)
  ids <- paste0("i", 1:30)
  kernel <- function(p) structure(tcrossprod(matrix(rnorm(30 * p), 30)) / p, dimnames = list(ids, ids))
  K <- list(a = kernel(60), b = kernel(30), c = kernel(15))
  d <- data.frame(a = rep(ids, 4), b = sample(rep(ids, 4)), c = sample(rep(ids, 4)), x = rnorm(120))
  effect <- function(name) drop(crossprod(chol(K[[name]] + 1e-8 * diag(30)), rnorm(30)))[match(d[[name]], ids)]
  d$y <- d$x + effect("a") + effect("b") + effect("c") + rnorm(120)
  fit <- suppressMessages(fastlmm_fit(y ~ x + (1 | a) + (1 | b) + (1 | c), d, K = K))
  variances <- NULL
  done <- work_of(variances <- confint(fit, "theta_"))
  expect_equal(done[c("decomposition", "search")], c(decomposition = 1, search = 0))
  expect_lt(done[["factorisation"]], 8 * 2 * nrow(variances))
})

test_that("all intervals of a process by the kernel matrix take the nodes of one range, not those of two", {
  set.seed(162)
  d <- data.frame(u = runif(150))
  d$y <- sin(30 * d$u) + sin(70 * d$u) + 0.5 * rnorm(150)
  fit <- fastlmm_fit(y ~ gp(u), d)
  # 13 nodes, each counted where it is asked for and where its kernel is decomposed
  expect_lte(work_of(confint(fit))[["decomposition"]], 26)
})

test_that("searches end where differences are rounding, and a standard deviation of few levels has a unit of its own", {
  set.seed(163)
  n <- 40000
  d <- data.frame(a = factor(sample(n / 10, n, TRUE)), b = factor(sample(30, n, TRUE)), x = rnorm(n))
  d$y <- d$x + rnorm(n / 10)[d$a] + rnorm(30)[d$b] + rnorm(n)
  fit <- NULL
  expect_lt(work_of(fit <- fastlmm_fit(y ~ x + (1 | a) + (1 | b), d))[["factorisation"]], 50)
  expect_lt(work_of(profile(fit, ".sig02"))[["factorisation"]], 500)
  expect_lt(work_of(confint(fit))[["factorisation"]], 500)
})
