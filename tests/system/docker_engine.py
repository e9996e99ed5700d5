# SPDX-License-Identifier: Apache-2.0
"""`Engine`: a real dockerd with containerd, all of it below a temporary directory, and containers of tenants of the lab.

Every wait has a deadline. A guardian, which is this file run as a program, ends the engine, its containers and their
FUSE connections once the test has left the engine or has ended in whatever way."""
import glob
import io
import json
import os
import re
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lab"))
from daemon import BUILD, SLOW, mount_fusectl, read_text, wait_until  # noqa: E402
from lab import FUSECTL, kernel_stacks  # noqa: E402

CLIENT = "/usr/bin/docker"  # that of docker.io
TENANT = os.path.join(BUILD, "defused-tenant")
TENANT_IMAGE = "tenant:lab"
# What a FUSE container usually gets: the device and the capability to mount, and nothing more.
FUSE_OPTIONS = ("--cap-add", "SYS_ADMIN", "--device", "/dev/fuse", "--network", "none")


def cgroup2():
    """Where cgroup v2 is mounted: at /sys/fs/cgroup, or beside v1."""
    for line in read_text("/proc/self/mountinfo").splitlines():
        if " - cgroup2 " in line:
            return line.split()[4]
    raise unittest.SkipTest("cgroup v2 is not mounted: an engine could not be ended for sure")


class Engine:
    """Stands when the context is entered; `directory` has its data, and is gone with it.

    `prefix` are words that dockerd is started by, such as unshare; they have to become dockerd."""

    def __init__(self, *prefix):
        self.prefix = prefix
        self.directory = tempfile.mkdtemp(prefix="defused-docker-")
        self.log_path = os.path.join(self.directory, "log")
        self.environment = {**os.environ, "DOCKER_HOST": f"unix://{self.directory}/docker.sock", "DOCKER_BUILDKIT": "0",
                            "DOCKER_CONFIG": os.path.join(self.directory, "client")}
        self.guardian = None
        self.process = None

    def __enter__(self):
        if not os.path.exists("/usr/sbin/dockerd"):
            raise unittest.SkipTest("dockerd is not installed")
        mount_fusectl()
        cgroup = os.path.join(cgroup2(), os.path.basename(self.directory))
        self.guardian = subprocess.Popen([sys.executable, os.path.abspath(__file__), self.directory, cgroup],
                                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True)
        try:
            assert self.guardian.stdout.readline() == "ready\n"
            self._start(cgroup)
            wait_until(self._answers, 30, f"dockerd to answer:\n{self.log()}")
            self.docker("import", "-", TENANT_IMAGE, stdin=tenant_image())
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def _start(self, cgroup):
        def enter_cgroup():
            with open(os.path.join(cgroup, "cgroup.procs"), "w", encoding="ascii") as file:
                file.write("0")

        with open(os.path.join(self.directory, "daemon.json"), "w", encoding="ascii") as file:
            file.write("{}")  # not that of the host
        command = [*self.prefix, "/usr/sbin/dockerd", f"--config-file={self.directory}/daemon.json", f"--data-root={self.directory}/data",
                   f"--exec-root={self.directory}/exec", f"--pidfile={self.directory}/pid",
                   f"--host=unix://{self.directory}/docker.sock", "--bridge=none", "--iptables=false", "--ip6tables=false",
                   "--ip-forward=false", "--ip-masq=false", "--userland-proxy=false",
                   "--exec-opt=native.cgroupdriver=cgroupfs"]
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=self.environment,
                                            preexec_fn=enter_cgroup)

    def __exit__(self, *_):
        try:
            left, _ = self.guardian.communicate(timeout=90 * SLOW)
        except subprocess.TimeoutExpired:
            self.guardian.kill()
            left = "its guardian hangs"
        if self.process:
            self.process.wait(5)
        if left:
            raise AssertionError(f"of the engine this is left:\n{left}")

    def log(self):
        return read_text(self.log_path)

    def _answers(self):
        if self.process.poll() is not None:
            raise AssertionError(f"dockerd ended with {self.process.returncode}:\n{self.log()}")
        return self.try_docker("version", timeout=10).returncode == 0

    def try_docker(self, *words, timeout=60, stdin=b""):
        """A command of the client, as a CompletedProcess; TimeoutExpired where it hangs."""
        return subprocess.run([CLIENT, *words], env=self.environment, input=stdin, capture_output=True,
                              timeout=timeout * SLOW, check=False)

    def docker(self, *words, **options):
        """Output of a command that has to succeed."""
        done = self.try_docker(*words, **options)
        if done.returncode != 0:
            raise AssertionError(f"docker {' '.join(words)}: {done.stderr.decode()}\n{self.log()[-3000:]}")
        return done.stdout.decode().strip()

    def hangs(self, *words, seconds):
        """Whether a command of the client is not back after `seconds`. The client is ended, what it asked for is not."""
        try:
            self.try_docker(*words, timeout=seconds)
        except subprocess.TimeoutExpired:
            return True
        return False

    def begin(self, *words):
        """A command of the client, going on: a Popen whose output is text."""
        return subprocess.Popen([CLIENT, *words], env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, text=True)

    def run_tenant(self, name, what, fstype, *options):
        """A container with a FUSE server at /mnt: `hold` holds a file of its own, `serve` serves others."""
        self.docker("run", "--detach", "--name", name, *FUSE_OPTIONS, *options, TENANT_IMAGE, "/bin/defused-tenant", what,
                    "/mnt", fstype)
        return Container(self, name)


class Container:
    """One of a tenant: `id` with 64 digits, `init` and the number of its FUSE `connection`, as the host sees them."""

    def __init__(self, engine, name):
        self.engine = engine
        self.name = name
        wait_until(lambda: engine.docker("logs", name) == "stands", 20, f"the server in {name}")
        found = json.loads(engine.docker("inspect", name))[0]
        self.id = found["Id"]
        self.init = found["State"]["Pid"]
        self.pid_namespace = os.stat(f"/proc/{self.init}/ns/pid").st_ino
        device, = re.findall(r"^\d+ \d+ (\d+:\d+) / /mnt .* - fuse\.", read_text(f"/proc/{self.init}/mountinfo"), re.M)
        major, minor = device.split(":")
        self.connection = int(major) << 20 | int(minor)
        engine.guardian.stdin.write(f"{self.connection}\n")  # it lives: the number is its own
        engine.guardian.stdin.flush()
        assert engine.guardian.stdout.readline() == f"{self.connection}\n"

    def status(self):
        """As `docker ps -a` shows it: "Up 3 seconds", "Exited (137) 1 second ago"."""
        return self.engine.docker("ps", "--all", "--no-trunc", "--filter", f"id={self.id}", "--format", "{{.Status}}")

    def waiting(self):
        return int(read_text(f"{FUSECTL}/{self.connection}/waiting") or 0)

    def stacks(self):
        """Evidence for a failure."""
        below = [int(pid) for path in glob.glob(f"/proc/{self.init}/task/*/children") for pid in read_text(path).split()]
        return kernel_stacks([self.init, *below])

    def reads(self):
        """Whether its server answers a read from within."""
        done = self.engine.try_docker("exec", self.name, "/bin/busybox", "cat", "/mnt/hello", timeout=10)
        return done.stdout == b"hello from the lab\n"


def tenant_image():
    """A root directory with busybox and the tenant's program, as a tar."""
    libraries = subprocess.run(["ldd", TENANT], capture_output=True, text=True, timeout=10, check=True).stdout
    files = {"/bin/busybox": "/bin/busybox", "/bin/defused-tenant": TENANT}
    files.update({path: path for path in re.findall(r"(?:=> |^\s+)(/\S+)", libraries, re.M)})
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for directory in ("mnt", "tmp", "proc", "sys", "dev", "etc"):
            member = tarfile.TarInfo(directory)
            member.type, member.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(member)
        for inside, outside in files.items():
            tar.add(os.path.realpath(outside), inside)
    return packed.getvalue()


# ---- the guardian --------------------------------------------------------------------------------------------------


def members(cgroup):
    return [int(pid) for path in glob.glob(f"{cgroup}/**/cgroup.procs", recursive=True) for pid in read_text(path).split()]


def kill_all(cgroup):
    for pid in members(cgroup):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def soon(predicate, seconds):
    end = time.monotonic() + seconds * SLOW
    while not predicate():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def end_engine(directory, cgroup, aborts):
    """Ends everything that an engine has started; what is left, as text."""
    for abort in aborts:  # of connections of containers: without effect where they are gone
        os.write(abort, b"1")
    ids = os.listdir(f"{directory}/data/containers") if os.path.isdir(f"{directory}/data/containers") else []
    containers = [path for one in ids for path in glob.glob(f"/sys/fs/cgroup/**/docker/{one}", recursive=True)]
    for path in containers:
        kill_all(path)
    engine = read_text(f"{directory}/pid")
    if engine and int(engine) in members(cgroup):
        os.kill(int(engine), signal.SIGTERM)
        soon(lambda: int(engine) not in members(cgroup), 20)
    kill_all(cgroup)
    left = "" if soon(lambda: not members(cgroup), 10) else kernel_stacks(members(cgroup))
    for path in containers:
        if not soon(lambda path=path: not members(path), 5):
            left += kernel_stacks(members(path))
    mounts = re.findall(rf"^\d+ \d+ \S+ \S+ ({re.escape(directory)}(?:/\S+)?) ", read_text("/proc/self/mountinfo"), re.M)
    for path in reversed(mounts):
        subprocess.run(["umount", "--lazy", path], timeout=10, check=False)
    for path in (*containers, cgroup, directory):
        if os.path.isdir(path) and not soon(lambda path=path: remove_empty(path), 5):
            left += f"{path}\n"
    return left


def remove_empty(path):
    try:
        os.rmdir(path)
    except OSError:
        return not os.path.exists(path)
    return True


def docker_cgroups():
    """Those of containers, then their parents."""
    top = glob.glob("/sys/fs/cgroup/docker") + glob.glob("/sys/fs/cgroup/*/docker")
    return [path for one in top for path in glob.glob(f"{one}/*/")] + top


def guard(directory, cgroup):
    """Reads numbers of connections from standard input; at its end, ends the engine."""
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, signal.SIG_IGN)
    before = docker_cgroups()
    os.mkdir(cgroup)
    # In memory: to remove an image's thousands of files from a disk took longer than the tests.
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4g,mode=700", "defused-docker", directory], timeout=10, check=True)
    print("ready", flush=True)
    aborts = []
    for line in sys.stdin:
        aborts.append(os.open(f"{FUSECTL}/{int(line)}/abort", os.O_WRONLY | os.O_CLOEXEC))
        print(line, end="", flush=True)
    left = end_engine(directory, cgroup, aborts)
    for path in docker_cgroups():  # Docker leaves that of a container which could not end whole
        if path not in before:
            remove_empty(path)
    try:
        print(left, end="", flush=True)
    except BrokenPipeError:
        pass  # the test was killed


if __name__ == "__main__":
    guard(*sys.argv[1:])
