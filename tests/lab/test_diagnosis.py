# SPDX-License-Identifier: Apache-2.0
"""`defused scan` against real deadlocks: it names what the lab knows to be true."""
import subprocess
import unittest

from daemon import DEFUSED, SLOW, scan
from lab import Lab


def about(report, truth):
    """What the report says of the lab's own namespace and connection: this host may have troubles of its own."""
    return [ns for ns in report["pid_namespaces"]
            if ns["pid_namespace"] == truth["pid_namespace"] or truth["connection"] in ns["connections"]]


class Deadlocks(unittest.TestCase):
    def check(self, form, state):
        with Lab(form) as lab:
            truth = lab.truth
            code, report, errors = scan()
            self.assertEqual(code, 0, errors)
            found = about(report, truth)
            self.assertEqual(len(found), 1, report)
            namespace = found[0]
            self.assertEqual(namespace["state"], state)
            self.assertEqual(namespace["init"]["pid"], truth["init"]["pid"])
            self.assertEqual(namespace["init"]["start_ticks"], truth["init"]["start_ticks"])
            self.assertEqual(namespace["wait_class"], "fuse_flush")
            self.assertEqual(namespace["verdict"], "deadlocked")
            self.assertEqual(namespace["evidence"], "proven")
            self.assertEqual(namespace["connections"], [truth["connection"]])
            tids = [thread["tid"] for thread in namespace["blocked_threads"]]
            self.assertIn(truth["blocked"]["tid"], tids)
            thread = next(t for t in namespace["blocked_threads"] if t["tid"] == truth["blocked"]["tid"])
            self.assertEqual(thread["connection"], truth["connection"])
            self.assertEqual(thread["wait_class"], "fuse_flush")
            self.assertIn("fuse_flush", thread["stack"])
            self.assertEqual(thread["sigkill_pending"], True)
            connection = next(c for c in report["connections"] if c["id"] == truth["connection"])
            self.assertEqual(connection["server_state"], "none")
            self.assertEqual(connection["server_evidence"], "proven")
            self.assertEqual(connection["outside_users"], 0)
            self.assertEqual(connection["outside_viewers"], 0)
            self.assertEqual(connection["fstype"], truth["fstype"])
            self.assertEqual(connection["waiting"], truth["waiting"])
            self.assertEqual(namespace["decision"]["action"], "hold")
            self.assertIn("mode", namespace["decision"]["reasons"])

    def test_blocked_thread_is_the_leader(self):
        self.check("flush_leader", "reaping")

    def test_blocked_thread_is_another_thread(self):
        self.check("flush_thread", "reaping")

    def test_server_is_pid_1(self):
        self.check("server_pid1", "init_blocked")

    def test_healthy_server_is_no_finding(self):
        with Lab("healthy") as lab:
            code, report, errors = scan()
            self.assertEqual(code, 0, errors)
            self.assertEqual(about(report, lab.truth), [])
            self.assertIn(lab.truth["connection"], [c["id"] for c in report["connections"]])
            self.assertEqual(lab.read()["read"], "ok")

    def test_scan_returns_where_stat_hangs(self):
        with Lab("hang_reader") as lab:
            hangs = lab.truth["hangs"][0]
            with self.assertRaises(subprocess.TimeoutExpired):
                subprocess.run(["cat", hangs], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=2, check=False)
            code, report, errors = scan(timeout=5)
            self.assertEqual(code, 0, errors)
            self.assertEqual(about(report, lab.truth), [])

    def test_explain_returns_where_stat_hangs(self):
        """A process in execve whose files block their reader: explained by what can be read, in time."""
        with Lab("hang_reader") as lab:
            pid = lab.truth["hangs"][0].split("/")[2]
            done = subprocess.run([DEFUSED, "explain", f"pid:{pid}"], capture_output=True, text=True, timeout=15 * SLOW,
                                  check=False)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn(f"Process {pid}", done.stdout)
            self.assertIn("stands in execve", done.stdout)
            self.assertIn("timeout", done.stdout)

    def test_connections(self):
        with Lab("healthy") as healthy:
            done = subprocess.run([DEFUSED, "connections"], capture_output=True, text=True, timeout=20 * SLOW, check=False)
            self.assertEqual(done.returncode, 0, done.stderr)
            number = healthy.truth["connection"]
            row = next(line for line in done.stdout.splitlines() if line.startswith(f"{number} "))
            self.assertIn(healthy.truth["fstype"], row)
            self.assertRegex(row, r"\d+ \(.*\) alive")  # nothing is stuck, and yet the servers are known

    def test_table_for_people(self):
        with Lab("flush_leader") as lab:
            done = subprocess.run([DEFUSED, "scan"], capture_output=True, text=True, timeout=20, check=False)
            self.assertEqual(done.returncode, 0, done.stderr)
            for word in ("deadlocked (proven)", "fuse_flush", f"connection {lab.truth['connection']}", "reaping"):
                self.assertIn(word, done.stdout)


if __name__ == "__main__":
    unittest.main()
