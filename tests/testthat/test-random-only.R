# New individuals are predicted by their random effects alone without the covariates of the fixed effects.
test_that("predictions of random effects alone need no covariates, and are those with them", {
  set.seed(1)
  n <- 60
  ids <- paste0("i", 1:80)
  W <- matrix(rnorm(80 * 200), 80, dimnames = list(ids, NULL))
  K <- tcrossprod(W) / 200
  data <- data.frame(id = rep(ids[1:n], 2), x = rnorm(2 * n), f = factor(rep(c("a", "b"), n)), site = factor(rep(1:6, 20)))
  data[c("long", "lat")] <- list(runif(2 * n), runif(2 * n))
  data$y <- data$x + drop(W[data$id, ] %*% rnorm(200, sd = 0.1)) + rnorm(2 * n)
  data$z <- rnorm(2 * n) + data$y
  new <- data.frame(id = ids[55:80], x = 1, f = "a", site = "2", long = 0.5, lat = 0.3)
  fits <- list(
    fastlmm_fit(y ~ x + f + (1 | id), data, K),
    fastlmm_fit(y ~ x + f + (1 | id) + (1 | site), data, list(id = K)),
    fastlmm_fit(cbind(y, z) ~ x + f + (1 | id), data, K),
    fastlmm_fit(y ~ x + f + gp(long, lat), data)
  )
  for (fit in fits) {
    whole <- predict(fit, new, random.only = TRUE)
    bare <- predict(fit, new[c("id", "site", "long", "lat")], random.only = TRUE)
    expect_equal(bare, whole)
    missing <- transform(new, x = NA_real_)
    expect_equal(predict(fit, missing, random.only = TRUE), whole)
    expect_error(predict(fit, new["id"]), class = "fastlmm_error")
  }
  se <- predict(fits[[1]], new["id"], se.fit = TRUE, random.only = TRUE)
  expect_equal(se, predict(fits[[1]], new, se.fit = TRUE, random.only = TRUE))
})
