#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""`./dev chaos [SEED [TRIALS]]`: random situations, several at once, disturbed while one `defused run` may act on them.

No abort may hit a connection that somebody could answer or that somebody outside uses; what may be freed is freed; what
the audit log says of it is true. What is true is known from how a trial was made. The seed makes the same trials again;
what runs beside what, and when exactly, is the machine's."""
import argparse
import collections
import concurrent.futures
import os
import platform
import signal
import sys
import threading
import time

import situations
from chaos_judge import LABELS, WATCH, judge
from chaos_kinds import PLAIN
from chaos_trials import MIN_STUCK, Recipe, Stopped, draw, run_trial
from chaos_watch import Audit, SeenConnection, Watch
from daemon import SLOW, Daemon, mount_fusectl, wait_until
from lab import connections
from stage import Stage

DIES_WITH_US = ["setpriv", "--pdeathsig", "TERM"]


def settings(subtype):
    """Everything as fast as may be configured, but for what stands in the way of many aborts."""
    return {
        "mode": "enforce",
        "interval": "500ms",
        "detect": {"stuck_after": "1s"},
        "audit": {"max_bytes": "1GiB"},
        "remedy": {"min_stuck": f"{MIN_STUCK}s", "watch": f"{WATCH}s", "cooldown": "1s", "max_aborts": 1000,
                   "max_aborts_window": "1m", "breaker_failures": 100, "allow": {"fstypes": [f"fuse.{subtype}"]}},
    }


class World:
    """What all trials share."""

    def __init__(self, seed, trials, first=0, together=5):
        self.seed = seed
        self.recipes = [draw(seed, number) for number in range(first, first + trials)]
        self.together = together
        self.subtype = f"defusedlab-chaos-{os.getpid()}"
        self.stopped = threading.Event()
        self.known = []  # every connection that was made
        self.again = 0
        self.bad = {}  # trial: its faults
        self.skipped = collections.Counter()
        self.done = collections.Counter()
        self.watch = self.audit = self.daemon = None
        self.finished = threading.Event()
        self.actions = []
        self.killed = []  # when a prober was killed
        self.freed = []  # seconds until a deadlock was gone, from when it could be freed
        self.reads = 0
        self.seconds = 0.0

    # ---- a neighbour for the whole time

    def read_beside(self, stage):
        """A healthy connection that is read from all the time."""
        stage.subtype = self.subtype
        server, reader = stage.spawn(), stage.spawn()
        connection = server.fuse("healthy")
        self.known.append(SeenConnection(connection))
        file = reader.open(connection.file(), "direct")
        while not self.stopped.wait(0.2):
            if reader.do("read", file) <= 0:
                raise AssertionError("a read on the healthy connection was lost")
            self.reads += 1
            if self.finished.is_set():
                break

    # ---- running

    def one(self, recipe):
        if self.stopped.is_set():
            return
        try:
            faults = run_trial(self, recipe, judge)
        except Stopped:
            return
        except situations.unittest.SkipTest as reason:
            self.skipped[f"{recipe.kind.name}: {reason}"] += 1
            return
        except Exception as error:  # pylint: disable=W0718  # of the harness: the trial counts as bad
            faults = [f"the harness: {type(error).__name__}: {error}"]
        if recipe.number >= 0:
            self.done[recipe.kind.name] += 1
        if faults:
            self.bad[recipe.number] = faults[:-1] or faults
            again = f"python3 tests/lab/chaos.py --seed {recipe.seed} --first {recipe.number} --trials 1"
            print(f"trial {recipe.number}: {recipe.text()}: " + "\n  ".join(faults) + f"\n  again: {again}", flush=True)

    def ask(self):
        """Plain deadlocks after the last trial has begun, until all have ended: the daemon has something new to look at."""
        number = 0
        while not self.finished.is_set() and not self.stopped.is_set():
            number -= 1
            self.one(Recipe(self.seed, number, PLAIN))

    def play(self):
        """All trials; whatever happens, their stages clean up."""
        mount_fusectl()
        began = time.monotonic()
        daemon = Daemon(wrapper=DIES_WITH_US, **settings(self.subtype))
        with Watch() as self.watch, daemon as self.daemon, Stage(seconds=3600) as beside:
            self.audit = Audit(os.path.join(self.daemon.directory, "state", "audit.jsonl"))
            with concurrent.futures.ThreadPoolExecutor(self.together + 1) as pool:
                try:
                    neighbour = pool.submit(self.read_beside, beside)
                    trials = [pool.submit(self.one, recipe) for recipe in self.recipes]
                    asking = pool.submit(self.ask)
                    for trial in trials:
                        trial.result()
                    self.finished.set()
                    asking.result()
                    neighbour.result()
                finally:
                    self.stopped.set()
            self.check_all()
        self.seconds = time.monotonic() - began

    def check_all(self):
        """Nothing was done to a connection that is not ours, and all that was begun has an end."""
        known = {(seen.id, seen.directory_inode) for seen in self.known}
        for action in self.audit.actions():
            if (action.connection, action.directory_inode) not in known:
                self.bad.setdefault("foreign", []).append(f"WRONG ABORT of a connection of nobody here: {action.intent}")
            if not action.outcome:
                self.bad.setdefault("open", []).append(f"an intent without outcome: {action.intent}")
        self.actions = self.audit.actions()

    # ---- telling

    def count(self, text):
        """Trials of which this was said."""
        return sum(any(text in fault for fault in faults) for faults in self.bad.values())

    def figures(self):
        acts = collections.Counter(act.name for recipe in self.recipes for act in recipe.acts)
        labels = collections.Counter(action.outcome for action in self.actions)
        rows = [("seed", self.seed), ("trials", sum(self.done.values())), ("at once", self.together),
                ("kinds", len(self.done)), ("made again", self.again),
                ("aborts", sum(action.wrote() for action in self.actions)),
                ("wrong aborts", self.count("WRONG ABORT")),
                ("deadlocks left", self.count("DEADLOCK")),
                ("longest until one was freed", f"{max(self.freed, default=0):.1f} s"),
                *((f"outcome {label}", labels.pop(label, 0)) for label in LABELS), *labels.items(),
                ("false labels", self.count("FALSE LABEL")), ("trials that went wrong", len(self.bad)),
                ("disturbed by", ", ".join(f"{name} {number}" for name, number in sorted(acts.items()))),
                ("reads of the neighbour", self.reads),
                ("longest time between two looks", f"{self.watch.longest:.2f} s"),
                ("minutes", f"{self.seconds / 60:.1f}"), ("kernel", platform.release())]
        rows += [("skipped", reason) for reason in self.skipped]
        return "\n".join(f"{name:32} {value}" for name, value in rows)


def interrupt(*_):
    raise KeyboardInterrupt


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--first", type=int, default=0, help="number of the first trial")
    parser.add_argument("--together", type=int, default=5, help="so many at once")
    parser.add_argument("--list", action="store_true", help="only say what would be done")
    options = parser.parse_args()
    world = World(options.seed, options.trials, options.first, options.together)
    print(f"seed {options.seed}", flush=True)
    if options.list:
        print("\n".join(f"{recipe.number}: {recipe.text()}" for recipe in world.recipes))
        return 0
    signal.signal(signal.SIGTERM, interrupt)
    before = connections()
    try:
        world.play()
    except KeyboardInterrupt:
        print("interrupted", flush=True)
        return 130
    print(world.figures())
    wait_until(lambda: connections() <= before, 10, "its connections to be gone")
    return 1 if world.bad else 0


if __name__ == "__main__":
    sys.exit(main())
