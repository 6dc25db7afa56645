# Deletions by generalised least squares of the rows that are left, with the covariance of the fit: explicit n x n matrices.
explicit_covariance <- function(fit) {
  one <- function(random, sigma2) {
    at <- random$index[random$group]
    K <- if (is_process(random$kernel)) process_matrix(fit) else if (is_lowrank(random$kernel)) as.matrix(
      Matrix::tcrossprod(random$kernel$W)
    )[at, at] else if (is.null(random$kernel)) diag(length(random$ids))[at, at] else as.matrix(random$kernel)[at, at]
    sigma2 * outer(rep_len(random$z, nrow(K)), rep_len(random$z, nrow(K))) * K
  }
  Reduce(`+`, Map(one, fit$random, fit$sigma2)) + diag(fit$sigma2_e / row_weights(fit))
}

row_weights <- function(fit) unname(getME(fit, "weights"))

deleted_fit <- function(fit, V, S) {
  X <- unname(model.matrix(fit)[, fit$kept, drop = FALSE])
  y <- getME(fit, "y") - getME(fit, "offset")
  inverse <- solve(V[-S, -S])
  vcov <- solve(crossprod(X[-S, , drop = FALSE], inverse %*% X[-S, , drop = FALSE]))
  beta <- drop(vcov %*% crossprod(X[-S, , drop = FALSE], inverse) %*% y[-S])
  prediction <- X[S, , drop = FALSE] %*% beta + V[S, -S, drop = FALSE] %*% inverse %*% (y[-S] - X[-S, , drop = FALSE] %*% beta)
  list(beta = beta, vcov = vcov, residual = drop(y[S] - prediction))
}

expect_deletions <- function(fit, groups) {
  V <- explicit_covariance(fit)
  for (by in c(list(NULL), as.list(groups))) {
    found <- influence(fit, groups = by)
    value <- if (is.null(by)) seq_len(nobs(fit)) else as.character(model.frame(fit)[[by]])
    for (i in c(1, 2, length(found$deleted))) {
      S <- which(value == unique(value)[i])
      refit <- deleted_fit(fit, V, S)
      expect_equal(found$dfbeta[i, ], fixef(fit)[fit$kept] - refit$beta, tolerance = 1e-8, ignore_attr = TRUE)
      expect_equal(found$vcov[, , i], refit$vcov, tolerance = 1e-8, ignore_attr = TRUE)
      expect_equal(found$deletion.residuals[S], refit$residual, tolerance = 1e-8, ignore_attr = TRUE)
      expect_equal(dfbetas(found)[i, ], (fixef(fit)[fit$kept] - refit$beta) / sqrt(diag(refit$vcov)), tolerance = 1e-8, ignore_attr = TRUE)
      change <- fixef(fit)[fit$kept] - refit$beta
      expect_equal(cooks.distance(found)[[i]], drop(change %*% solve(vcov(fit), change)) / fit$rank, tolerance = 1e-8)
    }
  }
  P <- local({
    X <- model.matrix(fit)
    inverse <- solve(V)
    inverse - inverse %*% X %*% solve(t(X) %*% inverse %*% X, t(X) %*% inverse)
  })
  expect_equal(hatvalues(fit), 1 - diag(P) * fit$sigma2_e / row_weights(fit), tolerance = 1e-8, ignore_attr = TRUE)
}

test_that("deletions are refits with the variances held, on every route", {
  given <- kernel_data()
  data <- transform(given$data, g = rep(letters[1:5], 15))
  W <- structure(t(chol(given$K)), dimnames = list(rownames(given$K), NULL))
  fits <- list(
    kernel_fit(), kernel_fit("ML"),
    fastlmm_fit(y ~ x + (1 | id), data, K = kernel_lowrank(W[, 1:6])),
    fastlmm_fit(y ~ x + (1 | id), data),
    suppressMessages(fastlmm_fit(y ~ x + (0 + x | id) + (1 | id), data, K = given$K)),
    suppressMessages(fastlmm_fit(y ~ x + (1 | id) + (1 | g), data, K = list(id = given$K), weights = w)),
    suppressMessages(fastlmm_fit(y ~ x + (1 | id) + (1 | g), data))
  )
  for (fit in fits) expect_deletions(fit, "id")
  expect_deletions(fits[[6]], "g")
  expect_deletions(fastlmm_fit(y ~ 1 + (1 | id), data[!duplicated(data$id), ], K = given$K), "id")
  process <- suppressMessages(fastlmm_fit(mag ~ depth + gp(long, lat, lengthscale = 4, basis = "exact"), quakes[1:60, ]))
  expect_deletions(process, NULL)
  joint <- suppressMessages(fastlmm_fit(mag ~ depth + gp(long, lat, lengthscale = 4, basis = "exact") + (1 | g), transform(quakes[1:60, ], g = rep(1:6, 10))))
  expect_deletions(joint, NULL)
})

test_that("a deletion is what fastlmm makes of the other rows at the same variances", {
  skip_if_not_installed("lme4")
  # at h2 = 0 nothing is held but the scale: lm() without the row
  data <- transform(lme4_models()$Dyestuff2$data, x = rep(1:5, 6))
  fit <- suppressMessages(fastlmm_fit(Yield ~ x + (1 | Batch), data))
  linear <- lm(Yield ~ x, data)
  expect_equal(dfbeta(fit), dfbeta(linear), tolerance = 1e-8, ignore_attr = TRUE)
  expect_equal(hatvalues(fit), hatvalues(linear), tolerance = 1e-8)
  expect_equal(rstudent(fit), rstudent(linear), tolerance = 1e-8)
  expect_equal(rstandard(fit), rstandard(linear), tolerance = 1e-8)
  expect_equal(cooks.distance(fit), cooks.distance(linear), tolerance = 1e-8)
  expect_equal(cooks.distance(influence(fit)), cooks.distance(linear), tolerance = 1e-8)
})

test_that("lme4's numbers where it has them", {
  each_lme4_pair(function(pair, label) {
    if (pair$ours$h2 == 0) return(invisible())
    expect_equal(hatvalues(pair$ours), hatvalues(pair$theirs), tolerance = 1e-5, label = label)
    expect_equal(cooks.distance(pair$ours), cooks.distance(pair$theirs), tolerance = 1e-4, label = label)
    expect_equal(rstandard(pair$ours), residuals(pair$theirs, "pearson", scaled = TRUE) / sqrt(1 - hatvalues(pair$theirs)), tolerance = 1e-5, label = label)
  }, methods = "REML")
})

test_that("studentised residuals have the scale of the other rows", {
  fit <- kernel_fit()
  V <- explicit_covariance(fit)
  X <- model.matrix(fit)
  y <- getME(fit, "y") - getME(fit, "offset")
  studentised <- function(i) {
    without <- deleted_fit(fit, V, i)
    inverse <- solve(V[-i, -i])
    r <- y[-i] - X[-i, ] %*% without$beta
    scale <- drop(t(r) %*% inverse %*% r) / (nobs(fit) - fit$rank - 1)
    x <- X[i, ] - V[i, -i] %*% inverse %*% X[-i, ]
    variance <- V[i, i] - drop(V[i, -i] %*% inverse %*% V[-i, i]) + drop(x %*% without$vcov %*% t(x))
    without$residual / sqrt(scale * variance)
  }
  expect_equal(unname(rstudent(fit))[c(1, 7, 75)], vapply(c(1, 7, 75), studentised, 0), tolerance = 1e-8)
})

test_that("shapes, missing rows, and what is refused", {
  skip_if_not_installed("lme4")
  data <- kernel_data()$data
  data$y[4] <- NA
  fit <- fastlmm_fit(y ~ x + (1 | id), data, K = kernel_data()$K, na.action = na.exclude)
  for (verb in list(hatvalues, rstandard, rstudent, cooks.distance)) expect_identical(which(is.na(verb(fit))), c(`4` = 4L))
  expect_identical(dim(dfbetas(fit)), c(75L, 2L))
  found <- influence(fit, "id")
  expect_identical(nrow(as.data.frame(found)), length(unique(data$id)))
  expect_identical(sum(found$size), 74L)
  expect_output(print(found), "Cook's")
  expect_identical(influence(fit, data$id[-4])$dfbeta, found$dfbeta)
  expect_error(influence(fit, "nobody"), class = "fastlmm_error_groups")
  expect_error(influence(fit, 1:3), class = "fastlmm_error_groups")
  # a level that one row alone has
  lone <- fastlmm_fit(y ~ f + (1 | id), transform(data, f = c("z", rep(c("a", "b"), 37))), K = kernel_data()$K)
  expect_true(all(is.na(dfbeta(lone)[1, ])) && !anyNA(dfbeta(lone)[-1, ]))
  expect_error(hatvalues(degenerate_fit("explained_by_kernel")), class = "fastlmm_error_influence")
  process <- fastlmm_fit(mag ~ gp(long, lat), quakes)
  if (process$random[[1]]$kernel$route != "exact") expect_error(influence(process), "exact", class = "fastlmm_error_influence")
  many <- suppressMessages(fastlmm_fit(cbind(angle, temp) ~ recipe + (1 | replicate), lme4::cake))
  for (verb in list(influence, hatvalues, cooks.distance, rstandard, rstudent)) expect_error(verb(many), class = "fastlmm_error_many_responses")
})

test_that("columns have the names of the coefficients on every route, and distances are drawn", {
  for (fit in Filter(function(fit) inherits(fit, "fastlmm") && is.null(projection_reason(fit)), route_fits())) {
    found <- influence(fit)
    for (table in list(dfbeta(found), dfbetas(found), dfbetas(fit))) expect_identical(colnames(table), kept_names(fit))
    expect_identical(dimnames(found$vcov)[1:2], rep(list(kept_names(fit)), 2))
  }
  fit <- fastlmm_fit(distance ~ age + Sex + (1 | Subject), nlme::Orthodont)
  found <- influence(fit, "Subject")
  grDevices::pdf(NULL)
  on.exit(grDevices::dev.off())
  expect_identical(plot(found), found)
  expect_error(plot(found, n = -1), class = "fastlmm_error_n")
  skip_if_not_installed("ggplot2")
  picture <- ggplot2::autoplot(found, n = 3)
  expect_equal(picture$data$value, unname(cooks.distance(found)))
  expect_identical(picture$layers[[3]]$data$deleted, names(sort(cooks.distance(found), decreasing = TRUE))[1:3])
})
