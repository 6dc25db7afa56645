# Who is who: rows of data, automatic row names, and ids that are numbers. Each table is the rule, case by case; the right value is that of the same model with
# ids that nobody can mistake.

row_world <- function(n = 24) {
  once(paste("row world", n), local({
    set.seed(27)
    u <- runif(n)
    K <- exp(-as.matrix(dist(u)) / 0.2)
    data <- data.frame(x = rnorm(n))
    data$y <- data$x + 2 * drop(t(chol(K)) %*% rnorm(n)) + rnorm(n, 0, 0.8)
    list(data = data, K = K, u = u, gone = c(2, 5, 9))
  }))
}

# The model that the kernel over rows `rows` of the world must be
by_id <- function(rows, world = row_world()) {
  K <- world$K
  dimnames(K) <- list(paste0("r", seq_len(nrow(K))), paste0("r", seq_len(nrow(K))))
  quietly(fastlmm_fit(y ~ x + (1 | id), transform(world$data, id = rownames(K))[rows, ], K))
}

quietly <- function(expr) suppressWarnings(suppressMessages(expr))

over_rows <- function(data, K, ...) fastlmm_fit(y ~ x, data, K, ...)

anew <- function(data) `rownames<-`(data, NULL) # a filtered tibble's row names

test_that("a kernel over rows: what the names of K and of data mean together", {
  world <- row_world()
  D <- world$data
  K <- world$K
  n <- nrow(D)
  real <- paste0("r", seq_len(n))
  some <- seq_len(n)[-world$gone]
  order <- c(7:n, 1:6)
  named <- function(x, names) if (is.data.frame(x)) `rownames<-`(x, names) else `dimnames<-`(x, list(names, names))
  same <- function(data, K, rows = seq_len(n), ...) expect_equal(quietly(over_rows(data, K, ...))$logLik, by_id(rows)$logLik, tolerance = 1e-9)
  asks <- function(data, K, ...) expect_error(over_rows(data, K, ...), class = "fastlmm_error_row_names")
  refuses <- function(data, K, class) expect_error(over_rows(data, K), class = paste0("fastlmm_error_", class))

  # all rows of data: automatic, numbers kept, real names; K without names, 1..n, real names
  for (data in list(D, anew(D), D[seq_len(n), ])) {
    same(data, unname(K))
    same(data, K)
    refuses(data, named(K, real), "ids_missing")
  }
  same(named(D, real), unname(K))
  same(named(D, real), K)
  same(named(D, real), named(K, real)[order, order])

  # some of the rows
  kept <- D[some, ]
  same(kept, K, some)
  asks(anew(kept), K)
  expect_equal(quietly(over_rows(anew(D[1:20, ]), K[1:20, 1:20]))$logLik, by_id(1:20)$logLik)
  expect_equal(quietly(over_rows(D[1:20, ], K))$logLik, by_id(1:20)$logLik)
  asks(anew(D[1:20, ]), K)
  refuses(kept, unname(K), "kernel_shape")
  refuses(anew(kept), unname(K), "kernel_shape")
  same(kept, K[some, some], some)
  same(kept, unname(K[some, some]), some)
  same(kept, named(K[some, some], seq_along(some)), some)
  same(anew(kept), unname(K[some, some]), some)
  same(anew(kept), named(K[some, some], seq_along(some)), some)
  asks(anew(kept), K[some, some])
  same(named(D, real)[some, ], named(K, real), some)

  # rows in another order: by name or by order?
  asks(D[order, ], K)
  same(D[order, ], unname(K[order, order]), order)
  same(D[order, ], K[order, order], order)
  asks(anew(D[order, ]), K[order, order])
  asks(D, K[order, order])

  # subset and missing values within the fit
  holes <- D
  holes$y[world$gone] <- NA
  same(holes, K, some)
  same(anew(holes), unname(K), some)
  same(D, K, some, subset = !seq_along(x) %in% c(2, 5, 9))
  asks(kept |> anew(), K, subset = x < 10)
  expect_message(over_rows(D, K), class = "fastlmm_message_position")
  expect_no_message(over_rows(kept, K), class = "fastlmm_message_position")
})

test_that("a factor, a decomposition and a mix over rows follow the same rule", {
  world <- row_world()
  E <- eigen(world$K)
  W <- E$vectors %*% diag(sqrt(E$values))
  rownames(W) <- rownames(E$vectors) <- seq_len(nrow(W))
  kept <- world$data[-world$gone, ]
  right <- by_id(seq_len(nrow(W))[-world$gone])$logLik
  for (kernel in list(kernel_lowrank(W), kernel_eigen(E))) {
    expect_equal(quietly(over_rows(kept, kernel))$logLik, right, tolerance = 1e-8)
    expect_error(over_rows(anew(kept), kernel), class = "fastlmm_error_row_names")
  }
  two <- function(K) kernel_mix(A = K, B = K^2)
  mixed <- quietly(fastlmm_fit(y ~ x + (1 | id), transform(world$data, id = as.character(1:24))[-world$gone, ], two(world$K)))
  expect_equal(quietly(over_rows(kept, two(world$K)))$logLik, mixed$logLik, tolerance = 1e-8)
  expect_error(over_rows(anew(kept), two(world$K)), class = "fastlmm_error_row_names")
})

test_that("predict: new rows are rows of the fit only by names of their own, or with its response", {
  world <- row_world()
  train <- 1:18
  fit <- quietly(over_rows(world$data[train, ], world$K[train, train]))
  all <- quietly(over_rows(world$data[train, ], world$K))
  id <- by_id(train)
  test <- transform(world$data, id = paste0("r", 1:24))[19:24, ]
  truth <- unname(predict(id, test))
  asks <- function(expr) expect_error(expr, class = "fastlmm_error_row_names")

  new <- data.frame(x = test$x)
  for (one in list(fit, all)) {
    expect_equal(predict(one, world$data[train, ]), fitted(one), tolerance = 1e-10)
    expect_equal(unname(predict(one, anew(world$data[train, ]))), unname(fitted(one)), tolerance = 1e-10)
    expect_equal(predict(one, world$data[3:5, ]), fitted(one)[3:5], tolerance = 1e-10)
    expect_equal(
      unname(predict(one, transform(world$data[train, ], x = 0)) - predict(one, re.form = NA)),
      unname(fitted(one) - world$data$x[train] * fixef(one)[["x"]] - predict(one, re.form = NA))
    )
    asks(predict(one, new))
    asks(predict(one, new, se.fit = TRUE))
    asks(predict(one, anew(world$data[3:5, ])))
    asks(predict(one, data.frame(x = world$data$x[train])))
    asks(predict(one, data.frame(x = 0, row.names = "3")))
    asks(predict(one, transform(world$data[3:5, ], y = y + 1)))
    expect_equal(unname(predict(one, new, allow.new.levels = TRUE)), unname(predict(one, new, re.form = NA)))
    expect_equal(unname(quietly(predict(one, new, K = `rownames<-`(world$K[19:24, train], NULL)))), truth, tolerance = 1e-8)
    expect_equal(unname(quietly(predict(one, new, K = `rownames<-`(world$K[19:24, train], 1:6)))), truth, tolerance = 1e-8)
    expect_message(predict(one, new, K = `rownames<-`(world$K[19:24, train], NULL)), class = "fastlmm_message_position")
    asks(predict(one, new, K = world$K[19:24, train]))
  }
  expect_equal(unname(predict(all, test)), truth, tolerance = 1e-8)
  cross <- `rownames<-`(world$K[19:24, train], NULL)
  expect_equal(
    unname(quietly(predict(fit, new, K = cross, se.fit = TRUE, k_diag = 1))$se.fit), unname(predict(id, test, se.fit = TRUE)$se.fit), tolerance = 1e-7
  )
  expect_equal(
    unname(quietly(predict(fit, new, K = cross, se.fit = TRUE, k_diag = rep(1, 6)))$se.fit), unname(predict(id, test, se.fit = TRUE)$se.fit), tolerance = 1e-7
  )
  holes <- anew(world$data)
  holes$y[19:24] <- NA
  gaps <- quietly(over_rows(holes, world$K))
  expect_equal(unname(predict(gaps, holes)[19:24]), truth, tolerance = 1e-8)

  many <- quietly(fastlmm_fit(cbind(y, -2 * y) ~ x, world$data[train, ], world$K))
  expect_equal(unname(predict(many, anew(world$data[train, ]))), unname(fitted(many)), tolerance = 1e-8)
  expect_equal(unname(predict(many, test)[, 2]), -2 * truth, tolerance = 1e-6)
  asks(predict(many, new))
  expect_equal(unname(quietly(predict(many, new, K = cross))[, 1]), truth, tolerance = 1e-6)

  again <- refit(fit, rev(fit$y))
  expect_equal(unname(predict(again, world$data[train, ])), unname(fitted(again)), tolerance = 1e-8)
})

# ---- candidates -----------------------------------------------------------------------------------------

# Ids that are numbers, three rows each, in an order of their own
number_world <- function() {
  once("number world", local({
    set.seed(25)
    D <- data.frame(id = rep(c(8:20, 1:7), each = 3), a = rnorm(60))
    D$y <- rnorm(20)[D$id] + 0.8 * D$a + rnorm(60)
    G <- matrix(rnorm(60), 20, dimnames = list(sample(20), c("m1", "m2", "m3")))
    list(D = D, G = G, fit = fastlmm_fit(y ~ 1 + (1 | id), D), clear = fastlmm_fit(y ~ 1 + (1 | id), transform(D, id = paste0("s", id))))
  }))
}

same_tests <- function(found, right) expect_equal(found$p.value, right$p.value, tolerance = 1e-8)

test_that("candidates from data are rows of data, whatever the ids are called", {
  world <- number_world()
  D <- world$D
  right <- quietly(fastlmm_scan(world$clear, matrix(D$a)))
  same_tests(fastlmm_scan(world$fit, ~ a, data = D), right)
  same_tests(fastlmm_scan(world$fit, model.matrix(~ a, D))[2, ], right)
  same_tests(quietly(fastlmm_scan(world$fit, model.matrix(~ a, D)[, "a", drop = FALSE])), right)
  same_tests(quietly(fastlmm_scan(world$fit, D["a"])), right)
  same_tests(quietly(fastlmm_scan(world$fit, anew(D)["a"])), right)
  holes <- replace(D, "a", list(replace(D$a, c(58, 60), NA)))
  short <- fastlmm_fit(y ~ 1 + (1 | id), D[-c(58, 60), ])
  same_tests(quietly(fastlmm_scan(short, model.matrix(~ a, holes)[, "a", drop = FALSE])), quietly(fastlmm_scan(short, matrix(D$a[-c(58, 60)]))))
})

test_that("candidates with a row an id are matched by id, in any order and class", {
  world <- number_world()
  G <- world$G
  by_name <- `rownames<-`(G, paste0("s", rownames(G)))
  right <- fastlmm_scan(world$clear, by_name)
  frame <- as.data.frame(unname_rows(G))
  rownames(frame) <- as.integer(rownames(G))
  ordered <- G[order(as.integer(rownames(G))), ]
  for (one in list(G, frame, ordered, as.data.frame(ordered), Matrix::Matrix(G), G[c(4, 20:5, 1:3), ])) same_tests(fastlmm_scan(world$fit, one), right)
  many <- fastlmm_fit(cbind(y, z = y^2) ~ 1 + (1 | id), world$D)
  same_tests(subset(fastlmm_scan(many, G), response == "y"), right)
  same_tests(fastlmm_scan(many, ~ a)[1, ], fastlmm_scan(world$fit, ~ a, data = world$D))
  expect_equal(fastlmm_permute(world$fit, G, n = 20, seed = 1)$maximum, fastlmm_permute(world$fit, ordered, n = 20, seed = 1)$maximum, tolerance = 1e-8)

  # a row an id and a row a row of data as well: only the user knows
  once <- world$D[c(1, 4, 7, 10, 13, 16, 19, 22, 25, 28, 31, 34, 37, 40, 43, 46, 49, 52, 55, 58), ]
  K <- crossprod(matrix(rnorm(800), 40)) / 40
  dimnames(K) <- list(1:20, 1:20)
  for (data in list(once, anew(once))) {
    fit <- quietly(fastlmm_fit(y ~ 1 + (1 | id), data, K))
    expect_error(fastlmm_scan(fit, ordered), class = "fastlmm_error_row_names")
    expect_error(fastlmm_permute(fit, ordered, n = 5), class = "fastlmm_error_row_names")
    same_tests(fastlmm_scan(fit, G), fastlmm_scan(fit, G[order(rownames(G)), ]))
  }
  expect_error(fastlmm_scan(world$fit, matrix(0, 60, 1, dimnames = list(c(1:20, 101:140), "m"))[c(21:60, 1:20), , drop = FALSE]), NA)
})

test_that("names of candidates that are not unique do not move their rows", {
  world <- number_world()
  G <- world$G
  colnames(G) <- c("m", "k", "m")
  many <- fastlmm_fit(cbind(y, z = y^2) ~ 1 + (1 | id), world$D)
  found <- fastlmm_scan(many, G)
  expect_identical(found$term, rep(c("m", "k", "m"), 2))
  expect_equal(found$p.value[1:3], fastlmm_scan(world$fit, G)$p.value, tolerance = 1e-8)
})

# ---- what is evaluated after the fit ----------------------------------------------------------------------

test_that("data that were sorted after the fit do not change what is read from them", {
  world <- number_world()
  D <- transform(world$D, age = round(rnorm(60), 2), s1 = rnorm(60))
  G <- world$G
  for (base in c(TRUE, FALSE)) {
    d <- if (base) D else anew(D)
    fit <- fastlmm_fit(y ~ age + (1 | id), d)
    interaction <- quietly(fastlmm_scan(fit, G, interaction = ~ age))
    candidate <- quietly(fastlmm_scan(fit, ~ s1))
    table <- augment(fit, d)
    right <- d
    d <- d[order(d$s1), ]
    if (!base) d <- anew(d)
    same_tests(quietly(fastlmm_scan(fit, G, interaction = ~ age)), interaction)
    if (base) {
      same_tests(quietly(fastlmm_scan(fit, ~ s1)), candidate)
      expect_equal(augment(fit, data = d), table[order(right$s1), ])
    } else {
      expect_error(fastlmm_scan(fit, ~ s1), class = "fastlmm_error_rows")
      expect_error(fastlmm_scan(fit, G, interaction = ~ s1), class = "fastlmm_error_rows")
      expect_error(augment(fit, data = d), class = "fastlmm_error_rows")
      expect_error(fastlmm_scan(fit, ~ s1, data = d[1:50, ]), class = "fastlmm_error_rows")
      same_tests(quietly(fastlmm_scan(fit, ~ s1, data = right)), candidate)
    }
    many <- fastlmm_fit(cbind(y, z = y^2) ~ age + (1 | id), right)
    expect_error(fastlmm_scan(many, ~ s1, data = anew(d)), class = "fastlmm_error_rows")
    expect_error(fastlmm_permute(fit, ~ s1, n = 5, data = anew(d)), class = "fastlmm_error_rows")
  }
})

test_that("a kernel for each group of candidates meets the rows of the fit, not those of its data today", {
  world <- number_world()
  K <- crossprod(matrix(rnorm(800), 40)) / 40
  dimnames(K) <- list(1:20, 1:20)
  d <- anew(world$D)
  fit <- fastlmm_fit(y ~ 1 + (1 | id), d, K)
  kernels <- list(a = K + diag(20), b = K)
  right <- quietly(fastlmm_scan(fit, world$G, groups = c("a", "b", "b"), kernels = kernels))
  d <- anew(d[order(d$y), ])
  same_tests(quietly(fastlmm_scan(fit, world$G, groups = c("a", "b", "b"), kernels = kernels)), right)
})

# ---- ids that are numbers -----------------------------------------------------------------------------------

test_that("numeric ids are exact up to 2^53 and refused beyond", {
  set.seed(1)
  d <- data.frame(id = rep(c(1234567890123456, 1234567890123457, 1e15, 2^53, 100000), each = 4))
  d$y <- rep(1:5, each = 4) + rnorm(20)
  full <- c("1234567890123456", "1234567890123457", "1000000000000000", "9007199254740992", "100000")
  fit <- fastlmm_fit(y ~ 1 + (1 | id), d)
  expect_setequal(fit$random$id$ids, full)
  K <- exp(-as.matrix(dist(1:5)))
  dimnames(K) <- list(replace(full, c(3, 5), c("1e+15", "1e+05")), NULL)
  W <- t(chol(`dimnames<-`(K, list(rownames(K), rownames(K)))))
  clear <- fastlmm_fit(y ~ 1 + (1 | id), transform(d, id = as.character(factor(sprintf("%.0f", id)))), `dimnames<-`(K, list(full, full)))
  new <- data.frame(id = unique(d$id)[c(3, 1)])
  for (kernel in list(K, kernel_lowrank(W))) {
    found <- fastlmm_fit(y ~ 1 + (1 | id), d, kernel)
    expect_equal(found$logLik, clear$logLik, tolerance = 1e-8)
    expect_equal(unname(predict(found, new)), unname(predict(clear, data.frame(id = full[c(3, 1)]))), tolerance = 1e-8)
    G <- matrix(rnorm(5), dimnames = list(rownames(K), "m"))
    same_tests(fastlmm_scan(found, G), fastlmm_scan(clear, `rownames<-`(G, full)))
  }
  cross <- function(columns) matrix(0.3, 1, 5, dimnames = list("2e+15", columns))
  dense <- fastlmm_fit(y ~ 1 + (1 | id), d, K)
  effects <- lapply(
    list(predict(dense, data.frame(id = 2e15), K = cross(rownames(K))), predict(clear, data.frame(id = "2000000000000000"), K = cross(full))), unname
  )
  expect_equal(effects[[1]], effects[[2]], tolerance = 1e-8)
  expect_error(fastlmm_fit(y ~ 1 + (1 | id), transform(d, id = id + 2^53)), class = "fastlmm_error_large_ids")
  expect_error(predict(fit, data.frame(id = 2^54)), class = "fastlmm_error_large_ids")
  expect_identical(full_numbers(c("1.5e+00", "1e+20", "1.25e+02", "-1e+05")), c("1.5e+00", "1e+20", "125", "-100000"))
  expect_identical(levels(id_factor(c(0.1, 0.5, -3))), c("-3", "0.1", "0.5"))
})

# bit64's numbers, as fread() makes them, without bit64
as_wide <- function(x) {
  upper <- floor(x / 2^32)
  lower <- x - upper * 2^32
  halves <- suppressWarnings(as.integer(rbind(ifelse(lower >= 2^31, lower - 2^32, lower), upper)))
  structure(readBin(writeBin(halves, raw(), endian = "little"), "double", length(x), endian = "little"), class = "integer64")
}

test_that("64-bit integers are read as the numbers that they are, in data, new data and candidates", {
  set.seed(2)
  id <- rep(c(3, 2^31, 2^32 + 5, -7, 1234567890123457), each = 4)
  d <- data.frame(id, x = rep(c(-2, 5, 2^33, 1), 5), y = rnorm(20))
  wide <- d
  wide$id <- as_wide(id)
  wide$x <- as_wide(d$x)
  right <- fastlmm_fit(y ~ x + (1 | id), d)
  found <- fastlmm_fit(y ~ x + (1 | id), wide)
  expect_equal(found$logLik, right$logLik)
  expect_identical(found$random$id$ids, right$random$id$ids)
  new <- d[c(1, 6, 20), c("id", "x")]
  expect_equal(predict(found, list(id = as_wide(new$id), x = as_wide(new$x))), predict(right, new), ignore_attr = TRUE)
  expect_equal(quietly(fastlmm_scan(right, list2DF(list(m = as_wide(seq_len(20))))))$p.value, quietly(fastlmm_scan(right, data.frame(m = seq_len(20))))$p.value)
  expect_identical(plain_integer64(structure(readBin(as.raw(c(0, 0, 0, 0, 0, 0, 0, 128)), "double", endian = "little"), class = "integer64")), NA_real_)
  expect_error(plain_integer64(as_wide(2^60)), class = "fastlmm_error_large_ids")
})

test_that("a model matrix whose rows have kept numbers in another order than ids that are these numbers is asked about", {
  set.seed(12)
  D <- data.frame(id = sample(30), a = rnorm(30))
  D$y <- D$a + rnorm(30)
  K <- crossprod(matrix(rnorm(900), 30)) / 30
  dimnames(K) <- rep(list(1:30), 2)
  fit <- suppressMessages(fastlmm_fit(y ~ 1 + (1 | id), D, K))
  sorted <- model.matrix(~a, D[order(D$a), ])
  expect_error(fastlmm_scan(fit, sorted), class = "fastlmm_error_row_names")
  # ids that are no row numbers are no question, neither are rows where ids are not numbers
  D$id <- paste0("i", D$id)
  dimnames(K) <- rep(list(paste0("i", 1:30)), 2)
  fit <- suppressMessages(fastlmm_fit(y ~ 1 + (1 | id), D, K))
  expect_equal(fastlmm_scan(fit, sorted)$estimate[2], fastlmm_scan(fit, ~a)$estimate, tolerance = 1e-8)
})
