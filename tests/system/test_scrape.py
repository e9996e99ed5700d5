# SPDX-License-Identifier: Apache-2.0
"""A real Prometheus scrapes for a minute, through TLS and with a password, while a deadlock is made and freed."""
import base64
import gzip
import http.client
import os
import re
import shutil
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lab"))
from daemon import SLOW, Daemon, mount_fusectl, parse_metrics, wait_until  # noqa: E402
from lab import Lab  # noqa: E402
from real_prometheus import RealPrometheus  # noqa: E402
from web_files import HASH, LOGIN, make_certificate, trust, write_web_config  # noqa: E402

MINUTE = 60
STUCK = 'defused_stuck_pid_namespaces{wait_class="fuse_flush",verdict="deadlocked"}'
RELEASED = 'defused_aborts_total{outcome="released"}'
NAME, _, PASSWORD = LOGIN.partition(":")
# Between scrapes, seconds; as long is one given to answer.
INTERVAL = 1 if SLOW == 1 else 3
# Seconds until it is freed: enough scrapes in between to see it stand.
MIN_STUCK = 10 if SLOW == 1 else 20


def ask(daemon, method, path, **headers):
    """(status, body, headers) of one request, as a client that may read."""
    login = base64.b64encode(LOGIN.encode()).decode()
    connection = http.client.HTTPSConnection(daemon.address.removeprefix("https://"), timeout=5 * SLOW, context=daemon.tls)
    try:
        connection.request(method, path, headers={"Authorization": f"Basic {login}", **headers})
        answer = connection.getresponse()
        return answer.status, answer.read(), dict(answer.getheaders())
    finally:
        connection.close()


class Scrape(unittest.TestCase):
    """One minute for all tests: they look at what was stored in it."""

    @classmethod
    def setUpClass(cls):
        mount_fusectl()
        cls.directory = tempfile.mkdtemp(prefix="defused-scrape-")
        cls.addClassCleanup(shutil.rmtree, cls.directory, True)
        cls.certificate = make_certificate(cls.directory, "server")
        config = os.path.join(cls.directory, "web.yml")
        write_web_config(config, "tls_server_config: {cert_file: server.pem, key_file: server.key}\n"
                                 f"basic_auth_users: {{{NAME}: {HASH}}}\n")
        cls.daemon = cls.enterClassContext(Daemon(
            arguments=["--web.config.file", config], tls=trust(cls.certificate), login=LOGIN,
            mode="enforce", detect={"stuck_after": "2s"},
            remedy={"min_stuck": f"{MIN_STUCK}s", "require_proven": True, "allow": {"fstypes": ["fuse.defusedlab"]}}))
        cls.server = cls.enterClassContext(RealPrometheus([
            cls.job("defused", PASSWORD), {**cls.job("intruder", "wrong"), "scrape_interval": "5s"},
            {**cls.job("stranger", PASSWORD), "scrape_interval": "5s", "tls_config": {}}], interval=f"{INTERVAL}s"))
        cls.watch_a_minute()

    @classmethod
    def job(cls, name, password):
        return {"job_name": name, "scheme": "https", "tls_config": {"ca_file": cls.certificate + ".pem"},
                "static_configs": [{"targets": [cls.daemon.address.removeprefix("https://")]}],
                "basic_auth": {"username": NAME, "password": password}}

    @classmethod
    def watch_a_minute(cls):
        """A deadlock is made, stands, and is freed by the daemon; all else is what Prometheus stores meanwhile."""
        wait_until(lambda: cls.server.value('up{job="defused"}') == 1, 30, "the first scrape")
        cls.begin = time.time()
        cls.before = cls.server.query(STUCK)
        with Lab("flush_thread", fstype="defusedlab") as lab:
            cls.made = time.time()
            cls.truth = lab.truth
            wait_until(lambda: cls.server.value(STUCK) == 1, 15, cls.daemon.log())
            cls.joined = cls.server.query("(time() - defused_stuck_pid_namespace_since_timestamp_seconds) * on (job, instance, "
                                          "pid_namespace) group_left (verdict, connection) defused_stuck_pid_namespace_info")
            cls.seen = cls.server.promtool("instant", "defused_stuck_pid_namespace_info")
            wait_until(lambda: cls.server.value(RELEASED) == 1, MIN_STUCK + 20, cls.daemon.log())
            cls.freed = time.time()
            wait_until(lambda: cls.server.value(STUCK) is None, 10, "the series to vanish")
        wait_until(lambda: time.time() > cls.begin + MINUTE, MINUTE, "the minute to pass")
        cls.end = time.time()

    def only(self, selector):
        """The samples of the only series that ever was there."""
        (_, samples), = self.server.samples(selector)
        return samples

    def test_no_scrape_failed(self):
        up = [value for when, value in self.only('up{job="defused"}') if when >= self.begin]
        self.assertEqual(set(up), {1.0})
        self.assertGreaterEqual(len(up), 0.9 * MINUTE / INTERVAL)
        self.assertEqual(self.server.scrape_errors(), {})
        target, = self.server.targets()["defused"]
        self.assertEqual((target["lastError"], target["health"]), ("", "up"))
        scraped = [value for _, value in self.only('scrape_samples_scraped{job="defused"}')]
        kept = [value for _, value in self.only('scrape_samples_post_metric_relabeling{job="defused"}')]
        self.assertEqual(scraped, kept)
        self.assertGreater(min(scraped), 50)

    def test_a_wrong_password_gets_nothing(self):
        self.assertEqual({value for _, value in self.only('up{job="intruder"}')}, {0.0})
        self.assertIn("401", self.server.targets()["intruder"][0]["lastError"])
        self.assertEqual(self.server.query('{job="intruder",__name__=~"defused_.*"}'), [])

    def test_a_client_that_does_not_know_the_certificate_goes_away(self):
        self.assertEqual({value for _, value in self.only('up{job="stranger"}')}, {0.0})
        self.assertIn("x509", self.server.targets()["stranger"][0]["lastError"])

    def test_series_appear_and_vanish(self):
        self.assertEqual(self.before, [])
        for selector in (STUCK, "defused_stuck_pid_namespace_info", "defused_fuse_connection_info",
                         "defused_stuck_pid_namespace_since_timestamp_seconds", 'defused_holds{reason="too_young"}',
                         'defused_fuse_connection_waiting_requests'):
            times = [when for _, samples in self.server.samples(selector) for when, _ in samples]
            self.assertGreaterEqual(len(times), 3, selector)
            self.assertGreaterEqual(min(times), self.made - 1, selector)
            self.assertLessEqual(max(times), self.freed + 3 * SLOW + INTERVAL, selector)
            self.assertEqual(self.server.query(selector), [], selector)

    def test_what_was_stuck_is_named(self):
        (labels, age), = self.joined
        self.assertEqual(labels["pid_namespace"], str(self.truth["pid_namespace"]))
        self.assertEqual(labels["connection"], str(self.truth["connection"]))
        self.assertEqual(labels["verdict"], "deadlocked")
        self.assertGreaterEqual(age, 1.9)
        self.assertIn(f'pid_namespace="{self.truth["pid_namespace"]}"', self.seen)
        for _, samples in self.server.samples("defused_stuck_pid_namespace_since_timestamp_seconds"):
            for _, since in samples:
                self.assertAlmostEqual(since, self.made, delta=5 * SLOW)

    def test_what_was_done_is_counted(self):
        values = [value for _, value in self.only(RELEASED)]
        self.assertEqual(values, sorted(values))
        self.assertEqual((values[0], values[-1]), (0, 1))
        self.assertEqual(self.server.value("sum(defused_aborts_total)"), 1)
        self.assertEqual(self.server.value('defused_decisions_total{action="abort"}'), 1)
        self.assertGreaterEqual(self.server.value('defused_decisions_total{action="hold"}'), 1)
        counts = [value for _, value in self.only("defused_recovery_duration_seconds_count")]
        self.assertEqual((counts[0], counts[-1]), (0, 1))
        took = self.server.value("defused_recovery_duration_seconds_sum")
        self.assertGreaterEqual(took, MIN_STUCK)
        self.assertLessEqual(took, self.freed - self.made + 5)
        below = self.server.query("defused_recovery_duration_seconds_bucket")
        for labels, count in below:
            self.assertEqual(count, 1 if float(labels["le"]) >= took else 0, labels)
        budget = [value for _, value in self.only("defused_abort_budget_remaining")]
        self.assertEqual((budget[0], budget[-1]), (3, 2))

    def test_counters_only_grow(self):
        for labels, samples in self.server.samples('{job="defused",__name__=~"defused_.*_(total|count|bucket)"}'):
            values = [value for _, value in samples]
            self.assertEqual(values, sorted(values), labels)
        passes = [value for _, value in self.only("defused_scans_total")]
        self.assertGreaterEqual(passes[-1] - passes[0], MINUTE / 2 / SLOW)

    def test_promtool_shows_the_range(self):
        told = self.server.promtool("range", f"--start={self.begin:.0f}", f"--end={self.end:.0f}", "--step=1s", STUCK)
        self.assertIn('verdict="deadlocked"', told)
        values = re.findall(r"^1 @\[([0-9.]+)\]", told, re.M)
        self.assertGreaterEqual(len(values), 3)

    def test_gzip_is_the_same_text(self):
        """Apart from what moves between two scrapes."""
        packed = ask(self.daemon, "GET", "/metrics", **{"Accept-Encoding": "gzip"})
        plain = ask(self.daemon, "GET", "/metrics")
        self.assertEqual((packed[0], plain[0]), (200, 200))
        self.assertEqual(packed[2].get("Content-Encoding"), "gzip")
        self.assertNotIn("Content-Encoding", plain[2])
        self.assertEqual({packed[2]["Content-Type"], plain[2]["Content-Type"]}, {"text/plain; version=0.0.4; charset=utf-8"})
        unpacked = gzip.decompress(packed[1]).decode()
        self.assertLess(len(packed[1]), len(unpacked) / 3)
        self.assertEqual(set(parse_metrics(unpacked)), set(parse_metrics(plain[1].decode())))
        moves = re.compile(r"^defused_(scan|last_scan|process|read_gaps|fuse_waiting)\w*(\{.*\})? .*$", re.M)
        self.assertEqual(moves.sub("", unpacked), moves.sub("", plain[1].decode()))

    def test_head_is_get_without_the_body(self):
        for path in ("/metrics", "/", "/-/healthy", "/-/ready", "/api/v1/report", "/api/v1/report/schema"):
            got = ask(self.daemon, "GET", path)
            head = ask(self.daemon, "HEAD", path)
            self.assertEqual((head[0], head[1], head[2].get("Content-Type")), (200, b"", got[2].get("Content-Type")), path)
            self.assertGreater(int(head[2]["Content-Length"]), 0)


if __name__ == "__main__":
    unittest.main()
