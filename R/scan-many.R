# Scans of many responses, and permutations: every response has its own delta, which is kept, and a block of candidates meets all of them in matrix products.

scan_many <- function(fit, source, ask, how) {
  if (ask$test != "wald" || ask$refit != "none") abort_scan(
    "with many responses supports only test = \"wald\" and refit = \"none\"; use extract_fit() for one response"
  )
  responses <- which(!is.na(fit$logLik) & fit$status %in% c("ok", "ml_border"))
  if (length(responses) == 0) abort_scan("got no response that was fitted; see as.data.frame(fit)$status")
  missing <- is.na(fit$y[, responses, drop = FALSE])
  pattern <- apply(missing, 2, function(x) paste(which(x), collapse = " "))
  parts <- lapply(split(seq_along(responses), factor(pattern, unique(pattern))), function(at) {
    j <- responses[at]
    null <- many_null(fit, source, j)
    work <- function(block) many_omitting(fit, j, null, source, block, ask)
    job <- function() list(
      model_inputs(column_model(unclass(fit), j[1])), fit$y[, j, drop = FALSE], fit$offset, source[c("cell", "unit")], !isTRUE(source$copies), source$names, ask
    )
    run_blocks(scan_blocks(source, list(columns = NULL), how$block_size), work, pattern_store(how, at[1]), job(), source$read)
  })
  found <- do.call(rbind, parts)
  if (ask$keep == "max") found <- largest_of_each(found)
  found[order(match(found$response, names(fit$logLik)), found$candidate), ]
}

pattern_store <- function(how, at) {
  if (!is.null(how$checkpoint)) how$checkpoint <- file.path(how$checkpoint, sprintf("pattern-%06d", at))
  how
}

largest_of_each <- function(found) {
  found <- found[order(found$log.p, -found$statistic), ]
  found <- found[!is.na(found$log.p), ]
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
  full <- call_rust(ffi_scan_responses, basis, unname(Y), unname(fit$delta[j]), control_threads(fit$control))
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
  basis$by_rows <- all(tabulate(cell, source$cells) == 1)
  full$v <- gathered(full$v)
  list(
    basis = basis, responses = full, names = names(fit$logLik)[j], h2 = unname(fit$h2[j]), df2 = length(basis$rotated$values) + basis$rotated$n_rest - 1,
    rows = tabulate(cell, source$cells), unit = source$unit, threads = as.integer(control_threads(fit$control)),
    likelihood = full[c("square", "constant")]
  )
}

# REML with the candidate, from its F statistic and standard error: the residual variance s2 gives log|C'V^-1 C| = log(s2 / se^2)
logLik_of_pairs <- function(null, response, statistic, std_error) {
  if (is.null(null$likelihood)) return(rep(NA_real_, length(response)))
  n <- null$df2
  variance <- null$likelihood$square[response] / (statistic + n)
  -(n * (log(variance) + 1 + log(2 * pi)) + log(variance) - 2 * log(std_error) + null$likelihood$constant[response]) / 2
}

random_in_rows <- function(random) random[names(random) != "alpha"]

scan_basis <- function(model, source) {
  call_rust(ffi_scan_basis, rust_model(model), as.integer(source$cell), as.integer(source$cells))
}

many_block <- function(null, source, block, ask) many_tests(null, source$read(block), block, source, ask)

# Tests of the columns of G, the candidates `block`
many_tests <- function(null, G, block, source, ask) {
  G <- only_cells_with_rows(G, null$rows)
  rare <- rare_status(G, null$unit, ask$maf)
  found <- scan_pairs(null, without_rare(G, rare), ask)
  if (!is.null(rare)) found$status <- ifelse(rare == "ok", found$status, rare)
  at <- found$candidate
  tested <- found$status[at] == "ok"
  of_tested <- function(x) ifelse(tested, x, NA_real_)
  std_error <- found$std_error / found$scale[at]
  perfect <- is.infinite(found$statistic)
  columns <- as.list(seq_along(block))
  table <- data.frame(
    response = null$names[found$response], candidate = block[at], term = source$names[block][at], n = observed_rows(G, columns, null$rows)[at],
    estimate = found$estimate / found$scale[at],
    std_error = std_error, statistic = found$statistic, df = of_tested(1), df2 = of_tested(null$df2),
    log.p = stats::pf(found$statistic, 1, null$df2, lower.tail = FALSE, log.p = TRUE), h2 = of_tested(null$h2[found$response]),
    logLik = ifelse(perfect, Inf, logLik_of_pairs(null, found$response, found$statistic, std_error)), status = ifelse(perfect, "perfect_fit", found$status[at]),
    stringsAsFactors = FALSE
  )
  if (isTRUE(source$copies)) table$freq <- allele_frequency(G, columns, null$unit)[at]
  table
}

scan_pairs <- function(null, G, ask) {
  filled <- if (is.null(unit_of_null(null$unit))) G else impute(G, null$unit)
  least <- stats::qf(ask$threshold, 1, null$df2, lower.tail = FALSE)
  call_rust(ffi_scan_many, null$basis, filled, null$responses, ask$keep, least, null$threads)
}

# ---- na = "omit" ----------------------------------------------------------------------------------------

# Candidates with missing cells are tested against the null models of their complete rows, whose deltas are estimated anew, the responses `j` together.
many_omitting <- function(fit, j, null, source, block, ask) {
  G <- source$read(block)
  holes <- if (ask$na == "omit") colSums(is.na(only_used(G, null$rows))) > 0 else logical(length(block))
  if (!any(holes)) return(many_tests(null, G, block, source, ask))
  complete <- lapply(which(holes), function(k) !is.na(G[, k]))
  pattern <- vapply(complete, function(cells) paste(which(!cells), collapse = " "), "")
  parts <- lapply(unique(pattern), function(one) {
    at <- which(holes)[pattern == one]
    many_complete(fit, j, source, G[, at, drop = FALSE], block[at], ask, complete[[match(one, pattern)]])
  })
  whole <- if (!all(holes)) many_tests(null, G[, !holes, drop = FALSE], block[!holes], source, ask)
  found <- do.call(rbind, c(list(whole), parts))
  found[order(match(found$response, null$names), found$candidate), ]
}

only_used <- function(G, rows) if (any(rows == 0)) G[rows > 0, , drop = FALSE] else G

many_complete <- function(fit, j, source, G, block, ask, cells) {
  used <- !is.na(fit$y[, j[1]]) & cells[source$cell]
  part <- tryCatch(quiet_fit(many_in_rows(fit, used, j)), fastlmm_error = identity)
  status <- if (inherits(part, "condition")) rep(error_class(part), length(j)) else ifelse(is.na(part$logLik), part$status, "ok")
  if (!any(used)) status[] <- "missing"
  fitted <- status == "ok"
  own <- source
  own$cell <- match(source$cell[used], which(cells))
  own$cells <- sum(cells)
  own$unit <- source$unit[cells]
  found <- if (any(fitted)) many_tests(many_null(part, own, which(fitted)), G[cells, , drop = FALSE], block, own, ask)
  failed <- if (ask$keep == "all") which(!fitted) else integer()
  rbind(found, not_tested(names(fit$logLik)[j][failed], status[failed], block, source, sum(used)))
}

# A row for each of the responses and candidates
not_tested <- function(responses, status, block, source, n) {
  pairs <- expand.grid(k = seq_along(block), response = seq_along(responses))
  none <- rep(NA_real_, nrow(pairs))
  table <- data.frame(
    response = responses[pairs$response], candidate = block[pairs$k], term = source$names[block][pairs$k], n = rep(n, nrow(pairs)), estimate = none,
    std_error = none, statistic = none, df = none,
    df2 = none, log.p = none, h2 = none, logLik = none, status = status[pairs$response], stringsAsFactors = FALSE
  )
  if (isTRUE(source$copies)) table$freq <- none
  table
}

# The fit of some responses in some of its rows
many_in_rows <- function(fit, used, j) {
  model <- unclass(fit)
  model$X <- fixed_design(fit)[used, , drop = FALSE]
  model$frame <- structure(model$frame[used, , drop = FALSE], terms = attr(model$frame, "terms"))
  model$y <- model$y[used, j, drop = FALSE]
  for (part in c("offset", "weights")) model[[part]] <- model[[part]][used]
  model$random <- lapply(model$random, function(one) random_in(random_in_rows(one), used))
  part <- estimate_many(model)
  part$X <- model$X # as column_model() would make it anew, of factors with fewer levels
  part
}
