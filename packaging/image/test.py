"""The image on a real engine: three of it find each other in a bridge network, fail over, publish into a Consul over TLS that
they know by name, keep their state in a volume, and are as little as they say."""
import datetime
import json
import os
import re
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request
import zoneinfo

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from lab import MACHINE, Writer, ask, check, eventually, info, pairs, run, say, stage  # noqa: E402

IMAGE, CONSUL = sys.argv[1], sys.argv[2]
ZONE = "Asia/Kolkata"  # never the zone of a machine that has UTC
MASTER = "mymaster"
DIRECTIVES = """\
# The servers have names, as in a network of containers.
sentinel resolve-hostnames yes
sentinel monitor mymaster redis-1 6379 2
sentinel down-after-milliseconds mymaster 1000
sentinel failover-timeout mymaster 10000
"""


def certificates(folder):
    for words in (
        ["tls", "ca", "create"],
        ["tls", "cert", "create", "-server", "-dc", "dc1", "-additional-dnsname", "consul"],
    ):
        subprocess.run([CONSUL, *words], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    os.chmod(folder, 0o755)
    for name in os.listdir(folder):
        os.chmod(os.path.join(folder, name), 0o644)


def consul(network, folder):
    options = ["-v", f"{CONSUL}:/consul:ro", "-v", f"{folder}:/tls:ro"]
    return network.start(
        "consul", MACHINE, "/consul", "agent", "-server", "-bootstrap-expect=1", "-data-dir=/tmp/consul", "-client=0.0.0.0",
        "-bind={{ GetInterfaceIP \"eth0\" }}", "-log-level=warn", "-hcl", "ports { http = -1, https = 8501 }",
        "-hcl", 'cert_file = "/tls/dc1-server-consul-0.pem"', "-hcl", 'key_file = "/tls/dc1-server-consul-0-key.pem"',
        "-hcl", 'ca_file = "/tls/consul-agent-ca.pem"', options=options)


def in_consul(address, path, folder):
    context = ssl.create_default_context(cafile=f"{folder}/consul-agent-ca.pem")
    # It is asked by its address here; the containers ask it by its name, and check that.
    context.check_hostname = False
    with urllib.request.urlopen(f"https://{address}:8501{path}", timeout=2, context=context) as answer:
        return json.load(answer)


def sentinel(network, number, volume, folder, address=None):
    options = [
        "--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "-v", f"{volume}:/data",
        "-v", f"{folder}:/tls:ro", "-e", f"TZ={ZONE}", "-e", f"CONSENTINEL_DIRECTIVES={DIRECTIVES}",
        "-e", "CONSENTINEL_CONSUL=https://consul:8501", "-e", "CONSENTINEL_CONSUL_CA_CERT=/tls/consul-agent-ca.pem",
        "-e", "CONSENTINEL_DNS=0.0.0.0", "-e", "CONSENTINEL_HTTP=0.0.0.0",
    ]
    if address:
        options += ["--ip", address]
    return network.start(f"sentinel-{number}", IMAGE, options=options)


def others(host):
    """Who a sentinel sees: address to id."""
    found = [pairs(words) for words in ask(host, 26379, "SENTINEL", "SENTINELS", MASTER)]
    return {one["ip"]: one["runid"] for one in found}


def health(called):
    return run(["docker", "inspect", "--format", "{{.State.Health.Status}}", called]).strip()


def small_promises(network):
    say("alone")
    refused = subprocess.run(["docker", "run", "--rm", "--entrypoint", "sh", IMAGE], capture_output=True, text=True, check=False)
    check("executable file not found" in refused.stderr, "there is no shell in it")
    config = json.loads(run(["docker", "image", "inspect", IMAGE]))[0]["Config"]
    check(config["User"] == "65532:65532" and list(config["Volumes"]) == ["/data"], "it runs as 65532, with one volume")
    wrong = subprocess.run(
        ["docker", "run", "--rm", "--read-only", "-e", "CONSENTINEL_DIRECTIVES=sentinel moonitor a", IMAGE],
        capture_output=True, text=True, check=False)
    check(wrong.returncode == 1 and "CONSENTINEL_DIRECTIVES, line 1" in wrong.stderr, "a mistake in a variable is told, exit status 1")
    there = network.start(
        "tokyo", IMAGE, options=["--read-only", "-v", "/usr/share/zoneinfo/Asia/Tokyo:/etc/localtime:ro",
                                 "-e", "CONSENTINEL_DIRECTIVES=port 26379"])
    logs_time(there, "Asia/Tokyo", "a mounted /etc/localtime")
    begun = time.monotonic()
    run(["docker", "stop", "-t", "10", there])
    state = json.loads(run(["docker", "inspect", there]))[0]["State"]
    check(state["ExitCode"] == 0 and time.monotonic() - begun < 5, "SIGTERM ends it at once, exit status 0")
    network.remove(there)


def logs_time(called, zone, how):
    def stamp():
        return re.search(r"\d+:X (\d+ \w+ \d{4} \d\d:\d\d:\d\d)", run(["docker", "logs", called]))
    found = eventually("a line of the log", stamp).group(1)
    logged = datetime.datetime.strptime(found, "%d %b %Y %H:%M:%S").replace(tzinfo=zoneinfo.ZoneInfo(zone))
    away = abs((datetime.datetime.now(datetime.timezone.utc) - logged).total_seconds())
    check(away < 120, f"{how}: it logs the time of {zone} ({found})")


def together(network, folder):
    say("three of it, three Redis servers, a Consul over TLS")
    certificates(folder)
    agent = network.address(consul(network, folder))
    servers = {}
    for number in (1, 2, 3):
        more = [] if number == 1 else ["--replicaof", "redis-1", "6379"]
        called = network.start(f"redis-{number}", MACHINE, "redis-server", "--protected-mode", "no", "--save", "", *more)
        servers[network.address(called)] = called
    master = next(iter(servers))
    eventually("two replicas", lambda: info(master, 6379, "replication")["connected_slaves"] == "2")
    volumes = [network.volume(f"state-{number}") for number in (1, 2, 3)]
    sentinels = [sentinel(network, number, volumes[number - 1], folder) for number in (1, 2, 3)]
    hosts = [network.address(called) for called in sentinels]
    for host in hosts:
        expected = set(hosts) - {host}
        eventually(f"{host} sees the other two", lambda: set(others(host)) == expected)
    check(True, f"they find each other by the addresses that they have in the bridge: {', '.join(hosts)}")
    for called in sentinels:
        eventually("healthy", lambda: health(called) == "healthy", 40)
    check(True, "all three are healthy, by `consentinel status`")
    logs_time(sentinels[0], ZONE, "TZ")
    process = run(["docker", "inspect", "--format", "{{.State.Pid}}", sentinels[0]]).strip()
    with open(f"/proc/{process}/status", encoding="ascii") as status:
        text = status.read()
    check(re.search(r"Uid:\s+65532", text) and re.search(r"CapEff:\s+0+\n", text), "it is not root, and may do nothing that root may")

    def named():
        return [entry["Service"]["Address"] for entry in in_consul(agent, "/v1/health/service/redis?passing", folder)]
    eventually("Consul names the master", lambda: named() == [master], 30)
    check(True, f"https://consul:8501 names {master}: the name was resolved, the certificate believed")
    def present():
        return {entry["ServiceAddress"] for entry in in_consul(agent, "/v1/catalog/service/redis-sentinel", folder)}
    eventually("the sentinels are in Consul by their own addresses", lambda: present() == set(hosts))
    check(True, "the service redis-sentinel has the same addresses")

    writer = Writer([(host, 26379) for host in hosts], MASTER)
    writer.start()
    eventually("writes", lambda: len(writer.acknowledged) > 50)
    run(["docker", "kill", servers[master]])
    new = eventually("Consul names another master", lambda: (found := named()) and found != [master] and found[0], 30)
    count = len(writer.acknowledged)
    eventually("writes after the failover", lambda: len(writer.acknowledged) > count + 20)
    lost = writer.finish(new, 6379)
    check(not lost, f"failover to {new}: {len(writer.acknowledged)} writes, none lost, longest pause {writer.longest:.2f} s")

    say("a container is made anew")
    known = ask(hosts[2], 26379, "SENTINEL", "MYID")
    epoch = eventually("the epoch", lambda: pairs(ask(hosts[2], 26379, "SENTINEL", "MASTER", MASTER))["config-epoch"])
    network.remove(sentinels[2])
    elsewhere = f"{network.net}.200"
    again = sentinel(network, "3b", volumes[2], folder, elsewhere)
    eventually("it answers", lambda: ask(elsewhere, 26379, "PING"))
    check(ask(elsewhere, 26379, "SENTINEL", "MYID") == known, "at another address, with its volume, it has its id")
    found = pairs(ask(elsewhere, 26379, "SENTINEL", "MASTER", MASTER))
    check(found["ip"] == new and int(found["config-epoch"]) >= int(epoch), f"it knows the master {new} and epoch {epoch}")
    eventually("the others follow it", lambda: others(hosts[0]).get(elsewhere) == known and len(others(hosts[0])) == 2)
    check(True, "the others know it at the new address, and nobody at the old one")
    run(["docker", "stop", "-t", "10", again])


def body(network):
    with tempfile.TemporaryDirectory() as folder:
        small_promises(network)
        together(network, folder)
    say("the image is as it should be")


def tell(network):
    told = ""
    for called in network.containers:
        done = subprocess.run(["docker", "logs", "--tail", "25", called], capture_output=True, text=True, check=False)
        told += f"--- {called}\n{done.stdout}{done.stderr}"
    return told


if __name__ == "__main__":
    stage("image", body, tell)
