# Covariates of single responses: their effects against what made the data, answers against their definition, and what is no such list.

cis_data <- function(n = 60) {
  set.seed(4)
  data <- data.frame(
    id = paste0("i", rep(1:20, length.out = n)), x = rnorm(n), snp1 = rbinom(n, 2, 0.4), snp2 = rbinom(n, 2, 0.3), kind = sample(c("a", "b", "c"), n, TRUE)
  )
  data$block <- paste0("b", rep(1:6, length.out = n))
  factor <- rnorm(20)[rep(1:20, length.out = n)] + rnorm(n, sd = 0.3)
  data$Y <- outer(factor, c(1, 0.8, -0.6)) + data$x + matrix(rnorm(3 * n, sd = 0.5), n)
  colnames(data$Y) <- c("gene1", "gene2", "gene3")
  data$Y[, "gene1"] <- data$Y[, "gene1"] + 1.2 * data$snp1
  data$Y[, "gene3"] <- data$Y[, "gene3"] - 0.7 * data$snp1 + 0.4 * data$snp2
  data
}

cis_fit <- function(
  data = cis_data(), formula = Y ~ x + (1 | id), cis = list(gene1 = ~snp1, gene3 = ~ snp1 + snp2), n_factors = 1, chains = 2, iter = 300, seed = 1, ...
) {
  quiet_slam(formula, data, cis = cis, n_factors = n_factors, chains = chains, iter = iter, seed = seed, ...)
}

test_that("effects are those that made the data", {
  fit <- cis_fit(iter = 600)
  table <- cis_effects(fit)
  expect_identical(table[c("response", "term")], data.frame(response = c("gene1", "gene3", "gene3"), term = c("snp1", "snp1", "snp2")))
  expect_true(all(abs(table$mean - c(1.2, -0.7, 0.4)) < 4 * table$sd))
  expect_true(all(table$sd < 0.25 & table$low < table$mean & table$mean < table$high))
  draws <- cis_effects(fit, draws = TRUE)
  expect_identical(dimnames(draws)[[2]], c("snp1,gene1", "snp1,gene3", "snp2,gene3"))
  expect_equal(unname(colMeans(draws)), table$mean)
  expect_identical(cis_effects(fit, traits = "gene3"), structure(table[2:3, ], row.names = 1:2))
  expect_identical(summary(fit)$table$variable[grepl("snp", summary(fit)$table$variable)], c("B[snp1,gene1]", "B[snp1,gene3]", "B[snp2,gene3]"))
  tidied <- tidy(fit)
  expect_equal(tidied$estimate[tidied$term == "snp2"], table$mean[3])
  expect_output(print(fit), "Covariates of single responses: gene1 ~ snp1; gene3 ~ snp1 \\+ snp2")
})

test_that("the order of names changes nothing, and units of a covariate its effect alone", {
  data <- cis_data()
  fit <- cis_fit(data, iter = 60)
  expect_identical(cis_fit(data, cis = list(gene3 = ~ snp1 + snp2, gene1 = ~snp1), iter = 60)$draws, fit$draws)
  data$snp2 <- 100 * data$snp2
  other <- cis_fit(data, iter = 60)
  expect_equal(other$draws[[1]]$sigma2, fit$draws[[1]]$sigma2, tolerance = 1e-8)
  expect_equal(cis_effects(other)$mean, cis_effects(fit)$mean / c(1, 1, 100), tolerance = 1e-8)
  # an effect that is added to the data is added to its estimate, and to no other number
  data$Y[, "gene3"] <- data$Y[, "gene3"] + 3 * data$snp1
  added <- cis_fit(data, iter = 60)
  expect_equal(added$draws[[1]]$sigma2, fit$draws[[1]]$sigma2, tolerance = 1e-6)
  expect_equal(cis_effects(added)$mean, cis_effects(other)$mean + c(0, 3, 0), tolerance = 1e-6)
})

test_that("predictions are those of the definition, of rows of the fit and of new ones", {
  data <- cis_data()
  for (formula in c(Y ~ x + (1 | id), Y ~ x + (1 | id) + (1 | block))) {
    fit <- cis_fit(data, formula, iter = 100, chains = 1)
    expect_equal(unname(predict(fit, data)), unname(fitted(fit)))
    own <- matrix(0, nrow(data), 3)
    effects <- cis_effects(fit)$mean
    own[, 1] <- effects[1] * data$snp1
    own[, 3] <- effects[2] * data$snp1 + effects[3] * data$snp2
    expect_equal(unname(predict(fit, data, re.form = NA)), unname(cbind(1, data$x) %*% fixef(fit) + own))
    # means of effects have what the columns leave: as the draws of effects do
    expect_lt(max(abs(rowMeans(fitted(fit, draws = TRUE), dims = 2) - fitted(fit))), 0.4)
    expect_equal(residuals(fit), data$Y - fitted(fit), ignore_attr = TRUE)
    expect_lt(mean(residuals(fit)^2), 0.5)
    simulated <- rowMeans(simplify2array(simulate(fit, 300, seed = 2)), dims = 2)
    expect_lt(max(abs(colMeans(simulated - predict(fit, data, re.form = NA)))), 0.3)
    expect_gt(stats::cor(simulated[, 1] - data$x, data$snp1), 0.8)
  }
  # of a row without the covariate only the responses that have it are not known
  new <- transform(data[1:3, ], snp2 = c(NA, 1, 2))
  found <- predict(fit, new, interval = "prediction")
  expect_identical(unname(is.na(found[, , 1])), outer(1:3, 1:3, function(i, j) i == 1 & j == 3))
  # and a response that is given says nothing where its covariate is missing
  new <- data[5, ]
  new$snp1 <- NA
  nothing <- predict(fit, new, given = "gene1")
  new$snp1 <- 0
  new$Y[, "gene1"] <- NA
  expect_equal(nothing[, "gene2"], predict(fit, new, given = "gene1")[, "gene2"])
  expect_identical(unname(is.na(nothing)), matrix(c(TRUE, FALSE, TRUE), 1))
})

test_that("log_lik() and variance_parts() have them", {
  data <- cis_data()
  fit <- cis_fit(data, n_factors = 0, prior = slam_prior(h2 = function(h) h == 0), iter = 40, chains = 1)
  B <- fixef(fit, draws = TRUE)
  own <- cis_effects(fit, draws = TRUE)
  i <- 7
  mean <- cbind(1, data$x) %*% B[, , i]
  mean[, 1] <- mean[, 1] + own[i, 1] * data$snp1
  mean[, 3] <- mean[, 3] + own[i, 2] * data$snp1 + own[i, 3] * data$snp2
  sd <- sqrt(fit$draws[[1]]$sigma2[, i]) * fit$scale$sd
  expected <- matrix(dnorm(data$Y, mean, rep(sd, each = nrow(data)), log = TRUE), nrow(data))
  found <- log_lik(fit)
  expect_equal(c(found[i, ]), c(expected), ignore_attr = TRUE)
  fixed <- mean(vapply(seq_len(nrow(own)), function(i) var(data$x * B["x", "gene1", i] + own[i, 1] * data$snp1), 0))
  expect_equal(variance_parts(fit, "gene1")$fixed, fixed)
})

test_that("rows with a missing covariate are left out of the fit", {
  data <- cis_data()
  gone <- data
  gone$snp2[c(3, 10)] <- NA
  gone$x[20] <- NA
  fit <- cis_fit(gone, iter = 40)
  whole <- cis_fit(data[-c(3, 10, 20), ], iter = 40)
  expect_identical(fit$draws, whole$draws)
  expect_identical(unname(c(fit$na.action)), c(3L, 10L, 20L))
  expect_identical(cis_fit(gone, iter = 40, subset = 21:60)$draws, cis_fit(data[21:60, ], iter = 40)$draws)
})

test_that("factors, calls and missing cells", {
  data <- cis_data()
  data$Y[2, 1] <- NA
  fit <- cis_fit(data, cis = list(gene1 = ~kind, gene2 = ~ poly(snp1, 2)), iter = 60)
  expect_identical(cis_effects(fit)$term, c("kindb", "kindc", "poly(snp1, 2)1", "poly(snp1, 2)2"))
  expect_equal(unname(predict(fit, data)[-2, ]), unname(fitted(fit)[-2, ]))
  expect_true(all(is.finite(posterior_cells(fit))))
  expect_error(predict(fit, transform(data[1:2, ], kind = "z")), class = "fastlmm_error_new_fixed_level")
  expect_error(predict(fit, data[1:2, setdiff(names(data), "kind")]), class = "fastlmm_error_missing_variable")
})

test_that("chains go on, here and in a directory, with the same draws", {
  data <- cis_data()
  fit <- cis_fit(data, formula = Y ~ x + (1 | id) + (1 | block), rays = 2, iter = 60, warmup = 20)
  half <- cis_fit(data, formula = Y ~ x + (1 | id) + (1 | block), rays = 2, iter = 40, warmup = 20)
  expect_identical(quiet_chains(extend(half, 20))$draws, fit$draws)
  dir <- withr::local_tempdir()
  run <- function(cis, iter) cis_fit(data, cis = cis, iter = iter, warmup = 20, dir = dir)
  first <- run(list(gene1 = ~snp1), 120)
  expect_identical(restore(dir)$draws, first$draws)
  expect_identical(cis_effects(restore(dir)), cis_effects(first))
  expect_error(run(list(gene1 = ~snp2), 120), class = "fastlmm_error_checkpoint")
  expect_identical(
    cis_fit(data, iter = 60, control = fastlmm_control(threads = 2))$draws, cis_fit(data, iter = 60, control = fastlmm_control(threads = 1))$draws
  )
})

test_that("effects on values behind a family", {
  data <- cis_data(80)
  set.seed(2)
  data$Y[, 1] <- rpois(80, exp(1 + 0.8 * data$snp1))
  fit <- cis_fit(data, family = list(gene1 = poisson()), iter = 800)
  table <- cis_effects(fit)
  expect_lt(abs(table$mean[1] - 0.8), 4 * table$sd[1])
  expect_lt(table$sd[1], 0.3)
  # known in units of its covariate: the normal prior of coefficients
  expect_identical(fit$numbers$cis, c(2.5^2, 0, 0))
  link <- predict(fit, data, type = "link", re.form = NA)
  expect_equal(unname(link[, 1]), unname(drop(cbind(1, data$x) %*% fixef(fit)[, 1]) + table$mean[1] * data$snp1))
  expect_equal(dim(log_lik(slam_thinned(fit, 20))), c(2 * 20, length(data$Y)), ignore_attr = TRUE)
})

test_that("what is no list of covariates of responses is told", {
  data <- cis_data(30)
  fails <- function(cis, class = "cis", ..., formula = Y ~ x + (1 | id)) {
    expect_error(slamglmm_fit(formula, data, cis = cis, n_factors = 1, chains = 1, iter = 10, ...), class = paste0("fastlmm_error_", class))
  }
  told <- function(cis, ...) conditionMessage(fails(cis, ...))
  expect_match(told(list(gen1 = ~snp1)), "gen1.*gene1")
  expect_match(told(~snp1), "names of responses")
  expect_match(told(list(~snp1)), "names of responses")
  expect_match(told(list(gene1 = ~snp1, gene1 = ~snp2)), "more than once: .*gene1")
  expect_match(told(list(gene1 = "snp1")), "gene1.*one side")
  expect_match(told(list(gene1 = gene2 ~ snp1)), "gene1.*one side")
  expect_match(told(list(gene1 = ~1)), "no covariates")
  expect_match(told(list(gene1 = ~ (1 | id))), "random terms")
  expect_match(told(list(gene1 = ~ offset(snp1))), "gene1")
  expect_match(told(list(gene1 = ~ snp1 + offset(snp2))), "offset")
  expect_match(told(list(gene2 = ~ I(2 * x))), "gene2.*I\\(2 \\* x\\)")
  expect_match(told(list(gene2 = ~ snp1 + I(1 - snp1))), "gene2.*I\\(1 - snp1\\)")
  short <- 1:7
  expect_match(told(list(gene1 = ~short)), "gene1.*7 rows.*30")
  fails(list(gene1 = ~nothing), "missing_variable")
  fails(list(gene1 = ~ log(snp1)), "nonfinite")
  expect_match(told(list(gene1 = ~snp1), missing = "integrate"), "impute")
  data$Y[data$snp2 > 0, "gene3"] <- NA
  expect_match(told(list(gene3 = ~snp2)), "gene3.*snp2")
  fit <- quiet_slam(Y ~ x + (1 | id), data, n_factors = 1, chains = 1, iter = 20, seed = 1)
  expect_error(cis_effects(fit), class = "fastlmm_error_cis")
  fit <- cis_fit(data, cis = list(gene1 = ~snp1), iter = 20)
  expect_error(cis_effects(fit, traits = "gene2"), "gene2.*gene1", class = "fastlmm_error_cis")
})
