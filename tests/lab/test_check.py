# SPDX-License-Identifier: Apache-2.0
"""`defused check` beside a real daemon and a real deadlock, through /usr/bin/timeout as a monitoring system runs it."""
import json
import os
import signal
import subprocess
import time
import unittest

from daemon import DEFUSED, REPO, SLOW, Daemon, mount_fusectl, wait_until
from lab import Lab
from remedy_lab import QUICK, defused, stands

OK, WARNING, CRITICAL, UNKNOWN = range(4)
NODE_PROBLEM = json.load(open(os.path.join(REPO, "config", "node-problem-detector", "defused-monitor.json"), encoding="utf-8"))


def check(daemon, *words, seconds=30):
    """(exit code, standard output); 124 where it had to be ended."""
    done = subprocess.run(["/usr/bin/timeout", str(seconds * SLOW), DEFUSED, "check", "--config", daemon.config, *words],
                          capture_output=True, text=True, timeout=60 * SLOW, check=False)
    return done.returncode, done.stdout


class Check(unittest.TestCase):
    def setUp(self):
        mount_fusectl()

    def wait_for(self, daemon, code, *words):
        text = ""

        def seen():
            nonlocal text
            found, text = check(daemon, *words)
            return found == code and text

        try:
            return wait_until(seen, 15, f"exit code {code}")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{text}\n{daemon.log()}") from None

    def check_critical(self, lab, text):
        line = text.splitlines()[0]
        self.assertRegex(line, r"^DEFUSED CRITICAL: 1 PID namespace deadlocked for \S+: ")
        self.assertIn(f"on connection {lab.truth['connection']} (fuse.defusedlab)", line)
        self.assertIn(" deadlocked=1;0;", line)
        self.assertIn(f"defused explain namespace:{lab.truth['pid_namespace']}", text)

    def check_node_problem(self, daemon, code):
        """As node-problem-detector runs the rules."""
        for rule in NODE_PROBLEM["rules"]:
            words = [word for word in rule["args"][1:] if word not in ("--critical-after", "1m")]
            found, text = check(daemon, *words)
            self.assertEqual(found, code, text)
            self.assertLessEqual(len(text.strip().encode()), 80)
            self.assertEqual(len(text.splitlines()), 1)
            if code == 1:
                self.assertIn("deadlocked", text)
        self.assertEqual(NODE_PROBLEM["rules"][0]["args"][2:4], ["--critical-after", "1m"])

    def test_from_healthy_to_deadlocked_and_back(self):
        with Daemon(**QUICK) as daemon:
            self.wait_for(daemon, OK)
            self.check_node_problem(daemon, 0)
            with Lab("flush_thread", fstype="defusedlab") as lab:
                self.check_critical(lab, self.wait_for(daemon, CRITICAL))
                answer = json.loads(check(daemon, "--json")[1])
                self.assertEqual((answer["source"], answer["state"], answer["exit_code"]), ("daemon", "critical", 2))
                problem = answer["problems"][0]
                self.assertEqual((problem["what"], problem["pid_namespace"], problem["connection"]),
                                 ("deadlocked", lab.truth["pid_namespace"], lab.truth["connection"]))
                # Too young for that long; and by a look of its own, with the age from `sched`.
                code, text = check(daemon, "--critical-after", "1h")
                self.assertEqual(code, WARNING, text)
                self.check_critical(lab, self.wait_for(daemon, CRITICAL, "--probe"))
                self.check_node_problem(daemon, 1)
                code, text = check(daemon, "--node-problem-detector", "--critical-after", "1h")
                self.assertEqual(code, 0, text)  # a warning only
                self.assertTrue(stands(lab.truth))
            self.wait_for(daemon, OK)

    def test_a_daemon_that_is_not_ready(self):
        with Daemon(pass_deadline="60s", **QUICK) as daemon:
            self.wait_for(daemon, OK)
            prober = daemon.child("defused-prober")
            # A prober that stands still is replaced once it misses its deadline; with a long one, reports grow old first.
            # What check reads has another: it is that of its own look, too.
            daemon.write_config({**daemon.settings, "pass_deadline": f"{2 * SLOW}s"})
            os.kill(prober, signal.SIGSTOP)
            try:
                text = self.wait_for(daemon, WARNING)
                self.assertIn("DEFUSED WARNING: the daemon is not ready: the last pass began", text)
                self.assertEqual(check(daemon, "--node-problem-detector")[0], 0)
                self.assertEqual(check(daemon, "--node-problem-detector", "--warnings")[0], 1)
                self.assertEqual(check(daemon, "--probe")[0], OK)
                # Its report says that all is well; a look of its own finds what came since.
                with Lab("flush_thread", fstype="defusedlab") as lab:
                    text = self.wait_for(daemon, CRITICAL)
                    self.check_critical(lab, text)
                    self.assertIn("WARNING: the daemon is not ready", text)
                    answer = json.loads(check(daemon, "--json")[1])
                    self.assertEqual((answer["source"], answer["state"]), ("probe", "critical"), answer)
            finally:
                os.kill(prober, signal.SIGCONT)
            self.wait_for(daemon, OK)

    def test_a_supervisor_that_stands_still(self):
        with Daemon(**QUICK) as daemon:
            os.kill(daemon.supervisor(), signal.SIGSTOP)
            try:
                begin = time.monotonic()
                code, text = check(daemon)
                self.assertEqual(code, WARNING, text)
                self.assertIn("the daemon does not answer", text)
                self.assertLess(time.monotonic() - begin, 15 * SLOW)
            finally:
                os.kill(daemon.supervisor(), signal.SIGCONT)
            self.wait_for(daemon, OK)

    def test_without_a_daemon(self):
        with Daemon(**QUICK) as daemon, Lab("flush_thread", fstype="defusedlab") as lab:
            os.kill(daemon.supervisor(), signal.SIGTERM)
            daemon.process.wait(10 * SLOW)
            text = self.wait_for(daemon, CRITICAL)
            self.check_critical(lab, text)
            self.assertIn("this is a look of its own", text)
            self.assertEqual(defused(daemon, "check")[0], CRITICAL)
            self.assertTrue(stands(lab.truth))

    def check_within(self, daemon, namespace, script):
        """Exit codes in a new namespace of that kind: of a plugin, and for node-problem-detector."""
        codes = []
        for words in ([], ["--node-problem-detector"]):
            done = subprocess.run(["unshare", *namespace, "sh", "-c", script + 'exec "$@"', "sh", DEFUSED, "check", "--config",
                                   daemon.config, *words], capture_output=True, text=True, timeout=60 * SLOW, check=False)
            codes.append(done.returncode)
        return codes

    def test_a_deadlock_that_it_cannot_see_is_not_well(self):
        with Daemon(**QUICK) as daemon, Lab("flush_thread", fstype="defusedlab") as lab:
            os.kill(daemon.supervisor(), signal.SIGTERM)
            daemon.process.wait(10 * SLOW)
            self.wait_for(daemon, CRITICAL)
            self.assertEqual(self.check_within(daemon, ["--mount", "--propagation", "private"],
                                               "umount -l /sys/fs/fuse/connections; "), [UNKNOWN, 2])
            self.assertEqual(self.check_within(daemon, ["--pid", "--fork", "--mount-proc", "--propagation", "private"], ""),
                             [UNKNOWN, 2])
            self.assertTrue(stands(lab.truth))


if __name__ == "__main__":
    unittest.main()
