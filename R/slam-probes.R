# Several columns of data that measure one trait each with a mean and noise of its own, as the probes of a gene.

#' Traits measured by several columns
#'
#' The left side of [slamglmm_fit()] for data with several columns for each trait, such as probes of a gene or raters of a character:
#' `y_il = mu_l + eta_i + e_il`, where column l measures the trait eta of its gene with noise of variance `v_l`. The model (fixed effects,
#' factors, random effects, residual) is for eta.
#'
#' The means `mu_l` of the columns of a gene sum to 0, so that the level is that of eta: for a row without missing cells, the mean of its
#' columns. Subject to the sum they have flat priors; adding a constant to a column changes only its mean. A gene with one column has noise
#' too, which only the priors distinguish from its residual.
#'
#' [summary.slamglmm()] has `mean_<column>[<gene>]` (for genes with several columns) and `noise_<column>[<gene>]`, the variances v, in units of
#' the data. [fitted()] and [predict()] give eta from fixed and random effects, [posterior_cells()] the eta of each row; `simulate()` and
#' [pp_check()] refer to the mean of the observed columns of a row after subtracting their `mu_l`.
#' @param M numeric matrix or data frame, rows of the data x columns (probes), with column names; missing cells are `NA`.
#' @param gene the gene of each column: a vector named by column.
#' @param noise prior of the noise variances, by [inverse_gamma()], [inverse_wishart()] or [fixed_variance()], one for all or with a value for
#'   each column by name, in units of the residual variance, given the fixed effects, of the mean of the gene's columns. The default is a gamma
#'   prior of precisions with shape 2 and rate 1 / 10.
#' @return A matrix of class `slam_response`, rows x genes: means of the centred columns. Errors of class `probes` name the columns.
#' @seealso [slam_join()] for a model of such traits and others.
#' @examples
#' set.seed(1)
#' map <- c(a1 = "a", a2 = "a", a3 = "a", b1 = "b", b2 = "b")
#' data <- data.frame(id = paste0("i", rep(1:30, 2)))
#' genes <- (matrix(rnorm(60), 30) %*% matrix(c(1, 0.6, 0.6, 1), 2))[rep(1:30, 2), ] + rnorm(120, sd = 0.5)
#' data$M <- genes[, c(1, 1, 1, 2, 2)] + matrix(rnorm(300, sd = 0.4), 60) + rep(c(8, 9, 10, 6, 7), each = 60)
#' colnames(data$M) <- names(map)
#' data$M[3, "a2"] <- NA
#' fit <- slamglmm_fit(slam_probes(M, gene = map) ~ 1 + (1 | id), data, chains = 2, iter = 400, seed = 1)
#' h2(fit)
#' subset(summary(fit)$table, grepl("mean|noise", variable))
#' @export
slam_probes <- function(M, gene, noise = inverse_gamma(2, 0.1)) {
  check_needed(sys.function(), environment(), user_call())
  M <- as_probe_matrix(M)
  gene <- probe_map(gene, colnames(M))
  noise <- probe_noise(noise, colnames(M))
  check_probe_data(M, gene)
  traits <- unique(gene)
  Y <- matrix(NA_real_, nrow(M), length(traits), dimnames = list(rownames(M), traits))
  seen_alone(new_slam_response(Y, "probes", list(M = M), gene = gene, noise = noise))
}

as_probe_matrix <- function(M) {
  if (is.data.frame(M)) {
    numbers <- vapply(M, is.numeric, NA)
    if (!all(numbers)) abort_probes("are no numbers", names(M)[!numbers])
    M <- as.matrix(M)
  }
  if (!is.matrix(M) || !is.numeric(M) && !all(is.na(M))) abort_fastlmm(
    "probes", paste("M must be a matrix of numbers, rows x columns, not of class", class(M)[1])
  )
  if (ncol(M) == 0 || is.null(colnames(M)) || any(is.na(colnames(M)) | colnames(M) == "")) abort_fastlmm(
    "probes", "M must have column names, which gene maps to genes"
  )
  if (anyDuplicated(colnames(M))) abort_probes("have duplicated names", unique(colnames(M)[duplicated(colnames(M))]))
  storage.mode(M) <- "double"
  bad <- colSums(is.infinite(M)) > 0
  if (any(bad)) abort_probes("have infinite values", colnames(M)[bad])
  M
}

# The gene of each column, as text
probe_map <- function(gene, columns) {
  if (!is.atomic(gene) || is.null(names(gene))) abort_fastlmm(
    "probes", "gene must be a vector of names of genes that has the names of the columns of M, as c(p1 = \"a\", p2 = \"a\")"
  )
  if (anyDuplicated(names(gene))) abort_fastlmm("probes", paste("gene maps columns twice:", first_names(unique(names(gene)[duplicated(names(gene))]))))
  text <- structure(as.character(gene), names = names(gene))[columns]
  lost <- is.na(text) | text == ""
  if (any(lost)) abort_probes("have no gene: add them to gene, or leave them out of M", columns[lost])
  structure(text, names = columns)
}

# Shape and scale of each column's prior
probe_noise <- function(noise, columns) {
  check_variance_prior(noise, "noise")
  of <- function(x) if (is.null(names(x))) rep(x, length(columns)) else x[columns]
  value <- cbind(shape = of(noise$shape), scale = of(noise$scale))
  if (anyNA(value)) abort_prior(paste("noise has no value of the columns", first_names(columns[is.na(rowSums(value))])))
  value
}

check_probe_data <- function(M, gene) {
  empty <- colSums(!is.na(M)) == 0
  whole <- vapply(split(empty, gene), all, NA)
  if (any(whole)) abort_fastlmm("probes", paste("genes have no data:", first_names(names(whole)[whole])), genes = names(whole)[whole])
  if (any(empty)) abort_probes("have no data: leave them out of M", colnames(M)[empty])
}

abort_probes <- function(why, columns) abort_fastlmm("probes", paste0("columns ", why, ": ", first_names(columns)), columns = columns)

# ---- what is learnt from the rows of a fit -----------------------------------------------------------------------

# Means of columns, and means of rows less these, which have missing cells of any columns
settle_probes <- function(block, fixed) {
  if (is.matrix(fixed$offset)) abort_family("with slam_probes() an offset is a number for each row: take those of columns from them")
  M <- block$rows$M - fixed$offset
  check_probe_data(M, block$gene)
  block$centre <- structure(numeric(ncol(M)), names = colnames(M))
  Y <- matrix(0, nrow(M), length(block$traits))
  for (j in seq_along(block$traits)) {
    at <- which(block$gene == block$traits[j])
    own <- M[, at, drop = FALSE]
    block$centre[at] <- column_means(own, cbind(fixed$X, fixed$cis$X[, fixed$cis$response == block$traits[j], drop = FALSE]))
    Y[, j] <- rowMeans(sweep(own, 2, block$centre[at]), na.rm = TRUE) + fixed$offset
  }
  list(Y = replace(Y, is.nan(Y), NA), block = block)
}

# Means of the columns of M, whose sum is 0, beside effects of X, by least squares: columns are seen in different rows, of other X. X comes first where the two
# cannot be told apart.
column_means <- function(M, X) {
  used <- rowSums(!is.na(M)) > 0
  M <- M[used, , drop = FALSE]
  seen <- !is.na(M)
  if (all(seen)) return(unname(colMeans(M) - mean(colMeans(M))))
  Q <- orthogonal_columns(X[used, , drop = FALSE])
  C <- stats::contr.sum(ncol(M))
  across <- crossprod(Q, seen %*% C)
  equations <- qr(rbind(cbind(crossprod(Q, rowSums(seen) * Q), across), cbind(t(across), crossprod(C, colSums(seen) * C))))
  of_x <- seq_len(ncol(Q))
  b <- numeric(ncol(Q) + ncol(C))
  # the second and third step take rounding out
  for (step in 1:3) {
    left <- M - drop(Q %*% b[of_x]) - rep(drop(C %*% b[-of_x]), each = nrow(M))
    left[!seen] <- 0
    more <- qr.coef(equations, c(crossprod(Q, rowSums(left)), crossprod(C, colSums(left))))
    b <- b + replace(more, is.na(more), 0)
  }
  as.numeric(C %*% b[-of_x])
}

# ---- the link ------------------------------------------------------------------------------------------------

probes_link <- function(block, trait, y, offset) {
  at <- which(block$gene == trait)
  list(
    family = "probes", response = trait, probes = names(at), y = unname(block$rows$M[, at, drop = FALSE]) - offset, centre = unname(block$centre[at]),
    noise = unname(block$noise[at, , drop = FALSE])
  )
}

probes_family <- list(
  code = "probes", normal = TRUE, latent = TRUE,
  parameters = function(own) c(if (length(own$probes) > 1) paste0("mean_", own$probes), paste0("noise_", own$probes)),
  sampler = function(own, unit) {
    y <- (own$y - rep(own$centre, each = nrow(own$y)) - unit$level) / unit$sd
    list(y = replace(y, is.na(y), NaN), noise = as.numeric(t(own$noise)))
  },
  # of draws, parameters x draws, in units of the data
  back = function(own, values, unit) {
    means <- nrow(values) - length(own$probes)
    rbind(values[seq_len(means), , drop = FALSE] * unit$sd + own$centre[seq_len(means)], values[means + seq_along(own$probes), , drop = FALSE] * unit$sd^2)
  },
  # the mean of noise of the columns that a row has; of a new row, and of one that has none, all
  simulate = function(eta, own, parameters) {
    seen <- matrix(1, length(eta), length(own$probes))
    if (!is.null(own$which)) seen <- 1 - is.na(own$y[own$which, , drop = FALSE])
    seen[rowSums(seen) == 0, ] <- 1
    noise <- utils::tail(parameters, length(own$probes))
    eta + stats::rnorm(length(eta)) * sqrt(drop(seen %*% noise)) / rowSums(seen)
  }
)
