# Fits by penalised least squares: variances of predictions, leverages and profiles from the same equations, so that nothing has a row and a column for each row
# of the data.

is_sparse_fit <- function(fit) identical(fit$optimum$route, "sparse")

fit_variances <- function(fit) {
  list(relative = unname(relative_root(fit)), sigma2_e = fit$sigma2_e, blocks = block_numbers(fit$random), known = given_variance(fit$given))
}

# `levels`, `z`: of each random effect of the fit; `sets`: targets of which all covariances are wanted
terms_variance <- function(fit, levels, z, X, sets = list(), model = rust_model(stored_model(fit))) {
  storage.mode(X) <- "double"
  call_rust(ffi_variance_terms, model, fit_variances(fit), list(levels = unname(levels), z = unname(z), X = unname(X)), sets)
}

# ---- predictions --------------------------------------------------------------------------------------

sparse_variance <- function(fit, targets, sources, k_diag) {
  n <- nrow(targets$X)
  model <- rust_model(stored_model(fit))
  inner <- lapply(sources, inner_inverse)
  block <- max(1, 4e7 %/% max(1, vapply(fit$random, function(one) length(one$index), 0L)))
  in_blocks(n, if (all(vapply(inner, is.null, NA))) n else block, function(rows) {
    known <- lapply(structure(names(fit$random), names = names(fit$random)), function(label) {
      if (label %in% names(sources)) known_levels(targets$random[[label]], sources[[label]], inner[[label]], rows, k_diag) else no_levels(length(rows))
    })
    z <- vapply(known, `[[`, numeric(length(rows)), "z")
    dim(z) <- c(length(rows), length(known))
    found <- terms_variance(fit, lapply(known, `[[`, "levels"), z, targets$X[rows, , drop = FALSE], model = model)
    found$variance + unknown_variance(fit, known, z)
  })
}

no_levels <- function(n) list(levels = rep(NA_integer_, n), z = numeric(n), unknown = numeric(n))

# K of the ids with data, inverted; NULL without a kernel
inner_inverse <- function(source) {
  random <- source$random
  if (is_precision(random$kernel)) return(random$kernel$P)
  if (!is.null(random$kernel)) chol2inv(chol(as.matrix(kernel_block(random, random$index, random$index))))
}

# The levels of targets, or the weights of all levels that predict them, and what these leave of the variance over sigma2
known_levels <- function(target, source, inner, rows, k_diag) {
  random <- source$random
  at <- match(target$id[rows], source$id)
  z <- target$z[rows]
  # of these each known id is a level
  if (is.null(random$kernel) && is.null(source$K) || is_precision(random$kernel) && all(is.na(source$given[at]))) {
    levels <- match(source$known[at], random$index)
    return(list(levels = levels, z = z, unknown = ifelse(is.na(levels), random$mean_diag, 0)))
  }
  cross <- as.matrix(cross_kernel(random, source, at))
  weights <- if (is.null(inner)) cross else as.matrix(cross %*% inner)
  prior <- prior_variance(random, source, k_diag)[at]
  list(levels = unname(weights), z = z, unknown = pmax(prior - rowSums(weights * cross), 0))
}

unknown_variance <- function(fit, known, z) {
  root <- z * vapply(known, function(one) sqrt(one$unknown), numeric(nrow(z)))
  dim(root) <- dim(z)
  rowSums((root %*% effect_covariance(fit)) * root)
}

# ---- leverages ----------------------------------------------------------------------------------------

# Levels and multipliers in the rows of the fit
own_levels <- function(fit) lapply(fit$random, `[[`, "group")

own_multipliers <- function(fit) {
  z <- vapply(fit$random, `[[`, numeric(fit$nobs), "z")
  matrix(z, fit$nobs)
}

# As projection() gives it: of row a of [z Lambda, x] the leverage is w a' C^-1 a
sparse_projection <- function(fit, scale) {
  X <- unname(fixed_design(fit)[, fit$kept, drop = FALSE])
  of_rows <- function(sets) terms_variance(fit, own_levels(fit), own_multipliers(fit), X, sets)
  found <- of_rows(list())
  list(
    scale = scale, Py = scale * unname(response(fit) - conditional_fit(fit)), B = found$with_beta * rep(scale * fit$sigma2_e, each = fit$rank),
    diagonal = 1 - scale^2 * found$variance,
    blocks = function(sets) Map(function(set, covariance) diag(length(set)) - outer(scale[set], scale[set]) * covariance, sets, of_rows(sets)$sets)
  )
}

# ---- profiles -----------------------------------------------------------------------------------------

# Each from a basis of the correlated terms that leaves the parameter what it is: the means taken off, and for the standard deviation of an intercept the other
# variables off the intercept
terms_profiles <- function(entry, fit, table, ...) {
  model <- stored_model(fit)
  A <- mean_shift(model)
  if (is.null(A)) return(profiles_at(entry, fit, model, fit_variances(fit), table, ...))
  of_intercept <- of_effects(table, which(moved_effects(A)))
  basis <- ifelse(!of_intercept, "means", ifelse(table$what == "sigma_u", "rest", "given"))
  found <- vector("list", nrow(table))
  for (one in unique(basis)) {
    B <- switch(one, means = A, rest = intercept_rest(model, A))
    at <- if (is.null(B)) fit_variances(fit) else turned_variances(fit, B)
    found[basis == one] <- profiles_at(entry, fit, if (is.null(B)) model else turned_model(model, B), at, table[basis == one, ], ...)
  }
  found
}

# Is a parameter one of these effects'?
of_effects <- function(table, effects) {
  table$what == "sigma_u" & table$column %in% effects | table$what == "correlation" & (table$column %in% effects | table$second %in% effects)
}

profiles_at <- function(entry, fit, model, at, table, ...) {
  if (nrow(table) == 0) return(list())
  asked <- list(what = table$what, number = as.integer(table$column), second = as.integer(table$second), step = profile_steps(fit, table))
  call_rust(entry, rust_model(model), at, asked, ...)
}

# Standard errors of the parameters; NaN where there is none
profile_steps <- function(fit, table) {
  one <- function(what, k, l) {
    step <- switch(what,
      sigma_u = fit$se$sigma2[[k]] / (2 * sqrt(fit$sigma2[[k]])), sigma_e = fit$se$sigma2_e / (2 * sigma(fit)), h2 = fit$se$h2[[k]],
      correlation = fit$se$correlation[k, l], NaN
    )
    if (is.finite(step)) step else NaN
  }
  as.numeric(unlist(Map(one, table$what, table$column, table$second)))
}
