# Pictures of a sparse-factor model by base graphics. What is drawn is made apart, for autoplot() draws it too.

#' Plots of a sparse-factor model
#'
#' `"covariance"`: correlations of the random effect, with responses in the order of a clustering; `"loadings"`: loadings of factors, in
#' standard deviations of the responses. Both are heat maps in which values whose interval contains 0 are faded. `"h2"`: heritabilities with
#' their intervals; `"trace"`: heritabilities along the chains, which overlap where they have converged. Where the random effect cannot be
#' distinguished from the residual, `"covariance"` shows the correlations of P. With several random effects `"covariance"` has a panel for each
#' of them, with responses in the same order, `"h2"` shows the proportions of all side by side, and `"trace"` has a panel for each proportion.
#' `biplot()`: scores of rows and loadings of responses on two factors.
#'
#' Names for which there is no room are shortened in the middle, and the full names are listed below; of very many names only every second,
#' third, ... is written.
#'
#' @param x,object a fit by [slamglmm_fit()]; or the value of [ranef()][predict.slamglmm], whose effects are drawn in increasing order, with
#'   intervals after `ranef(fit, condVar = TRUE)`, as those of [ranef.fastlmm()] are.
#' @param which which plot.
#' @param traits responses to show; `NULL`: all (in a trace plot, those that fit into nine panels).
#' @param level probability of intervals.
#' @param terms responses to show of `ranef()`; `NULL`: all, at most 25.
#' @param data not used, an argument of the generics of `lattice`.
#' @param effect name or number of the random effect to show; `NULL`: all. Loadings are common to all.
#' @param choices numbers of two factors.
#' @param ... not used; an unknown argument is an error.
#' @return `plot()`, `biplot()`: x, invisibly. `autoplot()`: a `ggplot` object. `lattice::dotplot()`, `lattice::qqmath()`: lists by effect.
#' @examples
#' set.seed(1)
#' data <- data.frame(id = paste0("i", rep(1:20, 2)))
#' data$Y <- outer(rnorm(40), c(a = 2, b = -1, c = 1, d = 0)) + matrix(rnorm(160), 40)
#' fit <- slamglmm_fit(Y ~ 1 + (1 | id), data, chains = 2, iter = 400, seed = 1)
#' plot(fit)
#' plot(fit, "h2")
#' biplot(fit)
#' plot(ranef(fit, condVar = TRUE), terms = c("a", "c"))
#' @order 1
#' @export
plot.slamglmm <- function(x, which = c("covariance", "loadings", "h2", "trace"), traits = NULL, level = 0.95, effect = NULL, ...) {
  check_arguments(...)
  check_level(level)
  switch(one_of(which),
    covariance = draw_heats(correlation_pictures(x, traits, level, effect)),
    loadings = draw_heat(loadings_picture(x, traits, level, effect)),
    h2 = draw_intervals(h2_picture(x, traits, level, effect), h2_label(x, effect)),
    trace = draw_traces(trace_picture(x, traits, effect))
  )
  invisible(x)
}

#' @rdname plot.slamglmm
#' @importFrom stats biplot
#' @export
biplot.slamglmm <- function(x, choices = 1:2, traits = NULL, ...) {
  check_arguments(...)
  draw_biplot(biplot_picture(x, choices, traits))
  invisible(x)
}

# ---- what is drawn ---------------------------------------------------------------------------------------------------

# Names of the effects that are drawn
drawn_effects <- function(fit, effect) if (is.null(effect)) effect_names(fit) else effect_names(fit)[one_effect(fit, effect)]

# A picture of each effect, responses of all in the order of a clustering
correlation_pictures <- function(fit, traits, level, effect) {
  pictures <- lapply(drawn_effects(fit, effect), function(one) effect_correlations(with_effect(fit, one), traits, level, if (is_several(fit)) one))
  alike <- Reduce(`+`, lapply(pictures, function(picture) abs(picture$values))) / length(pictures)
  order <- if (nrow(alike) > 2) stats::hclust(stats::as.dist(1 - alike), "average")$order else seq_len(nrow(alike))
  lapply(
    pictures,
    function(picture) replace(picture, c("values", "faded"), list(picture$values[order, order, drop = FALSE], picture$faded[order, order, drop = FALSE]))
  )
}

correlation_picture <- function(fit, traits, level, effect = NULL) correlation_pictures(fit, traits, level, effect)[[1]]

# list(values, faded, limit, title): rows from the top. `effect`: the name of one of several
effect_correlations <- function(fit, traits, level, effect) {
  genetic <- is.null(fit$unidentified)
  what <- if (genetic) "G" else "P"
  at <- trait_index(fit, traits)
  values <- covariances(fit, what, TRUE, at, FALSE, NULL)
  pairs <- trait_pairs(at, diagonal = FALSE)
  faded <- matrix(FALSE, length(at), length(at))
  if (length(pairs$first) > 0) {
    table <- covariance_table(fit, what, TRUE, pairs$first, pairs$second, level)
    faded[upper.tri(faded)] <- holds_zero(table)
    faded <- faded | t(faded)
  }
  values[!is.finite(values)] <- 0
  name <- if (is.null(effect) && genetic) effect_names(fit) else effect
  title <- if (is.null(name)) "correlations" else paste("correlations of", quoted(name))
  list(values = pmax(pmin(values, 1), -1), faded = faded, limit = 1, title = title, level = level, effect = effect)
}

holds_zero <- function(table) is.na(table$low) | table$low <= 0 & table$high >= 0

loadings_picture <- function(fit, traits, level, effect = NULL) {
  if (!is.null(effect)) abort_all_effects()
  at <- trait_index(fit, traits)
  table <- factor_loadings(fit, level = level, traits = traits)
  values <- matrix(table$mean, length(at), dimnames = list(colnames(fit$Y)[at], factor_names(fit))) / fit$scale$sd[at]
  faded <- matrix(holds_zero(table), length(at), fit$n_factors)
  list(values = values, faded = faded, limit = max(abs(values), 1e-12), title = "loadings, in standard deviations", level = level)
}

abort_all_effects <- function() abort_fastlmm("effect", "loadings and scores are of all random effects together: leave effect out")

# A row for each response and effect
h2_picture <- function(fit, traits, level, effect = NULL) {
  check_identified(fit, "h2()")
  one <- function(effect) data.frame(h2(fit, traits, level = level, effect = effect), effect = effect)
  do.call(rbind, lapply(drawn_effects(fit, effect), one))
}

# What the axis says: whose proportion, if one of several effects is drawn
h2_label <- function(fit, effect) {
  paste0("proportion of variance (", if (is_several(fit) && !is.null(effect)) paste("of", quoted(drawn_effects(fit, effect))) else "h2", ")")
}

# list(iteration, draws, responses, what): draws are iterations x chains x responses; of h2, or of P where h2 cannot be told
trace_picture <- function(fit, traits, effect = NULL) {
  at <- trait_index(fit, traits)
  effects <- drawn_effects(fit, effect)
  if (is.null(traits)) at <- utils::head(at, 9 %/% length(effects))
  what <- if (is.null(fit$unidentified)) "h2" else "P"
  names <- c(outer(vapply(effects, of_effect, "", fit = fit, what = what), colnames(fit$Y)[at], function(what, response) paste0(what, "[", response, "]")))
  all <- invariant_draws(fit, at, names)
  list(
    iteration = fit$plan$warmup + fit$plan$thin * seq_len(dim(all)[1]), draws = all, responses = if (is_several(fit)) names else colnames(fit$Y)[at],
    what = what
  )
}

biplot_picture <- function(fit, choices, traits, effect = NULL) {
  if (!is.null(effect)) abort_all_effects()
  at <- trait_index(fit, traits)
  k <- fit$n_factors
  whole <- is.numeric(choices) && length(choices) == 2 && all(choices %in% seq_len(k)) && choices[1] != choices[2]
  if (!whole) abort_fastlmm("choices", sprintf("choices must be the numbers of two of the %d factors of the fit, not %s", as.integer(k), code_text(choices)))
  score <- scores(fit)
  list(
    scores = structure(score[, choices], sd = NULL), loadings = (factor_loadings(fit) / fit$scale$sd)[at, choices, drop = FALSE],
    names = factor_names(fit)[choices]
  )
}

# ---- heat maps -------------------------------------------------------------------------------------------------------

# Blue below zero, red above; nearly white where the interval holds 0
heat_colours <- grDevices::hcl.colors(101, "Blue-Red 3")

cell_colours <- function(picture) {
  scaled <- pmax(-1, pmin(1, picture$values / picture$limit))
  colours <- heat_colours[round(50 * scaled) + 51]
  ifelse(picture$faded, faded_colours(colours), colours)
}

faded_colours <- function(colours, left = 0.3) {
  parts <- grDevices::col2rgb(colours)
  grDevices::rgb(t(255 - left * (255 - parts)), maxColorValue = 255)
}

# Panels beside one another, or below on a page that is higher than wide
draw_heats <- function(pictures) {
  if (length(pictures) == 1) return(draw_heat(pictures[[1]]))
  old <- graphics::par(no.readonly = TRUE)
  on.exit(graphics::par(replace(old, "new", FALSE)))
  high <- graphics::par("din")[1] < graphics::par("din")[2]
  graphics::par(mfrow = if (length(pictures) > 2) c(2, 2) else if (high) 2:1 else 1:2)
  for (picture in pictures) draw_heat(picture)
}

# Room for labels: at most a third of the picture
draw_heat <- function(picture) {
  rows <- nrow(picture$values)
  columns <- ncol(picture$values)
  old <- graphics::par("mai")
  on.exit(graphics::par(mai = old))
  graphics::plot.new()
  size <- graphics::par("fin")
  step <- c((size[1] - 2) / max(columns, 1), (size[2] - 1.6) / max(rows, 1))
  left <- fit_labels(rownames(picture$values), size[1] / 3, step[2])
  below <- fit_labels(colnames(picture$values), size[2] / 3, step[1])
  longest <- function(labels) max(0, graphics::strwidth(labels$text[labels$shown], "inches", cex = labels$cex)) + 0.2
  lines <- cut_legend(left, rownames(picture$values), size[1])
  graphics::par(mai = c(longest(below) + legend_height(lines), longest(left), 0.55, 0.8), new = TRUE)
  graphics::plot(c(0.5, columns + 0.5), c(0.5, rows + 0.5), type = "n", xaxs = "i", yaxs = "i", axes = FALSE, xlab = "", ylab = "")
  at <- expand.grid(row = rows + 1 - seq_len(rows), column = seq_len(columns))
  if (length(picture$values) > 0) graphics::rect(at$column - 0.5, at$row - 0.5, at$column + 0.5, at$row + 0.5, col = cell_colours(picture), border = NA)
  graphics::box()
  graphics::title(main = picture$title, line = 1.3, cex.main = 1.1)
  if (any(picture$faded)) graphics::mtext(sprintf("faded: the %s %% interval contains 0", format(100 * picture$level)), line = 0.3, cex = 0.75)
  label_axis(1, seq_len(columns), below)
  label_axis(2, rows + 1 - seq_len(rows), left)
  colour_key(picture$limit)
  draw_legend_lines(lines)
}

label_axis <- function(side, at, labels) {
  if (any(labels$shown)) graphics::axis(
    side, at[labels$shown], labels$text[labels$shown], las = 2, tick = FALSE, cex.axis = labels$cex, gap.axis = -1, line = -0.6
  )
}

colour_key <- function(limit) {
  usr <- graphics::par("usr")
  inch <- diff(usr[1:2]) / graphics::par("pin")[1]
  at <- usr[2] + inch * c(0.12, 0.27)
  height <- seq(usr[3], usr[4], length.out = 102)
  graphics::rect(at[1], height[-102], at[2], height[-1], col = heat_colours, border = NA, xpd = NA)
  graphics::rect(at[1], usr[3], at[2], usr[4], border = "grey40", xpd = NA)
  graphics::text(at[2], seq(usr[3], usr[4], length.out = 5), format(signif(limit * c(-1, -0.5, 0, 0.5, 1), 2)), pos = 4, xpd = NA, cex = 0.75)
}

# ---- intervals, traces, biplots --------------------------------------------------------------------------------------

# A row for each response, in it the effects beside one another
draw_intervals <- function(table, label, xlim = c(0, 1)) {
  old <- graphics::par("mai")
  on.exit(graphics::par(mai = old))
  graphics::plot.new()
  size <- graphics::par("fin")
  responses <- unique(table$response)
  effects <- unique(table$effect)
  count <- length(responses)
  labels <- fit_labels(responses, size[1] * 0.4, (size[2] - 1.2) / count)
  lines <- cut_legend(labels, responses, size[1])
  width <- max(graphics::strwidth(labels$text[labels$shown], "inches", cex = labels$cex)) + 0.2
  graphics::par(mai = c(0.75 + legend_height(lines), width, if (length(effects) > 1) 0.5 else 0.2, 0.2), new = TRUE)
  at <- rev(seq_len(count))
  graphics::plot(xlim, c(0.5, count + 0.5), type = "n", yaxt = "n", yaxs = "i", xlab = "", ylab = "", bty = "l")
  graphics::title(xlab = label, line = 2.2)
  # lines for very many would be a grey area
  if (count <= 150) graphics::abline(h = at, col = "grey92")
  if (xlim[1] < 0) graphics::abline(v = 0, lty = 3)
  colours <- effect_colours(length(effects))[match(table$effect, effects)]
  height <- at[match(table$response, responses)] + 0.6 * ((length(effects) + 1) / 2 - match(table$effect, effects)) / length(effects)
  crowded <- count > 60 && length(effects) == 1
  graphics::segments(table$low, height, table$high, height, lwd = if (crowded) 0.7 else 1.5, col = if (crowded) "grey75" else colours)
  graphics::points(table$h2, height, pch = 19, cex = min(1, max(0.4, 30 / nrow(table))), col = colours)
  label_axis(2, at, labels)
  if (length(effects) > 1) effect_key(effects)
  draw_legend_lines(lines)
}

effect_colours <- function(count) c("#1b4f72", "#d35400", "#1e8449", "#7d3c98")[seq_len(count)]

# Above the picture
effect_key <- function(effects) {
  usr <- graphics::par("usr")
  graphics::legend(
    mean(usr[1:2]), usr[4], short_labels(effects, 24)$text, col = effect_colours(length(effects)), pch = 19, lty = 1, horiz = TRUE, bty = "n", cex = 0.8,
    xjust = 0.5, yjust = 0, xpd = NA
  )
}

chain_colours <- function(count) grDevices::hcl.colors(max(count, 1), "Dark 3", alpha = 0.7)

draw_traces <- function(picture) {
  old <- graphics::par(no.readonly = TRUE)
  on.exit(graphics::par(replace(old, "new", FALSE)))
  count <- dim(picture$draws)[3]
  side <- ceiling(sqrt(count))
  colours <- chain_colours(dim(picture$draws)[2])
  graphics::par(mfrow = c(ceiling(count / side), side), mar = c(2, 2.2, 2, 0.7), oma = c(0.5, 0.5, 1.6, 0), mgp = c(1.5, 0.5, 0))
  for (i in seq_len(count)) {
    graphics::matplot(picture$iteration, picture$draws[, , i], type = "l", lty = 1, col = colours, xlab = "", ylab = "")
    title <- fit_labels(dimnames(picture$draws)[[3]][i], graphics::par("pin")[1], 1, largest = 1)
    graphics::title(main = title$text, cex.main = title$cex, font.main = 1)
  }
  chain_key(colours)
}

# Above all panels
chain_key <- function(colours) {
  graphics::par(fig = c(0, 1, 0, 1), oma = c(0, 0, 0, 0), mar = c(0, 0, 0, 0), new = TRUE, mfrow = c(1, 1))
  graphics::plot.new()
  graphics::legend(
    "top", legend = paste("chain", seq_along(colours)), col = colours, lty = 1, lwd = 2, horiz = length(colours) <= 8, ncol = if (length(colours) > 8) 8 else 1,
    bty = "n", cex = 0.8
  )
}

# Rows as points, responses as arrows in a scale of their own; names of the longest twenty
draw_biplot <- function(picture) {
  old <- graphics::par(mai = c(0.8, 0.8, 0.4, 0.3))
  on.exit(graphics::par(old))
  reach <- max(abs(picture$scores)) * 1.1
  graphics::plot(
    picture$scores, xlim = c(-reach, reach), ylim = c(-reach, reach), pch = 20, col = "grey70", xlab = picture$names[1], ylab = picture$names[2], main = ""
  )
  graphics::abline(h = 0, v = 0, lty = 3, col = "grey60")
  tips <- biplot_tips(picture)
  graphics::arrows(0, 0, tips[, 1], tips[, 2], length = 0.06, col = "#b03a2e")
  longest <- utils::head(order(-rowSums(tips^2)), 20)
  labels <- short_labels(rownames(tips), 18)
  place <- apart(tips[longest, 2], tips[longest, 1], graphics::strheight("M") * 1.1)
  graphics::text(tips[longest, 1], place, labels$text[longest], pos = ifelse(tips[longest, 1] < 0, 2, 4), cex = 0.7, col = "#7b241c", xpd = NA, offset = 0.2)
  more <- nrow(tips) - length(longest)
  graphics::mtext(
    paste(c(paste0("points: rows; arrows: responses", if (more > 0) paste0(", names of the longest ", length(longest))), shared_text(labels)), collapse = "; "),
    side = 3, line = 0.3, cex = 0.75
  )
}

biplot_tips <- function(picture) picture$loadings * (0.75 * max(abs(picture$scores)) / max(sqrt(rowSums(picture$loadings^2)), 1e-12))

# Heights of labels on each side, moved so far that they do not lie on each other
apart <- function(y, x, step) {
  for (side in list(which(x < 0), which(x >= 0))) {
    at <- side[order(y[side])]
    for (pass in 1:30) for (i in seq_along(at)[-1]) {
      gap <- y[at[i]] - y[at[i - 1]]
      if (gap < step) {
        y[at[i]] <- y[at[i]] + (step - gap) / 2
        y[at[i - 1]] <- y[at[i - 1]] - (step - gap) / 2
      }
    }
  }
  y
}
