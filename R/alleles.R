# Genotypes count copies of one allele: PLINK's first (A1, fifth column of the .bim), whoever read the files. snpStats counts the second, allele B.

# The list that snpStats::read.plink() gives
is_plink_list <- function(x) is.list(x) && !is.data.frame(x) && inherits(x$genotypes, "SnpMatrix") && is.data.frame(x$map)

plink_candidates <- function(x) {
  map <- x$map
  if (nrow(map) != ncol(x$genotypes)) abort_candidates(sprintf("as PLINK files have %d genotypes and a map of %d", ncol(x$genotypes), nrow(map)))
  known <- function(name) if (is.null(map[[name]])) rep(NA, nrow(map)) else map[[name]]
  structure(list(genotypes = x$genotypes), class = "fastlmm_snps", map = new_map(known("chromosome"), known("position"), known("allele.1"), known("allele.2")))
}

#' @export
dim.fastlmm_snps <- function(x) dim(unclass(x)$genotypes)

#' @export
dimnames.fastlmm_snps <- function(x) dimnames(unclass(x)$genotypes)

#' @export
`[.fastlmm_snps` <- function(x, i, j, drop = FALSE) copies_of_first(unclass(x)$genotypes[, j])

copies_of_first <- function(genotypes) 2 - methods::as(genotypes, "numeric")

# ---- chromosome, position and alleles of each column ----------------------------------------------------

# "0" is what PLINK writes for what is not known.
new_map <- function(chr, pos, effect, other) {
  chr <- allele_name(chr)
  pos <- suppressWarnings(as.numeric(pos))
  data.frame(
    chr = chromosome_factor(chr), pos = replace(pos, pos %in% 0, NA), effect_allele = allele_name(effect), other_allele = allele_name(other),
    stringsAsFactors = FALSE
  )
}

# read.table() makes logical values of columns that are T or F only.
allele_name <- function(x) {
  name <- if (is.logical(x)) substr(as.character(x), 1, 1) else as.character(x)
  replace(name, name %in% "0", NA)
}

candidate_map <- function(candidates) if (inherits(candidates, c("fastlmm_bed", "fastlmm_snps"))) attr(candidates, "map")

# Of each test: of several columns what they agree about, and the middle of their positions
test_places <- function(map, columns) {
  if (all(lengths(columns) == 1)) return(map[unlist(columns), , drop = FALSE])
  of_set <- function(j) {
    chr <- unique(map$chr[j])
    single <- length(j) == 1
    list(
      chr = if (length(chr) == 1) as.integer(chr) else NA_integer_, pos = if (length(chr) == 1) mean(range(map$pos[j])) else NA_real_,
      effect_allele = if (single) first_of(map$effect_allele[j], NA_character_) else NA_character_,
      other_allele = if (single) first_of(map$other_allele[j], NA_character_) else NA_character_
    )
  }
  places <- do.call(rbind.data.frame, c(lapply(columns, function(j) of_set(unique(j))), stringsAsFactors = FALSE))
  places$chr <- factor(levels(map$chr)[places$chr], levels(map$chr))
  places[names(map)]
}

# Frequency of the counted allele for tests of one column, over the ids with data, each once; of what is no number of copies there is none.
allele_frequency <- function(G, columns, unit) {
  single <- lengths(columns) == 1
  frequency <- rep(NA_real_, length(columns))
  j <- unlist(columns[single])
  G <- G[, j, drop = FALSE]
  frequency[single] <- ifelse(no_copies(G), NA_real_, id_means(G, unit) / 2)
  frequency
}
