# Fits that a release leaves behind, and what each verb says of them. What is stored must load for ever: change nothing here for a model that is stored, add
# one.

stored_world <- function() {
  set.seed(151)
  ids <- paste0("i", 1:8)
  W <- matrix(round(stats::rnorm(32), 3), 8, dimnames = list(ids, paste0("w", 1:4)))
  d <- data.frame(id = rep(ids, 2), x = round(stats::rnorm(16), 3), u = round(stats::runif(16), 3), v = round(stats::runif(16), 3))
  d$y <- round(1 + d$x + drop(W %*% stats::rnorm(4))[d$id] + stats::rnorm(16), 3)
  d$y2 <- round(stats::rnorm(16), 3)
  d <- transform(d, block = paste0("b", rep(1:4, 4)), half = rep(c("first", "last"), each = 8), n = round(exp(y / 2)), n2 = round(exp(y2)))
  G <- matrix(c(0, 1, 2, 1, 0, 0, 1, 2, 2, 2, 1, 0, 1, 0, 0, 1), 8, dimnames = list(ids, c("s1", "s2")))
  list(d = d, W = W, K = tcrossprod(W) / 4 + diag(8) / 4, G = G)
}

stored_models <- list(
  dense = function(w) fastlmm_fit(y ~ x + (1 | id), w$d, w$K),
  lowrank = function(w) fastlmm_fit(y ~ x + (1 | id), w$d, kernel_lowrank(w$W), method = "ML"),
  many = function(w) fastlmm_fit(cbind(y, y2) ~ x + (1 | id), w$d, w$K),
  mix = function(w) fastlmm_fit(y ~ x + (1 + x || id), w$d, w$K),
  gp_exact = function(w) fastlmm_fit(y ~ x + gp(u, v, basis = "exact"), w$d),
  gp_fourier = function(w) fastlmm_fit(y ~ x + gp(u, cov = "exp_quad", lengthscale = 0.5, tol = 0.1, basis = "fourier"), w$d),
  scan = function(w) fastlmm_scan(fastlmm_fit(y ~ x + (1 | id), w$d, w$K), w$G),
  permutation = function(w) fastlmm_permute(fastlmm_fit(y ~ x + (1 | id), w$d, w$K), w$G, 20, seed = 1, progress = FALSE),
  slam = function(w) quiet_chains(
    slamglmm_fit(cbind(y, y2) ~ x + (1 | id), w$d, w$K, n_factors = 1, chains = 1, iter = 12, warmup = 4, seed = 1, progress = FALSE)
  ),
  # since 0.2.0
  correlated = function(w) fastlmm_fit(y ~ x + (1 + x | id), w$d, w$K),
  crossed = function(w) fastlmm_fit(y ~ x + (1 | id) + (1 | block), w$d),
  levels = function(w) fastlmm_fit(y ~ x + (1 | id), w$d, w$K, residual = ~half),
  known = function(w) fastlmm_fit(y ~ x + (1 | id), w$d, w$K, weights = 1 / (u + 0.1), sigma2_e = 1),
  precision = function(w) fastlmm_fit(y ~ x + (1 | id), w$d, kernel_precision(solve(w$K))),
  gp_many = function(w) fastlmm_fit(cbind(y, y2) ~ x + gp(u, v), w$d),
  slam_counts = function(w) quiet_chains(
    slamglmm_fit(cbind(n, n2) ~ x + (1 | id), w$d, w$K, family = poisson(), n_factors = 1, chains = 1, iter = 12, warmup = 4, seed = 1, progress = FALSE)
  ),
  slam_several = function(w) quiet_chains(
    slamglmm_fit(cbind(y, y2) ~ x + (1 | id) + (1 | block), w$d, list(id = w$K), n_factors = 1, chains = 1, iter = 12, warmup = 4, seed = 1, progress = FALSE)
  )
)

# A chain with a directory, from which restore() goes on
stored_chain <- function(w, directory) {
  quiet_chains(
    slamglmm_fit(cbind(y, y2) ~ x + (1 | id), w$d, w$K, n_factors = 1, chains = 1, iter = 12, warmup = 4, seed = 1, dir = directory, progress = FALSE)
  )
}

# The numbers of each verb; an error is stored by its class.
stored_answers <- function(name, fit) {
  answers <- lapply(stored_verbs(name), function(verb) tryCatch(quietly_stored(verb(fit, stored_world())), error = function(e) class(e)[1]))
  lapply(answers, stored_numbers)
}

stored_verbs <- function(name) {
  table <- list(
    table = function(fit, w) as.data.frame(fit), summary = function(fit, w) released_parts(unclass(summary(fit))),
    printed = function(fit, w) utils::capture.output(print(fit))
  )
  model <- list(
    coef = function(fit, w) coef(fit), vcov = function(fit, w) vcov(fit), logLik = function(fit, w) as.numeric(logLik(fit)),
    VarCorr = function(fit, w) as.data.frame(VarCorr(fit)), fitted = function(fit, w) fitted(fit),
    residuals = function(fit, w) residuals(fit), predict = function(fit, w) predict(fit, w$d[1:3, ]),
    se = function(fit, w) predict(fit, w$d[1:3, ], se.fit = TRUE), ranef = function(fit, w) ranef(fit),
    simulate = function(fit, w) dim(as.data.frame(simulate(fit, 1, seed = 1))), confint = function(fit, w) confint(fit, "h2"),
    scan = function(fit, w) as.data.frame(fastlmm_scan(fit, w$G)),
    summary = function(fit, w) coef(summary(fit)), refit = function(fit, w) coef(refit(fit, rev(w$d$y))),
    printed = function(fit, w) utils::capture.output(print(fit))
  )
  slam <- list(
    summary = function(fit, w) summary(fit), fitted = function(fit, w) fitted(fit), predict = function(fit, w) predict(fit, w$d[1:3, ]),
    h2 = function(fit, w) h2(fit), loadings = function(fit, w) loadings(fit), P = function(fit, w) P(fit)
  )
  switch(name, scan = , permutation = table, slam = , slam_counts = , slam_several = slam, model)
}

# Of the summary of a scan what 0.1.0.9000 had when it was stored: parts were added since.
released_parts <- function(x) {
  x <- x[setdiff(names(x), c("counts", "threshold", "placed", "hits"))]
  if (is.data.frame(x$responses)) x$responses <- x$responses[setdiff(names(x$responses), c("lambda_low", "lambda_high"))]
  x
}

# Plain numbers and words, whatever holds them
stored_numbers <- function(x) {
  x <- unlist(x, use.names = FALSE)
  if (is.null(x)) NULL else if (is.numeric(x) || is.logical(x)) as.numeric(x) else as.character(x)
}

quietly_stored <- function(e) suppressWarnings(suppressMessages(e))
