#' Simulate from a fitted model
#'
#' Exact draws of the response. With `re.form = NA` (the default, as in `lme4`) new random effects `u ~ N(0, sigma2 K)` are drawn, so that the
#' draws have covariance `sigma2 Z K Z' + sigma2_e W^-1`; K may be singular. With `re.form = NULL` the predicted effects are kept and only the
#' residuals are new; with a formula of some of the random terms the effects of these are kept and the others drawn. Prior weights and offset
#' are respected.
#'
#' @param object a fit by [fastlmm_fit()].
#' @param nsim number of draws.
#' @param seed as for [stats::simulate()]; the state of the generator is restored afterwards.
#' @param re.form `NA` or `~ 0`: new random effects; `NULL`: those of the fit; a formula of random terms: those of the fit for these terms.
#' @param newdata data frame of other rows for which responses are drawn; for a [gp()] term these may be at other coordinates. Ids of a kernel
#'   are drawn with their covariances; without a kernel every id is new; prior weights are 1. With `re.form = NULL` the ids must be those of
#'   the fit.
#' @param ... not used; an unknown argument is an error.
#' @return A data frame with a row for each row of the data (`NA` where `na.action = na.exclude` left one out), columns `sim_1`, `sim_2`, ...,
#'   and the seed as attribute `seed`.
#' @examples
#' fit <- fastlmm_fit(distance ~ age + (1 | Subject), nlme::Orthodont)
#' head(simulate(fit, 2, seed = 1))
#' simulate(fit, 2, seed = 1, newdata = data.frame(age = c(8, 14), Subject = "someone"))
#' @export
simulate.fastlmm <- function(object, nsim = 1, seed = NULL, re.form = NA, newdata = NULL, ...) {
  check_arguments(...)
  if (!is.null(newdata)) return(simulate_new(object, nsim, seed, re.form, newdata))
  check_has_rows(object, "simulate()")
  nsim <- check_nsim(nsim, object$nobs)
  kept <- conditioned_on(object, re.form)
  state <- seed_generator(seed)
  on.exit(state$restore())
  draws <- population_fit(object) + random_fit(object, kept) + residual_draws(object, nsim) + random_draws(object, nsim, !kept)
  structure(draws_frame(object, draws), seed = state$seed)
}

# Effects that are kept as predicted; the rest of a correlated term would have to be drawn given these
conditioned_on <- function(fit, re.form) {
  kept <- names(fit$random) %in% names(wanted_random(fit, re.form))
  partly <- Filter(function(own) any(kept[own]) && !all(kept[own]), split(seq_along(kept), block_numbers(fit$random)))
  if (length(partly) == 0) return(kept)
  whole <- deparse1(random_term(fit$random[[partly[[1]][1]]]))
  abort_fastlmm(
    "re_form",
    paste0(
      "re.form = ", deparse1(re.form), " holds some of the effects of ", whole, ", and their covariance is of all of them: hold them all, ~ ", whole,
      ", or none"
    )
  )
}

# ---- other rows -----------------------------------------------------------------------------------------

simulate_new <- function(fit, nsim, seed, re.form, newdata) {
  if (is_gp_fit(fit)) return(simulate_gp(fit, nsim, seed, re.form, newdata))
  kept <- conditioned_on(fit, re.form)
  design <- forge_design(fit, newdata)
  n <- nrow(design$X)
  nsim <- check_nsim(nsim, n)
  state <- seed_generator(seed)
  on.exit(state$restore())
  mean <- drop(design$X[, fit$kept, drop = FALSE] %*% fit$coefficients[fit$kept]) + design$offset
  draws <- mean + sqrt(new_residual_variance(fit, as_data_frame(newdata))) * matrix(rnorm(n * nsim), ncol = nsim)
  for (labels in blocks_of(fit$random)) {
    own <- match(labels, names(fit$random))
    root <- sqrt(fit$sigma2_e) * relative_root(fit)[own, own, drop = FALSE]
    draws <- draws + new_effects(fit$random[own], design$random[own], root, nsim, kept[own[1]])
  }
  dimnames(draws) <- list(rownames(newdata), paste0("sim_", seq_len(nsim)))
  structure(as.data.frame(draws), seed = state$seed)
}

# A process in other places, and the effects beside it
simulate_gp <- function(fit, nsim, seed, re.form, newdata) {
  wanted <- gp_wanted(fit, re.form)
  others <- fit$random[-1]
  design <- forge_design(fit, newdata, others)
  frame <- as_data_frame(newdata)
  n <- nrow(design$X)
  nsim <- check_nsim(nsim, n)
  coordinates <- target_coordinates(fit, frame, FALSE)
  known <- rowSums(is.na(coordinates)) == 0
  state <- seed_generator(seed)
  on.exit(state$restore())
  mean <- drop(design$X[, fit$kept, drop = FALSE] %*% fit$coefficients[fit$kept]) + design$offset
  draws <- mean + sqrt(new_residual_variance(fit, frame)) * matrix(rnorm(n * nsim), ncol = nsim)
  at <- coordinates[known, , drop = FALSE]
  draws[known, ] <- draws[known, ] + if (wanted[1]) gp_process(fit, at) else process_draws(fit, fit$sigma2[[1]], nsim, at)
  draws[!known, ] <- NA
  for (k in seq_along(others)) draws <- draws + new_effects(others[k], design$random[k], matrix(sqrt(fit$sigma2[[k + 1]])), nsim, wanted[k + 1])
  dimnames(draws) <- list(rownames(newdata), paste0("sim_", seq_len(nsim)))
  structure(as.data.frame(draws), seed = state$seed)
}

# The effects of a block in other rows, drawn or as predicted
new_effects <- function(random, new, root, nsim, kept) {
  if (kept) return(Reduce(`+`, Map(kept_effect, random, new)))
  block_draws(Map(drawn_places, random, new), root, nsim)
}

kept_effect <- function(random, new) {
  id <- unique(new$id)
  random <- extend_product(random, id)
  new$z * unname(blup(random))[known_places(random, id)][match(new$id, id)]
}

known_places <- function(random, id) {
  at <- match(id, random$ids)
  if (anyNA(at)) abort_new_levels(id[is.na(at)], random)
  at
}

# Without a kernel ids need not be known to be drawn.
drawn_places <- function(random, new) {
  id <- unique(new$id)
  random <- extend_product(random, id)
  random$index <- if (is.null(random$kernel)) seq_along(id) else known_places(random, id)
  random$group <- match(new$id, id)
  random$z <- new$z
  random
}

# ---- parts ----------------------------------------------------------------------------------------------

residual_draws <- function(fit, nsim) {
  sd <- sqrt(fit$sigma2_e / prior_weights(fit))
  sd * matrix(rnorm(fit$nobs * nsim), ncol = nsim)
}

random_draws <- function(fit, nsim, which) {
  if (is_gp_fit(fit)) {
    draws <- function(random, sigma2) if (is_process(random$kernel)) process_draws(fit, sigma2, nsim) else effect_draws(random, sigma2, nsim)
    return(Reduce(`+`, Map(draws, fit$random[which], fit$sigma2[which]), 0))
  }
  chosen <- names(fit$random)[which]
  of_block <- function(labels) {
    own <- match(labels, names(fit$random))
    block_draws(fit$random[own], sqrt(fit$sigma2_e) * relative_root(fit)[own, own, drop = FALSE], nsim)
  }
  Reduce(`+`, lapply(Filter(function(labels) labels[1] %in% chosen, blocks_of(fit$random)), of_block), 0)
}

effect_draws <- function(random, sigma2, nsim) random$z * sqrt(sigma2) * level_draws(random, nsim)[random$group, , drop = FALSE]

# Effects whose covariance is L L' over that of their levels
block_draws <- function(random, L, nsim) {
  u <- lapply(random, level_draws, nsim)
  of_term <- function(k) {
    b <- Reduce(`+`, lapply(seq_along(u), function(l) L[k, l] * u[[l]]))
    random[[k]]$z * b[random[[k]]$group, , drop = FALSE]
  }
  Reduce(`+`, lapply(seq_along(u), of_term))
}

# Draws with the covariance of the levels, a column each
level_draws <- function(random, nsim) {
  normal <- function(rows) matrix(rnorm(rows * nsim), ncol = nsim)
  K <- random$kernel
  u <- if (is_lowrank(K)) as.matrix(K$W[random$index, , drop = FALSE] %*% normal(ncol(K$W))) else normal(length(random$index))
  if (is_precision(K)) return(precision_root(K, u))
  if (is.matrix(K)) kernel_root(K[random$index, random$index, drop = FALSE], u) else u
}

# L u with K = L L': a pivoted Cholesky stops at the rank of a singular K.
kernel_root <- function(K, u) {
  root <- suppressWarnings(chol(K, pivot = TRUE))
  rank <- seq_len(attr(root, "rank"))
  crossprod(root[rank, order(attr(root, "pivot")), drop = FALSE], u[rank, , drop = FALSE])
}

draws_frame <- function(fit, draws) {
  colnames(draws) <- paste0("sim_", seq_len(ncol(draws)))
  rownames(draws) <- rownames(fit$frame)
  as.data.frame(napredict(fit$na.action, draws))
}

# The protocol of stats::simulate: the state before drawing, or the seed that was asked for and its kind of generator.
seed_generator <- function(seed) {
  global <- globalenv()
  if (is.null(seed) && !exists(".Random.seed", envir = global, inherits = FALSE)) runif(1)
  before <- get0(".Random.seed", envir = global, inherits = FALSE)
  if (is.null(seed)) return(list(seed = before, restore = function() NULL))
  set.seed(checked_seed(seed))
  list(
    seed = structure(seed, kind = as.list(RNGkind())),
    # what was absent is absent again
    restore = function() if (is.null(before)) rm(".Random.seed", envir = global) else assign(".Random.seed", before, envir = global)
  )
}

checked_seed <- function(seed) {
  if (is.null(seed) || is_seed(seed)) return(seed)
  abort_fastlmm("seed", paste("seed must be one number, or NULL, not", deparse1(seed)))
}

is_seed <- function(seed) is.numeric(seed) && length(seed) == 1 && is.finite(seed) && abs(seed) <= .Machine$integer.max

# `size` numbers a draw, and some more on the way
check_nsim <- function(nsim, size) {
  if (!(is.numeric(nsim) && length(nsim) == 1 && is.finite(nsim) && nsim >= 1)) abort_fastlmm(
    "nsim", paste0("nsim must be a whole number of at least 1, not ", code_text(nsim))
  )
  check_matrix_memory(3 * size, nsim, sprintf("%.0f draws of %.0f numbers", nsim, size))
  floor(nsim)
}
