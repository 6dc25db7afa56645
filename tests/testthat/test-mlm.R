# Every column of a fit of many responses is its single fit.

# 30 ids of 40 in K, one to three rows each; six responses: signal, noise, missing cells (two with the same), an id without rows
mlm_data <- function() {
  once("mlm data", local({
    given <- kernel_data()
    d <- given$data
    set.seed(5)
    n <- nrow(d)
    Y <- cbind(a = d$y, b = rnorm(n), c = 1e6 * d$y + 2e6 * rnorm(n), d = d$y, e = d$y + rnorm(n), h = d$y^2)
    Y[c(3, 8), "c"] <- NA
    Y[c(3, 8), "d"] <- NA
    Y[d$id == d$id[1], "e"] <- NA
    d$Y <- Y
    list(d = cbind(d[names(d) != "Y"], as.data.frame(Y)), Y = Y, K = given$K)
  }))
}

quiet <- function(expr) suppressWarnings(suppressMessages(expr))

single_formula <- function(formula, name) {
  formula[[2]] <- as.name(name)
  formula
}

expect_columns_equal <- function(many, formula, data, ...) {
  for (name in colnames(many$y)) {
    one <- quiet(fastlmm_fit(single_formula(formula, name), data, ...))
    expect_equal(many$logLik[[name]], one$logLik, tolerance = 1e-10, label = name)
    expect_equal(many$coefficients[, name], one$coefficients, tolerance = 1e-6, label = name)
    expect_equal(matrix(many$vcov[one$kept, one$kept, name], length(one$kept)), unname(one$vcov), tolerance = 1e-6)
    for (part in c("sigma2", "sigma2_e", "delta", "h2")) {
      of <- function(x) if (is.matrix(x)) unname(x[, name]) else x[[name]]
      expect_equal(of(many[[part]]), unname(one[[part]]), tolerance = 1e-6, label = paste(name, part))
      expect_equal(of(many$se[[part]]), unname(one$se[[part]]), tolerance = 1e-5, label = paste(name, "se of", part))
    }
    expect_identical(c(many$status[[name]], many$boundary[[name]]), c(one$status, one$optimum$boundary))
    expect_identical(unname(c(many$nobs[name], many$rank[name])), c(one$nobs, one$rank))
    seen <- !is.na(many$y[, name])
    scale <- max(abs(one$y))
    rows <- rownames(many$y)[seen]
    expect_equal(fitted(many)[rows, name] / scale, fitted(one)[rows] / scale, tolerance = 1e-7)
    expect_identical(rownames(residuals(many))[!is.na(residuals(many)[, name])], rows)
    for (label in names(one$random)) {
      u <- ranef(one, condVar = FALSE, which = "all")[[one$random[[label]]$name]]
      if (length(u) == 1) expect_equal(ranef(many, which = "all")[[label]][rownames(u), name] / scale, u[[1]] / scale, tolerance = 1e-7, ignore_attr = TRUE)
    }
  }
}

test_that("columns equal single fits: dense, low-rank and independent ids, REML and ML, weights, offset, slopes", {
  g <- mlm_data()
  Y <- g$Y
  W <- matrix(sin(seq_len(40 * 6)^1.5), 40, dimnames = list(rownames(g$K), NULL))
  run <- function(formula, ...) expect_columns_equal(quiet(fastlmm_fit(formula, g$d, ...)), formula, g$d, ...)
  for (method in c("REML", "ML")) {
    run(Y ~ x + offset(o) + (1 | id), K = g$K, method = method, weights = w)
    run(Y ~ x + (1 | id), K = list(id = kernel_lowrank(W)), method = method)
    run(Y ~ x + (1 | id), method = method, weights = w)
    run(Y ~ x + I(2 * x) + (0 + o | id), K = g$K, method = method)
  }
})

test_that("columns with several random effects are fitted one by one", {
  g <- mlm_data()
  Y <- g$Y[, c("a", "e")]
  g$d$block <- rep(1:5, 15)
  formula <- Y ~ x + (1 | id) + (1 | block)
  many <- quiet(fastlmm_fit(formula, g$d, K = list(id = g$K)))
  expect_columns_equal(many, formula, g$d, K = list(id = g$K))
  expect_identical(dim(many$h2), c(2L, 2L))
  expect_identical(nrow(as.data.frame(many)), 2L)
  new <- predict(many, g$d[1:3, ], se.fit = TRUE)
  one <- quiet(predict(fastlmm_fit(a ~ x + (1 | id) + (1 | block), g$d, K = list(id = g$K)), g$d[1:3, ], se.fit = TRUE))
  expect_equal(new$se.fit[, "a"], one$se.fit, tolerance = 1e-6)
})

test_that("thousands of responses go by eigenvectors and equal those that go by rotations", {
  g <- mlm_data()
  set.seed(6)
  Y <- matrix(rnorm(75 * 60), 75)
  all <- quiet(fastlmm_fit(Y ~ x + (1 | id), g$d, K = g$K))
  Y <- Y[, 1:3]
  few <- quiet(fastlmm_fit(Y ~ x + (1 | id), g$d, K = g$K))
  expect_equal(all$logLik[1:3], few$logLik, tolerance = 1e-11)
  expect_equal(all$h2[1:3], few$h2, tolerance = 1e-7)
  expect_equal(ranef(all)$id[, 1:3], ranef(few)$id, tolerance = 1e-7)
})

test_that("a bad response has a status and stops nobody", {
  g <- mlm_data()
  Y <- cbind(
    fine = g$d$y, constant = 3, missing = NA_real_, few = c(1:2, rep(NA, 73)), infinite = replace(g$d$y, 4, Inf), perfect = 2 * g$d$x,
    explained = sin(seq_along(g$d$id))[match(g$d$id, g$d$id)], one = ifelse(g$d$id == g$d$id[1], g$d$y, NA)
  )
  many <- function(...) fastlmm_fit(Y ~ x + (1 | id), g$d, ...)
  conditions <- list()
  fit <- withCallingHandlers(many(K = g$K),
    fastlmm_warning = function(w) {
      conditions <<- c(conditions, list(w))
      invokeRestart("muffleWarning")
    },
    fastlmm_message = function(m) {
      conditions <<- c(conditions, list(m))
      invokeRestart("muffleMessage")
    }
  )
  expect_identical(
    unname(fit$status[1:7]), c("ok", "constant_response", "no_rows", "too_few_rows", "nonfinite", "perfect_fit", "explained_by_kernel")
  )
  expect_identical(sum(vapply(conditions, inherits, NA, "fastlmm_warning_responses")), 1L)
  expect_match(
    conditionMessage(Filter(function(x) inherits(x, "fastlmm_warning_responses"), conditions)[[1]]), "of 8 responses.*constant_response: 1 \\(\"constant\"\\)"
  )
  expect_true(all(is.na(fit$coefficients[, c("constant", "missing", "few", "infinite")])))
  expect_match(fit$reason[["infinite"]], "not finite")
  expect_equal(fit$logLik[["fine"]], fastlmm_fit(y ~ x + (1 | id), g$d, K = g$K)$logLik)
  expect_identical(quiet(many())$status[["one"]], "one_group")
  for (name in c("constant", "missing", "few", "infinite")) {
    expect_error(extract_fit(fit, name), class = paste0("fastlmm_error_", fit$status[[name]]))
  }
  expect_warning(extract_fit(fit, "perfect"), class = "fastlmm_warning_perfect_fit")
  expect_identical(dim(fitted(fit)), dim(Y))
  expect_identical(unname(fit$nobs[c("missing", "few")]), c(0L, 2L))
  several <- quiet(many(K = list(id = kernel_mix(A = g$K, B = NULL))))
  expect_identical(unname(several$status[2:5]), unname(fit$status[2:5]))
})

test_that("boundaries come as one message with counts", {
  g <- mlm_data()
  set.seed(8)
  Y <- matrix(rnorm(75 * 12), 75)
  messages <- character()
  fit <- withCallingHandlers(fastlmm_fit(Y ~ x + (1 | id), g$d, K = g$K), fastlmm_message_boundary = function(m) {
    messages <<- c(messages, conditionMessage(m))
    invokeRestart("muffleMessage")
  })
  expect_length(messages, 1)
  expect_match(messages, sprintf("h2 = 0: %d ", sum(fit$boundary == "h2 = 0")))
})

test_that("one column taken out is the single fit, with everything in it", {
  g <- mlm_data()
  for (na.action in list(na.omit, na.exclude)) {
    d <- g$d
    d$x[10] <- NA
    many <- quiet(fastlmm_fit(cbind(a, log(b + 10), c) ~ poly(o, 2) + x + (1 | id), d, K = g$K, weights = w, na.action = na.action))
    ours <- extract_fit(many, "c")
    theirs <- fastlmm_fit(c ~ poly(o, 2) + x + (1 | id), d, K = g$K, weights = w, na.action = na.action)
    theirs$call <- ours$call <- NULL
    expect_equal(ours[setdiff(names(ours), "frame")], theirs[setdiff(names(theirs), "frame")], ignore_formula_env = TRUE)
    expect_equal(as.list(ours$frame), as.list(theirs$frame))
    expect_equal(predict(ours, d[1:4, ], se.fit = TRUE), predict(theirs, d[1:4, ], se.fit = TRUE))
    expect_equal(fitted(ours), fitted(theirs))
    expect_identical(deparse1(formula(extract_fit(many, 2))[[2]]), "log(b + 10)")
    expect_equal(many[["a"]]$logLik, many$logLik[["a"]], tolerance = 1e-10)
  }
  expect_identical(many[["call"]], many$call)
  expect_error(extract_fit(many, "aa"), class = "fastlmm_error_response_name")
  expect_error(extract_fit(many, 4), class = "fastlmm_error_response_name")
  expect_error(extract_fit(theirs, 1), class = "fastlmm_error_not_a_fit")
})

test_that("predictions, their errors and effects equal those of single fits", {
  g <- mlm_data()
  Y <- g$Y[, c("a", "e")]
  many <- quiet(fastlmm_fit(Y ~ x + (1 | id), g$d, K = g$K))
  new <- data.frame(x = c(0, NA, 2, 1), id = c(setdiff(rownames(g$K), g$d$id)[1:2], g$d$id[1:2]))
  for (name in c("a", "e")) {
    one <- fastlmm_fit(single_formula(Y ~ x + (1 | id), name), g$d, K = g$K)
    ours <- predict(many, new, se.fit = TRUE)
    theirs <- predict(one, new, se.fit = TRUE)
    expect_equal(ours$fit[, name], theirs$fit, tolerance = 1e-7)
    expect_equal(ours$se.fit[, name], theirs$se.fit, tolerance = 1e-6)
    expect_equal(predict(many, new, re.form = NA)[, name], predict(one, new, re.form = NA), tolerance = 1e-7)
    own <- names(fitted(one))
    expect_equal(predict(many, se.fit = TRUE)$se.fit[own, name], predict(one, se.fit = TRUE)$se.fit, tolerance = 1e-6)
    condVar <- ranef(one)$id
    expect_equal(attr(ranef(many, condVar = TRUE)$id, "postVar")[rownames(condVar), name], c(attr(condVar, "postVar")), tolerance = 1e-6, ignore_attr = TRUE)
  }
  seen <- !is.na(Y)
  expect_equal(predict(many, g$d)[seen], fitted(many)[seen], tolerance = 1e-10)
  expect_equal(predict(many)[seen], fitted(many)[seen], tolerance = 1e-10)
  joint <- g$K
  expect_equal(predict(many, new, K = joint[new$id, ]), predict(many, new), tolerance = 1e-10)
  unknown <- data.frame(x = 1, id = "stranger")
  expect_error(predict(many, unknown), class = "fastlmm_error_new_levels")
  expect_equal(predict(many, unknown, allow.new.levels = TRUE), predict(many, unknown, re.form = NA))
})

test_that("extractors have a number or a column a response", {
  g <- mlm_data()
  Y <- g$Y
  many <- quiet(fastlmm_fit(Y ~ x + (1 | id), g$d, K = g$K, method = "ML"))
  one <- quiet(extract_fit(many, "c"))
  for (number in list(sigma, function(x) as.numeric(logLik(x)), AIC, BIC, deviance, nobs, df.residual)) {
    ours <- number(many)
    expect_equal(unname(ours[3]), number(one), tolerance = 1e-8)
  }
  expect_identical(coef(many), fixef(many))
  expect_equal(vcov(many)[, , "c"], vcov(one), tolerance = 1e-6)
  table <- as.data.frame(many)
  expect_named(table, c("response", "n", "h2", "se_h2", "sigma2", "sigma2_e", "delta", "logLik", "status", "boundary"))
  expect_identical(table$response, colnames(Y))
  components <- VarCorr(many)
  expect_equal(components$vcov[components$response == "c"], as.data.frame(VarCorr(one))$vcov, tolerance = 1e-6)
  wald <- confint(many, c("h2", "x"))
  expect_identical(nrow(wald), 12L)
  expect_equal(unlist(wald[wald$term == "x" & wald$response == "c", 4:5]), confint(one, "x", method = "Wald")[1, ], tolerance = 1e-6, ignore_attr = TRUE)
  expect_true(all(wald$lower <= wald$estimate & wald$estimate <= wald$upper, na.rm = TRUE))
  expect_error(confint(many, method = "profile"), class = "fastlmm_error_method")
  expect_error(confint(many, "zz"), class = "fastlmm_error_parameter")
  expect_error(logLik(many, REML = TRUE), class = "fastlmm_error_other_likelihood")
  expect_error(sigma(many, 3), class = "fastlmm_error_unused_argument")
  expect_identical(formula(many), Y ~ x + (1 | id), ignore_formula_env = TRUE)
  expect_identical(dim(model.matrix(many)), c(75L, 2L))
  expect_identical(weights(many), rep(1, 75))
  path <- tempfile(fileext = ".pdf")
  grDevices::pdf(path)
  on.exit(unlink(path))
  expect_invisible(plot(many))
  grDevices::dev.off()
})

test_that("print and summary show a row a response", {
  fit <- fastlmm_fit(cbind(sepal = Sepal.Length, petal = Petal.Length) ~ Sepal.Width + (1 | Species), iris)
  expect_snapshot(print(fit))
  expect_snapshot(print(fit, n = 1))
  expect_snapshot(print(summary(fit)))
})

test_that("simulate, refit and update", {
  g <- mlm_data()
  Y <- g$Y[, c("a", "c")]
  many <- quiet(fastlmm_fit(Y ~ x + (1 | id), g$d, K = g$K))
  draws <- simulate(many, 2, seed = 3)
  expect_named(draws, c("sim_1", "sim_2"))
  expect_identical(is.na(draws$sim_1), is.na(many$y))
  expect_identical(simulate(many, 2, seed = 3), draws)
  expect_equal(refit(many)[c("logLik", "h2", "coefficients")], many[c("logLik", "h2", "coefficients")], tolerance = 1e-10)
  again <- quiet(refit(many, draws$sim_1))
  expect_equal(again$logLik[["a"]], quiet(refit(extract_fit(many, "a"), draws$sim_1[, "a"]))$logLik, tolerance = 1e-10)
  expect_error(refit(many, 1:75), class = "fastlmm_error_new_response")
  expect_error(refit(many, draws$sim_1[-1, ]), class = "fastlmm_error_new_response")
  smaller <- quiet(update(many, . ~ . - x))
  expect_identical(rownames(coef(smaller)), "(Intercept)")
})

test_that("the spread of draws is that of the model", {
  set.seed(9)
  d <- data.frame(id = rep(1:40, 5))
  d$Y <- cbind(a = rnorm(40)[d$id], b = 3 * rnorm(40)[d$id]) + rnorm(400)
  fit <- fastlmm_fit(Y ~ 1 + (1 | id), d)
  draws <- simulate(fit, 300, seed = 2)
  total <- rowMeans(vapply(draws, function(y) colMeans(sweep(y, 2, fit$coefficients[1, ])^2), c(0, 0)))
  expect_equal(total, fit$sigma2 + fit$sigma2_e, tolerance = 0.1)
})

test_that("names of responses", {
  g <- mlm_data()
  Y <- unname(g$Y[, 1:3])
  expect_identical(colnames(quiet(fastlmm_fit(Y ~ x + (1 | id), g$d, K = g$K))$y), c("Y1", "Y2", "Y3"))
  expect_identical(colnames(quiet(fastlmm_fit(cbind(a, 2 * a) ~ x + (1 | id), g$d, K = g$K))$y), c("a", "Y2"))
  colnames(Y) <- c("u", "u", "v")
  expect_message(fit <- fastlmm_fit(Y ~ x + (1 | id), g$d, K = g$K), class = "fastlmm_message_response_names")
  expect_identical(colnames(coef(fit)), c("u", "u.1", "v"))
})

test_that("a dot leaves the responses out", {
  g <- mlm_data()
  d <- g$d[c("a", "b", "x", "id")]
  expect_identical(rownames(coef(quiet(fastlmm_fit(cbind(a, b) ~ . + (1 | id), d, K = g$K)))), c("(Intercept)", "x"))
})

test_that("responses that are no numbers, or none, are refused", {
  g <- mlm_data()
  Y <- matrix("a", 75, 2)
  expect_refused(fastlmm_fit(Y ~ x + (1 | id), g$d, K = g$K), "response_type")
  Y <- matrix(0, 75, 0)
  expect_refused(fastlmm_fit(Y ~ x + (1 | id), g$d, K = g$K), "no_responses")
  Y <- g$Y
  expect_error(fastlmm_fit(Y ~ x + (1 | id), g$d, K = g$K, na.action = na.fail), class = "fastlmm_error_missing_values")
  expect_error(fastlmm_fit(Y[1:9, ] ~ x + (1 | id), g$d, K = g$K), class = "fastlmm_error_model_frame")
})

test_that("a row left out for all is left out for all, and padded by na.exclude", {
  g <- mlm_data()
  d <- g$d
  d$x[5] <- NA
  many <- quiet(fastlmm_fit(cbind(a, d) ~ x + (1 | id), d, K = g$K, na.action = na.exclude, weights = w))
  expect_identical(unname(many$nobs), c(74L, 72L))
  expect_identical(dim(fitted(many)), c(75L, 2L))
  expect_true(all(is.na(fitted(many)[5, ])))
  expect_columns_equal(many, cbind(a, d) ~ x + (1 | id), d, K = g$K, weights = w)
  expect_identical(simulate(many, seed = 1)$sim_1[5, ], c(a = NA_real_, d = NA_real_))
  d[9, c("a", "d", "w")] <- NA
  many <- quiet(fastlmm_fit(cbind(a, d) ~ x + (1 | id), d, K = g$K, na.action = na.exclude, weights = w))
  expect_identical(nrow(many$y), 73L)
  expect_columns_equal(many, cbind(a, d) ~ x + (1 | id), d, K = g$K, weights = w)
  d$w[11] <- NA
  many <- quiet(fastlmm_fit(cbind(a, d) ~ x + (1 | id), d, K = g$K, weights = w))
  expect_identical(nrow(many$y), 72L)
  expect_columns_equal(many, cbind(a, d) ~ x + (1 | id), d[-11, ], K = g$K, weights = w)
})

test_that("fits without effects are the same otherwise", {
  g <- mlm_data()
  Y <- g$Y[, 1:3]
  bare <- quiet(fastlmm_fit(Y ~ x + (1 | id), g$d, K = g$K, control = fastlmm_control(effects = FALSE)))
  whole <- quiet(fastlmm_fit(Y ~ x + (1 | id), g$d, K = g$K))
  expect_identical(bare$logLik, whole$logLik)
  expect_null(bare$random$id$alpha)
  for (verb in list(ranef, fitted, residuals, predict)) expect_error(verb(bare), class = "fastlmm_error_no_effects")
  expect_equal(predict(bare, re.form = NA), predict(whole, re.form = NA))
  expect_equal(extract_fit(bare, 1)$logLik, whole$logLik[[1]], tolerance = 1e-10)
  expect_error(fastlmm_control(effects = 3:4), class = "fastlmm_error_control")
})

test_that("permuting rows and columns, and scaling, changes what it must", {
  g <- mlm_data()
  Y <- g$Y
  base <- quiet(fastlmm_fit(Y ~ x + (1 | id), g$d, K = g$K))
  rows <- rev(seq_len(75))
  columns <- c(4, 2, 6, 1, 3, 5)
  Y <- g$Y[rows, columns]
  turned <- quiet(fastlmm_fit(Y ~ x + (1 | id), g$d[rows, ], K = 4 * g$K))
  expect_equal(turned$logLik, base$logLik[columns], tolerance = 1e-9)
  expect_equal(4 * turned$sigma2, base$sigma2[columns], tolerance = 1e-6)
  Y <- sweep(g$Y, 2, c(1e-100, 1, 1e100, -1, 2, 3), `*`)
  scaled <- quiet(fastlmm_fit(Y ~ x + (1 | id), g$d, K = g$K))
  expect_equal(scaled$h2, base$h2, tolerance = 1e-6)
})

test_that("a decomposition made earlier serves many responses", {
  g <- mlm_data()
  d <- g$d[!duplicated(g$d$id), ]
  Y <- g$Y[!duplicated(g$d$id), c("a", "b", "h")]
  E <- fastlmm_decompose(g$K)
  many <- quiet(fastlmm_fit(Y ~ x + (1 | id), d, K = list(id = kernel_eigen(E))))
  plain <- quiet(fastlmm_fit(Y ~ x + (1 | id), d, K = g$K))
  expect_equal(many$logLik, plain$logLik, tolerance = 1e-9)
  expect_equal(many$h2, plain$h2, tolerance = 1e-6)
  expect_equal(fitted(many), fitted(plain), tolerance = 1e-6)
})
