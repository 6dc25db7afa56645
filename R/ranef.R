#' Random effects: best linear unbiased predictions
#'
#' The prediction for id `j` is `sigma2 K[j, ] Z' V^-1 (y - X beta)`. K reaches ids without a row in the data as well as
#' those with one.
#'
#' @param object a fit by [fastlmm_fit()].
#' @param condVar add the variance of the effects given the data (and given `beta`, as `lme4` does) as attribute
#'   `postVar`? It costs a factorisation of K.
#' @param which `"observed"`: ids with a row in the data; `"all"`: all ids of K.
#' @param x what `ranef()` or `coef()` gave.
#' @param row.names,optional as in [as.data.frame()], not used.
#' @param ... not used; an unknown argument is an error.
#' @return `ranef()`: a list of class `ranef.fastlmm` with one data frame, named by the grouping factor, with a row for
#'   each id and a column `(Intercept)` (or the name of the slope); with `condVar` the data frame carries `postVar`, an
#'   array 1 x 1 x ids. `as.data.frame()` gives `grpvar`, `term`, `grp`, `condval` and, with `condVar`, `condsd`.
#'   `coef()`: the same shape, fixed effects plus random effects.
#' @examples
#' fit <- fastlmm_fit(distance ~ age + (1 | Subject), nlme::Orthodont)
#' head(as.data.frame(ranef(fit)))
#' head(coef(fit)$Subject)
#' @export
ranef.fastlmm <- function(object, condVar = TRUE, which = c("observed", "all"), ...) {
  check_dots_empty(...)
  random <- object$random
  rows <- if (match.arg(which) == "all") seq_along(random$ids) else random$index
  frame <- data.frame(unname(blup(object))[rows], row.names = random$ids[rows])
  names(frame) <- random_term(object)
  if (condVar) attr(frame, "postVar") <- array(conditional_variance(object, rows), c(1, 1, length(rows)))
  structure(structure(list(frame), names = random$name), class = "ranef.fastlmm")
}

#' @rdname ranef.fastlmm
#' @export
as.data.frame.ranef.fastlmm <- function(x, row.names = NULL, optional = FALSE, ...) {
  check_dots_empty(...)
  frame <- x[[1]]
  id <- rownames(frame)
  out <- data.frame(
    grpvar = names(x), term = factor(names(frame)), grp = factor(id, levels = id), condval = frame[[1]]
  )
  variance <- attr(frame, "postVar")
  if (!is.null(variance)) out$condsd <- sqrt(variance[1, 1, ])
  out
}

#' @rdname ranef.fastlmm
#' @export
print.ranef.fastlmm <- function(x, ...) {
  variance <- !is.null(attr(x[[1]], "postVar"))
  attr(x[[1]], "postVar") <- NULL
  print(unclass(x), ...)
  if (variance) cat("with conditional variances for", quoted(names(x)), "\n")
  invisible(x)
}

#' @rdname ranef.fastlmm
#' @export
coef.fastlmm <- function(object, ...) {
  check_dots_empty(...)
  effects <- ranef(object, condVar = FALSE)[[1]]
  term <- names(effects)
  fixed <- object$coefficients
  if (!term %in% names(fixed)) fixed <- c(structure(0, names = term), fixed)
  table <- as.data.frame(lapply(fixed, rep, times = nrow(effects)), optional = TRUE)
  dimnames(table) <- list(rownames(effects), names(fixed))
  table[[term]] <- table[[term]] + effects[[1]]
  structure(structure(list(table), names = object$random$name), class = "coef.fastlmm")
}

#' @rdname ranef.fastlmm
#' @export
print.coef.fastlmm <- function(x, ...) {
  print(unclass(x), ...)
  invisible(x)
}
