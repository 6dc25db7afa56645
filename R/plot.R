#' Plots of a fit and of its profile
#'
#' Base graphics, one panel a call; `par()` and the usual graphical parameters apply.
#'
#' @param x a fit by [fastlmm_fit()], or a profile of one.
#' @param which `"residuals"`: scaled Pearson residuals against fitted values; `"observed"`: response against fitted
#'   values; `"qq"`: normal quantiles of the scaled residuals; `"profile"`: the log-likelihood over `h2` as the search
#'   saw it, with the estimate, other local optima and the cut-off of the interval.
#' @param level confidence level of the cut-offs.
#' @param type `"zeta"` (a straight line where the likelihood is quadratic) or `"logLik"`.
#' @param ... graphical parameters, to [graphics::plot.default()].
#' @return `x`, invisibly.
#' @importFrom graphics abline lines par points
#' @importFrom grDevices n2mfrow
#' @examples
#' fit <- fastlmm_fit(distance ~ age + (1 | Subject), nlme::Orthodont)
#' plot(fit)
#' plot(fit, "profile")
#' plot(profile(fit, c(".sig01", "age")))
#' @export
plot.fastlmm <- function(x, which = c("residuals", "observed", "qq", "profile"), level = 0.95, ...) {
  draw <- switch(one_of(which),
    residuals = plot_residuals, observed = plot_observed, qq = plot_quantiles,
    profile = function(fit, ...) plot_h2_profile(fit, check_level(level), ...)
  )
  draw(x, ...)
  invisible(x)
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

plot_quantiles <- function(fit, main = "", ylab = "Scaled residual", ...) {
  residual <- plot_residual(fit)
  qqnorm(residual, main = main, ylab = ylab, ...)
  qqline(residual, lty = 2)
}

# Far from the optimum the curve would hide it: five units of log-likelihood below the cut-off are enough.
plot_h2_profile <- function(fit, level, xlab = "h2", ylab = "Log-likelihood", type = "l", ylim = NULL, ...) {
  curve <- fit$profile[is.finite(fit$profile$logLik), ]
  if (nrow(curve) == 0 || !is.finite(fit$logLik) || is.na(fit$h2)) abort_no_profile(fit)
  curve <- curve[order(curve$h2), ]
  cut <- fit$logLik - qchisq(level, 1) / 2
  if (is.null(ylim)) ylim <- c(max(min(curve$logLik), cut - 5), max(curve$logLik, fit$logLik))
  plot(curve$h2, curve$logLik, xlab = xlab, ylab = ylab, type = type, ylim = ylim, ...)
  abline(h = cut, lty = 3)
  abline(v = fit$h2, lty = 2)
  points(fit$optimum$local$h2, fit$optimum$local$logLik, pch = 19)
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
