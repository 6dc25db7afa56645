# Correlated terms of one grouping factor, (1 + x | id): the columns of their design, one random effect each, and the covariance between them.

# ---- the design ---------------------------------------------------------------------------------------

# `left`: what stands to the left of the bar
mold_correlated <- function(term, whole, frame) {
  terms <- left_terms(term$left)
  variables <- as.list(attr(terms, "variables"))[-1]
  data <- left_frame(terms, lapply(variables, frame_column, frame = frame))
  columns <- left_columns(terms, data, NULL, term)
  check_columns(columns, term)
  list(
    group = term$group, slope = NULL, left = term$left, id = mold_id(term$group, frame), columns = columns,
    made = list(
      calls = lapply(variables, predict_call, frame = whole), xlevels = lapply(Filter(is_categorical, data), levels_of), contrasts = attr(columns, "contrasts")
    )
  )
}

is_categorical <- function(x) is.factor(x) || is.character(x) || is.logical(x)

levels_of <- function(x) if (is.factor(x)) levels(x) else as.character(sort(unique(x)))

left_terms <- function(left) stats::terms(stats::as.formula(call("~", left)))

# A model frame of the variables to the left of a bar
left_frame <- function(terms, values) {
  names <- vapply(as.list(attr(terms, "variables"))[-1], function(e) paste(deparse(e, 500L), collapse = " "), "")
  n <- if (length(values) > 0) NROW(values[[1]]) else 0
  structure(values, names = names, class = "data.frame", row.names = .set_row_names(n), terms = terms)
}

left_columns <- function(terms, data, contrasts, term) {
  tryCatch(
    stats::model.matrix(terms, data, contrasts.arg = contrasts), error = function(e) abort_correlated(term, paste("has no columns:", conditionMessage(e)))
  )
}

check_columns <- function(columns, term) {
  bad <- rowSums(!is.finite(columns)) > 0
  if (any(bad)) abort_correlated(term, paste("has terms that are not finite in", counted(sum(bad), "row")))
  if (ncol(columns) < 2) abort_correlated(term, "has one term only; make a variable of it, as I(x * z), and write (0 + I(x * z) | id)")
  if (qr(columns)$rank < ncol(columns)) abort_correlated(term, "has linearly dependent terms; leave out those that follow from the others")
}

# The same columns of other data: NA where a variable is missing
forge_correlated <- function(random, newdata, fit) {
  terms <- left_terms(random$left)
  values <- lapply(random$made$calls, evaluate_new, fit, newdata)
  data <- left_frame(terms, values)
  for (name in names(random$made$xlevels)) data[[name]] <- as_fitted_factor(data[[name]], random$made$xlevels[[name]], name)
  # of factors the contrasts of the fit, whatever their class was
  contrasts <- random$made$contrasts
  columns <- stats::model.matrix(terms, data, contrasts.arg = contrasts, na.action = NULL)
  unname(columns[, random$column])
}

# Numbers of the effects of a fit that a term of another formula asks for, by the text of the term or by the names of its columns, as lme4 finds them: so part
# of what is correlated, too. None if something of it is not in the fit.
term_places <- function(term, fit) {
  of_group <- which(vapply(fit$random, function(one) identical(deparse1(one$expr), deparse1(term$group)), NA))
  written <- vapply(fit$random[of_group], left_text, "")
  if (left_text(term) %in% written) return(of_group[written == left_text(term)])
  name <- vapply(fit$random[of_group], coefficient_name, "")
  asked <- asked_columns(term, fit, of_group)
  found <- name %in% asked
  twice <- anyDuplicated(vapply(fit$random[of_group[found]], effect_name, "")) > 0
  if (length(asked) > 0 && all(asked %in% name) && !twice) of_group[found] else integer(0)
}

asked_columns <- function(term, fit, of_group) {
  if (is.null(term$left)) return(coefficient_name(term))
  terms <- left_terms(term$left)
  variables <- as.list(attr(terms, "variables"))[-1]
  if (is.null(fit$frame) || length(of_group) == 0 || anyNA(vapply(variables, frame_at, 0L, frame = fit$frame))) return(NULL)
  contrasts <- unlist(lapply(fit$random[of_group], function(one) one$made$contrasts), recursive = FALSE)
  data <- left_frame(terms, lapply(variables, frame_column, frame = fit$frame))
  colnames(left_columns(terms, data, contrasts[intersect(names(contrasts), names(data))], term))
}

# ---- random effects -------------------------------------------------------------------------------------

# An effect for each term, of each part of a mix of kernels
correlated_random <- function(term, K, design, control, several) {
  if (is.null(K)) check_enough_rows(term)
  plain <- c(term[c("group", "slope", "id")], list(z = rep(1, nrow(term$columns))))
  unlist(lapply(term_random(plain, K, design, control, several), each_term, term), recursive = FALSE)
}

each_term <- function(random, term) {
  block <- paste(c(deparse1(term$left), random$name, random$part), collapse = " | ")
  lapply(colnames(term$columns), function(column) {
    random$z <- unname(term$columns[, column])
    c(random, list(left = term$left, made = term$made, column = column, block = block))
  })
}

# lme4 asks for the same
check_enough_rows <- function(term) {
  levels <- nlevels(term$id)
  effects <- levels * ncol(term$columns)
  if (nrow(term$columns) > effects) return(invisible())
  abort_correlated(term, sprintf(
    paste0(
      "has %d terms in each of %s, which are %d effects, and there are %s: their covariance cannot be distinguished from the residual variance; leave terms ",
      "out, or write (1 | %s)"
    ),
    ncol(term$columns), counted(levels, "level"), effects, counted(nrow(term$columns), "row"), deparse1(term$group)
  ))
}

abort_correlated <- function(term, message) {
  written <- paste0("(", deparse1(if (is.null(term$left)) call("+", 0, term$slope) else term$left), " | ", deparse1(term$group), ")")
  abort_fastlmm("correlated_terms", paste(written, message), term = term$left)
}

# Where they are not offered
refuse_correlated <- function(terms, who) {
  for (term in terms) if (!is.null(term$left)) abort_correlated(
    term, paste0("has correlated terms, which ", who, "; use independent ones, (1 + x || ", deparse1(term$group), ")")
  )
}

# ---- blocks ---------------------------------------------------------------------------------------------

# A number for each random effect, the same for terms that are correlated
block_numbers <- function(random) {
  block <- vapply(seq_along(random), function(k) if (is.null(random[[k]]$block)) paste0(k, ".") else random[[k]]$block, "")
  match(block, unique(block))
}

# Labels by blocks, in the order of the formula
blocks_of <- function(random) unname(split(names(random), block_numbers(random)))

has_blocks <- function(fit) anyDuplicated(block_numbers(fit$random)) > 0

# Do shares of the variances mean something? A variance of slopes depends on the unit of their variable, a known residual variance on that of the weights, and
# levels have one each.
has_shares <- function(fit) !has_blocks(fit) && is.null(fit$given) && !has_levels(fit)

# Covariance of all effects of one level, over that of their levels
effect_covariance <- function(fit) {
  if (!is.null(fit$relative)) return(fit$sigma2_e * tcrossprod(fit$relative))
  structure(diag(unname(fit$sigma2), length(fit$sigma2)), dimnames = rep(list(names(fit$random)), 2))
}

# T with sigma2_e T T' that covariance
relative_root <- function(fit) {
  if (!is.null(fit$relative)) return(fit$relative)
  structure(diag(sqrt(unname(fit$sigma2) / fit$sigma2_e), length(fit$sigma2)), dimnames = rep(list(names(fit$random)), 2))
}

# Parameters of the covariances in lme4's order: of each block standard deviations and, between them, correlations. `column`, `second`: numbers of effects.
covariance_parameters <- function(random) {
  numbers <- split(seq_along(random), block_numbers(random))
  one <- function(k) {
    pair <- which(lower.tri(diag(length(k)), diag = TRUE), arr.ind = TRUE)
    data.frame(what = ifelse(pair[, 1] == pair[, 2], "sigma_u", "correlation"), column = k[pair[, 1]], second = k[pair[, 2]])
  }
  table <- do.call(rbind, unname(lapply(numbers, one)))
  name <- vapply(random, effect_name, "")
  group <- vapply(random, `[[`, "", "name")
  is_sd <- table$what == "sigma_u"
  table$telling <- ifelse(is_sd, paste0("sd_", name[table$column]), paste0("cor_", name[table$column], ".", name[table$second]))
  table$telling <- paste0(table$telling, "|", group[table$column])
  table
}

# ---- the fit --------------------------------------------------------------------------------------------

estimate_terms <- function(model) {
  labels <- names(model$random)
  blocks <- block_numbers(model$random)
  fit_terms <- function(model, combined = matrix(0, 0, 0)) {
    tryCatch(call_rust(ffi_fit_terms, rust_model(model), blocks, given_variance(model$given), unname(combined)), fastlmm_error_singular_kernel = function(e) {
      # the same equations serve fits without correlated terms
      if (!is.null(model$given)) e$message <- sub("correlated terms need", "a known residual variance needs", conditionMessage(e), fixed = TRUE)
      stop(e)
    })
  }
  answer <- estimate_near_zero(model, fit_terms)
  named <- function(x) structure(x, dimnames = list(labels, labels))
  found <- mix_found(answer$fit, labels)
  found$relative <- named(answer$relative)
  found$se$correlation <- named(answer$correlation)
  # of a correlation of 1 there is none: what is computed is rounding
  found$se$correlation[which(1 - abs(correlation_of(answer$relative)) < 1e-13)] <- NaN
  found$optimum$route <- "sparse"
  if (!is.null(model$given)) found$se$sigma2_e <- NA_real_
  with_singular(found, model$random)
}

# Of T T'; not a number where a variance is zero
correlation_of <- function(root) {
  length <- sqrt(rowSums(root^2))
  tcrossprod(root) / outer(length, length)
}

# Terms none of which is zero and whose covariance is singular all the same
with_singular <- function(found, random) {
  singular <- Filter(function(labels) length(labels) > 1 && all(found$sigma2[labels] > 0) && any(diag(found$relative[labels, labels]) == 0), blocks_of(random))
  found$optimum$singular <- vapply(singular, function(labels) random[[labels[1]]]$name, "")
  if (length(singular) == 0) return(found)
  zero <- if (found$optimum$boundary != "none") found$optimum$boundary
  found$optimum$boundary <- paste(c(zero, paste("singular covariance:", toString(found$optimum$singular))), collapse = "; ")
  found
}

singular_meaning <- function(groups) {
  paste0(
    "the covariance of the correlated terms of ", first_names(groups),
    " is singular: some of them are linear combinations of the others, as with a correlation of 1 or -1. The fit is valid"
  )
}
