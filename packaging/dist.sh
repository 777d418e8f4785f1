#!/usr/bin/env bash
# `just dist`: what is given to others, in target/dist: the static program, built twice in different folders with the same result,
# its symbols apart, a bill of materials, licences, checksums. It builds what is committed, and takes its time.
#
#   bash packaging/dist.sh [FOLDER]
set -euo pipefail
cd "$(dirname "$0")/.."

say() { echo "dist: $*"; }
. tests/fetch.sh
. packaging/static.sh

for tool in git cargo python3 objcopy strip xz tar sha256sum; do has $tool || fail "$tool is missing"; done
[ -z "$(git status --porcelain --untracked-files=no)" ] ||
    fail "there are changes that are not committed: what is built is what git has, so commit them first"
into=$(realpath -m "${1:-${CARGO_TARGET_DIR:-target}/dist}")
target=$(static_target)
version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH LC_ALL=C TZ=UTC CARGO_INCREMENTAL=0
umask 022

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# In a folder of its own, from what is committed; no path of this machine gets into the program.
build() {
    local folder=$1
    mkdir -p "$folder"
    git archive HEAD | tar -x -C "$folder"
    (
        cd "$folder"
        unset CARGO_TARGET_DIR
        RUSTFLAGS="--remap-path-prefix=$folder=/source --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo"
        RUSTFLAGS="$RUSTFLAGS --remap-path-prefix=$(rustc --print sysroot)=/rust"
        # The C of the cryptography has paths in its debug information, too.
        CFLAGS="-ffile-prefix-map=$folder=/source -ffile-prefix-map=${CARGO_HOME:-$HOME/.cargo}=/cargo"
        export RUSTFLAGS CFLAGS
        static_program >/dev/null
    )
    mv "$folder/target/$target/release/consentinel" "$folder.program"
    rm -rf "$folder"
}

say "building once"
build "$work/one"
say "building again, in another folder"
build "$work/a/second/folder"
first=$(sha256sum <"$work/one.program")
second=$(sha256sum <"$work/a/second/folder.program")
[ "$first" = "$second" ] || fail "two builds of the same source differ: $first and $second"
say "both are ${first%% *}"
is_static "$work/one.program" || fail "the program is not static"
if grep -aqF -e "$HOME/" -e "$work" "$work/one.program"; then fail "a path of this machine is in the program"; fi

name=consentinel-$version-$target
rm -rf "$into"
mkdir -p "$work/$name/man" "$work/$name/completions" "$into"
program=$work/$name/consentinel
cp "$work/one.program" "$program"
objcopy --only-keep-debug "$program" "$work/consentinel.debug"
strip "$program"
# Where a debugger finds them: beside the program, under this name.
(cd "$work" && objcopy --add-gnu-debuglink=consentinel.debug "$program")
"$program" man --dir "$work/$name/man"
for shell in bash zsh fish; do "$program" completions $shell >"$work/$name/completions/consentinel.$shell"; done
cp README.md CHANGELOG.md LICENSE-MIT LICENSE-APACHE docs/sentinel.conf packaging/deb/*.service "$work/$name/"
python3 packaging/dependencies.py "$target" "$into/$name.cdx.json" "$work/$name/LICENCES.txt"
pack() {
    tar -C "$work" --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner --format=ustar -c "$2" | xz -9 -T1 >"$into/$1"
}
pack "$name.tar.xz" "$name"
pack "$name-symbols.tar.xz" consentinel.debug
(cd "$into" && sha256sum -- * >SHA256SUMS && cat SHA256SUMS)
say "$into"
