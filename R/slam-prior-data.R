# Data from the prior of a sparse-factor model with families, for prior predictive checks.

# Responses that a list of families names; NULL: it names none
family_names <- function(family) if (is.list(family) && !inherits(family, c("family", "slam_family")) || is.character(family)) names(family)

# What simulate() of each family takes, by response; NULL: normal
prior_links <- function(family, responses, levels) {
  families <- read_families(family, responses)
  if (!is_count(levels) || levels < 2 || levels > 100) abort_fastlmm(
    "argument", paste("levels of ordinal() must be a whole number from 2 to 100, not", code_text(levels))
  )
  one <- function(name) {
    of <- families[[name]]
    if (is.null(of) || of$family == "gaussian") return(NULL)
    count <- if (isTRUE(of$binary)) 2 else levels
    list(family = of$family, response = name, known = 1, levels = count, values = if (isTRUE(of$binary)) 0:1 else seq_len(count))
  }
  structure(lapply(responses, one), names = responses)
}

check_mean <- function(mean, p) {
  if (is.numeric(mean) && is.null(dim(mean)) && length(mean) %in% c(1, p) && all(is.finite(mean))) return(rep(as.numeric(mean), length.out = p))
  abort_fastlmm("argument", sprintf("mean must be one finite number, or one for each of %s, not %s", counted(p, "response"), code_text(mean)))
}

# Rows x responses x draws: rows are unrelated, with mean diag(Z K Z') = 1, so that the covariance of values in a row is P
prior_data <- function(P, links, mean, rows) {
  behind <- Filter(Negate(is.null), links)
  one <- function(i) {
    eta <- normals(rows, nrow(P)) %*% t(psd_root(matrix(P[, , i], nrow(P)))) + rep(mean, each = rows)
    for (own in behind) {
      j <- match(own$response, names(links))
      family <- family_of(own)
      eta[, j] <- family$simulate(eta[, j], own, if (!is.null(family$prior)) family$prior(own))
    }
    eta
  }
  found <- vapply(seq_len(dim(P)[3]), one, matrix(0, rows, nrow(P)))
  array(found, c(rows, nrow(P), dim(P)[3]), list(NULL, names(links), NULL))
}
