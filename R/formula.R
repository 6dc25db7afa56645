# Split a formula into its fixed part and its random term, by our own walk over the expression.

# list(formula, response, fixed, group, slope): `fixed` is a formula without the random term and with `.` written out; `group` and
# `slope` are expressions, NULL where there is no bar term or no slope.
split_formula <- function(formula, data = NULL, env = parent.frame()) {
  formula <- check_formula(formula, env)
  right <- formula[[3]]
  check_no_gp(right)
  bar <- check_one_bar(find_bars(right))
  fixed <- formula
  fixed[[3]] <- fixed_side(right)
  random <- if (!is.null(bar)) split_bar(bar) else list()
  fixed <- expand_dot(fixed, data, random$group)
  new_parts(formula = formula, fixed = fixed, group = random$group, slope = random$slope)
}

check_formula <- function(formula, env) {
  if (is.character(formula) && length(formula) == 1) formula <- parse_formula(formula, env)
  if (!inherits(formula, "formula")) abort_formula(paste("formula must be a formula, not an object of class", class(formula)[1]))
  if (length(formula) != 3) abort_formula(paste0("formula has no response: write y ~ ", deparse1(formula[[2]])))
  formula
}

parse_formula <- function(text, env) {
  not_r <- function(e) abort_formula(paste0("formula ", quoted(text), " is not R: ", sub("\n.*", "", conditionMessage(e))))
  tryCatch(stats::as.formula(text, env), error = not_r)
}

abort_formula <- function(message) abort_fastlmm("formula", message)

# ---- the walk -----------------------------------------------------------------------------------------

is_call_to <- function(e, names) is.call(e) && is.symbol(e[[1]]) && as.character(e[[1]]) %in% names

is_bar <- function(e) is_call_to(e, c("|", "||"))

is_bar_term <- function(e) is_call_to(e, "(") && is_bar(e[[2]])

formula_operators <- c("+", "-", "*", ":", "/", "^", "%in%", "(", "|", "||")

# All bars among the terms. A bar inside a function, as in I(a | b), is an ordinary "or".
find_bars <- function(e) {
  if (!is_call_to(e, formula_operators)) return(list())
  if (is_bar_term(e)) return(list(e[[2]]))
  if (is_bar(e)) abort_bar_parentheses(e)
  bars <- unlist(lapply(as.list(e)[-1], find_bars), recursive = FALSE)
  if (length(bars) > 0 && !is_call_to(e, c("+", "-", "("))) abort_bar_place(e)
  if (is_call_to(e, "-") && length(find_bars(e[[length(e)]])) > 0) abort_bar_place(e)
  as.list(bars)
}

fixed_side <- function(e) {
  fixed <- drop_bars(e)
  if (is.null(fixed)) 1 else fixed
}

# The expression without its bar terms; NULL if nothing is left
drop_bars <- function(e) {
  if (is_bar_term(e)) return(NULL)
  if (!is_call_to(e, c("+", "-", "("))) return(e)
  kept <- Filter(Negate(is.null), lapply(as.list(e)[-1], drop_bars))
  if (length(kept) == 0) return(NULL)
  if (length(kept) == length(e) - 1 || is_call_to(e, "-")) return(as.call(c(e[[1]], kept)))
  kept[[1]]
}

check_one_bar <- function(bars) {
  if (length(bars) > 1) abort_several_bars(bars)
  if (length(bars) == 1) bars[[1]]
}

check_no_gp <- function(e) {
  if (is_call_to(e, "gp")) abort_gp(e)
  if (is_call_to(e, formula_operators)) lapply(as.list(e)[-1], check_no_gp)
}

# ---- the bar term -------------------------------------------------------------------------------------

split_bar <- function(bar) {
  if (is_call_to(bar, "||")) abort_double_bar(bar)
  group <- strip_parentheses(bar[[3]])
  check_group(group, bar)
  list(group = group, slope = bar_slope(strip_parentheses(bar[[2]]), bar))
}

strip_parentheses <- function(e) {
  while (is_call_to(e, "(")) e <- e[[2]]
  e
}

check_group <- function(group, bar) {
  if (is_call_to(group, c("/", "*", "%in%"))) abort_nested(bar)
  if (is_call_to(group, c("+", "-", "^", "|", "||")) || is.numeric(group)) abort_group(bar)
}

# The variables of a group: a and b of a:b
group_leaves <- function(group) {
  if (is.null(group)) return(list())
  if (!is_call_to(group, ":")) return(list(strip_parentheses(group)))
  c(group_leaves(group[[2]]), group_leaves(group[[3]]))
}

# NULL for (1 | id), x for (0 + x | id) in any spelling
bar_slope <- function(left, bar) {
  terms <- tryCatch(stats::terms(stats::as.formula(call("~", left))), error = function(e) abort_group(bar))
  labels <- attr(terms, "term.labels")
  if (attr(terms, "intercept") == 1) return(if (length(labels) > 0) abort_correlated_slopes(labels, bar))
  if (length(labels) == 0) abort_group(bar)
  variables <- as.list(attr(terms, "variables"))[-1]
  if (length(variables) > 1) abort_one_slope(bar)
  variables[[1]]
}

# ---- the fixed part -----------------------------------------------------------------------------------

# `.` stands for every column of data but the response and the grouping variables.
expand_dot <- function(fixed, data, group) {
  if (!"." %in% all.vars(fixed[[3]])) return(fixed)
  if (is.null(data)) abort_formula("`.` in the formula stands for the columns of data, and there is no data")
  columns <- setdiff(names(data), expression_variables(group))
  names_only <- as.data.frame(matrix(0, 0, length(columns), dimnames = list(NULL, columns)), optional = TRUE)
  stats::formula(stats::terms(fixed, data = names_only))
}

# Names of the variables in an expression; `d$x` needs d only.
expression_variables <- function(e) {
  if (is.symbol(e)) return(if (nzchar(as.character(e))) as.character(e))
  if (!is.call(e) || is_call_to(e, c("function", "::", ":::"))) return(NULL)
  arguments <- if (is_call_to(e, c("$", "@"))) list(e[[2]]) else as.list(e)[-1]
  empty <- vapply(arguments, identical, NA, quote(expr = ))
  unique(unlist(lapply(arguments[!empty], expression_variables)))
}

# ---- what is refused, and what to use -----------------------------------------------------------------

abort_bar <- function(what, bar, message) {
  abort_fastlmm(what, paste0("(", deparse1(bar), ") ", message), term = bar)
}

abort_bar_parentheses <- function(e) {
  abort_fastlmm("bar_parentheses", paste0("put the random term in parentheses: (1 | ", deparse1(e[[3]]), ")"), term = e)
}

abort_bar_place <- function(e) {
  abort_fastlmm("bar_place", paste0("a random term can only be added to the formula; it stands inside ", deparse1(e)), term = e)
}

abort_correlated_slopes <- function(slopes, bar) {
  group <- deparse1(bar[[3]])
  abort_bar("correlated_slopes", bar, paste0(
    "asks for an intercept and slopes that are correlated, which is not offered; use (1 | ", group, ") or (0 + ", slopes[1], " | ", group,
    "), or lme4::lmer() where the kernel is the identity"
  ))
}

abort_one_slope <- function(bar) {
  abort_bar("one_slope", bar, "has more than one slope; give one numeric variable, (0 + x | id), with I() around arithmetic")
}

abort_double_bar <- function(bar) {
  abort_bar("double_bar", bar, paste0(
    "is several kernels, which come in a later version; use one of (1 | ", deparse1(bar[[3]]), ") and (0 + x | ", deparse1(bar[[3]]), ")"
  ))
}

abort_nested <- function(bar) {
  group <- bar[[3]]
  abort_bar("nested", bar, paste0(
    "is several random terms, which come in a later version; for the inner groups alone use (1 | ",
    deparse1(group[[2]]), ":", deparse1(group[[3]]), ")"
  ))
}

abort_group <- function(bar) {
  abort_bar("group", bar, "is not a random term; write (1 | id) or (0 + x | id), with one grouping variable to the right of the bar")
}

abort_several_bars <- function(bars) {
  terms <- paste0("(", vapply(bars, deparse1, ""), ")")
  abort_fastlmm("several_bars", paste0(
    "the formula has ", length(bars), " random terms, ", toString(terms),
    "; several kernels come in a later version, use one of them (lme4::lmer() fits several where kernels are identities)"
  ), terms = bars)
}

abort_gp <- function(e) {
  abort_fastlmm("gp", paste0(
    deparse1(e), ": Gaussian processes over data columns come in a later version; ",
    "make the kernel matrix yourself and give it as K with a term (1 | id)"
  ), term = e)
}
