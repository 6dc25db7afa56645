# Pictures of a sparse-factor model.

#' @rdname slamglmm_methods
#' @export
plot.slamglmm <- function(x, which = c("covariance", "loadings", "h2", "trace"), traits = NULL, ...) {
  check_arguments(...)
  switch(one_of(which),
    covariance = {
      genetic <- is.null(x$unidentified)
      correlations <- if (genetic) rg(x, traits = traits) else stats::cov2cor(P(x, traits = traits))
      distance <- 1 - abs(replace(correlations, is.na(correlations), 0))
      by_cluster <- if (nrow(correlations) > 2) stats::hclust(stats::as.dist(distance), "average")$order else seq_len(nrow(correlations))
      heat_map(correlations[by_cluster, by_cluster, drop = FALSE], if (genetic) "genetic correlations" else "correlations")
    },
    loadings = heat_map(loadings(x)[trait_index(x, traits), , drop = FALSE] / x$scale$sd[trait_index(x, traits)], "loadings, in standard deviations"),
    h2 = {
      check_identified(x, "h2()")
      plot_h2(h2(x, traits))
    },
    trace = plot_trace(x, traits)
  )
  invisible(x)
}

# Blue below zero, red above, by rows from the top
heat_map <- function(values, title) {
  values[!is.finite(values)] <- 0
  limit <- max(abs(values), 1e-12)
  colours <- grDevices::hcl.colors(101, "Blue-Red 3")
  rows <- nrow(values)
  columns <- ncol(values)
  small <- function(n) min(0.9, 16 / n)
  dimnames(values) <- lapply(dimnames(values), abbreviate, minlength = 20)
  old <- graphics::par(no.readonly = TRUE)
  on.exit(graphics::par(old))
  graphics::plot.new()
  width <- function(names, n) min(max(graphics::strwidth(names, "inches", cex = small(n))) + 0.3, 3)
  graphics::par(mai = c(width(colnames(values), columns), width(rownames(values), rows), 0.5, 0.9), new = TRUE)
  graphics::image(seq_len(columns), seq_len(rows), t(values[rows:1, , drop = FALSE]), col = colours, zlim = c(-limit, limit), axes = FALSE, xlab = "", ylab = "", main = title)
  graphics::axis(1, seq_len(columns), colnames(values), las = 2, tick = FALSE, cex.axis = small(columns), gap.axis = -1)
  graphics::axis(2, seq_len(rows), rev(rownames(values)), las = 1, tick = FALSE, cex.axis = small(rows), gap.axis = -1)
  graphics::box()
  usr <- graphics::par("usr")
  at <- usr[2] + diff(usr[1:2]) * c(0.03, 0.06)
  height <- seq(usr[3], usr[4], length.out = 102)
  graphics::rect(at[1], height[-102], at[2], height[-1], col = colours, border = NA, xpd = NA)
  graphics::text(at[2], c(usr[3], mean(usr[3:4]), usr[4]), format(c(-limit, 0, limit), digits = 2), pos = 4, xpd = NA, cex = 0.8)
}

plot_h2 <- function(table) {
  old <- graphics::par(mar = c(4, 8, 2, 1))
  on.exit(graphics::par(old))
  at <- rev(seq_len(nrow(table)))
  graphics::plot(table$h2, at, xlim = c(0, 1), pch = 19, yaxt = "n", xlab = "proportion of variance", ylab = "")
  graphics::segments(table$low, at, table$high, at)
  graphics::axis(2, at, table$response, las = 1, tick = FALSE, cex.axis = min(1, 26 / nrow(table)))
}

plot_trace <- function(x, traits) {
  at <- trait_index(x, traits)
  if (is.null(traits)) at <- utils::head(at, 9)
  all <- invariant_draws(x, at)[, , seq_along(at), drop = FALSE]
  side <- ceiling(sqrt(length(at)))
  old <- graphics::par(mfrow = c(ceiling(length(at) / side), side), mar = c(2, 2, 2, 1))
  on.exit(graphics::par(old))
  for (i in seq_along(at)) graphics::matplot(all[, , i], type = "l", lty = 1, xlab = "", ylab = "", main = dimnames(all)[[3]][i])
}
