#' Tidy data frames from a fit
#'
#' Methods for the generics of the broom packages, with the columns that `broom.mixed` gives for fits by `lme4`.
#'
#' @param x a fit by [fastlmm_fit()].
#' @param effects which rows: `"fixed"`, `"ran_pars"` (standard deviations, or variances) and `"ran_vals"` (predicted random effects).
#' @param scales for `"ran_pars"`: `"sdcor"` for standard deviations, `"vcov"` for variances.
#' @param conf.int,conf.level,conf.method add confidence intervals? Their level, and their method, profile or Wald. There are no Wald intervals
#'   for variances.
#' @param df degrees of freedom of the tests of fixed effects, as in [summary.fastlmm()]; adds columns `df` and `p.value`.
#' @param data data of the fit, whose columns come first; by default the model frame. The rows may be in another order if their row names
#'   identify them, and must have the values of the fit.
#' @param newdata new data for predictions, instead of `data`.
#' @param se_fit add the standard error of the fitted values, `.se.fit`?
#' @param ... `augment()`: arguments of `predict()` for `newdata`, such as `K`. Otherwise not used; an unknown argument is an error.
#' @return Data frames. `tidy()`: `effect`, `group`, (`level`,) `term`, `estimate`, `std.error`, `statistic` and, if requested, `df`,
#'   `p.value`, `conf.low`, `conf.high`; aliased coefficients are left out. `glance()`: one row with `nobs`, `sigma`, `logLik`, `AIC`, `BIC`,
#'   `REMLcrit` (for REML fits), `df.residual`, `h2`, `delta`, `method`; with several random effects `h2` is the sum of their shares and
#'   `delta` is `NA`. `augment()`: the columns of the data, then `.fitted`, `.resid` and `.fixed` (the prediction from the fixed effects
#'   alone); with `newdata` without `.resid`.
#' @section Errors:
#' `fastlmm_error_rows` if `data` does not have the rows of the fit.
#' @examples
#' fit <- fastlmm_fit(distance ~ age + (1 | Subject), nlme::Orthodont)
#' tidy(fit, conf.int = TRUE)
#' glance(fit)
#' head(augment(fit))
#' @export
tidy.fastlmm <- function(x, effects = c("ran_pars", "fixed"), scales = c("sdcor", "vcov"), conf.int = FALSE, conf.level = 0.95,
                         conf.method = c("profile", "Wald"), df = c("none", "satterthwaite", "kenward-roger"), ...) {
  check_arguments(...)
  effects <- one_of(effects, c("fixed", "ran_pars", "ran_vals"), several = TRUE)
  scales <- one_of(scales)
  conf.method <- one_of(conf.method)
  # NA for what has no interval
  interval <- function(names) {
    if (!conf.int) return(NULL)
    limits <- matrix(NA_real_, length(names), 2)
    known <- !is.na(names)
    if (any(known)) limits[known, ] <- confint(x, names[known], conf.level, conf.method)
    data.frame(conf.low = limits[, 1], conf.high = limits[, 2])
  }
  parts <- list(
    fixed = if ("fixed" %in% effects) tidy_fixed(x, read_ddf(df), interval),
    ran_pars = if ("ran_pars" %in% effects) tidy_ran_pars(x, scales, interval),
    ran_vals = if ("ran_vals" %in% effects) tidy_ran_vals(x, if (conf.int) conf.level)
  )
  stacked(parts[lengths(parts) > 0])
}

#' @rdname tidy.fastlmm
#' @export
glance.fastlmm <- function(x, ...) {
  check_arguments(...)
  value <- logLik(x)
  out <- data.frame(nobs = x$nobs, sigma = sigma(x), logLik = as.numeric(value), AIC = AIC(value), BIC = BIC(value))
  if (is_reml(x)) out$REMLcrit <- -2 * as.numeric(value)
  several <- length(x$sigma2) > 1
  cbind(
    out, df.residual = df.residual(x), h2 = if (has_shares(x)) sum(x$h2) else NA_real_, delta = if (several) NA_real_ else unname(x$delta), method = x$method
  )
}

#' @rdname tidy.fastlmm
#' @export
augment.fastlmm <- function(x, data = model.frame(x), newdata = NULL, se_fit = FALSE, ...) {
  if (!is.null(newdata)) return(augment_new(x, newdata, se_fit, ...))
  check_arguments(...)
  fitted <- conditional_fit(x)
  out <- data.frame(.fitted = unname(fitted), .resid = response(x) - unname(fitted), .fixed = unname(population_fit(x)))
  if (se_fit) out$.se.fit <- unname(rows_of_fit(predict(x, se.fit = TRUE)$se.fit, x))
  data <- needed_frame(data, "data")
  at <- places_in_data(data, x)
  # in the order of data, which may be sorted by now
  cbind(data[sort(at), , drop = FALSE], out[order(at), , drop = FALSE])
}

augment_new <- function(fit, newdata, se_fit, ...) {
  found <- predict(fit, newdata, se.fit = se_fit, ...)
  out <- data.frame(.fitted = unname(if (se_fit) found$fit else found), .fixed = unname(quietly_not_estimable(predict(fit, newdata, re.form = NA))))
  if (se_fit) out$.se.fit <- unname(found$se.fit)
  cbind(needed_frame(newdata, "newdata"), out)
}

# Of data or of padded values, without the rows that were left out for missing values
rows_of_fit <- function(data, fit) {
  left_out <- length(fit$na.action)
  n <- NROW(data)
  if (n == fit$nobs) return(data)
  if (left_out == 0 || n != fit$nobs + left_out) {
    abort_fastlmm("rows", sprintf("the data have %d rows, the fit has %d%s", n, fit$nobs, if (left_out > 0) paste(" and left out", left_out) else ""))
  }
  if (is.data.frame(data)) data[-fit$na.action, , drop = FALSE] else data[-fit$na.action]
}

# ---- pieces -------------------------------------------------------------------------------------------

tidy_fixed <- function(fit, df, interval) {
  if (length(fit$kept) == 0) return(NULL)
  table <- if (df == "none") estimate_table(fit) else test_table(fit, df)
  out <- data.frame(
    effect = "fixed", group = NA_character_, term = rownames(table), estimate = table[, "Estimate"], std.error = table[, "Std. Error"],
    statistic = table[, "t value"], row.names = NULL
  )
  if (df != "none") out[c("df", "p.value")] <- table[, c("df", "Pr(>|t|)")]
  bound(out, interval(rownames(table)))
}

tidy_ran_pars <- function(fit, scales, interval) {
  table <- as.data.frame(VarCorr(fit))
  is_sd <- scales == "sdcor"
  what <- ifelse(is.na(table$var2), if (is_sd) "sd__" else "var__", if (is_sd) "cor__" else "cov__")
  name <- ifelse(is.na(table$var2), ifelse(is.na(table$var1), "Observation", table$var1), paste0(table$var1, ".", table$var2))
  rows <- ran_pars_rows(table$grp, paste0(what, name), table[[scales]])
  if (is_gp_fit(fit)) return(tidy_gp_pars(fit, rows, is_sd, interval))
  limits <- interval(c(covariance_names(fit), if (is.null(fit$given)) residual_names(fit) else NA))
  if (!is_sd && !is.null(limits)) {
    limits <- limits^2
    limits[!is.na(table$var2), ] <- NA
  }
  bound(rows, limits)
}

# The standard deviations' errors are those of variances over twice the standard deviation. Intervals are of variances; in Fourier space a process beside groups
# has none but the residual's.
tidy_gp_pars <- function(fit, rows, is_sd, interval) {
  error <- unname(c(fit$se$sigma2, fit$se$sigma2_e))
  if (is_sd) error <- error / (2 * rows$estimate)
  rows$std.error <- replace(error, !is.finite(error), NA)
  known <- gp_parameters(fit)
  variances <- known$name[known$what == "sigma_u"]
  limits <- interval(c(if (length(variances) > 0) variances else rep(NA, nrow(rows) - 1), ".sigma2"))
  lengths <- ran_pars_rows(fit$gp$name, known$name[known$what == "lengthscale"], fit$lengthscale)
  given <- !is.null(fit$gp$lengthscale)
  if (!given) lengths$std.error <- unname(fit$se$lengthscale)
  rbind(
    bound(rows, if (is_sd && !is.null(limits)) sqrt(limits) else limits),
    bound(lengths, interval(if (given) rep(NA, nrow(lengths)) else lengths$term))
  )
}

# The parameters of the covariances in the order of as.data.frame(VarCorr(fit))
covariance_names <- function(fit) {
  table <- covariance_parameters(fit$random)
  names <- sprintf(".sig%02d", seq_len(nrow(table)))
  block <- block_numbers(fit$random)[table$column]
  names[order(block, table$what != "sigma_u")]
}

ran_pars_rows <- function(group, term, estimate) {
  data.frame(effect = "ran_pars", group = group, term = term, estimate = unname(estimate), std.error = NA_real_, statistic = NA_real_)
}

tidy_ran_vals <- function(fit, level) {
  table <- as.data.frame(ranef(fit))
  se <- if (is.null(table$condsd)) NA_real_ else table$condsd
  out <- data.frame(
    effect = "ran_vals", group = table$grpvar, level = as.character(table$grp), term = as.character(table$term), estimate = table$condval, std.error = se,
    statistic = NA_real_
  )
  if (is.null(level)) return(out)
  reach <- qnorm((1 + check_level(level)) / 2) * out$std.error
  bound(out, data.frame(conf.low = out$estimate - reach, conf.high = out$estimate + reach))
}

bound <- function(rows, limits) {
  if (is.null(limits)) rows else cbind(rows, limits, row.names = NULL)
}

# One above the other, NA where a part has not what another has
stacked <- function(parts) {
  columns <- c("effect", "group", "level", "term", "estimate", "std.error", "statistic", "df", "p.value", "conf.low", "conf.high")
  columns <- intersect(columns, unlist(lapply(parts, names)))
  filled <- function(part) {
    part[setdiff(columns, names(part))] <- NA
    part[columns]
  }
  do.call(rbind, unname(lapply(parts, filled)))
}
