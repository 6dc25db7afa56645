# What an object that is no kernel, or whose names do not match, seems to be, and what to do about it.

# "" where nothing tells
object_hint <- function(K) {
  has <- function(...) is.list(K) && all(c(...) %in% names(K))
  if (inherits(K, "eigen") || has("values", "vectors")) return("it is a decomposition: name its vectors, rownames(E$vectors) <- ids, and give kernel_eigen(E)")
  if (inherits(K, c("phylo", "multiPhylo"))) return("it is a tree: give kernel_tree(tree)")
  if (is_pedigree(K)) return("it is a pedigree: give kernel_pedigree(id, sire, dam)")
  if (is_product(K)) return("it is a product, for a term of a formula: (1 | id:env)")
  if (has("Ainv")) return("it holds the inverse of a relationship matrix, as MCMCglmm::inverseA() makes it: give kernel_precision(Ainv)")
  if (names_in_column(K)) return("its first column holds the names of the ids: read it with row.names = 1 and check.names = FALSE")
  ""
}

is_pedigree <- function(K) {
  if (inherits(K, c("pedigree", "pedigreeList"))) return(TRUE)
  is.data.frame(K) && nrow(K) != ncol(K) && sum(tolower(names(K)) %in% unlist(pedigree_columns[c("sire", "dam")])) >= 2
}

# What the columns of a pedigree are called
pedigree_columns <- list(
  id = c("id", "animal", "label", "name", "iid", "ind", "individual"), sire = c("sire", "father", "dad", "fatherid", "dadid", "pat"),
  dam = c("dam", "mother", "mom", "motherid", "momid", "mat")
)

# n rows and n + 1 columns, the first of which names the others, as read.csv() gives them without row.names
names_in_column <- function(K) {
  if (!is.data.frame(K) || ncol(K) != nrow(K) + 1) return(FALSE)
  first <- as.character(K[[1]])
  !is.numeric(K[[1]]) || all(names(K)[-1] == first) || all(names(K)[-1] == make.names(first))
}

# ---- names ----------------------------------------------------------------------------------------------

# What would make the ids match: each rule is asked whether it brings most of the missing ids into K.
id_rules <- list(
  "K and data differ in blanks around the names: use trimws()" = trimws,
  "K and data differ in upper and lower case: use tolower() or toupper() on one of them" = tolower,
  "K or data went through make.names(), which turns 12 into X12: read it with check.names = FALSE" = make.names,
  "K and data differ in dots, dashes, underscores or blanks between the parts of a name: make them the same with gsub()" = function(x) gsub("[-._ ]+", "_", x),
  "K or data has a prefix, as in FID_IID: take it off with sub()" = function(x) sub("^[^_]*_", "", x),
  "K or data has a prefix, as in FID_IID: take it off with sub()" = function(x) sub("^.*[_: \t]", "", x),
  "K and data differ in leading zeros: pad one with sprintf()" = function(x) gsub("(^|[^0-9])0+(?=[0-9])", "\\1", x, perl = TRUE),
  "K and data differ in case and in dots, dashes, underscores or blanks: make them the same with tolower() and gsub()" =
    function(x) tolower(gsub("[-._ ]+", "", x)),
  "the names of K are numbers that lost digits when they became character: name K by sprintf(\"%.0f\", id)" = function(x) ifelse(
    grepl("^[0-9.e+]+$", x), sprintf("%.14e", suppressWarnings(as.numeric(x))), x
  )
)

# "" where no rule helps
rule_hint <- function(missing, ids) {
  # of names as long as these nobody made a slip
  if (any(nchar(c(missing, ids)) > 1000)) return("")
  helps <- function(rule) mean(rule(missing) %in% rule(ids)) > 0.5
  c(names(Filter(helps, id_rules)), "")[1]
}

# `columns`: names of the columns of a factor or of candidates, which have a row an id
transposed_hint <- function(missing, columns, what) {
  if (is.null(columns) || mean(missing %in% full_numbers(columns)) <= 0.5) return("")
  paste0("the ids are names of its columns, but ", what, " has a row for each id: give t(", what, ")")
}

id_hint <- function(missing, ids, levels, term, columns = NULL) {
  found <- c(transposed_hint(missing, columns, "W"), rule_hint(missing, ids))
  found <- found[nzchar(found)]
  if (length(found) > 0) return(found[1])
  if (is.null(term$group)) return("without a bar term K is matched by the row names of data; name the ids in the formula with (1 | id)")
  code_hint(ids, levels)
}

# Numbers on one side and labels on the other: as.integer() of a factor
code_hint <- function(ids, levels) {
  if (identical(ids, paste0("V", seq_along(ids)))) return("K was read without names, which V1, V2, ... only count: set its row names to the ids")
  numbers <- function(x) all(grepl("^[0-9]+$", x))
  codes <- as.character(seq_along(levels))
  if (!numbers(levels) && all(codes %in% ids)) return("K seems to be named by the codes of the factor, not by its labels: name it by levels()")
  if (numbers(levels) && !any(grepl("^[0-9]+$", ids))) return("the ids of data may be the codes of a factor, not its labels: use as.character() on it")
  "give K all ids of the data, or leave those rows out"
}

# ---- an inverse -----------------------------------------------------------------------------------------

# A precision is a valid covariance, of another model: many exact zeros, negative values that outweigh the positive, and rows that sum to little. A sample of
# columns tells.
warn_inverse <- function(K) {
  m <- nrow(K)
  if (m < 6) return(invisible())
  columns <- unique(round(seq(1, m, length.out = min(m, 50))))
  part <- K[, columns, drop = FALSE]
  variance <- part[cbind(columns, seq_along(columns))]
  part[cbind(columns, seq_along(columns))] <- 0
  if (mean(abs(part) <= 1e-10 * max(abs(variance))) < 1 / 3) return(invisible())
  negative <- -sum(part[part < 0])
  if (negative < 0.2 * sum(variance) || negative < 2 * sum(part[part > 0])) return(invisible())
  if (sum(variance) + sum(part) > 0.75 * sum(variance)) return(invisible())
  warn_fastlmm("inverse_kernel", paste0(
    paste0(
      "K looks like the inverse of a relationship matrix: most of its off-diagonal values are zero, most of the others negative, and its row sums are small. ",
      "K must be the covariance "
    ),
    "itself: give kernel_precision(K) if it is an inverse"
  ))
}
