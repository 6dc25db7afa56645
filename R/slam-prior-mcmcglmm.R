# Priors as MCMCglmm takes them, in the terms of slam_prior().

# A slam_prior, from one or from a list with R, G and B. sd: units of the responses; mean_diag: of the kernel over the rows.
as_slam_prior <- function(prior, sd, mean_diag) {
  if (inherits(prior, "slam_prior") || !is.list(prior) || !all(c("R", "G") %in% names(prior))) return(prior)
  p <- length(sd)
  effect <- mcmcglmm_effect(prior$G)
  parts <- list(R = mcmcglmm_part(prior$R, "R", p), G = mcmcglmm_part(effect, "G", p))
  # a response's variance from a kernel with this mean diagonal
  variance <- list(R = parts$R$V, G = parts$G$V * mean_diag)
  nu <- min(parts$R$nu, parts$G$nu)
  share <- mean(variance$G / (variance$G + variance$R))
  tell_left_out(prior, parts)
  total <- stats::setNames((variance$R + variance$G) / sd^2, names(sd))
  slam_prior(residual = inverse_gamma(nu / 2, if (p == 1) unname(nu * total / 2) else nu * total / 2), h2 = beta_prior(2 * share, 2 * (1 - share)), h2_factors = beta_prior(0.3, 0.3))
}

mcmcglmm_effect <- function(G) {
  if (!is.list(G)) abort_prior("G of the prior must be a list, as list(G1 = list(V = 1, nu = 0.002))")
  if (all(c("V", "nu") %in% names(G))) return(G)
  if (length(G) != 1) abort_prior(sprintf("G of the prior has %d elements, and the model one random effect", length(G)))
  G[[1]]
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
  left <- c(
    if (parts$R$tied || parts$G$tied) "covariances in V: loadings have the prior mgp()",
    unlist(Map(function(names, part) if (length(names) > 0) paste(toString(names), "of", part), extra, names(extra))),
    if (length(setdiff(names(prior), c("R", "G"))) > 0) toString(setdiff(names(prior), c("R", "G"))),
    if (parts$R$improper || parts$G$improper) "an improper nu: it became 0.002 for each variance"
  )
  if (length(left) > 0) inform_fastlmm("prior", paste0("the prior of MCMCglmm was taken over but for ", paste(left, collapse = "; ")))
}
