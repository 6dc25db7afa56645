# Candidates as a scan reads them: anything with rows and columns, a block of columns at a time.

# A list: m columns with names; `read(j)` gives numbers, cells x length(j), NA where missing; `cell` says which cell each row of the fit is in; `whole` is a
# matrix that needs no reading.
candidate_source <- function(candidates, fit, data = NULL) {
  if (inherits(candidates, "formula")) return(formula_source(candidates, fit, data))
  if (is.character(candidates) && is.null(dim(candidates))) candidates <- open_bed(candidates)
  check_valid(candidates, "candidates", "candidates")
  if (is_plink_list(candidates)) candidates <- plink_candidates(candidates)
  if (is.numeric(candidates) && is.null(dim(candidates))) candidates <- vector_candidate(candidates)
  if (is.data.frame(candidates)) candidates <- frame_candidates(candidates)
  if (length(dim(candidates)) != 2) {
    abort_candidates(
      paste0("must have rows and columns: a matrix, data frame, formula, or anything with dim() and `[ , j]`; not an object of class ", class(candidates)[1])
    )
  }
  if (is.matrix(candidates) && !is.numeric(candidates) && !is.logical(candidates) && !inherits(candidates, "SnpMatrix")) {
    abort_candidates(paste0("must be numbers, not of type ", typeof(candidates)))
  }
  real <- inherits(candidates, c("fastlmm_bed", "SnpMatrix"))
  matrix_source(candidates, match_candidates(rownames(candidates), nrow(candidates), fit, real, !is.null(attr(candidates, "assign")), colnames(candidates)))
}

# `at`: which row of the candidates each cell is, and in which cell each row of the fit
matrix_source <- function(candidates, at) {
  if (ncol(candidates) == 0) abort_candidates("have no columns")
  names <- colnames(candidates)
  if (is.null(names)) names <- paste0("V", seq_len(ncol(candidates)))
  rows <- if (!identical(at$rows, seq_len(nrow(candidates)))) at$rows
  read <- function(j) block_values(candidates, rows, j)
  c(source_of(names, read, at), list(map = candidate_map(candidates), whole = if (is.null(rows) && is_plain(candidates)) candidates))
}

# Is there nothing to do but to look at the numbers?
is_plain <- function(x) is.matrix(x) && is.double(x) && !is.object(x)

source_of <- function(names, read, at) {
  list(m = length(names), names = names, read = read, cell = as.integer(at$cell), cells = as.integer(length(at$rows)), matched = at$by)
}

vector_candidate <- function(x) matrix(x, ncol = 1, dimnames = list(names(x), "candidate"))

# Numbers of some columns, in the rows that are wanted; NULL: all, as they are
block_values <- function(x, rows, j) {
  block <- x[, j, drop = FALSE]
  value <- if (inherits(block, "SnpMatrix")) copies_of_first(block) else as.matrix(block)
  if (!is.null(rows)) value <- value[rows, , drop = FALSE]
  if (storage.mode(value) != "double") storage.mode(value) <- "double"
  unname(value)
}

frame_candidates <- function(frame) {
  frame <- plain_numbers(frame)
  bad <- !vapply(frame, function(x) (is.numeric(x) || is.logical(x)) && is.null(dim(x)), NA)
  if (any(bad)) abort_candidates(
    paste0("have columns that are not numeric: ", first_names(names(frame)[bad]), "; give factors by a formula, as candidates = ~ ", names(frame)[bad][1])
  )
  named <- has_row_names(frame)
  value <- as.matrix(frame)
  if (named) value else unname_rows(value)
}

unname_rows <- function(x) {
  rownames(x) <- NULL
  x
}

# The columns of a model matrix, but for the intercept
formula_source <- function(formula, fit, data) {
  if (length(formula) != 2) abort_candidates("as a formula must have one side, as ~ a + b")
  frame <- frame_of_rows(formula, fit, data)
  if (is.null(frame)) abort_candidates("as a formula need data: give data =, the data frame of the fit")
  X <- formula_columns(formula, frame)
  rows <- seq_len(nrow(X))
  matrix_source(unname_rows(X), list(cell = rows, rows = rows, by = "rows"))
}

abort_candidates <- function(message, ...) abort_fastlmm("candidates", paste("candidates", message), ...)
