#' Relationship matrix from markers
#'
#' Reads genotypes, or other numeric columns, in blocks of columns and computes the matrix of relationships between the ids, for the argument
#' `K`. No centred copy of all markers is made.
#'
#' With p the frequency of the counted allele and M the genotypes (0, 1, 2 or values between them):
#' * `"vanraden1"`: `Z Z' / sum(2 p (1 - p))` with `Z = M - 2 p` (VanRaden 2008, first method; `sommer::A.mat()`, `rrBLUP::A.mat()`).
#' * `"vanraden2"`: each column of Z divided by `sqrt(2 p (1 - p))`, then `Z Z'` divided by the number of columns (VanRaden's second method,
#'   Yang et al. 2010; the program GCTA).
#' * `"centred"` and `"scaled"`: for columns that are not genotypes (expression, metabolites, soil). Each is centred; `"scaled"` also divides
#'   it by its standard deviation. The matrix is scaled to mean diagonal 1.
#'
#' The method must match the kind of columns: the methods for genotypes refuse values outside 0 to 2. Which allele is counted makes no
#' difference.
#'
#' A missing value is replaced by the mean of its marker; the message `markers_imputed` gives their number. Markers that do not vary (for
#' genotypes, p is 0 or 1), that are missing in all ids or whose minor allele frequency is below `maf` are left out; the message
#' `markers_left_out` gives their number.
#'
#' p is the frequency over all ids of M. Include all ids at once, also those to be predicted: ids without data stay in the kernel, and
#' [predict.fastlmm()] predicts them.
#'
#' @param M a row for each id, named by id, and a column for each marker: a matrix, a data frame, a `Matrix`, a `SnpMatrix` of `snpStats` or
#'   the list that its `read.plink()` returns, anything with `dim()` and `[ , j]`; or the path of a PLINK .bed file with its .bim and .fam
#'   beside it.
#' @param method see Details.
#' @param maf smallest minor allele frequency, from 0 to below 0.5.
#' @param loco the chromosome of each marker (`TRUE`: from the PLINK files). The result is then a list of matrices, named by chromosome, each
#'   computed from the markers of all other chromosomes, for the argument `kernels` of [fastlmm_scan()] with the same chromosomes as `groups`.
#'   They are obtained by subtraction, in one pass over the markers.
#' @param block_size number of markers read at a time; `NULL`: about 30 MB.
#' @param x,object a matrix by `kernel_markers()`.
#' @param digits number of significant digits.
#' @param ... not used; an unknown argument is an error.
#' @return A matrix, ids x ids, with ids as names, of class `fastlmm_markers`, which prints in one line; a part of it, such as `K[1:3, 1:3]`,
#'   is an ordinary matrix. With `loco` a list of such matrices. `summary()`: a data frame of one row with `method`, `without` (chromosome),
#'   `ids`, `markers`, and the numbers of markers that are `used`, `monomorphic`, `rare`, `unobserved` (no value at all), and of values that
#'   are `imputed` in the markers used.
#' @section Errors:
#' `markers` for data without numeric rows and columns, without names, with values that the method does not accept, with an id without any
#' value, or with no marker left; `kernel_ids` for missing or duplicated ids; `maf`; `loco` if there is not one chromosome for each marker, or
#' there are fewer than two chromosomes; `memory`, with the size required.
#' @references VanRaden PM (2008). Efficient methods to compute genomic predictions. *Journal of Dairy Science* 91, 4414-4423.
#'
#'   Yang J et al. (2010). Common SNPs explain a large proportion of the heritability for human height. *Nature Genetics* 42, 565-569.
#' @seealso [kernel_lowrank()], which uses markers without forming a matrix where there are fewer markers than ids
#' @examples
#' set.seed(1)
#' ids <- paste0("i", 1:100)
#' M <- matrix(rbinom(100 * 400, 2, 0.3), 100, dimnames = list(ids, paste0("m", 1:400)))
#' M[3, 5] <- NA
#' K <- kernel_markers(M, maf = 0.05)
#' K
#' summary(K)
#' data <- data.frame(id = ids, y = drop(M[, -5] %*% rnorm(399, sd = 0.1)) + rnorm(100))
#' fit <- fastlmm_fit(y ~ 1 + (1 | id), data, K = list(id = K))
#'
#' # a scan in which no marker competes with its own chromosome
#' chr <- rep(1:4, each = 100)
#' fastlmm_scan(fit, M, groups = chr, kernels = kernel_markers(M, loco = chr))
#' @export
kernel_markers <- function(M, method = c("vanraden1", "vanraden2", "centred", "scaled"), maf = 0, loco = NULL, block_size = NULL, ...) {
  check_arguments(...)
  rule <- list(method = one_of(method, habits = marker_habits), maf = maf)
  check_maf(maf, rule$method)
  source <- marker_source(M)
  chr <- marker_chromosomes(loco, source)
  check_marker_memory(length(source$ids), nlevels(chr))
  groups <- if (is.null(chr)) list(seq_along(source$names)) else split(seq_along(chr), chr)
  parts <- lapply(groups, marker_part, source, rule, block_size)
  whole <- if (length(parts) == 1) parts[[1]] else Reduce(add_parts, parts)
  check_whole(whole, source, rule)
  tell_markers(whole, rule)
  if (is.null(chr)) new_markers(whole, source, rule) else leave_out(whole, parts, source, rule)
}

marker_habits <- c(
  vanraden = "write method = \"vanraden1\"", gcta = "write method = \"vanraden2\"", yang = "write method = \"vanraden2\"",
  standardised = "write method = \"vanraden2\" for genotypes, \"scaled\" for other columns",
  center = "write method = \"centred\"", centered = "write method = \"centred\"", scale = "write method = \"scaled\"", linear = "write method = \"centred\""
)

is_genotype_rule <- function(rule) rule$method %in% c("vanraden1", "vanraden2")

# ---- sums over markers ----------------------------------------------------------------------------------

# Of some columns: Z Z', what it is to be divided by, how many columns were what, and how many values of each id there were
marker_part <- function(columns, source, rule, block_size) {
  n <- length(source$ids)
  part <- list(
    cross = matrix(0, n, n), scale = 0, counts = c(markers = 0, used = 0, monomorphic = 0, rare = 0, unobserved = 0, imputed = 0), observed = numeric(n)
  )
  for (j in marker_blocks(columns, n, block_size)) part <- add_parts(part, block_sums(read_markers(source, j, rule), rule))
  part
}

marker_blocks <- function(columns, n, block_size) {
  if (is.null(block_size)) block_size <- max(1, 4e6 %/% n)
  if (!is_count(block_size)) abort_markers("got a block_size that is not a positive number")
  split(columns, (seq_along(columns) - 1) %/% block_size)
}

add_parts <- function(a, b) Map(`+`, a, b)

block_sums <- function(block, rule) {
  missing <- is.na(block)
  centre <- colMeans(block, na.rm = TRUE)
  state <- marker_states(block, centre, rule)
  used <- state == "used"
  Z <- block[, used, drop = FALSE] - rep(centre[used], each = nrow(block))
  Z[missing[, used]] <- 0
  variance <- if (is_genotype_rule(rule)) centre[used] * (1 - centre[used] / 2) else colMeans(Z^2)
  each <- rule$method %in% c("vanraden2", "scaled")
  if (each) Z <- Z / rep(sqrt(variance), each = nrow(Z))
  counts <- vapply(c("used", "monomorphic", "rare", "unobserved"), function(name) sum(state == name), 0)
  list(
    cross = tcrossprod(Z), scale = if (each) sum(used) else sum(variance), counts = c(markers = ncol(block), counts, imputed = sum(missing[, used])),
    observed = rowSums(!missing)
  )
}

# What each column is. A frequency is compared up to rounding, so that it makes no difference which allele is counted.
marker_states <- function(block, centre, rule) {
  unobserved <- is.nan(centre)
  p <- ifelse(unobserved, 0, centre / 2)
  monomorphic <- if (is_genotype_rule(rule)) p <= 0 | p >= 1 else constant_columns(block)
  rare <- is_genotype_rule(rule) & pmin(p, 1 - p) < rule$maf * (1 - 1e-10)
  ifelse(unobserved, "unobserved", ifelse(monomorphic, "monomorphic", ifelse(rare, "rare", "used")))
}

constant_columns <- function(block) {
  apply(block, 2, function(x) {
    x <- x[!is.na(x)]
    length(x) == 0 || max(x) - min(x) <= 8 * .Machine$double.eps * max(abs(x))
  })
}

# ---- the matrices -----------------------------------------------------------------------------------------

new_markers <- function(part, source, rule, without = NA_character_) {
  facts <- c(list(method = rule$method, maf = rule$maf, without = without, ids = length(source$ids)), as.list(part$counts))
  structure(part$cross / part$scale, dimnames = list(source$ids, source$ids), markers = facts, class = c("fastlmm_markers", "matrix", "array"))
}

# The parts are as large as the kernels that they become: they give way one by one.
leave_out <- function(whole, parts, source, rule) {
  for (chr in names(parts)) {
    rest <- Map(`-`, whole, parts[[chr]])
    if (rest$counts[["used"]] == 0) abort_fastlmm("loco", paste0("without chromosome ", quoted(chr), " no marker is left: all that vary are on it"))
    parts[[chr]] <- new_markers(rest, source, rule, chr)
  }
  parts
}

#' @rdname kernel_markers
#' @export
print.fastlmm_markers <- function(x, digits = NULL, ...) {
  check_arguments(...)
  facts <- attr(x, "markers")
  cat(
    sprintf(
      "Relationship matrix (%s) of %s from %d of %s, mean diagonal %s\n", facts$method, counted(nrow(x), "id"), facts$used, counted(facts$markers, "marker"),
      format(mean(diag(x)), digits = min(digits, 4))
    )
  )
  if (!is.na(facts$without)) cat("without chromosome ", facts$without, "\n", sep = "")
  for (line in c(left_out_text(facts), imputed_text(facts))) cat(line, "\n", sep = "")
  invisible(x)
}

#' @rdname kernel_markers
#' @export
summary.fastlmm_markers <- function(object, ...) {
  check_arguments(...)
  as.data.frame(attr(object, "markers"), stringsAsFactors = FALSE)
}

# ---- what is said -----------------------------------------------------------------------------------------

tell_markers <- function(whole, rule) {
  facts <- c(as.list(whole$counts), rule, ids = nrow(whole$cross))
  left_out <- left_out_text(facts)
  imputed <- imputed_text(facts)
  if (!is.null(left_out)) inform_fastlmm("markers_left_out", left_out, monomorphic = facts$monomorphic, rare = facts$rare, unobserved = facts$unobserved)
  if (!is.null(imputed)) inform_fastlmm("markers_imputed", imputed, n = facts$imputed)
}

left_out_text <- function(facts) {
  says <- c(monomorphic = "without variation", rare = sprintf("with a minor allele frequency below %s", format(facts$maf)), unobserved = "missing in all ids")
  n <- unlist(facts[names(says)])
  if (sum(n) > 0) sprintf("left out of %s: %s", counted(facts$markers, "marker"), toString(paste(n, says)[n > 0]))
}

imputed_text <- function(facts) {
  share <- 100 * facts$imputed / facts$ids / max(facts$used, 1)
  if (facts$imputed > 0) sprintf("%s set to the mean of the marker (%s%%)", counted(facts$imputed, "missing value"), format(share, digits = 2))
}
