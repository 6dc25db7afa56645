# Fits with a gp() term: a route is chosen, the length scale estimated, and what comes back put into the shape of every other fit.

# Rows up to which the kernel matrix is the first choice whatever it costs, and the last resort. Beside groups, with a length scale for each coordinate and
# for many responses it has more to say: profiles of every parameter.
gp_few <- 500
gp_few_rich <- 1000
gp_exact_limit <- 3000

# CPU seconds that a fit takes by each route, if length scales are looked for: uniform points in two dimensions, n = 500 to 3000, length scales .05 to .5 of
# the side, noise .5 of the process (bench/gp-table.R). The kernel matrix: .4 for the first look at some of the rows, then multiples of n^3 for Newton's
# method on all of them. Fourier space takes .1 to .5 where a basis is accurate enough, up to three for thousands of rows, as it nearly always is in one
# dimension; where none is it says so after .05 to .4, and the kernel matrix still has to follow. That has no error of a basis, which is worth up to a second
# where bases are large (Matern kernels).
gp_seconds <- function(n, cov, d = 2) c(exact = 0.4 + 0.45 * (n / 1000)^3, fourier = if (cov == "exp_quad" || d == 1) 0.4 else 1)

# The route that is tried first: both are accurate, so that time decides.
gp_exact_first <- function(gp, n) {
  if (gp$basis != "auto") return(gp$basis == "exact")
  if (n <= if (gp$ard) gp_few_rich else gp_few) return(TRUE)
  seconds <- gp_seconds(n, gp$cov, max(1, length(gp$axes)))
  is.null(gp$lengthscale) && seconds[["exact"]] < seconds[["fourier"]]
}

is_process <- function(kernel) inherits(kernel, "fastlmm_process")

is_gp_fit <- function(fit) inherits(fit, "fastlmm_gp")

check_gp_random <- function(parts, K) {
  if (!is.null(K) && length(parts$random) == 0) {
    abort_gp_term(parts$gp$term, "with K needs a term that says to which ids K belongs, such as (1 | id)")
  }
}

# The model of a formula with a gp() term
gp_model <- function(parts, design, K, method, control, call) {
  columns <- lapply(parts$gp$coordinates, frame_column, frame = design$frame)
  gp <- settle_gp(parts$gp, columns)
  coordinates <- gp_coordinates(columns, gp, rownames(design$frame))
  gp$box <- gp_box(coordinates, gp)
  gp$calls <- lapply(gp$coordinates, predict_call, frame = design$frame)
  model <- new_model(parts, design, list(), method, control, call)
  model$gp <- gp
  model$coordinates <- coordinates
  model$others <- if (length(parts$random) > 0) mold_random(K, parts, design, control) else list()
  # one plain grouping factor also has a place in Fourier space
  if (length(model$others) == 1 && is.null(K) && is.null(parts$random[[1]]$slope)) {
    model$group <- factor(design$random[[1]]$id)
    model$group_expr <- parts$random[[1]]$group
  }
  model
}

estimate_gp <- function(model) {
  gp <- model$gp
  n <- length(model$y)
  if (length(model$others) > 0) return(estimate_gp_beside(model, n))
  if (gp_exact_first(gp, n)) return(gp_exact(model))
  if (gp$basis == "fourier" || n > gp_exact_limit) return(gp_fourier(model))
  fourier_or(gp_exact, model, n)
}

# Fourier space, or another route where no basis is accurate enough.
fourier_or <- function(other, model, n) {
  none <- function(e) NULL
  fit <- tryCatch(gp_fourier(model, strict = n <= gp_exact_limit), fastlmm_error_rough = none, fastlmm_error_basis = none)
  if (is.null(fit) || fit$optimum$limited && n <= gp_exact_limit) other(model) else fit
}

# Beside other effects: Fourier space knows one plain grouping factor, the kernel matrix all there are.
estimate_gp_beside <- function(model, n) {
  gp <- model$gp
  if (is.null(model$group) && gp$basis == "fourier") {
    abort_gp_term(gp$term, "with basis = \"fourier\" can be combined with one term (1 | group) only; leave basis out")
  }
  if (is.null(model$group) || gp$basis == "exact" || gp$basis == "auto" && n <= gp_few_rich) return(gp_joint(model))
  if (gp$basis == "fourier") return(gp_fourier(model))
  fourier_or(gp_joint, model, n)
}

# Kept by a model, made from the frame of a fit
model_coordinates <- function(model) {
  if (!is.null(model$coordinates)) return(model$coordinates)
  gp_coordinates(lapply(model$gp$coordinates, frame_column, frame = model$frame), model$gp, rownames(model$frame))
}

# The model at the border, with its process
model_rows <- function(model, strict = FALSE, random = group_effect(model$group), Y = column_of(model)) {
  c(gp_rows(model, model_coordinates(model), Y, random), list(process = gp_settings(model$gp, model$gp$box, strict)))
}

# as.numeric() would write out the names of all rows
column_of <- function(model) {
  Y <- model$y - model$offset
  names(Y) <- NULL
  dim(Y) <- c(length(Y), 1)
  Y
}

gp_fourier <- function(model, strict = FALSE) {
  rows <- model_rows(model, strict)
  # what the model frame left behind is given back before Rust asks for memory
  if (length(model$y) > 1e5) gc(FALSE)
  new_gp_fit(model, fourier_fit(call_rust(ffi_gp_fit, rows)))
}

gp_exact <- function(model) {
  rows <- model_rows(model)
  check_kernel_memory(nrow(rows$coordinates))
  found <- call_rust(ffi_gp_exact, rows)
  process <- exact_process(length(model$y))
  new_gp_fit(model, list(found = found$fit, lengths = found$lengths, process = process, alpha = found$fit$alpha, at_end = found$at_end))
}

# n x n numbers, and a few copies of them
check_kernel_memory <- function(n, copies = 6) {
  check_memory(8 * copies * n^2, function(needed, available) {
    sprintf("the exact route of gp() needs about %s for %.0f rows, but only %s are available; use basis = \"fourier\"", needed, n, available)
  })
}

# A fit in weight space, its basis functions' coefficients and what later questions need
fourier_fit <- function(answer) {
  process <- c(list(route = "fourier"), answer[c("size", "guard", "captured", "log_lik_error", "aliasing", "basis", "table")])
  list(found = answer$fit, lengths = answer$lengths, process = process, alpha = answer$coefficients, at_end = answer$at_end, limited = answer$limited)
}

new_gp_fit <- function(model, answer) {
  gp <- model$gp
  d <- length(gp$axes)
  parameters <- answer$lengths$parameters
  lengths <- parameters[seq_len(d)]
  model$random <- gp_random(model, answer, lengths)
  found <- answer$found
  found$alpha <- gp_alpha(model, answer)
  fit <- new_fastlmm(model, found)
  gp$largest <- gp$size
  fit$gp <- c(
    gp[setdiff(names(gp), c("calls", "size"))], answer$process[setdiff(names(answer$process), c("basis", "table"))], answer$process$basis[c("h", "m")]
  )
  fit$gp$parameters <- parameters
  # to the likelihood what the basis leaves out of the process' variance is residual noise
  fit$gp$raw_delta <- answer$lengths$delta
  fit <- with_lengthscale(fit, answer$lengths, lengths)
  fit$optimum$at_end <- isTRUE(answer$at_end)
  fit$optimum$limited <- isTRUE(answer$limited)
  if (length(model$random) > 1) fit <- with_group_variance(fit, parameters[d + 1], answer$lengths$se$covariance)
  class(fit) <- c("fastlmm_gp", "fastlmm")
  fit
}

gp_random <- function(model, answer, lengths) {
  gp <- model$gp
  process <- structure(c(list(cov = gp$cov, lengthscale = lengths), answer$process), class = "fastlmm_process")
  random <- structure(list(new_process_term(gp, process)), names = gp$name)
  if (is.null(model$group)) return(random)
  ids <- levels(model$group)
  group <- list(
    name = deparse1(model$group_expr), part = NULL, expr = model$group_expr, slope = NULL, slope_call = NULL, ids = ids, index = seq_along(ids),
    group = as.integer(model$group), z = rep(1, length(model$y)), kernel = NULL, mean_diag = 1
  )
  c(random, structure(list(group), names = group$name))
}

# The process as a random effect
new_process_term <- function(gp, process) {
  list(
    name = gp$name, part = NULL, expr = gp$term, slope = NULL, slope_call = NULL, calls = gp$calls, ids = NULL, index = NULL, group = NULL, z = 1,
    kernel = process, mean_diag = 1
  )
}

# Coefficients of the basis functions, and the effects of the groups, which come after them
gp_alpha <- function(model, answer) {
  if (length(model$random) == 1) return(list(answer$alpha))
  waves <- seq_len(length(answer$alpha) - nlevels(model$group))
  list(answer$alpha[waves], answer$alpha[-waves])
}

with_lengthscale <- function(fit, lengths, value) {
  fit <- with_lengths(fit, value, lengths$log_errors)
  fit$se <- gp_errors(fit, lengths)
  fit$optimum$local_lengthscale <- as.data.frame(lengths$local)
  fit$profile <- as.data.frame(lengths$searched)
  fit
}

# Length scales, one for all axes or each its own, their standard errors and their degrees of freedom
with_lengths <- function(fit, value, log_errors) {
  gp <- fit$gp
  d <- length(gp$axes)
  own <- gp$ard || length(unique(value)) > 1
  used <- if (own) seq_len(d) else 1
  fit$lengthscale <- structure(value[used], names = if (own) gp$axes else gp$name)
  estimated <- is.null(gp$lengthscale)
  fit$se$lengthscale <- structure(if (estimated) value[used] * log_errors[used] else rep(0, length(used)), names = names(fit$lengthscale))
  if (estimated) fit$df <- fit$df + length(used)
  fit
}

# Standard errors that know of the length scale
gp_errors <- function(fit, lengths) {
  se <- fit$se
  log_delta <- lengths$se$log_delta
  se$log_delta <- log_delta
  se$delta <- fit$delta * log_delta
  se$h2 <- fit$h2 * (1 - fit$h2) * log_delta
  se$sigma2 <- fit$sigma2 * lengths$se$sigma2
  se$sigma2_e <- fit$sigma2_e * lengths$se$sigma2_e
  se
}

# The groups' variance is the square of their ratio times that of the process.
with_group_variance <- function(fit, ratio, covariance) {
  label <- names(fit$random)
  fit$sigma2 <- structure(fit$sigma2 * c(1, ratio^2), names = label)
  fit$delta <- fit$sigma2_e / fit$sigma2
  fit$h2 <- fit$sigma2 / (sum(fit$sigma2) + fit$sigma2_e)
  fit$optimum$boundary <- if (ratio == 0) paste("variance 0:", label[2]) else "none"
  errors <- group_log_errors(fit$h2, if (ratio > 0) covariance)
  for (name in names(errors)) fit$se[[name]] <- structure(fit[[name]] * errors[[name]], names = label)
  fit
}

# Standard errors of the logarithms of both variances, of their ratios to the residual's, and of the shares, by the delta method: `covariance` is that of the
# logarithms of length scales, ratio of standard deviations, delta and sigma2.
group_log_errors <- function(h2, covariance) {
  m <- round(sqrt(length(covariance)))
  if (m == 0) return(list(sigma2 = c(NA_real_, NA_real_), delta = c(NA_real_, NA_real_), h2 = c(NA_real_, NA_real_)))
  last <- matrix(covariance, m)[m - 2:0, m - 2:0]
  error <- function(along) sqrt(pmax(rowSums((along %*% last) * along), 0))
  group <- c(2, 0, 0)
  delta <- c(0, 1, 0)
  total <- h2[[2]] * group + (1 - sum(h2)) * delta
  list(
    sigma2 = error(rbind(c(0, 0, 1), group + c(0, 0, 1))), delta = error(rbind(delta, delta - group)), h2 = error(rbind(-total, group - total))
  )
}

report_gp <- function(fit) {
  aliased <- is.na(fit$coefficients)
  if (any(aliased)) inform_aliased(names(which(aliased)), length(aliased))
  boundary <- fit$optimum$boundary
  if (boundary == "h2 = 0") inform_gp_nothing(fit)
  if (boundary == "delta at its floor") inform_gp_floor(fit)
  if (length(fit$optimum$zero) > 0) inform_boundary(fit$optimum)
  if (fit$optimum$at_end && fit$sigma2[[1]] > 0) inform_gp_end(fit)
  if (isTRUE(fit$optimum$limited)) inform_gp_limited(fit)
  fit
}

inform_gp_floor <- function(fit) {
  inform_fastlmm("boundary", paste0(
    "boundary fit: ", fit$gp$name, " explains all variance that X leaves, and a residual variance below sigma2_e = ", format(fit$sigma2_e, digits = 3),
    " cannot be determined at the condition number of the ",
    "kernel. The fit interpolates the data to that accuracy; its residual variance is an upper bound"
  ), boundary = "delta at its floor")
}

inform_gp_nothing <- function(fit) {
  inform_fastlmm("boundary", paste0(
    "boundary fit, h2 = 0: ", fit$gp$name, " explains no variance. The fit is valid: coefficients and residual variance are those of lm(), and the length ",
    "scale is arbitrary"
  ), boundary = "h2 = 0")
}

# Data that are rougher than the kernel, or much smoother and many, tell it of frequencies beyond any basis of this size
inform_gp_limited <- function(fit) {
  inform_fastlmm("gp_range", paste0(
    if (is.null(fit$gp$lengthscale)) "the length scale of " else "the fit of ", fit$gp$name, ", ", format(fit$lengthscale[[1]], digits = 4),
    ", still depends on the number of Fourier functions ",
    "(", fit$gp$size,
    "), and `size`, the number of rows or the time limit of the search allow no more: the data are rougher or much smoother than the kernel \"", fit$gp$cov,
    "\". Take another `cov`, or a larger `size`"
  ))
}

inform_gp_end <- function(fit) {
  long <- gp_is_long(fit)
  inform_fastlmm("gp_range", paste0(
    "the length scale of ", fit$gp$name, " lies at the ", if (long) "long" else "short", " end of the range searched, ",
    format(fit$lengthscale[[1]], digits = 4),
    ": a value beyond it fits the data as well, or better; ",
    if (long) "over such a long scale the process is a trend: include the trend in the formula, or give a wider `range`" else "give a wider `range`"
  ))
}

# At an end: is it the long one?
gp_is_long <- function(fit) {
  side <- max(fit$gp$box[2, ] - fit$gp$box[1, ])
  if (!is.null(fit$gp$range)) return(fit$lengthscale[[1]] > sqrt(prod(fit$gp$range)))
  max(fit$lengthscale) > side
}

# What fastlmm_fit() does with a gp() term
fit_gp <- function(parts, design, K, method, control, call, na.action) {
  check_gp_random(parts, K)
  model <- gp_model(parts, design, K, method, control, call)
  if (is.matrix(model$y)) fit_gp_many(model, na.action) else report_gp(estimate_gp(model))
}

# What a fit keeps of its model, to be estimated again
stored_gp_model <- function(fit) {
  model <- fit[c(
    "call", "formula", "terms", "frame", "xlevels", "contrasts", "y", "offset", "weights", "na.action", "rows", "method", "control", "gp"
  )]
  model$X <- fixed_design(fit)
  model$gp$calls <- fit$random[[1]]$calls
  model$others <- lapply(fit$random[-1], function(one) one[names(one) != "alpha"])
  if (length(fit$random) > 1 && !is_joint_gp(fit)) {
    group <- fit$random[[2]]
    model$group <- factor(group$ids[group$group], levels = group$ids)
    model$group_expr <- group$expr
  }
  model
}
