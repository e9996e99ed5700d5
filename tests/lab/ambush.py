# SPDX-License-Identifier: Apache-2.0
"""`Ambush`: waits for a prober to announce a phase and leads it into a file that never answers (ambush.h); `Watch`: what
the pages say meanwhile."""
import json
import os
import re
import select
import subprocess
import threading
import time
import unittest

from daemon import BUILD, SLOW, read_text, wait_until
from lab import kernel_stacks

SIGKILL_BIT = 1 << 8


class Ambush:
    """Stands once made. `of_child`: `pid` is that of who starts the prober; its next one is waited for. `kill`: these
    processes get SIGKILL in that phase instead."""

    def __init__(self, pid, path, phase, nth=1, of_child=False, of_reader=False, seconds=20, kill=()):
        flags = ["--of-child"] * of_child + ["--of-reader"] * of_reader
        flags += [word for victim in kill for word in ("--kill", str(victim))]
        self.path = path
        self.process = subprocess.Popen(
            [os.path.join(BUILD, "defused-inject"), str(pid), path, "--phase", phase, "--nth", str(nth), "--seconds",
             str(seconds * SLOW), *flags], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        ready, _, _ = select.select([self.process.stdout], [], [], 5 * SLOW)
        line = self.process.stdout.readline() if ready else ""
        if line != "waiting\n":
            self.sprung()
            raise AssertionError(f"no ambush: {line}")

    def sprung(self):
        """PID of the process that was caught."""
        try:
            text, errors = self.process.communicate(timeout=30 * SLOW)
        finally:
            self.process.kill()
        if self.process.returncode == 77:
            raise unittest.SkipTest(errors.strip())
        if self.process.returncode != 0:
            raise AssertionError(errors.strip())
        return json.loads(text)["caught"]

    def caught(self):
        """PID of the process that was led away, once its server has the request: until then it could be killed."""
        pid = self.sprung()
        wait_until(lambda: re.search(r"fuse_\w*open", kernel_stacks([pid])), 10, f"{pid} to wait for its file")
        # Requests are read in turn: one that came later is answered.
        subprocess.run(["stat", f"{os.path.dirname(self.path)}/nothing"], capture_output=True, timeout=10, check=False)
        return pid


def is_unkillable(pid):
    """In D, with SIGKILL pending."""
    status = read_text(f"/proc/{pid}/status")
    pending = re.search(r"^ShdPnd:\t([0-9a-f]+)$", status, re.M)
    return bool(re.search(r"^State:\tD", status, re.M) and pending and int(pending.group(1), 16) & SIGKILL_BIT)


class Watch:
    """Asks a daemon ten times a second, until check(): always healthy, and ready as long as the last pass is fresh."""

    def __init__(self, daemon):
        self.daemon = daemon
        self.limit = 0.0
        self.wrong = []
        self.asked = 0
        self.unready = 0
        self.slowest = 0.0
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._run)

    def __enter__(self):
        settings = self.daemon.settings
        self.limit = 3 * seconds_of(settings["interval"]) + seconds_of(settings["pass_deadline"])
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join(30)

    def check(self, test):
        """Ends the watch; nothing was wrong."""
        self.__exit__()
        test.assertEqual(self.wrong, [])
        print(f"asked {self.asked} times, {self.unready} times not ready, slowest {self.slowest:.3f} s", flush=True)

    def _run(self):
        while not self.ended.wait(0.1):
            begin = time.monotonic()
            healthy, _, _ = self.daemon.get("/-/healthy")
            self.slowest = max(self.slowest, time.monotonic() - begin)
            self.asked += 1
            if healthy != 200:
                self.wrong.append(f"/-/healthy: {healthy}")
            self._judge_ready()

    def _age(self):
        """(seconds since the last pass began, when that was asked)."""
        return time.time() - (self.daemon.metric("defused_last_scan_timestamp_seconds") or 0), time.monotonic()

    def _judge_ready(self):
        before, asked_before = self._age()
        ready, text, _ = self.daemon.get("/-/ready")
        answered = time.monotonic()
        after, asked_after = self._age()
        self.unready += ready == 503
        must_be = before + answered - asked_before <= self.limit
        must_not_be = min(before, after - (asked_after - answered)) > self.limit
        if must_be and ready != 200 or must_not_be and ready != 503:
            self.wrong.append(f"/-/ready: {ready} {text} while the last pass was {before:.2f}, {after:.2f} s ago")


def seconds_of(text):
    """Of "500ms" or "2s"."""
    return int(text[:-2]) / 1000 if text.endswith("ms") else float(text[:-1])
