# Write src/rust/vendor.tar.xz and vendor-config.toml for a release: the crates that the platforms of dev/crates.R compile, in an archive
# that is the same byte for byte each time. Needs GNU tar. With the archive in place, installing is offline (tools/configure.R).
# A crate that no platform compiles is a stub, which Cargo.lock still resolves to: its Cargo.toml, an empty library, its checksum.
source("dev/crates.R", local = TRUE)

# what cargo does not read when a crate is a dependency; licences stay
spare <- "^(tests|benches|examples|ci|docs|testdata|fixtures|Cargo\\.toml\\.orig|Cargo\\.lock|CHANGELOG.*|RELEASES.*|\\.[^.].*)$"

stub <- function(folder) {
  keep <- c("Cargo.toml", ".cargo-checksum.json")
  unlink(file.path(folder, setdiff(list.files(folder, all.files = TRUE, no.. = TRUE), keep)), recursive = TRUE)
  dir.create(file.path(folder, "src"))
  file.create(file.path(folder, "src", "lib.rs"))
}

trim <- function(folder) {
  names <- setdiff(list.files(folder, all.files = TRUE, no.. = TRUE), ".cargo-checksum.json")
  unlink(file.path(folder, grep(spare, names, value = TRUE)), recursive = TRUE)
}

# windows-sys has a folder for each of its 700 features, and compiles those that are asked for
trim_windows <- function(folder, features) {
  root <- file.path(folder, "src", "Windows")
  modules <- list.dirs(root, full.names = FALSE)[-1]
  unused <- setdiff(modules, c("Win32", gsub("_", "/", features)))
  unlink(file.path(root, unused), recursive = TRUE)
}

# the files have changed, so that their sums are left out; that of the whole crate must be Cargo.lock's
seal <- function(folder) {
  path <- file.path(folder, ".cargo-checksum.json")
  package <- jsonlite::fromJSON(path)$package
  writeLines(sprintf('{"files":{},"package":"%s"}', package), path)
}

# cargo's name of the folder: the crate, with the version behind it where there are several
named <- function(vendored) {
  field <- function(path, key) sub(".*\"(.*)\".*", "\\1", grep(paste0("^", key, " = "), readLines(path), value = TRUE)[1])
  manifests <- file.path(vendored, "Cargo.toml")
  paste(vapply(manifests, field, "", "name"), vapply(manifests, field, "", "version"))
}

vendor <- function() {
  config <- cargo("vendor", "--manifest-path", "src/rust/Cargo.toml", "src/rust/vendor")
  # cargo reads it from src/.cargo/config.toml, and takes paths from src/
  writeLines(sub('directory = ".*"', 'directory = "rust/vendor"', config), "src/rust/vendor-config.toml")
  folders <- list.dirs("src/rust/vendor", recursive = FALSE)
  crates <- named(folders)
  compiled <- compiled_crates()
  needed <- paste(compiled$crate, compiled$version)
  stopifnot(needed %in% crates)
  for (folder in folders[!crates %in% needed]) stub(folder)
  for (folder in folders[crates %in% needed]) trim(folder)
  windows <- which(compiled$crate == "windows-sys")
  trim_windows(folders[match(needed[windows], crates)], compiled$features[[windows]])
  for (folder in folders) seal(folder)
  sprintf("%d crates, %d stubs", length(needed), length(folders) - length(needed))
}

told <- vendor()
pack <- "tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --mode=go-w -C src/rust -cf - vendor | xz -9e -T1 > src/rust/vendor.tar.xz"
status <- system(pack)
unlink("src/rust/vendor", recursive = TRUE)
cat(sprintf("src/rust/vendor.tar.xz: %s, %.1f MB\n", told, file.size("src/rust/vendor.tar.xz") / 1e6))
quit(status = status)
