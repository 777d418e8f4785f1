"""The package on a machine whose process 1 is systemd. Everything happens in one container, which is gone afterwards."""
import glob
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from lab import MACHINE, Writer, ask, check, eventually, info, pairs, run, say, stage  # noqa: E402

FOLDER, VERSION = sys.argv[1], sys.argv[2]
MASTER = "mymaster"
OLD = "/etc/redis/sentinel.conf"
OURS = "/etc/consentinel/sentinel.conf"
STATE = "/var/lib/consentinel/state.conf"
SERVICE = "consentinel.service"


class Machine:
    def __init__(self, network):
        # What --privileged gives, less what the machine of the tests may lack itself.
        options = ["--cap-add", "ALL", "--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined",
                   "--tmpfs", "/run", "--tmpfs", "/run/lock", "-e", "container=docker", "-v", f"{FOLDER}:/packages:ro"]
        if not bounding_set() >> 24 & 1:
            options += ["--cap-drop", "SYS_RESOURCE"]
        if os.path.isdir("/sys/fs/cgroup/systemd"):
            options += ["--tmpfs", "/sys/fs/cgroup", "-v", "/sys/fs/cgroup/systemd:/sys/fs/cgroup/systemd:rw"]
        else:
            options += ["--cgroupns=private", "-v", "/sys/fs/cgroup:/sys/fs/cgroup:rw"]
        self.called = network.start("machine", MACHINE, options=options)
        self.address = network.address(self.called)
        eventually("systemd is up", lambda: self.try_("systemctl", "is-system-running")[1].strip() in ("running", "degraded"), 60)

    def run(self, *words):
        return run(["docker", "exec", self.called, *words])

    def shell(self, text):
        return self.run("sh", "-c", text)

    def try_(self, *words):
        """Exit status, and what was said on both ways."""
        done = subprocess.run(["docker", "exec", self.called, *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, check=False)
        return done.returncode, done.stdout

    def shows(self, what, unit=SERVICE):
        return self.run("systemctl", "show", "-P", what, unit).strip()

    def active(self, unit=SERVICE):
        return self.shows("ActiveState", unit) == "active"

    def pid(self, unit=SERVICE):
        return int(self.shows("MainPID", unit))

    def there(self, path):
        return self.try_("test", "-e", path)[0] == 0

    def look(self, path):
        """What a file is: its content, its owner and its mode."""
        return self.shell(f"stat -c '%U:%G %a' {path}; sha256sum < {path}") if self.there(path) else None

    def sentinel(self, *words):
        return ask(self.address, 26379, "SENTINEL", *words)


def bounding_set():
    with open("/proc/self/status", encoding="ascii") as status:
        return int(next(line.split()[1] for line in status if line.startswith("CapBnd")), 16)


def package(version):
    [found] = glob.glob(f"{FOLDER}/consentinel_{version}_*.deb")
    return f"/packages/{os.path.basename(found)}"


def servers(machine):
    """Three Redis servers, and Debian's own sentinel that watches them."""
    for port in (6379, 6380, 6381):
        follow = "" if port == 6379 else f"--replicaof {machine.address} 6379"
        machine.shell(f"systemd-run --quiet --unit=redis-{port} redis-server --port {port} --protected-mode no --save '' "
                      f"--replica-announce-ip {machine.address} {follow}")
    eventually("two replicas", lambda: info(machine.address, 6379, "replication")["connected_slaves"] == "2")
    machine.shell(f"""cat >{OLD} <<END
bind 0.0.0.0
protected-mode no
port 26379
daemonize yes
pidfile /run/sentinel/redis-sentinel.pid
logfile /var/log/redis/redis-sentinel.log
dir /var/lib/redis
sentinel monitor {MASTER} {machine.address} 6379 1
sentinel down-after-milliseconds {MASTER} 1000
sentinel failover-timeout {MASTER} 10000
END
chown redis:redis {OLD}
chmod 640 {OLD}
systemctl enable --now redis-sentinel""")
    eventually("redis-sentinel knows the replicas", lambda: len(machine.sentinel("REPLICAS", MASTER)) == 2)


def installed_beside(machine):
    say("installed where redis-sentinel holds the port")
    status, said = machine.try_("dpkg", "-i", package("0.0.1~before"))
    check(status == 0 and "consentinel adopt" in said, "it installs, and says that it does not start")
    log = machine.run("journalctl", "-u", SERVICE, "-o", "cat", "--no-pager")
    pid = machine.pid("redis-sentinel.service")
    expected = f"the sentinel with pid {pid} that runs by {OLD} has it"
    check(expected in log, f"the journal says who holds the port: {expected}")
    check(not machine.active() and machine.active("redis-sentinel.service"), "redis-sentinel goes on")
    for page in ("consentinel", "consentinel-adopt", "consentinel-proxy"):
        check(machine.run("man", "-w", page).strip(), f"man {page}")
    done = machine.run("bash", "-ic", ". /usr/share/bash-completion/completions/consentinel; complete -p consentinel")
    check("_consentinel" in done, "bash completes it")
    check(machine.run("stat", "-c", "%U:%G %a", OURS).strip() == "root:consentinel 640", "only its user may read the configuration")
    check(machine.try_("logrotate", "-d", "/etc/logrotate.d/consentinel")[0] == 0, "logrotate takes its file")


def adopted(machine):
    say("adopt")
    before = [machine.look(path) for path in (OLD, OURS, STATE)]
    known = machine.sentinel("MYID")
    status, said = machine.try_("consentinel", "adopt", OLD)
    say("".join(f"        | {line}\n" for line in said.splitlines()).rstrip())
    check(status != 0 and "systemctl disable --now redis-sentinel.service" in said, "it says what it would do, and asks")
    check([machine.look(path) for path in (OLD, OURS, STATE)] == before, "without an answer nothing is done")
    status, said = machine.try_("consentinel", "adopt", OLD, "--yes")
    check(status == 0, "adopt --yes")
    check(machine.active() and not machine.active("redis-sentinel.service"), "consentinel runs, redis-sentinel does not")
    check(machine.sentinel("MYID") == known, f"it is the same sentinel: {known}")
    replicas = {pairs(words)["port"] for words in machine.sentinel("REPLICAS", MASTER)}
    check(replicas == {"6380", "6381"}, "it knew the replicas at once")
    check(machine.look(STATE).startswith("consentinel:consentinel 600"), "its state is its own")
    return before, known


def proxied(machine):
    """An application that is connected while the proxy is upgraded."""
    machine.shell(f"""printf 'sentinel dns-bind 127.0.0.1:8600\\n' >>{OURS}
systemctl restart consentinel
cat >/etc/consentinel/proxy/main.conf <<END
CONSENTINEL_PROXY_NAME=redis.service.consul
CONSENTINEL_PROXY_LISTEN=0.0.0.0:7000
END
systemctl start consentinel-proxy@main""")
    check(machine.active("consentinel-proxy@main.service"), "consentinel-proxy@main runs")
    eventually("the proxy leads to the master", lambda: info(machine.address, 7000, "replication")["role"] == "master")
    check(True, "the proxy leads to the master")


def upgraded(machine, known):
    say("upgraded under load")
    proxied(machine)
    writer = Writer([(machine.address, 26379)], MASTER)
    writer.start()
    eventually("writes", lambda: len(writer.acknowledged) > 50)
    old, proxy = machine.pid(), machine.pid("consentinel-proxy@main.service")
    epoch = pairs(machine.sentinel("MASTER", MASTER))["config-epoch"]
    status, said = machine.try_("dpkg", "-i", package(VERSION))
    check(status == 0 and "conffile" not in said.lower(), f"upgraded to {VERSION}, and asked nothing")
    check(machine.active() and machine.pid() != old, "the new one runs")
    eventually("another proxy", lambda: machine.pid("consentinel-proxy@main.service") not in (0, proxy), 30)
    check(info(machine.address, 7000, "replication")["role"] == "master", "another proxy has taken over")
    found = pairs(machine.sentinel("MASTER", MASTER))
    check(machine.sentinel("MYID") == known and found["config-epoch"] == epoch, f"the same id, the same epoch {epoch}")
    check(machine.sentinel("CKQUORUM", MASTER).startswith("OK"), "and a quorum")

    say("the master dies")
    machine.shell("systemctl kill --signal=KILL redis-6379")
    new = eventually("another master", lambda: (port := machine.sentinel("GET-MASTER-ADDR-BY-NAME", MASTER)[1]) != "6379" and int(port))
    count = len(writer.acknowledged)
    eventually("writes after it", lambda: len(writer.acknowledged) > count + 20)
    machine.shell(f"systemd-run --quiet --unit=redis-6379b redis-server --port 6379 --protected-mode no --save '' "
                  f"--replica-announce-ip {machine.address}")
    return writer, new


def hung(machine, known):
    say("hung")
    pid, begun = machine.pid(), time.monotonic()
    machine.run("kill", "-STOP", str(pid))
    eventually("the watchdog", lambda: machine.active() and machine.pid() not in (0, pid), 40)
    check(machine.shows("NRestarts") == "1", f"the watchdog started it again after {time.monotonic() - begun:.1f} s")
    eventually("it answers", lambda: machine.sentinel("MYID") == known)
    check(True, "and it is the same")


def rotated(machine):
    say("the log in a file")
    machine.shell(f"printf 'logfile /var/log/consentinel/sentinel.log\\n' >>{OURS}; systemctl restart consentinel")
    log = "/var/log/consentinel/sentinel.log"
    eventually("a log", lambda: machine.there(log))
    machine.run("logrotate", "-f", "/etc/logrotate.d/consentinel")
    check(machine.there(f"{log}.1"), "logrotate moves it away")
    machine.run("systemctl", "reload", SERVICE)
    machine.sentinel("SET", MASTER, "parallel-syncs", "2")
    eventually("a new log", lambda: machine.there(log) and machine.run("stat", "-c", "%s", log).strip() != "0")
    check(True, "it is begun anew with the next line")


def given_back(machine, before, known):
    say("adopt --undo")
    machine.run("consentinel", "adopt", "--undo", "--yes")
    check([machine.look(path) for path in (OURS, STATE)] == before[1:], "our files are what they were")
    check(machine.active("redis-sentinel.service") and machine.shows("UnitFileState", "redis-sentinel.service") == "enabled",
          "redis-sentinel runs, and will at the next boot")
    check(not machine.active(), "consentinel does not")
    check(eventually("it answers", lambda: machine.sentinel("MYID")) == known, "it is the same sentinel")
    say("adopt, and ours cannot start")
    # A folder that redis-sentinel may write to and ours may not.
    machine.shell(f"echo 'unixsocket /run/sentinel/sentinel.sock' >>{OLD}; systemctl restart redis-sentinel")
    eventually("redis-sentinel answers", lambda: machine.sentinel("MYID"))
    before = [machine.look(path) for path in (OURS, STATE)]
    status, said = machine.try_("consentinel", "adopt", OLD, "--yes")
    check(status == 1 and "everything is as it was before" in said, "it says so, and puts everything back")
    check([machine.look(path) for path in (OURS, STATE)] == before, "the files are what they were")
    eventually("redis-sentinel answers", lambda: machine.sentinel("MYID") == known)
    check(machine.active("redis-sentinel.service"), "redis-sentinel runs")
    machine.run("systemctl", "disable", "--quiet", "--now", "redis-sentinel")


def removed(machine):
    say("removed, and purged")
    machine.shell(f"echo '# mine' >>{OURS}; systemctl start consentinel")
    check(machine.active(), "the sample configuration starts")
    check(machine.run("redis-cli", "-p", "26379", "ping").strip() == "PONG", "and answers")
    state = machine.look(STATE)
    check(machine.try_("dpkg", "--remove", "consentinel")[0] == 0, "removed")
    check("# mine" in machine.shell(f"cat {OURS}") and machine.there(STATE) and state, "configuration and state are kept")
    check(not machine.there("/usr/bin/consentinel") and machine.try_("pgrep", "consentinel")[0] != 0, "no program, no process")
    check(machine.try_("dpkg", "--purge", "consentinel")[0] == 0, "purged")
    left = machine.shell("find / -xdev \\( -path /proc -o -path /sys -o -path /packages \\) -prune -o -iname '*consentinel*' -print")
    left += machine.try_("grep", "-l", "consentinel", "/etc/passwd", "/etc/group", "/etc/shadow", "/var/lib/dpkg/status")[1]
    check(not left.strip(), f"nothing is left {left.split()}")


def body(network):
    machine = Machine(network)
    servers(machine)
    installed_beside(machine)
    before, known = adopted(machine)
    writer, new = upgraded(machine, known)
    hung(machine, known)
    lost = writer.finish(machine.address, new)
    check(not lost, f"{len(writer.acknowledged)} acknowledged writes, none lost, longest pause {writer.longest:.2f} s")
    rotated(machine)
    given_back(machine, before, known)
    removed(machine)
    say("the package is as it should be")


def tell(network):
    told = ""
    for called in network.containers:
        words = ["docker", "exec", called, "journalctl", "-n", "60", "--no-pager", "-o", "short-monotonic"]
        told += subprocess.run(words, capture_output=True, text=True, check=False).stdout
    return told


if __name__ == "__main__":
    stage("packages", body, tell)
