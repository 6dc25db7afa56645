#' Random effects: best linear unbiased predictions
#'
#' The prediction for id `j` is `sigma2 K[j, ] Z' V^-1 (y - X beta)`. Ids of K without a row in the data are predicted too.
#'
#' @param object a fit by [fastlmm_fit()]; for `autoplot()` the value of `ranef()`.
#' @param condVar add the conditional variance of the effects given the data (and given `beta`, as in `lme4`) as attribute `postVar`? It costs
#'   a factorisation of K.
#' @param which `"observed"`: ids with a row in the data; `"all"`: all ids of K.
#' @param drop return grouping factors with one effect as named vectors, with their variances as attribute `postVar`?
#' @param whichel names of the grouping factors to return; `NULL`: all.
#' @param x the value of `ranef()` or `coef()`.
#' @param row.names,optional as in [as.data.frame()], not used.
#' @param ... of `dotplot()` and `qqmath()`, passed to `lattice`; else not used: an unknown argument is an error.
#' @return `ranef()`: a list of class `ranef.fastlmm` with a data frame for each grouping factor, named by it, which has a row for each id and
#'   a column `(Intercept)` (or the name of the slope). With `condVar` the data frame carries the attribute `postVar`, an array effects x
#'   effects x ids, which includes the covariances between the effects of one id. `as.data.frame()` gives `grpvar`, `term`, `grp`, `condval`
#'   and, with `condVar`, `condsd`. `coef()`: the same shape, fixed effects plus random effects. `plot()` and `autoplot()` (a `ggplot` object)
#'   draw the effects in increasing order, with intervals where there are conditional variances; `lattice::dotplot()` and `lattice::qqmath()`
#'   give lists of pictures by grouping factor, as of `lme4`'s fits.
#' @examples
#' fit <- fastlmm_fit(distance ~ age + (1 | Subject), nlme::Orthodont)
#' head(as.data.frame(ranef(fit)))
#' head(coef(fit)$Subject)
#' plot(ranef(fit))
#' if (requireNamespace("ggplot2", quietly = TRUE)) ggplot2::autoplot(ranef(fit))
#' @order 1
#' @export
ranef.fastlmm <- function(object, condVar = TRUE, which = c("observed", "all"), drop = FALSE, whichel = NULL, ...) {
  check_arguments(...)
  which <- one_of(which, c("observed", "all"))
  groups <- wanted_groups(by_group(object), whichel)
  known <- vapply(groups, keeps_covariances, NA, fit = object, which = which)
  if (condVar && length(object$random) > 1 && !is_gp_fit(object) && !is_sparse_fit(object) && !all(known)) object$prepared <- prepare_mix(object)
  effects <- lapply(groups, group_effects, fit = object, condVar = condVar, which = which)
  structure(if (drop) lapply(effects, dropped_frame) else effects, class = "ranef.fastlmm")
}

wanted_groups <- function(groups, whichel) {
  if (is.null(whichel)) return(groups)
  if (length(whichel) == 0) abort_fastlmm("group", paste0("whichel names no grouping factor; there are ", first_names(names(groups))))
  known <- if (is.numeric(whichel)) seq_along(groups) else names(groups)
  if (!all(whichel %in% known)) abort_fastlmm(
    "group", paste0("no grouping factor ", first_names(setdiff(whichel, known)), "; there are ", first_names(names(groups)))
  )
  groups[whichel]
}

dropped_frame <- function(frame) {
  if (length(frame) != 1) return(frame)
  variance <- attr(frame, "postVar")
  structure(frame[[1]], names = rownames(frame), postVar = if (!is.null(variance)) variance[1, 1, ])
}

# A column for each effect of one grouping factor
group_effects <- function(labels, fit, condVar, which) {
  random <- fit$random[labels]
  rows <- if (which == "all") seq_along(random[[1]]$ids) else places_with_data(random[[1]])
  id <- random[[1]]$ids[rows]
  frame <- as.data.frame(lapply(random, function(one) blup(one)[id]), row.names = id, col.names = vapply(random, effect_name, ""), optional = TRUE)
  if (condVar) attr(frame, "postVar") <- post_var(fit, labels, id)
  frame
}

# Are the covariances of these effects part of the fit? Those of crossed groups without a kernel are.
keeps_covariances <- function(fit, labels, which) {
  random <- fit$random[[labels[1]]]
  (which == "observed" || length(random$index) == length(random$ids)) && !is.null(kept_covariances(fit, labels, random$ids[random$index]))
}

# Effects x effects x ids; NULL if they are not kept
kept_covariances <- function(fit, labels, id) {
  kept <- fit$rotated$conditional
  random <- fit$random[[labels[1]]]
  number <- match(labels, names(fit$random))
  row <- match(id, random$ids[random$index])
  if (length(kept$first) == 0 || anyNA(row)) return(NULL)
  out <- array(0, c(length(labels), length(labels), length(id)))
  for (i in seq_along(labels)) for (j in seq_len(i)) {
    pair <- which(kept$first == max(number[c(i, j)]) & kept$second == min(number[c(i, j)]))
    if (length(pair) == 0) return(NULL)
    out[i, j, ] <- out[j, i, ] <- kept$covariance[[pair]][row]
  }
  out
}

# Effects x effects x ids
post_var <- function(fit, labels, id) {
  kept <- kept_covariances(fit, labels, id)
  if (!is.null(kept)) return(kept)
  count <- length(labels)
  constant <- function(weights) matrix(weights, length(id), length(weights), byrow = TRUE)
  variance <- sum_variance(fit, labels, id, lapply(seq_len(count), function(i) constant(as.numeric(seq_len(count) == i))))
  out <- array(0, c(count, count, length(id)))
  for (i in seq_len(count)) out[i, i, ] <- variance[, i]
  pairs <- which(upper.tri(diag(count)), arr.ind = TRUE)
  if (nrow(pairs) == 0) return(out)
  covariance <- pair_covariance(fit, labels, id, pairs, sqrt(pmax(variance, 0)))
  for (p in seq_len(nrow(pairs))) out[pairs[p, 1], pairs[p, 2], ] <- out[pairs[p, 2], pairs[p, 1], ] <- covariance[, p]
  out
}

# 4 cov(a, b) = var(a + b) - var(a - b), of effects in units of their standard deviations so that neither drowns the other
pair_covariance <- function(fit, labels, id, pairs, sd) {
  unit <- ifelse(sd > 0, 1 / sd, 0)
  one <- function(i, sign) unit[, i] * outer(rep(1, length(id)), (pairs[, 1] == i) + sign * (pairs[, 2] == i))
  weights <- lapply(seq_along(labels), function(i) cbind(one(i, 1), one(i, -1)))
  sums <- sum_variance(fit, labels, id, weights)
  plus <- seq_len(nrow(pairs))
  (sums[, plus, drop = FALSE] - sums[, -plus, drop = FALSE]) / 4 * sd[, pairs[, 1], drop = FALSE] * sd[, pairs[, 2], drop = FALSE]
}

# Variances, given the data and beta, of weighted sums of the effects of each id: ids x sums. `weights` has such a matrix for each effect.
sum_variance <- function(fit, labels, id, weights) {
  random <- fit$random[labels]
  target <- lapply(weights, function(w) list(id = rep(id, ncol(w)), z = c(w)))
  sources <- lapply(random, kernel_source, id = id, K = NULL, allow.new.levels = FALSE)
  targets <- list(X = matrix(0, length(weights[[1]]), 0), random = structure(target, names = labels))
  matrix(target_variance(fit, targets, sources), length(id))
}

#' @rdname ranef.fastlmm
#' @export
as.data.frame.ranef.fastlmm <- function(x, row.names = NULL, optional = FALSE, ...) {
  check_arguments(...)
  do.call(rbind, unname(Map(long_effects, x, names(x))))
}

long_effects <- function(frame, group) {
  if (!is.data.frame(frame)) frame <- undropped_frame(frame)
  id <- rownames(frame)
  term <- names(frame)
  out <- data.frame(
    grpvar = group, term = factor(rep(term, each = length(id)), levels = term), grp = factor(rep(id, length(term)), levels = id),
    condval = unlist(frame, use.names = FALSE)
  )
  variance <- attr(frame, "postVar")
  if (!is.null(variance)) out$condsd <- sqrt(unlist(lapply(seq_along(term), function(i) variance[i, i, ])))
  out
}

undropped_frame <- function(x) {
  variance <- attr(x, "postVar")
  frame <- data.frame(`(Intercept)` = as.numeric(x), row.names = names(x), check.names = FALSE)
  structure(frame, postVar = if (!is.null(variance)) array(variance, c(1, 1, length(variance))))
}

#' @rdname ranef.fastlmm
#' @export
print.ranef.fastlmm <- function(x, ...) {
  variance <- !is.null(attr(x[[1]], "postVar"))
  x <- lapply(x, function(frame) structure(frame, postVar = NULL))
  print(x, ...)
  if (variance) cat("with conditional variances for", quoted(names(x)), "\n")
  invisible(x)
}

#' @rdname ranef.fastlmm
#' @export
coef.fastlmm <- function(object, ...) {
  check_arguments(...)
  structure(lapply(by_group(object), group_coefficients, fit = object), class = "coef.fastlmm")
}

group_coefficients <- function(labels, fit) {
  added_coefficients(group_effects(labels, fit, FALSE, "observed"), vapply(fit$random[labels], coefficient_name, ""), fit$coefficients)
}

# The fixed effects a row a level, each effect added to its coefficient
added_coefficients <- function(effects, term, fixed) {
  added <- setdiff(term, names(fixed))
  fixed <- c(structure(numeric(length(added)), names = added), fixed)
  table <- as.data.frame(lapply(fixed, rep, times = nrow(effects)), optional = TRUE)
  dimnames(table) <- list(rownames(effects), names(fixed))
  for (i in seq_along(term)) table[[term[i]]] <- table[[term[i]]] + effects[[i]]
  table
}

#' @rdname ranef.fastlmm
#' @export
print.coef.fastlmm <- function(x, ...) {
  print(unclass(x), ...)
  invisible(x)
}
