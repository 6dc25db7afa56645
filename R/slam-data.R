# The data of slamglmm_fit() in the sampler's units and basis, and the way back.

# list(Y, X, XF, random, ...): rows of the fit, responses centred and scaled, covariates of factors scaled.
slam_data <- function(parts, design, random, factors, data, extras = list(), family = NULL, weights = NULL, cis = NULL) {
  Y <- plain_response(as.matrix(design$y))
  storage.mode(Y) <- "double"
  if (is.null(colnames(Y))) colnames(Y) <- single_name(design$frame)
  offset <- cell_offset(design$offset, colnames(Y))
  X <- independent_columns(design$X)
  covariates <- slam_covariates(factors, design, data, X, extras)
  flat <- setdiff(colnames(X), colnames(covariates$XF))
  cis <- mold_cis(cis, row_places(design$rows, nrow(Y)), colnames(Y))
  settled <- settle_blocks(Y, response_blocks(design$frame[[1]]), list(X = X, flat = flat, cis = cis, offset = offset))
  response <- Y <- settled$Y
  blocks <- settled$blocks
  weights <- weights_of_rows(weights, design$rows, nrow(Y))
  taken <- block_traits(blocks)
  if (is.null(family)) tell_families(Y[, !colnames(Y) %in% taken, drop = FALSE])
  families <- read_families(family, colnames(Y), taken)
  labels <- attr(design$frame[[1]], "ordered")
  check_ordered(labels, families)
  # what has no weight was not observed
  if (!is.null(weights)) Y[weights == 0 & rep(uses_weights(families, colnames(Y), taken), each = nrow(Y))] <- NA
  links <- name_levels(slam_links(Y, families, weights, offset, blocks), labels)
  behind <- behind_link(links)
  normal <- if (is.null(links)) seq_len(ncol(Y)) else which(!behind)
  Y[, normal] <- Y[, normal, drop = FALSE] - if (is.matrix(offset)) offset[, normal, drop = FALSE] else offset
  check_traits(Y)
  check_observed_rank(Y, X)
  check_cis(cis, X, Y, block_traits(Filter(function(block) block$kind == "curves", blocks)))
  scale <- if (length(normal) == ncol(Y)) slam_scale(Y, X, flat, cis) else scale_normal(Y, X, flat, normal, cis)
  if (!is.null(cis)) cis$shift <- scale$cis
  scale <- widen_scale(scale, links)
  missing <- lapply(seq_len(ncol(Y)), function(j) if (is.null(links[[j]])) which(is.na(Y[, j])) else seq_len(nrow(Y)))
  list(
    response = response, Y = Y, scaled = scale$scaled, scale = scale[c("shift", "sd")], X = X, fixed = scale_fixed(X, covariates),
    covariates = covariates, missing = missing, links = links, cis = cis, offset = offset
  )
}

# Values behind links are in their own units.
scale_normal <- function(Y, X, flat, normal, cis) {
  shift <- matrix(0, ncol(X), ncol(Y), dimnames = list(colnames(X), colnames(Y)))
  sd <- stats::setNames(rep(1, ncol(Y)), colnames(Y))
  scaled <- 0 * Y
  own <- numeric(length(cis$response))
  if (length(normal) > 0) {
    found <- slam_scale(Y[, normal, drop = FALSE], X, flat, cis)
    own <- found$cis
    shift[, normal] <- found$shift
    sd[normal] <- found$sd
    scaled[, normal] <- found$scaled
  }
  list(shift = shift, sd = sd, scaled = scaled, cis = own)
}

# The left side; NULL where it cannot be evaluated, which the model frame tells
left_side <- function(parts, data) tryCatch(eval(parts$fixed[[2]], data, environment(parts$fixed)), error = function(condition) NULL)

# A response that no model frame can hold, as one: data frames, levels, and objects of other packages as responses
matrix_response <- function(parts, value, data) {
  name <- parts$fixed[[2]]
  check_samples(value, name, data)
  if (!is_response_object(value)) check_own_names(colnames(value))
  if (is.data.frame(value) && all(vapply(value, is.numeric, NA))) parts$fixed[[2]] <- call("as.matrix", name)
  else if (is_response_object(value) || is.ordered(value) || is.data.frame(value)) parts$fixed[[2]] <- as.call(list(quote(fastlmm::slam_join), name))
  parts
}

# Families, weights and covariates go by names of responses.
check_own_names <- function(names) {
  twice <- unique(names[duplicated(names) & !is.na(names) & names != ""])
  if (length(twice) > 0) abort_fastlmm(
    "response_names", paste0("several responses have the name ", first_names(twice), ": each needs its own"), responses = twice
  )
}

# The name of the only response: of the column of a matrix, else of the variable
single_name <- function(frame) if (is.null(colnames(frame[[1]]))) names(frame)[1] else colnames(frame[[1]])

# Least squares of each response on the flat columns of X, in the rows in which it was observed: shift, their coefficients (0 for the columns whose
# coefficients have a prior), sd, the standard deviation of what they leave, and that in units of it. Priors are in these units, so that draws do not depend
# on flat effects.
slam_scale <- function(Y, X, flat, cis = NULL) {
  shift <- matrix(0, ncol(X), ncol(Y), dimnames = list(colnames(X), colnames(Y)))
  sd <- stats::setNames(numeric(ncol(Y)), colnames(Y))
  own <- numeric(length(cis$response))
  # a response with covariates of its own is alone
  groups <- ifelse(colnames(Y) %in% cis$response, paste("own", colnames(Y)), missing_pattern(Y))
  for (traits in split(seq_len(ncol(Y)), match(groups, unique(groups)))) {
    rows <- !is.na(Y[, traits[1]])
    at <- which(cis$response == colnames(Y)[traits[1]])
    whole <- cbind(X[, flat, drop = FALSE], cis$X[, at, drop = FALSE])
    # as many coefficients as rows leave nothing
    if (sum(rows) <= ncol(whole)) next
    found <- call_rust(ffi_slam_units, slam_model(Y[rows, traits], whole[rows, , drop = FALSE]))
    shift[flat, traits] <- found$coefficients[seq_along(flat), ]
    own[at] <- found$coefficients[length(flat) + seq_along(at), ]
    sd[traits] <- found$sd
    Y[rows, traits] <- found$scaled
  }
  explained <- names(sd)[sd == 0]
  if (length(explained) > 0) {
    abort_fastlmm(
      "perfect_fit", paste0("the fixed effects explain responses exactly: ", first_names(explained), "; leave those responses or terms out"),
      responses = explained
    )
  }
  list(shift = shift, sd = sd, scaled = Y, cis = own)
}

# Responses that were observed in the same rows have the same pattern.
missing_pattern <- function(Y) apply(is.na(Y), 2, function(gone) paste(which(gone), collapse = " "))

# Fits of 0.1 were centred by the mean of each response alone.
slam_shift <- function(fit) {
  if (!is.null(fit$scale$shift)) return(fit$scale$shift)
  shift <- matrix(0, ncol(fit$X), ncol(fit$Y), dimnames = list(colnames(fit$X), colnames(fit$Y)))
  if (has_intercept(fit$X)) shift["(Intercept)", ] <- fit$scale$mean
  shift
}

# Rows by responses, from the sampler's units to those of the responses
as_responses <- function(fit, values) values * rep(fit$scale$sd, each = nrow(values)) + shift_of_rows(fit)

# What was subtracted from the responses before they were scaled, rows x responses
shift_of_rows <- function(fit) {
  of_x <- fit$X %*% slam_shift(fit)
  if (is.null(fit$cis)) of_x else of_x + cis_times(fit, fit$cis$X, fit$cis$shift)
}

has_intercept <- function(X) "(Intercept)" %in% colnames(X)

check_traits <- function(Y) {
  bad <- function(test) colnames(Y)[apply(Y, 2, test)]
  refuse <- function(names, why, what) if (length(names) > 0) abort_fastlmm(
    what, paste0("responses ", why, ": ", first_names(names), "; leave them out"), responses = names
  )
  refuse(bad(function(y) any(is.infinite(y))), "have infinite values", "nonfinite")
  refuse(bad(function(y) all(is.na(y))), "are missing in all rows", "missing_response")
  constant <- function(y) {
    y <- y[!is.na(y)]
    length(y) < 2 || max(y) - min(y) <= 4 * .Machine$double.eps * max(abs(y))
  }
  refuse(bad(constant), "do not vary", "constant_response")
  beyond <- function(y) {
    variance <- column_sd(matrix(y), na.rm = TRUE)^2
    !is.finite(variance) || variance < .Machine$double.xmin
  }
  refuse(bad(beyond), "have a variance that exceeds double precision", "scale")
}

# Columns that depend on others are left out, as everywhere; the intercept first
independent_columns <- function(X) {
  decomposition <- scaled_qr(X)
  kept <- sort(decomposition$pivot[seq_len(decomposition$rank)])
  if (length(kept) < ncol(X)) inform_aliased(colnames(X)[-kept], ncol(X))
  X[, kept, drop = FALSE]
}

# With a flat prior a coefficient that the rows of a response cannot tell has no posterior.
check_observed_rank <- function(Y, X) {
  patterns <- missing_pattern(Y)
  deficient <- function(pattern) {
    rows <- !is.na(Y[, match(pattern, patterns)])
    scaled_qr(X[rows, , drop = FALSE])$rank < ncol(X)
  }
  bad <- Filter(deficient, setdiff(unique(patterns), ""))
  if (length(bad) == 0) return(invisible())
  names <- colnames(Y)[patterns %in% bad]
  abort_fastlmm(
    "too_few_rows",
    paste0(
      "in the rows in which they are observed not all fixed effects are estimable for the responses ", first_names(names),
      "; leave those responses or terms out"
    ),
    responses = names
  )
}

# Fixed effects in the sampler's units: those whose coefficients the factors share are centred (if there is an intercept) and scaled as they are there.
scale_fixed <- function(X, covariates) {
  at <- match(colnames(X), colnames(covariates$XF))
  shared <- !is.na(at)
  centre <- ifelse(shared & has_intercept(X), colMeans(X), 0)
  size <- ifelse(shared, covariates$size[at], 1)
  list(X = in_units(sweep(X, 2, centre), size), centre = centre, size = size, shared = shared)
}

# Fixed effects of factors, and which random effects they have: all, unless their formula names some.
split_factors <- function(factors, random) {
  if (!inherits(factors, "formula") || length(factors) != 2) abort_fastlmm("formula", "factors must be a formula with one side, as factors = ~ sex")
  bars <- find_bars(factors[[2]])
  if (length(bars) == 0) return(list(fixed = factors, effects = seq_along(random)))
  wanted <- which_random(list(random = random), factors)
  if (!any(wanted)) abort_fastlmm(
    "formula",
    paste0("factors can have random terms of the formula, and not all of ", first_names(paste0("(", vapply(bars, deparse1, ""), ")")), " are terms of it")
  )
  fixed <- drop_bars(factors[[2]])
  factors[[2]] <- if (is.null(fixed)) 1 else fixed
  list(fixed = factors, effects = which(wanted))
}

# The design of the factors: no intercept, columns centred and scaled.
slam_covariates <- function(factors, design, data, X, extras) {
  terms <- stats::terms(factors)
  if (length(attr(terms, "term.labels")) == 0) return(list(XF = matrix(0, nrow(design$frame), 0), centre = numeric(), size = numeric()))
  frame <- data_frame_of(factors, data, extras)
  frame["(subset)"] <- NULL
  rows <- setdiff(seq_len(nrow(frame)), as.integer(design$na.action))
  if (length(rows) != nrow(design$frame)) abort_fastlmm(
    "factors", sprintf("variables of factors have %d rows, the model has %d", nrow(frame), nrow(design$frame) + length(design$na.action))
  )
  frame <- frame[rows, , drop = FALSE]
  if (anyNA(frame)) abort_fastlmm(
    "missing_values", paste("variables of factors have missing values in rows of the fit:", first_names(names(frame)[vapply(frame, anyNA, NA)]))
  )
  frame[] <- Map(drop_levels, frame, names(frame))
  check_levels(terms, frame)
  XF <- tryCatch(design_matrix(terms, frame, NULL), error = abort_contrasts)
  if (!all(is.finite(XF))) abort_fastlmm(
    "nonfinite", paste0("covariates of factors have infinite values: ", first_names(colnames(XF)[!is.finite(colSums(XF))]))
  )
  XF <- XF[, colnames(XF) != "(Intercept)", drop = FALSE]
  constant <- column_sd(XF) == 0
  if (any(constant)) abort_fastlmm("constant_covariate", paste0("covariates of factors do not vary: ", first_names(colnames(XF)[constant])))
  size <- covariate_size(XF, X[, setdiff(colnames(X), colnames(XF)), drop = FALSE])
  centre <- if (has_intercept(X)) colMeans(XF) else numeric(ncol(XF))
  list(
    XF = sweep(sweep(XF, 2, centre), 2, size, "/"), centre = centre, size = size, terms = stats::delete.response(attr(frame, "terms")),
    xlevels = stats::.getXlevels(terms, frame), columns = column_names(terms, data, NULL, nrow(frame))
  )
}

# The standard deviation of what the flat columns leave of a covariate, as for responses; of all of it where they leave nothing.
covariate_size <- function(XF, flat) {
  whole <- column_sd(XF)
  if (nrow(XF) <= ncol(flat)) return(whole)
  left <- call_rust(ffi_slam_units, slam_model(XF, flat))$sd
  ifelse(left > 1e-7 * whole, left, whole)
}

# ---- the basis ------------------------------------------------------------------------------------------

# Eigenvalues s of Z K Z' with a mean diagonal of one, and all n eigenvectors Q in as few numbers as the kernel allows: only turn_back() and turn_to() know how.
slam_basis <- function(random, n) {
  basis <- rows_basis(random, n)
  mean_diag <- sum(basis$values) / n
  if (mean_diag <= 0) abort_fastlmm("kernel_zero", "the kernel is zero for all ids with data")
  c(list(s = basis$values / mean_diag, mean_diag = mean_diag), basis[c("group", "entry", "u", "tau")])
}

rows_basis <- function(random, n) call_rust(ffi_slam_basis, slam_model(matrix(0, n, 0), matrix(0, n, 0), stats::setNames(list(random), random$name)))

# The model at the border; the sampler has no weights, and its basis must not depend on the number of threads
slam_model <- function(Y, X, random = list()) {
  rust_model(list(X = as_numbers(X), method = "REML", control = list(threads = 1)), random, as_numbers(Y))
}

# Q M: from the basis to rows; Q'M: from rows to the basis
turn_back <- function(basis, M) call_rust(ffi_slam_turn, basis, as_numbers(M), FALSE)

turn_to <- function(basis, M) call_rust(ffi_slam_turn, basis, as_numbers(M), TRUE)

as_numbers <- function(M) {
  M <- unname(as.matrix(M))
  storage.mode(M) <- "double"
  M
}

# ---- as the sampler takes them ----------------------------------------------------------------------------

slam_numbers <- function(data, basis, known, sets) {
  # several effects have no basis in common
  rotate <- if (is.null(basis$group)) as_numbers else function(M) turn_to(basis, M)
  Y <- data$scaled
  links <- sampler_links(data$links, Y, data$scale$sd, shift_of_rows(data))
  Y[is.na(Y)] <- 0
  # what is behind a link is drawn
  for (j in which(!vapply(links, is.null, NA))) Y[, j] <- 0
  XF <- data$covariates$XF
  shared <- shared_numbers(data)
  list(
    y = rotate(Y), x = rotate(data$fixed$X), x_prior = as.numeric(shared$x), xf = rotate(XF), xf_prior = as.numeric(shared$xf), s = basis$s,
    missing = data$missing, known = known, sets = sets, links = links, cis = cis_numbers(data$cis, colnames(data$Y), rotate)
  )
}

# Each covariate of the factors has a variance, which its coefficients at the traits share if the fixed effects have it too; 0: flat
shared_numbers <- function(data) {
  names <- colnames(data$covariates$XF)
  x <- match(colnames(data$X), names, nomatch = 0L)
  list(x = x, xf = seq_along(names), count = length(names))
}

# ---- missing cells ------------------------------------------------------------------------------------------

# Responses that were observed in the same rows, each with a basis of its own; an empty list where missing cells are drawn.
slam_sets <- function(data, random, basis, k, how) {
  if (all(lengths(data$missing) == 0) || how == "impute") return(list())
  traits <- unname(split(seq_along(data$missing), missing_pattern(data$Y)))
  if (how == "auto" && !sets_are_cheaper(data, traits, k)) return(list())
  lapply(traits, slam_set, data = data, random = random, mean_diag = basis$mean_diag)
}

# Flops to an independent draw, more or less. An iteration: a missing cell is turned there and back, a set turns its effects and all factors; it takes a
# decomposition, told over a thousand iterations whatever
# their number, since a longer run must not choose otherwise.
sets_are_cheaper <- function(data, traits, k) {
  n <- nrow(data$Y)
  rows <- n - lengths(data$missing[vapply(traits, `[`, 0L, 1)])
  sets <- sum(2 * rows^2 * (k + lengths(traits)) + 20 * rows^3 / 1000) + 4 * n^2 * k
  sets < 4 * n * sum(lengths(data$missing)) * iterations_imputed(data)
}

# Iterations that are worth one without missing cells: cells that are drawn hold their response where it is (data augmentation), the part f of a response's rows
# that is missing being its rate.
iterations_imputed <- function(data) {
  part <- lengths(data$missing) / nrow(data$Y)
  f <- mean(part[part > 0])
  (1 + f) / (1 - f)
}

slam_set <- function(traits, data, random, mean_diag) {
  rows <- setdiff(seq_len(nrow(data$Y)), data$missing[[traits[1]]])
  basis <- rows_basis(replace(random, c("z", "group"), list(random$z[rows], random$group[rows])), length(rows))
  list(
    traits = traits, rows = rows, basis = basis[c("group", "entry", "u", "tau")], s = basis$values / mean_diag,
    y = unname(data$scaled[rows, traits, drop = FALSE])
  )
}

# Known loadings in the sampler's units, k x p; nothing if there are none
known_loadings <- function(loadings, k, data) {
  if (is.null(loadings)) return(matrix(0, 0, 0))
  p <- ncol(data$Y)
  if (!is.matrix(loadings) || !is.numeric(loadings) || nrow(loadings) != p || ncol(loadings) > k) {
    abort_fastlmm(
      "known_loadings",
      sprintf("known loadings must be a matrix with a row for each of the %d responses and at most %d columns, NA where a loading is to be estimated", p, k)
    )
  }
  if (!is.null(rownames(loadings))) {
    if (!setequal(rownames(loadings), colnames(data$Y))) abort_fastlmm("known_loadings", "row names of the known loadings are not those of the responses")
    loadings <- loadings[colnames(data$Y), , drop = FALSE]
  }
  if (any(is.infinite(loadings)) || any(abs(loadings) > 1e6 * data$scale$sd, na.rm = TRUE)) {
    abort_fastlmm("known_loadings", "known loadings must be finite, and no larger than a million standard deviations of their response")
  }
  known <- matrix(NaN, k, p)
  known[seq_len(ncol(loadings)), ] <- t(loadings / data$scale$sd)
  known[is.na(known)] <- NaN
  known
}
