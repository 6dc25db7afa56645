#' Remove columns from the kernel of a fit
#'
#' Updates a fit with a kernel `W W'` to the same model without some columns of W, with delta re-estimated. A marker should not be tested
#' against a kernel that contains it (proximal contamination), nor a group of markers against a kernel that contains the group. The
#' decomposition of the fit serves all sets: removing c columns costs time proportional to `c k^2` for k columns of W, whatever the number of
#' rows.
#'
#' Removing one column leaves the rotated kernel diagonal plus a rank-one matrix; it is diagonalised again through its secular equation. Where
#' a set leaves less than a millionth of the kernel's size, or where W has at least as many columns as there are ids, the model is fitted from
#' scratch.
#'
#' @param fit a fit by [fastlmm_fit()] with one kernel made by [kernel_lowrank()].
#' @param columns columns of W to remove, by name or number; or a list of such sets, one for each result.
#' @return A fit by [fastlmm_fit()], equal to one with `kernel_lowrank(W[, -columns])`; for a list of sets, a list of fits with its names.
#' @section Errors:
#' `exclude` for a fit without a factor or with several kernels, for columns that W does not have and for a set that leaves no column.
#' @references
#' Listgarten, J. and others (2012) Improved linear mixed models for genome-wide association studies. Nature Methods 9, 525-526.
#' @seealso [kernel_lowrank()]
#' @examples
#' set.seed(1)
#' ids <- paste0("i", 1:300)
#' W <- matrix(rnorm(300 * 40), 300, dimnames = list(ids, paste0("m", 1:40)))
#' data <- data.frame(id = ids, y = drop(W %*% rnorm(40, sd = 0.2)) + rnorm(300))
#' fit <- fastlmm_fit(y ~ 1 + (1 | id), data, kernel_lowrank(W))
#' halves <- fastlmm_exclude(fit, list(first = 1:20, second = 21:40))
#' vapply(halves, function(fit) fit$h2, 0)
#'
#' # m1 tested against a kernel without it
#' update(fastlmm_exclude(fit, "m1"), . ~ . + W[, "m1"])
#' @export
fastlmm_exclude <- function(fit, columns) {
  check_arguments()
  W <- check_excludable(fit)$kernel$W
  sets <- lapply(if (is.list(columns)) columns else list(columns), excluded_columns, W = W)
  model <- stored_model(fit)
  found <- call_rust(ffi_exclude, rust_model(model), sets)
  fits <- Map(function(found, set) new_excluded(model, found, W[, -set, drop = FALSE]), found, sets)
  if (is.list(columns)) structure(fits, names = names(columns)) else fits[[1]]
}

new_excluded <- function(model, found, W) {
  kernel <- new_lowrank(W)
  model$random[[1]]$kernel <- kernel
  model$random[[1]]$mean_diag <- kernel$mean_diag
  model$call$relmat <- NULL
  model$call$K <- kernel
  found$alpha <- list(found$alpha)
  report(new_fastlmm(model, found))
}

# `asked`: what the user wrote, which removes columns; `instead`: what to do where the kernel has none
check_excludable <- function(fit, asked = "fastlmm_exclude()", instead = NULL) {
  abort <- function(message) abort_fastlmm("exclude", paste(asked, message))
  if (!inherits(fit, "fastlmm")) abort(paste("needs a fit by fastlmm_fit(), not an object of class", class(fit)[1]))
  random <- fit$random
  if (is_sparse_fit(fit) && !is_of_levels(fit) || has_levels(fit)) abort("needs a fit with one residual variance that is estimated")
  if (length(random) > 1) abort("needs a fit with one kernel; this one has several")
  if (!is_lowrank(random[[1]]$kernel) || is_eigen(random[[1]]$kernel)) {
    abort(paste0("needs a fit with a factor, K = kernel_lowrank(W): the columns are those of W", instead))
  }
  random[[1]]
}

excluded_columns <- function(set, W) {
  set <- read_names(set, "columns")
  at <- if (is.character(set)) match(set, colnames(W)) else if (is.logical(set)) which(set) else match(set, seq_len(ncol(W)))
  if (anyNA(at)) abort_exclude(paste0("was asked for columns that W does not have: ", first_names(set[is.na(at)]), "; it has ", counted(ncol(W), "column")))
  at <- unique(at)
  if (length(at) == 0) abort_exclude("needs at least one column to remove")
  if (length(at) == ncol(W)) abort_exclude("cannot remove all columns: there would be no random effect; use lm()")
  at
}

abort_exclude <- function(message) abort_fastlmm("exclude", paste("fastlmm_exclude()", message))
