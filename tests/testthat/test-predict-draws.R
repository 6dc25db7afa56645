# The covariance that draws are made from
draw_covariance <- function(fit, new, K = NULL, allow = FALSE, ...) {
  if (inherits(fit, "fastlmm_gp")) return(gp_covariance(fit, gp_targets(fit, new, gp_wanted(fit, NULL), allow)))
  targets <- prediction_targets(fit, new, fit$random, allow)
  sources <- Map(function(one, target, K) new_source(one, unique(target$id), K, allow), fit$random, targets$random, new_kernels(K, fit$random))
  unname(target_covariance(fit, targets, sources, ...))
}

# Of rows of the data and new ones together, from the definition of each model
prior_of_rows <- function(fit, rows, route, given) {
  same <- function(name) outer(as.character(rows[[name]]), as.character(rows[[name]]), "==") + 0
  K <- given$K[rows$id, rows$id]
  x <- cbind(1, rows$x)
  Sigma <- unname(effect_covariance(fit))
  distance <- function(...) as.matrix(dist(rows[c(...)])) / fit$lengthscale
  matern52 <- function(r) (1 + sqrt(5) * r + 5 * r^2 / 3) * exp(-sqrt(5) * r)
  s <- unname(fit$sigma2)
  unname(switch(route,
    identity = s * same("id"), slope = s * same("id") * outer(rows$x, rows$x), kernel = , ml = , weights = , eigen = , levels = , given = s * K,
    lowrank = s * tcrossprod(given$W[rows$id, 1:8]),
    precision = s * as.matrix(given$pedigree)[rows$id, rows$id], product = s * K * same("g"), boundary = 0 * K, mix = s[1] * K + s[2] * same("g"),
    parts = s[1] * K + s[2] * same("id"),
    crossed = s[1] * same("id") + s[2] * same("g"), correlated = same("id") * (x %*% Sigma %*% t(x)), correlated_kernel = K * (x %*% Sigma %*% t(x)),
    precision_mix = s[1] * as.matrix(given$pedigree)[rows$id, rows$id] + s[2] * same("g"), gp = s * matern52(distance("u", "v")),
    gp_joint = s[1] * matern52(distance("u")) + s[2] * K
  ))
}

# Universal kriging, written out
explicit_covariance <- function(fit, new, route, given) {
  rows <- rbind(given$data[names(new)], new)
  n <- nrow(given$data)
  own <- seq_len(n)
  C <- prior_of_rows(fit, rows, route, given)
  V <- C[own, own] + diag(fit$sigma2_e / prior_weights(fit))
  X <- model.matrix(~ x + f, rows)
  P <- C[-own, own] %*% solve(V)
  D <- X[-own, ] - P %*% X[own, ]
  unname(C[-own, -own] - P %*% C[own, -own] + D %*% solve(t(X[own, ]) %*% solve(V, X[own, ])) %*% t(D))
}

test_that("the covariance of predictions is that of universal kriging, on every route, and its diagonal the squared standard errors", {
  given <- route_data()
  new <- transform(given$data[c(1, 2, 30, 50, 26), c("x", "f", "id", "g", "u", "v")], x = x / 2, u = u + 0.05)
  new$f[2] <- "q"
  rownames(new) <- NULL
  for (route in setdiff(names(route_fits()), c("rows", "gp_fourier", "gp_group", "many", "many_mix", "many_gp"))) {
    fit <- route_fits()[[route]]
    found <- draw_covariance(fit, new)
    expect_equal(found, explicit_covariance(fit, new, route, given), tolerance = 1e-6, info = route, ignore_attr = TRUE)
  }
  for (route in setdiff(names(route_fits()), c("many", "many_mix", "many_gp"))) {
    fit <- route_fits()[[route]]
    at <- if (route == "rows") given$data[c(1, 2, 30), ] else new
    expect_equal(unname(diag(draw_covariance(fit, at))), unname(predict(fit, at, se.fit = TRUE)$se.fit)^2, tolerance = 1e-6, info = route)
  }
})

test_that("new ids: those of one name share an effect, a joint kernel tells how others go together", {
  given <- route_data()
  new <- data.frame(x = 0, f = "p", id = c("new", "new", "other", "i1"), g = c("a", "a", "z", "a"))
  for (route in c("identity", "kernel", "lowrank", "mix", "crossed", "correlated", "correlated_kernel")) {
    fit <- route_fits()[[route]]
    found <- draw_covariance(fit, new, allow = TRUE)
    expect_equal(diag(found), unname(predict(fit, new, se.fit = TRUE, allow.new.levels = TRUE)$se.fit)^2, tolerance = 1e-6, info = route)
    expect_equal(found[1, ], found[2, ], tolerance = 1e-8, info = route)
  }
  one <- route_fits()$identity
  expect_equal(draw_covariance(one, new, allow = TRUE)[1, 2], one$sigma2 + vcov(one)[1, 1], ignore_attr = TRUE)
  # as if the kernel of the fit had held them
  few <- given$data[!given$data$id %in% c("i3", "i4"), ]
  small <- setdiff(rownames(given$K), c("i3", "i4"))
  whole <- fastlmm_fit(y ~ x + f + (1 | id), few, K = given$K)
  part <- fastlmm_fit(y ~ x + f + (1 | id), few, K = given$K[small, small])
  at <- data.frame(x = 0:2, f = "p", id = c("i3", "i4", "i1"))
  expect_equal(draw_covariance(part, at, list(id = given$K)), draw_covariance(whole, at), tolerance = 1e-6)
  expect_error(predict(part, at, K = given$K[c("i3", "i4", "i1"), small], k_diag = 1, nsim = 2), "i3", class = "fastlmm_error_k_diag")
})

test_that("draws have their mean and covariance; responses have residuals too", {
  given <- route_data()
  new <- data.frame(x = c(0, 1, 1, NA), f = "p", id = c("i1", "i2", "i1", "i1"), g = "a", u = c(0.2, 0.3, 0.9, 0.5), v = 0.5)
  for (route in c("kernel", "correlated", "mix", "gp", "gp_fourier")) {
    fit <- route_fits()[[route]]
    mean <- predict(fit, new)[1:3]
    for (interval in c("none", "prediction")) {
      draws <- predict(fit, new, nsim = 4000, seed = 1, interval = interval)
      expect_identical(dim(draws), c(4L, 4000L))
      expect_true(all(is.na(draws[4, ])))
      V <- draw_covariance(fit, new[1:3, ]) + (interval == "prediction") * diag(fit$sigma2_e, 3)
      z <- backsolve(chol(V), draws[1:3, ] - mean, transpose = TRUE)
      expect_lt(max(abs(rowMeans(z))), 5 / sqrt(4000))
      expect_lt(max(abs(tcrossprod(z) / 4000 - diag(3))), 5 * sqrt(2 / 4000))
    }
  }
  fit <- route_fits()$kernel
  set.seed(4)
  before <- .Random.seed
  expect_identical(predict(fit, new, nsim = 2, seed = 1), predict(fit, new, nsim = 2, seed = 1))
  expect_identical(.Random.seed, before)
  expect_identical(nrow(predict(fit, new, nsim = 2, na.action = na.omit)), 3L)
  expect_identical(dim(predict(fit, nsim = 2)), c(72L, 2L))
  expect_identical(dim(predict(fit, new[0, ], nsim = 2)), c(0L, 2L))
  population <- predict(fit, new[1:3, ], re.form = NA, nsim = 4000, seed = 2)
  X <- cbind(1, new$x[1:3], 0)
  expect_equal(cov(t(population)), X %*% vcov(fit) %*% t(X), tolerance = 0.1, ignore_attr = TRUE)
  expect_error(predict(fit, new, nsim = 0), class = "fastlmm_error_nsim")
  expect_error(predict(fit, new, nsim = 2, se.fit = TRUE), class = "fastlmm_error_argument")
})

test_that("the best of several ids is found as often as draws say", {
  skip_on_cran()
  set.seed(8)
  ids <- paste0("i", 1:30)
  K <- structure(0.9 * exp(-abs(outer(1:30, 1:30, "-")) / 5) + diag(0.1, 30), dimnames = list(ids, ids))
  root <- t(chol(K))
  data <- data.frame(id = rep(ids[-(1:4)], 2))
  held <- replicate(150, {
    u <- structure(drop(root %*% rnorm(30)), names = ids)
    data$y <- u[data$id] + rnorm(52, sd = 0.7)
    fit <- suppressMessages(fastlmm_fit(y ~ 1 + (1 | id), data, K = K))
    draws <- predict(fit, data.frame(id = ids[1:8]), nsim = 400)
    best <- tabulate(max.col(t(draws)), 8) / 400
    c(told = max(best), found = unname(which.max(best) == which.max(u[1:8])))
  })
  expect_lt(abs(mean(held["told", ]) - mean(held["found", ])), 3 * sqrt(0.25 / 150))
})

test_that("simulate(newdata =) draws a process in other places, and effects beside it", {
  new <- data.frame(x = 0, f = "p", u = c(0.2, 0.25, 0.8), v = 0.5, g = c("new", "new", "a"), id = c("i1", "i2", "i1"))
  K <- route_data()$K
  matern52 <- function(r) (1 + sqrt(5) * r + 5 * r^2 / 3) * exp(-sqrt(5) * r)
  for (route in c("gp", "gp_fourier", "gp_group", "gp_joint")) {
    fit <- route_fits()[[route]]
    names <- if (route == "gp") c("u", "v") else "u"
    V <- fit$sigma2[[1]] * matern52(as.matrix(dist(new[names])) / fit$lengthscale) + diag(fit$sigma2_e, 3)
    if (route == "gp_group") V <- V + fit$sigma2[[2]] * outer(new$g, new$g, "==")
    if (route == "gp_joint") V <- V + fit$sigma2[[2]] * K[new$id, new$id]
    draws <- as.matrix(simulate(fit, 4000, seed = 1, newdata = new)) - predict(fit, new, re.form = NA)
    z <- backsolve(chol(V), draws, transpose = TRUE)
    expect_lt(max(abs(rowMeans(z))), 5 / sqrt(4000))
    expect_lt(max(abs(tcrossprod(z) / 4000 - diag(3))), 5 * sqrt(2 / 4000) + 0.02 * (route %in% c("gp_fourier", "gp_group")))
    new$g <- "a"
    held <- simulate(fit, 4000, seed = 2, newdata = new, re.form = NULL)
    expect_lt(max(abs(rowMeans(held) - predict(fit, new))), 5 * sqrt(fit$sigma2_e / 4000))
    new$g <- c("new", "new", "a")
  }
  expect_true(all(is.na(simulate(fit, newdata = transform(new[1, ], u = NA)))))
})

test_that("many responses: intervals and draws of other rows are those of each response", {
  given <- route_data()
  new <- `rownames<-`(given$data[c(1, 30, 50), ], NULL)
  for (route in c("many", "many_mix", "many_gp")) {
    fit <- route_fits()[[route]]
    for (interval in c("confidence", "prediction")) for (rows in list(NULL, new)) {
      found <- predict(fit, rows, interval = interval, level = 0.9)
      for (j in 1:2) {
        single <- predict(suppressMessages(if (route == "many_gp") gp_column_fit(fit, j) else extract_fit(fit, j)), rows, interval = interval, level = 0.9)
        for (what in c("fit", "lwr", "upr")) expect_equal(unname(found[[what]][, j]), unname(single[, what]), tolerance = 1e-4, info = paste(route, interval))
      }
    }
    expect_identical(names(predict(fit, new, interval = "confidence", se.fit = TRUE)), c("fit", "lwr", "upr", "se.fit", "residual.scale"))
    draws <- simulate(fit, 2000, seed = 1, newdata = new)
    expect_identical(dim(draws[[1]]), c(3L, 2L))
    expect_identical(simulate(fit, 2, seed = 1, newdata = new), simulate(fit, 2, seed = 1, newdata = new))
    first <- vapply(draws, function(draw) draw[1, 1], 0)
    expect_lt(abs(mean(first) - predict(fit, new, re.form = NA)[1, 1]), 5 * sd(first) / sqrt(2000))
  }
  weighted <- fastlmm_fit(cbind(y, y2) ~ x + f + (1 | id), given$data, K = given$K, weights = w)
  found <- predict(weighted, interval = "prediction")
  expect_equal(unname(found$upr[, 2]), unname(predict(extract_fit(weighted, 2), interval = "prediction")[, "upr"]), tolerance = 1e-5)
})
