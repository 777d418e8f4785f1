#!/usr/bin/env bash
# `just image-test`: what the image promises, tried on a real engine. Takes an image that is there, or makes it.
#
#   bash packaging/image/test.sh [IMAGE]
set -euo pipefail
cd "$(dirname "$0")/../.."

say() { echo "image-test: $*"; }
. tests/fetch.sh
. compose/engine.sh
. packaging/machine.sh

engine
for tool in python3 openssl; do has $tool || fail "$tool is missing: just deps"; done
consul=$(readlink -f tests/.cache/bin/consul 2>/dev/null || command -v consul) || fail "consul is missing: just deps"
image=${1:-consentinel:slim}
docker image inspect "$image" >/dev/null 2>&1 || bash packaging/image/build.sh --tag "$image"
machine
exec python3 packaging/image/test.py "$image" "$consul"
