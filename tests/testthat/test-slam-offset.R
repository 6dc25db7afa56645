# Offsets of cells: a matrix whose columns are alike is the offset of rows; else what is taken from each response, or added to each log mean.

offset_world <- function() {
  set.seed(31)
  id <- paste0("i", rep(1:20, 2))
  effect <- rnorm(20)[rep(1:20, 2)]
  effort <- matrix(runif(120, 0.5, 20), 40, dimnames = list(NULL, c("a", "b", "size")))
  data <- data.frame(id = id, x = rnorm(40), one = log(effort[, 1]))
  data$effort <- effort
  data$Y <- cbind(a = rpois(40, effort[, 1] * exp(effect)), b = rpois(40, effort[, 2] * exp(0.5 * effect)), size = log(effort[, 3]) + effect + rnorm(40))
  data
}

offset_fit <- function(formula, data = offset_world(), ...) quiet_slam(
  formula, data, family = list(a = poisson(), b = negative_binomial()), chains = 2, iter = 40, seed = 1, ...
)

test_that("a matrix of equal columns is the offset of the rows", {
  data <- offset_world()
  data$equal <- matrix(data$one, 40, 3)
  rows <- offset_fit(Y ~ x + offset(one) + (1 | id), data)
  cells <- offset_fit(Y ~ x + offset(equal) + (1 | id), data)
  expect_identical(cells$draws, rows$draws)
  new <- data[c(3, 8, 9), ]
  expect_equal(predict(cells, new, type = "link"), predict(rows, new, type = "link"))
  expect_equal(predict(cells, new, interval = "prediction"), predict(rows, new, interval = "prediction"))
  for (verb in list(
    fitted, residuals, posterior_cells, log_lik, function(fit) simulate(fit, 2, seed = 1), function(fit) pp_check(fit, 5, seed = 1)
  )) expect_equal(verb(cells), verb(rows))
  several <- lapply(c(Y ~ offset(one) + (1 | id) + (1 | x > 0), Y ~ offset(equal) + (1 | id) + (1 | x > 0)), offset_fit, data = data)
  expect_equal(predict(several[[2]], new), predict(several[[1]], new))
})

test_that("each response has its column, by name", {
  data <- offset_world()
  fit <- offset_fit(Y ~ x + offset(log(effort)) + (1 | id), data)
  turned <- data
  turned$effort <- data$effort[, c("size", "a", "b")]
  expect_identical(offset_fit(Y ~ x + offset(log(effort)) + (1 | id), turned)$draws, fit$draws)
  # a normal response is what its offset leaves
  left <- data
  left$effort[, "size"] <- 1
  left$Y[, "size"] <- data$Y[, "size"] - log(data$effort[, "size"])
  without <- offset_fit(Y ~ x + offset(log(effort)) + (1 | id), left)
  expect_equal(without$draws, fit$draws, tolerance = 1e-8)
  expect_equal(fitted(fit)[, "size"], fitted(without)[, "size"] + log(data$effort[, "size"]))
  expect_equal(residuals(fit)[, "size"], residuals(without)[, "size"])
  # a log mean grows by it
  new <- data[1:4, ]
  more <- new
  more$effort[, "b"] <- 3 * new$effort[, "b"]
  expect_equal(predict(fit, more)[, "b"], 3 * predict(fit, new)[, "b"])
  expect_equal(predict(fit, more)[, -2], predict(fit, new)[, -2])
  expect_equal(unname(predict(fit, data, type = "link")), unname(predict(fit, type = "link")))
  new$effort[2, "a"] <- NA
  expect_identical(which(is.na(predict(fit, new)[, "a"])), c("2" = 2L))
})

test_that("offsets of other shapes are refused, and where they have no meaning", {
  data <- offset_world()
  expect_error(offset_fit(Y ~ offset(effort[, 1:2]) + (1 | id), data), "2 columns", class = "fastlmm_error_offset")
  colnames(data$effort)[2] <- "B"
  expect_error(offset_fit(Y ~ offset(effort) + (1 | id), data), "\"b\"", class = "fastlmm_error_offset")
  data$effort[7, 1] <- Inf
  expect_error(offset_fit(Y ~ offset(effort) + (1 | id), data), "7", class = "fastlmm_error_offset")
  data <- offset_world()
  expect_error(fastlmm_fit(Y ~ offset(effort) + (1 | id), data), "slamglmm_fit", class = "fastlmm_error_offset")
  expect_error(fastlmm_fit(one ~ offset(effort) + (1 | id), data), "slamglmm_fit", class = "fastlmm_error_offset")
  data$Y[, "b"] <- rep(0:1, 20)
  zero <- data
  zero$effort[, "b"] <- 0
  binary <- function(data) quiet_slam(Y ~ offset(effort) + (1 | id), data, family = list(a = poisson(), b = binomial()), chains = 1, iter = 10, seed = 1)
  expect_error(binary(data), "offset is for counts", class = "fastlmm_error_family")
  expect_s3_class(binary(zero), "slamglmm")
  data$M <- cbind(p = data$x, q = data$x + sin(1:40))
  probes <- quote(slam_join(slam_probes(M, c(p = "gene", q = "gene")), one) ~ offset(unname(effort[, 1:2])) + (1 | id))
  expect_error(quiet_slam(eval(probes), data, chains = 1, iter = 10), "slam_probes", class = "fastlmm_error_family")
})
