# Pictures of the sampler's fits: what is drawn, and labels that have room.

plot_fit <- function(names = letters[1:6], ...) {
  set.seed(4)
  data <- data.frame(line = rep(sprintf("l%02d", 1:20), each = 3))
  data$Y <- outer(rnorm(20)[rep(1:20, each = 3)], c(2, -2, 1, 0, 0, 0)) + matrix(rnorm(360), 60)
  colnames(data$Y) <- names
  quiet_slam(Y ~ 1 + (1 | line), data, n_factors = 2, chains = 2, iter = 120, warmup = 40, thin = 2, seed = 1, ...)
}

on_page <- function(code) {
  file <- tempfile(fileext = ".pdf")
  grDevices::pdf(file, 7, 5)
  on.exit(grDevices::dev.off())
  force(code)
}

test_that("heat maps fade what has an interval that holds 0", {
  fit <- plot_fit()
  picture <- fastlmm:::correlation_picture(fit, NULL, 0.9)
  table <- rg(fit, level = 0.9)
  for (i in seq_len(nrow(table))) {
    expect_identical(
      picture$faded[match(table$response1[i], rownames(picture$values)), match(table$response2[i], colnames(picture$values))],
      table$low[i] <= 0 && table$high[i] >= 0
    )
  }
  expect_false(any(diag(picture$faded)))
  expect_equal(picture$values[letters[1:6], letters[1:6]], rg(fit), tolerance = 1e-12)
  expect_true(any(picture$faded) && !all(picture$faded[upper.tri(picture$faded)]))
  colours <- fastlmm:::cell_colours(picture)
  bright <- function(colour) colMeans(grDevices::col2rgb(colour))
  expect_gt(min(bright(colours[picture$faded])), 170)
  loadings <- fastlmm:::loadings_picture(fit, c("a", "d"), 0.9)
  expect_equal(loadings$values["a", ] * fit$scale$sd[["a"]], factor_loadings(fit)["a", ])
  traces <- fastlmm:::trace_picture(fit, NULL)
  expect_equal(range(traces$iteration), c(42, 120))
})

test_that("labels fit their room: smaller, without what all share, cut, and fewer", {
  on_page({
    plot.new()
    long <- sprintf("Total_concentration_of_glucosinolate_in_leaf_%s_%d", c("apical", "basal"), 1:12)
    found <- fastlmm:::fit_labels(long, 1.5, 0.3)
    expect_equal(found$shared, "Total_concentration_of_glucosinolate_in_leaf_")
    expect_equal(paste0(found$shared, found$text), long)
    plain <- fastlmm:::fit_labels(letters, 1, 0.3)
    expect_identical(plain$text, letters)
    expect_equal(plain$cex, 0.9)
    unlike <- vapply(1:10, function(i) paste(rep(letters[i], 60), collapse = ""), "")
    narrow <- fastlmm:::fit_labels(unlike, 1, 0.3)
    expect_true(all(narrow$cut))
    expect_lt(max(strwidth(narrow$text, "inches", cex = narrow$cex)), 1.15)
    expect_gt(length(fastlmm:::cut_legend(narrow, unlike, 7)), 1)
    many <- fastlmm:::fit_labels(paste0("t", 1:200), 1, 0.02)
    expect_lt(sum(many$shown) * strheight("M", "inches", cex = many$cex), 200 * 0.02)
    expect_gt(sum(many$shown), 20)
  })
  same <- c(paste0(strrep("a", 30), 1:3, strrep("b", 30)), "short")
  expect_false(anyDuplicated(fastlmm:::cut_names(same, 12)) > 0)
  expect_equal(fastlmm:::cut_names(same, 12)[4], "short")
})

test_that("every picture is drawn, of few and of many responses, by both systems, and leaves par() as it was", {
  fits <- list(
    plot_fit(), plot_fit(sprintf("A rather long name of a response that goes on and on, number %d", 1:6)),
    plot_fit(c("a", strrep("b", 70), strrep("c", 50), "d", "e", "f"))
  )
  on_page({
    before <- par(no.readonly = TRUE)
    for (fit in fits) {
      for (which in c("covariance", "loadings", "h2", "trace")) expect_silent(plot(fit, which))
      expect_silent(biplot(fit))
      expect_silent(plot(fit, traits = 1))
    }
    expect_equal(par(no.readonly = TRUE)[c("mar", "oma", "mfrow", "cex")], before[c("mar", "oma", "mfrow", "cex")])
    expect_error(biplot(fits[[1]], c(1, 3)), class = "fastlmm_error_choices")
    skip_if_not_installed("ggplot2")
    for (fit in fits) for (which in c("covariance", "loadings", "h2", "trace", "biplot")) {
      picture <- ggplot2::autoplot(fit, which)
      expect_s3_class(picture, "ggplot")
      expect_silent(print(picture))
    }
  })
})

test_that("a fit whose random effect cannot be told has pictures of P", {
  data <- data.frame(id = sprintf("i%02d", 1:40))
  set.seed(2)
  data$Y <- outer(rnorm(40), c(a = 1, b = 2, c = 0)) + 5 * matrix(rnorm(120), 40)
  fit <- suppressWarnings(quiet_slam(Y ~ 1 + (1 | id), data, n_factors = 1, chains = 2, iter = 60, seed = 1))
  expect_equal(fastlmm:::correlation_picture(fit, NULL, 0.9)$title, "correlations")
  on_page({
    expect_silent(plot(fit))
    expect_silent(plot(fit, "trace"))
    expect_error(plot(fit, "h2"), class = "fastlmm_error_not_identifiable")
  })
})
