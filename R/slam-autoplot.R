# The pictures of a sparse-factor model by ggplot2, where it is installed.

#' @rdname plot.slamglmm
#' @exportS3Method ggplot2::autoplot slamglmm
autoplot.slamglmm <- function(
  object, which = c("covariance", "loadings", "h2", "trace", "biplot"), traits = NULL, level = 0.95, choices = 1:2, effect = NULL, ...
) {
  check_arguments(...)
  check_level(level)
  switch(one_of(which),
    covariance = heat_plots(correlation_pictures(object, traits, level, effect)),
    loadings = heat_plot(loadings_picture(object, traits, level, effect)),
    h2 = interval_plot(h2_picture(object, traits, level, effect), h2_label(object, effect)),
    trace = trace_plot(trace_picture(object, traits, effect)),
    biplot = biplot_plot(biplot_picture(object, choices, traits, effect))
  )
}

gg <- function(name, ...) getExportedValue("ggplot2", name)(...)

# Columns of a frame, by name
gg_columns <- function(...) do.call(getExportedValue("ggplot2", "aes"), lapply(list(...), as.name))

# Names of many things shrink down to what can be read; then those that would lie on others are left out.
gg_names <- function(side, count, ...) {
  size <- min(9, max(6, 330 / count))
  guide <- gg("guide_axis", check.overlap = TRUE)
  list(
    if (side == "x") gg("guides", x = guide) else gg("guides", y = guide),
    do.call(gg, c(list("theme"), structure(list(gg("element_text", size = size, ...)), names = paste0("axis.text.", side))))
  )
}

# A panel for each of several pictures of the same responses
heat_plots <- function(pictures) {
  if (length(pictures) == 1) return(heat_plot(pictures[[1]]))
  whole <- pictures[[1]]
  whole[c("values", "faded")] <- list(do.call(rbind, lapply(pictures, `[[`, "values")), do.call(rbind, lapply(pictures, `[[`, "faded")))
  effects <- vapply(pictures, `[[`, "", "effect")
  heat_plot(
    replace(whole, "title", "correlations of each random effect"), factor(short_labels(effects, 24)$text, short_labels(effects, 24)$text)
  ) + gg("facet_wrap", "panel")
}

# `panels`: pictures that stand below one another in the values
heat_plot <- function(picture, panels = 1) {
  names <- rownames(picture$values)[seq_len(nrow(picture$values) / length(panels))]
  rows <- short_labels(names, 30)
  columns <- short_labels(colnames(picture$values), 30)
  frame <- expand.grid(row = factor(rows$text, rev(rows$text)), panel = panels, column = factor(columns$text, columns$text))
  frame$value <- c(picture$values)
  frame$sure <- ifelse(c(picture$faded), 0.3, 1)
  faded <- if (any(picture$faded)) sprintf("faded: the %s %% interval contains 0", format(100 * picture$level))
  gg("ggplot", frame, gg_columns(x = "column", y = "row", fill = "value", alpha = "sure")) + gg("geom_tile") + gg("scale_alpha_identity") +
    gg("scale_fill_gradientn", colours = heat_colours, limits = c(-1, 1) * picture$limit) + gg(
      "labs", x = NULL, y = NULL, fill = NULL, title = picture$title, subtitle = faded, caption = shared_text(rows)
    ) +
    gg("theme_minimal") + gg("theme", panel.grid = gg("element_blank")) + gg_names(
      "x", ncol(picture$values), angle = 90, hjust = 1, vjust = 0.5
    ) + gg_names("y", length(names))
}

interval_plot <- function(table, label) {
  names <- short_labels(unique(table$response), 30)
  table$label <- factor(names$text[match(table$response, unique(table$response))], rev(names$text))
  effects <- unique(table$effect)
  # the first effect above the others
  table$effect <- factor(table$effect, rev(effects))
  key <- gg(
    "scale_colour_manual", values = rev(effect_colours(length(effects))), guide = if (length(effects) > 1) gg("guide_legend", reverse = TRUE) else "none",
    labels = function(names) cut_names(names, 24)
  )
  gg(
    "ggplot", table, gg_columns(x = "h2", y = "label", xmin = "low", xmax = "high", colour = "effect")
  ) + gg("geom_pointrange", size = 0.3, position = gg("position_dodge", width = 0.6)) + gg("xlim", 0, 1) + key +
    gg("labs", x = label, y = NULL, colour = NULL, caption = shared_text(names)) + gg("theme_minimal") + gg_names("y", length(names$text))
}

trace_plot <- function(picture) {
  size <- dim(picture$draws)
  names <- short_labels(picture$responses, 24)
  frame <- data.frame(
    iteration = rep(picture$iteration, size[2] * size[3]), chain = factor(rep(rep(seq_len(size[2]), each = size[1]), size[3])),
    variable = factor(rep(names$text, each = size[1] * size[2]), names$text), value = c(picture$draws)
  )
  gg(
    "ggplot", frame, gg_columns(x = "iteration", y = "value", colour = "chain")
  ) + gg("geom_line", alpha = 0.7, linewidth = 0.3) + gg("facet_wrap", "variable", scales = "free_y") +
    gg("scale_colour_manual", values = chain_colours(size[2])) + gg("labs", y = picture$what, caption = shared_text(names)) + gg("theme_minimal")
}

biplot_plot <- function(picture) {
  reach <- max(abs(picture$scores)) * 1.1
  points <- data.frame(x = picture$scores[, 1], y = picture$scores[, 2])
  tips <- biplot_tips(picture)
  names <- short_labels(rownames(tips), 18)
  arrows <- data.frame(x = tips[, 1], y = tips[, 2], label = names$text, side = ifelse(tips[, 1] < 0, 1.1, -0.1), zero = 0)
  named <- arrows[utils::head(order(-rowSums(tips^2)), 20), ]
  gg("ggplot", points, gg_columns(x = "x", y = "y")) + gg("geom_point", colour = "grey70") +
    gg(
      "geom_segment", gg_columns(x = "zero", y = "zero", xend = "x", yend = "y"), arrows, colour = "#b03a2e",
      arrow = gg("arrow", length = gg("unit", 0.06, "inches"))
    ) +
    gg(
      "geom_text", gg_columns(label = "label", hjust = "side"), named, size = 2.6, colour = "#7b241c", check_overlap = TRUE
    ) + gg("coord_equal", xlim = c(-reach, reach), ylim = c(-reach, reach)) +
    gg("labs", x = picture$names[1], y = picture$names[2], caption = shared_text(names)) + gg("theme_minimal")
}
