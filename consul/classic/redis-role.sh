#!/bin/sh
# A script check of the classic recipe: passes when the Redis server on a port of this host has a role.
#   redis-role.sh 6379 master
# Consul takes exit 0 for passing, 1 for warning and everything else for critical.
role=$(redis-cli -p "$1" INFO replication 2>&1 | tr -d '\r' | sed -n 's/^role://p')
echo "role: ${role:-no answer}"
[ "$role" = "$2" ] || exit 2
