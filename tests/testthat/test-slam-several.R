# Several random effects of slamglmm_fit(). The sampler is tested in Rust (Geweke, closed form, planted bugs); here: the grid and its priors, and what the draws
# say, against V written out.

several_world <- function(n = 24, p = 3, seed = 1) {
  set.seed(seed)
  ids <- paste0("i", seq_len(n / 2))
  markers <- matrix(rnorm(n / 2 * 20), n / 2, dimnames = list(ids, NULL))
  data <- data.frame(id = rep(ids, 2), block = rep(paste0("b", 1:4), each = n / 4), sex = rep(0:1, length.out = n), age = rnorm(n))
  data$Y <- matrix(rnorm(n * p), n) + rnorm(4)[match(data$block, unique(data$block))] + drop(markers %*% rnorm(20, sd = 0.3))[match(data$id, ids)] + data$sex
  colnames(data$Y) <- letters[seq_len(p)]
  list(data = data, K = list(id = tcrossprod(markers) / 10))
}

several_fit <- function(world, formula = Y ~ sex + (1 | id) + (1 | block), ..., iter = 40, chains = 2, n_factors = 2, seed = 1) {
  quiet_slam(formula, world$data, world$K, n_factors = n_factors, chains = chains, iter = iter, warmup = 20, seed = seed, ...)
}

# Z K Z' of each effect over its mean diagonal, rows of `data` of which the first are those of the fit
several_covariances <- function(world, data = world$data) {
  Z <- function(x) outer(as.character(x), sort(unique(as.character(data$id))), "==") + 0
  K <- world$K$id
  S <- list(id = unname(K[data$id, data$id]), block = outer(data$block, data$block, "==") + 0)
  rows <- seq_len(nrow(world$data))
  lapply(S, function(S) S / mean(diag(S)[rows]))
}

# V at a point of the grid
dense_v <- function(fit, S, point) {
  h <- fit$numbers$proportions[point + 1, ]
  Reduce(`+`, Map(`*`, S, h)) + (1 - sum(h)) * diag(nrow(S[[1]]))
}

test_that("points lie on rays, and the default prior is uniform over proportions", {
  world <- several_world()
  fit <- several_fit(world, chains = 1, iter = 21)
  numbers <- fit$numbers
  expect_equal(dim(numbers$shares), c(11, 2))
  expect_equal(rowSums(numbers$shares), rep(1, 11))
  expect_equal(numbers$proportions, structure(numbers$shares[rep(1:11, each = 20), ] * rep((0:19) / 20, 11), dimnames = list(NULL, c("id", "block"))))
  expect_equal(sum(numbers$traits), 1)
  # uniform on the triangle: each proportion and the residual's alike, mean 1/3, variance 1/18
  mean <- drop(crossprod(numbers$traits, numbers$proportions))
  expect_equal(unname(mean), c(1, 1) / 3, tolerance = 0.01)
  expect_equal(unname(drop(crossprod(numbers$traits, numbers$proportions^2)) - mean^2), c(1, 1) / 18, tolerance = 0.1)
  # three and four effects
  expect_equal(nrow(fastlmm:::share_lattice(3, 6)), 28)
  expect_equal(nrow(fastlmm:::share_lattice(4, 4)), 35)
  expect_equal(dim(several_fit(world, Y ~ (1 | id) + (1 | block) + (0 + age | block), chains = 1, iter = 21, rays = 2)$numbers$shares), c(6, 3))
})

test_that("priors are of named proportions", {
  grid <- fastlmm:::several_grid(20, c("id", "block"), 10)
  weights <- function(prior) fastlmm:::several_weights(prior, grid, "h2")
  moments <- function(w) c(crossprod(w, cbind(grid$proportions, rowSums(grid$proportions))))  / sum(w)
  # Dirichlet: E h = 1/3 whatever the concentration, less of it spreads H
  expect_equal(moments(weights(dirichlet_prior(3))), c(1, 1, 2) / 3, tolerance = 0.02)
  spread <- function(concentration) sum(weights(dirichlet_prior(concentration)) * rowSums(grid$proportions)^2)
  expect_gt(spread(0.3), spread(3))
  # of the whole: a beta distribution of H, shares uniform
  w <- weights(beta_prior(2, 5))
  expect_equal(moments(w), c(1, 1, 2) / 7, tolerance = 0.02)
  expect_equal(sum(weights(point_zero(0.4))[rowSums(grid$proportions) == 0]), 0.4)
  # a function is a density about the uniform distribution
  expect_equal(moments(weights(function(h) rep(1, nrow(h)))), moments(weights(dirichlet_prior(1))))
  only <- weights(function(h) h[, "block"] == 0)
  expect_true(all(only[grid$proportions[, "block"] > 0] == 0))
  expect_equal(weights(seq_len(nrow(grid$proportions)))[3], 3 / sum(seq_len(nrow(grid$proportions))), tolerance = 1)
  expect_error(weights(function(h) h), class = "fastlmm_error_prior")
  expect_error(weights(rep(1, 20)), class = "fastlmm_error_prior")
  # no weight: neither rays nor levels are made
  world <- several_world()
  fit <- several_fit(world, prior = slam_prior(h2 = function(h) h[, "block"] == 0), chains = 1, iter = 21)
  expect_equal(nrow(fit$numbers$shares), 1)
  expect_true(all(h2(fit)$block == 0))
})

test_that("a prior of MCMCglmm has a part for each effect", {
  world <- several_world()
  part <- function(v) list(V = diag(3) * v, nu = 5)
  prior <- list(R = part(2), G = list(G1 = part(1), G2 = part(3)))
  fit <- several_fit(world, prior = prior, chains = 1, iter = 21)
  # a kernel whose mean diagonal is not 1 makes more variance of the same V
  variance <- c(id = fit$basis$mean_diag[["id"]], block = 3, residual = 2)
  expect_equal(fit$numbers$residual[c(2, 4, 6)], 1.5 * sum(variance) / unname(fit$scale$sd)^2)
  share <- variance / sum(variance)
  expect_equal(drop(crossprod(fit$numbers$traits, fit$numbers$proportions)), share[1:2], tolerance = 0.06)
  named <- list(R = part(2), G = list(block = part(3), id = part(1)))
  expect_equal(several_fit(world, prior = named, chains = 1, iter = 21)$draws, fit$draws)
  expect_output(print(fit$prior), "Dirichlet distribution of concentrations")
  alike <- fastlmm:::as_slam_prior(list(R = part(1), G = list(part(1), part(1))), c(a = 1, b = 1, c = 1), c(id = 1, block = 1))
  grid <- fastlmm:::several_grid(20, c("id", "block"), 10)
  expect_equal(fastlmm:::several_weights(alike$h2, grid, "h2"), fastlmm:::several_weights(dirichlet_prior(1), grid, "h2"))
  for (count in c(1, 3)) expect_error(
    several_fit(world, prior = list(R = part(1), G = rep(list(part(1)), count))), "2 random effects.*id.*block", class = "fastlmm_error_prior"
  )
})

test_that("each effect and the residual may have a concentration of its own", {
  grid <- fastlmm:::several_grid(40, c("id", "block"), 10)
  weights <- function(prior) fastlmm:::several_weights(prior, grid, "h2")
  w <- weights(dirichlet_prior(c(residual = 2, id = 4, block = 1)))
  expect_equal(c(crossprod(w, grid$proportions)), c(4, 1) / 7, tolerance = 0.02)
  # shares: whole steps, as many of ten as a beta distributed share gives
  share <- vapply(0:10, function(step) integrate(function(x) dbinom(step, 10, x) * dbeta(x, 4, 1), 0, 1)$value, 0)
  expect_equal(rowSums(matrix(w, ncol = 40, byrow = TRUE)), share, tolerance = 1e-4)
  expect_equal(colSums(matrix(w, ncol = 40, byrow = TRUE)), beta_prior(5, 2)(grid$h))
  expect_equal(w, weights(dirichlet_prior(c(id = 4, block = 1, residual = 2))))
  expect_equal(weights(dirichlet_prior(c(id = 3, block = 3, residual = 3))), weights(dirichlet_prior(3)))
  expect_error(weights(dirichlet_prior(c(id = 1, blok = 1, residual = 1))), "there is no \"blok\", and it lacks \"block\"", class = "fastlmm_error_prior")
  for (bad in list(
    c(id = 1, block = 1), c(1, 2), c(id = -1, residual = 1), c(id = 1, id = 2, residual = 1), c(id = 2)
  )) expect_error(dirichlet_prior(bad), "residual", class = "fastlmm_error_prior")
  expect_output(print(slam_prior(h2 = dirichlet_prior(c(id = 2, block = 1, residual = 1)))), "id 2, block 1, residual 1")
  # of one effect a beta distribution
  expect_equal(dirichlet_prior(c(residual = 2, id = 4))((0:9) / 10), beta_prior(4, 2)((0:9) / 10))
  world <- several_world()
  alone <- function(prior) several_fit(world, Y ~ sex + (1 | id), prior = slam_prior(h2 = prior), chains = 1, iter = 21)
  expect_identical(alone(dirichlet_prior(c(id = 4, residual = 2)))$draws, alone(beta_prior(4, 2))$draws)
  expect_error(alone(dirichlet_prior(c(block = 4, residual = 2))), "it lacks \"id\"", class = "fastlmm_error_prior")
  expect_error(alone(dirichlet_prior(c(id = 1, block = 4, residual = 2))), "there is no \"block\"", class = "fastlmm_error_prior")
})

test_that("a prior of MCMCglmm has an element for each effect, by name or in order", {
  G <- list(id = list(V = 1.5, nu = 4), block = list(V = diag(c(2, 4)), nu = 5))
  of <- function(G, unit = c(id = 2, block = 1)) fastlmm:::as_slam_prior(list(R = list(V = 1, nu = 5), G = G), c(a = 1, b = 2), unit)
  found <- of(G)
  # of a 1 + 2 * 1.5 + 2, of b 1 + 3 + 4
  expect_equal(found$residual, inverse_gamma(1.5, 1.5 * c(a = 6, b = 8 / 4)))
  expect_equal(attr(found$h2, "dirichlet"), 3 * c(residual = 1 / 6 + 1 / 8, id = 3 / 6 + 3 / 8, block = 2 / 6 + 4 / 8) / 2)
  for (same in list(rev(G), unname(G), structure(G, names = c("G1", "G2")))) expect_equal(attr(of(same)$h2, "dirichlet"), attr(found$h2, "dirichlet"))
  expect_equal(unname(attr(of(rep(list(list(V = 1, nu = 5)), 2), c(id = 1, block = 1))$h2, "dirichlet")), c(1, 1, 1))
  expect_message(of(replace(G, "block", list(list(V = 1, nu = 5, alpha.mu = 0)))), "alpha.mu of G of \"block\"", class = "fastlmm_message_prior")
  expect_error(of(list(G1 = G$id)), "G of the prior has 1 element, and the model 2 random effects, \"id\", \"block\"", class = "fastlmm_error_prior")
  expect_error(of(G$id), "2 random effects", class = "fastlmm_error_prior")
  expect_error(of(c(G, G)), "4 elements", class = "fastlmm_error_prior")
  expect_error(of(list(id = G$id, blok = G$block)), "it lacks \"block\"", class = "fastlmm_error_prior")
  world <- several_world(p = 2)
  fit <- several_fit(world, prior = list(R = list(V = 1, nu = 5), G = G), chains = 1, iter = 21)
  expect_equal(
    fit$numbers, several_fit(world, prior = of(G, fit$basis$mean_diag) |> replace("residual", list(fit$prior$residual)), chains = 1, iter = 21)$numbers
  )
  expect_gt(sum(fit$numbers$traits * fit$numbers$proportions[, "block"]), 0.3)
})

test_that("priors that fail say what the columns are, and what is wrong and missing apart", {
  world <- several_world()
  fit <- function(...) several_fit(world, prior = slam_prior(...), chains = 1, iter = 21)
  expect_error(fit(h2 = function(h) h[, "blok"]), "the points have the columns \"id\", \"block\"", class = "fastlmm_error_prior")
  expect_error(fit(residual = fixed_variance(c(a = 1, d = 1))), "there is no \"d\", and it lacks \"b\", \"c\"", class = "fastlmm_error_prior")
})

test_that("covariances are those of the draws, effect by effect", {
  world <- several_world()
  fit <- several_fit(world, factors = ~ sex)
  S <- several_covariances(world)
  chain <- fit$draws[[2]]
  d <- 5
  sd <- fit$scale$sd
  Lambda <- t(chain$theta[3:4, , d]) * sd
  proportion <- function(effect, point) fit$numbers$proportions[point + 1, effect]
  of <- function(effect) Lambda %*% diag(proportion(effect, chain$factors_point[, d])) %*% t(Lambda) + diag(
    proportion(effect, chain$point[, d]) * chain$sigma2[, d] * sd^2
  )
  unit <- c(id = mean(diag(world$K$id)[match(world$data$id, rownames(world$K$id))]), block = 1)
  at <- 20 + d
  for (effect in c("id", "block")) {
    expect_equal(unname(G(fit, effect, draws = TRUE)[, , at]), unname(of(effect) / unit[[effect]]))
    expect_equal(unname(rg(fit, effect, draws = TRUE)[, , at]), unname(cov2cor(of(effect))))
    expect_equal(G(fit, effect), apply(G(fit, effect, draws = TRUE), 1:2, mean))
    expect_equal(genetic_correlation(fit, effect, level = 0.9)$mean, rg(fit, effect)[upper.tri(diag(3))])
  }
  whole <- of("id") + of("block") + unname(R(fit, draws = TRUE)[, , at])
  expect_equal(unname(P(fit, draws = TRUE)[, , at]), unname(whole))
  expect_equal(h2(fit, draws = TRUE)[, "block", at], diag(of("block")) / diag(whole), ignore_attr = TRUE)
  expect_equal(h2(fit)$id, h2(fit, effect = "id")$h2)
  expect_equal(h2(fit, level = 0.9)[4:6, -1], h2(fit, effect = "block", level = 0.9), ignore_attr = TRUE)
  parts <- variance_parts(fit)
  expect_equal(parts$factors, rowSums(parts[c("factors_id", "factors_block", "factors_residual")]), ignore_attr = TRUE)
  expect_equal(parts$own, rowSums(parts[c("own_id", "own_block", "own_residual")]), ignore_attr = TRUE)
  expect_equal(VarCorr(fit)$block, G(fit, "block"))
  expect_setequal(as.data.frame(VarCorr(fit))$grp, c("id", "block", "Residual"))
  table <- summary(fit)$table
  expect_equal(table$mean[table$variable == "G_block[a,b]"], G(fit, "block")["a", "b"])
  expect_equal(nrow(table), fastlmm:::count_invariant(fit))
  frame <- as.data.frame(fit)
  expect_equal(mean(frame[["h2_block[c]"]]), h2(fit)$block[3])
  expect_error(G(fit), class = "fastlmm_error_effect")
  expect_error(G(fit, "blok"), "did you mean", class = "fastlmm_error_effect")
  expect_equal(G(fit, 2), G(fit, "block"))
  for (bad in list(c("id", "block"), NA, character(), 3, 1.5)) expect_error(G(fit, bad), "\"id\" or \"block\", not [^;]*$", class = "fastlmm_error_effect")
  # a kind is of all effects, or of one
  expect_equal(rownames(confint(fit, "h2")), paste0(rep(c("h2_id", "h2_block"), each = 3), "[", letters[1:3], "]"))
  expect_equal(confint(fit, "h2_block"), confint(fit, "h2")[4:6, ])
})

test_that("bases are those of V", {
  world <- several_world()
  fit <- several_fit(world, chains = 1, iter = 21)
  S <- several_covariances(world)
  points <- c(0, 7, 45, 133, 219)
  A <- matrix(rnorm(24 * 5), 24)
  inverse <- fastlmm:::power_of_v(fit, A, points, "inverse")
  root <- fastlmm:::power_of_v(fit, diag(24)[, rep(1:24, 1)], rep(133, 24), "root")
  for (j in seq_along(points)) expect_equal(inverse[, j], drop(solve(dense_v(fit, S, points[j]), A[, j])))
  expect_equal(tcrossprod(root), dense_v(fit, S, 133))
})

# ---- effects -------------------------------------------------------------------------------------------------------

# Given one draw: what the effects of ids are, by the joint normal distribution of all effects and what is left, written out
dense_effects <- function(fit, world, chain, t) {
  n <- nrow(fit$Y)
  S <- several_covariances(world)
  unit <- fit$basis$mean_diag
  Z <- list(id = outer(world$data$id, rownames(world$K$id), "==") + 0, block = outer(world$data$block, sort(unique(world$data$block)), "==") + 0)
  K <- list(id = world$K$id, block = diag(4))
  b <- ncol(fit$X)
  theta <- chain$theta[, , t]
  F <- matrix(chain$factors[, , t], n)
  y <- fit$data$y
  if (nrow(chain$cells) > 0) y[fastlmm:::missing_cells(fit)] <- chain$cells[, t]
  left <- y - fit$data$x %*% theta[seq_len(b), ] - F %*% theta[-seq_len(b), ]
  of_factors <- F - fit$data$xf %*% chain$factors_b[, , t]
  of <- function(effect, e, point) {
    h <- fit$numbers$proportions[point + 1, effect]
    h * K[[effect]] %*% t(Z[[effect]]) %*% solve(dense_v(fit, S, point), e) / unit[[effect]]
  }
  one <- function(effect) {
    own <- vapply(1:3, function(j) drop(of(effect, left[, j], chain$point[j, t])), numeric(nrow(K[[effect]])))
    through <- vapply(1:2, function(m) drop(of(effect, of_factors[, m], chain$factors_point[m, t])), numeric(nrow(K[[effect]])))
    (own + through %*% theta[-seq_len(b), ]) * rep(fit$scale$sd, each = nrow(K[[effect]]))
  }
  sapply(c("id", "block"), one, simplify = FALSE)
}

test_that("means of effects are those of V written out, cells missing or not", {
  world <- several_world()
  for (missing in c(FALSE, TRUE)) {
    if (missing) world$data$Y[cbind(c(2, 5, 9), c(1, 1, 3))] <- NA
    fit <- several_fit(world, factors = ~ sex, iter = 24)
    all <- lapply(fit$draws, function(chain) lapply(1:4, function(t) dense_effects(fit, world, chain, t)))
    mean_of <- function(effect) Reduce(`+`, lapply(unlist(all, recursive = FALSE), `[[`, effect)) / 8
    effects <- ranef(fit)
    expect_equal(unname(effects$id), unname(mean_of("id")))
    expect_equal(unname(effects$block), unname(mean_of("block")))
    fixed <- cbind(1, world$data$sex) %*% fixef(fit)
    rows <- function(wanted) fixed + Reduce(`+`, lapply(wanted, function(effect) effects[[effect]][match(world$data[[effect]], rownames(effects[[effect]])), ]))
    expect_equal(unname(fitted(fit)), unname(rows(c("id", "block"))))
    expect_equal(unname(predict(fit, world$data, re.form = ~ (1 | block))), unname(rows("block")))
    expect_equal(unname(predict(fit, re.form = ~ (1 | id))), unname(rows("id")))
    expect_equal(unname(predict(fit, re.form = NA)), unname(fixed))
  }
})

test_that("draws of effects have the distribution of the joint normal written out", {
  world <- several_world(n = 12)
  fit <- several_fit(world, chains = 1, iter = 21)
  times <- some_draws(4000)
  many <- slam_repeated(fit, 1, times)
  drawn <- ranef(many, draws = TRUE)
  mean <- dense_effects(fit, world, fit$draws[[1]], 1)
  # covariance of the effects of one trait and of two
  chain <- fit$draws[[1]]
  S <- several_covariances(world)
  lambda <- matrix(chain$theta[-(1:2), , 1], 2)
  posterior <- function(effect, other, point) {
    h <- fit$numbers$proportions[point + 1, ]
    K <- list(id = world$K$id / fit$basis$mean_diag[["id"]], block = diag(4))
    Z <- list(id = outer(world$data$id, rownames(world$K$id), "==") + 0, block = outer(world$data$block, sort(unique(world$data$block)), "==") + 0)
    cross <- function(e) h[[e]] * K[[e]] %*% t(Z[[e]])
    (if (effect == other) h[[effect]] * K[[effect]] else 0) - cross(effect) %*% solve(dense_v(fit, S, point), t(cross(other)))
  }
  whole <- function(effect, other) {
    of_factors <- Reduce(`+`, lapply(1:2, function(m) lambda[m, 1]^2 * posterior(effect, other, chain$factors_point[m, 1])))
    (of_factors + chain$sigma2[1, 1] * posterior(effect, other, chain$point[1, 1])) * fit$scale$sd[[1]]^2
  }
  joint <- rbind(cbind(whole("id", "id"), whole("id", "block")), cbind(whole("block", "id"), whole("block", "block")))
  draws <- rbind(drawn$id[, 1, ], drawn$block[, 1, ])
  expect_normal(draws, c(mean$id[, 1], mean$block[, 1]), unname(joint))
  # the sum of both in rows, drawn at the rows of the fit
  rows <- fitted(many, draws = TRUE)
  expect_lt(max(abs(rowMeans(rows, dims = 2) - fitted(slam_repeated(fit, 1, 3))) / apply(rows, 1:2, sd)), 5 / sqrt(times))
  new <- predict(many, world$data[1:2, ], draws = TRUE)
  at <- list(id = match(world$data$id[1:2], rownames(world$K$id)), block = nrow(world$K$id) + match(world$data$block[1:2], sort(unique(world$data$block))))
  pick <- matrix(0, 2, nrow(joint))
  pick[cbind(1:2, at$id)] <- pick[cbind(1:2, at$block)] <- 1
  center <- drop(cbind(1, world$data$sex[1:2]) %*% fixef(many)[, 1]) + drop(pick %*% c(mean$id[, 1], mean$block[, 1]))
  expect_normal(new[, 1, ], center, pick %*% unname(joint) %*% t(pick))
})

test_that("new ids come through their kernels, and responses have all variance", {
  world <- several_world()
  K <- world$K$id
  keep <- world$data$id != "i12"
  small <- list(data = world$data[keep, ], K = world$K)
  fit <- several_fit(small)
  new <- data.frame(id = "i12", block = "b9", sex = 1)
  expect_error(predict(fit, new), class = "fastlmm_error_new_levels")
  value <- predict(fit, new, allow.new.levels = TRUE)
  expect_equal(unname(value), unname(drop(c(1, 1) %*% fixef(fit)) + ranef(fit)$id["i12", , drop = FALSE]))
  # ends of intervals are those of enough draws
  fit <- several_fit(small, iter = 300)
  wide <- predict(fit, new, allow.new.levels = TRUE, interval = "prediction")
  narrow <- predict(fit, new, allow.new.levels = TRUE, interval = "confidence")
  expect_true(all(wide[, , "upr"] - wide[, , "lwr"] > narrow[, , "upr"] - narrow[, , "lwr"]))
})

# ---- what a run promises ----------------------------------------------------------------------------------------------

test_that("draws depend on the seed alone: threads, interruptions, directories, chains beside", {
  world <- several_world()
  world$data$Y[3, 2] <- NA
  fit <- several_fit(world, iter = 40)
  same <- several_fit(world, iter = 40, control = fastlmm_control(threads = 1))
  expect_identical(same$draws, fit$draws)
  expect_identical(several_fit(world, iter = 40, chains = 1)$draws[[1]], fit$draws[[1]])
  dir <- withr::local_tempdir()
  half <- quiet_slam(Y ~ sex + (1 | id) + (1 | block), world$data, world$K, n_factors = 2, chains = 2, iter = 30, warmup = 20, seed = 1, dir = dir)
  whole <- quiet_chains(extend(restore(dir), 10))
  expect_identical(whole$draws, fit$draws)
  file <- withr::local_tempfile()
  saveRDS(half, file)
  read <- readRDS(file)
  expect_equal(ranef(read), ranef(half))
  read$dir <- NULL
  expect_identical(quiet_chains(extend(read, 10))$draws, fit$draws)
})

test_that("another unit, permuted rows and fixed effects in the responses change nothing", {
  world <- several_world()
  fit <- several_fit(world)
  moved <- world
  moved$data$Y <- world$data$Y * 1000 + outer(world$data$sex, c(5, -3, 100)) + 7
  expect_equal(h2(several_fit(moved)), h2(fit))
  expect_equal(G(several_fit(moved), "block") / 1e6, G(fit, "block"))
  other <- world
  # a power of two keeps each digit, and with it the basis of each ray
  other$K$id <- 64 * world$K$id
  expect_equal(64 * G(several_fit(other), "id"), G(fit, "id"))
  expect_equal(h2(several_fit(other)), h2(fit))
})

test_that("factors have the effects that their formula names", {
  world <- several_world()
  fit <- several_fit(world, factors = ~ sex + (1 | id))
  of_factors <- fit$numbers$proportions[fit$draws[[1]]$factors_point + 1, "block"]
  expect_true(all(of_factors == 0))
  expect_true(any(fit$numbers$proportions[fit$draws[[1]]$point + 1, "block"] > 0))
  expect_equal(colnames(fit$covariates$XF), "sex")
  expect_error(several_fit(world, factors = ~ (1 | sex)), class = "fastlmm_error_formula")
  expect_error(several_fit(world, factors = ~ (0 + age | id)), class = "fastlmm_error_formula")
})

test_that("mixes of kernels, slopes and low rank are effects, too", {
  world <- several_world()
  ids <- rownames(world$K$id)
  mix <- quiet_slam(
    Y ~ sex + (1 | id), world$data, list(id = kernel_mix(A = world$K$id, own = NULL)), n_factors = 1, chains = 1, iter = 30, warmup = 20, seed = 1
  )
  expect_equal(names(ranef(mix)), c("id.A", "id.own"))
  slope <- several_fit(world, Y ~ sex + (1 + age || id))
  expect_equal(dim(ranef(slope)[[2]]), c(12, 3))
  W <- t(chol(world$K$id + diag(1e-9, 12)))
  rownames(W) <- ids
  low <- world
  low$K$id <- kernel_lowrank(W)
  A <- matrix(rnorm(24 * 3), 24)
  expect_equal(
    fastlmm:::power_of_v(several_fit(low), A, c(8, 90, 219), "inverse"), fastlmm:::power_of_v(several_fit(world), A, c(8, 90, 219), "inverse"), tolerance = 1e-6
  )
})

test_that("effects that cannot be told apart are named", {
  world <- several_world()
  world$data$twin <- world$data$block
  world$data$row <- paste0("r", seq_len(24))
  alone <- function(formula) quiet_slam(formula, world$data, n_factors = 1, chains = 1, iter = 30, seed = 1)
  expect_error(alone(Y ~ (1 | block) + (1 | twin)), "block.*twin", class = "fastlmm_error_not_identifiable")
  expect_error(alone(Y ~ (1 | block) + (1 | row)), "the residual.*row", class = "fastlmm_error_not_identifiable")
  expect_error(several_fit(world, Y ~ factor(block) + (1 | block) + (1 | id)), "block", class = "fastlmm_error_confounded")
  expect_error(several_fit(world, Y ~ (1 | id) + (1 | block), missing = "integrate"), class = "fastlmm_error_slam_effects")
  expect_error(several_fit(world, Y ~ (1 + age || id) + (1 + age || block) + (0 + sex | block)), "at most 4", class = "fastlmm_error_slam_effects")
  expect_error(several_fit(world, rays = 0), class = "fastlmm_error_plan")
})

test_that("effects of any unit, and of few rows, are told apart", {
  world <- several_world()
  plain <- several_fit(world, Y ~ (1 | id) + (0 + age | block), chains = 1)
  for (power in c(-400, 400)) {
    unit <- 2^power
    other <- world
    other$K$id <- world$K$id * unit^2
    other$data$age <- world$data$age * unit
    fit <- several_fit(other, Y ~ (1 | id) + (0 + age | block), chains = 1)
    expect_equal(h2(fit), h2(plain))
    expect_equal(unit * ranef(fit)[[2]], ranef(plain)[[2]])
  }
  other$data$age <- world$data$age * 1e200
  expect_error(several_fit(other, Y ~ (1 | id) + (0 + age | block)), "block.*another unit", class = "fastlmm_error_scale")
  few <- data.frame(a = c("x", "x", "y", "y"), b = c("x", "y", "x", "y"), s = c(1, 2, 4, 7), t = c(2, -1, 0, 1), y = c(1, 3, 2, 5))
  expect_s3_class(quiet_slam(y ~ (1 | a) + (1 | b) + (0 + s | a) + (0 + t | b), few, n_factors = 0, chains = 1, iter = 40, seed = 1), "slamglmm")
  few$twin <- few$a
  expect_error(quiet_slam(y ~ (1 | a) + (1 | b) + (0 + s | a) + (1 | twin), few, n_factors = 0), "\"a\" and \"twin\"", class = "fastlmm_error_not_identifiable")
})

test_that("pictures and tables are of each effect, whatever its name", {
  world <- several_world()
  names(world$data)[match(c("id", "block"), names(world$data))] <- c("response", "my [1]")
  world$K <- NULL
  fit <- several_fit(world, Y ~ (1 | response) + (1 | `my [1]`), chains = 1)
  picture <- fastlmm:::h2_picture(fit, c("c", "a"), 0.9)
  expect_equal(paste(picture$response, picture$effect), paste(c("c", "a"), rep(c("response", "my [1]"), each = 2)))
  expect_equal(unlist(picture[4, 2:5]), unlist(h2(fit, "a", level = 0.9, effect = "my [1]")[-1]))
  grDevices::pdf(NULL)
  withr::defer(grDevices::dev.off())
  expect_no_error(plot(fit, "h2"))
  if (requireNamespace("ggplot2", quietly = TRUE)) expect_no_error(ggplot2::autoplot(fit, "h2"))
  expect_equal(confint(fit, "h2_my [1]"), confint(fit, "h2")[4:6, ])
  expect_named(h2(fit), c("response", "response.1", "my [1]"))
  names(world$data)[match(c("response", "my [1]"), names(world$data))] <- c("residual", "Residual")
  fit <- several_fit(world, Y ~ (1 | residual) + (1 | Residual), chains = 1)
  parts <- variance_parts(fit)
  expect_equal(parts$own, rowSums(parts[c("own_residual.1", "own_Residual", "own_residual")]), ignore_attr = TRUE)
  expect_false(anyDuplicated(names(parts)) > 0)
  expect_equal(unique(as.data.frame(VarCorr(fit))$grp), c("residual", "Residual.1", "Residual"))
})

test_that("draws that were changed are refused", {
  fit <- several_fit(several_world(), factors = ~ sex)
  changed <- function(name, value) {
    fit$draws[[2]][[name]] <- value(fit$draws[[2]][[name]])
    fit
  }
  shorter <- function(x) x[seq_len(length(x) - 1)]
  for (name in c("theta", "factors", "factors_b", "factors_point", "point")) expect_error(ranef(changed(name, shorter)), name, class = "fastlmm_error_shape")
  expect_error(ranef(changed("cells", function(x) 1)), "cells", class = "fastlmm_error_shape")
  for (bad in c(220, -1, NaN)) for (name in c("point", "factors_point")) expect_error(
    ranef(changed(name, function(x) replace(x, 1, bad))), "points", class = "fastlmm_error"
  )
})

test_that("the memory of a grid counts its rays", {
  world <- several_world()
  grid <- 1e8
  expect_error(several_fit(world, grid = grid), "grid", class = "fastlmm_error_memory")
})

test_that("effects are recovered", {
  set.seed(4)
  n <- 300
  line <- rep(sprintf("l%02d", 1:60), 5)
  block <- sprintf("b%02d", sample(rep(1:30, 10)))
  u <- matrix(rnorm(120), 60) %*% chol(matrix(c(1, 0.8, 0.8, 1), 2)) * sqrt(0.4)
  v <- matrix(rnorm(60), 30) %*% chol(matrix(c(1, -0.8, -0.8, 1), 2)) * sqrt(0.3)
  data <- data.frame(line, block)
  data$Y <- u[match(line, unique(line)), ] + v[match(block, sort(unique(block))), ] + sqrt(0.3) * matrix(rnorm(2 * n), n)
  colnames(data$Y) <- c("a", "b")
  fit <- quiet_slam(Y ~ 1 + (1 | line) + (1 | block), data, chains = 2, iter = 400, seed = 1)
  expect_gt(rg(fit, "line")[1, 2], 0.4)
  expect_lt(rg(fit, "block")[1, 2], -0.4)
  expect_equal(h2(fit)$line, c(0.4, 0.4), tolerance = 0.5)
  expect_equal(h2(fit)$block, c(0.3, 0.3), tolerance = 0.6)
})

# ---- what is shown -----------------------------------------------------------------------------------------------------

test_that("pictures are of each effect", {
  fit <- several_fit(several_world())
  pictures <- fastlmm:::correlation_pictures(fit, NULL, 0.9, NULL)
  expect_equal(vapply(pictures, `[[`, "", "title"), c("correlations of \"id\"", "correlations of \"block\""))
  for (i in 1:2) {
    effect <- c("id", "block")[i]
    expect_equal(pictures[[i]]$values[letters[1:3], letters[1:3]], rg(fit, effect), tolerance = 1e-12)
    expect_identical(rownames(pictures[[i]]$values), rownames(pictures[[1]]$values))
    table <- rg(fit, effect, level = 0.9)
    expect_identical(
      pictures[[i]]$faded[cbind(match(table$response1, rownames(pictures[[i]]$values)), match(table$response2, rownames(pictures[[i]]$values)))],
      table$low <= 0 & table$high >= 0
    )
  }
  expect_equal(fastlmm:::correlation_picture(fit, NULL, 0.9, "block")$title, "correlations of \"block\"")
  table <- fastlmm:::h2_picture(fit, c("c", "a"), 0.9)
  expect_equal(table[table$effect == "block", names(table) != "effect"], h2(fit, c("c", "a"), level = 0.9, effect = "block"), ignore_attr = TRUE)
  expect_equal(unique(table$effect), c("id", "block"))
  traces <- fastlmm:::trace_picture(fit, NULL)
  expect_equal(traces$responses, c("h2_id[a]", "h2_block[a]", "h2_id[b]", "h2_block[b]", "h2_id[c]", "h2_block[c]"))
  expect_equal(c(traces$draws[, , 4]), h2(fit, effect = "block", draws = TRUE)["b", ])
  expect_equal(fastlmm:::trace_picture(fit, "c", "block")$responses, "h2_block[c]")
  expect_equal(fastlmm:::h2_label(fit, 2), "proportion of variance (of \"block\")")
  grDevices::pdf(withr::local_tempfile(fileext = ".pdf"), 7, 5)
  withr::defer(grDevices::dev.off())
  before <- par(no.readonly = TRUE)
  for (which in c("covariance", "h2", "trace")) for (effect in list(NULL, "block")) expect_silent(plot(fit, which, effect = effect))
  expect_silent(plot(fit, "loadings"))
  expect_equal(par(no.readonly = TRUE)[c("mar", "oma", "mfrow", "cex")], before[c("mar", "oma", "mfrow", "cex")])
  expect_error(plot(fit, effect = "blok"), "did you mean", class = "fastlmm_error_effect")
  expect_error(plot(fit, "loadings", effect = "id"), class = "fastlmm_error_effect")
  skip_if_not_installed("ggplot2")
  for (which in c("covariance", "h2", "trace")) for (effect in list(NULL, "block")) expect_silent(print(ggplot2::autoplot(fit, which, effect = effect)))
  tiles <- ggplot2::layer_data(ggplot2::autoplot(fit, level = 0.9))
  expect_equal(nrow(tiles), 18)
  built <- ggplot2::autoplot(fit)$data
  expect_equal(built$value[built$panel == "block" & built$row == "c" & built$column == "a"], rg(fit, "block")["c", "a"])
  expect_error(ggplot2::autoplot(fit, "biplot", effect = "id"), class = "fastlmm_error_effect")
})

test_that("correlations that are not defined in all draws are counted, not forgotten", {
  fit <- several_fit(several_world(), iter = 60)
  for (name in c("point", "factors_point", "h", "factors_h")) fit$draws[[1]][[name]][, 7] <- 0
  fit$convergence <- fastlmm:::slam_convergence(fit)
  table <- summary(fit)$table
  expect_equal(fit$convergence$unjudged, sum(is.na(table$rhat)))
  expect_setequal(table$variable[is.na(table$rhat)], paste0(rep(c("rg_id[", "rg_block["), each = 3), c("a,b]", "a,c]", "b,c]")))
  expect_output(print(fit), "6 quantities not judged: \"rg_id[a,b]\"", fixed = TRUE)
  expect_setequal(fit$convergence$unjudged_names, table$variable[is.na(table$rhat)])
  # which variances are the reason, and in how many draws
  for (effect in c("id", "block")) {
    variances <- apply(G(fit, effect, draws = TRUE), 3, diag)
    parts <- fit$convergence$zero[sprintf("G_%s[%s]", effect, c("a", "b", "c"))]
    expect_equal(unname(parts), unname(rowMeans(variances == 0)))
    expect_true(all(parts > 0))
  }
  expect_match(fastlmm:::convergence_text(fit, fit$convergence), "is 0 in [0-9.]+ % of the draws")
  expect_match(fastlmm:::convergence_text(fit, fit$convergence), "rhat is NA")
  # what does not vary has nothing to judge: block is no cause of factors
  apart <- several_fit(several_world(), factors = ~ (1 | id), iter = 60)
  rows <- grepl("rg_block", summary(apart)$table$variable)
  expect_true(all(is.na(summary(apart)$table$rhat[rows])))
})

test_that("effects are a table as lme4's", {
  fit <- several_fit(several_world(), iter = 30)
  effects <- ranef(fit, condVar = TRUE)
  frame <- as.data.frame(effects)
  expect_named(frame, c("grpvar", "term", "grp", "condval", "condsd"))
  expect_equal(nrow(frame), 3 * (12 + 4))
  row <- frame[frame$grpvar == "block" & frame$term == "b" & frame$grp == "b3", ]
  expect_equal(row$condval, effects$block["b3", "b"])
  expect_equal(row$condsd, sd(ranef(fit, draws = TRUE)$block["b3", "b", ]))
  expect_named(as.data.frame(ranef(fit, whichel = "id")), c("grpvar", "term", "grp", "condval"))
  expect_output(print(effects), "posterior covariances for \"id\"")
})

test_that("components have lme4's names", {
  fit <- several_fit(several_world(), iter = 30)
  all <- getME(fit, "ALL")
  expect_equal(all$X, model.matrix(fit))
  expect_equal(dim(all$Z), c(24, 16))
  expect_equal(as.matrix(all$Z), as.matrix(model.matrix(fit, "random")))
  expect_equal(all$y, several_world()$data$Y, ignore_attr = TRUE)
  expect_equal(unname(as.matrix(all$Z %*% do.call(rbind, ranef(fit))) + all$X %*% all$beta), all$mu)
  expect_equal(c(all$n, all$p, all$q, all$n_rtrms), c(24, 2, 16, 2))
  expect_error(getME(fit, "theta"), "VarCorr", class = "fastlmm_error_component")
})

test_that("a new level of an effect without a kernel is not told to give one", {
  fit <- several_fit(several_world(), iter = 30)
  of <- function(id, block) conditionMessage(expect_error(predict(fit, data.frame(sex = 1, id = id, block = block)), class = "fastlmm_error_new_levels"))
  expect_match(of("i1", "b9"), "1 level of \"block\" .*: \"b9\"; give allow.new.levels = TRUE")
  expect_no_match(of("i1", "b9"), "K =")
  expect_match(of("i99", "b1"), "1 id of \"id\" .*; give K =")
})

test_that("draws of the prior are of each effect", {
  prior <- slam_prior(residual = fixed_variance(c(a = 1, b = 2, c = 3)), h2 = dirichlet_prior(c(id = 4, block = 1, residual = 2)))
  draws <- slam_prior_draws(prior, n = 4000, n_factors = 0, seed = 1)
  expect_equal(dimnames(draws$P)[[1]], c("a", "b", "c"))
  expect_equal(vapply(draws$h2, mean, 0), c(id = 4, block = 1) / 7, tolerance = 0.03)
  expect_equal(draws$G$id + draws$G$block + draws$R, draws$P)
  expect_equal(draws$h2$block["b", ], draws$G$block["b", "b", ] / draws$P["b", "b", ])
  whole <- slam_prior_draws(prior, n = 100, seed = 1)
  expect_equal(whole$rg$id[1, 2, ], whole$G$id[1, 2, ] / sqrt(whole$G$id[1, 1, ] * whole$G$id[2, 2, ]))
  expect_output(print(whole), "h2_block.*rg_id")
  # functions need the names
  favour <- slam_prior(h2 = function(h) h[, "id"] > h[, "block"])
  expect_error(slam_prior_draws(favour, n = 5), "with one random effect the points are a vector", class = "fastlmm_error_prior")
  expect_true(all(with(slam_prior_draws(favour, n = 50, n_factors = 0, effects = c("id", "block"), seed = 1)$h2, id > block)))
  expect_error(slam_prior_draws(prior, n = 5, effects = c("id", "plot")), "there is no \"block\", and it lacks \"plot\"", class = "fastlmm_error_prior")
  for (bad in list(1, character(), c("a", "a"), letters[1:5])) expect_error(slam_prior_draws(n = 5, effects = bad), "effects", class = "fastlmm_error_argument")
  # one named effect is one
  expect_equal(dim(slam_prior_draws(slam_prior(h2 = dirichlet_prior(c(id = 4, residual = 2))), n = 5)$G), c(2, 2, 5))
  expect_error(slam_prior_draws(prior, p = 2, n = 5), "names 3 responses, and p is 2", class = "fastlmm_error_prior")
})
