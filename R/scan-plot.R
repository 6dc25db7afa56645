#' Pictures of a scan
#'
#' `"manhattan"`: minus log10 p by position, groups in two colours. `"qq"`: against what is expected without any association, with the 95 percent band of each order statistic and lambda, the median
#' of the chi-squared values over that of the null distribution. `"effects"`: estimates and intervals of the strongest candidates.
#'
#' Of many points those are drawn that can be seen: where points are dense, one for each cell of a fine grid. The strongest thousand are always drawn.
#'
#' @param x,object a scan by [fastlmm_scan()].
#' @param type which picture.
#' @param map data frame with `chr` and `pos`, a row for each row of the scan; `NULL`: that of PLINK files, else the order of candidates.
#' @param threshold p-values at which to draw a line.
#' @param n how many effects.
#' @param level confidence level of the effects.
#' @param col two colours of groups.
#' @param main,xlab,ylab labels.
#' @param ... further arguments of [plot()]; `autoplot()`: not used.
#' @return `plot()`: x, invisibly. `autoplot()`: a `ggplot` object.
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
  type <- match.arg(type)
  log10p <- expression(-log[10](p))
  if (type == "manhattan") {
    d <- manhattan_data(x, map)
    shown <- seen(d$at, d$y)
    plot(
      d$at[shown], d$y[shown], col = col[1 + d$band[shown] %% 2], pch = 20, cex = 0.6, xaxt = "n", xlab = first_of(xlab, d$label), ylab = first_of(ylab, log10p), main = main,
      ylim = c(0, 1.05 * max(d$y, 1, if (length(threshold) > 0) -log10(threshold))), ...
    )
    graphics::axis(1, d$ticks, d$groups, tick = FALSE, gap.axis = 0.1)
    if (length(threshold) > 0) graphics::abline(h = -log10(threshold), lty = 2)
  } else if (type == "qq") {
    d <- qq_data(x)
    plot(d$expected, d$y, type = "n", xlab = first_of(xlab, expression(expected ~ -log[10](p))), ylab = first_of(ylab, expression(observed ~ -log[10](p))), main = main, ...)
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

first_of <- function(x, default) if (is.null(x)) default else x

# ---- what is drawn --------------------------------------------------------------------------------------

manhattan_data <- function(scan, map) {
  map <- if (is.null(map)) attr(scan, "map") else map
  if (!is.null(map) && (!is.data.frame(map) || !all(c("chr", "pos") %in% names(map)) || nrow(map) != nrow(scan))) {
    abort_scan(sprintf("to be drawn needs a map with chr and pos and %d rows", nrow(scan)))
  }
  used <- which(is.finite(scan$log10p))
  if (length(used) == 0) abort_scan("to be drawn needs a candidate that was tested")
  if (is.null(map)) return(list(at = used, y = scan$log10p[used], band = rep(0, length(used)), ticks = numeric(), groups = character(), label = "candidate"))
  chr <- factor(map$chr[used], levels = unique(map$chr[used]))
  within <- split(seq_along(used), chr)
  width <- vapply(within, function(i) diff(range(map$pos[used][i])), 0)
  gap <- max(sum(width) * 0.01, 1e-9)
  start <- cumsum(c(0, head(width + gap, -1)))
  low <- vapply(within, function(i) min(map$pos[used][i]), 0)
  list(
    at = unname(map$pos[used] - low[chr] + start[chr]), y = scan$log10p[used], band = as.integer(chr), ticks = start + width / 2, groups = levels(chr), label = "position"
  )
}

# Rank, band of each order statistic (beta distributed), and lambda
qq_data <- function(scan) {
  y <- sort(scan$log10p[is.finite(scan$log10p)], decreasing = TRUE)
  m <- length(y)
  if (m == 0) abort_scan("to be drawn needs a candidate that was tested")
  rank <- seq_len(m)
  median <- stats::median(stats::qchisq(-y * log(10), 1, lower.tail = FALSE, log.p = TRUE))
  list(
    expected = -log10((rank - 0.5) / m), y = y, low = -log10(stats::qbeta(0.975, rank, m + 1 - rank)), high = -log10(stats::qbeta(0.025, rank, m + 1 - rank)),
    lambda = median / stats::qchisq(0.5, 1)
  )
}

effects_data <- function(scan, n, level) {
  used <- which(is.finite(scan$estimate) & is.finite(scan$log10p))
  if (length(used) == 0) abort_scan("to be drawn needs candidates with estimates")
  at <- used[head(order(-scan$log10p[used]), n)]
  df <- if (any(is.finite(scan$df2[at]))) scan$df2[at] else rep(Inf, length(at))
  half <- stats::qt(1 - (1 - check_level(level)) / 2, df) * scan$std.error[at]
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
  check_dots_empty(...)
  type <- match.arg(type)
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

# ---- the table ------------------------------------------------------------------------------------------

#' @rdname fastlmm_scan
#' @param x a scan.
#' @param n how many of the strongest to show.
#' @param digits significant digits.
#' @export
print.fastlmm_scan <- function(x, n = 10, digits = max(3, getOption("digits") - 3), ...) {
  check_dots_empty(...)
  table <- as.data.frame(x)
  # a choice of columns is no list of tests any more
  if (!all(c("log10p", "status") %in% names(table))) {
    print(table, digits = digits, row.names = FALSE)
    return(invisible(x))
  }
  test <- c(wald = "F tests", lrt = "likelihood ratio tests", score = "score tests")
  how <- c(none = "delta of the null model", delta = "delta estimated anew", hybrid = "delta estimated anew where p is small")
  title <- if (is.null(attr(x, "test"))) "tests" else paste0(test[[attr(x, "test")]], ", ", how[[attr(x, "refit")]])
  cat(format(nrow(table), big.mark = ","), " ", title, "\n", sep = "")
  bad <- table(table$status[table$status != "ok"])
  if (length(bad) > 0) cat("not tested: ", paste0(names(bad), " ", bad, collapse = ", "), "\n", sep = "")
  shown <- head(table[order(-table$log10p, na.last = TRUE), ], n)
  print(shown[setdiff(names(shown), c("df2", "logLik", "status"))], digits = digits, row.names = FALSE)
  if (nrow(table) > n) cat("... the ", n, " strongest of ", format(nrow(table), big.mark = ","), "\n", sep = "")
  invisible(x)
}

#' @rdname fastlmm_scan
#' @param row.names,optional as in [as.data.frame()], not used.
#' @export
as.data.frame.fastlmm_scan <- function(x, row.names = NULL, optional = FALSE, ...) {
  structure(x, class = "data.frame", test = NULL, refit = NULL, map = NULL, formula = NULL)
}
