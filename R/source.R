# Candidates as a scan reads them: anything with rows and columns, a block of columns at a time.

# A list: m columns with names; `read(j)` gives numbers, cells x length(j), NA where missing; `cell` says which cell each row of the fit is in; `whole` is a matrix that needs no reading.
candidate_source <- function(candidates, fit, data = NULL) {
  if (inherits(candidates, "formula")) return(formula_source(candidates, fit, data))
  if (is.character(candidates) && is.null(dim(candidates))) candidates <- open_bed(candidates)
  if (is_plink_list(candidates)) candidates <- plink_candidates(candidates)
  if (is.numeric(candidates) && is.null(dim(candidates))) candidates <- vector_candidate(candidates)
  if (is.data.frame(candidates)) candidates <- frame_candidates(candidates)
  if (length(dim(candidates)) != 2) {
    abort_candidates(paste0("must have rows and columns: a matrix, data frame, formula, or anything with dim() and `[ , j]`; not an object of class ", class(candidates)[1]))
  }
  if (is.matrix(candidates) && !is.numeric(candidates) && !is.logical(candidates) && !inherits(candidates, "SnpMatrix")) {
    abort_candidates(paste0("must be numbers, not of type ", typeof(candidates)))
  }
  if (ncol(candidates) == 0) abort_candidates("have no columns")
  at <- match_candidates(rownames(candidates), nrow(candidates), fit)
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
  bad <- !vapply(frame, function(x) (is.numeric(x) || is.logical(x)) && is.null(dim(x)), NA)
  if (any(bad)) abort_candidates(paste0("have columns that are not numeric: ", first_names(names(frame)[bad]), "; give factors by a formula, as candidates = ~ ", names(frame)[bad][1]))
  names <- attr(frame, "row.names")
  value <- as.matrix(frame)
  # automatic row names say nothing
  if (is.integer(names)) rownames(value) <- NULL
  value
}

# The columns of a model matrix, but for the intercept
formula_source <- function(formula, fit, data) {
  if (length(formula) != 2) abort_candidates("as a formula must have one side, as ~ a + b")
  if (is.null(data)) data <- tryCatch(eval(fit$call$data, environment(fit$formula)), error = function(e) NULL)
  if (is.null(data)) abort_candidates("as a formula need data: give data =, the data frame of the fit")
  frame <- data_frame_of(formula, as_data_frame(data))
  X <- stats::model.matrix(formula, frame)
  names <- colnames(X)[colnames(X) != "(Intercept)"]
  X <- X[, names, drop = FALSE]
  rownames(X) <- rownames(as_data_frame(data))
  candidate_source(X, fit)
}

# ---- rows ---------------------------------------------------------------------------------------------

# By the ids of the random effect, else by the names of the data's rows, else in order
match_candidates <- function(names, n, fit) {
  random <- fit$random[[1]]
  ids <- random$ids[random$index]
  rows <- rownames(fit$frame)
  if (is.null(names)) return(in_order(n, fit))
  twice <- names[duplicated(names)]
  usable <- function(wanted) all(wanted %in% names) && !any(wanted %in% twice)
  if (usable(ids)) return(list(cell = random$group, rows = match(ids, names), by = "ids"))
  if (usable(rows)) return(list(cell = seq_along(rows), rows = match(rows, names), by = "rows"))
  if (any(ids %in% twice)) abort_candidates(paste0("have several rows for the same id: ", first_names(intersect(twice, ids))), ids = intersect(twice, ids))
  missing <- setdiff(ids, names)
  abort_candidates(paste0(
    "lack rows for ", counted(length(missing), "id"), " of the fit: ", first_names(missing), "; their row names must be ids, or the row names of the data"
  ), ids = missing)
}

in_order <- function(n, fit) {
  used <- nrow(fit$frame)
  all <- used + length(fit$na.action)
  if (n == used) return(list(cell = seq_len(used), rows = seq_len(used), by = "order"))
  if (n == all) return(list(cell = seq_len(used), rows = setdiff(seq_len(all), fit$na.action), by = "order"))
  abort_candidates(sprintf("have no row names and %d rows, but the fit has %d; name the rows by id", n, used))
}

inform_in_order <- function() {
  inform_fastlmm("candidate_order", "candidates have no row names: their rows are taken to be those of the data, in order")
}

abort_candidates <- function(message, ...) abort_fastlmm("candidates", paste("candidates", message), ...)
