#' Fit a linear mixed model with a known kernel
#'
#' Fits `y ~ N(X beta + offset, sigma2 (Z K Z' + delta W^-1))` for a known covariance K between ids, by restricted or plain maximum likelihood.
#' X is projected out, the kernel is decomposed once, and the likelihood of the one parameter `delta` that is left is searched over its
#' whole range, both ends included. With several random effects, `y ~ N(X beta + offset, sum_k sigma2_k Z_k K_k Z_k' + sigma2_e W^-1)`, all variances are
#' searched, zeros included, from each valley of a grid over their shares.
#'
#' Terms of one grouping factor behind a single bar, `(1 + x | id)`, are correlated: `Cov(b) = S (x) K` with any T x T covariance S, as in `lme4` where K is the identity. Such models, and several random effects without a kernel
#' and with many levels, are fitted by penalised least squares. K must then be regular for the ids with data; there have to be more rows than effects where there is no K. Shares of variances are not given as `h2` in tables, since a variance of slopes depends on the unit of its variable.
#'
#' @param formula a table by [gp_accumulate()], or a formula: response, or a matrix of many (see [fastlmm_mlm]); fixed effects and random terms: `(1 | id)`, an effect for each id; `(0 + x | id)`, a slope
#'   for each id; `(1 + x || id)`, both, independent; `(1 + x | id)`, correlated, and `(0 + f | id)`, of a factor, a term for each of its levels with any covariance between them (unstructured); `(1 | a) + (1 | b)`, crossed; `(1 | a / b)`, nested; `gp(lon, lat)`, a Gaussian process over columns of data (see [gp()]). The ids may be `a:b` of two variables.
#'   Fixed effects as for [lm()]: `poly()`, `splines::ns()`, `offset()`, interactions, and `.` for the columns of
#'   data but the response and the grouping variables. Without a random term K is a kernel over the rows of `data`.
#' @param data data frame (or tibble, matrix with column names, list, environment) with a row for each observation; any number of rows for each
#'   id, in any order. Variables that it lacks are looked up in the formula's environment.
#' @param K covariance between ids up to the factor `sigma2`, m x m, of any positive unit, with dimnames (one of row and column names is enough): a
#'   matrix, a `Matrix` (dense, sparse, symmetric, diagonal) or a data frame of numbers; or a list of one of those, named by the grouping variable,
#'   `K = list(id = K)`; relationships by [kernel_markers()]; a factor of K by [kernel_lowrank()]; a pedigree, a tree or another sparse inverse by [kernel_pedigree()], [kernel_tree()], [kernel_precision()]; several of the same ids by [kernel_mix()]; or that of an interaction by [kernel_product()]. With several grouping factors the list
#'   names those that have a kernel, and the others get the identity. Ids are matched by name, as character, never by position; 100000 matches `"1e+05"` too. K may have ids that data
#'   lacks, which can be predicted; not the other way round. It must be finite, symmetric to `1e-6` of its largest value (beyond rounding the mean of both halves is
#'   used, with a message), and positive semidefinite: negative eigenvalues down to `control$tolerance` of the largest are set to zero. It may be singular. A sparse `Matrix` of more than 10,000 ids in blocks, as of families, goes by the inverses of these, if they have one. `NULL`: the identity, and the fit equals `lme4::lmer()`.
#'   Ids that are numbers are exact up to 2^53 and refused beyond. For a formula without a random term, names of K are row names of `data`; only there K may do without, with a row for each row of data.
#'   Automatic row names (of a tibble; `.row_names_info(data) <= 0`) are no names, and names 1 to n of K, as `as.matrix(dist(x))` has them, only count its rows: they are row names of `data` where base R's
#'   subsetting has kept numbers, else K must have a row for each row of data. Where names could mean two things an error of class `row_names` asks.
#' @param method `"REML"` or `"ML"`. ML is the density of the response. With a kernel that is zero along a direction of X (a centred kernel and an intercept) that density grows without bound as `delta` tends to 0:
#'   its best optimum inside is taken, as other programs do. Where there is none, that direction is left out, with the message `ml_null`; with several random effects, or with weights by which the direction
#'   lies only partly in X, it is an error of class `ml_unbounded`: REML has a bound.
#' @param weights prior weights, one for each row, not negative: the residual variance of a row is `sigma2 delta / weight`. Rows of weight 0
#'   are left out, those without a weight as `na.action` asks. Evaluated in `data`, as are `offset` and `subset`.
#' @param offset known part of the mean, in the unit of the response; added to `offset()` terms of the formula.
#' @param subset rows to use.
#' @param na.action what to do about missing values; [na.omit()], [na.exclude()] (fitted values and residuals are padded with `NA`), [na.fail()]. The default is
#'   `options(na.action =)`, as in `lm()`: [na.omit()] where nobody has set it.
#' @param contrasts list of contrasts, as for [model.matrix()].
#' @param sigma2_e residual variance of a row of weight 1 where it is known: `sigma2_e = 1` with `weights = 1 / vi` for sampling variances `vi`, as in a meta-analysis. It is held, and is no parameter of the fit (`df`); `h2`, prediction intervals and simulated rows of new data are those of a row of weight 1. Such fits go by penalised least squares, for which a kernel must be regular for the ids with data (error `singular_kernel`). Not offered with [gp()] or many responses. `NULL`: estimated.
#' @param residual a residual variance for each level of a factor: `~ site`, a variable of `data`, or `~ site:year` of two. `sigma2_e` is then that of the first level, and `fit$residual` has `variance`, their `ratio` to the first and
#'   `se`, by levels. Random effects may be any that are offered without it; not beside [gp()], `sigma2_e`, or several responses. Standard errors of all variances allow for all of them; profiles are refused, see [confint.fastlmm()] for what there is.
#' @param control settings by [fastlmm_control()].
#' @param relmat synonym of `K`.
#' @param ... not used; an unknown argument is an error.
#'
#' @return
#' A list of class `fastlmm`, of plain values only. With n rows, p columns of X of rank r, m ids with data:
#' \describe{
#'   \item{coefficients}{p fixed effects, named; `NA` for columns that depend on others (tolerance 1e-7, as `lm()`)}
#'   \item{vcov}{their covariance, r x r, aliased ones left out}
#'   \item{null_space}{a basis N of the combinations of coefficients that change no fitted value, p x (p - r); `NULL` for X of full rank. A mean `x'beta` is determined
#'     by the data where `x'N = 0`, see [predict.fastlmm()]}
#'   \item{sigma2}{variance explained by K, in units of the response squared over those of K; one for each random effect, named}
#'   \item{sigma2_e, delta, h2}{residual variance; `sigma2_e / sigma2`; `sigma2 / (sigma2 + sigma2_e)`. Of several random effects `delta` and `h2` have one
#'     value each, `sigma2_e / sigma2_k` and the share `sigma2_k / (sum(sigma2) + sigma2_e)`}
#'   \item{se}{list of standard errors of `sigma2`, `sigma2_e`, `delta`, `h2`, `log_delta`, from the observed information; `NA` at a boundary}
#'   \item{logLik}{log-likelihood with all constants, equal to `lme4`'s and `nlme`'s for REML too; packages that subtract `log|X'X|` differ by half of it}
#'   \item{profile}{data frame `delta`, `h2`, `sigma2`, `logLik`: the log-likelihood along `delta`, from the ridge before the optimum on where ML has no bound as `delta` tends to 0. Of several random effects: their shares `h2.<name>`, the
#'     total variance `sigma2` and the log-likelihood at the points of the grid}
#'   \item{optimum}{list `log_delta`, `slope`, `curvature`, `reason` (why the search stopped), `boundary` (`"none"`, `"h2 = 0"`, `"h2 = 1"`; of several random
#'     effects `"variance 0: "` and which, which are in `zero` too),
#'     `local` (data frame of all local optima, best first), `dropped` (directions of X that ML leaves out, where it has no optimum with them), `status`, `route`
#'     (`"rotated"`; `"sparse"`: correlated terms, and several random effects without a kernel and with many levels, by penalised least squares; both give the same fit), of correlated terms `singular`, the groups whose covariance is}
#'   \item{residual}{of fits with `residual`: list of `variance`, `ratio`, `se` by levels, `level` of each row, `prior` weights (`weights` of the fit are these over the ratios), `log_ratio_vcov`}
#'   \item{relative}{of fits with correlated terms: T, lower triangular, with `sigma2_e T T'` the covariance of all effects of an id over that of the ids; [VarCorr()] has it by groups}
#'   \item{random}{list with an entry for each random effect, named `id`; `id.1` for a second effect of the same ids; and `id.A` for the part A of a
#'     [kernel_mix()]. Each is a list of `name`, `part` in a mix, `ids` of K, `index` of the observed ones in it, `group` of each row, multiplier `z`, `kernel`, and
#'     `alpha`, m numbers with which the predicted effects are `K[, index] alpha`}
#'   \item{call, formula, terms, frame, xlevels, contrasts, y, offset, weights, na.action, control, method, nobs, rank, df}{what was fitted}
#'   \item{status}{`"ok"`, or what is special about the likelihood: `"perfect_fit"`, `"explained_by_kernel"`, `"confounded"`, `"one_contrast"`, `"ml_border"`}
#' }
#'
#' @section Errors, warnings and messages:
#' Each has a class, `fastlmm_error_<what>` under `fastlmm_error`, and likewise for warnings and messages. Errors about K: `kernel_class`,
#' `kernel_shape`, `kernel_names`, `kernel_ids`, `kernel_nonfinite`, `kernel_asymmetric`, `kernel_not_positive`, `kernel_zero`, `ids_missing`,
#' `unused_kernel`. About the formula: `formula`, `correlated_terms`, `one_slope`, `nested`, `same_term`, `gp`, `no_random`. About data:
#' `missing_variable`, `response_type`, `no_responses`, `nonfinite`, `constant_response`, `weights`, `offset`, `single_level`, `no_rows`, `one_group`,
#' `memory`. About the model: `too_few_rows`, and `not_identifiable` where K is proportional to the identity once X is projected out and ids have one
#' row each; with several random effects `alike`, where the variances of some of them or of the residual cannot be told apart, `explained`, where the response is explained exactly, and `scale`, for a variance that is too small or too large for a double. An error
#' about one of several kernels says which.
#'
#' An effect of which X leaves nothing, as `(1 | g)` beside a fixed effect `g`, has the warning `confounded`: the fit is that without it. Of several effects
#' it is not among the random effects of the fit; the only one stays there, with `h2` missing.
#'
#' A fit on a boundary is valid and comes with the message `boundary`: at `h2 = 0` K explains nothing and the estimates are those of `lm()`; at `h2 = 1`
#' the residual variance is zero. Of several random effects any may have the variance zero: then the estimates are those of the model without it.
#'
#' Above 5000 ids a message tells of the decomposition beforehand. The interrupt key and [setTimeLimit()] work at all times; of a search they wait for the step at hand.
#' @references
#' Lippert, C. and others (2011) FaST linear mixed models for genome-wide association studies. Nature Methods 8, 833-835.
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
                        na.action = getOption("na.action"), contrasts = NULL, sigma2_e = NULL, residual = NULL, control = fastlmm_control(), relmat = NULL, ...) {
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
  if (!is.null(response_blocks(design$frame[[1]]))) abort_fastlmm("response_type", paste(quoted(names(design$frame)[1]), "are responses with data behind them, which slamglmm_fit() takes and fastlmm_fit() does not"))
  if (control$verbose) inform_dropped_rows(length(design$na.action), nrow(design$frame) + length(design$na.action))
  if (!is.null(sigma2_e) && (!is.null(parts$gp) || is.matrix(design$y))) abort_known("is offered for one response without gp()")
  if (!is.null(parts$gp)) refuse_correlated(design$random, "gp() does not stand beside")
  if (!is.null(parts$gp)) return(fit_gp(parts, design, one_kernel(K, relmat), method, control, call, na.action))
  if (is.matrix(design$y)) refuse_correlated(design$random, "fits of many responses do not offer")
  random <- mold_random(one_kernel(K, relmat), parts, design, control, whole = !is.matrix(design$y))
  model <- new_model(parts, design, random, method, control, call)
  model$given <- sigma2_e
  model$residual <- residual_levels(by, design$frame)
  if (is.matrix(model$y)) fit_many(model, na.action) else report(estimate(model))
}

estimate <- function(model) {
  if (!is.null(model$residual)) return(estimate_levels(model))
  random <- model$random[[1]]
  if (length(model$random) > 1 || !is.null(model$given) || is_precision(random$kernel)) return(without_confounded(model))
  if (!is_lowrank(random$kernel)) announce_decomposition(length(random$index))
  inform_decomposed_anew(model)
  found <- call_rust(ffi_fit, rust_model(model))
  found$alpha <- list(found$alpha)
  new_fastlmm(model, found)
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
    "the kernel of ", quoted(label), " is confounded with the fixed effects: once X is taken out nothing is left of it, its variance is unknown and the fit is ",
    "that without it; leave the random effect out, or give a kernel that differs between ids"
  ), effect = label)
}

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
    `h2 = 0` = "the kernel explains nothing of what X leaves. The fit is valid: coefficients and residual variance are those of lm(), random effects are 0",
    `h2 = 1` = "the kernel explains all that X leaves, the residual variance is 0. The fit is valid"
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
    if ("residual" %in% zero) paste0("the random effects explain all that X leaves, the residual variance is 0", if (length(effects) == 0) ". The fit is valid")
  ), collapse = "; ")
}

inform_ml_null <- function(n) {
  inform_fastlmm(
    "ml_null",
    paste0(
      "the kernel is zero along ", counted(n, "direction"), " of X (as a centred kernel and an intercept): the density of the response grows without bound as delta ",
      "tends to 0 and has no optimum inside; ML leaves that out. REML is not concerned"
    ),
    n = n
  )
}

warn_status <- function(status, name) {
  warn_fastlmm(status, switch(status,
    perfect_fit = "perfect fit: X explains the response exactly, no variance is left and h2 is NA; is a column of X made from the response?",
    explained_by_kernel = paste0(
      "the random effect of ", quoted(name), " explains the response exactly: the likelihood is unbounded at h2 = 1, and the fit is its limit; ",
      "is the response constant within each id?"
    ),
    confounded = paste0(
      "the kernel of ", quoted(name), " is confounded with the fixed effects: once X is taken out nothing is left of it, h2 is NA and the fit is ",
      "that of lm(); leave the random effect out, or give a kernel that differs between ids"
    ),
    one_contrast = "one degree of freedom is left for two variances: h2 is NA and the fit is that of lm(); leave terms out of the formula",
    ml_border = "the likelihood is unbounded as delta tends to 0; the fit is its best optimum inside. Use method = \"REML\", which is bounded"
  ))
}
