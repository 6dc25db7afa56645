# Lines of R that its tests run, by covr, which installs the package anew; a table of files in check/coverage-r.txt.
if (!requireNamespace("covr", quietly = TRUE)) stop("`make coverage` needs covr: apt install r-cran-covr, or install.packages(\"covr\")", call. = FALSE)
Sys.setenv(OPENBLAS_NUM_THREADS = "1")
covered <- covr::package_coverage(".", type = "tests", quiet = FALSE)
lines <- utils::capture.output(print(covered), type = "message")
dir.create("check", showWarnings = FALSE)
writeLines(lines, "check/coverage-r.txt")
cat(lines, sep = "\n")
