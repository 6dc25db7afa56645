# Coordinates of other classes are numbers in a unit: every answer is that of the fit whose coordinates are these numbers.

set.seed(14)
times <- data.frame(day = as.Date("2021-03-01") + sample(400, 50), z = rnorm(50))
times$number <- as.numeric(times$day)
times$y <- sin(times$number / 25) + times$z / 2 + 0.3 * rnorm(50)
times$b <- cos(times$number / 30) + 0.3 * rnorm(50)
times$utc <- as.POSIXct(times$day, tz = "UTC")
times$york <- structure(times$utc, tzone = "America/New_York")
times$parts <- as.POSIXlt(times$utc)
times$since <- times$utc - times$utc[1]
times$hours <- as.difftime(as.numeric(times$since, units = "hours"), units = "hours")
plain <- fastlmm_fit(y ~ z + gp(number), times)

# What a fit answers, without units
answers <- function(fit, data) {
  new <- data[1:4, ]
  found <- predict(fit, new, se.fit = TRUE)
  list(
    logLik = as.numeric(logLik(fit)), beta = unname(coef(summary(fit))), fitted = unname(fitted(fit)), fit = unname(found$fit), se = unname(found$se.fit),
    augment = augment(fit, newdata = new)$.fitted, simulate = simulate(fit, 1, seed = 3)$sim_1, refit = as.numeric(logLik(refit(fit, getME(fit, "y")))),
    update = as.numeric(logLik(update(fit, . ~ . - z)))
  )
}

test_that("dates, times and durations are numbers of days or seconds, or of the unit of the data", {
  wanted <- answers(plain, times)
  unit <- c(day = 1, utc = 86400, york = 86400, parts = 86400, since = 86400, hours = 24)
  for (name in names(unit)) {
    fit <- fastlmm_fit(as.formula(sprintf("y ~ z + gp(%s)", name)), times)
    expect_equal(answers(fit, times), wanted, tolerance = 1e-7, label = name)
    expect_equal(fit$lengthscale[[1]], unit[[name]] * plain$lengthscale[[1]], tolerance = 1e-7, label = name)
  }
  expect_output(print(fit), "Length scale: [0-9.]+ hours")
  expect_output(print(summary(fit)), "Length scale (in hours) and variances", fixed = TRUE)
})

test_that("new durations are converted, other kinds refused, and settings may be times", {
  fit <- fastlmm_fit(y ~ z + gp(since), times)
  new <- replace(times[1:4, ], "since", list(times$hours[1:4]))
  expect_equal(predict(fit, new), predict(plain, times[1:4, ]), tolerance = 1e-7)
  of_days <- fastlmm_fit(y ~ z + gp(day, lengthscale = as.difftime(240, units = "hours"), lower = as.Date("2020-01-01"), upper = as.Date("2023-01-01")), times)
  expect_equal(of_days$lengthscale[[1]], 10)
  expect_equal(of_days$gp$box[, 1], as.numeric(as.Date(c("2020-01-01", "2023-01-01"))))
  expect_error(predict(of_days, replace(times[1:4, ], "day", list(1:4))), class = "fastlmm_error_gp_coordinate")
  expect_error(
    predict(of_days, replace(times[1:4, ], "day", list(times$utc[1:4]))), "POSIXct in newdata but was of class Date", class = "fastlmm_error_gp_coordinate"
  )
  expect_error(fastlmm_fit(y ~ gp(number, lengthscale = as.difftime(1, units = "days")), times), class = "fastlmm_error_gp")
})

test_that("many responses, tables of chunks and plots know dates", {
  many <- fastlmm_fit(cbind(y, b) ~ z + gp(day), times)
  numbers <- fastlmm_fit(cbind(y, b) ~ z + gp(number), times)
  expect_equal(predict(many, times[1:4, ], se.fit = TRUE), predict(numbers, times[1:4, ], se.fit = TRUE))
  expect_equal(logLik(extract_fit(many, "b")), logLik(extract_fit(numbers, "b")))
  grDevices::pdf(NULL)
  on.exit(grDevices::dev.off())
  drawn <- plot(fastlmm_fit(y ~ as.numeric(day) + gp(day), times), n = 20)
  expect_s3_class(drawn$day, "Date")
  expect_length(attr(drawn, "held"), 0)
  box <- gp_basis(min(times$number) - 1, max(times$number) + 1, lengthscale = c(30, 200), cov = "exp_quad")
  sums <- gp_accumulate(y ~ z + gp(day), times[1:20, ], box) + gp_accumulate(y ~ z + gp(day), times[21:50, ], box)
  whole <- fastlmm_fit(gp_accumulate(y ~ z + gp(number), times, box))
  expect_equal(predict(fastlmm_fit(sums), times[1:4, ]), predict(whole, times[1:4, ]), tolerance = 1e-6)
})

test_that("a matrix is a coordinate for each of its columns", {
  data <- gp_world(50, 2, "matern52", 0.3)
  data$z <- data$x
  data$at <- gp_places(data)
  wanted <- answers(fastlmm_fit(y ~ z + gp(u, v), data), data)
  expect_equal(answers(fastlmm_fit(y ~ z + gp(at), data), data), wanted)
  expect_equal(answers(fastlmm_fit(y ~ z + gp(cbind(u, v)), data), data), wanted)
  own <- fastlmm_fit(y ~ z + gp(at, ard = TRUE, lengthscale = c(0.2, 0.4)), data)
  expect_equal(own$lengthscale, c(u = 0.2, v = 0.4))
  expect_error(predict(own, replace(data[1:4, ], "at", list(data$at[1:4, 1]))), class = "fastlmm_error_gp_coordinate")
  expect_error(fastlmm_fit(y ~ gp(at, z, x), data), "has 4 coordinates", class = "fastlmm_error_gp")
})

test_that("points of sf are their coordinates, in their reference system", {
  skip_if_not_installed("sf")
  utils::data(meuse, package = "sp", envir = environment())
  meuse$z <- sqrt(meuse$dist)
  points <- sf::st_as_sf(meuse, coords = c("x", "y"), crs = 28992)
  fit <- fastlmm_fit(log(zinc) ~ z + gp(geometry), points)
  expect_equal(answers(fit, points), answers(fastlmm_fit(log(zinc) ~ z + gp(x, y), meuse), meuse))
  expect_output(print(fit), "Length scale: [0-9.]+ m")
  expect_equal(augment(fit, points)$.fitted, augment(fit)$.fitted)
  trend <- fastlmm_fit(log(zinc) ~ sf::st_coordinates(geometry)[, 1] + gp(geometry), points)
  expect_equal(predict(trend, points[1:4, ]), predict(fastlmm_fit(log(zinc) ~ x + gp(x, y), meuse), meuse[1:4, ]), tolerance = 1e-6)
  with_empty <- points
  sf::st_geometry(with_empty)[2] <- sf::st_point()
  expect_equal(is.na(unname(predict(fit, with_empty[1:3, ]))), c(FALSE, TRUE, FALSE))
  expect_equal(nobs(fastlmm_fit(log(zinc) ~ gp(geometry, lengthscale = 500), with_empty)), 154)
  expect_error(fastlmm_fit(log(zinc) ~ gp(geometry), sf::st_buffer(points, 5)), class = "fastlmm_error_gp_coordinate")
  degrees <- sf::st_transform(points, 4326)
  expect_error(predict(fit, degrees), "EPSG:4326 in newdata but had EPSG:28992", class = "fastlmm_error_gp_coordinate")
  expect_message(fastlmm_fit(log(zinc) ~ gp(geometry, lengthscale = 0.01), degrees), class = "fastlmm_message_gp_degrees")
})

test_that("objects of sp have their coordinates under their names", {
  skip_if_not_installed("sp")
  utils::data(meuse, package = "sp", envir = environment())
  plain <- fastlmm_fit(log(zinc) ~ sqrt(dist) + gp(x, y), meuse)
  points <- sp::SpatialPointsDataFrame(meuse[c("x", "y")], meuse[-(1:2)])
  fit <- fastlmm_fit(log(zinc) ~ sqrt(dist) + gp(x, y), points)
  expect_equal(logLik(fit), logLik(plain))
  expect_equal(unname(predict(fit, points[1:4, ])), unname(predict(plain, meuse[1:4, ])))
  geographic <- sp::SpatialPointsDataFrame(
    data.frame(lon = seq(5, 6, length.out = 155), lat = 50 + (meuse$y - 330000) / 1e5), meuse["zinc"], proj4string = sp::CRS("+proj=longlat")
  )
  expect_message(fastlmm_fit(log(zinc) ~ gp(lon, lat, lengthscale = 0.1), geographic), class = "fastlmm_message_gp_degrees")
})

test_that("columns of units are numbers of their unit, and others of the same quantity are converted", {
  skip_if_not_installed("units")
  data <- transform(times, far = units::set_units(number / 100, "km", mode = "standard"), number = number / 100)
  fit <- fastlmm_fit(y ~ z + gp(far), data)
  plain <- fastlmm_fit(y ~ z + gp(number), data)
  expect_equal(answers(fit, data), answers(plain, data))
  expect_output(print(fit), "Length scale: [0-9.]+ km")
  metres <- replace(data[1:4, ], "far", list(units::set_units(data$far[1:4], "m", mode = "standard")))
  expect_equal(predict(fit, metres), predict(plain, data[1:4, ]))
  seconds <- replace(data[1:4, ], "far", list(units::set_units(data$number[1:4], "s", mode = "standard")))
  expect_error(predict(fit, seconds), "was in km in the fit", class = "fastlmm_error_gp_coordinate")
  expect_error(predict(fit, replace(data[1:4, ], "far", list(data$number[1:4]))), class = "fastlmm_error_gp_coordinate")
})

test_that("tables of chunks whose coordinates have other units or reference systems are not added", {
  box <- gp_basis(-10000, 10000, lengthscale = c(100, 2000), cov = "exp_quad")
  of <- function(rows, unit) gp_accumulate(y ~ z + gp(since), transform(times, since = as.difftime(as.numeric(since, units = unit), units = unit))[rows, ], box)
  expect_error(of(1:20, "hours") + of(21:50, "days"), "difftime in hours and difftime in days", class = "fastlmm_error_gp_table")
  whole <- fastlmm_fit(of(1:50, "hours"))
  expect_equal(logLik(fastlmm_fit(of(1:20, "hours") + of(21:50, "hours"))), logLik(whole), tolerance = 1e-6)
})

test_that("chunks may be objects of sf", {
  skip_if_not_installed("sf")
  utils::data(meuse, package = "sp", envir = environment())
  points <- sf::st_as_sf(meuse, coords = c("x", "y"), crs = 28992)
  box <- gp_basis(c(178000, 329000), c(182000, 334000), lengthscale = c(300, 3000), cov = "exp_quad")
  of <- function(rows, data, formula) gp_accumulate(formula, data[rows, ], box)
  sums <- of(1:80, points, log(zinc) ~ sqrt(dist) + gp(geometry)) + of(81:155, points, log(zinc) ~ sqrt(dist) + gp(geometry))
  plain <- fastlmm_fit(of(1:155, meuse, log(zinc) ~ sqrt(dist) + gp(x, y)))
  fit <- fastlmm_fit(sums)
  expect_equal(as.numeric(logLik(fit)), as.numeric(logLik(plain)), tolerance = 1e-6)
  expect_equal(unname(predict(fit, points[1:4, ])), unname(predict(plain, meuse[1:4, ])), tolerance = 1e-6)
  degrees <- sf::st_transform(points, 4326)
  expect_error(gp_accumulate(log(zinc) ~ gp(geometry), degrees, box), class = "fastlmm_error_outside_box")
})
