# Tables of parts of the data, and a group term in weight space.

table_data <- function(n = 900) {
  set.seed(11)
  d <- data.frame(lon = runif(n, 10, 13), lat = runif(n, -2, 0), x = 3 + rnorm(n), f = gl(3, n / 3, labels = c("a", "b", "c")), g = factor(sample(12, n, TRUE)))
  d$y <- 50 + d$x + (d$f == "b") + sin(2 * d$lon) * cos(3 * d$lat) + rnorm(12, sd = 0.6)[d$g] + rnorm(n, sd = 0.4)
  d
}

box_basis <- function(lengthscale) gp_basis(lower = c(10, -2), upper = c(13, 0), lengthscale = lengthscale, cov = "exp_quad")
basis <- box_basis(c(0.3, 1.5))

numbers <- function(fit) unlist(fit[c("coefficients", "vcov", "sigma2", "sigma2_e", "delta", "lengthscale", "logLik")])

test_that("tables add up in any order to the table of all rows, with factors, weights and groups", {
  d <- table_data()
  d$w <- rep(1:3, 300)
  chunk <- rep(c(1, 2, 2, 3, 1), length.out = nrow(d))
  smooth <- box_basis(c(0.7, 1.5))
  for (formula in list(y ~ x + f + gp(lon, lat), y ~ 0 + x + gp(lon, lat), y ~ x + gp(lon, lat) + (1 | g))) {
    table <- function(rows) gp_accumulate(formula, d[rows, ], smooth, weights = w)
    whole <- fastlmm_fit(table(seq_len(nrow(d))))
    parts <- lapply(1:3, function(i) table(chunk == i))
    expect_equal(numbers(fastlmm_fit(parts[[1]] + parts[[2]] + parts[[3]])), numbers(whole), tolerance = 1e-6)
    expect_equal(numbers(fastlmm_fit(parts[[3]] + (parts[[2]] + parts[[1]]))), numbers(whole), tolerance = 1e-6)
  }
})

test_that("a table's fit is that of the rows", {
  d <- table_data()
  whole <- fastlmm_fit(gp_accumulate(y ~ x + gp(lon, lat), d, basis), method = "ML")
  rows <- fastlmm_fit(y ~ x + gp(lon, lat, cov = "exp_quad", basis = "fourier"), d, method = "ML")
  expect_equal(whole$coefficients, rows$coefficients, tolerance = 1e-2)
  expect_equal(unname(whole$lengthscale), unname(rows$lengthscale), tolerance = 0.02)
  expect_equal(whole$logLik, rows$logLik, tolerance = 1e-4)
  expect_identical(whole$nobs, 900)
  at <- d[1:5, ]
  expect_equal(predict(whole, at), predict(rows, at), tolerance = 1e-3)
  expect_equal(predict(whole, at, se.fit = TRUE)$se.fit, predict(rows, at, se.fit = TRUE)$se.fit, tolerance = 0.05)
  expect_output(print(summary(whole)), "Fourier functions")
  expect_refused(fitted(whole), "no_rows_kept")
  expect_refused(predict(whole), "no_rows_kept")
})

test_that("tables that do not belong together are refused", {
  d <- table_data()
  table <- function(formula, rows, b = basis) gp_accumulate(formula, d[rows, ], b)
  one <- table(y ~ x + gp(lon, lat), 1:300)
  other <- gp_basis(lower = c(10, -2), upper = c(13, 0), lengthscale = c(0.3, 1.4), cov = "exp_quad")
  expect_refused(one + table(y ~ x + gp(lon, lat), 301:600, other), "gp_table")
  expect_refused(one + table(y ~ gp(lon, lat), 301:600), "gp_table")
  expect_refused(one + 1, "gp_table")
  expect_refused(gp_accumulate(y ~ x, d, basis), "formula")
  expect_refused(gp_accumulate(y ~ gp(lon), d, basis), "gp_table")
  expect_refused(gp_accumulate(y ~ gp(lon, lat), transform(d, lon = lon + 1), basis), "outside_box")
  expect_refused(gp_basis(lower = 1, upper = 0, lengthscale = c(1, 2)), "gp")
  expect_refused(gp_basis(lower = 0, upper = 1, lengthscale = 1), "gp")
})

test_that("columns that take values from the rows of their chunk are refused by name, with values fixed beforehand they add up", {
  set.seed(4)
  d <- data.frame(u = runif(200), x = rnorm(200, 5), f = rep(c("a", "b", "c", "c"), 50))
  d$y <- d$x + sin(9 * d$u) + 0.3 * rnorm(200)
  line <- gp_basis(lower = 0, upper = 1, lengthscale = c(0.1, 0.5), cov = "exp_quad")
  added <- function(formula, chunk = rep(1:2, 100)) {
    parts <- lapply(base::split(d, chunk), function(rows) gp_accumulate(formula, rows, line))
    parts[[1]] + parts[[2]]
  }
  learnt <- list(
    "poly(x, 2)" = y ~ poly(x, 2) + gp(u), "scale(x)" = y ~ scale(x) + gp(u), "ns(x, 3)" = y ~ splines::ns(x, 3) + gp(u), "scale(y)" = scale(y) ~ x + gp(u)
  )
  for (name in names(learnt)) expect_error(added(learnt[[name]]), name, fixed = TRUE, class = "fastlmm_error_gp_table")
  for (formula in c(
    y ~ poly(x, 2, raw = TRUE) + scale(x^3, center = 125, scale = 50) + gp(u), y ~ splines::ns(x, knots = 5, Boundary.knots = c(1, 9)) + gp(u)
  )) {
    expect_equal(numbers(fastlmm_fit(added(formula))), numbers(fastlmm_fit(gp_accumulate(formula, d, line))), tolerance = 1e-6)
  }
  # rows of a and c beside rows of b and c: both have one column fc, against another level
  expect_error(added(y ~ f + gp(u), ifelse(d$f == "a" | seq_len(200) %% 4 == 0, 1, 2)), "levels of \"f\"", class = "fastlmm_error_gp_table")
})

test_that("chunks may come from workers of the user's future plan", {
  skip_if_not_installed("future.apply")
  skip_on_cran()
  d <- table_data()
  chunks <- base::split(d, rep(1:4, length.out = nrow(d)))
  old <- future::plan(future::multisession, workers = 2)
  on.exit(future::plan(old))
  tables <- future.apply::future_lapply(chunks, function(chunk) fastlmm::gp_accumulate(y ~ x + gp(lon, lat), chunk, basis), future.packages = "fastlmm")
  here <- lapply(chunks, function(chunk) gp_accumulate(y ~ x + gp(lon, lat), chunk, basis))
  expect_equal(numbers(fastlmm_fit(Reduce(`+`, tables))), numbers(fastlmm_fit(Reduce(`+`, here))), tolerance = 1e-8)
})

test_that("a group term beside the process is in the likelihood as its definition says", {
  d <- table_data(600)
  fit <- fastlmm_fit(y ~ x + gp(lon, lat, cov = "exp_quad", range = c(0.5, 3), tol = 1e-4) + (1 | g), d)
  distance <- as.matrix(dist(d[c("lon", "lat")]))
  definition <- function(fit) {
    K <- fit$sigma2[[1]] * exp(-(distance / fit$lengthscale[[1]])^2 / 2) + fit$sigma2[[2]] * outer(d$g, d$g, "==")
    V <- K + fit$sigma2_e * diag(nrow(d))
    X <- cbind(1, d$x)
    R <- chol(V)
    VX <- backsolve(R, X, transpose = TRUE)
    Vy <- backsolve(R, d$y, transpose = TRUE)
    beta <- qr.coef(qr(VX), Vy)
    r <- Vy - VX %*% beta
    n <- nrow(d) - 2
    list(
      logLik = -0.5 * (n * log(2 * pi) + 2 * sum(log(diag(R))) + as.numeric(determinant(crossprod(VX))$modulus) + sum(r^2)),
      beta = beta, fitted = drop(X %*% beta + K %*% backsolve(R, r))
    )
  }
  slow <- definition(fit)
  expect_equal(fit$logLik, slow$logLik, tolerance = 1e-4)
  expect_equal(unname(fit$coefficients), slow$beta, tolerance = 1e-3)
  expect_equal(unname(fitted(fit)), unname(slow$fitted), tolerance = 1e-3)
  # no better variances, and no better length scale
  for (part in c("lengthscale", "sigma2", "sigma2_e")) {
    for (factor in c(0.9, 1.1)) {
      for (i in seq_along(fit[[part]])) {
        other <- fit
        other[[part]][i] <- factor * other[[part]][i]
        expect_lt(definition(other)$logLik, slow$logLik + 0.02)
      }
    }
  }
  new <- rbind(transform(d[1, ], g = "new"), d[2, ])
  expect_refused(predict(fit, new), "new_ids")
  at <- predict(fit, new, se.fit = TRUE, allow.new.levels = TRUE)
  expect_gt(at$se.fit[1], sqrt(fit$sigma2[[2]]))
  expect_equal(unname(at$fit[2]), unname(fitted(fit)[2]), tolerance = 1e-9)
})
