# Write src/rust/vendor.tar.xz and vendor-config.toml for a release: all crates, in an archive that is the same byte for byte each time.
folder <- setwd("src/rust")
config <- system2("cargo", c("vendor", "--locked", "vendor"), stdout = TRUE)
writeLines(sub('directory = "vendor"', 'directory = "rust/vendor"', config, fixed = TRUE), "vendor-config.toml")
status <- system("tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -c vendor | xz -9 > vendor.tar.xz")
unlink("vendor", recursive = TRUE)
cat(sprintf("vendor.tar.xz: %.1f MB\n", file.size("vendor.tar.xz") / 1e6))
setwd(folder)
quit(status = status)
