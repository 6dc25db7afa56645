# Pictures of random effects: each id with its interval, in the order of their size, by base graphics and by lattice as of lme4's; ggplot2's is in autoplot.R.

#' @rdname ranef.fastlmm
#' @export
plot.ranef.fastlmm <- function(x, level = 0.95, terms = NULL, ...) {
  check_arguments(...)
  table <- effects_picture(x, level, terms)
  terms <- split(table, table$panel)
  if (length(terms) > 1) {
    old <- par(mfrow = rev(n2mfrow(length(terms))))
    on.exit(par(old))
  }
  for (one in terms) {
    one <- one[order(-one$rank), ]
    range <- range(0, one$condval, one$low, one$high, na.rm = TRUE)
    draw_intervals(data.frame(response = as.character(one$grp), effect = "", h2 = one$condval, low = one$low, high = one$high), one$panel[1], range)
  }
  invisible(x)
}

#' @rdname plot.slamglmm
#' @export
plot.ranef.slamglmm <- function(x, level = 0.95, terms = NULL, ...) plot.ranef.fastlmm(x, level, terms, ...)

# Effects with their intervals, in the order of their size within each term. A picture has room for so many terms.
effects_picture <- function(effects, level, terms = NULL) {
  check_level(level)
  table <- as.data.frame(effects)
  known <- unique(as.character(table$term))
  if (!is.null(terms)) table <- table[as.character(table$term) %in% known[chosen_terms(terms, known)], ]
  half <- qnorm((1 + level) / 2) * first_of(table$condsd, rep(NA_real_, nrow(table)))
  key <- paste0(table$grpvar, ": ", table$term)
  table$panel <- factor(key, unique(key))
  if (nlevels(table$panel) > 25) abort_fastlmm(
    "terms", sprintf("a picture has room for 25 terms or responses, not for %d: choose some by terms =, as terms = 1:9", nlevels(table$panel))
  )
  table$rank <- stats::ave(table$condval, table$panel, FUN = function(x) rank(x, ties.method = "first"))
  cbind(table, low = table$condval - half, high = table$condval + half)
}

# By name or number
chosen_terms <- function(terms, known) {
  terms <- read_names(terms, "terms")
  at <- if (is.character(terms)) match(terms, known) else match(terms, seq_along(known))
  if (length(at) > 0 && !anyNA(at)) return(at)
  abort_fastlmm("terms", paste0("terms must be names or numbers of terms with random effects, not ", code_text(terms), "; there are ", first_names(known)))
}

# Lists of pictures by grouping factor, with panels for terms, as lme4's methods give them

#' @rdname ranef.fastlmm
#' @param data not used, an argument of the generics of `lattice`.
#' @exportS3Method lattice::dotplot ranef.fastlmm
dotplot.ranef.fastlmm <- function(x, data, level = 0.95, terms = NULL, ...) {
  lapply(lattice_tables(x, level, terms), function(table) {
    ids <- stats::reorder(factor(table$grp), table$condval * (as.integer(table$term) == 1), sum)
    lattice_picture("dotplot", ids ~ condval | term, table, list(ids = ids, condval = table$condval, term = table$term), xlab = "", ...)
  })
}

#' @rdname ranef.fastlmm
#' @exportS3Method lattice::qqmath ranef.fastlmm
qqmath.ranef.fastlmm <- function(x, data, level = 0.95, terms = NULL, ...) {
  lapply(lattice_tables(x, level, terms), function(table) {
    quantile <- stats::ave(table$condval, table$term, FUN = function(value) qnorm(stats::ppoints(length(value)))[rank(value, ties.method = "first")])
    lattice_picture("xyplot", quantile ~ condval | term, table, list(quantile = quantile, condval = table$condval, term = table$term),
      xlab = "", ylab = "Standard normal quantiles", ...)
  })
}

lattice_tables <- function(effects, level, terms) {
  table <- effects_picture(effects, level, terms)
  lapply(split(table, factor(table$grpvar, unique(table$grpvar))), function(one) {
    one$term <- factor(one$term, unique(one$term))
    one
  })
}

#' @rdname plot.slamglmm
#' @exportS3Method lattice::dotplot ranef.slamglmm
dotplot.ranef.slamglmm <- function(x, data, level = 0.95, terms = NULL, ...) dotplot.ranef.fastlmm(x, data, level, terms, ...)

#' @rdname plot.slamglmm
#' @exportS3Method lattice::qqmath ranef.slamglmm
qqmath.ranef.slamglmm <- function(x, data, level = 0.95, terms = NULL, ...) qqmath.ranef.fastlmm(x, data, level, terms, ...)

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

#' @export
plot.coef.fastlmm <- function(x, ...) abort_fastlmm(
  "coef", "coefficients by group are fixed effects plus random effects, whose standard errors are not those of either: draw plot(ranef(fit))"
)
