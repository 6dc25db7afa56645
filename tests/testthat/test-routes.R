# Who refuses what, and by which class. All else must answer.
refusals <- function() {
  many <- c("many", "many_mix", "many_gp")
  several <- c("mix", "parts", "crossed", "correlated", "correlated_kernel", "precision_mix")
  process <- c("gp", "gp_fourier", "gp_group", "gp_joint")
  fourier <- c("gp_fourier", "gp_group")
  single <- setdiff(names(route_calls()), many)
  refuse <- function(class, routes, ...) lapply(structure(c(...), names = c(...)), function(verb) structure(rep(class, length(routes)), names = routes))
  found <- list(
    refuse("many_responses", many, "test_heterogeneity", "test_variance", "power", "profile", "getME(X)", "getME(Z)", "hatvalues", "cooks.distance",
      "rstandard", "rstudent", "dfbeta", "dfbetas", "influence",
      "influence(groups)", "drop1", "add1", "extractAIC", "bootstrap", "isSingular", "augment", "augment(newdata)"),
    refuse("many_responses", setdiff(many, "many_gp"), "anova", "anova(two)"),
    refuse("unused_argument", many, "confint(boot)", "tidy(ran_pars)", "tidy(conf.int)"),
    refuse("unused_argument", "many_gp", "anova(two)"),
    refuse("method", many, "confint(exact)"), refuse("refit", "many_gp", "refit", "refitML"),
    refuse("exclude", c(setdiff(single, "lowrank"), many), "fastlmm_exclude"),
    refuse("heterogeneity", setdiff(single, "given"), "test_heterogeneity"),
    refuse("variance_test", c("ml", "correlated", "correlated_kernel", "given", "levels", process), "test_variance"),
    refuse("power", c("given", "levels", process), "power"),
    refuse("variance_test", "ml", "confint(exact)"), refuse("parm", c(several, "given", "levels"), "confint(exact)"),
    refuse("argument", process, "confint(exact)"),
    refuse("scan", c("given", "many_mix", "many_gp"), "fastlmm_scan", "fastlmm_permute"),
    refuse("ddf", c("ml", "levels"), "summary(df)"), refuse("ddf", "levels", "confint(Wald, df)"), refuse("ddf", c("ml", "levels", process), "anova(type)"),
    refuse("ddf", c("levels", process), "contest"), refuse("many_responses", many, "contest"),
    refuse("many_responses", setdiff(many, "many_gp"), "anova(type)"),
    refuse("ddf", process, "summary(df)", "confint(Wald, df)"), refuse("unused_argument", many, "summary(df)", "confint(Wald, df)"),
    refuse("unused_argument", "many_gp", "anova(type)"),
    refuse("no_profile", "levels", "confint", "profile"), refuse("no_profile", "gp_group", "profile"),
    refuse("no_variances", c(process, "many_gp"), "ranef(condVar)"), refuse("component", process, "getME(Z)"),
    refuse("influence", fourier, "hatvalues", "cooks.distance", "rstandard", "rstudent", "dfbeta", "dfbetas", "influence", "influence(groups)")
  )
  tapply(unlist(lapply(found, unname), recursive = FALSE), unlist(lapply(found, names)), function(x) do.call(c, unname(x)), simplify = FALSE)
}

test_that("every route answers every verb, or refuses it with a reason", {
  skip_on_cran()
  expected <- refusals()
  # verbs that fit a process several times, which takes seconds
  repeated <- c("confint(boot)", "drop1", "add1", "bootstrap", "anova(two)", "confint", "profile")
  for (verb in names(route_verbs())) {
    fits <- route_fits()
    if (verb %in% repeated && !is_long()) fits <- fits[setdiff(names(fits), c("gp_fourier", "gp_group", "gp_joint"))]
    found <- vapply(fits, route_answer, "", verb = route_verbs()[[verb]])
    known <- expected[[verb]][intersect(names(expected[[verb]]), names(found))]
    wanted <- replace(structure(rep("ok", length(found)), names = names(found)), names(known), known)
    differs <- found[found != wanted]
    expect_identical(paste(names(differs), differs), character(0), info = verb)
  }
})
