# insight's predictions, by which ggeffects makes its tables and pictures.

#' @exportS3Method insight::get_predicted fastlmm
#' @noRd
get_predicted.fastlmm <- function(x, data = NULL, predict = "expectation", ci = NULL, include_random = "default", ...) {
  asked <- asked_of_ggeffects(names(list(...)))
  if (!is.null(asked)) return(predicted_in_grid(x, data, asked))
  level <- if (is.null(ci)) 0.95 else check_level(ci, "ci")
  # as of lme4's fits: where the data have the groups
  if (identical(include_random, "default")) include_random <- is.null(data) || all(group_variables(x) %in% names(data))
  found <- if (identical(predict, "prediction")) predict_band(x, data, "prediction", level) else predict_band(
    x, data, "confidence", level, if (!isTRUE(include_random)) NA
  )
  as_predicted(found, level, data, predict)
}

# Residual degrees of freedom of means are insight's, which count the variances.
predict_band <- function(fit, data, kind, level, re.form = NULL, ...) {
  found <- stats::predict(fit, data, re.form = re.form, se.fit = TRUE, interval = kind, level = level, ...)
  mean <- found$fit[, "fit"]
  half <- if (kind == "confidence") found$se.fit * stats::qt((1 + level) / 2, df.residual(fit)) else found$fit[, "upr"] - mean
  list(mean = unname(mean), se = unname(found$se.fit), half = unname(half))
}

# half NULL: no interval
as_predicted <- function(found, level, data, predict) {
  band <- data.frame(Row = seq_along(found$mean), SE = found$se)
  if (!is.null(level)) band <- cbind(band, CI_low = found$mean - found$half, CI_high = found$mean + found$half)
  structure(found$mean, class = c("get_predicted", "numeric"), ci = level, ci_data = band, data = data, predict = predict)
}

# ---- ggeffects --------------------------------------------------------------------------------------------

# What ggpredict() was asked for: it hands it on to the classes that it knows, and to no other, so that it is read where it stands. NULL: not called by it.
asked_of_ggeffects <- function(handed_on) {
  frame <- ggeffects_frame("type")
  if (is.null(frame)) return(NULL)
  spelt <- intersect(c("ci.lvl", "ci_level"), ls(frame))
  other <- intersect(setdiff(c("ci.lvl", "ci_level"), spelt), handed_on)
  if (length(other) > 0) abort_ggeffects(paste0("the level of this version's ggpredict() is ", spelt[1], " =, not ", other[1], " ="))
  named <- function(names, default = NULL) first_of(unlist(mget(names, frame, ifnotfound = list(NULL)), use.names = FALSE), default)
  list(
    level = named(spelt), type = named("type", "fe"), interval = named("interval", "confidence"), robust = !is.null(named(c("vcov.fun", "vcov_fun", "vcov"))),
    frame = frame
  )
}

# The outermost running function of ggeffects that has such a variable and a grid of data
ggeffects_frame <- function(variable) frame_of_package("ggeffects", c(variable, "data_grid"))

# The variables of the outermost running function of a package that has some of these names; NULL: none runs
frame_of_package <- function(package, variables) {
  for (i in seq_len(sys.nframe())) {
    if (identical(environmentName(topenv(environment(sys.function(i)))), package) && all(variables %in% ls(sys.frame(i)))) return(sys.frame(i))
  }
}

abort_ggeffects <- function(message) abort_fastlmm("ggeffects", message)

# Groups that the user has not named are at the population: an id that nobody knows.
predicted_in_grid <- function(fit, grid, asked) {
  check_ggpredict(asked)
  random <- asked$type %in% c("re", "random")
  level <- if (!isTRUE(is.na(asked$level))) check_level(first_of(asked$level, 0.95), "ci.lvl")
  unnamed <- intersect(names(attr(grid, "constant.values")), group_variables(fit))
  say_population(asked$frame, unnamed, if (!random) process_variables(fit))
  for (name in if (random) unnamed) grid[[name]] <- unknown_group(fit, name)
  kind <- if (random || identical(asked$interval, "prediction")) "prediction" else "confidence"
  if (kind == "prediction" && !random) abort_ggeffects("prediction intervals are of a response, which has its random effects: give type = \"random\"")
  found <- predict_band(fit, grid, kind, first_of(level, 0.95), if (!random) NA, allow.new.levels = TRUE)
  if (random && !is.null(level)) inform_fastlmm(
    "ggeffects", "intervals are those of a response, as predict(interval = \"prediction\") gives them; groups that are not named are treated as new ones"
  )
  as_predicted(found, level, grid, "expectation")
}

check_ggpredict <- function(asked) {
  if (asked$robust) abort_ggeffects(
    "robust covariances by name are not offered; see vcov. = of car and multcomp, and residual = of fastlmm_fit() for residual variances that differ"
  )
  if (asked$type %in% c("fe", "fixed", "re", "random", "response", "link")) return(invisible())
  abort_ggeffects(
    paste0("ggpredict() of these fits has type = \"fixed\" and \"random\", not ", quoted(asked$type), "; draws are predict(nsim =) and simulate()")
  )
}

group_variables <- function(fit) setdiff(unlist(lapply(fit$random, function(one) all.vars(one$expr))), all.vars(terms(fit)))

# Coordinates of a process that are no fixed effects as well
process_variables <- function(fit) if (is_gp_fit(fit)) setdiff(all.vars(fit$gp$term), all.vars(terms(fit)))

unknown_group <- function(fit, name) {
  known <- as.character(fit$frame[[name]])
  id <- utils::tail(make.unique(c(known, "population")), 1)
  if (is.numeric(fit$frame[[name]])) max(fit$frame[[name]]) + 1 else id
}

# What ggeffects writes below its table of what predictions do not depend on: as of lme4's fits
say_population <- function(frame, groups, coordinates) {
  values <- attr(frame$data_grid, "constant.values")
  if (length(intersect(names(values), c(groups, coordinates))) == 0) return(invisible())
  values[intersect(groups, names(values))] <- "0 (population-level)"
  frame_grid <- structure(frame$data_grid, constant.values = values[setdiff(names(values), coordinates)])
  assign("data_grid", frame_grid, envir = frame)
}
