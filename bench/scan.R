# Scans: delta estimated anew beside GEMMA, delta kept beside the matrix product that rotates the candidates, memory, and many responses.
#
#   Rscript bench/scan.R [n] [candidates] [repeats]
#
# One thread throughout. GEMMA is Debian's package; without it that part is left out.

script <- sub("--file=", "", grep("--file=", commandArgs(), value = TRUE))
# R's matrix products take their number of threads from the environment that R starts in
if (Sys.getenv("OPENBLAS_NUM_THREADS") != "1") {
  quit(status = system2("env", c("OPENBLAS_NUM_THREADS=1", "OMP_NUM_THREADS=1", file.path(R.home("bin"), "Rscript"), script, commandArgs(TRUE))))
}
suppressPackageStartupMessages(library(fastlmm))
folder <- dirname(script)
source(file.path(folder, "common.R"))
arguments <- as.numeric(commandArgs(TRUE))
given <- function(i, default) if (length(arguments) >= i) arguments[i] else default
n <- given(1, 1500)
m <- given(2, 10000)
repeats <- given(3, 3)
options(fastlmm.threads = 1)

set.seed(1)
ids <- sprintf("i%05d", seq_len(n))
frequency <- runif(m, 0.1, 0.9)
G <- matrix(rbinom(n * m, 2, rep(frequency, each = n)) + 0, n, dimnames = list(ids, paste0("m", seq_len(m))))
Z <- scale(G[, seq(1, m, by = 5)])
K <- tcrossprod(Z) / ncol(Z)
covariates <- matrix(rnorm(n * 3), n, dimnames = list(NULL, c("c1", "c2", "c3")))
data <- data.frame(id = ids, covariates)
data$y <- drop(Z %*% rnorm(ncol(Z), sd = sqrt(1 / ncol(Z)))) + 0.3 * data$c1 + rnorm(n)
fit <- fastlmm_fit(y ~ c1 + c2 + c3 + (1 | id), data, K)

gemma <- function() {
  work <- tempfile()
  dir.create(work)
  at <- function(name) file.path(work, name)
  utils::write.table(cbind(colnames(G), "A", "C", t(G)), at("g.txt"), quote = FALSE, row.names = FALSE, col.names = FALSE, sep = ", ")
  utils::write.table(data$y, at("y.txt"), row.names = FALSE, col.names = FALSE)
  utils::write.table(K, at("k.txt"), row.names = FALSE, col.names = FALSE)
  utils::write.table(cbind(1, covariates), at("c.txt"), row.names = FALSE, col.names = FALSE)
  arguments <- c("-g", at("g.txt"), "-p", at("y.txt"), "-k", at("k.txt"), "-c", at("c.txt"), "-lmm", "1", "-maf", "0", "-outdir", work, "-o", "scan")
  list(
    run = function() system2("gemma", arguments, stdout = FALSE, stderr = FALSE),
    result = function() utils::read.table(at("scan.assoc.txt"), header = TRUE)
  )
}

ours <- function() fastlmm_scan(fit, G, refit = "delta", progress = FALSE)
cat(sprintf("%d ids, %d candidates, 3 covariates, one thread\n", n, m))
if (nzchar(Sys.which("gemma"))) {
  peer <- gemma()
  print_times(paired(list(`delta anew` = ours, `gemma -lmm 1` = peer$run), repeats), "gemma -lmm 1")
  theirs <- peer$result()
  mine <- ours()
  at <- match(theirs$rs, mine$term)
  cat(sprintf("largest difference of log10 p: %.1e (%d candidates)\n", max(abs(-log10(theirs$p_wald) - mine$log10p[at])), nrow(theirs)))
}

U <- eigen(K, symmetric = TRUE)$vectors
kept <- function(columns) function() fastlmm_scan(fit, G[, columns, drop = FALSE], progress = FALSE)
print_times(
  paired(list(`delta kept` = kept(seq_len(m)), `delta kept, 1 column` = kept(1), `crossprod(U, G)` = function() crossprod(U, G)), repeats), "crossprod(U, G)"
)

# columns made when they are asked for, so that only the scan takes memory
made <- function(columns) structure(list(columns = columns, ids = ids), class = "made_up")
dim.made_up <- function(x) c(length(unclass(x)$ids), unclass(x)$columns)
dimnames.made_up <- function(x) list(unclass(x)$ids, as.character(seq_len(unclass(x)$columns)))
`[.made_up` <- function(x, i, j, drop = FALSE) {
  set.seed(j[1])
  matrix(rnorm(length(unclass(x)$ids) * length(j)), ncol = length(j), dimnames = list(unclass(x)$ids, NULL))
}
for (columns in c(5000, 50000)) {
  values <- list(
    fit = fit, made = made, ids = ids, columns = columns, dim.made_up = dim.made_up, dimnames.made_up = dimnames.made_up, `[.made_up` = `[.made_up`
  )
  beyond <- memory_beyond(values, quote(fastlmm_scan(fit, made(columns), progress = FALSE)))
  cat(sprintf("memory of a scan of %d candidates that are read by blocks: %.0f MB\n", columns, beyond / 1e6))
}

# the size of BulkLMM.jl's published example
few <- 79
responses <- 35554
candidates <- 7321
ids <- sprintf("i%02d", seq_len(few))
G <- matrix(rbinom(few * candidates, 1, 0.5) * 2, few, dimnames = list(ids, NULL))
Y <- matrix(rnorm(few * responses), few)
data <- data.frame(id = ids)
data$Y <- Y
null <- suppressMessages(suppressWarnings(fastlmm_fit(Y ~ 1 + (1 | id), data, tcrossprod(G) / candidates, control = fastlmm_control(effects = FALSE))))
seconds <- vapply(seq_len(repeats), function(i) system.time(fastlmm_scan(null, G, keep = "max", progress = FALSE))[["elapsed"]], 0)
cat(sprintf(
  "%d ids, %d responses x %d candidates, largest of each: %.2f s (%.2f .. %.2f), %.1f million tests a second\n", few, responses, candidates,
  stats::median(seconds),
  min(seconds), max(seconds), responses * candidates / stats::median(seconds) / 1e6
))
