# Predictions of a sparse-factor model: rows of the fit or of new data, means, intervals and draws.

#' Predictions and random effects of a sparse-factor model
#'
#' Posterior means, intervals and draws for rows and ids. Random effects, and the responses of new rows, are drawn given each draw of the
#' sampler, so that intervals include the uncertainty of the parameters, of the random effects and, for `"prediction"`, of the residuals.
#'
#' @section Conditioning on responses of new rows:
#' Without `given` the responses in `newdata` are ignored. With it, the observed responses of the new rows (named in `given`; cells that are
#' `NA` are not conditioned on) inform the prediction of the others: through the residuals of the same row, and through the genetic values of
#' its id and of its relatives, among the new rows too. Given each draw this is the exact conditional normal distribution; missing cells of the
#' fit keep the values of each draw, which were drawn given the rows of the fit but not the new responses. `given` is available for fits whose
#' responses are all normal, without weights.
#'
#' @section What is predicted:
#' For normal responses (also with weights), probes and curves the expected response is the latent value itself, fixed plus random effects; its
#' posterior mean needs no random numbers. With a family, let eta be the fixed plus random effects of a draw, and s2 the variance of the
#' residual (and of random effects that are not included). The expected response is `exp(eta + s2 / 2)` for counts; for `ordinal()` the sum
#' over levels, as numbers, times their probabilities, differences of `pnorm((cut - eta) / s)`, which for 0 and 1 is `pnorm(eta / s)`; for
#' `binomial()` the logistic function averaged over `N(eta, s2)` by quadrature. Its posterior mean is over draws of eta, with the seed of the
#' fit. If counts are so small that s2 has a heavy-tailed posterior, so has their expectation; use `type = "link"` then.
#'
#' Measurement errors are not predicted for new rows: where cells have `weights`, or precisions by [slam_voom()], `interval = "prediction"` is
#' for a value measured without error, including the residual of the model. For a measurement with precision w use
#' `draws + rnorm(length(draws)) / sqrt(w)`, where `draws` are those of `interval = "prediction"`. [slam_probes()] are predicted as traits,
#' without the noise of their columns; [slam_curves()] with `times` include the noise of points in `"prediction"`. Rows of the fit have their
#' own precisions.
#'
#' @param object a fit by [slamglmm_fit()].
#' @param newdata data frame with the variables of the model; `NULL`: the rows of the fit.
#' @param K kernel for ids that are not in that of the fit, as in [predict.fastlmm()]; intervals, draws and `given` also need the kernel among
#'   these ids. With several grouping factors a list named by them, `K = list(id = K_new)`.
#' @param re.form `NULL`: random effects included; `NA` or `~ 0`: fixed effects only (the response of an individual about which nothing is
#'   known); or a formula of the random terms of the model to include, such as `~ (1 | id)`: `newdata` then needs no other grouping factors.
#' @param allow.new.levels give ids outside every kernel an effect with mean 0? Otherwise such ids are the error `new_levels`, as are new
#'   levels of an effect without a kernel (a new block), for which no `K` can be given.
#' @param type for responses with a family (see [negative_binomial()]): `"response"`, the expected response, averaged over its residual (see
#'   Details), or `"link"`, the latent value. With `interval = "confidence"` and `draws` it is that expectation given each draw; with
#'   `interval = "prediction"` it is new data. For this, rows of the fit have their own trials, weights and columns; rows of `newdata`, and
#'   cells in which nothing was observed, have one trial, no measurement error and all columns. `"prob"`: the probability of each level of
#'   `ordinal()` responses, and of 0 and 1 (a success in one trial) of `binomial()` responses.
#' @param na.action see [predict.fastlmm()].
#' @param se.fit return posterior standard deviations as well?
#' @param interval `"confidence"`: for the expected response, fixed plus random effects; `"prediction"`: for a response, with its residual.
#' @param level probability of intervals.
#' @param draws return all draws instead of their means? With `interval = "prediction"` or `given` they are draws of responses, otherwise of
#'   their expectation (fixed plus random effects; with a family see Details).
#' @param given names or numbers of responses that were observed in the rows of `newdata`, which contains them as the response of the formula,
#'   or as columns of these names. The response of the formula is evaluated in `newdata`: if it depends on other rows, as `scale(y)` does, give
#'   columns. With several random effects all of them, or none, must be included (otherwise the error `slam_effects`).
#' @param seed a whole number: other random numbers than those of the seed of the fit.
#' @param times times at which curves are predicted, for a fit with [slam_curves()].
#' @param condVar add the posterior covariances of the effects of each id as attribute `postVar`, responses x responses x ids?
#' @param which `"all"`: all ids of the kernel; `"observed"`: those with a row in the data (the default of [ranef.fastlmm()]).
#' @param whichel see [ranef.fastlmm()].
#' @param x the value of `ranef()`.
#' @param row.names,optional as in [as.data.frame()], not used.
#' @param ... not used; an unknown argument is an error.
#' @return `predict()`, `fitted()`: rows x responses; with an interval an array rows x responses x (`fit`, `lwr`, `upr`); with `draws` rows x
#'   responses x draws, chain after chain; with `se.fit` a list of `fit` and `se.fit`. With `given` the predicted response of that row (the
#'   value itself where it was observed); `interval = "confidence"` is then for the expected response of rows of its id, fixed plus random
#'   effects given what was observed.
#'
#'   With `type = "prob"` a list, named by the responses that have levels, of arrays rows x levels; with an interval rows x levels x (`fit`,
#'   `lwr`, `upr`), with `draws` rows x levels x draws. Columns are named by the levels of an ordered factor, otherwise by the values. The
#'   probabilities are averaged over the residual, as for `"response"`, and intervals are of the probabilities (`"confidence"` only).
#'
#'   `ranef()`: a list of class `ranef.slamglmm` with a matrix of posterior means of the effects, ids x responses, for each random effect, by
#'   name; with `draws` arrays ids x responses x draws, from which [quantile()] computes intervals (see Examples). `as.data.frame()` gives
#'   `grpvar`, the name of the effect, `term`, the response, `grp`, `condval` and, with `condVar`, `condsd`. `residuals()`: rows x responses; a
#'   missing cell has a fitted value, but no residual.
#'
#'   Where the random effect cannot be distinguished from the residual, none of these includes it, except for the width of prediction
#'   intervals. Random numbers are those of the seed of the fit, or of `seed`: the same call gives the same result, and the state of R's
#'   generator is not changed. Rows are drawn together. Intervals, draws and the expected counts and proportions of a row therefore differ, by
#'   the error of so many draws, between calls with other rows beside it: compare rows within one call, and try another `seed` to see that
#'   error.
#' @section Errors:
#' Those of [predict.fastlmm()]; `given` for responses that `newdata` does not have; `memory`, with the size that draws would take.
#' @examples
#' set.seed(1)
#' data <- data.frame(id = paste0("i", rep(1:20, 2)))
#' effect <- rep(rnorm(20), 2)
#' data$Y <- cbind(a = effect, b = effect) + matrix(rnorm(80), 40)
#' fit <- slamglmm_fit(Y ~ 1 + (1 | id), data, chains = 2, iter = 400, seed = 1)
#' new <- data.frame(id = c("i1", "i2"), a = c(2, -2))
#' predict(fit, new, interval = "prediction", level = 0.9)
#' predict(fit, new, given = "a")
#'
#' data$pain <- cut(effect + rnorm(40), c(-Inf, -1, 1, Inf), c("none", "mild", "bad"), ordered_result = TRUE)
#' levels <- slamglmm_fit(pain ~ 1 + (1 | id), data, family = ordinal(), chains = 1, iter = 200, seed = 1)
#' predict(levels, new, type = "prob", interval = "confidence", level = 0.9)$pain
#'
#' effects <- ranef(fit, draws = TRUE)$id
#' head(t(apply(effects[, "a", ], 1, quantile, c(0.05, 0.5, 0.95))))
#' @order 1
#' @export
predict.slamglmm <- function(object, newdata = NULL, K = NULL, re.form = NULL, allow.new.levels = FALSE, type = c(
  "response", "link", "prob"
), na.action = na.pass, se.fit = FALSE,
                             interval = c("none", "confidence", "prediction"), level = 0.95, draws = FALSE, given = NULL, times = NULL, ..., seed = NULL) {
  check_arguments(...)
  object$seed <- first_of(checked_seed(seed), object$seed)
  type <- one_of(type, habits = c(probs = "prob", probability = "prob", class = "type = \"prob\" has the probability of each level"))
  interval <- one_of(interval)
  check_level(level)
  check_has_draws(object)
  if (type == "prob") check_prob(object, interval, times)
  rows <- slam_rows(object, newdata, wanted_random(object, re.form), K, allow.new.levels, na.action)
  rows$observed <- given_cells(object, newdata, given, rows)
  rows$response <- interval == "prediction" || interval == "none" && !is.null(given)
  if (!is.null(times)) return(curve_answers(object, replace(rows, "unknown", list(NULL)), times, interval, level, draws, se.fit))
  if (type == "prob") return(predicted_levels(object, rows, interval, level, draws, se.fit))
  rows$data <- has_links(object) && type == "response"
  if (draws) return(put_rows(rows, slam_answers(object, rows, seq_len(count_targets(rows)))))
  if (interval == "none" && !se.fit) return(
    put_rows(rows, if (is.null(given)) expected_rows(object, rows) else slam_answers(object, rows, seq_len(count_targets(rows)), mean = TRUE))
  )
  spread <- spread_of(object, rows, level)
  fit <- if (is.null(given)) expected_rows(object, rows) else spread$mean
  bounds <- if (interval == "none") fit else array(c(fit, spread$low, spread$high), c(dim(fit), 3), list(NULL, NULL, c("fit", "lwr", "upr")))
  fit <- put_rows(rows, bounds)
  if (se.fit) list(fit = fit, se.fit = put_rows(rows, spread$sd)) else fit
}

# ---- rows ------------------------------------------------------------------------------------------------------------

# Rows that are complete: X (all fixed effects), offset, and where their random effects come from. `complete`, `answered` and `names` put them back; `own`:
# which rows of the fit they are, of new rows nothing.
slam_rows <- function(fit, newdata, random, K, allow.new.levels, na.action) {
  if (is.null(newdata)) return(own_rows(fit, random))
  shape <- structure(fit, class = "fastlmm")
  shape$coefficients <- stats::setNames(numeric(length(fit$all_columns)), fit$all_columns)
  shape$kept <- seq_along(fit$all_columns)
  targets <- prediction_targets(shape, newdata, random, allow.new.levels, na.action = na.action)
  extra <- new_covariates(fit, as_data_frame(newdata))
  if (!is.null(extra)) extra <- extra[targets$complete, , drop = FALSE]
  warn_not_estimable(targets)
  rows <- list(
    X = cbind(targets$X, extra), offset = cell_offset(targets$offset, colnames(fit$Y)), names = targets$names, responses = colnames(fit$Y),
    complete = targets$complete, answered = targets$answered, estimable = targets$estimable,
    kind = "unknown", random = length(random) > 0
  )
  rows <- c(rows, new_cis(fit, as_data_frame(newdata), targets$complete))
  if (length(random) == 0 || !is.null(fit$unidentified)) return(rows)
  kernels <- new_kernels(K, random)
  rows$effects <- Map(row_kernel, random, targets$random, kernels, MoreArgs = list(allow.new.levels = allow.new.levels))
  rows$which <- effect_places(fit, random)
  replace(rows, "kind", "kernel")
}

own_rows <- function(fit, wanted = fit$random) {
  n <- nrow(fit$Y)
  known <- length(wanted) > 0 && is.null(fit$unidentified)
  list(
    X = cbind(fit$X, slam_extra(fit)), cis = fit$cis$X, offset = fit$offset, names = rownames(fit$Y), responses = colnames(fit$Y), complete = rep(TRUE, n),
    answered = rep(TRUE, n), kind = if (known) "fit" else "unknown",
    random = length(wanted) > 0, which = effect_places(fit, wanted), own = seq_len(n)
  )
}

# Where the effects of ids come from; ids that are missing are each one of its own.
row_kernel <- function(random, new, K, allow.new.levels) {
  # only where the ids are is asked for: no effects of one response
  random$alpha <- numeric(if (is_lowrank(random$kernel)) ncol(random$kernel$W) else length(random$index))
  unknown <- is.na(new$id)
  new$id[unknown] <- sprintf("missing id %d", seq_len(sum(unknown)))
  source <- new_source(random, unique(new$id), K, allow.new.levels)
  list(source = source, id = match(new$id, source$id), z = new$z)
}

put_rows <- function(rows, value) {
  size <- dim(value)
  if (!is.null(rows$unknown)) value[rep(rows$unknown, length.out = length(value))] <- NA
  if (!is.null(rows$estimable)) value[rep(!rows$estimable, length.out = length(value))] <- NA
  out <- array(NA_real_, c(length(rows$complete), size[-1]), c(list(rows$names, rows$responses), if (length(size) == 3) dimnames(value)[3]))
  which <- rep(rows$complete, length.out = length(out))
  out[which] <- value
  if (all(rows$answered)) return(out)
  if (length(size) == 3) out[rows$answered, , , drop = FALSE] else out[rows$answered, , drop = FALSE]
}

# ---- means -----------------------------------------------------------------------------------------------------------

# What is expected; with `rows$data` of responses with a family of their data
expected_rows <- function(fit, rows) {
  value <- expected_values(fit, rows)
  behind <- if (isTRUE(rows$data)) which(behind_link(fit$links))
  if (length(behind) == 0) return(value)
  rows$response <- FALSE
  found <- lapply(row_blocks(rows), function(at) slam_answers(fit, rows, at, mean = TRUE))
  value[, behind] <- do.call(rbind, c(list(matrix(0, 0, ncol(fit$Y))), found))[, behind]
  value
}

# Posterior means of fixed and random effects
expected_values <- function(fit, rows) {
  value <- slam_fixed(fit, rows$X) + rows$offset
  if (!is.null(fit$cis)) value <- value + cis_times(fit, rows$cis, colMeans(cis_draws(fit)))
  if (rows$kind == "unknown") return(value)
  alpha <- slam_alpha(fit)[rows$which]
  effect <- if (rows$kind == "fit") {
    function(random, alpha) random$z * (kernel_block(random, random$index, random$index) %*% alpha)[random$group, , drop = FALSE]
  } else {
    function(new, alpha) new$z * (cross_kernel(new$source$random, new$source, seq_along(new$source$id)) %*% alpha)[new$id, , drop = FALSE]
  }
  effects <- Map(effect, if (rows$kind == "fit") fit$random[rows$which] else rows$effects, alpha)
  value + Reduce(`+`, effects)
}

# Columns of X and those of X_F that X lacks, times all fixed effects
slam_fixed <- function(fit, X) {
  B <- fixef.slamglmm(fit)
  unname(X[, rownames(B), drop = FALSE]) %*% unname(B)
}

new_covariates <- function(fit, data) {
  terms <- fit$covariates$terms
  if (is.null(terms)) return(NULL)
  attr(terms, "columns") <- fit$covariates$columns
  frame <- forge_frame(list(formula = fit$formula, terms = terms), terms, data)
  levels <- fit$covariates$xlevels
  frame[names(levels)] <- Map(as_fitted_factor, frame[names(levels)], levels, names(levels))
  X <- stats::model.matrix(terms, frame)
  X[, setdiff(colnames(fit$covariates$XF), colnames(fit$X)), drop = FALSE]
}

# Columns of X_F that X lacks, as they were before they were scaled
slam_extra <- function(fit) {
  covariates <- fit$covariates
  if (ncol(covariates$XF) == 0) return(NULL)
  X <- sweep(sweep(covariates$XF, 2, covariates$size, "*"), 2, covariates$centre, "+")
  X[, setdiff(colnames(X), colnames(fit$X)), drop = FALSE]
}

# ---- draws -----------------------------------------------------------------------------------------------------------

# All draws of some of the rows; or `mean`, of rows of which something is given: the mean without random numbers. It comes with the draws, as an attribute.
slam_answers <- function(fit, rows, at, mean = FALSE) {
  rows <- subset_rows(rows, at)
  target <- rows_target(fit, rows)
  if (!is.null(rows$levels)) return(each_effect(fit, as.character(at), level_drawer(fit, rows, row_drawer(fit, rows, target)), mean, rows$levels$level))
  if (is.null(rows$observed)) return(each_effect(fit, as.character(at), datum_drawer(fit, rows, row_drawer(fit, rows, target)), mean))
  given <- given_drawer(fit, rows, target)
  sum <- 0
  what <- function(d) {
    found <- given(d, draw = !mean)
    sum <<- sum + found$mean
    if (mean) found$mean else found$draw
  }
  all <- each_effect(fit, as.character(at), what, mean)
  if (mean) all else structure(all, mean = sum / count_draws(fit))
}

subset_rows <- function(rows, at) {
  rows$X <- rows$X[at, , drop = FALSE]
  if (!is.null(rows$cis)) rows$cis <- rows$cis[at, , drop = FALSE]
  rows$offset <- some_of_rows(rows$offset, at)
  rows$own <- rows$own[at]
  rows$effects <- lapply(rows$effects, function(new) replace(new, c("id", "z"), list(new$id[at], new$z[at])))
  rows
}

rows_target <- function(fit, rows) {
  if (is_several(fit)) return(several_rows_target(fit, rows))
  switch(rows$kind, unknown = unknown_target(count_targets(rows)), fit = fit_target(fit), kernel = {
    part <- new_part(fit$random[[1]], rows$effects[[1]])
    kernel_target(part$cross, part$among, fit$basis, fit$basis$s, fit$basis$mean_diag)
  })
}

# The kernel of new rows with the rows of the fit, and among themselves
new_part <- function(random, new) {
  used <- unique(new$id)
  at <- match(new$id, used)
  cross <- cross_kernel(new$source$random, new$source, used)[at, random$group, drop = FALSE]
  among <- among_kernel(new$source, used, random$mean_diag)[at, at, drop = FALSE]
  list(cross = new$z * cross * rep(random$z, each = length(at)), among = new$z * among * rep(new$z, each = length(at)))
}

# The kernel among ids: of the fit, else of the user's K; ids that neither knows are alone.
among_kernel <- function(source, at, mean_diag) {
  given <- source$given[at]
  known <- ifelse(is.na(given), source$known[at], NA)
  check_matrix_memory(4 * length(at), length(at), sprintf("the kernel of %d ids", length(at)))
  among <- diag(mean_diag, length(at))
  inside <- which(!is.na(known))
  among[inside, inside] <- kernel_block(source$random, known[inside], known[inside])
  new <- which(!is.na(given))
  if (length(new) == 0) return(among)
  others <- which(!is.na(given) | !is.na(known))
  block <- source$K[given[new], , drop = FALSE][, match(source$id[at[others]], colnames(source$K)), drop = FALSE]
  if (anyNA(block)) abort_k_among(source$id[at[others]][is.na(colSums(block))])
  among[new, others] <- block
  among[others, new] <- t(block)
  among
}

abort_k_among <- function(id) {
  abort_fastlmm("k_diag", paste0(
    "intervals and draws need the kernel among the new ids: give a K whose columns hold them as well as the ids of the fit; it lacks ", first_names(id)
  ), levels = id)
}

# Rows of which nothing is given: fixed effects, random effects, residuals
row_drawer <- function(fit, rows, target) {
  cells <- cell_drawer(fit)
  with_effects <- rows$response || rows$kind != "unknown"
  size <- count_targets(rows)
  function(d) {
    value <- fixed_rows(fit, rows, d)
    if (with_effects) value <- value + effect_draw(fit, target, d, cells)
    if (rows$response) value + residual_draw(fit, size, d) else value
  }
}

# With `rows$data` draws on the scale of the data: new ones with `rows$response`, else what is expected of them
datum_drawer <- function(fit, rows, draw) {
  if (!isTRUE(rows$data)) return(draw)
  datum <- datum_maker(fit, rows$own)
  function(d) datum(draw(d), d$number, if (!rows$response) left_sd(fit, rows, d))
}

# Of each response, the standard deviation of what the effects of the rows leave: residuals, and effects that are not included
left_sd <- function(fit, rows, d) {
  left <- function(at) {
    if (rows$kind == "unknown") return(rep(1, length(at)))
    if (is_several(fit)) pmax(1 - rowSums(fit$numbers$proportions[at + 1, rows$which, drop = FALSE]), 0) else 1 - at
  }
  unname(sqrt(colSums(left(d$factors_at) * d$lambda^2) + left(d$at) * d$sigma^2) * fit$scale$sd)
}

# Rows that are drawn together: joint draws are not needed, unless rows say something about each other.
row_blocks <- function(rows) {
  count <- count_targets(rows)
  size <- if (rows$kind == "fit" || !is.null(rows$observed)) max(count, 1) else 300
  split(seq_len(count), (seq_len(count) - 1) %/% size)
}

# Standard deviations and quantiles of each cell
spread_of <- function(fit, rows, level) {
  found <- lapply(row_blocks(rows), function(at) cell_spread(slam_answers(fit, rows, at), level))
  join <- function(name) do.call(rbind, c(list(matrix(0, 0, length(rows$responses))), lapply(found, `[[`, name)))
  list(sd = join("sd"), low = join("low"), high = join("high"), mean = join("mean"))
}

cell_spread <- function(all, level) {
  of <- function(cell) c(stats::sd(cell), stats::quantile(cell, both_tails(level), names = FALSE))
  found <- apply(all, 1:2, of)
  part <- function(i) matrix(found[i, , ], dim(all)[1])
  list(sd = part(1), low = part(2), high = part(3), mean = attr(all, "mean"))
}
