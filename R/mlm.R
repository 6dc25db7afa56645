#' Fits of many responses
#'
#' With `cbind(a, b) ~ ...` or a matrix as response, [fastlmm_fit()] fits every column separately: the same model, K and rows, with variances
#' of its own. The kernel is decomposed once for each pattern of missing cells; all responses with that pattern are rotated and optimised
#' together, each to the same accuracy as in a single fit. Covariances between responses are neither assumed nor estimated.
#'
#' A missing cell leaves out its row for that response only. Rows with missing covariates or ids, or without any response, are left out for all
#' responses, as `na.action` says. X is built once, from all rows: where the rows of a response lack a level of a factor, the coefficient of
#' that column is `NA`, as for any aliased column.
#'
#' A response that cannot be fitted is marked by its `status` and does not affect the others: its estimates are `NA`. `status` is that of a
#' single fit (`"ok"`, `"perfect_fit"`, `"explained_by_kernel"`, `"confounded"`, `"one_contrast"`, `"ml_border"`), or the class of the error
#' that the single fit would give: `"no_rows"` (all cells missing), `"constant_response"`, `"nonfinite"` (infinite cells), `"too_few_rows"`,
#' `"one_group"`, `"not_identifiable"`, `"not_positive"`, `"ml_unbounded"`, `"scale"`, `"no_convergence"`. Conditions that concern many
#' responses are reported once, with counts: warning `fastlmm_warning_responses`, messages `fastlmm_message_boundary`,
#' `fastlmm_message_aliased` and `fastlmm_message_ml_null`.
#'
#' Columns without a name are called `Y1`, `Y2`, ... by position; duplicated names are made unique, with the message `response_names`.
#'
#' With several random effects the columns are fitted one by one.
#'
#' @return `fastlmm_fit()` of q responses, p columns of X, n rows and m ids with data gives a list of class `fastlmm_mlm` with
#' \describe{
#'   \item{coefficients}{p x q, `NA` for aliased columns}
#'   \item{vcov}{their covariances, p x p x q}
#'   \item{sigma2, sigma2_e, delta, h2, logLik}{vectors named by response; with several random effects `sigma2`, `delta` and `h2` are matrices
#'     with a row for each effect}
#'   \item{se}{list of standard errors of `sigma2`, `sigma2_e`, `delta`, `h2` and, with one random effect, `log_delta`, of the same shapes}
#'   \item{status, reason, boundary}{character vectors: the status, see above; the message of the error, or an empty string; `"none"`,
#'     `"h2 = 0"` or `"h2 = 1"`}
#'   \item{nobs, rank, df, optima, dropped}{integer vectors: numbers of rows, rank of X, numbers of parameters, of local optima, and of
#'     directions of X that ML leaves out}
#'   \item{random}{as in a single fit, with `alpha` an m x q matrix; `NULL` with `fastlmm_control(effects = FALSE)`. It takes as much memory as
#'     the predicted effects (8 m q bytes: 80 MB for 20,000 responses of 500 ids); `ranef()`, `fitted()`, `residuals()` and `predict()` need
#'     it}
#'   \item{call, formula, terms, frame, xlevels, contrasts, y, offset, weights, na.action, control, method, kept}{what was fitted; `y` is n x
#'     q}
#' }
#' Likelihood profiles are not kept: [extract_fit()] gives one response as an ordinary, complete fit.
#' @seealso [extract_fit()], [summary.fastlmm_mlm()], [predict.fastlmm_mlm()]
#' @examples
#' # six traits of 40 related individuals, some cells missing
#' set.seed(1)
#' ids <- paste0("i", 1:40)
#' markers <- matrix(rnorm(40 * 100), 40, dimnames = list(ids, NULL))
#' K <- tcrossprod(markers) / 100
#' data <- data.frame(id = ids, x = rnorm(40))
#' data$Y <- 0.1 * markers %*% matrix(rnorm(600), 100) + rnorm(240)
#' colnames(data$Y) <- paste0("trait", 1:6)
#' data$Y[3:5, 2] <- NA
#' fit <- fastlmm_fit(Y ~ x + (1 | id), data, K = K)
#' fit
#' coef(fit)
#' as.data.frame(fit)
#' extract_fit(fit, "trait2")
#' @name fastlmm_mlm
NULL

is_many <- function(y) is.matrix(y) && ncol(y) > 1

# ---- the responses ------------------------------------------------------------------------------------

mold_responses <- function(frame) {
  Y <- frame[[1]]
  names <- response_names(colnames(Y), ncol(Y))
  if (is.object(Y)) Y <- unclass(Y)
  if (typeof(Y) != "double") storage.mode(Y) <- "double"
  dimnames(Y) <- list(rownames(frame), names)
  Y
}

response_names <- function(names, q) {
  if (is.null(names)) return(paste0("Y", seq_len(q)))
  empty <- is.na(names) | names == ""
  names[empty] <- paste0("Y", seq_len(q))[empty]
  if (anyDuplicated(names) == 0) return(names)
  twice <- unique(names[duplicated(names)])
  inform_fastlmm("response_names", paste0("responses have the same name: ", first_names(twice), "; they are made unique by a suffix"), names = twice)
  make.unique(names)
}

# What all responses share decides about rows, and whether there is any response; single missing cells are settled one by one.
drop_incomplete_many <- function(whole, na.action) {
  Y <- whole[[1]]
  whole[[1]] <- replace(seq_len(nrow(whole)), rowSums(is.na(Y)) == ncol(Y), NA)
  frame <- na.action(whole)
  frame[[1]] <- if (nrow(frame) == nrow(whole)) Y else Y[match(rownames(frame), rownames(whole)), , drop = FALSE]
  frame
}

# ---- estimation ---------------------------------------------------------------------------------------

fit_many <- function(model, na.action = stats::na.omit) {
  model$na_class <- if (identical(na.action, stats::na.exclude)) "exclude" else "omit"
  report_many(estimate_many(model))
}

estimate_many <- function(model) {
  new_fastlmm_mlm(model, if (length(model$random) > 1) estimate_columns(model) else estimate_together(model))
}

estimate_together <- function(model) {
  random <- model$random[[1]]
  announce_decomposition(eigen_coordinates(random, model))
  found <- call_rust(ffi_fit_many, rust_model(model, y = minus_offset(model$y, model$offset)), model$control$effects)
  found$alpha <- list(if (model$control$effects) all_alpha(found$alpha, random, ncol(model$y)))
  without_beyond(found, colnames(model$X))
}

# Where no response has a fit, all coefficients of the random effect are missing.
all_alpha <- function(alpha, random, q) {
  if (length(alpha) > 0) return(alpha)
  matrix(NA_real_, if (is_lowrank(random$kernel)) ncol(random$kernel$W) else length(random$index), q)
}

minus_offset <- function(Y, offset) if (any(offset != 0)) Y - offset else Y

# Any model, a response at a time
estimate_columns <- function(model) {
  one <- function(j) tryCatch(estimate_whole(check_column_model(column_model(model, j))), fastlmm_error = identity)
  fits <- lapply(seq_len(ncol(model$y)), one)
  fitted <- vapply(fits, inherits, NA, "fastlmm")
  value <- function(pick, missing) vapply(fits, function(fit) if (inherits(fit, "fastlmm")) pick(fit) else missing, missing)
  p <- ncol(model$X)
  several <- rep(NA_real_, length(model$random))
  number <- function(name) value(function(fit) unname(fit[[name]]), if (name %in% c("sigma2", "delta", "h2")) several else NA_real_)
  error <- function(name) value(function(fit) unname(fit$se[[name]]), if (name == "sigma2_e") NA_real_ else several)
  components <- c("sigma2", "sigma2_e", "delta", "h2")
  c(
    list(
      coefficients = value(function(fit) fit$coefficients, rep(NA_real_, p)), vcov = value(function(fit) as.numeric(vcov(fit)), rep(NA_real_, p * p)),
      rank = value(function(fit) fit$rank, NA_integer_), se = sapply(components, error, simplify = FALSE),
      status = ifelse(fitted, value(function(fit) fit$status, ""), vapply(fits, error_class, "")),
      reason = ifelse(fitted, "", vapply(fits, function(fit) if (inherits(fit, "condition")) conditionMessage(fit) else "", "")),
      boundary = value(function(fit) fit$optimum$boundary, "none"), optima = value(function(fit) nrow(fit$optimum$local), NA_integer_),
      dropped = value(function(fit) as.integer(fit$optimum$dropped), NA_integer_), nobs = as.integer(colSums(!is.na(model$y))),
      alpha = if (model$control$effects) lapply(names(model$random), column_alpha, fits = fits, model = model)
    ),
    sapply(c(components, "logLik"), number, simplify = FALSE)
  )
}

# With all of its effects: a response that lacks one is told by its status.
estimate_whole <- function(model) new_fastlmm(model, estimate_mix(model))

error_class <- function(fit) if (inherits(fit, "condition")) sub("fastlmm_error_", "", class(fit)[1], fixed = TRUE) else ""

# The coefficients of one random effect in all fits, at the ids of the whole model
column_alpha <- function(label, fits, model) {
  random <- model$random[[label]]
  observed <- random$ids[random$index]
  one <- function(fit) {
    if (!inherits(fit, "fastlmm")) return(rep(NA_real_, length(observed)))
    own <- fit$random[[label]]
    alpha <- own$alpha[match(observed, own$ids[own$index])]
    replace(alpha, is.na(alpha), 0)
  }
  if (!is_lowrank(random$kernel)) return(vapply(fits, one, numeric(length(observed))))
  vapply(fits, function(fit) if (inherits(fit, "fastlmm")) fit$random[[label]]$alpha else rep(NA_real_, ncol(random$kernel$W)), numeric(ncol(random$kernel$W)))
}

new_fastlmm_mlm <- function(model, found) {
  responses <- colnames(model$y)
  p <- ncol(model$X)
  coefficients <- matrix(found$coefficients, p, length(responses), dimnames = list(colnames(model$X), responses))
  named <- function(x) if (is.matrix(x)) structure(x, dimnames = list(names(model$random), responses)) else structure(x, names = responses)
  vectors <- c("sigma2", "sigma2_e", "delta", "h2", "logLik", "status", "reason", "boundary", "nobs", "rank", "optima", "dropped")
  structure(
    c(
      model[c("call", "formula", "terms", "frame", "xlevels", "contrasts", "method")],
      list(coefficients = coefficients, vcov = array(found$vcov, c(p, p, length(responses)), list(colnames(model$X), colnames(model$X), responses))),
      lapply(found[vectors], named),
      list(
        null_space = null_spaces(model$X, coefficients, !is.na(model$y), !is.na(found$logLik)),
        se = lapply(found$se, named), df = named(found$rank + length(model$random) + 1L), kept = colnames(model$X)[rowSums(!is.na(coefficients)) > 0],
        random = if (is.null(found$alpha)) model$random else with_alpha(model$random, found$alpha)
      ),
      model[c("y", "offset", "weights", "na.action", "na_class", "rows", "control")]
    ),
    class = "fastlmm_mlm"
  )
}

# ---- what the user has to know ------------------------------------------------------------------------

report_many <- function(fit) {
  fitted <- !is.na(fit$logLik)
  aliased <- rowSums(is.na(fit$coefficients[, fitted, drop = FALSE]))
  if (any(aliased > 0)) inform_aliased_many(aliased[aliased > 0], sum(fitted), length(aliased))
  special <- fit$status[fit$status != "ok"]
  if (length(special) > 0) warn_responses(special, length(fit$status))
  if (any(fit$dropped > 0, na.rm = TRUE)) inform_ml_null(max(fit$dropped, na.rm = TRUE))
  inside <- fit$status == "ok" & fit$boundary == "none"
  inform_kernel_unit(fit$h2[rep(inside, each = length(fit$h2) / length(inside))], fit$random)
  boundary <- fit$boundary[fit$status == "ok" & fit$boundary != "none"]
  if (length(boundary) > 0) inform_boundary_many(boundary, length(fit$status))
  fit
}

# 'constant_response: 2 ("a", "b")'
tally <- function(x) {
  by <- split(names(x), factor(x, levels = unique(x)))
  paste(sprintf("%s: %s (%s)", names(by), format(lengths(by), big.mark = ",", trim = TRUE), vapply(by, first_names, "")), collapse = "; ")
}

warn_responses <- function(status, q) {
  warn_fastlmm(
    "responses",
    paste0(
      length(status), " of ", counted(q, "response"), " could not be fitted, or has a likelihood without an ordinary optimum; see the status of each. ",
      tally(status)
    ),
    status = status
  )
}

inform_boundary_many <- function(boundary, q) {
  inform_fastlmm(
    "boundary",
    paste0("boundary fits, which are valid, of ", format(length(boundary), big.mark = ","), " of ", counted(q, "response"), ". ", tally(boundary)),
    boundary = boundary
  )
}

inform_aliased_many <- function(count, fitted, columns) {
  some <- sprintf("%s%s", quoted(names(count)), ifelse(count < fitted, sprintf(" (in %d responses)", count), ""))
  inform_fastlmm(
    "aliased",
    paste0(
      "fixed effects are rank deficient: ", length(count), " of ", counted(columns, "column"), " depend on the others and have coefficient NA: ",
      toString(utils::head(some, 5)), if (length(some) > 5) ", ..."
    ),
    columns = names(count)
  )
}
