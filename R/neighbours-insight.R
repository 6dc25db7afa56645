# insight: what a fit is made of, in the shapes that easystats use. Those functions that are not here find what they need by these, or by R's own generics.

#' @exportS3Method insight::find_formula fastlmm
#' @noRd
find_formula.fastlmm <- function(x, verbose = TRUE, ...) {
  fixed <- formula(x, fixed.only = TRUE)
  # a process is a smooth term: it stands with the fixed effects, and its coordinates are predictors
  if (is_gp_fit(x)) fixed[[3]] <- call("+", fixed[[3]], x$gp$term)
  random <- lapply(Filter(is_bar_term, random_terms(x)), function(term) stats::as.formula(call("~", plain_bar(term)), environment(fixed)))
  found <- list(conditional = fixed)
  if (length(random) > 0) found$random <- if (length(random) == 1) random[[1]] else random
  structure(found, class = c("insight_formula", "list"))
}

plain_bar <- function(term) if (is_call_to(term, "(")) term[[2]] else term

#' @exportS3Method insight::find_random fastlmm
#' @noRd
find_random.fastlmm <- function(x, split_nested = FALSE, flatten = FALSE) {
  groups <- unique(setdiff(vapply(x$random, `[[`, "", "name"), c(".row", if (is_gp_fit(x)) x$gp$name)))
  if (length(groups) == 0) return(NULL)
  if (split_nested) groups <- unique(unlist(strsplit(groups, ":", fixed = TRUE)))
  if (flatten) groups else list(random = groups)
}

#' @exportS3Method insight::is_mixed_model fastlmm
#' @noRd
is_mixed_model.fastlmm <- function(x) TRUE

#' @exportS3Method insight::find_parameters fastlmm
#' @noRd
find_parameters.fastlmm <- function(x, effects = c("all", "fixed", "random"), component = "all", flatten = FALSE, ...) {
  effects <- one_of(effects, c("all", "fixed", "random"))
  groups <- Filter(length, lapply(by_group(x), function(labels) vapply(x$random[labels], effect_name, "", USE.NAMES = FALSE)))
  found <- list(conditional = if (effects != "random") kept_names(x), random = if (effects != "fixed") groups)
  found <- found[lengths(found) > 0]
  if (flatten) unique(unlist(found, use.names = FALSE)) else found
}

#' @exportS3Method insight::find_algorithm fastlmm
#' @noRd
find_algorithm.fastlmm <- function(x, ...) list(algorithm = x$method, optimizer = "fastlmm")

#' @exportS3Method insight::get_parameters fastlmm
#' @noRd
get_parameters.fastlmm <- function(x, effects = "fixed", component = "all", ...) {
  if (identical(effects, "random")) return(lapply(ranef(x, condVar = FALSE), identity))
  data.frame(Parameter = kept_names(x), Estimate = unname(x$coefficients[x$kept]))
}

#' @exportS3Method insight::get_statistic fastlmm
#' @noRd
get_statistic.fastlmm <- function(x, ...) {
  table <- estimate_table(x)
  structure(data.frame(Parameter = rownames(table), Statistic = unname(table[, "t value"])), statistic = "t-statistic")
}

#' @exportS3Method insight::get_df fastlmm
#' @noRd
get_df.fastlmm <- function(x, type = "residual", ...) {
  type <- tolower(type)
  if (type %in% c("normal", "wald") && type == "normal") return(Inf)
  if (type %in% c("satterthwaite", "kenward", "kr", "kenward-roger")) return(
    unname(test_table(x, if (type == "satterthwaite") type else "kenward-roger")[, "df"])
  )
  if (type == "model") return(x$df)
  df.residual(x)
}

#' @exportS3Method insight::get_intercept fastlmm
#' @noRd
get_intercept.fastlmm <- function(x, ...) if ("(Intercept)" %in% names(x$coefficients)) x$coefficients[["(Intercept)"]] else NA

#' @exportS3Method insight::n_parameters fastlmm
#' @noRd
n_parameters.fastlmm <- function(x, effects = "fixed", ...) if (identical(effects, "random")) length(x$random) else length(x$kept)

#' @exportS3Method insight::get_deviance fastlmm
#' @noRd
get_deviance.fastlmm <- function(x, ...) deviance(x, REML = FALSE)

#' @exportS3Method insight::get_loglikelihood fastlmm
#' @noRd
get_loglikelihood.fastlmm <- function(x, estimator = NULL, REML = NULL, check_response = FALSE, ...) {
  by_ml <- if (is.null(estimator)) isFALSE(REML) else identical(estimator, "ML")
  value <- logLik(x, REML = if (by_ml) FALSE)
  if (isTRUE(check_response)) value[1] <- value[1] + log_jacobian(x)
  value
}

# Of the response before a transformation in the formula, as log(y): sum of the logarithms of its slopes
log_jacobian <- function(fit) {
  response <- formula(fit)[[2]]
  name <- all.vars(response)
  if (is.symbol(response) || length(name) != 1) return(0)
  slope <- tryCatch(stats::D(response, name), error = function(e) NULL)
  y <- tryCatch(insight::get_data(fit)[[name]], error = function(e) NULL)
  if (is.null(slope) || length(y) != fit$nobs) return(0)
  sum(log(abs(eval(slope, structure(list(y), names = name), baseenv()))))
}

#' @exportS3Method insight::is_converged fastlmm
#' @noRd
is_converged.fastlmm <- function(x, ...) is.finite(x$logLik)

#' @exportS3Method insight::model_info fastlmm
#' @noRd
model_info.fastlmm <- function(x, verbose = TRUE, ...) {
  # that of a linear model of the same response, which is mixed
  frame <- model.frame(x)[1]
  info <- insight::model_info(stats::lm(stats::reformulate("1", as.name(names(frame))), structure(frame, terms = NULL)))
  info$is_mixed <- TRUE
  info$n_grouplevels <- insight::n_grouplevels(x)
  info
}

#' @exportS3Method insight::get_random fastlmm
#' @noRd
get_random.fastlmm <- function(x, ...) {
  groups <- insight::find_random(x, split_nested = TRUE, flatten = TRUE)
  frame <- model.frame(x)
  frame[intersect(groups, names(frame))]
}

# icc(ci =) and r2(ci =) ask for the data to draw rows of them.
#' @exportS3Method insight::get_data fastlmm
#' @noRd
get_data.fastlmm <- function(x, ...) {
  frame <- frame_of_package("performance", c("ci", "iterations"))
  if (!is.null(frame) && !is.null(frame$ci) && !is.na(frame$ci)) abort_rows_resampled("the interval of icc(ci =) or r2(ci =)")
  default_method("insight", "get_data")(x, ...)
}

kept_names <- function(fit) names(fit$coefficients)[fit$kept]

# ---- variances ------------------------------------------------------------------------------------------

#' @exportS3Method insight::get_variance fastlmm
#' @noRd
get_variance.fastlmm <- function(x, component = "all", verbose = TRUE, ...) {
  random <- row_variances(x)
  intercept <- vapply(x$random, function(one) is_process(one$kernel) || coefficient_name(one) == "(Intercept)", NA)
  found <- list(
    var.fixed = stats::var(population_fit(x) - x$offset), var.random = sum(random), var.residual = mean_residual_variance(x),
    var.distribution = mean_residual_variance(x), var.dispersion = 0,
    var.intercept = stats::setNames(x$sigma2[intercept], names(x$random)[intercept]),
    var.slope = stats::setNames(x$sigma2[!intercept], slope_labels(x$random[!intercept])),
    cor.slope_intercept = slope_correlations(x)
  )
  found <- found[lengths(found) > 0]
  if (identical(component, "all")) return(found)
  part <- c(
    fixed = "var.fixed", random = "var.random", residual = "var.residual", distribution = "var.distribution", dispersion = "var.dispersion",
    intercept = "var.intercept", slope = "var.slope", rho01 = "cor.slope_intercept"
  )
  unlist(found[part[match.arg(component, names(part))]], use.names = FALSE)
}

slope_labels <- function(random) vapply(random, function(one) paste0(one$name, ".", coefficient_name(one)), "")

# Of the slopes of correlated terms with their intercepts, named by the group where it has one slope
slope_correlations <- function(fit) {
  if (!has_blocks(fit)) return(NULL)
  correlation <- suppressWarnings(stats::cov2cor(effect_covariance(fit)))
  intercept <- vapply(fit$random, function(one) coefficient_name(one) == "(Intercept)", NA)
  of_block <- function(own) {
    first <- own[intercept[own]]
    slopes <- setdiff(own, first)
    if (length(first) != 1 || length(slopes) == 0) return(NULL)
    stats::setNames(correlation[slopes, first], if (length(slopes) == 1) fit$random[[first]]$name else slope_labels(fit$random[slopes]))
  }
  unlist(lapply(unname(split(seq_along(fit$random), block_numbers(fit$random))), of_block))
}

# Of each random effect the mean of its variance over the rows (Johnson 2014): sigma2 times the mean diagonal element of Z K Z'; its covariances with the
# effects that it is correlated with count
row_variances <- function(fit) {
  diagonal <- function(one, other = one) {
    if (is_process(one$kernel)) return(1)
    mean(one$z * other$z * kernel_diagonal(one)[one$index][one$group])
  }
  if (!has_blocks(fit)) return(fit$sigma2 * vapply(fit$random, diagonal, 0))
  covariance <- effect_covariance(fit)
  blocks <- block_numbers(fit$random)
  one <- function(k) sum(vapply(which(blocks == blocks[k]), function(l) covariance[k, l] * diagonal(fit$random[[k]], fit$random[[l]]), 0))
  structure(vapply(seq_along(blocks), one, 0), names = names(fit$random))
}

#' @exportS3Method insight::find_formula fastlmm_mlm
#' @noRd
find_formula.fastlmm_mlm <- function(x, ...) abort_one_by_one("insight's functions")
