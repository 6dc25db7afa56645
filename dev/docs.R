# `make docs`: the site with all help pages and vignettes, in docs/, by pkgdown and the installed package.
if (!requireNamespace("pkgdown", quietly = TRUE)) stop("`make docs` needs pkgdown: apt install r-cran-pkgdown, or install.packages(\"pkgdown\")", call. = FALSE)
# nothing of the site is asked of CRAN, where the package may be missing or another version
options(pkgdown.internet = FALSE)
pkgdown::build_site(".", preview = FALSE, install = FALSE, devel = FALSE, new_process = FALSE)
