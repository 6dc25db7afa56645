# Fits with several random effects against lme4, against the definition, and under transformations that must not matter.

# ---- lme4 -----------------------------------------------------------------------------------------------------------

test_that("estimates, likelihoods and counts are lme4's", {
  each_mix_pair(function(pair, name) {
    ours <- pair$ours
    theirs <- pair$theirs
    expect_equal(as.numeric(logLik(ours)), as.numeric(logLik(theirs)), tolerance = 1e-9, info = name)
    expect_gte(as.numeric(logLik(ours)), as.numeric(logLik(theirs)) - 1e-9)
    expect_equal(attributes(logLik(ours))[c("df", "nobs")], attributes(logLik(theirs))[c("df", "nobs")], info = name)
    expect_equal(c(AIC(ours), BIC(ours)), c(AIC(theirs), BIC(theirs)), tolerance = 1e-8, info = name)
    for (REML in c(TRUE, FALSE)) {
      expect_equal(as.numeric(logLik(ours, REML = REML)), as.numeric(logLik(theirs, REML = REML)), tolerance = 1e-8, info = paste(name, REML))
    }
    expect_equal(fixef(ours), lme4::fixef(theirs), tolerance = 1e-6, info = name)
    expect_equal(vcov(ours), as.matrix(vcov(theirs)), tolerance = 1e-5, info = name, ignore_attr = TRUE)
    expect_equal(sigma(ours), sigma(theirs), tolerance = 1e-5, info = name)
    expect_equal(unname(fitted(ours)), unname(fitted(theirs)), tolerance = 1e-6, info = name)
    expect_equal(unname(residuals(ours)), unname(residuals(theirs)), tolerance = 1e-5, info = name)
    expect_equal(df.residual(ours), df.residual(theirs), info = name)
  })
})

test_that("the route is told, and is that of the size", {
  skip_if_not_installed("lme4")
  route <- vapply(names(mix_lme4_models()), function(name) mix_lme4_pair(name, "REML")$ours$optimum$route, "")
  expect_identical(route, c(Penicillin = "rotated", Pastes = "rotated", sleepstudy = "rotated", InstEval = "sparse"))
  expect_identical(fastlmm_fit(distance ~ age + (1 | Subject), nlme::Orthodont)$optimum$route, "rotated")
})

test_that("a kernel that is the identity, which goes the other way, gives the same large fit", {
  set.seed(3)
  data <- data.frame(a = factor(sample(300, 900, TRUE), 1:300), b = factor(sample(130, 900, TRUE)), x = rnorm(900), w = runif(900, 0.5, 2))
  data$y <- data$x + rnorm(300)[data$a] + 0.5 * rnorm(130)[data$b] + rnorm(900) / sqrt(data$w)
  K <- diag(300)
  dimnames(K) <- list(1:300, 1:300)
  for (method in c("REML", "ML")) {
    sparse <- fastlmm_fit(y ~ x + (1 | a) + (1 | b), data, weights = w, method = method)
    rotated <- fastlmm_fit(y ~ x + (1 | a) + (1 | b), data, K = list(a = K), weights = w, method = method)
    expect_identical(c(sparse$optimum$route, rotated$optimum$route), c("sparse", "rotated"))
    expect_equal(sparse$logLik, rotated$logLik, tolerance = 1e-9)
    expect_equal(sparse$sigma2, rotated$sigma2, tolerance = 1e-5)
    expect_equal(sparse$se[c("sigma2", "sigma2_e", "h2")], rotated$se[c("sigma2", "sigma2_e", "h2")], tolerance = 1e-4)
    expect_equal(predict(sparse, data[1:3, ], se.fit = TRUE), predict(rotated, data[1:3, ], se.fit = TRUE), tolerance = 1e-5)
  }
})

test_that("VarCorr as a data frame is lme4's, in the formula's order", {
  each_mix_pair(function(pair, name) {
    theirs <- as.data.frame(lme4::VarCorr(pair$theirs))
    ours <- as.data.frame(VarCorr(pair$ours))
    expect_setequal(ours$grp, theirs$grp)
    expect_equal(ours[match(theirs$grp, ours$grp), ], theirs, tolerance = 1e-5, ignore_attr = "row.names", info = name)
  })
})

test_that("random effects and their standard deviations are lme4's", {
  each_mix_pair(function(pair, name) {
    theirs <- as.data.frame(lme4::ranef(pair$theirs, condVar = TRUE))
    ours <- as.data.frame(ranef(pair$ours, condVar = TRUE))
    key <- function(x) paste(x$grpvar, x$term, x$grp)
    expect_setequal(key(ours), key(theirs))
    ours <- ours[match(key(theirs), key(ours)), ]
    expect_equal(ours$condval, theirs$condval, tolerance = 1e-5, info = name)
    expect_equal(ours$condsd, theirs$condsd, tolerance = 1e-5, info = name)
  })
})

test_that("coef and predictions, also of part of the effects, are lme4's", {
  each_mix_pair(function(pair, name) {
    theirs <- coef(pair$theirs)
    ours <- coef(pair$ours)
    for (group in names(theirs)) {
      expect_equal(ours[[group]][rownames(theirs[[group]]), names(theirs[[group]]), drop = FALSE], theirs[[group]],
        tolerance = 1e-5, info = name, ignore_attr = TRUE
      )
    }
    new <- pair$data[nrow(pair$data) - 0:9, ]
    expect_equal(predict(pair$ours, new), predict(pair$theirs, new), tolerance = 1e-6, info = name)
    expect_equal(predict(pair$ours, new, re.form = NA), predict(pair$theirs, new, re.form = NA), tolerance = 1e-6, info = name)
  })
  pair <- mix_lme4_pair("Penicillin", "REML")
  expect_equal(predict(pair$ours, re.form = ~ (1 | plate)), predict(pair$theirs, re.form = ~ (1 | plate)), tolerance = 1e-6)
  pair <- mix_lme4_pair("Pastes", "ML")
  expect_equal(predict(pair$ours, re.form = ~ (1 | batch)), predict(pair$theirs, re.form = ~ (1 | batch)), tolerance = 1e-6)
})

# ---- the definition -------------------------------------------------------------------------------------------------

test_that("a mix of matrix, factor and identity beside blocks equals the definition", {
  given <- mix_data()
  terms <- mix_terms()
  for (method in c("REML", "ML")) {
    fit <- mix_fit(method)
    m <- mix_dense(fit, terms, given$data$w)
    expect_named(fit$sigma2, c("id.A", "id.F", "id.own", "b"))
    expect_equal(as.numeric(logLik(fit)), m$logLik, tolerance = 1e-10)
    expect_equal(unname(fixef(fit)), m$beta, tolerance = 1e-8)
    expect_equal(vcov(fit), m$vcov, tolerance = 1e-8, ignore_attr = TRUE)
    u <- ranef(fit, condVar = FALSE, which = "all")
    for (part in 1:3) expect_equal(u$id[given$ids, part], unname(mix_blup(m, terms, fit, part)[given$ids]), tolerance = 1e-8)
    expect_equal(u$b[, 1], unname(mix_blup(m, terms, fit, 4)), tolerance = 1e-8)
    free <- which(fit$sigma2 > 0)
    for (k in free) for (c in c(0.8, 1.25)) {
      moved <- fit
      moved$sigma2[k] <- c * fit$sigma2[k]
      expect_lt(mix_dense(moved, terms, given$data$w)$logLik, m$logLik)
    }
  }
})

test_that("the other criterion is at its own best scale", {
  given <- mix_data()
  for (method in c("REML", "ML")) {
    fit <- mix_fit(method)
    at <- function(c) {
      moved <- fit
      moved$sigma2 <- c * fit$sigma2
      moved$sigma2_e <- c * fit$sigma2_e
      mix_dense(moved, mix_terms(), given$data$w)$value(method == "ML")
    }
    best <- optimize(at, c(0.5, 2), maximum = TRUE, tol = 1e-8)$objective
    expect_equal(as.numeric(logLik(fit, REML = method == "ML")), best, tolerance = 1e-10)
  }
})

test_that("predictions and their standard errors equal the definition, of new ids and of part of the effects too", {
  given <- mix_data()
  fit <- mix_fit()
  m <- mix_dense(fit, mix_terms(), given$data$w)
  new <- data.frame(id = paste0("i", c(1, 7, 23, 25)), x = c(0, 1, -1, 2), f = c("a", "b", "c", "a"), b = factor(c(1, 5, 3, 2)))
  x <- cbind(1, new$x, new$f == "b", new$f == "c")
  whole <- mix_prediction(m, mix_terms(), fit, x, list(new$id, new$id, new$id, new$b))
  found <- predict(fit, transform(new, o = 0), se.fit = TRUE)
  expect_equal(unname(found$fit), unname(whole$fit), tolerance = 1e-8)
  expect_equal(unname(found$se.fit), whole$se.fit, tolerance = 1e-8)
  part <- mix_prediction(m, mix_terms(), fit, x, list(new$id, new$id, new$id, NULL))
  found <- predict(fit, transform(new, o = 0, b = NULL), re.form = ~ (1 | id), se.fit = TRUE)
  expect_equal(unname(found$fit), unname(part$fit), tolerance = 1e-8)
  expect_equal(unname(found$se.fit), part$se.fit, tolerance = 1e-8)
  part <- mix_prediction(m, mix_terms(), fit, x, list(NULL, NULL, NULL, new$b))
  found <- predict(fit, transform(new, o = 0), re.form = ~ (1 | b), se.fit = TRUE)
  expect_equal(unname(found$se.fit), part$se.fit, tolerance = 1e-8)
})

test_that("the effects' conditional variances equal the definition", {
  given <- mix_data()
  fit <- mix_fit()
  m <- mix_dense(fit, mix_terms(), given$data$w)
  found <- as.data.frame(ranef(fit, which = "all"))
  for (k in 1:3) {
    ids <- replicate(4, NULL, simplify = FALSE)
    ids[[k]] <- given$ids
    slow <- mix_prediction(m, mix_terms(), fit, matrix(0, 25, 4), ids, given_beta = TRUE)$se.fit
    own <- found[found$term == c("A", "F", "own")[k], ]
    expect_equal(own$condsd[match(given$ids, own$grp)], slow, tolerance = 1e-7)
  }
})

test_that("slopes with a kernel equal the definition", {
  given <- mix_data()
  fit <- fastlmm_fit(y ~ x + (1 + x || id), given$data, K = given$A, offset = o, method = "ML")
  terms <- list(list(id = given$data$id, K = given$A), list(id = given$data$id, K = given$A, z = given$data$x))
  m <- mix_dense(fit, terms)
  expect_equal(as.numeric(logLik(fit)), m$logLik, tolerance = 1e-10)
  u <- ranef(fit, condVar = FALSE)$id
  expect_named(u, c("(Intercept)", "x"))
  for (k in 1:2) expect_equal(u[, k], unname(mix_blup(m, terms, fit, k)[rownames(u)]), tolerance = 1e-7)
  expect_equal(predict(fit, given$data), fitted(fit), tolerance = 1e-10)
})

test_that("a joint kernel predicts ids that no kernel of the fit knows", {
  given <- mix_data()
  seen <- given$ids[1:20]
  K <- function(ids) kernel_mix(A = given$A[ids, ids], F = kernel_lowrank(given$F[ids, ]), own = NULL)
  small <- fastlmm_fit(y ~ x + f + (1 | id) + (1 | b), given$data, K = list(id = K(seen)), weights = w, offset = o)
  expect_same_fit(small, mix_fit())
  new <- data.frame(id = given$ids[21:25], x = 0, f = "a", o = 0, b = "2")
  expect_error(predict(small, new), class = "fastlmm_error_new_levels")
  expect_equal(
    predict(small, new, K = list(id = K(rev(given$ids))), se.fit = TRUE), predict(mix_fit(), new, se.fit = TRUE),
    tolerance = 1e-6
  )
})

# ---- transformations that must not matter ---------------------------------------------------------------------------

expect_same_mix <- function(a, b, tolerance = 1e-7) {
  expect_equal(b$sigma2[names(a$sigma2)], a$sigma2, tolerance = tolerance)
  for (part in c("coefficients", "vcov", "sigma2_e", "logLik")) expect_equal(b[[part]], a[[part]], tolerance = tolerance, info = part)
}

refitted <- function(data = given$data, K = list(id = mix_of(given)), formula = y ~ x + f + (1 | id) + (1 | b), given = mix_data()) {
  fastlmm_fit(formula, data, K = K, weights = w, offset = o)
}

test_that("the order of rows, ids, kernels and terms does not matter", {
  given <- mix_data()
  fit <- mix_fit()
  set.seed(5)
  expect_same_mix(fit, refitted(given$data[sample(80), ]))
  ids <- sample(given$ids)
  turned <- kernel_mix(own = NULL, F = kernel_lowrank(given$F[ids, ]), A = Matrix::forceSymmetric(Matrix::Matrix(given$A[ids, ids])))
  expect_same_mix(fit, refitted(K = list(id = turned)))
  expect_same_mix(fit, refitted(formula = y ~ (1 | b) + x + (1 | id) + f))
  both <- refitted(K = list(b = NULL, id = mix_of(given))[2])
  expect_identical(both$sigma2, fit$sigma2)
})

test_that("units of K and of the response go where they belong", {
  given <- mix_data()
  fit <- mix_fit()
  scaled <- refitted(K = list(id = kernel_mix(A = 50 * given$A, F = kernel_lowrank(given$F / 10), own = NULL)))
  scaled$sigma2 <- scaled$sigma2 * c(50, 1 / 100, 1, 1)
  expect_same_mix(fit, scaled)
  moved <- refitted(transform(given$data, y = 1e6 * y + 3e6 * x, o = 1e6 * o))
  expect_equal(moved$sigma2, 1e12 * fit$sigma2, tolerance = 1e-6)
  expect_equal(fixef(moved), 1e6 * fixef(fit) + c(0, 3e6, 0, 0), tolerance = 1e-6)
  expect_equal(moved$logLik, fit$logLik - 76 * log(1e6), tolerance = 1e-9)
})

test_that("a kernel and its factor, and a sum of kernels in the proportions of the estimates, are one model", {
  given <- mix_data()
  fit <- mix_fit()
  expect_same_mix(fit, refitted(K = list(id = kernel_mix(A = given$A, F = tcrossprod(given$F), own = given$I))))
  ratio <- fit$sigma2[1:3]
  sum <- ratio[1] * given$A + ratio[2] * tcrossprod(given$F) + ratio[3] * given$I
  one <- refitted(K = list(id = sum))
  expect_equal(one$logLik, fit$logLik, tolerance = 1e-9)
  expect_equal(one$sigma2, c(id = 1, b = fit$sigma2[["b"]]), tolerance = 1e-5)
  expect_equal(fixef(one), fixef(fit), tolerance = 1e-6)
})

# ---- what holds for every fit ---------------------------------------------------------------------------------------

test_that("a fit predicts its own data, and a second fit of its response is the same", {
  given <- mix_data()
  for (fit in list(mix_fit(), mix_fit("ML"))) {
    expect_equal(predict(fit, given$data), fitted(fit), tolerance = 1e-10)
    expect_equal(predict(fit, given$data, re.form = ~ (1 | b) + (1 | id)), fitted(fit), tolerance = 1e-10)
    expect_equal(refit(fit, given$data$y)[c("sigma2", "logLik")], fit[c("sigma2", "logLik")], tolerance = 1e-10)
    path <- tempfile_with(".rds")
    saveRDS(fit, path)
    expect_equal(predict(readRDS(path), given$data, se.fit = TRUE), predict(fit, given$data, se.fit = TRUE))
    expect_equal(getME(fit, "mu"), unname(fitted(fit)))
    expect_equal(as.numeric(getME(fit, "Z") %*% getME(fit, "b")), unname(fitted(fit) - predict(fit, re.form = NA)), tolerance = 1e-10)
    expect_equal(getME(fit, "theta"), sqrt(fit$sigma2 / fit$sigma2_e), ignore_attr = TRUE)
  }
})

test_that("an update keeps the kernels, also once they are gone", {
  made <- local({
    given <- mix_data()
    d <- given$data
    K <- list(id = mix_of(given))
    fastlmm_fit(y ~ x + f + (1 | id) + (1 | b), d, K = K, weights = w, offset = o)
  })
  expect_same_mix(mix_fit("ML"), suppressMessages(update(made, method = "ML")))
  less <- suppressMessages(update(made, . ~ . - (1 | b)))
  expect_named(less$sigma2, c("id.A", "id.F", "id.own"))
  expect_same_mix(refitted(formula = y ~ x + f + (1 | id)), less)
})

test_that("simulated responses have the covariance of the model, and keep what they are asked to keep", {
  fit <- mix_fit()
  m <- mix_dense(fit, mix_terms(), mix_data()$data$w)
  draws <- as.matrix(simulate(fit, 4000, seed = 6))
  centre <- predict(fit, re.form = NA)
  expect_lt(max(abs(rowMeans(draws) - centre) / sqrt(diag(m$V) / 4000)), 4.5)
  scale <- sqrt(diag(m$V))
  correlation <- function(V) V / outer(scale, scale)
  expect_lt(max(abs(correlation(cov(t(draws))) - correlation(m$V))), 0.12)
  kept <- as.matrix(simulate(fit, 4000, seed = 6, re.form = ~ (1 | id)))
  V <- m$V - Reduce(`+`, Map(function(t, Z, s) s * Z %*% t$K %*% t(Z), mix_terms()[1:3], m$Z[1:3], fit$sigma2[1:3]))
  expect_lt(max(abs(rowMeans(kept) - predict(fit, re.form = ~ (1 | id))) / sqrt(diag(V) / 4000)), 4.5)
  expect_lt(max(abs(correlation(cov(t(kept))) - correlation(V))), 0.12)
})

test_that("standard errors of variances and shares follow the curvature of the definition", {
  given <- mix_data()
  fit <- fastlmm_fit(y ~ x + (1 | id) + (1 | b), given$data, offset = o)
  terms <- list(list(id = given$data$id, K = given$I), list(id = given$data$b, K = given$B))
  at <- c(fit$sigma2, fit$sigma2_e)
  f <- function(t) {
    moved <- fit
    moved$sigma2[] <- (at * exp(t))[1:2]
    moved$sigma2_e <- at[[3]] * exp(t[3])
    mix_dense(moved, terms)$logLik
  }
  covariance <- solve(-optimHess(numeric(3), f, control = list(ndeps = rep(1e-3, 3))))
  expect_equal(unname(c(fit$se$sigma2, fit$se$sigma2_e)), unname(at) * sqrt(diag(covariance)), tolerance = 1e-3)
  share <- at / sum(at)
  slope <- diag(share) - outer(share, share)
  expect_equal(unname(fit$se$h2), unname(sqrt(diag(slope %*% covariance %*% slope))[1:2]), tolerance = 1e-3)
})

# ---- borders --------------------------------------------------------------------------------------------------------

flat_data <- function() {
  data <- expand.grid(a = factor(1:6), b = factor(1:5), r = 1:2)
  set.seed(12)
  data$y <- rnorm(60) + rnorm(6)[data$a]
  data$y <- data$y - ave(data$y, data$b) + 10
  data
}

test_that("a variance of zero is told once, and the rest is the model without that effect", {
  data <- flat_data()
  said <- capture_messages(fit <- fastlmm_fit(y ~ 1 + (1 | a) + (1 | b), data))
  expect_length(said, 1)
  expect_identical(fit$sigma2[["b"]], 0)
  less <- fastlmm_fit(y ~ 1 + (1 | a), data)
  for (part in c("coefficients", "vcov", "sigma2_e", "logLik")) expect_equal(fit[[part]], less[[part]], tolerance = 1e-8, info = part)
  expect_equal(fit$sigma2[["a"]], unname(less$sigma2), tolerance = 1e-8)
  expect_true(all(ranef(fit)$b[, 1] == 0))
  expect_true(isSingular(fit))
  expect_identical(fit$optimum$zero, "b")
  expect_identical(c(is.na(fit$se$h2)), c(a = FALSE, b = TRUE))
  expect_equal(predict(fit, data, se.fit = TRUE)$se.fit, predict(less, data, se.fit = TRUE)$se.fit, tolerance = 1e-7)
  expect_message(fastlmm_fit(y ~ 1 + (1 | a) + (1 | b), data), class = "fastlmm_message_boundary")
  expect_snapshot(fit)
  expect_snapshot(summary(fit))
  expect_snapshot(invisible(refit(fit)))
})

test_that("all variances may be zero, and the fit is lm()'s", {
  data <- flat_data()
  data$y <- data$y - ave(data$y, data$a) + 10
  expect_snapshot(fit <- fastlmm_fit(y ~ r + (1 | a) + (1 | b), data))
  linear <- lm(y ~ r, data)
  expect_equal(c(fixef(fit), sigma(fit)), c(coef(linear), sigma(linear)), tolerance = 1e-8, ignore_attr = TRUE)
  expect_equal(vcov(fit), vcov(linear), tolerance = 1e-8)
  expect_equal(as.numeric(logLik(fit, REML = FALSE)), as.numeric(logLik(linear)), tolerance = 1e-10)
})

test_that("the residual variance may be zero", {
  ids <- paste0("i", 1:16)
  diagonal <- function(odd) structure(diag(ifelse(1:16 %% 2 == odd, 1:16, 0)), dimnames = list(ids, ids))
  data <- data.frame(id = ids, y = sqrt(1:16 * rep(seq(0.5, 1.5, length.out = 8), each = 2)))
  expect_snapshot(fit <- fastlmm_fit(y ~ 0 + (1 | id), data, K = kernel_mix(odd = diagonal(1), even = diagonal(0))))
  expect_identical(fit$sigma2_e, 0)
  expect_equal(unname(fit$sigma2), c(1, 1), tolerance = 1e-8)
  expect_equal(unname(fitted(fit)), data$y, tolerance = 1e-8)
})

test_that("three, four and five components are found again", {
  set.seed(3)
  ids <- paste0("i", 1:40)
  kernel <- function(rank) structure(tcrossprod(matrix(rnorm(40 * rank), 40)) / rank, dimnames = list(ids, ids))
  K <- list(A = kernel(60), B = kernel(5), C = kernel(2))
  data <- data.frame(id = sample(rep(ids, 10)), g = gl(8, 50), h = factor(sample(9, 400, TRUE)))
  root <- function(K) crossprod(chol(K + 1e-10 * diag(40)), rnorm(40))[match(data$id, ids)]
  data$y <- root(K$A) + root(K$B) + root(K$C) + rnorm(8)[data$g] + rnorm(9)[data$h] + rnorm(400)
  terms <- c(lapply(K, function(K) list(id = data$id, K = K)), lapply(data[c("g", "h")], function(g) {
    list(id = g, K = structure(diag(nlevels(g)), dimnames = list(levels(g), levels(g))))
  }))
  formulas <- list(y ~ 1 + (1 | id), y ~ 1 + (1 | id) + (1 | g), y ~ 1 + (1 | id) + (1 | g) + (1 | h))
  for (n in 3:5) {
    fit <- suppressMessages(fastlmm_fit(formulas[[n - 2]], data, K = list(id = do.call(kernel_mix, K))))
    expect_length(fit$sigma2, n)
    expect_equal(attr(logLik(fit), "df"), n + 2)
    slow <- mix_dense(fit, terms[1:n])
    expect_equal(as.numeric(logLik(fit)), slow$logLik, tolerance = 1e-9)
    expect_lt(fit$optimum$slope, 1e-6)
    expect_equal(unname(fitted(fit)), drop(fit$y - fit$sigma2_e * slow$inverse %*% slow$residual), tolerance = 1e-7)
  }
})

test_that("several optima are reported, by the shares of the effects", {
  set.seed(2)
  for (i in 1:60) {
    ids <- letters[1:12]
    wild <- function() structure(diag(exp(7 * runif(12))), dimnames = list(ids, ids))
    data <- data.frame(id = ids, y = rnorm(12))
    fit <- suppressMessages(fastlmm_fit(y ~ 1 + (1 | id), data, K = kernel_mix(A = wild(), B = wild())))
    if (nrow(fit$optimum$local) > 1) break
  }
  local <- fit$optimum$local
  expect_gt(nrow(local), 1)
  expect_false(is.unsorted(-local$logLik))
  expect_equal(local$logLik[1], fit$logLik)
  expect_output(print(fit), sprintf("local optima, best first: h2.id.A = %.4f, h2.id.B = %.4f", local$h2.id.A[1], local$h2.id.B[1]), fixed = TRUE)
})

# ---- what is printed, and what is refused ---------------------------------------------------------------------------

test_that("print and summary show every effect", {
  expect_snapshot(mix_fit())
  expect_snapshot(summary(mix_fit("ML")))
  expect_snapshot(VarCorr(mix_fit()))
  shares <- summary(mix_fit())$h2
  fit <- mix_fit()
  part <- fit$sigma2 * c(mean(diag(mix_data()$A)), mean(rowSums(mix_data()$F^2)), 1, 1)
  expect_equal(shares$estimate, unname(c(fit$h2, part / (sum(part) + fit$sigma2_e))), tolerance = 1e-10)
})

test_that("effects that cannot be told apart are named", {
  given <- mix_data()
  d <- given$data
  A <- given$A
  twice <- kernel_mix(A = A, B = 2 * A[25:1, 25:1])
  expect_refused(fastlmm_fit(y ~ x + (1 | id), d, K = twice), "alike")
  row <- transform(d, row = seq_len(80))
  expect_refused(fastlmm_fit(y ~ x + (1 | id) + (1 | row), row), "alike")
  expect_warning(without <- fastlmm_fit(y ~ x + (1 | id), d, K = kernel_mix(A = A, one = 0 * A + 1)), "\"id.one\"", class = "fastlmm_warning_confounded")
  alone <- fastlmm_fit(y ~ x + (1 | id), d, K = A)
  for (read in list(logLik, fitted, function(fit) predict(fit, data.frame(x = 0, id = rownames(A)), se.fit = TRUE))) expect_equal(read(without), read(alone))
  expect_refused(fastlmm_fit(x ~ f + (1 | id) + (1 | b), transform(d, x = 2 * (f == "a"))), "explained")
  expect_refused(fastlmm_fit(y ~ 1 + (1 | id) + (1 | b), transform(d, y = as.numeric(b))), "explained")
})

test_that("kernels that do not belong to the terms are refused", {
  given <- mix_data()
  d <- given$data
  A <- given$A
  expect_refused(fastlmm_fit(y ~ x + (1 | id) + (1 | b), d, K = A), "kernel_list")
  expect_refused(fastlmm_fit(y ~ x + (1 | id) + (1 | b), d, K = list(id = A, block = A)), "unused_kernel")
  expect_refused(fastlmm_fit(y ~ x + (1 | id) + (1 | b), d, K = list(A)), "kernel_list")
})

test_that("an error about one kernel of several says which", {
  given <- mix_data()
  d <- given$data
  A <- given$A
  expect_refused(fastlmm_fit(y ~ x + (1 | id), d, K = kernel_mix(A = A, zero = 0 * A)), "kernel_zero")
  expect_refused(fastlmm_fit(y ~ x + (1 | id), d, K = kernel_mix(A = A, B = A - 5 * diag(25))), "kernel_not_positive")
  expect_refused(fastlmm_fit(y ~ x + (1 | id) + (1 | b), d, K = list(id = A, b = replace(given$B, 2, 0.5))), "kernel_asymmetric")
  expect_refused(fastlmm_fit(y ~ x + (1 | id), d, K = kernel_mix(A = A[-1, -1], B = NULL)), "ids_missing")
})

test_that("weights are checked, and rows of weight zero are left out with a message", {
  given <- mix_data()
  d <- given$data
  K <- list(id = mix_of(given))
  formula <- y ~ x + (1 | id) + (1 | b)
  expect_refused(fastlmm_fit(formula, d, K = K, weights = c(-1, rep(1, 79))), "weights")
  expect_refused(fastlmm_fit(formula, transform(d, w = replace(w, 2, Inf)), K = K, weights = w), "weights")
  expect_message(fit <- fastlmm_fit(formula, transform(d, w = replace(w, 1:5, 0)), K = K, weights = w), class = "fastlmm_message_zero_weights")
  expect_same_mix(fastlmm_fit(formula, d[-(1:5), ], K = K, weights = w), fit)
  expect_equal(nobs(fastlmm_fit(formula, transform(d, w = replace(w, 1:3, NA)), K = K, weights = w)), 77)
})
