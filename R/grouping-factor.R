# A random term in the data: ids as a factor of labels, and the multiplier of a slope.

mold_term <- function(term, whole, frame) {
  # a factor has a term for each level, a matrix one for each column
  slopes <- frame_column(frame, term$slope)
  if (is_categorical(slopes) || NCOL(slopes) > 1) term$left <- call("+", 0, term$slope)
  if (!is.null(term$left)) return(mold_correlated(term, whole, frame))
  z <- slope_values(slopes, term$slope, nrow(frame))
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
  if (inherits(x, "integer64")) x <- plain_integer64(x)
  if (is.numeric(x) && !is.object(x)) return(numeric_factor(as.numeric(x)))
  id <- if (is.factor(x)) droplevels(x) else factor(as.character(x))
  labels <- full_numbers(named_missing(levels(id)))
  if (!identical(labels, levels(id))) levels(id) <- labels
  id
}

# The level NA that addNA() makes is the id "NA".
named_missing <- function(levels) {
  if (!anyNA(levels)) return(levels)
  if ("NA" %in% levels) abort_fastlmm("group", "a grouping variable has both the level NA, as addNA() makes it, and a level named \"NA\"; rename the latter")
  replace(levels, is.na(levels), "NA")
}

# Whole numbers are exact up to 2^53; beyond, neighbours are the same number. as.character() would give 15 digits, and follow getOption("OutDec").
numeric_factor <- function(x) {
  value <- sort(unique(x))
  whole <- value == round(value)
  large <- whole & abs(value) > 2^53
  if (any(large)) abort_large_ids(value[large])
  factor(x, levels = value, labels = ifelse(whole, sprintf("%.0f", value + 0), sprintf("%.15g", value)))
}

abort_large_ids <- function(value) {
  abort_fastlmm("large_ids", paste0(
    "ids are numbers beyond 2^53, which doubles cannot hold exactly: ", first_names(sprintf("%.0f", value)),
    "; read them as character, with colClasses = \"character\""
  ))
}

# "1e+05", which R makes of 100000, in full
full_numbers <- function(x) {
  if (!any(grepl("e+", x, fixed = TRUE))) return(x)
  scientific <- grepl("^-?[0-9](\\.[0-9]+)?e\\+[0-9]{2}$", x)
  if (!any(scientific)) return(x)
  value <- as.numeric(x[scientific])
  whole <- value == round(value) & abs(value) <= 2^53
  full <- replace(x, scientific, ifelse(whole, sprintf("%.0f", value), x[scientific]))
  if (length(unique(full)) < length(unique(x))) x else full
}

# Numbers without classes that refuse arithmetic. Columns of bit64's integer64 keep their digits in the bits of a double, which nobody may read as one.
plain_numbers <- function(data) {
  wide <- vapply(data, inherits, NA, "integer64")
  if (any(wide)) data[wide] <- lapply(data[wide], plain_integer64)
  # labelled numbers, as haven reads them
  labelled <- vapply(data, function(x) inherits(x, "vctrs_vctr") && is.atomic(x), NA)
  if (any(labelled)) data[labelled] <- lapply(data[labelled], function(x) as.vector(unclass(x)))
  data
}

# Two halves of 32 bits, the lower without a sign; the least of all stands for NA.
plain_integer64 <- function(x) {
  half <- matrix(readBin(writeBin(as.numeric(unclass(x)), raw(), endian = "little"), "integer", 2 * length(x), endian = "little"), 2)
  missing <- is.na(half[2, ])
  lower <- ifelse(is.na(half[1, ]), 2^31, half[1, ])
  value <- half[2, ] * 2^32 + ifelse(lower < 0, lower + 2^32, lower)
  if (any(abs(value[!missing]) > 2^53)) abort_large_ids(value[!missing & abs(value) > 2^53])
  value
}

slope_values <- function(x, slope, n) {
  if (is.null(slope)) return(rep(1, n))
  if (!is.numeric(x) || NCOL(x) > 1) abort_slope(slope, paste("must be one numeric variable, not", class(x)[1]))
  if (any(is.infinite(x))) abort_slope(slope, paste("is infinite in", counted(sum(is.infinite(x)), "row")))
  as.numeric(x)
}

abort_slope <- function(slope, message) abort_fastlmm("slope", paste("slope", quoted(deparse1(slope)), message))
