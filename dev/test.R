# Run the R tests on the installed package; exit 1 on any failure. The counts go to check/r-tests.txt for .ci/run.
library(testthat)
library(fastlmm)
# testthat leaves snapshots out without NOT_CRAN. Two files at a time: most of a test is one thread's work. Threads of OpenBLAS would wait for one another,
# spinning.
Sys.setenv(NOT_CRAN = "true", TESTTHAT_PARALLEL = "true", TESTTHAT_CPUS = "2", OPENBLAS_NUM_THREADS = "1")
snapshots <- function() {
  files <- list.files("tests/testthat/_snaps", recursive = TRUE, full.names = TRUE)
  tools::md5sum(grep("\\.new\\.", files, value = TRUE, invert = TRUE))
}

before <- snapshots()
results <- as.data.frame(test_dir("tests/testthat", package = "fastlmm", load_package = "installed", reporter = SummaryReporter$new(), stop_on_failure = FALSE))
after <- snapshots()
files <- union(names(before), names(after))
changed <- files[!mapply(identical, before[files], after[files], USE.NAMES = FALSE)]

passed <- sum(results$passed)
failed <- sum(results$failed) + sum(results$error) + length(changed)
dir.create("check", showWarnings = FALSE)
writeLines(paste(passed, failed), "check/r-tests.txt")
cat(sprintf("R tests: %d passed, %d failed, %d skipped\n", passed, failed, sum(results$skipped)))
for (i in which(results$skipped)) cat("skipped:", results$test[i], "\n")
if (length(changed) > 0) cat("snapshots that were new, changed or not used:", changed, sep = "\n  ")
quit(status = as.integer(failed > 0))
