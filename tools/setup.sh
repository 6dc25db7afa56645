#!/bin/sh
# Installs what a bare Debian (or Ubuntu) machine lacks to build, test and check the package; elsewhere says what is missing.
# Never asks. Does nothing, quickly, when nothing is missing. With FASTLMM_SETUP=look it installs nothing anywhere: for an R that is not the system's.
set -eu
cd "$(dirname "$0")/.."

PATH="$PATH:$HOME/.cargo/bin"
RUST_NEEDED=$(sed -n 's/.*rustc (>= \([0-9.]*\)).*/\1/p' DESCRIPTION)
DEBIAN="r-base-core r-base-dev libopenblas0-pthread r-cran-nlme r-cran-matrix r-cran-generics r-cran-cli r-cran-progressr r-cran-lme4 r-cran-loo r-cran-qtl
  r-cran-ape r-cran-phytools r-cran-metadat r-cran-sf r-cran-sp r-cran-units r-cran-spdata r-cran-gstat r-cran-fields r-cran-future.apply r-cran-ggplot2 r-bioc-snpstats r-bioc-limma r-cran-bigmemory r-bioc-hdf5array r-cran-posterior r-cran-coda
  r-cran-emmeans r-cran-insight r-cran-performance r-cran-parameters r-cran-car r-cran-multcomp r-cran-effects r-cran-ggeffects r-cran-lmtest r-cran-bbmle r-cran-xtable r-cran-sjplot r-cran-rlrsim r-cran-vegan r-cran-boot r-cran-pbkrtest r-cran-lmertest r-cran-testthat r-cran-vdiffr r-cran-lintr r-cran-yaml r-cran-jsonlite r-cran-roxygen2 r-cran-knitr r-cran-rmarkdown pandoc make gcc git"

missing_debian() {
  # shellcheck disable=SC2086
  present=$(dpkg-query -W -f '${Package} ${db:Status-Status}\n' $DEBIAN 2>/dev/null || true)
  for package in $DEBIAN; do
    echo "$present" | grep -q "^$package installed" || printf '%s ' "$package"
  done
}

# sudo drops the environment, so the answer to debconf goes through env
as_root() {
  if [ "$(id -u)" = 0 ]; then
    env DEBIAN_FRONTEND=noninteractive "$@"
  else
    sudo -n env DEBIAN_FRONTEND=noninteractive "$@"
  fi
}

install_debian() {
  missing=$(missing_debian)
  [ -n "$missing" ] || return 0
  echo "installing: $missing"
  # shellcheck disable=SC2086
  if as_root apt-get update -qq && as_root apt-get install -y -qq --no-install-recommends $missing >/dev/null </dev/null; then
    return 0
  fi
  echo "Could not install them (root, or sudo without a password, and the network are needed). As root, run:" >&2
  echo "  apt-get install --no-install-recommends $missing" >&2
  exit 1
}

lacking_r_packages() {
  Rscript --vanilla -e 'needed <- c("nlme", "Matrix", "generics", "cli", "progressr", "lme4", "qtl", "ape", "phytools", "metadat", "sf", "sp", "units", "spData", "gstat", "fields", "future.apply", "ggplot2", "snpStats", "limma", "bigmemory", "HDF5Array", "posterior", "coda", "emmeans", "insight", "performance", "parameters", "car", "multcomp", "effects", "ggeffects", "lmtest", "bbmle", "xtable", "vegan", "boot", "pbkrtest", "testthat", "jsonlite", "roxygen2", "knitr", "rmarkdown")
    if (getRversion() < "4.2") cat("R >= 4.2 (found ", format(getRversion()), "), ", sep = "")
    for (p in needed[!nzchar(vapply(needed, function(p) system.file(package = p), ""))]) cat("R package ", p, ", ", sep = "")'
}

check_tools() {
  lacking=""
  for tool in make cc pandoc git; do
    command -v "$tool" >/dev/null 2>&1 || lacking="$lacking$tool, "
  done
  if command -v Rscript >/dev/null 2>&1; then
    lacking="$lacking$(lacking_r_packages)"
  else
    lacking="${lacking}R >= 4.2 with the packages that DESCRIPTION names, "
  fi
  [ -n "$lacking" ] || return 0
  echo "Missing: ${lacking%, }." >&2
  if command -v Rscript >/dev/null 2>&1; then echo "(looked at $(command -v Rscript))" >&2; fi
  exit 1
}

check_rust() {
  if ! command -v cargo >/dev/null 2>&1 || ! command -v rustc >/dev/null 2>&1; then
    echo "Missing: Rust (cargo and rustc >= $RUST_NEEDED). Install it with rustup (https://rustup.rs)." >&2
    if command -v apt-cache >/dev/null 2>&1; then
      echo "The cargo of this system's packages: $(apt-cache policy cargo 2>/dev/null | awk '/Candidate/ {print $2}'); Debian 12's (0.66, Rust 1.63) is too old." >&2
    fi
    exit 1
  fi
  found=$(rustc --version | awk '{print $2}')
  oldest=$(printf '%s\n%s\n' "$RUST_NEEDED" "$found" | sort -V | head -n 1)
  if [ "$oldest" != "$RUST_NEEDED" ]; then
    echo "Missing: rustc >= $RUST_NEEDED (found $found at $(command -v rustc)). Update it: rustup update stable (https://rustup.rs)." >&2
    exit 1
  fi
}

if [ "${FASTLMM_SETUP:-}" != look ] && command -v apt-get >/dev/null 2>&1; then install_debian; fi
check_tools
check_rust
