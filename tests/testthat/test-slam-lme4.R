# Answers of a sparse-factor model in the shapes of base R, lme4 and broom, beside its draws.

shapes_world <- function() {
  set.seed(5)
  data <- data.frame(line = rep(sprintf("l%02d", 1:20), each = 3), x = rnorm(60), w = 1)
  data$Y <- matrix(rnorm(180), 60, dimnames = list(NULL, c("a", "b", "c"))) + outer(data$x, 1:3) + matrix(rnorm(60), 20)[rep(1:20, each = 3), ]
  data
}

shapes_fit <- function(data = shapes_world(), formula = Y ~ x + (1 | line), ...) {
  suppressMessages(slamglmm_fit(formula, data, chains = 2, iter = 120, warmup = 20, seed = 3, progress = FALSE, ...))
}

test_that("variance components are G and R, as a list and as a table", {
  skip_if_not_installed("lme4")
  fit <- shapes_fit()
  found <- lme4::VarCorr(fit)
  expect_equal(found$line, G(fit))
  expect_equal(attr(found, "residual"), R(fit))
  table <- as.data.frame(found)
  expect_named(table, c("grp", "var1", "var2", "vcov", "sdcor"))
  expect_equal(nrow(table), 12)
  expect_equal(table$vcov[1:3], unname(diag(G(fit))))
  expect_equal(table$sdcor[1:3], unname(sqrt(diag(G(fit)))))
  one <- table[table$grp == "Residual" & table$var1 %in% "a" & table$var2 %in% "c", ]
  expect_equal(c(one$vcov, one$sdcor), c(R(fit)["a", "c"], cov2cor(R(fit))["a", "c"]))
  expect_output(print(found), "Residual")
  expect_error(lme4::VarCorr(fit, sigma = 2), class = "fastlmm_error_argument")
})

test_that("intervals, covariances of coefficients and residual deviations are those of the draws", {
  fit <- shapes_fit()
  all <- fixef(fit, draws = TRUE)
  limits <- confint(fit, "B", level = 0.8)
  expect_equal(limits["B[x,b]", ], quantile(all["x", "b", ], c(0.1, 0.9)), ignore_attr = TRUE)
  expect_equal(colnames(limits), c("10 %", "90 %"))
  expect_equal(rownames(confint(fit, c("h2[a]", "rg"))), c("h2[a]", "rg[a,b]", "rg[a,c]", "rg[b,c]"))
  expect_equal(nrow(confint(fit)), 3 + 6 + 6 + 3 + 6)
  expect_error(confint(fit, "nothing"), class = "fastlmm_error_parm")
  V <- vcov(fit)
  expect_equal(V["b:x", "c:(Intercept)"], cov(all["x", "b", ], all["(Intercept)", "c", ]))
  expect_equal(sigma(fit), rowMeans(sqrt(apply(R(fit, draws = TRUE), 3, diag))))
})

test_that("simulated data sets are like the data, and are repeated by their seed", {
  data <- shapes_world()
  data$Y[4, 2] <- NA
  fit <- shapes_fit(data, Y ~ x + offset(100 * w) + (1 | line))
  found <- simulate(fit, 40, seed = 1)
  expect_identical(simulate(fit, 40, seed = 1), found)
  expect_equal(names(found)[40], "sim_40")
  expect_identical(is.na(found[[1]]), is.na(fit$Y))
  expect_equal(colMeans(Reduce(`+`, found) / 40, na.rm = TRUE), colMeans(data$Y, na.rm = TRUE), tolerance = 0.2)
  spread <- sqrt(rowMeans(vapply(found, function(Y) apply(Y, 2, var, na.rm = TRUE), numeric(3))))
  expect_equal(spread, apply(data$Y, 2, sd, na.rm = TRUE), tolerance = 0.3)
  expect_error(simulate(fit, -1), class = "fastlmm_error_nsim")
})

test_that("tables of draws and of the broom packages", {
  fit <- shapes_fit()
  frame <- as.data.frame(fit)
  expect_equal(dim(frame), c(200, 2 + 3 * 3 + 6))
  expect_equal(frame[["h2[b]"]], unname(h2(fit, draws = TRUE)["b", ]))
  expect_equal(frame$.chain, rep(1:2, each = 100))
  table <- generics::tidy(fit, conf.int = TRUE, conf.level = 0.8)
  expect_equal(table$estimate, c(fixef(fit)))
  expect_equal(table$conf.low[4], quantile(fixef(fit, draws = TRUE)["x", "b", ], 0.1), ignore_attr = TRUE)
  one <- generics::glance(fit)
  expect_equal(c(one$nobs, one$responses, one$factors, one$draws), c(60, 3, 3, 200))
  expect_equal(one$rhat, max(summary(fit)$table$rhat))
  rows <- generics::augment(fit)
  expect_equal(dim(rows), c(180, 5))
  expect_equal(rows$.fitted, c(fitted(fit)))
  expect_equal(rows$.resid, c(residuals(fit)))
})

test_that("what has no answer says why; update() fits again", {
  fit <- shapes_fit()
  expect_null(weights(fit))
  expect_error(subset(fit, x > 0), class = "fastlmm_error_sampler")
  expect_error(logLik(fit), class = "fastlmm_error_sampler")
  shapes <- shapes_world()
  first <- suppressMessages(slamglmm_fit(Y ~ x + (1 | line), shapes, chains = 1, iter = 30, seed = 1, progress = FALSE))
  again <- suppressMessages(update(first, . ~ . - x, iter = 20))
  expect_equal(rownames(fixef(again)), "(Intercept)")
  expect_equal(again$done, 20)
})

test_that("parts of the model are those of its data, and other packages find their methods", {
  data <- shapes_world()
  data$x[3] <- NA
  fit <- shapes_fit(data)
  frame <- model.frame(fit)
  expect_equal(nrow(frame), 59)
  expect_equal(model.response(frame), data$Y[-3, ], ignore_attr = TRUE)
  X <- model.matrix(fit)
  expect_equal(X[, "x"], data$x[-3], ignore_attr = TRUE)
  expect_equal(dim(model.matrix(fit, "random")), c(59, 20))
  expect_equal(formula(fit), Y ~ x + (1 | line), ignore_attr = TRUE)
  # generics of packages that need not be there: registered for when they are
  delayed <- parseNamespaceFile("fastlmm", dirname(getNamespaceInfo("fastlmm", "path")))$S3methods
  for (generic in c("bayesplot::pp_check", "rstantools::log_lik", "loo::loo", "loo::waic", "posterior::as_draws", "ggplot2::autoplot")) {
    expect_true(any(delayed[, 4] %in% sub("::.*", "", generic) & delayed[, 1] == sub(".*::", "", generic) & delayed[, 2] == "slamglmm"), label = generic)
  }
})

test_that("short chains, and draws that do not vary, are judged without a warning of posterior", {
  data <- shapes_world()
  fit <- shapes_fit(data, known_loadings = cbind(c(1, 0, 0)))
  fit$draws <- lapply(fit$draws, function(chain) {
    chain$h[1, ] <- 0.5
    chain$sigma2[1, ] <- 1
    chain
  })
  expect_silent(found <- summary(fit))
  expect_silent(capture.output(print(found), print(fit)))
  skip_if_not_installed("posterior")
  expect_silent(draws <- posterior::as_draws(fit))
  expect_equal(posterior::nvariables(draws), 15)
  none <- shapes_fit(data)
  none$draws <- lapply(
    none$draws, lapply, function(x) if (is.null(dim(x))) x else array(x[seq_len(prod(dim(x)[-length(dim(x))]))], c(dim(x)[-length(dim(x))], 1))
  )
  expect_silent(table <- summary(none)$table)
  expect_true(all(is.na(table$rhat)))
})

test_that("responses may be a data frame, and a subset is fitted as those rows alone", {
  data <- shapes_world()
  whole <- shapes_fit(data)
  framed <- data
  framed$Y <- as.data.frame(data$Y)
  expect_identical(shapes_fit(framed)$draws, whole$draws)
  Y <- as.data.frame(data$Y)
  expect_identical(shapes_fit(data[c("line", "x")], Y ~ x + (1 | line))$draws, whole$draws)
  framed$Y$b <- "text"
  expect_error(shapes_fit(framed), class = "fastlmm_error_response_type")
  some <- shapes_fit(data, subset = x > -1, factors = ~ x)
  alone <- shapes_fit(data[data$x > -1, ], factors = ~ x)
  expect_lt(nobs(some), 60)
  expect_identical(some$draws, alone$draws)
  expect_error(shapes_fit(data, subset = x > 100), class = "fastlmm_error_no_rows")
})
