# How a table of fits tells its models apart: by formulas, and by arguments that say what a formula does not, where these differ.

model_texts <- function(fits) {
  formulas <- vapply(fits, function(fit) deparse1(formula(fit)), "")
  paste0(formulas, Reduce(paste0, lapply(c("K", "residual", "sigma2_e", "weights"), argument_texts, fits = fits)))
}

# ", K = list(id = A)" of each fit; nothing where all have the same, or where a fit has none
argument_texts <- function(name, fits) {
  given <- lapply(fits, function(fit) given_argument(name, fit$call))
  if (length(unique(given)) == 1) return(rep("", length(fits)))
  vapply(given, function(value) if (is.null(value)) "" else paste0(", ", name, " = ", code_text(value)), "")
}

given_argument <- function(name, call) if (name == "K" && is.null(call$K)) call$relmat else call[[name]]
