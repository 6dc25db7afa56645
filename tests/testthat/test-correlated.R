# Correlated terms of one grouping factor: against lme4, against dense REML with a kernel, under changes of units.

tight <- function(formula, data, ...) {
  control <- lme4::lmerControl(
    optimizer = "nloptwrap", optCtrl = list(xtol_abs = 1e-12, ftol_abs = 1e-12, maxeval = 1e5), calc.derivs = FALSE, check.conv.singular = "ignore"
  )
  lme4::lmer(formula, data, control = control, ...)
}

correlated_models <- function() {
  skip_if_not_installed("lme4")
  skip_if_not_installed("nlme")
  plain <- function(data) {
    data <- as.data.frame(data)
    data[] <- lapply(data, function(x) if (is.factor(x)) factor(as.character(x)) else x)
    data
  }
  list(
    sleepstudy = list(Reaction ~ Days + (Days | Subject), lme4::sleepstudy),
    Orthodont = list(distance ~ age * Sex + (age | Subject), plain(nlme::Orthodont)),
    Machines = list(score ~ Machine + (0 + Machine | Worker), plain(nlme::Machines)),
    Oats = list(yield ~ nitro + (nitro | Block) + (1 | Variety:Block), plain(nlme::Oats)),
    curves = list(Reaction ~ Days + (1 + Days + I(Days^2) | Subject), lme4::sleepstudy)
  )
}

both <- local({
  known <- list()
  function(name, method = "REML") {
    key <- paste(name, method)
    if (is.null(known[[key]])) {
      model <- correlated_models()[[name]]
      known[[key]] <<- list(
        ours = suppressMessages(fastlmm_fit(model[[1]], model[[2]], method = method)),
        theirs = suppressWarnings(suppressMessages(tight(model[[1]], model[[2]], REML = method == "REML")))
      )
    }
    known[[key]]
  }
})

test_that("fits equal lme4's", {
  for (name in names(correlated_models())) for (method in c("REML", "ML")) {
    pair <- both(name, method)
    expect_gte(as.numeric(logLik(pair$ours)), as.numeric(logLik(pair$theirs)) - 1e-7)
    expect_lt(abs(as.numeric(logLik(pair$ours)) - as.numeric(logLik(pair$theirs))), 1e-4)
    expect_equal(attr(logLik(pair$ours), "df"), attr(logLik(pair$theirs), "df"), info = name)
    expect_identical(pair$ours$optimum$route, "sparse")
  }
  for (name in c("sleepstudy", "Machines")) expect_equal(as.numeric(logLik(both(name)$ours)), as.numeric(logLik(both(name)$theirs)), tolerance = 1e-9)
})

test_that("what a fit answers is lme4's", {
  for (name in c("sleepstudy", "Machines")) {
    pair <- both(name)
    expect_equal(fixef(pair$ours), lme4::fixef(pair$theirs), tolerance = 1e-5)
    expect_equal(vcov(pair$ours), as.matrix(vcov(pair$theirs)), tolerance = 1e-3, ignore_attr = TRUE)
    expect_equal(as.data.frame(VarCorr(pair$ours)), as.data.frame(lme4::VarCorr(pair$theirs)), tolerance = 1e-3, ignore_attr = TRUE)
    expect_equal(
      as.data.frame(VarCorr(pair$ours), order = "lower.tri"), as.data.frame(lme4::VarCorr(pair$theirs), order = "lower.tri"), tolerance = 1e-3,
      ignore_attr = TRUE
    )
    expect_equal(VarCorr(pair$ours)[[1]], lme4::VarCorr(pair$theirs)[[1]], tolerance = 1e-3, ignore_attr = TRUE)
    expect_equal(as.data.frame(ranef(pair$ours))[c("condval", "condsd")], as.data.frame(lme4::ranef(pair$theirs))[c("condval", "condsd")], tolerance = 1e-3)
    expect_equal(attr(ranef(pair$ours)[[1]], "postVar"), attr(lme4::ranef(pair$theirs)[[1]], "postVar"), tolerance = 1e-3, ignore_attr = TRUE)
    expect_equal(coef(pair$ours)[[1]], coef(pair$theirs)[[1]], tolerance = 1e-4)
    expect_equal(getME(pair$ours, "theta"), lme4::getME(pair$theirs, "theta"), tolerance = 1e-3)
    expect_equal(getME(pair$ours, "lower"), lme4::getME(pair$theirs, "lower"))
    expect_equal(getME(pair$ours, "devcomp")$cmp[1:5], lme4::getME(pair$theirs, "devcomp")$cmp[1:5], tolerance = 1e-3)
    expect_equal(getME(pair$ours, "devcomp")$dims[c("q", "nth", "reTrms")], lme4::getME(pair$theirs, "devcomp")$dims[c("q", "nth", "reTrms")])
    expect_identical(getME(pair$ours, "cnms"), lme4::getME(pair$theirs, "cnms"))
    expect_equal(fitted(pair$ours), fitted(pair$theirs), tolerance = 1e-4, ignore_attr = TRUE)
    expect_equal(hatvalues(pair$ours), hatvalues(pair$theirs), tolerance = 1e-3, ignore_attr = TRUE)
    expect_false(isSingular(pair$ours))
    printed <- function(x, ...) utils::capture.output(print(x, digits = 3, ...))
    expect_identical(trimws(printed(VarCorr(pair$ours)), "right"), trimws(printed(lme4::VarCorr(pair$theirs)), "right"))
  }
  expect_true(isSingular(both("Oats")$ours))
  expect_match(both("Oats")$ours$optimum$boundary, "singular covariance: Block")
  expect_message(fastlmm_fit(correlated_models()$Oats[[1]], correlated_models()$Oats[[2]]), class = "fastlmm_message_boundary")
})

test_that("Lambda and Z are those of the covariance", {
  fit <- both("sleepstudy")$ours
  Z <- getME(fit, "Z")
  L <- getME(fit, "Lambdat")
  S <- VarCorr(fit)$Subject
  x <- cbind(1, lme4::sleepstudy$Days)
  same <- outer(lme4::sleepstudy$Subject, lme4::sleepstudy$Subject, `==`)
  expect_equal(as.matrix(fit$sigma2_e * Z %*% Matrix::crossprod(L) %*% Matrix::t(Z)), x %*% S %*% t(x) * same, tolerance = 1e-10, ignore_attr = TRUE)
})

test_that("profiles of standard deviations and correlations are lme4's", {
  pair <- both("sleepstudy", "ML")
  theirs <- suppressMessages(suppressWarnings(stats::confint(pair$theirs, oldNames = FALSE)))
  ours <- confint(pair$ours, oldNames = FALSE)
  expect_identical(dimnames(ours), dimnames(theirs))
  expect_equal(ours, theirs, tolerance = 2e-3)
  # the ends lie where the deviance has risen
  curve <- as.data.frame(profile(pair$ours, c(".sig02", "Days"), points = 5))
  expect_equal(curve$logLik, pair$ours$logLik - curve$.zeta^2 / 2, tolerance = 1e-9)
  expect_true(all(tapply(curve$value, curve$.par, function(x) !is.unsorted(x))))
})

# ---- with a kernel ----------------------------------------------------------------------------------------------------

kernel_world <- function() {
  set.seed(7)
  ids <- paste0("i", 1:14)
  W <- matrix(rnorm(14 * 20), 14, dimnames = list(ids, NULL))
  K <- tcrossprod(W) / 20
  data <- data.frame(id = rep(ids[1:12], 6), x = rnorm(72), block = factor(rep(1:6, each = 12)))
  u <- t(chol(K[1:12, 1:12])) %*% matrix(rnorm(24), 12) %*% matrix(c(1, 0, 0.6, 0.8), 2)
  at <- match(data$id, ids)
  data$y <- 1 + u[at, 1] + u[at, 2] * data$x + 0.4 * rnorm(6)[data$block] + 0.5 * rnorm(72)
  list(data = data, K = K, fit = fastlmm_fit(y ~ x + (1 + x | id) + (1 | block), data, K = list(id = K)))
}

# V and all that follows at a covariance S of the terms
kernel_definition <- function(w, S, block, s2) {
  d <- w$data
  Z <- incidence(d$id, rownames(w$K))
  G <- Z %*% w$K %*% t(Z)
  z <- cbind(1, d$x)
  V <- (z %*% S %*% t(z)) * G + block * outer(d$block, d$block, `==`) + s2 * diag(nrow(d))
  X <- cbind(1, d$x)
  inverse <- solve(V)
  vcov <- solve(crossprod(X, inverse %*% X))
  beta <- drop(vcov %*% crossprod(X, inverse %*% d$y))
  r <- d$y - drop(X %*% beta)
  log_det <- function(A) as.numeric(determinant(A)$modulus)
  list(
    inverse = inverse, vcov = vcov, beta = beta, r = r, Z = Z, X = X, logLik = -(70 * log(2 * pi) + log_det(V) - log_det(vcov) + sum(r * (inverse %*% r))) / 2
  )
}

test_that("a fit with a kernel is dense REML", {
  w <- kernel_world()
  S <- VarCorr(w$fit)$id[, ]
  at <- kernel_definition(w, S, w$fit$sigma2[["block"]], w$fit$sigma2_e)
  expect_equal(w$fit$logLik, at$logLik, tolerance = 1e-10)
  minus <- function(t) {
    T <- matrix(c(t[1:2], 0, t[3]), 2)
    -kernel_definition(w, T %*% t(T), t[4]^2, t[5]^2)$logLik
  }
  start <- c(t(chol(S))[c(1, 2, 4)], sqrt(w$fit$sigma2[["block"]]), sigma(w$fit))
  expect_gt(w$fit$logLik, -stats::optim(start * 1.1, minus, method = "BFGS")$value - 1e-6)
  expect_equal(unname(w$fit$coefficients), at$beta, tolerance = 1e-7)
  # all ids of K, two of them without data
  product <- w$K %*% t(at$Z) %*% (drop(at$inverse %*% at$r) * cbind(1, w$data$x)) %*% S
  expect_equal(as.matrix(ranef(w$fit, which = "all")$id), product, tolerance = 1e-6, ignore_attr = TRUE)
})

test_that("predictions and their errors are those of the definition", {
  w <- kernel_world()
  S <- VarCorr(w$fit)$id[, ]
  at <- kernel_definition(w, S, w$fit$sigma2[["block"]], w$fit$sigma2_e)
  new <- data.frame(id = c("i1", "i13", "i14"), x = c(0.5, -1, 2), block = factor(c("2", "3", "zz")))
  found <- predict(w$fit, new, se.fit = TRUE, allow.new.levels = TRUE)
  z <- cbind(1, new$x)
  C <- (z %*% S %*% t(cbind(1, w$data$x))) * (w$K[new$id, ] %*% t(at$Z)) + w$fit$sigma2[["block"]] * outer(
    as.character(new$block), as.character(w$data$block), `==`
  )
  prior <- rowSums((z %*% S) * z) * diag(w$K)[new$id] + w$fit$sigma2[["block"]]
  D <- z - C %*% at$inverse %*% at$X
  expect_equal(unname(found$fit), unname(drop(z %*% at$beta + C %*% at$inverse %*% at$r)), tolerance = 1e-7)
  expect_equal(unname(found$se.fit), unname(sqrt(prior - rowSums((C %*% at$inverse) * C) + rowSums((D %*% at$vcov) * D))), tolerance = 1e-7)
  expect_equal(predict(w$fit, w$data), fitted(w$fit), tolerance = 1e-10)
  # the same from a kernel between new and old ids
  K <- w$K
  rownames(K) <- sub("i13", "new", rownames(K))
  again <- predict(
    w$fit, transform(new, id = sub("i13", "new", id)), se.fit = TRUE, allow.new.levels = TRUE, K = list(id = K["new", , drop = FALSE]),
    k_diag = w$K["i13", "i13"]
  )
  expect_equal(unname(again$se.fit), unname(found$se.fit), tolerance = 1e-7)
})

test_that("draws have the covariance of the model", {
  w <- kernel_world()
  S <- VarCorr(w$fit)$id[, ]
  rows <- c(1, 13, 2)
  Y <- as.matrix(simulate(w$fit, 4000, seed = 1))[rows, ]
  z <- cbind(1, w$data$x[rows])
  V <- (z %*% S %*% t(z)) * w$K[w$data$id[rows], w$data$id[rows]] + w$fit$sigma2[["block"]] * outer(
    w$data$block[rows], w$data$block[rows], `==`
  ) + w$fit$sigma2_e * diag(3)
  expect_equal(cov(t(Y)), V, tolerance = 0.1, ignore_attr = TRUE)
  new <- as.matrix(simulate(w$fit, 4000, seed = 2, newdata = w$data[rows, ]))
  expect_equal(cov(t(new)), V, tolerance = 0.1, ignore_attr = TRUE)
})

# ---- units, limits, refusals -----------------------------------------------------------------------------------------

test_that("scale and shift of the slope's variable change nothing but units", {
  skip_if_not_installed("lme4")
  data <- lme4::sleepstudy
  fit <- both("sleepstudy")$ours
  for (change in list(c(1000, 0), c(1e-4, 0), c(1, -5), c(3, 40))) {
    moved <- fastlmm_fit(Reaction ~ t + (t | Subject), transform(data, t = change[1] * Days + change[2]))
    expect_equal(moved$logLik + log(change[1]), fit$logLik, tolerance = 1e-9)
    # intercept and slope of before, as sums of those of now
    A <- rbind(c(1, change[2]), c(0, change[1]))
    expect_equal(A %*% VarCorr(moved)$Subject[, ] %*% t(A), VarCorr(fit)$Subject[, ], tolerance = 1e-4, ignore_attr = TRUE)
    expect_equal(fitted(moved), fitted(fit), tolerance = 1e-6)
  }
  scaled <- fastlmm_fit(1e6 * Reaction ~ Days + (Days | Subject), data)
  expect_equal(VarCorr(scaled)$Subject[, ] / 1e12, VarCorr(fit)$Subject[, ], tolerance = 1e-5)
  expect_equal(attr(VarCorr(scaled)$Subject, "correlation"), attr(VarCorr(fit)$Subject, "correlation"), tolerance = 1e-4)
})

test_that("independent terms are correlated ones with a correlation of zero", {
  skip_if_not_installed("lme4")
  data <- lme4::sleepstudy
  apart <- fastlmm_fit(Reaction ~ Days + (Days || Subject), data)
  together <- both("sleepstudy")$ours
  expect_gt(together$logLik, apart$logLik)
  held <- as.data.frame(profile(together, ".sig02", points = 401))
  at_zero <- stats::approx(held$value, held$logLik, 0)$y
  expect_equal(at_zero, apart$logLik, tolerance = 1e-5)
  expect_equal(attr(logLik(together), "df"), attr(logLik(apart), "df") + 1)
})

test_that("formulas, updates and verbs take correlated terms", {
  skip_if_not_installed("lme4")
  fit <- fastlmm_fit(Reaction ~ Days + (Days | Subject), lme4::sleepstudy)
  expect_equal(refit(fit)$logLik, fit$logLik)
  expect_equal(update(fit, . ~ . - (Days | Subject) + (1 | Subject))$logLik, fastlmm_fit(Reaction ~ Days + (1 | Subject), lme4::sleepstudy)$logLik)
  expect_identical(predict(fit, re.form = ~ (Days | Subject)), predict(fit))
  expect_identical(names(boot <- bootstrap(fit, R = 3, seed = 1)$t0), rownames(confint(fit)))
  expect_equal(boot[[".sig02"]], attr(VarCorr(fit)$Subject, "correlation")[2, 1])
  table <- tidy(fit, "ran_pars", conf.int = TRUE)
  expect_identical(table$term, c("sd__(Intercept)", "sd__Days", "cor__(Intercept).Days", "sd__Observation"))
  expect_equal(cbind(table$conf.low, table$conf.high), unname(confint(fit)[c(".sig01", ".sig03", ".sig02", ".sigma"), ]), tolerance = 1e-6)
  deleted <- influence(fit, "Subject")
  expect_identical(dim(deleted$dfbeta), c(18L, 2L))
  expect_equal(predict(fit, data.frame(Days = 1, Subject = "new"), allow.new.levels = TRUE), c(`1` = sum(fixef(fit))))
  factor_fit <- both("Machines")$ours
  data <- correlated_models()$Machines[[2]]
  expect_equal(predict(factor_fit, data[7:9, ]), fitted(factor_fit)[7:9], tolerance = 1e-10)
  expect_equal(predict(factor_fit, transform(data[7:9, ], Machine = as.character(Machine))), fitted(factor_fit)[7:9], tolerance = 1e-10)
})

test_that("re.form asks for part of correlated terms, as in lme4", {
  pair <- both("sleepstudy")
  new <- data.frame(Days = c(2, 12), Subject = c("308", "372"))
  parts <- list(
    ~ (1 | Subject), ~ (0 + Days | Subject), ~ (Days - 1 | Subject), ~ (1 + Days | Subject), ~ (Days || Subject), ~ (1 | Subject) + (0 + Days | Subject),
    ~ 1 + (1 | Subject)
  )
  for (part in parts) {
    expect_equal(predict(pair$ours, re.form = part), predict(pair$theirs, re.form = part), tolerance = 1e-4)
    expect_equal(predict(pair$ours, new, re.form = part), predict(pair$theirs, new, re.form = part), tolerance = 1e-4)
  }
  # the error is that of the mean with the intercept alone: V and its covariance with b[1]
  found <- predict(pair$ours, new, re.form = ~ (1 | Subject), se.fit = TRUE)$se.fit
  data <- lme4::sleepstudy
  S <- VarCorr(pair$ours)$Subject[, ]
  z <- cbind(1, data$Days)
  V <- (z %*% S %*% t(z)) * outer(data$Subject, data$Subject, `==`) + pair$ours$sigma2_e * diag(180)
  C <- outer(new$Subject, as.character(data$Subject), `==`) * matrix(S[1, ] %*% t(z), 2, 180, byrow = TRUE)
  D <- cbind(1, new$Days) - C %*% solve(V, z)
  expect_equal(unname(found), sqrt(S[1, 1] - rowSums((C %*% solve(V)) * C) + rowSums((D %*% solve(crossprod(z, solve(V, z)))) * D)), tolerance = 1e-6)
  machines <- both("Machines")
  expect_error(predict(machines$ours, re.form = ~ (1 | Worker)), class = "fastlmm_error_re_form")
  treated <- suppressMessages(fastlmm_fit(score ~ Machine + (Machine | Worker), machines$ours$frame))
  theirs <- suppressMessages(lme4::lmer(score ~ Machine + (Machine | Worker), machines$ours$frame))
  expect_equal(
    predict(treated, re.form = ~ (1 | Worker)), predict(theirs, re.form = NA) + lme4::ranef(theirs)$Worker[as.character(treated$frame$Worker), 1],
    tolerance = 1e-3
  )
  curves <- both("curves")
  for (part in list(~ (I(Days^2) + Days | Subject), ~ (1 + I(Days^2) | Subject))) expect_equal(
    predict(curves$ours, re.form = part), predict(curves$theirs, re.form = part), tolerance = 1e-3
  )
  for (absent in list(
    ~ (I(Days) | Subject), ~ (1 | nope), ~ (Reaction | Subject), ~ (elsewhere | Subject)
  )) expect_error(predict(pair$ours, re.form = absent), class = "fastlmm_error_re_form")
  expect_refused(simulate(pair$ours, re.form = ~ (1 | Subject)), "re_form")
  expect_refused(simulate(pair$ours, newdata = new, re.form = ~ (1 | Subject)), "re_form")
  expect_error(bootstrap(pair$ours, R = 2, re.form = ~ (1 | Subject)), class = "fastlmm_error_re_form")
  expect_equal(dim(simulate(pair$ours, 2, re.form = ~ (1 + Days | Subject))), c(180L, 2L))
})

test_that("correlated terms that cannot be fitted are refused", {
  d <- small_data()$d
  expect_refused(fastlmm_fit(y ~ 1 + (x | id), d[!duplicated(d$id), ]), "correlated_terms")
  expect_refused(fastlmm_fit(y ~ 1 + (x + I(2 * x) | id), d), "correlated_terms")
  expect_refused(fastlmm_fit(cbind(y, x) ~ 1 + (o | id), d), "correlated_terms")
  expect_refused(slamglmm_fit(cbind(y, x) ~ 1 + (o | id), d), "correlated_terms")
  K <- diag(12)
  K[1, 2] <- K[2, 1] <- 1
  data <- data.frame(y = rnorm(48), x = rnorm(48), id = rep(letters[1:12], 4))
  dimnames(K) <- list(letters[1:12], letters[1:12])
  expect_error(fastlmm_fit(y ~ x + (x | id), data, K), class = "fastlmm_error_singular_kernel")
})

test_that("far out the profile of a correlation is the lower of the valley and the plateau where a variance is zero", {
  skip_if_not_installed("lme4")
  fit <- fastlmm_fit(Reaction ~ Days + (Days | Subject), lme4::sleepstudy, method = "ML")
  deviance <- lme4::lmer(Reaction ~ Days + (Days | Subject), lme4::sleepstudy, REML = FALSE, devFunOnly = TRUE)
  held <- function(rho) {
    f <- function(log_sd) deviance(c(exp(log_sd[1]), exp(log_sd[2]) * c(rho, sqrt(1 - rho^2))))
    starts <- list(log(c(0.9, 0.2)), log(c(0.4, 0.2)), log(c(1e-4, 0.25)))
    min(vapply(starts, function(start) optim(start, f, control = list(reltol = 1e-12, maxit = 2000))$value, 0))
  }
  far <- as.data.frame(profile(fit, ".sig02", alphamax = 0.001))
  expect_true(all(diff(far$.zeta) > -1e-5))
  for (i in c(2, 5, 6)) expect_equal(far$.zeta[i]^2, held(far$value[i]) + 2 * as.numeric(logLik(fit)), tolerance = 1e-4)
  limit <- confint(fit, ".sig02", level = 1 - 1e-5)[1]
  if (limit > -1) expect_equal(held(limit) + 2 * as.numeric(logLik(fit)), qchisq(1 - 1e-5, 1), tolerance = 1e-3)
})

test_that("far out the profile of a standard deviation is the lower of its valleys, with a correlation of 1 and below it", {
  skip_if_not_installed("lme4")
  d <- lme4::sleepstudy
  fit <- fastlmm_fit(Reaction ~ Days + (Days | Subject), d)
  y <- matrix(d$Reaction, 10)
  Z <- cbind(1, 0:9)
  # 18 subjects with the same days: REML written out
  reml <- function(sd, slope, rho, residual) {
    G <- matrix(c(sd^2, rho * sd * slope, rho * sd * slope, slope^2), 2)
    V <- Z %*% G %*% t(Z) + diag(residual^2, 10)
    A <- 18 * crossprod(Z, solve(V, Z))
    e <- y - drop(Z %*% solve(A, crossprod(Z, solve(V, rowSums(y)))))
    -0.5 * (178 * log(2 * pi) + 18 * determinant(V)$modulus[1] + determinant(A)$modulus[1] + sum(e * solve(V, e)))
  }
  held <- function(sd) {
    ends <- lapply(list(c(3, -2), c(6, 0), c(12, 3)), function(start) {
      optim(c(log(start[1]), start[2], log(26)), function(p) -reml(sd, exp(p[1]), tanh(p[2]), exp(p[3])), control = list(maxit = 3000, reltol = 1e-12))$value
    })
    -min(unlist(ends))
  }
  curve <- as.data.frame(profile(fit, ".sig01", points = 81))
  far <- curve[curve$value > 4 & curve$value < 10, ]
  expect_gt(nrow(far), 5)
  expect_equal(far$logLik, vapply(far$value, held, 0), tolerance = 1e-7)
})

test_that("crossed effects of sizes from .01 to 100 converge, never below lme4's optimum", {
  skip_if_not_installed("lme4")
  below <- function(seed) {
    set.seed(seed)
    d <- data.frame(g1 = factor(sample(20, 400, TRUE)), g2 = factor(sample(20, 400, TRUE)), x = rnorm(400))
    sizes <- 10^runif(4, -2, 2)
    slopes <- function(g, at) (matrix(rnorm(40), 20) %*% diag(sizes[at]))[g, ]
    d$y <- rowSums(slopes(d$g1, 1:2) * cbind(1, d$x)) + rowSums(slopes(d$g2, 3:4) * cbind(1, d$x)) + rnorm(400)
    formula <- y ~ x + (1 + x | g1) + (1 + x | g2)
    theirs <- suppressWarnings(suppressMessages(lme4::lmer(formula, d)))
    as.numeric(stats::logLik(theirs)) - as.numeric(stats::logLik(suppressMessages(fastlmm_fit(formula, d))))
  }
  expect_lt(max(vapply(if (is_long()) 1:40 else c(8, 13, 26), below, 0)), 1e-4)
})
