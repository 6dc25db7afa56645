# Missing cells of candidates: one rule for rows and ids, products, one response and many; and what na = "omit" tests. Against fits with the candidate in the
# formula.

cells_world <- function() {
  once("missing cells", {
    set.seed(5)
    n <- 50
    ids <- paste0("i", seq_len(n))
    W <- matrix(rnorm(n * 30), n, dimnames = list(ids, NULL))
    G <- matrix(rbinom(n * 5, 2, 0.4) + 0, n, dimnames = list(ids, paste0("m", 1:5)))
    G[c(2, 7, 9, 30, 41), 1] <- NA
    G[c(7, 12), 2] <- NA
    id <- c(ids, ids[1:18]) # some ids twice
    data <- data.frame(id = id, x = rnorm(68), f = factor(rep_len(c("a", "b", "c"), 68)))
    data$Y <- cbind(a = rnorm(68), b = rnorm(68), c = rnorm(68)) + drop(W[id, ] %*% rnorm(30, sd = 0.2))
    data$y <- data$Y[, "a"]
    data$Y[c(1, 5), "b"] <- NA # these ids have another row
    data$Y[c(3, 20, 53), "b"] <- NA # ids 3 and 20 have no row for this response
    rows <- G[id, ]
    rownames(rows) <- rownames(data)
    list(data = data, G = G, rows = rows, K = tcrossprod(W) / 30, ids = ids)
  })
}

cells_fit <- function(formula, data) suppressMessages(suppressWarnings(fastlmm_fit(formula, data, cells_world()$K)))
cells_scan <- function(...) suppressMessages(suppressWarnings(fastlmm_scan(...)))
numbers <- c("estimate", "std.error", "statistic", "df", "df2", "p.value", "log10p", "h2", "logLik")

test_that("the candidate is imputed, then multiplied: the fit with the imputed candidate in the formula", {
  world <- cells_world()
  data <- world$data
  fit <- cells_fit(y ~ x + f + (1 | id), data)
  filled <- world$G[, 1]
  filled[is.na(filled)] <- mean(filled, na.rm = TRUE)
  data$g <- filled[data$id]
  one <- cells_fit(y ~ x * g + f + (1 | id), data)
  two <- suppressMessages(update(cells_fit(y ~ x + f * g + (1 | id), data), method = "ML"))
  less <- suppressMessages(update(cells_fit(y ~ x + f + g + (1 | id), data), method = "ML"))
  for (candidates in list(world$G, world$rows)) {
    scan <- cells_scan(fit, candidates, interaction = ~x, refit = "delta", data = data)
    expect_equal(scan$estimate[1], unname(fixef(one)["x:g"]), tolerance = 1e-5)
    expect_equal(scan$logLik[1], one$logLik, tolerance = 1e-8)
    expect_equal(scan$n[1:3], c(sum(!is.na(world$rows[, 1])), sum(!is.na(world$rows[, 2])), 68))
    ratio <- cells_scan(fit, candidates, interaction = ~f, refit = "delta", test = "lrt", data = data)
    expect_equal(ratio$statistic[1], 2 * (two$logLik - less$logLik), tolerance = 1e-5)
    for (shift in c(10, -1e5)) {
      moved <- cells_scan(fit, candidates + shift, interaction = ~x, refit = "delta", data = data)
      expect_equal(moved[numbers], scan[numbers], tolerance = 1e-5, ignore_attr = TRUE)
    }
  }
  omitted <- cells_scan(fit, world$G, interaction = ~x, refit = "delta", na = "omit", data = data)
  data$g <- world$G[data$id, 1]
  complete <- cells_fit(y ~ x * g + f + (1 | id), data)
  expect_equal(omitted$estimate[1], unname(fixef(complete)["x:g"]), tolerance = 1e-5)
  expect_identical(omitted$n[1], as.double(nobs(complete)))
})

test_that("rows and ids, one response and many: the same mean", {
  world <- cells_world()
  many <- cells_fit(Y ~ x + f + (1 | id), world$data)
  seen <- setdiff(world$ids, world$ids[c(3, 20)]) # ids with rows of b
  filled <- world$G
  for (j in 1:2) filled[is.na(filled[, j]), j] <- mean(world$G[seen, j], na.rm = TRUE)
  right <- cells_scan(suppressMessages(extract_fit(many, "b")), filled)
  for (candidates in list(world$G, world$rows)) {
    one <- cells_scan(suppressMessages(extract_fit(many, "b")), if (nrow(candidates) == 50) candidates else candidates[!is.na(world$data$Y[, "b"]), ])
    all <- cells_scan(many, candidates)
    expect_equal(one[numbers], right[numbers], tolerance = 1e-6, ignore_attr = TRUE)
    expect_equal(all[all$response == "b", numbers], right[numbers], tolerance = 1e-6, ignore_attr = TRUE)
    expect_identical(all$n[all$response == "b"], one$n)
  }
  # permutations: the statistic that every one of them would have
  fit <- suppressMessages(extract_fit(many, "a"))
  by_ids <- fastlmm_permute(fit, world$G, n = 20, seed = 3)
  expect_equal(fastlmm_permute(fit, world$rows, n = 20, seed = 3)$maximum, by_ids$maximum, tolerance = 1e-6)
})

test_that("constants with missing cells stay constants, whatever the number", {
  world <- cells_world()
  many <- cells_fit(Y ~ x + f + (1 | id), world$data)
  constant <- world$rows
  constant[!is.na(constant[, 1]), 1] <- 0.1 + 0.2
  constant[, 4] <- world$data$x * 2 - 1
  constant[, 5] <- replace(rep(7, 68), c(3, 53), 8) # varies only where b is missing
  expect_identical(
    cells_scan(many, constant)$status,
    c("constant", "ok", "ok", "collinear", "ok", "constant", "ok", "ok", "collinear", "constant", "constant", "ok", "ok", "collinear", "ok")
  )
  expect_identical(cells_scan(suppressMessages(extract_fit(many, "a")), constant)$status, c("constant", "ok", "ok", "collinear", "ok"))
})

test_that("na = omit with many responses: each response's test of the complete rows", {
  world <- cells_world()
  many <- cells_fit(Y ~ x + f + (1 | id), world$data)
  G <- cbind(world$G, none = NA_real_)
  all <- cells_scan(many, G, na = "omit", block_size = 4)
  for (name in c("a", "b", "c")) {
    one <- cells_scan(suppressMessages(extract_fit(many, name)), G, na = "omit")
    mine <- all[all$response == name, ]
    expect_identical(mine[c("term", "n", "status")], one[c("term", "n", "status")], ignore_attr = TRUE)
    expect_equal(mine[numbers], one[numbers], tolerance = 1e-5, ignore_attr = TRUE)
  }
  largest <- cells_scan(many, G, na = "omit", keep = "max", block_size = 4)
  best <- vapply(c("a", "b", "c"), function(name) all$term[all$response == name][which.max(all$log10p[all$response == name])], "")
  expect_identical(largest$term, unname(best))
  # where hardly a row is complete no model can be fitted
  few <- G[, c(3, 6, 6), drop = FALSE]
  few[1:2, 2:3] <- c(0, 1, 1, 2)
  for (keep in c("all", "max", "threshold")) expect_identical(nrow(cells_scan(many, few[, 2:3], na = "omit", keep = keep)), if (keep == "all") 6L else 0L)
  expect_false(any(cells_scan(many, few[, 2:3], na = "omit")$status == "ok"))
  some <- cells_scan(many, G, na = "omit", keep = "threshold", threshold = 0.4)
  expect_equal(some$p.value, all$p.value[which(all$p.value < 0.4)])
})
