# Factors on the rows of the data, and what each response's variance is made of.

#' Scores of factors
#'
#' @param object a fit by [slamglmm_fit()].
#' @param part `"all"`: the factors themselves; `"genetic"`: what of them the random effect explains, `Z u_F`, its mean given the factor (with several random effects the sum of all of them); `"residual"`: what is left, covariates of `factors` taken off both.
#' @param draws all draws (rows x factors x draws) instead of their means?
#' @param ... not used; an unknown argument is an error.
#' @return A matrix, rows of the data x factors, in the order and with the signs of [factor_loadings()], of factors of about unit variance; the posterior standard deviations as attribute `sd`. Products of scores and loadings are
#'   what the factors say of the responses.
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

#' What the variance of each response is made of
#'
#' @param object a fit by [slamglmm_fit()].
#' @param traits names or numbers of the responses that are wanted; `NULL`: all.
#' @return A data frame with a row for each response and posterior means, in units of the response squared: `fixed`, the variance of what all fixed effects predict in the rows of the fit; `factors_genetic`, `factors_residual`,
#'   what goes through the factors; `own_genetic`, `own_residual`, what is the response's own; of these four the first and third are the random effect's; with several random effects each has columns of its own, as `factors_id` and `own_id`, in place of these two. They are `NA` where the random effect cannot be told from the residual,
#'   but for their sums `factors` and `own`.
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
