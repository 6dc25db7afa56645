# Have the chains converged? The worst of what does not depend on signs, order and scale of factors.

# list(rhat, worst, bulk, tail, shown, all); NULL without posterior or with too few draws. Of thousands of quantities some hundreds are looked at, spread over the responses.
slam_convergence <- function(fit, most = 300) {
  if (!requireNamespace("posterior", quietly = TRUE) || count_draws(fit) < 8) return(NULL)
  p <- ncol(fit$Y)
  each <- 3 + length(union(colnames(fit$X), colnames(fit$covariates$XF)))
  at <- unique(round(seq(1, p, length.out = min(p, max(1, most %/% each)))))
  draws <- invariant_draws(fit, at)
  of <- function(f) apply(draws, 3, f)
  rhat <- of(posterior::rhat)
  if (all(is.na(rhat))) return(NULL)
  list(
    rhat = max(rhat, na.rm = TRUE), worst = names(which.max(rhat)), bulk = min(of(posterior::ess_bulk), na.rm = TRUE), tail = min(of(posterior::ess_tail), na.rm = TRUE),
    shown = length(rhat), all = p * each
  )
}

print_convergence <- function(fit) {
  found <- slam_convergence(fit)
  if (is.null(found)) {
    why <- if (requireNamespace("posterior", quietly = TRUE)) "there are too few draws" else "that needs the package posterior"
    return(cat("Convergence is not judged: ", why, "\n", sep = ""))
  }
  some <- if (found$shown < found$all) sprintf(" (of %s of %s)", format(found$shown), format(found$all, big.mark = ","))
  cat("\nConvergence of ", if (is.null(fit$unidentified)) "h2, G, R" else "P", " and B", some, ": worst rhat ", format(found$rhat, digits = 3, nsmall = 2), " of ", found$worst, "; smallest effective sample size ", sep = "")
  cat(round(found$bulk), "in the bulk,", round(found$tail), "in the tails\n")
  chains <- fit$plan$chains
  if (found$rhat > 1.05) cat("The chains have not converged (rhat above 1.05): extend(fit, iter =), or fit with a longer warmup, before the numbers are used\n")
  else if (min(found$bulk, found$tail) < 100 * chains) cat("Fewer than", 100 * chains, "effective draws, 100 a chain: extend(fit, iter =) for reliable intervals\n")
}
