# The log likelihood of each datum in each draw of a sparse-factor model, as leave-one-out methods take it.

#' Pointwise log-likelihood of a sparse-factor model
#'
#' The log density of each observed cell under each draw of the sampler, given that draw's fixed effects, factors, random effects (drawn given
#' the others, with the seed of the fit) and parameters of the family. The residual of the response is integrated out: in closed form for
#' normal, weighted and ordinal responses, by Gauss-Hermite quadrature about the mode for counts and proportions. `loo::loo(log_lik(fit))`, or
#' `loo(fit)`, then estimates how well other cells that share the factors and random effects of the rows would be predicted.
#'
#' Factors and random effects of a row are estimated from its own data. Where few cells share them (one row for each id, few responses for each
#' factor), values of Pareto k above 0.7 show that importance sampling cannot approximate leaving a cell out; refit without some of the rows
#' and predict them instead. Compare only fits to the same data.
#'
#' @param object,x a fit by [slamglmm_fit()] that kept its factors and cells.
#' @param ... for `loo()` and `waic()`, arguments of the methods for matrices; otherwise not used.
#' @return `log_lik()`: a matrix with a row for each draw, chain after chain, and a column for each observed cell, response by response, named
#'   `row,response`. Densities of normal responses are in units of the data, after subtraction of an offset. `loo()` and `waic()`: the objects
#'   of package loo.
#' @seealso [pp_check()] for replicated data.
#' @examples
#' set.seed(1)
#' data <- data.frame(id = paste0("i", rep(1:20, 3)))
#' effect <- rnorm(20)[match(data$id, unique(data$id))]
#' data$Y <- cbind(count = rpois(60, exp(1 + effect)), size = effect + rnorm(60))
#' fit <- slamglmm_fit(Y ~ 1 + (1 | id), data, family = list(count = poisson()), chains = 2, iter = 200, seed = 1)
#' dim(log_lik(fit))
#' @export
log_lik <- function(object, ...) UseMethod("log_lik")

#' @export
log_lik.default <- function(object, ...) abort_not_slam(object, "log_lik", "logLik(fit)")

#' @rdname log_lik
#' @export
#' @exportS3Method rstantools::log_lik slamglmm
log_lik.slamglmm <- function(object, ...) {
  check_arguments(...)
  check_has_draws(object)
  check_has_densities(object)
  seen <- which(!is.na(object$Y))
  count <- count_draws(object)
  check_answer_memory(length(seen), 1, count)
  state <- seed_generator(object$seed %% .Machine$integer.max)
  on.exit(state$restore())
  effects <- own_effects(object)
  density <- datum_densities(object)
  all <- vapply(seq_len(count), function(i) density(object, effects, i)[seen], numeric(length(seen)))
  rows <- if (is.null(rownames(object$Y))) seq_len(nrow(object$Y)) else rownames(object$Y)
  cells <- outer(rows, colnames(object$Y), paste, sep = ",")[seen]
  matrix(all, count, length(seen), byrow = TRUE, dimnames = list(NULL, cells))
}

#' @rdname log_lik
#' @exportS3Method loo::loo slamglmm
loo.slamglmm <- function(x, ...) {
  all <- log_lik(x)
  chain <- rep(seq_len(x$plan$chains), each = nrow(all) / x$plan$chains)
  loo::loo(all, r_eff = loo::relative_eff(exp(all), chain_id = chain), ...)
}

#' @rdname log_lik
#' @exportS3Method loo::waic slamglmm
waic.slamglmm <- function(x, ...) loo::waic(log_lik(x), ...)

check_has_densities <- function(fit) {
  families <- vapply(fit$links, function(own) if (is.null(own)) "gaussian" else own$family, "")
  without <- setdiff(families, c("gaussian", "weights", "poisson", "negative_binomial", "binomial", "ordinal"))
  if (length(without) > 0) abort_family(
    paste0(
      "log_lik() has no densities for ", first_names(names(fit$links)[families %in% without]),
      ": it is for responses that are data themselves, or have a family"
    )
  )
}

# Random effects of what is the responses' own, drawn given it: a function of a draw and of its own parts, in units of standard deviations. Where they cannot be
# told from the residual all is residual.
own_effects <- function(fit) {
  if (!is.null(fit$unidentified)) return(NULL)
  cells <- cell_drawer(fit)
  target <- rows_target(fit, replace(own_rows(fit), "response", FALSE))
  function(d) target$draw(own_parts(fit, d, cells)$responses, d$at)
}

# A function of the fit, its effects and a draw: log densities, rows x responses
datum_densities <- function(fit) {
  links <- if (is.null(fit$links)) vector("list", ncol(fit$Y)) else unname(fit$links)
  parameters <- if (has_links(fit)) link_values(fit)
  places <- if (has_links(fit)) link_places(fit)
  function(fit, effects, i) {
    d <- scaled_draw(fit, i)
    own <- if (is.null(effects)) 0 else effects(d)
    mean <- to_rows(fit, fitted_in_basis(fit, d$F, d$theta, d$cis))
    mean <- as_responses(fit, mean + own * rep(d$sigma, each = nrow(mean)))
    variance <- (d$sigma * fit$scale$sd)^2 * if (is.null(effects)) 1 else 1 - d$h
    one <- function(j) {
      own <- links[[j]]
      if (is.null(own)) return(stats::dnorm(fit$Y[, j], mean[, j], sqrt(variance[j]), log = TRUE))
      marginal_density(fit$Y[, j], mean[, j], variance[j], own, parameters[places[[own$response]], i])
    }
    vapply(seq_along(links), one, numeric(nrow(mean)))
  }
}

# ---- a datum with its eta integrated out -------------------------------------------------------------------------------

# Log densities of data whose eta ~ N(mean, variance). NA where nothing was observed
marginal_density <- function(y, mean, variance, own, parameters) {
  if (own$family == "weights") return(stats::dnorm(y, mean, sqrt(variance + 1 / own$known), log = TRUE))
  if (own$family == "ordinal") return(level_density(own$y, mean, variance, parameters))
  out <- rep(NA_real_, length(own$y))
  at <- which(is.finite(own$y))
  out[at] <- quadrature_density(link_density(own$family, own$y[at], own$known[at], parameters), mean[at], variance)
  out
}

# log(Phi(b) - Phi(a)) about the side on which nothing cancels
level_density <- function(level, mean, variance, gaps) {
  cuts <- c(-Inf, 0, cumsum(gaps), Inf)
  low <- (cuts[level + 1] - mean) / sqrt(variance)
  high <- (cuts[level + 2] - mean) / sqrt(variance)
  turn <- low + high > 0
  from <- ifelse(turn, -high, low)
  to <- ifelse(turn, -low, high)
  top <- stats::pnorm(to, log.p = TRUE)
  top + log1p(-exp(stats::pnorm(from, log.p = TRUE) - top))
}

# Of data given eta: log density, its slope and its curvature's negative by eta
link_density <- function(family, y, known, parameters) {
  switch(family, poisson = list(
    log = function(eta) stats::dpois(y, exp(known + eta), log = TRUE), slope = function(eta) y - exp(known + eta), curve = function(eta) exp(known + eta)
  ), negative_binomial = list(
    log = function(eta) stats::dnbinom(y, size = parameters, mu = exp(known + eta), log = TRUE),
    slope = function(eta) y - (y + parameters) * stats::plogis(known + eta - log(parameters)),
    curve = function(eta) (y + parameters) * stats::dlogis(known + eta - log(parameters))
  ), binomial = list(
    log = function(eta) lchoose(known, y) + y * stats::plogis(eta, log.p = TRUE) + (known - y) * stats::plogis(-eta, log.p = TRUE),
    slope = function(eta) y - known * stats::plogis(eta), curve = function(eta) known * stats::dlogis(eta)
  ))
}

# Adaptive Gauss-Hermite quadrature of exp(log) about N(mean, variance)
quadrature_density <- function(link, mean, variance, rule = hermite_rule(25)) {
  mode <- density_mode(link, mean, variance)
  scale <- sqrt(2 / (link$curve(mode) + 1 / variance))
  terms <- vapply(seq_along(rule$nodes), function(q) {
    eta <- mode + scale * rule$nodes[q]
    link$log(eta) + stats::dnorm(eta, mean, sqrt(variance), log = TRUE) + rule$log[q]
  }, mode)
  terms <- matrix(terms, length(mode))
  top <- apply(terms, 1, max)
  top + log(rowSums(exp(terms - top))) + log(scale)
}

# Zeros of slopes that fall: Newton's steps, inside brackets that shrink
density_mode <- function(link, mean, variance) {
  slope <- function(eta) link$slope(eta) - (eta - mean) / variance
  # the mode is between the mean and where one step of the normal density alone would balance the slope there, or an end that is far enough
  reach <- variance * link$slope(mean)
  low <- pmin(mean, pmax(mean + reach, mean - 700))
  high <- pmax(mean, pmin(mean + reach, mean + 700))
  x <- mean
  for (step in 1:60) {
    at <- slope(x)
    low <- ifelse(at > 0, x, low)
    high <- ifelse(at > 0, high, x)
    newton <- x + at / (link$curve(x) + 1 / variance)
    inside <- is.finite(newton) & newton > low & newton < high
    following <- ifelse(inside, newton, (low + high) / 2)
    if (all(abs(following - x) <= 1e-10 * sqrt(variance))) break
    # where Newton's steps are short on an exponential, or do not end, the bracket is halved in turn
    x <- if (step %% 4 == 0) ifelse(abs(following - x) > 0.5, (low + high) / 2, following) else following
  }
  x
}

# Nodes and logarithms of weights times exp(x^2) (Golub and Welsch)
hermite_rule <- function(count) {
  off <- sqrt(seq_len(count - 1) / 2)
  J <- matrix(0, count, count)
  J[cbind(2:count, seq_len(count - 1))] <- J[cbind(seq_len(count - 1), 2:count)] <- off
  found <- eigen(J, symmetric = TRUE)
  list(nodes = found$values, log = log(sqrt(pi) * found$vectors[1, ]^2) + found$values^2)
}
