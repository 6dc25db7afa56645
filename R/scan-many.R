# Scans of many responses, and permutations: every response has its own delta, which is kept, and a block of candidates meets all of them in matrix products.

scan_many <- function(fit, source, ask, how) {
  if (ask$test != "wald" || ask$refit != "none") abort_scan("with many responses offers test = \"wald\" and refit = \"none\"; use extract_fit() for one response")
  responses <- which(!is.na(fit$logLik) & fit$status == "ok")
  if (length(responses) == 0) abort_scan("got no response that was fitted; see as.data.frame(fit)$status")
  missing <- is.na(fit$y[, responses, drop = FALSE])
  pattern <- apply(missing, 2, function(x) paste(which(x), collapse = " "))
  parts <- lapply(split(seq_along(responses), factor(pattern, unique(pattern))), function(at) {
    null <- many_null(fit, source, responses[at])
    work <- function(block) many_block(null, source, block, ask)
    run_blocks(scan_blocks(source, list(columns = NULL), how$block_size), work, pattern_store(how, at[1]), list(null = null, names = source$names, ask = ask))
  })
  found <- do.call(rbind, parts)
  if (ask$keep == "max") found <- largest_of_each(found)
  found[order(match(found$response, names(fit$logLik)), match(found$term, source$names)), ]
}

pattern_store <- function(how, at) {
  if (!is.null(how$checkpoint)) how$checkpoint <- file.path(how$checkpoint, sprintf("pattern-%06d", at))
  how
}

largest_of_each <- function(found) {
  found <- found[order(-found$statistic), ]
  found[!duplicated(found$response), ]
}

# The null model of responses that are observed in the same rows
many_null <- function(fit, source, j) {
  whole <- unclass(fit)
  used <- !is.na(fit$y[, j[1]])
  model <- column_model(whole, j[1])
  model$random <- lapply(model$random, random_in_rows)
  rows <- list(cell = seq_len(sum(used)), cells = sum(used))
  weights <- model_weights(model)
  basis <- scan_basis(model, rows)
  Y <- minus_offset(fit$y, fit$offset)[used, j, drop = FALSE]
  full <- rotate_responses(basis, unname(Y), weights)
  cell <- source$cell[used]
  gathered <- function(x) {
    out <- matrix(0, source$cells, ncol(x))
    sums <- rowsum(x, cell)
    out[as.integer(rownames(sums)), ] <- sums
    out
  }
  basis$e <- gathered(basis$e)
  basis$q <- gathered(basis$q)
  basis$weight <- drop(gathered(matrix(weights)))
  basis$v <- numeric(source$cells)
  full$v <- gathered(full$v)
  full$delta <- unname(fit$delta[j])
  list(
    basis = basis, responses = full, names = names(fit$logLik)[j], h2 = unname(fit$h2[j]), df2 = length(basis$rotated$values) + basis$rotated$n_rest - 1,
    rows = tabulate(cell, source$cells), centred = has_constant(model$X), threads = as.integer(control_threads(fit$control))
  )
}

random_in_rows <- function(random) random[names(random) != "alpha"]

scan_basis <- function(model, source) {
  random <- model$random[[1]]
  effect <- rust_effect(random, "id")
  if (is.null(random$kernel)) effect$K <- diag(length(random$index))
  call_rust(
    ffi_scan_basis, unname(model$y - model$offset), model$X, model_weights(model), effect, as.integer(source$cell), as.integer(source$cells),
    control_threads(model$control), control_tolerance(model$control)
  )
}

has_constant <- function(X) sum(qr.resid(qr(X), rep(1, nrow(X)))^2) < 1e-20 * nrow(X)

# U'Y, w Y without X, and y'Py that the kernel does not reach; `basis` has a cell for each row.
rotate_responses <- function(basis, Y, weights) {
  rotated <- crossprod(basis$e, Y)
  along <- crossprod(basis$q, Y)
  rest <- if (basis$rotated$n_rest > 0) pmax(colSums(weights * Y^2) - colSums(along^2) - colSums(rotated^2), 0) else numeric(ncol(Y))
  list(y = rotated, v = weights * Y - basis$q %*% along, rho = rest)
}

many_block <- function(null, source, block, ask) {
  G <- source$read(block)
  least <- stats::qf(ask$threshold, 1, null$df2, lower.tail = FALSE)
  found <- call_rust(ffi_scan_many, null$basis, G, null$responses, null$centred, ask$keep, least, null$threads)
  at <- found$candidate
  n <- vapply(seq_len(ncol(G)), function(j) observed_rows(G[, j, drop = FALSE], null$rows), 0)
  data.frame(
    response = null$names[found$response], term = source$names[block][at], n = n[at], estimate = found$estimate / found$scale[at],
    std_error = found$std_error / found$scale[at], statistic = found$statistic, df = rep(1, length(at)), df2 = rep(null$df2, length(at)),
    log.p = stats::pf(found$statistic, 1, null$df2, lower.tail = FALSE, log.p = TRUE), h2 = null$h2[found$response], logLik = rep(NA_real_, length(at)),
    status = found$status[at], stringsAsFactors = FALSE
  )
}
