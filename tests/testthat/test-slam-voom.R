# Log counts with weights: limma's voom and its EList on the left side of slamglmm_fit().

skip_if_not_installed("limma")

voom_world <- function(n = 40, genes = 12) {
  set.seed(1)
  data <- data.frame(line = rep(sprintf("l%02d", 1:20), length.out = n), treated = rep(0:1, each = n / 2))
  counts <- matrix(rpois(n * genes, 60 * exp(rnorm(n * genes, sd = 0.3))), genes, dimnames = list(paste0("g", 1:genes), sprintf("s%02d", 1:n)))
  list(data = data, counts = counts, design = stats::model.matrix(~treated, data))
}

test_that("slam_voom() has limma's numbers, samples x genes, from counts of either orientation", {
  world <- voom_world()
  own <- slam_voom(world$counts, world$design)
  by_limma <- limma::voom(world$counts, world$design)
  expect_s3_class(own, "slam_response")
  expect_equal(plain_response(own), t(by_limma$E))
  expect_equal(response_blocks(own)[[1]]$rows$weights, unname(t(by_limma$weights)))
  expect_equal(slam_voom(t(world$counts), world$design), own)
  expect_equal(slam_voom(as.data.frame(world$counts), world$design), own)
  expect_equal(slam_voom(world$counts), as_slam_response(limma::voom(world$counts), "v"))
  expect_false(isTRUE(all.equal(plain_response(slam_voom(world$counts, world$design, lib.size = rep(1e6, 40))), plain_response(own))))
})

test_that("an EList on the left side is its E with its weights", {
  world <- voom_world()
  v <- limma::voom(world$counts, world$design)
  fit <- quiet_slam(v ~ treated + (1 | line), world$data, n_factors = 2, chains = 1, iter = 30, seed = 1)
  data <- world$data
  data$Y <- t(v$E)
  as_before <- quiet_slam(Y ~ treated + (1 | line), data, weights = t(v$weights), n_factors = 2, chains = 1, iter = 30, seed = 1)
  expect_equal(fit$draws, as_before$draws)
  expect_equal(colnames(fit$Y), rownames(world$counts))
  expect_equal(unname(fit$links$g3$known), unname(v$weights[3, ]))
  direct <- quiet_slam(slam_voom(world$counts, world$design) ~ treated + (1 | line), world$data, n_factors = 2, chains = 1, iter = 30, seed = 1)
  expect_equal(direct$draws, fit$draws)
  expect_equal(dim(predict(fit)), c(40, 12))
  # without weights it is a matrix
  plain <- v
  plain$weights <- NULL
  expect_null(response_blocks(as_slam_response(plain, "plain")))
})

test_that("subsets and rows with missing values keep the weights of their rows", {
  world <- voom_world()
  world$data$treated[3] <- NA
  fit <- quiet_slam(slam_voom(world$counts) ~ treated + (1 | line), world$data, subset = seq_len(40) > 2, n_factors = 1, chains = 1, iter = 10, seed = 1)
  expect_equal(nrow(fit$Y), 37)
  expect_equal(unname(fit$links$g1$known), unname(limma::voom(world$counts)$weights[1, -(1:3)]))
})

test_that("orientation is checked, by size and by names", {
  world <- voom_world()
  expect_error(slam_voom(world$counts[, 1:30], world$design), "12 x 30.*40 rows", class = "fastlmm_error_orientation")
  square <- world$counts[, 1:12]
  design <- world$design[1:12, ]
  rownames(design) <- NULL
  expect_error(slam_voom(square, cbind(1, rep(0:1, 6))), "12 x 12", class = "fastlmm_error_orientation")
  named <- matrix(c(rep(1, 12), rep(0:1, 6)), 12, dimnames = list(colnames(square), NULL))
  expect_equal(slam_voom(t(square), named), slam_voom(square, named))
  expect_error(slam_voom(square[, 12:1], named), "another order", class = "fastlmm_error_orientation")
  v <- limma::voom(world$counts, world$design)
  turned <- v
  turned$E <- t(v$E)
  turned$weights <- t(v$weights)
  run <- function(v, data) slamglmm_fit(v ~ treated + (1 | line), data, chains = 1, iter = 10)
  expect_error(run(turned, world$data), "v.*40 genes x 12 samples.*40 rows.*transpose", class = "fastlmm_error_orientation")
  expect_error(run(v, world$data[1:20, ]), "12 genes x 40 samples.*20 rows", class = "fastlmm_error_orientation")
  other <- world$data
  rownames(other) <- rev(colnames(world$counts))
  expect_error(run(v, other), "another order", class = "fastlmm_error_orientation")
  expect_error(
    slamglmm_fit(slam_join(v, z = other$treated) ~ treated + (1 | line), other, chains = 1, iter = 10), "another order", class = "fastlmm_error_orientation"
  )
  rownames(other) <- c(rev(colnames(world$counts))[-1], "zz")
  expect_error(run(v, other), "no row.*s40", class = "fastlmm_error_orientation")
})

test_that("what are no counts is told", {
  world <- voom_world()
  counts <- world$counts
  counts["g4", 2] <- -1
  counts["g7", 5] <- NA
  expect_error(slam_voom(counts, world$design), "g4.*g7", class = "fastlmm_error_counts")
  expect_error(slam_voom("a", world$design), class = "fastlmm_error_counts")
  expect_error(slam_voom(world$counts, ~treated), class = "fastlmm_error_design")
  v <- limma::voom(world$counts, world$design)
  v$weights[2, 2] <- -1
  expect_error(as_slam_response(v, "v"), class = "fastlmm_error_weights")
})
