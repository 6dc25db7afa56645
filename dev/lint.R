# `make lint`: the linters of .lintr over all R code, prose of help pages left out, by two processes; exit 1 on any finding.
if (!requireNamespace("lintr", quietly = TRUE)) {
  cat("not linted: that needs lintr\n")
  quit(status = 0)
}
files <- list.files(c("R", "tests", "dev", "bench", "tools"), "[.]R$", full.names = TRUE, recursive = TRUE)
files <- setdiff(files, "R/extendr-wrappers.R")
found <- parallel::mclapply(files, function(file) as.data.frame(lintr::lint(file)), mc.cores = if (.Platform$OS.type == "windows") 1 else 2)
broken <- vapply(found, inherits, NA, "try-error")
found <- do.call(rbind, found[!broken])
if (NROW(found) > 0) cat(sprintf("%s:%d: %s (%s)", found$filename, found$line_number, found$message, found$linter), sep = "\n")
cat(sprintf("lintr: %d files, %d findings\n", length(files), NROW(found) + sum(broken)))
quit(status = as.integer(NROW(found) + sum(broken) > 0))
