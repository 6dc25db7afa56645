# Coverage by slamglmm_fit() with two random effects and with families: make check-long.

held <- function(table, truth, names) {
  at <- cbind(match(table$response1, names), match(table$response2, names))
  mean(table$low <= truth[at] & truth[at] <= table$high)
}

# Parts of the 90 percent intervals of one data set that hold the truth
covered_several <- function(seed, p = 3) {
  set.seed(1000 + seed)
  random <- function() cov2cor(crossprod(matrix(rnorm((p + 3) * p), p + 3)))
  part <- matrix(rgamma(3 * p, 2), p)
  part <- part / rowSums(part)
  covariance <- lapply(1:3, function(r) random() * sqrt(outer(part[, r], part[, r])))
  line <- rep(sprintf("l%02d", 1:50), 4)
  block <- sprintf("b%02d", sample(rep(1:40, 5)))
  draw <- function(groups, V) matrix(rnorm(length(unique(groups)) * p), ncol = p)[match(groups, unique(groups)), ] %*% chol(V)
  Y <- draw(line, covariance[[1]]) + draw(block, covariance[[2]]) + matrix(rnorm(200 * p), 200) %*% chol(covariance[[3]])
  colnames(Y) <- paste0("t", seq_len(p))
  fit <- quiet_slam(Y ~ 1 + (1 | line) + (1 | block), data.frame(line, block, Y = I(Y)), chains = 2, iter = 1500, warmup = 500, seed = seed)
  c(
    line = held(fastlmm::G(fit, "line", level = 0.9), covariance[[1]], colnames(Y)),
    block = held(fastlmm::G(fit, "block", level = 0.9), covariance[[2]], colnames(Y)),
    R = held(fastlmm::R(fit, level = 0.9), covariance[[3]], colnames(Y)),
    rg = held(fastlmm::rg(fit, "line", level = 0.9), cov2cor(covariance[[1]]), colnames(Y))
  )
}

test_that("intervals of two effects hold the truth", {
  skip_if_not(is_long(), "slow; make check-long runs it")
  parts <- rowMeans(vapply(1:40, covered_several, numeric(4)))
  if (nzchar(Sys.getenv("SHOW_COVERAGE"))) message(paste(names(parts), round(parts, 3), collapse = ", "))
  # few rows and full-rank covariances that no prior of loadings likes: measured .83 (line), .79 (block), .88 (R), .81 (rg)
  expect_true(all(parts > 0.75 & parts < 0.98), info = toString(round(parts, 3)))
})

# Of coefficients of a covariate and of the variance of the effect, of two responses alike
covered_family <- function(seed, family, datum) {
  set.seed(2000 + seed)
  id <- rep(sprintf("i%02d", 1:60), 5)
  x <- rnorm(300)
  u <- matrix(rnorm(120), 60) %*% chol(0.5 * matrix(c(1, 0.5, 0.5, 1), 2))
  eta <- 0.5 + outer(x, c(0.5, -0.3)) + u[match(id, unique(id)), ] + sqrt(0.3) * matrix(rnorm(600), 300)
  Y <- structure(datum(eta), dim = dim(eta), dimnames = list(NULL, c("a", "b")))
  weights <- if (identical(family()$family, "binomial")) matrix(8, 300, 2)
  fit <- quiet_slam(Y ~ x + (1 | id), data.frame(id, x, Y = I(Y)), family = family(), weights = weights, chains = 2, iter = 3000, warmup = 1000, seed = seed)
  ends <- confint(fit, c("B[x,a]", "B[x,b]", "G[a]", "G[b]", "G[a,b]"), level = 0.9)
  truth <- c(0.5, 0.5, 0.25, 0.5, -0.3)[match(rownames(ends), c("G[a]", "G[b]", "G[a,b]", "B[x,a]", "B[x,b]"))]
  inside <- ends[, 1] <= truth & truth <= ends[, 2]
  c(B = mean(inside[grepl("^B", rownames(ends))]), G = mean(inside[grepl("^G", rownames(ends))]))
}

test_that("intervals of families hold the truth", {
  skip_if_not(is_long(), "slow; make check-long runs it")
  cases <- list(
    poisson = list(stats::poisson, function(eta) rpois(length(eta), exp(eta))),
    negative_binomial = list(negative_binomial, function(eta) rnbinom(length(eta), size = 3, mu = exp(eta))),
    binomial = list(stats::binomial, function(eta) rbinom(length(eta), 8, plogis(eta)) / 8)
  )
  for (name in names(cases)) {
    parts <- rowMeans(vapply(1:40, covered_family, numeric(2), family = cases[[name]][[1]], datum = cases[[name]][[2]]))
    if (nzchar(Sys.getenv("SHOW_COVERAGE"))) message(name, ": ", paste(names(parts), round(parts, 3), collapse = ", "))
    expect_true(all(parts > 0.8 & parts < 0.98), info = paste(name, toString(round(parts, 3))))
  }
})
