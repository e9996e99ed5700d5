# SPDX-License-Identifier: Apache-2.0
"""Hostile names from a real namespace to every output: a real Prometheus accepts the whole target."""
import html.parser
import json
import os
import re
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lab"))
from capture_tree import capture_tree  # noqa: E402
from daemon import BUILD, DEFUSED, REPO, SLOW, Daemon, mount_fusectl, wait_until  # noqa: E402
from lab import Lab  # noqa: E402
from real_prometheus import RealPrometheus  # noqa: E402
from report_schema import check_report  # noqa: E402

STUCK = 'defused_stuck_pid_namespaces{wait_class="fuse_flush",verdict="deadlocked"}'
# What the lab's names have in common, once it is harmless: \xff, ESC and newline as text; the rest as it is.
HARMLESS = "\\xff\\x1b\"'\\\\x0a<script>"
RULES = os.path.join(REPO, "config", "prometheus", "defused.rules.yml")


def example_queries():
    """(family, query) of docs/METRICS.md."""
    with open(os.path.join(REPO, "docs", "METRICS.md"), encoding="utf-8") as file:
        return re.findall(r"^## (\w+)\n\n[^\n]*\n\n[^\n]*\n\n    ([^\n]+)\n", file.read(), re.M)


class Page(html.parser.HTMLParser):
    """The elements and the text of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags = []
        self.words = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.tags += [name for name, _ in attrs]

    def handle_data(self, data):
        self.words.append(data)


class Hostile(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        mount_fusectl()
        cls.lab = cls.enterClassContext(Lab("hostile"))
        cls.daemon = cls.enterClassContext(Daemon(detect={"stuck_after": "2s"}, log={"format": "json"}))
        wait_until(lambda: cls.daemon.metric(STUCK) == 1, 15, cls.daemon.log())

    def check_harmless(self, text):
        """`text` is bytes: UTF-8 without control characters but newlines, and without what hides or turns round."""
        told = text.decode()
        self.assertNotRegex(told, re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]"))
        return told

    def test_a_real_prometheus_takes_the_whole_target_and_every_example(self):
        target = self.daemon.address.removeprefix("http://")
        with RealPrometheus([{"job_name": "defused", "static_configs": [{"targets": [target]}]}], [RULES]) as server:
            wait_until(lambda: server.value("up") == 1, 30, "a scrape that Prometheus accepts")
            record = "pod:defused_stuck_pid_namespace_info:join"
            wait_until(lambda: server.query(record), 30, "a record of the join rules")
            info = server.query("defused_stuck_pid_namespace_info")
            self.assertEqual([(one["pid_namespace"], one["init_pid"]) for one, _ in info],
                             [(str(self.lab.truth["pid_namespace"]), str(self.lab.truth["init"]["pid"]))])
            (connection, _), = server.query("defused_fuse_connection_info")
            self.assertEqual(connection["connection"], str(self.lab.truth["connection"]))
            self.assertIn(HARMLESS, connection["source"])
            self.assertIn(HARMLESS, connection["fstype"])
            self.assertIn(f'connection="{self.lab.truth["connection"]}"',
                          server.promtool("instant", "defused_fuse_connection_info"))
            samples = len([line for line in self.daemon.get("/metrics")[1].splitlines() if not line.startswith("#")])
            self.assertAlmostEqual(server.value("scrape_samples_scraped"), samples, delta=2)
            self.assertEqual(server.scrape_errors(), {})
            self.assertEqual([one["lastError"] for one in server.targets()["defused"]], [""])
            self.check_examples(server)
            self.check_rules(server)

    def check_examples(self, server):
        """Every example of docs/METRICS.md runs; those that look at what is stuck now find it."""
        examples = example_queries()
        families = set(re.findall(r"^# TYPE (\w+)", self.daemon.get("/metrics")[1], re.M))
        self.assertLessEqual(families - {"defused_read_gaps_total"}, {family for family, _ in examples})
        found = {family: server.query(query) for family, query in examples}
        for family in ("defused_build_info", "defused_stuck_pid_namespaces", "defused_stuck_pid_namespace_info", "defused_holds",
                       "defused_stuck_pid_namespace_since_timestamp_seconds", "defused_fuse_connection_info",
                       "defused_fuse_connection_waiting_requests", "defused_remediation_mode"):
            self.assertTrue(found[family], family)
        self.assertEqual(found["defused_stuck_pid_namespace_info"][0][0]["verdict"], "deadlocked")

    def check_rules(self, server):
        """No rule has an error, and a namespace that no pod is known of keeps its series."""
        wait_until(lambda: all(rule["lastEvaluation"] > "1" for rule in self.rules(server)), 20, "each rule to be evaluated")
        self.assertEqual({(rule["health"], rule.get("lastError", "")) for rule in self.rules(server)}, {("ok", "")})
        self.assertEqual(len(self.rules(server)), 5)
        for kind in ("pod", "container"):
            (labels, value), = server.query(f"{kind}:defused_stuck_pid_namespace_info:join")
            self.assertEqual((labels["pid_namespace"], value), (str(self.lab.truth["pid_namespace"]), 1))
            self.assertGreater(server.value(f"{kind}:defused_stuck_pid_namespace_stuck_seconds:join"), 1)

    def rules(self, server):
        return [rule for group in server.api("rules")["groups"] for rule in group["rules"]]

    def test_the_report_is_utf_8_and_fits_its_schema(self):
        status, text, headers = self.daemon.get("/api/v1/report")
        self.assertEqual((status, headers["Content-Type"]), (200, "application/json"))
        connection, = check_report(text)["connections"]
        for name in (connection["source"], connection["mount_points"][0], connection["fstype"]):
            self.assertIn(HARMLESS, name)
        self.check_harmless(text.encode())
        status, text, headers = self.daemon.get("/api/v1/report/schema")
        self.assertEqual((status, headers["Content-Type"]), (200, "application/schema+json"))
        with open(os.path.join(REPO, "config", "defused.report.schema.json"), encoding="utf-8") as file:
            self.assertEqual(text, file.read())

    def test_nothing_is_unescaped_in_the_page(self):
        text = self.daemon.get("/")[1]
        self.check_harmless(text.encode())
        self.assertNotIn("<script", text)
        self.assertIn("&lt;script&gt;", text)
        page = Page(text)
        self.assertEqual({tag for tag in page.tags if not re.fullmatch(r"[a-z][a-z0-9-]*", tag)}, set())
        forbidden = ("script", "img", "iframe", "object")
        self.assertEqual({tag for tag in page.tags if tag in forbidden or tag.startswith("on")}, set())
        self.assertIn(HARMLESS, "".join(page.words))  # as it is told elsewhere, when it is read

    def test_the_log_is_json(self):
        with open(self.daemon.log_path, "rb") as file:
            lines = self.check_harmless(file.read()).splitlines()
        events = [json.loads(line) for line in lines]
        self.assertIn("stuck", [event.get("event") for event in events])
        self.assertIn("\\xff", "".join(event.get("comm", "") + event.get("fstype", "") for event in events))

    def test_what_a_terminal_gets_has_no_control_characters(self):
        truth = self.lab.truth
        for arguments in (["scan"], ["connections"], ["explain"], ["explain", f"pid:{truth['init']['pid']}"],
                          ["explain", f"connection:{truth['connection']}"]):
            done = subprocess.run([DEFUSED, *arguments], capture_output=True, timeout=30 * SLOW, check=False)
            told = self.check_harmless(done.stdout)
            self.check_harmless(done.stderr)
            self.assertIn(str(truth["connection"]), told, arguments)

    def test_the_same_tree_judged_again_elsewhere(self):
        """The same verdict, names made harmless in the same way."""
        with tempfile.TemporaryDirectory() as directory:
            pids = (1, self.lab.truth["init"]["pid"], self.lab.truth["blocked"]["pid"])
            capture_tree(directory, pids, [self.lab.truth["connection"]])
            done = subprocess.run([os.path.join(BUILD, "defused-replay-tree"), directory], capture_output=True, text=True,
                                  timeout=20, check=False)
            self.assertEqual(done.returncode, 0, done.stderr)
            report = check_report(done.stdout)
        namespace, = report["pid_namespaces"]
        self.assertEqual(namespace["pid_namespace"], self.lab.truth["pid_namespace"])
        self.assertEqual(namespace["verdict"], "deadlocked")
        self.assertEqual(namespace["connections"], [self.lab.truth["connection"]])
        connection = report["connections"][0]
        for name in (connection["source"], connection["mount_points"][0], connection["fstype"]):
            self.assertIn(HARMLESS, name)


if __name__ == "__main__":
    unittest.main()
