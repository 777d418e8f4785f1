"""Threads that write through redis-py, with or without hiredis, while a planned failover takes place. Run by measure.py."""
import json
import os
import sys
import threading
import time

from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError, RedisError
from redis.retry import Retry
from redis.sentinel import Sentinel, SentinelManagedConnection
from redis.utils import HIREDIS_AVAILABLE

HELD = 0.005  # an answer that takes longer was held back by the server
seen = {}


class Watched(SentinelManagedConnection):
    """Notes how each write ended on the wire, before the library tries again."""

    flight = None
    written = False

    def send_command(self, *args, **options):
        self.flight = None
        super().send_command(*args, **options)
        if args and args[0] == "RPUSH":
            self.flight = (seen[args[1]], int(args[2]), time.monotonic())

    def read_response(self, *args, **options):
        flight, self.flight = self.flight, None
        try:
            reply = super().read_response(*args, **options)
            self.written |= flight is not None
            return reply
        except ConnectionError as error:
            if flight:
                worker, number, begin = flight
                if "previous master" in str(error):  # that is how it puts READONLY
                    late = time.monotonic() - begin > HELD
                    worker["Refused"].append(number)
                    worker["Held" if late else "Old" if self.written else "Misled"] += 1
                else:
                    worker["Unknown"].append(number)
            self.written = False
            raise


def write(client, worker, period, over):
    number, last = 0, None
    while not over.is_set():
        try:
            client.rpush(worker["List"], number)
            now = time.monotonic()
            worker["PauseMs"] = max(worker["PauseMs"], (now - (last or now)) * 1000)
            last = now
            worker["Accepted"].append(number)
        except RedisError:
            worker["Errors"] += 1
        number += 1
        time.sleep(period)


def main():
    kind, sentinels, count, period = sys.argv[1], sys.argv[2].split(","), int(sys.argv[3]), int(sys.argv[4]) / 1000
    assert HIREDIS_AVAILABLE == (kind == "hiredis"), "the other virtual environment"
    addresses = [(host, int(port)) for host, port in (address.split(":") for address in sentinels)]
    # Once as the library comes, once without its own retries.
    options = {"retry": Retry(NoBackoff(), 0)} if kind == "hiredis" else {}
    client = Sentinel(addresses, socket_timeout=10).master_for(
        "mymaster", connection_class=Watched, socket_timeout=10, **options
    )
    over, threads = threading.Event(), []
    for number in range(count):
        name = f"{kind}:{os.getpid()}:{number}"
        seen[name] = {"List": name, "Accepted": [], "Unknown": [], "Refused": [], "Held": 0, "Old": 0, "Misled": 0,
                      "Errors": 0, "PauseMs": 0.0}
        threads.append(threading.Thread(target=write, args=(client, seen[name], period, over)))
    for thread in threads:
        thread.start()
    print("started", flush=True)
    sys.stdin.read()
    over.set()
    for thread in threads:
        thread.join()
    print(json.dumps(list(seen.values())))


main()
