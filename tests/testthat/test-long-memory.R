# Twenty limits for each engine: make check-long.

test_that("under twenty limits no engine dies, returns a wrong result or fails without a class", {
  skip_if_not(is_long(), "slow; make check-long runs it")
  skip_unless_limits()
  engines <- limited_engines(1000)
  for (name in names(engines)) {
    ends <- ends_under_limits(engines[[name]], seq(0.02, 1.1, length.out = 20))
    expect_true(all(ends %in% c("right", "refused")), info = paste(name, paste(ends, collapse = ", ")))
    # what is claimed is no more than half as much again as what is used
    expect_identical(ends[20], "right", info = name)
  }
})
