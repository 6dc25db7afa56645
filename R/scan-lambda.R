# Inflation of a scan: the median of the chi-squared values over that of the null distribution.

chi_squared <- function(log10p) stats::qchisq(-log10p * log(10), 1, lower.tail = FALSE, log.p = TRUE)

inflation <- function(log10p) stats::median(chi_squared(log10p)) / stats::qchisq(0.5, 1)

# Interval of lambda for tests in the order of the genome. Neighbours are correlated: how much the share of tests above the median varies is seen between blocks
# of consecutive tests, as many as their square root;
# the limits are the quantiles as far from the middle (Woodruff, 1952).
inflation_interval <- function(log10p, level = 0.95) {
  m <- length(log10p)
  if (m < 25) return(c(NA_real_, NA_real_))
  chi <- chi_squared(log10p)
  count <- floor(sqrt(m))
  block <- ceiling(seq_len(m) * count / m)
  excess <- rowsum((chi > stats::median(chi)) - 0.5, block)
  error <- sqrt(count / (count - 1) * sum(excess^2)) / m
  share <- 0.5 + c(-1, 1) * stats::qt((1 + level) / 2, count - 1) * error
  unname(stats::quantile(chi, pmin(pmax(share, 0), 1))) / stats::qchisq(0.5, 1)
}

# Of one response: lambda and its interval. What was chosen for small p-values has none.
response_inflation <- function(table, about, interval = TRUE) {
  none <- c(lambda = NA_real_, lambda_low = NA_real_, lambda_high = NA_real_)
  table <- table[!is.na(table$log10p), ]
  if (nrow(table) == 0 || isTRUE(about$keep != "all")) return(none)
  y <- if (interval) table$log10p[genome_order(table, about$candidates)] else table$log10p
  none[] <- c(inflation(y), if (interval) inflation_interval(y) else c(NA, NA))
  none
}

inflation_text <- function(one) {
  number <- function(x) sprintf("%.3f", x)
  paste0(number(one[[1]]), if (!is.na(one[[2]])) paste0(" (", number(one[[2]]), " to ", number(one[[3]]), ")"))
}
