# Regenerate what is generated: R/extendr-wrappers.R, NAMESPACE and man/. The package must be installed (make install).
invisible(loadNamespace("fastlmm"))
wrappers <- .Call("wrap__make_fastlmm_wrappers", TRUE, "fastlmm", PACKAGE = "fastlmm")
writeLines(sub("\n+$", "", wrappers), "R/extendr-wrappers.R")
roxygen2::roxygenise(load_code = "installed")
