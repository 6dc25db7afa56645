#' Settings of a fit
#'
#' @param tolerance relative size of a negative eigenvalue of K, against the largest, up to which it is set to zero: the fit is that of the nearest positive semidefinite matrix, and a message tells the size where it
#'   is more than rounding, `10 n eps` for an n x n kernel. Beyond it K is an error. `NULL`: `1e-6`, which takes kernels from files of ten digits (GEMMA's `.cXX.txt`) and in single precision (GCTA's `.grm.bin`).
#' @param threads number of threads. `NULL`: `getOption("fastlmm.threads")`, and where that is not set 2, or 1 on a machine with one core. More than there are
#'   cores are taken as the cores, with the message `threads`.
#'   The fit is the same for any number, to rounding.
#' @param verbose say how many rows were left out for missing values, and how many ids K has beyond those of the data? Default
#'   `getOption("fastlmm.verbose", FALSE)`. Messages about the fit itself, as that it lies on a boundary, always come.
#' @param effects keep the coefficients of the random effects of many responses, m numbers a response for m ids with data (a factor kernel: for its
#'   columns)? They are what `ranef()`, `fitted()` and `predict()` of such a fit read; without them it is smaller. Fits of one response keep them.
#' @return A list of class `fastlmm_control`.
#'
#' Errors: `fastlmm_error_control` for a tolerance that is not one number from 0 to 1 or a verbose or effects that is not `TRUE` or `FALSE`,
#' `fastlmm_error_threads` for threads that are not a whole number of at least 1, or more than any machine has (65535).
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
