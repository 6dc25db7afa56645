# The test of one variance beside others. Given the ratios of the others to the residual variance the model is one of a single effect, whose distribution is
# known.

# `label`: the effect tested. What test_variance() needs: the statistic, and the spectrum that gives its distribution
variance_test_beside <- function(fit, label) {
  null <- without_effect(fit, label)
  list(statistic = max(0, 2 * (as.numeric(logLik(fit)) - as.numeric(logLik(null)))), spectrum = spectrum_beside(fit, label, null))
}

without_effect <- function(fit, label) {
  model <- stored_model(fit)
  model$random <- model$random[names(model$random) != label]
  quiet_fit(estimate(model))
}

# Eigenvalues of Z K Z' where the covariance of the rest at the null model is made the identity, and X is projected out
spectrum_beside <- function(fit, label, null) {
  n <- fit$nobs
  tested <- fit$random[[label]]
  check_matrix_memory(10 * n, n, sprintf("covariances of %d rows", n))
  own <- diag(null$sigma2_e / prior_weights(fit))
  if (any(null$sigma2 > 0)) own <- own + all_row_covariance(null)
  root <- tryCatch(chol(own), error = function(e) abort_variance_test("without the effect the fit has no residual variance"))
  Q <- qr(backsolve(root, own_columns(fit), transpose = TRUE))
  # by columns of the levels that have data: their number is what the eigenvalues are of
  L <- tested$z * as.matrix(observed_root(tested))[tested$group, , drop = FALSE]
  left <- qr.resid(Q, backsolve(root, L, transpose = TRUE))
  values <- eigen(if (ncol(left) < n) crossprod(left) else tcrossprod(left), symmetric = TRUE, only.values = TRUE)$values
  values <- values[values > 1e-10 * max(values)]
  list(mu = values, n_rest = n - fit$rank - length(values))
}

abort_variance_test <- function(reason) abort_fastlmm("variance_test", paste("no exact test of the variance:", reason))

# Which effect is tested, by its label, its term or its number
tested_effect <- function(fit, term) {
  labels <- names(fit$random)
  text <- vapply(fit$random, function(one) if (is.null(one$expr)) one$name else paste(left_text(one), "|", deparse1(one$expr)), "")
  if (is.null(term) && length(labels) == 1) return(labels)
  apart <- !block_numbers(fit$random) %in% block_numbers(fit$random)[duplicated(block_numbers(fit$random))]
  if (!any(apart)) abort_correlated_test()
  if (is.null(term)) abort_variance_test(paste0("the fit has several: choose one by term =, of ", first_names(labels[apart])))
  read <- read_names(term, "term")
  at <- if (is.numeric(read)) match(read, seq_along(labels)) else match(
    read, labels, nomatch = match(read, text, nomatch = match(read, whole_terms(fit), nomatch = 0))
  )
  if (length(at) != 1 || is.na(at) || at == 0) abort_fastlmm(
    "argument", paste0("term must name a random effect of the fit or give its number, not ", code_text(term), "; there are ", first_names(labels))
  )
  if (!apart[at]) abort_correlated_test()
  labels[at]
}

abort_correlated_test <- function() {
  abort_variance_test(paste0(
    "an effect of a correlated term, (1 + x | id), also has covariances; fit it without correlations, (1 | id) + (0 + x | id), and test that, ",
    paste0(
      "or compare with the fit without it: anova(fit, smaller), whose p-value is conservative, or its statistic with those of bootstrap() or simulate() of ",
      "the smaller fit"
    )
  ))
}

# Of each effect the text of the term that it is a part of
whole_terms <- function(fit) {
  text <- vapply(Filter(is_bar_term, random_terms(fit)), function(term) deparse1(plain_bar(term)), "")
  first <- match(block_numbers(fit$random), unique(block_numbers(fit$random)))
  if (length(text) == max(first)) text[first] else rep(NA_character_, length(first))
}
