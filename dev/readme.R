# The example of README.md: runs it, writes its output below it and its picture, man/figures/example.png. dev/document.R runs it.
readme_parts <- function(lines) {
  start <- grep("^<!-- example:", lines)
  fences <- grep("^```", lines)
  fences <- fences[fences > start][1:4]
  list(code = (fences[1] + 1):(fences[2] - 1), open = fences[3], close = fences[4])
}

# what R shows of the code; messages and pictures are left out
shown <- function(code) {
  envir <- new.env(parent = globalenv())
  one <- function(expression) {
    answer <- withVisible(suppressMessages(eval(expression, envir)))
    if (answer$visible) print(answer$value)
  }
  utils::capture.output(for (expression in parse(text = code)) one(expression))
}

write_readme <- function() {
  lines <- readLines("README.md", encoding = "UTF-8")
  at <- readme_parts(lines)
  picture <- tempfile(fileext = ".png")
  grDevices::png(picture, 1400, 640, res = 200, type = "cairo")
  graphics::par(mar = c(4, 4.2, 0.8, 0.8), mgp = c(2.2, 0.7, 0))
  output <- tryCatch(shown(lines[at$code]), finally = grDevices::dev.off())
  text <- c(lines[1:at$open], output, lines[at$close:length(lines)])
  if (!identical(text, lines)) writeLines(text, "README.md", useBytes = TRUE)
  invisible(picture)
}

if (sys.nframe() == 0) file.copy(write_readme(), "man/figures/example.png", overwrite = TRUE)
