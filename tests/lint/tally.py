# SPDX-License-Identifier: Apache-2.0
"""Counts what a run of `./dev test` came to. A ctest test is one check, and so is every stage that is not made of them.

tally.py --stage NAME --status N DIR   notes one stage; reads DIR/NAME.xml and DIR/NAME-*.xml, ctest's JUnit output
tally.py --total DIR                   names what failed; the last line is `N passed, N failed[, N skipped]`
"""
import argparse
import glob
import json
import os
import sys
import xml.etree.ElementTree as ElementTree

REASON_LINES = 3


def judge_testcase(case):
    """'passed', 'failed' or 'skipped'. ctest writes <skipped> for a program that is missing as well: that is a failure."""
    skipped = case.find("skipped")
    if skipped is not None:
        return "skipped" if skipped.get("message", "").startswith("SKIP_") else "failed"
    return "passed" if case.get("status") == "run" else "failed"


def read_stage(name, status, directory):
    """Lists of test names by result, and what to print about skipped ones."""
    results = {"passed": [], "failed": [], "skipped": []}
    notes = []
    files = sorted(glob.glob(f"{directory}/{name}.xml") + glob.glob(f"{directory}/{name}-[0-9].xml"))
    for path in files:
        for case in ElementTree.parse(path).iter("testcase"):
            result = judge_testcase(case)
            results[result].append(f"{name}: {case.get('name')}")
            if result == "skipped":
                lines = [line for line in (case.findtext("system-out") or "").splitlines() if line.strip()]
                notes.append(f"skipped {case.get('name')}: " + " / ".join(lines[-REASON_LINES:] or ["gave no reason"]))
    if status != 0 and not results["failed"]:
        results["failed"].append(f"stage {name} (status {status})")
    elif not files:
        results["passed"].append(f"stage {name}")
    elif not any(results.values()):
        results["skipped"].append(f"stage {name}")
        notes.append(f"skipped stage {name}: no test has its label")
    return results, notes


def note_stage(name, status, directory):
    results, notes = read_stage(name, status, directory)
    with open(f"{directory}/{name}.tally", "w", encoding="utf-8") as out:
        json.dump(results, out)
    for line in notes:
        print(line)
    print(f"result {name}: " + ", ".join(f"{len(names)} {word}" for word, names in results.items()))


def total(directory):
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    failed = []
    for path in sorted(glob.glob(f"{directory}/*.tally"), key=os.path.getmtime):
        with open(path, encoding="utf-8") as tally:
            for word, names in json.load(tally).items():
                counts[word] += len(names)
                failed += names if word == "failed" else []
    for name in failed:
        print(f"FAILED {name}")
    line = f"{counts['passed']} passed, {counts['failed']} failed"
    print(line + (f", {counts['skipped']} skipped" if counts["skipped"] else ""))
    return 1 if counts["failed"] or not counts["passed"] else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stage")
    parser.add_argument("--status", type=int, default=0)
    parser.add_argument("--total", action="store_true")
    parser.add_argument("directory")
    options = parser.parse_args()
    if options.total:
        return total(options.directory)
    note_stage(options.stage, options.status, options.directory)
    return 0


if __name__ == "__main__":
    sys.exit(main())
