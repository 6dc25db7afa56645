test_that("terms of the fixed effects are those of predict.lm() where it has them", {
  data <- route_data()$data
  fit <- quiet_fit(fastlmm_fit(z ~ x * f + (1 | id), data))
  expect_identical(unname(fit$sigma2), 0)
  linear <- lm(z ~ x * f, data)
  new <- data.frame(x = c(3, 40), f = c("p", "q"), id = "i1")
  for (rows in list(NULL, new)) {
    given <- if (is.null(rows)) list() else list(newdata = rows)
    theirs <- do.call(predict, c(list(linear, type = "terms", se.fit = TRUE, interval = "confidence"), given))
    ours <- predict(fit, rows, type = "terms", re.form = NA, se.fit = TRUE, interval = "confidence")
    for (what in c("fit", "se.fit", "lwr", "upr")) expect_equal(ours[[what]], theirs[[what]], tolerance = 1e-7, ignore_attr = "constant")
    expect_equal(attr(ours$fit, "constant"), attr(theirs$fit, "constant"))
  }
})

test_that("terms, the constant and the offset are the prediction, on every route", {
  given <- route_data()
  new <- `rownames<-`(given$data[c(1, 30, 50), ], NULL)
  for (route in setdiff(names(route_fits()), c("many", "many_mix", "many_gp"))) {
    fit <- route_fits()[[route]]
    at <- if (route == "rows") given$data[c(1, 30, 50), ] else new
    for (rows in list(NULL, at)) {
      terms <- predict(fit, rows, type = "terms")
      expect_equal(rowSums(terms) + attr(terms, "constant"), predict(fit, rows), tolerance = 1e-8, info = route)
    }
    expect_true(all(c("x", "f") %in% colnames(terms)), info = route)
  }
  fit <- kernel_fit()
  terms <- predict(fit, type = "terms")
  expect_identical(colnames(terms), c("x", "f", "1 | id"))
  expect_equal(rowSums(terms) + attr(terms, "constant") + kernel_data()$data$o, predict(fit))
})

test_that("errors are those of each term, and single terms are given by name or number", {
  fit <- route_fits()$mix
  new <- `rownames<-`(route_data()$data[c(1, 30), ], NULL)
  found <- predict(fit, new, type = "terms", se.fit = TRUE)
  expect_equal(found$se.fit[, "1 | g"], unname(predict(fit, new, ~ (1 | g), se.fit = TRUE, random.only = TRUE)$se.fit), ignore_attr = TRUE)
  expect_equal(found$se.fit[, "x"], abs(new$x - mean(route_data()$data$x)) * sqrt(vcov(fit)["x", "x"]), ignore_attr = TRUE)
  expect_identical(predict(fit, new, type = "terms", terms = c("1 | g", "x")), structure(found$fit[, c("1 | g", "x")], constant = attr(found$fit, "constant")))
  expect_identical(colnames(predict(fit, new, type = "terms", terms = 2)), "f")
  expect_identical(colnames(predict(fit, new, type = "terms", re.form = ~ (1 | g))), c("x", "f", "1 | g"))
  expect_identical(colnames(predict(fit, new, type = "terms", random.only = TRUE)), c("1 | id", "1 | g"))
  new$x[1] <- NA
  expect_identical(is.na(predict(fit, new, type = "terms")[, "x"]), c(`1` = TRUE, `2` = FALSE))
  expect_identical(nrow(predict(fit, new, type = "terms", na.action = na.omit)), 1L)
  expect_error(predict(fit, new, type = "terms", terms = "nothing"), "nothing", class = "fastlmm_error_terms")
  expect_error(predict(fit, new, terms = "x"), class = "fastlmm_error_argument")
  expect_error(predict(fit, new, type = "terms", interval = "prediction"), class = "fastlmm_error_interval")
  expect_error(predict(fit, new, type = "terms", nsim = 3), class = "fastlmm_error_argument")
})
