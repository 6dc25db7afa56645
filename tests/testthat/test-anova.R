test_that("likelihood-ratio tests of fits without a kernel are lme4's", {
  skip_if_not_installed("lme4")
  data <- nlme::Orthodont
  data$Subject <- factor(data$Subject, ordered = FALSE)
  ours <- list(fastlmm_fit(distance ~ age + (1 | Subject), data), fastlmm_fit(distance ~ age * Sex + (1 | Subject), data))
  theirs <- lapply(c(distance ~ age + (1 | Subject), distance ~ age * Sex + (1 | Subject)), lme4::lmer, data = data)
  expect_message(found <- anova(ours[[2]], ours[[1]], model.names = c("b", "a")), class = "fastlmm_message_refit_ml")
  wanted <- suppressMessages(anova(theirs[[2]], theirs[[1]], model.names = c("b", "a")))
  expect_equal(rownames(found), c("a", "b"))
  expect_named(found, names(wanted))
  expect_equal(as.matrix(found), as.matrix(wanted), tolerance = 1e-6, ignore_attr = TRUE)
  expect_s3_class(found, "anova")
  one <- anova(theirs[[2]])
  expect_equal(as.data.frame(anova(ours[[2]])), as.data.frame(one), tolerance = 1e-5)
})

test_that("a fit stands beside lm(), and restricted likelihoods only beside those of the same fixed effects", {
  data <- nlme::Orthodont
  one <- fastlmm_fit(distance ~ age + (1 | Subject), data)
  without <- lm(distance ~ age, data)
  table <- suppressMessages(anova(one, without))
  ml <- fastlmm_fit(distance ~ age + (1 | Subject), data, method = "ML")
  expect_equal(rownames(table), c("without", "one"))
  expect_equal(table$Chisq[2], 2 * (ml$logLik - as.numeric(logLik(without))))
  expect_equal(table[["Pr(>Chisq)"]][2], pchisq(table$Chisq[2], 1, lower.tail = FALSE))
  set.seed(1)
  kernel <- crossprod(matrix(rnorm(27 * 30), 30)) / 30
  dimnames(kernel) <- rep(list(levels(data$Subject)), 2)
  two <- suppressMessages(fastlmm_fit(distance ~ age + (1 | Subject), data, K = list(Subject = kernel_mix(A = kernel, I = diag(27) + 0 * kernel))))
  kept <- anova(one, two, refit = FALSE)
  expect_equal(kept$logLik, c(one$logLik, two$logLik))
  expect_error(anova(one, update(one, . ~ . + Sex), refit = FALSE), class = "fastlmm_error_anova")
  # the same span by other columns has another restricted likelihood
  expect_error(anova(one, update(one, . ~ . - age + I(10 * age)), refit = FALSE), class = "fastlmm_error_anova")
  expect_error(anova(one, without, refit = FALSE), class = "fastlmm_error_anova")
})

test_that("fits of other rows or responses, and what is no fit, are refused", {
  data <- nlme::Orthodont
  fit <- fastlmm_fit(distance ~ age + (1 | Subject), data)
  expect_error(anova(fit, update(fit, data = data[-1, ])), "fit has 108 rows", class = "fastlmm_error_anova")
  expect_error(anova(fit, update(fit, log(distance) ~ .)), "another response", class = "fastlmm_error_anova")
  expect_error(anova(fit, 3), "not a fit", class = "fastlmm_error_anova")
  expect_error(anova(fit, glm(distance ~ age, data = data)), "not a fit", class = "fastlmm_error_anova")
  expect_error(anova(fit, fit, model.names = "a"), "1 names for 2 fits", class = "fastlmm_error_anova")
})

test_that("terms of one fit: aliased columns, no intercept, nothing at all", {
  data <- nlme::Orthodont
  data$again <- 2 * data$age
  plain <- anova(fastlmm_fit(distance ~ age + Sex + (1 | Subject), data))
  aliased <- anova(suppressMessages(fastlmm_fit(distance ~ age + again + Sex + (1 | Subject), data)))
  expect_equal(as.data.frame(aliased), as.data.frame(plain), tolerance = 1e-8)
  data$far <- 1e9 * data$age
  scaled <- anova(fastlmm_fit(distance ~ far + Sex + (1 | Subject), data))
  expect_equal(scaled[["F value"]], plain[["F value"]], tolerance = 1e-6)
  expect_equal(nrow(anova(fastlmm_fit(distance ~ 1 + (1 | Subject), data))), 0)
  only <- fastlmm_fit(distance ~ 0 + age + (1 | Subject), data)
  expect_equal(anova(only)[["F value"]], unname(fixef(only)^2 / diag(vcov(only))))
})

test_that("drop1() compares by maximum likelihood, whatever the fit's own method", {
  data <- nlme::Orthodont
  fit <- fastlmm_fit(distance ~ age + Sex + (1 | Subject), data)
  found <- drop1(fit, test = "Chisq")
  ml <- update(fit, method = "ML")
  less <- update(ml, . ~ . - Sex)
  expect_equal(found["Sex", "AIC"], AIC(less))
  expect_equal(found["<none>", "AIC"], AIC(ml))
  expect_equal(found["Sex", "LRT"], 2 * (ml$logLik - less$logLik))
  expect_equal(extractAIC(fit), c(5, AIC(ml)))
})

test_that("a Gaussian process is compared as other fits are", {
  some <- quakes[1:150, ]
  fit <- fastlmm_fit(mag ~ depth + gp(long, lat), some)
  without <- lm(mag ~ depth, some)
  table <- suppressMessages(anova(fit, without))
  ml <- update(fit, method = "ML")
  expect_equal(table$logLik, c(as.numeric(logLik(without)), ml$logLik))
  expect_equal(table$Df[2], 2)
})

test_that("fits are named as they were written, and not printed whole; other types of tables are refused with the reason", {
  data <- nlme::Orthodont
  one <- fastlmm_fit(distance ~ age + (1 | Subject), data)
  two <- fastlmm_fit(distance ~ age + Sex + (1 | Subject), data)
  by_call <- suppressMessages(do.call(anova, list(one, two)))
  written <- suppressMessages(anova(one, b = two))
  expect_identical(rownames(by_call), c("model1", "model2"))
  expect_identical(rownames(written), c("one", "b"))
  expect_equal(by_call, written, ignore_attr = TRUE)
  expect_lt(max(nchar(attr(by_call, "heading"))), 80)
  expect_equal(anova(one, type = "I"), anova(one))
  expect_error(anova(one, df = "Kenward-Roger"), "anova\\(fit, type = 2, ddf = \"kenward-roger\"\\)", class = "fastlmm_error_anova")
  expect_error(anova(one, two, reft = FALSE), "reft", class = "fastlmm_error_unused_argument")
  printed <- capture.output(print(do.call(fastlmm_fit, list(distance ~ age + (1 | Subject), data = data, weights = rep(2, 108)))))
  expect_match(printed, "Data: <nfnGroupedData>", fixed = TRUE, all = FALSE)
  expect_match(printed, "Weights: <numeric>", fixed = TRUE, all = FALSE)
})

test_that("drop1() and add1() compare fits of the same data, whatever has become of these since", {
  set.seed(7)
  D <- data.frame(id = rep(letters[1:10], 4), x = rnorm(40), z = rnorm(40), g = factor(rep(1:4, each = 10)), w = runif(40, 0.3, 3), o = rnorm(40))
  D$y <- D$x + D$o + rnorm(10)[match(D$id, letters)] + rnorm(40) / sqrt(D$w)
  K <- diag(10) + 0.5
  dimnames(K) <- rep(list(letters[1:10]), 2)
  fit <- fastlmm_fit(y ~ x * z + g + offset(o) + (1 | id), D, K, weights = w, contrasts = list(g = "contr.sum"))
  # without g its contrasts are said to be ignored, as lm() says
  ml <- function(change) suppressWarnings(update(fit, change, method = "ML"))
  AIC <- function(fit) -2 * fit$logLik + 2 * attr(logLik(fit), "df")
  dropped <- vapply(list(ml(. ~ .), ml(. ~ . - g), ml(. ~ . - x:z)), AIC, 0)
  added <- vapply(list(ml(. ~ .), ml(. ~ . + I(x^2)), ml(. ~ . + x:g)), AIC, 0)
  later <- AIC(ml(. ~ . + w))
  sorted <- D[order(D$x), ]
  check <- function() {
    expect_equal(drop1(fit)$AIC, dropped, tolerance = 1e-7)
    expect_equal(add1(fit, ~ . + I(x^2) + x:g)$AIC, added, tolerance = 1e-7)
  }
  D$y <- rev(D$y)
  K[1, 2] <- K[2, 1] <- 0.9
  check()
  # what the frame lacks is looked up in data that are still those of the fit
  expect_error(add1(fit, ~ . + log(w)), class = "fastlmm_error_rows")
  D <- sorted
  expect_equal(add1(fit, ~ . + w)$AIC[2], later, tolerance = 1e-7)
  rm(D, K)
  check()
})

test_that("update() takes the data of the fit where the caller has others of the same name", {
  D <- nlme::Orthodont[1:40, ]
  made <- function() {
    D <- nlme::Orthodont
    fastlmm_fit(distance ~ age + Sex + (1 | Subject), D)
  }
  expect_equal(nobs(update(made(), . ~ . - Sex)), 108)
  fit <- fastlmm_fit(distance ~ age + (1 | Subject), D)
  D <- nlme::Orthodont
  expect_equal(nobs(update(fit, . ~ .)), 108)
})
test_that("step() tells once that deviances of REML fits are REML criteria", {
  fit <- fastlmm_fit(distance ~ age * Sex + (1 | Subject), nlme::Orthodont)
  told <- function(expr) sum(grepl("REML criterion", capture_warnings(expr), fixed = TRUE))
  expect_identical(told(stats::step(fit, trace = 0)), 1L)
  # each call tells it anew
  expect_identical(told(stats::step(fit, trace = 0)), 1L)
  expect_identical(told(deviance(fit)), 1L)
})

test_that("models of one formula are told apart by their kernels and residual variances", {
  set.seed(6)
  ids <- paste0("i", 1:20)
  A <- tcrossprod(matrix(rnorm(400), 20, dimnames = list(ids, NULL))) / 20
  B <- tcrossprod(matrix(rnorm(400), 20, dimnames = list(ids, NULL))) / 20
  data <- data.frame(id = rep(ids, 6), x = rnorm(120), site = rep(c("a", "b"), 60))
  data$y <- drop(crossprod(chol(A), rnorm(20)))[match(data$id, ids)] + rnorm(120) * (1 + (data$site == "b"))
  one <- suppressMessages(fastlmm_fit(y ~ x + (1 | id), data, K = A, method = "ML"))
  two <- suppressMessages(fastlmm_fit(y ~ x + (1 | id), data, relmat = list(id = B), method = "ML"))
  none <- suppressMessages(fastlmm_fit(y ~ x + (1 | id), data, method = "ML"))
  sites <- suppressMessages(fastlmm_fit(y ~ x + (1 | id), data, K = A, method = "ML", residual = ~site))
  heading <- function(...) attr(anova(...), "heading")[-1]
  expect_identical(heading(one, two), c("one: y ~ x + (1 | id), K = A", "two: y ~ x + (1 | id), K = list(id = B)"))
  expect_identical(heading(one, none), c("one: y ~ x + (1 | id), K = A", "none: y ~ x + (1 | id)"))
  expect_identical(heading(one, sites), c("one: y ~ x + (1 | id)", "sites: y ~ x + (1 | id), residual = ~site"))
  expect_identical(heading(one, update(one, . ~ . - x)), c("update(one, . ~ . - x): y ~ (1 | id)", "one: y ~ x + (1 | id)"))
  given <- do.call(fastlmm_fit, list(y ~ x + (1 | id), data, K = B, method = "ML"))
  expect_match(heading(one, given)[2], "K = <matrix>$")
})

test_that("F tests of drop1() and add1() are elsewhere, and they say where", {
  fit <- fastlmm_fit(distance ~ age + Sex + (1 | Subject), nlme::Orthodont)
  expect_error(drop1(fit, test = "F"), "anova\\(fit, type = 2", class = "fastlmm_error_anova")
  expect_error(add1(fit, ~ . + age:Sex, test = "F"), "anova\\(larger", class = "fastlmm_error_anova")
  expect_named(drop1(fit, test = "Chisq"), c("Df", "AIC", "LRT", "Pr(>Chi)"))
})
