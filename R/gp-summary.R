# Summaries of Gaussian process fits.

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

gp_limited_note <- function(fit) {
  if (!isTRUE(fit$optimum$limited)) return(NULL)
  paste0("The length scale still depends on the number of Fourier functions (", fit$gp$size, "), which is at its maximum.")
}

# What the basis leaves out of the likelihood, where it is felt
gp_basis_note <- function(gp) {
  if (!isTRUE(gp$log_lik_error > 0.01)) return(NULL)
  paste0("The log-likelihood is that of the basis, within about ", format(gp$log_lik_error, digits = 2), " of that of the kernel.")
}

#' @rdname predict.fastlmm_gp
#' @param df only `"none"`: degrees of freedom are not known where a length scale is estimated (error `fastlmm_error_ddf`).
#' @return `summary()`: a list of class `summary.fastlmm_gp` with `coefficients`, `varcomp` (estimates and standard errors of length scales,
#'   variances, `delta` and `h2`; the standard errors are from the observed information of the logarithms, by the delta method), `logLik` and
#'   `gp`.
#' @export
summary.fastlmm_gp <- function(object, df = c("none", "satterthwaite", "kenward-roger"), ...) {
  check_arguments(...)
  df <- read_ddf(df)
  if (df != "none") check_ddf(object, df)
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
#' @param digits number of significant digits.
#' @export
print.summary.fastlmm_gp <- function(x, digits = max(3, getOption("digits") - 3), ...) {
  check_arguments(...)
  print_title(x$fit)
  cat("\n")
  print_criteria(x$criteria, is_reml(x$fit), 1)
  if (!is.null(x$residuals)) print_scaled_residuals(x$residuals, digits)
  cat("\nLength scale", gp_unit_note(x$fit$gp), " and variances:\n", sep = "")
  print(x$varcomp, digits = digits)
  print_groups(x$fit)
  print_coefficients(x, digits)
  notes <- c(boundary_note(x$fit$optimum), gp_end_note(x$fit), gp_limited_note(x$fit), gp_basis_note(x$fit$gp))
  if (length(notes) > 0) writeLines(c("", notes))
  invisible(x)
}
