"""What the tests of the image and of the package have in common: a network with containers in it, and a writer."""
import atexit
import os
import subprocess
import sys
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "compose", "drill"))

from stage import Failed, free_net, run  # noqa: E402
from wire import Nothing, Redis, pairs  # noqa: E402

MACHINE = "consentinel-test-machine"


def say(text):
    print(text, flush=True)


def check(holds, text):
    """A line for what holds; the end for what does not."""
    if not holds:
        raise Failed(text)
    say(f"  ok    {text}")


def eventually(text, look, seconds=20):
    """Waits until `look` finds something, and returns that."""
    end = time.monotonic() + seconds
    last = None
    while time.monotonic() < end:
        try:
            found = look()
            if found:
                return found
        except (OSError, Failed, Nothing, ValueError, IndexError, KeyError) as error:
            last = error
        time.sleep(0.05)
    raise Failed(f"not within {seconds} s: {text}{f' ({last})' if last else ''}")


def ask(host, port, *words):
    with Redis(host, port) as connection:
        return connection.ask(*words)


def info(host, port, section):
    lines = ask(host, port, "INFO", section).splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line)


class Network:
    """A network of 198.19.0.0/16 with all that was started in it; `close` takes everything away."""

    def __init__(self, kind):
        self.net = free_net()
        self.name = f"consentinel-{kind}-{os.getpid()}"
        self.containers, self.volumes = [], []
        run(["docker", "network", "create", "--subnet", f"{self.net}.0/24", self.name])
        atexit.register(self.close)

    def start(self, name, image, *command, options=()):
        """Starts a container that answers to `name` in the network; returns how Docker calls it."""
        called = f"{self.name}-{name}"
        self.containers.append(called)
        run(["docker", "run", "-d", "--name", called, "--network", self.name, "--network-alias", name, *options, image, *command])
        return called

    def remove(self, called):
        run(["docker", "rm", "-f", "-v", called])
        self.containers.remove(called)

    def volume(self, name):
        called = f"{self.name}-{name}"
        run(["docker", "volume", "create", called])
        self.volumes.append(called)
        return called

    def address(self, called):
        return run(["docker", "inspect", "--format", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", called]).strip()

    def close(self):
        for words in (["rm", "-f", "-v", *self.containers], ["volume", "rm", "-f", *self.volumes], ["network", "rm", self.name]):
            if words[-1] not in ("-v", "-f"):
                subprocess.run(["docker", *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        self.containers, self.volumes = [], []


class Writer(threading.Thread):
    """Writes numbers to the master that a sentinel names, each acknowledged by a replica; asks again after every error."""

    def __init__(self, sentinels, master):
        super().__init__(daemon=True)
        self.sentinels, self.master = sentinels, master
        self.acknowledged, self.longest, self.stopped = [], 0.0, False

    def run(self):
        number, last, connection = 0, None, None
        while not self.stopped:
            number += 1
            try:
                if connection is None:
                    connection = self.connect()
                connection.ask("SET", f"n:{number}", str(number))
                if connection.ask("WAIT", "1", "300") >= 1:
                    self.acknowledged.append(number)
                    moment = time.monotonic()
                    self.longest = max(self.longest, moment - (last or moment))
                    last = moment
            except (OSError, Nothing, ValueError, IndexError, TypeError):
                connection = None
            time.sleep(0.005)

    def connect(self):
        for host, port in self.sentinels:
            try:
                found = ask(host, port, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.master)
            except (OSError, Nothing):
                continue
            if found:
                return Redis(found[0], int(found[1]), timeout=1)
        raise Nothing("no sentinel names a master")

    def finish(self, host, port):
        """Ends it, and tells what of the acknowledged is not on the master."""
        self.stopped = True
        self.join()
        with Redis(host, port) as connection:
            return [number for number in self.acknowledged if connection.ask("GET", f"n:{number}") != str(number)]


def stage(kind, body, tell):
    """Runs a test in a network of its own. Where something does not hold, `tell` says what a reader needs to see of it."""
    network = Network(kind)
    try:
        body(network)
    except Failed as error:
        sys.stderr.write(tell(network))
        sys.exit(f"{kind}-test: {error}")
    network.close()
