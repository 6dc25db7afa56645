# `make docs`: the site with all help pages and vignettes, in docs/, by pkgdown and the installed package.
if (!requireNamespace("pkgdown", quietly = TRUE)) stop("`make docs` needs pkgdown: apt install r-cran-pkgdown, or install.packages(\"pkgdown\")", call. = FALSE)
pkgdown::build_site(".", preview = FALSE, install = FALSE, devel = FALSE, new_process = FALSE)
