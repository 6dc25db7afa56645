#' Several kernels of the same ids
#'
#' `kernel_mix(A = K1, D = K2)` gives each id the sum of independent effects, `u_A ~ N(0, sigma2_A K1)` and `u_D ~ N(0, sigma2_D K2)`, whose
#' variances are estimated together: additive and dominance relationship, phylogeny and species-specific effects, two groups of genes.
#'
#' @param ... two or more kernels, each with a name, of the same ids in any order: matrices, `Matrix` objects, data frames, factors by
#'   [kernel_lowrank()], products by [kernel_product()], or `NULL` for the identity. If a kernel is zero or equal to another in the data, its
#'   variance is not identifiable, which the fit reports.
#' @param x a mix by `kernel_mix()`.
#' @return An object of class `fastlmm_mix`, for the argument `K` of [fastlmm_fit()] and of [predict.fastlmm()]. The random effects of a fit
#'   with it are named by the grouping factor and the kernel, `id.A` and `id.D`.
#' @section Errors:
#' `kernel_mix` for kernels without names or with equal names, for fewer than two kernels and for a mix within a mix; `mix_ids` for kernels of
#' different ids; and, in the fit, those of each kernel.
#' @seealso [fastlmm_fit()]
#' @examples
#' set.seed(1)
#' ids <- paste0("i", 1:60)
#' markers <- matrix(rnorm(60 * 200), 60, dimnames = list(ids, NULL))
#' A <- tcrossprod(markers) / 200
#' data <- data.frame(id = rep(ids, 3))
#' data$y <- drop(markers %*% rnorm(200, sd = 0.1))[data$id] + rnorm(60)[as.integer(factor(data$id))] + rnorm(180)
#'
#' # what relatives share, and what each id has for itself
#' fit <- fastlmm_fit(y ~ 1 + (1 | id), data, K = list(id = kernel_mix(A = A, own = NULL)))
#' VarCorr(fit)
#' head(ranef(fit)$id)
#' @export
kernel_mix <- function(...) {
  kernels <- list(...)
  check_mix_names(names(kernels), length(kernels))
  for (name in names(kernels)) check_mix_part(kernels[[name]], name)
  check_mix_ids(lapply(kernels, mix_ids))
  structure(list(kernels = kernels), class = "fastlmm_mix")
}

#' @rdname kernel_mix
#' @export
print.fastlmm_mix <- function(x, ...) {
  check_arguments(...)
  size <- function(K) if (is.null(K)) "identity" else if (is_product(K)) "product" else if (is_lowrank(K)) sprintf(
    "W %d x %d", nrow(K$W), ncol(K$W)
  ) else if (is_precision(K)) sprintf("%s %d x %d", tolower(precision_name(K)), nrow(K), ncol(K)) else sprintf("%d x %d", nrow(K), ncol(K))
  cat("Mix of kernels: ", paste0(names(x$kernels), " (", vapply(x$kernels, size, ""), ")", collapse = ", "), "\n", sep = "")
  invisible(x)
}

is_mix <- function(K) inherits(K, "fastlmm_mix")

# Names of the ids, where the kernel has them
mix_ids <- function(K) {
  if (is.null(K) || is_product(K)) return(NULL)
  if (is_lowrank(K)) return(rownames(K$W))
  ids <- if (!is.null(rownames(K)) && !identical(rownames(K), as.character(seq_len(nrow(K))))) rownames(K) else colnames(K)
  if (!is.null(ids)) full_numbers(ids)
}

check_mix_names <- function(names, n) {
  if (n < 2) abort_mix(paste("needs at least two kernels, and has", n))
  if (is.null(names) || any(names == "")) abort_mix("needs a name for each kernel: kernel_mix(A = K1, D = K2)")
  if (anyDuplicated(names)) abort_mix(paste0("has the name ", quoted(names[anyDuplicated(names)]), " twice"))
}

check_mix_part <- function(K, name) {
  check_valid(K, quoted(name), "kernel_class")
  if (is_mix(K)) abort_mix(paste0("has a mix as ", quoted(name), "; give all kernels in one mix"))
  if (!is.null(K) && length(dim(K)) != 2 && !is_lowrank(K) && !is_product(K)) abort_mix(
    paste0("has ", quoted(name), " of class ", class(K)[1], "; give a matrix, a factor or NULL")
  )
}

check_mix_ids <- function(ids) {
  ids <- Filter(Negate(is.null), ids)
  for (name in names(ids)[-1]) {
    missing <- setdiff(ids[[1]], ids[[name]])
    extra <- setdiff(ids[[name]], ids[[1]])
    if (length(missing) + length(extra) > 0) abort_mix_ids(names(ids)[1], name, missing, extra)
  }
}

abort_mix <- function(message) abort_fastlmm("kernel_mix", paste("kernel_mix()", message))

abort_mix_ids <- function(first, second, missing, extra) {
  lacks <- function(name, ids) if (length(ids) > 0) paste0(quoted(name), " lacks ", counted(length(ids), "id"), ": ", first_names(ids))
  abort_fastlmm("mix_ids", paste0(
    "the kernels ", quoted(first), " and ", quoted(second), " of a mix are not of the same ids; ",
    paste(c(lacks(second, missing), lacks(first, extra)), collapse = "; "), "; give each kernel all ids"
  ), missing = missing, extra = extra)
}
