# Posteriors of one small response of each family against brute force: a grid of variance, proportion and link parameter, latent values and the intercept
# integrated out by importance sampling.

small_kernel <- function(n = 8) {
  K <- 0.6^abs(outer(seq_len(n), seq_len(n), "-"))
  dimnames(K) <- rep(list(sprintf("i%d", seq_len(n))), 2)
  K
}

shape <- 3
rate <- 2

# Log of the integral of exp(log_density(eta)) times a normal density with flat mean over eta, and the mean of the intercept
integrated <- function(log_density, slopes, V, count) {
  n <- nrow(V)
  inverse <- solve(V)
  whole <- rowSums(inverse)
  precision <- inverse - tcrossprod(whole) / sum(whole)
  constant <- -0.5 * as.numeric(determinant(V)$modulus) - 0.5 * log(sum(whole))
  eta <- rep(0, n)
  value <- function(eta) sum(log_density(matrix(eta))) - 0.5 * sum(eta * (precision %*% eta))
  for (step in 1:100) {
    at <- slopes(eta)
    H <- precision + diag(at$curve + 1e-8, n)
    move <- drop(solve(H, at$slope - precision %*% eta))
    while (!isTRUE(value(eta + move) >= value(eta) - 1e-9) && sum(abs(move)) > 1e-10) move <- move / 2
    eta <- eta + move
    if (sum(abs(move)) < 1e-8) break
  }
  root <- chol(precision + diag(slopes(eta)$curve + 1e-8, n))
  z <- matrix(rnorm(n * count), n)
  mix <- rchisq(count, 7) / 7
  x <- eta + backsolve(root, z) / rep(sqrt(mix), each = n)
  square <- colSums(z^2) / mix
  log_q <- lgamma((7 + n) / 2) - lgamma(3.5) - n / 2 * log(7) + sum(log(diag(root))) - (7 + n) / 2 * log1p(square / 7)
  log_p <- colSums(log_density(x)) - 0.5 * colSums(x * (precision %*% x)) + constant
  top <- max(log_p - log_q)
  weight <- exp(log_p - log_q - top)
  c(top + log(mean(weight)), sum(weight * drop(crossprod(whole, x)) / sum(whole)) / sum(weight))
}

# Posterior means of the intercept, h, log variance and log parameter. `model(sigma2, h, parameter)`: log density, slopes and V; `prior`: log densities of log
# variances and log parameters
grid_means <- function(model, h, log_sigma2 = 0, log_parameter = 0, prior = function(s, r) 0, count = 1000) {
  points <- expand.grid(h = h, s = log_sigma2, r = log_parameter)
  one <- function(at) {
    parts <- with(points[at, ], model(exp(s), h, exp(r)))
    integrated(parts$log, parts$slopes, parts$V, count)
  }
  found <- vapply(seq_len(nrow(points)), one, numeric(2))
  log <- found[1, ] + prior(points$s, points$r)
  weight <- exp(log - max(log)) / sum(exp(log - max(log)))
  c(b = sum(weight * found[2, ]), h = sum(weight * points$h), s = sum(weight * points$s), r = sum(weight * points$r))
}

inverse_gamma_log <- function(s) -shape * s - rate * exp(-s)

mean_and_mcse <- function(x, batches = 40) {
  means <- colMeans(matrix(x[seq_len(batches * (length(x) %/% batches))], ncol = batches))
  c(mean(x), sd(means) / sqrt(batches))
}

chain_means <- function(y, family, weights = NULL, h = c(0.2, 0.5, 0.8), iter = 6000) {
  K <- small_kernel(length(y))
  data <- data.frame(id = rownames(K))
  data$Y <- matrix(y, dimnames = list(NULL, "y"))
  prior <- slam_prior(residual = inverse_gamma(shape, rate), h2 = rep(1, length(h)))
  fit <- suppressWarnings(
    quiet_slam(
      Y ~ 1 + (1 | id), data, K = list(id = K), family = family, weights = weights, n_factors = 0, prior = prior, grid = h, chains = 2, iter = iter,
      warmup = 1000, seed = 2
    )
  )
  of <- function(name) unlist(lapply(fit$draws, function(chain) chain[[name]]))
  found <- rbind(b = mean_and_mcse(c(fixef(fit, draws = TRUE))), h = mean_and_mcse(of("h")), s = mean_and_mcse(log(of("sigma2"))))
  if (!is.null(of("link")) && length(of("link")) > 0) found <- rbind(found, r = mean_and_mcse(log(of("link"))))
  list(found = found, fit = fit)
}

expect_grid <- function(chains, expected, label) {
  found <- chains$found
  z <- (found[, 1] - expected[rownames(found)]) / pmax(found[, 2], 1e-6)
  expect_true(all(abs(z) < 4), info = paste(label, toString(paste(rownames(found), round(found[, 1], 3), round(expected[rownames(found)], 3), round(z, 1)))))
}

latent <- function(K) function(sigma2, h) sigma2 * (h * K + (1 - h) * diag(nrow(K)))

test_that("counts and proportions have the posteriors of a grid", {
  skip_if_not(is_long(), "slow; make check-long runs it")
  set.seed(1)
  V <- latent(small_kernel())
  h <- c(0.2, 0.5, 0.8)
  y <- c(0, 2, 1, 5, 3, 0, 1, 2)
  poisson_model <- function(sigma2, h, r) {
    list(log = function(x) y * x - exp(x), slopes = function(x) list(slope = y - exp(x), curve = exp(x)), V = V(sigma2, h))
  }
  s <- seq(log(0.05), log(40), length.out = 20)
  prior <- function(s, r) inverse_gamma_log(s)
  expect_grid(chain_means(y, poisson()), grid_means(poisson_model, h, s, prior = prior), "poisson")
  trials <- c(1, 4, 3, 6, 2, 5, 4, 3)
  successes <- c(0, 2, 1, 5, 2, 1, 1, 2)
  binomial_model <- function(sigma2, h, r) {
    list(
      log = function(x) successes * plogis(x, log.p = TRUE) + (trials - successes) * plogis(-x, log.p = TRUE),
      slopes = function(x) list(slope = successes - trials * plogis(x), curve = trials * dlogis(x)), V = V(sigma2, h)
    )
  }
  expect_grid(chain_means(successes / trials, binomial(), matrix(trials)), grid_means(binomial_model, h, s, prior = prior), "binomial")
  negative_model <- function(sigma2, h, r) {
    list(
      log = function(x) dnbinom(y, size = r, mu = exp(x), log = TRUE),
      slopes = function(x) list(slope = y - (y + r) * plogis(x - log(r)), curve = (y + r) * dlogis(x - log(r))), V = V(sigma2, h)
    )
  }
  with_r <- function(s, r) inverse_gamma_log(s) - exp(-r) - r
  expect_grid(
    chain_means(y, negative_binomial()), grid_means(negative_model, h, seq(log(0.1), log(20), length.out = 12), seq(-3, 9, length.out = 19), with_r, 600),
    "negative binomial"
  )
})

test_that("levels have the posteriors of a grid", {
  skip_if_not(is_long(), "slow; make check-long runs it")
  set.seed(1)
  K <- small_kernel()
  h <- c(0.2, 0.5, 0.8)
  # the residual is integrated out: levels given b + u are normal probabilities
  levels_model <- function(level) function(sigma2, h, gap) {
    cuts <- c(-Inf, 0, if (max(level) > 1) gap, Inf)
    sd <- sqrt(1 - h)
    low <- cuts[level + 1]
    high <- cuts[level + 2]
    # from the side on which a small probability is no difference of two near 1
    density <- function(x) {
      tail <- low < x
      log(ifelse(tail, pnorm((high - x) / sd) - pnorm((low - x) / sd), pnorm((low - x) / sd, lower.tail = FALSE) - pnorm((high - x) / sd, lower.tail = FALSE)))
    }
    slopes <- function(x) {
      p <- exp(density(x))
      a <- dnorm((high - x) / sd)
      b <- dnorm((low - x) / sd)
      slope <- (b - a) / (sd * p)
      inner <- (ifelse(is.finite(high), (high - x) * a, 0) - ifelse(is.finite(low), (low - x) * b, 0)) / (sd^3 * p)
      list(slope = slope, curve = pmax(slope^2 + inner, 1e-6))
    }
    list(log = density, slopes = slopes, V = h * K)
  }
  sick <- c(0, 1, 1, 1, 0, 0, 1, 0)
  probit <- chain_means(sick, binomial("probit"))
  probit$found <- probit$found[c("b", "h"), ]
  expect_grid(probit, grid_means(levels_model(sick), h, count = 5000), "probit")
  grade <- c(0, 1, 2, 2, 1, 0, 1, 0)
  ordinal <- chain_means(grade, ordinal())
  ordinal$found <- ordinal$found[c("b", "h", "r"), ]
  expected <- grid_means(levels_model(grade), h, log_parameter = seq(-4, 1.6, length.out = 28), prior = function(s, r) r - exp(r), count = 2000)
  expect_grid(ordinal, expected, "ordinal")
})

test_that("weights have the posterior of a grid", {
  skip_if_not(is_long(), "slow; make check-long runs it")
  K <- small_kernel()
  y <- c(1.2, 0.3, -0.4, 2.1, 1.7, 0.2, -1.1, 0.5)
  w <- c(1, 4, 2, 8, 1, 3, 2, 5)
  h <- c(0.2, 0.5, 0.8)
  chains <- chain_means(y, NULL, matrix(w))
  sd <- unname(chains$fit$scale$sd)
  scaled <- (y - drop(chains$fit$scale$shift)) / sd
  points <- expand.grid(h = h, s = seq(log(0.05), log(40), length.out = 60))
  one <- function(at) {
    V <- latent(K)(exp(points$s[at]), points$h[at]) + diag(1 / (w * sd^2))
    inverse <- solve(V)
    b <- sum(inverse %*% scaled) / sum(inverse)
    c(
      -0.5 * as.numeric(determinant(V)$modulus) - 0.5 * log(sum(inverse)) - 0.5 * drop(
        crossprod(scaled - b, inverse %*% (scaled - b))
      ) + inverse_gamma_log(points$s[at]),
      b
    )
  }
  found <- vapply(seq_len(nrow(points)), one, numeric(2))
  weight <- exp(found[1, ] - max(found[1, ]))
  weight <- weight / sum(weight)
  expected <- c(b = unname(sum(weight * found[2, ]) * sd + drop(chains$fit$scale$shift)), h = sum(weight * points$h), s = sum(weight * points$s))
  expect_grid(chains, expected, "weights")
})
