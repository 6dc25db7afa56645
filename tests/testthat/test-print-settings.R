# What is looked at prints in words: settings, priors, permutations, the convergence of chains.

shown <- function(x) paste(capture.output(print(x)), collapse = "\n")

test_that("settings, priors and permutations print no raw structures", {
  settings <- shown(fastlmm_control(1e-8, threads = 1))
  expect_match(settings, "tolerance +1e-08.*threads +1.*verbose +FALSE.*effects +TRUE")
  prior <- shown(slam_prior(residual = inverse_wishart(0.5, 5), loadings = horseshoe(0.2), h2 = function(h) 1 + h, h2_factors = c(1, 1, 2)))
  expect_match(prior, "shape 2.5, scale 1.25, mean 0.833", fixed = TRUE)
  expect_match(prior, "horseshoe, p0 = 0.2")
  expect_match(prior, "weights by function *\\(h\\) *1 \\+ h")
  expect_match(prior, "weights 1, 1, 2", fixed = TRUE)
  expect_match(shown(slam_prior()), "all proportions alike.*of factors +beta distribution of shapes 0.3 and 0.3")
  expect_match(shown(mgp(nu = 4)), "nu = 4, shape and rate of the first delta 1 and 1, of the others 1 and 20, these at least 1")
  expect_match(shown(inverse_gamma(0.5, 1)), "^inverse gamma, shape 0.5, scale 1$")
  for (x in list(settings, prior, shown(mgp()))) expect_no_match(x, "attr(", fixed = TRUE)
  ids <- levels(nlme::Orthodont$Subject)
  G <- matrix(rnorm(2 * length(ids)), length(ids), dimnames = list(ids, c("a", "b")))
  found <- fastlmm_permute(fastlmm_fit(distance ~ age + (1 | Subject), nlme::Orthodont), G, n = 20, seed = 1)
  summary <- summary(found)
  expect_equal(summary$quantiles, quantile(found))
  expect_equal(summary$range, range(found$maximum))
  expect_match(shown(summary), "20 permutations of the null model .* 2 candidates")
})

test_that("the count of fits at a boundary cannot be read as its h2, and a boundary is explained once", {
  set.seed(5)
  d <- data.frame(id = factor(rep(1:10, each = 3)))
  d$Y <- cbind(a = residuals(lm(rnorm(30) ~ id, d)), b = rnorm(10)[d$id] + rnorm(30))
  expect_message(many <- fastlmm_fit(Y ~ 1 + (1 | id), d), "h2 = 0: 1 \\(\"a\"\\)", class = "fastlmm_message_boundary")
  text <- shown(summary(many))
  expect_match(text, "Status: \"ok\" in 2\n", fixed = TRUE)
  expect_match(text, "Boundary: \"h2 = 0\" in 1, \"none\" in 1", fixed = TRUE)
  expect_message(one <- fastlmm_fit(Y[, "a"] ~ 1 + (1 | id), d), "kernel explains no variance", class = "fastlmm_message_boundary")
  for (text in c(shown(one), shown(summary(one)))) {
    expect_match(text, "Boundary fit: h2 = 0. It is valid.", fixed = TRUE)
    expect_no_match(text, "explains no variance")
  }
})

test_that("print() of a sparse-factor model gives the worst rhat and effective sample sizes, and what to do", {
  set.seed(1)
  d <- data.frame(id = factor(rep(1:15, 2)), x = rnorm(30))
  d$Y <- matrix(rnorm(90), 30)
  fit <- suppressMessages(slamglmm_fit(Y ~ x + (1 | id), d, n_factors = 1, chains = 2, iter = 60, seed = 1))
  all <- summary(fit)$table
  found <- slam_convergence(fit)
  expect_equal(found$rhat, max(all$rhat, na.rm = TRUE))
  expect_equal(found$worst, all$variable[which.max(all$rhat)])
  expect_equal(c(found$bulk, found$tail), c(min(all$ess_bulk, na.rm = TRUE), min(all$ess_tail, na.rm = TRUE)))
  expect_equal(c(found$shown, found$all), c(24, 24))
  text <- shown(fit)
  expect_match(text, paste("worst rhat", format(found$rhat, digits = 3, nsmall = 2), "of", found$worst), fixed = TRUE)
  expect_match(text, "extend(fit, iter =", fixed = TRUE)
  expect_lte(slam_convergence(fit, most = 6)$shown, 8)
  few <- suppressMessages(slamglmm_fit(Y ~ x + (1 | id), d, n_factors = 1, chains = 1, iter = 4, seed = 1))
  expect_match(shown(few), "not judged: there are too few draws")
})
