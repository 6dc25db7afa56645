# Answers of a sparse-factor model in the shapes of base R, lme4 and broom. What would need a likelihood refuses with the reason (slam-methods.R).

#' Sparse-factor fits in the formats of other packages
#'
#' @param x,object a fit by [slamglmm_fit()], or the value of `VarCorr()`.
#' @param parm names of quantities, as in `summary(fit)$table$variable`, or the kinds `"h2"`, `"G"`, `"R"`, `"rg"`, `"B"` that precede the
#'   brackets. With several random effects these stand for all of them, and `"h2_id"`, `"G_id"`, `"rg_id"` for the one named. Where the random
#'   effect cannot be distinguished from the residual there are only `"P"` and `"B"`. `NULL`: all.
#' @param level,conf.level probability of intervals.
#' @param traits responses to return; `NULL`: all.
#' @param variable,regex which draws, see [slamglmm_draws].
#' @param sigma must be 1.
#' @param complete not used, an argument of the generic: aliased coefficients are left out of the model.
#' @param nsim,seed number of data sets, each from a different draw, and seed as for [stats::simulate()].
#' @param conf.int add intervals?
#' @param row.names,optional not used.
#' @param ... not used; an unknown argument is an error.
#' @return `VarCorr()`: a list of the posterior mean covariances between responses, named by random effect, with the residual covariance as
#'   attribute `residual`; as a data frame with the columns `grp`, `var1`, `var2`, `vcov`, `sdcor`. On the diagonal `sdcor` is a standard
#'   deviation, off the diagonal a correlation, that of the mean covariances and so not exactly `rg()`.
#'
#'   `confint()`: a matrix of posterior intervals with a row for each quantity. `vcov()`: posterior covariance of all coefficients, response by
#'   response. `sigma()`: residual standard deviation of each response. `simulate()`: a list of matrices of responses, with new random effects,
#'   factors and residuals given drawn parameters, and with missing cells where they were. `as.data.frame()`: the draws of [slamglmm_draws],
#'   one per row, with `.chain` and `.iteration`.
#'
#'   `tidy()`: a row for each coefficient, those of `cis` last; `glance()`: one row; `augment()`: a row for each row and response, `.observed`,
#'   `.fitted`, `.resid`. `weights()`: `NULL`; precisions given as `weights` belong to cells, not rows. `subset()` is refused with an error of
#'   class `sampler`. For `loo()` and `waic()` see [log_lik()].
#' @examples
#' set.seed(1)
#' data <- data.frame(id = paste0("i", rep(1:20, 2)))
#' data$Y <- outer(rep(rnorm(20), 2), c(a = 1, b = -1)) + matrix(rnorm(80), 40)
#' fit <- slamglmm_fit(Y ~ 1 + (1 | id), data, chains = 2, iter = 1000, seed = 1)
#' VarCorr(fit)
#' confint(fit, "h2", level = 0.9)
#' sigma(fit)
#' head(augment(fit), 3)
#' @name slamglmm_tables
NULL

#' @rdname slamglmm_tables
#' @export
#' @exportS3Method lme4::VarCorr slamglmm
VarCorr.slamglmm <- function(x, sigma = 1, ...) {
  check_arguments(...)
  if (!identical(as.numeric(sigma), 1)) abort_fastlmm("argument", "sigma multiplies standard deviations of likelihood fits; for sampler fits leave it at 1")
  value <- structure(lapply(effect_names(x), function(effect) G(x, effect)), names = effect_names(x))
  structure(value, residual = R(x), class = "VarCorr.slamglmm")
}

#' @rdname slamglmm_tables
#' @export
as.data.frame.VarCorr.slamglmm <- function(x, row.names = NULL, optional = FALSE, ...) {
  check_arguments(...)
  one <- function(V, group) {
    at <- which(upper.tri(V, diag = TRUE), arr.ind = TRUE)
    same <- at[, 1] == at[, 2]
    names <- colnames(V)
    sd <- sqrt(diag(V))
    data.frame(
      grp = group, var1 = names[at[, 1]], var2 = ifelse(same, NA, names[at[, 2]]), vcov = V[at],
      sdcor = ifelse(same, sd[at[, 1]], V[at] / sd[at[, 1]] / sd[at[, 2]])
    )
  }
  groups <- beside(names(x), "Residual")
  out <- do.call(rbind, c(Map(one, unclass(x), groups), list(one(attr(x, "residual"), "Residual"))))
  # variances first, as lme4 has them
  out <- out[order(match(out$grp, c(groups, "Residual")), !is.na(out$var2)), ]
  rownames(out) <- NULL
  out
}

#' @rdname slamglmm_tables
#' @export
print.VarCorr.slamglmm <- function(x, ...) {
  check_arguments(...)
  table <- as.data.frame(x)
  print(utils::head(table, 30), digits = 3, row.names = FALSE)
  if (nrow(table) > 30) cat("... the first 30 of ", nrow(table), "; as.data.frame() has all\n", sep = "")
  invisible(x)
}

#' @rdname slamglmm_tables
#' @export
confint.slamglmm <- function(object, parm = NULL, level = 0.95, traits = NULL, ...) {
  check_arguments(...)
  table <- summary(object, level = level, traits = traits)$table
  if (!is.null(parm)) {
    names <- cbind(table$variable, variable_kinds(object, table$variable))
    wanted <- rowSums(matrix(names %in% parm, nrow(names))) > 0
    unknown <- setdiff(parm, names)
    if (length(unknown) > 0) abort_fastlmm(
      "parm", paste0("there is no quantity named ", first_names(as.character(unknown)), "; summary(fit)$table$variable has the names")
    )
    table <- table[wanted, ]
  }
  ends <- paste(format(100 * c((1 - level) / 2, (1 + level) / 2), trim = TRUE), "%")
  matrix(c(table$low, table$high), ncol = 2, dimnames = list(table$variable, ends))
}

# "h2_id" and "h2" of "h2_id[a]"; names of effects may have brackets, too
variable_kinds <- function(fit, variable) {
  whole <- kind <- sub("\\[.*", "", variable)
  for (what in c("h2", "G", "rg")) for (effect in effect_names(fit)) {
    name <- of_effect(fit, what, effect)
    at <- startsWith(variable, paste0(name, "["))
    kind[at] <- name
    whole[at] <- what
  }
  cbind(kind, whole)
}

#' @rdname slamglmm_tables
#' @export
vcov.slamglmm <- function(object, complete = TRUE, ...) {
  check_arguments(...)
  all <- fixef(object, draws = TRUE)
  names <- paste0(rep(colnames(object$Y), each = nrow(all)), ":", rep(rownames(all), ncol(object$Y)))
  check_matrix_memory(2 * length(names), length(names), sprintf("the covariance of %d coefficients", length(names)))
  value <- stats::cov(t(matrix(all, length(names))))
  dimnames(value) <- list(names, names)
  value
}

#' @rdname slamglmm_tables
#' @export
sigma.slamglmm <- function(object, ...) {
  check_arguments(...)
  check_identified(object, "sigma()")
  of <- function(d) sqrt(drop(d$Lambda^2 %*% (1 - d$hF)) + (1 - d$h) * d$sigma2)
  stats::setNames(rowMeans(each_draw(object, of)), colnames(object$Y))
}

#' @rdname slamglmm_tables
#' @export
simulate.slamglmm <- function(object, nsim = 1, seed = NULL, ...) {
  check_arguments(...)
  check_has_draws(object)
  nsim <- check_nsim(nsim, length(object$Y))
  state <- seed_generator(seed)
  on.exit(state$restore())
  total <- count_draws(object)
  draws <- lapply(sample.int(total, nsim, replace = nsim > total), function(i) replicated(object, i) + own_offset(object))
  structure(draws, names = paste0("sim_", seq_len(nsim)), seed = state$seed)
}

#' @rdname slamglmm_tables
#' @export
as.data.frame.slamglmm <- function(x, row.names = NULL, optional = FALSE, traits = NULL, variable = NULL, regex = FALSE, ...) {
  check_arguments(...)
  all <- invariant_draws(x, traits, variable, regex)
  dim <- dim(all)
  numbers <- matrix(all, dim[1] * dim[2], dimnames = list(NULL, dimnames(all)[[3]]))
  data.frame(.chain = rep(seq_len(dim[2]), each = dim[1]), .iteration = rep(seq_len(dim[1]), dim[2]), numbers, check.names = FALSE)
}

#' @rdname slamglmm_tables
#' @export
weights.slamglmm <- function(object, ...) {
  check_arguments(...)
  NULL
}

#' @rdname slamglmm_tables
#' @export
subset.slamglmm <- function(x, ...) abort_sampler("subset", "slamglmm_fit(subset =) fits some rows, and traits = of its verbs takes some responses")

# ---- broom --------------------------------------------------------------------------------------------------

#' @rdname slamglmm_tables
#' @export
tidy.slamglmm <- function(x, conf.int = FALSE, conf.level = 0.95, ...) {
  check_arguments(...)
  check_level(conf.level)
  all <- fixef(x, draws = TRUE)
  if (length(all) + count_cis(x) == 0) return(
    data.frame(effect = character(), response = character(), term = character(), estimate = numeric(), std.error = numeric(), rhat = numeric(), ess = numeric())
  )
  names <- list(response = rep(colnames(all), each = nrow(all)), term = rep(rownames(all), ncol(all)))
  draws <- t(matrix(all, prod(dim(all)[1:2])))
  table <- judged(x, if (is.null(x$cis)) draws else cbind(draws, cis_draws(x)), conf.level)
  out <- data.frame(
    effect = "fixed", response = c(names$response, x$cis$response), term = c(names$term, x$cis$term), estimate = table$mean, std.error = table$sd,
    rhat = table$rhat, ess = table$ess_bulk
  )
  if (conf.int) cbind(out, conf.low = table$low, conf.high = table$high) else out
}

#' @rdname slamglmm_tables
#' @export
glance.slamglmm <- function(x, ...) {
  check_arguments(...)
  found <- if (is.null(x$convergence)) slam_convergence(x) else x$convergence
  or_na <- function(value) if (is.null(value)) NA_real_ else value
  data.frame(
    nobs = nrow(x$Y), responses = ncol(x$Y), factors = x$n_factors, chains = length(x$draws), draws = count_draws(x), rhat = or_na(found$rhat),
    ess_bulk = or_na(found$bulk), ess_tail = or_na(found$tail)
  )
}

#' @rdname slamglmm_tables
#' @export
augment.slamglmm <- function(x, ...) {
  check_arguments(...)
  fitted <- fitted(x)
  observed <- x$Y + own_offset(x)
  row <- rownames(x$frame)
  data.frame(
    .row = rep(if (is.null(row)) seq_len(nrow(x$Y)) else row, ncol(x$Y)), .response = rep(colnames(x$Y), each = nrow(x$Y)), .observed = c(observed),
    .fitted = c(fitted), .resid = c(observed - fitted)
  )
}
