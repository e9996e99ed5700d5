# SPDX-License-Identifier: Apache-2.0
"""Every alert that is shipped, made to fire by the real situation that it names: the daemon, Debian's Prometheus with the shipped
rules, Debian's Alertmanager, and a webhook that hears of it and of its end. All times in the rules are divided by FACTOR."""
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest

import yaml

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lab"))
from alert_situations import SITUATIONS, BreakerOpenByFailures  # noqa: E402
from daemon import REPO, SLOW, Daemon, read_text, wait_until  # noqa: E402
from real_alertmanager import RealAlertmanager, Webhook  # noqa: E402
from real_prometheus import RealPrometheus  # noqa: E402
from remedy_lab import QUICK  # noqa: E402
from test_node_exporter import NodeExporter  # noqa: E402

CONFIG = os.path.join(REPO, "config", "prometheus")
PAGE = os.path.join(REPO, "docs", "ALERTS.md")
BEGIN = "<!-- situations: written by tests/system/test_alerts.py -->\n"
END = "<!-- end of situations -->\n"
# Alerts about one daemon, and the situations that are that as well. What stands on this host, all daemons see.
OF_ITS_OWN = {"DefusedRemediationFailed": ("by failures",), "DefusedBreakerOpen": ("by failures",), "DefusedInhibitedTooLong": (), "DefusedExporterDown": (),
              "DefusedBlind": ("DefusedScanStale",), "DefusedProbersLost": ("DefusedScanStale",)}
LONGEST = "DefusedInhibitedTooLong"
# They end by themselves, perhaps before anything is done about them.
ENDED_BY_TIME = ("DefusedRemediationFailed", "DefusedProbersLost")
# Those that a scrape which fails neither ends nor begins anew: one notification of the beginning, one of the end.
ONCE = ("DefusedContainerCannotDie", "DefusedContainerWaitsForLiveServer", "DefusedContainerStuck", "DefusedExitStuck",
        "DefusedConnectionStalled", "DefusedConnectionOrphaned", "DefusedBlind", LONGEST)
QUIET = 12  # longer than any `for` here but the longest
FACTOR = 120
RUNBOOKS = "file:///usr/share/doc/defused/docs/runbooks/"
UNITS = {"ms": 1, "s": 1000, "m": 60000, "h": 3600000, "d": 86400000}
# What is compared with such a number is an age in seconds; counts are compared with 0 and 1.
AGES = re.compile(r"([<>] )(\d{2,})\b")


def milliseconds(duration):
    parts = re.findall(r"(\d+)(ms|[smhd])", duration)
    assert "".join(number + unit for number, unit in parts) == duration, duration
    return sum(int(number) * UNITS[unit] for number, unit in parts)


def shorter(duration):
    return f"{milliseconds(duration) // FACTOR}ms"


def shortened(document):
    """The rules with every `for`, `keep_firing_for`, range and age divided by FACTOR; and how many that were."""
    count = 0

    def note(text):
        nonlocal count
        count += 1
        return text

    for rule in (rule for group in document["groups"] for rule in group["rules"]):
        for key in ("for", "keep_firing_for"):
            if key in rule:
                rule[key] = note(shorter(rule[key]))
        rule["expr"] = re.sub(r"\[(\w+)\]", lambda found: note(f"[{shorter(found[1])}]"), rule["expr"])
        rule["expr"] = AGES.sub(lambda found: note(f"{found[1]}{int(found[2]) / FACTOR}"), rule["expr"])
        assert "offset" not in rule["expr"], rule
    return document, count


def inhibitions():
    """(those that inhibit, what they inhibit, what is as near and goes on), as labels; with the label `cluster` and without."""
    sources, quiet, loud = [], [], []

    def pair(source, target, other):
        """`target` is inhibited, but not with the labels of `other`, nor of another cluster, nor on another host."""
        for cluster, where in (({"cluster": "a"}, f"a{len(sources)}"), ({}, f"n{len(sources)}")):
            host = {"job": "defused", "instance": where, **cluster}
            sources.append({**host, **source})
            quiet.append({**host, **target})
            loud.append({**host, **target, **other})
            loud.append({**host, **target, "instance": f"{where}-beside"})
            loud.append({**host, **target, "cluster": "b"})

    def named(name, **labels):
        return {"alertname": f"Defused{name}", **labels}

    page, wait = (named(name, pid_namespace="11", connection="40") for name in ("ContainerCannotDie", "ContainerWaitsForLiveServer"))
    stalled = named("ConnectionStalled", connection="40", fstype="fuse.s3fs")
    for source, name in ((page, "ContainerStuck"), (page, "ContainerWaitsForLiveServer"), (wait, "ContainerStuck")):
        pair(source, named(name, pid_namespace="11"), {"pid_namespace": "12"})
    for source in (page, wait):
        pair(source, stalled, {"connection": "41"})
    pair(named("ConnectionOrphaned"), named("ConnectionStalled", connection="40"), {"fstype": "fuse.s3fs"})
    pair(named("ProbersLost"), named("ExitStuck"), {"alertname": "DefusedScanStale"})
    pair(named("ExporterDown"), named("ScanStale"), {"alertname": "DefusedInhibitedTooLong"})
    pair(named("ExporterDown"), named("Blind", what="stack"), {"alertname": "DefusedProbersLost"})
    # Not ExporterDown, which inhibits the source itself, unless that was told before.
    pair(named("Blind", what="prober"), named("ScanStale"), {"alertname": "DefusedInhibitedTooLong"})
    return sources, quiet, loud


class Watching:
    """Prometheus, Alertmanager and webhook around the situations."""

    def __init__(self):
        self.stack = contextlib.ExitStack()
        self.addresses = set()
        self.lock = threading.Lock()

    def __enter__(self):
        with contextlib.ExitStack() as undo:
            undo.callback(self.stack.close)
            self.directory = tempfile.mkdtemp(prefix="defused-alerts-")
            self.stack.callback(shutil.rmtree, self.directory)
            self.targets = os.path.join(self.directory, "targets.json")
            self.scrape(())
            rules = os.path.join(self.directory, "defused.alerts.yml")
            with open(os.path.join(CONFIG, "defused.alerts.yml"), encoding="utf-8") as file:
                document, self.shortened = shortened(yaml.safe_load(file))
            with open(rules, "w", encoding="utf-8") as file:
                json.dump(document, file)  # JSON is YAML
            self.textfiles = os.path.join(self.directory, "textfiles")
            os.mkdir(self.textfiles)
            os.chmod(self.directory, 0o755)
            os.chmod(self.textfiles, 0o777)  # whichever account the front has here
            exporter = self.stack.enter_context(NodeExporter(self.textfiles))
            node = {"job_name": "node", "static_configs": [{"targets": [exporter.url[7:]]}]}
            self.webhook = self.stack.enter_context(Webhook())
            self.alertmanager = self.stack.enter_context(RealAlertmanager(self.webhook))
            job = {"job_name": "defused", "file_sd_configs": [{"files": [self.targets], "refresh_interval": "1s"}]}
            self.prometheus = self.stack.enter_context(RealPrometheus(
                [job, node], rule_files=[os.path.join(CONFIG, "defused.rules.yml"), rules], interval="500ms",
                evaluation_interval="250ms", alertmanagers=[self.alertmanager.address]))
            undo.pop_all()
        return self

    def __exit__(self, *_):
        self.stack.close()

    def scrape(self, addresses):
        with self.lock:
            self.addresses |= set(addresses)
            with open(self.targets + ".new", "w", encoding="utf-8") as file:
                json.dump([{"targets": sorted(self.addresses)}], file)
            os.rename(self.targets + ".new", self.targets)


class Alerts(unittest.TestCase):
    def heard(self, watching, name, labels, status, seconds, since=0.0):
        """The newest such alert that the webhook was told of after `since`, once there is one."""
        what = f"{name} {labels} to be {status}"
        try:
            found = wait_until(lambda: [one for one in watching.webhook.alerts(name, labels, status) if one[0] >= since], seconds,
                               what)
        except AssertionError:
            told = [alert["labels"] for _, alert in watching.webhook.alerts(name, {})]
            now = [alert for alert in watching.prometheus.api("alerts")["alerts"] if alert["labels"]["alertname"] == name]
            raise AssertionError(f"{what}\ntold: {told}\nnow: {now}\n{watching.alertmanager.log()}") from None
        return found[-1]

    def check_text(self, name, alert, situation):
        annotations = alert["annotations"]
        self.assertEqual(annotations["runbook_url"], f"{RUNBOOKS}{name}.md")
        for text in (annotations["summary"], annotations["description"]):
            self.assertNotRegex(text, r"  |\{\{|<no value>|\(\)| /[^a-z]| ,| \.|%!", text)
            self.assertTrue(name == "DefusedAbsent" or situation.labels["instance"] in text, text)
        for label in ("connection", "pid_namespace"):
            if label in situation.labels:
                self.assertIn(situation.labels[label], annotations["description"])
        if name == "DefusedConnectionOrphaned":
            named = re.search(r"Without a server now: (.*?)\. ", annotations["description"])[1]
            self.assertIn(str(situation.truth["connection"]), re.sub(r" \([^)]*\)", "", named).split(", "))
        if "container_id" in situation.labels:
            self.assertIn(situation.labels["container_id"][:12], annotations["summary"])

    def stand(self, stack, watching, name, kind=None):
        """The situation, with its daemon among the targets."""
        begin = time.monotonic()
        situation = stack.enter_context((kind or SITUATIONS[name])())
        watching.scrape(situation.targets)
        situation.stood = time.monotonic()
        print(f"{name}: made in {situation.stood - begin:.1f} s", flush=True)
        return situation

    def check_fires(self, watching, name, situation, seconds=60):
        when, alert = self.heard(watching, name, situation.labels, "firing", seconds)
        self.check_text(name, alert, situation)
        print(f"{name}: heard {when - situation.stood:.1f} s after it stood", flush=True)
        return alert

    def check_ends(self, watching, name, situation, begin, seconds=60):
        """It is told once what ended it was done, at `begin`; and it never ended before, where nothing may end it."""
        since = situation.stood if name in ENDED_BY_TIME else begin
        ended, _ = self.heard(watching, name, situation.labels, "resolved", seconds, since)
        if name in ONCE and SLOW == 1:
            self.check_told_once(watching, name, situation)
        return ended

    def check_told_once(self, watching, name, situation):
        told = {}
        for _, alert in watching.webhook.alerts(name, situation.labels):
            told.setdefault(alert["fingerprint"], []).append(alert["status"])
        self.assertEqual(list(told.values()), [["firing", "resolved"]], name)

    def check_absent(self, stack, watching):
        """Before anything is scraped. Then all is well for a while, and nothing else is told."""
        situation = self.stand(stack, watching, "DefusedAbsent")
        self.check_fires(watching, "DefusedAbsent", situation)
        begin = time.monotonic()
        situation.resolve()
        watching.scrape(situation.targets)
        self.heard(watching, "DefusedAbsent", {}, "resolved", 30, begin)
        time.sleep(QUIET)
        self.assertGreater(len(watching.prometheus.query("defused_last_scan_timestamp_seconds")), 0)
        self.assertEqual([alert["status"] for _, alert in watching.webhook.alerts("DefusedAbsent", {})], ["firing", "resolved"])
        self.assertEqual(len(watching.webhook.received), 2, watching.webhook.received)

    def check_incident(self, watching, situation):
        """A deadlock, its page, the abort that is typed, the end of it."""
        name = "DefusedContainerCannotDie"
        alert = self.check_fires(watching, name, situation)
        self.assertEqual(set(alert["labels"]), {"alertname", *situation.labels})
        begin = time.monotonic()
        situation.resolve()
        ended = self.check_ends(watching, name, situation, begin, 30)
        print(f"{name}: its end heard {ended - begin:.1f} s after the abort was typed", flush=True)

    def check_textfile(self, watching):
        """A daemon whose processes are all killed leaves its textfile; another one that is stopped takes it away."""
        labels = {"job": "node", "severity": "warning"}
        settings = {"textfile": {"directory": watching.textfiles}, **QUICK}
        file = os.path.join(watching.textfiles, "defused.prom")
        with Daemon(**settings) as daemon:
            wait_until(lambda: "\ndefused_last_scan" in read_text(file), 15, daemon.log())
            front = daemon.child("defused-front")
            daemon.process.send_signal(signal.SIGSTOP)  # it would start another front, and that takes the file away at the end
            os.kill(front, signal.SIGKILL)
            daemon.process.kill()
            daemon.process.wait(5)
            self.assertTrue(os.path.exists(file))
            begin, alert = self.heard(watching, "DefusedScanStale", labels, "firing", 30)
            self.assertIn("its textfile is all that is left", alert["annotations"]["description"])
        with Daemon(**settings) as daemon:
            self.heard(watching, "DefusedScanStale", labels, "resolved", 30, begin)
            daemon.process.send_signal(signal.SIGTERM)
            daemon.process.wait(10 * SLOW)
        wait_until(lambda: not os.path.exists(file), 10, "the textfile to go")

    def check_nobody_else(self, watching, instances):
        """What is about one daemon was told of no other one."""
        for name, others in OF_ITS_OWN.items():
            told = {alert["labels"]["instance"] for _, alert in watching.webhook.alerts(name, {})}
            self.assertIn(instances[name], told, name)
            self.assertLessEqual(told, {instances[one] for one in (name, *others)}, name)  # they may end too soon to be told

    def test_each_fires_by_what_it_names_and_resolves(self):
        start = time.monotonic()
        with Watching() as watching, contextlib.ExitStack() as stack:
            self.assertEqual(watching.shortened, 29)
            self.check_absent(stack, watching)
            names = [LONGEST, *sorted(set(SITUATIONS) - {"DefusedAbsent", LONGEST})]
            standing = {name: self.stand(stack, watching, name) for name in names}
            by_failures = self.stand(stack, watching, "DefusedBreakerOpen", BreakerOpenByFailures)
            instances = {name: situation.labels["instance"] for name, situation in standing.items()}
            instances["by failures"] = by_failures.labels["instance"]
            paused = standing.pop(LONGEST)
            self.check_incident(watching, standing.pop("DefusedContainerCannotDie"))
            stood = [*standing.items(), ("DefusedBreakerOpen", by_failures)]
            for name, situation in stood:
                self.check_fires(watching, name, situation)
            self.heard(watching, "DefusedBlind", {"instance": instances["DefusedScanStale"], "what": "prober"}, "firing", 60)
            begin = time.monotonic()
            for _, situation in stood:
                situation.resolve()
            for name, situation in stood:
                self.check_ends(watching, name, situation, begin)
            self.check_textfile(watching)
            self.check_fires(watching, LONGEST, paused, 200)
            begin = time.monotonic()
            paused.resolve()
            self.check_ends(watching, LONGEST, paused, begin, 30)
            wait_until(lambda: not watching.webhook.open_alerts(), 60, f"all to be well: {watching.webhook.open_alerts()}")
            self.check_nobody_else(watching, instances)
            self.assertEqual(watching.prometheus.rule_errors(), ([], 0))
        print(f"all {len(SITUATIONS)} in {time.monotonic() - start:.0f} s", flush=True)


class Page(unittest.TestCase):
    """docs/ALERTS.md says what is tried here."""

    def setUp(self):
        with open(PAGE, encoding="utf-8") as file:
            self.page = file.read()

    def test_situations(self):
        rows = "".join(f"| {name} | {one.__doc__} | {one.ends} |\n" for name, one in SITUATIONS.items())
        table = f"| alert | is made to fire by | ends by |\n|---|---|---|\n{rows}"
        head, _, rest = self.page.partition(BEGIN)
        old, _, tail = rest.partition(END)
        if os.environ.get("DEFUSED_WRITE_DOCS") == "1":
            with open(PAGE, "w", encoding="utf-8") as file:
                file.write(head + BEGIN + table + END + tail)
        else:
            self.assertEqual(table, old)
        self.assertIn(f"divided by {FACTOR}**", self.page)

    def test_each_alert_has_a_situation(self):
        with open(os.path.join(CONFIG, "defused.alerts.yml"), encoding="utf-8") as file:
            document = yaml.safe_load(file)
        shipped = [rule["alert"] for group in document["groups"] for rule in group["rules"] if "alert" in rule]
        self.assertEqual(sorted(shipped), sorted(SITUATIONS))

    def test_the_example_of_routes(self):
        """What amtool makes of it, and what a real Alertmanager inhibits by it."""
        example = yaml.safe_load(re.search(r"```yaml\n(route:.*?)```", self.page, re.S)[1])
        with Webhook() as webhook, RealAlertmanager(webhook, example["inhibit_rules"]) as alertmanager:
            with tempfile.TemporaryDirectory() as directory:
                config = os.path.join(directory, "alertmanager.yml")
                with open(config, "w", encoding="utf-8") as file:
                    json.dump(example, file)
                alertmanager.amtool("check-config", config)
                for severity, receiver in (("critical", "pager"), ("warning", "tickets")):
                    told = alertmanager.amtool("config", "routes", "test", f"--config.file={config}",
                                               "alertname=DefusedContainerCannotDie", f"severity={severity}")
                    self.assertEqual(told.strip(), receiver)
            sources, quiet, loud = inhibitions()
            alertmanager.post(sources)
            alertmanager.post(quiet + loud)
            loud += sources
            try:
                wait_until(lambda: len(webhook.open_alerts()) >= len(loud), 40, "what is not inhibited")
            except AssertionError:
                told = webhook.open_alerts()
                self.fail(f"not told: {[one for one in loud if one not in told]}\n{alertmanager.log()[-4000:]}")
            time.sleep(2)  # nothing else follows
            key = lambda labels: sorted(labels.items())  # noqa: E731
            self.assertEqual(sorted(webhook.open_alerts(), key=key), sorted(loud, key=key))

    def test_the_commands(self):
        """The three ways to change the file give rules that promtool likes, and change what they say."""
        commands = re.findall(r"^    (sed .*) (\S+) > defused.alerts.yml$", self.page, re.M)
        self.assertEqual(len(commands), 3)
        for command, path in commands:
            self.assertEqual(os.path.basename(path), "defused.alerts.yml")
            with tempfile.TemporaryDirectory() as directory:
                file = os.path.join(directory, "defused.alerts.yml")
                subprocess.run(f"{command} {CONFIG}/defused.alerts.yml > {file}", shell=True, check=True, timeout=10)
                subprocess.run(["promtool", "check", "rules", file], stdout=subprocess.DEVNULL, check=True, timeout=20)
                with open(file, encoding="utf-8") as made, open(f"{CONFIG}/defused.alerts.yml", encoding="utf-8") as shipped:
                    text, before = made.read(), shipped.read()
            changed = "keep_firing_for:" if "keep_firing" in command else "cluster, job" if "cluster" in command else RUNBOOKS
            self.assertNotRegex(text, rf"\b{changed}")
            self.assertRegex(before, rf"\b{changed}")


if __name__ == "__main__":
    unittest.main()
