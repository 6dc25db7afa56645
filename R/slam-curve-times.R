# Curves of a fit at times: the basis there, fitted values and predictions.

#' @rdname slam_curves
#' @param object a fit by [slamglmm_fit()] with curves.
#' @param times numeric vector of times.
#' @return `basis_at()`: a matrix, times (of each series) x traits of the fit.
#' @export
basis_at <- function(object, times) {
  check_arguments()
  check_slam(object, "basis_at", "the design of the model")
  times <- read_times(times)
  series <- fit_series(object)
  B <- matrix(0, length(times) * length(series), ncol(object$Y), dimnames = list(time_names(series, times), colnames(object$Y)))
  for (s in seq_along(series)) B[(s - 1) * length(times) + seq_along(times), series[[s]]$traits] <- basis_matrix(series[[s]]$basis, times)
  B
}

time_names <- function(series, times) {
  text <- format(times, trim = TRUE, digits = 15)
  if (length(series) == 1) text else paste0(rep(vapply(series, `[[`, "", "series"), each = length(times)), ":", text)
}

read_times <- function(times) {
  if (!are_times(times)) abort_curves(paste("times must be finite numbers, not", code_text(times)))
  as.numeric(times)
}

fit_series <- function(fit) {
  series <- unname(Filter(function(own) identical(own$family, "curves"), fit$links))
  if (length(series) == 0) abort_curves("times are for fits with slam_curves() on the left side")
  series
}

# Rows x times x series, and as predict() else
curve_answers <- function(fit, rows, times, interval, level, draws, se.fit) {
  times <- read_times(times)
  B <- basis_at(fit, times)
  rows$responses <- rownames(B)
  rows$response <- interval == "prediction"
  shape <- function(value) curve_array(fit, value, times)
  if (interval == "none" && !draws && !se.fit) return(shape(put_rows(rows, expected_rows(fit, rows) %*% t(B))))
  all <- slam_answers(fit, rows, seq_len(count_targets(rows)))
  all <- array(apply(all, 3, function(eta) matrix(eta, ncol = ncol(B)) %*% t(B)), c(dim(all)[1], nrow(B), dim(all)[3]))
  if (interval == "prediction") all <- all + with_seed_of(fit, curve_noise(fit, length(times), dim(all)))
  if (draws) return(shape(put_rows(rows, all)))
  spread <- cell_spread(all, level)
  mean <- expected_rows(fit, rows) %*% t(B)
  value <- shape(
    put_rows(rows, if (interval == "none") mean else array(c(mean, spread$low, spread$high), c(dim(mean), 3), list(NULL, NULL, c("fit", "lwr", "upr"))))
  )
  if (se.fit) list(fit = value, se.fit = shape(put_rows(rows, spread$sd))) else value
}

# The rows' own curves: means, or draws
own_curves <- function(fit, times, draws) {
  times <- read_times(times)
  B <- basis_at(fit, times)
  used <- colnames(B) %in% unlist(lapply(fit_series(fit), `[[`, "traits"))
  cells <- missing_cells(fit)
  at <- used[cells[, 2]]
  eta <- all_cells(fit)[at, , drop = FALSE]
  if (!draws) eta <- matrix(rowMeans(eta))
  cells <- cells[at, , drop = FALSE]
  level <- fit$X %*% slam_shift(fit)
  eta <- eta * fit$scale$sd[cells[, 2]] + level[cells]
  n <- nrow(fit$Y)
  value <- apply(eta, 2, function(draw) matrix(draw, n) %*% t(B[, used, drop = FALSE]))
  value <- array(value, c(n, nrow(B), ncol(eta)), list(rownames(fit$Y), NULL, NULL))
  if (!draws) value <- array(value, dim(value)[1:2], dimnames(value)[1:2])
  curve_array(fit, value, times)
}

# rows x (times of each series) x more, as rows x times x series x more
curve_array <- function(fit, value, times) {
  series <- vapply(fit_series(fit), `[[`, "", "series")
  array(
    value, c(nrow(value), length(times), length(series), dim(value)[-(1:2)]),
    c(list(rownames(value), format(times, trim = TRUE, digits = 15), series), dimnames(value)[-(1:2)])
  )
}

# Noise of points, rows x (times of each series) x draws
curve_noise <- function(fit, times, size) {
  places <- link_places(fit)
  variance <- link_values(fit)[vapply(fit_series(fit), function(own) places[[own$response]], 0L), , drop = FALSE]
  sd <- sqrt(variance[rep(seq_len(nrow(variance)), each = times), , drop = FALSE])
  array(stats::rnorm(prod(size)), size) * rep(sd, each = size[1])
}

with_seed_of <- function(fit, code) {
  state <- seed_generator(fit$seed %% .Machine$integer.max)
  on.exit(state$restore())
  code
}
