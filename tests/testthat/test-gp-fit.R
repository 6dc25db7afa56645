# Fits with gp() against the definition in helper-gp.R, which is first compared with nlme.

test_that("the definition: correlations are those of the Bessel function, or its limit", {
  r <- c(0.01, 0.3, 1, 2.5)
  for (nu in c(0.5, 1.5, 2.5)) {
    a <- sqrt(2 * nu) * r
    expect_equal(gp_cor(r, sprintf("matern%d2", 2 * nu)), 2^(1 - nu) / gamma(nu) * a^nu * besselK(a, nu), tolerance = 1e-12)
  }
  expect_equal(gp_cor(r, "exp_quad"), exp(-r^2 / 2))
  for (cov in gp_families) expect_equal(gp_cor(0, cov), 1)
})

test_that("the definition: fits are those of nlme::gls() with corExp and corGaus and a nugget", {
  data <- gp_world(80, 2, "matern12", 0.3, seed = 5)
  X <- cbind(1, data$x)
  for (method in c("REML", "ML")) for (cov in c("matern12", "exp_quad")) {
    structure <- if (cov == "matern12") nlme::corExp else nlme::corGaus
    relation <- structure(c(0.3, 0.2), form = ~ u + v, nugget = TRUE)
    theirs <- nlme::gls(y ~ x, data, correlation = relation, method = method, control = nlme::glsControl(msTol = 1e-12, tolerance = 1e-10))
    mine <- dense_gp_fit(data$y, X, gp_places(data), cov, method)
    shape <- unname(coef(theirs$modelStruct$corStruct, unconstrained = FALSE))
    expect_equal(mine$logLik, as.numeric(logLik(theirs)), tolerance = 1e-7)
    expect_equal(mine$lengthscale * if (cov == "exp_quad") sqrt(2) else 1, shape[1], tolerance = 5e-3)
    expect_equal(mine$delta / (1 + mine$delta), shape[2], tolerance = 5e-3)
    expect_equal(mine$beta, unname(coef(theirs)), tolerance = 1e-3)
  }
})

# ---- the kernel matrix ----------------------------------------------------------------------------------------------

test_that("the exact route is the definition in one to three dimensions with every kernel, by REML and ML", {
  for (d in 1:3) for (cov in gp_families) for (method in c("REML", "ML")) {
    label <- paste(cov, d, method)
    data <- gp_world(120, d, cov, c(0.15, 0.3, 0.5)[d], seed = d)
    fit <- suppressMessages(fastlmm_fit(gp_formula(d, cov, basis = "exact"), data, method = method))
    best <- dense_gp_fit(data$y, cbind(1, data$x), gp_places(data), cov, method)
    expect_identical(fit$gp$route, "exact")
    expect_equal(fit$logLik, dense_gp_of(fit, gp_places(data))$logLik, tolerance = 1e-9, info = label)
    expect_gt(fit$logLik, best$logLik - 1e-5)
    if (fit$optimum$at_end || fit$optimum$boundary != "none") next
    expect_equal(fit$logLik, best$logLik, tolerance = 1e-7, info = label)
    expect_equal(unname(fit$lengthscale), best$lengthscale, tolerance = 2e-3, info = label)
    expect_equal(fit$delta, best$delta, tolerance = 2e-3, info = label)
    expect_equal(c(fit$sigma2, fit$sigma2_e), c(best$sigma2, best$sigma2_e), tolerance = 2e-3, info = label)
  }
})

test_that("coefficients and kriging of the exact route are the definition's to rounding", {
  for (d in 1:3) for (cov in gp_families) {
    data <- gp_world(150, d, cov, 0.3, seed = 10 + d)
    fit <- suppressMessages(fastlmm_fit(gp_formula(d, cov, basis = "exact"), data))
    m <- dense_gp_of(fit, gp_places(data))
    new <- gp_world(20, d, cov, 0.3, seed = 20)
    found <- predict(fit, new, se.fit = TRUE)
    defined <- dense_gp_predict(m, cbind(1, new$x), gp_places(new))
    expect_equal(unname(fixef(fit)), m$beta, tolerance = 1e-7)
    expect_equal(unname(vcov(fit)), m$vcov, tolerance = 1e-7)
    expect_equal(unname(found$fit), defined$fit, tolerance = 1e-7)
    expect_equal(unname(found$se.fit), defined$se.fit, tolerance = 1e-6)
  }
})

# ---- Fourier space --------------------------------------------------------------------------------------------------

# Cases that a basis smaller than the number of rows serves. Rough kernels need long length scales or few dimensions.
fourier_cases <- list(
  list(cov = "exp_quad", n = 300, d = 1, length = 0.1, noise = 0.25),
  list(cov = "exp_quad", n = 400, d = 2, length = 0.4, noise = 0.25, range = c(0.3, 0.7)),
  list(cov = "exp_quad", n = 1500, d = 3, length = 1, noise = 0.5, range = c(0.9, 1.4)),
  list(cov = "matern52", n = 400, d = 1, length = 0.1, noise = 0.25),
  list(cov = "matern52", n = 900, d = 2, length = 0.5, noise = 0.5, range = c(0.4, 0.8)),
  list(cov = "matern32", n = 400, d = 1, length = 0.2, noise = 0.25),
  list(cov = "matern32", n = 1500, d = 2, length = 0.8, noise = 1, range = c(0.7, 1.1)),
  list(cov = "matern12", n = 1500, d = 1, length = 0.3, noise = 1, range = c(0.2, 0.5))
)

fourier_pairs <- new.env()

# once for all tests of this file: the definition takes most of the time
fourier_pair <- function(case, tol = 0.01, method = "REML") {
  label <- paste(case$cov, case$d, tol, method)
  if (is.null(fourier_pairs[[label]])) {
    data <- gp_world(case$n, case$d, case$cov, case$length, sigma2_e = case$noise, seed = 3)
    formula <- gp_formula(case$d, case$cov, basis = "fourier", tol = tol, range = case$range)
    fit <- suppressMessages(fastlmm_fit(formula, data, method = method))
    fourier_pairs[[label]] <- list(data = data, fit = fit, dense = dense_gp_of(fit, gp_places(data)), label = label)
  }
  fourier_pairs[[label]]
}

# What the basis leaves out of the kernel, relative to delta, bounds every error.
left_out <- function(fit) max(1 - fit$gp$captured, 0) / fit$delta

test_that("in Fourier space the likelihood is the definition's up to what the basis leaves out", {
  for (case in fourier_cases) for (method in c("REML", "ML")) {
    pair <- fourier_pair(case, method = method)
    fit <- pair$fit
    expect_identical(fit$gp$route, "fourier")
    expect_lt(left_out(fit), 0.015)
    expect_lt(fit$gp$size, case$n)
    expect_lt(abs(fit$logLik - pair$dense$logLik), 0.5 * case$n * left_out(fit) + 0.02)
    expect_lt(max(abs(fixef(fit) - pair$dense$beta) / sqrt(diag(pair$dense$vcov))), 10 * left_out(fit) + 1e-3)
    expect_equal(unname(vcov(fit)), pair$dense$vcov, tolerance = 30 * left_out(fit) + 1e-3, info = pair$label)
  }
})

test_that("in Fourier space kriging is the definition's up to the variance that the basis leaves out", {
  for (case in fourier_cases) {
    pair <- fourier_pair(case)
    fit <- pair$fit
    new <- gp_world(30, case$d, case$cov, case$length, seed = 9)
    found <- predict(fit, new, se.fit = TRUE)
    defined <- dense_gp_predict(pair$dense, cbind(1, new$x), gp_places(new))
    missing <- fit$sigma2 * left_out(fit) * fit$delta
    expect_lt(max(abs(found$fit - defined$fit)), 4 * sqrt(missing) + 1e-3 * min(defined$se.fit))
    expect_lt(max(abs(found$se.fit^2 - defined$se.fit^2)), 1.5 * missing + 1e-3 * max(defined$se.fit^2))
  }
})

test_that("the estimates in Fourier space are within a tenth of a standard error or so of the best", {
  for (case in Filter(function(case) case$n < 1000, fourier_cases)) {
    pair <- fourier_pair(case)
    f <- function(t) -dense_gp_at(exp(t[1]), exp(t[2]), pair$data$y, cbind(1, pair$data$x), gp_places(pair$data), case$cov)$logLik
    best <- optim(log(c(pair$dense$lengthscale, pair$dense$delta)), f, method = "BFGS", control = list(maxit = 10))
    expect_lt(-best$value - pair$dense$logLik, 0.02)
  }
})

test_that("a smaller tol brings every number closer to the definition", {
  # the rough ones: of the others so little is left out that the window of length scales decides on the size
  for (case in fourier_cases[c(5, 7, 8)]) {
    pairs <- lapply(c(0.01, 2e-3), fourier_pair, case = case)
    off <- vapply(pairs, function(pair) abs(pair$fit$logLik - pair$dense$logLik), 0)
    expect_lt(off[2], 0.8 * off[1])
    expect_gt(pairs[[2]]$fit$gp$size, pairs[[1]]$fit$gp$size)
    expect_gt(pairs[[2]]$fit$gp$captured, pairs[[1]]$fit$gp$captured)
  }
  fine <- fourier_pair(fourier_cases[[1]], 1e-6)
  expect_equal(fine$fit$logLik, fine$dense$logLik, tolerance = 1e-8)
  expect_equal(unname(fine$fit$coefficients), fine$dense$beta, tolerance = 1e-6)
})

test_that("both routes agree", {
  for (cov in c("exp_quad", "matern52")) {
    data <- gp_world(300, 1, cov, 0.15, seed = 8)
    fits <- lapply(c("exact", "fourier"), function(basis) fastlmm_fit(gp_formula(1, cov, basis = basis, tol = 1e-3), data))
    for (part in c("coefficients", "sigma2", "sigma2_e", "lengthscale", "logLik")) {
      expect_equal(fits[[2]][[part]], fits[[1]][[part]], tolerance = 0.01, info = part)
    }
    for (part in c("lengthscale", "delta", "sigma2")) expect_equal(fits[[2]]$se[[part]], fits[[1]]$se[[part]], tolerance = 0.05, info = part)
    expect_equal(confint(fits[[2]]), confint(fits[[1]]), tolerance = 1e-4)
  }
})

test_that("data rougher than their kernel do not make the estimate depend on the basis", {
  data <- gp_world(1200, 2, "matern12", 0.5, sigma2_e = 0.3, seed = 5)
  fits <- lapply(c(0.03, 0.01), function(tol) fastlmm_fit(gp_formula(2, "exp_quad", basis = "fourier", tol = tol), data))
  exact <- fastlmm_fit(gp_formula(2, "exp_quad", basis = "exact", range = c(0.5, 2) * fits[[1]]$lengthscale[[1]]), data)
  expect_false(exact$optimum$at_end)
  for (fit in fits) {
    expect_lt(abs(fit$lengthscale - exact$lengthscale), 0.25 * exact$se$lengthscale)
    expect_lt(abs(fit$logLik - exact$logLik), 0.5)
  }
})

test_that("a long length scale that asks for less noise than rounding leaves does not stop the search", {
  set.seed(52)
  n <- 2e4
  data <- data.frame(u = seq_len(n) / n, x = rnorm(n))
  angle <- outer(2 * pi * data$u, 1:60)
  weight <- sqrt(2 * (1 + (2 * pi * 0.02 * (1:60))^2 / 5)^-3)
  data$y <- 1 + data$x / 2 + drop(cos(angle) %*% (rnorm(60) * weight) + sin(angle) %*% (rnorm(60) * weight)) + rnorm(n) / 2
  fit <- fastlmm_fit(y ~ x + gp(u, basis = "fourier"), data)
  expect_lt(fit$lengthscale, 0.1)
})

test_that("a window of length scales reaches over the interval", {
  data <- gp_world(1200, 2, "matern12", 0.5, sigma2_e = 0.3, seed = 6)
  limits <- confint(fastlmm_fit(gp_formula(2, "exp_quad", basis = "fourier"), data), "lengthscale")
  expect_gt(limits[1], 0)
  expect_lt(limits[2], Inf)
})

test_that("profile intervals end where the deviance has risen, everything else at its best", {
  data <- gp_world(150, 1, "exp_quad", 0.15, seed = 8)
  X <- cbind(1, data$x)
  at <- gp_places(data)
  # the deviance by its definition, with log length scale and log delta free unless they are held
  deviance <- function(t, sigma2 = NULL) {
    m <- dense_gp_at(exp(t[1]), exp(t[2]), data$y, X, at, "exp_quad")
    held <- if (is.null(sigma2)) 0 else (nrow(X) - ncol(X)) * (log(sigma2 / m$sigma2) + m$sigma2 / sigma2 - 1)
    -2 * m$logLik + held
  }
  best <- dense_gp_fit(data$y, X, at, "exp_quad")
  start <- log(c(best$lengthscale, best$delta))
  rise <- function(name, value) {
    least <- switch(name,
      lengthscale = optimize(function(d) deviance(c(log(value), d)), start[2] + c(-3, 3), tol = 1e-9)$objective,
      delta = optimize(function(l) deviance(c(l, log(value))), start[1] + c(-2, 2), tol = 1e-9)$objective,
      sigma2 = optim(c(start[1], log(best$sigma2_e / value)), deviance, sigma2 = value, control = list(reltol = 1e-13, maxit = 2000))$value
    )
    least + 2 * best$logLik
  }
  for (basis in c("exact", "fourier")) {
    fit <- fastlmm_fit(gp_formula(1, "exp_quad", basis = basis, tol = 1e-5), data)
    limits <- confint(fit, c("lengthscale", "delta", "sigma2"))
    for (name in rownames(limits)) for (end in limits[name, ]) expect_equal(rise(name, end), qchisq(0.95, 1), tolerance = 2e-3, info = name)
  }
})

test_that("a limit that belongs to length scales beyond the basis is not made up", {
  data <- gp_world(300, 1, "matern32", 0.3, sigma2 = 0.3, sigma2_e = 1, seed = 4)
  wide <- confint(fastlmm_fit(gp_formula(1, "matern32", basis = "exact"), data), "sigma2")
  narrow <- fastlmm_fit(gp_formula(1, "matern32", basis = "fourier", tol = 0.05, size = 120), data)
  expect_message(limits <- confint(narrow, "sigma2"), "beyond those that the basis covers", class = "fastlmm_message_gp_range")
  expect_true(anyNA(limits))
  expect_equal(limits[!is.na(limits)], wide[!is.na(limits)], tolerance = 0.02)
})

# ---- what is given, and what is special ------------------------------------------------------------------------------

test_that("a length scale that is given is kept, and the rest is the definition's optimum there", {
  data <- gp_world(250, 2, "exp_quad", 0.3)
  best <- dense_gp_fit(data$y, cbind(1, data$x), gp_places(data), "exp_quad", lengthscale = 0.25)
  for (basis in c("exact", "fourier")) {
    fit <- fastlmm_fit(gp_formula(2, "exp_quad", lengthscale = 0.25, basis = basis, tol = 1e-4), data)
    expect_equal(unname(fit$lengthscale), 0.25)
    expect_equal(fit$logLik, best$logLik, tolerance = 1e-5)
    expect_equal(c(fit$delta, fit$sigma2), c(best$delta, best$sigma2), tolerance = 1e-3)
  }
})

test_that("two given length scales are those of the coordinates", {
  data <- gp_world(250, 2, "exp_quad", 0.3)
  for (basis in c("exact", "fourier")) {
    fit <- fastlmm_fit(gp_formula(2, "exp_quad", lengthscale = c(0.5, 0.25), basis = basis, tol = 1e-5), data)
    m <- dense_gp_at(c(0.5, 0.25), fit$delta, data$y, cbind(1, data$x), gp_places(data), "exp_quad")
    expect_equal(fit$logLik, m$logLik, tolerance = 1e-6)
    expect_equal(unname(fixef(fit)), m$beta, tolerance = 1e-4)
  }
})

test_that("ard finds one length scale a coordinate, as the definition does", {
  data <- gp_world(200, 2, "exp_quad", c(0.3, 0.8), seed = 12)
  best <- dense_gp_fit(data$y, cbind(1, data$x), gp_places(data), "exp_quad", ard = TRUE)
  for (basis in c("exact", "fourier")) {
    fit <- fastlmm_fit(gp_formula(2, "exp_quad", ard = TRUE, basis = basis, tol = 1e-3), data)
    expect_named(fit$lengthscale, c("u", "v"))
    expect_equal(fit$logLik, best$logLik, tolerance = 1e-5)
    expect_equal(fit$lengthscale, best$lengthscale, tolerance = 0.02)
  }
})

test_that("weights and offsets are those of the definition", {
  data <- gp_world(250, 2, "exp_quad", 0.3, seed = 14)
  data$prior <- runif(250, 0.5, 2)
  data$o <- rnorm(250)
  best <- dense_gp_fit(data$y - data$o, cbind(1, data$x), gp_places(data), "exp_quad", weights = data$prior)
  for (basis in c("exact", "fourier")) {
    fit <- fastlmm_fit(gp_formula(2, "exp_quad", basis = basis, tol = 1e-4), data, weights = prior, offset = o)
    # lme4's: the weights' own determinant is part of the likelihood
    expect_equal(fit$logLik, best$logLik, tolerance = 1e-6, info = basis)
    expect_equal(c(fit$lengthscale, fit$delta), c(best$lengthscale, best$delta), tolerance = 5e-3, ignore_attr = TRUE)
  }
})

test_that("standard errors are those of the definition's curvature", {
  data <- gp_world(400, 2, "exp_quad", 0.5, seed = 15)
  for (basis in c("exact", "fourier")) {
    fit <- fastlmm_fit(gp_formula(2, "exp_quad", basis = basis, range = c(0.3, 0.8)), data)
    # with sigma2 free too: sigma2 (k + delta I) at any sigma2
    f <- function(t) {
      m <- dense_gp_at(exp(t[1]), exp(t[2]), data$y, cbind(1, data$x), gp_places(data), "exp_quad")
      df <- nrow(data) - 2
      ratio <- m$sigma2 / exp(t[3])
      -m$logLik + df * (ratio - 1 - log(ratio)) / 2
    }
    covariance <- solve(optimHess(log(c(fit$lengthscale, fit$delta, fit$sigma2)), f, control = list(ndeps = rep(1e-3, 3))))
    of <- function(a) sqrt(drop(a %*% covariance %*% a))
    expect_equal(unname(fit$se$lengthscale / fit$lengthscale), of(c(1, 0, 0)), tolerance = 0.01, info = basis)
    expect_equal(unname(fit$se$delta / fit$delta), of(c(0, 1, 0)), tolerance = 0.01)
    expect_equal(unname(fit$se$sigma2 / fit$sigma2), of(c(0, 0, 1)), tolerance = 0.01)
    expect_equal(unname(fit$se$sigma2_e / fit$sigma2_e), of(c(0, 1, 1)), tolerance = 0.01)
  }
})

test_that("profile intervals end where the definition's likelihood has fallen by half the quantile", {
  data <- gp_world(250, 1, "matern52", 0.2, seed = 16)
  X <- cbind(1, data$x)
  at <- gp_places(data)
  value <- function(t, sigma2 = NULL) {
    m <- dense_gp_at(exp(t[1]), exp(t[2]), data$y, X, at, "matern52")
    if (is.null(sigma2)) return(m$logLik)
    ratio <- m$sigma2 / sigma2(exp(t[2]))
    m$logLik - (nrow(data) - 2) * (ratio - 1 - log(ratio)) / 2
  }
  for (basis in c("exact", "fourier")) {
    fit <- fastlmm_fit(gp_formula(1, "matern52", basis = basis, tol = 2e-3), data)
    over <- function(f) {
      grid <- seq(-7, 3, by = 0.25)
      near <- grid[which.max(vapply(grid, f, 0))]
      optimize(f, near + c(-0.4, 0.4), maximum = TRUE, tol = 1e-8)$objective
    }
    over_both <- function(f) {
      starts <- as.matrix(expand.grid(log(fit$lengthscale) + c(-1, 0, 1), log(fit$delta) + c(-1.5, 0, 1)))
      start <- starts[which.max(apply(starts, 1, f)), ]
      -optim(start, function(t) tryCatch(-f(t), error = function(e) 1e6), method = "BFGS", control = list(reltol = 1e-13))$value
    }
    held <- list(
      lengthscale = function(v) over(function(t) value(c(log(v), t))),
      delta = function(v) over(function(t) value(c(t, log(v)))),
      sigma2 = function(v) over_both(function(t) value(t, function(delta) v)),
      .sigma2 = function(v) over_both(function(t) value(t, function(delta) v / delta))
    )
    limits <- confint(fit, names(held))
    for (name in names(held)) {
      fall <- vapply(limits[name, ], function(v) fit$logLik - held[[name]](v), 0)
      expect_equal(unname(fall), rep(qchisq(0.95, 1) / 2, 2), tolerance = 0.02, info = paste(basis, name))
    }
  }
})

test_that("the interval of a fixed effect is the profile of the likelihood over the length scale as well", {
  data <- gp_world(150, 1, "exp_quad", 0.2, seed = 17)
  at <- gp_places(data)
  for (basis in c("exact", "fourier")) {
    fit <- fastlmm_fit(gp_formula(1, "exp_quad", basis = basis, tol = 1e-3), data, method = "ML")
    limits <- confint(fit, "x")
    for (v in limits) {
      held <- dense_gp_fit(data$y - v * data$x, cbind(rep(1, 150)), at, "exp_quad", "ML")
      expect_equal(fit$logLik - held$logLik, qchisq(0.95, 1) / 2, tolerance = 0.02)
    }
  }
})

# ---- the methods agree with each other --------------------------------------------------------------------------------

test_that("predictions at the data are the fitted values, residuals the rest, and refitting changes nothing", {
  for (basis in c("exact", "fourier")) {
    data <- gp_world(300, 2, "exp_quad", 0.4, seed = 18)
    fit <- fastlmm_fit(gp_formula(2, "exp_quad", basis = basis, range = c(0.3, 0.7)), data)
    expect_equal(predict(fit, data), fitted(fit), ignore_attr = TRUE)
    expect_equal(predict(fit), fitted(fit), ignore_attr = TRUE)
    expect_equal(unname(residuals(fit)), unname(data$y - fitted(fit)))
    again <- refit(fit, data$y)
    expect_same_fit(again, fit)
    expect_equal(again$lengthscale, fit$lengthscale)
    m <- dense_gp_of(fit, gp_places(data))
    process <- fitted(fit) - drop(model.matrix(fit) %*% fixef(fit))
    expect_equal(unname(ranef(fit)[[1]][[1]]), unname(process))
    expect_lt(sd(process - (dense_gp_predict(m, m$X, m$at)$fit - drop(m$X %*% m$beta))), 0.05 * sd(process))
  }
})

test_that("the profile of a fit is the likelihood of its points", {
  data <- gp_world(200, 1, "exp_quad", 0.2, seed = 19)
  for (basis in c("exact", "fourier")) {
    fit <- fastlmm_fit(gp_formula(1, "exp_quad", basis = basis, tol = 1e-5), data)
    expect_true(all(c("lengthscale", "delta", "sigma2", "logLik") %in% names(fit$profile)))
    at <- gp_places(data)
    for (i in which(is.finite(fit$profile$delta))) {
      point <- fit$profile[i, ]
      m <- dense_gp_at(point$lengthscale, point$delta, data$y, cbind(1, data$x), at, "exp_quad")
      expect_equal(c(point$logLik, point$sigma2), c(m$logLik, m$sigma2), tolerance = 1e-3, info = basis)
    }
    curve <- as.data.frame(profile(fit, "lengthscale", points = 9))
    for (i in seq_len(nrow(curve))) {
      best <- optimize(function(t) dense_gp_at(curve$value[i], exp(t), data$y, cbind(1, data$x), at, "exp_quad")$logLik, c(-20, 4), maximum = TRUE, tol = 1e-8)
      expect_equal(curve$logLik[i], best$objective, tolerance = 2e-4)
    }
  }
})

test_that("simulated responses have the mean and the covariance of the model", {
  data <- gp_world(60, 1, "exp_quad", 0.3, seed = 20)
  for (basis in c("exact", "fourier")) {
    fit <- fastlmm_fit(gp_formula(1, "exp_quad", lengthscale = 0.3, basis = basis), data)
    draws <- as.matrix(simulate(fit, 4000, seed = 1))
    V <- fit$sigma2 * gp_matrix(gp_places(data), "exp_quad", 0.3) + diag(fit$sigma2_e, 60)
    expect_lt(max(abs(rowMeans(draws) - model.matrix(fit) %*% fixef(fit)) / sqrt(diag(V) / 4000)), 4.5)
    expect_lt(max(abs(cov(t(draws)) - V)) / V[1], 5 * sqrt(2 / 4000))
    expect_identical(simulate(fit, 2, seed = 3), simulate(fit, 2, seed = 3))
  }
})
