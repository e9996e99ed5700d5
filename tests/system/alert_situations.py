# SPDX-License-Identifier: Apache-2.0
"""The real situation behind each alert of config/prometheus/defused.alerts.yml: a deadlock, a server that does not answer, a
daemon that is paused, blind, caught or gone. Nothing here writes a metric.

    with SITUATIONS["DefusedContainerCannotDie"]() as situation:
        ...                     # the alert fires with situation.labels once Prometheus scrapes situation.targets
        situation.resolve()     # and ends

What is left when the context ends is ended by it. Several may stand at once: each acts only on file systems of its own type."""
import contextlib
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lab"))
import situations as lab_situations  # noqa: E402
from ambush import Ambush  # noqa: E402
from daemon import SLOW, Daemon, mount_fusectl, read_text, wait_until  # noqa: E402
from lab import FUSECTL, Lab  # noqa: E402
from remedy_lab import QUICK, REMEDY, defused, state_of  # noqa: E402
from stage import Stage  # noqa: E402

SECONDS = 600  # after that the lab ends what it made, whatever became of the test
UNSEEN = ["unshare", "--mount", "--propagation", "private", "sh", "-c",
          'umount -l /sys/fs/fuse/connections 2>/dev/null; exec "$@"', "sh"]


class Situation:
    """What stands within the context; its docstring and `ends` are its line in docs/ALERTS.md. `labels` are those that the
    alert must have; `truth` is what was made, as `defused-lab` tells it (connection, pid_namespace, init); `targets` are the
    addresses that Prometheus has to scrape."""

    ends = ""  # what resolve() does
    remedy = {}  # settings of the daemon below `remedy`

    def __init__(self):
        self.stack = contextlib.ExitStack()
        self.directory = None
        self.daemon = None
        self.labels = {}
        self.truth = None

    def __enter__(self):
        mount_fusectl()
        with contextlib.ExitStack() as undo:
            undo.callback(self.stack.close)
            self.directory = tempfile.mkdtemp(prefix="defused-alert-")
            self.stack.callback(shutil.rmtree, self.directory, ignore_errors=True)
            self.make()
            undo.pop_all()
        return self

    def __exit__(self, *_):
        self.stack.close()

    @property
    def targets(self):
        return [self.daemon.address.partition("//")[2]] if self.daemon else []

    def run(self, fstypes=(), wrapper=(), arguments=(), **settings):
        """A daemon with small times. It may abort only file systems of these types."""
        settings = {**QUICK, "remedy": {**REMEDY, "allow": {"fstypes": list(fstypes)}, **self.remedy}, **settings}
        self.daemon = self.stack.enter_context(
            Daemon(directory=self.directory, wrapper=wrapper, arguments=arguments, **settings))
        self.labels = {"job": "defused", "instance": self.targets[0], **self.labels}

    def lab(self, form, **options):
        """A situation of defused-lab; it is the truth."""
        made = self.stack.enter_context(Lab(form, seconds=SECONDS, **options))
        self.truth = made.truth
        return made

    def stage(self):
        return self.stack.enter_context(Stage(SECONDS))

    def tell(self, connection, init=None):
        """The truth of what was made on a stage."""
        self.truth = {"connection": connection and connection.id, "pid_namespace": init and init.pid_namespace,
                      "init": init and {"pid": init.pid}}

    def command(self, *words):
        """A command of an operator, which must succeed."""
        code, text, errors = defused(self.daemon, *words)
        if code != 0:
            raise AssertionError(f"defused {' '.join(words)}: {code}: {text}{errors}")

    def wait(self, key, value):
        wait_until(lambda: self.daemon.metric(key) == value, 20, f"{key} {value}\n{self.daemon.log()}")

    def make(self):
        raise NotImplementedError

    def resolve(self):
        raise NotImplementedError


class ContainerCgroup:
    """A cgroup with the name that Docker gives one by systemd; who is started by `wrapper` lives in it."""

    def __init__(self):
        self.id = secrets.token_hex(32)
        mounts = [line.split() for line in read_text("/proc/self/mountinfo").splitlines() if " - cgroup2 " in line]
        if not mounts:
            raise AssertionError("no cgroup v2 hierarchy is mounted")
        self.path = f"{mounts[0][4]}/docker-{self.id}.scope"
        self.wrapper = ["sh", "-c", f'echo $$ >{self.path}/cgroup.procs && exec "$@"', "sh"]

    def __enter__(self):
        os.mkdir(self.path)
        return self

    def __exit__(self, *_):
        wait_until(self._removed, 10, f"{self.path} to be empty")

    def _removed(self):
        try:
            os.rmdir(self.path)
        except OSError:
            return False
        return True


class ContainerCannotDie(Situation):
    """A container whose FUSE server holds a file of its own mount is killed"""

    ends = "`defused abort N --yes`"

    def make(self):
        container = self.stack.enter_context(ContainerCgroup())
        self.lab("flush_thread", wrapper=container.wrapper, fstype="cannotdie", source="s3://team-data")
        self.labels = {"severity": "critical", "connection": str(self.truth["connection"]), "container_id": container.id,
                       "pid_namespace": str(self.truth["pid_namespace"]), "runtime": "docker"}
        self.run(["fuse.cannotdie"])

    def resolve(self):
        self.command("abort", str(self.truth["connection"]), "--yes")


class StagedNamespace(Situation):
    """A dying namespace made of actors; `make_truth` of the stage gives what is true of it."""

    def stage_it(self, make_truth):
        truth = make_truth(self.stage())
        self.tell(truth.connections[0] if truth.connections else None, truth.init)
        self.labels = {"severity": "warning", "pid_namespace": str(truth.init.pid_namespace)}
        self.run()
        return truth


class ContainerWaitsForLiveServer(StagedNamespace):
    """A container is killed while it waits for a server outside that is alive and does not answer"""

    ends = "the server answers"

    def make(self):
        self.made = self.stage_it(lab_situations.slow_server)
        self.labels["connection"] = str(self.truth["connection"])

    def resolve(self):
        self.made.release()


class ContainerStuck(StagedNamespace):
    """A container is killed in which a process is held by a debugger that does not look"""

    ends = "the debugger is killed"

    def make(self):
        def traced(stage):
            init, child = stage.container()
            self.tracer = stage.spawn()
            self.tracer.do("trace", child.pid, "exit")
            lab_situations.spring(init, child, symbols=("ptrace_stop",))
            return lab_situations.Truth(init=init)

        self.stage_it(traced)

    def resolve(self):
        self.tracer.kill()


class ExitStuck(Situation):
    """A process of the host is killed that serves a FUSE mount and holds a file of it"""

    ends = "its connection is aborted by hand, `echo 1 > /sys/fs/fuse/connections/N/abort`"

    def make(self):
        made = lab_situations.on_the_host(self.stage())
        self.tell(made.connections[0])
        self.truth["init"] = {"pid": made.stuck_exit.pid}
        self.labels = {"severity": "warning"}
        self.run()

    def resolve(self):
        abort_by_hand(self.truth["connection"])


class ConnectionStalled(Situation):
    """A reader waits for a FUSE server that was stopped (SIGSTOP)"""

    ends = "the server goes on (SIGCONT)"

    def make(self):
        stage = self.stage()
        self.server = stage.spawn()
        connection = self.server.fuse("a")
        reader = stage.spawn()
        file = reader.open(connection.file(), "direct")
        self.server.kill(signal.SIGSTOP)
        wait_until(lambda: self.server.stacks().replace("State:\tT", "").count("State:") == 0, 10, "a stopped server")
        reader.do("later", "read", file)
        reader.wait_in("fuse_")
        self.tell(connection)
        self.labels = {"severity": "warning", "connection": str(connection.id), "fstype": "fuse.defusedlab"}
        self.run()

    def resolve(self):
        self.server.kill(signal.SIGCONT)


class ConnectionOrphaned(Situation):
    """A FUSE server dies with its container, and its mount was detached lazily (umount -l) before"""

    ends = "its connection is aborted by hand"

    def make(self):
        init, server = self.stage().container()
        connection = server.fuse("a")
        server.open(connection.file())
        server.do("detach", connection.path)
        lab_situations.spring(init, server)
        self.tell(connection, init)
        self.labels = {"severity": "warning"}
        self.run()

    def resolve(self):
        abort_by_hand(self.truth["connection"])


class RemediationFailed(Situation):
    """The prober is killed at the moment in which it writes an abort"""

    ends = "time: an hour after it"

    fstype = "failing"  # no other daemon here may abort it

    def make(self):
        self.deadlock = self.lab("flush_thread", fstype=self.fstype)
        self.labels = {"severity": "warning", "outcome": "interrupted"}
        os.mkdir(os.path.join(self.directory, "state"), 0o700)
        with open(os.path.join(self.directory, "state", "inhibit"), "w", encoding="utf-8") as file:
            file.write("until the ambush stands\n")
        self.run([f"fuse.{self.fstype}"], mode="enforce")
        self.wait("defused_inhibited", 1)
        prober = self.daemon.child("defused-prober")
        ambush = Ambush(prober, "-", "write", seconds=30, kill=[prober])
        self.command("resume")
        ambush.sprung()
        self.wait('defused_aborts_total{outcome="interrupted"}', 1)

    def resolve(self):
        self.deadlock.close()


class BreakerOpen(Situation):
    """The ledger of what was done is damaged on disk"""

    ends = "`defused resume --reset-breaker`"

    def make(self):
        self.labels = {"severity": "warning", "cause": "ledger_lost"}
        self.run(mode="enforce")
        with open(state_of(self.daemon, "ledger.json"), "w", encoding="utf-8") as file:
            file.write('{"schema": "defused.ledger/v1", "entries": []}\ncrc32 00000000\n')
        self.wait('defused_breaker_open{cause="ledger_lost"}', 1)

    def resolve(self):
        self.command("resume", "--reset-breaker")


class BreakerOpenByFailures(RemediationFailed):
    """As many actions in a row have failed as `breaker_failures` allows"""

    ends = "`defused resume --reset-breaker`"

    fstype = "failingagain"
    remedy = {"breaker_failures": 1}

    def make(self):
        super().make()
        del self.labels["outcome"]
        self.labels["cause"] = "failed_outcomes"
        self.wait('defused_breaker_open{cause="failed_outcomes"}', 1)

    def resolve(self):
        super().resolve()
        self.command("resume", "--reset-breaker")


class InhibitedTooLong(Situation):
    """Somebody types `defused pause` and forgets it"""

    ends = "`defused resume`"

    def make(self):
        self.labels = {"severity": "warning"}
        self.run(mode="enforce")
        self.command("pause", "kernel upgrade")
        self.wait("defused_inhibited", 1)

    def resolve(self):
        self.command("resume")


class Blind(Situation):
    """The daemon runs where fusectl is not mounted"""

    ends = "fusectl is mounted there"

    def make(self):
        self.labels = {"severity": "warning", "what": "fusectl"}
        self.run(wrapper=UNSEEN)
        self.wait('defused_blind{what="fusectl"}', 1)

    def resolve(self):
        subprocess.run(["nsenter", "-t", str(self.daemon.supervisor()), "-m", "mount", "-t", "fusectl", "fusectl", FUSECTL],
                       check=True, timeout=10)


class ProbersLost(Situation):
    """A prober is led into a file whose server never answers, and cannot be killed"""

    ends = "time: an hour after it"

    max_lost = 8

    def make(self):
        self.pit = self.lab("tar_pit", fstype="pit")
        self.truth = None
        self.labels = {"severity": "warning"}
        self.run(pass_deadline="1s" if SLOW == 1 else "3s", max_lost_probers=self.max_lost)
        Ambush(self.daemon.child("defused-prober"), self.pit.truth["swallow"], "processes").caught()
        self.wait("defused_probers_lost_total", 1)

    def resolve(self):
        self.pit.close()


class ScanStale(ProbersLost):
    """No prober is left that could look: as many as `max_lost_probers` allows cannot be killed"""

    ends = "the server of that file is killed"

    max_lost = 1


class ExporterDown(Situation):
    """The daemon has ended"""

    ends = "the daemon is started again"

    def make(self):
        self.labels = {"severity": "warning"}
        self.run()
        self.address = self.targets[0]
        self.stop()

    def stop(self):
        self.daemon.process.send_signal(signal.SIGTERM)
        self.daemon.process.wait(10 * SLOW)

    @property
    def targets(self):
        return [re.sub("^http://", "", self.daemon.address)]

    def resolve(self):
        self.run(web={"listen_addresses": [self.address]})


class Absent(Situation):
    """Prometheus has no target that is defused"""

    ends = "a daemon is among the targets"

    def make(self):
        self.labels = {"severity": "warning"}

    def resolve(self):
        """Now there is one: `targets` is no longer empty."""
        self.run()


def abort_by_hand(connection):
    """Of a connection that a situation has made, where `defused abort` rightly holds."""
    with open(f"{FUSECTL}/{connection}/abort", "w", encoding="ascii") as file:
        file.write("1")


SITUATIONS = {"Defused" + one.__name__: one for one in (
    ContainerCannotDie, ContainerWaitsForLiveServer, ContainerStuck, ExitStuck, ConnectionStalled, ConnectionOrphaned,
    RemediationFailed, BreakerOpen, InhibitedTooLong, Blind, ProbersLost, ScanStale, ExporterDown, Absent)}
