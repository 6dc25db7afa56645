test_that("the files that the table of standards names exist", {
  root <- file.path("..", "..")
  table <- file.path(root, "dev", "standards.md")
  skip_if_not(file.exists(table), "the source of the package")
  text <- readLines(table)
  named <- unlist(regmatches(text, gregexpr("`[^`]*[./][^`]*`", text)))
  named <- unique(gsub("`", "", named))
  paths <- named[grepl("^(R|src|vignettes|bench|dev)/|[.](md|R)$|^(synth500|stored|_snaps)/$", named) & !grepl("\\(|\\$| ", named)]
  expect_gt(length(paths), 60)
  # those without a folder are tests, or stand at the root
  places <- function(path) c(file.path(root, path), file.path(root, "tests", "testthat", path))
  there <- vapply(paths, function(path) any(file.exists(places(sub("/$", "", path)))), NA)
  expect_identical(paths[!there], character(0))
  for (category in c(
    "G1.0", "G5.12", "RE1.0", "RE7.4", "BS1.0", "BS7.4", "SP1.0", "SP6.3"
  )) expect_true(any(grepl(category, text, fixed = TRUE)), info = category)
})
