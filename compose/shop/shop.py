"""An application as there are many: it knows one address of Redis, and reconnects when the connection is lost.

It says in one line what became of each write, like compose/application; the number of replicas is 0, as it waits for none.
"""
import os
import time

import redis

PERIOD = 0.010  # between two writes
KEPT = 900  # seconds


def main():
    with open(os.environ["PASSWORD_FILE"]) as file:
        password = file.read().strip()
    client = redis.Redis(host=os.environ["REDIS_HOST"], password=password, socket_timeout=2, socket_connect_timeout=2)
    run = int(time.time() * 1000)
    n = 0
    while True:
        n += 1
        key = f"shop:{run}:{n}"
        begin = time.monotonic()
        try:
            client.setex(key, KEPT, n)
        except redis.exceptions.ResponseError as error:
            tell("refused", key, error)
        except redis.exceptions.RedisError as error:
            tell("unknown", key, error)
        else:
            tell("ack", key, f"{(time.monotonic() - begin) * 1000:.0f} 0")
            with open("/tmp/acknowledged", "w") as file:
                file.write(str(n))
        time.sleep(max(0.0, begin + PERIOD - time.monotonic()))


def tell(what, key, more):
    print(what, key, int(time.time() * 1000), more, flush=True)


main()
