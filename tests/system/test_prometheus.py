# SPDX-License-Identifier: Apache-2.0
"""Hostile names from a real namespace to every output: a real Prometheus accepts the whole target."""
import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lab"))
from capture_tree import capture_tree  # noqa: E402
from daemon import BUILD, Daemon, mount_fusectl, wait_until  # noqa: E402
from lab import Lab  # noqa: E402

STUCK = 'defused_stuck_pid_namespaces{wait_class="fuse_flush",verdict="deadlocked"}'


class Hostile(unittest.TestCase):
    def check_replay(self, lab):
        """The same tree, copied and judged again elsewhere: the same verdict, names made harmless in the same way."""
        mount_fusectl()
        with tempfile.TemporaryDirectory() as directory:
            pids = (1, lab.truth["init"]["pid"], lab.truth["blocked"]["pid"])
            capture_tree(directory, pids, [lab.truth["connection"]])
            done = subprocess.run([os.path.join(BUILD, "defused-replay-tree"), directory], capture_output=True, text=True,
                                  timeout=20, check=False)
            self.assertEqual(done.returncode, 0, done.stderr)
            report = json.loads(done.stdout)
        self.assertEqual(len(report["pid_namespaces"]), 1)
        namespace = report["pid_namespaces"][0]
        self.assertEqual(namespace["pid_namespace"], lab.truth["pid_namespace"])
        self.assertEqual(namespace["verdict"], "deadlocked")
        self.assertEqual(namespace["connections"], [lab.truth["connection"]])
        connection = report["connections"][0]
        # \\xff, ESC and newline as text; quotes, backslash and <script> as they are
        for name in (connection["source"], connection["mount_points"][0], connection["fstype"]):
            self.assertIn("\\xff\\x1b\"'\\\\x0a<script>", name)

    def test_hostile_names_reach_a_real_prometheus(self):
        if not shutil.which("prometheus"):
            self.fail("prometheus is not installed (cmake/packages.txt)")
        with Lab("hostile") as lab, Daemon(detect={"stuck_after": "2s"}) as daemon:
            wait_until(lambda: daemon.metric(STUCK) == 1,
                       15, daemon.log())
            directory = tempfile.mkdtemp(prefix="defused-prometheus-")
            target = daemon.address.removeprefix("http://")
            with open(os.path.join(directory, "prometheus.yml"), "w", encoding="utf-8") as file:
                file.write("global: {scrape_interval: 1s, scrape_timeout: 1s}\nscrape_configs: [{job_name: defused, "
                           f"static_configs: [{{targets: ['{target}']}}]}}]\n")
            port = 19390
            server = subprocess.Popen(
                ["prometheus", f"--config.file={directory}/prometheus.yml", f"--storage.tsdb.path={directory}/data",
                 f"--web.listen-address=127.0.0.1:{port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                def query(expression):
                    done = subprocess.run(["promtool", "query", "instant", f"http://127.0.0.1:{port}", expression],
                                          capture_output=True, text=True, timeout=10, check=False)
                    return done.stdout if done.returncode == 0 else ""

                wait_until(lambda: "=> 1" in query("up"), 30, "a scrape that Prometheus accepts")
                info = query("defused_stuck_pid_namespace_info")
                self.assertIn(str(lab.truth["pid_namespace"]), info)
                source = query("defused_fuse_connection_info")
                self.assertIn(f'connection="{lab.truth["connection"]}"', source)
                self.assertIn("<script>", source)
                self.assertIn("\\\\xff", source)
            finally:
                server.terminate()
                server.wait(10)
                shutil.rmtree(directory)
            self.check_replay(lab)
            page = daemon.get("/")[1]
            self.assertNotIn("<script>", page)
            self.assertIn("&lt;script&gt;", page)
            json.loads(daemon.get("/api/v1/report")[1])


if __name__ == "__main__":
    unittest.main()
