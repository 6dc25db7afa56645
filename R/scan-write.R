#' Write a scan in the formats of other programs
#'
#' Formats: `"gwas-ssf"`, the summary statistics format of the GWAS catalogue (tab separated, `#NA` for missing values); `"plink"`, the columns
#' of PLINK 1.9's `.assoc.linear` with standard errors and intervals; `"plink2"`, those of PLINK 2's `.glm.linear`; `"gemma"`, those of GEMMA's
#' `.assoc.txt`, whose last column is `p_wald`, `p_lrt` or `p_score` according to the test.
#'
#' Effects are those of one more copy of the effect allele: `effect_allele`, `A1`, `allele1`. As in PLINK 2 for a `.bim` file, the reference
#' allele is provisionally the other one. `STAT` is the estimate divided by its standard error, `l_remle` (`l_mle`) the ratio of genetic to
#' residual variance, `h2 / (1 - h2)`, and `n_miss` the number of rows of the fit in which the candidate is missing. P-values too small for a
#' double are written from their logarithms, as `3.1e-412`.
#'
#' GWAS-SSF and GEMMA files contain tested candidates only, and GWAS-SSF only those with a chromosome and a position; the message `not_written`
#' reports what is left out. GWAS-SSF numbers the chromosomes X as 23, Y as 24 and MT as 25. In PLINK's numbering (assumed where there is a
#' 26), 25, the pseudo-autosomal region, becomes X and 26 becomes MT. The metadata file of GWAS-SSF must be written by hand, since a scan does
#' not know the study.
#'
#' @param scan a scan by [fastlmm_scan()] of one response, with `chr`, `pos` and alleles (from PLINK files, or from `map`), and one tested
#'   column in each row.
#' @param file path of the file; compressed if it ends in `.gz`.
#' @param format which format.
#' @param level confidence level of the intervals of `"plink"`.
#' @param ... not used; an unknown argument is an error.
#' @return The table as written, a data frame, invisibly; p-values are character strings.
#' @section Errors:
#' `scan` for a scan without the columns needed, or of several responses; `file` if the file cannot be written.
#' @references <https://www.ebi.ac.uk/gwas/docs/summary-statistics-format>
#' @seealso [fastlmm_scan()]
#' @examples
#' set.seed(1)
#' ids <- paste0("i", 1:100)
#' G <- matrix(rbinom(100 * 20, 2, 0.4), 100, dimnames = list(ids, paste0("m", 1:20)))
#' fit <- fastlmm_fit(y ~ 1 + (1 | id), data.frame(id = ids, y = rnorm(100)), tcrossprod(scale(G)) / 20)
#' map <- data.frame(chr = rep(1:2, each = 10), pos = 1:10 * 1e5, effect_allele = "A", other_allele = "C")
#' scan <- fastlmm_scan(fit, G, map = map)
#' file <- tempfile(fileext = ".tsv.gz")
#' write_scan(scan, file)
#' head(read.delim(file), 3)
#' @export
write_scan <- function(scan, file, format = c("gwas-ssf", "plink", "plink2", "gemma"), level = 0.95, ...) {
  check_arguments(...)
  format <- one_of(format)
  check_level(level)
  if (!inherits(scan, "fastlmm_scan")) abort_written(paste("needs a scan by fastlmm_scan(), not an object of class", class(scan)[1]))
  check_writable(scan)
  table <- switch(format, `gwas-ssf` = ssf_table(scan), plink = plink_table(scan, level), plink2 = plink2_table(scan), gemma = gemma_table(scan))
  if (nrow(table) == 0) abort_written("needs tests with an estimate; this scan has none that can be written")
  write_table(table, file, missing = if (format == "gwas-ssf") "#NA" else "NA")
  invisible(table)
}

abort_written <- function(message) abort_fastlmm("scan", paste("write_scan()", message))

check_writable <- function(scan) {
  needed <- c(map_columns, "freq", "response", "term", "n", "estimate", "std.error", "df2", "log10p", "h2", "logLik", "status")
  gone <- setdiff(needed, names(scan))
  if (any(gone %in% c(map_columns, "freq"))) abort_written(
    paste0("needs a scan with ", toString(quoted(gone)), ": scan a .bed file, or give map = with chr, pos, effect_allele and other_allele")
  )
  if (length(gone) > 0) abort_written(paste0("needs the columns that fastlmm_scan() gave; dropped were ", toString(quoted(gone))))
  several <- unique(scan$response)
  if (length(several) > 1) abort_written(paste0("writes one response per file; select its rows, as scan[scan$response == ", quoted(several[1]), ", ]"))
  if (isTRUE(any(scan$df > 1))) abort_written("writes tests of one column each; this scan has tests of several")
}

# Rows that a format can hold; says how many are left out
written_rows <- function(scan, keep, why) {
  lost <- sum(!keep)
  if (lost > 0) inform_fastlmm("not_written", paste0("not written, ", why, ": ", counted(lost, "test")), n = lost)
  as_plain(scan)[keep, ]
}

# ---- formats --------------------------------------------------------------------------------------------

ssf_table <- function(scan) {
  chromosome <- ssf_chromosome(scan$chr)
  keep <- !is.na(scan$estimate) & !is.na(scan$log10p) & !is.na(chromosome) & !is.na(scan$pos)
  x <- written_rows(scan, keep, "not tested or without a chromosome and position")
  data.frame(
    chromosome = chromosome[keep], base_pair_location = whole_text(x$pos), effect_allele = x$effect_allele, other_allele = x$other_allele,
    beta = digits_text(x$estimate),
    standard_error = digits_text(x$std.error), effect_allele_frequency = digits_text(x$freq), p_value = p_text(x$log10p), variant_id = x$term,
    n = whole_text(x$n), stringsAsFactors = FALSE
  )
}

# 1 to 25, NA for others
ssf_chromosome <- function(chr) {
  name <- toupper(sub("^(chromosome|chrom|chr)[ _.]?", "", as.character(chr), ignore.case = TRUE))
  by_plink <- any(name %in% "26")
  known <- c(X = 23, Y = 24, XY = 23, PAR = 23, MT = 25, M = 25, if (by_plink) c(`25` = 23, `26` = 25))
  number <- unname(known[name])
  plain <- is.na(number) & grepl("^0*[1-9][0-9]*$", name)
  number[plain] <- as.numeric(name[plain])
  as.integer(replace(number, number > 25, NA))
}

plink_table <- function(scan, level) {
  x <- as_plain(scan)
  half <- stats::qt((1 + level) / 2, x$df2) * x$std.error
  percent <- format(100 * level)
  table <- data.frame(
    CHR = as.character(x$chr), SNP = x$term, BP = whole_text(x$pos), A1 = x$effect_allele, TEST = "ADD", NMISS = whole_text(x$n),
    BETA = digits_text(x$estimate), SE = digits_text(x$std.error),
    L = digits_text(x$estimate - half), U = digits_text(x$estimate + half), STAT = digits_text(x$estimate / x$std.error), P = p_text(x$log10p),
    stringsAsFactors = FALSE
  )
  names(table)[9:10] <- paste0(c("L", "U"), percent)
  table
}

plink2_table <- function(scan) {
  x <- as_plain(scan)
  data.frame(
    `#CHROM` = as.character(x$chr), POS = whole_text(x$pos), ID = x$term, REF = x$other_allele, ALT = x$effect_allele, `PROVISIONAL_REF?` = "Y",
    A1 = x$effect_allele, OMITTED = x$other_allele,
    A1_FREQ = digits_text(x$freq), TEST = "ADD", OBS_CT = whole_text(x$n), BETA = digits_text(x$estimate), SE = digits_text(x$std.error),
    T_STAT = digits_text(x$estimate / x$std.error), P = p_text(x$log10p),
    ERRCODE = ifelse(x$status == "ok", ".", toupper(x$status)), check.names = FALSE, stringsAsFactors = FALSE
  )
}

gemma_table <- function(scan) {
  x <- written_rows(scan, !is.na(scan$estimate) & !is.na(scan$log10p), "not tested")
  test <- first_of(attr(scan, "test", exact = TRUE), "wald")
  rows <- first_of(attr(scan, "rows", exact = TRUE), max(x$n, 0))
  table <- data.frame(
    chr = as.character(x$chr), rs = x$term, ps = whole_text(x$pos), n_miss = whole_text(rows - x$n), allele1 = x$effect_allele, allele0 = x$other_allele,
    af = digits_text(x$freq),
    beta = digits_text(x$estimate), se = digits_text(x$std.error), logl_H1 = digits_text(x$logLik), l_remle = digits_text(x$h2 / (1 - x$h2)),
    p = p_text(x$log10p), stringsAsFactors = FALSE
  )
  names(table)[11:12] <- c(if (test == "wald") "l_remle" else "l_mle", paste0("p_", test))
  table
}

# ---- numbers as text ------------------------------------------------------------------------------------

digits_text <- function(x) ifelse(is.na(x), NA_character_, formatC(x, digits = 15, format = "g", width = 1))

whole_text <- function(x) ifelse(is.na(x), NA_character_, formatC(x, digits = 15, format = "fg", width = 1))

# By the logarithm where the number itself is none
p_text <- function(log10p) {
  exponent <- floor(-log10p)
  tiny <- !is.na(log10p) & is.finite(log10p) & log10p > 300
  ifelse(tiny, paste0(formatC(10^(-log10p - exponent), digits = 15, format = "g", width = 1), "e", formatC(exponent, format = "d")), digits_text(10^-log10p))
}

write_table <- function(table, file, missing) {
  if (!is.character(file) || length(file) != 1 || is.na(file) || !nzchar(file)) abort_fastlmm("file", paste("file must be a path, not", code_text(file)))
  failed <- function(condition) abort_fastlmm("file", paste0("the scan could not be written to ", quoted(file), ": ", conditionMessage(condition)))
  tryCatch(
    {
      to <- if (grepl("\\.gz$", file)) gzfile(file, "wt") else file(file, "wt")
      on.exit(close(to))
      utils::write.table(table, to, sep = "\t", quote = FALSE, row.names = FALSE, na = missing)
    },
    error = failed, warning = failed
  )
}
