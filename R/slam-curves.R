# Curves of the rows as traits: coefficients in a basis, measured at times that may differ between rows.

#' Curves as responses
#'
#' The left side of [slamglmm_fit()] for growth curves and other series: `y_i ~ N(X_i eta_i, v I)`, where row i has points at its own times,
#' X_i contains the basis functions at these times, and the traits are the coefficients eta_i. Fixed effects, factors, random effects and
#' residuals refer to the coefficients: the intercepts of the model give the mean curve, and covariances of the coefficients give covariance
#' functions of time. Rows may have any number of points, or none; what their points do not determine comes from the rest of the model.
#'
#' Several series, `cbind(height, weight) ~ age`, each have a block of coefficients and a noise variance; a missing value of one leaves out
#' that value only.
#'
#' @section Scaling:
#' Coefficients are scaled by a rough estimate of their standard deviation over rows (from a mixed model of the points with the fixed effects
#' that have flat priors, without random effects), so that the default priors of [slam_prior()] suit any basis. The prior of the noise variance
#' is in units of the variance of the points about the curves of these fixed effects; [summary.slamglmm()] has it as `noise[<series>]`, in
#' units of the data.
#'
#' @section Fitted and predicted curves:
#' `fitted(fit)` and `predict(fit, newdata)` give coefficients, from fixed and random effects, and `predict(fit, newdata, times = )` gives
#' curves: an array rows x times x series (with an interval, or `draws`, one dimension more; `interval = "prediction"` is for new points,
#' including the residuals of the coefficients and noise). `fitted(fit, times = )` is the curve of each row itself, including its residual and
#' thus all the information in its points; its coefficients are `posterior_cells(fit)`. The mean curve of a treatment is
#' `predict(fit, newdata, times = , re.form = NA, interval = "confidence")`. To forecast an individual, include its points so far in `data` and
#' fit: `fitted(fit, times = )` extends to the end of the basis.
#'
#' `basis_at(fit, times)` is the matrix that maps coefficients to times. With `B <- basis_at(fit, times)` the covariance of the random effects
#' between times is `B %*% G(fit) %*% t(B)`, and likewise for `R(fit)`. [pp_check()] and `simulate()` refer to the values that represent the
#' coefficients of a row in `fit$Y`: their estimates by the rough model.
#'
#' @section Which random effects to include:
#' Differences between rows that the terms of the formula do not explain are in the residual. A random effect of the rows themselves,
#' `(1 | animal)`, should therefore be in the formula only if it has a kernel. Chains mix slowly where rows have few points: some thousand
#' iterations are usual, and [summary.slamglmm()] gives their effective sample size.
#' @param formula series and time, such as `height ~ age`.
#' @param id the variable of the fit's data that names its rows, each once.
#' @param by name of the column of `data` that has the id of each point; by default the name of the variable `id`.
#' @param data data frame with a row for each point.
#' @param basis a basis by [curve_bspline()] or [curve_fourier()], a function of time, or a matrix with a row for each row of `data`.
#' @param noise prior of the noise variance, by [inverse_gamma()], [inverse_wishart()] or [fixed_variance()].
#' @return `slam_curves()`: a matrix of class `slam_response`, rows x coefficients, with columns `<series>.<coefficient>`. Errors of class
#'   `curves`: ids and columns that do not match, times outside the basis.
#' @seealso [slam_join()] for curves and other traits in one model.
#' @examples
#' # weights of chicks on four diets
#' chicks <- unique(data.frame(ChickWeight[c("Chick", "Diet")]))
#' fit <- slamglmm_fit(
#'   slam_curves(log(weight) ~ Time, id = Chick, data = data.frame(ChickWeight), basis = curve_bspline(df = 4, differences = 1)) ~ 1 + (1 | Diet), chicks, chains = 1, iter = 300, seed = 1
#' )
#' fit
#' # curves of the chicks themselves, of the last of which there are two points, and of diets
#' round(fitted(fit, times = c(0, 10, 21))[c(1, 18), , ], 2)
#' diets <- data.frame(Diet = factor(1:4))
#' round(exp(predict(fit, diets, times = c(0, 10, 21))[, , 1]))
#' # what differs between chicks of a diet, in time
#' B <- basis_at(fit, c(0, 10, 21))
#' round(sqrt(diag(B %*% R(fit) %*% t(B))), 2)
#' @order 1
#' @export
slam_curves <- function(formula, id, data, basis = curve_bspline(), noise = inverse_gamma(2, 0.1), by = NULL) {
  check_needed(sys.function(), environment(), user_call())
  points <- curve_points(formula, id, id_name(substitute(id), by), data)
  basis <- as_curve_basis(basis, points$time[order(points$order)])
  series <- colnames(points$value)
  noise <- probe_noise(noise, series)
  names <- settle_basis(basis, points$time)$names
  one <- function(s) {
    own <- replace(points, "value", list(points$value[, s]))
    list(
      kind = "curves", traits = paste0(series[s], ".", names), rows = list(row = seq_len(points$n)), points = own, series = series[s], asked = basis,
      noise = unname(noise[s, ])
    )
  }
  blocks <- lapply(seq_along(series), one)
  traits <- block_traits(blocks)
  whole <- new_slam_response(matrix(0, points$n, length(traits), dimnames = list(NULL, traits)))
  attr(whole, "blocks") <- blocks
  seen_alone(whole)
}

# Subject of `Subject` and of `boys$Subject`
id_name <- function(expr, by) {
  if (is.character(by) && length(by) == 1 && !is.na(by)) return(by)
  if (!is.null(by)) abort_curves(paste("by must be the name of a column of data, not", code_text(by)))
  if (is.symbol(expr)) return(as.character(expr))
  if (is.call(expr) && as.character(expr[[1]])[1] %in% c("$", "[[") && (is.symbol(expr[[3]]) || is.character(expr[[3]]))) return(as.character(expr[[3]]))
  abort_curves(paste0("id must be a variable, whose name is also that of a column of data, or by must name that: ", code_text(expr)))
}

# Points in the order of rows and times: `row`, `time`, and `value`, points x series; `n` rows of the fit's data
curve_points <- function(formula, id, name, data) {
  if (!inherits(formula, "formula") || length(formula) != 3) abort_curves("formula must have series and time, as height ~ age")
  if (!is.data.frame(data)) abort_curves(paste("data must be a data frame with a row for each point, not of class", class(data)[1]))
  if (!name %in% names(data)) abort_curves(paste0("data has no column ", quoted(name), ", the id of the fit's rows"))
  evaluated <- function(expr) tryCatch(
    eval(expr, data, environment(formula)),
    error = function(error) abort_curves(paste0(deparse1(expr), " cannot be evaluated in data: ", conditionMessage(error)))
  )
  time <- evaluated(formula[[3]])
  value <- series_matrix(evaluated(formula[[2]]), formula[[2]])
  if (!is.numeric(time) || is.object(time) || length(time) != nrow(data)) abort_curves(
    paste0("times must be numbers, one for each row of data: ", deparse1(formula[[3]]))
  )
  if (!all(is.finite(time))) abort_curves(paste0("times are missing or not finite: ", deparse1(formula[[3]])))
  if (nrow(value) != nrow(data)) abort_curves(sprintf("series have %d rows, and data %d", nrow(value), nrow(data)))
  if (!is.atomic(id) || !is.null(dim(id))) abort_curves(paste("id must be a variable that names the rows of the fit, not of class", class(id)[1]))
  rows <- as.character(id)
  if (anyNA(rows)) abort_curves(paste0("ids of rows are missing: ", name))
  if (anyDuplicated(rows)) abort_curves(paste0("rows must have an id each; several have ", first_names(unique(rows[duplicated(rows)])), " of ", quoted(name)))
  row <- match(as.character(data[[name]]), rows)
  if (anyNA(row)) abort_curves(
    paste0("data has points of ids that no row of the fit's data has: ", first_names(unique(as.character(data[[name]])[is.na(row)])), " of ", quoted(name))
  )
  order <- order(row, time)
  list(row = row[order], time = as.numeric(time)[order], value = value[order, , drop = FALSE], order = order, n = length(rows))
}

series_matrix <- function(value, expr) {
  if (is.data.frame(value)) value <- as.matrix(value)
  if (!is.numeric(value) || is.object(value)) abort_curves(paste0("series must be numbers: ", deparse1(expr)))
  if (!is.matrix(value)) return(matrix(as.numeric(value), dimnames = list(NULL, deparse1(expr))))
  if (is.null(colnames(value)) || anyDuplicated(colnames(value)) || any(colnames(value) == "")) abort_curves(
    "several series need names, each its own, as cbind(height = h, weight = w)"
  )
  value
}

# ---- points of one series --------------------------------------------------------------------------------------

# Points of some rows, which are counted anew
points_of <- function(points, rows) {
  at <- split(seq_along(points$row), factor(points$row, seq_len(points$n)))[rows]
  use <- unlist(at, use.names = FALSE)
  list(row = rep(seq_along(rows), lengths(at)), time = points$time[use], value = points$value[use], n = length(rows))
}

# What stands for the coefficients of the rows, and what their points say: all from these rows alone, beside their fixed effects
settle_curves <- function(block, fixed) {
  points <- points_of(block$points, block$rows$row)
  if (any(is.infinite(points$value))) abort_curves(paste("series have infinite values:", block$series))
  if (all(is.na(points$value))) abort_curves(paste("series have no values:", block$series))
  block$basis <- settle_basis(block$asked, points$time)
  if (length(block$basis$names) != length(block$traits)) abort_curves(
    "a function as basis must give as many columns for the times of the rows of the fit as for all of them"
  )
  block$found <- point_fits(points, basis_matrix(block$basis, points$time))
  Q <- orthogonal_columns(fixed$X[, fixed$flat, drop = FALSE])
  rough <- rough_coefficients(block$found, Q, least = (1e-8 * max(abs(points$value), na.rm = TRUE))^2, fixed$steps)
  if (is.null(rough)) abort_curves(paste("series do not vary about the curves of their fixed effects:", block$series))
  block$variance <- rough$variance
  block$rough <- rough[c("mean", "spread", "noise")]
  block$widen <- widening(rough$values, Q, rough$spread)
  list(Y = rough$values, block = block)
}

# Least squares of each row: coefficients `fitted`, what they leave, and the cross products of the basis, of which rows with the same times have the same
point_fits <- function(points, B) {
  used <- which(!is.na(points$value))
  row <- factor(points$row[used], seq_len(points$n))
  key <- vapply(split(points$time[used], row), function(time) paste(format(time, digits = 17), collapse = " "), "")
  times <- match(key, unique(key))
  at <- split(used, row)
  q <- ncol(B)
  fitted <- matrix(0, points$n, q)
  left <- numeric(points$n)
  grams <- matrix(0, q, q * max(times))
  for (set in seq_len(max(times))) {
    rows <- which(times == set)
    if (length(at[[rows[1]]]) == 0) next
    X <- B[at[[rows[1]]], , drop = FALSE]
    y <- matrix(points$value[unlist(at[rows], use.names = FALSE)], nrow(X))
    found <- curve_fit(X, y)
    fitted[rows, ] <- t(found)
    left[rows] <- colSums((y - X %*% found)^2)
    grams[, (set - 1) * q + seq_len(q)] <- crossprod(X)
  }
  list(fitted = fitted, times = times, left = left, points = unname(lengths(at)), grams = grams)
}

# Of directions that points do not tell nothing
curve_fit <- function(X, y) {
  found <- svd(X)
  use <- found$d > 1e-7 * max(found$d)
  found$v[, use, drop = FALSE] %*% (crossprod(found$u[, use, drop = FALSE], y) / found$d[use])
}

# How much more a coefficient varies than its shrunken estimates, about fixed effects
widening <- function(Y, Q, spread) {
  sd <- sqrt(colMeans((Y - Q %*% crossprod(Q, Y) / nrow(Q))^2))
  ifelse(sd > 0, pmax(1, spread / sd), 1)
}

gram_of <- function(grams, set) grams[, (set - 1) * nrow(grams) + seq_len(nrow(grams)), drop = FALSE]

# Fixed effects of all rows' coefficients, independent variances and noise by some EM steps, and estimates of each row's: a scale, not an answer. NULL: they do
# not vary by more than `least`. Fixed effects are of Q, so that a number times a covariate, added
# to coefficients, changes neither variances nor noise.
rough_coefficients <- function(found, Q, least, steps = NULL) {
  fitted <- found$fitted
  q <- ncol(fitted)
  sets <- split(seq_along(found$times), found$times)
  gram <- lapply(seq_along(sets), function(set) gram_of(found$grams, set))
  effects <- rough_effects(fitted, gram, sets, Q)
  square <- function(away) sum(unlist(Map(function(G, rows) sum((away[rows, , drop = FALSE] %*% G) * away[rows, , drop = FALSE]), gram, sets)))
  count <- sum(found$points)
  left <- sum(found$left)
  variance <- (left + square(fitted - Q %*% effects)) / count
  if (!(variance > least)) return(NULL)
  weight <- rowSums(vapply(seq_along(sets), function(set) diag(gram[[set]]) * length(sets[[set]]), numeric(q)) |> matrix(q))
  d <- start <- variance * count / pmax(weight, 1e-12 * max(weight))
  noise <- 0.1 * variance
  u <- 0 * fitted
  if (is.null(steps)) steps <- max(20, min(200, 2e5 %/% length(sets)))
  for (step in seq_len(steps)) {
    away <- fitted - Q %*% effects
    spread <- numeric(q)
    trace <- 0
    for (set in seq_along(sets)) {
      rows <- sets[[set]]
      V <- rough_covariance(gram[[set]], d, noise)
      u[rows, ] <- away[rows, , drop = FALSE] %*% gram[[set]] %*% V / noise
      spread <- spread + length(rows) * diag(V)
      trace <- trace + length(rows) * sum(gram[[set]] * V)
    }
    noise <- max((left + square(away - u) + trace) / count, 1e-10 * variance)
    d <- pmax((colSums(u^2) + spread) / nrow(u), 1e-8 * start)
    effects <- effects + crossprod(Q, u) / nrow(u)
  }
  mean <- Q %*% effects
  values <- shrunken(fitted, list(mean = mean, spread = sqrt(d), noise = noise), found$grams, found$times)
  list(mean = mean, spread = sqrt(d), noise = noise, values = values, variance = variance)
}

# Least squares of all points on the basis times columns of Q: columns of Q x coefficients
rough_effects <- function(fitted, gram, sets, Q) {
  q <- ncol(fitted)
  if (ncol(Q) == 0) return(matrix(0, 0, q))
  right <- c(Reduce(`+`, Map(function(G, rows) G %*% crossprod(fitted[rows, , drop = FALSE], Q[rows, , drop = FALSE]), gram, sets)))
  total <- Reduce(`+`, Map(function(G, rows) kronecker(crossprod(Q[rows, , drop = FALSE]), G), gram, sets))
  # what points do not tell is held by next to nothing, which the other steps take out of the rest
  ridge <- total + diag(1e-10 * mean(diag(total)), nrow(total))
  effects <- solve(ridge, right)
  for (step in 1:2) effects <- effects + solve(ridge, right - total %*% effects)
  t(matrix(effects, q))
}

# The inverse of G / noise + diag(1 / d)
rough_covariance <- function(G, d, noise) {
  s <- sqrt(d)
  s * t(s * chol2inv(chol(s * t(s * G) / noise + diag(nrow(G)))))
}

# Estimates of coefficients by the rough model, of points whose least squares are `fitted` or, with `error`, n x q, of X' times errors beside them
shrunken <- function(fitted, rough, grams, times, error = NULL) {
  values <- rough$mean
  for (set in unique(times)) {
    rows <- which(times == set)
    G <- gram_of(grams, set)
    right <- (fitted[rows, , drop = FALSE] - rough$mean[rows, , drop = FALSE]) %*% G
    if (!is.null(error)) right <- right + error[rows, , drop = FALSE]
    values[rows, ] <- values[rows, , drop = FALSE] + right %*% rough_covariance(G, rough$spread^2, rough$noise) / rough$noise
  }
  values
}

# ---- the link ------------------------------------------------------------------------------------------------

# The first coefficient has the data of all.
curves_link <- function(block, trait, y, offset) {
  if (any(offset != 0)) abort_family(paste0("an offset is for counts and normal responses, not for curves: ", quoted(trait)))
  at <- match(trait, block$traits)
  own <- list(family = "coefficient", response = trait, widen = block$widen[at])
  if (at > 1) return(own)
  c(replace(own, "family", "curves"), list(label = block$series), block[c("traits", "series", "noise", "variance", "basis", "rough")], block$found)
}

# Coefficients vary more than what stands for them.
widen_scale <- function(scale, links) {
  for (j in seq_along(links)) {
    by <- links[[j]]$widen
    if (is.null(by)) next
    scale$sd[j] <- scale$sd[j] * by
    scale$scaled[, j] <- scale$scaled[, j] / by
  }
  scale
}

curves_family <- list(
  code = "curves", normal = TRUE, latent = TRUE, parameters = function(own) "noise",
  sampler = function(own, unit) {
    sd <- unit$all$sd[own$traits]
    n <- nrow(own$fitted)
    grams <- own$grams * sd * rep(sd, each = length(sd), length.out = length(own$grams)) / own$variance
    list(
      fitted = unname((own$fitted - unit$all$level[, own$traits]) / rep(sd, each = n)), start = unname(unit$all$scaled[, own$traits, drop = FALSE]),
      grams = unname(grams), times = as.integer(own$times),
      left = sum(own$left) / own$variance, points = as.numeric(sum(own$points)), noise = as.numeric(own$noise)
    )
  },
  back = function(own, values, unit) values * own$variance,
  # of rows of the fit what stands for their coefficients; of others these
  simulate = function(eta, own, parameters) {
    if (is.null(own$which)) return(eta)
    times <- own$times[own$which]
    error <- matrix(0, nrow(eta), ncol(eta))
    for (set in unique(times)) {
      rows <- which(times == set)
      error[rows, ] <- normals(length(rows), ncol(eta)) %*% t(psd_root(gram_of(own$grams, set))) * sqrt(parameters)
    }
    rough <- replace(own$rough, "mean", list(own$rough$mean[own$which, , drop = FALSE]))
    shrunken(eta, rough, own$grams, times, error)
  }
)

coefficient_family <- list(code = "coefficient", normal = TRUE, latent = TRUE, sampler = function(own, unit) NULL, part = TRUE)
