# SPDX-License-Identifier: Apache-2.0
"""The lab itself: each situation is what its truth says, cannot be killed, and leaves nothing behind."""
import glob
import os
import re
import signal
import subprocess
import time
import unittest

from daemon import read_text, wait_until
from lab import Lab


def connections():
    """Numbers of all FUSE connections of this kernel, from mountinfo alone (fusectl need not be mounted)."""
    found = set()
    for path in glob.glob("/proc/[0-9]*/task/*/mountinfo"):
        for line in read_text(path).splitlines():
            if " - fuse." in line:
                found.add(int(line.split()[2].partition(":")[2]))
    return found


def is_gone(pid):
    text = read_text(f"/proc/{pid}/status")
    return not text or re.search(r"^State:\tZ", text, re.M) and re.search(r"^Threads:\t1$", text, re.M)


class Situations(unittest.TestCase):
    def check_deadlock(self, form):
        with Lab(form) as lab:
            truth = lab.truth
            blocked = f"/proc/{truth['blocked']['pid']}/task/{truth['blocked']['tid']}"
            stack = read_text(f"{blocked}/stack")
            self.assertIn("fuse_flush", stack)
            self.assertIn("request_wait_answer", stack)
            self.assertIn("do_exit", stack)
            os.kill(truth["blocked"]["pid"], signal.SIGKILL)
            os.kill(truth["init"]["pid"], signal.SIGKILL)
            time.sleep(0.3)
            self.assertEqual(read_text(f"{blocked}/stack"), stack)
            inits = read_text(f"/proc/{truth['init']['pid']}/status")
            self.assertRegex(inits, re.compile(r"^NStgid:\t\d+\t1$", re.M))
            self.assertIn(f" 0:{truth['connection']} ", read_text(f"{blocked}/mountinfo"))
        self.assertTrue(is_gone(truth["init"]["pid"]))
        self.assertTrue(is_gone(truth["blocked"]["pid"]))

    def test_flush_leader(self):
        self.check_deadlock("flush_leader")

    def test_flush_thread(self):
        self.check_deadlock("flush_thread")

    def test_server_pid1(self):
        self.check_deadlock("server_pid1")

    def test_hostile(self):
        self.check_deadlock("hostile")

    def test_healthy_answers(self):
        with Lab("healthy") as lab:
            for _ in range(3):
                self.assertEqual(lab.read()["read"], "ok")
            self.assertNotIn("fuse", read_text(f"/proc/{lab.truth['init']['pid']}/stack"))

    def test_tar_pit_swallows(self):
        with Lab("tar_pit") as lab:
            victim = subprocess.Popen(["sleep", "60"])
            lab.inject(victim.pid, lab.truth["swallow"])
            wait_until(lambda: "fuse_open" in read_text(f"/proc/{victim.pid}/stack"), 5, "the victim to be caught")
            time.sleep(0.3)  # until the server has read the request a kill would still work
            victim.kill()
            time.sleep(0.3)
            self.assertIsNone(victim.poll())
            self.assertRegex(read_text(f"/proc/{victim.pid}/status"), re.compile(r"^State:\tD", re.M))
        victim.wait(10)

    def test_reading_hangs(self):
        with Lab("hang_reader") as lab:
            self.assertTrue(lab.truth["hangs"])


class CleanUp(unittest.TestCase):
    def test_nothing_is_left_when_the_lab_is_killed(self):
        for form in ("flush_thread", "server_pid1", "hang_reader", "tar_pit"):
            with self.subTest(form=form):
                before = connections()
                lab = Lab(form)
                lab.__enter__()
                self.assertEqual(len(connections() - before), 1)
                lab.process.kill()
                lab.__exit__(None, None, None)
                wait_until(lambda: is_gone(lab.truth["init"]["pid"]), 10, "its processes to be gone")  # pylint: disable=W0640
                wait_until(lambda: connections() == before, 10, "its connection to be gone")  # pylint: disable=W0640
                directory = re.match(r"/tmp/defused-lab-\w+", lab.truth["mount_point"]).group(0)
                wait_until(lambda: not os.path.exists(directory), 10, "its directory to be gone")  # pylint: disable=W0640

    def test_it_ends_by_itself(self):
        with Lab("flush_leader", seconds=2) as lab:
            lab.process.wait(30)
            self.assertEqual(lab.process.returncode, 0)
            self.assertTrue(is_gone(lab.truth["init"]["pid"]))


if __name__ == "__main__":
    unittest.main()
