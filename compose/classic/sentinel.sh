#!/bin/sh
# redis-sentinel, with the file that ../sentinel/start.sh makes, apart from what only Consentinel knows.
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
END
    mv "$conf.new" "$conf"
fi
chown -R redis: /data
exec setpriv --reuid=redis --regid=redis --clear-groups redis-sentinel "$conf"
