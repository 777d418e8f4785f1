#!/usr/bin/env bash
# `just deb`: makes the Debian package around a program that was built already.
#
#   bash packaging/deb/build.sh [--program FILE] [--version VERSION] [--into FOLDER]
#
# Without --program it is target/release/consentinel; what it needs of the C library stands in the package's dependencies.
set -euo pipefail
cd "$(dirname "$0")/../.."

say() { echo "deb: $*"; }
. tests/fetch.sh

target=${CARGO_TARGET_DIR:-target}
program=$target/release/consentinel
version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
into=$target/debian
while [ $# -gt 0 ]; do
    case $1 in
        --program) program=$2 ;;
        --version) version=$2 ;;
        --into) into=$2 ;;
        *) fail "bash packaging/deb/build.sh [--program FILE] [--version VERSION] [--into FOLDER]" ;;
    esac
    shift 2
done
[ -x "$program" ] || fail "$program is missing: cargo build --release --bin consentinel"
for tool in dpkg-deb dpkg-shlibdeps gzip strip; do
    has $tool || fail "$tool is missing: apt-get install dpkg-dev binutils gzip"
done
# What git knows when this was written, so that the same source makes the same package.
: "${SOURCE_DATE_EPOCH:=$(git log -1 --format=%ct 2>/dev/null || stat -c %Y Cargo.lock)}"
export SOURCE_DATE_EPOCH

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root
umask 022
files=packaging/deb
doc=$root/usr/share/doc/consentinel

install -D -m 755 "$program" "$root/usr/bin/consentinel"
strip "$root/usr/bin/consentinel"
install -D -m 644 -t "$root/lib/systemd/system" $files/consentinel.service $files/consentinel-proxy@.service
install -D -m 640 $files/sentinel.conf "$root/etc/consentinel/sentinel.conf"
install -d "$root/etc/consentinel/proxy"
install -D -m 644 $files/logrotate "$root/etc/logrotate.d/consentinel"
install -D -m 644 -t "$doc/examples" $files/proxy.conf docs/metrics/alerts.yml docs/metrics/dashboard.json
install -m 644 docs/configuration.md docs/operating.md docs/packages.md docs/proxy.md "$doc"
{
    echo "Copyright: the authors of Consentinel. Licence: MIT or Apache-2.0, at your option."
    echo "The text of Apache-2.0 is in /usr/share/common-licenses/Apache-2.0."
    echo
    cat LICENSE-MIT
} >"$doc/copyright"
install -m 644 CHANGELOG.md "$doc/changelog"

install -d "$root/usr/share/man/man1" "$root/usr/share/bash-completion/completions" \
    "$root/usr/share/zsh/vendor-completions" "$root/usr/share/fish/vendor_completions.d"
"$program" man --dir "$root/usr/share/man/man1"
"$program" completions bash >"$root/usr/share/bash-completion/completions/consentinel"
"$program" completions zsh >"$root/usr/share/zsh/vendor-completions/_consentinel"
"$program" completions fish >"$root/usr/share/fish/vendor_completions.d/consentinel.fish"
gzip -9n "$root"/usr/share/man/man1/*.1 "$doc"/*.md "$doc/changelog"

# dpkg-shlibdeps wants to stand beside a source package.
mkdir -p "$work/debian" "$root/DEBIAN"
printf 'Source: consentinel\n\nPackage: consentinel\nArchitecture: any\n' >"$work/debian/control"
libraries=$(cd "$work" && dpkg-shlibdeps -O "$root/usr/bin/consentinel" 2>"$work/log" | sed -n 's/^shlibs:Depends=//p') ||
    { cat "$work/log" >&2; fail "dpkg-shlibdeps cannot tell what the program needs"; }
cat >"$root/DEBIAN/control" <<END
Package: consentinel
Version: $version
Section: database
Priority: optional
Architecture: $(dpkg --print-architecture)
Depends: adduser, init-system-helpers (>= 1.52)${libraries:+, $libraries}
Suggests: logrotate, consul
Installed-Size: $(du -sk "$root" | cut -f 1)
Maintainer: the authors of Consentinel
Description: Redis Sentinel that publishes into Consul
 Watches Redis masters and replicas, agrees with its peers that a master is
 gone, and promotes a replica. It takes the place of redis-sentinel file for
 file, and joins a quorum of the real thing. Every failover is published into
 Consul in one transaction, or answered over DNS by itself.
END
printf '%s\n' /etc/consentinel/sentinel.conf /etc/logrotate.d/consentinel >"$root/DEBIAN/conffiles"
install -m 755 -t "$root/DEBIAN" $files/postinst $files/prerm $files/postrm
(cd "$root" && find . -type f ! -path './DEBIAN/*' -printf '%P\0' | LC_ALL=C sort -z | xargs -0 md5sum) >"$root/DEBIAN/md5sums"

mkdir -p "$into"
package=$into/consentinel_${version}_$(dpkg --print-architecture).deb
find "$root" -newermt "@$SOURCE_DATE_EPOCH" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
dpkg-deb --root-owner-group --build -Zxz "$root" "$package" >/dev/null
say "$package"
