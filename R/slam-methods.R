# Estimates, predictions and diagnostics of a sparse-factor model.

# ---- fixed effects ------------------------------------------------------------------------------------------------

# All fixed effects of a draw on the responses themselves, what goes through the factors included: columns of X, then those of X_F that X lacks
total_fixed <- function(fit, d) {
  b <- ncol(fit$X)
  sd <- fit$scale$sd
  own <- d$theta[seq_len(b), , drop = FALSE] / fit$fixed$size
  through <- if (nrow(d$bF) > 0) d$bF %*% t(d$Lambda / sd) / fit$covariates$size
  names <- union(colnames(fit$X), colnames(fit$covariates$XF))
  B <- matrix(0, length(names), length(sd), dimnames = list(names, names(sd)))
  B[colnames(fit$X), ] <- own
  extra <- colnames(fit$covariates$XF)
  if (length(extra) > 0) B[extra, ] <- B[extra, ] + through
  B <- B * rep(sd, each = nrow(B))
  if (has_intercept(fit$X)) {
    shift <- crossprod(fit$fixed$centre, own * rep(sd, each = b))
    if (length(extra) > 0) shift <- shift + crossprod(fit$covariates$centre, through * rep(sd, each = length(extra)))
    B["(Intercept)", ] <- B["(Intercept)", ] + fit$scale$mean - shift
  }
  B
}

#' Estimates and predictions of a sparse-factor model
#'
#' @param object,x a fit by [slamglmm_fit()].
#' @param newdata data frame with the variables of the model; `NULL`: the rows of the fit.
#' @param K for ids that the fit's kernel does not know, as in [predict.fastlmm()].
#' @param re.form `NULL`: random effects included; `NA` or `~ 0`: fixed effects only.
#' @param allow.new.levels an effect of 0 for ids that no kernel knows?
#' @param draws all draws instead of their mean?
#' @param level probability of the intervals of the summary.
#' @param n number of replicated data sets.
#' @param seed a whole number that makes them repeatable.
#' @param which `"covariance"`: heat map of genetic correlations; `"loadings"`: of the loadings; `"h2"`: heritabilities with their intervals; `"trace"`: heritabilities along the chains.
#' @param traits responses that are wanted; `NULL`: all (of a trace the first nine).
#' @param ... not used; an unknown argument is an error.
#' @return `fixef()`: coefficients by responses, total effects, factors included. `ranef()`: a list with a matrix of predicted effects, all ids of the kernel by responses: posterior means.
#'   `fitted()`, `residuals()`, `predict()`: rows by responses; a missing cell has a fitted value, and no residual. `pp_check()`: a data frame of the standard deviation, skewness and largest absolute value
#'   of each response and the part of replicated data sets that have a larger one. `summary()`: a list of class `summary.slamglmm`.
#' @name slamglmm_methods
NULL

#' @rdname slamglmm_methods
#' @export
fixef.slamglmm <- function(object, draws = FALSE, ...) {
  check_dots_empty(...)
  all <- each_draw(object, function(d) total_fixed(object, d))
  if (draws) all else mean_draw(all)
}

#' @rdname slamglmm_methods
#' @export
coef.slamglmm <- function(object, ...) fixef.slamglmm(object, ...)

#' @rdname slamglmm_methods
#' @export
ranef.slamglmm <- function(object, ...) {
  check_dots_empty(...)
  random <- object$random[[1]]
  effects <- kernel_block(random, seq_along(random$ids), random$index) %*% slam_alpha(object)
  dimnames(effects) <- list(random$ids, colnames(object$Y))
  structure(list(effects), names = random$name)
}

# Numbers by which the predicted effects of any ids are K[ids, observed] alpha, observed ids x responses: posterior means of `Z' V^-1 r h`, of factors and of what is left of each response
slam_alpha <- function(fit) {
  check_has_draws(fit)
  sum <- matrix(0, nrow(fit$Y), ncol(fit$Y))
  for (chain in fit$draws) for (t in seq_len(ncol(chain$sigma2))) sum <- sum + rotated_alpha(fit, chain, t)
  cells <- fit$basis$Q %*% sum * rep(fit$scale$sd, each = nrow(sum)) / (count_draws(fit) * fit$basis$mean_diag)
  random <- fit$random[[1]]
  rowsum(cells * random$z, factor(random$group, levels = seq_along(random$index)), reorder = TRUE)
}

# Of one draw, in the rotated basis and in units of scaled responses
rotated_alpha <- function(fit, chain, t) {
  F <- array(chain$factors[, , t], dim(chain$factors)[1:2])
  theta <- array(chain$theta[, , t], dim(chain$theta)[1:2])
  bF <- array(chain$factors_b[, , t], dim(chain$factors_b)[1:2])
  b <- ncol(fit$X)
  share <- function(h) outer(fit$basis$s, h, function(s, h) h / (h * s + 1 - h))
  fitted <- cbind(fit$data$x, F) %*% theta
  alpha <- if (length(fit$data$sets) > 0) alpha_of_sets(fit, chain$h[, t], fitted) else share(chain$h[, t]) * (completed_y(fit, chain, t) - fitted)
  if (fit$n_factors > 0) alpha <- alpha + (share(chain$factors_h[, t]) * (F - fit$data$xf %*% bF)) %*% theta[b + seq_len(fit$n_factors), , drop = FALSE]
  alpha
}

# The part of each response, in the bases of the sets: rows that were not observed say nothing
alpha_of_sets <- function(fit, h, fitted) {
  fitted <- fit$basis$Q %*% fitted
  alpha <- matrix(0, nrow(fitted), ncol(fitted))
  for (set in fit$data$sets) {
    share <- outer(set$s, h[set$traits], function(s, h) h / (h * s + 1 - h))
    left <- crossprod(set$q, set$y - fitted[set$rows, set$traits, drop = FALSE])
    alpha[set$rows, set$traits] <- set$q %*% (share * left)
  }
  crossprod(fit$basis$Q, alpha)
}

# Q'Y with the missing cells of a draw
completed_y <- function(fit, chain, t) {
  if (nrow(chain$cells) == 0) return(fit$data$y)
  cells <- matrix(0, nrow(fit$Y), ncol(fit$Y))
  cells[missing_cells(fit)] <- chain$cells[, t]
  fit$data$y + crossprod(fit$basis$Q, cells)
}

missing_cells <- function(fit) cbind(unlist(fit$missing), rep(seq_along(fit$missing), lengths(fit$missing)))

#' @rdname slamglmm_methods
#' @export
predict.slamglmm <- function(object, newdata = NULL, K = NULL, re.form = NULL, allow.new.levels = FALSE, ...) {
  check_dots_empty(...)
  if (is.null(newdata)) return(if (is.null(re.form)) fitted.slamglmm(object) else fixed_part(object, cbind(object$X, new_covariates(object, object$frame))) + object$offset)
  shape <- structure(object, class = "fastlmm")
  shape$coefficients <- stats::setNames(numeric(length(object$all_columns)), object$all_columns)
  design <- forge_design(shape, newdata, if (is.null(re.form)) object$random else list())
  value <- fixed_part(object, cbind(design$X, new_covariates(object, as_data_frame(newdata)))) + design$offset
  if (!is.null(re.form)) return(value)
  value + new_effects(object, design$random[[1]], K, allow.new.levels)
}

# Columns of X and those of X_F that X lacks, times all fixed effects
fixed_part <- function(fit, X) {
  B <- fixef.slamglmm(fit)
  X[, rownames(B), drop = FALSE] %*% B
}

new_covariates <- function(fit, data) {
  terms <- fit$covariates$terms
  if (is.null(terms)) return(NULL)
  X <- stats::model.matrix(terms, stats::model.frame(terms, data, xlev = fit$covariates$xlevels, na.action = stats::na.pass))
  X[, setdiff(colnames(fit$covariates$XF), colnames(fit$X)), drop = FALSE]
}

new_effects <- function(fit, new, K, allow.new.levels) {
  random <- fit$random[[1]]
  alpha <- slam_alpha(fit)
  random$alpha <- alpha[, 1]
  source <- new_source(random, unique(new$id), new_kernels(K, list(random))[[1]], allow.new.levels)
  cross <- cross_kernel(source$random, source, seq_along(source$id))
  new$z * (cross %*% alpha)[match(new$id, source$id), , drop = FALSE]
}

#' @rdname slamglmm_methods
#' @export
fitted.slamglmm <- function(object, ...) {
  check_dots_empty(...)
  random <- object$random[[1]]
  fixed <- fixed_part(object, cbind(object$X, slam_extra(object)))
  effects <- kernel_block(random, random$index, random$index) %*% slam_alpha(object)
  value <- fixed + random$z * effects[random$group, , drop = FALSE] + object$offset
  dimnames(value) <- dimnames(object$Y)
  value
}

# Columns of X_F that X lacks, as they were before they were scaled
slam_extra <- function(fit) {
  covariates <- fit$covariates
  if (ncol(covariates$XF) == 0) return(NULL)
  X <- sweep(sweep(covariates$XF, 2, covariates$size, "*"), 2, covariates$centre, "+")
  X[, setdiff(colnames(X), colnames(fit$X)), drop = FALSE]
}

#' @rdname slamglmm_methods
#' @export
residuals.slamglmm <- function(object, ...) {
  check_dots_empty(...)
  object$Y + object$offset - fitted.slamglmm(object)
}

#' @export
nobs.slamglmm <- function(object, ...) nrow(object$Y)

# ---- draws for other packages -----------------------------------------------------------------------------------------

#' Draws for posterior and coda
#'
#' Quantities that do not depend on signs, order and scale of factors: heritabilities, variances of effects and residuals, and fixed effects of each response.
#' @param x a fit by [slamglmm_fit()].
#' @param traits responses that are wanted; `NULL`: all.
#' @param ... not used.
#' @return [posterior::as_draws()]: an array, iterations x chains x variables, `h2[trait]`, `G[trait]`, `R[trait]`, `B[coefficient,trait]`. [coda::as.mcmc()]: an `mcmc.list`.
#' @name slamglmm_draws
NULL

#' @rdname slamglmm_draws
#' @exportS3Method posterior::as_draws
as_draws.slamglmm <- function(x, traits = NULL, ...) {
  posterior::as_draws_array(invariant_draws(x, traits))
}

#' @rdname slamglmm_draws
#' @exportS3Method coda::as.mcmc
as.mcmc.slamglmm <- function(x, traits = NULL, ...) {
  all <- invariant_draws(x, traits)
  thin <- x$plan$thin
  one <- function(chain) coda::mcmc(array(all[, chain, ], dim(all)[c(1, 3)], dimnames(all)[c(1, 3)]), start = x$plan$warmup + thin, thin = thin)
  coda::mcmc.list(lapply(seq_len(dim(all)[2]), one))
}

#' @rdname slamglmm_draws
#' @exportS3Method coda::as.mcmc.list
as.mcmc.list.slamglmm <- function(x, traits = NULL, ...) as.mcmc.slamglmm(x, traits)

# iterations x chains x variables
invariant_draws <- function(fit, traits = NULL) {
  at <- trait_index(fit, traits)
  names <- colnames(fit$Y)[at]
  of <- function(d) {
    square <- d$Lambda[at, , drop = FALSE]^2
    g <- drop(square %*% d$hF) + (d$h * d$sigma2)[at]
    r <- drop(square %*% (1 - d$hF)) + ((1 - d$h) * d$sigma2)[at]
    c(g / (g + r), g / fit$basis$mean_diag, r, total_fixed(fit, d)[, at])
  }
  all <- each_draw(fit, of)
  coefficients <- union(colnames(fit$X), colnames(fit$covariates$XF))
  variables <- c(sprintf("h2[%s]", names), sprintf("G[%s]", names), sprintf("R[%s]", names), sprintf("B[%s,%s]", rep(coefficients, length(names)), rep(names, each = length(coefficients))))
  chains <- fit$plan$chains
  all <- array(all, c(length(variables), ncol(all) / chains, chains))
  array(aperm(all, c(2, 3, 1)), dim(all)[c(2, 3, 1)], list(NULL, NULL, variable = variables))
}

# ---- in words ------------------------------------------------------------------------------------------------------------

#' @rdname slamglmm_methods
#' @export
print.slamglmm <- function(x, ...) {
  check_dots_empty(...)
  cat("Sparse-factor mixed model of ", counted(ncol(x$Y), "response"), ", ", counted(nrow(x$Y), "row"), ", ", counted(x$n_factors, "factor"), "\n", sep = "")
  cat("Formula: ", deparse1(x$formula), "\n", sep = "")
  cat(sprintf("%s of %s iterations, %s of them warmup: %s\n", counted(x$plan$chains, "chain"), format(x$done), format(x$plan$warmup), counted(count_draws(x), "draw")))
  cells <- sum(lengths(x$missing))
  if (cells > 0) cat(counted(cells, "missing cell"), if (length(x$data$sets) > 0) "integrated out\n" else "drawn\n")
  if (count_draws(x) > 0) {
    cat("\nProportions of variance of ", quoted(x$random[[1]]$name), ":\n", sep = "")
    print(utils::head(h2(x), 10), digits = 3, row.names = FALSE)
    if (ncol(x$Y) > 10) cat("... the first 10 of ", ncol(x$Y), "\n", sep = "")
  }
  invisible(x)
}

#' @rdname slamglmm_methods
#' @export
summary.slamglmm <- function(object, level = 0.95, traits = NULL, ...) {
  check_dots_empty(...)
  all <- invariant_draws(object, traits)
  tail <- (1 - level) / 2
  one <- function(x) c(mean = mean(x), sd = stats::sd(x), stats::quantile(x, c(tail, 1 - tail), names = FALSE))
  table <- t(apply(all, 3, one))
  colnames(table)[3:4] <- c("low", "high")
  table <- data.frame(variable = rownames(table), table, rhat = apply(all, 3, rhat), ess = apply(all, 3, effective_size), row.names = NULL)
  structure(list(call = object$call, draws = count_draws(object), level = level, table = table, factors = factor_summary(object)), class = "summary.slamglmm")
}

# By posterior where it is there; else coda's effective size, and no rhat
rhat <- function(x) if (requireNamespace("posterior", quietly = TRUE)) posterior::rhat(x) else NA_real_

effective_size <- function(x) {
  if (requireNamespace("posterior", quietly = TRUE)) return(posterior::ess_bulk(x))
  if (requireNamespace("coda", quietly = TRUE)) return(sum(apply(x, 2, function(chain) coda::effectiveSize(coda::mcmc(chain)))))
  NA_real_
}

#' @rdname slamglmm_methods
#' @export
print.summary.slamglmm <- function(x, ...) {
  check_dots_empty(...)
  cat("Call: ", deparse1(x$call), "\n", counted(x$draws, "draw"), ", intervals of ", format(100 * x$level), " %\n\n", sep = "")
  print(utils::head(x$table, 30), digits = 3, row.names = FALSE)
  if (nrow(x$table) > 30) cat("... the first 30 of ", nrow(x$table), " variables, in $table\n", sep = "")
  poor <- sum(x$table$rhat > 1.05, na.rm = TRUE)
  if (poor > 0) cat(counted(poor, "variable"), "with rhat above 1.05: extend() the chains\n")
  if (nrow(x$factors) > 0) {
    cat("\nFactors, by the part of the responses' variance that they explain:\n")
    print(x$factors, digits = 3, row.names = FALSE)
  }
  invisible(x)
}

# ---- replicated data --------------------------------------------------------------------------------------------------------

#' @rdname slamglmm_methods
#' @export
pp_check <- function(object, ...) UseMethod("pp_check")

#' @rdname slamglmm_methods
#' @export
pp_check.slamglmm <- function(object, n = 100, seed = NULL, ...) {
  check_dots_empty(...)
  state <- seed_generator(seed)
  on.exit(state$restore())
  observed <- trait_statistics(object$Y)
  total <- count_draws(object)
  check_has_draws(object)
  larger <- 0
  for (i in sample.int(total, n, replace = n > total)) larger <- larger + (trait_statistics(replicated(object, i)) >= observed)
  data.frame(response = colnames(object$Y), t(observed), p = t(larger / n), row.names = NULL)
}

trait_statistics <- function(Y) {
  one <- function(y) {
    y <- y[!is.na(y)]
    y <- y - mean(y)
    sd <- sqrt(mean(y^2))
    c(sd = sd, skewness = mean(y^3) / sd^3, largest = max(abs(y)))
  }
  apply(Y, 2, one)
}

# A data set from draw i: new factors, effects and residuals for the same rows, cells missing where they were
replicated <- function(fit, i) {
  per_chain <- ncol(fit$draws[[1]]$sigma2)
  chain <- fit$draws[[(i - 1) %/% per_chain + 1]]
  t <- (i - 1) %% per_chain + 1
  n <- nrow(fit$Y)
  noise <- function(h) sqrt(outer(fit$basis$s, h, function(s, h) h * s + 1 - h)) * matrix(stats::rnorm(n * length(h)), n)
  theta <- array(chain$theta[, , t], dim(chain$theta)[1:2])
  bF <- array(chain$factors_b[, , t], dim(chain$factors_b)[1:2])
  F <- fit$data$xf %*% bF + noise(chain$factors_h[, t])
  Y <- cbind(fit$data$x, F) %*% theta + noise(chain$h[, t]) * rep(sqrt(chain$sigma2[, t]), each = n)
  Y <- sweep(sweep(fit$basis$Q %*% Y, 2, fit$scale$sd, "*"), 2, fit$scale$mean, "+")
  Y[missing_cells(fit)] <- NA
  dimnames(Y) <- dimnames(fit$Y)
  Y
}

# ---- pictures ------------------------------------------------------------------------------------------------------------------

#' @rdname slamglmm_methods
#' @export
plot.slamglmm <- function(x, which = c("covariance", "loadings", "h2", "trace"), traits = NULL, ...) {
  check_dots_empty(...)
  switch(match.arg(which),
    covariance = {
      correlations <- rg(x, traits = traits)
      by_cluster <- stats::hclust(stats::as.dist(1 - abs(correlations)), "average")$order
      heat_map(correlations[by_cluster, by_cluster, drop = FALSE], "genetic correlations")
    },
    loadings = heat_map(loadings(x)[trait_index(x, traits), , drop = FALSE] / x$scale$sd[trait_index(x, traits)], "loadings, in standard deviations"),
    h2 = plot_h2(h2(x, traits)),
    trace = plot_trace(x, traits)
  )
  invisible(x)
}

# Blue below zero, red above, by rows from the top
heat_map <- function(values, title) {
  values[!is.finite(values)] <- 0
  limit <- max(abs(values), 1e-12)
  colours <- grDevices::hcl.colors(101, "Blue-Red 3")
  rows <- nrow(values)
  columns <- ncol(values)
  small <- function(n) min(0.9, 16 / n)
  dimnames(values) <- lapply(dimnames(values), abbreviate, minlength = 20)
  old <- graphics::par(no.readonly = TRUE)
  on.exit(graphics::par(old))
  graphics::plot.new()
  width <- function(names, n) min(max(graphics::strwidth(names, "inches", cex = small(n))) + 0.3, 3)
  graphics::par(mai = c(width(colnames(values), columns), width(rownames(values), rows), 0.5, 0.9), new = TRUE)
  graphics::image(seq_len(columns), seq_len(rows), t(values[rows:1, , drop = FALSE]), col = colours, zlim = c(-limit, limit), axes = FALSE, xlab = "", ylab = "", main = title)
  graphics::axis(1, seq_len(columns), colnames(values), las = 2, tick = FALSE, cex.axis = small(columns), gap.axis = -1)
  graphics::axis(2, seq_len(rows), rev(rownames(values)), las = 1, tick = FALSE, cex.axis = small(rows), gap.axis = -1)
  graphics::box()
  usr <- graphics::par("usr")
  at <- usr[2] + diff(usr[1:2]) * c(0.03, 0.06)
  height <- seq(usr[3], usr[4], length.out = 102)
  graphics::rect(at[1], height[-102], at[2], height[-1], col = colours, border = NA, xpd = NA)
  graphics::text(at[2], c(usr[3], mean(usr[3:4]), usr[4]), format(c(-limit, 0, limit), digits = 2), pos = 4, xpd = NA, cex = 0.8)
}

plot_h2 <- function(table) {
  old <- graphics::par(mar = c(4, 8, 2, 1))
  on.exit(graphics::par(old))
  at <- rev(seq_len(nrow(table)))
  graphics::plot(table$h2, at, xlim = c(0, 1), pch = 19, yaxt = "n", xlab = "proportion of variance", ylab = "")
  graphics::segments(table$low, at, table$high, at)
  graphics::axis(2, at, table$response, las = 1, tick = FALSE, cex.axis = min(1, 26 / nrow(table)))
}

plot_trace <- function(x, traits) {
  at <- trait_index(x, traits)
  if (is.null(traits)) at <- utils::head(at, 9)
  all <- invariant_draws(x, at)[, , seq_along(at), drop = FALSE]
  side <- ceiling(sqrt(length(at)))
  old <- graphics::par(mfrow = c(ceiling(length(at) / side), side), mar = c(2, 2, 2, 1))
  on.exit(graphics::par(old))
  for (i in seq_along(at)) graphics::matplot(all[, , i], type = "l", lty = 1, xlab = "", ylab = "", main = dimnames(all)[[3]][i])
}

# Posterior means of X B + F Lambda' + Z U of each response, in units of the responses: the factors whole, with what is not random effect
expected_y <- function(fit) {
  sum <- 0
  for (chain in fit$draws) for (t in seq_len(ncol(chain$sigma2))) {
    F <- array(chain$factors[, , t], dim(chain$factors)[1:2])
    fitted <- cbind(fit$data$x, F) %*% array(chain$theta[, , t], dim(chain$theta)[1:2])
    sum <- sum + fitted + fit$basis$s * alpha_of_sets(fit, chain$h[, t], fitted)
  }
  sweep(sweep(fit$basis$Q %*% sum / count_draws(fit), 2, fit$scale$sd, "*"), 2, fit$scale$mean, "+")
}

#' Responses with their missing cells at their posterior means
#'
#' @param object a fit by [slamglmm_fit()].
#' @param draws all draws of the missing cells instead of their means?
#' @return The responses, rows by responses, cells that were missing at the mean of their draws; with `draws`, a matrix with a row for each missing cell (response by response) and a column for each draw.
#' @export
posterior_cells <- function(object, draws = FALSE) {
  check_has_draws(object)
  cells <- missing_cells(object)
  Y <- object$Y
  if (length(object$data$sets) > 0) {
    if (draws) abort_fastlmm("no_draws", "missing cells were integrated out, not drawn; fit with missing = \"impute\"")
    Y[cells] <- expected_y(object)[cells]
    return(Y + object$offset)
  }
  all <- do.call(cbind, lapply(object$draws, `[[`, "cells"))
  value <- all * object$scale$sd[cells[, 2]] + object$scale$mean[cells[, 2]]
  if (draws) return(unname(value))
  Y[cells] <- rowMeans(value)
  Y + object$offset
}
