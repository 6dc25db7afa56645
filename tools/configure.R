# The only build script: finds cargo and rustc, compares their version with DESCRIPTION, writes src/Makevars.

windows <- .Platform$OS.type == "windows"
Sys.setenv(PATH = paste(Sys.getenv("PATH"), file.path(path.expand("~"), ".cargo", "bin"), sep = .Platform$path.sep))

fail <- function(...) {
  message(
    "\n------------------------- fastlmm cannot be built -------------------------\n", ...,
    "\nInstall Rust from <https://rustup.rs>, or from your system's packages, and make sure that\n",
    "`cargo` and `rustc` are on the PATH.\n"
  )
  quit(status = 1)
}

version_of <- function(tool) {
  path <- Sys.which(tool)
  if (!nzchar(path)) fail("`", tool, "` was not found.")
  text <- system2(path, "--version", stdout = TRUE)
  message("using ", text, " (", path, ")")
  numeric_version(sub("^\\S+ ([0-9.]+).*", "\\1", text))
}

requirements <- read.dcf("DESCRIPTION", "SystemRequirements")[[1]]
needed <- sub(".*rustc \\(>= ([0-9.]+)\\).*", "\\1", requirements)
version_of("cargo")
found <- version_of("rustc")
if (found < needed) fail("rustc ", found, " is too old: at least ", needed, " is needed.")

# A tarball with vendored crates builds offline in its own folder; a working copy uses the user's cargo and target folder.
vendored <- file.exists("src/rust/vendor.tar.xz")
target <- Sys.getenv("CARGO_TARGET_DIR", file.path(getwd(), "src", "rust", "target"))
home <- Sys.getenv("CARGO_HOME", file.path(path.expand("~"), ".cargo"))
values <- if (vendored) {
  list(
    TARGET_DIR = "$(CURDIR)/rust/target", CARGO_HOME = "$(CURDIR)/.cargo", CARGO_FLAGS = "-j 2 --offline --locked", AFTER = "clean_rust",
    VENDOR = "mkdir -p .cargo && tar xf rust/vendor.tar.xz -C rust && cp rust/vendor-config.toml .cargo/config.toml && "
  )
} else {
  list(TARGET_DIR = target, CARGO_HOME = home, CARGO_FLAGS = "--locked", AFTER = "", VENDOR = "")
}
values$LIBS <- if (windows) "-lws2_32 -ladvapi32 -luserenv -lbcrypt -lntdll" else ""

name <- if (windows) "src/Makevars.win" else "src/Makevars"
lines <- readLines(paste0(name, ".in"))
for (key in names(values)) lines <- gsub(paste0("@", key, "@"), values[[key]], lines, fixed = TRUE)
writeLines(lines, name)
