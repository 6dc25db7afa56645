# Predictions of several random effects given other responses of the new rows, against the joint normal distribution written out.

given_world <- function() {
  set.seed(4)
  ids <- paste0("i", 1:12)
  K <- crossprod(matrix(rnorm(12 * 20), 20)) / 10
  dimnames(K) <- list(ids, ids)
  data <- data.frame(id = rep(ids[1:9], 2), block = rep(paste0("b", 1:3), 6), sex = rep(0:1, length.out = 18))
  data$Y <- matrix(rnorm(18 * 3), 18, dimnames = list(NULL, c("a", "b", "c"))) + rnorm(3)[match(data$block, unique(data$block))] + data$sex
  new <- data.frame(id = ids[c(10, 11, 2)], block = c("b1", "b3", "b1"), sex = c(0, 1, 1))
  new$Y <- matrix(c(1, -1, 0.5, 2, NA, 1, NA, NA, NA), 3, dimnames = list(NULL, c("a", "b", "c")))
  list(
    K = K, data = data, new = new,
    fit = quiet_slam(Y ~ sex + (1 | id) + (1 | block), data, K = list(id = K), n_factors = 2, chains = 1, iter = 23, warmup = 21, seed = 1)
  )
}

# Mean and covariance of the new responses under one draw, cells in columns
given_dense <- function(world, t) {
  fit <- world$fit
  both <- rbind(world$data[c("id", "block", "sex")], world$new[c("id", "block", "sex")])
  old <- seq_len(nrow(world$data))
  S <- list(id = world$K[both$id, both$id], block = outer(both$block, both$block, "==") + 0)
  S <- lapply(S, function(S) unname(S) / mean(diag(S)[old]))
  chain <- fit$draws[[1]]
  theta <- matrix(chain$theta[, , t], 4)
  F <- matrix(chain$factors[, , t], nrow(fit$Y))
  left <- fit$data$y - cbind(fit$data$x, F) %*% theta
  one <- function(e, point, variance) {
    h <- fit$numbers$proportions[point + 1, ]
    V <- h[1] * S$id + h[2] * S$block + (1 - sum(h)) * diag(nrow(both))
    gain <- V[-old, old] %*% solve(V[old, old])
    list(mean = drop(gain %*% e), covariance = variance * (V[-old, -old] - gain %*% V[old, -old]))
  }
  own <- lapply(1:3, function(j) one(left[, j], chain$point[j, t], chain$sigma2[j, t]))
  factors <- lapply(1:2, function(m) one(F[, m], chain$factors_point[m, t], 1))
  lambda <- theta[3:4, ]
  sd <- unname(fit$scale$sd)
  mean <- vapply(own, `[[`, numeric(3), "mean") + vapply(factors, `[[`, numeric(3), "mean") %*% lambda
  covariance <- matrix(0, 9, 9)
  for (m in 1:2) covariance <- covariance + kronecker(tcrossprod(lambda[m, ]), factors[[m]]$covariance)
  for (j in 1:3) covariance[3 * j - 2:0, 3 * j - 2:0] <- covariance[3 * j - 2:0, 3 * j - 2:0] + own[[j]]$covariance
  fixed <- cbind(1, world$new$sex) %*% fixef(fit, draws = TRUE)[, , t]
  list(mean = c(fixed) + c(mean) * rep(sd, each = 3), covariance = covariance * outer(rep(sd, each = 3), rep(sd, each = 3)))
}

test_that("predictions given responses are those of the joint distribution", {
  world <- given_world()
  seen <- c(1, 2, 3, 4, 6)
  y <- c(world$new$Y)
  one <- function(t) {
    dense <- given_dense(world, t)
    value <- dense$mean + drop(dense$covariance[, seen] %*% solve(dense$covariance[seen, seen], y[seen] - dense$mean[seen]))
    replace(value, seen, y[seen])
  }
  expected <- (one(1) + one(2)) / 2
  found <- predict(world$fit, world$new, K = list(id = world$K), given = c("a", "b"))
  expect_equal(c(unname(found)), expected)
  # cells in another number than factors go the other way of solving
  alone <- predict(world$fit, world$new[1, ], K = list(id = world$K), given = "a")
  expect_equal(unname(alone[, "a"]), 1)
  # draws have the spread that is left
  many <- slam_repeated(world$fit, 1, some_draws(3000))
  draws <- predict(many, world$new, K = list(id = world$K), given = c("a", "b"), draws = TRUE)
  dense <- given_dense(world, 1)
  rest <- setdiff(1:9, seen)
  covariance <- dense$covariance[rest, rest] - dense$covariance[rest, seen] %*% solve(dense$covariance[seen, seen], dense$covariance[seen, rest])
  expect_normal(matrix(draws, 9)[rest, ], one(1)[rest], covariance)
  expect_true(all(matrix(draws, 9)[seen, ] == y[seen]))
})

test_that("without effects rows are those of the population, and some effects are no answer", {
  world <- given_world()
  found <- predict(world$fit, world$new, given = "a", re.form = NA)
  expect_equal(unname(found[, "a"]), unname(world$new$Y[, "a"]))
  expect_error(predict(world$fit, world$new, given = "a", re.form = ~ (1 | block)), class = "fastlmm_error_slam_effects")
  # confidence: effects given what was observed, without the residual
  wide <- predict(world$fit, world$new, K = list(id = world$K), given = "a", interval = "prediction")
  expect_true(all(is.finite(predict(world$fit, world$new, K = list(id = world$K), given = "a", interval = "confidence"))))
  expect_equal(dim(wide), c(3L, 3L, 3L))
})
