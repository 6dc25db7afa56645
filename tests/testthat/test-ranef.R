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
