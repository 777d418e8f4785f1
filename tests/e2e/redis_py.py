"""An application that uses redis-py's Sentinel. It obeys the lines on its input, and answers each with a line."""

import sys

from redis.sentinel import Sentinel

NAME = "mymaster"


def main(ports, password, protocol):
    patience = {"socket_timeout": 0.5, "socket_connect_timeout": 0.5, "protocol": int(protocol)}
    secret = {"password": password} if password else {}
    sentinel = Sentinel(
        [("127.0.0.1", int(port)) for port in ports.split(",")],
        sentinel_kwargs={**patience, **secret},
        **patience,
    )
    # An application makes these once, and lives with them.
    master, replica = sentinel.master_for(NAME), sentinel.slave_for(NAME)
    obey = {
        "master": lambda: sentinel.discover_master(NAME)[1],
        "replicas": lambda: ports_of(sentinel.discover_slaves(NAME)),
        "write": lambda key, value: master.set(key, value),
        "read": lambda key: replica.get(key).decode(),
        # An error when there is none; what is said besides redis-py does not understand.
        "quorum": lambda: len([one.sentinel_ckquorum(NAME) for one in sentinel.sentinels]),
        "known": lambda: look_around(sentinel.sentinels[0]),
    }
    for line in sys.stdin:
        word, *arguments = line.split()
        try:
            print(obey[word](*arguments), flush=True)
        except Exception as error:
            line = error.__traceback__.tb_next.tb_lineno if error.__traceback__.tb_next else 0
            print(type(error).__name__, error, "in line", line, flush=True)


def ports_of(addresses):
    return ",".join(sorted(str(port) for _, port in addresses))


def look_around(sentinel):
    """What the commands for operators say, as redis-py understands them."""
    group = sentinel.sentinel_master(NAME)
    assert sentinel.sentinel_masters()[NAME]["port"] == group["port"]
    assert group["is_master"] and not group["is_odown"], group
    replicas, peers = sentinel.sentinel_slaves(NAME), sentinel.sentinel_sentinels(NAME)
    assert all(one["is_slave"] and one["master-port"] for one in replicas), replicas
    assert all(one["is_sentinel"] for one in peers), peers
    assert sentinel.sentinel_get_master_addr_by_name(NAME)[1] == group["port"]
    info = sentinel.info("sentinel")
    assert info["master0"]["name"] == NAME and info["master0"]["sentinels"] == len(peers) + 1, info
    return f"{group['num-slaves']} {len(replicas)} {len(peers)} quorum {group['quorum']}"


main(*sys.argv[1:])
