# Priors of slamglmm_fit(): values made by constructors, checked once.

#' Priors of a sparse-factor mixed model
#'
#' @section Units:
#' Before sampling, the least squares fit of each response on the fixed effects with flat priors (all that are not in `factors` too) is
#' subtracted, in the rows in which it was observed, and the residuals are divided by their standard deviation. Covariates of factors are
#' likewise divided by their residual standard deviation given the same fixed effects. Priors are in these units: adding a fixed effect to the
#' responses, or changing their unit, changes no draw of a variance.
#'
#' @section Defaults:
#' The defaults are wide but not uninformative. With random G and R of full rank in 400 rows of 80 lines, 90 percent intervals contained the
#' true value of rg, G and R in these percentages of cases, over 80 data sets each:
#'
#' | responses | rg | G | R |
#' |---|---|---|---|
#' | 2 | 94 | 91 | 90 |
#' | 4 | 85 | 88 | 89 |
#' | 6 | 85 | 87 | 89 |
#'
#' Latent values of responses with a family ([negative_binomial()] and others) are in units of the link. If there are any, the defaults are
#' `inverse_wishart(V = 0.1, nu = 2)` for their residual variances and `mgp(first = c(shape = 3, rate = 1 / n_factors))` for the loadings of
#' all responses. These are less wide, because rare counts and binary data bound a variance only weakly.
#'
#' @section Variances:
#' `inverse_wishart(V, nu)` of one dimension is the inverse gamma distribution with shape `nu / 2` and scale `nu V / 2`, as in MCMCglmm: mean
#' `V nu / (nu - 2)`. `inverse_gamma(shape, scale)` is the same in the usual parameters: mean `scale / (shape - 1)`. `fixed_variance(value)` is
#' a known variance. `V`, `shape`, `scale` and `value` may be vectors named by all responses (or covariates).
#'
#' @section Proportions:
#' `point_zero()` gives part of the weight to 0 and distributes the rest uniformly over all other points; `dirichlet_prior(1)` is uniform, and
#' larger concentrations favour the middle.
#'
#' With several random effects `dirichlet_prior(1)` is uniform over all their proportions and that of the residual; a concentration above 1
#' favours points where all have a share, below 1 those where one has almost everything. `beta_prior()` and `point_zero()` are then priors of
#' the proportion that all effects explain together, and their shares in it are uniform.
#'
#' To favour one effect, give each a concentration, such as `dirichlet_prior(c(id = 2, block = 1, residual = 1))`, or a function. The function
#' gets a numeric matrix with a row for each grid point and a column for each effect (not the residual), named as in `names(VarCorr(fit))`, and
#' returns a nonnegative number for each row, the density with respect to the uniform distribution: `function(h) rep(1, nrow(h))` is
#' `dirichlet_prior(1)`, `function(h) h[, "id"]` favours `"id"`, and `function(h) h[, "id"] > h[, "block"]` allows only points where `"id"` has
#' more than `"block"`. A vector gives the weight of each point itself, in the order of these rows.
#'
#' @param residual prior of the variance of a trait that the factors do not explain, random effects and residual together.
#' @param covariates prior of the common variance of the coefficients of a covariate of `factors`, over traits and factors.
#' @param loadings [mgp()] or [horseshoe()]. With `loading_means` the default has a smaller rate of the first gamma variable, since the
#'   deviations of loadings from their means may be far smaller than 1, and the usual default would inflate them.
#' @param loading_scale `"unit"`: loadings have the variances of their prior; `"residual"`: these times the residual variance of their trait.
#' @param h2,h2_factors prior of the proportions of variance that the random effects explain, for traits and for factors: `dirichlet_prior()`,
#'   `beta_prior()` or `point_zero()`; a function of the proportions of the grid (with one random effect a vector, with several a matrix, see
#'   Proportions) that returns nonnegative weights, which need not sum to 1; or a vector with a weight for each point of the grid. If `h2` is
#'   given and `h2_factors` is not, factors have the same prior as the responses. By default the prior for factors favours values near 0 and 1:
#'   the proportion of a response is a mean over factors, and would otherwise be concentrated in the middle.
#' @param coefficients for responses with a family ([negative_binomial()] and others): the standard deviation of the normal prior of a
#'   coefficient in `formula`, or in `cis`, for a covariate with standard deviation 1; `Inf`: flat. The intercept and coefficients of normal
#'   responses always have flat priors. With a flat prior the data can drive a coefficient to infinity, such as that of a level in which all
#'   counts are 0.
#' @param loading_means `NULL`: loadings have prior mean 0; [loading_regression()]: means that depend on covariates of the responses.
#' @param V,nu scale and degrees of freedom, as in MCMCglmm.
#' @param shape,scale of the inverse gamma distribution.
#' @param value a variance.
#' @param probability weight of 0.
#' @param concentration a positive number, the same for all random effects and the residual (with one random effect, both shapes of the beta
#'   distribution of its proportion); or one for each of them, named by all random effects and `"residual"`. The mean of a proportion is its
#'   concentration divided by the sum of all.
#' @param shape1,shape2 of the beta distribution of a proportion; each grid point gets the probability of all values that are nearer to it than
#'   to other points.
#' @return A list of class `slam_prior`, or of the class of the component.
#' @references
#' Bhattacharya, A. and Dunson, D. B. (2011) Sparse Bayesian infinite factor models. Biometrika 98, 291-306.
#'
#' Runcie, D. E. and Mukherjee, S. (2013) Dissecting high-dimensional phenotypes with Bayesian sparse factor analysis of genetic covariance
#' matrices. Genetics 194, 753-767.
#' @seealso [slamglmm_fit()], whose argument `prior` also takes a list as for MCMCglmm; [slam_prior_draws()]
#' @examples
#' slam_prior(h2 = point_zero(0.5), loadings = horseshoe())
#' slam_prior(residual = inverse_wishart(V = c(height = 0.1, weight = 0.3), nu = 1))
#'
#' # of a model with the random effects "id" and "block": more often a large "id"
#' slam_prior(h2 = dirichlet_prior(c(id = 4, block = 1, residual = 2)))
#' # more often a large "id", of responses; all proportions alike, of factors
#' slam_prior(h2 = function(h) dbeta(h[, "id"], 4, 2), h2_factors = dirichlet_prior(1))
#' @order 1
#' @export
slam_prior <- function(residual = inverse_wishart(V = 0.05, nu = 1), covariates = inverse_wishart(V = 0.1, nu = 3),
                       loadings = if (is.null(loading_means)) mgp() else mgp(first = c(shape = 1, rate = 0.05)), loading_scale = c("unit", "residual"),
                       h2 = dirichlet_prior(1),
                       h2_factors = if (missing(h2)) dirichlet_prior(0.3) else h2, loading_means = NULL, coefficients = 2.5) {
  loading_scale <- one_of(loading_scale)
  check_variance_prior(residual, "residual")
  check_variance_prior(covariates, "covariates")
  if (!inherits(loadings, "slam_loadings")) abort_prior("loadings must come from mgp() or horseshoe()")
  if (!is.null(loading_means) && !inherits(loading_means, "slam_loading_regression")) abort_prior(
    "loading_means must come from loading_regression(), or be NULL"
  )
  if (!is.numeric(coefficients) || length(coefficients) != 1 || is.na(coefficients) || coefficients <= 0) abort_prior(
    paste("coefficients must be a positive number, or Inf, not", code_text(coefficients))
  )
  prior <- list(
    residual = residual, covariates = covariates, loadings = loadings, loading_scale = loading_scale, h2 = h2, h2_factors = h2_factors,
    coefficients = coefficients
  )
  for (name in c("h2", "h2_factors")) {
    if (!is.function(prior[[name]]) && !is.numeric(prior[[name]])) abort_prior(
      paste(name, "must be a function of the proportion, or its weights on the grid, not", code_text(prior[[name]]))
    )
  }
  prior$loading_means <- loading_means
  structure(prior, class = "slam_prior", default = c(if (missing(residual)) "residual", if (missing(loadings) && is.null(loading_means)) "loadings"))
}

# Defaults where responses are behind links. Their values are in units of the link, where variances are of order 1, and of rare counts the data bound them by
# little: the wide priors of normal responses would
# leave heavy tails. Expected squares of a response's loadings add up to 1.5 at most. What comes back has no defaults left, so that it says what was used.
# `behind`: by the names of responses.
link_prior <- function(prior, behind, k) {
  default <- attr(prior, "default")
  attr(prior, "default") <- NULL
  if (!any(behind)) return(prior)
  if ("loadings" %in% default) prior$loadings <- mgp(first = c(shape = 3, rate = 1 / max(1, k)))
  if ("residual" %in% default) {
    of_links <- inverse_wishart(V = 0.1, nu = 2)
    each <- function(name) ifelse(behind, of_links[[name]], prior$residual[[name]])
    prior$residual <- if (all(behind)) of_links else inverse_gamma(each("shape"), each("scale"))
  }
  prior
}

#' @rdname slam_prior
#' @export
inverse_wishart <- function(V, nu) {
  check_needed(sys.function(), environment(), user_call())
  if (!are_positive(V) || !is_positive(nu)) abort_prior(
    "V and nu of inverse_wishart() must be positive numbers, V one or one for each response; each response has one variance, so V is not a matrix"
  )
  inverse_gamma(nu / 2, nu * V / 2)
}

#' @rdname slam_prior
#' @export
inverse_gamma <- function(shape, scale) {
  check_needed(sys.function(), environment(), user_call())
  if (!are_positive(shape) || !are_positive(scale)) abort_prior("shape and scale of inverse_gamma() must be positive numbers, one or one for each response")
  if (length(shape) > 1 && length(scale) > 1 && !identical(names(shape), names(scale))) abort_prior(
    "shape and scale of inverse_gamma() must have the same names"
  )
  structure(list(shape = shape, scale = scale), class = "slam_inverse_gamma")
}

#' @rdname slam_prior
#' @export
fixed_variance <- function(value) {
  check_needed(sys.function(), environment(), user_call())
  if (!are_positive(value)) abort_prior("value of fixed_variance() must be a positive number, or one for each response")
  structure(list(shape = Inf, scale = value), class = "slam_inverse_gamma")
}

#' Priors of factor loadings
#'
#' `mgp()`: the multiplicative gamma process (Bhattacharya and Dunson 2011). The loading of response j on factor m is normal with mean 0 and
#' precision `phi_jm tau_m`, where `phi_jm` is gamma distributed with shape and rate `nu / 2`, and `tau_m` is a product of m gamma variables,
#' so that later factors have smaller loadings. By default the variables after the first are only slightly above 1 until many responses show
#' that a factor is not needed.
#'
#' `horseshoe()`: the horseshoe prior (Carvalho, Polson and Scott 2010) with regularised scales, and with columns that are shrunk in the same
#' way.
#'
#' @param nu degrees of freedom of the marginal t distribution of the loadings.
#' @param first,others shape and rate of the first gamma variable of the product, and of the others.
#' @param truncated restrict the others to values of at least 1?
#' @param p0 expected proportion of loadings of the first factor that are not near zero.
#' @param delta shape and scale of the inverse gamma variables of the columns.
#' @return A list of class `slam_loadings`.
#' @references
#' Bhattacharya, A. and Dunson, D. B. (2011) Sparse Bayesian infinite factor models. Biometrika 98, 291-306.
#'
#' Carvalho, C. M., Polson, N. G. and Scott, J. G. (2010) The horseshoe estimator for sparse signals. Biometrika 97, 465-480.
#' @seealso [slam_prior()]
#' @examples
#' mgp(nu = 5)
#' slam_prior(loadings = horseshoe(p0 = 0.2))
#' @order 1
#' @export
mgp <- function(nu = 3, first = c(shape = 1, rate = 1), others = c(shape = 1, rate = 20), truncated = TRUE) {
  check_arguments()
  if (!is_positive(nu) || !is_pair(first) || !is_pair(others)) abort_prior("nu, and shape and rate of first and others of mgp(), must be positive numbers")
  if (truncated && others[[1]] < 1) abort_prior("the shape of others in a truncated mgp() must be at least 1")
  if (!truncated && others[[1]] <= 1 + others[[2]]) {
    warn_fastlmm("prior", "the variances of later factors grow under this mgp(): its shape of others should exceed 1 + rate")
  }
  structure(list(kind = "mgp", numbers = c(nu, first, others), truncated = isTRUE(truncated)), class = "slam_loadings")
}

#' @rdname mgp
#' @export
horseshoe <- function(p0 = 0.1, delta = c(shape = 3, scale = 1)) {
  if (!is_positive(p0) || p0 >= 1 || !is_pair(delta)) abort_prior("p0 of horseshoe() must lie between 0 and 1, and shape and scale of delta be positive")
  structure(list(kind = "horseshoe", p0 = p0, delta = delta, truncated = FALSE), class = "slam_loadings")
}

#' @rdname slam_prior
#' @export
beta_prior <- function(shape1, shape2) {
  check_needed(sys.function(), environment(), user_call())
  if (!is_positive(shape1) || !is_positive(shape2)) abort_prior("shape1 and shape2 of beta_prior() must be positive numbers")
  weights <- function(h) diff(stats::pbeta(c(0, (h[-1] + h[-length(h)]) / 2, 1), shape1, shape2))
  structure(weights, beta = c(shape1, shape2))
}

#' @rdname slam_prior
#' @export
point_zero <- function(probability = 0.5) {
  if (!is.numeric(probability) || length(probability) != 1 || !is.finite(probability) || probability < 0 || probability >= 1) abort_prior(
    "probability of point_zero() must be a number from 0 to below 1"
  )
  structure(function(h) ifelse(h == 0, probability, (1 - probability) / max(1, sum(h > 0))), point_zero = probability)
}

#' @rdname slam_prior
#' @export
dirichlet_prior <- function(concentration = 1) {
  fine <- if (is.null(names(concentration))) is_positive(concentration) else are_positive(concentration) && "residual" %in% names(concentration)
  if (!fine) abort_prior(
    paste0(
      "concentration of dirichlet_prior() must be a positive number, or positive numbers with the names of all random effects and \"residual\", as ",
      "dirichlet_prior(c(id = 2, block = 1, residual = 1))"
    )
  )
  structure(dirichlet_of_one(concentration), dirichlet = concentration)
}

# Weights where there is one random effect: those of a beta distribution
dirichlet_of_one <- function(concentration) {
  if (length(concentration) == 1) return(if (concentration == 1) even_weights else beta_prior(concentration, concentration))
  of <- names(concentration) == "residual"
  if (length(of) == 2) return(beta_prior(concentration[[which(!of)]], concentration[[which(of)]]))
  function(h) abort_prior(paste0("dirichlet_prior() has the random effects ", first_names(names(concentration)[!of]), ", and the model one"))
}

# Concentrations of a Dirichlet distribution: of each effect, and of the residual
concentrations <- function(concentration, effects, name) {
  if (is.null(names(concentration))) return(list(effects = rep(concentration, length(effects)), residual = concentration))
  wrong <- wrong_names(names(concentration), c(effects, "residual"))
  if (!is.null(wrong)) abort_prior(paste0("dirichlet_prior() of ", name, " must have the names of all random effects and \"residual\": ", wrong))
  list(effects = unname(concentration[effects]), residual = concentration[["residual"]])
}

# What names lack and what they have that there is not; NULL where all is well
wrong_names <- function(given, of) {
  told <- function(what, names) if (length(names) > 0) paste0(what, " ", first_names(names))
  wrong <- c(told("there is no", setdiff(given, of)), told("it lacks", setdiff(of, given)))
  if (length(wrong) > 0) paste(wrong, collapse = ", and ")
}

# Points of a regular grid alike, else as wide as what is nearer to each than to others
even_weights <- function(h) {
  steps <- diff(h)
  if (length(steps) < 2 || diff(range(steps)) <= 1e-8 * max(steps)) return(rep(1, length(h)))
  beta_prior(1, 1)(h)
}

# One positive number, or some with names that belong to responses
are_positive <- function(x) is.numeric(x) && is.null(dim(x)) && length(x) > 0 && all(is.finite(x)) && all(x > 0) &&
  (length(x) == 1 || !is.null(names(x)) && !anyDuplicated(names(x)) && all(nzchar(names(x))))

is_positive <- function(x) is.numeric(x) && length(x) == 1 && is.finite(x) && x > 0

is_pair <- function(x) is.numeric(x) && length(x) == 2 && all(is.finite(x)) && all(x > 0)

check_variance_prior <- function(x, name) {
  if (!inherits(x, "slam_inverse_gamma")) abort_prior(paste0(name, " must come from inverse_wishart(), inverse_gamma() or fixed_variance()"))
}

abort_prior <- function(message) abort_fastlmm("prior", message)

# ---- as the sampler takes them ----------------------------------------------------------------------------

# Points of the grid with a weight above zero, of traits or factors, and everything as numbers.
prior_numbers <- function(prior, grid, n, responses, covariates, points = NULL, effects = NULL) {
  if (!inherits(prior, "slam_prior")) abort_prior("prior must come from slam_prior(), or be a list as MCMCglmm's")
  used <- if (is.null(points)) one_effect_grid(prior, grid_points(grid), effects) else points(prior)
  loadings <- prior$loadings
  numbers <- if (loadings$kind == "mgp") loadings$numbers else c(loadings$p0 / (1 - loadings$p0) / sqrt(n), loadings$delta)
  all <- list(
    residual = variance_numbers(prior$residual, responses, "response"),
    kind = loadings$kind, loadings = as.numeric(numbers), truncated = loadings$truncated, scaled = prior$loading_scale == "residual",
    shared = variance_numbers(prior$covariates, covariates, "covariate of factors")
  )
  c(used, all, trait_numbers(prior$loading_means, responses))
}

one_effect_grid <- function(prior, h, effect = NULL) {
  for (name in c("h2", "h2_factors")) if (!is.null(effect)) concentrations(attr(prior[[name]], "dirichlet"), effect, name)
  weight <- list(traits = grid_weights(prior$h2, h, "h2"), factors = grid_weights(prior$h2_factors, h, "h2_factors"))
  used <- weight$traits > 0 | weight$factors > 0
  list(h = h[used], traits = weight$traits[used], factors = weight$factors[used])
}

# Pairs of shape and scale, an infinite shape where the scale is a variance that is known
variance_numbers <- function(prior, of, what) {
  given <- unique(unlist(lapply(prior, names)))
  wrong <- if (!is.null(given)) wrong_names(given, of)
  if (!is.null(wrong)) abort_prior(sprintf("a prior with names must have one for each %s: %s", what, wrong))
  each <- function(x) if (is.null(names(x))) rep(x, length.out = length(of)) else x[of]
  as.numeric(rbind(each(prior$shape), each(prior$scale)))
}

grid_points <- function(grid) if (length(grid) == 1) (seq_len(grid) - 1) / grid else grid

grid_weights <- function(prior, h, name) checked_weights(prior, h, length(h), name)

# A function that stopped; one that asks for a column that is not there is told which are
abort_prior_function <- function(error, h, name) {
  if (inherits(error, "fastlmm_error")) stop(error)
  abort_prior(
    paste0(
      name, " stopped with: ", conditionMessage(error),
      if (is.matrix(h)) paste0("; the points have the columns ", first_names(colnames(h))) else "; with one random effect the points are a vector"
    )
  )
}

# Of points that are numbers, or rows of a matrix
checked_weights <- function(prior, h, points, name) {
  weight <- if (is.function(prior)) tryCatch(suppressWarnings(prior(h)), error = function(error) abort_prior_function(error, h, name)) else prior
  if (is.function(prior) && is.logical(weight)) weight <- weight + 0
  if (!is.numeric(weight) || length(weight) != points || !all(is.finite(weight)) || any(weight < 0) || max(weight) == 0) {
    abort_prior(sprintf("%s must give %d weights, one for each point of the grid, none negative and not all zero", name, points))
  }
  # a sum of large weights is infinite
  weight <- as.vector(weight) / max(weight)
  weight / sum(weight)
}
