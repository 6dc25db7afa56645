# Arguments that other packages have, and values that they use: what to write here instead.

# One of a method's strings, or the first where none was given; `habits` are the names that others give to some of them.
# Without `choices` they are the default of the caller's argument of that name.
one_of <- function(value, choices = eval(formals(sys.function(sys.parent()))[[name]]), habits = NULL, name = deparse1(substitute(value)), several = FALSE) {
  if (is.null(value) || identical(value, choices)) return(if (several) choices else choices[1])
  at <- if (is.character(value) && (length(value) == 1 || several && length(value) > 1)) pmatch(value, choices, duplicates.ok = TRUE)
  if (length(at) > 0 && !anyNA(at)) return(choices[at])
  abort_fastlmm("argument", paste0(name, " should be one of ", toString(quoted(choices)), ", not ", deparse1(value), meant(value, choices, habits)))
}

meant <- function(value, choices, habits) {
  if (!is.character(value) || length(value) != 1) return("")
  habit <- habits[match(tolower(value), tolower(names(habits)))]
  if (length(habit) == 1 && !is.na(habit)) paste0("; ", habit) else did_you_mean(value, choices)
}

# By the name of the argument: tables of coefficients have df, tests ddf
df_habits <- function(name) {
  meant <- c(KR = "kenward-roger", kenward = "kenward-roger", lme4 = "none", asymptotic = "none", wald = "none", normal = "none")
  structure(paste0("write ", name, " = ", quoted(meant)), names = names(meant))
}

interval_habits <- c(bootstrap = "write method = \"boot\"", quantile = "write method = \"profile\"")

covariance_habits <- c(
  gaussian = "exp_quad", rbf = "exp_quad", squared_exponential = "exp_quad", se = "exp_quad", exponential = "matern12", exp = "matern12", ou = "matern12",
  matern = "matern52", matern15 = "matern32", matern25 = "matern52", matern3_2 = "matern32", matern5_2 = "matern52"
)

covariance_habit <- function(cov) {
  habit <- if (is.character(cov) && length(cov) == 1) covariance_habits[match(tolower(cov), names(covariance_habits))]
  if (length(habit) == 1 && !is.na(habit)) paste0("; here it is called ", quoted(habit)) else ""
}

# By argument of gp(): what is offered in its place
gp_habits <- c(
  by = "a process for each level or slope is not available: fit the levels separately, or give a term a kernel K",
  weights = "give weights = to the fitting function",
  k = "the basis is chosen by tol and size", bs = "the kernel is cov =, the basis is basis =", kernel = "the kernel is cov =", model = "the kernel is cov =",
  kern = "the kernel is cov =", nugget = "the residual variance is the nugget", scale = "the length scale is lengthscale =",
  rho = "the length scale is lengthscale =",
  ls = "the length scale is lengthscale =", iso = "one length scale for each coordinate is ard = TRUE"
)

# By argument: what is offered in its place, of a fit
fit_habits <- local({
  kernel <- "the covariance between ids is K = list(id = matrix)"
  formula <- "random effects are terms of the formula, as (1 | id)"
  c(
    family = "only normal responses are available here; for others see slamglmm_fit(family =) or lme4::glmer()", kinship = kernel, kin = kernel, kins = kernel,
    ginverse = kernel, varlist = kernel,
    corrMatrix = kernel, cov_ranef = kernel, Gu = kernel, data2 = kernel, random = formula, varFunc = "give weights =",
    correlation = "correlated rows are a kernel over rows, K =, or a term gp(time)"
  )
})

# Of slamglmm_fit(), after MCMCglmm, brms, Hmsc, gllvm, MegaLMM and JAGS
slam_habits <- local({
  threads <- "chains run on the threads of options(fastlmm.threads =), or in the processes of future::plan()"
  iter <- "iterations of each chain, warmup included, are iter ="
  warmup <- "discarded iterations are warmup ="
  factors <- "the number of factors is n_factors ="
  keep <- "keep = says what is stored; see ranef() and predict()"
  c(
    cores = threads, mc.cores = threads, ncores = threads, n_cores = threads, nParallel = threads, num_cores = threads, threads = threads, parallel = threads,
    nitt = iter, niter = iter, n.iter = iter, n_iter = iter,
    iterations = iter, samples = iter, burnin = warmup, burn = warmup, burn_in = warmup, nburn = warmup, n.burnin = warmup, transient = warmup,
    nchains = "chains =", n.chains = "chains =", nChains = "chains =", n_chains = "chains =",
    n.thin = "thin =", nthin = "thin =", k = factors, nfactors = factors, num.lv = factors, nlv = factors, n.lv = factors, pr = keep, pl = keep,
    save_pars = keep, rcov = "each response has a residual, and factors correlate them",
    distr = "the family of a response is family =", offset = "an offset is a term of the formula, offset(log(size))", refresh = "a bar is progress = TRUE",
    init = "chains start by themselves", inits = "chains start by themselves",
    sample_prior = "draws of the prior are slam_prior_draws()", adapt_delta = "there is nothing to tune", priors = "prior ="
  )
})

# Of fastlmm_scan() and fastlmm_permute(), after rrBLUP, statgenGWAS, qtl2, GAPIT and sommer
scan_habits <- local({
  maf <- "the least allele frequency that is tested is maf ="
  null <- "fixed effects, covariates and principal components are those of the fit"
  kernel <- "the kernel is that of the fit; kernels without the group of a candidate, as its chromosome, are groups = and kernels ="
  variances <- "variances are those of the fit, refit = \"none\" of fastlmm_scan(), or estimated anew for each candidate with refit = \"delta\""
  shown <- "lines are asked of plot(scan, threshold =), hits of summary(scan)"
  threads <- "threads are options(fastlmm.threads =)"
  draws <- "the number of permutations is n = of fastlmm_permute()"
  strata <- "rows are not permuted, but what fixed effects and kernel of the fit leave; strata are terms of its formula"
  c(
    min.MAF = maf, minMAF = maf, min_maf = maf, MAF = maf, useMAF = maf, MAC = maf, SNP.MAF = maf,
    n.PC = null, PCA.total = null, fixed = null, covar = null, snpCov = null, addcovar = null, Xcovar = null, CV = null, X = null,
    intcovar = "the variable of an interaction is interaction = ~ x",
    K = kernel, kin = kernel, kinship = kernel, KI = kernel, kinshipMethod = kernel,
    GLSMethod = kernel, loco = kernel, P3D = variances, hsq = variances, remlAlgo = variances, reml = "REML or ML is that of the fit",
    genomicControl = "p-values are not divided by lambda, which summary(scan) has", thrType = shown, LODThr = shown, alpha = shown, nSnpLOD = shown,
    sizeInclRegion = shown, minR2 = shown, n.core = threads, n.cores = threads, nCores = threads, ncores = threads, cores = threads, mc.cores = threads,
    nperm = draws, n_perm = draws, n.perm = draws, nPerm = draws, perm = draws, perms = draws, n_perms = draws, permutations = draws, nrep = draws,
    B = draws, R = draws,
    perm_strata = strata, perm.strata = strata, perm_Xsp = strata, strata = strata
  )
})

# Of any function
argument_habits <- local({
  search <- "not available, since the whole range is searched; settings are control = fastlmm_control()"
  bootstrap <- "a bootstrap is bootstrap(fit), and confint(fit, method = \"boot\")"
  c(
    REML = "write method = \"ML\" in fastlmm_fit() for maximum likelihood, method = \"REML\" for restricted",
    ddf = "degrees of freedom are df = of summary() and confint(), ddf = of anova() and contest()",
    start = search, verbose = "write control = fastlmm_control(verbose = TRUE)", optimizer = search, nAGQ = search, devFunOnly = search, maxpts = search,
    devtol = search,
    newparams = "not available: predictions are made at the estimates", terms = "not available: use re.form to select random effects",
    use.u = "write re.form = NULL to keep the effects of the fit", allow_new_levels = "write allow.new.levels = TRUE",
    ReForm = "write re.form", REForm = "write re.form", REform = "write re.form", postVar = "write condVar",
    use.hessian = "not available: the covariance is exact",
    sigm = "not available: sigma is that of the fit", nsim = bootstrap, boot.type = bootstrap, FUN = bootstrap,
    parallel = "threads are options(fastlmm.threads =)",
    ncpus = "threads are options(fastlmm.threads =)", full = "not available here; use extract_fit() for a fit of one response",
    random.only = "not offered here", oldNames = "not available here: the rows have the names of the parameters"
  )
})

# ---- unused arguments ---------------------------------------------------------------------------------

# What is said of arguments that a function does not have: `known` are those that it has.
unused_advice <- function(names, known) {
  names <- names[nzchar(names)]
  all_habits <- c(
    spelling_of_df(known), spelling_of_draws(known), if ("n_factors" %in% known) slam_habits, if ("candidates" %in% known) scan_habits, argument_habits,
    if ("formula" %in% known) fit_habits
  )
  habits <- all_habits[names]
  advice <- ifelse(is.na(habits), vapply(names, spelling_advice, "", known = known), paste0("; ", names, ": ", habits))
  general <- if (any(is.na(habits) & !nzchar(advice)) || length(names) == 0) paste0("; it takes ", toString(known))
  paste0(c(unique(advice), general), collapse = "")
}

# Degrees of freedom as this function spells them
spelling_of_df <- function(known) {
  if ("df" %in% known) return(c(ddf = "here it is df, as df = \"satterthwaite\" or \"kenward-roger\""))
  if ("ddf" %in% known) c(df = "here it is ddf, as ddf = \"satterthwaite\" or \"kenward-roger\"")
}

# The number of draws, as this function spells it
spelling_of_draws <- function(known) {
  if ("R" %in% known) return(c(nsim = "here the number of draws is R", nboot = "here the number of draws is R"))
  if ("nsim" %in% known) c(R = "here the number of draws is nsim", nboot = "here the number of draws is nsim")
}

spelling_advice <- function(name, known) if (length(known) == 0) "" else did_you_mean(name, known)

known_arguments <- function(f) setdiff(names(formals(f)), "...")
