# What na.action asks for: at the fit, and of rows of new data.

# A function; NULL leaves everything in, as lm() does.
as_na_action <- function(na.action) {
  if (is.null(na.action)) return(stats::na.pass)
  if (is.function(na.action)) return(na.action)
  found <- if (is.character(na.action) && length(na.action) == 1 && isTRUE(nzchar(na.action))) get0(na.action, envir = globalenv(), mode = "function")
  if (!is.null(found)) return(found)
  abort_fastlmm("na_action", paste0("na.action must be a function, or its name, such as na.omit, na.exclude or na.fail, not ", deparse1(na.action)))
}

# Which rows of new data an answer has: all (na.pass and na.exclude, with NA), the complete ones (na.omit), or an error (na.fail)
answered_rows <- function(complete, na.action, rows) {
  if (all(complete)) return(complete)
  na.action <- as_na_action(na.action)
  if (identical(na.action, stats::na.fail)) {
    abort_fastlmm("missing_values", paste0("missing values in newdata (", rows_at(!complete, rows), ") and na.action = na.fail"))
  }
  left_out <- attr(na.action(data.frame(x = ifelse(complete, 0, NA))), "na.action")
  if (inherits(left_out, "omit")) complete else rep(TRUE, length(complete))
}
