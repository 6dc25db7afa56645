# Probabilities of levels: predictions of responses of ordinal() and binomial() as rows x levels.

# Names of levels of ordered factors, which the sampler has as numbers; `labels`: by response
name_levels <- function(links, labels) {
  for (name in intersect(names(links), names(labels))) links[[name]]$categories <- labels[[name]]
  links
}

level_labels <- function(own) if (is.null(own$categories)) format(own$values, trim = TRUE, digits = 15) else own$categories[own$values]

# Links of responses whose data are levels
level_links <- function(fit) Filter(function(own) !is.null(own) && !is.null(family_of(own)$levels), fit$links)

check_prob <- function(fit, interval, times) {
  if (length(level_links(fit)) == 0) abort_family("type = \"prob\" is for responses that are levels, of ordinal() or binomial(); this fit has none")
  if (!is.null(times)) abort_fastlmm("argument", "times are for curves, and type = \"prob\" for levels: leave one of them out")
  if (interval == "prediction") abort_fastlmm(
    "argument",
    paste0(
      "a new response is one of the levels: type = \"prob\" has interval = \"confidence\", for the probabilities; draws = TRUE, interval = \"prediction\" ",
      "and type = \"response\" give new data"
    )
  )
}

# A list by response of what `rows` have: means, with intervals or draws
predicted_levels <- function(fit, rows, interval, level, draws, se.fit) {
  labels <- lapply(level_links(fit), function(own) family_of(own)$levels(own))
  table <- data.frame(response = rep(names(labels), lengths(labels)), level = unlist(labels, use.names = FALSE))
  rows$levels <- table
  rows$responses <- table$level
  if (!is.null(rows$unknown)) rows$unknown <- rows$unknown[, match(table$response, colnames(fit$Y)), drop = FALSE]
  apart <- function(value) {
    value <- put_rows(rows, value)
    one <- function(at) if (length(dim(value)) == 3) value[, at, , drop = FALSE] else value[, at, drop = FALSE]
    lapply(split(seq_len(nrow(table)), factor(table$response, names(labels))), one)
  }
  if (draws) return(apart(slam_answers(fit, rows, seq_len(count_targets(rows)))))
  mean <- do.call(rbind, c(list(matrix(0, 0, nrow(table))), lapply(row_blocks(rows), function(at) slam_answers(fit, rows, at, mean = TRUE))))
  if (interval == "none" && !se.fit) return(apart(mean))
  spread <- spread_of(fit, rows, level)
  fit <- apart(if (interval == "none") mean else array(c(mean, spread$low, spread$high), c(dim(mean), 3), list(NULL, NULL, c("fit", "lwr", "upr"))))
  if (se.fit) list(fit = fit, se.fit = apart(spread$sd)) else fit
}

# Draws of values behind the links as probabilities, rows x levels of all responses, what the rows' effects leave averaged over
level_drawer <- function(fit, rows, draw) {
  parameters <- link_values(fit)
  places <- link_places(fit)
  links <- level_links(fit)
  function(d) {
    eta <- draw(d)
    sd <- left_sd(fit, rows, d)
    one <- function(own) {
      j <- match(own$response, colnames(fit$Y))
      matrix(family_of(own)$probability(eta[, j], own, parameters[places[[own$response]], d$number], sd[j]), nrow(eta))
    }
    do.call(cbind, unname(lapply(links, one)))
  }
}
