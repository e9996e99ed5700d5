# SPDX-License-Identifier: Apache-2.0
"""The lab itself: each situation is what its truth says, cannot be killed, and leaves nothing behind."""
import glob
import os
import re
import signal
import subprocess
import tempfile
import time
import unittest

from daemon import BUILD, SLOW, read_text, wait_until
from lab import Lab, connections, kernel_stacks

PROGRAM = os.path.join(BUILD, "defused-lab")
FORMS = ("flush_leader", "flush_thread", "server_pid1", "healthy", "hostile", "hang_reader", "tar_pit")


def is_gone(pid):
    text = read_text(f"/proc/{pid}/status")
    return not text or re.search(r"^State:\tZ", text, re.M) and re.search(r"^Threads:\t1$", text, re.M)


def field(path, name):
    found = re.search(rf"^{name}:\t(.*)$", read_text(f"{path}/status"), re.M)
    return found.group(1) if found else ""


def all_stacks(pid):
    return "".join(read_text(path) for path in glob.glob(f"/proc/{pid}/task/*/stack"))


def mounts_in(pid, truth):
    """Lines of `pid`'s mountinfo that are the lab's mount. (The truth writes each byte as one character.)"""
    mount_point = truth["mount_point"].encode("latin-1").decode("utf-8", "surrogateescape")
    return [line for line in read_text(f"/proc/{pid}/mountinfo").split("\n") if mount_point in line]


def leftovers(directory):
    """What there is of situations below `directory`: directories, and processes that have their mounts."""
    mine = [path for path in glob.glob("/proc/[0-9]*/task/*/mountinfo") if directory in read_text(path)]
    return os.listdir(directory) + mine


def hangs(path):
    """Whether a reader of `path` blocks; the reader is killed."""
    try:
        subprocess.run(["cat", path], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=1, check=False)
    except subprocess.TimeoutExpired:
        return True
    return False


class Case(unittest.TestCase):
    def check_stays(self, condition, seconds, what):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.assertTrue(condition(), what)
            time.sleep(0.02)


class Situations(Case):
    def check_nothing_outside(self, lab):
        """Neither this process nor the lab is a viewer, user or server of the connection."""
        for pid in ("self", lab.process.pid):
            self.assertEqual(mounts_in(pid, lab.truth), [])
        for path in glob.glob(f"/proc/{lab.process.pid}/fd/*"):
            target = os.readlink(path)
            self.assertNotIn("/dev/fuse", target)
            self.assertNotIn("/defused-lab-", target)

    def check_killing_is_vain(self, truth, blocked):
        stack = read_text(f"{blocked}/stack")
        for pid in (truth["blocked"]["pid"], truth["init"]["pid"]):
            os.kill(pid, signal.SIGKILL)
        self.check_stays(lambda: read_text(f"{blocked}/stack") == stack, 0.5, "it went on")

    def check_deadlock(self, form, state, leader):
        with Lab(form) as lab:
            truth = lab.truth
            pid, tid, init = truth["blocked"]["pid"], truth["blocked"]["tid"], truth["init"]["pid"]
            blocked = f"/proc/{pid}/task/{tid}"
            evidence = kernel_stacks([init, pid])
            for symbol in ("request_wait_answer", "fuse_flush", "do_exit"):
                self.assertIn(symbol, read_text(f"{blocked}/stack"), evidence)
            self.assertRegex(field(blocked, "State"), "^[DS]", evidence)
            self.assertEqual(int(field(blocked, "ShdPnd"), 16) & 0x100, 0x100, evidence)
            self.assertEqual(tid == pid, leader)
            if not leader:
                self.assertRegex(field(f"/proc/{pid}", "State"), "^Z", evidence)
                self.assertEqual(field(f"/proc/{pid}", "Threads"), "2", evidence)
            self.assertEqual(truth["state"], state)
            self.assertEqual("zap_pid_ns_processes" in all_stacks(init), state == "reaping", evidence)
            self.assertRegex(field(f"/proc/{init}", "NStgid"), r"^\d+\t1$")
            self.assertEqual(field(blocked, "NSpid").split()[0], str(tid))
            self.assertEqual(os.stat(f"{blocked}/ns/pid").st_ino, truth["pid_namespace"])
            self.assertEqual(read_text(f"/proc/{init}/stat").rpartition(")")[2].split()[19],
                             str(truth["init"]["start_ticks"]))
            mounts = mounts_in(tid, truth)
            self.assertEqual(len(mounts), 1)
            self.assertIn(f" 0:{truth['connection']} / ", mounts[0])
            self.assertIn(truth["connection"], connections())
            self.assertGreater(truth["waiting"], 0)
            self.check_nothing_outside(lab)
            self.check_killing_is_vain(truth, blocked)
        self.assertTrue(is_gone(init))
        self.assertTrue(is_gone(pid))

    def test_flush_leader(self):
        self.check_deadlock("flush_leader", "reaping", True)

    def test_flush_thread(self):
        self.check_deadlock("flush_thread", "reaping", False)

    def test_server_pid1(self):
        self.check_deadlock("server_pid1", "init_blocked", False)

    def test_server_pid1_leaves_a_member_alive(self):
        with Lab("server_pid1") as lab:
            space = os.readlink(f"/proc/{lab.truth['init']['pid']}/ns/pid")
            members = []
            for path in glob.glob("/proc/[0-9]*"):
                try:
                    if os.readlink(f"{path}/ns/pid") == space:
                        members.append(path)
                except OSError:
                    pass
            others = [path for path in members if path != f"/proc/{lab.truth['init']['pid']}"]
            self.assertEqual(len(others), 1)
            self.assertRegex(field(others[0], "State"), "^S")
            self.assertEqual(int(field(others[0], "ShdPnd"), 16), 0)

    def test_hostile(self):
        self.check_deadlock("hostile", "reaping", True)

    def test_hostile_names_are_in_place(self):
        with Lab("hostile") as lab:
            pid = lab.truth["blocked"]["pid"]
            with open(f"/proc/{pid}/comm", "rb") as file:
                self.assertEqual(file.read(), b"\xff\x1b\"'\\\n<script>\n")
            with open(f"/proc/{pid}/mountinfo", "rb") as file:
                line = next(line for line in file if b"/defused-lab-" in line)
            # mountinfo writes newline and backslash as octal numbers and all else as it is
            self.assertEqual(line.count(b"\xff\x1b\"'\\134\\012<script>"), 3, line)
            self.assertIn("\u202egnp\u200b".encode(), line)

    def test_healthy_answers(self):
        with Lab("healthy") as lab:
            for _ in range(3):
                self.assertEqual(lab.read()["read"], "ok")
            self.assertEqual(lab.truth["state"], "healthy")
            self.assertNotIn("fuse", read_text(f"/proc/{lab.truth['init']['pid']}/stack"))
            self.check_nothing_outside(lab)

    def test_tar_pit_swallows(self):
        with Lab("tar_pit") as lab:
            mount_point, server = lab.truth["mount_point"], lab.truth["init"]["pid"]
            self.assertEqual(len(mounts_in("self", lab.truth)), 1)
            done = subprocess.run(["ls", mount_point], capture_output=True, text=True, timeout=5, check=False)
            self.assertEqual(sorted(done.stdout.split()), ["held", "hello", "swallow"])
            victim = subprocess.Popen(["sleep", "60"])
            lab.inject(victim.pid, lab.truth["swallow"])
            wait_until(lambda: "fuse_open" in read_text(f"/proc/{victim.pid}/stack"), 5, "the victim to be caught")
            # Until the server has read the request a kill would still work.
            wait_until(lambda: "pause" in all_stacks(server), 5, "the server to have it")
            victim.kill()
            wait_until(lambda: field(f"/proc/{victim.pid}", "State").startswith("D"), 5, "the victim to be unkillable")
            self.check_stays(lambda: victim.poll() is None, 0.5, "it could be killed")
            self.assertEqual(int(field(f"/proc/{victim.pid}", "SigPnd"), 16) & 0x100, 0x100)
        victim.wait(10)

    def test_reading_hangs(self):
        with Lab("hang_reader") as lab:
            process = f"/proc/{lab.truth['pid']}"
            self.assertIn(f"{process}/stat", lab.truth["hangs"])
            for path in lab.truth["hangs"]:
                self.assertTrue(hangs(path), path)
            for name in ("status", "comm", "mountinfo", "cgroup"):
                self.assertFalse(hangs(f"{process}/{name}"), name)
            self.assertEqual(int(field(process, "ShdPnd"), 16), 0)

    def test_options(self):
        with tempfile.TemporaryDirectory() as directory:
            names = {"fstype": "other", "source": "a source", "mount_name": "name", "comm": "short", "work_dir": directory}
            with Lab("flush_leader", **names) as lab:
                self.assertRegex(lab.truth["mount_point"], rf"^{directory}/defused-lab-\w+/name$")
                self.assertEqual(lab.truth["fstype"], "fuse.other")
                blocked = lab.truth["blocked"]["pid"]
                self.assertIn(" - fuse.other a\\040source ", mounts_in(blocked, lab.truth)[0])
                self.assertEqual(read_text(f"/proc/{blocked}/comm"), "short\n")
            self.assertEqual(os.listdir(directory), [])


class CleanUp(Case):
    def test_nothing_is_left_when_the_lab_is_killed(self):
        for form in FORMS:
            with self.subTest(form=form), tempfile.TemporaryDirectory() as directory:
                lab = Lab(form, work_dir=directory)
                lab.__enter__()
                truth = lab.truth
                self.assertIn(truth["connection"], connections())
                lab.process.kill()
                lab.close()
                wait_until(lambda: is_gone(truth["init"]["pid"]), 10, "its processes to be gone")  # pylint: disable=W0640
                wait_until(lambda: truth["connection"] not in connections(), 10, "the connection")  # pylint: disable=W0640
                wait_until(lambda: not leftovers(directory), 10, "its directory to be gone")  # pylint: disable=W0640

    def test_nothing_is_left_when_it_is_killed_at_any_moment(self):
        before = connections()
        with tempfile.TemporaryDirectory() as directory:
            for step in range(30):
                lab = subprocess.Popen([PROGRAM, "make", FORMS[step % 3], "--work-dir", directory], stdin=subprocess.PIPE,
                                       stdout=subprocess.DEVNULL)
                time.sleep(step * 0.0005 * SLOW)  # not waiting for anything: it is the moment that is tried
                lab.kill()
                lab.communicate(timeout=10)
            wait_until(lambda: not leftovers(directory), 10 * SLOW, f"nothing to be left of {os.listdir(directory)}")
        wait_until(lambda: not connections() - before, 10, "the connections to be gone")

    def test_it_ends_by_itself(self):
        with Lab("flush_leader", seconds=2) as lab:
            lab.process.wait(30)
            self.assertEqual(lab.process.returncode, 0)
            self.assertTrue(is_gone(lab.truth["init"]["pid"]))

    def test_it_ends_with_its_standard_input(self):
        with Lab("flush_leader") as lab:
            lab.process.stdin.close()
            self.assertEqual(lab.process.wait(20), 0)
            self.assertTrue(is_gone(lab.truth["init"]["pid"]))

    def test_it_ends_while_stopped(self):
        """The lab does not move any more: its guardian ends the situation when its time has come."""
        with Lab("flush_leader", seconds=1) as lab:
            lab.process.send_signal(signal.SIGSTOP)
            try:
                wait_until(lambda: is_gone(lab.truth["init"]["pid"]), 30, "the guardian to act")
            finally:
                lab.process.send_signal(signal.SIGCONT)


class Machine(Case):
    def run_lab(self, *arguments, wrapper=()):
        done = subprocess.run([*wrapper, PROGRAM, *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=30 * SLOW, check=False)
        return done.returncode, done.stderr

    def test_wrong_words(self):
        for words in ((), ("make",), ("make", "nothing"), ("make", "healthy", "--seconds", "1x"), ("make", "healthy", "--x", "1")):
            code, errors = self.run_lab(*words)
            self.assertEqual(code, 2, words)
            self.assertIn("usage", errors)

    def test_not_permitted(self):
        code, errors = self.run_lab("make", "flush_leader", wrapper=("setpriv", "--bounding-set=-sys_admin"))
        self.assertEqual(code, 77, errors)
        self.assertRegex(errors, "^defused-lab: .+\n$")

    def test_no_directory(self):
        code, errors = self.run_lab("make", "flush_leader", "--work-dir", "/nonexistent")
        self.assertEqual(code, 1)
        self.assertIn("/nonexistent", errors)

    def test_fusectl_need_not_be_mounted(self):
        hidden = ["unshare", "--mount", "--propagation", "private", "sh", "-c",
                  "umount -l /sys/fs/fuse/connections 2>/dev/null; exec \"$@\"", "sh"]
        with Lab("flush_leader", wrapper=hidden) as lab:
            self.assertNotIn("fusectl", read_text(f"/proc/{lab.process.pid}/mountinfo"))
            self.assertGreater(lab.truth["waiting"], 0)
        self.assertTrue(is_gone(lab.truth["init"]["pid"]))


if __name__ == "__main__":
    unittest.main()
