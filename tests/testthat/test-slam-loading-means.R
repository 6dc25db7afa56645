# Loadings whose means depend on covariates of the responses.

traits_of <- function(p) {
  set.seed(5)
  data.frame(x = rnorm(p), group = rep(c("a", "b", "c"), length.out = p), row.names = paste0("t", seq_len(p)))
}

# Two factors: loadings of one follow x, of the other the group
regression_world <- function(seed, p = 60, lines = 30) {
  traits <- traits_of(p)
  set.seed(seed)
  Lambda <- cbind(0.8 * traits$x, c(a = 0, b = 0.7, c = -0.7)[traits$group]) + matrix(0.2 * rnorm(2 * p), p)
  line <- rep(sprintf("l%02d", seq_len(lines)), each = 2)
  factors <- cbind(0.8 * rnorm(lines)[rep(seq_len(lines), each = 2)] + 0.6 * rnorm(2 * lines), rnorm(2 * lines))
  Y <- tcrossprod(factors, Lambda) + matrix(1.5 * rnorm(2 * lines * p), 2 * lines)
  colnames(Y) <- rownames(traits)
  list(traits = traits, Lambda = Lambda, data = data.frame(line = line, Y = I(Y)))
}

regression_fit <- function(world, means, ..., iter = 800, chains = 2, seed = 1, k = 3) {
  quiet_slam(Y ~ 1 + (1 | line), world$data, n_factors = k, prior = slam_prior(loading_means = means, ...), chains = chains, iter = iter, seed = seed)
}

small_world <- function() {
  world <- regression_world(1, p = 6, lines = 10)
  world$prior <- slam_prior(loading_means = loading_regression(~ x + group, world$traits))
  world
}

small_fit <- function(world = small_world(), prior = world$prior, ..., iter = 60) quiet_slam(
  Y ~ 1 + (1 | line), world$data, n_factors = 2, prior = prior, chains = 2, iter = iter, seed = 1, ...
)

test_that("effects of covariates of responses are found, and make loadings better", {
  covered <- better <- 0
  for (seed in 1:3) {
    world <- regression_world(seed)
    with <- regression_fit(world, loading_regression(~ x + group, world$traits))
    without <- regression_fit(world, NULL)
    # what two responses share needs no signs and order of factors
    error <- function(fit) {
      draws <- factor_loadings(fit, draws = TRUE)
      shared <- Reduce(`+`, lapply(seq_len(dim(draws)[3]), function(t) tcrossprod(draws[, , t]))) / dim(draws)[3]
      off <- upper.tri(shared)
      sqrt(mean((shared - tcrossprod(world$Lambda))[off]^2))
    }
    better <- better + (error(with) < error(without))
    # least squares of the true loadings, in units of scaled responses
    truth <- coef(lm(world$Lambda / with$scale$sd ~ x + group, world$traits))[-1, ]
    table <- loading_effects(with, level = 0.95)
    loadings <- factor_loadings(with)
    for (m in 1:2) {
      found <- which.max(abs(cor(loadings, world$Lambda[, m])))
      sign <- sign(cor(loadings[, found], world$Lambda[, m]))
      of <- table[table$factor == paste0("factor", found), ]
      bounds <- cbind(of$low, of$high) * sign
      covered <- covered + sum(truth[, m] > pmin(bounds[, 1], bounds[, 2]) & truth[, m] < pmax(bounds[, 1], bounds[, 2]))
      # the largest effect of each factor is told from 0
      largest <- which.max(abs(truth[, m]))
      expect_gt(of$low[largest] * of$high[largest], 0)
      expect_equal(sign(of$mean[largest]), sign * sign(truth[[largest, m]]))
    }
  }
  expect_equal(better, 3)
  expect_gte(covered, 15)
})

test_that("effects are those of the definition: least squares of the means on the covariates", {
  world <- small_world()
  fit <- small_fit(world)
  expect_equal(dim(fit$draws[[1]]$effects), c(3, 2, 30))
  C <- fit$numbers$trait_covariates
  expect_equal(unname(colMeans(C)), rep(0, 3))
  expect_equal(crossprod(C[, 2:3]) / 5, diag(2))
  expect_equal(fit$numbers$trait_groups, c(1L, 2L, 2L))
  means <- C %*% fit$draws[[1]]$effects[, , 7]
  truth <- coef(lm(means ~ x + group, world$traits))[-1, ]
  expect_equal(unname(loading_effects(fit, align = FALSE, draws = TRUE)[, , 7]), unname(truth))
  table <- loading_effects(fit, level = 0.8)
  expect_named(table, c("covariate", "factor", "mean", "sd", "low", "high", "rhat", "ess_bulk", "ess_tail"))
  expect_equal(unique(table$covariate), c("x", "groupb", "groupc"))
  expect_equal(table$mean, c(loading_effects(fit)))
  # as aligned as loadings: another sign and order of a chain's factors changes no size
  flipped <- fit
  flipped$draws[[2]]$theta[2:3, , ] <- -flipped$draws[[2]]$theta[3:2, , ]
  flipped$draws[[2]]$effects <- -flipped$draws[[2]]$effects[, 2:1, ]
  expect_equal(abs(loading_effects(flipped)), abs(loading_effects(fit)), tolerance = 1e-10)
  # with a mean of all loadings
  mean <- small_fit(prior = slam_prior(loading_means = loading_regression(~x, world$traits, intercept = TRUE)))
  expect_equal(rownames(loading_effects(mean)), c("(Intercept)", "x"))
  expect_equal(mean$numbers$trait_groups, 1:2)
})

test_that("means of loadings of other responses follow from their covariates", {
  world <- small_world()
  for (intercept in c(FALSE, TRUE)) {
    fit <- small_fit(prior = slam_prior(loading_means = loading_regression(~ poly(x, 2) + group, world$traits, intercept = intercept)))
    own <- loading_effects(fit, newdata = world$traits, align = FALSE, draws = TRUE)
    expect_equal(unname(own[, , 9]), unname(fit$numbers$trait_covariates %*% fit$draws[[1]]$effects[, , 9]))
    expect_equal(dimnames(own)[1:2], list(rownames(world$traits), c("factor1", "factor2")))
    # one at a time as all together: neither means, basis nor levels are of the new ones
    expect_equal(loading_effects(fit, newdata = world$traits[4, ]), loading_effects(fit, newdata = world$traits)[4, , drop = FALSE])
  }
  table <- loading_effects(fit, newdata = data.frame(x = c(new = 3), group = "b"), level = 0.9)
  expect_equal(table$response, c("new", "new"))
  expect_true(all(is.na(loading_effects(fit, newdata = data.frame(x = NA_real_, group = "b")))))
  # of no rows nothing, and of infinite numbers no mean
  expect_equal(dim(loading_effects(fit, newdata = world$traits[0, ])), c(0L, 2L))
  expect_equal(dim(loading_effects(fit, newdata = world$traits[0, ], draws = TRUE))[1:2], c(0L, 2L))
  expect_equal(nrow(loading_effects(fit, newdata = world$traits[0, ], level = 0.9)), 0)
  expect_error(loading_effects(fit, newdata = data.frame(x = Inf, group = "b")), "x", class = "fastlmm_error_nonfinite")
  expect_error(loading_effects(fit, newdata = data.frame(group = "b")), "x", class = "fastlmm_error_missing_variable")
  expect_error(loading_effects(fit, newdata = data.frame(x = 1, group = "d")), "d", class = "fastlmm_error_new_fixed_level")
  # responses that were left out have the loadings that their covariates say
  world <- regression_world(2)
  out <- 1:12
  part <- world
  part$data$Y <- world$data$Y[, -out]
  means <- loading_effects(regression_fit(part, loading_regression(~ x + group, world$traits)), newdata = world$traits[out, ])
  truth <- world$Lambda[out, ]
  expect_gt(max(abs(cor(truth[, 1], means))), 0.9)
  expect_gt(max(abs(cor(truth[, 2], means))), 0.9)
})

test_that("neither units, contrasts, order of rows nor other rows change the model", {
  world <- small_world()
  numbers <- function(formula, data) fastlmm:::trait_numbers(loading_regression(formula, data), rownames(world$traits))
  whole <- numbers(~ x + group, world$traits)
  more <- rbind(world$traits[6:1, ], other = data.frame(x = NA, group = "d"))
  expect_identical(numbers(~ x + group, more), whole)
  fit <- small_fit(world)
  scaled <- small_fit(prior = slam_prior(loading_means = loading_regression(~ x + group, transform(world$traits, x = 8 * x))))
  expect_identical(scaled$draws, fit$draws)
  expect_equal(loading_effects(scaled)["x", ], loading_effects(fit)["x", ] / 8)
  expect_equal(numbers(~x, transform(world$traits, x = 1e300 * x))$trait_covariates, numbers(~x, world$traits)$trait_covariates)
  # contrasts turn a term's columns only: effects u of other columns of the same space have the same prior covariance of means
  other <- world$traits
  other$group <- factor(other$group, levels = c("c", "a", "b"))
  contrasts(other$group) <- "contr.sum"
  turned <- numbers(~ x + group, other)
  expect_equal(tcrossprod(turned$trait_covariates), tcrossprod(whole$trait_covariates))
  expect_equal(numbers(~ 0 + x + group, world$traits), whole)
  # a column that depends on others of its term is left out
  double <- numbers(~ x + cbind(u, v), data.frame(world$traits, u = world$traits$x^2, v = 2 * world$traits$x^2))
  expect_equal(ncol(double$trait_covariates), 2)
  # responses in another order: the same posterior
  permuted <- world
  permuted$data$Y <- world$data$Y[, c(4, 2, 6, 1, 5, 3)]
  found <- G(small_fit(permuted, iter = 3000))[colnames(world$data$Y), colnames(world$data$Y)]
  expect_equal(found, G(small_fit(world, iter = 3000)), tolerance = 0.15)
})

test_that("chains with effects go on as if never stopped, whatever is kept, and depend on their seed", {
  dir <- withr::local_tempdir()
  world <- small_world()
  for (prior in list(world$prior, slam_prior(loadings = horseshoe(), loading_scale = "residual", loading_means = world$prior$loading_means))) {
    whole <- small_fit(world, prior, iter = 80, warmup = 20)
    first <- small_fit(world, prior, iter = 50, warmup = 20)
    expect_identical(quiet_chains(extend(first, 30))$draws, whole$draws)
  }
  stored <- small_fit(world, iter = 50, warmup = 20, dir = dir)
  expect_identical(quiet_chains(extend(restore(dir), 30))$draws, small_fit(world, iter = 80, warmup = 20)$draws)
  bare <- small_fit(world, iter = 50, warmup = 20, keep = character())
  expect_identical(bare$draws[[1]]$effects, stored$draws[[1]]$effects)
  expect_identical(loading_effects(bare), loading_effects(stored))
  expect_equal(small_fit(world, preview = TRUE)$draws, 8 * sum(lengths(unlist(small_fit(world)$draws, recursive = FALSE))))
  # another directory's model
  expect_error(small_fit(world, slam_prior(), iter = 50, warmup = 20, dir = dir), class = "fastlmm_error_checkpoint")
})

test_that("missing cells, known loadings and no factors go with covariates of responses", {
  world <- small_world()
  world$data$Y[c(1:4, 9), 2] <- NA
  for (missing in c("impute", "integrate")) expect_equal(dim(loading_effects(small_fit(world, missing = missing))), c(3, 2))
  known <- matrix(NA_real_, 6, 1)
  known[1:2] <- c(1, 0)
  expect_equal(unname(factor_loadings(small_fit(world, known_loadings = known))[1:2, 1]), c(1, 0))
  none <- quiet_slam(Y ~ 1 + (1 | line), world$data, n_factors = 0, prior = world$prior, chains = 1, iter = 40, seed = 1)
  expect_equal(dim(loading_effects(none)), c(3, 0))
  expect_equal(nrow(loading_effects(none, level = 0.9)), 0)
})

test_that("draws of the prior have the covariance of the means", {
  traits <- data.frame(x = c(-2, 0, 1, 1), row.names = letters[1:4])
  prior <- function(means) slam_prior(residual = fixed_variance(1), loadings = mgp(nu = 10, first = c(4, 3)), loading_means = means)
  draws <- slam_prior_draws(prior(loading_regression(~x, traits, variance = inverse_gamma(5, 8))), p = 4, n_factors = 1, n = some_draws(40000), seed = 1)
  x <- traits$x / sd(traits$x)
  # E 1 / tau = 1, E 1 / phi = 1.25, E v = 2
  expect_equal(unname(apply(draws$P, 1:2, mean)), diag(1 + 1.25, 4) + 2 * tcrossprod(x), tolerance = 0.1)
  expect_equal(rownames(draws$P), letters[1:4])
  expect_error(slam_prior_draws(prior(loading_regression(~x, traits)), p = 3), "4 responses", class = "fastlmm_error_prior")
})

test_that("what is wrong with covariates of responses is said", {
  world <- small_world()
  traits <- world$traits
  fit <- function(formula, data, ...) small_fit(world, slam_prior(loading_means = loading_regression(formula, data, ...)))
  expect_error(fit(~x, traits[-2, ]), "t2", class = "fastlmm_error_loading_regression")
  expect_error(fit(~x, `rownames<-`(traits, c("T1", rownames(traits)[-1]))), "did you mean.*T1", class = "fastlmm_error_loading_regression")
  expect_error(fit(~x, data.frame(x = 1:6)), class = "fastlmm_error_row_names")
  expect_error(fit(~x, replace(traits, "x", c(NA, 1:5))), "t1", class = "fastlmm_error_missing_values")
  expect_error(fit(~x, replace(traits, "x", c(Inf, 1:5))), "x", class = "fastlmm_error_nonfinite")
  expect_error(fit(~x, replace(traits, "x", 1)), "x", class = "fastlmm_error_constant_covariate")
  expect_error(fit(~group, replace(traits, "group", "a")), "group", class = "fastlmm_error_single_level")
  one <- regression_world(1, p = 1, lines = 10)
  expect_error(small_fit(one, slam_prior(loading_means = loading_regression(~x, one$traits))), "do not vary", class = "fastlmm_error_constant_covariate")
  expect_error(fit(~z, traits), "z", class = "fastlmm_error_missing_variable")
  for (bad in list(y ~ x, ~1, ~ (1 | group), "x", ~ x + offset(x))) expect_error(fit(bad, traits), class = "fastlmm_error_formula")
  for (bad in list(fixed_variance(1), 1, inverse_gamma(c(a = 1, b = 2), 1))) expect_error(fit(~x, traits, variance = bad), class = "fastlmm_error_prior")
  expect_error(fit(~x, traits, intercept = NA), class = "fastlmm_error_argument")
  expect_error(loading_regression(~x), "is needed", class = "fastlmm_error_argument")
  expect_error(slam_prior(loading_means = ~x), "loading_regression", class = "fastlmm_error_prior")
  plain <- small_fit(world, slam_prior())
  expect_error(loading_effects(plain), "do not depend on covariates", class = "fastlmm_error_loading_regression")
  expect_error(loading_effects(lm(dist ~ speed, cars)), class = "fastlmm_error_class")
  # a fit without them is as it was
  expect_null(plain$numbers$trait_covariates)
  expect_null(plain$draws[[1]]$effects)
  expect_output(print(world$prior), "means of loadings  ~x \\+ group, variances of effects inverse gamma")
  expect_output(print(loading_regression(~x, traits, intercept = TRUE)), "and an intercept")
  expect_equal(world$prior$loadings$numbers[[3]], 0.05)
  expect_equal(slam_prior()$loadings, mgp())
})
