# SPDX-License-Identifier: Apache-2.0
"""The cases in which the commands of runbooks are typed on this host: real situations beside a real daemon, most of them
those that make the alert fire (alert_situations.py)."""
import os
import re
import subprocess
from dataclasses import dataclass

import alert_situations as alerts
import situations as lab_situations
from alert_situations import SITUATIONS
from daemon import wait_until
from lab import FUSECTL


class WaitsForItsParent(alerts.StagedNamespace):
    """A container is killed with a process in it that was put there from outside, by a parent that does not take it away"""

    def make(self):
        self.made = self.stage_it(lab_situations.unreaped_child)


class HeldByTwo(alerts.StagedNamespace):
    """A container is killed while it waits for a server that does not answer, and whose child has its /dev/fuse too"""

    def make(self):
        def held(stage):
            server = stage.spawn()
            connection = server.fuse("a")
            server.spawn("keep")
            connection.mute("flush")
            init, client = stage.container()
            client.open(connection.file())
            lab_situations.spring(init, client)
            return lab_situations.Truth(init=init, connections=[connection])

        self.stage_it(held)


class HangsItself(alerts.Situation):
    """A reader waits for a FUSE server that runs and does not answer"""

    def make(self):
        connection = lab_situations.busy_server(self.stage())
        self.tell(connection)
        self.labels = {"connection": str(connection.id)}
        self.run()


class FailsTwice(alerts.Situation):
    """An abort file cannot be written, twice; then the container is freed by other means"""

    def make(self):
        deadlock = self.lab("flush_thread", fstype="failstwice")
        self.run(["fuse.failstwice"], wrapper=["unshare", "--mount", "--propagation", "private"])
        self.command("pause", "until nothing can be written")
        self.wait("defused_inhibited", 1)
        self.daemon.write_config({**self.daemon.settings, "mode": "enforce", "remedy": {**self.daemon.settings["remedy"], "cooldown": "0s"}})
        prober = self.daemon.child("defused-prober")
        self.daemon.process.send_signal(1)
        prober = wait_until(lambda: self.daemon.child("defused-prober", besides=prober), 10, "a prober that may act")
        wait_until(lambda: self.daemon.metric('defused_remediation_mode{mode="enforce"}') == 1, 10, self.daemon.log())
        subprocess.run(["nsenter", "-t", str(self.daemon.supervisor()), "-m", "mount", "-o", "remount,bind,ro", FUSECTL],
                       check=True, timeout=10)
        wait_until(lambda: self.daemon.child("defused-prober", besides=prober), 10, "one that sees that")
        self.command("resume")
        self.wait('defused_breaker_open{cause="failed_outcomes"}', 1)
        deadlock.close()


def has(name, *labels):
    """Whether a series of that name, with all of these labels, is above 0."""
    def holds(metrics):
        return any(value > 0 and key.partition("{")[0] == name and all(label in key for label in labels)
                   for key, value in metrics.items())
    return holds


DEADLOCKED = has("defused_stuck_pid_namespaces", 'verdict="deadlocked"')
WAITING = has("defused_stuck_pid_namespaces", 'verdict="waiting_on_live_server"')
STALLED = has("defused_fuse_connection_stalled_since_timestamp_seconds")
NOT_FUSE = has("defused_stuck_pid_namespaces", 'verdict="not_fuse"')
FDINFO = "the kernel is Linux 6.16 or newer"  # there fdinfo names the connection of a descriptor
KERNEL = tuple(map(int, re.findall(r"\d+", os.uname().release)[:2]))


@dataclass
class Case:
    """`situation` is a class of situations, or what a Service makes. `stands`: whether it is so, by the daemon's metrics. It
    is when the commands begin and, if `ends`, not at their end."""
    page: str
    situation: object
    stands: object = None
    ends: bool = True
    cases: tuple = ()

    def here(self):
        """The cases without those that this kernel does not have."""
        return [case for case in self.cases if not case.endswith(FDINFO) or KERNEL >= (6, 16)]


HOST = [
    Case("DefusedContainerCannotDie", SITUATIONS["DefusedContainerCannotDie"], DEADLOCKED,
         cases=("`explain` says `inferred`",)),  # here it is proven, and the commands find the same
    Case("DefusedContainerWaitsForLiveServer", SITUATIONS["DefusedContainerWaitsForLiveServer"], WAITING, cases=(FDINFO,)),
    Case("DefusedContainerWaitsForLiveServer", HeldByTwo, WAITING, cases=(FDINFO,)),
    Case("DefusedContainerStuck", SITUATIONS["DefusedContainerStuck"], NOT_FUSE, cases=("it waits for a tracer (ptrace)",)),
    Case("DefusedContainerStuck", WaitsForItsParent, NOT_FUSE,
         cases=("it waits for its parent (unreaped_child)",)),
    Case("DefusedExitStuck", SITUATIONS["DefusedExitStuck"], has("defused_stuck_exits")),
    Case("DefusedConnectionStalled", SITUATIONS["DefusedConnectionStalled"], STALLED, cases=("the server was stopped",)),
    Case("DefusedConnectionStalled", HangsItself, STALLED, cases=("the server hangs itself", f"the server hangs itself, and {FDINFO}")),
    Case("DefusedConnectionOrphaned", SITUATIONS["DefusedConnectionOrphaned"], has("defused_fuse_orphaned_connections")),
    Case("DefusedRemediationFailed", SITUATIONS["DefusedRemediationFailed"], DEADLOCKED),
    Case("DefusedBreakerOpen", SITUATIONS["DefusedBreakerOpen"], has("defused_breaker_open"),
         cases=("the cause is ledger_lost",)),
    Case("DefusedBreakerOpen", FailsTwice, has("defused_breaker_open")),
    Case("DefusedInhibitedTooLong", SITUATIONS["DefusedInhibitedTooLong"], has("defused_inhibited")),
    Case("DefusedBlind", SITUATIONS["DefusedBlind"], has("defused_blind", 'what="fusectl"')),
    Case("DefusedProbersLost", SITUATIONS["DefusedProbersLost"], has("defused_stuck_exits"), cases=(FDINFO,)),
    Case("DefusedScanStale", SITUATIONS["DefusedScanStale"], has("defused_blind", 'what="prober"'), ends=False,
         cases=("it runs and cannot look",)),
]
