#!/bin/sh
# A Redis server whose configuration is made once, at the first start: what sentinels change in it later stays.
set -eu

conf=/data/redis.conf
if [ ! -e "$conf" ]; then
    password=$(cat /run/secrets/redis-password)
    case $password in
        '' | *[!A-Za-z0-9_.~+/=-]*)
            echo "the password must be of A-Z a-z 0-9 and _.~+/=- : change the file of the secret redis-password" >&2
            exit 1 ;;
    esac
    umask 077
    cat >"$conf.new" <<END
dir /data
appendonly yes
save ""
requirepass $password
masterauth $password
# A replica that is turned to a new master gets its data at once.
repl-diskless-sync-delay 0
END
    [ -z "${REPLICA_OF:-}" ] || echo "replicaof $REPLICA_OF 6379" >>"$conf.new"
    mv "$conf.new" "$conf"
fi
chown -R redis: /data
exec setpriv --reuid=redis --regid=redis --clear-groups redis-server "$conf"
