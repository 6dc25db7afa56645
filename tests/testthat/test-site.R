# The site's index (_pkgdown.yml) and the help pages; only where the sources are beside the tests.
root <- test_path("..", "..")
site <- function() {
  skip_if_not(file.exists(file.path(root, "_pkgdown.yml")), "the sources are not here")
  skip_if_not_installed("yaml")
  yaml::read_yaml(file.path(root, "_pkgdown.yml"))
}

# aliases of a help page, and whether it is for the index
topics <- function() {
  pages <- list.files(file.path(root, "man"), "[.]Rd$", full.names = TRUE)
  lines <- lapply(pages, readLines)
  field <- function(key) lapply(lines, function(text) sub("^.*\\{(.*)\\}$", "\\1", grep(paste0("^\\\\", key, "\\{"), text, value = TRUE)))
  data.frame(page = sub("[.]Rd$", "", basename(pages)), aliases = I(field("alias")), internal = vapply(field("keyword"), function(k) "internal" %in% k, NA))
}

test_that("each help page stands in one group of the site", {
  listed <- unlist(lapply(site()$reference, `[[`, "contents"))
  pages <- topics()
  of <- vapply(listed, function(name) pages$page[vapply(pages$aliases, function(a) name %in% a, NA)][1], "")
  expect_false(anyNA(of))
  expect_identical(unname(of[duplicated(of)]), character())
  expect_setequal(of, union(pages$page[!pages$internal], "fastlmm-package"))
})

test_that("each exported object has a help page", {
  site()
  expect_setequal(intersect(getNamespaceExports("fastlmm"), unlist(topics()$aliases)), getNamespaceExports("fastlmm"))
})

test_that("each vignette stands in one group of the site, in the package's page and in the README", {
  listed <- unlist(lapply(site()$articles, `[[`, "contents"))
  vignettes <- sub("[.]Rmd$", "", list.files(file.path(root, "vignettes"), "[.]Rmd$"))
  expect_setequal(listed, vignettes)
  expect_false(anyDuplicated(listed) > 0)
  told <- function(path) vapply(vignettes, grepl, NA, x = paste(readLines(file.path(root, path)), collapse = "\n"), fixed = TRUE)
  expect_identical(names(which(!told("man/fastlmm-package.Rd"))), character())
  expect_identical(names(which(!told("README.md"))), character())
})

test_that("the oldest Rust is the same in DESCRIPTION, for cargo, in the README and in the workflow", {
  site()
  found <- function(path, pattern) {
    lines <- readLines(file.path(root, path))
    unique(sub(paste0(".*", pattern, ".*"), "\\1", grep(pattern, lines, value = TRUE)))
  }
  oldest <- found("DESCRIPTION", "rustc \\(>= ([0-9.]+)\\)")
  expect_length(oldest, 1)
  expect_identical(found("src/rust/Cargo.toml", "rust-version = \"([0-9.]+)\""), oldest)
  expect_identical(found("README.md", "Rust \\(>= ([0-9.]+)\\)"), oldest)
  expect_identical(found(".github/workflows/test.yaml", "rust-toolchain@([0-9.]+)[.]0$"), oldest)
})
