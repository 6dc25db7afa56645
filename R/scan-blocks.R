# Long work in blocks: directories of finished blocks, other processes.

# `job` is all that the results depend on, but for the candidates' values, `values(block)`: a directory belongs to one job, and a block in it to its values.
run_blocks <- function(blocks, work, how, job, values) {
  store <- if (!is.null(how$checkpoint)) scan_store(how$checkpoint, content_hash(list(job, blocks)))
  one <- function(i) if (is.null(store)) work(blocks[[i]]) else kept_block(store, i, content_hash(values(blocks[[i]])), function() work(blocks[[i]]))
  all <- function() if (has_plan()) in_plan(seq_along(blocks), one, lengths(blocks), "tests") else in_turn(
    seq_along(blocks), one, lengths(blocks), how$progress
  )
  do.call(rbind, if (is.null(store)) all() else told_once(all(), store$directory))
}

# A block is read once, for its hash and for its tests.
read_once <- function(read) {
  force(read)
  last <- value <- NULL
  function(j) {
    if (!identical(j, last)) {
      value <<- read(j)
      last <<- j
    }
    value
  }
}

scan_store <- function(directory, print) {
  store <- new_store(directory, "scan", print)
  check_job(store, claim_job(store, NULL))
  store
}

kept_block <- function(store, i, made_from, work) {
  name <- sprintf("block-%06d", i)
  kept <- read_kept(store, name, made_from)
  if (!is.null(kept)) return(kept)
  found <- work()
  write_kept(store, name, found, made_from)
  found
}

# ---- one after the other, or in other processes ----------------------------------------------------------

in_turn <- function(blocks, one, sizes, progress) {
  meter <- new_meter(sum(sizes), progress, "tests")
  on.exit(meter$close())
  lapply(blocks, function(i) {
    found <- one(i)
    meter$tick(sizes[i])
    found
  })
}

# Is there a plan of the future package with other processes?
has_plan <- function() {
  # nobody has set one as long as it is not loaded, which takes memory
  if (!"future" %in% loadedNamespaces() || !requireNamespace("future.apply", quietly = TRUE)) return(FALSE)
  future::nbrOfWorkers() > 1
}

# `sizes`: how much of the work each block is; its process tells when it is done.
in_plan <- function(blocks, one, sizes, what) {
  signal <- new_signal(sum(sizes), what)
  told <- function(i) {
    found <- one(i)
    signal(sizes[match(i, blocks)])
    found
  }
  future.apply::future_lapply(blocks, told, future.seed = NULL, future.packages = "fastlmm", future.globals = FALSE)
}
