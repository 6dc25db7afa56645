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

#' @exportS3Method performance::performance_aic fastlmm
#' @noRd
performance_aic.fastlmm <- function(x, estimator = "REML", ...) AIC(log_lik_by(x, estimator))

#' @exportS3Method performance::performance_aicc fastlmm
#' @noRd
performance_aicc.fastlmm <- function(x, estimator = "REML", ...) {
  value <- log_lik_by(x, estimator)
  k <- attr(value, "df")
  -2 * as.numeric(value) + 2 * k * nobs(x) / (nobs(x) - k - 1)
}

#' @exportS3Method performance::model_performance fastlmm
#' @noRd
model_performance.fastlmm <- function(model, metrics = "all", estimator = "REML", verbose = TRUE, ...) {
  by <- log_lik_by(model, estimator)
  known <- c("AIC", "AICc", "BIC", "R2", "ICC", "RMSE", "SIGMA")
  if (identical(metrics, "all")) metrics <- known
  if (identical(metrics, "common")) metrics <- setdiff(known, c("AICc", "SIGMA"))
  wanted <- toupper(metrics)
  found <- list(
    AIC = AIC(by), AICc = performance_aicc.fastlmm(model, estimator), BIC = BIC(by), R2 = if ("R2" %in% wanted) suppressWarnings(performance::r2(model)),
    ICC = if ("ICC" %in% wanted) adjusted_icc(model), RMSE = sqrt(mean(residuals(model)^2, na.rm = TRUE)), Sigma = sigma(model)
  )
  found <- found[toupper(names(found)) %in% wanted]
  found <- unlist(lapply(seq_along(found), function(i) if (names(found)[i] == "R2") found_r2(found[[i]]) else found[i]), recursive = FALSE)
  structure(as.data.frame(found), row.names = 1L, class = c("performance_model", "data.frame"))
}

# "ML": of the fit as it is, by the likelihood of the response, which can be compared between fixed effects; of a transformed response by that before, as
# performance has it
log_lik_by <- function(fit, estimator) get_loglikelihood.fastlmm(fit, one_of(estimator, c("REML", "ML")), check_response = TRUE)

found_r2 <- function(r2) {
  if (length(r2) == 1 && is.na(r2)) return(NULL)
  lapply(unclass(r2)[c("R2_conditional", "R2_marginal")], as.numeric)
}

adjusted_icc <- function(fit) {
  random <- sum(row_variances(fit))
  random / (random + mean_residual_variance(fit))
}

# compare_performance() lets through what has a class of a fixed list; its parts find the methods here by the first class.
#' @exportS3Method insight::ellipsis_info fastlmm
#' @noRd
ellipsis_info.fastlmm <- function(objects, ..., only_models = TRUE, verbose = TRUE) {
  fits <- list(objects, ...)
  written <- as.list(substitute(list(objects, ...)))[-1]
  names(fits) <- model_labels(written)
  known <- lapply(fits, function(fit) if (inherits(fit, "fastlmm")) structure(fit, class = c(class(fit), "wblm")) else fit)
  default <- utils::getS3method("ellipsis_info", "default", envir = asNamespace("insight"))
  # by names, which are shown
  eval(as.call(c(list(default), lapply(names(known), as.name), only_models = only_models, verbose = verbose)), known, baseenv())
}

# Standardised effects, one test for each term; of relatives they are correlated, and the test is a guide.
#' @exportS3Method performance::check_normality fastlmm
#' @noRd
check_normality.fastlmm <- function(x, effects = c("fixed", "random"), ...) {
  if (one_of(effects, c("fixed", "random")) == "fixed") return(default_method("performance", "check_normality")(x, ...))
  if (is_gp_fit(x)) abort_fastlmm(
    "no_effects", "effects beside a gp() term are not standardised, and a process is no sample of a distribution; ranef(fit) has the effects"
  )
  value <- visible_effects(x)
  groups <- vapply(names(value), function(label) paste0(x$random[[label]]$name, ": ", coefficient_name(x$random[[label]])), "")
  structure(
    vapply(value, normality_p, 0, USE.NAMES = FALSE), type = "random effects", re_groups = unname(groups), data = x, object_name = deparse1(substitute(x)),
    effects = "random",
    class = c("check_normality", "see_check_normality", "numeric")
  )
}

# As performance has it
normality_p <- function(value) {
  if (length(value) < 3 || all(value == value[1])) return(NA_real_)
  if (length(value) < 5000) stats::shapiro.test(value)$p.value else suppressWarnings(stats::ks.test(value, "pnorm")$p.value)
}

#' @exportS3Method performance::model_performance fastlmm_mlm
#' @noRd
model_performance.fastlmm_mlm <- function(model, ...) abort_one_by_one("model_performance")

# ---- parameters -------------------------------------------------------------------------------------------

#' @exportS3Method parameters::model_parameters fastlmm
#' @noRd
model_parameters.fastlmm <- function(
  model, ci = 0.95, ci_method = NULL, effects = "fixed", bootstrap = FALSE, standardize = NULL, vcov = NULL, vcov_args = NULL, ...
) {
  if (!identical(effects, "fixed")) abort_fastlmm("argument", "model_parameters() of these fits gives the fixed effects only; tidy(fit) also has the variances")
  if (!isFALSE(bootstrap)) abort_fastlmm("argument", "for bootstrap intervals use ci_method = \"boot\", with iterations =; estimates are those of the fit")
  if (!is.null(standardize)) abort_fastlmm("argument", "standardized coefficients are not available: fit scaled variables, such as scale(x)")
  if (is.null(ci_method)) ci_method <- "wald"
  check_estimate_method(model, ci_method)
  V <- asked_vcov(model, vcov, vcov_args, ci_method, list(...))
  default_method("parameters", "model_parameters")(model, ci = ci, ci_method = ci_method, vcov = V, ...)
}

# The covariance that is given in place of the fit's; NULL: none
asked_vcov <- function(fit, vcov, vcov_args = NULL, method = NULL, others = list()) {
  if (isTRUE(others$robust)) abort_vcov("robust = TRUE is")
  if (is.null(vcov) && is.null(vcov_args)) return(NULL)
  if (is.null(vcov) || is.character(vcov)) abort_vcov(if (is.null(vcov)) "vcov_args = is" else paste0("vcov = ", code_text(vcov), " is"))
  if (length(method) == 1 && !tolower(method) %in% estimate_methods[1:3]) abort_fastlmm(
    "vcov", paste0("ci_method = ", quoted(method), " has standard errors of its own: leave vcov = out, or write ci_method = \"wald\"")
  )
  V <- as.matrix(if (is.function(vcov)) vcov(fit) else vcov)
  if (is.numeric(V) && identical(dim(V), dim(fit$vcov)) && all(is.finite(V))) return(V)
  abort_fastlmm(
    "vcov", sprintf("vcov must be a matrix of finite numbers for the %s of the fit, or a function of it that gives one", counted(fit$rank, "coefficient"))
  )
}

abort_vcov <- function(what) {
  abort_fastlmm(
    "vcov",
    paste(
      what,
      paste0(
        "not offered: robust covariances have no meaning of their own for correlated rows; give a matrix, or a function of the fit, as vcov = function(fit) ",
        "V, or residual = ~ g in fastlmm_fit() for residual variances that differ"
      )
    )
  )
}

# Kenward and Roger's standard errors are larger; "residual" has the degrees of freedom of lme4.
# With normal quantiles, those of "wald" and "residual" with the residual's degrees of freedom
estimate_methods <- c("wald", "residual", "normal", "profile", "uniroot", "boot")

# Before parameters is called, which hides the classes of errors
check_estimate_method <- function(fit, method) {
  if (!is.character(method) || length(method) != 1 || !tolower(method) %in% c("profile", "uniroot", "boot")) method_table(fit, method)
}

method_table <- function(fit, method, given = NULL) {
  method <- tolower(if (is.null(method)) "wald" else method)
  V <- asked_vcov(fit, given$vcov, given$vcov_args, method, given)
  if (method %in% c("kr", "kenward", "kenward-roger")) return(test_table(fit, "kenward-roger"))
  if (method == "satterthwaite") return(test_table(fit, method))
  if (!method %in% estimate_methods) abort_fastlmm(
    "method",
    paste0(
      "degrees of freedom and intervals are not available by \"", method,
      "\"; write one of \"wald\", \"residual\", \"profile\", \"boot\", \"satterthwaite\", \"kenward\""
    )
  )
  table <- estimate_table(fit)
  if (!is.null(V)) {
    table[, "Std. Error"] <- sqrt(pmax(diag(V), 0))
    table[, "t value"] <- table[, "Estimate"] / table[, "Std. Error"]
  }
  df <- if (method %in% c("residual", "wald")) df.residual(fit) else Inf
  cbind(table[, 1:2, drop = FALSE], df = df, table[, "t value", drop = FALSE], `Pr(>|t|)` = 2 * pt(-abs(table[, "t value"]), df))
}

#' @exportS3Method parameters::standard_error fastlmm
#' @noRd
standard_error.fastlmm <- function(model, method = NULL, effects = "fixed", ...) {
  if (!identical(effects, "fixed")) abort_fastlmm(
    "argument", "standard_error() of these fits is of the fixed effects; those of random effects are as.data.frame(ranef(fit))"
  )
  table <- method_table(model, method, list(...))
  data.frame(Parameter = rownames(table), SE = unname(table[, "Std. Error"]))
}

#' @exportS3Method parameters::p_value fastlmm
#' @noRd
p_value.fastlmm <- function(model, method = NULL, ...) {
  table <- method_table(model, method, list(...))
  data.frame(Parameter = rownames(table), p = unname(table[, "Pr(>|t|)"]))
}

#' @exportS3Method parameters::degrees_of_freedom fastlmm
#' @noRd
degrees_of_freedom.fastlmm <- function(model, method = NULL, ...) unname(method_table(model, method)[, "df"])

#' @exportS3Method parameters::dof_satterthwaite fastlmm
#' @noRd
dof_satterthwaite.fastlmm <- function(model) {
  table <- method_table(model, "satterthwaite")
  structure(table[, "df"], names = rownames(table))
}

#' @exportS3Method parameters::p_value_kenward fastlmm
#' @noRd
p_value_kenward.fastlmm <- function(model, dof = NULL) p_value.fastlmm(model, "kenward")

#' @exportS3Method parameters::ci fastlmm
#' @noRd
ci.fastlmm <- function(x, ci = 0.95, method = NULL, iterations = 500, ...) {
  if (length(ci) > 1) return(do.call(rbind, lapply(ci, function(one) ci.fastlmm(x, one, method, iterations, ...))))
  if (length(method) == 1 && method %in% c("profile", "uniroot", "boot")) {
    asked_vcov(x, list(...)$vcov, list(...)$vcov_args, method, list(...))
    limits <- if (method == "boot") confint(x, kept_names(x), ci, method = "boot", nsim = iterations) else confint(x, kept_names(x), level = ci)
    return(data.frame(Parameter = kept_names(x), CI = ci, CI_low = unname(limits[, 1]), CI_high = unname(limits[, 2])))
  }
  table <- method_table(x, method, list(...))
  half <- stats::qt((1 + ci) / 2, table[, "df"]) * table[, "Std. Error"]
  data.frame(Parameter = rownames(table), CI = ci, CI_low = unname(table[, "Estimate"] - half), CI_high = unname(table[, "Estimate"] + half))
}

# Rows drawn as if they were independent give intervals that are too narrow.
abort_rows_resampled <- function(what) {
  abort_fastlmm("bootstrap", paste0(what, " draws rows as if they were independent: use bootstrap(fit), whose draws are of the model, and confint() of it"))
}

#' @exportS3Method parameters::bootstrap_model fastlmm
#' @noRd
bootstrap_model.fastlmm <- function(model, ...) abort_rows_resampled("bootstrap_model()")

#' @exportS3Method parameters::bootstrap_parameters fastlmm
#' @noRd
bootstrap_parameters.fastlmm <- function(model, ...) abort_rows_resampled("bootstrap_parameters()")

#' @exportS3Method datawizard::standardize fastlmm
#' @noRd
standardize.fastlmm <- function(x, ...) abort_fastlmm("argument", "standardized coefficients are not offered: fit scaled variables, as scale(x)")
