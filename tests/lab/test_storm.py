# SPDX-License-Identifier: Apache-2.0
"""No false alarm while namespaces come and go by the hundreds, some of them with FUSE in every state in which they still
end by themselves (storm_scene.h).

The metrics are read several times per pass, and `defused_scans_total` beside them says of which pass they are: passes
count only where they were looked at, one by one. What stands in a counter or in the log covers the few others too."""
import http.client
import json
import os
import re
import signal
import subprocess
import tempfile
import threading
import time
import unittest

import situations
from daemon import BUILD, Daemon, SLOW, parse_metrics, scan, wait_until
from lab import connections
from stage import Stage

PROGRAM = os.path.join(BUILD, "defused-storm")
# Sanitizers make daemon and storm several times slower: fewer passes in more time, and a storm that they can keep up.
PASSES, EMPTY, FUSE = (1000, 250, 22) if SLOW == 1 else (200, 60, 6)
# Per pass that was looked at: what makes a pass hard is what comes and goes meanwhile. A quick machine makes 25 and 2.
LEAST_EMPTY, LEAST_FUSE = (5, 0.5) if SLOW == 1 else (2, 0.2)
STUCK_AFTER = 1  # seconds: the least that can be configured, fifteen times harder than the default
SCANS = 8
# Series that are there, or above 0, only where something is told to be wrong.
ALARMS = ("defused_stuck_", "defused_fuse_connection_", "defused_fuse_orphaned_connections", "defused_holds",
          "defused_decisions_total", "defused_aborts_total")
TROUBLE = ("defused_scan_failures_total", "defused_probers_lost_total", "defused_blind")
STUCK = 'defused_stuck_pid_namespaces{wait_class="fuse_flush",verdict="deadlocked"}'


class Storm:
    """defused-storm while the context lasts; end() has it end and says what it made."""

    def __init__(self, directory, seed):
        self.process = subprocess.Popen([PROGRAM, os.path.join(directory, "storm"), str(seed), "600", str(EMPTY), str(FUSE)],
                                        stdout=subprocess.PIPE)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()  # its guardian ends the rest
        self.process.communicate(timeout=30 * SLOW)

    def check_blows(self):
        if self.process.poll() == 77:
            raise unittest.SkipTest("the storm is not permitted here")
        assert self.process.poll() is None, f"the storm ended early with {self.process.returncode}"

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        return json.loads(self.process.communicate(timeout=30 * SLOW)[0])


class Watcher(threading.Thread):
    """Looks at each pass of a daemon. `alarms` are (pass, series with values), `reports` what the first ones said."""

    def __init__(self, daemon):
        super().__init__(daemon=True)
        self.host = daemon.address.removeprefix("http://")
        self.passes = set()
        self.alarms = []
        self.troubles = {}
        self.reports = []
        self.stopped = threading.Event()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stopped.set()
        self.join(10)

    def run(self):
        link = None
        while not self.stopped.wait(0.025):  # a quarter of the interval
            try:
                link = link or http.client.HTTPConnection(self.host, timeout=5)
                self.look(link)
            except (OSError, http.client.HTTPException):
                link = None  # a front that is replaced: the passes that are missed do not count

    @staticmethod
    def get(link, path):
        link.request("GET", path)
        return link.getresponse().read().decode()

    def look(self, link):
        metrics = parse_metrics(self.get(link, "/metrics"))
        number = int(metrics.get("defused_scans_total", 0))
        if number == 0 or number in self.passes:
            return
        told = {key: value for key, value in metrics.items() if value > 0 and key.startswith(ALARMS)}
        if told:
            self.alarms.append((number, told))
        if told and len(self.reports) < 5:
            self.reports.append(f"report of about pass {number}: " + self.get(link, "/api/v1/report"))
        self.troubles.update({key: value for key, value in metrics.items() if value > 0 and key.startswith(TROUBLE)})
        self.passes.add(number)


def unexplained(alarms, log, made):
    """What was told without being true. A namespace that the storm itself saw take longer than `STUCK_AFTER` to end was
    rightly called stuck, and so was its connection; series that only count are then explained by the log."""
    late = [one for one in made["slow"] if one["ms"] >= STUCK_AFTER * 1000]
    namespaces = {(str(one["pid_namespace"]), str(one["init_pid"])) for one in late}
    found = [line for line in log.splitlines()
             if (told := re.search(r"PID namespace (\d+) \(init (\d+) .* is stuck", line)) and told.groups() not in namespaces]
    for number, series in alarms:
        for key, value in series.items():
            connection = re.search(r'^defused_fuse_connection_.*connection="(\d+)"', key)
            counts = not key.startswith(("defused_fuse_", "defused_stuck_exits"))
            known = connection and int(connection.group(1)) in {one["connection"] for one in late}
            if not known and not (late and counts):
                found.append(f"pass {number}: {key} {value}")
    return found


class NoFalseAlarm(unittest.TestCase):
    def check_scan(self, daemon):
        """One look tells what is young as well; what has not stood for `stuck_after` is no alarm."""
        code, report, errors = scan("--config", daemon.config)
        self.assertEqual((code, errors), (0, ""))
        self.assertEqual([one for one in report["pid_namespaces"] if one["stuck"]], [])
        told = [one for one in report["connections"] if one["orphaned"] or one["stalled_since"]]
        self.assertEqual(told, [], report["scanned_at"])

    def check_made(self, made, looked):
        """The storm was one, however slow the machine, and all of it ended by itself."""
        empty, fuse = made["empty"], made["fuse"]
        self.assertEqual((empty["not_ended"], fuse["not_made"], fuse["not_ended"]), (0, 0, 0), made)
        self.assertGreaterEqual(empty["made"], LEAST_EMPTY * looked, made)
        self.assertGreaterEqual(sum(fuse["made"].values()), LEAST_FUSE * looked, made)
        self.assertTrue(all(fuse["made"].values()), made)

    def check_detector(self, daemon, watcher):
        """The same eyes on one real deadlock: each of them sees it."""
        with Stage() as stage:
            truth = situations.self_held(stage)

            def seen():
                keys = {key for _, series in watcher.alarms for key in series}
                return {STUCK, 'defused_decisions_total{action="hold"}'} <= keys and any(
                    key.startswith(f'defused_fuse_connection_stalled_since_timestamp_seconds{{connection="'
                                   f'{truth.connections[0].id}"') for key in keys)
            wait_until(seen, 20, "a real deadlock to be told")
            self.assertRegex(daemon.log(), rf"PID namespace \d+ \(init {truth.init.pid} .*is stuck: fuse_flush, deadlocked")
            found = unexplained(watcher.alarms, daemon.log(), {"slow": []})
            self.assertTrue(any("is stuck" in line for line in found) and any(STUCK in line for line in found), found)

    def watch_storm(self, storm, daemon, watcher):
        first = len(watcher.passes)
        began = time.monotonic()
        for part in range(1, SCANS + 1):
            wanted = first + PASSES * part // SCANS

            def looked_at():
                storm.check_blows()
                return len(watcher.passes) >= wanted  # pylint: disable=W0640
            wait_until(looked_at, PASSES * 0.15, f"{wanted} passes; now {len(watcher.passes)}")
            self.check_scan(daemon)
        return len(watcher.passes) - first, time.monotonic() - began

    def test_storm(self):
        seed = int(os.environ.get("DEFUSED_STORM_SEED", time.time_ns() % 1_000_000))
        before = connections()
        with tempfile.TemporaryDirectory() as directory, \
                Daemon(interval="100ms", detect={"stuck_after": f"{STUCK_AFTER}s"}) as daemon, Watcher(daemon) as watcher:
            with Storm(directory, seed) as storm:
                looked, seconds = self.watch_storm(storm, daemon, watcher)
                log, alarms = daemon.log(), list(watcher.alarms)
                made = storm.end()
            print(f"seed {seed}: {looked} passes looked at in {seconds:.0f} s, of {daemon.metric('defused_scans_total'):.0f}")
            print(json.dumps(made))
            found = unexplained(alarms, log, made)
            evidence = "\n".join([f"{len(found)} false alarms, seed {seed}", *found, log, *watcher.reports])
            self.assertFalse(found, evidence)
            self.check_made(made, looked)
            self.assertEqual(watcher.troubles, {})
            wait_until(lambda: connections() <= before, 10, "the storm's connections to be gone")
            self.check_detector(daemon, watcher)


if __name__ == "__main__":
    unittest.main()
