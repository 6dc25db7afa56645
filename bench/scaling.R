# Growth: time and memory of one fit against the size of the problem, each point in a fresh process, with the exponents that the last points follow.
#
#   Rscript bench/scaling.R [share] [series] [file]
#
# share: part of the largest sizes that is run, 1 for all of them (0.05); series: names with commas, or all; file: where the points go, as
# inst/extdata/scaling.csv, which the vignette Performance shows. Two threads; times below a second are medians of five.

script <- sub("--file=", "", grep("--file=", commandArgs(), value = TRUE))
source(file.path(dirname(script), "common.R"))
source(file.path(dirname(script), "scaling-points.R"))
arguments <- commandArgs(TRUE)

# ---- one point, in a process of its own -----------------------------------------------------------------------------

# What a run takes: seconds that pass, of the processors, and memory at its peak beyond what was held before
measured <- function(point) {
  invisible(gc())
  before <- reset_peak()
  first <- system.time(point$run())
  peak <- peak_memory()
  again <- if (first[["elapsed"]] < 1) 5 else 0
  times <- vapply(seq_len(again), function(i) as.numeric(system.time(point$run())[1:3]), numeric(3))
  times <- if (again > 0) apply(times, 1, stats::median) else as.numeric(first[1:3])
  per <- if (is.null(point$steps)) 1 else point$steps
  data.frame(seconds = times[3] / per, cpu = (times[1] + times[2]) / per, megabytes = (peak - before) / 1e6)
}

if (identical(arguments[1], "--point")) {
  suppressPackageStartupMessages(library(fastlmm))
  options(fastlmm.threads = 2)
  set.seed(1)
  size <- as.numeric(arguments[3])
  row <- measured(growth[[arguments[2]]]$point(size))
  cat("point", arguments[2], format(size, scientific = FALSE), format(unlist(row), digits = 5, trim = TRUE), "\n")
  quit()
}

# ---- all points -----------------------------------------------------------------------------------------------------

one_point <- function(series, size) {
  out <- system2(file.path(R.home("bin"), "Rscript"), c(shQuote(script), "--point", series, format(size, scientific = FALSE)), stdout = TRUE, stderr = TRUE)
  line <- grep("^point ", out, value = TRUE)
  if (length(line) != 1) {
    cat(series, size, "gave no point:", utils::tail(out, 3), "\n")
    return(NULL)
  }
  value <- strsplit(line, " ")[[1]]
  number <- as.numeric(value[4:6])
  about <- growth[[series]]
  data.frame(
    series = series, title = about$title, size = size, seconds = number[1], cpu = number[2], megabytes = number[3],
    theory_time = about$time, theory_memory = about$memory, date = format(Sys.Date()), machine = machine_text()
  )
}

given <- function(i, default) if (length(arguments) >= i) arguments[i] else default
share <- as.numeric(given(1, 0.05))
asked <- if (given(2, "all") == "all") names(growth) else strsplit(given(2, "all"), ",")[[1]]
file <- given(3, NA)

cat(sprintf("%s; %g of the largest sizes\n", machine_text(), share))
for (series in asked) {
  sizes <- Filter(function(size) size <= share * max(growth[[series]]$sizes) || size <= growth[[series]]$sizes[3], growth[[series]]$sizes)
  points <- do.call(rbind, lapply(sizes, one_point, series = series))
  cat(sprintf("\n%s\n", growth[[series]]$title))
  print(points[c("size", "seconds", "cpu", "megabytes")], row.names = FALSE)
  cat(sprintf(
    "exponents of the last three: processor time %.2f (theory %s), memory %.2f (theory %s)\n", exponent(points$size, points$cpu), growth[[series]]$time,
    exponent(points$size, points$megabytes), growth[[series]]$memory
  ))
  if (is.na(file)) next
  old <- if (file.exists(file)) utils::read.csv(file)
  utils::write.csv(rbind(old[!old$series %in% series, ], points), file, row.names = FALSE)
}
