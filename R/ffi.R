# The border to Rust: calls, and conditions that come back.

# Call an entry point; an error that it returns is raised in the user's call, with the numbers of its message as fields.
call_rust <- function(entry, ..., call = user_call()) {
  reply <- entry(...)
  if (inherits(reply, "extendr_error")) raise_rust(reply$value, call)
  reply
}

raise_rust <- function(failure, call) {
  if (identical(failure$class, "interrupted")) interrupt()
  message <- paste0(failure$message, rust_advice(failure$class))
  do.call(abort_fastlmm, c(list(failure$class, message, call = call), failure$data), quote = TRUE)
}

# What to do about an error that only shows in the numbers
rust_advice <- function(class) {
  switch(class,
    alike = "; leave one of them out",
    confounded = "; leave that effect out, or give a kernel that differs between ids",
    not_identifiable = "; give a K that relates the ids, or several rows for some of them, or use lm()",
    too_few_rows = "; leave terms out of the formula",
    not_positive = "; this shows only once the weights and repeats are in: raise fastlmm_control(tolerance =) if it is rounding, mend K if not",
    memory = "; fit fewer ids, or free memory",
    ""
  )
}

interrupt <- function() {
  signalCondition(structure(class = c("interrupt", "condition"), list(message = "interrupted", call = NULL)))
  invokeRestart("abort")
}

fastlmm_threads <- function(threads = getOption("fastlmm.threads")) {
  if (is.null(threads)) threads <- min(2, parallel::detectCores(), na.rm = TRUE)
  check_threads(threads)
}

check_threads <- function(threads, call = user_call()) {
  if (is_count(threads)) return(as.integer(threads))
  abort_fastlmm("threads", paste("threads must be a whole number of at least 1, not", deparse1(threads)), call = call)
}

is_count <- function(x) is.numeric(x) && length(x) == 1 && is.finite(x) && x >= 1 && x == round(x)
