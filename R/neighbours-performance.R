# performance and parameters: quality of a fit, and its table.

#' @exportS3Method performance::r2 fastlmm
#' @noRd
r2.fastlmm <- function(model, ...) performance::r2_nakagawa(model, ...)

#' @exportS3Method performance::check_singularity fastlmm
#' @noRd
check_singularity.fastlmm <- function(x, tolerance = 1e-5, ...) isSingular(x, tol = tolerance)

#' @exportS3Method performance::check_convergence fastlmm
#' @noRd
check_convergence.fastlmm <- function(x, ...) structure(is.finite(x$logLik), gradient = x$optimum$slope)

#' @exportS3Method performance::performance_aicc fastlmm
#' @noRd
performance_aicc.fastlmm <- function(x, ...) {
  value <- logLik(x)
  k <- attr(value, "df")
  -2 * as.numeric(value) + 2 * k * nobs(x) / (nobs(x) - k - 1)
}

#' @exportS3Method performance::model_performance fastlmm
#' @noRd
model_performance.fastlmm <- function(model, metrics = "all", verbose = TRUE, ...) {
  known <- c("AIC", "AICc", "BIC", "R2", "ICC", "RMSE", "SIGMA")
  if (identical(metrics, "all")) metrics <- known
  if (identical(metrics, "common")) metrics <- setdiff(known, c("AICc", "SIGMA"))
  wanted <- toupper(metrics)
  found <- list(
    AIC = AIC(model), AICc = performance_aicc.fastlmm(model), BIC = BIC(model), R2 = if ("R2" %in% wanted) suppressWarnings(performance::r2(model)),
    ICC = if ("ICC" %in% wanted) adjusted_icc(model), RMSE = sqrt(mean(residuals(model)^2, na.rm = TRUE)), Sigma = sigma(model)
  )
  found <- found[toupper(names(found)) %in% wanted]
  found <- unlist(lapply(seq_along(found), function(i) if (names(found)[i] == "R2") found_r2(found[[i]]) else found[i]), recursive = FALSE)
  structure(as.data.frame(found), row.names = 1L, class = c("performance_model", "data.frame"))
}

found_r2 <- function(r2) {
  if (length(r2) == 1 && is.na(r2)) return(NULL)
  lapply(unclass(r2)[c("R2_conditional", "R2_marginal")], as.numeric)
}

adjusted_icc <- function(fit) {
  random <- sum(row_variances(fit))
  random / (random + mean_residual_variance(fit))
}

#' @exportS3Method performance::model_performance fastlmm_mlm
#' @noRd
model_performance.fastlmm_mlm <- function(model, ...) abort_one_by_one("model_performance")

# ---- parameters -------------------------------------------------------------------------------------------

#' @exportS3Method parameters::model_parameters fastlmm
#' @noRd
model_parameters.fastlmm <- function(model, ci = 0.95, ci_method = NULL, effects = "fixed", ...) {
  if (!identical(effects, "fixed")) abort_fastlmm("argument", "model_parameters() of these fits is of the fixed effects; tidy(fit) has the variances, too")
  if (is.null(ci_method)) ci_method <- "wald"
  default_method("parameters", "model_parameters")(model, ci = ci, ci_method = ci_method, ...)
}

# Kenward and Roger's standard errors are larger; "residual" has the degrees of freedom of lme4.
# With normal quantiles, those of "wald" and "residual" with the residual's degrees of freedom
estimate_methods <- c("wald", "residual", "normal", "profile", "uniroot", "boot")

method_table <- function(fit, method) {
  method <- tolower(if (is.null(method)) "wald" else method)
  if (method %in% c("kr", "kenward", "kenward-roger")) return(test_table(fit, "kenward-roger"))
  if (method == "satterthwaite") return(test_table(fit, method))
  if (!method %in% estimate_methods) abort_fastlmm("method", paste0("degrees of freedom and intervals are not offered by \"", method, "\"; write one of \"wald\", \"residual\", \"profile\", \"boot\", \"satterthwaite\", \"kenward\""))
  table <- estimate_table(fit)
  df <- if (method %in% c("residual", "wald")) df.residual(fit) else Inf
  cbind(table[, 1:2, drop = FALSE], df = df, table[, "t value", drop = FALSE], `Pr(>|t|)` = 2 * pt(-abs(table[, "t value"]), df))
}

#' @exportS3Method parameters::standard_error fastlmm
#' @noRd
standard_error.fastlmm <- function(model, method = NULL, ...) {
  table <- method_table(model, method)
  data.frame(Parameter = rownames(table), SE = unname(table[, "Std. Error"]))
}

#' @exportS3Method parameters::p_value fastlmm
#' @noRd
p_value.fastlmm <- function(model, method = NULL, ...) {
  table <- method_table(model, method)
  data.frame(Parameter = rownames(table), p = unname(table[, "Pr(>|t|)"]))
}

#' @exportS3Method parameters::degrees_of_freedom fastlmm
#' @noRd
degrees_of_freedom.fastlmm <- function(model, method = NULL, ...) unname(method_table(model, method)[, "df"])

#' @exportS3Method parameters::ci fastlmm
#' @noRd
ci.fastlmm <- function(x, ci = 0.95, method = NULL, iterations = 500, ...) {
  if (length(ci) > 1) return(do.call(rbind, lapply(ci, function(one) ci.fastlmm(x, one, method, iterations, ...))))
  if (length(method) == 1 && method %in% c("profile", "uniroot", "boot")) {
    limits <- if (method == "boot") confint(x, kept_names(x), ci, method = "boot", nsim = iterations) else confint(x, kept_names(x), level = ci)
    return(data.frame(Parameter = kept_names(x), CI = ci, CI_low = unname(limits[, 1]), CI_high = unname(limits[, 2])))
  }
  table <- method_table(x, method)
  half <- stats::qt((1 + ci) / 2, table[, "df"]) * table[, "Std. Error"]
  data.frame(Parameter = rownames(table), CI = ci, CI_low = unname(table[, "Estimate"] - half), CI_high = unname(table[, "Estimate"] + half))
}
