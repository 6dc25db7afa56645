# The summary of a scan: what was tested, lambda, hits.

#' @rdname fastlmm_scan
#' @param distance largest distance between tests on a chromosome that count as one hit. `NULL`: 500 kb, or 20 units of a genetic map (no
#'   position of 1e5 or more).
#' @export
summary.fastlmm_scan <- function(object, n = 5, threshold = "bonferroni", distance = NULL, ...) {
  check_arguments(...)
  check_shown(n)
  table <- as_plain(object)
  need_columns(table, c("response", "term", "log10p", "status"))
  if (nrow(table) == 0) abort_scan("to be summarised needs tests; this one has none")
  parts <- split(table, factor(table$response, unique(table$response)))
  line <- scan_lines(threshold, object, 0.95)
  if (nrow(line) != 1) abort_scan("to be summarised needs one threshold for hits")
  structure(
    list(
      formula = attr(object, "formula"), how = how_tested(object), status = tally_status(table$status), counts = status_counts(table),
      responses = do.call(rbind, unname(lapply(parts, summary_of_response, object = object))), tests = nrow(table), threshold = line[c("label", "y")],
      placed = all(c("chr", "pos") %in% names(table)),
      hits = scan_hits(table, line$y, distance), strongest = `rownames<-`(strongest(table[!is.na(table$log10p), ], n), NULL)
    ),
    class = "summary.fastlmm_scan"
  )
}

# A row for each response, a column for each status
status_counts <- function(table) as.data.frame.matrix(table(factor(table$response, unique(table$response)), table$status))

# With how many tests above the threshold lie within the distance, and where
scan_hits <- function(table, height, distance) {
  at <- if (is.na(height)) integer() else hit_rows(table, height, distance)
  hits <- table[at, ]
  rownames(hits) <- NULL
  if (!all(c("chr", "pos") %in% names(table))) return(hits)
  distance <- hit_distance(distance, table$pos)
  above <- table[which(table$log10p >= height), ]
  near <- lapply(
    seq_along(at), function(k) above$pos[which(above$response == hits$response[k] & above$chr == hits$chr[k] & abs(above$pos - hits$pos[k]) <= distance)]
  )
  hits$tests <- pmax(1L, lengths(near))
  reach <- function(f) vapply(near, function(pos) if (length(pos) > 0) f(pos) else NA_real_, 0)
  cbind(hits, from = reach(min), to = reach(max))
}

summary_of_response <- function(table, object) {
  y <- table$log10p[!is.na(table$log10p)]
  best <- which.max(table$log10p)
  m <- if (is_choice(object)) attr(object, "asked") else length(y)
  data.frame(
    response = table$response[1], tested = length(y), as.list(response_inflation(table, scan_about(object))), bonferroni = sum(y > -log10(0.05 / m)),
    strongest = if (length(best) > 0) table$term[best] else NA_character_, log10p = if (length(best) > 0) table$log10p[best] else NA_real_,
    stringsAsFactors = FALSE
  )
}

#' @rdname fastlmm_scan
#' @export
print.summary.fastlmm_scan <- function(x, digits = max(3, getOption("digits") - 3), ...) {
  check_arguments(...)
  cat("Scan: ", counted(x$tests, x$how[1], x$how[2]), x$how[3], "\n", sep = "")
  if (!is.null(x$formula)) cat("Null model: ", deparse1(x$formula), "\n", sep = "")
  cat("Status: ", x$status, "\n", sep = "")
  if (nrow(x$responses) == 1) summary_lines(x$responses, digits) else print_responses(x$responses, digits)
  if (x$placed && nrow(x$hits) > 0) show_hits(x, digits)
  if (nrow(x$strongest) > 0) {
    cat("\nStrongest:\n")
    show_tests(x$strongest, digits)
  }
  invisible(x)
}

summary_lines <- function(one, digits) {
  if (one$tested == 0) return(invisible())
  if (!is.na(one$lambda)) cat("Inflation of the median (lambda): ", inflation_text(one[c("lambda", "lambda_low", "lambda_high")]), "\n", sep = "")
  if (!is.na(one$lambda)) cat("p < 0.05 / ", format(one$tested, big.mark = ","), ": ", counted(one$bonferroni, "test"), "\n", sep = "")
}

# A line for each neighbourhood
show_hits <- function(x, digits) {
  cat("\nHits (", x$threshold$label, ": -log10(p) of ", format(x$threshold$y, digits = 3), " or more): ", nrow(x$hits), "\n", sep = "")
  shown <- intersect(
    c(if (nrow(x$responses) > 1) "response", "term", "chr", "pos", "effect_allele", "freq", "estimate", "std.error", "log10p", "tests", "from", "to"),
    names(x$hits)
  )
  print(head(x$hits[shown], 10), digits = digits, row.names = FALSE)
  if (nrow(x$hits) > 10) cat("... the first 10 of ", format(nrow(x$hits), big.mark = ","), "\n", sep = "")
}

print_responses <- function(responses, digits) {
  cat("\nResponses (bonferroni: number of tests with p < 0.05 / tested):\n")
  print(head(responses, 10), digits = digits, row.names = FALSE)
  if (nrow(responses) > 10) cat("... the first 10 of ", format(nrow(responses), big.mark = ","), "\n", sep = "")
}
