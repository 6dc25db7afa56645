# Sparse-factor models in the functions of other packages: means by emmeans, and refusals of this package's own.

neighbour_world <- function() {
  set.seed(1)
  data <- data.frame(id = paste0("i", rep(1:20, 2)), x = rnorm(40), f = rep(c("u", "v"), 20), g = rep(c("m", "n"), each = 20))
  data$Y <- outer(rep(rnorm(20), 2) + data$x, c(a = 1, b = -1, c = 2)) + matrix(rnorm(120), 40)
  data$P <- exp(data$Y)
  data$C <- round(exp(data$Y / 4))
  data
}

neighbour_fit <- function(formula = Y ~ x + f + (1 | id), ...) quiet_slam(formula, neighbour_world(), chains = 2, iter = 100, seed = 1, ...)

test_that("emmeans gives the means of all draws, responses as levels of a factor", {
  skip_if_not_installed("emmeans")
  fit <- neighbour_fit()
  grid <- emmeans::emmeans(fit, ~ f | rep.meas)
  data <- neighbour_world()
  new <- data.frame(x = mean(data$x), f = c("u", "v"))
  draws <- predict(fit, new, re.form = NA, draws = TRUE)
  table <- as.data.frame(summary(grid, point.est = mean))
  expect_identical(as.character(table$rep.meas), rep(c("a", "b", "c"), each = 2))
  expect_equal(table$emmean, c(apply(draws, 1:2, mean)), tolerance = 1e-8, ignore_attr = TRUE)
  difference <- as.data.frame(summary(emmeans::contrast(grid, "pairwise"), point.est = mean))
  expect_equal(difference$estimate, unname(colMeans(apply(draws, 2:3, diff) |> (\(x) -t(x))())), tolerance = 1e-8)
  slopes <- as.data.frame(summary(emmeans::emtrends(fit, ~rep.meas, var = "x"), point.est = mean))
  expect_equal(slopes$x.trend, unname(fixef(fit)["x", ]), tolerance = 1e-6)
  counts <- neighbour_fit(C ~ f + (1 | id), family = poisson())
  expect_output(print(emmeans::emmeans(counts, ~ f | rep.meas)), "linear predictor")
  expect_length(coda::as.mcmc(grid), 2)
  # emmeans calls means on the response's own scale "response"
  logs <- suppressMessages(neighbour_fit(log(P) ~ f + (1 | id)))
  expect_output(print(emmeans::emmeans(logs, ~ f | rep.meas, type = "response")), "back-transformed")
})

test_that("emmeans says what it does not take", {
  skip_if_not_installed("emmeans")
  said <- function(fit) tryCatch(emmeans::emmeans(fit, ~f), error = conditionMessage)
  expect_match(said(neighbour_fit(factors = ~g)), "covariates of the factors.*gn.*predict\\(fit")
  expect_match(said(neighbour_fit(cis = list(a = ~g))), "cis =")
  expect_match(said(neighbour_fit(Y ~ f + I(f == "u") + (1 | id))), "do not depend on each other")
  expect_match(said(neighbour_fit(C ~ f + offset(unname(cbind(x, x, 1))) + (1 | id), family = poisson())), "offset of its own for each response")
})

test_that("what asks for a maximum is refused by this package, with what has the answer", {
  fit <- neighbour_fit()
  refused <- function(expr, pattern = "not available for a fit by slamglmm_fit") expect_error(expr, pattern, class = "fastlmm_error_sampler")
  for (verb in list(hatvalues, cooks.distance, influence, rstandard, rstudent, profile, deviance, df.residual)) refused(verb(fit))
  calls <- list(
    performance = c("r2", "r2_bayes", "model_performance", "check_model", "check_convergence", "check_singularity", "compare_performance"),
    parameters = c("model_parameters", "standard_error", "p_value", "ci"), insight = c("get_variance", "get_parameters", "get_statistic", "get_predicted"),
    car = c("Anova", "Confint", "vif"), lmtest = c("lrtest", "waldtest", "coeftest", "coefci"), datawizard = "standardize", xtable = "xtable"
  )
  for (package in names(calls)) if (requireNamespace(package, quietly = TRUE)) for (verb in calls[[package]]) refused(getExportedValue(package, verb)(fit))
  if (requireNamespace("car", quietly = TRUE)) refused(car::linearHypothesis(fit, "x = 0"))
  if (requireNamespace("multcomp", quietly = TRUE)) refused(multcomp::glht(fit, "x = 0"))
  if (requireNamespace("effects", quietly = TRUE)) refused(effects::Effect("f", fit))
  if (requireNamespace("ggeffects", quietly = TRUE)) refused(ggeffects::ggpredict(fit, "x"))
  # what it is told to use is there
  expect_true(all(c("mean", "low", "high") %in% names(summary(fit)$table)))
  expect_equal(vcov(fit, complete = FALSE), vcov(fit))
})
