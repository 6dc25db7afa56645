# A scan as a table: what pictures need is in its columns, whatever is done with the rows.

plink_world <- function() {
  once("scan of PLINK files", {
    set.seed(14)
    n <- 61
    ids <- paste0("i", seq_len(n))
    G <- matrix(rbinom(n * 12, 2, 0.3) + 0, n, dimnames = list(ids, paste0("m", 1:12)))
    G[c(2, 9), 4] <- NA
    data <- data.frame(id = rep(ids[-5], 2), x = rnorm(120))
    data$Y <- cbind(a = rnorm(120) + 0.8 * G[data$id, 3], b = rnorm(120))
    data$Y[1:4, "b"] <- NA
    data$y <- data$Y[, 1]
    stem <- tempfile()
    # as files have it: chromosomes in any order, a variant without a place
    map <- data.frame(
      chr = rep(c("2", "10", "X", "0"), c(4, 4, 3, 1)), pos = c(500, 600, 800, 900, 1:4 * 100, 1:3 * 10, 0), allele = rep(c("T", "A"), 6),
      other = rep(c("C", "0"), c(11, 1))
    )
    write_bed(stem, G, map)
    K <- tcrossprod(matrix(rnorm(n * 40), n, dimnames = list(ids, NULL))) / 40
    fit <- suppressMessages(fastlmm_fit(y ~ x + (1 | id), data, K))
    many <- suppressMessages(fastlmm_fit(Y ~ x + (1 | id), data, K))
    list(data = data, G = G, map = map, bed = paste0(stem, ".bed"), fit = fit, many = many)
  })
}

places <- c("chr", "pos", "effect_allele", "other_allele", "freq")
drawn_at <- function(scan) fastlmm:::manhattan_data(scan)[c("at", "y", "band", "ticks", "groups")]
quiet_scan <- function(...) suppressMessages(suppressWarnings(fastlmm_scan(...)))
into_pdf <- function(expr) {
  file <- tempfile(fileext = ".pdf")
  grDevices::pdf(file)
  on.exit({
    grDevices::dev.off()
    unlink(file)
  })
  force(expr)
}

test_that("chromosome, position, alleles and frequency are columns, of every kind of scan", {
  world <- plink_world()
  scan <- quiet_scan(world$fit, world$bed, block_size = 5)
  expect_identical(names(scan)[1:7], c("response", "term", places))
  expect_identical(as.character(scan$chr), replace(world$map$chr, 12, NA))
  expect_identical(levels(scan$chr), c("2", "10", "X"))
  expect_identical(scan$pos, replace(world$map$pos, 12, NA))
  expect_identical(scan$effect_allele, world$map$allele)
  expect_identical(scan$other_allele, replace(world$map$other, 12, NA))
  # over the ids of the fit, each once
  expect_equal(scan$freq, unname(colMeans(world$G[-5, ], na.rm = TRUE)) / 2)
  plain <- quiet_scan(world$fit, world$G)
  expect_false(any(places %in% names(plain)))
  expect_equal(as.data.frame(scan)[setdiff(names(scan), places)], as.data.frame(plain))
  groups <- quiet_scan(
    world$fit, world$bed, groups = rep(c("p", "q"), 6),
    kernels = list(p = world$fit$random[[1]]$kernel, q = diag(61)[, ] |> structure(dimnames = list(rownames(world$G), rownames(world$G))))
  )
  expect_equal(groups[places], scan[places], ignore_attr = TRUE)
  crossed <- quiet_scan(world$fit, world$bed, interaction = ~x, data = world$data)
  expect_equal(crossed[places], scan[places], ignore_attr = TRUE)
  all <- quiet_scan(world$many, world$bed, block_size = 5)
  expect_equal(all[all$response == "a", places], scan[places], ignore_attr = TRUE)
  expect_equal(all[all$response == "b", places[1:4]], scan[places[1:4]], ignore_attr = TRUE)
  expect_equal(all$freq[all$response == "b"], quiet_scan(suppressMessages(extract_fit(world$many, "b")), world$bed)$freq)
  omitted <- quiet_scan(world$many, world$bed, na = "omit")
  expect_equal(omitted[places], all[places], ignore_attr = TRUE)
  sets <- quiet_scan(world$fit, world$bed, sets = list(one = 3, within = c(1, 4), across = c(4, 5)))
  expect_identical(as.character(sets$chr), c("2", "2", NA))
  expect_identical(sets$pos, c(800, 700, NA))
  expect_identical(sets$effect_allele, c("T", NA, NA))
  expect_equal(sets$freq, c(scan$freq[3], NA, NA))
})

test_that("one effect allele, the first of the .bim, whoever reads the files", {
  skip_if_not_installed("snpStats")
  world <- plink_world()
  scan <- quiet_scan(world$fit, world$bed)
  read <- snpStats::read.plink(world$bed)
  # allele B of snpStats, which it counts, is the second
  expect_equal(2 - methods::as(read$genotypes, "numeric"), world$G)
  expect_equal(quiet_scan(world$fit, read), scan)
  expect_equal(quiet_scan(world$fit, read$genotypes)$estimate, scan$estimate)
  world$data$g <- world$G[world$data$id, 3]
  one <- suppressMessages(update(world$fit, . ~ . + g, data = world$data))
  expect_equal(quiet_scan(world$fit, read, refit = "delta")$estimate[3], unname(fixef(one)["g"]), tolerance = 1e-5)
})

test_that("rows sorted, left out or put together, columns dropped or added: the same points", {
  world <- plink_world()
  tested <- function(scan) suppressMessages(drawn_at(scan))
  for (scan in list(quiet_scan(world$fit, world$bed), quiet_scan(world$fit, world$G))) {
    whole <- tested(scan)
    points <- function(scan) {
      d <- tested(scan)
      data.frame(d$at, d$y, d$band)[order(d$at), ]
    }
    same <- function(x) expect_equal(points(x), points(scan), ignore_attr = TRUE)
    same(scan[order(scan$p.value), ])
    same(scan[12:1, c(places[places %in% names(scan)], "term", "log10p")])
    same(rbind(scan[7:12, ], scan[1:6, ]))
    same(merge(scan, data.frame(term = scan$term, gene = rev(letters[1:12])), by = "term")[sample(12), ])
    same(merge(scan, data.frame(term = c("m3", "elsewhere"), gene = "g"), all = TRUE))
    same(subset(scan, select = -h2))
    factor <- 2
    added <- transform(scan, twice = factor * estimate, h2 = NULL)
    expect_equal(added$twice, 2 * scan$estimate)
    same(added)
    expect_s3_class(rbind(scan[1:2, ], scan[4, ]), "fastlmm_scan")
    # a part stands on its own, in the same order
    part <- tested(scan[c(9, 2, 6), ])
    expect_identical(order(part$at), c(2L, 3L, 1L))
    expect_identical(tested(scan)$groups[sort(unique(part$band))], part$groups)
    into_pdf({
      expect_s3_class(suppressMessages(plot(scan[order(scan$p.value), ])), "fastlmm_scan")
      if (requireNamespace("ggplot2", quietly = TRUE)) print(suppressMessages(ggplot2::autoplot(scan[8:1, ])))
    })
  }
  expect_message(into_pdf(plot(quiet_scan(world$fit, world$bed))), class = "fastlmm_message_not_drawn")
})

test_that("a perfect fit is the strongest test, and is drawn above all others", {
  scan <- quiet_scan(plink_world()$fit, plink_world()$bed)
  scan[5, c("std.error", "statistic", "p.value", "log10p")] <- list(0, Inf, 0, Inf)
  scan$status[5] <- "perfect_fit"
  expect_identical(summary(scan)$strongest$term[1], "m5")
  expect_output(print(scan), "perfect fits: 1\n.*\n +m5 .* Inf\n")
  expect_message(d <- fastlmm:::manhattan_data(scan), class = "fastlmm_message_beyond")
  expect_identical(which.max(d$y), 5L)
  expect_message(into_pdf(plot(scan, "qq")), class = "fastlmm_message_beyond")
  expect_true(all(is.finite(suppressMessages(fastlmm:::qq_data(scan))$y)))
  into_pdf({
    suppressMessages(plot(scan))
    expect_silent(plot(scan, "effects"))
  })
  expect_identical(fastlmm:::effects_data(scan, 3, 0.95)$label[1], "m5")
})

test_that("sets, many responses and interactions of PLINK files are drawn", {
  world <- plink_world()
  scans <- list(
    quiet_scan(world$many, world$bed), quiet_scan(world$many, world$bed, keep = "max"), quiet_scan(world$fit, world$bed, sets = rep(c("u", "v"), 6)),
    quiet_scan(world$fit, world$bed, sets = list(a = 1:2, b = 3:4)), quiet_scan(world$fit, world$bed, interaction = ~x, data = world$data)
  )
  for (k in seq_along(scans)) {
    for (type in c("manhattan", "qq", if (k != 4) "effects")) {
      draw <- function(how) if (k == 3) expect_error(how(scans[[k]], type), class = "fastlmm_error_scan") else suppressMessages(how(scans[[k]], type))
      if (k == 3 && type == "qq") next
      into_pdf({
        draw(plot)
        if (requireNamespace("ggplot2", quietly = TRUE)) draw(function(...) print(ggplot2::autoplot(...)))
      })
    }
  }
  d <- suppressMessages(drawn_at(scans[[1]]))
  expect_equal(d$at[1:11], d$at[12:22])
})

test_that("pictures and summaries of what lacks their columns are refused", {
  scan <- quiet_scan(plink_world()$fit, plink_world()$bed)
  refused <- function(expr) into_pdf(expect_error(expr, class = "fastlmm_error_scan"))
  refused(plot(scan[c("term", "log10p")]))
  refused(plot(scan[setdiff(names(scan), "pos")]))
  refused(plot(scan["term"]))
  refused(plot(scan["term"], "qq"))
  refused(plot(scan[setdiff(names(scan), "df2")], "effects"))
  refused(plot(scan[12, ]))
  refused(summary(scan["term"]))
  refused(summary(scan[0, ]))
  refused(plot(scan, map = data.frame(chr = 1, pos = letters[1:12])))
  for (threshold in list(0, -1, 2, NA, "a")) {
    refused(plot(scan, threshold = threshold))
    if (requireNamespace("ggplot2", quietly = TRUE)) refused(ggplot2::autoplot(scan, threshold = threshold))
  }
  refused(plot(scan, "effects", n = 0))
  for (n in list(-1, NA, "a", 1:2)) {
    expect_error(print(scan, n = n), class = "fastlmm_error_n")
    expect_error(summary(scan, n = n), class = "fastlmm_error_n")
    expect_error(print(plink_world()$many, n = n), class = "fastlmm_error_n")
    expect_error(print(summary(plink_world()$many), n = n), class = "fastlmm_error_n")
  }
  expect_error(tidy(scan, conf.int = TRUE), class = "fastlmm_error_unused_argument")
  expect_identical(tidy(scan), as.data.frame(scan))
})

test_that("a whole scan shows its strongest, a part its own rows in order", {
  scan <- quiet_scan(plink_world()$fit, plink_world()$G)
  terms <- function(x, ...) {
    lines <- capture.output(print(x, ...))
    sub(".* (m[0-9]+) .*", "\\1", grep(" m[0-9]+ ", lines, value = TRUE))
  }
  expect_identical(terms(scan, n = 3), scan$term[order(scan$p.value)][1:3])
  expect_identical(terms(head(scan)), paste0("m", 1:6))
  expect_identical(terms(tail(scan, 2)), c("m11", "m12"))
  expect_identical(terms(scan[order(scan$term), ], n = Inf), sort(scan$term))
  expect_output(print(scan[0, ]), "^0 F tests, delta of the null model$")
  expect_output(print(scan[12:1, ], n = 2), "the 2 first of 12")
  # rows that are not there, as of a data frame
  expect_output(print(scan["no such row", ]), "NA")
  expect_output(print(scan[c("term", "logLik", "log10p", "status")]), "logLik")
  # what all share is said once
  expect_output(print(scan), "all: response y, df 1, h2 [0-9.]+\n +term +n +estimate +std.error +statistic +p.value +log10p\n")
  ratio <- quiet_scan(plink_world()$fit, plink_world()$G, test = "lrt")
  expect_output(print(rbind(scan, ratio)), "^24 tests\n")
  expect_output(print(rbind(scan, scan)), "^24 F tests, delta of the null model\n")
})

test_that("summaries count, and show the strongest", {
  world <- plink_world()
  G <- cbind(world$G, flat = 1)
  scan <- quiet_scan(world$fit, G)
  found <- summary(scan, n = 3)
  expect_identical(found$strongest$term, scan$term[order(scan$p.value)][1:3])
  expect_equal(found$responses$lambda, median(qchisq(scan$p.value[1:12], 1, lower.tail = FALSE)) / qchisq(0.5, 1))
  expect_identical(found$responses$bonferroni, sum(scan$p.value[1:12] < 0.05 / 12))
  expect_identical(found$responses$tested, 12L)
  expect_output(print(found), "13 F tests, delta of the null model.*y ~ x.*constant 1, ok 12.*lambda.*Strongest")
  many <- summary(quiet_scan(world$many, G))
  expect_identical(many$responses$response, c("a", "b"))
  expect_output(print(many), "Responses.*lambda")
  none <- summary(quiet_scan(world$fit, G[, "flat", drop = FALSE]))
  expect_output(print(none), "constant 1$")
})

test_that("a map is found by the names of candidates, chromosomes stand in natural order, and an interaction says what it tests", {
  set.seed(8)
  ids <- paste0("i", 1:30)
  G <- matrix(rbinom(30 * 12, 2, 0.4), 30, dimnames = list(ids, paste0("m", 1:12)))
  d <- data.frame(id = ids, sex = rep(0:1, 15), y = rnorm(30))
  fit <- suppressMessages(fastlmm_fit(y ~ sex + (1 | id), d, tcrossprod(scale(G)) / 12))
  scan <- fastlmm_scan(fit, G)
  map <- data.frame(term = colnames(G), chr = rep(c(2, 10, 1), each = 4), pos = rep(1:4, 3))
  whole <- fastlmm:::manhattan_data(scan, map)
  expect_identical(whole$groups, c("1", "2", "10"))
  o <- sample(12)
  expect_identical(fastlmm:::manhattan_data(scan[o, ], map), lapply(whole, function(x) if (length(x) == 12) x[o] else x))
  expect_identical(fastlmm:::manhattan_data(scan, map[o, ]), whole)
  expect_identical(fastlmm:::manhattan_data(scan, map[-1]), whole)
  expect_error(fastlmm:::manhattan_data(scan[o, ], map[-1]), class = "fastlmm_error_scan")
  expect_output(print(fastlmm_scan(fit, G, interaction = ~sex)), "F tests of products with sex")
  expect_error(fastlmm_scan(fit, G, test = "LRT "), "test should be one of", class = "fastlmm_error_argument")
})
