#!/usr/bin/env bash
# Makes the images that the compose files name, where no registry can be reached: a Debian by debootstrap, Redis and Prometheus
# from Debian's packages, Consul from bullseye's, and the programs of this repository as they were built outside of Docker.
#
#   bash compose/base.sh            what is missing, and the programs if they have changed
#   bash compose/base.sh metrics    Prometheus, too
#   bash compose/base.sh builder    rust:1-bookworm instead of the programs, to build compose/Dockerfile with
#   bash compose/base.sh debian     debian:bookworm-slim alone
#
# An image that is there already is used as it is, wherever it came from. The versions are the ones that the names say: redis:7.0
# is a 7.0, consul:1.8.7 a 1.8.7.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { echo "compose: $*"; }
. tests/fetch.sh
. compose/engine.sh

work=
clean() { if [ -n "$work" ]; then rm -rf "$work"; fi; }
trap clean EXIT
work=$(mktemp -d)

there() { docker image inspect "$1" >/dev/null 2>&1; }

# What docker says is shown when it fails.
quiet() {
    if ! "$@" >"$work/log" 2>&1; then
        tail -n 30 "$work/log" >&2
        fail "this failed: $*"
    fi
}

# A Dockerfile on standard input; the folder is what it may copy from.
image() {
    local name=$1 folder=$2
    say "making $name"
    quiet docker build --tag "$name" --file - "$folder"
}

# Where this machine has the updates of that release from, if it has any: a compiler that is new enough comes from there.
updates() {
    has apt-get || return 0
    apt-get indextargets --format '$(REPO_URI) $(RELEASE)' 'Identifier: Packages' | grep -E ' bookworm-(security|updates)$' | sort -u || true
}

debian() {
    local uri
    there debian:bookworm-slim && return
    say "making debian:bookworm-slim"
    PATH=$PATH:/usr/sbin
    has debootstrap || fail "debootstrap is missing: apt-get install debootstrap, or: just deps"
    [ "$(id -u)" = 0 ] || fail "debootstrap needs root: run this as root, or load debian:bookworm-slim into Docker yourself"
    uri=$(debian_archive | head -n 1)
    [ -n "$uri" ] || fail "no Debian archive in apt's source lists"
    quiet debootstrap --variant=minbase --include=ca-certificates bookworm "$work/debian" "$uri"
    rm -rf "$work"/debian/var/cache/apt/archives/*.deb "$work"/debian/var/lib/apt/lists/*
    mkdir -p "$work/debian/etc/dpkg/dpkg.cfg.d"
    printf 'path-exclude /usr/share/%s/*\n' doc man locale info >"$work/debian/etc/dpkg/dpkg.cfg.d/slim"
    echo force-unsafe-io >>"$work/debian/etc/dpkg/dpkg.cfg.d/slim"
    # No service is started in an image.
    printf '#!/bin/sh\nexit 101\n' >"$work/debian/usr/sbin/policy-rc.d"
    chmod 755 "$work/debian/usr/sbin/policy-rc.d"
    updates | sed 's/^/deb /; s/$/ main/' >>"$work/debian/etc/apt/sources.list"
    tar -C "$work/debian" --exclude=./dev -c . | quiet docker import --change 'CMD ["bash"]' - debian:bookworm-slim
    rm -rf "$work/debian"
}

# An image of one of Debian's packages.
packaged() {
    local name=$1
    shift
    there "$name" && return
    image "$name" "$work/empty" <<END
FROM debian:bookworm-slim
RUN apt-get update -qq \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $* \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin
END
}

consul() {
    there consul:1.8.7 && return
    mkdir -p "$work/consul"
    local cache=${XDG_CACHE_HOME:-$HOME/.cache}/consentinel/consul-1.8.7
    [ -x "$cache/consul" ] || (fetch_consul "$cache")
    cp "$cache/consul" "$work/consul/"
    image consul:1.8.7 "$work/consul" <<END
FROM debian:bookworm-slim
COPY consul /bin/consul
VOLUME /consul/data
ENTRYPOINT ["consul"]
END
}

# Whom this machine trusts the image trusts, too: crates may have to come through a proxy with an authority of its own.
builder() {
    there rust:1-bookworm && return
    mkdir -p "$work/builder"
    cp /etc/ssl/certs/ca-certificates.crt "$work/builder/"
    image rust:1-bookworm "$work/builder" <<END
FROM debian:bookworm-slim
RUN apt-get update -qq \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends cargo-web rustc-web gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*
COPY ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
END
}

# The last stages of compose/Dockerfile, around programs that were built outside: in a container that takes many minutes.
programs() {
    local target=${CARGO_TARGET_DIR:-target}/release program
    if has cargo; then
        say "building the programs: a few minutes the first time"
        target=$(bash packaging/programs.sh)
    fi
    mkdir -p "$work/programs/source/target/release"
    for program in consentinel consentinel-application; do
        [ -x "$target/$program" ] || fail "$target/$program is missing, and there is no cargo to build it: https://rustup.rs"
        cp "$target/$program" "$work/programs/source/target/release/"
        strip "$work/programs/source/target/release/$program" 2>/dev/null || true
    done
    {
        echo "FROM debian:bookworm-slim AS build"
        echo "COPY source /source"
        sed -n '/^FROM debian:bookworm-slim AS consentinel$/,$p' compose/Dockerfile
    } >"$work/programs/Dockerfile"
    say "making consentinel and consentinel-application"
    quiet docker build --target consentinel --tag consentinel "$work/programs"
    quiet docker build --target application --tag consentinel-application "$work/programs"
}

case ${1:-} in
    '' | metrics | builder | debian) ;;
    *) fail "bash compose/base.sh [metrics|builder|debian]" ;;
esac
engine
mkdir "$work/empty"
debian
[ "${1:-}" != debian ] || exit 0
packaged redis:7.0-bookworm redis-server redis-sentinel redis-tools
consul
# Quick when nothing has changed: Docker knows the layers.
image consentinel-shop compose/shop <compose/shop/Dockerfile
image consentinel-classic compose/classic <compose/classic/Dockerfile
if [ "${1:-}" = metrics ]; then packaged prom/prometheus:v2.42.0 prometheus; fi
if [ "${1:-}" = builder ]; then
    builder
else
    programs
fi
