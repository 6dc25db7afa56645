#' Refit a model to another response, or with a changed call
#'
#' `refit()` uses what is stored in the fit and needs no other object. `update()` evaluates the changed call; where its data or its kernel no
#' longer exist, it uses those stored in the fit and says so (message `fastlmm_message_stored_frame`).
#'
#' `refit()` takes the design, the checks and the matching of ids from the fit, and decomposes the kernel again, unless the fit has a decomposition by
#' [kernel_eigen()]: a loop over responses of 1000 ids takes about half of the time with it. Responses that are all known beforehand share one
#' decomposition as a matrix, `cbind(y1, y2) ~ x + (1 | id)`.
#'
#' @param object a fit by [fastlmm_fit()].
#' @param newresp response for `refit()`: a vector, or a data frame of one column as from [simulate()], with a number for each row of the fit,
#'   or for each row of the data before missing values were left out (it may then be missing in the omitted rows only). If missing, the
#'   response of the fit.
#' @param formula. changes to the formula, as in [update.formula()], also of random terms, `. ~ . - (0 + x | id)`. A double bar is kept as the
#'   terms that it stands for.
#' @param ... `update()`: arguments of [fastlmm_fit()] to change. `refit()`: not used.
#' @param evaluate return the fit, or the call?
#' @return A fit by [fastlmm_fit()]; `update(evaluate = FALSE)`: a call.
#' @section Errors and warnings:
#' `fastlmm_error_new_response` for a response of the wrong length or type or with missing values; `fastlmm_error_data_gone` where an update
#' needs variables that neither the caller nor the stored frame has. Warning `fastlmm_warning_not_removed` where a term that is to be removed
#' is not in the formula.
#' @examples
#' fit <- fastlmm_fit(distance ~ age + (1 | Subject), nlme::Orthodont)
#' refit(fit, simulate(fit, seed = 1))
#' update(fit, . ~ . + Sex, method = "ML")
#' @order 1
#' @export
#' @exportS3Method lme4::refit fastlmm
refit.fastlmm <- function(object, newresp = NULL, ...) {
  check_arguments(...)
  model <- stored_model(object)
  if (!is.null(newresp)) {
    old <- model$y
    model$y[] <- check_new_response(newresp, object)
    model$frame[[1]] <- unname(model$y)
    if (any(model$y != old)) model$rows$response <- FALSE
    check_response_varies(model$y - model$offset, names(model$frame)[1])
  }
  report(estimate(model))
}

# lme4 has a generic of the same name: where ours is found first, lme4's fits still reach theirs. Its generic, called from here, would find this method again.
#' @exportS3Method generics::refit merMod
refit.merMod <- function(object, ...) utils::getS3method("refit", "merMod", envir = asNamespace("lme4"))(object, ...)

# The model that a fit was estimated from
stored_model <- function(fit) {
  model <- fit[c(
    "call", "formula", "terms", "frame", "xlevels", "contrasts", "y", "offset", "weights", "random", "na.action", "rows", "method", "control"
  )]
  model$given <- fit$given
  model$residual <- fit$residual[c("expr", "level", "prior")]
  model$random <- lapply(model$random, function(one) one[names(one) != "alpha"])
  model$X <- fixed_design(fit)
  model
}

check_new_response <- function(y, fit) {
  if (is.data.frame(y) || is.matrix(y)) {
    if (ncol(y) != 1) abort_many_responses(ncol(y))
    y <- y[, 1, drop = TRUE]
  }
  if (!is.numeric(y) && !is.logical(y)) abort_new_response(paste("must be numeric, not of class", class(y)[1]))
  all_rows <- fit$nobs + length(fit$na.action)
  if (length(y) == all_rows && length(fit$na.action) > 0) y <- y[-fit$na.action]
  if (length(y) != fit$nobs) abort_new_response(sprintf("has %d values, the fit has %d rows", length(y), fit$nobs))
  bad <- !is.finite(y)
  if (any(bad)) abort_new_response(paste0("is missing or not finite in ", rows_at(bad, rownames(fit$frame)), "; fit these data with fastlmm_fit()"))
  as.numeric(y)
}

abort_new_response <- function(message) abort_fastlmm("new_response", paste("the new response", message))

# ---- update -------------------------------------------------------------------------------------------

#' @rdname refit.fastlmm
#' @export
update.fastlmm <- function(object, formula., ..., evaluate = TRUE) {
  call <- object$call
  if (is.null(call)) abort_fastlmm("no_call", "the fit has no call to update")
  evaluate <- read_flag(evaluate, "evaluate")
  old <- without_dot(object, !missing(formula.))
  call$formula <- if (missing(formula.)) old else changed_formula(old, formula.)
  changes <- as.list(match.call(expand.dots = FALSE)$...)
  check_changes(changes)
  for (name in names(changes)) call[[name]] <- changes[[name]]
  if (!evaluate) return(call)
  # functions of this package have no variables of the user: what the call names is where the formula was written
  env <- if (identical(environment(sys.function(sys.parent())), topenv())) environment(object$formula) else parent.frame()
  fit <- eval(with_stored(call, object, names(changes), env), env)
  fit$call <- call
  fit
}

changed_formula <- function(old, change) {
  change <- read_formula(change, "formula.")
  side <- length(change)
  change[[side]] <- sum_bars(change[[side]])
  for (term in subtracted(change[[side]])) if (is_without(old, term)) warn_not_removed(term, old)
  stats::update.formula(old, change)
}

# With the columns that `.` stood for, once something is taken out of them or added
without_dot <- function(fit, changed) {
  old <- whole_formula(fit)
  if (!changed || !"." %in% all.vars(old[[3]])) return(old)
  old[[3]] <- stats::formula(fit$terms)[[3]]
  for (term in random_terms(fit)) old[[3]] <- call("+", old[[3]], term)
  old
}

# Terms that stand behind a minus
subtracted <- function(e) {
  if (!is_call_to(e, c("+", "-", "("))) return(NULL)
  if (is_bar_term(e)) return(NULL)
  inner <- unlist(lapply(as.list(e)[-1], subtracted), recursive = FALSE)
  c(inner, if (is_call_to(e, "-")) list(e[[length(e)]]))
}

# Does taking a term out leave the formula as it was?
is_without <- function(formula, term) {
  parts <- function(formula) attributes(stats::terms(formula, allowDotAsName = TRUE))[c("term.labels", "intercept", "variables")]
  without <- stats::update.formula(formula, call("~", quote(.), call("-", quote(.), term)))
  identical(parts(without), parts(stats::update.formula(formula, . ~ .)))
}

warn_not_removed <- function(term, formula) {
  warn_fastlmm("not_removed", paste0("update() was to remove ", deparse1(term), ", but the formula has no such term: ", deparse1(formula)), term = term)
}

check_changes <- function(changes) {
  known <- known_arguments(fastlmm_fit)
  unknown <- setdiff(names(changes), known)
  if (length(unknown) == 0 && !any(names(changes) == "")) return(invisible())
  abort_fastlmm("unused_argument", paste0("update() got arguments that fastlmm_fit() does not know: ", first_names(unknown), unused_advice(unknown, known)))
}

# Put what is stored in the fit in place of arguments that can no longer be evaluated, by the caller or where the formula was written.
with_stored <- function(call, fit, changed, env) {
  call <- with_formula_values(call, fit, changed, env)
  gone <- function(name) !name %in% changed && !can_evaluate(call[[name]], env)
  kernel <- Filter(gone, intersect(c("K", "relmat"), names(call)))
  if (length(kernel) > 0) call[[kernel[1]]] <- stored_kernels(fit)
  frame <- gone("data") || is.null(call$data) && !formula_exists(call$formula, environment(fit$formula))
  if (frame) call <- with_stored_frame(call, fit, changed)
  stored <- c(if (frame) "model frame", if (length(kernel) > 0) "kernel")
  if (length(stored) > 0) inform_stored(stored, fit)
  call
}

# The kernels of the fit as K = can be given them: the only one as it is, since it may be over rows
stored_kernels <- function(fit) {
  groups <- by_group(fit)
  kernels <- lapply(groups, function(labels) rebuilt_kernel(fit$random[labels]))
  if (length(kernels) == 1) kernels[[1]] else Filter(Negate(is.null), kernels)
}

rebuilt_kernel <- function(random) {
  part <- vapply(random, function(one) if (is.null(one$part)) "" else one$part, "")
  given <- lapply(random, function(one) if (is.null(one$product)) one$kernel else one$product)
  if (part[1] == "") return(given[[1]])
  first <- !duplicated(part)
  do.call(kernel_mix, structure(given[first], names = part[first]))
}

with_formula_values <- function(call, fit, changed, env) {
  there <- environment(fit$formula)
  for (name in setdiff(intersect(c("data", "K", "relmat"), names(call)), changed)) {
    if (!can_evaluate(call[[name]], there)) next
    if (!can_evaluate(call[[name]], env) || name == "data" && is_another(call[[name]], fit, env, there)) call[[name]] <- eval(call[[name]], there)
  }
  call
}

# Are the data of the fit where its formula was written, and has the caller others of the same name?
is_another <- function(expr, fit, env, there) {
  if (identical(env, there)) return(FALSE)
  is_data_of <- function(env) {
    tryCatch(length(suppressMessages(places_in_data(as_data_frame(eval(expr, env)), fit))) > 0, error = function(e) FALSE)
  }
  !is_data_of(env) && is_data_of(there)
}

# Evaluation, which may take long, is only tried where a variable seems to be missing: it may be a column, as in subset(data, x > 0).
can_evaluate <- function(expr, env) {
  functions <- setdiff(all.names(expr), all.vars(expr))
  if (!all(vapply(functions, exists, NA, envir = env, mode = "function"))) return(FALSE)
  if (variables_exist(expr, env)) return(TRUE)
  tryCatch(!is.function(eval(expr, env)), error = function(e) FALSE)
}

# Can all variables of a model formula be found without data?
formula_exists <- function(formula, env) {
  if (variables_exist(formula, env)) return(TRUE)
  parts <- tryCatch(split_formula(formula, NULL, env), fastlmm_error = function(e) NULL)
  if (is.null(parts)) return(FALSE)
  variables <- c(as.list(attr(stats::terms(parts$fixed), "variables"))[-1], random_variables(parts$random), parts$gp$coordinates)
  all(vapply(variables, can_evaluate, NA, env = env))
}

variables_exist <- function(expr, env) {
  !any(vapply(expression_variables(expr), function(name) is.null(find_variable(name, NULL, env)), NA))
}

# The stored frame has the rows of the fit already, and its columns under the names of the variables; transformed ones are not the variables themselves.
with_stored_frame <- function(call, fit, changed) {
  call$data <- fit$frame
  if (!"subset" %in% changed) call$subset <- NULL
  for (name in setdiff(intersect(c("weights", "offset"), names(call)), changed)) call[[name]] <- as.name(paste0("(", name, ")"))
  if ("residual" %in% setdiff(names(call), changed) && has_levels(fit)) call$residual <- call("~", as.name("(residual)"))
  missing <- setdiff(expression_variables(call$formula), c(names(fit$frame), "."))
  env <- environment(fit$formula)
  missing <- Filter(function(name) !exists(name, envir = env), missing)
  if (length(missing) > 0) abort_data_gone(missing, fit)
  call
}

abort_data_gone <- function(missing, fit) {
  abort_fastlmm(
    "data_gone",
    paste0(
      "the data of the fit no longer exist, and the stored model frame has no ", first_names(missing), " (it has ", first_names(names(fit$frame)),
      "); give data = to update()"
    ),
    variables = missing
  )
}

inform_stored <- function(what, fit) {
  inform_fastlmm("stored_frame", paste0(
    "the ", paste(what, collapse = " and "), " stored in the fit ", if (length(what) == 1) "is" else "are", " used (", counted(nrow(fit$frame), "row"),
    "): what its call names no longer exists"
  ))
}

#' @rdname predict.fastlmm_gp
#' @param newresp new response, as long as the rows of the fit.
#' @export
refit.fastlmm_gp <- function(object, newresp = NULL, ...) {
  check_arguments(...)
  model <- stored_gp_model(object)
  if (!is.null(newresp)) {
    model$y[] <- check_new_response(newresp, object)
    model$frame[[1]] <- unname(model$y)
    check_response_varies(model$y - model$offset, names(model$frame)[1])
  }
  report_gp(estimate_gp(model))
}
