# Simulation-based calibration of slamglmm_fit() (Talts and others 2018): parameters of the prior, data of them, and the rank of each parameter among draws
# given the data, which is uniform if the sampler is right. make check-long.
# Replicates whose data cannot be fitted (a level that is missing, a response that does not vary) are left out: that depends on the data alone, given which
# ranks are uniform all the same.

calibration_prior <- function() {
  slam_prior(
    residual = inverse_gamma(5, 3), covariates = inverse_gamma(5, 2), loadings = mgp(nu = 5, first = c(6, 4), others = c(4, 2), truncated = FALSE),
    h2 = dirichlet_prior(1), h2_factors = dirichlet_prior(1)
  )
}

calibration_data <- function(effects, n = 40) {
  set.seed(11)
  data <- data.frame(id = sprintf("i%02d", rep(1:10, length.out = n)), block = sprintf("b%d", sample(rep(1:8, length.out = n))), x = 1 + 0.5 * rnorm(n))
  # values to set the model up with, which have all levels
  data$Y <- cbind(a = rep(c(0, 1, 2, 1), length.out = n), b = rnorm(n))
  data
}

calibration_fit <- function(case, data, seed, iter, prior = calibration_prior()) {
  formula <- if (case$effects == 2) Y ~ 0 + x + (1 | id) + (1 | block) else Y ~ 0 + x + (1 | id)
  quiet_slam(
    formula, data, factors = if (case$effects == 2) ~ x + (1 | id) + (1 | block) else ~ x + (1 | id), family = case$family, weights = case$weights,
    n_factors = 2, prior = prior,
    grid = 6, rays = if (case$effects == 2) 3, chains = 1, iter = iter, warmup = floor(iter / 6), thin = 1, seed = seed, control = fastlmm_control(threads = 1)
  )
}

# The fit with one draw of the prior in place of its own
with_prior_draw <- function(fit) {
  numbers <- fit$numbers
  p <- ncol(fit$Y)
  k <- fit$n_factors
  precisions <- fastlmm:::loading_precisions(numbers, p, k)
  lambda <- matrix(rnorm(p * k), p, k) / sqrt(precisions$each)
  shared <- fastlmm:::variance_draw(numbers$shared)
  of <- length(numbers$traits)
  at <- sample.int(of, p, TRUE, numbers$traits)
  factors_at <- sample.int(of, k, TRUE, numbers$factors)
  h <- if (is.null(numbers$proportions)) numbers$h else rowSums(numbers$proportions)
  old <- fit$draws[[1]]
  chain <- lapply(old[names(old) != "count"], function(x) array(0, c(dim(x)[-length(dim(x))], 1)))
  chain$theta[, , 1] <- rbind(sqrt(shared) * rnorm(p), t(lambda))
  chain$factors_b[, , 1] <- sqrt(shared) * rnorm(k)
  chain$sigma2[, 1] <- fastlmm:::variance_draw(numbers$residual)
  chain$h[, 1] <- h[at]
  chain$factors_h[, 1] <- h[factors_at]
  if (!is.null(chain$point)) {
    chain$point[, 1] <- at - 1
    chain$factors_point[, 1] <- factors_at - 1
  }
  if (length(chain$link) > 0) {
    inverse <- grepl("dispersion", fastlmm:::link_parameters(fit))
    chain$link[, 1] <- rexp(length(inverse))^ifelse(inverse, -1, 1)
  }
  fit$draws <- list(chain)
  fit$plan$chains <- 1
  fit
}

calibrated <- function(fit) {
  all <- fastlmm:::invariant_draws(fit, variable = "^(h2|G|R|B)[^,]*\\]|^B", regex = TRUE)
  all <- matrix(all, ncol = dim(all)[3], dimnames = list(NULL, dimnames(all)[[3]]))
  pairs <- function(draws, name) matrix(draws[1, 2, ], ncol = 1, dimnames = list(NULL, name))
  effects <- fastlmm:::effect_names(fit)
  for (effect in effects) all <- cbind(all, pairs(fastlmm::G(fit, if (length(effects) > 1) effect, draws = TRUE), paste0("G12_", effect)))
  all <- cbind(all, pairs(fastlmm::R(fit, draws = TRUE), "R12"))
  link <- fit$draws[[1]]$link
  if (length(link) > 0) all <- cbind(all, matrix(t(link), ncol = nrow(link), dimnames = list(NULL, fastlmm:::link_parameters(fit))))
  all
}

# A function of the package is another one until the caller ends.
local_replaced <- function(name, by, frame = parent.frame()) {
  namespace <- asNamespace("fastlmm")
  set <- function(value) {
    unlockBinding(name, namespace)
    assign(name, value, namespace)
    lockBinding(name, namespace)
  }
  before <- get(name, namespace)
  withr::defer(set(before), frame)
  set(by)
}

# Ranks, replicates x quantities, as numbers from 0 to 1. `spoil`, `prior`: of the fits alone
calibration_ranks <- function(case, replicates, iter, spoil = identity, prior = calibration_prior()) {
  # priors are in units of scaled responses: here of the responses themselves
  local_replaced("slam_scale", function(Y, X, flat, cis = NULL) {
    list(
      shift = matrix(0, ncol(X), ncol(Y), dimnames = list(colnames(X), colnames(Y))), sd = stats::setNames(rep(1, ncol(Y)), colnames(Y)), scaled = Y,
      cis = numeric(length(cis$response))
    )
  })
  data <- calibration_data(case$effects)
  data$Y[, "a"] <- case$start(data$Y[, "a"])
  structure <- calibration_fit(case, data, 1, 12)
  one <- function(r) {
    set.seed(5000 + r)
    truth <- with_prior_draw(structure)
    new <- data
    new$Y <- fastlmm:::replicated(truth, 1)
    if (!all(is.finite(new$Y)) || any(abs(new$Y) > 1e6) || length(unique(new$Y[, "a"])) < case$least) return(NULL)
    fit <- suppressWarnings(calibration_fit(case, new, r, iter, prior))
    draws <- spoil(calibrated(fit))
    draws <- draws[round(seq(1, nrow(draws), length.out = 99)), , drop = FALSE]
    truth <- calibrated(truth)[1, ]
    # ties, as of proportions that are 0, are broken at random
    below <- colSums(draws < rep(truth, each = nrow(draws)))
    ties <- colSums(draws == rep(truth, each = nrow(draws)))
    (below + runif(length(truth)) * (ties + 1)) / (nrow(draws) + 1)
  }
  do.call(rbind, lapply(seq_len(replicates), one))
}

uniform_p <- function(ranks, bins = 6) apply(
  ranks, 2, function(u) suppressWarnings(chisq.test(table(cut(u, seq(0, 1, length.out = bins + 1), include.lowest = TRUE)))$p.value)
)

calibration_cases <- function() {
  count <- function(y) y
  weights <- matrix(rep(c(1, 4, 2, 8), 20), 40)
  list(
    normal = list(effects = 1, start = function(y) y + sin(seq_along(y)), least = 2),
    two_effects = list(effects = 2, start = function(y) y + sin(seq_along(y)), least = 2),
    weights = list(effects = 1, weights = weights, start = function(y) y + sin(seq_along(y)), least = 2),
    poisson = list(effects = 1, family = list(a = poisson()), start = count, least = 2),
    two_effects_poisson = list(effects = 2, family = list(a = poisson()), start = count, least = 2),
    negative_binomial = list(effects = 1, family = list(a = negative_binomial()), start = count, least = 2),
    binomial = list(effects = 1, family = list(a = binomial()), weights = matrix(c(rep(5, 40), rep(1, 40)), 40), start = function(y) y / 5, least = 2),
    ordinal = list(effects = 1, family = list(a = ordinal()), start = count, least = 3)
  )
}

test_that("ranks of what the prior drew are uniform", {
  skip_if_not(is_long(), "slow; make check-long runs it")
  cases <- calibration_cases()
  only <- Sys.getenv("CALIBRATION_CASES")
  if (nzchar(only)) cases <- cases[strsplit(only, ",")[[1]]]
  all <- lapply(names(cases), function(name) {
    p <- uniform_p(calibration_ranks(cases[[name]], 100, 1200))
    if (nzchar(Sys.getenv("SHOW_COVERAGE"))) message(name, ": least p ", signif(min(p), 2), " (", names(which.min(p)), ") of ", length(p))
    p
  })
  p <- unlist(stats::setNames(all, names(cases)))
  # by chance one run in 200 of a sampler that is right has a smaller one (Bonferroni)
  expect_gt(min(p) * length(p), 0.005)
})

test_that("a posterior that is too narrow is not calibrated", {
  skip_if_not(is_long(), "slow; make check-long runs it")
  narrow <- function(draws) sweep(0.5 * sweep(draws, 2, colMeans(draws)), 2, colMeans(draws), "+")
  p <- uniform_p(calibration_ranks(calibration_cases()$normal, 60, 900, narrow))
  expect_lt(min(p), 1e-4)
})

test_that("a posterior under another prior is not calibrated", {
  skip_if_not(is_long(), "slow; make check-long runs it")
  prior <- calibration_prior()
  prior$h2 <- prior$h2_factors <- beta_prior(6, 1)
  p <- uniform_p(calibration_ranks(calibration_cases()$normal, 60, 900, prior = prior))
  expect_lt(min(p), 1e-4)
})
