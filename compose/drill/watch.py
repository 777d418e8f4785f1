"""What is seen from outside while something breaks: DNS, by asking without end, and the applications, by their logs."""
import threading
import time

import wire

# Between two questions to one agent, and how long one may take.
PERIOD = 0.02
PATIENCE = 0.5


def now():
    """Milliseconds, by the clock that the applications' lines are written with."""
    return time.time() * 1000


class Sample:
    """One question: when it was sent, when the answer was there, and what it was: addresses, or a word in `failure`."""

    __slots__ = ("agent", "asked", "answered", "named", "failure")

    def __init__(self, agent, asked, named, failure):
        self.agent, self.asked, self.answered, self.named, self.failure = agent, asked, now(), named, failure

    def same(self, other):
        return other is not None and self.named == other.named and self.failure == other.failure


class Dns:
    """Asks each agent again and again, and keeps every answer."""

    def __init__(self, ports, name):
        self.name = name
        self.samples = []
        self.latest = {}
        self.ended = threading.Event()
        self.threads = [threading.Thread(target=self.ask, args=(agent, port), daemon=True) for agent, port in ports.items()]
        for thread in self.threads:
            thread.start()

    def ask(self, agent, port):
        while not self.ended.wait(PERIOD):
            asked = now()
            try:
                sample = Sample(agent, asked, wire.masters(port, self.name, PATIENCE), None)
            except wire.Nothing as nothing:
                sample = Sample(agent, asked, None, str(nothing))
            self.samples.append(sample)
            self.latest[agent] = sample

    def end(self):
        self.ended.set()
        for thread in self.threads:
            thread.join()

    def since(self, moment):
        return [sample for sample in self.samples if sample.asked >= moment]


class Writes:
    """What one application said of its writes within a window."""

    def __init__(self, lines, begin, end):
        self.acknowledged, self.guarded, self.lost = {}, set(), set()
        self.unknown = self.refused = 0
        self.pause = 0
        last = begin
        for line in lines:
            # A line that was cut off is not a line.
            words = line.split()
            if len(words) < 4 or words[0] not in ("ack", "unknown", "refused") or not words[2].isdigit():
                continue
            what, key, moment = words[0], words[1], int(words[2])
            if not begin <= moment <= end:
                continue
            if what == "ack":
                self.acknowledged[key] = moment
                if int(words[4]) >= 1:
                    self.guarded.add(key)
                self.pause = max(self.pause, moment - last)
                last = moment
            elif what == "unknown":
                self.unknown += 1
            else:
                self.refused += 1
        self.pause = max(self.pause, end - last)

    def look_for(self, redis):
        """Which acknowledged writes the master of the end does not have."""
        keys = sorted(self.acknowledged)
        for at in range(0, len(keys), 500):
            part = keys[at : at + 500]
            for key, there in zip(part, redis.ask_all([("EXISTS", key) for key in part])):
                if not there:
                    self.lost.add(key)
