#' Kernel of an interaction
#'
#' For a term `(1 | id:env)`: the effects of two levels `a:b` and `a':b'` have covariance `A[a, a'] E[b, b']` (a Kronecker product). A genotype
#' then has a separate effect in each environment, correlated among relatives and among similar environments, or independent between
#' environments for `env = NULL`, the identity.
#'
#' Only the levels of the product that occur are formed. Where these are more than 2000 and one kernel is given by its precision (such as
#' [kernel_pedigree()]) and the others are identities or nonsingular matrices, fits of one response use the inverse of the product, which is
#' sparse.
#'
#' Kernels are matched to the variables of the term by name, in any order, and their ids by name. Levels are split at the colon; ids that
#' contain colons are recognised where only one split gives ids of the kernels.
#'
#' Together with `(1 | id:env)` a model usually needs its main effects, `(1 | id)` with the same kernel and `(1 | env)`, or `env` as a fixed
#' effect.
#'
#' @param ... two or more kernels, each named by its variable in the term: a matrix, a `Matrix`, a data frame, a kernel by [kernel_markers()],
#'   [kernel_lowrank()] or [kernel_precision()], or `NULL` for the identity; not all of them `NULL`.
#' @param x a product by `kernel_product()`.
#' @return An object of class `fastlmm_product`, for `K = list("id:env" = ...)` of [fastlmm_fit()] and [slamglmm_fit()], as part of a
#'   [kernel_mix()], and for `K` of [predict.fastlmm()]. The kernel in the fit is a matrix between the levels that occur.
#'
#'   `predict()` and `simulate()` can use any combination of ids that are in their kernels or, for an identity, in the data. For further ids
#'   give `predict()` the product of larger kernels as K.
#' @section Errors:
#' `kernel_product` for names that are not those of the variables of the term; those of each kernel, such as `kernel_shape`, `kernel_names` and
#' `kernel_not_positive`, with its name at the beginning; `ids_missing`, in the fit, for levels that a kernel lacks; `memory`, with the size of
#' the matrix.
#' @seealso [kernel_mix()] for sums
#' @examples
#' set.seed(1)
#' ids <- paste0("g", 1:30)
#' W <- matrix(rnorm(30 * 100), 30, dimnames = list(ids, NULL))
#' A <- tcrossprod(W) / 100
#' data <- expand.grid(id = ids, env = c("dry", "wet", "cold"), KEEP.OUT.ATTRS = FALSE)[-(1:5), ]
#' main <- drop(W %*% rnorm(100, sd = 0.1))
#' own <- W %*% matrix(rnorm(300, sd = 0.1), 100, dimnames = list(NULL, c("dry", "wet", "cold")))
#' data$y <- main[data$id] + own[cbind(as.character(data$id), as.character(data$env))] + rnorm(85, sd = 0.5)
#'
#' # genotype by environment, independent between environments
#' K <- list(id = A, "id:env" = kernel_product(id = A, env = NULL))
#' fit <- fastlmm_fit(y ~ env + (1 | id) + (1 | id:env), data, K = K)
#' VarCorr(fit)
#'
#' # a combination that was not observed
#' predict(fit, data.frame(id = "g1", env = "dry"), se.fit = TRUE)
#' @export
kernel_product <- function(...) {
  kernels <- list(...)
  check_product_names(names(kernels), length(kernels))
  if (all(vapply(kernels, is.null, NA))) abort_product("has only identities: leave it out, and the levels are independent")
  structure(list(parts = Map(product_part, kernels, names(kernels))), class = "fastlmm_product")
}

#' @rdname kernel_product
#' @export
print.fastlmm_product <- function(x, ...) {
  check_arguments(...)
  size <- function(part) if (is_identity_part(part)) "identity" else sprintf("%d ids", length(part_ids(part)))
  cat("Product of kernels: ", paste0(names(x$parts), " (", vapply(x$parts, size, ""), ")", collapse = ", "), "\n", sep = "")
  invisible(x)
}

is_product <- function(K) inherits(K, "fastlmm_product")

# ---- parts: a matrix, a factor, a precision, or the levels of an identity (NULL before they are known) ---------

product_part <- function(K, name) {
  if (is_mix(K) || is_product(K)) abort_product(
    paste0("has a sum or a product as ", quoted(name), "; give all kernels in one product, and sums of products by kernel_mix()")
  )
  if (is.null(K) || is_lowrank(K) || inherits(K, "fastlmm_precision")) return(K)
  naming_kernel(name, {
    K <- kernel_matrix_of(K)
    check_kernel_square(K)
    ids <- full_numbers(agreed_names(K))
    if (is.null(ids)) abort_kernel_names(name)
    check_ids_unique(ids)
    structure(check_kernel(K, ids, fastlmm_control())$kernel, dimnames = list(ids, ids))
  })
}

is_identity_part <- function(part) is.null(part) || is.character(part)

part_ids <- function(part) {
  if (is_identity_part(part)) part else if (is_lowrank(part)) rownames(part$W) else rownames(part)
}

# Between ids by number
part_block <- function(part, rows, columns) {
  if (is.character(part)) return(outer(rows, columns, "==") + 0)
  if (is_lowrank(part)) return(factor_block(part$W[rows, , drop = FALSE], part$W[columns, , drop = FALSE]))
  if (is.matrix(part)) return(part[rows, columns, drop = FALSE])
  used <- unique(c(rows, columns))
  as.matrix(part, ids = part_ids(part)[used])[match(rows, used), match(columns, used), drop = FALSE]
}

# ---- levels ---------------------------------------------------------------------------------------------

# The parts in the order of the term's variables
term_parts <- function(K, group) {
  variables <- vapply(group_leaves(group), deparse1, "")
  if (length(variables) != length(K$parts) || !setequal(variables, names(K$parts))) abort_product_term(names(K$parts), group)
  K$parts[variables]
}

# Names, levels x parts; NA where a level is no combination of ids
split_levels <- function(levels, parts) {
  # with a last colon an empty last piece is one, too
  pieces <- strsplit(paste0(levels, ":"), ":", fixed = TRUE)
  found <- matrix(NA_character_, length(levels), length(parts), dimnames = list(NULL, names(parts)))
  plain <- !is.na(levels) & lengths(pieces) == length(parts)
  found[plain, ] <- matrix(as.character(unlist(pieces[plain])), ncol = length(parts), byrow = TRUE)
  for (i in which(lengths(pieces) > length(parts))) found[i, ] <- fitting_split(pieces[[i]], parts, levels[i])
  found
}

# Ids have colons of their own: the one way to put the pieces together that gives ids of the kernels
fitting_split <- function(pieces, parts, level) {
  ends <- utils::combn(length(pieces) - 1, length(parts) - 1, simplify = FALSE)
  together <- function(end) unname(vapply(split(pieces, findInterval(seq_along(pieces), end + 1)), paste, "", collapse = ":"))
  ways <- lapply(ends, together)
  fits <- function(way) all(mapply(function(id, part) is.null(part) || id %in% part_ids(part), way, parts))
  ways <- Filter(fits, ways)
  if (length(ways) > 1) abort_product(
    paste0(
      "cannot take the level ", quoted(level), " apart: it may be ", toString(vapply(ways, function(way) paste(quoted(way), collapse = " and "), "")),
      "; leave colons out of the names of ids"
    )
  )
  if (length(ways) == 1) ways[[1]] else NA
}

# Numbers of ids, levels x parts
place_levels <- function(names, parts) {
  at <- vapply(seq_along(parts), function(k) match(names[, k], part_ids(parts[[k]])), integer(nrow(names)))
  matrix(at, nrow(names))
}

# Identities know the levels that occur.
with_levels <- function(parts, names) {
  for (k in which(vapply(parts, is_identity_part, NA))) parts[[k]] <- unique(names[, k])
  parts
}

forget_levels <- function(parts) lapply(parts, function(part) if (!is_identity_part(part)) part)

# K between levels, given by the numbers of their ids
product_block <- function(parts, rows, columns) {
  Reduce(`*`, lapply(seq_along(parts), function(k) unname(part_block(parts[[k]], rows[, k], columns[, k]))))
}

# ---- in a model -------------------------------------------------------------------------------------------

# The dense kernel between the levels that occur, and what makes it; of very many levels the inverse, if that has few entries
product_random <- function(K, term, design, control, part = NULL) {
  parts <- forget_levels(term_parts(K, term$group))
  levels <- levels(term$id)
  names <- split_levels(levels, parts)
  check_product_ids(names, parts, levels, term)
  parts <- with_levels(parts, names)
  at <- place_levels(names, parts)
  whole <- if (inherits(K, "fastlmm_whole")) product_precision(parts)
  if (!is.null(whole)) return(c(precision_random(mark_whole(whole), term, design, part), list(product = new_product(parts))))
  check_product_memory(length(levels), length(parts), term_name(term))
  kernel <- structure(product_block(parts, at, at), dimnames = list(levels, levels))
  random <- one_random(term, kernel, design, control, part)
  random$product <- new_product(parts)
  random
}

new_product <- function(parts) structure(list(parts = parts), class = "fastlmm_product")

# The inverse of a Kronecker product is that of the inverses. NULL where a kernel has none, or the product too many entries, or two combinations the same name.
product_precision <- function(parts) {
  if (!any(vapply(parts, is_precision, NA)) || any(vapply(parts, is_lowrank, NA))) return(NULL)
  inverses <- lapply(parts, part_precision)
  if (any(vapply(inverses, is.null, NA)) || prod(vapply(inverses, function(P) length(P@x), 0)) > BLOCK_ENTRIES) return(NULL)
  ids <- Reduce(function(first, second) paste(rep(first, each = length(second)), rep(second, length(first)), sep = ":"), lapply(parts, part_ids))
  if (anyDuplicated(ids)) return(NULL)
  P <- sparse_columns(Reduce(function(A, B) Matrix::kronecker(A, B), inverses))
  dimnames(P) <- list(ids, ids)
  new_precision(P, Reduce(kronecker, lapply(parts, part_diagonal)))
}

# NULL: a matrix that is singular, or nearly so
part_precision <- function(part) {
  if (is.character(part)) return(methods::as(Matrix::Diagonal(length(part)), "generalMatrix"))
  if (is_precision(part)) return(part$P)
  root <- tryCatch(chol(part), error = function(error) NULL)
  if (!is.null(root) && min(diag(root)^2 / diag(part)) > 1e-8) sparse_columns(Matrix::Matrix(chol2inv(root), sparse = TRUE))
}

part_diagonal <- function(part) if (is.character(part)) rep(1, length(part)) else if (is_precision(part)) unname(part$diagonal) else diag(part)

# The random effect with combinations that are new, so that they are known: those of its own product, or of the user's. What neither has is left to who asks.
extend_product <- function(random, id, K = NULL) {
  if (is.null(K) && is.null(random$product)) return(random)
  new <- setdiff(id, c(random$ids, NA))
  if (is.null(K) && (length(new) == 0 || is_precision(random$kernel))) return(random)
  if (is_precision(random$kernel)) abort_cross_kernel(
    paste0("the fit predicts all combinations of the ids of its kernels, but no others: fit ", quoted(random$name), " with a kernel that has these ids, too")
  )
  if (!is.matrix(random$kernel)) abort_cross_kernel("K is a product, but the kernel of the fit is not a matrix: give the kernel with which it was fitted")
  parts <- forget_levels(term_parts(if (is.null(K)) random$product else K, random$expr))
  names <- split_levels(c(random$ids, new), parts)
  old <- seq_along(random$ids)
  parts <- with_levels(parts, names[old, , drop = FALSE])
  at <- place_levels(names, parts)
  if (!is.null(K)) check_same_product(random, parts, at)
  known <- c(old, setdiff(which(!is.na(rowSums(at))), old))
  add_levels(random, parts, at[known, , drop = FALSE], c(random$ids, new)[known])
}

add_levels <- function(random, parts, at, ids) {
  new <- setdiff(seq_along(ids), seq_along(random$ids))
  if (length(new) == 0) return(random)
  check_product_memory(length(ids), 0, random$name)
  K <- matrix(0, length(ids), length(ids), dimnames = list(ids, ids))
  K[-new, -new] <- random$kernel
  K[new, ] <- product_block(parts, at[new, , drop = FALSE], at)
  K[-new, new] <- t(K[new, -new, drop = FALSE])
  replace(random, c("kernel", "ids"), list(K, ids))
}

# ---- checks -------------------------------------------------------------------------------------------------

check_product_names <- function(names, n) {
  if (n < 2) abort_product(paste("needs at least two kernels, and has", n))
  if (is.null(names) || any(names == "")) abort_product("needs a name for each kernel, that of its variable: kernel_product(id = A, env = NULL)")
  if (anyDuplicated(names)) abort_product(paste0("has the name ", quoted(names[anyDuplicated(names)]), " twice"))
}

check_product_ids <- function(names, parts, levels, term) {
  leaves <- group_leaves(term$group)
  for (k in which(!vapply(parts, is_identity_part, NA))) {
    known <- part_ids(parts[[k]])
    asked <- unique(names[!is.na(names[, k]), k])
    missing <- setdiff(asked, known)
    if (length(missing) > 0) naming_kernel(term_name(term), abort_ids_missing(missing, length(asked), known, asked, list(group = leaves[[k]])))
  }
  bad <- levels[rowSums(is.na(names)) > 0]
  if (length(bad) > 0) abort_fastlmm(
    "ids_missing", paste0("levels of ", quoted(term_name(term)), " are not combinations of ids of the kernels: ", first_names(bad)), ids = bad
  )
}

# A product made on another scale, or of other kernels, would give wrong predictions without a sign of it.
check_same_product <- function(random, parts, at) {
  old <- random$index
  if (anyNA(at[old, ])) abort_cross_columns(random$ids[old][is.na(rowSums(at[old, , drop = FALSE]))], length(old))
  own <- random$kernel[old, old, drop = FALSE]
  difference <- abs(product_block(parts, at[old, , drop = FALSE], at[old, , drop = FALSE]) - own)
  if (max(difference) > 1e-6 * max(abs(own)) + sum(random$changed)) abort_other_kernel(structure(difference, dimnames = dimnames(own)))
}

# The blocks of the parts, their product, and the check's copy
check_product_memory <- function(levels, parts, name) {
  matrices <- parts + 2
  check_matrix_memory(
    levels, matrices * as.numeric(levels),
    sprintf("the kernel between %s of %s, %d matrices of %d x %d,", counted(levels, "level"), quoted(name), matrices, levels, levels)
  )
}

abort_product <- function(message) abort_fastlmm("kernel_product", paste("kernel_product()", message))

abort_product_term <- function(given, group) {
  term <- if (is.null(group)) "the formula has no random term" else paste0("the term is (1 | ", deparse1(group), ")")
  abort_product(
    paste0(
      "has kernels of ", toString(quoted(given)), ", but ", term, "; name each kernel by a variable of the term, as for (1 | ", paste(given, collapse = ":"),
      ")"
    )
  )
}
