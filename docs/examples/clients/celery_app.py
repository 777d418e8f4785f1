"""Celery with its broker and its results behind Sentinel.

    pip install celery redis
    export SENTINELS=10.0.0.1:26379,10.0.0.2:26379,10.0.0.3:26379
    celery -A celery_app worker --pool solo &
    python3 celery_app.py                                    # asks for sums without end; then kill the master

Let a supervisor start a worker again that has ended (systemd: Restart=always). In a planned switch a worker that waits for a task may be answered
UNBLOCKED, which Celery takes for an error that it cannot recover from; so it does with redis-sentinel.

MASTER is the name in sentinel.conf, REDIS_PASSWORD the servers' password. A task that was on its way when the master died may be
lost, or done twice: Redis replicates asynchronously, and Celery acknowledges late or early as `task_acks_late` says.
"""

import os
import sys
import time

import redis
from celery import Celery, exceptions
from kombu.exceptions import OperationalError

secret = f":{os.environ['REDIS_PASSWORD']}@" if "REDIS_PASSWORD" in os.environ else ""
addresses = os.environ.get("SENTINELS", "127.0.0.1:26379").split(",")
url = ";".join(f"sentinel://{secret}{address}/0" for address in addresses)
options = {
    "master_name": os.environ.get("MASTER", "mymaster"),
    "sentinel_kwargs": {"socket_timeout": 1, "socket_connect_timeout": 1},
}

app = Celery("celery_app", broker=url, backend=url)
app.conf.update(
    # A master that stands still, or whose network is gone, holds a worker for up to 51 s as Celery comes: its health check is for that. With
    # 2 it is 5 s.
    broker_transport_options={
        **options,
        "health_check_interval": 2,
        "socket_timeout": 5,
        "socket_connect_timeout": 1,
    },
    # The same for results; as Celery comes it is 120 s.
    result_backend_transport_options=options,
    redis_socket_timeout=5.0,
    redis_socket_connect_timeout=1.0,
    redis_backend_health_check_interval=2,
    # A failover takes as long as it takes.
    broker_connection_max_retries=None,
    broker_connection_retry_on_startup=True,
    # The caller tries again by itself, below.
    task_publish_retry=False,
    result_expires=3600,
)


@app.task
def add(left, right):
    """Any task."""
    return left + right


def total(left, right):
    """The sum, as a worker says it. It asks for it: get() waits for a message, and waits in vain at a master that stands still."""
    result = add.delay(left, right)
    end = time.monotonic() + 5
    while not result.ready():
        if time.monotonic() > end:
            raise exceptions.TimeoutError("no worker answered in 5 s")
        time.sleep(0.01)
    return result.get()


def main():
    """Asks until sums come back over another master than the first; 0 then, 1 when none do for two minutes."""
    first = last = complaint = None
    count = 0
    longest = 0.0
    end = time.monotonic() + 120
    while time.monotonic() < end:
        try:
            assert total(count, 1) == count + 1
            server = app.backend.client.info("server")
        except (redis.RedisError, OperationalError, exceptions.TimeoutError, OSError) as error:
            if str(error) != complaint:
                complaint = str(error)
                print("no sum:", type(error).__name__, complaint, flush=True)
            time.sleep(0.05)
            continue
        count += 1
        now = time.monotonic()
        longest = max(longest, now - last) if last else 0.0
        last = now
        if first is None:
            first = server["run_id"]
            print("writing to port", server["tcp_port"], flush=True)
        if server["run_id"] != first:
            print(f"followed to port {server['tcp_port']}: {count} sums, longest pause {longest * 1000:.0f} ms", flush=True)
            return 0
        time.sleep(0.02)
    print(f"did not follow: {count} sums", flush=True)
    return 1


if __name__ == "__main__":
    sys.exit(main())
