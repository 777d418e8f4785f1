#!/bin/sh
# A client-reconfig-script that writes the new master into an application's configuration and reloads it: for one that knows no sentinels, and
# has a way to read its file again.
#
#   sentinel client-reconfig-script mymaster /usr/local/bin/rewrite-config.sh
#
# TEMPLATE is the configuration with @HOST@ and @PORT@, CONFIG what the application reads, RELOAD the command of a shell. Call it yourself once
# at the beginning. A sentinel has to run beside the application; where none does, this is the same without one:
#
#   consentinel resolve redis.service.consul --watch --exec /usr/local/bin/rewrite-config.sh
#
# A sentinel repeats what fails with exit status 1, ten times (then its log has -script-error). Where it has a password, its environment
# needs REDISCLI_AUTH.
set -eu

# To be changed, here or by the environment.
template=${TEMPLATE:-/etc/shop/redis.conf.template}
config=${CONFIG:-/etc/shop/redis.conf}
reload=${RELOAD:-systemctl reload shop}
master=${MASTER:-mymaster}
sentinel=${SENTINEL_PORT:-26379}

# consentinel resolve says it. Of a sentinel the arguments are not read: a call that failed is repeated for hours, and may then be older than
# the last switch.
if [ -z "${REDIS_HOST:-}" ] || [ -z "${REDIS_PORT:-}" ]; then
    answer=$(redis-cli -p "$sentinel" SENTINEL GET-MASTER-ADDR-BY-NAME "$master" | paste -sd' ' -)
    REDIS_HOST=${answer% *} REDIS_PORT=${answer#* }
fi
# What a program reads gets nothing but an address.
case $REDIS_PORT in
    '' | *[!0-9]*)
        echo "rewrite-config: the sentinel on port $sentinel names no master of $master" >&2
        exit 1
        ;;
esac
case $REDIS_HOST in
    '' | *[!0-9A-Za-z.:_-]*)
        echo "rewrite-config: '$REDIS_HOST' is no address" >&2
        exit 2
        ;;
esac

# One at a time, in the same folder, with the rights of the old one, and by a rename: who reads has the old file or the new one, never a
# half.
exec 9>"$config.lock"
flock 9
trap 'rm -f "$config.new"' EXIT
if [ -e "$config" ]; then cp -p "$config" "$config.new"; fi
sed "s/@HOST@/$REDIS_HOST/g; s/@PORT@/$REDIS_PORT/g" "$template" >"$config.new"
mv "$config.new" "$config"

if ! sh -c "$reload" 9>&-; then
    echo "rewrite-config: $config names $REDIS_HOST:$REDIS_PORT, but this failed: $reload" >&2
    exit 1
fi
