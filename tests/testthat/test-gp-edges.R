# Places as data have them: with holes, twice, on a line, far from the origin; and what must not change a fit.

edge_data <- function(n = 400, seed = 30) gp_world(n, 2, "exp_quad", 0.4, seed = seed)

edge_fit <- function(data, basis = "fourier", ...) {
  suppressMessages(fastlmm_fit(gp_formula(2, "exp_quad", basis = basis, ...), data))
}

# The fit that most tests here compare another one with
edge_base <- function(basis = "fourier") once(paste("edge", basis), edge_fit(edge_data(), basis, range = c(0.3, 0.8)))

both_routes <- function(test) for (basis in c("exact", "fourier")) test(basis)

# Estimates to a relative tolerance, lengths in units of `unit` and responses in units of `scale`
expect_same_process <- function(a, b, tolerance = 1e-5, unit = 1, scale = 1) {
  expect_equal(unname(a$lengthscale), unname(b$lengthscale) * unit, tolerance = tolerance)
  expect_equal(a$delta, b$delta, tolerance = tolerance)
  expect_equal(c(a$sigma2, a$sigma2_e), c(b$sigma2, b$sigma2_e) * scale^2, tolerance = tolerance)
  expect_equal(unname(a$coefficients[-1]), unname(b$coefficients[-1]) * scale, tolerance = tolerance)
  expect_equal(unname(a$se$lengthscale), unname(b$se$lengthscale) * unit, tolerance = 20 * tolerance)
}

# ---- what must not change a fit -------------------------------------------------------------------------------------

test_that("the order of the rows changes nothing", {
  data <- edge_data()
  data$id <- seq_len(nrow(data))
  both_routes(function(basis) {
    fit <- edge_base(basis)
    shuffled <- edge_fit(data[sample(nrow(data)), ], basis, range = c(0.3, 0.8))
    expect_same_process(shuffled, fit)
    expect_equal(shuffled$logLik, fit$logLik, tolerance = 1e-9)
    expect_equal(fitted(shuffled)[rownames(data)], fitted(fit)[rownames(data)], tolerance = 1e-5)
  })
})

test_that("other units of the coordinates give the length scale in those units and the same likelihood", {
  data <- edge_data()
  both_routes(function(basis) for (unit in c(1e-9, 1e6)) {
    fit <- edge_base(basis)
    scaled <- edge_fit(transform(data, u = u * unit, v = v * unit), basis, range = c(0.3, 0.8) * unit)
    expect_same_process(scaled, fit, unit = unit)
    expect_equal(scaled$logLik, fit$logLik, tolerance = 1e-8)
  })
})

test_that("an origin far away changes nothing, as far as coordinates can say it", {
  data <- edge_data()
  both_routes(function(basis) {
    fit <- edge_base(basis)
    moved <- edge_fit(transform(data, u = u + 1e6, v = v - 1e6), basis, range = c(0.3, 0.8))
    expect_same_process(moved, fit)
    expect_equal(moved$logLik, fit$logLik, tolerance = 1e-8)
  })
  metres <- edge_fit(transform(data, u = 1e6 * (1 + u), v = 1e6 * (5 + v)), range = c(3e5, 8e5))
  expect_same_process(metres, edge_base(), unit = 1e6)
})

test_that("exchanging, mirroring and turning the axes changes nothing", {
  data <- edge_data()
  both_routes(function(basis) {
    fit <- edge_base(basis)
    turned <- edge_fit(transform(data, u = v, v = -u), basis, range = c(0.3, 0.8))
    # the basis follows the sides of the box
    expect_same_process(turned, fit, tolerance = if (basis == "exact") 1e-5 else 0.02)
  })
  exact <- edge_fit(data, "exact")
  expect_same_process(edge_fit(transform(data, u = (u + v) / sqrt(2), v = (u - v) / sqrt(2)), "exact"), exact, tolerance = 1e-4)
})

test_that("a scaled and shifted response scales the estimates", {
  data <- edge_data()
  both_routes(function(basis) for (scale in c(-3, 1e-8, 1e8)) {
    fit <- edge_base(basis)
    scaled <- edge_fit(transform(data, y = scale * (y + 2 * x - 7)), basis, range = c(0.3, 0.8))
    expect_equal(unname(scaled$coefficients["x"]), scale * (fit$coefficients[["x"]] + 2), tolerance = 1e-5)
    expect_equal(unname(scaled$lengthscale), unname(fit$lengthscale), tolerance = 1e-5)
    expect_equal(scaled$sigma2, scale^2 * fit$sigma2, tolerance = 1e-5)
    expect_equal(scaled$logLik, fit$logLik - (nrow(data) - 2) * log(abs(scale)), tolerance = 1e-7)
  })
})

test_that("the number of threads changes nothing but rounding", {
  data <- edge_data()
  fits <- lapply(c(1, 2), function(threads) {
    suppressMessages(fastlmm_fit(gp_formula(2, "exp_quad", basis = "fourier", range = c(0.3, 0.8)), data, control = fastlmm_control(threads = threads)))
  })
  expect_same_process(fits[[2]], fits[[1]], tolerance = 1e-6)
})

# ---- awkward places --------------------------------------------------------------------------------------------------

test_that("data with a hole are fitted, and the standard error rises in the hole", {
  data <- edge_data(900)
  data <- data[abs(data$u - 0.5) > 0.2, ]
  fit <- edge_fit(data, range = c(0.3, 0.8))
  expect_equal(fit$logLik, dense_gp_of(fit, gp_places(data))$logLik, tolerance = 1e-4)
  places <- data.frame(u = c(0.1, 0.5), v = 0.5, x = 0)
  se <- predict(fit, places, se.fit = TRUE)$se.fit
  expect_gt(se[[2]], 1.2 * se[[1]])
})

test_that("two clusters far apart are fitted", {
  data <- edge_data(400)
  data$u <- data$u + 3 * (data$v > 0.5)
  both_routes(function(basis) {
    fit <- edge_fit(data, basis, range = c(0.8, 2))
    expect_equal(fit$logLik, dense_gp_of(fit, gp_places(data))$logLik, tolerance = 1e-3, info = basis)
  })
})

test_that("several rows at one place are fitted by both routes", {
  data <- edge_data(150)
  data <- rbind(data, data, data)
  data$y <- data$y + rnorm(nrow(data)) / 5
  both_routes(function(basis) {
    fit <- edge_fit(data, basis, range = c(0.3, 0.8), tol = 1e-3)
    expect_equal(fit$logLik, dense_gp_of(fit, gp_places(data))$logLik, tolerance = 1e-3, info = basis)
    expect_equal(unname(predict(fit, data[1:5, ])), unname(fitted(fit)[1:5]), tolerance = 1e-6)
  })
})

test_that("points on a slanted line are fitted, in the plane as along the line", {
  data <- gp_world(500, 1, "exp_quad", 0.2, seed = 32)
  data$v <- 2 * data$u
  along <- suppressMessages(fastlmm_fit(y ~ x + gp(u, cov = "exp_quad", basis = "exact", range = c(0.08, 0.5)), data))
  plane <- suppressMessages(fastlmm_fit(y ~ x + gp(u, v, cov = "exp_quad", basis = "exact", range = sqrt(5) * c(0.08, 0.5)), data))
  expect_false(along$optimum$at_end)
  expect_equal(plane$logLik, along$logLik, tolerance = 1e-8)
  expect_equal(plane$lengthscale[[1]], along$lengthscale[[1]] * sqrt(5), tolerance = 1e-4)
  waves <- suppressMessages(fastlmm_fit(y ~ x + gp(u, v, cov = "exp_quad", basis = "fourier", range = c(0.3, 1), tol = 2e-3), data))
  expect_equal(waves$logLik, along$logLik, tolerance = 1e-3)
})

test_that("a grid of places is fitted", {
  set.seed(33)
  data <- expand.grid(u = 1:25, v = 1:16)
  data$x <- rnorm(400)
  data$y <- data$x + draw_gp(as.matrix(data[c("u", "v")]), "exp_quad", 8) + rnorm(400) / 2
  both_routes(function(basis) {
    fit <- edge_fit(data, basis, range = c(6, 14))
    expect_equal(fit$logLik, dense_gp_of(fit, gp_places(data))$logLik, tolerance = 1e-3, info = basis)
  })
})

test_that("a constant coordinate is refused and named", {
  data <- edge_data(50)
  data$v <- 3
  both_routes(function(basis) {
    error <- tryCatch(edge_fit(data, basis), error = identity)
    expect_s3_class(error, "fastlmm_error_constant_coordinate")
    expect_match(conditionMessage(error), "v", fixed = TRUE)
    expect_identical(error$coordinate, "v")
  })
})

test_that("a coordinate that is not finite or not a number is refused and named", {
  data <- edge_data(50)
  broken <- transform(data, v = replace(v, 3, Inf))
  error <- tryCatch(edge_fit(broken), error = identity)
  expect_s3_class(error, "fastlmm_error_gp_coordinate")
  expect_match(conditionMessage(error), "3", fixed = TRUE)
  expect_error(edge_fit(transform(data, v = factor(v))), class = "fastlmm_error_gp_coordinate")
})

test_that("rows with a missing coordinate are left out, and predictions there are missing", {
  data <- edge_data(60)
  holes <- data
  holes$v[c(2, 5)] <- NA
  fit <- edge_fit(holes, "exact")
  expect_same_process(fit, edge_fit(data[-c(2, 5), ], "exact"))
  expect_equal(nobs(fit), 58)
  expect_identical(unname(which(is.na(predict(fit, holes)))), c(2L, 5L))
})

test_that("a response without a process gives the least squares fit", {
  set.seed(35)
  data <- edge_data(200)
  found <- FALSE
  for (seed in 1:20) {
    set.seed(seed)
    data$y <- data$x + rnorm(200)
    fit <- edge_fit(data, "exact")
    if (fit$h2 > 0) next
    found <- TRUE
    ols <- lm(y ~ x, data)
    expect_equal(fixef(fit), coef(ols), tolerance = 1e-6)
    expect_equal(fit$sigma2_e, sigma(ols)^2, tolerance = 1e-6)
    expect_equal(fit$logLik, as.numeric(logLik(ols, REML = TRUE)), tolerance = 1e-6)
    expect_identical(fit$optimum$boundary, "h2 = 0")
    expect_true(all(is.finite(predict(fit, data, se.fit = TRUE)$se.fit)))
    break
  }
  expect_true(found)
})

test_that("a response without noise is fitted to the end of the range", {
  set.seed(36)
  data <- data.frame(u = runif(80))
  data$y <- draw_gp(as.matrix(data["u"]), "matern32", 0.3)
  fit <- suppressMessages(fastlmm_fit(y ~ gp(u, cov = "matern32", basis = "exact"), data))
  expect_lt(fit$delta, 1e-3)
  expect_equal(unname(fitted(fit)), data$y, tolerance = 1e-2)
  expect_true(all(is.finite(confint(fit)[1:2, ])))
})

test_that("far from the data the prediction returns to the fixed effects with the process' own standard error", {
  data <- edge_data(200)
  fit <- edge_fit(data, "exact")
  far <- predict(fit, data.frame(u = 100, v = 100, x = 1), se.fit = TRUE)
  expect_equal(unname(far$fit), sum(fixef(fit)), tolerance = 1e-8)
  expect_equal(unname(far$se.fit)^2, fit$sigma2 + sum(vcov(fit)), tolerance = 1e-6)
  waves <- edge_base()
  expect_error(predict(waves, data.frame(u = 100, v = 0, x = 1)), class = "fastlmm_error_outside_box")
})

test_that("a box for the targets keeps their predictions right", {
  data <- edge_data()
  fit <- edge_fit(data, range = c(0.3, 0.8), lower = c(-1, -1), upper = c(2, 2))
  new <- data.frame(u = c(-1, 2, 0.5), v = c(-1, 0, 2), x = 0)
  found <- predict(fit, new, se.fit = TRUE)
  defined <- dense_gp_predict(dense_gp_of(fit, gp_places(data)), cbind(1, new$x), as.matrix(new[1:2]))
  expect_equal(unname(found$fit), defined$fit, tolerance = 0.02)
  expect_equal(unname(found$se.fit), defined$se.fit, tolerance = 0.02)
})

test_that("a kernel too rough for a Fourier basis is refused with the size that it takes", {
  data <- gp_world(400, 2, "matern12", 0.1, seed = 37)
  error <- tryCatch(fastlmm_fit(gp_formula(2, "matern12", basis = "fourier"), data), error = identity)
  expect_s3_class(error, "fastlmm_error")
  expect_true(inherits(error, "fastlmm_error_rough") || inherits(error, "fastlmm_error_basis"))
  expect_match(conditionMessage(error), "basis = \"exact\"", fixed = TRUE)
  expect_identical(suppressMessages(fastlmm_fit(gp_formula(2, "matern12"), data))$gp$route, "exact")
})

test_that("few rows are fitted or refused with a reason", {
  data <- edge_data(12)
  fit <- edge_fit(data, "exact")
  expect_equal(fit$logLik, if (fit$h2 > 0) dense_gp_of(fit, gp_places(data))$logLik else fit$logLik, tolerance = 1e-6)
  expect_error(edge_fit(edge_data(3)[1:2, ], "exact"), class = "fastlmm_error")
})
