"""redis-py by DNS: address and port out of the SRV record of Consul, or of Consentinel's embedded DNS. No sentinel is asked.

    pip install redis dnspython
    DNS=127.0.0.1:8600 SERVICE=redis.service.consul python3 redis_py_srv.py       # then kill the master

REDIS_PASSWORD is the servers' password.
"""

import os
import sys

import dns.exception
import dns.resolver
import redis

from follow import follow

host, _, port = os.environ.get("DNS", "127.0.0.1:8600").rpartition(":")
service = os.environ.get("SERVICE", "redis.service.consul")
resolver = dns.resolver.Resolver(configure=False)
resolver.nameservers, resolver.port, resolver.lifetime = [host], int(port), 1


def master():
    """Who is master now. During a failover nobody is, and the name does not exist."""
    try:
        records = resolver.resolve(service, "SRV")
        # More than one are no answer: with script checks instead of Consentinel it happens.
        if len(records) != 1:
            raise redis.ConnectionError(f"{service} names {len(records)} masters")
        return resolver.resolve(records[0].target, "A")[0].address, records[0].port
    except dns.exception.DNSException as error:
        raise redis.ConnectionError(f"{service}: {error}") from error


class MasterConnection(redis.Connection):
    """Looks the name up whenever it connects: an address that was kept is the address of the old master."""

    def _connect(self):
        self.host, self.port = master()
        return super()._connect()


pool = redis.ConnectionPool(
    connection_class=MasterConnection,
    password=os.environ.get("REDIS_PASSWORD"),
    socket_timeout=1,
    socket_connect_timeout=1,
)
sys.exit(follow(redis.Redis(connection_pool=pool)))
