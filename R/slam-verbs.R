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

#' @rdname slamglmm_methods
#' @export
#' @exportS3Method lme4::getME slamglmm
getME.slamglmm <- function(object, name, ...) {
  check_arguments(...)
  name <- if (identical(name, "ALL")) names(slam_components) else check_slam_component(name)
  if (length(name) > 1) return(sapply(name, getME, object = object, simplify = FALSE))
  slam_components[[name]](object)
}

# As of other fits, and what is of many responses: matrices
slam_components <- c(fit_components[c("X", "Z", "Zt", "K", "offset", "Ztlist", "Gp", "n_rtrms", "n_rfacs", "flist", "cnms", "q")], list(
  y = function(fit) fit$Y + own_offset(fit),
  fixef = function(fit) fixef(fit),
  beta = function(fit) unname(fixef(fit)),
  mu = function(fit) unname(fitted(fit)),
  n = function(fit) nrow(fit$Y),
  N = function(fit) nrow(fit$Y),
  p = function(fit) length(fit$all_columns),
  rank = function(fit) ncol(fit$X)
))

check_slam_component <- function(name) {
  unknown <- setdiff(as.character(name), names(slam_components))
  if (length(unknown) == 0 && length(name) > 0) return(as.character(name))
  abort_fastlmm("component", paste0(
    "a fit by slamglmm_fit() has no component ", first_names(unknown),
    ": it has draws instead of estimates, summarised by VarCorr(fit), h2(fit), sigma(fit) and ranef(fit); its components are ",
    toString(names(slam_components)), ", or \"ALL\""
  ), unknown = unknown)
}

# ---- what a sampler has not -------------------------------------------------------------------------------

abort_sampler <- function(verb, instead) {
  abort_fastlmm("sampler", paste0(verb, "() is not available for a fit by slamglmm_fit(), which has draws instead of a maximum; ", instead))
}

#' @rdname slamglmm_methods
#' @export
logLik.slamglmm <- function(object, ...) abort_sampler("logLik", "see pp_check(fit) for the fit of the model")

#' @rdname slamglmm_methods
#' @export
extractAIC.slamglmm <- function(fit, ...) abort_sampler("extractAIC", "see pp_check(fit) for the fit of the model")

#' @rdname slamglmm_methods
#' @export
anova.slamglmm <- function(object, ...) abort_sampler("anova", "see pp_check(fit) for the fit of the model")

#' @rdname slamglmm_methods
#' @export
#' @exportS3Method lme4::refit slamglmm
refit.slamglmm <- function(object, ...) abort_sampler("refit", "call slamglmm_fit() with the new responses")
