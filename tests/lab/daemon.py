# SPDX-License-Identifier: Apache-2.0
"""Runs the real binary for tests: `Daemon` is `defused run` with a configuration of its own, `scan()` one diagnosis.

Every wait has a deadline. A daemon that a test leaves behind is killed by PID, with its children, when the context ends.
"""
import base64
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

from report_schema import check_report

REPO = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
BUILD = os.environ.get("DEFUSED_BUILD", os.path.join(REPO, "build"))
DEFUSED = os.path.join(BUILD, "defused")
# Sanitizers make everything slower; deadlines of tests, not promises of the product.
SLOW = 4 if os.environ.get("DEFUSED_SLOW") else 1


def wait_until(predicate, seconds, what):
    """Polls `predicate` until it is true and returns its value; AssertionError with `what` after `seconds`."""
    deadline = time.monotonic() + seconds * SLOW
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds * SLOW} s: {what}")
        time.sleep(0.02)


def scan(*arguments, timeout=20):
    """`defused scan --json ...` as (exit code, report, stderr)."""
    done = subprocess.run([DEFUSED, "scan", "--json", *arguments], capture_output=True, timeout=timeout * SLOW, check=False)
    return done.returncode, check_report(done.stdout) if done.stdout else None, done.stderr.decode()


def mount_fusectl():
    """The tests look at the kernel's own count beside the daemon; mounting fusectl changes nothing else."""
    if not os.path.ismount("/sys/fs/fuse/connections"):
        subprocess.run(["mount", "-t", "fusectl", "fusectl", "/sys/fs/fuse/connections"], check=True, timeout=10)


def read_text(path):
    """The text of a /proc file, or "" where it is gone or has none any more."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except OSError:  # gone; or EINVAL, the mountinfo of a zombie
        return ""


def free_port():
    """Of 127.0.0.1, for a server that cannot be told to take any."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def end_process(process):
    """A child that may be asked to end, and is killed if it does not."""
    process.terminate()
    try:
        process.wait(10 * SLOW)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(5)


def children_of(pid):
    """PIDs of the living children of `pid`, from `status` files (never `ps`, which hangs on what the lab makes)."""
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        text = read_text(f"/proc/{name}/status")
        if re.search(rf"^PPid:\t{pid}$", text, re.M) and not re.search(r"^State:\t[ZX]", text, re.M):
            found.append(int(name))
    return found


def parse_metrics(text):
    """Prometheus text as {name{labels}: value}."""
    values = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            key, _, value = line.rpartition(" ")
            values[key] = float(value)
    return values


class Daemon:
    """`defused run` on a free port of 127.0.0.1, with state below a temporary directory."""

    def __init__(self, wrapper=(), directory=None, expect_ready=True, arguments=(), tls=None, login=None, **settings):
        """`arguments` of `defused run`; `tls`: an ssl.SSLContext and `login`: "name:password" for get()."""
        self.expect_ready = expect_ready
        self.tls = tls
        self.login = login
        self.owns_directory = directory is None
        self.directory = directory or tempfile.mkdtemp(prefix="defused-test-")
        self.config = os.path.join(self.directory, "defused.json")
        self.settings = {
            "interval": "1s",
            "state_directory": os.path.join(self.directory, "state"),
            "runtime_directory": os.path.join(self.directory, "run"),
            "web": {"listen_addresses": ["127.0.0.1:0"]},
        }
        self.settings.update(settings)
        self.write_config(self.settings)
        self.log_path = os.path.join(self.directory, f"log.{time.monotonic_ns()}")
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                [*wrapper, DEFUSED, "run", "--config", self.config, *arguments], stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        self.address = None

    def write_config(self, settings):
        with open(self.config, "w", encoding="utf-8") as file:
            json.dump(settings, file)

    def __enter__(self):
        try:
            self.address = wait_until(self._find_address, 15, f"the daemon's address in its log:\n{self.log()}")
            page = "/-/ready" if self.expect_ready else "/-/healthy"
            wait_until(lambda: self.get(page)[0] == 200, 15, page)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, *_):
        supervisor = self.supervisor() if self.process.poll() is None else None
        if supervisor:
            # Not the wrapper: strace would let go of the daemon and leave it running.
            os.kill(supervisor, signal.SIGTERM)
            try:
                self.process.wait(10 * SLOW)
            except subprocess.TimeoutExpired:
                os.kill(supervisor, signal.SIGKILL)
                self.process.kill()
                self.process.wait(5)
        if self.owns_directory:
            shutil.rmtree(self.directory, ignore_errors=True)

    def _find_address(self):
        if self.process.poll() is not None:
            raise AssertionError(f"the daemon ended with {self.process.returncode}:\n{self.log()}")
        return next(iter(self.addresses()), None)

    def addresses(self):
        """Every URL that the log says is listened on, oldest first."""
        return re.findall(r"listening on (https?://[^\s\"/]+)/?", self.log())

    def log(self):
        return read_text(self.log_path)

    def get(self, path, timeout=5):
        """(status, text, headers) of a GET; (0, "", {}) where nobody answers. A report has to fit its schema."""
        request = urllib.request.Request(self.address + path)
        if self.login:
            request.add_header("Authorization", "Basic " + base64.b64encode(self.login.encode()).decode())
        try:
            with urllib.request.urlopen(request, timeout=timeout, context=self.tls) as answer:
                text = answer.read().decode()
            if path == "/api/v1/report":
                check_report(text)
            return answer.status, text, dict(answer.headers)
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode(), dict(error.headers)
        except (urllib.error.URLError, ConnectionError, TimeoutError, OSError):
            return 0, "", {}

    def metrics(self):
        return parse_metrics(self.get("/metrics")[1])

    def metric(self, key):
        """A value by name and labels, None where there is none."""
        return self.metrics().get(key)

    def supervisor(self):
        """PID of the supervisor: the process itself, or the one below a wrapper such as strace."""
        pid = self.process.pid
        if read_text(f"/proc/{pid}/comm").strip() == "defused":
            return pid
        return next(iter(children_of(pid)), pid)

    def child(self, comm, besides=()):
        """PID of the prober or the front, by its name, not among `besides`; None while there is none."""
        besides = (besides,) if isinstance(besides, int) else besides
        for pid in children_of(self.supervisor()):
            if pid not in besides and read_text(f"/proc/{pid}/comm").strip() == comm:
                return pid
        return None
