# Several random effects of a sparse-factor model: proportions on rays of shares, bases that Rust holds, and one effect of them at a time.

is_several <- function(fit) length(fit$random) > 1

# Fits of before there were several have one, without a name in the list
effect_names <- function(fit) if (is.null(names(fit$random))) fit$random[[1]]$name else unname(names(fit$random))

# Places of some effects among those of the fit
effect_places <- function(fit, random) if (is_several(fit)) match(names(random), names(fit$random)) else seq_along(random)

# As columns beside others, none of which they replace
beside <- function(names, taken) make.unique(c(taken, names))[-seq_along(taken)]

# ---- the grid ------------------------------------------------------------------------------------------------

# Steps of the shares of two, three and four effects: 11, 28 and 35 rays
share_steps <- function(effects, steps = NULL) if (is.null(steps)) c(10, 6, 4)[effects - 1] else steps

count_rays <- function(effects, steps = NULL) if (effects == 1) 1 else choose(share_steps(effects, steps) + effects - 1, effects - 1)

# All shares of some effects in whole steps, a row each
share_lattice <- function(effects, steps) {
  counts <- as.matrix(expand.grid(rep(list(0:steps), effects - 1)))
  counts <- cbind(counts, steps - rowSums(counts))
  unname(counts[counts[, effects] >= 0, , drop = FALSE])
}

# Points of the grid: `h`, what all effects explain together, `shares` (rays x effects) of it, and `proportions` of each effect (points x effects, ray by ray)
several_grid <- function(grid, names, steps) {
  h <- grid_points(grid)
  counts <- share_lattice(length(names), steps)
  shares <- counts / steps
  proportions <- shares[rep(seq_len(nrow(shares)), each = length(h)), ] * rep(h, nrow(shares))
  colnames(shares) <- colnames(proportions) <- names
  list(h = h, counts = counts, shares = shares, proportions = proportions)
}

# Weights of all points. A Dirichlet distribution has independent H and shares: H is beta distributed, and shares on a lattice have the Dirichlet-multinomial
# distribution. A function of the user is a density about the uniform distribution.
several_weights <- function(prior, grid, name) {
  product <- function(of_h, of_shares) rep(of_h, nrow(grid$shares)) * rep(of_shares, each = length(grid$h))
  dirichlet <- function(concentration) {
    of <- concentrations(concentration, colnames(grid$shares), name)
    product(beta_prior(sum(of$effects), of$residual)(grid$h), lattice_weights(grid$counts, of$effects))
  }
  if (!is.null(attr(prior, "dirichlet"))) return(dirichlet(attr(prior, "dirichlet")))
  if (!is.null(attr(prior, "beta")) || !is.null(attr(prior, "point_zero"))) return(product(grid_weights(prior, grid$h, name), lattice_weights(grid$counts, 1)))
  weight <- checked_weights(prior, grid$proportions, nrow(grid$proportions), name)
  if (is.function(prior)) weight * dirichlet(1) else weight
}

# `concentration`: one, or one for each effect
lattice_weights <- function(counts, concentration) {
  log <- rowSums(lgamma(sweep(counts, 2, concentration, "+")) - lgamma(counts + 1))
  exp(log - max(log)) / sum(exp(log - max(log)))
}

# Levels and rays on which either has weight. H = 0 is the same point on every ray: its weight is spread over those that have more.
used_grid <- function(grid, weight) {
  tables <- lapply(weight, matrix, nrow = length(grid$h))
  above <- grid$h > 0
  rays <- Reduce(`|`, lapply(tables, function(w) colSums(w[above, , drop = FALSE]) > 0))
  if (!any(rays)) rays[1] <- TRUE
  spread <- function(w) {
    w[!above, rays] <- rowSums(w[!above, , drop = FALSE]) / sum(rays)
    w[, rays, drop = FALSE] / sum(w[, rays])
  }
  tables <- lapply(tables, spread)
  levels <- Reduce(`|`, lapply(tables, function(w) rowSums(w) > 0))
  keep <- as.vector(outer(levels, rays, "&"))
  c(
    lapply(tables, function(w) as.vector(w[levels, ])),
    list(h = grid$h[levels], shares = grid$shares[rays, , drop = FALSE], proportions = grid$proportions[keep, , drop = FALSE])
  )
}

# What prior_numbers() makes a prior's weights by; factors have weight where they have no other effects than theirs
several_points <- function(fit) {
  if (!is_several(fit)) return(NULL)
  grid <- several_grid(fit$plan$grid, effect_names(fit), share_steps(length(fit$random), fit$plan$steps))
  function(prior) {
    others <- rowSums(grid$proportions[, -fit$of_factors, drop = FALSE]) > 0
    weight <- list(traits = several_weights(prior$h2, grid, "h2"), factors = ifelse(others, 0, several_weights(prior$h2_factors, grid, "h2_factors")))
    if (sum(weight$factors) == 0) abort_prior("h2_factors gives no weight to the effects that the factors have")
    used_grid(grid, weight)
  }
}

# ---- bases -----------------------------------------------------------------------------------------------------

# Nothing is rotated before rays are known
several_basis <- function(random) list(s = numeric(), mean_diag = mean_diagonals(random))

several_sets <- function(missing) {
  if (missing == "integrate") abort_fastlmm(
    "slam_effects",
    paste0(
      "with several random effects missing cells are drawn, as integrating them out would need a basis for each ray and set of rows: leave missing at ",
      "\"auto\" or \"impute\""
    )
  )
  list()
}

# Can the effects be told from each other and from the residual? Once X is out their covariances and I must not depend on each other: they do if what they make
# of some vectors does, that no direction is missing from.
check_effects_apart <- function(random, x, mean_diag) {
  n <- nrow(x)
  Q <- if (ncol(x) > 0) qr.Q(scaled_qr(x)) else matrix(0, n, 0)
  without_x <- function(z) {
    for (pass in 1:2) z <- z - Q %*% crossprod(Q, z)
    z
  }
  # of one vector few rows say too little
  z <- without_x(vapply(1:3, function(at) sin(at * seq_len(n)) + cos(seq_len(n)^2 + at), numeric(n)))
  made <- function(one, unit) c(without_x(apply(z, 2, function(v) random_times(one, v) / unit)))
  applied <- do.call(cbind, unname(Map(made, random, mean_diag)))
  size <- sqrt(colSums(applied^2) / sum(z^2))
  largest <- function(one, unit) max(abs(one$z^2 * kernel_diagonal(one)[one$index][one$group])) / unit
  rounding <- 1e-11 * sqrt(n) * unlist(Map(largest, random, mean_diag))
  gone <- size <= rounding
  if (any(gone)) abort_fastlmm(
    "confounded", paste0("after projecting out the fixed effects nothing is left of the kernel of ", first_names(names(random)[gone]), "; leave it out")
  )
  columns <- cbind(residual = c(z) / sqrt(sum(z^2)), applied %*% diag(1 / sqrt(colSums(applied^2)), ncol(applied)))
  found <- svd(columns)
  if (found$d[ncol(columns)] > 1e-8) return(invisible())
  alike <- c("the residual", quoted(names(random)))[abs(found$v[, ncol(columns)]) > 1e-6]
  abort_fastlmm(
    "not_identifiable",
    paste0(
      "the variances of ", paste(alike, collapse = " and "),
      " cannot be distinguished: after removing the fixed effects their covariances are linearly dependent; leave one out, or give a K that relates the ids"
    )
  )
}

# Z K Z' v
random_times <- function(random, v) {
  groups <- seq_along(random$index)
  sums <- drop(rowsum(random$z * v, factor(random$group, levels = groups), reorder = TRUE))
  kernel <- random$kernel
  of_groups <- if (is.null(kernel)) sums else if (is_lowrank(kernel)) {
    W <- kernel$W[random$index, , drop = FALSE]
    as.vector(W %*% Matrix::crossprod(W, sums))
  } else drop(kernel[random$index, random$index] %*% sums)
  random$z * of_groups[random$group]
}

# Mean diagonal of Z K Z' of each effect
mean_diagonals <- function(random) {
  one <- function(random) mean(random$z^2 * kernel_diagonal(random)[random$index][random$group])
  found <- vapply(random, one, 0)
  if (!all(is.finite(found))) abort_fastlmm(
    "scale",
    paste0(
      "variances of the random effects ", first_names(names(random)[!is.finite(found)]),
      " exceed double precision; give K, or the variable of slopes, in another unit"
    )
  )
  if (any(found <= 0)) abort_fastlmm("kernel_zero", paste0("the kernel of ", first_names(names(random)[found <= 0]), " is zero for all ids with data"))
  found
}

# Eigenvectors of each ray, held by Rust: found once a fit and session
slam_rays <- function(fit) {
  if (is.null(fit$held$rays) || identical(fit$held$rays, methods::new("externalptr"))) {
    n <- nrow(fit$Y)
    model <- slam_model(matrix(0, n, 0), matrix(0, n, 0), fit$random)
    fit$held$rays <- call_rust(ffi_slam_rays, model, unname(fit$numbers$shares), as.numeric(fit$basis$mean_diag), fit$data$x, fit$data$xf)
  }
  fit$held$rays
}

# V^-1 ("inverse") or a root of V ("root") times columns, each at a point of the grid
power_of_v <- function(fit, columns, points, power) {
  call_rust(ffi_slam_power, new_sampler(fit, integer()), as_numbers(columns), as.numeric(points), power)
}

# ---- one of the effects --------------------------------------------------------------------------------------------

# The only effect if there is one; with several it must be said which, by its name or number.
one_effect <- function(fit, effect) {
  names <- effect_names(fit)
  if (is.null(effect)) {
    if (length(names) == 1) return(1L)
    abort_fastlmm("effect", paste0("the model has several random effects; give effect = ", paste(quoted(names), collapse = " or ")))
  }
  if (length(effect) != 1 || is.na(effect)) abort_fastlmm(
    "effect", paste0("effect must be one name, ", paste(quoted(names), collapse = " or "), ", not ", code_text(effect))
  )
  at <- match(if (is.numeric(effect)) effect else as.character(effect), if (is.numeric(effect)) seq_along(names) else names)
  if (is.na(at)) abort_fastlmm(
    "effect",
    paste0(
      "the random effect is ", paste(quoted(names), collapse = " or "), ", not ", quoted(effect),
      if (!is.numeric(effect)) did_you_mean(as.character(effect), names)
    )
  )
  at
}

# The fit as if one effect were all that is not residual: its proportions in place of the whole. What is residual must not be asked of it.
with_effect <- function(fit, effect = NULL) {
  at <- one_effect(fit, effect)
  if (!is_several(fit)) return(fit)
  of <- function(points) structure(fit$numbers$proportions[points + 1, at], dim = dim(points))
  fit$draws <- lapply(fit$draws, function(chain) replace(chain, c("h", "factors_h"), list(of(chain$point), of(chain$factors_point))))
  fit$basis$mean_diag <- unname(fit$basis$mean_diag[at])
  fit
}

# ---- draws and means of effects ---------------------------------------------------------------------------------------

# Of each effect, ids with data x responses: posterior means of `h_r Z' V^-1 e`, as slam_alpha() of one effect
several_alpha <- function(fit) {
  check_has_draws(fit)
  if (fit$n_factors > 0 && !"factors" %in% kept(fit)) abort_not_kept(fit, "factors")
  if (drawn_cells(fit) > 0 && !"cells" %in% kept(fit)) abort_not_kept(fit, "cells")
  means <- call_rust(ffi_slam_effect_means, new_sampler(fit, integer()), unname(fit$draws), control_threads(fit$control))
  one <- function(mean, random, unit) {
    cells <- mean * rep(fit$scale$sd, each = nrow(mean)) / unit
    rowsum(cells * random$z, factor(random$group, levels = seq_along(random$index)), reorder = TRUE)
  }
  Map(one, means, fit$random, fit$basis$mean_diag)
}

# Effects of some rows given what is the rows' of the fit own, by Matheron's rule: draws of all effects and the residual from the prior, moved by what the
# rows of the fit lack. `parts`, of each effect: "rows", those of the fit; the kernel of other rows with them (`cross`) and among themselves (`among`); or
# NULL, not wanted. Drawn: the sum over effects, or all of them.
several_target <- function(fit, parts, apart = FALSE) {
  n <- nrow(fit$Y)
  unit <- fit$basis$mean_diag
  kernel <- Map(function(random, unit) random_rows(random)(seq_len(n), seq_len(n)) / unit, fit$random, unit)
  root <- function(K, part, unit) {
    psd_root(if (is.list(part)) rbind(cbind(K, t(part$cross) / unit), cbind(part$cross, part$among) / unit) else K)
  }
  roots <- Map(root, kernel, parts, unit)
  cross <- Map(function(K, part, unit) if (is.list(part)) part$cross / unit else K, kernel, parts, unit)
  draw <- function(E, points) {
    h <- fit$numbers$proportions[points + 1, , drop = FALSE]
    prior <- function(root, r) root %*% (normals(ncol(root), ncol(E)) * rep(sqrt(h[, r]), each = ncol(root)))
    whole <- Map(prior, roots, seq_along(roots))
    lack <- E - Reduce(`+`, lapply(whole, function(Z) Z[seq_len(n), , drop = FALSE])) - residual_noise(n, rowSums(h))
    lack <- power_of_v(fit, lack, points, "inverse")
    one <- function(r) {
      if (is.null(parts[[r]])) return(0)
      of_targets <- if (is.list(parts[[r]])) whole[[r]][-seq_len(n), , drop = FALSE] else whole[[r]]
      of_targets + cross[[r]] %*% (lack * rep(h[, r], each = n))
    }
    drawn <- lapply(seq_along(roots), one)
    if (apart) drawn else Reduce(`+`, drawn)
  }
  list(draw = draw)
}

# Rows to predict. Of a response the effects that are not wanted are those of ids of which nothing is known.
several_rows_target <- function(fit, rows) {
  count <- count_targets(rows)
  if (rows$kind == "unknown") return(unknown_target(count, function(points) rowSums(fit$numbers$proportions[points + 1, , drop = FALSE])))
  other <- function(unit) if (rows$response) list(cross = matrix(0, count, nrow(fit$Y)), among = diag(unit, count))
  parts <- lapply(fit$basis$mean_diag, other)
  parts[rows$which] <- if (rows$kind == "fit") "rows" else Map(new_part, fit$random[rows$which], rows$effects)
  if (is.null(rows$observed)) several_target(fit, parts) else several_given_target(fit, parts)
}

# Rows of which something was observed: means and covariances of the sum of their effects, given what is the rows' of the fit own
several_given_target <- function(fit, parts) {
  unit <- fit$basis$mean_diag
  h <- function(point) fit$numbers$proportions[point + 1, ]
  sum_of <- function(point, name) Reduce(`+`, Map(function(part, h, unit) part[[name]] * h / unit, parts, h(point), unit))
  moments <- remembered(function(point) {
    cross <- sum_of(point, "cross")
    gain <- t(power_of_v(fit, t(cross), rep(point, nrow(cross)), "inverse"))
    covariance <- sum_of(point, "among") - tcrossprod(gain, cross)
    covariance <- (covariance + t(covariance)) / 2
    list(gain = gain, covariance = covariance, root = psd_root(covariance))
  })
  rows <- nrow(parts[[1]]$cross)
  one_target(
    mean = function(E, points) matrix(vapply(seq_along(points), function(at) drop(moments(points[at])$gain %*% E[, at]), numeric(rows)), rows),
    noise = function(points) by_value(normals(rows, length(points)), points, function(Z, point) moments(point)$root %*% Z),
    among = function(point) moments(point)$covariance, rest = function(points) 1 - rowSums(fit$numbers$proportions[points + 1, , drop = FALSE])
  )
}

# Of each effect: ids x responses x draws
several_effect_draws <- function(fit, at) {
  part <- function(random, at) {
    check_matrix_memory(4 * length(at), length(at), sprintf("the kernel of %d ids", length(at)))
    list(cross = kernel_block(random, at, random$index)[, random$group, drop = FALSE] * rep(random$z, each = length(at)), among = kernel_block(random, at, at))
  }
  target <- several_target(fit, Map(part, fit$random, at), apart = TRUE)
  names <- unlist(Map(function(random, at) random$ids[at], fit$random, at), use.names = FALSE)
  rows <- rep(seq_along(at), lengths(at))
  what <- function(d) {
    own <- own_parts(fit, d, NULL)
    draw <- Map(function(factors, own) on_responses(fit, d, factors, own), target$draw(own$factors, d$factors_at), target$draw(own$responses, d$at))
    do.call(rbind, draw)
  }
  all <- each_effect(fit, names, what)
  lapply(seq_along(at), function(r) all[rows == r, , , drop = FALSE])
}
