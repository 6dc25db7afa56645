#' Sparse-factor mixed model for many responses
#'
#' Samples from the posterior distribution of `Y = F Lambda' + X B + Z U + E`, where the k factors F have covariates and a random effect of
#' their own. The covariance of the random effects between responses is `G = Lambda diag(h_F) Lambda' + diag(h sigma2)`, that of the residuals
#' `R = Lambda diag(1 - h_F) Lambda' + diag((1 - h) sigma2)`. The proportions of variance explained by the random effect, h of each response
#' and h_F of each factor, lie on a grid. Loadings are shrunk, more strongly for later factors.
#'
#' @section Computation:
#' With one random effect all steps are carried out in the basis of the eigenvectors of the kernel, which is kept as small as the rank of the
#' kernel allows; none needs an n x n matrix. Random effects are integrated out of every step and drawn only on request. Missing cells of Y are
#' drawn as well.
#'
#' Each of several random effects r has proportions `h_r` and a covariance `G_r = Lambda diag(h_rF) Lambda' + diag(h_r sigma2)`. The grid of
#' proportions is then one of H, the proportion that all effects explain together, and of their shares w in it, which sum to 1. All points with
#' the same shares form a ray: along it `V = H sum_r w_r Z_r K_r Z_r' + (1 - H) I` is diagonal in one basis, so that a ray costs one
#' eigendecomposition of n rows. An iteration takes many times as long as with one effect (`preview = TRUE` gives the time). Missing cells are
#' then always drawn (`missing = "impute"`), and chains that are continued in another session recompute the bases.
#'
#' @section Reproducibility:
#' Draws depend on `seed` only: not on threads, on the number of other chains, on processes of a [future::plan()] (over which chains are
#' distributed), on interruptions, or on the BLAS used by R. Processors with different vector instructions may round differently; a run in
#' `dir` then continues with the basis with which it began. Draws depend on every digit of the data and of `K`: a `K` computed through R's
#' BLAS, as by [tcrossprod()], has different last digits under another BLAS or number of BLAS threads, and the draws are then other draws from
#' the same posterior. Save such a `K` in a file ([saveRDS()]) to have the same draws elsewhere.
#'
#' @param formula on the left, responses: a matrix, a numeric data frame, `cbind()`, or an object for data whose columns are not traits (see
#'   [slam_probes()], [slam_curves()] and [slam_join()]). On the right, fixed effects; `offset()` (a number for each row, the same for all
#'   responses, or a matrix, rows x responses, whose columns are matched by name where they have names); and one to four random effects,
#'   `(1 | id)`, `(0 + x | id)` or `(1 + x || id)`, as in [fastlmm_fit()]. A [kernel_mix()] counts as many effects as it has kernels. An effect
#'   has the name of its grouping factor; further effects of the same factor (slopes) are named `id.1`, ..., those of a mix `id.A`, ...: see
#'   `names(VarCorr(fit))`.
#'
#'   Where ids have several rows and a kernel, the model should usually include an effect of the id without kernel (permanent environment), by
#'   `K = list(id = kernel_mix(A = A, own = NULL))`: otherwise the effect of the kernel absorbs it, and its h2 is too large. Fixed effects have
#'   flat priors, except those that are also in `factors`, and covariates of responses with a `family` (`coefficients` of [slam_prior()]). Rows
#'   with a missing covariate or id are left out.
#' @param data,K as in [fastlmm_fit()]. With several grouping factors K is a list named by them, `K = list(id = A)`; an effect that is not
#'   named has the identity: its levels are independent.
#' @param factors covariates of the factors, such as `~ sex`; their coefficients have a normal prior, whose variance they share with the
#'   coefficients of the same column in `formula`. Factors have all random effects, unless terms of the formula are named here, as in
#'   `~ sex + (1 | id)`. Effects that are not named then have a variance for each response and no covariances, so that their `rg()` is 0. A
#'   term with a `kernel_mix()` stands for all its kernels.
#' @param n_factors number of factors; 0: responses are modelled separately. The default is one for each response, at most 20: with p factors p
#'   responses can have any G and R, and extra factors only cost time. Fewer factors constrain G and R (with one factor, each genetic
#'   correlation has the sign of the residual correlation), so a number below the default gives the message `n_factors`. With more than 20
#'   responses that have many common causes, increase `n_factors` until the last factors in [factor_summary()] explain almost nothing.
#'   `"adaptive"` does this with a short run (as long as the warmup, at least 200 iterations): it takes two factors more than the number that
#'   explain a hundredth (4 / n for n rows, if that is larger) of the variance of two responses, with the message `n_factors`.
#' @param prior a prior by [slam_prior()], or a list as for MCMCglmm with the elements `R` (`V`, `nu`) and `G` (a list with one of these for
#'   each random effect, named by effect or in the order of `names(VarCorr(fit))`). Only the diagonal of `V` is used, in units of the
#'   responses. For each response, R and G together give the inverse gamma prior of the variance that the factors do not explain (with
#'   `nu - p + 1` degrees of freedom for p responses, as in MCMCglmm). The beta prior of its proportion (Dirichlet, for several effects) has
#'   the share of G in their sum as mean, and is uniform where they are equal. Elements without a counterpart (correlations in `V`, `alpha.mu`,
#'   `alpha.V`, `fix`, `B`) are ignored, with the message `prior`.
#' @param grid number of points of the grid of proportions, 0 to 1 - 1 / grid, or the points themselves, increasing from 0 to below 1. By
#'   default no proportion is above 0.95; `c((0:19) / 20, 0.97, 0.98, 0.99, 0.995)` is finer where almost nothing is residual.
#' @param rays with several random effects, the number of steps, 1 to 100, into which the range of their shares is divided (see Computation);
#'   `NULL`: 10, 6 and 4 for two, three and four effects, which gives 11, 28 and 35 rays. Each ray takes the memory of an n x n matrix for n
#'   rows. Not used with one random effect.
#' @param family distribution of the responses: one family for all of them, or a list named by response,
#'   `list(count = poisson(), sick = binomial())`; the others are normal. Names of families, such as `"poisson"`, are accepted. See
#'   [negative_binomial()].
#' @param weights matrix, rows of `data` x responses. For normal responses, known precisions of measurement, `y ~ N(eta, 1 / weights)`, in
#'   addition to the residual of the model; for `binomial()`, numbers of trials; ignored for other families. A cell of weight 0 counts as not
#'   observed. Columns with names are matched to the responses, rows with names to those of the data; a cell without a weight is left out, with
#'   the message `missing_weights` where it has a response.
#' @param cis covariates of single responses, in addition to those in `formula`: a list of formulas named by response,
#'   `list(gene1 = ~ snp1, gene7 = ~ snp2 + snp3)`. Rows in which one of them is missing are left out, as for those in `formula`. See
#'   [cis_effects()].
#' @param known_loadings matrix, responses x factors, of loadings that are known, in units of the responses; `NA`: to be estimated. Its columns
#'   are the first factors; its rows are matched by name where they have names, otherwise they are in the order of the responses.
#' @param missing missing cells of Y are drawn (`"impute"`), or integrated out, jointly for responses observed in the same rows
#'   (`"integrate"`); `"auto"`: whichever is expected to take less time for the same effective sample size. The posterior is the same.
#' @param keep what is stored of each draw in addition to loadings, proportions, variances and coefficients: `"factors"`, `"cells"` (missing
#'   cells that are drawn), both, or `character()`. [predict()], [ranef()], [fitted()], [residuals()], [simulate()], [pp_check()], [scores()],
#'   [biplot()] and [posterior_cells()] (of cells that were integrated out) need the factors, and all of these except `scores()` and `biplot()`
#'   need the cells where there are missing ones (otherwise the error `not_kept`). By default both, except the factors where their draws would
#'   take more than 1 GiB, with the message `keep`.
#' @param storage precision of the stored draws: `"single"` halves the disk space in `dir` and keeps seven digits (R holds them as doubles in
#'   memory); the chains are always run in double precision.
#' @param preview do not sample, but return what sampling would cost? The result is a list of class `slam_preview`: `draws`, `setup` (both in
#'   bytes), `iteration` (seconds for one iteration of one chain), `seconds` (for the whole run, on the threads of `control`).
#' @param subset rows to use, evaluated in `data`.
#' @param chains,iter,warmup,thin number of chains; number of iterations of each chain, including warmup; number of iterations discarded at the
#'   beginning as warmup; thinning interval. A fit has `chains * (iter - warmup) / thin` draws.
#' @param seed a whole number; `NULL`: from R's generator, or the seed of the run that is in `dir`.
#' @param dir directory in which draws and states are stored while the chains run. The same call, [restore()] and [extend()] continue from
#'   there, also after a crash, an interrupt or a time limit, or on another machine; `extend()` of such a fit writes there too, and the same
#'   call then returns everything that is there. A call with other data, priors, `chains`, `warmup`, `thin` or seed is refused (error
#'   `checkpoint`). Note that the default of `warmup` depends on `iter`: ask for more iterations by `extend(restore(dir), iter)`. A damaged
#'   file counts as absent: its iterations are computed again, with the message `checkpoint`.
#' @param control settings by [fastlmm_control()].
#' @param progress show a progress bar with the time left? See [fastlmm_scan()].
#' @param ... not used; an unknown argument is an error.
#' @return A list of class `slamglmm`; see [slamglmm_draws], [G()], [h2()], [factor_loadings()], [predict.slamglmm()], [summary.slamglmm()],
#'   [posterior_cells()]. `draws` are in the units of the sampler (see [slam_prior()]); `fit$scale$sd` has the standard deviations by which the
#'   responses were divided. Rows without any response, or without any weight, are left out; predict them as `newdata`.
#' @section Convergence:
#' [print()] says whether the chains have converged. Where they have not, or the effective sample size is below 100 for each chain, the message
#' `convergence` says so, with the iterations that [extend()] needs. The element `convergence` is a list of the largest `rhat`, the quantity
#' that has it (`worst`), and the smallest effective sample sizes of the bulk and of the tails (`bulk`, `tail`) over h2, G, R, rg and B.
#' `shown` of `all` quantities were examined. `unjudged` of these, `unjudged_names`, are not defined in all draws (a correlation where a
#' variance is 0) and not judged; `zero` has the proportions of such draws, by variance. It is `NULL` with fewer than 8 draws per chain.
#' @section Identifiability:
#' The warnings `not_identifiable` and `confounded` say that the random effect cannot be distinguished from the residual (one row for each id
#' and no K, or a K that is explained by the fixed effects). The fit is then a factor analysis: P, loadings and fixed effects are estimated,
#' and h2 is NA.
#'
#' The message `repeated` says that ids with a kernel have several rows and no independent effect.
#' @section Errors and interrupts:
#' Messages, warnings and errors named here have the classes `fastlmm_message_<name>`, `fastlmm_warning_<name>` and `fastlmm_error_<name>`.
#'
#' An interrupt returns the draws so far, with the message `interrupted`; a time limit ([setTimeLimit()]) is an error, after which [restore()]
#' reads what is in `dir`.
#'
#' Errors: those of [fastlmm_fit()]; `family` for responses that do not suit their family; `weights`; `response_type`; `response_names` for
#' duplicated names of responses; `row_names` and `orientation` for rows whose names are not those of the data; `slam_effects` for more than
#' four random effects and, with several, for `missing = "integrate"` and for `given` of `predict()` with only some of them; with several
#' effects `not_identifiable` and `confounded`, which name those that cannot be distinguished; `unused_kernel` for a name in K that is not a
#' grouping factor; `cis` (see [cis_effects()]); `prior`; `known_loadings`; `missing_response`, `constant_response`, `nonfinite`, `perfect_fit`
#' (the fixed effects explain a response exactly), which name the responses; `checkpoint` for a `dir` of another model or of an earlier version
#' of the package, and for one that cannot be written; `memory`, with the size that the draws would take.
#' @references
#' Runcie, D. E. and Mukherjee, S. (2013) Dissecting high-dimensional phenotypes with Bayesian sparse factor analysis of genetic covariance
#' matrices. Genetics 194, 753-767.
#'
#' Runcie, D. E. and others (2021) MegaLMM: mega-scale linear mixed models for genomic predictions with thousands of traits. Genome Biology 22, 213.
#' @examples
#' set.seed(1)
#' ids <- paste0("i", 1:60)
#' markers <- matrix(rnorm(60 * 100), 60, dimnames = list(ids, NULL))
#' data <- data.frame(id = ids, sex = rep(0:1, 30))
#' factor <- drop(markers %*% rnorm(100, sd = 0.1)) + rnorm(60, sd = 0.5)
#' data$Y <- outer(factor, c(1, 0.8, -0.6, 0, 0)) + data$sex + matrix(rnorm(300), 60)
#' fit <- slamglmm_fit(Y ~ sex + (1 | id), data, K = tcrossprod(markers) / 100, n_factors = 2, chains = 2, iter = 400, seed = 1)
#' fit
#' round(G(fit), 2)
#' h2(fit)
#'
#' # two rows of each id: genes, what else is the id's own (permanent environment), and blocks
#' twice <- data[rep(1:60, 2), ]
#' twice$Y <- twice$Y + matrix(rnorm(600), 120)
#' twice$block <- paste0("b", rep(1:12, 10))
#' K <- list(id = kernel_mix(A = tcrossprod(markers) / 100, own = NULL))
#' fit <- slamglmm_fit(Y ~ sex + (1 | id) + (1 | block), twice, K = K, chains = 2, iter = 200, seed = 1)
#' h2(fit)
#' h2(fit, effect = "id.A")
#' round(rg(fit, "id.A"), 2)
#' @order 1
#' @export
slamglmm_fit <- function(formula, data = NULL, K = NULL, factors = ~ 1, n_factors = NULL, prior = slam_prior(), grid = 20, known_loadings = NULL, missing = c(
  "auto", "impute", "integrate"
), subset = NULL,
                         chains = 4, iter = 2000, warmup = floor(iter / 2), thin = 1, keep = NULL, seed = NULL, dir = NULL, storage = c("double", "single"),
                         preview = FALSE, control = fastlmm_control(),
                         progress = interactive(), rays = NULL, family = NULL, weights = NULL, cis = NULL, ...) {
  check_arguments(...)
  call <- match.call()
  control <- check_control(control)
  plan <- check_plan(chains, iter, warmup, thin, grid)
  missing <- one_of(missing)
  plan$storage <- one_of(storage)
  extras <- Filter(Negate(is.null), list(subset = substitute(subset)))
  data <- as_data_frame(data)
  parts <- split_formula(formula, data, parent.frame())
  left <- left_side(parts, data)
  weights <- cell_weights(weights, left, parts$fixed[[2]], family, data)
  parts <- matrix_response(parts, left, data)
  cis <- cis_frames(cis, data)
  known <- Filter(Negate(is.null), list(cis = cis_rows_known(cis), cells = rows_with_weight(weights)))
  design <- mold_design(parts, data, c(extras, known), stats::na.omit, NULL, cells = TRUE)
  design$frame[c("(cis)", "(cells)")] <- NULL
  refuse_correlated(design$random, "slamglmm_fit() does not support")
  if (!is.null(parts$gp)) slam_random(list(), parts)
  random <- slam_random(mold_random(K, parts, design, control), parts)
  plan$steps <- check_rays(rays, length(random))
  factors <- split_factors(factors, random)
  values <- slam_data(parts, design, random, factors$fixed, data, extras, family, weights, cis)
  if (!is.null(values$links)) missing <- drawn_missing(missing)
  if (!is.null(cis)) missing <- drawn_missing_cis(missing)
  design$frame[[1]] <- if (is.null(response_blocks(design$frame[[1]]))) plain_response(design$frame[[1]]) else values$response
  k <- check_factors(n_factors, ncol(values$Y))
  plan$keep <- check_keep(keep, plan, nrow(values$Y), k)
  check_plan_memory(plan, nrow(values$Y), ncol(values$Y), k, length(random))
  with_factors <- function(k) new_slamglmm(call, parts, design, random, factors$effects, values, k, prior, plan, known_loadings, missing, control)
  fit <- with_factors(k)
  if (identical(n_factors, "adaptive")) fit <- adapt_factors(fit, with_factors)
  fit$seed <- check_seed(seed)
  fit$own_seed <- is.null(seed)
  check_draws_memory(fit)
  warn_unidentified(fit)
  tell_repeats(fit)
  if (preview) return(slam_preview(fit))
  if (!is.null(dir)) fit <- open_slam(fit, dir)
  slam_run(fit, isTRUE(progress))
}

new_slamglmm <- function(call, parts, design, random, of_factors, values, k, prior, plan, known, missing, control) {
  n <- nrow(values$Y)
  several <- length(random) > 1
  basis <- if (several) several_basis(random) else slam_basis(random[[1]], n)
  prior <- link_prior(as_slam_prior(prior, values$scale$sd, basis$mean_diag), behind_of(values), k)
  sets <- if (several) several_sets(missing) else slam_sets(values, random[[1]], basis, k, missing)
  data <- slam_numbers(values, basis, known_loadings(known, k, values), sets)
  fit <- structure(
    list(
      call = call, formula = parts$formula, terms = design$terms, frame = design$frame, xlevels = stats::.getXlevels(design$terms, design$frame),
      contrasts = attr(design$X, "contrasts"), random = random, Y = values$Y, offset = values$offset, X = values$X, fixed = values$fixed,
      covariates = values$covariates,
      links = values$links, cis = values$cis, scale = values$scale, all_columns = colnames(design$X),
      null_space = null_space(design$X, match(colnames(values$X), colnames(design$X))), missing = values$missing, basis = basis, n_factors = k, prior = prior,
      data = data, unidentified = if (!several) unidentified(basis$s, data$x), of_factors = of_factors,
      plan = plan, control = control, na.action = design$na.action, rows = design$rows, states = vector("list", plan$chains), done = 0, draws = NULL
    ),
    class = "slamglmm"
  )
  fit$numbers <- fit_prior_numbers(fit, prior)
  if (several) {
    check_effects_apart(random, data$x, basis$mean_diag)
    fit$held <- new.env(parent = emptyenv())
  }
  fit
}

# Is each response behind a link?
behind_of <- function(values) {
  behind <- if (is.null(values$links)) rep(FALSE, ncol(values$Y)) else behind_link(values$links)
  stats::setNames(behind, colnames(values$Y))
}

fit_prior_numbers <- function(fit, prior) {
  numbers <- prior_numbers(prior, fit$plan$grid, nrow(fit$Y), colnames(fit$Y), colnames(fit$covariates$XF), several_points(fit), effect_names(fit))
  numbers$cis <- cis_variances(fit, prior)
  if (!has_links(fit) || !any(behind_link(fit$links))) return(numbers)
  numbers$x_behind <- coefficient_variances(prior, fit$fixed)
  fix_variances(numbers, fit$links)
}

# ---- checks -----------------------------------------------------------------------------------------------

check_plan <- function(chains, iter, warmup, thin, grid) {
  count <- function(x, name, least = 1) {
    if (!is.numeric(x) || length(x) != 1 || !is.finite(x) || x < least || x != round(x)) {
      abort_fastlmm("plan", paste0(name, " must be a whole number of at least ", least, ", not ", code_text(x)))
    }
    as.numeric(x)
  }
  plan <- list(
    chains = count(chains, "chains"), iter = count(iter, "iter"), warmup = count(warmup, "warmup", 0), thin = count(thin, "thin"),
    grid = if (length(grid) > 1) check_grid(grid) else count(grid, "grid")
  )
  if (plan$iter > .Machine$integer.max && plan$thin > 1) abort_fastlmm("plan", sprintf("iter must be below 2^31, not %.0f", plan$iter))
  if (plan$iter - plan$warmup < plan$thin) abort_fastlmm(
    "plan", sprintf("no draw is left: %s iterations, %s of them warmup, one draw in %s", plan$iter, plan$warmup, plan$thin)
  )
  plan
}

check_grid <- function(grid) {
  fine <- is.numeric(grid) && is.null(dim(grid)) && all(is.finite(grid)) && all(grid >= 0 & grid < 1) && all(diff(grid) > 0)
  if (!fine) abort_fastlmm("plan", paste0("points of grid must increase from 0 or more to below 1, not ", code_text(grid)))
  as.numeric(grid)
}

# Before anything is made: the least that draws, states and the grid of proportions take
check_plan_memory <- function(plan, n, p, k, effects = 1) {
  points <- (if (length(plan$grid) > 1) length(plan$grid) else plan$grid) * count_rays(effects, plan$steps)
  draws <- 2 * kept_draws(plan) * (p * (k + 3) + k * (if ("factors" %in% plan$keep) n + 2 else 2))
  needed <- 8 * (plan$chains * (draws + n * (p + k)) + points * (n + p + k))
  check_memory(needed, function(needed, available) {
    sprintf("%.0f chains of %.0f factors with a grid of %.0f points would take %s, and there are %s", plan$chains, k, points, needed, available)
  })
}

# Rays of more shares are too many
most_effects <- 4

slam_random <- function(random, parts) {
  if (!is.null(parts$gp)) abort_fastlmm(
    "slam_effects", "slamglmm_fit() takes random effects, as (1 | id), and no gp(); give the kernel of a process by gp_matrix()"
  )
  if (length(random) <= most_effects) return(random)
  abort_fastlmm(
    "slam_effects",
    sprintf(
      "slamglmm_fit() takes at most %d random effects, and the formula has %d: %s; leave some out, or make them fixed effects", most_effects, length(random),
      first_names(names(random))
    )
  )
}

# Values behind links are drawn, and missing cells with them.
drawn_missing <- function(missing) {
  if (missing == "integrate") abort_family("with families or weights missing cells are drawn: leave missing at \"auto\" or \"impute\"")
  "impute"
}

# Responses that were observed in the same rows have a basis of their own, and covariates of single responses are not turned into it.
drawn_missing_cis <- function(missing) {
  if (missing == "integrate") abort_cis("with covariates of single responses missing cells are drawn: leave missing at \"auto\" or \"impute\"")
  "impute"
}

# Steps of the shares of several random effects; NULL: by their number
check_rays <- function(rays, effects) {
  if (is.null(rays)) return(NULL)
  if (!is_count(rays) || rays > 100) abort_fastlmm(
    "plan", paste("rays, steps of the shares of several random effects, must be a whole number from 1 to 100, not", code_text(rays))
  )
  if (effects > 1) as.numeric(rays)
}

check_factors <- function(k, p) {
  if (is.null(k) || identical(k, "adaptive")) return(min(20, p))
  if (!is.numeric(k) || length(k) != 1 || !is.finite(k) || k < 0 || k != round(k)) abort_fastlmm(
    "n_factors", paste("n_factors must be a whole number of at least 0, or \"adaptive\", not", code_text(k))
  )
  if (k > p) inform_fastlmm("n_factors", sprintf("there are more factors (%.0f) than responses (%d): most of them are determined by the prior alone", k, p))
  if (k > 0 && k < min(20, p)) inform_fastlmm("n_factors", few_factors(k, p))
  as.numeric(k)
}

# What too few factors do: with one, G and R off the diagonal are multiples of each other.
few_factors <- function(k, p) {
  tied <- if (k == 1) "one factor makes each genetic correlation have the sign of the residual one" else sprintf(
    "%d factors for %d responses constrain G and R and can force the signs of correlations", as.integer(k), p
  )
  sprintf("%s; n_factors = %d, the default, does not", tied, as.integer(min(20, p)))
}

check_seed <- function(seed) {
  if (is.null(seed)) return(floor(stats::runif(1, 0, 2^31)))
  if (!is.numeric(seed) || length(seed) != 1 || !is.finite(seed) || seed < 0 || seed != round(seed)) abort_fastlmm(
    "seed", paste("seed must be a whole number that is not negative, not", deparse1(seed))
  )
  as.numeric(seed)
}

# What is kept of a draw beside the parameters: by default all, without F where its draws would be large.
check_keep <- function(keep, plan, n, k) {
  if (!is.null(keep)) {
    if (!is.character(keep) || anyNA(keep) || !all(keep %in% c("factors", "cells"))) abort_fastlmm(
      "keep", paste0('keep must be "factors", "cells", both or character(), not ', code_text(keep))
    )
    # in one order: a directory belongs to it
    return(intersect(c("factors", "cells"), keep))
  }
  size <- 8 * n * k * kept_draws(plan) * plan$chains
  if (size <= 2^30) return(c("factors", "cells"))
  inform_fastlmm(
    "keep",
    sprintf(
      'draws of the factors would take %s and are not kept: keep = c("factors", "cells") keeps them for predict(), ranef(), fitted() and scores()', gib(size)
    )
  )
  "cells"
}

# Numbers in a draw
draw_size <- function(fit) {
  n <- nrow(fit$Y)
  p <- ncol(fit$Y)
  k <- fit$n_factors
  rows <- if ("factors" %in% kept(fit)) n else 0
  p * (ncol(fit$X) + k + 2) + count_cis(fit) + k * (rows + 2 + ncol(fit$covariates$XF) + count_trait_covariates(fit)) +
    if ("cells" %in% kept(fit)) drawn_cells(fit) else 0
}

# Cells of Y that are drawn
drawn_cells <- function(fit) if (length(fit$data$sets) > 0) 0 else sum(lengths(fit$missing))

kept_draws <- function(plan, done = plan$iter) max(0, (done - plan$warmup) %/% plan$thin)

check_draws_memory <- function(fit, available = available_memory()) {
  # draws, and a copy of them while they are put together
  needed <- 2 * 8 * draw_size(fit) * kept_draws(fit$plan) * fit$plan$chains
  check_memory(
    needed, function(needed, available) paste0("the draws would take ", needed, " and there are ", available, "; use a larger thin, fewer chains or factors"),
    available
  )
  if (needed > 2^30) inform_fastlmm("memory", paste("the draws will take", gib(needed)))
}
