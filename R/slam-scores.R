# Factors on the rows of the data, and what each response's variance is made of.

#' Factor scores
#'
#' @param object a fit by [slamglmm_fit()].
#' @param part `"all"`: the factors themselves; `"genetic"`: the part explained by the random effects, `Z u_F`, as its mean given the factor
#'   (with several random effects their sum); `"residual"`: the remainder. Effects of the covariates in `factors` are subtracted from the last
#'   two.
#' @param draws return all draws (rows x factors x draws) instead of their means?
#' @param ... not used; an unknown argument is an error.
#' @return A matrix, rows of the data x factors, in the order and with the signs of [factor_loadings()], for factors of about unit variance,
#'   with the posterior standard deviations as attribute `sd`. The product of scores and loadings is the contribution of the factors to the
#'   responses.
#' @examples
#' set.seed(1)
#' data <- data.frame(id = paste0("i", rep(1:20, 2)))
#' data$Y <- outer(rnorm(40), c(a = 2, b = -1, c = 0)) + matrix(rnorm(120), 40)
#' fit <- slamglmm_fit(Y ~ 1 + (1 | id), data, n_factors = 1, chains = 1, iter = 1000, seed = 1)
#' head(scores(fit))
#' head(scores(fit, "genetic"))
#' @export
scores <- function(object, ...) UseMethod("scores")

#' @rdname scores
#' @export
scores.slamglmm <- function(object, part = c("all", "genetic", "residual"), draws = FALSE, ...) {
  check_arguments(...)
  part <- one_of(part)
  check_has_draws(object)
  if (part != "all") check_identified(object, "scores()")
  found <- alignment(object)
  size <- c(nrow(object$Y), object$n_factors)
  names <- list(rownames(object$Y), factor_names(object))
  one <- function(i) {
    score <- to_rows(object, score_draw(object, i, part))[, found$order[, i], drop = FALSE]
    score * rep(found$sign[, i], each = size[1])
  }
  count <- count_draws(object)
  if (draws) check_matrix_memory(3 * prod(size), count, sprintf("scores of %d draws", count))
  if (draws) return(array(vapply(seq_len(count), one, matrix(0, size[1], size[2])), c(size, count), c(names, list(NULL))))
  # means and squares about the first draw: no cancellation where scores are sure
  first <- one(1)
  sum <- square <- matrix(0, size[1], size[2])
  for (i in seq_len(count)) {
    away <- one(i) - first
    sum <- sum + away
    square <- square + away^2
  }
  sd <- sqrt(pmax(square - sum^2 / count, 0) / (count - 1))
  structure(first + sum / count, dimnames = names, sd = structure(sd, dim = size, dimnames = names))
}

# Of draw i, in the rotated basis
score_draw <- function(fit, i, part) {
  at <- draw_place(fit, i)
  chain <- at$chain
  t <- at$t
  F <- kept_factors(fit, chain, t)
  if (part == "all") return(F)
  h <- chain$factors_h[, t]
  left <- F - fit$data$xf %*% array(chain$factors_b[, , t], dim(chain$factors_b)[1:2])
  if (is_several(fit)) {
    residual <- power_of_v(fit, left, chain$factors_point[, t], "inverse") * rep(1 - h, each = nrow(left))
    return(if (part == "genetic") left - residual else residual)
  }
  share <- outer(fit$basis$s, h, function(s, h) h * s / (h * s + 1 - h))
  if (part == "genetic") share * left else (1 - share) * left
}

#' Decomposition of the variance of each response
#'
#' @param object a fit by [slamglmm_fit()].
#' @param traits names or numbers of the responses to return; `NULL`: all.
#' @return A data frame with a row for each response and posterior means, in squared units of the response: `fixed`, the variance over the rows
#'   of the fit that the fixed effects predict; `factors_genetic` and `factors_residual`, the contributions of the random effect and of the
#'   residual through the factors; `own_genetic` and `own_residual`, those specific to the response. With several random effects each has
#'   columns of its own, such as `factors_id` and `own_id`, instead of `factors_genetic` and `own_genetic`. Where the random effect cannot be
#'   distinguished from the residual these are `NA`, and only their sums `factors` and `own` are given.
#' @examples
#' set.seed(1)
#' data <- data.frame(id = paste0("i", rep(1:20, 2)), x = rnorm(40))
#' data$Y <- outer(rep(rnorm(20), 2) + data$x, c(a = 1, b = -1)) + matrix(rnorm(80), 40)
#' fit <- slamglmm_fit(Y ~ x + (1 | id), data, n_factors = 1, chains = 1, iter = 1000, seed = 1)
#' variance_parts(fit)
#' @export
variance_parts <- function(object, traits = NULL) {
  check_arguments()
  check_slam(object, "variance_parts", "VarCorr(fit)")
  at <- trait_index(object, traits)
  X <- cbind(object$X, slam_extra(object))
  one <- function(d) {
    square <- d$Lambda[at, , drop = FALSE]^2
    B <- total_fixed(object, d)[, at, drop = FALSE]
    fixed <- X[, rownames(B), drop = FALSE] %*% B
    if (!is.null(object$cis)) fixed <- fixed + cis_times(object, object$cis$X, cis_of_draw(object, d$cis))[, at, drop = FALSE]
    fixed <- column_sd(fixed)^2
    own <- d$sigma2[at]
    cbind(fixed = fixed, factors = rowSums(square), own = own, factors_residual = drop(square %*% (1 - d$hF)), own_residual = (1 - d$h[at]) * own)
  }
  of_effect <- function(d) cbind(drop(d$Lambda[at, , drop = FALSE]^2 %*% d$hF), d$h[at] * d$sigma2[at])
  mean <- function(fit, what) rowMeans(each_draw(fit, what), dims = 2)
  effects <- lapply(effect_names(object), function(effect) mean(with_effect(object, effect), of_effect))
  names <- if (is_several(object)) beside(effect_names(object), "residual") else "genetic"
  column <- function(what, at) structure(do.call(cbind, lapply(effects, `[`, , at, drop = FALSE)), dimnames = list(NULL, paste0(what, "_", names)))
  whole <- mean(object, one)
  apart <- cbind(column("factors", 1), whole[, "factors_residual", drop = FALSE], column("own", 2), whole[, "own_residual", drop = FALSE])
  if (!is.null(object$unidentified)) apart[] <- NA
  data.frame(response = colnames(object$Y)[at], whole[, c("fixed", "factors", "own"), drop = FALSE], apart, row.names = NULL, check.names = FALSE)
}
