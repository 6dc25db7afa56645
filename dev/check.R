# R CMD build and R CMD check in check/; exit 1 on an ERROR or a WARNING. Without LaTeX there is no PDF manual.
#   Rscript dev/check.R               the whole check
#   Rscript dev/check.R --no-tests    without the tests, for .ci/run, which has just run them on the installed package
R <- function(...) system2(file.path(R.home("bin"), "R"), c("CMD", ...))

# R CMD build copies all that it finds before it drops what .Rbuildignore names: gigabytes of compiled crates
stage <- function() {
  unlink(c("check/source", Sys.glob("check/fastlmm*")), recursive = TRUE)
  dir.create("check/source/fastlmm", recursive = TRUE)
  left_out <- paste0("--exclude=./", c(".git", ".Rlib", "check", "src/rust/target"))
  system(paste("tar -cf -", paste(left_out, collapse = " "), ". | tar -xf - -C check/source/fastlmm"))
}

# the same Rust sources are compiled once, here (tools/configure.R)
Sys.setenv(FASTLMM_BUILT = normalizePath("src/rust"), CARGO_TARGET_DIR = Sys.getenv("CARGO_TARGET_DIR", file.path(getwd(), "src/rust/target")))
if (stage() != 0) quit(status = 1)
setwd("check")
if (R("build", "source/fastlmm") != 0) quit(status = 1)
Sys.setenv("_R_CHECK_FORCE_SUGGESTS_" = "false", "_R_CHECK_CRAN_INCOMING_" = "false")
latex <- nzchar(Sys.which("pdflatex"))
# R CMD build has just run the vignettes
status <- R("check", "--no-vignettes", if (!latex) "--no-manual", intersect("--no-tests", commandArgs(TRUE)), Sys.glob("fastlmm_*.tar.gz"))
unlink("source", recursive = TRUE)

log <- readLines("fastlmm.Rcheck/00check.log")
bad <- grep("(ERROR|WARNING)$|^Status: .*(ERROR|WARNING)", log, value = TRUE)
if (any(grepl("Compiling fastlmm-core", readLines("fastlmm.Rcheck/00install.out")))) bad <- c(bad, "the Rust sources of the tarball are not those of this folder")
for (output in Sys.glob("fastlmm.Rcheck/tests/*.fail")) cat(readLines(output), sep = "\n")
cat(grep("^Status: ", log, value = TRUE), setdiff(bad, log), sep = "\n")
quit(status = as.integer(status != 0 || length(bad) > 0))
