# Who is who, the rule of the whole package: rows of a formula, and of anything evaluated in `data`, are rows of the data. Automatic row names are no names,
# and 1 to n in order, as as.matrix(dist()) and model.matrix() give them, only count rows. Where names could mean two things the user is asked; ids of a
# grouping variable are always matched by name.

# Data frames tell (base R's D[1:3, ] keeps numbers as names, a tibble counts anew).
has_row_names <- function(data) .row_names_info(data) > 0

# 1 to n, in order
counts_rows <- function(names) length(names) > 0 && names[1] == "1" && identical(names, as.character(seq_along(names)))

are_numbers <- function(names) grepl("^[0-9]+$", names)

# Numbers that a subset of rows has kept
are_kept_numbers <- function(names) all(are_numbers(names)) && !is.unsorted(as.numeric(names), strictly = TRUE)

abort_row_names <- function(message, ...) abort_fastlmm("row_names", message, ...)

# ---- rows of the data of a fit --------------------------------------------------------------------------

# n: rows of data, before subset and missing values; named: have they names of their own? at: which of them are the rows of the fit (NULL: all)
rows_of_data <- function(parts, data, extras, whole, frame) {
  n <- if (is.data.frame(data)) nrow(data) else if (is.null(extras$subset)) nrow(whole) else NROW(eval(parts$fixed[[2]], data, environment(parts$fixed)))
  names <- if (nrow(frame) < n) if (is.data.frame(data)) rownames(data) else as.character(seq_len(n))
  list(n = n, named = is.data.frame(data) && has_row_names(data), at = if (!is.null(names)) match(rownames(frame), names), response = TRUE)
}

# Names of all rows that a kernel over rows may have; NULL where there is a grouping variable.
all_rows <- function(parts, data) {
  if (!is.null(parts$gp) || !is.null(parts$random[[1]]$group)) return(NULL)
  if (is.data.frame(data)) return(rownames(data))
  as.character(seq_len(NROW(eval(parts$fixed[[2]], data, environment(parts$fixed)))))
}

some_rows <- function(rows, used) {
  if (all(used)) return(rows)
  rows$at <- row_places(rows, length(used))[used]
  rows
}

# Fits of earlier versions do not tell.
fit_rows <- function(fit) {
  if (!is.null(fit$rows)) return(fit$rows)
  n <- nrow(fit$frame) + length(fit$na.action)
  list(n = n, named = TRUE, at = if (n > nrow(fit$frame)) setdiff(seq_len(n), fit$na.action), response = TRUE)
}

# Names of all rows of data, as far as the fit knows them
known_row_ids <- function(fit) {
  rows <- fit_rows(fit)
  if (rows$named || is.null(rows$at)) rownames(fit$frame) else as.character(seq_len(rows$n))
}

# `used`: rows of the fit
row_places <- function(rows, used) if (is.null(rows$at)) seq_len(used) else rows$at

# ---- a kernel over rows ---------------------------------------------------------------------------------

# The rows of K, by the names of rows of data. `names`: those of K, if any
row_kernel_ids <- function(names, m, term, design, what = "K") {
  rows <- design$row_ids
  named <- design$rows$named
  if (!is.null(names) && !counts_rows(names)) {
    if (!named && any(rows %in% names)) abort_automatic_rows(names, what)
    return(names)
  }
  by_name <- named && !is.null(names) && all(levels(term$id) %in% names)
  by_order <- m == length(rows)
  if (by_name && by_order && !identical(rows, names)) abort_two_orders(rows, what)
  if (by_name) return(names)
  if (by_order) return(rows_in_order(rows, names, what))
  if (is.null(names)) abort_kernel_rows(m, length(rows))
  if (!named) abort_counted_rows(m, length(rows), what)
  names
}

rows_in_order <- function(rows, names, what) {
  why <- if (is.null(names)) "has no names" else "has names that only count its rows"
  inform_fastlmm("position", paste0(what, " ", why, ": its rows are taken to be the ", counted(length(rows), "row"), " of data, in their order"))
  rows
}

name_the_rows <- function(what) paste0("give data row names of their own, those of ", what, ", or put the ids in a column and write (1 | id)")

abort_automatic_rows <- function(names, what) {
  abort_row_names(paste0(
    what, " is named ", first_names(names), " but data has automatic row names, which are not informative: ", name_the_rows(what), "; unname(", what,
    ") if its rows are those of data, in their order"
  ))
}

abort_two_orders <- function(rows, what) {
  abort_row_names(paste0(
    what, " is named 1 to ", length(rows), " and the rows of data have these names in another order, ", first_names(rows), ": are the rows of ", what,
    " those of data in their order, or by name? By order: unname(", what, "). By name: put the names in a column, data$id <- rownames(data), and write (1 | id)"
  ))
}

abort_counted_rows <- function(m, n, what) {
  abort_row_names(paste0(
    what, " is named 1 to ", m, " and data has ", counted(n, "row"), " with automatic names: which of the rows of ", what, " are they? Please ",
    name_the_rows(what), "; or give ", what,
    "[rows, rows] for these rows alone"
  ))
}

# ---- new rows where the kernel is over rows -------------------------------------------------------------

# Names of their own are ids. Numbers and automatic names are believed where newdata has the response of these rows of the fit; else rows are new.
new_row_ids <- function(fit, newdata) {
  names <- rownames(newdata)
  label <- sprintf("row %d of %d of newdata", seq_along(names), length(names))
  if (has_row_names(newdata)) return(ifelse(are_numbers(names), numbered_rows(fit, newdata, names, label), names))
  rows <- rownames(fit$frame)
  at <- if (nrow(newdata) == fit_rows(fit)$n) row_places(fit_rows(fit), length(rows)) else if (nrow(newdata) == length(rows)) seq_along(rows)
  if (is.null(at) || !isTRUE(rows_agree(fit, newdata, at, TRUE))) return(label)
  if (!fit_rows(fit)$named && nrow(newdata) == fit_rows(fit)$n) label <- as.character(seq_along(names))
  replace(label, at, rows)
}

# Numbers of rows that the fit has not seen are names that K may have.
numbered_rows <- function(fit, newdata, names, label) {
  at <- match(names, rownames(fit$frame))
  seen <- which(!is.na(at))
  if (length(seen) == 0) return(names)
  same <- rows_agree(fit, newdata[seen, , drop = FALSE], at[seen], TRUE, into = TRUE)
  if (isTRUE(same)) names else replace(names, seen, label[seen])
}

is_new_row <- function(id) grepl("^row [0-9]+ of [0-9]+ of newdata$", id)

abort_new_rows <- function(id) {
  abort_row_names(paste0(
    "the kernel is over the rows of data, and newdata does not say which rows it has (", first_names(id),
    "): automatic row names and numbers are those of the data of the fit only if newdata ",
    paste0(
      "has its response too. Are they new rows? Give K = (kernel of the new rows by the old), or allow.new.levels = TRUE for an effect of 0. Rows of the ",
      "fit? Give them names of their own in both, "
    ),
    "or write (1 | id)"
  ), levels = id)
}

# Rows of a cross kernel without names, or with names that only count them, are the rows of newdata.
cross_row_names <- function(names, m, ids) {
  new <- ids[is_new_row(ids)]
  if (length(new) == 0 || !(is.null(names) || counts_rows(names)) || m != rows_asked(new)) return(names)
  inform_fastlmm("position", paste0("the rows of K are taken to be the ", counted(m, "row"), " of newdata, in their order"))
  sprintf("row %d of %d of newdata", seq_len(m), m)
}

rows_asked <- function(new) as.numeric(sub("^row [0-9]+ of ([0-9]+) of newdata$", "\\1", new[1]))

# The same for prior variances
row_diagonal <- function(k_diag, id) {
  new <- id[is_new_row(id)]
  if (length(new) == 0 || length(k_diag) != rows_asked(new)) return(k_diag)
  if (length(k_diag) > 1 && (is.null(names(k_diag)) || counts_rows(names(k_diag)))) names(k_diag) <- sprintf(
    "row %d of %d of newdata", seq_along(k_diag), length(k_diag)
  )
  k_diag
}

# ---- anything evaluated in data after the fit -----------------------------------------------------------

# Variables of a one-sided formula in the rows of the fit: from the frame that it keeps, else from data that are still those of the fit.
frame_of_rows <- function(formula, fit, data = NULL) {
  variables <- expression_variables(formula[[2]])
  if (is.null(data) && all(variables %in% names(fit$frame))) {
    return(data_frame_of(formula, fit$frame))
  }
  if (is.null(data)) data <- tryCatch(eval(fit$call$data, environment(fit$formula)), error = function(e) NULL)
  if (is.null(data)) return(NULL)
  data <- as_data_frame(data)
  at <- places_in_data(data, fit)
  frame <- data_frame_of(formula, data)
  if (nrow(frame) != nrow(data)) abort_rows_of_data(nrow(frame), fit)
  structure(frame[at, , drop = FALSE], terms = attr(frame, "terms"))
}

# Where the rows of the fit are in data: by names, else in order, as far as what data and the fit share is the same there.
places_in_data <- function(data, fit) {
  rows <- rownames(fit$frame)
  n <- nrow(data)
  ways <- list(
    names = if (has_row_names(data)) match(rows, rownames(data)),
    order = if (n == fit_rows(fit)$n) row_places(fit_rows(fit), length(rows)),
    used = if (n == length(rows)) seq_along(rows),
    complete = if (n == length(rows) + length(fit$na.action)) setdiff(seq_len(n), fit$na.action)
  )
  ways <- Filter(function(at) length(at) > 0 && !anyNA(at), ways)
  if (length(ways) == 0) abort_rows_of_data(n, fit)
  same <- vapply(ways, function(at) rows_agree(fit, data, at), NA)
  if (any(same, na.rm = TRUE)) return(ways[[which(same)[1]]])
  if (any(!same, na.rm = TRUE)) abort_other_data(fit, data, ways[[1]])
  if (names(ways)[1] == "names" && fit_rows(fit)$named) return(ways[[1]])
  inform_fastlmm("row_order", "data share no variable with the fit: their rows are taken to be those of the data of the fit, in order")
  ways[[length(ways)]]
}

abort_other_data <- function(fit, data, at) {
  abort_fastlmm("rows", paste0(
    "data are not those of the fit: ", first_names(differing_columns(fit, data, at)),
    " differ in their rows; have they been sorted or changed? Give data = with the rows of the fit"
  ))
}

abort_rows_of_data <- function(n, fit) {
  left_out <- fit_rows(fit)$n - nrow(fit$frame)
  abort_fastlmm("rows", sprintf("the data have %d rows, the fit has %d%s", n, nrow(fit$frame), if (left_out > 0) paste(" and left out", left_out) else ""))
}

# Is what data and the frame of the fit share the same, in rows `at` of data? NA if they share nothing. `response`: asks for the response alone, as long as it
# is the one of the data. `into`: data are rows `at` of the fit.
rows_agree <- function(fit, data, at, response = FALSE, into = FALSE) {
  response <- response && isTRUE(fit_rows(fit)$response)
  same <- unlist(lapply(if (response) 1 else shared_columns(fit), same_column, fit = fit, data = data, at = at, into = into))
  same <- same[!is.na(same)]
  if (length(same) == 0) NA else all(same)
}

differing_columns <- function(fit, data, at) {
  columns <- shared_columns(fit)
  same <- vapply(columns, same_column, NA, fit = fit, data = data, at = at)
  names(fit$frame)[columns[!is.na(same) & !same]]
}

# Columns of the frame that are variables; without the response where refit() has put another.
shared_columns <- function(fit) {
  columns <- seq_along(as.list(attr(attr(fit$frame, "terms"), "variables"))[-1])
  if (isTRUE(fit_rows(fit)$response)) columns else columns[-1]
}

same_column <- function(i, fit, data, at, into = FALSE) {
  found <- column_again(i, fit, data)
  if (NROW(found) != nrow(data)) return(NA)
  frame <- fit$frame[[i]]
  if (into) same_values(rows_in(found, seq_len(NROW(found))), rows_in(frame, at)) else same_values(rows_in(found, at), rows_in(frame, seq_len(NROW(frame))))
}

rows_in <- function(x, at) if (length(dim(x)) == 2) as.matrix(x)[at, , drop = FALSE] else x[at]

# A variable of the frame evaluated in data; NULL where data lack it
column_again <- function(i, fit, data) {
  name <- names(fit$frame)[i]
  if (name %in% names(data)) return(plain_coordinate(data[[name]], name))
  terms <- attr(fit$frame, "terms")
  expression <- (if (is.null(attr(terms, "predvars"))) attr(terms, "variables") else attr(terms, "predvars"))[[1 + i]]
  needed <- expression_variables(expression)
  if (length(intersect(needed, names(data))) == 0 || !all(intersect(needed, attr(fit$terms, "columns")) %in% names(data))) return(NULL)
  tryCatch(suppressWarnings(eval(expression, data, environment(fit$formula))), error = function(e) NULL)
}

same_values <- function(a, b) {
  plain <- function(x) if (is.factor(x) || is.character(x)) as.character(x) else as.numeric(x)
  a <- plain(a)
  b <- plain(b)
  length(a) == length(b) && all(is.na(a) == is.na(b)) && all(a == b, na.rm = TRUE)
}

# ---- rows of candidates -----------------------------------------------------------------------------------

# Each reading of the names is a way to say which row of the candidates a row of the fit has. `real`: names that are ids for certain, as of genotype files;
# `model`: rows of a model matrix
match_candidates <- function(names, n, fit, real = FALSE, model = FALSE, columns = NULL) {
  names <- full_numbers(names)
  found <- list(ids = candidate_ids(names, fit), rows = candidate_rows(names, fit, real, model), order = if (!real) order_of_data(names, n, fit))
  found <- Filter(Negate(is.null), found)
  if (length(found) == 0) abort_unmatched(names, n, fit, columns)
  of_rows <- model && (isTRUE(fit_rows(fit)$named) || are_kept_numbers(names))
  if (length(found) > 1 && !is.null(found$ids) && (of_rows || names_no_ids(names, fit))) found$ids <- NULL
  place <- lapply(found, function(one) one$rows[one$cell])
  if (length(unique(place)) > 1) abort_two_readings(names, names(found))
  c(found[[1]], by = names(found)[1])
}

# Each name may stand once, for all rows of the fit that want it.
named_places <- function(wanted, names) {
  if (is.null(names) || anyDuplicated(wanted) || !all(wanted %in% names) || any(wanted %in% names[duplicated(names)])) return(NULL)
  match(wanted, names)
}

candidate_ids <- function(names, fit) {
  random <- fit$random[[1]]
  at <- named_places(random$ids[random$index], names)
  if (!is.null(at)) list(cell = random$group, rows = at)
}

# By the names of rows of data; by numbers only if they are those that rows have kept, of a model matrix in any order.
candidate_rows <- function(names, fit, real, model) {
  rows <- rownames(fit$frame)
  may_be_kept <- !real && !is.null(names) && !counts_rows(names) && (are_kept_numbers(names) || model && all(are_numbers(names)))
  if (!isTRUE(fit_rows(fit)$named) && !may_be_kept) return(NULL)
  at <- named_places(rows, names)
  if (!is.null(at)) list(cell = seq_along(rows), rows = at)
}

order_of_data <- function(names, n, fit) {
  used <- nrow(fit$frame)
  if (!is.null(names) && !counts_rows(names)) return(NULL)
  if (n == used) list(cell = seq_len(used), rows = seq_len(used)) else if (n == fit_rows(fit)$n) list(
    cell = seq_len(used), rows = row_places(fit_rows(fit), used)
  )
}

# Are there names that no id has, so that these are not names of ids?
names_no_ids <- function(names, fit) !all(names %in% fit$random[[1]]$ids)

abort_unmatched <- function(names, n, fit, columns) {
  random <- fit$random[[1]]
  ids <- random$ids[random$index]
  hint <- transposed_hint(ids, columns, "candidates")
  if (is.null(names)) {
    what <- if (nzchar(hint)) hint else "name the rows by id"
    abort_candidates(sprintf("have no row names and %d rows, but the fit has %d; %s", n, nrow(fit$frame), what))
  }
  twice <- names[duplicated(names)]
  if (any(ids %in% twice)) abort_candidates(paste0("have several rows for the same id: ", first_names(intersect(twice, ids))), ids = intersect(twice, ids))
  missing <- setdiff(ids, names)
  hint <- c(hint, gsub("\\bK\\b", "candidates", rule_hint(missing, names)))
  hint <- c(hint[nzchar(hint)], "their row names must be ids, or the row names of the data")[1]
  abort_candidates(paste0("lack rows for ", counted(length(missing), "id"), " of the fit: ", first_names(missing), "; ", hint), ids = missing)
}

abort_two_readings <- function(names, ways) {
  say <- c(ids = "ids of the random effect", rows = "row names of the data", order = "numbers that count the rows of the data")[ways]
  abort_row_names(paste0(
    "row names of candidates, ", first_names(names), ", could be ", paste(say, collapse = " or "),
    ", which give different tests. For ids give them names that are not numbers, ",
    "in data, K and candidates; for the rows of the data, in order, unname() the candidates, or give a formula"
  ))
}

inform_in_order <- function() {
  inform_fastlmm("candidate_order", "candidates have no row names, or only names 1 to n: their rows are taken to be those of the data, in order")
}
