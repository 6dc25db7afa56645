# A residual variance for each level of a factor: against nlme's varIdent(), and against the restricted likelihood of a dense V with a kernel.

expect_as_nlme <- function(fit, theirs) {
  sd <- theirs$sigma * coef(theirs$modelStruct$varStruct, unconstrained = FALSE, allCoef = TRUE)
  expect_equal(fit$logLik, as.numeric(logLik(theirs)), tolerance = 1e-8)
  expect_equal(attr(logLik(fit), "df"), attr(logLik(theirs), "df"))
  expect_equal(sqrt(fit$residual$variance), sd[names(fit$residual$variance)], tolerance = 5e-4)
  expect_equal(fixef(fit), nlme::fixef(theirs), tolerance = 1e-4)
  expect_equal(unname(vcov(fit)), unname(vcov(theirs)), tolerance = 2e-3)
}

orthodont <- function() {
  data <- as.data.frame(nlme::Orthodont)
  data$Subject <- factor(as.character(data$Subject))
  data
}

test_that("one random effect, independent and correlated ones are nlme's", {
  skip_if_not_installed("nlme")
  data <- orthodont()
  for (method in c("REML", "ML")) {
    fit <- fastlmm_fit(distance ~ age + (1 | Subject), data, method = method, residual = ~Sex)
    theirs <- nlme::lme(distance ~ age, random = ~ 1 | Subject, data, method = method, weights = nlme::varIdent(form = ~ 1 | Sex))
    expect_as_nlme(fit, theirs)
    expect_equal(unname(sqrt(fit$sigma2)), as.numeric(nlme::VarCorr(theirs)[1, "StdDev"]), tolerance = 5e-4)
  }
  slopes <- fastlmm_fit(distance ~ age + (age | Subject), data, residual = ~Sex)
  theirs <- nlme::lme(distance ~ age, random = ~ age | Subject, data, weights = nlme::varIdent(form = ~ 1 | Sex))
  expect_as_nlme(slopes, theirs)
  oats <- as.data.frame(nlme::Oats)
  oats$plot <- factor(paste(oats$Block, oats$Variety))
  oats$Block <- factor(as.character(oats$Block))
  oats$level <- factor(oats$nitro)
  nested <- fastlmm_fit(yield ~ nitro + (1 | Block) + (1 | plot), oats, residual = ~level)
  theirs <- nlme::lme(yield ~ nitro, random = ~ 1 | Block / Variety, nlme::Oats, weights = nlme::varIdent(form = ~ 1 | nitro))
  expect_as_nlme(nested, theirs)
})

# 60 ids with a kernel, 2 rows each, three sites of different variances, weights
sites <- function() {
  set.seed(21)
  m <- 60
  ids <- paste0("i", seq_len(m))
  K <- tcrossprod(matrix(rnorm(m * 80), m)) / 80
  dimnames(K) <- list(ids, ids)
  data <- data.frame(id = rep(ids, 2), x = rnorm(2 * m), site = factor(sample(c("a", "b", "c"), 2 * m, TRUE)), w = sample(1:3, 2 * m, TRUE))
  effect <- drop(t(chol(K)) %*% rnorm(m))
  data$y <- data$x + effect[match(data$id, ids)] + rnorm(2 * m) * c(0.4, 0.8, 1.6)[data$site] / sqrt(data$w)
  list(data = data, K = K)
}

site_definition <- function(world, p, method) {
  data <- world$data
  at <- match(data$id, rownames(world$K))
  V <- p[1] * world$K[at, at] + diag(p[-1][data$site] / data$w)
  X <- cbind(1, data$x)
  inverse <- solve(V)
  vcov <- solve(crossprod(X, inverse %*% X))
  r <- data$y - drop(X %*% (vcov %*% crossprod(X, inverse %*% data$y)))
  log_det <- function(A) as.numeric(determinant(A)$modulus)
  n <- nrow(data) - if (method == "REML") 2 else 0
  -(n * log(2 * pi) + log_det(V) - (if (method == "REML") log_det(vcov) else 0) + sum(r * (inverse %*% r))) / 2
}

test_that("with a kernel and weights the fit is the optimum of the definition, and so are its errors", {
  world <- sites()
  for (method in c("REML", "ML")) {
    fit <- fastlmm_fit(y ~ x + (1 | id), world$data, K = world$K, weights = w, residual = ~site, method = method)
    p <- unname(c(fit$sigma2, fit$residual$variance))
    expect_equal(fit$logLik, site_definition(world, p, method), tolerance = 1e-9)
    best <- stats::optim(log(p) + 0.2, function(l) -site_definition(world, exp(l), method), method = "BFGS", control = list(reltol = 1e-13), hessian = TRUE)
    expect_equal(fit$logLik, -best$value, tolerance = 1e-7)
    expect_equal(log(p), best$par, tolerance = 1e-3)
    expect_equal(unname(c(fit$se$sigma2, fit$residual$se)) / p, unname(sqrt(diag(solve(best$hessian)))), tolerance = 0.01)
    expect_equal(unname(fit$se$sigma2_e), unname(fit$residual$se[1]), tolerance = 1e-8)
  }
})

test_that("units and the order of levels change nothing", {
  world <- sites()
  fit <- fastlmm_fit(y ~ x + (1 | id), world$data, K = world$K, residual = ~site)
  turned <- transform(world$data, y = 1000 * y + 7, site = factor(site, levels = c("c", "a", "b")))
  other <- fastlmm_fit(y ~ x + (1 | id), turned, K = world$K, residual = ~site)
  expect_equal(other$residual$variance[names(fit$residual$variance)], 1e6 * fit$residual$variance, tolerance = 1e-5)
  expect_equal(other$residual$se[names(fit$residual$se)], 1e6 * fit$residual$se, tolerance = 1e-3)
  expect_equal(unname(other$sigma2), unname(1e6 * fit$sigma2), tolerance = 1e-5)
  expect_equal(anova(update(fit, residual = NULL, method = "ML"), update(fit, method = "ML"))$Df[2], 2)
})

test_that("levels may be those of two variables", {
  world <- sites()
  data <- transform(world$data, year = rep(c("new", "old"), 60), site = as.character(site))
  fit <- fastlmm_fit(y ~ x + (1 | id), data, K = world$K, residual = ~ site:year)
  together <- fastlmm_fit(y ~ x + (1 | id), transform(data, both = paste(site, year, sep = ".")), K = world$K, residual = ~both)
  expect_equal(fit$residual$variance[names(together$residual$variance)], together$residual$variance, tolerance = 1e-5)
  expect_equal(fit$logLik, together$logLik, tolerance = 1e-9)
})

test_that("verbs know the variances of the levels", {
  world <- sites()
  data <- world$data
  fit <- fastlmm_fit(y ~ x + (1 | id), data, K = world$K, weights = w, residual = ~site)
  variance <- fit$residual$variance
  expect_identical(unname(weights(fit)), as.numeric(data$w))
  # a share would be that of the first level alone
  expect_identical(glance(fit)$h2, NA_real_)
  expect_identical(rownames(confint(fit, method = "Wald")), c(".sig01", ".sigma.a", ".sigma.b", ".sigma.c", "(Intercept)", "x"))
  table <- as.data.frame(VarCorr(fit))
  expect_equal(table$vcov, unname(c(fit$sigma2, variance)))
  expect_identical(table$var1[-1], c("a", "b", "c"))
  expect_output(print(summary(fit)), "Residual +a ")
  expect_equal(unname(residuals(fit, "pearson")), unname(residuals(fit) * sqrt(data$w * variance[["a"]] / variance[data$site])), tolerance = 1e-10)
  expect_equal(refit(fit)$logLik, fit$logLik, tolerance = 1e-10)
  # ranef() by the definition
  at <- match(data$id, rownames(world$K))
  V <- fit$sigma2 * world$K[at, at] + diag(variance[data$site] / data$w)
  r <- data$y - drop(cbind(1, data$x) %*% fixef(fit))
  expect_equal(unname(ranef(fit)$id[rownames(world$K), 1]), unname(drop(fit$sigma2 * world$K[, at] %*% solve(V, r))), tolerance = 1e-7)
  new <- data.frame(x = 0, id = "i1", site = c("a", "b", "c"))
  found <- predict(fit, new, interval = "prediction", se.fit = TRUE)
  half <- qt(0.975, nrow(data) - 2) * sqrt(found$se.fit^2 + variance)
  expect_equal(unname(found$fit[, "upr"] - found$fit[, "fit"]), unname(half), tolerance = 1e-8)
  drawn <- simulate(fit, 4000, seed = 1, newdata = new, re.form = NULL)
  expect_equal(apply(as.matrix(drawn), 1, var), unname(variance), tolerance = 0.1, ignore_attr = TRUE)
  drawn <- simulate(fit, 2000, seed = 1, re.form = NULL)
  expect_equal(unname(apply(as.matrix(drawn), 1, var)[1:9]), unname(variance[data$site] / data$w)[1:9], tolerance = 0.15)
  boot <- bootstrap(fit, R = 3, seed = 1)
  expect_equal(unname(boot$t0[paste0(".sigma.", c("a", "b", "c"))]), unname(sqrt(variance)))
  expect_true(all(is.finite(confint(fit, "beta_", method = "Wald"))))
  # data and kernel are gone: the stored ones are taken
  alone <- local({
    world <- sites()
    data <- world$data
    fit <- fastlmm_fit(y ~ x + (1 | id), data, K = world$K, weights = w, residual = ~site)
    rm(data, world)
    fit
  })
  rm(data, world)
  expect_equal(suppressMessages(update(alone, method = "REML"))$logLik, fit$logLik, tolerance = 1e-8)
})

test_that("what variances by level cannot be is refused", {
  world <- sites()
  data <- transform(world$data, one = "a", y2 = y + x)
  fit <- fastlmm_fit(y ~ x + (1 | id), data, K = world$K, residual = ~site)
  expect_refused(fastlmm_fit(y ~ x + (1 | id), data, K = world$K, residual = y ~ site), "residual")
  expect_refused(fastlmm_fit(y ~ x + (1 | id), data, K = world$K, residual = "site"), "residual")
  expect_refused(fastlmm_fit(y ~ x + (1 | id), data, K = world$K, residual = ~x), "residual")
  expect_refused(fastlmm_fit(y ~ x + (1 | id), data, K = world$K, residual = ~one), "residual")
  expect_refused(fastlmm_fit(y ~ x + (1 | id), data, K = world$K, residual = ~site, sigma2_e = 1), "sigma2_e")
  expect_refused(fastlmm_fit(cbind(y, y2) ~ x + (1 | id), data, K = world$K, residual = ~site), "residual")
  expect_refused(profile(fit), "no_profile")
  expect_refused(confint(fit), "no_profile")
  expect_refused(summary(fit, df = "satterthwaite"), "ddf")
  expect_refused(test_variance(fit), "variance_test")
  expect_refused(predict(fit, data.frame(x = 0, id = "i1", site = "d"), interval = "prediction"), "residual")
})

test_that("a formula of anything but one factor says what to write instead", {
  world <- sites()
  data <- transform(world$data, year = rep(c("new", "old"), 60), number = seq_len(120))
  fit <- function(residual, ...) fastlmm_fit(y ~ x + (1 | id), data, K = world$K, residual = residual, ...)
  for (several in list(~ site + year, ~ site * year, ~ site / year, ~ 0 + site + year, ~ site:year + site)) {
    expect_error(fit(several), "~ site:year, which is ~ interaction(site, year)", fixed = TRUE, class = "fastlmm_error_residual")
  }
  for (one in list(~ 0 + site, ~ site - 1, ~ 1 | site, ~ (1 | site))) expect_error(fit(one), "write ~ site$", class = "fastlmm_error_residual")
  for (none in list(~1, ~., ~NULL, ~NA, ~"site", NA, quote(site), data$site)) expect_error(
    fit(none), "a formula of one factor", class = "fastlmm_error_residual"
  )
  expect_refused(fit(~ site + year), "residual")
  expect_refused(fit(~ factor(number)), "residual")
  expect_refused(fit(~ site:x), "residual")
  expect_refused(fit(~nowhere), "missing_variable")
  expect_identical(fit(~ (site))$residual$variance, fit(~site)$residual$variance)
  # a row without a level is left out, as one without a covariate
  data$site[5] <- NA
  expect_identical(nobs(fit(~site)), 119L)
  expect_identical(as.integer(fit(~site)$na.action), 5L)
  expect_refused(fit(~site, na.action = na.pass), "residual")
  # a level of one row has a variance, as nlme has it
  far <- which.max(abs(residuals(fit(NULL))))
  data <- transform(world$data, site = replace(as.character(site), far, "alone"))
  expect_named(fit(~site)$residual$variance, c("a", "alone", "b", "c"))
})

test_that("a level whose rows few effects explain keeps its own optimum, as nlme finds it", {
  set.seed(9)
  data <- data.frame(g = factor(sample(6, 30, TRUE)), s = factor(rep(1:4, length = 30)), x = rnorm(30))
  data$y <- rnorm(6)[data$g] * 2 + exp(rnorm(4, 0, 1.5))[data$s] * rnorm(30)
  expect_equal(fastlmm_fit(y ~ x + (1 | g), data, residual = ~s)$logLik, -41.53807, tolerance = 1e-6)
})

test_that("shares of the effects are told by level", {
  world <- sites()
  data <- world$data
  fit <- fastlmm_fit(y ~ x + (1 | id), data, K = world$K, residual = ~site)
  expect_equal(fit$residual$h2, fit$sigma2 / (fit$sigma2 + fit$residual$variance), ignore_attr = "names")
  expect_identical(names(fit$residual$h2), c("a", "b", "c"))
  expect_equal(fit$residual$h2[["a"]], unname(fit$h2))
  expect_output(print(fit), "h2: a [0-9.]+, b [0-9.]+, c [0-9.]+")
  expect_output(print(summary(fit)), "h2 (b): 0", fixed = TRUE)
  expect_identical(rownames(summary(fit)$h2), paste0("h2 (", c("a", "b", "c"), ")"))
  data$pen <- rep(1:6, length.out = nrow(data))
  two <- suppressMessages(fastlmm_fit(y ~ x + (1 | id) + (1 | pen), data, K = list(id = world$K), residual = ~site))
  expect_identical(dimnames(two$residual$h2), list(c("a", "b", "c"), c("id", "pen")))
  expect_equal(two$residual$h2["b", "id"], two$sigma2[["id"]] / (sum(two$sigma2) + two$residual$variance[["b"]]))
  expect_output(print(two), "h2 of pen: a ")
  expect_output(print(summary(two)), "h2 (id, c): 0", fixed = TRUE)
  both <- suppressMessages(fastlmm_fit(y ~ x + (1 + x | pen), data, residual = ~site))
  expect_null(both$residual$h2)
  expect_output(print(both), "Residual a")
})
