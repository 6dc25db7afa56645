# Pictures are drawn, and what they show is right.

picture_scan <- function() {
  once("scan for pictures", {
    set.seed(8)
    ids <- paste0("i", 1:80)
    G <- matrix(rbinom(80 * 200, 2, 0.4) + 0, 80, dimnames = list(ids, paste0("m", 1:200)))
    data <- data.frame(id = ids, y = G[, 9] + rnorm(80))
    K <- tcrossprod(matrix(rnorm(80 * 40), 80, dimnames = list(ids, NULL)))
    suppressMessages(fastlmm_scan(fastlmm_fit(y ~ 1 + (1 | id), data, K), G))
  })
}

drawn <- function(expr) {
  file <- tempfile_with(".pdf", parent.frame())
  grDevices::pdf(file)
  on.exit(grDevices::dev.off())
  force(expr)
}

test_that("every picture is drawn, by base graphics and by ggplot2", {
  scan <- picture_scan()
  map <- data.frame(chr = rep(c("a", "b"), each = 100), pos = rep(1:100, 2))
  for (type in c("manhattan", "qq", "effects")) {
    expect_identical(drawn(plot(scan, type, map = map, threshold = 0.01)), scan)
    if (requireNamespace("ggplot2", quietly = TRUE)) {
      picture <- ggplot2::autoplot(scan, type, map = map, threshold = 0.01)
      expect_s3_class(picture, "ggplot")
      drawn(print(picture))
    }
  }
  drawn(plot(scan))
  expect_error(plot(scan, map = map[-1, ]), class = "fastlmm_error_scan")
})

test_that("groups stand beside each other in order", {
  scan <- picture_scan()
  map <- data.frame(chr = rep(c("10", "2"), each = 100), pos = c(500 + 1:100, 1:100))
  d <- fastlmm:::manhattan_data(scan, map)
  expect_identical(d$groups, c("2", "10"))
  expect_lt(max(d$at[101:200]), min(d$at[1:100]))
  map$chr <- factor(map$chr, c("second", "10", "2"))
  expect_identical(fastlmm:::manhattan_data(scan, map)$groups, c("10", "2"))
  expect_equal(diff(d$at[1:100]), rep(1, 99))
})

test_that("the band holds what is expected, and lambda is the ratio of medians", {
  scan <- picture_scan()
  m <- 5000
  scan <- scan[rep(1, m), ]
  scan$log10p <- -log10((seq_len(m) - 0.5) / m)
  d <- fastlmm:::qq_data(scan)
  expect_equal(d$lambda, 1, tolerance = 1e-3)
  expect_equal(d$y, d$expected)
  expect_true(all(d$low < d$y & d$y < d$high))
  scan$log10p <- -pchisq(1.5 * qchisq((seq_len(m) - 0.5) / m, 1, lower.tail = FALSE), 1, lower.tail = FALSE, log.p = TRUE) / log(10)
  expect_equal(fastlmm:::qq_data(scan)$lambda, 1.5, tolerance = 1e-3)
})

test_that("thinning keeps the picture and the strongest", {
  set.seed(1)
  y <- -log10(runif(3e5))
  kept <- fastlmm:::seen(seq_along(y), y)
  expect_lt(length(kept), 2e5)
  expect_true(all(order(-y)[1:1000] %in% kept))
  expect_identical(fastlmm:::seen(1:100, y[1:100]), 1:100)
})

test_that("effects are the strongest, with intervals of their own degrees of freedom", {
  scan <- picture_scan()
  d <- fastlmm:::effects_data(scan, 3, 0.9)
  top <- order(-scan$log10p)[1:3]
  expect_identical(d$label, scan$term[top])
  expect_equal(d$high - d$estimate, qt(0.95, scan$df2[top]) * scan$std.error[top])
})

test_that("a scan prints its strongest and what was not tested", {
  scan <- picture_scan()
  expect_output(print(scan), "m9 ")
  expect_output(print(scan[1:2, c("term", "estimate")]), "term +estimate")
  scan$status[4] <- "constant"
  expect_output(print(scan), "not tested: constant 1")
  expect_s3_class(as.data.frame(scan), "data.frame", exact = TRUE)
})

# ---- thresholds, labels, regions --------------------------------------------------------------------------

region_scan <- function() {
  once("scan for regions", {
    set.seed(9)
    ids <- paste0("i", 1:90)
    G <- matrix(rbinom(90 * 60, 2, 0.4) + 0, 90, dimnames = list(ids, paste0("m", 1:60)))
    G[, 11] <- ifelse(runif(90) < 0.15, G[, 11], G[, 10])
    G[5, 12] <- NA
    data <- data.frame(id = ids, y = G[, 10] + 0.9 * G[, 50] + rnorm(90))
    K <- tcrossprod(matrix(rnorm(90 * 40), 90, dimnames = list(ids, NULL)))
    map <- data.frame(chr = rep(c("10", "9"), each = 30), pos = rep(1:30, 2) * 1e5)
    list(G = G, map = map, scan = suppressMessages(fastlmm_scan(fastlmm_fit(y ~ 1 + (1 | id), data, K), G, map = map)))
  })
}
genes <- data.frame(chr = c("chr10", "10", "9"), start = c(8e5, 12e5, 1e5), end = c(10e5, 40e5, 2e5), name = c("first", "second", "elsewhere"))

test_that("labels are those of hits, of a number of them, of names, and texts of names", {
  scan <- region_scan()$scan
  labels <- function(label, threshold = "bonferroni", of = scan) {
    placed <- fastlmm:::placed_tests(of)
    fastlmm:::label_data(label, of, placed, fastlmm:::manhattan_data(of, placed = placed), fastlmm:::scan_lines(threshold, of, 0.95))
  }
  hits <- summary(scan)$hits$term
  expect_identical(labels(TRUE)$text, hits)
  expect_identical(labels(TRUE, NULL)$text, hits)
  expect_identical(labels(TRUE, c(1e-30, 1e-3))$text, character())
  expect_identical(labels(1)$text, hits[1])
  expect_identical(labels(c(m50 = "here", m3 = "there"))$text, c("here", "there"))
  expect_equal(labels("m50")$y, scan$log10p[50])
  expect_equal(labels("m50", of = scan[60:1, ])$at, labels("m50")$at)
  expect_identical(nrow(labels(NULL)) + nrow(labels(FALSE)), 0L)
  for (bad in list("nobody", NA, 0, 1.5, list(), mean, character())) expect_error(labels(bad), class = "fastlmm_error_scan")
})

test_that("labels that would meet are put above each other", {
  y <- fastlmm:::free_heights(c(1, 1.5, 5), c(2, 2, 2), c(1, 1, 1), 0.4)
  expect_gte(y[2] - y[1], 0.4)
  expect_identical(y[c(1, 3)], c(2, 2))
})

test_that("a chromosome alone has its positions, in millions of bases", {
  d <- fastlmm:::manhattan_data(region_scan()$scan[1:30, ])
  expect_identical(d$at, 1:30 * 1e5)
  expect_identical(d$label, "position on chromosome 10 (Mb)")
  expect_equal(as.numeric(d$groups) * 1e6, d$ticks)
  map <- data.frame(term = paste0("m", 1:60), chr = "I", pos = 1:60)
  expect_identical(fastlmm:::manhattan_data(region_scan()$scan, map)$label, "position on chromosome I")
})

test_that("a region holds the tests within it, with correlations and genes", {
  w <- region_scan()
  region <- function(...) {
    given <- list(scan = w$scan, map = NULL, region = NULL, window = NULL, candidates = NULL, genes = NULL)
    do.call(fastlmm:::region_data, replace(given, ...names(), list(...)))
  }
  lead <- w$scan$term[which.max(w$scan$log10p)]
  whole <- region()
  expect_identical(whole$term[whole$lead], lead)
  at <- w$scan$pos[match(lead, w$scan$term)]
  inside <- w$scan$chr == w$scan$chr[match(lead, w$scan$term)] & abs(w$scan$pos - at) <= 5e5
  expect_identical(whole$term, w$scan$term[inside])
  some <- region(region = "10:900000-1,250,000", candidates = w$G, genes = genes)
  expect_identical(some$term, c("m9", "m10", "m11", "m12"))
  top <- some$term[some$lead]
  expect_identical(top, some$term[which.max(some$y)])
  expect_equal(some$r2, vapply(some$term, function(term) cor(w$G[, term], w$G[, top], use = "complete.obs")^2, 0, USE.NAMES = FALSE))
  expect_identical(some$genes$name, c("first", "second"))
  expect_identical(some$genes$end, c(10e5, 1250000))
  named <- region(region = "m50", window = 1e5)
  expect_identical(named$term, c("m49", "m50", "m51"))
  expect_identical(named$lead, 2L)
  refused <- function(...) expect_error(region(...), class = "fastlmm_error")
  for (bad in list("nobody", "11:1-2", "10:5-2", 1, NA, c("m1", "m2"), "9:1-2")) refused(region = bad)
  for (bad in list(0, NA, "a")) refused(window = bad)
  refused(candidates = w$G[, 1:3])
  refused(genes = data.frame(chr = 1))
})

test_that("genes whose names would meet go to lanes of their own", {
  where <- list(chr = "1", from = 0, to = 1000)
  lanes <- fastlmm:::gene_lanes(data.frame(chr = "1", start = c(10, 200, 15, 600), end = c(100, 300, 90, 700), name = letters[1:4]), where)
  expect_identical(lanes$name, c("a", "c", "b", "d"))
  expect_identical(lanes$lane, c(1, 2, 1, 1))
})

test_that("pictures with lines, labels and regions are drawn, by base graphics and by ggplot2", {
  w <- region_scan()
  scan <- w$scan
  permuted <- structure(list(maximum = 1:100 / 5, df2 = 88, candidates = 60), class = "fastlmm_permute")
  calls <- list(
    list(threshold = list("bonferroni", "fdr", own = 1e-3, permuted), label = TRUE), list(threshold = "genomewide", label = 60),
    list(threshold = c(a = 0.01), label = c(m3 = "a long text at the edge of the picture")),
    list(type = "region"), list(type = "region", candidates = w$G, genes = genes, threshold = "bonf", label = TRUE),
    list(type = "region", region = "9:100000-3000000", candidates = w$G, genes = genes[3, ]),
    list(type = "effects", n = 60)
  )
  for (call in calls) {
    drawn(expect_identical(do.call(plot, c(list(scan), call)), scan))
    if (!requireNamespace("ggplot2", quietly = TRUE)) next
    picture <- do.call(ggplot2::autoplot, c(list(scan), call))
    expect_s3_class(picture, "ggplot")
    drawn(print(picture))
  }
  # what the caller says counts
  drawn({
    plot(scan, ylim = c(0, 100), cex = 2, xlim = c(0, 10))
    expect_equal(graphics::par("usr")[4], 104)
  })
})

test_that("what belongs to a region draws one, and is refused of other pictures", {
  scan <- picture_scan()
  map <- data.frame(chr = rep(c("1", "2"), each = 100), pos = rep(1:100, 2) * 1e5)
  expect_identical(scan_picture("manhattan", FALSE, character()), "manhattan")
  expect_identical(scan_picture("manhattan", FALSE, "region"), "region")
  expect_error(plot(scan, "qq", map = map, region = "m9"), "region =", class = "fastlmm_error_scan")
  drawn(expect_identical(plot(scan, map = map, region = "m9"), scan))
  skip_if_not_installed("ggplot2")
  picture <- ggplot2::autoplot(scan, map = map, region = "1:500000-3000000")
  expect_match(as.character(picture$labels$x), "chromosome 1")
  expect_lt(nrow(picture$data), 30)
  expect_error(ggplot2::autoplot(scan, "effects", map = map, window = 1e6), class = "fastlmm_error_scan")
})
