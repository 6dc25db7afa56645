# What settings, priors and permutations look like at the console.

# 'name  value', a line each
print_lines <- function(title, lines) {
  cat(title, "\n", paste0("  ", format(names(lines)), "  ", lines, "\n"), sep = "")
}

#' @rdname fastlmm_control
#' @param x the value of `fastlmm_control()`.
#' @param ... not used.
#' @export
print.fastlmm_control <- function(x, ...) {
  print_lines("Settings of fastlmm_fit():", c(
    tolerance = if (is.null(x$tolerance)) "10 n eps for an n x n kernel" else format(x$tolerance),
    threads = if (is.null(x$threads)) paste(fastlmm_threads(), "(the session's)") else format(x$threads), verbose = format(x$verbose),
    effects = format(x$effects)
  ))
  invisible(x)
}

#' @rdname slam_prior
#' @param x a prior.
#' @param ... not used.
#' @export
print.slam_prior <- function(x, ...) {
  default <- function(name) if (name %in% attr(x, "default")) "; a default, which differs for responses with a family"
  print_lines("Prior of a sparse-factor model, responses and covariates of unit variance:", c(
    residual = paste0(prior_text(x$residual), default("residual")), covariates = prior_text(x$covariates),
    loadings = paste0(prior_text(x$loadings), if (x$loading_scale == "residual") ", times the residual variance of the trait", default("loadings")),
    `means of loadings` = if (!is.null(x$loading_means)) prior_text(x$loading_means), h2 = weights_text(x$h2), `h2 of factors` = weights_text(x$h2_factors),
    coefficients = if (!is.null(x$coefficients)) paste("of families normal, standard deviation", format(x$coefficients))
  ))
  invisible(x)
}

#' @rdname slam_prior
#' @export
print.slam_inverse_gamma <- function(x, ...) {
  cat(prior_text(x), "\n", sep = "")
  invisible(x)
}

#' @rdname mgp
#' @param x a prior of loadings.
#' @param ... not used.
#' @export
print.slam_loadings <- function(x, ...) {
  cat(prior_text(x), "\n", sep = "")
  invisible(x)
}

prior_text <- function(x) {
  if (inherits(x, "slam_inverse_gamma")) {
    several <- function(x) if (length(x) == 1) format(x) else first_names(paste(names(x), format(x, trim = TRUE)))
    if (is.infinite(x$shape[1])) return(paste("known to be", several(x$scale)))
    mean <- if (length(x$shape) == 1 && x$shape > 1) paste0(", mean ", several(signif(x$scale / (x$shape - 1), 3)))
    return(paste0("inverse gamma, shape ", several(x$shape), ", scale ", several(x$scale), mean))
  }
  if (inherits(x, "slam_loading_regression")) return(
    paste0(deparse1(x$formula), if (x$intercept) " and an intercept", ", variances of effects ", prior_text(x$variance))
  )
  pair <- function(x) paste(format(x[[1]]), "and", format(x[[2]]))
  if (x$kind == "horseshoe") return(paste0("horseshoe, p0 = ", format(x$p0), ", deltas inverse gamma of shape and scale ", pair(x$delta)))
  numbers <- x$numbers
  paste0(
    "multiplicative gamma process, nu = ", format(numbers[[1]]), ", shape and rate of the first delta ", pair(numbers[2:3]), ", of the others ",
    pair(numbers[4:5]),
    if (x$truncated) ", these at least 1"
  )
}

# Weights of the proportions, as the function or vector gives them on a grid of four points
weights_text <- function(weight) {
  if (!is.function(weight)) return(paste0("weights ", toString(format(utils::head(weight, 6), digits = 3, trim = TRUE)), if (length(weight) > 6) ", ..."))
  if (!is.null(attr(weight, "point_zero"))) return(sprintf("%s of the weight on 0, the rest uniform", format(attr(weight, "point_zero"))))
  named <- attr(weight, "dirichlet")
  if (!is.null(names(named))) return(paste("Dirichlet distribution of concentrations", toString(paste(names(named), format(named, trim = TRUE, digits = 3)))))
  shapes <- attr(weight, "beta")
  if (!is.null(shapes)) return(paste("beta distribution of shapes", shapes[1], "and", shapes[2]))
  shown <- tryCatch(weight(c(0, 0.25, 0.5, 0.75)), error = function(e) NULL)
  if (is.numeric(shown) && length(unique(shown)) == 1) return("all proportions alike")
  paste("weights by", strtrim(deparse1(weight), 80))
}

# ---- permutations ---------------------------------------------------------------------------------------

#' @rdname fastlmm_permute
#' @param object the value of `fastlmm_permute()`.
#' @export
summary.fastlmm_permute <- function(object, probs = c(0.5, 0.9, 0.95, 0.99), ...) {
  check_arguments(...)
  structure(
    list(
      formula = object$formula, n = length(object$maximum), candidates = object$candidates, df2 = object$df2, range = range(object$maximum),
      quantiles = quantile(object, probs)
    ),
    class = "summary.fastlmm_permute"
  )
}

#' @rdname fastlmm_permute
#' @export
print.summary.fastlmm_permute <- function(x, ...) {
  cat(counted(x$n, "permutation"), " of the null model ", deparse1(x$formula), ", ", counted(x$candidates, "candidate"), "\n", sep = "")
  cat(
    sprintf(
      "Largest F statistics with 1 and %s degrees of freedom, from %s to %s:\n", format(x$df2), format(x$range[1], digits = 4), format(x$range[2], digits = 4)
    )
  )
  print(x$quantiles, row.names = FALSE)
  invisible(x)
}

#' @rdname fastlmm_permute
#' @export
summary.fastlmm_permute_list <- function(object, probs = c(0.5, 0.9, 0.95, 0.99), ...) {
  check_arguments(...)
  structure(lapply(object, summary, probs = probs), class = "summary.fastlmm_permute_list")
}

#' @rdname fastlmm_permute
#' @export
print.summary.fastlmm_permute_list <- function(x, ...) {
  for (name in names(x)) {
    cat("Response ", quoted(name), ": ", sep = "")
    print(x[[name]])
  }
  invisible(x)
}
