# Long work in blocks: progress, interruption, directories of finished blocks, other processes.

# `job` is all that the results depend on, but for the candidates' values, `values(block)`: a directory belongs to one job, and a block in it to its values.
run_blocks <- function(blocks, work, how, job, values) {
  store <- if (!is.null(how$checkpoint)) scan_store(how$checkpoint, content_hash(list(job, blocks)))
  one <- function(i) if (is.null(store)) work(blocks[[i]]) else kept_block(store, i, content_hash(values(blocks[[i]])), function() work(blocks[[i]]))
  found <- if (has_plan()) in_plan(seq_along(blocks), one) else in_turn(seq_along(blocks), one, lengths(blocks), how$progress)
  do.call(rbind, found)
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
  if (!requireNamespace("future.apply", quietly = TRUE) || !"future" %in% loadedNamespaces()) return(FALSE)
  future::nbrOfWorkers() > 1
}

in_plan <- function(blocks, one) {
  future.apply::future_lapply(blocks, one, future.seed = NULL, future.packages = "fastlmm", future.globals = FALSE)
}

# A line with the part that is done and the time left, written at most every half second
new_meter <- function(total, progress, what) {
  if (!progress || total == 0) return(list(tick = function(n) invisible(), close = function() invisible()))
  start <- proc.time()[["elapsed"]]
  last <- start
  done <- 0
  tick <- function(n) {
    done <<- done + n
    now <- proc.time()[["elapsed"]]
    if (now - last < 0.5 && done < total) return(invisible())
    last <<- now
    left <- (now - start) * (total - done) / done
    cat(sprintf("\r%s of %s %s (%.0f %%), %s left   ", format(done, big.mark = ","), format(total, big.mark = ","), what, 100 * done / total, time_left(left)), file = stderr())
  }
  list(tick = tick, close = function() if (last > start) cat("\n", file = stderr()))
}

time_left <- function(seconds) {
  if (seconds < 90) return(sprintf("%.0f s", seconds))
  if (seconds < 5400) return(sprintf("%.0f min", seconds / 60))
  sprintf("%.1f h", seconds / 3600)
}
