#' Covariance of species on a phylogenetic tree
#'
#' Brownian motion along the branches of a phylogeny, represented by its sparse inverse: the covariance of two tips is the length of their
#' shared path from the root, as in `ape::vcv()`.
#'
#' The inverse is over tips and inner nodes (Hadfield and Nakagawa 2010); each branch contributes the difference between parent and child, and
#' the value at the root is part of the fixed effects. Inner nodes are ids like tips, so that [predict.fastlmm()] predicts ancestors. They have
#' the labels of the tree, or `node12` for node 12; the latter is used for all of them where labels are duplicated, with the message
#' `node_labels` unless they are support values. Inner branches of length 0, or below 1e-9 of the height, are collapsed to polytomies.
#'
#' @param phylo a rooted tree with branch lengths, of class `phylo` as in package ape; it need be neither binary nor ultrametric. More than two
#'   branches at the root count as a polytomy if all tips are equally far from it, or if the tree has a `root.edge` (0 will do); otherwise the
#'   tree is taken as unrooted.
#' @param scale `TRUE`: divide all lengths by the largest distance from the root, so that the variance component is that of the tip farthest
#'   from the root.
#' @return An object of class `fastlmm_tree`, a kernel as by [kernel_precision()], for the argument `K` of [fastlmm_fit()] and [slamglmm_fit()]
#'   and for [kernel_mix()]. `as.matrix(x, ids = phylo$tip.label)` is the covariance of the tips.
#' @section Errors:
#' Errors of class `tree`: no root, no branch lengths, negative ones, duplicated labels, tips at the same position as another tip or as the
#' root (their covariance has no inverse: keep one of them, or give their branches a positive length).
#' @references
#' Hadfield JD, Nakagawa S (2010). General quantitative genetic methods for comparative biology: phylogenies, taxonomies and multi-trait models
#' for continuous and categorical characters. *Journal of Evolutionary Biology* 23, 494-508.
#' @seealso [kernel_precision()], [kernel_pedigree()]
#' @examples
#' # ((a:1,b:1):2,c:3); as ape::read.tree() reads it
#' tree <- structure(list(
#'   edge = matrix(c(4, 5, 5, 4, 5, 1, 2, 3), 4), edge.length = c(2, 1, 1, 3),
#'   tip.label = c("a", "b", "c"), Nnode = 2L
#' ), class = "phylo")
#' K <- kernel_tree(tree)
#' K
#' as.matrix(K, ids = c("a", "b", "c"))
#' @export
kernel_tree <- function(phylo, scale = FALSE) {
  scale <- read_flag(scale, "scale")
  check_tree(phylo)
  root <- setdiff(phylo$edge[, 1], phylo$edge[, 2])
  # what rounding leaves of a length of 0
  phylo$edge.length[phylo$edge.length < 1e-9 * max(node_heights(phylo, root))] <- 0
  node <- merged_nodes(phylo, root)
  branch <- which(phylo$edge.length > 0)
  height <- node_heights(phylo, root)
  unit <- if (scale) max(height) else 1
  labels <- node_labels(phylo)
  ids <- setdiff(unique(node[order(node > length(phylo$tip.label), node)]), node[root])
  number <- match(node, ids)
  ends <- list(number[phylo$edge[branch, 1]], number[phylo$edge[branch, 2]])
  P <- branch_precision(ends, unit / phylo$edge.length[branch], labels[ids])
  new_precision(P, height[ids] / unit, "fastlmm_tree", unit = unit)
}

# (e_child - e_parent)(.)' over the length of each branch; the root has no place
branch_precision <- function(ends, weight, labels) {
  inner <- which(!is.na(ends[[1]]))
  difference <- Matrix::sparseMatrix(
    i = c(seq_along(weight), inner), j = c(ends[[2]], ends[[1]][inner]),
    x = c(rep(1, length(weight)), rep(-1, length(inner))) * sqrt(weight[c(seq_along(weight), inner)]),
    dims = c(length(weight), length(labels)), dimnames = list(NULL, labels)
  )
  sparse_columns(Matrix::crossprod(difference))
}

node_labels <- function(phylo) {
  inner <- paste0("node", length(phylo$tip.label) + seq_len(phylo$Nnode))
  given <- phylo$node.label
  if (!is.null(given)) inner <- ifelse(is.na(given) | given == "", inner, given)
  twice <- unique(inner[duplicated(c(phylo$tip.label, inner))[-seq_along(phylo$tip.label)]])
  if (length(twice) == 0) return(c(phylo$tip.label, inner))
  # support values of branches are no names
  if (any(twice %in% given & grepl("[[:alpha:]]", twice))) inform_fastlmm(
    "node_labels",
    paste0(
      "labels of inner nodes are duplicated, or are those of tips: ", first_names(twice), "; all inner nodes are named by their numbers, such as node",
      length(phylo$tip.label) + 1
    )
  )
  inner <- paste0("node", length(phylo$tip.label) + seq_len(phylo$Nnode))
  while (any(inner %in% phylo$tip.label)) inner <- paste0("inner.", inner)
  c(phylo$tip.label, inner)
}

# Edges such that the parent of each is reached before it
from_the_root <- function(phylo, root) {
  below <- split(seq_len(nrow(phylo$edge)), factor(phylo$edge[, 1], seq_len(max(phylo$edge))))
  reached <- integer(0)
  layer <- root
  while (length(layer) > 0) {
    edges <- unlist(below[layer], use.names = FALSE)
    reached <- c(reached, edges)
    layer <- phylo$edge[edges, 2]
  }
  reached
}

node_heights <- function(phylo, root) {
  height <- numeric(max(phylo$edge))
  for (edge in from_the_root(phylo, root)) height[phylo$edge[edge, 2]] <- height[phylo$edge[edge, 1]] + phylo$edge.length[edge]
  height
}

# The node that each node is one with: those at the ends of a branch without length are one, the tip if there is one
merged_nodes <- function(phylo, root) {
  node <- seq_len(max(phylo$edge))
  for (edge in from_the_root(phylo, root)) if (phylo$edge.length[edge] == 0) node[phylo$edge[edge, 2]] <- node[phylo$edge[edge, 1]]
  tips <- seq_along(phylo$tip.label)
  same <- tips[node[tips] == node[root] | duplicated(node[tips]) | duplicated(node[tips], fromLast = TRUE)]
  if (length(same) > 0) abort_tree(
    paste0(
      "has tips at the same position as another tip or the root: ", first_names(phylo$tip.label[same]), "; keep one of them, or give their branches a length"
    ),
    phylo$tip.label[same]
  )
  of_tip <- tips[node[tips] != tips]
  for (tip in of_tip) node[node == node[tip]] <- tip
  node
}

check_tree <- function(phylo) {
  if (!inherits(phylo, "phylo")) abort_tree(paste("must be of class phylo, as ape::read.tree() makes it; it is of class", class(phylo)[1]))
  length <- phylo$edge.length
  if (!is_edge_table(phylo$edge) || !is.character(phylo$tip.label) || anyNA(phylo$tip.label) || any(phylo$tip.label == "")) abort_tree(
    "is damaged: it needs a table of edges by whole numbers, and a label for each tip"
  )
  if (is.null(length)) abort_tree("has no branch lengths; ape::compute.brlen() makes some")
  if (!is.numeric(length) || length(length) != nrow(phylo$edge)) abort_tree(sprintf("has %d branch lengths for %d branches", length(length), nrow(phylo$edge)))
  bad <- !is.finite(length) | length < 0
  if (any(bad)) abort_tree(paste("has", counted(sum(bad), "branch", "branches"), "without a length or with a negative one"))
  twice <- unique(phylo$tip.label[duplicated(phylo$tip.label)])
  if (length(twice) > 0) abort_tree(paste0("has tips of the same name: ", first_names(twice)), twice)
  if (length(unique(setdiff(phylo$edge[, 1], phylo$edge[, 2]))) != 1 || anyDuplicated(phylo$edge[, 2])) abort_tree(
    "is not a tree with one root: a node has two parents or none"
  )
  check_nodes(phylo)
  if (sum(length) == 0) abort_tree("has no branch with a length")
  check_rooted(phylo)
}

# As ape tells rooted trees: two branches at the root, or a root.edge. More branches there are a polytomy if all tips are as far from it, as in a star or a
# dated tree; else the node is where an unrooted tree happens to be written from.
check_rooted <- function(phylo) {
  root <- setdiff(phylo$edge[, 1], phylo$edge[, 2])
  branches <- sum(phylo$edge[, 1] == root)
  height <- node_heights(phylo, root)[seq_along(phylo$tip.label)]
  if (branches <= 2 || !is.null(phylo$root.edge) || max(height) - min(height) <= 1e-3 * max(height)) return(invisible())
  abort_tree(paste0(
    "is not rooted: ", branches,
    paste0(
      " branches meet at its first node, and its tips are not equally far from there; covariances are lengths shared from the root on. ape::root(phylo, ",
      "outgroup = , resolve.root = TRUE) or phytools::midpoint.root(phylo) "
    ),
    "gives it a root; if it is a polytomy and the root, phylo$root.edge <- 0 says so"
  ))
}

is_edge_table <- function(edge) is.matrix(edge) && is.numeric(edge) && ncol(edge) == 2 && nrow(edge) > 0 && all(is.finite(edge)) && all(
  edge >= 1 & edge == round(edge)
)

# Tips are numbered first, and all nodes are reached from the root.
check_nodes <- function(phylo) {
  tips <- length(phylo$tip.label)
  nodes <- sort(unique(c(phylo$edge)))
  right <- identical(as.integer(nodes), seq_len(max(nodes))) && identical(as.integer(phylo$Nnode), as.integer(max(nodes) - tips)) && identical(
    sort(as.integer(setdiff(nodes, phylo$edge[, 1]))), seq_len(tips)
  )
  root <- setdiff(phylo$edge[, 1], phylo$edge[, 2])
  if (!right || length(from_the_root(phylo, root)) != nrow(phylo$edge)) abort_tree(
    "is damaged: its nodes are not numbered 1 to the number of tips and nodes, tips first and all below the root"
  )
}

abort_tree <- function(why, ids = NULL) abort_fastlmm("tree", paste("the tree", why), ids = ids)
