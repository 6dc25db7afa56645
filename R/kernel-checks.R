# check_/abort_ pairs of the kernel.

check_kernel_square <- function(K) {
  if (nrow(K) == ncol(K) && nrow(K) > 0) return(invisible())
  markers <- if (nrow(K) > 0) "; give markers, with a row for each id, as kernel_lowrank(W)" else ""
  abort_fastlmm("kernel_shape", sprintf("K must be square, with a row and a column for each id; it is %d x %d%s", nrow(K), ncol(K), markers))
}

# Values of K: finite, symmetric, not zero, and, if `definite` is asked for, positive semidefinite. The matrix is read once, in Rust.
# `kernel` of the answer is K, without the small faults of a matrix from a file.
check_kernel <- function(K, ids, control, definite = TRUE) {
  facts <- call_rust(ffi_kernel_facts, K, definite, control_tolerance(control), control_threads(control))
  if (facts$n_nonfinite > 0) abort_kernel_nonfinite(K, ids, facts)
  if (facts$asymmetry > 1e-6) abort_kernel_asymmetric(K, ids, facts)
  if (facts$max_abs == 0) abort_fastlmm("kernel_zero", "K is zero everywhere: there is no random effect; leave it out and use lm()")
  if (facts$max_abs < .Machine$double.xmin) abort_kernel_tiny("K", facts$max_abs)
  if (definite && !facts$positive) abort_kernel_not_positive(K, ids, facts)
  facts$kernel <- settled_kernel(K, ids, facts)
  # by how much the fit's own kernel differs from the one that was given
  if (!identical(facts$kernel, K)) facts[c("mean_diag", "changed")] <- list(mean(diag(facts$kernel)), max(abs(facts$kernel - K)))
  facts
}

# Below the smallest normal number digits are lost.
abort_kernel_tiny <- function(name, largest) {
  abort_fastlmm(
    "scale",
    sprintf(
      paste0(
        "%s has no entry larger than %.3g, below what double precision holds with all its digits; multiply it, and the variance of the effect is divided by ",
        "as much"
      ),
      name, largest
    )
  )
}

# Files hold ten digits or single precision: the two halves are averaged and small negative eigenvalues set to zero, with a message beyond rounding.
settled_kernel <- function(K, ids, facts) {
  if (facts$asymmetry > 1e-8) inform_averaged(K, ids, facts)
  if (!is.null(facts$projected)) {
    inform_set_to_zero(facts$min_eigen, facts$max_eigen)
    return(structure(facts$projected, dimnames = dimnames(K)))
  }
  if (facts$asymmetry > 10 * nrow(K) * .Machine$double.eps) K / 2 + t(K) / 2 else K
}

inform_averaged <- function(K, ids, facts) {
  at <- facts$asymmetry_at
  inform_fastlmm("kernel_averaged", paste0(
    "K is symmetric only up to a relative difference of ", format(facts$asymmetry, digits = 2), ", at ", cell_name(ids, at),
    ", as may happen to a matrix read from a file: ",
    "the mean of K and t(K) is used"
  ), asymmetry = facts$asymmetry)
}

inform_set_to_zero <- function(min, max) {
  inform_fastlmm("kernel_negative", paste0(
    "K has negative eigenvalues, the smallest ", format(min, digits = 3), " against ", format(max, digits = 3),
    " of the largest, as may happen to a matrix read from a file: they are set to zero"
  ), min_eigen = min, max_eigen = max)
}

check_ids_unique <- function(ids, what = "K") {
  bad <- which(is.na(ids) | ids == "")
  if (length(bad) > 0) {
    abort_fastlmm("kernel_ids", paste0(what, " has no name in ", counted(length(bad), "row"), ": ", first_names(bad), "; name each by its id"))
  }
  twice <- unique(ids[duplicated(ids)])
  if (length(twice) == 0) return(invisible())
  abort_fastlmm(
    "kernel_ids",
    paste0(what, " has ", counted(length(twice), "duplicated id"), ": ", first_names(twice), "; keep one of each"),
    ids = twice
  )
}

check_names_agree <- function(rows, columns) {
  if (identical(rows, columns)) return(invisible())
  bad <- which(is.na(rows) != is.na(columns) | (!is.na(rows) & !is.na(columns) & rows != columns))
  if (length(bad) == 0) return(invisible())
  shown <- sprintf("%s and %s", quoted(rows[bad]), quoted(columns[bad]))
  same <- setequal(rows, columns)
  abort_fastlmm("kernel_names", paste0(
    "row and column names of K differ in ", counted(length(bad), "place"), ": ", toString(utils::head(shown, 5)), if (length(bad) > 5) ", ...",
    if (same) "; they are the same ids in another order: use K[ids, ids]" else if (identical(
      columns, make.names(rows)
    )) "; read it with check.names = FALSE" else "; both must name the ids"
  ))
}

check_groups <- function(random) {
  if (length(random$index) > 1 || length(random$ids) > 1) return(random)
  abort_fastlmm(
    "one_group",
    paste0(quoted(random$name), " has a single id, ", quoted(random$ids), ", in these rows: a variance between ids needs at least two")
  )
}

abort_no_random <- function(terms) {
  formula <- stats::formula(terms)
  abort_fastlmm("no_random", paste0(
    "no random effect: add a term, ", deparse1(formula[[2]]), " ~ ... + (1 | id), or give K over the rows of data; without one use lm()"
  ))
}

# ---- the list of kernels ------------------------------------------------------------------------------

abort_kernel_list <- function(n, known) {
  if (identical(known, ".row")) abort_kernel_entry_rows("a list")
  abort_fastlmm("kernel_list", paste0(
    "K is a list of ", counted(n, "entry", "entries"), ", not all with a name; write K = list(", list_name(known[1]),
    " = ...), by the grouping factors of the formula"
  ))
}

abort_kernel_unnamed <- function(known) {
  abort_fastlmm("kernel_list", paste0(
    "the formula has several grouping factors, ", toString(quoted(known)), ", and K is one kernel without a name; write K = list(", list_name(known[1]),
    " = ...)"
  ))
}

# As the name of an entry is written
list_name <- function(name) if (name == make.names(name)) name else quoted(name)

abort_kernel_entry <- function(what, entries, known) {
  if (identical(known, ".row")) abort_kernel_entry_rows(paste("a list with", first_names(entries)))
  close <- vapply(known, did_you_mean, "", candidates = entries)
  # the name that one of the entries is nearest to
  wanted <- if (any(nzchar(close))) known[nzchar(close)][1] else known[1]
  abort_fastlmm(
    "unused_kernel",
    paste0(
      "K has ", counted(length(entries), "entry", "entries"), " ", what, ": ", first_names(entries), "; the random terms of the formula are of ",
      toString(quoted(known)),
      ", write K = list(", list_name(wanted), " = ...)", if (any(nzchar(close))) " and check the spelling"
    ),
    entries = entries
  )
}

abort_kernel_entry_rows <- function(what) {
  abort_fastlmm("unused_kernel", paste0(
    "K is ", what, ", but the formula has no random term to name: add (1 | id), or give the matrix itself for a kernel over the rows of data"
  ))
}

# ---- the class ----------------------------------------------------------------------------------------

abort_dist <- function() {
  abort_fastlmm("kernel_class", "K is a distance matrix (class dist), not a covariance: convert it first, as in K = exp(-as.matrix(d) / range)")
}

abort_kernel_columns <- function(bad) {
  abort_fastlmm("kernel_class", paste0(
    "K is a data frame with ", counted(length(bad), "column"), " that ", is_are(length(bad)), " not numeric: ", first_names(bad),
    "; put ids in row names, and numbers only in K"
  ))
}

abort_kernel_class <- function(K, hint = "") {
  what <- if (is.matrix(K)) paste("a matrix of type", typeof(K)) else paste("of class", class(K)[1])
  abort_fastlmm("kernel_class", paste0(
    "K must be a numeric matrix, a Matrix or a data frame of numbers, with ids as dimnames; it is ", what,
    if (nzchar(hint)) paste0("; ", hint) else if (isS4(K)) "; try as.matrix(K)"
  ))
}

# ---- names --------------------------------------------------------------------------------------------

abort_kernel_names <- function(name) {
  abort_fastlmm("kernel_names", paste0(
    "K has no dimnames, and ids are matched by name, never by position: set rownames(K) to the ids of ", quoted(name), " in K's order"
  ))
}

abort_kernel_rows <- function(found, wanted) {
  abort_fastlmm("kernel_shape", sprintf(
    "K has no names and %d rows, data has %d; give K row names that are row names of data, or a row for each row of data", found, wanted
  ))
}

abort_ids_missing <- function(missing, m, ids, levels, term, columns = NULL) {
  what <- if (is.null(term$group)) "row names of data" else paste("ids of", quoted(term_name(term)))
  abort_fastlmm(
    "ids_missing",
    paste0(
      length(missing), " of ", m, " ", what, " ", is_are(length(missing)), " not in K: ", first_names(missing), " (K has ", first_names(ids), "); ",
      id_hint(missing, ids, levels, term, columns)
    ),
    ids = missing
  )
}

inform_unobserved <- function(n, name) {
  if (n > 0) inform_fastlmm("unobserved_ids", paste0("K has ", counted(n, "id"), " of ", quoted(name), " without data; they can be predicted"), n = n)
}

# ---- values -------------------------------------------------------------------------------------------

cell_name <- function(ids, at) paste0("K[", quoted(ids[at[1]]), ", ", quoted(ids[at[2]]), "]")

abort_kernel_nonfinite <- function(K, ids, facts) {
  bad <- !is.finite(K)
  abort_fastlmm(
    "kernel_nonfinite",
    paste0(
      "K has ", counted(facts$n_nonfinite, "value"), " that ", is_are(facts$n_nonfinite), " not finite, the first is ", cell_name(ids, facts$nonfinite), " = ",
      K[facts$nonfinite[1], facts$nonfinite[2]], "; compute them, or leave ids out, for all of them: ", first_names(ids[covering(bad)])
    ),
    ids = ids[rowSums(bad) > 0]
  )
}

# Few rows that have all bad cells in them or in their columns: each time the row with most of those that are left
covering <- function(bad) {
  left <- rowSums(bad) + colSums(bad)
  taken <- integer()
  while (any(left > 0)) {
    row <- which.max(left)
    taken <- c(taken, row)
    left <- left - bad[, row] - bad[row, ]
    left[row] <- 0
    bad[row, ] <- bad[, row] <- FALSE
  }
  sort(taken)
}

abort_kernel_asymmetric <- function(K, ids, facts) {
  at <- facts$asymmetry_at
  abort_fastlmm(
    "kernel_asymmetric",
    paste0(
      "K is not symmetric: ", cell_name(ids, at), " = ", format(K[at[1], at[2]]), " but ", cell_name(ids, rev(at)), " = ", format(K[at[2], at[1]]),
      ", relative difference ", format(facts$asymmetry, digits = 3), "; correct it, or use (K + t(K)) / 2 if the difference does not matter"
    ),
    asymmetry = facts$asymmetry
  )
}

abort_kernel_not_positive <- function(K, ids, facts) {
  abort_fastlmm(
    "kernel_not_positive",
    paste0(
      "K is not positive semidefinite, so it is not a covariance matrix: smallest eigenvalue ", format(facts$min_eigen, digits = 4), ", largest ",
      format(facts$max_eigen, digits = 4), indefinite_reason(K, ids),
      "; use Matrix::nearPD(K), or raise fastlmm_control(tolerance =) if it is rounding"
    ),
    min_eigen = facts$min_eigen, max_eigen = facts$max_eigen
  )
}

# Covariances larger than the variances allow can be named; otherwise only the eigenvalue tells.
indefinite_reason <- function(K, ids) {
  variance <- diag(K)
  low <- which(variance < 0 | (variance == 0 & rowSums(K != 0) > 0))
  if (length(low) > 0) return(paste0("; its diagonal is zero or negative for ", first_names(ids[low]), " (", length(low), " of ", length(ids), ")"))
  at <- which(abs(K) > sqrt(outer(variance, variance)) * (1 + 1e-8), arr.ind = TRUE)
  if (nrow(at) == 0) return("")
  pairs <- counted(nrow(at) / 2, "such pair")
  paste0("; ", cell_name(ids, at[1, ]), " = ", format(K[at[1, , drop = FALSE]]), " is larger than their variances allow (", pairs, ")")
}
