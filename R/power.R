#' Power of the test of a fixed effect, by simulation
#'
#' Draws responses from the fit with the effect as estimated, or as given, refits the model by REML to each, and counts how often the Wald test
#' of the term rejects. With `n` the study has another number of ids: fewer are sampled from those of the fit, with all of their rows; more,
#' where there is no kernel, are obtained by repeating them in order as new ids. All draws for one `n` share one decomposition.
#'
#' The test is that of `summary(fit, df = "kenward-roger")`, with the degrees of freedom of the design at the variances of the fit; for terms
#' of several columns it is of Satterthwaite's form (Fai and Cornelius 1996). With `effect = 0` the result is the actual size (type I error
#' rate) of the test.
#'
#' With several random effects each draw is fitted separately and tested as in [contest()], with its own degrees of freedom; the study then has
#' the ids of the fit, and the fits are distributed over the processes of a [future::plan()].
#'
#' @param object a fit by [fastlmm_fit()] without [gp()], with one residual variance that is estimated; others are refused (error
#'   `fastlmm_error_power`). A number is passed on to [stats::power()], which makes link functions.
#' @param term label of a fixed-effect term, or name of a coefficient.
#' @param n numbers of ids, one study for each; `NULL`: that of the fit, the only choice with several random effects.
#' @param R number of draws for each study.
#' @param effect coefficients of the term, one number for each or one for all; `NULL`: those of the fit.
#' @param alpha significance level of the test.
#' @param seed a number that makes the result reproducible; the state of R's generator is restored.
#' @param progress show a progress bar over the values of `n`?
#' @param ... of `plot()`, passed to [plot()]; else not used: an unknown argument is an error.
#' @return A data frame with a row for each `n`: `n`, `rows` (of data), `df` (of the test), `power`, and its exact 95 percent confidence
#'   interval `conf.low`, `conf.high`. `plot()` and `autoplot()` draw power against `n`, with the intervals and a line at 0.8.
#' @seealso [bootstrap()]
#' @examples
#' fit <- fastlmm_fit(distance ~ age + Sex + (1 | Subject), nlme::Orthodont)
#' found <- power(fit, "Sex", n = c(15, 27, 60), R = 200, seed = 1)
#' found
#' plot(found)
#' # level of the test
#' power(fit, "Sex", effect = 0, R = 200, seed = 1)
#'
#' # several random effects and another number of ids: 60 new children, simulated by their rows
#' both <- fastlmm_fit(distance ~ age + Sex + (1 | Subject) + (0 + age | Subject), nlme::Orthodont)
#' new <- expand.grid(age = c(8, 10, 12, 14), Subject = paste0("new", 1:60))
#' new$Sex <- factor(ifelse(as.integer(new$Subject) <= 30, "Male", "Female"), c("Male", "Female"))
#' y <- simulate(both, 20, seed = 1, newdata = new)
#' p <- vapply(y, function(one) {
#'   again <- fastlmm_fit(one ~ age + Sex + (1 | Subject) + (0 + age | Subject), cbind(new, one = one))
#'   contest(again, c(0, 0, 1), ddf = "kenward-roger")[["Pr(>F)"]]
#' }, 0)
#' mean(p < 0.05)
#' @export
power <- function(object, ...) UseMethod("power")

#' @rdname power
#' @export
power.default <- function(object, ...) {
  if (missing(object) || is.numeric(object)) return(if (missing(object)) stats::power(...) else stats::power(object, ...))
  abort_fastlmm("not_a_fit", paste("power() needs a fit by fastlmm_fit(), not an object of class", class(object)[1]))
}

#' @rdname power
#' @export
power.fastlmm_mlm <- function(object, ...) abort_one_by_one("power")

#' @rdname power
#' @export
power.fastlmm <- function(object, term, n = NULL, R = 1000, effect = NULL, alpha = 0.05, seed = NULL, progress = interactive(), ...) {
  check_arguments(...)
  fit <- if (is.null(n)) object else with_spectrum(object)
  check_power(fit, R)
  check_level(alpha, "alpha")
  columns <- columns_of_term(fit, term)
  beta <- beta_of_power(fit, columns, effect)
  if (!shares_rotation(fit)) return(power_by_refits(fit, columns, beta, n, R, alpha, seed, isTRUE(progress)))
  sizes <- wanted_sizes(fit, n)
  R <- check_nsim(R, fit$nobs * max(sizes) / length(fit$random[[1]]$index))
  state <- seed_generator(seed)
  on.exit(state$restore())
  found <- in_turn(seq_along(sizes), function(i) power_of_size(fit, sizes[i], columns, beta, R, alpha), rep(R, length(sizes)), isTRUE(progress))
  new_power(do.call(rbind, found))
}

new_power <- function(table) structure(table, class = c("fastlmm_power", "data.frame"))

check_power <- function(fit, R) {
  if (!is_count(R)) abort_fastlmm("argument", paste("R must be a whole number of at least 1, not", code_text(R)))
  reason <- if (is_gp_fit(fit) || has_levels(fit) || !is.null(fit$given)) {
    "it is available for fits without gp() with one residual variance that is estimated; for others use simulate(), refit() and drop1()"
  } else if (fit$status != "ok") {
    paste0("the fit is ", quoted(fit$status))
  }
  if (!is.null(reason)) abort_fastlmm("power", paste("power is not available for this fit:", reason))
}

# With several effects each draw is a fit, and has its own degrees of freedom.
power_by_refits <- function(fit, columns, beta, n, R, alpha, seed, progress) {
  m <- length(fit$random[[1]]$index)
  if (!is.null(n) && !(length(n) == 1 && isTRUE(n == m))) abort_fastlmm(
    "n",
    paste0(
      "with several random effects the study has the ids of the fit: leave n out. Another study is simulated by its rows, y <- simulate(fit, 1000, newdata = ",
      "new), each column fitted and tested by contest(); see the example of ?power"
    )
  )
  R <- check_nsim(R, fit$nobs)
  model <- stored_model(fit)
  model$method <- "REML"
  base <- quiet_fit(estimate(model))
  L <- diag(fit$rank)[columns, , drop = FALSE]
  test <- function(fit) as.data.frame(contest(fit, L, ddf = "kenward-roger"))
  state <- seed_generator(seed)
  on.exit(state$restore())
  Y <- drop(own_columns(fit) %*% beta) + fit$offset + residual_draws(fit, R) + random_draws(fit, R, rep(TRUE, length(fit$random)))
  p <- statistics(function(i) test(refit(base, Y[, i]))[["Pr(>F)"]], R, 0, progress)
  found <- stats::binom.test(sum(p <= alpha, na.rm = TRUE), R)
  new_power(data.frame(
    n = m, rows = fit$nobs, df = test(base)$DenDF, power = unname(found$estimate), conf.low = found$conf.int[1], conf.high = found$conf.int[2]
  ))
}

#' @rdname power
#' @param x the value of `power()`; of `autoplot()` it is `object`.
#' @param xlab,ylab labels.
#' @export
plot.fastlmm_power <- function(x, xlab = "Number of ids", ylab = "Power", ...) {
  read_arguments()
  x <- drawn_power(x)
  usual <- list(type = "n", xlab = xlab, ylab = ylab, ylim = c(0, 1), xlim = range(x$n) + if (nrow(x) == 1) c(-1, 1) else 0, las = 1)
  do.call(plot, c(list(x$n, x$power), utils::modifyList(usual, list(...))))
  abline(h = 0.8, lty = 3)
  graphics::segments(x$n, x$conf.low, x$n, x$conf.high, col = "grey50", lwd = 1.5)
  lines(x$n, x$power, col = genotype_colours[1])
  points(x$n, x$power, pch = 19, col = genotype_colours[1])
  invisible(x)
}

#' @rdname power
#' @exportS3Method ggplot2::autoplot fastlmm_power
autoplot.fastlmm_power <- function(object, ...) {
  check_arguments(...)
  frame <- as.data.frame(drawn_power(object))
  gg("ggplot", frame, gg_columns(x = "n", y = "power")) + gg("geom_hline", yintercept = 0.8, linetype = 3) +
    gg("geom_linerange", gg_columns(ymin = "conf.low", ymax = "conf.high"), colour = "grey50") +
    (if (nrow(frame) > 1) gg("geom_line", colour = genotype_colours[1])) + gg("geom_point", colour = genotype_colours[1]) +
    gg("coord_cartesian", ylim = c(0, 1)) + gg("labs", x = "Number of ids", y = "Power") + gg("theme_minimal")
}

# By increasing n
drawn_power <- function(x) {
  needed <- c("n", "power", "conf.low", "conf.high")
  if (!all(needed %in% names(x)) || nrow(x) == 0) abort_fastlmm("power", paste("the picture needs rows and the columns", toString(needed), "of power()"))
  x[order(x$n), ]
}

# Among the coefficients that are kept
columns_of_term <- function(fit, term) {
  labels <- attr(fit$terms, "term.labels")
  names <- names(fit$coefficients)[fit$kept]
  if (is.character(term) && length(term) == 1 && term %in% labels) return(which(attr(fixed_design(fit), "assign")[fit$kept] == match(term, labels)))
  if (is.character(term) && length(term) == 1 && term %in% names) return(match(term, names))
  abort_fastlmm(
    "term",
    paste0("term must be the label of a term or the name of a coefficient, not ", code_text(term), "; there are ", first_names(unique(c(labels, names))))
  )
}

beta_of_power <- function(fit, columns, effect) {
  beta <- fit$coefficients[fit$kept]
  if (is.null(effect)) return(beta)
  if (!is.numeric(effect) || !all(is.finite(effect)) || !length(effect) %in% c(1, length(columns))) {
    abort_fastlmm("argument", paste0("effect must be finite numbers, one or ", length(columns), ", not ", code_text(effect)))
  }
  replace(beta, columns, effect)
}

wanted_sizes <- function(fit, n) {
  random <- fit$random[[1]]
  m <- length(random$index)
  if (is.null(n)) return(m)
  if (!is.numeric(n) || length(n) == 0 || !all(vapply(n, is_count, NA)) || any(n > 1e7)) abort_fastlmm(
    "n", paste("n must be whole numbers of ids, not", code_text(n))
  )
  if (any(n > m) && !is.null(random$kernel)) abort_fastlmm("n", sprintf("n can be at most the %d ids with data: the kernel has no further ones", m))
  n
}

power_of_size <- function(fit, size, columns, beta, R, alpha) {
  model <- model_of_size(fit, size)
  rank <- qr(model$X, tol = 1e-7)$rank
  if (rank < ncol(model$X)) abort_fastlmm("n", sprintf("with %d ids the fixed effects are rank deficient: a level of a factor has no rows", size))
  mean <- drop(model$X %*% beta) + model$offset
  Y <- mean + sqrt(fit$sigma2_e / model_weights(model)) * matrix(rnorm(length(mean) * R), ncol = R) + effect_draws(model$random[[1]], fit$sigma2[[1]], R)
  dimnames(Y) <- list(NULL, paste0("sim_", seq_len(R)))
  many <- quiet_fit(fit_responses(model, Y))
  df <- df_of_design(model, Y[, 1], columns, fit)
  p <- vapply(seq_len(R), function(i) wald_p(many$coefficients[columns, i], matrix(many$vcov[columns, columns, i], length(columns)), df), 0)
  found <- stats::binom.test(sum(p <= alpha, na.rm = TRUE), R)
  data.frame(n = size, rows = length(mean), df = df, power = unname(found$estimate), conf.low = found$conf.int[1], conf.high = found$conf.int[2])
}

wald_p <- function(b, vcov, df) {
  root <- tryCatch(chol(vcov), error = function(e) NULL)
  if (is.null(root)) return(NA_real_)
  stats::pf(sum(backsolve(root, b, transpose = TRUE)^2) / length(b), length(b), df, lower.tail = FALSE)
}

# The model with other ids: some of those of the fit, or each of them several times
model_of_size <- function(fit, size) {
  model <- stored_model(fit)
  model$method <- "REML"
  model$X <- model$X[, fit$kept, drop = FALSE]
  random <- model$random[[1]]
  m <- length(random$index)
  if (size == m) return(model)
  chosen <- if (size < m) sort(sample.int(m, size)) else rep_len(seq_len(m), size)
  rows_of <- split(seq_along(random$group), random$group)[chosen]
  rows <- unlist(rows_of, use.names = FALSE)
  random$index <- if (is.null(random$kernel)) seq_along(chosen) else random$index[chosen]
  if (is.null(random$kernel)) random$ids <- paste0("id", seq_along(chosen))
  random$group <- rep(seq_along(chosen), lengths(rows_of))
  random$z <- random$z[rows]
  model$random[[1]] <- random
  model$X <- model$X[rows, , drop = FALSE]
  model$frame <- model$frame[rows, , drop = FALSE]
  model$offset <- model$offset[rows]
  if (!is.null(model$weights)) model$weights <- model$weights[rows]
  model
}

# Kenward and Roger's by the expected information, which does not depend on the response, at the variances that are drawn from
df_of_design <- function(model, y, columns, fit) {
  model$y <- unname(y)
  at <- quiet_fit(estimate(model, spectrum = TRUE))
  n <- length(y)
  if (fit$sigma2 == 0 || fit$sigma2_e == 0) return(n - at$rank)
  at[c("sigma2", "sigma2_e")] <- fit[c("sigma2", "sigma2_e")]
  uncertainty <- rotated_uncertainty(at, "kenward-roger", "REML")
  L <- diag(at$rank)[columns, , drop = FALSE]
  vectors <- eigen(contrast_tests(uncertainty, L)$vcov, symmetric = TRUE)$vectors
  combined_df(contrast_tests(uncertainty, t(vectors) %*% L)$df)
}

# Fai and Cornelius: of a sum of squared t statistics
combined_df <- function(df) {
  if (length(df) == 1) return(df)
  expected <- sum(ifelse(df > 2, df / (df - 2), Inf))
  if (is.finite(expected) && expected > length(df)) 2 * expected / (expected - length(df)) else min(df)
}
