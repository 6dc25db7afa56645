#' A kernel given by its precision matrix
#'
#' For covariances with a sparse inverse, `K = P^-1`: pedigrees and trees ([kernel_pedigree()] and [kernel_tree()] make these), neighbourhood
#' graphs and lattices (Gaussian Markov random fields, conditional autoregressions), matrices from other packages.
#'
#' Up to 2000 ids the kernel itself is formed, and everything works as with a matrix. Beyond that, one response is fitted by penalised least
#' squares with P as it is: all ids have an effect, including those without data. Scans and exact tests of variances need the spectrum of the
#' kernel and so take the kernel between the ids with data, `K = as.matrix(K, ids = )`. Parts of [kernel_mix()], many responses and
#' [slamglmm_fit()] do this automatically, with a message; the other ids are then predicted by `predict(fit, newdata, K = )` with the same
#' kernel.
#'
#' `P` may be dense, too: `kernel_precision(P)` of an inverse that another program has written. Given as K itself it would be taken for the
#' covariance, a valid fit of another model. A warning of class `inverse_kernel` says so of a K that looks like the inverse of a relationship
#' matrix (most entries zero, most others negative, small row sums); a dense inverse of markers or distances does not look different from a
#' covariance, and nothing warns of it. Rounding of P is magnified in K by its condition number: of an inverse with six digits, as in a text
#' file, and a condition of 1e4, two digits of K are left, and its diagonal shows them: `diag(as.matrix(kernel_precision(P)))` should be what
#' is known of the variances, 1 + F in a pedigree.
#'
#' @param P precision matrix: symmetric, positive definite, with ids as row names or column names; a `Matrix` or a numeric matrix.
#' @param x a kernel by its precision.
#' @param ids ids to return, all by default.
#' @param ... not used; an unknown argument is an error.
#' @return `kernel_precision()`: an object of class `fastlmm_precision`, for the argument `K` of [fastlmm_fit()] and [slamglmm_fit()] and for
#'   [kernel_mix()]; its element `P` is the sparse matrix.
#'
#'   `as.matrix()`: the dense kernel between `ids`, with names.
#' @section Errors:
#' `kernel_class`, `kernel_shape`, `kernel_ids`, `kernel_names`, `kernel_nonfinite`, `kernel_asymmetric`, `kernel_not_positive`. A matrix that
#' is only semidefinite, such as that of an intrinsic autoregression, is refused: add a small constant to its diagonal.
#' @seealso [kernel_pedigree()], [kernel_tree()], [kernel_lowrank()]
#' @examples
#' # areas in a row, each beside the next: a conditional autoregression
#' areas <- paste0("a", 1:20)
#' W <- abs(outer(1:20, 1:20, "-")) == 1
#' P <- diag(rowSums(W)) - 0.9 * W
#' dimnames(P) <- list(areas, areas)
#' K <- kernel_precision(P)
#' K
#' round(as.matrix(K, ids = areas[1:4]), 2)
#' @export
kernel_precision <- function(P) {
  P <- precision_matrix(P)
  check_precision(P)
  new_precision(P, precision_diagonal(P))
}

# `diagonal`: of the kernel. `class`, ...: of what it was made from
new_precision <- function(P, diagonal, class = NULL, ...) {
  structure(list(P = P, diagonal = stats::setNames(diagonal, rownames(P)), ...), class = c(class, "fastlmm_precision"))
}

is_precision <- function(K) inherits(K, "fastlmm_precision")

# Sparse, with the ids on both sides
precision_matrix <- function(P, what = "P") {
  if (is.data.frame(P)) P <- kernel_of_frame(P)
  if (!isS4(P) && !(is.matrix(P) && is.numeric(P))) abort_precision("kernel_class", paste("must be a numeric matrix or a Matrix; it is of class", class(P)[1]))
  loadNamespace("Matrix")
  if (isS4(P)) check_valid(P, what, "kernel_class")
  if (length(dim(P)) != 2 || nrow(P) != ncol(P) || nrow(P) == 0) abort_precision(
    "kernel_shape", sprintf("must be square; it is %s", paste(dim(P), collapse = " x ")), what
  )
  ids <- full_numbers(agreed_names(P))
  if (is.null(ids)) abort_precision("kernel_names", "has no row names, and ids are matched by name, never by position", what)
  check_ids_unique(ids, what)
  P <- sparse_columns(methods::as(if (isS4(P)) P else plain_matrix(P), "CsparseMatrix"))
  dimnames(P) <- list(ids, ids)
  P
}

check_precision <- function(P, what = "P") {
  bad <- !is.finite(P@x)
  if (any(bad)) abort_precision("kernel_nonfinite", paste("has", counted(sum(bad), "value"), "that", is_are(sum(bad)), "not finite"), what)
  off <- max(abs((P - Matrix::t(P))@x), 0)
  if (off > 1e-8 * max(abs(P@x), 0)) abort_precision("kernel_asymmetric", paste("is not symmetric: entries differ by up to", format(off, digits = 3)), what)
}

# Of the kernel, by the factor of P
precision_diagonal <- function(P) {
  pivot <- smallest_pivot(P)
  if (pivot$ratio < 1e-10) abort_not_definite(rownames(P)[pivot$at], pivot$ratio)
  diagonal <- call_rust(ffi_precision_diagonal, lower_triangle(P))$diagonal
  if (length(diagonal) == 0) abort_not_definite(rownames(P)[pivot$at], pivot$ratio)
  diagonal
}

# What an id has of its own once the ids before it are known, of what it has: 0 or less where P is not positive definite
smallest_pivot <- function(P) {
  own <- Matrix::diag(P)
  if (any(own <= 0)) return(list(ratio = min(own), at = which.min(own)))
  # warns where a pivot is not positive, and stops there
  factor <- tryCatch(suppressWarnings(Matrix::Cholesky(Matrix::forceSymmetric(P), perm = TRUE, LDL = TRUE, super = FALSE)), error = function(error) NULL)
  if (is.null(factor)) return(list(ratio = 0, at = 1L))
  ratio <- factor@x[factor@p[seq_len(nrow(P))] + 1] / own[factor@perm + 1]
  list(ratio = min(ratio), at = factor@perm[which.min(ratio)] + 1)
}

abort_not_definite <- function(id, ratio) {
  abort_precision("kernel_not_positive", paste0(
    "is not positive definite: the smallest pivot, of ", quoted(id), ", is ", format(ratio, digits = 3),
    " of its diagonal entry; add a small constant to the diagonal, or leave out ids that others determine"
  ))
}

abort_precision <- function(class, why, what = "P") abort_fastlmm(class, paste(what, why))

# The lower triangle as Rust reads it
lower_triangle <- function(P) sparse_values(methods::as(Matrix::tril(P), "generalMatrix"))

#' @rdname kernel_precision
#' @export
as.matrix.fastlmm_precision <- function(x, ids = rownames(x$P), ...) {
  check_arguments(...)
  ids <- as.character(ids)
  unknown <- setdiff(ids, rownames(x$P))
  if (length(unknown) > 0) abort_fastlmm("ids_missing", paste0("the kernel lacks ", counted(length(unknown), "id"), ": ", first_names(unknown)), ids = unknown)
  at <- match(ids, rownames(x$P))
  K <- precision_block(x, at, at)
  K <- (K + t(K)) / 2
  dimnames(K) <- list(ids, ids)
  K
}

# K between some ids, by solves
precision_block <- function(K, rows, columns) {
  check_matrix_memory(nrow(K$P), length(columns), sprintf("the kernel between all ids and %s", counted(length(columns), "of them", "of them")))
  unit <- Matrix::sparseMatrix(i = columns, j = seq_along(columns), x = 1, dims = c(nrow(K$P), length(columns)))
  unname(as.matrix(Matrix::solve(precision_factor(K), unit)[rows, , drop = FALSE]))
}

precision_factor <- function(K) Matrix::Cholesky(Matrix::forceSymmetric(K$P), LDL = FALSE)

# K alpha
precision_times <- function(K, alpha) as.numeric(Matrix::solve(precision_factor(K), alpha))

# From independent numbers effects with the covariance K, P = L L' in another order of the ids
precision_root <- function(K, u) {
  factor <- precision_factor(K)
  unname(as.matrix(Matrix::solve(factor, Matrix::solve(factor, u, system = "Lt"), system = "Pt")))
}

#' @export
dim.fastlmm_precision <- function(x) dim(x$P)

#' @export
dimnames.fastlmm_precision <- function(x) dimnames(x$P)

#' @rdname kernel_precision
#' @export
print.fastlmm_precision <- function(x, ...) {
  check_arguments(...)
  cat(
    sprintf(
      "%s: %s, precision with %s, mean diagonal of the kernel %s\n", precision_name(x), counted(nrow(x$P), "id"), counted(length(x$P@x), "entry", "entries"),
      format(mean(x$diagonal), digits = 3)
    )
  )
  if (length(x$added) > 0) cat(
    "Parents that are not listed, added as founders: ", first_names(x$added), if (length(x$added) > 5) paste0(" (", length(x$added), ")"), "\n", sep = ""
  )
  invisible(x)
}

precision_name <- function(x) switch(
  class(x)[1], fastlmm_pedigree = "Pedigree", fastlmm_tree = "Tree", fastlmm_blocks = "Sparse kernel", "Kernel by its precision"
)

# ---- in a model ---------------------------------------------------------------------------------------

# Ids up to which the kernel itself is formed
DENSE_IDS <- 2000
# and of a kernel that is given as a sparse matrix, which can be scanned then
DENSE_SPARSE <- 10000

# Where one kernel is taken by its inverse, all of those are that are known by theirs: one that is formed would fill what the others leave sparse.
whole_kernels <- function(kernels, terms) {
  kernels <- lapply(kernels, as_whole)
  if (any(unlist(Map(is_large, kernels, terms)))) kernels <- lapply(kernels, mark_whole)
  kernels
}

is_large <- function(K, term) inherits(K, "fastlmm_whole") || is_product(K) && nlevels(term$id) > DENSE_IDS && any(vapply(K$parts, is_precision, NA))

as_whole <- function(K) {
  if (inherits(K, "sparseMatrix") && nrow(K) > DENSE_SPARSE) K <- block_precision(K)
  if (is_precision(K) && nrow(K) > DENSE_IDS) mark_whole(K) else K
}

mark_whole <- function(K) if (is_product(K) || is_precision(K)) structure(K, class = union("fastlmm_whole", class(K))) else K

# A kernel of many blocks, as of families, by the inverses of these; the kernel itself where blocks are large or not regular
block_precision <- function(K) {
  S <- precision_matrix(K, "K")
  check_precision(S, "K")
  factor <- tryCatch(suppressWarnings(Matrix::Cholesky(Matrix::forceSymmetric(S), LDL = FALSE, super = FALSE)), error = function(error) NULL)
  if (is.null(factor)) return(K)
  pivot <- factor@x[factor@p[seq_len(nrow(S))] + 1]^2
  if (min(pivot / Matrix::diag(S)[factor@perm + 1]) < 1e-10 || sum(tabulate(tree_roots(factor))^2) > BLOCK_ENTRIES) return(K)
  block <- integer(nrow(S))
  block[factor@perm + 1] <- tree_roots(factor)
  new_precision(inverse_of_blocks(S, block), Matrix::diag(S), "fastlmm_blocks")
}

# `block`: of each row
inverse_of_blocks <- function(S, block) {
  column <- rep(seq_len(ncol(S)), diff(S@p))
  members <- split(seq_along(block), block)
  place <- integer(length(block))
  place[unlist(members, use.names = FALSE)] <- sequence(lengths(members))
  entries <- split(seq_along(S@x), factor(block[column], names(members)))
  inverses <- Map(function(own, at) {
    B <- matrix(0, length(own), length(own))
    B[cbind(place[S@i[at] + 1], place[column[at]])] <- S@x[at]
    chol2inv(chol(B))
  }, members, entries)
  rows <- lapply(members, function(own) rep(own, length(own)))
  columns <- lapply(members, function(own) rep(own, each = length(own)))
  sparse_columns(Matrix::sparseMatrix(
    i = unlist(rows, use.names = FALSE), j = unlist(columns, use.names = FALSE), x = unlist(inverses, use.names = FALSE), dims = dim(S), dimnames = dimnames(S)
  ))
}

# Entries of all blocks that are inverted, some hundred megabytes
BLOCK_ENTRIES <- 2e7

# The last column of the block of each column of L: what it is eliminated into is its first entry below the diagonal
tree_roots <- function(factor) {
  m <- length(factor@perm)
  first <- factor@p[seq_len(m)] + 2
  parent <- ifelse(factor@nz > 1, factor@i[pmin(first, length(factor@i))] + 1L, NA)
  root <- seq_len(m)
  for (j in rev(which(!is.na(parent)))) root[j] <- root[parent[j]]
  root
}

# All ids have an effect, those without data too.
whole_random <- function(K, ids, term, part) {
  class(K) <- setdiff(class(K), "fastlmm_whole")
  random <- new_random(term, ids = ids, kernel = K, mean_diag = mean(K$diagonal[ids %in% levels(term$id)]), part = part)
  replace(random, c("index", "group"), list(seq_along(ids), random$index[random$group]))
}

# Among the ids of the kernel
places_with_data <- function(random) if (is_precision(random$kernel)) sort(unique(random$index[random$group])) else random$index

precision_random <- function(K, term, design, part = NULL) {
  ids <- rownames(K$P)
  if (is.null(term$group)) ids <- row_kernel_ids(ids, length(ids), term, design)
  check_ids_known(term$id, ids, term)
  if (inherits(K, "fastlmm_whole")) return(whole_random(K, ids, term, part))
  used <- if (length(ids) <= DENSE_IDS) ids else ids[ids %in% levels(term$id)]
  if (length(used) < length(ids)) inform_precision_left(length(ids) - length(used), term_name(term))
  kernel <- as.matrix(K, ids = rownames(K$P)[match(used, ids)])
  dimnames(kernel) <- list(used, used)
  check_groups(new_random(term, ids = used, kernel = kernel, mean_diag = mean(diag(kernel)[used %in% levels(term$id)]), part = part))
}

inform_precision_left <- function(n, name) {
  inform_fastlmm(
    "unobserved_ids",
    paste0(
      "the kernel of ", quoted(name), " has ", counted(n, "id"), " without data, which are left out: with more than ", DENSE_IDS,
      " ids the kernel is formed for those with data"
    ),
    n = n
  )
}
