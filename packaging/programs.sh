#!/usr/bin/env bash
# `just programs`: builds what goes into containers and packages, and prints the folder where it is.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { echo "programs: $*" >&2; }
. tests/fetch.sh
. packaging/static.sh

has cargo || fail "there is no cargo: https://rustup.rs"
static_build --bin consentinel
static_build --package consentinel-application
static_folder
