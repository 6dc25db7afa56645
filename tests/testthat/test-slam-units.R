# Priors of slamglmm_fit() are in units of what the flat fixed effects leave: no effect added to the responses may change a draw of a variance.

added_effects <- function(n = 40, p = 3) {
  set.seed(2)
  data <- data.frame(
    id = paste0("i", seq_len(n)), trt = rbinom(n, 1, 0.5), g = factor(rep(c("a", "b", "c", "d"), length.out = n)), x = rnorm(n), at = rnorm(n, 0, 50)
  )
  W <- matrix(rnorm(n * 60), n, dimnames = list(data$id, NULL))
  E <- outer(drop(W %*% rnorm(60, sd = 0.1)), c(1, -0.5, 0.2)) + matrix(rnorm(n * p), n)
  E[1:5, 1] <- NA
  E[3:6, 3] <- NA
  list(data = data, K = tcrossprod(W) / 60, E = E)
}

variance_draws <- function(world, Y, formula, ...) {
  world$data$Y <- Y
  fit <- quiet_slam(formula, world$data, world$K, n_factors = 2, chains = 1, iter = 40, warmup = 10, seed = 3, progress = FALSE, ...)
  list(draws = fit$draws[[1]][c("sigma2", "h", "factors", "factors_h")], B = fixef(fit), cells = posterior_cells(fit), fitted = fitted(fit))
}

test_that("effects added to the responses move the coefficients and nothing else", {
  skip_if_not_installed("lme4")
  world <- added_effects()
  cases <- list(
    list(Y ~ trt + (1 | id), "impute"), list(Y ~ 0 + g + x + (1 | id), "integrate"), list(Y ~ x + offset(at) + (1 | id), "impute"),
    list(Y ~ trt + x + (1 | id), "integrate", ~ x)
  )
  for (case in cases) {
    factors <- if (length(case) == 3) case[[3]] else ~ 1
    # of a covariate of the factors the coefficients have a prior: its effect stays
    flat <- model.matrix(lme4::nobars(case[[1]])[-2], world$data)
    flat <- flat[, setdiff(colnames(flat), attr(terms(factors), "term.labels")), drop = FALSE]
    B <- matrix(10 * seq_len(3 * ncol(flat)), ncol(flat), 3, dimnames = list(colnames(flat), NULL))
    plain <- variance_draws(world, world$E, case[[1]], missing = case[[2]], factors = factors)
    moved <- variance_draws(world, world$E + flat %*% B, case[[1]], missing = case[[2]], factors = factors)
    expect_equal(moved$draws, plain$draws, tolerance = 1e-8)
    B <- B[match(rownames(plain$B), rownames(B)), ]
    B[is.na(B)] <- 0
    expect_equal(unname(moved$B), unname(plain$B + B), tolerance = 1e-8)
    expect_equal(unname(moved$cells - plain$cells), unname(flat %*% moved$B[colnames(flat), ] - flat %*% plain$B[colnames(flat), ]), tolerance = 1e-8)
    expect_equal(moved$fitted - moved$cells, plain$fitted - plain$cells, tolerance = 1e-7)
  }
})

test_that("units and origins of responses and of a factor's covariate change no draw", {
  world <- added_effects()
  plain <- variance_draws(world, world$E, Y ~ trt + (1 | id), factors = ~ x)
  world$data$x <- 1e4 * world$data$x - 5
  moved <- variance_draws(world, 1e-5 * world$E + 7, Y ~ trt + (1 | id), factors = ~ x)
  expect_equal(moved$draws[c("sigma2", "h", "factors_h")], plain$draws[c("sigma2", "h", "factors_h")], tolerance = 1e-8)
})

test_that("responses have variance one after the flat effects, in the rows in which each was observed", {
  world <- added_effects()
  fit <- quiet_slam(E ~ trt + g + (1 | id), within(world$data, E <- world$E), world$K, n_factors = 1, chains = 1, iter = 10, seed = 1, progress = FALSE)
  by_lm <- apply(world$E, 2, function(y) summary(lm(y ~ trt + g, world$data))$sigma)
  expect_equal(unname(fit$scale$sd), by_lm, tolerance = 1e-12)
})

test_that("responses that the fixed effects explain are named", {
  world <- added_effects()
  world$data$Y <- cbind(a = 3 + 2 * world$data$trt, b = rnorm(40))
  error <- expect_error(slamglmm_fit(Y ~ trt + (1 | id), world$data, world$K, progress = FALSE), class = "fastlmm_error_perfect_fit")
  expect_identical(error$responses, "a")
})
