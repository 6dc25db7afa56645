# anova() of many responses with a gp() term: tables, ranks, and the permutation test against its definition.

gp_null_world <- function(n, q, draw, seed = 1) {
  set.seed(seed)
  data <- data.frame(u = runif(n), v = runif(n))
  data$Y <- matrix(draw(n * q), n, dimnames = list(NULL, paste0("g", seq_len(q))))
  data
}

quiet_fit <- function(...) suppressWarnings(suppressMessages(fastlmm_fit(...)))

test_that("the table of anova() and its tidy form are those of the fit", {
  data <- gp_null_world(60, 5, rnorm)
  data$Y[, 2] <- data$Y[, 2] + 3 * sin(5 * data$u)
  data$Y[, 4] <- 1
  fit <- quiet_fit(Y ~ gp(u, v, cov = "exp_quad"), data)
  table <- anova(fit)
  expect_s3_class(table, c("fastlmm_gp_anova", "anova"))
  expect_equal(table$p.value, unname(fit$p.value))
  expect_equal(table$q.value, p.adjust(fit$p.value, "BH"), ignore_attr = TRUE)
  expect_identical(which(table$rank == 1), 2L)
  expect_true(is.na(table["g4", "p.value"]) && is.na(table["g4", "rank"]))
  expect_equal(anova(fit, rank.by = "fsv")$rank, unname(rank(-fit$fsv, na.last = "keep")))
  tidied <- tidy(table)
  expect_named(tidied, c("response", "term", "estimate", "std.error", "statistic", "p.value", "q.value", "rank"))
  expect_identical(tidied$response[1], "g2")
  expect_equal(tidied$estimate[1], fit$fsv[["g2"]])
  expect_output(print(table, n = 2), "and 3 more responses")
  whole <- tidy(fit)
  pick <- function(term) whole$estimate[whole$response == "g2" & whole$term == term]
  expect_equal(pick("(Intercept)"), fit$coefficients[, "g2"], ignore_attr = TRUE)
  expect_equal(pick("lengthscale"), fit$lengthscale[["g2"]])
  expect_equal(pick("sd__Observation"), sigma(fit)[["g2"]])
  expect_equal(pick("fsv"), fit$fsv[["g2"]])
  expect_error(anova(fit, test = "chisq"), class = "fastlmm_error")
  expect_error(anova(fit, min.cells = NA), class = "fastlmm_error_min_cells")
  expect_error(anova(fit, foo = 1), class = "fastlmm_error_unused_argument")
})

test_that("the permutation test is its definition: the same permutations for all, statistics of fits of the permuted columns, pooled", {
  data <- gp_null_world(50, 4, rnorm)
  data$Y[, 1] <- data$Y[, 1] + 2 * cos(4 * data$v)
  data$Y[c(2, 9), 3] <- NA
  fit <- quiet_fit(Y ~ gp(u, v, cov = "exp_quad"), data)
  table <- anova(fit, test = "permutation", nsim = 12, seed = 5)
  set.seed(5)
  pooled <- replicate(12, {
    order <- sample.int(50)
    permuted <- data
    for (j in 1:4) {
      seen <- !is.na(data$Y[, j])
      permuted$Y[seen, j] <- Filter(Negate(is.na), data$Y[order, j] - mean(data$Y[, j], na.rm = TRUE))
    }
    quiet_fit(Y ~ gp(u, v, cov = "exp_quad"), permuted)$statistic
  })
  larger <- vapply(fit$statistic, function(t) sum(pooled >= t * (1 - 1e-6)), 0)
  expect_equal(table$larger, unname(larger), tolerance = 0)
  counted <- larger >= 10
  expect_equal(table$p.value[counted], unname((1 + larger[counted]) / 49))
  expect_true(all(table$p.value[!counted] <= 11 / 49 & table$p.value[!counted] > 0))
  expect_identical(table$rank[1], 1L)
})

test_that("set.seed() and seed = govern, and the generator is put back", {
  fit <- quiet_fit(Y ~ gp(u, v, cov = "exp_quad", lengthscale = 0.2), gp_null_world(40, 3, rnorm))
  draw <- function(...) anova(fit, test = "permutation", nsim = 20, ...)$p.value
  set.seed(3)
  first <- draw()
  set.seed(3)
  expect_identical(draw(), first)
  before <- .Random.seed
  seeded <- draw(seed = 9)
  expect_identical(.Random.seed, before)
  expect_identical(draw(seed = 9), seeded)
})

test_that("sparse counts: a warning at the fit, a filter with its count, and p-values that keep their level", {
  count <- if (is_long()) 300 else 150
  data <- gp_null_world(100, count, function(n) log1p(rpois(n, 0.03)))
  expect_warning(
    suppressWarnings(suppressMessages(fit <- fastlmm_fit(Y ~ gp(u, v, cov = "exp_quad"), data)), classes = "fastlmm_warning_responses"),
    "fewer than 10 distinct values.*permutation", class = "fastlmm_warning_few_values"
  )
  expect_gt(mean(fit$p.value < 0.001, na.rm = TRUE), 0.02)
  expect_message(
    table <- anova(fit, test = "permutation", nsim = 10, seed = 1, min.cells = 2), paste("of", count, "responses left out"), class = "fastlmm_message_filtered"
  )
  expect_identical(is.na(table$p.value), unname(colSums(data$Y > 0) < 2))
  tested <- sum(!is.na(table$p.value))
  expect_lt(mean(table$p.value < 0.05, na.rm = TRUE), 0.05 + 4 * sqrt(0.05 / tested))
  expect_lt(sum(table$p.value < 0.001, na.rm = TRUE), 4)
  expect_equal(table$q.value, p.adjust(table$p.value, "BH"))
  dense <- gp_null_world(100, 3, function(n) log1p(rpois(n, 1)))
  expect_no_warning(suppressMessages(fastlmm_fit(Y ~ gp(u, v, cov = "exp_quad", lengthscale = 0.2), dense)))
})

test_that("tails beyond the pool: exponential and heavier ones are extrapolated, and never taken to end", {
  set.seed(2)
  exponential <- fastlmm:::tail_of(rexp(20000))
  expect_equal(exponential$log_p(c(3, 16)), c(-3, -16), tolerance = 0.1)
  heavy <- fastlmm:::tail_of(runif(20000)^-0.3)
  expect_equal(heavy$log_p(20), -log(20) / 0.3, tolerance = 0.15)
  ended <- fastlmm:::tail_of(runif(20000))
  expect_gt(exp(ended$log_p(1.001)), 0)
  at <- seq(0, 20, 0.1)
  expect_true(all(diff(exponential$log_p(at)) <= 1e-12))
})
