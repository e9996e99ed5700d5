# SPDX-License-Identifier: Apache-2.0
"""`defused check`, `version` and `config` by table: exit code, output, time, memory and descriptors; good, denied, broken and
hostile input. And the definition for node-problem-detector, which this test plays."""
import contextlib
import json
import os
import re
import resource
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lab"))
from daemon import DEFUSED, REPO, SLOW, Daemon, mount_fusectl, read_text, wait_until  # noqa: E402
from web_files import make_certificate  # noqa: E402

NOBODY = 65534
PERFORMANCE = re.compile(r"[a-z_]+=\d+(\.\d+)?(s|c)?;\d*;\d*;0")
NUMBERS = {"stuck", "deadlocked", "oldest_stuck_seconds", "stuck_exits", "stalled", "orphaned", "connections", "waiting", "gaps",
           "scan_age_seconds", "scan_duration_seconds"}


def call(*arguments, user=None, timeout=40, **options):
    return subprocess.run([DEFUSED, *arguments], capture_output=True, text=True, timeout=timeout * SLOW, check=False, user=user,
                          group=user, extra_groups=[] if user else None, stdin=subprocess.DEVNULL, **options)


def write_config(directory, settings=None, name="defused.json"):
    path = os.path.join(directory, name)
    with open(path, "w", encoding="utf-8") as file:
        json.dump({"state_directory": directory + "/state", "runtime_directory": directory + "/run", **(settings or {})}, file)
    return path


def call_within(namespace, script, *arguments):
    """`defused` with `arguments` as call(), in a new namespace of that kind, behind the commands of `script`."""
    return subprocess.run(["unshare", *namespace, "sh", "-c", script + '"$@"', "sh", DEFUSED, *arguments], capture_output=True, text=True,
                          timeout=40 * SLOW, check=False)


class Plugin(unittest.TestCase):
    def setUp(self):
        mount_fusectl()
        temporary = tempfile.TemporaryDirectory(prefix="defused-test-")
        self.addCleanup(temporary.cleanup)
        self.directory = temporary.name
        self.config = write_config(self.directory)

    def check(self, *arguments, **options):
        return call("check", "--config", self.config, *arguments, **options)

    def check_line(self, done, code):
        """By the guidelines of monitoring plugins: a state, a text, one '|', performance data of their form."""
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        line = done.stdout.splitlines()[0]
        word = ("OK", "WARNING", "CRITICAL", "UNKNOWN")[code]
        self.assertTrue(line.startswith(f"DEFUSED {word}: "), line)
        text, _, performance = line.partition(" | ")
        self.assertTrue(text)
        for part in performance.split():
            self.assertRegex(part, rf"^{PERFORMANCE.pattern}$")
        self.assertFalse(set("~$&'\"<>`") & set(done.stdout), done.stdout)
        return text, performance

    def test_without_a_daemon_it_looks_itself(self):
        done = self.check()
        self.assertIn(done.returncode, (0, 1), done.stdout)  # whatever else is on this host
        _, performance = self.check_line(done, done.returncode)
        deadlocked = re.search(r"(?:^| )deadlocked=(\d+);", performance)
        self.assertEqual(int(deadlocked[1]), done.stdout.count(": deadlocked ("), done.stdout)
        self.assertIn(f"note: no daemon listens on {self.directory}/run/report.sock; this is a look of its own", done.stdout)
        self.assertEqual(done.stderr, "")

    def test_with_a_daemon(self):
        with Daemon() as daemon:
            path = os.path.join(daemon.settings["runtime_directory"], "report.sock")
            self.assertEqual(os.stat(path).st_mode & 0o7777, 0o600)
            done = call("check", "--json", "--config", daemon.config)
            answer = json.loads(done.stdout)
            self.assertEqual((answer["schema"], answer["source"]), ("defused.check/v1", "daemon"), done.stdout)
            self.assertEqual(answer["exit_code"], done.returncode)
            self.assertEqual(set(answer["performance"]), NUMBERS | {"lost_probers", "probers_lost"})
            self.assertLess(answer["performance"]["scan_age_seconds"], 10 * SLOW)
            alone = json.loads(call("check", "--json", "--probe", "--config", daemon.config).stdout)
            self.assertEqual(alone["source"], "probe")
            self.assertEqual(set(alone["performance"]), NUMBERS)
        self.assertFalse(os.path.exists(path))

    def test_the_daemon_counts_no_descriptor_more_after_many_clients(self):
        with Daemon() as daemon:
            descriptors = f"/proc/{daemon.supervisor()}/fd"
            # Those of a pass come and go.
            before = max(len(os.listdir(descriptors)) for _ in range(100) if not time.sleep(0.02))
            path = os.path.join(daemon.settings["runtime_directory"], "report.sock")
            for i in range(300):
                with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
                    # Where the backlog is full, it waits so long. With settimeout() it would not: EAGAIN.
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", 10 * SLOW, 0))
                    client.connect(path)
                    client.settimeout(10 * SLOW)
                    if i % 3 == 0:
                        self.assertTrue(client.recv(1024).startswith(b"defused "))
                    elif i % 3 == 1:
                        with contextlib.suppress(BrokenPipeError):  # answered and closed already
                            client.send(b"x" * 1000)
            self.assertEqual(call("check", "--config", daemon.config).stdout.count("a look of its own"), 0)
            deadline = time.monotonic() + 5 * SLOW
            while len(os.listdir(descriptors)) > before and time.monotonic() < deadline:
                time.sleep(0.05)
            self.assertLessEqual(len(os.listdir(descriptors)), before)  # else some of 300 are left
            self.assertEqual(daemon.get("/-/ready")[0], 200)

    def test_no_child_has_the_socket(self):
        with Daemon() as daemon:
            path = os.path.join(daemon.settings["runtime_directory"], "report.sock")
            inodes = {line.split()[6] for line in read_text("/proc/net/unix").splitlines() if line.endswith(" " + path)}
            self.assertEqual(len(inodes), 1)
            wanted = {f"socket:[{inode}]" for inode in inodes}

            def has_it(pid):
                targets = set()
                for name in os.listdir(f"/proc/{pid}/fd"):
                    with contextlib.suppress(FileNotFoundError):  # closed since
                        targets.add(os.readlink(f"/proc/{pid}/fd/{name}"))
                return bool(wanted & targets)

            self.assertTrue(has_it(daemon.supervisor()))
            for name in ("defused-prober", "defused-front"):
                self.assertFalse(has_it(daemon.child(name)), name)

    def test_after_a_crash_the_socket_is_replaced(self):
        with Daemon(directory=self.directory) as daemon:
            os.kill(daemon.supervisor(), 9)
            daemon.process.wait(10)
        path = os.path.join(self.directory, "run", "report.sock")
        self.assertTrue(os.path.exists(path))
        self.assertIn("a look of its own", call("check", "--config", daemon.config).stdout)
        with Daemon(directory=self.directory) as daemon:
            self.assertNotIn("a look of its own", call("check", "--config", daemon.config).stdout)

    def test_a_daemon_that_cannot_listen_runs_on(self):
        os.makedirs(os.path.join(self.directory, "run", "report.sock"))
        with Daemon(directory=self.directory) as daemon:
            self.assertIn("defused check cannot ask this daemon", daemon.log())
            done = call("check", "--json", "--config", daemon.config)
            self.assertEqual(json.loads(done.stdout)["source"], "probe")

    def serve(self, *packets):
        """Something that listens where the daemon would, for one client."""
        os.makedirs(os.path.join(self.directory, "run"), exist_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.addCleanup(listener.close)
        path = os.path.join(self.directory, "run", "report.sock")
        if os.path.exists(path):
            os.unlink(path)
        listener.bind(path)
        listener.listen(1)
        if not packets:
            return

        def answer():
            client, _ = listener.accept()
            with client:
                for packet in packets:
                    client.send(packet)

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        self.addCleanup(thread.join, 5)

    def test_who_closes_without_a_word_is_no_daemon(self):
        self.serve(b"")  # of a socket of packets an empty one is the same as its end
        done = self.check()
        self.check_line(done, done.returncode)
        self.assertIn("note: the daemon closed its socket without an answer; this is a look of its own", done.stdout)

    def test_blind_is_unknown(self):
        """Without fusectl a deadlock would not be seen as one."""
        hidden = (["--mount", "--propagation", "private"], "umount -l /sys/fs/fuse/connections; exec ", "check", "--config", self.config)
        done = call_within(*hidden)
        self.check_line(done, 3)
        self.assertIn("blind: fusectl cannot be read; to type: mount -t fusectl fusectl /sys/fs/fuse/connections", done.stdout)
        self.assertEqual(call_within(*hidden, "--node-problem-detector").returncode, 2)

    def test_in_a_pid_namespace_of_its_own_it_is_unknown(self):
        inside = (["--pid", "--fork", "--mount-proc", "--propagation", "private"], "", "check", "--config", self.config)
        done = call_within(*inside)
        self.check_line(done, 3)
        self.assertIn("its own PID namespace only", done.stdout)
        self.assertEqual(call_within(*inside, "--node-problem-detector").returncode, 2)
        with Daemon() as daemon:
            done = call_within(*inside[:2], "check", "--json", "--config", daemon.config)
            self.assertEqual(json.loads(done.stdout)["source"], "daemon", done.stdout)
            self.assertIn(done.returncode, (0, 1), done.stdout)

    def test_another_build_is_not_believed(self):
        self.serve(b"defused 9.9.9 |`reboot`\x1b[2J 00 1")
        done = self.check()
        self.check_line(done, done.returncode)
        self.assertIn("note: the daemon is another build: defused 9.9.9 \\x7c\\x60reboot\\x60\\x1b[2J 00 1; this is a look", done.stdout)

    def test_who_does_not_answer_is_a_warning(self):
        self.serve()
        begin = time.monotonic()
        done = self.check()
        took = time.monotonic() - begin
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertIn("the daemon does not answer on its socket", done.stdout)
        self.assertGreater(took, 1.9)
        self.assertLess(took, 15 * SLOW)

    def test_who_is_not_root_is_not_believed(self):
        os.makedirs(os.path.join(self.directory, "run"))
        os.chmod(self.directory, 0o755)
        os.chown(os.path.join(self.directory, "run"), NOBODY, NOBODY)
        code = ("import os, socket, sys, time\nos.setresuid(65534, 65534, 65534)\ns = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)\n"
                "s.bind(sys.argv[1])\ns.listen(1)\nprint(flush=True)\ntime.sleep(60)")
        with subprocess.Popen([sys.executable, "-c", code, os.path.join(self.directory, "run", "report.sock")],
                              stdout=subprocess.PIPE) as impostor:
            try:
                self.assertEqual(impostor.stdout.readline(), b"\n")
                done = self.check()
                self.assertEqual(done.returncode, 1, done.stdout)
                self.assertIn("is not root but user 65534", done.stdout)
            finally:
                impostor.kill()

    # arguments, a part of standard output; the exit code is 3 and it all stands on standard output
    BAD = [
        (["--jsno"], "--jsno"),
        (["extra"], "extra"),
        (["--critical-after", "5"], "duration"),
        (["--critical-after"], "--critical-after"),
        (["--warnings"], "--node-problem-detector"),
        (["--config", "/nonexistent/defused.json"], "/nonexistent/defused.json"),
    ]

    def test_bad_usage_is_unknown(self):
        for arguments, words in self.BAD:
            with self.subTest(arguments=arguments):
                done = call("check", *arguments)
                self.check_line(done, 3)
                self.assertIn(words, done.stdout)
                self.assertEqual((len(done.stdout.splitlines()), done.stderr), (1, ""))

    def test_bad_usage_for_node_problem_detector(self):
        for arguments in (["--json", "--node-problem-detector"], ["--node-problem-detector", "extra"],
                          ["--critical-after", "5", "--node-problem-detector"]):
            done = call("check", *arguments)
            self.assertEqual((done.returncode, done.stderr), (2, ""), arguments)
            self.assertRegex(done.stdout, r"^DEFUSED UNKNOWN: [^\n]+\n$")

    def test_bad_usage_before_the_word_is_unknown_too(self):
        for arguments, code in ((["--config", self.config, "check"], 3), (["--json", "check"], 3),
                                (["--config", self.config, "check", "--node-problem-detector"], 2)):
            done = call(*arguments)
            self.assertEqual((done.returncode, done.stderr), (code, ""), arguments)
            self.assertRegex(done.stdout, r"^DEFUSED UNKNOWN: unknown option --[a-z]+ \(see defused --help\)\n$")

    def test_a_broken_or_hostile_configuration_is_unknown(self):
        for text in ("", "{", "[]", '{"intervall": "5s"}', '{"`id`|$(x)<b>": 1}', "\0" * 100, "[" * 100000, '{"interval": "\x1b"}'):
            with self.subTest(text=text[:20]):
                with open(self.config, "w", encoding="utf-8") as file:
                    file.write(text)
                done = self.check()
                self.check_line(done, 3)
                self.assertEqual(len(done.stdout.splitlines()), 1, done.stdout)
                self.assertEqual(json.loads(self.check("--json").stdout)["problems"][0]["what"], "refused")
                self.assertEqual(self.check("--node-problem-detector").returncode, 2)

    def test_not_root(self):
        done = call("check", user=NOBODY)
        self.check_line(done, 3)
        self.assertIn("check needs root", done.stdout)
        self.assertEqual(call("check", "--node-problem-detector", user=NOBODY).returncode, 2)

    def test_into_a_full_device(self):
        for arguments in ([], ["--json"], ["--node-problem-detector"]):
            with open("/dev/full", "w", encoding="utf-8") as full:
                done = subprocess.run([DEFUSED, "check", "--config", self.config, *arguments], stdout=full, timeout=40 * SLOW,
                                      stderr=subprocess.DEVNULL, check=False)
            self.assertEqual(done.returncode, 3, arguments)

    @staticmethod
    def peak_of_a_check(config):
        """KiB; at least the peak of this interpreter, which the kernel keeps over exec."""
        with subprocess.Popen([DEFUSED, "check", "--config", config], stdout=subprocess.DEVNULL) as process:
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        return usage.ru_maxrss

    def test_it_takes_little(self):
        """Through the socket: the median of 20 in milliseconds, and memory."""
        with Daemon() as daemon:
            times = []
            for _ in range(20):
                begin = time.monotonic()
                call("check", "--config", daemon.config)
                times.append(time.monotonic() - begin)
            peak = self.peak_of_a_check(daemon.config)
            median = sorted(times)[10]
            print(f"check through the socket: median {median * 1000:.1f} ms, slowest {max(times) * 1000:.1f} ms; {peak} KiB")
            if SLOW == 1:  # sanitizers map more
                self.assertLess(peak, 64 * 1024)
            self.assertLess(median, 0.5 * SLOW)
            limited = subprocess.run(["sh", "-c", 'ulimit -n 16; exec "$@"', "sh", DEFUSED, "check", "--json", "--config", daemon.config],
                                     capture_output=True, timeout=20 * SLOW, check=False)
            self.assertEqual(json.loads(limited.stdout)["source"], "daemon", limited.stderr)


class NodeProblemDetector(unittest.TestCase):
    """What kubernetes/node-problem-detector does with the definition (pkg/custompluginmonitor: types/config.go, types/types.go,
    plugin/plugin.go; pkg/types/types.go). Its JSON decoder takes unknown members; a typing error would be silent, so here none may be."""
    CONFIG = {"plugin": str, "pluginConfig": dict, "source": str, "conditions": list, "rules": list, "metricsReporting": bool}
    GLOBAL = {"invoke_interval": str, "timeout": str, "max_output_length": int, "concurrency": int,
              "enable_message_change_based_condition_update": bool, "skip_initial_status": bool}
    CONDITION = {"type": str, "reason": str, "message": str}
    RULE = {"type": str, "condition": str, "reason": str, "path": str, "args": list, "timeout": str}

    def setUp(self):
        mount_fusectl()
        with open(os.path.join(REPO, "config", "node-problem-detector", "defused-monitor.json"), encoding="utf-8") as file:
            self.definition = json.load(file)

    def check_members(self, members, struct_):
        for name, value in members.items():
            self.assertIn(name, struct_)
            self.assertIs(type(value), struct_[name], name)

    @staticmethod
    def seconds(text):
        """Of a Go duration, as far as it is used here."""
        return sum(float(number) * {"s": 1, "m": 60}[unit] for number, unit in re.findall(r"(\d+)([sm])", text))

    def run_rule(self, rule, config):
        """(exit code, message) as the plugin runner has them."""
        settings = self.definition["pluginConfig"]
        done = subprocess.run([DEFUSED, *rule["args"], "--config", config], capture_output=True, check=False,
                              timeout=self.seconds(settings["timeout"]) * SLOW)
        self.assertLessEqual(len(done.stdout), 4096)
        output = done.stdout.decode().strip()
        self.assertLessEqual(len(output.encode()), settings["max_output_length"])
        self.assertEqual(len(output.splitlines()), 1)
        return done.returncode, output

    def test_it_is_what_their_structs_take(self):
        self.check_members(self.definition, self.CONFIG)
        self.assertEqual(self.definition["plugin"], "custom")
        settings = self.definition["pluginConfig"]
        self.check_members(settings, self.GLOBAL)
        self.assertEqual(settings["max_output_length"], 80)
        for key in ("invoke_interval", "timeout"):
            self.assertRegex(settings[key], r"^(\d+[sm])+$")
        self.assertLess(len(self.definition["rules"]) * self.seconds(settings["timeout"]), self.seconds(settings["invoke_interval"]) + 1)
        conditions = set()
        for condition in self.definition["conditions"]:
            self.check_members(condition, self.CONDITION)
            self.assertRegex(condition["type"], r"^[A-Z][A-Za-z]+$")
            self.assertRegex(condition["reason"], r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$")  # as the API server checks reasons
            conditions.add(condition["type"])
        self.assertEqual(conditions, {"ContainerCannotDie"})
        self.assertEqual([rule["type"] for rule in self.definition["rules"]], ["permanent", "temporary"])
        for rule in self.definition["rules"]:
            self.check_members(rule, self.RULE)
            self.assertEqual(rule["path"], "/usr/sbin/defused")
            self.assertIn("--node-problem-detector", rule["args"])
            self.assertRegex(rule["reason"], r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$")
            if rule["type"] == "permanent":
                self.assertIn(rule["condition"], conditions)

    def test_its_rules_on_a_host_without_a_deadlock(self):
        with tempfile.TemporaryDirectory() as directory:
            config = write_config(directory)
            permanent, temporary = self.definition["rules"]
            code, message = self.run_rule(permanent, config)
            self.assertEqual(code, 0, message)
            code, message = self.run_rule(temporary, config)
            self.assertIn(code, (0, 1))  # 1: a warning of this very host
            self.assertEqual(code == 0, message.startswith("nothing is stuck"), message)

    def test_unknown(self):
        """The condition becomes Unknown; an event there would be one every minute."""
        for rule in self.definition["rules"]:
            self.assertEqual(self.run_rule(rule, "/nonexistent")[0], 2 if rule["type"] == "permanent" else 0)


class Version(unittest.TestCase):
    BOOLEANS = {"openat2", "pidfd", "fdinfo_fuse_connection", "stacks", "sched", "btf", "bpf_files", "bpf_waits", "bpf_places",
                "fuse_flush_waits", "fusectl_mounted", "landlock"}
    ROOT_ONLY = {"stacks", "bpf_files", "bpf_waits", "bpf_places"}

    def versions(self, user=None):
        done = call("version", "--json", user=user)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return json.loads(done.stdout)

    def test_as_root(self):
        version = self.versions()
        self.assertEqual(set(version), {"schema", "version", "revision", "compiler", "build_id", "bpf_built_in", "kernel"})
        self.assertEqual(version["schema"], "defused.version/v1")
        self.assertRegex(version["build_id"], r"^[0-9a-f]{40}$")
        kernel = version["kernel"]
        self.assertEqual(set(kernel), self.BOOLEANS | {"release", "default_request_timeout_seconds", "max_request_timeout_seconds"})
        self.assertEqual(kernel["release"], os.uname().release)
        for name in self.BOOLEANS:
            self.assertIn(kernel[name], (True, False, None), name)
        for name in self.ROOT_ONLY:
            self.assertIsNotNone(kernel[name], name)
        self.assertEqual(kernel["btf"], os.path.exists("/sys/kernel/btf/vmlinux"))
        self.assertEqual(kernel["fusectl_mounted"], os.path.ismount("/sys/fs/fuse/connections"))
        self.assertEqual(kernel["sched"], os.path.exists("/proc/self/sched"))
        if kernel["bpf_files"]:
            self.assertTrue(version["bpf_built_in"] and kernel["btf"])

    def test_what_only_root_can_know_is_null(self):
        kernel = self.versions(user=NOBODY)["kernel"]
        self.assertEqual({name for name in self.ROOT_ONLY if kernel[name] is not None}, set())
        self.assertEqual((kernel["openat2"], kernel["pidfd"]), (self.versions()["kernel"]["openat2"], True))

    def test_the_first_line_is_for_scripts(self):
        for user in (None, NOBODY):
            done = call("version", user=user)
            first, *features = done.stdout.splitlines()
            self.assertRegex(first, r"^defused \d+\.\d+\.\d+ \([^,]+, .+\)$")
            for name in self.BOOLEANS:
                self.assertEqual(sum(line.split()[0] == name for line in features), 1, done.stdout)

    def test_it_is_quick_and_opens_nothing_of_others(self):
        begin = time.monotonic()
        self.versions()
        print(f"version --json: {(time.monotonic() - begin) * 1000:.0f} ms")
        with tempfile.TemporaryDirectory() as directory:
            trace = os.path.join(directory, "trace")
            subprocess.run(["strace", "-f", "-qq", "-e", "trace=%file", "-o", trace, DEFUSED, "version"], check=True, timeout=40 * SLOW,
                           stdout=subprocess.DEVNULL, env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0"})  # it traces as well
            text = read_text(trace)
            self.assertIn("kallsyms", text)
            self.assertEqual(re.findall(r'"(?:/proc/)?\d+/[a-z]+', text), [])

    def test_bad_usage_and_a_full_device(self):
        self.assertEqual(call("version", "extra").returncode, 2)
        with open("/dev/full", "w", encoding="utf-8") as full:
            for arguments in ([], ["--json"]):
                self.assertEqual(subprocess.run([DEFUSED, "version", *arguments], stdout=full, timeout=20 * SLOW, check=False).returncode, 1)


class Config(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory(prefix="defused-test-")
        self.addCleanup(temporary.cleanup)
        self.directory = temporary.name
        os.chmod(self.directory, 0o755)

    def write(self, text, name="defused.json"):
        path = os.path.join(self.directory, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def check_says_the_same(self, path):
        """As `run`, word for word; and nothing is printed as good."""
        done = call("config", "check", path)
        ran = call("run", "--config", path)
        self.assertEqual((done.returncode, done.stdout), (2, ""), done.stderr)
        self.assertEqual((ran.returncode, ran.stderr), (2, done.stderr))
        self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
        return done.stderr

    def test_good(self):
        path = os.path.join(REPO, "config", "defused.json")
        for user in (None, NOBODY):
            with open(path, encoding="utf-8") as file:
                copy = self.write(file.read())
            done = call("config", "check", copy, user=user)
            self.assertEqual((done.returncode, done.stdout, done.stderr), (0, f"{copy}: good\n", ""))

    def test_without_a_file(self):
        done = call("config", "check")
        if os.path.exists("/etc/defused/defused.json"):
            self.assertIn("/etc/defused/defused.json", done.stdout + done.stderr)
        else:
            self.assertEqual((done.returncode, done.stdout), (0, "no configuration file, the defaults are used\n"))

    def test_bad(self):
        for text in ("{", "[]", "", '{"intervall": "5s"}', '{"interval": "1ms"}', '{"mode": "observe", "mode": "enforce"}', "[" * 100000,
                     "\0", '{"state_directory": "relative"}'):
            with self.subTest(text=text[:20]):
                self.assertIn("defused.json", self.check_says_the_same(self.write(text)))
        self.assertIn("/nonexistent", self.check_says_the_same("/nonexistent/defused.json"))
        self.check_says_the_same(self.directory)

    def test_what_it_names_is_looked_at_too(self):
        web = self.write("tls_server_config: {cert_file: c.pem}", "web.yml")
        path = self.write(json.dumps({"web": {"config_file": web}}))
        self.assertIn("cert_file without key_file", self.check_says_the_same(path))
        self.assertIn("textfile.directory", self.check_says_the_same(self.write(json.dumps({"textfile": {"directory": "/nonexistent"}}))))
        make_certificate(self.directory, "c")
        self.write("tls_server_config: {cert_file: c.pem, key_file: c.key}", "web.yml")
        path = self.write(json.dumps({"web": {"config_file": web}}))
        done = call("config", "check", path)
        self.assertEqual((done.returncode, done.stdout), (0, f"{path}: good\n"), done.stderr)

    def test_what_cannot_be_read_is_not_called_bad(self):
        path = self.write("{}")
        os.chmod(path, 0o600)
        done = call("config", "check", path, user=NOBODY)
        self.assertEqual((done.returncode, done.stdout), (3, ""), done.stderr)
        self.assertIn("Permission denied", done.stderr)

    def test_schema_and_defaults(self):
        with open(os.path.join(REPO, "config", "defused.schema.json"), encoding="utf-8") as file:
            self.assertEqual(call("config", "schema").stdout, file.read())
        defaults = call("config", "defaults").stdout
        with open(os.path.join(REPO, "config", "defused.json"), encoding="utf-8") as file:
            self.assertEqual(defaults, file.read())
        self.assertEqual(call("config", "check", self.write(defaults)).returncode, 0)

    def test_bad_usage_and_a_full_device(self):
        for arguments in ([], ["chekc"], ["check", "a", "b"], ["schema", "x"], ["defaults", "--json"]):
            with self.subTest(arguments=arguments):
                done = call("config", *arguments)
                self.assertEqual((done.returncode, done.stdout), (2, ""), done.stderr)
                self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
        with open("/dev/full", "w", encoding="utf-8") as full:
            for what in ("check", "schema", "defaults"):
                self.assertEqual(subprocess.run([DEFUSED, "config", what], stdout=full, stderr=subprocess.DEVNULL, timeout=20 * SLOW,
                                                check=False).returncode, 1, what)


if __name__ == "__main__":
    unittest.main()
