# Fits at the border of the variances against their limits written out: an augmented system needs no inverse of V, which may be singular there.

# Prediction at variances with covariance V of the data (any rank), C between targets and data, prior variances of the targets: universal kriging by
# [V X; X' 0], and given beta by a generalised inverse.
limit_prediction <- function(V, X, y, C, x, prior) {
  r <- ncol(X)
  A <- rbind(cbind(V, X), cbind(t(X), matrix(0, r, r)))
  B <- rbind(t(C), t(x))
  weights <- solve(A, B)
  list(fit = drop(crossprod(weights[seq_along(y), , drop = FALSE], y)), se.fit = sqrt(pmax(prior - colSums(B * weights), 0)))
}

limit_condsd <- function(V, C, prior) {
  e <- eigen(V, symmetric = TRUE)
  kept <- e$values > 1e-10 * e$values[1]
  half <- crossprod(e$vectors[, kept, drop = FALSE], t(C)) / sqrt(e$values[kept])
  sqrt(pmax(prior - colSums(half^2), 0))
}

marker_set <- function(seed, centred = FALSE) {
  set.seed(seed)
  ids <- paste0("i", 1:12)
  W <- matrix(rnorm(12 * 30), 12, dimnames = list(ids, NULL))
  if (centred) W[1:10, ] <- scale(W[1:10, ], scale = FALSE)
  list(
    W = W, K = tcrossprod(W), data = data.frame(id = ids[1:10], y = drop(W[1:10, ] %*% rnorm(30)), x = rnorm(10)), new = data.frame(id = ids[11:12], x = 0:1)
  )
}

quiet_fit <- function(...) suppressWarnings(suppressMessages(fastlmm_fit(...)))

test_that("standard errors through a factor without residual variance are those of the kernel and of the limit", {
  seen <- 0
  for (seed in 1:30) {
    s <- marker_set(seed, centred = seed %% 2 == 0)
    factor <- quiet_fit(y ~ x + (1 | id), s$data, K = list(id = kernel_lowrank(s$W)))
    if (factor$h2 < 1) next
    seen <- seen + 1
    matrix <- quiet_fit(y ~ x + (1 | id), s$data, K = s$K)
    sparse <- quiet_fit(y ~ x + (1 | id), s$data, K = list(id = kernel_lowrank(Matrix::Matrix(s$W, sparse = TRUE))))
    eigen <- quiet_fit(y ~ x + (1 | id), s$data, K = list(id = kernel_eigen(fastlmm_decompose(s$K))))
    K <- factor$sigma2 * s$K
    at <- s$data$id
    right <- limit_prediction(K[at, at], cbind(1, s$data$x), s$data$y, K[s$new$id, at], cbind(1, s$new$x), diag(K)[s$new$id])
    condsd <- limit_condsd(K[at, at], K[, at], diag(K))
    for (fit in list(factor, matrix, sparse, eigen)) {
      found <- predict(fit, s$new, se.fit = TRUE)
      expect_equal(unname(found$fit), unname(right$fit), tolerance = 1e-6, info = seed)
      expect_equal(unname(found$se.fit), unname(right$se.fit), tolerance = 1e-6, info = seed)
      all <- as.data.frame(ranef(fit, which = "all"))
      expect_equal(all$condsd / sqrt(mean(diag(K))), unname(condsd[as.character(all$grp)]) / sqrt(mean(diag(K))), tolerance = 1e-6, info = seed)
    }
  }
  expect_gt(seen, 15)
})

test_that("so they are with a small residual variance, and for several responses", {
  s <- marker_set(6)
  fit <- quiet_fit(y ~ 1 + (1 | id), s$data, K = list(id = kernel_lowrank(s$W)))
  matrix <- quiet_fit(y ~ 1 + (1 | id), s$data, K = s$K)
  K <- fit$sigma2 * s$K
  at <- s$data$id
  for (delta in c(1, 1e-5, 1e-10, 1e-15, 0)) {
    fit$sigma2_e <- matrix$sigma2_e <- delta * fit$sigma2
    half <- backsolve(chol(K[at, at] + diag(fit$sigma2_e, 10)), K[at, ], transpose = TRUE)
    expected <- unname(sqrt(pmax(diag(K) - colSums(half^2), 0)))
    for (one in list(fit, matrix)) {
      found <- as.data.frame(ranef(one, which = "all"))
      # of the size of the effects: a small one is a difference of large ones
      off <- max(abs(found$condsd[match(rownames(K), found$grp)] - expected)) / sqrt(mean(diag(K)))
      expect_lt(off, 1e-6, label = paste("delta", delta))
    }
  }
  s$data$z <- rnorm(10)
  many <- quiet_fit(cbind(y, z) ~ 1 + (1 | id), s$data, K = list(id = kernel_lowrank(s$W)))
  expect_equal(unname(predict(many, s$new, se.fit = TRUE)$se.fit[, "y"]), c(3.403915, 3.421292), tolerance = 1e-6)
})

# Centred markers, a row an id, a second effect
singular_set <- function(seed) {
  set.seed(seed)
  ids <- paste0("i", 1:16)
  M <- scale(matrix(rnorm(16 * 40), 16), scale = FALSE)
  K <- structure(tcrossprod(M) / 40, dimnames = list(ids, ids))
  data <- data.frame(id = ids, b = gl(4, 4), x = rnorm(16), z = rnorm(16))
  data$y <- drop(M %*% rnorm(40)) / 6 + rnorm(4)[data$b]
  list(K = K, data = data)
}

test_that("several effects with residual variance zero and a singular V have their limits", {
  seen <- 0
  for (seed in 1:12) {
    s <- singular_set(seed)
    fit <- quiet_fit(y ~ x + (1 | id) + (1 | b), s$data, K = list(id = s$K))
    if (fit$sigma2_e > 0) next
    seen <- seen + 1
    ids <- rownames(s$K)
    B <- outer(s$data$b, levels(s$data$b), "==") + 0
    V <- fit$sigma2[["id"]] * s$K + fit$sigma2[["b"]] * tcrossprod(B)
    X <- cbind(1, s$data$x)
    new <- data.frame(x = c(-1, 2), id = ids[c(1, 7)], b = c("4", "1"))
    C <- fit$sigma2[["id"]] * s$K[new$id, ] + fit$sigma2[["b"]] * t(B[, as.integer(new$b)])
    right <- limit_prediction(V, X, s$data$y, C, cbind(1, new$x), fit$sigma2[["id"]] * diag(s$K)[new$id] + fit$sigma2[["b"]])
    found <- predict(fit, new, se.fit = TRUE)
    scale <- sd(s$data$y)
    expect_equal(unname(found$fit) / scale, unname(right$fit) / scale, tolerance = 1e-6, info = seed)
    expect_equal(unname(found$se.fit) / scale, unname(right$se.fit) / scale, tolerance = 1e-5, info = seed)
    effects <- as.data.frame(ranef(fit))
    of_id <- limit_condsd(V, fit$sigma2[["id"]] * s$K, fit$sigma2[["id"]] * diag(s$K))
    condsd <- effects$condsd[effects$grpvar == "id"][match(ids, effects$grp[effects$grpvar == "id"])]
    expect_equal(condsd / scale, unname(of_id) / scale, tolerance = 1e-5, info = seed)
    # V is singular along a combination of X that is then known exactly
    expect_equal(unname(tidy(fit, effects = "fixed")$estimate), unname(fixef(fit)))
    expect_s3_class(augment(fit), "data.frame")
    expect_false(anyNA(anova(fit)$`F value`))
    expect_equal(anova(fit)$`F value`, unname(fixef(fit)[["x"]]^2 / diag(vcov(fit))[["x"]]), tolerance = 1e-6)
    many <- quiet_fit(cbind(y, z) ~ x + (1 | id) + (1 | b), s$data, K = list(id = s$K))
    expect_equal(predict(many, new, se.fit = TRUE)$se.fit[, "y"], found$se.fit, tolerance = 1e-6)
    expect_false(anyNA(predict(many, new, se.fit = TRUE)$se.fit))
  }
  expect_gt(seen, 3)
})

test_that("a variance that is zero to rounding is zero, with its boundary", {
  for (seed in c(18, 1:8)) {
    s <- small_mix(seed)
    fit <- small_mix_fit(s)
    variances <- c(fit$sigma2, residual = fit$sigma2_e)
    zero <- names(variances)[variances < 1e-12 * sum(variances)]
    expect_true(all(variances[zero] == 0), info = seed)
    expect_identical(fit$optimum$zero, if (length(zero) > 0) unname(c("id", "b", "residual")[match(zero, names(variances))]) else character(0), info = seed)
  }
})

test_that("scaled residuals without a residual variance are NA", {
  s <- marker_set(6)
  fit <- quiet_fit(y ~ 1 + (1 | id), s$data, K = s$K)
  expect_identical(fit$sigma2_e, 0)
  expect_true(all(is.na(residuals(fit, scaled = TRUE))))
  expect_false(anyNA(residuals(fit)))
  s$data$z <- rnorm(10)
  many <- quiet_fit(cbind(y, z) ~ 1 + (1 | id), s$data, K = s$K)
  expect_identical(unname(colSums(is.na(residuals(many, scaled = TRUE)))), unname(c(10, 10) * (sigma(many) == 0)))
})

# ---- origins of columns ---------------------------------------------------------------------------------------------

test_that("the likelihood of the other kind and the tests of terms do not depend on the origin of a column", {
  data <- nlme::Orthodont
  data$year <- data$age + 1e6
  for (random in c("(1 | Subject)", "(1 | Subject) + (0 + age | Subject)", "gp(age)")) {
    fit <- function(x) quiet_fit(reformulate(c(x, "Sex", random), "distance"), data)
    near <- fit("age")
    far <- fit("year")
    expect_equal(logLik(far, REML = FALSE)[1], logLik(near, REML = FALSE)[1], tolerance = 1e-9, info = random)
    expect_equal(anova(far)$`F value`, anova(near)$`F value`, tolerance = 1e-6, info = random)
  }
})

# ---- missed optima --------------------------------------------------------------------------------------------------

missed <- function() {
  set.seed(793)
  ids <- paste0("i", 1:16)
  K <- crossprod(matrix(rnorm(32 * 16), 32)) / 32
  dimnames(K) <- list(ids, ids)
  d <- data.frame(id = c(ids, sample(ids, 17, TRUE)), b = sample(letters[1:5], 33, TRUE), x = rnorm(33), w = runif(33, .2, 3))
  d$y <- rnorm(33) / sqrt(d$w) * 1.2 + .4 * rnorm(16)[match(d$id, ids)] + .1 * rnorm(5)[match(d$b, letters)]
  list(data = d, K = K)
}

test_that("an optimum beside a corner is found, and a profile that finds a better one says so and starts from there", {
  s <- missed()
  fit <- quiet_fit(y ~ x + (1 | id) + (1 | b), s$data, K = list(id = s$K), weights = w, method = "ML")
  expect_equal(logLik(fit)[1], -54.69981, tolerance = 1e-6)
  expect_lte(max(profile(fit, ".sig01")$logLik), logLik(fit)[1] + 1e-6)
  # the same model left at the corner
  corner <- fit
  corner$sigma2[] <- 0
  corner$sigma2_e <- 2.172581
  corner$logLik <- -54.77768
  expect_warning(curves <- profile(corner, ".sig01"), class = "fastlmm_warning_better_optimum")
  expect_equal(logLik(attr(curves, "fit"))[1], logLik(fit)[1], tolerance = 1e-8)
  expect_equal(as.data.frame(curves), as.data.frame(profile(fit, ".sig01")), tolerance = 1e-4, ignore_attr = TRUE)
  expect_warning(limits <- confint(corner, ".sig01"), class = "fastlmm_warning_better_optimum")
  expect_equal(limits, confint(fit, ".sig01"), tolerance = 1e-5, ignore_attr = TRUE)
})

test_that("no dense search finds a better optimum than a small fit of two effects, and no profile", {
  for (seed in 1:12) expect_mix_optimum(seed)
})
