# Predictions given other responses of the same rows: the normal distribution of what was not observed, conditioned on what was, draw by draw.

# Cells of newdata that are given: their values, rows that are complete x given responses, and which responses these are; NULL if nothing is given
given_cells <- function(fit, newdata, given, rows) {
  if (is.null(given)) return(NULL)
  if (has_links(fit)) abort_family(
    paste0("given is for fits whose responses are all normal, without weights; others are ", first_names(names(Filter(Negate(is.null), fit$links))))
  )
  if (is_several(fit) && rows$random && length(rows$which) < length(fit$random)) abort_fastlmm(
    "slam_effects", "given needs all random effects, or none of them: leave re.form at NULL, or NA"
  )
  if (is.null(newdata)) abort_fastlmm(
    "given", "given names responses that were observed in new rows, but there is no newdata; the fit has those of its own rows"
  )
  at <- unique(trait_index(fit, given))
  values <- response_columns(fit, as_data_frame(newdata, "newdata"), colnames(fit$Y)[at])[rows$complete, , drop = FALSE]
  if (any(is.infinite(values))) abort_fastlmm(
    "given", paste0("given responses are not finite in newdata: ", first_names(colnames(values)[colSums(is.infinite(values)) > 0]))
  )
  # a row whose mean is not estimable is at an unknown distance from it
  if (!is.null(rows$estimable)) values[!rows$estimable, ] <- NA
  if (!is.null(rows$unknown)) values[rows$unknown[, at]] <- NA
  list(at = at, values = unname(values))
}

# The response of the formula in newdata if its variables are there, else columns of newdata
response_columns <- function(fit, newdata, names) {
  response <- fit$formula[[2]]
  whole <- all(all.vars(response) %in% colnames(newdata))
  found <- if (whole) evaluate_new(response, fit, newdata) else newdata[intersect(names, colnames(newdata))]
  # a vector is the response of a fit of one, and says of no other which it is
  found <- if (is.data.frame(found)) as.matrix(found) else if (is.matrix(found)) found else matrix(
    found, dimnames = list(NULL, if (ncol(fit$Y) == 1) colnames(fit$Y) else "")
  )
  if (is.null(colnames(found)) && ncol(found) == ncol(fit$Y)) colnames(found) <- colnames(fit$Y)
  missing <- setdiff(names, colnames(found))
  if (length(missing) > 0) abort_fastlmm(
    "given",
    paste0(
      "newdata has no values of the given responses ", first_names(missing), "; include them as the response of the formula, or as columns of these names"
    ),
    responses = missing
  )
  if (!is.numeric(found) && !all(is.na(found))) abort_fastlmm("given", paste0("given responses are not numeric in newdata: ", first_names(names)))
  found <- found[, names, drop = FALSE]
  storage.mode(found) <- "double"
  found
}

# A function of a draw: responses, or fixed and random effects, of the rows given what was observed: list(mean, draw), the mean given the draw and, if asked
# for, a draw.
given_drawer <- function(fit, rows, target) {
  cells <- cell_drawer(fit)
  means <- cell_drawer(fit, noise = FALSE)
  parts <- conditional_parts(target, rows$observed)
  genetic <- rows$random && rows$kind != "unknown"
  function(d, draw) {
    fixed <- fixed_rows(fit, rows, d)
    left <- (rows$observed$values - fixed[, parts$at, drop = FALSE]) / rep(fit$scale$sd[parts$at], each = nrow(fixed))
    solve <- if (length(left) - sum(is.na(left)) < nrow(left) * length(d$factors_at)) by_cells(d, left, parts) else by_factors(d, left, parts)
    one <- function(noise) {
      own <- own_parts(fit, d, if (noise) cells else means)
      prior <- list(factors = target$mean(own$factors, d$factors_at), own = target$mean(own$responses, d$at))
      found <- solve(prior, noise)
      if (rows$response) return(with_observed(fixed + on_responses(fit, d, found$factors, found$own), rows$observed))
      if (!genetic) return(fixed)
      fixed + on_responses(
        fit, d, genetic_part(found$factors, prior$factors, d$factors_at, parts, noise), genetic_part(found$own, prior$own, d$at, parts, noise)
      )
    }
    list(mean = one(FALSE), draw = if (draw) one(TRUE))
  }
}

# What was observed is what it is, to the last digit.
with_observed <- function(value, observed) {
  seen <- !is.na(observed$values)
  value[, observed$at][seen] <- observed$values[seen]
  value
}

# Matrices of a proportion h (with several effects: of a point of the grid), each made once. V = D + (1 - h) I is the covariance of what is own in the rows;
# `pattern`: given responses whose rows were observed alike
conditional_parts <- function(target, observed) {
  seen <- !is.na(observed$values)
  rows <- nrow(seen)
  text <- apply(seen, 2, paste, collapse = "")
  pattern <- match(text, unique(text))
  rows_of <- function(number) if (number == 0) rep(TRUE, rows) else seen[, match(number, pattern)]
  V <- remembered(function(h) target$among(h) + diag(target$rest(h), rows))
  inverse <- remembered(function(h, number) {
    at <- rows_of(number)
    out <- matrix(0, rows, rows)
    if (any(at)) out[at, at] <- chol2inv(chol(V(h)[at, at, drop = FALSE]))
    out
  })
  list(
    rows = rows, at = observed$at, seen = seen, pattern = pattern, V = V, inverse = inverse,
    noise = function(h) target$noise(h) + normals(rows, length(h)) * rep(sqrt(target$rest(h)), each = rows),
    # rows that were not observed, given those that were
    fill = remembered(function(h, number) {
      at <- rows_of(number)
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

# ---- as many equations as cells were observed ------------------------------------------------------------------------

# A draw from the prior is moved by its covariance with the cells times what they lack: exact (Matheron's rule). C: covariance of the cells
by_cells <- function(d, left, parts) {
  cells <- which(parts$seen, arr.ind = TRUE)
  row <- cells[, 1]
  of <- cells[, 2]
  lambda <- d$lambda[, parts$at, drop = FALSE]
  sigma <- d$sigma[parts$at]
  h <- d$at[parts$at]
  C <- matrix(0, length(row), length(row))
  for (one in unique(d$factors_at)) C <- C + crossprod(lambda[d$factors_at == one, , drop = FALSE])[of, of, drop = FALSE] * parts$V(one)[row, row, drop = FALSE]
  for (one in unique(h)) C <- C + outer(sigma[of] * (h[of] == one), sigma[of]) * outer(of, of, "==") * parts$V(one)[row, row, drop = FALSE]
  root <- if (length(row) > 0) chol(C)
  weights <- matrix(0, parts$rows, length(sigma))
  function(prior, noise) {
    factors <- prior$factors + if (noise) parts$noise(d$factors_at) else 0
    own <- prior$own + if (noise) parts$noise(d$at) else 0
    lack <- (left - factors %*% lambda - own[, parts$at, drop = FALSE] * rep(sigma, each = parts$rows))[cells]
    if (length(row) > 0) weights[cells] <- backsolve(root, backsolve(root, lack, transpose = TRUE))
    times_v <- function(columns, h) by_value(columns, h, function(columns, h) parts$V(h) %*% columns)
    own[, parts$at] <- own[, parts$at] + times_v(weights * rep(sigma, each = parts$rows), h)
    list(factors = factors + times_v(tcrossprod(weights, lambda), d$factors_at), own = own)
  }
}

# ---- as many equations as factors of the rows ------------------------------------------------------------------------

# Factors have the precision blockdiag(V_m^-1) + sum_j lambda_j lambda_j' / sigma2_j x V_j^-1, V_j in the rows in which response j was observed
by_factors <- function(d, left, parts) {
  rows <- parts$rows
  k <- length(d$factors_at)
  lambda <- d$lambda[, parts$at, drop = FALSE]
  sigma <- d$sigma[parts$at]
  h <- d$at[parts$at]
  groups <- split(seq_along(sigma), paste(h, parts$pattern))
  scaled <- lapply(groups, function(of) t(lambda[, of, drop = FALSE]) / sigma[of])
  inverses <- lapply(groups, function(of) parts$inverse(h[of[1]], parts$pattern[of[1]]))
  precision <- array(0, c(rows, k, rows, k))
  for (g in seq_along(groups)) precision <- precision + aperm(array(outer(inverses[[g]], crossprod(scaled[[g]])), c(rows, rows, k, k)), c(1, 3, 2, 4))
  for (m in seq_len(k)) precision[, m, , m] <- precision[, m, , m] + parts$inverse(d$factors_at[m], 0)
  root <- if (rows * k > 0) chol(matrix(precision, rows * k))
  function(prior, noise) {
    right <- by_value(prior$factors, d$factors_at, function(columns, h) parts$inverse(h, 0) %*% columns)
    for (g in seq_along(groups)) {
      of <- groups[[g]]
      own <- left[, of, drop = FALSE] / rep(sigma[of], each = rows) - prior$own[, parts$at[of], drop = FALSE]
      right <- right + inverses[[g]] %*% replace(own, is.na(own), 0) %*% scaled[[g]]
    }
    factors <- prior$factors
    if (rows * k > 0) factors[] <- backsolve(root, backsolve(root, c(right), transpose = TRUE) + if (noise) stats::rnorm(rows * k) else 0)
    list(factors = factors, own = given_own(d, prior$own, factors, left, parts, noise))
  }
}

# What is the responses' own: what the factors leave where it was observed, elsewhere given that
given_own <- function(d, prior, factors, left, parts, noise) {
  own <- prior + if (noise) parts$noise(d$at) else 0
  for (i in seq_along(parts$at)) {
    j <- parts$at[i]
    seen <- parts$seen[, i]
    if (!any(seen)) next
    own[seen, j] <- (left[seen, i] - factors[seen, , drop = FALSE] %*% d$lambda[, j]) / d$sigma[j]
    if (all(seen)) next
    fill <- parts$fill(d$at[j], parts$pattern[i])
    own[!seen, j] <- prior[!seen, j] + fill$share %*% (own[seen, j] - prior[seen, j]) + if (noise) fill$root %*% stats::rnorm(sum(!seen)) else 0
  }
  own
}

# ---- what of it is the random effect's ---------------------------------------------------------------------------------

genetic_part <- function(own, prior, h, parts, noise) {
  by_value(own - prior, h, function(columns, h) {
    found <- parts$genetic(h)
    found$share %*% columns + if (noise) found$root %*% normals(nrow(columns), ncol(columns)) else 0
  }) + prior
}
