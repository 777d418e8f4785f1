"""From redis-sentinel to Consentinel, container by container, while both applications write: the steps of compose/mixed."""
import time

import wire
from drills import DEADLINE, Kill, Rolling
from stage import FOLDER
from watch import now


def overlay(name):
    return f"{FOLDER}/mixed/{name}.yml"


class Step(Rolling):
    """Nobody else is named meanwhile, and no application waits for longer than two seconds."""

    def replace(self, n):
        self.stage.compose("up", "-d", "--no-deps", f"sentinel-{n}")
        self.stage.wait_well(self.dns, DEADLINE)


class ReplaceTwo(Step):
    """Two of three sentinels become Consentinel, with their volumes."""

    title = "two of three are replaced"

    def begin(self):
        moment = now()
        for n in (1, 2):
            self.stage.overlays.append(overlay(f"sentinel-{n}"))
            self.replace(n)
        return moment


class KillInBetween(Kill):
    """The master dies while the quorum is mixed, and Consul's script checks say who is master."""

    title = "kill, in a mixed quorum"
    published = False


class ReplaceLast(Step):
    """The third one is replaced."""

    title = "the third is replaced"

    def begin(self):
        moment = now()
        self.stage.overlays.append(overlay("sentinel-3"))
        self.replace(3)
        return moment


class Publish(Step):
    """The daemons publish, and then the script checks are taken out."""

    title = "publish, without checks"

    def begin(self):
        moment = now()
        self.stage.overlays.append(overlay("consul"))
        for n in self.stage.hosts:
            self.replace(n)
        self.wait_published()
        for n in self.stage.hosts:
            command = "rm /consul/data/checks/redis.hcl && consul reload"
            self.stage.execute(f"agent-{n}", "sh", "-c", command)
        # From now on all is well only when Consul names two replicas, which the checks did not do.
        self.stage.kind = "consentinel"
        self.stage.wait_well(self.dns, DEADLINE)
        return moment

    def wait_published(self):
        """Until Consul has the entry of the daemons: the checks may go then."""
        deadline = time.monotonic() + DEADLINE
        while not self.stage.consul("/v1/health/service/redis?passing&tag=mymaster"):
            if time.monotonic() > deadline:
                raise wire.Nothing("the daemons publish no master")
            time.sleep(0.1)


class KillAfterwards(Kill):
    """The master dies, and the daemons say who is next."""

    title = "kill, when all is moved"


STEPS = {
    "replace-two": ReplaceTwo,
    "kill-mixed": KillInBetween,
    "replace-last": ReplaceLast,
    "publish": Publish,
    "kill-moved": KillAfterwards,
}
