# The whole Kronecker product, whose rows are named by both ids
whole_product <- function(A, E, names = c("id", "env")) {
  K <- kronecker(A, E)
  levels <- as.vector(t(outer(rownames(A), rownames(E), paste, sep = ":")))
  structure(K, dimnames = list(levels, levels))
}

identity_of <- function(ids) structure(diag(length(ids)), dimnames = list(ids, ids))

# Three ids have no data in any environment, and not every other id is in every one.
product_data <- function() {
  set.seed(31)
  ids <- paste0("g", 1:18)
  A <- tcrossprod(matrix(rnorm(18 * 30), 18, dimnames = list(ids, NULL))) / 30
  B <- matrix(rnorm(4 * 6), 4, dimnames = list(c("e1", "e2", "e3", "e4"), NULL))
  E <- tcrossprod(B) / 6
  data <- expand.grid(id = ids[1:15], env = rownames(E)[1:3], rep = 1:2, KEEP.OUT.ATTRS = FALSE, stringsAsFactors = FALSE)[-c(3, 48, 20, 21, 65, 66), ]
  K <- whole_product(A, E)
  effect <- drop(crossprod(chol(K + diag(1e-8, nrow(K))), rnorm(nrow(K))))
  names(effect) <- rownames(K)
  data$x <- rnorm(nrow(data))
  data$y <- 1 + data$x + effect[paste(data$id, data$env, sep = ":")] + rnorm(nrow(data), sd = 0.5)
  data$y2 <- data$y / 2 + rnorm(nrow(data))
  data$y3 <- rnorm(nrow(data))
  list(A = A, E = E, data = data, new = expand.grid(id = ids, env = rownames(E), x = 0.3, KEEP.OUT.ATTRS = FALSE, stringsAsFactors = FALSE))
}

expect_same_fit <- function(fit, other, tolerance = 1e-8) {
  for (what in c("coefficients", "vcov", "sigma2", "sigma2_e", "logLik", "h2", "se")) expect_equal(fit[[what]], other[[what]], tolerance = tolerance)
  effects <- lapply(list(fit, other), function(one) as.data.frame(ranef(one, which = "observed", condVar = TRUE)))
  effects <- lapply(effects, function(table) table[order(as.character(table$grp)), c("condval", "condsd")])
  expect_equal(effects[[1]], effects[[2]], tolerance = tolerance, ignore_attr = TRUE)
}

test_that("a product is the Kronecker product, in fits and in predictions of all combinations", {
  given <- product_data()
  whole <- whole_product(given$A, given$E)
  by_whole <- fastlmm_fit(y ~ x + (1 | id:env), given$data, K = list("id:env" = whole))
  fit <- fastlmm_fit(y ~ x + (1 | id:env), given$data, K = list("id:env" = kernel_product(id = given$A, env = given$E)))
  expect_same_fit(fit, by_whole)
  levels <- fit$random[["id:env"]]$ids
  expect_setequal(levels, unique(paste(given$data$id, given$data$env, sep = ":")))
  expect_equal(fit$random[["id:env"]]$kernel, whole[levels, levels], tolerance = 1e-14)
  expect_equal(predict(fit, given$new, se.fit = TRUE), predict(by_whole, given$new, se.fit = TRUE), tolerance = 1e-8)
  expect_equal(predict(fit, given$data), fitted(fit), tolerance = 1e-10)
  expect_equal(predict(fit, given$new, re.form = NA), predict(by_whole, given$new, re.form = NA), tolerance = 1e-8)
})

test_that("without a kernel a variable is independent, and knows the levels that occur", {
  given <- product_data()
  whole <- whole_product(given$A, identity_of(rownames(given$E)))
  by_whole <- fastlmm_fit(y ~ x + (1 | id:env), given$data, K = whole)
  fit <- fastlmm_fit(y ~ x + (1 | id:env), given$data, K = kernel_product(id = given$A, env = NULL))
  expect_same_fit(fit, by_whole)
  seen <- given$new[given$new$env != "e4", ]
  expect_equal(predict(fit, seen, se.fit = TRUE), predict(by_whole, seen, se.fit = TRUE), tolerance = 1e-8)
  expect_refused(predict(fit, given$new), "new_levels")
  population <- predict(fit, given$new, re.form = NA)
  unseen <- given$new$env == "e4"
  expect_equal(predict(fit, given$new, allow.new.levels = TRUE)[unseen], population[unseen])
  absent <- transform(given$new, id = replace(id, 1:2, NA))
  expect_equal(predict(fit, absent, allow.new.levels = TRUE)[-(1:2)], predict(fit, given$new, allow.new.levels = TRUE)[-(1:2)])
  turned <- fastlmm_fit(y ~ x + (1 | id:env), given$data, K = kernel_product(id = NULL, env = given$E))
  by_turned <- fastlmm_fit(y ~ x + (1 | id:env), given$data, K = whole_product(identity_of(unique(given$data$id)), given$E))
  expect_same_fit(turned, by_turned)
})

test_that("kernels go by names: of the variables in any order, of the ids in any order", {
  given <- product_data()
  fit <- fastlmm_fit(y ~ x + (1 | id:env), given$data, K = kernel_product(id = given$A, env = given$E))
  ids <- sample(nrow(given$A))
  K <- kernel_product(env = given$E[4:1, 4:1], id = given$A[ids, ids])
  same <- fastlmm_fit(y ~ x + (1 | id:env), given$data, K = K)
  plain <- function(fit) fit$random[["id:env"]][names(fit$random[["id:env"]]) != "product"]
  expect_equal(plain(same), plain(fit), tolerance = 1e-8)
  turned <- fastlmm_fit(y ~ x + (1 | env:id), given$data, K = list("env:id" = K))
  nested <- fastlmm_fit(y ~ x + (1 | env / id), given$data, K = list("id:env" = K))
  expect_equal(turned$logLik, fit$logLik, tolerance = 1e-10)
  expect_equal(turned$sigma2, fit$sigma2, tolerance = 1e-7, ignore_attr = TRUE)
  expect_equal(predict(turned, given$new, se.fit = TRUE), predict(fit, given$new, se.fit = TRUE), tolerance = 1e-7)
  expect_identical(nested$random[["id:env"]]$kernel, same$random[["id:env"]]$kernel)
  rows <- sample(nrow(given$data))
  expect_equal(fastlmm_fit(y ~ x + (1 | id:env), given$data[rows, ], K = K)$logLik, fit$logLik, tolerance = 1e-10)
})

test_that("the units of the kernels are the unit of the variance", {
  given <- product_data()
  fit <- fastlmm_fit(y ~ x + (1 | id:env), given$data, K = kernel_product(id = given$A, env = given$E))
  other <- fastlmm_fit(y ~ x + (1 | id:env), given$data, K = kernel_product(id = 1e3 * given$A, env = given$E / 10))
  expect_equal(other$logLik, fit$logLik, tolerance = 1e-10)
  expect_equal(100 * unname(other$sigma2), unname(fit$sigma2), tolerance = 1e-6)
  expect_equal(predict(other, given$new), predict(fit, given$new), tolerance = 1e-7)
})

test_that("kernels may be of any class, and there may be three", {
  given <- product_data()
  root <- function(K) {
    parts <- eigen(K, symmetric = TRUE)
    structure(parts$vectors %*% diag(sqrt(pmax(parts$values, 0))), dimnames = list(rownames(K), NULL))
  }
  expected <- fastlmm_fit(y ~ x + (1 | id:env), given$data, K = kernel_product(id = given$A, env = given$E))
  kinds <- list(kernel_product(id = kernel_lowrank(root(given$A)), env = as.data.frame(given$E)), kernel_product(id = Matrix::Matrix(given$A), env = given$E))
  for (K in kinds) {
    fit <- fastlmm_fit(y ~ x + (1 | id:env), given$data, K = K)
    expect_equal(fit$logLik, expected$logLik, tolerance = 1e-9)
    expect_equal(predict(fit, given$new, se.fit = TRUE), predict(expected, given$new, se.fit = TRUE), tolerance = 1e-6)
  }
  sparse <- structure(solve(given$A + diag(18)), dimnames = dimnames(given$A))
  by_precision <- fastlmm_fit(y ~ x + (1 | id:env), given$data, K = kernel_product(id = kernel_precision(sparse), env = given$E))
  by_matrix <- fastlmm_fit(y ~ x + (1 | id:env), given$data, K = kernel_product(id = given$A + diag(18), env = given$E))
  expect_equal(predict(by_precision, given$new, se.fit = TRUE), predict(by_matrix, given$new, se.fit = TRUE), tolerance = 1e-6)
  S <- matrix(c(1, 0.6, 0.6, 1), 2, dimnames = list(c("m", "f"), c("m", "f")))
  data <- transform(given$data, sex = c("m", "f")[rep])
  three <- fastlmm_fit(y ~ x + (1 | id:sex:env), data, K = kernel_product(env = given$E, id = given$A, sex = S))
  whole <- whole_product(whole_product(given$A, S), given$E)
  expect_same_fit(three, fastlmm_fit(y ~ x + (1 | id:sex:env), data, K = whole))
})

test_that("ids may have colons, where one way alone takes a level apart", {
  given <- product_data()
  rename <- function(x) sub("g", "g:0:", x)
  A <- structure(given$A, dimnames = lapply(dimnames(given$A), rename))
  data <- transform(given$data, id = rename(id))
  fit <- fastlmm_fit(y ~ x + (1 | id:env), data, K = kernel_product(id = A, env = NULL))
  plain <- fastlmm_fit(y ~ x + (1 | id:env), given$data, K = kernel_product(id = given$A, env = NULL))
  expect_equal(fit$logLik, plain$logLik, tolerance = 1e-12)
  seen <- given$new[given$new$env != "e4", ]
  expect_equal(predict(fit, transform(seen, id = rename(id))), predict(plain, seen), tolerance = 1e-10)
  # "a:b:c" is a and b:c, or a:b and c
  odd <- structure(diag(3), dimnames = list(c("a", "a:b", "c"), NULL))
  d <- data.frame(id = rep(c("a", "a:b", "c"), 4), env = rep(c("b:c", "c"), each = 6), y = rnorm(12))[-1, ]
  expect_refused(fastlmm_fit(y ~ 1 + (1 | id:env), d, K = kernel_product(id = odd, env = NULL)), "kernel_product")
})

test_that("a product stands beside other terms, in a mix, with slopes and with correlated terms", {
  given <- product_data()
  whole <- whole_product(given$A, identity_of(rownames(given$E)))
  product <- kernel_product(id = given$A, env = NULL)
  seen <- given$new[given$new$env != "e4" & given$new$id != "g18", ]
  compare <- function(formula, K, K_whole, tolerance = 1e-5) {
    fit <- suppressMessages(fastlmm_fit(formula, given$data, K = K))
    other <- suppressMessages(fastlmm_fit(formula, given$data, K = K_whole))
    expect_equal(fit$logLik, other$logLik, tolerance = 1e-9)
    expect_equal(predict(fit, seen, se.fit = TRUE), predict(other, seen, se.fit = TRUE), tolerance = tolerance)
  }
  compare(y ~ x + env + (1 | id) + (1 | id:env), list(id = given$A, "id:env" = product), list(id = given$A, "id:env" = whole))
  compare(y ~ x + (0 + x | id:env), product, whole)
  compare(y ~ x + (1 + x | id:env), product, whole)
  levels <- unique(paste(given$data$id, given$data$env, sep = ":"))
  compare(y ~ x + (1 | id:env), kernel_mix(A = product, own = NULL), kernel_mix(A = whole, own = NULL))
  expect_snapshot(kernel_mix(A = product, own = NULL))
})

test_that("further ids are predicted by the product of larger kernels, which must be those of the fit", {
  given <- product_data()
  some <- unique(given$data$id)
  small <- kernel_product(id = given$A[some, some], env = given$E)
  large <- kernel_product(env = given$E, id = given$A)
  fit <- fastlmm_fit(y ~ x + (1 | id:env), given$data, K = small)
  whole <- fastlmm_fit(y ~ x + (1 | id:env), given$data, K = whole_product(given$A, given$E))
  expect_refused(predict(fit, given$new), "new_levels")
  expect_equal(predict(fit, given$new, K = large, se.fit = TRUE), predict(whole, given$new, se.fit = TRUE), tolerance = 1e-8)
  expect_equal(predict(whole, given$new, K = list("id:env" = large)), predict(whole, given$new), tolerance = 1e-8)
  expect_refused(predict(fit, given$new, K = kernel_product(id = 2 * given$A, env = given$E)), "other_kernel")
  expect_refused(predict(fit, given$new, K = kernel_product(id = given$A[-1, -1], env = given$E)), "cross_kernel")
  expect_refused(predict(fit, given$new, K = kernel_product(gen = given$A, env = given$E)), "kernel_product")
  alone <- fastlmm_fit(y ~ x + (1 | id:env), given$data)
  expect_refused(predict(alone, given$new, K = large), "cross_kernel")
})

test_that("methods of fits know the product", {
  given <- product_data()
  product <- kernel_product(id = given$A, env = given$E)
  whole <- whole_product(given$A, given$E)
  fit <- fastlmm_fit(y ~ x + (1 | id:env), given$data, K = product)
  by_whole <- fastlmm_fit(y ~ x + (1 | id:env), given$data, K = whole)
  expect_equal(
    simulate(fit, 2, seed = 1, newdata = given$new, re.form = NULL), simulate(by_whole, 2, seed = 1, newdata = given$new, re.form = NULL), tolerance = 1e-6
  )
  drawn <- simulate(fit, 500, seed = 1, newdata = given$new)
  expected <- unname(fit$sigma2) * diag(whole)[paste(given$new$id, given$new$env, sep = ":")] + fit$sigma2_e
  expect_lt(max(abs(apply(drawn, 1, var) / expected - 1)), 6 * sqrt(2 / 500))
  many <- fastlmm_fit(cbind(y, y2, y3) ~ x + (1 | id:env), given$data, K = product)
  many_whole <- fastlmm_fit(cbind(y, y2, y3) ~ x + (1 | id:env), given$data, K = whole)
  expect_equal(predict(many, given$new, se.fit = TRUE), predict(many_whole, given$new, se.fit = TRUE), tolerance = 1e-6)
  # a kernel that is gone comes from the fit
  gone <- local({
    own <- product
    fastlmm_fit(y ~ x + (1 | id:env), given$data, K = own)
  })
  again <- suppressMessages(update(gone, . ~ . - x))
  expect_equal(predict(again, given$new), predict(fastlmm_fit(y ~ 1 + (1 | id:env), given$data, K = product), given$new), tolerance = 1e-8)
  scan <- fastlmm_scan(fit, given$data["y2"], groups = "a", kernels = list(a = kernel_product(id = NULL, env = given$E)), progress = FALSE)
  other <- fastlmm_fit(y ~ x + (1 | id:env), given$data, K = kernel_product(id = NULL, env = given$E))
  expect_equal(scan$estimate, fastlmm_scan(other, given$data["y2"], progress = FALSE)$estimate, tolerance = 1e-8)
})

test_that("slamglmm_fit() takes a product as the matrix between its levels", {
  given <- product_data()
  levels <- unique(paste(given$data$id, given$data$env, sep = ":"))
  product <- kernel_product(id = given$A, env = NULL)
  whole <- whole_product(given$A, identity_of(rownames(given$E)))
  run <- function(K) quiet_slam(cbind(y, y2, y3) ~ x + (1 | id:env), given$data, K = K, n_factors = 1, chains = 1, iter = 60, seed = 2, progress = FALSE)
  fit <- run(list("id:env" = product))
  kernel <- fit$random[["id:env"]]$kernel
  same <- run(list("id:env" = kernel))
  expect_equal(kernel, whole[rownames(kernel), rownames(kernel)], tolerance = 1e-14)
  expect_identical(as.data.frame(fit), as.data.frame(same))
  seen <- given$new[given$new$env != "e4", ]
  expect_equal(predict(fit, seen), predict(same, seen, K = whole), tolerance = 1e-8)
  expect_equal(dim(predict(fit, seen, interval = "confidence")), c(54L, 3L, 3L))
})

test_that("names that are not those of the term are refused", {
  given <- product_data()
  expect_snapshot(kernel_product(id = given$A, env = NULL))
  expect_refused(kernel_product(id = given$A), "kernel_product")
  expect_refused(kernel_product(given$A, given$E), "kernel_product")
  expect_refused(kernel_product(id = given$A, id = given$E), "kernel_product")
  expect_refused(kernel_product(id = NULL, env = NULL), "kernel_product")
  expect_refused(kernel_product(id = kernel_product(id = given$A, env = NULL), env = NULL), "kernel_product")
  K <- kernel_product(id = given$A, env = given$E)
  expect_refused(fastlmm_fit(y ~ x + (1 | id), given$data, K = K), "kernel_product")
  expect_refused(fastlmm_fit(y ~ x + (1 | rep:id), given$data, K = K), "kernel_product")
  expect_refused(fastlmm_fit(y ~ x, given$data, K = K), "kernel_product")
  expect_refused(fastlmm_decompose(K), "kernel_class")
})

test_that("bad kernels and levels that they lack are refused by name", {
  given <- product_data()
  expect_refused(kernel_product(id = given$A[, 1:3], env = NULL), "kernel_shape")
  expect_refused(kernel_product(id = unname(given$A), env = NULL), "kernel_names")
  expect_refused(kernel_product(id = given$A, env = -given$E), "kernel_not_positive")
  expect_refused(kernel_product(id = "A", env = given$E), "kernel_class")
  expect_refused(fastlmm_fit(y ~ x + (1 | id:env), given$data, K = kernel_product(id = given$A[-(1:2), -(1:2)], env = given$E)), "ids_missing")
  expect_refused(fastlmm_fit(y ~ x + (1 | id:env), transform(given$data, env = toupper(env)), K = kernel_product(id = given$A, env = given$E)), "ids_missing")
  expect_refused(
    fastlmm_fit(y ~ x + (1 | id:env), transform(given$data, id = paste0(id, ":x")), K = kernel_product(id = given$A, env = given$E)), "ids_missing"
  )
})

test_that("a kernel between more levels than memory holds is refused with its size", {
  expect_error(
    check_product_memory(2e6, 2, "id:env"), "the kernel between 2,000,000 levels of \"id:env\", 4 matrices of 2000000 x 2000000, would take 119209 GiB",
    class = "fastlmm_error_memory"
  )
  n <- 1e5
  d <- data.frame(id = seq_len(n), env = rep(c("a", "b"), n / 2), y = seq_len(n) %% 7)
  E <- structure(diag(2), dimnames = list(c("a", "b"), NULL))
  expect_error(fastlmm_fit(y ~ 1 + (1 | id:env), d, K = kernel_product(id = NULL, env = E)), "100,000 levels", class = "fastlmm_error_memory")
})

test_that("of very many levels the inverse of the product is taken, and gives the same fit", {
  given <- product_data()
  P <- solve(given$A + diag(0.05, 18))
  dimnames(P) <- dimnames(given$A)
  sparse <- kernel_precision(P)
  E <- given$E + diag(0.1, 4)
  models <- list(
    list(y ~ x + (1 | id:env), kernel_product(id = sparse, env = E)), list(y ~ x + (1 | env:id), kernel_product(id = sparse, env = E)),
    list(y ~ x + (1 | id:env), kernel_product(env = NULL, id = sparse)),
    list(y ~ x + (1 | id) + (1 | id:env), kernel_product(id = sparse, env = E)), list(y ~ x + (1 | rep) + (1 | id:env), kernel_product(id = sparse, env = E)),
    list(y ~ x + (1 + x | id:env), kernel_product(id = sparse, env = E))
  )
  for (model in models) {
    K <- structure(list(model[[2]]), names = deparse1(find_bars(model[[1]][[3]])[[length(find_bars(model[[1]][[3]]))]][[3]]))
    # beside it a precision of few ids is taken as it is, too
    if (length(find_bars(model[[1]][[3]])) == 2 && names(K) == "id:env" && !"rep" %in% all.vars(model[[1]])) K$id <- sparse
    dense <- suppressMessages(fastlmm_fit(model[[1]], given$data, K = K))
    fit <- local({
      # as if there were very many
      utils::assignInNamespace("DENSE_IDS", 30, "fastlmm")
      on.exit(utils::assignInNamespace("DENSE_IDS", 2000, "fastlmm"))
      suppressMessages(fastlmm_fit(model[[1]], given$data, K = K))
    })
    effect <- fit$random[[length(fit$random)]]
    expect_true(is_precision(effect$kernel))
    expect_identical(is_precision(fit$random[[1]]$kernel), length(K) == 2 || names(fit$random)[1] != "rep")
    expect_equal(nrow(effect$kernel), 18 * if (is.null(model[[2]]$parts$env)) 3 else 4)
    expect_identical(fit$optimum$route, "sparse")
    expect_equal(fit$logLik, dense$logLik, tolerance = 1e-8)
    for (what in c("coefficients", "sigma2", "sigma2_e")) expect_equal(fit[[what]], dense[[what]], tolerance = 1e-4, ignore_attr = TRUE)
    # the kernel is that of the definition
    some <- effect$ids[c(1, 5, 30, 44)]
    at <- strsplit(some, ":", fixed = TRUE)
    of <- function(position, K) K[vapply(at, `[`, "", position), vapply(at, `[`, "", position)]
    turned <- startsWith(some[1], "e")
    expect_equal(
      as.matrix(effect$kernel, ids = some),
      of(if (turned) 2 else 1, given$A + diag(0.05, 18)) * (if (is.null(model[[2]]$parts$env)) of(2, diag(4) + 0 * E) else of(if (turned) 1 else 2, E)),
      tolerance = 1e-8, ignore_attr = TRUE
    )
    expect_equal(unname(effect$kernel$diagonal[some]), diag(as.matrix(effect$kernel, ids = some)), ignore_attr = TRUE)
    # combinations without data
    new <- given$new[given$new$env != "e4" | !is.null(model[[2]]$parts$env), ]
    new$rep <- 1
    expect_equal(predict(fit, new, se.fit = TRUE), predict(dense, new, se.fit = TRUE), tolerance = 1e-3)
    expect_equal(predict(fit, given$data), fitted(fit), tolerance = 1e-8)
    expect_equal(refit(fit)$logLik, fit$logLik)
    expect_equal(suppressMessages(update(fit, K = K, data = given$data))$logLik, fit$logLik, tolerance = 1e-8)
    expect_error(predict(fit, transform(new, id = "zz")), class = "fastlmm_error_new_levels")
    expect_error(predict(fit, new, K = K), class = "fastlmm_error_cross_kernel")
    expect_equal(dim(simulate(fit, 2, seed = 1, newdata = new)), c(nrow(new), 2L))
  }
  # what has no inverse, or could be told apart in two ways, stays a matrix
  expect_null(product_precision(list(id = sparse, env = structure(matrix(1, 2, 2), dimnames = list(c("a", "b"), c("a", "b"))))))
  expect_null(product_precision(list(id = given$A, env = c("a", "b"))))
  colons <- kernel_precision(structure(diag(2), dimnames = list(c("a", "a:b"), c("a", "a:b"))))
  expect_null(product_precision(list(id = colons, env = c("b:c", "c"))))
})
