# Conditions: the constructors, the words that messages share, and the check_/abort_ pairs of arguments and data.
# The pairs of the formula and of the kernel stand with what they check, in formula.R and kernel-checks.R.

abort_fastlmm <- function(what, message, call = user_call(), ...) {
  stop(errorCondition(message, class = c(paste0("fastlmm_error_", what), "fastlmm_error"), call = call, ...))
}

warn_fastlmm <- function(what, message, call = user_call(), ...) {
  warning(warningCondition(message, class = c(paste0("fastlmm_warning_", what), "fastlmm_warning"), call = call, ...))
}

inform_fastlmm <- function(what, message, ...) {
  class <- c(paste0("fastlmm_message_", what), "fastlmm_message", "message", "condition")
  message(structure(class = class, list(message = paste0(message, "\n"), call = NULL, ...)))
}

# Without a message that has been given
muffled <- function(what, value) {
  classes <- structure(list(function(message) invokeRestart("muffleMessage")), names = paste0("fastlmm_message_", what))
  do.call(withCallingHandlers, c(list(quote(value)), classes), envir = environment())
}

# The call that the user wrote: the outermost frame that runs a function of this package.
user_call <- function() {
  namespace <- parent.env(environment())
  for (i in seq_len(sys.nframe())) {
    if (identical(environment(sys.function(i)), namespace)) return(sys.call(i))
  }
}

# Is this function being called, at whatever depth?
is_running <- function(f) {
  for (i in seq_len(sys.nframe())) if (identical(sys.function(i), f)) return(TRUE)
  FALSE
}

# ---- words --------------------------------------------------------------------------------------------

quoted <- function(x) dQuote(x, FALSE)

# The first five offenders
first_names <- function(x) {
  shown <- if (is.character(x)) quoted(shortened(utils::head(x, 5))) else format(utils::head(x, 5), trim = TRUE)
  paste0(toString(shown), if (length(x) > 5) ", ...")
}

# A name that no line holds is shown by its beginning.
shortened <- function(x, width = 60) {
  x[!is_text(x)] <- "(not valid text)"
  long <- !is.na(x) & nchar(x) > width
  replace(x, long, paste0(substr(x[long], 1, width), "..."))
}

is_text <- function(x) is.na(x) | validEnc(x) & Encoding(x) != "bytes"

is_are <- function(n) if (n == 1) "is" else "are"

counted <- function(n, what, plural = paste0(what, "s")) {
  paste(format(n, big.mark = ",", trim = TRUE, scientific = FALSE), if (n == 1) what else plural)
}

# 'rows 3, 7, ... (12 of 200)'
rows_at <- function(bad, names) {
  bad <- which(bad)
  sprintf("%s %s (%d of %d)", if (length(bad) == 1) "row" else "rows", first_names(names[bad]), length(bad), length(names))
}

# Code as it was written; a value that do.call() put in its place is told by its class.
code_text <- function(expr, width = 60) {
  if (is.language(expr) || is.atomic(expr) && length(expr) <= 3) strtrim(deparse1(expr), width) else paste0("<", class(expr)[1], ">")
}

call_text <- function(call) {
  arguments <- vapply(as.list(call)[-1], code_text, "")
  name <- names(arguments)
  if (!is.null(name)) arguments <- paste0(name, ifelse(nzchar(name), " = ", ""), arguments)
  paste0(code_text(call[[1]]), "(", toString(arguments), ")")
}

did_you_mean <- function(name, candidates) {
  distance <- utils::adist(name, candidates, ignore.case = TRUE)
  close <- candidates[distance <= max(1, nchar(name) %/% 4) & distance < nchar(name)]
  if (length(close) == 0) "" else paste0("; did you mean ", first_names(close), "?")
}

gib <- function(bytes) paste(format(bytes / 2^30, digits = 3, trim = TRUE), "GiB")

# ---- arguments ----------------------------------------------------------------------------------------

# How many rows of a table to show
check_shown <- function(n) {
  if (is.numeric(n) && length(n) == 1 && isTRUE(n >= 0)) return(invisible())
  abort_fastlmm("n", paste("n, how many to show, must be one number that is not negative, not", deparse1(n)))
}

# Compiled code trusts the slots of an S4 object; one that lies about them may end R.
check_valid <- function(x, name, class) {
  why <- if (isS4(x)) tryCatch(methods::validObject(x, test = TRUE, complete = TRUE), error = conditionMessage)
  if (is.null(why) || isTRUE(why)) return(invisible(x))
  abort_fastlmm(class, paste0(name, " is not a valid object of class ", class(x)[1], ": ", paste(why, collapse = "; "), "; make it anew"))
}

# ---- data ---------------------------------------------------------------------------------------------

check_one_name <- function(data, used) {
  if (anyDuplicated(names(data)) == 0) return(invisible())
  twice <- intersect(unique(names(data)[duplicated(names(data))]), used)
  if (length(twice) == 0) return(invisible())
  warn_fastlmm(
    "duplicated_column",
    paste0("data has several columns called ", first_names(twice), "; the first is used"),
    columns = twice
  )
}

abort_data <- function(message) abort_fastlmm("data", message)

abort_missing_variable <- function(name, candidates, where = "data") {
  abort_fastlmm(
    "missing_variable",
    paste0("variable ", quoted(name), " is not in ", where, did_you_mean(name, candidates)),
    variable = name
  )
}

check_column <- function(value, name) {
  if (isS4(value)) abort_s4_column(value, name)
  if (is.list(value) && !is.data.frame(value) && !inherits(value, "POSIXlt")) abort_list_column(name)
  check_sound(value, name)
}

# Of new data, too
check_sound <- function(value, name) {
  check_factor_codes(value, name)
  check_encoding(if (is.factor(value)) levels(value) else value, paste("variable", quoted(name)))
}

# R itself stops at a factor whose codes have no levels, wherever it is read
check_factor_codes <- function(value, name) {
  if (!is.factor(value)) return(invisible())
  codes <- unclass(value)
  sound <- is.numeric(codes) && is.character(levels(value)) && all(is.na(codes) | codes >= 1 & codes <= nlevels(value))
  if (!sound && length(value) > 0) abort_fastlmm(
    "factor", paste0("variable ", quoted(name), " is a malformed factor: it has codes without a level; create it again from as.character()"), variable = name
  )
}

check_encoding <- function(text, what) {
  if (!is.character(text)) return(invisible())
  bad <- sum(!is_text(text))
  if (bad > 0) abort_fastlmm(
    "encoding", sprintf("%s has text that is not valid in its encoding (%s); read it with fileEncoding =, or use iconv()", what, counted(bad, "value"))
  )
}

abort_s4_column <- function(value, name) {
  abort_fastlmm(
    "s4_column",
    paste0(
      "variable ", quoted(name), " is an S4 object of class ", class(value)[1],
      ", which a formula cannot hold; use as.matrix() on a few columns, or give it to fastlmm_scan() as candidates"
    ),
    variable = name
  )
}

abort_list_column <- function(name) {
  abort_fastlmm(
    "list_column",
    paste0("variable ", quoted(name), " is a list; give a vector, with unlist() if each element is one number"),
    variable = name
  )
}

abort_model_frame <- function(error, hint = NULL) {
  abort_fastlmm("model_frame", paste0("the variables of the model do not fit together: ", conditionMessage(error), hint))
}

check_some_rows <- function(frame, dropped) {
  if (nrow(frame) > 0) return(invisible())
  why <- if (dropped > 0) paste0("; all ", counted(dropped, "row"), " have missing values") else "; data or subset is empty"
  abort_fastlmm("no_rows", paste0("0 (non-NA) cases", why))
}

# ---- response -----------------------------------------------------------------------------------------

check_response <- function(y, name) {
  if (is.matrix(y) && ncol(y) == 0) abort_fastlmm("no_responses", paste0("the response ", quoted(name), " has no columns"))
  if (!is.numeric(y) && !is.logical(y) || inherits(y, c("Date", "POSIXct", "difftime", "Surv"))) abort_response_type(y, name)
}

abort_many_responses <- function(n) {
  abort_fastlmm("many_responses", paste0("the new response has ", n, " columns, but the fit is of one; fit cbind() of them with fastlmm_fit()"))
}

abort_response_type <- function(y, name) {
  abort_fastlmm(
    "response_type",
    paste0("response must be numeric; ", quoted(name), " is ", if (is.matrix(y)) paste("a matrix of type", typeof(y)) else paste("of class", class(y)[1]))
  )
}

check_response_finite <- function(y, name, rows) {
  if (all(is.finite(y))) return(invisible())
  abort_fastlmm(
    "nonfinite",
    paste0("response ", quoted(name), " is not finite in ", rows_at(!is.finite(y), rows), "; drop those rows or correct them"),
    rows = rows[!is.finite(y)]
  )
}

check_response_varies <- function(y, name) {
  if (length(y) == 1 || any(y != y[1])) return(invisible())
  abort_fastlmm(
    "constant_response",
    paste0("response has no variation: ", quoted(name), " is ", format(y[1]), " in all ", counted(length(y), "row"))
  )
}

# ---- weights, offset, missing values ------------------------------------------------------------------

# Numbers, without a class whose arithmetic is another one
is_number_like <- function(x) is.numeric(x) && (!is.object(x) || inherits(x, c("AsIs", "table", "integer64")))

check_weights <- function(weights, rows) {
  if (!is_number_like(weights)) abort_weights(paste("must be numeric, not", class(weights)[1]))
  bad <- !is.finite(weights) | weights < 0
  if (any(bad)) abort_weights(paste0("must be finite and not negative; see ", rows_at(bad, rows)))
  check_weight_span(weights[weights > 0])
}

# Double precision is relative to the heaviest row: the lightest would be lost in its rounding.
check_weight_span <- function(weights) {
  if (length(weights) == 0 || max(weights) / min(weights) <= 1e11) return(invisible())
  abort_weights(sprintf(
    "span a factor of %.1e, from %.3g to %.3g, more than double precision can distinguish; leave out rows of very small weight, or cap the largest",
    max(weights) / min(weights), min(weights), max(weights)
  ))
}

abort_weights <- function(message) abort_fastlmm("weights", paste("weights", message))

check_offset <- function(offset, rows) {
  if (!is_number_like(offset)) abort_fastlmm("offset", paste("offset must be numeric, not", class(offset)[1]))
  if (all(is.finite(offset))) return(invisible())
  abort_fastlmm("offset", paste("offset is not finite in", rows_at(rowSums(!is.finite(as.matrix(offset))) > 0, rows)))
}

abort_missing_values <- function(frame) {
  count <- vapply(frame, function(x) sum(is.na(x)), 0)
  bad <- names(frame)[count > 0]
  abort_fastlmm(
    "missing_values",
    paste0(
      "missing values in ", first_names(bad), " (", rows_at(!stats::complete.cases(frame), rownames(frame)),
      ") and na.action = na.fail; drop them, or use na.omit or na.exclude"
    ),
    variables = bad
  )
}

inform_zero_weights <- function(n) {
  inform_fastlmm("zero_weights", paste(counted(n, "row"), "with weight 0 left out of the fit"), n = n)
}

inform_dropped_rows <- function(n, total) {
  if (n > 0) inform_fastlmm("dropped_rows", sprintf("%s of %d left out for missing values", counted(n, "row"), total), n = n)
}

# ---- fixed effects ------------------------------------------------------------------------------------

abort_single_level <- function(name, level) {
  abort_fastlmm(
    "single_level",
    paste0(
      "factor ", quoted(name), " has a single level in these rows",
      if (length(level) == 1) paste0(" (", quoted(level), ")"), ", so it has no contrasts; leave it out of the formula"
    ),
    variable = name
  )
}

check_design_finite <- function(X) {
  bad <- !is.finite(X)
  if (!any(bad)) return(invisible())
  column <- which(colSums(bad) > 0)
  abort_fastlmm(
    "nonfinite",
    paste0(
      counted(length(column), "column"), " of the fixed effects ", is_are(length(column)), " not finite: ",
      first_names(colnames(X)[column]), "; see ", rows_at(rowSums(bad) > 0, rownames(X))
    ),
    columns = colnames(X)[column]
  )
}

design_memory_text <- function(columns, term, n, needed, available) {
  paste0(
    "the fixed effects have ", counted(columns, "column"), " (the most by ", quoted(term), ") and ", counted(n, "row"), ": this needs about ", needed,
    " of memory and ", available, " are available; ",
    "make a factor of many levels a random effect, (1 | ", term, ")"
  )
}

inform_aliased <- function(names, total) {
  inform_fastlmm(
    "aliased",
    sprintf(
      "fixed effects are rank deficient: %d of %s depend on the others and have coefficient NA: %s",
      length(names), counted(total, "column"), first_names(names)
    ),
    columns = names
  )
}
