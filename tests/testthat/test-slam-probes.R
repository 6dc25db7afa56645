# slam_probes(): the draws are tested in Rust; here the way from columns to genes and back, units, limits, and what is refused.

probe_world <- function(n = 120, seed = 1) {
  set.seed(seed)
  id <- sprintf("i%02d", rep(1:30, length.out = n))
  x <- rnorm(n)
  effect <- matrix(rnorm(60), 30) %*% matrix(c(1, 0.5, 0.5, 1), 2)
  eta <- effect[match(id, unique(id)), ] + outer(x, c(0.5, -0.3)) + matrix(rnorm(2 * n, sd = 0.6), n)
  map <- c(a1 = "a", b1 = "b", a2 = "a", a3 = "a", b2 = "b")
  level <- c(8, 5, 9, 10, 7)
  sd <- c(0.2, 0.4, 0.5, 0.9, 0.4)
  M <- sapply(seq_along(map), function(l) level[l] + eta[, match(map[l], c("a", "b"))] + sd[l] * rnorm(n))
  colnames(M) <- names(map)
  M[cbind(c(3, 3, 3, 10), c(1, 3, 4, 2))] <- NA
  data <- data.frame(id, x)
  data$M <- M
  list(data = data, map = map, eta = eta, level = level, sd = sd)
}

test_that("means and noise of columns are those that made the data", {
  w <- probe_world(400)
  fit <- quiet_slam(slam_probes(M, w$map) ~ x + (1 | id), w$data, chains = 2, iter = 600, seed = 1)
  expect_equal(colnames(fit$Y), c("a", "b"))
  table <- summary(fit)$table
  of <- function(name) table[match(name, table$variable), "mean"]
  at <- function(which) of(paste0(which, "_", names(w$map), "[", w$map, "]"))
  expect_lt(max(abs(at("noise") - w$sd^2)), 0.15)
  centred <- w$level - ave(w$level, w$map)
  expect_lt(max(abs(at("mean") - centred)), 0.15)
  # of each draw the means of a gene sum to 0
  values <- link_values(fit)
  expect_lt(max(abs(colSums(values[grepl("^mean.*\\[a\\]", link_parameters(fit)), ]))), 1e-8)
  expect_gt(min(diag(cor(fitted(fit), w$eta))), 0.85)
  expect_lt(abs(fixef(fit)["x", "a"] - 0.5), 0.15)
  expect_lt(abs(fixef(fit)["(Intercept)", "b"] - mean(w$level[w$map == "b"])), 0.6)
  expect_equal(link_parameters(fit)[1:3], c("mean_a1[a]", "mean_a2[a]", "mean_a3[a]"))
  # a row without data of a gene is a missing cell
  expect_true(is.na(fit$Y[3, "a"]))
  expect_true(is.finite(posterior_cells(fit)[3, "a"]))
  expect_equal(dim(simulate(fit)[[1]]), dim(fit$Y))
  expect_true(all(pp_check(fit, n = 20, seed = 1)$p > 0))
  expect_output(print(fit), "probes (2)", fixed = TRUE)
})

test_that("a number added to a column changes its mean alone, and units change nothing", {
  w <- probe_world()
  fit <- quiet_slam(slam_probes(M, w$map) ~ x + (1 | id), w$data, chains = 1, iter = 60, seed = 1)
  moved <- w$data
  moved$M <- 1024 * sweep(w$data$M, 2, c(3, 0, -5, 0, 64), "+")
  other <- quiet_slam(slam_probes(M, w$map) ~ x + (1 | id), moved, chains = 1, iter = 60, seed = 1)
  expect_equal(h2(other)$h2, h2(fit)$h2, tolerance = 1e-6)
  names <- link_parameters(fit)
  noise <- grepl("^noise", names)
  expect_equal(link_values(other)[noise, ], 1024^2 * link_values(fit)[noise, ], tolerance = 1e-6)
  expect_equal(unname(rowMeans(link_values(other) - 1024 * link_values(fit))[1:3]), 1024 * (c(3, -5, 0) + 2 / 3), tolerance = 1e-6)
})

test_that("one column a gene without noise is that column", {
  w <- probe_world(300)
  Y <- w$data$M[, c("a1", "b1")]
  map <- c(a1 = "a", b1 = "b")
  data <- w$data
  data$Y <- Y
  sure <- quiet_slam(slam_probes(Y, map, noise = fixed_variance(1e-14)) ~ x + (1 | id), data, chains = 2, iter = 800, seed = 1)
  plain <- quiet_slam(Y ~ x + (1 | id), data, chains = 2, iter = 800, seed = 1)
  expect_equal(unname(P(sure)), unname(P(plain)), tolerance = 0.15)
  expect_equal(unname(fixef(sure)), unname(fixef(plain)), tolerance = 0.05)
  at <- which(!is.na(Y[, 1]))
  values <- sure$draws[[1]]$cells[at, 300] * sure$scale$sd[1] + drop(sure$X %*% sure$scale$shift[, 1])[at]
  expect_equal(unname(values), unname(Y[at, 1]), tolerance = 1e-5)
  expect_equal(link_parameters(sure), c("noise_a1[a]", "noise_b1[b]"))
})

test_that("subsets, missing rows, several effects, directories and offsets work", {
  w <- probe_world()
  data <- w$data
  data$block <- rep(letters[1:6], 20)
  data$x[5] <- NA
  data$M[7, ] <- NA
  formula <- slam_probes(M, w$map) ~ x + (1 | id) + (1 | block)
  part <- quiet_slam(formula, data, subset = block != "a", chains = 1, iter = 40, seed = 1)
  kept <- data$block != "a" & !is.na(data$x) & rowSums(!is.na(data$M)) > 0
  expect_equal(nrow(part$Y), sum(kept))
  expect_equal(part$links$b$y, unname(data$M[kept, c("b1", "b2")]))
  expect_equal(dim(model.frame(part)), c(sum(kept), 4))
  dir <- withr::local_tempdir()
  half <- quiet_slam(formula, data, iter = 30, warmup = 20, chains = 2, seed = 1, dir = dir)
  whole <- quiet_slam(formula, data, iter = 45, warmup = 20, chains = 2, seed = 1)
  expect_identical(quiet_chains(extend(restore(dir), 15))$draws, whole$draws)
  data$o <- runif(120)
  # units of both differ in the fifth digit, and chains that differ so part where one takes another point: some draws, not many
  with <- quiet_slam(slam_probes(M, w$map) ~ x + offset(o) + (1 | id), data, chains = 1, iter = 12, seed = 1)
  data$M <- data$M - data$o
  without <- quiet_slam(slam_probes(M, w$map) ~ x + (1 | id), data, chains = 1, iter = 12, seed = 1)
  expect_equal(G(with), G(without), tolerance = 1e-3)
  expect_equal(unname(fitted(with) - with$offset), unname(fitted(without)), tolerance = 1e-3)
})

test_that("rows that are left out do not matter, and a covariate times a number, added to columns, changes no variance", {
  w <- probe_world()
  w$data$M[cbind(1:60, rep(1:5, 12))] <- NA
  formula <- slam_probes(M, w$map) ~ x + (1 | id)
  run <- function(data, ...) quiet_slam(formula, data, chains = 1, iter = 40, seed = 1, ...)
  # an outlier by subset, by a missing covariate, and no such rows
  other <- w$data
  other$M[c(5, 9), ] <- 1e6
  kept <- run(w$data[-c(5, 9), ])
  expect_identical(run(other, subset = -c(5, 9))$draws, kept$draws)
  other$x[c(5, 9)] <- NA
  left <- run(other)
  expect_identical(left$draws, kept$draws)
  expect_identical(left$scale, kept$scale)
  expect_equal(unname(model.frame(left)[[1]]), unname(kept$Y))
  # columns are seen in other rows, whose x is larger
  w$data$x <- w$data$x + (is.na(w$data$M[, 1]) - is.na(w$data$M[, 2])) / 2
  moved <- w$data
  moved$M <- moved$M + 100 * moved$x
  fit <- run(w$data)
  other <- run(moved)
  expect_equal(other$scale$sd, fit$scale$sd, tolerance = 1e-9)
  expect_equal(G(other, draws = TRUE), G(fit, draws = TRUE), tolerance = 1e-6)
  expect_equal(link_values(other), link_values(fit), tolerance = 1e-6)
  expect_equal(unname(fixef(other) - fixef(fit)), matrix(c(0, 100), 2, 2), tolerance = 1e-6)
  # also one of a gene alone, and one beside an offset
  w$data$z <- rnorm(120)
  own <- function(data, ...) quiet_slam(formula, data, cis = list(a = ~z), chains = 1, iter = 40, seed = 1)
  moved <- w$data
  moved$M[, w$map == "a"] <- moved$M[, w$map == "a"] + 100 * moved$z
  expect_equal(G(own(moved), draws = TRUE), G(own(w$data), draws = TRUE), tolerance = 1e-6)
})

test_that("means of columns are least squares beside covariates", {
  set.seed(3)
  M <- matrix(rnorm(120), 30) + rep(c(1, 5, 2, 0), each = 30)
  M[sample(120, 50)] <- NA
  M[4, ] <- NA
  X <- cbind(1, rnorm(30))
  cells <- which(!is.na(M))
  b <- qr.coef(qr(cbind(X[row(M)[cells], ], contr.sum(4)[col(M)[cells], ])), M[cells])[-(1:2)]
  expect_equal(column_means(M, X), unname(c(b, -sum(b))), tolerance = 1e-10)
  expect_equal(column_means(M[, 1, drop = FALSE], X), 0)
  # a column that is seen where a covariate is 1, and nowhere else, has no mean of its own
  apart <- cbind(c(rnorm(5), rep(NA, 5)), c(rep(NA, 5), rnorm(5)))
  expect_equal(column_means(apart, cbind(1, rep(0:1, each = 5))), c(0, 0))
  expect_equal(sum(column_means(apart, matrix(1, 10))), 0)
})

test_that("fitted values are eta's means, and rows without columns are predicted as new ones", {
  w <- probe_world()
  fit <- quiet_slam(slam_probes(M, w$map) ~ x + (1 | id), w$data, chains = 1, iter = 60, seed = 1)
  expect_identical(fitted(fit), predict(fit, type = "link"))
  expect_identical(predict(fit), fitted(fit))
  expect_equal(predict(fit, w$data), fitted(fit), ignore_attr = TRUE)
  new <- predict(fit, interval = "prediction")
  expect_true(all(is.finite(new)))
  expect_identical(new, predict(fit, interval = "prediction"))
  # one column of three has more noise than all, whatever rows newdata has as many of
  width <- function(found) found[, "a", "upr"] - found[, "a", "lwr"]
  few <- w$data
  few$M[1:119, c("a1", "a2")] <- NA
  few <- quiet_slam(slam_probes(M, w$map) ~ x + (1 | id), few, chains = 1, iter = 200, seed = 1)
  expect_gt(mean(width(predict(few, re.form = NA, interval = "prediction"))), mean(width(predict(few, w$data, re.form = NA, interval = "prediction"))))
})

test_that("maps and columns that do not fit are told by name", {
  w <- probe_world()
  M <- w$data$M
  bad <- function(pattern, ..., class = "probes") expect_error(slam_probes(...), pattern, class = paste0("fastlmm_error_", class))
  bad("no gene.*a2", M, w$map[-3])
  bad("names of the columns", M, unname(w$map))
  bad("names of the columns", M, factor(unname(w$map)))
  bad("twice.*a1", M, c(w$map, a1 = "b"))
  bad("no gene.*b1", M, replace(w$map, "b1", NA))
  expect_equal(slam_probes(M, structure(factor(w$map), names = names(w$map))), slam_probes(M, w$map))
  bad("genes have no data.*b", replace(M, cbind(rep(1:120, 2), rep(c(2, 5), each = 120)), NA), w$map)
  bad("have no data.*b2", replace(M, cbind(1:120, 5), NA), w$map)
  bad("infinite.*a2", replace(M, cbind(1, 3), Inf), w$map)
  bad("column names", unname(M), w$map)
  bad("no numbers.*z", data.frame(M, z = "a"), c(w$map, z = "a"))
  bad("noise", M, w$map, 3, class = "prior")
  bad("noise has no value.*b1", M, w$map, fixed_variance(c(a1 = 1, a2 = 1, a3 = 1, b2 = 2)), class = "prior")
  expect_error(fastlmm_fit(slam_probes(M, w$map) ~ x + (1 | id), w$data), "slamglmm_fit", class = "fastlmm_error_response_type")
  expect_error(quiet_slam(slam_probes(M, w$map) ~ x + (1 | id), w$data, family = list(a = poisson())), "no other family.*a", class = "fastlmm_error_family")
  expect_error(quiet_slam(slam_probes(M, w$map) ~ x + (1 | id), w$data, family = poisson()), "no other family", class = "fastlmm_error_family")
})
