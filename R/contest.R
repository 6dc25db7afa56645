#' Test contrasts of fixed effects
#'
#' Tests of `L beta = rhs` with the degrees of freedom of [summary.fastlmm()]: all rows of L jointly by an F test, or each by a t test.
#' Arguments and columns are those of `contest()` in `lmerTest`, whose generic also accepts these fits.
#'
#' The F tests are those of Fai and Cornelius (1996) with Satterthwaite's degrees of freedom, and those of Kenward and Roger (1997) with their
#' adjusted covariance and scaled F statistic. Rows of L that are linear combinations of others are redundant and do not count. Satterthwaite's
#' degrees of freedom of a joint test are computed from uncorrelated combinations of the rows, chosen so that they do not depend on how the
#' rows or the columns of X are parameterised. Those of `lmerTest` depend on the rows that are given, and may differ by some thousandths on
#' nearly balanced data and by a tenth for many contrasts of few rows. F is the same.
#'
#' @param model a fit by [fastlmm_fit()].
#' @param L a matrix with a column for each coefficient, including or excluding aliased ones; a vector is one row.
#' @param rhs value of `L beta` under the null hypothesis, one number or one for each row.
#' @param joint `TRUE`: one F test of all rows; `FALSE`: a t test of each.
#' @param ddf degrees of freedom: `"satterthwaite"` or `"kenward-roger"`.
#' @param level confidence level of the intervals of single contrasts.
#' @param ... not used; an unknown argument is an error.
#' @return A data frame. A joint test has one row of `Sum Sq`, `Mean Sq` (F times the residual variance), `NumDF`, `DenDF`, `F value` and
#'   `Pr(>F)`; single tests have a row each of `Estimate`, `Std. Error`, `df`, `t value`, `lower`, `upper` and `Pr(>|t|)`.
#' @section Errors:
#' `fastlmm_error_ddf` for fits without degrees of freedom (see [summary.fastlmm()]); `fastlmm_error_contest` for an L of the wrong size or
#' with contrasts that are not estimable.
#' @references Fai A. H.-T., Cornelius P. L. (1996). Approximate F-tests of multiple degree of freedom hypotheses in generalized least squares
#' analyses of unbalanced split-plot experiments. *Journal of Statistical Computation and Simulation* 54, 363-378.
#'
#'   Kenward M. G., Roger J. H. (1997). Small sample inference for fixed effects from restricted maximum likelihood. *Biometrics* 53, 983-997.
#' @examples
#' fit <- fastlmm_fit(distance ~ age * Sex + (1 | Subject), nlme::Orthodont)
#' contest(fit, rbind(c(0, 0, 1, 0), c(0, 0, 0, 1)))
#' contest(fit, c(0, 1, 0, 0.5), joint = FALSE, ddf = "kenward-roger")
#' @export
contest <- function(model, L, ...) UseMethod("contest")

#' @rdname contest
#' @exportS3Method contest fastlmm
#' @exportS3Method lmerTest::contest fastlmm
contest.fastlmm <- function(model, L, rhs = 0, joint = TRUE, ddf = c("satterthwaite", "kenward-roger"), level = 0.95, ...) {
  check_arguments(...)
  L <- read_contrasts(L, model)
  rhs <- read_rhs(rhs, nrow(L))
  check_consistent(L, rhs)
  tails <- both_tails(check_level(level))
  uncertainty <- fit_uncertainty(model, read_ddf(ddf, ddf_choices[-1]))
  if (joint) joint_row(model, uncertainty, L, rhs) else single_rows(model, uncertainty, L, rhs, tails)
}

#' @rdname contest
#' @exportS3Method contest fastlmm_mlm
#' @exportS3Method lmerTest::contest fastlmm_mlm
contest.fastlmm_mlm <- function(model, L, ...) abort_one_by_one("contest")

abort_contest <- function(message) abort_fastlmm("contest", message)

# Over the kept coefficients
read_contrasts <- function(L, fit) {
  if (is.data.frame(L)) L <- as.matrix(L)
  if (!is.numeric(L) || !all(is.finite(L)) || length(dim(L)) > 2) abort_contest(paste("L must be a matrix of finite numbers, not", code_text(L)))
  if (!is.matrix(L)) L <- matrix(L, 1)
  all <- length(fit$coefficients)
  if (!ncol(L) %in% c(all, length(fit$kept)) || length(fit$kept) == 0) {
    abort_contest(sprintf("L has %s, and the fit has %s", counted(ncol(L), "column"), counted(all, "coefficient")))
  }
  if (ncol(L) < all || all == length(fit$kept)) return(L)
  of_data <- sqrt(colMeans(unname(fixed_design(fit))^2))
  of_data[of_data == 0] <- 1
  known <- estimable_rows(fit, L, apply(abs(L) / rep(of_data, each = nrow(L)), 1, max))
  if (!is.null(known) && !all(known)) abort_contest(
    paste("L has contrasts that are not estimable, since coefficients are aliased:", first_names(which(!known)))
  )
  L[, fit$kept, drop = FALSE]
}

read_rhs <- function(rhs, rows) {
  if (is.numeric(rhs) && length(rhs) %in% c(1, rows) && all(is.finite(rhs))) return(rep_len(as.numeric(rhs), rows))
  abort_contest(sprintf("rhs must be one finite number, or one for each of %s of L", counted(rows, "row")))
}

# Rows of L that depend on each other must have right sides that do so as well.
check_consistent <- function(L, rhs) {
  size <- pmax(sqrt(rowSums(L^2)), .Machine$double.xmin)
  rows <- svd(L / size)
  free <- rows$d > 1e-8 * max(rows$d, 0)
  along <- rows$u[, free, drop = FALSE]
  left <- rhs / size - drop(along %*% crossprod(along, rhs / size))
  if (any(abs(left) > 1e-6 * max(abs(rhs / size)))) abort_contest(
    "rows of L that depend linearly on others have inconsistent values of rhs: the hypothesis cannot hold"
  )
}

joint_row <- function(fit, uncertainty, L, rhs = 0) {
  test <- joint_test(uncertainty, fit$coefficients[fit$kept], L, rhs)
  mean_square <- test$F * fit$sigma2_e
  data.frame(
    `Sum Sq` = mean_square * test$num, `Mean Sq` = mean_square, NumDF = test$num, DenDF = test$den, `F value` = test$scaled,
    `Pr(>F)` = pf(test$scaled, test$num, test$den, lower.tail = FALSE), check.names = FALSE
  )
}

single_rows <- function(fit, uncertainty, L, rhs, tails) {
  found <- contrast_tests(uncertainty, L)
  estimate <- drop(L %*% fit$coefficients[fit$kept])
  se <- sqrt(pmax(diag(found$vcov), 0))
  t <- (estimate - rhs) / se
  reach <- qt(tails[2], found$df) * se
  data.frame(
    Estimate = estimate, `Std. Error` = se, df = found$df, `t value` = t, lower = estimate - reach, upper = estimate + reach,
    `Pr(>|t|)` = 2 * pt(-abs(t), found$df),
    row.names = rownames(L), check.names = FALSE
  )
}
