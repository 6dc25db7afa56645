# What a function of another package is asked for is what it gives, or it says that it has not got it.

subjects_fit <- function() once("asked_subjects", fastlmm_fit(Reaction ~ Days + (1 | Subject), lme4::sleepstudy))

subjects_pair <- function() {
  skip_if_not_installed("lme4")
  once(
    "asked_pair",
    list(
      ours = subjects_fit(),
      theirs = lme4::lmer(Reaction ~ Days + (1 | Subject), lme4::sleepstudy, control = lme4::lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-12)))
    )
  )
}

test_that("ggpredict: level, kind of prediction, what it is adjusted for", {
  skip_if_not_installed("ggeffects")
  pair <- subjects_pair()
  for (level in list(0.5, 0.95)) {
    found <- lapply(pair, function(fit) as.data.frame(ggeffects::ggpredict(fit, "Days [0,9]", ci.lvl = level))[c("predicted", "conf.low", "conf.high")])
    expect_equal(found$ours, found$theirs, tolerance = 1e-5)
  }
  expect_null(as.data.frame(ggeffects::ggpredict(pair$ours, "Days", ci.lvl = NA))$conf.low)
  expect_error(ggeffects::ggpredict(pair$ours, "Days", ci_level = 0.5), "ci.lvl =", class = "fastlmm_error_ggeffects")
  fixed <- ggeffects::ggpredict(pair$ours, "Days [0,9]")
  expect_identical(attr(fixed, "constant.values"), attr(ggeffects::ggpredict(pair$theirs, "Days [0,9]"), "constant.values"))
  random <- function(fit, ...) suppressMessages(ggeffects::ggpredict(fit, type = "random", ...))
  named <- c("Days [0,9]", "Subject [308,309]")
  expect_equal(random(pair$ours, named)$predicted, random(pair$theirs, named)$predicted, tolerance = 1e-5)
  expect_equal(random(pair$ours, "Days [0,9]")$predicted, fixed$predicted)
  band <- predict(pair$ours, data.frame(Days = 9, Subject = "309"), interval = "prediction", level = 0.8)
  expect_equal(as.data.frame(random(pair$ours, named, ci.lvl = 0.8))$conf.high[4], band[, "upr"], ignore_attr = TRUE)
  someone <- predict(pair$ours, data.frame(Days = 9, Subject = "nobody"), interval = "prediction", allow.new.levels = TRUE)
  expect_equal(random(pair$ours, "Days [0,9]")$conf.low[2], someone[, "lwr"], ignore_attr = TRUE)
  expect_message(ggeffects::ggpredict(pair$ours, "Days", type = "random"), "response", class = "fastlmm_message_ggeffects")
  for (call in list(
    quote(ggpredict(fit, "Days", type = "simulate")), quote(ggpredict(fit, "Days", vcov.fun = "vcovHC")), quote(ggpredict(fit, "Days", interval = "prediction"))
  )) {
    expect_error(eval(call, list(fit = pair$ours), asNamespace("ggeffects")), class = "fastlmm_error_ggeffects")
  }
  process <- fastlmm_fit(mag ~ depth + gp(long, lat, lengthscale = 3), quakes[1:100, ])
  expect_length(attr(ggeffects::ggpredict(process, "depth"), "constant.values"), 0)
})

test_that("ggpredict of random effects on every route", {
  skip_if_not_installed("ggeffects")
  given <- kernel_data()
  data <- transform(given$data, g = rep(1:5, length.out = nrow(given$data)))
  fits <- list(
    dense = kernel_fit(), lowrank = fastlmm_fit(y ~ f + (1 | id), data, K = kernel_lowrank(t(chol(given$K)))),
    several = fastlmm_fit(y ~ f + (1 | id) + (1 | g), data, K = list(id = given$K)),
    sparse = fastlmm_fit(Reaction ~ Days + (Days | Subject), lme4::sleepstudy)
  )
  for (fit in fits) {
    term <- attr(terms(fit), "term.labels")[1]
    group <- fit$random[[1]]$name
    ids <- fit$random[[1]]$ids[1:2]
    found <- suppressMessages(ggeffects::ggpredict(fit, c(term, sprintf("%s [%s]", group, toString(ids))), type = "random"))
    expect_gt(abs(diff(found$predicted[1:2])), 0)
    expect_true(all(found$conf.low < found$predicted))
  }
})

test_that("parameters: a covariance is taken, or refused with the reason", {
  skip_if_not_installed("parameters")
  fit <- subjects_fit()
  V <- 4 * vcov(fit)
  for (given in list(V, function(fit) 4 * vcov(fit))) {
    found <- parameters::model_parameters(fit, vcov = given)
    expect_equal(found$SE, 2 * parameters::model_parameters(fit)$SE)
    expect_equal(found$t, parameters::model_parameters(fit)$t / 2)
    expect_equal(found$p, 2 * pt(-abs(found$t), found$df_error))
    expect_equal(found$CI_high - found$Coefficient, qt(0.975, found$df_error) * found$SE)
  }
  expect_equal(parameters::standard_error(fit, vcov = V)$SE, found$SE)
  expect_equal(parameters::p_value(fit, vcov = V)$p, found$p)
  expect_equal(parameters::ci(fit, vcov = V)$CI_low, found$CI_low)
  for (bad in list("HC3", diag(3), function(fit) "a")) expect_error(parameters::model_parameters(fit, vcov = bad), class = "fastlmm_error_vcov")
  expect_error(parameters::model_parameters(fit, vcov = V, ci_method = "kenward"), "leave vcov", class = "fastlmm_error_vcov")
  expect_error(parameters::ci(fit, vcov = V, method = "profile"), class = "fastlmm_error_vcov")
  expect_error(parameters::model_parameters(fit, robust = TRUE), class = "fastlmm_error_vcov")
  expect_error(parameters::model_parameters(fit, vcov_args = list(type = "HC1")), class = "fastlmm_error_vcov")
  for (other in list(list(standardize = "refit"), list(bootstrap = TRUE))) expect_error(
    do.call(parameters::model_parameters, c(list(fit), other)), class = "fastlmm_error_argument"
  )
  expect_error(parameters::standard_error(fit, effects = "random"), class = "fastlmm_error_argument")
})

test_that("parameters: reasons keep their class, on every route", {
  skip_if_not_installed("parameters")
  fits <- list(
    fastlmm_fit(distance ~ age + (1 | Subject), nlme::Orthodont, residual = ~Sex), fastlmm_fit(mag ~ depth + gp(long, lat, lengthscale = 3), quakes[1:100, ])
  )
  for (fit in fits) expect_error(parameters::model_parameters(fit, ci_method = "satterthwaite"), "degrees of freedom", class = "fastlmm_error_ddf")
  expect_error(parameters::model_parameters(subjects_fit(), ci_method = "nonsense"), class = "fastlmm_error_method")
  expect_error(performance::check_normality(fits[[2]], effects = "random"), class = "fastlmm_error_no_effects")
  for (verb in list(summary, confint)) expect_error(verb(fits[[2]], df = "satterthwaite"), "length scale", class = "fastlmm_error_ddf")
  if (requireNamespace("xtable", quietly = TRUE)) for (fit in fits) expect_s3_class(xtable::xtable(fit), "xtable")
})

test_that("what the call of a fit names is looked for where its formula was written, not in this package", {
  skip_if_not_installed("lmtest")
  fit <- local(
    {
      ids <- unique(as.character(nlme::Orthodont$Subject))
      P <- kernel_precision(structure(diag(27), dimnames = list(ids, ids)))
      fastlmm_fit(distance ~ age + Sex + (1 | Subject), nlme::Orthodont, K = list(Subject = P), method = "ML")
    },
    envir = new.env(parent = globalenv())
  )
  found <- lmtest::lrtest(fit, "Sex")
  expect_equal(found$LogLik[2], as.numeric(logLik(fastlmm_fit(distance ~ age + (1 | Subject), nlme::Orthodont, method = "ML"))))
})

test_that("performance: criteria by maximum likelihood, comparisons, normality of effects", {
  skip_if_not_installed("performance")
  pair <- subjects_pair()
  by_ml <- lapply(pair, function(fit) performance::model_performance(fit, estimator = "ML"))
  expect_equal(unlist(by_ml$ours), unlist(by_ml$theirs), tolerance = 1e-5)
  small <- lapply(pair, update, . ~ . - Days)
  compare <- function(large, small) as.data.frame(performance::compare_performance(large, small))
  expect_silent(ours <- compare(pair$ours, small$ours))
  theirs <- suppressWarnings(compare(pair$theirs, small$theirs))
  shared <- setdiff(intersect(names(ours), names(theirs)), c("Name", "Model"))
  expect_true(all(c("AIC", "BIC", "R2_conditional", "ICC") %in% shared))
  expect_equal(ours[shared], theirs[shared], tolerance = 1e-5)
  expect_identical(ours$Name, c("large", "small"))
  expect_equal(
    as.numeric(performance::check_normality(pair$ours, effects = "random")), as.numeric(performance::check_normality(pair$theirs, effects = "random")),
    tolerance = 1e-5
  )
  slopes <- fastlmm_fit(Reaction ~ Days + (Days | Subject), lme4::sleepstudy)
  expect_identical(attr(performance::check_normality(slopes, effects = "random"), "re_groups"), c("Subject: (Intercept)", "Subject: Days"))
  expect_output(print(performance::check_normality(slopes, effects = "random")), "Days")
})

test_that("emmeans: degrees of freedom by any of the names that it has for them", {
  skip_if_not_installed("emmeans")
  fit <- fastlmm_fit(Yield ~ Variety * nitro + (1 | Block / Variety), transform(nlme::Oats, Yield = yield))
  df <- function(...) as.data.frame(emmeans::emmeans(fit, ~Variety, ...))[c("SE", "df")]
  for (kind in c("satterthwaite", "kenward-roger", "asymptotic")) {
    expect_equal(df(lmer.df = kind), df(ddf = kind))
    expect_equal(df(mode = kind), df(ddf = kind))
  }
  expect_equal(df(mode = "asymp"), df(ddf = "asymptotic"))
  expect_equal(df(), df(ddf = "kenward-roger"))
  emmeans::emm_options(lmer.df = "asymptotic")
  on.exit(emmeans::emm_options(lmer.df = "kenward-roger"))
  expect_equal(df()$df, rep(Inf, 3))
  expect_error(df(lmer.df = "satterthwaite", mode = "asymptotic"), class = "fastlmm_error_ddf")
  expect_error(df(lmer.df = "KR"), "write lmer.df = \"kenward-roger\"", class = "fastlmm_error_argument")
})

test_that("multcomp, car: what they have not says what has it", {
  skip_if_not_installed("lme4")
  fit <- subjects_fit()
  if (requireNamespace("multcomp", quietly = TRUE)) {
    expect_error(multcomp::glht(fit, "Days = 0", ddf = "kenward-roger"), "df = 17", class = "fastlmm_error_ddf")
    expect_error(multcomp::glht(fit, "Days = 0", nonsense = 1), class = "fastlmm_error_unused_argument")
    expect_equal(multcomp::glht(fit, "Days = 0", df = 17)$df, 17)
  }
  skip_if_not_installed("car")
  pair <- subjects_pair()
  for (level in c(0.5, 0.95)) expect_equal(
    car::Confint(pair$ours, level = level), car::Confint(pair$theirs, level = level), tolerance = 1e-5, ignore_attr = TRUE
  )
  expect_equal(unname(car::Confint(fit, vcov. = 4 * vcov(fit))[, 3]), unname(fixef(fit) + 2 * qnorm(0.975) * sqrt(diag(vcov(fit)))))
  grDevices::pdf(NULL)
  on.exit(grDevices::dev.off())
  ours <- car::influencePlot(fit)
  expect_equal(ours$CookD, unname(cooks.distance(fit)[rownames(ours)]))
  expect_error(car::infIndexPlot(fit), "plot\\(influence", class = "fastlmm_error_influence")
  expect_error(car::influencePlot(influence(fit, "Subject")), class = "fastlmm_error_influence")
  expect_error(car::Anova(fit, type = 3, test.statistic = "F"), "type = 3, ddf", class = "fastlmm_error_anova")
})

test_that("xtable, kable: no p-value is 0.00", {
  set.seed(1)
  M <- matrix(rbinom(60 * 4, 2, 0.5), 60, dimnames = list(NULL, letters[1:4]))
  data <- data.frame(id = 1:60, y = 4 * M[, 1] + rnorm(60))
  scan <- fastlmm_scan(fastlmm_fit(y ~ 1 + (1 | id), rbind(data, transform(data, y = y + rnorm(60)))), rbind(M, M), progress = FALSE)
  p <- min(scan$p)
  expect_lt(p, 1e-6)
  text <- format(scan)
  expect_identical(dim(text), dim(scan))
  expect_equal(as.numeric(text$p[1]), scan$p[1], tolerance = 1e-2)
  if (requireNamespace("knitr", quietly = TRUE)) expect_match(knitr::kable(format(scan)), formatC(p, 3, format = "g"), fixed = TRUE, all = FALSE)
  skip_if_not_installed("xtable")
  expect_output(print(xtable::xtable(scan)), formatC(p, 3, format = "g"), fixed = TRUE)
  expect_output(print(xtable::xtable(subjects_fit(), df = "satterthwaite")), "e-")
})

test_that("a transformed response, in a formula that has a name, is known in emmeans, ggeffects and performance", {
  skip_if_not_installed("lme4")
  data <- transform(nlme::Oats, size = exp(yield / 50))
  for (formula in list(log(size) ~ Variety + (1 | Block), sqrt(size) ~ Variety + (1 | Block))) {
    pair <- list(
      ours = fastlmm_fit(formula, data), theirs = lme4::lmer(formula, data, control = lme4::lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-12)))
    )
    if (requireNamespace("emmeans", quietly = TRUE)) {
      means <- lapply(pair, function(fit) as.data.frame(emmeans::emmeans(fit, ~Variety, type = "response", lmer.df = "asymptotic")))
      expect_equal(means$ours, means$theirs, tolerance = 1e-5, ignore_attr = TRUE)
    }
    if (requireNamespace("performance", quietly = TRUE)) {
      found <- lapply(pair, function(fit) unlist(suppressWarnings(performance::model_performance(fit, estimator = "ML"))))
      expect_equal(found$ours, found$theirs, tolerance = 1e-5)
    }
    if (requireNamespace("ggeffects", quietly = TRUE)) {
      found <- lapply(pair, function(fit) suppressMessages(as.data.frame(ggeffects::ggpredict(fit, "Variety")))[c("predicted", "conf.low")])
      expect_equal(found$ours, found$theirs, tolerance = 1e-5)
    }
  }
})

test_that("performance never compares restricted likelihoods, and has the correlations of terms", {
  skip_if_not_installed("performance")
  skip_if_not_installed("parameters")
  control <- lme4::lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-12))
  pair <- list(
    ours = fastlmm_fit(distance ~ age * Sex + (age | Subject), nlme::Orthodont),
    theirs = lme4::lmer(distance ~ age * Sex + (age | Subject), nlme::Orthodont, control = control)
  )
  for (verb in c("test_likelihoodratio", "test_bf")) {
    verb <- getExportedValue("performance", verb)
    found <- lapply(pair, function(fit) Filter(is.numeric, as.data.frame(suppressWarnings(verb(fit, update(fit, . ~ . - age:Sex))))))
    expect_equal(found$ours, found$theirs, tolerance = 1e-4, ignore_attr = TRUE)
  }
  for (estimator in c("REML", "ML")) expect_equal(
    performance::performance_aic(pair$ours, estimator = estimator), performance::performance_aic(pair$theirs, estimator = estimator), tolerance = 1e-6
  )
  expect_equal(insight::get_variance(pair$ours), insight::get_variance(pair$theirs), tolerance = 1e-4)
  expect_equal(parameters::dof_satterthwaite(pair$ours), parameters::dof_satterthwaite(pair$theirs), tolerance = 1e-3)
  expect_equal(parameters::p_value_kenward(pair$ours)$p, parameters::p_value_kenward(pair$theirs)$p, tolerance = 1e-3)
  skip_if_not_installed("car")
  t <- rstudent(pair$ours)
  expect_equal(log(car::outlierTest(pair$ours)$p[[1]]), log(2 * pt(-max(abs(t)), length(t) - 5)))
  expect_error(car::Boot(pair$ours), "bootstrap", class = "fastlmm_error_argument")
})

test_that("predictions of other rows have the effects of their groups, in cross-validation too", {
  skip_if_not_installed("performance")
  pair <- subjects_pair()
  new <- lme4::sleepstudy[c(1, 30, 99), ]
  found <- lapply(pair, function(fit) as.numeric(insight::get_predicted(fit, data = new)))
  expect_equal(found$ours, found$theirs, tolerance = 1e-5)
  alone <- data.frame(Days = 3)
  expect_equal(as.numeric(insight::get_predicted(pair$ours, data = alone)), predict(pair$ours, alone, re.form = NA), ignore_attr = TRUE)
  scores <- lapply(pair, function(fit) {
    set.seed(1)
    unlist(performance::performance_cv(fit, method = "k_fold", k = 5))
  })
  expect_equal(scores$ours, scores$theirs, tolerance = 1e-4)
})

test_that("ggemmeans() asks emmeans for the scale of a link by `mode`", {
  skip_if_not_installed("ggeffects")
  skip_if_not_installed("emmeans")
  found <- as.data.frame(ggeffects::ggemmeans(subjects_fit(), "Days [0,9]"))
  at <- as.data.frame(emmeans::emmeans(subjects_fit(), ~Days, at = list(Days = c(0, 9))))
  expect_equal(found[c("predicted", "conf.low", "conf.high")], at[c("emmean", "lower.CL", "upper.CL")], ignore_attr = TRUE)
  skip_if_not_installed("datawizard")
  expect_error(datawizard::standardize(subjects_fit()), "scale", class = "fastlmm_error_argument")
})
