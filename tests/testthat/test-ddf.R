# Degrees of freedom by explicit n x n matrices.
dense_model <- function(seed, n = 40, m = 15, rank = m, p = 3) {
  set.seed(seed)
  w <- matrix(rnorm(m * rank), m)
  kernel <- tcrossprod(w) / rank
  dimnames(kernel) <- rep(list(paste0("i", seq_len(m))), 2)
  id <- factor(sample(rep_len(rownames(kernel), n)), rownames(kernel))
  X <- cbind(1, matrix(rnorm(n * (p - 1)), n), deparse.level = 0)
  X[, p] <- X[, p] + 3 * w[as.integer(id), 1]
  data <- cbind(data.frame(id), structure(as.data.frame(X[, -1, drop = FALSE]), names = paste0("X", seq_len(p - 1))))
  data$y <- 5 + data$X1 + 2 * drop(w %*% rnorm(rank) / sqrt(rank))[as.integer(id)] + rnorm(n)
  list(data = data, kernel = kernel, X = X, K = kernel[as.character(id), as.character(id)])
}

reml_deviance <- function(theta, y, X, K) {
  V <- exp(theta[1]) * (K + exp(theta[2]) * diag(length(y)))
  R <- chol(V)
  Xs <- backsolve(R, X, transpose = TRUE)
  r <- qr.resid(qr(Xs), backsolve(R, y, transpose = TRUE))
  2 * sum(log(diag(R))) + as.numeric(determinant(crossprod(Xs))$modulus) + sum(r^2)
}

dense_satterthwaite <- function(fit, case) {
  at <- c(log(fit$sigma2), log(fit$delta))
  A <- 2 * solve(second_differences(function(theta) reml_deviance(theta, case$data$y, case$X, case$K), at))
  vcov_at <- function(theta) {
    V <- exp(theta[1]) * (case$K + exp(theta[2]) * diag(nrow(case$X)))
    diag(solve(crossprod(case$X, solve(V, case$X))))
  }
  h <- 1e-5
  slopes <- sapply(1:2, function(i) (vcov_at(at + h * (1:2 == i)) - vcov_at(at - h * (1:2 == i))) / (2 * h))
  2 * vcov_at(at)^2 / rowSums((slopes %*% A) * slopes)
}

dense_kenward_roger <- function(fit, case) {
  X <- case$X
  n <- nrow(X)
  parts <- list(case$K, diag(n))
  inverse <- solve(fit$sigma2 * case$K + fit$sigma2_e * diag(n))
  phi <- solve(t(X) %*% inverse %*% X)
  P <- lapply(parts, function(a) -t(X) %*% inverse %*% a %*% inverse %*% X)
  Q <- function(i, j) t(X) %*% inverse %*% parts[[i]] %*% inverse %*% parts[[j]] %*% inverse %*% X
  trace <- function(a) sum(diag(a))
  information <- outer(1:2, 1:2, Vectorize(function(i, j) {
    0.5 * (trace(inverse %*% parts[[i]] %*% inverse %*% parts[[j]]) - 2 * trace(phi %*% Q(i, j)) + trace(phi %*% P[[i]] %*% phi %*% P[[j]]))
  }))
  W <- solve(information)
  bias <- 0
  for (i in 1:2) for (j in 1:2) bias <- bias + W[i, j] * (Q(i, j) - P[[i]] %*% phi %*% P[[j]])
  df <- function(k) {
    L <- as.numeric(seq_len(ncol(X)) == k)
    theta <- tcrossprod(L) / drop(L %*% phi %*% L)
    A2 <- 0
    for (i in 1:2) for (j in 1:2) A2 <- A2 + W[i, j] * trace(theta %*% phi %*% P[[i]] %*% phi %*% theta %*% phi %*% P[[j]] %*% phi)
    2 / A2
  }
  list(se = sqrt(diag(phi + 2 * phi %*% bias %*% phi)), df = vapply(seq_len(ncol(X)), df, 0))
}

test_that("degrees of freedom are those of the explicit matrices", {
  cases <- list(dense_model(1), dense_model(2, rank = 4), dense_model(3, n = 25, m = 25), dense_model(4, n = 60, m = 20, p = 2))
  for (scale in c(1, 1e4)) for (case in cases) {
    case$kernel <- case$kernel * scale
    case$K <- case$K * scale
    fit <- fastlmm_fit(reformulate(c(names(case$data)[startsWith(names(case$data), "X")], "(1 | id)"), "y"), case$data, K = list(id = case$kernel))
    expect_equal(fit$optimum$boundary, "none")
    found <- coef(summary(fit, df = "satterthwaite"))
    expect_equal(unname(found[, "df"]), unname(dense_satterthwaite(fit, case)), tolerance = 1e-4)
    expect_equal(found[, "Std. Error"], sqrt(diag(vcov(fit))))
    wanted <- dense_kenward_roger(fit, case)
    found <- coef(summary(fit, df = "kenward-roger"))
    expect_equal(unname(found[, "df"]), wanted$df, tolerance = 1e-7)
    expect_equal(unname(found[, "Std. Error"]), wanted$se, tolerance = 1e-7)
    expect_equal(found[, "Pr(>|t|)"], 2 * pt(-abs(fixef(fit) / wanted$se), wanted$df), tolerance = 1e-6)
  }
})

test_that("every route to the rotated object gives the same", {
  # each id once, so that the decomposition is reused
  case <- dense_model(5, n = 25, m = 25, rank = 4)
  root <- eigen(case$kernel)
  W <- root$vectors[, 1:4] %*% diag(sqrt(root$values[1:4]))
  rownames(W) <- rownames(case$kernel)
  routes <- list(case$kernel, kernel_lowrank(W), kernel_eigen(fastlmm_decompose(case$kernel)))
  for (df in c("satterthwaite", "kenward-roger")) {
    found <- lapply(routes, function(K) coef(summary(fastlmm_fit(y ~ X1 + X2 + (1 | id), case$data, K = list(id = K)), df = df)))
    expect_equal(found[[2]], found[[1]], tolerance = 1e-5)
    expect_equal(found[[3]], found[[1]], tolerance = 1e-5)
  }
})

test_that("of a balanced experiment they are those of the analysis of variance", {
  fit <- fastlmm_fit(distance ~ age + Sex + (1 | Subject), nlme::Orthodont)
  for (df in c("satterthwaite", "kenward-roger")) {
    table <- coef(summary(fit, df = df))
    expect_equal(table[c("age", "SexFemale"), "df"], c(age = 80, SexFemale = 25), tolerance = 1e-6)
  }
  expect_equal(table["age", "Std. Error"], sqrt(vcov(fit)["age", "age"]))
})

test_that("at a boundary the test is that of lm(), and Kenward and Roger's still estimates the variance", {
  skip_if_not_installed("lme4")
  fit <- suppressMessages(fastlmm_fit(Yield ~ 1 + (1 | Batch), lme4::Dyestuff2))
  found <- coef(summary(fit, df = "satterthwaite"))
  wanted <- coef(summary(lm(Yield ~ 1, lme4::Dyestuff2)))
  expect_equal(unname(found[, c(1, 2, 4, 5)]), unname(wanted[1, ]))
  parts <- list(outer(lme4::Dyestuff2$Batch, lme4::Dyestuff2$Batch, "=="), diag(30))
  found <- coef(summary(fit, df = "kenward-roger"))
  expect_equal(
    unname(found[, c("Std. Error", "df")]), unname(dense_table(dense_kenward_roger_parts(c(0, fit$sigma2_e), matrix(1, 30), parts))[1, ]), tolerance = 1e-8
  )
  expect_equal(unname(found[, "df"]), 5)
})

test_that("weights count, aliased columns are left out, and the table is printed with p-values", {
  data <- nlme::Orthodont
  data$again <- data$age
  data$w <- rep(c(1, 2), 54)
  fit <- suppressMessages(fastlmm_fit(distance ~ age + again + (1 | Subject), data, weights = w))
  plain <- fastlmm_fit(distance ~ age + (1 | Subject), data, weights = w)
  expect_equal(coef(summary(fit, df = "satterthwaite")), coef(summary(plain, df = "satterthwaite")), tolerance = 1e-6)
  case <- list(X = cbind(1, data$age) * sqrt(data$w), K = outer(data$Subject, data$Subject, "==") * tcrossprod(sqrt(data$w)))
  expect_equal(unname(coef(summary(plain, df = "kenward-roger"))[, "df"]), dense_kenward_roger(plain, case)$df, tolerance = 1e-7)
  printed <- capture.output(print(summary(fit, df = "kenward-roger")))
  expect_true(any(grepl("Kenward and Roger's degrees of freedom", printed)))
  expect_true(any(grepl("Pr(>|t|)", printed, fixed = TRUE)))
})

# ---- several effects ------------------------------------------------------------------------------------

# Crossed groups with a kernel, its slopes, and groups without one
several_data <- function(seed, n = 60, m = 12) {
  set.seed(seed)
  w <- matrix(rnorm(m * 30), m)
  K <- tcrossprod(w) / 30
  dimnames(K) <- rep(list(paste0("i", seq_len(m))), 2)
  data <- data.frame(id = factor(sample(rep_len(rownames(K), n)), rownames(K)), g = factor(sample(rep_len(1:7, n))), x = rnorm(n, 3), t = gl(3, 1, n))
  u <- drop(t(chol(K)) %*% rnorm(m))
  slope <- drop(t(chol(K)) %*% rnorm(m))
  data$y <- 2 + data$x + u[data$id] + (0.6 * slope * u + 0.5 * slope)[data$id] * (data$x - 3) + rnorm(7)[data$g] + rnorm(n) / sqrt(1 + (data$g == "2"))
  data$w <- 1 + (data$g == "2")
  list(data = data, K = K)
}

same_groups <- function(f) outer(f, f, "==") + 0

expect_dense <- function(fit, theta, parts, X, given = 0, unit = abs(theta), joint = rbind(c(0, 1, 0, 0), c(0, 0, 1, 0), c(0, 0, 1, 1))) {
  y <- as.numeric(model.response(model.frame(fit)))
  satterthwaite <- dense_satterthwaite_parts(theta, y, X, parts, given, unit)
  kenward_roger <- dense_kenward_roger_parts(theta, X, parts, given)
  expect_equal(unname(coef(summary(fit, df = "satterthwaite"))[, c("Std. Error", "df")]), unname(dense_table(satterthwaite)), tolerance = 2e-5)
  expect_equal(unname(coef(summary(fit, df = "kenward-roger"))[, c("Std. Error", "df")]), unname(dense_table(kenward_roger)), tolerance = 1e-6)
  found <- contest(fit, joint)
  expect_equal(
    c(found[["F value"]], found$DenDF), unname(dense_joint_satterthwaite(satterthwaite, fixef(fit), joint, X * sqrt(weights(fit)))), tolerance = 2e-5
  )
}

test_that("of several effects, with kernels and weights, they are those of the explicit matrices", {
  case <- several_data(1)
  data <- case$data
  fit <- fastlmm_fit(y ~ x + t + (1 | id) + (0 + x | id) + (1 | g), data, K = list(id = case$K), weights = w)
  expect_true(all(fit$sigma2 > 0))
  expect_identical(fit$optimum$route, "rotated")
  K <- case$K[as.character(data$id), as.character(data$id)]
  expect_dense(
    fit, c(fit$sigma2, fit$sigma2_e), list(K, K * tcrossprod(data$x), same_groups(data$g), diag(1 / data$w)), model.matrix(fit),
    joint = rbind(c(0, 0, 1, 0), c(0, 0, 0, 1)) %*% diag(4)
  )
})

test_that("so they are of correlated terms, with and without a kernel", {
  case <- several_data(7)
  data <- case$data
  across <- outer(data$x, rep(1, nrow(data)))
  for (K in list(NULL, case$K)) {
    fit <- fastlmm_fit(y ~ x + t + (1 + x | id) + (1 | g), data, K = if (!is.null(K)) list(id = K))
    expect_identical(fit$optimum$boundary, "none")
    expect_true(is_sparse_fit(fit))
    G <- if (is.null(K)) same_groups(data$id) else K[as.character(data$id), as.character(data$id)]
    covariance <- effect_covariance(fit)
    theta <- c(covariance[1, 1], covariance[2, 1], covariance[2, 2], fit$sigma2[[3]], fit$sigma2_e)
    parts <- list(G, G * (across + t(across)), G * tcrossprod(data$x), same_groups(data$g), diag(nrow(data)))
    expect_dense(fit, theta, parts, model.matrix(fit), joint = rbind(c(0, 0, 1, 0), c(0, 0, 0, 1)))
  }
})

test_that("so they are with a known residual variance, which is not estimated", {
  case <- several_data(3)
  data <- case$data
  fit <- fastlmm_fit(y ~ x + t + (1 | id) + (1 | g), data, K = list(id = case$K), sigma2_e = 1, weights = w)
  K <- case$K[as.character(data$id), as.character(data$id)]
  expect_true(all(fit$sigma2 > 0))
  expect_dense(fit, unname(fit$sigma2), list(K, same_groups(data$g)), model.matrix(fit), given = diag(1 / data$w), joint = rbind(c(0, 0, 1, 0), c(0, 0, 0, 1)))
  # nothing is left to estimate
  plain <- suppressMessages(fastlmm_fit(y ~ x + t + (1 | h), transform(data, y = x + rep(c(-1, 1), 30) / 50, h = gl(15, 4)), sigma2_e = 1))
  expect_equal(plain$sigma2[[1]], 0)
  found <- coef(summary(plain, df = "satterthwaite"))
  expect_equal(unname(found[, "df"]), rep(Inf, 4))
  expect_equal(found[, "Pr(>|t|)"], 2 * pnorm(-abs(found[, "t value"])))
  expect_equal(contest(plain, diag(4)[3:4, ])$DenDF, Inf)
  expect_true(all(is.finite(coef(summary(plain, df = "kenward-roger")))))
})

test_that("routes agree, and a kernel by its precision, the identity as a kernel, a mix as terms", {
  case <- several_data(4)
  tables <- function(fit) lapply(c("satterthwaite", "kenward-roger"), function(df) unname(coef(summary(fit, df = df))[, 1:4]))
  dense <- fastlmm_fit(y ~ x + (1 | id) + (1 | g), case$data, K = list(id = case$K))
  expect_identical(dense$optimum$boundary, "none")
  same <- function(found, wanted) {
    for (part in c("covariance", "adjusted", "basis")) expect_equal(abs(found[[part]]), abs(wanted[[part]]), tolerance = 1e-6)
    expect_equal(contrast_tests(found, diag(2)), contrast_tests(wanted, diag(2)), tolerance = 1e-5)
  }
  P <- solve(case$K)
  precise <- fastlmm_fit(y ~ x + (1 | id) + (1 | g), case$data, K = list(id = kernel_precision((P + t(P)) / 2)))
  one <- fastlmm_fit(y ~ x + (1 | id), case$data, K = list(id = case$K))
  for (df in c("satterthwaite", "kenward-roger")) {
    by_levels <- function(fit) call_rust(ffi_ddf_terms, rust_model(stored_model(fit)), df, fit_variances(fit))
    for (fit in list(dense, precise)) same(by_levels(fit), fit_uncertainty(dense, df))
    same(by_levels(one), fit_uncertainty(one, df))
    same(call_rust(ffi_ddf_mix, rust_model(stored_model(one)), df, all_variances(one)), fit_uncertainty(one, df))
  }
  identity <- structure(diag(12), dimnames = dimnames(case$K))
  expect_equal(
    tables(fastlmm_fit(y ~ x + (1 | id) + (1 | g), case$data, K = list(id = identity))), tables(fastlmm_fit(y ~ x + (1 | id) + (1 | g), case$data)),
    tolerance = 1e-6
  )
  # one effect and a second that has no variance: the same data as one effect alone
  data <- case$data
  mix <- fastlmm_fit(y ~ x + (1 | id), data, K = list(id = kernel_mix(a = case$K, b = NULL)))
  terms <- fastlmm_fit(y ~ x + (1 | id) + (1 | again), transform(data, again = id), K = list(id = case$K))
  expect_equal(tables(mix), tables(terms), tolerance = 1e-6)
})

test_that("units, the order of rows and the coding of factors do not matter", {
  case <- several_data(5)
  data <- case$data
  for (formula in list(y ~ x * t + (1 | id) + (1 | g), y ~ x * t + (1 + x | id))) {
    fit <- function(data, ...) suppressMessages(fastlmm_fit(formula, data, ...))
    plain <- fit(data)
    scaled <- fit(transform(data, y = 1e5 * y, x = x / 1e4))
    turned <- fit(data[60:1, ])
    coded <- fit(data, contrasts = list(t = "contr.helmert"))
    for (ddf in c("satterthwaite", "kenward-roger")) {
      expect_equal(coef(summary(scaled, df = ddf))[, 3:5], coef(summary(plain, df = ddf))[, 3:5], tolerance = 1e-5)
      for (type in 1:3) {
        wanted <- anova(plain, type = type, ddf = ddf)
        expect_equal(anova(scaled, type = type, ddf = ddf)[, 3:6], wanted[, 3:6], tolerance = 1e-5)
        expect_equal(anova(turned, type = type, ddf = ddf), wanted, tolerance = 1e-5)
        expect_equal(anova(coded, type = type, ddf = ddf), wanted, tolerance = 1e-5)
      }
    }
  }
})

test_that("they are those of lmerTest and pbkrtest, at a boundary too", {
  skip_if_not_installed("lmerTest")
  skip_if_not_installed("pbkrtest")
  set.seed(4)
  data <- data.frame(a = factor(rep(1:6, each = 10)), b = factor(rep(1:5, 12)), x = rnorm(60), t = gl(3, 20))
  u <- rnorm(6)
  data$z <- u[data$a] * (1 + data$x) + rnorm(60)
  data$y <- rnorm(6)[data$a] + data$x + resid(lm(rnorm(60) ~ b, data))
  cases <- list(
    list(Reaction ~ Days + (Days | Subject), lme4::sleepstudy, "none"), list(Reaction ~ Days + (Days || Subject), lme4::sleepstudy, "none"),
    list(score ~ Machine + (1 | Worker / Machine), plain_factors(nlme::Machines), "none"), list(y ~ x + t + (1 | a) + (1 | b), data, "variance 0: b"),
    list(z ~ x + (x | a), data, "singular covariance: a")
  )
  for (case in cases) {
    fit <- suppressMessages(fastlmm_fit(case[[1]], case[[2]]))
    expect_identical(fit$optimum$boundary, case[[3]])
    other <- sharp_lmer(case[[1]], case[[2]])
    for (ddf in c("Satterthwaite", "Kenward-Roger")) {
      wanted <- coef(summary(other, ddf = ddf))
      expect_equal(unname(coef(summary(fit, df = tolower(ddf)))), unname(wanted), tolerance = 1e-5)
    }
  }
})

test_that("of ML fits Satterthwaite's are those of the explicit matrices and of lmerTest", {
  case <- several_data(4)
  data <- case$data
  K <- case$K[as.character(data$id), as.character(data$id)]
  X <- model.matrix(~x, data)
  ml_deviance <- function(theta, y, X, parts) dense_reml_deviance(theta, y, X, parts) + as.numeric(determinant(dense_phi(theta, X, parts))$modulus)
  check <- function(fit, theta, parts) {
    k <- seq_along(theta)
    at <- function(step) ml_deviance(theta * (1 + step), data$y, X, parts)
    zero <- numeric(length(theta))
    W <- 2 * solve((4 * second_differences(at, zero, 1e-3) - second_differences(at, zero, 2e-3)) / 3)
    slope <- function(i) (dense_phi(theta * (1 + 1e-4 * (k == i)), X, parts) - dense_phi(theta * (1 - 1e-4 * (k == i)), X, parts)) / 2e-4
    phi <- dense_phi(theta, X, parts)
    wanted <- dense_table(list(phi = phi, adjusted = phi, slopes = lapply(k, slope), W = W))
    expect_equal(unname(coef(summary(fit, df = "satterthwaite"))[, c("Std. Error", "df")]), unname(wanted), tolerance = 2e-5)
  }
  one <- fastlmm_fit(y ~ x + (1 | id), data, K = list(id = case$K), method = "ML")
  check(one, c(one$sigma2, one$sigma2_e), list(K, diag(60)))
  two <- fastlmm_fit(y ~ x + (1 | id) + (1 | g), data, K = list(id = case$K), method = "ML")
  check(two, c(two$sigma2, two$sigma2_e), list(K, same_groups(data$g), diag(60)))
  by_levels <- call_rust(ffi_ddf_terms, rust_model(stored_model(two)), "satterthwaite", fit_variances(two))
  expect_equal(contrast_tests(by_levels, diag(2))$df, coef(summary(two, df = "satterthwaite"))[, "df"], tolerance = 1e-5, ignore_attr = TRUE)
  skip_if_not_installed("lmerTest")
  ours <- fastlmm_fit(Reaction ~ Days + (Days | Subject), lme4::sleepstudy, method = "ML")
  theirs <- sharp_lmer(Reaction ~ Days + (Days | Subject), lme4::sleepstudy, REML = FALSE)
  expect_equal(unname(coef(summary(ours, df = "satterthwaite"))), unname(coef(summary(theirs))), tolerance = 1e-5)
})

test_that("where the residual variance is zero one variance is left", {
  set.seed(1)
  K <- tcrossprod(matrix(rnorm(30 * 60), 30)) / 60
  dimnames(K) <- rep(list(paste0("i", 1:30)), 2)
  data <- data.frame(id = rownames(K), x = rnorm(30))
  data$y <- data$x + drop(t(chol(K %*% K)) %*% rnorm(30)) * 3
  fit <- suppressMessages(fastlmm_fit(y ~ x + (1 | id), data, K = K))
  expect_equal(fit$sigma2_e, 0)
  for (df in c("satterthwaite", "kenward-roger")) expect_equal(unname(coef(summary(fit, df = df))[, "df"]), c(28, 28))
})

test_that("Wald intervals have them", {
  fit <- fastlmm_fit(distance ~ age + Sex + (1 | Subject), nlme::Orthodont)
  table <- coef(summary(fit, df = "kenward-roger"))
  found <- confint(fit, "beta_", method = "Wald", df = "Kenward-Roger")
  expect_equal(unname(found[, 2]), unname(table[, "Estimate"] + qt(0.975, table[, "df"]) * table[, "Std. Error"]))
  expect_equal(confint(fit, "SexFemale", method = "Wald", df = "satterthwaite")[1, ], confint(fit, "beta_", method = "Wald", df = "satterthwaite")[3, ])
  expect_error(confint(fit, df = "satterthwaite"), "Wald", class = "fastlmm_error_ddf")
})

test_that("fits whose degrees of freedom are not known are refused", {
  data <- nlme::Orthodont
  expect_error(summary(fastlmm_fit(distance ~ age + (1 | Subject), data, method = "ML"), df = "kenward-roger"), "REML", class = "fastlmm_error_ddf")
  levels <- fastlmm_fit(distance ~ age + (1 | Subject), data, residual = ~Sex)
  expect_error(summary(levels, df = "kenward-roger"), "residual variance for each level", class = "fastlmm_error_ddf")
})

test_that("matrices with a row for each level are asked for memory first, those of one grouping factor need next to none", {
  set.seed(1)
  data <- data.frame(g = factor(rep(seq_len(5e4), each = 3)), x = rnorm(15e4))
  data$y <- rnorm(5e4)[data$g] + rnorm(5e4)[data$g] * data$x + rnorm(15e4)
  fit <- fastlmm_fit(y ~ x + (x | g), data)
  for (df in c("satterthwaite", "kenward-roger")) expect_true(all(is.finite(coef(summary(fit, df = df)))))
  m <- 4e4
  P <- Matrix::bandSparse(m, k = 0:1, diagonals = list(rep(1.5, m), rep(-0.6, m - 1)), symmetric = TRUE)
  dimnames(P) <- rep(list(paste0("i", seq_len(m))), 2)
  data <- data.frame(id = rep(rownames(P), 2), x = rnorm(2 * m))
  data$y <- rnorm(2 * m) + rnorm(m)
  fit <- fastlmm_fit(y ~ x + (1 | id), data, K = list(id = kernel_precision(P)))
  expect_true(is_sparse_fit(fit))
  expect_error(summary(fit, df = "kenward-roger"), "memory", class = "fastlmm_error_memory")
})
