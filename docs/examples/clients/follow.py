"""What the redis-py files here have in common: write without end, and say when the writes have moved to another server."""

import os
import time

import redis

PERIOD = 0.01  # seconds between two writes
DEADLINE = 60  # seconds for the whole try
ENOUGH = 20  # writes on the new server


def follow(client):
    """Writes the key `example`; 0 when another server than the first has taken writes, 1 when none has in time."""
    first = last = complaint = None
    count = moved = 0
    longest = 0.0
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        try:
            client.set("example", count + 1)
            server = client.info("server")
        except redis.RedisError as error:
            if str(error) != complaint:
                complaint = str(error)
                print("no write:", type(error).__name__, complaint, flush=True)
            time.sleep(PERIOD)
            continue
        count += 1
        now = time.monotonic()
        longest = max(longest, now - last) if last else 0.0
        last = now
        if first is None:
            first = server["run_id"]
            print("writing to port", server["tcp_port"], flush=True)
        if server["run_id"] != first:
            moved += 1
            if moved == ENOUGH:
                print(f"followed to port {server['tcp_port']}: {count} writes, longest pause {longest * 1000:.0f} ms", flush=True)
                return 0
        time.sleep(PERIOD)
    print(f"did not follow in {DEADLINE} s: {count} writes", flush=True)
    return 1


def sentinels():
    """The addresses of SENTINELS, as redis-py wants them."""
    words = os.environ.get("SENTINELS", "127.0.0.1:26379").split(",")
    return [(host, int(port)) for host, _, port in (word.rpartition(":") for word in words)]
