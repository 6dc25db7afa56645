# What pictures of a scan show, made apart from how it is drawn: base graphics and ggplot2 draw the same.

# Rows that can be drawn, and their places (NULL: the order of candidates)
placed_tests <- function(scan, map = NULL) {
  need_columns(scan, "log10p")
  place <- if (is.null(map)) scan_places(scan) else map_places(map, scan)
  used <- which(!is.na(scan$log10p))
  if (length(used) == 0) abort_scan("to be drawn needs a candidate that was tested")
  if (is.null(place)) return(list(used = used, place = NULL))
  place$chr <- chromosome_factor(place$chr)
  lost <- is.na(place$chr[used]) | is.na(place$pos[used])
  if (all(lost)) abort_scan("to be drawn needs tests with a chromosome and a position; none has them")
  if (any(lost)) inform_fastlmm("not_drawn", paste("not drawn, without a chromosome or position:", counted(sum(lost), "test")), n = sum(lost))
  list(used = used[!lost], place = place[used[!lost], c("chr", "pos")])
}

manhattan_data <- function(scan, map = NULL, placed = placed_tests(scan, map)) {
  y <- drawable(scan$log10p[placed$used])
  if (!is.null(placed$place)) return(in_line(placed$place, y))
  list(at = candidate_order(scan, placed$used), y = y, band = rep(0, length(y)), ticks = numeric(), groups = character(), label = "candidate")
}

# A perfect fit, with p = 0, stands above all others.
drawable <- function(log10p) {
  beyond <- is.infinite(log10p)
  if (!any(beyond)) return(log10p)
  inform_fastlmm("beyond", paste("drawn at the upper edge, as p is 0:", counted(sum(beyond), "test")), n = sum(beyond))
  replace(log10p, beyond, 1.1 * max(log10p[!beyond], 1))
}

# Chromosomes beside each other, in the order of their levels; one alone with its positions
in_line <- function(place, y) {
  chr <- droplevels(place$chr)
  reach <- vapply(split(place$pos, chr), range, numeric(2))
  width <- reach[2, ] - reach[1, ]
  if (nlevels(chr) == 1) {
    scale <- position_scale(place$pos)
    label <- paste0("position on chromosome ", sub("^chr(omosome)?", "", levels(chr)), scale$unit)
    return(list(at = place$pos, y = y, band = as.integer(chr), ticks = scale$at, groups = scale$text, label = label))
  }
  gap <- if (sum(width) > 0) sum(width) * 0.01 else 1
  start <- cumsum(c(0, head(width + gap, -1)))
  list(
    at = unname(place$pos - reach[1, ][chr] + start[chr]), y = y, band = as.integer(chr), ticks = unname(start + width / 2), groups = levels(chr),
    label = "chromosome"
  )
}

# Ticks of an axis of positions
position_scale <- function(pos) {
  unit <- position_unit(pos)
  at <- pretty(pos / unit$size)
  list(at = at * unit$size, text = format(at, trim = TRUE), unit = if (is.null(unit$name)) "" else paste0(" (", unit$name, ")"))
}

# ---- places ---------------------------------------------------------------------------------------------

check_drawn_map <- function(map, n) {
  if (is.data.frame(map) && all(c("chr", "pos") %in% names(map)) && nrow(map) == n && is.numeric(map$pos)) return(map)
  abort_scan(sprintf("to be drawn needs a map with chr and pos, which are numbers, and %d rows", n))
}

# A map by the names of its rows or in its column `term`, else with a row for each row of a scan that is as it was made.
map_places <- function(map, scan) {
  if (is.character(map)) map <- read_bim(map)
  names <- if (is.data.frame(map)) map_names(map, unique(scan$term))
  if (!is.null(names) && all(scan$term %in% names)) {
    check_drawn_map(map, nrow(map))
    check_map_names(names)
    return(map[match(scan$term, names), , drop = FALSE])
  }
  if (!identical(attr(scan, "whole"), nrow(scan)) || !in_given_order(scan)) {
    abort_scan("was sorted or subset: give the map a column term, the names of the candidates, so that its rows can be found")
  }
  check_drawn_map(map, nrow(scan))
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
  if (all(found)) return(check_drawn_map(as.data.frame(scan)[c("chr", "pos")], nrow(scan)))
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
  if (length(gone) > 0) abort_scan(
    paste0("to be drawn or summarised needs its columns ", first_names(names), "; without ", first_names(gone), " it is a table only")
  )
}

# ---- labels ---------------------------------------------------------------------------------------------

# data.frame(at, y, text): which of the drawn points have a label. `label`: TRUE (hits above the first line), a number of hits, names of candidates, or texts
# that have names of candidates
label_data <- function(label, scan, placed, d, lines) {
  none <- data.frame(at = numeric(), y = numeric(), text = character(), stringsAsFactors = FALSE)
  if (is.null(label) || identical(label, FALSE)) return(none)
  need_columns(scan, "term")
  table <- data.frame(
    response = first_of(scan$response[placed$used], ""), term = scan$term[placed$used], log10p = scan$log10p[placed$used], stringsAsFactors = FALSE
  )
  if (!is.null(placed$place)) table <- cbind(table, placed$place)
  if (is.character(label) || is.factor(label)) return(named_labels(label, table, d))
  at <- if (isTRUE(label)) hit_rows(table, label_height(lines, scan)) else if (is_count(label)) head(hit_rows(table, 0), label) else abort_label(label)
  data.frame(at = d$at[at], y = d$y[at], text = table$term[at], stringsAsFactors = FALSE)
}

label_height <- function(lines, scan) if (any(!is.na(lines$y))) lines$y[!is.na(lines$y)][1] else if (nrow(lines) > 0) Inf else line_height(
  "bonferroni", scan, 0.95
)

abort_label <- function(label) abort_scan(paste("labels hits (TRUE), a number of them, or the candidates that are named, not", code_text(label)))

named_labels <- function(label, table, d) {
  text <- as.character(label)
  if (length(text) == 0 || anyNA(text)) abort_label(label)
  terms <- if (is.null(names(label))) text else names(label)
  gone <- setdiff(terms, table$term)
  if (length(gone) > 0) abort_scan(paste0("has no drawn candidates to label of the names ", first_names(gone)))
  # of several responses the strongest
  by_strength <- order(-table$log10p)
  at <- by_strength[match(terms, table$term[by_strength])]
  data.frame(at = d$at[at], y = d$y[at], text = text, stringsAsFactors = FALSE)
}

# ---- other pictures -------------------------------------------------------------------------------------

# Rank, band of each order statistic (beta distributed), and lambda
qq_data <- function(scan) {
  need_columns(scan, "log10p")
  all <- sort(scan$log10p, decreasing = TRUE)
  m <- length(all)
  if (m == 0) abort_scan("to be drawn needs a candidate that was tested")
  rank <- seq_len(m)
  found <- response_inflation(as_plain(scan), scan_about(scan))
  list(
    expected = -log10((rank - 0.5) / m), y = drawable(all), low = -log10(stats::qbeta(0.975, rank, m + 1 - rank)),
    high = -log10(stats::qbeta(0.025, rank, m + 1 - rank)),
    lambda = found[["lambda"]], text = if (!is.na(found[["lambda"]])) inflation_text(found)
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
