# Quantities that do not depend on signs, order and scale of factors: their names, which kinds there are, and their draws, of those that are chosen.
#
# A kind is what stands before the bracket of a name. It has the `count` of its quantities, and names(which) and draws(which) of some of these, quantities x
# draws: of p responses there are p^2 covariances, so that
# neither is made of more than is chosen.

# By name of the kind; `at`: responses
quantity_kinds <- function(fit, at) {
  effects <- if (is.null(fit$unidentified)) effect_names(fit)
  of_effects <- function(what) structure(
    lapply(effects, function(effect) effect_kind(fit, what, effect, at)), names = vapply(effects, of_effect, "", fit = fit, what = what)
  )
  total <- list(P = pair_kind(fit, "P", at), rp = pair_kind(fit, "rp", at))
  own <- if (!is.null(effects)) list(R = pair_kind(fit, "R", at), re = pair_kind(fit, "re", at))
  Filter(function(kind) kind$count > 0, c(of_effects("h2"), of_effects("G"), own, total, of_effects("rg"), list(B = fixed_kind(fit, at)), link_kinds(fit, at)))
}

# Of names that are few
named_kind <- function(names, draws) list(count = length(names), names = function(which) names[which], draws = draws)

effect_kind <- function(fit, what, effect, at) {
  own <- with_effect(fit, effect)
  if (what != "h2") return(pair_kind(own, what, at, of_effect(fit, what, effect)))
  named_kind(paste0(of_effect(fit, what, effect), "[", colnames(fit$Y)[at], "]"), function(which) h2_draws(own, at[which]))
}

# Covariances; or correlations, which have no diagonal. Pairs are in the order of trait_pairs(), a number each; `diagonal`: which of them are variances;
# `turned`: names of the other order
pair_kind <- function(fit, what, at, name = what) {
  correlation <- what %in% c("rg", "re", "rp")
  of <- if (correlation) c(rg = "G", re = "R", rp = "P")[[what]] else what
  responses <- colnames(fit$Y)[at]
  last <- length(at) - correlation
  named <- function(pair) pair_names(name, list(response1 = responses[pair$first], response2 = responses[pair$second]))
  list(
    count = last * (last + 1) / 2, names = function(which) named(pair_of(which, correlation)),
    turned = function(which) named(stats::setNames(pair_of(which, correlation), c("second", "first"))),
    diagonal = if (!correlation) seq_len(last) * (seq_len(last) + 1) / 2,
    draws = function(which) {
      pair <- pair_of(which, correlation)
      pair_draws(fit, of, correlation, at[pair$first], at[pair$second])
    }
  )
}

# Numbers of pairs, columns of the upper triangle one after the other
pair_of <- function(which, without_diagonal) {
  second <- ceiling((sqrt(8 * which + 1) - 1) / 2)
  list(first = which - second * (second - 1) / 2, second = second + without_diagonal)
}

# Pairs x draws
pair_draws <- function(fit, what, correlation, first, second) {
  share <- switch(what, G = identity, R = function(h) 1 - h, P = function(h) rep(1, length(h)))
  unit <- if (what == "G" && !correlation) fit$basis$mean_diag else 1
  one <- function(d) {
    of <- function(first, second) rowSums(
      d$Lambda[first, , drop = FALSE] * d$Lambda[second, , drop = FALSE] * rep(share(d$hF), each = length(first))
    ) + (first == second) * share(d$h[first]) * d$sigma2[first]
    value <- unname(of(first, second))
    if (correlation) value / unname(sqrt(of(first, first) * of(second, second))) else value / unit
  }
  matrix(each_draw(fit, one), length(first))
}

fixed_kind <- function(fit, at) {
  responses <- colnames(fit$Y)[at]
  coefficients <- union(colnames(fit$X), colnames(fit$covariates$XF))
  names <- if (length(coefficients) > 0) sprintf("B[%s,%s]", rep(coefficients, length(at)), rep(responses, each = length(coefficients)))
  own <- which(fit$cis$response %in% responses)
  draws <- function(which) {
    shared <- which[which <= length(names)]
    all <- if (length(shared) > 0) matrix(each_draw(fit, function(d) total_fixed(fit, d)[, at][shared]), length(shared))
    single <- own[which[which > length(names)] - length(names)]
    rbind(all, if (length(single) > 0) t(cis_draws(fit)[, single, drop = FALSE]))[order(order(which > length(names))), , drop = FALSE]
  }
  named_kind(c(names, if (length(own) > 0) sprintf("B[%s]", cis_names(fit)[own])), draws)
}

# Parameters of links: dispersions, gaps between cut points, noise of probes and of curves
link_kinds <- function(fit, at) {
  if (!has_links(fit) || length(link_parameters(fit)) == 0) return(NULL)
  wanted <- unlist(link_places(fit)[colnames(fit$Y)[at]], use.names = FALSE)
  names <- link_parameters(fit)[wanted]
  one <- function(of) named_kind(names[of], function(which) link_values(fit)[wanted[of][which], , drop = FALSE])
  lapply(split(seq_along(names), factor(sub("\\[.*", "", names), unique(sub("\\[.*", "", names)))), one)
}

# ---- what is chosen ---------------------------------------------------------------------------------------------

# A row for each quantity, with its `kind` and its number there (`which`), in the order of `variable`; NULL: what takes no more than the draws themselves
chosen_variables <- function(fit, kinds, variable, regex) {
  if (is.null(variable)) return(cheap_variables(fit, kinds))
  if (!is.character(variable) || anyNA(variable) || length(variable) == 0) abort_variable(
    paste("variable must be names of quantities or of their kinds, as \"G\" or \"h2[y]\", not", code_text(variable))
  )
  found <- lapply(variable, if (regex) match_pattern else match_variable, kinds = kinds, fit = fit)
  unique(do.call(rbind, found))
}

# Variances without what is off the diagonal; of a fit of which the effect cannot be told P in place of G and R
cheap_variables <- function(fit, kinds) {
  left_out <- c("re", "rp", vapply(effect_names(fit), of_effect, "", fit = fit, what = "rg"), if (is.null(fit$unidentified)) "P")
  kinds <- kinds[setdiff(names(kinds), left_out)]
  some <- lapply(kinds, function(kind) if (is.null(kind$diagonal)) seq_len(kind$count) else kind$diagonal)
  data.frame(kind = rep(names(kinds), lengths(some)), which = as.numeric(unlist(some)))
}

whole_kind <- function(kinds, name) {
  count <- kinds[[name]]$count
  # as many responses as G() gives together
  if (count > 2001000) abort_fastlmm("memory", paste0(name, " has ", format(count, big.mark = ","), " quantities; give traits = with at most 2000 responses"))
  data.frame(kind = rep(name, count), which = as.numeric(seq_len(count)))
}

# A kind, a kind of all effects, the parameters of all links, or one quantity, whose responses may be in the other order
match_variable <- function(variable, kinds, fit) {
  several <- if (is_several(fit) && variable %in% c("h2", "G", "rg")) vapply(effect_names(fit), of_effect, "", fit = fit, what = variable)
  whole <- intersect(c(variable, several, if (variable == "parameters") sub("\\[.*", "", link_parameters(fit))), names(kinds))
  if (length(whole) > 0) return(do.call(rbind, lapply(whole, whole_kind, kinds = kinds)))
  name <- sub("\\[.*", "", variable)
  one <- if (name %in% names(kinds)) find_quantity(kinds, name, variable)
  if (is.null(one)) abort_no_variable(variable, kinds) else one
}

find_quantity <- function(kinds, name, variable) {
  all <- whole_kind(kinds, name)
  kind <- kinds[[name]]
  at <- which(kind$names(all$which) == variable)
  if (length(at) == 0 && !is.null(kind$turned)) at <- which(kind$turned(all$which) == variable)
  if (length(at) == 0 && !is.null(kind$diagonal)) at <- kind$diagonal[match(variable, sub("\\[(.*)\\]$", "[\\1,\\1]", kind$names(kind$diagonal)))]
  if (length(at) > 0 && !anyNA(at)) all[at, ]
}

abort_no_variable <- function(variable, kinds) {
  few <- unlist(lapply(kinds, function(kind) kind$names(seq_len(min(200, kind$count)))), use.names = FALSE)
  near <- did_you_mean(variable, c(names(kinds), few))
  abort_variable(
    paste0(
      "there is no ", quoted(variable), " among the draws",
      if (nzchar(near)) near else paste0("; there are ", toString(names(kinds)), ", and each by its name, as ", quoted(few[1]))
    )
  )
}

match_pattern <- function(variable, kinds, fit) {
  wrong <- function(condition) abort_variable(paste0(quoted(variable), " is no regular expression"))
  one <- function(name) {
    all <- whole_kind(kinds, name)
    all[tryCatch(grep(variable, kinds[[name]]$names(all$which), perl = TRUE), error = wrong, warning = wrong), ]
  }
  found <- do.call(rbind, lapply(names(kinds), one))
  if (nrow(found) == 0) abort_variable(
    paste0("no quantity has a name like ", quoted(variable), "; there are ", toString(names(kinds)), ", as ", quoted(kinds[[1]]$names(1)))
  )
  found
}

abort_variable <- function(message) abort_fastlmm("variable", message)

# iterations x chains x variables
invariant_draws <- function(fit, traits = NULL, variable = NULL, regex = FALSE) {
  check_has_draws(fit)
  kinds <- quantity_kinds(fit, trait_index(fit, traits))
  chosen <- chosen_variables(fit, kinds, variable, regex)
  check_variables_memory(nrow(chosen), count_draws(fit))
  groups <- split(seq_len(nrow(chosen)), factor(chosen$kind, unique(chosen$kind)))
  all <- matrix(0, nrow(chosen), count_draws(fit))
  names <- character(nrow(chosen))
  for (kind in names(groups)) {
    rows <- groups[[kind]]
    all[rows, ] <- kinds[[kind]]$draws(chosen$which[rows])
    names[rows] <- kinds[[kind]]$names(chosen$which[rows])
  }
  chains <- fit$plan$chains
  size <- c(length(names), ncol(all) / chains, chains)
  array(aperm(array(all, size), c(2, 3, 1)), size[c(2, 3, 1)], list(NULL, NULL, variable = names))
}

check_variables_memory <- function(variables, count, available = available_memory()) {
  check_memory(3 * 8 * as.numeric(variables) * count, function(needed, available) {
    paste0(
      counted(count, "draw"), " of ", counted(variables, "quantity", "quantities"), " would take ", needed, " and there are ", available,
      "; give traits = or variable = for some of them"
    )
  }, available)
}
