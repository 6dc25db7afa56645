# The same call on lme4's fit is the definition.

growth_pair <- function() {
  skip_if_not_installed("lme4")
  once("growth", list(
    ours = fastlmm_fit(distance ~ age + Sex + (1 | Subject), nlme::Orthodont),
    theirs = lme4::lmer(
      distance ~ age + Sex + (1 | Subject), nlme::Orthodont, control = lme4::lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-12))
    )
  ))
}

expect_same <- function(verb, pair = growth_pair(), tolerance = 1e-5) {
  plain <- function(fit) {
    found <- suppressMessages(verb(fit))
    if (is.data.frame(found)) lapply(found, function(column) if (is.factor(column)) as.character(column) else column) else found
  }
  expect_equal(plain(pair$ours), plain(pair$theirs), tolerance = tolerance, ignore_attr = TRUE)
}

test_that("emmeans", {
  skip_if_not_installed("emmeans")
  cake <- lme4_pair("cake")
  verbs <- list(
    means = function(fit) as.data.frame(emmeans::emmeans(fit, ~ recipe | temperature)),
    pairs = function(fit) as.data.frame(graphics::pairs(emmeans::emmeans(fit, ~recipe))),
    joint = function(fit) as.data.frame(emmeans::joint_tests(fit))
  )
  if (requireNamespace("pbkrtest", quietly = TRUE)) for (verb in verbs) expect_same(verb, cake)
  slopes <- function(fit, ...) as.data.frame(emmeans::emtrends(fit, ~Sex, var = "age", ...))
  expect_same(function(fit) if (inherits(fit, "fastlmm")) slopes(fit, ddf = "asymptotic") else slopes(fit, lmer.df = "asymptotic"))
  fit <- growth_pair()$ours
  expect_equal(
    as.data.frame(emmeans::emmeans(fit, ~Sex, ddf = "satterthwaite"))$df[1], contrast_tests(fit_uncertainty(fit, "satterthwaite"), matrix(c(1, 11, 0), 1))$df,
    ignore_attr = TRUE
  )
  # without the data of the call
  fit$call$data <- quote(gone)
  expect_equal(as.data.frame(emmeans::emmeans(fit, ~Sex)), as.data.frame(emmeans::emmeans(growth_pair()$ours, ~Sex)))
})

test_that("degrees of freedom of coefficients are those of the summary, and other fits have normal quantiles with the reason", {
  fit <- kernel_fit()
  for (df in c("satterthwaite", "kenward-roger")) {
    table <- summary(fit, df = df)$coefficients
    uncertainty <- fit_uncertainty(fit, df)
    found <- contrast_tests(uncertainty, diag(fit$rank))
    expect_equal(found$df, table[, "df"], ignore_attr = TRUE)
    expect_equal(sqrt(diag(found$vcov)), table[, "Std. Error"], ignore_attr = TRUE)
    expect_equal(contrast_tests(uncertainty, diag(fit$rank)[2, , drop = FALSE])$df, found$df[2])
  }
  skip_if_not_installed("emmeans")
  given <- kernel_data()
  several <- fastlmm_fit(y ~ f + (1 | id) + (1 | g), transform(given$data, g = rep(1:5, 15)), K = list(id = given$K))
  expect_equal(as.data.frame(emmeans::emmeans(several, ~f))$df[1], coef(summary(several, df = "kenward-roger"))[1, "df"], ignore_attr = TRUE)
  by_ml <- update(several, method = "ML")
  expect_message(means <- emmeans::emmeans(by_ml, ~f), "REML", class = "fastlmm_message_ddf")
  expect_equal(as.data.frame(means)$df, rep(Inf, 3))
  expect_equal(as.data.frame(means)$SE[1], sqrt(by_ml$vcov[1, 1]))
  expect_error(emmeans::emmeans(fit, ~f, ddf = "KR"), "write ddf", class = "fastlmm_error_argument")
  boundary <- suppressMessages(fastlmm_fit(Yield ~ Batch2 + (1 | Batch), transform(lme4_models()$Dyestuff2$data, Batch2 = factor(rep(1:2, 15)))))
  linear <- lm(Yield ~ Batch2, transform(lme4_models()$Dyestuff2$data, Batch2 = factor(rep(1:2, 15))))
  expect_equal(as.data.frame(emmeans::emmeans(boundary, ~Batch2, ddf = "satterthwaite")), as.data.frame(emmeans::emmeans(linear, ~Batch2)), ignore_attr = TRUE)
})

test_that("means that are not estimable are so in emmeans", {
  skip_if_not_installed("emmeans")
  data <- transform(nlme::Orthodont, cell = interaction(Sex, age > 10))
  data <- data[!(data$Sex == "Male" & data$age > 10), ]
  fit <- suppressMessages(fastlmm_fit(distance ~ Sex * I(age > 10) + (1 | Subject), data))
  ours <- as.data.frame(emmeans::emmeans(fit, ~ Sex | age, at = list(age = c(8, 14)), ddf = "asymptotic"))
  expect_equal(is.na(ours$emmean), ours$Sex == "Male" & ours$age == 14)
})

test_that("car", {
  skip_if_not_installed("car")
  cake <- lme4_pair("cake")
  for (type in c("II", "III")) {
    ours <- car::Anova(cake$ours, type = type)
    expect_equal(as.matrix(ours)[, c("Chisq", "Df", "Pr(>Chisq)")], as.matrix(car::Anova(cake$theirs, type = type)), tolerance = 1e-5, ignore_attr = TRUE)
  }
  expect_same(car::vif)
  expect_same(car::vif, cake)
  expect_same(function(fit) car::deltaMethod(fit, "age / SexFemale"))
  for (hypothesis in list("recipeB = recipeC", diag(18)[2:3, ])) expect_same(
    function(fit) as.numeric(car::linearHypothesis(fit, hypothesis)[2, c("Chisq", "Pr(>Chisq)")]), cake
  )
  expect_error(car::Anova(cake$ours, test.statistic = "F"), "anova\\(fit, type", class = "fastlmm_error_anova")
  expect_error(car::linearHypothesis(cake$ours, "recipeB = 0", test = "F"), class = "fastlmm_error_anova")
  expect_error(car::vif(fastlmm_fit(distance ~ age + (1 | Subject), nlme::Orthodont)), class = "fastlmm_error_vif")
})

test_that("multcomp", {
  skip_if_not_installed("multcomp")
  expect_same(function(fit) coef(summary(multcomp::glht(fit, "age - SexFemale = 0"))))
  expect_same(function(fit) vcov(multcomp::glht(fit, multcomp::mcp(Sex = "Tukey"))))
})

test_that("effects, ggeffects", {
  skip_if_not_installed("effects")
  expect_same(function(fit) as.data.frame(effects::Effect("age", fit)))
  crossed <- list(
    ours = fastlmm_fit(distance ~ age * Sex + (1 | Subject), nlme::Orthodont), theirs = lme4::lmer(distance ~ age * Sex + (1 | Subject), nlme::Orthodont)
  )
  expect_same(function(fit) as.data.frame(effects::Effect(c("age", "Sex"), fit)), crossed)
  skip_if_not_installed("ggeffects")
  expect_same(function(fit) as.data.frame(ggeffects::ggeffect(fit, "age"))[c("predicted", "conf.low", "conf.high")])
  expect_same(function(fit) as.data.frame(ggeffects::ggpredict(fit, "age"))$predicted)
  expect_same(function(fit) as.data.frame(ggeffects::ggpredict(fit, "age"))$conf.high)
})

test_that("lmtest: restricted criteria are never compared", {
  skip_if_not_installed("lmtest")
  pair <- growth_pair()
  smaller <- fastlmm_fit(distance ~ age + (1 | Subject), nlme::Orthodont)
  expect_message(ours <- lmtest::lrtest(pair$ours, smaller), class = "fastlmm_message_refit_ml")
  theirs <- lmtest::lrtest(lme4::refitML(pair$theirs), lme4::refitML(update(pair$theirs, . ~ . - Sex)))
  expect_equal(ours, theirs, tolerance = 1e-5, ignore_attr = TRUE)
  for (change in list("Sex", 2, . ~ . - Sex)) expect_equal(suppressMessages(lmtest::lrtest(pair$ours, change)), ours)
  null <- suppressMessages(lmtest::lrtest(pair$ours))
  expect_equal(null$LogLik[2], as.numeric(logLik(fastlmm_fit(distance ~ 1 + (1 | Subject), nlme::Orthodont, method = "ML"))))
  expect_error(lmtest::lrtest(pair$ours, fastlmm_fit(age ~ 1 + (1 | Subject), nlme::Orthodont[1:60, ])), class = "fastlmm_error_anova")
  table <- coef(summary(pair$theirs))
  expect_equal(unclass(lmtest::coeftest(pair$ours)), cbind(table, 2 * pnorm(-abs(table[, 3]))), tolerance = 1e-5, ignore_attr = TRUE)
  expect_equal(lmtest::coefci(pair$ours), confint(pair$theirs, "beta_", method = "Wald"), tolerance = 1e-5, ignore_attr = TRUE)
  expect_error(lmtest::waldtest(pair$ours), class = "fastlmm_error_anova")
})

test_that("insight", {
  skip_if_not_installed("insight")
  verbs <- c(
    "find_formula", "find_random", "find_predictors", "find_response", "find_variables", "find_terms", "find_parameters", "find_interactions",
    "find_random_slopes", "find_weights",
    "get_random", "get_predictors", "get_response", "get_parameters", "get_varcov", "get_statistic", "get_df", "get_sigma", "get_variance", "get_deviance",
    "get_residuals", "get_intercept",
    "get_weights", "get_modelmatrix", "get_data", "n_obs", "n_parameters", "n_grouplevels", "is_mixed_model", "is_converged", "get_loglikelihood"
  )
  for (pair in list(growth_pair(), lme4_pair("cake"))) {
    for (verb in verbs) {
      get <- getExportedValue("insight", verb)
      if (verb == "find_formula") get <- function(fit) lapply(insight::find_formula(fit), deparse1)
      expect_same(function(fit) suppressWarnings(get(fit)), pair)
    }
  }
  expect_same(function(fit) as.numeric(insight::get_predicted(fit)))
  info <- insight::model_info(growth_pair()$ours)
  expect_true(info$is_linear && info$is_mixed)
  expect_identical(insight::find_algorithm(growth_pair()$ours)$algorithm, "REML")
})

test_that("insight: kernels, slopes, processes", {
  skip_if_not_installed("insight")
  given <- kernel_data()
  fit <- kernel_fit()
  expect_equal(insight::get_variance(fit, "random"), fit$sigma2 * mean(diag(given$K)[given$data$id]), ignore_attr = TRUE)
  expect_equal(insight::get_variance(fit)$var.fixed, var(predict(fit, re.form = NA) - given$data$o))
  slopes <- fastlmm_fit(Reaction ~ Days + (1 + Days || Subject), lme4::sleepstudy)
  expect_equal(insight::get_variance(slopes, "random"), sum(slopes$sigma2 * c(1, mean((0:9)^2))))
  expect_equal(insight::find_random(slopes), list(random = "Subject"))
  process <- fastlmm_fit(mag ~ depth + gp(long, lat, lengthscale = 3), quakes[1:100, ])
  expect_setequal(insight::find_predictors(process)$conditional, c("depth", "long", "lat"))
  expect_null(insight::find_random(process))
})

test_that("performance, parameters", {
  skip_if_not_installed("performance")
  skip_if_not_installed("parameters")
  for (pair in list(growth_pair(), lme4_pair("cake"))) {
    expect_same(function(fit) unlist(performance::r2(fit)), pair)
    expect_same(function(fit) unlist(performance::icc(fit)), pair)
    expect_same(function(fit) unlist(performance::model_performance(fit)), pair)
    expect_same(function(fit) performance::check_singularity(fit), pair)
    expect_same(function(fit) as.logical(performance::check_convergence(fit)), pair)
  }
  expect_same(function(fit) as.data.frame(performance::check_collinearity(fit)))
  expect_true(performance::check_singularity(lme4_pair("Dyestuff2")$ours))
  expect_named(performance::model_performance(growth_pair()$ours, metrics = c("AIC", "ICC")), c("AIC", "ICC"))
  columns <- c("Coefficient", "SE", "CI_low", "CI_high", "t", "df_error", "p")
  expect_same(function(fit) as.data.frame(parameters::model_parameters(fit, effects = "fixed"))[columns])
  if (requireNamespace("pbkrtest", quietly = TRUE)) {
    expect_same(function(fit) as.data.frame(parameters::model_parameters(fit, effects = "fixed", ci_method = "kenward"))[columns], tolerance = 1e-4)
  }
  expect_output(print(parameters::model_parameters(growth_pair()$ours, ci_method = "satterthwaite")), "age")
  limits <- parameters::ci(growth_pair()$ours, method = "profile")
  expect_equal(limits$CI_low, confint(growth_pair()$ours, "beta_")[, 1], ignore_attr = TRUE)
  expect_error(parameters::model_parameters(growth_pair()$ours, effects = "random"), class = "fastlmm_error_argument")
})

test_that("intervals are of the kind and the level that are asked for, or refused", {
  skip_if_not_installed("parameters")
  fit <- fastlmm_fit(Reaction ~ Days + (Days | Subject), lme4::sleepstudy)
  both <- parameters::ci(fit, ci = c(0.5, 0.9))
  expect_identical(nrow(both), 4L)
  expect_equal(both$CI_high[3:4], parameters::ci(fit, ci = 0.9)$CI_high)
  expect_error(parameters::ci(fit, method = "nonsense"), class = "fastlmm_error_method")
  set.seed(1)
  boot <- parameters::ci(fit, method = "boot", iterations = 40)
  expect_gt(max(abs(boot$CI_low - parameters::ci(fit)$CI_low)), 1e-3)
  new <- data.frame(Days = 0, Subject = "308")
  found <- insight::get_predicted(fit, data = new, predict = "prediction")
  expect_equal(unlist(attr(found, "ci_data")[c("CI_low", "CI_high")], use.names = FALSE), unname(predict(fit, new, interval = "prediction")[1, 2:3]))
  expect_error(plot(fit, "profile"), class = "fastlmm_error_no_profile")
})

test_that("bbmle, xtable, kable", {
  pair <- growth_pair()
  smaller <- list(ours = fastlmm_fit(distance ~ age + (1 | Subject), nlme::Orthodont, method = "ML"), theirs = lme4::refitML(update(pair$theirs, . ~ . - Sex)))
  larger <- list(ours = refitML(pair$ours), theirs = lme4::refitML(pair$theirs))
  if (requireNamespace("bbmle", quietly = TRUE)) {
    for (tab in c("AICtab", "BICtab", "AICctab")) {
      tab <- getExportedValue("bbmle", tab)
      expect_equal(
        as.data.frame(tab(smaller$ours, larger$ours, base = TRUE)), as.data.frame(tab(smaller$theirs, larger$theirs, base = TRUE)), tolerance = 1e-6,
        ignore_attr = TRUE
      )
    }
  }
  if (requireNamespace("xtable", quietly = TRUE)) {
    expect_equal(as.matrix(xtable::xtable(pair$ours)), coef(summary(pair$theirs)), tolerance = 1e-6, ignore_attr = TRUE)
    expect_true("Pr(>|t|)" %in% names(xtable::xtable(pair$ours, df = "satterthwaite")))
  }
  skip_if_not_installed("knitr")
  expect_match(knitr::kable(tidy(pair$ours)), "SexFemale", all = FALSE)
})

test_that("sjPlot", {
  skip_if_not_installed("sjPlot")
  pair <- list(
    ours = fastlmm_fit(distance ~ age * Sex + (1 | Subject), nlme::Orthodont), theirs = lme4::lmer(distance ~ age * Sex + (1 | Subject), nlme::Orthodont)
  )
  expect_same(function(fit) suppressMessages(sjPlot::plot_model(fit))$data[c("estimate", "std.error", "conf.low", "conf.high", "p.value")], pair)
  expect_same(function(fit) suppressMessages(sjPlot::plot_model(fit, type = "pred", terms = "age"))$data$predicted, pair)
  expect_same(function(fit) suppressMessages(sjPlot::plot_model(fit, type = "int"))$data$predicted, pair)
  # the text of the table: coefficients, variances, ICC, numbers of levels, R2
  words <- function(fit) strsplit(gsub("<[^>]*>", " ", sjPlot::tab_model(fit)$page.content), "[[:space:]]+")[[1]]
  expect_identical(words(pair$ours), words(pair$theirs))
})

test_that("what selection of models by AICc asks of a fit: MuMIn's contract", {
  skip_if_not_installed("lme4")
  criterion <- function(fit) {
    log_lik <- logLik(fit)
    p <- attr(log_lik, "df")
    -2 * as.numeric(log_lik) + 2 * p + 2 * p * (p + 1) / (nobs(fit) - p - 1)
  }
  subsets <- c("1", "age", "Sex", "age + Sex", "age * Sex")
  full <- fastlmm_fit(distance ~ age * Sex + (1 | Subject), nlme::Orthodont, method = "ML")
  found <- vapply(subsets, function(terms) criterion(update(full, stats::as.formula(paste(". ~", terms, "+ (1 | Subject)")))), 0)
  theirs <- vapply(
    subsets, function(terms) criterion(lme4::lmer(stats::as.formula(paste("distance ~", terms, "+ (1 | Subject)")), nlme::Orthodont, REML = FALSE)), 0
  )
  expect_equal(found, theirs, tolerance = 1e-7)
  expect_identical(attr(logLik(full), "nobs"), nobs(full))
  # the call is evaluated again where the formula was written, with other terms
  expect_equal(logLik(eval(stats::getCall(full), environment(formula(full)))), logLik(full))
  expect_setequal(attr(terms(full), "term.labels"), c("age", "Sex", "age:Sex"))
  expect_identical(rownames(coef(summary(full))), names(fixef(full)))
  skip_if_not_installed("performance")
  expect_equal(as.numeric(performance::performance_aicc(full)), criterion(full))
})

test_that("bootstraps that draw rows as if they were independent are refused, and draws are counted as each function spells it", {
  skip_if_not_installed("parameters")
  fit <- fastlmm_fit(distance ~ age + (1 | Subject), nlme::Orthodont)
  expect_error(parameters::bootstrap_model(fit, iterations = 5), "bootstrap\\(fit\\)", class = "fastlmm_error_bootstrap")
  expect_error(parameters::bootstrap_parameters(fit, iterations = 5), class = "fastlmm_error_bootstrap")
  expect_error(bootstrap(fit, nsim = 5), "here the number of draws is R")
  expect_error(power(fit, "age", nsim = 5), "here the number of draws is R")
})

test_that("fits of many responses are refused with the reason", {
  skip_if_not_installed("lme4")
  many <- fastlmm_fit(cbind(angle, temp) ~ recipe + (1 | replicate), lme4::cake)
  calls <- list(
    car = function() car::Anova(many), car = function() car::vif(many), car = function() car::linearHypothesis(many, "recipeB"),
    car = function() car::deltaMethod(many, "recipeB"), multcomp = function() multcomp::glht(many, "recipeB = 0"), lmtest = function() lmtest::lrtest(many),
    insight = function() insight::find_formula(many),
    performance = function() performance::model_performance(many), effects = function() effects::Effect("recipe", many)
  )
  if (requireNamespace("emmeans", quietly = TRUE)) expect_error(emmeans::emmeans(many, ~recipe), "extract_fit")
  for (i in seq_along(calls)) if (requireNamespace(names(calls)[i], quietly = TRUE)) expect_error(calls[[i]](), class = "fastlmm_error_many_responses")
})

test_that("intervals of icc() and r2(), which draw rows, are refused", {
  skip_if_not_installed("performance")
  fit <- fastlmm_fit(distance ~ age + (1 | Subject), nlme::Orthodont)
  for (ask in list(performance::icc, performance::r2, performance::r2_nakagawa)) {
    expect_error(ask(fit, ci = 0.95, iterations = 5), "bootstrap\\(fit\\)", class = "fastlmm_error_bootstrap")
    expect_silent(ask(fit))
  }
  expect_equal(insight::get_data(fit)$distance, nlme::Orthodont$distance)
})
