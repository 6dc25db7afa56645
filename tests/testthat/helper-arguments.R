# Every exported function and every method, each argument in turn given what nobody means: it works, or stops by a class of this package.

odd_arguments <- function() {
  list(
    NULL, NA, NA_character_, "a", "", c(TRUE, NA), c("a", "b"), 0, -1, 1.5, 1e10, 1e13, NaN, Inf, -Inf, character(0), numeric(0), list(), list(mean), mean, sum,
    1i, as.raw(1), factor("a"), data.frame(),
    as.Date("2020-01-01"), quote(x), quote(f(x)), new.env(), matrix(1:4, 2), 1:3, TRUE, ~x, y ~ 1
  )
}

argument_objects <- function() {
  set.seed(1)
  ids <- paste0("i", 1:20)
  n <- 40
  data <- data.frame(id = rep(ids, 2), x = rnorm(n), u = runif(n), v = runif(n), g = rep(c("a", "b", "c", "d"), 10))
  W <- matrix(rnorm(20 * 30), 20, dimnames = list(ids, NULL))
  K <- tcrossprod(W) / 30
  data$y <- rnorm(n) + data$x / 2 + rep(t(chol(K)) %*% rnorm(20), 2)
  data$y2 <- rnorm(n) + data$y / 2
  data$y3 <- rnorm(n)
  M <- matrix(rbinom(n * 6, 2, 0.4), n, dimnames = list(NULL, paste0("m", 1:6)))
  genotypes <- `rownames<-`(M, paste0("r", seq_len(n)))
  fit <- fastlmm_fit(y ~ x + (1 | id), data, K = K)
  gp <- fastlmm_fit(y ~ x + gp(u, v, lengthscale = 0.3), data)
  mlm <- fastlmm_fit(cbind(y, y2, y3) ~ x + (1 | id), data, K = K)
  gp_mlm <- fastlmm_fit(cbind(y, y2, y3) ~ x + gp(u, v, lengthscale = 0.3), data)
  scan <- fastlmm_scan(fit, M, progress = FALSE)
  slam <- quiet_slam(cbind(y, y2, y3) ~ x + (1 | id), data, K = K, n_factors = 2, chains = 2, iter = 60, seed = 1, progress = FALSE)
  points <- data.frame(id = rep(1:20, each = 4), t = rep(1:4, 20), y = sin(1:80) + rep(1:20, each = 4) %% 7)
  curves <- quiet_slam(
    slam_curves(y ~ t, id, points, basis = curve_bspline(4)) ~ 1 + (1 | g), data.frame(id = 1:20, g = rep(1:5, 4)), chains = 1, iter = 30, seed = 1,
    progress = FALSE
  )
  means <- quiet_slam(
    cbind(y, y2, y3) ~ 1 + (1 | id), data, n_factors = 2, chains = 2, iter = 60, seed = 1,
    prior = slam_prior(loading_means = loading_regression(~z, data.frame(z = 1:3, row.names = c("y", "y2", "y3"))))
  )
  placed <- data.frame(chr = 1:6, pos = 1:6 * 1e6, effect_allele = "A", other_allele = "C")
  list(
    placed_scan = fastlmm_scan(fit, M, map = placed, progress = FALSE),
    slam_cis = quiet_slam(cbind(y, y2, y3) ~ 1 + (1 | id), data, cis = list(y2 = ~x), n_factors = 1, chains = 1, iter = 30, seed = 1),
    slam_curves = curves, slam_means = means, slam_loading_regression = means$prior$loading_means,
    fastlmm = fit, mix = fastlmm_fit(y ~ x + (1 | id) + (1 | g), data, K = list(id = K)), fastlmm_gp = gp, fastlmm_mlm = mlm, fastlmm_gp_mlm = gp_mlm,
    slamglmm = slam, fastlmm_scan = scan,
    fastlmm_permute = fastlmm_permute(fit, M, n = 50, seed = 1, progress = FALSE), fastlmm_genotypes = genotype_means(fit, M[, 1, drop = FALSE]),
    fastlmm_profile = profile(fit), influence.fastlmm = influence(fit, "id"), VarCorr.fastlmm = VarCorr(fit), fastlmm_gp_anova = anova(gp_mlm),
    ranef.slamglmm = ranef(slam), ranef.fastlmm = ranef(fit),
    fastlmm_bootstrap = bootstrap(fit, R = 10, seed = 1, progress = FALSE), fastlmm_pp_check = pp_check(slam, 5, seed = 1),
    fastlmm_power = power(fit, "x", n = c(15, 20), R = 10, seed = 1, progress = FALSE),
    summary.fastlmm = summary(fit), summary.fastlmm_mlm = summary(mlm), summary.fastlmm_gp = summary(gp), summary.fastlmm_scan = summary(scan),
    known = fastlmm_fit(y ~ x + (1 | g), data, sigma2_e = 1),
    data = data, K = K, W = W, M = M, genotypes = genotypes,
    tree = structure(list(edge = matrix(c(3, 3, 1, 2), 2), edge.length = c(1, 2), tip.label = c("a", "b"), Nnode = 1L), class = "phylo"),
    fastlmm_markers = kernel_markers(genotypes), lowrank = fastlmm_fit(y ~ x + (1 | id), data, K = kernel_lowrank(W)),
    basis = gp_basis(c(u = 0, v = 0), c(u = 1, v = 1), c(0.1, 1))
  )
}

# Functions with arguments that work, to be replaced one by one
argument_calls <- function(o) {
  call_of <- function(name, given = list(), f = getExportedValue("fastlmm", name)) list(
    name = name, f = f, given = given, vary = setdiff(names(formals(f)), "...")
  )
  quiet <- list(progress = FALSE)
  scanned <- c(list(fit = o$fastlmm, candidates = o$M), quiet)
  process <- function(...) fastlmm_fit(eval(bquote(y ~ x + .(as.call(c(list(quote(gp), quote(u), quote(v)), list(...)))))), o$data)
  list(
    call_of("fastlmm_fit", list(formula = y ~ x + (1 | id), data = o$data, K = o$K)),
    call_of("test_heterogeneity", list(fit = o$known)),
    call_of("slamglmm_fit", c(list(formula = cbind(y, y2, y3) ~ x + (1 | id), data = o$data, K = o$K, n_factors = 1, iter = 20, chains = 1), quiet)),
    call_of("fastlmm_scan", scanned), call_of("fastlmm_scan", replace(scanned, "fit", o["fastlmm_mlm"])), call_of("fastlmm_permute", c(scanned, n = 20)),
    call_of("genotype_means", list(fit = o$fastlmm, candidates = o$M[, 1:2])), call_of("write_scan", list(scan = o$placed_scan, file = tempfile())),
    call_of("bootstrap", list(object = o$fastlmm, R = 10, progress = FALSE)), call_of("test_variance", list(fit = o$fastlmm, nsim = 20)),
    list(name = "contest", f = fastlmm::contest, given = list(model = o$mix, L = diag(2)), vary = c("L", "rhs", "joint", "ddf", "level")),
    list(
      name = "power", f = fastlmm::power, given = list(object = o$fastlmm, term = "x", R = 10, progress = FALSE),
      vary = c("term", "n", "R", "effect", "alpha", "seed", "progress")
    ),
    call_of("fastlmm_control"), call_of("fastlmm_decompose", list(K = o$K)), call_of("kernel_eigen", list(E = fastlmm_decompose(o$K))),
    call_of("kernel_lowrank", list(W = o$W)),
    call_of("kernel_markers", list(M = o$genotypes, loco = rep(1:2, 3))),
    call_of("kernel_precision", list(P = o$K)), call_of("kernel_tree", list(phylo = o$tree)), call_of("inbreeding", list(x = kernel_pedigree("a", "b", NA))),
    list(name = "kernel_pedigree", f = kernel_pedigree, given = list(id = "a", sire = "b", dam = NA), vary = c("id", "sire", "dam", "sexes")),
    call_of("inverse_gamma", list(shape = 1, scale = 1)), call_of("inverse_wishart", list(V = 1, nu = 3)), call_of("horseshoe"), call_of("mgp"),
    call_of("slam_prior"), call_of("restore", list(dir = tempfile())),
    call_of("gp_basis", list(lower = 0, upper = 1, lengthscale = c(0.1, 1))),
    call_of("gp_accumulate", list(formula = y ~ x + gp(u, v), data = o$data, basis = o$basis)),
    call_of("fastlmm_exclude", list(fit = o$lowrank, columns = 1:2)), call_of("extract_fit", list(fit = o$fastlmm_mlm, response = 1)),
    call_of("posterior_cells", list(object = o$slamglmm)), call_of("log_lik", list(object = o$slamglmm)),
    call_of("factor_summary", list(object = o$slamglmm)), call_of("factor_loadings", list(x = o$slamglmm)),
    call_of("variance_parts", list(object = o$slamglmm)), call_of("beta_prior", list(shape1 = 1, shape2 = 1)), call_of("point_zero"),
    call_of("dirichlet_prior"), call_of("negative_binomial"), call_of("ordinal"), call_of("slam_join", list(u = o$data$y, v = o$data$y2)),
    call_of("slam_voom", list(counts = matrix(1:40, 4, dimnames = list(letters[1:4], NULL)))),
    call_of("slam_probes", list(M = cbind(p = o$data$y, q = o$data$y2), gene = c(p = "g", q = "g"))),
    call_of("slam_curves", list(formula = y ~ x, id = 1:5, by = "id", data = data.frame(id = 1:5, x = 1:5, y = c(2, 1, 4, 3, 7)), basis = curve_bspline(4))),
    call_of("basis_at", list(object = o$slam_curves, times = 1:2)), call_of("curve_bspline"), call_of("curve_fourier", list(period = 1)),
    call_of("fixed_variance", list(value = 1)),
    call_of("loading_regression", list(formula = ~x, data = data.frame(x = 1:3, row.names = c("y", "y2", "y3")))),
    call_of("loading_effects", list(x = o$slam_means)), call_of("cis_effects", list(object = o$slam_cis)),
    call_of("slam_prior_draws", list(n = 5)), call_of("extend", c(list(object = o$slamglmm, iter = 20), quiet)),
    call_of("genetic_covariance", list(object = o$slamglmm)), call_of("residual_covariance", list(object = o$slamglmm)),
    call_of("phenotypic_covariance", list(object = o$slamglmm)),
    call_of("genetic_correlation", list(object = o$slamglmm)), call_of("residual_correlation", list(object = o$slamglmm)),
    call_of("phenotypic_correlation", list(object = o$slamglmm)), call_of("heritability", list(object = o$slamglmm)),
    list(name = "gp", f = process, given = list(lengthscale = 0.3), vary = setdiff(names(formals(gp)), "..."))
  )
}

# By dispatch, as users call them: the generic is found where it was registered for
argument_methods <- function(o) {
  registered <- getNamespaceInfo("fastlmm", "S3methods")[, 1:2]
  subsets <- registered[, 1] %in% c("[", "[[", "$", "+", "rbind")
  # arguments of methods for generics of other packages are theirs to check
  neighbours <- c(
    "bbmle", "car", "datawizard", "effects", "emmeans", "ggeffects", "insight", "lattice", "lmerTest", "lmtest", "multcomp", "parameters", "performance",
    "xtable"
  )
  delayed <- parseNamespaceFile("fastlmm", dirname(system.file(package = "fastlmm")))$S3methods
  theirs <- registered[, 1] %in% delayed[delayed[, 4] %in% neighbours, 1]
  rows <- registered[registered[, 2] %in% names(o) & !subsets & !theirs, , drop = FALSE]
  calls <- lapply(seq_len(nrow(rows)), function(i) {
    method <- getS3method(rows[i, 1], rows[i, 2], optional = TRUE, envir = asNamespace("fastlmm"))
    generic <- get0(rows[i, 1], envir = asNamespace("fastlmm"), mode = "function")
    if (is.null(method)) return(NULL)
    arguments <- setdiff(names(formals(method))[-1], "...")
    of <- if (rows[i, 2] == "fastlmm") c("fastlmm", "mix") else rows[i, 2]
    lapply(
      of,
      function(class) list(
        name = paste(rows[i, 1], class, sep = "."), f = if (is.null(generic)) method else generic, given = unname(o[class]), vary = arguments
      )
    )
  })
  unlist(calls, recursive = FALSE)
}

# What a call did that it should not: an error or a warning without a class of this package, or a computation without an end
argument_fault <- function(call, argument, value) {
  given <- call$given
  if (argument %in% names(given)) given[argument] <- list(value) else given <- c(given, structure(list(value), names = argument))
  warned <- NULL
  on.exit(setTimeLimit())
  limit_own_time(20)
  faults <- tryCatch(
    withCallingHandlers(
      {
        utils::capture.output(print(do.call(call$f, given, quote = TRUE)))
        NULL
      },
      warning = function(w) {
        if (!inherits(w, "fastlmm_warning")) warned <<- conditionMessage(w)
        invokeRestart("muffleWarning")
      },
      message = function(m) invokeRestart("muffleMessage")
    ),
    fastlmm_error = function(e) NULL, error = conditionMessage
  )
  faults <- c(faults, warned)
  if (length(faults) > 0) paste0(call$name, "(", argument, " = ", substr(deparse1(value), 1, 40), "): ", faults)
}

argument_faults <- function(calls, values) {
  grDevices::pdf(NULL)
  # "a" may be taken for a directory
  old <- setwd(tempdir())
  on.exit({
    grDevices::dev.off()
    setwd(old)
  })
  unlist(lapply(calls, function(call) lapply(call$vary, function(argument) lapply(values, argument_fault, call = call, argument = argument))))
}
