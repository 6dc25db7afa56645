# The sampler itself is tested in Rust (Geweke, closed form); here: the way from formula to draws and back, and what a run promises.

slam_world <- function(n = 60, p = 5, seed = 1) {
  set.seed(seed)
  ids <- paste0("i", seq_len(n))
  markers <- matrix(rnorm(n * 100), n, dimnames = list(ids, NULL))
  K <- tcrossprod(markers) / 100
  data <- data.frame(id = ids, sex = rep(0:1, length.out = n), age = rnorm(n, 40, 10))
  factor <- drop(markers %*% rnorm(100, sd = 0.1)) + rnorm(n, sd = 0.5)
  data$Y <- 3 * outer(factor, seq(1, -0.6, length.out = p)) + 100 + 2 * data$sex + matrix(rnorm(n * p), n)
  colnames(data$Y) <- paste0("trait", seq_len(p))
  list(data = data, K = K)
}

slam_quick <- function(world, formula = Y ~ sex + (1 | id), ..., iter = 60, chains = 2, seed = 1, n_factors = 2) {
  quiet_slam(formula, world$data, world$K, n_factors = n_factors, chains = chains, iter = iter, warmup = 20, seed = seed, progress = FALSE, ...)
}

# ---- from draws to answers ----------------------------------------------------------------------------------------

test_that("covariances, heritabilities and fixed effects are those of the draws", {
  world <- slam_world()
  fit <- slam_quick(world, factors = ~ sex)
  draws <- fit$draws[[2]]
  d <- 7
  sd <- apply(world$data$Y, 2, sd)
  Lambda <- t(draws$theta[3:4, , d]) * sd
  G1 <- (Lambda %*% diag(draws$factors_h[, d]) %*% t(Lambda) + diag(draws$h[, d] * draws$sigma2[, d] * sd^2)) / mean(diag(world$K))
  R1 <- Lambda %*% diag(1 - draws$factors_h[, d]) %*% t(Lambda) + diag((1 - draws$h[, d]) * draws$sigma2[, d] * sd^2)
  at <- 40 + d
  dimnames(G1) <- dimnames(R1) <- list(colnames(world$data$Y), colnames(world$data$Y))
  expect_equal(G(fit, draws = TRUE)[, , at], G1)
  expect_equal(R(fit, draws = TRUE)[, , at], R1)
  expect_equal(P(fit, draws = TRUE)[, , at], G1 * mean(diag(world$K)) + R1)
  expect_equal(unname(h2(fit, draws = TRUE)[, at]), unname(diag(G1) * mean(diag(world$K)) / diag(G1 * mean(diag(world$K)) + R1)))
  expect_equal(G(fit), apply(G(fit, draws = TRUE), 1:2, mean))
  expect_equal(rg(fit, draws = TRUE)[, , at], cov2cor(G1))
  # predictions without random effects are those of the coefficients, however they come about
  x <- scale(world$data$sex)
  scaled <- outer(rep(1, 60), draws$theta[1, , d]) + outer(drop(x), draws$theta[2, , d] + drop(draws$factors_b[, , d] %*% draws$theta[3:4, , d]))
  mean <- colMeans(world$data$Y)
  expect_equal(unname(cbind(1, world$data$sex) %*% fixef(fit, draws = TRUE)[, , at]), unname(t(t(scaled) * sd + mean)), tolerance = 1e-10)
})

test_that("predicted effects are V^-1 of the residuals, draw by draw", {
  world <- slam_world()
  world$data <- rbind(world$data, world$data[1:20, ])
  fit <- slam_quick(world)
  n <- nrow(world$data)
  Z <- model.matrix(~ 0 + factor(world$data$id, rownames(world$K)))
  K <- world$K / fit$basis$mean_diag
  S <- Z %*% K %*% t(Z)
  one <- function(chain, t) {
    F <- fastlmm:::turn_back(fit$basis, chain$factors[, , t])
    E <- fit$scale_values - cbind(1, world$data$sex) %*% chain$theta[1:2, , t] - F %*% chain$theta[3:4, , t]
    u <- sapply(1:5, function(j) chain$h[j, t] * K %*% t(Z) %*% solve(chain$h[j, t] * S + (1 - chain$h[j, t]) * diag(n), E[, j]))
    uF <- sapply(1:2, function(m) chain$factors_h[m, t] * K %*% t(Z) %*% solve(chain$factors_h[m, t] * S + (1 - chain$factors_h[m, t]) * diag(n), F[, m]))
    u + uF %*% chain$theta[3:4, , t]
  }
  unit <- apply(world$data$Y, 2, function(y) summary(lm(y ~ world$data$sex))$sigma)
  fit$scale_values <- t(t(resid(lm(world$data$Y ~ world$data$sex))) / unit)
  # one draw, so that the mean is that draw
  fit$draws <- lapply(fit$draws, function(chain) lapply(chain, function(x) {
    last <- length(dim(x))
    per <- prod(dim(x)[-last])
    array(x[2 * per + seq_len(per)], c(dim(x)[-last], 1))
  }))
  expected <- (one(fit$draws[[1]], 1) + one(fit$draws[[2]], 1)) / 2 * rep(unit, each = 60)
  expect_equal(unname(ranef(fit)$id), unname(expected), tolerance = 1e-8)
  expect_equal(fitted(fit), predict(fit, world$data), ignore_attr = TRUE)
})

test_that("new ids are predicted through K", {
  world <- slam_world()
  old <- list(data = world$data[1:50, ], K = world$K)
  fit <- slam_quick(old)
  new <- predict(fit, world$data[51:60, ])
  expect_equal(unname(new), unname(predict(fit, world$data[51:60, ], re.form = NA) + ranef(fit)$id[51:60, ]))
  inside <- slam_quick(list(data = old$data, K = world$K[1:50, 1:50]))
  expect_error(predict(inside, world$data[51:60, ]), class = "fastlmm_error_new_levels")
  expect_equal(predict(inside, world$data[51:60, ], K = world$K[51:60, 1:50]), new, tolerance = 1e-6)
})

test_that("routes to the basis agree: matrix, factor, identity, slopes", {
  world <- slam_world()
  W <- matrix(rnorm(60 * 4), 60, dimnames = list(rownames(world$K), NULL))
  thick <- fastlmm:::slam_basis(
    fastlmm:::mold_random(
      tcrossprod(W), fastlmm:::split_formula(Y ~ 1 + (1 | id), world$data),
      fastlmm:::mold_design(fastlmm:::split_formula(Y ~ 1 + (1 | id), world$data), world$data, list()), fastlmm_control()
    )[[1]],
    60
  )
  thin <- fastlmm:::slam_basis(
    fastlmm:::mold_random(
      kernel_lowrank(W), fastlmm:::split_formula(Y ~ 1 + (1 | id), world$data),
      fastlmm:::mold_design(fastlmm:::split_formula(Y ~ 1 + (1 | id), world$data), world$data, list()), fastlmm_control()
    )[[1]],
    60
  )
  dense <- function(basis) fastlmm:::turn_back(basis, diag(length(basis$s)))
  rebuilt <- function(basis) dense(basis) %*% (basis$s * t(dense(basis))) * basis$mean_diag
  expect_equal(rebuilt(thin), rebuilt(thick), tolerance = 1e-8)
  expect_equal(crossprod(dense(thin)), diag(60), tolerance = 1e-10)
  groups <- world
  groups$data$herd <- rep(letters[1:6], 10)
  fit <- quiet_slam(Y ~ 1 + (1 | herd), groups$data, n_factors = 1, chains = 1, iter = 30, seed = 1, progress = FALSE)
  expect_equal(rebuilt(fit$basis), unname(outer(groups$data$herd, groups$data$herd, "==") + 0), tolerance = 1e-10)
})

test_that("without factors the responses have the variances of single fits", {
  world <- slam_world(n = 250, p = 3)
  fit <- quiet_slam(Y ~ sex + (1 | id), world$data, world$K, n_factors = 0, chains = 2, iter = 600, seed = 1, progress = FALSE, grid = 50)
  single <- fastlmm_fit(Y ~ sex + (1 | id), world$data, world$K)
  expect_equal(h2(fit)$h2, unname(single$sigma2 * fit$basis$mean_diag / (single$sigma2 * fit$basis$mean_diag + single$sigma2_e)), tolerance = 0.1)
  expect_equal(diag(G(fit)), single$sigma2, tolerance = 0.2)
  expect_equal(fixef(fit), coef(single), tolerance = 0.05)
})

test_that("missing cells are drawn near what was there", {
  world <- slam_world(n = 80)
  whole <- world$data$Y
  world$data$Y[3:8, 1] <- NA
  world$data$Y[5, 2:3] <- NA
  fit <- slam_quick(world, iter = 300)
  expect_equal(nrow(fit$draws[[1]]$cells), 8)
  expect_gt(cor(fitted(fit)[3:8, 1], whole[3:8, 1]), 0.8)
  filled <- posterior_cells(fit)
  expect_false(anyNA(filled))
  expect_equal(filled[!is.na(world$data$Y)], world$data$Y[!is.na(world$data$Y)])
  expect_gt(cor(filled[3:8, 1], whole[3:8, 1]), 0.8)
  expect_equal(unname(filled[3, 1]), mean(posterior_cells(fit, draws = TRUE)[1, ]))
  expect_identical(unname(is.na(residuals(fit))), unname(is.na(world$data$Y)))
  # a row without any response is left out
  world$data$Y[10, ] <- NA
  expect_equal(nobs(slam_quick(world)), 79)
})

test_that("missing cells integrated out give the posterior of missing cells drawn", {
  world <- slam_world(n = 48)
  world$data$Y[1:18, 1:2] <- NA
  world$data$Y[30:33, 3] <- NA
  drawn <- slam_quick(world, iter = some_draws(6000), missing = "impute")
  out <- slam_quick(world, iter = some_draws(6000), missing = "integrate")
  expect_length(out$data$sets, 3)
  expect_equal(nrow(out$draws[[1]]$cells), 0)
  a <- fastlmm:::invariant_draws(drawn)
  b <- fastlmm:::invariant_draws(out)
  error <- function(x) apply(x, 3, sd) / sqrt(fastlmm:::judged(drawn, matrix(x, ncol = dim(x)[3]), 0.9)$ess_bulk)
  z <- (apply(a, 3, mean) - apply(b, 3, mean)) / sqrt(error(a)^2 + error(b)^2)
  expect_lt(max(abs(z)), 4)
  expect_lt(mean(z^2), 2.5)
  few <- slam_thinned(out, 4)
  cells <- posterior_cells(few)
  expect_gt(cor(c(ranef(slam_thinned(drawn, 4))$id), c(ranef(few)$id)), 0.995)
  expect_gt(cor(posterior_cells(drawn)[1:18, 1], cells[1:18, 1]), 0.99)
  expect_equal(rowMeans(posterior_cells(few, draws = TRUE)), unname(cells[is.na(world$data$Y)]), tolerance = 0.02)
  # what is chosen: a few cells are drawn, half of the rows of many responses are not
  few <- list(missing = c(list(1:3), rep(list(integer()), 9)), Y = matrix(0, 80, 10))
  many <- list(missing = rep(list(1:40), 40), Y = matrix(0, 80, 40))
  traits <- function(data) unname(split(seq_along(data$missing), lengths(data$missing)))
  expect_false(fastlmm:::sets_are_cheaper(few, traits(few), 2))
  expect_true(fastlmm:::sets_are_cheaper(many, traits(many), 2))
  # 60 percent missing, each response elsewhere: drawn in less time an iteration, but four times as many of them are needed
  most <- list(missing = lapply(1:20, function(j) j + 0:179), Y = matrix(0, 300, 20))
  expect_equal(fastlmm:::iterations_imputed(most), 4)
  expect_true(fastlmm:::sets_are_cheaper(most, as.list(1:20), 7))
  expect_lt(fastlmm:::iterations_imputed(few), 1.1)
})

test_that("known loadings stay as they are", {
  world <- slam_world()
  known <- cbind(c(1, NA, NA, 0, 2))
  fit <- slam_quick(world, known_loadings = known)
  all <- factor_loadings(fit, align = FALSE, draws = TRUE)
  expect_equal(all[c(1, 4, 5), 1, ], matrix(c(1, 0, 2), 3, 80), ignore_attr = TRUE)
  expect_gt(sd(all[2, 1, ]), 0)
})

test_that("aligned loadings have one sign", {
  world <- slam_world(n = 100)
  fit <- slam_quick(world, iter = 400, chains = 4)
  one <- loadings(fit)[, 1]
  expect_gt(abs(cor(one, seq(1, -0.6, length.out = 5))), 0.98)
  # units of the responses do not matter
  other <- world
  unit <- 2^c(0, 10, 0, 10, 0)
  other$data$Y <- sweep(world$data$Y, 2, unit, "*")
  again <- slam_quick(other, iter = 400, chains = 4)
  expect_equal(loadings(again) / unit, loadings(fit), tolerance = 1e-6)
  expect_equal(factor_summary(again), factor_summary(fit), tolerance = 1e-6)
  expect_equal(dimnames(loadings(fit)), list(colnames(world$data$Y), c("factor1", "factor2")))
})

test_that("units of K and of the responses do not matter", {
  world <- slam_world()
  fit <- slam_quick(world)
  other <- world
  # powers of two: without rounding the chains are the same
  other$K <- world$K * 2^-30
  other$data$Y <- world$data$Y * 2^23
  scaled <- slam_quick(other)
  expect_equal(h2(scaled), h2(fit), tolerance = 1e-6)
  expect_equal(G(scaled), G(fit) * 2^46 * 2^30, tolerance = 1e-6)
  expect_equal(R(scaled), R(fit) * 2^46, tolerance = 1e-6)
  expect_equal(fixef(scaled), fixef(fit) * 2^23, tolerance = 1e-6)
})

test_that("edges: one response, singular and repeated kernels, more factors than rows, h at its ends", {
  world <- slam_world(n = 24)
  finite <- function(fit) expect_true(all(is.finite(c(h2(fit)$h2, diag(G(fit)), diag(R(fit)), fixef(fit), ranef(fit)[[1]]))))
  one <- world
  one$data$Y <- world$data$Y[, 1, drop = FALSE]
  finite(slam_quick(one, n_factors = 1))
  singular <- world
  W <- matrix(rnorm(24 * 2), 24, dimnames = list(rownames(world$K), NULL))
  singular$K <- tcrossprod(W)
  finite(slam_quick(singular))
  # two individuals that are the same, and unrelated blocks
  twins <- world
  twins$K <- kronecker(diag(12), matrix(1, 2, 2))
  dimnames(twins$K) <- dimnames(world$K)
  finite(slam_quick(twins))
  # eigenvalues over twelve orders
  graded <- world
  Q <- qr.Q(qr(matrix(rnorm(24^2), 24)))
  graded$K[] <- Q %*% (10^seq(0, -12, length.out = 24) * t(Q))
  graded$K <- (graded$K + t(graded$K)) / 2
  finite(slam_quick(graded))
  finite(suppressMessages(slam_quick(world, n_factors = 30)))
  for (end in c(1, 20)) {
    at_end <- slam_quick(world, prior = slam_prior(h2 = function(h) as.numeric(seq_along(h) == end)))
    finite(at_end)
    expect_equal(unique(c(at_end$draws[[1]]$h)), (end - 1) / 20)
  }
  # more fixed effects than one would want
  wide <- world
  wide$data$x <- matrix(rnorm(24 * 15), 24)
  finite(slam_quick(wide, Y ~ x + (1 | id)))
})

# ---- runs ------------------------------------------------------------------------------------------------------------

test_that("a run goes on to the draws of one that was not interrupted", {
  world <- slam_world()
  world$data$Y[2, 2] <- NA
  whole <- slam_quick(world, iter = 90)
  expect_identical(quiet_chains(extend(slam_quick(world, iter = 50), 40))$draws, whole$draws)
  expect_identical(slam_quick(world, iter = 90, control = fastlmm_control(threads = 1))$draws, whole$draws)
  # one byte of a state that is not as it was
  damaged <- slam_quick(world, iter = 50)
  damaged$states[[2]][400] <- xor(damaged$states[[2]][400], as.raw(1))
  expect_error(extend(damaged, 40), class = "fastlmm_error_state")
  # a chain does not know of the others
  expect_identical(slam_quick(world, iter = 90, chains = 1)$draws[[1]], whole$draws[[1]])
  expect_false(identical(slam_quick(world, iter = 90, seed = 2)$draws, whole$draws))
})

test_that("a directory holds a run that was killed", {
  skip_on_cran()
  world <- slam_world()
  whole <- slam_quick(world, iter = 320)
  dir <- tempfile()
  script <- tempfile(fileext = ".R")
  saveRDS(world, file.path(tempdir(), "world.rds"))
  writeLines(c(
    sprintf(".libPaths(%s)", deparse1(.libPaths())), "library(fastlmm)", sprintf("world <- readRDS(%s)", deparse(file.path(tempdir(), "world.rds"))),
    "trace <- getFromNamespace('save_chunk', 'fastlmm')",
    "assignInNamespace('save_chunk', function(fit, draws, states, from) {",
    "  if (fit$done > 250) tools::pskill(Sys.getpid(), 9)",
    "  trace(fit, draws, states, from)", "}, 'fastlmm')",
    sprintf("slamglmm_fit(Y ~ sex + (1 | id), world$data, world$K, n_factors = 2, chains = 2, iter = 320, warmup = 20, seed = 1, dir = %s)", deparse(dir))
  ), script)
  expect_true(system2(file.path(R.home("bin"), "Rscript"), script, stdout = FALSE, stderr = FALSE) != 0)
  held <- restore(dir)
  expect_equal(held$done, 200)
  expect_identical(quiet_chains(extend(held, 0))$draws, whole$draws)
  # the same call goes on, too, with nothing left to do the second time
  again <- slam_quick(world, iter = 320, dir = dir)
  expect_identical(again$draws, whole$draws)
  expect_error(slam_quick(world, iter = 320, dir = dir, seed = 5), class = "fastlmm_error_checkpoint")
  expect_error(restore(tempfile()), class = "fastlmm_error_checkpoint")
})

test_that("chains may be run by processes of a future plan", {
  skip_if_not_installed("future.apply")
  skip_on_cran()
  world <- slam_world()
  alone <- slam_quick(world)
  old <- future::plan(future::multisession, workers = 2)
  on.exit(future::plan(old))
  expect_identical(slam_quick(world)$draws, alone$draws)
})

test_that("an interrupt gives back the draws so far", {
  skip_on_os("windows")
  skip_on_cran()
  world <- slam_world()
  # the interrupt comes from outside, some time after the start
  system2("sh", c("-c", shQuote(sprintf("sleep 1; kill -INT %d", Sys.getpid()))), wait = FALSE)
  fit <- NULL
  expect_message(fit <- slam_quick(world, iter = 1e6, chains = 1, thin = 1000), class = "fastlmm_message_interrupted")
  expect_lt(fit$done, 1e6)
  expect_equal(ncol(fit$draws[[1]]$sigma2), (fit$done - 20) %/% 1000)
})

# ---- in words and pictures ----------------------------------------------------------------------------------------------

test_that("fits print, summarise and plot", {
  world <- slam_world()
  fit <- slam_quick(world)
  expect_output(print(fit), "5 responses, 60 rows, 2 factors")
  expect_output(print(summary(fit)), "h2\\[trait1\\]")
  expect_s3_class(factor_summary(fit), "data.frame")
  expect_named(pp_check(fit, 10, seed = 1), c("response", "sd", "skewness", "largest", "p.sd", "p.skewness", "p.largest"))
  grDevices::pdf(NULL)
  on.exit(grDevices::dev.off())
  for (which in c("covariance", "loadings", "h2", "trace")) expect_silent(plot(fit, which))
  skip_if_not_installed("posterior")
  draws <- posterior::as_draws(fit)
  expect_equal(dim(draws), c(40, 2, 5 * 5))
  expect_equal(c(posterior::subset_draws(draws, "h2[trait3]")), h2(fit, draws = TRUE)["trait3", ], ignore_attr = TRUE)
  skip_if_not_installed("coda")
  expect_s3_class(coda::as.mcmc(fit), "mcmc.list")
})

# ---- what a review found -----------------------------------------------------------------------------------------

test_that("directories with overlapping extensions hold each draw once, and go on from the farthest", {
  world <- slam_world()
  dir <- tempfile()
  first <- slam_quick(world, iter = 100, dir = dir)
  quiet_chains(extend(first, 50))
  quiet_chains(extend(first, 30))
  held <- restore(dir)
  expect_equal(held$done, 150)
  expect_identical(held$draws, slam_quick(world, iter = 150)$draws)
  more <- quiet_chains(extend(held, 20))
  expect_equal(more$done, 170)
  expect_identical(more$draws, slam_quick(world, iter = 170)$draws)
})

test_that("no factors, one response and no fixed effects answer as all others", {
  world <- slam_world()
  none <- slam_quick(world, n_factors = 0, factors = ~ sex)
  expect_equal(dim(loadings(none)), c(5, 0))
  expect_equal(dim(fixef(none)), c(2, 5))
  expect_true(all(is.finite(fitted(none))))
  expect_false(anyNA(rg(slam_quick(world, n_factors = 0, iter = 300))[1, 1]))
  one <- world
  one$data$Y <- world$data$Y[, 1, drop = FALSE]
  fit <- slam_quick(one, Y ~ 1 + (1 | id), n_factors = 1)
  expect_equal(dimnames(fixef(fit)), list("(Intercept)", "trait1"))
  expect_equal(dim(predict(fit, re.form = NA)), c(60, 1))
  expect_equal(fitted(fit), predict(fit, one$data), ignore_attr = TRUE)
  expect_equal(dim(G(fit, draws = TRUE)), c(1, 1, 80))
  expect_equal(dim(loadings(fit)), c(1, 1))
  bare <- slam_quick(world, Y ~ 0 + (1 | id))
  expect_equal(dim(fixef(bare)), c(0, 5))
  expect_true(all(is.finite(fitted(bare))))
  grDevices::pdf(NULL)
  on.exit(grDevices::dev.off())
  expect_silent(plot(fit))
  expect_silent(plot(none))
})

test_that("predictions of a factor kernel are those of its matrix", {
  world <- slam_world()
  W <- matrix(rnorm(60 * 6), 60, dimnames = list(rownames(world$K), NULL))
  few <- world$data[1:50, ]
  by_factor <- slam_quick(list(data = few, K = kernel_lowrank(W[1:50, ])))
  expect_equal(predict(by_factor, few), fitted(by_factor), ignore_attr = TRUE)
  new <- predict(by_factor, world$data[51:60, ], K = kernel_lowrank(W))
  expect_true(all(is.finite(new)))
})

test_that("offsets belong to missing cells, and effects that no row tells are refused", {
  world <- slam_world()
  world$data$Y[3:6, 1] <- NA
  fit <- slam_quick(world, Y ~ sex + offset(10 * age) + (1 | id), missing = "impute")
  expect_equal(unname(posterior_cells(fit)[3:6, 1]), rowMeans(posterior_cells(fit, draws = TRUE)))
  world$data$Y[world$data$sex == 1, 2] <- NA
  expect_error(slam_quick(world), "trait2", class = "fastlmm_error_too_few_rows")
  expect_error(slam_quick(slam_world(), known_loadings = matrix(Inf, 5, 1)), class = "fastlmm_error_known_loadings")
  expect_error(slam_quick(slam_world(), Y ~ gp(age)), class = "fastlmm_error_slam_effects")
  expect_error(G(fit, traits = integer()), class = "fastlmm_error_traits")
  expect_equal(rownames(G(fit, traits = factor("trait3"))), "trait3")
})

test_that("covariates of factors alone are those of the rows, and of newdata", {
  world <- slam_world()
  world$data$f <- factor(rep(c("a", "b", "c"), 20), levels = c("a", "b", "c", "unused"))
  fit <- slam_quick(world, factors = ~ f + log(age))
  expect_equal(predict(fit, re.form = NA), predict(fit, world$data, re.form = NA), ignore_attr = TRUE)
  expect_equal(fitted(fit), predict(fit, world$data, re.form = ~ (1 | id)), ignore_attr = TRUE)
  expect_error(predict(fit, world$data[c("id", "sex", "f")]), class = "fastlmm_error_missing_variable")
  expect_error(predict(fit, transform(world$data[c("id", "sex", "f", "age")], f = "z")), class = "fastlmm_error_new_fixed_level")
  expect_error(predict(fit, world$data, re.form = "a"), class = "fastlmm_error_re_form")
  expect_error(summary(fit, level = 2), class = "fastlmm_error_level")
  # row names of the responses are nothing to go by
  Y <- world$data$Y
  rownames(Y) <- 60:1
  id <- world$data$id
  age <- world$data$age
  loose <- quiet_slam(Y ~ 1 + (1 | id), K = world$K, factors = ~ age, n_factors = 1, chains = 1, iter = 20, seed = 1, progress = FALSE)
  expect_equal(unname(loose$covariates$XF[, 1]), c(scale(age)))
  age[3] <- Inf
  expect_error(slamglmm_fit(Y ~ 1 + (1 | id), K = world$K, factors = ~ age, n_factors = 1), class = "fastlmm_error_nonfinite")
})

# ---- bad input ---------------------------------------------------------------------------------------------------------------

test_that("bad input is told by class and name", {
  world <- slam_world()
  bad <- function(class, ..., change = identity) expect_error(slam_quick(change(world), ...), class = paste0("fastlmm_error_", class))
  response <- function(value) function(world) {
    world$data$Y[, 2] <- value
    world
  }
  bad("constant_response", change = response(3))
  bad("missing_response", change = response(NA))
  bad("nonfinite", change = response(c(Inf, rnorm(59))))
  bad("response_type", change = function(world) {
    world$data$Y <- matrix("a", 60, 2)
    world
  })
  bad("ids_missing", change = function(world) {
    world$K <- world$K[-1, -1]
    world
  })
  expect_error(slamglmm_fit(Y ~ 1 + (1 | id) + (1 | sex), world$data), class = "fastlmm_error_not_identifiable")
  bad("n_factors", n_factors = -1)
  bad("plan", iter = 10)
  bad("seed", seed = "a")
  bad("known_loadings", known_loadings = matrix(1, 3, 1))
  bad("prior", prior = list())
  bad("formula", factors = Y ~ sex)
  bad("constant_covariate", factors = ~ I(0 * sex))
  expect_message(
    slamglmm_fit(Y ~ 1 + (1 | id), world$data, world$K, n_factors = 6, chains = 1, iter = 20, progress = FALSE), class = "fastlmm_message_n_factors"
  )
  expect_error(inverse_wishart(diag(2), 3), class = "fastlmm_error_prior")
  expect_error(mgp(others = c(0.5, 1)), class = "fastlmm_error_prior")
  expect_warning(mgp(others = c(1.5, 1), truncated = FALSE), class = "fastlmm_warning_prior")
  expect_error(horseshoe(p0 = 2), class = "fastlmm_error_prior")
  expect_error(slam_prior(h2 = 1:3) |> (\(prior) slam_quick(world, prior = prior))(), class = "fastlmm_error_prior")
  fit <- slam_quick(world)
  expect_error(G(fit, "animal"), class = "fastlmm_error_effect")
  expect_error(G(fit, traits = "trait9"), class = "fastlmm_error_traits")
})

test_that("draws that failed are counted and warned of", {
  fit <- list(failed = failed_draws(list(c(0, 0, 0, 0), c(2, 0, 1, 0))))
  expect_warning(warn_failed_draws(fit), "3 draws failed .*responses 2, factors 1; chain 2", class = "fastlmm_warning_failed_draws")
  expect_silent(warn_failed_draws(fit, fit$failed))
})
