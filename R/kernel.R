# The kernels of the random terms: which matrix each is, as a base matrix of doubles, and where the ids of the data are in it.

# A named list with an entry for each random effect.
# `whole`: does the engine take the inverse of a kernel between very many ids? `definite`: is it to be found out whether a matrix is positive
# semidefinite, or does the fit of one effect tell?
mold_random <- function(K, parts, design, control, whole = FALSE, definite = TRUE) {
  kernels <- choose_kernels(K, design$random)
  if (whole) kernels <- whole_kernels(kernels, design$random)
  several <- length(design$random) > 1
  more <- list(design = design, control = control, several = several, definite = definite || several)
  random <- unlist(Map(term_random, design$random, kernels, MoreArgs = more), recursive = FALSE)
  structure(random, names = random_labels(random))
}

# The effects of one term: several if its kernel is a mix.
term_random <- function(term, K, design, control, several, definite = TRUE) {
  if (is.null(K) && is.null(term$group)) abort_no_random(design$terms)
  if (!is.null(term$columns)) return(correlated_random(term, K, design, control, several))
  if (!is_mix(K)) return(list(naming_kernel(if (several) term_name(term), one_random(term, K, design, control, definite = definite))))
  ids <- if (is.null(term$group)) design$row_ids else union(unlist(lapply(K$kernels, mix_ids), use.names = FALSE), levels(term$id))
  one <- function(K, part) naming_kernel(paste0(term_name(term), ".", part), one_random(term, K, design, control, part, ids))
  Map(one, K$kernels, names(K$kernels), USE.NAMES = FALSE)
}

# Among several kernels an error says which one it is about.
naming_kernel <- function(label, random) {
  if (is.null(label)) return(random)
  tryCatch(random, fastlmm_error = function(error) {
    if (inherits(error, "fastlmm_error_one_group")) stop(error)
    error$message <- paste0("in the kernel of ", quoted(label), ": ", conditionMessage(error))
    stop(error)
  })
}

# `ids`: those of an effect without a kernel
one_random <- function(term, K, design, control, part = NULL, ids = levels(term$id), definite = TRUE) {
  if (is.null(K)) return(check_groups(new_random(term, ids = ids, kernel = NULL, mean_diag = 1, part = part)))
  if (is_lowrank(K)) return(lowrank_random(K, term, design, part))
  if (is_product(K)) return(product_random(K, term, design, control, part))
  if (is_precision(K)) return(precision_random(K, term, design, part))
  K <- kernel_matrix_of(K)
  check_kernel_square(K)
  ids <- kernel_ids(K, term, design)
  check_ids_known(term$id, ids, term)
  facts <- check_kernel(K, ids, control, definite)
  K <- facts$kernel
  warn_inverse(K)
  if (!identical(dimnames(K), list(ids, ids))) dimnames(K) <- list(ids, ids)
  random <- new_random(term, ids = ids, kernel = K, mean_diag = facts$mean_diag, part = part)
  random$changed <- facts$changed
  random$unchecked <- if (!definite) TRUE
  if (control$verbose) inform_unobserved(length(ids) - length(random$index), random$name)
  check_groups(random)
}

# ---- which matrix -------------------------------------------------------------------------------------

# K or its synonym
one_kernel <- function(K, relmat) {
  if (!is.null(K) && !is.null(relmat)) abort_fastlmm("two_kernels", "both K and relmat are given; they are synonyms, give one")
  if (is.null(K)) relmat else K
}

# The kernel of each term. A list has entries named by grouping factors; anything else is the kernel of the only one.
choose_kernels <- function(K, terms) {
  name <- vapply(terms, term_name, "")
  if (!is.list(K) || is.data.frame(K) || is.object(K)) {
    if (!is.null(K) && length(unique(name)) > 1) abort_kernel_unnamed(unique(name))
    return(lapply(terms, function(term) K))
  }
  if (nzchar(object_hint(K)) && !all(names(K) %in% name)) abort_kernel_class(K, object_hint(K))
  check_kernel_entries(names(K), length(K), unique(name))
  if (any(vapply(K, is.null, NA))) abort_kernel_class(NULL)
  lapply(name, function(name) K[[name]])
}

check_kernel_entries <- function(names, n, known) {
  if (n == 0 || is.null(names) || any(names == "")) abort_kernel_list(n, known)
  if (anyDuplicated(names)) abort_kernel_entry("more than once", names[duplicated(names)], known)
  unused <- setdiff(names, known)
  if (length(unused) > 0) abort_kernel_entry("without use", unused, known)
}

# ---- as a matrix --------------------------------------------------------------------------------------

kernel_matrix_of <- function(K) {
  if (is_precision(K)) return(as.matrix(K))
  if (inherits(K, "dist")) abort_dist()
  if (nzchar(object_hint(K))) abort_kernel_class(K, object_hint(K))
  values <- if (is.data.frame(K)) kernel_of_frame(K) else if (isS4(K)) kernel_of_s4(K) else K
  if (!is.matrix(values) || !(is.numeric(values) || is.logical(values))) abort_kernel_class(K)
  plain_matrix(values)
}

# A Matrix may come from a file, before its package was loaded.
kernel_of_s4 <- function(K, name = "K") {
  loadNamespace("Matrix")
  check_valid(K, name, "kernel_class")
  tryCatch(as.matrix(K), error = function(e) NULL)
}

# Automatic row names are not ids.
kernel_of_frame <- function(K) {
  bad <- names(K)[!vapply(K, function(x) is.numeric(x) || is.logical(x), NA)]
  if (length(bad) > 0) abort_kernel_columns(bad)
  named <- .row_names_info(K) > 0
  K <- as.matrix(K)
  if (!named) rownames(K) <- NULL
  K
}

# Doubles with dim and dimnames and nothing else; no copy where that is what K is.
plain_matrix <- function(K) {
  if (typeof(K) != "double") storage.mode(K) <- "double"
  extra <- setdiff(names(attributes(K)), c("dim", "dimnames"))
  if (length(extra) > 0 || is.object(K)) K <- matrix(as.vector(unclass(K)), nrow(K), ncol(K), dimnames = dimnames(K))
  K
}

# ---- ids ----------------------------------------------------------------------------------------------

kernel_ids <- function(K, term, design) {
  ids <- agreed_names(K)
  if (!is.null(ids)) check_ids_unique(ids)
  ids <- full_numbers(ids)
  if (is.null(term$group)) return(row_kernel_ids(ids, nrow(K), term, design))
  if (is.null(ids)) abort_kernel_names(term_name(term))
  ids
}

agreed_names <- function(K) {
  rows <- rownames(K)
  columns <- colnames(K)
  if (is.null(rows) || is.null(columns)) return(if (is.null(rows)) columns else rows)
  check_names_agree(rows, columns)
  rows
}

check_ids_known <- function(id, ids, term, columns = NULL) {
  missing <- setdiff(levels(id), ids)
  if (length(missing) > 0) abort_ids_missing(missing, nlevels(id), ids, levels(id), term, columns)
}
