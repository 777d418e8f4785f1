#!/usr/bin/env bash
# Is there a Rust that can build this? `bash tests/rust.sh` says what is missing and how to have it; tests/demo.sh sources it.

declare -F has >/dev/null || has() { command -v "$1" >/dev/null 2>&1; }
declare -F say >/dev/null || say() { echo "$*"; }
declare -F fail >/dev/null || fail() { say "$*" >&2; exit 1; }

how_to_have_rust() {
    echo "  Debian 12, 13:  apt-get update && apt-get install cargo-web rustc-web   (plain cargo is too old there)"
    echo "  Ubuntu 24.04:   apt-get install rustup gcc libc6-dev && rustup default stable"
    echo "  elsewhere:      https://rustup.rs, and a C compiler"
    echo "  without Rust, with Docker: cd compose && docker compose up"
}

# What the workspace asks for stands in Cargo.toml alone.
need_rust() {
    local wanted said version
    wanted=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)
    has cargo || fail "Rust $wanted or later is missing (there is no cargo on PATH).
$(how_to_have_rust)"
    # The cargo of rustup is there before any Rust is.
    said=$(cargo --version 2>&1) || fail "cargo does not run: $said
$(how_to_have_rust)"
    version=$(printf '%s\n' "$said" | sed -n 's/^cargo \([0-9]*\.[0-9]*\).*/\1/p')
    [ -n "$version" ] || fail "$(command -v cargo) does not tell its version: $said
$(how_to_have_rust)"
    [ "$(printf '%s\n' "$wanted" "$version" | sort -V | head -n 1)" = "$wanted" ] ||
        fail "Rust $version is too old, it must be $wanted or later ($(command -v cargo)).
$(how_to_have_rust)"
    has cc || fail "a C compiler is missing (there is no cc on PATH), which some crates need: apt-get install gcc libc6-dev"
}

if [ "${BASH_SOURCE[0]}" = "$0" ]; then
    set -euo pipefail
    cd "$(dirname "$0")/.."
    need_rust
fi
