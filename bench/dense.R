# One dense fit against eigen() of the same R, and against GEMMA and FaST-LMM on the same input.
#
#   Rscript bench/dense.R [n] [repeats]
#
# GEMMA (Debian: gemma) and FaST-LMM (PyPI: fastlmm and six, in the Python that FASTLMM_PYTHON names) are used if they are there.

suppressPackageStartupMessages(library(fastlmm))
arguments <- as.numeric(commandArgs(TRUE))
n <- if (length(arguments) > 0) arguments[1] else 2000
repeats <- if (length(arguments) > 1) arguments[2] else 7
threads <- 2
options(fastlmm.threads = threads)
source(file.path(dirname(sub("--file=", "", grep("--file=", commandArgs(), value = TRUE))), "common.R"))

set.seed(1)
ids <- paste0("i", seq_len(n))
W <- matrix(rnorm(n * 1.5 * n), n)
K <- tcrossprod(W) / ncol(W)
dimnames(K) <- list(ids, ids)
data <- data.frame(id = ids, x1 = rnorm(n), x2 = rnorm(n))
data$y <- 1 + data$x1 + drop(crossprod(chol(K), rnorm(n))) + rnorm(n)
rm(W)
invisible(gc())

fit_once <- function() fastlmm_fit(y ~ x1 + x2 + (1 | id), data, K)
eigen_once <- function() eigen(K, symmetric = TRUE)

cat(sprintf("n = %d, p = 3, %d threads, BLAS %s\n", n, threads, basename(extSoftVersion()[["BLAS"]])))
fit <- fit_once()
beyond <- memory_beyond(list(K = K, data = data), quote(fastlmm_fit(y ~ x1 + x2 + (1 | id), data, K)))
cat(sprintf("peak memory of the fit beyond a process that holds K: %.2f n^2 doubles\n", beyond / (8 * n^2)))

time <- paired(list(fit = fit_once, eigen = eigen_once), repeats)
print_times(time, "eigen")

# ---- the same input to the peers ------------------------------------------------------------------------------------

folder <- tempfile("bench")
dir.create(folder)
write_table <- function(x, name) write.table(format(x, digits = 17), file.path(folder, name), quote = FALSE, row.names = FALSE, col.names = FALSE)
write_table(K, "K.txt")
write_table(data$y, "y.txt")
write_table(cbind(1, data$x1, data$x2), "X.txt")
writeLines(paste(c("snp", "A", "B", format(rnorm(n))), collapse = ", "), file.path(folder, "marker.txt"))
cat(sprintf("\n%-24s delta %.8f  (h2 %.6f)\n", "fastlmm", fit$delta, fit$h2))

if (nzchar(Sys.which("gemma"))) {
  gemma <- function() {
    command <- sprintf("cd %s && OPENBLAS_NUM_THREADS=%d gemma -g marker.txt -p y.txt -c X.txt -k K.txt -lmm 1 -notsnp -o out", folder, threads)
    system(command, ignore.stdout = TRUE, ignore.stderr = TRUE)
  }
  seconds <- system.time(gemma())[["elapsed"]]
  log <- readLines(file.path(folder, "output", "out.log.txt"))
  value <- function(name) as.numeric(sub(".*= *([-+.e0-9]+).*", "\\1", grep(name, log, value = TRUE)[1]))
  vg <- value("# vg estimate in the null")
  ve <- value("# ve estimate in the null")
  steps <- value("time on eigen-decomposition") * 60
  cat(sprintf("%-24s delta %.8f  %.2f s whole process, %.2f s its eigendecomposition\n", "gemma 0.98", ve / vg, seconds, steps))
}
python <- Sys.getenv("FASTLMM_PYTHON")
if (nzchar(python)) {
  script <- file.path(dirname(sub("--file=", "", grep("--file=", commandArgs(), value = TRUE))), "dense_fastlmm.py")
  cat(system2(python, c(script, folder, threads, repeats), stdout = TRUE), sep = "\n")
}
cat(sprintf("%-24s %.2f s (median of %d, formula and checks of K included)\n", "fastlmm_fit()", stats::median(time$fit), repeats))
