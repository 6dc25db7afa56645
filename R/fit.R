#' Fit a linear mixed model with a known kernel
#'
#' Fits `y ~ N(X beta + offset, sigma2 (Z K Z' + delta W^-1))` for a known covariance K between ids, by restricted (REML) or ordinary (ML)
#' maximum likelihood. X is projected out and the kernel is decomposed once. This leaves a profiled likelihood in one parameter, `delta`, which
#' is maximised over its whole range, boundaries included. With several random effects,
#' `y ~ N(X beta + offset, sum_k sigma2_k Z_k K_k Z_k' + sigma2_e W^-1)`, all variances are estimated jointly, zero included: the search starts
#' from every local optimum on a grid of their shares.
#'
#' Terms of one grouping factor behind a single bar, `(1 + x | id)`, are correlated: `Cov(b) = S (x) K` (Kronecker product) with an
#' unstructured T x T covariance S, as in `lme4`, where K is the identity. Such models, and models of many levels without a kernel (several
#' random effects, or one with two thousand levels whose sums of weights differ), are fitted by penalised least squares. K must then be
#' nonsingular for the ids with data; without K there must be more rows than effects. Tables do not give shares `h2` for correlated terms,
#' since the variance of a slope depends on the unit of its covariate.
#'
#' @param formula a formula, or a table made by [gp_accumulate()]. On the left, the response, or a matrix of many responses (see
#'   [fastlmm_mlm]); on the right, fixed effects and random terms. Random terms: `(1 | id)`, an effect for each id; `(0 + x | id)`, a slope for
#'   each id; `(1 + x || id)`, both, independent; `(1 + x | id)`, both, correlated; `(0 + f | id)` for a factor f, an effect for each of its
#'   levels with an unstructured covariance between them; `(1 | a) + (1 | b)`, crossed; `(1 | a / b)`, nested; `gp(lon, lat)`, a Gaussian
#'   process over columns of the data (see [gp()]). The ids may be an interaction `a:b` of two variables. Fixed effects are written as for
#'   [lm()]: `poly()`, `splines::ns()`, `offset()`, interactions, and `.` for all columns of the data except the response and the grouping
#'   variables. Without a random term, K is a kernel over the rows of `data`.
#' @param data data frame (or tibble, matrix with column names, list, environment) with a row for each observation; any number of rows for each
#'   id, in any order. Variables not found in it are looked up in the environment of the formula.
#' @param K covariance between ids up to the factor `sigma2`, m x m, on any positive scale, with dimnames (row or column names suffice). It can
#'   be
#'   * a matrix, a `Matrix` (dense, sparse, symmetric, diagonal) or a numeric data frame;
#'   * a kernel made by [kernel_markers()] (relationships), [kernel_lowrank()] (a factor of K), [kernel_pedigree()], [kernel_tree()],
#'     [kernel_precision()] (a sparse inverse), [kernel_mix()] (several kernels of the same ids) or [kernel_product()] (an interaction);
#'   * a list of these named by grouping variable, `K = list(id = K)`; grouping factors that the list does not name get the identity;
#'   * `NULL`: the identity, and the fit equals that of `lme4::lmer()`.
#'
#'   K is a covariance, never its inverse: an inverse, sparse or dense, is `kernel_precision(P)`.
#'
#'   Ids are matched by name, as character strings, never by position; 100000 matches `"1e+05"` too, and numeric ids above 2^53, which a double
#'   cannot hold exactly, are refused. K may have ids without data, which can be predicted; every id in the data must be in K. K must be
#'   finite, symmetric to `1e-6` of its largest value (asymmetry beyond rounding is averaged out, with a message) and positive semidefinite:
#'   negative eigenvalues down to `-control$tolerance` times the largest are set to zero. K may be singular. A sparse block-diagonal `Matrix`
#'   of more than 10,000 ids, as of families, is used through the inverses of its blocks where they exist.
#'
#'   For a formula without a random term, the names of K are row names of `data`; only in this case may K be unnamed, with a row for each row
#'   of the data. Automatic row names (those of a tibble; `.row_names_info(data) <= 0`) are not names. Names 1 to n of K, as
#'   `as.matrix(dist(x))` has them, are treated as row names of `data` only where base R's subsetting has kept the original numbers; otherwise
#'   K must have one row for each row of the data. Where names are ambiguous, an error of class `row_names` asks.
#' @param method `"REML"` or `"ML"`. With a kernel that is zero along a direction of X (a centred kernel and an intercept) the ML likelihood
#'   grows without bound as `delta` tends to 0. The fit then takes the best interior optimum, as other programs do, with status `"ok"`. Where
#'   there is none, that direction is left out, with the message `ml_null`; with several random effects, or with weights under which the
#'   direction lies only partly in X, it is an error of class `ml_unbounded`. A kernel below 1.5e-8 of its largest eigenvalue along a direction
#'   of X is taken to be zero there. REML is bounded.
#' @param weights prior weights, one for each row, nonnegative: the residual variance of a row is `sigma2 delta / weight`. Rows of weight 0 are
#'   left out; missing weights are treated as `na.action` says. `weights`, `offset` and `subset` are evaluated in `data`.
#' @param offset known part of the mean, in the unit of the response; added to `offset()` terms of the formula.
#' @param subset rows to use.
#' @param na.action what to do about missing values: [na.omit()], [na.exclude()] (fitted values and residuals are padded with `NA`) or
#'   [na.fail()]. Default as in `lm()`: `options(na.action =)`, which is [na.omit()] unless set.
#' @param contrasts list of contrasts, as for [model.matrix()].
#' @param sigma2_e residual variance of a row of weight 1, where it is known: `sigma2_e = 1` with `weights = 1 / vi` for sampling variances
#'   `vi`, as in a meta-analysis. It is then fixed and does not count as a parameter of the fit (`df`); `h2`, prediction intervals and
#'   simulated rows of new data are those of a row of weight 1. Such models are fitted by penalised least squares, for which a kernel must be
#'   nonsingular for the ids with data (error `singular_kernel`). Not available with [gp()] or many responses. `NULL`: estimated.
#' @param residual a separate residual variance for each level of a factor: `~ site`, a variable of `data`, or `~ site:year` of two. `sigma2_e`
#'   is then that of the first level, and `fit$residual` has, by level, the `variance`, its `ratio` to the first and its `se`. All random
#'   effects that are available without it may be used; not available with [gp()], `sigma2_e` or several responses. Standard errors of all
#'   variances allow for their joint estimation. Profiles are not available; see [confint.fastlmm()] for the intervals that are.
#' @param control settings made by [fastlmm_control()].
#' @param relmat synonym of `K`.
#' @param ... not used; an unknown argument is an error.
#'
#' @return
#' A list of class `fastlmm` that consists of plain values only. With n rows, p columns of X of rank r, m ids with data:
#' \describe{
#'   \item{coefficients}{p fixed effects, named; `NA` for aliased columns (linearly dependent on others, tolerance 1e-7, as in `lm()`)}
#'   \item{vcov}{their covariance, r x r, without aliased coefficients}
#'   \item{null_space}{a basis N, p x (p - r), of the combinations of coefficients that change no fitted value; `NULL` for X of full rank. A
#'     mean `x'beta` is estimable if `x'N = 0`, see [predict.fastlmm()]}
#'   \item{sigma2}{variance explained by K, in squared units of the response divided by the units of K; one for each random effect, named}
#'   \item{sigma2_e, delta, h2}{residual variance; `sigma2_e / sigma2`; `sigma2 / (sigma2 + sigma2_e)`. With several random effects `delta` and
#'     `h2` have one value for each: `sigma2_e / sigma2_k` and the share `sigma2_k / (sum(sigma2) + sigma2_e)`. With `residual` all three, and
#'     their standard errors, are those of its first level; `residual$h2` has the shares of all}
#'   \item{se}{list of standard errors of `sigma2`, `sigma2_e`, `delta`, `h2`, `log_delta`, from the observed information; `NA` on a boundary}
#'   \item{logLik}{log-likelihood with all constants, equal to that of `lme4` and `nlme`, also for REML; packages that subtract `log|X'X|`
#'     differ by half of that}
#'   \item{profile}{data frame `delta`, `h2`, `sigma2`, `logLik`: the profile log-likelihood along `delta`. Where ML is unbounded as `delta`
#'     tends to 0, it starts at the minimum below the interior optimum. By penalised least squares the grid is coarse. With several random
#'     effects, or a precision matrix: the shares `h2.<name>`, the total variance `sigma2` and the log-likelihood at the grid points}
#'   \item{optimum}{list `log_delta`, `slope`, `curvature`, `reason` (why the search stopped), `boundary` (`"none"`, `"h2 = 0"`, `"h2 = 1"`;
#'     with several random effects `"variance 0: "` and the names of those, which are also in `zero`), `local` (data frame of all local optima,
#'     best first), `dropped` (number of directions of X that ML leaves out because it has no optimum with them), `status`, `route`
#'     (`"rotated"`, or `"sparse"` for penalised least squares; both give the same fit) and, for correlated terms, `singular`, the groups whose
#'     covariance matrix is singular}
#'   \item{residual}{for fits with `residual`: list of `variance`, `ratio`, `se`, `h2` by level (`h2` a matrix, levels x effects, where there
#'     are several effects; none for correlated terms), `level` of each row, `prior` weights (the `weights` of the fit are these divided by the
#'     ratios), `log_ratio_vcov`}
#'   \item{relative}{for fits with correlated terms: T, lower triangular, such that `sigma2_e T T'` is the covariance of all effects of an id,
#'     up to K; [VarCorr()] gives it by group}
#'   \item{random}{list with an entry for each random effect, named `id`; `id.1` for a second effect of the same ids; `id.A` for part A of a
#'     [kernel_mix()]. Each is a list of `name`, `part` of the mix, `ids` of K, `index` of the ids with data, `group` of each row, multiplier
#'     `z` of each row, `kernel`, and `alpha`, m numbers such that the predicted effects are `K[, index] alpha`}
#'   \item{call, formula, terms, frame, xlevels, contrasts, y, offset, weights, na.action, control, method, nobs, rank, df}{what was fitted}
#'   \item{status}{`"ok"`, or what is special about the likelihood: `"perfect_fit"`, `"explained_by_kernel"`, `"confounded"`, `"one_contrast"`,
#'     `"ml_border"` (an ML likelihood without bound, because the kernel is zero along a direction that lies only partly in X: the interior
#'     optimum is reported, with a warning). With a centred kernel, zero along a direction of X itself, it is `"ok"`, see `method`}
#' }
#'
#' @section Errors, warnings and messages:
#' Each has a class, `fastlmm_error_<what>` under `fastlmm_error`, and likewise for warnings and messages.
#' * Errors about K: `kernel_class`, `kernel_shape`, `kernel_names`, `kernel_ids`, `kernel_nonfinite`, `kernel_asymmetric`,
#'   `kernel_not_positive`, `kernel_zero`, `ids_missing`, `unused_kernel`. An error about one of several kernels names it.
#' * About the formula: `formula`, `correlated_terms`, `one_slope`, `nested`, `same_term`, `gp`, `no_random`.
#' * About the data: `missing_variable`, `response_type`, `no_responses`, `nonfinite`, `constant_response`, `weights`, `offset`,
#'   `single_level`, `no_rows`, `one_group`, `memory`.
#' * About the model: `too_few_rows`; `not_identifiable`, where K is proportional to the identity once X is projected out and ids have one row
#'   each; with several random effects `alike`, where some of the variances, the residual's included, cannot be distinguished, `explained`,
#'   where the response is explained exactly, and `scale`, for a variance too small or too large for a double, or lost in rounding.
#'
#' An effect that is confounded with X, such as `(1 | g)` beside a fixed effect `g`, gives the warning `confounded`: the fit is the one without
#' it. Where there are other random effects it is dropped from the fit; an only effect is kept, with `h2` missing.
#'
#' A fit on a boundary is valid and gives the message `boundary`. At `h2 = 0` K explains nothing and the estimates are those of `lm()`; at
#' `h2 = 1` the residual variance is zero. With several random effects any of them may have variance zero; the estimates are then those of the
#' model without it.
#'
#' Above 5000 ids a message announces the decomposition. The interrupt key and [setTimeLimit()] work at all times; during a search they take
#' effect after the current step.
#' @references
#' Lippert, C., Listgarten, J., Liu, Y., Kadie, C. M., Davidson, R. I. and Heckerman, D. (2011) FaST linear mixed models for genome-wide
#' association studies. Nature Methods 8, 833-835.
#'
#' Harville, D. A. (1977) Maximum likelihood approaches to variance component estimation and to related problems. JASA 72, 320-338.
#' @seealso [summary.fastlmm()], [predict.fastlmm()], [confint.fastlmm()], [fastlmm_control()]
#' @examples
#' # independent subjects: the identity kernel, as lme4
#' fastlmm_fit(distance ~ age + (1 | Subject), nlme::Orthodont)
#'
#' # related ids: 40 individuals, 30 of them measured twice
#' set.seed(1)
#' ids <- paste0("i", 1:40)
#' markers <- matrix(rnorm(40 * 100), 40, dimnames = list(ids, NULL))
#' K <- tcrossprod(markers) / 100
#' data <- data.frame(id = rep(ids[1:30], 2), x = rnorm(60))
#' data$y <- data$x + drop(markers %*% rnorm(100, sd = 0.1))[data$id] + rnorm(60)
#' fit <- fastlmm_fit(y ~ x + (1 | id), data, K = K)
#' fit$h2
#' predict(fit, data.frame(x = 0, id = "i35"), se.fit = TRUE)
#' @export
fastlmm_fit <- function(formula, data = NULL, K = NULL, method = c("REML", "ML"), weights = NULL, offset = NULL, subset = NULL,
                        na.action = getOption("na.action"), contrasts = NULL, sigma2_e = NULL, residual = NULL, control = fastlmm_control(), relmat = NULL,
                        ...) {
  check_arguments(...)
  call <- match.call()
  method <- one_of(method, c("REML", "ML"))
  control <- check_control(control)
  sigma2_e <- known_residual(sigma2_e)
  by <- residual_term(residual)
  if (inherits(formula, "fastlmm_gp_table")) return(fit_gp_table(formula, method, control, call))
  data <- as_data_frame(data)
  parts <- split_formula(formula, data, parent.frame())
  extras <- Filter(Negate(is.null), list(weights = substitute(weights), offset = substitute(offset), subset = substitute(subset)))
  call[names(extras)] <- extras
  na.action <- as_na_action(na.action)
  design <- mold_design(parts, data, c(extras, if (!is.null(by)) list(residual = by)), na.action, contrasts)
  refuse_levels(by, sigma2_e, !is.null(parts$gp), design$y)
  if (!is.null(response_blocks(design$frame[[1]]))) abort_fastlmm(
    "response_type", paste(quoted(names(design$frame)[1]), "are responses for slamglmm_fit(), not for fastlmm_fit()")
  )
  if (control$verbose) inform_dropped_rows(length(design$na.action), nrow(design$frame) + length(design$na.action))
  if (!is.null(sigma2_e) && (!is.null(parts$gp) || is.matrix(design$y))) abort_known("is offered for one response without gp()")
  if (!is.null(parts$gp)) refuse_correlated(design$random, "gp() cannot be combined with")
  if (!is.null(parts$gp)) return(fit_gp(parts, design, one_kernel(K, relmat), method, control, call, na.action))
  if (is.matrix(design$y)) refuse_correlated(design$random, "fits of many responses do not support")
  one <- !is.matrix(design$y)
  random <- mold_random(one_kernel(K, relmat), parts, design, control, whole = one, definite = !one || !is.null(sigma2_e) || !is.null(by))
  model <- new_model(parts, design, random, method, control, call)
  model$given <- sigma2_e
  model$residual <- residual_levels(by, design$frame)
  if (is.matrix(model$y)) fit_many(model, na.action) else report(estimate(model))
}

# `spectrum`: are the eigenvalues of a single effect asked for, whatever they take?
estimate <- function(model, spectrum = FALSE) {
  if (!is.null(model$residual)) return(estimate_levels(model))
  random <- model$random[[1]]
  if (length(model$random) > 1 || !is.null(model$given) || is_precision(random$kernel)) return(without_confounded(model))
  coordinates <- eigen_coordinates(random, model)
  many <- coordinates > MANY_COORDINATES && length(model$y) > length(random$index) + ncol(model$X)
  if (!spectrum && is.null(random$kernel) && many) return(estimate_penalised(model))
  announce_decomposition(coordinates)
  inform_decomposed_anew(model)
  if (isTRUE(random$unchecked)) return(estimate_unchecked(model))
  estimate_one(model, call_rust(ffi_fit, rust_model(model)))
}

# Where this says that there is nothing to estimate, the eigenvalues say what the fit is
estimate_penalised <- function(model) {
  tryCatch(as_of_one(new_fastlmm(model, estimate_terms(model))), fastlmm_error = function(e) estimate(model, spectrum = TRUE))
}

# In the words of fits of one effect
as_of_one <- function(fit) {
  fit[c("h2", "delta", "sigma2")] <- lapply(fit[c("h2", "delta", "sigma2")], unname)
  zero <- fit$optimum$zero
  fit$optimum$zero <- NULL
  fit$profile <- one_effect_points(fit$profile)
  fit$optimum$local <- one_effect_points(fit$optimum$local)
  if (length(zero) > 0) fit$optimum$boundary <- if ("residual" %in% zero) "h2 = 1" else "h2 = 0"
  fit$se <- lapply(fit$se[names(fit$se) != "correlation"], unname)
  fit$se$log_delta <- if (length(zero) > 0) NA_real_ else fit$se$h2 / (fit$h2 * (1 - fit$h2))
  if (length(zero) > 0) fit$se$sigma2_e <- NA_real_
  fit
}

# Points of share and total variance
one_effect_points <- function(points) {
  h2 <- points[[1]]
  data.frame(delta = (1 - h2) / h2, h2 = h2, sigma2 = h2 * points$sigma2, logLik = points$logLik)
}

# The fit by the eigenvalues, for what is made of them
with_spectrum <- function(fit) {
  if (!is_sparse_fit(fit) || !is_of_levels(fit)) return(fit)
  model <- stored_model(fit)
  announce_decomposition(eigen_coordinates(model$random[[1]], model))
  quiet_fit(estimate(model, spectrum = TRUE))
}

estimate_one <- function(model, found) {
  found$alpha <- list(found$alpha)
  new_fastlmm(model, found)
}

# The decomposition of a fit tells of most kernels that they are positive semidefinite. Of others, and where the fit fails, that is found out
# before anything else is said.
estimate_unchecked <- function(model) {
  random <- model$random[[1]]
  model$random[[1]]$unchecked <- NULL
  found <- tryCatch(call_rust(ffi_fit, rust_model(model)), fastlmm_error = identity)
  if (!inherits(found, "fastlmm_error") && found$definite) return(estimate_one(model, found))
  facts <- check_kernel(random$kernel, random$ids, model$control)
  if (is.null(facts$changed)) if (inherits(found, "fastlmm_error")) stop(found) else return(estimate_one(model, found))
  model$random[[1]][c("kernel", "mean_diag", "changed")] <- list(facts$kernel, facts$mean_diag, max(random$changed, facts$changed))
  estimate(model)
}

# An effect of which X leaves nothing is left out with a warning, as the only one is.
without_confounded <- function(model) {
  tryCatch(new_fastlmm(model, estimate_mix(model)), fastlmm_error_confounded = function(e) {
    if (length(model$random) == 1) stop(e)
    label <- named_effect(e, names(model$random))
    warn_confounded(label)
    model$random <- model$random[names(model$random) != label]
    estimate(model)
  })
}

named_effect <- function(error, labels) labels[vapply(quoted(labels), grepl, NA, x = conditionMessage(error), fixed = TRUE)][1]

warn_confounded <- function(label) {
  warn_fastlmm("confounded", paste0(
    "the kernel of ", quoted(label),
    " is confounded with the fixed effects: nothing of it is left once X is projected out, its variance is unknown and the fit is ",
    "that without it; leave the random effect out, or give a kernel that differs between ids"
  ), effect = label)
}

asks_delta <- function(parm) is.character(parm) && "delta" %in% parm

# Rows and columns of the matrix whose eigenvalues a fit of one effect needs. Levels without a kernel that have the same sum of weights share their
# eigenvalue: they are as many as X and the response touch.
eigen_coordinates <- function(random, model) {
  if (is_lowrank(random$kernel)) return(0)
  if (!is.null(random$kernel)) return(length(random$index))
  weights <- if (is.null(model$weights)) 1 else model$weights
  sums <- rowsum(rep_len(weights * random$z^2, length(random$group)), random$group)
  sum(pmin(tabulate(match(sums, unique(sums))), ncol(model$X) + 2))
}

# Beyond it a single effect without a kernel is fitted as correlated terms are, by penalised least squares. Where there are hardly more rows than levels,
# the eigenvalues say more.
MANY_COORDINATES <- 2000

announce_decomposition <- function(m) {
  if (m > 5000) inform_fastlmm("decomposition", sprintf("decomposing a %d x %d matrix", m, m), size = m)
}

# ---- what the user has to know ------------------------------------------------------------------------

report <- function(fit) {
  aliased <- is.na(fit$coefficients)
  if (any(aliased)) inform_aliased(names(which(aliased)), length(aliased))
  if (fit$status != "ok") warn_status(fit$status, names(fit$random))
  if (fit$optimum$dropped > 0) inform_ml_null(fit$optimum$dropped)
  if (fit$status == "ok" && fit$optimum$boundary != "none") inform_boundary(fit$optimum)
  if (fit$status == "ok" && fit$optimum$boundary == "none") inform_kernel_unit(fit$h2, fit$random)
  fit
}

inform_boundary <- function(optimum) {
  boundary <- optimum$boundary
  meaning <- if (!is.null(optimum$zero)) zero_meaning(optimum) else switch(boundary,
    `h2 = 0` = "the kernel explains no variance. The fit is valid: coefficients and residual variance are those of lm(), random effects are 0",
    `h2 = 1` = "the kernel explains all variance that X leaves, the residual variance is 0. The fit is valid"
  )
  inform_fastlmm("boundary", paste0("boundary fit, ", boundary, ": ", meaning), boundary = boundary)
}

# Which of several variances are zero, and what the fit is then
zero_meaning <- function(optimum) {
  zero <- optimum$zero
  effects <- setdiff(zero, "residual")
  several <- length(effects) > 1
  without <- if (length(effects) == length(optimum$log_delta)) "of lm()" else paste("of the model without", if (several) "them" else "it")
  paste0(c(
    if (length(effects) > 0) {
      paste0(
        "nothing is left for the ", if (several) "effects " else "effect ", first_names(effects), " to explain. The fit is valid: the estimates are those ",
        without, ", ", if (several) "their" else "its", " random effects are 0"
      )
    },
    if (length(optimum$singular) > 0) singular_meaning(optimum$singular),
    if ("residual" %in% zero) paste0(
      "the random effects explain all variance that X leaves, the residual variance is 0", if (length(effects) == 0) ". The fit is valid"
    )
  ), collapse = "; ")
}

inform_ml_null <- function(n) {
  inform_fastlmm(
    "ml_null",
    paste0(
      "the kernel is zero along ", counted(n, "direction"), " of X (as a centred kernel and an intercept): the likelihood grows without bound as delta ",
      "tends to 0 and has no interior optimum; ML leaves that direction out. REML is bounded"
    ),
    n = n
  )
}

warn_status <- function(status, name) {
  warn_fastlmm(status, switch(status,
    perfect_fit = "perfect fit: X explains the response exactly, no variance is left and h2 is NA; is a column of X computed from the response?",
    explained_by_kernel = paste0(
      "the random effect of ", quoted(name), " explains the response exactly: the likelihood is unbounded at h2 = 1, and the fit is its limit; ",
      "is the response constant within each id?"
    ),
    confounded = paste0(
      "the kernel of ", quoted(name), " is confounded with the fixed effects: nothing of it is left once X is projected out, h2 is NA and the fit is ",
      "that of lm(); leave the random effect out, or give a kernel that differs between ids"
    ),
    one_contrast = "one degree of freedom is left for two variances: h2 is NA and the fit is that of lm(); leave terms out of the formula",
    ml_border = "the likelihood is unbounded as delta tends to 0; the fit is the best interior optimum. Use method = \"REML\", which is bounded"
  ))
}
