# The chains of a sparse-factor model: bursts of iterations between which R may interrupt, progress, directories, other processes.

# All iterations of the plan that are not done.
slam_run <- function(fit, progress) {
  left <- fit$plan$iter - fit$done
  if (left <= 0) return(fit)
  before <- fit$failed
  fit <- if (has_plan() && fit$plan$chains > 1) run_apart(fit, left) else run_here(fit, left, progress)
  warn_failed_draws(fit, before)
  fit$convergence <- if (count_draws(fit) > 0) slam_convergence(fit)
  tell_convergence(fit)
  fit
}

# Draws that the sampler could not make, a row a chain, from the beginning of the chain on. They kept the value before: many of them bias what is drawn.
failed_draws <- function(counts) {
  matrix(unlist(counts), ncol = 4, byrow = TRUE, dimnames = list(NULL, c("responses", "coefficients of factors", "factors", "moves")))
}

warn_failed_draws <- function(fit, before = NULL) {
  new <- fit$failed - if (is.null(before)) 0 else before
  if (sum(new) == 0) return(invisible())
  where <- colSums(new)
  where <- where[where > 0]
  chains <- which(rowSums(new) > 0)
  warn_fastlmm("failed_draws", sprintf(
    "%s failed and kept the previous value (%s; %s %s): a precision matrix was not positive definite. Scale responses and covariates, or use a tighter prior",
    counted(sum(new), "draw"), paste0(names(where), " ", where, collapse = ", "), if (length(chains) > 1) "chains" else "chain", toString(chains)
  ), count = sum(new), failed = new)
}

# Seconds of a burst: an interrupt is heard between bursts
burst_seconds <- 0.15

# Iterations in a row that a directory gets together
slam_chunk <- 100

run_here <- function(fit, left, progress) {
  sampler <- new_sampler(fit, seq_len(fit$plan$chains))
  meter <- new_meter(left, progress, "iterations")
  on.exit(meter$close())
  pieces <- list(fit$draws)
  unsaved <- list()
  saved <- fit$done
  size <- 1
  stopped <- FALSE
  suspendInterrupts(while (left > 0 && !stopped) {
    burst <- min(size, left, if (is.null(fit$dir)) Inf else slam_chunk - fit$done %% slam_chunk)
    seconds <- system.time(found <- burst_of(fit, sampler, burst), gcFirst = FALSE)[["elapsed"]]
    left <- left - burst
    fit$done <- fit$done + burst
    unsaved <- c(unsaved, list(found))
    stopped <- is_interrupted()
    if (!is.null(fit$dir) && (fit$done %% slam_chunk == 0 || left == 0 || stopped)) {
      save_chunk(fit, join_draws(unsaved), ffi_slam_states(sampler), saved)
      saved <- fit$done
      pieces <- c(pieces, unsaved)
      unsaved <- list()
    }
    meter$tick(burst)
    size <- max(1, floor(min(2 * size, size * burst_seconds / max(seconds, 1e-3))))
  })
  fit$states <- ffi_slam_states(sampler)
  fit$failed <- failed_draws(ffi_slam_failed(sampler))
  fit$draws <- join_draws(c(pieces, unsaved))
  if (stopped && left > 0) inform_interrupted(fit)
  fit
}

burst_of <- function(fit, sampler, iterations) {
  found <- call_rust(ffi_slam_run, sampler, as.integer(iterations), fit$plan$warmup, as.integer(fit$plan$thin), control_threads(fit$control))
  lapply(found, shape_draws, slam_dims(fit), fit$plan$storage)
}

# Interrupts wait until they are asked for, so that none comes between the sampler and its draws.
is_interrupted <- function() {
  tryCatch(
    {
      allowInterrupts(Sys.sleep(0))
      FALSE
    },
    interrupt = function(condition) TRUE
  )
}

# A chain in each process of the plan: the same draws. With a directory in rounds, so that not all is lost at once.
run_apart <- function(fit, left) {
  while (left > 0) {
    round <- if (is.null(fit$dir)) left else min(left, 10 * slam_chunk)
    found <- in_plan(seq_len(fit$plan$chains), chain_work(fit, round), rep(round, fit$plan$chains), "iterations")
    new <- lapply(found, `[[`, "draws")
    fit$states <- lapply(found, `[[`, "state")
    fit$failed <- failed_draws(lapply(found, `[[`, "failed"))
    fit$done <- fit$done + round
    left <- left - round
    if (!is.null(fit$dir)) save_chunk(fit, new, fit$states, fit$done - round)
    fit$draws <- join_draws(list(fit$draws, new))
  }
  fit
}

# What a process does, with no more of the fit than it takes
chain_work <- function(fit, iterations) {
  bare <- fit[c(
    "data", "basis", "numbers", "n_factors", "seed", "states", "plan", "control", if (has_links(fit)) "links", if (is_several(fit)) c("random", "Y")
  )]
  dims <- slam_dims(fit)
  rm(fit)
  function(chain) {
    if (!is.null(bare$random)) bare$held <- new.env()
    sampler <- new_sampler(bare, chain)
    found <- call_rust(ffi_slam_run, sampler, as.integer(iterations), bare$plan$warmup, as.integer(bare$plan$thin), control_threads(bare$control))
    list(draws = shape_draws(found[[1]], dims, bare$plan$storage), state = ffi_slam_states(sampler)[[1]], failed = ffi_slam_failed(sampler)[[1]])
  }
}

new_sampler <- function(fit, chains) {
  # earlier versions had one prior of all responses' variances
  fit$numbers$residual <- rep(fit$numbers$residual, length.out = 2 * ncol(fit$data$y))
  rays <- if (is_several(fit)) slam_rays(fit)
  data <- c(fit$data, list(basis = fit$basis, keep = kept(fit), rays = rays))
  call_rust(ffi_slam_new, data, with_trait_numbers(fit$numbers), as.integer(fit$n_factors), fit$seed, as.integer(chains - 1), fit$states[chains])
}

inform_interrupted <- function(fit) {
  inform_fastlmm(
    "interrupted", sprintf("interrupted after %d of %d iterations; extend(fit, iter = 0) continues", as.integer(fit$done), as.integer(fit$plan$iter))
  )
}

# ---- draws --------------------------------------------------------------------------------------------------

slam_dims <- function(fit) {
  p <- ncol(fit$Y)
  k <- fit$n_factors
  q <- count_trait_covariates(fit)
  dims <- list(
    theta = c(ncol(fit$X) + k, p), sigma2 = p, h = p, factors = c(if ("factors" %in% kept(fit)) nrow(fit$Y) else 0, k), factors_h = k,
    factors_b = c(ncol(fit$covariates$XF), k), precision = k,
    shared = ncol(fit$covariates$XF), cells = if ("cells" %in% kept(fit)) drawn_cells(fit) else 0
  )
  c(
    dims, if (count_cis(fit) > 0) list(cis = count_cis(fit)), if (has_links(fit)) list(link = length(link_parameters(fit))),
    if (is_several(fit)) list(point = p, factors_point = k), if (q > 0) list(effects = c(q, k))
  )
}

# Of one chain: arrays whose last dimension is the draw. What goes into files in single precision is rounded before it is used, so that what is read is what was
# there.
shape_draws <- function(found, dims, storage = NULL) {
  round <- if (identical(storage, "single")) function(x) from_single(to_single(x)) else identity
  Map(function(x, dim) round(array(x, c(dim, found$count))), found[names(dims)], dims)
}

to_single <- function(x) list(dim = dim(x), bytes = writeBin(as.vector(x), raw(), size = 4))

from_single <- function(x) array(readBin(x$bytes, "numeric", prod(x$dim), size = 4), x$dim)

# The draws of all chains, as a file has them
pack_draws <- function(fit, draws) if (identical(fit$plan$storage, "single")) lapply(draws, lapply, to_single) else draws

unpack_draws <- function(fit, draws) if (identical(fit$plan$storage, "single")) lapply(draws, lapply, from_single) else draws

# A list of chains from a list of lists of chains, one piece after the other
join_draws <- function(pieces) {
  pieces <- Filter(Negate(is.null), pieces)
  if (length(pieces) <= 1) return(if (length(pieces) == 1) pieces[[1]])
  lapply(seq_along(pieces[[1]]), function(chain) {
    of_chain <- lapply(pieces, `[[`, chain)
    sapply(names(of_chain[[1]]), function(name) bind_last(lapply(of_chain, `[[`, name)), simplify = FALSE)
  })
}

bind_last <- function(arrays) {
  dim <- dim(arrays[[1]])
  last <- length(dim)
  count <- sum(vapply(arrays, function(a) dim(a)[last], 0L))
  array(unlist(arrays, use.names = FALSE), c(dim[-last], count))
}

# ---- directories ----------------------------------------------------------------------------------------------

# A directory belongs to a model, its data, priors and seed; what it has of the chains is taken over, and the basis that they are in: another machine would find
# another one.
open_slam <- function(fit, dir) {
  fit$dir <- checkpoint_directory(dir)
  fit$print <- slam_print(fit)
  held <- claim_job(slam_store(fit), fit)
  if (fit$own_seed && identical(held$what, "slam")) {
    fit$seed <- held$value$seed
    fit$print <- slam_print(fit)
  }
  check_job(slam_store(fit), held)
  fit[c("data", "basis", "numbers", "scale")] <- held$value[c("data", "basis", "numbers", "scale")]
  load_chunks(fit)
}

slam_store <- function(fit) {
  if (is.null(fit$print)) abort_checkpoint("the fit is from an earlier version of fastlmm, whose directories can no longer be read")
  list(directory = fit$dir, what = "slam", print = fit$print)
}

# Of what was given, not of what was computed from it
slam_print <- function(fit) {
  parts <- c("index", "group", "z", "kernel")
  random <- if (is_several(fit)) lapply(fit$random, `[`, parts) else fit$random[[1]][parts]
  integrated <- length(fit$data$sets) > 0
  if (has_links(fit)) fit$links <- lapply(fit$links, without_basis)
  if (count_cis(fit) > 0) fit$cis_print <- fit$cis[c("X", "response", "term")]
  content_hash(
    list(
      fit[c("Y", "X", "covariates", "missing", "numbers", "n_factors", "seed", if (has_links(fit)) "links", if (count_cis(fit) > 0) "cis_print")], random,
      fit$data$known, integrated, fit$plan[c("chains", "warmup", "thin", "keep", "storage")]
    )
  )
}

# A function of the user's is another one in each session; what it made is there.
without_basis <- function(own) if (is.null(own$basis)) own else replace(own, "basis", NULL)

chunk_name <- function(from, done) sprintf("chunk-%09d-%09d", as.integer(from), as.integer(done))

save_chunk <- function(fit, draws, states, from) {
  write_kept(slam_store(fit), chunk_name(from, fit$done), list(draws = pack_draws(fit, draws), states = states), content_hash(fit$data))
}

# The chunks that lead from the beginning to the farthest point, each draw once: extensions of one fit leave overlapping ones.
load_chunks <- function(fit) {
  names <- list.files(fit$dir, "^chunk-[0-9]{9}-[0-9]{9}$")
  ends <- data.frame(name = names, from = as.numeric(substr(names, 7, 15)), done = as.numeric(substr(names, 17, 25)))
  basis <- content_hash(fit$data)
  at <- list(list(done = 0, chunks = list()))
  for (i in order(ends$from, ends$done)) {
    before <- Find(function(one) one$done == ends$from[i], at)
    chunk <- if (!is.null(before)) read_kept(slam_store(fit), ends$name[i], basis)
    if (!is.null(chunk)) at <- c(at, list(list(done = ends$done[i], chunks = c(before$chunks, list(chunk)))))
  }
  with_chunks(fit, at[[which.max(vapply(at, `[[`, 0, "done"))]])
}

with_chunks <- function(fit, found) {
  if (found$done == 0) return(fit)
  fit$done <- found$done
  fit$plan$iter <- max(fit$plan$iter, found$done)
  fit$states <- found$chunks[[length(found$chunks)]]$states
  fit$draws <- join_draws(lapply(found$chunks, function(chunk) unpack_draws(fit, chunk$draws)))
  fit$convergence <- if (count_draws(fit) > 0) slam_convergence(fit)
  fit
}

#' Continue sampling
#'
#' `extend()` adds iterations to the chains of a fit; `restore()` reads a fit from a directory. The draws are those that one long run with the
#' same `warmup` would have given, bit for bit (note that the default of `warmup` is half of `iter`, and so is larger for a longer call).
#' @param object a fit by [slamglmm_fit()].
#' @param iter number of iterations to add to each chain; 0 finishes an interrupted run.
#' @param progress show a progress bar with the time left? See [fastlmm_scan()].
#' @param warmup another number of iterations to discard at the beginning of each chain. A larger one discards more draws (whole ones), if the
#'   chains took longer to converge than expected; a smaller one is possible only while the chains are still in their warmup, whose draws are
#'   not kept. Not available for a run in `dir`.
#' @param dir the directory that was given to [slamglmm_fit()].
#' @param ... not used; an unknown argument is an error.
#' @return A fit of class `slamglmm`.
#' @examples
#' set.seed(1)
#' data <- data.frame(id = paste0("i", rep(1:15, 2)))
#' data$Y <- matrix(rnorm(90), 30)
#' fit <- slamglmm_fit(Y ~ 1 + (1 | id), data, n_factors = 1, chains = 1, iter = 100, seed = 1)
#' fit <- extend(fit, 100)
#' fit$done
#' @export
extend <- function(object, iter, progress = interactive(), warmup = NULL, ...) {
  check_arguments(...)
  check_slam(object, "extend", "update(fit)")
  if (!is.numeric(iter) || length(iter) != 1 || !is.finite(iter) || iter < 0 || iter != round(iter)) abort_fastlmm(
    "plan", "iter must be a whole number that is not negative"
  )
  object$plan$iter <- object$plan$iter + iter
  if (!is.null(warmup)) object <- with_warmup(object, warmup)
  check_draws_memory(object)
  slam_run(object, isTRUE(progress))
}

# Draws that a longer warmup takes in are dropped; a shorter one must not ask for iterations that were not kept.
with_warmup <- function(fit, warmup) {
  plan <- fit$plan
  if (!is.null(fit$dir)) abort_fastlmm("plan", "the warmup of a run in a directory cannot be changed; extend a fit without dir, or use another directory")
  if (!identical(warmup, 0) && !is_count(warmup)) abort_fastlmm("plan", paste("warmup must be a whole number of at least 0, not", code_text(warmup)))
  if (warmup < min(plan$warmup, fit$done)) abort_fastlmm(
    "plan", sprintf("the first %.0f iterations of each chain were not kept: warmup must be at least that", min(plan$warmup, fit$done))
  )
  if (warmup > plan$warmup && fit$done > plan$warmup) warmup <- plan$warmup + plan$thin * ceiling((warmup - plan$warmup) / plan$thin)
  if (plan$iter - warmup < plan$thin) abort_fastlmm("plan", sprintf("no draw is left: %.0f iterations, %.0f of them warmup", plan$iter, warmup))
  dropped <- min(count_draws(fit) / plan$chains, (warmup - plan$warmup) / plan$thin)
  if (!is.null(fit$draws) && dropped > 0) fit$draws <- lapply(fit$draws, lapply, drop_first, dropped)
  fit$plan$warmup <- as.numeric(warmup)
  fit$convergence <- if (count_draws(fit) > 0) slam_convergence(fit)
  fit
}

# An array without the first of its last dimension
drop_first <- function(x, count) {
  dim <- dim(x)
  last <- length(dim)
  size <- prod(dim[-last])
  array(as.vector(x)[-seq_len(size * count)], c(dim[-last], dim[last] - count))
}

#' @rdname extend
#' @export
restore <- function(dir) {
  check_arguments()
  file <- if (is.character(dir) && length(dir) == 1) file.path(dir, "job")
  if (!is.null(file)) check_format(dir)
  if (is.null(file) || !file.exists(file)) abort_checkpoint(paste0("there is no run of slamglmm_fit() in ", code_text(dir)))
  held <- read_sealed(file)
  if (is.null(held)) abort_checkpoint(paste0(quoted(file), " is damaged; call slamglmm_fit() as before: it keeps what is intact"))
  if (!identical(held$what, "slam")) abort_checkpoint(paste0("there is no run of slamglmm_fit() in ", code_text(dir), ", but a scan"))
  fit <- held$value
  fit[c("dir", "print")] <- list(normalizePath(dir), held$print)
  load_chunks(fit)
}
