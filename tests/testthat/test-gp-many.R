# Many responses with a gp() term: each equal to its single fit, and a test of no process that keeps its level.

gp_many_world <- function(n, q, cov = "exp_quad", seed = 1) {
  data <- gp_world(n, 2, cov, 0.25, seed = seed)
  f <- data$y - 1 - data$x / 2
  strength <- rep_len(c(1, 0.4, 0), q)
  data$Y <- 1 + data$x %o% seq(-1, 1, length.out = q) + f %o% strength + matrix(rnorm(n * q), n)
  colnames(data$Y) <- paste0("g", seq_len(q))
  data
}

single_gp <- function(data, j, formula) {
  data$y <- data$Y[, j]
  suppressMessages(fastlmm_fit(update(formula, y ~ .), data))
}

test_that("at a given length scale every response is its single fit", {
  data <- gp_many_world(300, 4)
  for (basis in c("exact", "fourier")) for (method in c("REML", "ML")) {
    formula <- as.formula(sprintf("Y ~ x + gp(u, v, cov = 'exp_quad', lengthscale = 0.3, basis = '%s', tol = 1e-4)", basis))
    many <- suppressMessages(fastlmm_fit(formula, data, method = method))
    for (j in 1:4) {
      data$y <- data$Y[, j]
      one <- suppressMessages(fastlmm_fit(update(formula, y ~ .), data, method = method))
      off <- if (basis == "exact") 1e-8 else 1e-4
      expect_equal(many$logLik[[j]], one$logLik, tolerance = off)
      expect_equal(many$coefficients[, j], one$coefficients, tolerance = off)
      if (one$h2 > 0) expect_equal(many$delta[[j]], one$delta[[1]], tolerance = 30 * off)
      expect_equal(many$sigma2_e[[j]], one$sigma2_e, tolerance = 30 * off)
      null <- lm(y ~ x, data)
      if (method == "ML") expect_equal(many$logLik0[[j]], as.numeric(logLik(null)), tolerance = 1e-8)
      if (method == "REML") expect_equal(many$logLik0[[j]], as.numeric(logLik(null, REML = TRUE)), tolerance = 1e-8)
    }
  }
})

test_that("length scales are found as closely as single fits find them", {
  data <- gp_many_world(400, 6)
  for (basis in c("exact", "fourier")) {
    formula <- as.formula(sprintf("Y ~ x + gp(u, v, cov = 'exp_quad', basis = '%s', range = c(0.15, 0.9))", basis))
    many <- suppressMessages(fastlmm_fit(formula, data))
    for (j in which(many$statistic > 10)) {
      one <- single_gp(data, j, formula)
      expect_lt(abs(many$logLik[[j]] - one$logLik), 0.03)
      expect_lt(abs(log(many$lengthscale[[j]] / one$lengthscale)), 0.35 * one$se$lengthscale / one$lengthscale)
    }
    expect_true(any(many$statistic > 10))
  }
})

test_that("a shared length scale is the best of the sum", {
  data <- gp_many_world(200, 5)
  shared <- suppressMessages(fastlmm_fit(Y ~ x + gp(u, v, shared = TRUE), data))
  expect_length(unique(na.omit(shared$lengthscale)), 1)
  total <- function(l) {
    environment <- list2env(list(l = l), parent = globalenv())
    formula <- as.formula("Y ~ x + gp(u, v, lengthscale = l)", environment)
    sum(suppressMessages(fastlmm_fit(formula, data))$logLik)
  }
  best <- optimize(function(t) -total(exp(t)), log(c(0.1, 0.8)))
  expect_lt(abs(-best$objective - sum(shared$logLik)), 0.02)
})

test_that("missing cells, constant and infinite columns concern only their own response", {
  data <- gp_many_world(150, 7)
  data$Y[3:20, 2] <- NA
  data$Y[, 3] <- 7
  data$Y[5, 4] <- Inf
  data$Y[, 5] <- NA
  data$Y[, 6] <- 3 - 2 * data$x
  expect_warning(many <- suppressMessages(fastlmm_fit(Y ~ x + gp(u, v), data)), class = "fastlmm_warning_responses")
  expect_identical(unname(many$status), c("ok", "ok", "constant_response", "nonfinite", "no_rows", "perfect_fit", "ok"))
  expect_identical(unname(many$nobs[c(1, 2, 5)]), c(150L, 132L, 0L))
  one <- single_gp(data[!is.na(data$Y[, 2]), ], 2, Y ~ x + gp(u, v))
  expect_lt(abs(many$logLik[[2]] - one$logLik), 0.03)
  expect_true(is.na(residuals(many)[3, 2]))
  expect_equal(many$p.value[c(1, 7)], suppressMessages(fastlmm_fit(Y ~ x + gp(u, v), transform(data, Y = Y[, c(1, 7)])))$p.value)
  fourier <- suppressWarnings(suppressMessages(fastlmm_fit(Y ~ x + gp(u, v, cov = "exp_quad", basis = "fourier", range = c(0.7, 1)), data)))
  expect_identical(unname(fourier$status), c("ok", "ok", "constant_response", "nonfinite", "no_rows", "perfect_fit", "ok"))
})

test_that("the order of responses, their scale and the scale of coordinates do not matter", {
  data <- gp_many_world(200, 4)
  fit <- suppressMessages(fastlmm_fit(Y ~ x + gp(u, v), data))
  other <- data
  other$Y <- 1e3 * data$Y[, 4:1]
  other[c("u", "v")] <- 1e6 * data[c("u", "v")]
  turned <- suppressMessages(fastlmm_fit(Y ~ x + gp(u, v), other))
  expect_equal(turned$statistic[4:1], fit$statistic, tolerance = 1e-5)
  expect_equal(turned$p.value[4:1], fit$p.value, tolerance = 1e-5)
  expect_equal(turned$sigma2[4:1], 1e6 * fit$sigma2, tolerance = 1e-4)
  expect_equal(turned$lengthscale[4:1], 1e6 * fit$lengthscale, tolerance = 1e-4)
})

test_that("without a process small p-values are as frequent as they say, or rarer", {
  set.seed(5)
  n <- 150
  data <- data.frame(u = runif(n), v = runif(n), x = rnorm(n))
  count <- if (is_long()) 2000 else 800
  data$Y <- matrix(rnorm(n * count), n)
  many <- suppressMessages(fastlmm_fit(Y ~ x + gp(u, v, cov = "exp_quad"), data))
  rate <- function(level) mean(many$p.value <= level)
  expect_lt(rate(0.05), 0.05 + 3 * sqrt(0.05 * 0.95 / count))
  expect_gt(rate(0.05), 0.015)
  expect_lt(rate(0.01), 0.01 + 3 * sqrt(0.01 * 0.99 / count))
  # what the correction is for: the mixture of a given length scale is wrong for the best of all
  expect_gt(mean(pnorm(-sqrt(many$statistic)) <= 0.05), 0.07)
  expect_equal(many$q.value, p.adjust(many$p.value, "BH"))
  given <- suppressMessages(fastlmm_fit(Y ~ x + gp(u, v, cov = "exp_quad", lengthscale = 0.1), data))
  expect_equal(unname(given$p.value[given$statistic > 0]), pnorm(-sqrt(unname(given$statistic[given$statistic > 0]))))
  expect_lt(mean(given$p.value <= 0.05), 0.05 + 3 * sqrt(0.05 * 0.95 / count))
})

test_that("p-values do not underflow", {
  expect_equal(fastlmm:::log_p_process(5000, 0), pnorm(-sqrt(5000), log.p = TRUE))
  expect_lt(fastlmm:::log_p_process(5000, 3), -2400)
  expect_identical(fastlmm:::log_p_process(0, 3), 0)
  expect_equal(exp(fastlmm:::log_p_process(9, 2)), pnorm(-3) + 2 / (2 * pi) * exp(-4.5))
})

test_that("methods", {
  data <- gp_many_world(120, 3)
  data$Y[4, 1] <- NA
  fit <- suppressMessages(fastlmm_fit(Y ~ x + gp(u, v), data))
  expect_output(print(fit), "length scale of each response")
  expect_output(print(summary(fit)), "Fixed effects")
  expect_named(as.data.frame(fit), c(
    "response", "n", "lengthscale", "at_end", "h2", "fsv", "se_fsv", "sigma2", "sigma2_e", "delta", "logLik", "logLik0", "statistic", "p.value", "q.value",
    "rank", "status",
    "boundary"
  ))
  one <- suppressMessages(extract_fit(fit, "g2"))
  expect_s3_class(one, "fastlmm_gp")
  expect_equal(one$logLik, single_gp(data, 2, Y ~ x + gp(u, v))$logLik)
  new <- data[1:5, ]
  predicted <- predict(fit, new, se.fit = TRUE)
  expect_equal(dim(predicted$fit), c(5, 3))
  alone <- predict(one, new, se.fit = TRUE)
  expect_equal(unname(predicted$fit[, 2]), unname(alone$fit), tolerance = 0.01)
  expect_equal(unname(predicted$se.fit[, 2]), unname(alone$se.fit), tolerance = 0.02)
  expect_equal(fitted(fit) + residuals(fit), fit$y)
  draws <- simulate(fit, 2, seed = 1)
  expect_equal(dim(draws[[2]]), dim(data$Y))
  expect_identical(which(is.na(draws[[1]])), 4L)
  expect_equal(dim(coef(fit)), c(2, 3))
  expect_error(refit(fit, data$Y), class = "fastlmm_error_refit")
})

test_that("what is not offered for many responses is refused", {
  data <- gp_many_world(60, 2)
  data$site <- rep(1:6, 10)
  expect_error(fastlmm_fit(Y ~ gp(u, v) + (1 | site), data), class = "fastlmm_error_gp")
  expect_error(fastlmm_fit(Y ~ gp(u, v, ard = TRUE), data), class = "fastlmm_error_gp")
  expect_error(fastlmm_fit(Y ~ gp(u, v, shared = NA), data), class = "fastlmm_error_gp")
  expect_error(fastlmm_fit(Y ~ gp(u, v, cov = "matern12", basis = "fourier", range = c(0.01, 1)), data), class = "fastlmm_error_rough")
})

test_that("a length scale at the end of what was looked at is told", {
  data <- gp_many_world(200, 2)
  expect_message(fastlmm_fit(Y ~ x + gp(u, v, cov = "exp_quad", range = c(0.5, 1)), data), "short end", class = "fastlmm_message_gp_range")
})
