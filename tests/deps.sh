#!/usr/bin/env bash
# Installs what the tests need on a Debian machine: redis-server, redis-sentinel, redis-cli, dig, ss, jq, Consul, and the
# resolvers dnsmasq and unbound, which the tests run as processes of their own.
# What is on PATH already is used as it is. Quick when nothing is missing.
set -euo pipefail
cd "$(dirname "$0")/.."

tools=tests/.cache/bin # where the tests look before PATH
mkdir -p "$tools"

has() { command -v "$1" >/dev/null 2>&1; }
say() { echo "deps: $*"; }
fail() { say "$*" >&2; exit 1; }
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; elif has sudo; then sudo "$@"; else fail "need root or sudo to run: $*"; fi; }

install_packages() {
    has apt-get || fail "missing $*, and there is no apt-get here: install them by hand"
    say "installing $*"
    # Debian starts a service as soon as it is installed, unless this script says no.
    local policy=/usr/sbin/policy-rc.d made=
    if [ ! -e "$policy" ]; then
        made=yes
        printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
        as_root chmod 755 "$policy"
    fi
    local status=0
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" ||
        { as_root apt-get update -qq &&
            as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"; } ||
        status=$?
    if [ -n "$made" ]; then as_root rm -f "$policy"; fi
    [ "$status" = 0 ] || fail "could not install $*"
    if has systemctl; then # not at the next boot either
        for service in "$@"; do
            case $service in redis-server | redis-sentinel | unbound)
                as_root systemctl disable --quiet "$service" >/dev/null 2>&1 || true ;;
            esac
        done
    fi
}

missing=()
has redis-server || has valkey-server || missing+=(redis-server)
has redis-sentinel || has valkey-sentinel || missing+=(redis-sentinel)
has redis-cli || has valkey-cli || missing+=(redis-tools)
has dig || missing+=(bind9-dnsutils)
has ss || missing+=(iproute2)
has jq || missing+=(jq)
[ -x /usr/sbin/dnsmasq ] || has dnsmasq || missing+=(dnsmasq-base)
[ -x /usr/sbin/unbound ] || has unbound || missing+=(unbound)
[ ${#missing[@]} = 0 ] || install_packages "${missing[@]}"

# The address of the Debian archive that this machine uses, from either form of apt's source lists.
debian_archive() {
    local file
    for file in /etc/apt/sources.list.d/*.sources; do
        [ -f "$file" ] || continue
        awk -v RS= 'tolower($0) ~ /(^|\n)enabled:[ \t]*(no|false)/ { next }
            { uri = ""; suites = ""; n = split($0, lines, "\n")
              for (i = 1; i <= n; i++) {
                  if (lines[i] ~ /^URIs:/) { split(lines[i], w, /[ \t]+/); uri = w[2] }
                  if (lines[i] ~ /^Suites:/) suites = lines[i]
              }
              if (uri != "" && suites !~ /security/ && uri ~ /debian\/?$/) { print uri; exit } }' "$file"
    done
    sed -nE 's/^deb[[:space:]]+(\[[^]]*\][[:space:]]+)?([^[:space:]]*debian\/?)[[:space:]]+.*/\2/p' \
        /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null || true
}

# Later Debians have no Consul; bullseye's runs on them as it is.
fetch_consul() {
    local into=$1 uri keys where work
    has apt-get || fail "missing consul, and there is no apt-get here: install it by hand"
    uri=$(debian_archive | head -n 1)
    [ -n "$uri" ] || fail "no Debian archive in apt's source lists: install consul by hand"
    keys=$(ls /usr/share/keyrings/debian-archive-{keyring,removed-keys,bullseye-stable}.gpg 2>/dev/null | paste -sd, || true)
    work=$(mktemp -d)
    trap 'rm -rf "$work"' RETURN
    chmod 755 "$work"
    mkdir -p "$work/lists/partial" "$work/cache/archives/partial"
    where=(-o "Dir::Etc::SourceList=$work/bullseye.list" -o Dir::Etc::SourceParts=/dev/null
        -o "Dir::State::Lists=$work/lists" -o "Dir::Cache=$work/cache"
        -o Acquire::Check-Valid-Until=false -o Acquire::Languages=none -o APT::Sandbox::User=)
    echo "deb [signed-by=$keys] $uri bullseye main" >"$work/bullseye.list"
    if ! apt-get -qq "${where[@]}" update || ! (cd "$work" && apt-get -qq "${where[@]}" download consul); then
        # This machine lacks the keys of so old a release: the sum below stands in for them.
        echo "deb [trusted=yes] $uri bullseye main" >"$work/bullseye.list"
        apt-get -qq "${where[@]}" update
        (cd "$work" && apt-get -qq "${where[@]}" download consul)
        echo "e4e888bba104daba1d9161f49bfc52649a7e4efd45b1a7ead5bc54f2cb9c89d9 $(ls "$work"/consul_*.deb)" |
            sha256sum --check --quiet
    fi
    dpkg -x "$work"/consul_*.deb "$work/consul"
    mkdir -p "$into"
    mv "$work/consul/usr/bin/consul" "$into/consul.new"
    mv "$into/consul.new" "$into/consul"
}

if ! has consul; then
    cache=${XDG_CACHE_HOME:-$HOME/.cache}/consentinel/consul-1.8.7
    if [ ! -x "$cache/consul" ]; then
        say "fetching consul from Debian bullseye"
        fetch_consul "$cache"
    fi
    ln -sfn "$cache/consul" "$tools/consul"
    "$tools/consul" version >/dev/null || fail "the consul in $cache does not run"
fi
say "all there"
