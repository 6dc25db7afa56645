# A seeded generator of combined faults: a model of small data with some things wrong, an entry point, and verbs on what comes back.

faulty_values <- list(
  denormal = 1e-320, tiny = 1e-300, small = 1e-150, large = 1e150, huge = 1e300, largest = .Machine$double.xmax, zero = 0, negative = -1, na = NA_real_,
  nan = NaN, inf = Inf, minus_inf = -Inf, far = 1e13
)

pick <- function(x) x[[sample.int(length(x), 1)]]

# Faults of a column: what it becomes
column_faults <- list(
  times = function(x) x * pick(faulty_values[c("denormal", "tiny", "small", "large", "huge")]),
  plus = function(x) x + pick(c(1e8, 1e12, 1e13, 1e15, -1e13)),
  cell = function(x) replace(x, sample.int(length(x), 1), pick(faulty_values)),
  cells = function(x) replace(x, sample.int(length(x), ceiling(length(x) / 2)), pick(faulty_values)),
  constant = function(x) rep(pick(c(0, 1, 1e13, NA)), length(x)),
  type = function(x) pick(list(as.character(x), as.integer(x), x > 0, factor(x > 0), factor(rep("a", length(x))), as.raw(seq_along(x) %% 256),
    complex(real = x), as.list(x), as.Date("2024-01-01") + seq_along(x),
    as.difftime(x, units = "days"), matrix(x), cbind(a = x, b = -x), I(as.list(x)), as.POSIXlt(as.POSIXct("2024-01-01", tz = "UTC") + seq_along(x)),
    factor(seq_along(x)), rep(NA, length(x)))),
  few = function(x) round(x)
)

kernel_faults <- list(
  times = function(K) K * pick(faulty_values[c("denormal", "tiny", "small", "large", "huge", "zero", "negative")]),
  cell = function(K) replace(K, sample.int(length(K), 1), pick(faulty_values)),
  centred = function(K) scale(t(scale(K, scale = FALSE)), scale = FALSE)[, ],
  rank_one = function(K) tcrossprod(K[, 1, drop = FALSE]),
  identity = function(K) replace(K * 0, cbind(seq_len(nrow(K)), seq_len(nrow(K))), 1),
  ones = function(K) K * 0 + 1,
  part = function(K) K[-1, -1, drop = FALSE],
  wide = function(K) K[-1, , drop = FALSE],
  names = function(K) pick(
    list(unname(K), `rownames<-`(K, NULL), `dimnames<-`(K, list(rev(rownames(K)), colnames(K))), `dimnames<-`(K, rep(list(rep("a", nrow(K))), 2)))
  ),
  class = function(K) pick(
    list(
      as.data.frame(K), kernel_lowrank(K), Matrix::Matrix(K), stats::dist(K), as.list(K), "K", as.character(K), K + 0i, K > 0, array(K, c(dim(K), 1)), NULL,
      list(id = K), list(other = K), kernel_mix(a = K, b = K * 0 + diag(nrow(K)))
    )
  )
)

fault_world <- function() {
  m <- sample(3:12, 1)
  ids <- paste0("i", seq_len(m))
  W <- matrix(stats::rnorm(m * (m + 2)), m, dimnames = list(ids, paste0("w", seq_len(m + 2))))
  n <- m * sample(1:2, 1)
  d <- data.frame(
    id = rep(ids, length.out = n), x = stats::rnorm(n), z = stats::rnorm(n), u = stats::runif(n), v = stats::runif(n), g = rep(c("a", "b", "c"), length.out = n)
  )
  d$y <- drop(W %*% stats::rnorm(m + 2))[d$id] / 3 + stats::rnorm(n)
  d$y2 <- stats::rnorm(n)
  list(d = d, K = tcrossprod(W) / m, G = matrix(stats::rbinom(m * 4, 2, 0.4) + 0, m, dimnames = list(ids, paste0("s", 1:4))))
}

with_faults <- function(world) {
  for (i in seq_len(sample(0:3, 1))) {
    where <- pick(c("y", "y", "x", "z", "id", "u", "K", "K", "G", "rows"))
    world <- tryCatch(suppressWarnings(switch(where,
      K = replace(world, "K", list(pick(kernel_faults)(world$K))),
      G = replace(
        world, "G", list(matrix(pick(column_faults[c("times", "plus", "cell", "cells", "constant")])(c(world$G)), nrow(world$G), dimnames = dimnames(world$G)))
      ),
      rows = replace(world, "d", list(world$d[pick(list(integer(), 1, 1:2, -1, rev(seq_len(nrow(world$d))))), , drop = FALSE])),
      replace(world, "d", list(`[[<-`(world$d, where, value = pick(column_faults)(world$d[[where]]))))
    )), error = function(e) world)
  }
  world
}

fault_formulas <- list(
  single = c("y ~ x + (1 | id)", "y ~ 1 + (1 | id)", "y ~ 0 + x + (1 | id)", "y ~ x * z + (1 | id)", "y ~ factor(z > 0) + (0 + x | id)", "y ~ . + (1 | id)",
    "y ~ poly(x, 2) + (1 | id)", "y ~ x", "y ~ offset(x) + (1 | id)",
    "log(y) ~ x + (1 | id)", "y ~ x + (1 | g)", "y ~ g + (1 | id)", "y ~ I(x * 1e-200) + (1 | id)", "y ~ nothing + (1 | id)", "y ~ (1 | id) + (1 | id)",
    "y ~ x + z + x + u + v + (1 | id)"),
  many = c("cbind(y, y2) ~ x + (1 | id)", "cbind(y, y2, y - y2) ~ 1 + (1 | id)", "cbind(y, 1) ~ x + (1 | id)"),
  mix = c("y ~ x + (1 | id) + (1 | g)", "y ~ x + (1 + z || id)", "cbind(y, y2) ~ x + (1 | id) + (1 | g)"),
  gp = c(
    "y ~ x + gp(u, v)", "y ~ gp(u)", "y ~ x + gp(u, v, basis = \"fourier\")", "cbind(y, y2) ~ gp(u)", "y ~ gp(u, cov = \"exp_quad\") + (1 | id)",
    "y ~ gp(u, lengthscale = 0.3)"
  )
)

# An expression that makes a fit; `world` is where it is evaluated.
fault_entry <- function() {
  kind <- pick(c("single", "single", "single", "many", "mix", "gp"))
  formula <- str2lang(pick(fault_formulas[[kind]]))
  extra <- pick(
    list(
      list(), list(), list(), list(method = "ML"), list(weights = quote(abs(z))), list(weights = quote(x)), list(offset = quote(x)),
      list(subset = quote(x > 0)), list(na.action = quote(na.exclude))
    )
  )
  if (kind == "many" && stats::runif(1) < 0.15) {
    return(bquote(slamglmm_fit(.(formula), d, K, n_factors = 1, chains = 1, iter = 6, warmup = 2, seed = 1, progress = FALSE)))
  }
  kernel <- if (kind == "mix") quote(list(id = K)) else if (kind != "gp") quote(K)
  as.call(c(quote(fastlmm_fit), formula, quote(d), if (!is.null(kernel)) list(K = kernel), extra))
}

fault_verbs <- c(
  lapply(
    c("print", "summary", "coef", "fixef", "ranef", "VarCorr", "vcov", "sigma", "logLik", "AIC", "BIC", "deviance", "nobs", "df.residual", "formula", "terms",
      "model.frame", "model.matrix", "weights", "fitted",
      "residuals", "predict", "confint", "simulate", "anova", "tidy", "glance", "augment", "as.data.frame", "drop1", "update", "plot", "extractAIC",
      "isSingular", "ngrps", "refitML", "REMLcrit"),
    function(verb) call(verb, quote(fit))
  ),
  as.list(expression(
    print(summary(fit)), predict(fit, d[0, ]), predict(fit, d, se.fit = TRUE), predict(fit, d[1, ], allow.new.levels = TRUE),
    predict(fit, transform(d, id = "new"), allow.new.levels = TRUE), predict(fit, list(x = 1)),
    ranef(fit, condVar = TRUE), ranef(fit, which = "all"), confint(fit, "h2"), confint(fit, "x", method = "profile"), confint(fit, "nothing"),
    update(fit, . ~ . - x), update(fit, . ~ . + z), refit(fit, d$y2), refit(fit, rev(d$y)),
    refit(fit, d$y[1]), simulate(fit, 2, seed = 1), summary(fit, df = "satterthwaite"), getME(fit, "X"), getME(fit, "theta"), extract_fit(fit, 1),
    extract_fit(fit, "y2"), residuals(fit, "pearson", scaled = TRUE), base::summary(profile(fit)),
    fastlmm_scan(fit, G), fastlmm_scan(fit, G), fastlmm_scan(fit, G * 1e-310), fastlmm_scan(fit, ~ z, data = d), fastlmm_scan(fit, ~ g, data = d),
    fastlmm_scan(fit, ~ factor(x), data = d), fastlmm_scan(fit, ~ nothing, data = d),
    base::summary(fastlmm_scan(fit, G, interaction = ~ z, data = d)), fastlmm_scan(fit, G, refit = "delta", test = "lrt"),
    fastlmm_scan(fit, G, sets = list(1:2, 3:4), test = "score"), fastlmm_scan(fit, G, na = "omit"),
    print(fastlmm_scan(fit, G, interaction = ~ x, data = d)), fastlmm_permute(fit, G, 3, seed = 1, progress = FALSE), fastlmm_exclude(fit, 1),
    fastlmm_exclude(fit, list(1, 2:3)), fastlmm_scan(fit, as.raw(1:3)), fastlmm_scan(fit, list(1))
  ))
)

# R's own words that stay: an argument that is asked for and not given, a verb that a class does not have.
own_words <- "no applicable method for|is missing, with no default|cannot coerce class .* to a data.frame"

# One case: its calls, and what is wrong with what they gave (nothing: character()).
fault_case <- function(seed, seconds = 30) {
  set.seed(seed)
  world <- list2env(with_faults(fault_world()), parent = globalenv())
  entry <- fault_entry()
  verbs <- replicate(3, pick(fault_verbs))
  made <- fault_outcome(entry, world, seconds)
  wrong <- made$wrong
  if (!is.null(made$value)) {
    world$fit <- made$value
    for (verb in verbs) wrong <- c(wrong, fault_outcome(verb, world, seconds)$wrong)
  }
  if (length(wrong) > 0) wrong <- paste0("fault_case(", seed, "): ", deparse1(entry), " then ", wrong)
  wrong
}

# Seconds of its own: others may use the machine
limit_own_time <- function(seconds) setTimeLimit(cpu = seconds, elapsed = 10 * seconds, transient = TRUE)

fault_outcome <- function(code, world, seconds) {
  limit_own_time(seconds)
  on.exit(setTimeLimit())
  value <- tryCatch(suppressWarnings(suppressMessages(quiet_value(code, world))), error = identity)
  wrong <- if (inherits(value, "error")) wrong_error(value) else wrong_value(value)
  list(value = if (!inherits(value, "error")) value, wrong = if (length(wrong) > 0) paste(deparse1(code), ":", wrong))
}

quiet_value <- function(code, world) {
  utils::capture.output(value <- eval(code, world), file = nullfile())
  value
}

wrong_error <- function(error) {
  if (inherits(error, "fastlmm_error") || grepl(own_words, conditionMessage(error))) return(NULL)
  paste0("<", class(error)[1], "> ", substr(conditionMessage(error), 1, 200))
}

# Estimates of a fit or a table that say "ok" are numbers, whatever else was told.
wrong_value <- function(value) {
  estimates <- if (inherits(value, "fastlmm") && identical(value$status, "ok")) {
    c(value$coefficients[value$kept], diag(as.matrix(value$vcov)), value$sigma2, value$sigma2_e, value$h2, value$logLik)
  } else if (inherits(value, "fastlmm_mlm")) {
    ok <- value$status == "ok"
    c(value$coefficients[value$kept, ok], value$logLik[ok], value$h2[if (!is.matrix(value$h2)) ok])
  } else if (inherits(value, "fastlmm_scan")) {
    ok <- value$status == "ok" & value$df == 1
    unlist(as.data.frame(value)[ok, c("estimate", "std.error", "log10p")])
  }
  if (is.numeric(estimates) && any(is.infinite(estimates) | is.nan(estimates))) "is ok without numbers"
}

# All cases of some seeds
fault_cases <- function(seeds) {
  grDevices::pdf(NULL)
  on.exit(grDevices::dev.off())
  unlist(lapply(seeds, fault_case))
}
