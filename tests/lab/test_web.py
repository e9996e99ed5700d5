# SPDX-License-Identifier: Apache-2.0
"""`defused run` over TLS, with passwords and as a textfile: what HUP changes, what it keeps, what a successor serves."""
import json
import os
import pwd
import re
import signal
import socket
import ssl
import stat
import tempfile
import threading
import time
import unittest

from daemon import Daemon, REPO, SLOW, free_port, read_text, wait_until
from hung_directory import HungDirectory
from web_files import HASH, LOGIN, make_certificate, trust, write_web_config

SPARE_UID = 61911
TLS = "tls_server_config:\n  cert_file: {0}.pem\n  key_file: {0}.key\n"
USERS = f"basic_auth_users:\n  ann: {HASH}\n"


def front_uid():
    try:
        return pwd.getpwnam("defused").pw_uid
    except KeyError:
        return SPARE_UID


def served_certificate(address):
    """The certificate (PEM) that is served there, "" where nobody speaks TLS."""
    host, _, port = address.rpartition("/")[2].rpartition(":")
    try:
        return ssl.get_server_certificate((host, int(port)), timeout=5)
    except (OSError, ssl.SSLError):
        return ""


def pem_of(base):
    return read_text(base + ".pem").strip()


def speaks_plain_http(address, login=None):
    """Whether a plain request, without TLS, gets as much as one page."""
    host, _, port = address.rpartition("/")[2].rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=2) as client:
            client.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
            return client.recv(100).startswith(b"HTTP/1")
    except OSError:
        return False


class Web(unittest.TestCase):
    def setUp(self):
        self.scratch = tempfile.TemporaryDirectory(prefix="defused-web-")
        self.addCleanup(self.scratch.cleanup)
        self.directory = self.scratch.name
        self.config = os.path.join(self.directory, "web.yml")

    def daemon(self, text, trusted=None, client=None, **settings):
        write_web_config(self.config, text)
        web = {"listen_addresses": ["127.0.0.1:0"], "config_file": self.config, **settings.pop("web", {})}
        context = trust(trusted, client) if trusted else None
        return Daemon(web=web, tls=context, **{"login": LOGIN, **settings})

    def hang_up(self, daemon, expected):
        """HUP; waits until the log has one more line with `expected`, and returns what the log got."""
        before = daemon.log()
        daemon.process.send_signal(signal.SIGHUP)
        wait_until(lambda: expected in daemon.log()[len(before):], 10, f"{expected}\n{daemon.log()}")
        return daemon.log()[len(before):]


class Reload(Web):
    def test_the_same_port_for_others_and_back(self):
        port = free_port()
        with Daemon(web={"listen_addresses": [f"127.0.0.1:{port}"]}) as daemon:
            front = daemon.child("defused-front")
            for address in (f":{port}", f"localhost:{port}", f"127.0.0.1:{port}"):
                daemon.write_config({**daemon.settings, "web": {"listen_addresses": [address]}})
                self.hang_up(daemon, "read again")
                wait_until(lambda: daemon.get("/metrics")[0] == 200, 10, daemon.log())
                if socket.has_dualstack_ipv6():
                    daemon.address = f"http://[::1]:{port}"
                    wait_until(lambda: daemon.get("/metrics")[0] == (200 if address[0] == ":" else 0), 10, address)
                daemon.address = f"http://127.0.0.1:{port}"
            self.assertEqual(daemon.child("defused-front"), front)
            with socket.socket() as taken:
                taken.bind(("127.0.0.1", 0))
                taken.listen()
                busy = f"127.0.0.1:{taken.getsockname()[1]}"
                daemon.write_config({**daemon.settings, "web": {"listen_addresses": [f":{port}", busy]}})
                self.assertIn(f"cannot listen on {busy}: Address already in use", self.hang_up(daemon, "is kept"))
            self.assertEqual(daemon.get("/metrics")[0], 200)
            self.assertEqual(daemon.child("defused-front"), front)

    def test_the_log_takes_its_new_form_and_level(self):
        """Of supervisor, prober and front, each of which writes lines of its own."""
        place = os.path.join(self.directory, "textfile")
        os.mkdir(place)
        os.chown(place, front_uid(), -1)
        os.chmod(self.directory, 0o755)
        with Daemon(textfile={"directory": place}) as daemon:
            wait_until(lambda: "is written after each pass" in daemon.log(), 10, daemon.log())
            daemon.write_config({**daemon.settings, "log": {"format": "json", "level": "info"}})
            lines = [json.loads(line) for line in self.hang_up(daemon, "read again").splitlines()]
            self.assertEqual(lines[-1]["process"], "supervisor")
            before = daemon.log()
            os.chown(place, 0, 0)
            wait_until(lambda: "cannot be written" in daemon.log()[len(before):], 10, daemon.log())
            line = json.loads(daemon.log()[len(before):].splitlines()[0])
            self.assertEqual((line["process"], line["level"]), ("front", "error"))
            daemon.write_config({**daemon.settings, "log": {"format": "text", "level": "error"}, "mode": "dry_run"})
            before = daemon.log()
            daemon.process.send_signal(signal.SIGHUP)
            wait_until(lambda: daemon.metric('defused_remediation_mode{mode="dry_run"}') == 1, 10, daemon.log())
            os.chown(place, front_uid(), -1)
            wait_until(lambda: os.path.exists(os.path.join(place, "defused.prom")), 10, daemon.log())
            daemon.write_config({**daemon.settings, "mode": "observe", "log": {"level": "info"}})
            self.hang_up(daemon, "read again")
            self.assertNotIn("is written again", daemon.log()[len(before):])


class Tls(Web):
    def test_who_may_read(self):
        server = make_certificate(self.directory, "server")
        with self.daemon(TLS.format("server") + USERS, trusted=server) as daemon:
            self.assertRegex(daemon.log(), r"listening on https://127\.0\.0\.1:")
            self.assertIn("defused_build_info", daemon.get("/metrics")[1])
            for login, status in ((None, 401), ("ann:wrong", 401), ("bob:open sesame", 401), (LOGIN, 200)):
                daemon.login = login
                self.assertEqual(daemon.get("/metrics")[0], status, login)
            self.assertFalse(speaks_plain_http(daemon.address))
            daemon.tls = trust(make_certificate(self.directory, "other"))
            self.assertEqual(daemon.get("/metrics")[0], 0)
            self.check_tells_no_secret(daemon)

    def check_tells_no_secret(self, daemon):
        daemon.tls, daemon.login = trust(os.path.join(self.directory, "server")), LOGIN
        told = daemon.log() + daemon.get("/")[1] + daemon.get("/api/v1/report")[1] + daemon.get("/metrics")[1]
        for secret in (HASH, HASH[30:], "PRIVATE KEY", "open sesame"):
            self.assertNotIn(secret, told)

    def test_client_certificates(self):
        authority = make_certificate(self.directory, "authority")
        client = make_certificate(self.directory, "client", signer=authority)
        server = make_certificate(self.directory, "server")
        text = TLS.format("server") + "  client_ca_file: authority.pem\n  client_auth_type: RequireAndVerifyClientCert\n"
        write_web_config(self.config, text)
        web = {"listen_addresses": ["127.0.0.1:0"], "config_file": self.config}
        with Daemon(web=web, tls=trust(server, client)) as daemon:
            self.assertEqual(daemon.get("/-/healthy")[0], 200)
            for stranger in (trust(server), trust(server, server)):
                daemon.tls = stranger
                self.assertEqual(daemon.get("/-/healthy")[0], 0)

    def test_the_documented_example(self):
        """docs/HTTP.md's file, as it stands there."""
        text = re.search(r"```yaml\n(.*?)```", read_text(os.path.join(REPO, "docs", "HTTP.md")), re.S).group(1)
        authority = make_certificate(self.directory, "clients-ca")
        server = make_certificate(self.directory, "server")
        scraper = make_certificate(self.directory, "scraper", "DNS:prometheus.example.org", signer=authority)
        other = make_certificate(self.directory, "other", "DNS:other.example.org", signer=authority)
        with self.daemon(text, trusted=server, client=scraper, login="prometheus:open sesame") as daemon:
            status, body, headers = daemon.get("/metrics", timeout=20)
            self.assertEqual(status, 200)
            self.assertIn("defused_build_info", body)
            self.assertEqual(headers["Strict-Transport-Security"], "max-age=31536000")
            for client in (other, None):
                daemon.tls = trust(server, client)
                self.assertEqual(daemon.get("/metrics")[0], 0)

    def test_a_certificate_that_clients_will_not_like_is_served_and_named(self):
        make_certificate(self.directory, "server", extensions=["extendedKeyUsage=clientAuth"])
        self.config = os.path.join(self.directory, "web.yml")
        write_web_config(self.config, TLS.format("server"))
        web = {"listen_addresses": ["127.0.0.1:0"], "config_file": self.config}
        with Daemon(web=web, tls=ssl._create_unverified_context()) as daemon:  # pylint: disable=protected-access
            self.assertRegex(daemon.log(), r"warning supervisor: \S*/server\.pem: .* has no serverAuth")
            make_certificate(self.directory, "server")
            self.assertNotIn("serverAuth", self.hang_up(daemon, "was read again"))

    def test_hangup_renews_the_certificate(self):
        """By a file renamed over the old one, and by a link that is moved on; the front stays the same."""
        first = make_certificate(self.directory, "first")
        second = make_certificate(self.directory, "second")
        third = make_certificate(self.directory, "third")
        for end in (".pem", ".key"):
            os.symlink("first" + end, os.path.join(self.directory, "link" + end))
        with self.daemon(TLS.format("link") + USERS, trusted=first) as daemon:
            front = daemon.child("defused-front")
            self.assertEqual(served_certificate(daemon.address).strip(), pem_of(first))
            for end in (".pem", ".key"):
                os.symlink("second" + end, os.path.join(self.directory, "new"))
                os.rename(os.path.join(self.directory, "new"), os.path.join(self.directory, "link" + end))
            self.hang_up(daemon, "read again")
            wait_until(lambda: served_certificate(daemon.address).strip() == pem_of(second), 10, daemon.log())
            for end in (".pem", ".key"):
                os.rename(third + end, second + end)
            self.hang_up(daemon, "read again")
            wait_until(lambda: served_certificate(daemon.address).strip() == pem_of(second), 10, daemon.log())
            daemon.tls = trust(second)
            self.assertEqual(daemon.get("/metrics")[0], 200)
            self.assertEqual(daemon.child("defused-front"), front)
            self.assertEqual(len(daemon.addresses()), 1, daemon.log())  # said once: nothing changed for it

    def test_what_is_broken_changes_nothing(self):
        """One sentence in the log for each HUP; clients, also those of a successor, see what they saw before."""
        server = make_certificate(self.directory, "server")
        other = make_certificate(self.directory, "other")
        served = pem_of(server)
        with self.daemon(TLS.format("server") + USERS, trusted=server) as daemon:
            def check(sentence):
                told = self.hang_up(daemon, sentence)
                self.assertEqual(len(told.splitlines()), 1, told)
                self.assertIn("the old configuration is kept: web.config_file: " + self.config, told)
                self.assertEqual(daemon.get("/metrics")[0], 200)
                self.assertEqual(served_certificate(daemon.address).strip(), served)

            os.rename(other + ".key", server + ".key")
            check("does not belong to the certificate")
            with open(server + ".pem", "r+", encoding="ascii") as file:
                file.truncate(100)  # in place, as a copy that is under way
            check("server.pem")
            os.unlink(server + ".key")
            check("server.key: No such file or directory")
            write_web_config(self.config, "tls_server_confi:\n")
            check('did you mean "tls_server_config"')
            os.kill(daemon.child("defused-front"), signal.SIGKILL)
            wait_until(lambda: served_certificate(daemon.address).strip() == served, 10, daemon.log())
            self.assertEqual(daemon.get("/metrics")[0], 200)

    def test_listeners_change_together_with_tls(self):
        server = make_certificate(self.directory, "server")
        with self.daemon("") as daemon:
            plain = daemon.address
            self.assertRegex(plain, "^http://")
            self.assertEqual(daemon.get("/metrics")[0], 200)
            write_web_config(self.config, TLS.format("server") + USERS)
            web = {**daemon.settings["web"], "listen_addresses": ["127.0.0.1:0", "localhost:0"]}
            daemon.write_config({**daemon.settings, "web": web})
            self.hang_up(daemon, "read again")
            addresses = daemon.addresses()[1:]
            self.assertEqual(len(addresses), 2, daemon.log())
            self.assertEqual(addresses[0], plain.replace("http:", "https:"))
            daemon.tls = trust(server)
            for daemon.address in addresses:
                wait_until(lambda: daemon.get("/metrics")[0] == 200, 10, daemon.log())
                self.assertFalse(speaks_plain_http(daemon.address))
            write_web_config(self.config, "")
            daemon.write_config({**daemon.settings, "web": {**web, "listen_addresses": ["localhost:0"]}})
            self.hang_up(daemon, "read again")
            self.assertEqual(daemon.addresses()[3:], [addresses[1].replace("https:", "http:")])
            daemon.address = daemon.addresses()[-1]
            wait_until(lambda: daemon.get("/metrics")[0] == 200, 10, daemon.log())
            self.assertEqual(served_certificate(addresses[0]), "")

    def test_listeners_in_another_order_stay(self):
        """What an address is bound to does not depend on its place in the list."""
        with Daemon() as daemon:
            def listen_on(*addresses):
                daemon.write_config({**daemon.settings, "web": {"listen_addresses": addresses}})
                self.hang_up(daemon, "read again")

            listen_on("localhost:0", "127.0.0.1:0")
            self.assertEqual(len(daemon.addresses()), 2, daemon.log())
            listen_on("127.0.0.1:0")
            wait_until(lambda: daemon.get("/metrics")[0] == 200, 10, daemon.log())
            self.assertEqual(len(daemon.addresses()), 2, daemon.log())

    def test_killed_front_serves_the_same_again_and_nothing_less(self):
        server = make_certificate(self.directory, "server")
        with self.daemon(TLS.format("server") + USERS, trusted=server) as daemon:
            plain = []
            stop = threading.Event()

            def knock():
                while not stop.is_set():
                    plain.append(speaks_plain_http(daemon.address))

            knocking = threading.Thread(target=knock)
            knocking.start()
            try:
                for _ in range(3):
                    first = wait_until(lambda: daemon.child("defused-front"), 20, "a front")
                    os.kill(first, signal.SIGKILL)
                    wait_until(lambda: daemon.child("defused-front", besides=first), 20, daemon.log())
                    wait_until(lambda: daemon.get("/metrics")[0] == 200, 20, daemon.log())
            finally:
                stop.set()
                knocking.join()
            self.assertNotIn(True, plain)
            daemon.login = None
            self.assertEqual(daemon.get("/metrics")[0], 401)

    def test_flags_win_over_the_file_also_after_hangup(self):
        server = make_certificate(self.directory, "server")
        write_web_config(self.config, TLS.format("server"))
        arguments = ["--web.config.file", self.config, "--web.telemetry-path", "/m", "--web.listen-address", "127.0.0.1:0"]
        web = {"listen_addresses": ["127.0.0.1:1"], "telemetry_path": "/other", "config_file": "/nonexistent/web.yml"}
        with Daemon(web=web, tls=trust(server), arguments=arguments) as daemon:
            for _ in range(2):
                self.assertEqual(daemon.get("/m")[0], 200)
                self.assertEqual(daemon.get("/other")[0], 404)
                self.assertEqual(daemon.get("/metrics")[0], 404)
                self.hang_up(daemon, "read again")


class Textfile(Web):
    def setUp(self):
        super().setUp()
        os.chmod(self.directory, 0o755)
        self.place = self.make_place("textfile")
        self.file = os.path.join(self.place, "defused.prom")

    def make_place(self, name, owner=None):
        path = os.path.join(self.directory, name)
        os.mkdir(path, 0o755)
        os.chown(path, front_uid() if owner is None else owner, -1)
        return path

    def scans(self):
        found = re.search(r"^defused_scans_total (\d+)", read_text(self.file), re.M)
        return int(found.group(1)) if found else 0

    def test_is_written_after_each_pass_and_gone_after_a_stop(self):
        with open(self.file, "w", encoding="utf-8") as file:
            file.write("stale 1\n")
        with Daemon(interval="200ms", textfile={"directory": self.place}) as daemon:
            wait_until(lambda: self.scans() >= 2, 15, daemon.log())
            self.assertEqual(stat.S_IMODE(os.stat(self.file).st_mode), 0o644)
            self.assertEqual(os.stat(self.file).st_uid, front_uid())
            # Not more than once a second, however short the interval is: each is another file.
            begin, seen = time.monotonic(), set()
            while time.monotonic() < begin + 4:
                try:
                    seen.add((os.stat(self.file).st_ino, os.stat(self.file).st_mtime_ns))
                except FileNotFoundError:
                    self.fail("a moment without the file")
                time.sleep(0.01)
            self.assertLessEqual(len(seen), 6)
            if SLOW == 1:
                self.assertGreaterEqual(len(seen), 3)
            os.kill(daemon.child("defused-front"), signal.SIGKILL)
            scans = self.scans()
            wait_until(lambda: self.scans() > scans, 15, "a successor that writes")
            daemon.process.send_signal(signal.SIGTERM)
            self.assertEqual(daemon.process.wait(10 * SLOW), 0)
            self.assertEqual(os.listdir(self.place), [])

    def test_says_once_that_it_may_not_write_and_goes_on_trying(self):
        os.chown(self.place, 0, 0)
        with Daemon(textfile={"directory": self.place}) as daemon:
            wait_until(lambda: "cannot be written" in daemon.log(), 10, daemon.log())
            scans = daemon.metric("defused_scans_total")
            wait_until(lambda: daemon.metric("defused_scans_total") >= scans + 3, 20, daemon.log())
            line = [line for line in daemon.log().splitlines() if "cannot be written" in line]
            self.assertEqual(len(line), 1, daemon.log())
            for part in (self.file, "Permission denied", str(front_uid()), "setfacl"):
                self.assertIn(part, line[0])
            os.chown(self.place, front_uid(), -1)
            wait_until(lambda: self.scans() > 0, 10, daemon.log())
            wait_until(lambda: "is written again" in daemon.log(), 10, daemon.log())
            os.unlink(self.file)
            os.rmdir(self.place)
            wait_until(lambda: "HUP opens it again" in daemon.log(), 10, daemon.log())
            os.mkdir(self.place)
            os.chown(self.place, front_uid(), -1)
            self.hang_up(daemon, "read again")
            wait_until(lambda: self.scans() > 0, 15, daemon.log())

    def test_another_directory_by_hangup(self):
        second = self.make_place("second")
        with Daemon(textfile={"directory": self.place}) as daemon:
            wait_until(lambda: self.scans() > 0, 15, daemon.log())
            daemon.write_config({**daemon.settings, "textfile": {"directory": second}})
            self.hang_up(daemon, "read again")
            wait_until(lambda: os.listdir(second) == ["defused.prom"], 15, daemon.log())
            self.assertEqual(os.listdir(self.place), [])
            wait_until(lambda: daemon.get("/metrics")[0] == 200, 5, "it to be served")
            self.assertNotIn("is replaced", daemon.log())
            daemon.write_config({**daemon.settings, "textfile": {"directory": os.path.join(second, "none")}})
            self.assertIn("none: No such file", self.hang_up(daemon, "old configuration is kept"))
            daemon.write_config(daemon.settings | {"textfile": {"directory": ""}})
            self.hang_up(daemon, "read again")
            wait_until(lambda: os.listdir(second) == [], 15, daemon.log())
            wait_until(lambda: daemon.get("/metrics")[0] == 200, 5, "it to be served")

    def test_ctrl_c_takes_it_away(self):
        """INT comes to the whole group of a foreground process: only the supervisor takes it as an order."""
        with Daemon(wrapper=["setsid"], textfile={"directory": self.place}) as daemon:
            for number in (signal.SIGHUP, signal.SIGINT):
                wait_until(lambda: self.scans() > 0, 15, daemon.log())
                os.killpg(daemon.process.pid, number)
                if number == signal.SIGHUP:
                    wait_until(lambda: "read again" in daemon.log(), 10, daemon.log())
            self.assertEqual(daemon.process.wait(10 * SLOW), 0)
            self.assertEqual(os.listdir(self.place), [])
            self.assertNotIn("replaced", daemon.log())


class HangingTextfile(Web):
    """A file system that hangs: it holds one thread of a front, which nothing can end, and nothing else of defused."""

    def setUp(self):
        super().setUp()
        place = os.path.join(self.directory, "hung")
        os.mkdir(place)
        os.chmod(self.directory, 0o755)
        self.hung = HungDirectory(place)
        self.addCleanup(self.hung.end)
        self.web = {"listen_addresses": [f"127.0.0.1:{free_port()}"]}

    def hanging_front(self, daemon):
        """PID of the front, when one of its threads hangs."""
        self.assertTrue(self.hung.hangs.wait(15 * SLOW), daemon.log())
        front = daemon.child("defused-front")
        self.assertEqual(daemon.get("/metrics")[0], 200)
        return front

    def check_hangs(self, front):
        states = [read_text(f"/proc/{front}/task/{task}/status") for task in os.listdir(f"/proc/{front}/task")]
        self.assertTrue(any(re.search(r"^State:\tD", state, re.M) for state in states), states)

    def check_serves_beside(self, directory):
        """A new start takes the same port at once."""
        with Daemon(directory=directory, web=self.web) as again:
            self.assertEqual(again.get("/metrics")[0], 200)

    def check_ends(self, front):
        self.hung.end()
        wait_until(lambda: not re.search(r"^State:\t[^ZX]", read_text(f"/proc/{front}/status"), re.M), 10, "its end")

    def test_a_front_that_does_not_end_is_left_behind(self):
        with Daemon(web=self.web, textfile={"directory": self.hung.path}) as daemon:
            front = self.hanging_front(daemon)
            daemon.write_config({**daemon.settings, "textfile": {"directory": ""}})
            self.hang_up(daemon, f"front {front} ")
            self.assertRegex(daemon.log(), rf"front {front} .*does not die of SIGKILL and is left behind; the file system")
            self.check_hangs(front)
            wait_until(lambda: daemon.get("/metrics")[0] == 200, 10, daemon.log())
            # The same directory again: its successor is not given what the first one hangs in.
            daemon.write_config(daemon.settings)
            second = daemon.child("defused-front")
            self.hang_up(daemon, "read again")
            wait_until(lambda: daemon.get("/metrics")[0] == 200, 10, daemon.log())
            self.assertEqual(daemon.child("defused-front"), second)
            daemon.process.send_signal(signal.SIGTERM)
            self.assertEqual(daemon.process.wait(10 * SLOW), 0)
            self.assertRegex(daemon.log(), rf"left behind: unkillable front {front} ")
            self.check_hangs(front)
            self.check_serves_beside(daemon.directory)
            self.check_ends(front)

    def test_it_is_written_again_when_that_front_has_ended(self):
        with Daemon(web=self.web, textfile={"directory": self.hung.path}) as daemon:
            front = self.hanging_front(daemon)
            os.kill(front, signal.SIGKILL)
            wait_until(lambda: "is left behind" in daemon.log(), 5, daemon.log())
            wait_until(lambda: daemon.get("/metrics")[0] == 200, 5, daemon.log())
            self.assertIn("the textfile is not written while a front", daemon.log())
            self.check_hangs(front)
            self.check_ends(front)
            wait_until(lambda: "ended after all; 0 left" in daemon.log(), 10, daemon.log())
            # Where it was mounted is a directory that is gone, and says so: it was given to a front again.
            wait_until(lambda: "cannot be written" in daemon.log(), 10, daemon.log())
            wait_until(lambda: daemon.get("/metrics")[0] == 200, 5, daemon.log())

    def test_a_service_that_is_killed_leaves_no_port(self):
        with Daemon(web=self.web, textfile={"directory": self.hung.path}) as daemon:
            front = self.hanging_front(daemon)
            daemon.process.kill()
            daemon.process.wait(10 * SLOW)
            self.check_serves_beside(daemon.directory)
            self.check_hangs(front)
            self.check_ends(front)


if __name__ == "__main__":
    unittest.main()
