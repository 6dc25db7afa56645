# Fits of the sampler for tests, which are short and often of fewer factors than they should be: the messages that say so are tested where they are made.
quiet_slam <- function(..., progress = FALSE) quiet_chains(slamglmm_fit(..., progress = progress))

quiet_chains <- function(code) suppressMessages(code, classes = paste0("fastlmm_message_", c("n_factors", "convergence", "repeated")))

# Draw i of a fit, `times` over: what is drawn given it is normal, and its mean and covariance can be written down.
slam_repeated <- function(fit, i, times) {
  each <- ncol(fit$draws[[1]]$sigma2)
  chain <- fit$draws[[(i - 1) %/% each + 1]]
  at <- (i - 1) %% each + 1
  fit$draws <- list(lapply(chain[names(chain) != "count"], function(x) {
    last <- length(dim(x))
    per <- prod(dim(x)[-last])
    array(x[(at - 1) * per + seq_len(per)], c(dim(x)[-last], times))
  }))
  fit
}

# Each draw of so many: where one verb takes longer than the chain
slam_thinned <- function(fit, by) {
  fit$draws <- lapply(fit$draws, function(chain) lapply(chain[names(chain) != "count"], function(x) {
    last <- length(dim(x))
    at <- seq(by, dim(x)[last], by)
    array(matrix(x, ncol = dim(x)[last])[, at], c(dim(x)[-last], length(at)))
  }))
  fit
}

# The slow definition of everything that is predicted, given one draw: all covariances written out. `S`: Z K Z' over the fit's mean diagonal, of the rows of
# the fit and then of the new rows. Means and covariances of u (rows x responses, in columns) and of y, in units of scaled responses, without fixed effects;
# cells of the fit that are missing are not conditioned on.
slam_dense <- function(fit, S) {
  n <- nrow(fit$Y)
  new <- seq_len(nrow(S))[-seq_len(n)]
  old <- seq_len(n)
  chain <- fit$draws[[1]]
  b <- ncol(fit$X)
  k <- fit$n_factors
  theta <- matrix(chain$theta[, , 1], b + k)
  lambda <- theta[b + seq_len(k), , drop = FALSE]
  F <- fastlmm:::turn_back(fit$basis, matrix(chain$factors[, , 1], n))
  x <- fastlmm:::turn_back(fit$basis, fit$data$x)
  xf <- fastlmm:::turn_back(fit$basis, fit$data$xf)
  scaled <- t((t(fit$Y) - t(fit$X %*% fit$scale$shift)) / fit$scale$sd)
  if (nrow(chain$cells) > 0) scaled[is.na(scaled)] <- chain$cells[, 1]
  one <- function(e, h, variance) {
    seen <- old[!is.na(e)]
    V <- h * S + (1 - h) * diag(nrow(S))
    inverse <- solve(V[seen, seen])
    C <- h * S[new, seen]
    list(
      mean = drop(C %*% inverse %*% e[seen]),
      u = variance * (h * S[new, new] - C %*% inverse %*% t(C)),
      y = variance * (V[new, new] - C %*% inverse %*% t(C))
    )
  }
  own <- lapply(seq_len(ncol(fit$Y)), function(j) one(drop(scaled[, j] - x %*% theta[seq_len(b), j] - F %*% lambda[, j]), chain$h[j, 1], chain$sigma2[j, 1]))
  factors <- lapply(seq_len(k), function(m) one(F[, m] - drop(xf %*% chain$factors_b[, m, 1]), chain$factors_h[m, 1], 1))
  sum_of <- function(what) {
    total <- matrix(0, length(new) * ncol(fit$Y), length(new) * ncol(fit$Y))
    for (m in seq_len(k)) total <- total + kronecker(tcrossprod(lambda[m, ]), unname(factors[[m]][[what]]))
    for (j in seq_len(ncol(fit$Y))) {
      at <- (j - 1) * length(new) + seq_along(new)
      total[at, at] <- total[at, at] + unname(own[[j]][[what]])
    }
    total
  }
  mean <- vapply(own, `[[`, numeric(length(new)), "mean")
  for (m in seq_len(k)) mean <- mean + outer(factors[[m]]$mean, lambda[m, ])
  sd <- rep(unname(fit$scale$sd), each = length(new))
  list(mean = c(unname(mean)) * sd, u = sum_of("u") * outer(sd, sd), y = sum_of("y") * outer(sd, sd))
}

# Missing cells given factors and the cells that were observed, V written out
dense_cells <- function(fit, S) {
  chain <- fit$draws[[1]]
  F <- fastlmm:::turn_back(fit$basis, matrix(chain$factors[, , 1], nrow(fit$Y)))
  one <- function(j) {
    mean <- drop(cbind(fastlmm:::turn_back(fit$basis, fit$data$x), F) %*% chain$theta[, j, 1])
    y <- (fit$Y[, j] - drop(fit$X %*% fit$scale$shift[, j])) / fit$scale$sd[j]
    gone <- is.na(y)
    V <- chain$sigma2[j, 1] * (chain$h[j, 1] * S + (1 - chain$h[j, 1]) * diag(nrow(S)))
    gain <- V[gone, !gone] %*% solve(V[!gone, !gone])
    list(
      mean = drop((mean[gone] + gain %*% (y - mean)[!gone]) * fit$scale$sd[j] + fit$X[gone, ] %*% fit$scale$shift[, j]),
      covariance = (V[gone, gone] - gain %*% V[!gone, gone]) * fit$scale$sd[j]^2
    )
  }
  parts <- lapply(which(colSums(is.na(fit$Y)) > 0), one)
  list(mean = unlist(lapply(parts, `[[`, "mean"), use.names = FALSE), covariance = as.matrix(Matrix::bdiag(lapply(parts, `[[`, "covariance"))))
}

# Draws have a mean and a covariance, to within five standard errors
expect_normal <- function(draws, mean, covariance, error = 5) {
  count <- ncol(draws)
  sd <- sqrt(pmax(diag(covariance), 1e-20))
  testthat::expect_lt(max(abs(rowMeans(draws) - mean) / sd), error / sqrt(count))
  found <- stats::cov(t(draws))
  off <- (found - covariance) / outer(sd, sd)
  testthat::expect_lt(max(abs(off)), error * sqrt(2 / count))
}
