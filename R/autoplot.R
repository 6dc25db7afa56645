# The pictures of fits, profiles and random effects by ggplot2, where it is installed. What is drawn is what plot() draws.

#' @rdname plot.fastlmm
#' @exportS3Method ggplot2::autoplot fastlmm
autoplot.fastlmm <- function(object, which = NULL, level = 0.95, ...) {
  check_arguments(...)
  which <- chosen_pictures(object, which)
  check_level(level)
  pictures <- lapply(which, function(one) fit_picture(object, one, level))
  if (length(pictures) == 1) return(picture_plot(pictures) + gg("labs", x = pictures[[1]]$xlab, y = pictures[[1]]$ylab))
  panels <- vapply(pictures, function(one) paste0(one$ylab, "\nby ", tolower(one$xlab)), "")
  picture_plot(pictures, panels) + gg("facet_wrap", "panel", scales = "free") + gg("labs", x = NULL, y = NULL)
}

# list(xlab, ylab), and as far as the picture has them: frames of points and a curve (x, y), a band (x, low, high) and straight lines (slope, intercept), and
# heights and places of lines
fit_picture <- function(fit, which, level) {
  switch(which,
    residuals = residual_picture(fit),
    observed = list(
      xlab = "Fitted value", ylab = "Observed value", points = data.frame(x = unname(conditional_fit(fit)), y = unname(response(fit))),
      slope = data.frame(slope = 1, intercept = 0)
    ),
    qq = quantile_picture(list(quantile_residuals(fit)), level, quantile_label(fit)),
    effects = quantile_picture(titled_effects(fit), level, "Standardised random effect"),
    profile = likelihood_picture(fit, level)
  )
}

residual_picture <- function(fit) {
  points <- data.frame(x = unname(fitted(fit)), y = unname(plot_residual(fit)))
  points <- points[is.finite(points$y), ]
  list(
    xlab = "Fitted value", ylab = "Scaled residual", points = points, across = data.frame(y = 0),
    curve = if (nrow(points) > 4) as.data.frame(lowess(points$x, points$y))
  )
}

quantile_picture <- function(values, level, ylab) {
  value <- unlist(values, use.names = FALSE)
  band <- normal_band(length(value), level)
  by_size <- order(value)
  points <- data.frame(x = band$x, y = value[by_size])
  if (length(values) > 1) points$effect <- factor(rep(names(values), lengths(values))[by_size], names(values))
  list(xlab = "Normal quantile", ylab = ylab, points = points, band = band, slope = data.frame(slope = 1, intercept = 0))
}

likelihood_picture <- function(fit, level) {
  d <- h2_curve(fit, level)
  curve <- structure(d$curve, names = c("x", "y"))
  local <- fit$optimum$local
  list(
    xlab = "h2", ylab = "Log-likelihood", curve = curve[curve$y >= d$ylim[1], ], across = data.frame(y = d$cut), upright = data.frame(x = unname(fit$h2)),
    points = data.frame(x = local$h2, y = local$logLik)[local$logLik >= d$ylim[1], ]
  )
}

# Each part of all pictures is one layer, whose rows know their panel.
picture_plot <- function(pictures, panels = NULL) {
  part <- function(name) {
    frames <- Map(
      function(one, k) if (NROW(one[[name]]) > 0) cbind(one[[name]], panel = if (is.null(panels)) 1 else factor(panels[k], unique(panels))), pictures,
      seq_along(pictures)
    )
    joined(Filter(length, frames))
  }
  layer <- function(name, geom, ...) {
    frame <- part(name)
    if (!is.null(frame)) gg(geom, data = frame, ...)
  }
  points <- part("points")
  coloured <- "effect" %in% names(points)
  if (coloured) points$effect <- factor(points$effect, unlist(lapply(pictures, function(one) levels(one$points$effect))))
  gg("ggplot") + layer("band", "geom_ribbon", gg_columns(x = "x", ymin = "low", ymax = "high"), fill = "grey88") + layer(
    "slope", "geom_abline", gg_columns(slope = "slope", intercept = "intercept"), linetype = 2
  ) +
    layer("across", "geom_hline", gg_columns(yintercept = "y"), linetype = 2) + layer("upright", "geom_vline", gg_columns(xintercept = "x"), linetype = 2) +
    (if (coloured) gg(
      "geom_point", gg_columns(x = "x", y = "y", colour = "effect"), points, shape = 1
    ) else layer("points", "geom_point", gg_columns(x = "x", y = "y"), shape = 1)) +
    layer("curve", "geom_line", gg_columns(x = "x", y = "y"), colour = hit_colour) + gg("theme_minimal") + (if (coloured) effect_colour_key(points$effect))
}

effect_colour_key <- function(effect) {
  list(
    gg("scale_colour_manual", values = rep_len(effect_colours(4), nlevels(effect)), breaks = levels(effect), na.value = "black"), gg("labs", colour = NULL),
    gg("theme", legend.position = "bottom")
  )
}

# Frames one below the other, with NA where one lacks a column
joined <- function(frames) {
  names <- unique(unlist(lapply(frames, names)))
  filled <- lapply(frames, function(frame) {
    frame[setdiff(names, names(frame))] <- NA
    frame[names]
  })
  do.call(rbind, filled)
}

# ---- profiles -------------------------------------------------------------------------------------------

#' @rdname plot.fastlmm
#' @exportS3Method ggplot2::autoplot fastlmm_profile
autoplot.fastlmm_profile <- function(object, level = c(0.5, 0.8, 0.9, 0.95, 0.99), type = c("zeta", "logLik"), ...) {
  check_arguments(...)
  type <- one_of(type)
  if (length(level) == 0) check_level(level)
  lapply(level, check_level)
  curves <- object[is.finite(object$value), ]
  frame <- data.frame(x = curves$value, y = if (type == "zeta") curves$.zeta else curves$logLik, panel = curves$.par)
  zeta <- qnorm((1 + level) / 2)
  cuts <- do.call(
    rbind,
    lapply(
      split(frame, frame$panel, drop = TRUE),
      function(one) data.frame(y = if (type == "zeta") c(-zeta, zeta) else max(one$y) - zeta^2 / 2, panel = one$panel[1])
    )
  )
  # cuts beyond the curve would make it flat
  inside <- cuts$y >= min(frame$y) & cuts$y <= max(frame$y)
  gg("ggplot", frame, gg_columns(x = "x", y = "y")) + gg(
    "geom_hline", gg_columns(yintercept = "y"), cuts[inside, ], linetype = 3
  ) + (if (type == "zeta") gg("geom_hline", yintercept = 0, linetype = 2)) +
    gg("geom_line", colour = hit_colour) + gg(
      "facet_wrap", "panel", scales = if (type == "zeta") "free_x" else "free"
    ) + gg("labs", x = NULL, y = type) + gg("theme_minimal")
}

# ---- random effects -------------------------------------------------------------------------------------

#' @rdname ranef.fastlmm
#' @param level confidence level of the intervals, given the variances.
#' @param terms names or numbers of the terms to draw; `NULL`: all, at most 25.
#' @exportS3Method ggplot2::autoplot ranef.fastlmm
autoplot.ranef.fastlmm <- function(object, level = 0.95, terms = NULL, ...) {
  check_arguments(...)
  table <- effects_picture(object, level, terms)
  many <- max(table$rank) > 60
  picture <- gg("ggplot", table, gg_columns(x = "condval", y = "rank")) + gg("geom_vline", xintercept = 0, linetype = 3) +
    gg(
      "geom_segment", gg_columns(x = "low", xend = "high", yend = "rank"), colour = "grey60", na.rm = TRUE
    ) + gg("geom_point", colour = "#1b4f72", size = if (many) 0.7 else 1.3) + gg("theme_minimal")
  if (nlevels(table$panel) == 1) {
    ticks <- if (!many) gg("scale_y_continuous", breaks = table$rank, labels = short_labels(as.character(table$grp), 24)$text)
    return(
      picture + gg("labs", x = levels(table$panel), y = if (many) paste("rank of", table$grpvar[1]) else NULL) + ticks + (if (!many) gg_names("y", nrow(table)))
    )
  }
  if (many) return(picture + gg("facet_wrap", "panel", scales = "free") + gg("labs", x = "effect", y = "rank"))
  # a place for each id of each panel, in the order of the effects
  frame <- table[order(table$panel, table$rank), ]
  place <- paste0(as.integer(frame$panel), "\r", short_labels(as.character(frame$grp), 24)$text)
  frame$rank <- factor(place, place)
  names <- gg("scale_y_discrete", labels = function(place) sub("^[^\r]*\r", "", place))
  replace(picture, "data", list(frame)) + names + gg("facet_wrap", "panel", scales = "free") + gg("labs", x = "effect", y = NULL) +
    gg_names("y", max(table(frame$panel)))
}

#' @rdname plot.slamglmm
#' @exportS3Method ggplot2::autoplot ranef.slamglmm
autoplot.ranef.slamglmm <- function(object, level = 0.95, terms = NULL, ...) autoplot.ranef.fastlmm(object, level, terms, ...)

# ---- many responses -------------------------------------------------------------------------------------

#' @rdname plot.fastlmm
#' @exportS3Method ggplot2::autoplot fastlmm_mlm
autoplot.fastlmm_mlm <- function(object, level = 0.95, n = 50, ...) {
  check_arguments(...)
  table <- largest_h2(object, level, n)
  names <- short_labels(table$label, 30)
  table$name <- factor(names$text, rev(names$text))
  gg("ggplot", table, gg_columns(x = "estimate", y = "name")) + gg(
    "geom_segment", gg_columns(x = "lower", xend = "upper", yend = "name"), colour = "grey60", na.rm = TRUE
  ) +
    gg("geom_point", colour = "#1b4f72") + gg("coord_cartesian", xlim = c(0, 1)) + gg(
      "labs", x = "h2", y = NULL, caption = shared_text(names)
    ) + gg("theme_minimal") + gg_names("y", nrow(table))
}

# ---- Gaussian processes ---------------------------------------------------------------------------------

#' @rdname plot.fastlmm_gp
#' @exportS3Method ggplot2::autoplot fastlmm_gp
autoplot.fastlmm_gp <- function(object, which = c("mean", "se"), n = NULL, points = TRUE, ...) {
  check_arguments(...)
  points <- read_flag(points, "points")
  which <- one_of(which)
  grid <- gp_plot_grid(object, gp_plot_points(n, length(object$gp$axes)))
  rows <- if (points && !is.null(object$frame)) gp_drawn_rows(object)
  held <- attr(grid, "held")
  picture <- if (length(object$gp$axes) == 1) band_plot(object, grid, rows) else map_plot(object, grid, rows, which)
  picture + gg("labs", subtitle = if (length(held) > 0) paste("held:", toString(held))) + gg("theme_minimal")
}

band_plot <- function(fit, grid, rows) {
  frame <- data.frame(x = grid[[1]], y = grid$fit, low = grid$fit - 2 * grid$se, high = grid$fit + 2 * grid$se)
  data <- if (!is.null(rows)) data.frame(x = as_coordinate(model_coordinates(fit)[rows, 1], fit$gp$kinds[[1]]), y = gp_partial(fit, grid, rows))
  gg("ggplot", frame, gg_columns(x = "x", y = "y")) + gg("geom_ribbon", gg_columns(ymin = "low", ymax = "high"), fill = "grey85") +
    (if (!is.null(data)) gg("geom_point", data = data, size = 0.7, colour = "grey50")) + gg("geom_line", linewidth = 0.8) + gg(
      "labs", x = gp_axis_labels(fit)[1], y = gp_plot_label(grid)
    )
}

map_plot <- function(fit, grid, rows, which) {
  frame <- data.frame(x = grid[[1]], y = grid[[2]], value = if (which == "mean") grid$fit else grid$se)
  at <- if (!is.null(rows)) model_coordinates(fit)[rows, , drop = FALSE]
  data <- if (!is.null(at)) data.frame(x = at[, 1], y = at[, 2])
  names <- gp_axis_labels(fit)
  gg("ggplot", frame, gg_columns(x = "x", y = "y")) + gg("geom_raster", gg_columns(fill = "value")) + (if (diff(range(frame$value)) > 0) gg(
    "geom_contour", gg_columns(z = "value"), colour = "grey30", linewidth = 0.2
  )) +
    (if (!is.null(data)) gg("geom_point", data = data, size = 0.4, alpha = 0.4)) + gg(
      "scale_fill_gradientn", colours = grDevices::hcl.colors(100, "YlOrRd", rev = TRUE)
    ) + gg("coord_equal", expand = FALSE) +
    gg("labs", x = names[1], y = names[2], fill = if (which == "mean") "mean" else "standard\nerror")
}
