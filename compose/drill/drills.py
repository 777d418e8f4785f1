"""What is broken, and how it is mended. Each drill gets the stage when all is well, and `mend` must lead back to that."""
import threading
import time

import wire
from watch import now

# How long a condition is waited for.
DEADLINE = 40


class Drill:
    """`begin` breaks something and says when; `mend` makes it whole again."""

    title = ""
    # Whether another server must be named afterwards.
    fails_over = True
    # Milliseconds that DNS may take beyond down-after.
    allowed = 2000
    # Whether Consentinel decides what DNS says: if not, nothing is promised of DNS, and of pauses.
    published = True
    # Agents whose DNS is not expected to answer while it lasts.
    cut_agents = ()

    def __init__(self, stage):
        self.stage = stage
        self.notes = []
        self.master = stage.master()

    def timed(self, order):
        """Docker does not do it in an instant: counted from before it."""
        moment = order()
        self.notes.append(f"Docker took {now() - moment:.0f} ms for it")
        return moment

    @property
    def victim(self):
        return f"redis-{self.master}"

    def begin(self):
        raise NotImplementedError

    def mend(self):
        raise NotImplementedError


class Kill(Drill):
    """The master's process ends without a word."""

    title = "kill the master"

    def begin(self):
        return self.stage.killing(self.victim)()

    def mend(self):
        self.stage.restart_dead(self.victim)


class Pause(Drill):
    """The master stands still: its connections stay open, and nobody answers on them. Later it goes on where it was."""

    title = "pause the master"

    def begin(self):
        return self.timed(self.stage.ordering("pause", self.stage.container(self.victim)))

    def mend(self):
        self.stage.docker("unpause", self.victim)


class Cut(Drill):
    """The master loses its network, with everything that was under way, and runs on. Later it comes back at its address."""

    title = "cut its network"

    @property
    def service(self):
        """The container that holds the network: in the classic set-up that of the agent beside the server."""
        if self.stage.kind == "consentinel":
            return self.victim
        self.cut_agents = (f"agent-{self.master}",)
        return f"agent-{self.master}"

    def begin(self):
        return self.timed(self.stage.cutting("redis", self.service))

    def mend(self):
        self.stage.mend("redis", self.service, self.stage.redis_address(self.master))


class ConsulServer(Drill):
    """The leader of Consul's servers dies, and the Redis master in the same moment: the failover must not wait for Consul, and
    DNS can follow as soon as Consul has another leader."""

    title = "kill Consul's leader with it"
    allowed = 8000

    def begin(self):
        leader = self.stage.consul("/v1/status/leader").split(":")[0]
        self.server = f"consul-{leader.rsplit('.', 1)[1][-1]}"
        self.notes.append(f"{self.server} led")
        kill_server, kill_victim = self.stage.killing(self.server), self.stage.killing(self.victim)
        moment = kill_server()
        kill_victim()
        return moment

    def mend(self):
        self.stage.restart_dead(self.server)
        self.stage.restart_dead(self.victim)


class CutDaemon(Drill):
    """One daemon, the one that holds the lock, is cut off from Consul, and only from it. Then the master dies: if the cut one leads
    the failover it cannot publish it, and the others must."""

    title = "cut a daemon from Consul, kill"

    def begin(self):
        self.cut = self.lock_holder()
        self.cut_agents = (f"agent-{self.cut}",)
        kill = self.stage.killing(self.victim)
        self.stage.cutting("consul", f"agent-{self.cut}")()
        self.notes.append(f"sentinel-{self.cut} was cut off")
        return kill()

    def lock_holder(self):
        key = self.stage.consul("/v1/kv/consentinel/mymaster/lock")[0]
        session = self.stage.consul(f"/v1/session/info/{key['Session']}")[0]
        return int(session["Node"].rsplit("-", 1)[1])

    def mend(self):
        self.stage.mend("consul", f"agent-{self.cut}", f"{self.stage.net}.15{self.cut}")
        self.stage.restart_dead(self.victim)


class KillLeader(Drill):
    """The sentinel that leads the failover is killed in the middle of it: as soon as it says that it was elected."""

    title = "kill the leader in mid-failover"

    def begin(self):
        self.said, self.leader, self.ready = [], None, 0
        kill = self.stage.killing(self.victim)
        for n in self.stage.hosts:
            arguments = (n, self.stage.killing(f"sentinel-{n}"))
            threading.Thread(target=self.listen, args=arguments, daemon=True).start()
        deadline = time.monotonic() + DEADLINE
        while self.ready < 3:
            if time.monotonic() > deadline:
                raise wire.Nothing("not all sentinels let us follow their events")
            time.sleep(0.01)
        return kill()

    def listen(self, n, kill):
        try:
            with wire.Redis(self.stage.hosts[n], 26379, timeout=DEADLINE) as sentinel:
                sentinel.ask("PSUBSCRIBE", "*")
                self.ready += 1
                while True:
                    _, _, event, _ = sentinel.read()
                    if event == "+elected-leader" and self.leader is None:
                        self.leader = n
                        kill()
                        self.said.append((now(), n, "killed"))
                    self.said.append((now(), n, event))
        except (wire.Nothing, OSError):
            pass

    def mend(self):
        if self.leader is None:
            self.notes.append("no leader was seen")
        else:
            told = [event for _, n, event in self.said if n == self.leader]
            others = [event for _, n, event in self.said if n != self.leader]
            self.notes.append(
                f"sentinel-{self.leader} was killed; last said: {told[-1]}; "
                f"{others.count('+elected-leader')} more elected"
            )
            self.stage.restart_dead(f"sentinel-{self.leader}")
        self.stage.restart_dead(self.victim)


class Recreate(Drill):
    """The container of a daemon is made anew, at another address and without its volume: it is a new sentinel, and the old one must
    be forgotten by the others. That it is of use is shown by the death of the master."""

    title = "a daemon anew, elsewhere, kill"
    where = 27

    def begin(self):
        stage = self.stage
        with stage.sentinel(3) as sentinel:
            identity = sentinel.ask("SENTINEL", "MYID")
        stage.replace_daemon(3, self.where, keep=False)
        deadline = time.monotonic() + DEADLINE
        for n in (1, 2):
            self.forget(n, identity, deadline)
        stage.wait_well(self.dns, DEADLINE)
        with stage.sentinel(3) as sentinel:
            self.notes.append("a new identity" if sentinel.ask("SENTINEL", "MYID") != identity else "THE SAME identity")
        return stage.killing(self.victim)()

    def forget(self, n, identity, deadline):
        """A sentinel that answers cannot be forgotten, so the others must have noticed first that it is gone."""
        while True:
            try:
                with self.stage.sentinel(n) as sentinel:
                    known = [wire.pairs(peer) for peer in sentinel.ask("SENTINEL", "SENTINELS", "mymaster")]
                    if all(peer["runid"] != identity for peer in known):
                        return
                    sentinel.ask("SENTINEL", "FORGET", "mymaster", identity)
                    return
            except wire.Nothing:
                if time.monotonic() > deadline:
                    raise
            time.sleep(0.2)

    def mend(self):
        self.stage.restart_dead(self.victim)
        self.stage.wait_well(self.dns, DEADLINE)
        # Back to its first address, with its volume: the same sentinel at another address.
        self.stage.replace_daemon(3, 23, keep=True)


class Rolling(Drill):
    """All daemons are restarted, one after the other. Nobody may notice."""

    title = "restart all daemons in turn"
    fails_over = False

    def begin(self):
        moment = now()
        for n in self.stage.hosts:
            self.stage.docker("restart", f"sentinel-{n}")
            self.stage.wait_well(self.dns, DEADLINE)
        return moment

    def mend(self):
        pass


ALL = {
    "kill": Kill,
    "pause": Pause,
    "cut": Cut,
    "consul": ConsulServer,
    "cut-daemon": CutDaemon,
    "leader": KillLeader,
    "recreate": Recreate,
    "rolling": Rolling,
}
SHORT = ["kill", "cut", "rolling"]
CLASSIC = ["kill", "pause", "cut"]
