# Twice the restricted log-likelihoods' difference, by the definition
explicit_ratio <- function(fit) {
  X <- model.matrix(fit)
  y <- getME(fit, "y") - getME(fit, "offset")
  w <- unname(getME(fit, "weights"))
  residual <- lm.wfit(X, y, w)$residuals
  df <- nobs(fit) - fit$rank
  null <- -(df * log(2 * pi) + df * log(sum(w * residual^2) / df) + df - sum(log(w)) + as.numeric(determinant(crossprod(sqrt(w) * X))$modulus)) / 2
  max(0, 2 * (as.numeric(logLik(fit)) - null))
}

test_that("the statistic is the restricted likelihood ratio", {
  skip_if_not_installed("lme4")
  fits <- list(kernel_fit(), lme4_pair("Dyestuff")$ours, lme4_pair("sleepstudy")$ours, lme4_pair("Dyestuff2")$ours)
  for (fit in fits) expect_equal(test_variance(fit, nsim = 10)$statistic, explicit_ratio(fit), tolerance = 1e-8, ignore_attr = TRUE)
  expect_identical(test_variance(fits[[4]], nsim = 10)$p.value, 1)
})

test_that("the simulated distribution is that of the statistic in refits under the null hypothesis", {
  set.seed(40)
  ids <- paste0("i", 1:24)
  K <- structure(exp(-abs(outer(1:24, 1:24, "-")) / 6), dimnames = list(ids, ids))
  data <- data.frame(id = rep(ids, rep(c(2, 1), 12)), x = rnorm(36))
  null <- rnorm(36 * 400)
  Y <- matrix(null, 36)
  many <- suppressMessages(fastlmm_fit(Y ~ x + (1 | id), data, K = K))
  fit <- suppressMessages(extract_fit(many, 1))
  X <- model.matrix(fit)
  residual <- qr.resid(qr(X), Y)
  log_lik_null <- -(34 * log(2 * pi) + 34 * log(colSums(residual^2) / 34) + 34 + as.numeric(determinant(crossprod(X))$modulus)) / 2
  refits <- pmax(0, 2 * (many$logLik - log_lik_null))
  drawn <- test_variance(fit, nsim = 4000, seed = 1)$null
  zero <- c(mean(refits < 1e-9), mean(drawn == 0))
  expect_lt(abs(diff(zero)), 4 * sqrt(0.25 * (1 / 400 + 1 / 4000)))
  # p-values under the null hypothesis are uniform, below the mass at 1
  p <- vapply(refits, function(statistic) if (statistic < 1e-9) 1 else mean(drawn >= statistic), 0)
  for (alpha in c(0.02, 0.05, 0.1, 0.2, 0.3)) expect_lt(abs(mean(p <= alpha) - alpha), 4 * sqrt(alpha * (1 - alpha) / 400))
  # the mixture is another distribution here: a test at five percent by it is not
  expect_lt(abs(mean(drawn >= qchisq(0.9, 1)) - mean(refits >= qchisq(0.9, 1))), 4 * sqrt(0.05 * 0.95 / 400))
})

test_that("the maximum over the grid is that of a search", {
  set.seed(3)
  s <- list(mu = exp(rnorm(20)), n_rest = 5)
  w2 <- matrix(rchisq(30 * 20, 1), 30)
  left <- rchisq(30, 5)
  value <- function(draw, lambda) 25 * log((sum(w2[draw, ]) + left[draw]) / (sum(w2[draw, ] / (1 + lambda * s$mu)) + left[draw])) - sum(log1p(lambda * s$mu))
  lambda <- exp(seq(log(1e-4), log(1e7), length.out = 180)) / max(s$mu)
  grid <- t(vapply(1:30, function(i) vapply(lambda, value, 0, draw = i), lambda))
  searched <- vapply(1:30, function(i) max(0, vapply(split(seq_along(lambda), (seq_along(lambda) - 1) %/% 20), function(part) {
    optimize(value, range(lambda[part]) * c(0.9, 1.1), draw = i, maximum = TRUE, tol = 1e-8)$objective
  }, 0)), 0)
  expect_equal(refined_maximum(grid), searched, tolerance = 1e-3)
})

test_that("seeds repeat, a test of a real variance rejects, and what has no exact test is refused", {
  skip_if_not_installed("lme4")
  fit <- lme4_pair("sleepstudy")$ours
  expect_identical(test_variance(fit, 500, seed = 2), test_variance(fit, 500, seed = 2))
  expect_lt(test_variance(fit, 500, seed = 2)$p.value, 0.01)
  expect_output(print(test_variance(fit, 500, seed = 2)), "RLRT")
  expect_error(test_variance(lme4_pair("sleepstudy", "ML")$ours), "REML", class = "fastlmm_error_variance_test")
  several <- suppressMessages(fastlmm_fit(Reaction ~ Days + (1 + Days || Subject), lme4::sleepstudy))
  expect_error(test_variance(several), "several", class = "fastlmm_error_variance_test")
  expect_error(test_variance(degenerate_fit("confounded")), class = "fastlmm_error_variance_test")
  expect_error(test_variance(lm(dist ~ speed, cars)), class = "fastlmm_error_not_a_fit")
})

test_that("beside others: the statistic is that of two fits, the distribution that of refits under the null hypothesis", {
  skip_on_cran()
  set.seed(12)
  data <- expand.grid(a = factor(1:8), b = factor(1:6))
  data$x <- rnorm(48)
  y <- function() rnorm(8, sd = 1.5)[data$a] + rnorm(48)
  data$y <- y()
  fit <- quiet_fit(fastlmm_fit(y ~ x + (1 | a) + (1 | b), data))
  without <- quiet_fit(fastlmm_fit(y ~ x + (1 | a), data))
  found <- test_variance(fit, 4000, seed = 1, term = "b")
  expect_equal(unname(found$statistic), max(0, 2 * as.numeric(logLik(fit) - logLik(without))), tolerance = 1e-6)
  expect_identical(test_variance(fit, 100, seed = 1, term = 2)$null, test_variance(fit, 100, seed = 1, term = "1 | b")$null)
  statistics <- replicate(150, {
    data$y <- y()
    max(0, 2 * as.numeric(logLik(quiet_fit(fastlmm_fit(y ~ x + (1 | a) + (1 | b), data))) - logLik(quiet_fit(fastlmm_fit(y ~ x + (1 | a), data)))))
  })
  for (q in c(0.5, 1, 2.5)) {
    p <- mean(found$null >= q)
    expect_lt(abs(mean(statistics >= q) - p), 4 * sqrt(p * (1 - p) / 150))
  }
  # the spectrum by the definition
  V <- 2.25 * outer(data$a, data$a, "==") + diag(48)
  without$sigma2[] <- 2.25
  without$sigma2_e <- 1
  ours <- spectrum_beside(fit, "b", without)
  W <- solve(chol(V))
  X <- t(W) %*% model.matrix(~x, data)
  P <- diag(48) - X %*% solve(crossprod(X), t(X))
  values <- eigen(P %*% t(W) %*% outer(data$b, data$b, "==") %*% W %*% P, symmetric = TRUE)$values
  expect_equal(ours$mu, values[values > 1e-9], tolerance = 1e-8)
  expect_equal(ours$n_rest, 48 - 2 - length(ours$mu))
})

test_that("RLRsim's tests, of one effect and beside another", {
  skip_if_not_installed("RLRsim")
  skip_if_not_installed("lme4")
  theirs <- function(...) suppressMessages(RLRsim::exactRLRT(..., nsim = 20000, seed = 3))
  near <- function(ours, theirs) expect_lt(abs(ours$p.value - unname(theirs$p.value)), 5 * sqrt(0.25 / 10000))
  data <- transform(nlme::Orthodont, distance = ifelse(Sex == "Male", distance + as.integer(Subject) / 40, distance))
  one <- lme4::lmer(distance ~ age + (1 | Sex), data)
  near(test_variance(quiet_fit(fastlmm_fit(distance ~ age + (1 | Sex), data)), seed = 1), theirs(one))
  set.seed(2)
  weak <- expand.grid(a = factor(1:10), b = factor(1:8))
  weak$y <- rnorm(10)[weak$a] + rnorm(8, sd = 0.25)[weak$b] + rnorm(80)
  both <- suppressMessages(lme4::lmer(y ~ 1 + (1 | a) + (1 | b), weak))
  found <- theirs(suppressMessages(lme4::lmer(y ~ 1 + (1 | b), weak)), both, lme4::lmer(y ~ 1 + (1 | a), weak))
  ours <- test_variance(quiet_fit(fastlmm_fit(y ~ 1 + (1 | a) + (1 | b), weak)), seed = 1, term = "b")
  expect_equal(unname(ours$statistic), unname(found$statistic), tolerance = 1e-3)
  # their distribution takes the other effects for known
  expect_equal(ours$p.value, unname(found$p.value), tolerance = 0.1)
})

test_that("kernels, slopes and correlated terms beside the tested effect; what is not offered is refused", {
  fits <- route_fits()
  for (route in c("mix", "parts", "crossed", "precision_mix")) {
    for (label in names(fits[[route]]$random)) {
      found <- test_variance(fits[[route]], 200, seed = 1, term = label)
      expect_true(found$p.value > 0 && found$p.value <= 1, info = paste(route, label))
    }
  }
  correlated <- quiet_fit(fastlmm_fit(y ~ x + f + (1 + x | id) + (1 | g), route_data()$data))
  expect_lt(test_variance(correlated, 500, seed = 1, term = "g")$p.value, 0.2)
  expect_error(test_variance(correlated, term = "id"), "covariances", class = "fastlmm_error_variance_test")
  expect_error(test_variance(fits$mix), "term =", class = "fastlmm_error_variance_test")
  expect_error(test_variance(fits$mix, term = "nothing"), class = "fastlmm_error_argument")
  expect_error(confint(fits$mix, "h2.id", method = "exact"), "one random effect", class = "fastlmm_error_variance_test")
  expect_error(test_variance(fits$gp_joint, term = "id"), class = "fastlmm_error_variance_test")
})

test_that("correlated terms are refused at once, however they are asked for, with what to do", {
  skip_if_not_installed("lme4")
  fit <- fastlmm_fit(Reaction ~ Days + (Days | Subject), lme4::sleepstudy)
  for (term in list(NULL, 1, 2, "Subject", "Days | Subject")) expect_error(
    test_variance(fit, term = term), "fit it without correlations", class = "fastlmm_error_variance_test"
  )
  data <- transform(lme4::sleepstudy, g = factor(rep(1:6, 30)))
  beside <- suppressMessages(fastlmm_fit(Reaction ~ Days + (Days | Subject) + (1 | g), data))
  error <- tryCatch(test_variance(beside), error = identity)
  expect_match(conditionMessage(error), "of \"g\"$")
  expect_s3_class(test_variance(beside, term = "g", nsim = 100, seed = 1), "htest")
})

test_that("equal eigenvalues are drawn together: the same distribution", {
  expect_equal(tied_values(c(2, 5, 2 * (1 + 1e-14), 1)), list(value = c(5, 2, 1), count = c(1, 2, 1)), tolerance = 1e-12)
  set.seed(5)
  together <- null_ratios(list(mu = rep(c(4, 1), c(6, 30)), n_rest = 10), 4000)
  apart <- null_ratios(list(mu = rep(c(4, 1), c(6, 30)) * (1 + 1e-6 * seq_len(36)), n_rest = 10), 4000)
  expect_gt(suppressWarnings(ks.test(together[together > 0], apart[apart > 0]))$p.value, 1e-3)
  expect_lt(abs(mean(together == 0) - mean(apart == 0)), 4 * sqrt(0.5 / 4000))
})
