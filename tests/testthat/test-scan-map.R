# Maps of candidates, natural order of chromosomes, and the filter of rare candidates.

map_world <- function() {
  once("scan with a map", {
    set.seed(20)
    n <- 60
    ids <- paste0("i", seq_len(n))
    G <- matrix(rbinom(n * 14, 2, rep(c(0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.97), each = n)) + 0, n, dimnames = list(ids, paste0("m", 1:14)))
    G[c(3, 8), 4] <- NA
    data <- data.frame(id = rep(ids[-2], 2), x = rnorm(118))
    data$y <- rnorm(118) + G[data$id, 3]
    data$Y <- cbind(a = data$y, b = rnorm(118))
    K <- tcrossprod(matrix(rnorm(n * 40), n, dimnames = list(ids, NULL))) / 40
    map <- data.frame(chr = rep(c("10", "2", "X", "1"), c(4, 4, 4, 2)), pos = 14:1 * 1e5, effect_allele = "A", other_allele = "G", row.names = colnames(G))
    fit <- suppressMessages(fastlmm_fit(y ~ x + (1 | id), data, K))
    many <- suppressMessages(fastlmm_fit(Y ~ x + (1 | id), data, K))
    # each id of the fit once
    frequency <- colMeans(G[unique(data$id), ], na.rm = TRUE) / 2
    list(fit = fit, many = many, G = G, map = map, data = data, frequency = unname(frequency))
  })
}
scan_now <- function(...) suppressMessages(fastlmm_scan(..., progress = FALSE))
unplaced <- function(scan) as.data.frame(scan)[setdiff(names(scan), c("chr", "pos", "effect_allele", "other_allele", "freq"))]

test_that("a map gives its columns, by names or in order, and changes no number", {
  w <- map_world()
  plain <- scan_now(w$fit, w$G)
  scan <- scan_now(w$fit, w$G, map = w$map)
  expect_equal(unplaced(scan), as.data.frame(plain))
  expect_identical(as.character(scan$chr), w$map$chr)
  expect_identical(levels(scan$chr), c("1", "2", "10", "X"))
  expect_identical(scan$pos, w$map$pos)
  expect_equal(scan$freq, w$frequency)
  expect_identical(scan_now(w$fit, w$G, map = w$map[sample(14), ]), scan)
  expect_identical(scan_now(w$fit, w$G, map = cbind(term = rev(rownames(w$map)), w$map[14:1, ])), scan)
  expect_identical(scan_now(w$fit, w$G, map = rbind(w$map, elsewhere = w$map[1, ])), scan)
  # a table without alleles does not say that candidates are copies
  expect_identical(names(scan_now(w$fit, w$G, map = `rownames<-`(w$map[1:2], NULL)))[3:5], c("chr", "pos", "n"))
  # names in a column of any name, as other programs have them; a map that has other names is in order
  named <- data.frame(SNP = factor(rev(rownames(w$map))), `rownames<-`(w$map[14:1, ], NULL))
  expect_identical(scan_now(w$fit, w$G, map = named), scan)
  expect_identical(scan_now(w$fit, w$G, map = data.frame(assay = paste0("a", 1:14), `rownames<-`(w$map, NULL))), scan)
  expect_identical(scan_now(w$many, w$G, map = w$map)$pos, rep(w$map$pos, 2))
  sets <- scan_now(w$fit, w$G, map = w$map[1:2], sets = list(1:2, c(1, 14)))
  expect_identical(sets$pos, c(1350000, NA))
  groups <- scan_now(w$fit, w$G, map = w$map, groups = w$map$chr, kernels = sapply(unique(w$map$chr), function(chr) w$fit$random[[1]]$kernel, simplify = FALSE))
  expect_equal(groups[c("term", "chr", "pos", "freq")], scan[c("term", "chr", "pos", "freq")], ignore_attr = TRUE)
})

test_that("a .bim is a map, and a map replaces places of files", {
  w <- map_world()
  stem <- tempfile()
  write_bed(stem, w$G, data.frame(chr = w$map$chr, pos = w$map$pos, allele = "A", other = "G"))
  bed <- scan_now(w$fit, paste0(stem, ".bed"))
  expect_equal(scan_now(w$fit, w$G, map = paste0(stem, ".bim")), bed)
  lifted <- scan_now(w$fit, paste0(stem, ".bed"), map = data.frame(term = colnames(w$G), chr = 5, pos = 1:14))
  expect_identical(as.character(lifted$chr), rep("5", 14))
  expect_identical(lifted$effect_allele, bed$effect_allele)
})

test_that("maps that do not fit are refused", {
  w <- map_world()
  for (map in list(
    w$map[-1, ], w$map["chr"], list(1), "nowhere.bim", transform(w$map, pos = letters[1:14]),
    rbind(cbind(term = "m1", w$map[1, ]), cbind(term = rownames(w$map), w$map))
  )) {
    expect_error(scan_now(w$fit, w$G, map = map), class = "fastlmm_error_scan")
  }
  expect_error(scan_now(w$fit, w$G, map = w$map[-1, ]), "no row for \"m1\"")
  # names that are there count, whatever the number of rows
  foreign <- cbind(term = replace(rownames(w$map), 2, "rs2"), w$map)
  expect_error(scan_now(w$fit, w$G, map = foreign), "no row for \"m2\"", class = "fastlmm_error_scan")
})

test_that("chromosomes stand in natural order", {
  natural <- fastlmm:::natural_order
  expect_identical(natural(c("MT", "10", "X", "2", "Y", "1", "GL000192", "22")), c("1", "2", "10", "22", "X", "Y", "MT", "GL000192"))
  expect_identical(natural(c("chrX", "chr10", "chr9")), c("chr9", "chr10", "chrX"))
  expect_identical(natural(c("X", "IX", "V", "IV", "II")), c("II", "IV", "V", "IX", "X"))
  expect_identical(natural(c("3R", "2R", "X", "2L")), c("2L", "2R", "3R", "X"))
  expect_identical(natural(c("scaffold_10", "scaffold_9")), c("scaffold_9", "scaffold_10"))
  expect_identical(natural(c("7D", "1B", "1A")), c("1A", "1B", "7D"))
  # alphabetical levels are nobody's choice, others are
  expect_identical(levels(fastlmm:::chromosome_factor(factor(c(10, 2, 1), c("1", "10", "2")))), c("1", "2", "10"))
  expect_identical(levels(fastlmm:::chromosome_factor(factor(c("b", "a"), c("b", "a")))), c("b", "a"))
  w <- map_world()
  scan <- scan_now(w$fit, w$G, map = w$map)
  expect_identical(levels(rbind(scan[1:4, ], scan[5:14, ])$chr), levels(scan$chr))
  expect_identical(levels(rbind(droplevels(as.data.frame(scan)[1:4, ]), scan[13:14, ])$chr)[1], "10")
})

test_that("rare candidates are not tested but counted, and others keep their numbers", {
  w <- map_world()
  rare <- pmin(w$frequency, 1 - w$frequency) < 0.08
  expect_true(any(rare) && !all(rare))
  alone <- function(scan) as.data.frame(scan)[c("estimate", "std.error", "statistic", "df", "df2", "p.value", "log10p", "h2", "logLik")]
  all <- scan_now(w$fit, w$G)
  for (ask in list(list(), list(refit = "delta"), list(test = "lrt", refit = "hybrid"), list(na = "omit"), list(block_size = 3), list(interaction = ~x))) {
    run <- function(...) do.call(scan_now, c(list(w$fit, w$G), ask, list(...)))
    scan <- run(maf = 0.08)
    whole <- run()
    expect_identical(scan$status, ifelse(rare, "rare", whole$status))
    expect_equal(scan$freq, w$frequency)
    expect_equal(alone(scan)[!rare, ], alone(whole)[!rare, ])
    expect_true(all(is.na(alone(scan)[rare, ])))
    expect_identical(scan$n, whole$n)
  }
  many <- scan_now(w$many, w$G, maf = 0.08)
  whole <- scan_now(w$many, w$G)
  expect_identical(many$status, ifelse(rep(rare, 2), "rare", whole$status))
  expect_equal(alone(many)[!rep(rare, 2), ], alone(whole)[!rep(rare, 2), ])
  expect_true(all(is.na(alone(many)[rep(rare, 2), ])))
  for (fit in list(w$fit, w$many)) {
    most <- scan_now(fit, w$G, maf = 0.08, keep = "max")
    tested <- scan_now(fit, w$G, maf = 0.08)
    best <- vapply(split(tested, tested$response), function(x) x$term[which.max(x$log10p)], "")
    expect_identical(most$term, unname(best[most$response]))
  }
  expect_output(print(scan_now(w$fit, w$G, maf = 0.08)), paste("not tested: rare", sum(rare)))
  # a frequency of exactly maf is not below it
  one <- w$frequency[which.min(abs(w$frequency - 0.3))]
  expect_identical(scan_now(w$fit, w$G, maf = one)$status[match(one, w$frequency)], "ok")
  expect_identical(scan_now(w$fit, cbind(w$G, z = rnorm(60)), maf = 0.01)$status[15], "no_frequency")
  for (maf in list(-1, 0.6, NA, "a", 1:2, NULL)) expect_error(scan_now(w$fit, w$G, maf = maf), class = "fastlmm_error_scan")
  expect_error(scan_now(w$fit, w$G, maf = 0.1, sets = rep(1:2, 7)), "leave rare columns out", class = "fastlmm_error_scan")
})

test_that("permutations leave out what is rare, and take the null model of each group", {
  w <- map_world()
  rare <- pmin(w$frequency, 1 - w$frequency) < 0.08
  permute <- function(G, ...) suppressMessages(fastlmm_permute(w$fit, G, n = 40, seed = 3, progress = FALSE, ...))
  expect_equal(permute(w$G, maf = 0.08)[1:3], permute(w$G[, !rare])[1:3])
  groups <- rep(c("p", "q"), each = 7)
  kernels <- list(p = diag(60)[, ] |> structure(dimnames = list(rownames(w$G), rownames(w$G))), q = w$fit$random[[1]]$kernel)
  both <- permute(w$G, groups = groups, kernels = kernels)
  expect_identical(both$candidates, 14L)
  expect_output(print(both), "2 groups left out of the kernel in turn, 14 candidates")
  # the definition: each group by itself, one after the other from one seed, and the larger of the two
  own <- fastlmm:::with_kernel(w$fit, kernels$p)
  set.seed(3)
  first <- suppressMessages(fastlmm_permute(own, w$G[, 1:7], n = 40))$maximum
  second <- suppressMessages(fastlmm_permute(w$fit, w$G[, 8:14], n = 40))$maximum
  expect_equal(both$maximum, pmax(first, second))
  expect_error(suppressMessages(fastlmm_permute(w$many, w$G, groups = groups)), class = "fastlmm_error_scan")
  expect_error(permute(w$G, groups = groups[-1], kernels = kernels), "fastlmm_permute\\(\\) got groups of length 13", class = "fastlmm_error_scan")
})
