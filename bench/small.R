# Small problems, where R's own part of a fit is most of it: 100 rows, a dense kernel, p = 3, two threads; milliseconds. Loading the package in fresh processes.
#
#   Rscript bench/small.R [repeats]

suppressPackageStartupMessages(library(fastlmm))
source(file.path(dirname(sub("--file=", "", grep("--file=", commandArgs(), value = TRUE))), "common.R"))
repeats <- if (length(commandArgs(TRUE)) > 0) as.numeric(commandArgs(TRUE)[1]) else 5
options(fastlmm.threads = 2)

set.seed(1)
ids <- paste0("i", 1:100)
markers <- matrix(rnorm(100 * 200), 100, dimnames = list(ids, NULL))
K <- tcrossprod(markers) / 200
data <- data.frame(id = ids, x1 = rnorm(100), x2 = rnorm(100))
data$y <- data$x1 + drop(markers %*% rnorm(200, sd = 0.07)) + rnorm(100)
fit <- fastlmm_fit(y ~ x1 + x2 + (1 | id), data, K)
responses <- simulate(fit, 1000, seed = 1)

# of each run, divided by what it does so many times
milliseconds <- function(run, times) {
  run()
  seconds <- vapply(seq_len(repeats), function(i) system.time(run())[c(1, 2, 3)], numeric(3))
  1000 / times * c(elapsed = stats::median(seconds[3, ]), cpu = stats::median(seconds[1, ] + seconds[2, ]))
}

tell <- function(what, time) cat(sprintf("%-36s %7.2f ms (%.2f of a processor)\n", what, time[["elapsed"]], time[["cpu"]]))

tell("fastlmm_fit()", milliseconds(function() for (i in 1:100) fastlmm_fit(y ~ x1 + x2 + (1 | id), data, K), 100))
tell("update(method = \"ML\")", milliseconds(function() for (i in 1:100) update(fit, method = "ML"), 100))
tell("refit(), a loop of 1000 responses", milliseconds(function() suppressMessages(for (y in responses) refit(fit, y)), 1000))
tell("lm()", milliseconds(function() for (i in 1:100) stats::lm(y ~ x1 + x2, data), 100))

loading <- vapply(seq_len(repeats), function(i) {
  code <- "cat(system.time(suppressPackageStartupMessages(library(fastlmm)))[[\"elapsed\"]])"
  as.numeric(system2(file.path(R.home("bin"), "Rscript"), c("-e", shQuote(code)), stdout = TRUE))
}, 0)
cat(sprintf("%-36s %7.0f ms\n", "library(fastlmm)", 1000 * stats::median(loading)))
