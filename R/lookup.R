# Where variables are found: a formula is evaluated first, and only what cannot be evaluated is explained.

# An expression in data and then in env; what goes wrong is told by class.
evaluate_frame <- function(call, env, enclos = parent.frame(), explain = abort_model_frame) {
  tryCatch(eval(call, env, enclos), error = function(e) if (inherits(e, "fastlmm_error")) stop(e) else explain(e))
}

# Model frame of a formula and further expressions in data, missing values kept
data_frame_of <- function(formula, data, extras = NULL) {
  expressions <- c(as.list(attr(stats::terms(formula), "variables"))[-1], extras)
  env <- environment(formula)
  data <- with_plain_coordinates(expressions, data, env)
  check_symbols(expressions, data, env)
  if (is.data.frame(data)) check_subset(extras$subset, data, env)
  call <- as.call(c(list(quote(stats::model.frame), formula = formula, data = data, na.action = stats::na.pass), extras))
  evaluate_frame(call, env, explain = function(e) explain_failure(e, expressions, data, env))
}

# Rows by number that data does not have would be rows of NA. What cannot be evaluated is explained where everything is.
check_subset <- function(subset, data, env) {
  rows <- tryCatch(eval(subset, data, env), error = function(error) NULL)
  if (!is.numeric(rows)) return(invisible())
  bad <- !is.na(rows) & abs(rows) > nrow(data)
  if (any(bad)) abort_fastlmm("subset", sprintf("subset asks for rows that data does not have: %s; there are %d", first_names(rows[bad]), nrow(data)))
}

# A variable that stands alone is no function, and of a kind that a formula can hold.
check_symbols <- function(expressions, data, env) {
  check_one_name(data, unique(unlist(lapply(expressions, expression_variables))))
  for (name in as.character(Filter(is.symbol, expressions))) {
    if (is.function(get0(name, envir = env)) && is.null(find_variable(name, data, env))) abort_not_found(name, data)
    check_column(find_variable(name, data, env), name)
  }
}

# A variable that is nowhere, and that the error names or that is not even a function, is the reason; a function may be meant as one.
explain_failure <- function(error, expressions, data, env) {
  used <- unique(unlist(lapply(expressions, expression_variables)))
  missing <- Filter(function(name) is.null(find_variable(name, data, env)), used)
  named <- Filter(function(name) is_named(name, conditionMessage(error)), missing)
  nowhere <- Filter(function(name) !exists(name, envir = env), missing)
  if (length(c(named, nowhere)) > 0) abort_not_found(c(named, nowhere)[1], data)
  abort_model_frame(error, if (length(missing) > 0) paste0("; a function, not a variable, is ", first_names(missing)))
}

is_named <- function(name, message) name %in% strsplit(message, "[^[:alnum:]._]+")[[1]]

abort_not_found <- function(name, data) abort_missing_variable(name, names(data), if (is.null(data)) "sight, and there is no data" else "data")

# A column of data, else a variable that the formula sees; functions of that name do not count.
find_variable <- function(name, data, env) {
  if (name %in% names(data)) return(if (is.data.frame(data)) .subset2(data, name) else data[[name]])
  value <- get0(name, envir = env)
  if (!is.function(value)) value
}

# ---- new data -----------------------------------------------------------------------------------------

# Variables that are columns of data, or as long as one: new data must have them too. A table that is looked up by a column is none.
column_names <- function(terms, data, extras, n) {
  expressions <- c(as.list(attr(terms, "variables"))[-1], extras)
  used <- unique(unlist(lapply(expressions, expression_variables)))
  tables <- unlist(lapply(expressions, lookup_tables, columns = names(data)))
  is_column <- function(name) name %in% names(data) || !name %in% tables && NROW(find_variable(name, data, environment(terms))) >= n
  Filter(is_column, used)
}

# `meta` of meta$x[match(id, meta$id)] and of with(meta, x[id]), where id is a column
lookup_tables <- function(e, columns) {
  if (!is.call(e)) return(NULL)
  parts <- as.list(e)[-1]
  parts <- parts[!vapply(parts, identical, NA, quote(expr = ))]
  inside <- unlist(lapply(parts, lookup_tables, columns = columns))
  if (!is_call_to(e, c("[", "[[", "with")) || length(parts) < 2) return(inside)
  by_column <- any(unlist(lapply(parts[-1], expression_variables)) %in% columns)
  c(inside, if (by_column) setdiff(expression_variables(parts[[1]]), columns))
}

# Where newdata are evaluated: a column of the fit's data that they lack is an error as soon as it is asked for, whoever else has such a variable.
newdata_env <- function(fit, newdata) {
  env <- new.env(parent = environment(fit$formula))
  absent <- function(name) delayedAssign(name, abort_missing_variable(name, names(newdata), "newdata"), assign.env = env)
  for (name in setdiff(attr(fit$terms, "columns"), names(newdata))) absent(name)
  for (name in intersect(attr(fit$terms, "columns"), names(newdata))) check_sound(newdata[[name]], name)
  env
}

# A call in newdata
evaluate_new <- function(call, fit, newdata) {
  env <- newdata_env(fit, newdata)
  evaluate_frame(call, newdata, env, function(e) explain_new(e, call, newdata, env))
}

explain_new <- function(error, call, newdata, env) {
  missing <- Filter(function(name) !name %in% names(newdata) && !exists(name, envir = env), expression_variables(call))
  named <- Filter(function(name) is_named(name, conditionMessage(error)), missing)
  if (length(named) > 0) abort_missing_variable(named[1], names(newdata), "newdata")
  abort_model_frame(error)
}
