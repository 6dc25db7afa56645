#' A kernel given by a factor
#'
#' `K = W W'` without forming it: markers of individuals, features of documents, basis functions. With fewer columns than ids, the fit costs
#' time proportional to `m k^2` and memory proportional to `m k` for m ids and k columns, where the matrix K would cost `m^3` and `m^2`.
#'
#' @param W factor, m x k: a row for each id, named by id; a numeric matrix, a `Matrix` or a data frame of numbers. A sparse `Matrix` is kept
#'   sparse while it has fewer columns than ids and is well conditioned: the fit then costs time proportional to the sum of the squared numbers
#'   of entries in its rows. Scale and centre its columns as the model requires; dividing W by `sqrt(k)`, for example, multiplies `sigma2` by
#'   k.
#' @param x a kernel by `kernel_lowrank()`.
#' @param ... not used; an unknown argument is an error.
#' @return An object of class `fastlmm_lowrank`, for the argument `K` of [fastlmm_fit()] and of [predict.fastlmm()]. In a fit,
#'   `fit$random$id$alpha` holds the coefficients of the columns of W: the predicted effects are `W %*% alpha`.
#' @section Errors:
#' `kernel_class`, `kernel_shape`, `kernel_ids`, `kernel_names`, `kernel_nonfinite`, `kernel_zero`, as for a matrix.
#' @seealso [fastlmm_fit()]
#' @examples
#' set.seed(1)
#' ids <- paste0("i", 1:200)
#' W <- matrix(rnorm(200 * 10), 200, dimnames = list(ids, NULL))
#' data <- data.frame(id = ids[1:150], y = drop(W[1:150, ] %*% rnorm(10)) + rnorm(150))
#' fit <- fastlmm_fit(y ~ 1 + (1 | id), data, K = list(id = kernel_lowrank(W)))
#' fit
#' fit$random$id$alpha
#' predict(fit, data.frame(id = "i151"), se.fit = TRUE)
#'
#' # an id that W did not have
#' new <- matrix(rnorm(10), 1, dimnames = list("new", NULL))
#' predict(fit, data.frame(id = "new"), K = kernel_lowrank(new))
#' @export
kernel_lowrank <- function(W) {
  W <- factor_of(W)
  if (nrow(W) == 0 || ncol(W) == 0) {
    abort_fastlmm("kernel_shape", sprintf("W must have a row for each id and at least one column; it is %d x %d", nrow(W), ncol(W)))
  }
  check_factor_values(W)
  if (is.null(rownames(W))) abort_factor_names()
  if (is.matrix(W)) W <- plain_matrix(W)
  rownames(W) <- full_numbers(rownames(W))
  check_ids_unique(rownames(W), "W")
  new_lowrank(W)
}

new_lowrank <- function(W) structure(list(W = W, mean_diag = factor_mean_diag(W)), class = "fastlmm_lowrank")

# A base matrix; a sparse one stays so, by columns.
factor_of <- function(W) {
  if (inherits(W, "sparseMatrix")) return(sparse_columns(W))
  if (is.data.frame(W)) W <- kernel_of_frame(W) else if (isS4(W)) W <- kernel_of_s4(W, "W")
  if (!is.matrix(W) || !(is.numeric(W) || is.logical(W))) abort_factor_class(W)
  W
}

sparse_columns <- function(W) {
  loadNamespace("Matrix")
  check_valid(W, "W", "kernel_class")
  methods::as(methods::as(methods::as(W, "dMatrix"), "generalMatrix"), "CsparseMatrix")
}

is_sparse <- function(W) !is.matrix(W)

#' @rdname kernel_lowrank
#' @export
print.fastlmm_lowrank <- function(x, ...) {
  check_arguments(...)
  cat(sprintf("Kernel W W' of %d ids, W %d x %d, mean diag %s\n", nrow(x$W), nrow(x$W), ncol(x$W), format(x$mean_diag, digits = 3)))
  invisible(x)
}

is_lowrank <- function(K) inherits(K, "fastlmm_lowrank")

# By columns: W^2 would be another W.
factor_mean_diag <- function(W) {
  if (is_sparse(W)) sum(W@x^2) / nrow(W) else sum(vapply(seq_len(ncol(W)), function(j) sum(W[, j]^2), 0)) / nrow(W)
}

lowrank_random <- function(K, term, design, part = NULL) {
  ids <- rownames(K$W)
  if (is.null(term$group)) ids <- row_kernel_ids(ids, nrow(K$W), term, design, "W")
  if (!identical(ids, rownames(K$W))) rownames(K$W) <- ids
  check_ids_known(term$id, ids, term, colnames(K$W))
  check_groups(new_random(term, ids = ids, kernel = K, mean_diag = K$mean_diag, part = part))
}

# ---- any kernel, as Rust and the methods need it ----------------------------------------------------------------------

kernel_block <- function(random, rows, columns) {
  K <- random$kernel
  if (is.null(K)) return(outer(rows, columns, "==") + 0)
  if (is_lowrank(K)) return(factor_block(K$W[rows, , drop = FALSE], K$W[columns, , drop = FALSE]))
  if (is_precision(K)) return(precision_block(K, rows, columns))
  K[rows, columns, drop = FALSE]
}

# tcrossprod() of base knows no sparse matrices before R 4.4
factor_block <- function(A, B) if (is_sparse(A)) as.matrix(A %*% Matrix::t(B)) else tcrossprod(A, B)

kernel_diagonal <- function(random) {
  K <- random$kernel
  if (is.null(K)) rep(1, length(random$ids)) else if (is_lowrank(K)) unname(Matrix::rowSums(K$W^2)) else if (is_precision(K)) unname(K$diagonal) else diag(K)
}

# ---- prediction ---------------------------------------------------------------------------------------

# The random effect with further rows of W, so that their ids are known.
extend_factor <- function(random, K) {
  if (!is_lowrank(random$kernel)) abort_cross_kernel("K is a factor, but the kernel of the fit is a matrix: give the kernel between new and old ids")
  old <- random$kernel$W
  check_same_factor(K$W, old)
  new <- !rownames(K$W) %in% random$ids
  random$kernel$W <- rbind(old, K$W[new, , drop = FALSE])
  random$ids <- c(random$ids, rownames(K$W)[new])
  random
}

check_same_factor <- function(new, old) {
  if (ncol(new) != ncol(old) || !identical(colnames(new), colnames(old))) {
    abort_cross_kernel(
      sprintf("the new factor has other columns (%d) than that of the fit (%d); they must be the same, in the same order", ncol(new), ncol(old))
    )
  }
  shared <- intersect(rownames(new), rownames(old))
  difference <- abs(new[shared, , drop = FALSE] - old[shared, , drop = FALSE])
  if (length(difference) > 0 && max(difference) > 1e-6 * max(abs(old))) abort_other_kernel(difference)
}

# Through the columns of W. Ids that it lacks have effect 0 and the mean prior variance.
factor_variance <- function(fit, random, X, z, row) {
  given <- sufficient(fit, ncol(X) > 0)
  W <- random$kernel$W
  unknown <- is.na(row)
  w <- z * as.matrix(W[ifelse(unknown, 1, row), , drop = FALSE])
  w[unknown, ] <- 0
  fitted <- rust_fitted(fit, kernel_values(random), kernel_form(random), random$index, given)
  known <- call_rust(ffi_variance, fitted, list(K = w, prior = rep(0, length(z)), X = X), control_threads(fit$control))
  known + unknown * z^2 * fit$sigma2 * random$mean_diag
}

# ---- checks -------------------------------------------------------------------------------------------

check_factor_values <- function(W) {
  if (is_sparse(W)) return(check_sparse_values(W))
  # by columns: a logical matrix of the size of W would be another half of it
  finite <- vapply(seq_len(ncol(W)), function(j) all(is.finite(W[, j])), NA)
  if (all(finite) && any(W[, 1] != 0)) return(invisible())
  bad <- which(!is.finite(W), arr.ind = TRUE)
  if (nrow(bad) > 0) {
    row <- if (is.null(rownames(W))) bad[1, 1] else quoted(rownames(W)[bad[1, 1]])
    abort_fastlmm("kernel_nonfinite", sprintf(
      "W has %s that %s not finite, the first in row %s, column %d; compute them or leave these ids out",
      counted(nrow(bad), "value"), is_are(nrow(bad)), row, bad[1, 2]
    ))
  }
  if (all(W == 0)) abort_fastlmm("kernel_zero", "W is zero everywhere: there is no random effect; leave it out and use lm()")
}

check_sparse_values <- function(W) {
  bad <- which(!is.finite(W@x))
  if (length(bad) > 0) {
    row <- W@i[bad[1]] + 1
    abort_fastlmm("kernel_nonfinite", sprintf(
      "W has %s that %s not finite, the first in row %s, column %d; compute them or leave these ids out", counted(length(bad), "value"),
      is_are(length(bad)), if (is.null(rownames(W))) row else quoted(rownames(W)[row]), findInterval(bad[1] - 1, W@p)
    ))
  }
  if (all(W@x == 0)) abort_fastlmm("kernel_zero", "W is zero everywhere: there is no random effect; leave it out and use lm()")
}

abort_factor_class <- function(W) {
  what <- if (is.matrix(W)) paste("a matrix of type", typeof(W)) else paste("of class", class(W)[1])
  abort_fastlmm("kernel_class", paste0("W must be a numeric matrix, a Matrix or a data frame of numbers, with ids as row names; it is ", what))
}

abort_factor_names <- function() {
  abort_fastlmm("kernel_names", "W has no row names, and ids are matched by name, never by position: set rownames(W) to the ids")
}
