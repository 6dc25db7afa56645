# Draws of random effects and responses of a sparse-factor model: what the sampler integrated out, drawn given each of its draws.
#
# In units of its standard deviation what is a factor's or a response's own is N(0, V(h)), V(h) = h S + (1 - h) I with S = Z K Z' over its mean diagonal. The
# effects of some rows, given it, have mean h A V(h)^-1 e and covariance h M - h^2 A V(h)^-1 A', A and M the kernel of them with the rows of the fit and among
# themselves. As h lies on a grid each covariance has one root for all draws.

# ---- draws, one by one ---------------------------------------------------------------------------------------------

# The chain of draw i of all, and its place there
draw_place <- function(fit, i) {
  each <- ncol(fit$draws[[1]]$sigma2)
  list(chain = fit$draws[[(i - 1) %/% each + 1]], t = (i - 1) %% each + 1)
}

# Draw i of all chains, in the rotated basis and in units of scaled responses: factors n x k, coefficients (b + k) x p, their part that is loadings, standard
# deviations, proportions, missing cells
scaled_draw <- function(fit, i) {
  at <- draw_place(fit, i)
  chain <- at$chain
  t <- at$t
  slice <- function(x) array(x[, , t], dim(x)[1:2])
  theta <- slice(chain$theta)
  list(
    F = kept_factors(fit, chain, t), theta = theta, lambda = theta[ncol(fit$X) + seq_len(fit$n_factors), , drop = FALSE], bF = slice(chain$factors_b),
    sigma = sqrt(chain$sigma2[, t]),
    h = chain$h[, t], hF = chain$factors_h[, t], at = point_of(fit, chain, t, ""), factors_at = point_of(fit, chain, t, "factors_"),
    cells = kept_cells(fit, chain, t), cis = chain$cis[, t], total = total_fixed(fit, one_draw(fit, chain, t)), number = i
  )
}

# Where traits or factors are: their proportion, with several effects their points of the grid
point_of <- function(fit, chain, t, whose) chain[[paste0(whose, if (is_several(fit)) "point" else "h")]][, t]

# From the basis of the sampler, which with several effects is the rows themselves, to rows; and to it
to_rows <- function(fit, M) if (is_several(fit)) M else turn_back(fit$basis, M)

from_rows <- function(fit, M) if (is_several(fit)) M else turn_to(fit$basis, M)

# What is the responses' and the factors' own, with variance V(h): n x p and n x k in the rotated basis
own_parts <- function(fit, d, cells) {
  fitted <- fitted_in_basis(fit, d$F, d$theta, d$cis)
  y <- fit$data$y
  missing <- missing_cells(fit)
  if (nrow(missing) > 0) {
    filled <- matrix(0, nrow(fit$Y), ncol(fit$Y))
    filled[missing] <- if (length(fit$data$sets) > 0) cells(d, turn_back(fit$basis, fitted)) else d$cells
    y <- y + from_rows(fit, filled)
  }
  list(responses = (y - fitted) / rep(d$sigma, each = nrow(y)), factors = d$F - fit$data$xf %*% d$bF)
}

# Missing cells that were integrated out, drawn given all else (or their means): a function of a draw and of what its factors and fixed effects say
cell_drawer <- function(fit, noise = TRUE) {
  sets <- Filter(function(set) length(set$rows) < nrow(fit$Y), fit$data$sets)
  gone <- lapply(sets, function(set) setdiff(seq_len(nrow(fit$Y)), set$rows))
  if (length(sets) == 0) return(function(d, fitted) numeric())
  kernel <- random_rows(fit$random[[1]])
  targets <- Map(function(set, rows) kernel_target(kernel(rows, set$rows), kernel(rows, rows), set$basis, set$s, fit$basis$mean_diag), sets, gone)
  function(d, fitted) {
    value <- matrix(0, nrow(fit$Y), ncol(fit$Y))
    for (s in seq_along(sets)) {
      set <- sets[[s]]
      rows <- gone[[s]]
      sigma <- rep(d$sigma[set$traits], each = length(rows))
      h <- d$h[set$traits]
      left <- turn_to(set$basis, set$y - fitted[set$rows, set$traits, drop = FALSE])
      own <- targets[[s]]$mean(left, h)
      if (noise) own <- own + sigma * (targets[[s]]$noise(h) + residual_noise(length(rows), h))
      value[rows, set$traits] <- fitted[rows, set$traits] + own
    }
    value[missing_cells(fit)]
  }
}

# ---- rows whose effects are wanted -----------------------------------------------------------------------------------

# Each target has `draw(E, h)`, draws of effects given what was their own, a column for each h (with several effects: for each point of the grid), in units of
# its standard deviation; where rows are conditioned
# `mean(E, h)`, their means, `noise(h)`, draws about them, `among(h)`, their covariance, and `rest(h)`, the proportion of the residual.

one_target <- function(mean, noise, among = NULL, rest = function(h) 1 - h) {
  list(draw = function(E, h) mean(E, h) + noise(h), mean = mean, noise = noise, among = among, rest = rest)
}

# The rows of the fit: in the rotated basis all is diagonal.
fit_target <- function(fit) {
  basis <- fit$basis
  of <- function(h, value) outer(basis$s, h, value)
  one_target(
    mean = function(E, h) turn_back(basis, of(h, function(s, h) h * s / (h * s + 1 - h)) * E),
    noise = function(h) turn_back(basis, of(h, function(s, h) sqrt(h * (1 - h) * s / (h * s + 1 - h))) * normals(length(basis$s), length(h)))
  )
}

# Rows of individuals of whom nothing is known: the prior. `whole`: the proportion of all effects
unknown_target <- function(rows, whole = identity) {
  one_target(
    mean = function(E, h) matrix(0, rows, length(h)), noise = function(h) normals(rows, length(h)) * rep(sqrt(whole(h)), each = rows),
    among = function(h) diag(whole(h), rows), rest = function(h) 1 - whole(h)
  )
}

# Rows whose kernel with those that were observed is `cross`, and among themselves `among`; basis and eigenvalues are of those that were observed.
kernel_target <- function(cross, among, basis, s, mean_diag) {
  A <- t(turn_to(basis, t(cross))) / mean_diag
  M <- among / mean_diag
  covariance <- remembered(function(h) h * M - tcrossprod(A * rep(h / sqrt(h * s + 1 - h), each = nrow(A))))
  root <- remembered(function(h) psd_root(covariance(h)))
  one_target(
    mean = function(E, h) A %*% (outer(s, h, function(s, h) h / (h * s + 1 - h)) * E),
    noise = function(h) by_value(normals(nrow(M), length(h)), h, function(Z, h) root(h) %*% Z),
    among = covariance
  )
}

# Z K Z' of rows of the fit
random_rows <- function(random) {
  function(rows, columns) {
    at <- function(i) random$index[random$group[i]]
    random$z[rows] * kernel_block(random, at(rows), at(columns)) * rep(random$z[columns], each = length(rows))
  }
}

normals <- function(rows, columns) matrix(stats::rnorm(rows * columns), rows, columns)

# Residual part of what is own, in units of its standard deviation
residual_noise <- function(rows, h) normals(rows, length(h)) * rep(sqrt(1 - h), each = rows)

# A function of the columns that share a value
by_value <- function(columns, value, work) {
  for (one in unique(value)) columns[, value == one] <- work(columns[, value == one, drop = FALSE], one)
  columns
}

# The value of a number, found once
remembered <- function(work) {
  held <- list()
  function(x, ...) {
    key <- paste(format(c(x, ...), digits = 17), collapse = " ")
    if (is.null(held[[key]])) held[[key]] <<- work(x, ...)
    held[[key]]
  }
}

# L with L L' = V, for a covariance that may be singular
psd_root <- function(V) {
  size <- max(0, diag(V))
  if (size == 0) return(0 * V)
  upper <- suppressWarnings(chol((V + t(V)) / 2, pivot = TRUE, tol = 1e-11 * size))
  rank <- attr(upper, "rank")
  upper[seq_len(nrow(V)) > rank, ] <- 0
  t(upper[, order(attr(upper, "pivot")), drop = FALSE])
}

# ---- what is drawn ------------------------------------------------------------------------------------------------------

# A function of each draw that gives rows x responses (or other `columns`), random numbers those of the fit's seed: an array, or with `mean` the mean over draws
each_effect <- function(fit, rows, what, mean = FALSE, columns = colnames(fit$Y)) {
  check_has_draws(fit)
  count <- count_draws(fit)
  if (!mean) check_answer_memory(length(rows), length(columns), count)
  state <- seed_generator(fit$seed %% .Machine$integer.max)
  on.exit(state$restore())
  if (mean) {
    sum <- 0
    for (i in seq_len(count)) sum <- sum + what(scaled_draw(fit, i))
    return(sum / count)
  }
  size <- c(length(rows), length(columns))
  all <- vapply(seq_len(count), function(i) what(scaled_draw(fit, i)), matrix(0, size[1], size[2]))
  array(all, c(size, count), list(rows, columns, NULL))
}

# All draws, and a copy of them while they are put together
check_answer_memory <- function(rows, responses, count, available = available_memory()) {
  check_memory(2 * 8 * as.numeric(rows) * responses * count, function(needed, available) {
    paste0(
      counted(count, "draw"), " of ", counted(rows, "row"), " and ", counted(responses, "response"), " would take ", needed, " and there are ", available,
      "; ask for fewer rows, or thin the chains"
    )
  }, available)
}

# Random effects of the rows of a target, in units of the responses
effect_draw <- function(fit, target, d, cells) {
  own <- own_parts(fit, d, cells)
  on_responses(fit, d, target$draw(own$factors, d$factors_at), target$draw(own$responses, d$at))
}

# New residuals of some rows
residual_draw <- function(fit, rows, d) on_responses(fit, d, residual_noise(rows, d$hF), residual_noise(rows, d$h))

# What goes through the factors, and what is the responses' own
on_responses <- function(fit, d, factors, own) (factors %*% d$lambda + own * rep(d$sigma, each = nrow(own))) * rep(fit$scale$sd, each = nrow(own))
