# SPDX-License-Identifier: Apache-2.0
"""`Webhook`: what an Alertmanager sends to, on a free port of 127.0.0.1; `RealAlertmanager`: Debian's, with its data in a
temporary directory and without peers."""
import http.server
import json
import os
import shutil
import subprocess
import tempfile
import threading
import time
import urllib.request

from daemon import SLOW, end_process, free_port, read_text, wait_until


class WebhookServer(http.server.ThreadingHTTPServer):
    request_queue_size = 256  # Alertmanager tells all at once, and whom it cannot reach late


class Webhook:
    """Keeps each alert of each notification: (time, alert), an alert being what Alertmanager's webhook has below `alerts`."""

    def __init__(self):
        self.received = []
        self.lock = threading.Lock()
        received = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):  # noqa: N802
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with received.lock:
                    received.received += [(time.monotonic(), alert) for alert in body["alerts"]]
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = WebhookServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/"
        self.thread = threading.Thread(target=self.server.serve_forever)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.thread.join(10)
        self.server.server_close()

    def alerts(self, name, labels, status=None):
        """(time, alert) of those with these labels, oldest first. One that was told twice is there twice."""
        wanted = {"alertname": name, **labels}
        with self.lock:
            return [(when, alert) for when, alert in self.received
                    if status in (None, alert["status"]) and wanted.items() <= alert["labels"].items()]

    def open_alerts(self):
        """Labels of each that was told as firing and not as resolved since."""
        last = {}
        with self.lock:
            for _, alert in self.received:
                last[alert["fingerprint"]] = alert
        return [alert["labels"] for alert in last.values() if alert["status"] == "firing"]


class RealAlertmanager:
    """Runs while the context stands and tells `webhook` each alert on its own, at once."""

    def __init__(self, webhook, inhibit_rules=()):
        for program in ("prometheus-alertmanager", "amtool"):
            if not shutil.which(program):
                raise AssertionError(f"{program} is not installed (cmake/packages.txt)")
        self.directory = tempfile.mkdtemp(prefix="defused-alertmanager-")
        self.config = os.path.join(self.directory, "alertmanager.yml")
        self.configuration = {
            "route": {"receiver": "test", "group_by": ["..."], "group_wait": "0s", "group_interval": "1s",
                      "repeat_interval": "1h"},
            "receivers": [{"name": "test", "webhook_configs": [{"url": webhook.url, "send_resolved": True}]}],
            "inhibit_rules": list(inhibit_rules),
        }
        self.address = f"127.0.0.1:{free_port()}"
        self.process = None

    def __enter__(self):
        with open(self.config, "w", encoding="utf-8") as file:
            json.dump(self.configuration, file)  # JSON is YAML
        self.amtool("check-config", self.config)
        with open(os.path.join(self.directory, "log"), "wb") as log:
            self.process = subprocess.Popen(
                ["prometheus-alertmanager", f"--config.file={self.config}", f"--storage.path={self.directory}/data",
                 f"--web.listen-address={self.address}", "--cluster.listen-address="],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        try:
            wait_until(self._is_ready, 30, "Alertmanager to be ready")
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, *_):
        end_process(self.process)
        shutil.rmtree(self.directory, ignore_errors=True)

    def log(self):
        return read_text(os.path.join(self.directory, "log"))

    def _is_ready(self):
        if self.process.poll() is not None:
            raise AssertionError(f"Alertmanager ended with {self.process.returncode}:\n{self.log()}")
        try:
            with urllib.request.urlopen(f"http://{self.address}/-/ready", timeout=5) as answer:
                return answer.status == 200
        except OSError:
            return False

    def post(self, alerts):
        """Alerts as Prometheus sends them: a list of labels."""
        body = json.dumps([{"labels": labels} for labels in alerts]).encode()
        request = urllib.request.Request(f"http://{self.address}/api/v2/alerts", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=10):
            pass

    @staticmethod
    def amtool(*arguments):
        done = subprocess.run(["amtool", *arguments], capture_output=True, text=True, timeout=20 * SLOW, check=False)
        if done.returncode != 0:
            raise AssertionError(f"amtool {' '.join(arguments)}: {done.stdout}{done.stderr}")
        return done.stdout
