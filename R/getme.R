#' Components of a fit by the names used in `lme4`
#'
#' `getME()` of `lme4` works on these fits as well.
#'
#' | name | meaning |
#' |---|---|
#' | `X`, `K` | design matrix of the fixed effects; kernel (for a [gp()] term the correlations between the rows) |
#' | `Z`, `Zt` | sparse incidence matrix of the random effects, with a column for each id of K; its transpose |
#' | `y`, `offset`, `weights` | response (offset not subtracted), offset, prior weights |
#' | `fixef`, `beta` | fixed effects, with and without names |
#' | `b`, `mu` | random effects of all ids of K; fitted values |
#' | `theta`, `lower` | `sqrt(sigma2 / sigma2_e)` and its lower bound 0, named as in `lme4`; for correlated terms the entries of the lower triangular T, by columns |
#' | `Lambda`, `Lambdat` | relative covariance factor, `Lambda Lambda' = diag(theta_k^2 K_k)`; for correlated terms the Kronecker product of factors of K and `T T'`; its transpose |
#' | `Ztlist`, `Gp` | transposed incidence matrices, one for each random effect; where the columns of each random term begin in `Z` |
#' | `n_rtrms`, `n_rfacs` | numbers of random terms and of grouping factors |
#' | `devcomp` | components of the criterion and dimensions, as in `lme4`: `ussq` is `u'u` with `b = Lambda u`, `ldL2` is the log-determinant of `Lambda'Z'WZ Lambda + I` |
#' | `sigma`, `lengthscale` | residual standard deviation; length scales of fits with a [gp()] term |
#' | `sigma2`, `sigma2_e`, `delta`, `h2` | variance components, their ratio, heritability |
#' | `flist`, `cnms` | grouping factors; names of the random terms, by group |
#' | `n`, `N`, `p`, `q`, `rank` | number of rows (twice), of columns of X and of Z, rank of X |
#' | `REML`, `is_REML` | rank of X for a REML fit, otherwise 0; `TRUE` or `FALSE` |
#'
#' A Gaussian process is a function, not a set of effects of ids: fits with a [gp()] term have no `Z`, `Zt`, `b`, `Lambda`, `Lambdat`,
#' `Ztlist`, `Gp`, `devcomp`, `flist` or `q`, and `"ALL"` leaves these out.
#'
#' Correlated terms stand in the order of `lme4`, all terms of the first id, then those of the second. Several random terms stand in the order
#' of the formula, whereas `lme4` sorts them by their number of levels. This holds for all components here and for the rows of `VarCorr()` and
#' `confint()`: select them by name.
#'
#' @param object a fit by [fastlmm_fit()]; a fit by `lme4` is passed on to `lme4`.
#' @param name one or more of the names in the table; several, or `"ALL"`, give a list.
#' @param ... not used.
#' @return The component, or a named list of components.
#' @examples
#' fit <- fastlmm_fit(distance ~ age + (1 | Subject), nlme::Orthodont)
#' getME(fit, "theta")
#' dim(getME(fit, "Z"))
#' @export
getME <- function(object, name, ...) UseMethod("getME")

#' @rdname getME
#' @export
getME.default <- function(object, name, ...) {
  check_lme4(object, "getME")
  lme4::getME(object, name, ...)
}

#' @rdname getME
#' @export
#' @exportS3Method lme4::getME fastlmm
getME.fastlmm <- function(object, name, ...) {
  check_arguments(...)
  name <- if (is_gp_fit(object)) check_gp_component(name, object) else check_component(name)
  if (length(name) > 1) return(sapply(name, getME, object = object, simplify = FALSE))
  fit_components[[name]](object)
}

fit_components <- list(
  X = function(fit) fixed_design(fit),
  Z = function(fit) random_design(fit),
  Zt = function(fit) Matrix::t(random_design(fit)),
  K = function(fit) stored_kernel(fit),
  y = function(fit) response(fit),
  offset = function(fit) fit$offset,
  weights = function(fit) prior_weights(fit),
  fixef = function(fit) fit$coefficients,
  beta = function(fit) unname(fit$coefficients),
  b = function(fit) unlist(unname(lapply(fit$random, blup)))[effect_order(fit)],
  mu = function(fit) unname(conditional_fit(fit)),
  theta = function(fit) structure(relative_root(fit)[theta_entries(fit)], names = theta_names(fit)),
  lower = function(fit) structure(ifelse(covariance_parameters(fit$random)$what == "sigma_u", 0, -Inf), names = theta_names(fit)),
  Lambdat = function(fit) relative_factor(fit),
  Lambda = function(fit) Matrix::t(relative_factor(fit)),
  Ztlist = function(fit) structure(lapply(fit$random, function(one) Matrix::t(incidence(one, rownames(fit$frame)))), names = effect_labels(fit)),
  Gp = function(fit) as.integer(c(0, cumsum(vapply(blocks_of(fit$random), function(labels) sum(lengths(lapply(fit$random[labels], `[[`, "ids"))), 0L)))),
  n_rtrms = function(fit) length(blocks_of(fit$random)),
  n_rfacs = function(fit) length(by_group(fit)),
  devcomp = function(fit) criterion_parts(fit),
  sigma = function(fit) sigma(fit),
  lengthscale = function(fit) fit$lengthscale,
  sigma2 = function(fit) fit$sigma2,
  sigma2_e = function(fit) fit$sigma2_e,
  delta = function(fit) fit$delta,
  h2 = function(fit) fit$h2,
  flist = function(fit) grouping_factors(fit),
  cnms = function(fit) lapply(unclass(VarCorr(fit))[], rownames),
  n = function(fit) fit$nobs,
  N = function(fit) fit$nobs,
  p = function(fit) length(fit$coefficients),
  q = function(fit) sum(lengths(lapply(fit$random, `[[`, "ids"))),
  rank = function(fit) fit$rank,
  REML = function(fit) if (is_reml(fit)) fit$rank else 0L,
  is_REML = function(fit) is_reml(fit)
)

relative_sd <- function(fit) unname(sqrt(fit$sigma2 / fit$sigma2_e))

# Of T the lower triangle of each block by columns
theta_entries <- function(fit) as.matrix(covariance_parameters(fit$random)[c("column", "second")])

theta_names <- function(fit) {
  name <- vapply(fit$random, effect_name, "")
  at <- covariance_parameters(fit$random)
  own <- at$column == at$second
  paste0(vapply(fit$random, `[[`, "", "name")[at$column], ".", name[at$column], ifelse(own, "", paste0(".", name[at$second])))
}

effect_labels <- function(fit) paste0(vapply(fit$random, `[[`, "", "name"), ".", vapply(fit$random, effect_name, ""))

relative_factor <- function(fit) {
  root <- relative_root(fit)
  of_block <- function(labels) {
    factor <- kernel_factor(fit$random[[labels[1]]])
    if (length(labels) == 1) root[labels, labels] * factor else kronecker(factor, Matrix::Matrix(t(root[labels, labels])))
  }
  Matrix::bdiag(lapply(blocks_of(fit$random), of_block))
}

# In lme4's order all terms of an id stand side by side
effect_order <- function(fit) {
  sizes <- lengths(lapply(fit$random, `[[`, "ids"))
  places <- split(seq_len(sum(sizes)), rep(block_numbers(fit$random), sizes))
  unlist(Map(function(at, labels) c(t(matrix(at, ncol = length(labels)))), unname(places), blocks_of(fit$random)))
}

# R with R'R = K: as many rows as K has rank
kernel_factor <- function(random) {
  K <- random$kernel
  if (is.null(K)) return(Matrix::Diagonal(length(random$ids)))
  if (is_lowrank(K)) return(Matrix::t(K$W))
  if (is_precision(K)) K <- as.matrix(K)
  root <- suppressWarnings(chol(K, pivot = TRUE))
  root[seq_len(attr(root, "rank")), order(attr(root, "pivot")), drop = FALSE]
}

# lme4's devcomp. With r = y - X beta - Z b: wrss = r'Wr, ussq = u'u = alpha'K alpha / theta^2, and what the criterion has beside them is ldL2.
criterion_parts <- function(fit) {
  n <- fit$nobs
  weights <- prior_weights(fit)
  wrss <- sum(weights * (response(fit) - conditional_fit(fit))^2)
  ussq <- sum(vapply(blocks_of(fit$random), squared_block, 0, fit = fit))
  pwrss <- wrss + ussq
  ldRX2 <- fit$rank * log(fit$sigma2_e) - log_det(fit$vcov)
  df <- if (is_reml(fit)) n - fit$rank else n
  ldL2 <- -2 * fit$logLik - df * (1 + log(2 * pi * pwrss / df)) - (if (is_reml(fit)) ldRX2 else 0) + sum(log(weights))
  criterion <- function(reml) if (reml == is_reml(fit)) -2 * fit$logLik else NA_real_
  cmp <- c(
    ldL2 = ldL2, ldRX2 = ldRX2, wrss = wrss, ussq = ussq, pwrss = pwrss, drsum = NA, REML = criterion(TRUE), dev = criterion(FALSE), sigmaML = sqrt(pwrss / n),
    sigmaREML = sqrt(pwrss / (n - fit$rank))
  )
  q <- sum(lengths(lapply(fit$random, `[[`, "ids")))
  dims <- c(
    N = n, n = n, p = fit$rank, nmp = n - fit$rank, q = q, nth = parameter_count(fit$random), useSc = 1, reTrms = length(blocks_of(fit$random)), spFe = 0,
    REML = if (is_reml(fit)) fit$rank else 0, GLMM = 0, NLMM = 0
  )
  list(cmp = cmp, dims = structure(as.integer(dims), names = names(dims)))
}

# b'(theta^2 K)^-1 b, with b = K alpha
squared_effects <- function(random, theta2) {
  if (theta2 == 0) return(0)
  if (is_lowrank(random$kernel)) return(sum(random$alpha^2) / theta2)
  sum(random$alpha * blup(random)[random$index]) / theta2
}

# b'(T T' (x) K)^-1 b of the terms of a block, which lie where T T' reaches
squared_block <- function(labels, fit) {
  if (length(labels) == 1) return(squared_effects(fit$random[[labels]], relative_sd(fit)[match(labels, names(fit$random))]^2))
  products <- vapply(fit$random[labels], function(k) vapply(fit$random[labels], effects_product, 0, k), numeric(length(labels)))
  eigen <- eigen(tcrossprod(relative_root(fit)[labels, labels]), symmetric = TRUE)
  kept <- eigen$values > 1e-12 * eigen$values[1]
  sum(colSums(eigen$vectors * (products %*% eigen$vectors))[kept] / eigen$values[kept])
}

# alpha' K alpha of two terms
effects_product <- function(one, other) {
  if (is_lowrank(one$kernel)) return(sum(one$alpha * other$alpha))
  sum(one$alpha * blup(other)[other$index])
}

# Of a process there is what needs no ids, and of a table of sums what needs no rows.
check_gp_component <- function(name, fit) {
  without <- c(process_lacks, if (is.null(fit$frame)) c("X", "K", "y", "offset", "weights", "mu"))
  if (identical(name, "ALL")) return(setdiff(names(fit_components), without))
  name <- check_component(name, names(fit_components))
  lacking <- intersect(name, without)
  if (length(intersect(lacking, process_lacks)) == 0 && length(lacking) > 0) check_has_rows(fit, paste0("getME(fit, ", quoted(lacking[1]), ")"))
  if (length(lacking) > 0) abort_fastlmm("component", paste0(
    "a fit with a gp() term has no component ", first_names(lacking),
    ": its process is a function, not an effect of ids. ranef(fit) has its values at the rows, predict() those elsewhere, ",
    "and getME(fit, \"K\") its correlations between the rows"
  ), unknown = lacking)
  name
}

process_lacks <- c("Z", "Zt", "b", "Lambda", "Lambdat", "Ztlist", "Gp", "devcomp", "flist", "q")

check_no_process <- function(fit) {
  if (inherits(fit, c("fastlmm_gp", "fastlmm_gp_mlm"))) abort_fastlmm(
    "component", "a fit with a gp() term has no such component: its process is a function, not an effect of ids"
  )
}

# One kernel, or a list of several
stored_kernel <- function(fit) {
  of <- function(one) if (is_process(one$kernel)) process_matrix(fit) else if (is.null(one$kernel)) Matrix::Diagonal(length(one$ids))
    else if (is_precision(one$kernel)) as.matrix(one$kernel) else one$kernel
  kernels <- lapply(fit$random, of)
  if (length(kernels) == 1) kernels[[1]] else kernels
}

# Correlations between the rows
process_matrix <- function(fit) {
  check_kernel_memory(fit$nobs, 2)
  structure(gp_cross(fit, model_coordinates(fit)), dimnames = list(rownames(fit$frame), rownames(fit$frame)))
}

grouping_factors <- function(fit) {
  lapply(by_group(fit), function(labels) {
    random <- fit$random[[labels[1]]]
    observed <- random$ids[random$index]
    factor(observed[random$group], levels = observed)
  })
}

check_component <- function(name, known = setdiff(names(fit_components), "lengthscale")) {
  if (identical(name, "ALL")) return(known)
  unknown <- setdiff(as.character(name), known)
  if (length(unknown) > 0 || length(name) == 0) abort_component(unknown, known)
  as.character(name)
}

abort_component <- function(unknown, known) {
  abort_fastlmm(
    "component",
    paste0("a fit has no component ", first_names(unknown), "; it has ", toString(known), ", or \"ALL\""),
    unknown = unknown
  )
}

#' Is a variance estimated as zero?
#'
#' `TRUE` if the fit lies on the boundary `sigma2 = 0`; with several random effects, if any of them does; for correlated terms, if a covariance
#' matrix is singular. Such a fit is valid: the estimates are those of the model without that effect, and of `lm` if none is left.
#'
#' @param x a fit by [fastlmm_fit()]; a fit by `lme4` is passed on to `lme4`.
#' @param tol threshold below which the ratio of the standard deviation of the random effect (with K scaled to mean diagonal 1) to that of the
#'   residual counts as zero.
#' @return `TRUE` or `FALSE`.
#' @examples
#' isSingular(fastlmm_fit(distance ~ age + (1 | Subject), nlme::Orthodont))
#' @export
isSingular <- function(x, tol = 1e-4) UseMethod("isSingular")

#' @rdname isSingular
#' @export
isSingular.default <- function(x, tol = 1e-4) {
  check_lme4(x, "isSingular")
  lme4::isSingular(x, tol = tol)
}

#' @rdname isSingular
#' @export
isSingular.fastlmm <- function(x, tol = 1e-4) {
  tol <- number_between(0, Inf)(tol, "tol")
  # of correlated terms the diagonal of T, as lme4 looks at it
  any(x$sigma2 == 0 | abs(diag(relative_root(x))) * sqrt(vapply(x$random, `[[`, 0, "mean_diag")) < tol)
}

check_lme4 <- function(object, verb) {
  if (inherits(object, "merMod") && requireNamespace("lme4", quietly = TRUE)) return(invisible())
  if (inherits(object, "fastlmm_mlm")) abort_one_by_one(verb)
  abort_fastlmm("not_a_fit", paste0(verb, "() needs a fit by fastlmm_fit(), not an object of class ", class(object)[1]))
}
