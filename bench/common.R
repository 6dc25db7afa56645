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
