# Write inst/AUTHORS and LICENSE.note: the crates that are compiled into the package, their versions, licences and authors.
# dev/document.R runs it, so that `make test` fails when the crates have changed.
source("dev/crates.R", local = TRUE)

or <- function(x, y) if (length(x) == 0) y else toString(unlist(x))
author_entry <- function(p) {
  sprintf(
    "%s %s\n  licence: %s\n  authors: %s", p$name, p$version, or(p$license, "see its source"),
    or(p$authors, paste("see", or(p$repository, "its source")))
  )
}
# one spelling of each: `MIT/Apache-2.0` is an old one of `MIT OR Apache-2.0`
licence_of <- function(p) paste(sort(strsplit(or(p$license, "see its source"), "/| OR ")[[1]], method = "radix"), collapse = " OR ")

write_changed <- function(lines, path) {
  text <- strsplit(paste(lines, collapse = "\n"), "\n")[[1]]
  if (!file.exists(path) || !identical(readLines(path), text)) writeLines(text, path)
}

write_authors <- function() {
  packages <- described_crates()
  write_changed(c("Rust crates that fastlmm is built from (some on some platforms only).", "", vapply(packages, author_entry, "")), "inst/AUTHORS")
  named <- vapply(packages, function(p) paste(p$name, p$version), "")
  groups <- split(named, vapply(packages, licence_of, ""))
  wrapped <- function(i) c("", names(groups)[i], strwrap(paste0(toString(groups[[i]]), "."), 100, indent = 2, exdent = 2))
  write_changed(c(
    "The files of this package are under the MIT licence (file LICENSE). The compiled library also holds the",
    "Rust crates below, each under its own licence; where several are named, the user chooses. Source tarballs",
    "of releases hold their sources with the texts of their licences in src/rust/vendor.tar.xz; their authors",
    "are in inst/AUTHORS. Written by dev/authors.R from `cargo metadata`: do not edit by hand.",
    unlist(lapply(seq_along(groups), wrapped))
  ), "LICENSE.note")
}

if (sys.nframe() == 0) write_authors()
