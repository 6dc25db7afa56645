# Predictions of the sampler: means, intervals and draws, against normal distributions written out.

predict_world <- function(n = 30, new = 8) {
  set.seed(7)
  ids <- sprintf("i%02d", seq_len(n + new))
  W <- matrix(rnorm((n + new) * 40), n + new, dimnames = list(ids, NULL))
  K <- 2 * tcrossprod(W) / 40
  effect <- drop(W %*% rnorm(40)) / sqrt(40)
  data <- data.frame(id = ids, x = rnorm(n + new), z = runif(n + new, 0.5, 1.5))
  # records of an id, and relatives among the new ids
  data <- rbind(data[1:n, ], data[1:10, ], data[n + seq_len(new), ], data[n + 1, ])
  data$x <- rnorm(nrow(data))
  rows <- nrow(data)
  factor <- effect[match(data$id, ids)] + rnorm(rows, sd = 0.7)
  data$Y <- outer(factor, c(a = 2, b = -1, c = 1)) + 50 + data$x + matrix(rnorm(3 * rows), rows)
  rownames(data) <- NULL
  list(data = data, K = K, old = data[seq_len(n + 10), ], new = data[-seq_len(n + 10), ])
}

predict_fit <- function(world, formula = Y ~ x + (1 | id), ..., factors = ~ 1) quiet_slam(
  formula, world$old, world$K, factors = factors, n_factors = 2, chains = 2, iter = 80, warmup = 40, seed = 1, ...
)

# Z K Z' over the mean diagonal of the fit, of the fit's rows and others
predict_kernel <- function(world, fit, rows = world$new, z = 1) {
  id <- c(fit$frame$id, rows$id)
  if (is.null(fit$frame$id)) id <- c(world$old$id, rows$id)
  z * world$K[id, id] * rep(z, each = length(id)) / fit$basis$mean_diag
}

fixed_of <- function(fit, rows) c(predict(fit, rows, re.form = NA))

times <- some_draws(2000)

test_that("new rows: means, effects and responses of one draw are normal as written out", {
  world <- predict_world()
  for (formula in list(Y ~ x + (1 | id), Y ~ x + (0 + z | id))) {
    fit <- slam_repeated(predict_fit(world, formula, factors = ~ x), 17, times)
    slope <- if (identical(formula, Y ~ x + (1 | id))) 1 else c(world$old$z, world$new$z)
    dense <- slam_dense(fit, predict_kernel(world, fit, z = slope))
    fixed <- fixed_of(fit, world$new)
    expect_equal(c(predict(fit, world$new)), fixed + dense$mean)
    flat <- function(all) matrix(all, prod(dim(all)[1:2]))
    effects <- predict(fit, world$new, draws = TRUE)
    expect_equal(dim(effects), c(9, 3, times))
    expect_equal(dimnames(effects)[1:2], list(rownames(world$new), c("a", "b", "c")))
    expect_normal(flat(effects), fixed + dense$mean, dense$u)
    expect_normal(flat(predict(fit, world$new, draws = TRUE, interval = "prediction")), fixed + dense$mean, dense$y)
  }
})

test_that("intervals and standard deviations are those of the draws, whatever the number of rows", {
  world <- predict_world()
  fit <- predict_fit(world)
  for (interval in c("confidence", "prediction")) {
    found <- predict(fit, world$new, interval = interval, level = 0.8, se.fit = TRUE)
    all <- predict(fit, world$new, interval = interval, draws = TRUE)
    expect_equal(found$fit[, , "fit"], predict(fit, world$new))
    expect_equal(found$fit[, , "lwr"], apply(all, 1:2, quantile, 0.1), ignore_attr = TRUE)
    expect_equal(found$fit[, , "upr"], apply(all, 1:2, quantile, 0.9), ignore_attr = TRUE)
    expect_equal(found$se.fit, apply(all, 1:2, sd), ignore_attr = TRUE)
  }
  many <- world$new[rep(1:9, 40), ]
  expect_equal(predict(fit, many, interval = "prediction")[1:300, , "upr"], predict(fit, many[1:300, ], interval = "prediction")[, , "upr"], ignore_attr = TRUE)
  # the same call, the same numbers; those of R go on
  set.seed(3)
  first <- predict(fit, world$new, interval = "prediction")
  after <- runif(1)
  set.seed(3)
  expect_identical(after, runif(1))
  expect_identical(predict(fit, world$new, interval = "prediction"), first)
  own <- predict(fit, interval = "confidence")
  expect_equal(own[, , "fit"], fitted(fit), ignore_attr = TRUE)
  expect_true(all(own[, , "lwr"] < own[, , "upr"]))
})

test_that("rows of the fit: draws of fitted values and effects", {
  world <- predict_world()
  fit <- slam_repeated(predict_fit(world), 60, times)
  again <- slam_dense(fit, predict_kernel(world, fit, world$old))
  all <- fitted(fit, draws = TRUE)
  expect_normal(matrix(all, ncol = times), fixed_of(fit, world$old) + again$mean, again$u)
  expect_equal(c(fitted(fit)), fixed_of(fit, world$old) + again$mean)
  ids <- data.frame(id = rownames(world$K))
  dense <- slam_dense(fit, predict_kernel(world, fit, ids))
  effects <- ranef(fit, draws = TRUE)$id
  expect_equal(dimnames(effects)[1:2], list(ids$id, c("a", "b", "c")))
  expect_normal(matrix(effects, ncol = times), dense$mean, dense$u)
  expect_equal(c(ranef(fit)$id), dense$mean)
  found <- ranef(fit, condVar = TRUE, which = "observed")$id
  expect_equal(rownames(found), unique(world$old$id))
  variance <- attr(found, "postVar")
  expect_equal(dim(variance), c(3, 3, 30))
  at <- which(ids$id == rownames(found)[5]) + c(0, 38, 76)
  expect_equal(unname(variance[, , 5]), dense$u[at, at], tolerance = 0.1)
})

test_that("what was observed in new rows conditions the rest", {
  world <- predict_world()
  several <- predict_fit(world, factors = ~ x)
  fit <- slam_repeated(several, 25, times)
  # means of a draw are those of any number of its copies
  few <- slam_repeated(several, 25, 3)
  dense <- slam_dense(fit, predict_kernel(world, fit))
  fixed <- fixed_of(few, world$new)
  world$new$Y[c(2, 5), "a"] <- NA
  world$new$Y[9, "b"] <- NA
  y <- c(world$new$Y[, 1:2], rep(NA, 9))
  seen <- which(!is.na(y))
  gain <- function(C) C[, seen] %*% solve(dense$y[seen, seen])
  # covariance of u with y is that of u
  conditional <- function(C) list(
    mean = drop(fixed + dense$mean + gain(C) %*% (y[seen] - (fixed + dense$mean)[seen])),
    covariance = (if (identical(C, dense$y)) dense$y else dense$u) - gain(C) %*% t(C[, seen])
  )
  response <- conditional(dense$y)
  given <- c("a", "b")
  found <- predict(few, world$new, given = given)
  expect_equal(c(found), response$mean)
  expect_equal(found[!is.na(world$new$Y)[, 1], 1], world$new$Y[!is.na(world$new$Y)[, 1], 1], ignore_attr = TRUE)
  flat <- function(all) matrix(all, 27)
  all <- flat(predict(fit, world$new, given = given, draws = TRUE))
  expect_lt(max(apply(all[seen, ], 1, sd)), 1e-9)
  expect_normal(all[-seen, ], response$mean[-seen], response$covariance[-seen, -seen])
  expected <- conditional(dense$u)
  around <- predict(few, world$new, given = given, interval = "confidence")
  expect_equal(c(around[, , "fit"]), expected$mean)
  expect_normal(flat(predict(fit, world$new, given = given, interval = "confidence", draws = TRUE)), expected$mean, expected$covariance)
  # responses that are not named are not looked at; columns of their names will do
  expect_equal(predict(few, world$new), predict(few, world$new[c("id", "x")]))
  columns <- data.frame(world$new[c("id", "x")], b = world$new$Y[, "b"], a = world$new$Y[, "a"])
  expect_equal(predict(few, columns, given = c("a", "b")), found)
  # one row, one response
  one <- predict(few, world$new[1, ], given = "c", interval = "prediction")
  expect_equal(unname(one[1, 3, ]), rep(world$new$Y[1, "c"], 3))
})

test_that("equations of cells and of factors have one solution", {
  world <- predict_world()
  fit <- slam_repeated(predict_fit(world), 12, 1)
  d <- fastlmm:::scaled_draw(fit, 1)
  rows <- fastlmm:::slam_rows(fit, world$new, fit$random, NULL, FALSE, na.pass)
  left <- matrix(rnorm(27), 9)
  left[2, 1] <- left[5:6, 3] <- NA
  parts <- fastlmm:::conditional_parts(fastlmm:::rows_target(fit, rows), list(at = 1:3, values = left))
  prior <- list(factors = matrix(rnorm(18), 9), own = matrix(rnorm(27), 9))
  expect_equal(fastlmm:::by_cells(d, left, parts)(prior, FALSE), fastlmm:::by_factors(d, left, parts)(prior, FALSE))
  # and what they draw has one covariance
  set.seed(1)
  draws <- lapply(list(fastlmm:::by_cells(d, left, parts), fastlmm:::by_factors(d, left, parts)), function(solve) replicate(times, unlist(solve(prior, TRUE))))
  size <- rowMeans(vapply(draws, apply, numeric(45), 1, sd)) + 1e-9
  expect_lt(max(abs(cov(t(draws[[1]])) - cov(t(draws[[2]]))) / outer(size, size) * (outer(size, size) > 1e-12)), 5 * 2 / sqrt(times))
})

test_that("rows do not depend on others that they are not related to, nor on the order", {
  world <- predict_world()
  fit <- predict_fit(world)
  found <- predict(fit, world$new, given = "a")
  expect_equal(predict(fit, world$new[9:1, ], given = "a")[9:1, ], found, ignore_attr = TRUE)
  expect_gt(max(abs(found[1, ] - predict(fit, world$new[1, ], given = "a"))), 1e-6)
  # without random effects rows have nothing to do with each other
  alone <- predict(fit, world$new, given = "a", re.form = NA)
  expect_equal(predict(fit, world$new[1, ], given = "a", re.form = NA), alone[1, , drop = FALSE])
  expect_gt(mean(abs(alone[, "b"] - predict(fit, world$new, re.form = NA)[, "b"])), 0.01)
  none <- quiet_slam(Y ~ x + (1 | id), world$old, world$K, n_factors = 0, chains = 1, iter = 40, warmup = 20, seed = 1)
  expect_equal(predict(none, world$new, given = "a")[, "b"], predict(none, world$new)[, "b"])
})

test_that("ids outside the kernel of the fit: a joint kernel, a factor, none", {
  world <- predict_world()
  inside <- world
  inside$K <- world$K[1:30, 1:30]
  fit <- predict_fit(inside)
  expect_error(predict(fit, world$new, interval = "prediction"), class = "fastlmm_error_new_levels")
  joint <- predict(fit, world$new, K = world$K, interval = "prediction")
  whole <- predict(predict_fit(world), world$new, interval = "prediction")
  expect_equal(joint, whole, tolerance = 1e-6)
  expect_error(predict(fit, world$new, K = world$K[31:38, 1:30], interval = "prediction"), "among the new ids", class = "fastlmm_error_k_diag")
  unknown <- predict(fit, transform(world$new, x = 0), allow.new.levels = TRUE, draws = TRUE)
  expect_gt(cor(unknown[1, 1, ], unknown[9, 1, ]), 0.99)
  expect_lt(abs(cor(unknown[1, 1, ] - fixef(fit, draws = TRUE)[1, 1, ], unknown[2, 1, ] - fixef(fit, draws = TRUE)[1, 1, ])), 0.4)
  W <- matrix(rnorm(38 * 5), 38, dimnames = list(rownames(world$K), NULL))
  by_factor <- predict_fit(list(old = world$old, K = kernel_lowrank(W[1:30, ])))
  matrix <- predict_fit(list(old = world$old, K = tcrossprod(W)))
  new <- predict(by_factor, world$new, K = kernel_lowrank(W), given = "a", interval = "confidence")
  expect_true(all(new[, , "lwr"] <= new[, , "upr"]))
  expect_equal(dim(predict(matrix, world$new, draws = TRUE)), c(9, 3, 80))
})

test_that("missing cells that were integrated out are drawn, and effects given what was observed", {
  world <- predict_world()
  whole <- world$old$Y
  world$old$Y[1:8, 1] <- NA
  world$old$Y[6:12, 2] <- NA
  several <- predict_fit(world, missing = "integrate")
  fit <- slam_repeated(several, 31, times)
  few <- slam_repeated(several, 31, 3)
  expect_gt(length(fit$data$sets), 0)
  dense <- slam_dense(fit, predict_kernel(world, fit))
  expected <- fixed_of(few, world$new) + dense$mean
  expect_equal(c(predict(few, world$new)), expected)
  expect_normal(matrix(predict(fit, world$new, draws = TRUE), 27), expected, dense$u)
  given <- predict(few, world$new, given = "c")
  seen <- 19:27
  expect_equal(c(given), drop(expected + dense$y[, seen] %*% solve(dense$y[seen, seen], world$new$Y[, "c"] - expected[seen])))
  cells <- posterior_cells(fit, draws = TRUE)
  expect_equal(dim(cells), c(15, times))
  filled <- posterior_cells(few)
  own <- dense_cells(fit, predict_kernel(world, fit)[1:40, 1:40])
  expect_normal(cells, own$mean, own$covariance)
  expect_equal(filled[is.na(world$old$Y)], own$mean)
  expect_gt(cor(rowMeans(posterior_cells(several, draws = TRUE))[1:8], whole[1:8, 1]), 0.5)
})

test_that("rows with missing values, offsets, and answers that are refused", {
  world <- predict_world()
  fit <- predict_fit(world, Y ~ x + offset(100 * z) + (1 | id))
  holes <- world$new
  holes$x[2] <- NA
  found <- predict(fit, holes, interval = "prediction")
  expect_true(all(is.na(found[2, , ])) && !anyNA(found[-2, , ]))
  expect_equal(dim(predict(fit, holes, interval = "prediction", na.action = na.omit)), c(8, 3, 3))
  expect_equal(predict(fit, holes, given = "a")[-2, "a"], holes$Y[-2, "a"], ignore_attr = TRUE)
  expect_equal(dim(predict(fit, world$new[0, ], interval = "prediction")), c(0, 3, 3))
  expect_error(predict(fit, given = "a"), "no newdata", class = "fastlmm_error_given")
  expect_error(predict(fit, world$new[c("id", "x", "z")], given = c("a", "b")), "\"a\", \"b\"", class = "fastlmm_error_given")
  expect_error(predict(fit, world$new, given = "d"), class = "fastlmm_error_traits")
  holes$Y[1, 1] <- Inf
  expect_error(predict(fit, holes, given = "a"), "not finite", class = "fastlmm_error_given")
  expect_error(predict(fit, data.frame(world$new[c("id", "x", "z")], a = "text"), given = "a"), "not numeric", class = "fastlmm_error_given")
  expect_error(fastlmm:::check_answer_memory(100, 10, 1000, 1e6), "1,000 draws of 100 rows and 10 responses", class = "fastlmm_error_memory")
})

test_that("a random effect that cannot be told is in the width of predictions, and in nothing else", {
  world <- predict_world()
  once <- world$old[1:30, ]
  fit <- suppressWarnings(quiet_slam(Y ~ x + (1 | id), once, n_factors = 2, chains = 2, iter = 200, warmup = 50, seed = 1))
  expect_equal(fitted(fit, draws = TRUE)[, "a", ], fit$X %*% fixef(fit, draws = TRUE)[, "a", ], ignore_attr = TRUE)
  found <- predict(fit, world$new, interval = "prediction", se.fit = TRUE, allow.new.levels = TRUE)
  expect_equal(found$se.fit[, "a"]^2, rep(P(fit)["a", "a"], 9), tolerance = 0.3, ignore_attr = TRUE)
  # factor analysis: others of the row say something
  with <- predict(fit, world$new, given = c("b", "c"), allow.new.levels = TRUE)[, "a"]
  without <- predict(fit, world$new, allow.new.levels = TRUE)[, "a"]
  expect_lt(mean((with - world$new$Y[, "a"])^2), mean((without - world$new$Y[, "a"])^2))
})

test_that("a given vector is no response of several, and numbers of responses are whole", {
  world <- predict_world()
  fit <- predict_fit(world)
  new <- world$new
  new$Y <- new$Y[, 1]
  for (given in c("a", "b")) expect_error(predict(fit, new, given = given), "no values of the given", class = "fastlmm_error_given")
  world$old$Y <- world$old$Y[, 1]
  one <- quiet_slam(Y ~ x + (1 | id), world$old, world$K, n_factors = 1, chains = 1, iter = 40, warmup = 20, seed = 1)
  expect_equal(c(predict(one, new, given = 1)), new$Y)
  for (traits in list(1.5, TRUE, c(TRUE, TRUE))) {
    expect_error(predict(fit, world$new, given = traits), "whole numbers", class = "fastlmm_error_traits")
    expect_error(G(fit, traits = traits), "whole numbers", class = "fastlmm_error_traits")
  }
})

test_that("rows whose mean is not estimable say nothing of their relatives", {
  world <- predict_world()
  world$old$twice <- 2 * world$old$x
  fit <- suppressMessages(predict_fit(world, Y ~ x + twice + (1 | id)))
  new <- world$new[c(1, 9, 2), ]
  new$twice <- 2 * new$x + c(1000, 0, 0)
  expect_warning(found <- predict(fit, new, given = "a"), class = "fastlmm_warning_not_estimable")
  expect_true(all(is.na(found[1, ])))
  expect_equal(found[-1, ], predict(fit, new[-1, ], given = "a"))
})

test_that("a seed gives other draws, and the same again", {
  set.seed(1)
  data <- data.frame(id = rep(paste0("i", 1:12), 3))
  data$y <- rpois(36, 3)
  fit <- quiet_slam(y ~ 1 + (1 | id), data, family = poisson(), n_factors = 0, chains = 1, iter = 60, seed = 1)
  new <- data.frame(id = c("i1", "new"))
  ask <- function(...) predict(fit, new, allow.new.levels = TRUE, ...)
  expect_identical(ask(), ask(seed = NULL))
  expect_identical(ask(seed = 5), ask(seed = 5))
  expect_false(identical(ask(seed = 5), ask()))
  # the draws differ, what they are draws of does not
  expect_equal(ask(seed = 5), ask(), tolerance = 0.5)
  expect_error(ask(seed = "a"), class = "fastlmm_error_seed")
})
