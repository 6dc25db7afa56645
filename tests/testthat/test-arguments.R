# Arguments of all functions and methods, read by R/arguments.R.

test_that("an odd value of any argument works or stops by class: some values here, all of them in the long tests", {
  objects <- suppressMessages(argument_objects())
  calls <- c(argument_calls(objects), argument_methods(objects))
  expect_gt(length(calls), 150)
  generics <- unique(getNamespaceInfo("fastlmm", "S3methods")[, 1])
  names <- Filter(function(name) is.function(getExportedValue("fastlmm", name)), getNamespaceExports("fastlmm"))
  # every function that is exported is called here; these are generics, or pass to lme4
  expect_identical(setdiff(names, c(generics, vapply(calls, `[[`, "", "name"), "kernel_mix", "kernel_product", "REMLcrit")), character())
  long <- is_long()
  values <- if (long) odd_arguments() else odd_arguments()[c(2, 6, 12, 20)]
  expect_identical(argument_faults(calls, values), NULL)
})

test_that("a fault is seen by these tests", {
  careless <- list(
    list(name = "careless", f = function(x) if (x) 1 else 2, given = list(), vary = "x"),
    list(name = "noisy", f = function(x) as.integer(x), given = list(), vary = "x")
  )
  expect_match(argument_faults(careless[1], list(NA)), "careless\\(x = NA\\): missing value")
  expect_match(argument_faults(careless[2], list("a")), "NAs introduced")
})

test_that("arguments are told by name, with what they should be", {
  fit <- fastlmm_fit(distance ~ age + (1 | Subject), nlme::Orthodont)
  expect_error(predict(fit, se.fit = NA), "se.fit must be TRUE or FALSE, not NA", class = "fastlmm_error_argument")
  expect_error(predict(fit, se.fit = "yes"), "se.fit must be TRUE or FALSE", class = "fastlmm_error_argument")
  expect_error(VarCorr(fit, sigma = "a"), "sigma must be one finite number of at least 0", class = "fastlmm_error_argument")
  expect_error(print(fit, digits = 40), "digits must be one finite number from 1 to 22", class = "fastlmm_error_argument")
  expect_error(getME(fit), "argument \"name\" is needed", class = "fastlmm_error_argument")
  expect_error(confint(fit, parm = mean), "parm must be names or numbers", class = "fastlmm_error_argument")
  expect_error(update(fit, 1), "formula. must be a formula", class = "fastlmm_error_argument")
  expect_error(drop1(fit, "wrong"), "no fixed effects \"wrong\"", class = "fastlmm_error_anova")
})

test_that("a flag may be a number, as everywhere in R", {
  fit <- fastlmm_fit(distance ~ age + (1 | Subject), nlme::Orthodont)
  expect_identical(predict(fit, se.fit = 1), predict(fit, se.fit = TRUE))
  expect_identical(formula(fit, random.only = 0), formula(fit))
  expect_identical(vcov(fit, correlation = TRUE), vcov(fit, correlation = 1L))
})

test_that("what memory cannot hold is refused before it is made", {
  data <- nlme::Orthodont
  fit <- fastlmm_fit(distance ~ age + (1 | Subject), data)
  expect_error(simulate(fit, 1e12), "1000000000000 draws of 108 numbers would take", class = "fastlmm_error_memory")
  expect_error(fastlmm_permute(fit, matrix(rnorm(108), 108), n = 1e13), "permutations of 108 rows would take", class = "fastlmm_error_memory")
  wide <- reshape(data.frame(data[c("Subject", "age", "distance")]), direction = "wide", idvar = "Subject", timevar = "age")
  slam <- function(...) slamglmm_fit(cbind(distance.8, distance.10) ~ 1 + (1 | Subject), wide, K = diag_kernel(wide$Subject), progress = FALSE, ...)
  diag_kernel <- function(ids) {
    K <- 0.5 * diag(length(ids)) + 0.5
    dimnames(K) <- list(ids, ids)
    K
  }
  for (plan in list(
    list(chains = 1e10), list(grid = 1e13), list(n_factors = 1e10), list(iter = 1e13)
  )) expect_error(suppressMessages(do.call(slam, plan)), class = "fastlmm_error_memory")
})

test_that("many responses have tidy() and glance(): what the single fits say", {
  fit <- fastlmm_fit(cbind(sepal = Sepal.Length, petal = Petal.Length) ~ Sepal.Width + (1 | Species), iris)
  table <- tidy(fit)
  one <- extract_fit(fit, "petal")
  own <- tidy(one, effects = c("fixed", "ran_pars"))
  petal <- table[table$response == "petal" & table$term != "h2", -1]
  expect_equal(petal, own[names(petal)], ignore_attr = TRUE, tolerance = 1e-6)
  expect_equal(table$estimate[table$response == "petal" & table$term == "h2"], unname(one$h2), tolerance = 1e-6)
  overview <- glance(fit)
  expect_equal(
    overview[2, names(glance(one))[names(glance(one)) %in% names(overview)]], glance(one)[names(glance(one)) %in% names(overview)], ignore_attr = TRUE,
    tolerance = 1e-6
  )
  expect_error(augment(fit), class = "fastlmm_error_many_responses")
  expect_error(profile(fit), class = "fastlmm_error_many_responses")
})

test_that("a control changed by hand is read anew", {
  control <- fastlmm_control()
  odd <- list(-1, NA, "a", 0, c(1, 2), list(1), mean)
  for (threads in odd) {
    control$threads <- threads
    expect_error(fastlmm_fit(distance ~ age + (1 | Subject), nlme::Orthodont, control = control), class = "fastlmm_error_threads")
  }
  expect_error(
    fastlmm_fit(distance ~ age + (1 | Subject), nlme::Orthodont, control = structure(list(a = 1), class = "fastlmm_control")), class = "fastlmm_error_control"
  )
})

test_that("an invalid object of Matrix is refused wherever a kernel is taken", {
  ids <- levels(nlme::Orthodont$Subject)
  K <- Matrix::Matrix(diag(length(ids)), dimnames = list(ids, ids))
  K@Dim <- -K@Dim
  fit <- fastlmm_fit(distance ~ age + (1 | Subject), nlme::Orthodont)
  takes <- list(
    function() fastlmm_fit(distance ~ age + (1 | Subject), nlme::Orthodont, K = K), function() kernel_lowrank(K), function() fastlmm_decompose(K),
    function() kernel_mix(a = K, own = NULL),
    function() predict(fit, data.frame(age = 8, Subject = "new"), K = K)
  )
  for (take in takes) expect_error(take(), class = "fastlmm_error_kernel_class")
})
