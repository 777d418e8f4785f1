"""What clients see of a planned failover: which writes are answered, refused, or end without an answer.

    python3 tests/bench/held/measure.py --rounds 12 original after=target/release/consentinel before=/path/to/another

Five kinds of clients write at once: redis-py, redis-py with hiredis, redigo, and imitations of Jedis's JedisSentinelPool and
of Redisson on the wire. It needs what `just deps` installs, hiredis in a virtual environment of its own (--hiredis), and
Go with redigo (Debian: golang-go, golang-github-gomodule-redigo-dev).
"""
import argparse
import contextlib
import json
import os
import pathlib
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).parent
CACHE = HERE.parents[1] / ".cache"
KINDS = ["redis-py", "hiredis", "redigo", "jedis", "redisson"]
THREADS = 6
SENTINELS = SERVERS = 3
DOWN_AFTER = 5000
REDISSON_TIMEOUT = 3.0
A_TRY = 20  # seconds until a failover is ordered again
PATIENCE = 120


class Connection:
    """Just enough of the protocol."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), 30)
        self.file = self.socket.makefile("rb")

    def call(self, *words):
        words = [str(word).encode() for word in words]
        self.socket.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words))
        return self.read()

    def read(self):
        line = self.file.readline()
        if not line:
            raise OSError("the connection ended")
        kind, rest = line[:1], line[1:-2].decode()
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return None if rest == "-1" else self.file.read(int(rest) + 2)[:-2].decode()
        if kind == b"*":
            return None if rest == "-1" else [self.read() for _ in range(int(rest))]
        return rest

    def close(self):
        self.file.close()
        self.socket.close()


def call(port, *words):
    connection = Connection(port)
    try:
        return connection.call(*words)
    finally:
        connection.close()


def until(what, condition):
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            if found := condition():
                return found
        except OSError:
            pass  # it does not listen yet
        time.sleep(0.02)  # between two polls
    raise SystemExit(f"waited in vain: {what}")


def free_port(taken=set()):
    for port in range(30100, 32000):  # below the near ends of connections
        if port not in taken:
            taken.add(port)
            with socket.socket() as probe:
                try:
                    probe.bind(("127.0.0.1", port))
                    return port
                except OSError:
                    pass
    raise SystemExit("no port is free")


@contextlib.contextmanager
def workspace():
    """A folder for files and a list for processes: both are cleared away at the end."""
    root, processes = pathlib.Path(tempfile.mkdtemp(prefix="held-")), []
    try:
        yield root, processes
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            process.wait()
        shutil.rmtree(root, ignore_errors=True)


class Cluster:
    """A master, two replicas and three sentinels of one program."""

    def __init__(self, name, program, root, processes):
        self.name, self.root, self.processes = name, root / name, processes
        self.servers = [free_port() for _ in range(SERVERS)]
        for number, port in enumerate(self.servers):
            follows = f"replicaof 127.0.0.1 {self.servers[0]}\n" if number else ""
            lines = f'bind 127.0.0.1\nsave ""\nrepl-diskless-sync-delay 0\n{follows}'
            self.start(["redis-server"], port, lines)
        for port in self.servers:
            until("a server answers", lambda: call(port, "PING") == "PONG")
        self.sentinels = [free_port() for _ in range(SENTINELS)]
        for port in self.sentinels:
            lines = (f"bind 127.0.0.1\nsentinel monitor mymaster 127.0.0.1 {self.servers[0]} 2\n"
                     f"sentinel down-after-milliseconds mymaster {DOWN_AFTER}\n")
            self.start(program, port, lines)
        self.master = self.servers[0]
        until(f"{name} is settled", self.is_settled)

    def start(self, program, port, lines):
        home = self.root / str(port)
        home.mkdir(parents=True)
        config = home / "redis.conf"
        config.write_text(f"port {port}\ndir {home}\n{lines}")
        with open(home / "log", "wb") as log:
            command = ["setpriv", "--pdeathsig", "KILL", *program, str(config)]
            self.processes.append(subprocess.Popen(command, stdout=log, stderr=log))

    def named(self):
        return [int(call(port, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", "mymaster")[1]) for port in self.sentinels]

    def is_settled(self):
        def fields(entry):
            return dict(zip(entry[::2], entry[1::2]))

        def follows(port):
            info = call(port, "INFO", "replication")
            return f"master_port:{self.master}\r" in info and "master_link_status:up" in info

        def is_content(port):
            master = fields(call(port, "SENTINEL", "MASTER", "mymaster"))
            replicas = [fields(entry) for entry in call(port, "SENTINEL", "REPLICAS", "mymaster")]
            well = all(it["flags"] == "slave" and it["master-link-status"] == "ok" for it in replicas)
            known = (len(replicas), master["num-other-sentinels"]) == (SERVERS - 1, str(SENTINELS - 1))
            return well and known and master["flags"] == "master"

        return (set(self.named()) == {self.master} and all(follows(it) for it in self.servers if it != self.master)
                and all(map(is_content, self.sentinels)))

    def fail_over(self):
        old, ordered = self.master, time.monotonic() - 2 * A_TRY

        def new():
            nonlocal ordered
            if time.monotonic() > ordered + A_TRY:  # on a busy machine one may be given up
                ordered = time.monotonic()
                call(self.sentinels[0], "SENTINEL", "FAILOVER", "mymaster")
            named = set(self.named())
            return named.pop() if len(named) == 1 and old not in named else None

        self.master = until("all name a new master", new)
        until("all follow it", self.is_settled)

    def play(self, kinds, period, figures):
        call(self.master, "FLUSHALL")
        sentinels = ",".join(f"127.0.0.1:{port}" for port in self.sentinels)
        clients = {}
        for kind, program in kinds.items():
            command = [*program, kind, sentinels, str(THREADS), str(period)]
            clients[kind] = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for client in clients.values():
            assert client.stdout.readline() == "started\n"
        lists = [f"{kind}:{client.pid}:{number}" for kind, client in clients.items() for number in range(THREADS)]
        until("everybody writes", lambda: all(call(self.master, "LLEN", name) > 50 for name in lists))
        self.fail_over()
        time.sleep(REDISSON_TIMEOUT + 0.5)  # a command that got no answer is given up by then
        master = Connection(self.master)
        for kind, client in clients.items():
            workers = json.loads(client.communicate()[0])
            for worker in workers:
                kept = [int(number) for number in master.call("LRANGE", worker["List"], 0, -1)]
                figures.setdefault((kind, self.name), Figures()).add(worker, kept)
        master.close()


class Figures:
    def __init__(self):
        self.clients = self.unknown = self.held = self.older = self.misled = self.lost = 0
        self.pauses = []

    def add(self, worker, kept):
        accepted, unknown, refused = (set(worker[word] or []) for word in ("Accepted", "Unknown", "Refused"))
        assert not refused & set(kept) - accepted - unknown, "a write that was refused is there"
        self.clients += 1
        self.unknown += len(unknown)
        self.lost += len(accepted - set(kept))
        self.held += worker["Held"]
        self.older += worker["Old"]
        self.misled += worker["Misled"]
        self.pauses.append(worker["PauseMs"])

    def row(self, kind, name):
        pause = f"{statistics.median(self.pauses):.0f} / {max(self.pauses):.0f}"
        readonly = f"{self.held} / {self.older} / {self.misled}"
        return f"| {kind} | {name} | {self.clients} | {self.unknown} | {readonly} | {pause} | {self.lost} |"


def programs_of(args, root):
    sentinels = {}
    for word in args.programs:
        name, _, path = word.partition("=")
        sentinels[name] = [os.path.abspath(path)] if path else ["redis-sentinel"]
    kinds = {"redis-py": [str(CACHE / "venv/bin/python"), str(HERE / "clients.py")]}
    if args.hiredis:
        kinds["hiredis"] = [args.hiredis, str(HERE / "clients.py")]
    if shutil.which("go"):
        environment = {**os.environ, "GO111MODULE": "off", "GOPATH": "/usr/share/gocode"}
        built = str(root / "clients")
        subprocess.run(["go", "build", "-o", built, str(HERE / "clients.go")], env=environment, check=True)
        kinds.update({kind: [built] for kind in KINDS[2:]})
    return sentinels, kinds


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("programs", nargs="+", help="original, or name=path of a consentinel")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--period", type=int, default=5, help="milliseconds between two writes of a thread")
    parser.add_argument("--hiredis", help="the Python of an environment with redis-py and hiredis")
    args = parser.parse_args()
    figures = {}
    with workspace() as (root, processes):
        sentinels, kinds = programs_of(args, root)
        clusters = [Cluster(name, program, root, processes) for name, program in sentinels.items()]
        for number in range(args.rounds):
            for cluster in clusters:
                cluster.play(kinds, args.period, figures)
            print(f"round {number + 1}/{args.rounds}", file=sys.stderr)
        print("| client | sentinels | clients | writes without an answer | READONLY: held / at once, on a connection of before "
              "/ on a new one | pause, median / longest, ms | acknowledged and lost |\n" + "| --- " * 7 + "|")
        for kind in kinds:
            for name in sentinels:
                print(figures[kind, name].row(kind, name))


if __name__ == "__main__":
    main()
