#' Gaussian processes from parts of the data
#'
#' All that a fit needs of its data is a small table of sums. `gp_accumulate()` computes the table of a chunk of rows, tables are added with
#' `+`, in any order, and [fastlmm_fit()] fits the sum. The data may therefore be larger than memory, lie in many files, or be distributed over
#' many machines. Every chunk needs the same basis, made beforehand by `gp_basis()` from the bounding box of all coordinates and the range of
#' length scales to be searched.
#'
#' The time for a chunk is proportional to its rows and hardly depends on the basis; the size of the table is that of the basis, not of the
#' data. A wide range of length scales does not slow down the fit; it only makes the table larger.
#'
#' @param lower,upper corners of a box that contains all data and all places to be predicted: one number for each coordinate.
#' @param lengthscale shortest and longest length scale of the search; with `ard` relative to the sides of the box.
#' @param cov,ard,size as in [gp()].
#' @param tol proportion of the kernel's variance that the basis may leave out. The likelihood counts this part as residual noise, and it is
#'   added back to the process afterwards; a hundredth of `delta` is small enough.
#' @param formula as in [fastlmm_fit()], with a term `gp(lon, lat)`, whose settings are those of the basis, and optionally one term
#'   `(1 | group)`. Factors need all their levels in every chunk, in the same order. A term that takes its values from the rows at hand, such
#'   as `scale(x)`, `poly(x, 2)` or `ns(x, 3)`, would differ between chunks and is refused when tables are added: fix the values beforehand, as
#'   in `scale(x, center = 10, scale = 2)`, `poly(x, 2, raw = TRUE)` or `ns(x, knots = , Boundary.knots = )`.
#' @param data a chunk of the data.
#' @param basis a basis by `gp_basis()`.
#' @param weights,na.action as in [fastlmm_fit()].
#' @param control settings by [fastlmm_control()].
#' @param e1,e2 tables of the same formula and basis.
#' @param x a basis or a table.
#' @param ... not used.
#' @return `gp_basis()`: a list of class `fastlmm_gp_basis`. `gp_accumulate()`: a list of class `fastlmm_gp_table`, of plain values. A fit to a
#'   table has no rows: `fitted()`, `residuals()` and `simulate()` are not available, and `predict()` needs `newdata`.
#' @seealso [gp()]
#' @examples
#' basis <- gp_basis(lower = c(165, -39), upper = c(189, -10), lengthscale = c(2, 5), cov = "exp_quad")
#' chunks <- split(quakes, rep(1:4, each = 250))
#' tables <- lapply(chunks, function(chunk) gp_accumulate(mag ~ depth + gp(long, lat), chunk, basis))
#' fit <- fastlmm_fit(Reduce(`+`, tables))
#' fit
#' predict(fit, data.frame(depth = 100, long = 181, lat = -20), se.fit = TRUE)
#' @export
gp_basis <- function(lower, upper, lengthscale, cov = gp_kernels, tol = 1e-3, ard = FALSE, size = 4000) {
  check_arguments()
  cov <- one_of(cov, gp_kernels, covariance_habits)
  ard <- read_flag(ard, "ard")
  sound <- is.numeric(lengthscale) && length(lengthscale) == 2 && all(is.finite(lengthscale) & lengthscale > 0) && lengthscale[1] < lengthscale[2]
  if (!sound) abort_gp_term(
    quote(gp_basis()), paste("has lengthscale =", code_text(lengthscale), "which must be two positive numbers, the shortest and the longest to be searched")
  )
  d <- length(lower)
  check_basis_box(lower, upper)
  term <- quote(gp_basis())
  gp <- check_gp(list(cov = cov, ard = ard, tol = 0.01, basis = "fourier", size = size, shared = FALSE, range = as.numeric(lengthscale)), term, d)
  if (!is.numeric(tol) || length(tol) != 1 || !isTRUE(tol > 0 && tol < 1)) abort_gp_term(
    term, paste("has tol =", deparse1(tol), "which must be a number between 0 and 1")
  )
  if (is.null(gp$range) || length(lengthscale) != 2) abort_gp_term(term, "needs lengthscale = c(shortest, longest)")
  gp$box <- rbind(as.numeric(lower), as.numeric(upper))
  frequencies <- call_rust(ffi_gp_basis, gp_request(gp, gp$box, "REML", fastlmm_control()), tol)
  structure(list(gp = gp, tol = tol, frequencies = frequencies), class = "fastlmm_gp_basis")
}

check_basis_box <- function(lower, upper) {
  good <- is.numeric(lower) && is.numeric(upper) && length(lower) == length(upper) && length(lower) %in% 1:3 && all(
    is.finite(c(lower, upper))
  ) && all(lower < upper)
  if (!good) abort_fastlmm("gp", "lower and upper must be the corners of a box of one to three coordinates, each lower one below its upper one")
}

#' @rdname gp_basis
#' @export
print.fastlmm_gp_basis <- function(x, ...) {
  cat("Fourier basis of the kernel ", x$gp$cov, " in ", counted(ncol(x$gp$box), "coordinate"), "\n", sep = "")
  cat("Box: ", paste(format(x$gp$box[1, ]), "to", format(x$gp$box[2, ]), collapse = ", "), "\n", sep = "")
  cat("Length scales: ", paste(format(x$gp$range), collapse = " to "), "; all but ", format(100 * x$tol), " % of the variance\n", sep = "")
  cat("Table: ", format(prod(4 * x$frequencies$m + 1)), " sums for each column of the data\n", sep = "")
  invisible(x)
}

#' @rdname gp_basis
#' @export
gp_accumulate <- function(formula, data, basis, weights = NULL, na.action = getOption("na.action"), control = fastlmm_control()) {
  if (!inherits(basis, "fastlmm_gp_basis")) abort_fastlmm("gp_table", paste0("basis must come from gp_basis(), not be of class ", class(basis)[1]))
  data <- as_data_frame(data)
  parts <- split_formula(formula, data, parent.frame())
  if (is.null(parts$gp)) abort_formula("formula has no gp() term")
  check_gp_random(parts, NULL)
  refuse_correlated(parts$random, "gp() cannot be combined with")
  extras <- Filter(Negate(is.null), list(weights = substitute(weights)))
  whole <- model_variables(parts, data, extras)
  frame <- drop_incomplete(whole, as_na_action(na.action))
  check_some_rows(frame, nrow(whole))
  chunk_table(parts, whole, frame, data, extras, basis, check_control(control))
}

chunk_table <- function(parts, whole, frame, data, extras, basis, control) {
  gp <- parts$gp
  terms <- fixed_terms(parts, whole, data, extras)
  X <- design_matrix(terms, frame, NULL)
  y <- as.numeric(frame[[1]])
  check_response_finite(y, names(frame)[1], rownames(frame))
  offset <- stats::model.offset(frame)
  columns <- lapply(gp$coordinates, frame_column, frame = frame)
  gp <- settle_gp(gp, columns)
  coordinates <- gp_coordinates(columns, gp, rownames(frame))
  check_chunk_box(coordinates, basis, rownames(frame))
  group <- if (length(parts$random) > 0) group_factor(lapply(group_leaves(parts$random[[1]]$group), frame_column, frame = frame))
  model <- list(X = unname(X) + 0, weights = frame[["(weights)"]], method = "REML", control = control, group = group)
  rows <- gp_rows(model, unname(coordinates), matrix(if (is.null(offset)) y else y - offset))
  table <- call_rust(ffi_gp_table, rows, basis$frequencies, numeric())
  gp[c("cov", "ard", "tol", "size", "range", "box")] <- basis$gp[c("cov", "ard", "tol", "size", "range", "box")]
  gp$calls <- lapply(gp$coordinates, predict_call, frame = whole)
  structure(
    list(
      table = table, basis = basis, gp = gp, formula = parts$formula, terms = terms, xlevels = stats::.getXlevels(terms, frame),
      contrasts = attr(X, "contrasts"), columns = colnames(X), levels = levels(group), group_expr = if (length(parts$random) > 0) parts$random[[1]]$group
    ),
    class = "fastlmm_gp_table"
  )
}

check_chunk_box <- function(coordinates, basis, rows) {
  box <- basis$gp$box
  if (ncol(coordinates) != ncol(box)) {
    abort_fastlmm("gp_table", sprintf("the formula has %s but the basis was made for %d", counted(ncol(coordinates), "coordinate"), ncol(box)))
  }
  out <- coordinates < rep(box[1, ], each = nrow(coordinates)) | coordinates > rep(box[2, ], each = nrow(coordinates))
  if (!any(out)) return(invisible())
  abort_fastlmm(
    "outside_box", paste0("coordinates lie outside the box of the basis in ", rows_at(rowSums(out) > 0, rows), "; make a basis with a box that holds all data")
  )
}

#' @rdname gp_basis
#' @export
print.fastlmm_gp_table <- function(x, ...) {
  cat("Table of ", format(x$table$n, big.mark = ","), " rows for ", deparse1(x$formula), "\n", sep = "")
  print(x$basis)
  invisible(x)
}

# ---- sums ---------------------------------------------------------------------------------------------

#' @rdname gp_basis
#' @export
`+.fastlmm_gp_table` <- function(e1, e2) {
  check_same_table(e1, e2)
  levels <- sort(union(e1$levels, e2$levels))
  a <- with_groups(e1, levels)
  b <- with_groups(e2, levels)
  b <- shifted_table(b, a$shifts - b$shifts, e1$basis$frequencies$m)
  added <- setdiff(names(a), "shifts")
  a[added] <- Map(`+`, a[added], b[added])
  e1$table <- a
  e1$levels <- if (length(levels) > 0) levels
  e1
}

check_same_table <- function(a, b) {
  if (!inherits(a, "fastlmm_gp_table") || !inherits(b, "fastlmm_gp_table")) abort_fastlmm(
    "gp_table", "tables of gp_accumulate() can only be added to each other"
  )
  if (!identical(a$basis$frequencies, b$basis$frequencies)) abort_fastlmm(
    "gp_table", "the tables have different bases; make one by gp_basis() and use it for all chunks"
  )
  if (!identical(deparse1(a$formula), deparse1(b$formula))) abort_fastlmm("gp_table", "the tables have different formulas")
  if (!identical(a$columns, b$columns)) {
    abort_fastlmm("gp_table", paste0(
      "the tables have different columns of fixed effects, ", first_names(a$columns), " and ", first_names(b$columns),
      "; give factors all their levels in every chunk"
    ))
  }
  check_same_levels(a, b)
  check_same_kinds(a, b)
  check_same_calls(a, b)
}

# Durations of another unit, or points of another reference system, are other numbers.
check_same_kinds <- function(a, b) {
  other <- which(!mapply(identical, lapply(a$gp$kinds, unzoned), lapply(b$gp$kinds, unzoned)))
  if (length(other) == 0) return(invisible())
  kinds <- list(a$gp$kinds[[other[1]]], b$gp$kinds[[other[1]]])
  said <- function(kind) if (kind$kind == "points") paste(
    "points of", if (is.na(kind$crs)) "no reference system" else kind$crs$input
  ) else paste(c(kind$kind, kind$unit), collapse = " in ")
  name <- deparse1(a$gp$coordinates[[other[1]]])
  abort_fastlmm("gp_table", sprintf(
    "coordinate %s of the tables is %s and %s; convert it to the same in every chunk", quoted(name), said(kinds[[1]]), said(kinds[[2]])
  ), variable = name)
}

# The time zone in which a time is written does not change its number.
unzoned <- function(kind) kind[setdiff(names(kind), "tz")]

# Columns of the same name may still be contrasts of other levels.
check_same_levels <- function(a, b) {
  other <- names(a$xlevels)[!mapply(identical, a$xlevels, b$xlevels[names(a$xlevels)])]
  if (length(other) > 0) {
    abort_fastlmm("gp_table", paste0(
      "the tables have different levels of ", quoted(other[1]), ", ", first_names(a$xlevels[[other[1]]]), " and ", first_names(b$xlevels[[other[1]]]),
      "; make it a factor with the same levels in every chunk"
    ), variable = other[1])
  }
  if (!identical(a$contrasts, b$contrasts)) abort_fastlmm("gp_table", "the tables have different contrasts of factors; set the same in every chunk")
}

# Variables whose calls for new data, as predvars, differ: they took values from the rows of their chunk.
check_same_calls <- function(a, b) {
  written <- as.list(attr(a$terms, "variables"))[-1]
  calls <- function(x) c(as.list(attr(x$terms, "predvars"))[-1], x$gp$calls)
  other <- which(!mapply(identical, calls(a), calls(b)))
  if (length(other) == 0) return(invisible())
  name <- deparse1(c(written, a$gp$coordinates)[[other[1]]])
  abort_fastlmm("gp_table", paste0(
    name,
    paste0(
      " takes its values from the rows of each chunk, so the tables have different columns of that name; fix them beforehand, as in scale(x, center = 10, ",
      "scale = 2), "
    ),
    "poly(x, 2, raw = TRUE) or ns(x, knots = , Boundary.knots = ), or add the columns to the data"
  ), variable = name)
}

# The table with a row, or column, for each of these groups
with_groups <- function(x, levels) {
  table <- x$table
  at <- match(x$levels, levels)
  spread_columns <- function(m) {
    out <- matrix(0, nrow(m), length(levels))
    out[, at] <- m
    out
  }
  if (length(levels) == 0) return(table)
  counts <- numeric(length(levels))
  counts[at] <- table$group_counts
  table$group_counts <- counts
  table$group_cos <- spread_columns(table$group_cos)
  table$group_sin <- spread_columns(table$group_sin)
  table$group_cross <- t(spread_columns(t(table$group_cross)))
  table
}

# Columns have their first chunk's means taken off. The sums of x - s2 follow from those of x - s1 and of ones.
shifted_table <- function(table, by, m) {
  if (all(by == 0)) return(table)
  ones <- inner_sums(table, m)
  table$cos <- table$cos - outer(ones$cos, by)
  table$sin <- table$sin - outer(ones$sin, by)
  p <- nrow(table$cross)
  response <- p + seq_along(table$squares)
  total <- table$cross[1, ]
  count <- total[1]
  table$squares <- table$squares - 2 * by[response] * total[response] + count * by[response]^2
  table$cross <- table$cross - outer(by[seq_len(p)], total) - outer(total[seq_len(p)], by) + count * outer(by[seq_len(p)], by)
  if (length(table$group_counts) > 0) table$group_cross <- table$group_cross - outer(table$group_counts, by)
  table$shifts <- table$shifts + by
  table
}

# The sums of ones at the frequencies that the columns have: the inner half of each axis
inner_sums <- function(table, m) {
  inner <- function(x) {
    x <- array(x, 4 * m + 1)
    as.numeric(do.call(`[`, c(list(x), lapply(m, function(k) k + seq_len(2 * k + 1)))))
  }
  list(cos = inner(table$ones_cos), sin = inner(table$ones_sin))
}

# ---- the fit of a table -------------------------------------------------------------------------------

fit_gp_table <- function(x, method, control, call) {
  gp <- x$gp
  model <- list(
    call = call, formula = x$formula, terms = x$terms, frame = NULL, xlevels = x$xlevels, contrasts = x$contrasts, method = method,
    X = matrix(0, 0, length(x$columns), dimnames = list(NULL, x$columns)), y = numeric(), offset = numeric(), weights = NULL, na.action = NULL,
    control = control, gp = gp, group = if (!is.null(x$levels)) factor(character(), levels = x$levels), group_expr = x$group_expr
  )
  answer <- call_rust(ffi_gp_fit_table, x$table, x$basis$frequencies, gp_request(gp, gp$box, method, control), 1L)
  fit <- new_gp_fit(model, fourier_fit(answer))
  fit$nobs <- x$table$n
  columns <- seq_along(x$columns)
  fit$null_space <- null_space_of_sums(x$table$cross[columns, columns, drop = FALSE], x$table$shifts[columns], x$table$n, fit$kept)
  report_gp(fit)
}

# A fit of a table knows nothing of single rows.
check_has_rows <- function(fit, what) {
  if (!is.null(fit$frame)) return(invisible())
  abort_fastlmm(
    "no_rows_kept", paste0(what, " needs the rows of the data, which a fit of a table from gp_accumulate() does not have; give newdata to predict()")
  )
}
