# Write inst/AUTHORS: the crates that are compiled into the package, their versions, licences and authors (cargo metadata).
metadata <- system2("cargo", c("metadata", "--manifest-path", "src/rust/Cargo.toml", "--format-version", "1", "--locked"), stdout = TRUE)
packages <- jsonlite::fromJSON(paste(metadata, collapse = ""), simplifyVector = FALSE)$packages
packages <- Filter(function(p) !is.null(p$source), packages)
or <- function(x, y) if (length(x) == 0) y else x
line <- function(p) sprintf("%s %s\n  licence: %s\n  authors: %s", p$name, p$version, or(p$license, "see its source"), or(toString(unlist(p$authors)), "see its repository"))
text <- vapply(packages[order(vapply(packages, `[[`, "", "name"))], line, "")
writeLines(c("Rust crates that fastlmm is built from (some on some platforms only).", "", text), "inst/AUTHORS")
