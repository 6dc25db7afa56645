#' Decompose a kernel once, fit many models
#'
#' `fastlmm_decompose()` computes the eigendecomposition of a kernel; `kernel_eigen()` passes it, or one made elsewhere, to [fastlmm_fit()].
#' Fits with other responses and other fixed effects then cost time proportional to `m^2` for m ids, whereas a fit with the matrix costs `m^3`.
#'
#' The decomposition can be used where every row of the data is a different id, no id of the decomposition is missing, and there are neither
#' weights nor slopes: otherwise the covariance of the data has other eigenvectors. Such a model is still fitted, by a new decomposition, with
#' the message `fastlmm_message_decomposed_anew`.
#'
#' @param K kernel between ids as for [fastlmm_fit()], m x m with dimnames; or a factor by [kernel_lowrank()].
#' @param tolerance relative size of a negative eigenvalue up to which it is set to zero, as in [fastlmm_control()].
#' @param E a decomposition: by `fastlmm_decompose()`, by [eigen()] with row names set on the vectors, or a list of `values` and `vectors`.
#'   There may be fewer vectors than ids: the kernel is then zero in all other directions.
#' @param x a decomposition.
#' @param ... not used; an unknown argument is an error.
#' @return `fastlmm_decompose()`: a list of class `fastlmm_decomposition`, of `values` (length k, descending) and `vectors` (m x k, rows named
#'   by id) with `K = vectors diag(values) vectors'`. `kernel_eigen()`: a kernel for the argument `K` of [fastlmm_fit()], a factor as by
#'   [kernel_lowrank()] whose columns are `vectors sqrt(values)`; `alpha` in the fit holds their coefficients.
#' @section Errors:
#' Those of a kernel; `eigen` for a decomposition whose values and vectors do not match, whose vectors are not orthonormal or whose values are
#' negative.
#' @seealso [fastlmm_fit()], [kernel_lowrank()]
#' @examples
#' set.seed(1)
#' ids <- paste0("i", 1:100)
#' markers <- matrix(rnorm(100 * 300), 100, dimnames = list(ids, NULL))
#' E <- fastlmm_decompose(tcrossprod(markers) / 300)
#' data <- data.frame(id = ids, x = rnorm(100), z = rnorm(100))
#' data$y <- data$x + drop(markers %*% rnorm(300, sd = 0.05)) + rnorm(100)
#' K <- list(id = kernel_eigen(E))
#' fastlmm_fit(y ~ x + (1 | id), data, K)$h2
#' fastlmm_fit(y ~ x + z + (1 | id), data, K)$h2
#' @export
fastlmm_decompose <- function(K, tolerance = NULL) {
  if (is_lowrank(K)) return(decompose_factor(K$W))
  K <- kernel_matrix_of(K)
  check_kernel_square(K)
  ids <- agreed_names(K)
  if (is.null(ids)) abort_fastlmm("kernel_names", "K has no dimnames, and ids are matched by name: set rownames(K) to the ids")
  check_ids_unique(ids)
  K <- check_kernel(K, ids, fastlmm_control(tolerance = tolerance))$kernel
  announce_decomposition(nrow(K))
  found <- core_eigen((K + t(K)) / 2, ids)
  new_decomposition(found$values, found$vectors, ids)
}

decompose_factor <- function(W) {
  found <- core_eigen(new_lowrank(W), rownames(W))
  kept <- found$values > max(dim(W)) * .Machine$double.eps * found$values[1]
  new_decomposition(found$values[kept], found$vectors[, kept, drop = FALSE], rownames(W))
}

# By the core, which hears interrupts: eigenvalues, the largest first, and vectors
core_eigen <- function(kernel, ids) {
  each <- seq_along(ids)
  effect <- rust_effect(list(z = rep(1, length(ids)), group = each, index = each, kernel = kernel), "K")
  call_rust(ffi_kernel_eigen, effect, control_threads(fastlmm_control()))
}

new_decomposition <- function(values, vectors, ids) {
  rownames(vectors) <- ids
  structure(list(values = values, vectors = vectors), class = "fastlmm_decomposition")
}

#' @rdname fastlmm_decompose
#' @export
print.fastlmm_decomposition <- function(x, ...) {
  check_arguments(...)
  cat(sprintf(
    "Decomposition of a kernel of %d ids: %s, from %s to %s\n", nrow(x$vectors), counted(length(x$values), "eigenvalue"),
    format(min(x$values), digits = 3), format(max(x$values), digits = 3)
  ))
  invisible(x)
}

#' @rdname fastlmm_decompose
#' @export
kernel_eigen <- function(E) {
  check_decomposition(E)
  kept <- E$values > length(E$values) * .Machine$double.eps * max(E$values)
  W <- sweep(E$vectors[, kept, drop = FALSE], 2, sqrt(E$values[kept]), "*")
  colnames(W) <- NULL
  kernel <- kernel_lowrank(W)
  structure(kernel, class = c("fastlmm_eigen", class(kernel)))
}

is_eigen <- function(K) inherits(K, "fastlmm_eigen")

# Where the eigenvectors of the kernel are those of the covariance of the data
fits_decomposition <- function(model) {
  random <- model$random[[1]]
  one_to_one <- length(random$group) == length(random$ids) && length(random$index) == length(random$ids)
  one_to_one && all(random$z == 1) && (is.null(model$weights) || all(model$weights == 1))
}

inform_decomposed_anew <- function(model) {
  if (!is_eigen(model$random[[1]]$kernel) || fits_decomposition(model)) return(invisible())
  inform_fastlmm("decomposed_anew", paste(
    "the decomposition of K cannot be reused, since ids are repeated or missing in the data or there are weights or slopes: the kernel is decomposed again"
  ))
}

# ---- checks -------------------------------------------------------------------------------------------

check_decomposition <- function(E) {
  if (!is.list(E) || !is.numeric(E$values) || !is.matrix(E$vectors) || !is.numeric(E$vectors)) {
    abort_eigen("must be a list of numeric values and a matrix of vectors, as eigen() and fastlmm_decompose() give it")
  }
  if (length(E$values) == 0 || length(E$values) != ncol(E$vectors)) {
    abort_eigen(sprintf("has %s and %s; there must be one value for each vector", counted(length(E$values), "value"), counted(ncol(E$vectors), "vector")))
  }
  if (!all(is.finite(E$values)) || !all(is.finite(E$vectors))) abort_eigen("has values or vectors that are not finite")
  if (is.null(rownames(E$vectors))) abort_eigen("has vectors without row names, and ids are matched by name: set rownames(E$vectors) to the ids")
  check_eigenvalues(E$values)
  check_orthonormal(E$vectors)
}

check_eigenvalues <- function(values) {
  largest <- max(values)
  if (largest <= 0) abort_eigen("has no positive eigenvalue: there is no random effect; leave it out and use lm()")
  if (min(values) < -1e-6 * largest) {
    abort_eigen(
      paste0(
        "has a negative eigenvalue, ", format(min(values), digits = 4), ", so it is not that of a covariance; the largest is ", format(largest, digits = 4)
      )
    )
  }
  if (min(values) < -10 * length(values) * .Machine$double.eps * largest) inform_set_to_zero(min(values), largest)
}

# U'U x = x for vectors without structure: all of U'U would cost as much as the decomposition.
check_orthonormal <- function(vectors) {
  k <- seq_len(ncol(vectors))
  x <- cbind(sin(1.7 * k^2 + 1), cos(0.9 * k^2), 1)
  error <- max(abs(crossprod(vectors, vectors %*% x) - x)) / sqrt(ncol(vectors))
  if (error > 1e-8) {
    abort_eigen(
      paste0("has vectors that are not orthonormal (by ", format(error, digits = 2), "); give those of eigen(symmetric = TRUE), with length one each")
    )
  }
}

abort_eigen <- function(message) abort_fastlmm("eigen", paste("the decomposition", message))
