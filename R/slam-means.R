# Random effects, fitted values and missing cells of a sparse-factor model: posterior means, and draws.

#' @rdname predict.slamglmm
#' @export
ranef.slamglmm <- function(object, draws = FALSE, condVar = FALSE, which = c("all", "observed"), ..., whichel = NULL) {
  check_arguments(...)
  which <- one_of(which)
  check_identified(object, "ranef()")
  at <- lapply(object$random, function(random) if (which == "all") seq_along(random$ids) else random$index)
  mean <- function(random, at, alpha) {
    effects <- kernel_block(random, at, random$index) %*% alpha
    structure(effects, dimnames = list(random$ids[at], colnames(object$Y)))
  }
  effects <- Map(mean, object$random, at, slam_alpha(object))
  if (draws || condVar) all <- if (is_several(object)) several_effect_draws(object, at) else list(id_effect_draws(object, at[[1]]))
  if (draws) effects <- all
  if (condVar) effects <- Map(function(effects, all) structure(effects, postVar = effect_covariances(all)), effects, all)
  effects <- wanted_groups(structure(effects, names = effect_names(object)), whichel)
  if (draws) effects else structure(effects, class = "ranef.slamglmm")
}

#' @rdname predict.slamglmm
#' @export
as.data.frame.ranef.slamglmm <- function(x, row.names = NULL, optional = FALSE, ...) {
  check_arguments(...)
  framed <- function(effects) structure(data.frame(effects, check.names = FALSE), postVar = attr(effects, "postVar"))
  do.call(rbind, unname(Map(long_effects, lapply(x, framed), names(x))))
}

#' @rdname predict.slamglmm
#' @export
print.ranef.slamglmm <- function(x, ...) {
  variance <- !is.null(attr(x[[1]], "postVar"))
  print(lapply(x, function(effects) structure(effects, postVar = NULL)), ...)
  if (variance) cat("with posterior covariances for", quoted(names(x)), "\n")
  invisible(x)
}

# Ids x responses x draws
id_effect_draws <- function(fit, at) {
  random <- fit$random[[1]]
  check_matrix_memory(4 * length(at), length(at), sprintf("the kernel of %d ids", length(at)))
  cross <- kernel_block(random, at, random$index)[, random$group, drop = FALSE] * rep(random$z, each = length(at))
  target <- kernel_target(cross, kernel_block(random, at, at), fit$basis, fit$basis$s, fit$basis$mean_diag)
  cells <- cell_drawer(fit)
  each_effect(fit, random$ids[at], function(d) effect_draw(fit, target, d, cells))
}

effect_covariances <- function(all) {
  size <- dim(all)
  check_answer_memory(size[2]^2, size[1], 1)
  one <- function(i) stats::cov(t(matrix(all[i, , ], size[2])))
  array(vapply(seq_len(size[1]), one, matrix(0, size[2], size[2])), size[c(2, 2, 1)], dimnames(all)[c(2, 2, 1)])
}

# Of each effect, numbers by which the predicted effects of any ids are K[ids, observed] alpha, observed ids x responses: posterior means of `Z' V^-1 r h`, of
# factors and of what is left of each response
slam_alpha <- function(fit) {
  if (is_several(fit)) return(several_alpha(fit))
  check_has_draws(fit)
  sum <- matrix(0, nrow(fit$Y), ncol(fit$Y))
  for (chain in fit$draws) for (t in seq_len(ncol(chain$sigma2))) sum <- sum + rotated_alpha(fit, chain, t)
  cells <- turn_back(fit$basis, sum) * rep(fit$scale$sd, each = nrow(sum)) / (count_draws(fit) * fit$basis$mean_diag)
  random <- fit$random[[1]]
  list(rowsum(cells * random$z, factor(random$group, levels = seq_along(random$index)), reorder = TRUE))
}

# Of one draw, in the rotated basis and in units of scaled responses
rotated_alpha <- function(fit, chain, t) {
  F <- kept_factors(fit, chain, t)
  theta <- array(chain$theta[, , t], dim(chain$theta)[1:2])
  bF <- array(chain$factors_b[, , t], dim(chain$factors_b)[1:2])
  b <- ncol(fit$X)
  share <- function(h) outer(fit$basis$s, h, function(s, h) h / (h * s + 1 - h))
  fitted <- fitted_in_basis(fit, F, theta, chain$cis[, t])
  alpha <- if (length(fit$data$sets) > 0) alpha_of_sets(fit, chain$h[, t], fitted) else share(chain$h[, t]) * (completed_y(fit, chain, t) - fitted)
  if (fit$n_factors > 0) alpha <- alpha + (share(chain$factors_h[, t]) * (F - fit$data$xf %*% bF)) %*% theta[b + seq_len(fit$n_factors), , drop = FALSE]
  alpha
}

# The part of each response, in the bases of the sets: rows that were not observed say nothing
alpha_of_sets <- function(fit, h, fitted) {
  fitted <- turn_back(fit$basis, fitted)
  alpha <- matrix(0, nrow(fitted), ncol(fitted))
  for (set in fit$data$sets) {
    share <- outer(set$s, h[set$traits], function(s, h) h / (h * s + 1 - h))
    left <- turn_to(set$basis, set$y - fitted[set$rows, set$traits, drop = FALSE])
    alpha[set$rows, set$traits] <- turn_back(set$basis, share * left)
  }
  turn_to(fit$basis, alpha)
}

# Q'Y with the missing cells of a draw
completed_y <- function(fit, chain, t) {
  if (drawn_cells(fit) == 0) return(fit$data$y)
  cells <- matrix(0, nrow(fit$Y), ncol(fit$Y))
  cells[missing_cells(fit)] <- kept_cells(fit, chain, t)
  fit$data$y + turn_to(fit$basis, cells)
}

missing_cells <- function(fit) cbind(unlist(fit$missing), rep(seq_along(fit$missing), lengths(fit$missing)))

#' @rdname predict.slamglmm
#' @export
fitted.slamglmm <- function(object, draws = FALSE, times = NULL, ...) {
  check_arguments(...)
  check_has_draws(object)
  rows <- c(own_rows(object), response = FALSE, data = has_links(object))
  if (!is.null(times)) return(own_curves(object, times, draws))
  value <- if (draws) slam_answers(object, rows, seq_len(count_targets(rows))) else expected_rows(object, rows)
  put_rows(rows, value)
}

#' @rdname predict.slamglmm
#' @export
residuals.slamglmm <- function(object, ...) {
  check_arguments(...)
  object$Y + own_offset(object) - fitted.slamglmm(object)
}

# ---- missing cells ------------------------------------------------------------------------------------------

# Posterior means of X B + F Lambda' + Z U of each response, in units of the responses: the factors whole, with what is not random effect
expected_y <- function(fit) {
  sum <- 0
  for (chain in fit$draws) for (t in seq_len(ncol(chain$sigma2))) {
    F <- kept_factors(fit, chain, t)
    fitted <- cbind(fit$data$x, F) %*% array(chain$theta[, , t], dim(chain$theta)[1:2])
    sum <- sum + fitted + fit$basis$s * alpha_of_sets(fit, chain$h[, t], fitted)
  }
  as_responses(fit, turn_back(fit$basis, sum) / count_draws(fit))
}

#' Responses with missing cells at their posterior means
#'
#' The responses of the fit, completed: a missing cell has its posterior mean, an observed one its value. For traits measured through
#' [slam_probes()] or [slam_curves()] all cells count as missing: the latent value itself is drawn.
#' @param object a fit by [slamglmm_fit()].
#' @param draws return all draws of the missing cells instead of the completed responses?
#' @return The responses, rows x responses, with missing cells at the posterior mean (with a family, of the expected response). With `draws`, a
#'   matrix with a row for each missing cell (response by response) and a column for each draw.
#' @examples
#' set.seed(1)
#' data <- data.frame(id = paste0("i", rep(1:20, 2)))
#' data$Y <- outer(rnorm(40), c(a = 1, b = -1)) + matrix(rnorm(80, sd = 0.5), 40)
#' data$Y[3, "b"] <- NA
#' fit <- slamglmm_fit(Y ~ 1 + (1 | id), data, chains = 1, iter = 1000, seed = 1)
#' posterior_cells(fit)[2:4, ]
#' quantile(posterior_cells(fit, draws = TRUE), c(0.05, 0.95))
#' @export
posterior_cells <- function(object, draws = FALSE) {
  check_arguments()
  check_slam(object, "posterior_cells", "fitted(fit)")
  check_has_draws(object)
  cells <- missing_cells(object)
  # of values behind a family those whose datum is missing, of what columns and points measure all
  gone <- is.na(object$Y[cells]) | latent_traits(object)[cells[, 2]]
  Y <- object$Y
  if (length(object$data$sets) > 0 && !draws) {
    Y[cells] <- expected_y(object)[cells]
    return(Y + object$offset)
  }
  all <- if (length(object$data$sets) > 0) integrated_cells(object) else all_cells(object)
  value <- all * object$scale$sd[cells[, 2]] + shift_of_rows(object)[cells]
  value <- (value + offset_matrix(object)[cells])[gone, , drop = FALSE]
  cells <- cells[gone, , drop = FALSE]
  if (has_links(object)) value <- cells_as_data(object, value, cells)
  if (draws) return(unname(value))
  Y <- Y + own_offset(object)
  Y[cells] <- rowMeans(value)
  Y
}

# Traits that are never observed themselves
latent_traits <- function(fit) {
  if (!has_links(fit)) return(logical(ncol(fit$Y)))
  vapply(fit$links, function(own) !is.null(own) && isTRUE(family_of(own)$latent), NA)
}

# Draws of values in some cells, as what is expected of their data: the value has the residual already
cells_as_data <- function(fit, value, cells) {
  parameters <- link_values(fit)
  places <- link_places(fit)
  for (j in intersect(cells[, 2], which(behind_link(fit$links)))) {
    at <- cells[, 2] == j
    own <- fit$links[[j]]
    for (t in seq_len(ncol(value))) value[at, t] <- family_of(own)$response(value[at, t], own, parameters[places[[own$response]], t], 0)
  }
  value
}

all_cells <- function(fit) {
  if (!"cells" %in% kept(fit)) abort_not_kept(fit, "cells")
  do.call(cbind, lapply(fit$draws, `[[`, "cells"))
}

# Draws of cells that the sampler integrated out, given all else, in units of scaled responses
integrated_cells <- function(fit) {
  check_answer_memory(sum(lengths(fit$missing)), 1, count_draws(fit))
  cells <- cell_drawer(fit)
  state <- seed_generator(fit$seed %% .Machine$integer.max)
  on.exit(state$restore())
  one <- function(i) {
    d <- scaled_draw(fit, i)
    cells(d, turn_back(fit$basis, cbind(fit$data$x, d$F) %*% d$theta))
  }
  matrix(vapply(seq_len(count_draws(fit)), one, numeric(sum(lengths(fit$missing)))), ncol = count_draws(fit))
}
