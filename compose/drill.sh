#!/usr/bin/env bash
# Breaks a running set-up in many ways, and says what became of it.
#
#   bash compose/drill.sh                 all drills, about six minutes
#   bash compose/drill.sh --short         those that CI runs, three minutes
#   bash compose/drill.sh kill leader     these
#   bash compose/drill.sh classic         the same with redis-sentinel and Consul's script checks, to compare
#
# It needs the images: bash compose/base.sh where no registry can be reached, docker-compose build elsewhere. It starts a set-up
# of its own beside whatever runs, on free ports, in networks of 198.19.0.0/16, and takes it away again: containers, networks
# and volumes. Nothing outside of these is touched.
#
# The promises; the exit status is 0 only when all of them held:
#
#   - No answer of DNS names two masters.
#   - Once an agent has named the new master, no question to any agent is answered with the old one.
#   - Every agent that is not cut off itself names the new master within down-after and 2 s; where Consul's leader was killed,
#     too, within down-after and 8 s, as Consul must elect another one first. Where no agent answered anything for 300 ms
#     or more, which is Consul's or a busy machine's affair, the longest such time is added.
#   - Both applications write again within 2.5 s more. Their pause is the longest time between two acknowledged writes.
#   - No write is lost that one replica had acknowledged (WAIT 1), which is how `writer` writes. `shop` does not wait for replicas:
#     what the master had acknowledged and not yet replicated when it died may be lost, as with every Redis, and is counted.
#   - Where all daemons are restarted in turn nobody else is named, and no application waits for longer than two seconds.
#
# With `classic` broken promises are shown, and the exit status is 0 when the drills could be run.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { echo "drill: $*" >&2; }
. tests/fetch.sh
. compose/engine.sh

engine
has python3 || fail "python3 is missing: apt-get install python3"
for image in consentinel consentinel-application consentinel-shop; do
    docker image inspect "$image" >/dev/null 2>&1 ||
        fail "the image $image is missing: bash compose/base.sh, or ${compose[*]} -f compose/docker-compose.yml build"
done
exec python3 -B compose/drill --compose "${compose[*]}" "$@"
