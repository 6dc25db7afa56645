# The border to Rust: calls, and conditions that come back.

# Call an entry point; an error that it returns is raised in the user's call, with the numbers of its message as fields.
call_rust <- function(entry, ..., call = user_call()) {
  reply <- tryCatch(entry(...), error = identity)
  raised <- ffi_raised()
  if (!is.null(raised)) raise_again(raised, call)
  if (inherits(reply, "extendr_error")) raise_rust(reply$value, call)
  if (inherits(reply, "error")) raise_refused(reply, call)
  reply
}

raise_rust <- function(failure, call) {
  failure <- rust_failure(failure)
  message <- paste0(failure$message, rust_advice(failure$class, failure$data))
  do.call(abort_fastlmm, c(list(failure$class, message, call = call), failure$data), quote = TRUE)
}

# In R's words: one class for one fault, wherever it shows, and numbers that can be read
rust_failure <- function(failure) {
  if (failure$class == "not_positive") failure$class <- "kernel_not_positive"
  scale <- failure$data$scale
  if (failure$class == "not_identifiable" && !is.null(scale)) {
    failure$message <- sub(" [0-9.]+ times", paste0(" ", format(scale, digits = 5), " times"), failure$message)
  }
  failure
}

# A matrix for which there was no memory though less than it was claimed; a part of a fit that is not of the type that it was made with; all other errors are
# R's
raise_refused <- function(condition, call) {
  message <- conditionMessage(condition)
  if (grepl("^(Expected|Must not be|Must be|The matrix|The vector)", message)) {
    abort_fastlmm(
      "damaged", paste0("the fit, or another object, has been changed since it was created (", sub("\\.$", "", message), "): create it again"), call = call
    )
  }
  if (!grepl("AllocError", message, fixed = TRUE)) stop(condition)
  needed <- as.numeric(sub(".*size: ([0-9]+).*", "\\1", message)) / 2^30
  abort_fastlmm("memory", paste0("a matrix of ", gib(needed * 2^30), " found no memory", rust_advice("memory")), call = call, needed = needed)
}

# What to do about an error that only shows in the numbers
rust_advice <- function(class, data = list()) {
  switch(class,
    alike = "; leave one of them out",
    confounded = "; leave that effect out, or give a kernel that differs between ids",
    not_identifiable = "; give a K that relates the ids, or several rows for some of them, or use lm()",
    too_few_rows = "; leave terms out of the formula",
    kernel_not_positive = not_positive_advice(data$min, data$max),
    memory = "; fit fewer ids, use fewer threads, or free memory",
    ""
  )
}

not_positive_advice <- function(min, max) {
  if (-min <= 1e-10 * max) return("; this is rounding: leave fastlmm_control(tolerance =) out, or let it be 1e-10 at least")
  "; this shows only between the ids with data, with their weights and repeats: raise fastlmm_control(tolerance =) if it is rounding, mend K if not"
}

# Between steps of R that take long for large kernels: R itself looks for a stop only every thousand steps.
hear_stop <- function() Sys.sleep(0)

# What R raised while Rust was at work: an interrupt, or the error of a time limit
raise_again <- function(raised, call) {
  if (inherits(raised, "error")) {
    raised$call <- call
    stop(raised)
  }
  signalCondition(structure(class = c("interrupt", "condition"), list(message = "interrupted", call = NULL)))
  invokeRestart("abort")
}

# A session has read the number of its cores once.
machine <- new.env(parent = emptyenv())

cores <- function() {
  if (is.null(machine$cores)) machine$cores <- max(1L, parallel::detectCores(), na.rm = TRUE)
  machine$cores
}

fastlmm_threads <- function(threads = getOption("fastlmm.threads")) {
  if (is.null(threads)) return(min(2L, cores()))
  check_threads(threads, once = TRUE)
}

# No machine runs more than these.
most_threads <- 65535L

# More threads than cores only cost: they are the cores, said once a session where an option asks for them.
check_threads <- function(threads, call = user_call(), once = FALSE) {
  if (!is_count(threads)) abort_threads(paste("must be a whole number of at least 1, not", code_text(threads)), call)
  if (threads > most_threads) abort_threads(sprintf("must be the cores to use, at most %d, not %.0f", most_threads, threads), call)
  if (threads > cores() && !(once && identical(machine$told, threads))) inform_threads(threads)
  if (once) machine$told <- threads
  min(as.integer(threads), cores())
}

abort_threads <- function(message, call) abort_fastlmm("threads", paste("threads", message), call = call)

inform_threads <- function(threads) {
  inform_fastlmm("threads", sprintf("threads = %.0f, but this machine has %s: this number is used", threads, counted(cores(), "core")), threads = threads)
}

is_count <- function(x) is.numeric(x) && length(x) == 1 && is.finite(x) && x >= 1 && x == round(x)
