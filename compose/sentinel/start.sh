#!/bin/sh
# A daemon whose configuration is made once, at the first start: what it learns is written into it.
set -eu

conf=/data/sentinel.conf
if [ ! -e "$conf" ]; then
    umask 077
    cat >"$conf.new" <<END
port 26379
sentinel monitor mymaster $MASTER 6379 2
sentinel auth-pass mymaster $(cat /run/secrets/redis-password)
sentinel down-after-milliseconds mymaster $DOWN_AFTER
sentinel failover-timeout mymaster 10000
sentinel parallel-syncs mymaster 2
# Beside Consul's: it answers also while Consul cannot.
sentinel dns-bind 0.0.0.0:8653
sentinel http-bind 0.0.0.0:8654
sentinel consul address http://127.0.0.1:8500
END
    mv "$conf.new" "$conf"
fi
chown -R consentinel: /data
# The address is said here, not in the file: it may be another one after the container is made anew.
exec setpriv --reuid=consentinel --regid=consentinel --clear-groups consentinel "$conf" --sentinel announce-ip "$ANNOUNCE"
