# What priors say of covariances, before there are data.

#' Draws from the prior of a sparse-factor model
#'
#' Covariances, proportions and correlations of responses under a prior, in the units of [slam_prior()]: a response whose fixed effects leave a variance of 1. A prior whose total variance P is far from 1, or whose
#' correlations are all near 0 or 1, is more informative than one may want. The default prior is a wide one: of three responses the median of P is about 7, and 5 percent of it are above 150.
#' @param prior by [slam_prior()]; its `covariates` are not looked at. Where its residual variance has names, or its loadings a [loading_regression()],
#'   these names, or else the rows of the regression's data, are the responses, and `p` must be given as their number. A model of one random effect is meant: a function of the proportions gets a vector.
#' @param p number of responses, at least 1.
#' @param n_factors number of factors.
#' @param n number of draws.
#' @param grid number of points of the grid of proportions, or the points.
#' @param rows number of rows of the data, which the scale of a [horseshoe()] depends on.
#' @param seed a whole number; `NULL`: from R's generator as it is.
#' @return A list of class `slam_prior_draws` of arrays whose last dimension is the draw: `G`, `R`, `P`, `rg`, `re` (p x p) and `h2` (p). `print()` shows quantiles over responses and pairs.
#' @seealso [slam_prior()], and [G()] and others for draws of the posterior distribution.
#' @examples
#' slam_prior_draws(p = 3, n = 500, seed = 1)
#' @export
slam_prior_draws <- function(prior = slam_prior(), p = 2, n_factors = min(p, 20), n = 1000, grid = 20, rows = 100, seed = NULL) {
  check_arguments()
  grid <- if (length(grid) > 1) check_grid(grid) else grid
  for (name in c("p", "n", if (length(grid) < 2) "grid", "rows")) if (!is_count(get(name))) abort_fastlmm("argument", paste0(name, " must be a whole number of at least 1, not ", code_text(get(name))))
  if (!is_count(n_factors) && !(is.numeric(n_factors) && identical(as.numeric(n_factors), 0))) abort_fastlmm("n_factors", paste("n_factors must be a whole number of at least 0, not", code_text(n_factors)))
  points <- if (length(grid) > 1) length(grid) else grid
  check_memory(8 * (6 * n * p^2 + 8 * p * n_factors + 10 * points), function(needed, available) paste0("the draws would take ", needed, ", and there are ", available, "; use a smaller n, p, n_factors or grid"))
  if (!inherits(prior, "slam_prior")) abort_prior("prior must come from slam_prior(); a list as MCMCglmm's is in units of responses, which are not known here")
  named <- unlist(lapply(prior$residual, names))
  if (is.null(named)) named <- rownames(prior$loading_means$data)
  responses <- if (is.null(named)) paste0("t", seq_len(p)) else unique(named)
  # covariates shift means, and nothing that is drawn here
  prior$covariates <- fixed_variance(1)
  numbers <- prior_numbers(prior, grid, rows, responses, character())
  if (length(responses) != p) abort_fastlmm("prior", sprintf("the prior names %d responses, and p is %.0f", length(responses), p))
  state <- seed_generator(seed)
  on.exit(state$restore())
  all <- replicate(n, prior_draw(numbers, p, n_factors, responses), simplify = FALSE)
  bind <- function(name) array(unlist(lapply(all, `[[`, name)), c(dim(all[[1]][[name]]), if (name == "h2") p, n), c(if (name == "h2") list(responses) else dimnames(all[[1]][[name]]), list(NULL)))
  structure(sapply(names(all[[1]]), bind, simplify = FALSE), class = "slam_prior_draws")
}

# One draw of everything
prior_draw <- function(numbers, p, k, names) {
  sigma2 <- variance_draw(numbers$residual)
  noise <- matrix(stats::rnorm(p * k), p, k)
  precisions <- loading_precisions(numbers, p, k)
  lambda <- noise / sqrt(precisions$each)
  if (numbers$scaled) lambda <- lambda * sqrt(sigma2)
  if (!is.null(numbers$trait_covariates)) lambda <- lambda + numbers$trait_covariates %*% effects_draw(numbers, precisions$column)
  proportion <- function(count, weight) numbers$h[sample.int(length(numbers$h), count, replace = TRUE, prob = weight)]
  h <- proportion(p, numbers$traits)
  hF <- proportion(k, numbers$factors)
  part <- function(ofF, of) matrix(lambda %*% (ofF * t(lambda)) + diag(of * sigma2, p), p, dimnames = list(names, names))
  G <- part(hF, h)
  R <- part(1 - hF, 1 - h)
  correlation <- function(M) suppressWarnings(M / sqrt(outer(diag(M), diag(M))))
  list(G = G, R = R, P = G + R, rg = correlation(G), re = correlation(R), h2 = diag(G) / diag(G + R))
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
  p <- nrow(x$G)
  n <- dim(x$G)[3]
  at <- function(M, which) matrix(M, p * p)[which, ]
  own <- function(M) at(M, seq(1, p * p, p + 1))
  upper <- function(M) if (p > 1) at(M, upper.tri(diag(p)))
  values <- Filter(Negate(is.null), list(h2 = x$h2, P = own(x$P), rg = upper(x$rg), re = upper(x$re)))
  cat(counted(n, "draw"), " of the prior, ", counted(p, "response"), "\n", sep = "")
  print(t(vapply(values, stats::quantile, numeric(5), c(0.05, 0.25, 0.5, 0.75, 0.95), na.rm = TRUE)), digits = 2)
  invisible(x)
}
