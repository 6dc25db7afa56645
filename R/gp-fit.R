# Fits with a gp() term: a route is chosen, the length scale estimated, and what comes back put into the shape of every other fit.

# Rows up to which the kernel matrix is the first choice, and the last resort.
gp_few <- 1000
gp_exact_limit <- 3000

is_process <- function(kernel) inherits(kernel, "fastlmm_process")

is_gp_fit <- function(fit) inherits(fit, "fastlmm_gp")

check_gp_random <- function(parts, K) {
  if (!is.null(K)) abort_gp_term(parts$gp$term, "and K cannot be combined; leave one of them out")
  if (length(parts$random) == 0) return(invisible())
  plain <- length(parts$random) == 1 && is.null(parts$random[[1]]$slope)
  if (!plain) abort_gp_term(parts$gp$term, "can be combined with one term (1 | group) only")
}

# The model of a formula with a gp() term
gp_model <- function(parts, design, method, control, call) {
  gp <- parts$gp
  columns <- lapply(gp$coordinates, frame_column, frame = design$frame)
  coordinates <- gp_coordinates(columns, gp, rownames(design$frame))
  gp$box <- gp_box(coordinates, gp)
  gp$calls <- lapply(gp$coordinates, predict_call, frame = design$frame)
  model <- new_model(parts, design, list(), method, control, call)
  model$gp <- gp
  model$coordinates <- coordinates
  model$group <- if (length(parts$random) > 0) factor(design$random[[1]]$id)
  model$group_expr <- if (length(parts$random) > 0) parts$random[[1]]$group
  model
}

estimate_gp <- function(model) {
  gp <- model$gp
  n <- length(model$y)
  exact <- gp$basis == "exact" || gp$basis == "auto" && n <= gp_few && is.null(model$group)
  if (exact) {
    check_gp_exact(model)
    return(gp_exact(model))
  }
  if (gp$basis == "fourier" || n > gp_exact_limit || !is.null(model$group)) return(gp_fourier(model))
  tryCatch(gp_fourier(model), fastlmm_error_rough = function(e) gp_exact(model), fastlmm_error_basis = function(e) gp_exact(model))
}

check_gp_exact <- function(model) {
  if (is.null(model$group)) return(invisible())
  abort_gp_term(model$gp$term, "with basis = \"exact\" cannot be combined with a term (1 | group); use basis = \"fourier\"")
}

# Kept by a model, made from the frame of a fit
model_coordinates <- function(model) {
  if (!is.null(model$coordinates)) return(model$coordinates)
  gp_coordinates(lapply(model$gp$coordinates, frame_column, frame = model$frame), model$gp, rownames(model$frame))
}

model_rows <- function(model) {
  # as.numeric() would write out the names of all rows
  Y <- model$y - model$offset
  names(Y) <- NULL
  dim(Y) <- c(length(Y), 1)
  gp_rows(model_coordinates(model), model$X, Y, model$weights, model$group)
}

gp_fourier <- function(model) {
  request <- gp_request(model$gp, model$gp$box, model$method, model$control)
  rows <- model_rows(model)
  # what the model frame left behind is given back before Rust asks for memory
  if (length(model$y) > 1e5) gc(FALSE)
  new_gp_fit(model, fourier_fit(call_rust(ffi_gp_fit, rows, request)))
}

gp_exact <- function(model) {
  request <- gp_request(model$gp, model$gp$box, model$method, model$control)
  rows <- model_rows(model)
  check_kernel_memory(nrow(rows$coordinates))
  lengths <- call_rust(ffi_gp_exact, rows, request)
  K <- call_rust(ffi_gp_correlations, rows$coordinates, rows$coordinates, model$gp$cov, lengths$parameters)
  n <- nrow(K)
  found <- call_rust(
    ffi_fit, rows$Y[, 1], model$X, model_weights(model), rep(1, n), seq_len(n), K, "matrix", seq_len(n), model$method,
    control_threads(model$control), control_tolerance(model$control)
  )
  process <- list(route = "exact", size = n, guard = 0, captured = 1, aliasing = 0)
  new_gp_fit(model, list(found = found, lengths = lengths, process = process, alpha = found$alpha))
}

# n x n numbers, and a few copies of them
check_kernel_memory <- function(n) {
  needed <- 8 * 6 * n^2
  available <- available_memory()
  if (is.na(available) || needed <= available) return(invisible())
  abort_fastlmm("memory", sprintf(
    "the exact route of gp() needs about %.1f GiB for %d rows, but only %.1f GiB are available; use basis = \"fourier\"", needed / 2^30, n, available / 2^30
  ), needed = needed / 2^30, available = available / 2^30)
}

# A fit in weight space, its basis functions' coefficients and what later questions need
fourier_fit <- function(answer) {
  process <- c(list(route = "fourier"), answer[c("size", "guard", "captured", "aliasing", "basis", "table")])
  list(found = answer$fit, lengths = answer$lengths, process = process, alpha = answer$coefficients, at_end = answer$at_end)
}

new_gp_fit <- function(model, answer) {
  gp <- model$gp
  d <- length(gp$coordinates)
  parameters <- answer$lengths$parameters
  lengths <- parameters[seq_len(d)]
  model$random <- gp_random(model, answer, lengths)
  found <- answer$found
  found$alpha <- gp_alpha(model, answer)
  fit <- new_fastlmm(model, found)
  gp$largest <- gp$size
  fit$gp <- c(gp[setdiff(names(gp), c("calls", "size"))], answer$process[setdiff(names(answer$process), c("basis", "table"))], answer$process$basis[c("h", "m")])
  fit$gp$parameters <- parameters
  # to the likelihood what the basis leaves out of the process' variance is residual noise
  fit$gp$raw_delta <- answer$lengths$delta
  fit <- with_lengthscale(fit, answer$lengths, lengths)
  fit$optimum$at_end <- isTRUE(answer$at_end)
  if (length(model$random) > 1) fit <- with_group_variance(fit, parameters[d + 1])
  class(fit) <- c("fastlmm_gp", "fastlmm")
  fit
}

gp_random <- function(model, answer, lengths) {
  gp <- model$gp
  process <- structure(c(list(cov = gp$cov, lengthscale = lengths), answer$process), class = "fastlmm_process")
  one <- list(
    name = gp$name, part = NULL, expr = gp$term, slope = NULL, slope_call = NULL, calls = gp$calls, ids = NULL, index = NULL, group = NULL, z = 1,
    kernel = process, mean_diag = 1
  )
  random <- structure(list(one), names = gp$name)
  if (is.null(model$group)) return(random)
  ids <- levels(model$group)
  group <- list(
    name = deparse1(model$group_expr), part = NULL, expr = model$group_expr, slope = NULL, slope_call = NULL, ids = ids, index = seq_along(ids),
    group = as.integer(model$group), z = rep(1, length(model$y)), kernel = NULL, mean_diag = 1
  )
  c(random, structure(list(group), names = group$name))
}

# Coefficients of the basis functions, and the effects of the groups, which come after them
gp_alpha <- function(model, answer) {
  if (length(model$random) == 1) return(list(answer$alpha))
  waves <- seq_len(length(answer$alpha) - nlevels(model$group))
  list(answer$alpha[waves], answer$alpha[-waves])
}

with_lengthscale <- function(fit, lengths, value) {
  gp <- fit$gp
  d <- length(gp$coordinates)
  own <- gp$ard || length(unique(value)) > 1
  used <- if (own) seq_len(d) else 1
  fit$lengthscale <- structure(value[used], names = if (own) vapply(gp$coordinates, deparse1, "") else gp$name)
  estimated <- is.null(gp$lengthscale)
  fit$se$lengthscale <- structure(if (estimated) value[used] * lengths$log_errors[used] else rep(0, length(used)), names = names(fit$lengthscale))
  fit$se <- gp_errors(fit, lengths)
  if (estimated) fit$df <- fit$df + length(used)
  fit$optimum$local_lengthscale <- as.data.frame(lengths$local)
  fit$profile <- as.data.frame(lengths$searched)
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
with_group_variance <- function(fit, ratio) {
  label <- names(fit$random)
  fit$sigma2 <- structure(fit$sigma2 * c(1, ratio^2), names = label)
  fit$delta <- fit$sigma2_e / fit$sigma2
  fit$h2 <- fit$sigma2 / (sum(fit$sigma2) + fit$sigma2_e)
  for (name in c("sigma2", "delta", "h2")) fit$se[[name]] <- structure(rep(NA_real_, 2), names = label)
  fit$optimum$boundary <- if (ratio == 0) paste("variance 0:", label[2]) else "none"
  fit
}

report_gp <- function(fit) {
  aliased <- is.na(fit$coefficients)
  if (any(aliased)) inform_aliased(names(which(aliased)), length(aliased))
  if (identical(fit$optimum$boundary, "h2 = 0")) inform_gp_nothing(fit)
  if (fit$optimum$at_end && fit$optimum$boundary == "none") inform_gp_end(fit)
  fit
}

inform_gp_nothing <- function(fit) {
  inform_fastlmm("boundary", paste0(
    "boundary fit, h2 = 0: ", fit$gp$name, " explains nothing of what X leaves. The fit is valid: coefficients and residual variance are those of lm(), and the length ",
    "scale is arbitrary"
  ), boundary = "h2 = 0")
}

inform_gp_end <- function(fit) {
  inform_fastlmm("gp_range", paste0(
    "the length scale of ", fit$gp$name, " lies at the end of the range that was searched, ", format(fit$lengthscale[[1]], digits = 4),
    ": one beyond it fits the data as well, or better; give a wider `range` to look there"
  ))
}

# What fastlmm_fit() does with a gp() term
fit_gp <- function(parts, design, K, method, control, call, na.action) {
  check_gp_random(parts, K)
  model <- gp_model(parts, design, method, control, call)
  if (is.matrix(model$y)) fit_gp_many(model, na.action) else report_gp(estimate_gp(model))
}
