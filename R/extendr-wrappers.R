#' Fit one response.
#' @noRd
ffi_fit <- function(y, X, weights, z, group, K, index, method, threads, tolerance) .Call(wrap__ffi_fit, y, X, weights, z, group, K, index, method, threads, tolerance)

#' What is wrong with a square matrix as a kernel.
#' @noRd
ffi_kernel_facts <- function(K, tolerance, threads) .Call(wrap__ffi_kernel_facts, K, tolerance, threads)

#' Variance of predictions.
#' @noRd
ffi_variance <- function(K, index, gram, cross, sigma2, sigma2_e, vcov, K_new, k_new, X_new, threads) .Call(wrap__ffi_variance, K, index, gram, cross, sigma2, sigma2_e, vcov, K_new, k_new, X_new, threads)

#' Profile of one parameter out to |zeta| = zeta_max.
#' @noRd
ffi_profile <- function(rotated, method, what, column, zeta_max, points) .Call(wrap__ffi_profile, rotated, method, what, column, zeta_max, points)

#' Where the deviance has risen by `rise`.
#' @noRd
ffi_interval <- function(rotated, method, what, column, rise) .Call(wrap__ffi_interval, rotated, method, what, column, rise)
