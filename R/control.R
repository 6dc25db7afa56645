#' Settings of a fit
#'
#' @param tolerance largest relative size, compared with the largest eigenvalue of K, of a negative eigenvalue that is set to zero: the fit is
#'   that of the nearest positive semidefinite matrix, and a message gives the size where it is more than rounding error, `10 n eps` for an n x
#'   n kernel. A more negative eigenvalue is an error. `NULL`: `1e-6`, which accepts kernels read from files with ten digits (GEMMA's
#'   `.cXX.txt`) or in single precision (GCTA's `.grm.bin`).
#' @param threads number of threads. `NULL`: `getOption("fastlmm.threads")` or, where that is not set, 2 (1 on a machine with one core). A
#'   number above the number of cores is reduced to it, with the message `threads`. The fit does not depend on the number of threads beyond
#'   rounding.
#' @param verbose report how many rows were left out for missing values, and how many ids of K have no data? Default
#'   `getOption("fastlmm.verbose", FALSE)`. Messages about the fit itself, such as that it lies on a boundary, are always given.
#' @param effects keep the coefficients of the random effects of a fit of many responses? These are m numbers per response for m ids with data
#'   (for a factor kernel, one per column). `ranef()`, `fitted()` and `predict()` of such a fit need them; without them the fit is smaller.
#'   Fits of one response always keep them.
#' @return A list of class `fastlmm_control`.
#' @section Errors:
#' `fastlmm_error_control` for a tolerance that is not a single number from 0 to 1, or a `verbose` or `effects` that is not `TRUE` or `FALSE`;
#' `fastlmm_error_threads` for a `threads` that is not a whole number from 1 to 65535.
#' @seealso [fastlmm_fit()]
#' @examples
#' fastlmm_control(threads = 1)
#' @export
fastlmm_control <- function(tolerance = NULL, threads = NULL, verbose = getOption("fastlmm.verbose", FALSE), effects = TRUE) {
  if (!is.null(tolerance)) check_tolerance(tolerance)
  if (!is.null(threads)) threads <- check_threads(threads)
  verbose <- read_flag(verbose, "verbose", "control")
  effects <- read_flag(effects, "effects", "control")
  structure(list(tolerance = tolerance, threads = threads, verbose = verbose, effects = effects), class = "fastlmm_control")
}

check_tolerance <- function(tolerance) {
  if (is.numeric(tolerance) && length(tolerance) == 1 && isTRUE(tolerance >= 0) && tolerance < 1) return(invisible())
  abort_control(paste("tolerance must be one number from 0 to 1, not", deparse1(tolerance)))
}

# A plain list will do; one that was changed by hand is read as anew.
check_control <- function(control) {
  unknown <- setdiff(names(control), names(formals(fastlmm_control)))
  if (!is.list(control) || length(unknown) > 0 || length(names(control)) < length(control)) abort_unknown_control(control, unknown)
  do.call(fastlmm_control, unclass(control), quote = TRUE)
}

abort_unknown_control <- function(control, unknown) {
  found <- if (is.list(control)) toString(c(unknown, if (is.null(names(control))) "entries without names")) else class(control)[1]
  abort_control(paste0("control must come from fastlmm_control(), with tolerance, threads, verbose and effects; found ", found))
}

abort_control <- function(message) abort_fastlmm("control", message)

# A control may come from another machine.
control_threads <- function(control) {
  if (is.null(control$threads)) return(fastlmm_threads())
  if (!is_count(control$threads)) check_threads(control$threads)
  min(control$threads, cores())
}

control_tolerance <- function(control) if (is.null(control$tolerance)) NA_real_ else control$tolerance
