# Kernels by their precision: pedigrees and trees against their definitions, and models with them against the same model with the dense kernel.

# A by the tabular method: parents before offspring, a row at a time
tabular <- function(sire, dam) {
  m <- length(sire)
  A <- matrix(0, m, m)
  row <- function(parent, j) if (is.na(parent)) 0 else A[parent, j]
  for (i in seq_len(m)) {
    for (j in seq_len(i - 1)) A[i, j] <- A[j, i] <- (row(sire[i], j) + row(dam[i], j)) / 2
    A[i, i] <- 1 + if (is.na(sire[i]) || is.na(dam[i])) 0 else A[sire[i], dam[i]] / 2
  }
  A
}

random_pedigree <- function(m, founders, seed, unknown = 0.1) {
  set.seed(seed)
  sire <- dam <- rep(NA_integer_, m)
  for (i in (founders + 1):m) {
    # close relatives, so that there is inbreeding
    near <- max(1, i - 15):(i - 1)
    males <- near[near %% 2 == 1]
    females <- near[near %% 2 == 0]
    if (runif(1) > unknown) sire[i] <- males[sample.int(length(males), 1)]
    if (runif(1) > unknown) dam[i] <- females[sample.int(length(females), 1)]
  }
  list(sire = sire, dam = dam, id = paste0("animal", seq_len(m)))
}

test_that("the relationship of a pedigree is the tabular one, in any order of the animals", {
  for (seed in 1:3) {
    p <- random_pedigree(80, 6, seed)
    A <- tabular(p$sire, p$dam)
    at <- sample(80)
    K <- kernel_pedigree(p$id[at], p$id[p$sire[at]], p$id[p$dam[at]])
    expect_equal(as.matrix(K, ids = p$id), A, tolerance = 1e-10, ignore_attr = TRUE)
    expect_equal(unname(inbreeding(K)[p$id]), diag(A) - 1, tolerance = 1e-12)
    expect_gt(max(inbreeding(K)), 0.2)
    expect_equal(as.matrix(K$P[p$id, p$id] %*% A), diag(80), tolerance = 1e-9, ignore_attr = TRUE)
    expect_equal(K$diagonal[p$id], diag(A), ignore_attr = TRUE)
  }
})

test_that("parents that are not listed are founders, codes of unknown parents are none, selfing is allowed where asked", {
  K <- kernel_pedigree(c("b", "c"), c("a", "a"), c("0", NA))
  expect_setequal(rownames(K), c("a", "b", "c"))
  expect_equal(as.matrix(K, ids = c("b", "c"))[1, 2], 0.25)
  selfed <- kernel_pedigree(c("b", "c"), c("a", "b"), c("a", "b"), sexes = FALSE)
  expect_equal(inbreeding(selfed), c(a = 0, b = 0.5, c = 0.75))
  expect_equal(as.matrix(selfed), tabular(c(NA, 1, 2), c(NA, 1, 2)), ignore_attr = TRUE)
})

test_that("faults of a pedigree name the animals", {
  expect_error(kernel_pedigree(c("a", "b", "c"), c("b", "c", "a"), NA), class = "fastlmm_error_pedigree")
  expect_error(kernel_pedigree(c("a", "b", "c"), c("b", "c", "a"), c(NA, NA, NA)), "\"a\", \"b\", \"c\"", class = "fastlmm_error_pedigree")
  expect_error(kernel_pedigree("a", "a", NA), "own ancestors.*\"a\"", class = "fastlmm_error_pedigree")
  expect_error(kernel_pedigree(c("a", "b", "a"), c(NA, NA, "b"), c(NA, NA, NA)), "more than once: \"a\"", class = "fastlmm_error_pedigree")
  expect_error(kernel_pedigree(c("a", "b"), c("x", "y"), c("y", "z")), "both as sire and as dam.*\"y\"", class = "fastlmm_error_pedigree")
  expect_error(kernel_pedigree(c("a", NA), c("x", "y"), c("w", "z")), "no name", class = "fastlmm_error_pedigree")
  expect_error(kernel_pedigree(c("a", "b"), "x", c("w", "z")), "of one length", class = "fastlmm_error_pedigree")
})

test_that("a tree's kernel is ape's covariance, polytomies and labels included", {
  skip_if_not_installed("ape")
  for (seed in 1:3) {
    set.seed(seed)
    tree <- ape::rtree(25)
    # inner branches without length
    inner <- which(tree$edge[, 2] > 25)
    tree$edge.length[sample(inner, 5)] <- 0
    K <- kernel_tree(tree)
    expect_equal(as.matrix(K, ids = tree$tip.label), ape::vcv(tree), tolerance = 1e-10)
    expect_equal(K$diagonal[tree$tip.label], diag(ape::vcv(tree)))
    scaled <- kernel_tree(tree, scale = TRUE)
    expect_equal(max(scaled$diagonal), 1)
    expect_equal(as.matrix(scaled, ids = tree$tip.label), ape::vcv(tree) / max(diag(ape::vcv(tree))))
    # inner nodes too, from the heights of common ancestors
    full <- ape::rtree(12)
    at <- ape::mrca(full, full = TRUE)
    height <- ape::node.depth.edgelength(full)
    names <- c(full$tip.label, paste0("node", 14:23))
    V <- matrix(height[at], nrow(at))[c(1:12, 14:23), c(1:12, 14:23)]
    expect_equal(unname(as.matrix(kernel_tree(full), ids = names)), V)
  }
  big <- ape::rcoal(3000)
  expect_equal(nrow(kernel_tree(big)), 5998)
})

test_that("faults of a tree are told", {
  skip_if_not_installed("ape")
  tree <- ape::read.tree(text = "((a:1,b:0):2,(c:0,d:0):3);")
  expect_error(kernel_tree(tree), "same position.*\"c\", \"d\"", class = "fastlmm_error_tree")
  expect_equal(as.matrix(kernel_tree(ape::read.tree(text = "((a:1,b:0):2,c:3);"))), rbind(c(3, 2, 0), c(2, 2, 0), c(0, 0, 3)), ignore_attr = TRUE)
  expect_error(kernel_tree(ape::read.tree(text = "((a,b),c);")), "no branch lengths", class = "fastlmm_error_tree")
  expect_error(kernel_tree(ape::read.tree(text = "((a:1,a:1):2,c:3);")), "same name: \"a\"", class = "fastlmm_error_tree")
  expect_error(kernel_tree(ape::read.tree(text = "((a:1,b:-1):2,c:3);")), "negative", class = "fastlmm_error_tree")
  expect_error(kernel_tree(diag(3)), "class phylo", class = "fastlmm_error_tree")
  good <- ape::read.tree(text = "((a:1,b:1):2,c:3);")
  damaged <- list(
    replace(good, "edge.length", list(1:3)), replace(good, "edge.length", list(1:5)), replace(good, "edge.length", list(as.list(1:4))),
    replace(good, "tip.label", list(c("a", "b"))),
    replace(good, "tip.label", list(c("a", NA, "c"))), replace(good, "Nnode", list(1L)), replace(good, "Nnode", list(NULL)),
    replace(good, "edge", list(good$edge + 0.5)), replace(good, "edge", list(good$edge[, 2:1]))
  )
  for (one in damaged) expect_error(kernel_tree(structure(one, class = "phylo")), class = "fastlmm_error_tree")
  # lengths that rounding leaves are none
  near <- good
  near$edge.length[near$edge[, 2] > 3] <- 1e-15
  expect_equal(as.matrix(kernel_tree(near), ids = letters[1:3]), diag(c(1, 1, 3)), ignore_attr = TRUE, tolerance = 1e-12)
})

test_that("a tree without a root is refused, a polytomy at the root is not", {
  skip_if_not_installed("ape")
  set.seed(5)
  tree <- ape::rtree(12)
  unrooted <- ape::unroot(tree)
  expect_error(kernel_tree(unrooted), "ape::root.*root.edge <- 0", class = "fastlmm_error_tree")
  expect_error(kernel_tree(ape::read.tree(text = "(a:1,b:2,c:3);")), "3 branches", class = "fastlmm_error_tree")
  expect_error(kernel_tree(ape::nj(ape::cophenetic.phylo(tree))), "not rooted", class = "fastlmm_error_tree")
  rooted <- ape::root(unrooted, outgroup = unrooted$tip.label[1], resolve.root = TRUE)
  # the branch that resolve.root makes has no length
  rooted$edge.length[rooted$edge[, 1] == 13] <- 0.1
  expect_equal(as.matrix(kernel_tree(rooted), ids = rooted$tip.label), ape::vcv(rooted), tolerance = 1e-10)
  said <- replace(unrooted, "root.edge", 0)
  expect_equal(as.matrix(kernel_tree(structure(said, class = "phylo")), ids = unrooted$tip.label), ape::vcv(unrooted), tolerance = 1e-10)
  # stars and dated trees with a trichotomy at the root
  star <- ape::read.tree(text = "(a:1,b:1,c:1,d:1);")
  expect_equal(as.matrix(kernel_tree(star)), diag(4), ignore_attr = TRUE)
  dated <- ape::read.tree(text = "((a:1,b:1):2,c:3,(d:2,e:2):1);")
  expect_equal(as.matrix(kernel_tree(dated), ids = letters[1:5]), ape::vcv(dated), tolerance = 1e-10)
})

test_that("labels of inner nodes that are not unique are not used", {
  skip_if_not_installed("ape")
  read <- function(text) ape::read.tree(text = text)
  expect_message(K <- kernel_tree(read("(((a:1,b:1)old:1,c:2)old:1,d:3)root;")), "\"old\"", class = "fastlmm_message_node_labels")
  expect_identical(rownames(K), c("a", "b", "c", "d", "node6", "node7"))
  expect_message(kernel_tree(read("(((a:1,b:1)a:1,c:2)old:1,d:3)root;")), "\"a\"", class = "fastlmm_message_node_labels")
  expect_no_message(support <- kernel_tree(read("(((a:1,b:1)100:1,c:2)100:1,d:3)root;")))
  expect_identical(rownames(support), rownames(K))
  expect_no_message(taken <- kernel_tree(read("(((a:1,node6:1):1,c:2):1,d:3);")))
  expect_identical(rownames(taken), c("a", "node6", "c", "d", "inner.node6", "inner.node7"))
})

lattice <- function(m, rho = 0.9) {
  W <- abs(outer(seq_len(m), seq_len(m), "-")) == 1
  P <- diag(rowSums(W)) - rho * W
  dimnames(P) <- rep(list(paste0("a", seq_len(m))), 2)
  P
}

test_that("a model with a precision is the model with its inverse, in every verb", {
  P <- lattice(30)
  set.seed(4)
  data <- data.frame(id = factor(sample(paste0("a", 1:25), 120, TRUE)), x = rnorm(120))
  data$y <- data$x + drop(t(chol(solve(P))) %*% rnorm(30))[match(data$id, rownames(P))] + rnorm(120)
  K <- solve(P)
  for (form in list(P, Matrix::Matrix(P, sparse = TRUE), methods::as(Matrix::Matrix(P, sparse = TRUE), "generalMatrix"))) {
    expect_equal(as.matrix(kernel_precision(form)), K, tolerance = 1e-10)
  }
  fits <- lapply(list(K, kernel_precision(P)), function(K) fastlmm_fit(y ~ x + (1 | id), data, K = list(id = K)))
  expect_same_fit(fits[[2]], fits[[1]])
  new <- data.frame(id = paste0("a", 24:30), x = 0)
  expect_equal(predict(fits[[2]], new, se.fit = TRUE), predict(fits[[1]], new, se.fit = TRUE))
  several <- lapply(list(K, kernel_precision(P)), function(K) fastlmm_fit(y ~ x + (1 | id), data, K = list(id = kernel_mix(space = K, own = NULL))))
  expect_equal(logLik(several[[2]]), logLik(several[[1]]))
  expect_equal(several[[2]]$sigma2, several[[1]]$sigma2, tolerance = 1e-5)
  slopes <- lapply(list(K, kernel_precision(P)), function(K) fastlmm_fit(y ~ x + (1 + x | id), data, K = list(id = K)))
  expect_equal(logLik(slopes[[2]]), logLik(slopes[[1]]), tolerance = 1e-8)
})

test_that("draws have the covariance of the kernel", {
  P <- lattice(12)
  set.seed(1)
  u <- precision_root(kernel_precision(P), matrix(rnorm(12 * 20000), 12))
  expect_lt(max(abs(tcrossprod(u) / 20000 - solve(P)) / sqrt(outer(diag(solve(P)), diag(solve(P))))), 0.05)
})

test_that("what is no precision is refused, and the id named", {
  P <- lattice(6)
  expect_error(kernel_precision(unname(P)), class = "fastlmm_error_kernel_names")
  expect_error(kernel_precision(P[, -1]), class = "fastlmm_error_kernel_shape")
  expect_error(kernel_precision(replace(P, 2, 0)), class = "fastlmm_error_kernel_asymmetric")
  expect_error(kernel_precision(replace(P, 1, NA)), class = "fastlmm_error_kernel_nonfinite")
  expect_error(kernel_precision("a"), class = "fastlmm_error_kernel_class")
  expect_equal(as.matrix(kernel_precision(structure(P, class = c("relmat", "matrix", "array")))), solve(P))
  expect_error(inbreeding(P), class = "fastlmm_error_pedigree")
  # an intrinsic autoregression, and a negative direction
  expect_error(kernel_precision(lattice(6, rho = 1)), "smallest pivot", class = "fastlmm_error_kernel_not_positive")
  expect_error(kernel_precision(lattice(6, rho = 1.5)), "smallest pivot, of \"a", class = "fastlmm_error_kernel_not_positive")
  expect_error(as.matrix(kernel_precision(P), ids = "b"), class = "fastlmm_error_ids_missing")
})

test_that("data of species that the tree lacks are refused with names alike", {
  skip_if_not_installed("ape")
  tree <- ape::read.tree(text = "((Homo_sapiens:1,Pan_paniscus:1):2,Mus_musculus:3);")
  data <- data.frame(species = c("Homo_sapiens", "Pan_panicus", "Mus_musculus"), y = 1:3)
  expect_error(fastlmm_fit(y ~ 1 + (1 | species), data, K = list(species = kernel_tree(tree))), "Pan_panicus", class = "fastlmm_error_ids_missing")
})

# ---- very many ids: the inverse as it is ----------------------------------------------------------------------------

large_world <- function() {
  p <- random_pedigree(2200, 40, 5, unknown = 0.3)
  K <- kernel_pedigree(p$id, p$id[p$sire], p$id[p$dam])
  set.seed(6)
  used <- sample(p$id, 120)
  A <- as.matrix(K, ids = used)
  data <- data.frame(id = rep(used, 3), x = rnorm(360), herd = factor(sample(letters[1:9], 360, TRUE)))
  data$pe <- data$id
  b <- drop(crossprod(chol(A), rnorm(120)))
  data$y <- data$x + b[match(data$id, used)] + rep(rnorm(120), 3) / 2 + rnorm(9)[data$herd] + rnorm(360)
  list(K = K, A = A, data = data, used = used, others = setdiff(p$id, used)[1:6])
}

test_that("with very many ids a model of several effects is that with the dense kernel between the ids with data", {
  w <- large_world()
  form <- y ~ x + (1 | id) + (1 | pe) + (1 | herd)
  fits <- lapply(list(w$A, w$K), function(K) fastlmm_fit(form, w$data, K = list(id = K)))
  expect_identical(fits[[2]]$optimum$route, "sparse")
  expect_equal(as.numeric(logLik(fits[[2]])), as.numeric(logLik(fits[[1]])), tolerance = 1e-9)
  expect_equal(fits[[2]]$sigma2, fits[[1]]$sigma2, tolerance = 1e-4)
  expect_equal(fits[[2]]$se$sigma2, fits[[1]]$se$sigma2, tolerance = 1e-3)
  expect_equal(fixef(fits[[2]]), fixef(fits[[1]]), tolerance = 1e-5)
  expect_equal(vcov(fits[[2]]), vcov(fits[[1]]), tolerance = 1e-4)
  expect_equal(fitted(fits[[2]]), fitted(fits[[1]]), tolerance = 1e-4)
  expect_equal(ranef(fits[[2]])$id[w$used, ], ranef(fits[[1]])$id[w$used, ], tolerance = 1e-3)
  # those with data, and relatives without, by the kernel between them
  both <- as.matrix(w$K, ids = c(w$others, w$used))
  new <- w$data[1:6, ]
  expect_equal(predict(fits[[2]], new, se.fit = TRUE), predict(fits[[1]], new, se.fit = TRUE), tolerance = 1e-4)
  new$id <- w$others
  theirs <- predict(fits[[1]], new, K = list(id = both), se.fit = TRUE)
  expect_equal(predict(fits[[2]], new, se.fit = TRUE), theirs, tolerance = 1e-4)
  expect_error(predict(fits[[2]], new, K = list(id = both)), class = "fastlmm_error_cross_kernel")
  expect_equal(confint(fits[[2]], ".sig01"), confint(fits[[1]], ".sig01"), tolerance = 1e-3)
  expect_equal(getME(fits[[2]], "theta"), getME(fits[[1]], "theta"), tolerance = 1e-4)
  expect_equal(VarCorr(fits[[2]]), VarCorr(fits[[1]]), tolerance = 1e-4)
  again <- refit(fits[[2]], response(fits[[2]]) * 2)
  expect_equal(again$sigma2, 4 * fits[[2]]$sigma2, tolerance = 1e-5)
  expect_output(print(fits[[2]]), "pedigree")
  # with the covariance of the model: the mean square between ids
  draws <- as.matrix(simulate(fits[[2]], 400, seed = 1, re.form = ~0))
  V <- fits[[2]]$sigma2[["id"]] * w$A + diag(fits[[2]]$sigma2[["pe"]], 120)
  means <- apply(draws - drop(model.matrix(fits[[2]]) %*% fixef(fits[[2]])), 2, function(y) tapply(y, w$data$id, mean)[w$used])
  found <- mean(colSums(backsolve(chol(w$A), means, transpose = TRUE)^2))
  herds <- tabulate(w$data$herd)
  Z <- outer(w$used, levels(w$data$herd), Vectorize(function(id, herd) mean(w$data$herd[w$data$id == id] == herd)))
  expected <- sum(diag(solve(w$A, V + diag(sigma(fits[[2]])^2 / 3, 120) + fits[[2]]$sigma2[["herd"]] * tcrossprod(Z))))
  expect_lt(abs(found / expected - 1), 0.05)
})

test_that("with very many ids models of one effect and of correlated ones are those of the kernel between ids with data", {
  w <- large_world()
  for (form in c(y ~ x + (1 | id), y ~ x + (1 | id) + (1 | herd))) {
    fits <- lapply(list(w$A, w$K), function(K) fastlmm_fit(form, w$data, K = list(id = K)))
    expect_identical(fits[[2]]$optimum$route, "sparse")
    expect_equal(as.numeric(logLik(fits[[2]])), as.numeric(logLik(fits[[1]])), tolerance = 1e-9)
    expect_equal(fits[[2]]$sigma2, fits[[1]]$sigma2, tolerance = 1e-4, ignore_attr = TRUE)
    expect_equal(fits[[2]]$random$id$mean_diag, fits[[1]]$random$id$mean_diag)
    expect_equal(ngrps(fits[[2]])[["id"]], 120)
  }
  expect_message(
    fastlmm_fit(y ~ x + (1 | id), w$data, K = list(id = kernel_mix(a = w$K, own = NULL))), "2,080 ids without data", class = "fastlmm_message_unobserved_ids"
  )
  slopes <- lapply(list(w$A, w$K), function(K) fastlmm_fit(y ~ x + (1 + x | id), w$data, K = list(id = K)))
  expect_equal(as.numeric(logLik(slopes[[2]])), as.numeric(logLik(slopes[[1]])), tolerance = 1e-8)
  expect_equal(VarCorr(slopes[[2]]), VarCorr(slopes[[1]]), tolerance = 1e-3)
  traits <- slamglmm_fit(cbind(y, x) ~ 1 + (1 | id), w$data[1:120, ], K = list(id = w$K), n_factors = 1, chains = 1, iter = 20, seed = 1, progress = FALSE)
  expect_s3_class(traits, "slamglmm")
})

test_that("with data on very many ids a model of one effect is one of penalised least squares", {
  skip_if_not(is_long(), "slow; make check-long runs it")
  p <- random_pedigree(2200, 40, 7, unknown = 0.3)
  K <- kernel_pedigree(p$id, p$id[p$sire], p$id[p$dam])
  set.seed(8)
  data <- data.frame(id = p$id[1:2050], x = rnorm(2050))
  data$y <- data$x + drop(crossprod(chol(as.matrix(K, ids = p$id)), rnorm(2200)))[1:2050] + rnorm(2050)
  fit <- fastlmm_fit(y ~ x + (1 | id), data, K = list(id = K))
  expect_identical(fit$optimum$route, "sparse")
  # by the definition: restricted likelihood there and beside it, predictions of relatives without data
  A <- as.matrix(K, ids = p$id)
  X <- cbind(1, data$x)
  at <- function(sigma2, sigma2_e) {
    root <- chol(sigma2 * A[1:2050, 1:2050] + diag(sigma2_e, 2050))
    half <- backsolve(root, cbind(X, data$y), transpose = TRUE)
    information <- crossprod(half[, 1:2])
    beta <- solve(information, crossprod(half[, 1:2], half[, 3]))
    r2 <- sum((half[, 3] - half[, 1:2] %*% beta)^2)
    list(logLik = -sum(log(diag(root))) - (determinant(information)$modulus[[1]] + r2 + 2048 * log(2 * pi)) / 2, beta = drop(beta), root = root)
  }
  best <- at(fit$sigma2[[1]], fit$sigma2_e)
  expect_equal(fit$logLik, best$logLik, tolerance = 1e-9)
  for (move in list(c(1.05, 1), c(1, 1.05))) expect_lt(at(fit$sigma2[[1]] * move[1], fit$sigma2_e * move[2])$logLik, best$logLik)
  expect_equal(unname(fixef(fit)), best$beta, tolerance = 1e-6)
  new <- data.frame(id = p$id[2051:2060], x = 1)
  effect <- fit$sigma2[[1]] * A[2051:2060, 1:2050] %*% chol2inv(best$root) %*% (data$y - X %*% best$beta)
  expect_gt(max(abs(effect)), 0.1)
  expect_equal(unname(predict(fit, new)), sum(best$beta) + unname(drop(effect)), tolerance = 1e-5)
  expect_equal(ranef(fit, which = "all")$id[new$id, ], unname(drop(effect)), tolerance = 1e-4)
  expect_error(fastlmm_scan(fit, matrix(rnorm(2050))), "between the ids with data", class = "fastlmm_error_scan")
  expect_error(test_variance(fit), class = "fastlmm_error")
  expect_output(print(summary(fit)), "pedigree")
})

test_that("a sparse kernel of many families goes by the inverses of its blocks", {
  set.seed(9)
  families <- 420
  blocks <- lapply(seq_len(families), function(f) crossprod(matrix(rnorm(35), 7, 5)) / 7 + diag(5) / 5)
  K <- Matrix::bdiag(blocks)
  ids <- sample(paste0("i", seq_len(5 * families)))
  dimnames(K) <- list(ids, ids)
  at <- sample(5 * families)
  K <- K[at, at]
  data <- data.frame(id = ids, x = rnorm(5 * families))
  data$y <- data$x + unlist(lapply(blocks, function(B) drop(crossprod(chol(B), rnorm(5))))) + rnorm(5 * families)
  fit <- fastlmm_fit(y ~ x + (1 | id), data, K = list(id = block_precision(K)))
  expect_identical(fit$optimum$route, "sparse")
  dense <- fastlmm_fit(y ~ x + (1 | id), data, K = list(id = as.matrix(K)))
  for (part in c("logLik", "h2", "sigma2", "sigma2_e", "coefficients", "vcov")) expect_equal(
    fit[[part]], dense[[part]], tolerance = 1e-4, ignore_attr = TRUE, info = part
  )
  expect_equal(ranef(fit)$id[data$id, ], ranef(dense)$id[data$id, ], tolerance = 1e-4)
  # a kernel of fewer ids stays as it is, and one with a block that has no inverse
  expect_identical(as_whole(K), K)
  K[1, ] <- K[, 1] <- 0
  expect_false(is_precision(block_precision(K)))
})

test_that("the blocks of a sparse matrix are found", {
  sizes <- c(4, 1, 3, 2, 6)
  K <- methods::as(Matrix::bdiag(lapply(sizes, function(m) diag(m) + 1)), "CsparseMatrix")
  at <- sample(16)
  roots <- tree_roots(Matrix::Cholesky(Matrix::forceSymmetric(K[at, at]), LDL = FALSE, super = FALSE))
  expect_equal(sort(tabulate(roots)[tabulate(roots) > 0]), sort(sizes))
})
