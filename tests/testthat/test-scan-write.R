# Files of scans in the columns of other programs are read back equal.

written_world <- function() {
  once("scan to be written", {
    set.seed(21)
    n <- 70
    ids <- paste0("i", seq_len(n))
    G <- matrix(rbinom(n * 9, 2, 0.4) + 0, n, dimnames = list(ids, paste0("m", 1:9)))
    G[1:3, 4] <- NA
    G[, 6] <- 1
    data <- data.frame(id = ids, y = rnorm(n) + G[, 2])
    K <- tcrossprod(matrix(rnorm(n * 40), n, dimnames = list(ids, NULL))) / 40
    map <- data.frame(
      chr = c("1", "1", "2", "22", "X", "X", "Y", "MT", NA), pos = c(123456789, 2:8 * 1e5, NA), effect_allele = rep(c("T", "F", "NA"), 3), other_allele = "C",
      row.names = colnames(G)
    )
    fit <- suppressMessages(fastlmm_fit(y ~ 1 + (1 | id), data, K))
    list(fit = fit, G = G, map = map, scan = suppressMessages(fastlmm_scan(fit, G, map = map)))
  })
}
written <- function(scan, format, file = tempfile(), ...) {
  suppressMessages(write_scan(scan, file, format, ...))
  read <- utils::read.table(file, header = TRUE, sep = "\t", comment.char = "", check.names = FALSE, colClasses = "character", na.strings = character())
  unlink(file)
  read
}
read_number <- function(x) as.numeric(replace(x, x %in% c("NA", "#NA"), NA))

test_that("GWAS-SSF has its columns in their order, and the numbers of the scan", {
  w <- written_world()
  scan <- w$scan[w$scan$status == "ok" & !is.na(w$scan$chr), ]
  expect_message(write_scan(w$scan, tempfile(), "gwas-ssf"), "not tested or without a chromosome and position: 2 tests", class = "fastlmm_message_not_written")
  read <- written(w$scan, "gwas-ssf")
  expect_identical(
    names(read)[1:8], c("chromosome", "base_pair_location", "effect_allele", "other_allele", "beta", "standard_error", "effect_allele_frequency", "p_value")
  )
  expect_identical(read$chromosome, c("1", "1", "2", "22", "23", "24", "25"))
  expect_identical(read$base_pair_location[1], "123456789")
  expect_identical(read$effect_allele, scan$effect_allele)
  expect_identical(read$variant_id, scan$term)
  for (pair in list(c("beta", "estimate"), c("standard_error", "std.error"), c("effect_allele_frequency", "freq"), c("p_value", "p.value"), c("n", "n"))) {
    expect_equal(read_number(read[[pair[1]]]), scan[[pair[2]]], tolerance = 1e-13)
  }
  gz <- tempfile(fileext = ".tsv.gz")
  expect_identical(written(w$scan, "gwas-ssf", gz), read)
})

test_that("PLINK's columns, untested candidates too", {
  w <- written_world()
  read <- written(w$scan, "plink", level = 0.9)
  expect_identical(names(read), c("CHR", "SNP", "BP", "A1", "TEST", "NMISS", "BETA", "SE", "L90", "U90", "STAT", "P"))
  expect_identical(read$SNP, w$scan$term)
  expect_identical(read$P[6], "NA")
  expect_equal(read_number(read$NMISS), w$scan$n)
  expect_equal(read_number(read$STAT)^2, w$scan$statistic, tolerance = 1e-10)
  expect_equal(read_number(read$U90), w$scan$estimate + qt(0.95, w$scan$df2) * w$scan$std.error, tolerance = 1e-12)
  two <- written(w$scan, "plink2")
  expect_identical(names(two)[c(1:5, 7, 15, 16)], c("#CHROM", "POS", "ID", "REF", "ALT", "A1", "P", "ERRCODE"))
  expect_identical(two$A1, w$scan$effect_allele)
  expect_equal(read_number(two$A1_FREQ), w$scan$freq, tolerance = 1e-13)
  expect_identical(two$ERRCODE, ifelse(w$scan$status == "ok", ".", "CONSTANT"))
})

test_that("GEMMA's columns, by the kind of test", {
  w <- written_world()
  read <- written(w$scan, "gemma")
  ok <- w$scan$status == "ok"
  expect_identical(names(read), c("chr", "rs", "ps", "n_miss", "allele1", "allele0", "af", "beta", "se", "logl_H1", "l_remle", "p_wald"))
  expect_equal(read_number(read$n_miss), 70 - w$scan$n[ok])
  expect_identical(read$n_miss[4], "3")
  expect_equal(read_number(read$l_remle), rep(1 / w$fit$delta[[1]], sum(ok)), tolerance = 1e-8)
  expect_equal(read_number(read$beta), w$scan$estimate[ok], tolerance = 1e-13)
  ratio <- suppressMessages(fastlmm_scan(w$fit, w$G, map = w$map, test = "lrt", refit = "delta"))
  expect_identical(names(written(ratio, "gemma"))[11:12], c("l_mle", "p_lrt"))
})

test_that("p-values below the smallest number are written by their logarithms", {
  scan <- written_world()$scan
  scan$log10p[1] <- 411.5
  scan$p.value[1] <- 0
  p <- written(scan, "plink")$P[1]
  parts <- as.numeric(strsplit(p, "e")[[1]])
  expect_equal(log10(parts[1]) + parts[2], -411.5)
})

test_that("what cannot be written is told", {
  w <- written_world()
  refused <- function(scan, ...) expect_error(write_scan(scan, tempfile(), ...), class = "fastlmm_error_scan")
  refused(as.data.frame(w$scan))
  refused(suppressMessages(fastlmm_scan(w$fit, w$G)))
  refused(w$scan[setdiff(names(w$scan), "df2")])
  refused(w$scan[6, ], "gemma")
  refused(suppressMessages(fastlmm_scan(w$fit, w$G, map = w$map, sets = list(1:2, 3))))
  refused(rbind(w$scan, transform(w$scan, response = "z")))
  expect_error(write_scan(w$scan, file.path(tempfile(), "nowhere"), "plink"), "could not be written", class = "fastlmm_error_file")
  for (file in list(1, NA, "", c("a", "b"), NULL)) expect_error(write_scan(w$scan, file, "plink"), class = "fastlmm_error_file")
})
