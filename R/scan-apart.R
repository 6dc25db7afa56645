# Candidates whose own columns, or whose group's, leave the kernel while they are tested.

# For each distinct null model its candidates, and how the model is made; NULL: one model for all
apart_sets <- function(fit, source, groups, exclude, kernels) {
  if (is.null(groups) && is.null(exclude)) {
    if (!is.null(kernels)) abort_scan("got kernels without groups: give the group of each candidate")
    return(NULL)
  }
  if (!is.null(groups) && !is.null(exclude)) abort_scan("got groups and exclude; give one of them")
  if (!is.null(exclude) && !is.null(kernels)) abort_scan("got exclude and kernels; give one of them: kernels go with groups")
  if (!is.null(exclude)) return(exclude_sets(fit, source, exclude))
  if (length(groups) != source$m) abort_scan(sprintf("got groups of length %d for %d candidates", length(groups), source$m))
  if (anyNA(groups)) abort_scan(paste0("got candidates without a group: ", first_names(source$names[is.na(groups)])))
  at <- split(seq_len(source$m), factor(groups, unique(groups)))
  if (!is.null(kernels)) return(kernel_sets(fit, at, kernels))
  without <- "; for another kernel give the kernel without each group, kernels = list(group = K), which kernel_markers(loco =) makes of chromosomes"
  columns <- colnames(check_excludable(fit, "groups =", without)$kernel$W)
  if (is.null(columns)) abort_scan("with groups needs a W with column names: those of the candidates")
  lapply(at, function(j) {
    out <- intersect(source$names[j], columns)
    list(candidates = j, null = function() if (length(out) == 0) fit else quiet_fit(fastlmm_exclude(fit, out)))
  })
}

quiet_fit <- function(expr) suppressMessages(suppressWarnings(expr))

kernel_sets <- function(fit, at, kernels) {
  missing <- setdiff(names(at), names(kernels))
  if (length(missing) > 0) abort_scan(paste0("got no kernel for the groups ", first_names(missing)))
  Map(function(j, K) list(candidates = j, null = function() quiet_fit(with_kernel(fit, K))), at, kernels[names(at)])
}

# The model of the fit, in its own rows, with another kernel
with_kernel <- function(fit, K) {
  model <- stored_model(fit)
  term <- model$random[[1]]
  id <- factor(term$ids[term$index][term$group], term$ids[term$index])
  term <- c(new_term(term$expr, term$slope), list(id = id, z = term$z, slope_call = term$slope_call))
  design <- list(random = list(term), terms = model$terms, rows = model$rows, row_ids = known_row_ids(fit))
  model$random <- mold_random(K, NULL, design, model$control)
  estimate(model)
}

exclude_sets <- function(fit, source, exclude) {
  if (!is.list(exclude) || length(exclude) != source$m) abort_scan(sprintf("needs exclude as a list of %d, a set of columns for each candidate", source$m))
  W <- check_excludable(fit, "exclude =")$kernel$W
  sets <- lapply(exclude, function(set) if (length(set) == 0) integer() else sort(excluded_columns(set, W)))
  key <- vapply(sets, paste, "", collapse = " ")
  lapply(split(seq_along(key), factor(key, unique(key))), function(j) {
    out <- sets[[j[1]]]
    list(candidates = j, null = function() if (length(out) == 0) fit else quiet_fit(fastlmm_exclude(fit, out)))
  })
}

scan_apart <- function(fit, source, tests, ask, how, apart) {
  parts <- lapply(seq_along(apart), function(k) {
    one <- apart[[k]]
    own <- how
    if (!is.null(how$checkpoint)) own$checkpoint <- file.path(how$checkpoint, sprintf("part-%06d", k))
    scan_with(one$null(), source_part(source, one$candidates), tests_part(tests, one$candidates), ask, own)
  })
  found <- do.call(rbind, parts)
  found[order(unlist(lapply(apart, `[[`, "candidates"))), ]
}

source_part <- function(source, j) {
  read <- source$read
  source$read <- function(k) read(j[k])
  source$whole <- NULL
  source$names <- source$names[j]
  source$map <- source$map[j, ]
  source$m <- length(j)
  source
}

# Candidates are tested one by one here.
tests_part <- function(tests, j) {
  if (is.null(tests$columns)) return(tests)
  list(columns = as.list(seq_along(j)), adjust = integer(length(j)), names = tests$names[j], with = NULL)
}
