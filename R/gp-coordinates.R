# Coordinates of gp(): numbers, dates, times, matrices and points as columns of numbers, one an axis, and their units.

# ---- what a coordinate is -----------------------------------------------------------------------------

# Its kind and the unit that its numbers have; new data have to be of the same kind.
coordinate_kind <- function(x) {
  if (inherits(x, "fastlmm_places")) return(list(kind = "points", unit = attr(x, "unit"), crs = attr(x, "crs")))
  if (inherits(x, "Date")) return(list(kind = "Date", unit = "days"))
  if (inherits(x, "POSIXct")) return(list(kind = "POSIXct", unit = "seconds", tz = attr(x, "tzone")))
  if (inherits(x, "difftime")) return(list(kind = "difftime", unit = units(x)))
  if (inherits(x, "units")) return(list(kind = "units", unit = as.character(attr(x, "units"))))
  list(kind = "number")
}

# sf's points as a matrix that knows its reference system, and POSIXlt as what a model frame can hold
plain_coordinate <- function(x, name) {
  if (inherits(x, "sfc")) new_places(x, name) else if (inherits(x, "POSIXlt")) as.POSIXct(x) else x
}

new_places <- function(x, name) {
  check_places(x, name)
  at <- sf::st_coordinates(x)
  at <- at[, intersect(c("X", "Y", "Z"), colnames(at)), drop = FALSE]
  # empty points have no row in some versions of sf
  full <- matrix(NA_real_, length(x), ncol(at), dimnames = list(NULL, colnames(at)))
  full[if (nrow(at) == length(x)) TRUE else !sf::st_is_empty(x), ] <- at
  crs <- sf::st_crs(x)
  structure(full, class = "fastlmm_places", crs = crs, unit = if (isTRUE(sf::st_is_longlat(x))) "degrees" else crs$units)
}

check_places <- function(x, name) {
  if (!requireNamespace("sf", quietly = TRUE)) abort_fastlmm(
    "gp_coordinate", paste0("coordinate ", quoted(name), " of gp() is of class sfc, which needs the package sf: install it"), coordinate = name
  )
  if (!inherits(x, "sfc_POINT")) {
    abort_fastlmm(
      "gp_coordinate",
      paste0("coordinate ", quoted(name), " of gp() is of class ", class(x)[1], ", but must hold points; sf::st_centroid() makes points of other shapes"),
      coordinate = name
    )
  }
}

#' @export
`[.fastlmm_places` <- function(x, i, j, ..., drop = FALSE) {
  if (nargs() - (!missing(drop)) < 3) return(as.numeric(x)[i])
  rows <- unclass(x)[i, , drop = FALSE]
  if (missing(j)) structure(rows, class = class(x), crs = attr(x, "crs"), unit = attr(x, "unit")) else rows[, j, drop = drop]
}

# A trend in st_coordinates(geometry) beside gp(geometry)
#' @exportS3Method sf::st_coordinates fastlmm_places
st_coordinates.fastlmm_places <- function(x, ...) matrix(x, nrow(x), ncol(x), dimnames = list(NULL, colnames(x)))

# Data in which variables that stand alone among the expressions are what a model frame can hold
with_plain_coordinates <- function(expressions, data, env) {
  if (is.environment(data)) return(data)
  for (name in unique(as.character(Filter(is.symbol, expressions)))) {
    value <- find_variable(name, data, env)
    if (inherits(value, c("sfc", "POSIXlt"))) data[[name]] <- plain_coordinate(value, name)
  }
  data
}

# ---- sp -----------------------------------------------------------------------------------------------

# Spatial* objects of sp as data frames, coordinates among the columns. Which are in degrees is kept.
from_sp <- function(data, what) {
  if (!requireNamespace("sp", quietly = TRUE)) abort_data(paste(what, "is an object of class", class(data)[1], "which needs the package sp: install it"))
  if (!inherits(data, c("SpatialPoints", "SpatialGrid"))) {
    abort_data(
      paste0(
        what, " is an object of class ", class(data)[1], ", which has no points; give gp() points, as sp::SpatialPointsDataFrame() of sp::coordinates() has"
      )
    )
  }
  frame <- as.data.frame(data)
  if (isFALSE(sp::is.projected(data))) attr(frame, "degrees") <- sp::coordnames(data)
  frame
}

# ---- as numbers ---------------------------------------------------------------------------------------

# Kinds, axes and all settings of a term, once its coordinates have been evaluated
settle_gp <- function(gp, columns) {
  names <- vapply(gp$coordinates, deparse1, "")
  columns <- Map(plain_coordinate, columns, names)
  gp$kinds <- lapply(columns, coordinate_kind)
  gp$coordinate_of <- rep(seq_along(columns), vapply(columns, NCOL, 0L))
  gp$axes <- make.unique(unlist(Map(axis_names, columns, names)), sep = ".")
  unit <- function(kind) if (is.null(kind$unit)) "" else kind$unit
  gp$units <- vapply(gp$kinds, unit, "")[gp$coordinate_of]
  gp$units[gp$axes %in% gp$degrees] <- "degrees"
  gp[c("lengthscale", "range")] <- lapply(gp[c("lengthscale", "range")], setting_in_unit, gp = gp)
  gp[c("lower", "upper")] <- lapply(gp[c("lower", "upper")], corner_in_unit, gp = gp)
  gp <- check_gp(Filter(Negate(is.null), gp), gp$term, length(gp$axes))
  if ("degrees" %in% gp$units) inform_degrees(gp)
  gp
}

axis_names <- function(x, name) {
  if (!is.matrix(x)) return(name)
  if (!is.null(colnames(x)) && all(nzchar(colnames(x)))) colnames(x) else paste0(name, ".", seq_len(ncol(x)))
}

inform_degrees <- function(gp) {
  inform_fastlmm("gp_degrees", paste0(
    "the coordinates of ", gp$name,
    " are longitudes and latitudes: distances and the length scale are in degrees, whose length from east to west decreases towards the poles; ",
    "if that matters, transform them to a plane first, for example by sf::st_transform()"
  ))
}

setting_in_unit <- function(x, gp) {
  if (!inherits(x, "difftime")) return(x)
  unit <- unique(gp$units)
  if (length(unit) != 1 || !unit %in% time_units) abort_gp_term(gp$term, "has a lengthscale or range that is a time, but its coordinates are not")
  as.numeric(x, units = if (unit == "seconds") "secs" else unit)
}

time_units <- c("seconds", "secs", "mins", "hours", "days", "weeks")

# Of one coordinate; corners of several are numbers
corner_in_unit <- function(x, gp) {
  if (is.null(x) || length(gp$kinds) != 1 || is.numeric(x) && coordinate_kind(x)$kind == "number") return(x)
  as.numeric(in_unit(plain_coordinate(x, gp$name), gp$kinds[[1]], deparse1(gp$coordinates[[1]])))
}

# A matrix with a column for each axis
gp_coordinates <- function(columns, gp, rows) {
  names <- vapply(gp$coordinates, deparse1, "")
  one <- function(x, name, kind) {
    x <- in_unit(plain_coordinate(x, name), kind, name)
    check_coordinate(x, name, rows)
    matrix(as.numeric(x), NROW(x))
  }
  at <- do.call(cbind, unname(Map(one, columns, names, gp$kinds)))
  if (ncol(at) != length(gp$axes)) {
    abort_fastlmm(
      "gp_coordinate", sprintf("the coordinates of %s have %s, but were %d in the fit", gp$name, counted(ncol(at), "column"), length(gp$axes)),
      coordinate = names[1]
    )
  }
  dimnames(at) <- list(NULL, gp$axes)
  at
}

# In the unit of the fit. What is missing everywhere has no kind.
in_unit <- function(x, kind, name) {
  if (is.logical(x) && all(is.na(x))) return(matrix(NA_real_, NROW(x), NCOL(x)))
  found <- coordinate_kind(x)
  if (found$kind != kind$kind) abort_coordinate_kind(name, found$kind, kind$kind)
  switch(kind$kind,
    difftime = as.numeric(x, units = kind$unit),
    units = as.numeric(convert_units(x, kind$unit, name)),
    points = same_crs(x, kind$crs, name),
    Date = , POSIXct = as.numeric(x),
    x
  )
}

convert_units <- function(x, unit, name) {
  other <- function(e) abort_fastlmm(
    "gp_coordinate", paste0("coordinate ", quoted(name), " of gp() was in ", unit, " in the fit: ", conditionMessage(e)), coordinate = name
  )
  tryCatch(units::set_units(x, unit, mode = "standard"), error = other)
}

same_crs <- function(x, crs, name) {
  if (attr(x, "crs") == crs || is.na(attr(x, "crs")) && is.na(crs)) return(x)
  said <- function(crs) if (is.na(crs)) "no reference system" else crs$input
  abort_fastlmm("gp_coordinate", paste0(
    "coordinate ", quoted(name), " of gp() has ", said(attr(x, "crs")), " in newdata but had ", said(crs),
    " in the fit; transform it: sf::st_transform(newdata, sf::st_crs(data))"
  ), coordinate = name)
}

abort_coordinate_kind <- function(name, found, wanted) {
  say <- function(kind) switch(kind, number = "numeric", points = "points of sf", paste("of class", kind))
  abort_fastlmm(
    "gp_coordinate", paste0("coordinate ", quoted(name), " of gp() is ", say(found), " in newdata but was ", say(wanted), " in the fit; convert it"),
    coordinate = name
  )
}

check_coordinate <- function(x, name, rows) {
  if (!is.numeric(x) || length(dim(x)) > 2) {
    abort_fastlmm("gp_coordinate", paste0("coordinate ", quoted(name), " of gp() must be a numeric variable, not of class ", class(x)[1]), coordinate = name)
  }
  bad <- rowSums(is.infinite(as.matrix(x))) > 0
  if (any(bad)) abort_fastlmm("gp_coordinate", paste0("coordinate ", quoted(name), " of gp() is not finite in ", rows_at(bad, rows)), coordinate = name)
}

# ---- the box ------------------------------------------------------------------------------------------

check_box <- function(box, names) {
  flat <- !(box[2, ] > box[1, ])
  narrow <- !flat & box[2, ] - box[1, ] < .Machine$double.xmin / .Machine$double.eps
  if (any(narrow)) abort_fastlmm(
    "scale",
    paste0(
      "coordinate ", quoted(names[narrow][1]), " of gp() spans ", format(max(box[2, narrow] - box[1, narrow]), digits = 3),
      ", less than a double resolves; rescale it"
    )
  )
  if (any(flat)) {
    abort_fastlmm("constant_coordinate", paste0(
      "coordinate ", quoted(names[flat][1]), " of gp() is the same in all rows: leave it out"
    ), coordinate = names[flat][1])
  }
}

gp_box <- function(coordinates, gp) {
  box <- vapply(seq_len(ncol(coordinates)), function(j) range(coordinates[, j]), c(0, 0))
  check_box(box, colnames(coordinates))
  if (!is.null(gp$lower)) box[1, ] <- pmin(box[1, ], gp$lower)
  if (!is.null(gp$upper)) box[2, ] <- pmax(box[2, ], gp$upper)
  box
}

# ---- back again ---------------------------------------------------------------------------------------

# Numbers of an axis as its coordinate is written, for axes of plots and for what is made from it
as_coordinate <- function(x, kind) {
  switch(kind$kind,
    Date = structure(x, class = "Date"),
    POSIXct = structure(x, class = c("POSIXct", "POSIXt"), tzone = kind$tz),
    difftime = structure(x, class = "difftime", units = kind$unit),
    points = structure(x, class = "fastlmm_places", crs = kind$crs, unit = kind$unit),
    x
  )
}

# Of one axis; those of points and matrices are numbers
as_axis <- function(x, gp, axis) {
  of <- gp$coordinate_of[axis]
  if (sum(gp$coordinate_of == of) > 1) x else as_coordinate(x, gp$kinds[[of]])
}

# " days", or nothing
unit_label <- function(gp, axes = seq_along(gp$axes)) {
  unit <- unique(gp$units[axes])
  if (length(unit) == 1 && nzchar(unit)) paste0(" ", unit) else ""
}

# ---- far from the data --------------------------------------------------------------------------------

# Targets farther than ten length scales from every row of the fit: newdata may be in another unit. Of a fit of a table (`own` is NULL) only the box is known.
inform_far <- function(gp, coordinates, own, lengthscale) {
  if (nrow(coordinates) == 0) return(invisible())
  reach <- 10 * lengthscale
  boxed <- is.null(own)
  if (boxed) own <- gp$box
  far <- is_far(own, coordinates, reach, boxed)
  if (!any(far)) return(invisible())
  given <- axis_ranges(own)
  asked <- axis_ranges(coordinates)
  j <- which.max(pmax(given[1, ] - asked[1, ], asked[2, ] - given[2, ]) / reach)
  said <- function(range) paste(vapply(range[, j], function(x) format(as_axis(x, gp, j), digits = 4), ""), collapse = " to ")
  inform_fastlmm("gp_far", paste0(
    counted(sum(far), "row"), " of newdata ", if (sum(far) == 1) "lies" else "lie", " farther than ten length scales from every row of the fit, where ",
    gp$name, " is zero: coordinate ", quoted(gp$axes[j]),
    " goes from ", said(given), " in the fit and from ", said(asked), " in newdata. Are they in the same unit?"
  ), rows = which(far))
}

axis_ranges <- function(x) apply(x, 2, range)

# By cells of a side of `reach`: a target is far if neither its own cell nor one beside it holds a row of the fit. With `boxed` all of their box is held.
is_far <- function(own, targets, reach, boxed = FALSE) {
  box <- axis_ranges(own)
  cell <- function(x) floor(sweep(sweep(x, 2, box[1, ]), 2, reach, "/"))
  count <- cell(box[2, , drop = FALSE])[1, ]
  at <- cell(targets)
  inside <- rowSums(at < -1 | at > rep(count + 1, each = nrow(at))) == 0
  far <- !inside
  if (boxed || all(count < 3) || !any(inside)) return(far)
  stride <- c(1, cumprod(count + 5))[seq_along(count)]
  key <- function(cell) drop((cell + 2) %*% stride)
  held <- unique(key(cell(own)))
  around <- drop(as.matrix(expand.grid(rep(list(-1:1), length(count)))) %*% stride)
  at <- key(at[inside, , drop = FALSE])
  far[inside] <- !Reduce(`|`, lapply(around, function(step) (at + step) %in% held))
  far
}
