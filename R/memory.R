# Memory is asked for before it is used: what does not fit is refused with its size.

# `message` is a function of the sizes in words: what is needed, what is available. Where the system tells no size only what no machine has is refused.
check_memory <- function(needed, message, available = available_memory()) {
  # so little is anywhere, and asking the system takes as long as a part of a small fit
  if (needed <= 2^20 || needed <= if (is.na(available)) 2^52 else available) return(invisible())
  abort_fastlmm("memory", message(gib(needed), if (is.na(available)) "fewer" else gib(available)), needed = needed, available = available)
}

# A matrix of numbers, by R's own names for what is in it
check_matrix_memory <- function(rows, columns, what) {
  check_memory(8 * as.numeric(rows) * as.numeric(columns), function(needed, available) sprintf("%s would take %s, and there are %s", what, needed, available))
}

# Bytes that Linux says are free
available_memory <- function() {
  if (!file.exists("/proc/meminfo")) return(NA_real_)
  line <- grep("^MemAvailable:", readLines("/proc/meminfo"), value = TRUE)
  if (length(line) == 1) 1024 * as.numeric(gsub("[^0-9]", "", line)) else NA_real_
}
