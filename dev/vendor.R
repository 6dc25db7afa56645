# Write src/rust/vendor.tar.xz and vendor-config.toml for a release: all crates, in an archive that is the same byte for byte each time.
# Needs GNU tar. With the archive in place, installing is offline (tools/configure.R).
setwd("src/rust")
config <- system2("cargo", c("vendor", "--locked", "vendor"), stdout = TRUE)
if (length(attr(config, "status"))) quit(status = 1)
# cargo reads it from src/.cargo/config.toml, and takes paths from src/
writeLines(sub('directory = "vendor"', 'directory = "rust/vendor"', config, fixed = TRUE), "vendor-config.toml")

pack <- "tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --mode=go-w -cf - vendor | xz -9 -T1 > vendor.tar.xz"
status <- system(pack)
unlink("vendor", recursive = TRUE)
cat(sprintf("src/rust/vendor.tar.xz: %.1f MB\n", file.size("vendor.tar.xz") / 1e6))
quit(status = status)
