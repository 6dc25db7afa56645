test_that("components equal lme4's", {
  each_lme4_pair(function(pair, label) {
    for (name in c("n", "p", "q", "REML", "is_REML")) {
      expect_equal(getME(pair$ours, name), lme4::getME(pair$theirs, name), info = paste(label, name), ignore_attr = TRUE)
    }
    for (name in c("X", "y", "offset", "fixef", "beta", "theta", "lower", "sigma", "mu")) {
      expect_equal(
        getME(pair$ours, name), lme4::getME(pair$theirs, name),
        tolerance = 1e-5, info = paste(label, name), ignore_attr = TRUE
      )
    }
    Z <- lme4::getME(pair$theirs, "Z")
    expect_equal(as.matrix(getME(pair$ours, "Z"))[, colnames(Z)], as.matrix(Z), info = label)
  })
})

test_that("correlated terms stand in lme4's order", {
  skip_if_not_installed("lme4")
  set.seed(3)
  data <- data.frame(g = factor(rep(1:30, each = 8)), h = factor(rep(1:8, 30)), x = rnorm(240))
  data$y <- rnorm(30)[data$g] + rnorm(30)[data$g] * data$x + rnorm(8)[data$h] + rnorm(240)
  models <- list(
    list(Reaction ~ Days + (Days | Subject), lme4::sleepstudy), list(y ~ x + (x | g) + (1 | h), data), list(y ~ x + (1 | g) + (1 + x + I(x^2) | h), data)
  )
  for (model in models) {
    ours <- suppressMessages(fastlmm_fit(model[[1]], model[[2]]))
    theirs <- suppressMessages(lme4::lmer(model[[1]], model[[2]]))
    for (name in c("Z", "Zt", "Lambda", "Lambdat", "b")) {
      expect_equal(as.matrix(getME(ours, name)), as.matrix(lme4::getME(theirs, name)), tolerance = 2e-3, ignore_attr = TRUE, info = name)
    }
    expect_identical(colnames(getME(ours, "Z")), colnames(lme4::getME(theirs, "Z")))
    for (name in c("theta", "lower", "Gp", "cnms", "n_rtrms", "n_rfacs", "q")) expect_equal(
      getME(ours, name), lme4::getME(theirs, name), tolerance = 2e-3, info = name
    )
    expect_equal(lapply(getME(ours, "Ztlist"), as.matrix), lapply(lme4::getME(theirs, "Ztlist"), as.matrix), ignore_attr = TRUE)
    expect_equal(lapply(getME(ours, "flist"), as.integer), lapply(lme4::getME(theirs, "flist"), as.integer))
    expect_equal(as.numeric(getME(ours, "Z") %*% getME(ours, "b")), unname(fitted(ours) - predict(ours, re.form = NA)), tolerance = 1e-10)
    expect_identical(model.matrix(ours, "random", data = model[[2]]), getME(ours, "Z"))
    # Henderson's equations in the same order
    Z <- as.matrix(getME(ours, "Z"))
    X <- getME(ours, "X")
    G <- ours$sigma2_e * as.matrix(Matrix::tcrossprod(getME(ours, "Lambda")))
    left <- crossprod(cbind(Z, X)) / ours$sigma2_e + as.matrix(Matrix::bdiag(solve(G), diag(0, ncol(X))))
    expect_equal(unname(vcov(ours, full = TRUE)), unname(solve(left)), tolerance = 1e-7)
  }
})

test_that("correlated terms with a kernel make V, too", {
  set.seed(4)
  ids <- paste0("i", 1:10)
  K <- tcrossprod(matrix(rnorm(10 * 20), 10)) / 20
  dimnames(K) <- list(ids, ids)
  data <- data.frame(id = rep(ids[1:9], 6), x = rnorm(54))
  u <- t(chol(K)) %*% matrix(rnorm(20), 10)
  data$y <- u[match(data$id, ids), 1] + u[match(data$id, ids), 2] * data$x + 0.5 * rnorm(54)
  fit <- suppressMessages(fastlmm_fit(y ~ x + (x | id), data, K))
  part <- getME(fit, c("Z", "Lambda", "b"))
  z <- cbind(1, data$x)
  expect_equal(
    as.matrix(fit$sigma2_e * part$Z %*% Matrix::tcrossprod(part$Lambda) %*% Matrix::t(part$Z)), (z %*% VarCorr(fit)$id[, ] %*% t(z)) * K[data$id, data$id],
    ignore_attr = TRUE
  )
  expect_equal(part$b, c(t(as.matrix(ranef(fit, which = "all")$id))), ignore_attr = TRUE)
})

test_that("the components make V", {
  fit <- kernel_fit()
  part <- getME(fit, c("Z", "K", "sigma2", "sigma2_e", "weights"))
  V <- part$sigma2 * part$Z %*% part$K %*% Matrix::t(part$Z) + part$sigma2_e * diag(1 / part$weights)
  expect_equal(as.matrix(V), kernel_dense()$V, tolerance = 1e-10, ignore_attr = TRUE)
})

test_that("lme4's own getME and isSingular work", {
  skip_if_not_installed("lme4")
  fit <- lme4_pair("sleepstudy")$ours
  expect_equal(lme4::getME(fit, "theta"), getME(fit, "theta"))
  expect_false(lme4::isSingular(fit))
  expect_equal(getME(lme4_pair("sleepstudy")$theirs, "p"), 2)
  expect_false(isSingular(lme4_pair("sleepstudy")$theirs))
})

test_that("ALL gives everything and an unknown name is an error", {
  all <- getME(kernel_fit(), "ALL")
  expect_true(all(c("X", "Z", "K", "theta", "flist") %in% names(all)))
  expect_error(getME(kernel_fit(), "thetta"), class = "fastlmm_error_component")
  expect_error(getME(1, "theta"), class = "fastlmm_error_not_a_fit")
  expect_snapshot(error = TRUE, getME(kernel_fit(), c("X", "thetta")))
  expect_snapshot(error = TRUE, isSingular(1))
})

test_that("isSingular says whether sigma2 is zero", {
  each_lme4_pair(function(pair, label) {
    expect_identical(isSingular(pair$ours), lme4::isSingular(pair$theirs), info = label)
  })
  given <- kernel_data()
  tiny <- fastlmm_fit(y ~ x + (1 | id), given$data, K = given$K * 1e20)
  expect_false(isSingular(tiny))
})
