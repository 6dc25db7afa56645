# Scans against the models that they stand for: each candidate in the formula, V written out, and another program's numbers.

scan_world <- function(n = 60, m = 12, seed = 1, repeats = FALSE) {
  set.seed(seed)
  ids <- paste0("i", seq_len(n))
  G <- matrix(rbinom(n * m, 2, 0.4) + 0, n, dimnames = list(ids, paste0("m", seq_len(m))))
  W <- matrix(rnorm(n * 20), n, dimnames = list(ids, paste0("w", 1:20)))
  id <- if (repeats) sample(ids, 2 * n, replace = TRUE) else sample(ids)
  data <- data.frame(id = id, x = rnorm(length(id)), f = factor(rep_len(c("a", "b", "c"), length(id))), w = runif(length(id), 0.5, 2))
  data$y <- 3 + data$x + drop(W[id, ] %*% rnorm(20, sd = 0.3)) + 0.4 * G[id, 2] + rnorm(length(id))
  list(data = data, G = G, W = W, K = tcrossprod(W) / 20 + diag(0.1, n), ids = ids)
}

scan_worlds <- list(
  dense = list(repeats = FALSE, weights = FALSE, kernel = "K"), repeats = list(repeats = TRUE, weights = FALSE, kernel = "K"),
  weighted = list(repeats = TRUE, weights = TRUE, kernel = "K"), lowrank = list(repeats = FALSE, weights = FALSE, kernel = "W"),
  repeated_lowrank = list(repeats = TRUE, weights = TRUE, kernel = "W"), groups = list(repeats = TRUE, weights = FALSE, kernel = "none")
)

quietly <- function(expr) suppressMessages(suppressWarnings(expr))

scan_fit <- function(world, case, formula = y ~ x + f + (1 | id), method = "REML") {
  K <- switch(case$kernel, K = world$K, W = kernel_lowrank(world$W), none = NULL)
  data <- world$data
  weights <- if (case$weights) data$w
  quietly(do.call(fastlmm_fit, list(formula, data, K = K, method = method, weights = weights)))
}

with_candidate <- function(world, case, g, formula = y ~ x + f + g + (1 | id), method = "REML") {
  world$data$g <- g[world$data$id]
  scan_fit(world, case, formula, method)
}

test_that("delta estimated anew: every candidate is the fit with it in the formula", {
  for (name in names(scan_worlds)) {
    case <- scan_worlds[[name]]
    world <- scan_world(repeats = case$repeats, seed = match(name, names(scan_worlds)))
    fit <- scan_fit(world, case)
    wald <- fastlmm_scan(fit, world$G, refit = "delta")
    ratio <- fastlmm_scan(fit, world$G, refit = "delta", test = "lrt")
    null <- scan_fit(world, case, method = "ML")
    for (j in 1:4) {
      one <- with_candidate(world, case, world$G[, j])
      ml <- with_candidate(world, case, world$G[, j], method = "ML")
      label <- paste(name, j)
      expect_equal(wald$logLik[j], one$logLik, tolerance = 1e-8, info = label)
      expect_equal(wald$estimate[j], unname(fixef(one)["g"]), tolerance = 1e-5, info = label)
      expect_equal(wald$std.error[j], unname(sqrt(one$vcov["g", "g"])), tolerance = 1e-5, info = label)
      expect_equal(wald$h2[j], one$h2, tolerance = 1e-4, info = label)
      expect_equal(wald$statistic[j], (wald$estimate[j] / wald$std.error[j])^2, info = label)
      expect_equal(wald$df2[j], nobs(one) - one$rank, info = label)
      expect_equal(ratio$logLik[j], ml$logLik, tolerance = 1e-7, info = label)
      expect_equal(ratio$statistic[j], 2 * (ml$logLik - null$logLik), tolerance = 1e-5, info = label)
    }
    expect_true(all(wald$status == "ok"))
    expect_identical(wald$n, rep(as.double(nrow(world$data)), 12))
  }
})

test_that("delta kept: generalised least squares with the null model's covariance", {
  for (name in names(scan_worlds)) {
    case <- scan_worlds[[name]]
    world <- scan_world(repeats = case$repeats, seed = 3)
    fit <- scan_fit(world, case)
    scan <- fastlmm_scan(fit, world$G)
    ratio <- fastlmm_scan(fit, world$G, test = "lrt")
    score <- fastlmm_scan(fit, world$G, test = "score")
    data <- world$data
    K <- switch(case$kernel, K = world$K, W = tcrossprod(world$W), none = diag(length(world$ids)))
    dimnames(K) <- list(world$ids, world$ids)
    V <- K[data$id, data$id] + diag(fit$delta / (if (case$weights) data$w else 1), nrow(data))
    inverse <- solve(V)
    gls <- function(X) {
      beta <- solve(t(X) %*% inverse %*% X, t(X) %*% inverse %*% data$y)
      r <- data$y - X %*% beta
      list(q = drop(t(r) %*% inverse %*% r), beta = beta, vcov = solve(t(X) %*% inverse %*% X))
    }
    X0 <- model.matrix(~ x + f, data)
    null <- gls(X0)
    n <- nrow(X0)
    for (j in 1:5) {
      full <- gls(cbind(X0, world$G[data$id, j]))
      df <- n - 5
      expect_equal(scan$estimate[j], full$beta[5], tolerance = 1e-8)
      expect_equal(scan$std.error[j], sqrt(full$vcov[5, 5] * full$q / df), tolerance = 1e-8)
      expect_equal(scan$statistic[j], (null$q - full$q) / (full$q / df), tolerance = 1e-7)
      expect_equal(scan$p.value[j], pf((null$q - full$q) / (full$q / df), 1, df, lower.tail = FALSE), tolerance = 1e-6)
      expect_equal(ratio$statistic[j], n * log(null$q / full$q), tolerance = 1e-6)
      expect_equal(score$statistic[j], (n - 4) * (1 - full$q / null$q), tolerance = 1e-7)
    }
  }
})

test_that("numbers of an independent program on synth500", {
  folder <- test_path("synth500")
  pheno <- read.csv(file.path(folder, "pheno_covar.csv"))
  K <- matrix(0, 500, 500, dimnames = list(pheno$id, pheno$id))
  K[lower.tri(K, diag = TRUE)] <- read.csv(gzfile(file.path(folder, "K_lower.csv.gz")))[[1]]
  K[upper.tri(K)] <- t(K)[upper.tri(K)]
  G <- as.matrix(read.csv(gzfile(file.path(folder, "markers.csv.gz")), check.names = FALSE))
  if (ncol(G) > 200) G <- G[, -1]
  storage.mode(G) <- "double"
  rownames(G) <- pheno$id
  oracle <- read.csv(file.path(folder, "oracle_scan_cov.csv"))
  pheno$id <- as.character(pheno$id)
  fit <- fastlmm_fit(y ~ cov1 + (1 | id), pheno, K)
  kept <- fastlmm_scan(fit, G)
  anew <- fastlmm_scan(fit, G, refit = "delta")
  expect_equal(kept$p.value, oracle$p_wald_fixed, tolerance = 1e-5)
  expect_equal(kept$estimate, oracle$beta_fixed, tolerance = 1e-6)
  expect_equal(kept$std.error, oracle$se_fixed, tolerance = 1e-6)
  expect_equal(anew$p.value, oracle$p_wald, tolerance = 1e-5)
  expect_equal(anew$estimate, oracle$beta, tolerance = 1e-6)
  expect_equal(anew$std.error, oracle$se, tolerance = 1e-6)
  expect_lt(max(abs(anew$p.value / oracle$p_wald - 1)), 1e-5)
  lambda <- anew$h2 / (1 - anew$h2)
  expect_lt(max(abs(lambda / oracle$lambda_reml_H1 - 1)), 1e-5)
})

test_that("columns tested together", {
  world <- scan_world()
  case <- scan_worlds$dense
  fit <- scan_fit(world, case)
  sets <- list(a = c("m1", "m2", "m3"), b = 4, c = c(5, 6))
  together <- fastlmm_scan(fit, world$G, sets = sets, refit = "delta")
  expect_identical(together$term, c("a", "b", "c"))
  expect_identical(together$df, c(3, 1, 2))
  world$data$M <- world$G[world$data$id, 1:3]
  full <- scan_fit(world, case, y ~ x + f + M + (1 | id))
  b <- fixef(full)[5:7]
  expect_equal(together$logLik[1], full$logLik, tolerance = 1e-8)
  expect_equal(together$statistic[1], drop(b %*% solve(full$vcov[5:7, 5:7], b)) / 3, tolerance = 1e-5)
  expect_equal(together$statistic[2], fastlmm_scan(fit, world$G[, 4, drop = FALSE], refit = "delta")$statistic, tolerance = 1e-8)
  grouped <- fastlmm_scan(fit, world$G, sets = rep(c("p", "q"), 6))
  expect_identical(grouped$df, c(6, 6))
  twice <- fastlmm_scan(fit, world$G, sets = list(c(1, 1, 2)))
  expect_identical(twice$df, 2)
  ratio <- fastlmm_scan(fit, world$G, sets = sets, test = "lrt", refit = "delta")
  ml <- quietly(update(full, method = "ML"))
  expect_equal(ratio$statistic[1], 2 * (ml$logLik - scan_fit(world, case, method = "ML")$logLik), tolerance = 1e-5)
})

test_that("a constant column of a set is left out as a collinear one, and the others are tested", {
  world <- scan_world()
  world$G <- cbind(world$G, mono = 2, none = 0, gap = c(NA, rep(1, 59)))
  plain <- c("statistic", "df", "df2", "p.value", "logLik", "status")
  with_mono <- list(a = c("mono", "m1", "m2"), b = c("m1", "none", "m2", "gap"), c = c("m3", "mono"), d = c("mono", "none"), e = c("mono", "mono"))
  without <- list(a = c("m1", "m2"), b = c("m1", "m2"), c = "m3")
  for (formula in c(y ~ x + f + (1 | id), y ~ 0 + f + (1 | id))) {
    fit <- scan_fit(world, scan_worlds$dense, formula)
    for (refit in c("none", "delta")) {
      for (test in c("wald", "lrt")) {
        found <- fastlmm_scan(fit, world$G, sets = with_mono, refit = refit, test = test)
        expect_equal(
          as.data.frame(found)[1:3, plain], as.data.frame(fastlmm_scan(fit, world$G, sets = without, refit = refit, test = test))[plain], tolerance = 1e-6
        )
        expect_identical(found$status[4:5], c("constant", "constant"))
      }
    }
  }
  expect_identical(fastlmm_scan(fit, world$G[, c("mono", "m1")], interaction = ~x)$status, c("constant", "ok"))
})

test_that("interactions are tested with both main effects in the model", {
  for (name in c("dense", "repeats")) {
    case <- scan_worlds[[name]]
    world <- scan_world(repeats = case$repeats)
    fit <- scan_fit(world, case)
    scan <- fastlmm_scan(fit, world$G, interaction = ~x, refit = "delta", data = world$data)
    one <- with_candidate(world, case, world$G[, 2], y ~ x * g + f + (1 | id))
    expect_equal(scan$estimate[2], unname(fixef(one)["x:g"]), tolerance = 1e-5)
    expect_equal(scan$std.error[2], unname(sqrt(one$vcov["x:g", "x:g"])), tolerance = 1e-5)
    expect_equal(scan$logLik[2], one$logLik, tolerance = 1e-8)
    both <- fastlmm_scan(fit, world$G, interaction = ~f, test = "lrt", refit = "delta", data = world$data)
    full <- with_candidate(world, case, world$G[, 3], y ~ x + f * g + (1 | id), "ML")
    null <- with_candidate(world, case, world$G[, 3], y ~ x + f + g + (1 | id), "ML")
    expect_identical(both$df[3], 2)
    expect_equal(both$statistic[3], 2 * (full$logLik - null$logLik), tolerance = 1e-5)
  }
})

test_that("candidates that cannot be tested are rows with a status", {
  world <- scan_world()
  fit <- scan_fit(world, scan_worlds$dense)
  G <- world$G[, 1:8]
  x <- world$data$x[match(world$ids, world$data$id)]
  G[, 2] <- 1
  G[, 3] <- NA
  G[5, 4] <- Inf
  G[, 5] <- 2 * x - 1
  G[, 6] <- G[, 1] * 1e200
  G[, 7] <- G[, 1] * 1e-200
  G[, 8] <- 1e6 + G[, 1]
  for (refit in c("none", "delta")) {
    scan <- fastlmm_scan(fit, G, refit = refit)
    expect_identical(scan$status, c("ok", "constant", "missing", "nonfinite", "collinear", "ok", "ok", "ok"))
    expect_true(all(is.na(scan$statistic[2:5])))
    expect_equal(scan$statistic[6:8], rep(scan$statistic[1], 3), tolerance = 1e-6)
    expect_equal(scan$estimate[6] * 1e200, scan$estimate[1], tolerance = 1e-8)
  }
})

test_that("missing cells: the column's mean, or the complete rows", {
  for (name in c("dense", "repeated_lowrank")) {
    case <- scan_worlds[[name]]
    world <- scan_world(repeats = case$repeats)
    fit <- scan_fit(world, case)
    G <- world$G
    G[3:6, 2] <- NA
    filled <- G[, 2]
    filled[3:6] <- mean(filled[world$ids %in% world$data$id], na.rm = TRUE)
    imputed <- fastlmm_scan(fit, G, refit = "delta")
    expect_equal(imputed$estimate[2], fastlmm_scan(fit, cbind(g = filled), refit = "delta")$estimate, tolerance = 1e-8)
    omitted <- fastlmm_scan(fit, G, refit = "delta", na = "omit")
    world$data$g <- G[world$data$id, 2]
    one <- scan_fit(world, case, y ~ x + f + g + (1 | id))
    expect_equal(omitted$estimate[2], unname(fixef(one)["g"]), tolerance = 1e-5)
    expect_equal(omitted$logLik[2], one$logLik, tolerance = 1e-7)
    expect_identical(omitted$n[2], as.double(sum(!is.na(world$data$g))))
    expect_equal(omitted[-2, ], imputed[-2, ], ignore_attr = TRUE)
  }
})

test_that("hybrid scans estimate anew where it matters", {
  world <- scan_world()
  fit <- scan_fit(world, scan_worlds$dense)
  kept <- fastlmm_scan(fit, world$G)
  anew <- fastlmm_scan(fit, world$G, refit = "delta")
  mixed <- fastlmm_scan(fit, world$G, refit = "hybrid", threshold = 0.2)
  small <- kept$p.value < 0.2
  expect_true(any(small) && !all(small))
  expect_equal(mixed$statistic[small], anew$statistic[small])
  expect_equal(mixed$statistic[!small], kept$statistic[!small])
})

test_that("p-values do not underflow", {
  world <- scan_world(n = 400)
  world$data$y <- 1000 * world$G[world$data$id, 1] + rnorm(400)
  fit <- scan_fit(world, scan_worlds$dense, y ~ 1 + (1 | id))
  scan <- fastlmm_scan(fit, world$G, refit = "delta")
  expect_gt(scan$log10p[1], 400)
  expect_true(is.finite(scan$log10p[1]))
})

test_that("order, scale and shift of rows and candidates do not matter", {
  world <- scan_world()
  fit <- scan_fit(world, scan_worlds$dense)
  scan <- fastlmm_scan(fit, world$G, refit = "delta")
  turned <- fastlmm_scan(fit, world$G[sample(nrow(world$G)), 12:1], refit = "delta", block_size = 5)
  expect_equal(turned$statistic, rev(scan$statistic), tolerance = 1e-7)
  moved <- fastlmm_scan(fit, 5 - 3 * world$G, refit = "delta")
  expect_equal(moved$estimate, -scan$estimate / 3, tolerance = 1e-7)
  expect_equal(moved$p.value, scan$p.value, tolerance = 1e-7)
  world$data$y <- world$data$y * 1e6
  other <- fastlmm_scan(scan_fit(world, scan_worlds$dense), world$G, refit = "delta")
  expect_equal(other$estimate, 1e6 * scan$estimate, tolerance = 1e-6)
})

# ---- columns of the kernel left out ----------------------------------------------------------------------------------

test_that("groups and sets of columns leave the kernel: equal to the kernel built again", {
  set.seed(4)
  n <- 80
  ids <- paste0("i", seq_len(n))
  G <- matrix(rnorm(n * 30), n, dimnames = list(ids, paste0("m", 1:30)))
  data <- data.frame(id = ids, x = rnorm(n), y = drop(G %*% rnorm(30, sd = 0.2)) + rnorm(n))
  fit <- fastlmm_fit(y ~ x + (1 | id), data, kernel_lowrank(G))
  group <- rep(c("one", "two", "three"), each = 10)
  apart <- fastlmm_scan(fit, G, groups = group, refit = "delta")
  again <- function(out) fastlmm_fit(y ~ x + (1 | id), data, kernel_lowrank(G[, -out]))
  for (g in unique(group)) {
    at <- which(group == g)
    rebuilt <- fastlmm_scan(again(at), G[, at], refit = "delta")
    expect_equal(apart$logLik[at], rebuilt$logLik, tolerance = 1e-8)
    expect_equal(apart$p.value[at], rebuilt$p.value, tolerance = 1e-5)
  }
  kernels <- lapply(split(1:30, factor(group, unique(group))), function(at) tcrossprod(G[, -at]))
  dense <- fastlmm_fit(y ~ x + (1 | id), data, tcrossprod(G))
  by_kernels <- fastlmm_scan(dense, G, groups = group, kernels = kernels, refit = "delta")
  expect_equal(by_kernels$p.value, apart$p.value, tolerance = 1e-5)
  expect_identical(by_kernels$term, colnames(G))
  exclude <- lapply(1:30, function(j) unique(pmax(1, c(j - 1, j))))
  own <- fastlmm_scan(fit, G, exclude = exclude)
  for (j in c(1, 2, 17)) expect_equal(own$p.value[j], fastlmm_scan(again(exclude[[j]]), G[, j, drop = FALSE])$p.value, tolerance = 1e-6)
  expect_error(fastlmm_scan(dense, G, groups = group), class = "fastlmm_error_exclude")
  expect_error(fastlmm_scan(fit, G, groups = group[-1]), class = "fastlmm_error_scan")
  expect_error(fastlmm_scan(fit, G, groups = group, exclude = exclude), class = "fastlmm_error_scan")
})

# ---- what candidates may be ------------------------------------------------------------------------------------------

test_that("candidates of any class give the same numbers", {
  world <- scan_world()
  fit <- scan_fit(world, scan_worlds$dense)
  G <- world$G
  scan <- fastlmm_scan(fit, G)
  expect_equal(fastlmm_scan(fit, Matrix::Matrix(G, sparse = TRUE)), scan)
  expect_equal(fastlmm_scan(fit, as.data.frame(G)), scan)
  expect_equal(fastlmm_scan(fit, G > 0)$p.value, fastlmm_scan(fit, (G > 0) + 0)$p.value)
  rows <- G[world$data$id, ]
  rownames(rows) <- rownames(world$data)
  expect_equal(fastlmm_scan(fit, rows)$p.value, scan$p.value, tolerance = 1e-8)
  rownames(rows) <- NULL
  expect_message(by_order <- fastlmm_scan(fit, rows), class = "fastlmm_message_candidate_order")
  expect_equal(by_order$p.value, scan$p.value, tolerance = 1e-8)
  world$data$g1 <- G[world$data$id, 1]
  world$data$h <- factor(rep_len(c("u", "v", "z"), nrow(world$data)))
  formula <- fastlmm_scan(fit, ~ g1 + h, data = world$data)
  expect_identical(formula$term, c("g1", "hv", "hz"))
  expect_equal(formula$p.value[1], scan$p.value[1], tolerance = 1e-8)
  more <- rbind(G, extra = 9)
  expect_equal(fastlmm_scan(fit, more)$p.value, scan$p.value)
})

test_that("a matrix that is used where it lies gives what one that is read gives", {
  world <- scan_world()
  fit <- scan_fit(world, scan_worlds$repeated_lowrank)
  G <- world$G
  G[3, 4] <- NA
  G[5, 7] <- Inf
  G <- G[fit$random[[1]]$ids[fit$random[[1]]$index], ]
  turned <- G[rev(seq_len(nrow(G))), ]
  source <- function(x) fastlmm:::candidate_source(x, fit)
  expect_true(!is.null(source(G)$whole) && is.null(source(turned)$whole))
  for (arguments in list(
    list(), list(refit = "delta"), list(na = "omit"), list(sets = list(a = c(9, 2), b = "m4", c = c("m11", "m7"))),
    list(block_size = 5, refit = "hybrid", threshold = 0.3)
  )) {
    scan <- function(x) do.call(fastlmm_scan, c(list(fit, x), arguments))
    expect_equal(quietly(scan(G)), quietly(scan(turned)), tolerance = 1e-10)
  }
})

test_that("candidates that cannot be read or matched are refused", {
  world <- scan_world()
  fit <- scan_fit(world, scan_worlds$dense)
  refused <- function(candidates, ...) expect_error(fastlmm_scan(fit, candidates, ...), class = "fastlmm_error_candidates")
  refused(world$G[-1, ])
  refused(unname(world$G[-1, ]))
  refused(rbind(world$G, world$G[1, , drop = FALSE]))
  refused(data.frame(world$G, h = factor("a")))
  refused(array(1, c(2, 2, 2)))
  refused(matrix("a", 60, 2))
  refused(world$G[, 0])
  refused("nowhere.bed")
  refused(y ~ x)
  expect_error(fastlmm_scan(lm(y ~ x, world$data), world$G), class = "fastlmm_error_scan")
  expect_error(fastlmm_scan(fit, world$G, wrong = 1), class = "fastlmm_error")
  expect_error(fastlmm_scan(fit, world$G, sets = list("m99")), class = "fastlmm_error_scan")
  expect_error(fastlmm_scan(fit, world$G, block_size = -1), class = "fastlmm_error_scan")
})

test_that("PLINK files are read by blocks", {
  world <- scan_world(n = 61)
  fit <- scan_fit(world, scan_worlds$dense)
  G <- world$G
  G[cbind(c(3, 8, 61), c(1, 2, 3))] <- NA
  stem <- tempfile()
  write_bed(stem, G)
  bed <- fastlmm:::open_bed(paste0(stem, ".bed"))
  expect_equal(bed[, 1:12], G)
  expect_equal(bed[, c(5, 2)], G[, c(5, 2)])
  scan <- fastlmm_scan(fit, paste0(stem, ".bed"), block_size = 5)
  expect_equal(scan$p.value, fastlmm_scan(fit, G)$p.value)
  expect_identical(scan$pos, seq_len(12) * 10)
  writeBin(as.raw(c(0x6c, 0x1b, 0x00, 1:100)), paste0(stem, ".bed"))
  expect_error(fastlmm_scan(fit, paste0(stem, ".bed")), "version 1", class = "fastlmm_error_candidates")
  writeBin(as.raw(c(0x6c, 0x1b, 0x01, 1:100)), paste0(stem, ".bed"))
  expect_error(fastlmm_scan(fit, paste0(stem, ".bed")), "bytes", class = "fastlmm_error_candidates")
})

test_that("snpStats and plink read the same numbers from PLINK files", {
  skip_if_not_installed("snpStats")
  set.seed(3)
  G <- matrix(sample(c(0:2, NA), 61 * 40, replace = TRUE), 61, dimnames = list(paste0("i", 1:61), paste0("m", 1:40)))
  stem <- tempfile()
  write_bed(stem, G)
  mine <- fastlmm:::open_bed(paste0(stem, ".bed"))[, 1:40]
  theirs <- methods::as(snpStats::read.plink(paste0(stem, ".bed"))$genotypes, "numeric")
  # snpStats counts the other allele
  expect_equal(mine, 2 - theirs, ignore_attr = TRUE)
  world <- scan_world(n = 61)
  fit <- scan_fit(world, scan_worlds$dense)
  scan <- fastlmm_scan(fit, snpStats::read.plink(paste0(stem, ".bed"))$genotypes)
  expect_equal(scan$estimate, fastlmm_scan(fit, paste0(stem, ".bed"))$estimate)
  skip_if(!nzchar(Sys.which("plink1.9")), "plink1.9 is not installed")
  system2("plink1.9", c("--bfile", stem, "--recode", "A", "--allow-no-sex", "--keep-allele-order", "--out", stem), stdout = FALSE, stderr = FALSE)
  raw <- as.matrix(utils::read.table(paste0(stem, ".raw"), header = TRUE)[, -(1:6)])
  expect_equal(unname(mine), unname(raw))
})

test_that("matrices that live in files or elsewhere are read as those in memory", {
  world <- scan_world(m = 20)
  fit <- scan_fit(world, scan_worlds$dense)
  here <- fastlmm_scan(fit, world$G)
  if (requireNamespace("bigmemory", quietly = TRUE)) {
    expect_identical(fastlmm_scan(fit, bigmemory::as.big.matrix(world$G), block_size = 7), here)
  }
  if (requireNamespace("DelayedArray", quietly = TRUE)) {
    expect_identical(fastlmm_scan(fit, DelayedArray::DelayedArray(world$G), block_size = 7), here)
  }
  if (requireNamespace("HDF5Array", quietly = TRUE)) {
    stored <- suppressMessages(HDF5Array::writeHDF5Array(world$G, with.dimnames = TRUE))
    expect_identical(fastlmm_scan(fit, stored, block_size = 7), here)
  }
})

# ---- long work -------------------------------------------------------------------------------------------------------

test_that("blocks, directories of finished blocks and other processes give the same numbers", {
  world <- scan_world(m = 50)
  fit <- scan_fit(world, scan_worlds$dense)
  whole <- fastlmm_scan(fit, world$G, refit = "delta")
  expect_equal(fastlmm_scan(fit, world$G, refit = "delta", block_size = 7), whole, tolerance = 1e-9)
  store <- file.path(tempfile(), "scan")
  first <- fastlmm_scan(fit, world$G, refit = "delta", block_size = 7, checkpoint = store)
  blocks <- list.files(store, "block")
  expect_length(blocks, 8)
  # as if it had been killed after some blocks, one of them half written
  unlink(file.path(store, blocks[c(3, 6:8)]))
  writeLines("half", file.path(store, "block-000003.part-1-0"))
  written <- file.mtime(file.path(store, blocks[1]))
  expect_identical(fastlmm_scan(fit, world$G, refit = "delta", block_size = 7, checkpoint = store), first)
  # a block that is there is not computed again
  expect_identical(file.mtime(file.path(store, blocks[1])), written)
  expect_error(fastlmm_scan(fit, world$G, block_size = 7, checkpoint = store), class = "fastlmm_error_checkpoint")
})

test_that("blocks may be done by two processes of a future plan", {
  skip_if_not_installed("future.apply")
  skip_on_cran()
  world <- scan_world(m = 40)
  fit <- scan_fit(world, scan_worlds$dense)
  alone <- fastlmm_scan(fit, world$G, refit = "delta", block_size = 10)
  old <- future::plan(future::multisession, workers = 2)
  on.exit(future::plan(old))
  expect_identical(fastlmm_scan(fit, world$G, refit = "delta", block_size = 10), alone)
})
