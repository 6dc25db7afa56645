# The kernel of the random term: which matrix it is, as a base matrix of doubles, and where the ids of the data are in it.

mold_random <- function(K, parts, design, control) {
  K <- choose_kernel(K, parts)
  if (is.null(K)) return(identity_random(parts, design))
  if (is_lowrank(K)) return(lowrank_random(K, parts, design))
  K <- kernel_matrix_of(K)
  check_kernel_square(K)
  ids <- kernel_ids(K, parts, design)
  check_ids_known(design$id, ids, parts)
  facts <- check_kernel(K, ids, control)
  if (!identical(dimnames(K), list(ids, ids))) dimnames(K) <- list(ids, ids)
  random <- new_random(parts, design, ids = ids, kernel = K, mean_diag = facts$mean_diag)
  if (control$verbose) inform_unobserved(length(ids) - length(random$index), random_name(parts))
  check_groups(random)
}

identity_random <- function(parts, design) {
  if (is.null(parts$group)) abort_no_random(parts$formula)
  check_groups(new_random(parts, design, ids = levels(design$id), kernel = NULL, mean_diag = 1))
}

# ---- which matrix -------------------------------------------------------------------------------------

# K or its synonym
one_kernel <- function(K, relmat) {
  if (!is.null(K) && !is.null(relmat)) abort_fastlmm("two_kernels", "both K and relmat are given; they mean the same, give one")
  if (is.null(K)) relmat else K
}

# A list has one entry, named by the grouping factor; anything else is the kernel itself.
choose_kernel <- function(K, parts) {
  if (!is.list(K) || is.data.frame(K) || is.object(K)) return(K)
  name <- random_name(parts)
  check_kernel_entries(names(K), length(K), name)
  if (is.null(K[[name]])) abort_kernel_class(NULL)
  K[[name]]
}

check_kernel_entries <- function(names, n, name) {
  if (n == 0 || is.null(names) || any(names == "")) abort_kernel_list(n, name)
  if (anyDuplicated(names)) abort_kernel_entry("more than once", names[duplicated(names)], name)
  unused <- setdiff(names, name)
  if (length(unused) > 0) abort_kernel_entry("without use", unused, name)
}

# ---- as a matrix --------------------------------------------------------------------------------------

kernel_matrix_of <- function(K) {
  if (inherits(K, "dist")) abort_dist()
  values <- if (is.data.frame(K)) kernel_of_frame(K) else if (isS4(K)) kernel_of_s4(K) else K
  if (!is.matrix(values) || !(is.numeric(values) || is.logical(values))) abort_kernel_class(K)
  plain_matrix(values)
}

# A Matrix may come from a file, before its package was loaded.
kernel_of_s4 <- function(K) {
  loadNamespace("Matrix")
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

kernel_ids <- function(K, parts, design) {
  ids <- agreed_names(K)
  if (is.null(ids)) return(positional_ids(K, parts, design))
  check_ids_unique(ids)
  full_numbers(ids)
}

agreed_names <- function(K) {
  rows <- rownames(K)
  columns <- colnames(K)
  if (is.null(rows) || is.null(columns)) return(if (is.null(rows)) columns else rows)
  check_names_agree(rows, columns)
  rows
}

# Only a kernel over rows may be without names.
positional_ids <- function(K, parts, design) {
  if (!is.null(parts$group)) abort_kernel_names(random_name(parts))
  if (nrow(K) != length(design$row_ids)) abort_kernel_rows(nrow(K), length(design$row_ids))
  inform_fastlmm("position", paste0(
    "K has no names: its rows are taken to be the ", counted(nrow(K), "row"), " of data, in their order"
  ))
  design$row_ids
}

check_ids_known <- function(id, ids, parts) {
  missing <- setdiff(levels(id), ids)
  if (length(missing) > 0) abort_ids_missing(missing, nlevels(id), ids, levels(id), parts)
}

# What would make the ids match: each rule is asked whether it brings most of the missing ids into K.
id_rules <- list(
  "K and data differ in blanks around the names: use trimws()" = trimws,
  "K and data differ in upper and lower case: use tolower() or toupper() on one of them" = tolower,
  "K or data went through make.names(), which turns 12 into X12: read it with check.names = FALSE" = make.names,
  "K or data has a prefix, as in FID_IID: take it off with sub()" = function(x) sub("^[^_]*_", "", x),
  "K and data differ in leading zeros: pad one with sprintf()" = function(x) gsub("(^|[^0-9])0+(?=[0-9])", "\\1", x, perl = TRUE)
)

id_hint <- function(missing, ids, levels, parts) {
  helps <- function(rule) mean(rule(missing) %in% rule(ids)) > 0.5
  found <- names(Filter(helps, id_rules))
  if (length(found) > 0) return(found[1])
  if (is.null(parts$group)) return("without a bar term K is matched by the row names of data; name the ids in the formula with (1 | id)")
  code_hint(ids, levels)
}

# Numbers on one side and labels on the other: as.integer() of a factor
code_hint <- function(ids, levels) {
  numbers <- function(x) all(grepl("^[0-9]+$", x))
  codes <- as.character(seq_along(levels))
  if (!numbers(levels) && all(codes %in% ids)) return("K seems to be named by the codes of the factor, not by its labels: name it by levels()")
  if (numbers(levels) && !any(grepl("^[0-9]+$", ids))) return("the ids of data may be the codes of a factor, not its labels: use as.character() on it")
  "give K all ids of the data, or leave those rows out"
}
