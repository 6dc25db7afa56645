# What a fit looks like at the console, and the pieces that its summary shares.

#' @rdname summary.fastlmm
#' @export
print.fastlmm <- function(x, digits = max(3, getOption("digits") - 3), ...) {
  check_arguments(...)
  print_title(x)
  print_criteria(fit_criteria(x), is_reml(x), 4)
  cat("Random effects:\n")
  print(format_var_corr(VarCorr(x), digits), quote = FALSE)
  print_groups(x)
  if (is_gp_fit(x)) print_lengthscale(x, digits)
  if (has_shares(x)) cat("h2: ", h2_values(x$h2, digits), "\n", sep = "")
  if (has_levels(x)) print_level_shares(x$residual$h2, digits)
  print_fixed(x$coefficients, digits)
  writeLines(as.character(fit_notes(x)))
  invisible(x)
}

# ---- pieces -------------------------------------------------------------------------------------------

print_title <- function(fit) {
  how <- if (is_reml(fit)) "REML" else "maximum likelihood "
  cat("Linear mixed model fit by ", how, " ['fastlmm']\n", sep = "")
  cat("Formula: ", paste(deparse(whole_formula(fit)), collapse = "\n"), "\n", sep = "")
  for (part in c("data", "weights", "offset", "subset")) print_call_part(fit$call, part)
  if (inherits(fit, "fastlmm_gp_mlm")) return(cat("Kernel: ", gp_many_label(fit), "\n", sep = ""))
  random <- fit$random[!duplicated(block_numbers(fit$random))]
  labels <- paste(sub("^\\.row", "rows", names(random)), vapply(random, kernel_label, ""))
  cat(if (length(labels) > 1) "Kernels: " else "Kernel: ", paste(labels, collapse = "\n         "), "\n", sep = "")
}

print_call_part <- function(call, part) {
  value <- call[[part]]
  if (is.null(value)) return(invisible())
  label <- format(paste0(toupper(substring(part, 1, 1)), substring(part, 2), ":"), width = 8, justify = "right")
  cat(label, " ", code_text(value), "\n", sep = "")
}

kernel_label <- function(random) {
  if (is_process(random$kernel)) return(process_label(random$kernel))
  m <- length(random$ids)
  if (is.null(random$kernel)) return(sprintf("(identity %d x %d)", m, m))
  usual <- random$mean_diag >= 0.01 && random$mean_diag < 1e5
  mean_diag <- if (usual) sprintf("%.2f", random$mean_diag) else format(random$mean_diag, digits = 3)
  if (is_lowrank(random$kernel)) return(sprintf("(W %d x %d, mean diag %s)", m, ncol(random$kernel$W), mean_diag))
  name <- if (is_precision(random$kernel)) tolower(precision_name(random$kernel)) else "K"
  sprintf("(%s %d x %d, mean diag %s)", name, m, m, mean_diag)
}

fit_criteria <- function(fit) {
  value <- logLik(fit)
  if (is_reml(fit)) return(c(REML = -2 * as.numeric(value)))
  c(
    AIC = AIC(value), BIC = BIC(value), logLik = as.numeric(value), deviance = -2 * as.numeric(value),
    df.resid = df.residual(fit)
  )
}

print_criteria <- function(criteria, reml, digits) {
  rounded <- round(criteria, digits)
  if (reml) {
    cat("REML criterion at convergence: ", format(rounded), "\n", sep = "")
    return(invisible())
  }
  text <- format(rounded)
  text["df.resid"] <- format(rounded["df.resid"])
  print(text, quote = FALSE)
}

print_groups <- function(fit) {
  random <- fit$random[!duplicated(vapply(fit$random, `[[`, "", "name"))]
  cat("Number of obs: ", fit$nobs, ", groups:  ", paste(vapply(random, group_size, ""), collapse = "; "), "\n", sep = "")
}

group_size <- function(random) {
  if (is_process(random$kernel)) return(paste0(random$name, ", ", format(random$kernel$size), if (random$kernel$route == "exact") " rows" else " functions"))
  m <- length(places_with_data(random))
  unseen <- length(random$ids) - m
  name <- if (identical(random$name, ".row")) "rows" else random$name
  paste0(name, ", ", m, if (unseen > 0) paste0("; ids of K without data: ", unseen))
}

print_fixed <- function(coefficients, digits) {
  if (length(coefficients) == 0) {
    cat("No fixed effect coefficients\n")
    return(invisible())
  }
  cat("Fixed Effects:\n")
  print.default(format(coefficients, digits = digits), print.gap = 2L, quote = FALSE)
}

h2_values <- function(h2, digits) {
  value <- ifelse(is.na(h2), "not defined", format(h2, digits = digits))
  if (length(h2) == 1) value else paste(names(h2), value, collapse = ", ")
}

print_level_shares <- function(h2, digits) {
  if (is.matrix(h2)) cat(sprintf("h2 of %s: %s\n", colnames(h2), apply(h2, 2, h2_values, digits)), sep = "")
  else if (!is.null(h2)) cat("h2: ", h2_values(h2, digits), "\n", sep = "")
}

# What a reader has to know before using the numbers
fit_notes <- function(fit) {
  degenerate <- status_note(fit$status)
  c(
    if (!is.null(fit$given)) given_note(fit$given), if (is.null(degenerate)) boundary_note(fit$optimum), gp_end_note(fit), degenerate,
    optima_note(fit$optimum$local, names(fit$random))
  )
}

given_note <- function(sigma2_e) paste0("The residual variance is known to be ", format(sigma2_e), " over the weights.")

# What it means is said by the message of the fit, and not again at each look.
boundary_note <- function(optimum) {
  what <- c(
    if (length(optimum$zero) > 0) paste("variance 0 of", toString(optimum$zero)),
    if (length(optimum$singular) > 0) paste("singular covariance of", toString(optimum$singular))
  )
  what <- if (length(what) > 0) paste(what, collapse = "; ") else optimum$boundary
  if (optimum$boundary != "none") paste0("Boundary fit: ", what, ". It is valid.")
}

status_note <- function(status) {
  switch(status,
    perfect_fit = "Perfect fit: X explains the response exactly, so h2 is not defined.",
    explained_by_kernel = "The kernel explains the response exactly: unbounded likelihood, estimates in the limit.",
    one_contrast = "Only one contrast is left after X, which any h2 fits equally well: h2 is not defined.",
    confounded = "The kernel is confounded with X: h2 is not defined, the fit is that of lm().",
    ml_border = "The likelihood is unbounded as delta tends to 0; the best interior optimum is reported. REML is bounded."
  )
}

optima_note <- function(local, labels = NULL) {
  if (NROW(local) < 2) return(NULL)
  share <- local[if (length(labels) > 1) paste0("h2.", labels) else "h2"]
  share <- do.call(paste, c(unname(Map(function(h2, name) sprintf("%s = %.4f", name, h2), share, names(share))), sep = ", "))
  places <- sprintf("%s (logLik %.3f)", share, local$logLik)
  paste0("The likelihood has ", nrow(local), " local optima, best first: ", paste(places, collapse = ", "), ".")
}
