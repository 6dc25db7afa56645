# What the verbs of many responses with a gp() term read from the coefficients that are kept: the definition is the dense model at the estimates of each
# response.

many_verbs_world <- function(n = 90) {
  set.seed(11)
  data <- data.frame(u = runif(n), v = runif(n), x = rnorm(n), w = runif(n, 0.5, 2), o = rnorm(n))
  f <- draw_gp(as.matrix(data[c("u", "v")]), "exp_quad", 0.25)
  data$Y <- f %o% c(a = 1, b = 0.5, c = 0, d = 0) + 0.5 * matrix(rnorm(4 * n), n) / sqrt(data$w) + data$x + data$o
  data$Y[, "c"] <- data$o + cos(40 * data$u) * c(-1, 1)
  data$Y[3:5, "b"] <- NA
  data
}

# Effect of response j at the rows of `new` by its definition
dense_many_effect <- function(fit, data, j, new) {
  used <- !is.na(data$Y[, j])
  at <- as.matrix(data[used, c("u", "v")])
  l <- if (is.na(fit$lengthscale[[j]])) 1 else fit$lengthscale[[j]]
  V <- fit$sigma2[[j]] * gp_matrix(at, fit$gp$cov, l) + diag(fit$sigma2_e[[j]] / data$w[used])
  residual <- (data$Y[, j] - data$o - model.matrix(~x, data) %*% fit$coefficients[, j])[used]
  unname(drop(fit$sigma2[[j]] * gp_matrix(as.matrix(new[c("u", "v")]), fit$gp$cov, l, at) %*% solve(V, residual)))
}

# The single fit of a column at the length scale of the fit of many
gp_column_of <- function(fit, data, j) {
  data$y <- data$Y[, j]
  l <- fit$lengthscale[[j]]
  formula <- bquote(y ~ x + gp(u, v, cov = "exp_quad", lengthscale = .(l), basis = .(fit$gp$route), tol = .(fit$gp$tol)))
  suppressMessages(fastlmm_fit(as.formula(formula), data, weights = w, offset = o))
}

# Evaluates with functions of the package that must not be called
without_searches <- function(code) {
  namespace <- asNamespace("fastlmm")
  forbidden <- c("estimate_gp", "call_gp_many")
  kept <- mget(forbidden, namespace)
  put <- function(name, value) {
    unlockBinding(name, namespace)
    assign(name, value, namespace)
    lockBinding(name, namespace)
  }
  on.exit(for (name in forbidden) put(name, kept[[name]]))
  for (name in forbidden) put(name, function(...) stop("a search"))
  code
}

test_that("fitted(), residuals(), ranef() and predict() are those of the dense model, and search nothing", {
  new <- data.frame(u = c(0.2, 0.5, NA, 0.9), v = c(0.1, 0.7, 0.5, 0.4), x = c(0, 1, 1, NA), o = 1)
  for (basis in c("exact", "fourier")) {
    data <- many_verbs_world(if (basis == "exact") 90 else 300)
    off <- if (basis == "exact") 1e-8 else 0.01
    formula <- as.formula(sprintf("Y ~ x + gp(u, v, cov = 'exp_quad', basis = '%s', tol = 1e-3, range = c(0.4, 1))", basis))
    fit <- suppressMessages(fastlmm_fit(formula, data, weights = w, offset = o))
    verbs <- without_searches(list(
      fitted = fitted(fit), residuals = residuals(fit), ranef = ranef(fit), predict = predict(fit), new = predict(fit, new),
      alone = predict(fit, new, random.only = TRUE)
    ))
    expect_named(verbs$ranef, "gp(u, v)")
    for (j in 1:4) {
      effect <- dense_many_effect(fit, data, j, data)
      mean <- effect + data$o + unname(drop(model.matrix(~x, data) %*% fit$coefficients[, j]))
      seen <- !is.na(data$Y[, j])
      expect_equal(unname(verbs$ranef[[1]][, j]), effect, tolerance = off)
      expect_equal(unname(verbs$fitted[, j]), ifelse(seen, mean, NA), tolerance = off)
      expect_equal(unname(verbs$residuals[, j]), unname(data$Y[, j] - mean), tolerance = off)
      expect_equal(unname(verbs$predict[, j]), mean, tolerance = off)
      expect_equal(
        unname(verbs$new[1:2, j]), dense_many_effect(fit, data, j, new[1:2, ]) + 1 + drop(cbind(1, new$x[1:2]) %*% fit$coefficients[, j]), tolerance = off
      )
      expect_equal(unname(verbs$alone[1:2, j]), dense_many_effect(fit, data, j, new[1:2, ]), tolerance = off)
    }
    expect_true(all(is.na(verbs$new[3:4, ])))
    expect_equal(nrow(predict(fit, new, na.action = na.omit)), 2)
    one <- gp_column_of(fit, data, 2)
    expect_equal(unname(verbs$new[1:2, 2]), unname(predict(one, new[1:2, ])), tolerance = 30 * off)
    expect_equal(unname(predict(fit, new[1:2, ], se.fit = TRUE)$se.fit[, 2]), unname(predict(one, new[1:2, ], se.fit = TRUE)$se.fit), tolerance = 1e-6)
  }
})

test_that("without coefficients the verbs say so, and the estimates are the same", {
  data <- many_verbs_world()
  fit <- suppressMessages(fastlmm_fit(Y ~ x + gp(u, v), data))
  bare <- suppressMessages(fastlmm_fit(Y ~ x + gp(u, v), data, control = fastlmm_control(effects = FALSE)))
  expect_equal(as.data.frame(bare), as.data.frame(fit))
  for (verb in list(fitted, residuals, ranef, predict)) expect_error(verb(bare), class = "fastlmm_error_no_effects")
  expect_equal(predict(bare, re.form = NA), predict(fit, re.form = NA))
})

test_that("the share of variance is SpatialDE's, with Gower's factor of each response's places", {
  for (basis in c("exact", "fourier")) for (weighted in c(FALSE, TRUE)) {
    data <- many_verbs_world(if (basis == "exact") 90 else 300)
    formula <- as.formula(sprintf("Y ~ x + gp(u, v, cov = 'exp_quad', basis = '%s', tol = 1e-3, range = c(0.4, 1))", basis))
    fit <- suppressMessages(if (weighted) fastlmm_fit(formula, data, weights = w) else fastlmm_fit(formula, data))
    for (j in which(fit$h2 > 0)) {
      used <- !is.na(data$Y[, j])
      w <- if (weighted) data$w[used] else rep(1, sum(used))
      K <- gp_matrix(as.matrix(data[used, c("u", "v")]), "exp_quad", fit$lengthscale[[j]])
      part <- fit$sigma2[[j]] * (sum(w) - sum(w * (K %*% w)) / sum(w)) / (sum(used) - 1)
      expect_equal(fit$fsv[[j]], part / (part + fit$sigma2_e[[j]]), tolerance = if (basis == "exact") 1e-8 else 1e-3)
      # the error: curvature of the profile in log delta at this length scale
      if (basis == "exact" && !weighted && j < 3) {
        at <- suppressMessages(
          fastlmm_fit(as.formula(bquote(y ~ x + gp(u, v, cov = "exp_quad", lengthscale = .(fit$lengthscale[[j]])))), transform(data, y = Y[, j]))
        )
        expect_equal(fit$se$fsv[[j]], fit$fsv[[j]] * (1 - fit$fsv[[j]]) * unname(at$se$log_delta), tolerance = 1e-6)
      }
    }
  }
  expect_identical(order(fit$rank), order(fit$log.p, -fit$fsv))
})

test_that("the range of the search is that of single fits, and its ends are told of each response", {
  data <- many_verbs_world()
  data$Y[, "d"] <- 4 * data$u + 0.3 * rnorm(90)
  expect_message(
    suppressMessages(fit <- fastlmm_fit(Y ~ gp(u, v, cov = "exp_quad"), data), classes = "fastlmm_message_boundary"), "long end.*\"d\".*trend",
    class = "fastlmm_message_gp_range"
  )
  nearest <- apply(as.matrix(dist(data[c("u", "v")])) + diag(Inf, 90), 1, min)
  side <- max(diff(range(data$u)), diff(range(data$v)))
  expect_equal(fit$gp$looked_at, unname(c(sort(nearest)[90 %/% 20 + 1] / 2, 3 * side)))
  expect_identical(fit$at_end[["d"]], "long")
  expect_identical(fit$at_end[["a"]], "none")
  short <- suppressMessages(fastlmm_fit(Y ~ gp(u, v, cov = "exp_quad", range = c(0.5, 2)), data))
  expect_identical(as.data.frame(short)$at_end[1], "short")
})

test_that("a response without noise among noisy ones is its single fit, at the floor of delta", {
  set.seed(1)
  data <- data.frame(u = runif(40), v = runif(40))
  data$Y <- cbind(noisy = rnorm(40) + sin(3 * data$u), still = sin(3 * data$u) + data$v^2, weak = 1e-3 * rnorm(40) + data$v^2)
  data$Y <- cbind(data$Y, holes = replace(data$Y[, "still"], 1:3, NA))
  many <- suppressMessages(fastlmm_fit(Y ~ gp(u, v, cov = "exp_quad", lengthscale = 0.6), data))
  for (j in 1:4) {
    one <- suppressMessages(fastlmm_fit(y ~ gp(u, v, cov = "exp_quad", lengthscale = 0.6), transform(data, y = Y[, j])))
    expect_equal(many$logLik[[j]], one$logLik, tolerance = 1e-8)
    expect_identical(many$boundary[[j]], one$optimum$boundary)
    expect_equal(unname(fitted(many)[!is.na(data$Y[, j]), j]), unname(fitted(one)), tolerance = 3e-5)
  }
  expect_identical(many$boundary[["still"]], "delta at its floor")
  expect_lt(max(abs(residuals(many)[, "still"])), 1e-5)
})
