# SPDX-License-Identifier: Apache-2.0
"""What each process of the real daemon may do, in each mode, and what a host that lacks something is told.

What the sandbox forbids is tried from inside of it in tests/unit/daemon/prober_sandbox_test.cc."""
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import unittest

from daemon import DEFUSED, SLOW, Daemon, mount_fusectl, read_text, wait_until
from lab import Lab
from remedy_lab import QUICK, REMEDY, audit, is_gone, stands

CAPABILITIES = {"DAC_OVERRIDE": 1, "DAC_READ_SEARCH": 2, "KILL": 5, "SETGID": 6, "SETUID": 7, "SETPCAP": 8,
                "NET_BIND_SERVICE": 10, "SYS_PTRACE": 19, "SYS_ADMIN": 21, "PERFMON": 38, "BPF": 39}
LOOKS = {"SYS_PTRACE", "SYS_ADMIN", "DAC_READ_SEARCH", "BPF", "PERFMON"}
SANITIZED = bool(os.environ.get("DEFUSED_SLOW"))  # such a build keeps the mounts of the host
BLIND = 'defused_blind{what="prober"}'
HOOK = {"before_hook": ["/bin/true"]}


def status_of(pid, field):
    found = re.search(rf"^{field}:\t(\S+)$", read_text(f"/proc/{pid}/status"), re.M)
    return found.group(1) if found else ""


def mask(names):
    """The set of capabilities as `status` shows it, of those that this machine gives to root at all."""
    return sum(1 << CAPABILITIES[name] for name in names) & int(status_of("self", "CapBnd"), 16)


def held(pid, field="CapEff"):
    return int(status_of(pid, field) or "0", 16)


def mounts_of(pid):
    """{mount point: options}."""
    lines = (line.split() for line in read_text(f"/proc/{pid}/mountinfo").splitlines())
    return {words[4]: words[5].split(",") for words in lines}


class Sandbox(unittest.TestCase):
    def setUp(self):
        mount_fusectl()
        self.directory = tempfile.mkdtemp(prefix="defused-test-")
        self.addCleanup(shutil.rmtree, self.directory)

    def write(self, path, settings):
        with open(path, "w", encoding="utf-8") as file:
            json.dump(settings, file)

    def daemon(self, mode, wrapper=(), **remedy):
        return Daemon(mode=mode, directory=self.directory, wrapper=wrapper, remedy={**REMEDY, **remedy}, **QUICK)

    def reload(self, daemon, mode, **remedy):
        """HUP to another mode; the new prober, once it has made a pass. It counts on from where the old one was."""
        before = daemon.child("defused-prober")
        passes = wait_until(lambda: (daemon.metric("defused_scans_total") or 0) > 3 and daemon.metric("defused_scans_total"), 10,
                            daemon.log())
        daemon.write_config({**daemon.settings, "mode": mode, "remedy": {**REMEDY, **remedy}})
        daemon.process.send_signal(signal.SIGHUP)
        prober = wait_until(lambda: daemon.child("defused-prober", besides=before), 10, daemon.log())
        wait_until(lambda: not read_text(f"/proc/{before}/status"), 5, "the old prober to end")
        wait_until(lambda: status_of(prober, "Seccomp") == "2", 10, "the new prober to be confined")
        self.assertGreaterEqual(daemon.metric("defused_scans_total"), passes)
        passes = daemon.metric("defused_scans_total")
        wait_until(lambda: daemon.metric("defused_scans_total") > passes, 10, daemon.log())
        self.assertEqual(daemon.child("defused-prober"), prober)
        self.assertEqual(daemon.metric(BLIND), 0)
        return prober

    def check_prober(self, pid, names, hooks=False):
        self.assertEqual(held(pid), mask(names), "capabilities of the prober")
        self.assertEqual(held(pid, "CapPrm"), held("self", "CapBnd") if hooks else mask(names))
        for field in ("CapInh", "CapAmb"):
            self.assertEqual(held(pid, field), 0, field)
        self.assertEqual(held(pid, "CapBnd"), held("self", "CapBnd") if hooks else 0)
        self.assertEqual(status_of(pid, "NoNewPrivs"), "0" if hooks else "1")
        self.assertEqual(status_of(pid, "Seccomp"), "2")

    def check_mounts(self, pid, fusectl):
        """What can be written: the state directory, and fusectl if so said."""
        state = os.path.join(self.directory, "state")
        mounts = mounts_of(pid)
        self.assertEqual(set(mounts), {"/", "/proc", "/sys", "/sys/fs/fuse/connections", state})
        writable = {point for point, options in mounts.items() if "rw" in options}
        self.assertEqual(writable, {state, "/sys/fs/fuse/connections"} if fusectl else {state})
        for point, options in mounts.items():
            self.assertTrue({"nosuid", "noexec"} <= set(options), f"{point}: {options}")

    def test_each_process_has_what_it_needs(self):
        with self.daemon("observe") as daemon:
            self.check_prober(daemon.child("defused-prober"), LOOKS)
            front = daemon.child("defused-front")
            for field in ("CapEff", "CapPrm", "CapInh", "CapAmb", "CapBnd"):
                self.assertEqual(held(front, field), 0, f"{field} of the front")
            self.assertEqual((status_of(front, "NoNewPrivs"), status_of(front, "Seccomp")), ("1", "2"))
            supervisor = {"KILL", "NET_BIND_SERVICE", "DAC_READ_SEARCH"}
            self.assertEqual(held(daemon.supervisor()), mask(supervisor))
            self.assertEqual(held(daemon.supervisor(), "CapBnd"), held("self", "CapBnd"))
            self.assertNotIn(" missing", daemon.log())
            if not SANITIZED:
                self.check_mounts(daemon.child("defused-prober"), fusectl=False)
            self.assertEqual(daemon.metric('defused_blind{what="fusectl"}'), 0)
            self.assertGreater(daemon.metric('defused_process_open_fds{process="prober"}'), 0)

    def test_power_comes_and_goes_with_the_mode(self):
        """Beside a real deadlock: held in observe, freed in enforce, and the next one held in observe again."""
        with self.daemon("observe") as daemon:
            with Lab("flush_thread", fstype="defusedlab") as lab:
                wait_until(lambda: daemon.metric('defused_holds{reason="mode"}') == 1, 15, daemon.log())
                self.check_prober(daemon.child("defused-prober"), LOOKS)
                self.assertTrue(stands(lab.truth))
                prober = self.reload(daemon, "enforce")
                self.check_prober(prober, LOOKS | {"DAC_OVERRIDE"})
                if not SANITIZED:
                    self.check_mounts(prober, fusectl=True)
                wait_until(lambda: is_gone(lab.truth), 15, daemon.log())
                outcomes = wait_until(lambda: audit(daemon, "outcome"), 10, daemon.log())
                self.assertEqual([outcome["outcome"] for outcome in outcomes], ["released"])
            prober = self.reload(daemon, "observe")
            self.check_prober(prober, LOOKS)
            with Lab("flush_thread", fstype="defusedlab") as lab:
                wait_until(lambda: daemon.metric('defused_holds{reason="mode"}') == 1, 15, daemon.log())
                passes = daemon.metric("defused_scans_total")
                wait_until(lambda: daemon.metric("defused_scans_total") > passes + 4, 10, daemon.log())
                self.assertTrue(stands(lab.truth))
            self.assertEqual(len(audit(daemon, "intent")), 1)
            self.assertEqual(daemon.metric("defused_probers_lost_total"), 0)
            self.assertNotIn("ended by itself", daemon.log())
            self.assertNotIn("missed the deadline", daemon.log())

    def test_hooks(self):
        with self.daemon("enforce", **HOOK) as daemon:
            self.check_prober(daemon.child("defused-prober"), LOOKS | {"DAC_OVERRIDE", "KILL"}, hooks=True)
            self.check_prober(self.reload(daemon, "enforce"), LOOKS | {"DAC_OVERRIDE"})

    def test_state_directory_that_is_replaced(self):
        """The prober would write into one that nobody sees."""
        if SANITIZED:
            self.skipTest("a sanitized prober sees the host's mounts")
        with self.daemon("observe") as daemon:
            prober = daemon.child("defused-prober")
            state = os.path.join(self.directory, "state")
            os.rename(state, f"{state}.old")
            os.mkdir(state, 0o700)
            prober = wait_until(lambda: daemon.child("defused-prober", besides=prober), 10, daemon.log())
            wait_until(lambda: state in mounts_of(prober), 10, daemon.log())
            self.assertIn("the state directory was mounted, unmounted or replaced", daemon.log())

    def run_without(self, mode, wrapper):
        """(exit code, what it said) of a daemon that has to end by itself."""
        config = os.path.join(self.directory, "defused.json")
        self.write(config, {"mode": mode, "state_directory": os.path.join(self.directory, "state"),
                            "runtime_directory": os.path.join(self.directory, "run"), "web": {"listen_addresses": ["127.0.0.1:0"]}})
        done = subprocess.run([*wrapper, DEFUSED, "run", "--config", config], stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, timeout=20 * SLOW, check=False)
        return done.returncode, done.stderr

    def test_what_enforce_cannot_do_without(self):
        without = ["setpriv", "--bounding-set=-dac_override"]
        code, errors = self.run_without("enforce", without)
        self.assertEqual(code, 3)
        self.assertIn("mode enforce is not possible here: CAP_DAC_OVERRIDE is missing: no connection of another user can be aborted",
                      errors)
        self.assertEqual(len(errors.splitlines()), 1, errors)
        read_only = ["unshare", "--mount", "--propagation", "private", "sh", "-c",
                     'mount -o remount,bind,ro /sys/fs/fuse/connections && exec "$@"', "sh"]
        code, errors = self.run_without("enforce", read_only)
        self.assertEqual(code, 3)
        self.assertIn("/sys/fs/fuse/connections is mounted read-only", errors)
        code, errors = self.run_without("enforce", ["unshare", "--pid", "--fork", "--mount-proc", "--propagation", "private"])
        self.assertEqual(code, 3)
        self.assertIn("not the PID namespace of the host", errors)

    def test_what_is_only_seen_less(self):
        """A warning each, and it serves; what the mode does not allow is refused at a HUP, and the old one goes on."""
        with self.daemon("observe", wrapper=["setpriv", "--bounding-set=-sys_ptrace,-perfmon,-bpf,-dac_override"]) as daemon:
            self.assertIn("CAP_SYS_PTRACE is missing: the descriptors, stacks and namespaces", daemon.log())
            self.assertNotIn("CAP_BPF", daemon.log())  # CAP_SYS_ADMIN is that as well
            self.assertNotIn("CAP_DAC_OVERRIDE", daemon.log())
            prober = daemon.child("defused-prober")
            self.check_prober(prober, LOOKS - {"SYS_PTRACE", "BPF", "PERFMON"})
            daemon.write_config({**daemon.settings, "mode": "enforce"})
            daemon.process.send_signal(signal.SIGHUP)
            wait_until(lambda: "the old configuration is kept: mode enforce is not possible here: CAP_DAC_OVERRIDE is missing"
                       in daemon.log(), 10, daemon.log())
            self.assertEqual(daemon.metric('defused_remediation_mode{mode="observe"}'), 1)
            self.assertEqual(daemon.child("defused-prober"), prober)

    def test_without_the_right_to_mount(self):
        """The prober goes on among the mounts of the host, and says so."""
        with self.daemon("observe", wrapper=["setpriv", "--bounding-set=-sys_admin,-perfmon,-bpf"]) as daemon:
            self.assertIn("CAP_BPF and CAP_PERFMON are missing", daemon.log())
            if not SANITIZED:
                self.assertIn("the prober keeps the mounts of the host", daemon.log())
            self.check_prober(daemon.child("defused-prober"), LOOKS - {"SYS_ADMIN", "BPF", "PERFMON"})
            self.assertEqual(daemon.metric('defused_blind{what="fusectl"}'), 0)

    def test_commands_are_confined_too(self):
        """A look writes nothing, and needs no state directory."""
        config = os.path.join(self.directory, "defused.json")
        state = os.path.join(self.directory, "none")
        self.write(config, {"state_directory": state})
        trace = os.path.join(self.directory, "trace")
        done = subprocess.run(["strace", "-f", "-qq", "-e", "trace=seccomp,pivot_root,capset", "-o", trace, DEFUSED, "scan",
                               "--config", config], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=40 * SLOW, check=False,
                              env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0"})  # it traces as well
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stderr, "")
        text = read_text(trace)
        self.assertRegex(text, r"seccomp\(SECCOMP_SET_MODE_FILTER.* = 0")
        self.assertRegex(text, r"capset\(.* = 0")
        if not SANITIZED:
            self.assertRegex(text, r"pivot_root\(.*\) += 0")
        self.assertFalse(os.path.exists(state))


if __name__ == "__main__":
    unittest.main()
