# Scans of many responses and permutations, against scans of one response.

many_world <- function(n = 70, q = 6, m = 15, repeats = FALSE) {
  set.seed(11)
  ids <- paste0("i", seq_len(n))
  W <- matrix(rnorm(n * 25), n, dimnames = list(ids, NULL))
  G <- matrix(rbinom(n * m, 2, 0.4) + 0, n, dimnames = list(ids, paste0("m", seq_len(m))))
  id <- if (repeats) sample(ids, 2 * n, replace = TRUE) else sample(ids)
  data <- data.frame(id = id, x = rnorm(length(id)), w = runif(length(id), 0.5, 2))
  data$Y <- W[id, ] %*% matrix(rnorm(25 * q, sd = 0.3), 25) + 2 * data$x + 100 + matrix(rnorm(length(id) * q), length(id))
  data$Y[, 1] <- data$Y[, 1] + G[id, 3]
  colnames(data$Y) <- paste0("t", seq_len(q))
  list(data = data, G = G, W = W, ids = ids)
}

test_that("every pair is the test of a scan of that response", {
  for (case in c("dense", "lowrank", "repeats")) {
    world <- many_world(repeats = case == "repeats")
    K <- if (case == "lowrank") kernel_lowrank(world$W) else tcrossprod(world$W) / 25
    world$data$Y[c(2, 9), 4] <- NA
    world$data$Y[, 5] <- 1
    fit <- suppressMessages(suppressWarnings(fastlmm_fit(Y ~ x + (1 | id), world$data, K, weights = if (case == "repeats") world$data$w)))
    all <- fastlmm_scan(fit, world$G, block_size = 4)
    expect_equal(nrow(all), 5 * 15)
    expect_false("t5" %in% all$response)
    for (name in c("t1", "t4", "t6")) {
      one <- fastlmm_scan(suppressMessages(extract_fit(fit, name)), world$G)
      mine <- all[all$response == name, ]
      expect_identical(mine$term, one$term)
      expect_equal(mine$statistic, one$statistic, tolerance = 1e-6)
      expect_equal(mine$estimate, one$estimate, tolerance = 1e-6)
      expect_equal(mine$std.error, one$std.error, tolerance = 1e-6)
      expect_equal(mine$p.value, one$p.value, tolerance = 1e-5)
      expect_equal(mine$n, one$n)
    }
    largest <- fastlmm_scan(fit, world$G, keep = "max", block_size = 4)
    expect_identical(largest$response, c("t1", "t2", "t3", "t4", "t6"))
    for (name in largest$response) {
      own <- all[all$response == name, ]
      expect_identical(largest$term[largest$response == name], own$term[which.max(own$statistic)])
    }
    some <- fastlmm_scan(fit, world$G, keep = "threshold", threshold = 0.1)
    expect_equal(some$p.value, all$p.value[all$p.value <= 0.1], tolerance = 1e-9)
  }
})

test_that("many responses refuse what they do not offer", {
  world <- many_world()
  fit <- suppressMessages(fastlmm_fit(Y ~ x + (1 | id), world$data, tcrossprod(world$W)))
  expect_error(fastlmm_scan(fit, world$G, refit = "delta"), class = "fastlmm_error_scan")
  expect_error(fastlmm_scan(fit, world$G, test = "lrt"), class = "fastlmm_error_scan")
  expect_error(fastlmm_scan(fit, world$G, sets = list(1)), class = "fastlmm_error_scan")
})

test_that("the statistic of unpermuted contrasts is that of the scan, and seeds repeat", {
  for (case in c("dense", "repeats", "lowrank")) {
    world <- many_world(repeats = case == "repeats")
    K <- if (case == "lowrank") kernel_lowrank(world$W) else tcrossprod(world$W) / 25
    world$data$y <- world$data$Y[, 1]
    fit <- suppressMessages(fastlmm_fit(y ~ x + (1 | id), world$data, K, weights = world$data$w))
    source <- fastlmm:::candidate_source(world$G, fit)
    null <- fastlmm:::permuted_null(fit, source, 2)
    basis <- fastlmm:::ffi_scan_complete(fastlmm:::rust_model(fastlmm:::stored_model(fit)))
    y <- crossprod(basis$e, fit$y)
    expect_equal(length(y), length(fit$y) - 2)
    null$responses$y[, 1] <- y
    found <- fastlmm:::many_block(null, source, 1:15, list(keep = "all", threshold = 0.5))
    expect_equal(found$statistic[found$response == "1"], fastlmm_scan(fit, world$G)$statistic, tolerance = 1e-6)
    one <- fastlmm_permute(fit, world$G, n = 50, seed = 3)
    expect_identical(fastlmm_permute(fit, world$G, n = 50, seed = 3, block_size = 4)$maximum, one$maximum)
    expect_length(one$maximum, 50)
    expect_gt(quantile(one, 0.9)$statistic, quantile(one, 0.5)$statistic)
  }
  expect_output(print(one), "50 permutations")
  expect_error(fastlmm_permute(fit, world$G, n = 0), class = "fastlmm_error_scan")
})

test_that("many responses are permuted one by one", {
  world <- many_world(q = 3)
  fit <- suppressMessages(fastlmm_fit(Y ~ x + (1 | id), world$data, tcrossprod(world$W) / 25))
  each <- fastlmm_permute(fit, world$G, n = 40, seed = 5)
  expect_named(each, c("t1", "t2", "t3"))
  expect_identical(each$t2$maximum, fastlmm_permute(suppressMessages(extract_fit(fit, "t2")), world$G, n = 40, seed = 5)$maximum)
  expect_identical(quantile(each, 0.9)$response, c("t1", "t2", "t3"))
  expect_output(print(each), "3 responses")
})

test_that("thresholds hold the level over the whole scan", {
  world <- many_world(n = 60, m = 30)
  K <- tcrossprod(world$W) / 25
  set.seed(2)
  root <- chol(K[world$data$id, world$data$id] + diag(60))
  draws <- if (is_long()) 150 else 100
  above <- vapply(seq_len(draws), function(i) {
    world$data$y <- drop(crossprod(root, rnorm(60)))
    fit <- suppressMessages(fastlmm_fit(y ~ x + (1 | id), world$data, K))
    max(fastlmm_scan(fit, world$G)$statistic) > quantile(fastlmm_permute(fit, world$G, n = 200), 0.9)$statistic
  }, NA)
  expect_lt(abs(mean(above) - 0.1), 3 * sqrt(0.1 * 0.9 / draws) + 0.02)
})
