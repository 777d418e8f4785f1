#!/usr/bin/env bash
# Programs out of the Debian archive without installing them, for tests/deps.sh and tests/demo.sh: they source this. Called
# by itself, `bash tests/fetch.sh consul FOLDER` and `bash tests/fetch.sh redis FOLDER` put a program there.

has() { command -v "$1" >/dev/null 2>&1; }
declare -F say >/dev/null || say() { echo "$*"; }
fail() { say "$*" >&2; exit 1; }

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

# A package of bullseye, unpacked into $work/root of the caller. The sum is that of the file, for machines that lack the keys
# of so old a release.
unpack_bullseye() {
    local package=$1 sum=$2 uri keys where
    has apt-get || fail "missing $package, and there is no apt-get here: install it by hand"
    uri=$(debian_archive | head -n 1)
    [ -n "$uri" ] || fail "no Debian archive in apt's source lists: install $package by hand"
    keys=$(ls /usr/share/keyrings/debian-archive-{keyring,removed-keys,bullseye-stable}.gpg 2>/dev/null | paste -sd, || true)
    chmod 755 "$work"
    mkdir -p "$work/lists/partial" "$work/cache/archives/partial"
    where=(-o "Dir::Etc::SourceList=$work/bullseye.list" -o Dir::Etc::SourceParts=/dev/null
        -o "Dir::State::Lists=$work/lists" -o "Dir::Cache=$work/cache"
        -o Acquire::Check-Valid-Until=false -o Acquire::Languages=none -o APT::Sandbox::User=)
    echo "deb [signed-by=$keys] $uri bullseye main" >"$work/bullseye.list"
    if ! apt-get -qq "${where[@]}" update || ! (cd "$work" && apt-get -qq "${where[@]}" download "$package"); then
        echo "deb [trusted=yes] $uri bullseye main" >"$work/bullseye.list"
        apt-get -qq "${where[@]}" update
        (cd "$work" && apt-get -qq "${where[@]}" download "$package")
        echo "$sum $(ls "$work/${package}"_*.deb)" | sha256sum --check --quiet
    fi
    dpkg -x "$work/${package}"_*.deb "$work/root"
}

# Later Debians have no Consul; bullseye's runs on them as it is.
fetch_consul() {
    local into=$1 work
    work=$(mktemp -d)
    trap 'rm -rf "$work"' RETURN
    unpack_bullseye consul e4e888bba104daba1d9161f49bfc52649a7e4efd45b1a7ead5bc54f2cb9c89d9
    mkdir -p "$into"
    mv "$work/root/usr/bin/consul" "$into/consul.new"
    mv "$into/consul.new" "$into/consul"
}

# A Redis server as this machine's release has it, with the libraries that the machine lacks. Nothing is installed, and no
# service is started.
fetch_redis() {
    local into=$1 work names name lists=(-o APT::Sandbox::User= -o Acquire::Languages=none)
    has apt-get && has dpkg || fail "there is no apt-get here to fetch a Redis server with"
    work=$(mktemp -d)
    trap 'rm -rf "$work"' RETURN
    if ! apt-get -s -qq "${lists[@]}" install --no-install-recommends redis-server >"$work/plan" 2>/dev/null; then
        # No lists of packages yet, as in a fresh container: lists of our own, which need no root.
        mkdir -p "$work/lists/partial" "$work/cache/archives/partial"
        lists+=(-o "Dir::State::Lists=$work/lists" -o "Dir::Cache=$work/cache")
        apt-get -qq "${lists[@]}" update
        apt-get -s -qq "${lists[@]}" install --no-install-recommends redis-server >"$work/plan"
    fi
    # The C library is the machine's own: another one would not fit its loader.
    names=$(sed -n 's/^Inst \([^ ]*\).*/\1/p' "$work/plan" | grep -vx 'libc6\|libc-bin' || true)
    [ -n "$names" ] || fail "redis-server is installed, but not on PATH"
    (cd "$work" && apt-get -qq "${lists[@]}" download $names)
    rm -rf "$into.new"
    mkdir -p "$into.new/root"
    for name in "$work"/*.deb; do dpkg -x "$name" "$into.new/root"; done
    # Other libraries are looked for where these would be installed.
    cat >"$into.new/redis-server" <<'END'
#!/bin/sh
root=${0%/*}/root
for folder in "$root"/usr/lib/*-linux-gnu "$root"/lib/*-linux-gnu; do
    LD_LIBRARY_PATH=$folder${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
done
export LD_LIBRARY_PATH
exec "$root/usr/bin/redis-server" "$@"
END
    chmod 755 "$into.new/redis-server"
    "$into.new/redis-server" --version >/dev/null || fail "the Redis server of this release does not run from a folder"
    rm -rf "$into"
    mv "$into.new" "$into"
}

if [ "${BASH_SOURCE[0]}" = "$0" ]; then
    set -euo pipefail
    case ${1:-} in
        consul | redis) "fetch_$1" "${2:?name the folder}" ;;
        *) fail "bash tests/fetch.sh consul|redis FOLDER" ;;
    esac
fi
