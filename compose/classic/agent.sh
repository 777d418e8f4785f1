#!/bin/sh
# A Consul agent whose script checks find the password of Redis in their environment. The checks are copied at the first start:
# who takes them out of /consul/data/checks, and reloads the agent, has taken them out for good.
set -eu
REDISCLI_AUTH=$(cat /run/secrets/redis-password)
export REDISCLI_AUTH
if [ ! -d /consul/data/checks ]; then
    mkdir -p /consul/data/checks.new
    cp /etc/consul.d/*.hcl /consul/data/checks.new/
    mv /consul/data/checks.new /consul/data/checks
fi
exec consul "$@"
