# What the benchmarks share: paired timings, medians and ratios, peak memory.

# Times of the functions in turn, A B A B ..., after one uncounted round; seconds.
paired <- function(runs, repeats) {
  for (run in runs) run()
  one <- function(i) vapply(runs, function(run) system.time(run())[["elapsed"]], 0)
  as.data.frame(t(vapply(seq_len(repeats), one, numeric(length(runs)))))
}

# Median seconds of each, and the median of the ratios to `base`, pair by pair.
print_times <- function(time, base) {
  for (name in names(time)) {
    ratio <- time[[name]] / time[[base]]
    cat(sprintf(
      "%-24s %8.3f s (%.3f .. %.3f)   ratio to %s: %.2f (%.2f .. %.2f)\n", name,
      stats::median(time[[name]]), min(time[[name]]), max(time[[name]]), base, stats::median(ratio), min(ratio), max(ratio)
    ))
  }
}

# Highest resident memory of this process so far, bytes (Linux).
peak_memory <- function() {
  status <- readLines("/proc/self/status")
  as.numeric(gsub("\\D", "", grep("VmHWM", status, value = TRUE))) * 1024
}

# Bytes that `expression` takes at its peak beyond a fresh process that holds `values` and has loaded the package.
memory_beyond <- function(values, expression, package = "fastlmm") {
  file <- tempfile(fileext = ".rds")
  script <- tempfile(fileext = ".R")
  on.exit(unlink(c(file, script)))
  saveRDS(values, file, compress = FALSE)
  lines <- c(
    sprintf("suppressPackageStartupMessages(library(%s))", package), "options(fastlmm.threads = 2)", "peak_memory <-", deparse(peak_memory),
    sprintf("list2env(readRDS(\"%s\"), globalenv())", file), "invisible(gc())", "before <- peak_memory()",
    paste0("invisible(", deparse1(expression), ")"), "cat(peak_memory() - before)"
  )
  writeLines(lines, script)
  as.numeric(utils::tail(system2(file.path(R.home("bin"), "Rscript"), script, stdout = TRUE, stderr = FALSE), 1))
}
