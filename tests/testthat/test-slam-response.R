# Objects on the left side of slamglmm_fit(): rows of them keep what is behind, and blocks stand side by side.

response_world <- function(n = 60, seed = 1) {
  set.seed(seed)
  data <- data.frame(id = sprintf("i%02d", rep(1:20, length.out = n)), x = rnorm(n), count = rpois(n, 5))
  data$M <- matrix(rnorm(3 * n), n, dimnames = list(NULL, c("p1", "p2", "p3"))) + rnorm(20)[match(data$id, unique(data$id))]
  data$Y <- cbind(u = rnorm(n), v = rnorm(n))
  data
}
map <- c(p1 = "g", p2 = "g", p3 = "h")

test_that("rows of responses keep what is behind them", {
  data <- response_world()
  whole <- slam_probes(data$M, map)
  some <- whole[c(5, 2, 9), , drop = FALSE]
  expect_s3_class(some, "slam_response")
  expect_equal(response_blocks(some)[[1]]$rows$M, data$M[c(5, 2, 9), ])
  expect_identical(whole[, , drop = FALSE], whole)
  expect_equal(whole[2, 1], plain_response(whole)[2, 1])
  expect_equal(whole[, "g"], plain_response(whole)[, "g"])
  expect_equal(whole[3], plain_response(whole)[3])
  expect_equal(as.matrix(whole), plain_response(whole))
  data$P <- whole
  expect_equal(response_blocks(data[data$x > 0, ]$P)[[1]]$rows$M, data$M[data$x > 0, ])
  expect_equal(
    quiet_slam(P ~ x + (1 | id), data, chains = 1, iter = 20, seed = 1)$draws,
    quiet_slam(slam_probes(M, map) ~ x + (1 | id), data, chains = 1, iter = 20, seed = 1)$draws
  )
  expect_output(print(whole), "probes (2)", fixed = TRUE)
  expect_error(log(whole), class = "fastlmm_error_response")
  expect_error(whole + 1, class = "fastlmm_error_response")
  expect_error(whole[1, ] <- 0, class = "fastlmm_error_response")
  expect_error(rbind(whole, whole), class = "fastlmm_error_response")
})

test_that("blocks stand side by side, each with its link", {
  data <- response_world()
  W <- matrix(runif(120, 1, 5), 60)
  weighted <- new_slam_response(cbind(s = rnorm(60), t = rnorm(60)), "weights", list(weights = W))
  formula <- slam_join(slam_probes(M, map), Y, count, weighted) ~ x + (1 | id)
  fit <- quiet_slam(formula, data, family = list(count = poisson()), chains = 1, iter = 40, seed = 1)
  expect_equal(colnames(fit$Y), c("g", "h", "u", "v", "count", "s", "t"))
  expect_equal(
    vapply(fit$links, function(own) if (is.null(own)) "" else own$family, ""),
    c(g = "probes", h = "probes", u = "", v = "", count = "poisson", s = "weights", t = "weights")
  )
  expect_equal(unname(fit$links$t$known), W[, 2])
  expect_output(print(fit), "probes (2), gaussian (2), poisson (1), gaussian with weights (2)", fixed = TRUE)
  # the draws are those of the same data in one matrix with weights
  expect_equal(colnames(cbind(slam_probes(data$M, map), data$Y)), c("g", "h", "u", "v"))
  alone <- quiet_slam(weighted ~ x + (1 | id), data, chains = 1, iter = 30, seed = 1)
  as_before <- quiet_slam(S ~ x + (1 | id), transform(data, S = I(plain_response(weighted))), weights = W, chains = 1, iter = 30, seed = 1)
  expect_equal(unname(alone$draws[[1]]$theta), unname(as_before$draws[[1]]$theta))
  expect_equal(
    unname(quiet_slam(slam_join(Y) ~ x + (1 | id), data, chains = 1, iter = 30, seed = 1)$draws[[1]]$theta),
    unname(quiet_slam(Y ~ x + (1 | id), data, chains = 1, iter = 30, seed = 1)$draws[[1]]$theta)
  )
})

test_that("blocks that do not fit are told by name", {
  data <- response_world()
  expect_error(slam_join(data$Y, slam_probes(data$M[1:50, ], map)), "data\\$Y.*60.*slam_probes.*50", class = "fastlmm_error_blocks")
  expect_error(slam_join(a = data$Y, b = data$Y), "u.*v.*a.*b", class = "fastlmm_error_blocks")
  expect_error(slam_join(), class = "fastlmm_error_blocks")
  expect_error(slam_join(letters), "letters", class = "fastlmm_error_response_type")
  expect_error(slam_join(list(1)), class = "fastlmm_error_response_type")
})
