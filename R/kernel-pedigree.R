#' Additive relationship matrix of a pedigree
#'
#' The numerator relationship matrix A, represented by its sparse inverse, with inbreeding: for animal models, family data, breeding lines.
#'
#' Parents that are not listed are added as founders. `A = T D T'`: an animal gets half the genes of each parent and a Mendelian sampling term
#' of variance `1/2 - (F_sire + F_dam) / 4`, `3/4 - F / 4` with one parent known, 1 with none (Henderson 1976; Quaas 1976). Inbreeding
#' coefficients F are computed by the algorithm of Meuwissen and Luo (1992). All are relative to founders that are unrelated and not inbred.
#'
#' @param id,sire,dam animals and their parents, in any order, one element for each animal; unknown parents are `NA`.
#' @param unknown codes of unknown parents, in addition to `NA`, `"0"` and `""`.
#' @param sexes is it an error if an animal is a sire in one place and a dam in another? `FALSE` for plants.
#' @param x a pedigree.
#' @param ... not used; an unknown argument is an error.
#' @return `kernel_pedigree()`: an object of class `fastlmm_pedigree`, a kernel as by [kernel_precision()], for the argument `K` of
#'   [fastlmm_fit()] and [slamglmm_fit()] and for [kernel_mix()]. `as.matrix()` gives A, `x$P` its sparse inverse.
#'
#'   `inbreeding()`: the coefficients F, named by animal.
#' @section Errors:
#' Errors of class `pedigree`, which name the animals: duplicated animals, animals that are their own ancestors, sires that are also dams,
#' offspring of completely inbred lines (they have no Mendelian sampling variance, so that A has no inverse).
#' @references
#' Henderson CR (1976). A simple method for computing the inverse of a numerator relationship matrix used in prediction of breeding values. *Biometrics*
#' 32, 69-83.
#'
#' Meuwissen THE, Luo Z (1992). Computing inbreeding coefficients in large populations. *Genetics Selection Evolution* 24, 305-313.
#'
#' Quaas RL (1976). Computing the diagonal elements and inverse of a large numerator relationship matrix. *Biometrics* 32, 949-953.
#' @seealso [kernel_precision()], [kernel_tree()]
#' @examples
#' # two founders, two full sibs, and an offspring of the sibs
#' A <- kernel_pedigree(id = c("a", "b", "c"), sire = c("s", "s", "a"), dam = c("d", "d", "b"))
#' A
#' as.matrix(A)
#' inbreeding(A)
#' @export
kernel_pedigree <- function(id, sire, dam, unknown = NULL, sexes = TRUE) {
  if (!missing(id) && is_table(id)) abort_pedigree_table(id, code_text(substitute(id)))
  check_arguments()
  sexes <- read_flag(sexes, "sexes")
  if (!is.null(unknown) && !is.atomic(unknown)) abort_fastlmm("pedigree", "unknown must be codes of unknown parents")
  pedigree <- complete_pedigree(id, sire, dam, c("0", "", as.character(unknown)))
  if (sexes) check_sexes(pedigree)
  found <- call_rust(ffi_pedigree, pedigree$sire, pedigree$dam)
  if (!is.null(found$members)) abort_pedigree("are their own ancestors, each an offspring of the next", pedigree$id[found$members])
  fixed <- found$sampling < 1e-8
  if (any(fixed)) abort_pedigree(
    "have completely inbred parents, so that their Mendelian sampling variance is zero; treat each line as one animal", pedigree$id[fixed]
  )
  names(found$inbreeding) <- pedigree$id
  new_precision(
    pedigree_precision(pedigree, found$sampling), 1 + found$inbreeding, "fastlmm_pedigree", added = setdiff(pedigree$id, full_numbers(as.character(id))),
    inbreeding = found$inbreeding, sire = pedigree$id[pedigree$sire], dam = pedigree$id[pedigree$dam]
  )
}

# All animals, parents by number
complete_pedigree <- function(id, sire, dam, unknown) {
  own <- animal_names(id, "id")
  parents <- lapply(list(sire = animal_names(sire, "sire"), dam = animal_names(dam, "dam")), function(x) replace(x, x %in% unknown, NA))
  if (length(own) == 0 || any(lengths(parents) != length(own))) abort_fastlmm(
    "pedigree", sprintf("id, sire and dam must be of one length; they have %d, %d and %d elements", length(own), length(parents$sire), length(parents$dam))
  )
  if (anyNA(own) || any(own %in% unknown)) abort_fastlmm(
    "pedigree",
    paste0("an animal has no name, or one that stands for unknown parents, in element ", first_names(which(is.na(own) | own %in% unknown)), " of id")
  )
  if (anyDuplicated(own)) abort_pedigree("are listed more than once", unique(own[duplicated(own)]))
  all <- union(setdiff(stats::na.omit(unlist(parents, use.names = FALSE)), own), own)
  number <- function(parent) c(rep(NA_integer_, length(all) - length(own)), match(parent, all))
  list(id = all, sire = number(parents$sire), dam = number(parents$dam))
}

# A pedigree in one object, as other programs take it
is_table <- function(x) is.data.frame(x) || is.matrix(x) || inherits(x, c("pedigree", "pedigreeList"))

abort_pedigree_table <- function(table, name) {
  columns <- if (isS4(table)) methods::slotNames(table) else if (is.matrix(table)) colnames(table) else names(table)
  found <- vapply(pedigree_columns, function(known) c(columns[tolower(columns) %in% known], "...")[1], "")
  part <- sprintf(if (is.matrix(table)) "%s[, \"%s\"]" else if (isS4(table)) "%s@%s" else "%s$%s", name, found)
  part[found == "..."] <- "..."
  abort_fastlmm("pedigree", paste0(
    "id is the whole pedigree (", class(table)[1], "); give its columns one by one: kernel_pedigree(", toString(paste(names(found), "=", part)), ")"
  ))
}

animal_names <- function(x, name) {
  if (!is.atomic(x) || is.null(x)) abort_fastlmm("pedigree", paste(name, "must be a vector with an element for each animal, not", code_text(x)))
  full_numbers(as.character(x))
}

check_sexes <- function(pedigree) {
  both <- intersect(stats::na.omit(pedigree$sire), stats::na.omit(pedigree$dam))
  if (length(both) > 0) abort_pedigree(
    "are listed both as sire and as dam; name it in unknown = if it is a code, or use sexes = FALSE if that is possible", pedigree$id[both]
  )
}

# T^-1' D^-1 T^-1, T^-1 with -1/2 at the parents of each animal
pedigree_precision <- function(pedigree, sampling) {
  m <- length(pedigree$id)
  parent <- c(pedigree$sire, pedigree$dam)
  known <- which(!is.na(parent))
  back <- Matrix::sparseMatrix(
    i = c(seq_len(m), (known - 1) %% m + 1), j = c(seq_len(m), parent[known]), x = c(rep(1, m), rep(-0.5, length(known))), dims = c(m, m),
    dimnames = list(NULL, pedigree$id)
  )
  sparse_columns(Matrix::crossprod(Matrix::Diagonal(x = 1 / sqrt(sampling)) %*% back))
}

abort_pedigree <- function(why, animals) abort_fastlmm(
  "pedigree", paste0("the pedigree has animals that ", why, ": ", first_names(animals), if (length(animals) > 5) paste0(" (", length(animals), ")")),
  ids = animals
)

#' @rdname kernel_pedigree
#' @export
inbreeding <- function(x, ...) UseMethod("inbreeding")

#' @export
inbreeding.default <- function(x, ...) abort_fastlmm(
  "pedigree", paste("inbreeding() takes a pedigree by kernel_pedigree(), not an object of class", class(x)[1])
)

#' @rdname kernel_pedigree
#' @export
inbreeding.fastlmm_pedigree <- function(x, ...) {
  check_arguments(...)
  x$inbreeding
}
