# R CMD build and R CMD check in check/; exit 1 on an ERROR or a WARNING. Without LaTeX there is no PDF manual.
dir.create("check", showWarnings = FALSE)
run <- function(...) {
  status <- system2(file.path(R.home("bin"), "R"), c("CMD", ...))
  if (status != 0) quit(status = 1)
}
unlink(Sys.glob("check/fastlmm_*.tar.gz"))
home <- setwd("check")
run("build", home)
latex <- nzchar(Sys.which("pdflatex"))
Sys.setenv("_R_CHECK_FORCE_SUGGESTS_" = "false", "_R_CHECK_CRAN_INCOMING_" = "false")
run("check", if (!latex) "--no-manual", Sys.glob("fastlmm_*.tar.gz"))
log <- readLines("fastlmm.Rcheck/00check.log")
bad <- grep("(ERROR|WARNING)$|^Status: .*(ERROR|WARNING)", log, value = TRUE)
cat(tail(log, 3), sep = "\n")
quit(status = as.integer(length(bad) > 0))
