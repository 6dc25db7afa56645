# What the errors say where an object, or its names, tell what they are.

hint_world <- function() {
  once("hint world", local({
    set.seed(3)
    ids <- paste0("a.", 1:12)
    M <- matrix(rnorm(240), 12, dimnames = list(ids, paste0("m", 1:20)))
    list(ids = ids, M = M, K = tcrossprod(M) / 20, d = data.frame(id = rep(ids, 2), y = rnorm(24)))
  }))
}

message_of <- function(expr) tryCatch({
  suppressWarnings(suppressMessages(expr))
  "no error"
}, fastlmm_error = conditionMessage)

test_that("objects that are no matrix say what they are", {
  world <- hint_world()
  fit <- function(K) message_of(fastlmm_fit(y ~ 1 + (1 | id), world$d, K))
  E <- eigen(world$K)
  pedigree <- data.frame(id = world$ids, sire = NA, dam = NA)
  numbers <- data.frame(id = 1:12, sire = c(NA, NA, rep(1, 10)), dam = c(NA, NA, rep(2, 10)))
  tree <- structure(list(edge = matrix(1, 2, 2), tip.label = world$ids), class = "phylo")
  expect_match(fit(E), "kernel_eigen", fixed = TRUE)
  expect_match(fit(unclass(E)), "kernel_eigen", fixed = TRUE)
  expect_match(fit(list(id = E)), "kernel_eigen", fixed = TRUE)
  expect_match(fit(tree), "kernel_tree(tree)", fixed = TRUE)
  for (one in list(pedigree, numbers, list(id = pedigree))) expect_match(fit(one), "kernel_pedigree(", fixed = TRUE)
  expect_match(fit(list(Ainv = world$K, inbreeding = 0)), "kernel_precision(Ainv)", fixed = TRUE)
  expect_error(fastlmm_fit(y ~ 1 + (1 | id), world$d, unclass(E)), class = "fastlmm_error_kernel_class")
})

test_that("names in the first column are told, of letters and of numbers", {
  world <- hint_world()
  file <- tempfile()
  on.exit(unlink(file))
  write.csv(world$K, file)
  expect_match(message_of(fastlmm_fit(y ~ 1 + (1 | id), world$d, read.csv(file))), "row.names = 1", fixed = TRUE)
  expect_equal(nrow(fastlmm_decompose(read.csv(file, row.names = 1, check.names = FALSE))$vectors), 12)
  d <- transform(world$d, id = match(id, world$ids))
  write.csv(`dimnames<-`(world$K, list(1:12, 1:12)), file)
  expect_match(message_of(fastlmm_fit(y ~ 1 + (1 | id), d, read.csv(file))), "row.names = 1", fixed = TRUE)
})

test_that("names that differ by a rule say the rule", {
  world <- hint_world()
  hint <- function(names, ids = world$ids) {
    d <- transform(world$d, id = ids[match(id, world$ids)])
    message_of(fastlmm_fit(y ~ 1 + (1 | id), d, `dimnames<-`(world$K, list(names, names))))
  }
  number <- sub("a.", "", world$ids, fixed = TRUE)
  expect_match(hint(paste0("F1_", world$ids)), "FID_IID")
  expect_match(hint(paste0("F_1_", number), number), "FID_IID")
  expect_match(hint(paste("F1", world$ids)), "FID_IID")
  expect_match(hint(paste0("X", number), number), "X12")
  expect_match(hint(sub(".", "_", world$ids, fixed = TRUE)), "dots, dashes")
  expect_match(hint(toupper(world$ids)), "upper and lower")
  expect_match(hint(toupper(sub(".", "_", world$ids, fixed = TRUE))), "case and in dots")
  expect_match(hint(format(1234567890123456 + 1:12 * 1000, digits = 15, scientific = TRUE), 1234567890123456 + 1:12 * 1000), "lost digits")
})

test_that("matrices that lie on their side say so", {
  world <- hint_world()
  expect_match(message_of(fastlmm_fit(y ~ 1 + (1 | id), world$d, kernel_lowrank(t(world$M)))), "t(W)", fixed = TRUE)
  expect_match(message_of(fastlmm_fit(y ~ 1 + (1 | id), world$d, world$M)), "kernel_lowrank", fixed = TRUE)
  fit <- suppressMessages(fastlmm_fit(y ~ 1 + (1 | id), world$d, world$K))
  expect_match(message_of(fastlmm_scan(fit, t(world$M))), "t(candidates)", fixed = TRUE)
  expect_match(message_of(fastlmm_scan(fit, `rownames<-`(world$M, paste0("F1_", world$ids)))), "FID_IID")
})

test_that("an inverse of a relationship matrix is a warning, and no relationship matrix is", {
  set.seed(5)
  n <- 40
  A <- diag(n)
  for (i in 11:n) {
    p <- sample(i - 1, 2)
    A[i, seq_len(i - 1)] <- A[seq_len(i - 1), i] <- (A[p[1], seq_len(i - 1)] + A[p[2], seq_len(i - 1)]) / 2
    A[i, i] <- 1 + A[p[1], p[2]] / 2
  }
  ids <- paste0("i", seq_len(n))
  dimnames(A) <- list(ids, ids)
  d <- data.frame(id = ids, y = rnorm(n))
  warns <- function(K) {
    found <- FALSE
    withCallingHandlers(suppressMessages(fastlmm_fit(y ~ 1 + (1 | id), d, K)), warning = function(w) {
      found <<- found || inherits(w, "fastlmm_warning_inverse_kernel")
      invokeRestart("muffleWarning")
    })
    found
  }
  expect_true(warns(solve(A)))
  expect_true(warns(Matrix::Matrix(zapsmall(solve(A)), sparse = TRUE)))
  M <- matrix(rbinom(n * 400, 2, 0.3), n, dimnames = list(ids, NULL))
  centred <- tcrossprod(scale(M)) / 400
  unrelated <- diag(n) - 1 / n
  dimnames(unrelated) <- dimnames(A)
  for (K in list(A, centred, unrelated, diag(n) |> `dimnames<-`(dimnames(A)))) expect_false(tryCatch(warns(K), fastlmm_error = function(e) FALSE))
})

test_that("a pedigree in one object is told column by column", {
  ped <- data.frame(animal = c("a", "b", "c"), father = c("s", "s", "a"), mother = c("d", "d", "b"))
  refused <- function(...) tryCatch(kernel_pedigree(...), fastlmm_error_pedigree = conditionMessage)
  expect_match(refused(ped), "kernel_pedigree(id = ped$animal, sire = ped$father, dam = ped$mother)", fixed = TRUE)
  expect_match(refused(as.matrix(ped)), "sire = as.matrix(ped)[, \"father\"]", fixed = TRUE)
  expect_match(refused(ped[1:2]), "dam = ...", fixed = TRUE)
  expect_error(kernel_pedigree(ped$animal), "\"sire\" is needed", class = "fastlmm_error_argument")
  expect_equal(nrow(kernel_pedigree(ped$animal, ped$father, ped$mother)$P), 5)
})
