# SPDX-License-Identifier: Apache-2.0
"""The rules of config/prometheus/defused.fleet.rules.yml: their tests notice when one of them is worse, whichever it is."""
import pathlib
import re
import shutil
import tempfile
import unittest

from rules_test import CONFIG, ROOT, promtool

RULES = CONFIG / "defused.fleet.rules.yml"
TESTS = "defused_fleet.yml"
BATCH = 20
# What is changed, each at every place where it stands, one place at a time; the tests of the rules must fail.
MUTATIONS = [
    (r"\bcluster, ", ""),  # several clusters in one Prometheus
    (r"\bmax by \(cluster, job, instance", "sum by (cluster, job, instance"),  # two pods of defused while one replaces the other
    (r"\bgroup by \(cluster, job, instance[\w, ]*\) ", ""),
    (r"\n *or 0 \* count .*", ""),  # nothing instead of 0
    (r"\bor 0 \* count", "or 1 * count"),
    (r"\brate\(", "increase("),
    (r"expr: sum by \(cluster, job", "expr: max by (cluster, job"),
    (r"\bsum by \(cluster, job\) \(max", "avg by (cluster, job) (max"),
    (r"\bcount by \(cluster, job, (\w+)", r"sum by (cluster, job, instance, \1"),
    (r"> 120\b", ">= 120"),
    (r"> 120\b", "> 600"),
    (r'"\(\.\+/\)\?defused"', '".*defused"'),
    (r'"\(\.\+/\)\?defused"', '"defused"'),
    (r"== 0\)", "== 1)"),
    (r"(defused_stuck_pid_namespaces) > 0", r"\1"),
    (r"max by \(cluster, job\) \(time", "min by (cluster, job) (time"),
]


def mutants(rules):
    for pattern, new in MUTATIONS:
        found = list(re.finditer(pattern, rules))
        assert found, pattern
        for one in found:
            yield f"{pattern} in line {rules[:one.start()].count(chr(10)) + 1}", rules[:one.start()] + one.expand(new) + rules[one.end():]


class FleetRules(unittest.TestCase):
    def passed(self, batch):
        """Whether the tests pass with each of these rules. In one promtool: it takes longer to start than to test."""
        files = []
        with tempfile.TemporaryDirectory() as directory:
            for i, rules in enumerate(batch):
                pathlib.Path(directory, f"{i}", "tests").mkdir(parents=True)
                files.append(shutil.copy(CONFIG / "tests" / TESTS, pathlib.Path(directory, f"{i}", "tests")))
                pathlib.Path(directory, f"{i}", RULES.name).write_text(rules)
            _, told = promtool("test", "rules", *files)
        verdicts = re.findall(r"Unit Testing:  (\S+)(\s+SUCCESS)?", told)
        self.assertEqual([file for file, _ in verdicts], list(map(str, files)), told)
        return [bool(passed) for _, passed in verdicts]

    def test_a_worse_rule_is_noticed(self):
        rules = RULES.read_text()
        self.assertEqual(self.passed([rules]), [True])
        made = list(mutants(rules))
        unnoticed = []
        for i in range(0, len(made), BATCH):
            batch = made[i:i + BATCH]
            unnoticed += [what for (what, _), passed in zip(batch, self.passed([mutant for _, mutant in batch])) if passed]
        self.assertEqual(unnoticed, [])

    def test_every_record_is_asked_for(self):
        records = re.findall(r"record: (\S+)", RULES.read_text())
        tests = (CONFIG / "tests" / TESTS).read_text()
        self.assertEqual([record for record in records if f"- expr: {record}\n" not in tests], [])
        self.assertEqual(len(records), len(set(records)))

    def test_they_use_families_that_exist(self):
        families = dict(re.findall(r"^## (defused_\w+)\n\n(\w+),", (ROOT / "docs" / "METRICS.md").read_text(), re.M))
        names = {name for family, kind in families.items() for name in (family, *([f"{family}_bucket"] if kind == "histogram" else []))}
        used = set(re.findall(r"(?<![:\w])(defused_\w+)", re.sub(r"record:.*|#.*", "", RULES.read_text())))
        self.assertEqual(used - names, set())

    def test_names_say_by_what(self):
        """level:metric:operation, and the level names the labels that are left; but `cluster`, which most do not have."""
        for record, expr in re.findall(r"record: (\S+)\n +expr: (?:\|\n)?(.*?)(?=\n *- record|\n\n|\Z)", RULES.read_text(), re.S):
            level, _, operation = record.split(":")
            left = re.search(r"\b(?:sum|count|max) by \(([\w, ]+)\)", expr).group(1).split(", ")
            self.assertEqual(f"cluster_{level}", "_".join(left), record)
            self.assertRegex(operation, r"^(sum|count|max|rate5m)$")


if __name__ == "__main__":
    unittest.main()
