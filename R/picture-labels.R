# Labels of many things on an axis: as large as there is room, cut in the middle where they are long, some of them left out where they are many.

# list(text, cex, shown, cut, shared): `room` inches for the length of a label, `step` inches from one to the next. `shown`: which are drawn; `cut`: which are
# not whole; `shared`: the beginning of all names
# that was left out for want of room.
fit_labels <- function(names, room, step, smallest = 0.5, largest = 0.9) {
  shared <- if (length(names) > 1 && max(graphics::strwidth(names, "inches", cex = 0.65)) > room) shared_beginning(names) else ""
  names <- substring(names, nchar(shared) + 1)
  line <- graphics::strheight("M", "inches", cex = 1) * 1.5
  cex <- min(largest, max(smallest, step / line))
  every <- max(1, ceiling(smallest * line / step - 1e-6))
  whole <- graphics::strwidth(names, "inches", cex = cex)
  # smaller letters first, but one long name does not make all others small; then fewer
  if (max(0, whole) > room) {
    cex <- max(min(cex, 0.65), cex * room / max(whole))
    whole <- graphics::strwidth(names, "inches", cex = cex)
  }
  letters <- max(8, floor(room / (graphics::strwidth("n", "inches", cex = cex) * 1.05)))
  text <- ifelse(whole > room, cut_names(names, letters), names)
  list(text = text, cex = cex, shown = seq_along(names) %% every == every %/% 2 | every == 1, cut = text != names, shared = shared)
}

# What all names begin with, up to the end of a word; nothing if that is short
shared_beginning <- function(names) {
  letters <- strsplit(names, "")
  least <- min(lengths(letters)) - 1
  same <- vapply(seq_len(max(least, 0)), function(i) length(unique(vapply(letters, `[`, "", i))) == 1, NA)
  count <- if (all(same)) length(same) else which(!same)[1] - 1
  start <- sub("[[:alnum:]]*$", "", substr(names[1], 1, count))
  if (nchar(start) >= 6) start else ""
}

# A line that tells it
shared_text <- function(labels) if (nzchar(labels$shared)) paste0("all names begin with ", quoted(labels$shared))

# Names of at most so many letters: beginnings and ends, for these are where names differ; numbered where they became the same
cut_names <- function(names, letters) {
  long <- nchar(names, "chars") > letters
  if (!any(long)) return(names)
  # not the one character, which pdf() lacks
  keep <- max(2, letters - 3)
  first <- ceiling(keep * 0.6)
  short <- paste0(substr(names, 1, first), "...", substr(names, nchar(names, "chars") - (keep - first) + 1, nchar(names, "chars")))
  out <- ifelse(long, short, names)
  same <- duplicated(out) | duplicated(out, fromLast = TRUE)
  number <- stats::ave(seq_along(out), out, FUN = seq_along)
  ifelse(same & long, paste0(out, "(", number, ")"), out)
}

# Of a picture whose size is not known: names of at most so many letters, without what all begin with if some are longer
short_labels <- function(names, letters) {
  shared <- if (length(names) > 1 && max(nchar(names, "chars")) > letters) shared_beginning(names) else ""
  list(text = cut_names(substring(names, nchar(shared, "chars") + 1), letters), shared = shared)
}

# Full names of those that were cut, in lines of the width of the device, at most `most` of them
cut_legend <- function(labels, names, width, cex = 0.55, most = 4) {
  if (!any(labels$cut & labels$shown)) return(shared_text(labels))
  text <- paste0(labels$text, " = ", substring(names, nchar(labels$shared) + 1))[labels$cut & labels$shown]
  size <- graphics::strwidth(paste0(text, "    "), "inches", cex = cex)
  line <- cumsum_lines(size, width)
  shown <- line <= most
  lines <- vapply(split(text[shown], line[shown]), paste, "", collapse = "    ")
  left <- sum(!shown)
  if (left > 0) lines[length(lines)] <- paste0(lines[length(lines)], "    and ", left, " more")
  c(shared_text(labels), unname(lines))
}

# Which line each piece goes to
cumsum_lines <- function(size, width) {
  line <- integer(length(size))
  used <- 0
  now <- 1
  for (i in seq_along(size)) {
    if (used > 0 && used + size[i] > width * 0.95) {
      now <- now + 1
      used <- 0
    }
    used <- used + size[i]
    line[i] <- now
  }
  line
}

# Inches that they take
legend_height <- function(lines) if (length(lines) > 0) 0.12 + 0.12 * length(lines) else 0

draw_legend_lines <- function(lines, cex = 0.55) {
  x <- graphics::grconvertX(0.01, "nfc", "user")
  for (i in seq_along(lines)) {
    height <- (0.08 + 0.12 * (length(lines) - i)) / graphics::par("fin")[2]
    graphics::text(x, graphics::grconvertY(height, "nfc", "user"), lines[i], adj = c(0, 0), cex = cex, col = "grey30", xpd = NA)
  }
}
