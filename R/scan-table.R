# A scan as a table: everything that pictures need is a column, so that rows may be sorted, left out or put together. Attributes only say how the tests were
# made.

# `tests`: the columns of each row of `found`, and the names of all tests in their order
new_scan <- function(fit, found, source, tests, ask) {
  n <- nrow(found)
  table <- data.frame(response = if (is.null(found$response)) rep(names(fit$frame)[1], n) else found$response, term = found$term, stringsAsFactors = FALSE)
  if (!is.null(source$map)) table <- cbind(table, test_places(source$map, tests$columns))
  if (isTRUE(source$copies)) table$freq <- found$freq
  table <- cbind(table, data.frame(
    n = found$n, estimate = found$estimate, std.error = found$std_error, statistic = found$statistic, df = found$df, df2 = found$df2,
    p.value = exp(found$log.p), log10p = -found$log.p / log(10),
    h2 = found$h2, logLik = found$logLik, status = found$status, stringsAsFactors = FALSE
  ))
  table <- without_beyond_tests(table)
  rownames(table) <- NULL
  if (!inherits(fit, "fastlmm_mlm")) table <- kept_tests(table, ask)
  about <- list(
    test = ask$test, refit = ask$refit, formula = fit$formula, interaction = ask$interaction, candidates = if (is.null(source$map)) tests$names,
    keep = ask$keep, asked = length(tests$names), rows = nobs(fit), whole = nrow(table)
  )
  with_about(table, about)
}

# What `keep` asks of one response; the core does it for many.
kept_tests <- function(table, ask) {
  kept <- switch(ask$keep, all = seq_len(nrow(table)), max = which.max(table$log10p), threshold = which(table$log10p > -log10(ask$threshold)))
  if (ask$keep == "all") table else `rownames<-`(table[kept, ], NULL)
}

about_names <- c("test", "refit", "formula", "interaction", "keep", "asked", "rows", "candidates")

scan_about <- function(x) sapply(about_names, function(name) attr(x, name, exact = TRUE), simplify = FALSE)

with_about <- function(table, about) {
  for (name in names(about)) attr(table, name) <- about[[name]]
  class(table) <- c("fastlmm_scan", "data.frame")
  table
}

# A choice of rows is not the whole any more, and is shown in its own order.
part_of <- function(table, x) with_about(as_plain(table), scan_about(x))

as_plain <- function(x) {
  for (name in c(about_names, "whole")) attr(x, name) <- NULL
  structure(x, class = "data.frame")
}

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
  common <- sapply(setdiff(about_names, "candidates"), same, simplify = FALSE)
  if (is.factor(value$chr)) value$chr <- joined_levels(value$chr, parts)
  with_about(value, c(common, list(candidates = unique(unlist(lapply(about, `[[`, "candidates"))))))
}

# Parts in the natural order of chromosomes make a whole in it.
joined_levels <- function(chr, parts) {
  natural <- vapply(parts, function(x) !is.factor(x$chr) || identical(levels(x$chr), natural_order(levels(x$chr))), NA)
  if (all(natural)) factor(chr, natural_order(levels(chr))) else chr
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

#' @rdname fastlmm_scan
#' @details `format()` of a scan gives a data frame of text, for `knitr::kable()`, which rounds small p-values to 0.
#' @export
format.fastlmm_scan <- function(x, digits = 3, ...) {
  check_arguments(...)
  table <- as_plain(x)
  table[] <- lapply(
    names(table),
    function(name) if (is.numeric(table[[name]]) && name != "pos") small_text(table[[name]], digits) else format(table[[name]], scientific = FALSE, trim = TRUE)
  )
  table
}

# To so many digits each, and no p-value as 0.00
small_text <- function(value, digits) ifelse(is.na(value), "", formatC(value, digits, format = "g", width = 1))

#' @exportS3Method xtable::xtable fastlmm_scan
#' @noRd
xtable.fastlmm_scan <- function(x, ..., digits = NULL, display = NULL) xtable_of(as_plain(x), digits, display, ...)

# Numbers to three digits each, not to two decimals; positions and counts as they are
xtable_of <- function(table, digits, display, ...) {
  whole <- vapply(table, function(column) is.numeric(column) && all(column == round(column), na.rm = TRUE), NA)
  kind <- ifelse(vapply(table, is.numeric, NA), ifelse(whole, "d", "g"), "s")
  xtable::xtable(
    table, digits = first_of(digits, if (is.null(display)) c(0, ifelse(whole, 0, 3))), display = first_of(display, if (is.null(digits)) c("s", unname(kind))),
    ...
  )
}

# ---- print ----------------------------------------------------------------------------------------------

#' @rdname fastlmm_scan
#' @param x,object a scan.
#' @param n number of tests to show: the strongest of a complete scan, the first of a subset of its rows.
#' @param digits number of significant digits.
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
  bad <- table$status[which(table$status != "ok" & !perfect)]
  if (length(bad) > 0) cat("not tested: ", tally_status(bad), "\n", sep = "")
  if (any(perfect, na.rm = TRUE)) cat("perfect fits: ", sum(perfect, na.rm = TRUE), "\n", sep = "")
  if (whole) show_inflation(x)
  show_tests(if (whole) strongest(table, n) else head(table, n), digits)
  if (nrow(table) > n) cat("... the ", n, if (whole) " strongest of " else " first of ", format(nrow(table), big.mark = ","), "\n", sep = "")
  invisible(x)
}

# Few tests have no median to speak of.
show_inflation <- function(x) {
  parts <- if (sum(!is.na(x$log10p)) >= 25 && !is_choice(x)) split(as_plain(x), factor(x$response, unique(x$response)))
  if (length(parts) == 0) return(invisible())
  found <- vapply(parts, response_inflation, numeric(3), about = scan_about(x), interval = length(parts) == 1)
  lambda <- found[1, !is.na(found[1, ])]
  if (length(lambda) == 1) cat("lambda ", inflation_text(found[, !is.na(found[1, ])]), ", ", counted(sum(!is.na(x$log10p)), "candidate"), " tested\n", sep = "")
  if (length(lambda) > 1) cat(
    "lambda of ", counted(length(lambda), "response"), ": ", paste(format(range(lambda), digits = 3), collapse = " to "), "\n", sep = ""
  )
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
  how <- c(none = "delta of the null model", delta = "delta estimated anew", hybrid = "delta re-estimated where p is small")
  product <- if (!is.null(attr(x, "interaction"))) paste(" of products with", attr(x, "interaction"))
  c(test, paste0(test, "s"), paste0(product, ", ", how[[attr(x, "refit")]]))
}

tally_status <- function(status) {
  count <- table(status)
  paste0(names(count), " ", count, collapse = ", ")
}
