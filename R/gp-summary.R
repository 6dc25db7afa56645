# Intervals, profiles and summaries of Gaussian process fits.

process_label <- function(process) {
  if (process$route == "exact") return(sprintf("(%s, kernel matrix %d x %d)", process$cov, process$size, process$size))
  left_out <- format(100 * max(1 - process$captured, 0), digits = 2)
  sprintf("(%s, %d Fourier functions, %s %% of the variance left out)", process$cov, process$size, left_out)
}

print_lengthscale <- function(fit, digits) {
  estimated <- is.null(fit$gp$lengthscale)
  label <- if (length(fit$lengthscale) == 1) "" else paste0(names(fit$lengthscale), " ")
  cat("Length scale: ", paste0(label, format(fit$lengthscale, digits = digits), unit_labels(fit), collapse = ", "), if (!estimated) " (given)", "\n", sep = "")
}

# Units of the length scales, " days" or nothing
unit_labels <- function(fit) {
  if (length(fit$lengthscale) == 1) unit_label(fit$gp) else vapply(seq_along(fit$lengthscale), unit_label, "", gp = fit$gp)
}

gp_unit_note <- function(gp) {
  unit <- unique(gp$units)
  if (length(unit) == 1) return(if (nzchar(unit)) paste0(" (in ", unit, ")"))
  known <- nzchar(gp$units)
  paste0(" (", toString(paste(gp$axes[known], "in", gp$units[known])), ")")
}

# Of a fit, or what its summary keeps of one
gp_end_note <- function(fit) {
  if (!isTRUE(fit$optimum$at_end) || !isTRUE(fit$h2[[1]] > 0)) return(NULL)
  long <- gp_is_long(fit)
  paste0(
    "The length scale is at the ", if (long) "long" else "short", " end of the range that was searched: ", if (long) "put the trend into the formula, or ",
    "give gp() a wider `range`."
  )
}

#' @rdname predict.fastlmm_gp
#' @return `summary()`: a list of class `summary.fastlmm_gp` with `coefficients`, `varcomp` (estimate and standard error of length scales, variances, `delta` and `h2`; those of
#'   logarithms, scaled, from the observed information), `logLik` and `gp`.
#' @export
summary.fastlmm_gp <- function(object, ...) {
  check_dots_empty(...)
  kept <- object$kept
  se <- sqrt(pmax(diag(object$vcov), 0))
  estimate <- object$coefficients[kept]
  structure(
    list(
      fit = object[c("call", "formula", "method", "random", "nobs", "optimum", "status", "h2", "weights", "offset", "gp", "lengthscale")],
      coefficients = cbind(Estimate = estimate, `Std. Error` = se, `t value` = estimate / se), aliased = is.na(object$coefficients),
      vcov = object$vcov, varcomp = gp_components(object), logLik = logLik(object), criteria = fit_criteria(object),
      residuals = if (!is.null(object$frame)) residuals(object, "pearson", scaled = TRUE), df = object$df, gp = object$gp
    ),
    class = "summary.fastlmm_gp"
  )
}

gp_components <- function(fit) {
  label <- function(what, x) if (length(x) == 1) what else paste0(what, ".", names(x))
  parts <- c("lengthscale", "sigma2", "sigma2_e", "delta", "h2")
  rows <- lapply(parts, function(part) {
    x <- fit[[part]]
    data.frame(estimate = unname(x), std.error = unname(fit$se[[part]]), row.names = label(if (part == "sigma2_e") ".sigma2" else part, x))
  })
  do.call(rbind, rows)
}

#' @rdname predict.fastlmm_gp
#' @param digits significant digits.
#' @export
print.summary.fastlmm_gp <- function(x, digits = max(3, getOption("digits") - 3), ...) {
  print_title(x$fit)
  cat("\n")
  print_criteria(x$criteria, is_reml(x$fit), 1)
  if (!is.null(x$residuals)) print_scaled_residuals(x$residuals, digits)
  cat("\nLength scale", gp_unit_note(x$fit$gp), " and variances:\n", sep = "")
  print(x$varcomp, digits = digits)
  print_groups(x$fit)
  print_coefficients(x, digits)
  notes <- c(boundary_note(x$fit$optimum), gp_end_note(x$fit))
  if (length(notes) > 0) writeLines(c("", notes))
  invisible(x)
}

# ---- intervals ----------------------------------------------------------------------------------------

#' Confidence intervals and profiles of Gaussian process fits
#'
#' Profile intervals: the values that a likelihood ratio test does not reject, with the length scale and all else at their best. The length scale is re-estimated
#' for each value of another parameter, through 13 or more decompositions about the optimum and the polynomial between them. With one length scale for each coordinate, or beside other effects, by the
#' kernel matrix, all other parameters are estimated anew for each value; shares then have Wald's intervals on the logistic scale. In Fourier space such length scales and variances have Wald's on the
#' logarithmic scale.
#'
#' The nodes reach over the length scale's own interval. Where a Fourier basis does not serve all of it, the kernel matrix of all rows is used up to 1000 rows (as slow as a fit with
#' `basis = "exact"`), unless `basis = "fourier"` was asked for; else bounds that belong to length scales beyond it are `NA`, with a message.
#'
#' A bound that lies on the border of the range (`0`, `1`, `Inf`) is that border. For the length scale it means that the likelihood does not fall so far within the range
#' that the basis serves.
#'
#' @param object,fitted a fit by [fastlmm_fit()] with a [gp()] term.
#' @param parm,which names of parameters: fixed effects, `"lengthscale"`, `"sigma2"`, `".sigma2"` (residual variance), `"delta"`, `"h2"`; with several effects `"sigma2.gp(x)"`, `"sigma2.g"`, `"h2.g"`. `NULL`: all of them (profiles: all but the fixed
#'   effects).
#' @param level confidence level.
#' @param method `"profile"` or `"Wald"`.
#' @param alphamax profiles reach the level of simultaneous `1 - alphamax` regions.
#' @param points number of points of a curve.
#' @param ... not used; an unknown argument is an error.
#' @return `confint()`: a matrix with a row for each parameter. `profile()`: a data frame of class `fastlmm_profile`, as [profile.fastlmm()].
#' @examples
#' fit <- fastlmm_fit(mag ~ depth + gp(long, lat), quakes[1:200, ])
#' confint(fit, c("depth", "lengthscale"))
#' @export
confint.fastlmm_gp <- function(object, parm = NULL, level = 0.95, method = c("profile", "Wald"), ...) {
  check_dots_empty(...)
  method <- one_of(method, c("profile", "Wald"), interval_habits)
  table <- gp_parameters(object)
  parm <- gp_selected(table, parm)
  tails <- both_tails(check_level(level))
  table <- table[match(parm, table$name), ]
  profiled <- method == "profile" & gp_has_profile(object, table)
  limits <- matrix(NA_real_, 2, nrow(table))
  for (i in which(!profiled)) limits[, i] <- gp_wald(object, table[i, ], tails)
  if (any(profiled)) limits[, profiled] <- gp_profile_limits(object, table[profiled, ], qchisq(diff(tails), 1))
  interval_matrix(limits, parm, tails)
}

gp_parameters <- function(fit) {
  p <- length(fit$coefficients)
  lengths <- if (length(fit$lengthscale) == 1) "lengthscale" else paste0("lengthscale.", names(fit$lengthscale))
  variance <- gp_variances(fit)
  data.frame(
    name = c(names(fit$coefficients), lengths, variance$name),
    what = c(rep("beta", p), rep("lengthscale", length(lengths)), variance$what),
    column = c(match(seq_len(p), fit$kept), seq_along(lengths), variance$column)
  )
}

# One process: its variance, delta and h2. Beside other effects: the variance and share of each.
gp_variances <- function(fit) {
  if (length(fit$random) == 1) {
    return(data.frame(name = c("sigma2", ".sigma2", "delta", "h2"), what = c("sigma_u", "sigma_e", "delta", "h2"), column = 0L))
  }
  labels <- names(fit$random)
  k <- seq_along(labels)
  data.frame(
    name = c(paste0("sigma2.", labels), ".sigma2", paste0("h2.", labels)), what = c(rep("sigma_u", length(k)), "sigma_e", rep("h2", length(k))), column = c(k, 0L, k)
  )
}

gp_selected <- function(table, parm) {
  if (is.null(parm)) return(table$name)
  if (is.numeric(parm)) parm <- table$name[parm]
  if (length(parm) == 0 || anyNA(parm) || !all(parm %in% table$name)) abort_parm(parm, table$name)
  parm
}

# By the kernel matrix with all parameters free, not along the nodes of one length scale
is_profiled_jointly <- function(fit) fit$random[[1]]$kernel$route == "exact" && (length(fit$random) > 1 || length(fit$lengthscale) > 1)

# Fixed effects always have one; variances and the length scale where one length scale and one variance are estimated, or by the kernel matrix.
gp_has_profile <- function(fit, table) {
  if (is_profiled_jointly(fit)) {
    known <- table$what %in% c("beta", "sigma_u", "sigma_e") | table$what == "lengthscale" & is.null(fit$gp$lengthscale) & fit$sigma2[[1]] > 0
    return(!is.na(table$column) & known)
  }
  simple <- length(fit$random) == 1 && length(fit$lengthscale) == 1
  length_scale <- is.null(fit$gp$lengthscale) && fit$optimum$boundary != "h2 = 0"
  !is.na(table$column) & (table$what == "beta" | simple & (table$what != "lengthscale" | length_scale))
}

gp_profile_limits <- function(fit, table, rise) {
  if (is_profiled_jointly(fit)) return(vapply(seq_len(nrow(table)), function(i) joint_ask(fit, table[i, ], rise, 0), c(0, 0)))
  fit <- as_asked(fit, rise)
  limits <- gp_ask(fit, table, rise, 0)
  limits <- vapply(seq_len(nrow(table)), function(i) gp_units(fit, table$what[i], limits[[i]]), c(0, 0))
  beyond <- apply(is.nan(limits), 2, any)
  if (any(beyond)) inform_gp_beyond(fit, table$name[beyond])
  replace(limits, is.nan(limits), NA)
}

inform_gp_beyond <- function(fit, names) {
  inform_fastlmm("gp_range", sprintf(
    "NA for a limit of %s: it belongs to length scales of %s beyond those that the basis serves; method = \"Wald\" has approximate limits, gp(..., basis = \"exact\") those of the profile",
    paste(names, collapse = ", "), fit$gp$name
  ))
}

# Rust gives factors of the length scale, standard deviations, and residual noise with what the basis leaves out of the process.
gp_units <- function(fit, what, value) {
  missing <- 1 - fit$gp$captured
  delta <- function(value) pmax(value - missing, 0)
  switch(what,
    lengthscale = value * fit$lengthscale[[1]],
    sigma_u = value^2,
    sigma_e = pmax(value^2 - missing * fit$sigma2[[1]], 0),
    delta = delta(value),
    h2 = 1 / (1 + delta(1 / value - 1)),
    value
  )
}

# Variances and length scale in the space that they were estimated in, fixed effects in the whole basis
gp_ask <- function(fit, table, rise, points) {
  beta <- table$what == "beta"
  answer <- vector("list", nrow(table))
  if (any(beta)) answer[beta] <- gp_ask_in(fit, table[beta, ], rise, points, 0)
  if (any(!beta)) answer[!beta] <- gp_ask_in(fit, table[!beta, ], rise, points, fit$gp$guard)
  answer
}

gp_ask_in <- function(fit, table, rise, points, guard) {
  near <- list(parameters = fit$gp$parameters, width = gp_width(fit), guard = as.numeric(guard))
  wanted <- list(what = table$what, column = as.numeric(table$column), rise = rise, points = as.numeric(points))
  request <- gp_request(fit$gp, fit$gp$box, fit$method, fit$control)
  process <- fit$random[[1]]$kernel
  if (process$route == "fourier") return(call_rust(ffi_gp_profile, process$table, process$basis, request, near, wanted))
  call_rust(ffi_gp_profile_exact, model_rows(stored_gp_model(fit)), request, near, wanted)
}

# Where a Fourier basis that was not asked for does not serve the length scales of an interval, the kernel matrix of all rows does, as long as they are few.
as_asked <- function(fit, rise) {
  process <- fit$random[[1]]$kernel
  one <- length(fit$lengthscale) == 1 && length(fit$random) == 1 && is.null(fit$gp$lengthscale) && fit$nobs <= FEW_ROWS
  if (process$route != "fourier" || !identical(fit$gp$basis, "auto") || !one || NROW(fit$frame) == 0 || serves(fit, rise)) return(fit)
  fit$random[[1]]$kernel$route <- "exact"
  fit$gp$captured <- 1
  fit
}

FEW_ROWS <- 1000

# By Wald's interval of the length scale
serves <- function(fit, rise) {
  basis <- fit$random[[1]]$kernel$basis
  reach <- sqrt(rise) * fit$se$lengthscale[[1]] / fit$lengthscale[[1]]
  is.na(reach) || basis$shortest[1] <= fit$lengthscale[[1]] * exp(-reach) && fit$lengthscale[[1]] * exp(reach) <= basis$longest[1]
}

# How far about the estimate, in log length scales, a profile may reach; none about one that is given.
gp_width <- function(fit) {
  one <- length(fit$lengthscale) == 1 && length(fit$random) == 1
  if (!is.null(fit$gp$lengthscale) || !one || fit$optimum$boundary == "h2 = 0") return(0)
  se <- fit$se$lengthscale[[1]] / fit$lengthscale[[1]]
  if (is.finite(se)) min(max(5 * se, 0.1), 3) else 2
}

gp_wald <- function(fit, parameter, tails) {
  if (is.na(parameter$column)) return(c(NA_real_, NA_real_))
  z <- qnorm(tails)
  at <- parameter$column
  if (parameter$what == "beta") return(unname(fit$coefficients[fit$kept[at]]) + sqrt(max(fit$vcov[at, at], 0)) * z)
  if (parameter$what == "h2") return(gp_wald_share(fit, max(at, 1), z))
  part <- c(lengthscale = "lengthscale", sigma_u = "sigma2", sigma_e = "sigma2_e", delta = "delta")[[parameter$what]]
  at <- max(at, 1)
  fit[[part]][[at]] * exp(fit$se[[part]][[at]] / fit[[part]][[at]] * z)
}

# On the logistic scale
gp_wald_share <- function(fit, k, z) {
  h2 <- fit$h2[[k]]
  plogis(qlogis(h2) + fit$se$h2[[k]] / (h2 * (1 - h2)) * z)
}

#' @rdname confint.fastlmm_gp
#' @export
profile.fastlmm_gp <- function(fitted, which = NULL, alphamax = 0.01, points = 41, ...) {
  check_dots_empty(...)
  table <- gp_parameters(fitted)
  if (is.null(which)) which <- table$name[table$what != "beta"]
  table <- table[match(gp_selected(table, which), table$name), ]
  if (!is_profiled_jointly(fitted) && (length(fitted$lengthscale) > 1 || length(fitted$random) > 1)) {
    abort_fastlmm("no_profile", "profiles in Fourier space are offered for gp() terms with one length scale and no group term; confint(fit, method = \"Wald\") gives intervals")
  }
  zeta_max <- sqrt(qchisq(1 - check_level(alphamax, "alphamax"), fitted$df))
  table <- table[gp_has_profile(fitted, table), ]
  if (nrow(table) == 0) abort_no_profile(fitted)
  points <- check_points(points)
  fitted <- as_asked(fitted, zeta_max^2)
  curves <- if (is_profiled_jointly(fitted)) {
    lapply(seq_len(nrow(table)), function(i) joint_ask(fitted, table[i, ], zeta_max^2, points))
  } else {
    gp_ask(fitted, table, zeta_max^2, points)
  }
  curves <- lapply(seq_len(nrow(table)), function(i) gp_curve(fitted, table[i, ], curves[[i]]))
  curves <- do.call(rbind, curves)
  curves$.par <- factor(curves$.par, levels = table$name)
  structure(curves, class = c("fastlmm_profile", "data.frame"), parameters = with_limits(table))
}

with_limits <- function(table) {
  table$lower <- ifelse(table$what == "beta", -Inf, 0)
  table$upper <- ifelse(table$what == "h2", 1, Inf)
  table
}

gp_curve <- function(fit, parameter, curve) {
  value <- if (is_profiled_jointly(fit)) curve$value else gp_units(fit, parameter$what, curve$value)
  data.frame(.par = parameter$name, value = value, .zeta = curve$zeta, logLik = curve$logLik)
}

# ---- again --------------------------------------------------------------------------------------------

stored_gp_model <- function(fit) {
  model <- fit[c(
    "call", "formula", "terms", "frame", "xlevels", "contrasts", "y", "offset", "weights", "na.action", "rows", "method", "control", "gp"
  )]
  model$X <- fixed_design(fit)
  model$gp$calls <- fit$random[[1]]$calls
  model$others <- lapply(fit$random[-1], function(one) one[names(one) != "alpha"])
  if (length(fit$random) > 1 && !is_joint_gp(fit)) {
    group <- fit$random[[2]]
    model$group <- factor(group$ids[group$group], levels = group$ids)
    model$group_expr <- group$expr
  }
  model
}

#' @rdname predict.fastlmm_gp
#' @param newresp new response, as long as the rows of the fit.
#' @export
refit.fastlmm_gp <- function(object, newresp = NULL, ...) {
  check_dots_empty(...)
  model <- stored_gp_model(object)
  if (!is.null(newresp)) {
    model$y[] <- check_new_response(newresp, object)
    model$frame[[1]] <- unname(model$y)
    check_response_varies(model$y - model$offset, names(model$frame)[1])
  }
  report_gp(estimate_gp(model))
}
