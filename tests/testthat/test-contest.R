same_row <- function(found, wanted, tolerance = 1e-5) {
  expect_equal(unname(unlist(found)), unname(unlist(wanted)), tolerance = tolerance)
}

test_that("joint and single tests are lmerTest's", {
  skip_if_not_installed("lmerTest")
  skip_if_not_installed("pbkrtest")
  formula <- angle ~ recipe + temperature + (1 | recipe:replicate)
  fit <- fastlmm_fit(formula, lme4::cake)
  other <- sharp_lmer(formula, lme4::cake)
  L <- diag(8)[2:4, ]
  for (ddf in c("Satterthwaite", "Kenward-Roger")) {
    same_row(contest(fit, L, ddf = ddf), lmerTest::contest(other, L, ddf = ddf))
    same_row(contest(fit, L, rhs = c(1, -1, 2), ddf = ddf), lmerTest::contest(other, L, rhs = c(1, -1, 2), ddf = ddf))
    found <- contest(fit, L, joint = FALSE, ddf = ddf, level = 0.9)
    same_row(found, lmerTest::contest(other, L, joint = FALSE, ddf = ddf, level = 0.9))
    # by the generic of the other package
    expect_identical(lmerTest::contest(fit, L, joint = FALSE, ddf = ddf, level = 0.9), found)
  }
})

test_that("one contrast gives the square of its t test, and rows that are sums of others do not count", {
  skip_if_not_installed("lme4")
  fit <- fastlmm_fit(Reaction ~ Days + I(Days^2) + (Days | Subject), lme4::sleepstudy)
  for (ddf in c("satterthwaite", "kenward-roger")) {
    single <- contest(fit, c(0, 1, 5), joint = FALSE, ddf = ddf)
    joint <- contest(fit, c(0, 1, 5), ddf = ddf)
    expect_equal(c(joint[["F value"]], joint$DenDF, joint[["Pr(>F)"]]), c(single[["t value"]]^2, single$df, single[["Pr(>|t|)"]]), tolerance = 1e-8)
    L <- rbind(c(0, 1, 0), c(0, 0, 1))
    expect_equal(contest(fit, rbind(L, c(0, 2, -7)), ddf = ddf), contest(fit, L, ddf = ddf), tolerance = 1e-8)
    expect_equal(contest(fit, L * c(1e6, 1e-6), ddf = ddf), contest(fit, L, ddf = ddf), tolerance = 1e-8)
    expect_equal(contest(fit, rbind(c(0, 1, 3), c(0, 2, -1)), ddf = ddf), contest(fit, L, ddf = ddf), tolerance = 1e-8)
  }
})

test_that("of a balanced experiment a joint test is that of the analysis of variance", {
  fit <- fastlmm_fit(yield ~ Variety * factor(nitro) + (1 | Block / Variety), plain_factors(nlme::Oats))
  table <- summary(aov(yield ~ Variety * factor(nitro) + Error(Block / Variety), plain_factors(nlme::Oats)))
  within <- table[["Error: Within"]][[1]]
  L <- diag(12)[attr(fixed_design(fit), "assign") == 3, ]
  for (ddf in c("satterthwaite", "kenward-roger")) {
    found <- contest(fit, L, ddf = ddf)
    expect_equal(c(found$DenDF, found[["F value"]]), c(within["Residuals", "Df"], within[2, "F value"]), tolerance = 1e-6)
  }
})

test_that("aliased coefficients are left out where the data determine the contrast, and L is checked", {
  data <- transform(nlme::Orthodont, again = age)
  fit <- suppressMessages(fastlmm_fit(distance ~ age + again + Sex + (1 | Subject), data))
  plain <- fastlmm_fit(distance ~ age + Sex + (1 | Subject), data)
  expect_equal(contest(fit, rbind(c(0, 0, 0, 1), c(0, 1, 1, 0))), contest(plain, rbind(c(0, 0, 1), c(0, 1, 0))), tolerance = 1e-6)
  expect_equal(contest(fit, c(0, 0, 1)), contest(plain, c(0, 0, 1)), tolerance = 1e-6)
  expect_error(contest(fit, c(0, 0, 1, 0)), "not estimable", class = "fastlmm_error_contest")
  expect_error(contest(plain, 1:2), "2 columns", class = "fastlmm_error_contest")
  expect_error(contest(plain, "age"), "matrix", class = "fastlmm_error_contest")
  expect_error(contest(plain, diag(3), rhs = 1:2), "rhs", class = "fastlmm_error_contest")
  expect_error(contest(plain, diag(3), ddf = "none"), "ddf", class = "fastlmm_error_argument")
  expect_equal(contest(plain, c(0, 0, 0))$NumDF, 0)
})

test_that("contrasts of aliased columns are refused whatever their unit, and hypotheses that cannot hold", {
  set.seed(1)
  d <- data.frame(g = factor(rep(1:30, 4)), year = sample(1990:2020, 120, TRUE))
  d$y <- rnorm(30)[d$g] + rnorm(120) + 0.1 * (d$year - 2005)
  for (unit in c(1, 1e7, 1e-7)) {
    d$t <- d$year * unit
    d$t2 <- 2 * d$t
    fit <- fastlmm_fit(y ~ t + t2 + (1 | g), d)
    expect_error(contest(fit, c(0, 1, 0)), class = "fastlmm_error_contest")
    expect_no_error(contest(fit, c(0, 1, 2)))
  }
  fit <- fastlmm_fit(y ~ year + (1 | g), d)
  twice <- rbind(c(0, 1), c(0, 2))
  expect_error(contest(fit, twice, rhs = c(0, 1)), class = "fastlmm_error_contest")
  expect_equal(contest(fit, twice, rhs = c(0.1, 0.2)), contest(fit, c(0, 1), rhs = 0.1))
})
