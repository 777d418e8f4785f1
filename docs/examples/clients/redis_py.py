"""redis-py by its own Sentinel support.

    pip install redis
    SENTINELS=10.0.0.1:26379,10.0.0.2:26379,10.0.0.3:26379 python3 redis_py.py    # then kill the master

MASTER is the name in sentinel.conf, REDIS_PASSWORD the servers' password.
"""

import os
import sys

from redis.sentinel import Sentinel

from follow import follow, sentinels

# Without timeouts a master that stands still, or whose network is gone, holds the application for as long as TCP tries.
patience = {"socket_timeout": 1, "socket_connect_timeout": 1}

sentinel = Sentinel(sentinels(), sentinel_kwargs=patience, **patience)
# Made once, and kept: each new connection asks the sentinels again.
master = sentinel.master_for(os.environ.get("MASTER", "mymaster"), password=os.environ.get("REDIS_PASSWORD"))

sys.exit(follow(master))
