# What stands for a model at the border to Rust: one value, the same for every engine, read by `model.rs` and `view.rs`.

# Responses less their offset, fixed effects, weights (none: all are 1), random effects, criterion and settings.
rust_model <- function(model, random = model$random, y = model$y - model$offset) {
  list(
    y = if (is.matrix(y)) y else matrix(as.numeric(y), ncol = 1), X = model$X, weights = if (is.null(model$weights)) numeric() else as.numeric(model$weights),
    effects = rust_effects(random),
    method = model$method, threads = as.numeric(control_threads(model$control)), tolerance = control_tolerance(model$control)
  )
}

model_weights <- function(model) if (is.null(model$weights)) rep(1, nrow(model$X)) else model$weights

rust_effects <- function(random) {
  labels <- if (is.null(names(random))) rep("id", length(random)) else names(random)
  unname(Map(rust_effect, random, labels))
}

rust_effect <- function(random, label) {
  # the identity has no rows to point to
  if (is.null(random$kernel)) random$index <- seq_along(random$index)
  list(
    label = label, z = as.numeric(random$z), group = as.integer(random$group), K = kernel_values(random), form = kernel_form(random),
    index = as.integer(random$index)
  )
}

# ---- kernels --------------------------------------------------------------------------------------------

# K, W as it is, sparse or with columns that are known to be orthogonal, or the inverse of K
kernel_form <- function(random) {
  if (is_precision(random$kernel)) return("precision")
  if (!is_lowrank(random$kernel)) return("matrix")
  if (is_eigen(random$kernel)) "orthogonal" else if (is_sparse(random$kernel$W)) "sparse" else "factor"
}

# What stands for the kernel: K, W, the columns of a sparse W, or nothing for the identity
kernel_values <- function(random) {
  if (is.null(random$kernel)) return(matrix(0, 0, 0))
  if (is_precision(random$kernel)) return(sparse_values(random$kernel$P))
  if (!is_lowrank(random$kernel)) return(random$kernel)
  W <- random$kernel$W
  if (is_sparse(W)) sparse_values(W) else W
}

sparse_values <- function(M) list(n = nrow(M), p = M@p, i = M@i, x = M@x)
