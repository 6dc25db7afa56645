# A part of a chromosome: tests by position, their correlation with the strongest, genes below.

# `region`: the name of a candidate (its neighbourhood), "chromosome:from-to", or NULL: about the strongest test
region_data <- function(scan, map, region, window, candidates, genes) {
  placed <- placed_tests(scan, map)
  if (is.null(placed$place)) abort_scan("to be drawn as a region needs a chromosome and positions: scan PLINK files, or give map =")
  need_columns(scan, "term")
  log10p <- scan$log10p[placed$used]
  where <- region_range(region, placed$place, scan$term[placed$used], log10p, window)
  inside <- which(placed$place$chr == where$chr & placed$place$pos >= where$from & placed$place$pos <= where$to)
  if (length(inside) == 0) abort_scan(sprintf("has no tests in the region %s:%.0f-%.0f", where$chr, where$from, where$to))
  term <- scan$term[placed$used][inside]
  lead <- first_of(if (!is.na(where$lead)) which(term == where$lead)[which.max(log10p[inside][term == where$lead])], which.max(log10p[inside]))
  scale <- position_scale(c(where$from, where$to))
  list(
    at = placed$place$pos[inside], y = drawable(log10p[inside]), term = term, lead = lead, xlim = c(where$from, where$to), ticks = scale$at,
    groups = scale$text,
    label = paste0("position on chromosome ", sub("^chr(omosome)?", "", where$chr), scale$unit),
    r2 = if (!is.null(candidates)) correlation_with(candidates, term, term[lead]),
    genes = if (!is.null(genes)) gene_lanes(genes, where), placed = list(used = placed$used[inside], place = placed$place[inside, ])
  )
}

region_range <- function(region, place, terms, log10p, window) {
  if (!is.null(region) && (!is.character(region) || length(region) != 1 || is.na(region))) abort_region(region)
  window <- if (is.null(window)) if (is.null(position_unit(place$pos)$name)) 20 else 5e5 else check_window(window)
  parts <- if (!is.null(region)) regmatches(region, regexec("^(.+):([0-9,.]+)-([0-9,.]+)$", region))[[1]]
  if (length(parts) == 4 && !region %in% terms) {
    limits <- as.numeric(gsub(",", "", parts[3:4]))
    if (!parts[2] %in% levels(place$chr) || anyNA(limits) || limits[1] >= limits[2]) abort_region(region)
    return(list(chr = parts[2], from = limits[1], to = limits[2], lead = NA))
  }
  at <- if (is.null(region)) which.max(log10p) else which(terms == region)[which.max(log10p[terms == region])]
  if (length(at) == 0) abort_region(region)
  list(chr = as.character(place$chr[at]), from = place$pos[at] - window, to = place$pos[at] + window, lead = terms[at])
}

abort_region <- function(region) {
  abort_scan(
    paste("draws a region that is the name of a tested candidate or, of a chromosome that the scan has, as \"10:1000000-2000000\", not", code_text(region))
  )
}

check_window <- function(window) {
  if (is.numeric(window) && length(window) == 1 && isTRUE(window > 0 && is.finite(window))) return(window)
  abort_scan(paste("needs window, how far a region reaches to each side: one positive number, not", code_text(window)))
}

# Squared correlations over all rows of the candidates in which both are observed
correlation_with <- function(candidates, terms, lead) {
  values <- columns_named(candidates, unique(terms))
  r <- suppressWarnings(stats::cor(values, values[, match(lead, unique(terms))], use = "pairwise.complete.obs"))
  drop(r)[match(terms, unique(terms))]^2
}

columns_named <- function(candidates, terms) {
  if (is.character(candidates) && is.null(dim(candidates))) candidates <- open_bed(candidates)
  if (is_plink_list(candidates)) candidates <- plink_candidates(candidates)
  if (is.data.frame(candidates)) candidates <- frame_candidates(candidates)
  if (length(dim(candidates)) != 2 || is.null(colnames(candidates))) abort_candidates("for correlations must have rows, and columns with names")
  at <- match(terms, colnames(candidates))
  if (anyNA(at)) abort_candidates(paste0("lack columns of the region: ", first_names(terms[is.na(at)])))
  values <- block_values(candidates, NULL, at)
  if (!is.numeric(values)) abort_candidates("for correlations must be numbers")
  values
}

# Classes of squared correlations, and their colours; the last is for what is not known
r2_breaks <- c(0, 0.2, 0.4, 0.6, 0.8, 1)
r2_colours <- c("#34495e", "#5dade2", "#58b368", "#e59f3c", "#c0392b", "grey70")
r2_names <- c("0 to 0.2", "0.2 to 0.4", "0.4 to 0.6", "0.6 to 0.8", "0.8 to 1", "not known")

r2_class <- function(r2) ifelse(is.na(r2), 6L, as.integer(cut(pmin(r2, 1), r2_breaks, include.lowest = TRUE)))

# ---- genes ----------------------------------------------------------------------------------------------

# data.frame(start, end, name, lane): genes that reach into the region, in as few lanes as hold them with their names
gene_lanes <- function(genes, where) {
  if (!is.data.frame(genes) || !all(c("chr", "start", "end", "name") %in% names(genes)) || !is.numeric(genes$start) || !is.numeric(genes$end)) {
    abort_scan("draws genes of a data frame with chr, start, end and name")
  }
  bare <- function(chr) toupper(sub("^chr", "", as.character(chr), ignore.case = TRUE))
  inside <- which(bare(genes$chr) == bare(where$chr) & genes$end >= where$from & genes$start <= where$to)
  found <- data.frame(
    start = pmax(genes$start[inside], where$from), end = pmin(genes$end[inside], where$to), name = as.character(genes$name[inside]), stringsAsFactors = FALSE
  )
  found <- found[order(found$start), ]
  found$lane <- lanes(found, (where$to - where$from) * 0.012)
  found
}

# The first lane in which neither a gene nor a name (`letter` wide a letter) lies on another
lanes <- function(genes, letter) {
  half <- pmax(genes$end - genes$start, nchar(genes$name) * letter) / 2
  middle <- (genes$start + genes$end) / 2
  ends <- lane <- numeric()
  for (i in seq_len(nrow(genes))) {
    free <- which(ends < middle[i] - half[i] - letter)
    lane[i] <- if (length(free) > 0) free[1] else length(ends) + 1
    ends[lane[i]] <- middle[i] + half[i]
  }
  lane
}
