# What is asked of a scan or of permutations is done, or refused with a class; and many responses say what one says.

asked_world <- function() {
  once("scans that are asked", {
    set.seed(21)
    ids <- paste0("i", 1:50)
    W <- matrix(rnorm(50 * 30), 50, dimnames = list(ids, NULL))
    G <- cbind(matrix(rbinom(50 * 8, 2, 0.4) + 0, 50, dimnames = list(ids, paste0("m", 1:8))), flat = 1, none = NA, far = c(Inf, rnorm(49)))
    data <- data.frame(id = ids, x = rnorm(50), w = runif(50, 0.5, 2))
    G <- cbind(G, same = 3 - data$x)
    data$Y <- 1000 * cbind(a = rnorm(50), b = 1e-7 * rnorm(50)) + W %*% matrix(rnorm(60), 30)
    data$Y[4:6, "b"] <- NA
    K <- tcrossprod(W) / 30
    fit <- function(...) suppressMessages(suppressWarnings(fastlmm_fit(..., data = data, K = K)))
    list(
      data = data, G = G, one = fit(Y[, "a"] ~ x + (1 | id)), many = fit(Y ~ x + (1 | id), weights = data$w), ids = ids,
      low = suppressMessages(fastlmm_fit(Y ~ x + (1 | id), data, kernel_lowrank(W[, 1:7])))
    )
  })
}

test_that("many responses: likelihoods, status and missing numbers are those of one response", {
  world <- asked_world()
  for (fit in list(world$many, world$low)) {
    all <- suppressMessages(fastlmm_scan(fit, world$G, block_size = 5))
    for (name in c("a", "b")) {
      one <- suppressMessages(fastlmm_scan(suppressMessages(extract_fit(fit, name)), world$G))
      mine <- all[all$response == name, ]
      expect_identical(mine$status, rep(c("ok", "constant", "missing", "nonfinite", "collinear"), c(8, 1, 1, 1, 1)))
      expect_identical(mine$status, one$status)
      expect_true(all(is.finite(one$logLik[1:8])))
      expect_equal(mine$logLik, one$logLik, tolerance = 1e-8)
      for (column in c("df", "df2", "h2", "statistic", "std.error", "n")) expect_equal(mine[[column]], one[[column]], tolerance = 1e-6, info = column)
    }
  }
})

test_that("keep is heeded with one response", {
  world <- asked_world()
  scan <- function(...) suppressMessages(fastlmm_scan(world$one, world$G, ...))
  all <- scan()
  expect_equal(scan(keep = "max"), all[which.max(all$log10p), ], ignore_attr = TRUE)
  expect_equal(scan(keep = "threshold", threshold = 0.5), all[which(all$p.value < 0.5), ], ignore_attr = TRUE)
  expect_identical(nrow(suppressMessages(fastlmm_scan(world$one, world$G[, 9:10], keep = "max"))), 0L)
  sets <- list(a = 1:3, b = 4, c = 5:8)
  expect_identical(scan(sets = sets, keep = "max")$term, with(scan(sets = sets), term[which.max(log10p)]))
})

test_that("what does not go together, or says nothing, is refused", {
  world <- asked_world()
  refused <- function(...) expect_error(suppressMessages(fastlmm_scan(world$one, world$G[, 1:4], data = world$data, ...)), class = "fastlmm_error_scan")
  refused(test = "score", refit = "delta")
  refused(test = "score", refit = "hybrid")
  refused(sets = c(NA, 1, 1, 2))
  refused(sets = list())
  refused(sets = list(1, integer()))
  refused(sets = list(NA, 2))
  expect_error(fastlmm_scan(world$low[["a"]], world$G[, 1:4], exclude = list(1, 2, 3, 4), kernels = list(a = 1)), class = "fastlmm_error_scan")
  refused(interaction = ~1)
  refused(interaction = ~0)
})

test_that("permutations count what can be tested, and say when nothing can", {
  world <- asked_world()
  permute <- function(G, ...) suppressMessages(fastlmm_permute(world$one, G, n = 10, ...))
  found <- permute(world$G, seed = 2, block_size = 3)
  expect_identical(found$candidates, 8L)
  expect_equal(found$maximum, permute(world$G[, 1:8], seed = 2)$maximum)
  for (probs in list(2, NA, "a")) expect_error(quantile(found, probs), class = "fastlmm_error_level")
  expect_error(permute(world$G[, 9:12]), "can be tested.*collinear 1, constant 1, missing 1, nonfinite 1", class = "fastlmm_error_scan")
  for (seed in list("a", NA, c(1, 2), TRUE, Inf, 1e10)) expect_error(permute(world$G, seed = seed), class = "fastlmm_error_seed")
  expect_error(simulate(world$one, seed = "a"), class = "fastlmm_error_seed")
})

test_that("responses at an optimum inside, where maximum likelihood has no bound, are tested and permuted like others", {
  world <- asked_world()
  K <- tcrossprod(scale(matrix(rnorm(50 * 80), 50), scale = FALSE)) / 80
  dimnames(K) <- list(world$ids, world$ids)
  fit <- suppressMessages(suppressWarnings(fastlmm_fit(Y ~ 0 + x + (1 | id), world$data, K, method = "ML")))
  expect_identical(unname(fit$status), c("ml_border", "ok")) # of the rows of b no direction is missed
  all <- suppressMessages(fastlmm_scan(fit, world$G[, 1:3]))
  one <- suppressMessages(fastlmm_scan(suppressWarnings(extract_fit(fit, "a")), world$G[, 1:3]))
  expect_equal(all$statistic[all$response == "a"], one$statistic, tolerance = 1e-6)
  expect_identical(unique(all$response), c("a", "b"))
  expect_named(suppressMessages(fastlmm_permute(fit, world$G[, 1:3], n = 5, seed = 1)), c("a", "b"))
})

test_that("groups = of a fit without a factor says what it needs, not what another function needs", {
  set.seed(1)
  data <- data.frame(id = paste0("i", 1:30), y = rnorm(30))
  M <- matrix(rbinom(30 * 6, 2, 0.4), 30, dimnames = list(data$id, paste0("m", 1:6)))
  fit <- suppressMessages(fastlmm_fit(y ~ 1 + (1 | id), data, K = kernel_markers(M)))
  said <- function(f, ...) tryCatch(f(fit, M, ...), fastlmm_error_exclude = conditionMessage)
  for (f in list(fastlmm_scan, fastlmm_permute)) {
    text <- said(f, groups = rep(1:2, 3))
    expect_match(text, "groups = needs a fit with a factor.*kernels = list.*loco")
    expect_false(grepl("fastlmm_exclude", text))
  }
  expect_match(said(fastlmm_scan, exclude = as.list(1:6)), "exclude = needs")
  expect_error(fastlmm_exclude(fit, 1), "fastlmm_exclude\\(\\) needs a fit with a factor", class = "fastlmm_error_exclude")
})
