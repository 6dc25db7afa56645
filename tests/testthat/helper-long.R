# What takes minutes is done whole by make check-long, and with fewer draws by make test.

is_long <- function() identical(Sys.getenv("FASTLMM_TEST_LONG"), "true")

# So many draws, or a quarter of them: tests whose limits follow from the number of draws
some_draws <- function(count) if (is_long()) count else count / 4
