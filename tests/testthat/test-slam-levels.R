# Probabilities of levels, against integrals over the residual written out for each draw, and against new data.

levels_world <- function() {
  set.seed(21)
  id <- paste0("i", rep(1:20, 3))
  effect <- rnorm(20)[rep(1:20, 3)]
  data <- data.frame(id = id, x = rnorm(60))
  data$pain <- cut(effect + data$x + rnorm(60), c(-Inf, -1, 0.5, 2, Inf), c("none", "mild", "bad", "worst"), ordered_result = TRUE)
  data$sick <- rbinom(60, 1, plogis(effect))
  data$size <- effect + rnorm(60)
  data
}

levels_fit <- function(...) quiet_slam(
  slam_join(pain, sick, size) ~ x + (1 | id), levels_world(), family = list(pain = ordinal(), sick = binomial()), chains = 2, iter = 60, seed = 1, ...
)

test_that("probabilities of each draw are integrals over its residual", {
  fit <- levels_fit()
  new <- data.frame(id = c("i1", "i2"), x = c(0.5, -1))
  for (re.form in list(NULL, NA)) {
    eta <- predict(fit, new, type = "link", re.form = re.form, draws = TRUE)
    all <- predict(fit, new, type = "prob", re.form = re.form, draws = TRUE)
    expect_identical(dimnames(all$pain)[[2]], levels(levels_world()$pain))
    expect_identical(dimnames(all$sick)[[2]], c("0", "1"))
    left <- if (is.null(re.form)) R(fit, draws = TRUE) else P(fit, draws = TRUE)
    gaps <- fastlmm:::invariant_draws(fit, variable = c("gap1", "gap2"))
    gaps <- matrix(gaps, ncol = 2)
    for (i in c(1, 37, 60)) for (row in 1:2) {
      density <- function(name, s) function(e) dnorm(e, eta[row, name, i], s)
      s <- sqrt(left["pain", "pain", i])
      cuts <- c(eta[row, "pain", i] - 12 * s, 0, cumsum(gaps[i, ]), eta[row, "pain", i] + 12 * s)
      inside <- mapply(
        function(from, to) if (from < to) integrate(density("pain", s), from, to, rel.tol = 1e-10, abs.tol = 0)$value else 0, cuts[1:4], cuts[2:5]
      )
      expect_equal(unname(all$pain[row, , i]), inside, tolerance = 1e-6)
      s <- sqrt(left["sick", "sick", i])
      success <- integrate(function(e) plogis(e) * density("sick", s)(e), eta[row, "sick", i] - 12 * s, eta[row, "sick", i] + 12 * s, rel.tol = 1e-10)$value
      expect_equal(unname(all$sick[row, , i]), c(1 - success, success), tolerance = 1e-6)
    }
  }
})

test_that("means, intervals and standard errors are those of the draws, in the shape that is documented", {
  fit <- levels_fit()
  new <- data.frame(id = c("i1", "i2"), x = 0, row.names = c("first", "second"))
  all <- predict(fit, new, type = "prob", draws = TRUE)
  mean <- predict(fit, new, type = "prob")
  expect_identical(names(mean), c("pain", "sick"))
  expect_identical(dimnames(mean$pain), list(c("first", "second"), c("none", "mild", "bad", "worst")))
  expect_equal(mean$pain, apply(all$pain, 1:2, base::mean))
  expect_equal(rowSums(mean$pain), c(first = 1, second = 1))
  found <- predict(fit, new, type = "prob", interval = "confidence", level = 0.8, se.fit = TRUE)
  expect_identical(dim(found$fit$sick), c(2L, 2L, 3L))
  expect_equal(found$fit$pain[, , "fit"], mean$pain)
  expect_equal(found$fit$pain["second", "bad", "upr"], quantile(all$pain["second", "bad", ], 0.9), ignore_attr = TRUE)
  expect_equal(found$se.fit$sick["first", "1"], sd(all$sick["first", "1", ]))
  # what is expected of the numbers of levels, and of a trial
  response <- predict(fit, new)
  expect_equal(response[, "pain"], drop(mean$pain %*% 1:4))
  expect_equal(response[, "sick"], mean$sick[, "1"])
  expect_identical(dim(predict(fit, type = "prob")$pain), c(60L, 4L))
  expect_identical(dim(predict(fit, new[0, ], type = "prob")$pain), c(0L, 4L))
})

test_that("new data have the levels as often", {
  fit <- levels_fit()
  new <- data.frame(id = rep("i3", 2000), x = 0.3)
  # of other individuals: one of the rows says what all do
  drawn <- predict(fit, new, re.form = NA, interval = "prediction", draws = TRUE)[, "pain", ]
  expected <- predict(fit, new[1, ], re.form = NA, type = "prob")$pain
  expect_equal(tabulate(drawn, 4) / length(drawn), c(expected), tolerance = 0.02)
})

test_that("probits of two levels, missing covariates and several effects", {
  data <- levels_world()
  probit <- quiet_slam(sick ~ 1 + (1 | id), data, family = binomial("probit"), chains = 1, iter = 60, seed = 1)
  expect_equal(unname(predict(probit, type = "prob")$sick[, "1"]), unname(fitted(probit)[, 1]))
  data$group <- rep(c("a", "b", "c", "d"), 15)
  several <- quiet_slam(
    cbind(sick, size) ~ 1 + (1 | id) + (1 | group), data, family = list(sick = binomial()), cis = list(sick = ~x), chains = 1, iter = 40, seed = 1
  )
  new <- data.frame(id = "i1", group = "b", x = c(0, NA))
  found <- predict(several, new, type = "prob", re.form = ~ (1 | id))
  expect_equal(found$sick[1, "1"], predict(several, new, re.form = ~ (1 | id))[1, "sick"])
  expect_true(all(is.na(found$sick[2, ])))
})

test_that("what has no levels has no probabilities", {
  data <- levels_world()
  normal <- quiet_slam(size ~ 1 + (1 | id), data, chains = 1, iter = 20, seed = 1)
  expect_error(predict(normal, type = "prob"), class = "fastlmm_error_family")
  fit <- levels_fit()
  expect_error(predict(fit, type = "prob", interval = "prediction"), "confidence", class = "fastlmm_error_argument")
  expect_error(predict(fit, type = "probs"), "prob", class = "fastlmm_error_argument")
  expect_error(predict(fit, data[1, ], type = "prob", given = "size"), class = "fastlmm_error_family")
})
