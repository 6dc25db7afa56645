# Files and objects that are not what they say: a classed error, and R lives.

write_plink <- function(ids, fam = sprintf("f %s 0 0 1 1", ids), bim = sprintf("1 m%d 0 %d A C", 1:8, 1:8)) {
  stem <- tempfile()
  lines <- function(x, file) writeBin(unlist(lapply(x, function(line) c(if (is.raw(line)) line else charToRaw(line), as.raw(10)))), file)
  writeBin(c(as.raw(c(0x6c, 0x1b, 0x01)), as.raw(sample(0:255, 8 * ceiling(length(ids) / 4), replace = TRUE))), paste0(stem, ".bed"))
  lines(fam, paste0(stem, ".fam"))
  lines(bim, paste0(stem, ".bim"))
  paste0(stem, ".bed")
}

test_that("ragged, empty and unreadable PLINK files, and a sample called NA", {
  set.seed(1)
  ids <- c("NA", paste0("s", 2:30))
  data <- data.frame(id = ids, y = rnorm(30))
  fit <- suppressMessages(fastlmm_fit(y ~ 1 + (1 | id), data, structure(0.9^abs(outer(1:30, 1:30, "-")), dimnames = list(ids, ids))))
  refused <- function(path) expect_error(fastlmm_scan(fit, path), class = "fastlmm_error_candidates")
  fam <- sprintf("f %s 0 0 1 1", ids)
  expect_identical(nrow(fastlmm_scan(fit, write_plink(ids))), 8L)
  latin <- as.raw(c(0x66, 0x20, 0xff, 0xfe, 0x20, 0x30, 0x20, 0x30, 0x20, 0x31, 0x20, 0x31))
  for (bad in list(c(fam[-1], "f s1"), c("f s1", fam[-1]), ids, c(as.list(fam[-1]), list(latin)), fam[-1])) refused(write_plink(ids, fam = bad))
  for (ending in c("bed", "bim", "fam")) {
    path <- write_plink(ids)
    file <- sub("bed$", ending, path)
    file.create(file)
    refused(path)
    unlink(file)
    dir.create(file)
    refused(path)
  }
})

test_that("Matrix objects with slots that do not belong together", {
  set.seed(1)
  ids <- paste0("s", 1:30)
  data <- data.frame(id = ids, y = rnorm(30))
  G <- matrix(rbinom(240, 2, 0.4) + 0, 30, dimnames = list(ids, paste0("m", 1:8)))
  K <- tcrossprod(scale(G)) / 8 + diag(0.1, 30)
  fit <- suppressMessages(fastlmm_fit(y ~ 1 + (1 | id), data, K))
  broken <- function(x) {
    x <- Matrix::Matrix(x, sparse = TRUE)
    out <- list(x, x, x, x)
    out[[1]]@i[3] <- 100000L
    out[[2]]@p <- x@p[1:5]
    out[[3]]@x <- x@x[1:5]
    out[[4]]@Dim <- c(3L, 3L)
    out
  }
  for (bad in broken(K)) {
    expect_error(fastlmm_fit(y ~ 1 + (1 | id), data, bad), "not a valid object", class = "fastlmm_error_kernel_class")
    expect_error(fastlmm_decompose(bad), "not a valid object", class = "fastlmm_error_kernel_class")
  }
  for (bad in broken(G)) {
    expect_error(kernel_lowrank(bad), "not a valid object", class = "fastlmm_error_kernel_class")
    expect_error(fastlmm_scan(fit, bad), "not a valid object", class = "fastlmm_error_candidates")
    expect_error(fastlmm_permute(fit, bad, n = 2), "not a valid object", class = "fastlmm_error_candidates")
  }
})
