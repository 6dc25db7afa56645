# Meters of long work: a bar of cli, or the signals of progressr where that package is loaded; these come from other processes, too.

# `tick(n)` when n more of `total` are done. cli shows a bar only of work of more than two seconds.
new_meter <- function(total, progress, what) {
  if (total == 0) return(list(tick = function(n) invisible(), close = function() invisible()))
  if (has_signals()) return(list(tick = new_signal(total, what), close = function() invisible()))
  if (!progress) return(list(tick = function(n) invisible(), close = function() invisible()))
  here <- environment()
  bar <- cli::cli_progress_bar(what, total = total, format = meter_format, .auto_close = FALSE, .envir = here)
  list(
    tick = function(n) cli::cli_progress_update(inc = n, id = bar, .envir = here),
    close = function() cli::cli_progress_done(id = bar, .envir = here)
  )
}

meter_format <- "{cli::pb_bar} {cli::pb_current} of {cli::pb_total} {cli::pb_name}({cli::pb_percent}), {cli::pb_eta} left"

has_signals <- function() "progressr" %in% loadedNamespaces()

# A function of the amount that is done. Who listens, and how it looks, is the user's: progressr::handlers().
new_signal <- function(total, what) {
  if (total == 0 || !has_signals()) return(function(n) invisible())
  signal <- progressr::progressor(steps = total, label = what, on_exit = FALSE)
  function(n) if (n > 0) signal(amount = n)
}
