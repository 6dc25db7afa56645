# Priors as MCMCglmm takes them, in the terms of slam_prior().

# A slam_prior, from one or from a list with R, G and B. sd: units of the responses; mean_diag: of each kernel over the rows, by name of its effect.
as_slam_prior <- function(prior, sd, mean_diag) {
  if (inherits(prior, "slam_prior") || !is.list(prior) || !all(c("R", "G") %in% names(prior))) return(prior)
  p <- length(sd)
  effects <- mcmcglmm_effects(prior$G, names(mean_diag), length(mean_diag))
  parts <- c(list(R = mcmcglmm_part(prior$R, "R", p)), Map(mcmcglmm_part, effects, names(effects), p))
  # a response's variance from a kernel with this mean diagonal: responses x (residual, effects)
  variance <- matrix(unlist(Map(function(part, unit) part$V * unit, parts, c(1, mean_diag))), p)
  nu <- min(vapply(parts, `[[`, 0, "nu"))
  share <- colMeans(variance / rowSums(variance))
  tell_left_out(prior, parts)
  total <- stats::setNames(rowSums(variance) / sd^2, names(sd))
  slam_prior(
    residual = inverse_gamma(nu / 2, if (p == 1) unname(nu * total / 2) else nu * total / 2), h2 = mcmcglmm_proportions(share, names(mean_diag)),
    h2_factors = dirichlet_prior(0.3)
  )
}

# Means of the proportions, of the residual and then of the effects: uniform where all are equal
mcmcglmm_proportions <- function(share, effects) {
  if (length(share) == 2) return(beta_prior(2 * share[2], 2 * share[1]))
  dirichlet_prior(stats::setNames(pmax(length(share) * share, 1e-300), c("residual", effects)))
}

# An element for each random effect: by its name, or in the order of the effects
mcmcglmm_effects <- function(G, effects, count) {
  if (!is.list(G)) abort_prior("G of the prior must be a list, as list(G1 = list(V = 1, nu = 0.002))")
  if (all(c("V", "nu") %in% names(G))) G <- list(G)
  if (length(G) != count) {
    which <- if (count == 1) "one random effect" else sprintf("%d random effects, %s", count, first_names(effects))
    abort_prior(sprintf("G of the prior has %s, and the model %s", counted(length(G), "element"), which))
  }
  if (count == 1) return(list(G = G[[1]]))
  named <- names(G) %in% effects
  if (any(named) && (!all(named) || anyDuplicated(names(G)))) abort_prior(
    paste0("elements of G of the prior must have the names of all random effects, or of none: ", wrong_names(names(G), effects))
  )
  stats::setNames(if (any(named)) G[effects] else G, paste("G of", quoted(effects)))
}

# Variances of p responses, and the degrees of freedom of one of them
mcmcglmm_part <- function(part, name, p) {
  fine <- is.list(part) && is.numeric(part$V) && is_positive(part$nu)
  if (!fine) abort_prior(sprintf("%s of the prior must be a list with the numbers V and nu", name))
  V <- as.matrix(part$V)
  if (!(identical(dim(V), c(1L, 1L)) || identical(dim(V), c(p, p)))) abort_prior(
    sprintf("V of %s must be one number or a %d x %d matrix, one row for each response", name, p, p)
  )
  variances <- rep(diag(V), length.out = p)
  if (!all(is.finite(V)) || any(variances <= 0)) abort_prior(sprintf("V of %s must be finite with a positive diagonal", name))
  # the marginal distribution of a diagonal element; one that is improper gets next to no weight
  list(V = variances, nu = max(part$nu - p + 1, 0.002), improper = part$nu <= p - 1, tied = any(V[row(V) != col(V)] != 0), names = names(part))
}

tell_left_out <- function(prior, parts) {
  any_part <- function(what) any(vapply(parts, `[[`, NA, what))
  extra <- lapply(parts, function(part) setdiff(part$names, c("V", "nu")))
  left <- c(
    if (any_part("tied")) "covariances in V: loadings have the prior mgp()",
    unlist(Map(function(names, part) if (length(names) > 0) paste(toString(names), "of", part), extra, names(extra))),
    if (length(setdiff(names(prior), c("R", "G"))) > 0) toString(setdiff(names(prior), c("R", "G"))),
    if (any_part("improper")) "an improper nu: it became 0.002 for each variance"
  )
  if (length(left) > 0) inform_fastlmm("prior", paste0("the prior of MCMCglmm was converted, except for ", paste(left, collapse = "; ")))
}
