# Split a formula into its fixed part and its random terms, by our own walk over the expression.

# list(formula, fixed, random): `fixed` is a formula without the random terms and with `.` written out; `random` has an entry for each random
# effect, list(group, slope, left) of expressions, NULL where there is no slope; `left` is that of terms that are correlated. Without a bar term there is one
# effect, of the rows: its group is NULL.
split_formula <- function(formula, data = NULL, env = parent.frame()) {
  formula <- check_formula(formula, env)
  formula[[3]] <- single_bars(formula[[3]])
  right <- formula[[3]]
  gp <- split_gp(right, env, data)
  bars <- find_bars(right)
  random <- if (is.null(gp) || length(bars) > 0) split_bars(bars) else list()
  fixed <- formula
  fixed[[3]] <- fixed_side(right)
  fixed <- expand_dot(fixed, data, c(lapply(random, `[[`, "group"), gp$coordinates))
  new_parts(formula = formula, fixed = fixed, random = random, gp = gp)
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

is_call_to <- function(e, names) is.call(e) && is.symbol(e[[1]]) && match(as.character(e[[1]]), names, 0L) > 0L

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

# The right side as it is kept: (1 + x || g) is (1 | g) + (0 + x | g), so that update() can take one of them out; a bar
# that is all there is, 1 | g, stands in parentheses.
single_bars <- function(e) {
  if (is_call_to(e, "|") && identical(e[[2]], 1)) return(call("(", e))
  sum_bars(e)
}

sum_bars <- function(e) {
  if (is_bar_term(e)) return(if (is_call_to(e[[2]], "||")) Reduce(plus, split_double(e[[2]])) else e)
  if (!is_call_to(e, c("+", "-", "("))) return(e)
  last <- e[[length(e)]]
  if (is_call_to(e, "+") && length(e) == 3 && is_bar_term(last) && is_call_to(last[[2]], "||")) return(Reduce(plus, split_double(last[[2]]), sum_bars(e[[2]])))
  e[-1] <- lapply(as.list(e)[-1], sum_bars)
  e
}

plus <- function(left, right) call("+", left, right)

split_double <- function(bar) {
  single <- function(term) call("(", call("|", if (is.null(term$slope)) 1 else call("+", 0, term$slope), term$group))
  lapply(split_bar(bar), single)
}

fixed_side <- function(e) {
  fixed <- drop_bars(e)
  if (is.null(fixed)) 1 else fixed
}

# The expression without its random terms; NULL if nothing is left
drop_bars <- function(e) {
  if (is_bar_term(e) || is_gp(e)) return(NULL)
  if (!is_call_to(e, c("+", "-", "("))) return(e)
  kept <- lapply(as.list(e)[-1], drop_bars)
  kept <- kept[!vapply(kept, is.null, NA)]
  if (length(kept) == 0) return(NULL)
  if (length(kept) == length(e) - 1 || is_call_to(e, "-")) return(as.call(c(e[[1]], kept)))
  kept[[1]]
}

# ---- the bar terms ------------------------------------------------------------------------------------

split_bars <- function(bars) {
  if (length(bars) == 0) return(list(new_term(NULL, NULL)))
  terms <- unlist(lapply(bars, split_bar), recursive = FALSE)
  check_terms_differ(terms)
  terms
}

# One term for each grouping factor that the right side nests and each effect on the left: (1 + x || a / b) has four, (1 + x | a / b) two of correlated terms.
split_bar <- function(bar) {
  groups <- nested_groups(bar[[3]], bar)
  left <- strip_parentheses(bar[[2]])
  effects <- bar_effects(left, bar)
  if (is.null(effects)) return(lapply(groups, new_term, slope = NULL, left = left))
  unlist(lapply(groups, function(group) lapply(effects, function(slope) new_term(group, slope))), recursive = FALSE)
}

strip_parentheses <- function(e) {
  while (is_call_to(e, "(")) e <- e[[2]]
  e
}

# a / b is b:a and a, the inner groups first and under the names that lme4 gives them.
nested_groups <- function(e, bar) {
  e <- strip_parentheses(e)
  if (!is_call_to(e, "/")) {
    check_group(e, bar)
    return(list(e))
  }
  outer <- nested_groups(e[[2]], bar)
  inner <- strip_parentheses(e[[3]])
  check_group(inner, bar)
  c(call(":", inner, outer[[1]]), outer)
}

check_group <- function(group, bar) {
  if (is_call_to(group, c("*", "%in%"))) abort_nested(bar)
  if (is_call_to(group, c("+", "-", "^", "/", "|", "||")) || is.numeric(group)) abort_group(bar)
}

check_terms_differ <- function(terms) {
  if (length(terms) < 2) return(invisible())
  twice <- duplicated(lapply(terms, lapply, deparse1))
  if (any(twice)) abort_same_term(terms[[which(twice)[1]]])
}

# The variables of a group: a and b of a:b
group_leaves <- function(group) {
  if (is.null(group)) return(list())
  if (!is_call_to(group, ":")) return(list(strip_parentheses(group)))
  c(group_leaves(group[[2]]), group_leaves(group[[3]]))
}

# NULL for the intercept, x for a slope: one of them behind a single bar, any number of independent ones behind a double bar. NULL for all: terms that are
# correlated.
bar_effects <- function(left, bar) {
  if (identical(left, 1)) return(list(NULL))
  terms <- tryCatch(stats::terms(stats::as.formula(call("~", left))), error = function(e) abort_group(bar))
  intercept <- attr(terms, "intercept") == 1
  labels <- attr(terms, "term.labels")
  slopes <- as.list(attr(terms, "variables"))[-1]
  if (!intercept && length(labels) == 0) abort_group(bar)
  if (!is_call_to(bar, "||") && (intercept + length(labels) > 1 || length(slopes) != length(labels))) return(NULL)
  if (length(slopes) != length(labels)) abort_one_slope(bar)
  c(if (intercept) list(NULL), slopes)
}

# ---- the fixed part -----------------------------------------------------------------------------------

# `.` stands for every column of data but the response and the grouping variables.
expand_dot <- function(fixed, data, groups) {
  if (!"." %in% all.vars(fixed[[3]])) return(fixed)
  if (is.null(data)) abort_formula("`.` in the formula stands for the columns of data, but there is no data")
  if (!all(nzchar(names(data)) & is_text(names(data)))) abort_data(
    "`.` in the formula stands for the columns of data, but some have no name, or one that is not valid text; name them"
  )
  columns <- setdiff(names(data), c(unlist(lapply(groups, expression_variables)), expression_variables(fixed[[2]])))
  sum <- Reduce(function(left, name) if (is.null(left)) as.name(name) else call("+", left, as.name(name)), columns, NULL)
  fixed[[3]] <- without_absent(substitute_dot(fixed[[3]], if (is.null(sum)) 1 else sum), columns)
  fixed
}

# What `.` does not hold need not be taken out of it again: `. - g + (1 | g)`
without_absent <- function(e, columns) {
  if (!is_call_to(e, c("+", "-"))) return(e)
  e[[2]] <- without_absent(e[[2]], columns)
  gone <- is_call_to(e, "-") && length(e) == 3 && is.symbol(e[[3]]) && !as.character(e[[3]]) %in% columns
  if (gone) e[[2]] else e
}

substitute_dot <- function(e, sum) {
  if (identical(e, quote(.))) return(sum)
  if (is_call_to(e, formula_operators)) e[-1] <- lapply(as.list(e)[-1], substitute_dot, sum = sum)
  e
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

abort_one_slope <- function(bar) {
  abort_bar("one_slope", bar, paste0(
    "has an effect that is not a variable; give numeric variables behind a double bar, (0 + x + z || ", deparse1(bar[[3]]), "), with I() around arithmetic"
  ))
}

abort_nested <- function(bar) {
  group <- bar[[3]]
  abort_bar("nested", bar, paste0(
    "is not a random term; write (1 | a / b) for b within a, or the terms one by one, (1 | ", deparse1(group[[2]]), ") + (1 | ", deparse1(group[[3]]), ")"
  ))
}

abort_same_term <- function(term) {
  written <- paste0("(", left_text(term), " | ", deparse1(term$group), ")")
  abort_fastlmm("same_term", paste0(
    "the formula has the random term ", written, " twice; for several kernels of one grouping factor write it once, with K = list(",
    deparse1(term$group), " = kernel_mix(...))"
  ), term = term)
}

# What stands to the left of the bar
left_text <- function(term) {
  if (!is.null(term$left)) return(deparse1(term$left))
  if (is.null(term$slope)) "1" else paste("0 +", deparse1(term$slope))
}

abort_group <- function(bar) {
  abort_bar("group", bar, "is not a random term; write (1 | id) or (0 + x | id), with one grouping variable to the right of the bar")
}
