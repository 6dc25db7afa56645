# Tests of fixed effects by car, multcomp and lmtest, and the effects package.

#' @exportS3Method car::Anova fastlmm
#' @noRd
Anova.fastlmm <- function(mod, type = c("II", "III", 2, 3), test.statistic = "Chisq", vcov. = NULL, ...) {
  if (!identical(test.statistic, "Chisq")) {
    number <- if (as.character(type[1]) %in% c("III", "3")) 3 else 2
    abort_anova(sprintf("Anova() of these fits gives Wald chi-squared tests; for F tests use anova(fit, type = %d, ddf = \"kenward-roger\")", number))
  }
  default_method("car", "Anova")(
    flat_fit(mod), type = as.character(type[1]), test.statistic = "Chisq", vcov. = wanted_vcov(mod, vcov.), singular.ok = TRUE, ...
  )
}

wanted_vcov <- function(fit, vcov.) {
  if (is.null(vcov.)) return(vcov(fit, complete = FALSE))
  if (is.function(vcov.)) vcov.(fit) else vcov.
}

#' @exportS3Method car::Anova fastlmm_mlm
#' @noRd
Anova.fastlmm_mlm <- function(mod, ...) abort_one_by_one("Anova")

#' @exportS3Method car::linearHypothesis fastlmm
#' @noRd
linearHypothesis.fastlmm <- function(model, hypothesis.matrix, rhs = NULL, test = "Chisq", vcov. = NULL, ...) {
  if (!identical(test, "Chisq")) abort_anova(
    "linearHypothesis() of these fits gives Wald chi-squared tests; for F tests use contest(fit, L, ddf = \"kenward-roger\")"
  )
  given <- wanted_vcov(model, vcov.)
  default_method("car", "linearHypothesis")(
    flat_fit(model), hypothesis.matrix, rhs = rhs, test = "Chisq", vcov. = given, suppress.vcov.msg = is.null(vcov.), ...
  )
}

#' @exportS3Method car::linearHypothesis fastlmm_mlm
#' @noRd
linearHypothesis.fastlmm_mlm <- function(model, ...) abort_one_by_one("linearHypothesis")

#' @exportS3Method car::deltaMethod fastlmm
#' @noRd
deltaMethod.fastlmm <- function(object, g., vcov. = NULL, ...) car::deltaMethod(fixef(object, add.dropped = FALSE), g., vcov. = wanted_vcov(object, vcov.), ...)

#' @exportS3Method car::deltaMethod fastlmm_mlm
#' @noRd
deltaMethod.fastlmm_mlm <- function(object, ...) abort_one_by_one("deltaMethod")

#' @exportS3Method car::vif fastlmm
#' @noRd
vif.fastlmm <- function(mod, ...) {
  assign <- attr(fixed_design(mod), "assign")[mod$kept]
  inside <- assign > 0
  labels <- attr(terms(mod), "term.labels")[unique(assign[inside])]
  if (length(labels) < 2) abort_fastlmm("vif", "variance inflation needs at least two terms of fixed effects")
  generalized_vif(cov2cor(mod$vcov[inside, inside, drop = FALSE]), assign[inside], labels)
}

# Fox and Monette (1992): det(R_t) det(R_others) / det(R), with R the correlations of the coefficients
generalized_vif <- function(R, assign, labels) {
  one <- function(term) exp(log_det(R[assign == term, assign == term, drop = FALSE]) + log_det(R[assign != term, assign != term, drop = FALSE]) - log_det(R))
  value <- vapply(unique(assign), one, 0)
  df <- as.numeric(table(factor(assign, unique(assign))))
  if (all(df == 1)) return(structure(value, names = labels))
  cbind(GVIF = structure(value, names = labels), Df = df, `GVIF^(1/(2*Df))` = value^(1 / (2 * df)))
}

#' @exportS3Method car::vif fastlmm_mlm
#' @noRd
vif.fastlmm_mlm <- function(mod, ...) abort_one_by_one("vif")

#' @exportS3Method car::Confint fastlmm
#' @noRd
Confint.fastlmm <- function(object, estimate = TRUE, level = 0.95, vcov. = NULL, ...) {
  default_method("car", "Confint")(flat_fit(object), estimate = estimate, level = level, vcov. = wanted_vcov(object, vcov.), ...)
}

#' @exportS3Method car::Confint fastlmm_mlm
#' @noRd
Confint.fastlmm_mlm <- function(object, ...) abort_one_by_one("Confint")

# The picture of lm() takes vectors by row, which a fit has; of influence() by groups there is plot().
#' @exportS3Method car::influencePlot fastlmm
#' @noRd
influencePlot.fastlmm <- function(model, ...) {
  check_projection(model)
  utils::getS3method("influencePlot", "lm", envir = asNamespace("car"))(flat_fit(model), ...)
}

#' @exportS3Method car::influencePlot fastlmm_mlm
#' @noRd
influencePlot.fastlmm_mlm <- function(model, ...) abort_one_by_one("influencePlot")

#' @exportS3Method car::outlierTest fastlmm
#' @noRd
outlierTest.fastlmm <- function(model, ...) {
  check_projection(model)
  utils::getS3method("outlierTest", "lm", envir = asNamespace("car"))(structure(flat_fit(model), class = c("fastlmm_student", "fastlmm_flat")), ...)
}

# One more than those of t of a studentised residual
#' @export
#' @noRd
df.residual.fastlmm_student <- function(object, ...) object$fit$nobs - object$fit$rank

#' @exportS3Method car::Boot fastlmm
#' @noRd
Boot.fastlmm <- function(object, ...) abort_fastlmm(
  "argument", "Boot() is not offered here: bootstrap(fit, statistic, R) draws and fits again, confint(fit, method = \"boot\") has its intervals"
)

#' @exportS3Method car::infIndexPlot fastlmm
#' @noRd
infIndexPlot.fastlmm <- function(model, ...) abort_pictures("infIndexPlot")

#' @exportS3Method car::infIndexPlot influence.fastlmm
#' @noRd
infIndexPlot.influence.fastlmm <- function(model, ...) abort_pictures("infIndexPlot")

#' @exportS3Method car::influencePlot influence.fastlmm
#' @noRd
influencePlot.influence.fastlmm <- function(model, ...) abort_pictures("influencePlot")

abort_pictures <- function(verb) abort_fastlmm(
  "influence",
  paste0(
    verb, "() is not offered here: plot(influence(fit, groups = )) draws Cook's distances of rows or ids, car::influencePlot(fit) residuals against leverage"
  )
)

# ---- multcomp -------------------------------------------------------------------------------------------

#' @exportS3Method multcomp::modelparm fastlmm
#' @noRd
modelparm.fastlmm <- function(model, coef. = NULL, vcov. = NULL, df = NULL, ...) {
  other <- names(list(...))
  if (length(intersect(other, c("ddf", "lmer.df", "mode"))) > 0) {
    abort_ddf(
      paste0(
        "glht() has one number of degrees of freedom for all of its rows, df = 17 say; tests with those of each contrast are ",
        "emmeans::as.glht(emmeans::emmeans(fit, ...)) and contest(fit, L, joint = FALSE, ddf = \"kenward-roger\")"
      )
    )
  }
  if (...length() > 0) abort_unused(other, ...length(), c("linfct", "alternative", "rhs", "coef.", "vcov.", "df"), user_call())
  beta <- if (is.null(coef.)) fixef(model) else if (is.function(coef.)) coef.(model) else coef.
  default_method("multcomp", "modelparm")(model, coef. = beta, vcov. = wanted_vcov(model, vcov.), df = df, ...)
}

#' @exportS3Method multcomp::modelparm fastlmm_mlm
#' @noRd
modelparm.fastlmm_mlm <- function(model, ...) abort_one_by_one("glht")

# ---- lmtest -----------------------------------------------------------------------------------------------

#' @exportS3Method lmtest::lrtest fastlmm
#' @noRd
lrtest.fastlmm <- function(object, ..., name = NULL) {
  fits <- likelihood_fits(object, list(...))
  if (is.null(name)) name <- function(x) deparse1(formula(x))
  do.call(default_method("lmtest", "lrtest"), c(unname(fits), list(name = name)), quote = TRUE)
}

# Fits to compare by their likelihoods, as anova() takes them; what is no fit changes the one before it, as lmtest has it.
likelihood_fits <- function(object, others) {
  if (length(others) == 0) others <- list(. ~ 1)
  fits <- list(object)
  for (other in others) fits <- c(fits, list(if (inherits(other, c("fastlmm", "lm"))) other else changed_fit(fits[[length(fits)]], other)))
  names(fits) <- paste("model", seq_along(fits))
  check_comparable(fits)
  same_observations(by_ml(fits))
}

# Terms by number or label are taken out, a formula is an update; random terms stay.
changed_fit <- function(fit, change) {
  labels <- attr(terms(fit), "term.labels")
  if (is.numeric(change)) change <- labels[change]
  if (inherits(change, "formula") && identical(deparse1(change), ". ~ 1")) change <- labels
  if (is.character(change)) change <- stats::as.formula(paste(". ~ .", paste("-", change, collapse = " ")))
  update(fit, change)
}

#' @exportS3Method lmtest::lrtest fastlmm_mlm
#' @noRd
lrtest.fastlmm_mlm <- function(object, ...) abort_one_by_one("lrtest")

#' @exportS3Method lmtest::waldtest fastlmm
#' @noRd
waldtest.fastlmm <- function(object, ...) abort_anova(
  "waldtest() is not available for these fits: car::Anova(fit) and car::linearHypothesis(fit, ...) are Wald tests of the same hypotheses"
)

#' @exportS3Method lmtest::coeftest fastlmm
#' @noRd
coeftest.fastlmm <- function(x, vcov. = NULL, df = NULL, ...) {
  default_method("lmtest", "coeftest")(flat_fit(x), vcov. = wanted_vcov(x, vcov.), df = if (is.null(df)) Inf else df, ...)
}

#' @exportS3Method lmtest::coefci fastlmm
#' @noRd
coefci.fastlmm <- function(x, parm = NULL, level = 0.95, vcov. = NULL, df = NULL, ...) {
  default_method("lmtest", "coefci")(flat_fit(x), parm = parm, level = level, vcov. = wanted_vcov(x, vcov.), df = if (is.null(df)) Inf else df, ...)
}

# ---- effects, xtable --------------------------------------------------------------------------------------

#' @exportS3Method effects::effSources fastlmm
#' @noRd
effSources.fastlmm <- function(mod) {
  list(
    type = "glm", call = call_of_frame(mod), formula = formula(mod, fixed.only = TRUE), family = stats::gaussian(), link = stats::gaussian(),
    coefficients = fixef(mod, add.dropped = FALSE),
    vcov = vcov(mod, complete = FALSE)
  )
}

# With the data of the fit itself, where its frame holds the variables
call_of_frame <- function(fit) {
  call <- fit$call
  if (!all(all.vars(terms(fit)) %in% names(fit$frame))) return(call)
  call$data <- fit$frame
  call$subset <- NULL
  call$offset <- NULL
  call
}

#' @exportS3Method effects::effSources fastlmm_mlm
#' @noRd
effSources.fastlmm_mlm <- function(mod) abort_one_by_one("effects")

#' @exportS3Method xtable::xtable fastlmm
#' @noRd
xtable.fastlmm <- function(x, caption = NULL, label = NULL, align = NULL, digits = NULL, display = NULL, auto = FALSE, df = "none", ...) {
  df <- read_ddf(df)
  table <- as.data.frame((if (df == "none") summary(x) else summary(x, df = df))$coefficients)
  p <- names(table) %in% "Pr(>|t|)"
  if (any(p) && is.null(digits) && is.null(display) && !auto) {
    digits <- c(0, ifelse(p, 3, 2))
    display <- c("s", ifelse(p, "g", "f"))
  }
  xtable::xtable(table, caption = caption, label = label, align = align, digits = digits, display = display, auto = auto, ...)
}
