# The only build script: finds cargo and rustc, compares their version with DESCRIPTION, writes src/Makevars. Installs nothing.

windows <- .Platform$OS.type == "windows"
cargo_bin <- file.path(Sys.getenv(if (windows) "USERPROFILE" else "HOME"), ".cargo", "bin")
Sys.setenv(PATH = paste(Sys.getenv("PATH"), cargo_bin, sep = .Platform$path.sep))

fail <- function(...) {
  message(
    "\n------------------------- fastlmm cannot be built -------------------------\n", ...,
    "\nInstall Rust from <https://rustup.rs>, or from your system's packages, and make sure that\n",
    "`cargo` and `rustc` are on the PATH or in ~/.cargo/bin.\n"
  )
  quit(status = 1)
}

version_of <- function(tool) {
  path <- Sys.which(tool)
  if (!nzchar(path)) fail("`", tool, "` was not found.")
  text <- suppressWarnings(system2(path, "--version", stdout = TRUE, stderr = TRUE))
  if (!grepl(paste0("^", tool, " [0-9]"), text[1])) fail("`", path, " --version` answers:\n", paste(text, collapse = "\n"))
  message("using ", text[1], " (", path, ")")
  numeric_version(sub("^\\S+ ([0-9.]+).*", "\\1", text[1]))
}

requirements <- read.dcf("DESCRIPTION", "SystemRequirements")[[1]]
needed <- sub(".*rustc \\(>= ([0-9.]+)\\).*", "\\1", requirements)
version_of("cargo")
found <- version_of("rustc")
if (found < needed) fail("rustc ", format(found), " is too old: at least ", needed, " is needed.")

# R CMD build and R CMD check unpack the sources elsewhere, where cargo would compile them anew: with FASTLMM_BUILT, a workspace
# that has been built, it is sent there if that holds the same files with the same contents, and only if one of them is newer than
# the library: it would wait for the tests that another cargo compiles.
sources <- function(workspace) {
  below <- function(folder) file.path(folder, list.files(file.path(workspace, folder), recursive = TRUE))
  files <- c("Cargo.toml", "Cargo.lock", "core/Cargo.toml", "fft/Cargo.toml", below("src"), below("core/src"), below("fft/src"))
  setNames(tools::md5sum(file.path(workspace, files)), files)
}
built <- Sys.getenv("FASTLMM_BUILT")
same <- nzchar(built) && identical(sources("src/rust"), sources(built))

# A tarball with vendored crates builds offline, keeps to its own folder, and leaves only the library there;
# a working copy uses the user's cargo and, so that checks share builds, CARGO_TARGET_DIR.
vendored <- file.exists("src/rust/vendor.tar.xz") && !same
here <- normalizePath("src", "/")
values <- if (vendored) {
  list(
    TARGET_DIR = file.path(here, "rust", "target"), CARGO_HOME = file.path(here, ".cargo"), CARGO_FLAGS = "-j 2 --offline --locked",
    VENDOR = "mkdir -p .cargo && tar xf rust/vendor.tar.xz -C rust && cp rust/vendor-config.toml .cargo/config.toml", AFTER = "clean_rust"
  )
} else {
  target <- normalizePath(Sys.getenv("CARGO_TARGET_DIR", file.path(here, "rust", "target")), "/", mustWork = FALSE)
  home <- Sys.getenv("CARGO_HOME", dirname(cargo_bin))
  list(TARGET_DIR = target, CARGO_HOME = home, CARGO_FLAGS = "--locked", VENDOR = "true", AFTER = "")
}
values$WORKSPACE <- if (same) built else "rust"
values$AFTER_THESE <- if (same) paste(file.path(built, names(sources(built))), collapse = " ") else "force"

name <- if (windows) "src/Makevars.win" else "src/Makevars"
lines <- readLines(paste0(name, ".in"))
for (key in names(values)) lines <- gsub(paste0("@", key, "@"), values[[key]], lines, fixed = TRUE)
writeLines(lines, name)
