#!/bin/sh
# Installs what a bare Debian (or Ubuntu) machine lacks to build, test and check the package; elsewhere says what is missing.
# Never asks. Does nothing, quickly, when nothing is missing.
set -eu

PATH="$PATH:$HOME/.cargo/bin"
RUST_NEEDED=1.89
DEBIAN="r-base-core r-base-dev libopenblas0-pthread r-cran-nlme r-cran-matrix r-cran-generics r-cran-lme4 r-cran-qtl
  r-cran-testthat r-cran-roxygen2 r-cran-knitr r-cran-rmarkdown pandoc make gcc git"

missing_debian() {
  for package in $DEBIAN; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q '^install ok installed' || printf '%s ' "$package"
  done
}

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

install_debian() {
  missing=$(missing_debian)
  [ -n "$missing" ] || return 0
  echo "installing: $missing"
  export DEBIAN_FRONTEND=noninteractive
  as_root apt-get update -qq
  # shellcheck disable=SC2086
  as_root apt-get install -y -qq --no-install-recommends $missing >/dev/null
}

report_elsewhere() {
  lacking=""
  command -v Rscript >/dev/null 2>&1 || lacking="$lacking R (>= 4.2)"
  command -v pandoc >/dev/null 2>&1 || lacking="$lacking pandoc"
  if command -v Rscript >/dev/null 2>&1; then
    lacking="$lacking $(Rscript --vanilla -e 'p <- c("nlme", "Matrix", "generics", "lme4", "qtl", "testthat", "roxygen2", "knitr", "rmarkdown")
      cat(p[!vapply(p, requireNamespace, NA, quietly = TRUE)])')"
  fi
  [ -z "$(echo "$lacking" | tr -d ' ')" ] && return 0
  echo "This is not a Debian system, so nothing was installed. Missing: $lacking" >&2
  exit 1
}

check_rust() {
  if ! command -v cargo >/dev/null 2>&1; then
    echo "Missing: Rust (cargo and rustc >= $RUST_NEEDED). Install it with rustup (https://rustup.rs);" >&2
    echo "Debian 12's own cargo package (0.66, Rust 1.63) is too old." >&2
    exit 1
  fi
  found=$(rustc --version | awk '{print $2}')
  oldest=$(printf '%s\n%s\n' "$RUST_NEEDED" "$found" | sort -V | head -n 1)
  if [ "$oldest" != "$RUST_NEEDED" ]; then
    echo "Missing: rustc >= $RUST_NEEDED (found $found). Run: rustup update stable" >&2
    exit 1
  fi
}

if command -v apt-get >/dev/null 2>&1; then install_debian; else report_elsewhere; fi
check_rust
