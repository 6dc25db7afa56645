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
  expect_identical(d$groups, c("10", "2"))
  expect_lt(max(d$at[1:100]), min(d$at[101:200]))
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
