#' Plots of a fit and of its profile
#'
#' `plot(fit)` is a panel of four base graphics plots. A plot selected by name is drawn alone, in the current layout of `par()`, and takes
#' graphical parameters. `autoplot(fit)` draws the same with ggplot2, several as panels of one plot.
#'
#' The bands in plots of normal quantiles are pointwise: each ordered value lies within with probability `level`, if all are independent.
#' Standardised residuals and effects have variance 1 given the variances, but those of relatives are correlated, so the band is only a guide.
#'
#' Residuals may increase with the fitted values where there are random effects, most of all with a kernel between relatives and one record
#' each: predicted effects are shrunk towards zero, and what is taken from them remains in the residuals with the same sign. That slope is no
#' sign of a wrong model; curvature or an increasing spread is. `"observed"` is steeper than its line for the same reason.
#'
#' Above 2000 rows, and where [rstandard()][influence.fastlmm] is not defined, scaled residuals replace standardised ones.
#'
#' @param x,object a fit by [fastlmm_fit()], or a profile of one.
#' @param which one or more of `"residuals"`: scaled Pearson residuals against fitted values, with a smooth curve; `"qq"`: normal quantile plot
#'   of the standardised residuals; `"effects"`: normal quantile plot of the predicted random effects, each divided by its standard deviation;
#'   `"profile"`: the profile log-likelihood over `h2` from the search, with the estimate, other local optima and the cut-off of the interval;
#'   `"observed"`: response against fitted values. `NULL`: the first four, as far as the fit has them; `"observed"` replaces the profile where
#'   there is none.
#' @param level confidence level of the cut-offs and bands.
#' @param type `"zeta"` (a straight line where the log-likelihood is quadratic) or `"logLik"`.
#' @param ... graphical parameters, passed to [graphics::plot.default()]; `autoplot()`: not used.
#' @return `plot()`: `x`, invisibly. `autoplot()`: a `ggplot` object.
#' @importFrom graphics abline lines par points
#' @importFrom grDevices n2mfrow
#' @examples
#' fit <- fastlmm_fit(distance ~ age + (1 | Subject), nlme::Orthodont)
#' plot(fit)
#' plot(fit, "profile")
#' plot(profile(fit, c(".sig01", "age")))
#' @order 1
#' @export
plot.fastlmm <- function(x, which = NULL, level = 0.95, ...) {
  refuse_new_rows(...)
  which <- chosen_pictures(x, which)
  check_level(level)
  if (length(which) > 1) {
    old <- par(mfrow = if (length(which) == 2) c(1, 2) else n2mfrow(max(4, length(which))), mar = c(4, 4, 1.5, 1), mgp = c(2.3, 0.8, 0))
    on.exit(par(old))
  }
  for (one in which) draw_fit(x, one, level, ...)
  invisible(x)
}

# Arguments of predict() would only be unknown to the graphics.
refuse_new_rows <- function(...) {
  given <- intersect(names(list(...)), c("newdata", "data", "re.form", "se.fit", "interval"))
  if (length(given) > 0) abort_fastlmm("unused_argument", paste0(
    "unused argument: ", toString(given), "; the picture is of the fit and its own data: draw predict(fit, newdata, se.fit = TRUE) for other rows"
  ))
}

fit_pictures <- c("residuals", "qq", "effects", "profile", "observed")

chosen_pictures <- function(fit, which) if (is.null(which)) panel_pictures(fit) else one_of(which, fit_pictures, several = TRUE)

draw_fit <- function(fit, which, level, ...) {
  switch(which,
    residuals = plot_residuals(fit, ...), observed = plot_observed(fit, ...), qq = plot_quantiles(fit, level, ...), effects = plot_effects(fit, level, ...),
    profile = plot_h2_profile(fit, level, ...)
  )
}

# The pictures of the panel that a fit has
panel_pictures <- function(fit) {
  has_effects <- fit$status == "ok" && any(fit$sigma2 > 0)
  has_profile <- length(fit$random) == 1 && !is_sparse_fit(fit) && !has_levels(fit) && !"h2" %in% undefined_parameters(fit) && is.finite(fit$logLik)
  c("residuals", "qq", if (has_effects) "effects", if (has_profile) "profile" else "observed")
}

# In units of sigma, unless sigma is 0
plot_residual <- function(fit) residuals(fit, "pearson", scaled = sigma(fit) > 0)

plot_residuals <- function(fit, xlab = "Fitted value", ylab = "Scaled residual", ...) {
  residual <- plot_residual(fit)
  plot(fitted(fit), residual, xlab = xlab, ylab = ylab, ...)
  abline(h = 0, lty = 2)
  seen <- is.finite(residual)
  if (sum(seen) > 4) lines(lowess(fitted(fit)[seen], residual[seen]), col = 2)
}

plot_observed <- function(fit, xlab = "Fitted value", ylab = "Observed value", ...) {
  plot(conditional_fit(fit), response(fit), xlab = xlab, ylab = ylab, ...)
  abline(0, 1, lty = 2)
}

plot_quantiles <- function(fit, level, main = "", ylab = quantile_label(fit), ...) draw_quantiles(quantile_residuals(fit), level, main = main, ylab = ylab, ...)

quantile_label <- function(fit) if (is_standardised(fit)) "Standardised residual" else "Scaled residual"

quantile_residuals <- function(fit) {
  value <- if (is_standardised(fit)) rstandard(fit) else plot_residual(fit)
  value <- value[is.finite(value)]
  if (is_standardised(fit) || all(value == 0)) value else value / sqrt(mean(value^2))
}

is_standardised <- function(fit) fit$nobs <= 2000 && is.null(projection_reason(fit))

# Normal quantiles of so many ordered values, with the band of independent standard normal ones
normal_band <- function(n, level) {
  rank <- seq_len(n)
  band <- lapply(both_tails(level), function(p) qnorm(stats::qbeta(p, rank, n - rank + 1)))
  data.frame(x = qnorm(stats::ppoints(n)), low = band[[1]], high = band[[2]])
}

draw_quantiles <- function(value, level, xlab = "Normal quantile", pch = 1, col = 1, ylim = NULL, ...) {
  n <- length(value)
  band <- normal_band(n, level)
  quantile <- band$x
  if (is.null(ylim)) ylim <- range(value, quantile)
  plot(quantile, quantile, type = "n", xlab = xlab, ylim = ylim, ...)
  graphics::polygon(c(quantile, rev(quantile)), c(band$low, rev(band$high)), col = "grey92", border = NA)
  abline(0, 1, lty = 2)
  by_size <- order(value)
  points(quantile, value[by_size], pch = rep_len(pch, n)[by_size], col = rep_len(col, n)[by_size])
  graphics::box()
}

# Several effects have a sign each, and a legend.
plot_effects <- function(fit, level, main = "", ylab = "Standardised random effect", pch = seq_along(value), ...) {
  value <- titled_effects(fit)
  pch <- rep_len(pch, length(value))
  draw_quantiles(unlist(value), level, main = main, ylab = ylab, pch = rep(pch, lengths(value)), ...)
  if (length(value) > 1) graphics::legend("topleft", legend = names(value), pch = pch, bty = "n")
}

# A list, the values of each effect that has a variance
visible_effects <- function(fit) {
  drawn <- Filter(function(label) fit$sigma2[match(label, names(fit$random))] > 0 && !is_process(fit$random[[label]]$kernel), names(fit$random))
  if (length(drawn) == 0) abort_fastlmm("no_effects", "there are no random effects to draw: their variances are 0, or the fit has a process only")
  lapply(structure(drawn, names = drawn), standardised_effects, fit = fit)
}

# The same as a legend names them
titled_effects <- function(fit) {
  value <- visible_effects(fit)
  structure(value, names = effect_titles(fit$random[names(value)]))
}

# The grouping factor, and which of its effects where it has several
effect_titles <- function(random) {
  name <- vapply(random, `[[`, "", "name")
  name[name == ".row"] <- "rows"
  several <- name %in% name[duplicated(name)]
  unname(ifelse(several, paste0(name, ": ", vapply(random, effect_name, "")), name))
}

# Predicted effects over their standard deviations: those of the effects less those of what is not known of them. Effects that the data say nothing about are
# left out.
standardised_effects <- function(label, fit) {
  random <- fit$random[[label]]
  ids <- random$ids[random$index]
  target <- list(id = ids, z = rep(1, length(ids)))
  targets <- list(X = matrix(0, length(ids), length(fit$kept)), random = structure(list(target), names = label))
  errors <- target_variance(fit, targets, structure(list(kernel_source(random, ids, NULL, FALSE)), names = label))
  prior <- fit$sigma2[[match(label, names(fit$random))]] * kernel_diagonal(random)[random$index]
  value <- unname(blup(random)[random$index]) / sqrt(pmax(prior - errors, 0))
  value[prior - errors > 1e-8 * prior]
}

# Far from the optimum the curve would hide it: five units of log-likelihood below the cut-off are enough.
plot_h2_profile <- function(fit, level, xlab = "h2", ylab = "Log-likelihood", type = "l", ylim = NULL, ...) {
  d <- h2_curve(fit, level)
  plot(d$curve$h2, d$curve$logLik, xlab = xlab, ylab = ylab, type = type, ylim = if (is.null(ylim)) d$ylim else ylim, ...)
  abline(h = d$cut, lty = 3)
  abline(v = fit$h2, lty = 2)
  points(fit$optimum$local$h2, fit$optimum$local$logLik, pch = 19)
}

# Of a fit that has only a coarse grid
h2_points <- function(fit) {
  points <- as.data.frame(profile(fit, "h2"))
  data.frame(h2 = points$value, logLik = points$logLik)
}

h2_curve <- function(fit, level) {
  if (length(fit$random) != 1) abort_fastlmm(
    "no_profile", "the likelihood over h2 is drawn only for fits with one random effect; plot(profile(fit)) draws all parameters"
  )
  curve <- if (is_sparse_fit(fit)) h2_points(fit) else fit$profile
  curve <- curve[is.finite(curve$logLik), c("h2", "logLik")]
  if (nrow(curve) == 0 || !is.finite(fit$logLik) || is.na(fit$h2)) abort_no_profile(fit)
  cut <- fit$logLik - qchisq(level, 1) / 2
  list(curve = curve[order(curve$h2), ], cut = cut, ylim = c(max(min(curve$logLik), cut - 5), max(curve$logLik, fit$logLik)))
}

#' @rdname plot.fastlmm
#' @export
plot.fastlmm_profile <- function(x, level = c(0.5, 0.8, 0.9, 0.95, 0.99), type = c("zeta", "logLik"), ...) {
  type <- one_of(type)
  if (length(level) == 0) check_level(level)
  lapply(level, check_level)
  names <- levels(x$.par)
  if (length(names) > 1) {
    old <- par(mfrow = n2mfrow(length(names)), mar = c(4, 4, 1, 1))
    on.exit(par(old))
  }
  for (name in names) plot_curve(x[x$.par == name, ], name, qnorm((1 + level) / 2), type, ...)
  invisible(x)
}

plot_curve <- function(curve, name, zeta, type, xlab = name, ylab = type, ...) {
  curve <- curve[is.finite(curve$value), ]
  value <- if (type == "zeta") curve$.zeta else curve$logLik
  plot(curve$value, value, type = "l", xlab = xlab, ylab = ylab, ...)
  cut <- if (type == "zeta") c(-zeta, zeta) else max(curve$logLik) - zeta^2 / 2
  abline(h = cut, lty = 3)
  if (type == "zeta") abline(h = 0, lty = 2)
}
