# Verbs of fits by penalised least squares: the same as on the other route, which a kernel that is the identity takes.

routes <- local({
  known <- NULL
  function() {
    if (is.null(known)) {
      set.seed(3)
      data <- data.frame(a = factor(sample(200, 600, TRUE), 1:200), b = factor(sample(90, 600, TRUE)), x = rnorm(600), w = runif(600, 0.5, 2))
      data$y <- data$x + rnorm(200)[data$a] + 0.5 * rnorm(90)[data$b] * (1 + data$x) + rnorm(600) / sqrt(data$w)
      ids <- levels(droplevels(data$a))
      K <- structure(diag(length(ids)), dimnames = list(ids, ids))
      formula <- y ~ x + (1 | a) + (1 + x || b)
      known <<- list(data = data, sparse = fastlmm_fit(formula, data, weights = w), rotated = fastlmm_fit(formula, data, K = list(a = K), weights = w))
    }
    known
  }
})

test_that("both routes give the same answers", {
  both <- routes()
  expect_identical(c(both$sparse$optimum$route, both$rotated$optimum$route), c("sparse", "rotated"))
  expect_equal(both$sparse$logLik, both$rotated$logLik, tolerance = 1e-9)
  same <- function(verb, tolerance = 1e-5) expect_equal(verb(both$sparse), verb(both$rotated), tolerance = tolerance, ignore_attr = TRUE)
  same(function(fit) predict(fit, se.fit = TRUE)$se.fit)
  new <- transform(both$data[1:4, ], a = c("1", "7", "new", "new"))
  same(function(fit) predict(fit, new[1:2, ], se.fit = TRUE, interval = "prediction"))
  same(function(fit) predict(fit, new[1:2, ], se.fit = TRUE, re.form = ~ (1 | b))$se.fit)
  same(function(fit) predict(fit, both$data[1:5, ], se.fit = TRUE, random.only = TRUE)$se.fit)
  same(hatvalues)
  same(cooks.distance, 1e-4)
  same(rstudent)
  same(function(fit) influence(fit, "b")$dfbeta, 1e-4)
  same(function(fit) influence(fit)$dfbeta, 1e-4)
  same(function(fit) as.data.frame(ranef(fit))$condsd)
  same(function(fit) confint(fit, c(".sig01", ".sig02", ".sigma", "h2.a", "x")), 1e-4)
  same(function(fit) as.data.frame(profile(fit, ".sig03", points = 5))$logLik, 1e-6)
  same(getME_theta <- function(fit) getME(fit, "theta"))
  expect_equal(simulate(both$sparse, 2, seed = 1), simulate(both$rotated, 2, seed = 1), tolerance = 1e-4)
})

test_that("a new level has the variance of the effect", {
  both <- routes()
  new <- data.frame(x = 0.3, a = "new", b = c("1", "new"))
  found <- predict(both$sparse, new, se.fit = TRUE, allow.new.levels = TRUE)$se.fit
  known <- predict(both$sparse, new[1, ], se.fit = TRUE, re.form = ~ (1 | b) + (0 + x | b))$se.fit
  expect_equal(unname(found[1]^2 - known^2), both$sparse$sigma2[["a"]], tolerance = 1e-8)
  expect_equal(unname(found[2]^2), sum(both$sparse$sigma2 * c(1, 1, 0.09)) + drop(c(1, 0.3) %*% vcov(both$sparse) %*% c(1, 0.3)), tolerance = 1e-8)
})

test_that("no verb forms a matrix with a row and a column for each row of the data", {
  set.seed(5)
  n <- 30000
  data <- data.frame(a = factor(sample(3000, n, TRUE)), b = factor(sample(150, n, TRUE)), x = rnorm(n))
  data$y <- data$x + rnorm(3000)[data$a] + rnorm(150)[data$b] + rnorm(n)
  fit <- fastlmm_fit(y ~ x + (1 | a) + (1 | b), data)
  expect_identical(fit$optimum$route, "sparse")
  h <- hatvalues(fit)
  # the trace of the hat matrix, from the conditional variances of the effects
  gone <- vapply(ranef(fit), function(frame) sum(attr(frame, "postVar")), 0) / fit$sigma2
  expect_gt(sum(h), 2)
  expect_lt(abs(sum(h) - (2 + sum(lengths(lapply(fit$random, `[[`, "ids")) - gone))), 2)
  expect_equal(unname(h * fit$sigma2_e), unname(predict(fit, se.fit = TRUE)$se.fit^2), tolerance = 1e-8)
  expect_length(simulate(fit, 1, seed = 1)[[1]], n)
})
