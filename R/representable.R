# What a double can hold. The core works in units of order one; on the way back to the user's a number may be too large or too small to have a value.

# Is one of these estimates, or its variance, beyond a double? A variance of zero, by rounding below it, is a result on a border only.
beyond_double <- function(estimate, variance, border) {
  tiny <- variance < .Machine$double.xmin & !(border & variance <= 0) | estimate != 0 & abs(estimate) < .Machine$double.xmin
  !is.finite(estimate) | !is.finite(variance) | tiny
}

# Stops for a fit with such coefficients: Inf or 0 would pass for an estimate.
check_representable <- function(found, names) {
  variance <- diag(as.matrix(found$vcov))
  bad <- beyond_double(found$coefficients[found$kept], variance, is_border(found$optimum$status, found$optimum$boundary))
  if (any(bad)) abort_fastlmm("scale", beyond_message(names[found$kept][bad], variance[bad]), columns = names[found$kept][bad])
}

# The same for many responses, which lose their estimates and are told by their status; `found` holds the coefficients p x q.
without_beyond <- function(found, names) {
  p <- length(names)
  if (p == 0) return(found)
  estimate <- matrix(found$coefficients, p)
  variance <- matrix(found$vcov, p * p)[(seq_len(p) - 1) * (p + 1) + 1, , drop = FALSE]
  fitted <- !is.na(found$logLik)
  border <- rep(is_border(found$status, found$boundary), each = p)
  # NA is an aliased coefficient, NaN is none
  bad <- beyond_double(estimate, variance, border) & !(is.na(estimate) & !is.nan(estimate)) & rep(fitted, each = p)
  for (j in which(colSums(bad) > 0)) found <- without_response(found, j, beyond_message(names[bad[, j]], variance[bad[, j], j]))
  found
}

without_response <- function(found, j, reason) {
  for (name in c("sigma2", "sigma2_e", "delta", "h2", "logLik")) found[[name]] <- lose(found[[name]], j, length(found$status))
  found$se <- lapply(found$se, lose, j, length(found$status))
  for (name in c("coefficients", "vcov")) found[[name]] <- lose(found[[name]], j, length(found$status))
  found$alpha <- lapply(found$alpha, lose, j, length(found$status))
  found$status[j] <- "scale"
  found$reason[j] <- reason
  found
}

# NA in the part of response j of q, whatever the shape
lose <- function(x, j, q) {
  if (length(x) > 0) x[(j - 1) * (length(x) / q) + seq_len(length(x) / q)] <- NA
  x
}

# Where the residual variance is zero, so are the variances of coefficients along which the kernel is zero.
is_border <- function(status, boundary) status %in% c("perfect_fit", "explained_by_kernel") | boundary == "h2 = 1" | grepl("residual", boundary, fixed = TRUE)

# A variance that is computed below zero is no number too small for a double, but one below the rounding of the terms that it is the difference of.
beyond_message <- function(names, variance) {
  if (all(variance < 0 & is.finite(variance))) return(paste0(
    "variances of coefficients are lost in rounding: ", first_names(names), "; the residual variance is next to nothing beside that of the kernel, or the ",
    "weights span too many decades: give a kernel of few columns by its factor, kernel_lowrank(W), or leave out what explains the response"
  ))
  paste0(
    "coefficients or their variances are too large or too small for double precision: ", first_names(names), "; rescale ",
    if (length(names) == 1) "this column" else "these columns", " of the fixed effects, or the response"
  )
}

# Tests whose estimate is beyond a double have none.
without_beyond_tests <- function(table) {
  bad <- table$status == "ok" & (is.infinite(table$estimate) | is.infinite(table$std.error) | !is.na(table$std.error) & table$std.error < .Machine$double.xmin)
  bad <- which(bad)
  for (name in c("estimate", "std.error", "statistic", "p.value", "log10p", "h2", "logLik")) table[[name]][bad] <- NA_real_
  table$status[bad] <- "scale"
  table
}

# h2 is a share of variances for one unit of K: a K whose own variances are far from one leaves nothing of it.
inform_kernel_unit <- function(h2, random) {
  lost <- !is.na(h2) & (h2 < .Machine$double.eps | 1 - h2 < .Machine$double.eps)
  size <- unlist(lapply(random, `[[`, "mean_diag"))
  if (!any(lost) || length(size) == 0 || all(size > 1e-6 & size < 1e6)) return(invisible())
  inform_fastlmm("kernel_unit", paste0(
    "h2 rounds to 0 or 1 though the fit is not on a boundary: it compares the residual variance with sigma2, for one unit of K, and the mean variance in K is ",
    toString(format(size, digits = 3)),
    "; divide K by it, and h2 is the share of the variance. sigma2, sigma2_e and delta are right as they are"
  ))
}

# Powers of two by which columns are divided to be of order one: exact, and products of columns neither overflow nor vanish.
column_units <- function(x) {
  if (ncol(x) == 0) return(numeric())
  largest <- apply(abs(x), 2, function(column) max(c(0, column[is.finite(column)])))
  ifelse(largest > 0, 2^pmin(pmax(floor(log2(largest)), -1022), 1023), 1)
}

# Units of columns whose products may overflow or vanish, 1 for all others
far_units <- function(x) {
  units <- column_units(x)
  ifelse(units > 2^-200 & units < 2^200, 1, units)
}

# Standard deviations, whose squares may be beyond a double
column_sd <- function(x, na.rm = FALSE) {
  units <- column_units(x)
  apply(in_units(x, units), 2, stats::sd, na.rm = na.rm) * units
}

in_units <- function(x, units) x / rep(units, each = nrow(x))

# LINPACK's QR stops at squares beyond a double.
scaled_qr <- function(X) qr(in_units(X, column_units(X)), tol = 1e-7)
