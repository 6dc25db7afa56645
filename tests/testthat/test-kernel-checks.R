# Kernels as they come from files, of ten digits or in single precision: everything is as with the nearest positive semidefinite matrix, which is made here by
# eigen().

centred_kernel <- function(n, seed = n) {
  set.seed(seed)
  ids <- paste0("i", seq_len(n))
  M <- scale(matrix(rbinom(n * ceiling(0.7 * n), 2, 0.3), n), scale = FALSE)
  K <- tcrossprod(sweep(M, 2, sqrt(seq_len(ncol(M))), "*")) * pi / ncol(M)
  dimnames(K) <- list(ids, ids)
  K
}

ten_digits <- function(K) {
  file <- tempfile()
  on.exit(unlink(file))
  write.table(format(K, digits = 10), file, quote = FALSE, row.names = FALSE, col.names = FALSE)
  structure(as.matrix(read.table(file)), dimnames = dimnames(K))
}

single <- function(K) structure(readBin(writeBin(as.numeric(K), raw(), size = 4), "numeric", length(K), size = 4), dim = dim(K), dimnames = dimnames(K))

nearest <- function(K) {
  E <- eigen((K + t(K)) / 2, symmetric = TRUE)
  structure(E$vectors %*% (pmax(E$values, 0) * t(E$vectors)), dimnames = dimnames(K))
}

file_data <- function(K) {
  ids <- rownames(K)
  data <- data.frame(id = ids[-(1:2)], x = cos(seq_along(ids))[-(1:2)])
  data$y <- data$x + drop(t(chol(K + diag(1e-9, nrow(K)))) %*% rnorm(nrow(K)))[-(1:2)] + rnorm(nrow(data))
  data
}

said <- function(expr) {
  classes <- character()
  value <- withCallingHandlers(expr, message = function(m) {
    classes <<- c(classes, class(m)[1])
    invokeRestart("muffleMessage")
  })
  list(value = value, classes = classes)
}

test_that("a kernel from a file is its nearest positive semidefinite matrix, for every verb", {
  for (n in c(12, 25, 60)) for (rounded in list(ten_digits, single)) {
    K <- centred_kernel(n)
    given <- rounded(K)
    expect_lt(min(eigen(given)$values), -10 * n * .Machine$double.eps * max(eigen(given)$values))
    data <- file_data(K)
    found <- said(fastlmm_fit(y ~ x + (1 | id), data, given))
    # rounding is told by a bound of the largest eigenvalue
    bound <- min(max(rowSums(abs(given))), norm(given, "F"))
    expect_identical("fastlmm_message_kernel_negative" %in% found$classes, min(eigen(given)$values) < -10 * n * .Machine$double.eps * bound)
    fit <- found$value
    right <- suppressMessages(fastlmm_fit(y ~ x + (1 | id), data, nearest(given)))
    V <- nearest(given)[data$id, data$id]
    dense <- dense_fit(data$y, cbind(1, data$x), V)
    expect_equal(fit$logLik, max(dense$logLik, right$logLik), tolerance = 1e-7)
    for (part in c("h2", "coefficients", "vcov")) expect_equal(fit[[part]], right[[part]], tolerance = 1e-6)
    expect_equal(ranef(fit, which = "all"), ranef(right, which = "all"), tolerance = 1e-6)
    new <- data.frame(id = rownames(K), x = 0)
    expect_equal(predict(fit, new, se.fit = TRUE), predict(right, new, se.fit = TRUE), tolerance = 1e-6)
    G <- matrix(sin(seq_len(2 * n)^1.3), n, dimnames = list(rownames(K), c("a", "b")))
    for (refit in c("none", "delta")) expect_equal(fastlmm_scan(fit, G, refit = refit), fastlmm_scan(right, G, refit = refit), tolerance = 1e-6)
    expect_equal(predict(fit, new, K = given[, data$id]), predict(fit, new), tolerance = 1e-5)
  }
})

test_that("every way in: Matrix, decompositions, mixes, many responses, slam; REML and ML to the end of delta", {
  loadNamespace("Matrix")
  K <- centred_kernel(20)
  given <- single(K)
  data <- file_data(K)
  right <- suppressMessages(fastlmm_fit(y ~ x + (1 | id), data, nearest(given)))
  quiet <- function(K, ...) suppressMessages(fastlmm_fit(y ~ x + (1 | id), data, K, ...))
  E <- eigen(given)
  rownames(E$vectors) <- rownames(K)
  made <- list(
    as_matrix_class(given, "dgeMatrix"), as_matrix_class(given, "dspMatrix"), suppressMessages(kernel_eigen(E)),
    suppressMessages(kernel_eigen(fastlmm_decompose(given)))
  )
  for (one in made) expect_equal(quiet(one)$logLik, right$logLik, tolerance = 1e-7)
  expect_message(fastlmm_decompose(given), class = "fastlmm_message_kernel_negative")
  expect_message(kernel_eigen(E), class = "fastlmm_message_kernel_negative")
  expect_true(all(suppressMessages(fastlmm_decompose(given))$values >= 0))
  two <- function(K) kernel_mix(A = K, own = NULL)
  twice <- rbind(data, transform(data, y = y + rnorm(18)))
  expect_message(mixed <- fastlmm_fit(y ~ x + (1 | id), twice, two(given)), class = "fastlmm_message_kernel_negative")
  expect_equal(mixed$logLik, suppressMessages(fastlmm_fit(y ~ x + (1 | id), twice, two(nearest(given))))$logLik, tolerance = 1e-8)
  many <- suppressMessages(fastlmm_fit(cbind(y, -y) ~ x + (1 | id), data, given))
  expect_equal(unname(many$logLik), rep(right$logLik, 2), tolerance = 1e-7)
  expect_equal(suppressWarnings(quiet(given, method = "ML")$logLik), suppressWarnings(quiet(nearest(given), method = "ML")$logLik), tolerance = 1e-6)
  # all that X leaves is the kernel's: delta tends to 0
  explained <- transform(data, y = drop(nearest(given)[id, data$id] %*% sin(seq_along(id))))
  ends <- lapply(list(given, nearest(given)), function(K) suppressWarnings(suppressMessages(fastlmm_fit(y ~ x + (1 | id), explained, K))))
  expect_equal(ends[[1]]$h2, ends[[2]]$h2, tolerance = 1e-5)
  expect_true(all(is.finite(predict(ends[[1]], se.fit = TRUE)$se.fit)))
  slam <- suppressMessages(slamglmm_fit(cbind(y, x) ~ 1 + (1 | id), data, given, n_factors = 1, chains = 1, iter = 4, warmup = 2, seed = 1))
  expect_true(all(slam$basis$s >= 0))
})

test_that("what is larger than a file's rounding is refused, and asymmetry likewise", {
  K <- centred_kernel(15)
  data <- file_data(K)
  fit <- function(K, ...) fastlmm_fit(y ~ x + (1 | id), data, K, ...)
  largest <- max(eigen(K)$values)
  worse <- function(by) K - by * largest * diag(15)
  expect_message(suppressWarnings(fit(worse(9e-7))), class = "fastlmm_message_kernel_negative")
  expect_error(fit(worse(1.2e-6)), class = "fastlmm_error_kernel_not_positive")
  expect_message(fit(worse(1.2e-6), control = fastlmm_control(tolerance = 2e-6)), class = "fastlmm_message_kernel_negative")
  expect_error(fit(worse(9e-7), control = fastlmm_control(tolerance = 1e-8)), class = "fastlmm_error_kernel_not_positive")
  expect_true(!"fastlmm_message_kernel_negative" %in% said(fit(K))$classes)

  askew <- function(by) replace(K + diag(15), 2, K[2] + by * max(abs(K + diag(15))))
  found <- said(fit(askew(5e-7)))
  expect_true("fastlmm_message_kernel_averaged" %in% found$classes)
  expect_equal(found$value$logLik, suppressMessages(fit((askew(5e-7) + t(askew(5e-7))) / 2))$logLik, tolerance = 1e-12)
  expect_identical(found$value$random$id$kernel, t(found$value$random$id$kernel))
  expect_error(fit(askew(2e-6)), class = "fastlmm_error_kernel_asymmetric")
})
