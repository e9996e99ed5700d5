# SPDX-License-Identifier: Apache-2.0
"""`RealPrometheus`: Debian's Prometheus on a free port of 127.0.0.1, with its data in a temporary directory."""
import json
import os
import re
import shutil
import subprocess
import tempfile
import urllib.error
import urllib.parse
import urllib.request

from daemon import SLOW, end_process, parse_metrics, read_text, wait_until


class RealPrometheus:
    """Runs while the context stands; `scrape_configs` and `rule_files` are those of its configuration, `alertmanagers` the
    addresses (HOST:PORT) that its alerts are sent to."""

    def __init__(self, scrape_configs, rule_files=(), interval="1s", alertmanagers=(), evaluation_interval=None):
        for program in ("prometheus", "promtool"):
            if not shutil.which(program):
                raise AssertionError(f"{program} is not installed (cmake/packages.txt)")
        self.directory = tempfile.mkdtemp(prefix="defused-prometheus-")
        self.configuration = {
            "global": {"scrape_interval": interval, "scrape_timeout": interval,
                       "evaluation_interval": evaluation_interval or interval},
            "scrape_configs": scrape_configs,
            "rule_files": list(rule_files),
        }
        if alertmanagers:
            self.configuration["alerting"] = {"alertmanagers": [{"static_configs": [{"targets": list(alertmanagers)}]}]}
        self.process = None
        self.address = None

    def __enter__(self):
        config = os.path.join(self.directory, "prometheus.yml")
        with open(config, "w", encoding="utf-8") as file:
            json.dump(self.configuration, file)  # JSON is YAML
        with open(os.path.join(self.directory, "log"), "wb") as log:
            self.process = subprocess.Popen(
                ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={self.directory}/data",
                 "--web.listen-address=127.0.0.1:0"], stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        try:
            self.address = wait_until(self._find_address, 30, "Prometheus to listen")
            wait_until(self._is_ready, 30, "Prometheus to be ready")
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, *_):
        end_process(self.process)
        shutil.rmtree(self.directory, ignore_errors=True)

    def log(self):
        return read_text(os.path.join(self.directory, "log"))

    def _find_address(self):
        if self.process.poll() is not None:
            raise AssertionError(f"Prometheus ended with {self.process.returncode}:\n{self.log()}")
        found = re.search(r'"Listening on" address=(127\.0\.0\.1:\d+)', self.log())
        return found and "http://" + found.group(1)

    def _is_ready(self):
        try:
            return self.get("/-/ready") is not None
        except (urllib.error.URLError, OSError):
            return False

    def get(self, path):
        with urllib.request.urlopen(self.address + path, timeout=10 * SLOW) as answer:
            return answer.read().decode()

    def api(self, path, **parameters):
        """The `data` of an answer of the API; AssertionError with what it says instead."""
        url = f"/api/v1/{path}?" + urllib.parse.urlencode(parameters)
        try:
            answer = json.loads(self.get(url))
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{url}: {error.read().decode()}") from None
        return answer["data"]

    def query(self, expression, **parameters):
        """An instant query: a list of (labels, value)."""
        return [(one["metric"], float(one["value"][1])) for one in
                self.api("query", query=expression, **parameters)["result"]]

    def value(self, expression):
        """The value of the only series, None where there is none."""
        found = self.query(expression)
        if len(found) > 1:
            raise AssertionError(f"{expression}: {found}")
        return found[0][1] if found else None

    def samples(self, selector, seconds=600):
        """Every sample that is stored: a list of (labels, [(time, value), ...])."""
        found = self.api("query", query=f"{selector}[{seconds}s]")["result"]
        return [(one["metric"], [(float(time), float(value)) for time, value in one["values"]]) for one in found]

    def promtool(self, *arguments):
        """Output of `promtool query KIND <this server> ...`."""
        kind, *rest = arguments
        options = [one for one in rest if one.startswith("--")]
        done = subprocess.run(["promtool", "query", kind, *options, self.address,
                               *(one for one in rest if not one.startswith("--"))],
                              capture_output=True, text=True, timeout=20 * SLOW, check=False)
        if done.returncode != 0:
            raise AssertionError(f"promtool query {kind}: {done.stdout}{done.stderr}")
        return done.stdout

    def targets(self):
        """By job: the active targets as the API has them."""
        by_job = {}
        for target in self.api("targets", state="active")["activeTargets"]:
            by_job.setdefault(target["labels"]["job"], []).append(target)
        return by_job

    def rule_errors(self):
        """Of the rules in force: a list of (name, what its last evaluation said), and how many evaluations failed in all."""
        rules = [rule for group in self.api("rules")["groups"] for rule in group["rules"]]
        failures = sum(value for name, value in parse_metrics(self.get("/metrics")).items()
                       if name.startswith("prometheus_rule_evaluation_failures_total"))
        return [(rule["name"], rule["lastError"]) for rule in rules if rule.get("lastError")], failures

    def scrape_errors(self):
        """Prometheus' own counters of what it did not like about scrapes, those that are above 0."""
        own = parse_metrics(self.get("/metrics"))
        counters = {name: value for name, value in own.items()
                    if re.match(r"prometheus_target_(scrapes?|metadata)_.*(exceeded|duplicate|out_of|rejected|invalid|failed)",
                                name)}
        if not counters:
            raise AssertionError("Prometheus has no counters of scrape errors")
        return {name: value for name, value in counters.items() if value > 0}
