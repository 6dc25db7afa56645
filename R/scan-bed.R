# PLINK's binary genotypes (.bed, .bim, .fam), read by blocks of columns: two bits a cell, 00 two copies of the first allele of the .bim, 10 one, 11 none, 01
# missing.

# Something with dim(), dimnames() and `[ , j]`
open_bed <- function(path) {
  if (length(path) != 1 || is.na(path)) abort_candidates("must be numbers, or the path of a .bed file: one string")
  stem <- sub("\\.bed$", "", path)
  files <- paste0(stem, c(".bed", ".bim", ".fam"))
  absent <- files[!file.exists(files)]
  if (length(absent) > 0) abort_candidates(paste0("as PLINK files need .bed, .bim and .fam; not found: ", first_names(absent)))
  if (any(dir.exists(files))) abort_candidates(paste0("as PLINK files: a directory, not a file, is ", first_names(files[dir.exists(files)])))
  fam <- read_plink(files[3], 2)
  bim <- read_plink(files[2], 6)
  check_bed(files[1], nrow(fam), nrow(bim))
  ids <- if (anyDuplicated(fam[[2]])) paste(fam[[1]], fam[[2]], sep = "_") else fam[[2]]
  map <- new_map(bim[[1]], bim[[4]], bim[[5]], bim[[6]])
  structure(list(file = normalizePath(files[1]), ids = ids, names = bim[[2]]), class = "fastlmm_bed", map = map)
}

# The table of a text file whose lines have the same number of words
read_plink <- function(file, columns) {
  unreadable <- function(condition) abort_candidates(paste0("as PLINK files: ", quoted(file), " is no table: ", conditionMessage(condition)))
  table <- tryCatch(
    utils::read.table(file, colClasses = "character", comment.char = "", quote = "", na.strings = character(), fill = FALSE),
    error = unreadable, warning = unreadable
  )
  if (ncol(table) < columns) abort_candidates(paste0("as PLINK files: ", quoted(file), " has too few columns"))
  bad <- !Reduce(`&`, lapply(table, validUTF8))
  if (any(bad)) abort_candidates(paste0("as PLINK files: ", quoted(file), " is not UTF-8 in line ", which(bad)[1]))
  table
}

check_bed <- function(file, n, m) {
  magic <- readBin(file, "raw", 3)
  if (length(magic) < 3 || !identical(magic, as.raw(c(0x6c, 0x1b, 0x01)))) {
    abort_candidates(paste0(quoted(file), " is not a PLINK .bed file of version 1, variant by variant"))
  }
  wanted <- 3 + m * ceiling(n / 4)
  if (file.size(file) != wanted) {
    abort_candidates(
      sprintf("\"%s\" has %.0f bytes, but %d samples and %d variants take %.0f; it does not belong to its .fam and .bim", file, file.size(file), n, m, wanted)
    )
  }
}

#' @export
dim.fastlmm_bed <- function(x) c(length(unclass(x)$ids), length(unclass(x)$names))

#' @export
dimnames.fastlmm_bed <- function(x) list(unclass(x)$ids, unclass(x)$names)

#' @export
`[.fastlmm_bed` <- function(x, i, j, drop = FALSE) {
  bed <- unclass(x)
  n <- length(bed$ids)
  j <- if (missing(j)) seq_along(bed$names) else j
  value <- matrix(call_rust(ffi_bed_read, bed$file, as.numeric(n), as.numeric(j - 1)), n, dimnames = list(bed$ids, bed$names[j]))
  if (missing(i)) value else value[i, , drop = drop]
}
