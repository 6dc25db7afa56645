# A small data set for tests of what is refused and what is not, and the expectation of a refusal.

# 12 ids with two rows each, out of the 15 that K has; ids sort differently from their order in K.
small_data <- function() {
  once("small data", local({
    set.seed(4)
    ids <- paste0("i", 1:15)
    W <- matrix(rnorm(15 * 20), 15)
    K <- tcrossprod(W) / 20
    dimnames(K) <- list(ids, ids)
    d <- data.frame(id = rep(ids[1:12], 2), x = round(rnorm(24), 2), f = gl(3, 1, 24, labels = c("a", "b", "c")), w = rep(1:3, 8), o = rep(c(0, 1), 12))
    d$y <- round(1 + d$x + drop(W %*% rnorm(20))[match(d$id, ids)] / 4 + rnorm(24), 2)
    list(d = d, K = K)
  }))
}

# An error of this class, whose message is in the snapshots and whose call is the user's.
expect_refused <- function(expr, what) {
  code <- substitute(expr)
  env <- parent.frame()
  error <- tryCatch(eval(code, env), error = identity)
  expect_s3_class(error, paste0("fastlmm_error_", what))
  expect_s3_class(error, "fastlmm_error")
  eval(bquote(expect_snapshot(.(code), error = TRUE)), env)
}

# The estimates of two fits that must be the same
expect_same_fit <- function(a, b, tolerance = 1e-8) {
  for (part in c("coefficients", "vcov", "sigma2", "sigma2_e", "h2", "logLik")) {
    expect_equal(a[[part]], b[[part]], tolerance = tolerance, ignore_attr = TRUE, info = part)
  }
}

# Every id once, the fourth without a response
baseline_once <- function() once("baseline, once each", fastlmm_fit(y ~ x + (1 | id), small_data()$d[c(1:3, 5:12), ], small_data()$K))

as_matrix_class <- function(K, class) {
  loadNamespace("Matrix")
  general <- as(as(as(K, "dMatrix"), "generalMatrix"), "unpackedMatrix")
  symmetric <- Matrix::forceSymmetric(general)
  switch(class,
    dgeMatrix = general,
    dsyMatrix = symmetric,
    dpoMatrix = as(symmetric, "dpoMatrix"),
    dspMatrix = Matrix::pack(symmetric),
    dppMatrix = as(Matrix::pack(symmetric), "dppMatrix"),
    dgCMatrix = as(general, "CsparseMatrix"),
    dsCMatrix = as(symmetric, "CsparseMatrix"),
    dgTMatrix = as(general, "TsparseMatrix"),
    dgRMatrix = as(general, "RsparseMatrix")
  )
}
