# Data to design, the same at fit time and at prediction: `mold_design()` makes the design of the rows of the fit, `forge_design()` the same
# columns for new data. What links them is kept in the fit: terms with `predvars` (so that poly(), ns() and scale() keep the basis of the fit),
# levels, contrasts, and the names of the variables that are columns of data.

# The design of `newdata` in a fit: list(X, offset, random); `random` holds the random effects of the fit that are wanted.
# X: all columns in the order of the coefficients, aliased ones too; a row with a missing value is NA. offset: numeric.
# random: for each random effect wanted the id of each row (character; that of new_row_ids() where the kernel is over rows) and its multiplier z.
# `fixed`: are the variables of the fixed effects wanted? If not, X and offset are zero.
forge_design <- function(fit, newdata, random = fit$random, fixed = TRUE) {
  newdata <- as_data_frame(newdata, "newdata")
  if (!is.data.frame(newdata)) abort_data("newdata must be a data frame")
  if (nrow(newdata) == 0) return(empty_design(fit, random))
  forged <- lapply(random, forge_random, newdata = newdata, fit = fit)
  if (!fixed) return(list(X = zero_columns(fit, rownames(newdata)), offset = numeric(nrow(newdata)), random = forged))
  frame <- as_fitted(forge_frame(fit, stats::delete.response(fit$terms), newdata), fit)
  X <- design_matrix(stats::delete.response(fit$terms), frame, fit$contrasts)
  rownames(X) <- rownames(newdata)
  list(X = X, offset = forge_offset(fit, frame, newdata), random = forged)
}

empty_design <- function(fit, random) {
  list(X = zero_columns(fit, character()), offset = numeric(), random = lapply(random, function(one) list(id = character(), z = numeric())))
}

zero_columns <- function(fit, rows) {
  names <- if (is.matrix(fit$coefficients)) rownames(fit$coefficients) else names(fit$coefficients)
  matrix(0, length(rows), length(names), dimnames = list(if (length(rows) > 0) rows, names))
}

# Variables of the terms in new data
forge_frame <- function(fit, terms, newdata) {
  environment(terms) <- newdata_env(fit, newdata)
  newdata <- with_plain_coordinates(as.list(attr(terms, "variables"))[-1], newdata, environment(terms))
  call <- as.call(list(quote(stats::model.frame), terms, newdata, na.action = stats::na.pass))
  evaluate_frame(call, baseenv(), explain = function(e) explain_new(e, attr(terms, "predvars"), newdata, environment(terms)))
}

forge_random <- function(random, newdata, fit) {
  if (is.null(random$expr)) return(list(id = new_row_ids(fit, newdata), z = rep(1, nrow(newdata))))
  columns <- lapply(group_leaves(random$expr), evaluate_new, fit, newdata)
  if (!is.null(random$left)) return(list(id = as.character(group_factor(columns)), z = forge_correlated(random, newdata, fit)))
  slope <- if (!is.null(random$slope)) evaluate_new(random$slope_call, fit, newdata)
  list(id = as.character(group_factor(columns)), z = slope_values(slope, random$slope, nrow(newdata)))
}

# The sum of offset() terms, which are in the frame, and of the offset argument of the fit
forge_offset <- function(fit, frame, newdata) {
  offset <- stats::model.offset(frame)
  argument <- eval_offset(fit$call$offset, newdata, newdata_env(fit, newdata))
  if (is.null(offset)) offset <- numeric(nrow(newdata))
  if (is.null(argument)) offset else offset + argument
}

eval_offset <- function(expr, newdata, env) {
  value <- tryCatch(eval(expr, newdata, env), error = function(e) if (inherits(e, "fastlmm_error")) stop(e) else NA_character_)
  if (is.null(value) || is.numeric(value) && length(value) == nrow(newdata)) return(value)
  abort_fastlmm("new_offset", paste0(
    "offset = ", deparse1(expr), " of the fit cannot be evaluated in newdata with its ", counted(nrow(newdata), "row"),
    "; add its variables to newdata, or put offset(...) in the formula"
  ))
}

# ---- new data as the data of the fit ------------------------------------------------------------------

# Columns of the kinds and with the levels of the fit
as_fitted <- function(frame, fit) {
  classes <- attr(fit$terms, "dataClasses")[names(frame)]
  for (name in names(frame)) {
    frame[[name]] <- check_kind(frame[[name]], classes[[name]], name)
    if (name %in% names(fit$xlevels)) frame[[name]] <- as_fitted_factor(frame[[name]], fit$xlevels[[name]], name)
  }
  frame
}

check_kind <- function(x, class, name) {
  if (is.logical(x) && all(is.na(x)) && class == "numeric") x <- as.numeric(x)
  kind <- function(class) if (class %in% c("factor", "ordered", "character")) "factor" else class
  if (kind(stats::.MFclass(x)) != kind(class)) abort_variable_type(name, stats::.MFclass(x), class)
  x
}

as_fitted_factor <- function(x, levels, name) {
  new <- setdiff(as.character(x), c(levels, NA))
  if (length(new) > 0) abort_new_fixed_level(name, new, levels)
  # NA is a level where addNA() made it one
  factor(as.character(x), levels = levels, exclude = if (anyNA(levels)) NULL else NA)
}

abort_variable_type <- function(name, found, wanted) {
  say <- function(class) if (class == "other") "of another class" else class
  abort_fastlmm(
    "variable_type",
    paste0("variable ", quoted(name), " is ", say(found), " in newdata but was ", say(wanted), " in the fit; convert it"),
    variable = name
  )
}

abort_new_fixed_level <- function(name, new, levels) {
  abort_fastlmm(
    "new_fixed_level",
    paste0(
      "variable ", quoted(name), " has ", counted(length(new), "level"), " in newdata that the fit has not seen: ", first_names(new),
      "; its levels are ", first_names(levels)
    ),
    variable = name, levels = new
  )
}

# ---- the design of the fit ----------------------------------------------------------------------------

# `extras`: the expressions weights, offset and subset, evaluated in data and then in the formula's environment, as lm() does.
mold_design <- function(parts, data, extras, na.action = stats::na.omit, contrasts = NULL, cells = FALSE) {
  na.action <- as_na_action(na.action)
  check_contrasts_list(contrasts)
  whole <- model_variables(parts, data, extras)
  check_response(whole[[1]], names(whole)[1])
  frame <- settle_rows(whole, na.action)
  terms <- fixed_terms(parts, whole, data, extras)
  y <- if (is_many(frame[[1]])) mold_responses(frame) else mold_response(frame)
  if (is.matrix(y)) frame[[1]] <- y
  X <- mold_fixed(terms, frame, contrasts)
  random <- lapply(parts$random, mold_term, whole = whole, frame = frame)
  new_design(
    frame = frame, terms = terms, X = X, y = y, offset = mold_offset(frame, y, cells), weights = frame[["(weights)"]], random = random,
    na.action = omitted_rows(whole, frame, na.action), rows = rows_of_data(parts, data, extras, whole, frame), row_ids = all_rows(parts, data)
  )
}

# ---- columns ------------------------------------------------------------------------------------------

mold_response <- function(frame) {
  y <- structure(as.numeric(frame[[1]]), names = rownames(frame))
  check_response_finite(y, names(frame)[1], rownames(frame))
  y
}

# `cells`: may each response have an offset of its own, in a column of a matrix?
mold_offset <- function(frame, y, cells = FALSE) {
  offset <- tryCatch(stats::model.offset(frame), error = function(e) abort_fastlmm("offset", conditionMessage(e)))
  if (is.null(offset)) offset <- numeric(nrow(frame))
  check_offset(offset, rownames(frame))
  if (NCOL(offset) > 1) return(
    if (cells) offset_of_cells(offset) else abort_fastlmm(
      "offset", sprintf("offset has %d columns: it is a number for each row, but for slamglmm_fit(), which takes one for each response, too", ncol(offset))
    )
  )
  if (!is.matrix(y)) check_response_varies(y - offset, names(frame)[1])
  as.numeric(offset)
}

offset_of_cells <- function(offset) matrix(as.numeric(offset), nrow(offset), dimnames = list(NULL, colnames(offset)))

mold_fixed <- function(terms, frame, contrasts) {
  check_levels(terms, frame)
  check_design_size(terms, frame)
  X <- tryCatch(design_matrix(terms, frame, contrasts), error = abort_contrasts)
  check_design_finite(X)
  storage.mode(X) <- "double"
  X
}

# The columns of a formula without a response in rows of data, but for the intercept
formula_columns <- function(formula, frame) {
  terms <- attr(frame, "terms")
  check_levels(terms, frame)
  X <- tryCatch(design_matrix(terms, frame, NULL), error = abort_contrasts)
  X[, colnames(X) != "(Intercept)", drop = FALSE]
}

check_contrasts_list <- function(contrasts) {
  if (is.null(contrasts) || is.list(contrasts)) return(invisible())
  abort_fastlmm("contrasts", paste("contrasts must be a list, as list(g = \"contr.sum\"), not", code_text(contrasts)))
}

# model.matrix() loses names of more than 4096 bytes: long variables go through it under a short name.
design_matrix <- function(terms, frame, contrasts) {
  long <- names(frame)[nchar(names(frame), "bytes") > 1000]
  if (length(long) == 0) return(stats::model.matrix(terms, frame, contrasts.arg = contrasts))
  short <- paste0(".long", seq_along(long), ".")
  symbols <- structure(lapply(short, as.name), names = long)
  terms <- stats::terms(stats::as.formula(do.call(substitute, list(stats::formula(terms), symbols))))
  rename <- function(x) replace(x, match(intersect(long, x), x), short[match(intersect(long, x), long)])
  names(frame) <- rename(names(frame))
  if (length(contrasts) > 0) names(contrasts) <- rename(names(contrasts))
  X <- stats::model.matrix(terms, structure(frame, terms = terms), contrasts.arg = contrasts)
  for (i in seq_along(long)) colnames(X) <- gsub(short[i], long[i], colnames(X), fixed = TRUE)
  X
}

abort_contrasts <- function(error) {
  abort_fastlmm("contrasts", paste0("the columns of the fixed effects cannot be made; check contrasts: ", conditionMessage(error)))
}

check_levels <- function(terms, frame) {
  for (name in fixed_variables(terms, frame)) {
    x <- .subset2(frame, name)
    if (!is.factor(x) && !is.character(x) && !is.logical(x)) next
    level <- unique(as.character(x[!is.na(x)]))
    if (length(level) < 2) abort_single_level(name, level)
  }
}

# Columns of the frame that terms are made of
fixed_variables <- function(terms, frame) {
  factors <- attr(terms, "factors")
  if (length(factors) == 0) return(character())
  names(frame)[match(rownames(factors)[rowSums(factors) > 0], names(frame))]
}

# model.matrix() allocates first and asks later: count the columns beforehand. Two more copies are made on the way to the fit.
check_design_size <- function(terms, frame, available = available_memory()) {
  columns <- term_columns(terms, frame)
  needed <- 8 * 3 * as.numeric(nrow(frame)) * sum(columns)
  check_memory(
    needed, function(needed, available) design_memory_text(sum(columns), names(columns)[which.max(columns)], nrow(frame), needed, available), available
  )
}

term_columns <- function(terms, frame) {
  factors <- attr(terms, "factors")
  if (length(factors) == 0) return(c(`1` = attr(terms, "intercept")))
  size <- vapply(rownames(factors), function(name) variable_columns(.subset2(frame, name)), 0)
  apply(factors, 2, function(used) prod(size[used > 0]))
}

variable_columns <- function(x) {
  if (is.factor(x)) nlevels(x) else if (is.character(x)) length(unique(x)) else if (is.logical(x)) 2 else NCOL(x)
}
