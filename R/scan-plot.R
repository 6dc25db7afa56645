#' Pictures of a scan
#'
#' `"manhattan"`: minus log10 p by position, groups in two colours. `"qq"`: against what is expected without any association, with the 95 percent band of each order statistic and lambda, the median
#' of the chi-squared values over that of the null distribution. `"effects"`: estimates and intervals of the strongest candidates.
#'
#' Positions are the columns `chr` and `pos` of the scan, which PLINK files give, or `map`; without them candidates stand in the order in which they were given, however the rows of the scan are sorted and whatever rows are
#' left. Tests without a position are not drawn, with the message `not_drawn`; those with p = 0, which are perfect fits, are drawn at the upper edge, with the message `beyond`. Many responses are drawn on one axis: take the rows of one response, as `scan[scan$response == "height", ]`.
#'
#' Of many points those are drawn that can be seen: where points are dense, one for each cell of a fine grid. The strongest thousand are always drawn.
#'
#' @param x,object a scan by [fastlmm_scan()].
#' @param type which picture.
#' @param map data frame with `chr` and `pos`; with a column `term` or row names, the names of candidates, its rows are found by them; else it has a row for each row of the scan as it was made. `NULL`: the columns of the scan.
#' @param threshold p-values at which to draw a line, above 0 and up to 1.
#' @param n how many effects.
#' @param level confidence level of the effects.
#' @param col two colours of groups.
#' @param main,xlab,ylab labels.
#' @param ... further arguments of [plot()]; `autoplot()`: not used.
#' @return `plot()`: x, invisibly. `autoplot()`: a `ggplot` object.
#'
#'   Errors: `scan` where the columns that a picture needs were dropped, or nothing was tested.
#' @examples
#' set.seed(1)
#' ids <- paste0("i", 1:150)
#' G <- matrix(rbinom(150 * 400, 2, 0.4), 150, dimnames = list(ids, paste0("m", 1:400)))
#' data <- data.frame(id = ids, y = 0.7 * G[, 30] + rnorm(150))
#' scan <- fastlmm_scan(fastlmm_fit(y ~ 1 + (1 | id), data, tcrossprod(scale(G)) / 400), G)
#' map <- data.frame(chr = rep(1:4, each = 100), pos = rep(1:100, 4))
#' plot(scan, map = map, threshold = 0.05 / 400)
#' plot(scan, "qq")
#' plot(scan, "effects", n = 10)
#' @export
plot.fastlmm_scan <- function(x, type = c("manhattan", "qq", "effects"), map = NULL, threshold = NULL, n = 20, level = 0.95, col = c("#1b4f72", "#7fb3d5"), main = NULL,
                              xlab = NULL, ylab = NULL, ...) {
  read_arguments()
  type <- one_of(type)
  threshold <- check_line(threshold)
  log10p <- expression(-log[10](p))
  if (type == "manhattan") {
    d <- manhattan_data(x, map)
    shown <- seen(d$at, d$y)
    plot(
      d$at[shown], d$y[shown], col = col[1 + d$band[shown] %% 2], pch = 20, cex = 0.6, xaxt = "n", xlab = first_of(xlab, d$label), ylab = "", main = main,
      ylim = c(0, 1.05 * max(d$y, 1, if (length(threshold) > 0) -log10(threshold))), ...
    )
    inner_label(first_of(ylab, log10p))
    graphics::axis(1, d$ticks, d$groups, tick = FALSE, gap.axis = 0.1)
    if (length(threshold) > 0) graphics::abline(h = -log10(threshold), lty = 2)
  } else if (type == "qq") {
    d <- qq_data(x)
    plot(d$expected, d$y, type = "n", xlab = first_of(xlab, expression(expected ~ -log[10](p))), ylab = "", main = main, ...)
    inner_label(first_of(ylab, expression(observed ~ -log[10](p))))
    graphics::polygon(c(d$expected, rev(d$expected)), c(d$low, rev(d$high)), col = "grey90", border = NA)
    graphics::abline(0, 1)
    shown <- seen(d$expected, d$y)
    graphics::points(d$expected[shown], d$y[shown], pch = 20, cex = 0.6, col = col[1])
    graphics::legend("topleft", legend = bquote(lambda == .(format(d$lambda, digits = 4))), bty = "n")
  } else {
    d <- effects_data(x, n, level)
    at <- rev(seq_along(d$estimate))
    plot(range(d$low, d$high, 0), range(at), type = "n", yaxt = "n", xlab = first_of(xlab, "estimate"), ylab = first_of(ylab, ""), main = main, ...)
    graphics::abline(v = 0, lty = 3)
    graphics::segments(d$low, at, d$high, at, col = col[1])
    graphics::points(d$estimate, at, pch = 19, col = col[1])
    graphics::axis(2, at, d$label, las = 1, cex.axis = 0.7)
  }
  invisible(x)
}

# Mathematics is taller than text and would reach past the edge.
inner_label <- function(ylab) graphics::title(ylab = ylab, line = 2.4)

first_of <- function(x, default) if (is.null(x)) default else x

# ---- what is drawn --------------------------------------------------------------------------------------

manhattan_data <- function(scan, map = NULL) {
  need_columns(scan, "log10p")
  place <- if (is.null(map)) scan_places(scan) else map_places(map, scan)
  used <- which(!is.na(scan$log10p))
  if (length(used) == 0) abort_scan("to be drawn needs a candidate that was tested")
  if (is.null(place)) return(list(at = candidate_order(scan, used), y = drawable(scan$log10p[used]), band = rep(0, length(used)), ticks = numeric(), groups = character(), label = "candidate"))
  place$chr <- chromosomes(scan, place$chr)
  lost <- is.na(place$chr[used]) | is.na(place$pos[used])
  if (all(lost)) abort_scan("to be drawn needs tests with a chromosome and a position; none has them")
  if (any(lost)) inform_fastlmm("not_drawn", paste("not drawn, without a chromosome or position:", counted(sum(lost), "test")), n = sum(lost))
  used <- used[!lost]
  in_line(place[used, ], drawable(scan$log10p[used]))
}

# A perfect fit, with p = 0, stands above all others.
drawable <- function(log10p) {
  beyond <- is.infinite(log10p)
  if (!any(beyond)) return(log10p)
  inform_fastlmm("beyond", paste("drawn at the upper edge, as p is 0:", counted(sum(beyond), "test")), n = sum(beyond))
  replace(log10p, beyond, 1.1 * max(log10p[!beyond], 1))
}

# Chromosomes beside each other, in the order of their levels
in_line <- function(place, y) {
  chr <- droplevels(place$chr)
  reach <- vapply(split(place$pos, chr), range, numeric(2))
  width <- reach[2, ] - reach[1, ]
  gap <- if (sum(width) > 0) sum(width) * 0.01 else 1
  start <- cumsum(c(0, head(width + gap, -1)))
  list(
    at = unname(place$pos - reach[1, ][chr] + start[chr]), y = y, band = as.integer(chr), ticks = unname(start + width / 2), groups = levels(chr), label = "position"
  )
}

# In the order of the levels or, however the scan is sorted, of the candidates as they were given
chromosomes <- function(scan, chr) {
  if (is.factor(chr)) return(chr)
  given <- attr(scan, "candidates")
  factor(chr, unique(if (is.null(given)) chr else chr[order(match(scan$term, given))]))
}

check_map <- function(map, n) {
  if (is.data.frame(map) && all(c("chr", "pos") %in% names(map)) && nrow(map) == n && is.numeric(map$pos)) return(map)
  abort_scan(sprintf("to be drawn needs a map with chr and pos, which are numbers, and %d rows", n))
}

# A map by the names of its rows or in its column `term`, else with a row for each row of a scan that is as it was made.
map_places <- function(map, scan) {
  names <- if (!is.data.frame(map)) NULL else if ("term" %in% names(map)) as.character(map$term) else if (has_row_names(map)) rownames(map)
  if (!is.null(names) && all(scan$term %in% names)) {
    check_map(map, nrow(map))
    if (anyDuplicated(names)) abort_scan(paste0("to be drawn needs a map with one row a candidate; several have ", first_names(unique(names[duplicated(names)]))))
    return(map[match(scan$term, names), , drop = FALSE])
  }
  if (!identical(attr(scan, "whole"), nrow(scan)) || !in_given_order(scan)) {
    abort_scan("was sorted or subset: give the map a column term, the names of the candidates, so that its rows can be found")
  }
  check_map(map, nrow(scan))
}

# Are the rows of each response as the candidates were given?
in_given_order <- function(scan) {
  given <- attr(scan, "candidates")
  if (is.null(given)) return(TRUE)
  all(vapply(split(match(scan$term, given), scan$response), function(at) !is.unsorted(at), NA))
}

# The columns of a scan that has positions; NULL where candidates had none
scan_places <- function(scan) {
  found <- c("chr", "pos") %in% names(scan)
  if (all(found)) return(check_map(as.data.frame(scan)[c("chr", "pos")], nrow(scan)))
  if (any(found) || is.null(attr(scan, "candidates"))) abort_scan("to be drawn needs its columns chr and pos; keep them, or give map =")
  NULL
}

# Whatever rows are left and however they are sorted, candidates stand as they were given.
candidate_order <- function(scan, used) {
  need_columns(scan, "term")
  at <- match(scan$term[used], attr(scan, "candidates"))
  if (anyNA(at)) abort_scan(paste0("to be drawn needs the names of its candidates in the column term, not ", first_names(scan$term[used][is.na(at)])))
  at
}

need_columns <- function(scan, names) {
  gone <- setdiff(names, names(scan))
  if (length(gone) > 0) abort_scan(paste0("to be drawn or summarised needs its columns ", first_names(names), "; without ", first_names(gone), " it is a table only"))
}

check_line <- function(threshold) {
  if (is.null(threshold) || is.numeric(threshold) && all(!is.na(threshold) & threshold > 0 & threshold <= 1)) return(threshold)
  abort_scan(paste("draws lines at p-values above 0 and up to 1, not at a threshold of", deparse1(threshold)))
}

# Rank, band of each order statistic (beta distributed), and lambda
qq_data <- function(scan) {
  need_columns(scan, "log10p")
  all <- sort(scan$log10p, decreasing = TRUE)
  m <- length(all)
  if (m == 0) abort_scan("to be drawn needs a candidate that was tested")
  rank <- seq_len(m)
  list(
    expected = -log10((rank - 0.5) / m), y = drawable(all), low = -log10(stats::qbeta(0.975, rank, m + 1 - rank)), high = -log10(stats::qbeta(0.025, rank, m + 1 - rank)),
    lambda = inflation(all)
  )
}

effects_data <- function(scan, n, level) {
  need_columns(scan, c("term", "estimate", "std.error", "df2", "log10p"))
  if (!is_count(n)) abort_scan(paste("draws a positive number n of effects, not", deparse1(n)))
  used <- which(is.finite(scan$estimate) & !is.na(scan$log10p))
  if (length(used) == 0) abort_scan("to be drawn needs candidates with estimates")
  at <- used[head(order(-scan$log10p[used]), n)]
  half <- stats::qt(1 - (1 - check_level(level)) / 2, scan$df2[at]) * scan$std.error[at]
  several <- length(unique(scan$response)) > 1
  list(
    estimate = scan$estimate[at], low = scan$estimate[at] - half, high = scan$estimate[at] + half,
    label = if (several) paste(scan$response[at], scan$term[at]) else scan$term[at]
  )
}

# One point for each cell of a fine grid, and the strongest
seen <- function(x, y, fine = 1000, always = 1000) {
  if (length(x) <= 2e4) return(seq_along(x))
  cell <- function(v) if (diff(range(v)) > 0) round((v - min(v)) / diff(range(v)) * fine) else numeric(length(v))
  first <- !duplicated(cell(x) * (fine + 1) + cell(y))
  first[order(-y)[seq_len(min(always, length(y)))]] <- TRUE
  which(first)
}

# ---- ggplot2, where it is installed -----------------------------------------------------------------------

#' @rdname plot.fastlmm_scan
#' @exportS3Method ggplot2::autoplot fastlmm_scan
autoplot.fastlmm_scan <- function(object, type = c("manhattan", "qq", "effects"), map = NULL, threshold = NULL, n = 20, level = 0.95, col = c("#1b4f72", "#7fb3d5"), ...) {
  check_arguments(...)
  type <- one_of(type)
  threshold <- check_line(threshold)
  gg <- asNamespace("ggplot2")
  log10p <- expression(-log[10](p))
  if (type == "manhattan") {
    d <- manhattan_data(object, map)
    shown <- seen(d$at, d$y)
    frame <- data.frame(at = d$at, y = d$y, band = factor(d$band %% 2))[shown, ]
    picture <- gg$ggplot(frame, gg$aes(x = !!as.name("at"), y = !!as.name("y"), colour = !!as.name("band"))) + gg$geom_point(size = 0.7, show.legend = FALSE) +
      gg$scale_colour_manual(values = col) + gg$labs(x = d$label, y = log10p)
    if (length(d$ticks) > 0) picture <- picture + gg$scale_x_continuous(breaks = d$ticks, labels = d$groups)
    if (length(threshold) > 0) picture <- picture + gg$geom_hline(yintercept = -log10(threshold), linetype = 2)
    return(picture)
  }
  if (type == "qq") {
    d <- qq_data(object)
    frame <- data.frame(d[c("expected", "y", "low", "high")])[seen(d$expected, d$y), ]
    return(gg$ggplot(frame, gg$aes(x = !!as.name("expected"))) + gg$geom_ribbon(gg$aes(ymin = !!as.name("low"), ymax = !!as.name("high")), fill = "grey85") + gg$geom_abline() +
      gg$geom_point(gg$aes(y = !!as.name("y")), size = 0.7, colour = col[1]) +
      gg$labs(x = expression(expected ~ -log[10](p)), y = expression(observed ~ -log[10](p)), subtitle = bquote(lambda == .(format(d$lambda, digits = 4)))))
  }
  d <- effects_data(object, n, level)
  frame <- data.frame(d[c("estimate", "low", "high")], label = factor(d$label, rev(unique(d$label))))
  gg$ggplot(frame, gg$aes(x = !!as.name("estimate"), y = !!as.name("label"))) + gg$geom_vline(xintercept = 0, linetype = 3) +
    gg$geom_pointrange(gg$aes(xmin = !!as.name("low"), xmax = !!as.name("high")), colour = col[1]) + gg$labs(x = "estimate", y = NULL)
}
