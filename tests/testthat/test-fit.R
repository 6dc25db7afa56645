# The fitted model against its definition, against independent programs, and under transformations that must not matter.

make_data <- function(seed, n = 40, m = n, rank = m, p = 2) {
  set.seed(seed)
  ids <- sprintf("i%d", seq_len(m))
  K <- random_kernel(m, rank, ids)
  data <- as.data.frame(matrix(rnorm(n * max(p, 1)), n, dimnames = list(NULL, paste0("x", seq_len(max(p, 1))))))
  data$id <- if (m == n) sample(ids) else sample(c(ids, sample(ids, n - m, TRUE)))
  u <- drop(crossprod(chol(K + 1e-8 * diag(m)), rnorm(m)))
  data$y <- 1 + data$x1 + u[match(data$id, ids)] + rnorm(n)
  list(data = data, K = K, formula = reformulate(c(if (p > 0) paste0("x", seq_len(p)) else "0", "(1 | id)"), "y"))
}

expect_definition <- function(fit, K, data) {
  X <- model.matrix(fit)
  Z <- incidence(data$id, rownames(K))
  G <- Z %*% K %*% t(Z)
  best <- dense_fit(data$y, X, G, fit$method)
  expect_equal(fit$logLik, best$logLik, tolerance = 1e-7)
  at <- dense_at(fit$delta, data$y, X, G, fit$method)
  expect_equal(unname(fixef(fit)), unname(at$beta), tolerance = 1e-7)
  expect_equal(unname(as.matrix(vcov(fit))), unname(at$vcov), tolerance = 1e-7)
  expect_equal(c(fit$sigma2, fit$sigma2_e), c(at$sigma2, at$sigma2_e), tolerance = 1e-7)
  u <- ranef(fit, which = "all")$id
  expect_equal(u[rownames(K), 1], dense_ranef(at, K, Z), tolerance = 1e-6, ignore_attr = TRUE)
}

test_that("fits equal the definition: full and deficient rank, p = 0..6, with and without repeats", {
  for (method in c("REML", "ML")) {
    for (p in c(0, 1, 3, 6)) {
      for (shape in list(c(40, 40, 5), c(40, 12, 12), c(40, 12, 3), c(40, 12, 1))) {
        d <- make_data(p + sum(shape), shape[1], shape[2], shape[3], p)
        expect_definition(suppressMessages(fastlmm_fit(d$formula, d$data, d$K, method)), d$K, d$data)
      }
    }
  }
  d <- make_data(99, 40, 40, 40, 3)
  expect_definition(fastlmm_fit(d$formula, d$data, d$K), d$K, d$data)
})

test_that("the profile is the definition's log-likelihood at many deltas", {
  d <- make_data(5, 40, 15)
  fit <- fastlmm_fit(d$formula, d$data, d$K)
  Z <- incidence(d$data$id, rownames(d$K))
  profile <- fit$profile[fit$profile$delta > 1e-5 & fit$profile$delta < 1e6, ]
  expect_gt(nrow(profile), 60)
  slow <- dense_loglik(profile$delta, d$data$y, model.matrix(fit), Z %*% d$K %*% t(Z))
  expect_equal(profile$logLik, slow, tolerance = 1e-8)
  expect_equal(profile$h2, 1 / (1 + profile$delta), tolerance = 1e-12)
  expect_true(all(fit$logLik >= profile$logLik - 1e-9))
})

test_that("two optima are reported and the better one taken", {
  set.seed(8)
  found <- 0
  for (i in 1:150) {
    K <- diag(exp(6 * runif(12)))
    dimnames(K) <- list(letters[1:12], letters[1:12])
    data <- data.frame(id = letters[1:12], y = rnorm(12))
    fit <- suppressMessages(fastlmm_fit(y ~ 1 + (1 | id), data, K))
    if (nrow(fit$optimum$local) > 1) {
      found <- found + 1
      expect_equal(fit$logLik, dense_fit(data$y, matrix(1, 12), K)$logLik, tolerance = 1e-7)
      expect_false(is.unsorted(-fit$optimum$local$logLik))
    }
  }
  expect_gt(found, 1)
})

# ---- independent programs -------------------------------------------------------------------------------------------

test_that("synth500 agrees with the reference fit", {
  path <- test_path("synth500")
  data <- utils::read.csv(file.path(path, "pheno_covar.csv"))
  K <- matrix(0, 500, 500, dimnames = list(data$id, data$id))
  K[lower.tri(K, diag = TRUE)] <- utils::read.csv(gzfile(file.path(path, "K_lower.csv.gz")))[[1]]
  K[upper.tri(K)] <- t(K)[upper.tri(K)]
  oracle <- utils::read.csv(file.path(path, "oracle_null.csv"))[1, ]
  fit <- fastlmm_fit(y ~ cov1 + (1 | id), data, K)
  expect_equal(1 / fit$delta, oracle$lambda_, tolerance = 1e-6)
  expect_equal(unname(fixef(fit)), c(oracle$beta_int, oracle$beta_cov1), tolerance = 1e-7)
  expect_equal(unname(sqrt(diag(vcov(fit)))), c(oracle$se_int, oracle$se_cov1), tolerance = 1e-7)
  expect_equal(fit$logLik, oracle$logLik_noXX, tolerance = 1e-7)
  expect_equal(c(fit$h2, fit$sigma2, fit$sigma2_e), c(oracle$h2_raw, oracle$vg, oracle$ve), tolerance = 1e-6)
  expect_equal(fit$se$h2, oracle$se_pve, tolerance = 1e-5)
  # the kernel is centred: ML that looks at the border runs to lambda = 1e5
  expect_message(ml <- fastlmm_fit(y ~ cov1 + (1 | id), data, K, method = "ML"), NA)
  expect_equal(1 / ml$delta, 1.9, tolerance = 0.05)
  G <- K[as.character(data$id), as.character(data$id)]
  X <- cbind(1, data$cov1)
  expect_equal(ml$logLik, dense_at(ml$delta, data$y, X, G, "ML")$logLik, tolerance = 1e-8)
  expect_true(all(dense_loglik(ml$delta * c(0.97, 1.03), data$y, X, G, "ML") < ml$logLik))
})

test_that("a dense kernel agrees with nlme::lme in its pdIdent form", {
  d <- make_data(12, 60, 20)
  L <- incidence(d$data$id, rownames(d$K)) %*% t(chol(d$K))
  frame <- cbind(d$data, one = factor(1))
  frame$L <- L
  for (method in c("REML", "ML")) {
    fit <- fastlmm_fit(d$formula, d$data, d$K, method)
    peer <- nlme::lme(y ~ x1 + x2, random = list(one = nlme::pdIdent(~ L - 1)), data = frame, method = method)
    expect_equal(fit$logLik, as.numeric(logLik(peer)), tolerance = 1e-7)
    expect_equal(fixef(fit), nlme::fixef(peer), tolerance = 1e-5)
    expect_equal(sigma(fit), peer$sigma, tolerance = 1e-5)
    u <- drop(t(chol(d$K)) %*% unlist(nlme::ranef(peer)))
    expect_equal(ranef(fit)$id[rownames(d$K), 1], u, tolerance = 1e-4, ignore_attr = TRUE)
  }
})

test_that("beta is generalised least squares for random X with three and more columns", {
  for (p in 3:6) {
    d <- make_data(p, 30, 30, 30, p)
    fit <- suppressMessages(fastlmm_fit(d$formula, d$data, d$K))
    X <- model.matrix(fit)
    V <- fit$sigma2 * d$K[d$data$id, d$data$id] + fit$sigma2_e * diag(30)
    gls <- solve(crossprod(X, solve(V, X)), crossprod(X, solve(V, d$data$y)))
    expect_equal(unname(fixef(fit)), drop(unname(gls)), tolerance = 1e-9)
  }
})

test_that("30,000 groups without a kernel are no matrix of 30,000 rows, and equal lme4", {
  skip_if_not_installed("lme4")
  set.seed(31)
  m <- 30000
  g <- factor(c(seq_len(m), sample(m, 20000, TRUE)))
  data <- data.frame(g, x = rnorm(50000))
  data$y <- data$x + rnorm(m)[g] + rnorm(50000)
  ours <- fastlmm_fit(y ~ x + (1 | g), data)
  theirs <- lme4::lmer(y ~ x + (1 | g), data)
  expect_equal(ours$logLik, as.numeric(logLik(theirs)), tolerance = 1e-9)
  expect_equal(fixef(ours), lme4::fixef(theirs), tolerance = 1e-6)
  expect_equal(ranef(ours, condVar = FALSE)$g, lme4::ranef(theirs, condVar = FALSE)$g, tolerance = 1e-4, ignore_attr = TRUE)
})

test_that("kernels of low rank and of widely graded spectra decompose", {
  set.seed(32)
  n <- 1000
  x <- sort(runif(n))
  kernels <- list(
    rank = tcrossprod(matrix(rnorm(n * 300), n)) / 300, smooth = exp(-outer(x, x, "-")^2 * 50),
    graded = diag(10^seq(0, -14, length.out = n)), blocks = kronecker(diag(n / 10), matrix(1, 10, 10))
  )
  y <- rnorm(n)
  X <- cbind(1, rnorm(n))
  for (K in kernels) {
    effect <- list(label = "id", z = rep(1, n), group = seq_len(n), K = K, form = "matrix", index = seq_len(n))
    model <- list(y = cbind(y), X = X, weights = rep(1, n), effects = list(effect), method = "REML", threads = 2, tolerance = 1e-8)
    found <- fastlmm:::ffi_fit(model)
    Q <- qr.Q(qr(X))
    trace <- sum(diag(K)) - sum(Q * (K %*% Q))
    expect_equal(sum(found$rotated$values) * found$rotated$k_scale, trace, tolerance = 1e-10)
    residual <- y - Q %*% crossprod(Q, y)
    form <- sum(found$rotated$values * found$rotated$y^2) * found$rotated$k_scale * found$rotated$y_scale^2
    expect_equal(form, sum(residual * (K %*% residual)), tolerance = 1e-9)
  }
})

# ---- transformations ------------------------------------------------------------------------------------------------

estimates <- function(fit) c(fit$sigma2, fit$sigma2_e, fit$logLik, fixef(fit), fit$se$h2)

test_that("order of rows, of ids and of K does not matter, nor do unrelated ids", {
  d <- make_data(21, 40, 15)
  base <- fastlmm_fit(d$formula, d$data, d$K)
  rows <- fastlmm_fit(d$formula, d$data[sample(40), ], d$K)
  expect_equal(estimates(rows), estimates(base), tolerance = 1e-9)
  o <- sample(15)
  expect_equal(estimates(fastlmm_fit(d$formula, d$data, d$K[o, o])), estimates(base), tolerance = 1e-9)
  bigger <- random_kernel(18, ids = c(rownames(d$K), "new1", "new2", "new3"))
  bigger[rownames(d$K), rownames(d$K)] <- d$K
  bigger[16:18, 1:15] <- bigger[1:15, 16:18] <- 0
  expect_equal(estimates(fastlmm_fit(d$formula, d$data, bigger)), estimates(base), tolerance = 1e-9)
  renamed <- d
  rownames(renamed$K) <- colnames(renamed$K) <- rev(rownames(d$K))
  renamed$data$id <- rev(rownames(d$K))[match(d$data$id, rownames(d$K))]
  expect_equal(estimates(fastlmm_fit(d$formula, renamed$data, renamed$K)), estimates(base), tolerance = 1e-9)
})

test_that("scaling is equivariant from 1e-150 to 1e150", {
  d <- make_data(22, 40, 15)
  base <- fastlmm_fit(d$formula, d$data, d$K)
  for (c in c(1e-150, 1e-8, 1e8, 1e150)) {
    k <- fastlmm_fit(d$formula, d$data, d$K * c)
    expect_equal(c(k$sigma2 * c, k$sigma2_e, k$logLik), c(base$sigma2, base$sigma2_e, base$logLik), tolerance = 1e-10)
    y <- fastlmm_fit(d$formula, transform(d$data, y = y * c), d$K)
    expect_equal(c(y$h2, fixef(y) / c, y$sigma2 / c / c), c(base$h2, fixef(base), base$sigma2), tolerance = 1e-10)
    x <- fastlmm_fit(d$formula, transform(d$data, x2 = x2 * c), d$K)
    expect_equal(fixef(x) * c(1, 1, c), fixef(base), tolerance = 1e-10)
    expect_equal(x$logLik + log(c), base$logLik, tolerance = 1e-9)
  }
})

test_that("a constant weight changes neither estimates nor standard errors of predictions, at any size", {
  d <- make_data(41, 40, 20)
  base <- fastlmm_fit(d$formula, d$data, d$K)
  new <- data.frame(id = rownames(d$K)[1:3], x1 = 0, x2 = 1)
  for (a in c(1e-170, 1e-20, 1e20, 1e170)) {
    d$data$a <- a
    fit <- fastlmm_fit(d$formula, d$data, d$K, weights = a)
    expect_equal(c(fit$sigma2, fit$sigma2_e / a), c(base$sigma2, base$sigma2_e), tolerance = 1e-8)
    expect_equal(predict(fit, new, se.fit = TRUE)$se.fit, predict(base, new, se.fit = TRUE)$se.fit, tolerance = 1e-8)
  }
  d$data$a[1] <- 1e185
  expect_error(fastlmm_fit(d$formula, d$data, d$K, weights = a), class = "fastlmm_error_weights")
})

test_that("a heavy row leaves the standard errors of other ids right", {
  d <- make_data(42, 40, 40)
  d$data$w <- w <- c(1e9, rep(1, 39))
  fit <- fastlmm_fit(d$formula, d$data, d$K, weights = w)
  X <- model.matrix(fit)
  G <- d$K[d$data$id, d$data$id]
  at <- dense_at(fit$delta, d$data$y, X, G, weights = w)
  C <- fit$sigma2 * G
  Vi <- at$Hi / fit$sigma2
  D <- X - C %*% Vi %*% X
  se <- sqrt(diag(fit$sigma2 * G - C %*% Vi %*% C + D %*% at$vcov %*% t(D)))
  found <- predict(fit, d$data, se.fit = TRUE)$se.fit
  expect_equal(unname(found)[-1], unname(se)[-1], tolerance = 1e-5)
})

# ML needs log|S|, which cancels as delta -> 0: it reaches less far down than REML.
test_that("residual noise of any small size is estimated, and its limit is the exact fit", {
  set.seed(43)
  g <- rep(letters[1:20], 3)
  data <- data.frame(g, x = rnorm(60))
  clean <- 1 + data$x + rnorm(20)[match(g, letters)]
  noise <- rnorm(60)
  for (method in c("REML", "ML")) {
    digits <- if (method == "REML") 4:11 else 3:6
    fits <- lapply(10^-digits, function(s) fastlmm_fit(y ~ x + (1 | g), transform(data, y = clean + s * noise), method = method))
    sd <- vapply(fits, sigma, 0) * 10^digits
    expect_equal(sd, rep(sd[1], length(sd)), tolerance = 1e-3)
    exact <- suppressWarnings(fastlmm_fit(y ~ x + (1 | g), transform(data, y = clean), method = method))
    expect_equal(exact$status, "explained_by_kernel")
    expect_equal(exact$sigma2, fits[[4]]$sigma2, tolerance = 1e-4)
    expect_equal(vcov(exact)[1, 1], vcov(fits[[4]])[1, 1], tolerance = 1e-3)
  }
})

test_that("shifting y by X b moves beta only, recoding X changes nothing else", {
  d <- make_data(23, 40, 15)
  base <- fastlmm_fit(d$formula, d$data, d$K)
  shifted <- fastlmm_fit(d$formula, transform(d$data, y = y + 4 - 7 * x2), d$K)
  expect_equal(fixef(shifted), fixef(base) + c(4, 0, -7), tolerance = 1e-9)
  expect_equal(estimates(shifted)[1:3], estimates(base)[1:3], tolerance = 1e-9)
  recoded <- fastlmm_fit(y ~ I(x1 + x2) + I(x1 - 3 * x2) + (1 | id), d$data, d$K)
  expect_equal(fitted(recoded), fitted(base), tolerance = 1e-9)
  # det of the recoding is -4: REML counts it (lme4's convention)
  expect_equal(recoded$logLik, base$logLik - log(4), tolerance = 1e-9)
})

test_that("K + c I moves variance to the residual when every id has one row", {
  d <- make_data(24, 30, 30)
  base <- fastlmm_fit(d$formula, d$data, d$K)
  more <- fastlmm_fit(d$formula, d$data, d$K + 0.05 * diag(30))
  expect_equal(more$delta, base$delta - 0.05, tolerance = 1e-7)
  expect_equal(more$logLik, base$logLik, tolerance = 1e-9)
})

test_that("repeats equal the mean with weights, up to what lies within ids", {
  d <- make_data(25, 60, 20, p = 1)
  n <- table(d$data$id)
  d$data$x1 <- unname(n[d$data$id]) / 3
  fit <- fastlmm_fit(y ~ x1 + (1 | id), d$data, d$K)
  mean <- aggregate(cbind(y, x1) ~ id, d$data, base::mean)
  mean$w <- as.numeric(n[mean$id])
  # the likelihood of the means at the fitted variances: beta and BLUPs depend on the means only
  V <- fit$sigma2 * d$K[mean$id, mean$id] + fit$sigma2_e * diag(1 / mean$w)
  X <- cbind(1, mean$x1)
  beta <- solve(crossprod(X, solve(V, X)), crossprod(X, solve(V, mean$y)))
  expect_equal(unname(fixef(fit)), drop(beta), tolerance = 1e-9)
})

test_that("a block-diagonal kernel's likelihood is the sum of its blocks'", {
  d <- make_data(26, 40, 40)
  K <- d$K
  K[1:20, 21:40] <- K[21:40, 1:20] <- 0
  half <- function(ids, delta) {
    rows <- d$data$id %in% ids
    dense_at(delta, d$data$y[rows], matrix(0, sum(rows), 0), K[d$data$id[rows], d$data$id[rows]])
  }
  fit <- fastlmm_fit(y ~ 0 + (1 | id), d$data, K)
  parts <- list(half(rownames(K)[1:20], fit$delta), half(rownames(K)[21:40], fit$delta))
  # same delta, one sigma2: pool the quadratic forms
  Q <- sum(vapply(parts, function(p) p$tau2 * 20, 0))
  logdet <- sum(vapply(parts, function(p) -2 * p$logLik - 20 * log(2 * pi * p$tau2) - 20, 0))
  expect_equal(fit$logLik, -0.5 * (40 * log(2 * pi * Q / 40) + 40 + logdet), tolerance = 1e-9)
})

test_that("results do not depend on the number of threads", {
  d <- make_data(27, 60, 60)
  one <- fastlmm_fit(d$formula, d$data, d$K, control = fastlmm_control(threads = 1))
  two <- fastlmm_fit(d$formula, d$data, d$K, control = fastlmm_control(threads = 2))
  expect_equal(estimates(one), estimates(two), tolerance = 1e-10)
})
