#' Test many candidates against one null model
#'
#' Each column of `candidates` is tested as a further fixed effect of `fit`. The null model is prepared once: X is projected out and the kernel
#' is decomposed. After that each candidate costs little more than its part of a matrix product. Candidates are read in blocks, so that memory
#' does not depend on their number.
#'
#' @section Tests:
#' `"wald"`: the F test of the column by REML, with the degrees of freedom of the residual contrasts. `"lrt"`: the likelihood-ratio test, with
#' both models fitted by maximum likelihood. `"score"`: the score test at the null model's delta.
#'
#' `refit = "none"` keeps the null model's delta, which costs nothing and is slightly conservative for large effects (as in EMMAX). `"delta"`
#' re-estimates it with each candidate, exactly, over its whole range, boundaries included (Lippert and others 2011; Zhou and Stephens 2012).
#' `"hybrid"` does so where the test with the null model's delta gives `p < threshold`.
#'
#' The likelihood ratio with `refit = "delta"` may be unbounded as delta tends to 0 (a centred kernel and an intercept; ids measured twice with
#' candidates that differ between their rows). Both models are then taken at their best interior optimum, as [fastlmm_fit()] does with
#' `method = "ML"`; where one has none, the directions of X that the kernel does not span are left out of both.
#'
#' @section Small samples:
#' A test with delta re-estimated uses the candidate twice and is liberal in small samples, as is the likelihood-ratio test; the F test with
#' the null model's delta holds its level. For 120,000 candidates without effect (600 data sets, an intercept, a kernel of 2 n normal variables
#' that explains half of the variance; computed by the test "small samples" in `tests/testthat/test-long-scan.R`) these proportions had
#' p-values below 0.05 and below 0.001:
#'
#' | ids | `refit = "none"` | `"delta"` | score | `"lrt"`, `"none"` | `"lrt"`, `"delta"` |
#' |---|---|---|---|---|---|
#' | 30 | 0.048, 0.0010 | 0.067, 0.0027 | 0.046, 0.0003 | 0.058, 0.0016 | 0.070, 0.0024 |
#' | 60 | 0.049, 0.0009 | 0.059, 0.0018 | 0.048, 0.0005 | 0.054, 0.0012 | 0.060, 0.0016 |
#' | 120 | 0.049, 0.0012 | 0.053, 0.0014 | 0.049, 0.0010 | 0.051, 0.0012 | 0.054, 0.0015 |
#' | 240 | 0.050, 0.0009 | 0.052, 0.0010 | 0.050, 0.0008 | 0.051, 0.0009 | 0.052, 0.0009 |
#'
#' Below a hundred ids keep the null model's delta, or use thresholds by [fastlmm_permute()].
#'
#' The degrees of freedom are rows minus coefficients, with repeated records too, though a candidate that varies between ids only is known
#' from the ids. With the null model's delta this does no harm, since its between-id variance includes the candidate (12 ids with 5 rows each:
#' 0.043 below 0.05, none of 2000 below 0.001); with `"delta"` it does (0.072, 0.006). `summary(df = "kenward-roger")` of a fit with the
#' candidate has degrees of freedom of its own.
#'
#' @section Several random effects:
#' A null model may have several random effects, correlated terms, a precision kernel, [gp()], or residual variances by level. Its random
#' effects are then combined into one effect of the rows, in the proportions estimated by the null model. `refit = "delta"` re-estimates the
#' ratio of their sum to the residual and keeps the proportions; `h2` is the share of all of them. This needs a decomposition of a rows x rows
#' matrix. Rows of candidates may be named by the ids of any of the effects.
#'
#' @section Many responses:
#' With a fit of many responses ([fastlmm_mlm]) every candidate is tested with every response, at the delta of that response, by two matrix
#' products for each block. `keep` selects which results are kept.
#'
#' @section Matching of rows:
#' Rows of `candidates` are matched by name: to the ids of the random effect (the value of an id then applies to all its rows), otherwise to
#' the row names of the data. Without row names, or with names 1 to n that are mere counts, there must be as many as rows of the data, and they
#' are taken in order, with a message. Where names could be both ids and row numbers, and it makes a difference, an error of class `row_names`
#' asks. Rows of a formula and of `interaction` are those of the data: variables in the fit are read from it, others from its data, which must
#' still have the same values in the same rows (otherwise error `rows`).
#'
#' @section Missing cells:
#' With `na = "impute"` a missing cell of a candidate gets the mean of the candidate over the ids whose rows are in the test; each id counts
#' once, with the mean of its observed cells. A candidate given by id, the same candidate given by row, and a response alone or among others
#' therefore give the same test. For an `interaction` the candidate is imputed first, then multiplied. With `na = "omit"` a candidate with
#' missing cells is tested on the rows where it is observed, against the null model of these rows, with delta re-estimated; for many responses,
#' on the same rows for all of them.
#'
#' @section Genotypes:
#' The effect is that of one more copy of PLINK's first allele (A1, the fifth column of the `.bim` file), as in PLINK and GEMMA, both for a
#' `.bed` file and for data from snpStats. (A `SnpMatrix` itself counts the second allele; this is reversed.) Pass the complete list of
#' `snpStats::read.plink()` to have its map in the result. Other candidates are used as they are.
#'
#' @section Kernel columns left out:
#' A candidate that is also part of the kernel is tested against itself (proximal contamination; Listgarten and others 2012). With a fit by
#' [kernel_lowrank()], `exclude` gives for each candidate the columns of W that are removed from the kernel while it is tested, and `groups`
#' removes all columns of W that have the names of the candidates of the group. Both use down-dates of the decomposition ([fastlmm_exclude()]),
#' with delta re-estimated for each set. With any other kernel give `kernels`, a list with one kernel for each group.
#'
#' @param fit a null model by [fastlmm_fit()]; for many responses with one random effect.
#' @param candidates a numeric matrix or data frame, a one-sided formula, a sparse `Matrix`, a `SnpMatrix` or the list of
#'   `snpStats::read.plink()`, the path of a PLINK `.bed` file, or anything with `dim()`, `dimnames()` and `[ , j]`. One row for each id or
#'   each row of the data, one column for each candidate.
#' @param test,refit see below. Score tests keep the null model's delta, so `refit` is refused for them.
#' @param sets columns that are tested jointly: a list of vectors of names or numbers, or a vector with the name of a set for each column,
#'   without `NA`.
#' @param interaction a one-sided formula, such as `~ sex`: the products of each candidate with these covariates are tested; the candidate and
#'   the covariates remain in the model.
#' @param groups a group for each candidate: a vector with an element for each column.
#' @param exclude a list with an element for each column: numbers or names of columns of W.
#' @param kernels a named list with a kernel for each of the `groups`.
#' @param na `"impute"`: a missing cell gets the mean of its column. `"omit"`: a column with missing cells is tested on the complete rows,
#'   against the null model of these rows.
#' @param threshold p-value below which `refit = "hybrid"` re-estimates delta, and `keep = "threshold"` keeps a test. For `summary()`: a single
#'   threshold for hits, as in [plot.fastlmm_scan()].
#' @param keep which tests to keep: all, the one with the smallest p-value (of each response), or those with `p < threshold`. Candidates that
#'   cannot be tested are kept with `"all"` only.
#' @param map positions of the candidates, if their files do not contain them: a data frame with `chr` and `pos`, and `effect_allele` and
#'   `other_allele` if known, whose rows are matched by its column `term` or its row names (names of candidates), otherwise in the order of the
#'   candidates; or the path of a `.bim` file. Its columns are added to the result. Chromosomes stand in natural order (1, 2, 10, X, Y, MT), or
#'   in the order of the levels of a factor where these are not alphabetical.
#' @param maf candidates with a lower minor allele frequency over the ids with data are not tested and get the status `"rare"`; those with
#'   values outside 0 to 2, which are not allele counts, `"no_frequency"`.
#' @param data data frame for formulas, by default that of the fit.
#' @param block_size number of columns read at a time; `NULL`: about 100 MB.
#' @param checkpoint a directory in which finished blocks are stored, so that an interrupted scan can be resumed, on another machine too. It
#'   belongs to one scan: the same fit, tests, names and `block_size` (whose default depends on the candidates). A block whose candidates have
#'   changed since, or whose file is damaged, is computed again, with the message `checkpoint`. Nothing is stored before the first block is
#'   finished: the null model and the candidates are prepared first.
#' @param progress show a progress bar (by cli, for work of more than two seconds) with the time left? Default: in interactive sessions. If
#'   package progressr is loaded, its signals are sent instead, also from other processes, and [progressr::handlers()] determines their
#'   display.
#' @param ... not used; an unknown argument is an error.
#' @return A data frame of class `fastlmm_scan`, with a row for each candidate or set, in order, and columns
#' * `response`, `term`;
#' * for PLINK files and with `map`: `chr`, `pos`, `effect_allele`, `other_allele` and, where candidates are allele counts (files, a map with
#'   alleles, `maf`), `freq`, the frequency of the effect allele over the ids with data, each counted once. A set of several columns has the
#'   chromosome that they share and the middle of their positions;
#' * `n` (rows with data), `estimate` and `std.error` (in units of the response per unit of the candidate; for one tested column), `statistic`,
#'   `df`, `df2` (denominator degrees of freedom of an F test, otherwise `Inf`), `p.value`, `log10p` (minus the decimal logarithm, which does
#'   not underflow), `h2`, `logLik` (of the model with the candidate, by the likelihood of the test);
#' * `status`: `"ok"`, or why a candidate could not be tested, in which case its numbers are missing: `"missing"`, `"nonfinite"`, `"constant"`,
#'   `"collinear"`, `"no_contrast"`, `"ml_unbounded"` (the likelihood has no interior optimum), `"explained_by_kernel"` (what the candidate
#'   leaves of the response lies in the range of a singular kernel; or the re-estimated delta is 0 and a singular kernel leaves the tested
#'   column without error), `"no_convergence"` (of the search for the null model), `"rare"` and `"no_frequency"` (see `maf`). A candidate that
#'   explains the response up to rounding is a `"perfect_fit"`: it has its estimate, standard error 0, an infinite statistic (finite for a
#'   score test), p-value 0 and `log10p` `Inf`.
#'
#' Rows may be sorted, removed, combined by `rbind()` and given columns by `merge()`: plots need only the columns. `as.data.frame()` and
#' `tidy()` give a plain data frame.
#'
#' `summary()`: a list of `counts` of each status, the inflation factor lambda for each of the `responses` (median of the chi-squared values
#' divided by that of the null distribution) with 95 percent limits, the `hits`, and the `strongest` tests. The limits of lambda allow for
#' dependence between neighbours, through the variance of the proportion of tests above the median in blocks of consecutive tests. Hits are
#' the strongest of the tests above `threshold` within `distance` of each other, with their number, `tests`, and the range of their
#' positions. A scan with a `keep` other than `"all"` has no lambda.
#' @section Errors:
#' `candidates` for what cannot be read or matched; `scan` for arguments that cannot be combined; `checkpoint` for a directory of another scan
#' or of an earlier version of the package, and for one that cannot be written.
#' @references
#' Lippert, C. and others (2011) FaST linear mixed models for genome-wide association studies. Nature Methods 8, 833-835.
#'
#' Listgarten, J. and others (2012) Improved linear mixed models for genome-wide association studies. Nature Methods 9, 525-526.
#'
#' Zhou, X. and Stephens, M. (2012) Genome-wide efficient mixed-model analysis for association studies. Nature Genetics 44, 821-824.
#' @seealso [fastlmm_exclude()], [plot.fastlmm_scan()]
#' @examples
#' set.seed(1)
#' ids <- paste0("i", 1:200)
#' G <- matrix(rbinom(200 * 300, 2, 0.4), 200, dimnames = list(ids, paste0("m", 1:300)))
#' K <- tcrossprod(scale(G)) / 300
#' data <- data.frame(id = ids, x = rnorm(200))
#' data$y <- 0.5 * G[, "m7"] + data$x + drop(crossprod(chol(K + diag(1e-6, 200)), rnorm(200))) + rnorm(200)
#' fit <- fastlmm_fit(y ~ x + (1 | id), data, K)
#' scan <- fastlmm_scan(fit, G)
#' scan
#' head(scan[order(-scan$log10p), c("term", "estimate", "std.error", "p.value")], 3)
#' @order 1
#' @export
fastlmm_scan <- function(fit, candidates, test = c("wald", "lrt", "score"), refit = c(
  "none", "delta", "hybrid"
), sets = NULL, interaction = NULL, groups = NULL,
                         exclude = NULL, kernels = NULL, na = c("impute", "omit"), threshold = 1e-3, keep = c("all", "max", "threshold"), map = NULL, maf = 0,
                         data = NULL, block_size = NULL, checkpoint = NULL,
                         progress = interactive(), ...) {
  check_arguments(...)
  ask <- list(test = one_of(test), refit = one_of(refit), na = one_of(na), keep = one_of(keep), threshold = check_level(threshold, "threshold"))
  if (ask$test == "score" && ask$refit != "none") abort_scan("makes score tests at the null model's delta: leave refit out, or take test = \"wald\" or \"lrt\"")
  check_scannable(fit)
  ask$maf <- if (check_scan_maf(maf, sets) > 0) maf
  check_one_at_a_time(fit, groups, exclude, kernels)
  named <- with_candidates_first(fit, candidates)
  source <- with_map(with_units(candidate_source(candidates, named, data), named), map, maf)
  if (maf > 0) source$whole <- NULL
  if (!is.null(checkpoint)) checkpoint <- checkpoint_path(checkpoint)
  if (!is.null(checkpoint)) source$read <- read_once(source$read)
  if (source$matched == "order") inform_in_order()
  how <- list(block_size = block_size, checkpoint = checkpoint, progress = isTRUE(progress))
  if (inherits(fit, "fastlmm_mlm")) {
    if (!is.null(c(sets, groups, exclude, kernels)) || !is.null(interaction)) abort_scan("with many responses tests columns one by one, against one kernel")
    found <- scan_many(fit, source, ask, how)
    return(new_scan(fit, found, source, list(columns = as.list(found$candidate), names = source$names), ask))
  }
  tests <- if (is.null(interaction)) scan_sets(sets, source) else interaction_sets(interaction, sets, fit, data)
  if (!is.null(interaction)) source <- by_rows(source)
  fit <- as_one_effect(fit)
  apart <- apart_sets(fit, source, groups, exclude, kernels)
  if (!is.null(apart) && !is.null(sets)) abort_scan("sets cannot be combined with groups or exclude; give one of them")
  found <- if (is.null(apart)) scan_with(fit, source, tests, ask, how) else scan_apart(fit, source, tests, ask, how, apart)
  if (is.null(tests$columns)) tests[c("columns", "names")] <- list(as.list(seq_len(source$m)), source$names)
  if (!is.null(interaction)) ask$interaction <- deparse1(interaction[[2]])
  new_scan(fit, found, source, tests, ask)
}

check_scannable <- function(fit) {
  if (inherits(fit, "fastlmm_gp_mlm")) abort_scan("is not available for many responses with a gp() term; use extract_fit() for one of them")
  if (!inherits(fit, c("fastlmm", "fastlmm_mlm"))) abort_scan(paste("needs a fit by fastlmm_fit(), not an object of class", class(fit)[1]))
  if (!is.null(fit$given)) abort_scan("needs a null model whose residual variance is estimated, not given by sigma2_e =")
  precision <- is_sparse_fit(fit) && length(fit$random) == 1 && !is_of_levels(fit)
  if (precision) abort_scan("needs a kernel between the ids with data: give it, K = as.matrix(K, ids = ...)")
  if (inherits(fit, "fastlmm_mlm") && length(fit$random) > 1) abort_scan(
    "with many responses needs null models with one random effect; use extract_fit() for one response"
  )
  if (!any(fit$status %in% c("ok", "ml_border"))) abort_scan("needs a null model with variances: its status is not \"ok\"")
  if (is_gp_fit(fit)) check_has_rows(fit, "fastlmm_scan()")
}

abort_scan <- function(message) {
  called <- if (is_running(fastlmm_permute)) "fastlmm_permute()" else if (is_running(plot.fastlmm_scan)) "plot() of a scan" else "fastlmm_scan()"
  abort_fastlmm("scan", paste(called, message))
}

# ---- what is tested -----------------------------------------------------------------------------------

# Columns of each test, how many of them are only adjusted for, and its name
scan_sets <- function(sets, source) {
  if (is.null(sets)) return(list(columns = as.list(seq_len(source$m)), adjust = integer(source$m), names = source$names, with = NULL))
  if (!is.list(sets)) sets <- sets_of_columns(read_names(sets, "sets"), source)
  if (length(sets) == 0) abort_scan("got a list of no sets; leave sets out to test each column by itself")
  columns <- lapply(sets, set_columns, source = source)
  names <- names(columns)
  if (is.null(names)) names <- paste0("set", seq_along(columns))
  list(columns = unname(columns), adjust = integer(length(columns)), names = names, with = NULL)
}

sets_of_columns <- function(sets, source) {
  if (length(sets) != source$m) abort_scan(sprintf("got sets of length %d for %d candidates", length(sets), source$m))
  if (anyNA(sets)) {
    abort_scan(
      paste0(
        "got sets that are NA for ", counted(sum(is.na(sets)), "candidate"), ": ", first_names(source$names[is.na(sets)]),
        "; give each a set, or sets as a list without them"
      )
    )
  }
  split(seq_len(source$m), factor(sets, unique(sets)))
}

set_columns <- function(set, source) {
  if (length(set) == 0) abort_scan("got a set without columns")
  set <- read_names(set, "a set of sets")
  at <- if (is.character(set)) match(set, source$names) else match(set, seq_len(source$m))
  if (anyNA(at)) abort_scan(paste0("got a set with columns that candidates do not have: ", first_names(set[is.na(at)])))
  at
}

# Each candidate with its products with covariates, numbers for each row of the fit
interaction_sets <- function(interaction, sets, fit, data) {
  if (!is.null(sets)) abort_scan("sets cannot be combined with interaction; give one of them")
  Z <- interaction_covariates(interaction, fit, data)
  list(columns = NULL, adjust = NULL, names = NULL, with = Z)
}

interaction_covariates <- function(interaction, fit, data) {
  if (!inherits(interaction, "formula") || length(interaction) != 2) abort_scan("got an interaction that is not a one-sided formula, as ~ sex")
  frame <- frame_of_rows(interaction, fit, data)
  if (is.null(frame)) abort_scan("needs data = for an interaction: the data frame of the fit")
  Z <- formula_columns(interaction, frame)
  if (ncol(Z) == 0) abort_scan("got an interaction without a covariate; give one, as ~ sex")
  if (anyNA(Z)) abort_scan("got an interaction with missing values in rows of the fit")
  Z
}

# One number for each row of the fit
by_rows <- function(source) {
  cell <- source$cell
  read <- source$read
  source$read <- function(j) read(j)[cell, , drop = FALSE]
  source$whole <- NULL
  source$unit <- source$unit[cell]
  source$cell <- seq_along(cell)
  source$cells <- length(cell)
  source
}

# ---- the null model -----------------------------------------------------------------------------------

# With everything that a block needs, and nothing else: plain numbers that may go to another process
scan_null <- function(fit, source, ask) {
  model <- stored_model(fit)
  list(
    basis = scan_basis(model, source), cell = source$cell, rows = tabulate(source$cell, source$cells), unit = unit_of_null(source$unit),
    ask = c(ask[c("test", "refit")], list(
      method = fit$method, delta = fit$delta[[1]], threads = as.numeric(control_threads(fit$control))
    ))
  )
}

# Tests of a block of columns, a row each
scan_block <- function(null, G, columns, adjust, ask) {
  found <- scan_call(null, G, columns, adjust, if (ask$refit == "hybrid") "none" else ask$refit)
  if (ask$refit == "hybrid") {
    again <- which(found$log.p < log(ask$threshold))
    if (length(again) > 0) found[again, ] <- scan_call(null, G, columns[again], adjust[again], "delta")
  }
  found
}

scan_call <- function(null, G, columns, adjust, refit) {
  null$ask$refit <- refit
  filled <- if (is.null(null$unit)) G else impute(G, null$unit)
  found <- as.data.frame(call_rust(ffi_scan_block, null$basis, filled, columns, as.integer(adjust), null$ask))
  found$log.p <- ifelse(
    is.finite(found$df2), stats::pf(found$statistic, found$df, found$df2, lower.tail = FALSE, log.p = TRUE),
    stats::pchisq(found$statistic, found$df, lower.tail = FALSE, log.p = TRUE)
  )
  found$n <- rep(as.numeric(sum(null$rows)), length(columns))
  holes <- if (is.null(null$unit)) found$observed < nrow(G) else vapply(columns, function(j) anyNA(G[, j]), NA)
  found$n[holes] <- observed_rows(G, columns[holes], null$rows)
  found[c("n", "estimate", "std_error", "statistic", "df", "df2", "log.p", "h2", "logLik", "status", "again")]
}

# ---- the scan -----------------------------------------------------------------------------------------

scan_with <- function(fit, source, tests, ask, how) {
  null <- scan_null(fit, source, ask)
  names <- if (is.null(tests$names)) source$names else tests$names
  work <- function(block) cbind(term = names[block], scan_one_block(fit, null, source, tests, block, ask))
  job <- function() list(model_inputs(stored_model(fit)), source[c("cell", "unit")], !isTRUE(source$copies), names, tests[c("columns", "adjust", "with")], ask)
  run_blocks(scan_blocks(source, tests, how$block_size), work, how, job(), function(block) values_of_block(source, tests, block))
}

# Consecutive tests whose columns are read together
scan_blocks <- function(source, tests, block_size) {
  largest <- if (is.null(source$whole)) 1024 else 2048 # what is read is there twice
  if (is.null(block_size)) block_size <- max(16, min(largest, floor(3e6 / max(source$cells, 1)), floor(5e9 / max(source$cells, 1)^2)))
  if (!is_count(block_size)) abort_scan("got a block_size that is not a positive number")
  width <- if (is.null(tests$columns)) rep(1, source$m) else lengths(tests$columns)
  split(seq_along(width), ceiling(cumsum(as.numeric(width)) / block_size))
}

# Candidates of some tests
wanted_of_block <- function(tests, block) if (is.null(tests$columns)) block else unique(unlist(tests$columns[block]))

values_of_block <- function(source, tests, block) {
  wanted <- wanted_of_block(tests, block)
  if (is.null(source$whole)) source$read(wanted) else unname(source$whole[, wanted, drop = FALSE])
}

scan_one_block <- function(fit, null, source, tests, block, ask) {
  columns <- if (is.null(tests$columns)) as.list(seq_along(block)) else tests$columns[block]
  if (!is.null(tests$with)) {
    G <- source$read(block)
    rare <- rare_status(G, source$unit, ask$maf)
    found <- scan_products(fit, null, without_rare(G, rare), source$unit, tests$with, ask)
    return(with_frequency(as_rare(found, rare, columns, G, null$rows), source, G, columns))
  }
  if (!is.null(source$whole)) return(with_frequency(scan_omitting(fit, null, source$whole, columns, tests$adjust[block], ask), source, source$whole, columns))
  wanted <- wanted_of_block(tests, block)
  place <- integer(source$m)
  place[wanted] <- seq_along(wanted)
  columns <- lapply(columns, function(j) place[j])
  G <- source$read(wanted)
  rare <- rare_status(G, source$unit, ask$maf)
  found <- scan_omitting(fit, null, without_rare(G, rare), columns, tests$adjust[block], ask)
  with_frequency(as_rare(found, rare, columns, G, null$rows), source, G, columns)
}

with_frequency <- function(found, source, G, columns) {
  if (isTRUE(source$copies)) found$freq <- allele_frequency(G, columns, source$unit)
  found
}

# Missing cells are those of the candidate: filled before the product, whose mean is another thing.
scan_products <- function(fit, null, G, unit, Z, ask) {
  parts <- with_products(if (ask$na == "impute") impute(G, unit) else G, Z)
  found <- scan_omitting(fit, null, parts$values, parts$columns, parts$adjust, ask)
  for (name in c("estimate", "std_error")) found[[name]] <- found[[name]] / parts$unit_G / parts$unit_Z
  # a restricted likelihood has the units of the columns that are kept
  if (fit$method == "REML") found$logLik[rep_len(parts$far, length(found$logLik))] <- NA_real_
  if (ask$na == "impute") found$n <- observed_rows(G, as.list(seq_len(ncol(G))), null$rows)
  found
}

# Covariates, candidates and their products; covariates and candidate are adjusted for, so that the candidate's origin does not matter: it is taken near its
# values.
with_products <- function(G, Z) {
  k <- ncol(Z)
  unit_G <- far_units(G)
  unit_Z <- far_units(Z)
  G <- in_units(G, unit_G)
  Z <- in_units(Z, unit_Z)
  origin <- colMeans(G, na.rm = TRUE)
  products <- do.call(cbind, lapply(seq_len(ncol(G)), function(j) (G[, j] - if (is.finite(origin[j])) origin[j] else 0) * Z))
  columns <- lapply(seq_len(ncol(G)), function(j) as.integer(c(seq_len(k), k + j, k + ncol(G) + (j - 1) * k + seq_len(k))))
  list(
    values = unname(cbind(Z, G, products)), columns = columns, adjust = rep(k + 1L, ncol(G)), unit_G = unit_G, unit_Z = if (k == 1) unit_Z else NA,
    far = any(unit_Z != 1) | unit_G != 1
  )
}
