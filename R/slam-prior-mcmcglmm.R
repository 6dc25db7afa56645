# Priors as MCMCglmm takes them, in the terms of slam_prior().

# A slam_prior, from one or from a list with R, G and B. sd: units of the responses; mean_diag: of the kernel of each effect over the rows.
as_slam_prior <- function(prior, sd, mean_diag) {
  if (inherits(prior, "slam_prior") || !is.list(prior) || !all(c("R", "G") %in% names(prior))) return(prior)
  p <- length(sd)
  effects <- mcmcglmm_effects(prior$G, mean_diag)
  parts <- c(list(R = mcmcglmm_part(prior$R, "R", p)), Map(mcmcglmm_part, effects, names(effects), p))
  # a response's variance from kernels with these mean diagonals, and the residual one
  variance <- Map(`*`, lapply(parts, `[[`, "V"), c(1, mean_diag))
  whole <- Reduce(`+`, variance)
  nu <- min(vapply(parts, `[[`, 0, "nu"))
  shares <- vapply(variance, function(one) mean(one / whole), 0)
  tell_left_out(prior, parts)
  total <- stats::setNames(whole / sd^2, names(sd))
  slam_prior(residual = inverse_gamma(nu / 2, if (p == 1) unname(nu * total / 2) else nu * total / 2), h2 = dirichlet_of_shares(shares[-1], shares[[1]]), h2_factors = if (length(effects) > 1) dirichlet_prior(0.3) else beta_prior(0.3, 0.3))
}

# Proportions with these means, the residual's the last; uniform where they are equal
dirichlet_of_shares <- function(effects, residual) {
  parts <- length(effects) + 1
  if (parts == 2) return(beta_prior(2 * effects[[1]], 2 * residual))
  structure(function(h) abort_prior("the prior is of several random effects"), dirichlet = pmax(parts * unname(c(effects, residual)), 1e-300))
}

# Of each random effect; those with the names of the effects in any order, others in that of the formula
mcmcglmm_effects <- function(G, mean_diag) {
  if (!is.list(G)) abort_prior("G of the prior must be a list, as list(G1 = list(V = 1, nu = 0.002))")
  if (all(c("V", "nu") %in% names(G))) G <- list(G)
  count <- length(mean_diag)
  if (length(G) != count) abort_prior(sprintf("G of the prior has %d elements, and the model %s", length(G), if (count == 1) "one random effect" else paste0(count, " random effects: ", first_names(names(mean_diag)))))
  if (!is.null(names(G)) && setequal(names(G), names(mean_diag))) G <- G[names(mean_diag)]
  structure(G, names = if (count == 1) "G" else paste("G of", quoted(names(mean_diag))))
}

# Variances of p responses, and the degrees of freedom of one of them
mcmcglmm_part <- function(part, name, p) {
  fine <- is.list(part) && is.numeric(part$V) && is_positive(part$nu)
  if (!fine) abort_prior(sprintf("%s of the prior must be a list with the numbers V and nu", name))
  V <- as.matrix(part$V)
  if (!(identical(dim(V), c(1L, 1L)) || identical(dim(V), c(p, p)))) abort_prior(sprintf("V of %s must be one number or a %d x %d matrix, one row for each response", name, p, p))
  variances <- rep(diag(V), length.out = p)
  if (!all(is.finite(V)) || any(variances <= 0)) abort_prior(sprintf("V of %s must be finite with a positive diagonal", name))
  # the marginal distribution of a diagonal element; one that is improper gets next to no weight
  list(V = variances, nu = max(part$nu - p + 1, 0.002), improper = part$nu <= p - 1, tied = any(V[row(V) != col(V)] != 0), names = names(part))
}

tell_left_out <- function(prior, parts) {
  extra <- lapply(parts, function(part) setdiff(part$names, c("V", "nu")))
  any_part <- function(what) any(vapply(parts, `[[`, NA, what))
  left <- c(
    if (any_part("tied")) "covariances in V: loadings have the prior mgp()",
    unlist(Map(function(names, part) if (length(names) > 0) paste(toString(names), "of", part), extra, names(extra))),
    if (length(setdiff(names(prior), c("R", "G"))) > 0) toString(setdiff(names(prior), c("R", "G"))),
    if (any_part("improper")) "an improper nu: it became 0.002 for each variance"
  )
  if (length(left) > 0) inform_fastlmm("prior", paste0("the prior of MCMCglmm was taken over but for ", paste(left, collapse = "; ")))
}
