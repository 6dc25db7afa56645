# Predictions given other responses of the same rows: the normal distribution of what was not observed, conditioned on what was, draw by draw.

# Cells of newdata that are given: their values, rows that are complete x given responses, and which responses these are; NULL if nothing is given
given_cells <- function(fit, newdata, given, rows) {
  if (is.null(given)) return(NULL)
  if (is.null(newdata)) abort_fastlmm("given", "given names responses that were observed in new rows, and there is no newdata; the fit knows those of its own rows")
  at <- unique(trait_index(fit, given))
  values <- response_columns(fit, as_data_frame(newdata, "newdata"), colnames(fit$Y)[at])[rows$complete, , drop = FALSE]
  if (any(is.infinite(values))) abort_fastlmm("given", paste0("given responses are not finite in newdata: ", first_names(colnames(values)[colSums(is.infinite(values)) > 0])))
  list(at = at, values = unname(values))
}

# The response of the formula in newdata if its variables are there, else columns of newdata
response_columns <- function(fit, newdata, names) {
  response <- fit$formula[[2]]
  whole <- all(all.vars(response) %in% colnames(newdata))
  found <- if (whole) evaluate_new(response, fit, newdata) else newdata[intersect(names, colnames(newdata))]
  found <- if (is.data.frame(found)) as.matrix(found) else if (is.matrix(found)) found else matrix(found, dimnames = list(NULL, colnames(fit$Y)[1]))
  if (is.null(colnames(found)) && ncol(found) == ncol(fit$Y)) colnames(found) <- colnames(fit$Y)
  missing <- setdiff(names, colnames(found))
  if (length(missing) > 0) abort_fastlmm("given", paste0("newdata has no values of the given responses ", first_names(missing), "; they belong there as the response of the formula, or as columns of these names"), responses = missing)
  if (!is.numeric(found) && !all(is.na(found))) abort_fastlmm("given", paste0("given responses are no numbers in newdata: ", first_names(names)))
  found <- found[, names, drop = FALSE]
  storage.mode(found) <- "double"
  found
}

# A function of a draw: responses, or fixed and random effects, of the rows given what was observed. Without `noise` their means given the draw.
given_drawer <- function(fit, rows, target, noise) {
  cells <- cell_drawer(fit, noise)
  parts <- conditional_parts(target, !is.na(rows$observed$values))
  at <- rows$observed$at
  values <- rows$observed$values
  seen <- which(!is.na(values), arr.ind = TRUE)
  function(d) {
    own <- own_parts(fit, d, cells)
    fixed <- rows$X[, rownames(d$total), drop = FALSE] %*% d$total + rows$offset
    prior <- list(factors = target$mean(own$factors, d$hF), own = target$mean(own$responses, d$h))
    left <- (values - fixed[, at, drop = FALSE]) / rep(fit$scale$sd[at], each = nrow(values))
    factors <- given_factors(d, prior, left, at, parts, noise)
    own <- given_own(d, prior$own, factors, left, at, parts, noise)
    if (rows$response) {
      value <- fixed + on_responses(fit, d, factors, own)
      value[cbind(seen[, 1], at[seen[, 2]])] <- values[seen]
      return(value)
    }
    if (!rows$random || rows$kind == "unknown") return(fixed)
    fixed + on_responses(fit, d, genetic_part(factors, prior$factors, d$hF, parts, noise), genetic_part(own, prior$own, d$h, parts, noise))
  }
}

# Matrices of a proportion h, each made once. V = D + (1 - h) I is the covariance of what is own in the rows; `pattern`: a given response whose rows were observed alike
conditional_parts <- function(target, observed) {
  rows <- nrow(observed)
  pattern <- match(apply(observed, 2, paste, collapse = ""), unique(apply(observed, 2, paste, collapse = "")))
  seen <- function(number) if (number == 0) rep(TRUE, rows) else observed[, match(number, pattern)]
  V <- function(h) target$among(h) + diag(1 - h, rows)
  inverse <- remembered(function(h, number) {
    at <- seen(number)
    out <- matrix(0, rows, rows)
    if (any(at)) out[at, at] <- chol2inv(chol(V(h)[at, at, drop = FALSE]))
    out
  })
  list(
    rows = rows, pattern = pattern, observed = observed, inverse = inverse, noise = function(h) target$noise(h) + residual_noise(rows, h),
    # rows that were not observed, given those that were
    fill = remembered(function(h, number) {
      at <- seen(number)
      share <- V(h)[!at, at, drop = FALSE] %*% inverse(h, number)[at, at, drop = FALSE]
      list(share = share, root = psd_root(V(h)[!at, !at, drop = FALSE] - share %*% V(h)[at, !at, drop = FALSE]))
    }),
    # the random effect of what is own
    genetic = remembered(function(h) {
      D <- target$among(h)
      share <- D %*% inverse(h, 0)
      list(share = share, root = psd_root(D - share %*% D))
    })
  )
}

# Factors of the rows: precision blockdiag(V_m^-1) + sum_j lambda_j lambda_j' / sigma2_j x V_j^-1, V_j in the rows in which response j was observed
given_factors <- function(d, prior, left, at, parts, noise) {
  rows <- parts$rows
  k <- length(d$hF)
  if (k == 0 || rows == 0) return(matrix(0, rows, k))
  lambda <- d$lambda[, at, drop = FALSE]
  sigma <- d$sigma[at]
  group <- paste(d$h[at], parts$pattern)
  precision <- array(0, c(rows, k, rows, k))
  right <- matrix(0, rows, k)
  for (one in unique(group)) {
    of <- which(group == one)
    inverse <- parts$inverse(d$h[at][of[1]], parts$pattern[of[1]])
    scaled <- t(lambda[, of, drop = FALSE]) / sigma[of]
    precision <- precision + aperm(array(outer(inverse, crossprod(scaled)), c(rows, rows, k, k)), c(1, 3, 2, 4))
    own <- left[, of, drop = FALSE] / rep(sigma[of], each = rows) - prior$own[, at[of], drop = FALSE]
    right <- right + inverse %*% replace(own, is.na(own), 0) %*% scaled
  }
  for (m in seq_len(k)) {
    inverse <- parts$inverse(d$hF[m], 0)
    precision[, m, , m] <- precision[, m, , m] + inverse
    right[, m] <- right[, m] + inverse %*% prior$factors[, m]
  }
  root <- chol(matrix(precision, rows * k))
  matrix(backsolve(root, backsolve(root, c(right), transpose = TRUE) + if (noise) stats::rnorm(rows * k) else 0), rows)
}

# What is the responses' own: what the factors leave where it was observed, elsewhere given that
given_own <- function(d, prior, factors, left, at, parts, noise) {
  own <- prior + if (noise) parts$noise(d$h) else 0
  for (i in seq_along(at)) {
    j <- at[i]
    seen <- parts$observed[, i]
    if (!any(seen)) next
    own[seen, j] <- (left[seen, i] - factors[seen, , drop = FALSE] %*% d$lambda[, j]) / d$sigma[j]
    if (all(seen)) next
    fill <- parts$fill(d$h[j], parts$pattern[i])
    own[!seen, j] <- prior[!seen, j] + fill$share %*% (own[seen, j] - prior[seen, j]) + if (noise) fill$root %*% stats::rnorm(sum(!seen)) else 0
  }
  own
}

genetic_part <- function(own, prior, h, parts, noise) {
  by_value(rbind(own - prior), h, function(columns, h) {
    found <- parts$genetic(h)
    found$share %*% columns + if (noise) found$root %*% normals(nrow(columns), ncol(columns)) else 0
  }) + prior
}
