#' Test and rank many responses for a Gaussian process
#'
#' For each response of a fit with [gp()], tests whether there is a process at all and estimates its share of the variance: for example, which
#' genes vary over a tissue.
#'
#' @section Likelihood ratio:
#' `test = "LRT"` gives the p-values of the fit, which assume responses that are normal without a process (see [fastlmm_gp_mlm]). Sparse counts
#' are not, whatever the transformation: with two percent nonzero cells, p-values below 0.001 are about a hundred times as frequent as nominal.
#'
#' @section Permutation:
#' `test = "permutation"` permutes the residuals from the fixed effects over the places (the method of Freedman and Lane 1983; exact where the
#' intercept is the only fixed effect, otherwise approximate), with the same permutations for all responses, and fits the permuted responses as
#' the fit did the observed ones. Missing cells stay where they are. Similar responses are pooled: those whose effective number of cells with
#' residuals, `(sum r^2)^2 / sum r^4`, agrees to a factor of two, together with neighbouring pools where there are fewer than 1000 permuted
#' statistics.
#'
#' A p-value is the proportion of permuted statistics of the pool that are at least as large, `(1 + larger) / (1 + all)`, provided that at
#' least ten are. Otherwise it is the tail probability of a generalised Pareto distribution fitted to the 250 largest (Knijnenburg and others
#' 2009), an extrapolation, whose tail is constrained not to be lighter than exponential. The column `larger` shows which one was used. The
#' p-values are right on average over the responses of a pool, not for each separately. `nsim` permutations take about the time of `nsim` fits;
#' the decompositions are shared.
#'
#' @section Share of variance:
#' `fsv` is the fraction of spatial variance as defined by SpatialDE (Svensson and others 2018), `s sigma2 / (s sigma2 + sigma2_e)`, where
#' `s = (n - sum(K) / n) / (n - 1)` is Gower's factor of the kernel matrix `K` of the places: the expected sample variance over the places of a
#' process of variance one (with weights w, `(sum(w) - w'K w / sum(w)) / (n - 1)`). Its standard error `fsv (1 - fsv) se(log delta)`, also as
#' in SpatialDE, takes the length scale as known.
#'
#' @param object,x a fit of many responses with a [gp()] term; for `tidy()` and `print()` also its `anova()`.
#' @param ... not used; an unknown argument is an error.
#' @param test `"LRT"` or `"permutation"`.
#' @param nsim number of permutations; `NULL`: enough for 10,000 permuted statistics, but at least 20.
#' @param seed as for [stats::simulate()]; the state of the generator is restored afterwards. Without it the permutations depend on
#'   [set.seed()].
#' @param rank.by rank responses by `"p"`, the p-value, or by `"fsv"`, the share of variance.
#' @param min.cells leave out responses with fewer cells than this that differ from their most frequent value (which for counts is mostly
#'   zero): they have no p-value and do not count among the tests of `q.value`. A message gives their number.
#' @param n number of responses to print, the first in rank.
#' @param digits number of significant digits.
#' @return `anova()`: a data frame of classes `fastlmm_gp_anova` and `anova` with a row for each response: `cells` (number that differ from the
#'   most frequent value), `lengthscale`, `fsv`, `se_fsv`, `logLik0`, `logLik`, `LRT`, with permutations `larger`, then `p.value`, `q.value`
#'   (Benjamini and Hochberg) and `rank`.
#'
#'   `tidy()` of it: `response`, `term`, `estimate` and `std.error` (those of `fsv`), `statistic`, `p.value`, `q.value`, `rank`, in order of
#'   rank. `tidy()` of the fit: rows of `effect`, `group`, `term`, `estimate`, `std.error`, `statistic` for each `response`: fixed effects,
#'   length scale, standard deviations and `fsv`.
#' @references
#' Knijnenburg, T. A., Wessels, L. F. A., Reinders, M. J. T. and Shmulevich, I. (2009) Fewer permutations, more accurate P-values. Bioinformatics 25, i161-i168.
#'
#' Freedman, D. and Lane, D. (1983) A nonstochastic interpretation of reported significance levels. Journal of Business and Economic Statistics 1, 292-298.
#'
#' Svensson, V., Teichmann, S. A. and Stegle, O. (2018) SpatialDE: identification of spatially variable genes. Nature Methods 15, 343-346.
#' @examples
#' set.seed(1)
#' data <- data.frame(u = runif(100), v = runif(100))
#' data$Y <- cbind(a = 2 * sin(5 * data$u), b = 0, c = 0, d = 0) + rnorm(400)
#' fit <- fastlmm_fit(Y ~ gp(u, v, cov = "exp_quad"), data)
#' anova(fit)
#' tidy(anova(fit, test = "permutation", nsim = 20, seed = 1))
#' @export
anova.fastlmm_gp_mlm <- function(object, ..., test = c("LRT", "permutation"), nsim = NULL, seed = NULL, rank.by = c("p", "fsv"), min.cells = 0) {
  check_arguments(...)
  test <- one_of(test, c("LRT", "permutation"))
  rank.by <- one_of(rank.by, c("p", "fsv"))
  cells <- telling_cells(object$y)
  tested <- gp_tested(object, cells, min.cells)
  larger <- NULL
  log_p <- replace(object$log.p, !tested, NA)
  if (test == "permutation") {
    found <- permuted_p(object, which(tested), nsim, seed)
    larger <- replace(rep(NA_integer_, length(tested)), tested, found$larger)
    log_p[tested] <- found$log_p
  }
  p <- exp(log_p)
  columns <- list(
    cells = cells, lengthscale = object$lengthscale, fsv = object$fsv, se_fsv = object$se$fsv, logLik0 = object$logLik0, logLik = object$logLik,
    LRT = object$statistic, larger = larger,
    p.value = p, q.value = stats::p.adjust(p, "BH"), rank = if (rank.by == "p") ranked(log_p, object$fsv) else ranked(-object$fsv, object$statistic)
  )
  table <- data.frame(lapply(columns[lengths(columns) > 0], unname), row.names = names(object$logLik), check.names = FALSE)
  how <- if (test == "permutation") paste("Permutation test of no process,", found$nsim, "permutations") else "Likelihood ratio test of no process"
  structure(table, heading = paste0(how, "\n", gp_many_label(object), "\n"), term = object$gp$name, class = c("fastlmm_gp_anova", "anova", "data.frame"))
}

# Observed cells that differ from the most frequent value of their column
telling_cells <- function(Y) apply(Y, 2, function(y) sum(!is.na(y)) - max(0L, tabulate(match(y, unique(y[!is.na(y)])))))

gp_tested <- function(fit, cells, min.cells) {
  if (!is.numeric(min.cells) || length(min.cells) != 1 || is.na(min.cells)) abort_fastlmm(
    "min_cells", paste("min.cells must be one number, not", deparse1(min.cells))
  )
  fitted <- !is.na(fit$p.value)
  out <- fitted & cells < min.cells
  if (any(out)) inform_fastlmm("filtered", sprintf(
    "%s of %s left out, with fewer than %s cells that differ from the most frequent value: %s", format(sum(out), big.mark = ","),
    counted(length(out), "response"), format(min.cells),
    first_names(names(fit$logLik)[out])
  ), responses = names(fit$logLik)[out])
  fitted & !out
}

# ---- responses of few values ----------------------------------------------------------------------------

# With as few distinct values, or with residuals that are spread over as few cells, a normal likelihood is far from the tail of the test.
few_values <- 10
few_cells <- 0.1

warn_few_values <- function(fit) {
  fitted <- which(!is.na(fit$p.value))
  if (length(fitted) == 0) return(invisible())
  values <- apply(fit$y[, fitted, drop = FALSE], 2, function(y) length(unique(y[!is.na(y)])))
  sparse <- telling_cells(fit$y[, fitted, drop = FALSE]) < few_cells * fit$nobs[fitted]
  few <- names(fit$logLik)[fitted][values < few_values & sparse]
  if (length(few) == 0) return(invisible())
  warn_fastlmm("few_values", paste0(
    format(length(few), big.mark = ","), " of ", counted(length(fit$logLik), "response"), " have fewer than ", few_values,
    " distinct values, and one of these in more than ", 100 * (1 - few_cells),
    " % of the rows: ", first_names(few),
    ". Their p-values, which assume normal residuals, are too small; use anova(fit, test = \"permutation\"), with min.cells to leave out uninformative ones"
  ), responses = few)
}

# ---- permutation ----------------------------------------------------------------------------------------

pool_least <- 1000L
pool_total <- 10000L
tail_counted <- 10L
tail_fitted <- 250L
# numbers in responses that are fitted together
permuted_together <- 2e7

permuted_p <- function(fit, tested, nsim, seed) {
  nsim <- if (is.null(nsim)) max(20, ceiling(pool_total / length(tested))) else check_nsim(nsim, nrow(fit$y) + length(tested))
  if (length(tested) == 0) return(list(log_p = numeric(), larger = integer(), nsim = nsim))
  state <- seed_generator(seed)
  on.exit(state$restore())
  residual <- null_residuals(fit, tested)
  null <- permuted_statistics(fit, residual, nsim)
  pools <- alike(spread_over(residual), nsim)
  found <- list(log_p = numeric(length(tested)), larger = integer(length(tested)), nsim = nsim)
  for (pool in pools) {
    of <- tail_of(as.numeric(null[pool, ]))
    statistic <- fit$statistic[tested[pool]]
    found$larger[pool] <- of$larger(statistic)
    found$log_p[pool] <- of$log_p(statistic)
  }
  found
}

# Residuals from X, times root weights: rows x responses, missing where the response is
null_residuals <- function(fit, columns) {
  root <- if (is.null(fit$weights)) rep(1, nrow(fit$y)) else sqrt(fit$weights)
  Y <- root * minus_offset(fit$y[, columns, drop = FALSE], fit$offset)
  X <- root * fixed_design(fit)
  pattern <- apply(is.na(Y), 2, function(missing) paste(which(missing), collapse = " "))
  for (same in split(seq_along(columns), pattern)) {
    used <- !is.na(Y[, same[1]])
    Y[used, same] <- qr.resid(qr(X[used, , drop = FALSE]), Y[used, same, drop = FALSE])
  }
  unname(Y)
}

# How many cells residuals are spread over: n of equal size, fewer for sparse ones
spread_over <- function(residual) colSums(residual^2, na.rm = TRUE)^2 / colSums(residual^4, na.rm = TRUE)

# Statistics of the permuted residuals, responses x permutations: the same permutations for all
permuted_statistics <- function(fit, residual, nsim) {
  n <- nrow(residual)
  q <- ncol(residual)
  orders <- replicate(nsim, sample.int(n))
  model <- gp_null_model(fit)
  exact <- fit$gp$route == "exact"
  value <- matrix(NA_real_, q, nsim)
  # few permutations together, so that memory is bounded: each block repeats the decompositions
  for (some in split(seq_len(nsim), (seq_len(nsim) - 1) %/% max(1, permuted_together %/% (n * q)))) {
    Y <- do.call(cbind, lapply(some, function(s) permuted(residual, orders[, s])))
    found <- call_gp_many(model, if (is.null(fit$weights)) Y else Y / sqrt(fit$weights), exact, FALSE)
    value[, some] <- pmax(2 * (found$fits$logLik - found$logLik0), 0)
  }
  value
}

# Each column's observed cells in the order that a permutation of all rows gives them
permuted <- function(residual, order) {
  out <- residual[order, , drop = FALSE]
  for (j in which(colSums(is.na(residual)) > 0)) {
    used <- !is.na(residual[, j])
    out[, j] <- NA
    out[used, j] <- out_of_order(residual[order, j])
  }
  out
}

out_of_order <- function(x) x[!is.na(x)]

# What a fit of permuted responses is asked
gp_null_model <- function(fit) {
  gp <- fit$gp[setdiff(names(fit$gp), c("route", "looked_at", "captured", "arc", "bases", "window"))]
  list(gp = gp, frame = fit$frame, X = fixed_design(fit), weights = fit$weights, method = fit$method, control = fit$control)
}

# Responses whose residuals are spread over as many cells to a factor of two, as lists of their places; small pools are joined to the next.
alike <- function(cells, nsim) {
  octave <- split(seq_along(cells), floor(log2(cells)))
  octave <- octave[order(as.numeric(names(octave)))]
  pools <- list()
  waiting <- integer()
  for (some in octave) {
    waiting <- c(waiting, some)
    if (length(waiting) * nsim < pool_least) next
    pools <- c(pools, list(waiting))
    waiting <- integer()
  }
  if (length(waiting) == 0) return(pools)
  if (length(pools) == 0) return(list(waiting))
  pools[[length(pools)]] <- c(pools[[length(pools)]], waiting)
  pools
}

# Tail probabilities by a sample of statistics: counted, and beyond its largest by a generalised Pareto distribution.
tail_of <- function(null) {
  null <- sort(null[!is.na(null)], decreasing = TRUE)
  larger <- function(t) findInterval(-t * (1 - 1e-9), -null)
  fitted <- min(tail_fitted, length(null) %/% 4)
  threshold <- null[fitted + 1]
  pareto <- pareto_tail(null[seq_len(fitted)] - threshold)
  log_p <- function(t) {
    counted <- log((1 + larger(t)) / (1 + length(null)))
    beyond <- log(fitted / length(null)) + pareto(pmax(t - threshold, 0))
    ifelse(larger(t) >= tail_counted | t <= threshold, counted, pmin(beyond, log((1 + tail_counted) / (1 + length(null)))))
  }
  list(larger = larger, log_p = log_p)
}

# log P(excess > x) by probability-weighted moments (Hosking and Wallis 1987); no tail is taken to end.
pareto_tail <- function(excess) {
  excess <- sort(excess)
  n <- length(excess)
  first <- mean(excess)
  second <- mean(excess * (n - seq_len(n)) / max(n - 1, 1))
  shape <- max(0, 2 - first / (first - 2 * second))
  scale <- if (shape == 0) first else first * (1 - shape)
  function(x) if (shape < 1e-6) -x / scale else -log1p(shape * x / scale) / shape
}

# ---- what is printed and tidied -------------------------------------------------------------------------

#' @rdname anova.fastlmm_gp_mlm
#' @export
print.fastlmm_gp_anova <- function(x, n = 10, digits = max(3, getOption("digits") - 3), ...) {
  check_arguments(...)
  check_shown(n)
  cat(attr(x, "heading"), "\n", sep = "")
  shown <- as.data.frame(x)[head(order(x$rank), n), ]
  print(shown, digits = digits)
  if (nrow(x) > nrow(shown)) cat("... and ", counted(nrow(x) - nrow(shown), "more response"), "\n", sep = "")
  invisible(x)
}

#' @rdname anova.fastlmm_gp_mlm
#' @export
tidy.fastlmm_gp_anova <- function(x, ...) {
  check_arguments(...)
  table <- data.frame(
    response = rownames(x), term = attr(x, "term"), estimate = x$fsv, std.error = x$se_fsv, statistic = x$LRT, p.value = x$p.value, q.value = x$q.value,
    rank = x$rank
  )
  structure(table[order(table$rank), ], row.names = seq_len(nrow(table)))
}

#' @rdname anova.fastlmm_gp_mlm
#' @export
tidy.fastlmm_gp_mlm <- function(x, ...) {
  check_arguments(...)
  label <- x$gp$name
  tidy_many(x, list(
    many_pars(x, label, "lengthscale", x$lengthscale, NA_real_), many_pars(x, label, "sd__(Intercept)", sqrt(x$sigma2), NA_real_),
    many_pars(x, "Residual", "sd__Observation", sqrt(x$sigma2_e), NA_real_), many_pars(x, label, "fsv", x$fsv, x$se$fsv)
  ))
}
