#' Variance components
#'
#' @param x a fit by [fastlmm_fit()], or the value of `VarCorr()`.
#' @param sigma factor by which the standard deviations are multiplied.
#' @param comp which columns to print.
#' @param digits number of significant digits.
#' @param row.names,optional as in [as.data.frame()], not used.
#' @param order `"cov.last"`: rows of covariances after those of variances; `"lower.tri"`: in the order of the lower triangle, as in `lme4`.
#' @param ... not used; an unknown argument is an error.
#' @return A list of class `VarCorr.fastlmm` of the same shape as in `lme4`: for each group a covariance matrix (1 x 1, or larger for
#'   correlated terms) with attributes `stddev` and `correlation`, and the residual standard deviation as attribute `sc`. The variance of a
#'   random term is `sigma2`, that of an id whose diagonal element of K is 1. Several terms stand in the order of the formula, whereas `lme4`
#'   sorts them by their number of levels. `as.data.frame()` gives `grp`, `var1`, `var2`, `vcov`, `sdcor`.
#' @examples
#' fit <- fastlmm_fit(distance ~ age + (1 | Subject), nlme::Orthodont)
#' VarCorr(fit)
#' as.data.frame(VarCorr(fit))
#' @export
VarCorr.fastlmm <- function(x, sigma = 1, ...) {
  check_arguments(...)
  covariance <- sigma^2 * effect_covariance(x)
  blocks <- blocks_of(x$random)
  components <- lapply(blocks, function(labels) {
    term_covariance(unname(covariance[labels, labels, drop = FALSE]), unname(vapply(x$random[labels], effect_name, "")))
  })
  firsts <- x$random[vapply(blocks, `[`, "", 1)]
  structure(
    structure(components, names = random_labels(firsts)), sc = sigma * sqrt(x$sigma2_e), residual = if (has_levels(x)) sigma * sqrt(x$residual$variance),
    useSc = TRUE, class = "VarCorr.fastlmm"
  )
}

# A covariance matrix with what lme4 keeps beside it
term_covariance <- function(covariance, terms) {
  sd <- structure(sqrt(diag(covariance)), names = terms)
  dimnames(covariance) <- list(terms, terms)
  correlation <- covariance / outer(sd, sd)
  if (length(sd) == 1) correlation[] <- 1
  structure(covariance, stddev = sd, correlation = correlation)
}

#' @rdname VarCorr.fastlmm
#' @export
as.data.frame.VarCorr.fastlmm <- function(x, row.names = NULL, optional = FALSE, order = c("cov.last", "lower.tri"), ...) {
  check_arguments(...)
  order <- one_of(order, c("cov.last", "lower.tri"))
  sc <- attr(x, "sc")
  by_level <- attr(x, "residual")
  residual <- data.frame(grp = "Residual", var1 = NA_character_, var2 = NA_character_, vcov = sc^2, sdcor = sc)
  if (!is.null(by_level)) residual <- data.frame(
    grp = "Residual", var1 = names(by_level), var2 = NA_character_, vcov = unname(by_level)^2, sdcor = unname(by_level)
  )
  out <- do.call(rbind, c(unname(Map(covariance_rows, x, names(x), order)), list(residual)))
  rownames(out) <- NULL
  out
}

covariance_rows <- function(covariance, group, order) {
  n <- nrow(covariance)
  term <- rownames(covariance)
  pair <- which(lower.tri(covariance, diag = TRUE), arr.ind = TRUE)
  is_sd <- pair[, 1] == pair[, 2]
  out <- data.frame(
    grp = group, var1 = unname(term[pair[, 2]]), var2 = unname(ifelse(is_sd, NA, term[pair[, 1]])), vcov = covariance[pair],
    sdcor = ifelse(is_sd, attr(covariance, "stddev")[pair[, 1]], attr(covariance, "correlation")[pair])
  )
  if (order == "cov.last") out[order(!is_sd), ] else out
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
  table <- table[is.na(table$var2), ]
  value <- cbind(Variance = format(table$vcov, digits = digits), Std.Dev. = format(table$sdcor, digits = digits))
  name <- ifelse(is.na(table$var1), "", table$var1)
  group <- unlist(
    c(Map(function(one, group) c(group, rep("", nrow(one) - 1)), unclass(x), names(x)), "Residual", rep("", max(0, length(attr(x, "residual")) - 1))),
    use.names = FALSE
  )
  out <- cbind(Groups = format(group), Name = format(name), value[, comp, drop = FALSE], correlation_columns(x, digits))
  rownames(out) <- rep("", nrow(out))
  out
}

# As lme4 prints them: below the diagonal, without the last column; nothing where no terms are correlated
correlation_columns <- function(x, digits) {
  widest <- max(vapply(x, nrow, 0L)) - 1
  if (widest == 0) return(NULL)
  one <- function(covariance) {
    n <- nrow(covariance)
    digits <- max(2, digits - 2)
    text <- format(round(attr(covariance, "correlation"), digits), nsmall = digits)
    text[!lower.tri(text)] <- ""
    unname(cbind(text, matrix("", n, widest + 1 - n))[, seq_len(widest), drop = FALSE])
  }
  out <- rbind(do.call(rbind, lapply(unname(unclass(x)), one)), matrix("", max(1, length(attr(x, "residual"))), widest))
  colnames(out) <- c("Corr", rep("", widest - 1))
  out
}
