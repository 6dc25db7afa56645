# `make demo` and `make test` do everything on a bare machine and never ask.

export CARGO_TARGET_DIR ?= $(CURDIR)/src/rust/target
export PATH := $(PATH):$(HOME)/.cargo/bin
# R CMD check warns in a locale that is not UTF-8
ifneq ($(shell locale charmap 2>/dev/null),UTF-8)
export LC_ALL := C.UTF-8
endif
LIB := $(CURDIR)/.Rlib
export R_LIBS := $(LIB)
# the jobs of this make are not theirs to count
OWN := env -u MAKEFLAGS -u MFLAGS
# beside what installs and R CMD check, each one thing after another, what has work for all cores gives way
GIVE_WAY := nice -n 5
# in the environment of R CMD, which the crate of R's interface is compiled for: otherwise each of R and cargo compiles it after the other
CARGO := cd src/rust && R_INCLUDE_DIR="$$(Rscript --vanilla -e 'cat(R.home("include"))')" $(GIVE_WAY) $(OWN) cargo
# links of the documentation are checked as code is
export RUSTDOCFLAGS := -D warnings
RSCRIPT := $(OWN) Rscript --vanilla

.PHONY: setup install test rust-test rust-check r-test lint fresh check check-release check-long tarball demo document docs coverage deny bench clean

setup:
	@sh tools/setup.sh

install: setup
	@mkdir -p $(LIB)
	$(OWN) R CMD INSTALL --no-multiarch --library=$(LIB) .

# tests of the whole workspace: those of the core alone would compile it, and faer, once more with other features of their dependencies
rust-test: setup
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --release --workspace --all-targets -- -D warnings
	$(CARGO) doc --locked --release --workspace --no-deps --document-private-items
	$(CARGO) test --locked --release --workspace

# with the oldest Rust, whose clippy and rustfmt have other opinions
rust-check:
	$(CARGO) check --locked --workspace --all-targets

r-test: install
	$(GIVE_WAY) $(RSCRIPT) dev/test.R

# what is generated must equal what is committed
fresh: install
	$(RSCRIPT) dev/document.R --check

lint: setup
	$(GIVE_WAY) $(RSCRIPT) dev/lint.R

test: rust-test lint r-test fresh

# what install compiled is not compiled again
check: install
	$(RSCRIPT) dev/check.R $(CHECK_ARGS)

# the tarball of a release, with its crates and vignettes; and its check as CRAN does it, which compiles them, offline
tarball: install
	$(RSCRIPT) dev/check.R --tarball

check-release: install
	$(RSCRIPT) dev/check.R --release

check-long: install
	$(CARGO) test --locked --release --workspace -- --ignored
	cd tests/rust && $(OWN) cargo test --locked --release
	FASTLMM_TEST_LONG=true $(RSCRIPT) dev/test.R

demo: install
	$(RSCRIPT) dev/demo.R

document: install
	$(RSCRIPT) dev/document.R

# the site, in docs/
docs: install
	$(RSCRIPT) dev/docs.R

# lines that tests run: of R in check/coverage-r.txt, of Rust in check/coverage-rust.txt
coverage: install
	$(RSCRIPT) dev/coverage.R
	cd src/rust && $(OWN) cargo llvm-cov --locked --release --workspace --summary-only | tee ../../check/coverage-rust.txt

# licences, advisories and sources of crates, by cargo-deny
deny:
	cd src/rust && cargo deny --locked check

bench: install
	$(RSCRIPT) bench/small.R
	$(RSCRIPT) bench/dense.R
	$(RSCRIPT) bench/peers.R
	$(RSCRIPT) bench/lowrank.R
	$(RSCRIPT) bench/mix.R
	$(RSCRIPT) bench/many.R
	$(RSCRIPT) bench/inference.R
	$(RSCRIPT) bench/scan.R
	$(RSCRIPT) bench/slam.R

clean:
	rm -rf .Rlib check docs demo-output src/*.o src/*.so src/Makevars src/Makevars.win src/.cargo src/rust/target src/rust/vendor
