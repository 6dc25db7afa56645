#' Variance components
#'
#' @param x a fit by [fastlmm_fit()], or what `VarCorr()` gave.
#' @param sigma multiplies the standard deviations.
#' @param comp which columns to print.
#' @param digits significant digits.
#' @param row.names,optional as in [as.data.frame()], not used.
#' @param order not used: there are no covariances. It is there because `lme4` has it.
#' @param ... not used; an unknown argument is an error.
#' @return A list of class `VarCorr.fastlmm` of the shape of `lme4`'s: by group a 1 x 1 covariance matrix with
#'   attributes `stddev` and `correlation`, and the residual standard deviation as attribute `sc`. The variance of the
#'   random term is `sigma2` (several stand in the order of the formula, where `lme4` sorts by the number of levels), that is for an id whose diagonal element of K is 1. `as.data.frame()` gives `grp`, `var1`,
#'   `var2`, `vcov`, `sdcor`.
#' @examples
#' fit <- fastlmm_fit(distance ~ age + (1 | Subject), nlme::Orthodont)
#' VarCorr(fit)
#' as.data.frame(VarCorr(fit))
#' @export
VarCorr.fastlmm <- function(x, sigma = 1, ...) {
  check_arguments(...)
  component <- function(sd, term) {
    one <- function(value) matrix(value, 1, 1, dimnames = list(term, term))
    structure(one(sd^2), stddev = structure(sd, names = term), correlation = one(1))
  }
  structure(
    structure(unname(Map(component, sigma * sqrt(unname(x$sigma2)), vapply(x$random, effect_name, ""))), names = names(x$random)),
    sc = sigma * sqrt(x$sigma2_e), useSc = TRUE, class = "VarCorr.fastlmm"
  )
}

#' @rdname VarCorr.fastlmm
#' @export
as.data.frame.VarCorr.fastlmm <- function(x, row.names = NULL, optional = FALSE, order = "cov.last", ...) {
  check_arguments(...)
  sd <- unname(c(vapply(x, attr, 0, "stddev"), attr(x, "sc")))
  data.frame(
    grp = c(names(x), "Residual"), var1 = c(vapply(x, rownames, "", USE.NAMES = FALSE), NA), var2 = NA_character_, vcov = sd^2, sdcor = sd
  )
}

#' @rdname VarCorr.fastlmm
#' @export
print.VarCorr.fastlmm <- function(x, digits = max(3, getOption("digits") - 2), comp = "Std.Dev.", ...) {
  check_arguments(...)
  print(format_var_corr(x, digits, comp), quote = FALSE)
  invisible(x)
}

format_var_corr <- function(x, digits, comp = "Std.Dev.") {
  comp <- one_of(comp, c("Variance", "Std.Dev."), several = TRUE)
  table <- as.data.frame(x)
  value <- cbind(Variance = format(table$vcov, digits = digits), Std.Dev. = format(table$sdcor, digits = digits))
  name <- ifelse(is.na(table$var1), "", table$var1)
  out <- cbind(Groups = format(table$grp), Name = format(name), value[, comp, drop = FALSE])
  rownames(out) <- rep("", nrow(out))
  out
}
