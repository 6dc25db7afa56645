# The series of scaling.R: what grows, up to where, the exponents that theory gives to time and memory, and a function of the size that makes the data and
# gives the run.

# Neighbours in a row, correlation .99 a step: K needs no room beside itself, and draws are made in a pass.
neighbours <- function(n, ids) {
  K <- matrix(0, n, n)
  power <- 0.99^(0:(n - 1))
  for (j in seq_len(n)) K[, j] <- power[abs(seq_len(n) - j) + 1]
  dimnames(K) <- list(ids, ids)
  K
}

along_row <- function(n) as.numeric(stats::filter(rnorm(n, sd = sqrt(1 - 0.99^2)), 0.99, "recursive"))

# n ids, a factor of k columns, p covariates, q responses
factor_data <- function(n, k, p = 2, q = 1) {
  ids <- sprintf("i%d", seq_len(n))
  W <- matrix(rnorm(n * k), n, dimnames = list(ids, NULL)) / sqrt(k)
  data <- data.frame(id = ids)
  data$X <- matrix(rnorm(n * p), n)
  y <- W %*% matrix(rnorm(k * q), k) + matrix(rnorm(n * q), n)
  data$y <- if (q == 1) drop(y) else y
  list(data = data, kernel = kernel_lowrank(W))
}

fit_of_factor <- function(n, k, p) {
  given <- factor_data(n, k, p)
  list(run = function() fastlmm_fit(y ~ X + (1 | id), given$data, given$kernel))
}

sampler_point <- function(n, p, k) {
  run <- sampler_of(simulated(n, p), k, 2)
  steps <- max(200, round(1e7 / (n * p * k)))
  list(run = function() run(steps), steps = steps)
}

growth <- list(
  dense = list(
    title = "dense kernel, ids (p = 3)", sizes = c(500, 1000, 2000, 4000, 8000, 12000), time = "3", memory = "2",
    point = function(n) {
      ids <- sprintf("i%d", seq_len(n))
      K <- neighbours(n, ids)
      data <- data.frame(id = ids, x1 = rnorm(n), x2 = rnorm(n))
      data$y <- along_row(n) + rnorm(n)
      list(run = function() fastlmm_fit(y ~ x1 + x2 + (1 | id), data, K))
    }
  ),
  lowrank = list(
    title = "factor of 100 columns, ids", sizes = c(1e4, 3e4, 1e5, 3e5, 1e6), time = "1", memory = "1",
    point = function(n) fit_of_factor(n, 100, 2)
  ),
  columns = list(
    title = "factor of 20,000 ids, columns", sizes = c(50, 100, 200, 400, 800, 1600), time = "2", memory = "1",
    point = function(k) fit_of_factor(20000, k, 2)
  ),
  fixed = list(
    title = "fixed effects (20,000 ids, factor of 50)", sizes = c(25, 50, 100, 200, 400, 800), time = "2", memory = "1",
    point = function(p) fit_of_factor(20000, 50, p)
  ),
  sparse = list(
    title = "crossed effects, rows (a level for 10 rows x 200 levels)", sizes = c(1e4, 3e4, 1e5, 3e5, 1e6), time = "1", memory = "1",
    point = function(n) {
      data <- data.frame(a = factor(sample(n / 10, n, TRUE)), b = factor(sample(200, n, TRUE)), x = rnorm(n))
      data$y <- data$x + rnorm(n / 10)[data$a] + rnorm(200)[data$b] + rnorm(n)
      list(run = function() fastlmm_fit(y ~ x + (1 | a) + (1 | b), data))
    }
  ),
  fourier = list(
    title = "process in the plane, points", sizes = c(1e4, 3e4, 1e5, 3e5, 1e6, 3e6, 1e7), time = "1", memory = "1",
    point = function(n) {
      data <- draw_points(draw_field("matern52"), n)
      list(run = function() fastlmm_fit(y ~ x + gp(x1, x2), data))
    }
  ),
  candidates = list(
    title = "scan of 1,000 ids, candidates", sizes = c(1e3, 3e3, 1e4, 3e4, 1e5), time = "1", memory = "1",
    point = function(m) {
      given <- factor_data(1000, 1200)
      fit <- fastlmm_fit(y ~ X + (1 | id), given$data, tcrossprod(given$kernel$W))
      G <- matrix(rnorm(1000 * m), 1000, dimnames = list(given$data$id, NULL))
      list(run = function() fastlmm_scan(fit, G, progress = FALSE))
    }
  ),
  responses = list(
    title = "responses of 500 ids", sizes = c(100, 300, 1e3, 3e3, 1e4, 3e4), time = "1", memory = "1",
    point = function(q) {
      given <- factor_data(500, 600, q = q)
      K <- tcrossprod(given$kernel$W)
      list(run = function() suppressMessages(fastlmm_fit(y ~ X + (1 | id), given$data, K)))
    }
  ),
  slam_p = list(
    title = "slamglmm, an iteration, responses (n = 300, k = 10)",
    sizes = c(50, 100, 200, 400, 800, 1600, 3200), time = "1", memory = "1",
    point = function(p) sampler_point(300, p, 10)
  ),
  slam_k = list(
    title = "slamglmm, an iteration, factors (n = 300, p = 400)",
    sizes = c(5, 10, 20, 40, 80), time = "1 to 3", memory = "1",
    point = function(k) sampler_point(300, 400, k)
  )
)
