# The picture of the README, drawn by the code of the vignette Performance from its stored points.
#
#   Rscript bench/picture.R

code <- tempfile(fileext = ".R")
knitr::purl("vignettes/performance.Rmd", code, quiet = TRUE, documentation = 1)
lines <- readLines(code)
chunk <- function(name) {
  starts <- grep("^## ----", lines)
  from <- grep(sprintf("^## ----%s\\b", name), lines)
  eval(parse(text = lines[from:(c(starts[starts > from], length(lines) + 1)[1] - 1)]), globalenv())
}
chunk("data")
points <- utils::read.csv("inst/extdata/scaling.csv")
dir.create("man/figures", showWarnings = FALSE)
grDevices::png("man/figures/scaling.png", width = 1400, height = 760, res = 200, type = "cairo")
chunk("picture")
invisible(grDevices::dev.off())
