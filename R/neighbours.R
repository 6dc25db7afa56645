# What other packages of R ask of a fit. Their methods are registered when their packages are loaded; none is needed to install this one.

#' Fits in other packages
#'
#' The functions of these packages take fits by [fastlmm_fit()]. Each package is looked for only when it is used.
#'
#' | package | what works | what to know |
#' |---|---|---|
#' | `emmeans` | `emmeans()`, `contrast()`, `joint_tests()`, `emtrends()` | `ddf = "kenward-roger"` (the default, as for `lmer`), `"satterthwaite"` or `"asymptotic"` |
#' | `multcomp` | `glht()`, with `mcp()` too | normal quantiles, as for `lmer`; `df =` for t quantiles |
#' | `car` | `Anova()` of type II and III, `linearHypothesis()`, `deltaMethod()`, `vif()` | Wald chi-squared tests; F tests are [anova.fastlmm()]'s and [contest()]'s |
#' | `effects` | `Effect()`, `allEffects()`, `predictorEffects()` | of the fixed effects |
#' | `ggeffects` | `ggpredict()`, `ggemmeans()`, `ggeffect()` | of the fixed effects; `insight::get_predicted()` of other data too, unless `include_random = TRUE` |
#' | `insight` | `find_*()`, `get_*()`, `model_info()`, `is_mixed_model()`, `n_grouplevels()` | a `gp()` term counts among the fixed ones, as smooth terms do there |
#' | `performance` | `r2()`, `icc()`, `model_performance()`, `check_singularity()`, `check_convergence()`, `check_collinearity()`; `check_model()` and `compare_performance()` know a fixed list of classes | the variance of an effect with a kernel is that of the rows, `sigma2` times the mean diagonal of `Z K Z'` |
#' | `parameters` | `model_parameters()`, `standard_error()`, `p_value()`, `ci()` | `ci_method = "kenward"` or `"satterthwaite"` where [summary.fastlmm()] has them, else `"wald"` |
#' | `lmtest` | `lrtest()`, `coeftest()`, `coefci()` | `lrtest()` makes REML fits again by maximum likelihood, with a message, since restricted likelihoods of different fixed effects are not comparable |
#' | `bbmle` | `AICtab()`, `BICtab()`, `AICctab()`, `ICtab()` | of fits with the same fixed effects, or by maximum likelihood |
#' | `sjPlot` | `plot_model()` of coefficients, `type = "pred"`, `"int"`, `"resid"`, `"diag"`; `tab_model()` | `type = "re"` and `"std"` know a fixed list of classes |
#' | `MuMIn` | `AICc()`, `dredge()` of fits by maximum likelihood | not in Debian, so that what they ask is tested (`logLik()`, `nobs()`, `update()`, `getCall()`), not they |
#' | `boot`, `RLRsim` | `boot.ci()` of [bootstrap()]; [test_variance()] is `exactRLRT()` | |
#' | `posterior`, `bayesplot`, `loo`, `coda` | `as_draws()`, `pp_check()`, `loo()`, `waic()`, `as.mcmc()` of fits by [slamglmm_fit()] | `mcmc_*()` of `bayesplot` take `as_draws(fit)` |
#' | `xtable`, `knitr` | `xtable(fit)`; `kable(tidy(fit))` | the table of `summary(fit)` |
#' | `nlme`, `lme4` | their generics `fixef()`, `ranef()`, `VarCorr()`, `ngrps()`, `isREML()`, `refit()`, `getME()` | |
#'
#' Degrees of freedom are those of [summary.fastlmm()]: of fits without [gp()] and `residual =`, Kenward and Roger's by REML. Of other fits `emmeans()` gives normal quantiles and says why
#' (message `fastlmm_message_ddf`).
#'
#' `pbkrtest`, which `lmer` fits ask for Kenward and Roger's numbers, leaves prior weights out of the residual variances: with weights its degrees of freedom and standard errors are others than those here, which
#' have them.
#'
#' `ggpredict()` writes "adjusted for" coordinates of a [gp()] term, too; its predictions are those of the fixed effects, at a process of 0.
#'
#' Fits of many responses are refused (error `fastlmm_error_many_responses`): [extract_fit()] gives one of them.
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
