"""Many planned failovers, and whether a client that follows sentinels is ever led back to the old master.

    python3 tests/bench/held/hundred.py target/release/consentinel --rounds 100 --fsync 0 100 500

Two clients write every few milliseconds and ask a sentinel anew whenever they are refused or cut off. A READONLY on a
connection on which something was written before is the answer to a write that was held; on a new one it is a fault.
"""
import argparse
import os
import pathlib
import random
import statistics
import subprocess
import threading
import time

from measure import Cluster, Connection, call, workspace

SOURCE = pathlib.Path(__file__).parents[2] / "lab/slow_fsync.c"
CLIENTS = 2
PERIOD = 0.005


class SlowCluster(Cluster):
    """Its sentinels have disks that take their time."""

    def __init__(self, program, root, processes):
        self.library, self.delay = root / "slow_fsync.so", root / "delay"
        subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", self.library, SOURCE], check=True)
        self.delay.write_text("0")
        super().__init__("slow", [program], root, processes)

    def start(self, program, port, lines):
        if program != ["redis-server"]:
            program = ["env", f"LD_PRELOAD={self.library}", f"SLOW_FSYNC_FILE={self.delay}", *program]
        super().start(program, port, lines)


class Client(threading.Thread):
    """Writes where a sentinel says."""

    def __init__(self, number, cluster):
        super().__init__(daemon=True)
        self.number, self.cluster, self.over = number, cluster, False
        self.held = self.misled = self.cut = 0
        self.accepted, self.longest = [], 0.0

    def run(self):
        connection, written, last, count = None, False, time.monotonic(), 0
        while not self.over:
            try:
                if connection is None:
                    port = random.choice(self.cluster.sentinels)
                    named = call(port, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", "mymaster")
                    connection, written = Connection(int(named[1])), False
                count += 1
                key = f"{self.number}:{count}"
                if connection.call("SET", key, "1") == "OK":
                    now = time.monotonic()
                    self.accepted.append(key)
                    self.longest, last, written = max(self.longest, now - last), now, True
                else:
                    self.held, self.misled = self.held + written, self.misled + (not written)
                    connection = None
            except OSError:
                self.cut, connection = self.cut + 1, None
            time.sleep(PERIOD)


def play(cluster, rounds, delay):
    cluster.delay.write_text(str(delay))
    clients = [Client(number, cluster) for number in range(CLIENTS)]
    for client in clients:
        client.start()
    pauses, lost, accepted = [], 0, 0
    for _ in range(rounds):
        for client in clients:
            client.accepted, client.longest = [], 0.0
        time.sleep(20 * PERIOD)  # some are written before
        cluster.fail_over()
        keys = [key for client in clients for key in list(client.accepted)]
        pauses += [client.longest * 1000 for client in clients]
        accepted += len(keys)
        lost += len(keys) - call(cluster.master, "EXISTS", *keys)
    for client in clients:
        client.over = True
        client.join()
    held, misled, cut = (sum(getattr(client, it) for client in clients) for it in ("held", "misled", "cut"))
    print(f"| {delay} | {rounds} | {misled} | {held} | {cut} | {statistics.median(pauses):.0f} / {max(pauses):.0f} "
          f"| {lost} of {accepted} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", help="a consentinel")
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--fsync", type=int, nargs="+", default=[0, 100, 500], help="milliseconds")
    args = parser.parse_args()
    with workspace() as (root, processes):
        cluster = SlowCluster(os.path.abspath(args.program), root, processes)
        print("| fsync, ms | planned failovers | READONLY on a new connection | to a held write | cut off without an answer "
              "| pause, median / longest, ms | acknowledged and lost |\n" + "| --- " * 7 + "|")
        for delay in args.fsync:
            play(cluster, args.rounds, delay)


if __name__ == "__main__":
    main()
