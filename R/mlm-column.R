#' Extract one response as a fit of its own
#'
#' Refits the column from what is stored. The result is an ordinary fit, equal to that of [fastlmm_fit()] on the column alone, with profile,
#' optimum and all methods. The columns of X differ only where the rows of the response lack levels of a factor: they are those of the joint
#' fit.
#'
#' @param fit,x a fit of many responses ([fastlmm_mlm]).
#' @param response name or number of a response.
#' @param i for `[[`: the name of a response gives `extract_fit(x, i)`. Any other value gives an element of the list, as does a name that is
#'   both a response and an element.
#' @param ... further arguments of `[[` for lists.
#' @return A fit of class `fastlmm`, with the warnings and messages of a single fit.
#' @section Errors:
#' `fastlmm_error_response_name` if there is no such response. For a response that cannot be fitted, the error that its status names.
#' @examples
#' fit <- fastlmm_fit(cbind(sepal = Sepal.Length, petal = Petal.Length) ~ Sepal.Width + (1 | Species), iris)
#' extract_fit(fit, "petal")
#' confint(fit[["sepal"]], "h2")
#' @export
extract_fit <- function(fit, response) {
  check_arguments()
  if (!inherits(fit, "fastlmm_mlm")) abort_fastlmm("not_a_fit", paste("extract_fit() needs a fit of many responses, not an object of class", class(fit)[1]))
  j <- which_response(fit, response)
  if (inherits(fit, "fastlmm_gp_mlm")) return(report_gp(estimate_gp(gp_column_model(fit, j))))
  report(estimate(check_column_model(column_model(fit, j))))
}

#' @rdname extract_fit
#' @export
`[[.fastlmm_mlm` <- function(x, i, ...) {
  is_response <- is.character(i) && length(i) == 1 && !i %in% names(x) && i %in% colnames(unclass(x)$y)
  if (is_response) extract_fit(x, i) else unclass(x)[[i, ...]]
}

which_response <- function(fit, response) {
  names <- colnames(fit$y)
  at <- if (is.character(response)) match(response, names) else if (is_count(response)) response else NA
  if (length(at) == 1 && !is.na(at) && at <= length(names)) return(as.integer(at))
  hint <- if (is.character(response) && length(response) == 1) did_you_mean(response, names) else ""
  abort_fastlmm("response_name", paste0("no response ", deparse1(response), "; there are ", length(names), ": ", first_names(names), hint))
}

# The model of one column: the rows in which it is observed. `fit` is a fit of many or its model.
column_model <- function(fit, j) {
  used <- !is.na(fit$y[, j])
  left <- column_side(fit, j)
  frame <- structure(fit$frame[used, , drop = FALSE], terms = with_left(attr(fit$frame, "terms"), left))
  y <- fit$y[used, j]
  omitted <- column_omitted(fit, used)
  if (!all(used)) attr(frame, "na.action") <- omitted
  frame[[1]] <- unname(y)
  names(frame)[1] <- deparse1(left)
  model <- unclass(fit)[c("call", "formula", "xlevels", "contrasts", "method", "control")]
  model$formula[[2]] <- left
  if (!is.null(model$call)) model$call$formula <- model$formula
  model$terms <- with_left(fit$terms, left)
  X <- if (is.null(fit$X)) fixed_design(fit) else fit$X
  c(model, list(
    frame = frame, y = structure(y, names = rownames(frame)), offset = fit$offset[used], X = X[used, , drop = FALSE],
    weights = fit$weights[used], random = lapply(fit$random, random_in, used = used), na.action = omitted,
    rows = some_rows(fit$rows, used)
  ))
}

# What the column is called in a formula: the argument of cbind(), or a column of the matrix
column_side <- function(fit, j) {
  left <- fit$formula[[2]]
  arguments <- if (is_call_to(left, "cbind")) as.list(left)[-1]
  one_each <- length(arguments) == ncol(fit$y) && !any(names(arguments) == "deparse.level")
  if (one_each) arguments[[j]] else call("[", left, quote(expr = ), colnames(fit$y)[j])
}

# Terms with another response; the columns of data that only the old one needed are no longer asked for.
with_left <- function(terms, left) {
  formula <- stats::formula(terms)
  needed <- c(expression_variables(left), expression_variables(formula[[3]]))
  gone <- setdiff(expression_variables(formula[[2]]), needed)
  formula[[2]] <- left
  attributes <- attributes(terms)
  if (!is.null(attributes$columns)) attributes$columns <- setdiff(attributes$columns, gone)
  attributes$variables[[2]] <- left
  if (!is.null(attributes$predvars)) attributes$predvars[[2]] <- left
  rename <- function(x) replace(x, 1, deparse1(left))
  if (!is.null(rownames(attributes$factors))) rownames(attributes$factors) <- rename(rownames(attributes$factors))
  if (!is.null(attributes$dataClasses)) attributes$dataClasses[1] <- "numeric"
  names(attributes$dataClasses) <- rename(names(attributes$dataClasses))
  attributes(formula) <- attributes
  formula
}

# A random effect in some of the rows; without a kernel its ids are those with data.
random_in <- function(random, used) {
  at <- random$index[random$group[used]]
  index <- sort(unique(at))
  random$group <- match(at, index)
  random$z <- random$z[used]
  if (is.null(random$kernel)) random$ids <- random$ids[index]
  random$alpha <- NULL
  random$index <- if (is.null(random$kernel)) seq_along(index) else index
  random
}

# Rows left out, of all rows of the data: those of the fit of many, and the missing cells.
column_omitted <- function(fit, used) {
  if (all(used)) return(fit$na.action)
  all <- seq_len(length(used) + length(fit$na.action))
  kept <- setdiff(all, fit$na.action)
  out <- c(fit$na.action, structure(kept[!used], names = rownames(fit$frame)[!used]))
  structure(out[order(out)], class = fit$na_class)
}

check_column_model <- function(model) {
  name <- names(model$frame)[1]
  if (length(model$y) == 0) abort_fastlmm("no_rows", paste0("0 (non-NA) cases: ", quoted(name), " is missing in all rows"))
  check_response_finite(model$y, name, rownames(model$frame))
  check_response_varies(model$y - model$offset, name)
  lapply(model$random, check_groups)
  model
}

# One response as a fit, from the estimates that there are: without profile and optimum.
column_fit <- function(fit, j) {
  model <- column_model(fit, j)
  kept <- rownames(fit$coefficients)[!is.na(fit$coefficients[, j])]
  of <- function(x) if (is.matrix(x)) x[, j] else unname(x[j])
  model$random <- Map(function(one, whole) c(one, list(alpha = column_effect(one, whole, j))), model$random, fit$random)
  vcov <- matrix(fit$vcov[kept, kept, j], length(kept), dimnames = list(kept, kept))
  found <- lapply(unclass(fit)[c("sigma2", "sigma2_e", "delta", "h2", "logLik", "status", "nobs", "rank", "df")], of)
  structure(c(
    model[names(model) != "X"], found,
    list(coefficients = fit$coefficients[, j], vcov = vcov, kept = kept, null_space = response_null_space(fit, j), se = lapply(fit$se, of))
  ), class = "fastlmm")
}

column_effect <- function(one, whole, j) {
  if (is_lowrank(one$kernel)) return(whole$alpha[, j])
  whole$alpha[match(one$ids[one$index], whole$ids[whole$index]), j]
}

# ---- refit and update ---------------------------------------------------------------------------------

#' @rdname refit.fastlmm
#' @export
#' @exportS3Method lme4::refit fastlmm_mlm
refit.fastlmm_mlm <- function(object, newresp = NULL, ...) {
  check_arguments(...)
  model <- unclass(object)[c(
    "call", "formula", "terms", "frame", "xlevels", "contrasts", "y", "offset", "weights", "random", "na.action", "na_class", "rows", "method", "control"
  )]
  model$random <- lapply(model$random, function(one) one[names(one) != "alpha"])
  model$X <- fixed_design(object)
  if (!is.null(newresp)) {
    model$y <- check_new_responses(newresp, object)
    model$frame[[1]] <- model$y
    if (!isTRUE(all.equal(model$y, object$y, tolerance = 0, check.attributes = FALSE))) model$rows$response <- FALSE
  }
  report_many(estimate_many(model))
}

check_new_responses <- function(Y, fit) {
  if (is.data.frame(Y)) Y <- as.matrix(Y)
  # what simulate(fit, 1) gives
  if (is.list(Y) && length(Y) == 1) Y <- Y[[1]]
  if (is.list(Y)) abort_new_response(paste("is a list of", length(Y), "draws; give one of them, as draws[[1]]"))
  if (!is.matrix(Y) || !is.numeric(Y) || ncol(Y) != ncol(fit$y)) abort_new_response(sprintf("must be a numeric matrix of %d columns", ncol(fit$y)))
  all_rows <- nrow(fit$frame) + length(fit$na.action)
  if (nrow(Y) == all_rows && length(fit$na.action) > 0) Y <- Y[-fit$na.action, , drop = FALSE]
  if (nrow(Y) != nrow(fit$frame)) abort_new_response(sprintf("has %d rows, the fit has %d", nrow(Y), nrow(fit$frame)))
  matrix(as.numeric(Y), nrow(Y), dimnames = dimnames(fit$y))
}

# update() is that of a single fit
#' @rawNamespace S3method(update, fastlmm_mlm, update.fastlmm)
NULL
