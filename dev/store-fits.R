# Makes the fits that tests/testthat/test-stored.R reads: run once for each release, with the release's name, and never again for that name.
# Rscript --vanilla dev/store-fits.R 0.2.0

suppressMessages(library(fastlmm))
release <- commandArgs(TRUE)[1]
stopifnot(!is.na(release))
source("tests/testthat/helper-stored.R")
source("tests/testthat/helper-slam.R")
directory <- file.path("tests/testthat/stored", release)
if (dir.exists(directory)) stop("fits of release ", release, " are stored already")
dir.create(directory, recursive = TRUE)
for (name in names(stored_models)) {
  fit <- quietly_stored(stored_models[[name]](stored_world()))
  kept <- list(fit = fit, answers = stored_answers(name, fit))
  saveRDS(kept, file.path(directory, paste0(name, ".rds")), version = 3, compress = "xz")
}
# made elsewhere: a chain knows its directory, and so the name of a machine's folder
chain <- file.path(tempdir(), "chain")
invisible(quietly_stored(stored_chain(stored_world(), chain)))
invisible(file.copy(chain, directory, recursive = TRUE))
