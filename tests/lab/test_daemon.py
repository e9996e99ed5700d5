# SPDX-License-Identifier: Apache-2.0
"""`defused run` against real deadlocks: what it exports, what it touches, what it frees, what survives."""
import errno
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

from daemon import Daemon, SLOW, mount_fusectl, children_of, read_text, wait_until
from lab import Lab

STUCK = 'defused_stuck_pid_namespaces{wait_class="fuse_flush",verdict="deadlocked"}'
STRACE = ("strace", "-f", "-qq", "-e", "trace=open,openat,openat2,creat", "-o")
YOUNG = {"stuck_after": "2s"}
# The shipped allow list would let the lab's type pass too; tests allow nothing but that type.
ENFORCE = {"min_stuck": "2s", "require_proven": True, "allow": {"fstypes": ["fuse.defusedlab"]}}


def waiting_of(connection):
    return read_text(f"/sys/fs/fuse/connections/{connection}/waiting").strip()


class Observe(unittest.TestCase):
    def test_observe_sees_and_touches_nothing(self):
        """30 s in observe mode: the metric stands, the request still waits, no abort file was opened."""
        self.check_touches_nothing("observe", 30)

    def test_dry_run_decides_and_touches_nothing(self):
        """The same for 10 s in dry_run, where the decision is to abort."""
        self.check_touches_nothing("dry_run", 10)

    def test_trace_would_show_an_abort(self):
        """The same trace of a daemon that acts has the abort file in it."""
        mount_fusectl()
        with Lab("flush_thread", fstype="defusedlab"), tempfile.TemporaryDirectory() as directory:
            trace = os.path.join(directory, "trace")
            with Daemon(wrapper=[*STRACE, trace], mode="enforce", detect=YOUNG, remedy=ENFORCE) as daemon:
                wait_until(lambda: daemon.metric('defused_aborts_total{outcome="released"}') == 1, 20, daemon.log())
            self.assertIn("abort", read_text(trace))

    def check_touches_nothing(self, mode, seconds):
        mount_fusectl()
        with Lab("flush_thread", fstype="defusedlab") as lab, tempfile.TemporaryDirectory() as directory:
            trace = os.path.join(directory, "trace")
            with Daemon(wrapper=[*STRACE, trace], mode=mode, detect=YOUNG, remedy=ENFORCE) as daemon:
                wait_until(lambda: daemon.metric(STUCK) == 1, 15, "the stuck namespace in the metrics")
                end = time.monotonic() + seconds
                while time.monotonic() < end:
                    self.assertEqual(daemon.metric(STUCK), 1)
                    self.assertEqual(waiting_of(lab.truth["connection"]), str(lab.truth["waiting"]))
                    time.sleep(1)
                self.assertGreater(daemon.metric("defused_scans_total"), seconds * 2 / 3)
                decided = daemon.metric('defused_decisions_total{action="abort"}')
                self.assertEqual(decided, 1 if mode == "dry_run" else 0)
                self.assertEqual(daemon.metric('defused_aborts_total{outcome="released"}'), 0)
            text = read_text(trace)
            self.assertIn('/status"', text)  # the trace did see the prober
            self.assertIn('waiting"', text)
            self.assertNotIn("abort", text)


class Enforce(unittest.TestCase):
    def check_freed(self, form):
        mount_fusectl()
        with Lab("healthy", fstype="healthylab") as healthy, Lab(form, fstype="defusedlab") as lab:
            with Daemon(mode="enforce", detect=YOUNG, remedy=ENFORCE) as daemon:
                begin = time.monotonic()
                init = f"/proc/{lab.truth['init']['pid']}/status"

                def gone():
                    text = read_text(init)
                    return not text or re.search(r"^State:\tZ", text, re.M) and re.search(r"^Threads:\t1$", text, re.M)

                # min_stuck + 3 intervals of 1 s, counted from the first pass at the latest.
                wait_until(gone, 2 + 3 + 1, f"the namespace to be gone:\n{daemon.log()}")
                took = time.monotonic() - begin
                wait_until(lambda: daemon.metric('defused_aborts_total{outcome="released"}') == 1, 5, daemon.log())
                wait_until(lambda: daemon.metric(STUCK) is None, 5, "the series to vanish")
                print(f"{form}: freed {took:.1f} s after the daemon was ready")
                self.assertEqual(healthy.read()["read"], "ok")
                audit = read_text(os.path.join(daemon.directory, "state", "audit.jsonl")).splitlines()
                records = [json.loads(line) for line in audit]
                acts = [record["record"] for record in records if record["record"] != "decision"]
                self.assertEqual(acts, ["intent", "outcome"])

    def test_frees_a_thread(self):
        self.check_freed("flush_thread")

    def test_frees_a_leader(self):
        self.check_freed("flush_leader")

    def test_frees_a_server_that_is_pid_1(self):
        self.check_freed("server_pid1")

    def test_holds_what_is_not_allowed(self):
        mount_fusectl()
        with Lab("flush_leader", fstype="notallowed") as lab:
            with Daemon(mode="enforce", detect=YOUNG, remedy=ENFORCE) as daemon:
                wait_until(lambda: daemon.metric('defused_holds{reason="not_allowed"}') == 1, 15, "the gate")
                time.sleep(3)
                self.assertEqual(waiting_of(lab.truth["connection"]), str(lab.truth["waiting"]))
                self.assertEqual(daemon.metric('defused_decisions_total{action="abort"}'), 0)

    def test_dry_run_counts_and_writes_nothing(self):
        mount_fusectl()
        with Lab("flush_leader", fstype="defusedlab") as lab:
            with Daemon(mode="dry_run", detect=YOUNG, remedy=ENFORCE) as daemon:
                wait_until(lambda: daemon.metric('defused_decisions_total{action="abort"}') == 1, 15, daemon.log())
                time.sleep(2)
                self.assertEqual(waiting_of(lab.truth["connection"]), str(lab.truth["waiting"]))


class Log(unittest.TestCase):
    def test_one_line_for_each_change_also_across_a_lost_prober(self):
        """Stuck, then released: a JSON line each, with what a collector filters by, and none in between."""
        mount_fusectl()
        with Daemon(detect=YOUNG, log={"format": "json"}) as daemon:
            def events():
                lines = [json.loads(line) for line in daemon.log().splitlines()]
                return [line for line in lines if line.get("pid_namespace") == truth["pid_namespace"]]

            with Lab("flush_thread") as lab:
                truth = lab.truth
                wait_until(events, 15, daemon.log())
                told = wait_until(lambda: [line for line in events() if "gap" not in line["reasons"]], 15, daemon.log())
                # The line comes first: a prober that is lost before its report is there has told nobody else.
                wait_until(lambda: daemon.metric(STUCK) == 1, 15, daemon.log())
                scans = daemon.metric("defused_scans_total")
                os.kill(daemon.child("defused-prober"), signal.SIGKILL)
                wait_until(lambda: (daemon.metric("defused_scans_total") or 0) > scans + 3, 15, "passes to go on")
                stuck = [line for line in events() if line["event"] == "stuck"]
                self.assertEqual(len(stuck), 1, daemon.log())  # the successor has the memory
                self.assertLessEqual(len(events()), 4, daemon.log())
                self.assertEqual(told[-1]["init_pid"], truth["init"]["pid"])
                self.assertEqual(told[-1]["connection"], truth["connection"])
                self.assertEqual((told[-1]["verdict"], told[-1]["wait_class"]), ("deadlocked", "fuse_flush"))
                self.assertEqual(told[-1]["decision"], "hold")
                self.assertIn("mode", told[-1]["reasons"])
                self.assertIn(f"connection {truth['connection']}", told[-1]["message"])
            wait_until(lambda: events()[-1]["event"] == "released", 10, daemon.log())
            stalled = [json.loads(line) for line in daemon.log().splitlines() if "connection_" in line]
            self.assertIn(truth["connection"], [line["connection"] for line in stalled])


class Processes(unittest.TestCase):
    def test_front_has_nothing(self):
        with tempfile.TemporaryDirectory() as textfile, Daemon(textfile={"directory": textfile}) as daemon:
            front = daemon.child("defused-front")
            threads = os.listdir(f"/proc/{front}/task")
            self.assertEqual(len(threads), 3)  # the loop, passwords, the textfile
            for thread, pattern in itertools.product(threads, (r"^Uid:\t(?!0\t)(\d+)\t\1\t\1\t\1$", r"^Gid:\t(?!0\t)(\d+)\t\1\t\1\t\1$", r"^Groups:\t\s*$",
                            r"^CapPrm:\t0+$", r"^CapEff:\t0+$", r"^CapBnd:\t0+$", r"^CapInh:\t0+$", r"^CapAmb:\t0+$",
                            r"^NoNewPrivs:\t1$", r"^Seccomp:\t2$")):
                self.assertRegex(read_text(f"/proc/{front}/task/{thread}/status"), re.compile(pattern, re.M))
            self.assertEqual(os.stat(f"/proc/{front}/environ").st_uid, 0)  # not dumpable: nobody but root looks at its keys

    def test_front_cannot_open_anything(self):
        """The lab makes the front itself call openat; each call is refused."""
        for textfile in ("", "/tmp"):
            with self.subTest(textfile=textfile):
                self.check_cannot_open(textfile)

    def check_cannot_open(self, textfile):
        mount_fusectl()
        with Lab("healthy") as lab, Daemon(textfile={"directory": textfile}) as daemon:
            front = daemon.child("defused-front")
            prober = daemon.child("defused-prober")
            for path in ("/etc/shadow", f"/sys/fs/fuse/connections/{lab.truth['connection']}/waiting",
                         f"/sys/fs/fuse/connections/{lab.truth['connection']}/abort", f"/proc/{prober}/fdinfo/0"):
                self.assertEqual(lab.inject(front, path, wait=True), -errno.EPERM, path)
            wait_until(lambda: daemon.get("/-/healthy")[0] == 200, 10, "the front to go on, or its successor")

    def check_replaced(self, comm):
        with Daemon() as daemon:
            first = daemon.child(comm)
            longest_hole = 0.0
            os.kill(first, signal.SIGKILL)
            last = time.monotonic()
            end = last + 5
            while time.monotonic() < end:
                status, text, _ = daemon.get("/metrics", timeout=2)
                if status == 200 and "defused_scans_total" in text:
                    now = time.monotonic()
                    longest_hole = max(longest_hole, now - last)
                    last = now
                time.sleep(0.02)
            longest_hole = max(longest_hole, time.monotonic() - last)
            self.assertLess(longest_hole, 1.0 * SLOW)  # one interval
            second = wait_until(lambda: daemon.child(comm), 5, f"a new {comm}")
            self.assertNotEqual(first, second)
            scans = daemon.metric("defused_scans_total")
            wait_until(lambda: daemon.metric("defused_scans_total") > scans, 5, "passes to go on")

    def test_killed_front_is_replaced(self):
        self.check_replaced("defused-front")

    def test_killed_prober_is_replaced_and_counters_go_on(self):
        with Daemon() as daemon:
            wait_until(lambda: daemon.metric("defused_scans_total") >= 3, 10, "three passes")
            before = daemon.metric("defused_scans_total")
            os.kill(daemon.child("defused-prober"), signal.SIGKILL)
            wait_until(lambda: (daemon.metric("defused_scans_total") or 0) > before, 5, "counters to go on from there")
        self.check_replaced("defused-prober")

    def test_unkillable_prober(self):
        """A really unkillable prober: a new one goes on, TERM ends the service in time, a new start works beside it."""
        with Lab("tar_pit") as pit:
            directory = tempfile.mkdtemp(prefix="defused-test-")
            with Daemon(directory=directory, pass_deadline="1s") as daemon:
                prober = daemon.child("defused-prober")
                pit.inject(prober, pit.truth["swallow"])
                wait_until(lambda: daemon.metric("defused_probers_lost_total") == 1, 20, daemon.log())
                wait_until(lambda: daemon.child("defused-prober", besides=prober), 10, "a successor")
                scans = daemon.metric("defused_scans_total")
                wait_until(lambda: daemon.metric("defused_scans_total") > scans + 1, 10, "passes to go on")
                self.assertRegex(read_text(f"/proc/{prober}/status"), re.compile(r"^State:\tD", re.M))
                self.assertEqual(daemon.get("/-/ready")[0], 200)
                begin = time.monotonic()
                daemon.process.send_signal(signal.SIGTERM)
                self.assertEqual(daemon.process.wait(10), 0)
                self.assertLess(time.monotonic() - begin, 5)
                self.assertRegex(daemon.log(), rf"left behind.*{prober}")
                self.assertRegex(read_text(f"/proc/{prober}/status"), re.compile(r"^State:\tD", re.M))
            with Daemon(directory=directory, pass_deadline="1s") as again:
                wait_until(lambda: again.metric("defused_scans_total") >= 2, 10, "a new start beside it")
            shutil.rmtree(directory)

    def test_hangup_reloads_or_keeps(self):
        with Daemon() as daemon:
            with open(daemon.config, "w", encoding="utf-8") as file:
                file.write('{"intervall": "1s"}')
            daemon.process.send_signal(signal.SIGHUP)
            wait_until(lambda: "did you mean" in daemon.log(), 5, "why the old configuration was kept")
            self.assertEqual(daemon.metric('defused_remediation_mode{mode="observe"}'), 1)
            daemon.write_config({**daemon.settings, "mode": "dry_run"})
            daemon.process.send_signal(signal.SIGHUP)
            wait_until(lambda: daemon.metric('defused_remediation_mode{mode="dry_run"}') == 1, 10, daemon.log())

    def test_stop_is_quick_and_leaves_nothing(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            with Daemon() as daemon:
                children = children_of(daemon.supervisor())
                self.assertEqual(len(children), 2)
                begin = time.monotonic()
                daemon.process.send_signal(number)
                self.assertEqual(daemon.process.wait(10), 0)
                self.assertLess(time.monotonic() - begin, 5)
                for pid in children:
                    self.assertEqual(read_text(f"/proc/{pid}/status"), "")

    def test_blind_without_fusectl(self):
        """In a mount namespace where fusectl is not mounted: served, blind, and looked for again."""
        unshare = ["unshare", "--mount", "--propagation", "private", "sh", "-c",
                   "umount -l /sys/fs/fuse/connections 2>/dev/null; exec \"$@\"", "sh"]
        with Daemon(wrapper=unshare) as daemon:
            self.assertEqual(daemon.metric('defused_blind{what="fusectl"}'), 1)
            subprocess.run(["nsenter", "-t", str(daemon.supervisor()), "-m", "mount", "-t", "fusectl", "fusectl",
                            "/sys/fs/fuse/connections"], check=True, timeout=10)
            wait_until(lambda: daemon.metric('defused_blind{what="fusectl"}') == 0, 10, "fusectl to be seen")


if __name__ == "__main__":
    unittest.main()
