#' Methods for Gaussian process fits
#'
#' `predict()` gives the mean surface, fixed effects plus process (plus group effects), at the rows of the fit or anywhere else. Its standard
#' error is the universal kriging standard error of the mean, including the uncertainty of `beta` and given length scale and variances; it does
#' not include the residual variance. A million targets take seconds, by nonuniform Fourier transforms. Far from the data the process returns
#' to zero, and the mean to the fixed effects.
#'
#' The Fourier basis is periodic, so a target far outside the box of the data would see its periodic images: such a prediction is refused. Give
#' `lower` and `upper` to [gp()], or use `basis = "exact"`.
#'
#' @param object,x a fit by [fastlmm_fit()] with a [gp()] term.
#' @param newdata data frame; `NULL`: the rows of the fit.
#' @param re.form `NULL`: with process and group effects; `NA` or `~ 0`: the fixed effects only; a formula of terms of the fit, such as
#'   `~ (1 | g)`: with those effects only.
#' @param se.fit return standard errors as well?
#' @param allow.new.levels give groups that are not in the fit, or missing, the effect 0?
#' @param random.only,type,na.action,interval,level,terms,nsim,seed see [predict.fastlmm()]. Draws of processes in Fourier space are those of
#'   the process as its basis represents it.
#' @param condVar not available; see the standard errors of `predict()`.
#' @param drop,whichel see [ranef.fastlmm()].
#' @param ... not used; an unknown argument is an error.
#' @return `predict()`: a numeric vector named by row; with `interval` a matrix with columns `fit`, `lwr`, `upr`; with `se.fit` a list of
#'   `fit`, `se.fit` and `residual.scale`; draws and terms as in [predict.fastlmm()]. `NA` where the mean is not estimable, as in
#'   [predict.fastlmm()]. `ranef()`: a list with the process at the rows, and the effects of groups.
#' @examples
#' fit <- fastlmm_fit(mag ~ depth + gp(long, lat), quakes[1:300, ])
#' predict(fit, data.frame(depth = 100, long = 181, lat = -20), se.fit = TRUE)
#' @export
predict.fastlmm_gp <- function(object, newdata = NULL, re.form = NULL, se.fit = FALSE, allow.new.levels = FALSE, random.only = FALSE,
                               type = c("response", "link", "terms"), na.action = na.pass, interval = c("none", "confidence", "prediction"), level = 0.95,
                               terms = NULL, nsim = NULL, ..., seed = NULL) {
  check_arguments(...)
  interval <- wanted_interval(interval, level, re.form, random.only)
  check_draws(nsim, se.fit)
  if (wanted_type(type, terms, nsim) == "terms") {
    return(predict_terms(object, newdata, re.form, terms, se.fit, interval, level, random.only, na.action, function(term) {
      as_part(predict(object, newdata, term, se.fit || interval != "none", allow.new.levels, random.only = TRUE))
    }))
  }
  if (is.null(newdata)) check_has_rows(object, "predict() without newdata")
  targets <- gp_targets(object, newdata, gp_wanted(object, re.form), allow.new.levels, !random.only)
  if (!is.null(newdata)) targets$answered <- answered_rows(targets$complete, na.action, targets$names)
  if (random.only) targets <- without_fixed(targets)
  if (!is.null(newdata) && targets$process && object$sigma2[[1]] > 0) {
    inform_far(object$gp, targets$coordinates, if (!is.null(object$frame)) model_coordinates(object), object$random[[1]]$kernel$lengthscale)
  }
  mean <- drop(targets$X %*% object$coefficients[object$kept]) + targets$offset + gp_effects(object, targets)
  warn_not_estimable(targets)
  if (!is.null(nsim)) return(
    predicted_draws(object, targets, mean, gp_covariance(object, targets), drawn_noise(object, newdata, interval, targets), nsim, seed)
  )
  fit <- pad_targets(targets, mean)
  if (!se.fit && interval == "none") return(fit)
  with_interval(object, targets, fit, pmax(gp_variance(object, targets), 0), interval, level, se.fit, row_noise(object, newdata, interval))
}

# Which of the random effects are asked for
gp_wanted <- function(fit, re.form) {
  if (is.null(re.form)) return(rep(TRUE, length(fit$random)))
  if (is_population(re.form)) return(rep(FALSE, length(fit$random)))
  right <- if (inherits(re.form, "formula")) re.form[[length(re.form)]]
  process <- is_process_asked(fit, right)
  wanted <- if (length(find_bars(right)) > 0) which_random(fit, re.form) else rep(FALSE, length(fit$random))
  known <- !is.na(process) && (process || any(wanted))
  if (!is.null(right) && known && only_random(re.form) && (any(wanted) || length(find_bars(right)) == 0)) return(c(process, wanted[-1]))
  abort_fastlmm("re_form", paste0(
    "re.form must be NULL (with all random effects), NA or ~0 (without), or a formula of terms of the fit, as ~ ", deparse1(fit$gp$term), ", not ",
    deparse1(re.form)
  ))
}

# Is the process of a fit among the terms of a formula? Its settings need not be written again. NA: another one is.
is_process_asked <- function(fit, right) {
  asked <- find_gp(right)
  if (length(asked) == 0) return(FALSE)
  given <- as.list(asked[[1]])[-1]
  places <- given[if (is.null(names(given))) TRUE else !nzchar(names(given))]
  same <- length(asked) == 1 && identical(unname(vapply(places, deparse1, "")), unname(vapply(fit$gp$coordinates, deparse1, "")))
  if (same) TRUE else NA
}

# Complete rows with what they need: X, offset, coordinates, and ids and multipliers (in Fourier space numbers, NA: a new one) of groups
gp_targets <- function(fit, newdata, wanted, allow_new = FALSE, fixed = TRUE) {
  check_new_levels(allow_new, fit)
  own <- is.null(newdata)
  asked <- if (is_joint_gp(fit)) fit$random[-1][wanted[-1]] else list()
  design <- if (own) fit_targets(fit, asked) else forge_design(fit, newdata, asked, fixed)
  frame <- if (own) fit$frame else as_data_frame(newdata, "newdata")
  X <- design$X[, fit$kept, drop = FALSE]
  complete <- rowSums(is.na(X)) == 0 & !is.na(design$offset)
  coordinates <- if (wanted[1]) target_coordinates(fit, frame, own)
  if (wanted[1]) complete <- complete & rowSums(is.na(coordinates)) == 0
  for (i in seq_along(asked)) check_gp_groups(asked[[i]], design$random[[i]]$id, allow_new)
  for (i in seq_along(asked)) complete <- complete & (allows_new(allow_new, asked[[i]]) | !is.na(design$random[[i]]$id)) & !is.na(design$random[[i]]$z)
  others <- lapply(structure(design$random, names = names(asked)), function(one) list(id = one$id[complete], z = one$z[complete]))
  group <- if (!is_joint_gp(fit) && any(wanted[-1])) target_groups(fit, frame, own, allow_new)
  if (!is.null(group) && !allows_new(allow_new, fit$random[[2]])) complete <- complete & !is.na(group)
  list(
    X = X[complete, , drop = FALSE], offset = design$offset[complete], coordinates = coordinates[complete, , drop = FALSE], group = group[complete],
    process = wanted[1], all = all(wanted), population = !any(wanted), others = others,
    sources = Map(function(one, target) new_source(one, unique(target$id), NULL, allow_new), asked, others),
    estimable = estimable_rows(fit, design$X[complete, , drop = FALSE]), complete = complete, names = rownames(design$X), na.action = design$na.action,
    answered = rep(TRUE, length(complete))
  )
}

target_coordinates <- function(fit, frame, own) {
  gp <- fit$gp
  random <- fit$random[[1]]
  if (own) return(gp_coordinates(lapply(gp$coordinates, frame_column, frame = frame), gp, rownames(frame)))
  columns <- lapply(random$calls, evaluate_new, fit, frame)
  coordinates <- gp_coordinates(columns, gp, rownames(frame))
  check_in_box(fit, coordinates)
  coordinates
}

# A basis is periodic: a target must not be near the image of the far end of the data.
check_in_box <- function(fit, coordinates) {
  process <- fit$random[[1]]$kernel
  if (process$route != "fourier") return(invisible())
  box <- fit$gp$box
  beyond <- pmax(sweep(-coordinates, 2, box[1, ], "+"), sweep(coordinates, 2, box[2, ]), 0)
  room <- 1 / process$basis$h - (box[2, ] - box[1, ])
  image <- sweep(sweep(-beyond, 2, room, "+"), 2, process$lengthscale, "/")
  seen <- gp_correlation(pmax(image, 0), process$cov) > max(1e-3, 10 * process$aliasing)
  out <- rowSums(seen & beyond > 0, na.rm = TRUE) > 0
  if (!any(out)) return(invisible())
  abort_fastlmm("outside_box", paste0(
    "the Fourier basis of ", fit$gp$name, " was made for the box of the data and a margin about it, and newdata lies beyond it in ",
    rows_at(out, if (is.null(rownames(coordinates))) seq_along(out) else rownames(coordinates)),
    "; fit with gp(..., lower =, upper =), a box that contains all targets, or with basis = \"exact\""
  ), rows = which(out))
}

# The kernels as functions of the distance in length scales
gp_correlation <- function(r, cov) array(call_rust(ffi_gp_correlations, matrix(c(r)), matrix(0), cov, 1), dim(r))

target_groups <- function(fit, frame, own, allow_new) {
  random <- fit$random[[2]]
  if (own) return(random$group)
  id <- forge_random(random, frame, fit)$id
  check_gp_groups(random, id, allow_new)
  match(id, random$ids)
}

check_gp_groups <- function(random, id, allow_new) {
  new <- setdiff(as.character(id), c(random$ids, NA))
  if (length(new) == 0 || allows_new(allow_new, random) || !is.null(random$kernel)) return(invisible())
  abort_fastlmm("new_ids", paste0(
    "newdata has groups of ", quoted(random$name), " that are not in the fit: ", first_names(new), "; allow.new.levels = TRUE gives them the effect 0"
  ), ids = new)
}

# ---- the process --------------------------------------------------------------------------------------

# The predicted process and group effects
gp_effects <- function(fit, targets) {
  effects <- if (targets$process) gp_process(fit, targets$coordinates) else 0
  for (label in names(targets$others)) effects <- effects + joint_effect(targets$others[[label]], targets$sources[[label]])
  if (is.null(targets$group)) return(effects)
  effect <- fit$random[[2]]$alpha[targets$group]
  effects + ifelse(is.na(effect), 0, effect)
}

gp_process <- function(fit, coordinates) {
  random <- fit$random[[1]]
  if (random$kernel$route == "exact") {
    return(gp_cross_times(coordinates, unname(model_coordinates(fit)), fit$gp$cov, random$kernel$lengthscale, matrix(random$alpha))[, 1])
  }
  process_values(random$kernel, coordinates, matrix(random$alpha), fit$control)[, 1]
}

process_values <- function(process, coordinates, coefficients, control) {
  call_rust(ffi_gp_values, unname(coordinates), process$basis, coefficients, control_threads(control))
}

# Correlations with the rows of the fit times coefficients, targets x responses, by blocks of targets
gp_cross_times <- function(coordinates, own, cov, lengthscale, alpha) {
  value <- matrix(0, nrow(coordinates), ncol(alpha))
  size <- cross_block(nrow(own))
  for (block in seq_len(ceiling(nrow(value) / size))) {
    rows <- seq((block - 1) * size + 1, min(block * size, nrow(value)))
    value[rows, ] <- call_rust(ffi_gp_correlations, unname(coordinates[rows, , drop = FALSE]), own, cov, lengthscale) %*% alpha
  }
  value
}

# Targets whose correlations with n rows are held at a time: 32 MB, or as many as the n x n matrix that is there anyway
cross_block <- function(n) max(n, 4e6 %/% n)

# Correlations with the rows of the fit
gp_cross <- function(fit, coordinates) {
  own <- unname(model_coordinates(fit))
  call_rust(ffi_gp_correlations, unname(coordinates), own, fit$gp$cov, fit$random[[1]]$kernel$lengthscale)
}

gp_variance <- function(fit, targets) {
  if (targets$population) return(quadratic(targets$X, fit$vcov))
  process <- fit$random[[1]]$kernel
  if (is_joint_gp(fit)) return(joint_variance(fit, targets))
  if (!targets$all) abort_fastlmm("re_form", "standard errors of a subset of the random effects are available with basis = \"exact\" only")
  if (process$route == "exact") return(exact_variance(fit, targets))
  X <- matrix(0, nrow(targets$X), length(fit$coefficients))
  X[, fit$kept] <- targets$X
  group <- if (is.null(targets$group)) integer() else replace(targets$group, is.na(targets$group), 0L)
  noise <- if (is.finite(fit$gp$raw_delta)) fit$sigma2[[1]] * fit$gp$raw_delta else fit$sigma2_e
  places <- list(coordinates = unname(targets$coordinates), X = X, group = as.integer(group))
  noise * call_rust(ffi_gp_variances, places, process[c("table", "basis")], fit$gp$parameters, fit$gp$raw_delta, control_threads(fit$control))
}

# The kernel matrix once more, and the universal kriging variance as for any kernel
exact_variance <- function(fit, targets) {
  own <- gp_cross(fit, model_coordinates(fit))
  n <- nrow(own)
  given <- list(gram = prior_weights(fit), cross = unname(prior_weights(fit) * fixed_design(fit)[, fit$kept, drop = FALSE]), vcov = unname(fit$vcov))
  fitted <- rust_fitted(fit, own, "matrix", seq_len(n), given)
  in_blocks(nrow(targets$X), cross_block(n), function(rows) {
    asked <- list(K = gp_cross(fit, targets$coordinates[rows, , drop = FALSE]), prior = rep(1, length(rows)), X = targets$X[rows, , drop = FALSE])
    call_rust(ffi_variance, fitted, asked, control_threads(fit$control))
  })
}

# nsim draws of the process at the rows of the fit or in other places, a column each
process_draws <- function(fit, sigma2, nsim, coordinates = model_coordinates(fit)) {
  process <- fit$random[[1]]$kernel
  if (nrow(coordinates) == 0) return(matrix(0, 0, nsim))
  if (process$route == "exact") {
    check_kernel_memory(nrow(coordinates), 3)
    return(sqrt(sigma2) * kernel_root(gp_between(fit, coordinates), matrix(rnorm(nrow(coordinates) * nsim), ncol = nsim)))
  }
  weight <- process_weights(process)
  field <- process_values(process, coordinates, weight * matrix(rnorm(length(weight) * nsim), ncol = nsim), fit$control)
  # what the basis leaves out varies too fast to be told from noise
  rest <- sqrt(max(1 - process$captured, 0))
  sqrt(sigma2) * (field + rest * matrix(rnorm(length(field)), ncol = nsim))
}

process_weights <- function(process) call_rust(ffi_gp_weights, process$basis, process$lengthscale)

#' @rdname predict.fastlmm_gp
#' @export
ranef.fastlmm_gp <- function(object, condVar = FALSE, drop = FALSE, whichel = NULL, ...) {
  check_arguments(...)
  if (condVar) abort_fastlmm(
    "no_variances", "conditional variances are not available for a gp() term; predict(se.fit = TRUE, random.only = TRUE) has standard errors"
  )
  check_has_rows(object, "ranef()")
  effects <- c(structure(list(process_effects(object)), names = object$gp$name), other_effects(object))
  effects <- wanted_groups(effects, whichel)
  structure(if (drop) lapply(effects, dropped_frame) else effects, class = "ranef.fastlmm")
}

process_effects <- function(fit) {
  data.frame(`(Intercept)` = gp_process(fit, model_coordinates(fit)), row.names = rownames(fit$frame), check.names = FALSE)
}

# Those of groups, as for any fit
other_effects <- function(fit) {
  labels <- Filter(length, lapply(by_group(fit), setdiff, fit$gp$name))
  lapply(labels, group_effects, fit = fit, condVar = FALSE, which = "observed")
}

#' @rdname predict.fastlmm_gp
#' @return `coef()`: as for [coef.fastlmm()], the fixed effects with the random effect added to its coefficient, for each row or level of a
#'   grouping factor.
#' @export
coef.fastlmm_gp <- function(object, ...) {
  check_arguments(...)
  effects <- ranef(object)
  term <- c(list("(Intercept)"), lapply(by_group(object)[-1], function(labels) vapply(object$random[labels], coefficient_name, "")))
  structure(Map(added_coefficients, effects, term[seq_along(effects)], MoreArgs = list(fixed = object$coefficients)), class = "coef.fastlmm")
}
