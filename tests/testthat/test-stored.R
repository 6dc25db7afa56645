# Fits of earlier releases load, and each verb says of them what it said then.

stored_releases <- function() list.dirs(test_path("stored"), recursive = FALSE, full.names = FALSE)

# Numbers that stand in a table with names are compared as numbers
told <- function(answer) {
  if (!is.character(answer)) return(answer)
  number <- suppressWarnings(as.numeric(answer))
  list(text = replace(unname(c(answer)), !is.na(number), ""), number = number)
}

is_refusal <- function(answer) is.character(answer) && length(answer) == 1 && startsWith(answer, "fastlmm_error")

test_that("what a release stored answers as it did", {
  expect_true(length(stored_releases()) > 0)
  for (release in stored_releases()) for (file in list.files(test_path("stored", release), "[.]rds$", full.names = TRUE)) {
    name <- sub("[.]rds$", "", basename(file))
    kept <- readRDS(file)
    found <- stored_answers(name, kept$fit)
    for (verb in names(kept$answers)) {
      # what was refused may have an answer since, or another refusal
      if (is_refusal(kept$answers[[verb]])) {
        expect_false(identical(found[[verb]], "simpleError"), info = paste(release, name, verb))
        next
      }
      expect_equal(told(found[[verb]]), told(kept$answers[[verb]]), tolerance = 1e-6, info = paste(release, name, verb))
    }
  }
})

test_that("a model is fitted today as it was for the release", {
  for (release in stored_releases()) for (name in c("dense", "lowrank", "mix", "gp_exact")) {
    kept <- readRDS(test_path("stored", release, paste0(name, ".rds")))
    now <- stored_answers(name, quietly_stored(stored_models[[name]](stored_world())))
    for (verb in c("coef", "logLik", "VarCorr")) {
      expect_equal(told(now[[verb]]), told(kept$answers[[verb]]), tolerance = 1e-5, info = paste(release, name, verb))
    }
  }
})

test_that("the directory of a chain is restored, and goes on", {
  for (release in stored_releases()) {
    directory <- tempfile()
    dir.create(directory)
    file.copy(list.files(test_path("stored", release, "chain"), full.names = TRUE), directory, recursive = TRUE)
    fit <- restore(directory)
    kept <- readRDS(test_path("stored", release, "slam.rds"))
    expect_equal(stored_answers("slam", fit)$h2, kept$answers$h2, tolerance = 1e-6)
    longer <- quietly_stored(extend(fit, 4, progress = FALSE))
    expect_true(all(is.finite(unlist(fitted(longer)))))
  }
})
