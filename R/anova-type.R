# F tests of the terms of one fit, by the hypotheses of types 1, 2 and 3, which depend on the columns that a term spans and not on how they are coded.

anova_by_type <- function(fit, type, ddf) {
  if (length(fit$kept) > 0 && all(fit$vcov == 0)) abort_anova("the coefficients have no standard errors: the fit is exact")
  uncertainty <- if (ddf != "none") fit_uncertainty(fit, ddf)
  rows <- lapply(term_hypotheses(fit, type), function(L) if (is.null(uncertainty)) wald_row(fit, L) else joint_row(fit, uncertainty, L))
  structure(do.call(rbind, c(rows, list(empty_row(ddf)))), heading = type_heading(type, ddf), class = c("anova", "data.frame"))
}

# Of a fit without terms
empty_row <- function(ddf) {
  columns <- if (ddf == "none") c("npar", "Sum Sq", "Mean Sq", "F value") else c("Sum Sq", "Mean Sq", "NumDF", "DenDF", "F value", "Pr(>F)")
  structure(rep(list(numeric()), length(columns)), names = columns, class = "data.frame", row.names = integer())
}

type_heading <- function(type, ddf) {
  method <- c(satterthwaite = " with Satterthwaite's method", `kenward-roger` = " with Kenward and Roger's method")
  paste0("Type ", strrep("I", type), " Analysis of Variance Table", if (ddf != "none") method[[ddf]])
}

wald_row <- function(fit, L) {
  vcov <- L %*% unname(fit$vcov) %*% t(L)
  # columns of a term may have units of their own
  unit <- sqrt(diag(vcov))
  value <- drop(L %*% fit$coefficients[fit$kept]) / unit
  npar <- nrow(L)
  mean_square <- drop(crossprod(value, solve(vcov / outer(unit, unit), value))) / npar
  data.frame(npar = npar, `Sum Sq` = mean_square * npar * fit$sigma2_e, `Mean Sq` = mean_square * fit$sigma2_e, `F value` = mean_square, check.names = FALSE)
}

# By terms, rows over the kept coefficients
term_hypotheses <- function(fit, type) {
  X <- fixed_design(fit)
  term <- attr(X, "assign")[fit$kept]
  X <- unname(X[, fit$kept, drop = FALSE])
  present <- unique(term[term > 0])
  hypotheses <- switch(type, sequential_hypotheses(X, term), partial_hypotheses(X, term, containing_terms(fit)), marginal_hypotheses(X, term, fit))
  structure(lapply(present, hypotheses), names = attr(fit$terms, "term.labels")[present])
}

# Rows of R of X = QR
sequential_hypotheses <- function(X, term) {
  R <- qr.R(qr(X, tol = 0))
  function(k) R[term == k, , drop = FALSE]
}

# X_k' M X with M the projection off the columns of terms that do not contain term k
partial_hypotheses <- function(X, term, containing) {
  function(k) {
    others <- !term %in% c(k, containing[[k]])
    left <- if (any(others)) qr.resid(qr(X[, others, drop = FALSE]), X) else X
    left[, others] <- 0
    crossprod(left[, term == k, drop = FALSE], left)
  }
}

# Coefficients of term k with factors coded by contrasts that sum to zero
marginal_hypotheses <- function(X, term, fit) {
  used <- names(fit$contrasts)
  if (length(used) == 0) return(function(k) diag(ncol(X))[term == k, , drop = FALSE])
  if (length(fit$kept) < length(fit$coefficients)) abort_anova(
    paste0(
      "type = 3 weights the levels of other factors equally, which needs all coefficients to be estimable: some are aliased (empty cells, or redundant ",
      "columns); types 1 and 2 do not need this"
    )
  )
  coded <- stats::model.matrix(
    stats::delete.response(fit$terms), model.frame(fit, fixed.only = TRUE), contrasts.arg = structure(rep(list("contr.sum"), length(used)), names = used)
  )
  map <- qr.coef(qr(unname(coded), LAPACK = TRUE), X)
  at <- attr(coded, "assign")
  function(k) map[at == k, , drop = FALSE]
}

# Terms with the same numeric variables and more factors, by terms
containing_terms <- function(fit) {
  variables <- attr(fit$terms, "factors") > 0
  numeric <- !rownames(variables) %in% names(fit$contrasts)
  contains <- function(k, l) k != l && all(variables[numeric, k] == variables[numeric, l]) && all(variables[!numeric, l] >= variables[!numeric, k])
  terms <- seq_len(ncol(variables))
  lapply(terms, function(k) Filter(function(l) contains(k, l), terms))
}
