#' Means by genotype
#'
#' A scan tests a slope. `genotype_means()` shows what lies behind it: the mean of the response for each value of the candidate, such as 0, 1
#' and 2 copies of an allele, at the means of the covariates, with the random effects of the null model. The model is refitted, including its
#' variances (of residual variances by level only the common factor), with a column for each value instead of a slope; with `by`, a column for each value in each level, as for environments in a gene
#' by environment interaction.
#'
#' @param fit a null model, as for [fastlmm_scan()], without [gp()].
#' @param candidates as for [fastlmm_scan()].
#' @param terms names or numbers of the candidates; `NULL`: all, up to 12. Each may have up to 6 values; round dosages first.
#' @param by name of a factor, or of a variable with up to 6 values, in the data.
#' @param level confidence level.
#' @param data data frame that contains `by`; by default that of the fit.
#' @param x,object the value of `genotype_means()`.
#' @param xlab,ylab axis labels; `xlab = NULL` names the counted allele where PLINK files give it.
#' @param col colours of the levels of `by`.
#' @param ... not used; an unknown argument is an error.
#' @return A data frame of class `fastlmm_genotypes`: `term`, `value`, `by` if given, `n` (rows), `estimate`, `std.error`, `conf.low`,
#'   `conf.high` (t intervals; degrees of freedom are rows minus coefficients, also with repeated records; for those of few ids [contest()] of
#'   a fit with `factor(dose)` has Kenward and Roger's), in the unit of the response. Rows where the candidate is
#'   missing are left out. `plot()` and `autoplot()` draw a panel for each candidate: points are responses minus what covariates and random
#'   effects explain, bars are the intervals of the means.
#' @section Errors:
#' Those of [fastlmm_scan()] for candidates; `genotypes` for candidates with too many values, or with only one.
#' @examples
#' set.seed(1)
#' ids <- paste0("i", 1:100)
#' G <- matrix(rbinom(300, 2, 0.4), 100, dimnames = list(ids, c("a", "b", "c")))
#' K <- tcrossprod(matrix(rnorm(100 * 200), 100)) / 200
#' dimnames(K) <- list(ids, ids)
#' data <- data.frame(id = rep(ids, 2), site = rep(c("dry", "wet"), each = 100))
#' data$y <- G[data$id, "b"] * (data$site == "wet") + drop(t(chol(K)) %*% rnorm(100)) + rnorm(200)
#' fit <- fastlmm_fit(y ~ site + (1 | id), data, K)
#' found <- genotype_means(fit, G, "b", by = "site")
#' found
#' plot(found)
#' @export
genotype_means <- function(fit, candidates, terms = NULL, by = NULL, level = 0.95, data = NULL) {
  check_arguments()
  check_genotype_fit(fit)
  check_level(level)
  named <- with_candidates_first(fit, candidates)
  source <- candidate_source(candidates, named, data)
  if (source$matched == "order") inform_in_order()
  at <- wanted_candidates(terms, source)
  levels <- if (!is.null(by)) by_of_rows(by, fit, data)
  parts <- lapply(at, function(j) class_means(fit, source$names[j], drop(source$read(j))[source$cell], levels, level))
  table <- do.call(rbind, lapply(parts, `[[`, "means"))
  structure(
    table, points = do.call(rbind, lapply(parts, `[[`, "points")), response = names(fit$frame)[1], by = by, alleles = named_alleles(source, at),
    class = c("fastlmm_genotypes", "data.frame")
  )
}

named_alleles <- function(source, at) if (!is.null(source$map)) stats::setNames(source$map$effect_allele[at], source$names[at])

abort_genotypes <- function(message) abort_fastlmm("genotypes", paste("no means by genotype:", message))

check_genotype_fit <- function(fit) {
  if (inherits(fit, "fastlmm_mlm")) abort_one_by_one("genotype_means")
  check_scannable(fit)
  if (is_gp_fit(fit)) abort_genotypes("they are not available for fits with a gp() term")
}

wanted_candidates <- function(terms, source) {
  if (is.null(terms)) {
    if (source$m > 12) abort_genotypes(sprintf("there are %d candidates; choose up to 12 by terms =", source$m))
    return(seq_len(source$m))
  }
  read <- read_names(terms, "terms")
  at <- if (is.character(read)) match(read, source$names) else match(read, seq_len(source$m))
  if (length(at) == 0 || anyNA(at) || length(at) > 12) abort_genotypes(
    paste0("terms must name one to twelve of the candidates, not ", code_text(terms), "; there are ", first_names(source$names))
  )
  at
}

by_of_rows <- function(by, fit, data) {
  if (!is.character(by) || length(by) != 1 || is.na(by)) abort_fastlmm("argument", paste("by must be the name of a variable, not", code_text(by)))
  frame <- tryCatch(
    frame_of_rows(stats::as.formula(call("~", as.name(by))), fit, data),
    error = function(e) abort_genotypes(paste0("there is no variable ", quoted(by), " in the data: give data ="))
  )
  if (is.null(frame)) abort_genotypes(paste0("by needs the data of the fit: give data ="))
  value <- factor(frame[[1]])
  if (anyNA(value) || nlevels(value) > 6) abort_genotypes(paste0("by = ", quoted(by), " must have up to 6 values, and none missing"))
  value
}

# The model with a column for each value (of each level), and what is left of the response about their means
class_means <- function(fit, term, g, by, level) {
  used <- which(!is.na(g))
  values <- sort(unique(g[used]))
  if (length(values) < 2 || length(values) > 6) abort_genotypes(
    paste0("candidate ", quoted(term), " has ", counted(length(values), "value"), "; two to six can be drawn")
  )
  cell <- if (is.null(by)) factor(g[used], values) else interaction(factor(g[used], values), by[used], drop = TRUE, lex.order = TRUE, sep = "\r")
  model <- stored_model(fit)
  # with the weights that the ratios of the residual variances give
  model$residual <- NULL
  if (length(used) < fit$nobs) model <- rows_of_model(model, used)
  covariates <- covariate_columns(model$X[, fit$kept, drop = FALSE], cell)
  model$X <- cbind(stats::model.matrix(~ 0 + cell), covariates)
  with_classes <- quiet_fit(estimate(model))
  k <- seq_len(nlevels(cell))
  mean_covariates <- colMeans(covariates)
  L <- cbind(diag(nlevels(cell)), matrix(mean_covariates, nlevels(cell), ncol(covariates), byrow = TRUE))
  estimate <- drop(L %*% with_classes$coefficients)
  error <- sqrt(rowSums((L %*% with_classes$vcov) * L))
  half <- stats::qt((1 + level) / 2, with_classes$nobs - with_classes$rank) * error
  first <- match(levels(cell), cell)
  of_cell <- function(i) c(list(term = rep(term, length(i)), value = g[used][i]), if (!is.null(by)) list(by = by[used][i]))
  rest <- unname(model$y - model$offset - drop(model$X %*% with_classes$coefficients) - random_fit(with_classes, rep(TRUE, length(with_classes$random))))
  list(
    means = data.frame(of_cell(first), n = tabulate(cell), estimate = estimate, std.error = error, conf.low = estimate - half, conf.high = estimate + half),
    points = data.frame(of_cell(seq_along(cell)), y = estimate[cell] + rest)
  )
}

# Of X what the columns of the cells do not span already: no intercept, and no main effect of `by`
covariate_columns <- function(X, cell) {
  indicator <- stats::model.matrix(~ 0 + cell)
  decomposed <- qr(cbind(indicator, X), tol = 1e-7)
  kept <- decomposed$pivot[seq_len(decomposed$rank)]
  X[, sort(kept[kept > ncol(indicator)]) - ncol(indicator), drop = FALSE]
}

# ---- pictures ---------------------------------------------------------------------------------------------

genotype_colours <- c("#1b4f72", "#e67e22", "#1e8449", "#8e44ad", "#c0392b", "#7f8c8d")

# What its values count, where the source of the candidate says so
value_label <- function(x, term) {
  allele <- attr(x, "alleles")[term]
  if (length(allele) == 0 || is.na(allele)) "value of the candidate" else paste("copies of", allele)
}

# Of each candidate, with its allele
panel_titles <- function(x) {
  terms <- unique(x$term)
  allele <- attr(x, "alleles")[terms]
  if (length(allele) == 0) allele <- rep(NA, length(terms))
  structure(ifelse(is.na(allele), terms, sprintf("%s (%s)", terms, allele)), names = terms)
}

# Distances of points from their places: the same picture each time, no random numbers
genotype_jitter <- function(points, levels) 0.12 / max(1, length(levels) / 2) * ((seq_len(nrow(points)) * 0.618034) %% 1 * 2 - 1)

# Places of values beside each other, one for each level of by
genotype_places <- function(frame, levels) {
  at <- match(frame$value, sort(unique(frame$value)))
  if (is.null(frame$by)) at else at + (as.integer(factor(frame$by, levels)) - (length(levels) + 1) / 2) * 0.6 / length(levels)
}

#' @rdname genotype_means
#' @export
plot.fastlmm_genotypes <- function(x, xlab = NULL, ylab = attr(x, "response"), col = genotype_colours, ...) {
  read_arguments()
  terms <- unique(x$term)
  levels <- levels(x$by)
  if (length(terms) > 1) {
    old <- graphics::par(mfrow = rev(grDevices::n2mfrow(length(terms))), mar = c(4, 4, 2, 0.5), mgp = c(2.4, 0.7, 0))
    on.exit(graphics::par(old))
  }
  points <- attr(x, "points")
  for (term in terms) genotype_panel(
    x[x$term == term, ], points[points$term == term, ], levels, term, first_of(xlab, value_label(x, term)), ylab, rep_len(col, 6), attr(x, "by"), ...
  )
  invisible(x)
}

genotype_panel <- function(means, points, levels, term, xlab, ylab, col, by, ...) {
  values <- sort(unique(means$value))
  colour <- function(frame) if (is.null(levels)) col[1] else col[as.integer(frame$by)]
  top <- range(points$y, means$conf.low, means$conf.high)
  if (!is.null(levels)) top[2] <- top[2] + 0.18 * diff(top)
  plot(genotype_places(points, levels) + genotype_jitter(points, levels), points$y, xlim = c(
    0.5, length(values) + 0.5
  ), ylim = top, xaxt = "n", xlab = xlab, ylab = ylab, main = term, pch = 16, cex = 0.5, las = 1,
    col = grDevices::adjustcolor(colour(points), 0.35), ...)
  graphics::axis(1, seq_along(values), values)
  at <- genotype_places(means, levels)
  for (level in if (is.null(levels)) NA else levels) {
    own <- if (is.na(level)) seq_along(at) else which(means$by == level)
    graphics::lines(at[own], means$estimate[own], col = colour(means[own[1], ]))
  }
  graphics::segments(at, means$conf.low, at, means$conf.high, lwd = 3, col = colour(means))
  graphics::points(at, means$estimate, pch = 21, cex = 1.4, bg = colour(means), col = "white")
  if (!is.null(levels)) graphics::legend("top", levels, horiz = TRUE, pch = 16, col = col[seq_along(levels)], title = by, bty = "n")
}

#' @rdname genotype_means
#' @exportS3Method ggplot2::autoplot fastlmm_genotypes
autoplot.fastlmm_genotypes <- function(object, xlab = NULL, ylab = attr(object, "response"), col = genotype_colours, ...) {
  check_arguments(...)
  levels <- levels(object$by)
  titles <- panel_titles(object)
  if (is.null(xlab)) xlab <- if (length(titles) == 1) value_label(object, names(titles)) else if (all(titles == names(titles))) "value of the candidate"
    else "copies of the allele in brackets"
  if (length(titles) == 1) titles[] <- names(titles)
  places <- function(frame) cbind(
    replace(as.data.frame(unclass(frame)), "term", list(factor(titles[frame$term], titles))), at = genotype_places(frame, levels),
    group = if (is.null(levels)) "" else frame$by
  )
  means <- places(object)
  points <- places(attr(object, "points"))
  points$at <- points$at + genotype_jitter(points, levels)
  values <- sort(unique(means$value))
  gg(
    "ggplot", means, gg_columns(x = "at", y = "estimate", colour = "group")
  ) + gg("geom_point", gg_columns(y = "y"), points, alpha = 0.35, size = 0.8) + gg("geom_line", gg_columns(group = "group")) +
    gg("geom_pointrange", gg_columns(ymin = "conf.low", ymax = "conf.high"), linewidth = 1) + gg(
      "scale_colour_manual", values = unname(rep_len(col, 6)), guide = if (is.null(levels)) "none" else "legend"
    ) +
    gg(
      "scale_x_continuous", breaks = seq_along(values), labels = values
    ) + gg("labs", x = xlab, y = ylab, colour = attr(object, "by")) + gg("facet_wrap", "term") + gg("theme_minimal")
}
