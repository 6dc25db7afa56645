#' Extract components of a fit of many responses
#'
#' The values are vectors named by response or matrices with a column for each response, in the order of the fit.
#'
#' @param object,x,formula,fit,fitted a fit of many responses ([fastlmm_mlm]); for `print()` also its summary.
#' @param n number of responses to print.
#' @param digits number of significant digits.
#' @param row.names,optional as in [as.data.frame()], not used.
#' @param complete give aliased coefficients rows and columns of `NA`? `FALSE` leaves out those that are aliased in all responses.
#' @param k penalty per parameter.
#' @param parm `"h2"`, `"delta"`, or names of coefficients; `NULL`: `"h2"` and all coefficients.
#' @param level confidence level.
#' @param method only `"Wald"`; [extract_fit()] gives single fits, whose profile intervals are better.
#' @param REML only the value of the fit; see [extract_fit()] for the other likelihood.
#' @param use.fallback not used; present because [stats::step()] passes it.
#' @param add.dropped,fixed.only,random.only,env,data,type,... see [fastlmm-accessors]; `add.dropped = FALSE` leaves out what is aliased in all
#'   responses.
#' @return
#' * `coef()`, `fixef()`: p x q. `vcov()`: p x p x q.
#' * `sigma()`, `logLik()`, `AIC()`, `BIC()`, `deviance()`, `nobs()`, `df.residual()`: a number for each response.
#' * `as.data.frame()`: a row for each response, with `response`, `n`, `h2`, `se_h2`, `sigma2`, `sigma2_e`, `delta`, `logLik`, `status`,
#'   `boundary`; with several random effects `h2`, `se_h2`, `sigma2` and `delta` have a column for each effect, such as `h2.id`.
#' * `summary()`: a list of class `summary.fastlmm_mlm` with that table, `coefficients` (an array, columns of X x (Estimate, Std. Error, t
#'   value) x responses) and counts of status and boundary.
#' * `confint()`: a data frame `response`, `term`, `estimate`, `lower`, `upper`. Intervals of `h2` and `delta` are Wald intervals on the scale
#'   of log delta; on a boundary they are `NA`.
#' * `tidy()`: `response` and the columns of [tidy.fastlmm()]: fixed effects, standard deviations, `h2` of each random effect. `glance()`: a
#'   row for each response; `h2` is the sum of the shares.
#' * `anova()`, `drop1()`, `add1()`, `extractAIC()`, `augment()`, `profile()`: an error that points to [extract_fit()].
#' * `formula()`, `terms()`, `model.frame()`, `model.matrix()`, `weights()`: as for a single fit.
#' @examples
#' fit <- fastlmm_fit(cbind(sepal = Sepal.Length, petal = Petal.Length) ~ Sepal.Width + (1 | Species), iris)
#' summary(fit)
#' logLik(fit)
#' confint(fit, "h2")
#' @name summary.fastlmm_mlm
NULL

#' @rdname summary.fastlmm_mlm
#' @order 1
#' @export
print.fastlmm_mlm <- function(x, n = 6, digits = max(3, getOption("digits") - 3), ...) {
  check_arguments(...)
  print_many(x, as.data.frame(x), n, digits)
  invisible(x)
}

#' @rdname summary.fastlmm_mlm
#' @order 2
#' @export
summary.fastlmm_mlm <- function(object, ...) {
  check_arguments(...)
  structure(
    list(
      fit = structure(
        unclass(object)[intersect(c("call", "formula", "method", "random", "frame", "nobs", "gp"), names(unclass(object)))],
        class = setdiff(class(object), "fastlmm_mlm")
      ),
      table = as.data.frame(object), coefficients = coefficient_array(object),
      status = table(object$status, dnn = NULL), boundary = table(object$boundary, dnn = NULL)
    ),
    class = "summary.fastlmm_mlm"
  )
}

#' @rdname summary.fastlmm_mlm
#' @export
print.summary.fastlmm_mlm <- function(x, n = 20, digits = max(3, getOption("digits") - 3), ...) {
  check_arguments(...)
  print_many(x$fit, x$table, n, digits)
  # a count beside "h2 = 0" must not read as its digits
  cat("Status: ", paste0(quoted(names(x$status)), " in ", x$status, collapse = ", "), "\n", sep = "")
  cat("Boundary: ", paste0(quoted(names(x$boundary)), " in ", x$boundary, collapse = ", "), "\n", sep = "")
  if (dim(x$coefficients)[1] > 0) print_coefficient_array(x$coefficients, min(n, 5), digits)
  invisible(x)
}

print_many <- function(fit, table, n, digits) {
  check_shown(n)
  print_title(fit)
  rows <- range(fit$nobs)
  cat(counted(nrow(table), "response"), ", rows: ", paste(unique(rows), collapse = " to "), "\n", sep = "")
  print(head(table, n), digits = digits, row.names = FALSE)
  if (nrow(table) > n) cat("... and ", counted(nrow(table) - n, "more response"), "\n", sep = "")
}

print_coefficient_array <- function(coefficients, n, digits) {
  cat("\nFixed effects:\n")
  for (name in head(dimnames(coefficients)[[3]], n)) {
    cat(name, ":\n", sep = "")
    printCoefmat(matrix(coefficients[, , name], ncol = 3, dimnames = dimnames(coefficients)[1:2]), digits = digits, na.print = "NA")
  }
  left <- dim(coefficients)[3] - n
  if (left > 0) cat("... and ", counted(left, "more response"), "\n", sep = "")
}

coefficient_array <- function(fit) {
  se <- coefficient_errors(fit)
  estimate <- fit$coefficients
  parts <- array(c(estimate, se, estimate / se), c(dim(se), 3), c(dimnames(se), list(c("Estimate", "Std. Error", "t value"))))
  aperm(parts, c(1, 3, 2))
}

# p x q
coefficient_errors <- function(fit) {
  p <- nrow(fit$coefficients)
  variance <- matrix(fit$vcov, p * p, ncol(fit$coefficients))[(seq_len(p) - 1) * (p + 1) + 1, , drop = FALSE]
  matrix(sqrt(pmax(variance, 0)), p, ncol(fit$coefficients), dimnames = dimnames(fit$coefficients))
}

#' @rdname summary.fastlmm_mlm
#' @export
as.data.frame.fastlmm_mlm <- function(x, row.names = NULL, optional = FALSE, ...) {
  check_arguments(...)
  columns <- function(value) if (is.matrix(value)) as.data.frame(t(value)) else unname(value)
  table <- c(
    list(response = names(x$logLik), n = unname(x$nobs)), list(h2 = columns(x$h2), se_h2 = columns(x$se$h2), sigma2 = columns(x$sigma2)),
    list(sigma2_e = unname(x$sigma2_e), delta = columns(x$delta), logLik = unname(x$logLik), status = unname(x$status), boundary = unname(x$boundary))
  )
  structure(do.call(data.frame, c(table, list(check.names = FALSE, stringsAsFactors = FALSE))), row.names = seq_along(x$logLik))
}

# ---- extractors ---------------------------------------------------------------------------------------

#' @rdname summary.fastlmm_mlm
#' @export
coef.fastlmm_mlm <- function(object, ...) {
  check_arguments(...)
  object$coefficients
}

#' @rdname summary.fastlmm_mlm
#' @export
fixef.fastlmm_mlm <- function(object, ..., add.dropped = TRUE) {
  check_arguments(...)
  if (add.dropped) object$coefficients else object$coefficients[object$kept, , drop = FALSE]
}

#' @rdname summary.fastlmm_mlm
#' @export
vcov.fastlmm_mlm <- function(object, complete = TRUE, ...) {
  check_arguments(...)
  if (complete) object$vcov else object$vcov[object$kept, object$kept, , drop = FALSE]
}

#' @rdname summary.fastlmm_mlm
#' @export
sigma.fastlmm_mlm <- function(object, ...) {
  check_arguments(...)
  sqrt(object$sigma2_e)
}

#' @rdname summary.fastlmm_mlm
#' @export
logLik.fastlmm_mlm <- function(object, REML = NULL, ...) {
  check_arguments(...)
  if (wanted_reml(object, REML) == is_reml(object)) return(object$logLik)
  abort_fastlmm(
    "other_likelihood", paste0("a fit of many responses has the likelihood of method = ", quoted(object$method), " only; use extract_fit() for one response")
  )
}

#' @rdname summary.fastlmm_mlm
#' @export
AIC.fastlmm_mlm <- function(object, ..., k = 2) {
  check_arguments(...)
  k * object$df - 2 * object$logLik
}

#' @rdname summary.fastlmm_mlm
#' @export
BIC.fastlmm_mlm <- function(object, ...) {
  check_arguments(...)
  log(object$nobs) * object$df - 2 * object$logLik
}

#' @rdname summary.fastlmm_mlm
#' @export
deviance.fastlmm_mlm <- function(object, REML = NULL, ...) {
  check_arguments(...)
  if (is.null(REML) && is_reml(object)) warn_deviance_reml()
  -2 * logLik(object, REML = REML)
}

#' @rdname summary.fastlmm_mlm
#' @export
nobs.fastlmm_mlm <- function(object, ..., use.fallback = FALSE) {
  check_arguments(...)
  object$nobs
}

#' @rdname summary.fastlmm_mlm
#' @export
df.residual.fastlmm_mlm <- function(object, ...) {
  check_arguments(...)
  object$nobs - object$df
}

#' @rdname summary.fastlmm_mlm
#' @export
formula.fastlmm_mlm <- function(x, fixed.only = FALSE, random.only = FALSE, env = NULL, ...) formula.fastlmm(x, fixed.only, random.only, ...)

#' @rdname summary.fastlmm_mlm
#' @export
terms.fastlmm_mlm <- function(x, fixed.only = !random.only, random.only = FALSE, ...) terms.fastlmm(x, fixed.only, random.only, ...)

#' @rdname summary.fastlmm_mlm
#' @export
model.frame.fastlmm_mlm <- function(formula, fixed.only = FALSE, data = NULL, ...) model.frame.fastlmm(formula, fixed.only, data, ...)

#' @rdname summary.fastlmm_mlm
#' @export
model.matrix.fastlmm_mlm <- function(object, type = c("fixed", "random"), data = NULL, ...) model.matrix.fastlmm(object, type, data, ...)

#' @rdname summary.fastlmm_mlm
#' @export
weights.fastlmm_mlm <- function(object, type = c("prior", "working"), ...) {
  check_arguments(...)
  one_of(type, c("prior", "working"))
  naresid(object$na.action, if (is.null(object$weights)) rep(1, nrow(object$frame)) else object$weights)
}

# ---- intervals and plot -------------------------------------------------------------------------------

#' @rdname summary.fastlmm_mlm
#' @export
confint.fastlmm_mlm <- function(object, parm = NULL, level = 0.95, method = "Wald", ...) {
  check_arguments(...)
  if (!identical(method, "Wald")) abort_fastlmm("method", "intervals of many responses need method = \"Wald\"; use extract_fit() for the profile of one")
  terms <- rownames(object$coefficients)
  known <- c("h2", "delta"[is.vector(object$delta)], terms)
  if (length(parm) == 0) parm <- c("h2", terms)
  if (!all(parm %in% known)) abort_fastlmm("parameter", paste0("no parameter ", first_names(setdiff(parm, known)), "; there are ", first_names(known)))
  z <- qnorm(both_tails(check_level(level)))
  do.call(rbind, unlist(lapply(parm, response_intervals, fit = object, z = z), recursive = FALSE))
}

response_intervals <- function(term, fit, z) {
  frame <- function(term, estimate, lower, upper) {
    data.frame(response = names(fit$logLik), term = term, estimate = unname(estimate), lower = unname(lower), upper = unname(upper))
  }
  if (term %in% rownames(fit$coefficients)) {
    estimate <- fit$coefficients[term, ]
    se <- coefficient_errors(fit)[term, ]
    return(list(frame(term, estimate, estimate + z[1] * se, estimate + z[2] * se)))
  }
  if (is.matrix(fit$h2)) {
    one <- function(label) {
      half <- z[2] * fit$se$h2[label, ]
      frame(paste0("h2.", label), fit$h2[label, ], pmax(0, fit$h2[label, ] - half), pmin(1, fit$h2[label, ] + half))
    }
    return(lapply(rownames(fit$h2), one))
  }
  lower <- log(fit$delta) + z[1] * fit$se$log_delta
  upper <- log(fit$delta) + z[2] * fit$se$log_delta
  if (term == "delta") list(frame("delta", fit$delta, exp(lower), exp(upper))) else list(frame("h2", fit$h2, plogis(-upper), plogis(-lower)))
}

#' @rdname plot.fastlmm
#' @param n number of responses to show for a fit of many: those with the largest `h2`.
#' @param xlab,ylab axis labels.
#' @export
plot.fastlmm_mlm <- function(x, level = 0.95, n = 50, xlab = "h2", ylab = "", ...) {
  read_arguments()
  shown <- largest_h2(x, level, n)
  at <- rev(seq_len(nrow(shown)))
  plot(shown$estimate, at, xlim = c(0, 1), xlab = xlab, ylab = ylab, yaxt = "n", pch = 19, ...)
  graphics::segments(shown$lower, at, shown$upper, at)
  graphics::axis(2, at, shown$label, las = 1, cex.axis = 0.7)
  invisible(x)
}

largest_h2 <- function(fit, level, n) {
  check_shown(n)
  table <- confint(fit, "h2", level)
  shown <- head(table[order(-table$estimate, na.last = NA), ], n)
  if (nrow(shown) == 0) abort_fastlmm("no_h2", "no response has an h2 to plot; see as.data.frame(fit)$status")
  shown$label <- if (length(unique(shown$term)) > 1) paste(shown$response, shown$term) else shown$response
  shown
}
