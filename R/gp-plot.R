#' Plots of Gaussian process fits
#'
#' The predicted mean with all covariates at their means. With one coordinate the curve and its band of two standard errors, over partial residuals (the response less what the covariates' deviations
#' from their means explain). With two coordinates a map of the mean, and one of its standard error, with the places of the data. With three a map for the middle of the third.
#'
#' @param x a fit by [fastlmm_fit()] with a [gp()] term.
#' @param which with two or three coordinates: `"mean"`, `"se"`, or both, side by side.
#' @param n points of the curve, or of each side of the map.
#' @param points draw the data? At most 5000 are drawn.
#' @param xlab,ylab,main labels.
#' @param col colours of maps.
#' @param ... passed to [plot()] (one coordinate) or [image()].
#' @return The drawn values, invisibly: a data frame of coordinates, `fit` and `se`.
#' @examples
#' plot(fastlmm_fit(mag ~ depth + gp(long, lat), quakes), n = 40)
#' @export
plot.fastlmm_gp <- function(x, which = c("mean", "se"), n = NULL, points = TRUE, xlab = NULL, ylab = NULL, main = NULL,
                            col = grDevices::hcl.colors(100, "YlOrRd", rev = TRUE), ...) {
  d <- length(x$gp$coordinates)
  grid <- gp_plot_grid(x, if (is.null(n)) c(300, 80, 80)[d] else n)
  name <- vapply(x$gp$coordinates, deparse1, "")
  if (is.null(xlab)) xlab <- name[1]
  if (d == 1) {
    gp_band(x, grid, points, xlab, if (is.null(ylab)) "mean and partial residuals" else ylab, main, ...)
    return(invisible(grid))
  }
  which <- match.arg(which, several.ok = TRUE)
  if (length(which) > 1) {
    old <- graphics::par(mfrow = c(1, 2))
    on.exit(graphics::par(old))
  }
  for (one in which) gp_map(x, grid, one, points, xlab, if (is.null(ylab)) name[2] else ylab, main, col, ...)
  invisible(grid)
}

# The mean over the box of the data, covariates at their means: the process by itself could not be told from the intercept.
gp_plot_grid <- function(fit, n) {
  box <- fit$gp$box
  side <- function(j) if (j <= 2) seq(box[1, j], box[2, j], length.out = n) else mean(box[, j])
  coordinates <- as.matrix(expand.grid(lapply(seq_len(ncol(box)), side)))
  targets <- list(
    X = matrix(mean_design(fit), nrow(coordinates), length(fit$kept), byrow = TRUE), coordinates = unname(coordinates), population = FALSE,
    group = if (length(fit$random) > 1) rep(NA_integer_, nrow(coordinates))
  )
  grid <- as.data.frame(coordinates)
  names(grid) <- vapply(fit$gp$coordinates, deparse1, "")
  grid$fit <- drop(targets$X %*% fit$coefficients[fit$kept]) + gp_process(fit, targets$coordinates)
  grid$se <- sqrt(pmax(gp_variance(fit, targets), 0))
  grid
}

# Means of the kept columns of X; of a table's by its sums
mean_design <- function(fit) {
  if (!is.null(fit$frame)) return(colMeans(fixed_design(fit)[, fit$kept, drop = FALSE]))
  table <- fit$random[[1]]$kernel$table
  p <- nrow(table$cross)
  if (p == 0) return(numeric())
  (table$cross[1, seq_len(p)] / table$cross[1, 1] + table$shifts[seq_len(p)])[fit$kept]
}

gp_band <- function(fit, grid, points, xlab, ylab, main, ...) {
  lower <- grid$fit - 2 * grid$se
  upper <- grid$fit + 2 * grid$se
  rows <- if (points && !is.null(fit$frame)) gp_drawn_rows(fit)
  partial <- if (!is.null(rows)) (response(fit) - population_fit(fit) + sum(mean_design(fit) * fit$coefficients[fit$kept]))[rows]
  at <- if (!is.null(rows)) model_coordinates(fit)[rows, 1]
  plot(range(grid[[1]]), range(lower, upper, partial, na.rm = TRUE), type = "n", xlab = xlab, ylab = ylab, main = main, ...)
  graphics::polygon(c(grid[[1]], rev(grid[[1]])), c(lower, rev(upper)), col = grDevices::grey(0.85), border = NA)
  if (!is.null(rows)) graphics::points(at, partial, pch = 20, cex = 0.4, col = grDevices::grey(0.5))
  graphics::lines(grid[[1]], grid$fit, lwd = 2)
}

gp_map <- function(fit, grid, which, points, xlab, ylab, main, col, ...) {
  x <- unique(grid[[1]])
  y <- unique(grid[[2]])
  z <- matrix(if (which == "mean") grid$fit else grid$se, length(x))
  title <- if (which == "mean") "mean" else "standard error"
  if (!is.null(main)) title <- main
  range <- range(z, na.rm = TRUE)
  graphics::image(x, y, z, col = col, xlab = xlab, ylab = ylab, main = title, asp = 1, ...)
  if (diff(range) > 0) graphics::contour(x, y, z, add = TRUE, col = grDevices::grey(0.3), lwd = 0.5)
  if (!points || is.null(fit$frame)) return(invisible())
  at <- model_coordinates(fit)[gp_drawn_rows(fit), , drop = FALSE]
  graphics::points(at[, 1], at[, 2], pch = 20, cex = 0.3, col = grDevices::rgb(0, 0, 0, 0.4))
}

gp_drawn_rows <- function(fit) {
  n <- fit$nobs
  if (n <= 5000) seq_len(n) else unique(round(seq(1, n, length.out = 5000)))
}
