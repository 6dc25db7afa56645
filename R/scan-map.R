# Chromosome, position and alleles of candidates, from their files or from a table, and the natural order of chromosomes.

# `copies`: are candidates copies of an allele, so that they have a frequency?
with_map <- function(source, map, maf) {
  from_files <- !is.null(source$map)
  if (!is.null(map)) {
    known <- read_map(map, source)
    source$map <- if (from_files) replace(source$map, names(known), known) else known
  }
  source$copies <- from_files || maf > 0 || "effect_allele" %in% names(source$map)
  source
}

map_columns <- c("chr", "pos", "effect_allele", "other_allele")

# A row for each candidate: of a data frame, or of a .bim file. Names of candidates, in the column term, another column or row names, say which
# row is whose; rows are taken in their order only where the map has no names.
read_map <- function(map, source) {
  if (is.character(map)) map <- read_bim(map)
  if (!is.data.frame(map) || !all(c("chr", "pos") %in% names(map))) abort_scan("needs map as a data frame with chr and pos, or as the path of a .bim file")
  names <- map_names(map, source$names)
  if (is.null(names) && nrow(map) != source$m) abort_map(source$m, nrow(map), NULL)
  if (!is.null(names)) {
    absent <- setdiff(source$names, names)
    if (length(absent) > 0) abort_map(source$m, nrow(map), absent)
    check_map_names(names)
    map <- map[match(source$names, names), , drop = FALSE]
  }
  new_map_columns(map)
}

abort_map <- function(m, rows, absent) {
  abort_scan(sprintf(
    "needs a row of map for each of %d candidates, by its column term or its row names or in their order, not %d rows%s", m, rows,
    if (length(absent) > 0) paste0("; it has no row for ", first_names(absent)) else ""
  ))
}

read_bim <- function(path) {
  if (length(path) != 1 || is.na(path) || !file.exists(path) || dir.exists(path)) abort_scan(
    paste("needs map as a data frame, or as the path of a .bim file, not", code_text(path))
  )
  bim <- read_plink(path, 6)
  cbind(term = bim[[2]], new_map(bim[[1]], bim[[4]], bim[[5]], bim[[6]]))
}

# The column term, else the first that holds names of candidates, else row names; none where a map has no names that are theirs.
map_names <- function(map, candidates) {
  if ("term" %in% names(map)) return(as.character(map$term))
  others <- Filter(function(x) is.character(x) || is.factor(x), map[setdiff(names(map), map_columns)])
  if (has_row_names(map)) others <- c(others, list(rownames(map)))
  shared <- vapply(others, function(x) sum(candidates %in% as.character(x)), 0)
  if (any(shared > 0)) as.character(others[[which.max(shared)]])
}

check_map_names <- function(names) {
  if (anyDuplicated(names)) abort_scan(paste0("needs a map with one row for each candidate; several have ", first_names(unique(names[duplicated(names)]))))
}

new_map_columns <- function(map) {
  if (!is.numeric(map$pos) || is.factor(map$pos)) abort_scan("needs a map with positions that are numbers")
  if (!is.atomic(map$chr)) abort_scan("needs a map with chromosomes that are names or numbers")
  known <- data.frame(chr = chromosome_factor(map$chr), pos = as.numeric(map$pos), stringsAsFactors = FALSE)
  for (name in intersect(map_columns[3:4], names(map))) known[[name]] <- allele_name(map[[name]])
  known
}

# ---- order of chromosomes -------------------------------------------------------------------------------

# A factor whose levels are in another order than the alphabet's has the order that its maker wants.
chromosome_factor <- function(chr) {
  if (is.factor(chr) && !identical(levels(chr), sort(levels(chr))) && !identical(levels(chr), sort(levels(chr), method = "radix"))) return(chr)
  chr <- as.character(chr)
  factor(chr, natural_order(unique(chr[!is.na(chr)])))
}

# 1, 2, 10, X, Y, MT; then others, numbers within names as numbers. Roman numbers where all names with several such letters are.
natural_order <- function(names) {
  bare <- toupper(sub("^(chromosome|chrom|chr)[ _.]?", "", names, ignore.case = TRUE))
  number <- chromosome_number(bare)
  special <- match(bare, c("X", "Y", "Z", "W", "XY", "PAR", "M", "MT", "MITO", "CP", "PT"))
  kind <- ifelse(!is.na(number), 1, ifelse(!is.na(special), 2, 3))
  rank <- ifelse(kind == 1, number, ifelse(kind == 2, special, 0))
  names[order(kind, rank, padded_numbers(bare), names, method = "radix")]
}

chromosome_number <- function(bare) {
  number <- ifelse(grepl("^[0-9]+[A-Z]?$", bare), suppressWarnings(as.numeric(gsub("[A-Z]", "", bare))), NA)
  roman <- suppressWarnings(as.integer(utils::as.roman(bare)))
  is_roman <- grepl("^[IVXL]+$", bare) & !is.na(roman)
  if (any(is_roman & nchar(bare) > 1 & bare != "XL")) number[is_roman] <- roman[is_roman]
  number
}

# Text whose order is that of the numbers in it
padded_numbers <- function(text) {
  at <- gregexpr("[0-9]+", text)
  regmatches(text, at) <- lapply(regmatches(text, at), function(digits) paste0(strrep("0", pmax(0, 20 - nchar(digits))), digits))
  text
}

# Positions in bases are shown in millions of them; of a genetic map as they are.
position_unit <- function(pos) if (max(pos, 0, na.rm = TRUE) >= 1e5) list(size = 1e6, name = "Mb") else list(size = 1, name = NULL)

# The order of tests along the genome, or in which candidates were given
genome_order <- function(table, given = NULL) {
  if (all(c("chr", "pos") %in% names(table))) return(order(chromosome_factor(table$chr), table$pos))
  if (is.null(given) || is.null(table$term)) return(seq_len(nrow(table)))
  order(match(table$term, given))
}
