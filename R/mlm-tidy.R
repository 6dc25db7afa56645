# Fits of many responses as data frames: the columns of tidy.fastlmm(), after the response.

#' @rdname summary.fastlmm_mlm
#' @export
tidy.fastlmm_mlm <- function(x, ...) {
  check_arguments(...)
  each <- function(value) matrix(value, ncol = length(x$logLik))
  sigma2 <- each(x$sigma2)
  h2 <- each(x$h2)
  se <- each(x$se$h2)
  groups <- names(x$random)
  pars <- unlist(lapply(seq_along(groups), function(i) {
    list(many_pars(x, groups[i], "sd__(Intercept)", sqrt(sigma2[i, ]), NA_real_), many_pars(x, groups[i], "h2", h2[i, ], se[i, ]))
  }), recursive = FALSE)
  tidy_many(x, c(pars, list(many_pars(x, "Residual", "sd__Observation", sqrt(x$sigma2_e), NA_real_))))
}

# A parameter of each response
many_pars <- function(fit, group, term, estimate, se) {
  data.frame(
    response = names(fit$logLik), effect = "ran_pars", group = group, term = term, estimate = unname(estimate), std.error = unname(se), statistic = NA_real_
  )
}

# The fixed effects and then `pars`, response by response
tidy_many <- function(fit, pars) {
  responses <- names(fit$logLik)
  se <- coefficient_errors(fit)
  fixed <- lapply(fit$kept, function(term) {
    value <- unname(fit$coefficients[term, ])
    error <- unname(se[term, ])
    data.frame(response = responses, effect = "fixed", group = NA_character_, term = term, estimate = value, std.error = error, statistic = value / error)
  })
  rows <- do.call(rbind, c(fixed, pars))
  structure(rows[order(match(rows$response, responses)), ], row.names = seq_len(nrow(rows)))
}

#' @rdname summary.fastlmm_mlm
#' @export
glance.fastlmm_mlm <- function(x, ...) {
  check_arguments(...)
  out <- data.frame(response = names(x$logLik), nobs = x$nobs, sigma = sqrt(x$sigma2_e), logLik = x$logLik, AIC = AIC(x), BIC = BIC(x))
  if (is_reml(x)) out$REMLcrit <- -2 * x$logLik
  share <- if (is.null(x$fsv)) colSums(matrix(x$h2, ncol = nrow(out))) else x$fsv
  structure(cbind(out, h2 = unname(share), method = x$method, status = unname(x$status)), row.names = seq_len(nrow(out)))
}

#' @rdname summary.fastlmm_mlm
#' @export
augment.fastlmm_mlm <- function(x, ...) abort_one_by_one("augment", "fitted() and residuals() are available for all")

#' @rdname summary.fastlmm_mlm
#' @export
profile.fastlmm_mlm <- function(fitted, ...) abort_one_by_one("profile", "confint() gives intervals for all")
