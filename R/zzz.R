.onUnload <- function(libpath) library.dynam.unload("fastlmm", libpath)
