# Arguments of functions and methods: a name means the same everywhere, so each has one reader. It gives the value as it is used, or stops and names the
# argument.

# The head of a function that users call: no argument that it does not have, each that it needs, and each as its reader takes it.
# What was left out is the default, and is not read.
check_arguments <- function(..., call = user_call()) {
  f <- sys.function(-1)
  if (...length() > 0) abort_unused(names(as.list(substitute(list(...)))[-1]), ...length(), known_arguments(f), call)
  frame <- parent.frame()
  check_needed(f, frame, call)
  read_arguments(f, frame)
}

# By itself where `...` goes on to a function of R
read_arguments <- function(f = sys.function(-1), frame = parent.frame()) {
  for (name in intersect(names(readers), names(formals(f)))) read_argument(name, frame)
}

abort_unused <- function(name, count, known, call) {
  unnamed <- if (is.null(name)) count else sum(name == "")
  given <- c(name[nzchar(name)], if (unnamed > 0) counted(unnamed, "argument without a name", "arguments without names"))
  abort_fastlmm("unused_argument", paste0("unused argument: ", toString(given), unused_advice(name, known)), call = call)
}

# The function itself, for `missing` may be an argument
is_left_out <- function(name, frame) eval(as.call(list(base::missing, as.name(name))), frame)

check_needed <- function(f, frame, call) {
  without_default <- vapply(formals(f), identical, NA, quote(expr = ))
  for (name in setdiff(names(which(without_default)), "...")) {
    if (is_left_out(name, frame)) abort_fastlmm("argument", paste0("argument ", quoted(name), " is needed and has no default"), call = call)
  }
}

read_argument <- function(name, frame) {
  if (is_left_out(name, frame)) return(invisible())
  given <- get(name, envir = frame, inherits = FALSE)
  value <- readers[[name]](given, name)
  if (!identical(value, given)) assign(name, value, envir = frame)
}

read_digits <- function(value, name) if (is.null(value)) getOption("digits") else number_between(1, 22)(value, name)

or_null <- function(reader) function(value, name) if (is.null(value)) NULL else reader(value, name)

read_flag <- function(value, name, class = "argument") {
  if ((is.logical(value) || is.numeric(value)) && length(value) == 1 && !is.na(value)) return(as.logical(value))
  abort_fastlmm(class, paste(name, "must be TRUE or FALSE, not", code_text(value)))
}

# Of all grouping factors, or the names of some
read_new_levels <- function(value, name) {
  if (is.logical(value) && !is.null(names(value)) && !anyNA(value)) return(names(value)[value])
  if (is.character(value) && !anyNA(value)) return(value)
  read_flag(value, name)
}

number_between <- function(lower, upper) {
  function(value, name) {
    if (is.numeric(value) && !is.factor(value) && length(value) == 1 && is.finite(value) && value >= lower && value <= upper) return(as.vector(value))
    range <- if (is.finite(upper)) sprintf(" from %g to %g", lower, upper) else if (is.finite(lower)) sprintf(" of at least %g", lower) else ""
    abort_fastlmm("argument", paste0(name, " must be one finite number", range, ", not ", code_text(value)))
  }
}

# What is chosen by name or by number; who reads them knows which there are.
read_names <- function(value, name) {
  if (is.factor(value)) return(as.character(value))
  plain <- is.atomic(value) && is.null(dim(value))
  if (plain && (is.character(value) || is.logical(value)) || plain && is.numeric(value) && all(is.na(value) | abs(value) <= .Machine$integer.max)) return(value)
  abort_fastlmm("argument", paste0(name, " must be names or numbers, not ", code_text(value)))
}

# A formula, or a text that is one
read_formula <- function(value, name) {
  if (inherits(value, "formula")) return(value)
  read <- if (is.character(value) && length(value) == 1 && !is.na(value)) tryCatch(stats::as.formula(value, parent.frame(2)), error = function(error) NULL)
  if (is.null(read)) abort_fastlmm("argument", paste0(name, " must be a formula, as . ~ . - x, not ", code_text(value)))
  read
}

# Terms of a formula by their texts
read_terms <- function(value, name) {
  one <- function(text) length(text) == 1 && !is.na(text) && length(tryCatch(parse(text = text), error = function(error) NULL)) == 1
  if (length(value) > 0 && all(vapply(value, one, NA))) return(value)
  abort_fastlmm("argument", paste0(name, " must be terms of a formula, not ", code_text(value)))
}

read_colours <- function(value, name) {
  if (length(value) > 0 && (is.numeric(value) || is.character(value)) && !(is.numeric(value) && any(
    abs(value) > .Machine$integer.max, na.rm = TRUE
  )) && !is.null(tryCatch(suppressWarnings(grDevices::col2rgb(value)), error = function(error) NULL))) return(value)
  abort_fastlmm("argument", paste0(name, " must be colours, not ", code_text(value)))
}

# The title of an axis or a picture
read_label <- function(value, name) {
  if (is.character(value) || is.language(value) || is.numeric(value) || is.logical(value)) return(value)
  abort_fastlmm("argument", paste0(name, " must be a text or an expression, not ", code_text(value)))
}

# random.only stands before fixed.only, whose default it is.
readers <- local({
  flags <- c(
    "random.only", "fixed.only", "se.fit", "se_fit", "condVar", "draws", "scaled", "add.dropped", "complete", "full", "drop", "conf.int", "oldNames", "align",
    "truncated", "preview", "intercept", "natural", "regex", "joint"
  )
  c(
    structure(rep(list(read_flag), length(flags)), names = flags),
    list(
      allow.new.levels = read_new_levels, REML = or_null(read_flag), correlation = or_null(read_flag), k = number_between(-Inf, Inf),
      scale = number_between(-Inf, Inf), sigma = number_between(0, Inf), digits = read_digits,
      traits = or_null(read_names), effect = or_null(read_names), name = read_names, whichel = or_null(read_names), given = or_null(read_names),
      parm = or_null(read_names),
      xlab = or_null(read_label), ylab = or_null(read_label), main = or_null(read_label), col = read_colours
    )
  )
})
