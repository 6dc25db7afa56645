# Confidence intervals and profiles of Gaussian process fits.

#' Confidence intervals and profiles of Gaussian process fits
#'
#' Profile intervals contain the values that a likelihood-ratio test does not reject, with the length scale and all other parameters
#' re-estimated. With one length scale, it is profiled through 13 or more decompositions about the optimum and polynomial interpolation between
#' them. With a length scale for each coordinate, or beside other effects, fits with the kernel matrix re-estimate all other parameters at each
#' value; shares then have Wald intervals on the logistic scale. In Fourier space such length scales and variances have Wald intervals on the
#' logarithmic scale.
#'
#' The interpolation nodes cover the confidence interval of the length scale. Where a Fourier basis does not, one that does is computed from
#' the rows if it has no more than 1000 functions and no more than four fifths of the number of rows. Otherwise the kernel matrix of all rows
#' is used up to 1000 rows (as slow as a fit with `basis = "exact"`), unless `basis = "fourier"` was given. Otherwise limits that belong to
#' length scales beyond the basis are `NA`, with a message.
#'
#' Where an interval reaches the boundary of the parameter space (`0`, `1`, `Inf`), its limit is that boundary. For the length scale this means
#' that the likelihood does not fall to the cut-off within the range that the basis covers.
#'
#' @param object,fitted a fit by [fastlmm_fit()] with a [gp()] term.
#' @param parm,which names of parameters: fixed effects, `"lengthscale"`, `"sigma2"`, `".sigma2"` (residual variance), `"delta"`, `"h2"`; with
#'   several effects `"sigma2.gp(x)"`, `"sigma2.g"`, `"h2.g"`. `NULL`: all of them (for profiles all but the fixed effects).
#' @param level confidence level.
#' @param method `"profile"`, `"Wald"`, or `"boot"`: quantiles of a parametric [bootstrap()], with one fit for each draw, of all parameters but
#'   `delta`.
#' @param nsim,seed number of bootstrap draws, and a seed that makes them reproducible.
#' @param df only `"none"`: degrees of freedom are not known where a length scale is estimated (error `fastlmm_error_ddf`).
#' @param alphamax profiles reach the cut-off of simultaneous `1 - alphamax` confidence regions.
#' @param points number of points of a curve.
#' @param ... not used; an unknown argument is an error.
#' @return `confint()`: a matrix with a row for each parameter and two columns. `profile()`: a data frame of class `fastlmm_profile`, as
#'   [profile.fastlmm()].
#' @examples
#' fit <- fastlmm_fit(mag ~ depth + gp(long, lat), quakes[1:200, ])
#' confint(fit, c("depth", "lengthscale"))
#' @export
confint.fastlmm_gp <- function(
  object, parm = NULL, level = 0.95, method = c("profile", "Wald", "boot"), nsim = 500, seed = NULL, df = c("none", "satterthwaite", "kenward-roger"), ...
) {
  check_arguments(...)
  df <- read_ddf(df)
  if (df != "none") check_ddf(object, df)
  method <- one_of(method, c("profile", "Wald", "boot"), interval_habits)
  table <- gp_parameters(object)
  parm <- gp_selected(table, parm)
  tails <- both_tails(check_level(level))
  table <- table[match(parm, table$name), ]
  if (method == "boot") return(gp_boot(object, table[table$what != "delta" & !is.na(table$column), ], level, nsim, seed))
  profiled <- method == "profile" & gp_has_profile(object, table)
  limits <- matrix(NA_real_, 2, nrow(table))
  for (i in which(!profiled)) limits[, i] <- gp_wald(object, table[i, ], tails)
  if (any(profiled)) limits[, profiled] <- gp_profile_limits(object, table[profiled, ], qchisq(diff(tails), 1))
  interval_matrix(limits, parm, tails)
}

gp_boot <- function(fit, table, level, nsim, seed) {
  if (nrow(table) == 0) abort_fastlmm("parm", "no bootstrap interval of delta, which may be infinite; use h2")
  confint(bootstrap(fit, function(fit) structure(gp_estimates(fit, table), names = table$name), R = nsim, seed = seed, progress = FALSE), level = level)
}

gp_estimates <- function(fit, table) {
  one <- function(what, column, name) {
    switch(what,
      beta = fit$coefficients[[name]], lengthscale = fit$lengthscale[[column]], sigma_u = fit$sigma2[[max(column, 1)]], sigma_e = fit$sigma2_e,
      h2 = fit$h2[[max(column, 1)]]
    )
  }
  as.numeric(unlist(Map(one, table$what, table$column, table$name)))
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
    name = c(paste0("sigma2.", labels), ".sigma2", paste0("h2.", labels)), what = c(rep("sigma_u", length(k)), "sigma_e", rep("h2", length(k))),
    column = c(k, 0L, k)
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
  asked <- as_asked(fit, rise)
  limits <- gp_limits(asked, table, rise)
  # limits that lie farther than Wald's
  wider <- if (anyNA(limits) && identical(asked$random[[1]]$kernel$basis, fit$random[[1]]$kernel$basis)) on_wider_basis(asked, rise)
  if (!is.null(wider)) limits <- gp_limits(wider, table, rise)
  beyond <- apply(is.nan(limits), 2, any)
  if (any(beyond)) inform_gp_beyond(fit, table$name[beyond])
  replace(limits, is.nan(limits), NA)
}

gp_limits <- function(fit, table, rise) {
  limits <- gp_ask(fit, table, rise, 0)
  vapply(seq_len(nrow(table)), function(i) gp_units(fit, table$what[i], limits[[i]]), c(0, 0))
}

inform_gp_beyond <- function(fit, names) {
  inform_fastlmm("gp_range", sprintf(
    paste0(
      "NA for a limit of %s: it belongs to length scales of %s beyond those that the basis covers; method = \"Wald\" has approximate limits, gp(..., basis = ",
      "\"exact\") those of the profile"
    ),
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
  if (fit$gp$guard == 0) return(gp_ask_in(fit, table, rise, points, 0))
  beta <- table$what == "beta"
  answer <- vector("list", nrow(table))
  if (any(beta)) answer[beta] <- gp_ask_in(fit, table[beta, ], rise, points, 0)
  if (any(!beta)) answer[!beta] <- gp_ask_in(fit, table[!beta, ], rise, points, fit$gp$guard)
  answer
}

gp_ask_in <- function(fit, table, rise, points, guard) {
  near <- list(parameters = fit$gp$parameters, width = gp_reach(fit, rise), guard = as.numeric(guard))
  wanted <- list(what = table$what, column = as.numeric(table$column), rise = rise, points = as.numeric(points))
  process <- fit$random[[1]]$kernel
  if (process$route == "exact") return(call_rust(ffi_gp_profile_exact, model_rows(stored_gp_model(fit)), near, wanted))
  request <- gp_request(fit$gp, fit$gp$box, fit$method, fit$control)
  call_rust(ffi_gp_profile, process$table, process$basis, request, near, wanted)
}

# Where a Fourier basis does not serve the length scales of an interval, a wider one does, or if that was not asked for the kernel matrix of all rows, as long
# as they are few.
as_asked <- function(fit, rise) {
  process <- fit$random[[1]]$kernel
  one <- length(fit$lengthscale) == 1 && length(fit$random) == 1 && is.null(fit$gp$lengthscale)
  if (process$route != "fourier" || !one || NROW(fit$frame) == 0 || serves(fit, rise)) return(fit)
  wider <- on_wider_basis(fit, rise)
  if (!is.null(wider)) return(wider)
  if (!identical(fit$gp$basis, "auto") || fit$nobs > FEW_ROWS) return(fit)
  fit$random[[1]]$kernel$route <- "exact"
  fit$gp$captured <- 1
  fit
}

FEW_ROWS <- 1000

# How far a wider basis reaches, in Wald's intervals: as far as skew ones go, or else as its functions allow, which are decomposed a dozen times and more.
WIDER <- 3 * 0.8^(0:12)
MANY_FUNCTIONS <- 1000

# NULL if none can be had
on_wider_basis <- function(fit, rise) {
  if (!can_be_wider(fit)) return(NULL)
  old <- fit$random[[1]]$kernel$basis
  for (reach in WIDER) {
    basis <- wider_basis(fit, reach * sqrt(rise))
    farther <- basis$shortest[1] < 0.98 * old$shortest[1] || basis$longest[1] > 1.02 * old$longest[1]
    if (farther && is_affordable(fit, basis)) return(with_basis(fit, basis))
  }
  NULL
}

# The functions that many rows see beyond a basis were taken out for the one that there is.
can_be_wider <- function(fit) {
  one <- length(fit$lengthscale) == 1 && length(fit$random) == 1 && is.null(fit$gp$lengthscale)
  one && fit$random[[1]]$kernel$route == "fourier" && NROW(fit$frame) > 0 && fit$gp$guard == 0 && is.finite(fit$se$lengthscale[[1]])
}

# The basis of a fit, for length scales as far as some standard errors
wider_basis <- function(fit, errors) {
  basis <- fit$random[[1]]$kernel$basis
  value <- fit$lengthscale[[1]]
  reach <- exp(errors * fit$se$lengthscale[[1]] / value)
  gp <- fit$gp
  limits <- if (is.null(gp$range)) c(0, 3 * max(gp$box[2, ] - gp$box[1, ])) else gp$range
  gp$range <- c(min(basis$shortest, max(value / reach, limits[1])), max(basis$longest, min(value * reach, limits[2])))
  call_rust(ffi_gp_basis, gp_request(gp, gp$box, fit$method, fit$control), basis$eps)
}

is_affordable <- function(fit, basis) {
  size <- prod(2 * basis$m + 1) * c(1, pi / 4, pi / 6)[length(basis$m)]
  size <= min(MANY_FUNCTIONS, 0.8 * fit$nobs)
}

with_basis <- function(fit, basis) {
  rows <- model_rows(stored_gp_model(fit))
  fit$random[[1]]$kernel$basis <- basis
  fit$random[[1]]$kernel$table <- call_rust(ffi_gp_table, rows, basis, numeric())
  fit$gp$captured <- sum(call_rust(ffi_gp_weights, basis, fit$gp$parameters)^2)
  fit
}

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

# The kernel matrix can be had anywhere: nodes begin a little beyond Wald's interval and go on where the likelihood has not risen so far there. A basis ends.
gp_reach <- function(fit, rise) {
  se <- fit$se$lengthscale[[1]] / fit$lengthscale[[1]]
  if (fit$random[[1]]$kernel$route != "exact" || !is.finite(se)) return(gp_width(fit))
  min(gp_width(fit), max(1.3 * sqrt(rise) * se, 0.1))
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
  check_arguments(...)
  table <- gp_parameters(fitted)
  if (is.null(which)) which <- table$name[table$what != "beta"]
  table <- table[match(gp_selected(table, read_names(which, "which")), table$name), ]
  if (!is_profiled_jointly(fitted) && (length(fitted$lengthscale) > 1 || length(fitted$random) > 1)) {
    abort_fastlmm(
      "no_profile",
      "profiles in Fourier space are available only for gp() terms with one length scale and no group term; confint(fit, method = \"Wald\") gives intervals"
    )
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
