# A gp() term beside groups, slopes and kernels, by the kernel matrix, against the dense definition.

joint_data <- function(n = 70, seed = 3) {
  set.seed(seed)
  d <- data.frame(u = runif(n), v = runif(n), x = rnorm(n), g = sample(letters[1:9], n, TRUE), h = sample(LETTERS[1:6], n, TRUE))
  d$y <- 1 + d$x / 2 + sin(5 * d$u) + 0.7 * rnorm(9)[match(d$g, letters)] + 0.4 * d$x * rnorm(6)[match(d$h, LETTERS)] + 0.4 * rnorm(n)
  d
}

joint_kernel <- function(seed = 4) {
  set.seed(seed)
  M <- matrix(rnorm(9 * 12), 9, dimnames = list(letters[1:9], NULL))
  tcrossprod(M) / 12
}

# Z K Z' of a grouping factor, its multiplier and its kernel
joint_part <- function(g, z = 1, K = NULL) {
  levels <- sort(unique(g))
  Z <- z * outer(g, levels, `==`)
  if (is.null(K)) tcrossprod(Z) else Z %*% K[levels, levels] %*% t(Z)
}

joint_of <- function(fit, d, parts, weights = rep(1, nrow(d)), sigma2 = fit$sigma2, sigma2_e = fit$sigma2_e) {
  dense_joint_at(
    unname(fit$lengthscale), unname(sigma2), sigma2_e, d$y, unname(model.matrix(fit)), as.matrix(d[c("u", "v")]), fit$gp$cov, parts, fit$method, weights
  )
}

quiet_fit <- function(...) suppressMessages(fastlmm_fit(...))

test_that("the criterion, the optimum and beta are the definition's: groups, slopes, kernels, weights, REML and ML", {
  d <- joint_data()
  d$w <- runif(70, 0.5, 2)
  K <- joint_kernel()
  cases <- list(
    list(y ~ x + gp(u, v, cov = "exp_quad") + (1 | g), list(joint_part(d$g)), NULL, "REML"),
    list(y ~ x + gp(u, v, cov = "matern32") + (1 | g) + (0 + x | h), list(joint_part(d$g), joint_part(d$h, d$x)), NULL, "ML"),
    list(y ~ x + gp(u, v, cov = "matern52", basis = "exact") + (1 | g), list(joint_part(d$g, K = K)), list(g = K), "REML")
  )
  for (case in cases) {
    fit <- quiet_fit(case[[1]], d, K = case[[3]], method = case[[4]], weights = w)
    defined <- joint_of(fit, d, case[[2]], d$w)
    expect_equal(fit$logLik, defined$logLik, tolerance = 1e-8)
    expect_equal(unname(fixef(fit)), defined$beta, tolerance = 1e-6)
    expect_equal(unname(vcov(fit)), defined$vcov, tolerance = 1e-6, ignore_attr = TRUE)
    best <- dense_joint_fit(d$y, unname(model.matrix(fit)), as.matrix(d[c("u", "v")]), fit$gp$cov, case[[2]], case[[4]], d$w)
    expect_gt(fit$logLik, best$logLik - 1e-4)
  }
})

test_that("standard errors are those of the observed information", {
  d <- joint_data()
  fit <- quiet_fit(y ~ x + gp(u, v, cov = "exp_quad") + (1 | g), d)
  parts <- list(joint_part(d$g))
  best <- dense_joint_fit(d$y, unname(model.matrix(fit)), as.matrix(d[c("u", "v")]), "exp_quad", parts)
  at <- log(c(fit$lengthscale, fit$sigma2, fit$sigma2_e))
  error <- sqrt(diag(solve(optimHess(at, best$f, control = list(ndeps = rep(1e-3, 4))))))
  expect_equal(unname(c(fit$se$lengthscale / fit$lengthscale, fit$se$sigma2 / fit$sigma2, fit$se$sigma2_e / fit$sigma2_e)), unname(error), tolerance = 1e-2)
})

test_that("predictions, their standard errors and the effects are the definition's, of all effects and of some", {
  d <- joint_data()
  fit <- quiet_fit(y ~ x + gp(u, v, cov = "exp_quad") + (1 | g), d)
  m <- joint_of(fit, d, list(joint_part(d$g)))
  new <- data.frame(u = c(0.2, 0.9), v = c(0.5, 0.1), x = c(0, 1), g = c("b", "zz"))
  C <- fit$sigma2[[1]] * gp_matrix(as.matrix(new[1:2]), "exp_quad", fit$lengthscale, as.matrix(d[c("u", "v")]))
  G <- fit$sigma2[[2]] * outer(new$g, d$g, `==`)
  X <- cbind(1, new$x)
  kriged <- function(C, prior) {
    weights <- C %*% solve(m$V)
    D <- X - weights %*% unname(model.matrix(fit))
    list(fit = drop(X %*% m$beta + weights %*% m$residual), se = sqrt(prior - rowSums(weights * C) + rowSums((D %*% m$vcov) * D)))
  }
  compare <- function(re.form, C, prior) {
    found <- predict(fit, new, re.form = re.form, se.fit = TRUE, allow.new.levels = TRUE)
    defined <- kriged(C, prior)
    expect_equal(unname(found$fit), defined$fit, tolerance = 1e-6)
    expect_equal(unname(found$se.fit), defined$se, tolerance = 1e-6)
  }
  compare(NULL, C + G, sum(fit$sigma2))
  compare(~ (1 | g), G, fit$sigma2[[2]])
  compare(~ gp(u, v), C, fit$sigma2[[1]])
  expect_error(predict(fit, new), class = "fastlmm_error_new_ids")
  expect_error(predict(fit, new, re.form = ~ (1 | x)), class = "fastlmm_error_re_form")
  # a fixed effect beside them, or a process over other coordinates, would be ignored without a word
  expect_error(predict(fit, new, re.form = ~ (1 | g) + x, allow.new.levels = TRUE), class = "fastlmm_error_re_form")
  for (form in list(~ gp(elsewhere), ~ gp(v, u), ~ gp(elsewhere) + (1 | g), ~ gp(u, v) + x)) {
    expect_error(predict(fit, new, re.form = form, allow.new.levels = TRUE), class = "fastlmm_error_re_form")
  }
  expect_identical(predict(fit, new, re.form = ~ gp(u, v) + (1 | g), allow.new.levels = TRUE), predict(fit, new, allow.new.levels = TRUE))
  expect_equal(unname(fitted(fit)), unname(predict(fit, d)), tolerance = 1e-9)
  expect_equal(
    ranef(fit)$g[["(Intercept)"]], unname(drop(fit$sigma2[[2]] * t(outer(d$g, sort(unique(d$g)), `==`)) %*% solve(m$V, m$residual))), tolerance = 1e-6
  )
  expect_equal(coef(fit)$g[["(Intercept)"]], fixef(fit)[[1]] + ranef(fit)$g[["(Intercept)"]])
})

test_that("profile limits lie where the deviance has risen, variances and length scale alike", {
  d <- joint_data()
  fit <- quiet_fit(y ~ x + gp(u, v, cov = "exp_quad") + (1 | g), d)
  parts <- list(joint_part(d$g))
  best <- dense_joint_fit(d$y, unname(model.matrix(fit)), as.matrix(d[c("u", "v")]), "exp_quad", parts)
  limits <- confint(fit, c("lengthscale", "sigma2.gp(u, v)", "sigma2.g", ".sigma2"))
  at <- log(c(fit$lengthscale, fit$sigma2, fit$sigma2_e))
  for (i in 1:4) for (side in 1:2) {
    limit <- limits[i, side]
    if (limit == 0 || is.infinite(limit)) next
    held <- function(t) best$f(append(t, log(limit), i - 1))
    found <- optim(at[-i], held, control = list(reltol = 1e-10, maxit = 1000))
    expect_equal(2 * (found$value + fit$logLik), qchisq(0.95, 1), tolerance = 1e-2)
  }
  curve <- profile(fit, "sigma2.g", points = 7)
  expect_lt(min(abs(curve$.zeta)), 1)
  expect_true(all(diff(curve$value) > 0))
  expect_true(all(is.finite(confint(fit, c("x", "h2.g")))))
})

test_that("the criterion is never worse than that of a model without one of the effects", {
  for (seed in 1:6) expect_no_submodel_better(seed)
})

test_that("heavy metals along the Meuse beside the soil are the dense optimum", {
  skip_if_not_installed("sp")
  utils::data("meuse", package = "sp", envir = environment())
  fit <- fastlmm_fit(log(zinc) ~ sqrt(dist) + gp(x, y, cov = "exp_quad") + (1 | soil), meuse)
  expect_equal(-2 * fit$logLik, 152.2995, tolerance = 1e-6)
  expect_equal(fit$lengthscale[[1]], 161.1, tolerance = 1e-3)
  expect_equal(unname(c(fit$sigma2, fit$sigma2_e)), c(0.1065, 0.00295, 0.0869), tolerance = 1e-2)
})

test_that("a grouping factor that explains nothing gives the fit without it, and says so", {
  d <- joint_data(60, 9)
  d$g <- rep(1:10, 6)
  d$y <- sin(6 * d$u) + rep(rep(c(-1, 1), each = 10), 3) * 0.3
  expect_message(fit <- fastlmm_fit(y ~ gp(u, v, cov = "exp_quad") + (1 | g), d, method = "REML"), class = "fastlmm_message_boundary")
  expect_identical(fit$optimum$zero, "g")
  expect_equal(fit$logLik, quiet_fit(y ~ gp(u, v, cov = "exp_quad"), d)$logLik, tolerance = 1e-8)
  expect_identical(unname(confint(fit, "sigma2.g")[1]), 0)
})

test_that("in Fourier space a group's variance, share and ratio have the standard errors of the kernel matrix", {
  set.seed(31)
  d <- data.frame(u = runif(300), g = sample(letters[1:15], 300, TRUE))
  d$y <- draw_gp(cbind(d$u), "exp_quad", 0.1) + rnorm(26)[match(d$g, letters)] / 2 + rnorm(300) / 2
  fits <- lapply(c("exact", "fourier"), function(basis) {
    suppressMessages(fastlmm_fit(as.formula(sprintf("y ~ gp(u, cov = \"exp_quad\", basis = \"%s\", tol = 1e-4) + (1 | g)", basis)), d))
  })
  expect_identical(fits[[2]]$gp$route, "fourier")
  for (part in c("sigma2", "sigma2_e", "lengthscale", "h2", "delta")) {
    expect_equal(fits[[2]][[part]], fits[[1]][[part]], tolerance = 0.01, info = part, ignore_attr = TRUE)
    expect_equal(fits[[2]]$se[[part]], fits[[1]]$se[[part]], tolerance = 0.05, info = part, ignore_attr = TRUE)
  }
})
