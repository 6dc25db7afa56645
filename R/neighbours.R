# What other packages of R ask of a fit. Their methods are registered when their packages are loaded; none is needed to install this one.

#' Use fits with other packages
#'
#' The functions of these packages accept fits by [fastlmm_fit()]. A package is loaded only when one of its functions is used.
#'
#' | package | what works | notes |
#' |---|---|---|
#' | `emmeans` | `emmeans()`, `contrast()`, `joint_tests()`, `emtrends()` | `ddf = "kenward-roger"` (the default, as for `lmer`), `"satterthwaite"` or `"asymptotic"`; `lmer.df =` and `mode =` mean the same |
#' | `multcomp` | `glht()`, also with `mcp()` | normal quantiles, as for `lmer`; `df =` for t quantiles; `emmeans::as.glht()` of `emmeans()` has degrees of freedom |
#' | `car` | `Anova()` of types II and III, `linearHypothesis()`, `deltaMethod()`, `Confint()`, `vif()`, `influencePlot()`, `outlierTest()` | Wald chi-squared tests; for F tests see [anova.fastlmm()] and [contest()], for influence of groups `plot(influence(fit, groups = ))` |
#' | `effects` | `Effect()`, `allEffects()`, `predictorEffects()` | of the fixed effects |
#' | `ggeffects` | `ggpredict()`, `ggemmeans()`, `ggeffect()` | of the fixed effects; `ggpredict(type = "random")` adds the effects of the groups named in `terms`, with prediction intervals; `ggemmeans()` has Kenward and Roger's degrees of freedom, for `lmer` it has normal quantiles; `insight::get_predicted()` includes random effects where the data have the groups, unless `include_random = FALSE` |
#' | `insight` | `find_*()`, `get_*()`, `model_info()`, `is_mixed_model()`, `n_grouplevels()` | a `gp()` term counts as fixed, as smooth terms do there |
#' | `performance` | `r2()`, `icc()`, `model_performance()`, `check_singularity()`, `check_convergence()`, `check_collinearity()`, `check_normality()`, `compare_performance()` (with a fit by [fastlmm_fit()] first) | the variance of an effect with a kernel is the mean over rows, `sigma2` times the mean diagonal of `Z K Z'`; `check_model()` accepts only a fixed list of classes; intervals by `icc(ci =)` and `r2(ci =)` draw rows as if they were independent: use `bootstrap(fit, function(f) performance::icc(f)$ICC_adjusted)` |
#' | `parameters` | `model_parameters()`, `standard_error()`, `p_value()`, `ci()` | `ci_method = "kenward"` or `"satterthwaite"` where [summary.fastlmm()] has them, otherwise `"wald"`; `compare_parameters()` accepts only a fixed list of classes; `vcov =` a matrix or a function of the fit |
#' | `lmtest` | `lrtest()`, `coeftest()`, `coefci()` | `lrtest()` refits REML fits by maximum likelihood, with a message, since restricted likelihoods of different fixed effects are not comparable |
#' | `bbmle` | `AICtab()`, `BICtab()`, `AICctab()`, `ICtab()` | for fits with the same fixed effects, or by maximum likelihood |
#' | `sjPlot` | `plot_model()` of coefficients, `type = "pred"`, `"int"`, `"resid"`, `"diag"`; `tab_model()` | `type = "re"` and `"std"` accept only a fixed list of classes |
#' | `MuMIn` | `AICc()`, `dredge()` of fits by maximum likelihood | not tested directly; the functions that it calls are (`logLik()`, `nobs()`, `update()`, `getCall()`) |
#' | `boot`, `RLRsim` | `boot.ci()` of [bootstrap()]; [test_variance()] corresponds to `exactRLRT()` | |
#' | `posterior`, `bayesplot`, `loo`, `coda` | `as_draws()`, `pp_check()`, `loo()`, `waic()`, `as.mcmc()` of fits by [slamglmm_fit()]; so does `emmeans()`, with the responses as levels of a factor `rep.meas` | `mcmc_*()` of `bayesplot` take `as_draws(fit)`; the other packages are refused for these fits (error `sampler`) |
#' | `xtable`, `knitr` | `xtable(fit)`, `xtable(scan)`; `kable(tidy(fit))`, `kable(format(scan))` | `kable()` itself rounds small p-values to 0 |
#' | `nlme`, `lme4` | their generics `fixef()`, `ranef()`, `VarCorr()`, `ngrps()`, `isREML()`, `refit()`, `getME()` | |
#'
#' Degrees of freedom are those of [summary.fastlmm()], available for fits without [gp()] and `residual =`; Kenward-Roger needs a REML fit. For
#' other fits `emmeans()` uses normal quantiles and says why (message `fastlmm_message_ddf`).
#'
#' `pbkrtest`, which computes the Kenward-Roger results for `lmer` fits, ignores prior weights in the residual variances. With weights its
#' degrees of freedom and standard errors therefore differ from those here, which account for them.
#'
#' Fits of many responses are refused (error `fastlmm_error_many_responses`): use [extract_fit()] for one of them.
#' @examples
#' fit <- fastlmm_fit(distance ~ age * Sex + (1 | Subject), nlme::Orthodont)
#' if (requireNamespace("emmeans", quietly = TRUE)) emmeans::emmeans(fit, ~ Sex | age)
#' if (requireNamespace("car", quietly = TRUE)) car::Anova(fit)
#' if (requireNamespace("performance", quietly = TRUE)) performance::r2(fit)
#' @name fastlmm-neighbours
NULL

# For functions that want the coefficients as a vector: coef() of a fit is lme4's, tables by group.
flat_fit <- function(fit) structure(list(fit = fit), class = "fastlmm_flat")

#' @export
#' @noRd
coef.fastlmm_flat <- function(object, ...) object$fit$coefficients

#' @export
#' @noRd
vcov.fastlmm_flat <- function(object, complete = TRUE, ...) vcov(object$fit, complete = complete)

#' @export
#' @noRd
model.matrix.fastlmm_flat <- function(object, ...) model.matrix(object$fit)

#' @export
#' @noRd
model.frame.fastlmm_flat <- function(formula, ...) model.frame(formula$fit, fixed.only = TRUE)

#' @export
#' @noRd
terms.fastlmm_flat <- function(x, ...) terms(x$fit)

#' @export
#' @noRd
formula.fastlmm_flat <- function(x, ...) formula(x$fit, fixed.only = TRUE)

#' @export
#' @noRd
hatvalues.fastlmm_flat <- function(model, ...) hatvalues(model$fit)

#' @export
#' @noRd
rstudent.fastlmm_flat <- function(model, ...) rstudent(model$fit)

#' @export
#' @noRd
cooks.distance.fastlmm_flat <- function(model, ...) cooks.distance(model$fit)

#' @export
#' @noRd
residuals.fastlmm_flat <- function(object, ...) residuals(object$fit)

#' @export
#' @noRd
df.residual.fastlmm_flat <- function(object, ...) df.residual(object$fit)

#' @export
#' @noRd
nobs.fastlmm_flat <- function(object, ...) nobs(object$fit)

#' @export
#' @noRd
logLik.fastlmm_flat <- function(object, ...) logLik(object$fit)

# A method of another package for what it does not know
default_method <- function(package, verb) utils::getS3method(verb, "default", envir = asNamespace(package))

# ---- degrees of freedom ---------------------------------------------------------------------------------

# Why a fit has no degrees of freedom; NULL: it has them
no_ddf_reason <- function(fit, df) {
  refused <- tryCatch(check_ddf(fit, df), fastlmm_error_ddf = function(e) conditionMessage(e))
  if (is.null(refused) && fit$status != "ok") return(paste0("degrees of freedom are not defined, the fit is ", quoted(fit$status)))
  refused
}

# The degrees of freedom that are asked for, or a message and none
known_ddf <- function(fit, df) {
  if (df == "asymptotic") return(df)
  reason <- no_ddf_reason(fit, df)
  if (is.null(reason)) return(df)
  inform_fastlmm("ddf", paste0(sub(";.*", "", reason), ": normal quantiles are used"))
  "asymptotic"
}
