# Long work in blocks: progress, interruption, directories of finished blocks, other processes.

# `job` is all that the results depend on, but for the candidates' values: a directory belongs to one job.
run_blocks <- function(blocks, work, how, job) {
  store <- if (!is.null(how$checkpoint)) open_checkpoint(how$checkpoint, job, blocks)
  one <- function(i) {
    kept <- read_block(store, i)
    if (!is.null(kept)) return(kept)
    found <- work(blocks[[i]])
    write_block(store, i, found)
    found
  }
  found <- if (has_plan()) in_plan(seq_along(blocks), one) else in_turn(seq_along(blocks), one, lengths(blocks), how$progress)
  do.call(rbind, found)
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

# ---- directories ----------------------------------------------------------------------------------------

open_checkpoint <- function(directory, job, blocks) {
  dir.create(directory, showWarnings = FALSE, recursive = TRUE)
  if (!dir.exists(directory)) abort_fastlmm("checkpoint", paste0("cannot make the directory ", quoted(directory)))
  file <- file.path(directory, "job.rds")
  print <- fingerprint(list(job, blocks))
  if (!file.exists(file)) {
    write_whole(print, file)
  } else if (!identical(readRDS(file), print)) {
    abort_fastlmm("checkpoint", paste0("the directory ", quoted(directory), " belongs to another scan: another null model, other candidates, tests or blocks; give an empty one"))
  }
  directory
}

fingerprint <- function(x) {
  file <- tempfile()
  on.exit(unlink(file))
  saveRDS(x, file, compress = FALSE, version = 3)
  unname(tools::md5sum(file))
}

block_file <- function(store, i) file.path(store, sprintf("block-%06d.rds", i))

read_block <- function(store, i) {
  if (is.null(store) || !file.exists(block_file(store, i))) return(NULL)
  readRDS(block_file(store, i))
}

write_block <- function(store, i, found) if (!is.null(store)) write_whole(found, block_file(store, i))

# A file is there whole or not at all.
write_whole <- function(x, file) {
  part <- tempfile("part-", dirname(file))
  saveRDS(x, part)
  file.rename(part, file)
}
