# Tests of fixed effects with degrees of freedom: of the covariance S of the coefficients, its slopes in the parameters of the variances, and the covariance W
# of these, which the core has.

ddf_choices <- c("none", "satterthwaite", "kenward-roger")

# In any spelling of capitals
read_ddf <- function(value, choices = ddf_choices, name = deparse1(substitute(value))) {
  force(name)
  if (is.character(value)) value <- tolower(value)
  habits <- df_habits(name)
  one_of(value, choices, habits[vapply(habits, function(advice) any(endsWith(advice, quoted(choices))), NA)], name)
}

# Estimate, Std. Error, df, t value, Pr(>|t|): a row for each kept coefficient
test_table <- function(fit, df) {
  found <- contrast_tests(fit_uncertainty(fit, df), diag(length(fit$kept)))
  estimate <- fit$coefficients[fit$kept]
  se <- sqrt(pmax(diag(found$vcov), 0))
  t <- estimate / se
  cbind(Estimate = estimate, `Std. Error` = se, df = found$df, `t value` = t, `Pr(>|t|)` = 2 * pt(-abs(t), found$df))
}

check_ddf <- function(fit, df) {
  reason <- if (is_gp_fit(fit)) {
    "are not available for fits with gp(), whose length scale is also estimated"
  } else if (has_levels(fit)) {
    "are not offered with a residual variance for each level"
  } else if (!is_reml(fit) && df == "kenward-roger") {
    "by Kenward and Roger need a REML fit"
  } else if (sum(fit$optimum$dropped) > 0) {
    "are not available where ML leaves out directions of X"
  }
  if (!is.null(reason)) abort_ddf(paste0("degrees of freedom ", reason, "; summary(fit) gives t values without them"))
}

abort_ddf <- function(message) abort_fastlmm("ddf", message)

# ---- what the core has ----------------------------------------------------------------------------------

# S, Kenward and Roger's, slopes, W, and the coefficients along the basis in which these are; of a fit that is not "ok" the covariance alone
fit_uncertainty <- function(fit, df) {
  check_ddf(fit, df)
  found <- if (fit$status != "ok" || length(fit$kept) == 0) {
    list(adjusted = unname(fit$vcov), basis = diag(length(fit$kept)))
  } else if (is_sparse_fit(fit)) {
    terms_uncertainty(fit, df)
  } else if (length(fit$random) > 1) {
    call_rust(ffi_ddf_mix, rust_model(stored_model(fit)), df, all_variances(fit))
  } else if (fit$sigma2_e > 0) {
    rotated_uncertainty(fit, df)
  } else {
    scale_uncertainty(fit)
  }
  c(found, df = df)
}

# The same from the means of variables that are far from zero
terms_uncertainty <- function(fit, df) {
  model <- stored_model(fit)
  A <- mean_shift(model)
  if (is.null(A) || !is_far_from_zero(model, A)) return(call_rust(ffi_ddf_terms, rust_model(model), df, fit_variances(fit)))
  call_rust(ffi_ddf_terms, rust_model(turned_model(model, A)), df, turned_variances(fit, A))
}

rotated_uncertainty <- function(fit, df, method = fit$method) call_rust(ffi_ddf, fit$rotated, df, method, unname(fit$sigma2), fit$sigma2_e)

# Without a residual variance one variance is left, the scale: the test of lm(), by ML with as many degrees of freedom as rows
scale_uncertainty <- function(fit) {
  part <- along_x(fit)
  known <- fit$nobs - if (is_reml(fit)) fit$rank else 0
  list(covariance = part$covariance, adjusted = part$covariance, slopes = list(part$covariance), theta_vcov = matrix(2 / known), basis = part$basis)
}

# ---- tests of one contrast each ---------------------------------------------------------------------------

# Rows of L are combinations of the coefficients that are kept: their covariance and the degrees of freedom of each
contrast_tests <- function(uncertainty, L) {
  along <- L %*% uncertainty$basis
  vcov <- along %*% uncertainty$adjusted %*% t(along)
  if (is.null(uncertainty$covariance)) return(list(vcov = vcov, df = rep(NA_real_, nrow(L))))
  list(vcov = vcov, df = contrast_ddf(uncertainty, along))
}

# 2 v^2 / (m' W m) with v the variance and m its slopes; infinite where the variances are known
contrast_ddf <- function(uncertainty, along) {
  of <- function(S) rowSums((along %*% S) * along)
  # slopes of the logarithm of the variance: squares of variances may be beyond what a double holds
  m <- vapply(uncertainty$slopes, of, numeric(nrow(along))) / of(uncertainty$covariance)
  dim(m) <- c(nrow(along), length(uncertainty$slopes))
  2 / rowSums((m %*% uncertainty$theta_vcov) * m)
}

# ---- joint tests ------------------------------------------------------------------------------------------

# F test of L beta = rhs, L by rows over the kept coefficients: its F value before and after Kenward and Roger's scale, and its degrees of freedom
joint_test <- function(uncertainty, beta, L, rhs = 0) {
  rows <- independent_rows(L %*% uncertainty$basis, drop(L %*% beta) - rhs)
  undefined <- is.null(uncertainty$covariance) || length(rows$difference) == 0
  if (undefined) return(list(F = NA_real_, scaled = NA_real_, num = length(rows$difference), den = NA_real_))
  test <- if (uncertainty$df == "kenward-roger") kenward_roger_test else fai_cornelius_test
  test(uncertainty, rows$along, rows$difference)
}

# As many combinations of the rows as are independent; each row counts by its direction alone
independent_rows <- function(along, difference) {
  size <- sqrt(rowSums(along^2))
  size[size == 0] <- 1
  parts <- svd(along / size)
  kept <- which(parts$d > 1e-8 * max(parts$d, 0))
  turn <- t(parts$u[, kept, drop = FALSE]) / parts$d[kept]
  list(along = t(parts$v[, kept, drop = FALSE]), difference = drop(turn %*% (difference / size)))
}

# Fai and Cornelius (1996): F is a mean of independent squared t statistics, and F(q, nu) is to have its expectation.
fai_cornelius_test <- function(uncertainty, along, difference) {
  parts <- eigen(along %*% uncertainty$covariance %*% t(along), symmetric = TRUE)
  along <- crossprod(parts$vectors, along)
  q <- nrow(along)
  value <- sum(drop(crossprod(parts$vectors, difference))^2 / parts$values) / q
  list(F = value, scaled = value, num = q, den = mean_ddf(contrast_ddf(uncertainty, along)))
}

# Degrees of freedom of equal ones are theirs; with two or fewer a squared t has no expectation.
mean_ddf <- function(nu) {
  q <- length(nu)
  if (q == 1 || all(abs(diff(nu)) < 1e-8) || all(is.infinite(nu))) return(mean(nu))
  if (any(nu <= 2)) return(2)
  above <- sum(ifelse(is.infinite(nu), 0, 2 / (nu - 2)))
  2 * (q + above) / above
}

# Kenward and Roger (1997): F times a scale has the first two moments of F(q, m), and exactly so where an exact test is known.
kenward_roger_test <- function(uncertainty, along, difference) {
  q <- nrow(along)
  inverse <- solve(along %*% uncertainty$covariance %*% t(along))
  slopes <- lapply(uncertainty$slopes, function(S) inverse %*% along %*% S %*% t(along))
  # by columns: tr(A B) is the product of A and the transpose of B
  as_rows <- vapply(slopes, as.vector, numeric(q^2))
  as_columns <- vapply(slopes, function(A) as.vector(t(A)), numeric(q^2))
  traces <- vapply(slopes, function(A) sum(diag(A)), 0)
  a1 <- sum(uncertainty$theta_vcov * outer(traces, traces))
  a2 <- sum(uncertainty$theta_vcov * crossprod(matrix(as_rows, q^2), matrix(as_columns, q^2)))
  value <- drop(crossprod(difference, solve(along %*% uncertainty$adjusted %*% t(along), difference))) / q
  matched <- kenward_roger_moments(a1, a2, q)
  list(F = value, scaled = matched$scale * value, num = q, den = matched$ddf)
}

kenward_roger_moments <- function(a1, a2, q) {
  if (a2 == 0) return(list(scale = 1, ddf = Inf))
  b <- (a1 + 6 * a2) / (2 * q)
  g <- ((q + 1) * a1 - (q + 4) * a2) / ((q + 2) * a2)
  k <- c(g, q - g, q + 2 - g) / (3 * q + 2 * (1 - g))
  v <- 1 + c(1, -1, -1) * k * b
  if (abs(v[1]) < 1e-10) v[1] <- 0
  # both vanish where F is known exactly
  ratio <- if (abs(1 - a2 / q) < 1e-14 && abs(v[2]) < 1e-14) 1 else (1 - a2 / q) / v[2]
  rho <- ratio^2 * v[1] / v[3] / q
  ddf <- 4 + (q + 2) / (q * rho - 1)
  if (!is.finite(ddf) || ddf <= 0) abort_ddf(
    sprintf(
      "Kenward and Roger's method gives no F distribution for this test of %d contrasts: the variances are estimated too imprecisely; try Satterthwaite's", q
    )
  )
  list(scale = if (abs(ddf - 2) < 1e-2) 1 else ddf * (1 - a2 / q) / (ddf - 2), ddf = ddf)
}
