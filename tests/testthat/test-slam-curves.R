# slam_curves(): the draws are tested in Rust; here bases, the way from points to coefficients and back, units, limits, and what is refused.

curve_world <- function(n = 60, seed = 1, noise = 0.3) {
  set.seed(seed)
  rows <- data.frame(id = sprintf("i%02d", seq_len(n)), family = sprintf("f%02d", rep(1:(n / 3), 3)), x = rnorm(n))
  effect <- matrix(rnorm(n), n / 3) %*% diag(c(1, 0.7, 0.5))
  eta <- effect[match(rows$family, unique(rows$family)), ] + matrix(rnorm(3 * n, sd = 0.6), n) + outer(rows$x, c(0.5, 0, -0.3)) + rep(c(10, 3, -1), each = n)
  count <- rep(c(6, 3, 8, 1, 0), length.out = n)
  long <- data.frame(id = rep(rows$id, count), time = unlist(lapply(count, function(k) sort(runif(k)))))
  B <- basis_of(long$time)
  long$y <- rowSums(B * eta[match(long$id, rows$id), ]) + noise * rnorm(nrow(long))
  list(rows = rows, long = long[sample(nrow(long)), ], eta = eta)
}
basis_of <- function(t) cbind(level = 1, slope = t, bend = t^2 - t)
quiet_curves <- function(formula, w, ..., iter = 60, chains = 1, seed = 1) quiet_slam(formula, w$rows, iter = iter, chains = chains, seed = seed, ...)

test_that("bases are what they say, and chosen once", {
  times <- seq(2, 9, length.out = 50)
  at <- function(basis, t = times) basis_matrix(settle_basis(basis, times), t)
  plain <- at(curve_bspline(df = 6))
  expect_equal(dim(plain), c(50L, 6L))
  expect_equal(rowSums(plain), rep(1, 50))
  # other times see the same knots
  expect_equal(at(curve_bspline(df = 6), times[7:9]), plain[7:9, ], ignore_attr = TRUE)
  for (order in 1:2) {
    other <- at(curve_bspline(df = 6, differences = order))
    expect_equal(qr(cbind(plain, other))$rank, 6)
    b <- c(3, 1, 4, 1, 5, 9)
    parts <- c(mean(b), if (order == 2) mean(diff(b)), diff(b, differences = order))
    expect_equal(drop(other %*% parts), drop(plain %*% b))
  }
  expect_equal(colnames(other), c("level", "slope", "d1", "d2", "d3", "d4"))
  natural <- at(curve_bspline(df = 4, natural = TRUE))
  expect_equal(ncol(natural), 4)
  expect_equal(ncol(at(curve_bspline(knots = c(4, 5), degree = 2))), 5)
  fourier <- at(curve_fourier(2, period = 3))
  expect_equal(fourier, at(curve_fourier(2, period = 3), times + 3))
  expect_equal(colnames(fourier), c("level", "cos1", "sin1", "cos2", "sin2"))
  expect_equal(at(basis_of), basis_of(times))
  M <- cbind(a = times, b = 1)
  expect_equal(at(M, times[4:3]), M[4:3, ])
  expect_output(print(settle_basis(curve_bspline(), times)), "B-splines, 6 coefficients")
})

test_that("coefficients, curves and noise are those that made the points", {
  w <- curve_world(150)
  fit <- quiet_curves(slam_curves(y ~ time, id, w$long, basis = basis_of) ~ x + (1 | family), w, iter = 400, chains = 2)
  expect_equal(colnames(fit$Y), c("y.level", "y.slope", "y.bend"))
  table <- summary(fit)$table
  expect_lt(abs(table$mean[table$variable == "noise[y]"] - 0.09), 0.03)
  expect_lt(max(abs(fixef(fit)["(Intercept)", ] - c(10, 3, -1))), 0.7)
  expect_lt(abs(fixef(fit)["x", "y.level"] - 0.5), 0.25)
  own <- posterior_cells(fit)
  expect_gt(cor(own[, 1], w$eta[, 1]), 0.8)
  times <- c(0.2, 0.5, 0.9)
  truth <- w$eta %*% t(basis_of(times))
  curves <- fitted(fit, times = times)
  expect_equal(dim(curves), c(150L, 3L, 1L))
  seen <- rowSums(table(factor(w$long$id, w$rows$id), w$long$time)) > 2
  expect_lt(mean((curves[seen, , 1] - truth[seen, ])^2), 0.1)
  expect_equal(unname(curves[, , 1]), unname(own %*% t(basis_of(times))), tolerance = 1e-8)
  B <- basis_at(fit, times)
  expect_equal(unname(B), unname(basis_of(times)))
  expect_gt((B %*% G(fit) %*% t(B))[2, 2], 0)
  # predictions are those of the coefficients, at times
  new <- data.frame(family = c("f01", "new"), x = 0:1)
  expect_equal(
    unname(predict(fit, new, times = times, allow.new.levels = TRUE)[, , 1]), unname(predict(fit, new, allow.new.levels = TRUE, type = "link") %*% t(B)),
    tolerance = 1e-8
  )
  sure <- predict(fit, new, times = times, allow.new.levels = TRUE, interval = "confidence")
  point <- predict(fit, new, times = times, allow.new.levels = TRUE, interval = "prediction")
  expect_equal(dim(point), c(2L, 3L, 1L, 3L))
  expect_true(all(point[, , , "lwr"] < point[, , , "upr"]))
  # of a family without data both are mostly its effect, with the error of quantiles of 400 draws
  wider <- (point[, , , "upr"] - point[, , , "lwr"]) / (sure[, , , "upr"] - sure[, , , "lwr"])
  expect_true(all(wider[1, ] > 1.5) && all(wider[2, ] > 0.9))
  draws <- predict(fit, new, times = times, allow.new.levels = TRUE, draws = TRUE)
  expect_equal(dim(draws), c(2L, 3L, 1L, 400L))
  expect_equal(apply(draws, 1:3, mean), predict(fit, new, times = times, allow.new.levels = TRUE), tolerance = 0.05, ignore_attr = TRUE)
  expect_equal(dim(simulate(fit)[[1]]), c(150L, 3L))
  expect_true(all(pp_check(fit, n = 20, seed = 1)$p.sd > 0))
  expect_output(print(fit), "curves (3)", fixed = TRUE)
})

test_that("many points without noise are the coefficients themselves", {
  set.seed(2)
  w <- curve_world(90, noise = 0)
  long <- data.frame(id = rep(w$rows$id, each = 10), time = rep((1:10) / 10, 90))
  long$y <- rowSums(basis_of(long$time) * w$eta[match(long$id, w$rows$id), ]) + 1e-4 * rnorm(900)
  w$long <- long
  w$rows$E <- w$eta
  curves <- quiet_curves(slam_curves(y ~ time, id, w$long, basis = basis_of, noise = inverse_gamma(2, 1e-9)) ~ x + (1 | family), w, iter = 1500, chains = 2)
  direct <- quiet_curves(E ~ x + (1 | family), w, iter = 1500, chains = 2)
  expect_equal(unname(posterior_cells(curves)), unname(w$eta), tolerance = 1e-3)
  expect_equal(unname(P(curves)), unname(P(direct)), tolerance = 0.1)
  expect_equal(unname(G(curves)), unname(G(direct)), tolerance = 0.2)
  expect_equal(unname(fixef(curves)), unname(fixef(direct)), tolerance = 0.02)
})

test_that("units of points and times change nothing", {
  w <- curve_world()
  fit <- quiet_curves(slam_curves(y ~ time, id, w$long, basis = curve_bspline(df = 4)) ~ x + (1 | family), w)
  other <- w
  other$long$y <- 1024 * w$long$y + 8192
  other$long$time <- 64 * w$long$time
  moved <- quiet_curves(slam_curves(y ~ time, id, other$long, basis = curve_bspline(df = 4)) ~ x + (1 | family), other)
  expect_equal(h2(moved)$h2, h2(fit)$h2, tolerance = 1e-4)
  expect_equal(moved$scale$sd, 1024 * fit$scale$sd, tolerance = 1e-6)
  expect_equal(fitted(moved, times = c(10, 50)), 1024 * fitted(fit, times = c(10, 50) / 64) + 8192, tolerance = 1e-4, ignore_attr = TRUE)
})

test_that("rows that are left out do not matter, and a covariate times a curve, added to points, changes no variance", {
  w <- curve_world(30)
  formula <- slam_curves(y ~ time, id, w$long, basis = curve_bspline(df = 4)) ~ x + (1 | family)
  without <- w
  without$rows <- w$rows[-6, ]
  without$long <- w$long[w$long$id != "i06", ]
  short <- slam_curves(y ~ time, id, without$long, basis = curve_bspline(df = 4)) ~ x + (1 | family)
  kept <- quiet_curves(short, without, iter = 40)
  # beyond all others in time and size
  w$long$y[w$long$id == "i06"] <- 1e4
  w$long$time[w$long$id == "i06"] <- 9
  left <- quiet_curves(formula, w, iter = 40, subset = id != "i06")
  expect_identical(left$draws, kept$draws)
  expect_identical(left$Y, kept$Y)
  expect_identical(left$links[[1]]$basis, kept$links[[1]]$basis)
  w$rows$x[6] <- NA
  expect_identical(quiet_curves(formula, w, iter = 40)$draws, kept$draws)
  # a basis that is a matrix goes with its rows
  run <- function(w, ...) quiet_curves(slam_curves(y ~ time, id, w$long, basis = cbind(a = 1, b = w$long$time)) ~ x + (1 | family), w, iter = 40, ...)
  base <- run(without)
  expect_identical(run(w)$draws, base$draws)
  moved <- without
  at <- match(moved$long$id, moved$rows$id)
  moved$long$y <- moved$long$y + 100 * moved$rows$x[at] * (2 - moved$long$time)
  other <- run(moved)
  expect_equal(other$scale$sd, base$scale$sd, tolerance = 1e-7)
  expect_equal(G(other, draws = TRUE), G(base, draws = TRUE), tolerance = 1e-6)
  expect_equal(link_values(other), link_values(base), tolerance = 1e-6)
  expect_equal(unname((fixef(other) - fixef(base))["x", ]), c(200, -100), tolerance = 1e-6)
})

test_that("several series, blocks beside them, several effects and directories work", {
  w <- curve_world()
  w$long$z <- w$long$y + rnorm(nrow(w$long))
  w$long$z[5:20] <- NA
  w$rows$size <- rnorm(60)
  formula <- slam_join(size, slam_curves(cbind(y, z) ~ time, id, w$long, basis = curve_fourier(1, period = 2))) ~ x + (1 | family) + (1 | block)
  w$rows$block <- rep(letters[1:4], 15)
  dir <- withr::local_tempdir()
  half <- quiet_curves(formula, w, iter = 30, warmup = 20, chains = 2, dir = dir)
  whole <- quiet_curves(formula, w, iter = 45, warmup = 20, chains = 2)
  expect_identical(quiet_chains(extend(restore(dir), 15))$draws, whole$draws)
  expect_equal(colnames(whole$Y), c("size", paste0("y.", c("level", "cos1", "sin1")), paste0("z.", c("level", "cos1", "sin1"))))
  expect_equal(link_parameters(whole), c("noise[y]", "noise[z]"))
  B <- basis_at(whole, c(0.1, 0.4))
  expect_equal(dim(B), c(4L, 7L))
  expect_equal(unname(B[, 1]), rep(0, 4))
  expect_equal(rownames(B), c("y:0.1", "y:0.4", "z:0.1", "z:0.4"))
  expect_equal(dim(fitted(whole, times = c(0.1, 0.4))), c(60L, 2L, 2L))
  # without times answers are of coefficients: means without random numbers, the same for rows of the fit as new ones
  expect_identical(fitted(whole), predict(whole, type = "link"))
  expect_identical(predict(whole), fitted(whole))
  expect_equal(predict(whole, w$rows), fitted(whole), ignore_attr = TRUE)
  expect_true(all(is.finite(predict(whole, interval = "prediction"))))
  expect_identical(predict(whole, interval = "prediction"), predict(whole, interval = "prediction"))
  # rows without points stay
  expect_false(anyNA(whole$Y[, -1]))
  expect_equal(nrow(whole$Y), 60)
  part <- quiet_curves(formula, w, subset = block != "a")
  expect_equal(nrow(part$Y), 45)
  expect_equal(part$links$z.level$points, whole$links$z.level$points[w$rows$block != "a"])
  # one series alone has the link that it has beside others
  alone <- slam_curves(z ~ time, id = w$rows$id, data = w$long, basis = curve_fourier(1, period = 2))
  expect_equal(quiet_curves(alone ~ x + (1 | family), w)$links$z.level$fitted, whole$links$z.level$fitted)
})

test_that("points, ids and times that do not fit are told", {
  w <- curve_world()
  bad <- function(pattern, code) expect_error(code, pattern, class = "fastlmm_error_curves")
  id <- w$rows$id
  bad("no column.*id", slam_curves(y ~ time, id, w$long[-1]))
  bad("no row.*i01", slam_curves(y ~ time, id = id[-1], w$long, by = "id"))
  bad("an id each.*i02", slam_curves(y ~ time, id = rep(id, 2), w$long, by = "id"))
  bad("missing", slam_curves(y ~ time, id = c(NA, id), w$long, by = "id"))
  bad("must be a variable", slam_curves(y ~ time, id = paste(id), w$long))
  bad("series must be numbers", slam_curves(as.character(y) ~ time, id, w$long))
  bad("times must be numbers", slam_curves(y ~ as.character(time), id, w$long))
  bad("not finite", slam_curves(y ~ log(-time), id, w$long) |> suppressWarnings())
  bad("cannot be evaluated", slam_curves(nothing ~ time, id, w$long))
  bad("no values.*z", slam_curves(z ~ time, id, transform(w$long, z = NA_real_)))
  bad("infinite.*y", slam_curves(y ~ time, id, transform(w$long, y = Inf)))
  bad("do not vary", slam_curves(y ~ time, id, transform(w$long, y = 3)))
  bad("outside", slam_curves(y ~ time, id, w$long, basis = curve_bspline(range = c(0.2, 1))))
  bad("lie between", slam_curves(y ~ time, id, w$long, basis = curve_bspline(knots = 7)))
  bad("row for each", slam_curves(y ~ time, id, w$long, basis = matrix(1, 3, 2)))
  bad("made by", slam_curves(y ~ time, id, w$long, basis = "splines"))
  bad("matrix of numbers", slam_curves(y ~ time, id, w$long, basis = function(t) "a"))
  bad("several columns.*a", slam_curves(y ~ time, id, w$long, basis = function(t) cbind(a = 1, a = t)))
  bad("several columns.*b2", slam_curves(y ~ time, id, w$long, basis = function(t) cbind(b2 = 1, 0 + t)))
  expect_equal(colnames(slam_curves(y ~ time, id, w$long, basis = function(t) cbind(1, t))), c("y.b1", "y.t"))
  expect_equal(
    colnames(slam_curves(y ~ time, id, w$long, basis = matrix(c(1 + 0 * w$long$time, w$long$time), ncol = 2, dimnames = list(NULL, c("a", NA))))),
    c("y.a", "y.b2")
  )
  bad("several series need names", slam_curves(cbind(y, y + 1) ~ time, id, w$long))
  bad("df", curve_bspline(df = 2))
  bad("differences", curve_bspline(differences = 3))
  bad("period", curve_fourier(period = -1))
  fit <- quiet_curves(slam_curves(y ~ time, id, w$long) ~ x + (1 | family), w, iter = 20)
  bad("outside", fitted(fit, times = 5))
  bad("finite numbers", basis_at(fit, "a"))
  w$rows$u <- rnorm(60)
  plain <- quiet_curves(cbind(u, x) ~ 1 + (1 | family), w, iter = 20)
  bad("slam_curves", fitted(plain, times = 0.5))
  expect_error(quiet_curves(slam_curves(y ~ time, id, w$long) ~ offset(x) + (1 | family), w), "offset", class = "fastlmm_error_family")
})
