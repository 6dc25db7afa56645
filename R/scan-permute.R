#' Genome-wide thresholds by permutation
#'
#' The distribution of the largest statistic over all candidates when none is associated. The response is adjusted for the fixed effects and
#' whitened by the covariance of the null model, so that its contrasts are exchangeable; these are permuted and transformed back, and every
#' permutation is tested against all candidates with the null model's delta (Abney 2015). Quantiles of the maxima are thresholds that hold for
#' the whole scan, whatever the dependence between candidates.
#'
#' All permutations are tested together in one pass over the candidates: a thousand of them cost some matrix products.
#'
#' With `groups` the response is whitened by the null model of each group, that is, with no effect of the group, and permuted for each group
#' separately; the maximum is over all groups. Since groups are permuted independently of each other, the thresholds are those of independent
#' groups: exact if they are, and slightly conservative if tests of different groups are positively dependent.
#'
#' @param fit a null model, as for [fastlmm_scan()].
#' @param candidates as for [fastlmm_scan()].
#' @param n number of permutations.
#' @param seed a number that makes the result reproducible; the state of R's generator is then restored. `NULL`: continue from the current
#'   state.
#' @param data,block_size,progress as for [fastlmm_scan()].
#' @param groups,kernels as for [fastlmm_scan()]: each group is tested against the null model whose kernel excludes its own candidates, or
#'   against the kernel of that name.
#' @param maf candidates with a lower minor allele frequency are left out, as in [fastlmm_scan()].
#' @param x the value of `fastlmm_permute()`.
#' @param probs quantiles of the maxima.
#' @param ... not used; an unknown argument is an error.
#' @return A list of class `fastlmm_permute`: `maximum`, the largest F statistic of each permutation, `df2`, `candidates` (number that can be
#'   tested) and `seed`. For many responses ([fastlmm_mlm]) a list of these, one for each response that was fitted. `quantile()` gives
#'   thresholds as a data frame with `prob`, `statistic` and `log10p` (minus the decimal logarithm of the p-value of a single test).
#' @references
#' Abney, M. (2015) Permutation testing in the presence of polygenic variation. Genetic Epidemiology 39, 249-258.
#' @examples
#' set.seed(1)
#' ids <- paste0("i", 1:100)
#' G <- matrix(rbinom(100 * 200, 2, 0.4), 100, dimnames = list(ids, paste0("m", 1:200)))
#' data <- data.frame(id = ids, y = rnorm(100))
#' fit <- fastlmm_fit(y ~ 1 + (1 | id), data, tcrossprod(scale(G)) / 200)
#' thresholds <- fastlmm_permute(fit, G, n = 200, seed = 1)
#' quantile(thresholds)
#' @order 1
#' @export
fastlmm_permute <- function(
  fit, candidates, n = 1000, seed = NULL, data = NULL, block_size = NULL, progress = interactive(), groups = NULL, kernels = NULL, maf = 0, ...
) {
  check_arguments(...)
  check_scannable(fit)
  check_scan_maf(maf, NULL)
  if (inherits(fit, "fastlmm_mlm")) {
    if (!is.null(groups) || !is.null(kernels)) abort_scan("with many responses tests columns against one kernel: take one response by extract_fit() for groups")
    return(permute_each(fit, candidates, n, seed, data, block_size, progress, maf))
  }
  if (!is_count(n)) abort_scan(paste("needs n, a whole number of at least 1, not", code_text(n)))
  check_one_at_a_time(fit, groups, kernels)
  named <- with_candidates_first(fit, candidates)
  source <- with_units(candidate_source(candidates, named, data), named)
  fit <- as_one_effect(fit)
  check_matrix_memory(4 * source$cells, n, sprintf("%.0f permutations of %.0f rows", n, source$cells))
  state <- seed_generator(seed)
  on.exit(state$restore())
  apart <- apart_sets(fit, source, groups, NULL, kernels)
  null <- if (is.null(apart)) permuted_null(fit, source, n)
  found <- if (is.null(apart)) permuted_tests(null, source, block_size, progress, maf) else permuted_apart(apart, source, n, block_size, progress, maf)
  tested <- sum(found$tested)
  if (tested == 0) abort_fastlmm(
    "scan", paste0("fastlmm_permute() needs a candidate that can be tested; of ", counted(source$m, "candidate"), ": ", tally_status(unlist(found$status)))
  )
  maximum <- apply(do.call(rbind, found$largest), 2, max, na.rm = TRUE)
  structure(
    list(
      maximum = maximum, df2 = if (is.null(apart)) null$df2 else found$df2[1], candidates = tested, groups = length(apart), seed = state$seed,
      formula = fit$formula
    ),
    class = "fastlmm_permute"
  )
}

permuted_tests <- function(null, source, block_size, progress, maf) {
  run_blocks(
    scan_blocks(source, list(columns = NULL), block_size), function(block) permuted_block(null, source, block, maf), list(progress = isTRUE(progress)), NULL
  )
}

# Each group against its own null model, whose contrasts are whitened and permuted by themselves
permuted_apart <- function(apart, source, n, block_size, progress, maf) {
  parts <- lapply(unname(apart), function(one) {
    own <- source_part(source, one$candidates)
    null <- permuted_null(one$null(), own, n)
    cbind(permuted_tests(null, own, block_size, progress, maf), df2 = null$df2)
  })
  do.call(rbind, parts)
}

# The largest statistic of each permutation, NA where no candidate of the block can be tested
permuted_block <- function(null, source, block, maf) {
  G <- source$read(block)
  rare <- if (maf > 0) rare_status(G, null$unit, maf)
  found <- scan_pairs(null, without_rare(G, rare), list(keep = "max", threshold = 0.5))
  if (!is.null(rare)) found$status <- ifelse(rare == "ok", found$status, rare)
  largest <- found$statistic[match(seq_along(null$names), found$response)]
  data.frame(tested = sum(found$status == "ok"), status = I(list(found$status)), largest = I(list(largest)))
}

# Each response by itself, with the same permutations where the same rows are observed
permute_each <- function(fit, candidates, n, seed, data, block_size, progress, maf) {
  if (is.null(seed)) seed <- sample.int(.Machine$integer.max, 1)
  responses <- names(fit$logLik)[fit$status %in% c("ok", "ml_border")]
  if (length(responses) == 0) abort_fastlmm("scan", "fastlmm_permute() got no response that was fitted; see as.data.frame(fit)$status")
  one <- function(name) fastlmm_permute(quiet_fit(extract_fit(fit, name)), candidates, n, seed, data, block_size, progress, maf = maf)
  structure(lapply(structure(responses, names = responses), one), class = "fastlmm_permute_list")
}

#' @rdname fastlmm_permute
#' @export
quantile.fastlmm_permute_list <- function(x, probs = c(0.5, 0.9, 0.95, 0.99), ...) {
  check_arguments(...)
  parts <- lapply(names(x), function(name) cbind(response = name, quantile(x[[name]], probs)))
  do.call(rbind, parts)
}

#' @rdname fastlmm_permute
#' @export
print.fastlmm_permute_list <- function(x, ...) {
  check_arguments(...)
  cat("Permutations of ", counted(length(x), "response"), ", quantiles of the largest statistics:\n", sep = "")
  print(stats::quantile(x, probs = 0.95), row.names = FALSE)
  invisible(x)
}

# Responses that are permutations of the fit's own whitened contrasts
permuted_null <- function(fit, source, n) {
  model <- stored_model(fit)
  weights <- model_weights(model)
  basis <- call_rust(ffi_scan_complete, rust_model(model))
  y <- as.matrix(unname(fit$y - fit$offset))
  found <- call_rust(ffi_scan_whitened, basis, y, fit$delta[[1]], control_threads(fit$control))
  if (any(found$root == 0)) abort_scan("needs a null model with residual variance")
  draws <- vapply(seq_len(n), function(i) sample(found$white) * found$root, found$white)
  gather <- function(x) rowsum(x, source$cell)[as.character(seq_len(source$cells)), , drop = FALSE]
  basis$e <- unname(gather(basis$e))
  basis$q <- unname(gather(basis$q))
  basis$weight <- unname(drop(gather(matrix(weights))))
  basis$v <- numeric(source$cells)
  basis$by_rows <- FALSE
  list(
    basis = basis,
    responses = list(y = draws, v = matrix(0, source$cells, n), rho = numeric(n), delta = rep(fit$delta[[1]], n), length = sqrt(colSums(draws^2))),
    names = as.character(seq_len(n)),
    h2 = rep(fit$h2[[1]], n), df2 = length(found$root) - 1, rows = tabulate(source$cell, source$cells), unit = source$unit,
    threads = as.integer(control_threads(fit$control))
  )
}

#' @rdname fastlmm_permute
#' @export
quantile.fastlmm_permute <- function(x, probs = c(0.5, 0.9, 0.95, 0.99), ...) {
  check_arguments(...)
  if (!is.numeric(probs) || anyNA(probs) || any(probs < 0 | probs > 1)) abort_fastlmm("level", paste("probs must be numbers from 0 to 1, not", deparse1(probs)))
  statistic <- unname(stats::quantile(x$maximum, probs))
  data.frame(prob = probs, statistic = statistic, log10p = -stats::pf(statistic, 1, x$df2, lower.tail = FALSE, log.p = TRUE) / log(10))
}

#' @rdname fastlmm_permute
#' @export
print.fastlmm_permute <- function(x, ...) {
  check_arguments(...)
  apart <- if (isTRUE(x$groups > 0)) paste0(" of ", counted(x$groups, "group"), " left out of the kernel in turn, ") else ", "
  cat(
    counted(length(x$maximum), "permutation"), " of the null model ", deparse1(x$formula), apart, counted(x$candidates, "candidate"), "\nLargest statistics:\n",
    sep = ""
  )
  print(stats::quantile(x, probs = c(0.5, 0.9, 0.95, 0.99)), row.names = FALSE)
  invisible(x)
}
