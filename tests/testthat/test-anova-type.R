test_that("tables of all types are lmerTest's", {
  skip_if_not_installed("lmerTest")
  skip_if_not_installed("pbkrtest")
  Oats <- plain_factors(nlme::Oats)
  Machines <- plain_factors(nlme::Machines)
  beets <- pbkrtest::beets
  cases <- list(
    list(angle ~ recipe * temperature + (1 | recipe:replicate), lme4::cake), list(yield ~ Variety * nitro + (1 | Block / Variety), Oats),
    list(score ~ Machine + (1 | Worker / Machine), Machines), list(score ~ Machine + (Machine | Worker), Machines),
    list(sugpct ~ block + sow + harvest + (1 | block:harvest), beets), list(Reaction ~ Days + (Days | Subject), lme4::sleepstudy),
    list(Reaction ~ Days + (Days || Subject), lme4::sleepstudy)
  )
  for (case in cases) {
    fit <- suppressMessages(fastlmm_fit(case[[1]], case[[2]]))
    other <- sharp_lmer(case[[1]], case[[2]])
    for (ddf in c("Satterthwaite", "Kenward-Roger")) for (type in 1:3) {
      found <- anova(fit, type = type, ddf = ddf)
      wanted <- anova(other, type = type, ddf = ddf)
      expect_equal(as.matrix(found), as.matrix(wanted), tolerance = 1e-5, ignore_attr = TRUE)
      expect_identical(dimnames(as.matrix(found)), dimnames(as.matrix(wanted)))
    }
  }
})

test_that("of unbalanced data hypotheses and F are lmerTest's; its degrees of freedom depend on the coding, ours do not", {
  skip_if_not_installed("lmerTest")
  skip_if_not_installed("pbkrtest")
  set.seed(2)
  data <- data.frame(
    a = factor(sample(4, 80, TRUE, c(8, 4, 3, 2))), b = factor(sample(3, 80, TRUE, c(4, 2, 1))), g = factor(sample(9, 80, TRUE)), x = rnorm(80, 5, 2)
  )
  data$y <- rnorm(9)[data$g] + rnorm(80) + data$x / 30
  formula <- y ~ a * b + x + a:x + (1 | g)
  fit <- fastlmm_fit(formula, data)
  coded <- fastlmm_fit(formula, data, contrasts = list(a = "contr.sum", b = "contr.helmert"))
  other <- sharp_lmer(formula, data)
  for (type in 1:3) {
    found <- anova(fit, type = type, ddf = "satterthwaite")
    wanted <- anova(other, type = type)
    expect_equal(found[["F value"]], wanted[["F value"]], tolerance = 1e-5)
    expect_equal(found$DenDF, wanted$DenDF, tolerance = 1e-2)
    expect_equal(anova(coded, type = type, ddf = "satterthwaite"), found, tolerance = 1e-6)
    expect_equal(
      as.matrix(anova(fit, type = type, ddf = "kenward-roger")), as.matrix(anova(other, type = type, ddf = "Kenward-Roger")), tolerance = 1e-5,
      ignore_attr = TRUE
    )
    # without degrees of freedom the same F
    expect_equal(
      anova(fit, type = type, ddf = "none")[["F value"]], if (type == 1) anova(other, ddf = "lme4")[["F value"]] else wanted[["F value"]], tolerance = 1e-5
    )
  }
})

test_that("type 3 of a fit with aliased coefficients, and what is no type, are refused; the others are not", {
  skip_if_not_installed("lme4")
  data <- subset(lme4::cake, !(recipe == "A" & temperature == "175"))
  fit <- suppressMessages(fastlmm_fit(angle ~ recipe * temperature + (1 | replicate), data))
  expect_error(anova(fit, type = 3, ddf = "satterthwaite"), "aliased", class = "fastlmm_error_anova")
  for (type in 1:2) expect_true(all(is.finite(as.matrix(anova(fit, type = type, ddf = "kenward-roger")))))
  expect_error(anova(fit, type = 4), "type must be", class = "fastlmm_error_anova")
  expect_error(anova(fit, fit, type = 2), "one fit", class = "fastlmm_error_anova")
  expect_equal(nrow(anova(fastlmm_fit(angle ~ 1 + (1 | replicate), lme4::cake), type = 3, ddf = "satterthwaite")), 0)
})

test_that("types of terms of transformed variables are those of the same columns under plain names", {
  set.seed(1)
  d <- data.frame(g = factor(rep(1:10, 6)), x = exp(rnorm(60)), a = factor(sample(c("p", "q", "r"), 60, TRUE)))
  d$y <- rnorm(10)[d$g] + log(d$x) + rnorm(60)
  d$lx <- log(d$x)
  # not what is found here under the name of a variable
  x <- rep(1:3, 20)
  for (type in 1:3) for (ddf in c("none", "satterthwaite")) {
    expect_equal(
      anova(fastlmm_fit(y ~ log(x) + a + (1 | g), d), type = type, ddf = ddf)[["F value"]],
      anova(fastlmm_fit(y ~ lx + a + (1 | g), d), type = type, ddf = ddf)[["F value"]]
    )
  }
})

test_that("types do not depend on the units of a term's columns", {
  set.seed(2)
  d <- data.frame(g = factor(rep(1:10, 6)), a = gl(3, 1, 60), y = rnorm(60))
  d$M <- matrix(rnorm(120), 60)
  own <- anova(fastlmm_fit(y ~ M + a + (1 | g), d), type = 2)
  d$M[, 2] <- 1e9 * d$M[, 2]
  expect_equal(anova(fastlmm_fit(y ~ M + a + (1 | g), d), type = 2)[["F value"]], own[["F value"]])
})
