# SPDX-License-Identifier: Apache-2.0
"""The alerts of config/prometheus by promtool, that each has all it needs, and that their tests notice when one is worse."""
import concurrent.futures
import functools
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[3]
CONFIG = ROOT / "config" / "prometheus"
ALERTS = CONFIG / "defused.alerts.yml"
TESTS = CONFIG / "tests" / "defused_alerts.yml"
BASE = "file:///usr/share/doc/defused/docs/runbooks/"

INTERVAL = 60  # seconds between the evaluations of the tests
BATCH = 10  # files that one promtool tests: it takes longer to start than to test

# What is changed in the expression of an alert wherever it stands, one place at a time.
CHANGES = [
    (r"> 0\b", ["> 1", "> -1"]),
    (r"== 1\b", ["== 0"]),
    (r"== 0\b", ["== 1", "<= 1"]),
    (r"> 120\b", ["> 60", "> 600"]),
    (r"> 300\b", ["> 180", "> 600"]),
    (r"> 900\b", ["> 780", "> 1800"]),
    (r"\bcluster, ", [""]),
    (r"unless on \(cluster, job, instance\) \w+", [""]),
    (r"< 3600\b", ["< 1", "< 1e9"]),
    (r"\[1h\]", ["[5m]", "[3h]"]),
    (r"\[(?:3|5|10)m\]", ["[1m]", "[30m]"]),
    (r"\bmax without\b", ["min without"]),
    (r"\bsum without\b", ["max without", "count without"]),
    (r"\bmin without\b", ["max without"]),
    (r"\bgroup by\b", ["max by"]),
    (r"topk by \([a-z_, ]+\) \(1, ", ["("]),
    (r"group_left \(fstype, source\)", ["group_left (fstype)", "group_left (source)"]),
    (r"group_left \(container, image\)", ["group_left (container)", "group_left (image)"]),
    (r"\bor on \((?=.*\))", ["unless on ("]),
    (r"increase\(", ["changes("]),
    (r"absent\(", ["count("]),
    (r"last_over_time\(", ["min_over_time(", "max_over_time("]),
    (r"process=\"supervisor\"", ["process=\"prober\""]),
]
# Where each series is alone, or all that are left are above 0.
ALONE = ("instance:defused_stuck_pid_namespace_stuck_seconds:named", "DefusedContainerCannotDie", "DefusedContainerStuck",
         "DefusedContainerWaitsForLiveServer", "DefusedRemediationFailed", "DefusedProbersLost")


def load():
    return yaml.safe_load(ALERTS.read_text())


def rules_of(document):
    return [rule for group in document["groups"] for rule in group["rules"]]


def name_of(rule):
    return rule.get("alert", rule.get("record"))


def alerts():
    return [rule for rule in rules_of(load()) if "alert" in rule]


def changed_expressions(expr):
    """(what, the expression with it) for each way in which it can be worse."""
    for pattern, others in CHANGES:
        for found in re.finditer(pattern, expr):
            for other in others:
                yield f"{found[0]} -> {other}", expr[:found.start()] + other + expr[found.end():]
    for found in re.finditer(r"without \(([^()]+)\)", expr):
        labels = re.split(r",\s*", found[1])
        for label in labels:
            left = ", ".join(one for one in labels if one != label)
            yield f"without {label}", expr[:found.start(1)] + left + expr[found.end(1):]
    for found in re.finditer(r"\{([^{}]+)\}", expr):
        yield f"no {found[0]}", expr[:found.start()] + expr[found.end():]
    for found in re.finditer(r'(?:=|!)~"([^"(]+\|[^"]+)"', expr):
        words = found[1].split("|")
        for word in words:
            left = "|".join(one for one in words if one != word)
            yield f"no |{word}|", expr[:found.start(1)] + left + expr[found.end(1):]
    if '"(.+/)?defused"' in expr:
        for other in ('"defused"', '"(.+/)?defused.*"', '".*defused"', '".+/defused"'):
            yield f"job {other}", expr.replace('"(.+/)?defused"', other)


def seconds(duration):
    return sum(int(number) * {"h": 3600, "m": 60, "s": 1}[unit] for number, unit in re.findall(r"(\d+)([hms])", duration))


def mutants():
    """(name of the rule, what is changed, the rule as it becomes; None: it is gone)."""
    for rule in rules_of(load()):
        name = name_of(rule)
        yield name, "gone", None
        for what, expr in changed_expressions(rule["expr"]):
            if what != "max without -> min without" or name not in ALONE:
                yield name, what, {**rule, "expr": expr}
        for key in ("for", "keep_firing_for"):
            if key in rule:
                yield name, f"{key} twice", {**rule, key: f"{2 * max(seconds(rule[key]), INTERVAL)}s"}
                half = seconds(rule[key]) // 2
                yield name, f"{key} half", {**rule, key: f"{half if half >= INTERVAL else 0}s"}
        if "alert" in rule:
            yield name, "severity", {**rule, "labels": {"severity": "info"}}
            if "for" not in rule:
                yield name, "for", {**rule, "for": "5m"}


def promtool(*arguments):
    done = subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True, timeout=100, check=False)
    return done.returncode, done.stdout, done.stderr


def write_mutant(directory, document, tests, name, _, rule):
    """The file with the tests, beside the rules of which one is another, or gone."""
    directory.joinpath("tests").mkdir(parents=True)
    groups = [{**group, "rules": [rule if name_of(one) == name else one for one in group["rules"]
                                  if rule or name_of(one) != name]} for group in document["groups"]]
    wanted = "DefusedContainer" if ":" in name else name
    chosen = [test for test in tests["tests"] if wanted in json.dumps(test)]
    shutil.copy(CONFIG / "defused.rules.yml", directory)
    directory.joinpath(ALERTS.name).write_text(json.dumps({"groups": groups}))  # JSON is YAML
    file = directory.joinpath("tests", TESTS.name)
    file.write_text(json.dumps({**tests, "tests": chosen}))
    return file


def pod_series(name, values, **labels):
    return {"series": name + "{" + ",".join(f'{key}="{value}"' for key, value in labels.items()) + "}", "values": values}


def missing_pods():
    """promtool's test of DefusedPodMissing: the DaemonSet has a pod on each node of clusters `a` and `b`."""
    daemonset = {"created_by_kind": "DaemonSet", "created_by_name": "defused", "namespace": "defused"}
    series = []
    for cluster in "ab":
        for node in ("n1", "n2"):
            # kube-state-metrics has two replicas
            series += [pod_series("kube_pod_info", "1x60", cluster=cluster, instance=replica, node=node, pod=f"defused-{node}", **daemonset)
                       for replica in ("ksm-0", "ksm-1")]
        # n2 of `a` is not scraped for half an hour, n2 of `b` for five minutes; n1 does not answer, which is another alert
        series.append(pod_series("up", "0x60", cluster=cluster, job="defused", instance="n1", node="n1"))
        gone = "1x4 stale _x28 1x20" if cluster == "a" else "1x4 stale _x3 1x50"
        series.append(pod_series("up", gone, cluster=cluster, job="defused/defused", instance="n2", node="n2"))
        series.append(pod_series("up", "1x60", cluster=cluster, job="node", instance="n2", node="n2"))
        for family, values in (("desired_number_scheduled", "3x60"), ("number_ready", "3x4 1x29 3x20" if cluster == "b" else "3x60")):
            for replica in ("ksm-0", "ksm-1"):
                series.append(pod_series(f"kube_daemonset_status_{family}", values, cluster=cluster, instance=replica,
                                         namespace="defused", daemonset="defused"))
            series.append(pod_series(f"kube_daemonset_status_{family}", f"{len(family)}x60", namespace="x", daemonset="other"))
    series.append(pod_series("kube_pod_info", "1x60", cluster="a", node="n3", created_by_kind="ReplicaSet", created_by_name="defused"))
    series.append(pod_series("kube_pod_info", "1x60", cluster="a", node="n3", created_by_kind="DaemonSet", created_by_name="proxy"))
    annotations = {"description": "Nobody looks for containers that cannot die there, or nobody hears of it. Type: `kubectl get pods "
                                  "--selector app.kubernetes.io/name=defused --all-namespaces --output wide`."}
    firing = [({"cluster": "a", "node": "n2"}, "The pod of defused on n2 is not scraped"),
              ({"cluster": "b", "namespace": "defused", "daemonset": "defused"},
               "2 pods of DaemonSet defused/defused are missing or not ready")]
    told = [{"exp_labels": {**labels, "severity": "warning"}, "exp_annotations": {**annotations, "summary": summary}}
            for labels, summary in firing]
    cases = [{"alertname": "DefusedPodMissing", "eval_time": when, "exp_alerts": what} for when, what in (
        ("19m", []), ("20m", told), ("33m", told), ("36m", []))]
    return {"interval": "1m", "input_series": series, "alert_rule_test": cases}


class Alerts(unittest.TestCase):
    def test_they_pass_the_linter(self):
        code, told, errors = promtool("check", "rules", "--lint=all", "--lint-fatal", *sorted(CONFIG.glob("*.yml")))
        self.assertEqual((code, errors), (0, ""), told)
        self.assertNotIn("FAILED", told)

    def test_each_has_what_a_person_needs(self):
        self.assertEqual(len(alerts()), 14)
        for rule in alerts():
            name = rule["alert"]
            self.assertEqual(rule["labels"], {"severity": "critical" if name == "DefusedContainerCannotDie" else "warning"})
            self.assertEqual(set(rule["annotations"]), {"summary", "description", "runbook_url"}, name)
            self.assertEqual(rule["annotations"]["runbook_url"], f"{BASE}{name}.md")
            self.assertIn("`", rule["annotations"]["description"], f"{name}: nothing to type")

    def test_the_page_has_them_as_they_are(self):
        """docs/ALERTS.md: each alert once, in the order of the file, with severity, `for` and its own page."""
        page = (ROOT / "docs" / "ALERTS.md").read_text()
        rows = re.findall(r"^\| \[(\w+)\]\(runbooks/(\w+)\.md\) \| (\w+) \| (\w+) \|", page, re.M)
        self.assertEqual(rows, [(rule["alert"], rule["alert"], rule["labels"]["severity"], rule.get("for", "0"))
                                for rule in alerts()])

    def test_they_use_families_and_labels_that_exist(self):
        """docs/METRICS.md is generated from the code."""
        families = dict(re.findall(r"^## (defused_\w+)\n\n\w+, (.*?)\. ", (ROOT / "docs" / "METRICS.md").read_text(), re.M))
        for rule in rules_of(load()):
            text = rule["expr"] + " ".join(rule.get("annotations", {}).values())
            used = re.findall(r"(?<![:\w])(defused_\w+)(?!\w*:)(?:\{([^{}]*)\})?", rule["expr"])
            used += re.findall(r"(defused_\w+)\{([^{}]*)\}", text)
            for family, matchers in used:
                self.assertIn(family, families)
                for label in re.findall(r"(\w+)[=!]", matchers):
                    self.assertTrue(f"{label}" in families[family] or label in ("cluster", "job", "instance"), (rule, label))

    def test_each_is_told_firing_not_firing_and_resolving(self):
        """In that order, by name, with annotations."""
        tests = yaml.safe_load(TESTS.read_text())["tests"]
        for rule in alerts():
            told = [case for test in tests for case in test.get("alert_rule_test", []) if case["alertname"] == rule["alert"]]
            asked = [case for test in tests for case in test.get("promql_expr_test", []) if rule["alert"] in case["expr"]]
            firing = [case for case in told if case["exp_alerts"]]
            self.assertTrue(firing and all(one.get("exp_annotations") for case in firing for one in case["exp_alerts"]), rule)
            self.assertEqual(told[0]["exp_alerts"], [], rule["alert"])
            self.assertTrue(told[-1]["exp_alerts"] == [] or asked, rule["alert"])

    def test_the_one_to_copy_for_kubernetes(self):
        text = re.search(r"```yaml\n(groups:.*?)```", (ROOT / "docs" / "ALERTS.md").read_text(), re.S)[1]
        worse = [text, *(text.replace(old, new) for old, new in (
            ("cluster, node", "node"), ("(cluster, namespace,", "(namespace,"), ("unless", "and"), ("max by", "sum by"), ("> 0", ">= 0"),
            (',created_by_name="defused"', ""), ('created_by_kind="DaemonSet",', ""), ('{job=~"(.+/)?defused"}', ""),
            ("(.+/)?", ""), ("15m", "10m"), ("15m", "20m"), ('{daemonset="defused"}', "")))]
        with tempfile.TemporaryDirectory() as directory:
            files = []
            for i, rules in enumerate(worse):
                pathlib.Path(directory, f"{i}.yml").write_text(rules)
                files.append(pathlib.Path(directory, f"test{i}.yml"))
                files[-1].write_text(json.dumps({"rule_files": [f"{i}.yml"], "evaluation_interval": "1m", "tests": [missing_pods()]}))
            code, told, errors = promtool("test", "rules", files[0])
            self.assertEqual(code, 0, told + errors)
            _, told, _ = promtool("test", "rules", *files[1:])
        verdicts = re.findall(r"Unit Testing:  (\S+)(\s+SUCCESS)?", told)
        self.assertEqual([(str(file), "") for file in files[1:]], verdicts)

    def missed(self, document, tests, batch):
        """Those of the mutants that no test notices. Only cases that name the alert are run: a case costs time."""
        with tempfile.TemporaryDirectory() as directory:
            files = [write_mutant(pathlib.Path(directory, str(i)), document, tests, *mutant) for i, mutant in enumerate(batch)]
            _, told, errors = promtool("test", "rules", *files)
        verdicts = re.findall(r"Unit Testing:  (\S+)(\s+SUCCESS)?", told)
        self.assertEqual([file for file, _ in verdicts], list(map(str, files)), told + errors)
        return [mutant[:2] for (_, passed), mutant in zip(verdicts, batch) if passed]

    @unittest.skipIf(os.environ.get("DEFUSED_SLOW"), "a minute, and nothing of it is compiled")
    def test_a_worse_alert_is_noticed(self):
        made, tests = list(mutants()), yaml.safe_load(TESTS.read_text())
        self.assertGreater(len(made), 150)
        batches = [made[i:i + BATCH] for i in range(0, len(made), BATCH)]
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            missed = [one for batch in pool.map(functools.partial(self.missed, load(), tests), batches) for one in batch]
        print(f"{len(made)} worse alerts", flush=True)
        self.assertEqual(missed, [], "\n".join(map(str, missed)))


if __name__ == "__main__":
    unittest.main()
