# With na = "omit" tests of columns with missing cells are made against the null model of their complete rows.
scan_omitting <- function(fit, null, G, columns, adjust, ask) {
  found <- scan_again(fit, null, G, columns, adjust, ask, scan_block(null, G, columns, adjust, ask))
  holes <- if (ask$na == "omit") vapply(columns, function(j) anyNA(G[, j]), NA) else logical(length(columns))
  if (!any(holes)) return(found)
  complete <- lapply(columns[holes], function(j) rowSums(is.na(G[, j, drop = FALSE])) == 0)
  pattern <- vapply(complete, function(rows) paste(which(!rows), collapse = " "), "")
  for (one in unique(pattern)) {
    at <- which(holes)[pattern == one]
    found[at, ] <- scan_complete(fit, null, G, columns[at], adjust[at], ask, complete[[match(one, pattern)]])
  }
  found
}

# Ids with several rows hide what a candidate leaves of a response that it explains nearly: such tests are made with a cell for each row.
scan_again <- function(fit, null, G, columns, adjust, ask, found) {
  lost <- which(found$again)
  if (length(lost) == 0) return(found)
  used <- unique(unlist(columns[lost]))
  G <- impute(G[, used, drop = FALSE], if (is.null(null$unit)) seq_len(nrow(G)) else null$unit)[null$cell, , drop = FALSE]
  rows <- list(cell = seq_along(null$cell), cells = length(null$cell), unit = seq_along(null$cell))
  exact <- scan_block(scan_null(fit, rows, ask), G, lapply(columns[lost], match, used), adjust[lost], ask)
  found[lost, names(exact) != "n"] <- exact[names(exact) != "n"]
  found
}

scan_complete <- function(fit, null, G, columns, adjust, ask, cells) {
  bad <- function(status) {
    found <- scan_block(null, matrix(NA_real_, nrow(G), ncol(G)), columns, adjust, ask)
    transform(found, n = sum(null$rows[cells]), status = status)
  }
  if (!any(cells)) return(bad("missing"))
  used <- cells[null$cell]
  part <- tryCatch(suppressMessages(suppressWarnings(estimate(rows_of_model(stored_model(fit), used), spectrum = TRUE))), fastlmm_error = identity)
  if (inherits(part, "condition")) return(bad(error_class(part)))
  source <- list(cell = match(null$cell[used], which(cells)), cells = sum(cells))
  scan_block(scan_null(part, source, ask), G[cells, , drop = FALSE], columns, adjust, ask)
}

rows_of_model <- function(model, used) {
  model$frame <- structure(model$frame[used, , drop = FALSE], terms = attr(model$frame, "terms"))
  for (part in c("y", "offset", "weights")) model[[part]] <- model[[part]][used]
  model$X <- model$X[used, , drop = FALSE]
  model$random <- lapply(model$random, random_in, used = used)
  check_column_model(model)
}
