# Side by side: this package and others on the same input in one run, seconds and estimates.
#
#   Rscript bench/peers.R [n] [repeats] [parts]
#
# n: ids of the dense kernel (1000); parts: dense, groups, points, transforms, with commas (the first three). lme4, nlme, glmmTMB and mgcv are R's; GEMMA is
# Debian's package gemma; FaST-LMM, glimix-core, GPBoost and FINUFFT are those of the Python that PEERS_PYTHON names (pip install fastlmm six glimix-core
# gpboost finufft), PEERS_NUFFT is the program that peers.py tells how to build. What is missing is told and left out. Two threads.

suppressPackageStartupMessages(library(fastlmm))
folder <- dirname(sub("--file=", "", grep("--file=", commandArgs(), value = TRUE)))
source(file.path(folder, "common.R"))
arguments <- commandArgs(TRUE)
given <- function(i, default) if (length(arguments) >= i) arguments[i] else default
n <- as.numeric(given(1, 1000))
repeats <- as.numeric(given(2, 5))
parts <- strsplit(given(3, "dense,groups,points"), ",")[[1]]
threads <- 2
options(fastlmm.threads = threads)

# ---- the table ------------------------------------------------------------------------------------------------------

skipped <- function(name, why) cat(sprintf("%-14s skipped: %s\n", name, why))

# Peers that are R packages and are there
available <- function(peers) {
  there <- vapply(names(peers), function(name) name %in% c("fastlmm", "eigen") || requireNamespace(name, quietly = TRUE), NA)
  for (name in names(peers)[!there]) skipped(name, "the R package is not installed")
  peers[there]
}

# A row a program: seconds, their ratio to ours, the estimates, and the largest relative difference from ours
print_rows <- function(seconds, estimates, base = "fastlmm") {
  names <- unique(unlist(lapply(estimates, names)))
  cat(sprintf("%-14s %9s %7s  %s  %s\n", "", "seconds", "ratio", paste(formatC(names, width = 11), collapse = " "), "difference"))
  for (program in names(seconds)) {
    own <- estimates[[program]]
    shown <- ifelse(names %in% names(own), formatC(own[names], digits = 6, width = 11, format = "g"), formatC("", width = 11))
    common <- intersect(names(own), names(estimates[[base]]))
    off <- max(abs(own[common] / estimates[[base]][common] - 1))
    cat(sprintf("%-14s %9.3f %7.2f  %s  %8.1e\n", program, seconds[[program]], seconds[[program]] / seconds[[base]], paste(shown, collapse = " "), off))
  }
}

# Functions that fit and functions that read the estimates, in turn; then programs that were run apart (list(seconds, estimates) each)
side_by_side <- function(title, peers, apart = list(), base = "fastlmm") {
  cat("\n", title, "\n", sep = "")
  force(apart)
  peers <- available(peers)
  seconds <- lapply(paired(lapply(peers, `[[`, "fit"), repeats), stats::median)
  estimates <- lapply(peers, function(peer) peer$read(peer$fit()))
  print_rows(c(seconds, lapply(apart, `[[`, "seconds")), c(estimates, lapply(apart, `[[`, "estimates")), base)
}

# ---- programs of their own ------------------------------------------------------------------------------------------

write_doubles <- function(values) {
  place <- tempfile("peers")
  dir.create(place)
  for (name in names(values)) {
    x <- as.matrix(values[[name]])
    writeBin(as.numeric(x), file.path(place, sprintf("%s.%d.%d", name, nrow(x), ncol(x))))
  }
  place
}

# What peers.py says of a part, by program
python <- function(part, where, ...) {
  program <- Sys.getenv("PEERS_PYTHON")
  if (!nzchar(program)) {
    cat("Python's programs: skipped, PEERS_PYTHON names no Python\n")
    return(list())
  }
  faults <- tempfile()
  out <- suppressWarnings(system2(program, c(file.path(folder, "peers.py"), part, where, repeats, threads, ...), stdout = TRUE, stderr = faults))
  if (!is.null(attr(out, "status"))) cat("Python's programs: skipped,", utils::tail(readLines(faults, warn = FALSE), 1), "\n")
  told <- if (part == "transforms") out else grep("^skipped", out, value = TRUE)
  if (length(told) > 0) cat(told, sep = "\n")
  lines <- strsplit(grep("^[A-Za-z-]+ [0-9.]+ [a-z0-9_]+=", out, value = TRUE), " ")
  read <- function(line) {
    pairs <- strsplit(line[-(1:2)], "=")
    list(seconds = as.numeric(line[2]), estimates = structure(as.numeric(vapply(pairs, `[`, "", 2)), names = vapply(pairs, `[`, "", 1)))
  }
  structure(lapply(lines, read), names = vapply(lines, `[`, "", 1))
}

# GEMMA reads texts; its seconds are those of the whole process, files included
gemma <- function(K, X, y) {
  if (!nzchar(Sys.which("gemma"))) {
    skipped("GEMMA", "no program gemma")
    return(list())
  }
  place <- tempfile("gemma")
  dir.create(place)
  write_table <- function(x, name) utils::write.table(format(x, digits = 17), file.path(place, name), quote = FALSE, row.names = FALSE, col.names = FALSE)
  write_table(K, "K.txt")
  write_table(y, "y.txt")
  write_table(X, "X.txt")
  writeLines(paste(c("snp", "A", "B", format(rnorm(length(y)))), collapse = ", "), file.path(place, "marker.txt"))
  command <- sprintf("cd %s && OPENBLAS_NUM_THREADS=%d gemma -g marker.txt -p y.txt -c X.txt -k K.txt -lmm 1 -notsnp -o out", place, threads)
  seconds <- system.time(system(command, ignore.stdout = TRUE, ignore.stderr = TRUE))[["elapsed"]]
  log <- readLines(file.path(place, "output", "out.log.txt"))
  value <- function(name) as.numeric(sub(".*= *([-+.e0-9]+).*", "\\1", grep(name, log, value = TRUE, fixed = TRUE)[1]))
  sigma2 <- value("# vg estimate in the null")
  sigma2_e <- value("# ve estimate in the null")
  cat(sprintf("GEMMA: %.3f s of it are its eigendecomposition\n", 60 * value("time on eigen-decomposition")))
  list(GEMMA = list(seconds = seconds, estimates = c(h2 = sigma2 / (sigma2 + sigma2_e), sigma2 = sigma2, sigma2_e = sigma2_e)))
}

# ---- a dense kernel -------------------------------------------------------------------------------------------------

# The obvious fit: eigenvectors of K, and REML along log delta
eigen_fit <- function(y, X, K) {
  spectral <- eigen(K, symmetric = TRUE)
  Uy <- crossprod(spectral$vectors, y)
  UX <- crossprod(spectral$vectors, X)
  at <- function(log_delta) {
    w <- 1 / (pmax(spectral$values, 0) + exp(log_delta))
    A <- crossprod(UX, w * UX)
    beta <- solve(A, crossprod(UX, w * Uy))
    sigma2 <- sum(w * (Uy - UX %*% beta)^2) / (length(y) - ncol(X))
    list(beta = drop(beta), sigma2 = sigma2, reml = -((length(y) - ncol(X)) * (log(2 * pi * sigma2) + 1) - sum(log(w)) + determinant(A)$modulus) / 2)
  }
  grid <- seq(-10, 10, by = 0.5)
  best <- grid[which.max(vapply(grid, function(t) at(t)$reml, 0))]
  top <- stats::optimize(function(t) at(t)$reml, best + c(-0.5, 0.5), maximum = TRUE, tol = 1e-8)$maximum
  found <- at(top)
  c(h2 = 1 / (1 + exp(top)), sigma2 = found$sigma2, sigma2_e = found$sigma2 * exp(top), x1 = found$beta[[2]], logLik = as.numeric(found$reml))
}

variances <- function(fit) c(sigma2 = fit$sigma2[[1]], sigma2_e = fit$sigma2_e, x1 = fixef(fit)[["x1"]], logLik = fit$logLik)

if ("dense" %in% parts) {
  world <- dense_world(n)
  K <- world$K
  data <- world$data
  X <- cbind(1, data$x1, data$x2)
  side_by_side(
    sprintf("dense kernel, n = %d, p = 3, REML", n),
    list(
      fastlmm = list(fit = function() fastlmm_fit(y ~ x1 + x2 + (1 | id), data, K), read = function(fit) c(h2 = fit$h2, variances(fit))),
      eigen = list(fit = function() eigen_fit(data$y, X, K), read = identity)
    ),
    c(gemma(K, X, data$y), python("dense", write_doubles(list(K = K, X = X, y = data$y))))
  )
  rm(world, K)
}

# ---- groups ---------------------------------------------------------------------------------------------------------

if ("groups" %in% parts) {
  set.seed(1)
  size <- 10 * n
  data <- data.frame(g = factor(sample(n / 5, size, TRUE)), x1 = rnorm(size))
  data$y <- 1 + data$x1 + rnorm(nlevels(data$g))[data$g] + 2 * rnorm(size)
  ours <- function(method) list(fit = function() fastlmm_fit(y ~ x1 + (1 | g), data, method = method), read = variances)
  of_lme <- function(fit) {
    found <- as.numeric(nlme::VarCorr(fit)[, "Variance"])
    c(sigma2 = found[1], sigma2_e = found[2], x1 = nlme::fixef(fit)[["x1"]], logLik = as.numeric(logLik(fit)))
  }
  of_lmer <- function(fit) c(sigma2 = lme4::VarCorr(fit)$g[1], sigma2_e = stats::sigma(fit)^2, x1 = lme4::fixef(fit)[["x1"]], logLik = as.numeric(logLik(fit)))
  of_tmb <- function(fit) {
    c(sigma2 = glmmTMB::VarCorr(fit)$cond$g[1], sigma2_e = stats::sigma(fit)^2, x1 = glmmTMB::fixef(fit)$cond[["x1"]], logLik = as.numeric(logLik(fit)))
  }
  of_gam <- function(fit) c(sigma2 = fit$sig2 / fit$sp[[1]], sigma2_e = fit$sig2, x1 = stats::coef(fit)[["x1"]])
  side_by_side(sprintf("%d groups, %d rows, REML", nlevels(data$g), size), list(
    fastlmm = ours("REML"),
    lme4 = list(fit = function() lme4::lmer(y ~ x1 + (1 | g), data), read = of_lmer),
    nlme = list(fit = function() nlme::lme(y ~ x1, data, ~ 1 | g), read = of_lme),
    glmmTMB = list(fit = function() glmmTMB::glmmTMB(y ~ x1 + (1 | g), data, REML = TRUE), read = of_tmb),
    mgcv = list(fit = function() mgcv::bam(y ~ x1 + s(g, bs = "re"), data = data, discrete = TRUE, nthreads = threads), read = of_gam)
  ))
  place <- write_doubles(list(g = as.integer(data$g), X = cbind(1, data$x1), y = data$y))
  side_by_side(sprintf("%d groups, %d rows, ML", nlevels(data$g), size), list(fastlmm = ours("ML")), python("groups", place))
}

# ---- points in the plane --------------------------------------------------------------------------------------------

if ("points" %in% parts) {
  set.seed(1)
  for (cov in c("exp_quad", "matern52")) {
    data <- draw_points(draw_field(cov), 20 * n)
    names(data)[match(c("x1", "x2", "x"), names(data))] <- c("u", "v", "x1")
    formula <- stats::as.formula(sprintf("y ~ x1 + gp(u, v, cov = \"%s\")", cov))
    ours <- function(method) {
      list(fit = function() fastlmm_fit(formula, data, method = method), read = function(fit) c(lengthscale = fit$lengthscale[[1]], variances(fit)))
    }
    side_by_side(sprintf("%s, %d points, REML", cov, nrow(data)), list(
      fastlmm = ours("REML"),
      mgcv = list(
        fit = function() mgcv::bam(y ~ x1 + s(u, v, bs = "gp", k = 200, m = mgcv_kernel[[cov]]), data = data, discrete = TRUE, nthreads = threads),
        read = function(fit) c(sigma2_e = fit$sig2, x1 = stats::coef(fit)[["x1"]])
      )
    ))
    place <- write_doubles(list(places = cbind(data$u, data$v), X = cbind(1, data$x1), y = data$y))
    side_by_side(sprintf("%s, %d points, ML", cov, nrow(data)), list(fastlmm = ours("ML")), python("points", place, cov))
  }
}

# ---- transforms -----------------------------------------------------------------------------------------------------

if ("transforms" %in% parts) {
  program <- Sys.getenv("PEERS_NUFFT")
  cat("\nnonuniform Fourier transforms\n")
  if (nzchar(program)) invisible(python("transforms", program)) else skipped("FINUFFT", "PEERS_NUFFT names no program")
}
