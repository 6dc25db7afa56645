# Several effects without kernels and with many levels, by penalised least squares: lme4's InstEval and two large made-up designs, beside lme4.
#
#   Rscript bench/sparse.R [repeats]

suppressPackageStartupMessages(library(fastlmm))
source(file.path(dirname(sub("--file=", "", grep("--file=", commandArgs(), value = TRUE))), "common.R"))
repeats <- if (length(commandArgs(TRUE)) > 0) as.numeric(commandArgs(TRUE)[1]) else 3
options(fastlmm.threads = 2)

compare <- function(label, formula, data) {
  fits <- list()
  cat(label, deparse1(formula), "\n")
  print_times(paired(list(
    fastlmm = function() fits$ours <<- suppressMessages(fastlmm_fit(formula, data)),
    lmer = function() fits$theirs <<- suppressMessages(lme4::lmer(formula, data))
  ), repeats), "lmer")
  cat(sprintf(
    "route %s, log-likelihood %.6f, lmer's %.6f, peak memory so far %.0f MB\n", fits$ours$optimum$route, fits$ours$logLik, as.numeric(logLik(fits$theirs)),
    peak_memory() / 1e6
  ))
}

set.seed(1)
whole <- lme4::InstEval
compare("InstEval, 20,000 rows:", y ~ service + (1 | s) + (1 | d), droplevels(whole[sample(nrow(whole), 20000), ]))
compare("InstEval, all rows:", y ~ service + (1 | s) + (1 | d), whole)

n <- 70000
crossed <- data.frame(a = factor(sample(20000, n, TRUE)), b = factor(sample(200, n, TRUE)), x = rnorm(n))
crossed$y <- crossed$x + rnorm(20000)[crossed$a] + rnorm(200)[crossed$b] * (1 + crossed$x) + rnorm(n)
compare("20,000 x 200:", y ~ x + (1 | a) + (x || b), crossed)

groups <- data.frame(g = factor(sample(750, 7000, TRUE)), x = rnorm(7000))
groups$y <- rnorm(750)[groups$g] + rnorm(750)[groups$g] * groups$x + rnorm(7000)
compare("750 groups:", y ~ x + (x || g), groups)

# An animal model: ten generations, each from 200 sires and 4000 dams of the one before, 60 percent of the animals with two records each.
simulated_pedigree <- function(size, generations = 10) {
  each <- size / generations
  sire <- dam <- rep(NA_integer_, size)
  for (g in seq_len(generations - 1)) {
    born <- g * each + seq_len(each)
    before <- born - each
    sire[born] <- sample(sample(before[before %% 2 == 1], 0.02 * each), each, TRUE)
    dam[born] <- sample(sample(before[before %% 2 == 0], 0.4 * each), each, TRUE)
  }
  name <- function(i) ifelse(is.na(i), NA, paste0("a", i))
  list(id = name(seq_len(size)), sire = name(sire), dam = name(dam), at = list(sire = sire, dam = dam))
}

# Breeding values by descent, inbreeding left out.
bred <- function(pedigree) {
  u <- rnorm(length(pedigree$id))
  sire <- pedigree$at$sire
  dam <- pedigree$at$dam
  for (i in which(!is.na(sire))) u[i] <- (u[sire[i]] + u[dam[i]]) / 2 + sqrt(0.5) * u[i]
  u
}

animals <- function(size) {
  pedigree <- simulated_pedigree(size)
  A <- kernel_pedigree(pedigree$id, pedigree$sire, pedigree$dam)
  used <- sample(size, 0.6 * size)
  data <- data.frame(id = pedigree$id[rep(used, 2)], x1 = rnorm(1.2 * size), x2 = rnorm(1.2 * size), x3 = rnorm(1.2 * size))
  data$pe <- data$id
  data$y <- data$x1 + bred(pedigree)[rep(used, 2)] + 0.7 * rep(rnorm(length(used)), 2) + rnorm(nrow(data))
  time <- system.time(fit <- fastlmm_fit(y ~ x1 + x2 + x3 + (1 | id) + (1 | pe), data, K = list(id = A)))
  cat(sprintf(
    "pedigree of %d animals, %d rows: %.1f s (%.1f CPU s), h2 %.3f, peak memory so far %.0f MB\n", size, nrow(data), time[["elapsed"]],
    time[["user.self"]] + time[["sys.self"]], fit$h2[["id"]],
    peak_memory() / 1e6
  ))
}

for (size in c(10000, 30000, 100000)) animals(size)
