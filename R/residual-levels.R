# A residual variance for each level of a factor: `residual = ~ site`. Given the ratios of these variances a model is one with weights, whatever way it is
# fitted; the ratios are searched outside of it, by the slopes of its likelihood.

# Largest logarithm of a ratio: beyond it a variance tends to zero
most_log_ratio <- 16

# ---- what is asked for ----------------------------------------------------------------------------------

residual_term <- function(residual) {
  if (is.null(residual)) return(NULL)
  if (!inherits(residual, "formula") || length(residual) != 2) abort_no_factor(residual)
  expr <- strip_parentheses(residual[[2]])
  check_one_factor(expr, residual)
  crossed_levels(expr)
}

abort_no_factor <- function(residual) {
  abort_residual(
    paste(
      "must be a formula of one factor without a response, residual = ~ site, or NULL for one residual variance, not",
      if (inherits(residual, "formula")) deparse1(residual) else code_text(residual)
    )
  )
}

# One factor, or the combinations a:b of several; a sum of factors has no levels.
check_one_factor <- function(expr, residual) {
  leaves <- operands(expr, formula_operators)
  if (length(leaves) == 0 || list(quote(.)) %in% leaves || !all(vapply(leaves, is.language, NA))) abort_no_factor(residual)
  if (length(leaves) == length(operands(expr, ":")) && !is_call_to(expr, setdiff(formula_operators, ":"))) return(invisible())
  names <- vapply(leaves, deparse1, "")
  abort_residual(
    paste0(
      "= ", deparse1(residual),
      if (length(leaves) == 1) " is more than a factor; write ~ " else " is not one factor; for a variance for each combination of levels write ~ ",
      paste(names, collapse = ":"), if (length(leaves) > 1) paste0(", which is ~ interaction(", toString(names), ")")
    )
  )
}

# What stands between operators, each once; numbers, as the 0 of 0 + a, say nothing.
operands <- function(expr, operators) {
  if (!is_call_to(expr, c(operators, "("))) return(if (!is.numeric(expr)) list(expr))
  unique(unlist(lapply(as.list(expr)[-1], operands, operators), recursive = FALSE))
}

# a:b of any two variables, which R has for factors alone
crossed_levels <- function(expr) {
  expr <- strip_parentheses(expr)
  if (is_call_to(expr, ":")) call("interaction", crossed_levels(expr[[2]]), crossed_levels(expr[[3]]), drop = TRUE) else expr
}

abort_residual <- function(message) abort_fastlmm("residual", paste("residual", message))

# What the model knows of it: expression, level of each row, and the weights that the user gave
residual_levels <- function(expr, frame) {
  if (is.null(expr)) return(NULL)
  value <- frame[["(residual)"]]
  written <- quoted(paste("~", deparse1(expr)))
  if (!(is.factor(value) || is.character(value) || is.logical(value))) abort_residual(
    paste0("= ", written, " must be a factor, not of class ", class(value)[1], "; factor() makes one")
  )
  level <- factor(value)
  if (anyNA(level)) abort_residual(
    paste0("= ", written, " is missing in ", rows_at(is.na(level), rownames(frame)), "; na.action = na.omit leaves these rows out")
  )
  if (nlevels(level) < 2) abort_residual(paste("=", written, "has one level in the rows of the fit; leave it out"))
  if (nlevels(level) > length(level) / 2) abort_residual(
    sprintf("= %s has %d levels in %s: a variance needs several rows; join levels", written, nlevels(level), counted(length(level), "row"))
  )
  prior <- frame[["(weights)"]]
  list(expr = expr, level = level, prior = if (is.null(prior)) rep(1, length(level)) else prior)
}

# ---- the search -----------------------------------------------------------------------------------------

estimate_levels <- function(model) {
  at <- fits_by_ratio(model)
  eta <- best_ratios(at, model$residual$level)
  errors <- ratio_errors(at, eta, model$residual$level)
  spec <- model$residual
  model$residual <- NULL
  model$weights <- level_weights(spec, eta)
  with_residual_levels(estimate(model, spectrum = TRUE), spec, eta, errors)
}

# The first level's is the variance that the others are over
level_weights <- function(spec, eta) spec$prior * exp(-c(0, eta))[spec$level]

# The fit at logarithms of the ratios; the last one is remembered, since its value and its slopes are asked for one after the other
fits_by_ratio <- function(model) {
  spec <- model$residual
  model$residual <- NULL
  last <- NULL
  function(eta) {
    if (is.null(last) || !identical(last$eta, eta)) {
      hear_stop()
      model$weights <- level_weights(spec, eta)
      last <<- list(eta = eta, fit = quiet_fit(estimate(model, spectrum = TRUE)))
    }
    last$fit
  }
}

# Slopes of the deviance in the logarithm of the variance of each level, all other parameters at their best: sum of s2 / w (P_ii - (Py)_i^2), V^-1 in place of P
# for ML
level_slopes <- function(fit, level) {
  reason <- projection_reason(fit)
  if (!is.null(reason)) abort_residual(paste("variances are not identifiable:", reason))
  P <- projection(fit)
  left <- P$diagonal
  if (!is_reml(fit) && fit$rank > 0) left <- left + colSums(P$B * solve(unname(fit$vcov), P$B))
  as.numeric(rowsum(left - P$Py^2, as.integer(level)))
}

# From equal variances, and from the mean squares of the levels at those
# Starts from which a level keeps the small variance that a likelihood of few rows may have beside its other optimum
one_level_small <- function(levels) c(list(rep(6, levels - 1)), lapply(seq_len(levels - 1), function(j) replace(numeric(levels - 1), j, -6)))

best_ratios <- function(at, level) {
  zero <- numeric(nlevels(level) - 1)
  deviance <- function(eta) -2 * at(eta)$logLik
  slopes <- function(eta) level_slopes(at(eta), level)[-1]
  descend <- function(start) {
    stats::nlminb(
      start, deviance, slopes, lower = -most_log_ratio, upper = most_log_ratio, control = list(rel.tol = 1e-13, x.tol = 1e-9, eval.max = 400, iter.max = 200)
    )
  }
  found <- lapply(c(list(zero, moment_ratios(at(zero), level)), one_level_small(nlevels(level))), descend)
  best <- found[[which.min(vapply(found, `[[`, 0, "objective"))]]$par
  check_ratios(best, slopes(best), level)
  best
}

moment_ratios <- function(fit, level) {
  P <- projection(fit)
  mean_square <- as.numeric(rowsum(P$Py^2, as.integer(level)) / pmax(rowsum(P$diagonal, as.integer(level)), 1e-8))
  eta <- log(pmax(mean_square, 1e-4))
  pmin(pmax(eta[-1] - eta[1], -8), 8)
}

check_ratios <- function(eta, slopes, level) {
  all <- c(0, eta)
  gone <- max(all) - all > most_log_ratio - 1
  if (any(gone)) abort_residual(
    paste0(
      "variance of ", first_names(levels(level)[gone]), " tends to zero: the random and fixed effects explain these rows; join levels, or leave effects out"
    )
  )
  if (any(abs(slopes) > 1e-2)) abort_fastlmm(
    "no_convergence", "the search for the residual variances ended before the likelihood was at its largest; join levels that have few rows"
  )
}

# ---- what the ratios are known to, and what that adds to the other errors -----------------------------------

ratio_step <- 0.02

# Covariance of the logarithms, half the Hessian inverted, and how a quantity moves with them; the inner fits are at their own optima, so that both come from
# the same fits
ratio_errors <- function(at, eta, level) {
  moved <- lapply(seq_along(eta), function(s) {
    step <- replace(numeric(length(eta)), s, ratio_step)
    list(up = at(eta + step), down = at(eta - step))
  })
  difference <- function(read) matrix(vapply(moved, function(m) (read(m$up) - read(m$down)) / (2 * ratio_step), read(moved[[1]]$up)), ncol = length(eta))
  H <- difference(function(fit) level_slopes(fit, level)[-1])
  covariance <- tryCatch(2 * chol2inv(chol((H + t(H)) / 2)), error = function(e) matrix(NA_real_, length(eta), length(eta)))
  list(covariance = covariance, difference = difference)
}

with_residual_levels <- function(fit, spec, eta, errors) {
  of_ratios <- function(J) rowSums((J %*% errors$covariance) * J)
  for (name in names(fit$se)) {
    J <- errors$difference(function(fit) as.numeric(se_target(fit, name)))
    fit$se[[name]][] <- sqrt(fit$se[[name]]^2 + of_ratios(J))
  }
  ratio <- structure(exp(c(0, eta)), names = levels(spec$level))
  J <- errors$difference(function(fit) log(fit$sigma2_e))[rep(1, length(ratio)), , drop = FALSE] + rbind(0, diag(length(eta)))
  own <- fit_error_of_log(fit, errors)
  error <- fit$sigma2_e * ratio * sqrt(own + of_ratios(J))
  fit$residual <- c(spec, list(ratio = ratio, variance = fit$sigma2_e * ratio, se = error, log_ratio_vcov = errors$covariance))
  fit$residual$h2 <- level_shares(fit)
  fit$df <- fit$df + length(eta)
  fit
}

# Shares of the effects in the variance of a row of each level: a vector for one effect, else levels x effects
level_shares <- function(fit) {
  if (has_blocks(fit)) return(NULL)
  shares <- outer(1 / (sum(fit$sigma2) + fit$residual$variance), fit$sigma2)
  dimnames(shares) <- list(names(fit$residual$variance), names(fit$random))
  if (ncol(shares) == 1) shares[, 1] else shares
}

# Variance of log sigma2_e at the ratios: what the ratios have added is taken off again
fit_error_of_log <- function(fit, errors) {
  J <- errors$difference(function(fit) log(fit$sigma2_e))
  (fit$se$sigma2_e / fit$sigma2_e)^2 - rowSums((J %*% errors$covariance) * J)
}

# What a standard error is of
se_target <- function(fit, name) {
  switch(name,
    log_delta = log(fit$delta), correlation = {
      covariance <- effect_covariance(fit)
      covariance / sqrt(outer(diag(covariance), diag(covariance)))
    },
    fit[[name]]
  )
}

# ---- answers --------------------------------------------------------------------------------------------

has_levels <- function(fit) !is.null(fit$residual)

# Residual variance in other rows, of weight 1
new_residual_variance <- function(fit, newdata) {
  if (!is.null(fit$given) && !is.null(fit$call$weights)) return(given_new_variance(fit, newdata))
  if (!has_levels(fit)) return(rep(fit$sigma2_e, nrow(newdata)))
  value <- as.character(evaluate_new(fit$residual$expr, fit, newdata))
  new <- setdiff(value, c(names(fit$residual$variance), NA))
  if (length(new) > 0) abort_residual(
    paste0("variance is not known for ", first_names(new), "; the fit has levels ", first_names(names(fit$residual$variance)))
  )
  unname(fit$residual$variance[value])
}

# Of a row, in the mean
mean_residual_variance <- function(fit) if (has_levels(fit)) mean(fit$residual$variance[fit$residual$level]) else fit$sigma2_e

# ---- refusals -------------------------------------------------------------------------------------------

check_profiled <- function(fit) {
  if (has_levels(fit)) {
    abort_fastlmm("no_profile", paste(
      "profiles are not available with a residual variance for each level; confint(method = \"boot\") has intervals of all parameters,",
      "confint(method = \"Wald\") of the fixed effects, fit$se and fit$residual$se standard errors of the variances"
    ))
  }
}

refuse_levels <- function(expr, sigma2_e, gp, y) {
  if (is.null(expr)) return(invisible())
  if (!is.null(sigma2_e)) abort_known("is a known variance, whereas residual = asks for variances to be estimated; leave one of them out")
  if (gp) abort_residual("variances by level are not available with gp()")
  if (is.matrix(y)) abort_residual("variances by level are available for one response only")
}
