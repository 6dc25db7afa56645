# Another program's scan, level and power: make check-long.

skip_unless_long_scan <- function() skip_if_not(is_long(), "slow; make check-long runs it")

test_that("GEMMA's Wald tests of 2000 candidates", {
  skip_unless_long_scan()
  skip_if(!nzchar(Sys.which("gemma")), "gemma is not installed")
  set.seed(61)
  n <- 500
  m <- 2000
  ids <- sprintf("i%03d", seq_len(n))
  G <- matrix(rbinom(n * m, 2, rep(runif(m, 0.1, 0.9), each = n)) + 0, n, dimnames = list(ids, paste0("m", seq_len(m))))
  Z <- scale(G[, seq(1, m, 4)])
  K <- tcrossprod(Z) / ncol(Z)
  x <- rnorm(n)
  y <- drop(Z %*% rnorm(ncol(Z), sd = 0.05)) + 0.3 * x + 0.4 * G[, 7] + rnorm(n)
  work <- tempfile()
  dir.create(work)
  put <- function(value, name, ...) {
    utils::write.table(format(value, digits = 17, trim = TRUE), file.path(work, name), quote = FALSE, row.names = FALSE, col.names = FALSE, ...)
    file.path(work, name)
  }
  g <- file.path(work, "g.txt")
  utils::write.table(cbind(colnames(G), "A", "C", t(G)), g, quote = FALSE, row.names = FALSE, col.names = FALSE, sep = ", ")
  arguments <- c(
    "-g", g, "-p", put(y, "y.txt"), "-k", put(K, "k.txt"), "-c", put(cbind(1, x), "c.txt"), "-lmm", "4", "-maf", "0", "-outdir", work, "-o", "scan"
  )
  expect_identical(system2("gemma", arguments, stdout = FALSE, stderr = FALSE), 0L)
  theirs <- utils::read.table(file.path(work, "scan.assoc.txt"), header = TRUE)
  fit <- suppressMessages(fastlmm_fit(y ~ x + (1 | id), data.frame(id = ids, x, y), K))
  mine <- fastlmm_scan(fit, G, refit = "delta")
  at <- match(theirs$rs, mine$term)
  expect_gt(nrow(theirs), 1900)
  expect_lt(max(abs(-log10(theirs$p_wald) - mine$log10p[at])), 1e-4)
  expect_equal(theirs$beta, -mine$estimate[at] * sign(stats::cor(theirs$beta, -mine$estimate[at])), tolerance = 1e-4)
})

test_that("tests keep their level under the null model, and find what is there", {
  skip_unless_long_scan()
  set.seed(62)
  n <- 200
  ids <- sprintf("i%03d", seq_len(n))
  W <- matrix(rnorm(n * 60), n, dimnames = list(ids, NULL))
  K <- tcrossprod(W) / 60
  root <- chol(K + diag(1e-8, n))
  rejected <- replicate(100, {
    G <- matrix(rbinom(n * 50, 2, 0.4) + 0, n, dimnames = list(ids, NULL))
    data <- data.frame(id = ids, y = drop(crossprod(root, rnorm(n))) + rnorm(n))
    fit <- suppressMessages(suppressWarnings(fastlmm_fit(y ~ 1 + (1 | id), data, K)))
    data$y <- data$y + 0.6 * G[, 1]
    with_effect <- suppressMessages(suppressWarnings(fastlmm_fit(y ~ 1 + (1 | id), data, K)))
    rate <- function(...) mean(suppressMessages(fastlmm_scan(fit, G, ...))$p.value < 0.05)
    c(
      kept = rate(), anew = rate(refit = "delta"), ratio = rate(test = "lrt", refit = "delta"), score = rate(test = "score"),
      power = suppressMessages(fastlmm_scan(with_effect, G[, 1, drop = FALSE]))$p.value < 0.05
    )
  })
  level <- rowMeans(rejected)
  for (test in c("kept", "anew", "ratio", "score")) {
    expect_gt(level[[test]], 0.04)
    expect_lt(level[[test]], 0.062)
  }
  expect_gt(level[["power"]], 0.9)
})

# The table in ?fastlmm_scan: shares of null p-values below 0.05 and 0.001 in small samples.
small_sample_levels <- function(n, times, columns = 200) {
  set.seed(n)
  ids <- sprintf("i%03d", seq_len(n))
  tests <- list(
    kept = list(), anew = list(refit = "delta"), score = list(test = "score"), ratio_kept = list(test = "lrt"), ratio = list(test = "lrt", refit = "delta")
  )
  below <- replicate(times, {
    W <- matrix(rnorm(n * 2 * n), n)
    K <- tcrossprod(W) / (2 * n)
    dimnames(K) <- list(ids, ids)
    data <- data.frame(id = ids, y = drop(W %*% rnorm(2 * n)) / sqrt(2 * n) + rnorm(n))
    G <- matrix(rnorm(n * columns), n, dimnames = list(ids, NULL))
    fit <- suppressMessages(suppressWarnings(fastlmm_fit(y ~ 1 + (1 | id), data, K)))
    vapply(tests, function(one) {
      p <- suppressMessages(do.call(fastlmm_scan, c(list(fit, G), one)))$p.value
      c(mean(p < 0.05, na.rm = TRUE), mean(p < 0.001, na.rm = TRUE))
    }, numeric(2))
  })
  apply(below, 1:2, mean)
}

test_that("small samples: Wald tests with delta kept hold their level, tests with delta estimated anew are liberal", {
  skip_unless_long_scan()
  sizes <- c(30, 60, 120, 240)
  levels <- lapply(sizes, small_sample_levels, times = 600)
  table <- do.call(rbind, lapply(seq_along(sizes), function(i) data.frame(n = sizes[i], level = c(0.05, 0.001), signif(levels[[i]], 3))))
  cat("\n")
  print(table, row.names = FALSE)
  kept <- table$kept / table$level
  expect_true(all(abs(kept[table$level == 0.05] - 1) < 0.08))
  expect_true(all(kept[table$level == 0.001] < 1.4))
  anew <- table$anew / table$level
  expect_gt(anew[1], 1.15)
  expect_gt(anew[2], 1.6)
  # the excess fades with n
  expect_true(all(diff(table$anew[table$level == 0.05]) < 0.002))
  expect_lt(anew[7], 1.1)
})
