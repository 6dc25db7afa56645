# Left sides of slamglmm_fit() whose columns are not the traits themselves, as Surv() is no number: an object of class `slam_response`.
#
# It is a matrix of numbers, a row for each row of the fit's data and a column for each trait, with what is behind the columns as attribute `blocks`; `[` by
# rows keeps both, so that model frames, subsets and rows with missing
# values work. A new kind is
# * a constructor that ends in new_slam_response(Y, kind, rows, ...): Y, what the columns look like (near the traits, in units of the data, NA where a row has
#   no data: scales, pictures and pp_check() read it); `rows`, a list of vectors,
#   lists and matrices with an element or row for each row of the data; `...`, what has no rows, and is not learnt from them. Known precisions are the kind
#   "weights" with `rows = list(weights = W)`: no more is needed for them;
# * if anything is learnt from rows (means, scales, knots), an entry of slam_settlers(): rows that are left out must not matter, so that it is learnt when the
#   rows of the fit are chosen, beside their fixed effects, and never before. Such a constructor
#   ends in seen_alone();
# * if it has a link of its own, an entry of slam_kinds(): the link of one of its traits, in rows of the fit, as slam_links() has them, whose `family` is an
#   entry of slam_families() (see there) and of the core;
# * for an object of another package a method as_slam_response.<class>(x, name), with `@export`, which slam_join() and the left side of a formula then know.

new_slam_response <- function(Y, kind = NULL, rows = list(), ...) {
  storage.mode(Y) <- "double"
  structure(Y, blocks = if (!is.null(kind)) list(list(kind = kind, traits = colnames(Y), rows = rows, ...)), class = c("slam_response", class(matrix(0))))
}

# The link of one trait: `block` and the trait's column `y`, in rows of the fit, without the offset
slam_kinds <- function() {
  list(
    weights = function(block, trait, y, offset) link_data(
      list(family = "weights", response = trait), y, block$rows$weights[, match(trait, block$traits)], offset, FALSE
    ),
    probes = probes_link,
    curves = curves_link
  )
}

# What a block learns from its rows: list(Y, block), its columns and itself with all that its links need. `fixed`: the columns `X` of fixed effects, names of
# the `flat` ones, covariates of single responses (`cis`) and the `offset` of these rows
slam_settlers <- function() list(probes = settle_probes, curves = settle_curves)

# `Y` and `blocks` in the rows of a fit
settle_blocks <- function(Y, blocks, fixed) {
  for (b in seq_along(blocks)) {
    settle <- slam_settlers()[[blocks[[b]]$kind]]
    if (is.null(settle)) next
    found <- settle(blocks[[b]], fixed)
    Y[, blocks[[b]]$traits] <- found$Y
    blocks[[b]] <- found$block
  }
  list(Y = Y, blocks = blocks)
}

# As its columns look before there is a fit
seen_alone <- function(x) {
  whole <- list(X = matrix(1, nrow(x), 1, dimnames = list(NULL, "(Intercept)")), flat = "(Intercept)", offset = numeric(nrow(x)), steps = 5)
  plain <- settle_blocks(plain_response(x), response_blocks(x), whole)$Y
  structure(plain, blocks = response_blocks(x), class = class(x))
}

# Orthogonal columns that span those of X, of mean square 1
orthogonal_columns <- function(X) {
  found <- qr(X)
  qr.Q(found)[, seq_len(found$rank), drop = FALSE] * sqrt(nrow(X))
}

response_blocks <- function(x) attr(x, "blocks")

# Without what is behind it
plain_response <- function(x) {
  attr(x, "blocks") <- attr(x, "ordered") <- NULL
  unclass(x)
}

# The link of a trait that a block has; NULL: it is the column itself
block_link <- function(blocks, trait, y, offset) {
  block <- Find(function(block) trait %in% block$traits, blocks)
  if (!is.null(block)) slam_kinds()[[block$kind]](block, trait, y, offset)
}

block_traits <- function(blocks) as.character(unlist(lapply(blocks, `[[`, "traits")))

# ---- as a matrix ---------------------------------------------------------------------------------------------------

some_of_rows <- function(x, i) if (is.null(dim(x))) x[i] else x[i, , drop = FALSE]

#' @export
`[.slam_response` <- function(x, i, j, ..., drop = TRUE) {
  of_two <- nargs() - (!missing(drop)) > 2
  plain <- plain_response(x)
  if (!of_two) return(plain[i])
  if (!missing(j)) return(plain[i, j, drop = drop])
  if (missing(i)) return(x)
  # rows by name are found once
  if (is.character(i)) i <- match(i, rownames(plain))
  blocks <- lapply(response_blocks(x), function(block) replace(block, "rows", list(lapply(block$rows, some_of_rows, i))))
  structure(plain[i, , drop = FALSE], blocks = blocks, ordered = attr(x, "ordered"), class = class(x))
}

#' @export
as.matrix.slam_response <- function(x, ...) plain_response(x)

#' @export
print.slam_response <- function(x, ...) {
  kinds <- vapply(response_blocks(x), function(block) paste0(block$kind, " (", length(block$traits), ")"), "")
  rest <- ncol(x) - length(block_traits(response_blocks(x)))
  cat("Responses of ", counted(nrow(x), "row"), ": ", toString(c(if (rest > 0) paste0("plain (", rest, ")"), kinds)), "\n", sep = "")
  print(utils::head(plain_response(x), 6), ...)
  invisible(x)
}

#' @export
cbind.slam_response <- function(..., deparse.level = 1) slam_join(...)

#' @export
rbind.slam_response <- function(..., deparse.level = 1) abort_response_changed("put one below the other")

#' @export
`[<-.slam_response` <- function(x, ..., value) abort_response_changed("changed in part")

#' @export
Ops.slam_response <- function(e1, e2) abort_response_changed(paste0("changed by ", .Generic))

#' @export
Math.slam_response <- function(x, ...) abort_response_changed(paste0("changed by ", .Generic, "()"))

abort_response_changed <- function(how) abort_fastlmm("response", paste0("such responses cannot be ", how, ": change the data, and create them again"))

# ---- from what is given --------------------------------------------------------------------------------------------

# Any object as responses; `name`: how it was called
as_slam_response <- function(x, name) UseMethod("as_slam_response")

#' @export
as_slam_response.slam_response <- function(x, name) x

#' @export
as_slam_response.default <- function(x, name) {
  if (is.data.frame(x)) return(columns_as_response(x))
  if (is.object(x) && !is.matrix(x) || !is.numeric(x) && !is.logical(x)) abort_fastlmm(
    "response_type", paste0("responses must be numbers, or made by slam_probes() and the like; ", quoted(name), " is of class ", class(x)[1])
  )
  Y <- if (is.matrix(x)) x else matrix(x, dimnames = list(names(x), name))
  if (is.null(colnames(Y))) colnames(Y) <- if (ncol(Y) == 1) name else paste0(name, seq_len(ncol(Y)))
  new_slam_response(Y)
}

# Levels in their order, as numbers, which are for ordinal() alone
#' @export
as_slam_response.ordered <- function(x, name) structure(
  new_slam_response(matrix(as.integer(x), dimnames = list(names(x), name))), ordered = structure(list(base::levels(x)), names = name)
)

columns_as_response <- function(x) {
  numbers <- vapply(x, function(column) is.numeric(column) || is.logical(column) || is.ordered(column), NA)
  if (!all(numbers)) abort_fastlmm(
    "response_type", paste0("columns of the responses are not numeric: ", first_names(names(x)[!numbers])), responses = names(x)[!numbers]
  )
  levels <- vapply(x, is.ordered, NA)
  labels <- lapply(x[levels], base::levels)
  x[levels] <- lapply(x[levels], as.integer)
  whole <- new_slam_response(as.matrix(x))
  if (any(levels)) attr(whole, "ordered") <- structure(labels, names = colnames(whole)[levels])
  whole
}

# `ordered`: names of levels of responses that were ordered factors, by response
check_ordered <- function(ordered, families) {
  wrong <- names(ordered)[vapply(names(ordered), function(name) !identical(families[[name]]$family, "ordinal"), NA)]
  if (length(wrong) > 0) abort_family(
    paste0("ordered factors need family = ordinal(), or as.integer() of them for numbers: ", first_names(wrong)), responses = wrong
  )
}

# Is it one that has a method of its own, and that no model frame can hold?
is_response_object <- function(x) {
  if (!is.list(x) && !isS4(x)) return(FALSE)
  any(vapply(class(x), function(class) exists(paste0("as_slam_response.", class), mode = "function"), NA))
}

#' Responses of several kinds in one model
#'
#' Combines blocks on the left side of [slamglmm_fit()]: matrices, data frames and vectors of numbers, ordered factors, and the values of
#' [slam_probes()] and other constructors of responses. Families are given by name through the argument `family` of the fit. Factors and
#' covariances are common to all blocks. `cbind()` of such an object does the same.
#' @param ... blocks with the same rows. A block without column names is named by its argument.
#' @return A matrix of class `slam_response`: a row for each row of the data, a column for each trait. Errors: `response_type`; `blocks` for
#'   blocks with different numbers of rows or with common names.
#' @examples
#' set.seed(1)
#' data <- data.frame(id = paste0("i", rep(1:30, 2)))
#' value <- (matrix(rnorm(60), 30) %*% matrix(c(1, 0.5, 0.5, 1), 2))[rep(1:30, 2), ]
#' data$M <- cbind(p1 = value[, 1], p2 = value[, 1] + 2) + rnorm(120, sd = 0.5)
#' data$sick <- rbinom(60, 1, plogis(value[, 2]))
#' formula <- slam_join(slam_probes(M, c(p1 = "gene", p2 = "gene")), sick) ~ 1 + (1 | id)
#' fit <- slamglmm_fit(formula, data, family = list(sick = binomial()), chains = 1, iter = 100, seed = 1)
#' fit
#' @export
slam_join <- function(...) {
  blocks <- list(...)
  if (length(blocks) == 0) abort_fastlmm("blocks", "slam_join() needs responses")
  called <- vapply(as.list(substitute(list(...)))[-1], function(expr) deparse1(expr), "")
  if (!is.null(names(blocks))) called <- ifelse(names(blocks) == "", called, names(blocks))
  parts <- Map(as_slam_response, blocks, called)
  rows <- vapply(parts, nrow, 0L)
  if (length(unique(rows)) > 1) abort_fastlmm(
    "blocks", paste0("blocks of responses have different numbers of rows: ", toString(sprintf("%s has %d", quoted(called), rows)))
  )
  names <- unlist(lapply(parts, colnames))
  if (anyDuplicated(names)) {
    twice <- unique(names[duplicated(names)])
    abort_fastlmm(
      "blocks",
      paste0(
        "several responses have the name ", first_names(twice), ", in ",
        toString(quoted(called[vapply(parts, function(part) any(colnames(part) %in% twice), NA)]))
      ),
      responses = twice
    )
  }
  whole <- new_slam_response(do.call(cbind, unname(lapply(parts, plain_response))))
  attr(whole, "blocks") <- unlist(unname(lapply(parts, response_blocks)), recursive = FALSE)
  attr(whole, "ordered") <- unlist(unname(lapply(parts, attr, "ordered")), recursive = FALSE)
  whole
}
