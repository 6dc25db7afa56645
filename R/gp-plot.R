#' Plots of Gaussian process fits
#'
#' Plots of the prediction along the coordinates. Covariates that are functions of the coordinates, such as a trend in them, vary with them.
#' All others are held fixed: numeric variables, as the formula has them (`sqrt(x)`), at their means, factors at their most frequent level, groups at an effect of zero. The plot
#' says at which values, as does the attribute `held` of the result.
#'
#' With one coordinate: the curve and a band of two standard errors, over the data or, where something is held fixed, over partial residuals
#' (the curve plus the residuals). With two coordinates: a map of the mean and one of its standard error, with the places of the data. With
#' three: a map for the middle of the third.
#'
#' @param x,object a fit by [fastlmm_fit()] with a [gp()] term.
#' @param which with two or three coordinates: `"mean"`, `"se"`, or both, side by side; `autoplot()` draws one.
#' @param n number of points of the curve, or of each side of the map.
#' @param points draw the data? At most 5000 points are drawn.
#' @param xlab,ylab,main labels.
#' @param col colours of maps.
#' @param ... passed to [plot()] (one coordinate) or [image()]; `autoplot()`: not used.
#' @return `plot()`: the values drawn, invisibly: a data frame of coordinates, `fit` and `se`. `autoplot()`: a `ggplot` object.
#' @examples
#' plot(fastlmm_fit(mag ~ depth + gp(long, lat), quakes[1:300, ]), n = 40)
#' @order 1
#' @export
plot.fastlmm_gp <- function(x, which = c("mean", "se"), n = NULL, points = TRUE, xlab = NULL, ylab = NULL, main = NULL,
                            col = grDevices::hcl.colors(100, "YlOrRd", rev = TRUE), ...) {
  d <- length(x$gp$axes)
  read_arguments()
  refuse_new_rows(...)
  points <- read_flag(points, "points")
  grid <- gp_plot_grid(x, gp_plot_points(n, d))
  name <- gp_axis_labels(x)
  if (is.null(xlab)) xlab <- name[1]
  if (d == 1) {
    gp_band(x, grid, points, xlab, if (is.null(ylab)) gp_plot_label(grid) else ylab, main, ...)
    return(invisible(grid))
  }
  which <- one_of(which, several = TRUE)
  if (length(which) > 1) {
    old <- graphics::par(mfrow = c(1, 2))
    on.exit(graphics::par(old))
  }
  for (one in which) gp_map(x, grid, one, points, xlab, if (is.null(ylab)) name[2] else ylab, main, col, ...)
  invisible(grid)
}

# Points of an axis
gp_plot_points <- function(n, d) {
  if (is.null(n)) return(c(300, 80, 80)[d])
  if (!is_count(n)) abort_fastlmm("n", paste("n, points of an axis, must be a whole number of at least 1, not", code_text(n)))
  check_matrix_memory(n^d, 8, sprintf("a grid of %.0f points an axis", n))
  n
}

# With their units, but for dates and times of a curve, whose axis says them
gp_axis_labels <- function(fit) {
  gp <- fit$gp
  if (length(gp$axes) == 1 && gp$kinds[[1]]$kind %in% c("Date", "POSIXct")) return(gp$axes)
  paste0(gp$axes, ifelse(nzchar(gp$units), paste0(" (", gp$units, ")"), ""))
}

gp_plot_label <- function(grid) if (length(attr(grid, "held")) > 0) "prediction and partial residuals" else "prediction"

# The prediction over the box of the data
gp_plot_grid <- function(fit, n) {
  box <- fit$gp$box
  side <- function(j) if (j <= 2) seq(box[1, j], box[2, j], length.out = n) else mean(box[, j])
  coordinates <- as.matrix(expand.grid(lapply(seq_len(ncol(box)), side)))
  colnames(coordinates) <- fit$gp$axes
  targets <- gp_plot_targets(fit, coordinates)
  grid <- as.data.frame(coordinates)
  if (ncol(grid) == 1) grid[[1]] <- as_coordinate(grid[[1]], fit$gp$kinds[[1]])
  grid$fit <- gp_plot_mean(fit, targets)
  grid$se <- sqrt(pmax(gp_variance(fit, targets), 0))
  structure(grid, held = c(attr(targets$X, "held"), gp_held_others(fit)))
}

gp_plot_mean <- function(fit, targets) drop(targets$X %*% fit$coefficients[fit$kept]) + targets$offset + gp_process(fit, targets$coordinates)

gp_plot_targets <- function(fit, coordinates) {
  list(
    X = gp_plot_design(fit, coordinates), offset = if (length(fit$offset) > 0) mean(fit$offset) else 0, coordinates = unname(coordinates), process = TRUE,
    all = TRUE,
    population = FALSE, others = list(), group = if (length(fit$random) > 1 && !is_joint_gp(fit)) rep(NA_integer_, nrow(coordinates))
  )
}

# Groups, an offset that varies, and the third axis
gp_held_others <- function(fit) {
  groups <- names(fit$random)[-1]
  third <- fit$gp$axes[-(1:2)]
  c(
    if (length(groups) > 0) paste("no effect of", groups), if (any(fit$offset != fit$offset[1])) "offset at its mean",
    if (length(third) > 0) sprintf("%s = %s", third, format(mean(fit$gp$box[, 3]), digits = 3))
  )
}

# The fixed effects at some coordinates; the attribute says what is held
gp_plot_design <- function(fit, coordinates) {
  if (is.null(fit$frame)) return(gp_table_design(fit, coordinates))
  terms <- delete.response(fit$terms)
  names <- vapply(as.list(attr(terms, "variables"))[-1], deparse1, "")
  calls <- as.list(if (is.null(attr(terms, "predvars"))) attr(terms, "variables") else attr(terms, "predvars"))[-1]
  used <- which(names %in% rownames(attr(terms, "factors")))
  moving <- gp_moving(fit, coordinates)
  columns <- lapply(calls[used], gp_moved, moving = moving, n = nrow(coordinates), env = environment(fit$formula))
  held <- vapply(columns, is.null, NA)
  columns[held] <- lapply(fit$frame[names[used][held]], typical, n = nrow(coordinates))
  frame <- structure(columns, names = names[used], class = "data.frame", row.names = seq_len(nrow(coordinates)), terms = terms)
  X <- design_matrix(terms, frame, fit$contrasts)[, fit$kept, drop = FALSE]
  structure(X, held = sprintf("%s = %s", names[used][held], vapply(columns[held], typical_label, "")))
}

# A variable of the formula at the coordinates; NULL if it is none of their functions
gp_moved <- function(call, moving, n, env) {
  if (!any(all.vars(call) %in% names(moving))) return(NULL)
  value <- tryCatch(eval(call, moving, env), error = function(e) NULL)
  if (NROW(value) == n) value
}

# Variables that the coordinates are made of, where those are given: an expression of one variable is inverted between the data.
gp_moving <- function(fit, coordinates) {
  gp <- fit$gp
  columns <- split(seq_along(gp$axes), gp$coordinate_of)
  one <- function(expr, columns, kind) {
    at <- coordinates[, columns, drop = length(columns) == 1 && kind$kind != "points"]
    if (is.name(expr)) return(structure(list(as_coordinate(at, kind)), names = deparse1(expr)))
    variable <- all.vars(expr)
    if (length(columns) > 1 || length(variable) != 1 || !variable %in% names(fit$frame)) return(NULL)
    structure(list(stats::approx(as.numeric(fit$frame[[deparse1(expr)]]), fit$frame[[variable]], at, rule = 2, ties = "ordered")$y), names = variable)
  }
  unlist(unname(Map(one, gp$coordinates, columns, gp$kinds)), recursive = FALSE)
}


# n times the mean of numbers, or the most frequent of levels
typical <- function(x, n) {
  if (is.matrix(x)) return(matrix(colMeans(x), n, ncol(x), byrow = TRUE, dimnames = list(NULL, colnames(x))))
  if (is.numeric(x)) return(rep(mean(x), n))
  rep(x[match(names(which.max(table(x))), as.character(x))], n)
}

typical_label <- function(x) if (is.matrix(x)) "its mean" else if (is.numeric(x)) format(x[1], digits = 3) else as.character(x[1])

# Of a table only the means of its columns are known; a column that is a coordinate moves.
gp_table_design <- function(fit, coordinates) {
  X <- matrix(table_means(fit), nrow(coordinates), length(fit$kept), byrow = TRUE, dimnames = list(NULL, names(fit$coefficients)[fit$kept]))
  moving <- intersect(colnames(X), colnames(coordinates))
  X[, moving] <- coordinates[, moving]
  held <- setdiff(colnames(X), c("(Intercept)", moving))
  structure(X, held = sprintf("%s = %s", held, format(X[1, held], digits = 3)))
}

table_means <- function(fit) {
  table <- fit$random[[1]]$kernel$table
  p <- nrow(table$cross)
  if (p == 0) return(numeric())
  (table$cross[1, seq_len(p)] / table$cross[1, 1] + table$shifts[seq_len(p)])[fit$kept]
}

# The data, or where something is held the curve at their places plus the residuals
gp_partial <- function(fit, grid, rows) {
  if (length(attr(grid, "held")) == 0) return(response(fit)[rows])
  at <- model_coordinates(fit)[rows, , drop = FALSE]
  unname(gp_plot_mean(fit, gp_plot_targets(fit, at)) + (response(fit) - conditional_fit(fit))[rows])
}

gp_band <- function(fit, grid, points, xlab, ylab, main, ...) {
  lower <- grid$fit - 2 * grid$se
  upper <- grid$fit + 2 * grid$se
  rows <- if (points && !is.null(fit$frame)) gp_drawn_rows(fit)
  partial <- if (!is.null(rows)) gp_partial(fit, grid, rows)
  plot(range(grid[[1]]), range(lower, upper, partial, na.rm = TRUE), type = "n", xlab = xlab, ylab = ylab, ...)
  graphics::polygon(c(grid[[1]], rev(grid[[1]])), c(lower, rev(upper)), col = grDevices::grey(0.85), border = NA)
  if (!is.null(rows)) graphics::points(model_coordinates(fit)[rows, 1], partial, pch = 20, cex = 0.4, col = grDevices::grey(0.5))
  graphics::lines(grid[[1]], grid$fit, lwd = 2)
  gp_heading(grid, main)
}

# Above the panel: what is held fixed, wrapped to its width, and the title over that
gp_heading <- function(grid, title = NULL) {
  lines <- held_lines(attr(grid, "held"))
  for (i in seq_along(lines)) graphics::mtext(lines[i], side = 3, line = 0.2 + 0.8 * (length(lines) - i), cex = 0.7)
  if (is.null(title)) return(invisible())
  size <- graphics::par("pin")[1] / graphics::strwidth(title, "inches", cex = 1 / graphics::par("cex"), font = 2)
  graphics::mtext(title, side = 3, line = 0.4 + 0.8 * length(lines), font = 2, cex = min(1, size))
}

held_lines <- function(held) {
  if (length(held) == 0) return(character())
  text <- paste("held:", toString(held))
  letter <- graphics::strwidth(text, "inches", cex = 0.7 / graphics::par("cex")) / nchar(text)
  strwrap(text, width = max(20, graphics::par("pin")[1] / letter))
}

gp_map <- function(fit, grid, which, points, xlab, ylab, main, col, ...) {
  x <- unique(grid[[1]])
  y <- unique(grid[[2]])
  z <- matrix(if (which == "mean") grid$fit else grid$se, length(x))
  range <- range(z, na.rm = TRUE)
  title <- sprintf("%s, %s", if (which == "mean") "mean" else "standard error", paste(format(signif(range, 3), trim = TRUE), collapse = " to "))
  graphics::image(x, y, z, col = col, xlab = xlab, ylab = ylab, asp = 1, ...)
  gp_heading(grid, if (is.null(main)) title else main)
  if (diff(range) > 0) graphics::contour(x, y, z, add = TRUE, col = grDevices::grey(0.3), lwd = 0.5)
  if (!points || is.null(fit$frame)) return(invisible())
  at <- model_coordinates(fit)[gp_drawn_rows(fit), , drop = FALSE]
  graphics::points(at[, 1], at[, 2], pch = 20, cex = 0.3, col = grDevices::rgb(0, 0, 0, 0.4))
}

gp_drawn_rows <- function(fit) {
  n <- fit$nobs
  if (n <= 5000) seq_len(n) else unique(round(seq(1, n, length.out = 5000)))
}
