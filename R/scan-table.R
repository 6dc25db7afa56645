# A scan as a table: everything that pictures need is a column, so that rows may be sorted, left out or put together. Attributes only say how the tests were made.

# `tests`: the columns of each row of `found`, and the names of all tests in their order
new_scan <- function(fit, found, source, tests, ask) {
  n <- nrow(found)
  table <- data.frame(response = if (is.null(found$response)) rep(names(fit$frame)[1], n) else found$response, term = found$term, stringsAsFactors = FALSE)
  if (!is.null(source$map)) table <- cbind(table, test_places(source$map, tests$columns), freq = found$freq)
  table <- cbind(table, data.frame(
    n = found$n, estimate = found$estimate, std.error = found$std_error, statistic = found$statistic, df = found$df, df2 = found$df2, p.value = exp(found$log.p), log10p = -found$log.p / log(10),
    h2 = found$h2, logLik = found$logLik, status = found$status, stringsAsFactors = FALSE
  ))
  table <- without_beyond_tests(table)
  rownames(table) <- NULL
  if (!inherits(fit, "fastlmm_mlm")) table <- kept_tests(table, ask)
  about <- list(test = ask$test, refit = ask$refit, formula = fit$formula, interaction = ask$interaction, candidates = if (is.null(source$map)) tests$names, whole = nrow(table))
  with_about(table, about)
}

# What `keep` asks of one response; the core does it for many.
kept_tests <- function(table, ask) {
  kept <- switch(ask$keep, all = seq_len(nrow(table)), max = which.max(table$log10p), threshold = which(table$log10p > -log10(ask$threshold)))
  if (ask$keep == "all") table else `rownames<-`(table[kept, ], NULL)
}

scan_about <- function(x) sapply(c("test", "refit", "formula", "interaction", "candidates"), function(name) attr(x, name, exact = TRUE), simplify = FALSE)

with_about <- function(table, about) {
  for (name in names(about)) attr(table, name) <- about[[name]]
  class(table) <- c("fastlmm_scan", "data.frame")
  table
}

# A choice of rows is not the whole any more, and is shown in its own order.
part_of <- function(table, x) with_about(as_plain(table), scan_about(x))

as_plain <- function(x) structure(x, class = "data.frame", test = NULL, refit = NULL, formula = NULL, candidates = NULL, whole = NULL)

#' @export
`[.fastlmm_scan` <- function(x, ...) {
  value <- NextMethod()
  if (is.data.frame(value)) part_of(value, x) else value
}

# Scans of other tests may be put together; the table then says nothing of how they were made.
#' @export
rbind.fastlmm_scan <- function(..., deparse.level = 1) {
  parts <- Filter(length, list(...))
  value <- do.call(rbind, unname(lapply(parts, function(x) if (inherits(x, "fastlmm_scan")) as_plain(x) else x)))
  scans <- Filter(function(x) inherits(x, "fastlmm_scan"), parts)
  about <- lapply(scans, scan_about)
  same <- function(name) if (length(unique(lapply(about, `[[`, name))) == 1) about[[1]][[name]]
  common <- sapply(c("test", "refit", "formula", "interaction"), same, simplify = FALSE)
  with_about(value, c(common, list(candidates = unique(unlist(lapply(about, `[[`, "candidates"))))))
}

#' @export
merge.fastlmm_scan <- function(x, y, ...) part_of(merge(as_plain(x), if (inherits(y, "fastlmm_scan")) as_plain(y) else needed_frame(y, "y"), ...), x)

#' @export
transform.fastlmm_scan <- function(`_data`, ...) part_of(NextMethod(), `_data`)

#' @rdname fastlmm_scan
#' @param row.names,optional as in [as.data.frame()], not used.
#' @export
as.data.frame.fastlmm_scan <- function(x, row.names = NULL, optional = FALSE, ...) as_plain(x)

#' @rdname fastlmm_scan
#' @export
tidy.fastlmm_scan <- function(x, ...) {
  check_arguments(...)
  as_plain(x)
}

# ---- print ----------------------------------------------------------------------------------------------

#' @rdname fastlmm_scan
#' @param x,object a scan.
#' @param n how many tests to show: of a whole scan the strongest, of a choice of its rows the first.
#' @param digits significant digits.
#' @export
print.fastlmm_scan <- function(x, n = 10, digits = max(3, getOption("digits") - 3), ...) {
  check_arguments(...)
  check_shown(n)
  table <- as_plain(x)
  if (!all(c("log10p", "status") %in% names(x))) {
    print(head(table, n), digits = digits, row.names = FALSE) # a choice of columns
    return(invisible(x))
  }
  whole <- identical(attr(x, "whole"), nrow(x))
  how <- how_tested(x)
  cat(counted(nrow(table), how[1], how[2]), how[3], "\n", sep = "")
  perfect <- table$status == "perfect_fit"
  bad <- table$status[table$status != "ok" & !perfect]
  if (length(bad) > 0) cat("not tested: ", tally_status(bad), "\n", sep = "")
  if (any(perfect)) cat("perfect fits: ", sum(perfect), "\n", sep = "")
  show_tests(if (whole) strongest(table, n) else head(table, n), digits)
  if (nrow(table) > n) cat("... the ", n, if (whole) " strongest of " else " first of ", format(nrow(table), big.mark = ","), "\n", sep = "")
  invisible(x)
}

strongest <- function(table, n) head(table[order(-table$log10p, na.last = TRUE), ], n)

# Of all columns those that fit on a line: what all tests share is said once, above.
show_tests <- function(table, digits) {
  if (nrow(table) == 0) return(invisible())
  if (!all(c("df2", "logLik", "status", "estimate", "p.value", "log10p") %in% names(table))) return(print(table, digits = digits, row.names = FALSE))
  shared <- shared_by_all(table)
  if (length(shared) > 0) cat("all: ", paste(names(shared), vapply(shared, format, "", digits = digits), collapse = ", "), "\n", sep = "")
  underflow <- any(table$p.value == 0, na.rm = TRUE)
  long <- if ("chr" %in% names(table)) c("other_allele", if (!all(is.na(table$estimate))) "statistic", if (underflow) "p.value" else "log10p")
  empty <- names(table)[vapply(table, function(x) all(is.na(x)), NA)]
  print(table[setdiff(names(table), c("df2", "logLik", "status", long, names(shared), if (nrow(table) > 1) empty))], digits = digits, row.names = FALSE)
}

shared_by_all <- function(table) {
  if (nrow(table) < 2) return(NULL)
  of <- lapply(table[intersect(c("response", "n", "df", "h2"), names(table))], function(x) unique(x[!is.na(table$log10p)]))
  of[lengths(of) == 1]
}

# One test, several tests, and how they were made
how_tested <- function(x) {
  if (is.null(attr(x, "test")) || is.null(attr(x, "refit"))) return(c("test", "tests", ""))
  test <- c(wald = "F test", lrt = "likelihood ratio test", score = "score test")[[attr(x, "test")]]
  how <- c(none = "delta of the null model", delta = "delta estimated anew", hybrid = "delta estimated anew where p is small")
  product <- if (!is.null(attr(x, "interaction"))) paste(" of products with", attr(x, "interaction"))
  c(test, paste0(test, "s"), paste0(product, ", ", how[[attr(x, "refit")]]))
}

tally_status <- function(status) {
  count <- table(status)
  paste0(names(count), " ", count, collapse = ", ")
}

# ---- summary --------------------------------------------------------------------------------------------

#' @rdname fastlmm_scan
#' @export
summary.fastlmm_scan <- function(object, n = 5, ...) {
  check_arguments(...)
  check_shown(n)
  table <- as_plain(object)
  need_columns(table, c("response", "term", "log10p", "status"))
  if (nrow(table) == 0) abort_scan("to be summarised needs tests; this one has none")
  parts <- split(table, factor(table$response, unique(table$response)))
  structure(
    list(
      formula = attr(object, "formula"), how = how_tested(object), status = tally_status(table$status), responses = do.call(rbind, unname(lapply(parts, summary_of_response))),
      tests = nrow(table), strongest = `rownames<-`(strongest(table[!is.na(table$log10p), ], n), NULL)
    ),
    class = "summary.fastlmm_scan"
  )
}

summary_of_response <- function(table) {
  y <- table$log10p[!is.na(table$log10p)]
  best <- which.max(table$log10p)
  data.frame(
    response = table$response[1], tested = length(y), lambda = if (length(y) > 0) inflation(y) else NA_real_, bonferroni = sum(y > -log10(0.05 / length(y))),
    strongest = if (length(best) > 0) table$term[best] else NA_character_, log10p = if (length(best) > 0) table$log10p[best] else NA_real_, stringsAsFactors = FALSE
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
  if (nrow(x$strongest) > 0) {
    cat("\nStrongest:\n")
    show_tests(x$strongest, digits)
  }
  invisible(x)
}

summary_lines <- function(one, digits) {
  if (one$tested == 0) return(invisible())
  cat("Inflation of the median (lambda): ", format(one$lambda, digits = digits), "\n", sep = "")
  cat("p < 0.05 / ", format(one$tested, big.mark = ","), ": ", counted(one$bonferroni, "test"), "\n", sep = "")
}

print_responses <- function(responses, digits) {
  cat("\nResponses (bonferroni: tests with p < 0.05 / tested):\n")
  print(head(responses, 10), digits = digits, row.names = FALSE)
  if (nrow(responses) > 10) cat("... the first 10 of ", format(nrow(responses), big.mark = ","), "\n", sep = "")
}
