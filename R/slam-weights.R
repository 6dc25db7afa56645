# Weights of single cells: known precisions and numbers of trials. Rows and columns with names go by these.

# Weights of all rows of the data, in the order of the rows and responses of the left side `value`; NULL: none. A cell without a weight is left out, as na.omit
# leaves out a row.
cell_weights <- function(weights, value, name, family, data) {
  if (is.null(weights) || is.null(value)) return(NULL)
  Y <- whole_responses(value, name)
  if (is.data.frame(weights)) weights <- as.matrix(weights)
  if (!is.numeric(weights) && !(is.logical(weights) && all(is.na(weights))) || !identical(dim(weights), dim(Y))) {
    abort_fastlmm("weights", sprintf("weights must be a matrix of numbers, %d rows of the data by %d responses", nrow(Y), ncol(Y)))
  }
  weights <- rows_by_name(columns_by_name(weights, colnames(Y)), rownames(Y), data)
  used <- uses_weights(read_families(family, colnames(Y), attr(Y, "taken")), colnames(Y), attr(Y, "taken"))
  needed <- !is.na(Y) & rep(used, each = nrow(Y))
  bad <- needed & !is.na(weights) & (!is.finite(weights) | weights < 0)
  if (any(bad)) abort_fastlmm(
    "weights",
    paste0("weights must be finite numbers that are not negative, where there is a response: they are not of ", first_names(colnames(Y)[colSums(bad) > 0])),
    responses = colnames(Y)[colSums(bad) > 0]
  )
  inform_no_weight(colnames(Y)[col(Y)[needed & is.na(weights)]])
  weights[!is.finite(weights)] <- 0
  # a row that has no weight was not observed
  structure(unname(weights), seen = ifelse(rowSums(!is.na(Y) & !(weights == 0 & rep(used, each = nrow(Y)))) > 0, 0, NA_real_))
}

inform_no_weight <- function(responses) {
  if (length(responses) == 0) return(invisible())
  inform_fastlmm(
    "missing_weights", paste0(counted(length(responses), "cell"), " without a weight, of ", first_names(unique(responses)), ": taken as missing"),
    n = length(responses)
  )
}

# All rows of the left side, with the names that the responses will have; `taken`: responses of objects that say what they are
whole_responses <- function(value, name) {
  if (is.matrix(value) && !is_response_object(value) && ncol(value) > 1) colnames(value) <- response_names(colnames(value), ncol(value))
  whole <- as_slam_response(value, deparse1(name))
  structure(plain_response(whole), taken = block_traits(response_blocks(whole)))
}

# Normal responses have precisions, and binomial() ones trials.
uses_weights <- function(families, responses, taken) {
  kind <- if (is.null(families)) rep("gaussian", length(responses)) else vapply(families, `[[`, "", "family")
  kind %in% c("gaussian", "binomial") & !responses %in% taken
}

columns_by_name <- function(weights, responses) {
  names <- colnames(weights)
  if (is.null(names) || all(is.na(names) | names == "")) return(weights)
  if (identical(names, responses)) return(weights)
  unknown <- setdiff(names, responses)
  lost <- setdiff(responses, names)
  if (length(lost) > 0 || anyDuplicated(names)) {
    said <- c(
      if (length(unknown) > 0) paste0("there are no responses ", first_names(unknown)),
      if (length(lost) > 0) paste0("of the responses ", first_names(lost), " there are no weights")
    )
    abort_fastlmm(
      "weights",
      paste0(
        "column names of weights must be those of the responses, each once, or use unname(weights) if they are in order: ", paste(said, collapse = ", and ")
      ),
      responses = lost
    )
  }
  weights[, responses, drop = FALSE]
}

# Rows are those of the data by name where both have names; names of which none is one of the data's say nothing.
rows_by_name <- function(weights, of_response, data) {
  names <- rownames(weights)
  if (is.null(names) || counts_rows(names)) return(weights)
  rows <- if (is.data.frame(data) && has_row_names(data)) rownames(data) else if (!is.null(of_response) && !counts_rows(of_response)) of_response
  if (is.null(rows)) {
    if (any(as.character(seq_len(nrow(weights))) %in% names)) abort_row_names(
      paste0(
        "weights have the row names ", first_names(names), " and data has automatic ones: give data these names, or unname(weights) in the order of its rows"
      )
    )
    return(weights)
  }
  if (identical(names, rows) || !any(names %in% rows) || anyDuplicated(rows)) return(weights)
  if (anyDuplicated(names) || !setequal(names, rows)) {
    abort_row_names(
      paste0(
        "row names of weights must be those of the data, each once, or use unname(weights) if they are in order: there are no weights of ",
        first_names(setdiff(rows, names))
      )
    )
  }
  weights[rows, , drop = FALSE]
}

# ---- in the rows of a fit ----------------------------------------------------------------------------------------

# What is left out beside rows with missing values
rows_with_weight <- function(weights) attr(weights, "seen")

weights_of_rows <- function(weights, rows, used) if (!is.null(weights)) weights[row_places(rows, used), , drop = FALSE]
