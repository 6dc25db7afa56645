test_that("draws that share one rotation are refits of simulated responses", {
  for (fit in list(kernel_fit(), kernel_fit("ML"), fastlmm_fit(y ~ x + (1 | id), kernel_data()$data))) {
    found <- bootstrap(fit, R = 12, seed = 4)
    draws <- simulate(fit, 12, seed = 4)
    one <- function(y) {
      refitted <- quiet_fit(refit(fit, y))
      unname(c(sqrt(refitted$sigma2), sqrt(refitted$sigma2_e), refitted$h2, fixef(refitted)))
    }
    expect_equal(found$t, t(vapply(draws, one, numeric(3 + fit$rank))), tolerance = 1e-6, ignore_attr = TRUE)
    expect_identical(names(found$t0), rownames(confint(fit, method = "Wald")))
  }
})

test_that("a statistic is given a fit that answers, and fits of its own where it asks for more", {
  fit <- kernel_fit()
  draws <- simulate(fit, 4, seed = 4)
  statistics <- list(
    function(fit) c(fixef(fit)[2], sd = attr(VarCorr(fit)$id, "stddev"), s = sigma(fit), l = logLik(fit), se = sqrt(diag(vcov(fit)))[2]),
    function(fit) predict(fit)[1:3], function(fit) ranef(fit, condVar = FALSE)$id[1:2, 1], function(fit) as.data.frame(VarCorr(fit))$vcov,
    function(fit) predict(fit, kernel_data()$data[2, ])
  )
  for (statistic in statistics) {
    expect_no_message(found <- bootstrap(fit, statistic, R = 4, seed = 4))
    expect_equal(
      found$t, t(matrix(vapply(draws, function(y) as.numeric(statistic(refit(fit, y))), numeric(length(found$t0))), ncol = 4)), tolerance = 1e-6,
      ignore_attr = TRUE
    )
  }
  upper <- function(fit) confint(fit, "h2")[2]
  expect_message(found <- bootstrap(fit, upper, R = 4, seed = 4), class = "fastlmm_message_bootstrap_fits")
  expect_equal(c(found$t), unname(vapply(draws, function(y) upper(refit(fit, y)), 0)), tolerance = 1e-6)
})

test_that("several effects and processes are fitted draw by draw", {
  given <- kernel_data()
  several <- suppressMessages(fastlmm_fit(y ~ x + (1 | id) + (1 | g), transform(given$data, g = rep(1:5, 15)), K = list(id = given$K)))
  found <- bootstrap(several, R = 3, seed = 2)
  y <- simulate(several, 3, seed = 2)
  expect_equal(unname(found$t[2, ]), boot_parameters(quiet_fit(refit(several, y[[2]]))), ignore_attr = TRUE)
  process <- fastlmm_fit(mag ~ depth + gp(long, lat, lengthscale = 4), quakes[1:60, ])
  found <- bootstrap(process, function(fit) fixef(fit)[["depth"]], R = 3, seed = 2)
  expect_equal(found$t[[3, 1]], fixef(quiet_fit(refit(process, simulate(process, 3, seed = 2)[[3]])))[["depth"]])
})

test_that("seeds repeat, and the state of the generator is put back", {
  fit <- kernel_fit()
  set.seed(1)
  before <- .Random.seed
  found <- bootstrap(fit, R = 5, seed = 9)
  expect_identical(.Random.seed, before)
  expect_identical(bootstrap(fit, R = 5, seed = 9)$t, found$t)
  expect_false(identical(bootstrap(fit, R = 5, seed = 10)$t, found$t))
  given <- bootstrap(fit, function(fit) predict(fit)[1], R = 200, seed = 1, re.form = NULL)
  expect_equal(mean(given$t), fitted(fit)[[1]], tolerance = 0.2)
})

test_that("intervals are those of the definitions, and of the boot package", {
  fit <- kernel_fit()
  draws <- bootstrap(fit, R = 999, seed = 1)
  expect_equal(unname(confint(draws, "x", level = 0.9)[1, ]), sort(draws$t[, match("x", names(draws$t0))])[c(50, 950)])
  if (requireNamespace("boot", quietly = TRUE)) {
    k <- match("x", names(draws$t0))
    theirs <- boot::boot.ci(draws, type = c("norm", "basic", "perc"), index = k)
    expect_equal(unname(confint(draws, "x")[1, ]), theirs$percent[4:5], tolerance = 1e-3)
    expect_equal(unname(confint(draws, "x", type = "basic")[1, ]), theirs$basic[4:5], tolerance = 1e-3)
    expect_equal(unname(confint(draws, "x", type = "norm")[1, ]), theirs$normal[2:3], tolerance = 1e-6)
  }
  expect_equal(confint(fit, "x", method = "boot", nsim = 999, seed = 1), confint(draws, "x"))
  expect_identical(rownames(confint(fit, method = "boot", nsim = 20, seed = 1, oldNames = FALSE)), rownames(confint(fit, method = "Wald", oldNames = FALSE)))
  # near the normal interval for a fixed effect, with the standard error of the fit
  expect_equal(sd(draws$t[, match("x", names(draws$t0))]), sqrt(vcov(fit)["x", "x"]), tolerance = 0.1)
  expect_true(all(confint(draws, "h2", type = "basic") >= 0))
  expect_output(print(draws), "std.error")
  expect_identical(dim(as.data.frame(draws)), c(999L, length(draws$t0)))
})

test_that("what cannot be drawn is refused, and failures are counted", {
  fit <- kernel_fit()
  expect_error(bootstrap(degenerate_fit("perfect_fit")), class = "fastlmm_error_bootstrap")
  expect_error(bootstrap(lm(dist ~ speed, cars)), class = "fastlmm_error_not_a_fit")
  expect_error(bootstrap(fit, function(fit) "a", R = 3), class = "fastlmm_error_statistic")
  expect_error(confint(fit, "delta", method = "boot", nsim = 5), class = "fastlmm_error_parm")
  expect_error(confint(bootstrap(fit, R = 3), "nothing"), class = "fastlmm_error_parm")
  expect_warning(
    found <- bootstrap(fit, function(fit) if (fixef(fit)[["x"]] > fixef(kernel_fit())[["x"]] + 1e-9) NA_real_ else 1, R = 20, seed = 1),
    class = "fastlmm_warning_bootstrap_failed"
  )
  expect_identical(found$failed, sum(is.na(found$t)))
})

test_that("simulate(newdata =) draws other rows with their covariances", {
  given <- kernel_data()
  fit <- fastlmm_fit(y ~ x + (1 | id), given$data, K = given$K)
  new <- data.frame(x = c(0, 1, 1), id = c("i1", "i40", "i1"))
  draws <- simulate(fit, 4000, seed = 1, newdata = new)
  V <- fit$sigma2 * given$K[new$id, new$id] + diag(fit$sigma2_e, 3)
  z <- backsolve(chol(V), as.matrix(draws) - predict(fit, new, re.form = NA), transpose = TRUE)
  expect_lt(max(abs(tcrossprod(z) / 4000 - diag(3))), 5 * sqrt(2 / 4000))
  expect_lt(max(abs(rowMeans(z))), 5 / sqrt(4000))
  given_effects <- simulate(fit, 4000, seed = 2, newdata = new, re.form = NULL)
  expect_equal(rowMeans(given_effects), predict(fit, new), tolerance = 0.1, ignore_attr = TRUE)
  expect_error(simulate(fit, newdata = data.frame(x = 0, id = "nobody")), "nobody")
  groups <- fastlmm_fit(distance ~ age + (1 | Subject), nlme::Orthodont)
  both <- as.matrix(simulate(groups, 4000, seed = 3, newdata = data.frame(age = 8, Subject = c("a", "a", "b"))))
  expect_equal(cov(t(both))[1, ], c(groups$sigma2 + groups$sigma2_e, groups$sigma2, 0), tolerance = 0.1, ignore_attr = TRUE)
  expect_identical(
    simulate(groups, seed = 1, newdata = data.frame(age = 8, Subject = "a")), simulate(groups, seed = 1, newdata = data.frame(age = 8, Subject = "a"))
  )
})

test_that("other processes give the same draws", {
  skip_if_not_installed("future.apply")
  given <- kernel_data()
  several <- suppressMessages(fastlmm_fit(y ~ x + (1 | id) + (1 | g), transform(given$data, g = rep(1:5, 15)), K = list(id = given$K)))
  here <- bootstrap(several, R = 4, seed = 2)
  old <- future::plan(future::multisession, workers = 2)
  on.exit(future::plan(old))
  expect_equal(bootstrap(several, R = 4, seed = 2)$t, here$t)
})

test_that("bootstrap intervals of a process are quantiles of its refits", {
  process <- fastlmm_fit(mag ~ depth + gp(long, lat, lengthscale = 4), quakes[1:60, ])
  found <- confint(process, method = "boot", nsim = 8, seed = 2)
  expect_identical(rownames(found), setdiff(rownames(confint(process, method = "Wald")), "delta"))
  h2 <- vapply(simulate(process, 8, seed = 2), function(y) quiet_fit(refit(process, y))$h2[[1]], 0)
  expect_equal(unname(found["h2", ]), quantile(h2, c(0.025, 0.975), names = FALSE, type = 6), tolerance = 1e-5)
  expect_error(confint(process, "delta", method = "boot", nsim = 8), class = "fastlmm_error_parm")
})
