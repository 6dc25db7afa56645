# One small model for each way through the package, and what is asked of any fit.

route_data <- function() {
  once("route data", local({
    set.seed(1)
    ids <- paste0("i", 1:24)
    n <- 72
    data <- data.frame(
      id = rep(ids, 3), x = rnorm(n), u = runif(n), v = runif(n), g = rep(letters[1:6], 12), f = factor(rep(c("p", "q"), each = 36)), w = runif(n, 0.5, 2)
    )
    W <- matrix(rnorm(24 * 30), 24, dimnames = list(ids, NULL))
    K <- tcrossprod(W) / 30
    data$y <- rnorm(n, sd = 0.7) + data$x / 2 + rep(
      t(chol(K)) %*% rnorm(24), 3
    ) + rnorm(6)[factor(data$g)] + data$x * rep(rnorm(24, sd = 0.5), 3) + sin(5 * data$u)
    data$y2 <- data$y / 2 + rnorm(n)
    # no variance between ids
    data$z <- rnorm(n)
    data$z <- data$z - ave(data$z, data$id)
    pedigree <- kernel_pedigree(ids, c(rep(NA, 8), rep(ids[1:4], 4)), c(rep(NA, 8), rep(ids[5:8], 4)))
    list(
      data = data, W = W, K = K, pedigree = pedigree, of_rows = exp(-as.matrix(dist(data$u)) * 3),
      M = matrix(rbinom(n * 4, 2, 0.4), n, dimnames = list(NULL, paste0("m", 1:4)))
    )
  }))
}

route_calls <- function() {
  alist(
    identity = fastlmm_fit(y ~ x + f + (1 | id), data),
    slope = fastlmm_fit(y ~ x + f + (0 + x | id), data),
    kernel = fastlmm_fit(y ~ x + f + (1 | id), data, K = K),
    ml = fastlmm_fit(y ~ x + f + (1 | id), data, K = K, method = "ML"),
    weights = fastlmm_fit(y ~ x + f + (1 | id), data, K = K, weights = w),
    rows = fastlmm_fit(y ~ x + f, data, K = of_rows),
    lowrank = fastlmm_fit(y ~ x + f + (1 | id), data, K = kernel_lowrank(W[, 1:8])),
    eigen = fastlmm_fit(y ~ x + f + (1 | id), data, K = kernel_eigen(fastlmm_decompose(K))),
    precision = fastlmm_fit(y ~ x + f + (1 | id), data, K = pedigree),
    product = fastlmm_fit(y ~ x + f + (1 | id:g), data, K = kernel_product(id = K, g = NULL)),
    boundary = fastlmm_fit(z ~ x + f + (1 | id), data, K = K),
    mix = fastlmm_fit(y ~ x + f + (1 | id) + (1 | g), data, K = list(id = K)),
    parts = fastlmm_fit(y ~ x + f + (1 | id), data, K = list(id = kernel_mix(A = K, I = NULL))),
    crossed = fastlmm_fit(y ~ x + f + (1 | id) + (1 | g), data),
    correlated = fastlmm_fit(y ~ x + f + (1 + x | id), data),
    correlated_kernel = fastlmm_fit(y ~ x + f + (1 + x | id), data, K = K),
    precision_mix = fastlmm_fit(y ~ x + f + (1 | id) + (1 | g), data, K = list(id = pedigree)),
    given = fastlmm_fit(y ~ x + f + (1 | id), data, K = K, sigma2_e = 0.5),
    levels = fastlmm_fit(y ~ x + f + (1 | id), data, K = K, residual = ~f),
    gp = fastlmm_fit(y ~ x + f + gp(u, v), data),
    gp_fourier = fastlmm_fit(y ~ x + f + gp(u, basis = "fourier"), data),
    gp_group = fastlmm_fit(y ~ x + f + gp(u, basis = "fourier") + (1 | g), data),
    gp_joint = fastlmm_fit(y ~ x + f + gp(u) + (1 | id), data, K = list(id = K)),
    many = fastlmm_fit(cbind(y, y2) ~ x + f + (1 | id), data, K = K),
    many_mix = fastlmm_fit(cbind(y, y2) ~ x + f + (1 | id) + (1 | g), data, K = list(id = K)),
    many_gp = fastlmm_fit(cbind(y, y2) ~ x + f + gp(u, v), data)
  )
}

route_fits <- function() once("route fits", lapply(route_calls(), function(call) quiet_fit(eval(call, route_data(), globalenv()))))

# `fit`, and `new`: three of its rows
route_verbs <- function() {
  alist(
    print = print(fit), summary = print(summary(fit)), `summary(df)` = summary(fit, df = "kenward-roger"),
    coef = coef(fit), fixef = fixef(fit), ranef = ranef(fit), `ranef(condVar)` = ranef(fit, condVar = TRUE), VarCorr = VarCorr(fit), sigma = sigma(fit),
    vcov = vcov(fit), logLik = logLik(fit), AIC = AIC(fit),
    BIC = BIC(fit), deviance = deviance(fit), nobs = nobs(fit), df.residual = df.residual(fit), fitted = fitted(fit), residuals = residuals(fit),
    `residuals(pearson)` = residuals(fit, "pearson"),
    predict = predict(fit), `predict(newdata)` = predict(fit, new), `predict(NA)` = predict(fit, new, re.form = NA),
    `predict(se.fit)` = predict(fit, new, se.fit = TRUE),
    `predict(interval)` = predict(fit, new, interval = "prediction"), simulate = simulate(fit, 2, seed = 1),
    `simulate(newdata)` = simulate(fit, 2, seed = 1, newdata = new),
    `simulate(NULL)` = simulate(fit, 2, seed = 1, newdata = new, re.form = NULL), refit = refit(fit, fit$y), refitML = refitML(fit),
    update = update(fit, . ~ . - f), anova = anova(fit),
    `anova(type)` = anova(fit, type = 3, ddf = "kenward-roger"), contest = contest(fit, c(0, 1, 0, 0)[seq_along(fixef(fit))]),
    `confint(Wald, df)` = confint(fit, method = "Wald", df = "satterthwaite"),
    `anova(two)` = anova(fit, update(fit, . ~ . - f)), drop1 = drop1(fit), add1 = add1(fit, ~ . + v), extractAIC = extractAIC(fit), confint = confint(fit),
    `confint(Wald)` = confint(fit, method = "Wald"), `confint(boot)` = confint(fit, method = "boot", nsim = 3, seed = 1),
    `confint(exact)` = confint(fit, "h2", method = "exact"), profile = profile(fit),
    bootstrap = bootstrap(fit, R = 3, seed = 1), power = power(fit, "x", R = 5, seed = 1), test_variance = test_variance(fit, nsim = 20, term = 1),
    test_heterogeneity = test_heterogeneity(fit),
    hatvalues = hatvalues(fit), cooks.distance = cooks.distance(fit), rstandard = rstandard(fit), rstudent = rstudent(fit), dfbeta = dfbeta(fit),
    dfbetas = dfbetas(fit), influence = influence(fit),
    `influence(groups)` = influence(fit, "f"), plot = plot(fit), formula = formula(fit), terms = terms(fit), model.frame = model.frame(fit),
    model.matrix = model.matrix(fit), weights = weights(fit),
    `getME(X)` = getME(fit, "X"), `getME(Z)` = getME(fit, "Z"), isSingular = isSingular(fit), isREML = isREML(fit), isLMM = isLMM(fit), ngrps = ngrps(fit),
    family = family(fit), REMLcrit = REMLcrit(fit),
    tidy = tidy(fit), `tidy(ran_pars)` = tidy(fit, effects = "ran_pars"), `tidy(conf.int)` = tidy(fit, conf.int = TRUE, conf.method = "Wald"),
    glance = glance(fit), augment = augment(fit),
    `augment(newdata)` = augment(fit, newdata = new), fastlmm_scan = fastlmm_scan(fit, M, progress = FALSE),
    fastlmm_permute = fastlmm_permute(fit, M, n = 5, seed = 1, progress = FALSE),
    fastlmm_exclude = fastlmm_exclude(fit, 1), saved = identical(unserialize(serialize(fit, NULL)), fit)
  )
}

# "ok", or the class of the refusal; what is neither fails the test.
route_answer <- function(verb, fit) {
  given <- route_data()
  # a kernel over rows knows rows by their names
  new <- if (isTRUE(fit$random[[1]]$name == ".row")) given$data[c(1, 30, 50), ] else `rownames<-`(given$data[c(1, 30, 50), ], NULL)
  at <- list2env(list(fit = fit, new = new, M = given$M, data = given$data), parent = environment())
  for (name in c("K", "W", "pedigree", "of_rows")) assign(name, given[[name]], envir = at)
  warned <- NULL
  answer <- tryCatch(
    withCallingHandlers(
      {
        utils::capture.output(value <- eval(verb, at))
        # an interval may have no limit
        numbers <- is.atomic(value) && is.numeric(value) && !identical(verb[[1]], quote(confint))
        if (numbers && !all(is.finite(value))) "not finite" else "ok"
      },
      warning = function(w) {
        if (!inherits(w, "fastlmm_warning")) warned <<- paste("warning:", conditionMessage(w))
        invokeRestart("muffleWarning")
      },
      message = function(m) invokeRestart("muffleMessage")
    ),
    fastlmm_error = function(e) sub("fastlmm_error_", "", class(e)[1]), error = function(e) paste("error:", conditionMessage(e))
  )
  if (is.null(warned)) answer else warned
}
