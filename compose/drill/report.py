"""What one drill came to, what was promised, and the table of all of them."""
import time

from stage import Failed
from watch import now

# After DNS names the new master an application has so long for its first write.
RESUME = 2500

# Where nothing fails over no application may wait for longer; what a busy machine takes is in it.
QUIET = 2000

# Without any answer of DNS for so long the time is added to what is allowed.
SILENCE = 300


class Outcome:
    def __init__(self, drill, fault, stage, old):
        self.drill, self.fault, self.stage, self.old = drill, fault, stage, old
        self.writes = {}
        self.broken = []
        self.first = self.last = None
        self.story = self.two = self.back = ""
        self.wavered = False
        # Milliseconds in which no agent answered at all: Consul, or the whole machine, was busy with something else.
        self.stall = 0

    def wait_for_next(self, dns, seconds):
        """Until every agent that can answers with another master."""
        deadline = time.monotonic() + seconds
        agents = [agent for agent in self.stage.agents if agent not in self.drill.cut_agents]
        while not all(self.is_next(dns.latest.get(agent)) for agent in agents):
            if time.monotonic() > deadline:
                said = {agent: sample.failure or sample.named for agent, sample in dns.latest.items()}
                raise Failed(f"{self.drill.title}: no other master in DNS after {seconds} s: {said}")
            time.sleep(0.005)

    def is_next(self, sample):
        return sample is not None and sample.asked > self.fault and bool(sample.named) and self.old not in sample.named

    def wait_for_applications(self, seconds):
        """Until both have written after the switch."""
        moment, deadline = now(), time.monotonic() + seconds
        while self.stage.silent_application(moment):
            if time.monotonic() > deadline:
                raise Failed(f"{self.drill.title}: {self.stage.silent_application(moment)}, {seconds} s after the switch")
            time.sleep(0.05)

    def dns(self, samples, latest):
        """Reads the answers since the fault."""
        samples = sorted(samples, key=lambda sample: sample.answered)
        agents = [agent for agent in self.stage.agents if agent not in self.drill.cut_agents]
        firsts = {}
        for sample in samples:
            if self.is_next(sample):
                firsts.setdefault(sample.agent, sample.answered)
        if self.drill.fails_over:
            self.first = min(firsts.values()) - self.fault
            self.last = max(firsts[agent] for agent in agents) - self.fault
        self.stall = self.longest_silence(samples)
        two = [sample for sample in samples if sample.named and len(sample.named) > 1]
        if two:
            self.two = f"two masters in {len(two)} answers, {self.after(two[0])}-{self.after(two[-1])} ms"
        # A question that was asked after somebody had heard of the new master must not be answered with the old one.
        known = min(firsts.values(), default=float("inf"))
        back = [sample for sample in samples if sample.asked > known and sample.named and self.old in sample.named]
        if back:
            self.back = f"the old master in {len(back)} answers, the last after {self.after(back[-1])} ms"
        self.wavered = any(sample.named != [self.old] for sample in samples if sample.named is not None)
        self.story = self.tell(samples, agents)

    def longest_silence(self, samples):
        end = self.fault + (self.last or 0)
        answers = [sample.answered for sample in samples if sample.named is not None and sample.answered <= end]
        silences = [later - earlier for earlier, later in zip([self.fault, *answers], [*answers, end])]
        silence = max(silences)
        return silence if silence >= SILENCE else 0

    def tell(self, samples, agents):
        """What changed in the answers of all agents together, and when."""
        said, words, told = {}, [], None
        for sample in samples:
            if sample.agent not in agents:
                continue
            said[sample.agent] = sample.failure and "no answer" or self.named(sample)
            if len(said) == len(agents):
                now_said = sorted(set(said.values()))
                if now_said != told:
                    words.append((self.after(sample), " | ".join(now_said)))
                    told = now_said
        return words

    def named(self, sample):
        return "+".join(self.stage.service_at(address) for address in sample.named) or "nobody"

    def after(self, sample):
        return int(sample.answered - self.fault)

    def judge(self):
        """The promises, as compose/drill.sh states them."""
        self.broken += self.judge_writes()
        if self.drill.published:
            self.broken += self.judge_dns()

    def judge_writes(self):
        for application, writes in self.writes.items():
            lost = len(writes.lost & writes.guarded)
            if lost:
                yield f"{lost} writes of {application} lost that a replica had acknowledged"

    def judge_dns(self):
        if self.two:
            yield self.two
        paused = QUIET
        if self.drill.fails_over:
            allowed = self.stage.down_after + self.drill.allowed + int(self.stall)
            paused = allowed + RESUME
            if self.back:
                yield self.back
            if self.last > allowed:
                yield f"DNS took {self.last:.0f} ms, {allowed} are allowed"
        elif self.wavered:
            yield "DNS said something else than the one master"
        for application, writes in self.writes.items():
            if writes.pause > paused:
                yield f"{application} waited {writes.pause} ms, {paused} are allowed"

    def line(self):
        what = "as promised" if not self.broken else "BROKEN: " + "; ".join(self.broken)
        return f"{self.drill.title}: {what}"

    def details(self):
        yield f"{self.drill.title}{''.join(f'; {note}' for note in self.drill.notes)}"
        shown = self.story if len(self.story) <= 14 else [*self.story[:13], (self.story[-1][0], f"... {self.story[-1][1]}")]
        for moment, said in shown:
            yield f"    {moment:6} ms  {said}"
        if self.stall and self.drill.fails_over:
            yield f"    for {self.stall:.0f} ms no agent answered anything; that is added to what is allowed"
        for application, writes in self.writes.items():
            lost, guarded = len(writes.lost), len(writes.lost & writes.guarded)
            yield (
                f"    {application}: {len(writes.acknowledged)} acknowledged ({len(writes.guarded)} by a replica, too), {lost} lost "
                f"({guarded} of those that a replica had), {writes.unknown} unknown, {writes.refused} refused"
            )
            if writes.lost:
                moments = sorted(writes.acknowledged[key] - self.fault for key in writes.lost)
                yield f"        the lost ones were acknowledged from {moments[0]:.0f} to {moments[-1]:.0f} ms"
        for broken in self.broken:
            yield f"    BROKEN: {broken}"


HEAD = ["drill", "DNS first", "DNS all", "two", "back", "writer", "lost", "pause", "shop", "lost", "pause", "promises"]


def table(kind, down_after, outcomes):
    """Milliseconds after the fault; of the writes those that were acknowledged."""
    rows = [HEAD]
    for outcome in outcomes:
        row = [outcome.drill.title]
        row += ["-" if value is None else f"{value:.0f}" for value in (outcome.first, outcome.last)]
        row += ["yes" if outcome.two else "no", "yes" if outcome.back and outcome.drill.fails_over else "no"]
        for application in ("writer", "shop"):
            writes = outcome.writes[application]
            row += [str(len(writes.acknowledged)), str(len(writes.lost)), str(writes.pause)]
        rows.append(row + ["broken" if outcome.broken else "held"])
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    lines = [f"{kind}, down-after {down_after} ms; milliseconds after the fault", ""]
    for number, row in enumerate(rows):
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:]))]
        lines.append("| " + " | ".join(cells) + " |")
        if number == 0:
            lines.append("|" + "|".join("-" * (width + 2) for width in widths) + "|")
    lines.append("")
    for outcome in outcomes:
        lines += [*outcome.details(), ""]
    return "\n".join(lines)
