# The crates that are compiled into the package on one of its platforms: what the tarball carries, what AUTHORS and LICENSE.note name.
platforms <- c("x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu", "x86_64-pc-windows-gnu", "x86_64-apple-darwin", "aarch64-apple-darwin")

cargo <- function(...) {
  lines <- system2("cargo", c(..., "--locked"), stdout = TRUE)
  if (length(attr(lines, "status"))) stop("`cargo ", paste(..., collapse = " "), "` failed")
  lines
}

tree <- function(platform, manifest) {
  lines <- cargo("tree", "--manifest-path", manifest, "--target", platform, "--edges", "normal,build", "--prefix", "none", "--format", shQuote("{p};{f}"))
  # a path or `(proc-macro)` may follow the version, `(*)` the features
  fields <- regmatches(lines, regexec("^(\\S+) v(\\S+)( \\(proc-macro\\))?;([^ ]*)", lines))
  fields <- Filter(length, fields)
  data.frame(crate = vapply(fields, `[`, "", 2), version = vapply(fields, `[`, "", 3), features = vapply(fields, `[`, "", 5))
}

# one row a crate and version from the registry; workspace members have a path behind their version and are left out
compiled_crates <- function(manifest = "src/rust/Cargo.toml") {
  all <- unique(do.call(rbind, lapply(platforms, tree, manifest)))
  features <- tapply(all$features, paste(all$crate, all$version), function(f) unique(unlist(strsplit(f, ","))), simplify = FALSE)
  at <- order(names(features), method = "radix")
  data.frame(crate = sub(" .*", "", names(features)), version = sub(".* ", "", names(features)), features = I(unname(as.list(features))))[at, ]
}

# Cargo's description of each of them: name, version, license, authors, repository
described_crates <- function(manifest = "src/rust/Cargo.toml") {
  packages <- jsonlite::fromJSON(paste(cargo("metadata", "--manifest-path", manifest, "--format-version", "1"), collapse = ""), simplifyVector = FALSE)$packages
  compiled <- with(compiled_crates(manifest), paste(crate, version))
  packages <- Filter(function(p) !is.null(p$source) && paste(p$name, p$version) %in% compiled, packages)
  packages[order(vapply(packages, `[[`, "", "name"), vapply(packages, `[[`, "", "version"), method = "radix")]
}
