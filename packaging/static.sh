# Sourced: the static program, `static_program` prints where it is after building it. musl's standard library is what rustup
# brings and a distribution does not; glibc's own static archive does as well, as of 2.34 it looks names up without plugins.

is_static() {
    file_type=$(readelf -l "$1" 2>/dev/null) || fail "$1 is no program"
    ! grep -q INTERP <<<"$file_type"
}

static_target() { rustc -vV | sed -n 's/^host: //p'; }

static_program() {
    local target
    target=$(static_target)
    RUSTFLAGS="${RUSTFLAGS:-} -C target-feature=+crt-static" \
        cargo build --release --locked --quiet --bin consentinel --target "$target" >&2
    echo "${CARGO_TARGET_DIR:-target}/$target/release/consentinel"
}
