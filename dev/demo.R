# `make demo`: heritability of a plant metabolite from the markers of 162 Arabidopsis lines, with two pictures.

suppressPackageStartupMessages(library(fastlmm))
options(fastlmm.threads = 2)

# ---- data: recombinant inbred lines, 117 markers, 24 metabolites (Debian's r-cran-qtl) ------------------------------
data("multitrait", package = "qtl", envir = environment())
markers <- qtl::pull.geno(multitrait)
lines <- paste0("line", seq_len(nrow(markers)))
codes <- scale(markers, scale = FALSE)
codes[is.na(codes)] <- 0
K <- tcrossprod(codes)
K <- K / mean(diag(K))
dimnames(K) <- list(lines, lines)
metabolites <- data.frame(line = lines, log(multitrait$pheno))

cat("Kernel of", nrow(K), "lines from", ncol(markers), "markers; metabolite log(X6.Methylsulfinylhexyl)\n\n")
fit <- fastlmm_fit(X6.Methylsulfinylhexyl ~ 1 + (1 | line), metabolites, K = K)
print(summary(fit))
cat("\n95 % profile-likelihood intervals:\n")
print(confint(fit))

# ---- predictions of lines that the fit has not seen: five folds -----------------------------------------------------
seen <- metabolites[!is.na(metabolites$X6.Methylsulfinylhexyl), ]
set.seed(1)
fold <- sample(rep(1:5, length.out = nrow(seen)))
predicted <- numeric(nrow(seen))
for (k in 1:5) {
  rest <- suppressMessages(fastlmm_fit(X6.Methylsulfinylhexyl ~ 1 + (1 | line), seen[fold != k, ], K = K))
  predicted[fold == k] <- predict(rest, seen[fold == k, ])
}
r <- cor(predicted, seen$X6.Methylsulfinylhexyl)
cat(sprintf("\ncorrelation of five-fold predictions with the observed values: %.3f\n", r))

# ---- pictures -------------------------------------------------------------------------------------------------------
folder <- "demo-output"
dir.create(folder, showWarnings = FALSE)
picture <- function(name, draw) {
  path <- file.path(folder, name)
  png(path, 900, 700, res = 130)
  on.exit(dev.off())
  par(mar = c(4.5, 4.5, 3.5, 1))
  draw()
  cat("wrote", normalizePath(path), "\n")
}
picture("profile.png", function() plot(fit, which = "profile", main = "likelihood of the heritability", cex.main = 1))
picture("predicted.png", function() {
  plot(predicted, seen$X6.Methylsulfinylhexyl,
    pch = 19, col = "#00000070", xlab = "predicted from the other lines", ylab = "observed",
    main = sprintf("log(X6.Methylsulfinylhexyl)\nfive-fold predictions, r = %.2f", r), cex.main = 1
  )
  abline(0, 1, lty = 2)
})
