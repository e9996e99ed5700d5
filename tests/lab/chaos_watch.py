# SPDX-License-Identifier: Apache-2.0
"""What chaos.py knows beside what it did: how the kernel's own counts went, looked at all the time (`Watch`), and what
the daemon says that it did (`Audit`). Times are of the monotonic clock; a change lies between two looks, `before` it and
`after` it."""
import json
import os
import select
import threading
import time
from datetime import datetime

from daemon import read_text
from lab import FUSECTL

LOOK = 0.01  # seconds between two looks


class SeenConnection:
    """`falls` are the moments (before, after) at which its waiting requests became 0 or it was gone."""

    def __init__(self, connection):
        directory = f"{FUSECTL}/{connection.id}"
        # It stays with this connection: the number may come again, the file is then empty.
        self.file = os.open(f"{directory}/waiting", os.O_PATH | os.O_CLOEXEC)
        self.id = connection.id
        self.directory_inode = os.stat(directory).st_ino
        self.falls = []
        self.value = 0
        self.looked = time.monotonic()

    def look(self):
        began = time.monotonic()
        text = read_text(f"/proc/self/fd/{self.file}").strip()
        if self.value and text in ("", "0"):
            self.falls.append((self.looked, time.monotonic()))
        self.value = int(text or 0)
        self.looked = began

    def fell_within(self, begin, end):
        return any(before <= end and after >= begin for before, after in self.falls)


class SeenProcess:
    """The init of a PID namespace: last seen alive at `alive`, first seen to be gone at `gone`."""

    def __init__(self, actor):
        self.pid = actor.pid
        self.pid_namespace = actor.pid_namespace
        self.file = os.dup(actor.pidfd)
        self.alive = time.monotonic()
        self.gone = None

    def look(self):
        if self.gone is not None:
            return
        began = time.monotonic()
        if select.select([self.file], [], [], 0)[0]:
            self.gone = time.monotonic()
        else:
            self.alive = began


class Watch(threading.Thread):
    """Looks at all that was added, until it is taken away again."""

    def __init__(self):
        super().__init__(daemon=True)
        self.lock = threading.Lock()
        self.seen = []
        self.ended = threading.Event()
        self.longest = 0.0  # seconds between two looks

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.join(10)

    def add(self, seen):
        with self.lock:
            self.seen.append(seen)
        return seen

    def remove(self, those):
        with self.lock:
            self.seen = [seen for seen in self.seen if seen not in those]
            for seen in those:
                os.close(seen.file)

    def look(self):
        with self.lock:
            for seen in self.seen:
                seen.look()

    def run(self):
        last = time.monotonic()
        while not self.ended.wait(LOOK):
            self.look()
            now = time.monotonic()
            self.longest = max(self.longest, now - last)
            last = now


class Action:
    """One intent of the daemon, and its outcome ("" while there is none)."""

    def __init__(self, intent, to_monotonic):
        self.intent = intent
        self.key = (intent["intent_time"], intent["pid_namespace"], intent["connection"])
        self.connection = intent["connection"]
        self.directory_inode = intent["directory_inode"]
        self.pid_namespace = intent["pid_namespace"]
        self.begin = to_monotonic(intent["time"])
        self.end = None
        self.outcome = ""
        self.records = [intent]

    def wrote(self):
        """Whether the daemon says, or leaves open, that it aborted."""
        return self.outcome not in ("skipped_identity_changed", "vetoed")


class Audit:
    """The audit log of a daemon, read as far as it goes."""

    def __init__(self, path):
        self.path = path
        self.lock = threading.Lock()
        self.taken = 0
        self.torn = 0
        self.found = {}
        self.clock = time.time() - time.monotonic()

    def to_monotonic(self, text):
        return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() - self.clock

    def actions(self):
        with self.lock:
            lines = read_text(self.path).split("\n")[:-1]
            for line in lines[self.taken:]:
                try:
                    self._take(json.loads(line))
                except json.JSONDecodeError:
                    self.torn += 1  # its writer was killed
            self.taken = len(lines)
            return list(self.found.values())

    def _take(self, record):
        if record["record"] == "intent":
            action = Action(record, self.to_monotonic)
            self.found[action.key] = action
            return
        if record["record"] not in ("outcome", "interrupted"):
            return  # decisions, and what an operator does
        action = self.found[(record["intent_time"], record["pid_namespace"], record["connection"])]
        action.outcome = record["outcome"]
        action.end = self.to_monotonic(record["time"])
        action.records.append(record)

    def of(self, seen):
        """What was done to this connection, not to another one of that number."""
        return [action for action in self.actions()
                if (action.connection, action.directory_inode) == (seen.id, seen.directory_inode)]
