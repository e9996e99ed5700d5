# SPDX-License-Identifier: Apache-2.0
"""The textfile, read by a real node_exporter: the same families, hostile names too, gone when we are."""
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lab"))
from daemon import Daemon, REPO, SLOW, free_port, mount_fusectl, parse_metrics, wait_until  # noqa: E402
from lab import Lab  # noqa: E402

STUCK = 'defused_stuck_pid_namespaces{wait_class="fuse_flush",verdict="deadlocked"}'
# They move from one scrape to the next.
MOVING = re.compile(r"defused_(process_|scan|last_scan|read_gaps)")


def families(text):
    """Names and types."""
    return set(re.findall(r"^# TYPE (defused_\S+ \S+)$", text, re.M))


def labels_in_order(metrics):
    """Series with their labels sorted: node_exporter sorts them."""
    def key(name):
        base, _, labels = name.partition("{")
        return base, tuple(sorted(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', labels)))
    return {key(name): value for name, value in metrics.items()}


class NodeExporter:
    """A real one, with the textfile collector alone."""

    def __init__(self, directory):
        self.url = f"http://127.0.0.1:{free_port()}"
        self.process = subprocess.Popen(
            ["prometheus-node-exporter", "--collector.disable-defaults", "--collector.textfile",
             f"--collector.textfile.directory={directory}", f"--web.listen-address={self.url[7:]}"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def __enter__(self):
        wait_until(lambda: "node_textfile_scrape_error" in self.text(), 20, "node_exporter")
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait(10)

    def text(self):
        try:
            with urllib.request.urlopen(self.url + "/metrics", timeout=5) as answer:
                return answer.read().decode()
        except OSError:
            return ""

    def metrics(self):
        return labels_in_order(parse_metrics(self.text()))


class Textfile(unittest.TestCase):
    def setUp(self):
        for program in ("prometheus-node-exporter", "promtool"):
            if not shutil.which(program):
                self.fail(f"{program} is not installed (cmake/packages.txt)")
        self.directory = tempfile.mkdtemp(prefix="defused-textfile-")
        self.addCleanup(shutil.rmtree, self.directory)
        os.chmod(self.directory, 0o777)  # whichever account the front has here
        mount_fusectl()

    def read(self):
        try:
            with open(os.path.join(self.directory, "defused.prom"), encoding="utf-8") as file:
                return file.read()
        except FileNotFoundError:
            return ""

    def check_same(self, daemon, exporter):
        """What node_exporter shows is what we serve, but for what moves."""
        def still(metrics):
            return {key: value for key, value in metrics.items()
                    if key[0].startswith("defused_") and not MOVING.match(key[0])}

        def same():
            served = daemon.get("/metrics")[1]
            shown = exporter.text()
            return (still(labels_in_order(parse_metrics(served))) == still(labels_in_order(parse_metrics(shown)))
                    and families(served) == families(shown))

        wait_until(same, 15, "the same on both pages")
        self.assertIn(("node_textfile_scrape_error", ()), exporter.metrics())
        self.assertEqual(exporter.metrics()[("node_textfile_scrape_error", ())], 0)

    def check_promtool(self):
        done = subprocess.run(["promtool", "check", "metrics"], input=self.read(), capture_output=True, text=True,
                              timeout=20 * SLOW, check=False)
        self.assertEqual((done.returncode, done.stdout + done.stderr), (0, ""))

    def check_age(self, exporter):
        """Each document's example of an alert on the age of the file finds the series that node_exporter has."""
        (name, labels), = [key for key in exporter.metrics() if key[0] == "node_textfile_mtime_seconds"]
        file = dict(labels)["file"]
        self.assertEqual(os.path.basename(file), "defused.prom")
        self.assertAlmostEqual(exporter.metrics()[name, labels], time.time(), delta=60 * SLOW)
        for document in ("HTTP.md", "PROMETHEUS.md"):
            with open(os.path.join(REPO, "docs", document), encoding="utf-8") as text:
                examples = re.findall(r'node_textfile_mtime_seconds\{file(=~?)"([^"]+)"\}', text.read())
            self.assertTrue(examples, document)
            for operator, wanted in examples:
                wanted = wanted.replace("/var/lib/defused-textfile", self.directory)
                self.assertTrue(wanted == file if operator == "=" else re.fullmatch(wanted, file), (document, wanted, file))

    def check_form(self, form):
        key = next(iter(labels_in_order({STUCK: 1})))
        with Daemon(detect={"stuck_after": "2s"}, textfile={"directory": self.directory}) as daemon:
            with NodeExporter(self.directory) as exporter:
                with Lab(form) as lab:
                    wait_until(lambda: exporter.metrics().get(key) == 1, 30, daemon.log())
                    self.check_same(daemon, exporter)
                    self.check_promtool()
                    self.check_age(exporter)
                    names = [labels for name, labels in exporter.metrics() if name == "defused_stuck_pid_namespace_info"]
                    self.assertIn(("pid_namespace", str(lab.truth["pid_namespace"])), names[0])
                    sources = [dict(labels)["source"] for name, labels in exporter.metrics()
                               if name == "defused_fuse_connection_info"]
                wait_until(lambda: key not in exporter.metrics(), 20, "freed, and so gone")
                left = {name for name, _ in exporter.metrics()}
                self.assertEqual([name for name in left if name.startswith("defused_stuck_pid_namespace_")], [])
                daemon.process.send_signal(signal.SIGTERM)
                daemon.process.wait(10 * SLOW)
                wait_until(lambda: "defused_" not in exporter.text(), 10, "nothing is claimed after a stop")
                self.assertEqual(exporter.metrics()[("node_textfile_scrape_error", ())], 0)
        return sources

    def test_a_stuck_namespace_comes_and_goes(self):
        self.check_form("flush_thread")

    def test_hostile_names(self):
        sources = self.check_form("hostile")
        self.assertTrue(any("<script>" in source and "\\\\xff" in source for source in sources), sources)


if __name__ == "__main__":
    unittest.main()
