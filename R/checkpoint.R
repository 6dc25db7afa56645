# Directories of finished work, one format for scans and chains: a file is what this job wrote, whole and unchanged, or it counts as absent and is made again.

# A file has, under a seal (`runtime/seal.rs`), a serialized list: what kind of work, the file's name, the job's fingerprint, a hash of what the value was made
# from, the value.

new_store <- function(directory, what, print) list(directory = checkpoint_directory(directory), what = what, print = print)

checkpoint_path <- function(directory) {
  if (is.character(directory) && length(directory) == 1 && !is.na(directory) && nzchar(directory)) {
    check_encoding(directory, "the directory")
    return(directory)
  }
  abort_checkpoint(paste("the directory must be one string, not", code_text(directory)))
}

checkpoint_directory <- function(directory) {
  checkpoint_path(directory)
  dir.create(directory, showWarnings = FALSE, recursive = TRUE)
  if (!dir.exists(directory)) abort_checkpoint(paste0("cannot make the directory ", quoted(directory)))
  check_format(directory)
  normalizePath(directory)
}

# Version 0.1 had files without a tag.
check_format <- function(directory) {
  if (length(list.files(directory, "^(job|model)[.]rds$")) == 0) return(invisible())
  abort_checkpoint(
    paste0(
      "the directory ", quoted(directory),
      " was written by an earlier version of fastlmm, whose format can no longer be read; give an empty directory, or empty it"
    )
  )
}

abort_checkpoint <- function(message) abort_fastlmm("checkpoint", message)

inform_made_again <- function(store, name, why) {
  inform_fastlmm("checkpoint", paste0(quoted(file.path(store$directory, name)), " ", why, ": it is computed again"), file = name)
}

# The first is told at once, the others by their number at the end.
told_once <- function(work, directory) {
  count <- 0
  value <- withCallingHandlers(work, fastlmm_message_checkpoint = function(message) {
    count <<- count + 1
    if (count > 1) invokeRestart("muffleMessage")
  })
  if (count > 1) inform_fastlmm("checkpoint", sprintf("%s of %s were computed again", counted(count, "file"), quoted(directory)), files = count)
  value
}

# ---- files --------------------------------------------------------------------------------------------------

# FALSE: `fresh` was asked for, and there is one already
write_kept <- function(store, name, value, made_from = "", fresh = FALSE) {
  body <- serialize(list(what = store$what, name = name, print = store$print, made_from = made_from, value = value), NULL, version = 3)
  tryCatch(
    call_rust(ffi_keep, enc2utf8(file.path(store$directory, name)), body, fresh),
    fastlmm_error_file = function(error) abort_checkpoint(paste0(conditionMessage(error), "; what was finished before is kept, and the same call continues"))
  )
}

# The list of a file; NULL where it is absent or not what was written. Nothing is unserialized before its hash is that of the file.
read_sealed <- function(path) {
  content <- call_rust(ffi_kept, enc2utf8(path))
  if (!is.null(content)) unserialize(content)
}

read_kept <- function(store, name, made_from = "") {
  path <- file.path(store$directory, name)
  if (!file.exists(path)) return(NULL)
  held <- read_sealed(path)
  why <- if (is.null(held)) {
    "is damaged"
  } else if (!identical(held[c("what", "name", "print")], list(what = store$what, name = name, print = store$print))) {
    "belongs to other work"
  } else if (!identical(held$made_from, made_from)) {
    "was made from other values"
  }
  if (is.null(why)) return(held$value)
  inform_made_again(store, name, why)
}

# ---- jobs ---------------------------------------------------------------------------------------------------

# The job of a directory, ours if there was none; of two that begin at once the second reads the first one's.
claim_job <- function(store, value) {
  path <- file.path(store$directory, "job")
  if (!file.exists(path)) write_kept(store, "job", value, fresh = TRUE)
  held <- read_sealed(path)
  if (!is.null(held)) return(held)
  inform_made_again(store, "job", "is damaged")
  write_kept(store, "job", value)
  read_sealed(path)
}

check_job <- function(store, held) {
  if (!is.null(held) && identical(held[c("what", "name", "print")], list(what = store$what, name = "job", print = store$print))) return(invisible())
  what <- if (store$what == "scan") {
    "scan: another null model, other candidates, tests, or another block_size; call it as before, or give an empty one"
  } else {
    paste0(
      "model: other data, priors, chains, keep, warmup, thin or seed; call it as before (more iterations are added by extend(restore(dir), iter)), or give ",
      "an empty one"
    )
  }
  abort_checkpoint(paste0("the directory ", quoted(store$directory), " belongs to another ", what))
}

# ---- fingerprints -------------------------------------------------------------------------------------------

# The same for the same values on every machine and in every session: environments are passed over, code is its text, what Matrix caches is left out.
content_hash <- function(x) {
  if (is.environment(x)) return("environment")
  if (is.function(x) || is.language(x)) x <- deparse(x)
  if (isS4(x)) x <- c(class = class(x), attributes(x)[setdiff(methods::slotNames(x), "factors")])
  if (is.list(x)) return(hash_of(c("list", class(x), names(x), vapply(unclass(x), content_hash, ""))))
  about <- attributes(x)
  values <- if (is.double(x)) call_rust(ffi_hash, x) else hash_of(as.vector(x))
  if (is.null(about)) values else hash_of(c(values, content_hash(about)))
}

# Version 2 writes sequences out; its first 14 bytes name the version of R.
hash_of <- function(x) call_rust(ffi_hash, serialize(if (is.character(x)) enc2utf8(x) else x, NULL, version = 2)[-(1:14)])

# What a model is estimated from
model_inputs <- function(model) {
  random <- lapply(model$random, function(one) one[c("index", "group", "z", "kernel")])
  list(model[c("y", "offset", "weights", "X", "method")], random, control_tolerance(model$control))
}
