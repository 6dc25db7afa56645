# The shape of every internal list, written once.

# Formula as given, its fixed part, and the expressions of the random term (NULL: none).
new_parts <- function(formula, fixed, group, slope) {
  list(formula = formula, fixed = fixed, group = group, slope = slope)
}

# What the data say: model frame, fixed terms, X, response, weights, and the id (factor) and multiplier of the random effect in each row;
# `row_ids` are the names of all rows of data, those that were left out included.
new_design <- function(frame, terms, X, y, offset, weights, id, z, slope_call, na.action, row_ids) {
  list(
    frame = frame, terms = terms, X = X, y = y, offset = offset, weights = weights, id = id, z = z, slope_call = slope_call,
    na.action = na.action, row_ids = row_ids
  )
}

# A random term: where its effects are in K (NULL: identity) and in the rows.
new_random <- function(parts, design, ids, kernel, mean_diag) {
  at <- match(as.character(design$id), ids)
  index <- sort(unique(at))
  list(
    name = random_name(parts), expr = parts$group, slope = parts$slope, slope_call = design$slope_call,
    ids = ids, index = index, group = match(at, index), z = design$z, kernel = kernel, mean_diag = mean_diag
  )
}

random_name <- function(parts) if (is.null(parts$group)) ".row" else deparse1(parts$group)

# Everything that estimation needs; a fit is this and what comes back.
new_model <- function(parts, design, random, method, control, call) {
  list(
    call = call, formula = parts$formula, terms = design$terms, frame = design$frame,
    xlevels = stats::.getXlevels(design$terms, design$frame), contrasts = attr(design$X, "contrasts"), X = design$X, y = design$y,
    offset = design$offset, weights = design$weights, random = random, na.action = design$na.action, method = method, control = control
  )
}

# The fit: plain values only, so that it can be saved, compared and sent to other processes.
new_fastlmm <- function(model, found) {
  names(found$coefficients) <- colnames(model$X)
  kept <- colnames(model$X)[found$kept]
  dimnames(found$vcov) <- list(kept, kept)
  optimum <- found$optimum
  optimum$local <- as.data.frame(optimum$local)
  structure(
    list(
      call = model$call, formula = model$formula, terms = model$terms, frame = model$frame, xlevels = model$xlevels,
      contrasts = model$contrasts, method = model$method, coefficients = found$coefficients, vcov = found$vcov, kept = found$kept,
      rank = found$rank, sigma2 = found$sigma2, sigma2_e = found$sigma2_e, delta = found$delta, h2 = found$h2, logLik = found$logLik,
      se = found$se, profile = as.data.frame(found$profile), optimum = optimum, rotated = found$rotated,
      random = c(model$random, list(alpha = found$alpha)), y = model$y, offset = model$offset, weights = model$weights,
      na.action = model$na.action, control = model$control, nobs = length(model$y), df = found$rank + 2, status = optimum$status
    ),
    class = "fastlmm"
  )
}
