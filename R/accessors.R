#' Extract components of a fitted mixed model
#'
#' The usual extractors. Values, shapes and names follow `lm` and `lme4`: with the identity kernel each equals its counterpart for an `lmer`
#' fit of the same model.
#'
#' * `fixef()`: the fixed effects, `NA` for aliased columns as in `lm`; `add.dropped = FALSE` leaves these out, as `lme4` does.
#' * `vcov()`: their covariance matrix; `complete = TRUE` gives aliased coefficients rows and columns of `NA`. `correlation = TRUE` adds the
#'   correlations as attribute `correlation`. `full = TRUE`: the joint covariance, given the variances, of the prediction errors
#'   `b - predicted b` (all ids of K, in the order of `getME(fit, "b")`) and of the estimates of `beta`.
#' * `sigma()`: the residual standard deviation, `sqrt(sigma2_e)`. For a fit with `residual = ~ site` it is that of the first level;
#'   `sqrt(fit$residual$variance)` has all of them.
#' * `logLik()`: the log-likelihood with all constants. `df` counts the estimable fixed effects and the variances; `nobs` is the number of
#'   rows, for REML too. The restricted likelihood is that of `lme4` and `nlme`, comparable only between fits with the same fixed effects;
#'   packages that subtract `log|X'X|` differ by half of that. `REML = FALSE` on a REML fit gives the likelihood at the REML estimates of the
#'   variance ratios, as in `lme4`. `AIC()` and `BIC()` are computed from it.
#' * `deviance()`: minus twice the log-likelihood; for a REML fit the REML criterion, with a warning, as in `lme4`.
#' * `nobs()`, `df.residual()`: number of rows used; that number minus the number of parameters.
#' * `formula()`, `terms()`, `model.frame()`, `model.matrix()`: what the model was built from; `fixed.only = TRUE` leaves out the random terms,
#'   `random.only = TRUE` the fixed ones. `terms()` gives the fixed part unless `fixed.only = FALSE`. `model.matrix(type = "random")` is the
#'   sparse incidence matrix `Z`. With `data`, the frame and the matrix are those of other data, with the levels, contrasts and bases of the
#'   fit, as for `lm`.
#' * `weights()`: prior weights, ones where none were given; working weights are the same. The offset is `getME(fit, "offset")`.
#' * `family()`: [gaussian()]. `isREML()`, `isLMM()`, `ngrps()` (number of ids with data, by grouping factor), `refitML()` (the same model by
#'   maximum likelihood) and `REMLcrit()` (minus twice the restricted log-likelihood): as in `lme4`; fits by `lme4` are passed on to `lme4`.
#'
#' @param object,x,formula a fit by [fastlmm_fit()].
#' @param complete give aliased coefficients rows and columns of `NA`?
#' @param REML restricted likelihood? `NULL`: as the model was fitted.
#' @param full,correlation return the joint covariance of random and fixed effects? Add the correlations?
#' @param add.dropped keep aliased coefficients, as `NA`?
#' @param fixed.only,random.only leave out the random terms, or the fixed ones?
#' @param env not used; present because [as.formula()] passes it. The formula of a fit has the environment in which it was written.
#' @param data other data for the frame or the matrix.
#' @param use.fallback not used; present because `drop1()` passes it.
#' @param type `"fixed"` for `X`, `"random"` for `Z`; for weights `"prior"` or `"working"`.
#' @param ... not used; an unknown argument is an error.
#' @return What the generic usually returns: `fixef()` a named vector of p coefficients; `vcov()` and `model.matrix()` a matrix; `logLik()` an
#'   object of class `logLik`; `sigma()`, `deviance()`, `nobs()`, `df.residual()` and `REMLcrit()` a number; `weights()` a vector with one
#'   element per row; `formula()`, `terms()`, `model.frame()` and `family()` objects of these classes; `ngrps()` a named integer vector;
#'   `isREML()` and `isLMM()` `TRUE` or `FALSE`; `refitML()` a fit.
#' @examples
#' fit <- fastlmm_fit(distance ~ age + (1 | Subject), nlme::Orthodont)
#' fixef(fit)
#' sqrt(diag(vcov(fit)))
#' sigma(fit)
#' logLik(fit)
#' AIC(fit)
#' formula(fit, fixed.only = TRUE)
#' head(model.matrix(fit))
#' @name fastlmm-accessors
NULL

#' @rdname fastlmm-accessors
#' @export
fixef.fastlmm <- function(object, ..., add.dropped = TRUE) {
  check_arguments(...)
  if (add.dropped) object$coefficients else object$coefficients[object$kept]
}

#' @rdname fastlmm-accessors
#' @export
vcov.fastlmm <- function(object, complete = TRUE, correlation = FALSE, full = FALSE, ...) {
  check_arguments(...)
  if (full) return(joint_covariance(object))
  value <- .vcov.aliased(is.na(object$coefficients), object$vcov, complete = complete)
  if (isTRUE(correlation)) structure(value, correlation = cov2cor(value)) else value
}

#' @rdname fastlmm-accessors
#' @export
sigma.fastlmm <- function(object, ...) {
  check_arguments(...)
  sqrt(object$sigma2_e)
}

#' @rdname fastlmm-accessors
#' @export
logLik.fastlmm <- function(object, REML = NULL, ...) {
  check_arguments(...)
  REML <- wanted_reml(object, REML)
  value <- if (REML == is_reml(object)) object$logLik else other_log_lik(object)
  structure(value, nobs = object$nobs, nall = object$nobs, df = object$df, REML = REML, class = "logLik")
}

#' @rdname fastlmm-accessors
#' @export
deviance.fastlmm <- function(object, REML = NULL, ...) {
  check_arguments(...)
  if (is.null(REML) && is_reml(object)) warn_deviance_reml()
  -2 * as.numeric(logLik(object, REML = REML))
}

#' @rdname fastlmm-accessors
#' @export
nobs.fastlmm <- function(object, ..., use.fallback = FALSE) {
  check_arguments(...)
  object$nobs
}

#' @rdname fastlmm-accessors
#' @export
df.residual.fastlmm <- function(object, ...) {
  check_arguments(...)
  object$nobs - object$df
}

#' @rdname fastlmm-accessors
#' @export
formula.fastlmm <- function(x, fixed.only = FALSE, random.only = FALSE, env = NULL, ...) {
  check_arguments(...)
  check_one_part(fixed.only, random.only)
  if (fixed.only) formula(x$terms) else if (random.only) random_formula(x) else whole_formula(x)
}

#' @rdname fastlmm-accessors
#' @export
terms.fastlmm <- function(x, fixed.only = !random.only, random.only = FALSE, ...) {
  check_arguments(...)
  check_one_part(fixed.only, random.only)
  if (fixed.only) x$terms else if (random.only) terms(variables_formula(random_formula(x))) else attr(x$frame, "terms")
}

#' @rdname fastlmm-accessors
#' @export
model.frame.fastlmm <- function(formula, fixed.only = FALSE, data = NULL, ...) {
  check_arguments(...)
  frame <- if (is.null(data)) formula$frame else frame_of(formula, data)
  # with its terms a frame is taken as it is by model.matrix(): its columns are log(x), not x
  if (fixed.only) structure(frame[vapply(as.list(attr(formula$terms, "variables"))[-1], deparse1, "")], terms = formula$terms) else frame
}

#' @rdname fastlmm-accessors
#' @export
model.matrix.fastlmm <- function(object, type = c("fixed", "random"), data = NULL, ...) {
  check_arguments(...)
  type <- one_of(type, c("fixed", "random"))
  if (!is.null(data)) return(design_of(object, type, data))
  if (type == "fixed") fixed_design(object) else random_design(object)
}

#' @rdname fastlmm-accessors
#' @export
weights.fastlmm <- function(object, type = c("prior", "working"), ...) {
  check_arguments(...)
  one_of(type, c("prior", "working"))
  naresid(object$na.action, if (has_levels(object)) object$residual$prior else prior_weights(object))
}

is_reml <- function(fit) fit$method == "REML"

wanted_reml <- function(fit, REML) {
  if (is.null(REML)) is_reml(fit) else isTRUE(as.logical(REML))
}

# The criterion that was not maximised, at the estimates
other_log_lik <- function(fit) {
  if (!is.finite(fit$logLik)) return(fit$logLik)
  if (!is.null(fit$given)) return(known_other_log_lik(fit))
  part <- along_x(fit)
  call_rust(
    ffi_other_log_lik, list(covariance = as.matrix(part$covariance), log_det_x = part$log_det_x), fit$method, fit$logLik, as.numeric(fit$nobs),
    max(fit$sigma2, fit$sigma2_e)
  )
}

log_det <- function(x) {
  if (nrow(x) == 0) 0 else as.numeric(determinant(x)$modulus)
}

# X in an orthonormal basis of its span: beta = basis along, vcov = basis covariance basis'
along_x <- function(fit) {
  if (is_gp_fit(fit) && !keeps_basis(fit)) return(along_columns(fit))
  if (length(fit$random) > 1 || is_sparse_fit(fit)) return(fit$rotated)
  rotated <- fit$rotated
  c(call_rust(ffi_along_x, rotated, unname(fit$sigma2), fit$sigma2_e), rotated[c("basis", "log_det_x")])
}

# Does a fit of a process keep a basis of X? In Fourier space and by a Cholesky decomposition it keeps its coefficients only.
keeps_basis <- function(fit) fit$random[[1]]$kernel$route == "exact" && (length(fit$random) > 1 || length(fit$rotated$values) > 0)

# The same from the fixed effects themselves. A fit of a table has no X to make a basis of.
along_columns <- function(fit) {
  R <- if (is.null(fit$frame)) diag(fit$rank) else qr.R(qr(unname(fixed_design(fit)[, fit$kept, drop = FALSE]), tol = 0))
  list(
    along = drop(R %*% fit$coefficients[fit$kept]), covariance = R %*% unname(fit$vcov) %*% t(R), basis = backsolve(R, diag(fit$rank)),
    log_det_x = 2 * sum(log(abs(diag(R))))
  )
}

warn_deviance_reml <- function() {
  # step() asks for the deviance of every model that it looks at: it is told once
  step <- running_frame(stats::step)
  if (!is.null(step) && identical(reml_told$step, step)) return(invisible())
  reml_told$step <- step
  warn_fastlmm(
    "deviance_reml",
    paste(
      "deviance() of a REML fit is its REML criterion, comparable only between fits with the same fixed effects;",
      "deviance(fit, REML = FALSE) gives minus twice the log-likelihood"
    )
  )
}

reml_told <- new.env(parent = emptyenv())

# The frame of a function among those that are being evaluated
running_frame <- function(f) {
  running <- Filter(function(i) identical(sys.function(i), f), seq_len(sys.nframe()))
  if (length(running) > 0) sys.frame(running[1])
}

fixed_design <- function(fit) {
  design_matrix(delete.response(fit$terms), fit$frame, fit$contrasts)
}

# Z with a column for every id of K, so that Z K Z' needs no index.
random_design <- function(fit) {
  check_no_process(fit)
  do.call(cbind, unname(lapply(fit$random, incidence, rows = rownames(fit$frame))))[, effect_order(fit), drop = FALSE]
}

incidence <- function(random, rows) {
  Matrix::sparseMatrix(
    i = seq_along(random$group), j = random$index[random$group], x = random$z,
    dims = c(length(random$group), length(random$ids)), dimnames = list(rows, random$ids)
  )
}

prior_weights <- function(fit) {
  if (is.null(fit$weights)) rep(1, fit$nobs) else fit$weights
}

response <- function(fit) as.numeric(fit$y)

# X beta + offset in the rows of the fit
population_fit <- function(fit) {
  X <- fixed_design(fit)[, fit$kept, drop = FALSE]
  drop(X %*% fit$coefficients[fit$kept]) + fit$offset
}

# The BLUP of every id of K: K[, observed] %*% alpha, without copying a part of K, or W %*% alpha
blup <- function(random) {
  if (is_lowrank(random$kernel)) return(structure(as.numeric(random$kernel$W %*% random$alpha), names = random$ids))
  alpha <- numeric(length(random$ids))
  alpha[random$index] <- random$alpha
  effect <- if (is.null(random$kernel)) alpha else if (is_precision(random$kernel)) precision_times(random$kernel, alpha) else drop(random$kernel %*% alpha)
  structure(effect, names = random$ids)
}

random_fit <- function(fit, which = TRUE) {
  in_rows <- function(random) {
    if (is_process(random$kernel)) gp_process(fit, model_coordinates(fit)) else random$z * unname(blup(random))[random$index[random$group]]
  }
  Reduce(`+`, lapply(fit$random[which], in_rows), 0)
}

# The coefficient that an effect adds to: "(Intercept)", or the slope's own name
coefficient_name <- function(random) {
  if (!is.null(random$column)) return(random$column)
  if (is.null(random$slope)) "(Intercept)" else deparse1(random$slope)
}

# What the effect is called within its grouping factor
effect_name <- function(random) {
  if (is.null(random$part)) return(coefficient_name(random))
  name <- coefficient_name(random)
  paste(c(if (name != "(Intercept)") name, random$part), collapse = ".")
}

# Labels of the random effects by grouping factor
by_group <- function(fit) {
  name <- vapply(fit$random, `[[`, "", "name")
  split(names(fit$random), factor(name, levels = unique(name)))
}
