# Degrees of freedom of tests of fixed effects, from the small rotated object: nothing of the size of the data is formed.

# Estimate, Std. Error, df, t value, Pr(>|t|): a row for each kept coefficient
test_table <- function(fit, df) {
  check_ddf(fit)
  found <- if (fit$status != "ok" || length(fit$kept) == 0) {
    list(vcov = fit$vcov, df = rep(NA_real_, length(fit$kept)))
  } else if (fit$optimum$boundary != "none") {
    # one variance is left: the test of lm()
    list(vcov = fit$vcov, df = fit$nobs - fit$rank)
  } else {
    call_rust(ffi_ddf, fit$rotated, df, unname(fit$sigma2), fit$sigma2_e)
  }
  estimate <- fit$coefficients[fit$kept]
  se <- sqrt(pmax(diag(found$vcov), 0))
  t <- estimate / se
  cbind(Estimate = estimate, `Std. Error` = se, df = found$df, `t value` = t, `Pr(>|t|)` = 2 * pt(-abs(t), found$df))
}

check_ddf <- function(fit) {
  reason <- if (is_gp_fit(fit)) {
    "are not known for fits with gp(), whose length scale is estimated too"
  } else if (length(fit$random) > 1 || is_sparse_fit(fit) || has_levels(fit)) {
    "are offered for one random effect and one residual variance that is estimated"
  } else if (!is_reml(fit)) {
    "need a REML fit"
  }
  if (!is.null(reason)) abort_fastlmm("ddf", paste0("degrees of freedom ", reason, "; summary(fit) gives t values without them"))
}
