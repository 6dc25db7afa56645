#' Gaussian process terms
#'
#' A term `gp(lon, lat)` in the formula of [fastlmm_fit()] adds a Gaussian process with a stationary kernel of one to three coordinates,
#' `y ~ N(X beta, sigma2 (k(distance / lengthscale) + delta I))`. Length scale, variances and fixed effects are estimated jointly, by
#' restricted or ordinary maximum likelihood. `gp()` only has a meaning within a formula and cannot be called on its own.
#'
#' @section Kernels:
#' With `r` the Euclidean distance in units of the length scale: `exp_quad` is `exp(-r^2 / 2)`; `matern12` is `exp(-r)`, the exponential
#' covariance; `matern32` is `(1 + a) exp(-a)` with `a = sqrt(3) r`; `matern52` is `(1 + a + a^2 / 3) exp(-a)` with `a = sqrt(5) r` (Rasmussen
#' and Williams 2006). Coordinates are used as they are, as positions in a plane or in space: project longitudes and latitudes of a large
#' region first.
#'
#' @section Coordinates:
#' Numeric variables; matrices with a column for each axis (`gp(coords)`, `gp(cbind(u, v))`); and points of `sf`: `gp(geometry)`, or the name
#' of the geometry column, of an `sf` object, with three axes if the points have heights. For objects of `sp` the coordinates are variables
#' under their names: `gp(x, y)`. New data must be of the same class, in the same coordinate reference system. If that system is geographic,
#' distances are in degrees, whose length differs between north-south and east-west, and a message says so: transform first
#' ([sf::st_transform()]).
#'
#' Dates, and times of class `POSIXct` or `difftime`, may be coordinates too. `print()` and `summary()` give the unit of the length scale: days
#' for a `Date`, seconds for a `POSIXct` (time zones do not matter), and for a `difftime` the unit of the data, to which new data, and
#' `lengthscale` and `range` if they are `difftime`, are converted. `lower` and `upper` may be dates or times.
#'
#' @section Computation:
#' *In Fourier space* (`fit$gp$route == "fourier"`) the kernel is represented by equispaced frequencies in a ball (Greengard, Rachh and Barnett
#' 2025). One pass over the data by nonuniform Fourier transforms gives a small table of sums; after that nothing depends on the number of
#' rows. The basis is fine enough that the part of the kernel's variance that it leaves out is below `tol` times `delta`: the likelihood counts
#' this part as residual noise, and it is added back to the process afterwards. Data that are rougher than their kernel carry information at
#' higher frequencies too; therefore, up to 2500 functions, the basis is refined until a finer one would change the length scale by less than a
#' tenth of its standard error. For data from the kernel, the truncation changes the log-likelihood by less than `fit$gp$log_lik_error` (three
#' standard deviations; `summary()` reports it above 0.01). `fit$gp$captured` is the proportion of the variance that the basis represents,
#' `fit$gp$aliasing` a bound on the correlation that its periodic images add.
#'
#' Fields that are much smoother than their kernel determine the length scale and the variance only jointly: the longer the length scale, the
#' smaller the noise relative to the variance, and the more basis functions are needed. If these would exceed `size`, four fifths of the number
#' of rows, or 3000 when improving a result, the fit stops there, with a message and `fit$optimum$limited`. Predictions hardly depend on this,
#' but length scale and variance do. It is an error if the basis would leave out more than a tenth of the noise.
#'
#' *With the kernel matrix of all rows* (`"exact"`) there is no approximation; this is feasible for some thousand rows, with time proportional
#' to the cube of the number of rows. `basis = "auto"` uses it up to 500 rows; up to 1000 rows with `ard`, beside other random effects, and for
#' many responses with `exp_quad`; and up to 3000 rows where the Fourier basis would be too large. Rough kernels have variance at high
#' frequencies, of which there are many in two and three dimensions.
#'
#' Beside other random effects, `y ~ gp(lon, lat) + (1 | g) + (x | h)`, the kernel matrix allows any number of terms, slopes, and kernels `K`,
#' and all variances have standard errors and profiles; beyond 1000 rows, Fourier space allows one plain term `(1 | g)`.
#'
#' @section Cost:
#' `matern52`, the default, suits fields that are not known to be smooth; its bases are larger than those of `exp_quad`, and its fits slower.
#' CPU seconds on one core (measured in 2026), for two coordinates, uniform points, a process of the fitted kernel with noise of half its variance, and
#' length scales of 0.05 to 0.5 of the side:
#'
#' | rows | `exp_quad` | `matern52` | `basis = "exact"` |
#' |---|---|---|---|
#' | up to 1000 | at most 0.7 | at most 0.7 | 0.6 at 1000 |
#' | 1500 | at most 0.7 | 0.1 to 1.6 | |
#' | 2000 | at most 0.7 | 0.1 to 2.8 | 2 |
#' | 3000 | at most 0.7 | 0.3 to 1.4 | 8 |
#' | 5000 | at most 0.7 | 0.2 to 1.5 | |
#' | a million, squared exponential field | 0.5 | 0.7 to 3.6 | |
#'
#' Shorter length scales take longer.
#'
#' @section Range of the search:
#' If `range` is not given, the search extends up to three times the longest side of the bounding box of the data: a process over longer scales
#' is a trend and belongs in the formula. With the kernel matrix it extends down to half the nearest-neighbour distance (its 5 percent quantile
#' over the rows). A length scale at an end of the range is reported by a message, in `print()` and `summary()`, and in `fit$optimum$at_end`.
#'
#' With the kernel matrix there is also a smallest `delta`, below which the condition number of the covariance leaves no accurate digits (about
#' 1e-15 times the square of the number of rows, for weights of one). Data with almost no noise are then interpolated to that accuracy,
#' `fit$optimum$boundary` is `"delta at its floor"`, and the residual variance is an upper bound.
#'
#' @param ... one to three coordinates: numeric variables, dates, times, expressions of these, a matrix or a column of points.
#' @param cov kernel, by default `"matern52"`.
#' @param lengthscale in units of the coordinates, if it is known: one number, or one for each coordinate. `NULL`: estimated.
#' @param ard use a separate length scale for each coordinate (automatic relevance determination)?
#' @param range shortest and longest length scale to consider; with `ard` relative to the sides of the bounding box of the data. `NULL`: see
#'   below.
#' @param tol proportion of the kernel's variance that the Fourier basis may leave out, relative to `delta`.
#' @param basis `"auto"`, `"fourier"` or `"exact"`.
#' @param size largest number of basis functions. Time is proportional to its cube: 1000 functions take about a tenth of a second for each
#'   length scale tried, 4000 some seconds.
#' @param lower,upper corners of a box that the basis must cover in addition to the data, so that it contains all places to be predicted. One
#'   number for each coordinate.
#' @param shared with many responses ([fastlmm_gp_mlm]): use one length scale for all of them?
#' @return None: called outside a formula it is an error.
#' @references
#' Greengard, P., Rachh, M. and Barnett, A. (2025) Equispaced Fourier representations for efficient Gaussian process regression from a billion
#' data points. SIAM/ASA JUQ 13, 63-89.
#'
#' Rasmussen, C. E. and Williams, C. K. I. (2006) Gaussian processes for machine learning, section 4.2. MIT Press.
#' @seealso [predict.fastlmm_gp()], [plot.fastlmm_gp()], [gp_accumulate()] for data larger than memory.
#' @examples
#' fit <- fastlmm_fit(mag ~ depth + gp(long, lat), quakes[1:300, ])
#' fit
#' confint(fit, "lengthscale")
#' @export
gp <- function(..., cov = c("matern52", "exp_quad", "matern12", "matern32"), lengthscale = NULL, ard = FALSE, range = NULL, tol = 0.01,
               basis = c("auto", "fourier", "exact"), size = 4000, lower = NULL, upper = NULL, shared = FALSE) {
  abort_fastlmm("gp", "gp() is a term of a formula, as in fastlmm_fit(y ~ x + gp(lon, lat), data); it cannot be called by itself")
}

gp_kernels <- eval(formals(gp)$cov)

# ---- the term -----------------------------------------------------------------------------------------

is_gp <- function(e) is_call_to(e, "gp") || is.call(e) && is_call_to(e[[1]], c("::", ":::")) && identical(e[[1]][[3]], quote(gp))

# The gp() terms of a formula's right side. They can only be added.
find_gp <- function(e) {
  if (is_gp(e)) return(list(e))
  if (!is_call_to(e, formula_operators)) return(list())
  found <- unlist(lapply(as.list(e)[-1], find_gp), recursive = FALSE)
  if (length(found) > 0 && !is_call_to(e, c("+", "-", "("))) abort_gp_place(e)
  if (is_call_to(e, "-") && length(find_gp(e[[length(e)]])) > 0) abort_gp_place(e)
  found
}

# What a term says, its settings evaluated where the formula was written
split_gp <- function(right, env, data = NULL) {
  terms <- find_gp(right)
  if (length(terms) == 0) return(NULL)
  if (length(terms) > 1) abort_gp_term(terms[[2]], "is a second gp() term, but only one is possible: combine their coordinates, or give one of them a kernel K")
  call <- match_gp(terms[[1]])
  unknown <- function(e) abort_gp_term(terms[[1]], paste("has a setting that cannot be evaluated where the formula was written:", conditionMessage(e)))
  settings <- lapply(as.list(call)[setdiff(names(call)[-1], "...")], evaluate_frame, env, explain = unknown)
  coordinates <- unname(lapply(as.list(call[["..."]]), as_variable))
  gp <- new_gp(terms[[1]], coordinates, settings)
  gp$degrees <- attr(data, "degrees")
  gp
}

# The term's arguments by name. What is named or a constant among the coordinates is a setting that gp() has not, or one without its name.
match_gp <- function(term) {
  said <- function(e) abort_gp_term(term, paste("cannot be read:", conditionMessage(e)))
  call <- tryCatch(match.call(gp, term, expand.dots = FALSE), error = said)
  coordinates <- as.list(call[["..."]])
  given <- names(coordinates)[nzchar(names(coordinates))]
  if (length(given) > 0) abort_gp_term(term, paste0("has an argument ", quoted(given[1]), ", which gp() does not have", gp_habit(given[1])))
  constant <- Filter(function(e) !is.language(e), coordinates)
  if (length(constant) > 0) abort_gp_constant(term, constant[[1]])
  call
}

gp_habit <- function(name) {
  offered <- setdiff(names(formals(gp)), "...")
  if (name %in% names(gp_habits)) paste0("; ", gp_habits[[name]]) else if (nzchar(
    near <- did_you_mean(name, offered)
  )) near else paste0("; it has ", toString(offered))
}

abort_gp_constant <- function(term, value) {
  advice <- if (is.character(value)) paste0("; a kernel is named, as cov = ", deparse1(value)) else "; settings are named, as lengthscale = 0.3"
  abort_gp_term(term, paste0("has ", deparse1(value), " among its coordinates, which must be variables", advice))
}

# Arithmetic means something else in a formula
as_variable <- function(e) if (is_call_to(e, formula_operators)) call("I", e) else e

new_gp <- function(term, coordinates, settings) {
  d <- length(coordinates)
  if (d < 1 || d > 3) abort_gp_term(term, paste("has", counted(d, "coordinate"), "but must have one to three"))
  defaults <- list(cov = "matern52", ard = FALSE, tol = 0.01, basis = "auto", size = 4000, shared = FALSE)
  gp <- utils::modifyList(defaults, settings)
  gp <- c(gp, list(term = term, coordinates = coordinates, name = gp_label(coordinates)))
  check_gp_words(gp, term)
}

gp_label <- function(coordinates) paste0("gp(", toString(vapply(coordinates, deparse1, "")), ")")

# What can be said before the coordinates are known
check_gp_words <- function(gp, term) {
  flag <- function(x) isTRUE(x) || isFALSE(x)
  if (!is.character(gp$cov) || !isTRUE(gp$cov %in% gp_kernels)) abort_gp_term(
    term, paste0("has cov = ", code_text(gp$cov), ", which must be one of ", first_names(gp_kernels), covariance_habit(gp$cov))
  )
  if (!is.character(gp$basis) || !isTRUE(gp$basis %in% c("auto", "fourier", "exact"))) abort_gp_term(
    term, "has a basis that is not \"auto\", \"fourier\" or \"exact\""
  )
  if (!flag(gp$ard)) abort_gp_term(term, "has ard that is neither TRUE nor FALSE")
  if (!flag(gp$shared)) abort_gp_term(term, "has shared that is neither TRUE nor FALSE")
  gp
}

# Basis functions whose matrix of products no machine holds
largest_size <- 1e5

# The numbers, for d axes
check_gp <- function(gp, term, d) {
  if (d < 1 || d > 3) abort_gp_term(term, paste("has", counted(d, "coordinate"), "but must have one to three"))
  number <- function(x, n = 1) is.numeric(x) && length(x) %in% n && all(is.finite(x) & x > 0)
  if (!is.null(gp$lengthscale) && !number(gp$lengthscale, c(1, d))) {
    abort_gp_term(
      term, paste0("has lengthscale = ", deparse1(gp$lengthscale), ", which must be one positive number, or one for each of its ", counted(d, "coordinate"))
    )
  }
  if (!is.null(gp$range) && !(number(gp$range, 2) && gp$range[1] < gp$range[2])) abort_gp_term(
    term, "has a range that is not two positive numbers, the shorter first"
  )
  if (!number(gp$tol) || gp$tol > 1) abort_gp_term(term, "has a tol that is not a number between 0 and 1")
  corner <- function(x) is.null(x) || is.numeric(x) && length(x) == d && all(is.finite(x))
  if (!corner(gp$lower) || !corner(gp$upper)) abort_gp_term(term, paste("has a lower or an upper that is not", counted(d, "finite number")))
  if (!number(gp$size) || gp$size < 10 || gp$size > largest_size) abort_gp_term(term, sprintf("has a size that is not a number from 10 to %.0f", largest_size))
  gp$ard <- gp$ard && d > 1
  gp
}

abort_gp_term <- function(term, message) {
  abort_fastlmm("gp", paste(deparse1(term), message), term = term)
}

abort_gp_place <- function(e) {
  abort_fastlmm("gp", paste0("gp() can only be added to the formula; it stands inside ", deparse1(e)), term = e)
}

# ---- what goes to Rust --------------------------------------------------------------------------------

# The model at the border with the coordinates of a process; in Fourier space one grouping factor may stand beside it.
gp_rows <- function(model, coordinates, Y, random = group_effect(model$group)) {
  c(rust_model(model, random, Y), list(coordinates = coordinates))
}

group_effect <- function(group) {
  if (is.null(group)) return(list())
  list(group = list(z = rep(1, length(group)), group = as.integer(group), kernel = NULL, index = seq_len(nlevels(group))))
}

# `strict`: no basis coarser than `tol` asks for, since there is another route
gp_settings <- function(gp, box, strict = FALSE) {
  d <- ncol(box)
  list(
    cov = gp$cov, ard = gp$ard, tol = gp$tol, size = if (is.null(gp$largest)) gp$size else gp$largest,
    lengthscale = if (is.null(gp$lengthscale)) numeric() else rep_len(as.numeric(gp$lengthscale), d),
    shortest = if (is.null(gp$range)) numeric() else gp$range[1], longest = if (is.null(gp$range)) numeric() else gp$range[2],
    low = box[1, ], high = box[2, ], strict = strict
  )
}

# Where there are no rows
gp_request <- function(gp, box, method, control) c(gp_settings(gp, box), list(method = method, threads = as.numeric(control_threads(control))))
