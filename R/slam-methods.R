# Fixed effects of a sparse-factor model.

# ---- fixed effects ------------------------------------------------------------------------------------------------

# All fixed effects of a draw on the responses themselves, what goes through the factors included: columns of X, then those of X_F that X lacks
total_fixed <- function(fit, d) {
  b <- ncol(fit$X)
  sd <- fit$scale$sd
  own <- d$theta[seq_len(b), , drop = FALSE] / fit$fixed$size
  through <- d$bF %*% t(d$Lambda / sd) / fit$covariates$size
  names <- union(colnames(fit$X), colnames(fit$covariates$XF))
  B <- matrix(0, length(names), length(sd), dimnames = list(names, names(sd)))
  B[colnames(fit$X), ] <- own
  extra <- colnames(fit$covariates$XF)
  if (length(extra) > 0) B[extra, ] <- B[extra, ] + through
  B <- B * rep(sd, each = nrow(B))
  if (has_intercept(fit$X)) {
    shift <- crossprod(fit$fixed$centre, own * rep(sd, each = b))
    if (length(extra) > 0) shift <- shift + crossprod(fit$covariates$centre, through * rep(sd, each = length(extra)))
    B["(Intercept)", ] <- B["(Intercept)", ] - shift
  }
  B[colnames(fit$X), ] <- B[colnames(fit$X), , drop = FALSE] + slam_shift(fit)
  B
}

#' Methods for sparse-factor fits
#'
#' @param object,x,formula,fit a fit by [slamglmm_fit()]; of `plot()` and `autoplot()` the value of `pp_check()`.
#' @param type of a model matrix: `"fixed"` or `"random"`.
#' @param name one or more names of components, or `"ALL"`.
#' @param fixed.only,random.only,env,data see [fastlmm-accessors].
#' @param add.dropped include linearly dependent columns, which are left out of the model, as `NA`?
#' @param draws return all draws instead of their mean?
#' @param level probability of the intervals of the summary.
#' @param n number of replicated data sets.
#' @param seed a whole number that makes them reproducible.
#' @param traits responses to return; `NULL`: all.
#' @param ... not used; an unknown argument is an error.
#' @return `fixef()`, `coef()`: coefficients x responses, total effects including those through factors. For predictions and random effects see
#'   [predict.slamglmm()].
#'
#'   `summary()`: a list of class `summary.slamglmm`, whose `table` has a row for each element of h2, G, R, rg and B with its posterior `mean`
#'   and `sd`, the limits `low` and `high` of its interval, `rhat` (1 where the chains agree; above 1.05 they have not converged) and the
#'   effective sample sizes for means (`ess_bulk`) and for the limits of intervals (`ess_tail`). Rows are named by `variable`: `h2[a]`, `G[a]`
#'   (a variance), `G[a,b]`, `rg[a,b]`, `B[sexm,a]`, for responses a and b; with several random effects `h2_id[a]`, `G_id[a,b]`, `rg_id[a,b]`.
#'   `print()` reports the worst convergence of all of them.
#'
#'   `pp_check()`: a data frame of the standard deviation, skewness and largest absolute value of each response, and for each the proportion of
#'   replicated data sets with a larger one (the posterior predictive p-value). `plot()` and `autoplot()` of it draw these proportions: near 0
#'   or 1 the model does not have what the data have.
#'
#'   `getME()`: `X`, `Z`, `Zt`, `K`, `y` (rows x responses), `offset`, `fixef`, `beta`, `mu`, `flist`, `cnms`, `n`, `N`, `p`, `q`, `rank`,
#'   `n_rtrms`, `n_rfacs`, `Ztlist`, `Gp`, as for [getME.fastlmm()]. Other components, such as `theta`, are maximum likelihood estimates: the
#'   error `component`.
#'
#'   `logLik()`, `extractAIC()`, `anova()`, `refit()`: the error `fastlmm_error_sampler`, which names the alternative.
#' @examples
#' set.seed(1)
#' data <- data.frame(id = paste0("i", rep(1:20, 2)), x = rnorm(40))
#' data$Y <- outer(rep(rnorm(20), 2) + data$x, c(a = 1, b = -1)) + matrix(rnorm(80), 40)
#' fit <- slamglmm_fit(Y ~ x + (1 | id), data, chains = 2, iter = 1000, seed = 1)
#' fit
#' fixef(fit)
#' head(summary(fit)$table, 4)
#' plot(pp_check(fit, n = 50, seed = 1))
#' @name slamglmm_methods
NULL

#' @rdname slamglmm_methods
#' @export
fixef.slamglmm <- function(object, draws = FALSE, ..., add.dropped = FALSE) {
  check_arguments(...)
  all <- each_draw(object, function(d) total_fixed(object, d))
  if (draws) return(all)
  mean <- rowMeans(all, dims = 2)
  if (!add.dropped) return(mean)
  names <- union(object$all_columns, rownames(mean))
  structure(mean[match(names, rownames(mean)), , drop = FALSE], dimnames = list(names, colnames(mean)))
}

#' @rdname slamglmm_methods
#' @export
coef.slamglmm <- function(object, ...) fixef.slamglmm(object, ...)

#' @export
nobs.slamglmm <- function(object, ...) nrow(object$Y)
