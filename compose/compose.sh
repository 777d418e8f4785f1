#!/usr/bin/env bash
# `just compose`: makes the images that are missing, starts everything, and tells where it is and how long it took.
#
#   bash compose/compose.sh [up|down|metrics]
set -euo pipefail
cd "$(dirname "$0")/.."

say() { echo "compose: $*"; }
. tests/fetch.sh
. compose/engine.sh

begin=$(date +%s)
took() { echo "$(($(date +%s) - begin)) s"; }
port=${PORT_DNS_1:-8600}
name=redis.service.consul

engine
compose+=(-p "${COMPOSE_PROJECT_NAME:-consentinel}" -f compose/docker-compose.yml)
grafana=${GRAFANA_IMAGE:-grafana/grafana:10.4.19}
# What is started besides. To name a service of a profile is enough.
more=()
case ${1:-up} in
    down)
        "${compose[@]}" --profile metrics down -v
        exit ;;
    metrics)
        more=(prometheus)
        # Grafana has no package in Debian: that image must come from a registry.
        if docker image inspect "$grafana" >/dev/null 2>&1 || docker pull -q "$grafana" >/dev/null 2>&1; then
            more+=(grafana)
        else
            say "$grafana cannot be had here: Prometheus is started without it"
        fi ;;
    up) ;;
    *) fail "bash compose/compose.sh [up|down|metrics]" ;;
esac

bash compose/base.sh ${more[@]+metrics}
say "the images are there after $(took)"
"${compose[@]}" up -d
[ ${#more[@]} = 0 ] || "${compose[@]}" up -d "${more[@]}"
deadline=$(($(date +%s) + 120))
if has dig; then
    ask() { dig +short +tries=1 +time=1 "@127.0.0.1" -p "$port" "$name" SRV | grep -v '^;;' | grep .; }
else
    ask() { "${compose[@]}" exec -T proxy consentinel resolve --dns "${CONSENTINEL_NET:-10.213.77}.21:8600" "$name"; }
fi
until answer=$(ask); do
    [ "$(date +%s)" -lt "$deadline" ] ||
        fail "DNS names no master after two minutes: ${compose[*]} ps, and ${compose[*]} logs sentinel-1"
    sleep 0.1
done
say "the first right answer of DNS, after $(took): $answer"
cat <<END

  dig @127.0.0.1 -p $port $name SRV
  status page    http://127.0.0.1:${PORT_STATUS_1:-8654}/  ${PORT_STATUS_2:-8664}  ${PORT_STATUS_3:-8674}
  Consul         http://127.0.0.1:${PORT_CONSUL_1:-8500}/ui/
  the proxy      REDISCLI_AUTH=\$(cat compose/redis/password) redis-cli -p ${PORT_PROXY:-16379}
  break it       ${compose[*]} kill redis-1; then ask again, and look at the page
  take it away   bash compose/compose.sh down, or: just compose down
END
