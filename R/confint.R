#' Confidence intervals
#'
#' Profile intervals contain the values that a likelihood-ratio test at level `1 - level` does not reject, found to machine precision on the
#' exact profile; see [profile.fastlmm()] for the criterion. Where the interval reaches the boundary of the parameter space, its limit is that
#' boundary (`0`, `1` or `Inf`). Wald intervals are for the fixed effects only: a normal approximation is misleading for a bounded parameter,
#' so variances and `h2` are `NA`, as in `lme4`. Aliased coefficients are `NA`, and so, with a warning, is whatever a degenerate fit leaves
#' undefined. Fits with a residual variance for each level (`residual = ~ site`) have Wald and bootstrap intervals; their residual standard
#' deviations are called `.sigma.<level>`.
#'
#' @param object a fit by [fastlmm_fit()], or a profile of one.
#' @param parm parameters, by name or number, as `which` of [profile.fastlmm()]: `.sig01`, `.sigma`, `h2` (with several random effects one for
#'   each, such as `h2.id`), the names of the fixed effects, `"theta_"` or `"beta_"`.
#' @param level confidence level.
#' @param method `"profile"`; `"Wald"`; `"boot"`: by [bootstrap()], which respects that estimates near a boundary are not normal; or `"exact"`,
#'   for `h2` only (others are `NA`): all values that an exact restricted likelihood-ratio test does not reject, see [test_variance()], for
#'   REML fits with one random effect. Exact intervals have their nominal coverage near 0 and 1 too, where the others do not.
#' @param df degrees of freedom of Wald intervals, as for [summary.fastlmm()]: `"none"` for normal quantiles, or a method for t quantiles with
#'   the standard errors of that method. Tests, [anova.fastlmm()] and [contest()], call this argument `ddf`.
#' @param nsim,boot.type,seed for `"boot"`, number of draws, type of interval and seed, as in [bootstrap()]; for `"exact"`, number of draws and
#'   seed of the tests.
#' @param oldNames name rows `.sig01`, `.sigma`? `FALSE`: `sd_(Intercept)|id` and `sigma`, as `lme4` then does.
#' @param ... not used; an unknown argument is an error.
#' @return A matrix with a row for each parameter, named `.sig01` and so on, `.sigma`, `h2` (or `h2.id`, `h2.block`) and as the fixed effects, and
#'   two columns named by their percentages.
#' @examples
#' fit <- fastlmm_fit(distance ~ age + (1 | Subject), nlme::Orthodont)
#' confint(fit)
#' confint(fit, "beta_", level = 0.9, method = "Wald")
#' confint(fit, "delta")
#' confint(fit, "h2", method = "boot", nsim = 200, seed = 1)
#' @export
confint.fastlmm <- function(object, parm = NULL, level = 0.95, method = c("profile", "Wald", "boot", "exact"), oldNames = TRUE,
                            nsim = 1000, boot.type = c("perc", "basic", "norm"), seed = NULL, df = c("none", "satterthwaite", "kenward-roger"), ...) {
  check_arguments(...)
  if (!missing(parm) && asks_delta(parm)) object <- with_spectrum(object)
  table <- select_parameters(object, if (!missing(parm)) parm)
  tails <- both_tails(check_level(level))
  method <- one_of(method, c("profile", "Wald", "boot", "exact"), interval_habits)
  df <- read_ddf(df)
  if (df != "none" && method != "Wald") abort_ddf(paste0("degrees of freedom are for Wald intervals: confint(method = \"Wald\", df = ", quoted(df), ")"))
  if (method == "boot") return(boot_intervals(object, table, level, nsim, boot.type, seed, tails, oldNames))
  if (method == "exact") return(exact_intervals(object, table, level, nsim, seed, tails, oldNames))
  if (method == "profile") {
    check_profiled(object)
    table <- without_undefined(object, table)
  }
  limits <- if (method == "Wald") wald_intervals(object, table, tails, df) else profile_intervals(object, table, tails)
  better <- better_variances(limits)
  if (!is.null(better)) {
    return(profile_again(object, better, function(fit) confint(fit, table$name, level = level, method = method, oldNames = oldNames)))
  }
  interval_matrix(unlist(limits), if (oldNames) table$name else telling_names(object, table$name), tails)
}

# Aliased coefficients have none
boot_intervals <- function(fit, table, level, nsim, type, seed, tails, oldNames) {
  if (!(is_count(nsim) && nsim >= 2)) abort_fastlmm("nsim", paste("nsim must be a whole number of at least 2, not", code_text(nsim)))
  if (any(table$what == "delta")) abort_fastlmm("parm", "there is no bootstrap interval of delta; use h2, of which delta is a function")
  found <- confint(bootstrap(fit, R = nsim, seed = seed, progress = FALSE), level = level, type = one_of(type, c("perc", "basic", "norm")))
  limits <- found[match(table$name, rownames(found)), , drop = FALSE]
  interval_matrix(c(t(limits)), if (oldNames) table$name else telling_names(fit, table$name), tails)
}

# lme4's names with oldNames = FALSE
telling_names <- function(fit, names) {
  telling <- c(covariance_parameters(fit$random)$telling, "sigma")
  known <- match(names, c(sprintf(".sig%02d", seq_len(length(telling) - 1)), ".sigma"))
  ifelse(is.na(known), names, telling[known])
}

#' @rdname confint.fastlmm
#' @export
confint.fastlmm_profile <- function(object, parm = NULL, level = 0.95, ...) {
  check_arguments(...)
  table <- attr(object, "parameters")
  table <- table[selected_rows(table, if (!missing(parm)) parm), ]
  tails <- both_tails(check_level(level))
  limits <- vapply(seq_len(nrow(table)), function(i) interpolated_interval(object, table[i, ], tails), c(0, 0))
  interval_matrix(limits, table$name, tails)
}

# Aliased coefficients have none here, too
profile_intervals <- function(fit, table, tails) {
  rise <- qchisq(diff(tails), 1)
  limits <- rep(list(c(NA_real_, NA_real_)), nrow(table))
  known <- !is.na(table$column)
  limits[known] <- if (is_sparse_fit(fit)) {
    lapply(terms_profiles(ffi_interval_terms, fit, table[known, ], rise), `[[`, "limits")
  } else if (length(fit$random) > 1) {
    lapply(mix_profiles(ffi_interval_mix, fit, table[known, ], rise), function(found) structure(found$limits, better = found$better))
  } else {
    Map(function(what, column) {
      unit <- profile_unit(fit, what, column)
      unit * call_rust(ffi_interval, rotated_in_unit(fit, column, unit), fit$method, what, column, rise)
    }, table$what[known], table$column[known])
  }
  limits
}

without_undefined <- function(fit, table) {
  undefined <- is_undefined(fit, table)
  if (any(undefined)) warn_no_profile(fit, table$name[undefined])
  table$column[undefined] <- NA
  table
}

wald_intervals <- function(fit, table, tails, df = "none") {
  # all coefficients are asked for at once
  test <- if (df != "none") test_table(fit, df)
  lapply(seq_len(nrow(table)), function(i) wald_interval(fit, table[i, ], tails, test))
}

wald_interval <- function(fit, parameter, tails, test) {
  if (parameter$what != "beta" || is.na(parameter$column)) return(c(NA_real_, NA_real_))
  at <- parameter$column
  estimate <- unname(fit$coefficients[fit$kept[at]])
  if (!is.null(test)) return(estimate + unname(test[at, "Std. Error"]) * qt(tails, test[at, "df"]))
  estimate + sqrt(max(fit$vcov[at, at], 0)) * qnorm(tails)
}

# Value at the two quantiles of zeta; a side that the curve does not reach ends at the border.
interpolated_interval <- function(curves, parameter, tails) {
  curve <- curves[curves$.par == parameter$name & is.finite(curves$value) & is.finite(curves$.zeta), ]
  limits <- zeta_inverse(curve)(qnorm(tails))
  ifelse(is.na(limits), c(parameter$lower, parameter$upper), limits)
}

zeta_inverse <- function(curve) {
  curve <- curve[order(curve$.zeta), ]
  curve <- curve[!duplicated(curve$.zeta), ]
  if (nrow(curve) < 3 || is.unsorted(curve$value, strictly = TRUE)) {
    return(approxfun(curve$.zeta, curve$value, ties = "ordered"))
  }
  inverse <- splinefun(curve$.zeta, curve$value, method = "hyman")
  function(zeta) ifelse(zeta < min(curve$.zeta) | zeta > max(curve$.zeta), NA, inverse(zeta))
}

both_tails <- function(level) c((1 - level) / 2, (1 + level) / 2)

interval_matrix <- function(limits, names, tails) {
  percent <- paste(format(100 * tails, trim = TRUE, scientific = FALSE, digits = 3), "%")
  matrix(limits, ncol = 2, byrow = TRUE, dimnames = list(names, percent))
}
