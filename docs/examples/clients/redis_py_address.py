"""redis-py that knows one address and nothing else: a name in DNS, a floating address, or a proxy.

    pip install redis
    python3 redis_py_address.py redis.service.consul:6379    # the system's resolver asks Consul: consul/README.md
    python3 redis_py_address.py 127.0.0.1:6379               # consentinel proxy, HAProxy, nginx
    python3 redis_py_address.py 10.0.0.100:6379              # scripts/floating-address.sh

REDIS_PASSWORD is the servers' password.
"""

import os
import sys

import redis

from follow import follow

host, _, port = (sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:6379").rpartition(":")
client = redis.Redis(
    host=host,
    port=int(port),
    password=os.environ.get("REDIS_PASSWORD"),
    socket_timeout=1,
    socket_connect_timeout=1,
)
sys.exit(follow(client))
