# Missing cells of candidates: a cell gets the mean over the ids whose rows are in the test, each id once, by the mean of its observed cells. So it does not
# matter whether a candidate has a row an id or a row of the data, nor with how many other responses it is tested.

# `unit`: the id of the random effect that each cell of the candidates belongs to. What has several cells of an id is read in blocks.
with_units <- function(source, fit) {
  source$unit <- integer(source$cells)
  source$unit[source$cell] <- fit$random[[1]]$group
  if (!is.null(unit_of_null(source$unit))) source$whole <- NULL
  source
}

id_means <- function(G, unit) {
  if (anyDuplicated(unit) == 0) return(colMeans(G, na.rm = TRUE))
  first <- first_observed(G)
  from_first <- sweep(G, 2, first) # constants stay exactly what they are
  seen <- !is.na(G)
  sums <- rowsum(replace(from_first, !seen, 0), unit) / rowsum(seen + 0, unit)
  first + colMeans(sums, na.rm = TRUE)
}

first_observed <- function(G) apply(G, 2, function(g) g[!is.na(g)][1])

impute <- function(G, unit) {
  bad <- which(colSums(is.na(G)) > 0)
  if (length(bad) == 0) return(G)
  means <- id_means(G[, bad, drop = FALSE], unit)
  for (k in seq_along(bad)) {
    g <- G[, bad[k]]
    G[is.na(g), bad[k]] <- means[k]
  }
  G
}

# Where each id has one cell, the core's mean over cells is that over ids.
unit_of_null <- function(unit) if (anyDuplicated(unit) > 0) unit

# Of cells that no row of the test is in, nothing is known.
only_cells_with_rows <- function(G, rows) {
  if (any(rows == 0)) G[rows == 0, ] <- NA
  G
}

# Rows in which all columns of each set are observed
observed_rows <- function(G, columns, rows) vapply(columns, function(j) rows_of_set(G[, j, drop = FALSE], rows), 0)

rows_of_set <- function(G, rows) if (anyNA(G)) sum(rows[rowSums(is.na(G)) == 0]) else as.numeric(sum(rows))
