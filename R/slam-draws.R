# Draws of a sparse-factor model for other packages, in words and against replicated data.

# ---- draws for other packages -----------------------------------------------------------------------------------------

#' Draws in the formats of posterior and coda
#'
#' Draws of quantities that do not depend on the signs, order and scale of factors, named as in the table of [summary.slamglmm()]:
#' heritabilities, covariances and correlations, fixed effects, and parameters of families, probes and curves. By default only those that take
#' no more memory than the draws themselves, without off-diagonal elements.
#'
#' Kinds of quantities:
#' * `h2[trait]`;
#' * `G[trait]`, `R[trait]`, `P[trait]`: variances of the random effect, of the residual and of both;
#' * `G[trait1,trait2]` and so on: covariances;
#' * `rg[trait1,trait2]`, `re[...]`, `rp[...]`: correlations of G, R and P;
#' * `B[coefficient,trait]`: fixed effects;
#' * with several random effects, `h2_id`, `G_id` and `rg_id` for effect `id`;
#' * the `parameters` of the observation models: `dispersion[trait]` (of `negative_binomial()`), `gap1[trait]`, ... (between cut points of
#'   `ordinal()`), `noise_probe[gene]`, `mean_probe[gene]` (of [slam_probes()]) and `noise[curve]` (of [slam_curves()]).
#'
#' @param x a fit by [slamglmm_fit()].
#' @param traits responses to return; `NULL`: all.
#' @param variable names of quantities (`"rg[trait1,trait2]"`, in either order of traits), of kinds, each with all its quantities (`"G"`, with
#'   several random effects for each of them, `"re"`), or `"parameters"`. `NULL`: `h2`, the variances `G` and `R`, `B` and the parameters;
#'   where the random effect cannot be distinguished from the residual, `P` replaces the first three.
#' @param regex are `variable` regular expressions, such as `"^rg.*weight"`?
#' @param ... not used.
#' @return [posterior::as_draws()]: an array, iterations x chains x variables, in the order of `variable`. [coda::as.mcmc()]: an `mcmc.list`. A
#'   correlation is `NaN` in draws in which one of the variances is 0. Errors: `variable` for unknown names, `memory`.
#' @examples
#' set.seed(1)
#' data <- data.frame(id = paste0("i", rep(1:20, 2)))
#' data$Y <- cbind(a = rnorm(20)[rep(1:20, 2)], b = 0) + matrix(rnorm(80), 40)
#' fit <- slamglmm_fit(Y ~ 1 + (1 | id), data, chains = 2, iter = 200, seed = 1)
#' if (requireNamespace("posterior", quietly = TRUE)) {
#'   print(posterior::as_draws(fit, variable = c("G", "rp")))
#' }
#' @name slamglmm_draws
NULL

#' @rdname slamglmm_draws
#' @exportS3Method posterior::as_draws
as_draws.slamglmm <- function(x, traits = NULL, variable = NULL, regex = FALSE, ...) {
  check_arguments(...)
  posterior::as_draws_array(invariant_draws(x, traits, variable, regex))
}

#' @rdname slamglmm_draws
#' @exportS3Method coda::as.mcmc
as.mcmc.slamglmm <- function(x, traits = NULL, variable = NULL, regex = FALSE, ...) {
  check_arguments(...)
  all <- invariant_draws(x, traits, variable, regex)
  thin <- x$plan$thin
  one <- function(chain) coda::mcmc(array(all[, chain, ], dim(all)[c(1, 3)], dimnames(all)[c(1, 3)]), start = x$plan$warmup + thin, thin = thin)
  coda::mcmc.list(lapply(seq_len(dim(all)[2]), one))
}

#' @rdname slamglmm_draws
#' @exportS3Method coda::as.mcmc.list
as.mcmc.list.slamglmm <- function(x, traits = NULL, variable = NULL, regex = FALSE, ...) as.mcmc.slamglmm(x, traits, variable, regex)

# ---- in words ------------------------------------------------------------------------------------------------------------

#' @rdname slamglmm_methods
#' @export
print.slamglmm <- function(x, ...) {
  check_arguments(...)
  cat("Sparse-factor mixed model of ", counted(ncol(x$Y), "response"), ", ", counted(nrow(x$Y), "row"), ", ", counted(x$n_factors, "factor"), "\n", sep = "")
  cat("Formula: ", deparse1(x$formula), "\n", sep = "")
  done <- if (x$done < x$plan$iter) paste(format(x$done), "of", format(x$plan$iter)) else format(x$done)
  cat(sprintf("%s of %s iterations, %s of them warmup: %s\n", counted(x$plan$chains, "chain"), done, format(x$plan$warmup), counted(count_draws(x), "draw")))
  if (!is.null(x$cis)) cat("Covariates of single responses: ", cis_text(x), "\n", sep = "")
  if (has_links(x)) cat("Families: ", families_text(x), "\n", sep = "")
  cells <- sum(is.na(x$Y))
  if (cells > 0) cat(counted(cells, "missing cell"), if (length(x$data$sets) > 0) "integrated out\n" else "drawn\n")
  if (count_draws(x) > 0) {
    cat("\nProportions of variance of ", paste(quoted(effect_names(x)), collapse = " and "), ":\n", sep = "")
    if (!is.null(x$unidentified)) cat("not estimated: the random effect cannot be distinguished from the residual\n")
    else print(utils::head(h2(x), 10), digits = 3, row.names = FALSE)
    if (is.null(x$unidentified) && ncol(x$Y) > 10) cat("... the first 10 of ", ncol(x$Y), "\n", sep = "")
    print_convergence(x)
  }
  invisible(x)
}

#' @rdname slamglmm_methods
#' @export
summary.slamglmm <- function(object, level = 0.95, traits = NULL, ...) {
  check_arguments(...)
  check_level(level)
  check_has_draws(object)
  at <- trait_index(object, traits)
  # all pairs of a thousand responses are millions of numbers
  most <- if (is.null(traits) && length(at) > 30) 2000 else Inf
  table <- invariant_table(object, level, at, most)
  rownames(table) <- NULL
  structure(
    list(
      call = object$call, draws = count_draws(object), level = level, table = table, of = count_invariant(object, length(at)), factors = factor_summary(object),
      convergence = object$convergence
    ),
    class = "summary.slamglmm"
  )
}

#' @rdname slamglmm_methods
#' @export
print.summary.slamglmm <- function(x, ...) {
  check_arguments(...)
  cat("Call: ", call_text(x$call), "\n", counted(x$draws, "draw"), ", intervals of ", format(100 * x$level), " %\n\n", sep = "")
  kind <- sub("\\[.*", "", x$table$variable)
  for (one in unique(kind)) {
    table <- x$table[kind == one, ]
    print(utils::head(table, 10), digits = 3, row.names = FALSE)
    if (nrow(table) > 10) cat("... the first 10 of ", nrow(table), ", in $table\n", sep = "")
    cat("\n")
  }
  if (nrow(x$table) < x$of) cat(
    "Some of ", format(x$of, big.mark = ","), " numbers, spread over the responses; summary(fit, traits =) has all of some responses\n", sep = ""
  )
  poor <- sum(x$table$rhat > 1.05, na.rm = TRUE)
  if (poor > 0) cat(counted(poor, "variable"), "with rhat above 1.05: extend() the chains\n")
  if (nrow(x$factors) > 0) {
    cat("\nFactors, by the proportion of the responses' variance that they explain:\n")
    print(x$factors, digits = 3, row.names = FALSE)
  }
  invisible(x)
}

# ---- replicated data --------------------------------------------------------------------------------------------------------

#' @rdname slamglmm_methods
#' @export
pp_check <- function(object, ...) UseMethod("pp_check")

#' @export
pp_check.default <- function(object, ...) abort_not_slam(object, "pp_check", "plot(fit) and simulate(fit)")

#' @rdname slamglmm_methods
#' @export
#' @exportS3Method bayesplot::pp_check slamglmm
pp_check.slamglmm <- function(object, n = 100, seed = NULL, ...) {
  check_arguments(...)
  if (!is_count(n)) abort_fastlmm("n", paste("n, replicated data sets, must be a whole number of at least 1, not", code_text(n)))
  if (n > most_points) abort_fastlmm("n", sprintf("n, replicated data sets, must be at most %.0f, not %.0f", most_points, n))
  state <- seed_generator(seed)
  on.exit(state$restore())
  observed <- trait_statistics(object$Y)
  total <- count_draws(object)
  check_has_draws(object)
  larger <- 0
  for (i in sample.int(total, n, replace = n > total)) larger <- larger + (trait_statistics(replicated(object, i)) >= observed)
  found <- data.frame(response = colnames(object$Y), t(observed), p = t(larger / n), row.names = NULL)
  structure(found, class = c("fastlmm_pp_check", "data.frame"))
}

# A row for each response and statistic
pp_table <- function(x) {
  names <- c("sd", "skewness", "largest")
  columns <- paste0("p.", names)
  if (!all(c("response", columns) %in% names(x)) || nrow(x) == 0) abort_fastlmm(
    "pp_check", paste("the picture needs rows and the columns", toString(c("response", columns)), "of pp_check()")
  )
  labels <- c("standard deviation", "skewness", "largest value")
  data.frame(
    response = rep(as.character(x$response), 3), effect = rep(labels, each = nrow(x)), h2 = unlist(unclass(x)[columns], use.names = FALSE),
    low = NA_real_, high = NA_real_
  )
}

pp_label <- "proportion of replicated data sets with a larger value"

#' @rdname slamglmm_methods
#' @export
plot.fastlmm_pp_check <- function(x, ...) {
  check_arguments(...)
  draw_intervals(pp_table(x), pp_label)
  invisible(x)
}

#' @rdname slamglmm_methods
#' @exportS3Method ggplot2::autoplot fastlmm_pp_check
autoplot.fastlmm_pp_check <- function(object, ...) {
  check_arguments(...)
  table <- pp_table(object)
  names <- short_labels(unique(table$response), 30)
  table$effect <- factor(table$effect, unique(table$effect))
  table$name <- factor(names$text[match(table$response, unique(table$response))], rev(names$text))
  gg("ggplot", table, gg_columns(x = "h2", y = "name", colour = "effect")) + gg("geom_vline", xintercept = 0.5, linetype = 3) +
    gg("geom_point", position = gg("position_dodge", width = 0.5), na.rm = TRUE) + gg("coord_cartesian", xlim = c(0, 1)) +
    gg("scale_colour_manual", values = effect_colours(3)) + gg("labs", x = pp_label, y = NULL, colour = NULL, caption = shared_text(names)) +
    gg("theme_minimal") + gg("theme", legend.position = "bottom") + gg_names("y", length(unique(table$response)))
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
  d <- scaled_draw(fit, i)
  n <- nrow(fit$Y)
  noise <- function(at) {
    if (is_several(fit)) return(power_of_v(fit, normals(n, length(at)), at, "root"))
    sqrt(outer(fit$basis$s, at, function(s, h) h * s + 1 - h)) * normals(n, length(at))
  }
  F <- fit$data$xf %*% d$bF + noise(d$factors_at)
  Y <- fitted_in_basis(fit, F, d$theta, d$cis) + noise(d$at) * rep(d$sigma, each = n)
  Y <- as_responses(fit, to_rows(fit, Y))
  if (has_links(fit)) {
    at <- draw_place(fit, i)
    one <- replace(fit, "draws", list(list(list(link = at$chain$link[, at$t, drop = FALSE]))))
    behind <- behind_link(fit$links)
    Y[, behind] <- Y[, behind] + offset_matrix(fit)[, behind]
    Y <- datum_maker(one, seq_len(n))(Y, 1)
  }
  Y[is.na(fit$Y)] <- NA
  dimnames(Y) <- dimnames(fit$Y)
  Y
}
