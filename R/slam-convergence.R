# Have the chains converged? The worst of what does not depend on signs, order and scale of factors: h2, G, R, rg with what is off the diagonal, and B.

# list(rhat, worst, bulk, tail, shown, all, unjudged, unjudged_names, zero); NULL with too few draws. Of thousands of quantities some hundreds are looked at,
# spread over the responses.
slam_convergence <- function(fit, most = 300) {
  if (count_draws(fit) < 8 * length(fit$draws)) return(NULL)
  table <- invariant_table(fit, 0.9, most = most)
  if (all(is.na(table$rhat))) return(NULL)
  list(
    rhat = max(table$rhat, na.rm = TRUE), worst = table$variable[which.max(table$rhat)], bulk = min(table$ess_bulk, na.rm = TRUE),
    tail = min(table$ess_tail, na.rm = TRUE),
    shown = nrow(table), all = count_invariant(fit), unjudged = sum(not_judged(table)), unjudged_names = table$variable[not_judged(table)],
    zero = if (any(not_judged(table))) zero_variances(fit)
  )
}

# Rows that vary and have no rhat: correlations that are not defined in all draws, as where an effect has no variance
not_judged <- function(table) is.na(table$rhat) & !(table$sd %in% 0 | !is.na(table$sd) & table$sd <= 1e-12 * abs(table$mean))

# Of variances G that are 0 in some draws the part of the draws, by name: what correlations are not defined for
zero_variances <- function(fit) {
  if (!is.null(fit$unidentified)) return(NULL)
  one <- function(effect) {
    all <- h2_draws(with_effect(fit, effect), seq_len(ncol(fit$Y)))
    stats::setNames(rowMeans(all == 0), paste0(of_effect(fit, "G", effect), "[", rownames(all), "]"))
  }
  parts <- unlist(lapply(effect_names(fit), one))
  parts[parts > 0]
}

# Heritabilities, entries of G and R, genetic correlations and coefficients
count_invariant <- function(fit, p = ncol(fit$Y)) {
  b <- length(union(colnames(fit$X), colnames(fit$covariates$XF)))
  covariance <- p * (p + 1) / 2
  b <- b + (count_cis(fit) + if (has_links(fit)) length(link_parameters(fit)) else 0) / p
  if (is.null(fit$unidentified)) p * b + covariance + length(fit$random) * (p + covariance + p * (p - 1) / 2) else p * b + covariance
}

# A row for each of them, or for about `most` of them
invariant_table <- function(fit, level, at = seq_along(fit$scale$sd), most = Inf) {
  b <- length(union(colnames(fit$X), colnames(fit$covariates$XF)))
  apart <- is.null(fit$unidentified)
  if (count_invariant(fit, length(at)) <= most) some <- at
  else some <- at[spread(length(at), max(1, most / 2 / (b + 3)))]
  pairs <- trait_pairs(at)
  off <- which(pairs$first != pairs$second)
  kept <- if (is.infinite(most) || length(some) == length(at)) off else off[spread(length(off), max(1, most / 6))]
  first <- c(some, pairs$first[kept])
  second <- c(some, pairs$second[kept])
  of <- function(what, correlation, first, second, effect = NULL) {
    if (length(first) == 0) return(NULL)
    table <- covariance_table(if (what == "G") with_effect(fit, effect) else fit, what, correlation, first, second, level)
    data.frame(variable = pair_names(of_effect(fit, if (correlation) "rg" else what, effect), table), table[-(1:2)])
  }
  each_effect_of <- function(work) do.call(rbind, lapply(effect_names(fit), work))
  if (!apart) return(rbind(of("P", FALSE, first, second), coefficient_table(fit, some, level), cis_table(fit, some, level), family_table(fit, some, level)))
  rbind(
    each_effect_of(function(effect) slam_h2_table(fit, some, level, effect)), each_effect_of(function(effect) of("G", FALSE, first, second, effect)),
    of("R", FALSE, first, second),
    each_effect_of(function(effect) of("G", TRUE, pairs$first[kept], pairs$second[kept], effect)), coefficient_table(fit, some, level),
    cis_table(fit, some, level), family_table(fit, some, level)
  )
}

# What is an effect's, by name where there are several
of_effect <- function(fit, what, effect) if (is_several(fit) && !is.null(effect)) paste0(what, "_", effect) else what

# Parameters of links: dispersions and gaps between cut points
family_table <- function(fit, at, level) {
  if (!has_links(fit) || length(link_parameters(fit)) == 0) return(NULL)
  wanted <- unlist(link_places(fit)[colnames(fit$Y)[at]], use.names = FALSE)
  if (length(wanted) == 0) return(NULL)
  data.frame(variable = link_parameters(fit)[wanted], judged(fit, t(link_values(fit)[wanted, , drop = FALSE]), level))
}

pair_names <- function(what, table) {
  same <- table$response1 == table$response2
  paste0(what, "[", table$response1, ifelse(same, "", paste0(",", table$response2)), "]")
}

slam_h2_table <- function(fit, at, level, effect) {
  all <- h2_draws(with_effect(fit, effect), at)
  data.frame(variable = paste0(of_effect(fit, "h2", effect), "[", rownames(all), "]"), judged(fit, t(all), level))
}

coefficient_table <- function(fit, at, level) {
  all <- each_draw(fit, function(d) total_fixed(fit, d)[, at, drop = FALSE])
  if (length(all) == 0) return(NULL)
  names <- sprintf("B[%s,%s]", rep(rownames(all), length(at)), rep(colnames(fit$Y)[at], each = nrow(all)))
  data.frame(variable = names, judged(fit, t(matrix(all, length(names))), level))
}

# Whole numbers from 1 to n, evenly apart
spread <- function(n, count) unique(round(seq(1, n, length.out = min(n, max(1, floor(count))))))

# ---- in words --------------------------------------------------------------------------------------------------

convergence_text <- function(fit, found) {
  some <- if (found$shown < found$all) sprintf(" (%s of %s)", format(found$shown), format(found$all, big.mark = ","))
  paste0(
    "Convergence of ", if (is.null(fit$unidentified)) "h2, G, R, rg" else "P", " and B", some, ": worst rhat ", shown_rhat(found$rhat),
    " of ", found$worst,
    "; smallest effective sample size ", round(found$bulk), " in the bulk, ", round(found$tail), " in the tails",
    # fits of before have no such number
    if (isTRUE(found$unjudged > 0)) unjudged_text(found)
  )
}

# Rounded to three digits, but never to the limit that it exceeds
shown_rhat <- function(rhat) {
  if (rhat > 1.05 && signif(rhat, 3) <= 1.05) format(max(ceiling(rhat * 1000) / 1000, 1.051), digits = 4) else format(rhat, digits = 3, nsmall = 2)
}

# Which quantities have no rhat, and whose variances are the reason
unjudged_text <- function(found) {
  names <- if (is.null(found$unjudged_names)) "" else paste0(": ", first_names(found$unjudged_names))
  zero <- sort(found$zero, decreasing = TRUE)
  zero <- paste0(utils::head(paste0(names(zero), " is 0 in ", shown_percent(zero), " of the draws", recycle0 = TRUE), 3), collapse = ", ")
  why <- if (nzchar(zero)) paste0(
    "a correlation is not defined where a variance is 0, and ", zero, if (length(found$zero) > 3) ", ..."
  ) else "not defined in all draws, as a correlation where a variance is 0"
  sprintf("; %s not judged%s (%s; rhat is NA in summary(fit)$table)", counted(found$unjudged, "quantity", "quantities"), names, why)
}

shown_percent <- function(part) if (length(part) == 0) character() else paste(format(signif(100 * part, 2), trim = TRUE, drop0trailing = TRUE), "%")

# What to do; NULL where all is well
convergence_advice <- function(fit, found) {
  chains <- length(fit$draws)
  if (found$rhat > 1.05) {
    return(
      sprintf(
        "The chains have not converged (rhat above 1.05): extend(fit, iter = %s) at least, or fit with a longer warmup, before the numbers are used",
        format(iterations_needed(fit, found), big.mark = "")
      )
    )
  }
  if (min(found$bulk, found$tail) >= 100 * chains) return(NULL)
  sprintf(
    "Fewer than %d effective draws, 100 a chain: extend(fit, iter = %s) for reliable intervals", 100L * chains,
    format(iterations_needed(fit, found), scientific = FALSE)
  )
}

# Iterations until each quantity has 100 effective draws a chain, at the rate so far, in two digits; where chains differ, as many again at least.
iterations_needed <- function(fit, found) {
  sampled <- fit$done - fit$plan$warmup
  smallest <- max(1, min(found$bulk, found$tail))
  more <- sampled * (100 * length(fit$draws) / smallest - 1)
  more <- max(more, if (found$rhat > 1.05) sampled else 0)
  unit <- 10^max(1, floor(log10(more)) - 1)
  ceiling(more / unit) * unit
}

print_convergence <- function(fit) {
  found <- if (is.null(fit$convergence)) slam_convergence(fit) else fit$convergence
  if (is.null(found)) return(cat("Convergence is not judged: there are too few draws\n"))
  cat("\n", convergence_text(fit, found), "\n", sep = "")
  advice <- convergence_advice(fit, found)
  if (!is.null(advice)) cat(advice, "\n", sep = "")
}

# At the end of a run: what is not well; all of it if the user asked for messages
tell_convergence <- function(fit) {
  found <- fit$convergence
  if (is.null(found)) return(invisible())
  advice <- convergence_advice(fit, found)
  if (is.null(advice) && !fit$control$verbose) return(invisible())
  inform_fastlmm(
    "convergence", paste(c(convergence_text(fit, found), advice), collapse = "\n"), rhat = found$rhat, ess = c(bulk = found$bulk, tail = found$tail)
  )
}
