test_that("effects, their conditional variances and coefficients equal lme4's", {
  each_lme4_pair(function(pair, label) {
    ours <- as.data.frame(ranef(pair$ours))
    theirs <- as.data.frame(lme4::ranef(pair$theirs))
    at <- match(theirs$grp, ours$grp)
    scale <- max(abs(theirs$condval), theirs$condsd, 1e-3)
    expect_identical(names(ours), names(theirs), info = label)
    expect_equal(ours$condval[at] / scale, theirs$condval / scale, tolerance = 1e-5, info = label)
    expect_equal(ours$condsd[at] / scale, theirs$condsd / scale, tolerance = 1e-5, info = label)
    table <- coef(pair$theirs)[[1]]
    expect_equal(coef(pair$ours)[[1]][rownames(table), , drop = FALSE], table, tolerance = 1e-6, info = label)
  })
})

test_that("effects of every id of K are sigma2 K Z' V^-1 (y - X beta)", {
  m <- kernel_dense()
  expect_equal(ranef(kernel_fit(), which = "all")$id[["(Intercept)"]], dense_blup(m), tolerance = 1e-8)
  observed <- ranef(kernel_fit())$id
  expect_setequal(rownames(observed), unique(kernel_data()$data$id))
  all <- ranef(kernel_fit(), which = "all")$id
  expect_equal(observed, all[rownames(observed), , drop = FALSE], ignore_attr = "postVar")
})

test_that("conditional variances are those of the definition, with a phenotype or without", {
  m <- kernel_dense()
  C <- m$sigma2 * m$K %*% t(m$Z)
  expected <- unname(diag(m$sigma2 * m$K - C %*% m$inverse %*% t(C)))
  found <- attr(ranef(kernel_fit(), which = "all")$id, "postVar")
  expect_identical(dim(found), c(1L, 1L, 40L))
  expect_equal(found[1, 1, ], expected, tolerance = 1e-8)
})

test_that("condVar = FALSE leaves variances out", {
  effects <- ranef(kernel_fit(), condVar = FALSE)
  expect_null(attr(effects$id, "postVar"))
  expect_named(as.data.frame(effects), c("grpvar", "term", "grp", "condval"))
})

test_that("coef adds effects to the fixed effects, id by id", {
  fit <- kernel_fit()
  table <- coef(fit)$id
  expect_equal(table[["(Intercept)"]], fixef(fit)[[1]] + ranef(fit)$id[[1]])
  expect_equal(unique(table$x), fixef(fit)[["x"]])
})

test_that("a random slope carries its own name", {
  given <- kernel_data()
  fit <- fastlmm_fit(y ~ x + (0 + x | id), given$data, K = given$K)
  expect_named(ranef(fit)$id, "x")
  expect_equal(coef(fit)$id$x, fixef(fit)[["x"]] + ranef(fit)$id$x)
  expect_named(coef(fit)$id, c("(Intercept)", "x"))
  expect_equal(predict(fit, given$data), fitted(fit))
})

test_that("random effects print", {
  skip_if_not_installed("lme4")
  expect_snapshot(print(ranef(lme4_pair("Dyestuff")$ours), digits = 3))
  expect_snapshot(print(coef(lme4_pair("Dyestuff")$ours), digits = 6))
})

test_that("conditional covariances between the effects of one id are lme4's, and those of the definition with kernels", {
  skip_if_not_installed("lme4")
  ours <- fastlmm_fit(Reaction ~ Days + (Days || Subject), lme4::sleepstudy)
  theirs <- lme4::lmer(Reaction ~ Days + (Days || Subject), lme4::sleepstudy)
  found <- attr(ranef(ours)$Subject, "postVar")
  expect_equal(found[, , 1], matrix(c(149.79, -22.23, -22.23, 5.454), 2), tolerance = 1e-3)
  # lme4 gives the terms of a || one by one, or together in one array
  expected <- attr(lme4::ranef(theirs)$Subject, "postVar")
  if (is.list(expected)) for (i in 1:2) expect_equal(found[i, i, ], c(expected[[i]]), tolerance = 1e-4) else expect_equal(
    found, expected, tolerance = 1e-4, ignore_attr = TRUE
  )
  fit <- mix_fit()
  m <- mix_dense(fit, mix_terms(), mix_data()$data$w)
  C <- lapply(1:3, function(k) fit$sigma2[[k]] * mix_terms()[[k]]$K %*% t(m$Z[[k]]))
  found <- attr(ranef(fit)$id, "postVar")
  id <- match(rownames(ranef(fit)$id)[1:5], mix_data()$ids)
  for (i in 1:3) {
    for (j in 1:3) {
      prior <- if (i == j) fit$sigma2[[i]] * diag(mix_terms()[[i]]$K)[id] else 0
      expect_equal(found[i, j, 1:5], unname(prior - rowSums((C[[i]] %*% m$inverse * C[[j]])[id, ])), tolerance = 1e-6, info = paste(i, j))
    }
  }
})

test_that("covariances of crossed groups are kept by the fit, and are those that are computed afresh", {
  set.seed(29)
  d <- data.frame(a = factor(sample(130, 500, TRUE)), b = factor(sample(12, 500, TRUE)), x = rnorm(500), u = rnorm(500), w = runif(500, 0.5, 2))
  d$u[d$b == levels(d$b)[3]] <- 0
  d$y <- d$x + rnorm(130)[d$a] + rnorm(12)[d$b] * d$u + rnorm(12)[d$b] + rnorm(500)
  fits <- list(
    fastlmm_fit(y ~ x + (1 | a) + (1 | b), d), fastlmm_fit(y ~ x + (1 | a) + (1 + u || b), d, weights = w, method = "ML"),
    fastlmm_fit(y ~ 0 + (1 | a) + (1 | b), d)
  )
  for (fit in fits) {
    afresh <- fit
    afresh$rotated$conditional <- NULL
    before <- ffi_work()$decomposition
    kept <- ranef(fit)
    expect_identical(ffi_work()$decomposition, before)
    again <- ranef(afresh)
    expect_gt(ffi_work()$decomposition, before)
    for (group in names(kept)) expect_equal(attr(kept[[group]], "postVar"), attr(again[[group]], "postVar"), tolerance = 1e-8)
  }
  # one effect's variance is zero
  d$y <- d$x + rnorm(12)[d$b] + rnorm(500)
  fit <- suppressMessages(fastlmm_fit(y ~ x + (1 | a) + (1 | b), d))
  if (fit$sigma2[["a"]] == 0) expect_true(all(attr(ranef(fit)$a, "postVar") == 0))
})
