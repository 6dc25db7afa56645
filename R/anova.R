#' Compare fits, or test the terms of one fit
#'
#' With several fits, `anova()` gives likelihood-ratio tests; with one fit, tests of its fixed-effect terms. `drop1()`, `add1()` and
#' [stats::step()] work through `extractAIC()`.
#'
#' The hypotheses of types 1, 2 and 3 are those of `lmerTest` (and SAS), whatever the contrasts of the factors. Type 1 with `ddf` is sequential
#' for X alone, `lme4`'s without `ddf` for X weighted by the inverse covariance of the rows; the two agree for balanced data. A term contains
#' another if it has the same numeric variables and more factors. Type 3 needs data that determine all coefficients of terms with factors (no
#' empty cells); it is refused where some are aliased. See [contest()] for the tests, and for contrasts of your own.
#'
#' In a test of a variance the null hypothesis is on the boundary of the parameter space. The p-value of the likelihood-ratio test of a single
#' variance is then conservative, by up to a factor of two; [test_variance()] is exact.
#'
#' @param object,fit a fit by [fastlmm_fit()].
#' @param ... `anova()`: further fits to the same response, by [fastlmm_fit()] or [lm()]. `drop1()`, `add1()`: further arguments such as
#'   `test = "Chisq"`; for F tests use `anova(fit, type = 2, ddf = )`. `extractAIC()`: not used.
#' @param refit refit REML fits by maximum likelihood before they are compared? Restricted likelihoods are comparable only between fits with
#'   the same fixed effects, so `FALSE` is refused for others.
#' @param type for one fit: 1 tests each term adjusted for those before it, 2 adjusted for all terms that do not contain it, 3 adjusted for all
#'   others, with equal weights for the levels of other factors.
#' @param ddf for one fit: denominator degrees of freedom of the F tests, `"none"` (no p-values), `"satterthwaite"` or `"kenward-roger"`, as
#'   for [summary.fastlmm()]; case is ignored. Functions that test hypotheses call this argument `ddf`, as `lmerTest` does ([contest()],
#'   `emmeans()`); tables and intervals of coefficients call it `df` ([summary.fastlmm()], [confint.fastlmm()], `tidy()`).
#' @param model.names names for the rows; by default the names of the arguments or the expressions given for them.
#' @param scale,k as in [stats::extractAIC()]: the scale is estimated, `k` is the penalty per parameter.
#' @return `anova()` of several fits: a data frame of class `anova` with the columns of `lme4`: `npar`, `AIC`, `BIC`, `logLik`, `deviance`, and
#'   `Chisq`, `Df`, `Pr(>Chisq)` of the likelihood-ratio test against the previous row; rows are ordered by their number of parameters.
#'
#'   `anova()` of one fit: a row for each term. With `type = 1` and without `ddf`, the sequential decomposition of `lme4`: `npar`, `Sum Sq`,
#'   `Mean Sq`, `F value`. With `ddf` the columns are those of `lmerTest`: `Sum Sq`, `Mean Sq`, `NumDF`, `DenDF`, `F value`, `Pr(>F)`.
#'
#'   `extractAIC()`: the number of parameters and the AIC by maximum likelihood. `drop1()` and `add1()` compare fits to the rows and kernels
#'   that are stored in the fit, even if the data have changed since.
#' @section Errors and messages:
#' `fastlmm_error_anova` for fits of different rows or responses, for an object that is not a fit, and for restricted likelihoods of different
#' fixed effects. Message `fastlmm_message_refit_ml` where models are refitted by maximum likelihood.
#' @examples
#' fit <- fastlmm_fit(distance ~ age + Sex + (1 | Subject), nlme::Orthodont)
#' anova(fit)
#' anova(fit, type = 3, ddf = "satterthwaite")
#' anova(fit, update(fit, . ~ . - Sex))
#' drop1(fit, test = "Chisq")
#' @export
anova.fastlmm <- function(object, ..., refit = TRUE, model.names = NULL, type = 1, ddf = c("none", "satterthwaite", "kenward-roger")) {
  others <- check_anova_arguments(list(...))
  type <- read_anova_type(type)
  ddf <- read_ddf(ddf)
  if (length(others) == 0) return(if (type == 1 && ddf == "none") anova_of_terms(object) else anova_by_type(object, type, ddf))
  if (type != 1 || ddf != "none") abort_anova("type and ddf are for the terms of one fit; several fits are compared by likelihood-ratio tests")
  fits <- c(list(object), others)
  written <- as.list(substitute(list(object, ...)))[-1]
  names(fits) <- model_names(model.names, fits, model_labels(written))
  check_comparable(fits)
  anova_of_fits(same_observations(if (refit) by_ml(fits) else same_fixed(fits)))
}

#' @rdname anova.fastlmm
#' @export
extractAIC.fastlmm <- function(fit, scale = 0, k = 2, ...) {
  check_arguments(...)
  value <- logLik(as_ml(fit))
  edf <- attr(value, "df")
  c(edf, -2 * as.numeric(value) + k * edf)
}

#' @rdname anova.fastlmm
#' @param scope terms to consider, as for [stats::drop1()] and [stats::add1()]: fixed effects, by a formula or by their labels.
#' @export
drop1.fastlmm <- function(object, scope, ...) {
  check_step_test(list(...)$test, "drop1")
  labels <- if (missing(scope)) stats::drop.scope(terms(object)) else fixed_labels(object, scope)
  absent <- setdiff(labels, attr(terms(object), "term.labels"))
  if (length(absent) > 0) abort_anova(
    paste0("drop1() has no fixed effects ", first_names(absent), " to leave out; there are ", first_names(attr(terms(object), "term.labels")))
  )
  base_method("drop1")(if (is.null(object$gp)) as_stored(object) else object, labels, ...)
}

#' @rdname anova.fastlmm
#' @export
add1.fastlmm <- function(object, scope, ...) {
  check_step_test(list(...)$test, "add1")
  if (missing(scope) || is.null(scope)) abort_anova("add1() needs a scope: the terms to add, as scope = ~ . + x")
  new <- setdiff(fixed_labels(object, scope), attr(terms(object), "term.labels"))
  if (length(new) == 0) abort_anova("add1() has no terms in its scope that the fit lacks")
  columns <- if (is.null(object$gp)) added_columns(object, new)
  base_method("add1")(if (is.null(columns)) object else as_stored(object, columns), new, ...)
}

check_step_test <- function(test, verb) {
  if (is.null(test) || length(test) == 1 && test %in% c("none", "Chisq")) return(invisible())
  of_terms <- if (verb == "drop1") "anova(fit, type = 2, ddf = \"kenward-roger\")"
    else "anova(larger, ddf = \"kenward-roger\") of the fit with them, or contest()"
  abort_anova(paste0(verb, "() has likelihood-ratio tests, test = \"Chisq\", not ", code_text(test), "; F tests are ", of_terms))
}

# NextMethod() would hand on the scope that was given.
base_method <- function(verb) utils::getS3method(verb, "default", envir = asNamespace("stats"))

# Labels of the fixed effects among the terms of a scope
fixed_labels <- function(fit, scope) {
  labels <- if (is.character(scope)) read_terms(scope, "scope") else attr(
    terms(stats::update.formula(whole_formula(fit), read_formula(scope, "scope"))), "term.labels"
  )
  setdiff(labels, attr(terms(random_or_none(fit)), "term.labels"))
}

random_or_none <- function(fit) {
  whole <- random_formula(fit)
  if (identical(whole[[3]], 0)) ~ 0 else whole
}

# Of many responses there is no one likelihood.
abort_one_by_one <- function(verb, instead = NULL) {
  abort_fastlmm("many_responses", paste0(c(paste0(verb, "() is for one response; use extract_fit() for one of many"), instead), collapse = "; "))
}

#' @rdname summary.fastlmm_mlm
#' @export
drop1.fastlmm_mlm <- function(object, ...) abort_one_by_one("drop1")

#' @rdname summary.fastlmm_mlm
#' @export
add1.fastlmm_mlm <- function(object, ...) abort_one_by_one("add1")

#' @rdname summary.fastlmm_mlm
#' @export
extractAIC.fastlmm_mlm <- function(fit, ...) abort_one_by_one("extractAIC")

#' @rdname summary.fastlmm_mlm
#' @export
anova.fastlmm_mlm <- function(object, ...) abort_one_by_one("anova")

# ---- several fits -------------------------------------------------------------------------------------

anova_of_fits <- function(fits) {
  value <- lapply(fits, logLik)
  npar <- vapply(value, attr, 0, "df")
  by_size <- order(npar)
  fits <- fits[by_size]
  value <- value[by_size]
  npar <- unname(npar[by_size])
  log_lik <- unname(vapply(value, as.numeric, 0))
  df <- c(NA, diff(npar))
  chisq <- c(NA, 2 * pmax(0, diff(log_lik)))
  table <- data.frame(
    npar = npar, AIC = -2 * log_lik + 2 * npar, BIC = vapply(value, BIC, 0), logLik = log_lik, deviance = -2 * log_lik, Chisq = chisq, Df = df,
    `Pr(>Chisq)` = ifelse(df > 0, pchisq(chisq, df, lower.tail = FALSE), NA), row.names = names(fits), check.names = FALSE
  )
  structure(table, heading = c("Models:", paste0(names(fits), ": ", model_texts(fits))), class = c("anova", "data.frame"))
}

check_anova_arguments <- function(others) {
  named <- names(others)
  if (is.null(named)) return(others)
  is_fit <- vapply(others, inherits, NA, c("fastlmm", "lm"))
  unknown <- named[nzchar(named) & !is_fit]
  if (any(unknown %in% c("df", "test"))) abort_anova(
    paste0(
      "anova() has no argument ", quoted(unknown[1]),
      ": for F tests of the terms of one fit use anova(fit, type = 2, ddf = \"kenward-roger\"), for likelihood-ratio tests drop1(fit, test = \"Chisq\")"
    )
  )
  if (length(unknown) > 0) abort_fastlmm(
    "unused_argument", paste0("anova() got an argument that it does not know: ", first_names(unknown), "; check its spelling")
  )
  others
}

read_anova_type <- function(type) {
  at <- if (length(type) == 1 && (is.character(type) || is.numeric(type))) match(as.character(type), c("1", "2", "3", "I", "II", "III"))
  if (length(at) == 1 && !is.na(at)) return((at - 1) %% 3 + 1)
  abort_anova(paste0("type must be 1, 2 or 3, not ", code_text(type)))
}

# The arguments as they were written; a fit that do.call() put there itself has no name.
model_labels <- function(written) {
  given <- names(written)
  label <- function(i) {
    if (!is.null(given) && nzchar(given[i])) return(given[i])
    if (is.list(written[[i]])) paste0("model", i) else code_text(written[[i]])
  }
  vapply(seq_along(written), label, "")
}

model_names <- function(names, fits, labels) {
  if (is.null(names)) return(make.unique(labels))
  if (length(names) == length(fits)) return(make.unique(as.character(names)))
  abort_anova(sprintf("model.names has %d names for %d fits", length(names), length(fits)))
}

check_comparable <- function(fits) {
  known <- vapply(fits, inherits, NA, c("fastlmm", "lm")) & !vapply(fits, inherits, NA, c("mlm", "glm"))
  if (!all(known)) abort_anova(paste("not a fit by fastlmm_fit() or lm():", first_names(names(fits)[!known])))
  rows <- vapply(fits, nobs, 0)
  if (any(rows != rows[1])) {
    abort_anova(paste0("the fits are not of the same size: ", toString(sprintf("%s has %d rows", names(fits), as.integer(rows)))))
  }
  same <- vapply(fits, function(fit) isTRUE(all.equal(fitted_response(fit), fitted_response(fits[[1]]))), NA)
  if (!all(same)) abort_anova(paste("of another response than", quoted(names(fits)[1]), "or of other rows:", first_names(names(fits)[!same])))
}

fitted_response <- function(fit) as.numeric(model.response(model.frame(fit)))

# The restricted likelihood depends on the columns of X, not only on what they span.
same_fixed <- function(fits) {
  restricted <- are_restricted(fits)
  if (!any(restricted)) return(fits)
  columns <- function(fit) unname(fixed_design(fit)[, fit$kept, drop = FALSE])
  same <- function(fit) isTRUE(all.equal(columns(fit), columns(fits[[1]]), check.attributes = FALSE))
  if (all(restricted) && all(vapply(fits, same, NA))) return(fits)
  abort_anova("restricted likelihoods are comparable only between REML fits with the same columns of fixed effects; leave out `refit = FALSE`")
}

by_ml <- function(fits) {
  restricted <- are_restricted(fits)
  if (any(restricted)) inform_fastlmm("refit_ml", "REML fits are refitted by maximum likelihood (refit = FALSE compares the restricted likelihoods)")
  fits[restricted] <- lapply(fits[restricted], as_ml)
  fits
}

# Where the density of y has no optimum inside, ML leaves directions of X out: another number of observations counts.
same_observations <- function(fits) {
  left_out <- vapply(fits, function(fit) if (inherits(fit, "fastlmm")) as.numeric(sum(fit$optimum$dropped)) else 0, 0)
  if (all(left_out == left_out[1])) return(fits)
  abort_anova(
    paste0(
      "the kernel is zero along a direction of X, which ML leaves out of ", first_names(names(fits)[left_out > 0]),
      " alone; add a multiple of the identity to K, or test coefficients by summary()"
    )
  )
}

are_restricted <- function(fits) vapply(fits, function(fit) inherits(fit, "fastlmm") && is_reml(fit), NA)

# The same model by maximum likelihood, without another word on what its REML fit has said
as_ml <- function(fit) {
  if (!is_reml(fit)) return(fit)
  fit$method <- "ML"
  withCallingHandlers(refit(fit), fastlmm_message = function(said) invokeRestart("muffleMessage"))
}

abort_anova <- function(message) abort_fastlmm("anova", message)

# ---- terms of one fit -----------------------------------------------------------------------------------

# With R'R = vcov^-1 the squares of R beta are the sums of squares in units of the residual variance, each column's after those before it.
anova_of_terms <- function(fit) {
  kept <- fit$kept
  term <- attr(fixed_design(fit), "assign")[kept]
  inside <- which(term > 0)
  if (length(kept) > 0 && all(fit$vcov == 0)) abort_anova("the coefficients have no standard errors: the fit is exact")
  effects <- if (length(kept) > 0) sequential_effects(fit)
  sums <- vapply(split(effects[inside]^2, term[inside]), sum, 0)
  npar <- as.integer(table(term[inside]))
  table <- data.frame(
    npar = npar, `Sum Sq` = sums * fit$sigma2_e, `Mean Sq` = sums / npar * fit$sigma2_e, `F value` = sums / npar,
    row.names = attr(fit$terms, "term.labels")[unique(term[inside])], check.names = FALSE
  )
  structure(table, heading = "Analysis of Variance Table", class = c("anova", "data.frame"))
}

# R beta without vcov^-1: L = R^-1 is the triangular factor of vcov = L L', here from an orthogonal decomposition of a root of vcov, so that neither the scale
# nor the origin of a column matters. An effect without variance (no residual variance, V singular) is infinite.
sequential_effects <- function(fit) {
  part <- along_x(fit)
  r <- length(part$along)
  eigen <- eigen(part$covariance, symmetric = TRUE)
  values <- eigen$values
  values[values < r * 100 * .Machine$double.eps * values[1]] <- 0
  root <- part$basis %*% (eigen$vectors * rep(sqrt(values), each = r))
  last_first <- r:1
  R <- qr.R(qr(t(root[last_first, , drop = FALSE]), tol = 0))
  beta <- drop(part$basis %*% part$along)[last_first]
  effects <- numeric(r)
  for (j in seq_len(r)) {
    before <- seq_len(j - 1)
    left <- beta[j] - sum(R[before, j][is.finite(effects[before])] * effects[before][is.finite(effects[before])])
    known <- abs(R[j, j]) <= 1e-13 * sqrt(sum(R[seq_len(j), j]^2)) || all(R[, j] == 0)
    effects[j] <- if (known) sign(left) * Inf else left / R[j, j]
  }
  effects[last_first]
}
