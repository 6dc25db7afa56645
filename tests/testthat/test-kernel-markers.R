# The definition, cell by cell and marker by marker: sum over markers of the products of two centred genotypes, over what the method says
slow_markers <- function(M, method, maf = 0) {
  n <- nrow(M)
  K <- matrix(0, n, n, dimnames = list(rownames(M), rownames(M)))
  divisor <- 0
  genotypes <- method %in% c("vanraden1", "vanraden2")
  for (j in seq_len(ncol(M))) {
    x <- M[, j]
    known <- x[!is.na(x)]
    if (length(known) == 0 || all(known == known[1]) && !(genotypes && known[1] == 1)) next
    x[is.na(x)] <- mean(known)
    p <- mean(known) / 2
    if (genotypes && min(p, 1 - p) < maf - 1e-12) next
    variance <- if (genotypes) 2 * p * (1 - p) else mean((x - mean(x))^2)
    for (a in seq_len(n)) for (b in seq_len(n)) {
      product <- (x[a] - mean(known)) * (x[b] - mean(known))
      K[a, b] <- K[a, b] + if (method %in% c("vanraden2", "scaled")) product / variance else product
    }
    divisor <- divisor + if (method %in% c("vanraden2", "scaled")) 1 else variance
  }
  K / divisor
}

marker_methods <- c("vanraden1", "vanraden2", "centred", "scaled")

# With missing cells, two markers that do not vary, one without any value, one where all are heterozygous
marker_data <- function(n = 17, m = 40) {
  set.seed(19)
  M <- matrix(rbinom(n * m, 2, rep(runif(m, 0.05, 0.6), each = n)), n, dimnames = list(paste0("i", seq_len(n)), paste0("m", seq_len(m))))
  M[sample(length(M), 30)] <- NA
  M[, 3] <- 0
  M[, 4] <- c(NA, rep(2, n - 1))
  M[, 5] <- NA
  M[, 6] <- 1
  M
}

quiet_markers <- function(...) suppressMessages(kernel_markers(...))

expect_same_kernel <- function(K, expected, tolerance = 1e-13) {
  expect_identical(dimnames(K)[[1]], dimnames(expected)[[1]])
  expect_identical(dimnames(K)[[2]], dimnames(expected)[[2]])
  expect_lt(max(abs(K - expected)), tolerance * max(abs(expected)))
}

test_that("every method is its definition, in blocks of any size", {
  M <- marker_data()
  for (method in marker_methods) {
    expected <- slow_markers(M, method)
    for (size in list(NULL, 1, 7, 1000)) expect_same_kernel(quiet_markers(M, method, block_size = size), expected)
  }
  for (method in marker_methods[1:2]) expect_same_kernel(quiet_markers(M, method, maf = 0.2), slow_markers(M, method, 0.2))
  numbers <- M * 3.7 - 100 + rnorm(length(M))
  for (method in marker_methods[3:4]) expect_same_kernel(quiet_markers(numbers, method), slow_markers(numbers, method), 1e-10)
})

test_that("the first method is the formula of rrBLUP and sommer, from codes -1, 0, 1", {
  M <- marker_data()
  M <- M[, colSums(is.na(M)) == 0 & apply(M, 2, function(x) length(unique(x)) > 1)]
  p <- colMeans(M) / 2
  W <- (M - 1) + 1 - 2 * rep(p, each = nrow(M))
  expect_same_kernel(kernel_markers(M), W %*% t(W) / (2 * sum(p * (1 - p))))
  # GCTA's, from standardised genotypes
  Z <- sweep(sweep(M, 2, 2 * p), 2, sqrt(2 * p * (1 - p)), "/")
  expect_same_kernel(kernel_markers(M, "vanraden2"), Z %*% t(Z) / ncol(M))
})

test_that("columns that are no genotypes give a mean diagonal of 1 in any unit", {
  M <- marker_data()
  for (method in marker_methods[3:4]) {
    K <- quiet_markers(M, method)
    expect_equal(mean(diag(K)), 1, tolerance = 1e-13)
    expect_same_kernel(quiet_markers(1000 * M, method), K)
    expect_same_kernel(quiet_markers(M + 1e4, method), K, 1e-8)
  }
  unit <- rep(10^(seq_len(ncol(M)) %% 5), each = nrow(M))
  expect_same_kernel(quiet_markers(unit * M, "scaled"), quiet_markers(M, "scaled"), 1e-12)
})

test_that("which allele is counted, and the order of ids and of markers, make no difference", {
  M <- marker_data()
  flipped <- M
  turn <- c(2, 3, 4, 6, 9:25)
  flipped[, turn] <- 2 - M[, turn]
  # frequencies at the limit of maf, on both sides
  M[, 7] <- rep(c(2, 1), c(1, nrow(M) - 1)) - 1
  flipped[, 7] <- 2 - M[, 7]
  maf <- 1 / nrow(M)
  for (method in marker_methods[1:2]) {
    K <- quiet_markers(M, method, maf = maf)
    expect_same_kernel(quiet_markers(flipped, method, maf = maf), K)
    expect_identical(summary(quiet_markers(flipped, method, maf = maf)), summary(K))
  }
  ids <- sample(nrow(M))
  for (method in marker_methods) {
    K <- quiet_markers(M, method)
    expect_same_kernel(quiet_markers(M[ids, ], method), K[ids, ids])
    expect_same_kernel(quiet_markers(M[, sample(ncol(M))], method), K)
  }
})

test_that("what is imputed and left out is told, and kept", {
  M <- marker_data()
  M[, 7] <- c(1, rep(0, nrow(M) - 1))
  expect_message(expect_message(K <- kernel_markers(M, maf = 0.05), class = "fastlmm_message_markers_left_out"), class = "fastlmm_message_markers_imputed")
  used <- apply(
    M, 2, function(x) !all(is.na(x)) && !all(x %in% c(0, NA)) && !all(x %in% c(2, NA)) && min(mean(x, na.rm = TRUE), 2 - mean(x, na.rm = TRUE)) / 2 >= 0.05
  )
  facts <- summary(K)
  expect_identical(unlist(facts[c("ids", "markers", "used", "unobserved")]), c(ids = 17, markers = 40, used = sum(used), unobserved = 1))
  expect_equal(facts$imputed, sum(is.na(M[, used])))
  expect_identical(facts$used + facts$monomorphic + facts$rare + facts$unobserved, 40)
  expect_snapshot(K)
  expect_snapshot(kernel_markers(M, "scaled", block_size = 3))
  expect_silent(kernel_markers(M[, used & colSums(is.na(M)) == 0]))
})

test_that("the kernel is the matrix for fits, and knows ids without data", {
  M <- marker_data(30, 60)
  K <- quiet_markers(M)
  plain <- matrix(as.vector(K), nrow(K), dimnames = dimnames(K))
  data <- data.frame(id = rownames(M)[1:25], y = rnorm(25))
  fit <- fastlmm_fit(y ~ 1 + (1 | id), data, K = list(id = K))
  same <- fastlmm_fit(y ~ 1 + (1 | id), data, K = list(id = plain))
  expect_identical(fit$random$id$kernel, plain)
  expect_identical(fit$logLik, same$logLik)
  new <- data.frame(id = rownames(M)[26:30])
  expect_identical(predict(fit, new), predict(same, new))
  expect_identical(class(K[1:3, 1:3]), c("matrix", "array"))
  part <- kernel_mix(A = K, own = NULL)
  expect_output(print(part), "A \\(30 x 30\\)")
})

test_that("matrices, data frames, sparse matrices and PLINK files are the same markers", {
  M <- marker_data()
  K <- quiet_markers(M, loco = rep(c("x", "y"), each = 20))
  stem <- tempfile()
  write_bed(stem, M, data.frame(chr = rep(c("x", "y"), each = 20), pos = 1:40, allele = "A", other = "C"))
  expect_equal(quiet_markers(paste0(stem, ".bed"), loco = TRUE, block_size = 9), K, tolerance = 1e-12)
  expect_equal(quiet_markers(stem), quiet_markers(M))
  expect_equal(quiet_markers(as.data.frame(M)), quiet_markers(M))
  sparse <- M
  sparse[is.na(sparse)] <- 0
  expect_equal(kernel_markers(Matrix::Matrix(sparse[, -c(3, 5)], sparse = TRUE)), kernel_markers(sparse[, -c(3, 5)]))
  skip_if_not_installed("snpStats")
  expect_equal(quiet_markers(snpStats::read.plink(stem), loco = TRUE), K, tolerance = 1e-12)
})

test_that("kernels without a chromosome are those of the other chromosomes' markers", {
  M <- marker_data()
  chr <- sample(c("2", "10", "X"), ncol(M), replace = TRUE)
  for (method in marker_methods) {
    kernels <- quiet_markers(M, method, loco = chr, block_size = 5)
    expect_named(kernels, unique(chr))
    for (one in names(kernels)) {
      direct <- quiet_markers(M[, chr != one], method)
      expect_same_kernel(kernels[[one]], direct, 1e-12)
      ours <- summary(kernels[[one]])
      expect_identical(ours$without, one)
      shared <- setdiff(names(ours), "without")
      expect_identical(ours[shared], summary(direct)[shared])
    }
  }
  # a chromosome that outweighs the others a thousand times
  chr <- rep(c("a", "b"), c(2000, 3))
  M <- marker_data(20, 2003)
  expect_same_kernel(quiet_markers(M, loco = chr)$a, quiet_markers(M[, chr == "b"]), 1e-10)
})

test_that("names of chromosomes say which marker is which; a chromosome whose markers do not vary takes nothing away", {
  M <- marker_data()
  chr <- structure(rep(1:4, 10), names = colnames(M))
  expect_equal(quiet_markers(M, loco = sample(chr))[as.character(1:4)], quiet_markers(M, loco = unname(chr)))
  chr <- replace(rep(1:2, 20), 3:5, 3)
  expect_same_kernel(quiet_markers(M, loco = chr)[["3"]], quiet_markers(M))
})

test_that("a scan by chromosomes takes the kernels, and is the scan with each of them", {
  set.seed(20)
  M <- matrix(rbinom(60 * 90, 2, 0.4), 60, dimnames = list(paste0("i", 1:60), paste0("m", 1:90)))
  chr <- rep(c("1", "2", "3"), each = 30)
  data <- data.frame(id = rownames(M), y = M[, 5] / 2 + drop(M %*% rnorm(90, sd = 0.2)) + rnorm(60))
  fit <- fastlmm_fit(y ~ 1 + (1 | id), data, K = kernel_markers(M))
  kernels <- kernel_markers(M, loco = chr)
  scan <- fastlmm_scan(fit, M, groups = chr, kernels = kernels, progress = FALSE)
  for (one in unique(chr)) {
    own <- fastlmm_fit(y ~ 1 + (1 | id), data, K = kernel_markers(M[, chr != one]))
    alone <- fastlmm_scan(own, M[, chr == one], progress = FALSE)
    expect_equal(scan$estimate[chr == one], alone$estimate, tolerance = 1e-8)
    expect_equal(scan$std.error[chr == one], alone$std.error, tolerance = 1e-8)
  }
})

test_that("what are no markers is refused by name", {
  M <- marker_data()
  expect_refused(kernel_markers("nowhere.bed"), "markers")
  expect_refused(kernel_markers(1:3), "markers")
  expect_refused(kernel_markers(`mode<-`(M, "character")), "markers")
  expect_refused(kernel_markers(data.frame(id = rownames(M), M)), "markers")
  expect_refused(kernel_markers(unname(M)), "markers")
  expect_refused(kernel_markers(data.frame(unname(M))), "markers")
  expect_refused(kernel_markers(M[c(1, 1:17), ]), "kernel_ids")
  expect_refused(kernel_markers(`rownames<-`(M, replace(rownames(M), 4, ""))), "kernel_ids")
  expect_refused(kernel_markers(M[, 0]), "markers")
  expect_refused(kernel_markers(M[1, , drop = FALSE]), "markers")
})

test_that("values that the method does not take are refused, with their place", {
  M <- marker_data()
  expect_refused(kernel_markers(replace(M, 3, 2.5)), "markers")
  expect_refused(kernel_markers(replace(M, 3, -9)), "markers")
  expect_refused(kernel_markers(M[, 1:2] - 1, block_size = 1), "markers")
  expect_refused(kernel_markers(replace(M, 3, Inf), "scaled"), "markers")
  expect_refused(kernel_markers(M * 1e200, "centred"), "markers")
  expect_refused(kernel_markers(M[, 3:5]), "markers")
  expect_refused(kernel_markers(M[, c(1:5, 7)], maf = 0.49), "markers")
  expect_refused(kernel_markers(replace(M, row(M) == 2, NA)), "markers")
  expect_refused(kernel_markers(M, "gcta"), "argument")
  expect_refused(kernel_markers(M, block_size = 0), "markers")
})

test_that("maf and chromosomes are checked", {
  M <- marker_data()
  for (maf in list(0.5, -0.1, NA, "0.1", c(0, 0.1))) expect_error(kernel_markers(M, maf = maf), class = "fastlmm_error_maf")
  expect_refused(kernel_markers(M, maf = 0.5), "maf")
  expect_refused(kernel_markers(M, "scaled", maf = 0.1), "maf")
  expect_refused(kernel_markers(M, loco = TRUE), "loco")
  expect_refused(kernel_markers(M, loco = 1:3), "loco")
  expect_refused(kernel_markers(M, loco = rep(1, 40)), "loco")
  expect_refused(kernel_markers(M, loco = replace(rep(1:2, 20), 7, NA)), "loco")
  expect_refused(quiet_markers(M, loco = replace(rep(1, 40), 3:5, 2)), "loco")
  expect_refused(kernel_markers(M, loco = structure(rep(1:2, 20), names = paste0("x", 1:40))), "loco")
})

test_that("what memory cannot hold is refused with its size, before a marker is read", {
  path <- tempfile()
  # genotypes of 2^18 ids, of which a file holds 64 kB for each marker
  ids <- 2^18
  writeLines(paste("f", seq_len(ids), "0 0 0 -9"), paste0(path, ".fam"))
  writeLines(c("1 a 0 1 A C", "2 b 0 1 A C"), paste0(path, ".bim"))
  writeBin(c(as.raw(c(0x6c, 0x1b, 0x01)), raw(2 * ids / 4)), paste0(path, ".bed"))
  expect_error(kernel_markers(path), "relationships of 262,144 ids, 3 matrices of 262144 x 262144, would take 1536 GiB", class = "fastlmm_error_memory")
  error <- tryCatch(kernel_markers(path, loco = TRUE), fastlmm_error_memory = identity)
  expect_identical(error$needed, 6 * 8 * ids^2)
})
