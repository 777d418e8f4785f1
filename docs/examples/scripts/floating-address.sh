#!/bin/sh
# A client-reconfig-script that moves a floating address to the host of the master. The same file on every host that has a Redis server and
# a sentinel:
#
#   sentinel client-reconfig-script mymaster /usr/local/bin/floating-address.sh
#
# After each switch every sentinel runs it on its own host, and each looks only after that host: the one whose server is the master takes the
# address, all others give it up. Call it yourself once at the beginning and after each boot (a unit of systemd with
# After=redis-sentinel.service), as the address does not outlive one.
#
# It needs ip, arping (iputils-arping), redis-cli, and CAP_NET_ADMIN with CAP_NET_RAW: under systemd AmbientCapabilities=CAP_NET_ADMIN CAP_NET_RAW.
# redis-sentinel and Consentinel call it alike. Where the sentinel has a password, its environment needs REDISCLI_AUTH.
#
# What it cannot do: a host whose network is cut keeps the address until its network is back and its sentinel hears of the new master. In
# that moment two hosts have it, and clients beside the old one may write to it. It does not cross routers, and most clouds let no
# address float. ../README.md has the way without any script.
set -eu

# To be changed, here or by the environment.
address=${FLOATING_ADDRESS:-10.0.0.100/24}
interface=${FLOATING_INTERFACE:-eth0}
master=${MASTER:-mymaster}
sentinel=${SENTINEL_PORT:-26379}

# The arguments are not read: a call that failed is repeated for hours, and may then be older than the last switch.
host=$(redis-cli -p "$sentinel" SENTINEL GET-MASTER-ADDR-BY-NAME "$master" | head -n 1)
if [ -z "$host" ]; then # exit status 1: try again
    echo "floating-address: the sentinel on port $sentinel names no master of $master" >&2
    exit 1
fi

here() { ip -o address show to "$1" | grep -q .; }

if here "$host"; then
    here "${address%/*}" || ip address add "$address" dev "$interface"
    # Neighbours still know it at the old host's hardware address.
    arping -q -U -c 2 -I "$interface" "${address%/*}"
elif here "${address%/*}"; then
    ip address del "$address" dev "$interface"
fi
