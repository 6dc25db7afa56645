#' Predictions from a fitted mixed model
#'
#' Fixed effects plus offset and, unless `re.form = NA`, the best linear unbiased prediction of the random effects, for the rows of the fit or
#' for new data. Ids are identified by name. An id of K is predicted through the kernel, whether it has a row in the data or not; an id outside
#' K needs the argument `K`, or `allow.new.levels = TRUE`. Where the model has no bar term, the row names of `newdata` are the ids. Automatic
#' row names and numbers then refer to the rows of the fit only if `newdata` contains the response with the same values in these rows; other
#' rows are new and need `K`, whose rows may then be unnamed, in the order of `newdata`.
#'
#' The standard error is that of the predicted mean, including the uncertainty of `beta` (the universal kriging variance) and given the
#' variance components; it does not include the residual variance.
#'
#' @section Intervals:
#' The prediction plus and minus its standard error times a quantile of the t distribution with `n - rank` degrees of freedom. For a REML fit
#' the coverage is exact if the variance ratios are known (at `h2 = 0` the intervals are those of `lm()`), and nearly exact where these are
#' well estimated; with few ids the intervals are too short. `"prediction"` adds the residual variance `sigma2_e`, divided by the prior weight
#' in the rows of the fit (`newdata = NULL`) and by 1 for others. Such an interval is for a new response of an id that the kernel contains or,
#' with `allow.new.levels = TRUE`, of a new id. With `re.form = NA` it is refused, since a response includes a random effect.
#'
#' @section Terms:
#' `type = "terms"` gives the contribution of each fixed-effect term, centred at its mean over the rows of the fit, as [predict.lm()] does, and
#' of each random effect (as selected by `re.form`). The standard error of a random effect allows for the estimation of the fixed effects. The
#' prediction is the sum of the terms, the attribute `constant` and the offset.
#'
#' @section Draws:
#' With `nsim` the result is a matrix, rows x `nsim`, of draws from the joint distribution of the predicted values given the data and the
#' variances: normal, with the mean of `predict()`, the variances of `se.fit`, and all covariances, between rows of one id, between related
#' ids, and through the fixed effects. Use them for what row-wise intervals cannot give: the uncertainty of a contrast, of a rank, or of the
#' best of several ids. With `interval = "prediction"` they are draws of responses, including residuals. In contrast, [simulate.fastlmm()] with
#' `re.form = NULL` fixes effects and coefficients at their estimates. New ids outside the kernel of the fit need a `K` that has them among its
#' columns too.
#'
#' @param object a fit by [fastlmm_fit()].
#' @param newdata data frame; `NULL`: the rows of the fit, padded as `na.action` says.
#' @param re.form `NULL`: with all random effects; `NA` or `~ 0`: without (`newdata` then needs no id); or a formula of random terms of the
#'   fit, `~ (1 | id)`. As in `lme4`, part of a correlated term may be selected, `~ (1 | id)` of `(1 + x | id)`.
#' @param se.fit return standard errors as well?
#' @param K kernel between new ids (rows) and the ids of the fit (columns; all those with data are needed, others are ignored), matched by
#'   dimnames; or the joint kernel of old and new ids. A matrix, a Matrix, or a list named by grouping factor. It must be on the scale of the K
#'   of the fit; this is checked on ids in both.
#' @param k_diag diagonal elements `K[id, id]` of the new ids: one number, or a vector named by id. Needed only for `se.fit` when `K` is not a
#'   joint kernel.
#' @param allow.new.levels give ids outside every kernel the effect 0, with the mean diagonal element of K as prior variance (relative to
#'   `sigma2`)? Otherwise they are an error. This also applies to a missing id, whose row is otherwise `NA`. `TRUE`, `FALSE`,
#'   or the names of the grouping factors that may have new levels, `"site"`: new levels of others remain errors, so that a misspelt animal is
#'   not taken for a new one.
#' @param random.only only the random effects, without fixed effects and offset? `newdata` then needs no variables but theirs.
#' @param type `"response"` and `"link"` are the same here; `"terms"`: a matrix with a column for each term, see below.
#' @param terms names or numbers of the terms to return with `type = "terms"`; `NULL`: all.
#' @param nsim,seed number of joint draws to return, see below; seed that makes them reproducible. The state of R's generator is restored.
#' @param interval,level interval for the predicted mean (`"confidence"`) or for a new response (`"prediction"`), and its level; see below.
#' @param na.action rows of `newdata` with missing values: `NA` ([na.pass()], [na.exclude()]), omitted ([na.omit()]), or an error
#'   ([na.fail()]).
#' @param ... not used; an unknown argument is an error.
#' @return A numeric vector named by row, `NA` where a row has a missing value. With `interval`, a matrix with columns `fit`, `lwr`, `upr`, as
#'   from [predict.lm()]; with `se.fit`, a list of `fit`, `se.fit` and `residual.scale`; with `nsim`, a matrix of draws, rows x `nsim`, with
#'   the seed as an attribute; with `type = "terms"`, a matrix rows x terms with the attribute `constant`, or, with `se.fit` or `interval`, a
#'   list of such matrices `fit`, `se.fit`, `lwr`, `upr`.
#'
#'   The result is also `NA`, with the warning `fastlmm_warning_not_estimable`, where the fixed effects are rank deficient and the row needs a
#'   combination of coefficients that is not estimable, as for a cell of an interaction without data: any number there would depend on the
#'   reference level of a factor.
#' @examples
#' fit <- fastlmm_fit(distance ~ age + (1 | Subject), nlme::Orthodont)
#' predict(fit, data.frame(age = 15, Subject = c("M01", "F01")), se.fit = TRUE)
#' predict(fit, data.frame(age = c(8, 15)), re.form = NA, interval = "confidence")
#' # a new measurement of M01, and of a boy who was not measured before
#' predict(fit, data.frame(age = 15, Subject = "M01"), interval = "prediction")
#' predict(fit, data.frame(age = 15, Subject = "new"), interval = "prediction", allow.new.levels = TRUE)
#' # how probable is it that M01 is larger than F01 at 15?
#' draws <- predict(fit, data.frame(age = 15, Subject = c("M01", "F01")), nsim = 1000, seed = 1)
#' mean(draws[1, ] > draws[2, ])
#' head(predict(fit, type = "terms"), 3)
#'
#' # ids without a phenotype: kernel of time points, predictions in the gap
#' year <- time(Nile)
#' K <- exp(-abs(outer(year, year, "-")) / 10)
#' dimnames(K) <- list(year, year)
#' nile <- data.frame(flow = c(Nile), year = as.character(year))
#' gap <- fastlmm_fit(flow ~ 1 + (1 | year), nile[-(41:45), ], K = K)
#' predict(gap, nile[41:45, ], se.fit = TRUE)
#' @export
predict.fastlmm <- function(object, newdata = NULL, re.form = NULL, se.fit = FALSE, K = NULL, k_diag = NULL,
                            allow.new.levels = FALSE, random.only = FALSE, type = c("response", "link", "terms"), na.action = na.pass,
                            interval = c("none", "confidence", "prediction"), level = 0.95, terms = NULL, nsim = NULL, ..., seed = NULL) {
  check_arguments(...)
  interval <- wanted_interval(interval, level, re.form, random.only)
  check_draws(nsim, se.fit)
  if (wanted_type(type, terms, nsim) == "terms") {
    return(predict_terms(object, newdata, re.form, terms, se.fit, interval, level, random.only, na.action, function(term) {
      as_part(predict(object, newdata, term, se.fit || interval != "none", K, k_diag, allow.new.levels, random.only = TRUE))
    }))
  }
  random <- wanted_random(object, re.form)
  targets <- prediction_targets(object, newdata, random, allow.new.levels, random.only, na.action)
  sources <- Map(
    function(one, target, K) new_source(one, unique(target$id), K, allow.new.levels),
    random, targets$random, if (length(random) > 0) new_kernels(K, random)
  )
  warn_not_estimable(targets)
  mean <- target_mean(object, targets, sources)
  if (!is.null(nsim)) return(
    predicted_draws(object, targets, mean, target_covariance(object, targets, sources, k_diag), drawn_noise(object, newdata, interval, targets), nsim, seed)
  )
  fit <- pad_targets(targets, mean)
  if (!se.fit && interval == "none") return(fit)
  variance <- target_variance(object, targets, sources, k_diag)
  with_interval(object, targets, fit, pmax(variance, 0), interval, level, se.fit, row_noise(object, newdata, interval))
}

# ---- intervals ------------------------------------------------------------------------------------------

wanted_interval <- function(interval, level, re.form, random.only) {
  interval <- one_of(interval, c("none", "confidence", "prediction"))
  check_level(level)
  if (interval == "prediction" && random.only) abort_interval("a response consists of more than its random effects; leave random.only out")
  if (interval == "prediction" && !is.null(re.form)) {
    abort_interval("a response has all its random effects; leave re.form out, and give the id, or with allow.new.levels = TRUE an id that is in no kernel")
  }
  interval
}

abort_interval <- function(message) abort_fastlmm("interval", paste0("no prediction interval: ", message))

# Residual variance in each row of a prediction, of new ones for the weight 1
row_noise <- function(fit, newdata, interval) {
  if (is.null(newdata)) return(if (interval == "prediction") fit$sigma2_e / prior_weights(fit) else numeric(fit$nobs))
  if (interval == "prediction") new_residual_variance(fit, newdata) else numeric(nrow(as_data_frame(newdata)))
}

drawn_noise <- function(
  fit, newdata, interval, targets
) if (interval == "prediction") row_noise(fit, newdata, interval)[targets$complete] else numeric(sum(targets$complete))

wanted_type <- function(type, terms, nsim) {
  type <- one_of(type, c("response", "link", "terms"))
  if (type == "terms" && !is.null(nsim)) abort_fastlmm("argument", "draws are for predictions: leave out nsim, or type = \"terms\"")
  if (type != "terms" && !is.null(terms)) abort_fastlmm("argument", "terms selects terms for type = \"terms\"; leave it out, or give that type")
  type
}

# As predict.lm() gives it
with_interval <- function(fit, targets, mean, variance, interval, level, se.fit, noise) {
  errors <- pad_targets(targets, sqrt(variance))
  value <- mean
  if (interval != "none") {
    half <- stats::qt((1 + level) / 2, fit$nobs - fit$rank) * pad_targets(targets, sqrt(variance + noise[targets$complete]))
    value <- cbind(fit = mean, lwr = mean - half, upr = mean + half)
  }
  if (se.fit) list(fit = value, se.fit = errors, residual.scale = sigma(fit)) else value
}

# ---- what is asked for --------------------------------------------------------------------------------

# The random effects that are asked for
wanted_random <- function(fit, re.form) {
  if (is.null(re.form)) return(fit$random)
  if (is_population(re.form)) return(list())
  wanted <- if (inherits(re.form, "formula") && only_random(re.form)) which_random(fit, re.form)
  if (any(wanted)) return(fit$random[wanted])
  abort_fastlmm(
    "re_form",
    paste0(
      "re.form must be NULL (with the random effects), NA or ~0 (without), or a formula of random terms of the fit, not ", deparse1(re.form)
    )
  )
}

is_population <- function(re.form) {
  if (inherits(re.form, "formula")) identical(re.form[[length(re.form)]], 0) else is.atomic(re.form) && length(re.form) == 1 && is.na(re.form)
}

# Has a formula random terms and nothing else? An intercept, or none, says nothing there.
only_random <- function(re.form) {
  fixed <- drop_bars(re.form[[length(re.form)]])
  is.null(fixed) || length(attr(stats::terms(stats::as.formula(call("~", fixed))), "variables")) == 1
}

# The effects of the terms of a formula; none if one of its terms is not in the fit.
which_random <- function(fit, re.form) {
  bars <- find_bars(re.form[[length(re.form)]])
  if (length(bars) == 0) return(FALSE)
  places <- lapply(split_bars(bars), term_places, fit)
  if (all(lengths(places) > 0)) seq_along(fit$random) %in% unlist(places) else FALSE
}

# Rows to predict: only complete ones go on; `complete` and `names` put the others back. Of these `estimable` says which have a mean.
prediction_targets <- function(fit, newdata, random, allow.new.levels = FALSE, random.only = FALSE, na.action = stats::na.pass) {
  design <- if (is.null(newdata)) fit_targets(fit, random) else forge_design(fit, newdata, random, !random.only)
  X <- design$X[, fit$kept, drop = FALSE]
  complete <- rowSums(is.na(X)) == 0 & rowSums(is.na(as.matrix(design$offset))) == 0
  check_new_levels(allow.new.levels, fit)
  for (i in seq_along(random)) complete <- complete & (allows_new(allow.new.levels, random[[i]]) | !is.na(design$random[[i]]$id)) & !is.na(design$random[[i]]$z)
  targets <- list(
    X = X[complete, , drop = FALSE], offset = some_of_rows(design$offset, complete),
    random = lapply(design$random, function(one) list(id = one$id[complete], z = one$z[complete])),
    estimable = estimable_rows(fit, design$X[complete, , drop = FALSE]), complete = complete, names = rownames(design$X), na.action = design$na.action,
    answered = if (is.null(newdata)) rep(TRUE, length(complete)) else answered_rows(complete, na.action, rownames(design$X))
  )
  if (random.only) without_fixed(targets) else targets
}

# The random effects alone; their errors are those beside estimated fixed effects.
without_fixed <- function(targets) {
  targets$X[] <- 0
  targets$offset[] <- 0
  targets["estimable"] <- list(NULL)
  targets
}

fit_targets <- function(fit, random) {
  list(
    X = fixed_design(fit), offset = fit$offset, na.action = fit$na.action,
    random = lapply(random, function(one) list(id = one$ids[one$index][one$group], z = one$z))
  )
}

pad_targets <- function(targets, value) {
  if (!is.null(targets$estimable)) value[!targets$estimable] <- NA
  out <- structure(rep(NA_real_, length(targets$complete)), names = targets$names)
  out[targets$complete] <- value
  napredict(targets$na.action, out[targets$answered])
}

# ---- mean and variance --------------------------------------------------------------------------------

target_mean <- function(fit, targets, sources) {
  mean <- drop(targets$X %*% fit$coefficients[fit$kept]) + targets$offset
  effects <- Map(function(target, source) target$z * source$effect[match(target$id, source$id)], targets$random, sources)
  Reduce(`+`, effects, mean)
}

target_variance <- function(fit, targets, sources, k_diag = NULL) {
  if (length(sources) == 0) return(quadratic(targets$X, fit$vcov))
  if (is_sparse_fit(fit)) return(sparse_variance(fit, targets, sources, k_diag))
  if (length(fit$random) > 1) return(mix_variance(fit, targets, sources, k_diag))
  one_variance(fit, targets$X, targets$random[[1]], sources[[1]], k_diag)
}

one_variance <- function(fit, X, target, source, k_diag, block = block_rows(random)) {
  random <- source$random
  at <- match(target$id, source$id)
  if (is.null(random$kernel) && is.null(source$K)) return(identity_variance(fit, X, target$z, source$known[at]))
  if (is_lowrank(random$kernel)) return(factor_variance(fit, random, X, target$z, source$known[at]))
  prior <- prior_variance(random, source, k_diag)
  in_blocks(length(at), block, function(rows) {
    cross <- cross_kernel(random, source, at[rows])
    kernel_variance(fit, X[rows, , drop = FALSE], target$z[rows], cross, prior[at[rows]])
  })
}

# Variance of the ids' own effects given beta: lme4's condVar
conditional_variance <- function(fit, label, rows) {
  random <- fit$random[[label]]
  target <- list(id = random$ids[rows], z = rep(1, length(rows)))
  targets <- list(X = matrix(0, length(rows), 0), random = structure(list(target), names = label))
  source <- kernel_source(random, target$id, NULL, FALSE)
  target_variance(fit, targets, structure(list(source), names = label))
}

# A block of cross kernel takes no more room than K itself, or 160 MB.
block_rows <- function(random) {
  m <- length(random$index)
  max(m, 2e7 %/% m)
}

in_blocks <- function(n, block, variance) {
  as.numeric(unlist(lapply(split(seq_len(n), (seq_len(n) - 1) %/% block), variance)))
}

kernel_variance <- function(fit, X, z, cross, prior) {
  random <- fit$random[[1]]
  given <- sufficient(fit, ncol(X) > 0)
  hear_stop()
  if (any(z != 1)) cross <- z * cross
  fitted <- rust_fitted(fit, kernel_values(random), "matrix", random$index, given)
  call_rust(ffi_variance, fitted, list(K = cross, prior = z^2 * prior, X = X), control_threads(fit$control))
}

# What Rust needs of a fit for variances of predictions. `given`: sums over the rows of each id
rust_fitted <- function(fit, K, form, index, given) {
  list(
    K = K, form = form, index = index, gram = given$gram, cross = given$cross, vcov = given$vcov, sigma2 = unname(fit$sigma2), sigma2_e = fit$sigma2_e
  )
}

# Independent ids: only an id's own rows tell about it.
identity_variance <- function(fit, X, z, id) {
  given <- sufficient(fit, ncol(X) > 0)
  gram <- ifelse(is.na(id), 0, given$gram[id])
  total <- fit$sigma2_e + fit$sigma2 * gram
  informed <- gram > 0 & total > 0
  left <- ifelse(informed, fit$sigma2_e / total, 1)
  shrinkage <- ifelse(informed, fit$sigma2 / total, 0)
  cross <- given$cross[ifelse(is.na(id), 1, id), , drop = FALSE]
  z^2 * left * fit$sigma2 + quadratic(X - z * shrinkage * cross, given$vcov)
}

quadratic <- function(X, vcov) rowSums((X %*% vcov) * X)

# Sums over the rows of each id with a phenotype: Z'WZ (its diagonal is all there is) and Z'WX
sufficient <- function(fit, with_beta) {
  random <- fit$random[[1]]
  weight <- prior_weights(fit) * random$z
  m <- length(random$index)
  gram <- as.numeric(rowsum(weight * random$z, random$group))
  if (!with_beta) return(list(gram = gram, cross = matrix(0, m, 0), vcov = matrix(0, 0, 0)))
  X <- fixed_design(fit)[, fit$kept, drop = FALSE]
  list(gram = gram, cross = unname(rowsum(weight * X, random$group)), vcov = unname(fit$vcov))
}
