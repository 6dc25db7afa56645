# PLINK files of a matrix of copies of the first allele

write_bed <- function(stem, G, map = data.frame(chr = 1, pos = seq_len(ncol(G)) * 10, allele = "A", other = "C")) {
  code <- c(`2` = 0, `1` = 2, `0` = 3)
  n <- nrow(G)
  column <- function(j) {
    two <- ifelse(is.na(G[, j]), 1, code[as.character(G[, j])])
    two <- c(two, rep(0, (4 - n %% 4) %% 4))
    colSums(matrix(two, 4) * 4^(0:3))
  }
  writeBin(as.raw(c(0x6c, 0x1b, 0x01, unlist(lapply(seq_len(ncol(G)), column)))), paste0(stem, ".bed"))
  write.table(data.frame("f", rownames(G), 0, 0, 0, -9), paste0(stem, ".fam"), quote = FALSE, row.names = FALSE, col.names = FALSE)
  write.table(data.frame(map$chr, colnames(G), 0, map$pos, map$allele, map$other), paste0(stem, ".bim"), quote = FALSE, row.names = FALSE, col.names = FALSE)
}
