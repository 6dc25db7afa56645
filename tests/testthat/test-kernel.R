# Kernels: the rows of the table of bad inputs that are about K, and the rules by which K is matched with the data.

kernel_of <- function(K, data = small_data()$d, formula = y ~ x + (1 | id), ...) fastlmm_fit(formula, data, K, ...)

quiet_kernel <- function(...) suppressMessages(kernel_of(...))

named_kernel <- function(rows, columns = rows) {
  K <- small_data()$K
  dimnames(K) <- list(rows, columns)
  K
}

with_cell <- function(i, j, value, symmetric = TRUE) {
  K <- small_data()$K
  K[i, j] <- value
  if (symmetric) K[j, i] <- value
  K
}

ids <- paste0("i", 1:15)
baseline <- function() once("kernel baseline", kernel_of(small_data()$K))

# ---- values -------------------------------------------------------------------------------------------

test_that("row 76: values that are not finite are located", {
  expect_refused(kernel_of(with_cell(2, 3, NA, FALSE)), "kernel_nonfinite")
  expect_refused(kernel_of(with_cell(4, 1:15, Inf)), "kernel_nonfinite")
  expect_refused(kernel_of(with_cell(4, 4, NaN)), "kernel_nonfinite")
})

test_that("row 77: an asymmetric K is refused above 1e-6, and symmetrised below", {
  expect_refused(kernel_of(with_cell(2, 3, 9, FALSE)), "kernel_asymmetric")
  K <- small_data()$K
  slightly <- K
  slightly[2, 3] <- K[2, 3] + 1e-9 * max(K)
  expect_equal(kernel_of(slightly)$logLik, kernel_of((slightly + t(slightly)) / 2)$logLik, tolerance = 1e-12)
})

test_that("row 78: a K that is not positive semidefinite is refused, with its smallest eigenvalue and where it shows", {
  expect_refused(kernel_of(with_cell(2, 3, 9)), "kernel_not_positive")
  expect_refused(kernel_of(with_cell(5, 5, 0)), "kernel_not_positive")
  expect_refused(kernel_of(with_cell(5, 5, -1)), "kernel_not_positive")
  K <- small_data()$K
  shifted <- K - (min(eigen(K)$values) + 0.1) * diag(15)
  error <- tryCatch(kernel_of(shifted), error = identity)
  expect_s3_class(error, "fastlmm_error_kernel_not_positive")
  expect_equal(error$min_eigen, -0.1, tolerance = 1e-8)
  expect_equal(error$max_eigen, max(eigen(shifted)$values), tolerance = 1e-8)
})

test_that("row 78: only rounding is clipped, and the tolerance can be set", {
  W <- matrix(sin(1:45), 15, dimnames = list(ids, NULL))
  singular <- tcrossprod(W)
  expect_s3_class(quiet_kernel(singular), "fastlmm")
  negative <- singular - 1e-4 * diag(15)
  expect_error(kernel_of(negative), class = "fastlmm_error_kernel_not_positive")
  expect_s3_class(quiet_kernel(negative, control = fastlmm_control(tolerance = 1e-3)), "fastlmm")
})

test_that("row 84: clones make K singular, which is allowed", {
  K <- small_data()$K
  K["i2", ] <- K["i1", ]
  K[, "i2"] <- K[, "i1"]
  d <- small_data()$d
  fit <- kernel_of(K)
  expect_equal(fit$logLik, dense_fit(d$y, cbind(1, d$x), K[d$id, d$id])$logLik, tolerance = 1e-8)
  expect_equal(ranef(fit)$id["i1", 1], ranef(fit)$id["i2", 1])
})

test_that("row 85: K = I is lme4's model, K = 0 is refused, K = 11' is confounded with the intercept", {
  identity <- diag(15)
  dimnames(identity) <- list(ids, ids)
  expect_same_fit(quiet_kernel(identity), quiet_kernel(NULL))
  expect_refused(kernel_of(0 * small_data()$K), "kernel_zero")
  ones <- 0 * small_data()$K + 1
  expect_warning(fit <- kernel_of(ones), class = "fastlmm_warning_confounded")
  expect_equal(fit$coefficients, coef(lm(y ~ x, small_data()$d)))
  expect_snapshot(invisible(kernel_of(ones)))
})

test_that("row 86: K of rank 1 and of rank r are those of the definition", {
  d <- small_data()$d
  for (rank in c(1, 3)) {
    K <- tcrossprod(matrix(cos(1:(15 * rank)), 15, dimnames = list(ids, NULL)))
    for (method in c("REML", "ML")) {
      expect_equal(
        suppressMessages(kernel_of(K, method = method))$logLik, dense_fit(d$y, cbind(1, d$x), K[d$id, d$id], method)$logLik,
        tolerance = 1e-8
      )
    }
  }
})

test_that("row 86: integer, logical and data frame kernels are coerced, others refused", {
  blocks <- outer(rep(1:5, 3), rep(1:5, 3), "==")
  dimnames(blocks) <- list(ids, ids)
  fit <- quiet_kernel(blocks + 0)
  for (K in list(blocks, blocks + 0L, as.data.frame(blocks), as.data.frame(blocks + 0L))) expect_same_fit(quiet_kernel(K), fit)
  classed <- structure(blocks + 0, class = c("kinship", "matrix"), note = "x")
  expect_same_fit(quiet_kernel(classed), fit)
  expect_identical(attributes(quiet_kernel(classed)$random[[1]]$kernel), attributes(blocks))
  expect_refused(kernel_of(as.dist(1 - blocks)), "kernel_class")
  expect_refused(kernel_of(cbind(id = ids, as.data.frame(blocks), g = "a")), "kernel_class")
  expect_refused(kernel_of(blocks + 0i), "kernel_class")
  expect_refused(kernel_of(mean), "kernel_class")
  expect_refused(kernel_of(list(id = NULL)), "kernel_class")
  expect_refused(kernel_of(blocks[, 1:3]), "kernel_shape")
  expect_refused(kernel_of(matrix(0, 0, 0)), "kernel_shape")
})

test_that("row 87: every class of Matrix, with the other half of symmetric storage respected", {
  K <- small_data()$K
  K[abs(K) < 0.2 & row(K) != col(K)] <- 0
  K <- K + 2 * diag(15)
  fit <- quiet_kernel(K)
  classes <- c("dgeMatrix", "dsyMatrix", "dpoMatrix", "dspMatrix", "dppMatrix", "dgCMatrix", "dsCMatrix", "dgTMatrix", "dgRMatrix")
  for (class in classes) {
    M <- as_matrix_class(K, class)
    expect_s4_class(M, class)
    expect_same_fit(quiet_kernel(M), fit)
    expect_same_fit(quiet_kernel(list(id = M)), fit)
  }
  for (uplo in c("U", "L")) expect_same_fit(quiet_kernel(Matrix::forceSymmetric(Matrix::Matrix(K), uplo)), fit)
  diagonal <- Matrix::Diagonal(x = 1:15)
  dimnames(diagonal) <- list(ids, ids)
  dense <- diag(1:15)
  dimnames(dense) <- list(ids, ids)
  expect_same_fit(quiet_kernel(diagonal), quiet_kernel(dense))
  pattern <- Matrix::Matrix(K != 0, sparse = TRUE)
  expect_same_fit(quiet_kernel(diagonal + pattern), quiet_kernel(dense + (K != 0)))
})

test_that("row 88: the scale of K carries over exactly", {
  fit <- baseline()
  for (power in c(-500, -20, 20, 500)) {
    scaled <- kernel_of(small_data()$K * 2^power)
    expect_identical(scaled$sigma2, fit$sigma2 / 2^power)
    expect_identical(scaled$coefficients, fit$coefficients)
    expect_identical(scaled$logLik, fit$logLik)
  }
  for (power in c(-150, 150)) expect_equal(kernel_of(small_data()$K * 10^power)$sigma2 * 10^power, fit$sigma2, tolerance = 1e-8)
})

test_that("row 89: both ends of delta are evaluated", {
  curve <- baseline()$profile
  ends <- curve[c(1, nrow(curve)), ]
  expect_true(ends$delta[1] < 1e-12 && ends$delta[2] > 1e9)
  expect_true(all(is.finite(curve$logLik)))
  expect_equal(ends$logLik[2], as.numeric(logLik(lm(y ~ x, small_data()$d), REML = TRUE)), tolerance = 1e-8)
})

# ---- matching -----------------------------------------------------------------------------------------

test_that("row 79, rule 3: ids that K lacks are counted, the first five named", {
  K <- small_data()$K
  expect_refused(kernel_of(K[-1, -1]), "ids_missing")
  expect_refused(kernel_of(K[8:15, 8:15]), "ids_missing")
  error <- tryCatch(kernel_of(K[8:15, 8:15]), error = identity)
  expect_setequal(error$ids, paste0("i", 1:7))
})

test_that("row 91: what would make ids match is found out", {
  expect_refused(kernel_of(named_kernel(paste0(ids, " "))), "ids_missing")
  expect_refused(kernel_of(named_kernel(toupper(ids))), "ids_missing")
  expect_refused(kernel_of(named_kernel(paste0("FAM_", ids))), "ids_missing")
  expect_refused(kernel_of(named_kernel(sprintf("i%02d", 1:15))), "ids_missing")
  numbered <- transform(small_data()$d, id = sub("i", "", id))
  expect_refused(kernel_of(named_kernel(make.names(1:15)), numbered), "ids_missing")
  expect_refused(kernel_of(named_kernel(1:15)), "ids_missing")
  expect_refused(kernel_of(named_kernel(ids), transform(small_data()$d, id = as.integer(factor(id)))), "ids_missing")
  expect_refused(kernel_of(named_kernel(paste("other", 1:15))), "ids_missing")
})

test_that("rows 80, 90: the order of K, of the rows and of the ids does not matter", {
  d <- small_data()$d
  fit <- baseline()
  set.seed(3)
  for (i in 1:3) {
    order <- sample(15)
    permuted <- kernel_of(small_data()$K[order, order])
    expect_same_fit(permuted, fit, 1e-10)
    expect_equal(ranef(permuted, which = "all")$id[ids, 1], ranef(fit, which = "all")$id[ids, 1], tolerance = 1e-8)
    rows <- sample(24)
    expect_same_fit(kernel_of(small_data()$K, d[rows, ]), fit, 1e-10)
    expect_same_fit(kernel_of(small_data()$K, transform(d, id = factor(id, sample(ids[1:12])))), fit, 1e-10)
  }
  expect_equal(fit$logLik, dense_fit(d$y, cbind(1, d$x), small_data()$K[d$id, d$id])$logLik, tolerance = 1e-8)
})

test_that("row 81, rule 1: a K without names is never matched by position", {
  expect_refused(kernel_of(unname(small_data()$K)), "kernel_names")
  expect_refused(kernel_of(unname(small_data()$K)[1:12, 1:12]), "kernel_names")
  expect_error(kernel_of(as.data.frame(unname(small_data()$K))[, 1:12]), class = "fastlmm_error_kernel_shape")
})

test_that("row 82, rule 4: ids that only K has stay, and are mentioned when asked", {
  fit <- baseline()
  expect_same_fit(kernel_of(small_data()$K[1:12, 1:12]), fit)
  expect_identical(rownames(ranef(fit, which = "all")$id), ids)
  expect_silent(kernel_of(small_data()$K))
  expect_snapshot(invisible(kernel_of(small_data()$K, control = fastlmm_control(verbose = TRUE))))
})

test_that("row 83, rule 2: duplicated, missing and contradicting names are refused", {
  twice <- replace(ids, c(2, 9), c("i1", "i8"))
  expect_refused(kernel_of(named_kernel(twice)), "kernel_ids")
  expect_refused(kernel_of(named_kernel(replace(ids, 3, NA))), "kernel_ids")
  expect_refused(kernel_of(named_kernel(replace(ids, 3, ""))), "kernel_ids")
  expect_refused(kernel_of(named_kernel(ids, rev(ids))), "kernel_names")
  expect_refused(kernel_of(named_kernel(ids, replace(ids, 4, "x"))), "kernel_names")
})

test_that("rule 2: one of row and column names is enough", {
  expect_same_fit(kernel_of(named_kernel(ids, NULL)), baseline())
  expect_same_fit(kernel_of(named_kernel(NULL, ids)), baseline())
  frame <- as.data.frame(small_data()$K)
  rownames(frame) <- NULL
  expect_same_fit(kernel_of(frame), baseline())
  expect_same_fit(kernel_of(`names<-`(frame, paste0("V", 1:15)) |> `rownames<-`(ids) |> as.matrix() |> `colnames<-`(NULL)), baseline())
})

test_that("row 92, rule 5: ids are compared as character, and whole numbers in full", {
  number <- 99991 + seq_len(15)
  d <- transform(small_data()$d, id = number[match(id, ids)])
  expect_true(1e5 %in% d$id)
  full <- c(99992:99999, "100000", 100001:100006)
  short <- as.character(number)
  expect_true("1e+05" %in% short)
  for (names in list(full, short)) {
    for (id in list(d$id, as.integer(d$id), as.character(d$id), factor(d$id), full[match(small_data()$d$id, ids)])) {
      fit <- kernel_of(named_kernel(names), transform(d, id = id))
      expect_same_fit(fit, baseline())
      expect_identical(fit$random$id$ids, full)
      expect_equal(predict(fit, data.frame(x = 0, id = 1e5)), predict(fit, data.frame(x = 0, id = "100000")))
    }
  }
  expect_identical(full_numbers(c("1e+05", "100000")), c("1e+05", "100000"))
})

# ---- lists and synonyms -------------------------------------------------------------------------------

test_that("a list names its kernel by the grouping variable; entries without use are errors", {
  K <- small_data()$K
  expect_same_fit(kernel_of(list(id = K)), baseline())
  halves <- transform(small_data()$d, left = substr(id, 1, 1), right = substring(id, 2))
  K_halves <- named_kernel(sub("i", "i:", ids))
  expect_same_fit(kernel_of(list(`left:right` = K_halves), halves, y ~ x + (1 | left:right)), baseline())
  expect_refused(kernel_of(list(Id = K)), "unused_kernel")
  expect_refused(kernel_of(list(id = K, line = K)), "unused_kernel")
  expect_refused(kernel_of(list(id = K, id = K)), "unused_kernel")
  expect_refused(kernel_of(list(K)), "kernel_list")
  expect_refused(kernel_of(list()), "kernel_list")
  expect_refused(kernel_of(list(id = K), formula = y ~ x), "unused_kernel")
})

test_that("relmat is a synonym of K", {
  expect_same_fit(kernel_of(NULL, relmat = list(id = small_data()$K)), baseline())
  expect_refused(kernel_of(small_data()$K, relmat = list(id = small_data()$K)), "two_kernels")
})

# ---- kernels over rows --------------------------------------------------------------------------------

test_that("without a bar term K is matched by row names, those of other rows stay for prediction", {
  d <- small_data()$d[1:12, ]
  rownames(d) <- d$id
  d$id <- NULL
  d$y[4] <- NA
  order <- c(9, 15, 1:8, 10:14)
  fit <- kernel_of(small_data()$K[order, order], d, y ~ x)
  expect_same_fit(fit, kernel_of(small_data()$K, small_data()$d[c(1:3, 5:12), ]))
  expect_identical(names(fit$random), ".row")
  expect_equal(predict(fit, data.frame(x = 0, row.names = "i15")), predict(baseline_once(), data.frame(x = 0, id = "i15")), ignore_attr = TRUE)
  expect_refused(kernel_of(small_data()$K, small_data()$d, y ~ x), "ids_missing")
})

test_that("a kernel over rows without names has a row for each row of data, and a message", {
  d <- small_data()$d[1:12, ]
  d$y[4] <- NA
  K <- unname(small_data()$K[1:12, 1:12])
  expect_message(fit <- kernel_of(K, d, y ~ x), class = "fastlmm_message_position")
  expect_same_fit(fit, baseline_once())
  expect_snapshot(invisible(kernel_of(K, d, y ~ x, subset = x < 1.5)))
  expect_same_fit(suppressMessages(kernel_of(K, d, y ~ x, subset = x < 1.5)), kernel_of(small_data()$K, d, subset = x < 1.5))
  y <- d$y
  x <- d$x
  expect_same_fit(suppressMessages(fastlmm_fit(y ~ x, K = K)), fit)
  expect_refused(kernel_of(K[1:11, 1:11], d, y ~ x), "kernel_shape")
})
