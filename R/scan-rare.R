# Candidates whose rarer allele has a frequency below `maf` are rows with the status "rare": they are not tested, but counted.

check_scan_maf <- function(maf, sets) {
  if (!is.numeric(maf) || length(maf) != 1 || is.na(maf) || maf < 0 || maf > 0.5) abort_scan(paste("needs maf, a frequency from 0 to 0.5, not", code_text(maf)))
  if (maf > 0 && !is.null(sets)) abort_scan("tests sets of the columns that they name; leave rare columns out of sets, or give no maf")
  maf
}

# Status of each column, or NULL if nobody asks. What has no value is left to the test, which finds it missing.
rare_status <- function(G, unit, maf) {
  if (is.null(maf)) return(NULL)
  frequency <- id_means(G, unit) / 2
  rare <- !is.na(frequency) & pmin(frequency, 1 - frequency) < maf - 1e-12
  ifelse(no_copies(G), "no_frequency", ifelse(rare, "rare", "ok"))
}

# Copies of an allele lie from 0 to 2.
no_copies <- function(G) colSums(G < 0 | G > 2, na.rm = TRUE) > 0

# Constant columns cost nothing, and are no largest test.
without_rare <- function(G, status) {
  if (any(status != "ok")) G[, status != "ok"] <- 0
  G
}

# Numbers of tests that were made of a constant in the place of a rare candidate
as_rare <- function(found, status, columns, G, rows) {
  at <- which(status[vapply(columns, `[`, 0, 1)] != "ok")
  if (length(at) == 0) return(found)
  for (name in setdiff(names(found), c("term", "n", "status", "again"))) found[[name]][at] <- NA
  found$status[at] <- status[vapply(columns[at], `[`, 0, 1)]
  found$n[at] <- observed_rows(G, columns[at], rows)
  found
}
