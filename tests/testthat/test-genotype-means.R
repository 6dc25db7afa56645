genotype_data <- function() {
  given <- route_data()
  given$data$dose <- given$M[, "m1"]
  given
}

test_that("means are those of the fit with a factor, at the means of covariates", {
  given <- genotype_data()
  fit <- route_fits()$kernel
  found <- suppressMessages(genotype_means(fit, given$M, "m1"))
  full <- quiet_fit(fastlmm_fit(y ~ 0 + factor(dose) + x + f + (1 | id), given$data, K = given$K))
  L <- cbind(diag(3), mean(given$data$x), mean(given$data$f == "q"))
  expect_equal(found$estimate, drop(L %*% fixef(full)), tolerance = 1e-5, ignore_attr = TRUE)
  expect_equal(found$std.error, sqrt(diag(L %*% vcov(full) %*% t(L))), tolerance = 1e-4, ignore_attr = TRUE)
  expect_equal(found$conf.high - found$estimate, qt(0.975, 72 - 5) * found$std.error)
  expect_identical(found$n, tabulate(given$data$dose + 1))
  # points about their means have the residuals of the fit
  points <- attr(found, "points")
  expect_equal(points$y - found$estimate[match(points$value, found$value)], unname(residuals(full)), tolerance = 1e-4)
})

test_that("by levels: a mean for each value in each, and several effects", {
  given <- genotype_data()
  for (route in c("kernel", "mix", "correlated")) {
    found <- suppressMessages(genotype_means(route_fits()[[route]], given$M, c("m1", "m2"), by = "f"))
    expect_identical(names(found), c("term", "value", "by", "n", "estimate", "std.error", "conf.low", "conf.high"))
    expect_identical(sum(found$n[found$term == "m2"]), 72L)
  }
  full <- quiet_fit(fastlmm_fit(y ~ 0 + factor(dose):f + x + (1 | id), given$data, K = given$K))
  ours <- suppressMessages(genotype_means(route_fits()$kernel, given$M, "m1", by = "f"))
  L <- diag(6)
  at <- fixef(full)[paste0("factor(dose)", ours$value, ":f", ours$by)] + fixef(full)[["x"]] * mean(given$data$x)
  expect_equal(ours$estimate, unname(at), tolerance = 1e-4)
})

test_that("missing genotypes are left out; what is no genotype is refused; pictures are drawn", {
  given <- genotype_data()
  fit <- route_fits()$kernel
  holes <- replace(given$M, cbind(1:5, 1), NA)
  expect_identical(sum(suppressMessages(genotype_means(fit, holes, "m1"))$n), 67L)
  by_id <- matrix(rep(0:2, 8), 24, dimnames = list(rownames(given$K), "g"))
  expect_identical(genotype_means(fit, by_id)$n, c(24L, 24L, 24L))
  for (wrong in list(matrix(rnorm(72), 72), matrix(1, 72, 1))) expect_error(suppressMessages(genotype_means(fit, wrong)), class = "fastlmm_error_genotypes")
  expect_error(suppressMessages(genotype_means(fit, given$M, "nothing")), "nothing", class = "fastlmm_error_genotypes")
  expect_error(suppressMessages(genotype_means(fit, given$M, 1, by = "nowhere")), "nowhere", class = "fastlmm_error_genotypes")
  expect_error(genotype_means(route_fits()$many, given$M), class = "fastlmm_error_many_responses")
  expect_error(suppressMessages(genotype_means(route_fits()$gp, given$M)), class = "fastlmm_error_genotypes")
  pdf(NULL)
  on.exit(dev.off())
  found <- suppressMessages(genotype_means(fit, given$M, 1:3, by = "f"))
  expect_invisible(plot(found))
  expect_invisible(plot(suppressMessages(genotype_means(fit, given$M, 1))))
  skip_if_not_installed("ggplot2")
  picture <- ggplot2::autoplot(found)
  expect_silent(ggplot2::ggplotGrob(picture))
  expect_equal(ggplot2::layer_data(picture, 3)$y, found$estimate)
})

test_that("the picture says which allele is counted, where the files do", {
  given <- genotype_data()
  stem <- tempfile_with("", environment())
  ids <- unique(given$data$id)
  G <- matrix(rep_len(0:2, 2 * length(ids)), ncol = 2, dimnames = list(ids, c("m1", "m2")))
  write_bed(stem, G, data.frame(chr = 1, pos = 1:2 * 10, allele = c("A", "T"), other = "C"))
  fit <- route_fits()$kernel
  found <- suppressMessages(genotype_means(fit, stem))
  expect_identical(unname(attr(found, "alleles")), c("A", "T"))
  expect_identical(value_label(found, found$term[1]), "copies of A")
  plain <- suppressMessages(genotype_means(fit, given$M, "m1"))
  expect_identical(value_label(plain, "m1"), "value of the candidate")
  skip_if_not_installed("ggplot2")
  expect_identical(as.character(ggplot2::autoplot(plain)$labels$x), "value of the candidate")
  expect_identical(as.character(ggplot2::autoplot(found)$labels$x), "copies of the allele in brackets")
  expect_match(as.character(unique(ggplot2::autoplot(found)$data$term)), "\\((A|T)\\)$")
  one <- suppressMessages(genotype_means(fit, stem, 2))
  expect_identical(as.character(ggplot2::autoplot(one)$labels$x), "copies of T")
})

test_that("residual variances by level keep their ratios", {
  given <- genotype_data()
  fit <- quiet_fit(fastlmm_fit(y ~ x + f + (1 | id), given$data, K = given$K, residual = ~f))
  found <- suppressMessages(genotype_means(fit, given$M, "m1"))
  weights <- 1 / fit$residual$ratio[as.character(given$data$f)]
  weighted <- quiet_fit(fastlmm_fit(y ~ 0 + factor(dose) + x + f + (1 | id), given$data, K = given$K, weights = weights))
  L <- cbind(diag(3), mean(given$data$x), mean(given$data$f == "q"))
  expect_equal(found$estimate, drop(L %*% fixef(weighted)), tolerance = 1e-5, ignore_attr = TRUE)
})
