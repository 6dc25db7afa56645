# Offsets of a sparse-factor model: a number for each row, the same for all responses, or a matrix with one for each row and response.

# In the order of the responses: columns with names go by these
cell_offset <- function(offset, responses) {
  if (!is.matrix(offset)) return(offset)
  if (ncol(offset) != length(responses)) abort_offset_columns(
    sprintf(
      "offset has %d columns and there are %s: give a number for each row, or a matrix with a column for each response", ncol(offset),
      counted(length(responses), "response")
    )
  )
  names <- colnames(offset)
  if (is.null(names) || all(is.na(names) | names == "")) return(offset)
  lost <- setdiff(responses, names)
  if (length(lost) > 0) abort_offset_columns(
    paste0(
      "column names of an offset must be those of the responses, or use unname() if they are in order: for the responses ", first_names(lost),
      " there is no offset", did_you_mean(lost[1], setdiff(names, responses))
    )
  )
  unname(offset[, responses, drop = FALSE])
}

abort_offset_columns <- function(message) abort_fastlmm("offset", message)

# Of response j
offset_of <- function(offset, j) if (is.matrix(offset)) unname(offset[, j]) else offset

# Rows x responses
offset_matrix <- function(fit) matrix(fit$offset, nrow(fit$Y), ncol(fit$Y))

# The offset of normal responses, which the stored ones are without
own_offset <- function(fit) if (has_links(fit)) offset_matrix(fit) * rep(!behind_link(fit$links), each = nrow(fit$Y)) else fit$offset

count_targets <- function(rows) NROW(rows$offset)
