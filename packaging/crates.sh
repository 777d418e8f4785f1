#!/usr/bin/env bash
# `just crates`: what would be uploaded of the crates that others build on, made from what is committed, and built as they will
# build it: as it is, with the oldest dependencies that its Cargo.toml allows, with the oldest compiler that it names, and with
# what its interface promised in REVISION. The last three want a nightly toolchain, that compiler and cargo-semver-checks; what is
# missing is said, and left out.
#
#   bash packaging/crates.sh [REVISION]
set -euo pipefail
cd "$(dirname "$0")/.."

say() { echo "crates: $*"; }
. tests/fetch.sh

crates="consentinel-core consentinel-resolver"
[ -z "$(git status --porcelain --untracked-files=no)" ] ||
    fail "there are changes that are not committed: what is packed is what git has, so commit them first"
version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
oldest=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
toolchain() { has rustup && rustup toolchain list | grep -q "^$1"; }

words=
for crate in $crates; do words="$words -p $crate"; done
# shellcheck disable=SC2086 # several words
cargo package --locked --quiet $words
say "packed, and built from what was packed"

for crate in $crates; do
    folder=$target/package/$crate-$version
    if toolchain nightly; then
        work=$(mktemp -d)
        trap 'rm -rf "$work"' EXIT
        cp -r "$folder" "$work/crate"
        rm -f "$work/crate/Cargo.lock"
        (
            cd "$work/crate"
            cargo +nightly update --quiet -Z direct-minimal-versions
            CARGO_TARGET_DIR=$target/minimal cargo +nightly check --quiet --all-features
        )
        say "$crate: the oldest dependencies that it allows are enough"
    else
        say "$crate: no nightly toolchain, so the oldest dependencies were not tried"
    fi
    if toolchain "$oldest"; then
        cargo "+$oldest" check --locked --quiet -p "$crate" --all-features
        say "$crate: Rust $oldest is enough"
    else
        say "$crate: no Rust $oldest here: clippy's incompatible_msrv is all that has looked"
    fi
    if [ $# -gt 0 ] && cargo semver-checks --version >/dev/null 2>&1; then
        cargo semver-checks --baseline-rev "$1" -p "$crate"
    else
        say "$crate: its interface was not compared: that takes cargo-semver-checks, and a revision"
    fi
done
