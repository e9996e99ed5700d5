# SPDX-License-Identifier: Apache-2.0
"""The join rules of config/prometheus by promtool, and that the tests of the rules notice when a rule is worse."""
import json
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[3]
CONFIG = ROOT / "config" / "prometheus"
RULES = CONFIG / "defused.rules.yml"
TESTS = CONFIG / "tests" / "defused_joins.yml"

# What is taken out or changed in the rules, each once; the tests of the rules must fail.
MUTANTS = [
    ("topk by (pod_uid) (1,", "("),  # replicas that are the same
    ("topk by (pod_uid) (1,", "group by (pod_uid, namespace, pod, node) ("),  # replicas that contradict each other
    ("topk by (container_id) (1,", "("),
    ("topk by (container_id) (1,", "bottomk by (container_id) (1,"),
    ("              group by (", "              max by ("),  # the value is a time
    ('uid!="", ', ""),
    ('id=~".*[0-9a-f]{64}(\\\\.scope)?", ', ""),
    (', id!~".*-conmon-[^/]*"', ""),
    ("or ignoring (namespace, pod, node)", "or"),
    ("or ignoring (namespace, pod, node)", "or on (pid_namespace)"),
    ("or ignoring (namespace, pod, node)", "and ignoring (namespace, pod, node)"),
    ("topk by (cluster, job, instance, pid_namespace) (1, ", "("),  # two pods of defused while one replaces the other
    ("(1, timestamp(defused_stuck_pid_namespace_info))", "(1, defused_stuck_pid_namespace_info)"),  # the older of the two
    ("group without (", "max without ("),  # the value is a time
    ("            name, image, namespace, pod, container,\n", "            name, image, pod, container,\n"),
    ("            name, image, namespace, pod, container,\n", "            name, image, namespace, container,\n"),
    ("            name, image, namespace, pod, container,\n", "            name, image, namespace, pod,\n"),
    ("min by (cluster, job, instance, pid_namespace) (", "("),
    ("min by (cluster, job, instance, pid_namespace) (", "max by (cluster, job, instance, pid_namespace) ("),
    ("(?:.*[-/])?([0-9a-f]{64})(?:", "(?:.*?[-/])?([0-9a-f]{64}).*(?:"),
    ('(\\\\.scope)?"', '"'),
    ("on (cluster, job, instance, pid_namespace)", "on (pid_namespace)"),
    ("(\n                name, image, namespace, pod, container,", "(\n                name, image, namespace, pod,"),
]


def worse_rules(rules):
    """(what, the rules with it): each of MUTANTS, and without `cluster` at each place where it stands."""
    for old, new in MUTANTS:
        assert old in rules, old
        yield (old, new), rules.replace(old, new, 1)
    for found in re.finditer("cluster, ", rules):
        yield f"no cluster in line {rules[:found.start()].count(chr(10)) + 1}", rules[:found.start()] + rules[found.end():]


def examples():
    """The indented blocks of docs/PROMETHEUS.md."""
    blocks = re.findall(r"(?:^    .*\n)+", (ROOT / "docs" / "PROMETHEUS.md").read_text(), re.M)
    return [re.sub(r"^    ", "", block, flags=re.M) for block in blocks]


def promtool(*arguments):
    done = subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout + done.stderr


class Rules(unittest.TestCase):
    def test_they_parse(self):
        for rules in CONFIG.glob("*.rules.yml"):
            code, told = promtool("check", "rules", rules)
            self.assertEqual(code, 0, told)
            self.assertIn("SUCCESS", told)

    def test_they_do_what_their_tests_say(self):
        tests = sorted((CONFIG / "tests").glob("*.yml"))
        self.assertTrue(tests)
        code, told = promtool("test", "rules", *tests)
        self.assertEqual(code, 0, told)

    def test_the_example_of_metrics_is_the_one_that_was_tried(self):
        """While a DaemonSet is replaced it must not fail."""
        example, = re.findall(r"^    (.*group_right.*)$", (ROOT / "docs" / "METRICS.md").read_text(), re.M)
        self.assertIn(f"- expr: {example}\n", (CONFIG / "tests" / "defused_joins.yml").read_text())

    def test_a_worse_rule_is_noticed(self):
        for what, rules in worse_rules(RULES.read_text()):
            with tempfile.TemporaryDirectory() as directory:
                pathlib.Path(directory, "tests").mkdir()
                file = shutil.copy(TESTS, pathlib.Path(directory, "tests"))
                pathlib.Path(directory, RULES.name).write_text(rules)
                code, _ = promtool("test", "rules", file)
            self.assertNotEqual(code, 0, what)

    def test_the_examples_of_the_document_are_what_they_seem(self):
        configurations = queries = 0
        for example in examples():
            with tempfile.TemporaryDirectory() as directory:
                file = pathlib.Path(directory, "example.yml")
                if re.match(r"(scrape_configs|rule_files):", example):
                    file.write_text(example)
                    code, told = promtool("check", "config", "--syntax-only", file)
                    configurations += 1
                elif re.search(r"defused_\w+|node_textfile", example):
                    rules = [{"record": f"example:{i}", "expr": line} for i, line in enumerate(example.splitlines())]
                    file.write_text(json.dumps({"groups": [{"name": "examples", "rules": rules}]}))  # JSON is YAML
                    code, told = promtool("check", "rules", file)
                    queries += len(rules)
                else:
                    continue
            self.assertEqual(code, 0, f"{example}{told}")
        self.assertEqual((configurations, queries), (3, 4))

    def test_the_queries_of_operating_are_queries(self):
        lines = re.findall(r"^ {4}((?:sum|max|topk|count) ?(?:by )?\(.*)$", (ROOT / "docs" / "OPERATING.md").read_text(), re.M)
        self.assertEqual(len(lines), 5)
        rules = [{"record": f"example:{i}", "expr": line} for i, line in enumerate(lines)]
        with tempfile.TemporaryDirectory() as directory:
            file = pathlib.Path(directory, "example.yml")
            file.write_text(json.dumps({"groups": [{"name": "examples", "rules": rules}]}))
            code, told = promtool("check", "rules", file)
        self.assertEqual(code, 0, told)

    def test_they_use_families_and_labels_that_exist(self):
        """Of the families that defused has itself: docs/METRICS.md is generated from the code."""
        families = dict(re.findall(r"^## (defused_\w+)\n\n\w+, (.*?)\. ", (ROOT / "docs" / "METRICS.md").read_text(), re.M))
        used = set(re.findall(r"(?<![:\w])(defused_\w+)(?!\w*:)", re.sub(r"record:.*|#.*", "", RULES.read_text())))
        self.assertEqual(used - set(families), set())
        self.assertGreaterEqual(len(used), 2)
        for label in ("pod_uid", "container_id", "pid_namespace"):
            self.assertIn(label, families["defused_stuck_pid_namespace_info"])


if __name__ == "__main__":
    unittest.main()
