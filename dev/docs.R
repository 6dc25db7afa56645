# `make docs`: the site with all help pages and vignettes, in docs/, by pkgdown and the installed package. It ends with an error where a link leads nowhere.
if (!requireNamespace("pkgdown", quietly = TRUE)) stop("`make docs` needs pkgdown: apt install r-cran-pkgdown, or install.packages(\"pkgdown\")", call. = FALSE)

# The README stands beside the sources; on the site its links lead to the pages made of them, or to copies.
lead_home <- function() {
  html <- paste(readLines("docs/index.html", encoding = "UTF-8"), collapse = "\n")
  html <- gsub("href=\"vignettes/([^\"]+)[.]Rmd\"", "href=\"articles/\\1.html\"", html)
  html <- gsub("href=\"NEWS.html\"", "href=\"news/index.html\"", html, fixed = TRUE)
  html <- gsub("href=\"(inst/extdata/|)([^\"/]+[.](csv|note))\"", "href=\"\\2.txt\"", html)
  writeLines(html, "docs/index.html", useBytes = TRUE)
  file.copy(c("inst/extdata/scaling.csv", "LICENSE.note"), file.path("docs", c("scaling.csv.txt", "LICENSE.note.txt")), overwrite = TRUE)
  dir.create("docs/bench", showWarnings = FALSE)
  rmarkdown::pandoc_convert(
    normalizePath("bench/README.md"), "html", "gfm", file.path(normalizePath("docs/bench"), "README.html"),
    options = c("--standalone", "--metadata", "title=fastlmm")
  )
}

# Debian's pkgdown takes MathJax from its own machine
lead_out <- function(pages) {
  for (page in pages) {
    lines <- readLines(page, encoding = "UTF-8", warn = FALSE)
    lines <- sub("file:///usr/share/javascript/mathjax/", "https://cdnjs.cloudflare.com/ajax/libs/mathjax/2.7.5/", lines, fixed = TRUE)
    writeLines(lines, page, useBytes = TRUE)
  }
}

# Links within the site that lead to no file
dead_links <- function(page) {
  html <- paste(readLines(page, encoding = "UTF-8", warn = FALSE), collapse = "\n")
  links <- unlist(regmatches(html, gregexpr("(?<=href=\"|src=\")[^\"#]+", html, perl = TRUE)))
  links <- unique(utils::URLdecode(sub("[?].*", "", grep("^[a-z]+:", links, value = TRUE, invert = TRUE))))
  dead <- links[!file.exists(file.path(dirname(page), links))]
  sprintf("%s: %s", rep(page, length(dead)), dead)
}

# nothing of the site is asked of CRAN, where the package may be missing or another version
options(pkgdown.internet = FALSE)
pkgdown::build_site(".", preview = FALSE, install = FALSE, devel = FALSE, new_process = FALSE)
lead_home()
pages <- list.files("docs", "[.]html$", recursive = TRUE, full.names = TRUE)
lead_out(pages)
dead <- unlist(lapply(pages, dead_links))
if (length(dead) > 0) stop("links that lead nowhere:\n", paste(dead, collapse = "\n"), call. = FALSE)
