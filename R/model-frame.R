# The model frame: every variable that the model needs, looked up in data first, and the rows that stay.

as_data_frame <- function(data, what = "data") {
  if (is.null(data) || is.environment(data)) return(data)
  if (inherits(data, "Spatial")) data <- from_sp(data, what)
  if (is.matrix(data) && is.null(colnames(data))) abort_data(paste(what, "is a matrix without column names; name its columns by variable"))
  if (is.data.frame(data) || is.matrix(data)) return(plain_numbers(as.data.frame(data)))
  if (!is.list(data) || is.null(names(data))) abort_data(paste(what, "must be a data frame, not an object of class", class(data)[1]))
  rows <- vapply(data, NROW, 0L)
  if (length(unique(rows)) > 1) {
    abort_data(paste0("elements of the list ", what, " have different lengths: ", first_names(sprintf("%s: %d", names(data), rows))))
  }
  plain_numbers(structure(data, class = "data.frame", row.names = .set_row_names(rows[1])))
}

needed_frame <- function(data, what) {
  if (is.null(data) || is.environment(data)) abort_data(paste(what, "must be a data frame, not", class(data)[1]))
  as_data_frame(data, what)
}

# Model frame of all variables: fixed part, grouping, slope, weights, offset. All rows of the subset, missing values too.
model_variables <- function(parts, data, extras) {
  formula <- parts$fixed
  for (variable in c(random_variables(parts$random), parts$gp$coordinates)) formula[[3]] <- call("+", formula[[3]], variable)
  data_frame_of(formula, data, extras)
}

random_variables <- function(terms) {
  unique(unlist(lapply(terms, function(term) c(group_leaves(term$group), term$slope, left_variables(term$left))), recursive = FALSE))
}

left_variables <- function(left) if (!is.null(left)) as.list(attr(left_terms(left), "variables"))[-1]

# Terms of the fixed part; everything that depends on the data comes from the frame of all variables.
fixed_terms <- function(parts, whole, data, extras) {
  all <- attr(whole, "terms")
  terms <- stats::terms(parts$fixed)
  at <- vapply(as.list(attr(terms, "variables"))[-1], frame_at, 0L, frame = whole)
  attr(terms, "predvars") <- attr(all, "predvars")[c(1, 1 + at)]
  attr(terms, "dataClasses") <- attr(all, "dataClasses")[at]
  attr(terms, "columns") <- column_names(all, data, extras, nrow(whole))
  terms
}

# ---- rows ---------------------------------------------------------------------------------------------

settle_rows <- function(whole, na.action) {
  frame <- drop_incomplete(whole, na.action)
  check_some_rows(frame, nrow(whole))
  weights <- frame[["(weights)"]]
  if (!is.null(weights)) {
    check_weights(weights, rownames(frame))
    if (all(weights == 0)) abort_weights("are zero in all rows")
    frame[["(weights)"]] <- as.numeric(weights)
    if (any(weights == 0)) frame <- drop_zero_weights(frame, weights)
  }
  for (name in names(frame)[vapply(frame, is.factor, NA)]) frame[[name]] <- drop_levels(frame[[name]], name)
  attr(frame, "terms") <- attr(whole, "terms")
  frame
}

drop_incomplete <- function(whole, na.action) {
  if (identical(na.action, stats::na.fail) && anyNA(whole, recursive = TRUE)) abort_missing_values(whole)
  if (is_many(whole[[1]])) drop_incomplete_many(whole, na.action) else answered_frame(whole, na.action)
}

answered_frame <- function(whole, na.action) {
  if (is_complete(whole, na.action)) return(whole)
  empty <- vapply(whole, NCOL, 0L) == 0 & seq_along(whole) > 1
  if (any(empty)) abort_data(paste("variable", quoted(names(whole)[empty][1]), "has no columns"))
  frame <- tryCatch(suppressWarnings(na.action(whole)), error = function(error) error)
  if (is.data.frame(frame) && identical(names(frame), names(whole))) return(frame)
  why <- if (inherits(frame, "error")) paste("stopped with:", conditionMessage(frame)) else paste("gave an object of class", class(frame)[1])
  abort_fastlmm("na_action", paste("na.action must give the rows of the model frame that are kept, as na.omit does; it", why))
}

# R's own ways of leaving rows out have nothing to do; somebody else's function is asked in any case.
is_complete <- function(whole, na.action) {
  own <- identical(na.action, stats::na.omit) || identical(na.action, stats::na.exclude)
  own && !anyNA(whole, recursive = TRUE) && all(vapply(whole, NCOL, 0L) > 0)
}

drop_zero_weights <- function(frame, weights) {
  inform_zero_weights(sum(weights == 0))
  frame[weights > 0, , drop = FALSE]
}

# Unused levels go; contrasts that are a matrix were made for all of them.
drop_levels <- function(x, name) {
  if (!is.factor(x) || all(levels(x) %in% x)) return(x)
  contrasts <- attr(x, "contrasts")
  x <- x[, drop = TRUE]
  if (is.character(contrasts)) attr(x, "contrasts") <- contrasts
  if (is.matrix(contrasts)) warn_contrasts_dropped(name)
  x
}

warn_contrasts_dropped <- function(name) {
  warn_fastlmm(
    "contrasts_dropped",
    paste0("factor ", quoted(name), " has unused levels, so its contrast matrix is not used; drop the levels first, or give contrasts =")
  )
}

# The rows left out, in the form that naresid() understands
omitted_rows <- function(whole, frame, na.action) {
  # a million row names are strings as soon as they are compared
  if (nrow(frame) == nrow(whole)) return(NULL)
  out <- which(!rownames(whole) %in% rownames(frame))
  if (length(out) == 0) return(NULL)
  class <- if (identical(na.action, stats::na.exclude)) "exclude" else "omit"
  structure(out, names = rownames(whole)[out], class = class)
}

# ---- places in the frame ------------------------------------------------------------------------------

frame_at <- function(frame, expr) which(vapply(as.list(attr(attr(frame, "terms"), "variables"))[-1], identical, NA, expr))[1]

frame_column <- function(frame, expr) if (!is.null(expr)) frame[[frame_at(frame, expr)]]

predict_call <- function(frame, expr) if (!is.null(expr)) attr(attr(frame, "terms"), "predvars")[[1 + frame_at(frame, expr)]]
