#!/usr/bin/env bash
# `just demo`: sees to it that there is a Redis server and, if it can be had, a Consul, builds the daemon, and lets it show
# itself. What is missing is fetched into a folder of its own; nothing is installed, and no service is touched.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { echo "demo: $*"; }
. tests/fetch.sh
. tests/rust.sh

cache=${XDG_CACHE_HOME:-$HOME/.cache}/consentinel
own_redis= own_consul= only_help=
for word in "$@"; do
    case $word in
        --redis-server*) own_redis=yes ;;
        --consul* | --no-consul) own_consul=yes ;;
        -h | --help) only_help=yes ;;
    esac
done

need_rust
more=()

if [ -z "$own_redis$only_help" ] && ! has redis-server && ! has valkey-server; then
    release=$(. /etc/os-release 2>/dev/null && echo "${ID:-unknown}-${VERSION_ID:-0}" || echo unknown)
    redis=$cache/redis-$release
    if [ ! -x "$redis/redis-server" ]; then
        say "there is no redis-server here: fetching the one of $release into $redis"
        bash tests/fetch.sh redis "$redis" ||
            fail "no Redis server could be fetched. Install redis-server or valkey-server, or name one: just demo --redis-server PROGRAM"
    fi
    more+=(--redis-server "$redis/redis-server")
fi

if [ -z "$own_consul$only_help" ] && ! has consul; then
    consul=$cache/consul-1.8.7/consul
    if [ ! -x "$consul" ]; then
        say "there is no consul here: fetching one from Debian bullseye, for two minutes at most (--no-consul: without)"
        timeout 120 bash tests/fetch.sh consul "${consul%/*}" || true
    fi
    if [ -x "$consul" ] && "$consul" version >/dev/null 2>&1; then
        more+=(--consul "$consul")
    else
        say "no Consul could be had: the daemons answer DNS themselves"
    fi
fi

say "building the daemon; the first time takes a few minutes"
cargo build --profile demo --bin consentinel
exec cargo run --quiet --profile demo --bin consentinel -- demo ${more[@]+"${more[@]}"} "$@"
