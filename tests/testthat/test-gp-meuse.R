# Heavy metals along the river Meuse, against gstat and fields at the same parameters.

meuse_data <- function() {
  skip_if_not_installed("sp")
  given <- new.env()
  utils::data("meuse", "meuse.grid", package = "sp", envir = given)
  list(data = given$meuse, grid = given$meuse.grid[seq(1, nrow(given$meuse.grid), by = 25), ])
}

meuse_fit <- function(cov, method = "REML") {
  given <- meuse_data()
  once(
    paste("meuse", cov, method),
    do.call(fastlmm_fit, list(as.formula(sprintf("log(zinc) ~ sqrt(dist) + gp(x, y, cov = \"%s\")", cov)), given$data, method = method))
  )
}

test_that("kriging of the Meuse data is gstat's", {
  skip_if_not_installed("gstat")
  given <- meuse_data()
  for (cov in gp_families) {
    fit <- meuse_fit(cov)
    model <- c(exp_quad = "Gau", matern12 = "Exp", matern32 = "Mat", matern52 = "Mat")[[cov]]
    unit <- c(exp_quad = sqrt(2), matern12 = 1, matern32 = 1 / sqrt(3), matern52 = 1 / sqrt(5))[[cov]]
    kappa <- if (cov == "matern52") 2.5 else if (cov == "matern32") 1.5 else 0.5
    # a measurement error, not a nugget: the surface without it is predicted
    error <- gstat::vgm(fit$sigma2_e, "Err", 0)
    variogram <- gstat::vgm(fit$sigma2, model, fit$lengthscale[[1]] * unit, kappa = kappa, add.to = error)
    data <- given$data
    grid <- given$grid
    sp::coordinates(data) <- ~ x + y
    sp::coordinates(grid) <- ~ x + y
    theirs <- gstat::krige(log(zinc) ~ sqrt(dist), data, grid, variogram, debug.level = 0)
    ours <- predict(fit, given$grid, se.fit = TRUE)
    expect_equal(unname(ours$fit), theirs$var1.pred, tolerance = 1e-6, info = cov)
    expect_equal(unname(ours$se.fit), sqrt(theirs$var1.var), tolerance = 1e-5, info = cov)
  }
})

test_that("likelihood, fixed effects and kriging of the Meuse data are those of fields", {
  skip_if_not_installed("fields")
  given <- meuse_data()
  at <- c("x", "y")
  # its functions call each other by name
  suppressPackageStartupMessages(library("fields"))
  on.exit(detach("package:fields"))
  for (cov in c("matern12", "matern32", "matern52")) {
    nu <- c(matern12 = 0.5, matern32 = 1.5, matern52 = 2.5)[[cov]]
    fit <- meuse_fit(cov, "ML")
    theirs <- fields::mKrig(
      as.matrix(given$data[at]), log(given$data$zinc), Z = cbind(sqrt(given$data$dist)), lambda = fit$delta, m = 1,
      cov.args = list(Covariance = "Matern", smoothness = nu, aRange = fit$lengthscale[[1]] / sqrt(2 * nu))
    )
    expect_equal(fit$logLik, theirs$summary[["lnProfileLike.FULL"]], tolerance = 1e-7)
    expect_equal(fit$sigma2, theirs$summary[["sigma2"]], tolerance = 1e-6)
    expect_equal(unname(fixef(fit)), drop(theirs$beta), tolerance = 1e-6, ignore_attr = TRUE)
    surface <- predict(theirs, xnew = as.matrix(given$grid[at]), Z = cbind(sqrt(given$grid$dist)))
    expect_equal(unname(predict(fit, given$grid)), drop(surface), tolerance = 1e-6)
  }
})

test_that("estimates for the Meuse data are the definition's", {
  given <- meuse_data()
  at <- as.matrix(given$data[c("x", "y")])
  for (cov in c("matern12", "matern52")) {
    fit <- meuse_fit(cov)
    best <- dense_gp_fit(log(given$data$zinc), cbind(1, sqrt(given$data$dist)), at, cov)
    expect_equal(fit$logLik, best$logLik, tolerance = 1e-6)
    expect_equal(fit$lengthscale[[1]], best$lengthscale, tolerance = 5e-3)
  }
})
