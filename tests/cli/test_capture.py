# SPDX-License-Identifier: Apache-2.0
"""`defused capture` and `defused replay`: round trips on this host, captures of other kernels, and files that nobody should have made.

Nothing may be left in TMPDIR, nothing half-written, and whatever a file holds: one sentence, in bounded time and memory.
"""
import glob
import gzip
import io
import json
import os
import pty
import resource
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
import unittest
from unittest import mock

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lab"))
from captured import without_times  # noqa: E402
from daemon import DEFUSED, REPO, SLOW, mount_fusectl, wait_until  # noqa: E402

CAPTURES = os.path.join(REPO, "tests", "captures")
NOBODY = 65534
MIB = 1 << 20


def call(*arguments, user=None, timeout=60, **options):
    return subprocess.run([DEFUSED, *arguments], capture_output="stdout" not in options, timeout=timeout * SLOW, check=False, user=user,
                          group=user, extra_groups=[] if user else None, stdin=subprocess.DEVNULL, **options)


def measured(*arguments):
    """The run of a command, its seconds and its largest resident memory in bytes."""
    begin = time.monotonic()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = subprocess.Popen([DEFUSED, *arguments], stdout=out, stderr=err, stdin=subprocess.DEVNULL)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        return child.returncode, out.read(), err.read().decode(), time.monotonic() - begin, usage.ru_maxrss << 10


def archive(path, members, mode="w"):
    """A tar with these: name -> text, or (type, target)."""
    with tarfile.open(path, mode, format=tarfile.GNU_FORMAT) as tar:
        for name, what in members:
            member = tarfile.TarInfo(name)
            if isinstance(what, tuple):
                member.type, member.linkname = what
                tar.addfile(member)
            else:
                member.size = len(what)
                tar.addfile(member, io.BytesIO(what))


def replayed(path, *arguments):
    done = call("replay", path, "--json", *arguments)
    return done.returncode, json.loads(done.stdout) if done.stdout else None, done.stderr.decode()


class Case(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix="capture-test-")
        self.addCleanup(shutil.rmtree, self.directory)
        # Of its own: others run defused at the same time.
        self.place = tempfile.mkdtemp(prefix="capture-test-")
        os.chmod(self.place, 0o1777)
        self.addCleanup(shutil.rmtree, self.place)
        before = mock.patch.dict(os.environ, {"TMPDIR": self.place})
        before.start()
        self.addCleanup(before.stop)
        self.addCleanup(self.check_nothing_left)

    def unpacked(self):
        return glob.glob(self.place + "/*")

    def check_nothing_left(self):
        self.assertEqual(self.unpacked(), [])

    def path(self, name):
        return os.path.join(self.directory, name)

    def refused(self, done, code, *parts):
        error = done.stderr.decode() if isinstance(done.stderr, bytes) else done.stderr
        self.assertEqual(done.returncode, code, error)
        for part in parts:
            self.assertIn(part, error)
        self.assertEqual(len(error.splitlines()), 1, error)
        self.assertNotIn("\x1b", error)

    def unpack(self, name):
        with tarfile.open(os.path.join(CAPTURES, name + ".tar.gz")) as tar:
            tar.extractall(self.path(name))
        return self.path(name)


class RoundTrip(Case):
    @classmethod
    def setUpClass(cls):
        mount_fusectl()

    def check(self, *options):
        path = self.path("moment.tar")
        done = call("capture", "-o", path, "--samples", "2", *options)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(f"defused replay {path}", done.stdout.decode())
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)
        listed = subprocess.run(["tar", "tf", path], capture_output=True, text=True, check=True, timeout=60).stdout.split("\n")
        for name in ("about.json", "look.json", "settings.json", "report.json", "errors", "later/1/look.json", "proc/version"):
            self.assertIn(name, listed)
        for name in listed:
            self.assertNotIn(name.rsplit("/", 1)[-1], ("cmdline", "environ", "mem", "maps", "smaps"))
        with tarfile.open(path) as tar:
            then = json.load(tar.extractfile("report.json"))
            about = json.load(tar.extractfile("about.json"))
        self.assertEqual(about["schema"], "defused.capture/v1")
        self.assertEqual(about["looks"], 2)
        for user in (None, NOBODY):
            os.chmod(self.directory, 0o755)
            os.chmod(path, 0o644)
            again = call("replay", path, "--json", user=user)
            self.assertEqual(again.returncode, 0, again.stderr)
            self.assertEqual(again.stderr, b"")
            self.assertEqual(without_times(json.loads(again.stdout)), without_times(then))
        table = call("replay", path)
        self.assertEqual(table.returncode, 0, table.stderr)
        self.assertIn(then["kernel"]["release"], table.stdout.decode())
        return then, about

    def test_of_the_candidates(self):
        _, about = self.check()
        self.assertFalse(about["all"])

    def test_of_all(self):
        then, about = self.check("--all")
        self.assertTrue(about["all"])
        self.assertGreaterEqual(then["pid_namespace_count"], 0)

    def test_redacted(self):
        for options in (["--redact"], ["--redact", "--all"]):
            with self.subTest(options=options):
                then, about = self.check(*options, "--force")
                self.assertEqual((then["host"], about["host"], about["boot_id"]), ("redacted", "redacted", ""))
                with open(self.path("moment.tar"), "rb") as file:
                    self.assertNotIn(os.uname().nodename.encode() + b"\n", file.read())

    def captured_bytes(self, *options):
        """All that an unpacked capture has in it, names too."""
        path = self.path("moment.tar")
        done = call("capture", "-o", path, "--samples", "2", "--force", *options)
        self.assertEqual(done.returncode, 0, done.stderr)
        with tarfile.open(path) as tar:
            return b"".join(f"{member.name}\n{member.linkname}\n".encode() + (tar.extractfile(member).read() if member.isfile() else b"")
                            for member in tar)

    def test_no_secret_comes_through_redaction(self):
        """An init with a secret name, and a FUSE file system with a secret source at a secret place, which nobody serves."""
        comm, source, point = "hushcomm4711", "hushsource4711", "hushpoint4711"
        shutil.copy(shutil.which("sleep"), self.path(comm))
        os.mkdir(self.path(point))
        script = ('exec 3<>/dev/fuse && mount -i -t fuse -o fd=3,rootmode=40000,user_id=0,group_id=0,subtype=probe "$0" "$1" && exec "$2" 300')
        child = subprocess.Popen(["unshare", "--pid", "--fork", "--kill-child", "--mount", "--propagation", "private", "sh", "-c", script, source,
                                  self.path(point), self.path(comm)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

        def end():
            child.kill()
            child.wait(30)
        self.addCleanup(end)

        def comm_of_init():
            with open(f"/proc/{child.pid}/task/{child.pid}/children", encoding="ascii") as file:
                pids = file.read().split()
            if not pids:
                return ""
            with open(f"/proc/{pids[0]}/comm", encoding="utf-8") as file:
                return file.read().strip()
        wait_until(lambda: comm_of_init() == comm, 30 * SLOW, "the process with a secret name")
        plain = self.captured_bytes("--all")
        for secret in (comm, source, point, os.path.basename(self.directory)):
            self.assertIn(secret.encode(), plain)
        for options in (["--redact"], ["--redact", "--all"]):
            redacted = self.captured_bytes(*options)
            for secret in ("hush", os.path.basename(self.directory)):
                self.assertNotIn(secret.encode(), redacted)

    def test_compressed_and_to_standard_output(self):
        path = self.path("moment.tar.gz")
        self.assertEqual(call("capture", "-o", path, "--samples", "2").returncode, 0)
        with gzip.open(path) as file:
            self.assertEqual(file.read(1)[:1], b"a")  # about.json
        self.assertEqual(replayed(path)[0], 0)
        done = call("capture", "-o", "-", "--samples", "2")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("wrote to standard output", done.stderr.decode())
        with open(self.path("out.tar"), "wb") as file:
            file.write(done.stdout)
        self.assertEqual(replayed(self.path("out.tar"))[0], 0)

    def test_default_name(self):
        done = call("capture", "--samples", "2", cwd=self.directory)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(os.listdir(self.directory)[0], r"^defused-.+-\d{8}T\d{6}\.\d{3}Z\.tar$")

    def test_ledger_and_inhibition_are_kept(self):
        os.mkdir(self.path("state"), 0o700)
        config = self.path("c.json")
        with open(config, "w", encoding="utf-8") as file:
            json.dump({"state_directory": self.path("state"), "runtime_directory": self.path("run")}, file)
        self.assertEqual(call("pause", "the reason is secret", "--config", config).returncode, 0)
        for options in ([], ["--redact"]):
            path = self.path("moment.tar")
            self.assertEqual(call("capture", "-o", path, "--force", "--samples", "2", "--config", config, *options).returncode, 0)
            code, report, _ = replayed(path)
            self.assertEqual(code, 0)
            self.assertTrue(report["remedy"]["inhibited"])
            with open(path, "rb") as file:
                self.assertEqual(b"the reason is secret" in file.read(), not options)
        os.unlink(self.path("state/inhibit"))
        os.mkfifo(self.path("state/inhibit"))
        self.assertEqual(call("capture", "-o", path, "--force", "--samples", "2", "--config", config).returncode, 0)
        self.assertTrue(replayed(path)[1]["remedy"]["inhibited"])


class Output(Case):
    """Where a capture cannot be written, or should not."""

    def test_what_is_there_is_not_replaced(self):
        path = self.path("x.tar")
        with open(path, "w", encoding="utf-8") as file:
            file.write("mine")
        self.refused(call("capture", "-o", path), 2, path, "is there already; --force")
        with open(path, encoding="utf-8") as file:
            self.assertEqual(file.read(), "mine")
        self.assertEqual(call("capture", "-o", path, "--force", "--samples", "2").returncode, 0)
        self.assertEqual(os.listdir(self.directory), ["x.tar"])
        os.mkfifo(self.path("fifo"))
        os.symlink(path, self.path("link"))
        for name in (self.path("fifo"), self.path("link"), "/dev/full", self.directory):
            self.refused(call("capture", "-o", name, "--force"), 2, name, "no regular file")
        self.assertFalse(os.path.isfile("/dev/full"))

    def test_no_such_place(self):
        self.refused(call("capture", "-o", "/nonexistent/x.tar"), 2, "/nonexistent: No such file or directory")
        self.refused(call("capture", "-o", "/etc/passwd/x.tar"), 2, "/etc/passwd: not a directory")
        self.refused(call("capture", "-o", self.directory + "/"), 2, "expected the name of a file")

    def test_full_disk(self):
        with open("/dev/full", "wb") as full:
            done = subprocess.run([DEFUSED, "capture", "-o", "-", "--samples", "2"], stdout=full, stderr=subprocess.PIPE, timeout=60 * SLOW,
                                  check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"No space left on device", done.stderr)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "none", self.directory], check=True, timeout=10)
        try:
            done = call("capture", "--all", "-o", self.path("x.tar"), "--samples", "2")
            self.assertEqual(done.returncode, 1, done.stderr)
            self.assertIn(b"No space left on device", done.stderr)
            self.assertEqual(os.listdir(self.directory), [])
        finally:
            subprocess.run(["umount", "-l", self.directory], check=True, timeout=10)

    def test_not_to_a_terminal(self):
        master, terminal = pty.openpty()
        try:
            done = subprocess.run([DEFUSED, "capture", "-o", "-"], stdout=terminal, stderr=subprocess.PIPE, timeout=20 * SLOW, check=False)
            self.refused(done, 2, "terminal")
        finally:
            os.close(master)
            os.close(terminal)

    def test_not_root(self):
        self.refused(call("capture", "-o", "/tmp/never.tar", user=NOBODY), 3, "root")
        self.assertFalse(os.path.exists("/tmp/never.tar"))


    def test_a_signal_leaves_nothing(self):
        for options in ([], ["--redact", "--all"]):
            for delay in (0.1, 0.3, 0.6, 1.0):
                path = self.path("x.tar")
                child = subprocess.Popen([DEFUSED, "capture", "-o", path, "--force", "--samples", "2", *options], stdout=subprocess.DEVNULL,
                                         stderr=subprocess.PIPE)
                time.sleep(delay)
                child.send_signal(signal.SIGTERM)
                error = child.communicate(timeout=60 * SLOW)[1].decode()
                self.assertIn(child.returncode, (-signal.SIGTERM, 0), error)
                self.assertNotIn("interrupted", error)
                if child.returncode == 0:
                    os.unlink(path)
                self.assertIn(os.listdir(self.directory), ([], ["x.tar"]))
                self.check_nothing_left()


class OtherHosts(Case):
    def test_captures_of_three_kernels(self):
        archives = sorted(glob.glob(os.path.join(CAPTURES, "*.tar.gz")))
        self.assertEqual(len(archives), 10)
        for path in archives:
            name = os.path.basename(path)
            with self.subTest(name=name):
                code, report, error = replayed(path)
                self.assertEqual((code, error), (0, ""))
                verdicts = [finding["verdict"] for finding in report["pid_namespaces"]]
                self.assertEqual(verdicts, [] if "healthy" in name else ["deadlocked"])
                self.assertTrue(report["kernel"]["release"].startswith(".".join(name.split("-")[1].split(".")[:2]) + "."), name)
                self.assertEqual(report["host"], "unknown")

    def test_a_directory_says_the_same_also_inside_another(self):
        packed = replayed(os.path.join(CAPTURES, "linux-6.18.44-flush.tar.gz"))[1]
        directory = self.unpack("linux-6.18.44-flush")
        self.assertEqual(without_times(replayed(directory)[1]), without_times(packed))
        self.assertEqual(without_times(replayed(self.directory)[1]), without_times(packed))

    def test_explained(self):
        path = os.path.join(CAPTURES, "linux-6.18.44-flush.tar.gz")
        done = call("replay", path, "--explain", "all")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("It is a deadlock in FUSE", done.stdout.decode())
        self.assertEqual(call("replay", path, "--explain", "40").returncode, 0)
        self.assertEqual(call("replay", path, "--explain", "pid:4194303").returncode, 6)
        self.refused(call("replay", path, "--explain", "pid:x"), 2, "a number is expected")
        evidence = json.loads(call("replay", path, "--explain", "connection:40", "--json").stdout)
        self.assertEqual(evidence["schema"], "defused.explain/v1")

    def test_an_evidence_bundle(self):
        directory = self.unpack("linux-6.18.44-flush")
        for about in ({"schema": "defused.evidence/v1", "host": "node-7", "time_ns": 5, "connection": 40, "left_out": 0},
                      {"schema": "defused.evidence/v1", "time": "2026-11-24T12:15:00.000Z", "connection": 40}):
            with open(os.path.join(directory, "about.json"), "w", encoding="utf-8") as file:
                json.dump(about, file)
            code, report, error = replayed(directory)
            self.assertEqual((code, error), (0, ""))
            self.assertEqual([finding["verdict"] for finding in report["pid_namespaces"]], ["deadlocked"])
            self.assertEqual(report["host"], about.get("host", ""))

    def test_another_conclusion_is_told(self):
        directory = self.unpack("linux-6.18.44-flush")
        with open(os.path.join(directory, "report.json"), "w", encoding="utf-8") as file:
            json.dump({"pid_namespaces": [{"pid_namespace": 7, "verdict": "\x1b[31mbad"}], "stuck_exits": 3}, file)
        code, _, error = replayed(directory)
        self.assertEqual(code, 0)
        self.assertEqual(len(error.splitlines()), 1, error)
        self.assertIn("PID namespace 7 was '\\x1b[31mbad' and is not told", error)
        for text in ("{", "[]", '{"pid_namespaces": [[[1]]]}', "[" * 100000):
            with open(os.path.join(directory, "report.json"), "w", encoding="utf-8") as file:
                file.write(text)
            self.assertEqual(replayed(directory)[0], 0)

    def test_configuration(self):
        directory = self.unpack("linux-6.18.44-flush")
        with open(os.path.join(directory, "settings.json"), "w", encoding="utf-8") as file:
            json.dump({"remedy": {"min_stuk": "1h"}}, file)
        self.refused(call("replay", directory), 2, "settings.json: remedy.min_stuk: unknown key")
        config = self.path("c.json")
        with open(config, "w", encoding="utf-8") as file:
            json.dump({"expose_source": "hidden"}, file)
        code, report, _ = replayed(directory, "--config", config)
        self.assertEqual(code, 0)
        self.assertEqual({connection["source"] for connection in report["connections"]}, {""})
        self.refused(call("replay", directory, "--config", "/nonexistent/c.json"), 2, "/nonexistent/c.json")


class Hostile(Case):
    def test_what_is_no_capture(self):
        self.refused(call("replay", "/nonexistent.tar"), 2, "/nonexistent.tar: No such file or directory")
        self.refused(call("replay", "/etc/passwd"), 2, "no tar archive")
        self.refused(call("replay", "/dev/null"), 2, "regular file")
        os.mkfifo(self.path("fifo"))
        self.refused(call("replay", self.path("fifo")), 2, "regular file")
        self.refused(call("replay", self.directory), 2, "fifo")
        os.unlink(self.path("fifo"))
        self.refused(call("replay", self.directory), 2, "not a capture: expected a directory 'proc'")
        self.refused(call("replay", "/"), 2, "/: ")
        secret = self.path("secret.tar")
        archive(secret, [("proc/version", b"x")])
        os.chmod(secret, 0o600)
        os.chmod(self.directory, 0o755)
        self.refused(call("replay", secret, user=NOBODY), 1, "Permission denied")

    # members, a part of the one sentence
    ABOUT = {"schema": "defused.capture/v1", "version": "1", "host": "h", "time_ns": 1, "boot_id": "", "all": False, "redacted": False}
    LOOK = {"wall_ns": 1, "boottime_ns": 1, "file_reader": False, "wait_reader": False, "own": 1, "parent": 1, "left_out": 0,
            "connection_inodes": {}}

    @classmethod
    def of_looks(cls, looks, *look):
        """The members of a capture that says so many looks, with a look.json for each of these."""
        members = [("proc/version", b"x"), ("about.json", json.dumps({**cls.ABOUT, "looks": looks}).encode())]
        for number, changes in enumerate(look):
            members.append((f"later/{number}/look.json" if number else "look.json", json.dumps({**cls.LOOK, **changes}).encode()))
        return members

    MEMBERS = [
        ([("proc/version", b"x"), ("../../up", b"x")], "'../../up': expected a relative path"),
        ([("/etc/cron.d/x", b"x")], "'/etc/cron.d/x': expected a relative path"),
        ([("proc/\x1b[2Jx", b"x")], "'proc/\\x1b[2Jx': expected a relative path"),
        ([("proc/x", (tarfile.CHRTYPE, ""))], "neither file, directory nor link"),
        ([("proc/x", (tarfile.FIFOTYPE, ""))], "neither file, directory nor link"),
        ([("proc/x", (tarfile.LNKTYPE, "/etc/shadow"))], "a hard link"),
        ([("proc", (tarfile.SYMTYPE, "/proc"))], "proc: expected a directory"),
        ([("proc/version", b"x"), ("sys", (tarfile.SYMTYPE, "/sys"))], "sys: expected a directory"),
        ([("proc/version", b"x"), ("bpf", (tarfile.SYMTYPE, "/etc"))], "bpf: expected a directory"),
        ([("proc/version", b"x"), ("state", (tarfile.SYMTYPE, "/var/lib/defused"))], "state: expected a directory"),
        ([("proc/version", b"x"), ("about.json", b"{}")], "about.json: schema: expected a text"),
        ([("proc/version", b"x"), ("look.json", b"[]")], "look.json: expected a JSON object"),
        ([("proc/version", b"x"), ("errors", b"nonsense\n")], "errors: line 1: expected"),
        ([("proc/version", b"x"), ("later/7/proc/version", b"x")], "later/: 1 is missing"),
        ([("proc/version", b"x"), ("later/1/gone", b"proc\n"), ("later/1/proc", (tarfile.SYMTYPE, "/proc"))],
         "proc: expected a directory"),
        ([("proc/version", b"x"), ("settings.json", b"{")], "settings.json: "),
    ]

    def test_members(self):
        of_capture = [
            (self.of_looks(1), "look.json: expected one in each look of a capture"),
            (self.of_looks(7, {}), "about.json: looks: expected 1, as there are in it, got 7"),
            (self.of_looks(1, {}, {}), "about.json: looks: expected 2, as there are in it, got 1"),
            (self.of_looks(1, {"boottime_ns": 0}), "look.json: boottime_ns: expected a time after the boot"),
            (self.of_looks(1, {"boottime_ns": -5}), "look.json: boottime_ns: expected a whole number"),
            (self.of_looks(2, {"boottime_ns": 7}, {"boottime_ns": 6}), "look 2: look.json: expected a time after that of the look before"),
            (self.of_looks(2, {}, {}) + [("later/1/gone", b"\n")], "later/1/gone: line 1: expected a path"),
        ]
        for members, sentence in self.MEMBERS + of_capture:
            with self.subTest(sentence=sentence):
                archive(self.path("x.tar"), members)
                self.refused(call("replay", self.path("x.tar")), 2, sentence)

    def test_what_did_not_fit_is_told(self):
        archive(self.path("x.tar"), self.of_looks(2, {"left_out": 3}, {"left_out": 4}))
        error = call("replay", self.path("x.tar")).stderr.decode()
        self.assertIn("7 readings did not fit into it when it was made", error)
        self.assertEqual(len(error.splitlines()), 1, error)

    def test_cut_off(self):
        with open(os.path.join(CAPTURES, "linux-6.18.44-flush.tar.gz"), "rb") as file:
            whole = file.read()
        with open(self.path("x.tar.gz"), "wb") as file:
            file.write(whole[:len(whole) * 2 // 3])
        self.refused(call("replay", self.path("x.tar.gz")), 2, "x.tar.gz: ")

    def test_bombs_cost_little(self):
        with gzip.open(self.path("bomb.tar.gz"), "wb", compresslevel=1) as file:
            member = tarfile.TarInfo("proc/version")
            member.size = 8 << 30
            file.write(member.tobuf(tarfile.GNU_FORMAT))
            for _ in range(300):
                file.write(bytes(MIB))
        with tarfile.open(self.path("many.tar.gz"), "w:gz", compresslevel=1, format=tarfile.GNU_FORMAT) as tar:
            for number in range(4000):
                tar.addfile(tarfile.TarInfo(f"proc/{number}/status"), io.BytesIO(b""))
        for name, codes in (("bomb.tar.gz", (2,)), ("many.tar.gz", (0, 1))):
            code, _, error, seconds, memory = measured("replay", self.path(name))
            self.assertIn(code, codes, error)
            if name == "bomb.tar.gz":
                self.assertIn("more than the 1073741824 bytes that are read", error)
            self.assertLess(seconds, 60 * SLOW)
            if SLOW == 1:
                self.assertLess(memory, 128 * MIB, name)

    def test_nothing_reaches_the_terminal_raw(self):
        directory = self.unpack("linux-6.18.44-flush")
        for status in glob.glob(directory + "/proc/*/status") + glob.glob(directory + "/proc/*/task/*/status"):
            with open(status, "rb+") as file:
                text = file.read()
                file.seek(0)
                file.truncate()
                file.write(b"Name:\tx\x1b]0;owned\x07\n" + text[text.index(b"\n") + 1:])
        with open(directory + "/proc/version", "wb") as file:
            file.write(b"Linux version 6.18\x1b[31m (x) #1\n")
        about = {"schema": "defused.capture/v1", "version": "\x1b[31m1", "host": "h\x1b[2J", "time_ns": 1, "boot_id": "\x1b", "all": False,
                 "redacted": False, "looks": 1}
        with open(directory + "/about.json", "w", encoding="utf-8") as file:
            json.dump(about, file)
        with open(directory + "/look.json", "w", encoding="utf-8") as file:
            json.dump({**self.LOOK, "boottime_ns": 10**14}, file)
        for arguments in ([], ["--json"], ["--explain", "all"]):
            done = call("replay", directory, *arguments)
            self.assertNotIn(b"\x1b", done.stdout + done.stderr)
            self.assertIn(b"\\x1b", done.stdout)

    def test_a_signal_leaves_nothing(self):
        path = self.path("x.tar")
        archive(path, [(f"proc/{number}/task/{number}/status", b"Name:\tx\nState:\tS\n") for number in range(1, 4000)])
        for number in (signal.SIGTERM, signal.SIGINT):
            child = subprocess.Popen([DEFUSED, "replay", path], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            wait_until(lambda: self.unpacked() or child.poll() is not None, 30, "a directory")
            child.send_signal(number)
            self.assertIn(child.wait(60 * SLOW), (-number, 0, 1))
            self.check_nothing_left()

    def test_no_such_place(self):
        with mock.patch.dict(os.environ, {"TMPDIR": self.path("nowhere")}):
            done = call("replay", os.path.join(CAPTURES, "linux-6.18.44-flush.tar.gz"))
        self.assertNotEqual(done.returncode, 0)
        self.assertIn(f"making a directory in {self.path('nowhere')}", done.stderr.decode())

    def test_a_second_signal_ends_it(self):
        path = self.path("x.tar")
        archive(path, [(f"proc/{number}/task/{number}/status", b"Name:\tx\nState:\tS\n") for number in range(1, 20000)])
        child = subprocess.Popen([DEFUSED, "replay", path], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(lambda: self.unpacked() or child.poll() is not None, 30, "a directory")
        child.send_signal(signal.SIGTERM)
        # Once it was seen the others are let through.
        blocked = 1 << (signal.SIGINT - 1)

        def let_through():
            with open(f"/proc/{child.pid}/status", encoding="utf-8") as file:
                lines = dict(line.split(":", 1) for line in file.read().splitlines())
            return lines["State"].strip()[0] == "Z" or not int(lines["SigBlk"], 16) & blocked
        wait_until(let_through, 30 * SLOW, "the signal was seen")
        child.send_signal(signal.SIGINT)
        self.assertIn(child.wait(60 * SLOW), (-signal.SIGTERM, -signal.SIGINT))
        for left in self.unpacked():
            shutil.rmtree(left)

    def test_no_room(self):
        """/tmp is full, as it is where TMPDIR says nothing: one sentence, and it is as full as before."""
        # What the build made may be below /tmp itself.
        script = ('unset TMPDIR; exec 8<"$0" 9<"$1"; mount -t tmpfs -o size=64k none /tmp && /proc/self/fd/8 replay /proc/self/fd/9; code=$?; '
                  'ls -A /tmp; exit $code')
        done = subprocess.run(["unshare", "--mount", "--propagation", "private", "sh", "-c", script, DEFUSED,
                               os.path.join(CAPTURES, "linux-6.18.44-flush.tar.gz")], capture_output=True, timeout=60 * SLOW, check=False)
        self.refused(done, 1, "No space left on device")
        self.assertEqual(done.stdout, b"")


class Budget(Case):
    def test_descriptors_memory_and_time(self):
        path = self.path("x.tar")
        code, _, error, seconds, memory = measured("capture", "--all", "-o", path)
        self.assertEqual(code, 0, error)
        self.assertLess(seconds, 20 * SLOW)
        if SLOW == 1:
            self.assertLess(memory, 256 * MIB)
        few = subprocess.run([DEFUSED, "replay", path], capture_output=True, timeout=60 * SLOW, check=False,
                             preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (48, 48)))
        self.assertEqual(few.returncode, 0, few.stderr)


if __name__ == "__main__":
    unittest.main()
