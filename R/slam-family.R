# What stands between data and traits in slamglmm_fit(): families of responses. A family is an entry here and a file of the core.

#' Families of responses
#'
#' Families for the argument `family` of [slamglmm_fit()], in addition to [stats::gaussian()], [stats::poisson()] and [stats::binomial()]
#' (logit or probit). In each, the response depends on a latent value eta that follows the model of a normal response: fixed effects, factors,
#' random effects and a residual. For counts this residual is overdispersion.
#'
#' * `poisson()`: `y ~ Poisson(exp(offset + eta))`.
#' * `negative_binomial()`: variance `mu + mu^2 / r`, where 1 / r has an exponential prior with mean 1.
#' * `binomial()`: successes in as many trials as `weights` says; the response is the proportion of successes, or 0 and 1.
#' * `ordinal()`: ordered levels, in numeric order (or that of an ordered factor). The first cut point is 0; gaps between cut points have
#'   exponential priors with mean 1. `binomial("probit")` is `ordinal()` of two levels.
#' * `gaussian()` with `weights`: known precisions, `y ~ N(eta, 1 / weights)`, in addition to the residual of the model.
#'
#' Where the data do not identify the scale of eta (ordinal responses, and 0 and 1), the variance of the part of eta that the factors do not
#' explain, random effect and residual together, is fixed at 1, whatever the prior says.
#' @return A list of class `slam_family`.
#' @seealso [slamglmm_fit()], [predict.slamglmm()] for values on both scales.
#' @examples
#' set.seed(1)
#' data <- data.frame(id = paste0("i", rep(1:30, 2)))
#' effect <- rnorm(30)[match(data$id, unique(data$id))]
#' data$Y <- cbind(count = rpois(60, exp(1 + effect)), sick = rbinom(60, 1, plogis(effect)), size = effect + rnorm(60))
#' fit <- slamglmm_fit(Y ~ 1 + (1 | id), data, family = list(count = poisson(), sick = binomial()), chains = 1, iter = 200, seed = 1)
#' head(predict(fit, type = "response"))
#' @export
negative_binomial <- function() new_slam_family("negative_binomial", "log")

#' @rdname negative_binomial
#' @export
ordinal <- function() new_slam_family("ordinal", "probit")

new_slam_family <- function(name, link) structure(list(family = name, link = link), class = "slam_family")

# ---- what each is ---------------------------------------------------------------------------------------------

# `code`: its word in Rust; `check`, what is wrong with data, or NULL; `response(eta, own, parameters, sd)`, the expected datum with a residual of that size
# about eta (of `normal` ones eta), and `simulate(eta, own, parameters)`; `fixed`: is the variance of eta given?
# `prior(own)`, a draw of the parameters from their prior.
# Of data that are levels `levels(own)`, their names, and `probability(eta, own, parameters, sd)`, rows x levels.
# `normal`: values are in units of the data, scaled as normal responses are; `sampler(own, unit)` is then what Rust takes, and `back(own, values, unit)` brings
# draws of its parameters back: `unit` has the `sd` that values are divided by and
# the `level` of each row that is taken from them, and `all` those of all responses. `part`: another response's link has the data; `latent`: no cell of the
# response is a datum.
slam_families <- function() {
  counts <- function(y, own) found_wrong(y < 0 | y != round(y) | y > 1e15, "must be counts: whole numbers from 0 to 1e15")
  of_log <- function(eta, own, parameters, sd) exp(eta + sd^2 / 2)
  list(
    probes = probes_family,
    curves = curves_family,
    coefficient = coefficient_family,
    weights = list(
      code = "weights", normal = TRUE, sampler = weights_sampler, check = function(y, own) NULL,
      simulate = function(eta, own, parameters) eta + stats::rnorm(length(eta)) / sqrt(known_at(own, length(eta), Inf))
    ),
    poisson = list(
      code = "poisson", check = counts, response = of_log, simulate = function(eta, own, parameters) stats::rpois(length(eta), exp(eta))
    ),
    negative_binomial = list(
      code = "negative_binomial", check = counts, parameters = function(own) "dispersion", prior = function(own) 1 / stats::rexp(1), response = of_log,
      simulate = function(eta, own, parameters) stats::rnbinom(length(eta), size = parameters, mu = exp(eta))
    ),
    binomial = list(
      code = "binomial", response = function(eta, own, parameters, sd) logit_mean(eta, sd), fixed = function(own) all(own$known <= 1),
      check = function(y, own) {
        successes <- y * own$trials
        range <- found_wrong(y < 0 | y > 1, "must be 0 and 1, or with weights (numbers of trials) the proportion of successes")
        if (!is.null(range)) range else found_wrong(
          abs(successes - round(successes)) > 1e-6 * pmax(1, successes), "are not whole numbers of successes: give weights, the numbers of trials"
        )
      },
      levels = function(own) c("0", "1"), probability = function(eta, own, parameters, sd) cbind(logit_mean(-eta, sd), logit_mean(eta, sd)),
      simulate = function(eta, own, parameters) {
        trials <- known_at(own, length(eta), 1)
        stats::rbinom(length(eta), trials, stats::plogis(eta)) / trials
      }
    ),
    ordinal = list(
      code = "ordinal", fixed = function(own) TRUE, parameters = function(own) if (own$levels > 2) paste0("gap", seq_len(own$levels - 2)),
      prior = function(own) stats::rexp(own$levels - 2),
      check = function(y, own) if (length(unique(y)) > 100) "have more than 100 levels" else if (length(unique(y)) < 2) "have one level",
      levels = level_labels,
      probability = function(eta, own, parameters, sd) vapply(
        seq_len(own$levels) - 1, function(level) exp(level_density(rep(level, length(eta)), eta, sd^2, parameters)), eta
      ),
      response = function(eta, own, parameters, sd) level_mean(eta, own$values, parameters, sd),
      simulate = function(eta, own, parameters) own$values[findInterval(eta, c(0, cumsum(parameters)), left.open = TRUE) + 1]
    )
  )
}

# What is wrong with data, and which of them; NULL: nothing
found_wrong <- function(bad, text) if (any(bad)) structure(text, bad = bad)

weights_sampler <- function(own, unit) {
  list(y = ifelse(own$known > 0, unit$scaled, 0), known = own$known * unit$sd^2)
}

family_of <- function(own) slam_families()[[own$family]]

# ---- as they are given -----------------------------------------------------------------------------------------

# The family of each response: a list by column of `family` (a name of slam_families(), or "gaussian") and `link`. `taken`: responses of objects that say what
# they are
read_families <- function(family, responses, taken = character()) {
  if (is.null(family)) return(NULL)
  if (is.character(family) && (length(family) != 1 || !is.null(names(family)))) family <- as.list(family)
  each <- is.list(family) && !inherits(family, c("family", "slam_family"))
  clash <- if (each) intersect(names(family), taken) else if (length(taken) > 0 && read_family(family, NULL)$family != "gaussian") taken
  if (length(clash) > 0) abort_family(
    paste0("responses of an object on the left side have no other family: ", first_names(clash), "; family = list(...) is by names of the others"),
    responses = clash
  )
  if (!each) return(structure(rep(list(read_family(family, NULL)), length(responses)), names = responses))
  check_family_names(family, responses)
  one <- function(name) if (is.null(family[[name]])) list(family = "gaussian", link = "identity") else read_family(family[[name]], name)
  structure(lapply(responses, one), names = responses)
}

# Several families are matched by name, never by position.
check_family_names <- function(family, responses) {
  given <- names(family)
  if (is.null(given) || any(given == "")) abort_family(paste0(
    "family has ", counted(length(family), "entry", "entries"), ", not all with a name, and responses are matched by name: write ",
    named_families(family, responses)
  ))
  unknown <- setdiff(given, responses)
  if (length(unknown) > 0) abort_family(
    paste0("family is given for ", first_names(unknown), if (length(unknown) == 1) ", which is no response" else ", which are no responses",
           "; the responses are ", first_names(responses)),
    responses = unknown
  )
  twice <- unique(given[duplicated(given)])
  if (length(twice) > 0) abort_family(paste0("family is given more than once for ", first_names(twice)), responses = twice)
}

# As they may be meant: the first two
named_families <- function(family, responses) {
  text_of <- function(one) if (is.character(one)) quoted(one[1]) else if (is.list(one) && is.character(one$family)) paste0(one$family, "()") else "..."
  value <- vapply(family, text_of, "")
  shown <- utils::head(responses, 2)
  text <- paste(vapply(shown, list_name, ""), "=", rep_len(c(value, "..."[length(value) == 0]), length(shown)))
  paste0("family = list(", toString(text), if (length(responses) > 2) ", ...", ")")
}

read_family <- function(family, name) {
  if (is.function(family)) family <- tryCatch(family(), error = function(error) NULL)
  if (is.character(family) && length(family) == 1) family <- named_family(family)
  of <- if (!is.null(name)) paste(" of", quoted(name))
  if (!inherits(family, c("family", "slam_family"))) abort_family(
    paste0(
      "family", of, " must be one, as poisson() or negative_binomial(), not ", code_text(family),
      if (is.character(family) && length(family) == 1) did_you_mean(family, names(family_words())[-1])
    )
  )
  known <- c(gaussian = "identity", poisson = "log", binomial = "logit", negative_binomial = "log", ordinal = "probit")
  if (identical(family$family, "binomial") && identical(family$link, "probit")) return(list(family = "ordinal", link = "probit", binary = TRUE))
  if (!identical(unname(known[family$family]), family$link)) {
    abort_family(
      paste0(
        "family", of, " may be gaussian(), poisson(), negative_binomial(), binomial(\"logit\") or (\"probit\"), and ordinal(), not ", family$family, "(\"",
        family$link, "\")"
      )
    )
  }
  list(family = family$family, link = family$link)
}

# Families by their names, here and in MCMCglmm, brms, glmmTMB and gllvm; another text stays what it is
named_family <- function(name) {
  found <- family_words()[[match(tolower(name), names(family_words()), nomatch = 1)]]
  if (is.null(found)) name else found
}

family_words <- function() {
  normal <- list(stats::gaussian())
  counts <- list(negative_binomial())
  levels <- list(ordinal())
  c(
    list(unknown = NULL), gaussian = normal, normal = normal, poisson = list(stats::poisson()), binomial = list(stats::binomial()),
    bernoulli = list(stats::binomial()), logit = list(stats::binomial()),
    probit = list(stats::binomial("probit")), negative_binomial = counts, negbinomial = counts, negative.binomial = counts, nbinom = counts, nbinom2 = counts,
    nb = counts, ordinal = levels, threshold = levels
  )
}

abort_family <- function(message, ...) abort_fastlmm("family", message, ...)

# ---- for the sampler ----------------------------------------------------------------------------------------------

# What is behind a family, by response: `y`, `known` and what it takes to come back; NULL for a normal response without weights.
slam_links <- function(Y, families, weights, offset, blocks = NULL) {
  if (is.null(families) && is.null(weights) && is.null(blocks)) return(NULL)
  one <- function(j) {
    behind <- block_link(blocks, colnames(Y)[j], Y[, j], offset_of(offset, j))
    if (!is.null(behind)) return(behind)
    family <- if (is.null(families)) list(family = "gaussian") else families[[j]]
    normal <- family$family == "gaussian"
    if (normal && is.null(weights)) return(NULL)
    own <- list(family = if (normal) "weights" else family$family, response = colnames(Y)[j])
    w <- if (is.null(weights)) rep(1, nrow(Y)) else weights[, j]
    link_data(own, Y[, j], w, offset_of(offset, j), isTRUE(family$binary))
  }
  links <- structure(lapply(seq_len(ncol(Y)), one), names = colnames(Y))
  if (!all(vapply(links, is.null, NA))) links
}

link_data <- function(own, y, weights, offset, binary) {
  seen <- !is.na(y)
  own$trials <- if (own$family == "binomial") weights[seen]
  if (binary && !all(y[seen] %in% 0:1)) abort_family(
    paste0("responses of binomial(\"probit\") must be 0 and 1: ", quoted(own$response)), responses = own$response
  )
  wrong <- if (own$family == "binomial" && any(weights != round(weights))) "need whole numbers of trials as weights" else family_of(own)$check(y[seen], own)
  if (!is.null(wrong)) abort_family(
    paste0("responses of family ", own$family, "() ", wrong, ": ", quoted(own$response), wrong_cells(y, which(seen)[attr(wrong, "bad")])),
    responses = own$response
  )
  if (own$family %in% c("binomial", "ordinal") && any(offset != 0)) abort_family(
    paste0("an offset is for counts and normal responses, not for ", own$family, "(): ", quoted(own$response))
  )
  own$trials <- NULL
  switch(own$family, weights = {
    own$known <- ifelse(seen, weights, 0)
    own$y <- ifelse(seen, y, 0)
  }, binomial = {
    own$known <- weights
    own$y <- round(y * weights)
  }, ordinal = {
    own$values <- sort(unique(y[seen]))
    own$levels <- length(own$values)
    own$y <- match(y, own$values) - 1
  }, {
    own$known <- offset
    own$y <- y
  })
  own$y <- as.numeric(ifelse(is.na(own$y), NaN, own$y))
  own
}

# ', which has -2 in row 7 (1 of 60)'
wrong_cells <- function(y, at) {
  if (length(at) == 0) return("")
  names <- if (is.null(names(y))) as.character(seq_along(y)) else names(y)
  paste0(", which has ", format(y[[at[1]]], digits = 15), " in row ", quoted(names[at[1]]), sprintf(" (%d such of %d)", length(at), length(y)))
}

# In the sampler's units, which of normal responses are those of what fixed effects leave; `level`: what these explain, which is taken from responses
sampler_links <- function(links, scaled, sd, level) {
  if (is.null(links)) return(NULL)
  one <- function(own, j) {
    if (is.null(own)) return(NULL)
    family <- family_of(own)
    unit <- list(sd = sd[[j]], level = level[, j], scaled = scaled[, j], all = list(sd = sd, level = level, scaled = scaled))
    numbers <- if (is.null(family$sampler)) list(
      y = as.numeric(own$y), known = as.numeric(own$known), levels = as.numeric(own$levels)
    ) else family$sampler(own, unit)
    c(list(family = family$code), numbers)
  }
  unname(Map(one, links, seq_along(links)))
}

# Families and how many responses each has
families_text <- function(fit) {
  name <- vapply(
    fit$links, function(own) if (is.null(own)) "gaussian" else switch(own$family, weights = "gaussian with weights", coefficient = "curves", own$family), ""
  )
  count <- table(factor(name, levels = unique(name)))
  toString(paste0(names(count), " (", count, ")"))
}

has_links <- function(fit) !is.null(fit$links)

# Responses that are not in units of normal ones
behind_link <- function(links) vapply(links, function(own) !is.null(own) && !isTRUE(family_of(own)$normal), NA)

# ---- parameters of links --------------------------------------------------------------------------------------------

# Names of the parameters of each link, in the sampler's order
parameter_names <- function(links) {
  of <- function(own) {
    parameters <- family_of(own)$parameters
    names <- if (!is.null(parameters)) parameters(own)
    if (length(names) > 0) paste0(names, "[", if (is.null(own$label)) own$response else own$label, "]") else character()
  }
  lapply(Filter(Negate(is.null), links), of)
}

# Of all links
link_parameters <- function(fit) as.character(unlist(parameter_names(fit$links), use.names = FALSE))

# Where those of each link are among all: a list by response
link_places <- function(fit) {
  count <- lengths(parameter_names(fit$links))
  Map(function(end, count) end - count + seq_len(count), cumsum(count), count)
}

# Draws of all parameters, parameters x draws, in units of the data
link_values <- function(fit) {
  all <- do.call(cbind, lapply(fit$draws, `[[`, "link"))
  places <- link_places(fit)
  for (own in Filter(function(own) !is.null(own) && !is.null(family_of(own)$back), fit$links)) {
    at <- places[[own$response]]
    all[at, ] <- family_of(own)$back(own, all[at, , drop = FALSE], list(sd = fit$scale$sd[[own$response]]))
  }
  all
}

# Variances of normal priors of coefficients of X; 0: flat, or a variance that factors share
coefficient_variances <- function(prior, fixed) {
  spread <- column_sd(fixed$X)
  own <- !fixed$shared & spread > 0
  ifelse(own & is.finite(prior$coefficients), (prior$coefficients / spread)^2, 0)
}

# Variances that data cannot tell
fix_variances <- function(numbers, links) {
  for (j in which(behind_link(links))) {
    fixed <- family_of(links[[j]])$fixed
    if (!is.null(fixed) && fixed(links[[j]])) numbers$residual[2 * j - 1:0] <- c(Inf, 1)
  }
  numbers
}

# Responses that are taken for normal and do not look so
tell_families <- function(Y) {
  kinds <- apply(Y, 2, function(y) {
    y <- y[is.finite(y)]
    if (length(unique(y)) == 2) return("two values: binomial()")
    if (length(y) == 0 || min(y) < 0) return("")
    if (all(y == round(y)) && min(y) == 0 && mean(y) < 20) return("counts: poisson() or negative_binomial()")
    if (max(y) <= 1 && (min(y) == 0 || max(y) == 1)) "proportions: binomial() with weights" else ""
  })
  for (kind in setdiff(kinds, "")) {
    inform_fastlmm(
      "family",
      paste0(
        "responses that are treated as normal look like ", sub(":", "; family =", kind), " may suit them, gaussian() declares them normal: ",
        first_names(colnames(Y)[kinds == kind])
      ),
      responses = colnames(Y)[kinds == kind]
    )
  }
}

# ---- back to responses ------------------------------------------------------------------------------------------------

# A function of values on the link scale, rows x responses, and of the number of their draw: as data that are expected, a residual of standard deviation `sd`
# (one for each response) averaged over; without `sd` new data of each.
# `rows`: which rows of the fit they are; NULL: new rows, which have one trial, and no weights.
datum_maker <- function(fit, rows) {
  parameters <- link_values(fit)
  places <- link_places(fit)
  links <- Filter(function(own) !is.null(own) && is.null(family_of(own)$part), fit$links)
  links <- lapply(links, function(own) c(own, list(which = rows)))
  families <- lapply(links, family_of)
  columns <- lapply(links, function(own) match(if (is.null(own$traits)) own$response else own$traits, colnames(fit$Y)))
  behind <- behind_link(links)
  function(eta, i, sd = NULL) {
    for (l in if (is.null(sd)) seq_along(links) else which(behind)) {
      j <- columns[[l]]
      own <- links[[l]]
      of_draw <- parameters[places[[own$response]], i]
      eta[, j] <- if (is.null(sd)) families[[l]]$simulate(eta[, j], own, of_draw) else families[[l]]$response(eta[, j], own, of_draw, sd[j])
    }
    eta
  }
}

# Trials or weights of rows: of new rows, and of those in which nothing was observed, `new`
known_at <- function(own, count, new) {
  if (is.null(own$which)) return(rep(new, count))
  known <- own$known[own$which]
  ifelse(!is.na(known) & known > 0, known, new)
}

# The logistic function averaged over N(eta, sd^2) by the trapezoidal rule, whose error falls exponentially with 1 / step; the steepest part is 1 / sd wide
logit_mean <- function(eta, sd) {
  step <- max(min(0.75, 1 / sd), 0.02)
  at <- step * seq(-ceiling(8.5 / step), ceiling(8.5 / step))
  weight <- stats::dnorm(at) / sum(stats::dnorm(at))
  sum <- 0
  for (q in seq_along(at)) sum <- sum + weight[q] * stats::plogis(eta + sd * at[q])
  sum
}

# Levels, each with the probability that eta is between its cut points
level_mean <- function(eta, values, gaps, sd) {
  cuts <- c(0, cumsum(gaps))
  mean <- values[1] + 0 * eta
  for (k in seq_along(cuts)) mean <- mean + (values[k + 1] - values[k]) * stats::pnorm(eta, cuts[k], sd)
  mean
}
