# Engines under a limit of address space (ulimit -v): each run is a forked child, so that a dead one is seen.

skip_unless_limits <- function() {
  skip_on_cran()
  skip_on_os(c("windows", "mac", "solaris"))
  skip_if(Sys.which("prlimit") == "" || !file.exists("/proc/self/status"), "needs prlimit and /proc")
}

bytes_now <- function(what) {
  line <- grep(paste0("^", what, ":"), readLines("/proc/self/status"), value = TRUE)
  1024 * as.numeric(gsub("[^0-9]", "", line))
}

# `run()` in a child that may take `extra` bytes more than it has: list(value, error, peak), or NULL where the child died.
run_limited <- function(run, extra) {
  job <- parallel::mcparallel(silent = TRUE, {
    Sys.setenv(LANGUAGE = "en", RUST_BACKTRACE = "0")
    # R's BLAS takes memory once, and OpenBLAS waits for ever where there is none
    square <- matrix(1, 300, 300)
    invisible(list(square %*% square, square %*% square[, 1]))
    before <- bytes_now("VmSize")
    if (is.finite(extra)) system2("prlimit", c("--pid", Sys.getpid(), sprintf("--as=%.0f:", before + extra)))
    value <- tryCatch(suppressWarnings(suppressMessages(run())), error = function(e) e)
    list(value = if (!inherits(value, "error")) value, error = if (inherits(value, "error")) value, peak = bytes_now("VmPeak") - before)
  })
  found <- suppressWarnings(parallel::mccollect(job, wait = FALSE, timeout = 120))
  if (is.null(found)) {
    tools::pskill(job$pid, tools::SIGKILL)
    stop("a run did not end within two minutes")
  }
  suppressWarnings(parallel::mccollect(job))
  if (is.list(found[[1]])) found[[1]]
}

# The right result, a classed error, or R's own words that name the size: what else a run ended in.
end_of <- function(found, right) {
  if (is.null(found)) return("the process died")
  if (is.null(found$error)) return(if (isTRUE(all.equal(found$value, right, tolerance = 1e-8))) "right" else "a wrong result")
  if (inherits(found$error, c("fastlmm_error_memory", "fastlmm_error_threads"))) return("refused")
  message <- conditionMessage(found$error)
  if (grepl("cannot allocate|could not allocate|memory exhausted", message)) "refused" else paste("not classed:", message)
}

# Each engine on data of a size; a function that runs it and returns numbers.
limited_engines <- function(size) {
  set.seed(1503)
  n <- size
  ids <- paste0("i", seq_len(n))
  d <- data.frame(id = ids, jd = ids, u = runif(n), v = runif(n), x = rnorm(n))
  K <- exp(-3 * as.matrix(dist(d$u)))
  K2 <- exp(-3 * as.matrix(dist(d$v)))
  dimnames(K) <- dimnames(K2) <- list(ids, ids)
  d$y <- sin(5 * d$u) + d$v + rnorm(n)
  d$Y <- matrix(rnorm(n * 40), n)
  W <- matrix(rnorm(4 * n * n / 5), 4 * n, dimnames = list(paste0("i", seq_len(4 * n)), NULL))
  tall <- data.frame(id = rownames(W), y = rnorm(4 * n))
  wide <- W[seq_len(n), ] + 0
  G <- matrix(rbinom(3 * n * n, 2, 0.3) + 0, n, dimnames = list(ids, paste0("m", seq_len(3 * n))))
  field <- data.frame(u = runif(20 * n), v = runif(20 * n))
  field$y <- sin(5 * field$u) + field$v + rnorm(20 * n)
  stem <- tempfile()
  write_bed(stem, G)
  fit <- suppressMessages(fastlmm_fit(y ~ 1 + (1 | id), d, K))
  numbers <- function(fit) c(logLik(fit), unlist(fixef(fit)))
  list(
    dense = function() numbers(fastlmm_fit(y ~ x + (1 | id), d, K)),
    lowrank = function() numbers(fastlmm_fit(y ~ 1 + (1 | id), tall, kernel_lowrank(W))),
    svd = function() numbers(fastlmm_fit(y ~ x + (1 | id), d, kernel_lowrank(wide))),
    many = function() c(coef(fastlmm_fit(Y ~ x + (1 | id), d, K))),
    mix = function() numbers(fastlmm_fit(y ~ x + (1 | id) + (1 | jd), d, K = list(id = K, jd = K2))),
    scan = function() fastlmm_scan(fit, G, block_size = ncol(G))$estimate,
    bed = function() fastlmm_scan(fit, paste0(stem, ".bed"), block_size = ncol(G))$estimate,
    permute = function() unlist(fastlmm_permute(fit, G, n = 200, seed = 1)$p.value),
    predict = function() predict(fit, data.frame(id = rep(ids, 2)), se.fit = TRUE)$se.fit,
    exact = function() numbers(fastlmm_fit(y ~ gp(u, v, basis = "exact", lengthscale = 0.3), d)),
    fourier = function() numbers(fastlmm_fit(y ~ gp(u, v), field)),
    gp_many = function() c(coef(fastlmm_fit(Y ~ gp(u, v, lengthscale = 0.3), d))),
    joint = function() numbers(fastlmm_fit(y ~ gp(u, v, lengthscale = 0.3) + (1 | id), d, K)),
    slam = function() {
      fit <- quiet_slam(Y ~ 1 + (1 | id), d, K, n_factors = 5, chains = 1, iter = 60, warmup = 20, seed = 3, progress = FALSE)
      c(G(fit), P(fit))
    }
  )
}

# How runs under limits from nothing to a little more than all that a free run takes end.
ends_under_limits <- function(run, parts) {
  free <- run_limited(run, Inf)
  if (!is.null(free$error)) return(conditionMessage(free$error))
  vapply(parts, function(part) end_of(run_limited(run, part * free$peak), free$value), "")
}
