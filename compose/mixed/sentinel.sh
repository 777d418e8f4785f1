#!/bin/sh
# Consentinel with the file of redis-sentinel. What only Consentinel knows is said here, so that the way back is open: the
# original refuses a file with such lines.
set -eu
chown -R consentinel: /data
exec setpriv --reuid=consentinel --regid=consentinel --clear-groups \
    consentinel /data/sentinel.conf --sentinel announce-ip "$ANNOUNCE" ${CONSUL:+--consul "$CONSUL"}
