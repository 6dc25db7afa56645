# Contributions of single terms to predictions, as predict.lm(type = "terms") has them, and of random effects beside them.

# `of_random`: predictions of the effects of a formula of random terms
predict_terms <- function(fit, newdata, re.form, terms, se.fit, interval, level, random.only, na.action, of_random) {
  if (interval == "prediction") abort_interval("a term is not a response; use interval = \"confidence\"")
  fixed <- if (random.only) list() else fixed_contributions(fit, newdata)
  asked <- random_contributions(fit, re.form)
  wanted <- wanted_terms(terms, c(names(fixed$columns), names(asked)))
  fixed_asked <- intersect(wanted, names(fixed$columns))
  parts <- c(fixed$columns[fixed_asked], lapply(asked[setdiff(wanted, fixed_asked)], of_random))[wanted]
  rows <- if (is.null(newdata)) length(residuals(fit)) else nrow(as_data_frame(newdata))
  names <- if (is.null(newdata)) names(residuals(fit)) else rownames(as_data_frame(newdata))
  table <- function(what) matrix(vapply(parts, function(part) as.numeric(part[[what]]), numeric(rows)), rows, dimnames = list(names, wanted))
  value <- table("fit")
  complete <- rowSums(is.na(value)) == 0
  rows_left <- if (is.null(newdata)) rep(TRUE, rows) else answered_rows(complete, na.action, names)
  cut <- function(x) structure(x[rows_left, , drop = FALSE], constant = if (random.only) 0 else fixed$constant)
  if (!se.fit && interval == "none") return(cut(value))
  errors <- table("se.fit")
  found <- list(fit = cut(value))
  if (se.fit) found <- c(found, list(se.fit = errors[rows_left, , drop = FALSE], df = fit$nobs - fit$rank, residual.scale = sigma(fit)))
  if (interval == "none") return(found)
  half <- stats::qt((1 + level) / 2, fit$nobs - fit$rank) * errors
  c(found, list(lwr = (value - half)[rows_left, , drop = FALSE], upr = (value + half)[rows_left, , drop = FALSE]))
}

# What predict() gives, with or without standard errors
as_part <- function(value) if (is.list(value)) value else list(fit = value)

wanted_terms <- function(terms, known) {
  if (is.null(terms)) return(known)
  at <- if (is.character(terms)) match(terms, known) else match(terms, seq_along(known))
  if (length(at) == 0 || anyNA(at)) abort_fastlmm(
    "terms", paste0("terms must name terms of the fit or give their numbers, not ", code_text(terms), "; there are ", first_names(known))
  )
  known[at]
}

# About their means in the rows of the fit, if there is an intercept; the offset is in none of them.
fixed_contributions <- function(fit, newdata) {
  design <- if (is.null(newdata)) fit_targets(fit, list()) else forge_design(fit, newdata, list())
  own <- fixed_design(fit)
  assign <- attr(own, "assign")[fit$kept]
  own <- own[, fit$kept, drop = FALSE]
  centre <- if (any(assign == 0)) colMeans(own) else numeric(ncol(own))
  X <- sweep(design$X[, fit$kept, drop = FALSE], 2, centre)
  beta <- fit$coefficients[fit$kept]
  labels <- attr(fit$terms, "term.labels")
  one <- function(k) {
    columns <- which(assign == k)
    lapply(list(
      fit = X[, columns, drop = FALSE] %*% beta[columns],
      se.fit = sqrt(pmax(quadratic(X[, columns, drop = FALSE], fit$vcov[columns, columns, drop = FALSE]), 0))
    ), function(value) napredict(design$na.action, drop(value)))
  }
  list(columns = structure(lapply(seq_along(labels), one), names = labels), constant = sum(centre * beta))
}

# Of the effects that re.form leaves: formulas that ask predict() for each term; NULL asks for the effect of a kernel over rows.
random_contributions <- function(fit, re.form) {
  random <- if (is_gp_fit(fit)) fit$random[gp_wanted(fit, re.form)] else wanted_random(fit, re.form)
  text <- vapply(random, function(one) {
    if (is.null(one$expr)) "kernel" else if (is_process(one$kernel)) deparse1(one$expr) else paste0("(", left_text(one), " | ", deparse1(one$expr), ")")
  }, "")
  text <- unique(unname(text))
  structure(lapply(text, function(term) if (term != "kernel") stats::as.formula(paste("~", term), globalenv())), names = sub("^\\((.*)\\)$", "\\1", text))
}
