# Predictions of gp() fits: missing cells, blocks, targets far away; what else of a fit is asked for by name. The definition is the dense normal of helper-gp.R.

few <- gp_world(60, 2, "matern52", 0.3, seed = 5)
few$g <- gl(6, 10)
few$b <- few$y + rnorm(60)
exact <- fastlmm_fit(y ~ x + gp(u, v), few)
fits <- list(
  exact = exact, joint = fastlmm_fit(y ~ x + gp(u, v) + (1 | g), few), fourier = fastlmm_fit(y ~ x + gp(u, cov = "exp_quad", basis = "fourier"), few),
  fourier_group = fastlmm_fit(y ~ x + gp(u, cov = "exp_quad", basis = "fourier") + (1 | g), few), many = fastlmm_fit(cbind(y, b) ~ x + gp(u, v), few)
) |> suppressMessages()

test_that("a row of newdata with a missing cell is NA, and the others are what they were", {
  for (name in names(fits)) {
    fit <- fits[[name]]
    whole <- predict(fit, few[1:4, ], se.fit = TRUE)
    new <- few[1:4, ]
    new$u[2] <- NA
    new$x[3] <- NA
    found <- predict(fit, new, se.fit = TRUE)
    for (part in c("fit", "se.fit")) {
      expect_equal(as.matrix(found[[part]])[c(1, 4), ], as.matrix(whole[[part]])[c(1, 4), ], label = paste(name, part))
      expect_true(all(is.na(as.matrix(found[[part]])[2:3, ])), label = paste(name, part))
    }
    nothing <- replace(few[1:4, ], "u", list(rep(NA, 4)))
    expect_true(all(is.na(unlist(predict(fit, nothing, se.fit = TRUE)[c("fit", "se.fit")]))), label = name)
    expect_equal(NROW(predict(fit, new, na.action = na.omit)), 2, label = name)
    expect_error(predict(fit, new, na.action = na.fail), class = "fastlmm_error", label = name)
  }
})

test_that("many targets are predicted by blocks, as by the definition", {
  expect_lt(fastlmm:::cross_block(500) * 500, 5e6)
  new <- data.frame(u = runif(9), v = runif(9), x = rnorm(9))
  dense <- dense_gp_predict(dense_gp_of(exact, gp_places(few)), cbind(1, new$x), gp_places(new))
  beside <- predict(fits$joint, cbind(new, g = few$g[1:9]), se.fit = TRUE)
  # a block and a bit, 4e6 / 60 targets each
  rows <- rep(1:9, length.out = 70000)
  found <- predict(exact, new[rows, ], se.fit = TRUE)
  expect_equal(unname(found$fit), dense$fit[rows])
  expect_equal(unname(found$se.fit), dense$se.fit[rows])
  many <- predict(fits$joint, cbind(new, g = few$g[1:9])[rows, ], se.fit = TRUE)
  expect_equal(unname(many$fit), unname(beside$fit)[rows])
  expect_equal(unname(many$se.fit), unname(beside$se.fit)[rows])
})

test_that("targets farther than ten length scales from every row are told of once, with both ranges", {
  at <- c(seq(0, 1, length.out = 30), seq(40, 41, length.out = 30))
  gap <- data.frame(u = at, y = sin(8 * at) + 0.1 * rnorm(60))
  gap$b <- gap$y + 0.1 * rnorm(60)
  fit <- fastlmm_fit(y ~ gp(u, lengthscale = 0.3), gap)
  far <- function(u) {
    said <- capture_messages(predict(fit, data.frame(u = u)))
    length(said)
  }
  expect_equal(vapply(c(-2.9, 0.5, 3.9, 37.5, 43.9), far, 0), rep(0, 5))
  # certain from twenty on, wherever the cells begin
  expect_equal(vapply(c(-1e6, -7, 20, 48, 1e9), far, 0), rep(1, 5))
  expect_message(
    predict(fit, data.frame(u = c(0.5, 2000))), "1 row of newdata lies .* from 0 to 41 in the fit and from 0.5 to 2000 in newdata",
    class = "fastlmm_message_gp_far"
  )
  several <- fastlmm_fit(cbind(y, b) ~ gp(u, lengthscale = 0.3), gap)
  for (se in c(FALSE, TRUE)) expect_length(capture_messages(predict(several, data.frame(u = 2000), se.fit = se)), 1)
  expect_no_message(predict(fit, gap))
  expect_no_message(predict(fit, data.frame(u = 2000), re.form = NA))
})

test_that("cells tell near from far in three dimensions", {
  set.seed(2)
  own <- matrix(runif(60, 0, 10), 20)
  targets <- matrix(runif(900, -3, 13), 300)
  reach <- c(1, 0.5, 2)
  apart <- sapply(1:20, function(i) apply(abs(sweep(sweep(targets, 2, own[i, ]), 2, reach, "/")), 1, max))
  found <- fastlmm:::is_far(own, targets, reach)
  expect_false(any(found & apply(apart, 1, min) < 1))
  expect_true(all(found[apply(apart, 1, min) > 2]))
})

test_that("errors of standard deviations are those of the information of the dense model", {
  for (fit in fits[c("exact", "fourier")]) {
    at <- as.matrix(few[if (ncol(fit$gp$box) == 2) c("u", "v") else "u"])
    minus <- function(t) -dense_joint_at(exp(t[1]), c(exp(t[2]), 0), exp(t[3]), few$y, cbind(1, few$x), at, fit$gp$cov, list(diag(60)))$logLik
    optimum <- log(c(fit$lengthscale[[1]], fit$sigma2, fit$sigma2_e))
    errors <- sqrt(diag(solve(optimHess(optimum, minus, control = list(ndeps = rep(1e-3, 3))))))
    found <- tidy(fit, "ran_pars")
    expect_equal(found$std.error, c(found$estimate[1:2] * errors[2:3] / 2, found$estimate[3] * errors[1]), tolerance = 0.02)
    expect_equal(tidy(fit, "ran_pars", scales = "vcov")$std.error[1:2], c(fit$sigma2, fit$sigma2_e) * errors[2:3], tolerance = 0.02)
  }
  joint <- tidy(fits$joint, "ran_pars")
  expect_equal(joint$std.error[1:3], unname(c(fits$joint$se$sigma2, fits$joint$se$sigma2_e)) / (2 * joint$estimate[1:3]))
})

test_that("the other likelihood and the table of terms are those of the definition on every route", {
  for (name in c("exact", "joint", "fourier", "fourier_group")) {
    fit <- fits[[name]]
    at <- as.matrix(few[if (ncol(fit$gp$box) == 2) c("u", "v") else "u"])
    group <- if (length(fit$random) > 1) list(outer(few$g, few$g, "==") + 0)
    V <- fit$sigma2[[1]] * gp_matrix(at, fit$gp$cov, fit$lengthscale[[1]]) + fit$sigma2_e * diag(60)
    for (part in group) V <- V + fit$sigma2[[2]] * part
    X <- cbind(1, few$x)
    R <- chol(V)
    b <- backsolve(R, few$y, transpose = TRUE)
    A <- backsolve(R, X, transpose = TRUE)
    left <- sum(qr.resid(qr(A), b)^2)
    # by ML all variances take the one factor that is best
    scale <- left / 60
    ml <- -(60 * log(2 * pi) + 2 * sum(log(diag(R))) + 60 * log(scale) + 60) / 2
    expect_equal(as.numeric(logLik(fit, REML = FALSE)), ml, tolerance = if (grepl("fourier", name)) 1e-4 else 1e-8, label = name)
    sequential <- qr.qty(qr(A), b)[2]^2
    expect_equal(anova(fit)[["F value"]], sequential, tolerance = if (grepl("fourier", name)) 1e-3 else 1e-7, label = name)
  }
})

test_that("components of a fit have names or a reason", {
  for (name in c("exact", "joint", "fourier", "fourier_group")) {
    fit <- fits[[name]]
    all <- getME(fit, "ALL")
    expect_equal(all$mu, unname(fitted(fit)), label = name)
    expect_equal(all$lengthscale, fit$lengthscale, label = name)
    expect_equal(unname(all$theta), unname(sqrt(fit$sigma2 / fit$sigma2_e)), label = name)
    K <- if (is.list(all$K)) all$K[[1]] else all$K
    expect_equal(unname(K), gp_matrix(unname(as.matrix(few[if (ncol(fit$gp$box) == 2) c("u", "v") else "u"])), fit$gp$cov, fit$lengthscale[[1]]), label = name)
    for (lacking in fastlmm:::process_lacks) expect_error(getME(fit, lacking), class = "fastlmm_error_component", label = paste(name, lacking))
  }
  box <- gp_basis(0, 1, lengthscale = c(0.2, 1), cov = "exp_quad")
  table <- suppressMessages(fastlmm_fit(gp_accumulate(y ~ x + gp(u), few, box)))
  expect_equal(getME(table, "fixef"), table$coefficients)
  expect_error(getME(table, "X"), class = "fastlmm_error_no_rows_kept")
  expect_gt(length(getME(table, "ALL")), 10)
})

test_that("zeta changes its sign at the estimate, and profiles are those of the likelihood with a variance held, however small", {
  d <- quakes[1:200, ]
  fit <- suppressMessages(fastlmm_fit(mag ~ depth + gp(long, lat), d))
  curves <- as.data.frame(suppressMessages(profile(fit)))
  for (curve in split(curves, curves$.par)) {
    curve <- curve[order(curve$value), ]
    expect_identical(curve$.zeta < 0, seq_len(nrow(curve)) <= sum(curve$.zeta < 0), info = as.character(curve$.par[1]))
    expect_true(all(abs(2 * (as.numeric(logLik(fit)) - curve$logLik) - curve$.zeta^2) < 0.02))
  }
  X <- cbind(1, d$depth)
  deviance <- function(lengthscale, sigma2, noise) {
    V <- sigma2 * gp_matrix(as.matrix(d[c("long", "lat")]), fit$gp$cov, lengthscale) + diag(noise, 200)
    R <- chol(V)
    y <- backsolve(R, d$mag, transpose = TRUE)
    design <- qr(backsolve(R, X, transpose = TRUE))
    198 * log(2 * pi) + 2 * sum(log(diag(R))) + 2 * sum(log(abs(diag(qr.R(design))))) + sum(qr.resid(design, y)^2)
  }
  held <- function(noise) {
    starts <- list(log(c(fit$lengthscale[[1]], fit$sigma2[[1]])), log(c(0.05, 0.15)), log(c(0.2, 0.15)))
    min(vapply(starts, function(start) optim(start, function(p) tryCatch(deviance(exp(p[1]), exp(p[2]), noise), error = function(e) 1e10))$value, 0))
  }
  curve <- curves[curves$.par == ".sigma2", ]
  expect_gt(nrow(curve), 10)
  for (i in c(2, which.min(abs(curve$value - 0.08)))) expect_equal(-2 * curve$logLik[i], held(curve$value[i]), tolerance = 1e-3)
})
