# What priors say of covariances, before there are data.

#' Draws from the prior of a sparse-factor model
#'
#' Covariances, proportions and correlations of responses under a prior, in the units of [slam_prior()]: responses whose variance, given the
#' fixed effects, is 1. A prior whose total variance P is far from 1, or whose correlations are all near 0 or 1, may be more informative than
#' intended. The default prior is wide: for three responses the median of P is about 7, its 95 percent quantile about 200.
#' @param prior a prior by [slam_prior()]; its `covariates` are ignored. Where its residual variance has names, or its loadings a
#'   [loading_regression()], the responses are these names, or else the rows of the regression's data.
#' @param p number of responses, at least 1; `NULL`: as many as the prior names, else 2.
#' @param effects names of the random effects, one to four; `NULL`: those that a [dirichlet_prior()] of `prior` names, else a single one (a
#'   prior given as a function then gets a vector of its proportions).
#' @param n_factors number of factors.
#' @param n number of draws.
#' @param grid number of points of the grid of proportions, or the points.
#' @param rows number of rows of the data, on which the scale of a [horseshoe()] depends.
#' @param seed a whole number; `NULL`: continue from the current state of R's generator.
#' @param family families of the responses as for [slamglmm_fit()], named `t1`, `t2`, ... where the prior has no names (a list of families then
#'   names the responses). The default priors of latent values are those that a fit uses. With `family` the result also has data.
#' @param mean mean of the responses, on the scale of eta with a family: one value, or one for each response, such as `c(0, 3)`. Intercepts of
#'   fits have flat priors, from which one cannot draw.
#' @param levels number of levels of `ordinal()` responses.
#' @return A list of class `slam_prior_draws` of arrays whose last dimension is the draw: `G`, `R`, `P`, `rg`, `re` (p x p) and `h2` (p). With
#'   several random effects `G`, `rg` and `h2` are lists of such arrays, named by effect. With `family` also `y` (`rows` x p x draws), for
#'   prior predictive checks: data of unrelated rows without covariates, with one trial each for `binomial()` and ordinal levels as numbers.
#'   `print()` shows quantiles over responses and pairs.
#' @seealso [slam_prior()], and [G()] and others for draws of the posterior distribution.
#' @examples
#' slam_prior_draws(p = 3, n = 500, seed = 1)
#' slam_prior_draws(slam_prior(h2 = dirichlet_prior(c(id = 3, block = 1, residual = 2))), n = 500, seed = 1)
#'
#' # what counts does a prior expect, of which mean, and how many of them 0?
#' counts <- slam_prior_draws(family = list(a = poisson(), b = negative_binomial()), n = 200, rows = 50, seed = 1, mean = 1)
#' counts
#' quantile(apply(counts$y == 0, 2:3, mean)["a", ])
#' @export
slam_prior_draws <- function(
  prior = slam_prior(), p = NULL, n_factors = min(p, 20), n = 1000, grid = 20, rows = 100, seed = NULL, effects = NULL, family = NULL, mean = 0, levels = 3
) {
  check_arguments()
  if (!inherits(prior, "slam_prior")) abort_prior("prior must come from slam_prior(); a list as MCMCglmm's is in units of responses, which are not known here")
  named <- unlist(lapply(prior$residual, names))
  if (is.null(named)) named <- rownames(prior$loading_means$data)
  if (is.null(named)) named <- family_names(family)
  named <- unique(named)
  if (is.null(p)) p <- if (is.null(named)) 2 else length(named)
  grid <- if (length(grid) > 1) check_grid(grid) else grid
  for (name in c("p", "n", if (length(grid) < 2) "grid", "rows")) if (!is_count(get(name))) abort_fastlmm(
    "argument", paste0(name, " must be a whole number of at least 1, not ", code_text(get(name)))
  )
  if (!is_count(n_factors) && !(is.numeric(n_factors) && identical(as.numeric(n_factors), 0))) abort_fastlmm(
    "n_factors", paste("n_factors must be a whole number of at least 0, not", code_text(n_factors))
  )
  points <- if (length(grid) > 1) length(grid) else grid
  check_memory(
    8 * (6 * n * p^2 + if (is.null(family)) 0 else 2 * n * p * rows) + 8 * (8 * p * n_factors + 10 * points),
    function(needed, available) paste0("the draws would take ", needed, ", and there are ", available, "; use a smaller n, p, n_factors or grid")
  )
  effects <- prior_effects(prior, effects)
  responses <- if (is.null(named)) paste0("t", seq_len(p)) else named
  if (length(responses) != p) abort_fastlmm(
    "prior", sprintf("%s %d responses, and p is %.0f", if (is.null(family_names(family))) "the prior names" else "prior or family names", length(responses), p)
  )
  # covariates shift means, and nothing that is drawn here
  prior$covariates <- fixed_variance(1)
  links <- prior_links(family, responses, levels)
  prior <- link_prior(prior, behind_link(links), n_factors)
  numbers <- prior_numbers(prior, grid, rows, responses, character(), prior_points(grid, effects), effects)
  numbers <- fix_variances(numbers, links)
  mean <- check_mean(mean, p)
  state <- seed_generator(seed)
  on.exit(state$restore())
  all <- replicate(n, prior_draw(numbers, p, n_factors, responses), simplify = FALSE)
  bind <- function(pick, vector) array(unlist(lapply(all, pick)), c(p, if (!vector) p, n), c(list(responses), if (!vector) list(responses), list(NULL)))
  of <- function(name) {
    each <- lapply(seq_along(all[[1]][[name]]), function(r) bind(function(draw) draw[[name]][[r]], name == "h2"))
    if (length(effects) > 1 && name %in% c("G", "rg", "h2")) stats::setNames(each, effects) else each[[1]]
  }
  found <- sapply(names(all[[1]]), of, simplify = FALSE)
  if (!is.null(family)) found$y <- prior_data(found$P, links, mean, rows)
  structure(found, class = "slam_prior_draws")
}

# Names of the random effects; NULL: one that has none
prior_effects <- function(prior, effects) {
  named <- lapply(prior[c("h2", "h2_factors")], function(weight) names(attr(weight, "dirichlet")))
  if (is.null(effects) && length(unlist(named)) > 0) effects <- setdiff(unlist(named), "residual")
  fine <- is.null(effects) || is.character(effects) && length(effects) %in% seq_len(most_effects) && !anyNA(effects) && !anyDuplicated(effects)
  if (!fine) abort_fastlmm("argument", sprintf("effects must be the names of one to %d random effects, not %s", most_effects, code_text(effects)))
  effects
}

prior_points <- function(grid, effects) {
  if (length(effects) < 2) return(NULL)
  grid <- several_grid(grid, effects, share_steps(length(effects)))
  function(prior) used_grid(grid, list(traits = several_weights(prior$h2, grid, "h2"), factors = several_weights(prior$h2_factors, grid, "h2_factors")))
}

# One draw of everything: lists, of what is an effect's an element for each
prior_draw <- function(numbers, p, k, names) {
  sigma2 <- variance_draw(numbers$residual)
  noise <- matrix(stats::rnorm(p * k), p, k)
  precisions <- loading_precisions(numbers, p, k)
  lambda <- noise / sqrt(precisions$each)
  if (numbers$scaled) lambda <- lambda * sqrt(sigma2)
  if (!is.null(numbers$trait_covariates)) lambda <- lambda + numbers$trait_covariates %*% effects_draw(numbers, precisions$column)
  points <- if (is.null(numbers$proportions)) cbind(numbers$h) else unname(numbers$proportions)
  proportion <- function(count, weight) points[sample.int(nrow(points), count, replace = TRUE, prob = weight), , drop = FALSE]
  h <- proportion(p, numbers$traits)
  hF <- proportion(k, numbers$factors)
  own <- seq.int(1, p * p, p + 1)
  part <- function(ofF, of) {
    M <- matrix(lambda %*% (ofF * t(lambda)), p, dimnames = list(names, names))
    M[own] <- M[own] + of * sigma2
    M
  }
  G <- lapply(seq_len(ncol(points)), function(r) part(hF[, r], h[, r]))
  R <- part(1 - rowSums(hF), 1 - rowSums(h))
  P <- Reduce(`+`, G) + R
  correlation <- function(M) M / sqrt(tcrossprod(M[own]))
  h2 <- function(G) stats::setNames(G[own] / P[own], names)
  list(G = G, R = list(R), P = list(P), rg = lapply(G, correlation), re = list(correlation(R)), h2 = lapply(G, h2))
}

variance_draw <- function(pairs) {
  shape <- pairs[c(TRUE, FALSE)]
  scale <- pairs[c(FALSE, TRUE)]
  known <- is.infinite(shape)
  shape[known] <- 1
  ifelse(known, scale, scale / stats::rgamma(length(shape), shape))
}

# Effects of covariates of responses on loadings, q x k
effects_draw <- function(numbers, column) {
  groups <- numbers$trait_groups
  k <- length(column)
  v <- matrix(numbers$trait_variance[2] / stats::rgamma(max(groups) * k, numbers$trait_variance[1]), max(groups), k)
  matrix(stats::rnorm(length(groups) * k), length(groups), k) * sqrt(v[groups, , drop = FALSE] / rep(column, each = length(groups)))
}

# Of each loading 1 / v_jm, p x k, and of each column
loading_precisions <- function(numbers, p, k) {
  if (k == 0) return(list(each = matrix(0, p, 0), column = numeric()))
  of <- numbers$loadings
  if (numbers$kind == "mgp") {
    others <- if (numbers$truncated) gamma_above_one(k - 1, of[4], of[5]) else stats::rgamma(k - 1, of[4], of[5])
    column <- cumprod(c(stats::rgamma(1, of[2], of[3]), others))
    return(list(each = matrix(stats::rgamma(p * k, of[1] / 2, of[1] / 2), p, k) * rep(column, each = p), column = column))
  }
  column <- cumprod(c(1, of[3] / stats::rgamma(k - 1, of[2])))
  local <- matrix(stats::rcauchy(p * k)^2, p, k)
  omega2 <- stats::rcauchy(1, 0, of[1])^2
  list(each = 1 / (local * omega2 * rep(column, each = p)), column = 1 / (omega2 * column))
}

# By the inverse of the distribution function in the upper tail
gamma_above_one <- function(n, shape, rate) {
  tail <- stats::pgamma(1, shape, rate, lower.tail = FALSE, log.p = TRUE)
  stats::qgamma(tail - stats::rexp(n), shape, rate, lower.tail = FALSE, log.p = TRUE)
}

#' @rdname slam_prior_draws
#' @param x draws by `slam_prior_draws()`.
#' @param ... not used.
#' @export
print.slam_prior_draws <- function(x, ...) {
  check_arguments(...)
  p <- nrow(x$P)
  n <- dim(x$P)[3]
  at <- function(M, which) matrix(M, p * p)[which, ]
  own <- function(M) at(M, seq(1, p * p, p + 1))
  upper <- function(M) if (p > 1) at(M, upper.tri(diag(p)))
  of_effects <- function(name, of) if (is.list(x[[name]])) structure(
    lapply(x[[name]], of), names = paste0(name, "_", names(x[[name]]))
  ) else structure(list(of(x[[name]])), names = name)
  values <- Filter(Negate(is.null), c(of_effects("h2", identity), list(P = own(x$P)), of_effects("rg", upper), list(re = upper(x$re))))
  cat(counted(n, "draw"), " of the prior, ", counted(p, "response"), "\n", sep = "")
  quantiles <- function(values) t(vapply(values, stats::quantile, numeric(5), c(0.05, 0.25, 0.5, 0.75, 0.95), na.rm = TRUE))
  print(quantiles(values), digits = 2)
  if (is.null(x$y)) return(invisible(x))
  cat("In the data of each draw, ", counted(nrow(x$y), "row"), ":\n", sep = "")
  of_data <- function(what, name) structure(lapply(seq_len(p), function(j) apply(matrix(x$y[, j, ], nrow(x$y)), 2, what)), names = paste(name, colnames(x$y)))
  print(quantiles(c(of_data(mean, "mean of"), of_data(max, "largest of"), of_data(function(y) mean(y == 0), "proportion that is 0 of"))), digits = 2)
  invisible(x)
}
