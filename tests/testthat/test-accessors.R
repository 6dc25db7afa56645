test_that("estimates equal lme4's", {
  each_lme4_pair(function(pair, label) {
    expect_equal(fixef(pair$ours), lme4::fixef(pair$theirs), tolerance = 1e-7, info = label)
    expect_equal(vcov(pair$ours), as.matrix(vcov(pair$theirs)), tolerance = 1e-5, info = label)
    expect_equal(sigma(pair$ours), sigma(pair$theirs), tolerance = 1e-6, info = label)
  })
})

test_that("likelihoods and counts equal lme4's", {
  each_lme4_pair(function(pair, label) {
    expect_equal(c(logLik(pair$ours)), c(logLik(pair$theirs)), tolerance = 1e-10, info = label)
    expect_equal(attr(logLik(pair$ours), "df"), attr(logLik(pair$theirs), "df"), info = label)
    expect_equal(AIC(pair$ours), AIC(pair$theirs), tolerance = 1e-10, info = label)
    expect_equal(BIC(pair$ours), BIC(pair$theirs), tolerance = 1e-10, info = label)
    expect_equal(nobs(pair$ours), nobs(pair$theirs), info = label)
    expect_equal(df.residual(pair$ours), df.residual(pair$theirs), info = label)
  })
})

test_that("the likelihood of a REML fit and the restricted likelihood of an ML fit equal lme4's", {
  each_lme4_pair(function(pair, label) {
    for (REML in c(TRUE, FALSE)) {
      expect_equal(c(logLik(pair$ours, REML = REML)), c(logLik(pair$theirs, REML = REML)), tolerance = 1e-8, info = label)
    }
  })
})

test_that("logLik is a logLik object that says which likelihood it is", {
  value <- logLik(kernel_fit())
  expect_s3_class(value, "logLik")
  expect_identical(attributes(value)[c("nobs", "df", "REML")], list(nobs = 75L, df = 6, REML = TRUE), ignore_attr = TRUE)
  expect_false(attr(logLik(kernel_fit("ML")), "REML"))
})

test_that("logLik of a dense kernel is the normal density of the definition", {
  for (method in c("REML", "ML")) {
    fit <- kernel_fit(method)
    m <- kernel_dense(fit)
    log_det <- function(x) as.numeric(determinant(x)$modulus)
    quadratic <- drop(m$residual %*% m$inverse %*% m$residual)
    ml <- -(75 * log(2 * pi) + log_det(m$V) + quadratic) / 2
    restricted <- -(71 * log(2 * pi) + log_det(m$V) - log_det(m$vcov) + quadratic) / 2
    expect_equal(fit$logLik, if (method == "ML") ml else restricted, tolerance = 1e-10)
    expect_equal(vcov(fit), m$vcov, tolerance = 1e-8, ignore_attr = TRUE)
  }
})

test_that("deviance of an ML fit is minus twice the log-likelihood, of a REML fit the criterion with a warning", {
  expect_equal(deviance(kernel_fit("ML")), -2 * kernel_fit("ML")$logLik)
  expect_warning(value <- deviance(kernel_fit()), class = "fastlmm_warning_deviance_reml")
  expect_equal(value, -2 * kernel_fit()$logLik)
  expect_silent(deviance(kernel_fit(), REML = FALSE))
  expect_snapshot(invisible(deviance(kernel_fit())))
})

test_that("aliased coefficients are NA as in lm", {
  data <- transform(kernel_data()$data, twice = 2 * x)
  fit <- suppressMessages(fastlmm_fit(y ~ x + twice + f + (1 | id), data, K = kernel_data()$K))
  small <- fastlmm_fit(y ~ x + f + (1 | id), data, K = kernel_data()$K)
  expect_identical(names(which(is.na(fixef(fit)))), "twice")
  expect_equal(fixef(fit)[-3], fixef(small))
  expect_identical(dim(vcov(fit)), c(5L, 5L))
  expect_true(all(is.na(vcov(fit)["twice", ])))
  expect_equal(vcov(fit, complete = FALSE), vcov(small))
  expect_equal(logLik(fit), logLik(small))
  expect_equal(fitted(fit), fitted(small))
})

test_that("a model without fixed effects answers everything", {
  given <- kernel_data()
  fit <- fastlmm_fit(y ~ 0 + (1 | id), given$data, K = given$K)
  expect_length(fixef(fit), 0)
  expect_identical(dim(vcov(fit)), c(0L, 0L))
  expect_identical(dim(model.matrix(fit)), c(75L, 0L))
  expect_equal(logLik(fit)[1], logLik(fit, REML = FALSE)[1])
  expect_equal(attr(logLik(fit), "df"), 2)
  expect_equal(predict(fit, given$data), fitted(fit))
  expect_identical(rownames(confint(fit)), c(".sig01", ".sigma", "h2"))
  expect_length(simulate(fit, 1, seed = 1)$sim_1, 75)
})

test_that("formula, terms and model frame give the model back", {
  fit <- kernel_fit()
  expect_equal(formula(fit), y ~ x + f + offset(o) + (1 | id), ignore_attr = TRUE)
  expect_equal(formula(fit, fixed.only = TRUE), y ~ x + f + offset(o), ignore_attr = TRUE)
  expect_s3_class(terms(fit), "terms")
  expect_identical(attr(terms(fit), "term.labels"), c("x", "f"))
  expect_true(all(c("y", "x", "f", "id") %in% names(model.frame(fit))))
  expect_false("id" %in% names(model.frame(fit, fixed.only = TRUE)))
  expect_equal(unname(model.matrix(fit)), unname(model.matrix(~ x + f, kernel_data()$data)), ignore_attr = TRUE)
})

test_that("weights are the prior weights, ones by default", {
  expect_equal(weights(kernel_fit()), kernel_data()$data$w, ignore_attr = TRUE)
  skip_if_not_installed("lme4")
  expect_equal(weights(lme4_pair("Dyestuff")$ours), rep(1, 30), ignore_attr = TRUE)
})

test_that("an argument that no method knows is an error", {
  fit <- kernel_fit()
  expect_error(fixef(fit, add = TRUE))
  expect_error(vcov(fit, corelation = TRUE))
  expect_error(predict(fit, new_data = kernel_data()$data))
  expect_error(simulate(fit, sed = 1))
  expect_error(confint(fit, levle = 0.9))
})

test_that("a fit is a plain value: another process answers the same", {
  skip_on_cran()
  path <- tempfile_with(".rds")
  answer <- tempfile_with(".rds")
  saveRDS(list(fit = kernel_fit(), data = kernel_data()$data), path)
  code <- sprintf(
    ".libPaths(%s); library(fastlmm); s <- readRDS('%s'); p <- predict(s$fit, s$data, se.fit = TRUE);
     saveRDS(list(p, ranef(s$fit), confint(s$fit), simulate(s$fit, seed = 1)$sim_1), '%s')",
    deparse1(.libPaths()), path, answer
  )
  script <- tempfile_with(".R")
  writeLines(code, script)
  status <- system2(file.path(R.home("bin"), "Rscript"), c("--vanilla", script), stdout = FALSE, stderr = FALSE)
  expect_identical(status, 0L)
  fit <- kernel_fit()
  here <- list(
    predict(fit, kernel_data()$data, se.fit = TRUE), ranef(fit), confint(fit), simulate(fit, seed = 1)$sim_1
  )
  expect_equal(readRDS(answer), here, tolerance = 1e-12)
})
