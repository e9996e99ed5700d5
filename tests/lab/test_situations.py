# SPDX-License-Identifier: Apache-2.0
"""`defused scan --json` against every situation of situations.py: right about state, verdict, wait class, the exact set of
wedged connections, server, outside users and viewers; and `defused explain` about the same, in words. What they said is a
table in docs/DETECTION.md and the texts in docs/EXPLAIN.md, which this test compares (and writes with
DEFUSED_WRITE_DOCS=1). With DEFUSED_EXPLAIN_TEXTS=DIR all texts of explain are put there."""
import json
import os
import subprocess
import tempfile
import unittest

import captured
import explained
import situations
from capture_tree import capture_tree
from daemon import BUILD, REPO, SLOW, read_text, scan, wait_until
from stage import Stage

PAGE = os.path.join(REPO, "docs", "DETECTION.md")
BEGIN = "<!-- situations: written by tests/lab/test_situations.py -->\n"
END = "<!-- end of situations -->\n"


def hung_flushers():
    """PIDs of the kernel threads whose writeback hangs."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit() and "+flush-" in read_text(f"/proc/{name}/comm")]


class Situations(unittest.TestCase):
    rows = {}
    texts = {}

    def look(self, stage, truth):
        """One scan, and what it says of this stage."""
        code, report, errors = scan()
        self.assertEqual(code, 0, errors)
        ours = {connection.id for connection in stage.connections}
        spaces = {actor.pid_namespace for actor in stage.actors} - {os.stat("/proc/self/ns/pid").st_ino}
        pids = {actor.pid for actor in stage.actors}
        namespaces = {ns["pid_namespace"]: ns for ns in report["pid_namespaces"] if ns["pid_namespace"] in spaces}
        exits = [exit for exit in report["stuck_exits"] if exit["pid"] in pids]
        connections = {c["id"]: c for c in report["connections"] if c["id"] in ours}
        self.assertEqual(set(connections), ours, report)
        return report, namespaces, exits, connections

    def check_server(self, truth, connection):
        self.assertEqual(connection["server_state"], truth.server, connection)
        self.assertEqual(connection["server_evidence"], "proven", connection)
        if truth.users is None:  # on a mount that nobody can see, files are counted by the kernel alone
            self.assertIn(connection["outside_users"], (0, None))
        else:
            self.assertEqual(connection["outside_users"], truth.users, connection)
        self.assertEqual(connection["outside_viewers"], truth.viewers, connection)
        self.assertIs(connection["host_mount"], False)
        self.assertIs(connection["orphaned"], truth.orphaned, connection)
        self.assertIsNotNone(connection["stalled_since"], connection)

    def check_namespace(self, truth, namespaces):
        found = namespaces.pop(truth.init.pid_namespace, None)
        self.assertIsNotNone(found, "the namespace is missing")
        self.assertEqual(found["init"]["pid"], truth.init.pid)
        for key in ("state", "verdict", "wait_class"):
            self.assertEqual(found[key], getattr(truth, key), found)
        self.assertEqual(set(found["connections"]), {c.id for c in truth.connections}, found)
        self.assertEqual({thread["pid"] for thread in found["blocked_threads"]}, {actor.pid for actor in truth.blocked})
        for thread in found["blocked_threads"]:
            self.assertEqual(thread["verdict"], truth.verdict, thread)
        if truth.classes:
            self.assertEqual({thread["wait_class"] for thread in found["blocked_threads"]}, truth.classes)
        self.assertIs(found["gap"], False)
        self.assertEqual(found["decision"]["action"], "hold")
        if truth.outer:
            outer = namespaces.pop(truth.outer.pid_namespace)
            self.assertEqual(outer["waits_for"], [truth.init.pid_namespace])
            self.assertEqual(outer["blocked_threads"], [])
            self.assertEqual(outer["connections"], [])
            self.assertIs(outer["stuck"], False)
            self.assertEqual(outer["verdict"], truth.verdict)
        return found

    def check_exit(self, truth, exits):
        self.assertEqual({exit["pid"] for exit in exits}, {truth.stuck_exit.pid})
        for exit in exits:
            self.assertEqual(exit["verdict"], truth.verdict)
            self.assertEqual(exit["connection"], truth.connections[0].id)
        told = [exit for exit in exits if exit["wait_class"] == truth.wait_class]
        self.assertEqual(told[:1], exits[:1])
        return told[0]

    def check(self, situation):
        with Stage() as stage:
            truth = situation(stage)
            report, namespaces, exits, connections = self.look(stage, truth)
            if truth.stands and not all(truth.stands in actor.stacks() for actor in truth.blocked):
                raise situations.NotThisTime
            told = None
            if truth.init:
                told = self.check_namespace(truth, namespaces)
            if truth.stuck_exit:
                told = self.check_exit(truth, exits)
                exits = []
            self.assertEqual(exits, [])
            # Nothing else is blamed: what is left has only begun to die.
            for other in namespaces.values():
                self.assertEqual((other["blocked_threads"], other["stuck"], other["waits_for"]), ([], False, []), other)
            for connection in truth.connections:
                self.check_server(truth, connections[connection.id])
            for connection in truth.live:
                self.assertIn(connections[connection.id]["server_state"], ("alive", "unknown"))
            # What nobody waits for does not stall; what a deadlock holds does.
            stalled = {number for number, c in connections.items() if c["stalled_since"]}
            self.assertEqual(stalled, {c.id for c in truth.connections + truth.stalled})
            self.rows[situation] = self.row(situation, truth, told, connections)
            self.texts[situation] = explained.check(self, situation.__name__, truth)
            self.check_copy(stage, truth)
            if SLOW == 1:  # under sanitizers tests/cli makes round trips
                captured.check(self, stage, report)
            if truth.release:
                truth.release()
                wait_until(truth.init.ended, 10, "the server to answer and the namespace to go")
        self.assertEqual(report["schema"], "defused.report/v1")

    def check_copy(self, stage, truth):
        """A copy of what /proc and fusectl show is judged without the kernel's help: the truth or less, never another one.
        No read that fails makes it more."""
        with tempfile.TemporaryDirectory() as directory:
            pids = {1, *(actor.pid for actor in stage.actors), *hung_flushers()}
            capture_tree(directory, pids, [connection.id for connection in stage.connections])
            replay = os.path.join(BUILD, "defused-replay-tree")
            told = subprocess.run([replay, directory], capture_output=True, timeout=20 * SLOW, check=True)
            self.check_alone(truth, json.loads(told.stdout))
            if SLOW > 1:
                return  # the sweep itself runs under sanitizers in tests/scenario; here it would take many minutes
            swept = subprocess.run([replay, "--faults", directory], capture_output=True, text=True, timeout=120 * SLOW,
                                   check=False)
            self.assertEqual(swept.returncode, 0, swept.stdout + swept.stderr)

    def check_alone(self, truth, report):
        wedged = {connection.id for connection in truth.connections}
        init = truth.init.pid_namespace if truth.init else None
        exits = [truth.stuck_exit.pid] if truth.stuck_exit else []
        expected = truth.alone or truth.verdict
        if expected == "nothing":
            self.assertEqual((report["pid_namespaces"], report["stuck_exits"]), ([], []))
            return
        for ns in report["pid_namespaces"]:
            if ns["pid_namespace"] == init:
                self.assertEqual((ns["state"], ns["wait_class"], ns["verdict"]),
                                 (truth.state, truth.wait_class, expected), ns)
                if ns["verdict"] == truth.verdict:
                    self.assertLessEqual(set(ns["connections"]), wedged, ns)
                init = None
            else:
                self.assertFalse(ns["blocked_threads"], ns)
        self.assertIsNone(init, "the namespace is missing")
        self.assertEqual([exit["pid"] for exit in report["stuck_exits"]], exits)
        for exit in report["stuck_exits"]:
            self.assertEqual((exit["wait_class"], exit["verdict"]), (truth.wait_class, expected))

    @staticmethod
    def row(situation, truth, told, connections):
        """What scan said, not what is true."""
        if told is None:
            cells = ["nothing"] + [""] * 6
        else:
            wedged = [connections[c.id] for c in truth.connections]
            names = sorted(c.path.rsplit("/", 1)[1] for c in truth.connections)
            numbers = [{str(c[key]) for c in wedged} for key in ("server_state", "outside_users", "outside_viewers")]
            cells = [told.get("state", "stuck exit"), told["verdict"], told["wait_class"], " ".join(names),
                     *(" ".join(sorted(values)).replace("None", "unknown") for values in numbers)]
        return "| " + " | ".join([situation.__doc__, *cells]) + " |\n"


def add_tests():
    for situation in situations.SITUATIONS:
        def test(self, situation=situation):
            for _ in range(20):
                try:
                    return self.check(situation)
                except situations.NotThisTime:
                    pass
            return self.fail("not in 20 times")
        setattr(Situations, f"test_{situation.__name__}", test)


add_tests()


class ZTable(unittest.TestCase):
    """After all the others (tests run by name): the page says what was seen."""

    def test_page(self):
        missing = [s.__name__ for s in situations.SITUATIONS if s not in Situations.rows]
        if missing:
            self.skipTest(f"not all situations were made: {' '.join(missing)}")
        table = "| situation | state | verdict | wait class | wedged | server | users | viewers |\n"
        table += "|---|---|---|---|---|---|---|---|\n" + "".join(Situations.rows[s] for s in situations.SITUATIONS)
        with open(PAGE, encoding="utf-8") as file:
            page = file.read()
        head, _, rest = page.partition(BEGIN)
        old, _, tail = rest.partition(END)
        if os.environ.get("DEFUSED_WRITE_DOCS") == "1":
            with open(PAGE, "w", encoding="utf-8") as file:
                file.write(head + BEGIN + table + END + tail)
        else:
            self.assertEqual(table, old)


class ZTexts(unittest.TestCase):
    """The page shows three texts as they were printed, numbers masked."""

    def test_page(self):
        missing = [name for name in explained.SHOWN if name not in {s.__name__ for s in Situations.texts}]
        if missing:
            self.skipTest(f"not all situations were made: {' '.join(missing)}")
        explained.check_page(self, {situation.__name__: text for situation, text in Situations.texts.items()})


if __name__ == "__main__":
    unittest.main()
