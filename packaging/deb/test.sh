#!/usr/bin/env bash
# `just packages-test`: the Debian package on a machine with a real systemd, and under load: installed beside a redis-sentinel,
# adopted, upgraded, hung, given back, removed, purged.
#
#   bash packaging/deb/test.sh [PROGRAM]
#
# It takes the program that was built already: target/release/consentinel.
set -euo pipefail
cd "$(dirname "$0")/../.."

say() { echo "packages-test: $*"; }
. tests/fetch.sh
. compose/engine.sh
. packaging/machine.sh

engine
for tool in python3 systemd-analyze; do has $tool || fail "$tool is missing: just deps"; done
program=${1:-${CARGO_TARGET_DIR:-target}/release/consentinel}
[ -x "$program" ] || fail "$program is missing: just build"
for unit in packaging/deb/*.service; do
    systemd-analyze security --offline=true --threshold=20 "$PWD/$unit" | tail -n 1
done
machine
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
bash packaging/deb/build.sh --program "$program" --into "$work" --version "0.0.1~before"
bash packaging/deb/build.sh --program "$program" --into "$work" --version "$version"
python3 packaging/deb/test.py "$work" "$version"
