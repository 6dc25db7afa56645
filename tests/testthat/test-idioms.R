# Methods that base R and lme4's users call with more arguments, and questions that tools ask of any fit.

skip_if_not_installed("lme4")

sleepstudy <- lme4::sleepstudy
quiet <- suppressMessages
one <- quiet(fastlmm_fit(Reaction ~ Days + (1 | Subject), sleepstudy))
penicillin <- quiet(fastlmm_fit(diameter ~ 1 + (1 | plate) + (1 | sample), lme4::Penicillin))
peer <- lme4::lmer(Reaction ~ Days + (1 | Subject), sleepstudy)
crossed <- lme4::lmer(diameter ~ 1 + (1 | plate) + (1 | sample), lme4::Penicillin)
many <- quiet(fastlmm_fit(cbind(sepal = Sepal.Length, petal = Petal.Length) ~ Sepal.Width + (1 | Species), iris))
quakes_gp <- quiet(fastlmm_fit(mag ~ depth + gp(long, lat), quakes[1:60, ]))

test_that("as.formula(), update.formula() and get_all_vars() take a fit, of one response, many or a process", {
  for (fit in list(one, many, quakes_gp)) {
    expect_equal(as.formula(fit), formula(fit))
    expect_equal(terms(update.formula(fit, . ~ .)), terms(formula(fit)), ignore_attr = TRUE)
  }
  expect_named(get_all_vars(one, sleepstudy), c("Reaction", "Days", "Subject"))
  expect_named(get_all_vars(quakes_gp, quakes), c("mag", "depth", "long", "lat"))
  expect_equal(formula(one, random.only = TRUE), Reaction ~ (1 | Subject), ignore_formula_env = TRUE)
  expect_equal(deparse1(formula(penicillin, random.only = TRUE)), deparse1(formula(crossed, random.only = TRUE)))
  expect_equal(attr(terms(penicillin, fixed.only = FALSE), "term.labels"), c("plate", "sample"))
  expect_equal(attr(terms(penicillin, random.only = TRUE), "term.labels"), c("plate", "sample"))
  expect_error(formula(one, fixed.only = TRUE, random.only = TRUE), class = "fastlmm_error_argument")
})

test_that("drop1(), add1() and step() test fixed effects, with a scope as lme4 takes it", {
  d <- transform(sleepstudy, x = sin(seq_len(180)), y = cos(seq_len(180)))
  full <- quiet(fastlmm_fit(Reaction ~ Days + x + y + (1 | Subject), d))
  theirs <- drop1(lme4::lmer(Reaction ~ Days + x + y + (1 | Subject), d, REML = FALSE), scope = ~ x + y, test = "Chisq")
  ours <- drop1(full, scope = ~ x + y, test = "Chisq")
  expect_equal(rownames(ours), c("<none>", "x", "y"))
  expect_equal(ours$LRT, theirs$LRT, tolerance = 1e-4)
  expect_equal(rownames(drop1(full, ~ . - Days)), c("<none>", "x", "y"))
  expect_equal(rownames(drop1(full, "Days")), c("<none>", "Days"))

  base <- quiet(fastlmm_fit(Reaction ~ Days + (1 | Subject), d))
  added <- add1(base, ~ . + x + y)
  expect_equal(rownames(added), c("<none>", "x", "y"))
  expect_equal(added["x", "AIC"], extractAIC(quiet(fastlmm_fit(Reaction ~ Days + x + (1 | Subject), d)))[2])
  expect_error(add1(base, ~ Days), class = "fastlmm_error_anova")

  full <- refitML(full)
  base <- refitML(base)
  stepped <- step(full, trace = 0)
  expect_equal(deparse1(formula(stepped)), "Reaction ~ Days + (1 | Subject)")
  expect_equal(logLik(stepped), logLik(base))
  unmoved <- step(base, trace = 0)
  expect_equal(formula(unmoved), formula(base))
  expect_equal(logLik(update(unmoved, . ~ . + x)), logLik(update(base, . ~ . + x)))
  expect_equal(deparse1(formula(step(base, scope = ~ . + x, direction = "forward", trace = 0))), "Reaction ~ Days + (1 | Subject)")
  for (verb in list(drop1, add1, extractAIC, anova)) expect_error(verb(many), class = "fastlmm_error_many_responses")
})

test_that("predict() answers type, random.only and na.action, and a missing id as lme4 does", {
  expect_equal(predict(one, type = "response"), predict(one))
  expect_equal(predict(one, sleepstudy, type = "link"), fitted(one))
  expect_error(predict(one, type = "variance"), class = "fastlmm_error_argument")
  new <- lme4::Penicillin[1:4, ]
  new$plate[2] <- NA
  expect_equal(
    predict(penicillin, lme4::Penicillin[1:4, ], random.only = TRUE), predict(crossed, lme4::Penicillin[1:4, ], random.only = TRUE), tolerance = 1e-5
  )
  expect_equal(predict(penicillin, new, allow.new.levels = TRUE), predict(crossed, new, allow.new.levels = TRUE), tolerance = 1e-5)
  expect_equal(unname(is.na(predict(penicillin, new))), c(FALSE, TRUE, FALSE, FALSE))
  expect_length(predict(penicillin, new, na.action = na.omit), 3)
  expect_length(predict(penicillin, new, na.action = "na.exclude"), 4)
  expect_error(predict(penicillin, new, na.action = na.fail), class = "fastlmm_error_missing_values")
  expect_error(predict(penicillin, new, na.action = 3), class = "fastlmm_error_na_action")

  # a missing id is a new one: its effect is 0, its variance that of a new id
  both <- predict(penicillin, new, allow.new.levels = TRUE, se.fit = TRUE)
  fresh <- transform(new, plate = ifelse(is.na(plate), "new", as.character(plate)))
  expect_equal(both, predict(penicillin, fresh, allow.new.levels = TRUE, se.fit = TRUE))

  # the effects' own errors: those of the mean with the fixed effects taken off
  alone <- predict(one, sleepstudy[1:3, ], random.only = TRUE, se.fit = TRUE)
  joint <- vcov(one, full = TRUE)
  at <- paste0("Subject.", sleepstudy$Subject[1:3])
  expect_equal(unname(alone$se.fit), unname(sqrt(diag(joint)[at])))
  expect_equal(predict(many, iris[1:3, ], random.only = TRUE)[, "petal"], predict(extract_fit(many, "petal"), iris[1:3, ], random.only = TRUE))
  gap <- transform(iris[1:3, ], Sepal.Width = c(3, NA, 3))
  expect_equal(dim(predict(many, gap, na.action = na.omit)), c(2, 2))
  expect_equal(dim(predict(many, gap, na.action = na.omit, se.fit = TRUE)$se.fit), c(2, 2))
  expect_equal(unname(predict(quakes_gp, quakes[1:3, ], random.only = TRUE)), unname(ranef(quakes_gp)[[1]][1:3, 1]))
  expect_length(predict(quakes_gp, transform(quakes[1:3, ], depth = c(1, NA, 3)), na.action = na.omit), 2)
})

test_that("frames and matrices of other data are those that a fit to them would have", {
  fit <- quiet(fastlmm_fit(Reaction ~ poly(Days, 2) + (1 | Subject), sleepstudy))
  linear <- lm(Reaction ~ poly(Days, 2), sleepstudy)
  expect_equal(model.matrix(fit, data = sleepstudy[5:9, ]), model.matrix(linear, data = sleepstudy[5:9, ]), ignore_attr = TRUE)
  expect_equal(model.frame(fit, data = sleepstudy[5:9, ]), model.frame(fit)[5:9, ], ignore_attr = TRUE)
  expect_named(model.frame(fit, data = sleepstudy[5:9, c("Days", "Subject")]), c("poly(Days, 2)", "Subject"))
  expect_equal(model.matrix(fit, "random", data = sleepstudy[5:30, ]), model.matrix(fit, "random")[5:30, ])
  expect_equal(model.matrix(many, data = iris[3:4, ]), model.matrix(many)[3:4, ], ignore_attr = TRUE)
  expect_equal(weights(one, type = "prior"), unname(weights(peer)), ignore_attr = TRUE)
  expect_equal(weights(many, type = "working"), weights(many))
})

test_that("fixef(), ranef() and vcov() have lme4's arguments", {
  d <- transform(sleepstudy, twice = 2 * Days)
  aliased <- quiet(fastlmm_fit(Reaction ~ Days + twice + (1 | Subject), d))
  expect_named(fixef(aliased), c("(Intercept)", "Days", "twice"))
  expect_equal(fixef(aliased, add.dropped = TRUE), fixef(aliased))
  expect_equal(fixef(aliased, add.dropped = FALSE), fixef(one))

  theirs <- lme4::ranef(crossed, drop = TRUE)
  ours <- ranef(penicillin, drop = TRUE)
  expect_equal(ours$plate, theirs$plate, tolerance = 1e-4)
  expect_equal(ours$sample, theirs$sample, tolerance = 1e-4)
  expect_named(ranef(penicillin, whichel = "sample"), "sample")
  expect_equal(as.data.frame(ours), as.data.frame(ranef(penicillin)))
  expect_error(ranef(penicillin, whichel = "plates"), class = "fastlmm_error_group")
  expect_named(ranef(many, whichel = "Species"), "Species")
  expect_named(ranef(quakes_gp, drop = TRUE), "gp(long, lat)")

  expect_equal(attr(vcov(one, correlation = TRUE), "correlation"), cov2cor(as.matrix(vcov(peer))), tolerance = 1e-6)
  # Henderson's equations: the inverse of their matrix, times the residual variance
  Z <- as.matrix(getME(penicillin, "Z"))
  X <- getME(penicillin, "X")
  prior <- rep(penicillin$sigma2, c(24, 6))
  left <- rbind(cbind(crossprod(Z), crossprod(Z, X)), cbind(crossprod(X, Z), crossprod(X))) / penicillin$sigma2_e
  diag(left)[1:30] <- diag(left)[1:30] + 1 / prior
  expect_equal(unname(vcov(penicillin, full = TRUE)), unname(solve(left)))
  expect_equal(rownames(vcov(penicillin, full = TRUE))[c(1, 25, 31)], c("plate.a", "sample.A", "(Intercept)"))
  expect_error(vcov(quakes_gp, full = TRUE), class = "fastlmm_error_full")
})

test_that("tools can ask what kind of fit it is, by our generics and by lme4's", {
  expect_equal(family(one)$family, "gaussian")
  expect_true(isREML(one) && isLMM(one) && lme4::isREML(one) && lme4::isLMM(one) && lme4::isLMM(many))
  expect_false(lme4::isGLMM(one) || lme4::isNLMM(many) || isREML(refitML(one)))
  expect_equal(ngrps(penicillin), lme4::ngrps(crossed))
  expect_equal(lme4::ngrps(penicillin), ngrps(crossed))
  expect_equal(ngrps(many), c(Species = 3))
  expect_equal(REMLcrit(one), lme4::REMLcrit(peer), tolerance = 1e-8)
  expect_equal(REMLcrit(peer), lme4::REMLcrit(peer))
  expect_equal(c(logLik(refitML(one))), c(logLik(lme4::refitML(peer))), tolerance = 1e-8)
  expect_equal(fixef(refit(peer, rev(getME(peer, "y")))), fixef(lme4::refit(peer, rev(getME(peer, "y")))))
  expect_equal(refitML(one)$call$method, "ML")
  expect_equal(quiet(refitML(many))$method, "ML")
  expect_equal(unname(REMLcrit(many)), -2 * unname(logLik(many)))
  expect_error(isREML(lm(dist ~ speed, cars)), class = "fastlmm_error_not_a_fit")
})

test_that("refit() takes what simulate() gives, of many responses too", {
  drawn <- simulate(many, 1, seed = 1)
  expect_equal(quiet(refit(many, drawn))$logLik, quiet(refit(many, drawn[[1]]))$logLik)
  expect_error(refit(many, simulate(many, 2, seed = 1)), "draws", class = "fastlmm_error_new_response")
})

test_that("options(na.action =) is honoured", {
  d <- transform(sleepstudy, Days = replace(Days, 3, NA))
  old <- options(na.action = "na.exclude")
  on.exit(options(old))
  expect_length(fitted(quiet(fastlmm_fit(Reaction ~ Days + (1 | Subject), d))), 180)
  expect_equal(nrow(fitted(quiet(fastlmm_fit(cbind(Reaction, Days^2) ~ Days + (1 | Subject), d)))), 180)
  options(na.action = "na.fail")
  expect_error(fastlmm_fit(Reaction ~ Days + (1 | Subject), d), class = "fastlmm_error_missing_values")
  expect_length(fitted(quiet(fastlmm_fit(Reaction ~ Days + (1 | Subject), d, na.action = na.omit))), 179)
})

test_that("a fit of draws has the parts of a model, and says why it has no likelihood; a process is no effect of ids", {
  fit <- quiet(slamglmm_fit(cbind(a = Sepal.Length, b = Petal.Length) ~ Sepal.Width + (1 | Species), iris, n_factors = 1, chains = 1, iter = 40, seed = 1))
  expect_equal(as.formula(fit), formula(fit))
  expect_equal(attr(terms(fit, fixed.only = FALSE), "term.labels"), c("Sepal.Width", "Species"))
  expect_equal(model.matrix(fit, data = iris[3:5, ]), model.matrix(many)[3:5, ], ignore_attr = TRUE)
  expect_equal(model.matrix(fit, "random"), model.matrix(many, "random"))
  expect_named(model.frame(fit, data = iris[1:2, c("Sepal.Width", "Species")]), c("Sepal.Width", "Species"))
  expect_equal(ngrps(fit), c(Species = 3))
  expect_equal(family(fit)$family, "gaussian")
  expect_equal(fixef(fit, add.dropped = TRUE), fixef(fit))
  expect_named(ranef(fit, whichel = "Species"), "Species")
  gap <- transform(iris[1:3, ], Sepal.Width = c(3, NA, 3))
  expect_equal(dim(predict(fit, gap, na.action = na.omit, type = "response")), c(2, 2))
  for (verb in list(logLik, AIC, extractAIC, drop1, step, anova, refit, lme4::refit)) expect_error(verb(fit), class = "fastlmm_error_sampler")
  expect_error(isREML(fit), class = "fastlmm_error_not_a_fit")
  expect_error(model.matrix(quakes_gp, "random"), class = "fastlmm_error_component")
  expect_error(getME(quakes_gp, "devcomp"), class = "fastlmm_error_component")
  expect_error(step(many), class = "fastlmm_error_many_responses")
  expect_error(fastlmm_fit(mag ~ gp(long, lengthscale = nowhere), quakes), "nowhere", class = "fastlmm_error_gp")
})
