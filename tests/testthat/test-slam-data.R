# The basis that the sampler lives in: no larger than the kernel asks for, and the same whatever linear algebra R was linked to.

basis_world <- function(n = 40) {
  set.seed(11)
  ids <- sprintf("i%02d", seq_len(n))
  W <- matrix(rnorm(n * 3), n, dimnames = list(ids, NULL))
  data <- data.frame(id = ids, herd = rep(letters[1:4], length.out = n), x = rnorm(n), slope = rnorm(n))
  data$Y <- matrix(rnorm(n * 4), n) + drop(W %*% rnorm(3)) + data$x
  list(data = data, W = W, K = tcrossprod(matrix(rnorm(n * 60), n, dimnames = list(ids, NULL))) / 60)
}

basis_fit <- function(formula, data, K = NULL, ...) {
  quiet_slam(formula, data, K, n_factors = 2, chains = 1, iter = 12, warmup = 2, seed = 3, progress = FALSE, control = fastlmm_control(verbose = FALSE), ...)
}

test_that("rows in groups, and a factor of few columns, leave no n x n matrix in the fit", {
  world <- basis_world(400)
  largest <- function(fit) max(unlist(rapply(unclass(fit)[c("basis", "data")], length, how = "list")))
  groups <- basis_fit(Y ~ x + (1 | herd), world$data)
  expect_lte(largest(groups), 4 * 400)
  expect_lte(length(serialize(groups$basis, NULL)), 40 * 400)
  slopes <- basis_fit(Y ~ x + (0 + slope | id), world$data)
  expect_lte(largest(slopes), 4 * 400)
  expect_lte(largest(basis_fit(Y ~ x + (1 | id), world$data, kernel_lowrank(world$W))), 4 * 400)
  world$data$Y[1:3, 1] <- NA
  for (missing in c("impute", "integrate")) expect_lte(largest(basis_fit(Y ~ x + (1 | herd), world$data, missing = missing)), 4 * 400)
})

test_that("the basis diagonalises the covariance of the rows, of all and of those that a set has", {
  world <- basis_world()
  world$data$Y[c(2, 9, 30), 1] <- NA
  z <- world$data$slope
  written <- function(basis, s) {
    Q <- fastlmm:::turn_back(basis, diag(length(s)))
    expect_equal(crossprod(Q), diag(length(s)), tolerance = 1e-12)
    expect_equal(fastlmm:::turn_to(basis, diag(length(s))), t(Q), tolerance = 1e-12)
    Q %*% (s * t(Q))
  }
  same <- function(fit, S) {
    S <- unname(S) / mean(diag(S))
    expect_equal(written(fit$basis, fit$basis$s), S, tolerance = 1e-10)
    for (set in fit$data$sets) expect_equal(written(set$basis, set$s), S[set$rows, set$rows], tolerance = 1e-10)
  }
  fits <- function(formula, K = NULL) basis_fit(formula, world$data, K, missing = "integrate")
  same(fits(Y ~ x + (1 | herd)), outer(world$data$herd, world$data$herd, "=="))
  same(fits(Y ~ x + (0 + slope | herd)), outer(world$data$herd, world$data$herd, "==") * tcrossprod(z))
  same(fits(Y ~ x + (1 | id), world$K), world$K)
  same(fits(Y ~ x + (0 + slope | id), kernel_lowrank(world$W)), tcrossprod(world$W) * tcrossprod(z))
})

# ---- R's BLAS -----------------------------------------------------------------------------------------------

test_that("draws are the same to the bit whatever R's BLAS does", {
  skip_on_cran()
  skip_if_not(grepl("openblas", extSoftVersion()[["BLAS"]]), "R is not linked to OpenBLAS, whose rounding can be changed from outside")
  script <- tempfile(fileext = ".R")
  path <- tempfile()
  saveRDS(basis_world(60), path)
  code <- substitute({
    library(fastlmm, lib.loc = lib)
    world <- readRDS(path)
    big <- matrix(sin(seq_len(90000)), 300)
    product <- serialize(crossprod(big), NULL)
    quick <- function(formula, K = NULL, ...) {
      slamglmm_fit(
        formula, world$data, K, factors = ~ x, n_factors = 2, chains = 1, iter = 12, warmup = 2, seed = 3, progress = FALSE,
        control = fastlmm_control(verbose = FALSE), ...
      )$draws
    }
    draws <- list(quick(Y ~ x + (1 | id), world$K), quick(Y ~ x + (1 | herd)), quick(Y ~ x + (0 + slope | id), kernel_lowrank(world$W)))
    world$data$Y[c(2, 9, 30), 1] <- NA
    draws <- c(draws, list(quick(Y ~ x + (1 | id), world$K, missing = "impute"), quick(Y ~ x + (1 | id), world$K, missing = "integrate")))
    saveRDS(list(draws = draws, product = product), commandArgs(TRUE)[1])
  }, list(lib = dirname(system.file(package = "fastlmm")), path = path))
  writeLines(deparse(code), script)
  run <- function(settings) {
    file <- tempfile(fileext = ".rds")
    status <- system2(file.path(R.home("bin"), "Rscript"), c("--vanilla", script, file), env = settings, stdout = FALSE, stderr = FALSE)
    expect_identical(status, 0L)
    readRDS(file)
  }
  settings <- list(c("OPENBLAS_NUM_THREADS=1", "OPENBLAS_CORETYPE=Haswell"), c("OPENBLAS_NUM_THREADS=2", "OPENBLAS_CORETYPE=Nehalem"))
  # OpenBLAS does not ask whether the machine has the instructions
  if (file.exists("/proc/cpuinfo") && any(grepl("avx512bw", readLines("/proc/cpuinfo")))) settings <- c(
    settings, list(c("OPENBLAS_NUM_THREADS=1", "OPENBLAS_CORETYPE=SkylakeX"))
  )
  found <- lapply(settings, run)
  # the settings do change what R computes
  expect_gt(length(unique(lapply(found, `[[`, "product"))), 1)
  for (other in found[-1]) expect_true(identical(other$draws, found[[1]]$draws))
})

test_that("arguments of other packages are told what they are here, and kernels whose names are near", {
  data <- data.frame(id = rep(letters[1:4], 3), block = rep(1:3, 4))
  data$Y <- matrix(sin(1:24), 12)
  told <- function(pattern, ...) expect_error(slamglmm_fit(Y ~ 1 + (1 | id) + (1 | block), data, ...), pattern, class = "fastlmm_error_unused_argument")
  told("cores: .*fastlmm.threads", cores = 2)
  told("nitt: .* iter =; burnin: .* warmup =", nitt = 2, burnin = 1)
  told("offset\\(log", offset = 1)
  told("num.lv: .* n_factors =", num.lv = 2)
  # what nobody has is told all names
  told("it takes formula", nobody = 2)
  expect_error(
    slamglmm_fit(Y ~ 1 + (1 | id) + (1 | block), data, K = list(blok = diag(3))), "K = list\\(block = ...\\) and check", class = "fastlmm_error_unused_kernel"
  )
  expect_error(
    slamglmm_fit(Y ~ 1 + (1 | id), data, K = list(animal = diag(3))), "\"animal\"; the random terms of the formula are of \"id\"",
    class = "fastlmm_error_unused_kernel"
  )
})
