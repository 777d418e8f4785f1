"""Breaks what runs in the compose files, and says what became of it. See compose/drill.sh."""
import argparse
import signal
import sys
import time

import drills
import moving
import wire
from report import Outcome, table
from stage import Failed, Stage
from watch import Dns, Writes, now

# Of each application, before something is broken.
WRITES_BEFORE = 200

EVERY = {
    "consentinel": drills.ALL,
    "classic": {name: drills.ALL[name] for name in drills.CLASSIC},
    "mixed": moving.STEPS,
    "metrics": {},
}


def arguments():
    parser = argparse.ArgumentParser(prog="compose/drill.sh", description=__doc__)
    parser.add_argument(
        "what",
        nargs="*",
        help=f"drills: {', '.join(drills.ALL)}; `classic` before them: with redis-sentinel. `mixed`: from that to this. "
        "`metrics`: dashboard and alerts on a real Prometheus",
    )
    parser.add_argument("--short", action="store_true", help="the few that CI runs")
    parser.add_argument("--down-after", type=int, default=1000, metavar="MS")
    parser.add_argument("--keep", action="store_true", help="leave the containers running at the end")
    parser.add_argument("--compose", default="docker-compose", help=argparse.SUPPRESS)
    words = parser.parse_args()
    words.kind = words.what.pop(0) if words.what[:1] in (["classic"], ["mixed"], ["metrics"]) else "consentinel"
    every = EVERY[words.kind]
    if words.what and words.kind in ("mixed", "metrics"):
        parser.error(f"the steps of {words.kind} belong together: none can be named")
    names = words.what or (drills.SHORT if words.short else list(every))
    for name in names:
        if name not in every:
            parser.error(f"no drill {name!r} with {words.kind}: there are {', '.join(every)}")
    words.drills = [every[name] for name in names]
    return words


def say(text):
    print(f"drill: {text}", file=sys.stderr, flush=True)


def main():
    words = arguments()
    stage = Stage("consentinel" if words.kind == "metrics" else words.kind, words.compose.split(), words.down_after)
    dns, outcomes = None, []
    try:
        say(f"starting {stage.project} in {stage.net}.0/24")
        begin = now()
        stage.up()
        dns = Dns(stage.agents, stage.name)
        stage.wait_well(dns, 180)
        first = next(sample for sample in dns.samples if sample.named)
        say(f"DNS names the master {(first.answered - begin) / 1000:.1f} s after the first container was ordered; all is well")
        if words.kind == "metrics":
            return tell_wrong(metrics(stage).check(dns))
        for drill in words.drills:
            outcomes.append(play(stage, dns, drill))
        print(table(words.kind, stage.down_after, outcomes))
    except (Failed, wire.Nothing, KeyboardInterrupt) as error:
        say(f"FAILED: {str(error) or 'interrupted'}")
        tell_state(stage)
        return 1
    finally:
        if dns:
            dns.end()
        if words.keep:
            say(f"left running: {' '.join(stage.command)}")
        else:
            stage.down()
            say("containers, networks and volumes are gone")
    return 1 if any(outcome.broken for outcome in outcomes) and words.kind != "classic" else 0


def play(stage, dns, kind):
    """One drill, from a state in which all is well to another."""
    drill = kind(stage)
    drill.dns = dns
    say(f"{drill.title}: {drill.__doc__.splitlines()[0]}")
    old = f"{stage.redis_address(drill.master)}:6379"
    begin = now()
    wait_for_writes(stage, begin)
    fault = drill.begin()
    outcome = Outcome(drill, fault, stage, old)
    if drill.fails_over:
        outcome.wait_for_next(dns, drills.DEADLINE)
        outcome.wait_for_applications(drills.DEADLINE)
    drill.mend()
    stage.wait_well(dns, 2 * drills.DEADLINE)
    end = now()
    outcome.dns(dns.since(fault), dns.latest)
    for application in ("writer", "shop"):
        writes = Writes(stage.lines(application, begin), begin, end)
        with stage.redis(stage.master()) as redis:
            writes.look_for(redis)
        outcome.writes[application] = writes
    outcome.judge()
    say(outcome.line())
    return outcome


def wait_for_writes(stage, begin):
    """What was acknowledged just before the fault is what may be lost by it."""
    deadline = time.monotonic() + drills.DEADLINE
    for application in ("writer", "shop"):
        while len(Writes(stage.lines(application, begin), begin, now()).acknowledged) < WRITES_BEFORE:
            if time.monotonic() > deadline:
                raise Failed(f"{application} does not get {WRITES_BEFORE} writes acknowledged in {drills.DEADLINE} s")
            time.sleep(0.1)


def metrics(stage):
    try:
        from metrics import Metrics
    except ImportError as error:
        raise Failed(f"{error}: apt-get install python3-yaml, which nothing else here needs") from None
    return Metrics(stage)


def tell_wrong(wrong):
    for line in wrong:
        say(f"WRONG: {line}")
    return 1 if wrong else 0


def tell_state(stage):
    try:
        print(stage.compose("ps"), file=sys.stderr)
        print(stage.compose("logs", "--tail", "15"), file=sys.stderr)
    except Failed as error:
        say(str(error))


def interrupted(*_):
    raise KeyboardInterrupt


if __name__ == "__main__":
    # Whoever ends a drill wants its containers ended, too; a shell starts what is in the background with SIGINT ignored.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupted)
    begin = time.monotonic()
    status = main()
    say(f"{time.monotonic() - begin:.0f} s in all; exit status {status}")
    sys.exit(status)
