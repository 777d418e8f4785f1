#!/usr/bin/env bash
# Whether both kinds of compose take the files: docker-compose as it is here, and the plugin by the schema of the compose
# specification, which check-jsonschema brings.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { echo "compose: $*"; }
. tests/fetch.sh
. compose/engine.sh

engine
schema=tests/.cache/venv/bin/check-jsonschema
[ -x "$schema" ] || fail "check-jsonschema is missing: just deps"
"$schema" --builtin-schema vendor.compose-spec --quiet compose/docker-compose.yml compose/{classic,mixed}/*.yml

"${compose[@]}" -f compose/docker-compose.yml config -q
"${compose[@]}" -f compose/docker-compose.yml --profile metrics config -q
mixed=(-f compose/classic/docker-compose.yml)
"${compose[@]}" "${mixed[@]}" config -q
for file in compose/mixed/*.yml; do
    # As they are laid over each other: consul.yml is the last step, and the first name.
    [ "$file" = compose/mixed/consul.yml ] || mixed+=(-f "$file")
    "${compose[@]}" "${mixed[@]}" config -q
done
"${compose[@]}" "${mixed[@]}" -f compose/mixed/consul.yml config -q
for script in compose/*.sh compose/*/*.sh; do bash -n "$script"; done
say "the files are as both kinds of compose want them"
