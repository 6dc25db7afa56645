# A residual variance that is given: against nlme, against the definition.

meta_world <- function() {
  set.seed(11)
  k <- 40
  data <- data.frame(study = factor(rep(1:20, each = 2)), species = rep(paste0("s", 1:10), 4), x = rnorm(k), vi = runif(k, 0.05, 0.4))
  data$y <- 0.3 + 0.5 * data$x + 0.4 * rnorm(20)[data$study] + 0.6 * rnorm(10)[match(data$species, unique(data$species))] + rnorm(k) * sqrt(data$vi)
  data
}

meta_definition <- function(data, V, method) {
  X <- cbind(1, data$x)
  inverse <- solve(V)
  vcov <- solve(crossprod(X, inverse %*% X))
  beta <- drop(vcov %*% crossprod(X, inverse %*% data$y))
  r <- data$y - drop(X %*% beta)
  log_det <- function(A) as.numeric(determinant(A)$modulus)
  n <- nrow(data) - if (method == "REML") 2 else 0
  list(beta = beta, vcov = vcov, logLik = -(n * log(2 * pi) + log_det(V) - (if (method == "REML") log_det(vcov) else 0) + sum(r * (inverse %*% r))) / 2)
}

test_that("a fit with known variances is that of the definition", {
  data <- meta_world()
  Z <- function(g) outer(g, g, `==`) + 0
  for (method in c("REML", "ML")) {
    fit <- fastlmm_fit(y ~ x + (1 | study) + (1 | species), data, weights = 1 / vi, sigma2_e = 1, method = method)
    expect_identical(fit$sigma2_e, 1)
    V <- function(s) s[1] * Z(data$study) + s[2] * Z(data$species) + diag(data$vi)
    at <- meta_definition(data, V(fit$sigma2), method)
    expect_equal(fit$logLik, at$logLik, tolerance = 1e-10)
    expect_equal(unname(coef(summary(fit))[, "Std. Error"]), sqrt(diag(at$vcov)), tolerance = 1e-7)
    best <- stats::optim(c(-1, -1), function(s) -meta_definition(data, V(exp(s)), method)$logLik, method = "BFGS")
    expect_equal(fit$logLik, -best$value, tolerance = 1e-7)
    expect_equal(attr(logLik(fit), "df"), 4)
  }
})

test_that("one effect with a level for each row, which needs the known variances, is nlme's fit", {
  skip_if_not_installed("nlme")
  data <- transform(meta_world(), row = factor(seq_along(y)))
  fit <- fastlmm_fit(y ~ x + (1 | row), data, weights = 1 / vi, sigma2_e = 1, method = "ML")
  theirs <- nlme::lme(y ~ x, random = ~ 1 | row, data, weights = nlme::varFixed(~vi), control = nlme::lmeControl(sigma = 1), method = "ML")
  expect_equal(fit$logLik, as.numeric(logLik(theirs)), tolerance = 1e-7)
  expect_equal(unname(sqrt(fit$sigma2)), as.numeric(nlme::VarCorr(theirs)[1, "StdDev"]), tolerance = 1e-3)
  expect_equal(unname(fitted(fit)), as.numeric(fitted(theirs)), tolerance = 1e-3)
})

test_that("verbs know that the residual variance is given", {
  data <- meta_world()
  fit <- fastlmm_fit(y ~ x + (1 | study), data, weights = 1 / vi, sigma2_e = 1)
  limits <- confint(fit)
  expect_identical(rownames(limits), c(".sig01", "(Intercept)", "x"))
  # the ends of the interval lie where the deviance has risen
  for (end in limits[".sig01", ]) if (end > 0) {
    at <- meta_definition(data, end^2 * outer(data$study, data$study, `==`) + diag(data$vi), "REML")
    expect_equal(2 * (fit$logLik - at$logLik), qchisq(0.95, 1), tolerance = 1e-4)
  }
  expect_equal(refit(fit)$logLik, fit$logLik)
  expect_equal(update(fit, method = "ML")$sigma2_e, 1)
  new <- data.frame(x = 1, study = c("3", "new"))
  found <- predict(fit, new, se.fit = TRUE, allow.new.levels = TRUE)
  V <- fit$sigma2 * outer(data$study, data$study, `==`) + diag(data$vi)
  C <- fit$sigma2 * outer(new$study, as.character(data$study), `==`)
  X <- cbind(1, data$x)
  D <- cbind(1, new$x) - C %*% solve(V, X)
  expect_equal(unname(found$se.fit^2), unname(fit$sigma2 - rowSums((C %*% solve(V)) * C) + rowSums((D %*% vcov(fit)) * D)), tolerance = 1e-7)
  # of a response by its own sampling variance; a share of a variance in units of weights is none
  response <- predict(fit, transform(new, vi = c(0.1, 2)), interval = "prediction", allow.new.levels = TRUE)
  half <- qt(0.975, 38) * sqrt(found$se.fit^2 + c(0.1, 2))
  expect_equal(unname(response), unname(cbind(found$fit, found$fit - half, found$fit + half)))
  expect_error(predict(fit, new, interval = "prediction", allow.new.levels = TRUE), "newdata does not give", class = "fastlmm_error_sigma2_e")
  expect_error(simulate(fit, newdata = new), class = "fastlmm_error_sigma2_e")
  expect_false(any(grepl("h2", utils::capture.output(print(fit), print(summary(fit))))))
  expect_output(print(summary(fit)), "Residual")
  expect_equal(dim(simulate(fit, 2, seed = 1)), c(40L, 2L))
  expect_length(hatvalues(fit), 40)
  expect_length(bootstrap(fit, R = 3, seed = 1)$t0, 3)
  expect_error(fastlmm_scan(fit, matrix(rnorm(40), 40)), class = "fastlmm_error_scan")
  expect_true(all(is.finite(coef(summary(fit, df = "satterthwaite")))))
})

# 13 trials of BCG vaccine against tuberculosis (Colditz and others 1994): cases and others, vaccinated and not, and latitude
bcg <- function() {
  data <- data.frame(
    trial = factor(1:13), tpos = c(4, 6, 3, 62, 33, 180, 8, 505, 29, 17, 186, 5, 27),
    tneg = c(119, 300, 228, 13536, 5036, 1361, 2537, 87886, 7470, 1699, 50448, 2493, 16886),
    cpos = c(11, 29, 11, 248, 47, 372, 10, 499, 45, 65, 141, 3, 29), cneg = c(128, 274, 209, 12619, 5761, 1079, 619, 87892, 7232, 1600, 27197, 2338, 17825),
    ablat = c(44, 55, 42, 52, 13, 44, 19, 13, 27, 42, 18, 33, 33), year = c(1948, 1949, 1960, 1977, 1973, 1953, 1973, 1980, 1968, 1961, 1974, 1969, 1976)
  )
  data$yi <- with(data, log(tpos / (tpos + tneg)) - log(cpos / (cpos + cneg)))
  data$vi <- with(data, 1 / tpos - 1 / (tpos + tneg) + 1 / cpos - 1 / (cpos + cneg))
  data
}

test_that("the published analyses of the trials of BCG vaccine are found", {
  data <- bcg()
  fit <- fastlmm_fit(yi ~ 1 + (1 | trial), data, weights = 1 / vi, sigma2_e = 1)
  expect_equal(unname(c(fit$sigma2, fixef(fit), sqrt(diag(vcov(fit))))), c(0.3132, -0.7145, 0.1798), tolerance = 1e-4)
  Q <- test_heterogeneity(fit)
  expect_equal(unname(c(Q$statistic, Q$parameter, Q$estimate[["I2"]])), c(152.2330, 12, 0.9212), tolerance = 1e-4)
  moderated <- fastlmm_fit(yi ~ ablat + year + (1 | trial), data, weights = 1 / vi, sigma2_e = 1)
  expect_equal(unname(moderated$sigma2), 0.1108, tolerance = 1e-3)
  expect_equal(unname(fixef(moderated)), c(-3.5455, -0.0280, 0.0019), tolerance = 2e-3)
  expect_equal(unname(test_heterogeneity(moderated)$statistic), 28.3251, tolerance = 1e-5)
})

test_that("units of variances and shifts of the response change nothing else", {
  data <- bcg()
  fit <- fastlmm_fit(yi ~ ablat + (1 | trial), data, weights = 1 / vi, sigma2_e = 1)
  # a thousand times the unit, variances of 1e-3 over the weights
  other <- fastlmm_fit(I(1000 * yi + 5e3) ~ ablat + (1 | trial), data, weights = 1e-3 / vi, sigma2_e = 1e3)
  expect_equal(unname(other$sigma2), unname(1e6 * fit$sigma2), tolerance = 1e-6)
  expect_equal(other$sigma2_e, 1e3)
  expect_equal(unname(sqrt(diag(vcov(other)))), unname(1e3 * sqrt(diag(vcov(fit)))), tolerance = 1e-6)
  expect_equal(unname(fixef(other)), unname(1e3 * fixef(fit) + c(5e3, 0)), tolerance = 1e-6)
  expect_equal(other$se$sigma2, 1e6 * fit$se$sigma2, tolerance = 1e-4)
  expect_equal(unname(test_heterogeneity(other)$statistic), unname(test_heterogeneity(fit)$statistic), tolerance = 1e-8)
  # variances far below those of the effects
  tight <- fastlmm_fit(yi ~ ablat + (1 | trial), data, weights = 1e8 / vi, sigma2_e = 1)
  expect_equal(unname(tight$sigma2), summary(lm(yi ~ ablat, data))$sigma^2, tolerance = 1e-5)
})

test_that("the errors of a variance are those of the curvature, and without heterogeneity it is zero", {
  data <- bcg()
  fit <- fastlmm_fit(yi ~ 1 + (1 | trial), data, weights = 1 / vi, sigma2_e = 1)
  log_lik <- function(s) {
    w <- 1 / (s + data$vi)
    mean <- sum(w * data$yi) / sum(w)
    -(12 * log(2 * pi) - sum(log(w)) + log(sum(w)) + sum(w * (data$yi - mean)^2)) / 2
  }
  h <- 1e-4
  curvature <- (log_lik(fit$sigma2 + h) - 2 * log_lik(fit$sigma2) + log_lik(fit$sigma2 - h)) / h^2
  expect_equal(unname(fit$se$sigma2), unname(sqrt(-1 / curvature)), tolerance = 1e-4)
  expect_true(is.na(fit$se$sigma2_e))
  likelihood <- test_heterogeneity(fit, "LRT")
  expect_equal(unname(likelihood$statistic), unname(2 * (log_lik(fit$sigma2) - log_lik(0))), tolerance = 1e-8)
  expect_equal(likelihood$p.value, unname(pchisq(likelihood$statistic, 1, lower.tail = FALSE)) / 2)
  # the criterion that was not maximised, at the same variances
  w <- 1 / (fit$sigma2 + data$vi)
  expect_equal(as.numeric(logLik(fit, REML = FALSE)), sum(dnorm(data$yi, fixef(fit), 1 / sqrt(w), log = TRUE)), tolerance = 1e-10)
  same <- transform(data, yi = 0.1 * sqrt(vi) * rep(c(-1, 1), length.out = 13))
  expect_message(none <- fastlmm_fit(yi ~ 1 + (1 | trial), same, weights = 1 / vi, sigma2_e = 1), class = "fastlmm_message_boundary")
  expect_identical(unname(none$sigma2), 0)
  expect_equal(unname(fixef(none)), with(same, sum(yi / vi) / sum(1 / vi)), tolerance = 1e-10)
  expect_equal(unname(sqrt(diag(vcov(none)))), with(same, sum(1 / vi))^-0.5, tolerance = 1e-10)
  expect_identical(test_heterogeneity(none, "LRT")$p.value, 1)
})

test_that("a kernel, correlated terms and known variances stand together", {
  data <- meta_world()
  set.seed(3)
  ids <- unique(data$species)
  A <- cov2cor(crossprod(matrix(rnorm(300), 30)) / 30)
  dimnames(A) <- list(ids, ids)
  Z <- outer(data$species, ids, `==`) + 0
  fit <- fastlmm_fit(y ~ x + (1 | species) + (1 | study), data, K = list(species = A), weights = 1 / vi, sigma2_e = 1)
  V <- function(s) s[1] * Z %*% A %*% t(Z) + s[2] * outer(data$study, data$study, `==`) + diag(data$vi)
  expect_equal(fit$logLik, meta_definition(data, V(fit$sigma2), "REML")$logLik, tolerance = 1e-9)
  best <- stats::optim(c(-1, -1), function(s) -meta_definition(data, V(exp(s)), "REML")$logLik, method = "BFGS")
  expect_equal(fit$logLik, -best$value, tolerance = 1e-6)
  slopes <- fastlmm_fit(y ~ x + (1 + x | species), data, weights = 1 / vi, sigma2_e = 1)
  S <- matrix(VarCorr(slopes)$species, 2)
  rows <- function(z) z * Z
  of_slopes <- S[1, 1] * tcrossprod(Z) + S[2, 2] * tcrossprod(rows(data$x)) + S[1, 2] * (Z %*% t(rows(data$x)) + rows(data$x) %*% t(Z)) + diag(data$vi)
  expect_equal(slopes$logLik, meta_definition(data, of_slopes, "REML")$logLik, tolerance = 1e-9)
})

test_that("a kernel known by its precision gives the same fits as the kernel", {
  data <- meta_world()
  ids <- unique(data$species)
  P <- diag(2, 10)
  P[abs(row(P) - col(P)) == 1] <- -0.9
  dimnames(P) <- list(ids, ids)
  fits <- lapply(list(kernel_precision(Matrix::Matrix(P, sparse = TRUE)), structure(solve(P), dimnames = dimnames(P))), function(K) {
    list(
      known = fastlmm_fit(y ~ x + (1 | species), data, K = list(species = K), weights = 1 / vi, sigma2_e = 1),
      levels = fastlmm_fit(y ~ x + (1 | species), transform(data, half = gl(2, 20, labels = c("a", "b"))), K = list(species = K), residual = ~half)
    )
  })
  for (kind in c("known", "levels")) {
    expect_equal(fits[[1]][[kind]]$logLik, fits[[2]][[kind]]$logLik, tolerance = 1e-8)
    expect_equal(predict(fits[[1]][[kind]], data[1:3, ], se.fit = TRUE)$se.fit, predict(fits[[2]][[kind]], data[1:3, ], se.fit = TRUE)$se.fit, tolerance = 1e-4)
  }
})

test_that("a residual variance that is none is refused", {
  data <- meta_world()
  expect_refused(fastlmm_fit(y ~ x + (1 | study), data, sigma2_e = 0), "sigma2_e")
  expect_refused(fastlmm_fit(y ~ x + (1 | study), data, sigma2_e = "1"), "sigma2_e")
  expect_refused(fastlmm_fit(y ~ x + (1 | study), data, sigma2_e = NA_real_), "sigma2_e")
  expect_refused(test_heterogeneity(fastlmm_fit(y ~ x + (1 | study), data)), "heterogeneity")
  W <- matrix(rnorm(20 * 3), 20, dimnames = list(1:20, NULL))
  expect_refused(fastlmm_fit(y ~ x + (1 | study), data, K = tcrossprod(W), sigma2_e = 1), "singular_kernel")
  expect_refused(fastlmm_fit(cbind(y, x) ~ 1 + (1 | study), data, sigma2_e = 1), "sigma2_e")
})

test_that("a phylogenetic meta-analysis of several effects is that of metafor 3.8-1", {
  skip_if_not_installed("metadat")
  skip_if_not_installed("ape")
  moura <- metadat::dat.moura2021
  effects <- transform(moura$dat, yi = atanh(ri), vi = 1 / (ni - 3))
  K <- list(species.id = kernel_mix(tree = kernel_tree(ape::compute.brlen(moura$tree), scale = TRUE), own = NULL))
  fit <- fastlmm_fit(yi ~ 1 + (1 | species.id) + (1 | study.id) + (1 | effect.size.id), effects, K = K, weights = 1 / vi, sigma2_e = 1)
  # as metafor does it: rma.mv(yi, vi, random = list(~ 1 | study.id, ~ 1 | effect.size.id, ~ 1 | species.id, ~ 1 | species.id.phy), R = list(species.id.phy =
  # vcv(tree, corr = TRUE)))
  expect_equal(unname(fit$sigma2), c(0.0512236573500042, 0.0556617543374029, 0.0191584511191516, 0.0144501381219723), tolerance = 1e-5)
  expect_equal(c(fixef(fit), sqrt(vcov(fit)[1])), c(0.368165850890796, 0.130044849199736), tolerance = 1e-6, ignore_attr = TRUE)
  expect_equal(unname(test_heterogeneity(fit)$statistic), 10743.8075609914, tolerance = 1e-10)
  # its restricted likelihood has log|X'X| / 2 beside ours
  expect_equal(as.numeric(logLik(fit)) + log(1828) / 2, -167.672633639, tolerance = 1e-9)
})
