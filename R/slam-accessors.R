# What the draws of a sparse-factor model say, in units of the responses.

# ---- draws, one by one ----------------------------------------------------------------------------------------

# Draw t of a chain: loadings p x k, coefficients of the columns of X and of X_F in all, variances.
one_draw <- function(fit, draws, t) {
  b <- ncol(fit$X)
  k <- fit$n_factors
  theta <- draws$theta[, , t]
  dim(theta) <- dim(draws$theta)[1:2]
  sd <- fit$scale$sd
  Lambda <- t(theta[b + seq_len(k), , drop = FALSE]) * sd
  dimnames(Lambda) <- list(names(sd), factor_names(fit))
  effects <- if (!is.null(draws$effects)) array(draws$effects[, , t], dim(draws$effects)[1:2])
  list(
    Lambda = Lambda, effects = effects, cis = draws$cis[, t], theta = theta, sigma2 = draws$sigma2[, t] * sd^2, h = draws$h[, t], hF = draws$factors_h[, t],
    bF = array(draws$factors_b[, , t], dim(draws$factors_b)[1:2])
  )
}

factor_names <- function(fit) sprintf("factor%d", seq_len(fit$n_factors))

# What keep may leave out of a draw: F, rotated, and missing cells
kept_factors <- function(fit, chain, t) {
  if (fit$n_factors == 0) return(matrix(0, nrow(fit$Y), 0))
  if (!"factors" %in% kept(fit)) abort_not_kept(fit, "factors")
  array(chain$factors[, , t], dim(chain$factors)[1:2])
}

kept_cells <- function(fit, chain, t) {
  if (drawn_cells(fit) > 0 && !"cells" %in% kept(fit)) abort_not_kept(fit, "cells")
  chain$cells[, t]
}

# A fit of before there was keep has all.
kept <- function(fit) if (is.null(fit$plan$keep)) c("factors", "cells") else fit$plan$keep

# The advice is all that a fit can lack: with part of it the next question would fail
abort_not_kept <- function(fit, what) {
  long <- c(factors = "the factors", cells = "missing cells")[[what]]
  all <- c(if (fit$n_factors > 0) "factors", if (drawn_cells(fit) > 0) "cells")
  abort_fastlmm("not_kept", sprintf("draws of %s are needed for this, and were not kept; fit the model again with keep = %s", long, deparse1(all)))
}

# A function of each draw, as an array whose last dimension is the draw, chains one after the other
each_draw <- function(fit, what) {
  check_has_draws(fit)
  of_chain <- function(draws) lapply(seq_len(ncol(draws$sigma2)), function(t) what(one_draw(fit, draws, t)))
  all <- unlist(lapply(fit$draws, of_chain), recursive = FALSE)
  first <- all[[1]]
  dim <- if (is.null(dim(first))) length(first) else dim(first)
  names <- if (is.null(dim(first))) list(names(first)) else if (is.null(dimnames(first))) rep(list(NULL), length(dim)) else dimnames(first)
  array(unlist(all, use.names = FALSE), c(dim, length(all)), c(names, list(NULL)))
}

check_has_draws <- function(fit) {
  if (count_draws(fit) == 0) abort_fastlmm("no_draws", "there are no draws after warmup yet: extend(fit, iter = 0) finishes the run")
}

count_draws <- function(fit) if (is.null(fit$draws)) 0L else sum(vapply(fit$draws, function(d) ncol(d$sigma2), 0L))

# ---- covariances ------------------------------------------------------------------------------------------------

#' Covariances, correlations and heritabilities of a sparse-factor model
#'
#' Posterior means, intervals or draws of `G = Lambda diag(h_F) Lambda' + diag(h sigma2)`, of `R` and of what follows from them (see
#' [slamglmm_fit()]).
#'
#' @param object a fit by [slamglmm_fit()].
#' @param effect name or number of the random effect, as in `names(VarCorr(fit))`. With several random effects, `G()` and `rg()` need it
#'   (otherwise the error `effect`, which lists them). It is the second argument of `G()` and `rg()`; for `h2()`, whose second argument is
#'   `traits`, give it by name.
#' @param traits names or numbers of the responses to return; `NULL`: all, at most 2000 of them.
#' @param draws return all draws (an array whose last dimension is the draw, chain after chain) instead of their mean? The error `memory` gives
#'   the size that they would take.
#' @param level probability of intervals. For covariances and correlations it gives a table instead of the matrix of means; see
#'   [summary.slamglmm()] for its columns.
#' @param ... not used; an unknown argument is an error.
#' @return Each function has a longer synonym (`genetic_covariance()` for `G()`, and so on). Matrices are responses x responses.
#' * `G()`: covariance between responses of the effects of an id with `K[id, id] = 1`, in units of the product of the two responses (a K ten
#'   times as large has a G of a tenth);
#' * `R()`: covariance of the residuals;
#' * `P()`: phenotypic covariance, averaged over rows, `G mean(diag(Z K Z')) + R` (with several random effects the first part is summed over
#'   them);
#' * `rg()`, `re()`, `rp()`: correlations of G, of R and of P. A draw in which G of a response is 0 has no correlation, `NaN`; means and
#'   intervals leave it out, and `rhat` and effective sample sizes are then `NA`;
#' * with `level`, each of these is a data frame with a row for each pair of responses;
#' * `h2()`: a data frame with the posterior mean, standard deviation and interval of the proportion of variance of each response that the
#'   random effect explains; of draws a matrix, responses x draws. With several random effects and no `effect`: the means alone, with a column
#'   for each effect or, where `level` is given, the table for each effect with a column `effect`; of draws an array, responses x effects x
#'   draws.
#'
#' Where the data cannot distinguish the random effect from the residual (the fit gives the warning `not_identifiable` or `confounded`), `h2()`
#' is NA, and `G()`, `R()` and `rg()` are errors of that class, since the draws only reflect the prior.
#' @examples
#' set.seed(1)
#' data <- data.frame(id = paste0("i", rep(1:20, 2)))
#' data$Y <- outer(rep(rnorm(20), 2), c(a = 1, b = -1, c = 0)) + matrix(rnorm(120), 40)
#' fit <- slamglmm_fit(Y ~ 1 + (1 | id), data, n_factors = 2, chains = 2, iter = 1000, seed = 1)
#' h2(fit)
#' round(G(fit), 2)
#' rg(fit, level = 0.9)
#' @export
G <- function(object, ...) UseMethod("G")

#' @rdname G
#' @export
R <- function(object, ...) UseMethod("R")

#' @rdname G
#' @export
P <- function(object, ...) UseMethod("P")

#' @rdname G
#' @export
rg <- function(object, ...) UseMethod("rg")

#' @rdname G
#' @export
re <- function(object, ...) UseMethod("re")

#' @rdname G
#' @export
rp <- function(object, ...) UseMethod("rp")

#' @rdname G
#' @export
h2 <- function(object, ...) UseMethod("h2")

# Short names are easily masked, and say little: each has one that says what it is.

#' @rdname G
#' @export
genetic_covariance <- function(object, ...) UseMethod("G")

#' @rdname G
#' @export
residual_covariance <- function(object, ...) UseMethod("R")

#' @rdname G
#' @export
phenotypic_covariance <- function(object, ...) UseMethod("P")

#' @rdname G
#' @export
genetic_correlation <- function(object, ...) UseMethod("rg")

#' @rdname G
#' @export
residual_correlation <- function(object, ...) UseMethod("re")

#' @rdname G
#' @export
phenotypic_correlation <- function(object, ...) UseMethod("rp")

#' @rdname G
#' @export
heritability <- function(object, ...) UseMethod("h2")

#' @export
G.default <- function(object, ...) abort_not_slam(object, "G", "VarCorr(fit)")

#' @export
R.default <- function(object, ...) abort_not_slam(object, "R", "fit$sigma2_e")

#' @export
P.default <- function(object, ...) abort_not_slam(object, "P", "VarCorr(fit)")

#' @export
rg.default <- function(object, ...) abort_not_slam(object, "rg", "VarCorr(fit)")

#' @export
re.default <- function(object, ...) abort_not_slam(object, "re", "fit$sigma2_e")

#' @export
rp.default <- function(object, ...) abort_not_slam(object, "rp", "VarCorr(fit)")

#' @export
h2.default <- function(object, ...) abort_not_slam(object, "h2", "fit$h2")

check_slam <- function(object, verb, instead) if (!inherits(object, "slamglmm")) abort_not_slam(object, verb, instead)

long_names <- c(
  G = "genetic_covariance", R = "residual_covariance", P = "phenotypic_covariance", rg = "genetic_correlation", re = "residual_correlation",
  rp = "phenotypic_correlation", h2 = "heritability"
)

abort_not_slam <- function(object, verb, instead) {
  if (verb %in% names(long_names)) verb <- paste0(verb, "() or ", long_names[[verb]])
  if (missing(object)) abort_fastlmm("argument", paste0(verb, "() needs a fit by slamglmm_fit()"))
  ours <- inherits(object, c("fastlmm", "fastlmm_mlm"))
  abort_fastlmm(
    "class",
    paste0(
      verb, "() takes a fit by slamglmm_fit(), not ",
      if (ours) paste0("one by fastlmm_fit(), for which use ", instead) else paste("an object of class", quoted(class(object)[1]))
    )
  )
}

#' @rdname G
#' @export
G.slamglmm <- function(object, effect = NULL, traits = NULL, draws = FALSE, level = NULL, ...) {
  check_arguments(...)
  object <- with_effect(object, effect)
  check_identified(object, "G()")
  covariances(object, "G", FALSE, traits, draws, level)
}

#' @rdname G
#' @export
R.slamglmm <- function(object, traits = NULL, draws = FALSE, level = NULL, ...) {
  check_arguments(...)
  check_identified(object, "R()")
  covariances(object, "R", FALSE, traits, draws, level)
}

#' @rdname G
#' @export
P.slamglmm <- function(object, traits = NULL, draws = FALSE, level = NULL, ...) {
  check_arguments(...)
  covariances(object, "P", FALSE, traits, draws, level)
}

#' @rdname G
#' @export
rg.slamglmm <- function(object, effect = NULL, traits = NULL, draws = FALSE, level = NULL, ...) {
  check_arguments(...)
  object <- with_effect(object, effect)
  check_identified(object, "rg()")
  covariances(object, "G", TRUE, traits, draws, level)
}

#' @rdname G
#' @export
re.slamglmm <- function(object, traits = NULL, draws = FALSE, level = NULL, ...) {
  check_arguments(...)
  check_identified(object, "re()")
  covariances(object, "R", TRUE, traits, draws, level)
}

#' @rdname G
#' @export
rp.slamglmm <- function(object, traits = NULL, draws = FALSE, level = NULL, ...) {
  check_arguments(...)
  covariances(object, "P", TRUE, traits, draws, level)
}

#' @rdname G
#' @export
h2.slamglmm <- function(object, traits = NULL, draws = FALSE, level = 0.95, effect = NULL, ...) {
  check_arguments(...)
  check_level(level)
  at <- trait_index(object, traits)
  if (is.null(effect) && is_several(object)) {
    if (draws || missing(level)) return(all_h2(object, at, draws))
    of_effect <- function(effect) data.frame(effect = effect, h2_intervals(h2_draws(with_effect(object, effect), at), level))
    return(do.call(rbind, lapply(effect_names(object), of_effect)))
  }
  all <- h2_draws(with_effect(object, effect), at)
  if (draws) all else h2_intervals(all, level)
}

h2_intervals <- function(all, level) {
  tail <- (1 - level) / 2
  quantile <- apply(all, 1, stats::quantile, c(tail, 1 - tail), names = FALSE, na.rm = TRUE)
  data.frame(response = rownames(all), h2 = rowMeans(all), sd = apply(all, 1, stats::sd), low = quantile[1, ], high = quantile[2, ], row.names = NULL)
}

# Responses x draws
h2_draws <- function(object, at) {
  all <- matrix(each_draw(object, function(d) trait_h2(d)[at]), length(at), dimnames = list(colnames(object$Y)[at], NULL))
  if (!is.null(object$unidentified)) all[] <- NA
  all
}

# A column of means for each effect; or responses x effects x draws
all_h2 <- function(object, at, draws) {
  names <- effect_names(object)
  all <- lapply(names, function(effect) h2_draws(with_effect(object, effect), at))
  if (draws) return(aperm(simplify2array(structure(all, names = names)), c(1, 3, 2)))
  means <- structure(lapply(all, rowMeans), names = beside(names, "response"))
  data.frame(response = colnames(object$Y)[at], means, row.names = NULL, check.names = FALSE)
}

# Proportion of each response's variance that is the random effect's
trait_h2 <- function(d) {
  square <- d$Lambda^2
  g <- drop(square %*% d$hF) + d$h * d$sigma2
  g / (rowSums(square) + d$sigma2)
}

# Lambda diag(weight) Lambda' + diag(own) of a draw
covariance_draw <- function(object, d, what, correlation, at) {
  share <- switch(what, G = identity, R = function(h) 1 - h, P = function(h) rep(1, length(h)))
  Lambda <- d$Lambda[at, , drop = FALSE]
  value <- tcrossprod(Lambda * rep(sqrt(share(d$hF)), each = nrow(Lambda)))
  diag(value) <- diag(value) + share(d$h[at]) * d$sigma2[at]
  # a response without any variance of the effect has no correlation
  if (correlation) return(suppressWarnings(stats::cov2cor(value)))
  if (what == "G") value / object$basis$mean_diag else value
}

# A matrix of means, all draws, or with a level a table of pairs
covariances <- function(object, what, correlation, traits, draws, level) {
  at <- trait_index(object, traits)
  if (length(at) > 2000) {
    abort_fastlmm(
      "memory",
      sprintf("a covariance matrix of %d responses was requested; give traits = with at most 2000 of them, and see factor_loadings() for all", length(at))
    )
  }
  if (draws) {
    check_matrices_memory(object, length(at))
    return(each_draw(object, function(d) covariance_draw(object, d, what, correlation, at)))
  }
  if (is.null(level)) return(covariance_mean(object, what, correlation, at))
  check_level(level)
  pairs <- trait_pairs(at, diagonal = !correlation)
  covariance_table(object, what, correlation, pairs$first, pairs$second, level)
}

# All matrices, and a copy of them while they are put together
check_matrices_memory <- function(object, traits, available = available_memory()) {
  check_memory(2 * 8 * traits^2 * count_draws(object), function(needed, available) {
    paste0(
      "all draws of a matrix of ", counted(traits, "response"), " would take ", needed, " and there are ", available,
      "; give traits =, or level = for intervals"
    )
  }, available)
}

trait_index <- function(object, traits) {
  names <- colnames(object$Y)
  if (is.null(traits)) return(seq_along(names))
  if (is.factor(traits)) traits <- as.character(traits)
  whole <- is.character(traits) || is.numeric(traits) && all(is.na(traits) | traits == round(traits))
  if (!whole && length(traits) > 0) abort_fastlmm("traits", paste("responses are selected by their names or whole numbers, not", code_text(traits)))
  at <- if (is.character(traits)) match(traits, names) else as.integer(traits)
  if (length(at) == 0) abort_fastlmm("traits", "traits selects no response")
  if (anyNA(at) || any(at < 1 | at > length(names))) abort_fastlmm(
    "traits", paste0("there are no such responses: ", first_names(traits[is.na(at) | at < 1 | at > length(names)]))
  )
  at
}
