# SPDX-License-Identifier: Apache-2.0
"""The real binary by table: command line, exit code, and what it says. One sentence for each bad input."""
import json
import os
import socket
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lab"))
from daemon import DEFUSED, SLOW, Daemon  # noqa: E402
from web_files import make_certificate  # noqa: E402

NOBODY = 65534


def call(*arguments, user=None, timeout=20):
    return subprocess.run([DEFUSED, *arguments], capture_output=True, text=True, timeout=timeout * SLOW, check=False, user=user,
                          group=user, extra_groups=[] if user else None, stdin=subprocess.DEVNULL)


class CommandLine(unittest.TestCase):
    # arguments, exit code, a part of stdout, a part of stderr
    TABLE = [
        (["--help"], 0, "scan", ""),
        (["scan", "--help"], 0, "--json", ""),
        (["version"], 0, "defused 0.", ""),
        ([], 2, "", "a command is missing"),
        (["scna"], 2, "", "scna"),
        (["scan", "--jsno"], 2, "", "--jsno"),
        (["scan", "--samples", "1"], 2, "", "samples"),
        (["scan", "--every", "5"], 2, "", "duration"),
        (["scan", "--config", "/nonexistent/defused.json"], 2, "", "/nonexistent/defused.json"),
        (["run", "--config", "/nonexistent/defused.json"], 2, "", "/nonexistent/defused.json"),
        (["run", "extra"], 2, "", "extra"),
        (["run", "--help"], 0, "--web.config.file", ""),
        (["run", "--help"], 0, "--web.telemetry-path", ""),
        (["run", "--web.telemetry-path", "/"], 2, "", "--web.telemetry-path: expected a path such as"),
        (["run", "--web.telemetry-path", "/api/x"], 2, "", "--web.telemetry-path: expected a path such as"),
        (["run", "--web.config.file", "/nonexistent/web.yml"], 2, "", "/nonexistent/web.yml: No such file"),
        (["run", "--web.config.file", "../web.yml"], 2, "", "--web.config.file: expected an absolute path"),
        (["explain", "--help"], 0, "connection:N", ""),
        (["connections", "--help"], 0, "--json", ""),
        (["explain", "pid:x"], 2, "", "a number is expected"),
        (["explain", "a/b"], 2, "", "neither a number nor a container id"),
        (["explain", "nonsense:1"], 2, "", "expected pid:N"),
        (["explain", "1", "2"], 2, "", "2"),
        (["explain", "pid:4194303"], 6, "there is no such process", ""),
        (["explain", "container:feedbeef"], 6, "there is no such", ""),
        (["explain", "connection:4294967295"], 6, "there is no such", ""),
        (["explain", "pid:2"], 0, "kernel thread", ""),
        (["explain", "--config", "/nonexistent/defused.json"], 2, "", "/nonexistent/defused.json"),
        (["connections", "extra"], 2, "", "extra"),
        (["abort", "--help"], 0, "--override", ""),
        (["abort"], 2, "", "N"),
        (["abort", "x"], 2, "", "expected the number of a connection"),
        (["abort", "0"], 2, "", "expected the number of a connection"),
        (["abort", "40", "--override", ""], 2, "", "expected a reason"),
        (["abort", "40", "--config", "/nonexistent/defused.json"], 2, "", "/nonexistent/defused.json"),
        (["pause"], 2, "", "REASON"),
        (["pause", "why", "--config", "/nonexistent/defused.json"], 2, "", "/nonexistent/defused.json"),
        (["resume", "extra"], 2, "", "extra"),
    ]

    def test_table(self):
        for arguments, code, out, err in self.TABLE:
            with self.subTest(arguments=arguments):
                done = call(*arguments)
                self.assertEqual(done.returncode, code, done.stderr)
                self.assertIn(out, done.stdout)
                self.assertIn(err, done.stderr)
                self.assertLessEqual(len(done.stderr.splitlines()), 1, done.stderr)

    def test_not_root(self):
        for arguments in (["scan"], ["run"], ["explain"], ["explain", "1"], ["connections"], ["abort", "40"],
                          ["pause", "why"], ["resume"]):
            with self.subTest(arguments=arguments):
                done = call(*arguments, user=NOBODY)
                self.assertEqual(done.returncode, 3)
                self.assertIn("root", done.stderr)
                self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)

    def test_inherited_descriptors_are_in_nobodys_way(self):
        """As a shell or a careless service manager leaves them open: the front has numbers that are its own."""
        with Daemon(wrapper=["sh", "-c", 'exec "$@" 4</dev/null 9</dev/null', "sh"]) as daemon:
            self.assertEqual(daemon.get("/metrics")[0], 200)
            self.assertNotIn("replaced", daemon.log())

    def test_a_front_says_why_it_does_not_start(self):
        for descriptors, sentence in (
                ("3</dev/null", "waiting for the settings: receiving a message: Socket operation on non-socket"),
                ("3</dev/null 4</dev/null", "descriptor 4, which is the textfile's, is open"),
                ("", "reserving a descriptor for the textfile: Bad file descriptor")):
            with self.subTest(descriptors=descriptors):
                done = subprocess.run(["sh", "-c", f'exec "$0" internal-front {descriptors}', DEFUSED], capture_output=True,
                                      text=True, timeout=20 * SLOW, check=False, stdin=subprocess.DEVNULL)
                self.assertEqual(done.returncode, 1, done.stderr)
                self.assertIn("front: it does not start: " + sentence, done.stderr)
                self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)

    def test_scan_json(self):
        report = json.loads(call("scan", "--json", "--samples", "2").stdout)
        self.assertEqual(report["schema"], "defused.report/v1")
        for key in ("scanned_at", "host", "kernel", "blind", "gaps", "pid_namespaces", "stuck_exits", "connections"):
            self.assertIn(key, report)

    def test_explains_itself(self):
        """A process that is well, by its PID, as text and as JSON."""
        done = call("explain", f"pid:{os.getpid()}")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("nothing of it is blocked", done.stdout)
        evidence = json.loads(call("explain", f"pid:{os.getpid()}", "--json").stdout)
        self.assertEqual(evidence["schema"], "defused.explain/v1")
        self.assertEqual(evidence["processes"][0]["pid"], os.getpid())
        self.assertEqual(evidence["pid_namespaces"], [])

    def test_explains_its_own_namespace(self):
        own = os.stat("/proc/self/ns/pid").st_ino
        done = call("explain", str(own))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("nothing of it is blocked", done.stdout)

    def test_connections_json(self):
        report = json.loads(call("connections", "--json").stdout)
        self.assertEqual(report["schema"], "defused.connections/v1")
        self.assertIn("connections", report)

    def test_into_a_full_device(self):
        for command in ("scan", "explain", "connections"):
            with open("/dev/full", "w", encoding="utf-8") as full:
                done = subprocess.run([DEFUSED, command], stdout=full, stderr=subprocess.PIPE, timeout=20 * SLOW, check=False)
            self.assertEqual(done.returncode, 1, command)

    def test_without_fusectl_it_says_how_to_mount_it(self):
        for command in ("scan", "explain", "connections"):
            done = subprocess.run(["unshare", "--mount", "--propagation", "private", "sh", "-c",
                                   'umount -l /sys/fs/fuse/connections 2>/dev/null; exec "$@"', "sh", DEFUSED, command],
                                  capture_output=True, text=True, timeout=20 * SLOW, check=False)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn("mount -t fusectl fusectl /sys/fs/fuse/connections", done.stdout)


class Configuration(unittest.TestCase):
    # text of the file, a part of the one sentence
    TABLE = [
        ("{", "syntax error"),
        ("[]", "object"),
        ('{"intervall": "5s"}', 'did you mean "interval"'),
        ('{"detect": {"stuck_aftr": "5s"}}', 'did you mean "detect.stuck_after"'),
        ('{"interval": 5}', "duration"),
        ('{"interval": "1ms"}', "100ms"),
        ('{"mode": "kill"}', "observe"),
        ('{"mode": "observe", "mode": "enforce"}', "twice"),
        ('{"web": {"listen_addresses": ["nowhere"]}}', "HOST:PORT"),
        ('{"remedy": {"min_samples": 0}}', "min_samples"),
        ('{"state_directory": "relative"}', "state_directory"),
    ]

    def test_table(self):
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "defused.json")
            for text, sentence in self.TABLE:
                with self.subTest(text=text):
                    with open(path, "w", encoding="utf-8") as file:
                        file.write(text)
                    done = call("run", "--config", path)
                    self.assertEqual(done.returncode, 2, done.stderr)
                    self.assertIn(path, done.stderr)
                    self.assertIn(sentence, done.stderr)
                    self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)

    # web configuration, a part of the one sentence; c and d are certificates with their keys
    WEB_TABLE = [
        ("tls_server_config: [", "web.yml:"),
        ("tls_server_confg: {}", 'web.yml:1: tls_server_confg: unknown key; did you mean "tls_server_config"'),
        ("\n\ntls_server_config: {cert_file: c.pem}", "web.yml:3: tls_server_config: cert_file without key_file"),
        ("tls_server_config: {cert_file: c.pem, key_file: none}", "key_file: {}/none: No such file"),
        ("tls_server_config: {cert_file: c.pem, key_file: .}", "not a regular file"),
        ("tls_server_config: {cert_file: c.pem, key_file: large}", "key_file: {}/large: larger than 1048576 bytes"),
        ("tls_server_config: {cert_file: c.pem, key_file: d.key}", "{}/d.key: the key does not belong to the certificate"),
        ("tls_server_config: {cert_file: web.yml, key_file: c.key}", "{}/web.yml: "),
        ("tls_server_config: {cert_file: c.pem, key_file: web.yml}", "{}/web.yml: "),
        ("tls_server_config: {cert_file: c.pem, key_file: c.key, client_ca_file: web.yml, "
         "client_auth_type: RequireAndVerifyClientCert}", "{}/web.yml: "),
        ("tls_server_config: {cert_file: c.pem, key_file: c.key, cipher_suites: [a]}", "cipher_suites: not taken"),
        ("tls_server_config: {cert_file: c.pem, key_file: c.key, min_version: TLS13, max_version: TLS12}", "min_version"),
        ("http_server_config: {headers: {Server: mine}}", "http_server_config.headers.Server: unknown key"),
        ("basic_auth_users: {ann: open-sesame}", "basic_auth_users.ann: expected a bcrypt hash"),
    ]

    def test_web_configuration(self):
        with tempfile.TemporaryDirectory() as directory:
            for name in ("c", "d"):
                make_certificate(directory, name)
            with open(os.path.join(directory, "large"), "wb") as file:
                file.truncate((1 << 20) + 1)
            path = os.path.join(directory, "web.yml")
            arguments = ["run", "--config", self.write_config(directory, {}), "--web.config.file", path]
            for text, sentence in self.WEB_TABLE:
                with self.subTest(text=text):
                    with open(path, "w", encoding="utf-8") as file:
                        file.write(text)
                    self.check_refused(call(*arguments), path, sentence.replace("{}", directory))
                    self.assertEqual(os.listdir(directory).count("state"), 0)  # nothing was begun
            os.unlink(path)
            os.mkfifo(path)
            self.check_refused(call(*arguments), path, "not a regular file")

    def test_directory_of_the_textfile(self):
        with tempfile.TemporaryDirectory() as directory:
            for place, sentence in ((directory + "/none", "No such file or directory"), ("/etc/passwd", "Not a directory")):
                config = self.write_config(directory, {"textfile": {"directory": place}})
                self.check_refused(call("run", "--config", config), "textfile.directory: " + place, sentence)

    def check_refused(self, done, *parts):
        self.assertEqual(done.returncode, 2, done.stderr)
        for part in parts:
            self.assertIn(part, done.stderr)
        self.assertNotIn("open-sesame", done.stderr)
        self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)

    @staticmethod
    def write_config(directory, settings):
        path = os.path.join(directory, "defused.json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump({"state_directory": directory + "/state", "runtime_directory": directory + "/run", **settings}, file)
        return path

    def test_port_in_use(self):
        with socket.socket() as taken, tempfile.TemporaryDirectory() as directory:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            address = f"127.0.0.1:{taken.getsockname()[1]}"
            path = os.path.join(directory, "defused.json")
            with open(path, "w", encoding="utf-8") as file:
                json.dump({"state_directory": directory + "/state", "runtime_directory": directory + "/run"}, file)
            done = call("run", "--config", path, "--web.listen-address", address)
            self.assertEqual(done.returncode, 4, done.stderr)
            self.assertIn(address, done.stderr)
            self.assertIn("in use", done.stderr)

    def test_a_second_daemon_in_the_same_runtime_directory(self):
        with Daemon() as daemon:
            done = call("run", "--config", daemon.config)
            self.assertEqual(done.returncode, 5, done.stderr)
            self.assertIn(daemon.settings["runtime_directory"], done.stderr)
            self.assertEqual(daemon.get("/-/healthy")[0], 200)

    def test_the_shipped_configuration_runs(self):
        shipped = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "config", "defused.json")
        done = call("scan", "--samples", "2", "--config", os.path.realpath(shipped))
        self.assertEqual(done.returncode, 0, done.stderr)


if __name__ == "__main__":
    unittest.main()
