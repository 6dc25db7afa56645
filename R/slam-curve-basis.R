# Bases of curves: columns of time, chosen once from all times of the data.

#' Bases for curves
#'
#' Bases for [slam_curves()]. `curve_bspline()`: B-splines, whose coefficients are in units of the data and local in time; `natural` ones are
#' linear at the ends. With `differences` the coefficients are transformed to their mean, the level, and their successive differences (of order
#' 1 or 2, with a `slope`), so that the prior shrinks neighbours towards each other, as in penalised splines; the curves are the same.
#' `curve_fourier()`: `level`, and cosines and sines of a period. A function of time that returns a matrix, or a matrix with a row for each row
#' of the data, may also be used as a basis; its column names become those of the coefficients.
#' @param df number of coefficients.
#' @param degree degree of the polynomial pieces.
#' @param knots inner knots, instead of `df`; by default quantiles of the times.
#' @param range the two ends of the basis, beyond which there is no curve; by default those of the times. Give it if predictions at other
#'   times, such as 0, will be needed.
#' @param natural use natural cubic splines?
#' @param differences order of differences: 0 (none), 1 or 2.
#' @param harmonics number of harmonics, each with a cosine and a sine.
#' @param period the period, in units of time.
#' @return An object of class `curve_basis`.
#' @examples
#' curve_bspline(df = 5, differences = 1)
#' curve_fourier(harmonics = 2, period = 24)
#' @export
curve_bspline <- function(df = 6, degree = 3, knots = NULL, range = NULL, natural = FALSE, differences = 0) {
  check_arguments()
  if (!is_count(degree) || degree > 10) abort_curves(paste("degree must be a whole number from 1 to 10, not", code_text(degree)))
  least <- if (natural) 2 else degree + 1
  if (!is.null(knots) && !are_times(knots)) abort_curves("knots must be finite numbers")
  if (is.null(knots) && (!is_count(df) || df < least || df > 1000)) abort_curves(
    paste0("df, the number of coefficients, must be a whole number from ", least, " to 1000, not ", code_text(df))
  )
  if (!is.null(range) && !(are_times(range) && length(range) == 2 && range[1] < range[2])) abort_curves("range must be two numbers that increase")
  if (!is.numeric(differences) || length(differences) != 1 || !differences %in% 0:2) abort_curves("differences must be 0, 1 or 2")
  new_curve_basis("B-splines", df = df, degree = degree, knots = knots, range = range, natural = natural, differences = differences)
}

#' @rdname curve_bspline
#' @export
curve_fourier <- function(harmonics = 1, period) {
  check_arguments()
  if (!is_count(harmonics) || harmonics > 500) abort_curves(paste("harmonics must be a whole number from 1 to 500, not", code_text(harmonics)))
  if (!is_positive(period)) abort_curves(paste("period must be a positive number, not", code_text(period)))
  new_curve_basis("Fourier", harmonics = harmonics, period = period)
}

new_curve_basis <- function(kind, ...) structure(list(kind = kind, ...), class = "curve_basis")

#' @export
print.curve_basis <- function(x, ...) {
  check_arguments(...)
  cat(
    "Basis of curves: ", x$kind, if (!is.null(x$names)) paste0(", ", counted(length(x$names), "coefficient")),
    if (isTRUE(x$differences > 0)) paste(", differences of order", x$differences), "\n", sep = ""
  )
  invisible(x)
}

are_times <- function(x) is.numeric(x) && is.null(dim(x)) && length(x) > 0 && all(is.finite(x))

abort_curves <- function(message, ...) abort_fastlmm("curves", message, ...)

# ---- made once -----------------------------------------------------------------------------------------------

# As it is asked for: `times` are those of the user's matrix
as_curve_basis <- function(basis, times) {
  if (is.function(basis)) basis <- new_curve_basis("function", f = basis)
  if (is.matrix(basis)) basis <- matrix_basis(basis, times)
  if (!inherits(basis, "curve_basis")) abort_curves(
    paste("basis must be made by curve_bspline() or curve_fourier(), or be a function of times or a matrix, not of class", class(basis)[1])
  )
  basis
}

# With all that depends on the times of the rows of a fit
settle_basis <- function(basis, times) {
  basis <- as_curve_basis(basis, times)
  if (basis$kind == "B-splines") basis <- settle_splines(basis, times)
  basis$names <- colnames(basis_matrix(basis, times[1]))
  twice <- unique(basis$names[duplicated(basis$names)])
  if (length(twice) > 0) abort_curves(
    paste0("several columns of the basis have the name ", first_names(twice), ": each coefficient needs its own"), columns = twice
  )
  basis
}

settle_splines <- function(basis, times) {
  if (is.null(basis$range)) basis$range <- range(times)
  if (basis$range[1] >= basis$range[2]) abort_curves("all times are the same: a curve needs several")
  if (is.null(basis$knots)) {
    inner <- basis$df - if (basis$natural) 2 else basis$degree + 1
    at <- seq(0, 1, length.out = inner + 2)[-c(1, inner + 2)]
    basis$knots <- stats::quantile(times, at, names = FALSE)
  }
  inside <- basis$knots > basis$range[1] & basis$knots < basis$range[2]
  if (!all(inside)) abort_curves(paste("knots must lie between the ends of range: ", first_names(format(basis$knots[!inside]))))
  basis
}

# The user's matrix is known at the times of the data alone.
matrix_basis <- function(basis, times) {
  if (!is.numeric(basis) || ncol(basis) == 0 || nrow(basis) != length(times) || !all(is.finite(basis))) abort_curves(
    sprintf("a matrix as basis must have finite numbers and a row for each of the %d rows of the data", length(times))
  )
  at <- match(times, times)
  if (any(basis != basis[at, ])) abort_curves("rows of the basis with the same time differ")
  new_curve_basis("matrix", times = unique(times), values = unname(basis[unique(at), , drop = FALSE]), columns = colnames(basis))
}

# ---- at times --------------------------------------------------------------------------------------------------

# times x coefficients
basis_matrix <- function(basis, times) {
  switch(basis$kind, "B-splines" = spline_matrix(basis, times), Fourier = fourier_matrix(basis, times), "function" = function_matrix(basis, times), matrix = {
    at <- match(times, basis$times)
    if (anyNA(at)) abort_curves(paste("the basis is a matrix, which has no row for times", first_names(format(times[is.na(at)]))))
    named_columns(basis$values[at, , drop = FALSE], basis$columns)
  })
}

# A column without a name is b and its number.
named_columns <- function(B, names) {
  if (is.null(names)) names <- rep("", ncol(B))
  colnames(B) <- ifelse(is.na(names) | names == "", paste0("b", seq_len(ncol(B))), names)
  B
}

spline_matrix <- function(basis, times) {
  outside <- times < basis$range[1] | times > basis$range[2]
  if (any(outside)) abort_curves(
    sprintf(
      "times are outside the range of the basis, %s to %s: %s; give curve_bspline(range = )", format(basis$range[1]), format(basis$range[2]),
      first_names(format(unique(times[outside])))
    )
  )
  B <- if (basis$natural) splines::ns(times, knots = basis$knots, Boundary.knots = basis$range, intercept = TRUE)
  else splines::bs(times, knots = basis$knots, Boundary.knots = basis$range, degree = basis$degree, intercept = TRUE)
  B <- matrix(B, length(times))
  if (basis$differences == 0) return(named_columns(B, NULL))
  contrasts <- difference_contrasts(ncol(B), basis$differences)
  structure(B %*% contrasts, dimnames = list(NULL, colnames(contrasts)))
}

# Coefficients of the splines from their mean (and mean slope) and differences
difference_contrasts <- function(q, order) {
  if (q <= order) abort_curves("differences need more coefficients than their order")
  step <- diff(diag(q))
  parts <- if (order == 1) rbind(rep(1 / q, q), step) else rbind(rep(1 / q, q), colMeans(step), diff(step))
  lower <- c("level", if (order == 2) "slope")
  structure(solve(parts), dimnames = list(NULL, c(lower, paste0("d", seq_len(q - order)))))
}

fourier_matrix <- function(basis, times) {
  angle <- outer(2 * pi * times / basis$period, seq_len(basis$harmonics))
  B <- cbind(1, cos(angle), sin(angle))
  order <- c(1, rbind(1 + seq_len(basis$harmonics), 1 + basis$harmonics + seq_len(basis$harmonics)))
  named_columns(B[, order, drop = FALSE], c("level", paste0(c("cos", "sin"), rep(seq_len(basis$harmonics), each = 2))))
}

function_matrix <- function(basis, times) {
  B <- basis$f(times)
  if (is.null(dim(B)) && length(B) == length(times)) B <- matrix(B)
  if (!is.matrix(B) || !is.numeric(B) || nrow(B) != length(times) || ncol(B) == 0) abort_curves(
    "a function as basis must give a matrix of numbers with a row for each time"
  )
  bad <- rowSums(!is.finite(B)) > 0
  if (any(bad)) abort_curves(paste("the basis has no finite values at times", first_names(format(times[bad]))))
  named_columns(matrix(B, length(times)), colnames(B))
}
