# Write inst/AUTHORS: the crates that are compiled into the package, their versions, licences and authors (cargo metadata).
arguments <- c("metadata", "--manifest-path", "src/rust/Cargo.toml", "--format-version", "1", "--locked")
metadata <- system2("cargo", arguments, stdout = TRUE)
packages <- jsonlite::fromJSON(paste(metadata, collapse = ""), simplifyVector = FALSE)$packages
packages <- Filter(function(p) !is.null(p$source), packages)

or <- function(x, y) if (length(x) == 0) y else toString(unlist(x))
entry <- function(p) {
  sprintf(
    "%s %s\n  licence: %s\n  authors: %s", p$name, p$version, or(p$license, "see its source"),
    or(p$authors, paste("see", or(p$repository, "its source")))
  )
}
by_name <- order(vapply(packages, `[[`, "", "name"), method = "radix")
text <- vapply(packages[by_name], entry, "")
writeLines(c("Rust crates that fastlmm is built from (some on some platforms only).", "", text), "inst/AUTHORS")
