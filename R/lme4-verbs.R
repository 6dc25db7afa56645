# Questions that lme4's generics ask. Where our generics are found first, lme4's fits still reach theirs.

#' @rdname fastlmm-accessors
#' @export
family.fastlmm <- function(object, ...) {
  check_arguments(...)
  stats::gaussian()
}

#' @rdname fastlmm-accessors
#' @export
family.fastlmm_mlm <- function(object, ...) family.fastlmm(object, ...)

#' @rdname fastlmm-accessors
#' @export
isREML <- function(x, ...) UseMethod("isREML")

#' @rdname fastlmm-accessors
#' @export
isREML.default <- function(x, ...) by_lme4(x, "isREML", ...)

#' @rdname fastlmm-accessors
#' @export
#' @exportS3Method lme4::isREML fastlmm
isREML.fastlmm <- function(x, ...) {
  check_arguments(...)
  is_reml(x)
}

#' @rdname fastlmm-accessors
#' @export
#' @exportS3Method lme4::isREML fastlmm_mlm
isREML.fastlmm_mlm <- function(x, ...) isREML.fastlmm(x, ...)

#' @rdname fastlmm-accessors
#' @export
isLMM <- function(x, ...) UseMethod("isLMM")

#' @rdname fastlmm-accessors
#' @export
isLMM.default <- function(x, ...) by_lme4(x, "isLMM", ...)

#' @rdname fastlmm-accessors
#' @export
#' @exportS3Method lme4::isLMM fastlmm
isLMM.fastlmm <- function(x, ...) {
  check_arguments(...)
  TRUE
}

#' @rdname fastlmm-accessors
#' @export
#' @exportS3Method lme4::isLMM fastlmm_mlm
isLMM.fastlmm_mlm <- function(x, ...) isLMM.fastlmm(x, ...)

#' @exportS3Method lme4::isGLMM fastlmm
isGLMM.fastlmm <- function(x, ...) FALSE

#' @exportS3Method lme4::isGLMM fastlmm_mlm
isGLMM.fastlmm_mlm <- function(x, ...) FALSE

#' @exportS3Method lme4::isNLMM fastlmm
isNLMM.fastlmm <- function(x, ...) FALSE

#' @exportS3Method lme4::isNLMM fastlmm_mlm
isNLMM.fastlmm_mlm <- function(x, ...) FALSE

#' @rdname fastlmm-accessors
#' @export
ngrps <- function(object, ...) UseMethod("ngrps")

#' @rdname fastlmm-accessors
#' @export
ngrps.default <- function(object, ...) by_lme4(object, "ngrps", ...)

#' @rdname fastlmm-accessors
#' @export
#' @exportS3Method lme4::ngrps fastlmm
ngrps.fastlmm <- function(object, ...) {
  check_arguments(...)
  random <- Filter(function(one) !is.null(one$index), object$random)
  name <- vapply(random, `[[`, "", "name")
  structure(vapply(random, function(one) as.numeric(length(places_with_data(one))), 0), names = name)[!duplicated(name)]
}

#' @rdname fastlmm-accessors
#' @export
#' @exportS3Method lme4::ngrps fastlmm_mlm
ngrps.fastlmm_mlm <- function(object, ...) ngrps.fastlmm(object, ...)

#' @rdname fastlmm-accessors
#' @export
refitML <- function(x, ...) UseMethod("refitML")

#' @rdname fastlmm-accessors
#' @export
refitML.default <- function(x, ...) by_lme4(x, "refitML", ...)

#' @rdname fastlmm-accessors
#' @export
#' @exportS3Method lme4::refitML fastlmm
refitML.fastlmm <- function(x, ...) {
  check_arguments(...)
  if (!is_reml(x)) return(x)
  x$method <- "ML"
  if (!is.null(x$call)) x$call$method <- "ML"
  refit(x)
}

#' @rdname fastlmm-accessors
#' @export
#' @exportS3Method lme4::refitML fastlmm_mlm
refitML.fastlmm_mlm <- function(x, ...) refitML.fastlmm(x, ...)

#' @rdname fastlmm-accessors
#' @export
REMLcrit <- function(object) {
  if (inherits(object, c("fastlmm", "fastlmm_mlm"))) return(-2 * c(unclass(logLik(object, REML = TRUE))))
  by_lme4(object, "REMLcrit")
}

by_lme4 <- function(object, verb, ...) {
  check_lme4(object, verb)
  getExportedValue("lme4", verb)(object, ...)
}
