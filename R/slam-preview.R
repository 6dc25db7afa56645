# What sampling would take, from a few iterations.

slam_preview <- function(fit) {
  sampler <- new_sampler(fit, 1)
  threads <- control_threads(fit$control)
  some <- function(iterations) {
    took <- system.time(call_rust(ffi_slam_run, sampler, as.integer(iterations), 1e15, 1L, threads), gcFirst = FALSE)
    sum(took[c("user.self", "sys.self")])
  }
  some(2)
  count <- 1
  while ((seconds <- some(count)) < 0.3 && count < 1000) count <- 4 * count
  iteration <- seconds / count
  structure(
    list(
      draws = 8 * draw_size(fit) * kept_draws(fit$plan) * fit$plan$chains,
      setup = as.numeric(utils::object.size(fit$data) + utils::object.size(fit$basis)) + 8 * NROW(fit$numbers$shares) * as.numeric(nrow(fit$Y))^2,
      iteration = iteration,
      seconds = iteration * fit$plan$iter * fit$plan$chains / threads, plan = fit$plan, threads = threads
    ),
    class = "slam_preview"
  )
}

#' @rdname slamglmm_fit
#' @param x a preview.
#' @export
print.slam_preview <- function(x, ...) {
  check_arguments(...)
  cat(
    sprintf("%s of %.0f iterations on %s: about %s\n", counted(x$plan$chains, "chain"), x$plan$iter, counted(x$threads, "thread"), duration_text(x$seconds)),
    sprintf("an iteration of one chain: %s ms of processor time\n", format(signif(1000 * x$iteration, 3))),
    sprintf("memory: %s for draws, %s for data\n", gib(x$draws), gib(x$setup)), sep = ""
  )
  invisible(x)
}

duration_text <- function(seconds) {
  duration <- as.difftime(seconds, units = "secs")
  units(duration) <- if (seconds < 120) "secs" else if (seconds < 7200) "mins" else if (seconds < 172800) "hours" else "days"
  format(duration, digits = 2)
}
