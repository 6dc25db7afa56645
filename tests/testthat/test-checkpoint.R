# Directories of finished work: whatever happens to their files, the result is the right one or a classed error, never a wrong one.

long <- is_long()

checkpoint_worlds <- function() {
  once("checkpoint", {
    set.seed(15)
    ids <- paste0("i", 1:30)
    G <- matrix(rbinom(30 * 24, 2, 0.4) + 0, 30, dimnames = list(ids, paste0("m", 1:24)))
    data <- data.frame(id = ids, y = rnorm(30))
    data$Y <- matrix(rnorm(90), 30)
    K <- tcrossprod(scale(G)) / 24
    fit <- suppressMessages(fastlmm_fit(y ~ 1 + (1 | id), data, K))
    chains <- function(dir = NULL, seed = 1) quiet_slam(
      Y ~ 1 + (1 | id), data, K, n_factors = 1, chains = 2, iter = 300, warmup = 20, seed = seed, dir = dir, progress = FALSE
    )
    scan <- function(dir = NULL, G1 = G, ...) fastlmm_scan(fit, G1, block_size = 6, checkpoint = dir, progress = FALSE, ...)
    list(
      G = G, data = data, K = K, fit = fit,
      scan = list(run = scan, other = function(dir) scan(dir, test = "lrt"), result = as.data.frame),
      slam = list(run = chains, other = function(dir) chains(dir, seed = 2), result = function(fit) fit$draws)
    )
  })
}

hushed <- function(expr) suppressMessages(suppressWarnings(expr))

bytes_of <- function(file) readBin(file, "raw", file.size(file))

# What may happen to a directory; `foreign` is one of another job
faults <- list(
  flip = function(file, files, foreign) {
    bytes <- bytes_of(file)
    if (length(bytes) == 0) return()
    at <- sample.int(length(bytes), 1)
    bytes[at] <- xor(bytes[at], as.raw(bitwShiftL(1L, sample(0:7, 1))))
    writeBin(bytes, file)
  },
  truncate = function(file, files, foreign) writeBin(head(bytes_of(file), sample(0:max(0, file.size(file) - 1), 1)), file),
  empty = function(file, files, foreign) file.create(file),
  append = function(file, files, foreign) writeBin(c(bytes_of(file), as.raw(sample(0:255, 9))), file),
  zeros = function(file, files, foreign) writeBin(raw(file.size(file)), file),
  swap = function(file, files, foreign) {
    with <- sample(setdiff(files, file), 1)
    kept <- bytes_of(file)
    file.copy(with, file, overwrite = TRUE)
    writeBin(kept, with)
  },
  foreign = function(file, files, foreign) file.copy(sample(foreign, 1), file, overwrite = TRUE),
  namesake = function(file, files, foreign) file.copy(foreign[match(basename(file), basename(foreign), nomatch = 1)], file, overwrite = TRUE),
  rds = function(file, files, foreign) saveRDS(1:3, file),
  directory = function(file, files, foreign) {
    unlink(file)
    dir.create(file)
  },
  remove = function(file, files, foreign) unlink(file)
)

plain_files <- function(dir) {
  files <- list.files(dir, full.names = TRUE)
  files[!dir.exists(files)]
}

right_or_classed <- function(expr, right, label) {
  found <- tryCatch(hushed(expr), error = identity)
  same <- any(vapply(right, identical, NA, found))
  expect(same || inherits(found, "fastlmm_error"), paste(label, if (inherits(found, "error")) conditionMessage(found) else "gave a wrong result"))
  inherits(found, "error")
}

test_that("random faults end in the right result or a classed error", {
  skip_on_cran()
  for (engine in c("scan", "slam")) {
    job <- checkpoint_worlds()[[engine]]
    right <- job$result(hushed(job$run()))
    whole <- tempfile()
    other <- tempfile()
    hushed(job$run(whole))
    theirs <- job$result(hushed(job$other(other)))
    set.seed(1)
    refused <- 0
    for (i in seq_len(if (long) 100 else if (engine == "scan") 22 else 11)) {
      dir <- tempfile()
      dir.create(dir)
      file.copy(list.files(whole, full.names = TRUE), dir)
      done <- c(names(faults)[(i - 1) %% length(faults) + 1], sample(names(faults), sample(0:2, 1)))
      for (fault in done) faults[[fault]](sample(plain_files(dir), 1), plain_files(dir), list.files(other, full.names = TRUE))
      label <- paste(engine, i, toString(done))
      refused <- refused + right_or_classed(job$result(job$run(dir)), list(right), label)
      # a directory whose job was exchanged for another one is the other one's
      if (engine == "slam" && i %% 2 == 0) right_or_classed(extend(restore(dir), 0, progress = FALSE)$draws, list(right, theirs), paste(label, "restored"))
      unlink(dir, recursive = TRUE)
    }
    # most faults are mended, and the directory goes on
    expect_lt(refused, i / 2)
  }
})

test_that("other values under the same names, another job, an earlier format and what is no directory", {
  world <- checkpoint_worlds()
  G <- world$G
  scan <- world$scan$run
  dir <- tempfile()
  expect_identical(scan(dir), scan())
  told <- capture_messages(found <- scan(dir, 2 - G))
  # the first at once, the others by their number
  expect_match(told[1], "block-00000[1-4]\" was made from other values")
  expect_match(told[2], "4 files of .* were computed again")
  expect_length(told, 2)
  expect_identical(found, scan(NULL, 2 - G))
  expect_equal(found$estimate, -scan()$estimate, tolerance = 1e-8)
  # one cell of one block
  H <- G
  H[3, 8] <- H[3, 8] + 1
  hushed(scan(dir))
  expect_message(expect_identical(scan(dir, H), scan(NULL, H)), "block-000002")
  # the inputs of the model
  data <- transform(world$data, y = replace(y, 5, 0))
  for (fit in hushed(
    list(
      fastlmm_fit(y ~ 1 + (1 | id), data, world$K), fastlmm_fit(y ~ 1 + (1 | id), world$data, world$K + diag(1e-9, 30)),
      fastlmm_fit(y ~ 1 + (1 | id), world$data, world$K, method = "ML")
    )
  )) {
    expect_error(fastlmm_scan(fit, G, block_size = 6, checkpoint = dir), class = "fastlmm_error_checkpoint")
  }
  expect_error(hushed(world$slam$run(dir)), class = "fastlmm_error_checkpoint")
  expect_error(restore(dir), class = "fastlmm_error_checkpoint")
  many <- hushed(fastlmm_fit(Y ~ 1 + (1 | id), world$data, world$K))
  own <- tempfile()
  hushed(fastlmm_scan(many, G, block_size = 6, checkpoint = own))
  expect_identical(hushed(fastlmm_scan(many, 2 - G, block_size = 6, checkpoint = own)), hushed(fastlmm_scan(many, 2 - G, block_size = 6)))
  # files without a tag, by version 0.1
  old <- tempfile()
  dir.create(old)
  saveRDS("0123456789abcdef", file.path(old, "job.rds"))
  expect_error(scan(old), "earlier version", class = "fastlmm_error_checkpoint")
  file.rename(file.path(old, "job.rds"), file.path(old, "model.rds"))
  expect_error(restore(old), "earlier version", class = "fastlmm_error_checkpoint")
  expect_error(world$slam$run(old), "earlier version", class = "fastlmm_error_checkpoint")
  file <- tempfile()
  file.create(file)
  for (bad in list(file, file.path(file, "below"), 3, NA_character_, c("a", "b"), TRUE)) {
    expect_error(scan(bad), class = "fastlmm_error_checkpoint")
    expect_error(world$slam$run(bad), class = "fastlmm_error_checkpoint")
    expect_error(restore(bad), class = "fastlmm_error_checkpoint")
  }
})

test_that("a job is known by what was given: another session, representation or number of threads is the same job", {
  world <- checkpoint_worlds()
  dir <- tempfile()
  first <- world$scan$run(dir)
  written <- file.mtime(list.files(dir, full.names = TRUE))
  again <- hushed(fastlmm_fit(y ~ 1 + (1 | id), world$data, world$K, control = fastlmm_control(threads = 1)))
  again$delta <- again$delta * (1 + 1e-12) # as of another BLAS
  expect_silent(
    expect_identical(fastlmm_scan(unserialize(serialize(again, NULL)), world$G, block_size = 6, checkpoint = dir, progress = FALSE)$estimate, first$estimate)
  )
  expect_identical(file.mtime(list.files(dir, full.names = TRUE)), written)
  sequence <- 1:9
  expect_identical(content_hash(sequence), content_hash(c(1L, 2:9)))
  expect_false(content_hash(c(a = 1)) == content_hash(c(b = 1)))
  M <- Matrix::forceSymmetric(Matrix::sparseMatrix(1:3, 1:3, x = c(1, 2, 3)))
  before <- content_hash(M)
  invisible(Matrix::chol(M))
  expect_identical(content_hash(M), before)
  # chains: the basis is that of the directory
  dir <- tempfile()
  held <- hushed(world$slam$run(dir))
  turned <- held
  turned$data$y <- -turned$data$y
  turned[c("states", "draws", "done")] <- list(vector("list", 2), NULL, 0)
  expect_identical(open_slam(turned, dir)$draws, held$draws)
})

# ---- disks and processes --------------------------------------------------------------------------------

with_disk <- function(size, test) {
  skip_on_cran()
  skip_on_os(c("windows", "mac"))
  dir <- tempfile()
  dir.create(dir)
  mounted <- system2("mount", c("-t", "tmpfs", "-o", paste0("size=", size), "tmpfs", dir), stdout = FALSE, stderr = FALSE) == 0
  skip_if(!mounted, "no disk can be mounted")
  on.exit(system2("umount", dir))
  test(dir, function(options) system2("mount", c("-o", paste0("remount,", options), dir)))
}

test_that("a full disk is a classed error, leaves no broken file, and the call goes on when there is room", {
  world <- checkpoint_worlds()
  for (engine in c("scan", "slam")) {
    job <- world[[engine]]
    for (size in if (engine == "scan") c("4k", "16k") else c("4k", "120k")) {
      with_disk(size, function(dir, remount) {
        expect_error(hushed(job$run(dir)), "cannot write.*[Ss]pace", class = "fastlmm_error_checkpoint")
        for (file in list.files(dir, full.names = TRUE)) expect_false(is.null(read_sealed(file)))
        remount("size=10m")
        expect_identical(job$result(hushed(job$run(dir))), job$result(hushed(job$run())))
      })
    }
  }
})

test_that("a folder that cannot be written is a classed error, but for finished work", {
  world <- checkpoint_worlds()
  with_disk("10m", function(dir, remount) {
    remount("ro")
    expect_error(hushed(world$scan$run(dir)), "cannot write", class = "fastlmm_error_checkpoint")
    expect_error(hushed(world$slam$run(dir)), "cannot write", class = "fastlmm_error_checkpoint")
    remount("rw")
    right <- world$scan$run(dir)
    remount("ro")
    expect_identical(world$scan$run(dir), right)
  })
})

test_that("two jobs that begin at once in one directory: one is refused, and nothing is mixed", {
  skip_on_cran()
  skip_on_os("windows")
  for (engine in c("scan", "slam")) {
    job <- checkpoint_worlds()[[engine]]
    right <- list(job$result(hushed(job$run())), job$result(hushed(job$other(NULL))))
    for (i in seq_len(if (long) 20 else 2)) {
      dir <- tempfile()
      begun <- lapply(
        list(job$run, job$other), function(run) parallel::mcparallel(tryCatch(hushed(job$result(run(dir))), fastlmm_error = function(error) class(error)[1]))
      )
      ended <- unname(parallel::mccollect(begun))
      mine <- mapply(identical, ended, right)
      expect_identical(sum(mine), 1L)
      expect_identical(ended[[which(!mine)]], "fastlmm_error_checkpoint")
      if (engine == "slam") expect_identical(hushed(extend(restore(dir), 0))$draws, right[[which(mine)]])
    }
  }
})

test_that("two processes may do the same job, and one that is killed is gone on with", {
  skip_on_cran()
  skip_on_os("windows")
  for (engine in c("scan", "slam")) {
    job <- checkpoint_worlds()[[engine]]
    right <- job$result(hushed(job$run()))
    dir <- tempfile()
    begun <- lapply(1:2, function(i) parallel::mcparallel(hushed(job$result(job$run(dir)))))
    expect_identical(unname(parallel::mccollect(begun)), list(right, right))
    set.seed(2)
    for (i in seq_len(if (long) 20 else 3)) {
      dir <- tempfile()
      begun <- parallel::mcparallel(hushed(job$run(dir)))
      Sys.sleep(runif(1, 0, 0.3))
      tools::pskill(begun$pid, tools::SIGKILL)
      suppressWarnings(parallel::mccollect(begun))
      expect_identical(job$result(hushed(job$run(dir))), right)
    }
  }
})

test_that("what is no file is absent: a pipe is not waited for, and a file of gigabytes is not read for its tag", {
  skip_on_os("windows")
  w <- checkpoint_worlds()
  right <- w$scan$result(hushed(w$scan$run()))
  for (fault in list(function(file) system2("mkfifo", file), function(file) system2("truncate", c("-s", "3G", file)), dir.create)) {
    dir <- tempfile()
    hushed(w$scan$run(dir))
    for (name in if (identical(fault, dir.create)) "block-000002" else c("job", "block-000002")) {
      unlink(file.path(dir, name))
      fault(file.path(dir, name))
    }
    limit_own_time(20)
    found <- tryCatch(w$scan$result(hushed(w$scan$run(dir))), fastlmm_error_checkpoint = function(error) "refused")
    setTimeLimit()
    expect_true(identical(found, right) || identical(found, "refused") && identical(fault, dir.create))
    unlink(dir, recursive = TRUE)
  }
})

test_that("the type of candidates is no change of their values, and many changed blocks are told by two messages", {
  w <- checkpoint_worlds()
  dir <- tempfile()
  hushed(w$scan$run(dir))
  whole <- w$G
  storage.mode(whole) <- "integer"
  expect_silent(again <- w$scan$run(dir, whole))
  expect_identical(w$scan$result(again), w$scan$result(hushed(w$scan$run())))
  told <- capture_messages(w$scan$run(dir, 2 - w$G))
  expect_length(told, 2)
  expect_match(told[2], "4 files of .* were computed again")
})

test_that("what has changed in a job is told by what may change", {
  w <- checkpoint_worlds()
  dir <- tempfile()
  hushed(w$slam$run(dir))
  expect_error(hushed(w$slam$other(dir)), "warmup, thin or seed; call it as before .* extend\\(restore\\(dir\\), iter\\)", class = "fastlmm_error_checkpoint")
  dir <- tempfile()
  hushed(w$scan$run(dir))
  expect_error(hushed(w$scan$other(dir)), "or another block_size", class = "fastlmm_error_checkpoint")
})
