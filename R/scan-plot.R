#' Plots of a scan
#'
#' `"manhattan"`: minus log10 p by position, with chromosomes in two colours. `"qq"`: against the expectation without any association, with the
#' pointwise 95 percent band of each order statistic, and the inflation factor lambda (the median chi-squared value divided by its expectation)
#' with its limits. `"effects"`: estimates and intervals of the strongest candidates. `"region"`: tests in part of a chromosome, coloured by
#' their squared correlation with the strongest where `candidates` are given, and genes.
#'
#' Positions are the columns `chr` and `pos` of the scan, which come from PLINK files or `fastlmm_scan(map =)`, or from `map`. Without them
#' candidates stand in the order in which they were given, whatever rows of the scan are left and however these are sorted. Chromosomes stand
#' in natural order (1, 2, 10, X, Y, MT), or in the order of the levels of a factor; positions on a single chromosome are in Mb where they are
#' base pairs (that is, one of them is 1e5 or more).
#'
#' Tests without a position are not drawn, with the message `not_drawn`; tests with p = 0, which are perfect fits, are drawn at the upper edge,
#' with the message `beyond`. Many responses are drawn on one axis: select the rows of one response, `scan[scan$response == "height", ]`.
#'
#' Where points are dense, only one is drawn in each cell of a fine grid, so that the plot looks the same. The strongest thousand are always
#' drawn.
#'
#' @section Thresholds:
#' A p-value, or several; `"bonferroni"` (1 - `level`, divided by the number of tests of a response); `"fdr"` (the largest p-value that the
#' procedure of Benjamini and Hochberg rejects at a false discovery rate of 1 - `level`); `"genomewide"` (5e-8); `"suggestive"` (1e-5); the
#' value of [fastlmm_permute()] (its quantile at `level`; for many responses the largest); or a list of these. Named lines get a legend; names
#' are those of the vector or list, or the kind of threshold.
#'
#' @param x,object a scan by [fastlmm_scan()].
#' @param type which plot; if it is not given, `region`, `window`, `candidates` or `genes` select the region.
#' @param map data frame with `chr` and `pos`, or the path of a `.bim` file. Its rows are matched to candidates by a column `term` or by row
#'   names; otherwise it has a row for each row of the original scan. `NULL`: the columns of the scan.
#' @param threshold where to draw lines, see below.
#' @param n number of effects to draw.
#' @param level confidence level of the effects, and of thresholds.
#' @param label points to label: `TRUE`: the hits above the first line (without a line, above Bonferroni's), the strongest of each
#'   neighbourhood as in [summary()][fastlmm_scan]; a number: this many hits; names of candidates, `"rs7412"`; or labels named by candidates,
#'   `c(rs7412 = "APOE")`.
#' @param region the name of a candidate, or a range such as `"10:1000000-2000000"`; `NULL`: around the strongest test.
#' @param window how far the region of a candidate extends to each side; `NULL`: 500 kb, or 20 units of a genetic map.
#' @param candidates the candidates of the scan, or others with these names: points are coloured by their squared correlation with the
#'   strongest test of the region, or with the candidate that `region` names.
#' @param genes data frame with `chr`, `start`, `end` and `name`, drawn below a region.
#' @param col two colours for chromosomes.
#' @param main,xlab,ylab labels.
#' @param ... further arguments of [plot()]; `autoplot()`: not used.
#' @return `plot()`: x, invisibly. `autoplot()`: a `ggplot` object.
#' @section Errors:
#' `scan` where columns that a plot needs were removed, or nothing was tested.
#' @references
#' Benjamini, Y. and Hochberg, Y. (1995) Controlling the false discovery rate. Journal of the Royal Statistical Society B 57, 289-300.
#' @examples
#' set.seed(1)
#' ids <- paste0("i", 1:150)
#' G <- matrix(rbinom(150 * 400, 2, 0.4), 150, dimnames = list(ids, paste0("m", 1:400)))
#' data <- data.frame(id = ids, y = 0.7 * G[, 30] + rnorm(150))
#' map <- data.frame(chr = rep(1:4, each = 100), pos = rep(1:100, 4) * 1e5)
#' scan <- fastlmm_scan(fastlmm_fit(y ~ 1 + (1 | id), data, tcrossprod(scale(G)) / 400), G, map = map)
#' plot(scan, threshold = c("bonferroni", "fdr"), label = TRUE)
#' plot(scan, "qq")
#' plot(scan, "effects", n = 10)
#' plot(scan, "region", window = 2e6, candidates = G)
#' @order 1
#' @export
plot.fastlmm_scan <- function(x, type = c(
  "manhattan", "qq", "effects", "region"
), map = NULL, threshold = NULL, n = 20, level = 0.95, label = NULL, region = NULL, window = NULL, candidates = NULL,
                              genes = NULL, col = c("#1b4f72", "#7fb3d5"), main = NULL, xlab = NULL, ylab = NULL, ...) {
  read_arguments()
  if ("which" %in% ...names()) abort_scan("has no argument which: type = \"manhattan\", \"qq\", \"effects\" or \"region\" chooses the picture")
  type <- scan_picture(type, !missing(type), names(Filter(Negate(is.null), list(region = region, window = window, candidates = candidates, genes = genes))))
  lines <- scan_lines(threshold, x, level)
  given <- list(main = main, xlab = xlab, ylab = ylab, ...)
  switch(type,
    manhattan = draw_manhattan(x, map, lines, label, col, given), qq = draw_qq(qq_data(x), col, given),
    effects = draw_effects(effects_data(x, n, level), col, given),
    region = draw_region(x, region_data(x, map, region, window, candidates, genes), lines, label, col, given)
  )
  invisible(x)
}

# What belongs to a region asks for one, where no picture is named.
scan_picture <- function(type, named, of_region) {
  if (!named && length(of_region) > 0) return("region")
  type <- one_of(type, c("manhattan", "qq", "effects", "region"), name = "type")
  if (type == "region" || length(of_region) == 0) return(type)
  abort_scan(sprintf("has no %s in the picture \"%s\": leave it out, or write type = \"region\"", toString(paste(of_region, "=")), type))
}

log10p_label <- expression(-log[10](p))

# An empty picture with what the caller gave in the place of what is usual
open_picture <- function(x, y, given, xlab, ...) {
  usual <- list(x = x, y = y, type = "n", xlab = xlab, ...)
  ylab <- given$ylab
  given <- given[!vapply(given, is.null, NA)]
  do.call(plot, c(usual[setdiff(names(usual), names(given))], given[setdiff(names(given), "ylab")], ylab = ""), quote = TRUE)
  ylab
}

# Mathematics is taller than text and would reach past the edge.
inner_label <- function(ylab) graphics::title(ylab = ylab, line = 2.4)

first_of <- function(x, default) if (is.null(x)) default else x

# ---- by base graphics -----------------------------------------------------------------------------------

draw_manhattan <- function(scan, map, lines, label, col, given) {
  placed <- placed_tests(scan, map)
  d <- manhattan_data(scan, map, placed)
  labels <- label_data(label, scan, placed, d, lines)
  ylab <- open_picture(range(d$at), range(d$y), given, d$label, xaxt = "n", ylim = c(0, picture_top(d$y, lines, nrow(labels))))
  inner_label(first_of(ylab, log10p_label))
  graphics::axis(1, d$ticks, d$groups, tick = length(unique(d$band)) == 1, gap.axis = 0.1)
  shown <- seen(d$at, d$y)
  graphics::points(d$at[shown], d$y[shown], col = rep_len(col, 2)[1 + d$band[shown] %% 2], pch = 20, cex = first_of(given$cex, 0.6))
  draw_lines(lines)
  graphics::points(labels$at, labels$y, pch = 20, cex = 0.9, col = hit_colour)
  draw_labels(labels)
}

# Room above the points for labels and for the legend
picture_top <- function(y, lines, labels) {
  line <- graphics::par("cin")[2] / graphics::par("pin")[2]
  share <- min(0.5, 0.04 + (if (has_legend(lines)) legend_rows(lines) * line * 0.9 else 0) + (if (labels > 0) 1.6 * line else 0))
  max(y, 1, lines$y[!is.na(lines$y)]) / (1 - share)
}

line_colours <- c("#b03a2e", "#1e8449", "#7d3c98", "#b9770e", "grey30")

has_legend <- function(lines) any(lines$named) || nrow(lines) > 1

line_text <- function(lines) ifelse(is.na(lines$y), paste(lines$label, "(none)"), lines$label)

# As many side by side as the width has room for
legend_columns <- function(lines) {
  widest <- (max(nchar(line_text(lines))) + 7) * graphics::par("cin")[1] * 0.55
  max(1, min(nrow(lines), floor(graphics::par("pin")[1] / widest)))
}

legend_rows <- function(lines) ceiling(nrow(lines) / legend_columns(lines))

draw_lines <- function(lines) {
  if (nrow(lines) == 0) return(invisible())
  if (!has_legend(lines)) return(graphics::abline(h = lines$y, lty = 2))
  colours <- rep_len(line_colours, nrow(lines))
  kinds <- rep_len(c(2, 4, 3, 5), nrow(lines))
  graphics::abline(h = lines$y, lty = kinds, col = colours)
  graphics::legend(
    "topright", legend = line_text(lines), lty = kinds, col = colours, bty = "n", cex = 0.75, ncol = legend_columns(lines), inset = c(0.01, 0.02)
  )
}

hit_colour <- "#b03a2e"

# Above their points, and above each other where they would meet
draw_labels <- function(labels, cex = 0.7, lift = 1) {
  if (nrow(labels) == 0) return(invisible())
  edges <- graphics::par("usr")
  width <- graphics::strwidth(labels$text, cex = cex)
  height <- graphics::strheight("M", cex = cex) * 1.3
  x <- pmin(pmax(labels$at, edges[1] + width / 2), edges[2] - width / 2)
  y <- free_heights(x, labels$y + lift * height, width, height)
  moved <- y > labels$y + (lift + 0.5) * height
  graphics::segments(labels$at[moved], labels$y[moved] + height / 3, x[moved], y[moved] - height / 2, col = "grey50", lwd = 0.7)
  graphics::rect(x - width / 2, y - height / 2, x + width / 2, y + height / 2, col = "#ffffffb0", border = NA)
  graphics::text(x, y, labels$text, cex = cex, xpd = NA)
}

# The lowest heights at which no label lies on an earlier one
free_heights <- function(x, y, width, height) {
  for (i in seq_along(x)[-1]) {
    before <- seq_len(i - 1)
    meets <- function() any(abs(x[i] - x[before]) < (width[i] + width[before]) / 2 & abs(y[i] - y[before]) < height)
    while (meets()) y[i] <- y[i] + height / 2
  }
  y
}

draw_qq <- function(d, col, given) {
  ylab <- open_picture(d$expected, d$y, given, expression(expected ~ -log[10](p)))
  inner_label(first_of(ylab, expression(observed ~ -log[10](p))))
  graphics::polygon(c(d$expected, rev(d$expected)), c(d$low, rev(d$high)), col = "grey90", border = NA)
  graphics::abline(0, 1)
  graphics::box()
  shown <- seen(d$expected, d$y)
  graphics::points(d$expected[shown], d$y[shown], pch = 20, cex = 0.6, col = col[1])
  if (!is.null(d$text)) draw_lambda(d$text)
}

# In the corner that is always empty, the limits below
draw_lambda <- function(text) {
  parts <- strsplit(text, " (", fixed = TRUE)[[1]]
  x <- graphics::par("usr")[2] - 0.4 * graphics::strwidth("M")
  y <- graphics::par("usr")[3] + graphics::strheight("M") * c(2.6, 0.8)
  graphics::text(x, y[if (length(parts) == 2) 1 else 2], bquote(lambda == .(parts[1])), adj = c(1, 0))
  if (length(parts) == 2) graphics::text(x, y[2], sub(")", "", parts[2], fixed = TRUE), adj = c(1, 0), cex = 0.8, col = "grey30")
}

draw_effects <- function(d, col, given) {
  at <- rev(seq_along(d$estimate))
  ylab <- open_picture(range(d$low, d$high, 0), range(at), given, "estimate", yaxt = "n", ylim = range(at) + c(-0.5, 0.5))
  graphics::title(ylab = first_of(ylab, ""))
  graphics::abline(v = 0, lty = 3)
  graphics::segments(d$low, at, d$high, at, col = col[1])
  graphics::points(d$estimate, at, pch = 19, col = col[1])
  room <- graphics::par("mai")[2] - 0.7 * graphics::par("cin")[2]
  labels <- fit_labels(d$label, max(room, 0.3), graphics::par("pin")[2] / length(at))
  graphics::axis(2, at[labels$shown], labels$text[labels$shown], las = 1, cex.axis = labels$cex, gap.axis = 0)
}

draw_region <- function(scan, d, lines, label, col, given) {
  top <- picture_top(d$y, lines, if (is.null(label)) 1 else 2)
  lane <- 2.1 * graphics::par("cin")[2] * 0.65 / graphics::par("pin")[2] * top
  count <- max(0, d$genes$lane)
  depth <- if (count > 0) lane * (count + 0.3) else 0
  ylab <- open_picture(d$xlim, range(d$y), given, d$label, xaxt = "n", yaxt = "n", xlim = d$xlim, ylim = c(-depth, top))
  inner_label(first_of(ylab, log10p_label))
  graphics::axis(1, d$ticks, d$groups)
  graphics::axis(2, Filter(function(at) at >= 0, graphics::axTicks(2)))
  class <- if (!is.null(d$r2)) r2_class(d$r2)
  graphics::points(d$at, d$y, pch = 21, bg = if (is.null(class)) col[1] else r2_colours[class], col = "white", lwd = 0.4, cex = first_of(given$cex, 1))
  graphics::points(d$at[d$lead], d$y[d$lead], pch = 23, bg = "#8e44ad", cex = 1.4)
  draw_lines(lines)
  draw_labels(label_data(first_of(label, d$term[d$lead]), scan, d$placed, d, lines), lift = 1.2)
  if (!is.null(class)) draw_r2_key(class)
  if (count > 0) draw_genes(d$genes, lane)
}

draw_r2_key <- function(class) {
  used <- c(5:1, if (any(class == 6)) 6)
  graphics::legend(
    "topleft", legend = r2_names[used], pt.bg = r2_colours[used], pch = 21, col = "white", pt.cex = 1.1, cex = 0.7, bty = "n", title = expression(r^2),
    inset = c(0.01, 0.03)
  )
}

# Each with its name above
draw_genes <- function(genes, lane) {
  graphics::abline(h = 0, col = "grey70")
  y <- -lane * (genes$lane - 0.05)
  graphics::segments(genes$start, y, genes$end, y, lwd = 3, lend = 1, col = "#2c3e50")
  graphics::text((genes$start + genes$end) / 2, y + lane * 0.42, genes$name, cex = 0.65, font = 3)
}
