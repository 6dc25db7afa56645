# Draws by name, against the matrices of all draws that G() and its like give, and coefficients and parameters as the chains hold them.

variables_world <- function() {
  set.seed(11)
  id <- paste0("i", rep(1:25, 2))
  effect <- matrix(rnorm(75), 25)[rep(1:25, 2), ]
  data <- data.frame(id = id, block = paste0("b", rep(1:5, 10)), x = rnorm(50))
  data$Y <- cbind(a = effect[, 1] + rnorm(50), b = effect[, 1] + effect[, 2] + rnorm(50), c = rpois(50, exp(1 + effect[, 3])))
  data
}

variables_fit <- function(formula = Y ~ x + (1 | id), ...) quiet_slam(
  formula, variables_world(), family = list(c = negative_binomial()), chains = 2, iter = 40, seed = 1, ...
)

# iterations x chains of numbers in the order of the draws
by_chain <- function(values, fit) matrix(values, ncol = fit$plan$chains)

expect_pairs <- function(all, fit, name, draws, diagonal) {
  names <- dimnames(all)[[3]]
  pairs <- which(upper.tri(diag(3), diag = diagonal), arr.ind = TRUE)
  traits <- colnames(fit$Y)
  expect_length(names, nrow(pairs))
  for (row in seq_len(nrow(pairs))) {
    two <- traits[pairs[row, ]]
    wanted <- paste0(name, "[", if (two[1] == two[2]) two[1] else paste(two, collapse = ","), "]")
    expect_equal(all[, , wanted], by_chain(draws[two[1], two[2], ], fit), ignore_attr = TRUE)
  }
}

test_that("covariances and correlations by kind are those of each draw", {
  fit <- variables_fit()
  verbs <- list(G = G, R = R, P = P, rg = rg, re = re, rp = rp)
  for (name in names(verbs)) expect_pairs(
    fastlmm:::invariant_draws(fit, variable = name), fit, name, verbs[[name]](fit, draws = TRUE), !name %in% c("rg", "re", "rp")
  )
  several <- variables_fit(Y ~ 1 + (1 | id) + (1 | block))
  for (effect in c("id", "block")) {
    kind <- paste0("G_", effect)
    expect_pairs(fastlmm:::invariant_draws(several, variable = kind), several, kind, G(several, effect, draws = TRUE), TRUE)
  }
  both <- dimnames(fastlmm:::invariant_draws(several, variable = "rg"))[[3]]
  expect_setequal(sub("\\[.*", "", both), c("rg_id", "rg_block"))
  expect_length(both, 6)
})

test_that("correlations of P are made of P, and its table is that of each draw", {
  fit <- variables_fit()
  all <- P(fit, draws = TRUE)
  expect_equal(rp(fit, draws = TRUE), array(apply(all, 3, stats::cov2cor), dim(all), dimnames(all)))
  expect_identical(phenotypic_correlation(fit), rp(fit))
  table <- rp(fit, level = 0.8)
  expect_equal(table$low[2], quantile(rp(fit, draws = TRUE)["a", "c", ], 0.1), ignore_attr = TRUE)
  expect_error(rp(lm(1:3 ~ 1)), class = "fastlmm_error_class")
})

test_that("single quantities come in the order in which they are asked for, by responses in any order", {
  fit <- variables_fit(cis = list(b = ~x), formula = Y ~ 1 + (1 | id))
  all <- fastlmm:::invariant_draws(fit, variable = c("rg[c,a]", "dispersion[c]", "B[x,b]", "G[b,b]", "h2[b]"))
  expect_identical(dimnames(all)[[3]], c("rg[a,c]", "dispersion[c]", "B[x,b]", "G[b]", "h2[b]"))
  expect_equal(all[, , 1], by_chain(rg(fit, draws = TRUE)["c", "a", ], fit), ignore_attr = TRUE)
  # one parameter a draw
  expect_equal(all[, , 2], sapply(fit$draws, function(chain) chain$link[1, ]), ignore_attr = TRUE)
  expect_equal(all[, , 3], by_chain(fastlmm:::cis_draws(fit)[, "x,b"], fit), ignore_attr = TRUE)
  expect_equal(all[, , 4], by_chain(G(fit, draws = TRUE)["b", "b", ], fit), ignore_attr = TRUE)
  expect_equal(all[, , 5], by_chain(h2(fit, draws = TRUE)["b", ], fit), ignore_attr = TRUE)
  pattern <- fastlmm:::invariant_draws(fit, variable = "^r[ep].*a", regex = TRUE)
  expect_identical(dimnames(pattern)[[3]], c("re[a,b]", "re[a,c]", "rp[a,b]", "rp[a,c]"))
  of_two <- fastlmm:::invariant_draws(fit, traits = c("c", "a"), variable = c("re", "parameters"))
  expect_identical(dimnames(of_two)[[3]], c("re[c,a]", "dispersion[c]"))
  shared <- variables_fit(cis = list(b = ~ block))
  expect_equal(
    fastlmm:::invariant_draws(shared, variable = c("B[blockb3,b]", "B[x,c]")),
    fastlmm:::invariant_draws(shared, variable = "B")[, , c("B[blockb3,b]", "B[x,c]")]
  )
})

test_that("what is not chosen is cheap: variances, coefficients and parameters", {
  fit <- variables_fit()
  names <- dimnames(fastlmm:::invariant_draws(fit))[[3]]
  of <- function(kind) paste0(kind, "[", c("a", "b", "c"), "]")
  expect_identical(
    names, c(of("h2"), of("G"), of("R"), paste0("B[", rep(c("(Intercept)", "x"), 3), ",", rep(c("a", "b", "c"), each = 2), "]"), "dispersion[c]")
  )
  expect_identical(dimnames(as.data.frame(fit))[[2]], c(".chain", ".iteration", names))
  alone <- suppressWarnings(
    quiet_slam(Y ~ 1 + (1 | row), data.frame(row = as.character(1:50), Y = I(variables_world()$Y[, 1:2])), chains = 2, iter = 40, seed = 1)
  )
  expect_identical(dimnames(fastlmm:::invariant_draws(alone))[[3]], c("P[a]", "P[b]", "B[(Intercept),a]", "B[(Intercept),b]"))
  expect_error(fastlmm:::invariant_draws(alone, variable = "G"), class = "fastlmm_error_variable")
})

test_that("names that are not there are told with those that are near", {
  fit <- variables_fit()
  expect_error(fastlmm:::invariant_draws(fit, variable = "rg[a,d]"), "did you mean", class = "fastlmm_error_variable")
  expect_error(fastlmm:::invariant_draws(fit, variable = "heritability"), "there are h2, G, R", class = "fastlmm_error_variable")
  expect_error(fastlmm:::invariant_draws(fit, variable = "["), class = "fastlmm_error_variable")
  expect_error(fastlmm:::invariant_draws(fit, variable = "[", regex = TRUE), "regular", class = "fastlmm_error_variable")
  expect_error(fastlmm:::invariant_draws(fit, variable = "zz", regex = TRUE), class = "fastlmm_error_variable")
  expect_error(fastlmm:::invariant_draws(fit, variable = 3), class = "fastlmm_error_variable")
  expect_error(fastlmm:::check_variables_memory(1e6, 1e5, available = 2^30), "variable =", class = "fastlmm_error_memory")
  expect_error(fastlmm:::whole_kind(list(G = list(count = 2001 * 2002 / 2)), "G"), class = "fastlmm_error_memory")
})

test_that("posterior and coda take what is chosen", {
  fit <- variables_fit()
  skip_if_not_installed("posterior")
  draws <- posterior::as_draws(fit, variable = c("re", "dispersion"))
  expect_identical(posterior::variables(draws), c("re[a,b]", "re[a,c]", "re[b,c]", "dispersion[c]"))
  expect_equal(as.numeric(posterior::summarise_draws(draws, "mean")$mean)[1:3], re(fit)[upper.tri(diag(3))])
  skip_if_not_installed("coda")
  expect_identical(coda::varnames(coda::as.mcmc.list(fit, variable = "rp")), c("rp[a,b]", "rp[a,c]", "rp[b,c]"))
})
