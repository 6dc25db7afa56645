# Which means the data determine. Where columns of X depend on others, x'beta is the same for every choice of the columns that are left out
# only if x is a combination of rows of X, which is x'N = 0 for a basis N of the null space of X; any other prediction would change with relevel().

# N, columns of X x aliased columns: 1 at an aliased column, less its coefficients on the columns that are kept. NULL for X of full rank.
# `data` is how far the rows of the data are from x'N = 0 themselves, where columns depend on others only up to the tolerance of the rank, and rounding.
null_space <- function(X, kept) {
  # a table of sums has no rows, and a function of its own
  if (length(kept) == ncol(X) || nrow(X) == 0) return(NULL)
  X <- unname(X)
  N <- null_basis(ncol(X), kept, least_squares(X[, kept, drop = FALSE], X[, -kept, drop = FALSE]))
  structure(N, data = apply(abs(X %*% N), 2, max) + 1e-10 * apply(abs(X) %*% abs(N), 2, max))
}

null_basis <- function(p, kept, on_kept) {
  aliased <- setdiff(seq_len(p), kept)
  N <- matrix(0, p, length(aliased))
  N[kept, ] <- -on_kept
  N[cbind(aliased, seq_along(aliased))] <- 1
  N
}

# LAPACK's QR decomposition drops no column that was kept.
least_squares <- function(X, Y) if (ncol(X) == 0) matrix(0, 0, ncol(Y)) else qr.coef(qr(X, LAPACK = TRUE), Y)

# Of a table of sums: cross products of columns with `shifts` taken off, which is the intercept (the first column) times them
null_space_of_sums <- function(cross, shifts, count, kept) {
  p <- nrow(cross)
  if (length(kept) == p) return(NULL)
  size <- sqrt(diag(cross))
  size[size == 0] <- 1
  cross <- cross / outer(size, size)
  on_kept <- if (length(kept) == 0) matrix(0, 0, p) else solve(cross[kept, kept], cross[kept, -kept, drop = FALSE])
  N <- null_basis(p, kept, on_kept) / size
  N[1, ] <- N[1, ] - colSums(shifts * N)
  structure(N, data = 1e-7 * colSums(sqrt(diag(cross) * size^2 / count + shifts^2) * abs(N)))
}

# Of many responses: `spaces`, and which of them each response has (NA: full rank). A response whose missing cells cost X no rank has that of all rows.
null_spaces <- function(X, coefficients, observed, fitted) {
  aliased <- is.na(coefficients)
  rank <- colSums(!aliased)
  own <- fitted & rank < ncol(X)
  if (!any(own)) return(NULL)
  whole <- scaled_qr(X)$rank
  rows <- function(j) if (rank[j] == whole) TRUE else observed[, j]
  key <- vapply(which(own), function(j) paste(c(which(aliased[, j]), "of", if (!isTRUE(rows(j))) which(rows(j))), collapse = " "), "")
  first <- which(own)[!duplicated(key)]
  of <- replace(rep(NA_integer_, ncol(coefficients)), own, match(key, unique(key)))
  list(spaces = lapply(first, function(j) null_space(X[rows(j), , drop = FALSE], which(!aliased[, j]))), of = of)
}

# The null space of one response of a fit
response_null_space <- function(fit, j) {
  of <- fit$null_space$of[j]
  if (length(of) == 1 && !is.na(of)) fit$null_space$spaces[[of]]
}

# ---- the rows of a prediction -----------------------------------------------------------------------------

# TRUE for rows of X (all columns, aliased ones too) with x'N = 0, relative to the size of the terms of that sum; of a fit of many responses
# rows x responses. NULL: all are.
estimable_rows <- function(fit, X, size = rep(1, nrow(X))) {
  if (is.null(fit$null_space)) return(NULL)
  if (!inherits(fit, "fastlmm_mlm")) return(in_row_space(X, fit$null_space, size))
  inside <- lapply(fit$null_space$spaces, function(N) in_row_space(X, N, size))
  of <- fit$null_space$of
  matrix(vapply(of, function(k) if (is.na(k)) rep(TRUE, nrow(X)) else inside[[k]], logical(nrow(X))), nrow(X))
}

# `size`: of each row over that of the rows of the data
in_row_space <- function(X, N, size) {
  limit <- 1e-6 * abs(X) %*% abs(N) + outer(size, attr(N, "data"))
  rowSums(abs(X %*% N) > limit) == 0
}

warn_not_estimable <- function(targets, responses = NULL) {
  if (all(targets$estimable)) return(invisible())
  bad <- as.matrix(!targets$estimable)
  rows <- replace(logical(length(targets$complete)), which(targets$complete)[rowSums(bad) > 0], TRUE)
  names <- if (is.null(targets$names)) seq_along(rows) else targets$names
  of <- if (!is.null(responses)) paste(" of", first_names(responses[colSums(bad) > 0]))
  warn_fastlmm("not_estimable", paste0(
    "the mean is not estimable, and NA, in ", rows_at(rows, names), of, ": the fixed effects are rank deficient, and the data do not determine ",
    "the combination of coefficients that is needed (as in a cell of an interaction without data)"
  ), rows = names[rows])
}

# Where a part of an answer asks for the same rows again
quietly_not_estimable <- function(value) {
  withCallingHandlers(value, fastlmm_warning_not_estimable = function(said) invokeRestart("muffleWarning"))
}
