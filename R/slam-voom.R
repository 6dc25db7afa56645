# Log counts with a precision each, as limma makes them: objects of limma on the left side, and voom itself.

#' Log counts with precision weights, by voom
#'
#' `slam_voom()` uses [limma::voom()] to turn counts of genes into log2 counts per million with a precision for each,
#' `y_ij ~ N(eta_ij, 1 / w_ij)` in addition to the residual of the model, for the left side of [slamglmm_fit()]. An `EList` of limma can be
#' used there (and in [slam_join()]) directly: its `E` and `weights`, which are genes x samples, become samples x genes.
#'
#' The precisions describe the sampling variation of counts about the value of a gene; the residual of the model is variation beyond that. voom
#' estimates the trend of standard deviations by a linear model with `design`, one row for each sample, which should contain the fixed effects
#' of the fit. It uses all samples that it is given: leave samples out of `counts` rather than by `subset`.
#' @param counts counts: a matrix or data frame, genes x samples as in limma or samples x genes, or a `DGEList` of edgeR. `design` shows which
#'   dimension the samples are: by its number of rows, and by row names where counts are square.
#' @param design the design matrix for voom, a row for each sample; without it a column of ones, and counts must be genes x samples.
#' @param ... arguments of [limma::voom()], such as `lib.size` or `normalize.method`.
#' @return A matrix of class `slam_response`, samples x genes. Errors: `orientation` if neither dimension, or either one, may be the samples,
#'   or if an `EList` does not have a column for each row of the data, in their order; `counts` for values that are not counts, with the names
#'   of their genes; `not_installed` without limma.
#' @examples
#' set.seed(1)
#' data <- data.frame(line = rep(paste0("l", 1:20), 2), treated = rep(0:1, each = 20))
#' counts <- matrix(rpois(40 * 30, 50 * exp(rnorm(40 * 30, sd = 0.3))), 30, dimnames = list(paste0("gene", 1:30), NULL))
#' if (requireNamespace("limma", quietly = TRUE)) {
#'   logs <- slam_voom(counts, model.matrix(~ treated, data))
#'   fit <- slamglmm_fit(logs ~ treated + (1 | line), data, n_factors = 2, chains = 1, iter = 100, seed = 1)
#'   print(head(h2(fit)))
#' }
#' @export
slam_voom <- function(counts, design = NULL, ...) {
  check_needed(sys.function(), environment(), user_call())
  if (!requireNamespace("limma", quietly = TRUE)) abort_fastlmm("not_installed", "slam_voom() needs the package limma, of Bioconductor")
  if (!is.null(design) && (!is.matrix(design) || !is.numeric(design))) abort_fastlmm(
    "design", paste0("design must be a matrix of numbers with a row for each sample, as of model.matrix(), not ", code_text(design))
  )
  if (!inherits(counts, "DGEList")) counts <- genes_by_samples(as_count_matrix(counts), design)
  as_slam_response(limma::voom(counts, design, ...), "counts")
}

as_count_matrix <- function(counts) {
  if (is.data.frame(counts)) counts <- as.matrix(counts)
  if (!is.matrix(counts) || !is.numeric(counts)) abort_fastlmm(
    "counts", paste("counts must be a matrix of numbers, genes x samples, not of class", class(counts)[1])
  )
  counts
}

# As limma has them
genes_by_samples <- function(counts, design) {
  samples <- nrow(design)
  of <- function(side) {
    named <- !is.null(rownames(design)) && !is.null(dimnames(counts)[[side]])
    dim(counts)[side] == samples && !(nrow(counts) == ncol(counts) && named && !setequal(rownames(design), dimnames(counts)[[side]]))
  }
  fits <- if (is.null(design)) c(FALSE, TRUE) else c(of(1), of(2))
  size <- sprintf("counts are %d x %d", nrow(counts), ncol(counts))
  if (all(fits)) abort_fastlmm(
    "orientation", paste0(size, " and design has as many rows: give row names of design, and of counts, to show which dimension has the samples")
  )
  if (!any(fits)) abort_fastlmm("orientation", sprintf("%s and design has %d rows: neither their rows nor their columns are its samples", size, samples))
  if (fits[1]) counts <- t(counts)
  if (!is.null(design) && !is.null(rownames(design)) && setequal(rownames(design), colnames(counts))) check_same_order(
    colnames(counts), rownames(design), "counts", "design"
  )
  if (is.null(rownames(counts))) rownames(counts) <- paste0("gene", seq_len(nrow(counts)))
  bad <- rowSums(!is.finite(counts) | counts < 0) > 0
  if (any(bad)) abort_fastlmm(
    "counts", paste0("counts must be numbers that are not negative or missing; they are not of ", first_names(rownames(counts)[bad])),
    genes = rownames(counts)[bad]
  )
  counts
}

check_same_order <- function(names, others, what, of) {
  if (!identical(names, others)) abort_fastlmm(
    "orientation",
    paste0(
      "samples of ", what, " are in another order than the rows of ", of, ": ", quoted(names[names != others][1]), " is where ",
      quoted(others[names != others][1]), " should be"
    )
  )
}

# ---- objects of limma ------------------------------------------------------------------------------------------

#' @export
as_slam_response.EList <- function(x, name) {
  E <- x[["E"]]
  genes <- if (is.null(rownames(E))) paste0("gene", seq_len(nrow(E))) else rownames(E)
  Y <- matrix(t(E), ncol(E), dimnames = list(colnames(E), genes))
  weights <- x[["weights"]]
  if (is.null(weights)) return(new_slam_response(Y))
  if (!identical(dim(weights), dim(E))) abort_fastlmm("weights", sprintf("weights of %s must have the size of its E, %d x %d", quoted(name), nrow(E), ncol(E)))
  if (any(!is.finite(weights) | weights < 0)) abort_fastlmm("weights", paste("weights must be finite numbers that are not negative, in", quoted(name)))
  new_slam_response(Y, "weights", list(weights = unname(t(weights))))
}

# An EList for the rows of the data: a column of it each
check_samples <- function(x, name, data) {
  what <- quoted(deparse1(name))
  if (inherits(x, "slam_response") && is.data.frame(data) && has_row_names(data)) check_row_order(rownames(x), rownames(data), what)
  if (!inherits(x, "EList") || is.null(data)) return(invisible())
  E <- x[["E"]]
  if (ncol(E) != nrow(data)) {
    turned <- if (nrow(E) == nrow(data)) ", as it has rows: an EList is genes x samples, transpose its E and weights" else ""
    abort_fastlmm("orientation", sprintf("%s is %d genes x %d samples, and the data have %d rows%s", what, nrow(E), ncol(E), nrow(data), turned))
  }
  check_row_order(colnames(E), rownames(data), what)
}

# Names that are partly those of rows of the data are of these rows.
check_row_order <- function(names, rows, what) {
  shared <- names %in% rows
  if (!any(shared) || anyDuplicated(names)) return(invisible())
  if (!all(shared)) {
    abort_fastlmm(
      "orientation",
      paste0(
        what, " has samples that no row of the data is named by, beside others that are: ", first_names(names[!shared]),
        "; name rows of the data by all samples, or take these names away"
      )
    )
  }
  if (length(names) == length(rows)) check_same_order(names, rows, what, "the data")
}
