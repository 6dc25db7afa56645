# Pictures, compared line by line as vdiffr draws them: a change must be looked at and accepted (testthat::snapshot_review("pictures")).
# Its drawings differ between its versions: another than Debian's skips the test, as does an older R.
drawn_by <- "1.0.5"

picture <- function(name, draw) {
  announce_snapshot_file(name = paste0(name, ".svg"))
  skip_on_cran()
  skip_if_not_installed("vdiffr")
  skip_if_not(utils::packageVersion("vdiffr") == drawn_by, paste("vdiffr", drawn_by, "is not installed"))
  vdiffr::expect_doppelganger(name, draw)
}

# 40 ids, 12 markers on three chromosomes, the fifth with an effect; numbers without a generator, so that they are the same everywhere
world <- function() {
  ids <- sprintf("i%02d", 1:40)
  M <- outer(1:40, 1:12, function(i, j) floor(3 * abs(sin(i * j + j^2))))
  dimnames(M) <- list(ids, paste0("m", 1:12))
  y <- 1.2 * M[, 5] + drop(sin(M %*% 1:12)) + cos(3 * 1:40)
  map <- data.frame(term = colnames(M), chr = rep(1:3, each = 4), pos = rep(c(1, 4, 6, 9), 3) * 1e6)
  list(M = M, map = map, data = data.frame(id = ids, y = y))
}
fitted_world <- function(w) fastlmm_fit(y ~ 1 + (1 | id), w$data, K = kernel_markers(w$M, method = "centred"))

test_that("the panel of a fit and its profile are drawn as before", {
  fit <- fitted_world(world())
  picture("fit", function() plot(fit))
  picture("profile", function() plot(fit, which = "profile"))
})

test_that("a scan is drawn as before, along the genome and against expectation", {
  w <- world()
  scan <- fastlmm_scan(fitted_world(w), w$M, map = w$map, progress = FALSE)
  picture("manhattan", function() plot(scan, threshold = "bonferroni", label = 1))
  picture("qq", function() plot(scan, type = "qq"))
})

test_that("means by genotype are drawn as before", {
  w <- world()
  means <- genotype_means(fitted_world(w), w$M, "m5")
  picture("genotypes", function() plot(means))
})
