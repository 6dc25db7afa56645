# R CMD build and R CMD check in check/; exit 1 on an ERROR or a WARNING. Without LaTeX there is no PDF manual.
#   Rscript dev/check.R               the whole check
#   Rscript dev/check.R --no-tests    without the tests, for .ci/run, which has just run them on the installed package
#   Rscript dev/check.R --release     the tarball of a release, with its vendored crates, which are compiled; as CRAN does it
#   Rscript dev/check.R --tarball     makes that tarball in check/ and leaves it unchecked
R <- function(...) system2(file.path(R.home("bin"), "R"), c("CMD", ...))
asked <- commandArgs(TRUE)
release <- any(c("--release", "--tarball") %in% asked)

# R CMD build copies all that it finds before it drops what .Rbuildignore names: gigabytes of compiled crates
stage <- function() {
  unlink(c("check/source", Sys.glob("check/fastlmm*")), recursive = TRUE)
  dir.create("check/source/fastlmm", recursive = TRUE)
  left_out <- paste0("--exclude=./", c(".git", ".Rlib", "check", "src/rust/target"))
  system(paste("tar -cf -", paste(left_out, collapse = " "), ". | tar -xf - -C check/source/fastlmm"))
}
vendor <- function() system2(file.path(R.home("bin"), "Rscript"), c("--vanilla", "dev/vendor.R"))

# the same Rust sources are compiled once, here (tools/configure.R), but for the check of a release, unless FASTLMM_BUILT says where
compile <- release && !nzchar(Sys.getenv("FASTLMM_BUILT"))
if (!nzchar(Sys.getenv("FASTLMM_BUILT"))) Sys.setenv(FASTLMM_BUILT = normalizePath("src/rust"))
Sys.setenv(CARGO_TARGET_DIR = Sys.getenv("CARGO_TARGET_DIR", file.path(getwd(), "src/rust/target")))
if (stage() != 0) quit(status = 1)
setwd("check/source/fastlmm")
if (release && vendor() != 0) quit(status = 1)
setwd("../..")
if (R("build", "source/fastlmm") != 0) quit(status = 1)
unlink("source", recursive = TRUE)
tarball <- Sys.glob("fastlmm_*.tar.gz")
cat(sprintf("check/%s: %.1f MB\n", tarball, file.size(tarball) / 1e6))
if ("--tarball" %in% asked) quit(status = 0)

Sys.setenv("_R_CHECK_FORCE_SUGGESTS_" = "false")
if (!release) Sys.setenv("_R_CHECK_CRAN_INCOMING_" = "false")
if (compile) Sys.unsetenv(c("FASTLMM_BUILT", "CARGO_TARGET_DIR"))
latex <- nzchar(Sys.which("pdflatex"))
# R CMD build has just run the vignettes
status <- R("check", if (release) "--as-cran" else "--no-vignettes", if (!latex) "--no-manual", intersect("--no-tests", asked), tarball)

log <- readLines("fastlmm.Rcheck/00check.log")
sections <- split(log, cumsum(startsWith(log, "* ")))
sections <- lapply(sections, grep, pattern = "^Status: ", invert = TRUE, value = TRUE)
faulty <- Filter(function(section) any(grepl("(ERROR|WARNING)$", section)), sections)
# what only the machine lacks, programs or the network, says nothing of the package
lacking <- "checkbashisms' script|.Configure and cleanup. in the|^manual[.]$|.qpdf. is needed|unable to access index|cannot open URL|^ *WARNING$"
excused <- vapply(faulty, function(section) length(section) > 1 && all(grepl(lacking, section[-1])), NA)
if (any(excused)) {
  reasons <- vapply(faulty[excused], function(section) trimws(grep("WARNING$", section[-1], invert = TRUE, value = TRUE)[1]), "")
  cat("not checked, for the lack of a program or of the network:", reasons, "\n", sep = "\n  ")
}
bad <- vapply(faulty[!excused], `[`, "", 1)
compiled <- any(grepl("Compiling fastlmm-core", readLines("fastlmm.Rcheck/00install.out")))
if (compiled && !compile) bad <- c(bad, "the Rust sources of the tarball are not those of this folder")
for (output in Sys.glob("fastlmm.Rcheck/tests/*.fail")) cat(readLines(output), sep = "\n")
cat(grep("^Status: ", log, value = TRUE), setdiff(bad, log), sep = "\n")
quit(status = as.integer(status != 0 || length(bad) > 0))
