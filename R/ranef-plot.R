# Pictures of random effects: each id with its interval, in the order of their size, by base graphics and by lattice as of lme4's; ggplot2's is in autoplot.R.

#' @rdname ranef.fastlmm
#' @export
plot.ranef.fastlmm <- function(x, level = 0.95, ...) {
  check_arguments(...)
  check_level(level)
  table <- effects_picture(x, level)
  terms <- split(table, table$panel)
  if (length(terms) > 1) {
    old <- par(mfrow = if (length(terms) == 2) 1:2 else n2mfrow(length(terms)))
    on.exit(par(old))
  }
  for (one in terms) {
    one <- one[order(-one$rank), ]
    range <- range(0, one$condval, one$low, one$high, na.rm = TRUE)
    draw_intervals(data.frame(response = as.character(one$grp), effect = "", h2 = one$condval, low = one$low, high = one$high), one$panel[1], range)
  }
  invisible(x)
}

# Lists of pictures by grouping factor, with panels for terms, as lme4's methods give them

#' @rdname ranef.fastlmm
#' @param data not used, an argument of the generics of `lattice`.
#' @exportS3Method lattice::dotplot ranef.fastlmm
dotplot.ranef.fastlmm <- function(x, data, level = 0.95, ...) {
  check_level(level)
  lapply(lattice_tables(x, level), function(table) {
    ids <- stats::reorder(factor(table$grp), table$condval * (as.integer(table$term) == 1), sum)
    lattice_picture("dotplot", ids ~ condval | term, table, list(ids = ids, condval = table$condval, term = table$term), xlab = "", ...)
  })
}

#' @rdname ranef.fastlmm
#' @exportS3Method lattice::qqmath ranef.fastlmm
qqmath.ranef.fastlmm <- function(x, data, level = 0.95, ...) {
  check_level(level)
  lapply(lattice_tables(x, level), function(table) {
    quantile <- stats::ave(table$condval, table$term, FUN = function(value) qnorm(stats::ppoints(length(value)))[rank(value, ties.method = "first")])
    lattice_picture("xyplot", quantile ~ condval | term, table, list(quantile = quantile, condval = table$condval, term = table$term),
      xlab = "", ylab = "Standard normal quantiles", ...)
  })
}

lattice_tables <- function(effects, level) {
  table <- effects_picture(effects, level)
  lapply(split(table, factor(table$grpvar, names(effects))), function(one) {
    one$term <- factor(one$term, unique(one$term))
    one
  })
}

# A point and its interval for each row of the table
lattice_picture <- function(type, formula, table, data, ...) {
  lattice <- function(name) getExportedValue("lattice", name)
  panel <- function(x, y, subscripts, ...) {
    lattice("panel.abline")(v = 0, lty = 3)
    lattice("panel.segments")(table$low[subscripts], as.numeric(y), table$high[subscripts], as.numeric(y), col = "grey60")
    lattice("panel.points")(x, as.numeric(y), pch = 19, cex = 0.7, col = "#1b4f72")
  }
  usual <- list(
    panel = panel, strip = nlevels(data$term) > 1, scales = list(x = list(relation = "free")),
    # room for the intervals
    prepanel = function(x, y, subscripts, ...) list(xlim = range(x, table$low[subscripts], table$high[subscripts], na.rm = TRUE))
  )
  environment(formula) <- list2env(data, parent = baseenv())
  do.call(lattice(type), c(list(formula, data), utils::modifyList(usual, list(...))))
}
