#' Print and summarise a fit
#'
#' The layout is that of `lme4`, with a line about the kernel and one about `h2`. The summary also gives the standard error and the profile
#' interval of `h2`, and `h2` with K scaled to mean diagonal 1, which is what other packages report when K is on another scale. With several
#' random effects it gives the shares and their standard errors; their intervals need further optimisation and are given by
#' [confint.fastlmm()].
#'
#' @section Tests of the fixed effects:
#' Since the variances are estimated, t tests need approximate degrees of freedom. `df` gives Satterthwaite's (from the observed second
#' derivatives of the REML criterion, as in `lmerTest`) or those of Kenward and Roger with their adjusted standard errors (from the expected
#' information, as in `pbkrtest`), for any number of random effects, with known kernels and correlated terms. Kenward-Roger needs a REML fit;
#' Satterthwaite works for either criterion (for ML from the derivatives of the ML criterion, as in `lmerTest`). Fits with [gp()] or
#' `residual =` are refused (`fastlmm_error_ddf`). For joint tests see [anova.fastlmm()] and [contest()].
#'
#' A variance estimated as zero is left out for Satterthwaite's method, as `lmerTest` does in effect; where only the residual variance is left,
#' the test is that of [lm()]. Kenward-Roger keeps it among the estimated variances, as `pbkrtest` does. A residual variance that was given
#' (`sigma2_e`) counts as known. Both methods account for weights.
#'
#' @section Cost:
#' With one kernel the cost beyond the fit is negligible; with several effects it is one more decomposition of the size that the fit itself
#' needs. For fits by penalised least squares (correlated terms, a precision or a pedigree, a known residual variance, many levels)
#' Satterthwaite's method needs a few more evaluations of the likelihood. Kenward-Roger needs about `48 k (q + k)` bytes (refused with
#' `fastlmm_error_memory` where that is not available) and time proportional to `k^2 (q + k)`, where q is the number of levels times terms of
#' the largest random effect with independent levels and k that of all others; all levels of a kernel or a precision count towards k. Neither
#' forms a matrix of the size of the data that the fit does not form.
#'
#' @param x,object a fit by [fastlmm_fit()], or its summary.
#' @param df degrees of freedom of the t tests: `"none"` (no p-values), `"satterthwaite"` or `"kenward-roger"`.
#' @param digits number of significant digits.
#' @param correlation print the correlations of the fixed effects? `NULL`: when there are at most 20.
#' @param ... not used; an unknown argument is an error.
#' @return `summary()`: a list of class `summary.fastlmm`, with `coefficients` (Estimate, Std. Error, t value and, if `df` is given, df and
#'   Pr(>|t|); aliased columns are left out), `varcor`, `h2` (data frame of `estimate`, `std.error`, `lower`, `upper`, as fitted and with K
#'   scaled), `residuals` (scaled Pearson), `logLik`, `criteria` and more. The print methods return their argument invisibly.
#' @examples
#' fit <- fastlmm_fit(distance ~ age + (1 | Subject), nlme::Orthodont)
#' fit
#' summary(fit)
#' coef(summary(fit, df = "kenward-roger"))
#' @name summary.fastlmm
NULL

#' @rdname summary.fastlmm
#' @export
summary.fastlmm <- function(object, df = c("none", "satterthwaite", "kenward-roger"), ...) {
  check_arguments(...)
  df <- read_ddf(df)
  structure(
    list(
      fit = object[c("call", "formula", "method", "random", "nobs", "optimum", "status", "h2", "weights", "offset", "given"[!is.null(object$given)])],
      coefficients = if (df == "none") estimate_table(object) else test_table(object, df), ddf = df,
      aliased = is.na(object$coefficients), vcov = object$vcov, varcor = VarCorr(object), sigma = sigma(object),
      h2 = h2_table(object), logLik = logLik(object), criteria = fit_criteria(object),
      residuals = residuals(object, "pearson", scaled = TRUE), df = object$df
    ),
    class = "summary.fastlmm"
  )
}

estimate_table <- function(fit) {
  se <- sqrt(pmax(diag(fit$vcov), 0))
  estimate <- fit$coefficients[fit$kept]
  cbind(Estimate = estimate, `Std. Error` = se, `t value` = estimate / se)
}

#' @rdname summary.fastlmm
#' @export
print.summary.fastlmm <- function(x, digits = max(3, getOption("digits") - 3), correlation = NULL, ...) {
  check_arguments(...)
  print_title(x$fit)
  cat("\n")
  print_criteria(x$criteria, is_reml(x$fit), 1)
  print_scaled_residuals(x$residuals, digits)
  cat("\nRandom effects:\n")
  print(format_var_corr(x$varcor, digits, c("Variance", "Std.Dev.")), quote = FALSE)
  print_groups(x$fit)
  print_h2(x$h2, digits)
  print_coefficients(x, digits)
  if (if (is.null(correlation)) nrow(x$vcov) <= 20 else correlation) print_correlation(x$vcov)
  notes <- fit_notes(x$fit)
  if (length(notes) > 0) writeLines(c("", notes))
  invisible(x)
}

# ---- pieces -------------------------------------------------------------------------------------------

print_scaled_residuals <- function(residuals, digits) {
  quantiles <- structure(quantile(residuals, na.rm = TRUE), names = c("Min", "1Q", "Median", "3Q", "Max"))
  if (!all(is.finite(quantiles))) return(invisible())
  cat("\nScaled residuals:\n")
  print(zapsmall(quantiles, digits + 1L), digits = digits)
}

print_coefficients <- function(x, digits) {
  n <- sum(x$aliased)
  if (length(x$aliased) == 0) {
    cat("\nNo fixed effect coefficients\n")
    return(invisible())
  }
  cat("\nFixed effects:", if (n > 0) paste0(" (", n, " not defined because of singularities)"), "\n", sep = "")
  table <- matrix(NA_real_, length(x$aliased), ncol(x$coefficients), dimnames = list(names(x$aliased), colnames(x$coefficients)))
  table[!x$aliased, ] <- x$coefficients
  tested <- "df" %in% colnames(table)
  if (tested) cat("t-tests use ", c(satterthwaite = "Satterthwaite's", `kenward-roger` = "Kenward and Roger's")[[x$ddf]], " degrees of freedom\n", sep = "")
  printCoefmat(table, digits = digits, na.print = "NA", has.Pvalue = tested, P.values = tested, cs.ind = 1:2, tst.ind = if (tested) 4 else 3)
}

print_correlation <- function(vcov) {
  p <- nrow(vcov)
  if (p < 2 || !all(diag(vcov) > 0)) return(invisible())
  cat("\nCorrelation of Fixed Effects:\n")
  label <- rownames(vcov)
  text <- matrix(format(round(cov2cor(vcov), 3), nsmall = 3), p)
  dimnames(text) <- list(abbreviate(label, 11), abbreviate(label, 6))
  text[!lower.tri(text)] <- ""
  print(text[-1, -p, drop = FALSE], quote = FALSE)
}

one_h2 <- c("h2", "h2, K scaled to mean diagonal 1")

# Scaling K by c turns h into c h / (1 - h + c h): monotone, so intervals go along and the standard error by its slope.
h2_table <- function(fit) {
  if (length(fit$random) > 1 || is_sparse_fit(fit) && !is_of_levels(fit) || has_levels(fit)) return(share_table(fit))
  defined <- !"h2" %in% undefined_parameters(fit)
  interval <- if (defined) unname(confint(fit, "h2")[1, ]) else c(NA_real_, NA_real_)
  value <- c(fit$h2, interval)
  c_k <- fit$random[[1]]$mean_diag
  scaled <- c_k * value / (1 - value + c_k * value)
  slope <- c_k / (1 - fit$h2 + c_k * fit$h2)^2
  data.frame(
    estimate = c(value[1], scaled[1]), std.error = c(1, slope) * fit$se$h2, lower = c(value[2], scaled[2]),
    upper = c(value[3], scaled[3]), row.names = one_h2
  )
}

# A single K of mean diagonal 1 is told once; shares of several kernels are different things, however equal.
print_h2 <- function(h2, digits) {
  same <- identical(rownames(h2), one_h2) && isTRUE(all.equal(h2[1, ], h2[2, ], check.attributes = FALSE))
  shown <- if (same) h2[1, ] else h2
  cat(sprintf("%s: %s\n", rownames(shown), h2_text(shown, digits)), sep = "")
}

h2_text <- function(h2, digits) {
  number <- function(x, n = digits) vapply(signif(x, n), format, "", digits = n, trim = TRUE)
  se <- ifelse(is.na(h2$std.error), "no SE", paste("SE", number(h2$std.error, 3)))
  interval <- paste("95% profile interval", number(h2$lower), "to", number(h2$upper))
  about <- ifelse(is.na(h2$lower), ifelse(is.na(h2$std.error), "", paste0(" (", se, ")")), paste0(" (", se, "; ", interval, ")"))
  ifelse(is.na(h2$estimate), "not defined", paste0(number(h2$estimate), about))
}
