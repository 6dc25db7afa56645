# Where the effects of the ids to predict come from: the user's cross kernel, else the fit's own kernel, else nowhere.

# For each id: its row in the user's K, else its row in the fit's kernel, else neither.
kernel_source <- function(random, id, K, allow.new.levels) {
  if (!is.null(K)) K <- check_cross_kernel(K, random, id)
  source <- list(id = id, K = K, given = match(id, rownames(K)), known = match(id, random$ids))
  unknown <- is.na(source$given) & is.na(source$known)
  if (any(unknown) && !allows_new(allow.new.levels, random) && !is_own_part(random)) abort_new_levels(id[unknown], random)
  source$effect <- source_effect(random, source)
  source$random <- random
  source
}

# Of new levels: all grouping factors, or those that are named
allows_new <- function(allow, random) if (is.character(allow)) random$name %in% allow else allow

check_new_levels <- function(allow, fit) {
  known <- unique(unlist(lapply(fit$random, `[[`, "name")))
  unknown <- if (is.character(allow)) setdiff(allow, known)
  if (length(unknown) > 0) abort_fastlmm(
    "argument",
    paste0(
      "allow.new.levels names what is no grouping factor of the fit: ", first_names(unknown), did_you_mean(unknown[1], known), "; there are ",
      first_names(known)
    )
  )
}

# In a mix the identity leaves it to the other kernels to know an id.
is_own_part <- function(random) is.null(random$kernel) && !is.null(random$part)

# Further rows of a factor come with the prediction, further combinations are made by a product; a kernel between new and old ids stands beside the fit's own.
new_source <- function(random, id, K, allow.new.levels) {
  if (is_product(K) || is.null(K)) return(kernel_source(extend_product(random, id, K), id, NULL, allow.new.levels))
  if (!is_lowrank(K)) return(kernel_source(random, id, K, allow.new.levels))
  if (is.null(random$expr)) rownames(K$W) <- cross_row_names(rownames(K$W), nrow(K$W), id)
  kernel_source(extend_factor(random, K), id, NULL, allow.new.levels)
}

source_effect <- function(random, source) {
  effect <- unname(blup(random))[source$known]
  effect[is.na(effect)] <- 0
  given <- !is.na(source$given)
  observed <- random$ids[random$index]
  if (any(given)) effect[given] <- source$K[source$given[given], observed, drop = FALSE] %*% random$alpha
  effect
}

cross_kernel <- function(random, source, at) {
  given <- source$given[at]
  known <- ifelse(is.na(given), source$known[at], NA)
  if (!anyNA(known)) return(kernel_block(random, known, random$index))
  cross <- matrix(0, length(at), length(random$index))
  cross[!is.na(known), ] <- kernel_block(random, known[!is.na(known)], random$index)
  cross[!is.na(given), ] <- source$K[given[!is.na(given)], random$ids[random$index], drop = FALSE]
  cross
}

prior_variance <- function(random, source, k_diag) {
  prior <- kernel_diagonal(random)[source$known]
  prior[is.na(prior)] <- random$mean_diag
  given <- which(!is.na(source$given))
  if (length(given) > 0) prior[given] <- given_prior(source, given, k_diag)
  prior
}

given_prior <- function(source, given, k_diag) {
  id <- source$id[given]
  joint <- match(id, colnames(source$K))
  prior <- source$K[cbind(source$given[given], joint)]
  if (!is.null(k_diag)) prior <- named_prior(row_diagonal(k_diag, id), id, prior)
  if (anyNA(prior)) abort_k_diag(id[is.na(prior)])
  prior
}

named_prior <- function(k_diag, id, prior) {
  if (!is.numeric(k_diag) || anyNA(k_diag) || any(k_diag < 0)) abort_k_diag(id)
  value <- if (is.null(names(k_diag)) && length(k_diag) == 1) rep(k_diag, length(id)) else unname(k_diag[match(id, full_numbers(names(k_diag)))])
  ifelse(is.na(prior), value, prior)
}

# ---- checks -------------------------------------------------------------------------------------------

check_cross_kernel <- function(K, random, id) {
  if (is_lowrank(random$kernel)) abort_cross_kernel("the kernel of the fit is a factor: give the rows of the new ids, K = kernel_lowrank(W)")
  K <- as_cross_matrix(K, if (is.null(random$expr)) id)
  observed <- random$ids[random$index]
  missing <- setdiff(observed, colnames(K))
  if (length(missing) > 0) abort_cross_columns(missing, length(observed))
  check_same_kernel(K, random)
  K
}

# `rows`: ids of new rows, where the kernel of the fit is over rows
as_cross_matrix <- function(K, rows = NULL) {
  K <- kernel_matrix_of(K)
  check_cross_finite(K)
  if (!is.null(rows)) rownames(K) <- cross_row_names(rownames(K), nrow(K), rows)
  check_cross_names(rownames(K), "row")
  check_cross_names(colnames(K), "column")
  dimnames(K) <- lapply(dimnames(K), full_numbers)
  K
}

# The user's kernel for each of the random effects: NULL where there is none.
new_kernels <- function(K, random) {
  name <- vapply(random, `[[`, "", "name")
  if (is.null(K)) return(lapply(random, function(one) NULL))
  if (!is.list(K) || is.data.frame(K) || is.object(K)) K <- bare_kernel(K, unique(name))
  if (is.null(names(K)) || !all(names(K) %in% name)) abort_cross_entry(names(K), unique(name))
  lapply(random, function(one) part_kernel(K[[one$name]], one))
}

bare_kernel <- function(K, name) {
  if (length(name) != 1) abort_cross_kernel(
    paste0(
      "the fit has several grouping factors, ", toString(quoted(name)), ", and K is one kernel without a name; write K = list(", list_name(name[1]), " = ...)"
    )
  )
  structure(list(K), names = name)
}

part_kernel <- function(K, random) {
  if (is.null(K)) return(NULL)
  if (is_mix(K) == is.null(random$part)) abort_cross_mix(random)
  if (is_mix(K)) K$kernels[[random$part]] else K
}

abort_cross_entry <- function(found, name) {
  abort_cross_kernel(paste0(
    "K must be a list with entries named by the grouping factors, ", toString(quoted(name)), "; it ",
    if (is.null(found)) "has no names" else paste("has", first_names(found))
  ))
}

abort_cross_mix <- function(random) {
  abort_cross_kernel(if (is.null(random$part)) {
    paste0("the kernel of ", quoted(random$name), " in the fit is not a mix: give one kernel")
  } else {
    paste0("the kernel of ", quoted(random$name), " in the fit is a mix: give kernel_mix() with the same names")
  })
}

check_cross_finite <- function(K) {
  bad <- which(!is.finite(K), arr.ind = TRUE)
  if (nrow(bad) == 0) return(invisible())
  where <- sprintf(", the first in row %d, column %d", bad[1, 1], bad[1, 2])
  abort_cross_kernel(paste0("K has ", counted(nrow(bad), "non-finite value"), where))
}

check_cross_names <- function(id, side) {
  if (is.null(id)) abort_cross_kernel(paste0("K has no ", side, " names; rows are new ids, columns ids of the fit"))
  if (anyNA(id)) abort_cross_kernel(paste0("K has ", counted(sum(is.na(id)), paste("missing", side, "name"))))
  twice <- unique(id[duplicated(id)])
  if (length(twice) > 0) abort_cross_kernel(paste0("K has duplicated ", side, " names: ", first_names(twice)))
}

abort_cross_kernel <- function(message) abort_fastlmm("cross_kernel", message)

abort_cross_columns <- function(missing, m) {
  abort_fastlmm(
    "cross_kernel",
    paste0(
      "K lacks columns for ", length(missing), " of the ", m, " ids that the fit has data on: ", first_names(missing),
      "; rows are new ids, columns the ids of the fit"
    ),
    missing = missing
  )
}

# A joint kernel made on another scale would give wrong predictions without a sign of it.
check_same_kernel <- function(K, random) {
  shared <- match(rownames(K), random$ids)
  rows <- which(!is.na(shared))
  if (length(rows) == 0) return(invisible())
  own <- kernel_block(random, shared[rows], random$index)
  difference <- abs(K[rows, random$ids[random$index], drop = FALSE] - own)
  if (max(difference) > 1e-6 * max(abs(own), random$mean_diag) + sum(random$changed)) abort_other_kernel(difference)
}

abort_other_kernel <- function(difference) {
  at <- arrayInd(which.max(difference), dim(difference))
  abort_fastlmm(
    "other_kernel",
    sprintf(
      paste(
        "K differs from the kernel of the fit on ids that they share, by up to %s (row \"%s\", column \"%s\"):",
        "compute both together, on one scale"
      ),
      format(max(difference), digits = 3), rownames(difference)[at[1]], colnames(difference)[at[2]]
    ),
    difference = max(difference)
  )
}

abort_new_levels <- function(id, random) {
  if (any(is_new_row(id))) abort_new_rows(id[is_new_row(id)])
  abort_fastlmm(
    "new_levels",
    if (is.null(random$kernel)) {
      paste0(
        counted(length(id), "level"), " of ", quoted(random$name), " in newdata not in the data of the fit: ", first_names(id),
        "; give allow.new.levels = TRUE for an effect of 0"
      )
    } else {
      paste0(
        counted(length(id), "id"), " of ", quoted(random$name), " in newdata not in the kernel: ", first_names(id),
        "; give K = (kernel of new by old ids), or allow.new.levels = TRUE for an effect of 0"
      )
    },
    levels = id
  )
}

abort_k_diag <- function(id) {
  abort_fastlmm(
    "k_diag",
    paste0(
      "standard errors need the prior variances K[id, id] of ", first_names(id),
      ": give k_diag (numbers named by id, none negative), or a K whose columns contain the new ids as well"
    ),
    levels = id
  )
}
