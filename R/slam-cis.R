# Covariates that one response alone has, as markers near its gene: a design of its own beside X.

#' Effects of covariates of single responses
#'
#' Coefficients of the covariates that the argument `cis` of [slamglmm_fit()] gives to single responses. For example, the expression of a gene
#' may have those of nearby markers (cis effects), which are not covariates of other responses.
#'
#' They are drawn jointly with the other coefficients and the loadings of their response. Their prior is that of the coefficients in `formula`:
#' flat or, for responses with a family, normal (`coefficients` of [slam_prior()]). Before sampling, the least squares fit of each response on
#' its fixed effects with flat priors, including these, is subtracted.
#'
#' [predict()] needs the covariates in `newdata`. The effects are included in [fitted()], [residuals()], [simulate()], [log_lik()],
#' [variance_parts()] (column `fixed`), [tidy()] and [summary()] (`B[term,response]`), but not in [fixef()] and [vcov()], which have only the
#' coefficients common to all responses.
#' @param object a fit by [slamglmm_fit()] with `cis`.
#' @param draws return all draws instead of a table?
#' @param level probability of intervals.
#' @param traits names or numbers of the responses to return; `NULL`: all that have covariates of their own.
#' @return A data frame with a row for each response and covariate: `response`, `term`, posterior `mean` and `sd`, the limits `low` and `high`
#'   of the interval, `rhat`, `ess_bulk` and `ess_tail` as in [summary.slamglmm()], in units of the response (with a family, of its linear
#'   predictor) per unit of the covariate. With `draws` a matrix of draws x effects, chain after chain, whose columns are named
#'   `term,response`.
#' @section Errors:
#' `cis` for a fit without such covariates and for responses that have none. In `slamglmm_fit()`: for a list that is not named by response, for
#' formulas that cannot be used, for covariates of another length than the data, and for covariates that are collinear with the other fixed
#' effects in the rows in which the response was observed.
#' @examples
#' set.seed(1)
#' data <- data.frame(id = paste0("i", rep(1:20, 2)))
#' data$snp1 <- rbinom(40, 2, 0.4)
#' data$snp2 <- rbinom(40, 2, 0.3)
#' data$Y <- cbind(gene1 = 0.8 * data$snp1, gene2 = 0, gene3 = -0.5 * data$snp2)
#' data$Y <- data$Y + matrix(rnorm(120), 40)
#' cis <- list(gene1 = ~snp1, gene3 = ~snp2)
#' fit <- slamglmm_fit(
#'   Y ~ 1 + (1 | id), data, cis = cis, n_factors = 1, chains = 2, iter = 400, seed = 1
#' )
#' cis_effects(fit, level = 0.9)
#' predict(fit, data.frame(id = "i1", snp1 = 0:2, snp2 = 0))
#' @export
cis_effects <- function(object, draws = FALSE, level = 0.95, traits = NULL) {
  check_arguments()
  check_slam(object, "cis_effects", "summary(fit)")
  check_level(level)
  check_has_draws(object)
  cis <- object$cis
  if (is.null(cis)) abort_cis("no response of this fit has covariates of its own; cis of slamglmm_fit() gives them, as cis = list(gene1 = ~ snp1)")
  at <- if (is.null(traits)) seq_along(cis$response) else cis_columns(object, trait_index(object, traits))
  all <- cis_draws(object)[, at, drop = FALSE]
  if (draws) return(all)
  data.frame(response = cis$response[at], term = cis$term[at], judged(object, all, level))
}

abort_cis <- function(message, ...) abort_fastlmm("cis", message, ...)

# ---- what the user gives ------------------------------------------------------------------------------------------

# Frames of the covariates in all rows of data, missing values kept; NULL if there are none
cis_frames <- function(cis, data) {
  if (is.null(cis)) return(NULL)
  names <- names(cis)
  if (is.list(cis) && length(cis) == 0) return(NULL)
  if (!is.list(cis) || is.null(names) || any(is.na(names) | names == "")) abort_cis(
    "cis must be a list of formulas with the names of responses, as cis = list(gene1 = ~ snp1, gene7 = ~ snp2 + snp3)"
  )
  if (anyDuplicated(names)) abort_cis(
    paste0("cis names responses more than once: ", first_names(unique(names[duplicated(names)])), "; give one formula with all of the covariates")
  )
  frames <- Map(cis_frame, cis, names, MoreArgs = list(data = data))
  rows <- vapply(frames, nrow, 0L)
  wanted <- if (is.data.frame(data)) nrow(data) else rows[[1]]
  wrong <- names[rows != wanted]
  if (length(wrong) > 0) abort_cis(
    sprintf("covariates of the responses %s have %d rows, and the data %d", first_names(wrong), rows[rows != wanted][[1]], wanted), responses = wrong
  )
  frames
}

cis_frame <- function(formula, name, data) {
  refuse <- function(why) abort_cis(paste0("cis of response ", quoted(name), " ", why), responses = name)
  if (!inherits(formula, "formula") || length(formula) != 2) refuse(paste0("must be a formula with one side, as ~ snp1, not ", code_text(formula)))
  if (length(find_bars(formula[[2]])) > 0) refuse("has random terms; random effects belong in the formula")
  terms <- tryCatch(stats::terms(formula, data = data), error = function(error) refuse(paste("cannot be read:", conditionMessage(error))))
  if (length(attr(terms, "term.labels")) == 0) refuse("has no covariates; leave it out")
  if (!is.null(attr(terms, "offset"))) refuse("has an offset; offsets belong in the formula")
  # of factors contrasts beside the intercept, whatever the formula says of one
  attr(terms, "intercept") <- 1L
  frame <- data_frame_of(stats::formula(terms), data)
  structure(frame, columns = column_names(attr(frame, "terms"), data, NULL, nrow(frame)))
}

# A number for each row, missing where a covariate is: rows of which something is not known are left out, as those of the formula
cis_rows_known <- function(frames) {
  if (is.null(frames)) return(NULL)
  gone <- function(frame) !stats::complete.cases(frame)
  ifelse(Reduce(`|`, lapply(frames, gone)), NA_real_, 0)
}

# Columns of all responses side by side in the rows of the fit, in the order of responses: `response` and `term` of each, what new data are read by (`read`),
# standard deviations, and prior
mold_cis <- function(frames, rows, responses) {
  if (is.null(frames)) return(NULL)
  unknown <- setdiff(names(frames), responses)
  if (length(unknown) > 0) abort_cis(
    paste0("cis names responses that are not there: ", first_names(unknown), did_you_mean(unknown[1], responses)), responses = unknown
  )
  frames <- frames[order(match(names(frames), responses))]
  parts <- Map(cis_design, frames, names(frames), MoreArgs = list(rows = rows))
  X <- do.call(cbind, lapply(parts, `[[`, "X"))
  size <- column_sd(X)
  list(
    X = unname(X), response = rep(names(parts), vapply(parts, function(part) ncol(part$X), 0L)),
    term = unlist(lapply(parts, function(part) colnames(part$X)), use.names = FALSE),
    size = ifelse(size > 0, size, apply(abs(X), 2, max)), read = lapply(parts, `[[`, "read")
  )
}

cis_design <- function(whole, name, rows) {
  terms <- attr(whole, "terms")
  frame <- whole[rows, , drop = FALSE]
  frame[] <- Map(drop_levels, frame, names(frame))
  check_levels(terms, frame)
  X <- tryCatch(design_matrix(terms, frame, NULL), error = abort_contrasts)
  contrasts <- attr(X, "contrasts")
  X <- X[, colnames(X) != "(Intercept)", drop = FALSE]
  infinite <- colnames(X)[!is.finite(colSums(X))]
  if (length(infinite) > 0) abort_fastlmm("nonfinite", paste0("covariates of response ", quoted(name), " have infinite values: ", first_names(infinite)))
  terms <- structure(terms, columns = attr(whole, "columns"))
  list(X = X, read = list(terms = terms, xlevels = stats::.getXlevels(terms, frame), contrasts = contrasts, columns = colnames(X)))
}

# Coefficients of curves are not responses that anybody would have covariates of; others must be told by the data.
check_cis <- function(cis, X, Y, curves) {
  if (is.null(cis)) return(invisible())
  taken <- intersect(cis$response, curves)
  if (length(taken) > 0) abort_cis(
    paste0("coefficients of curves cannot have covariates of their own: ", first_names(taken), "; covariates of curves belong in the formula"),
    responses = taken
  )
  check_cis_rank(cis, X, Y)
}

# Each response's columns must say something that X does not, where it was observed.
check_cis_rank <- function(cis, X, Y) {
  for (response in unique(cis$response)) {
    at <- which(cis$response == response)
    rows <- !is.na(Y[, response])
    whole <- cbind(X[rows, , drop = FALSE], cis$X[rows, at, drop = FALSE])
    found <- scaled_qr(whole)
    if (found$rank == ncol(whole)) next
    # X has full rank there
    lost <- found$pivot[-seq_len(found$rank)]
    lost <- cis$term[at[setdiff(lost, seq_len(ncol(X))) - ncol(X)]]
    why <- if (sum(rows) < ncol(whole)) "there are too few rows in which the response was observed"
      else "they do not vary, or are collinear with X or with each other there"
    abort_cis(
      sprintf(
        "in the rows in which response %s was observed the effects of its covariates %s are not estimable: %s; leave them out", quoted(response),
        first_names(lost), why
      ),
      responses = response, terms = lost
    )
  }
}

# ---- as the sampler takes them -----------------------------------------------------------------------------------

# Rotated columns with standard deviations of one, and the number of the response of each
cis_numbers <- function(cis, responses, rotate) {
  if (is.null(cis)) return(NULL)
  list(x = rotate(in_units(cis$X, cis$size)), traits = match(cis$response, responses))
}

# Variances of the priors of coefficients of those columns; 0: flat
cis_variances <- function(fit, prior) {
  if (is.null(fit$cis)) return(NULL)
  behind <- if (has_links(fit)) colnames(fit$Y)[behind_link(fit$links)]
  ifelse(fit$cis$response %in% behind & is.finite(prior$coefficients), prior$coefficients^2, 0)
}

count_cis <- function(fit) length(fit$cis$response)

# ---- what the draws say ----------------------------------------------------------------------------------------------

# Columns of some responses
cis_columns <- function(fit, traits) {
  names <- colnames(fit$Y)[traits]
  none <- setdiff(names, fit$cis$response)
  if (length(none) > 0) abort_cis(
    paste0("responses have no covariates of their own: ", first_names(none), "; those that have are ", first_names(unique(fit$cis$response))), responses = none
  )
  which(fit$cis$response %in% names)
}

# A draw in units of responses and covariates
cis_of_draw <- function(fit, scaled) scaled * fit$scale$sd[fit$cis$response] / fit$cis$size + fit$cis$shift

cis_names <- function(fit) sprintf("%s,%s", fit$cis$term, fit$cis$response)

# Draws x columns, chains one after the other
cis_draws <- function(fit) {
  scaled <- do.call(cbind, lapply(fit$draws, `[[`, "cis"))
  structure(t(apply(scaled, 2, cis_of_draw, fit = fit)), dim = dim(scaled)[2:1], dimnames = list(NULL, cis_names(fit)))
}

cis_table <- function(fit, at, level) {
  wanted <- which(fit$cis$response %in% colnames(fit$Y)[at])
  if (length(wanted) == 0) return(NULL)
  data.frame(variable = sprintf("B[%s]", cis_names(fit)[wanted]), judged(fit, cis_draws(fit)[, wanted, drop = FALSE], level))
}

# Rows x responses: columns `X` of all responses times their coefficients
cis_times <- function(fit, X, coefficients) {
  value <- matrix(0, nrow(X), ncol(fit$Y))
  for (response in unique(fit$cis$response)) {
    at <- fit$cis$response == response
    value[, match(response, colnames(fit$Y))] <- X[, at, drop = FALSE] %*% coefficients[at]
  }
  value
}

# What a draw says of the rows in the sampler's basis and units: X B + F Lambda' and columns of single responses. `cis`: their coefficients
fitted_in_basis <- function(fit, F, theta, cis) {
  fitted <- cbind(fit$data$x, F) %*% theta
  if (is.null(fit$cis)) fitted else fitted + cis_times(fit, fit$data$cis$x, cis)
}

# The same of rows that are predicted, in units of the responses, without factors; with the offset
fixed_rows <- function(fit, rows, d) {
  value <- rows$X[, rownames(d$total), drop = FALSE] %*% d$total + rows$offset
  if (is.null(fit$cis)) value else value + cis_times(fit, rows$cis, cis_of_draw(fit, d$cis))
}

# Columns of new rows, 0 where a covariate is missing, and which of the responses are not known there (rows x responses)
new_cis <- function(fit, newdata, complete) {
  if (is.null(fit$cis)) return(NULL)
  one <- function(read) {
    frame <- forge_frame(list(formula = read$terms, terms = read$terms), read$terms, newdata)
    frame <- as_fitted(frame, list(terms = read$terms, xlevels = read$xlevels))
    design_matrix(read$terms, frame, read$contrasts)[, read$columns, drop = FALSE]
  }
  X <- unname(do.call(cbind, lapply(fit$cis$read, one)))[complete, , drop = FALSE]
  infinite <- fit$cis$term[colSums(is.infinite(X)) > 0]
  if (length(infinite) > 0) abort_fastlmm("nonfinite", paste0("covariates of single responses have infinite values in newdata: ", first_names(infinite)))
  unknown <- cis_times(fit, is.na(X) + 0, rep(1, ncol(X))) > 0
  list(cis = replace(X, is.na(X), 0), unknown = if (any(unknown)) unknown)
}

# "gene1 ~ snp1" of the first of them
cis_text <- function(fit) {
  of <- split(fit$cis$term, factor(fit$cis$response, levels = unique(fit$cis$response)))
  text <- paste0(names(of), " ~ ", vapply(of, paste, "", collapse = " + "))
  paste0(paste(utils::head(text, 3), collapse = "; "), if (length(text) > 3) sprintf("; ... (%d responses)", length(text)))
}
