#' Profile likelihood
#'
#' The signed square root of the likelihood-ratio statistic, zeta, along each parameter, with all other parameters re-estimated: a straight
#' line where the log-likelihood is quadratic. A two-sided interval is the set where `|zeta|` is below a normal quantile. Variances and `h2`
#' use the criterion of the fit, REML or ML. A fixed effect always uses the ML likelihood, as in `lme4`, because the restricted likelihood does
#' not depend on the fixed effects; for a REML fit its curve is therefore centred at the ML estimate.
#'
#' If a profile finds a larger likelihood than that of the fit, it gives the warning `fastlmm_warning_better_optimum` and is computed for the
#' fit that starts from there, which is returned as its attribute `"fit"`.
#'
#' @param fitted a fit by [fastlmm_fit()].
#' @param which parameters, by name or number: `.sig01`, `.sig02`, ... (standard deviations of the random effects; for correlated terms in the
#'   order of `lme4`: the first standard deviation, its correlations, the second, ...), `.sigma` (residual standard deviation), `h2` (with
#'   several random effects the share of each in the total variance, `h2.id`, `h2.block`), then the fixed effects; `"theta_"`: all but the
#'   fixed effects; `"beta_"`: the fixed effects. With one random effect `delta` is available by name. `NULL`: all but `delta`. With several
#'   random effects each point of a curve is an optimisation over the other parameters.
#' @param alphamax the curves reach the cut-off of simultaneous `1 - alphamax` confidence regions, as in `lme4`.
#' @param points number of points of a curve.
#' @param x a profile.
#' @param row.names,optional as in [as.data.frame()], not used.
#' @param ... not used; an unknown argument is an error.
#' @return A data frame of class `fastlmm_profile`, with columns `.par` (factor), `value`, `.zeta` and `logLik`.
#' @seealso [confint.fastlmm()] and, for plots, [plot.fastlmm_profile()]. The profile over `h2` from the search is `fit$profile`.
#' @examples
#' fit <- fastlmm_fit(distance ~ age + (1 | Subject), nlme::Orthodont)
#' curves <- profile(fit)
#' head(as.data.frame(curves))
#' confint(curves, level = 0.9)
#' @export
profile.fastlmm <- function(fitted, which = NULL, alphamax = 0.01, points = 41, ...) {
  check_arguments(...)
  check_profiled(fitted)
  if (asks_delta(which)) fitted <- with_spectrum(fitted)
  table <- select_parameters(fitted, if (!is.null(which)) read_names(which, "which"))
  table <- defined_parameters(fitted, table[!is.na(table$column), ])
  zeta_max <- sqrt(qchisq(1 - check_level(alphamax, "alphamax"), fitted$df))
  points <- check_points(points)
  curves <- profile_curves(fitted, table, zeta_max, points)
  better <- better_variances(curves)
  if (!is.null(better)) return(profile_again(fitted, better, function(fit) profile(fit, which, alphamax, points)))
  curves <- do.call(rbind, curves)
  curves$.par <- factor(curves$.par, levels = unique(table$name))
  structure(curves, class = c("fastlmm_profile", "data.frame"), parameters = table)
}

#' @rdname profile.fastlmm
#' @export
as.data.frame.fastlmm_profile <- function(x, row.names = NULL, optional = FALSE, ...) {
  attr(x, "parameters") <- NULL
  class(x) <- "data.frame"
  x
}

profile_curves <- function(fit, table, zeta_max, points) {
  found <- if (is_sparse_fit(fit)) {
    terms_profiles(ffi_profile_terms, fit, table, zeta_max, points)
  } else if (length(fit$random) > 1) {
    mix_profiles(ffi_profile_mix, fit, table, zeta_max, points)
  } else {
    Map(function(what, column) {
      unit <- profile_unit(fit, what, column)
      curve <- call_rust(ffi_profile, rotated_in_unit(fit, column, unit), fit$method, what, column, zeta_max, points)
      list(curve = replace(curve, "value", list(unit * curve$value)))
    }, table$what, table$column)
  }
  unname(Map(function(name, found) {
    curve <- found$curve
    structure(data.frame(.par = name, value = curve$value, .zeta = curve$zeta, logLik = curve$logLik), better = found$better)
  }, table$name, found))
}

# The core finds the ends for a coefficient to an absolute distance of about 1e-13 of the response's scale: it gets one whose standard error is of that order. A
# power of two, so that no digit is lost
profile_unit <- function(fit, what, column) {
  if (what != "beta") return(1)
  unit <- sqrt(fit$vcov[column, column]) / fit$rotated$y_scale
  if (isTRUE(is.finite(unit) && unit > 0)) 2^round(log2(unit)) else 1
}

# The coefficient over that unit: it is along its row of the basis.
rotated_in_unit <- function(fit, column, unit) {
  if (unit == 1) return(fit$rotated)
  basis <- fit$rotated$basis
  basis[column, ] <- basis[column, ] / unit
  replace(fit$rotated, "basis", list(basis))
}

# ---- a better optimum -------------------------------------------------------------------------------------

# Curves or intervals of several effects, and variances with a larger likelihood if one of them found any: one call, so that the set-up is made once.
mix_profiles <- function(entry, fit, table, ...) {
  if (nrow(table) == 0) return(list())
  asked <- list(what = table$what, number = as.integer(table$column), known = all_variances(fit))
  found <- call_rust(entry, rust_model(stored_model(fit)), asked, ...)
  lapply(found, function(one) if (length(one$better) == 0) one["better" != names(one)] else one)
}

better_variances <- function(found) {
  better <- Filter(Negate(is.null), lapply(found, attr, "better"))
  if (length(better) > 0) better[[1]]
}

# What `read` makes of the fit that starts from these variances, with that fit
profile_again <- function(fit, better, read) {
  again <- fit_again(fit, better)
  found <- read(again)
  if (is.null(attr(found, "fit"))) attr(found, "fit") <- again
  found
}

fit_again <- function(fit, start) {
  model <- stored_model(fit)
  again <- new_fastlmm(model, estimate_mix(model, start))
  if (!(again$logLik > fit$logLik)) abort_fastlmm("no_convergence", "the profile found a larger likelihood than the fit, but no optimum near it")
  again$call <- fit$call
  warn_fastlmm("better_optimum", sprintf(
    "the profile found a larger likelihood, %s, than that of the fit, %s; the model is refitted from there; the new fit is attr(, \"fit\") of the result",
    format(again$logLik, digits = 8), format(fit$logLik, digits = 8)
  ), logLik = again$logLik, sigma2 = again$sigma2, sigma2_e = again$sigma2_e)
  again
}

# One row a parameter: the user's name, the core's name, number of the random effect or column among those kept (NA: aliased), of a correlation that of the
# other effect too, range.
parameter_table <- function(fit) {
  p <- length(fit$coefficients)
  n <- length(fit$random)
  of_effects <- covariance_parameters(fit$random)
  m <- nrow(of_effects)
  shares <- if (has_shares(fit)) if (n == 1) "h2" else paste0("h2.", names(fit$random))
  s <- length(shares)
  is_sd <- of_effects$what == "sigma_u"
  residual <- residual_names(fit)
  e <- length(residual)
  table <- data.frame(
    name = make.unique(c(sprintf(".sig%02d", seq_len(m)), residual, shares, names(fit$coefficients), "delta")),
    what = c(of_effects$what, rep(c("sigma_e", "h2", "beta", "delta"), c(e, s, p, 1))),
    column = c(defined_column(fit, of_effects), if (has_levels(fit)) seq_len(e) else 0L, seq_len(s), match(seq_len(p), fit$kept), 0L),
    second = c(of_effects$second, rep(0L, e + s + p + 1)),
    lower = c(ifelse(is_sd, 0, -1), rep(c(0, -Inf, 0), c(e + s, p, 1))),
    upper = c(ifelse(is_sd, Inf, 1), rep(c(Inf, 1, Inf), c(e, s, p + 1)))
  )
  # what is given is no parameter
  table[!(table$what == "delta" & (n > 1 || is_sparse_fit(fit) || has_levels(fit))) & !(table$what == "sigma_e" & !is.null(fit$given)), ]
}

# Of the residual standard deviations
residual_names <- function(fit) if (has_levels(fit)) paste0(".sigma.", names(fit$residual$variance)) else ".sigma"

# A correlation with an effect of variance 0 is not defined.
defined_column <- function(fit, parameters) {
  zero <- unname(fit$sigma2) == 0
  ifelse(parameters$what == "correlation" & (zero[parameters$column] | zero[parameters$second]), NA, parameters$column)
}

# A likelihood that is infinite or flat has no profile: of all parameters, or (kernel confounded with X) of those
# that need sigma2.
undefined_parameters <- function(fit) {
  switch(fit$status,
    perfect_fit = , explained_by_kernel = , one_contrast = c("sigma_u", "sigma_e", "h2", "delta", "beta"),
    confounded = c("sigma_u", "h2", "delta"),
    character(0)
  )
}

is_undefined <- function(fit, table) table$what %in% undefined_parameters(fit)

defined_parameters <- function(fit, table) {
  undefined <- is_undefined(fit, table)
  if (all(undefined)) abort_no_profile(fit)
  if (any(undefined)) warn_no_profile(fit, table$name[undefined])
  table[!undefined, ]
}

warn_no_profile <- function(fit, names) {
  warn_fastlmm("no_profile", paste0("no profile of ", toString(names), ": ", no_profile_reason(fit)))
}

no_profile_reason <- function(fit) {
  switch(fit$status,
    perfect_fit = "X explains the response exactly",
    explained_by_kernel = "the kernel explains the response exactly, so the likelihood is unbounded",
    one_contrast = "only one contrast is left after X",
    confounded = "the kernel is confounded with X",
    "there is nothing to profile"
  )
}

abort_no_profile <- function(fit) {
  abort_fastlmm("no_profile", paste0("this fit has no profile: ", no_profile_reason(fit)))
}

select_parameters <- function(fit, parm) {
  table <- parameter_table(fit)
  table[selected_rows(table, parm), ]
}

selected_rows <- function(table, parm) {
  usual <- seq_len(nrow(table))[table$what != "delta"]
  if (is.null(parm)) return(usual)
  if (identical(parm, "theta_")) return(usual[table$what[usual] != "beta"])
  if (identical(parm, "beta_")) return(usual[table$what[usual] == "beta"])
  rows <- if (is.numeric(parm)) match(parm, usual) else match(parm, table$name)
  if (length(rows) == 0 || anyNA(rows)) abort_parm(parm, table$name[usual])
  rows
}

abort_parm <- function(parm, known) {
  abort_fastlmm(
    "parm",
    paste0(
      "parm must name parameters of the fit or give their numbers, not ", deparse1(parm), "; there are ",
      paste0(seq_along(known), " = ", known, collapse = ", "), ", and \"theta_\", \"beta_\", \"delta\""
    )
  )
}

check_level <- function(level, what = "level") {
  if (is.numeric(level) && length(level) == 1 && !is.na(level) && level > 0 && level < 1) return(level)
  abort_fastlmm("level", paste0(what, " must be one number between 0 and 1, not ", deparse1(level)))
}

# More say nothing more of a smooth curve.
most_points <- 1e6

check_points <- function(points) {
  if (is.numeric(points) && length(points) == 1 && isTRUE(points >= 3 & points <= most_points)) return(as.integer(points))
  abort_fastlmm("points", sprintf("points must be one number from 3 to %.0f, not %s", most_points, code_text(points)))
}
