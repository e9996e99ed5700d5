# SPDX-License-Identifier: Apache-2.0
"""SIGKILL for the prober, for the supervisor and for all three processes, at every step of an action, then a new start: no
second write within the cooldown, `interrupted` is recorded, ledger and audit log can be read, nothing is lost."""
import os
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

from ambush import Ambush
from daemon import DEFUSED, SLOW, mount_fusectl, read_text, wait_until
from lab import Lab
from remedy_lab import audit, defused, enforcing, is_gone, ledger, stands

# The steps as they are announced, and what is true when one is reached: the intent is on disk; the abort file is written.
STEPS = {"intent": (False, False), "before_hook": (True, False), "second_reading": (True, False), "write": (True, False),
         "watch": (True, True), "outcome": (True, True), "evidence": (True, True), "after_hook": (True, True)}
WHOM = ("prober", "supervisor", "all")
INTERRUPTED = 'defused_aborts_total{outcome="interrupted"}'
RELEASED = 'defused_aborts_total{outcome="released"}'


def running(argv):
    """PIDs of processes with this command line: /bin/sleep only, whose memory nothing blocks."""
    wanted = "\0".join(argv) + "\0"
    return [name for name in os.listdir("/proc") if name.isdigit() and read_text(f"/proc/{name}/comm") == "sleep\n" and
            read_text(f"/proc/{name}/cmdline") == wanted]


class Kill(unittest.TestCase):
    def setUp(self):
        mount_fusectl()
        self.directory = tempfile.mkdtemp(prefix="defused-test-")
        self.addCleanup(shutil.rmtree, self.directory)

    def check_step(self, step, whom):
        state = os.path.join(self.directory, "state")
        shutil.rmtree(state, ignore_errors=True)
        os.mkdir(state, mode=0o700)
        with open(os.path.join(state, "inhibit"), "w", encoding="ascii") as file:  # before it starts: it acts within a second
            file.write("until the ambush stands\n")
        with Lab("flush_thread", fstype="defusedlab") as lab:
            with enforcing(self.directory) as daemon:
                wait_until(lambda: daemon.metric("defused_inhibited") == 1, 10, daemon.log())
                prober, supervisor = daemon.child("defused-prober"), daemon.supervisor()
                victims = {"prober": [prober], "supervisor": [supervisor],
                           "all": [supervisor, daemon.child("defused-front"), prober]}[whom]
                ambush = Ambush(prober, "-", step, seconds=30, kill=victims)
                self.assertEqual(defused(daemon, "resume")[0], 0)
                ambush.sprung()
                if whom == "prober":
                    self.check_after(daemon, lab.truth, step, whom)
                else:
                    daemon.process.wait(10 * SLOW)
            if whom != "prober":
                with enforcing(self.directory) as again:
                    self.check_after(again, lab.truth, step, whom)

    def check_after(self, daemon, truth, step, whom):
        has_intent, written = STEPS[step]
        said = f"{step}\n{daemon.log()}"
        if not has_intent:  # nothing is recorded of it, so nothing was done: the next pass does it
            wait_until(lambda: daemon.metric(RELEASED) == 1, 15, said)
            self.assertEqual([r["record"] for r in audit(daemon)][-2:], ["intent", "outcome"], said)
            self.assertTrue(is_gone(truth), said)
            return
        ended = step in ("evidence", "after_hook")  # all was recorded before
        if ended and whom == "prober":
            wait_until(lambda: daemon.metric(RELEASED) == 1, 10, said)  # told before its hook
        if not ended:
            wait_until(lambda: audit(daemon, "interrupted"), 10, said)
            wait_until(lambda: daemon.metric(INTERRUPTED) == 1, 10, said)
        if written:
            wait_until(lambda: is_gone(truth), 5, said)
        else:
            wait_until(lambda: daemon.metric('defused_holds{reason="cooldown"}') == 1, 10, said)
            scans = daemon.metric("defused_scans_total")
            wait_until(lambda: daemon.metric("defused_scans_total") >= scans + 4, 10, said)
            self.assertTrue(stands(truth), said)  # no write, and no second one
        self.assertEqual(len(audit(daemon, "intent")), 1, said)
        entries = ledger(daemon)["entries"]
        self.assertEqual([entry["outcome"] for entry in entries], ["released" if ended else "interrupted"], said)
        self.assertEqual(len(audit(daemon, "outcome" if ended else "interrupted")), 1, said)

    def check_steps(self, whom):
        for step in STEPS if SLOW == 1 else list(STEPS)[WHOM.index(whom)::3]:
            with self.subTest(step=step, whom=whom):
                begin = time.monotonic()
                self.check_step(step, whom)
                print(f"{whom} killed at {step}: {time.monotonic() - begin:.1f} s", flush=True)

    def test_prober(self):
        self.check_steps("prober")

    def test_supervisor(self):
        self.check_steps("supervisor")

    def test_all(self):
        self.check_steps("all")

    def test_command(self):
        """`defused abort` killed while its before-hook runs: a daemon that only observes records it, and nothing is left."""
        with Lab("flush_thread", fstype="defusedlab") as lab:
            hook = ["/bin/sleep", "47.11"]
            with enforcing(self.directory, before_hook=hook, hook_timeout="60s") as daemon:
                daemon.write_config({**daemon.settings, "mode": "observe"})
                daemon.process.send_signal(signal.SIGHUP)
                wait_until(lambda: daemon.metric('defused_remediation_mode{mode="observe"}') == 1, 10, daemon.log())
                number = str(lab.truth["connection"])
                with subprocess.Popen([DEFUSED, "abort", number, "--yes", "--config", daemon.config],
                                      stdout=subprocess.DEVNULL) as command:
                    wait_until(lambda: audit(daemon, "intent"), 20, "the intent of the command")
                    hooks = wait_until(lambda: running(hook), 10, "the hook to run")
                    command.kill()
                    command.wait(5)
                wait_until(lambda: audit(daemon, "interrupted"), 10, daemon.log())
                wait_until(lambda: daemon.metric(INTERRUPTED) == 1, 10, daemon.log())  # published when the pass is over
                wait_until(lambda: not running(hook), 5, f"{hooks} to end with the command")
                self.assertTrue(audit(daemon, "intent")[0]["by_hand"])
                self.assertTrue(stands(lab.truth))


if __name__ == "__main__":
    unittest.main()
