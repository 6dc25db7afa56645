# A fit with other fixed effects, of the rows, response and kernels that it stores: what drop1() and add1() compare are fits of the same data, whatever
# has become of these since.

# What stats' methods are given, which evaluate the call that update() makes; `columns` of the frame are added.
as_stored <- function(fit, columns = NULL) {
  fit$frame[names(columns)] <- columns
  structure(fit, class = c("fastlmm_stored", class(fit)))
}

#' @export
update.fastlmm_stored <- function(object, formula., ..., evaluate = TRUE) {
  class(object) <- setdiff(class(object), "fastlmm_stored")
  call <- as.call(list(with_fixed, object, formula.))
  if (evaluate) eval(call) else call
}

# By maximum likelihood, which is what is compared
with_fixed <- function(fit, change) {
  formula <- stats::update.formula(stats::formula(fit$terms), change)
  terms <- stats::terms(formula)
  fit$contrasts <- fit$contrasts[names(fit$contrasts) %in% all_labels(terms)]
  model <- stored_model(replace(fit, "terms", list(terms)))
  model$method <- "ML"
  model["call"] <- list(NULL)
  report(estimate(model))
}

all_labels <- function(terms) vapply(as.list(attr(terms, "variables"))[-1], deparse1, "")

# Variables of new terms in the rows of the fit, a list; NULL where they are not found there
added_columns <- function(fit, labels) {
  variables <- as.list(attr(stats::terms(stats::reformulate(labels)), "variables"))[-1]
  variables <- Filter(function(one) !deparse1(one) %in% names(fit$frame), variables)
  columns <- lapply(variables, added_column, fit = fit)
  if (any(vapply(columns, is.null, NA))) return(NULL)
  structure(columns, names = vapply(variables, deparse1, ""))
}

added_column <- function(variable, fit) {
  formula <- stats::as.formula(call("~", variable), environment(fit$formula))
  column <- frame_of_rows(formula, fit)[[1]]
  if (anyNA(column)) {
    abort_fastlmm("rows", paste0(deparse1(variable), " is missing in rows of the fit: fits of other rows cannot be compared; fit the rows that have it first"))
  }
  column
}
