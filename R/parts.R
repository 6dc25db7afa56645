# The parts of a fit's formula, and the design in other data.

check_one_part <- function(fixed.only, random.only) {
  if (fixed.only && random.only) abort_fastlmm("argument", "fixed.only and random.only cannot both be TRUE")
}

# step() puts the terms of the fixed part in place of the formula: the random terms are in the fit.
whole_formula <- function(fit) {
  if (!inherits(fit$formula, "terms")) return(fit$formula)
  formula <- stats::formula(fit$formula)
  for (term in random_terms(fit)) formula[[3]] <- call("+", formula[[3]], term)
  formula
}

random_formula <- function(fit) {
  terms <- random_terms(fit)
  formula <- fit$formula
  attributes(formula) <- list(class = "formula", .Environment = environment(fit$formula))
  formula[[3]] <- if (length(terms) == 0) 0 else Reduce(function(left, right) call("+", left, right), terms)
  formula
}

# As they can be written in a formula, each once; a kernel over the rows has none.
random_terms <- function(fit) {
  if (inherits(fit, "fastlmm_gp_mlm")) return(list(fit$gp$term))
  unique(unname(Filter(Negate(is.null), lapply(fit$random, random_term))))
}

random_term <- function(random) {
  if (is.null(random$expr) || is_gp(random$expr)) return(random$expr)
  left <- if (!is.null(random$left)) random$left else if (is.null(random$slope)) 1 else call("+", 0, random$slope)
  call("(", call("|", left, random$expr))
}

# The variables of random terms as a sum
variables_formula <- function(formula) {
  bars <- unlist(lapply(find_bars(formula[[3]]), split_bar), recursive = FALSE)
  variables <- c(random_variables(bars), split_gp(formula[[3]], environment(formula))$coordinates)
  formula[[3]] <- if (length(variables) == 0) 1 else Reduce(function(left, right) call("+", left, right), variables)
  formula
}

# ---- other data ---------------------------------------------------------------------------------------

# Model frame of other data, with the levels and bases of the fit; the response only where the data have it
frame_of <- function(fit, data) {
  data <- as_data_frame(data)
  terms <- attr(fit$frame, "terms")
  response <- intersect(expression_variables(attr(terms, "variables")[[2]]), attr(fit$terms, "columns"))
  if (!all(response %in% names(data))) terms <- stats::delete.response(terms)
  frame <- forge_frame(fit, terms, data)
  fixed <- intersect(names(frame), vapply(as.list(attr(stats::delete.response(fit$terms), "variables"))[-1], deparse1, ""))
  frame[fixed] <- as_fitted(frame[fixed], fit)
  frame
}

design_of <- function(fit, type, data) {
  if (type == "fixed") return(forge_design(fit, data, list())$X)
  design <- forge_design(fit, data)
  blocks <- Map(function(one, new) {
    at <- match(new$id, one$ids)
    if (anyNA(at)) abort_new_levels(unique(new$id[is.na(at)]), one)
    incidence(list(group = seq_along(at), index = at, z = new$z, ids = one$ids), rownames(design$X))
  }, fit$random, design$random)
  do.call(cbind, unname(blocks))[, effect_order(fit), drop = FALSE]
}

# ---- the joint covariance -----------------------------------------------------------------------------

# Of (b - predicted b, beta) given the variances, from the definition: V is n x n here.
joint_covariance <- function(fit) {
  if (is_gp_fit(fit)) abort_fastlmm("full", "the joint covariance is not available for a gp() term; predict(se.fit = TRUE) has standard errors")
  X <- unname(fixed_design(fit)[, fit$kept, drop = FALSE])
  check_joint_size(nrow(X), sum(lengths(lapply(fit$random, `[[`, "ids"))))
  Z <- as.matrix(random_design(fit))
  covariance <- effect_covariance(fit)
  of_block <- function(labels) {
    one <- fit$random[[labels[1]]]
    kronecker(kernel_block(one, seq_along(one$ids), seq_along(one$ids)), covariance[labels, labels])
  }
  G <- as.matrix(Matrix::bdiag(lapply(blocks_of(fit$random), of_block)))
  GZ <- tcrossprod(G, Z)
  root <- tryCatch(chol(Z %*% GZ + diag(fit$sigma2_e / prior_weights(fit), nrow(X))), error = function(e) abort_joint_singular())
  half <- backsolve(root, t(GZ), transpose = TRUE)
  XV <- crossprod(half, backsolve(root, X, transpose = TRUE))
  cross <- -XV %*% fit$vcov
  joint <- rbind(cbind(G - crossprod(half) + XV %*% fit$vcov %*% t(XV), cross), cbind(t(cross), fit$vcov))
  ids <- unlist(Map(function(one, label) paste0(label, ".", one$ids), fit$random, names(fit$random)), use.names = FALSE)[effect_order(fit)]
  dimnames(joint) <- rep(list(c(ids, rownames(fit$vcov))), 2)
  joint
}

check_joint_size <- function(n, q) {
  needed <- 8 * (4 * n^2 + 4 * q^2 + 3 * n * q)
  check_memory(
    needed,
    function(needed, available) paste0(
      "the joint covariance needs about ", needed, " of memory and ", available, " are available; predict(se.fit = TRUE) has standard errors"
    )
  )
}

abort_joint_singular <- function() abort_fastlmm(
  "full", "the covariance of the response is singular, since the residual variance is 0: there is no joint covariance"
)
