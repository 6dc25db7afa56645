# Effects, predictions and draws of many responses with a gp() term, from the coefficients that the fit keeps.

# With the length scale that the fit of many has
gp_column_fit <- function(fit, j) {
  model <- gp_column_model(fit, j)
  length <- fit$lengthscale[[j]]
  model$gp$lengthscale <- if (is.null(fit$gp$lengthscale)) rep(if (is.na(length)) fit$gp$looked_at[2] else length, ncol(fit$gp$box)) else fit$gp$lengthscale
  estimate_gp(model)
}

# f of each response that could be fitted, rows x responses; NA for the others
gp_each <- function(fit, f, rows) {
  one <- function(j) if (is.na(fit$logLik[j])) rep(NA_real_, rows) else f(gp_column_fit(fit, j))
  value <- vapply(seq_len(ncol(fit$y)), one, numeric(rows))
  matrix(value, rows, ncol(fit$y), dimnames = list(NULL, colnames(fit$y)))
}

# ---- the process from its coefficients ------------------------------------------------------------------

# Responses that have a process, those of one kernel together
gp_many_groups <- function(fit) {
  has <- which(!is.na(fit$logLik) & (fit$h2 > 0) %in% TRUE)
  split(has, if (fit$gp$route == "fourier") fit$gp$window[has] else if (is.null(fit$gp$lengthscale)) fit$lengthscale[has] else rep(1, length(has)))
}

gp_many_length <- function(fit, j) rep_len(if (is.null(fit$gp$lengthscale)) fit$lengthscale[[j]] else fit$gp$lengthscale, ncol(fit$gp$box))

# Values of the process of each response at places, places x responses; NA where there is no fit
gp_many_process <- function(fit, coordinates) {
  value <- matrix(0, nrow(coordinates), ncol(fit$y))
  value[, is.na(fit$logLik)] <- NA
  own <- if (fit$gp$route == "exact") unname(gp_many_coordinates(fit))
  for (columns in gp_many_groups(fit)) {
    alpha <- fit$random[[1]]$alpha[, columns, drop = FALSE]
    value[, columns] <- if (fit$gp$route == "exact") {
      gp_cross_times(coordinates, own, fit$gp$cov, gp_many_length(fit, columns[1]), alpha)
    } else {
      basis <- fit$gp$bases[[fit$gp$window[columns[1]]]]
      process_values(list(basis = basis), coordinates, alpha[seq_len(2 * nrow(basis$frequencies) - 1), , drop = FALSE], fit$control)
    }
  }
  value
}

gp_many_coordinates <- function(fit) gp_coordinates(lapply(fit$gp$coordinates, frame_column, frame = fit$frame), fit$gp, rownames(fit$frame))

# The same at the rows of the fit. With the kernel matrix K alpha = y - X beta - delta alpha / w where there is a response.
gp_many_own <- function(fit) {
  check_effects(fit)
  if (all(is.na(fit$logLik))) return(matrix(NA_real_, nrow(fit$y), ncol(fit$y)))
  if (fit$gp$route == "fourier") return(gp_many_process(fit, gp_many_coordinates(fit)))
  noise <- ifelse(is.finite(fit$delta), fit$delta, 0)
  weights <- if (is.null(fit$weights)) 1 else fit$weights
  alpha <- fit$random[[1]]$alpha
  value <- unname(fit$y) - fixed_part(fit, fixed_design(fit), fit$offset) - alpha / weights * rep(noise, each = nrow(alpha))
  value[, setdiff(which(!is.na(fit$logLik)), unlist(gp_many_groups(fit)))] <- 0
  rows <- which(rowSums(is.na(fit$y)) > 0)
  if (length(rows) == 0) return(value)
  predicted <- gp_many_process(fit, gp_many_coordinates(fit)[rows, , drop = FALSE])
  value[rows, ] <- ifelse(is.na(fit$y[rows, ]), predicted, value[rows, ])
  value
}

# ---- verbs ----------------------------------------------------------------------------------------------

#' @rdname fastlmm_gp_mlm
#' @export
predict.fastlmm_gp_mlm <- function(object, newdata = NULL, re.form = NULL, se.fit = FALSE, allow.new.levels = FALSE, random.only = FALSE,
                                   type = c("response", "link"), na.action = na.pass, interval = c("none", "confidence", "prediction"), level = 0.95, ...) {
  check_arguments(...)
  one_of(type, c("response", "link"))
  interval <- wanted_interval(interval, level, re.form, random.only)
  process <- gp_wanted(object, re.form)
  if (process) check_effects(object)
  targets <- gp_targets(object, newdata, FALSE, fixed = !random.only)
  value <- if (process) gp_many_values(object, newdata, length(targets$complete))
  if (process) targets <- some_targets(targets, !is.na(rowSums(value[, !is.na(object$logLik), drop = FALSE])))
  if (!is.null(newdata)) targets$answered <- answered_rows(targets$complete, na.action, targets$names)
  if (random.only) targets <- without_fixed(targets)
  warn_not_estimable(targets, colnames(object$y))
  mean <- fixed_part(object, targets$X, targets$offset)
  fit <- pad_rows(targets, if (process) mean + value[targets$complete, , drop = FALSE] else mean)
  if (!se.fit && interval == "none") return(fit)
  new <- if (is.null(newdata)) object$frame else as_data_frame(newdata, "newdata")
  one <- function(single) muffled("gp_far", quietly_not_estimable(predict(single, new, re.form, TRUE, allow.new.levels, random.only)))$se.fit
  se <- gp_each(object, one, nrow(new))
  se[!targets$complete, ] <- NA
  se <- structure(se[targets$answered, , drop = FALSE], dimnames = NULL)
  many_answers(
    object, fit, structure(if (is.null(newdata)) napredict(object$na.action, se) else se, dimnames = dimnames(fit)), newdata, interval, level, se.fit
  )
}

# Of targets that are complete in X those with coordinates
some_targets <- function(targets, known) {
  inside <- known[targets$complete]
  targets$X <- targets$X[inside, , drop = FALSE]
  targets$offset <- targets$offset[inside]
  if (!is.null(targets$estimable)) targets$estimable <- targets$estimable[inside, , drop = FALSE]
  targets$complete <- targets$complete & known
  targets
}

# The process at the rows of the fit or of new data, NA where a coordinate is
gp_many_values <- function(fit, newdata, rows) {
  if (is.null(newdata)) return(gp_many_own(fit))
  calls <- lapply(fit$gp$coordinates, predict_call, frame = fit$frame)
  newdata <- as_data_frame(newdata, "newdata")
  coordinates <- gp_coordinates(lapply(calls, evaluate_new, fit, newdata), fit$gp, rownames(newdata))
  known <- rowSums(is.na(coordinates)) == 0
  inform_many_far(fit, coordinates[known, , drop = FALSE])
  check_in_boxes(fit, coordinates[known, , drop = FALSE])
  value <- matrix(NA_real_, rows, ncol(fit$y))
  if (any(known)) value[known, ] <- gp_many_process(fit, coordinates[known, , drop = FALSE])
  value
}

# By the longest of the length scales
inform_many_far <- function(fit, coordinates) {
  has <- unlist(gp_many_groups(fit))
  if (length(has) == 0) return(invisible())
  lengths <- vapply(has, function(j) gp_many_length(fit, j), numeric(ncol(fit$gp$box)))
  inform_far(fit$gp, coordinates, gp_many_coordinates(fit), apply(matrix(lengths, ncol(fit$gp$box)), 1, max))
}

# The basis of each window is periodic.
check_in_boxes <- function(fit, coordinates) {
  if (fit$gp$route != "fourier") return(invisible())
  for (columns in gp_many_groups(fit)) {
    longest <- columns[which.max(if (is.null(fit$gp$lengthscale)) fit$lengthscale[columns] else columns)]
    process <- list(
      route = "fourier", cov = fit$gp$cov, basis = fit$gp$bases[[fit$gp$window[longest]]], lengthscale = gp_many_length(fit, longest), aliasing = 0
    )
    check_in_box(list(gp = fit$gp, random = list(list(kernel = process))), coordinates)
  }
}

gp_fitted_cells <- function(fit) {
  value <- gp_many_own(fit) + fixed_part(fit, fixed_design(fit), fit$offset)
  value[is.na(fit$y)] <- NA
  dimnames(value) <- dimnames(fit$y)
  value
}

#' @rdname fastlmm_gp_mlm
#' @export
fitted.fastlmm_gp_mlm <- function(object, ...) {
  check_arguments(...)
  napredict(object$na.action, gp_fitted_cells(object))
}

#' @rdname fastlmm_gp_mlm
#' @export
residuals.fastlmm_gp_mlm <- function(object, type = c("response", "pearson", "working", "deviance"), scaled = FALSE, ...) {
  check_arguments(...)
  residual <- object$y - gp_fitted_cells(object)
  if (one_of(type) %in% c("pearson", "deviance") && !is.null(object$weights)) residual <- residual * sqrt(object$weights)
  if (scaled) residual <- sweep(residual, 2, positive_sigma(object), `/`)
  naresid(object$na.action, residual)
}

#' @rdname fastlmm_gp_mlm
#' @export
ranef.fastlmm_gp_mlm <- function(object, condVar = FALSE, drop = FALSE, whichel = NULL, ...) {
  check_arguments(...)
  if (condVar) abort_fastlmm(
    "no_variances", "conditional variances are not available for a gp() term; predict(se.fit = TRUE, random.only = TRUE) has standard errors"
  )
  wanted_groups(structure(list(structure(gp_many_own(object), dimnames = dimnames(object$y))), names = object$gp$name), whichel)
}

#' @rdname fastlmm_gp_mlm
#' @export
simulate.fastlmm_gp_mlm <- function(object, nsim = 1, seed = NULL, re.form = NA, newdata = NULL, ...) {
  check_arguments(...)
  if (!is.null(newdata)) return(many_new_draws(object, nsim, seed, re.form, newdata))
  nsim <- check_nsim(nsim, length(object$y))
  state <- seed_generator(seed)
  on.exit(state$restore())
  draws <- rep(list(matrix(NA_real_, nrow(object$y), ncol(object$y), dimnames = dimnames(object$y))), nsim)
  for (j in which(!is.na(object$logLik))) {
    one <- gp_column_fit(object, j)
    one$na.action <- NULL
    column <- simulate(one, nsim, re.form = re.form)
    for (s in seq_len(nsim)) draws[[s]][!is.na(object$y[, j]), j] <- column[[s]]
  }
  structure(lapply(draws, function(draw) napredict(object$na.action, draw)), names = paste0("sim_", seq_len(nsim)), seed = state$seed)
}

#' @rdname fastlmm_gp_mlm
#' @export
#' @exportS3Method lme4::refit fastlmm_gp_mlm
refit.fastlmm_gp_mlm <- function(object, newresp = NULL, ...) {
  abort_fastlmm("refit", "refit() is not available for many responses with a gp() term; call fastlmm_fit() with the new responses")
}
