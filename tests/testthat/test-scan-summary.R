# Lambda, hits and thresholds against their definitions.

# A scan of given p-values
table_scan <- function(log10p, chr = NULL, pos = NULL, status = "ok", response = "y") {
  table <- data.frame(response = response, term = paste0("m", seq_along(log10p)), stringsAsFactors = FALSE)
  if (!is.null(chr)) table <- cbind(table, chr = fastlmm:::chromosome_factor(chr), pos = pos, effect_allele = "A", other_allele = "C", freq = 0.3)
  table <- cbind(table, data.frame(
    n = 100, estimate = 1, std.error = 0.5, statistic = 4, df = 1, df2 = 98, p.value = 10^-log10p, log10p = log10p, h2 = 0.5, logLik = -10, status = status,
    stringsAsFactors = FALSE
  ))
  fastlmm:::with_about(
    table,
    list(
      test = "wald", refit = "none", formula = y ~ 1, candidates = if (is.null(chr)) table$term, keep = "all", asked = length(log10p), rows = 100,
      whole = nrow(table)
    )
  )
}
as_log10p <- function(chi) -pchisq(chi, 1, lower.tail = FALSE, log.p = TRUE) / log(10)

test_that("lambda is the ratio of medians, with the interval of a bootstrap where tests are independent", {
  set.seed(1)
  chi <- 1.2 * rnorm(4000)^2
  found <- summary(table_scan(as_log10p(chi)))$responses
  expect_equal(found$lambda, median(chi) / qchisq(0.5, 1))
  draws <- replicate(1000, median(sample(chi, replace = TRUE))) / qchisq(0.5, 1)
  expect_equal(found$lambda_high - found$lambda_low, diff(quantile(draws, c(0.025, 0.975))), tolerance = 0.25, ignore_attr = TRUE)
  expect_true(found$lambda_low < found$lambda && found$lambda < found$lambda_high)
})

test_that("the interval of lambda is that of a bootstrap of blocks where neighbours go together, and holds what it should", {
  set.seed(2)
  m <- 2500
  draw <- function() rep(rnorm(m / 5), each = 5)^2
  chi <- draw()
  limits <- fastlmm:::inflation_interval(as_log10p(chi))
  blocks <- split(chi, ceiling(seq_len(m) / 50))
  draws <- replicate(1000, median(unlist(sample(blocks, replace = TRUE)))) / qchisq(0.5, 1)
  expect_equal(diff(limits), unname(diff(quantile(draws, c(0.025, 0.975)))), tolerance = 0.3)
  # of independent tests it would be much shorter
  expect_gt(diff(limits), 1.6 * diff(fastlmm:::inflation_interval(as_log10p(sample(chi)))))
  holds <- replicate(400, {
    limits <- fastlmm:::inflation_interval(as_log10p(draw()))
    limits[1] < 1 && 1 < limits[2]
  })
  expect_gt(mean(holds), 0.91)
  expect_lt(mean(holds), 0.985)
  expect_identical(fastlmm:::inflation_interval(as_log10p(chi[1:24])), c(NA_real_, NA_real_))
})

test_that("neighbours are told by positions, however rows are sorted", {
  set.seed(3)
  chi <- rep(rnorm(100), each = 5)^2
  scan <- table_scan(as_log10p(chi), rep(c("1", "2"), each = 250), rep(1:250, 2))
  expect_equal(summary(scan[sample(500), ])$responses, summary(scan)$responses)
  bare <- table_scan(as_log10p(chi))
  expect_equal(summary(bare[sample(500), ])$responses$lambda_low, summary(scan)$responses$lambda_low)
  expect_output(print(scan), sprintf("\nlambda %.3f \\(", summary(scan)$responses$lambda))
})

test_that("a choice of small p-values has no lambda, and its threshold counts all tests", {
  set.seed(4)
  ids <- paste0("i", 1:50)
  G <- matrix(rnorm(50 * 40), 50, dimnames = list(ids, paste0("m", 1:40)))
  data <- data.frame(id = ids, y = rnorm(50) + 2 * G[, 5])
  fit <- suppressMessages(fastlmm_fit(y ~ 1 + (1 | id), data, tcrossprod(matrix(rnorm(50 * 30), 50, dimnames = list(ids, NULL)))))
  most <- suppressMessages(fastlmm_scan(fit, G, keep = "threshold", threshold = 0.2))
  found <- summary(most)
  expect_true(is.na(found$responses$lambda))
  expect_equal(found$threshold$y, -log10(0.05 / 40))
  expect_identical(found$hits$term, "m5")
  expect_false(any(grepl("lambda", capture.output(print(most), print(found)))))
})

test_that("thresholds are those of their definitions", {
  set.seed(5)
  scan <- table_scan(c(-log10(runif(300)), 5, 6, 7, NA), status = c(rep("ok", 303), "constant"))
  heights <- function(...) fastlmm:::scan_lines(..., scan, 0.95)
  expect_equal(heights("bonferroni")$y, -log10(0.05 / 303))
  taken <- p.adjust(scan$p.value[1:303], "BH") <= 0.05
  expect_equal(heights("fdr")$y, min(scan$log10p[1:303][taken]))
  expect_equal(heights(c("genome", "sugg"))$y, c(-log10(5e-8), 5))
  expect_equal(heights(c(mine = 1e-3, 0.01)), data.frame(label = c("mine", "p = 0.01"), y = c(3, 2), named = c(TRUE, FALSE)))
  permuted <- structure(list(maximum = 1:100 / 10, df2 = 98, candidates = 303), class = "fastlmm_permute")
  expect_equal(
    heights(list(permuted, own = "bonf"))[c("label", "y")],
    data.frame(label = c("permutation", "own"), y = c(quantile(permuted, 0.95)$log10p, -log10(0.05 / 303)))
  )
  none <- table_scan(-log10(seq(0.1, 1, length.out = 50)))
  expect_identical(fastlmm:::scan_lines("fdr", none, 0.95)$y, NA_real_)
  for (bad in list(0, 2, NA, "a", list(), mean, list(mean), NaN)) expect_error(heights(bad), class = "fastlmm_error_scan")
})

test_that("hits are the strongest of their neighbourhoods", {
  pos <- c(1, 2, 3, 20, 21, 40, 1, 2, 60) * 1e5
  scan <- table_scan(c(8, 9, 7, 8.5, 3, 6, 7.5, NA, 2), rep(c("1", "2"), c(6, 3)), pos)
  found <- summary(scan, threshold = 1e-5)
  expect_identical(found$hits$term, c("m2", "m4", "m7", "m6"))
  expect_identical(found$hits$tests, c(3L, 1L, 1L, 1L))
  expect_equal(found$hits$from, c(1, 20, 1, 40) * 1e5)
  expect_equal(found$hits$to, c(3, 20, 1, 40) * 1e5)
  expect_identical(summary(scan, threshold = 1e-5, distance = 5e6)$hits$term, c("m2", "m7"))
  expect_identical(summary(scan, threshold = 1e-5, distance = 0)$hits$term, c("m2", "m4", "m1", "m7", "m3", "m6"))
  expect_output(print(found), "Hits \\(p = 1e-05: .*: 4\n.*m2 .* 3 ")
  expect_identical(nrow(summary(scan, threshold = 1e-20)$hits), 0L)
  # without positions each is its own; responses are apart
  expect_identical(nrow(summary(table_scan(c(8, 9)), threshold = 1e-5)$hits), 2L)
  two <- table_scan(c(8, 9), c("1", "1"), c(1e5, 1e5), response = c("a", "b"))
  expect_identical(summary(two, threshold = 1e-5)$hits$response, c("b", "a"))
  expect_identical(summary(two)$counts, data.frame(ok = c(1L, 1L), row.names = c("a", "b")))
  for (bad in list(-1, NA, "a", 1:2)) expect_error(summary(scan, distance = bad), class = "fastlmm_error_scan")
  expect_error(summary(scan, threshold = c(0.1, 0.2)), "one threshold", class = "fastlmm_error_scan")
})
