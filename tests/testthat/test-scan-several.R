# The covariance of the rows at the null model, from its parts
null_covariance <- function(fit, given, route) {
  K <- given$K[given$data$id, given$data$id]
  same <- function(name) outer(given$data[[name]], given$data[[name]], "==") + 0
  x <- cbind(1, given$data$x)
  s <- unname(fit$sigma2)
  unname(switch(route,
    mix = s[1] * K + s[2] * same("g"), crossed = s[1] * same("id") + s[2] * same("g"), correlated_kernel = K * (x %*% unname(effect_covariance(fit)) %*% t(x)),
    levels = s * K
  )) + diag(fit$sigma2_e / prior_weights(fit))
}

test_that("the random effects together are the null model: its likelihood, coefficients and variances", {
  for (route in c("mix", "parts", "crossed", "correlated", "correlated_kernel", "precision_mix", "levels", "gp", "gp_joint", "gp_fourier", "gp_group")) {
    fit <- route_fits()[[route]]
    one <- as_one_effect(fit)
    rough <- if (grepl("gp_f|gp_g", route)) 1e-3 else 1e-5
    expect_equal(as.numeric(logLik(one)), as.numeric(logLik(fit)), tolerance = rough, info = route)
    expect_equal(fixef(one), fixef(fit), tolerance = 100 * rough, info = route)
  }
  expect_identical(as_one_effect(route_fits()$kernel), route_fits()$kernel)
})

test_that("tests are those of generalised least squares at the null model's covariance", {
  given <- route_data()
  X <- unname(model.matrix(~ x + f, given$data))
  y <- given$data$y
  for (route in c("mix", "crossed", "correlated_kernel", "levels")) {
    fit <- route_fits()[[route]]
    found <- suppressMessages(fastlmm_scan(fit, given$M))
    root <- chol(null_covariance(fit, given, route))
    white <- function(x) backsolve(root, x, transpose = TRUE)
    for (j in 1:4) {
      theirs <- summary(lm(white(y) ~ 0 + white(cbind(X, given$M[, j]))))$coefficients[4, ]
      expect_equal(
        c(found$estimate[j], found$std.error[j], found$statistic[j], found$p.value[j]), unname(c(theirs[1:2], theirs[3]^2, theirs[4])), tolerance = 1e-3,
        info = route
      )
    }
    again <- suppressMessages(fastlmm_scan(fit, given$M, refit = "delta"))
    expect_true(all(again$logLik >= found$logLik - 1e-8))
  }
})

test_that("a scan is that of the kernels put together by hand, by ids of any effect, with sets, interactions, missing cells, and its permutations too", {
  given <- route_data()
  data <- given$data
  fit <- route_fits()$mix
  part <- fit$sigma2 / sum(fit$sigma2)
  K <- unname(part[[1]] * given$K[data$id, data$id] + part[[2]] * outer(data$g, data$g, "=="))
  by_hand <- quiet_fit(fastlmm_fit(y ~ x + f, data, K = K))
  same <- function(...) {
    ours <- quiet_fit(fastlmm_scan(fit, ...))
    theirs <- quiet_fit(fastlmm_scan(by_hand, ...))
    for (name in c("estimate", "p.value", "n", "status")) expect_equal(ours[[name]], theirs[[name]], tolerance = 1e-3, info = name)
  }
  same(given$M)
  same(given$M, test = "lrt", refit = "delta")
  same(given$M, sets = list(a = 1:2, b = 3:4))
  same(given$M, interaction = ~x)
  holes <- replace(given$M, cbind(1:4, 1:4), NA)
  same(holes, na = "omit")
  # the same distribution: which contrasts are permuted depends on the signs of eigenvectors
  maxima <- lapply(list(fit, by_hand), function(null) quiet_fit(fastlmm_permute(null, given$M, n = 500, seed = 3))$maximum)
  expect_gt(suppressWarnings(ks.test(maxima[[1]], maxima[[2]])$p.value), 1e-4)
  by_id <- matrix(rbinom(24 * 3, 2, 0.5), 24, dimnames = list(rownames(given$K), letters[1:3]))
  expect_equal(fastlmm_scan(fit, by_id)$p.value, quiet_fit(fastlmm_scan(fit, unname(by_id[data$id, ])))$p.value, tolerance = 1e-8)
  by_group <- matrix(rnorm(12), 6, dimnames = list(letters[1:6], c("p", "q")))
  expect_equal(fastlmm_scan(fit, by_group)$estimate, quiet_fit(fastlmm_scan(fit, unname(by_group[data$g, ])))$estimate, tolerance = 1e-6)
  # the candidate in the formula, with the shares estimated anew: near it
  full <- quiet_fit(fastlmm_fit(y ~ x + f + m + (1 | id) + (1 | g), transform(data, m = given$M[, 1]), K = list(id = given$K)))
  expect_equal(quiet_fit(fastlmm_scan(fit, given$M, refit = "delta"))$estimate[1], fixef(full)[["m"]], tolerance = 0.1)
  expect_error(fastlmm_scan(fit, given$M, groups = rep(1, 4), kernels = list(`1` = given$K)), "one random effect", class = "fastlmm_error_scan")
  expect_error(fastlmm_scan(route_fits()$gp, by_id), class = "fastlmm_error_candidates")
  expect_error(fastlmm_scan(route_fits()$many_mix, given$M), "extract_fit", class = "fastlmm_error_scan")
})

test_that("tests of a null model of several effects hold their level", {
  skip_on_cran()
  set.seed(9)
  ids <- paste0("i", 1:40)
  W <- matrix(rnorm(40 * 60), 40, dimnames = list(ids, NULL))
  K <- tcrossprod(W) / 60
  root <- t(chol(K))
  data <- data.frame(id = rep(ids, 2), g = rep(letters[1:8], 10))
  p <- unlist(lapply(1:40, function(i) {
    data$y <- rep(drop(root %*% rnorm(40)), 2) + rnorm(8)[factor(data$g)] + rnorm(80)
    fit <- quiet_fit(fastlmm_fit(y ~ 1 + (1 | id) + (1 | g), data, K = list(id = K)))
    # candidates that go with the kernel, which a test without it would find
    G <- root %*% matrix(rnorm(40 * 25), 40)
    dimnames(G) <- list(ids, paste0("c", 1:25))
    fastlmm_scan(fit, G)$p.value
  }))
  expect_lt(abs(mean(p < 0.05) - 0.05), 3 * sqrt(0.05 * 0.95 / 1000) + 0.01)
})
