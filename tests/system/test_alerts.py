# SPDX-License-Identifier: Apache-2.0
"""Every alert that is shipped, made to fire by the real situation that it names: the daemon, Debian's Prometheus with the shipped
rules, Debian's Alertmanager, and a webhook that hears of it and of its end. All times in the rules are divided by FACTOR."""
import contextlib
import json
import os
import re
import shutil
import sys
import tempfile
import threading
import time
import unittest

import yaml

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lab"))
from alert_situations import SITUATIONS  # noqa: E402
from daemon import REPO, SLOW, wait_until  # noqa: E402
from real_alertmanager import RealAlertmanager, Webhook  # noqa: E402
from real_prometheus import RealPrometheus  # noqa: E402

CONFIG = os.path.join(REPO, "config", "prometheus")
PAGE = os.path.join(REPO, "docs", "ALERTS.md")
FACTOR = 100
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
            self.webhook = self.stack.enter_context(Webhook())
            self.alertmanager = self.stack.enter_context(RealAlertmanager(self.webhook))
            job = {"job_name": "defused", "file_sd_configs": [{"files": [self.targets], "refresh_interval": "1s"}]}
            self.prometheus = self.stack.enter_context(RealPrometheus(
                [job], rule_files=[os.path.join(CONFIG, "defused.rules.yml"), rules], interval="500ms",
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
    def heard(self, watching, name, labels, status, seconds):
        """The newest such alert that the webhook has, once there is one."""
        what = f"{name} {labels} to be {status}"
        try:
            found = wait_until(lambda: watching.webhook.alerts(name, labels, status), seconds, what)
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

    def stand(self, stack, watching, name):
        """The situation, with its daemon among the targets."""
        begin = time.monotonic()
        situation = stack.enter_context(SITUATIONS[name]())
        watching.scrape(situation.targets)
        situation.stood = time.monotonic()
        print(f"{name}: made in {situation.stood - begin:.1f} s", flush=True)
        return situation

    def check_absent(self, stack, watching):
        """Before anything is scraped."""
        situation = self.stand(stack, watching, "DefusedAbsent")
        _, alert = self.heard(watching, "DefusedAbsent", situation.labels, "firing", 30)
        self.check_text("DefusedAbsent", alert, situation)
        situation.resolve()
        watching.scrape(situation.targets)
        self.heard(watching, "DefusedAbsent", {}, "resolved", 30)
        return situation

    def check_incident(self, watching, situation):
        """A deadlock, its page, the abort that is typed, the end of it: with times."""
        name = "DefusedContainerCannotDie"
        fired, alert = self.heard(watching, name, situation.labels, "firing", 30)
        self.check_text(name, alert, situation)
        self.assertEqual(set(alert["labels"]), {"alertname", *situation.labels})
        begin = time.monotonic()
        situation.resolve()
        ended, _ = self.heard(watching, name, situation.labels, "resolved", 30)
        print(f"{name}: heard {fired - situation.stood:.1f} s after it stood, its end {ended - begin:.1f} s after the abort", flush=True)

    def test_each_fires_by_what_it_names_and_resolves(self):
        begin = time.monotonic()
        with Watching() as watching, contextlib.ExitStack() as stack:
            self.assertEqual(watching.shortened, 19)
            absent = self.check_absent(stack, watching)
            # The one that takes longest first.
            names = sorted(set(SITUATIONS) - {"DefusedAbsent"}, key="DefusedInhibitedTooLong".__ne__)
            standing = {name: self.stand(stack, watching, name) for name in names}
            self.check_incident(watching, standing["DefusedContainerCannotDie"])
            for name, situation in standing.items():
                if name == "DefusedInhibitedTooLong":
                    continue
                when, alert = self.heard(watching, name, situation.labels, "firing", 60)
                self.check_text(name, alert, situation)
                print(f"{name}: heard {when - situation.stood:.1f} s after it stood", flush=True)
            name = "DefusedInhibitedTooLong"
            paused = standing.pop(name)
            standing.pop("DefusedContainerCannotDie")
            for situation in standing.values():
                situation.resolve()
            _, alert = self.heard(watching, name, paused.labels, "firing", 200)
            self.check_text(name, alert, paused)
            paused.resolve()
            for one, situation in {**standing, name: paused}.items():
                self.heard(watching, one, situation.labels, "resolved", 60)
            wait_until(lambda: not watching.webhook.open_alerts(), 60, f"all to be well: {watching.webhook.open_alerts()}")
            self.assertEqual(watching.prometheus.rule_errors(), ([], 0))
            self.assertEqual(absent.daemon.process.poll(), None)
        print(f"all {len(SITUATIONS)} in {time.monotonic() - begin:.0f} s", flush=True)


if __name__ == "__main__":
    unittest.main()
