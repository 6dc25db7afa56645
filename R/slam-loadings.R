# Loadings of the factors of a sparse-factor model, and what of the responses' variance each factor is.

#' Factor loadings
#'
#' @param x a fit by [slamglmm_fit()]. `loadings(fit)`, which is [stats::loadings()], gives the means only.
#' @param align align the signs and the order of the factors of all draws and chains, by the cosines between their loadings (of scaled
#'   responses) and the mean loadings?
#' @param draws return all draws (responses x factors x draws) instead of their mean?
#' @param level probability of intervals; gives a table instead of the matrix of means.
#' @param traits names or numbers of the responses to return; `NULL`: all.
#' @return A matrix, responses x factors, in units of the responses for a factor of unit variance. Factors are in decreasing order of the size
#'   of their loadings; those with known loadings keep their places. With `level` a data frame with a row for each response and factor:
#'   `response`, `factor` and the columns of the table of [summary.slamglmm()]. An interval that contains both signs, or an rhat far from 1,
#'   may mean that the data do not distinguish one factor from another.
#' @examples
#' set.seed(1)
#' data <- data.frame(id = paste0("i", rep(1:20, 2)))
#' data$Y <- outer(rnorm(40), c(a = 2, b = -1, c = 0)) + matrix(rnorm(120), 40)
#' fit <- slamglmm_fit(Y ~ 1 + (1 | id), data, chains = 2, iter = 400, seed = 1)
#' factor_loadings(fit)
#' head(factor_loadings(fit, level = 0.9))
#' biplot(fit)
#' @export
factor_loadings <- function(x, align = TRUE, draws = FALSE, level = NULL, traits = NULL) {
  check_arguments()
  check_slam(x, "factor_loadings", "summary(fit)")
  at <- trait_index(x, traits)
  check_loadings_memory(x)
  all <- each_draw(x, function(d) d$Lambda)
  if (align) all <- aligned(all, alignment(x))
  all <- all[at, , , drop = FALSE]
  of_loadings(x, all, draws, level, "response")
}

# All draws, their means, or with a level a table of rows (what they are) and factors
of_loadings <- function(fit, all, draws, level, rows) {
  if (draws) return(all)
  if (is.null(level)) return(rowMeans(all, dims = 2))
  check_level(level)
  names <- dimnames(all)
  size <- dim(all)
  table <- if (size[1] * size[2] > 0) judged(fit, t(matrix(all, size[1] * size[2])), level) else judged(fit, matrix(0, size[3], 1), level)[0, ]
  data.frame(structure(list(rep(names[[1]], size[2]), rep(names[[2]], each = size[1])), names = c(rows, "factor")), table)
}

# All of them, and copies while they are aligned
check_loadings_memory <- function(fit) check_matrix_memory(4 * ncol(fit$Y) * fit$n_factors, count_draws(fit), sprintf("loadings of %d draws", count_draws(fit)))

# stats::loadings(fit) is fit$loadings: no generic of that name has to mask it. All else is as in any list.
#' @export
`$.slamglmm` <- function(x, name) {
  if (!identical(name, "loadings")) return(.subset2(x, name))
  caller <- parent.frame()
  more <- identical(parent.env(caller), asNamespace("stats")) && eval(quote(...length()), caller) > 0
  if (more) abort_fastlmm("unused_argument", "loadings() is that of stats and takes only a fit; use factor_loadings(fit, ...)")
  factor_loadings(x)
}

# Which factor of each draw is meant by the first, the second, ... of them all, and its sign: k x draws each. Those with known loadings stay where they are.
alignment <- function(fit) {
  # a cosine knows neither units of responses nor sizes of factors
  all <- each_draw(fit, function(d) d$Lambda / fit$scale$sd)
  k <- fit$n_factors
  known <- if (ncol(fit$data$known) > 0) which(rowSums(!is.na(fit$data$known)) > 0) else integer()
  count <- dim(all)[3]
  found <- list(order = matrix(seq_len(k), k, count), sign = matrix(1, k, count))
  free <- setdiff(seq_len(k), known)
  if (length(free) == 0) return(found)
  match <- call_rust(ffi_slam_align, as.double(all[, free, ]), dim(all)[1], length(free), control_threads(fit$control))
  found$order[free, ] <- free[match$order]
  found$sign[free, ] <- match$sign
  found
}

aligned <- function(all, alignment) {
  for (t in seq_len(dim(all)[3])) {
    value <- matrix(all[, , t], dim(all)[1], dim(all)[2])[, alignment$order[, t], drop = FALSE]
    all[, , t] <- value * rep(alignment$sign[, t], each = nrow(value))
  }
  all
}

#' Variance explained by factors
#'
#' @param object a fit by [slamglmm_fit()].
#' @param by `"factor"`: a row for each factor; `"response"`: a row for each response.
#' @param traits for `by = "response"`, names or numbers of the responses to return; `NULL`: all.
#' @return By factor, a data frame in the order of [factor_loadings()]: `variance`, the proportion of the total variance of the (scaled)
#'   responses that the factor explains; `h2`, the proportion of the factor's variance that the random effects explain together; `responses`,
#'   the number of responses that have more than a tenth of their variance from the factor. All are posterior means, so that a number of
#'   responses need not be whole. Factors that explain almost no variance are not needed.
#'
#'   By response, a data frame with the proportion of the variance of the response (without what fixed effects explain) that each factor
#'   explains, and `own`, the remainder.
#' @examples
#' set.seed(1)
#' data <- data.frame(id = paste0("i", rep(1:20, 2)))
#' data$Y <- outer(rnorm(40), c(a = 2, b = -1, c = 0)) + matrix(rnorm(120), 40)
#' fit <- slamglmm_fit(Y ~ 1 + (1 | id), data, n_factors = 2, chains = 1, iter = 1000, seed = 1)
#' factor_summary(fit)
#' factor_summary(fit, by = "response")
#' @export
factor_summary <- function(object, by = c("factor", "response"), traits = NULL) {
  check_arguments()
  by <- one_of(by)
  check_slam(object, "factor_summary", "summary(fit)")
  check_loadings_memory(object)
  if (by == "response") return(factor_shares(object, trait_index(object, traits)))
  k <- object$n_factors
  if (k == 0) return(data.frame(factor = character(), variance = numeric(), h2 = numeric(), responses = integer()))
  all <- each_draw(object, function(d) {
    square <- (d$Lambda / object$scale$sd)^2
    total <- rowSums(square) + d$sigma2 / object$scale$sd^2
    rbind(colSums(square) / sum(total), d$hF, colSums(square / total > 0.1))
  })
  mean <- ordered_mean(object, all)
  data.frame(factor = factor_names(object), variance = mean[1, ], h2 = if (is.null(object$unidentified)) mean[2, ] else NA_real_, responses = mean[3, ])
}

# Parts of the variance of each response
factor_shares <- function(fit, at) {
  share <- each_draw(fit, function(d) {
    square <- d$Lambda[at, , drop = FALSE]^2
    square / (rowSums(square) + d$sigma2[at])
  })
  mean <- if (fit$n_factors > 0) ordered_mean(fit, share) else matrix(0, length(at), 0)
  colnames(mean) <- factor_names(fit)
  data.frame(response = colnames(fit$Y)[at], mean, own = 1 - rowSums(mean), row.names = NULL)
}

# Mean over the draws of what factors have, without a sign, in the order of the loadings
ordered_mean <- function(fit, all) {
  order <- alignment(fit)$order
  rowMeans(aligned(all, list(order = order, sign = array(1, dim(order)))), dims = 2)
}
