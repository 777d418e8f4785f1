"""The containers of one run: started, looked at, broken, and taken away with everything that belongs to them."""
import json
import os
import signal
import socket
import subprocess
import time
import urllib.request

import wire
from watch import now

FOLDER = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PORTS = [f"PORT_{what}_{n}" for what in ("CONSUL", "DNS", "STATUS") for n in (1, 2, 3)] + ["PORT_PROXY"]


class Failed(Exception):
    """The run cannot go on."""


class Stage:
    def __init__(self, kind, compose, down_after):
        self.kind = kind
        self.project = f"consentinel-drill-{os.getpid()}"
        self.command = [*compose, "-p", self.project]
        self.overlays = []
        self.environment = dict(os.environ, DOWN_AFTER=str(down_after), COMPOSE_IGNORE_ORPHANS="1")
        self.down_after = down_after
        with open(self.environment.get("REDIS_PASSWORD_FILE") or f"{FOLDER}/redis/password") as file:
            self.password = file.read().strip()
        self.environment["CONSENTINEL_NET"] = self.net = free_net()
        for port in PORTS:
            self.environment[port] = str(free_port())
        classic = kind in ("classic", "mixed")
        self.name = "master.redis.service.consul" if classic else "redis.service.consul"
        self.file = f"{FOLDER}/classic/docker-compose.yml" if classic else f"{FOLDER}/docker-compose.yml"
        self.environment["NAME"] = self.name
        # In the classic set-up the agents are on the machines of the Redis servers.
        self.agents = {f"agent-{n}": int(self.environment[f"PORT_DNS_{n}"]) for n in (1, 2, 3)}
        self.hosts = {n: f"{self.net}.2{n}" for n in (1, 2, 3)}

    # Docker

    def compose(self, *words):
        files = [self.file, *self.overlays]
        command = [*self.command, *(word for file in files for word in ("-f", file)), *words]
        return run(command, self.environment)

    def container(self, service):
        found = run(["docker", "ps", "-aq", *self.labelled(), "--filter", f"label=com.docker.compose.service={service}"]).split()
        if len(found) != 1:
            raise Failed(f"{len(found)} containers of {service} where one was expected")
        return found[0]

    def labelled(self):
        return ["--filter", f"label=com.docker.compose.project={self.project}"]

    def docker(self, what, service, *words):
        run(["docker", *what.split(), *words, self.container(service)])

    def execute(self, service, *words):
        run(["docker", "exec", self.container(service), *words])

    def process(self, service):
        """The first process of a container, as the host numbers it."""
        return int(run(["docker", "inspect", "--format", "{{.State.Pid}}", self.container(service)]))

    def killing(self, service):
        """Kills when it is called, and returns when that was. At once, where we may: `docker kill` takes a tenth of a second.
        It stays dead until it is started: Docker would restart it."""
        process, container = self.process(service), self.container(service)
        run(["docker", "update", "--restart", "no", container])

        def kill():
            moment = now()
            try:
                os.kill(process, signal.SIGKILL)
            except (PermissionError, ProcessLookupError):
                # Not ours to kill, or in a virtual machine of Docker's.
                run(["docker", "kill", container])
            return moment

        return kill

    def cutting(self, network, service):
        """Disconnects when it is called, and returns when that was begun."""
        return self.ordering("network disconnect", f"{self.project}_{network}", self.container(service))

    def ordering(self, what, *words):
        def order():
            moment = now()
            run(["docker", *what.split(), *words])
            return moment

        return order

    def mend(self, network, service, address):
        name = f"{self.project}_{network}"
        run(["docker", "network", "connect", "--ip", address, "--alias", service, name, self.container(service)])

    def lines(self, service, begin):
        """What an application has said since, give or take a second."""
        command = ["docker", "logs", "--since", f"{begin / 1000 - 1:.3f}", self.container(service)]
        return run(command).splitlines()

    def up(self):
        self.compose("up", "-d")

    def down(self):
        """Everything away. What is left then is said."""
        self.compose("down", "-v", "--timeout", "3")
        left = [
            *run(["docker", "ps", "-aq", *self.labelled()]).split(),
            *run(["docker", "network", "ls", "-q", *self.labelled()]).split(),
            *run(["docker", "volume", "ls", "-q", *self.labelled()]).split(),
        ]
        if left:
            raise Failed(f"`down -v` has left behind: {' '.join(left)}")

    def restart_dead(self, service):
        container = self.container(service)
        run(["docker", "update", "--restart", "unless-stopped", container])
        run(["docker", "start", container])

    def replace_daemon(self, n, host, keep):
        """The daemon and the agent beside it in new containers; `host` is the last number of the address."""
        services = [f"sentinel-{n}", f"agent-{n}"]
        self.compose("rm", "-fs", *services)
        if not keep:
            run(["docker", "volume", "rm", *(f"{self.project}_{service}" for service in services)])
        self.environment[f"HOST_{n}"] = str(host)
        self.hosts[n] = f"{self.net}.{host}"
        self.compose("up", "-d", "--no-deps", services[1])
        self.compose("up", "-d", "--no-deps", services[0])

    # Who is there

    def redis_address(self, n):
        return f"{self.net}.1{n}"

    def service_at(self, address):
        """redis-2 for 198.18.5.12:6379."""
        host = address.rsplit(":", 1)[0]
        for n in (1, 2, 3):
            if host == self.redis_address(n):
                return f"redis-{n}"
        return address

    def redis(self, n):
        return wire.Redis(self.redis_address(n), 6379, self.password)

    def sentinel(self, n):
        return wire.Redis(self.hosts[n], 26379)

    def consul(self, path, agent=1):
        port = self.environment[f"PORT_CONSUL_{agent}"]
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=2) as answer:
                return json.load(answer)
        except (OSError, ValueError) as error:
            raise wire.Nothing(f"Consul of agent-{agent}: {error}") from None

    def master(self):
        """As all three sentinels say; the number of the server."""
        said = set()
        for n in self.hosts:
            with self.sentinel(n) as sentinel:
                said.add(tuple(sentinel.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "mymaster")))
        if len(said) != 1:
            raise wire.Nothing(f"the sentinels name {sorted(said)}")
        ((host, _),) = said
        return next(n for n in (1, 2, 3) if self.redis_address(n) == host)

    def trouble(self, dns):
        """What is not as it should be; nothing when all is well."""
        try:
            master = self.master()
            for n in self.hosts:
                with self.sentinel(n) as sentinel:
                    state = wire.pairs(sentinel.ask("SENTINEL", "MASTER", "mymaster"))
                    if state["flags"] != "master":
                        return f"sentinel-{n}: the master is {state['flags']}"
                    peers = [wire.pairs(peer) for peer in sentinel.ask("SENTINEL", "SENTINELS", "mymaster")]
                    if sorted(peer["flags"] for peer in peers) != ["sentinel"] * 2:
                        return f"sentinel-{n}: its peers are {[peer['flags'] for peer in peers]}"
                    replicas = [wire.pairs(replica) for replica in sentinel.ask("SENTINEL", "REPLICAS", "mymaster")]
                    if [(r["flags"], r["master-link-status"]) for r in replicas] != [("slave", "ok")] * 2:
                        return f"sentinel-{n}: the replicas are {[r['flags'] for r in replicas]}"
            for n in (1, 2, 3):
                with self.redis(n) as redis:
                    role = redis.ask("ROLE")
                    if n == master and (role[0] != "master" or len(role[2]) != 2):
                        return f"redis-{n} is {role[0]} with {len(role[2])} replicas"
                    if n != master and (role[0] != "slave" or role[3] != "connected"):
                        return f"redis-{n} is {role[0]}"
            if not self.consul("/v1/status/leader") or len(self.consul("/v1/status/peers")) != 3:
                return "Consul has not three servers and a leader"
            if any(member["Status"] != 1 for member in self.consul("/v1/agent/members") if member["Status"] != 3):
                return "Consul misses an agent"
            if self.kind == "consentinel" and len(self.consul("/v1/health/service/redis-replica?passing")) != 2:
                return "Consul does not name two healthy replicas"
        except (wire.Nothing, KeyError, StopIteration) as nothing:
            return f"no answer: {nothing}"
        wanted = [f"{self.redis_address(master)}:6379"]
        for agent in self.agents:
            sample = dns.latest.get(agent)
            if sample is None or sample.named != wanted:
                said = sample and (sample.failure or sample.named)
                return f"{agent} answers {said}, not {wanted}"
        return self.silent_application()

    def silent_application(self, moment=None):
        """Which application has acknowledged nothing since that moment, or in the last second."""
        moment = moment or time.time() * 1000 - 1000
        for service in ("writer", "shop"):
            if not any(line.startswith("ack ") and int(line.split()[2]) >= moment for line in self.lines(service, moment)):
                return f"no write of {service} was acknowledged"
        return None

    def wait_well(self, dns, seconds):
        """Until nothing is wrong, twice in a row."""
        deadline = time.monotonic() + seconds
        well = 0
        while True:
            trouble = self.trouble(dns)
            well = 0 if trouble else well + 1
            if well == 2:
                return
            if time.monotonic() > deadline:
                raise Failed(f"not well after {seconds} s: {trouble}")
            time.sleep(0.2)


def run(command, environment=None):
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        raise Failed(f"{' '.join(command)}: {done.stderr.strip()[-2000:]}")
    return done.stdout


def free_port():
    """Free for TCP and UDP."""
    for _ in range(100):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as tcp, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            tcp.bind(("127.0.0.1", 0))
            port = tcp.getsockname()[1]
            try:
                udp.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise Failed("no port is free for TCP and UDP")


def free_net():
    """A /24 of the addresses that are set aside for tests of this kind, which no other network of Docker has."""
    taken = ""
    networks = run(["docker", "network", "ls", "-q"]).split()
    if networks:
        taken = run(["docker", "network", "inspect", "--format", "{{range .IPAM.Config}}{{.Subnet}} {{end}}", *networks])
    for third in range(256):
        net = f"198.19.{(os.getpid() + third) % 256}"
        if f"{net}." not in taken:
            return net
    raise Failed("198.19.0.0/16 is full of networks: docker network prune")
