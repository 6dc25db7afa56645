# Other packages and sparse-factor models: marginal means of all draws by emmeans; what asks for a maximum, a p-value or one response is refused, with what
# has the answer.

# ---- emmeans ----------------------------------------------------------------------------------------------

#' @exportS3Method emmeans::recover_data slamglmm
#' @noRd
recover_data.slamglmm <- function(object, data = NULL, ...) {
  reason <- no_grid_reason(object)
  if (!is.null(reason)) return(paste0("emmeans() of a fit by slamglmm_fit() ", reason, "; predict(fit, newdata, re.form = NA, draws = TRUE) has means of rows"))
  call <- replace(object$call, "formula", list(formula(object)))
  emmeans::recover_data(call, stats::delete.response(terms(object)), object$na.action, data = data, frame = model.frame(object), ...)
}

# Why the means of a grid do not follow from the columns of the formula; NULL: they do
no_grid_reason <- function(fit) {
  if (!is.null(fit$cis)) return("does not take covariates of single responses, cis =")
  alone <- setdiff(colnames(fit$covariates$XF), colnames(fit$X))
  if (length(alone) > 0) return(paste0("needs covariates of the factors in the formula, too: ", first_names(alone)))
  dropped <- setdiff(fit$all_columns, colnames(fit$X))
  if (length(dropped) > 0) return(paste0("needs columns that do not depend on each other: leave ", first_names(dropped), " out of the formula"))
  if (is.matrix(model.offset(model.frame(fit)))) "does not take an offset of its own for each response"
}

# Responses are levels of the factor `rep.meas`, emmeans' name for those of other fits; coefficients response by response, as vcov() has them.
#' @exportS3Method emmeans::emm_basis slamglmm
#' @noRd
emm_basis.slamglmm <- function(object, trms, xlev, grid, ...) {
  frame <- stats::model.frame(trms, grid, na.action = stats::na.pass, xlev = xlev)
  all <- fixef(object, draws = TRUE)
  X <- stats::model.matrix(trms, frame, contrasts.arg = object$contrasts)[, rownames(all), drop = FALSE]
  draws <- structure(t(matrix(all, prod(dim(all)[1:2]))), n.chains = object$plan$chains)
  note <- if (has_links(object)) "Results are on the scale of the linear predictor of each response"
  list(
    X = kronecker(diag(dim(all)[2]), X), bhat = colMeans(draws), nbasis = matrix(NA), V = stats::cov(draws), post.beta = draws,
    dffun = function(k, dfargs) Inf, dfargs = list(), misc = list(ylevs = list(rep.meas = colnames(all)), initMesg = note)
  )
}

# ---- what there is no answer to ---------------------------------------------------------------------------

of_fixed <- "summary(fit)$table and confint(fit) have the coefficients B with their intervals, vcov(fit) their covariance, fixef(fit, draws = TRUE) their draws"
of_parts <- "h2(fit) and variance_parts(fit) have proportions of variance with their intervals"
of_fit <- "loo(fit), waic(fit) and pp_check(fit) are for the fit of the model, plot(fit, \"trace\") for the chains"
of_rows <- "pp_check(fit), and rows of residuals(fit) and augment(fit), show what the model does not fit"
of_means <- "predict(fit, newdata, re.form = NA, interval = \"confidence\") has means, emmeans() those of factors"

#' @exportS3Method performance::r2 slamglmm
#' @noRd
r2.slamglmm <- function(model, ...) abort_sampler("r2", of_parts)

#' @exportS3Method performance::r2_posterior slamglmm
#' @noRd
r2_posterior.slamglmm <- function(model, ...) abort_sampler("r2_bayes", of_parts)

#' @exportS3Method performance::model_performance slamglmm
#' @noRd
model_performance.slamglmm <- function(model, ...) abort_sampler("model_performance", of_fit)

#' @exportS3Method insight::ellipsis_info slamglmm
#' @noRd
ellipsis_info.slamglmm <- function(objects, ...) abort_sampler("compare_performance", of_fit)

#' @exportS3Method performance::check_model slamglmm
#' @noRd
check_model.slamglmm <- function(x, ...) abort_sampler("check_model", of_fit)

#' @exportS3Method performance::check_convergence slamglmm
#' @noRd
check_convergence.slamglmm <- function(x, ...) abort_sampler("check_convergence", "summary(fit) and glance(fit) have rhat and effective sample sizes")

#' @exportS3Method performance::check_singularity slamglmm
#' @noRd
check_singularity.slamglmm <- function(x, ...) abort_sampler("check_singularity", of_parts)

#' @exportS3Method insight::is_mixed_model slamglmm
#' @noRd
is_mixed_model.slamglmm <- function(x) TRUE

# icc() asks for these.
#' @exportS3Method insight::get_variance slamglmm
#' @noRd
get_variance.slamglmm <- function(x, ...) abort_sampler("get_variance", of_parts)

#' @exportS3Method insight::get_parameters slamglmm
#' @noRd
get_parameters.slamglmm <- function(x, ...) abort_sampler("get_parameters", of_fixed)

#' @exportS3Method insight::get_statistic slamglmm
#' @noRd
get_statistic.slamglmm <- function(x, ...) abort_sampler("get_statistic", of_fixed)

#' @exportS3Method insight::get_predicted slamglmm
#' @noRd
get_predicted.slamglmm <- function(x, ...) abort_sampler("get_predicted", of_means)

#' @exportS3Method parameters::model_parameters slamglmm
#' @noRd
model_parameters.slamglmm <- function(model, ...) abort_sampler("model_parameters", of_fixed)

#' @exportS3Method parameters::standard_error slamglmm
#' @noRd
standard_error.slamglmm <- function(model, ...) abort_sampler("standard_error", of_fixed)

#' @exportS3Method parameters::p_value slamglmm
#' @noRd
p_value.slamglmm <- function(model, ...) abort_sampler("p_value", of_fixed)

#' @exportS3Method parameters::ci slamglmm
#' @noRd
ci.slamglmm <- function(x, ...) abort_sampler("ci", of_fixed)

#' @exportS3Method car::Anova slamglmm
#' @noRd
Anova.slamglmm <- function(mod, ...) abort_sampler("Anova", of_fixed)

#' @exportS3Method car::linearHypothesis slamglmm
#' @noRd
linearHypothesis.slamglmm <- function(model, ...) abort_sampler("linearHypothesis", of_fixed)

#' @exportS3Method car::deltaMethod slamglmm
#' @noRd
deltaMethod.slamglmm <- function(object, ...) abort_sampler("deltaMethod", of_fixed)

#' @exportS3Method car::Confint slamglmm
#' @noRd
Confint.slamglmm <- function(object, ...) abort_sampler("Confint", of_fixed)

#' @exportS3Method car::vif slamglmm
#' @noRd
vif.slamglmm <- function(mod, ...) abort_sampler("vif", of_fixed)

#' @exportS3Method lmtest::lrtest slamglmm
#' @noRd
lrtest.slamglmm <- function(object, ...) abort_sampler("lrtest", of_fit)

#' @exportS3Method lmtest::waldtest slamglmm
#' @noRd
waldtest.slamglmm <- function(object, ...) abort_sampler("waldtest", of_fixed)

#' @exportS3Method lmtest::coeftest slamglmm
#' @noRd
coeftest.slamglmm <- function(x, ...) abort_sampler("coeftest", of_fixed)

#' @exportS3Method lmtest::coefci slamglmm
#' @noRd
coefci.slamglmm <- function(x, ...) abort_sampler("coefci", of_fixed)

#' @exportS3Method multcomp::modelparm slamglmm
#' @noRd
modelparm.slamglmm <- function(model, ...) abort_sampler("glht", of_means)

#' @exportS3Method effects::effSources slamglmm
#' @noRd
effSources.slamglmm <- function(mod) abort_sampler("effects", of_means)

#' @exportS3Method datawizard::standardize slamglmm
#' @noRd
standardize.slamglmm <- function(x, ...) abort_sampler("standardize", "responses are scaled in the fit; fit scaled covariates, as scale(x)")

#' @exportS3Method xtable::xtable slamglmm
#' @noRd
xtable.slamglmm <- function(x, ...) abort_sampler("xtable", "xtable(tidy(fit)) is a table of all parameters")

# ---- base R -------------------------------------------------------------------------------------------------

#' @export
#' @noRd
hatvalues.slamglmm <- function(model, ...) abort_sampler("hatvalues", of_rows)

#' @export
#' @noRd
cooks.distance.slamglmm <- function(model, ...) abort_sampler("cooks.distance", of_rows)

#' @export
#' @noRd
influence.slamglmm <- function(model, ...) abort_sampler("influence", of_rows)

#' @export
#' @noRd
rstandard.slamglmm <- function(model, ...) abort_sampler("rstandard", of_rows)

#' @export
#' @noRd
rstudent.slamglmm <- function(model, ...) abort_sampler("rstudent", of_rows)

#' @export
#' @noRd
profile.slamglmm <- function(fitted, ...) abort_sampler("profile", "confint(fit) has intervals of all parameters, as_draws(fit) their draws")

#' @export
#' @noRd
deviance.slamglmm <- function(object, ...) abort_sampler("deviance", of_fit)

#' @export
#' @noRd
df.residual.slamglmm <- function(object, ...) abort_sampler("df.residual", of_fixed)
