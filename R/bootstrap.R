#' Parametric bootstrap
#'
#' Draws responses from the fit, refits the model to each, and computes a statistic of each refit. With one random effect all responses share
#' one decomposition of the kernel and are rotated together, so that a thousand refits cost about as much as a few separate ones. With several,
#' or with [gp()], each draw is a separate fit, and these are distributed over the processes of a [future::plan()]. The draws depend on `seed`
#' only.
#'
#' `statistic` is a function of the fit to each draw. If it uses coefficients, variances, `logLik`, predicted effects and what follows from
#' them, such as `fixef()`, `VarCorr()`, `predict()`, `sigma()`, no further fitting is needed. A statistic that needs a complete fit, such as
#' `confint()` or `summary(df = )`, is detected and gets separate fits, with a message.
#'
#' @param object a fit by [fastlmm_fit()].
#' @param statistic a function of a fit that returns a numeric vector, always of the same length. `NULL`: all parameters of
#'   [confint.fastlmm()]: standard deviations, `h2`, fixed effects.
#' @param R number of draws.
#' @param re.form as for [simulate.fastlmm()]: `NA` draws new random effects, `NULL` keeps those of the fit.
#' @param seed a number that makes the result reproducible; the state of R's generator is restored.
#' @param progress show a progress bar? Signals to [progressr::handlers()] are sent in any case.
#' @param parm,level statistics by name or number, and confidence level.
#' @param type `"perc"`: quantiles of the statistics; `"basic"`: quantiles of their differences from the estimate; `"norm"`: estimate minus
#'   bias, plus and minus standard errors times normal quantiles. Limits are kept within the parameter space.
#' @param x the value of `bootstrap()`; of `confint()` and `autoplot()` it is `object`.
#' @param ... not used; an unknown argument is an error.
#' @return A list of class `fastlmm_bootstrap`, which is also of class `boot` so that [boot::boot.ci()] accepts it: `t0`, the statistic of the
#'   fit; `t`, R x statistics; `R`, `seed`, `failed` (number of draws without a fit or a statistic, whose rows are `NA`), `sim`, `call`.
#'   `confint()`: a matrix. `as.data.frame()`: a column for each statistic. `plot()` and `autoplot()`: histograms of the draws, with the estimate
#'   and, dashed, the interval.
#' @examples
#' fit <- fastlmm_fit(distance ~ age + (1 | Subject), nlme::Orthodont)
#' draws <- bootstrap(fit, R = 200, seed = 1)
#' draws
#' confint(draws)
#' plot(draws)
#' # any number of a fit: the mean at age 11 over the residual standard deviation
#' confint(bootstrap(fit, function(fit) sum(fixef(fit) * c(1, 11)) / sigma(fit), R = 200, seed = 1))
#' @export
bootstrap <- function(object, statistic = NULL, R = 1000, re.form = NA, seed = NULL, progress = interactive(), ...) {
  check_arguments(...)
  check_bootstrap(object, statistic, R)
  check_has_rows(object, "bootstrap()")
  kept <- conditioned_on(object, re.form)
  R <- check_nsim(R, object$nobs)
  state <- seed_generator(seed)
  on.exit(state$restore())
  Y <- drawn_responses(object, R, kept)
  t0 <- if (is.null(statistic)) boot_parameters(object) else check_statistic(suppressWarnings(statistic(object)))
  found <- if (shares_rotation(object)) boot_together(object, Y, statistic, t0, isTRUE(progress)) else boot_each(object, Y, statistic, t0, isTRUE(progress))
  colnames(found) <- names(t0)
  failed <- sum(rowSums(!is.finite(found)) > 0)
  if (failed > 0) warn_boot_failed(failed, R)
  structure(
    list(
      t0 = t0, t = found, R = R, seed = state$seed, failed = failed, sim = "parametric", stype = "i", call = match.call(), statistic = statistic,
      data = object$frame, parameters = if (is.null(statistic)) boot_table(object)
    ),
    class = c("fastlmm_bootstrap", "boot")
  )
}

check_bootstrap <- function(object, statistic, R) {
  if (inherits(object, "fastlmm_mlm")) abort_one_by_one("bootstrap")
  if (!inherits(object, "fastlmm")) abort_fastlmm("not_a_fit", paste("bootstrap() needs a fit by fastlmm_fit(), not an object of class", class(object)[1]))
  if (object$status != "ok") abort_fastlmm("bootstrap", paste0("the fit is ", quoted(object$status), ": there is no distribution to draw from"))
  if (!is.null(statistic) && !is.function(statistic)) abort_fastlmm(
    "argument", paste("statistic must be a function of a fit, or NULL, not", code_text(statistic))
  )
  if (!(is_count(R) && R >= 2)) abort_fastlmm("argument", paste("R must be a whole number of at least 2, not", code_text(R)))
}

check_statistic <- function(value) {
  if (is.numeric(value) && length(value) > 0 && all(is.finite(value))) return(
    structure(as.numeric(value), names = if (is.null(names(value))) paste0("t", seq_along(value)) else names(value))
  )
  abort_fastlmm("statistic", paste("statistic must give finite numbers of the fit, not", code_text(value)))
}

warn_boot_failed <- function(failed, R) {
  warn_fastlmm(
    "bootstrap_failed", sprintf("%d of %d draws have no fit, or a statistic that is not finite; intervals are computed from the others", failed, R),
    failed = failed
  )
}

# What confint() has, in its order
boot_parameters <- function(fit) {
  table <- boot_table(fit)
  covariance <- effect_covariance(fit)
  one <- function(what, k, l) {
    switch(what,
      sigma_u = sqrt(fit$sigma2[[k]]), sigma_e = sqrt(if (k > 0) fit$residual$variance[[k]] else fit$sigma2_e), h2 = fit$h2[[k]],
      beta = fit$coefficients[[fit$kept[k]]],
      correlation = covariance[k, l] / sqrt(covariance[k, k] * covariance[l, l])
    )
  }
  structure(as.numeric(unlist(Map(one, table$what, table$column, table$second))), names = table$name)
}

boot_table <- function(fit) {
  table <- parameter_table(fit)
  table[table$what != "delta" & !is.na(table$column), ]
}

# ---- one random effect: all draws at once ---------------------------------------------------------------

shares_rotation <- function(fit) length(fit$random) == 1 && !is_gp_fit(fit) && !is_sparse_fit(fit) && !has_levels(fit)

drawn_responses <- function(fit, R, kept) {
  Y <- population_fit(fit) + random_fit(fit, kept) + residual_draws(fit, R) + random_draws(fit, R, !kept)
  dimnames(Y) <- list(rownames(fit$frame), paste0("sim_", seq_len(R)))
  Y
}

boot_together <- function(fit, Y, statistic, t0, progress) {
  many <- fit_responses(stored_model(fit), Y, effects = !is.null(statistic))
  if (is.null(statistic)) return(unname(t(rbind(sqrt(many$sigma2), sqrt(many$sigma2_e), many$h2, many$coefficients[fit$kept, , drop = FALSE]))))
  light <- function(i) statistic(fit_of_draw(fit, many, i))
  if (!is.null(tryCatch(quiet_fit(light(1)), error = function(e) NULL))) return(statistics(light, ncol(Y), t0, progress))
  inform_fastlmm("bootstrap_fits", "the statistic needs more than estimates and predictions: each draw is fitted separately, which takes longer")
  boot_each(fit, Y, statistic, t0, progress)
}

# The model with other responses, by one decomposition
fit_responses <- function(model, Y, effects = FALSE) {
  model$y <- Y
  model$control$effects <- effects
  model$na_class <- "omit"
  new_fastlmm_mlm(model, estimate_together(model))
}

# The fit with the estimates of a draw; what a search keeps beside them is left out.
fit_of_draw <- function(fit, many, i) {
  kept <- fit$kept
  fit[c("sigma2", "sigma2_e", "delta", "h2")] <- lapply(
    c("sigma2", "sigma2_e", "delta", "h2"), function(name) structure(unname(many[[name]][i]), names = names(fit[[name]]))
  )
  fit$logLik <- unname(many$logLik[i])
  fit$status <- unname(many$status[i])
  fit$coefficients[] <- many$coefficients[, i]
  fit$vcov[] <- many$vcov[kept, kept, i]
  fit$se <- lapply(many$se, function(se) unname(se[i]))
  fit$y[] <- many$y[, i]
  fit$frame[[1]] <- unname(many$y[, i])
  fit$random[[1]]$alpha <- many$random[[1]]$alpha[, i]
  fit$optimum$boundary <- unname(many$boundary[i])
  fit[c("profile", "rotated")] <- NULL
  fit
}

# ---- others: a fit for each draw ------------------------------------------------------------------------

boot_each <- function(fit, Y, statistic, t0, progress) {
  if (is.null(statistic)) statistic <- boot_parameters
  statistics(function(i) statistic(refit(fit, Y[, i])), ncol(Y), t0, progress)
}

# NA where there is none
statistics <- function(one, R, t0, progress) {
  none <- rep(NA_real_, length(t0))
  value <- function(i) {
    found <- tryCatch(as.numeric(quiet_fit(one(i))), error = function(e) none)
    if (length(found) == length(none)) found else none
  }
  found <- if (has_plan()) in_plan(seq_len(R), value, rep(1, R), "draws") else in_turn(seq_len(R), value, rep(1, R), progress)
  matrix(unlist(found), R, length(t0), byrow = TRUE)
}

# ---- what is made of it ---------------------------------------------------------------------------------

#' @rdname bootstrap
#' @export
confint.fastlmm_bootstrap <- function(object, parm = NULL, level = 0.95, type = c("perc", "basic", "norm"), ...) {
  check_arguments(...)
  tails <- both_tails(check_level(level))
  type <- one_of(type, c("perc", "basic", "norm"))
  names <- names(object$t0)
  rows <- if (is.null(parm)) seq_along(names) else if (is.numeric(parm)) match(parm, seq_along(names)) else match(parm, names)
  if (length(rows) == 0 || anyNA(rows)) abort_fastlmm(
    "parm", paste0("parm must name statistics or give their numbers, not ", code_text(parm), "; there are ", first_names(names))
  )
  limits <- vapply(rows, function(k) boot_interval(object$t0[[k]], object$t[, k], tails, type, object$parameters[k, ]), c(0, 0))
  interval_matrix(limits, names[rows], tails)
}

boot_interval <- function(t0, t, tails, type, range) {
  t <- t[is.finite(t)]
  if (length(t) < 2) return(c(NA_real_, NA_real_))
  limits <- switch(type,
    perc = stats::quantile(t, tails, names = FALSE, type = 6),
    basic = 2 * t0 - stats::quantile(t, rev(tails), names = FALSE, type = 6),
    norm = 2 * t0 - mean(t) + stats::sd(t) * qnorm(tails)
  )
  if (is.null(range)) limits else pmin(pmax(limits, range$lower), range$upper)
}

#' @rdname bootstrap
#' @export
print.fastlmm_bootstrap <- function(x, ...) {
  check_arguments(...)
  cat("Parametric bootstrap, ", counted(x$R, "draw"), if (x$failed > 0) paste0(", ", x$failed, " without a fit"), ":\n", sep = "")
  used <- finite_draws(x)
  print(cbind(estimate = x$t0, bias = colMeans(used) - x$t0, std.error = apply(used, 2, stats::sd)), digits = 4)
  invisible(x)
}

#' @rdname bootstrap
#' @param row.names,optional as in [as.data.frame()], not used.
#' @export
as.data.frame.fastlmm_bootstrap <- function(x, row.names = NULL, optional = FALSE, ...) {
  check_arguments(...)
  as.data.frame(x$t, optional = TRUE)
}

# ---- pictures -------------------------------------------------------------------------------------------

#' @rdname bootstrap
#' @export
plot.fastlmm_bootstrap <- function(x, parm = NULL, level = 0.95, type = c("perc", "basic", "norm"), ...) {
  limits <- confint(x, parm, level, one_of(type, c("perc", "basic", "norm")), ...)
  names <- rownames(limits)
  old <- par(mfrow = n2mfrow(length(names)), mar = c(4, 2, 1, 1), mgp = c(2.2, 0.7, 0))
  on.exit(par(old))
  for (name in names) {
    value <- finite_draws(x)[, match(name, names(x$t0))]
    at <- c(x$t0[[name]], limits[name, ])
    range <- range(value, at, finite = TRUE)
    graphics::hist(value, boot_breaks(value), main = "", xlab = name, ylab = "", yaxt = "n", col = "grey85", border = "white", xlim = range)
    abline(v = at, lty = c(1, 2, 2), col = hit_colour)
  }
  invisible(x)
}

finite_draws <- function(x) x$t[rowSums(!is.finite(x$t)) == 0, , drop = FALSE]

boot_breaks <- function(value) max(5, min(40, ceiling(2 * sqrt(length(value)))))

#' @rdname bootstrap
#' @exportS3Method ggplot2::autoplot fastlmm_bootstrap
autoplot.fastlmm_bootstrap <- function(object, parm = NULL, level = 0.95, type = c("perc", "basic", "norm"), ...) {
  limits <- confint(object, parm, level, one_of(type, c("perc", "basic", "norm")), ...)
  names <- rownames(limits)
  used <- finite_draws(object)
  frame <- data.frame(value = c(used[, match(names, names(object$t0))]), panel = factor(rep(names, each = nrow(used)), names))
  lines <- data.frame(
    x = c(object$t0[names], limits), panel = factor(rep(names, 3), names), kind = rep(c("estimate", "interval", "interval"), each = length(names))
  )
  gg("ggplot", frame, gg_columns(x = "value")) + gg("geom_histogram", bins = boot_breaks(frame$value[frame$panel == names[1]]), fill = "grey80") +
    gg("geom_vline", gg_columns(xintercept = "x", linetype = "kind"), lines, colour = hit_colour) +
    gg("facet_wrap", "panel", scales = "free") + gg("labs", x = NULL, y = "draws", linetype = NULL) + gg("theme_minimal")
}
