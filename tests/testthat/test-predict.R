test_that("predictions equal lme4's, conditional and for the population", {
  each_lme4_pair(function(pair, label) {
    expect_equal(predict(pair$ours), predict(pair$theirs), tolerance = 1e-6, info = label)
    expect_equal(predict(pair$ours, pair$data), predict(pair$theirs, pair$data), tolerance = 1e-6, info = label)
    for (form in list(NA, ~0)) {
      expect_equal(predict(pair$ours, re.form = form), predict(pair$theirs, re.form = form), tolerance = 1e-6, info = label)
    }
  })
})

test_that("new ids, missing values and no rows are treated as lme4 treats them, or better", {
  skip_if_not_installed("lme4")
  pair <- lme4_pair("sleepstudy")
  new <- data.frame(Days = c(1, 4, NA, 11), Subject = c("308", "new", "309", NA))
  expect_equal(
    predict(pair$ours, new[1:3, ], allow.new.levels = TRUE),
    predict(pair$theirs, new[1:3, ], allow.new.levels = TRUE),
    tolerance = 1e-6
  )
  expect_identical(is.na(predict(pair$ours, new, allow.new.levels = TRUE)), c(`1` = FALSE, `2` = FALSE, `3` = TRUE, `4` = FALSE))
  expect_equal(predict(pair$ours, new["Days"], re.form = NA), predict(pair$theirs, new["Days"], re.form = NA), tolerance = 1e-6)
  expect_length(predict(pair$ours, new[0, ]), 0)
  expect_length(predict(pair$ours, new[0, ], se.fit = TRUE)$se.fit, 0)
  expect_error(predict(pair$ours, new[2, ]), class = "fastlmm_error_new_levels")
  expect_snapshot(error = TRUE, predict(pair$ours, new[2, ]))
})

test_that("predict(newdata = data) is fitted", {
  for (method in c("REML", "ML")) {
    fit <- kernel_fit(method)
    expect_equal(predict(fit, kernel_data()$data), fitted(fit), tolerance = 1e-12)
    expect_equal(predict(fit, kernel_data()$data, se.fit = TRUE), predict(fit, se.fit = TRUE), tolerance = 1e-10)
  }
})

test_that("data-dependent bases and factors are rebuilt as they were in the fit", {
  given <- kernel_data()
  fit <- fastlmm_fit(y ~ poly(x, 2) + f + (1 | id), given$data, K = given$K)
  some <- given$data[c(5, 9), ]
  some$f <- as.character(some$f)
  expect_equal(predict(fit, some), fitted(fit)[c(5, 9)], tolerance = 1e-12)
})

test_that("ids without a phenotype are predicted through K, with the variance of the definition", {
  given <- kernel_data()
  fit <- kernel_fit()
  m <- kernel_dense()
  unseen <- setdiff(rownames(given$K), given$data$id)
  new <- data.frame(id = unseen, x = seq(-1, 1, length.out = 10), f = "b", o = 1)
  found <- predict(fit, new, se.fit = TRUE)
  x <- cbind(1, new$x, 1, 0)
  expected <- dense_prediction(m, x, given$K[unseen, ], diag(given$K)[unseen])
  expect_equal(found$fit, expected$fit + 1, tolerance = 1e-8, ignore_attr = TRUE)
  expect_equal(found$se.fit, expected$se.fit, tolerance = 1e-8, ignore_attr = TRUE)
  expect_equal(found$residual.scale, sigma(fit))
})

test_that("standard errors of fitted rows are those of the definition", {
  given <- kernel_data()
  m <- kernel_dense()
  expected <- dense_prediction(m, m$X, m$Z %*% m$K, diag(m$Z %*% m$K %*% t(m$Z)))
  found <- predict(kernel_fit(), se.fit = TRUE)
  expect_equal(found$fit, expected$fit + given$data$o, tolerance = 1e-8, ignore_attr = TRUE)
  expect_equal(found$se.fit, expected$se.fit, tolerance = 1e-8, ignore_attr = TRUE)
})

test_that("standard errors without the random effect are those of X beta", {
  fit <- kernel_fit()
  X <- model.matrix(fit)
  found <- predict(fit, kernel_data()$data, re.form = NA, se.fit = TRUE)
  expect_equal(found$se.fit, sqrt(diag(X %*% vcov(fit) %*% t(X))), tolerance = 1e-10, ignore_attr = TRUE)
})

test_that("the closed form for independent ids equals the definition, new ids included", {
  given <- kernel_data()
  fit <- fastlmm_fit(y ~ x + (1 | id), given$data, weights = w)
  I <- diag(length(fit$random$id$ids))
  dimnames(I) <- list(fit$random$id$ids, fit$random$id$ids)
  m <- dense_model(fit, given$data, I, weights = given$data$w)
  new <- data.frame(x = c(0, 2), id = c("new", fit$random$id$ids[4]))
  expected <- dense_prediction(m, cbind(1, new$x), rbind(0, I[4, ]), c(1, 1))
  found <- predict(fit, new, se.fit = TRUE, allow.new.levels = TRUE)
  expect_equal(found$fit, expected$fit, tolerance = 1e-8, ignore_attr = TRUE)
  expect_equal(found$se.fit, expected$se.fit, tolerance = 1e-8, ignore_attr = TRUE)
  dense <- fastlmm_fit(y ~ x + (1 | id), given$data, K = I, weights = w)
  expect_equal(predict(dense, new[2, ], se.fit = TRUE), predict(fit, new[2, ], se.fit = TRUE), tolerance = 1e-6)
})

test_that("a cross kernel or a joint kernel predicts ids that the fit never saw", {
  given <- kernel_data()
  seen <- unique(given$data$id)
  small <- fastlmm_fit(y ~ x + f + offset(o) + (1 | id), given$data, K = given$K[seen, seen], weights = w)
  unseen <- setdiff(rownames(given$K), seen)
  new <- data.frame(id = unseen, x = 0, f = "a", o = 0)
  whole <- predict(kernel_fit(), new, se.fit = TRUE)
  cross <- given$K[rev(unseen), rev(seen)]
  expect_equal(predict(small, new, K = cross), whole$fit, tolerance = 1e-6)
  expect_equal(predict(small, new, K = list(id = Matrix::Matrix(cross))), whole$fit, tolerance = 1e-6)
  expect_equal(predict(small, new, K = given$K, se.fit = TRUE), whole, tolerance = 1e-6)
  k_diag <- diag(given$K)[unseen]
  expect_equal(predict(small, new, K = cross, k_diag = k_diag, se.fit = TRUE), whole, tolerance = 1e-6)
  both <- rbind(new, transform(new[1:2, ], id = seen[1:2]))
  expect_equal(predict(small, both, K = cross), c(whole$fit, predict(small, both[11:12, ])), tolerance = 1e-6, ignore_attr = TRUE)
})

test_that("a cross kernel that does not fit is refused", {
  given <- kernel_data()
  fit <- kernel_fit()
  new <- data.frame(id = "z", x = 0, f = "a", o = 0)
  cross <- given$K["i1", , drop = FALSE]
  rownames(cross) <- "z"
  expect_error(predict(fit, new, K = cross, se.fit = TRUE), class = "fastlmm_error_k_diag")
  expect_snapshot(error = TRUE, predict(fit, new, K = cross, se.fit = TRUE))
  expect_snapshot(error = TRUE, predict(fit, new, K = cross, se.fit = TRUE, k_diag = c(z = -1)))
  expect_snapshot(error = TRUE, predict(fit, new, K = cross[, -(1:12), drop = FALSE]))
  expect_snapshot(error = TRUE, predict(fit, new, K = unname(cross)))
  expect_error(predict(fit, new, K = "K"), class = "fastlmm_error_kernel_class")
  expect_snapshot(error = TRUE, predict(fit, new, K = cross[c(1, 1), ]))
  expect_snapshot(error = TRUE, predict(fit, new, K = cross[, c(1, 1:40), drop = FALSE]))
  expect_snapshot(error = TRUE, predict(fit, new, K = replace(cross, 3, NA)))
  expect_snapshot(error = TRUE, predict(fit, new, K = list(line = cross)))
  expect_snapshot(error = TRUE, predict(fit, transform(new, id = "i1"), K = 2 * given$K))
  expect_snapshot(error = TRUE, predict(fit, transform(new, id = "q"), K = cross))
})

test_that("unknown ids may have the effect 0 and the mean prior variance", {
  given <- kernel_data()
  fit <- kernel_fit()
  m <- kernel_dense()
  new <- data.frame(id = "q", x = 1, f = "a", o = 0)
  expected <- dense_prediction(m, cbind(1, 1, 0, 0), matrix(0, 1, 40), mean(diag(given$K)))
  found <- predict(fit, new, allow.new.levels = TRUE, se.fit = TRUE)
  expect_equal(found$fit, expected$fit, tolerance = 1e-8, ignore_attr = TRUE)
  expect_equal(found$se.fit, expected$se.fit, tolerance = 1e-8, ignore_attr = TRUE)
})

test_that("many rows go through in blocks with the same result", {
  fit <- kernel_fit()
  targets <- prediction_targets(fit, kernel_data()$data, fit$random)
  source <- kernel_source(fit$random$id, unique(targets$random$id$id), NULL, FALSE)
  variance <- function(...) one_variance(fit, targets$X, targets$random$id, source, NULL, ...)
  expect_length(variance(block = 7), 75)
  expect_equal(variance(block = 7), variance(), tolerance = 1e-12)
})

test_that("re.form is NULL, NA, ~0 or the random term itself", {
  fit <- kernel_fit()
  expect_equal(predict(fit, re.form = ~ (1 | id)), predict(fit))
  expect_error(predict(fit, re.form = ~ (0 + x | id)), class = "fastlmm_error_re_form")
  expect_error(predict(fit, re.form = TRUE), class = "fastlmm_error_re_form")
  # a fixed effect beside it would be left in or out without a word
  expect_equal(predict(fit, re.form = ~ 0 + (1 | id)), predict(fit))
  expect_error(predict(fit, re.form = ~ (1 | id) + x), class = "fastlmm_error_re_form")
  expect_error(predict(fit, re.form = ~ (1 | line)), class = "fastlmm_error_re_form")
  expect_snapshot(error = TRUE, predict(fit, re.form = ~ (1 | line)))
})

test_that("a kernel over rows predicts rows by name", {
  given <- kernel_data()
  data <- data.frame(y = given$data$y[1:30], x = given$data$x[1:30], row.names = rownames(given$K)[1:30])
  fit <- fastlmm_fit(y ~ x, data, K = given$K)
  expect_equal(predict(fit, data), fitted(fit), tolerance = 1e-12)
  data$id <- rownames(data)
  same <- fastlmm_fit(y ~ x + (1 | id), data, K = given$K)
  new <- data.frame(x = 0:1, id = c("i35", "i40"), row.names = c("i35", "i40"))
  expect_equal(predict(fit, new["x"], se.fit = TRUE), predict(same, new, se.fit = TRUE), tolerance = 1e-8)
})

test_that("predictions at both boundaries are finite", {
  skip_if_not_installed("lme4")
  flat <- lme4_pair("Dyestuff2")
  found <- predict(flat$ours, flat$data[1:2, ], se.fit = TRUE)
  expect_equal(found$se.fit, rep(sd(flat$data$Yield) / sqrt(30), 2), tolerance = 1e-6, ignore_attr = TRUE)
})

test_that("degenerate fits predict with finite standard errors", {
  for (which in c("perfect_fit", "explained_by_kernel", "confounded")) {
    fit <- degenerate_fit(which)
    found <- predict(fit, kernel_data()$data, se.fit = TRUE)
    expect_true(all(is.finite(found$fit)) && all(is.finite(found$se.fit)))
    if (which != "confounded") expect_equal(found$fit, fit$y, ignore_attr = TRUE)
  }
})

test_that("groups of two variables and slopes predict as they were fitted", {
  given <- kernel_data()
  data <- transform(given$data, half = rep(c("a", "b"), length.out = 75))
  crossed <- fastlmm_fit(y ~ x + (1 | id:half), data)
  expect_equal(predict(crossed, data), fitted(crossed), tolerance = 1e-12)
  slope <- fastlmm_fit(y ~ x + (0 + x | id), data, K = given$K, weights = w)
  G <- outer(data$x, data$x) * given$K[data$id, data$id]
  V <- slope$sigma2 * G + diag(slope$sigma2_e / data$w)
  X <- cbind(1, data$x)
  C <- slope$sigma2 * G
  vcov <- solve(t(X) %*% solve(V, X))
  D <- X - C %*% solve(V, X)
  expected <- sqrt(diag(C) - rowSums((C %*% solve(V)) * C) + rowSums((D %*% vcov) * D))
  found <- predict(slope, data, se.fit = TRUE)
  expect_equal(found$fit, fitted(slope), tolerance = 1e-12)
  expect_equal(found$se.fit, expected, tolerance = 1e-8, ignore_attr = TRUE)
})

test_that("an offset argument enters predictions as offset() does", {
  given <- kernel_data()
  inside <- fastlmm_fit(y ~ x + offset(o) + (1 | id), given$data, K = given$K)
  outside <- fastlmm_fit(y ~ x + (1 | id), given$data, K = given$K, offset = o)
  expect_equal(fitted(outside), fitted(inside), tolerance = 1e-10)
  expect_equal(predict(outside, given$data[5:1, ]), predict(inside, given$data[5:1, ]), tolerance = 1e-10)
  expect_equal(getME(outside, "offset"), given$data$o, ignore_attr = TRUE)
})

test_that("numeric ids of a cross kernel are matched in full", {
  K <- exp(-abs(outer(1:6, 1:6, "-")) / 3)
  data <- data.frame(id = 1e5 + 0:4, y = c(1, 3, 2, 5, 4))
  fit <- suppressMessages(fastlmm_fit(y ~ 1 + (1 | id), data, K = `dimnames<-`(K[1:5, 1:5], list(data$id, data$id))))
  cross <- K[6, 1:5, drop = FALSE]
  dimnames(cross) <- list("100005", as.character(data$id))
  ids <- c(data$id, 100005)
  joint <- suppressMessages(fastlmm_fit(y ~ 1 + (1 | id), data, K = `dimnames<-`(K, list(ids, ids))))
  new <- data.frame(id = 100005)
  expect_equal(predict(fit, new, K = cross), predict(joint, new), tolerance = 1e-6)
})

test_that("new levels are allowed of the grouping factors that are named", {
  given <- kernel_data()
  data <- transform(given$data, g = factor(rep(1:5, length.out = nrow(given$data))))
  fits <- list(
    several = suppressMessages(fastlmm_fit(y ~ f + (1 | id) + (1 | g), data, K = list(id = given$K))),
    sparse = suppressMessages(fastlmm_fit(y ~ f + (1 | id) + (f | g), data)),
    process = suppressMessages(fastlmm_fit(y ~ f + gp(u, lengthscale = 0.3) + (1 | id) + (1 | g), transform(data, u = seq_len(nrow(data)) / nrow(data))))
  )
  for (fit in fits) {
    new <- transform(data[1:2, ], g = "new", o = 0, u = 0.1)
    expect_error(predict(fit, new, allow.new.levels = "id"), "\"g\"")
    expect_equal(predict(fit, new, allow.new.levels = "g", se.fit = TRUE), predict(fit, new, allow.new.levels = TRUE, se.fit = TRUE))
    expect_equal(predict(fit, new, allow.new.levels = c(id = FALSE, g = TRUE)), predict(fit, new, allow.new.levels = TRUE))
    new$id <- c("stranger", NA)
    expect_error(predict(fit, new, allow.new.levels = "g"), "stranger")
    expect_true(is.na(predict(fit, transform(new, id = c(as.character(data$id[1]), NA)), allow.new.levels = "g")[2]))
    expect_error(predict(fit, new, allow.new.levels = "G"), "no grouping factor", class = "fastlmm_error_argument")
  }
  expect_error(predict(fits$several, data[1:2, ], K = given$K), "K = list\\(id = ...\\)", class = "fastlmm_error_cross_kernel")
})

test_that("se = TRUE is se.fit, as for lm()", {
  fit <- kernel_fit()
  expect_identical(predict(fit, se = TRUE), predict(fit, se.fit = TRUE))
  expect_identical(predict(fit, nsim = 2, seed = 1), predict(fit, nsim = 2, seed = 1))
  smooth <- fastlmm_fit(mag ~ depth + gp(long, lat, lengthscale = 5), quakes[1:60, ])
  expect_identical(predict(smooth, se = TRUE), predict(smooth, se.fit = TRUE))
})
