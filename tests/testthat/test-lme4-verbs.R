# What lme4's own test cases ask of a fit: names, components, and what update() does to a formula.

skip_if_not_installed("lme4")
quiet <- suppressMessages
slopes <- quiet(fastlmm_fit(Reaction ~ Days + (Days || Subject), lme4::sleepstudy))
nested <- quiet(fastlmm_fit(strength ~ 1 + (1 | batch / cask), lme4::Pastes))

test_that("a double bar is kept as its terms, and update() takes one of them out", {
  expect_equal(deparse1(formula(slopes)), "Reaction ~ Days + (1 | Subject) + (0 + Days | Subject)")
  theirs <- lme4::lmer(Reaction ~ Days + (1 | Subject), lme4::sleepstudy)
  expect_equal(c(logLik(update(slopes, . ~ . - (0 + Days | Subject)))), c(logLik(theirs)), tolerance = 1e-8)
  expect_equal(logLik(update(slopes, . ~ . - (Days || Subject) + (1 | Subject))), logLik(update(slopes, . ~ . - (0 + Days | Subject))))
  expect_equal(predict(slopes, re.form = ~ (Days || Subject)), predict(slopes))
  for (change in list(. ~ . - (Days - 1 | Subject), . ~ . - Day, . ~ . - (1 | subject) + 0)) {
    expect_warning(update(slopes, change, evaluate = FALSE), class = "fastlmm_warning_not_removed")
  }
  expect_warning(update(slopes, . ~ . - 1 - Days, evaluate = FALSE), NA)
  many <- quiet(fastlmm_fit(cbind(Reaction, Days) ~ 1 + (1 | Subject), lme4::sleepstudy))
  expect_warning(update(many, . ~ . - x, evaluate = FALSE), class = "fastlmm_warning_not_removed")
})

test_that("a bar that is the whole right side needs no parentheses", {
  expect_equal(
    fixef(fastlmm_fit(Reaction ~ 1 | Subject, lme4::sleepstudy)), lme4::fixef(lme4::lmer(Reaction ~ 1 | Subject, lme4::sleepstudy)), tolerance = 1e-6
  )
  expect_error(fastlmm_fit(Reaction ~ Days + 1 | Subject, lme4::sleepstudy), class = "fastlmm_error_bar_parentheses")
})

test_that("getME() has lme4's components under lme4's names", {
  pairs <- list(
    list(slopes, lme4::lmer(Reaction ~ Days + (Days || Subject), lme4::sleepstudy)),
    list(nested, lme4::lmer(strength ~ 1 + (1 | batch / cask), lme4::Pastes)),
    list(
      quiet(fastlmm_fit(Reaction ~ Days + (1 | Subject), lme4::sleepstudy, weights = rep(1:2, 90), method = "ML")),
      lme4::lmer(Reaction ~ Days + (1 | Subject), lme4::sleepstudy, weights = rep(1:2, 90), REML = FALSE)
    )
  )
  for (pair in pairs) {
    ours <- function(name) getME(pair[[1]], name)
    theirs <- function(name) lme4::getME(pair[[2]], name)
    for (name in c("theta", "lower", "Gp", "n_rtrms", "n_rfacs")) expect_equal(ours(name), theirs(name), tolerance = 1e-3)
    expect_equal(ours("devcomp")$dims, theirs("devcomp")$dims)
    expect_equal(ours("devcomp")$cmp, theirs("devcomp")$cmp, tolerance = 1e-3)
    expect_named(ours("Ztlist"), names(theirs("Ztlist")))
    expect_equal(unname(as.matrix(do.call(rbind, ours("Ztlist")))), unname(as.matrix(theirs("Zt"))))
    expect_equal(unname(as.matrix(ours("Lambdat"))), unname(as.matrix(theirs("Lambdat"))), tolerance = 1e-3)
    named <- rownames(confint(pair[[1]], method = "Wald", oldNames = FALSE))
    expect_equal(named[!startsWith(named, "h2")], rownames(confint(pair[[2]], method = "Wald", oldNames = FALSE)))
  }
  expect_equal(rownames(confint(nested, "theta_", method = "Wald"))[1:3], c(".sig01", ".sig02", ".sigma"))
})

test_that("with kernels Lambda'Lambda, u'u and the determinant are those of the definition", {
  set.seed(1)
  ids <- paste0("i", 1:12)
  W <- matrix(rnorm(12 * 5), 12, dimnames = list(ids, NULL))
  K <- tcrossprod(matrix(rnorm(12 * 20), 12)) / 20
  dimnames(K) <- list(ids, ids)
  d <- data.frame(id = rep(ids[1:10], 3), b = rep(ids[3:12], each = 3), x = rnorm(30), w = runif(30, 0.5, 2))
  d$y <- drop(W %*% rnorm(5))[d$id] + 2 * drop(t(chol(K)) %*% rnorm(12))[match(d$b, ids)] + rnorm(30)
  fit <- quiet(fastlmm_fit(y ~ x + (1 | id) + (1 | b), d, K = list(id = kernel_lowrank(W), b = K), weights = w))
  Lambdat <- as.matrix(getME(fit, "Lambdat"))
  G <- as.matrix(Matrix::bdiag(fit$sigma2[[1]] * tcrossprod(W), fit$sigma2[[2]] * K))
  expect_equal(crossprod(Lambdat) * fit$sigma2_e, G, ignore_attr = TRUE)
  ZL <- as.matrix(getME(fit, "Z")) %*% t(Lambdat)
  cmp <- getME(fit, "devcomp")$cmp
  expect_equal(cmp[["ldL2"]], c(determinant(crossprod(ZL * sqrt(d$w)) + diag(ncol(ZL)))$modulus))
  expect_equal(cmp[["pwrss"]], sum((30 - 2) * fit$sigma2_e))
  expect_equal(cmp[["wrss"]], sum(d$w * (d$y - fitted(fit))^2))
})

test_that("an effect of which X leaves nothing is left out with a warning, alone or beside others, in the fit of one response", {
  set.seed(2)
  d <- data.frame(g = gl(5, 8), b = gl(4, 1, 40), y = rnorm(40), z = rnorm(40))
  d$y <- d$y + rnorm(4)[d$b]
  expect_warning(alone <- fastlmm_fit(y ~ g + (1 | g), d), class = "fastlmm_warning_confounded")
  expect_equal(fixef(alone), coef(lm(y ~ g, d)))
  expect_warning(both <- fastlmm_fit(y ~ g + (1 | g) + (1 | b), d), "\"g\"", class = "fastlmm_warning_confounded")
  without <- fastlmm_fit(y ~ g + (1 | b), d)
  for (read in list(logLik, fixef, VarCorr, ranef, fitted, function(fit) predict(fit, d, se.fit = TRUE))) expect_equal(read(both), read(without))
  none <- quiet(suppressWarnings(fastlmm_fit(y ~ g:b + (1 | g) + (1 | b), d)))
  expect_equal(c(logLik(none)), c(logLik(lm(y ~ g:b, d), REML = TRUE)))
  many <- suppressWarnings(fastlmm_fit(cbind(y, z) ~ g + (1 | g) + (1 | b), d))
  expect_equal(unname(many$status), rep("confounded", 2))
})
