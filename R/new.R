# The shape of every internal list, written once.

# Formula as given, its fixed part, the random terms, and the gp() term if there is one.
new_parts <- function(formula, fixed, random, gp = NULL) {
  list(formula = formula, fixed = fixed, random = random, gp = gp)
}

# Expressions of the grouping factor (NULL: the rows), of the slope (NULL: an intercept), and of all that stands to the left of the bar where its terms are
# correlated.
new_term <- function(group, slope, left = NULL) {
  c(list(group = group, slope = slope), if (!is.null(left)) list(left = left))
}

# What the data say: model frame, fixed terms, X, response, weights, and for each random term the id (factor), the multiplier in each row and the call
# that makes it from new data; `rows` tells what the rows of data are (rows_of_data()), `row_ids` are the names of all of them, those that were left out
# included.
new_design <- function(frame, terms, X, y, offset, weights, random, na.action, rows, row_ids) {
  list(
    frame = frame, terms = terms, X = X, y = y, offset = offset, weights = weights, random = random, na.action = na.action, rows = rows, row_ids = row_ids
  )
}

# A random effect: where its levels are in K (NULL: identity) and in the rows. `part` is its name in a kernel_mix().
new_random <- function(term, ids, kernel, mean_diag, part = NULL) {
  at <- match(as.character(term$id), ids)
  index <- sort(unique(at))
  list(
    name = term_name(term), part = part, expr = term$group, slope = term$slope, slope_call = term$slope_call,
    ids = ids, index = index, group = match(at, index), z = term$z, kernel = kernel, mean_diag = mean_diag
  )
}

# The name of the grouping factor
term_name <- function(term) {
  if (is.null(term$group)) return(".row")
  if (is.symbol(term$group)) as.character(term$group) else deparse1(term$group)
}

# One label for each random effect, as lme4 gives them: id, id.1 for a second term of id, and id.A for the part A of a mix.
random_labels <- function(random) {
  make.unique(vapply(random, function(one) paste(c(one$name, one$part), collapse = "."), ""))
}

# Everything that estimation needs; a fit is this and what comes back.
new_model <- function(parts, design, random, method, control, call) {
  list(
    call = call, formula = parts$formula, terms = design$terms, frame = design$frame,
    xlevels = stats::.getXlevels(design$terms, design$frame), contrasts = attr(design$X, "contrasts"), X = design$X, y = design$y,
    offset = design$offset, weights = design$weights, random = random, na.action = design$na.action, rows = design$rows, method = method, control = control
  )
}

# The fit: plain values only, so that it can be saved, compared and sent to other processes.
new_fastlmm <- function(model, found) {
  check_representable(found, colnames(model$X))
  names(found$coefficients) <- colnames(model$X)
  kept <- colnames(model$X)[found$kept]
  dimnames(found$vcov) <- list(kept, kept)
  optimum <- found$optimum
  optimum$local <- plain_table(optimum$local)
  structure(
    c(list(
      call = model$call, formula = model$formula, terms = model$terms, frame = model$frame, xlevels = model$xlevels,
      contrasts = model$contrasts, method = model$method, coefficients = found$coefficients, vcov = found$vcov, kept = found$kept,
      null_space = null_space(model$X, found$kept), rank = found$rank,
      sigma2 = found$sigma2, sigma2_e = found$sigma2_e, delta = found$delta, h2 = found$h2, logLik = found$logLik,
      se = found$se, profile = plain_table(found$profile), optimum = optimum, rotated = found$rotated,
      random = with_alpha(model$random, found$alpha), y = model$y, offset = model$offset, weights = model$weights,
      na.action = model$na.action, rows = model$rows, control = model$control, nobs = length(model$y),
      df = found$rank + parameter_count(model$random) + as.numeric(is.null(model$given)), status = optimum$status
    ), found["relative"[!is.null(found$relative)]], model["given"[!is.null(model$given)]]),
    class = "fastlmm"
  )
}

# Columns from the core as a data frame: as.data.frame() would take as long as a small fit.
plain_table <- function(columns) {
  if (is.data.frame(columns) || length(columns) == 0) return(as.data.frame(columns))
  structure(columns, class = "data.frame", row.names = .set_row_names(length(columns[[1]])))
}

# Variances and covariances of the random effects
parameter_count <- function(random) {
  terms <- tabulate(block_numbers(random))
  as.integer(sum(terms * (terms + 1) / 2))
}

# The coefficients of each random effect, with which its predictions are K[, index] %*% alpha
with_alpha <- function(random, alpha) {
  random[] <- Map(function(one, a) c(one, list(alpha = a)), random, alpha)
  random
}
