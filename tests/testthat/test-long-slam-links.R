# Coverage of slamglmm_fit() with responses that are objects: make check-long.

long_links <- function() skip_if_not(is_long(), "slow; make check-long runs it")

# Parts of the 90 percent intervals of covariances, of fixed effects and of parameters of links that hold the truth
held_of <- function(fit, truth) {
  entries <- function(table, V) {
    at <- cbind(match(table$response1, colnames(fit$Y)), match(table$response2, colnames(fit$Y)))
    mean(table$low <= V[at] & V[at] <= table$high)
  }
  table <- summary(fit, level = 0.9)$table
  inside <- function(values) {
    at <- match(names(values), table$variable)
    mean(table$low[at] <= values & values <= table$high[at])
  }
  c(G = entries(fastlmm::G(fit, level = 0.9), truth$G), R = entries(fastlmm::R(fit, level = 0.9), truth$R), B = inside(truth$B), link = inside(truth$link))
}

# Two traits of 200 rows in 50 lines, with a covariate
covered_world <- function(seed, n = 200) {
  set.seed(3000 + seed)
  line <- rep(sprintf("l%02d", 1:50), length.out = n)
  G <- matrix(c(0.5, 0.3, 0.3, 0.6), 2)
  R <- matrix(c(0.5, -0.1, -0.1, 0.4), 2)
  x <- rnorm(n)
  eta <- (matrix(rnorm(100), 50) %*% chol(G))[match(line, unique(line)), ] + matrix(rnorm(2 * n), n) %*% chol(R) + outer(x, c(0.5, -0.3)) +
    rep(c(2, 1), each = n)
  list(data = data.frame(line, x), eta = eta, G = G, R = R)
}

covered_probes <- function(seed) {
  w <- covered_world(seed)
  map <- c(a1 = "a", a2 = "a", a3 = "a", b1 = "b", b2 = "b", b3 = "b")
  noise <- c(0.05, 0.2, 0.4, 0.1, 0.1, 0.3)
  mean <- c(-1, 0, 1, 0.5, -0.5, 0)
  w$data$M <- w$eta[, rep(1:2, each = 3)] + rep(mean, each = 200) + rep(sqrt(noise), each = 200) * matrix(rnorm(1200), 200, dimnames = list(NULL, names(map)))
  w$data$M[sample(1200, 120)] <- NA
  fit <- quiet_slam(slam_probes(M, map) ~ x + (1 | line), w$data, chains = 2, iter = 2500, warmup = 500, seed = seed)
  named <- function(what, values) structure(values, names = paste0(what, "_", names(map), "[", map, "]"))
  held_of(fit, list(G = w$G, R = w$R, B = c("B[x,a]" = 0.5, "B[x,b]" = -0.3, "B[(Intercept),a]" = 2), link = c(named("mean", mean), named("noise", noise))))
}

# Lines of 0 to 6 times in 200 ids
curves_world <- function(seed) {
  w <- covered_world(seed)
  w$data$id <- sprintf("i%03d", 1:200)
  count <- sample(0:6, 200, replace = TRUE)
  w$long <- data.frame(id = rep(w$data$id, count), time = runif(sum(count), -1, 1))
  w$long$y <- rowSums(cbind(1, w$long$time) * w$eta[match(w$long$id, w$data$id), ]) + sqrt(0.1) * rnorm(nrow(w$long))
  w
}

fit_curves <- function(w, seed) {
  basis <- function(t) cbind(level = 1, slope = t)
  quiet_slam(slam_curves(y ~ time, id, w$long, basis = basis) ~ x + (1 | line), w$data, chains = 2, iter = 2500, warmup = 500, seed = seed)
}

covered_curves <- function(seed) {
  w <- curves_world(seed)
  fit <- fit_curves(w, seed)
  B <- c("B[x,y.level]" = 0.5, "B[x,y.slope]" = -0.3, "B[(Intercept),y.level]" = 2, "B[(Intercept),y.slope]" = 1)
  held_of(fit, list(G = w$G, R = w$R, B = B, link = c("noise[y]" = 0.1)))
}

for (kind in c("probes", "curves")) {
  test_that(paste("intervals of", kind, "hold the truth"), {
    long_links()
    parts <- rowMeans(vapply(1:40, list(probes = covered_probes, curves = covered_curves)[[kind]], numeric(4)))
    if (nzchar(Sys.getenv("SHOW_COVERAGE"))) message(kind, ": ", paste(names(parts), round(parts, 3), collapse = ", "))
    # three standard deviations of a part of 40 intervals, as there are of the noise of curves: REML's estimates spread by more than their standard errors over
    # these seeds
    expect_true(all(parts > 0.9 - 3 * sqrt(0.9 * 0.1 / 40) & parts < 0.98), info = paste(kind, toString(round(parts, 3))))
  })
}

test_that("the noise of curves is where REML has it", {
  long_links()
  skip_if_not_installed("lme4")
  apart <- function(seed) {
    w <- curves_world(seed)
    noise <- summary(fit_curves(w, seed))$table
    noise <- noise[noise$variable == "noise[y]", ]
    rows <- cbind(w$long, w$data[match(w$long$id, w$data$id), c("x", "line")])
    reml <- suppressWarnings(suppressMessages(lme4::lmer(y ~ time * x + (1 + time | id) + (1 + time | line), rows)))
    (noise$mean - stats::sigma(reml)^2) / noise$sd
  }
  expect_lt(max(abs(vapply(1:5, apart, 0))), 0.35)
})
