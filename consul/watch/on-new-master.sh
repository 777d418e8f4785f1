#!/bin/sh
# A handler for `consul watch`: runs a command with the host and the port of the master, once for every new one.
#
#   consul watch -type=service -service=redis -passingonly=true \
#       /etc/consul.d/on-new-master.sh /var/lib/consul/redis-master /usr/local/bin/tell-my-program
#
# The first argument is a file in which it remembers whom it has told of, the others are the command. While there is no
# master, nothing is run: whoever has the last one is no worse off. When the command fails, the next change tries again.
# Needs jq.
set -eu
memory=$1
shift

master=$(jq -r 'if length == 1 then .[0] else empty end
    | "\(if .Service.Address == "" then .Node.Address else .Service.Address end) \(.Service.Port)"')
[ -n "$master" ] || exit 0
[ "$master" != "$(cat "$memory" 2>/dev/null || true)" ] || exit 0

# Two words by intention.
# shellcheck disable=SC2086
"$@" $master
printf '%s\n' "$master" >"$memory.new"
mv "$memory.new" "$memory"
