# What base R and lme4 ask of a sparse-factor model: parts of the model as of other fits; of likelihoods, which a sampler has not, the reason.

#' @rdname slamglmm_methods
#' @export
formula.slamglmm <- function(x, fixed.only = FALSE, random.only = FALSE, env = NULL, ...) formula.fastlmm(x, fixed.only, random.only, ...)

#' @rdname slamglmm_methods
#' @export
terms.slamglmm <- function(x, fixed.only = !random.only, random.only = FALSE, ...) terms.fastlmm(x, fixed.only, random.only, ...)

#' @rdname slamglmm_methods
#' @export
model.frame.slamglmm <- function(formula, fixed.only = FALSE, data = NULL, ...) model.frame.fastlmm(formula, fixed.only, data, ...)

#' @rdname slamglmm_methods
#' @export
model.matrix.slamglmm <- function(object, type = c("fixed", "random"), data = NULL, ...) model.matrix.fastlmm(object, type, data, ...)

#' @rdname slamglmm_methods
#' @export
family.slamglmm <- function(object, ...) family.fastlmm(object, ...)

#' @rdname slamglmm_methods
#' @export
#' @exportS3Method lme4::ngrps slamglmm
ngrps.slamglmm <- function(object, ...) ngrps.fastlmm(object, ...)

# ---- what a sampler has not -------------------------------------------------------------------------------

abort_sampler <- function(verb, instead) {
  abort_fastlmm("sampler", paste0(verb, "() is not offered for a fit by slamglmm_fit(), which has draws instead of a maximum; ", instead))
}

#' @rdname slamglmm_methods
#' @export
logLik.slamglmm <- function(object, ...) abort_sampler("logLik", "pp_check(fit) says how the model fits")

#' @rdname slamglmm_methods
#' @export
extractAIC.slamglmm <- function(fit, ...) abort_sampler("extractAIC", "pp_check(fit) says how the model fits")

#' @rdname slamglmm_methods
#' @export
anova.slamglmm <- function(object, ...) abort_sampler("anova", "pp_check(fit) says how the model fits")

#' @rdname slamglmm_methods
#' @export
#' @exportS3Method lme4::refit slamglmm
refit.slamglmm <- function(object, ...) abort_sampler("refit", "call slamglmm_fit() with the new responses")
