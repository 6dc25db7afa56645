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
