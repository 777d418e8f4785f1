"""Whether the dashboard and the alerts of docs/metrics work on a real Prometheus: after a failover every query is asked, and must
return something. Grafana itself is not needed: what it would be told by compose/grafana is read as it reads it."""
import json
import os
import re
import time
import urllib.error
import urllib.parse
import urllib.request

import yaml

from drills import Kill
from stage import FOLDER, Failed, free_port

METRICS = f"{os.path.dirname(FOLDER)}/docs/metrics"

# What Grafana puts in for its variables.
VARIABLES = {
    "$__rate_interval": "1m",
    "$__interval": "15s",
    "$__range": "15m",
    "$master": ".*",
    "$instance": ".*",
    "${datasource}": "prometheus",
}


class Metrics:
    def __init__(self, stage):
        self.stage = stage
        self.port = stage.environment["PORT_PROMETHEUS"] = str(free_port())

    def get(self, path, **query):
        url = f"http://127.0.0.1:{self.port}{path}?{urllib.parse.urlencode(query)}"
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise Failed(f"Prometheus: {query}: {error.read().decode()}") from None
        except OSError as error:
            raise Failed(f"Prometheus: {error}") from None

    def check(self, dns):
        """A line for what is wrong; none when all is well."""
        wrong = [*provisioning()]
        self.stage.compose("up", "-d", "prometheus")
        self.wait_for("all three daemons are scraped", "count(up{job='consentinel'} == 1) == 3")
        drill = Kill(self.stage)
        drill.begin()
        drill.dns = dns
        self.wait_for("the failover was counted", "sum(consentinel_failovers_total{result='done'}) > 0")
        drill.mend()
        self.stage.wait_well(dns, 60)
        # Rates are taken over a minute, of two samples at least.
        self.wait_for("a minute was scraped", "min(count_over_time(up{job='consentinel'}[2m])) >= 13")
        queries = list(dashboard())
        for title, query in queries:
            if not self.answered(query):
                wrong.append(f"no data: {title}: {query}")
        rules = [rule for group in self.get("/api/v1/rules")["groups"] for rule in group["rules"]]
        if not rules:
            wrong.append("Prometheus has loaded no alert rules")
        for rule in rules:
            if rule["health"] != "ok":
                wrong.append(f"the alert {rule['name']} is {rule['health']}: {rule.get('lastError')}")
            # That there was a failover is told, too; it is no trouble.
            if rule["state"] == "firing" and rule["labels"].get("severity") != "info":
                wrong.append(f"the alert {rule['name']} is firing while all is well")
        names = set(self.get("/api/v1/label/__name__/values"))
        for rule in rules:
            for name in sorted(set(re.findall(r"\bconsentinel_\w+", rule["query"])) - names):
                wrong.append(f"the alert {rule['name']} asks for {name}, which nobody tells")
        print(f"{len(queries)} queries of the dashboard, {len(rules)} alert rules, {len(names)} names of metrics")
        return wrong

    def answered(self, query):
        return bool(self.get("/api/v1/query", query=query)["result"])

    def wait_for(self, what, query):
        deadline = time.monotonic() + 150
        while True:
            try:
                if self.answered(query):
                    return
            except Failed:
                pass
            if time.monotonic() > deadline:
                raise Failed(f"this did not come about: {what}")
            time.sleep(1)


def dashboard():
    """Every query with where it stands, as Grafana would send it: panels, annotations, variables."""
    with open(f"{METRICS}/dashboard.json") as file:
        board = json.load(file)
    panels = list(board["panels"])
    while panels:
        panel = panels.pop(0)
        panels += panel.get("panels", [])
        for target in panel.get("targets", []):
            yield panel["title"], filled(target["expr"])
    for annotation in board["annotations"]["list"]:
        # It has data for a minute after a failover; that it can be asked is what counts later.
        yield annotation["name"], f"({filled(annotation['expr'])}) or vector(0)"
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            metric, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["query"]["query"]).groups()
            yield variable["name"], f"count by ({label}) ({metric})"


def filled(query):
    for name, value in VARIABLES.items():
        query = query.replace(name, value)
    if "$" in query:
        raise Failed(f"a variable that is not known here: {query}")
    return query


def provisioning():
    """What Grafana would refuse of compose/grafana/provisioning, or not find."""
    with open(f"{FOLDER}/grafana/provisioning/datasources/prometheus.yml") as file:
        sources = yaml.safe_load(file)
    with open(f"{FOLDER}/grafana/provisioning/dashboards/consentinel.yml") as file:
        providers = yaml.safe_load(file)
    with open(f"{FOLDER}/docker-compose.yml") as file:
        services = yaml.safe_load(file)["services"]
    for document, key in ((sources, "datasources"), (providers, "providers")):
        if document.get("apiVersion") != 1 or not document.get(key):
            yield f"{key}: apiVersion 1 and an entry are needed"
    for source in sources["datasources"]:
        host, port = urllib.parse.urlsplit(source["url"]).netloc.split(":")
        if source["type"] != "prometheus" or host not in services or port != "9090":
            yield f"the data source {source['name']} leads to {source['url']}, where no Prometheus is"
    mounts = [mount.split(":") for mount in services["grafana"]["volumes"]]
    targets = {target: origin for origin, target, *_ in mounts}
    if "/etc/grafana/provisioning" not in targets:
        yield "Grafana is given no provisioning"
    for provider in providers["providers"]:
        boards = [origin for target, origin in targets.items() if os.path.dirname(target) == provider["options"]["path"]]
        for board in boards:
            with open(os.path.join(FOLDER, board)) as file:
                if not {"title", "uid", "panels", "schemaVersion"} <= set(json.load(file)):
                    yield f"{board} is no dashboard"
        if not boards:
            yield f"nothing is mounted in {provider['options']['path']}"
