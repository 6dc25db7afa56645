#' Leverage, standardised residuals and influence of rows and ids
#'
#' The effect of each row, or of all rows of an id, on the fit, in closed form: no model is refitted. **The variances are held fixed** at those
#' of the fit. Deletion changes the fixed effects, the predictions and their covariances exactly as a fit of the other rows with these
#' variances would. Functions that re-estimate the variances after each deletion, such as `influence()` in `lme4`, give other values where a
#' row or id influences the variances.
#'
#' With `V` the covariance of the response, `R = sigma2_e W^-1` that of the residuals and `P = V^-1 - V^-1 X (X'V^-1 X)^-1 X'V^-1`:
#'
#' * `hatvalues()`: the diagonal of `I - R P`, the derivative of a fitted value (random effects included) with respect to its response; as in
#'   `lme4`.
#' * `rstandard()`: Pearson residuals divided by `sigma sqrt(1 - h)`, as in `lme4`; their variance is 1 given the variances.
#' * `rstudent()`: the same with the scale of all variances estimated without the row and their ratios fixed. Given the ratios it has a t
#'   distribution with `n - p - 1` degrees of freedom; at `h2 = 0` it is [stats::rstudent()] of `lm()`.
#' * `cooks.distance()` of a fit: `r^2 h / ((1 - h) p)`, where `r` is the standardised residual; as in `lme4`.
#' * `influence()`: deletion of each row (`groups = NULL`), or of all rows of each level of a grouping factor, `groups = "id"`, or of any
#'   variable of the model frame. `dfbeta()`, `dfbetas()` and `cooks.distance()` take its result, or a fit for the deletion of single rows.
#'
#' All models are supported except [gp()] in Fourier space (use `basis = "exact"`) and fits without residual variance, which are refused
#' (`fastlmm_error_influence`). With q columns of all random effects and n rows the cost is `n q^2`, or `n^3` where `q >= n`: less than that of
#' the fit.
#'
#' @param model a fit by [fastlmm_fit()]; for `dfbeta()`, `dfbetas()` and `cooks.distance()` also the value of `influence()`.
#' @param groups `NULL`: each row; or the name of a grouping factor or of a variable of the model frame, or a vector with a value for each row
#'   of the fit.
#' @param x,object,row.names,optional the value of `influence()`; the others as in [as.data.frame()], not used.
#' @param n number of largest distances to label in a plot.
#' @param xlab,ylab axis labels.
#' @param ... not used; an unknown argument is an error. `plot()`: graphical parameters.
#' @return `hatvalues()`, `rstandard()`, `rstudent()`, `cooks.distance()`: a vector, named by row (or deleted group), padded as `na.action`
#'   says. `dfbeta()`: the coefficients minus those after deletion, a row for each deletion; `dfbetas()`: the same divided by the standard
#'   errors after deletion.
#'
#'   `influence()`: a list of class `influence.fastlmm` with `deleted` (names), `size` (number of rows deleted), `dfbeta`, `vcov` (covariances
#'   of the coefficients after each deletion, p x p x deletions), `cooks.distance` (`d' vcov^-1 d / p`, with `d` the row of `dfbeta` and `vcov`
#'   that of the fit), and `deletion.residuals`, named by row: the response minus its prediction from the rows that are not deleted. These are
#'   leave-one-out or leave-one-id-out residuals; their mean square is the cross-validated prediction error. `as.data.frame()` has a row for
#'   each deletion; `plot()` and `autoplot()` draw the distances.
#'
#'   The values are `NA` where a deletion leaves coefficients that are not estimable.
#' @references Christensen, R., Pearson, L. M. and Johnson, W. (1992) Case-deletion diagnostics for mixed models. Technometrics 34, 38-45.
#' @examples
#' fit <- fastlmm_fit(distance ~ age + Sex + (1 | Subject), nlme::Orthodont)
#' head(hatvalues(fit))
#' by_subject <- influence(fit, groups = "Subject")
#' sort(cooks.distance(by_subject), decreasing = TRUE)[1:3]
#' plot(by_subject)
#' head(dfbetas(by_subject))
#' # leave-one-subject-out prediction error
#' sqrt(mean(by_subject$deletion.residuals^2))
#' @name influence.fastlmm
NULL

#' @rdname influence.fastlmm
#' @export
hatvalues.fastlmm <- function(model, ...) {
  check_arguments(...)
  naresid(model$na.action, leverage(model, projection(model)))
}

#' @rdname influence.fastlmm
#' @export
rstandard.fastlmm <- function(model, ...) {
  check_arguments(...)
  naresid(model$na.action, standardised(model, projection(model)))
}

#' @rdname influence.fastlmm
#' @export
rstudent.fastlmm <- function(model, ...) {
  check_arguments(...)
  P <- projection(model)
  t <- standardised(model, P)
  left <- model$nobs - model$rank - 1
  # y'Py, which is n - p at an optimum of REML
  total <- sum(P$scale * (response(model) - model$offset) * P$Py)
  naresid(model$na.action, t * sqrt(left / pmax(total - t^2, 0)))
}

#' @rdname influence.fastlmm
#' @export
cooks.distance.fastlmm <- function(model, ...) {
  check_arguments(...)
  P <- projection(model)
  h <- leverage(model, P)
  naresid(model$na.action, standardised(model, P)^2 * h / ((1 - h) * model$rank))
}

#' @rdname influence.fastlmm
#' @export
influence.fastlmm <- function(model, groups = NULL, ...) {
  check_arguments(...)
  P <- projection(model)
  rows <- deleted_rows(model, groups)
  found <- if (is.null(rows)) delete_each(model, P) else delete_groups(model, P, rows)
  distance <- distances(found$dfbeta, model)
  structure(
    c(
      list(deleted = rownames(found$dfbeta), size = if (is.null(rows)) rep(1L, model$nobs) else lengths(rows, use.names = FALSE)), found,
      list(cooks.distance = distance)
    ),
    class = "influence.fastlmm", na.action = if (is.null(rows)) model$na.action
  )
}

#' @rdname influence.fastlmm
#' @export
dfbeta.fastlmm <- function(model, ...) {
  check_arguments(...)
  dfbeta(influence(model))
}

#' @rdname influence.fastlmm
#' @export
dfbetas.fastlmm <- function(model, ...) {
  check_arguments(...)
  dfbetas(influence(model))
}

#' @rdname influence.fastlmm
#' @export
dfbeta.influence.fastlmm <- function(model, ...) naresid(attr(model, "na.action"), model$dfbeta)

#' @rdname influence.fastlmm
#' @export
dfbetas.influence.fastlmm <- function(model, ...) {
  p <- ncol(model$dfbeta)
  variance <- matrix(model$vcov, p * p)[(seq_len(p) - 1) * p + seq_len(p), , drop = FALSE]
  naresid(attr(model, "na.action"), model$dfbeta / sqrt(t(variance)))
}

#' @rdname influence.fastlmm
#' @export
cooks.distance.influence.fastlmm <- function(model, ...) naresid(attr(model, "na.action"), model$cooks.distance)

#' @rdname influence.fastlmm
#' @export
as.data.frame.influence.fastlmm <- function(x, row.names = NULL, optional = FALSE, ...) {
  plain <- structure(x, na.action = NULL)
  data.frame(deleted = x$deleted, size = x$size, cooks.distance = unname(x$cooks.distance), without_row_names(dfbetas(plain)), check.names = FALSE)
}

without_row_names <- function(x) {
  rownames(x) <- NULL
  x
}

#' @rdname influence.fastlmm
#' @export
plot.influence.fastlmm <- function(x, n = 5, xlab = NULL, ylab = "Cook's distance", ...) {
  read_arguments()
  check_shown(n)
  value <- drawn_distances(x)
  at <- seq_along(value)
  usual <- list(
    type = "h", xlab = first_of(xlab, deleted_label(x)), ylab = ylab, xlim = c(0, length(value) + 1), ylim = c(0, 1.12 * max(value, 0, na.rm = TRUE))
  )
  do.call(plot, c(list(at, value), utils::modifyList(usual, list(...))))
  points(at, value, pch = 20)
  largest <- utils::head(order(-value), n)
  if (n > 0) graphics::text(at[largest], value[largest], x$deleted[largest], pos = 3, offset = 0.3, cex = 0.8, xpd = NA)
  invisible(x)
}

drawn_distances <- function(x) {
  value <- unname(x$cooks.distance)
  if (all(is.na(value))) abort_fastlmm("influence", "there are no distances to draw: each deletion leaves coefficients undetermined, or the fit has none")
  value
}

deleted_label <- function(x) if (all(x$size == 1)) "Row" else "Group"

#' @rdname influence.fastlmm
#' @exportS3Method ggplot2::autoplot influence.fastlmm
autoplot.influence.fastlmm <- function(object, n = 5, ...) {
  check_arguments(...)
  check_shown(n)
  value <- drawn_distances(object)
  frame <- data.frame(at = seq_along(value), value = value, base = 0, deleted = object$deleted)
  largest <- frame[utils::head(order(-value), n), ]
  gg("ggplot", frame, gg_columns(x = "at", y = "value")) + gg("geom_segment", gg_columns(xend = "at", yend = "base")) + gg("geom_point") +
    gg(
      "geom_text", gg_columns(label = "deleted"), largest, vjust = -0.7, size = 3, check_overlap = TRUE
    ) + gg("labs", x = deleted_label(object), y = "Cook's distance") + gg("theme_minimal")
}

#' @rdname influence.fastlmm
#' @export
print.influence.fastlmm <- function(x, ...) {
  cat(
    "Influence of ", counted(length(x$deleted), "deletion"),
    ", variances held fixed. Largest Cook's distances, with changes of coefficients in standard errors:\n", sep = ""
  )
  table <- as.data.frame(x)
  print(utils::head(table[order(-table$cooks.distance), ], 6), row.names = FALSE, digits = 3)
  invisible(x)
}

# ---- the projection -------------------------------------------------------------------------------------

# P in units of the rows' residual standard deviations, where V = I + A A': Py, diagonal, blocks, and B with beta = B y
projection <- function(fit) {
  check_projection(fit)
  scale <- sqrt(prior_weights(fit) / fit$sigma2_e)
  if (is_sparse_fit(fit)) return(sparse_projection(fit, scale))
  inverse <- inverse_covariance(fit, scale)
  X <- scale * unname(fixed_design(fit)[, fit$kept, drop = FALSE])
  G <- inverse$times(X)
  root <- if (fit$rank > 0) G %*% covariance_root(fit) else G
  list(
    scale = scale, Py = scale * unname(response(fit) - conditional_fit(fit)), B = fit$vcov %*% t(G), diagonal = inverse$diagonal - rowSums(root^2),
    block = function(S) inverse$block(S) - tcrossprod(root[S, , drop = FALSE])
  )
}

# T with T T' = vcov
covariance_root <- function(fit) {
  sd <- sqrt(diag(fit$vcov))
  sd * t(chol(cov2cor(unname(fit$vcov))))
}

check_projection <- function(fit) {
  check_has_rows(fit, "influence()")
  reason <- projection_reason(fit)
  if (!is.null(reason)) abort_fastlmm("influence", paste("leverage and influence are not defined here:", reason))
}

# Why a fit has no projection; NULL: it has one
projection_reason <- function(fit) {
  if (fit$status != "ok") {
    paste0("the fit is ", quoted(fit$status))
  } else if (fit$sigma2_e <= 0) {
    "there is no residual variance: every row is fitted exactly"
  } else if (is_gp_fit(fit) && fit$random[[1]]$kernel$route != "exact") {
    "the process is in Fourier space; fit with gp(basis = \"exact\")"
  }
}

# V^-1 for V = I + A A', by the smaller of its two sides
inverse_covariance <- function(fit, scale) {
  random <- fit$random[fit$sigma2 > 0]
  sigma2 <- fit$sigma2[fit$sigma2 > 0]
  if (length(random) == 0) return(list(diagonal = rep(1, fit$nobs), times = identity, block = function(S) diag(length(S))))
  width <- if (any(vapply(random, function(one) is_process(one$kernel), NA))) Inf else sum(vapply(random, root_width, 0))
  if (width < fit$nobs) inverse_by_root(relative_roots(random, sigma2, scale)) else inverse_by_rows(fit, random, sigma2, scale)
}

root_width <- function(random) if (is_lowrank(random$kernel)) ncol(random$kernel$W) else length(random$index)

# A: sparse where no effect has a dense kernel
relative_roots <- function(random, sigma2, scale) {
  check_kernel_memory(length(scale), 2 * sum(vapply(random, root_width, 0)) / length(scale))
  roots <- Map(function(one, sigma2) scale * one$z * sqrt(sigma2) * observed_root(one)[one$group, , drop = FALSE], random, sigma2)
  do.call(cbind, unname(if (all(vapply(roots, is_sparse, NA))) roots else lapply(roots, as.matrix)))
}

# L with L L' = K of the ids with data
observed_root <- function(random) {
  K <- random$kernel
  if (is.null(K)) return(Matrix::sparseMatrix(seq_along(random$index), seq_along(random$index), x = 1))
  if (is_lowrank(K)) return(K$W[random$index, , drop = FALSE])
  Matrix::t(kernel_factor(list(kernel = as.matrix(K[random$index, random$index, drop = FALSE]))))
}

# (I + A A')^-1 = I - F F'
inverse_by_root <- function(A) {
  inner <- Matrix::crossprod(A)
  Matrix::diag(inner) <- Matrix::diag(inner) + 1
  half <- if (is.matrix(A)) t(backsolve(chol(inner), t(A), transpose = TRUE)) else Matrix::t(Matrix::solve(Matrix::t(Matrix::chol(inner)), Matrix::t(A)))
  list(
    diagonal = 1 - Matrix::rowSums(half^2), times = function(X) X - as.matrix(half %*% Matrix::crossprod(half, X)),
    block = function(S) diag(length(S)) - as.matrix(Matrix::tcrossprod(half[S, , drop = FALSE]))
  )
}

inverse_by_rows <- function(fit, random, sigma2, scale) {
  check_kernel_memory(fit$nobs, 4)
  V <- Reduce(`+`, Map(function(one, sigma2) sigma2 * scaled_rows(kernel_of_rows(one, fit), scale * one$z), random, sigma2))
  diag(V) <- diag(V) + 1
  inverse <- chol2inv(chol(V))
  list(diagonal = diag(inverse), times = function(X) inverse %*% X, block = function(S) inverse[S, S, drop = FALSE])
}

scaled_rows <- function(K, z) z * K * rep(z, each = nrow(K))

# Z K Z' without the multipliers
kernel_of_rows <- function(random, fit) {
  if (is_process(random$kernel)) return(unname(process_matrix(fit)))
  at <- random$index[random$group]
  unname(as.matrix(kernel_block(random, at, at)))
}

# ---- deletions ------------------------------------------------------------------------------------------

leverage <- function(fit, P) structure(1 - P$diagonal, names = rownames(fit$frame))

standardised <- function(fit, P) structure(P$Py / sqrt(pmax(P$diagonal, 0)), names = rownames(fit$frame))

# The rows of each group; NULL: each row is one
deleted_rows <- function(fit, groups) {
  if (is.null(groups)) return(NULL)
  value <- if (is.character(groups) && length(groups) == 1) named_group(fit, groups) else groups
  if (!is.atomic(value) || length(value) != fit$nobs) abort_groups(
    paste("must be the name of a grouping factor or variable, or have a value for each of the", fit$nobs, "rows of the fit")
  )
  split(seq_len(fit$nobs), factor(value, unique(value)))
}

named_group <- function(fit, name) {
  for (one in fit$random) if (identical(one$name, name) && !is.null(one$index)) return(one$ids[one$index][one$group])
  if (name %in% names(fit$frame) && is.atomic(fit$frame[[name]])) return(as.character(fit$frame[[name]]))
  known <- c(vapply(Filter(function(one) !is.null(one$index), fit$random), `[[`, "", "name"), names(fit$frame))
  abort_groups(paste0(quoted(name), " is neither a grouping factor nor a variable of the fit; there are ", first_names(unique(known))))
}

abort_groups <- function(message) abort_fastlmm("groups", paste("groups", message))

# What is left of a row when it is deleted cannot be told from rounding: coefficients are no longer determined.
least_left <- 1e-10

delete_each <- function(fit, P) {
  left <- ifelse(P$diagonal > least_left, P$diagonal, NA)
  change <- P$Py / left
  moved <- t(P$B)
  dfbeta <- structure(moved * change, dimnames = list(rownames(fit$frame), rownames(fit$vcov)))
  vcov <- vapply(seq_len(fit$nobs), function(i) fit$vcov + tcrossprod(P$B[, i]) / left[i], fit$vcov + 0)
  list(dfbeta = dfbeta, vcov = shaped_covariances(vcov, dfbeta), deletion.residuals = structure(change / P$scale, names = rownames(fit$frame)))
}

shaped_covariances <- function(vcov, dfbeta) array(
  vcov, c(ncol(dfbeta), ncol(dfbeta), nrow(dfbeta)), list(colnames(dfbeta), colnames(dfbeta), rownames(dfbeta))
)

delete_groups <- function(fit, P, rows) {
  blocks <- if (is.null(P$blocks)) lapply(rows, P$block) else P$blocks(rows)
  each <- Map(function(S, block) delete_rows(fit, P, S, block), rows, blocks)
  p <- length(fit$kept)
  dfbeta <- matrix(vapply(each, `[[`, numeric(p), "dfbeta"), length(rows), p, byrow = TRUE, dimnames = list(names(rows), rownames(fit$vcov)))
  residuals <- numeric(fit$nobs)
  residuals[unlist(rows)] <- unlist(lapply(each, `[[`, "residuals"))
  list(
    dfbeta = dfbeta, vcov = shaped_covariances(vapply(each, `[[`, matrix(0, p, p), "vcov"), dfbeta),
    deletion.residuals = structure(residuals, names = rownames(fit$frame))
  )
}

# Rows S are deleted by an indicator for each: its coefficients are the deletion residuals, of precision P[S, S].
delete_rows <- function(fit, P, S, block) {
  p <- length(fit$kept)
  root <- suppressWarnings(tryCatch(chol(block), error = function(e) NULL))
  if (is.null(root) || min(diag(root))^2 < least_left) return(
    list(dfbeta = rep(NA_real_, p), vcov = matrix(NA_real_, p, p), residuals = rep(NA_real_, length(S)))
  )
  inverse <- chol2inv(root)
  B <- P$B[, S, drop = FALSE]
  change <- drop(inverse %*% P$Py[S])
  list(dfbeta = drop(B %*% change), vcov = unname(fit$vcov + B %*% inverse %*% t(B)), residuals = change / P$scale[S])
}

# d' vcov^-1 d / p
distances <- function(dfbeta, fit) {
  if (fit$rank == 0) return(structure(rep(NA_real_, nrow(dfbeta)), names = rownames(dfbeta)))
  structure(rowSums(t(solve(covariance_root(fit), t(dfbeta)))^2) / fit$rank, names = rownames(dfbeta))
}

#' @rdname influence.fastlmm
#' @export
influence.fastlmm_mlm <- function(model, ...) abort_one_by_one("influence")

#' @rdname influence.fastlmm
#' @export
hatvalues.fastlmm_mlm <- function(model, ...) abort_one_by_one("hatvalues")

#' @rdname influence.fastlmm
#' @export
cooks.distance.fastlmm_mlm <- function(model, ...) abort_one_by_one("cooks.distance")

#' @rdname influence.fastlmm
#' @export
rstandard.fastlmm_mlm <- function(model, ...) abort_one_by_one("rstandard")

#' @rdname influence.fastlmm
#' @export
rstudent.fastlmm_mlm <- function(model, ...) abort_one_by_one("rstudent")

#' @rdname influence.fastlmm
#' @export
dfbeta.fastlmm_mlm <- function(model, ...) abort_one_by_one("dfbeta")

#' @rdname influence.fastlmm
#' @export
dfbetas.fastlmm_mlm <- function(model, ...) abort_one_by_one("dfbetas")
