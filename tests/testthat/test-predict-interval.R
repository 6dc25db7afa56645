test_that("intervals are the standard errors times a quantile of t, as predict.lm() has them", {
  skip_if_not_installed("lme4")
  fit <- kernel_fit()
  new <- data.frame(x = c(0, 1), f = "b", o = 0, id = c("i1", "i40"))
  at <- predict(fit, new, se.fit = TRUE)
  quantile <- qt(0.95, nobs(fit) - fit$rank)
  confidence <- predict(fit, new, interval = "confidence", level = 0.9)
  expect_equal(confidence, cbind(fit = at$fit, lwr = at$fit - quantile * at$se.fit, upr = at$fit + quantile * at$se.fit))
  prediction <- predict(fit, new, interval = "prediction", level = 0.9, se.fit = TRUE)
  expect_equal(prediction$fit[, "upr"], at$fit + quantile * sqrt(at$se.fit^2 + fit$sigma2_e))
  expect_identical(prediction$se.fit, at$se.fit)
  own <- predict(fit, interval = "prediction")
  expect_equal(
    own[, "upr"] - own[, "fit"], qt(0.975, nobs(fit) - fit$rank) * sqrt(predict(fit, se.fit = TRUE)$se.fit^2 + fit$sigma2_e / kernel_data()$data$w),
    ignore_attr = TRUE
  )
  # at h2 = 0 those of lm()
  boundary <- lme4_pair("Dyestuff2")
  linear <- lm(Yield ~ 1, boundary$data)
  for (interval in c("confidence", "prediction")) {
    expect_equal(
      predict(boundary$ours, data.frame(Batch = "A"), interval = interval), predict(linear, data.frame(Batch = "A"), interval = interval), tolerance = 1e-8,
      ignore_attr = TRUE
    )
  }
})

test_that("missing rows and rows that are not estimable are NA, and what has no interval is refused", {
  fit <- kernel_fit()
  found <- predict(fit, data.frame(x = c(NA, 1), f = "b", o = 0, id = "i1"), interval = "prediction")
  expect_identical(is.na(found[, "lwr"]), c(`1` = TRUE, `2` = FALSE))
  expect_error(predict(fit, interval = "prediction", re.form = NA), "allow.new.levels", class = "fastlmm_error_interval")
  expect_error(predict(fit, interval = "prediction", random.only = TRUE), class = "fastlmm_error_interval")
  expect_error(predict(fit, interval = "both"), class = "fastlmm_error_argument")
  expect_error(predict(fit, interval = "confidence", level = 95), class = "fastlmm_error_level")
  population <- predict(fit, data.frame(x = 0, f = "a", o = 0), re.form = NA, interval = "confidence")
  expect_equal(population[, "upr"] - population[, "fit"], qt(0.975, nobs(fit) - fit$rank) * sqrt(vcov(fit)[1, 1]), ignore_attr = TRUE)
})

# The share of new responses and of means that intervals hold. Data sets are independent; targets of one are not, so that the error is that of the means of data
# sets.
expect_coverage <- function(simulated, fitted, targets, level = 0.9, R = 120, seed = 1) {
  set.seed(seed)
  held <- replicate(R, {
    world <- simulated()
    fit <- suppressMessages(fitted(world$data))
    inside <- function(interval, truth) {
      limits <- suppressMessages(predict(fit, targets, interval = interval, level = level))
      mean(limits[, "lwr"] < truth & truth < limits[, "upr"])
    }
    c(confidence = inside("confidence", world$mean), prediction = inside("prediction", world$new))
  })
  error <- apply(held, 1, sd) / sqrt(R)
  # what the estimation of the ratio takes away is less than two percent here
  expect_true(all(abs(rowMeans(held) - level) < 3 * error + 0.02), info = paste(round(rowMeans(held), 3), round(error, 3), collapse = "; "))
}

kernel_world <- function() {
  m <- 60
  ids <- paste0("i", seq_len(m))
  distance <- abs(outer(seq_len(m), seq_len(m), "-"))
  K <- structure(exp(-distance / 8), dimnames = list(ids, ids))
  root <- t(chol(K))
  seen <- setdiff(seq_len(m), seq(3, m, 6))
  data <- data.frame(id = rep(ids[seen], 2), g = rep_len(letters[1:8], 2 * length(seen)), x = rep_len(c(-1, 1, 0), 2 * length(seen)))
  targets <- data.frame(id = ids[c(3, 9, 15, 20)], x = 0.5, g = letters[c(1, 2, 3, 4)])
  simulated <- function() {
    u <- structure(drop(root %*% rnorm(m)), names = ids)
    v <- structure(rnorm(8, sd = 0.7), names = letters[1:8])
    data$y <- 1 + data$x + u[data$id] + rnorm(nrow(data), sd = 0.8)
    data$z <- data$y + v[data$g]
    mean <- 1.5 + u[targets$id]
    list(data = data, mean = mean, new = mean + rnorm(4, sd = 0.8), both = mean + v[targets$g])
  }
  list(K = K, targets = targets, simulated = simulated)
}

test_that("intervals hold new responses and means as often as they say: one effect and several", {
  world <- kernel_world()
  expect_coverage(world$simulated, function(data) fastlmm_fit(y ~ x + (1 | id), data, K = world$K), world$targets)
  several <- function() {
    one <- world$simulated()
    one$mean <- one$both
    one$new <- one$both + rnorm(4, sd = 0.8)
    one
  }
  expect_coverage(several, function(data) fastlmm_fit(z ~ x + (1 | id) + (1 | g), data, K = list(id = world$K)), world$targets, R = 60)
})

test_that("intervals of an id that nobody knows, and of a process, hold as often as they say", {
  subjects <- factor(rep(1:30, each = 4))
  new_subject <- function() {
    y <- rnorm(30)[subjects] + rnorm(120)
    u <- rnorm(1)
    list(data = data.frame(y, subjects), mean = u, new = u + rnorm(1))
  }
  set.seed(3)
  held <- replicate(200, {
    world <- new_subject()
    fit <- suppressMessages(fastlmm_fit(y ~ 1 + (1 | subjects), world$data))
    limits <- predict(fit, data.frame(subjects = "new"), interval = "prediction", level = 0.9, allow.new.levels = TRUE)
    limits[, "lwr"] < world$new && world$new < limits[, "upr"]
  })
  expect_lt(abs(mean(held) - 0.9), 3 * sqrt(0.9 * 0.1 / 200) + 0.01)
  at <- seq(0, 1, length.out = 80)
  all <- c(at, 0.205, 0.51, 0.8)
  root <- t(chol(exp(-abs(outer(all, all, "-")) / 0.2) + diag(1e-9, 83)))
  process <- function() {
    f <- drop(root %*% rnorm(83))
    list(data = data.frame(t = at, y = f[1:80] + rnorm(80, sd = 0.5)), mean = f[81:83], new = f[81:83] + rnorm(3, sd = 0.5))
  }
  expect_coverage(process, function(data) fastlmm_fit(y ~ 1 + gp(t, cov = "matern12", lengthscale = 0.2), data), data.frame(t = all[81:83]), R = 60)
})
