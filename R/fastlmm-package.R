#' @keywords internal
"_PACKAGE"

#' @useDynLib fastlmm, .registration = TRUE
#' @import stats
#' @importFrom utils head
#' @importFrom nlme fixef ranef VarCorr
#' @importFrom generics refit tidy glance augment
NULL

#' @export
nlme::fixef

#' @export
nlme::ranef

#' @export
nlme::VarCorr

#' @export
generics::refit

#' @export
generics::tidy

#' @export
generics::glance

#' @export
generics::augment
