# A random term in the data: ids as a factor of labels, and the multiplier of a slope.

mold_term <- function(term, whole, frame) {
  z <- slope_values(frame_column(frame, term$slope), term$slope, nrow(frame))
  list(group = term$group, slope = term$slope, id = mold_id(term$group, frame), z = z, slope_call = predict_call(whole, term$slope))
}

mold_id <- function(group, frame) {
  if (is.null(group)) return(factor(rownames(frame), levels = rownames(frame)))
  id <- group_factor(lapply(group_leaves(group), frame_column, frame = frame))
  if (anyNA(id)) abort_missing_id(group, is.na(id), rownames(frame))
  id
}

abort_missing_id <- function(group, bad, rows) {
  abort_fastlmm("missing_id", paste0("grouping variable ", quoted(deparse1(group)), " is missing in ", rows_at(bad, rows), "; use na.action = na.omit"))
}

# One factor of the columns that a:b names; levels in the order of its variables'
group_factor <- function(columns) {
  ids <- lapply(columns, id_factor)
  if (length(ids) == 1) ids[[1]] else droplevels(interaction(ids, sep = ":", lex.order = TRUE))
}

# Ids are compared as character, and 100000 is the same id as "1e+05", which R makes of it.
id_factor <- function(x) {
  if (!is.atomic(x) || NCOL(x) > 1) abort_fastlmm("group", "a grouping variable must be a vector: factor, character or numbers")
  if (is.numeric(x) && !is.object(x)) return(numeric_factor(as.numeric(x)))
  id <- if (is.factor(x)) droplevels(x) else factor(as.character(x))
  levels(id) <- full_numbers(named_missing(levels(id)))
  id
}

# The level NA that addNA() makes is the id "NA".
named_missing <- function(levels) {
  if (!anyNA(levels)) return(levels)
  if ("NA" %in% levels) abort_fastlmm("group", "a grouping variable has both the level NA, as addNA() makes it, and a level named \"NA\"; rename the latter")
  replace(levels, is.na(levels), "NA")
}

# as.character() would follow getOption("OutDec").
numeric_factor <- function(x) {
  value <- sort(unique(x))
  whole <- value == round(value) & abs(value) < 1e15
  factor(x, levels = value, labels = ifelse(whole, sprintf("%.0f", value + 0), sprintf("%.15g", value)))
}

full_numbers <- function(x) {
  scientific <- grepl("^-?[0-9](\\.[0-9]+)?e\\+[0-9]{2}$", x)
  if (!any(scientific)) return(x)
  full <- replace(x, scientific, sprintf("%.0f", as.numeric(x[scientific])))
  if (length(unique(full)) < length(unique(x))) x else full
}

slope_values <- function(x, slope, n) {
  if (is.null(slope)) return(rep(1, n))
  if (!is.numeric(x) || NCOL(x) > 1) abort_slope(slope, paste("must be one numeric variable, not", class(x)[1]))
  if (any(is.infinite(x))) abort_slope(slope, paste("is infinite in", counted(sum(is.infinite(x)), "row")))
  as.numeric(x)
}

abort_slope <- function(slope, message) abort_fastlmm("slope", paste("slope", quoted(deparse1(slope)), message))
