# SPDX-License-Identifier: Apache-2.0
"""`FleetScene`: real `defused run` daemons that a real Prometheus scrapes as if each were a host of its own, first at rest, then
beside real deadlocks. What dashboards show is made here, and only here.

All daemons are on one kernel, so each sees all that is stuck. The names of pods and containers come from a small exporter of
this file: there is no Kubernetes here. Alerts have `for: 1s`, and ages that they wait for
are one second, whatever the shipped file says."""
import contextlib
import glob
import http.server
import os
import re
import secrets
import shutil
import signal
import socket
import sys
import tempfile
import threading
import uuid

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lab"))
import situations  # noqa: E402
from daemon import REPO, Daemon, mount_fusectl, read_text, wait_until  # noqa: E402
from lab import Lab  # noqa: E402
from real_prometheus import RealPrometheus  # noqa: E402
from remedy_lab import QUICK, REMEDY, defused, state_of  # noqa: E402
from stage import Stage  # noqa: E402

RULES = os.path.join(REPO, "config", "prometheus")
UNSEEN = ["unshare", "--mount", "--propagation", "private", "sh", "-c",
          'umount -l /sys/fs/fuse/connections 2>/dev/null; exec "$@"', "sh"]
SECONDS = 300  # the lab ends what it made after that, whatever became of the test


class PodCgroup:
    """A control group with the name that the kubelet gives one; who is started by `wrapper` lives in it."""

    def __init__(self):
        self.container_id = secrets.token_hex(32)
        self.pod_uid = str(uuid.uuid4())
        root = next((line.split()[4] for line in read_text("/proc/self/mountinfo").splitlines() if " - cgroup2 " in line), None)
        if root is None:
            raise AssertionError("no cgroup v2 hierarchy is mounted")
        slice_of_pod = f"{root}/kubepods-pod{self.pod_uid.replace('-', '_')}.slice"
        self.paths = [slice_of_pod, f"{slice_of_pod}/cri-containerd-{self.container_id}.scope"]
        self.id = self.paths[1][len(root):]
        self.wrapper = ["sh", "-c", f'echo $$ >{self.paths[1]}/cgroup.procs && exec "$@"', "sh"]

    def __enter__(self):
        for path in self.paths:
            os.mkdir(path)
        return self

    def __exit__(self, *_):
        for path in reversed(self.paths):
            wait_until(lambda: self.remove(path), 10, f"{path} to be empty")  # pylint: disable=W0640

    @staticmethod
    def remove(path):
        try:
            os.rmdir(path)
        except OSError:
            return False
        return True


class Names:
    """An exporter with the series of kube-state-metrics and of cAdvisor that the join rules want: the former knows both pods,
    the latter one of them."""

    def __init__(self, pod, unseen):
        text = (f'kube_pod_info{{namespace="shop",pod="cart-0",uid="{pod.pod_uid}",node="node-1"}} 1\n'
                f'kube_pod_info{{namespace="shop",pod="till-7",uid="{unseen.pod_uid}",node="node-1"}} 1\n'
                f'container_start_time_seconds{{id="/kubepods.slice{pod.id}",name="{pod.container_id}",image="registry/cart:1",'
                'namespace="shop",pod="cart-0",container="app"} 1700000000\n').encode()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):  # pylint: disable=C0103
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_):  # pylint: disable=W0221
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.target = f"127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


def silent_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class FleetScene:
    def __init__(self):
        self.stack = contextlib.ExitStack()
        self.daemons = {}
        self.prometheus = self.pod = self.unseen_pod = self.truth = self.unseen = None

    def __enter__(self):
        mount_fusectl()
        with contextlib.ExitStack() as undo:
            undo.callback(self.stack.close)
            self._start()
            undo.pop_all()
        return self

    def __exit__(self, *_):
        self.stack.close()

    def _start(self):
        enter = self.stack.enter_context
        self.pod, self.unseen_pod = enter(PodCgroup()), enter(PodCgroup())
        names = enter(Names(self.pod, self.unseen_pod))
        quick = {"detect": {"stuck_after": "1s"}}
        for name, settings in {
                "observes": quick,
                "enforces": {"mode": "enforce", "remedy": {**REMEDY, "max_aborts": 1, "allow": {"fstypes": ["fuse.freed"]}}, **QUICK},
                "decides": {"mode": "dry_run", "remedy": {**REMEDY, "allow": {"fstypes": ["fuse.wanted"]}}, **QUICK},
                "blind": {"wrapper": UNSEEN, **quick},
                "stale": {"mode": "enforce", "remedy": {"allow": {"fstypes": ["fuse.none"]}}, **quick}}.items():
            self.daemons[name] = enter(Daemon(**settings))
        targets = {name: daemon.address.partition("//")[2] for name, daemon in self.daemons.items()}
        targets["down"] = f"127.0.0.1:{silent_port()}"
        self.prometheus = enter(RealPrometheus([
            {"job_name": "defused", "static_configs": [
                {"targets": [target], "labels": {"instance": name, "cluster": "east" if name == "observes" else "west"}}
                for name, target in targets.items()]},
            {"job_name": "names", "honor_labels": True, "static_configs": [{"targets": [names.target]}]},
        ], self._rule_files()))
        wait_until(lambda: self.prometheus.value("count(defused_last_scan_timestamp_seconds)") == len(self.daemons), 30,
                   "a scrape of each daemon")
        wait_until(lambda: self.prometheus.value("min(count_over_time(defused_scans_total[1m]))") >= 6, 30, "samples to rate")

    def _rule_files(self):
        directory = tempfile.mkdtemp(prefix="defused-rules-")
        self.stack.callback(shutil.rmtree, directory)
        for path in glob.glob(os.path.join(RULES, "*.yml")):
            with open(path, encoding="utf-8") as source, \
                    open(os.path.join(directory, os.path.basename(path)), "w", encoding="utf-8") as copy:
                quick = re.sub(r"(?m)^( +for: )\S+$", r"\g<1>1s", source.read())
                copy.write(re.sub(r"(?m)> (?:300|900)$|(?<=\"deadlocked\"}\) )> 120$", "> 1", quick))
        return [os.path.join(directory, "*.yml")]

    def metric(self, name, key):
        return self.daemons[name].metric(key)

    def stuck(self, name):
        return sum(value for key, value in self.daemons[name].metrics().items() if key.startswith("defused_stuck_pid_namespaces{"))

    def wait(self, name, key, good):
        wait_until(lambda: good(self.metric(name, key) or 0), 30, f"{name}: {key}\n{self.daemons[name].log()}")

    def make_trouble(self):
        """A bit of everything; it stands until the scene ends, but for the one that is freed."""
        enter = self.stack.enter_context
        self.truth = enter(Lab("flush_thread", wrapper=self.pod.wrapper, fstype="wanted", source="s3://team", seconds=SECONDS)).truth
        self.unseen = enter(Lab("flush_thread", wrapper=self.unseen_pod.wrapper, fstype="unseen", seconds=SECONDS)).truth
        for make in (situations.slow_server, situations.unreaped_child, situations.on_the_host, situations.stalled_server,
                     situations.detached, situations.killed_reader):
            make(enter(Stage(SECONDS)))
        freed = enter(Lab("flush_thread", fstype="freed", seconds=SECONDS))
        self.wait("enforces", 'defused_aborts_total{outcome="released"}', lambda value: value == 1)
        freed.close()
        self.wait("decides", 'defused_decisions_total{action="abort"}', lambda value: value >= 1)
        self.wait("observes", "defused_fuse_orphaned_connections", lambda value: value == 1)
        for name in ("observes", "enforces", "decides"):
            wait_until(lambda: self.stuck(name) == 6, 20, f"{name}: all that is stuck")  # pylint: disable=W0640
        self._operate()
        wait_until(lambda: self.prometheus.value('count(count by (reason) (defused_holds{instance="observes"}))') or 0, 20, "holds")
        wait_until(lambda: self.prometheus.query('ALERTS{alertname="DefusedContainerCannotDie",alertstate="firing"}'), 30,
                   "an alert")

    def _operate(self):
        """What an operator does, or finds: a prober that was killed, a pause, a ledger that cannot be read, a daemon that stands."""
        prober = self.daemons["observes"].child("defused-prober")
        os.kill(prober, signal.SIGKILL)
        code, text, errors = defused(self.daemons["decides"], "pause", "a test")
        assert code == 0, text + errors
        with open(state_of(self.daemons["stale"], "ledger.json"), "w", encoding="utf-8") as file:
            file.write('{"schema": "defused.ledger/v1", "entries": []}\ncrc32 00000000\n')
        self.wait("stale", 'defused_breaker_open{cause="ledger_lost"}', lambda value: value == 1)
        stopped = self.daemons["stale"].supervisor()
        self.stack.callback(os.kill, stopped, signal.SIGCONT)
        os.kill(stopped, signal.SIGSTOP)
        self.wait("decides", "defused_inhibited", lambda value: value == 1)
        wait_until(lambda: self.daemons["observes"].child("defused-prober") not in (None, prober), 20, "another prober")
        wait_until(lambda: (self.prometheus.value('changes(defused_process_start_time_seconds{instance="observes",process="prober"}[1m])')
                            or 0) >= 1, 20, "its start to be scraped")
        wait_until(lambda: (self.prometheus.value('time() - defused_last_scan_timestamp_seconds{instance="stale"}') or 0) > 8, 30,
                   "a pass of long ago")
