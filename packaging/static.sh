# Sourced: the static program; `static_program` builds it and prints where it is.
#
# musl where its standard library and its compiler are there (rustup target add …-unknown-linux-musl; apt-get install musl-tools),
# else glibc's static archive: names are looked up all the same, by files and DNS. On a machine whose /etc/nsswitch.conf names
# plugins for hosts, that one would load the machine's own; musl never does.

is_static() {
    local headers
    headers=$(readelf -l "$1" 2>/dev/null) || fail "$1 is no program"
    ! grep -q INTERP <<<"$headers"
}

# STATIC_TARGET chooses another one; for another machine cargo must know its linker, as in docs/releasing.md.
static_target() {
    local host musl
    if [ -n "${STATIC_TARGET:-}" ]; then
        echo "$STATIC_TARGET"
        return
    fi
    host=$(rustc -vV | sed -n 's/^host: //p')
    musl=${host%-gnu}-musl
    if ls "$(rustc --print target-libdir --target "$musl")"/libstd-*.rlib >/dev/null 2>&1 && has musl-gcc; then
        echo "$musl"
    else
        echo "$host"
    fi
}

# A release, unless STATIC_PROFILE says otherwise: `demo` is built in a fraction of the time.
static_folder() { echo "${CARGO_TARGET_DIR:-target}/$(static_target)/${STATIC_PROFILE:-release}"; }

static_build() {
    local target
    target=$(static_target)
    RUSTFLAGS="${RUSTFLAGS:-} -C target-feature=+crt-static" \
        cargo build --profile "${STATIC_PROFILE:-release}" --locked --quiet --target "$target" "$@" >&2 || fail "the static program for $target cannot be built"
}

static_program() {
    static_build --bin consentinel
    echo "$(static_folder)/consentinel"
}
