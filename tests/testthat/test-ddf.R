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

second_differences <- function(f, at, h = 1e-3) {
  unit <- diag(length(at)) * h
  one <- function(i, j) {
    s <- function(a, b) f(at + a * unit[, i] + b * unit[, j])
    (s(1, 1) - s(1, -1) - s(-1, 1) + s(-1, -1)) / (4 * h^2)
  }
  outer(seq_along(at), seq_along(at), Vectorize(one))
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

test_that("at a boundary the test is that of lm()", {
  skip_if_not_installed("lme4")
  fit <- suppressMessages(fastlmm_fit(Yield ~ 1 + (1 | Batch), lme4::Dyestuff2))
  found <- coef(summary(fit, df = "kenward-roger"))
  wanted <- coef(summary(lm(Yield ~ 1, lme4::Dyestuff2)))
  expect_equal(unname(found[, c(1, 2, 4, 5)]), unname(wanted[1, ]))
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

test_that("fits whose degrees of freedom are not known are refused", {
  data <- nlme::Orthodont
  expect_error(summary(fastlmm_fit(distance ~ age + (1 | Subject), data, method = "ML"), df = "satterthwaite"), "REML", class = "fastlmm_error_ddf")
  two <- suppressMessages(fastlmm_fit(distance ~ age + (1 | Subject) + (1 | Sex), data))
  expect_error(summary(two, df = "kenward-roger"), "one random effect", class = "fastlmm_error_ddf")
})
