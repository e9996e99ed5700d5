# SPDX-License-Identifier: Apache-2.0
"""A prober that becomes unkillable, in each phase of a pass in turn: the service goes on, says so, and ends in time."""
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest

from ambush import Ambush, Watch, is_unkillable
from daemon import DEFUSED, Daemon, SLOW, children_of, mount_fusectl, read_text, wait_until
from lab import Lab

# Under sanitizers a prober that is traced needs more than a second for its first pass.
QUICK = {"interval": "500ms", "pass_deadline": "1s" if SLOW == 1 else "3s"}
# The phases of one pass, and how long each may take: then the prober is killed.
PHASES = {"idle": 1.5, "processes": 1, "connections": 1, "hazards": 2, "open files": 1, "diagnosis": 1, "surroundings": 6.5,
          "start": 1}
BUSY = 3  # seconds that a busy host may take beyond; without an end each of these waits would be for ever
# Only in the first pass of a prober that finds something stuck (the lost ones are), or before it: the next one is caught.
OF_NEXT = ("open files", "surroundings", "start")
LOST = "defused_probers_lost_total"
BLIND = 'defused_blind{what="prober"}'


def lose_prober(test, daemon, path, phase, lost):
    """Has the prober caught in `phase`; returns once a successor makes passes, with the seconds without one."""
    prober = daemon.child("defused-prober", besides=lost)
    of_next = phase in OF_NEXT
    ambush = Ambush(daemon.supervisor() if of_next else prober, path, phase, of_child=of_next)
    if of_next:
        os.kill(prober, signal.SIGKILL)
    caught = ambush.caught()
    begin = time.monotonic()
    scans = daemon.metric("defused_scans_total")
    lost.append(caught)
    at_cap = len(lost) == daemon.settings.get("max_lost_probers")
    if not at_cap:
        wait_until(lambda: (daemon.metric("defused_scans_total") or 0) > scans, PHASES[phase] + 1 + BUSY, daemon.log())
    hole = time.monotonic() - begin
    wait_until(lambda: daemon.metric(LOST) == len(lost), 10, f"{phase}: counted\n{daemon.log()}")
    test.assertTrue(is_unkillable(caught), read_text(f"/proc/{caught}/status"))
    told = "pass" if phase == "idle" else phase
    test.assertRegex(daemon.log(), rf"prober {caught} .*missed the deadline of phase '{told}'")
    if not at_cap:
        scans = daemon.metric("defused_scans_total")
        wait_until(lambda: daemon.metric("defused_scans_total") >= scans + 2, 2 + BUSY, "passes to go on")
    return hole


class Notified:
    """What a service tells systemd that is started within the context."""

    def __init__(self, directory):
        self.path = os.path.join(directory, "notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)

    def __enter__(self):
        self.socket.bind(self.path)
        self.socket.settimeout(5 * SLOW)
        os.environ["NOTIFY_SOCKET"] = self.path
        return self

    def __exit__(self, *_):
        os.environ.pop("NOTIFY_SOCKET", None)
        self.socket.close()

    def read(self):
        return self.socket.recv(4096).decode()


class Phases(unittest.TestCase):
    def setUp(self):
        mount_fusectl()
        self.directory = tempfile.mkdtemp(prefix="defused-test-")
        self.addCleanup(shutil.rmtree, self.directory)

    def stop(self, daemon, lost):
        begin = time.monotonic()
        daemon.process.send_signal(signal.SIGTERM)
        self.assertEqual(daemon.process.wait(10 * SLOW), 0)
        took = time.monotonic() - begin
        self.assertLess(took, 5 * SLOW)
        for pid in lost:
            self.assertRegex(daemon.log(), rf"left behind: unkillable .*\b{pid}\b")
        return took

    def check_at_cap(self, daemon, lost):
        wait_until(lambda: "too many probers could not be killed" in daemon.get("/-/ready")[1], 5, "the reason")
        self.assertEqual(daemon.get("/-/ready")[0], 503)
        self.assertEqual(daemon.get("/-/healthy")[0], 200)
        self.assertEqual(daemon.metric(BLIND), 1)
        for _ in range(2):  # each makes it try again
            read = daemon.log().count("configuration was read again")
            daemon.process.send_signal(signal.SIGHUP)
            wait_until(lambda: daemon.log().count("configuration was read again") > read, 5, daemon.log())
        time.sleep(0.5)
        self.assertIsNone(daemon.child("defused-prober", besides=lost))
        self.assertEqual(daemon.log().count("no other is started"), 1)

    def test_each_phase_in_turn(self):
        """One lost in each phase, up to the cap; the cap holds across a restart, and ends with the first that ends."""
        with Lab("tar_pit") as pit, Lab("tar_pit") as last_pit:
            lost = []
            with Daemon(directory=self.directory, max_lost_probers=len(PHASES), **QUICK) as daemon:
                with Watch(daemon) as watch:
                    for phase in PHASES:
                        path = (last_pit if len(lost) == len(PHASES) - 1 else pit).truth["swallow"]
                        hole = lose_prober(self, daemon, path, phase, lost)
                        end = "the cap" if len(lost) == len(PHASES) else "the next pass"
                        print(f"{phase}: {hole:.1f} s until {end}", flush=True)
                    watch.check(self)
                self.assertGreater(watch.unready, 0)
                self.check_at_cap(daemon, lost)
                print(f"stopped in {self.stop(daemon, lost):.1f} s")
            with Notified(self.directory) as notified, Daemon(
                    directory=self.directory, expect_ready=False, max_lost_probers=len(PHASES), **QUICK) as again:
                self.check_at_cap(again, [])
                self.assertIn("READY=1", notified.read())  # else systemd would end what serves the reason
                begin = time.monotonic()
                last_pit.close()
                wait_until(lambda: again.get("/-/ready")[0] == 200, 5, f"a prober to be started\n{again.log()}")
                print(f"a prober made a pass {time.monotonic() - begin:.1f} s after one of those left had ended")
                self.assertEqual(again.metric(BLIND), 0)
                self.assertTrue(all(is_unkillable(pid) for pid in lost[:-1]))
                print(f"stopped in {self.stop(again, lost[:-1]):.1f} s")

    def test_in_remedy(self):
        """Caught before the intent is written: the successor acts. Caught after it: `interrupted`, and never again."""
        audit_path = os.path.join(self.directory, "state", "audit.jsonl")

        def records():
            found = [json.loads(line) for line in read_text(audit_path).splitlines()]
            return [record for record in found if record["record"] != "decision"]

        with Lab("tar_pit", fstype="tarpit") as pit, Lab("flush_leader", fstype="defusedlab") as lab:
            waiting = f"/sys/fs/fuse/connections/{lab.truth['connection']}/waiting"
            remedy = {"min_stuck": "2s", "watch": "1s", "allow": {"fstypes": ["fuse.defusedlab"]}}
            with Daemon(directory=self.directory, mode="enforce", detect={"stuck_after": "2s"}, remedy=remedy,
                        **QUICK) as daemon, Watch(daemon) as watch:
                before = Ambush(daemon.child("defused-prober"), pit.truth["swallow"], "intent").caught()
                self.assertEqual(records(), [])
                after = Ambush(daemon.supervisor(), pit.truth["swallow"], "write", of_child=True).caught()
                self.assertEqual([record["record"] for record in records()], ["intent"])
                wait_until(lambda: daemon.metric('defused_aborts_total{outcome="interrupted"}') == 1, 10, daemon.log())
                wait_until(lambda: daemon.metric(LOST) == 2, 10, daemon.log())
                self.assertTrue(is_unkillable(before) and is_unkillable(after))
                self.assertEqual([record.get("outcome") for record in records()], [None, "interrupted"])
                scans = daemon.metric("defused_scans_total")
                wait_until(lambda: daemon.metric("defused_scans_total") >= scans + 4, 10, "passes to go on")
                self.assertEqual(daemon.metric('defused_holds{reason="cooldown"}'), 1)
                self.assertEqual(len(records()), 2)
                self.assertEqual(read_text(waiting).strip(), str(lab.truth["waiting"]))  # nothing was aborted
                watch.check(self)
                print(f"stopped in {self.stop(daemon, [before, after]):.1f} s")

    def test_reader_left_behind(self):
        """A child that reads for the prober counts as well; at the cap nothing more is read that may hang, and no more
        are left."""
        gaps = 'defused_read_gaps_total{file="stack",kind="timeout"}'
        with Lab("tar_pit") as pit:
            lost = []
            with Daemon(directory=self.directory, max_lost_probers=2, **QUICK) as daemon, Watch(daemon) as watch:
                lose_prober(self, daemon, pit.truth["swallow"], "idle", lost)  # now there is something to read
                prober = daemon.child("defused-prober", besides=lost)
                reader = Ambush(prober, pit.truth["swallow"], "hazards", of_reader=True).caught()
                wait_until(lambda: f"reader {reader} " in daemon.log(), 5, daemon.log())
                self.assertTrue(is_unkillable(reader))
                before = daemon.metric(gaps) or 0
                wait_until(lambda: (daemon.metric(gaps) or 0) >= before + 2, 10, "gaps in each pass")
                self.assertEqual(daemon.child("defused-prober", besides=lost), prober)
                self.assertEqual(children_of(prober), [reader])
                self.assertEqual(daemon.metric(LOST), 1)
                self.assertEqual(daemon.log().count("what may hang a reader is not read"), 1)
                watch.check(self)
                print(f"stopped in {self.stop(daemon, lost + [reader]):.1f} s")
            with Daemon(directory=self.directory, expect_ready=False, max_lost_probers=2, **QUICK) as again:
                self.check_at_cap(again, [])
                pit.close()
                wait_until(lambda: again.get("/-/ready")[0] == 200, 5, f"a prober to be started\n{again.log()}")

    def check_scan(self, pit, phase, nth, code=0):
        """`defused scan` whose prober is caught at the `nth` announcement of `phase`; its seconds from then on."""
        with open(self.config, "w", encoding="utf-8") as file:
            json.dump({"pass_deadline": "1s"}, file)
        command = ["sh", "-c", 'read line; exec "$@"', "sh", DEFUSED, "scan", "--json", "--samples", "50", "--every", "100ms",
                   "--config", self.config]
        scan = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            ambush = Ambush(scan.pid, pit.truth["swallow"], phase, nth=nth, of_child=True)
            scan.stdin.write("go\n")
            scan.stdin.flush()
            caught = ambush.caught()
            begin = time.monotonic()
            out, errors = scan.communicate(timeout=20 * SLOW)
        finally:
            scan.kill()
            scan.wait(5)
        took = time.monotonic() - begin
        self.assertLess(took, (PHASES[phase] + 1 + BUSY) * SLOW)
        self.assertTrue(is_unkillable(caught))
        self.assertRegex(errors, rf"left behind: unkillable prober {caught} ")
        self.assertIn("'processes'" if phase == "idle" else f"'{phase}'", errors)
        self.assertEqual(scan.returncode, code, errors)
        self.assertEqual(json.loads(out)["schema"] if out else "", "defused.report/v1" if code == 0 else "")
        return took

    def test_one_shot(self):
        """`defused scan` prints what it has, names the prober that it had to leave, and ends in time."""
        self.config = os.path.join(self.directory, "scan.json")
        with Lab("tar_pit") as pit:
            self.check_scan(pit, "idle", 2)  # from here on there is a stuck exit, so all phases are entered
            took = {"start": self.check_scan(pit, "start", 1, code=1), "first": self.check_scan(pit, "processes", 1, code=1)}
            # What is around is read in the second pass and kept then.
            for phase, nth in (("processes", 3), ("connections", 3), ("hazards", 3), ("surroundings", 1), ("open files", 3),
                               ("diagnosis", 3)):
                took[phase] = self.check_scan(pit, phase, nth)
            print("scan ended after", ", ".join(f"{phase} {seconds:.1f} s" for phase, seconds in took.items()), flush=True)

    def test_start_up(self):
        """The very first prober hangs before it is ready."""
        fifo = os.path.join(self.directory, "fifo")
        os.mkfifo(fifo)
        with Lab("tar_pit") as pit:
            daemon = Daemon(wrapper=["sh", "-c", 'read line < "$0"; exec "$@"', fifo], directory=self.directory, **QUICK)
            ambush = Ambush(daemon.process.pid, pit.truth["swallow"], "start", of_child=True)
            with open(fifo, "w", encoding="ascii") as file:
                file.write("go\n")
            caught = ambush.caught()
            begin = time.monotonic()
            with daemon:
                print(f"ready {time.monotonic() - begin:.1f} s after the first prober was caught")
                self.assertLess(time.monotonic() - begin, (2 + BUSY) * SLOW)
                wait_until(lambda: daemon.metric(LOST) == 1, 5, daemon.log())
                self.assertIn(f"prober {caught} ", daemon.log())
                self.assertIn("missed the deadline of phase 'start'", daemon.log())
                self.assertTrue(is_unkillable(caught))
                self.stop(daemon, [caught])

    def test_who_is_not_caught_goes_on(self):
        """An ambush whose time is over leaves the prober as it was: it goes past what it was waited for at, and lives."""
        with Lab("tar_pit") as pit, Daemon(directory=self.directory, **QUICK) as daemon:
            prober = daemon.child("defused-prober")
            with self.assertRaisesRegex(AssertionError, "waiting for the phase: Interrupted system call"):
                Ambush(prober, pit.truth["swallow"], "no such phase", seconds=2).caught()
            scans = daemon.metric("defused_scans_total")
            wait_until(lambda: daemon.metric("defused_scans_total") >= scans + 2, 2 + BUSY, "passes to go on")
            self.assertEqual(daemon.child("defused-prober"), prober)

    def test_stop_with_everything_stuck(self):
        """A front that is stopped and a prober that hangs, unkillable, within its deadline."""
        with Lab("tar_pit") as pit, Daemon(directory=self.directory, interval="500ms", pass_deadline="1m") as daemon:
            front = daemon.child("defused-front")
            caught = Ambush(daemon.child("defused-prober"), pit.truth["swallow"], "processes").caught()
            os.kill(front, signal.SIGSTOP)
            print(f"stopped in {self.stop(daemon, [caught]):.1f} s")
            self.assertTrue(is_unkillable(caught))
            self.assertEqual(read_text(f"/proc/{front}/status"), "")
            recorded = read_text(os.path.join(self.directory, "run", "lost-probers")).split()
            self.assertEqual(recorded[0], str(caught))

    def test_supervisor_killed(self):
        """A prober that hangs, not yet lost, when the supervisor is killed: the next service knows of it."""
        with Lab("tar_pit") as pit:
            with Daemon(directory=self.directory, interval="500ms", pass_deadline="1m") as daemon:
                caught = Ambush(daemon.child("defused-prober"), pit.truth["swallow"], "processes").caught()
                daemon.process.kill()
                daemon.process.wait(5)
            wait_until(lambda: is_unkillable(caught), 5, "its prober to be told to die")
            with Daemon(directory=self.directory, expect_ready=False, max_lost_probers=1, **QUICK) as again:
                self.check_at_cap(again, [])
                pit.close()
                wait_until(lambda: again.get("/-/ready")[0] == 200, 5, again.log())


if __name__ == "__main__":
    unittest.main()
