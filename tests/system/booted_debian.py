# SPDX-License-Identifier: Apache-2.0
"""`BootedDebian(root)`: a Debian root booted by systemd-nspawn: a real system manager, with its own processes, mounts,
cgroups and loopback, on a machine that itself need not run systemd.

Every wait has a deadline. Whatever is wedged inside is freed by aborting its own FUSE connection before the container is
ended, since a container with such a process cannot end. FUSE connections, CPUs and the kernel's settings are shared with
the host: fusectl inside shows the host's connections too.
"""
import os
import pathlib
import re
import signal
import subprocess
import tempfile
import time

from daemon import SLOW, parse_metrics, read_text, wait_until
from lab import FUSECTL, connections, kernel_stacks

CGROUPS = pathlib.Path("/sys/fs/cgroup")
# What a unit limits, where these are hierarchies of their own (cgroup v1): nspawn mounts them read-only.
LIMITING = ("memory", "devices", "pids")
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "TERM": "dumb",
               "DEBIAN_FRONTEND": "noninteractive", "HOME": "/root"}
# What nspawn keeps from containers, and no host from its services: a sandbox inside has to deny it itself.
SYSTEM_CALLS = "@clock @keyring @module @raw-io @swap bpf"
GET = """import sys, urllib.error, urllib.request
try:
    with urllib.request.urlopen(sys.argv[1], timeout=5) as answer:
        print(answer.status, answer.read().decode(), end="")
except urllib.error.HTTPError as error:
    print(error.code, error.read().decode(), end="")
except OSError as error:
    print(0, error, end="")
"""


def processes_in(pid_namespace):
    """{PID as seen inside: PID of the host} of a PID namespace's own processes, from `status` and `ns/pid` alone."""
    found = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        numbers = re.search(r"^NSpid:\t(.*)$", read_text(f"/proc/{name}/status"), re.M)
        if not numbers or len(numbers.group(1).split()) < 2:
            continue
        if namespace_of(name) == pid_namespace:
            found[int(numbers.group(1).split()[-1])] = int(name)
    return found


def namespace_of(pid):
    """"pid:[N]", or "" where the process is gone or a zombie."""
    try:
        return os.readlink(f"/proc/{pid}/ns/pid")
    except OSError:
        return ""


def below(pid):
    """PIDs of all processes below `pid`, by the parent that `status` names."""
    parents = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        parent = re.search(r"^PPid:\t(\d+)$", read_text(f"/proc/{name}/status"), re.M)
        if parent:
            parents.setdefault(int(parent.group(1)), []).append(int(name))
    found, queue = [], [pid]
    while queue:
        children = parents.get(queue.pop(), [])
        found += children
        queue += children
    return found


def fuse_mounts(proc):
    """Numbers of the FUSE connections that threads of whoever is seen in `proc` have mounted: of PID namespaces below too."""
    found = set()
    for mountinfo in pathlib.Path(proc).glob("[0-9]*/task/*/mountinfo"):
        for line in read_text(mountinfo).splitlines():
            if " - fuse." in line:
                major, minor = line.split()[2].split(":")
                found.add(int(major) << 20 | int(minor))
    return found


def own_cgroup(controller):
    """Of this process, in the hierarchy of `controller` ("systemd", or "" for cgroup v2)."""
    named = "name=systemd" if controller == "systemd" else controller
    for line in read_text("/proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == named:
            return path
    return None


class Cgroups:
    """One cgroup of our own in each hierarchy, below the one this process is in: the container's root there."""

    def __init__(self, name):
        self.paths = {}
        hierarchies = {"": CGROUPS / "unified" if (CGROUPS / "unified").is_dir() else CGROUPS}
        hierarchies.update({one: CGROUPS / one for one in ("systemd", *LIMITING)})
        for controller, mounted in hierarchies.items():
            path = own_cgroup(controller)
            if path is not None and (mounted / "cgroup.procs").exists():
                self.paths[controller] = mounted / path.lstrip("/") / name

    def make(self):
        for path in self.paths.values():
            path.mkdir()

    def remove(self):
        """Returns those that cannot be removed: something is left in them."""
        for path in self.paths.values():
            for directory, _, _ in os.walk(path, topdown=False):
                try:
                    os.rmdir(directory)
                except OSError:
                    pass
        return [str(path) for path in self.paths.values() if path.exists()]


class BootedDebian:
    """Booted while the context stands, at most for `seconds`."""

    def __init__(self, root, seconds=300):
        self.root = pathlib.Path(root)
        self.seconds = seconds * SLOW
        self.name = f"defused-booted-{os.getpid()}-{time.monotonic_ns()}"
        self.cgroups = Cgroups(self.name)
        self.console = self.root.parent / f"{self.name}.console"
        self.before = connections()
        self.process = None
        self.leader = None
        self.pid_namespace = None

    # ---- begin and end

    def __enter__(self):
        self.cgroups.make()
        entering = "; ".join(f"echo $$ > {path}/cgroup.procs" for path in self.cgroups.paths.values())
        with open(self.console, "wb") as console:
            # Not nspawn's own private network: its /sys has no fusectl then.
            # nspawn shuts down in order when it gets TERM: from `timeout`, also where this program was killed.
            self.process = subprocess.Popen(
                ["sh", "-ec", f'{entering}; exec setpriv --pdeathsig TERM timeout -k 20 "$@"', "sh", str(self.seconds), "unshare", "--net", "systemd-nspawn",
                 "--quiet", "--register=no", "--keep-unit", "--boot", f"--directory={self.root}", f"--machine={self.name}",
                 "--console=read-only", "--capability=all", f"--system-call-filter={SYSTEM_CALLS}",
                 "--bind=/dev/fuse"],
                stdin=subprocess.DEVNULL, stdout=console, stderr=console)
        try:
            self.leader = wait_until(self._find_leader, 20, "systemd to be started in the container")
            self.pid_namespace = namespace_of(self.leader)
            wait_until(self._is_running, 60, "the container to have booted")
            self._open_mounts()
        except BaseException as error:
            told = read_text(self.console)[-1000:]
            if self.leader:
                told += "".join(self.run(*words, check=False).stdout[-3000:] for words in (
                    ("systemctl", "list-jobs"), ("journalctl", "--no-pager", "--output=cat", "--lines=40")))
            self.__exit__(None, None, None)
            raise AssertionError(f"the container did not boot: {error}\n{told}") from error
        return self

    def __exit__(self, *_):
        left = []
        if self.leader:
            left += self._free_wedged()
            self._signal(self.leader, signal.SIGRTMIN + 3)  # systemd: halt
        if not self._ended(30 * SLOW):
            left.append(f"the container did not halt:\n{kernel_stacks(self.members().values())[-4000:]}")
            for pid in below(self.process.pid):
                self._signal(pid, signal.SIGKILL)
            self._signal(self.process.pid, signal.SIGKILL)
            if not self._ended(10 * SLOW):
                left.append("it cannot be killed either")
        left += self.cgroups.remove()
        for path in (pathlib.Path("/run/systemd/nspawn/propagate") / self.name, self.console):
            if path.is_dir():
                path.rmdir()
            elif path.exists():
                path.unlink()
        if left:
            raise AssertionError("left of the container: " + "\n".join(left))

    def _find_leader(self):
        if self.process.poll() is not None:
            raise AssertionError(f"systemd-nspawn ended with {self.process.returncode}")
        for pid in below(self.process.pid):
            if re.search(r"^NSpid:\t\d+\t1$", read_text(f"/proc/{pid}/status"), re.M):
                return pid
        return None

    def _is_running(self):
        if self.process.poll() is not None:
            raise AssertionError(f"systemd-nspawn ended with {self.process.returncode}")
        return self.run("systemctl", "is-system-running", check=False).stdout.strip() in ("running", "degraded")

    def _open_mounts(self):
        """As on a host: what only a sandbox inside protects, and the container's own cgroups, in which systemd sets limits."""
        self.run("mount", "-o", "remount,rw", "/sys")  # a file system of its own, since the network is
        for place in ("/proc/sys", *(CGROUPS / one for one in LIMITING if one in self.cgroups.paths)):
            self.run("mount", "-o", "remount,bind,rw", place)
        self.run("systemctl", "daemon-reexec")  # it looks at its start which hierarchies it may use

    def members(self):
        """{PID inside: PID of the host}."""
        return processes_in(self.pid_namespace) if self.pid_namespace else {}

    def _signal(self, pid, number):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass

    def _ended(self, seconds):
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def _free_wedged(self):
        """Aborts what FUSE connections the container's processes have mounted by now; returns what they were."""
        freed = []
        proc = f"/proc/{self.leader}/root/proc"
        for number in sorted(fuse_mounts(proc) - self.before):
            try:
                with open(f"{FUSECTL}/{number}/abort", "w", encoding="ascii") as abort:
                    # Numbers are given out again at once; through this file no other connection is reached.
                    if number in fuse_mounts(proc):
                        abort.write("1")
                        freed.append(f"FUSE connection {number}")
            except FileNotFoundError:
                pass
        return freed

    # ---- what happens inside

    def inside(self):
        """The words before a command that is to run inside."""
        return ["nsenter", "--all", "--target", str(self.leader), "--"]

    def run(self, *command, timeout=20, check=True, text=None):
        """The CompletedProcess of `command` inside, output and errors together. AssertionError where it fails or is late."""
        limit = timeout * SLOW
        words = [*self.inside(), "timeout", "-k", "1", str(limit), *map(str, command)]
        with tempfile.TemporaryFile() as output:
            # To a file: what cannot be killed may hold a pipe open for ever.
            process = subprocess.Popen(words, stdin=subprocess.PIPE if text else subprocess.DEVNULL, stdout=output,
                                       stderr=subprocess.STDOUT, cwd="/", env=ENVIRONMENT)
            if text:
                process.stdin.write(text.encode())
                process.stdin.close()
            try:
                code = process.wait(limit + 5)
            except subprocess.TimeoutExpired:
                process.kill()
                code = "no end"
            output.seek(0)
            printed = output.read().decode(errors="replace")
        if check and code != 0:
            raise AssertionError(f"{' '.join(map(str, command))} ended with {code}:\n{printed}")
        return subprocess.CompletedProcess(command, code, printed)

    def write(self, path, content, mode=0o644):
        """A file of the root, from outside."""
        file = self.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        file.chmod(mode)

    def remove(self, path):
        """Where it is."""
        (self.root / path.lstrip("/")).unlink(missing_ok=True)

    def read(self, path):
        """"" where there is none. Not of a file system that is mounted inside."""
        return read_text(self.root / path.lstrip("/"))

    def get(self, page):
        """(status, text) of a GET from the container's loopback; (0, reason) where nobody answers."""
        done = subprocess.run(["nsenter", "--net", "--target", str(self.leader), "--", "/usr/bin/python3", "-c", GET,
                               f"http://127.0.0.1:10073{page}"], capture_output=True, text=True, timeout=20 * SLOW, check=False)
        status, _, text = done.stdout.partition(" ")
        return int(status or 0), text or done.stderr

    def metrics(self):
        return parse_metrics(self.get("/metrics")[1])

    def unit(self, name, *properties):
        """{property: value} as systemd has them."""
        shown = self.run("systemctl", "show", name, "--property", ",".join(properties)).stdout
        return dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)

    def journal(self, name, since=None):
        """Messages of a unit and about it, without times."""
        after = ["--after-cursor", since] if since else []
        self.run("journalctl", "--sync")  # what was said before, and not yet read by a journald that had no CPU
        return self.run("journalctl", "--no-pager", "--quiet", "--output=cat", "--unit", name, *after).stdout

    def cursor(self):
        """To be given to journal(): what comes later."""
        shown = self.run("journalctl", "--no-pager", "--quiet", "--lines=0", "--show-cursor").stdout
        return shown.partition("-- cursor: ")[2].strip()

    def host_pid(self, pid):
        """Of a process inside; None where it is gone."""
        return self.members().get(int(pid))
