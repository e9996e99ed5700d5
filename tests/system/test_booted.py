# SPDX-License-Identifier: Apache-2.0
"""The package and its unit under a real system manager: a Debian 12 booted by systemd-nspawn. Installed, confined as its
text says, a deadlock found and freed, upgraded while it runs, stopped while a prober cannot be killed.

The container has its own processes, mounts, cgroups and loopback; FUSE connections and kernel are those of the host. Only
what the lab makes here is aborted: the allow list names its file system type.
"""
import json
import os
import pathlib
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lab"))
from ambush import Ambush, is_unkillable  # noqa: E402
from booted_debian import BootedDebian  # noqa: E402
from daemon import BUILD, SLOW, children_of, mount_fusectl, read_text, wait_until  # noqa: E402
from debian_package import field, make_next, make_package  # noqa: E402
from debian_root import forbid_services, run_inside, unpack_root  # noqa: E402
from lab import FUSECTL, Lab, connections, kernel_stacks  # noqa: E402
from sandbox import Sandbox, unapplied  # noqa: E402

UNIT = "defused.service"
CONFIG = "/etc/defused/defused.json"
DROP_INS = f"/etc/systemd/system/{UNIT}.d"
ENFORCE = "/usr/share/defused/systemd/enforce.conf"
STUCK = 'defused_stuck_pid_namespaces{wait_class="fuse_flush",verdict="deadlocked"}'
RELEASED = 'defused_aborts_total{outcome="released"}'
LOST = "defused_probers_lost_total"
QUICK = {"interval": "1s", "detect": {"stuck_after": "2s"},
         "remedy": {"min_stuck": "3s", "require_host_pid_namespace": False, "allow": {"fstypes": ["fuse.defusedbooted"]}}}
PROBE = "/var/lib/defused-probe"
LAB = "/usr/lib/defused-lab"
# In a container BPF speaks of the processes by their PIDs of the real host, so there it is not asked.
WITHOUT_BPF = "[Service]\nSystemCallFilter=~bpf\n"
# A program of the i386: exit(42) by int 0x80.
OLD_CODE = b"\xb8\x01\0\0\0\xbb\x2a\0\0\0\xcd\x80"


def old_program():
    """An ELF file with OLD_CODE and nothing else."""
    base, size = 0x08048000, 84 + len(OLD_CODE)
    header = b"\x7fELF\x01\x01\x01".ljust(16, b"\0") + struct.pack("<HHIIIIIHHHHHH", 2, 3, 1, base + 84, 52, 0, 0, 52, 32, 1, 0, 0, 0)
    return header + struct.pack("<IIIIIIII", 1, 0, base, base, size, size, 5, 0x1000) + OLD_CODE


class InsideLab(Lab):
    """A situation in the container, where its PIDs are those of its truth. It ends by the end of its input."""

    def __init__(self, booted, form):
        super().__init__(form, fstype="defusedbooted", work_dir="/srv", seconds=120)
        self.program = [*booted.inside(), f"{LAB}/defused-lab"]

    def close(self):
        if not self.process.stdin.closed:
            self.process.stdin.close()
            try:
                self.process.wait(20 * SLOW)
            except subprocess.TimeoutExpired:
                pass  # the next line tells
        super().close()


class InsideAmbush(Ambush):
    """The same as Ambush in the container: PIDs are those inside."""

    def __init__(self, booted, pid, path, phase):
        self.path = path
        self.process = subprocess.Popen(
            [*booted.inside(), f"{LAB}/defused-inject", str(pid), path, "--phase", phase, "--seconds", str(20 * SLOW)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        ready, _, _ = select.select([self.process.stdout], [], [], 10 * SLOW)
        line = self.process.stdout.readline() if ready else ""
        if line != "waiting\n":
            raise AssertionError(f"no ambush: {line}{self.sprung()}")


class Booted(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        for program in ("systemd-nspawn", "nsenter", "cpack", "dpkg-deb"):
            if not shutil.which(program):
                raise AssertionError(f"{program} is not installed (cmake/packages.txt)")
        mount_fusectl()
        before = connections()
        # Not /tmp: its file system may be one of memory.
        cls.directory = tempfile.mkdtemp(prefix="defused-booted-", dir="/var/tmp")
        cls.addClassCleanup(shutil.rmtree, cls.directory)
        cls.package = make_package(os.path.join(cls.directory, "package"))
        root = pathlib.Path(cls.directory, "root")
        root.mkdir()
        unpack_root(root)
        root.chmod(0o755)  # dbus is not root
        cls.install(root)
        cls.addClassCleanup(lambda: wait_until(lambda: not connections() - before, 5, "no FUSE connection to be left"))
        cls.booted = cls.enterClassContext(BootedDebian(root, seconds=400))

    @classmethod
    def install(cls, root):
        """What runs in the container besides the package comes from the mirror; it has no network once it is booted."""
        shutil.copyfile(cls.package, root / "root/defused.deb")
        forbid_services(root)
        run_inside(root, "apt-get", "-q", "-y", "install", "/root/defused.deb", "libfuse3-3", timeout=180 * SLOW)
        (root / "usr/sbin/policy-rc.d").unlink()
        (root / LAB[1:]).mkdir()
        for name in ("defused-lab", "defused-inject"):
            shutil.copy(os.path.join(BUILD, name), root / LAB[1:])

    def setUp(self):
        self.addCleanup(self.booted.remove, f"{DROP_INS}/10-enforce.conf")

    # ---- the service

    def configure(self, mode="observe", enforce=False, drop_in=WITHOUT_BPF, **settings):
        """`enforce`: with the drop-in that it takes."""
        self.booted.write(CONFIG, json.dumps({**QUICK, "mode": mode, **settings}))
        self.booted.write(f"{DROP_INS}/20-container.conf", drop_in)
        if enforce:
            self.booted.write(f"{DROP_INS}/10-enforce.conf", self.booted.read(ENFORCE))
        else:
            self.booted.remove(f"{DROP_INS}/10-enforce.conf")
        self.booted.run("systemctl", "daemon-reload")
        self.booted.run("systemctl", "reset-failed", UNIT)  # or it counts our restarts

    def start(self, mode="observe", enforce=False, drop_in=WITHOUT_BPF, **settings):
        """Restarts it with this configuration and waits for its first pass."""
        self.configure(mode, enforce, drop_in, **settings)
        self.booted.run("systemctl", "restart", UNIT, timeout=40)
        self.wait_for(lambda: self.booted.get("/-/ready")[0] == 200, 20, "the service to be ready")

    def wait_for(self, predicate, seconds, what):
        try:
            return wait_until(predicate, seconds, what)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.booted.journal(UNIT)[-3000:]}") from None

    def main_pid(self):
        """Of the host."""
        return self.booted.host_pid(self.booted.unit(UNIT, "MainPID")["MainPID"])

    def process(self, comm, besides=()):
        """PID of the host of a child of the supervisor."""
        for pid in children_of(self.main_pid()):
            if pid not in besides and read_text(f"/proc/{pid}/comm").strip() == comm:
                return pid
        return None

    # ---- confinement

    def unit_text(self, enforce):
        return self.booted.read(f"/lib/systemd/system/{UNIT}") + (self.booted.read(ENFORCE) if enforce else "")

    def probe(self, text, abort):
        """{name: result} of sandbox_probe.pl in a unit confined like `text`; with an empty one it is confined by nothing."""
        own = re.compile(r"^(?:Type|NotifyAccess|Exec\w+|Restart\w*|WatchdogSec|KillMode|StateDirectory\w*|RuntimeDirectory\w*)=.*\n", re.M)
        unit = own.sub("", text) if text else "[Service]\n"
        added = ("[Service]\nType=oneshot\nStateDirectory=defused-probe\n"
                 f"ExecStart=/usr/bin/perl {PROBE}/sandbox_probe.pl {PROBE} {abort}\n")
        self.booted.write("/etc/systemd/system/defused-probe.service", f"{unit}\n{added}")
        self.booted.run("systemctl", "daemon-reload")
        since = self.booted.cursor()
        self.booted.run("systemctl", "start", "defused-probe.service")
        journal = self.booted.journal("defused-probe.service", since)
        self.assertIn("that was all\n", journal)
        return dict(re.findall(r"^([a-z_]+) (done|empty|E[A-Z]+|killed by signal \d+)$", journal, re.M))

    def check_front(self):
        status = Sandbox(self.process("defused-front")).status
        self.assertEqual({int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")}, {0})
        self.assertNotIn("0", status["Uid"].split())
        self.assertEqual((status["NoNewPrivs"], status["Seccomp"]), ("1", "2"))

    def check_prober(self, enforce):
        """It may confine itself further."""
        prober, supervisor = Sandbox(self.process("defused-prober")), Sandbox(self.main_pid())
        self.assertEqual(prober.mask("CapBnd") & ~supervisor.mask("CapBnd"), 0)
        self.assertEqual((prober.status["NoNewPrivs"], prober.status["Seccomp"]), ("1", "2"))
        self.assertEqual(prober.read_only(FUSECTL), not enforce)
        self.assertEqual(set(prober.writable()) - set(supervisor.writable()), set())

    def check_bpf(self):
        """Its programs are loaded and run in the sandbox. What they say is not believed: in a container they do not see
        the prober under the PID that it knows of itself."""
        def gaps():
            found = ((re.match(r'defused_read_gaps_total\{file="bpf",kind="(\w+)"\}', name), value)
                     for name, value in self.booted.metrics().items())
            return {name.group(1) for name, value in found if name and value > 0}

        self.wait_for(gaps, 10, "BPF to be asked")
        self.assertEqual(gaps(), {"malformed"})

    def check_confined(self, enforce, abort, freely):
        self.start("enforce" if enforce else "observe", enforce, "")
        text = self.unit_text(enforce)
        tried = self.probe(text, abort)
        self.assertEqual(tried.keys(), freely.keys())
        supervisor = Sandbox(self.main_pid())
        self.assertEqual(unapplied(text, supervisor, Sandbox(self.booted.leader), tried, freely), [])
        self.assertEqual(supervisor.read_only(FUSECTL), not enforce)
        self.assertEqual((tried["open_abort"], tried["device_fuse"]), ("done" if enforce else "EROFS", "ENOENT"))
        self.check_prober(enforce)
        self.check_front()

    def test_confined_as_the_unit_says(self):
        for name, content in {"sandbox_probe.pl": pathlib.Path(HERE, "sandbox_probe.pl").read_bytes(),
                              "old_system_call": old_program()}.items():
            self.booted.write(f"{PROBE}/{name}", content, 0o755)
        for place in ("/root", "/home", "/usr/lib/modules"):
            self.booted.write(f"{place}/something", "")
        self.booted.run("touch", "/tmp/something")
        with InsideLab(self.booted, "healthy") as lab:
            abort = f"{FUSECTL}/{lab.truth['connection']}/abort"
            freely = self.probe("", abort)
            self.assertEqual(freely["open_abort"], "done")
            self.check_confined(False, abort, freely)
            self.check_confined(True, abort, freely)
            self.assertEqual(lab.read(), {"read": "ok"})

    # ---- its work

    def holds(self):
        """The gates that hold something back."""
        found = ((re.fullmatch(r'defused_holds\{reason="(\w+)"\}', name), value) for name, value in self.booted.metrics().items())
        return {name.group(1) for name, value in found if name and value > 0}

    def audit(self):
        records = [json.loads(line) for line in self.booted.read("/var/lib/defused/audit.jsonl").splitlines()]
        return [record for record in records if record["record"] != "decision"]

    def test_found_freed_and_upgraded(self):
        self.start("observe", drop_in="")
        with InsideLab(self.booted, "flush_thread") as lab:
            self.check_bpf()
            self.start("observe")
            self.wait_for(lambda: self.booted.metrics().get(STUCK) == 1, 15, "the deadlock to be found")
            self.wait_for(lambda: self.holds() == {"mode"}, 15, "nothing but the mode to hold")
            waiting = read_text(f"{FUSECTL}/{lab.truth['connection']}/waiting").strip()
            self.assertEqual(waiting, str(lab.truth["waiting"]))  # nothing was aborted
            self.start("enforce", enforce=True)
            self.wait_for(lambda: self.booted.metrics().get(RELEASED) == 1, 20, "it to be freed")
        outcomes = [(record["outcome"], record["connection"]) for record in self.audit() if record["record"] == "outcome"]
        self.assertEqual(outcomes, [("released", lab.truth["connection"])])
        self.check_upgrade()

    def program_is(self, path):
        """Whether all three processes run the file that is at `path` in the root now."""
        file = os.stat(self.booted.root / path.lstrip("/"))
        pids = [self.main_pid(), self.process("defused-prober"), self.process("defused-front")]
        programs = [os.stat(f"/proc/{pid}/exe") for pid in pids if pid]
        return len(programs) == 3 and all((it.st_dev, it.st_ino) == (file.st_dev, file.st_ino) for it in programs)

    def check_upgrade(self):
        """To a package with another program and other defaults, while the service runs."""
        version = field(self.package, "Version") + "+newer"
        newer = make_next(self.package, self.directory, version, config_comment="newer")
        config, audit, before = self.booted.read(CONFIG), self.audit(), self.main_pid()
        budget = self.booted.metrics()["defused_abort_budget_remaining"]
        self.assertTrue(self.program_is("/usr/sbin/defused"))
        shutil.copyfile(newer, self.booted.root / "root/newer.deb")
        since = self.booted.cursor()
        self.booted.run("apt-get", "-q", "-y", "-o", "Dpkg::Options::=--force-confold", "install", "/root/newer.deb", timeout=60)
        self.assertEqual(self.booted.run("dpkg-query", "-W", "-f", "${Version}", "defused").stdout, version)
        self.wait_for(lambda: self.booted.get("/-/ready")[0] == 200 and self.program_is("/usr/sbin/defused"), 15, "the new program")
        self.assertNotEqual(self.main_pid(), before)
        self.assertEqual(self.booted.unit(UNIT, "ActiveState", "UnitFileState"), {"ActiveState": "active", "UnitFileState": "enabled"})
        self.assertEqual(self.booted.read(CONFIG), config)
        self.assertTrue(self.booted.read(f"{CONFIG}.dpkg-dist").endswith("// newer\n"))
        self.assertEqual(self.audit(), audit)
        self.assertEqual(self.booted.metrics()["defused_abort_budget_remaining"], budget)
        self.assertEqual(self.booted.metrics()['defused_remediation_mode{mode="enforce"}'], 1)
        self.assertNotIn("left behind", self.booted.journal(UNIT, since))

    def test_stopped_while_a_prober_cannot_be_killed(self):
        self.start(pass_deadline="3s", max_lost_probers=1)
        with InsideLab(self.booted, "tar_pit") as pit:
            swallow = pit.truth["swallow"]
            inside, = [pid for pid, host in self.booted.members().items() if host == self.process("defused-prober")]
            self.assertEqual(InsideAmbush(self.booted, inside, swallow, "processes").sprung(), inside)
            caught = self.booted.host_pid(inside)
            wait_until(lambda: re.search(r"fuse_\w*open", kernel_stacks([caught])), 10, f"{caught} to wait for its file")
            self.booted.run("stat", f"{os.path.dirname(swallow)}/nothing", check=False)  # answered: its request was read before
            self.wait_for(lambda: self.booted.metrics().get(LOST) == 1, 15, "the prober to be lost")
            self.assertTrue(is_unkillable(caught))
            since, begin = self.booted.cursor(), time.monotonic()
            self.booted.run("systemctl", "stop", UNIT, timeout=15)
            took = time.monotonic() - begin
            print(f"stopped in {took:.1f} s")
            self.assertLess(took, 5 * SLOW)
            self.assertEqual(self.booted.unit(UNIT, "ActiveState", "Result"), {"ActiveState": "inactive", "Result": "success"})
            self.assertRegex(self.booted.journal(UNIT, since), rf"left behind: unkillable .*\b{inside}\b")
            self.assertTrue(is_unkillable(caught))
            self.check_started_beside(inside, caught)
        self.wait_for(lambda: self.booted.get("/-/ready")[0] == 200, 20, "a prober to be started")

    def check_started_beside(self, inside, caught):
        """A new start comes up, says READY=1, and starts no other prober: one is left, which is as many as may be."""
        since = self.booted.cursor()
        self.booted.run("systemctl", "start", UNIT)
        self.wait_for(lambda: "too many probers could not be killed" in self.booted.get("/-/ready")[1], 10, "the reason")
        self.assertEqual(self.booted.unit(UNIT, "ActiveState")["ActiveState"], "active")
        self.assertIsNone(self.process("defused-prober", besides=[caught]))
        self.assertRegex(self.booted.journal(UNIT, since), rf"left-over process {inside} \(")

    def test_enforce_that_is_not_possible_is_refused(self):
        """Each thing that is missing ends the start with exit code 3 and its sentence, and systemd does not try again."""
        outside = {**QUICK["remedy"], "require_host_pid_namespace": True}
        for remedy, enforce, missing in ((QUICK["remedy"], False, ("CAP_DAC_OVERRIDE is missing", f"{FUSECTL} is mounted read-only")),
                                         (outside, True, ("this is not the PID namespace of the host",))):
            with self.subTest(missing):
                since = self.booted.cursor()
                self.configure("enforce", enforce, remedy=remedy)
                done = self.booted.run("systemctl", "restart", UNIT, timeout=40, check=False)
                self.assertEqual(done.returncode, 1, done.stdout)
                self.assertEqual(self.booted.unit(UNIT, "ActiveState", "ExecMainStatus", "NRestarts"),
                                 {"ActiveState": "failed", "ExecMainStatus": "3", "NRestarts": "0"})
                journal = self.booted.journal(UNIT, since)
                for sentence in ("mode enforce is not possible here", *missing):
                    self.assertIn(sentence, journal)

    def test_watchdog(self):
        """A supervisor that stands still is replaced."""
        drop_in = f"{DROP_INS}/20-quick.conf"
        self.booted.write(drop_in, "[Service]\nWatchdogSec=3s\nRestartSec=100ms\n")
        self.addCleanup(self.booted.remove, drop_in)
        self.start()
        self.assertEqual(self.booted.unit(UNIT, "WatchdogUSec")["WatchdogUSec"], "3s")
        time.sleep(4)  # it pats the dog, or it would be replaced here
        self.assertEqual(self.booted.unit(UNIT, "NRestarts")["NRestarts"], "0")
        stopped = self.main_pid()
        since = self.booted.cursor()
        os.kill(stopped, signal.SIGSTOP)
        self.wait_for(lambda: self.main_pid() not in (None, stopped), 30, "another supervisor")
        self.wait_for(lambda: self.booted.get("/-/ready")[0] == 200, 15, "it to be ready")
        self.assertRegex(self.booted.journal(UNIT, since), "Watchdog timeout")


if __name__ == "__main__":
    unittest.main()
