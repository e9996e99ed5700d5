#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""`./dev demo`: makes the real deadlock, shows that it cannot be killed, and lets defused find and free it.

defused runs in enforce mode here, allowed to touch nothing but the file-system type of the lab. Leaves nothing behind.
"""
import os
import re
import signal
import sys
import time

from daemon import Daemon, read_text, wait_until
from lab import Lab

FSTYPE = "defusedlab"
STUCK = 'defused_stuck_pid_namespaces{wait_class="fuse_flush",verdict="deadlocked"}'


def say(text=""):
    print(text, flush=True)


def show_metrics(title, daemon):
    say(f"    metrics {title}:")
    text = daemon.get("/metrics")[1]
    wanted = ("defused_stuck_pid_namespaces", "defused_stuck_pid_namespace_info", "defused_dying_pid_namespaces",
              "defused_fuse_connections", "defused_fuse_waiting_requests", 'defused_aborts_total{outcome="released"}')
    for line in text.splitlines():
        if line.startswith(tuple(name + end for name in wanted for end in ("{", " ", ""))) and not line.startswith("#"):
            say(f"      {line}")


def state_of(pid, tid=None):
    path = f"/proc/{pid}/status" if tid is None else f"/proc/{pid}/task/{tid}/status"
    found = re.search(r"^State:\t(.*)$", read_text(path), re.M)
    return found.group(1) if found else "gone"


def show_deadlock(truth):
    pid, tid = truth["blocked"]["pid"], truth["blocked"]["tid"]
    init = truth["init"]["pid"]
    say(f"    init of the namespace   {init:>8}  {state_of(init)}")
    say(f"    its child, the server   {pid:>8}  {state_of(pid)}")
    say(f"    the thread that waits   {tid:>8}  {state_of(pid, tid)}")
    say("    its kernel stack:")
    for line in read_text(f"/proc/{pid}/task/{tid}/stack").splitlines()[:6]:
        say(f"      {line}")
    for victim in (init, pid):
        os.kill(victim, signal.SIGKILL)
    time.sleep(1)
    say(f"    a second after kill -9 of both: {state_of(init)} / {state_of(pid, tid)}")


def main():
    begin = time.monotonic()
    say("1. A FUSE server with a file of its own open, in a PID namespace whose init is killed:")
    with Lab("flush_thread", fstype=FSTYPE, seconds=50) as lab:
        truth = lab.truth
        show_deadlock(truth)
        say()
        say(f"2. defused, in enforce mode, allowed to touch file systems of type fuse.{FSTYPE} only, min_stuck 5 s:")
        settings = {"detect": {"stuck_after": "2s"}, "remedy": {"min_stuck": "5s", "allow": {"fstypes": [f"fuse.{FSTYPE}"]}}}
        with Daemon(mode="enforce", **settings) as daemon:
            wait_until(lambda: daemon.metric(STUCK) == 1, 10, "defused to find it")
            show_metrics("before", daemon)
            wait_until(lambda: state_of(truth["init"]["pid"]) in ("gone", "Z (zombie)"), 15, f"the release\n{daemon.log()}")
            wait_until(lambda: daemon.metric(STUCK) is None, 5, "the series to vanish")
            say()
            say(f"3. Freed: init {state_of(truth['init']['pid'])}, the blocked thread "
                f"{state_of(truth['blocked']['pid'], truth['blocked']['tid'])}")
            show_metrics("after", daemon)
            say("    what defused said:")
            for line in daemon.log().splitlines():
                if "PID namespace" in line:
                    say(f"      {line}")
    say()
    say(f"{time.monotonic() - begin:.0f} seconds in all; nothing is left behind.")


if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    main()
