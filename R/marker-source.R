# Markers as kernel_markers() reads them: columns of a matrix or a file, a block at a time, and what is refused.

# `read(j)` gives numbers, ids x length(j), NA where missing; `chr`: of the columns, where the files tell it
marker_source <- function(M) {
  M <- tryCatch(
    open_markers(M), fastlmm_error_candidates = function(error) abort_markers(paste("cannot read M, which", sub("^candidates ", "", conditionMessage(error))))
  )
  if (any(dim(M) == 0)) abort_markers(sprintf("needs a row for each id and a column for each marker; M is %d x %d", nrow(M), ncol(M)))
  ids <- rownames(M)
  if (is.null(ids)) abort_markers("needs M with row names, as ids are matched by name, never by position: set rownames(M) to the ids")
  ids <- full_numbers(ids)
  check_ids_unique(ids, "M")
  if (length(ids) < 2) abort_markers("needs at least two ids")
  names <- colnames(M)
  list(
    ids = ids, names = if (is.null(names)) paste("column", seq_len(ncol(M))) else names, named = !is.null(names), read = function(j) block_values(M, NULL, j),
    chr = candidate_map(M)$chr
  )
}

open_markers <- function(M) {
  if (is.character(M) && is.null(dim(M))) return(open_bed(M))
  check_valid(M, "M", "markers")
  if (isS4(M)) loadNamespace(if (inherits(M, "SnpMatrix")) "snpStats" else "Matrix")
  if (is_plink_list(M)) return(plink_candidates(M))
  if (is.data.frame(M)) return(frame_markers(M))
  if (length(dim(M)) != 2) abort_markers(
    paste0(
      "needs rows of ids and columns of markers: a matrix, a data frame, the path of a .bed file, or anything with dim() and `[ , j]`; not an object of class ",
      class(M)[1]
    )
  )
  if (is.matrix(M) && !is.numeric(M) && !is.logical(M) && !inherits(M, "SnpMatrix")) abort_markers(paste0("needs numbers, not of type ", typeof(M)))
  M
}

frame_markers <- function(M) {
  M <- plain_numbers(M)
  bad <- names(M)[!vapply(M, function(x) (is.numeric(x) || is.logical(x)) && is.null(dim(x)), NA)]
  if (length(bad) > 0) abort_markers(paste0("needs numeric columns, which these are not: ", first_names(bad), "; put ids in row names, and markers only in M"))
  if (has_row_names(M)) as.matrix(M) else unname_rows(as.matrix(M))
}

read_markers <- function(source, j, rule) {
  block <- source$read(j)
  bad <- if (is_genotype_rule(rule)) block < 0 | block > 2 else is.infinite(block)
  at <- which(bad, arr.ind = TRUE)
  if (nrow(at) == 0) return(block)
  cell <- sprintf("%s in %s, id %s", format(block[at[1, , drop = FALSE]]), quoted(source$names[j[at[1, 2]]]), quoted(source$ids[at[1, 1]]))
  if (!is_genotype_rule(rule)) abort_markers(paste0("needs finite numbers, and there is ", cell))
  abort_markers(paste0("by method ", quoted(rule$method), " takes genotypes from 0 to 2, and there is ", cell, genotype_hint(block)))
}

genotype_hint <- function(block) {
  codes <- unique(as.vector(block[!is.na(block)]))
  if (all(codes %in% -1:1)) return("; codes -1, 0, 1 become genotypes by M + 1")
  "; for columns that are not genotypes choose method = \"centred\" or \"scaled\", and missing values are NA"
}

# ---- chromosomes ------------------------------------------------------------------------------------------

# A factor of them, one a marker; NULL where none are left out
marker_chromosomes <- function(loco, source) {
  if (is.null(loco) || identical(loco, FALSE)) return(NULL)
  m <- length(source$names)
  if (identical(loco, TRUE) && m > 1) {
    if (is.null(source$chr)) abort_loco("is TRUE, but only PLINK files contain chromosomes: give the chromosome of each marker")
    loco <- source$chr
  }
  if (!is.atomic(loco) || !is.null(dim(loco)) || length(loco) != m) abort_loco(
    sprintf("must be the chromosome of each marker: %d, not %s of length %d", m, class(loco)[1], length(loco))
  )
  loco <- by_marker_name(loco, source)
  chr <- if (is.factor(loco)) droplevels(loco) else id_factor(loco)
  bad <- is.na(chr) | chr %in% c("", NA)
  if (any(bad)) abort_loco(
    paste0("has no chromosome for ", counted(sum(bad), "marker"), ": ", first_names(source$names[bad]), "; leave them out, or give them one of their own")
  )
  if (nlevels(chr) < 2) abort_loco(paste0("has all markers on one chromosome, ", quoted(levels(chr)), ": without it none is left"))
  factor(chr, unique(as.character(chr)))
}

# Names, where both have them, say which is which.
by_marker_name <- function(loco, source) {
  if (is.null(names(loco)) || !source$named) return(loco)
  at <- match(source$names, names(loco))
  if (anyNA(at)) abort_loco(paste0("has names, but none for the markers ", first_names(source$names[is.na(at)])))
  if (anyDuplicated(names(loco)) > 0) loco else loco[at]
}

abort_loco <- function(message) abort_fastlmm("loco", paste("loco", message))

# ---- what is refused --------------------------------------------------------------------------------------

check_maf <- function(maf, method) {
  if (!is.numeric(maf) || is.object(maf) || length(maf) != 1 || !isTRUE(maf >= 0 && maf < 0.5)) abort_fastlmm(
    "maf", paste0("maf, the smallest minor allele frequency, must be one number from 0 to below 0.5, not ", code_text(maf))
  )
  if (maf > 0 && method %in% c("centred", "scaled")) abort_fastlmm(
    "maf", paste0("maf is for genotypes, and method ", quoted(method), " is for other columns: leave maf out, or choose \"vanraden1\" or \"vanraden2\"")
  )
}

# The sum, what is added to it, and their own sum; with `loco` each chromosome's part
check_marker_memory <- function(n, chromosomes) {
  matrices <- if (chromosomes > 0) chromosomes + 4 else 3
  what <- sprintf("relationships of %s, %d matrices of %d x %d,", counted(n, "id"), matrices, n, n)
  check_matrix_memory(n, matrices * as.numeric(n), what)
}

check_whole <- function(whole, source, rule) {
  if (whole$counts[["used"]] == 0) {
    abort_markers(paste0("has no marker left: ", left_out_text(c(as.list(whole$counts), rule))))
  }
  empty <- whole$observed == 0
  if (any(empty)) abort_markers(paste0("got ", counted(sum(empty), "id"), " without any value: ", first_names(source$ids[empty]), "; leave them out"))
  if (!is.finite(whole$scale) || whole$scale < .Machine$double.xmin || !all(is.finite(diag(whole$cross)))) abort_markers(
    "got values whose squares exceed double precision: rescale M"
  )
}

abort_markers <- function(message) abort_fastlmm("markers", paste("kernel_markers()", message))
