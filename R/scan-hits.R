# Thresholds of a scan, and its hits: the strongest tests, one of a neighbourhood.

# data.frame(label, y, named): lines at minus log10 p. `threshold`: p-values, names of thresholds, what fastlmm_permute() gave, or a list of such.
scan_lines <- function(threshold, scan, level) {
  if (is.null(threshold)) return(data.frame(label = character(), y = numeric(), named = logical()))
  parts <- if (is.list(threshold) && !is.object(threshold)) threshold else if (is.atomic(threshold)) as.list(threshold) else list(threshold)
  if (length(parts) == 0) abort_line(threshold)
  names <- if (is.null(names(parts))) rep("", length(parts)) else names(parts)
  do.call(rbind, Map(function(part, name) one_line(part, name, scan, check_level(level)), parts, names, USE.NAMES = FALSE))
}

one_line <- function(part, name, scan, level) {
  line <- function(label, y, named = TRUE) data.frame(label = if (nzchar(name)) name else label, y = y, named = named || nzchar(name))
  if (inherits(part, "fastlmm_permute")) return(line("permutation", quantile(part, level)$log10p))
  if (inherits(part, "fastlmm_permute_list")) return(line("permutation", max(quantile(part, level)$log10p)))
  if (is.numeric(part) && length(part) == 1 && isTRUE(part > 0 && part <= 1)) return(line(paste("p =", format(part, digits = 3)), -log10(part), FALSE))
  kind <- if (is.character(part) && length(part) == 1) pmatch(part, names(line_kinds))
  if (length(kind) == 0 || is.na(kind)) abort_line(part)
  kind <- names(line_kinds)[kind]
  line(line_kinds[[kind]], line_height(kind, scan, level))
}

line_kinds <- c(bonferroni = "Bonferroni", fdr = "false discovery rate", genomewide = "genome-wide, 5e-8", suggestive = "suggestive, 1e-5")

abort_line <- function(threshold) {
  abort_scan(
    paste(
      "draws lines at p-values above 0 and up to 1, at", toString(quoted(names(line_kinds))), "or at what fastlmm_permute() gave, not at a threshold of",
      code_text(threshold)
    )
  )
}

# NA where no test has so small a false discovery rate
line_height <- function(kind, scan, level) {
  if (kind == "genomewide") return(-log10(5e-8))
  if (kind == "suggestive") return(5)
  y <- scan$log10p[!is.na(scan$log10p)]
  if (length(y) == 0) return(NA_real_)
  if (kind == "bonferroni") return(-log10((1 - level) / tests_made(scan)))
  discovery_height(y, 1 - level, if (is_choice(scan)) tests_made(scan) * max(1, length(unique(scan$response))) else length(y))
}

# The smallest of the tests that Benjamini and Hochberg's procedure takes
discovery_height <- function(log10p, rate, m) {
  y <- sort(log10p, decreasing = TRUE)
  taken <- which(y >= -log10(rate * seq_along(y) / m))
  if (length(taken) > 0) y[max(taken)] else NA_real_
}

is_choice <- function(scan) isTRUE(attr(scan, "keep", exact = TRUE) != "all")

# Of a response: the tests that there are, or of a choice by `keep` all that were asked for
tests_made <- function(scan) {
  if (is_choice(scan)) return(attr(scan, "asked", exact = TRUE))
  tested <- !is.na(scan$log10p)
  if (is.null(scan$response)) sum(tested) else max(table(scan$response[tested]))
}

# ---- hits -----------------------------------------------------------------------------------------------

# Rows of the strongest tests above `height`, the strongest first: of tests of one response on a chromosome that are within `distance` only the strongest
hit_rows <- function(table, height, distance = NULL) {
  at <- which(!is.na(table$log10p) & table$log10p >= height)
  at <- at[order(-table$log10p[at])]
  if (length(at) == 0 || !all(c("chr", "pos") %in% names(table))) return(at)
  response <- if (is.null(table$response)) rep("", nrow(table)) else table$response
  key <- paste(response, table$chr, sep = "\r")
  key[is.na(table$chr) | is.na(table$pos)] <- NA
  distance <- hit_distance(distance, table$pos)
  unlist(by_strength(split(at, factor(ifelse(is.na(key[at]), paste("\n", at), key[at]))), table, distance), use.names = FALSE)
}

by_strength <- function(groups, table, distance) {
  leads <- unlist(lapply(groups, leading_tests, pos = table$pos, distance = distance), use.names = FALSE)
  leads[order(-table$log10p[leads])]
}

# Of rows in the order of their strength those that are not near a stronger one
leading_tests <- function(rows, pos, distance) {
  lead <- integer()
  while (length(rows) > 0) {
    lead <- c(lead, rows[1])
    rows <- rows[-1][abs(pos[rows[-1]] - pos[rows[1]]) > distance]
  }
  lead
}

hit_distance <- function(distance, pos) {
  if (is.null(distance)) return(if (is.null(position_unit(pos)$name)) 20 else 5e5)
  if (is.numeric(distance) && length(distance) == 1 && isTRUE(distance >= 0)) return(distance)
  abort_scan(paste("needs distance, how near tests are one hit: one number that is not negative, not", code_text(distance)))
}
