# Can the random effect of a sparse-factor model be told from the residual, once the fixed effects are out? If not, h is what its prior says, and so is what G
# and R have of P.

# NULL, "not_identifiable" (the kernel is a multiple of the identity there) or "confounded" (nothing is left of it). s: eigenvalues of Z K Z'; x: the fixed
# effects in its basis. With P = I - Q Q', the kernel is c P there if P S P z = c P z for a vector z that no direction is missing from: no n x n matrix, no
# difference of squares.
unidentified <- function(s, x) {
  n <- length(s)
  if (n - ncol(x) < 2) return("not_identifiable")
  Q <- if (ncol(x) > 0) qr.Q(scaled_qr(x)) else matrix(0, n, 0)
  without_x <- function(z) {
    # twice: the second takes off the rounding of the first
    for (pass in 1:2) z <- z - drop(Q %*% crossprod(Q, z))
    z
  }
  z <- without_x(sin(seq_len(n)) + cos(seq_len(n)^2))
  w <- without_x(s * z)
  c <- sum(w * z) / sum(z^2)
  size <- function(v) sqrt(sum(v^2) / sum(z^2))
  rounding <- 1e-11 * sqrt(n) * max(s)
  if (size(w) <= rounding) return("confounded")
  if (size(w - c * z) <= 1e-8 * c + rounding) "not_identifiable"
}

warn_unidentified <- function(fit) {
  if (is.null(fit$unidentified)) return(invisible())
  random <- fit$random[[1]]
  repeated <- anyDuplicated(random$group) > 0
  why <- if (fit$unidentified == "confounded") "nothing of its kernel is left after projecting out the fixed effects"
    else "after removing the fixed effects its kernel is a multiple of the identity"
  warn_fastlmm(fit$unidentified, paste0(
    "the random effect of ", quoted(random$name), " cannot be distinguished from the residual: ", why, if (!repeated) " (one row for each id)",
    "; P, the factors and the fixed effects are estimated, ",
    "h2 is NA, and G, R and rg are refused; give a K that relates the ids, or several rows for some of them"
  ))
}

# Rows of one id share more than what its relatives share with it, as a permanent environment: without an effect of its own that is taken for the kernel's.
tell_repeats <- function(fit) {
  random <- fit$random[[1]]
  if (is_several(fit) || is.null(random$kernel) || !is.null(fit$unidentified) || is.null(random$expr) || anyDuplicated(random$group) == 0) return(invisible())
  inform_fastlmm("repeated", paste0(
    "ids of ", quoted(random$name),
    paste0(
      " have several rows, and whatever these have in common is attributed to the kernel; to add an independent effect of each id, such as a permanent ",
      "environment, use K = list("
    ),
    random$name,
    " = kernel_mix(A = K, own = NULL))"
  ), effect = random$name)
}

check_identified <- function(fit, what) {
  if (is.null(fit$unidentified)) return(invisible())
  abort_fastlmm(
    fit$unidentified,
    paste0(
      what, " has no estimate: the random effect of ", quoted(fit$random[[1]]$name),
      " cannot be distinguished from the residual in this model; P(fit) is their sum"
    )
  )
}
