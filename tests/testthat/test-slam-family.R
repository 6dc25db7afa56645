# Families of slamglmm_fit(). Each link's draws are tested in Rust (densities, Geweke with one and two effects, planted bugs); here: the way from responses to
# values and back.

family_world <- function(n = 200, seed = 1) {
  set.seed(seed)
  id <- sprintf("i%02d", rep(1:40, length.out = n))
  x <- rnorm(n)
  eta <- 0.7 * rnorm(40)[match(id, unique(id))] + 0.5 * x + 0.4 * rnorm(n)
  data.frame(
    id, x, eta, count = rpois(n, exp(1 + eta)), wide = rnbinom(n, size = 2, mu = exp(2 + eta)), sick = as.numeric(eta + rnorm(n) > 0),
    part = rbinom(n, 10, plogis(eta)) / 10, grade = findInterval(eta + rnorm(n), c(-0.5, 0.5)) + 1
  )
}

family_fit <- function(formula, data, ..., iter = 300, chains = 1, seed = 1) quiet_slam(formula, data, chains = chains, iter = iter, seed = seed, ...)

test_that("coefficients of every family are those that made the data", {
  data <- family_world(400)
  trials <- matrix(10, 400, 5)
  formula <- cbind(count, wide, sick, part, grade) ~ x + (1 | id)
  families <- list(count = poisson(), wide = negative_binomial(), sick = binomial("probit"), part = binomial(), grade = ordinal())
  fit <- family_fit(formula, data, family = families, weights = trials, iter = 1000, chains = 2)
  B <- fixef(fit)
  expect_lt(abs(B["x", "count"] - 0.5), 0.15)
  expect_lt(abs(B["(Intercept)", "count"] - 1), 0.35)
  expect_lt(abs(B["x", "wide"] - 0.5), 0.2)
  expect_lt(abs(B["x", "part"] - 0.5), 0.15)
  expect_gt(B["x", "sick"], 0.1)
  expect_gt(B["x", "grade"], 0.1)
  table <- summary(fit)$table
  expect_true(all(c("dispersion[wide]", "gap1[grade]") %in% table$variable))
  # a larger one and more variance of the values say much the same: the data tell how small it can be
  expect_lt(abs(log(table$low[table$variable == "dispersion[wide]"] / 2)), 0.7)
  expect_output(print(fit), "poisson (1), negative_binomial (1), ordinal (2), binomial (1)", fixed = TRUE)
  # all effects are one: genetic correlations are high
  expect_gt(rg(fit)["count", "part"], 0.4)
  # of 0 and 1 and of levels the variance is given
  expect_true(all(fit$draws[[1]]$sigma2[c(3, 5), ] == 1))
})

test_that("responses, values and their data belong together", {
  data <- family_world()
  data$count[c(3, 8)] <- NA
  data$o <- runif(nrow(data))
  fit <- family_fit(cbind(count, eta) ~ x + offset(o) + (1 | id), data, family = list(count = poisson()), iter = 400)
  link <- predict(fit, type = "link")
  response <- predict(fit)
  expect_identical(link[, "eta"], response[, "eta"])
  expect_gt(cor(link[, "count"], log(response[, "count"])), 0.99)
  expect_true(all(response[, "count"] > exp(link[, "count"]) * 0.9))
  expect_equal(fitted(fit), response)
  expect_equal(unname(residuals(fit)[, "count"]), data$count - unname(response[, "count"]))
  expect_lt(abs(mean(residuals(fit)[, "count"], na.rm = TRUE)), 0.5)
  new <- predict(fit, data[1:4, ], interval = "prediction")
  expect_true(all(new[, "count", "lwr"] >= 0))
  one <- predict(fit, data[1:4, ], interval = "prediction", draws = TRUE)[, "count", ]
  expect_true(all(one == round(one)))
  cells <- posterior_cells(fit)
  expect_equal(unname(cells[-c(3, 8), "count"]), data$count[-c(3, 8)])
  expect_true(all(cells[c(3, 8), "count"] > 0))
  expect_equal(dim(posterior_cells(fit, draws = TRUE)), c(2L, 200L))
  simulated <- simulate(fit, 2, seed = 1)[[1]]
  expect_true(all(simulated[-c(3, 8), "count"] == round(simulated[-c(3, 8), "count"])))
  expect_true(all(is.na(simulated[c(3, 8), "count"])))
  expect_equal(nrow(pp_check(fit, n = 5)), 2)
  expect_equal(augment(fit)$.observed[1:2], data$count[1:2])
  expect_error(predict(fit, data[1:2, ], given = "eta"), class = "fastlmm_error_family")
})

test_that("weights are precisions in units of the responses", {
  data <- family_world()
  Y <- cbind(a = data$eta, b = data$eta + rnorm(200))
  W <- matrix(runif(400, 1, 5), 200)
  fit <- family_fit(Y ~ x + (1 | id), data, weights = W)
  scaled <- family_fit(I(1024 * Y) ~ x + (1 | id), data, weights = W / 1024^2)
  expect_equal(h2(scaled)$h2, h2(fit)$h2)
  # precise data are the responses themselves, and weights of 0 missing cells
  sure <- family_fit(Y ~ x + (1 | id), data, weights = 1e12 + 0 * W, iter = 1000)
  plain <- family_fit(Y ~ x + (1 | id), data, iter = 1000)
  expect_equal(diag(P(sure)), diag(P(plain)), tolerance = 0.15)
  values <- sure$draws[[1]]$cells[1:200, 300] * sure$scale$sd[1] + drop(sure$X %*% sure$scale$shift[, 1])
  expect_equal(unname(values), unname(Y[, 1]), tolerance = 1e-4)
  gone <- W
  gone[1:20, 1] <- 0
  Y2 <- Y
  Y2[1:20, 1] <- 1e6
  part <- family_fit(Y2 ~ x + (1 | id), data, weights = gone)
  expect_lt(max(abs(fitted(part)[1:20, 1])), 10)
})

test_that("families go with several effects, directories and interruptions", {
  data <- family_world()
  data$block <- rep(letters[1:5], 40)
  fit <- family_fit(cbind(count, eta) ~ x + (1 | id) + (1 | block), data, family = list(count = negative_binomial()), iter = 60, chains = 2)
  expect_equal(names(h2(fit)), c("response", "id", "block"))
  dir <- withr::local_tempdir()
  half <- family_fit(
    cbind(count, eta) ~ x + (1 | id) + (1 | block), data, family = list(count = negative_binomial()), iter = 40, warmup = 30, chains = 2, dir = dir
  )
  expect_identical(
    quiet_chains(extend(restore(dir), 20))$draws,
    quiet_slam(
      cbind(count, eta) ~ x + (1 | id) + (1 | block), data, family = list(count = negative_binomial()), iter = 60, warmup = 30, chains = 2, seed = 1
    )$draws
  )
  expect_true(all(simulate(fit)[[1]][, "count"] >= 0))
})

test_that("responses that are not what their family says are told by name", {
  data <- family_world()
  bad <- function(class, pattern, ...) expect_error(family_fit(cbind(count, part) ~ x + (1 | id), data, ...), pattern, class = paste0("fastlmm_error_", class))
  bad("family", "part", family = poisson())
  bad("family", "part", family = list(part = binomial()))
  bad("family", "is no response", family = list(nobody = poisson()))
  bad("family", "Gamma", family = stats::Gamma())
  bad("family", "one, as poisson", family = "counts")
  bad("family", "did you mean \"poisson\"", family = "poison")
  bad("family", "not all with a name", family = list(poisson()))
  bad("weights", "200 rows", weights = matrix(1, 3, 2))
  bad("weights", "not negative", weights = matrix(-1, 200, 2))
  bad("family", "whole numbers of trials", family = list(part = binomial()), weights = matrix(1.5, 200, 2))
  bad("family", "missing", family = list(count = poisson()), missing = "integrate")
  data$count[1] <- -1
  bad("family", "\"count\", which has -1 in row \"1\" \\(1 such of 200\\)", family = list(count = poisson()))
  # rows are those of the data, also where some are left out
  data$x[2] <- NA
  data$count[c(1, 4, 7)] <- c(0, 2.5, 3.5)
  bad("family", "\"count\", which has 2.5 in row \"4\" \\(2 such of 199\\)", family = list(count = negative_binomial()))
  data$part[9] <- 1.25
  bad("family", "\"part\", which has 1.25 in row \"9\"", family = list(part = binomial()), weights = matrix(4, 200, 2))
  data <- family_world()
  expect_error(family_fit(cbind(sick, eta) ~ offset(x) + (1 | id), data, family = list(sick = binomial())), "offset", class = "fastlmm_error_family")
  expect_error(family_fit(cbind(eta, x) ~ 1 + (1 | id), data, family = list(eta = binomial("probit"))), "0 and 1", class = "fastlmm_error_family")
})

test_that("families may be given by their names", {
  data <- family_world()
  by <- function(family) family_fit(cbind(count, eta) ~ x + (1 | id), data, family = family, iter = 20)$draws
  expect_identical(by(list(count = "poisson")), by(list(count = poisson())))
  expect_identical(by(c(count = "nbinom2", eta = "gaussian")), by(list(count = negative_binomial())))
  expect_identical(fastlmm:::read_family("probit", "y"), fastlmm:::read_family(binomial("probit"), "y"))
})

test_that("weights go by names, and what has none was not observed", {
  data <- family_world(60)
  data$Y <- cbind(part = data$part, size = data$eta, count = data$count)
  W <- cbind(part = 10, size = runif(60, 1, 5), count = NA)
  run <- function(weights, d = data, ...) family_fit(
    Y ~ x + (1 | id), d, weights = weights, family = list(part = binomial(), count = poisson()), iter = 20, ...
  )
  fit <- run(unname(W))
  expect_identical(run(W[, 3:1])$draws, fit$draws)
  expect_identical(run(as.data.frame(W)[3:1])$draws, fit$draws)
  named <- data
  rownames(named) <- paste0("r", 1:60)
  turned <- W
  rownames(turned) <- rownames(named)
  expect_identical(run(turned[60:1, 3:1], named)$draws, fit$draws)
  bad <- function(class, pattern, ...) expect_error(run(...), pattern, class = paste0("fastlmm_error_", class))
  bad("weights", "no responses.*b.*of the responses.*size", `colnames<-`(W, c("part", "b", "count")))
  bad("weights", "each once", `colnames<-`(W, c("part", "part", "count")))
  bad("row_names", "r1", `rownames<-`(turned, c("z", paste0("r", 2:60))), named)
  bad("row_names", "automatic", `rownames<-`(W, 60:1))
  expect_identical(run(`rownames<-`(W, paste0("s", 1:60)), named)$draws, fit$draws)
  # a row without weights is one without responses; weights may be missing where these are
  gone <- W
  gone[4, c("part", "size")] <- 0
  none <- data
  none$Y[4, ] <- NA
  empty <- data
  empty$Y[4, "count"] <- NA
  left <- run(gone, empty)
  expect_identical(left$draws, run(W[-4, ], data[-4, ])$draws)
  expect_identical(run(replace(W, cbind(4, 1:3), NA), none)$draws, left$draws)
  expect_equal(nrow(left$Y), 59)
  # and trials that were none are missing cells, whatever stands in them
  cells <- replace(W, cbind(7, 1), 0)
  other <- data
  other$Y[7, "part"] <- NaN
  fit <- run(cells)
  expect_identical(run(cells, other)$draws, fit$draws)
  expect_true(is.na(residuals(fit)[7, "part"]))
  expect_equal(ncol(log_lik(fit)), 179)
  expect_message(unweighted <- run(replace(W, cbind(7, 1), NA)), "1 cell without a weight, of \"part\"", class = "fastlmm_message_missing_weights")
  expect_identical(unweighted$draws, fit$draws)
  bad("weights", "part", replace(W, cbind(7, 1), Inf))
})

test_that("levels are responses in every way, and names are each a response's own", {
  data <- family_world(60)
  data$level <- factor(c("lo", "mid", "hi")[data$grade], c("lo", "mid", "hi"), ordered = TRUE)
  data$yes <- data$sick > 0
  run <- function(formula, ...) family_fit(formula, data, iter = 20, ...)
  alone <- run(grade ~ x + (1 | id), family = ordinal())
  expect_identical(unname(run(level ~ x + (1 | id), family = ordinal())$draws), unname(alone$draws))
  expect_equal(colnames(run(level ~ x + (1 | id), family = list(level = ordinal()))$Y), "level")
  data$two <- cbind(level = data$grade, eta = data$eta)
  two <- run(two ~ x + (1 | id), family = list(level = ordinal()))
  expect_identical(run(slam_join(level, eta) ~ x + (1 | id), family = list(level = ordinal()))$draws, two$draws)
  data$frame <- data[c("level", "eta")]
  expect_identical(run(frame ~ x + (1 | id), family = list(level = ordinal()))$draws, two$draws)
  expect_error(run(frame ~ x + (1 | id)), "ordinal.*level", class = "fastlmm_error_family")
  expect_error(run(level ~ x + (1 | id), family = poisson()), "ordinal.*level", class = "fastlmm_error_family")
  # rows of a level that is left out take it with them
  expect_equal(run(level ~ x + (1 | id), family = ordinal(), subset = level != "mid")$links[[1]]$levels, 2)
  data$frame <- data[c("yes", "eta")]
  data$two <- cbind(yes = data$sick, eta = data$eta)
  expect_identical(run(frame ~ x + (1 | id), family = list(yes = binomial()))$draws, run(two ~ x + (1 | id), family = list(yes = binomial()))$draws)
  data$frame <- data.frame(data$eta, id = data$id)
  expect_error(run(frame ~ x + (1 | id)), "not numeric.*id", class = "fastlmm_error_response_type")
  data$twice <- cbind(k = data$count, k = data$eta)
  expect_error(run(twice ~ x + (1 | id), family = list(k = poisson())), "several responses.*k", class = "fastlmm_error_response_names")
})

test_that("responses that do not look normal are pointed to their families", {
  data <- family_world()
  told <- function(formula, ...) {
    found <- character()
    withCallingHandlers(quiet_slam(formula, data, chains = 1, iter = 20, seed = 1, ...), fastlmm_message_family = function(message) {
      found <<- c(found, conditionMessage(message))
      invokeRestart("muffleMessage")
    })
    found
  }
  expect_match(told(cbind(sick, eta) ~ 1 + (1 | id)), "binomial\\(\\).*sick")
  expect_match(told(cbind(count, eta) ~ 1 + (1 | id)), "poisson\\(\\) or negative_binomial\\(\\).*count")
  expect_match(told(cbind(part, eta) ~ 1 + (1 | id)), "weights.*part")
  expect_length(told(cbind(eta, x) ~ 1 + (1 | id)), 0)
  expect_length(told(cbind(sick, eta) ~ 1 + (1 | id), family = gaussian()), 0)
})

test_that("coefficients behind a family have a prior: a level without any count has a finite one", {
  set.seed(5)
  x <- rep(0:1, each = 12)
  y <- c(rpois(12, 3), numeric(12))
  fit <- quiet_slam(
    cbind(y) ~ x + (1 | id), data.frame(x, y, id = paste0("i", rep(1:6, 4))), family = poisson(), n_factors = 0, chains = 4, iter = 4000, seed = 1,
    prior = slam_prior(residual = fixed_variance(1e-4), coefficients = 1.5)
  )
  grid <- expand.grid(a = seq(0, 2.5, 0.02), b = seq(-16, 0, 0.02))
  log <- sum(y) * grid$a - 12 * exp(grid$a) - 12 * exp(grid$a + grid$b) + dnorm(grid$b, 0, 1.5 / sd(x), log = TRUE)
  weight <- exp(log - max(log))
  exact <- sum(weight * grid$b) / sum(weight)
  spread <- sqrt(sum(weight * (grid$b - exact)^2) / sum(weight))
  table <- summary(fit)$table
  found <- table[table$variable == "B[x,y]", ]
  expect_gt(found$ess_bulk, 200)
  expect_lt(abs(found$mean - exact), 4 * spread / sqrt(found$ess_bulk))
  expect_lt(abs(found$sd / spread - 1), 0.15)
  expect_error(slam_prior(coefficients = 0), class = "fastlmm_error_prior")
})

test_that("the prior of a fit is the one that was used", {
  set.seed(2)
  data <- data.frame(id = paste0("i", rep(1:10, 3)))
  data$Y <- cbind(count = rpois(30, 3), size = rnorm(30))
  fit <- function(...) quiet_slam(Y ~ 1 + (1 | id), data, family = list(count = poisson()), n_factors = 1, chains = 1, iter = 20, seed = 1, ...)
  default <- fit()
  expect_equal(default$prior$residual$shape, c(count = 1, size = 0.5))
  expect_equal(default$prior$loadings, mgp(first = c(shape = 3, rate = 1)))
  expect_identical(fit(prior = default$prior)$draws, default$draws)
  expect_output(print(default$prior), "shape \"count 1.0\", \"size 0.5\"", fixed = TRUE)
  expect_output(print(slam_prior()), "which differs for responses with a family")
  expect_equal(dim(slam_prior_draws(default$prior, n = 5, seed = 1)$P), c(2, 2, 5))
})

# A fit of each family, beside a normal response, and one with another family or none
mixed_fit <- function(data = family_world(), ...) {
  families <- list(count = poisson(), wide = negative_binomial(), sick = binomial("probit"), part = binomial(), grade = ordinal())
  trials <- matrix(1, nrow(data), 6)
  trials[, 4] <- 10
  family_fit(cbind(count, wide, sick, part, grade, eta) ~ x + (1 | id), data, family = families, weights = trials, iter = 120, ...)
}

# The expected datum of eta and a residual of standard deviation sd, by its definition
expected_datum <- function(family, eta, sd, gaps) {
  mean_at <- switch(
    family, count = exp, wide = exp, part = plogis, sick = function(eta) as.numeric(eta > 0), grade = function(eta) 1 + findInterval(eta, c(0, gaps)),
    eta = identity
  )
  breaks <- sort(c(-9, 9, if (family %in% c("sick", "grade")) (c(0, gaps) - eta) / sd))
  breaks <- breaks[abs(breaks) <= 9]
  one <- function(from, to) if (to - from < 1e-8) 0 else integrate(function(z) mean_at(eta + sd * z) * dnorm(z), from, to, rel.tol = 1e-9)$value
  sum(mapply(one, breaks[-length(breaks)], breaks[-1]))
}

test_that("what is expected of a datum has its residual averaged over, in each draw", {
  fit <- mixed_fit()
  link <- predict(fit, type = "link", draws = TRUE)
  expected <- predict(fit, draws = TRUE)
  expect_equal(expected[, "eta", ], link[, "eta", ])
  R <- R(fit, draws = TRUE)
  gaps <- link_values(fit)[link_parameters(fit) == "gap1[grade]", ]
  for (j in colnames(fit$Y)) for (i in c(3, 50)) for (t in c(1, 40)) {
    expect_equal(unname(expected[i, j, t]), expected_datum(j, link[i, j, t], sqrt(R[j, j, t]), if (j == "grade") gaps[t]), tolerance = 1e-6)
  }
  # steep logistic functions, too
  for (sd in c(0.01, 1, 8, 40)) expect_equal(
    logit_mean(c(-3, 0.2, 6), sd), vapply(c(-3, 0.2, 6), function(eta) expected_datum("part", eta, sd), 0), tolerance = 1e-5
  )
  # all answers are of one expectation
  mean <- predict(fit)
  expect_equal(mean[, -6], apply(expected, 1:2, mean)[, -6], ignore_attr = TRUE)
  expect_identical(mean[, "eta"], predict(fit, type = "link")[, "eta"])
  expect_identical(fitted(fit), mean)
  expect_equal(residuals(fit), fit$Y - mean)
  for (interval in c("confidence", "prediction")) expect_identical(predict(fit, interval = interval)[, , "fit"], mean)
  sure <- predict(fit, interval = "confidence", level = 0.99)
  expect_true(all(sure[, , "lwr"] < mean & mean < sure[, , "upr"]))
  # new data have it for their mean
  data <- predict(fit, interval = "prediction", draws = TRUE)
  error <- apply(data - expected, 1:2, sd) / sqrt(dim(data)[3])
  expect_gt(mean(abs(apply(data - expected, 1:2, mean)) <= 3 * error), 0.97)
  # rows of the fit as new ones: the same, but for the random numbers of effects and of one trial
  new <- predict(fit, family_world())
  expect_equal(new[, "eta"], mean[, "eta"], ignore_attr = TRUE)
  expect_equal(new, mean, tolerance = 0.1, ignore_attr = TRUE)
})

test_that("effects that are not included are averaged over with the residual", {
  data <- family_world()
  data$block <- rep(letters[1:5], 40)
  fit <- family_fit(cbind(count, eta) ~ x + (1 | id) + (1 | block), data, family = list(count = poisson()), iter = 60)
  share <- h2(fit, draws = TRUE)
  variance <- apply(P(fit, draws = TRUE), 3, diag)
  for (wanted in list(~ (1 | id), ~ (1 | block), NULL, NA)) {
    eta <- predict(fit, re.form = wanted, type = "link", draws = TRUE)[, "count", ]
    included <- if (is.null(wanted)) c("id", "block") else if (inherits(wanted, "formula")) all.vars(wanted) else character()
    left <- (1 - colSums(share["count", included, , drop = FALSE], dims = 2)) * variance[1, ]
    expect_equal(predict(fit, re.form = wanted, draws = TRUE)[, "count", ], exp(eta + rep(left, each = 200) / 2))
  }
})

test_that("gaussian() says nothing that is not so without it", {
  data <- family_world()
  plain <- family_fit(cbind(eta, x) ~ 1 + (1 | id), data, iter = 40)
  for (family in list(gaussian(), list(x = gaussian()))) {
    fit <- family_fit(cbind(eta, x) ~ 1 + (1 | id), data, family = family, iter = 40)
    expect_identical(fit$draws, plain$draws)
    for (verb in list(
      fitted, residuals, predict, function(fit) predict(fit, data[1:3, ], interval = "prediction"), function(fit) predict(fit, data[1:3, ], given = "eta")
    )) expect_identical(verb(fit), verb(plain))
  }
})

test_that("predictions have the fit's seed, and leave R's generator as it was", {
  fit <- mixed_fit()
  new <- family_world()[1:3, ]
  asked <- function() list(predict(fit, interval = "prediction"), predict(fit, new, interval = "prediction", draws = TRUE), fitted(fit), posterior_cells(fit))
  set.seed(3)
  before <- .Random.seed
  first <- asked()
  expect_identical(.Random.seed, before)
  runif(1)
  expect_identical(asked(), first)
  rm(".Random.seed", envir = globalenv())
  expect_identical(asked(), first)
  expect_false(exists(".Random.seed", envir = globalenv(), inherits = FALSE))
  set.seed(4)
})

test_that("trials and weights are those of the rows of the fit, and of no others", {
  data <- family_world()
  fit <- mixed_fit(data)
  # as many new rows as the fit has are new rows
  for (re in list(NA, NULL)) {
    new <- predict(fit, data[200:1, ], re.form = re, interval = "prediction", draws = TRUE)[, "part", ]
    expect_true(all(new %in% 0:1))
    own <- predict(fit, re.form = re, interval = "prediction", draws = TRUE)[, "part", ]
    expect_equal(own * 10, round(own * 10))
    expect_false(all(own %in% 0:1))
  }
  # weights of blocks of rows are those of the rows
  big <- data.frame(id = rep(sprintf("i%02d", 1:40), 10), y = rnorm(400), z = rnorm(400))
  W <- matrix(rep(c(1e8, 1e-2), each = 200), 400, 2)
  wide <- predict(family_fit(cbind(y, z) ~ 1 + (1 | id), big, weights = W, iter = 60), re.form = NA, interval = "prediction")
  width <- wide[, "y", "upr"] - wide[, "y", "lwr"]
  expect_gt(min(width[201:400]), 3 * max(width[1:200]))
})

test_that("cells in which nothing was observed are predicted as new ones", {
  data <- family_world()
  data$part[2] <- data$eta[3] <- NA
  W <- cbind(rep(5, 200), 1)
  data$part <- round(data$part * 5) / 5
  W[c(4, 7), 1] <- 0
  data$part[c(4, 7)] <- 0
  W[c(5, 6), 2] <- 0
  fit <- family_fit(cbind(part, eta) ~ x + (1 | id), data, family = list(part = binomial()), weights = W, iter = 60)
  for (draws in list(
    predict(fit, interval = "prediction", draws = TRUE), predict(fit, interval = "prediction"), predict(fit, interval = "prediction", re.form = NA)
  )) expect_true(all(is.finite(draws)))
  expect_true(all(predict(fit, interval = "prediction", draws = TRUE)[c(4, 7), "part", ] %in% 0:1))
  for (Y in simulate(fit, 3, seed = 1)) expect_true(all(is.finite(Y[!is.na(fit$Y)])))
  expect_true(all(is.finite(as.matrix(pp_check(fit, n = 3, seed = 1)[, -1]))))
})

test_that("families without the names of their responses are refused with what to write", {
  responses <- c("a", "b", "c d")
  said <- function(family) tryCatch(read_families(family, responses), fastlmm_error_family = conditionMessage)
  expect_match(said(c("poisson", "gaussian", "poisson")), "write family = list(a = \"poisson\", b = \"gaussian\", ...)", fixed = TRUE)
  expect_match(said(list(poisson(), ordinal())), "2 entries.*family = list\\(a = poisson\\(\\), b = ordinal\\(\\), ...\\)")
  expect_match(said(list(a = poisson(), poisson())), "not all with a name")
  expect_match(said(character()), "0 entries.*list\\(a = ..., b = ...")
  expect_match(said(c(a = "poisson", z = "poisson")), "\"z\", which is no response; the responses are \"a\", \"b\"", fixed = TRUE)
  expect_match(said(list(a = "poisson", a = "gaussian")), "more than once for \"a\"", fixed = TRUE)
  expect_identical(said(c(a = "poisson", b = "normal"))$a$family, "poisson")
})
