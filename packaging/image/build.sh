#!/usr/bin/env bash
# `just image`: the image around a static program, which is built here unless one is named.
#
#   bash packaging/image/build.sh [--program FILE] [--tag NAME]
set -euo pipefail
cd "$(dirname "$0")/../.."

say() { echo "image: $*"; }
. tests/fetch.sh
. compose/engine.sh
. packaging/static.sh

program= tag=consentinel:slim
while [ $# -gt 0 ]; do
    case $1 in
        --program) program=$2 ;;
        --tag) tag=$2 ;;
        *) fail "bash packaging/image/build.sh [--program FILE] [--tag NAME]" ;;
    esac
    shift 2
done
engine
[ -n "$program" ] || program=$(static_program)
is_static "$program" || fail "$program is no static program: an image without a C library cannot run it"
bash compose/base.sh debian

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
install -D -m 755 "$program" "$work/program/consentinel"
strip "$work/program/consentinel"
{
    echo "FROM scratch AS build"
    echo "COPY program /program"
    sed -n '/^FROM debian:bookworm-slim AS files$/,$p' packaging/image/Dockerfile
} >"$work/Dockerfile"
docker build --tag "$tag" "$work" >"$work/log" 2>&1 || { tail -n 20 "$work/log" >&2; fail "docker build failed"; }
say "$tag: $(docker image inspect --format '{{.Size}}' "$tag" | awk '{ printf "%.1f MB", $1 / 1000000 }')"
