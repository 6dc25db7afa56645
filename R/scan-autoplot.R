# The pictures of a scan by ggplot2, where it is installed.

#' @rdname plot.fastlmm_scan
#' @exportS3Method ggplot2::autoplot fastlmm_scan
autoplot.fastlmm_scan <- function(object, type = c(
  "manhattan", "qq", "effects", "region"
), map = NULL, threshold = NULL, n = 20, level = 0.95, label = NULL, region = NULL, window = NULL,
                                  candidates = NULL, genes = NULL, col = c("#1b4f72", "#7fb3d5"), ...) {
  check_arguments(...)
  type <- scan_picture(type, !missing(type), names(Filter(Negate(is.null), list(region = region, window = window, candidates = candidates, genes = genes))))
  lines <- scan_lines(threshold, object, level)
  switch(type,
    manhattan = manhattan_plot(object, map, lines, label, col), qq = qq_plot(qq_data(object), col), effects = effects_plot(effects_data(object, n, level), col),
    region = region_plot(object, region_data(object, map, region, window, candidates, genes), lines, label, col)
  )
}

manhattan_plot <- function(scan, map, lines, label, col) {
  placed <- placed_tests(scan, map)
  d <- manhattan_data(scan, map, placed)
  frame <- data.frame(at = d$at, y = d$y, band = factor(d$band %% 2, 0:1))[seen(d$at, d$y), ]
  picture <- gg("ggplot", frame, gg_columns(x = "at", y = "y")) + gg(
    "geom_point", gg_columns(fill = "band"), shape = 21, stroke = 0, size = 1.4, show.legend = FALSE
  ) +
    gg("scale_fill_manual", values = rep_len(unname(col), 2), drop = FALSE) + gg("labs", x = d$label, y = log10p_label) + scan_theme()
  ticks <- if (length(d$ticks) > 0) gg("scale_x_continuous", breaks = d$ticks, labels = d$groups, guide = gg("guide_axis", check.overlap = TRUE))
  labels <- label_data(label, scan, placed, d, lines)
  hits <- if (nrow(labels) > 0) gg("geom_point", data = labels, colour = hit_colour, size = 1.6)
  picture + ticks + line_layers(lines) + hits + label_layers(labels) + upward()
}

scan_theme <- function() list(
  gg("theme_minimal"), gg("theme", panel.grid.minor = gg("element_blank"), panel.grid.major.x = gg("element_blank"), legend.position = "top")
)

# From 0, with room for labels
upward <- function(low = 0) gg(
  "scale_y_continuous", limits = c(low, NA), expand = gg("expansion", mult = c(if (low < 0) 0.02 else 0, 0.1)),
  breaks = function(range) Filter(function(at) at >= 0, pretty(range))
)

line_layers <- function(lines) {
  if (nrow(lines) == 0) return(NULL)
  if (!has_legend(lines)) return(gg("geom_hline", yintercept = lines$y, linetype = 2))
  text <- line_text(lines)
  drawn <- data.frame(y = lines$y, line = factor(text, unique(text)))
  colours <- rep_len(line_colours, nlevels(drawn$line))
  kinds <- rep_len(c(2, 4, 3, 5), nlevels(drawn$line))
  # of a line without a height the key stays
  drawn$y[is.na(drawn$y)] <- -Inf
  list(
    gg("geom_hline", gg_columns(yintercept = "y", colour = "line", linetype = "line"), drawn), gg("scale_colour_manual", values = colours),
    gg("scale_linetype_manual", values = kinds),
    gg("labs", colour = NULL, linetype = NULL)
  )
}

# One above the other is not drawn: which can lie where depends on a size that is not known here.
label_layers <- function(labels) {
  if (nrow(labels) == 0) return(NULL)
  gg("geom_text", gg_columns(x = "at", y = "y", label = "text"), labels, vjust = -0.8, size = 3, check_overlap = TRUE)
}

qq_plot <- function(d, col) {
  frame <- data.frame(d[c("expected", "y", "low", "high")])[seen(d$expected, d$y), ]
  gg("ggplot", frame, gg_columns(x = "expected")) + gg("geom_ribbon", gg_columns(ymin = "low", ymax = "high"), fill = "grey85") + gg("geom_abline") +
    gg("geom_point", gg_columns(y = "y"), size = 0.7, colour = col[1]) + gg("theme_minimal") +
    gg("labs", x = expression(expected ~ -log[10](p)), y = expression(observed ~ -log[10](p)), subtitle = if (!is.null(d$text)) bquote(lambda == .(d$text)))
}

effects_plot <- function(d, col) {
  names <- short_labels(unique(d$label), 30)
  frame <- data.frame(d[c("estimate", "low", "high")], label = factor(names$text[match(d$label, unique(d$label))], rev(names$text)))
  gg("ggplot", frame, gg_columns(x = "estimate", y = "label")) + gg("geom_vline", xintercept = 0, linetype = 3) + gg(
    "geom_pointrange", gg_columns(xmin = "low", xmax = "high"), colour = col[1], size = 0.3
  ) +
    gg("labs", x = "estimate", y = NULL, caption = shared_text(names)) + gg("theme_minimal") + gg_names("y", length(names$text))
}

region_plot <- function(scan, d, lines, label, col) {
  class <- if (!is.null(d$r2)) r2_class(d$r2)
  frame <- data.frame(at = d$at, y = d$y, class = if (is.null(class)) 1 else factor(r2_names[class], r2_names[c(5:1, if (any(class == 6)) 6)]))
  top <- max(d$y, 1, lines$y[!is.na(lines$y)])
  lane <- top * 0.1
  depth <- max(0, d$genes$lane) * lane
  points <- if (is.null(d$r2)) gg("geom_point", shape = 21, fill = col[1], colour = "white", size = 2) else gg(
    "geom_point", gg_columns(fill = "class"), shape = 21, colour = "white", size = 2, show.legend = TRUE
  )
  key <- if (!is.null(d$r2)) list(gg("scale_fill_manual", values = structure(r2_colours, names = r2_names), drop = FALSE), gg("labs", fill = expression(r^2)))
  gg("ggplot", frame, gg_columns(x = "at", y = "y")) + points + key + gg(
    "geom_point", data = frame[d$lead, ], shape = 23, fill = "#8e44ad", size = 3
  ) + line_layers(lines) +
    label_layers(label_data(first_of(label, d$term[d$lead]), scan, d$placed, d, lines)) + gene_layers(d$genes, lane) + gg(
      "scale_x_continuous", limits = d$xlim, breaks = d$ticks, labels = d$groups
    ) +
    upward(-depth) + gg("labs", x = d$label, y = log10p_label) + scan_theme() + gg("theme", legend.position = "right")
}

gene_layers <- function(genes, lane) {
  if (is.null(genes) || nrow(genes) == 0) return(NULL)
  genes$y <- -lane * genes$lane
  genes$middle <- (genes$start + genes$end) / 2
  genes$above <- genes$y + lane * 0.45
  list(
    gg("geom_hline", yintercept = 0, colour = "grey70"),
    gg("geom_segment", gg_columns(x = "start", xend = "end", y = "y", yend = "y"), genes, linewidth = 1.5, colour = "#2c3e50"),
    gg("geom_text", gg_columns(x = "middle", y = "above", label = "name"), genes, size = 2.6, fontface = "italic")
  )
}
